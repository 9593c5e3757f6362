// Where motion counts and how much of it: zones drawn on the picture, the detector's thresholds, and what it sees meanwhile.
// Every change is saved at once and holds without a restart.

import { ask, base, change, may, only, why } from "./api.js";
import { button, complain, failed, gap, h, loading, segments, toast } from "./dom.js";
import { percent } from "./format.js";
import { svg } from "./icons.js";
import { Polygons } from "./polygons.js";
import { Stage } from "./stage.js";
import { tuning } from "./tuning.js";

const MOST = 32;
const SAVE_AFTER_MS = 350;
// The area's slider goes in equal steps of the logarithm.
const LEAST_AREA = 0.0001;
const MOST_AREA = 0.5;

export function mount(place, camera, signal) {
	const stage = new Stage(camera, signal);
	const panel = h("div", { class: "panel" }, loading("Loading zones"));
	const help = h("p", { class: "note", role: "status" });
	const finish = button("Finish", "check", () => polygons.finish(), { kind: "primary" });
	const cancel = button("Cancel", "close", () => polygons.cancel());
	const corner = button("Remove corner", "trash", () => { if (polygons.removeCorner()) changed(polygons.zones); });
	const drawing = h("div", { class: "bar", hidden: true }, finish, cancel);
	place.append(h("div", { class: "beside" }, h("div", { class: "watching" }, stage.element, drawing, help, h("div", {}, corner)), panel));
	const polygons = new Polygons(stage.frame, signal, { changed, chose: () => showList() });
	polygons.editable = may("admin");
	const size = svg("rect", { class: "area-size", visibility: "hidden" });
	stage.over.append(size);

	let motion = null;
	let timer = 0;
	const list = h("ul", { class: "zone-list" });
	const state = h("span", { class: "saved", role: "status" });

	async function load() {
		try {
			motion = await ask(`${base(camera)}api/motion`, { signal });
			build();
		} catch (error) {
			failed(panel, "Zones cannot be changed here", error, load);
		}
	}

	function build() {
		const add = (include) => button(include ? "Add zone" : "Ignore an area", "plus", () => begin(include), { kind: include ? "primary" : "" });
		const adds = [add(true), add(false)];
		const reset = button("Reset to the configuration", "undo", () => save({ zones: null, sensitivity: null, min_trigger_area: null, min_frames: null }));
		only("admin", ...adds, reset);
		panel.replaceChildren(
			h("section", { class: "group" }, h("div", { class: "row" }, h("h2", {}, "Zones"), gap(), state),
				list, h("div", { class: "bar" }, adds)),
			h("section", { class: "group" }, h("h2", {}, "What triggers"), tuning(camera, signal, stage), sliders()),
			h("div", { class: "bar" }, reset),
			may("admin") ? "" : h("p", { class: "note" }, why("admin")));
		show();
	}

	function show() {
		polygons.show(motion.zones);
		showList();
		for (const each of Object.values(inputs)) each.read();
	}

	function showList() {
		const { zones } = motion;
		say();
		list.replaceChildren(...zones.map((zone, index) => entry(zone, index)));
		if (!zones.length) list.append(h("li", { class: "note" }, "Motion counts everywhere in the picture. Draw a zone where it should count, or an area to be ignored, such as a road or a tree."));
	}

	function say(text) {
		const zone = motion?.zones[polygons.chosen];
		help.textContent = text ?? (zone ? `Drag the corners of “${zone.name}”, or the small dots between them to add one.`
			: "Tap a zone to change its shape.");
		help.hidden = !motion?.zones.length && !text;
		corner.hidden = polygons.corner < 0;
	}

	function entry(zone, index) {
		const name = h("input", { type: "text", value: zone.name, maxlength: 40, "aria-label": `Name of zone ${index + 1}`, onchange: () => {
			edit(index, { name: name.value.trim() || zone.name });
		}, onfocus: () => choose(index) });
		const kind = segments(`What motion in ${zone.name} does`, [["true", "Counts"], ["false", "Ignored"]], String(zone.include),
			(value) => edit(index, { include: value === "true" }));
		const remove = button(`Remove ${zone.name}`, "trash", () => {
			const before = structuredClone(motion.zones);
			polygons.chosen = -1;
			changed(motion.zones.filter((_, n) => n !== index));
			toast(`Removed “${zone.name}”.`, { undo: () => changed(before) });
		}, { bare: true, kind: "quiet" });
		only("admin", name, remove, ...kind.querySelectorAll("input"));
		return h("li", { class: `zone-entry ${zone.include ? "include" : "exclude"} ${index === polygons.chosen ? "chosen" : ""}` },
			h("span", { class: "swatch", onclick: () => choose(index) }), name, kind, remove);
	}

	function choose(index) {
		polygons.choose(index);
		say();
		[...list.children].forEach((each, n) => each.classList.toggle("chosen", n === index));
	}

	function edit(index, what) {
		changed(motion.zones.map((zone, n) => (n === index ? { ...zone, ...what } : zone)));
	}

	function begin(include) {
		if (motion.zones.length >= MOST) {
			toast(`There can be at most ${MOST} zones.`);
			return;
		}
		const taken = new Set(motion.zones.map(({ name }) => name));
		let n = 1;
		while (taken.has(`${include ? "Zone" : "Ignored"} ${n}`)) n += 1;
		drawing.hidden = false;
		finish.disabled = false;
		finish.focus({ preventScroll: true });
		say("Tap the picture, corner by corner. Tap the first corner again, or “Finish”, to close it. “Finish” at once makes a square.");
		stage.element.scrollIntoView({ block: "nearest", behavior: "smooth" });
		polygons.begin({ name: `${include ? "Zone" : "Ignored"} ${n}`, include }, (done) => {
			finish.disabled = [1, 2].includes(polygons.drawing?.points.length);
			if (done === undefined) return;
			drawing.hidden = true;
			showList();
		});
	}

	// By the polygons' editor or by the list: shown now, saved when it rests.
	function changed(zones) {
		motion = { ...motion, zones: structuredClone(zones) };
		polygons.show(motion.zones);
		showList();
		later({ zones: motion.zones });
	}

	let waiting = null;
	function later(what) {
		waiting = { ...waiting, ...what };
		state.textContent = "Saving";
		clearTimeout(timer);
		timer = setTimeout(() => {
			const sent = waiting;
			waiting = null;
			save(sent);
		}, SAVE_AFTER_MS);
	}

	async function save(what) {
		try {
			const answer = await change("PATCH", `${base(camera)}api/motion`, what);
			if (waiting || polygons.drawing) return;
			motion = answer ?? await ask(`${base(camera)}api/motion`);
			state.textContent = "Saved";
			if (Object.values(what).includes(null)) toast("Zones and thresholds are as the configuration declares them.");
			// A field that is being written in stays as it is.
			if (!signal.aborted && !list.contains(document.activeElement)) show();
		} catch (error) {
			state.textContent = "Not saved";
			complain(error);
		}
	}

	const inputs = {};

	function sliders() {
		const slider = (name, word, hint, { min, max, step, to, from, text }) => {
			const output = h("output", { class: "value" });
			const input = h("input", { type: "range", id: `tune-${name}`, min, max, step, oninput: () => {
				motion = { ...motion, [name]: from(Number(input.value)) };
				inputs[name].read();
				if (name === "min_trigger_area") showSize();
				later({ [name]: motion[name] });
			} });
			inputs[name] = { read: () => {
				input.value = to(motion[name]);
				input.style.setProperty("--played", `${(input.value - min) / (max - min) * 100}%`);
				output.textContent = text(motion[name]);
				input.setAttribute("aria-valuetext", output.textContent);
			} };
			only("admin", input);
			return h("div", { class: "setting" }, h("div", { class: "row" }, h("label", { for: `tune-${name}` }, word), gap(), output), input,
				h("p", { class: "note" }, hint));
		};
		const [low, high] = [Math.log10(LEAST_AREA), Math.log10(MOST_AREA)];
		return [
			slider("min_trigger_area", "Smallest area", "How much of the picture has to change in one place. The square in the picture shows it.",
				{ min: low, max: high, step: 0.01, to: Math.log10, from: (v) => Number((10 ** v).toPrecision(2)), text: (v) => percent(v, v < 0.01 ? 2 : 1) }),
			slider("sensitivity", "Sensitivity", "How small a change of brightness counts as one.",
				{ min: 0, max: 1, step: 0.01, to: (v) => v, from: (v) => v, text: (v) => percent(v, 0) }),
			slider("min_frames", "Pictures in a row", "More of them ignore what only flashes by, and trigger later.",
				{ min: 1, max: 20, step: 1, to: (v) => v, from: (v) => v, text: String }),
		];
	}

	// A square as large as the smallest area, while it is being set.
	function showSize() {
		const { width, height } = camera.size ?? { width: 16, height: 9 };
		const side = Math.sqrt(motion.min_trigger_area * width * height);
		const [w, h_] = [Math.min(1, side / width), Math.min(1, side / height)];
		for (const [name, value] of Object.entries({ x: 0.5 - w / 2, y: 0.5 - h_ / 2, width: w, height: h_, visibility: "visible" })) size.setAttribute(name, value);
		clearTimeout(size.timer);
		size.timer = setTimeout(() => size.setAttribute("visibility", "hidden"), 2000);
	}

	load();
	return { update: (newer) => { camera = newer; stage.update(newer); } };
}
