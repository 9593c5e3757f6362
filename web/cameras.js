// What the cameras are doing now: the daemon's events where it sends them, else asked for every two seconds.
//
// Tells listeners of `news`: "cameras" (the list changed), "link" (connected or not), "motion", "recording", "upload".

import { ask, listenToOffset, root } from "./api.js";

export const news = new EventTarget();
// The daemon's words for what a camera does, and ours.
export const STATES = { recording: "recording", monitoring: "watching", paused: "paused", degraded: "needs attention" };

export const world = { cameras: [], connected: null, problem: "" };

const POLL_MS = 2000;
// With events, the list is asked for all the same, for what no event tells.
const CHECK_MS = 10_000;
const TRY_EVENTS_AGAIN_MS = 30_000;

let stream = null;
let noEventsUntil = 0;
let timer = 0;
let asking = null;

const tell = (type, detail) => news.dispatchEvent(new CustomEvent(type, { detail }));

export function on(type, listener, signal) {
	news.addEventListener(type, ({ detail }) => listener(detail), { signal });
}

export const find = (name) => world.cameras.find((camera) => camera.name === name);

function connected(yes, problem = "") {
	if (world.connected === yes && world.problem === problem) return;
	Object.assign(world, { connected: yes, problem });
	tell("link");
}

function take(cameras) {
	for (const camera of cameras) {
		listenToOffset(camera.last_event);
		const before = find(camera.name);
		const changed = before && (before.recording !== camera.recording || before.last_event !== camera.last_event);
		// Without events this is how a new recording is noticed.
		if (changed && !stream) tell("recording", { camera: camera.name, state: camera.recording ? "started" : "finished" });
	}
	world.cameras = cameras;
	tell("cameras");
}

// Asks now, whatever the timer says; one request at a time.
export async function refresh() {
	asking ??= ask(`${root}api/cameras`).finally(() => { asking = null; });
	try {
		take(await asking);
		connected(true);
	} catch (error) {
		connected(false, error.message);
	}
}

function listen() {
	if (stream || Date.now() < noEventsUntil) return;
	stream = new EventSource(`${root}api/events`);
	const data = (handle) => ({ data: text }) => handle(JSON.parse(text));
	stream.addEventListener("state", data((camera) => {
		const others = world.cameras.filter(({ name }) => name !== camera.name);
		take([...others, camera].sort((a, b) => (a.name < b.name ? -1 : 1)));
		connected(true);
	}));
	for (const type of ["motion", "recording", "upload"]) {
		stream.addEventListener(type, data((detail) => tell(type, detail)));
	}
	// What the daemon does not remember any more was missed.
	stream.addEventListener("reset", data(({ camera }) => tell("recording", { camera, state: "changed" })));
	let opened = false;
	stream.addEventListener("open", () => {
		// Between two connections anything may have happened.
		if (opened) for (const { name } of world.cameras) tell("recording", { camera: name, state: "changed" });
		opened = true;
		refresh();
	});
	stream.addEventListener("error", () => {
		if (stream?.readyState === EventSource.CLOSED) {
			stream = null;
			noEventsUntil = Date.now() + TRY_EVENTS_AGAIN_MS;
		}
		refresh();
	});
}

function silence() {
	stream?.close();
	stream = null;
}

function again() {
	clearTimeout(timer);
	const live = stream?.readyState === EventSource.OPEN;
	timer = setTimeout(async () => {
		listen();
		await refresh();
		again();
	}, world.connected && live ? CHECK_MS : POLL_MS);
}

// Begins; while the page is not seen, nothing is asked and no connection is held.
export async function watch() {
	document.addEventListener("visibilitychange", async () => {
		if (document.hidden) {
			clearTimeout(timer);
			silence();
			return;
		}
		listen();
		await refresh();
		again();
	});
	await refresh();
	if (!document.hidden) {
		listen();
		again();
	}
}
