// How it is with the daemon: its own verdict with the evidence. What is not known to this page is shown all the same.

import { ask, root, who } from "./api.js";
import { on, STATES, world } from "./cameras.js";
import { failed, h, loading, segments } from "./dom.js";
import { bytes, percent, seconds, words } from "./format.js";
import { icon } from "./icons.js";

const EVERY_MS = 5000;
// What has a place of its own; all else follows below it.
const PLACED = new Set(["status", "version", "cameras", "disk", "clock_synchronised"]);

export function mount(place, _, signal) {
	const body = h("div", { class: "health" }, loading("Asking the camera"));
	place.append(body, appearance());

	async function load() {
		if (document.hidden || signal.aborted) return;
		try {
			show(await health(signal));
		} catch (error) {
			if (!body.querySelector(".card")) failed(body, "The camera does not answer", error, load);
		}
	}

	function show(now) {
		const bad = faults(now);
		const open = new Set([...body.querySelectorAll("details[open]")].map(({ dataset }) => dataset.key));
		body.replaceChildren(
			h("div", { class: `verdict-card ${bad.length ? "bad" : "good"}`, role: "status" }, icon(bad.length ? "warn" : "check"),
				h("div", {}, h("h2", {}, bad.length ? "Something needs attention" : "All is well"),
					bad.length ? h("ul", {}, bad.map((text) => h("li", {}, text))) : h("p", {}, "Every part says that it works."))),
			h("div", { class: "cards-grid" },
				...(now.cameras ?? []).map(cameraCard),
				now.disk && diskCard(now.disk),
				...Object.entries(now).filter(([key]) => !PLACED.has(key)).map(([key, value]) => card(words(key), value, key)),
				card("Watchtower", { version: now.version, clock_set_by_the_network: now.clock_synchronised ?? "unknown",
					viewers: world.cameras.reduce((sum, each) => sum + each.viewers, 0),
					...(who.name && { you: `${who.name} (${who.role})`, your_certificate_expires: who.expires }) }, "daemon")));
		for (const details of body.querySelectorAll("details")) details.open = open.has(details.dataset.key);
	}

	on("link", load, signal);
	const timer = setInterval(load, EVERY_MS);
	signal.addEventListener("abort", () => clearInterval(timer));
	load();
	return {};
}

// 503 is an answer here, not a fault.
async function health(signal) {
	const answer = await fetch(`${root}healthz`, { cache: "no-store", signal }).catch((error) => {
		if (error.name === "AbortError") throw error;
		throw new Error("Check that the camera has power and that this device is in its network.");
	});
	if (answer.status !== 200 && answer.status !== 503) return ask(`${root}healthz`);
	return answer.json();
}

// Every part that is failing, by its own words.
function faults(part, name = "") {
	if (part === null || typeof part !== "object") return [];
	if (Array.isArray(part)) return part.flatMap((each) => faults(each, name));
	const own = "status" in part && part.status !== "ok" && part.status !== "off" && part.cause
		? [`${part.name ? `${label(part.name)}: ` : ""}${part.cause}`] : [];
	const below = Object.entries(part).flatMap(([key, value]) => faults(value, key));
	if (!own.length && !below.length && part.status && part.status !== "ok" && part.status !== "off" && name) return [`${words(name)} is failing.`];
	return [...new Set([...own, ...below])];
}

const label = (name) => world.cameras.find((each) => each.name === name)?.label ?? name;

function cameraCard({ name, status, ...rest }) {
	const { encode_mode: mode, encode_speed: speed, frame_age_s: age, fps, state, cause, ...more } = rest;
	return frame(label(name), status, [
		["State", words(STATES[state] ?? state)],
		cause && ["Cause", cause],
		["Newest picture", age === null || age === undefined ? "none yet" : `${seconds(age)} ago`],
		["Pictures", `${fps} a second`],
		mode && ["Encoder", `${words(mode).toLowerCase()}${speed ? `, ${speed}× real time` : ""}`],
		...rows(more),
	]);
}

function diskCard({ status, cause, free_bytes: free, total_bytes: total, hours, ...more }) {
	const used = total ? 1 - free / total : null;
	const meter = used !== null && h("div", { class: "meter", role: "meter", "aria-label": "Disk in use", "aria-valuenow": Math.round(used * 100), "aria-valuemin": 0, "aria-valuemax": 100 }, h("span"));
	if (meter) meter.style.setProperty("--part", used);
	return frame("Disk", status, [
		hours !== undefined && ["Room for", hours < 48 ? `${hours < 10 ? hours.toFixed(1) : Math.round(hours)} hours of recording` : `${Math.round(hours / 24)} days of recording`],
		free !== undefined && ["Free", `${bytes(free)} of ${bytes(total)}`],
		cause && ["Cause", cause],
		...rows(more),
	], meter);
}

// Anything the daemon tells: an object as a card, a list of them as several rows.
function card(title, value, key) {
	const plain = Array.isArray(value) || typeof value !== "object";
	const { status, ...rest } = (plain ? { [key]: value } : value) ?? {};
	const facts = rows(rest);
	const bad = Array.isArray(value) && value.some((each) => each?.status && each.status !== "ok");
	return facts.length > 0 && frame(title, bad ? "failing" : status ?? "ok", facts);
}

function listed(each, at) {
	const { name, path, subject, label: own, status, ...rest } = each;
	const title = own ?? name ?? subject ?? path ?? String(at + 1);
	return [[title, rows(rest).map(([word, value]) => `${word.toLowerCase()} ${value}`).join(", ") || status || ""]];
}

const rows = (object) => Object.entries(object).flatMap(([key, value]) => {
	if (value === null || value === undefined || key === "status") return [];
	if (typeof value === "object") return Array.isArray(value) ? value.flatMap((each, at) => (typeof each === "object" ? listed(each, at) : [[words(key), shown(key, each)]])) : rows(value).map(([word, own]) => [`${words(key)} ${word.toLowerCase()}`, own]);
	return [[words(key.replace(/_(bytes|s|c|celsius|kbit|percent)$/, "")), shown(key, value)]];
});

function shown(key, value) {
	if (typeof value === "boolean") return value ? "yes" : "no";
	if (typeof value === "number") {
		if (key.endsWith("_bytes")) return bytes(value);
		if (key.endsWith("_kbit")) return `${value} kbit/s`;
		if (/_(c|celsius)$/.test(key)) return `${value.toFixed(1)} °C`;
		if (key.endsWith("_percent")) return percent(value / 100, 0);
		if (key.endsWith("_s")) return seconds(value);
		return String(Math.round(value * 100) / 100);
	}
	if (/^\d{4}-\d\d-\d\dT/.test(value)) return `${value.slice(0, 10)} ${value.slice(11, 16)}${until(key, value)}`;
	// A word of the interface.
	return /^[a-z][a-z_-]*$/.test(value) ? words(value) : String(value);
}

// How far off an end is that somebody has to act on.
function until(key, value) {
	if (!/expir|until|not_after/.test(key)) return "";
	const left_s = (Date.parse(value) - Date.now()) / 1000;
	return left_s < 0 ? " (over)" : ` (in ${seconds(left_s)})`;
}

function frame(title, status, facts, extra) {
	const good = status === "ok" || status === "off";
	return h("section", { class: `card ${good ? "" : "bad"}` },
		h("h3", {}, title, h("span", { class: `pill ${good ? "monitoring" : "degraded"}` }, good ? (status === "off" ? "off" : "ok") : "failing")),
		extra,
		h("dl", {}, facts.filter(Boolean).flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

function appearance() {
	const kept = localStorage.getItem("scheme") ?? "auto";
	return h("section", { class: "group appearance" }, h("h2", {}, "Appearance"),
		segments("Appearance", [["auto", "As the device"], ["light", "Light"], ["dark", "Dark"]], kept, (value) => {
			localStorage.setItem("scheme", value);
			document.documentElement.dataset.scheme = value;
			dispatchEvent(new Event("resize"));
		}));
}
