// The small picture of a recording: of its trigger; where there is none, a plain field.

import { base } from "./api.js";
import { h } from "./dom.js";

export const recordingPath = (camera, { day, time }) => `${base(camera)}api/recordings/${day}/${time}`;

// The whole picture that triggered it.
export const trigger = (camera, recording) => `${recordingPath(camera, recording)}/trigger`;

export function thumbnail(camera, recording) {
	const image = h("img", { class: "thumb", alt: "", loading: "lazy", decoding: "async", width: 128, height: 72 });
	const look = () => { image.src = `${recordingPath(camera, recording)}/thumb.jpg`; };
	let tries = recording.recording ? 3 : 0;
	image.addEventListener("error", () => {
		image.removeAttribute("src");
		if (tries > 0) setTimeout(look, 2000);
		tries -= 1;
	});
	// One that has just begun may have no picture yet.
	setTimeout(look, recording.recording ? 1500 : 0);
	return image;
}
