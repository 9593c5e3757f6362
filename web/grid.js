// All cameras at a glance. Small stills, one after the other, keep it cheap; a camera's live video plays when it is opened.

import { base } from "./api.js";
import { on, STATES, world } from "./cameras.js";
import { h } from "./dom.js";

const EVERY_MS = 1000;

export function mount(place, _, signal) {
	const tiles = new Map();
	const list = h("ul", { class: "wall" });
	place.append(list);
	const seen = new Set();
	const observer = new IntersectionObserver((entries) => {
		for (const { target, isIntersecting } of entries) {
			if (isIntersecting) seen.add(target.dataset.name);
			else seen.delete(target.dataset.name);
		}
	});
	signal.addEventListener("abort", () => observer.disconnect());

	function tile(camera) {
		const image = h("img", { alt: "", class: "still" });
		const state = h("span", { class: "pill" });
		const more = h("small");
		const element = h("li", { "data-name": camera.name }, h("a", { class: "tile", href: `#/${camera.name}/live` },
			h("span", { class: "picture" }, image),
			h("span", { class: "about" }, h("strong", {}, camera.label), state, more)));
		observer.observe(element);
		return { element, image, state, more };
	}

	function update() {
		for (const camera of world.cameras) {
			if (!tiles.has(camera.name)) {
				tiles.set(camera.name, tile(camera));
				list.append(tiles.get(camera.name).element);
			}
			const { state, more, element } = tiles.get(camera.name);
			const word = world.connected ? camera.state : "lost";
			state.className = `pill ${word}`;
			state.textContent = STATES[word] ?? "no connection";
			element.classList.toggle("bad", word === "degraded");
			more.textContent = camera.state === "degraded" ? camera.cause ?? "" : lastEvent(camera);
		}
		for (const [name, { element }] of tiles) {
			if (!world.cameras.some((camera) => camera.name === name)) {
				element.remove();
				tiles.delete(name);
			}
		}
	}

	// Each still is asked for when the one before it has come: slow links get fewer, never a queue.
	async function look() {
		while (!signal.aborted) {
			const begun = performance.now();
			for (const camera of document.hidden || !world.connected ? [] : world.cameras) {
				if (signal.aborted) return;
				if (seen.has(camera.name) && camera.state !== "degraded") await still(camera);
			}
			await new Promise((resume) => setTimeout(resume, Math.max(100, EVERY_MS - (performance.now() - begun))));
		}
	}

	async function still(camera) {
		const next = h("img", { alt: "", class: "still", src: `${base(camera)}api/snapshot.jpg?width=640&t=${Date.now()}` });
		try {
			await next.decode();
			const tile = tiles.get(camera.name);
			if (!tile) return;
			tile.image.replaceWith(next);
			tile.image = next;
		} catch {
			// The next round tries again; the state says what is wrong.
		}
	}

	on("motion", ({ camera }) => {
		const element = tiles.get(camera)?.element;
		if (!element) return;
		element.classList.add("moving");
		clearTimeout(element.calm);
		element.calm = setTimeout(() => element.classList.remove("moving"), 1500);
	}, signal);
	update();
	look();
	return { update };
}

function lastEvent({ last_event: at, recording }) {
	if (recording) return "Recording now";
	return at ? `Last event ${at.slice(0, 10)} ${at.slice(11, 16)}` : "No event yet";
}
