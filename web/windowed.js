// A long list of which only what is seen is in the page: rows of one height, scrolled with the page itself.

import { onceAFrame } from "./dom.js";

const BEYOND = 6;

export class Windowed {
	// `list` is a <ul>, `height` a row's in pixels, `row(item)` makes an element with `fill(item)`; `key(item)` names it.
	constructor(list, { height, key, row, signal }) {
		Object.assign(this, { list, height, key, row, items: [], rows: new Map() });
		this.draw = onceAFrame(() => this.render());
		addEventListener("scroll", () => {
			this.scrolled = performance.now();
			this.draw();
		}, { passive: true, signal });
		addEventListener("resize", this.draw, { signal });
	}

	settled() {
		return performance.now() - (this.scrolled ?? 0) > 100;
	}

	show(items) {
		this.items = items;
		this.list.style.height = `${items.length * this.height}px`;
		this.render();
	}

	render() {
		const { items, height, rows, list } = this;
		const above = -list.getBoundingClientRect().top;
		const first = Math.max(0, Math.floor(above / height) - BEYOND);
		const end = Math.min(items.length, Math.ceil((above + innerHeight) / height) + BEYOND);
		const wanted = new Map();
		for (let at = first; at < end; at += 1) wanted.set(this.key(items[at]), at);
		let heir = null;
		for (const [key, row] of rows) {
			// What has the focus stays, or the keyboard would lose its place; when it is gone, its neighbour has it.
			const focused = row.contains(document.activeElement);
			if (wanted.has(key) || (focused && items.some((item) => this.key(item) === key))) continue;
			if (focused) heir = row.nextElementSibling ?? row.previousElementSibling;
			row.remove();
			rows.delete(key);
		}
		let before = null;
		for (const [key, at] of wanted) {
			let row = rows.get(key);
			if (!row) {
				row = this.row(items[at]);
				rows.set(key, row);
			}
			row.fill(items[at]);
			row.style.transform = `translateY(${at * height}px)`;
			row.setAttribute("aria-setsize", items.length);
			row.setAttribute("aria-posinset", at + 1);
			// In the order of the list, for the keyboard and for readers.
			const place = before ? before.nextElementSibling : list.firstElementChild;
			if (row !== place) {
				if (before) before.after(row);
				else list.prepend(row);
			}
			before = row;
		}
		heir?.querySelector("button").focus({ preventScroll: true });
	}

	// Brings an item into view; answers its row.
	reveal(key) {
		const at = this.items.findIndex((item) => this.key(item) === key);
		if (at < 0) return null;
		const top = this.list.getBoundingClientRect().top + at * this.height;
		const from = Number.parseFloat(getComputedStyle(this.list).scrollMarginTop) || 0;
		if (top < from || top + this.height > innerHeight) scrollBy({ top: top - from - this.height, behavior: "instant" });
		this.render();
		return this.rows.get(key);
	}
}
