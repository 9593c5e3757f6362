// A camera's live picture with what is drawn over it: starts with a still, goes on with H.264 or, where that cannot be,
// with JPEGs; comes back by itself; costs nothing while nobody sees it.

import { base } from "./api.js";
import { world } from "./cameras.js";
import { h } from "./dom.js";
import { svg } from "./icons.js";
import { playH264, playJpegs, Unplayable } from "./stream.js";

// Without a picture for so long, the other way is tried, or the same again.
const FIRST_PICTURE_MS = 6000;
const STALLED_MS = 8000;
const RETRY_MS = [300, 1000, 2000, 4000];

// Browsers that cannot play the stream are not asked again on this page.
let h264 = new URLSearchParams(location.search).get("live") !== "mjpeg";

export class Stage {
	constructor(camera, signal) {
		this.camera = camera;
		this.still = h("img", { alt: "", class: "still" });
		this.video = h("video", { muted: true, autoplay: true, playsinline: true, hidden: true });
		this.video.muted = true;
		this.canvas = h("canvas", { hidden: true });
		this.over = svg("svg", { viewBox: "0 0 1 1", preserveAspectRatio: "none", class: "over" });
		this.notice = h("p", { class: "notice", role: "status", hidden: true });
		this.frame = h("div", { class: "frame" }, this.still, this.video, this.canvas, this.over);
		this.element = h("figure", { class: "stage", "aria-label": `Live picture of ${camera.label}` }, this.frame, this.notice);
		// Bytes and pictures of the last seconds, for whoever wants to know.
		this.seen = [];
		this.way = null;
		this.attempts = 0;
		this.shape(camera);
		this.video.addEventListener("resize", () => this.shape(this.camera));
		document.addEventListener("visibilitychange", () => this.run(), { signal });
		signal.addEventListener("abort", () => this.stop());
		this.run();
	}

	update(camera) {
		this.camera = camera;
		this.shape(camera);
	}

	// As the picture says itself, where there is one: the list may be a moment behind.
	shape({ size }) {
		if (this.video.videoWidth) size = { width: this.video.videoWidth, height: this.video.videoHeight };
		else if (!this.canvas.hidden) size = this.canvas;
		const ratio = size ? size.width / size.height : 16 / 9;
		this.element.style.setProperty("--ratio", ratio.toFixed(4));
	}

	stop() {
		this.playing?.abort();
		this.playing = null;
		clearTimeout(this.timer);
		this.video.removeAttribute("src");
		this.video.load();
		this.seen = [];
	}

	run() {
		if (document.hidden) {
			this.stop();
			return;
		}
		if (this.playing) return;
		this.playing = new AbortController();
		this.play(this.playing);
	}

	async play(playing) {
		const { signal } = playing;
		const at = base(this.camera);
		if (this.video.hidden && this.canvas.hidden) this.still.src = `${at}api/snapshot.jpg?width=640&t=${Date.now()}`;
		this.begun = performance.now();
		let alive = performance.now();
		let pictures = 0;
		// A stream that says nothing any more has to be ended from here.
		const watchdog = setInterval(() => {
			const silent = performance.now() - alive;
			if (silent > (pictures ? STALLED_MS : FIRST_PICTURE_MS)) stream.abort(new Error("silent"));
		}, 500);
		const stream = new AbortController();
		signal.addEventListener("abort", () => stream.abort(signal.reason));
		const seen = (what) => {
			alive = performance.now();
			pictures += 1;
			this.arrived(what);
		};
		try {
			if (h264) {
				this.way = "H.264";
				for (const type of ["loadeddata", "playing"]) this.video.addEventListener(type, () => this.show(this.video), { signal: stream.signal });
				await playH264(this.video, `${at}live.mp4`, stream.signal, seen);
			} else {
				this.way = "JPEG";
				const width = Math.min(1920, Math.max(320, Math.ceil(this.frame.clientWidth * devicePixelRatio)));
				await playJpegs(this.canvas, `${at}mjpeg?width=${width}`, stream.signal, (what) => {
					this.show(this.canvas);
					seen(what);
				});
			}
		} catch (error) {
			if (signal.aborted) return;
			// A stream that keeps ending at once is none.
			this.short = pictures && performance.now() - this.begun < 3000 ? (this.short ?? 0) + 1 : 0;
			const cannot = h264 && (this.short > 3 || error instanceof Unplayable || this.video.error
				|| (!pictures && stream.signal.aborted && world.connected));
			if (cannot) {
				h264 = false;
				this.attempts = 0;
			}
			this.later(playing, cannot ? 0 : RETRY_MS[Math.min(this.attempts++, RETRY_MS.length - 1)], error);
		} finally {
			clearInterval(watchdog);
			stream.abort();
		}
	}

	later(playing, wait_ms) {
		if (this.attempts > 1) this.say(this.camera.cause ?? "The live picture is interrupted. Trying again.");
		this.timer = setTimeout(() => {
			if (this.playing === playing) this.play(playing);
		}, wait_ms);
	}

	show(shown) {
		this.attempts = 0;
		this.say("");
		this.shape(this.camera);
		if (!shown.hidden) return;
		this.firstPicture_ms = performance.now() - this.begun;
		this.video.hidden = shown !== this.video;
		this.canvas.hidden = shown !== this.canvas;
		// From the opening of the page: for those who measure.
		this.element.dataset.first ??= Math.round(performance.now());
		this.element.dataset.way = this.way;
	}

	say(text) {
		this.notice.textContent = text;
		this.notice.hidden = !text;
	}

	arrived({ bytes, behind_s }) {
		const at = performance.now();
		this.seen.push({ at, bytes, behind_s });
		while (at - this.seen[0].at > 3000) this.seen.shift();
	}

	// What is known of the stream: kbit/s and pictures a second over the last seconds, and the delay.
	stats() {
		const { seen, video } = this;
		if (seen.length < 2) return null;
		const span_s = (seen.at(-1).at - seen[0].at) / 1000 || 1;
		const coded = this.way === "H.264";
		const quality = coded && video.getVideoPlaybackQuality?.();
		const shown = quality?.totalVideoFrames;
		const fps = shown && this.counted ? (shown - this.counted.shown) / ((performance.now() - this.counted.at) / 1000) : null;
		if (shown) this.counted = { shown, at: performance.now() };
		return {
			way: this.way,
			kbit: seen.slice(1).reduce((sum, { bytes }) => sum + bytes, 0) * 8 / 1000 / span_s,
			fps: coded ? fps : (seen.length - 1) / span_s,
			behind_s: seen.at(-1).behind_s,
			dropped: quality?.droppedVideoFrames,
			size: coded ? [video.videoWidth, video.videoHeight] : [this.canvas.width, this.canvas.height],
		};
	}

	// Draws what moves, in place of what was drawn before; it fades when nothing follows.
	box({ regions = [] }) {
		this.boxes?.remove();
		if (!regions.length) return;
		this.boxes = svg("g", { class: "moved" }, ...regions.map(({ x, y, width, height }) => svg("rect", { x, y, width, height })));
		this.over.append(this.boxes);
	}
}
