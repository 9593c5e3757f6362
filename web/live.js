// A camera as it is now: live picture, what moves, start and stop, record now, and its newest recordings beside it.

import { base, may, now, only, post, why } from "./api.js";
import { on, refresh } from "./cameras.js";
import { button, complain, fullScreen, h, relabel, toast } from "./dom.js";
import { position } from "./format.js";
import { newest } from "./newest.js";
import { Stage } from "./stage.js";

const kept = (key, otherwise) => JSON.parse(localStorage.getItem(key) ?? JSON.stringify(otherwise));

export function mount(place, camera, signal) {
	let recordingSince = null;
	const stage = new Stage(camera, signal);
	const badge = h("span", { class: "badge", hidden: true });
	const facts = h("dl", { class: "stats", hidden: true });
	stage.element.append(badge, facts);

	const monitor = button("Stop watching", "eye", () => act(camera.monitoring ? "api/stop" : "api/start"));
	const record = button("Record now", "record", async () => {
		record.disabled = true;
		if (await act("api/record")) toast("Recording. It ends by itself.");
		setTimeout(() => { record.disabled = !may("operator"); }, 1000);
	}, { kind: "primary" });
	const boxes = button("Motion boxes", "boxes", () => press(boxes, "boxes"), { bare: true });
	const measure = button("Latency and bit rate", "gauge", () => press(measure, "stats"), { bare: true });
	const full = button("Full screen", "full", () => fullScreen(stage.element, stage.video), { bare: true });
	only("operator", monitor, record);

	const time = h("time", { class: "now" });
	const brightness = h("span", { hidden: true });
	const viewers = h("span");
	place.append(
		h("div", { class: "watching" },
			stage.element,
			h("div", { class: "bar" }, monitor, record, h("p", { class: "facts" }, time, brightness, viewers), boxes, measure, full),
			!may("operator") && h("p", { class: "note" }, why("operator"))),
		newest(camera, signal),
	);

	function press(control, key, to = control.getAttribute("aria-pressed") !== "true") {
		control.setAttribute("aria-pressed", to);
		localStorage.setItem(key, JSON.stringify(to));
		if (control === measure) facts.hidden = !to;
	}
	press(boxes, "boxes", kept("boxes", true));
	press(measure, "stats", kept("stats", false));

	async function act(path) {
		try {
			await post(base(camera) + path);
			refresh();
			return true;
		} catch (error) {
			complain(error);
			return false;
		}
	}

	function update(newer) {
		camera = newer;
		stage.update(camera);
		relabel(monitor, camera.monitoring ? "Stop watching" : "Start watching", "eye");
		monitor.classList.toggle("off", !camera.monitoring);
		brightness.hidden = (camera.brightness ?? null) === null;
		brightness.textContent = `Brightness ${camera.brightness}`;
		viewers.textContent = camera.viewers === 1 ? "1 viewer" : `${camera.viewers} viewers`;
		if (camera.state === "degraded") stage.say(camera.cause ?? "The camera gives no pictures.");
		else if (stage.notice.textContent && !stage.attempts) stage.say("");
		recordingSince = camera.recording ? recordingSince ?? Date.now() : null;
		tick();
	}

	function tick() {
		time.textContent = now().clock;
		badge.hidden = !camera.recording;
		if (camera.recording) badge.textContent = `Recording ${position((Date.now() - recordingSince) / 1000)}`;
		if (!facts.hidden) showFacts();
	}

	function showFacts() {
		const stats = stage.stats();
		const rows = stats ? [
			["Stream", `${stats.way}, ${stats.size.join("×")}`],
			["Bit rate", stats.kbit < 1000 ? `${Math.round(stats.kbit)} kbit/s` : `${(stats.kbit / 1000).toFixed(1)} Mbit/s`],
			["Pictures", stats.fps === null ? "…" : `${stats.fps.toFixed(1)} a second${stats.dropped ? `, ${stats.dropped} dropped` : ""}`],
			["Latency", stats.behind_s === null ? "unknown" : `${Math.max(0, Math.round(stats.behind_s * 1000))} ms${stats.way === "H.264" ? " in the browser" : ""}`],
			["First picture", stage.firstPicture_ms ? `after ${Math.round(stage.firstPicture_ms)} ms` : "…"],
		] : [["Stream", "waiting for pictures"]];
		facts.replaceChildren(...rows.flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]));
	}

	on("motion", (motion) => {
		if (motion.camera === camera.name && boxes.getAttribute("aria-pressed") === "true") stage.box(motion);
	}, signal);
	const timer = setInterval(tick, 1000);
	signal.addEventListener("abort", () => clearInterval(timer));
	update(camera);
	return { update };
}
