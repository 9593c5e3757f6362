// How it is with the daemon: its own verdict with the evidence. What is not known to this page is shown all the same.

import { ask, root, who } from "./api.js";
import { on, STATES, world } from "./cameras.js";
import { failed, h, loading, segments } from "./dom.js";
import { bytes, count, seconds, words } from "./format.js";
import { icon } from "./icons.js";

const EVERY_MS = 5000;

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
		const { status, cameras = [], disk = {}, uploads, machine = {}, certificate, version, uptime_s, clock_synchronised, ...more } = now;
		body.replaceChildren(
			h("div", { class: `verdict-card ${bad.length ? "bad" : "good"}`, role: "status" }, icon(bad.length ? "warn" : "check"),
				h("div", {}, h("h2", {}, bad.length ? "Something needs attention" : "All is well"),
					bad.length ? h("ul", {}, bad.map((text) => h("li", {}, text))) : h("p", {}, "Every part says that it works."))),
			h("div", { class: "cards-grid" },
				cameras.map(cameraCard), diskCard(disk), uploadsCard(uploads), machineCard(machine), certificateCard(certificate),
				Object.entries(more).map(([key, value]) => frame(words(key), value?.status, rows({ [key]: value }))),
				frame("Watchtower", "ok", [
					["Version", version],
					["Running for", seconds(uptime_s)],
					["Clock set by the network", shown("", clock_synchronised ?? "unknown")],
					["Viewers", world.cameras.reduce((sum, each) => sum + each.viewers, 0)],
					who.name && ["You", `${who.name} (${who.role})`],
					who.expires && ["Your certificate expires", shown("expires", who.expires)],
				])));
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

// What is wrong, by the parts' own words.
function faults({ status, cameras = [], ...parts }) {
	const all = [...cameras.map(({ name, cause }) => cause && `${label(name)}: ${cause}`), ...Object.values(parts).map((part) => part?.status === "failing" && part.cause)];
	const told = all.filter(Boolean);
	return told.length || status === "ok" ? told : ["A part is failing."];
}

const label = (name) => world.cameras.find((each) => each.name === name)?.label ?? name;

function cameraCard({ name, status, state, cause, frame_age_s: age, fps, encode_mode: mode, encode_speed: speed, encoder, encoders = {}, serial, ...more }) {
	const lost = Object.entries(encoder ?? {}).filter(([, n]) => n).map(([how, n]) => `${n} ${how}`);
	return frame(label(name), status, [
		["State", words(STATES[state] ?? state)],
		["Cause", cause],
		["Newest picture", (age ?? null) === null ? "none yet" : `${seconds(age)} ago`],
		["Pictures", `${fps} a second`],
		["Pictures lost", lost.join(", ") || "none"],
		["Encoder", [words(mode).toLowerCase(), speed && `${speed}× real time`, ...new Set(Object.values(encoders))].filter(Boolean).join(", ")],
		["Serial link", serial ? serial.cause ?? words(serial.phase) : "not set up"],
		serial && ["Light sensor", serial.brightness],
		...rows(more),
	]);
}

function diskCard({ status, cause, free_bytes: free, total_bytes: total, hours, ...more }) {
	return frame("Disk", status, [
		["Cause", cause],
		total && ["Room for", `${seconds(hours * 3600)} of recording`],
		total && ["Free", `${bytes(free)} of ${bytes(total)}`],
		...rows(more),
	], total && h("meter", { max: 1, high: 0.9, value: 1 - free / total, "aria-label": "Disk in use" }));
}

function uploadsCard(uploads) {
	if (!uploads) return frame("Uploads", "off", [["Copies off site", "not set up"]]);
	const { status, cause, spool_bytes: spool, spool_max_bytes: most, lost_files: lost, destinations = [], ...more } = uploads;
	return frame("Uploads", status, [
		["Cause", cause],
		...destinations.flatMap(({ name, cause: why, waiting_files: files, waiting_bytes: size, oldest_unsent_age_s: age, refused_files: refused }) => [
			[words(name), files ? `${count(files, "file")} (${bytes(size)}) waiting for ${seconds(age)}` : "everything is sent"],
			[`${words(name)} says`, why],
			refused && [`Refused by ${words(name)}`, count(refused, "file")],
		]),
		["Waiting room", `${bytes(spool)} of ${bytes(most)} used`],
		["Lost", lost ? count(lost, "file") : "nothing"],
		...rows(more),
	]);
}

function machineCard({ status, cause, celsius, fan, memory, ...more }) {
	return frame("Machine", status, [
		["Cause", cause],
		["Temperature", celsius === undefined ? "no sensor" : shown("celsius", celsius)],
		fan && ["Fan", `${fan.on ? "on" : "off"}, ${seconds(fan.age_s)} ago`],
		memory && ["Memory free", `${bytes(memory.available_bytes)} of ${bytes(memory.total_bytes)}`],
		memory && ["Memory of Watchtower", bytes(memory.resident_bytes)],
		...rows(more),
	]);
}

function certificateCard(certificate) {
	if (!certificate) return frame("TLS", "off", [["Certificate", "none of its own"]]);
	const { status, cause, expires, days_left, ...more } = certificate;
	return frame("TLS", status, [["Cause", cause], expires && ["Certificate expires", shown("expires", expires)], ...rows(more)]);
}

// Anything else the daemon tells.
const rows = (object, before = "") => Object.entries(object).flatMap(([key, value]) => {
	if (value === null || key === "status") return [];
	if (typeof value === "object") return rows(value, `${before}${key} `);
	return [[words(before + key.replace(/_(bytes|s|celsius)$/, "")), shown(key, value)]];
});

function shown(key, value) {
	if (typeof value === "boolean") return value ? "yes" : "no";
	if (typeof value === "number") {
		if (key.endsWith("_bytes")) return bytes(value);
		if (key.endsWith("celsius")) return `${value.toFixed(1)} °C`;
		if (key.endsWith("_s")) return seconds(value);
		return String(Math.round(value * 100) / 100);
	}
	if (key === "expires") return value.slice(0, 10) + until(value);
	// A word of the interface.
	return /^[a-z][a-z_-]*$/.test(value) ? words(value) : String(value);
}

// How far off an end is that somebody has to act on.
function until(value) {
	const left_s = (Date.parse(value) - Date.now()) / 1000;
	return left_s < 0 ? " (over)" : ` (in ${seconds(left_s)})`;
}

function frame(title, status, facts, extra) {
	const [word, tone] = { failing: ["failing", "degraded"], off: ["off", ""] }[status] ?? ["ok", "monitoring"];
	return h("section", { class: `card ${word}` },
		h("h3", {}, title, h("span", { class: `pill ${tone}` }, word)),
		extra,
		h("dl", {}, facts.filter((fact) => (fact?.[1] ?? "") !== "").flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)])));
}

function appearance() {
	const kept = localStorage.getItem("scheme") ?? "auto";
	return h("section", { class: "group appearance" }, h("h2", {}, "Appearance"),
		segments("Appearance", [["auto", "As the device"], ["light", "Light"], ["dark", "Dark"]], kept, (value) => {
			localStorage.setItem("scheme", value);
			document.documentElement.dataset.scheme = value;
		}));
}
