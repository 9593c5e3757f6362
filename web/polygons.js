// Polygons drawn on a picture by mouse, finger or keyboard: corners are dragged, added between two, taken away. What the
// polygons mean and where they are kept is in zones.js.

import { onceAFrame } from "./dom.js";
import { svg } from "./icons.js";

const LEAST = 3;
// What the keyboard begins with.
const SQUARE = [[0.3, 0.3], [0.7, 0.3], [0.7, 0.7], [0.3, 0.7]];
const MOST = 64;
// A finger's width.
const REACH = 22;

export class Polygons {
	// Draws over `frame`. `changed(zones)` is called after each change that ended, `chose(index)` when another is meant.
	constructor(frame, signal, { changed, chose }) {
		Object.assign(this, { zones: [], chosen: -1, corner: -1, drawing: null, pointer: null, editable: true, changed, chose });
		this.layer = svg("svg", { class: "polygons", role: "group", "aria-label": "Zones on the picture" });
		frame.append(this.layer);
		this.draw = onceAFrame(() => this.render());
		const observer = new ResizeObserver(this.draw);
		observer.observe(frame);
		signal.addEventListener("abort", () => observer.disconnect());
		this.layer.addEventListener("pointerdown", (event) => this.down(event));
		this.layer.addEventListener("pointermove", (event) => this.move(event));
		this.layer.addEventListener("pointerup", (event) => this.up(event));
		this.layer.addEventListener("pointercancel", () => { this.held = null; });
		this.layer.addEventListener("dblclick", () => { if (this.drawing) this.finish(); });
		document.addEventListener("keydown", (event) => this.key(event), { signal });
	}

	show(zones, chosen = this.chosen) {
		this.zones = structuredClone(zones);
		this.chosen = Math.min(chosen, zones.length - 1);
		this.draw();
	}

	choose(index) {
		if (this.chosen !== index) this.corner = -1;
		this.chosen = index;
		this.draw();
	}

	// From now on every tap is a corner, until it is finished or given up.
	begin(zone, ended) {
		this.drawing = { ...zone, points: [] };
		this.ended = ended;
		this.choose(-1);
	}

	finish() {
		const { drawing } = this;
		const { length } = drawing.points;
		// A double click has set the last corner twice.
		const points = length ? drawing.points.filter((point, at) => !at || distance(point, drawing.points[at - 1]) > 0.008) : SQUARE;
		this.drawing = null;
		if (points.length >= LEAST) {
			this.zones.push({ ...drawing, points });
			this.chosen = this.zones.length - 1;
			this.changed(this.zones);
		}
		this.ended?.(points.length >= LEAST);
		this.render();
		if (!length) this.layer.querySelector("[data-kind=corner]").focus();
	}

	cancel() {
		this.drawing = null;
		this.ended?.(false);
		this.draw();
	}

	place({ clientX, clientY }) {
		const { left, top, width, height } = this.layer.getBoundingClientRect();
		return [(clientX - left) / width, (clientY - top) / height].map(within);
	}

	down(event) {
		if (event.button || !this.editable) return;
		event.preventDefault();
		const at = this.place(event);
		if (this.drawing) {
			const [first] = this.drawing.points;
			if (this.drawing.points.length >= LEAST && this.pixels(first, at) < REACH) {
				this.finish();
			} else if (this.drawing.points.length < MOST) {
				this.drawing.points.push(at);
				this.pointer = at;
				this.draw();
			}
			this.ended?.();
			return;
		}
		const { kind, index } = event.target.dataset;
		const n = Number(index);
		this.layer.setPointerCapture(event.pointerId);
		if (kind === "corner" || kind === "between") {
			const { points } = this.zones[this.chosen];
			if (kind === "between") points.splice(n + 1, 0, at);
			this.corner = kind === "between" ? n + 1 : n;
			this.held = { from: at, what: [this.corner], moved: kind === "between" };
		} else if (kind === "zone") {
			if (this.chosen !== n) {
				this.choose(n);
				this.chose(n);
			}
			this.held = { from: at, what: this.zones[n].points.map((_, each) => each), moved: false };
		} else {
			this.choose(-1);
			this.chose(-1);
		}
		this.draw();
	}

	move(event) {
		const at = this.place(event);
		if (this.drawing) {
			this.pointer = at;
			this.draw();
		}
		if (!this.held) return;
		const { points } = this.zones[this.chosen];
		const { what, from } = this.held;
		const by = [0, 1].map((axis) => {
			const all = what.map((n) => points[n][axis]);
			return Math.min(1 - Math.max(...all), Math.max(-Math.min(...all), at[axis] - from[axis]));
		});
		if (Math.hypot(...by) < 1e-4) return;
		for (const n of what) points[n] = points[n].map((value, axis) => within(value + by[axis]));
		this.held = { what, from: [from[0] + by[0], from[1] + by[1]], moved: true };
		this.draw();
	}

	up() {
		if (this.held?.moved) this.changed(this.zones);
		if (this.held) this.chose(this.chosen);
		this.held = null;
		this.draw();
	}

	key(event) {
		if (this.drawing) {
			const action = { Enter: () => this.finish(), Escape: () => this.cancel(), Backspace: () => this.drawing.points.pop() }[event.key];
			// A button's own key is Enter.
			if (!action || event.target.closest(event.key === "Enter" ? "input, button, select" : "input, select")) return;
			event.preventDefault();
			action();
			this.draw();
			return;
		}
		if (event.target.dataset?.kind !== "corner" || !this.editable) return;
		this.corner = Number(event.target.dataset.index);
		const far = event.shiftKey ? 0.05 : 0.01;
		const [x, y] = { ArrowLeft: [-far, 0], ArrowRight: [far, 0], ArrowUp: [0, -far], ArrowDown: [0, far] }[event.key] ?? [];
		const { points } = this.zones[this.chosen];
		if (x !== undefined) {
			const [px, py] = points[this.corner];
			points[this.corner] = [px + x, py + y].map(within);
		} else if (event.key === "Delete" || event.key === "Backspace") {
			if (!this.removeCorner()) return;
		} else {
			return;
		}
		event.preventDefault();
		this.changed(this.zones);
		this.render();
		this.layer.querySelector(`[data-kind=corner][data-index="${this.corner}"]`)?.focus();
	}

	// Takes the marked corner away, where enough are left.
	removeCorner() {
		const points = this.zones[this.chosen]?.points;
		if (!points || this.corner < 0 || points.length <= LEAST) return false;
		points.splice(this.corner, 1);
		this.corner = Math.min(this.corner, points.length - 1);
		this.draw();
		return true;
	}

	pixels([ax, ay], [bx, by]) {
		const { width, height } = this.layer.getBoundingClientRect();
		return Math.hypot((ax - bx) * width, (ay - by) * height);
	}

	render() {
		const { layer, zones, chosen, drawing } = this;
		const { width, height } = layer.getBoundingClientRect();
		if (!width) return;
		const focused = document.activeElement?.dataset?.kind === "corner" ? document.activeElement.dataset.index : null;
		const px = ([x, y]) => [x * width, y * height];
		const path = (points) => points.map((point) => px(point).join()).join(" ");
		const parts = [];
		if (zones.some(({ include }) => include)) {
			parts.push(svg("defs", {}, svg("mask", { id: "outside" }, svg("rect", { width, height, fill: "#fff" }),
				...zones.filter(({ include }) => include).map(({ points }) => svg("polygon", { points: path(points), fill: "#000" })))),
			svg("rect", { width, height, class: "outside", mask: "url(#outside)" }));
		}
		zones.forEach(({ points, include, name }, index) => {
			parts.push(svg("polygon", {
				points: path(points), class: `zone ${include ? "include" : "exclude"} ${index === chosen ? "chosen" : ""}`,
				"data-kind": "zone", "data-index": index,
			}));
			const [x, y] = px(middle(points));
			const label = svg("text", { x, y, class: "zone-name" });
			label.textContent = name;
			parts.push(label);
		});
		if (zones[chosen] && this.editable) parts.push(...this.handles(zones[chosen], px));
		if (drawing) {
			const points = this.pointer ? [...drawing.points, this.pointer] : drawing.points;
			parts.push(svg("polyline", { points: path(points), class: `zone drawing ${drawing.include ? "include" : "exclude"}` }));
			drawing.points.forEach((point, at) => {
				const [cx, cy] = px(point);
				parts.push(svg("circle", { cx, cy, r: at ? 5 : 9, class: "corner" }));
			});
		}
		layer.classList.toggle("drawing", Boolean(drawing));
		layer.replaceChildren(...parts);
		if (focused !== null) layer.querySelector(`[data-kind=corner][data-index="${focused}"]`)?.focus({ preventScroll: true });
	}

	handles({ points, name }, px) {
		const parts = [];
		if (points.length < MOST) {
			points.forEach((point, index) => {
				const [cx, cy] = px(middle([point, points[(index + 1) % points.length]]));
				parts.push(svg("circle", { cx, cy, r: 4.5, class: "between" }),
					svg("circle", { cx, cy, r: 14, class: "touch", "data-kind": "between", "data-index": index }));
			});
		}
		points.forEach((point, index) => {
			const [cx, cy] = px(point);
			parts.push(svg("circle", { cx, cy, r: 7, class: `corner ${index === this.corner ? "marked" : ""}` }),
				svg("circle", {
					cx, cy, r: REACH, class: "touch", "data-kind": "corner", "data-index": index, tabindex: 0, role: "button",
					"aria-label": `Corner ${index + 1} of ${name}, ${Math.round(point[0] * 100)} % from the left, ${Math.round(point[1] * 100)} % from the top. Arrows move it.`,
				}));
		});
		return parts;
	}
}

// In the picture, to a ten-thousandth.
const within = (part) => Math.round(Math.min(1, Math.max(0, part)) * 1e4) / 1e4;

const distance = ([ax, ay], [bx, by]) => Math.hypot(ax - bx, ay - by);

const middle = (points) => [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
