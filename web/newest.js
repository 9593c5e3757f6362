// The newest few recordings beside the live picture. The whole list is in recordings.js.

import { ask, base, now } from "./api.js";
import { on } from "./cameras.js";
import { h } from "./dom.js";
import { clock, seconds, shortDay } from "./format.js";
import { thumbnail } from "./thumbnail.js";

const SHOWN = 8;

export function newest(camera, signal) {
	const list = h("ul", { class: "cards" });
	const note = h("p", { class: "note", hidden: true });
	const element = h("aside", { class: "newest", "aria-labelledby": "newest" },
		h("div", { class: "row" }, h("h2", { id: "newest" }, "Newest recordings"), h("a", { href: `#/${camera.name}/recordings` }, "All")),
		note, list);
	const entries = new Map();

	async function load() {
		try {
			const recordings = await ask(`${base(camera)}api/recordings?details=1&limit=${SHOWN}`, { signal });
			const wanted = recordings.map((recording) => {
				const key = `${recording.id} ${recording.recording} ${recording.protected}`;
				if (!entries.has(key)) entries.set(key, entry(camera, recording));
				return entries.get(key);
			});
			list.replaceChildren(...wanted);
			note.hidden = recordings.length > 0;
			note.textContent = "Nothing has been recorded yet. When something moves, it shows up here.";
		} catch (error) {
			if (error.name === "AbortError") return;
			note.hidden = false;
			note.textContent = error.message;
		}
	}

	on("recording", (news) => { if (news.camera === camera.name) load(); }, signal);
	on("link", load, signal);
	load();
	return element;
}

function entry(camera, recording) {
	const { id, day, time } = recording;
	return h("li", {}, h("a", { class: "card", href: `#/${camera.name}/recordings/${id}` },
		thumbnail(camera, recording),
		h("span", { class: "about" },
			h("time", {}, clock(time)),
			h("small", {}, recording.recording ? "recording now" : `${shortDay(day, now().day)} · ${seconds(recording.duration_s)}`))));
}
