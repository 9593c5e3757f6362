// What was recorded: days, the day's line, the list, the player, and what can be done with one, several or a whole day. How
// it is fetched is in catalogue.js, a row in row.js.

import { now, only } from "./api.js";
import { on } from "./cameras.js";
import { Catalogue } from "./catalogue.js";
import { button, complain, confirm, empty, failed, gap, h, loading, toast } from "./dom.js";
import { bytes, clock, count, longDay, shortDay } from "./format.js";
import { Player } from "./player.js";
import { row } from "./row.js";
import { Timeline } from "./timeline.js";
import { Windowed } from "./windowed.js";

const DESK = matchMedia("(min-width: 62rem)");
const ROW_PX = 84;

export function mount(place, camera, signal, rest) {
	const catalogue = new Catalogue(camera, signal);
	let day = null;
	let chosen = null;
	let ready = false;
	const selected = new Set();

	const player = new Player(camera, signal, {
		next: () => step(1), previous: () => step(-1), protect: (one) => protect([one], !one.protected), remove: removeOne, close,
	});
	const timeline = new Timeline(camera, signal, (one) => choose(one, true));
	const days = h("select", { "aria-label": "Day", class: "days", onchange: () => open(days.value) });
	const older = button("Earlier day", "left", () => turn(1), { bare: true });
	const newer = button("Later day", "right", () => turn(-1), { bare: true });
	const select = button("Select", "select", () => selecting(!place.classList.contains("selecting")));
	const wipe = button("Delete day", "trash", removeDay, { kind: "danger" });
	const summary = h("p", { class: "facts", role: "status" });
	const list = h("ul", { class: "list", "aria-label": "Recordings" });
	const chosenBar = selectionBar();
	only("admin", wipe);
	const body = h("div", { class: "archive" },
		h("div", { class: "viewing" }, timeline.track, player.element),
		h("div", { class: "listing" }, summary, list));
	place.append(loading("Loading recordings"));
	document.addEventListener("keydown", (event) => {
		if (event.key !== "Escape" || chosenBar.hidden || event.target.closest("dialog")) return;
		event.stopPropagation();
		selecting(false);
	}, { capture: true, signal });

	const windowed = new Windowed(list, {
		height: ROW_PX, key: ({ id }) => id, signal,
		row: (one) => row(camera, one, {
			choose: (each) => choose(each, true), protect: (each) => protect([each], !each.protected), remove: removeOne,
			tick: (each, yes) => { if (yes) selected.add(each.id); else selected.delete(each.id); showSelection(); },
			isChosen: (each) => each.id === chosen?.id, isSelected: (each) => selected.has(each.id), settled: () => windowed.settled(),
		}),
	});

	const shown = () => (day ? catalogue.of(day) : []);
	const ticked = () => shown().filter(({ id }) => selected.has(id));

	async function start() {
		try {
			await catalogue.loadDays();
		} catch (error) {
			failed(place, "The recordings could not be listed", error, start);
			return;
		}
		ready = true;
		if (!catalogue.days.length) {
			nothing();
			return;
		}
		place.replaceChildren(h("div", { class: "bar days-bar" }, older, days, newer, gap(), timeline.zoom, select, wipe), body, chosenBar);
		const [wanted, time] = rest;
		await open((catalogue.days.find((one) => one.day === wanted) ?? catalogue.days[0]).day, time);
	}

	function nothing() {
		day = null;
		close();
		place.replaceChildren(empty("recordings", "Nothing has been recorded yet",
			"When something moves, or when you press “Record now”, the recording appears here.",
			h("a", { class: "button primary", href: `#/${camera.name}/live` }, "Watch live")));
	}

	async function open(wanted, time) {
		day = wanted;
		selected.clear();
		catalogue.details.clear();
		chosen = null;
		show();
		try {
			await catalogue.load(day, () => {
				show();
				if (!chosen) first(time);
				else refresh();
			});
			if (!chosen) first(time);
		} catch (error) {
			complain(error);
		}
	}

	// What became known of the one in the player.
	function refresh() {
		chosen = catalogue.details.get(chosen.id) ?? chosen;
		player.update(chosen);
		player.ends({ first: !catalogue.neighbour(chosen, -1), last: !catalogue.neighbour(chosen, 1) });
	}

	// What is in the player before anyone has chosen: on a desk the newest, on a phone nothing.
	function first(time) {
		const all = shown();
		const asked = time && all.find((one) => one.time === time);
		if (time && !asked) toast(`The recording of ${clock(time)} is not there any more.`);
		if (asked) choose(asked, true);
		else if (DESK.matches && all[0]) choose(all[0], false);
	}

	function show() {
		const all = shown();
		const today = now().day;
		const options = catalogue.days.map((one) => `${one.day} ${catalogue.count(one.day)}`);
		if (days.dataset.options !== options.join()) {
			days.dataset.options = options.join();
			days.replaceChildren(...catalogue.days.map((one) => h("option", { value: one.day },
				`${shortDay(one.day, today)} · ${catalogue.count(one.day)}`)));
		}
		days.value = day;
		const at = catalogue.days.findIndex((one) => one.day === day);
		older.disabled = at >= catalogue.days.length - 1;
		newer.disabled = at <= 0;
		const size = weight(all);
		const kept = all.filter((one) => one.protected).length;
		summary.textContent = [count(all.length, "recording"), size && bytes(size), kept && `${kept} protected`].filter(Boolean).join(" · ");
		windowed.show(all);
		timeline.show(all, day === today ? now().s : null);
		showSelection();
	}

	function choose(one, play) {
		if (one.day !== day) {
			open(one.day, one.time);
			return;
		}
		chosen = catalogue.details.get(one.id) ?? one;
		history.replaceState(null, "", `#/${camera.name}/recordings/${one.id}`);
		player.show(chosen, { play });
		timeline.choose(chosen);
		refresh();
		windowed.render();
		if (play && DESK.matches) windowed.reveal(chosen.id);
		else if (play) player.element.scrollIntoView({ block: "start", behavior: "smooth" });
	}

	function step(by) {
		const to = chosen && catalogue.neighbour(chosen, by);
		if (to) choose(to, true);
	}

	function turn(by) {
		const at = catalogue.days.findIndex((one) => one.day === day) + by;
		if (catalogue.days[at]) open(catalogue.days[at].day);
	}

	function close() {
		const was = chosen;
		const at = document.activeElement;
		chosen = null;
		player.unload();
		timeline.choose(null);
		if (day) history.replaceState(null, "", `#/${camera.name}/recordings/${day}`);
		windowed.render();
		if (was && (at === document.body || player.element.contains(at))) windowed.rows.get(was.id)?.querySelector("button")?.focus({ preventScroll: true });
	}

	async function protect(which, yes) {
		try {
			for (const one of which) {
				const changed = await catalogue.protect(one, yes);
				if (changed.id === chosen?.id) {
					chosen = changed;
					player.update(changed);
				}
			}
			toast(yes ? `${names(which)} will not be deleted.` : `${names(which)} can be deleted again.`);
		} catch (error) {
			complain(error);
		}
		show();
	}

	// Out of sight at once, off the disk when the time to take it back is over.
	function removeOne(one) {
		const beside = one.id === chosen?.id && (catalogue.neighbour(one, -1) ?? catalogue.neighbour(one, 1));
		catalogue.going.add(one.id);
		const back = () => {
			catalogue.going.delete(one.id);
			if (!signal.aborted && place.contains(body)) show();
		};
		const done = async (keepalive) => {
			leaving.abort();
			try {
				await catalogue.delete(one, keepalive);
			} catch (error) {
				complain(error);
			}
			back();
			if (!signal.aborted && !catalogue.days.length) nothing();
		};
		const leaving = new AbortController();
		addEventListener("pagehide", () => done(true), { once: true, signal: leaving.signal });
		toast(`Deleted ${clock(one.time)}.`, { undo: () => { leaving.abort(); back(); }, after: () => done(false) });
		if (beside) choose(beside, false);
		else if (one.id === chosen?.id) close();
		show();
	}

	function removeDay() {
		removeMany(shown(), (n) => `${n} of ${longDay(day)}`, () => catalogue.deleteDay(day));
	}

	function removeSelected() {
		removeMany(ticked(), (_, going) => names(going),
			(going) => catalogue.deleteAll(going, (done) => { summary.textContent = `Deleting ${done} of ${going.length}`; }));
	}

	async function removeMany(which, called, erase) {
		const going = which.filter((one) => !one.protected && !one.recording);
		const stay = which.length - going.length;
		if (!going.length) {
			toast("What is protected or still recording cannot be deleted.");
			return;
		}
		const many = count(going.length, "recording");
		const sure = await confirm(`Delete ${called(many, going)}?`,
			`Recorded on ${longDay(day)}; ${bytes(weight(going))} become free.${stay ? ` ${stay} protected or still recording will stay.` : ""} This cannot be undone.`,
			`Delete ${many}`);
		if (!sure) return;
		for (const { id } of going) catalogue.going.add(id);
		if (chosen && catalogue.going.has(chosen.id)) close();
		selecting(false);
		show();
		try {
			await erase(going);
			toast(`Deleted ${many}.`);
		} catch (error) {
			complain(error);
		}
		for (const { id } of going) catalogue.going.delete(id);
		await reload();
	}

	function selectionBar() {
		const text = h("strong", { role: "status" });
		const all = button("All", "check", () => {
			for (const { id } of shown()) selected.add(id);
			showSelection();
		});
		const keep = button("Protect", "shield", () => {
			protect(ticked(), true);
			selecting(false);
		});
		const remove = button("Delete", "trash", removeSelected, { kind: "danger" });
		only("operator", keep);
		only("admin", remove);
		const bar = h("div", { class: "selection", hidden: true }, text, all, gap(), keep, remove,
			button("Cancel", "close", () => selecting(false), { bare: true, kind: "quiet" }));
		return Object.assign(bar, { text, actions: [keep, remove] });
	}

	function selecting(yes) {
		place.classList.toggle("selecting", yes);
		select.setAttribute("aria-pressed", yes);
		if (!yes) {
			selected.clear();
			if (chosenBar.contains(document.activeElement)) select.focus();
		}
		showSelection();
	}

	function showSelection() {
		chosenBar.hidden = !place.classList.contains("selecting");
		chosenBar.text.textContent = `${selected.size} selected`;
		windowed.render();
	}

	async function reload() {
		try {
			await catalogue.loadDays();
			if (!catalogue.days.length) {
				nothing();
				return;
			}
			const gone = !catalogue.days.some((one) => one.day === day);
			if (!place.contains(body)) await start();
			else if (gone) await open(catalogue.days[0].day);
			else {
				await catalogue.loadNewest(day);
				show();
				if (chosen) refresh();
			}
		} catch (error) {
			complain(error);
		}
	}

	let soon = 0;
	on("recording", (news) => {
		if (news.camera !== camera.name || !ready) return;
		clearTimeout(soon);
		soon = setTimeout(reload, 300);
	}, signal);
	on("upload", (news) => {
		const known = news.camera === camera.name && catalogue.details.get(news.id);
		if (!known) return;
		known.upload = { ...known.upload, ...news };
		windowed.render();
	}, signal);
	signal.addEventListener("abort", () => clearTimeout(soon));
	start();

	return {
		update(newer) { camera = newer; },
		route([wanted, time]) {
			const one = time && shown().find((each) => each.day === wanted && each.time === time);
			if (one) choose(one, true);
			else if (wanted && catalogue.days.some((each) => each.day === wanted)) open(wanted, time);
		},
	};
}

const weight = (all) => all.reduce((sum, one) => sum + (one.bytes ?? 0), 0);

const LIST = new Intl.ListFormat("en-GB");

// 12:25:43, 12:13:12 and 11:02:10; more than eight only by number.
const names = (which) => (which.length > 8 ? count(which.length, "recording") : LIST.format(which.map(({ time }) => clock(time))));
