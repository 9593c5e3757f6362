// The small picture of a recording: of its trigger; where there is none, a plain field.

import { base } from "./api.js";
import { h } from "./dom.js";

// A daemon without small pictures is asked once.
let small = true;

export const recordingPath = (camera, { day, time }) => `${base(camera)}api/recordings/${day}/${time}`;

// The whole picture that triggered it.
export const trigger = (camera, recording) => `${recordingPath(camera, recording)}/trigger`;

export function thumbnail(camera, recording) {
	const at = recordingPath(camera, recording);
	const image = h("img", { class: "thumb", alt: "", loading: "lazy", decoding: "async", width: 128, height: 72 });
	image.addEventListener("error", () => {
		if (image.src.endsWith("thumb.jpg")) {
			// The whole picture, where this daemon makes no small ones.
			small = false;
			image.src = trigger(camera, recording);
		} else {
			image.removeAttribute("src");
			image.classList.add("none");
		}
	});
	image.src = small ? `${at}/thumb.jpg` : trigger(camera, recording);
	return image;
}
