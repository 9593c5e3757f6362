// Elements, buttons, short messages and questions: what every section is made of. Nothing here knows a camera.

import { icon } from "./icons.js";

// h("p", { class: "note", onclick: f, hidden: true }, "text", child): attributes by their names, listeners by "on…".
export function h(tag, attributes = {}, ...children) {
	const element = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if ((value ?? false) === false) continue;
		if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
		else if (name === "value" || name === "checked") element[name] = value;
		else element.setAttribute(name, value === true ? "" : value);
	}
	element.append(...children.flat().filter((child) => (child ?? false) !== false));
	return element;
}

// A button with a picture and a word; with `bare` only the picture is seen, and the word is its name and its hint.
export function button(word, name, onclick, { kind = "", bare = false } = {}) {
	const element = h("button", { type: "button", class: `button ${kind} ${bare ? "bare" : ""}`, onclick });
	relabel(element, word, name, bare);
	return element;
}

export function relabel(element, word, name, bare = element.classList.contains("bare")) {
	if (element.dataset.word === `${word} ${name}`) return;
	element.dataset.word = `${word} ${name}`;
	element.replaceChildren(icon(name), ...(bare ? [] : [h("span", {}, word)]));
	if (bare) {
		element.setAttribute("aria-label", word);
		element.title = word;
	}
}

// One of a few: radio buttons that look like one control.
export function segments(legend, options, chosen, onchange) {
	const group = `s${Math.random().toString(36).slice(2)}`;
	return h("fieldset", { class: "segments" }, h("legend", { class: "unseen" }, legend), options.map(([value, word]) =>
		h("label", {}, h("input", {
			type: "radio", name: group, value, checked: value === chosen, onchange: () => onchange(value),
		}), h("span", {}, word))));
}

// On or off; answers the label, whose `input` is the switch.
export function toggle(word, checked, onchange) {
	const input = h("input", { type: "checkbox", checked, onchange: () => onchange(input.checked) });
	const label = h("label", { class: "switch" }, input, word);
	return Object.assign(label, { input });
}

// Says something for a few seconds. With `undo`, there is time to take it back; else `after` is done when it goes.
export function toast(text, { kind = "", undo, after, lasts_s = undo ? 7 : 4 } = {}) {
	const element = h("div", { class: `toast ${kind}` }, h("span", {}, text));
	let open = true;
	const end = (how) => {
		if (!open) return;
		open = false;
		clearTimeout(timer);
		element.remove();
		how?.();
	};
	let timer;
	const wait = () => {
		// Whoever is at it has all the time.
		timer = setTimeout(() => (element.matches(":hover, :focus-within") ? wait() : end(after)), lasts_s * 1000);
	};
	wait();
	if (undo) element.append(h("button", { type: "button", class: "button quiet undo", title: "Ctrl+Z", onclick: () => end(undo) }, "Undo"));
	element.append(button("Dismiss", "close", () => end(after), { bare: true, kind: "quiet" }));
	document.getElementById("toasts").append(element);
	return { end: () => end(after) };
}

addEventListener("keydown", (event) => {
	if (event.key !== "z" || !(event.ctrlKey || event.metaKey) || event.target.closest("[type=text]")) return;
	[...document.querySelectorAll(".undo")].at(-1)?.click();
});

// An error of `ask` in words, where nothing better is at hand.
export function complain(error) {
	if (error.name !== "AbortError") toast(error.message, { kind: "bad", lasts_s: 9 });
}

// Asks before something that cannot be taken back; true when `yes` was pressed.
export function confirm(title, text, yes) {
	return new Promise((answer) => {
		const dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title", "aria-describedby": "ask-text" },
			h("form", { method: "dialog" },
				h("h2", { id: "ask-title" }, title),
				h("p", { id: "ask-text" }, text),
				h("div", { class: "row end" },
					h("button", { class: "button", value: "no", autofocus: true }, "Cancel"),
					h("button", { class: "button danger", value: "yes" }, yes))));
		dialog.addEventListener("close", () => {
			dialog.remove();
			answer(dialog.returnValue === "yes");
		});
		document.body.append(dialog);
		dialog.showModal();
	});
}

export const gap = () => h("span", { class: "gap" });

// All of the screen, or back. iPhones know it only of videos.
export async function fullScreen(element, video) {
	try {
		if (document.fullscreenElement) await document.exitFullscreen();
		else if (element.requestFullscreen) await element.requestFullscreen();
		else video.webkitEnterFullscreen();
	} catch {
		toast("This browser shows no full screen here.");
	}
}

// In place of what could not be fetched: what was the matter, and how to go on.
export function failed(place, title, error, again) {
	if (error.name !== "AbortError") place.replaceChildren(empty("warn", title, error.message, button("Try again", "rotate", again)));
}

// Where there is nothing, and what would be there.
export function empty(name, title, text, ...more) {
	return h("div", { class: "empty" }, icon(name), h("h2", {}, title), h("p", {}, text), more);
}

export function loading(text) {
	return h("div", { class: "loading", role: "status" }, h("span", { class: "spinner" }), text);
}

// Not more often than the screen can show.
export function onceAFrame(draw) {
	let waiting = 0;
	return () => {
		waiting ||= requestAnimationFrame(() => {
			waiting = 0;
			draw();
		});
	};
}
