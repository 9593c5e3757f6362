// What a camera has recorded: which days, and of a day everything that is known. Holds what was asked for, forgets what
// changed, and deletes and protects. Nothing here is drawn.

import { ask, base, change, listenToOffset } from "./api.js";
import { nextDay } from "./format.js";
import { recordingPath } from "./thumbnail.js";

const PAGE = 500;
const AT_ONCE = 4;

export class Catalogue {
	constructor(camera, signal) {
		this.camera = camera;
		this.signal = signal;
		this.at = `${base(camera)}api/recordings`;
		this.days = [];
		// Of the open day, by id.
		this.details = new Map();
		// Shown as deleted already, while it can be undone.
		this.going = new Set();
	}

	async loadDays() {
		this.days = await ask(this.at, { signal: this.signal });
	}

	// The day's recordings, newest first, as far as they are known: at least { id, day, time }.
	of(day) {
		const times = this.days.find((one) => one.day === day)?.times ?? [];
		return times.map((time) => {
			const id = `${day}/${time}`;
			return this.details.get(id) ?? { id, day, time };
		}).filter(({ id }) => !this.going.has(id));
	}

	count(day) {
		return this.of(day).length;
	}

	// Everything that is known of a day's recordings, in pages; calls back after each.
	async load(day, arrived) {
		let until = nextDay(day);
		for (;;) {
			const page = await this.page(day, until, PAGE);
			listenToOffset(page[0]?.start);
			arrived();
			if (page.length < PAGE || page.at(-1).start === until) return;
			until = page.at(-1).start;
		}
	}

	// Those that are new or changed lately.
	loadNewest(day) {
		return this.page(day, nextDay(day), 50);
	}

	async page(since, until, limit) {
		const page = await ask(`${this.at}?${new URLSearchParams({ details: 1, limit, since, until })}`, { signal: this.signal });
		for (const recording of page) this.details.set(recording.id, recording);
		return page;
	}

	// The neighbours in time, also in other days; `step` 1 is newer.
	neighbour({ day, time }, step) {
		const all = this.days.flatMap((one) => one.times.map((each) => ({ id: `${one.day}/${each}`, day: one.day, time: each })))
			.filter(({ id }) => !this.going.has(id));
		const at = all.findIndex((one) => one.day === day && one.time === time);
		const found = at < 0 ? null : all[at - step];
		return found ? this.details.get(found.id) ?? found : null;
	}

	async protect(recording, yes) {
		const changed = await change("PATCH", recordingPath(this.camera, recording), { protected: yes });
		this.details.set(recording.id, changed);
		return changed;
	}

	// `keepalive` lets it be sent while the page is being left.
	async delete(recording, keepalive = false) {
		await ask(recordingPath(this.camera, recording), { method: "DELETE", keepalive });
		this.forget(recording);
	}

	// Deletes several; throws when some could not be.
	async deleteAll(recordings, progress) {
		const left = [...recordings];
		const failed = [];
		const worker = async () => {
			for (let one = left.shift(); one; one = left.shift()) {
				await this.delete(one).catch((error) => { if (error.status !== 404) failed.push(error); });
				progress(recordings.length - left.length);
			}
		};
		await Promise.all(Array.from({ length: AT_ONCE }, worker));
		if (failed.length) throw new Error(`${failed.length} could not be deleted: ${failed[0].message}`);
	}

	deleteDay(day) {
		return ask(`${this.at}/${day}`, { method: "DELETE" });
	}

	forget({ id, day, time }) {
		this.details.delete(id);
		const of = this.days.find((one) => one.day === day);
		if (!of) return;
		of.times = of.times.filter((each) => each !== time);
		if (!of.times.length) this.days = this.days.filter((one) => one !== of);
	}
}
