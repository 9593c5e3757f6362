// Requests to the daemon. Every address is relative to the page's, so that it works below any path prefix.

// The page at `/` is the default camera's; below `cameras/NAME/` it is that camera's.
export const named = location.pathname.match(/\/cameras\/([a-z0-9-]+)\/$/)?.[1];
export const root = named ? "../../" : "";

// Where a camera's interface is.
export const base = (camera) => (camera.default && !named ? "" : root + camera.prefix);

export class Problem extends Error {
	constructor(message, status) {
		super(message);
		this.status = status;
	}
}

// Sends a request; throws a Problem that says what to do.
export async function send(path, options = {}) {
	let answer;
	try {
		answer = await fetch(path, { cache: "no-store", ...options });
	} catch (error) {
		if (error.name === "AbortError") throw error;
		throw new Problem("The camera does not answer. Check that it has power and that this device is in its network.", 0);
	}
	listenToClock(answer.headers.get("date"));
	if (answer.ok) return answer;
	const problem = await answer.json().catch(() => ({}));
	throw new Problem(problem.detail ?? told(answer.status), answer.status);
}

function told(status) {
	if (status === 401 || status === 403) return "You are not let in: the certificate of this device may not do that.";
	if (status === 404) return "That is not there any more. Load the page again.";
	if (status >= 500) return "The camera cannot do that at the moment. Try again; the System page says what is wrong.";
	return `The camera answered ${status}. Load the page again.`;
}

export async function ask(path, options) {
	const answer = await send(path, options);
	return answer.status === 204 ? null : answer.json();
}

export const post = (path) => ask(path, { method: "POST" });

export const change = (method, path, value, options) => ask(path, {
	method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(value), ...options,
});

// What the daemon's clock and its local time say, learnt from its answers: its days are not always this device's.
let ahead_ms = 0;
let offset_min = -new Date().getTimezoneOffset();

function listenToClock(date) {
	const told = Date.parse(date);
	// The header has whole seconds: only what is more is known.
	if (!Number.isNaN(told)) ahead_ms = Math.abs(told - Date.now()) > 2000 ? told - Date.now() : 0;
}

// From a time with its offset, as 2026-03-01T12:25:43+01:00.
export function listenToOffset(time) {
	const [, sign, hours, minutes] = time?.match(/([+-])(\d\d):(\d\d)$/) ?? [];
	if (sign) offset_min = (sign === "-" ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
}

// The daemon's local time as { day: "2026-03-01", s: seconds since midnight, clock: "12:25:43" }.
export function now() {
	const text = new Date(Date.now() + ahead_ms + offset_min * 60e3).toISOString();
	const [hours, minutes, s] = text.slice(11, 19).split(":").map(Number);
	return { day: text.slice(0, 10), s: hours * 3600 + minutes * 60 + s, clock: text.slice(11, 19) };
}

// Who asks, and what their role lets them do. A daemon without roles lets everyone do everything.
const RANK = { viewer: 0, operator: 1, admin: 2 };
export const who = { name: "", role: "admin" };

export async function learnWho() {
	try {
		const identity = await ask(`${root}api/identity`);
		if (identity.role in RANK) Object.assign(who, identity);
	} catch {
		// No roles.
	}
}

export const may = (role) => RANK[who.role] >= RANK[role];

export const why = (role) => `Your certificate is a ${who.role}'s; this needs ${role === "admin" ? "an admin's" : "an operator's"}.`;

// Takes a control away, with the reason, from those who may not use it.
export function only(role, ...controls) {
	for (const control of may(role) ? [] : controls) {
		control.disabled = true;
		control.title = why(role);
	}
}
