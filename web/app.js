// The frame around the sections: which camera and which section the address asks for, the head of the page, and whether
// the daemon answers. Each section is a module of its own: mount(place, camera, signal, rest) fills a place and answers
// { update(camera), route(rest) }, both optional; the signal ends it.

import { learnWho, named, root } from "./api.js";
import { find, on, STATES, watch, world } from "./cameras.js";
import { failed, h, loading, toast } from "./dom.js";
import { icon } from "./icons.js";
import * as live from "./live.js";

const SECTIONS = {
	live: ["Live", "live", async () => live],
	recordings: ["Recordings", "recordings", () => import("./recordings.js")],
	zones: ["Zones", "zones", () => import("./zones.js")],
	settings: ["Settings", "settings", () => import("./settings.js")],
	system: ["System", "system", () => import("./system.js")],
};

const $ = (id) => document.getElementById(id);

let shown = { key: null, camera: null, section: null, mounted: null, ending: null };

// #/front/recordings/2026-03-01/12.25.43
function route() {
	const [name, section, ...rest] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean);
	const only = world.cameras.length === 1 ? world.cameras[0] : null;
	const wanted = name && find(name);
	if (wanted) return { camera: wanted, section: section in SECTIONS ? section : "live", rest };
	const start = only ?? (!name && !location.hash && named ? find(named) : null);
	return start ? { camera: start, section: "live", rest: [] } : { camera: null, section: "grid", rest: [] };
}

// Nothing is offered before it is known to whom.
let known = false;

async function go() {
	if (!known || !world.cameras.length) return;
	const { camera, section, rest } = route();
	const key = `${camera?.name} ${section}`;
	if (key === shown.key) {
		shown.mounted?.route?.(rest);
		return;
	}
	shown.ending?.abort();
	const ending = new AbortController();
	shown = { key, camera: camera?.name, section, mounted: null, ending };
	head();
	const place = h("div", { class: `section ${section}` });
	const focused = $("main").contains(document.activeElement);
	$("main").replaceChildren(place);
	// The keyboard goes on at the new content.
	if (focused) $("main").focus();
	try {
		const slow = setTimeout(() => place.replaceChildren(loading("Loading")), 150);
		const module = section === "grid" ? await import("./grid.js") : await SECTIONS[section][2]();
		clearTimeout(slow);
		if (ending.signal.aborted) return;
		place.replaceChildren();
		shown.mounted = module.mount(place, camera, ending.signal, rest) ?? {};
		scrollTo(0, 0);
	} catch (error) {
		// A new version of the daemon has new files, an absent one has none.
		console.warn(error);
		failed(place, "This page could not be opened", new Error("The camera did not send all of it."), () => location.reload());
	}
}

function head() {
	const camera = find(shown.camera);
	const { cameras } = world;
	document.body.classList.toggle("several", cameras.length > 1);
	$("title").textContent = camera?.label ?? (cameras.length > 1 ? "All cameras" : "Watchtower");
	const section = SECTIONS[shown.section]?.[0];
	document.title = [section !== "Live" && section, camera?.label ?? "All cameras", "Watchtower"].filter(Boolean).join(" – ");
	const state = world.connected ? camera?.state : "lost";
	$("state").hidden = !camera;
	$("state").className = `pill ${state}`;
	$("state").textContent = STATES[state] ?? "no connection";
	sections(camera);
	switcher(camera);
}

function sections(camera) {
	$("sections").hidden = !camera;
	if (!camera) return;
	if (!$("sections").childElementCount) {
		$("sections").append(...Object.entries(SECTIONS).map(([id, [word, name]]) =>
			h("a", { "data-section": id }, icon(name), h("span", {}, word))));
	}
	for (const link of $("sections").children) {
		link.href = `#/${camera.name}/${link.dataset.section}`;
		link.ariaCurrent = link.dataset.section === shown.section ? "page" : null;
	}
}

function switcher(camera) {
	const { cameras } = world;
	$("cameras").hidden = cameras.length < 2 || !camera;
	// The name is in the menu then, and need not be read twice.
	$("title").classList.toggle("unseen", !$("cameras").hidden);
	if (cameras.length < 2) return;
	const names = cameras.map(({ name, label }) => `${name} ${label}`).join();
	if ($("cameras").dataset.names !== names) {
		$("cameras").dataset.names = names;
		$("cameras").replaceChildren(h("select", {
			"aria-label": "Camera",
			onchange: ({ target }) => { location.hash = target.value ? `#/${target.value}/${shown.section}` : "#/"; },
		}, h("option", { value: "" }, "All cameras"), cameras.map(({ name, label }) => h("option", { value: name }, label))));
	}
	$("cameras").firstChild.value = camera?.name ?? "";
}

let lost = false;

on("link", () => {
	const { connected, problem } = world;
	$("link").hidden = connected !== false;
	if (connected === false) $("link").textContent = `${problem} Trying again by itself.`;
	if (lost && connected) toast("Connected again.", { kind: "good" });
	lost = connected === false;
	if (shown.key) head();
});

on("cameras", () => {
	if (!shown.key) {
		go();
		return;
	}
	head();
	const camera = shown.camera && find(shown.camera);
	if (shown.camera && !camera) go();
	else shown.mounted?.update?.(camera);
});

addEventListener("hashchange", go);
document.querySelector(".skip").addEventListener("click", (event) => {
	// Not by its link: the address says which section is shown.
	event.preventDefault();
	$("main").focus();
});
document.documentElement.dataset.scheme = localStorage.getItem("scheme") ?? "auto";
if (named) $("home").href = `${root}#/`;

const introduced = learnWho().then(() => {
	known = true;
	go();
});
await Promise.all([introduced, watch()]);
if (world.connected === false && !shown.key) {
	$("main").replaceChildren(loading("Waiting for the camera"));
}
