// SVG elements, and the pictures on the buttons: strokes on a grid of 24 by 24, drawn for Watchtower.

const PATHS = {
	live: "M4 7.5h11a1.5 1.5 0 0 1 1.5 1.5v6A1.5 1.5 0 0 1 15 16.5H4A1.5 1.5 0 0 1 2.5 15V9A1.5 1.5 0 0 1 4 7.5zm12.5 3.2 5-2.7v8l-5-2.7",
	recordings: "M12 3.5a8.5 8.5 0 1 1-7.4 4.3M4.2 3.6v4.6h4.6M12 7.5V12l3 2",
	zones: "M5 5.5 18.5 4 20 17l-8-3-7.5 5.5zM5 5.5h.01M18.5 4h.01M20 17h.01M4.5 19.5h.01",
	settings: "M4 7h9m4 0h3M4 12h3m4 0h9M4 17h7m4 0h5M15 5v4M9 10v4M13 15v4",
	system: "M3 12.5h4l2.5-7 4.5 13 2.5-6H21",
	play: "M8 5.2v13.6L19 12z",
	pause: "M8.5 5v14M15.5 5v14",
	record: "M12 6a6 6 0 1 1 0 12 6 6 0 0 1 0-12z",
	eye: "M2.5 12S6 5.8 12 5.8 21.5 12 21.5 12 18 18.2 12 18.2 2.5 12 2.5 12zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z",
	boxes: "M4 9V5.5A1.5 1.5 0 0 1 5.5 4H9m6 0h3.5A1.5 1.5 0 0 1 20 5.5V9m0 6v3.5a1.5 1.5 0 0 1-1.5 1.5H15m-6 0H5.5A1.5 1.5 0 0 1 4 18.5V15m5-6h6v6H9z",
	gauge: "M4 18a8.5 8.5 0 1 1 16 0M12 14l4-5",
	full: "M4 9V4h5m6 0h5v5m0 6v5h-5m-6 0H4v-5",
	previous: "M18 5.5v13L8.5 12zM6 5.5v13",
	next: "M6 5.5v13l9.5-6.5zM18 5.5v13",
	back: "M14.5 6 8.5 12l6 6M18.5 5v14",
	forward: "m9.5 6 6 6-6 6M5.5 5v14",
	left: "m14.5 5.5-6.5 6.5 6.5 6.5",
	right: "m9.5 5.5 6.5 6.5-6.5 6.5",
	download: "M12 4v11m-4.5-4L12 15.5l4.5-4.5M4.5 19.5h15",
	shield: "M12 3.5 19 6v5.5c0 4.5-3 7.5-7 9-4-1.5-7-4.5-7-9V6z",
	trash: "M4.5 7h15M9.5 7V4.5h5V7m2.5 0-.8 12.5H7.8L7 7m3.5 4v5m3-5v5",
	close: "m6 6 12 12M18 6 6 18",
	check: "m5 12.5 4.5 4.5L19 7",
	plus: "M12 5v14M5 12h14",
	undo: "M8.5 5 4 9.5 8.5 14M4.5 9.5H14a5.5 5.5 0 0 1 0 11h-3",
	cloud: "M7.5 18.5a4.5 4.5 0 0 1-.5-9 6 6 0 0 1 11.5 1.8 3.7 3.7 0 0 1-.5 7.2z",
	warn: "M12 4 2.8 19.5h18.4zM12 10v4.5m0 2.5v.01",
	select: "M4 6h2m3.5 0H20M4 12h2m3.5 0H20M4 18h2m3.5 0H20",
	rotate: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4h-4",
};

// Filled, because an outline of it would look pressed in.
const SOLID = new Set(["play", "record", "previous", "next"]);

export function svg(tag, attributes = {}, ...children) {
	const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
	for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
	element.append(...children);
	return element;
}

export const icon = (name) => svg("svg", { viewBox: "0 0 24 24", "aria-hidden": true, class: `icon ${SOLID.has(name) ? "solid" : ""}` },
	svg("path", { d: PATHS[name] }));
