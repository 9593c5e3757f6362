// One recording in the list.

import { may, only, why } from "./api.js";
import { button, h } from "./dom.js";
import { bytes, clock, seconds, words } from "./format.js";
import { icon } from "./icons.js";
import { recordingPath, thumbnail } from "./thumbnail.js";

const UPLOADS = {
	waiting: ["cloud", "", "Waiting to be uploaded"],
	sent: ["cloud", "good", "Uploaded"],
	failed: ["warn", "bad", "Not uploaded"],
};

// `does`: choose, protect, remove, tick (each with the recording), isChosen, isSelected, settled (whether scrolling rests).
export function row(camera, first, does) {
	let one = first;
	const tick = h("input", { type: "checkbox", onchange: () => does.tick(one, tick.checked) });
	const time = h("time", {});
	const facts = h("small");
	const marks = h("span", { class: "marks" });
	const picture = h("span", { class: "picture" });
	const open = h("button", { type: "button", class: "open", onclick: () => {
		if (!element.closest(".selecting")) return does.choose(one);
		tick.checked = !tick.checked;
		return does.tick(one, tick.checked);
	} }, picture, h("span", { class: "about" }, time, facts), marks);
	const protect = button("Protect", "shield", () => does.protect(one), { bare: true, kind: "quiet" });
	const download = h("a", { class: "button bare quiet" }, icon("download"));
	const remove = button("Delete", "trash", () => does.remove(one), { bare: true, kind: "quiet" });
	const element = h("li", { class: "entry" }, h("label", { class: "tick" }, tick), open, h("span", { class: "acts" }, protect, download, remove));

	// Rows that only flash by while scrolling ask for no picture.
	const look = () => {
		if (!element.isConnected) return;
		if (does.settled()) picture.append(thumbnail(camera, one));
		else setTimeout(look, 120);
	};
	queueMicrotask(look);

	element.fill = (newer) => {
		one = newer;
		const at = clock(one.time);
		const known = one.duration_s !== undefined;
		element.classList.toggle("chosen", does.isChosen(one));
		open.ariaCurrent = does.isChosen(one) || null;
		tick.checked = does.isSelected(one);
		element.classList.toggle("ticked", tick.checked);
		const now = `${one.duration_s} ${one.bytes} ${one.protected} ${one.recording} ${one.upload?.state}`;
		if (element.dataset.now === now) return;
		element.dataset.now = now;
		// One that had just begun had no picture yet.
		picture.querySelector("img:not([src])")?.replaceWith(thumbnail(camera, one));
		tick.setAttribute("aria-label", `Select ${at}`);
		time.textContent = at;
		time.setAttribute("datetime", one.trigger ?? `${one.day}T${at}`);
		facts.textContent = !known ? "…" : [
			one.recording ? "recording now" : seconds(one.duration_s), one.cause && words(one.cause), bytes(one.bytes),
		].filter(Boolean).join(" · ");
		marks.replaceChildren(...badges(one));
		name(protect, one.protected ? `Let ${at} be deleted` : `Protect ${at}`, "operator");
		protect.setAttribute("aria-pressed", Boolean(one.protected));
		protect.disabled = !known;
		only("operator", protect);
		download.href = `${recordingPath(camera, one)}/video.mp4`;
		download.download = `${one.day};${one.time};video.mp4`;
		name(download, `Download ${at} as MP4`);
		const held = one.protected ? "Protected: take the protection away first" : one.recording ? "Still recording" : "";
		name(remove, held || `Delete ${at}`, "admin");
		remove.disabled = Boolean(held) || !known;
		only("admin", remove);
	};
	return element;
}

function name(control, text, role) {
	control.setAttribute("aria-label", text);
	control.title = role && !may(role) ? why(role) : text;
}

function badges({ protected: kept, recording, upload }) {
	const badge = (name, kind, text) => h("span", { class: `mark-icon ${kind}`, title: text }, icon(name), h("span", { class: "unseen" }, text));
	const sent = UPLOADS[upload?.state];
	return [
		recording && badge("record", "rec", "Recording now"),
		kept && badge("shield", "good kept", "Protected"),
		sent && badge(sent[0], sent[1], upload.cause ? `${sent[2]}: ${upload.cause}` : sent[2]),
	].filter(Boolean);
}
