// Live video on its way into the page: H.264 by Media Source Extensions, or JPEGs one by one. What is drawn around it and
// what happens when it ends is in stage.js.
//
// Both players: play(target, address, signal, seen) resolves never; they throw when the stream ends or cannot be played.
// `seen` is called with each picture's number of bytes since the last call, and what is known of its delay.

import { Problem, send } from "./api.js";

// iPhones have only the managed one.
const Source = window.ManagedMediaSource ?? window.MediaSource;

// More than this behind the newest picture is jumped over; a little more than one picture is caught up with.
const JUMP_S = 1.5;
const CATCH_UP_S = 0.4;
const KEEP_S = 20;

// The daemon or this browser has no such stream: another one has to do.
export class Unplayable extends Error {}

const once = (target, type, signal) => new Promise((resolve, reject) => {
	const give = () => reject(signal.reason);
	signal.addEventListener("abort", give, { once: true });
	target.addEventListener(type, () => {
		signal.removeEventListener("abort", give);
		resolve();
	}, { once: true });
});

export async function playH264(video, address, signal, seen) {
	if (!Source) throw new Unplayable("no MediaSource");
	let answer;
	try {
		answer = await send(address, { signal });
	} catch (error) {
		// No pictures at the moment, or nobody answers: that passes. Anything else does not.
		if (error instanceof Problem && error.status && error.status !== 503 && error.status !== 502) throw new Unplayable(error.message);
		throw error;
	}
	const type = answer.headers.get("content-type") ?? "";
	if (!Source.isTypeSupported(type)) {
		answer.body.cancel();
		throw new Unplayable(type);
	}
	const source = new Source();
	video.disableRemotePlayback = true;
	video.src = URL.createObjectURL(source);
	try {
		await once(source, "sourceopen", signal);
		const buffer = source.addSourceBuffer(type);
		await pump(answer.body.getReader(), buffer, video, signal, seen);
	} finally {
		URL.revokeObjectURL(video.src);
		answer.body.cancel().catch(() => {});
	}
}

async function pump(reader, buffer, video, signal, seen) {
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) throw new Problem("The live picture ended.", 0);
			const appended = once(buffer, "updateend", signal);
			buffer.appendBuffer(value);
			await appended;
			if (video.error) throw new Unplayable(video.error.message);
			follow(video, buffer);
			seen({ bytes: value.byteLength, behind_s: behind(video) });
			const { buffered } = buffer;
			if (buffered.length && video.currentTime - buffered.start(0) > KEEP_S * 2) {
				const removed = once(buffer, "updateend", signal);
				buffer.remove(0, video.currentTime - KEEP_S);
				await removed;
			}
		}
	} finally {
		reader.releaseLock();
	}
}

const behind = ({ buffered, currentTime }) => (buffered.length ? buffered.end(buffered.length - 1) - currentTime : 0);

// Stays at the newest picture: a tab that slept, or a network that hiccuped, must not leave a delay behind.
function follow(video, { buffered }) {
	if (!buffered.length) return;
	const last = buffered.length - 1;
	const late = behind(video);
	if (!video.seeking && (late > JUMP_S || video.currentTime < buffered.start(last))) {
		video.currentTime = Math.max(buffered.start(last), buffered.end(last) - 0.1);
	}
	video.playbackRate = late > CATCH_UP_S ? 1.1 : 1;
	if (video.paused) video.play().catch(() => {});
}

export async function playJpegs(canvas, address, signal, seen) {
	const answer = await send(address, { signal });
	const reader = answer.body.getReader();
	const context = canvas.getContext("2d", { alpha: false });
	let rest = new Uint8Array(0);
	try {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) throw new Problem("The live picture ended.", 0);
			rest = new Uint8Array(await new Blob([rest, value]).arrayBuffer());
			for (let part = next(rest); part; part = next(rest)) {
				rest = rest.subarray(part.end);
				const picture = await createImageBitmap(new Blob([part.jpeg], { type: "image/jpeg" }));
				if (canvas.width !== picture.width || canvas.height !== picture.height) {
					Object.assign(canvas, { width: picture.width, height: picture.height });
				}
				context.drawImage(picture, 0, 0);
				picture.close();
				seen({ bytes: part.jpeg.byteLength, behind_s: part.taken_s ? Date.now() / 1000 - part.taken_s : null });
			}
		}
	} finally {
		reader.cancel().catch(() => {});
	}
}

const HEAD_BYTES = 400;

// The first whole part: its head names its length.
function next(bytes) {
	const text = new TextDecoder("latin1").decode(bytes.subarray(0, HEAD_BYTES));
	const head = text.indexOf("\r\n\r\n");
	if (head < 0) return null;
	const field = (name) => Number(text.slice(0, head).match(new RegExp(`^${name}: *([\\d.]+)`, "im"))?.[1]);
	const length = field("Content-Length");
	if (!length) throw new Problem("The live picture cannot be read.", 0);
	const start = head + 4;
	if (bytes.length < start + length) return null;
	return { jpeg: bytes.subarray(start, start + length), end: start + length, taken_s: field("X-Timestamp") };
}
