// Plays one recording: back and forth, by single pictures, slower and faster. Which one comes next is recordings.js's.

import { only } from "./api.js";
import { button, fullScreen, gap, h, onceAFrame, relabel } from "./dom.js";
import { bytes, clock, longDay, percent, position, seconds, words } from "./format.js";
import { recordingPath, trigger } from "./thumbnail.js";

const SPEEDS = [0.25, 0.5, 1, 2, 4, 8];

export class Player {
	constructor(camera, signal, does) {
		Object.assign(this, { camera, does, recording: null });
		this.video = h("video", { playsinline: true, preload: "metadata" });
		this.wait = h("span", { class: "spinner", hidden: true });
		this.problem = h("p", { class: "notice", role: "alert", hidden: true });
		this.big = button("Play", "play", () => this.toggle(), { bare: true, kind: "big" });
		this.screen = h("div", { class: "screen" }, this.video, this.wait, this.big, this.problem);
		this.seek = h("input", { type: "range", class: "seek", min: 0, max: 1, step: "any", value: 0, "aria-label": "Position", oninput: () => this.go(Number(this.seek.value)) });
		this.mark = h("span", { class: "mark", title: "What triggered it" });
		this.time = h("span", { class: "time" });
		this.pause = button("Play", "play", () => this.toggle(), { bare: true });
		this.speed = h("select", { "aria-label": "Speed", onchange: () => this.pace(Number(this.speed.value)) },
			SPEEDS.map((speed) => h("option", { value: speed }, `${speed}×`)));
		this.speed.value = 1;
		this.title = h("h2", { class: "playing" });
		this.facts = h("p", { class: "facts" });
		this.protect = button("Protect", "shield", () => does.protect(this.recording));
		this.remove = button("Delete", "trash", () => does.remove(this.recording), { kind: "danger" });
		only("operator", this.protect);
		only("admin", this.remove);
		this.downloads = h("div", { class: "row downloads" });
		this.previous = button("Previous recording", "previous", () => does.previous(), { bare: true });
		this.next = button("Next recording", "next", () => does.next(), { bare: true });
		this.element = h("section", { class: "player", "aria-label": "Player", hidden: true },
			h("div", { class: "player-head" }, this.title, button("Close the player", "close", () => does.close(), { bare: true, kind: "quiet close" })),
			this.screen,
			h("div", { class: "scrub" }, h("span", {}, this.seek, this.mark), this.time),
			h("div", { class: "bar tight" },
				this.previous,
				button("One picture back", "back", () => this.step(-1), { bare: true }),
				this.pause,
				button("One picture on", "forward", () => this.step(1), { bare: true }),
				this.next,
				gap(),
				this.speed,
				button("Full screen", "full", () => fullScreen(this.screen, this.video), { bare: true })),
			this.facts,
			h("div", { class: "bar tight" }, this.downloads, gap(), this.protect, this.remove));
		this.listen(signal);
	}

	listen(signal) {
		const { video } = this;
		const draw = onceAFrame(() => this.draw());
		for (const type of ["timeupdate", "seeked", "play", "pause", "durationchange", "loadeddata", "ended", "ratechange"]) video.addEventListener(type, draw);
		video.addEventListener("click", () => this.toggle());
		video.addEventListener("waiting", () => { this.wait.hidden = false; });
		for (const type of ["playing", "canplay", "seeked", "error"]) video.addEventListener(type, () => { this.wait.hidden = true; });
		video.addEventListener("error", () => {
			if (!video.hasAttribute("src")) return;
			this.problem.hidden = false;
			this.problem.textContent = "This recording cannot be played here. Download it and play it with another program, such as VLC.";
		});
		const everyPicture = (_, { mediaTime }) => {
			// How long one picture is, from two that followed each other.
			const length = mediaTime - this.shown;
			if (!video.paused && length > 0.005 && length < 0.5) this.picture_s = length;
			this.shown = mediaTime;
			draw();
			video.requestVideoFrameCallback(everyPicture);
		};
		video.requestVideoFrameCallback?.(everyPicture);
		document.addEventListener("keydown", (event) => this.key(event), { signal });
		signal.addEventListener("abort", () => this.unload());
	}

	key(event) {
		if (!this.recording || event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
		// Other controls keep their own keys.
		if (event.target.closest("input:not(.seek), select, dialog")) return;
		const onButton = event.target.closest("button, a, summary");
		const action = {
			" ": () => !onButton && (this.toggle(), true), k: () => this.toggle(),
			",": () => this.step(-1), ".": () => this.step(1),
			ArrowLeft: () => this.go(this.video.currentTime - 5), ArrowRight: () => this.go(this.video.currentTime + 5),
			n: () => this.does.next(), p: () => this.does.previous(), f: () => fullScreen(this.screen, this.video),
			"<": () => this.faster(-1), ">": () => this.faster(1), Escape: () => this.does.close(),
		}[event.key];
		if (action && action() !== false) event.preventDefault();
	}

	show(recording, { play }) {
		const { video } = this;
		if (this.recording?.id !== recording.id) {
			const at = recordingPath(this.camera, recording);
			this.problem.hidden = true;
			this.element.hidden = false;
			this.shown = 0;
			this.picture_s = null;
			video.poster = trigger(this.camera, recording);
			video.src = `${at}/video.mp4`;
			video.playbackRate = Number(this.speed.value);
			const name = `${recording.day};${recording.time}`;
			this.downloads.replaceChildren(
				...[["MP4", "video.mp4", ""], ["H.264", "video", ".h264"], ["Picture", "trigger", ".jpg"]].map(([word, file, ending]) => h("a", {
					class: "button", href: `${at}/${file}`, download: `${name};${file}${ending}`, title: `Download as ${word}`,
				}, word)));
			this.big.hidden = play;
			this.wait.hidden = !play;
		}
		this.update(recording);
		if (play) video.play().catch(() => { this.big.hidden = false; });
		this.draw();
	}

	// What became known of the recording that is shown.
	update(recording) {
		const { video } = this;
		if (this.recording?.recording && !recording.recording && video.paused) {
			// What was still being written is whole now.
			const at = video.currentTime;
			video.load();
			video.currentTime = at;
		}
		this.recording = recording;
		const { day, time, duration_s, size } = recording;
		this.title.replaceChildren(clock(time), h("small", {}, longDay(day)));
		this.facts.textContent = [
			recording.recording ? "still recording" : duration_s !== undefined && seconds(duration_s),
			size && `${size.width}×${size.height}`, recording.bytes && bytes(recording.bytes), recording.cause && words(recording.cause),
			recording.changed && `${percent(recording.changed)} of the picture moved`,
			recording.times_known === false && "the clock was not set when this was recorded",
		].filter(Boolean).join(" · ");
		this.protect.setAttribute("aria-pressed", Boolean(recording.protected));
		relabel(this.protect, recording.protected ? "Protected" : "Protect", "shield");
		const lead = (Date.parse(recording.trigger) - Date.parse(recording.start)) / 1000;
		this.lead_s = Number.isFinite(lead) && lead > 0 && recording.cause === "motion" ? lead : null;
		this.draw();
	}

	ends({ first, last }) {
		this.previous.disabled = first;
		this.next.disabled = last;
	}

	unload() {
		this.recording = null;
		this.element.hidden = true;
		this.video.pause();
		this.video.removeAttribute("src");
		this.video.load();
	}

	toggle() {
		if (this.video.paused) this.video.play().catch(() => {});
		else this.video.pause();
	}

	go(to) {
		const { video } = this;
		video.currentTime = Math.min(Math.max(0, to), Number.isFinite(video.duration) ? video.duration : to);
		this.shown = video.currentTime;
	}

	// From the middle of one picture to the middle of its neighbour: rounding never shows the same one again.
	step(by) {
		this.video.pause();
		const length = this.picture_s ?? 1 / (this.camera.fps || 15);
		const shown = this.video.requestVideoFrameCallback ? this.shown : this.video.currentTime;
		const next = Math.max(0, shown + by * length);
		this.go(next + length / 2);
		// Until it is seen, the next step goes on from here.
		this.shown = next;
	}

	pace(speed) {
		this.speed.value = speed;
		this.video.playbackRate = speed;
	}

	faster(by) {
		const at = SPEEDS.indexOf(Number(this.speed.value)) + by;
		if (SPEEDS[at]) this.pace(SPEEDS[at]);
	}

	draw() {
		const { video, seek } = this;
		const length = Number.isFinite(video.duration) && video.duration ? video.duration : this.recording?.duration_s || 1;
		seek.max = length;
		seek.value = video.currentTime;
		seek.setAttribute("aria-valuetext", `${position(video.currentTime)} of ${position(length)}`);
		seek.style.setProperty("--played", `${video.currentTime / length * 100}%`);
		this.time.textContent = `${position(video.currentTime, video.paused)} / ${position(length)}`;
		relabel(this.pause, video.paused ? "Play" : "Pause", video.paused ? "play" : "pause");
		if (!video.paused) this.big.hidden = true;
		this.mark.hidden = !this.lead_s;
		if (this.lead_s) this.mark.style.setProperty("--at", this.lead_s / length);
	}
}
