// A day as a line: each recording where it was, as high as much moved. Click to play, drag to move along, arrows to
// go from one to the next.

import { h, onceAFrame, segments } from "./dom.js";
import { clock, ofDay, seconds, words } from "./format.js";
import { thumbnail } from "./thumbnail.js";

const DAY_S = 86400;
const SPANS = [["86400", "24 h"], ["21600", "6 h"], ["3600", "1 h"]];
// A click this near to a recording means it.
const NEAR_PX = 14;

export class Timeline {
	constructor(camera, signal, pick) {
		Object.assign(this, { camera, pick, recordings: [], chosen: null, from: 0, span: DAY_S, now: null });
		this.canvas = h("canvas", { class: "track" });
		this.tip = h("div", { class: "tip", hidden: true });
		this.track = h("div", {
			class: "timeline", role: "slider", tabindex: "0", "aria-label": "Recordings of the day", "aria-valuemin": "0",
			"aria-valuemax": String(DAY_S), "aria-valuenow": "0", "aria-valuetext": "none",
		}, this.canvas, this.tip);
		this.zoom = segments("Shown span", SPANS, String(DAY_S), (span) => this.look(Number(span), this.middle()));
		this.draw = onceAFrame(() => this.render());
		const observer = new ResizeObserver(this.draw);
		observer.observe(this.track);
		const dark = matchMedia("(prefers-color-scheme: dark)");
		dark.addEventListener("change", this.draw, { signal });
		signal.addEventListener("abort", () => observer.disconnect());
		this.listen();
	}

	show(recordings, now) {
		this.recordings = recordings;
		this.now = now;
		this.draw();
		this.tell();
	}

	choose(recording) {
		this.chosen = recording;
		const at = recording ? ofDay(recording.time) : null;
		if (at !== null && (at < this.from || at > this.from + this.span)) this.look(this.span, at);
		this.draw();
		this.tell();
	}

	tell() {
		const { chosen, track } = this;
		track.setAttribute("aria-valuenow", chosen ? ofDay(chosen.time) : 0);
		track.setAttribute("aria-valuetext", chosen ? described(chosen) : `${this.recordings.length} recordings`);
	}

	middle() {
		return this.chosen ? ofDay(this.chosen.time) : this.from + this.span / 2;
	}

	look(span, middle) {
		this.span = span;
		this.from = Math.min(DAY_S - this.span, Math.max(0, middle - this.span / 2));
		for (const input of this.zoom.querySelectorAll("input")) input.checked = Number(input.value) === this.span;
		this.draw();
	}

	listen() {
		const { track } = this;
		let held = null;
		track.addEventListener("pointerdown", (event) => {
			held = { x: event.clientX, from: this.from, moved: false };
			track.setPointerCapture(event.pointerId);
		});
		track.addEventListener("pointermove", (event) => {
			if (held && Math.abs(event.clientX - held.x) > 6) held.moved = true;
			if (held?.moved) {
				const by = (event.clientX - held.x) / track.clientWidth * this.span;
				this.from = Math.min(DAY_S - this.span, Math.max(0, held.from - by));
				this.draw();
			}
			this.hint(held?.moved ? null : this.at(event), event);
		});
		track.addEventListener("pointerup", (event) => {
			const found = held && !held.moved && this.at(event);
			held = null;
			if (found) this.pick(found);
		});
		track.addEventListener("pointercancel", () => { held = null; });
		track.addEventListener("pointerleave", () => this.hint(null));
		track.addEventListener("keydown", (event) => {
			const step = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1 }[event.key];
			const { recordings } = this;
			const at = recordings.findIndex(({ id }) => id === this.chosen?.id);
			const to = { Home: recordings.length - 1, End: 0 }[event.key] ?? (step && (at < 0 ? 0 : at + step));
			if (to === undefined) return;
			event.preventDefault();
			if (recordings[to]) this.pick(recordings[to]);
		});
	}

	// The recording under the pointer, or the nearest to it.
	at({ offsetX }) {
		const x = (recording) => (ofDay(recording.time) - this.from) / this.span * this.track.clientWidth;
		let best = null;
		let least = NEAR_PX;
		for (const recording of this.recordings) {
			const distance = Math.abs(x(recording) - offsetX);
			if (distance < least) [best, least] = [recording, distance];
		}
		return best;
	}

	hint(recording, event) {
		if (this.hinted === recording?.id) return;
		this.hinted = recording?.id;
		this.tip.hidden = !recording;
		this.track.style.cursor = recording ? "pointer" : "";
		if (!recording) return;
		const left = Math.min(this.track.clientWidth - 150, Math.max(0, event.offsetX - 75));
		this.tip.style.transform = `translateX(${left}px)`;
		this.tip.replaceChildren(thumbnail(this.camera, recording), h("span", {}, described(recording)));
	}

	render() {
		const { canvas, track, recordings, from, span, chosen } = this;
		const width = track.clientWidth;
		const height = track.clientHeight;
		if (!width) return;
		const scale = devicePixelRatio;
		canvas.width = Math.round(width * scale);
		canvas.height = Math.round(height * scale);
		const context = canvas.getContext("2d");
		const style = getComputedStyle(track);
		const color = (name) => style.getPropertyValue(name);
		const [line, soft, bar, strong, kept] = ["--line", "--soft", "--bar", "--rec", "--good"].map((name) => resolved(track, color(name)));
		context.scale(scale, scale);
		const foot = height - 20;
		const x = (s) => (s - from) / span * width;
		ticks(context, { from, span, width, foot, x, line, soft, font: `11px ${style.fontFamily}` });
		for (const recording of recordings) {
			const at = x(ofDay(recording.time));
			if (at < -4 || at > width + 4) continue;
			const length = Math.max(2, (recording.duration_s ?? 1) / span * width);
			// Little motion is most of it: the root makes the small ones visible.
			const part = recording.changed === undefined ? 0.4 : 0.18 + 0.82 * Math.min(1, Math.sqrt(recording.changed * 4));
			const tall = Math.round((foot - 6) * part);
			context.fillStyle = recording.protected ? kept : bar;
			context.beginPath();
			context.roundRect(at - length / 2, foot - tall, length, tall, Math.min(2, length / 2));
			context.fill();
		}
		if (this.now !== null && this.now >= from && this.now <= from + span) {
			context.fillStyle = soft;
			context.fillRect(x(this.now), 0, 1, foot);
		}
		if (!chosen) return;
		const at = x(ofDay(chosen.time));
		context.fillStyle = strong;
		context.fillRect(at - 1, 0, 2, foot);
		context.beginPath();
		context.arc(at, 5, 5, 0, 7);
		context.fill();
	}
}

const described = ({ time, duration_s, cause }) =>
	[clock(time), cause && words(cause), duration_s !== undefined && seconds(duration_s)].filter(Boolean).join(", ");

// A canvas knows no light-dark(): the browser resolves it on an element.
const probe = h("i", { hidden: true });

function resolved(place, value) {
	place.append(probe);
	probe.style.color = value;
	const color = getComputedStyle(probe).color;
	probe.remove();
	return color;
}

function ticks(context, { from, span, width, foot, x, line, soft, font }) {
	const every = [300, 600, 900, 1800, 3600, 7200, 10800, 21600].find((step) => step / span * width >= 52) ?? 21600;
	context.font = font;
	context.fillStyle = line;
	context.fillRect(0, foot, width, 1);
	for (let s = Math.ceil(from / every) * every; s <= from + span; s += every) {
		const at = Math.round(x(s));
		context.fillStyle = line;
		context.fillRect(at, 0, 1, foot + 4);
		const text = `${String(Math.floor(s / 3600)).padStart(2, "0")}:${String(s / 60 % 60).padStart(2, "0")}`;
		const wide = context.measureText(text).width;
		context.fillStyle = soft;
		context.fillText(text, Math.min(width - wide, Math.max(0, at - wide / 2)), foot + 16);
	}
}
