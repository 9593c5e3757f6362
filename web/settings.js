// The picture's settings as this camera has them, with their effect beside them: what can be set, and how, the camera's
// schema says.

import { ask, base, change, may, only, why } from "./api.js";
import { button, complain, failed, gap, h, loading, segments, toast, toggle } from "./dom.js";
import { words } from "./format.js";
import { Stage } from "./stage.js";

const GROUPS = [
	["Light and colour", ["brightness", "contrast", "saturation", "sharpness"]],
	["Exposure", ["exposure_mode", "exposure_compensation", "iso", "meter_mode", "awb_mode"]],
	["Picture", ["rotation", "image_effect", "video_denoise"]],
];
const WORDS = {
	awb_mode: "White balance", iso: "ISO", exposure_mode: "Exposure programme", meter_mode: "Light metering",
	image_effect: "Effect", video_denoise: "Noise reduction",
};
const SEND_EVERY_MS = 120;

export function mount(place, camera, signal) {
	const stage = new Stage(camera, signal);
	const forms = h("div", { class: "panel" }, loading("Loading settings"));
	place.append(h("div", { class: "beside" }, h("div", { class: "watching" }, stage.element,
		h("p", { class: "note" }, "Changes show in the picture at once and are remembered.")), forms));
	let schema = [];
	let values = {};
	const controls = new Map();
	let waiting = null;
	let timer = 0;

	async function load() {
		try {
			[schema, values] = await Promise.all([ask(`${base(camera)}api/config/schema`, { signal }), ask(`${base(camera)}api/config`, { signal })]);
			build();
		} catch (error) {
			failed(forms, "The settings could not be read", error, load);
		}
	}

	function build() {
		const has = schema.filter(({ done_by: by }) => by !== "nobody");
		const hasNot = schema.filter(({ done_by: by }) => by === "nobody");
		const known = new Set(GROUPS.flatMap(([, names]) => names));
		const groups = [...GROUPS, ["More", schema.map(({ name }) => name).filter((name) => !known.has(name))]];
		const resetAll = button("Reset all", "undo", () => reset(has));
		only("admin", resetAll);
		forms.replaceChildren(
			...groups.map(([title, names]) => {
				const rows = names.flatMap((name) => has.filter((one) => one.name === name)).map(control);
				return rows.length && h("section", { class: "group" }, h("h2", {}, title), rows);
			}).filter(Boolean),
			h("div", { class: "bar" }, resetAll),
			may("admin") ? "" : h("p", { class: "note" }, why("admin")),
			hasNot.length ? h("details", { class: "more" }, h("summary", {}, `Not available with this camera (${hasNot.length})`),
				h("p", { class: "note" }, "Neither its driver nor Watchtower can do these: ",
					`${hasNot.map(({ name }) => title(name).toLowerCase()).join(", ")}.`)) : "",
		);
		show();
	}

	const title = (name) => WORDS[name] ?? words(name);

	function control(one) {
		const { name, type, min, max } = one;
		const output = h("output", { class: "value", for: `set-${name}` });
		const back = button(`Reset ${title(name)}`, "undo", () => reset([one]), { bare: true, kind: "quiet small" });
		back.title = `Default: ${one.default}`;
		const soft = one.done_by === "software"
			&& h("span", { class: "tag", title: "Watchtower does this itself on every picture, because the camera's driver does not." }, "software");
		const put = (value) => {
			values = { ...values, [name]: value };
			show();
			later(name, value);
		};
		let input;
		let read;
		if (type === "integer") {
			input = h("input", { type: "range", id: `set-${name}`, min, max, step: 1, oninput: () => put(snap(name, Number(input.value))) });
			read = (value) => {
				input.value = value;
				input.style.setProperty("--played", `${(value - min) / (max - min) * 100}%`);
				output.textContent = name === "iso" && value === 0 ? "automatic" : signed(value, min);
			};
		} else if (type === "switch") {
			const label = toggle(title(name), false, put);
			input = label.input;
			input.id = `set-${name}`;
			only("admin", input, back);
			controls.set(name, { read: (value) => { input.checked = value; }, back, one });
			return h("div", { class: "setting flat" }, label, soft, back);
		} else if (one.values.length <= 4) {
			input = segments(title(name), one.values.map((value) => [String(value), name === "rotation" ? `${value}°` : words(String(value))]),
				String(one.default), (value) => put(type === "choice" ? Number(value) : value));
			read = (value) => { for (const each of input.querySelectorAll("input")) each.checked = each.value === String(value); };
			only("admin", ...input.querySelectorAll("input"));
		} else {
			input = h("select", { id: `set-${name}`, onchange: () => put(type === "choice" ? Number(input.value) : input.value) },
				one.values.map((value) => h("option", { value }, words(String(value)))));
			read = (value) => { input.value = value; };
		}
		only("admin", input, back);
		controls.set(name, { read, back, one });
		return h("div", { class: "setting" },
			h("div", { class: "row" }, h(input.tagName === "FIELDSET" ? "span" : "label", { for: input.id || null }, title(name)), soft, gap(), back, output),
			input);
	}

	function show() {
		for (const [name, { read, back, one }] of controls) {
			read(values[name]);
			back.classList.toggle("gone", values[name] === one.default);
		}
	}

	// While a slider moves, the newest value is sent at most every so often.
	function later(name, value) {
		waiting = { ...waiting, [name]: value };
		timer ||= setTimeout(flush, SEND_EVERY_MS);
	}

	async function flush() {
		const sent = waiting;
		waiting = null;
		try {
			const answer = await change("POST", `${base(camera)}api/config`, sent);
			if (!waiting) values = answer;
		} catch (error) {
			complain(error);
			if (!waiting) await load();
		}
		timer = waiting ? setTimeout(flush, SEND_EVERY_MS) : 0;
		if (!waiting && !signal.aborted) show();
	}

	function reset(which) {
		const before = Object.fromEntries(which.map(({ name }) => [name, values[name]]));
		const put = (wanted) => {
			values = { ...values, ...wanted };
			show();
			for (const [name, value] of Object.entries(wanted)) later(name, value);
		};
		put(Object.fromEntries(which.map((one) => [one.name, one.default])));
		toast(which.length === 1 ? `${title(which[0].name)} is back to its default.` : "All settings are back to their defaults.", { undo: () => put(before) });
	}

	load();
	return { update: (newer) => { camera = newer; stage.update(newer); } };
}

// Between automatic and ISO 100 there is nothing.
const snap = (name, value) => (name === "iso" && value > 0 && value < 100 ? (value < 50 ? 0 : 100) : value);

const signed = (value, min) => (min < 0 && value > 0 ? `+${value}` : String(value).replace("-", "−"));
