// What the detector sees: how much of the picture changes, second by second, against what has to change to trigger.

import { base } from "./api.js";
import { h, onceAFrame } from "./dom.js";
import { percent } from "./format.js";

const SHOWN_MS = 30_000;
const LOWEST = 1e-4;
const height = (part) => Math.min(1, Math.max(0, Math.log10(Math.max(part, LOWEST) / LOWEST) / 4));

// Follows the detector until the signal, and draws into the stage where it sees a change.
export function tuning(camera, signal, stage) {
	const canvas = h("canvas", { class: "graph", role: "img", "aria-label": "Changed part of the picture over the last 30 seconds" });
	const verdict = h("p", { class: "verdict", role: "status" }, "Waiting for the detector");
	const element = h("div", { class: "tuning" }, verdict, canvas);
	const cells = h("canvas", { class: "cells" });
	stage.frame.insertBefore(cells, stage.over);
	const looks = [];
	let threshold = null;
	let last = "";

	const stream = new EventSource(`${base(camera)}api/events?tuning=1`);
	signal.addEventListener("abort", () => stream.close());
	stream.addEventListener("motion", ({ data }) => {
		const motion = JSON.parse(data);
		threshold = motion.threshold ?? threshold;
		looks.push({ at: performance.now(), changed: motion.changed });
		stage.box(motion);
		const over = threshold !== null && motion.changed >= threshold;
		paint(motion);
		const text = `${percent(motion.changed, 2)} changes now; ${percent(threshold ?? 0, 2)} are needed.`;
		const now = over ? "over" : "under";
		if (now !== last) verdict.className = `verdict ${now}`;
		last = now;
		const word = motion.light_changed ? "The light is changing: nothing counts." : motion.settling ? "Getting to know the scene: nothing counts yet."
			: over ? "Triggers." : "Quiet.";
		verdict.textContent = `${word} ${text}`;
	});
	stream.addEventListener("error", () => {
		verdict.className = "verdict";
		last = "";
		verdict.textContent = stream.readyState === EventSource.CLOSED
			? "The detector does not answer. Close other pages, and load this one again."
			: "The connection is interrupted. Trying again.";
	});

	// The detector's grid over the picture: each cell that differs from the still scene, one bit each, the first the highest.
	function paint({ columns, rows, cells: text }) {
		if (!columns) return;
		if (cells.width !== columns || cells.height !== rows) Object.assign(cells, { width: columns, height: rows });
		const context = cells.getContext("2d");
		const image = context.createImageData(columns, rows);
		const bits = atob(text);
		for (let at = 0; at < columns * rows; at += 1) {
			if (bits.charCodeAt(at >> 3) & (128 >> (at & 7))) image.data.set([255, 210, 62, 255], at * 4);
		}
		context.putImageData(image, 0, 0);
	}

	const draw = onceAFrame(render);
	const timer = setInterval(draw, 100);
	signal.addEventListener("abort", () => clearInterval(timer));

	function render() {
		const begin = performance.now() - SHOWN_MS;
		while (looks.length && looks[0].at < begin) looks.shift();
		const { clientWidth: wide, clientHeight: tall } = canvas;
		if (!wide || document.hidden) return;
		const scale = devicePixelRatio;
		if (canvas.width !== Math.round(wide * scale)) Object.assign(canvas, { width: Math.round(wide * scale), height: Math.round(tall * scale) });
		const context = canvas.getContext("2d");
		context.setTransform(scale, 0, 0, scale, 0, 0);
		context.clearRect(0, 0, wide, tall);
		const style = getComputedStyle(canvas);
		const [ink, bar] = [style.color, style.accentColor];
		context.font = `11px ${style.fontFamily}`;
		context.globalAlpha = 0.25;
		context.fillStyle = ink;
		for (const part of [0.001, 0.01, 0.1]) context.fillRect(0, tall * (1 - height(part)), wide, 1);
		context.globalAlpha = 1;
		const every = Math.max(2, wide / SHOWN_MS * 220);
		for (const { at, changed } of looks) {
			const over = threshold !== null && changed >= threshold;
			context.fillStyle = over ? style.borderTopColor : bar;
			const h = Math.max(1, tall * height(changed));
			context.fillRect((at - begin) / SHOWN_MS * wide, tall - h, every, h);
		}
		context.fillStyle = ink;
		for (const part of [0.001, 0.01, 0.1]) context.fillText(percent(part, part < 0.01 ? 1 : 0), 2, tall * (1 - height(part)) - 3);
		if (threshold === null) return;
		const y = tall * (1 - height(threshold));
		context.strokeStyle = style.borderTopColor;
		context.setLineDash([6, 4]);
		context.lineWidth = 2;
		context.beginPath();
		context.moveTo(0, y);
		context.lineTo(wide, y);
		context.stroke();
		context.setLineDash([]);
	}

	return element;
}
