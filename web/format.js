// Amounts, times and days in words. Days and times of recordings are the daemon's local ones and are never converted.

export function bytes(n) {
	for (const [unit, size, digits] of [["TB", 1e12, 1], ["GB", 1e9, 1], ["MB", 1e6, 1]]) {
		if (n >= size) return `${(n / size).toFixed(digits)} ${unit}`;
	}
	return `${Math.ceil(n / 1e3)} kB`;
}

export function seconds(s) {
	if ((s ?? "") === "") return "";
	if (s < 10) return `${Math.round(s * 10) / 10} s`;
	if (s < 120) return `${Math.round(s)} s`;
	if (s < 7200) return `${Math.round(s / 60)} min`;
	if (s < 2 * 86400) return `${Math.round(s / 3600)} h`;
	return `${Math.round(s / 86400)} days`;
}

export const clock = (time) => time.replaceAll(".", ":");

// 12.25.43 as seconds since midnight.
export function ofDay(time) {
	const [hours, minutes, s] = time.split(".").map(Number);
	return hours * 3600 + minutes * 60 + s;
}

// 75.4 as 1:15; with tenths 1:15.4.
export function position(s, tenths = false) {
	const all = Math.max(0, tenths ? Math.floor(s * 10) / 10 : Math.floor(s));
	const rest = (all % 60).toFixed(tenths ? 1 : 0).padStart(tenths ? 4 : 2, "0");
	return `${Math.floor(all / 60)}:${rest}`;
}

const LONG = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
const SHORT = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const at = (day) => new Date(`${day}T00:00:00Z`);

export const longDay = (day) => LONG.format(at(day));

export function shortDay(day, today) {
	const back = Math.round((at(today) - at(day)) / 86400e3);
	if (back === 0) return "Today";
	return back === 1 ? "Yesterday" : SHORT.format(at(day));
}

export const nextDay = (day) => new Date(at(day).getTime() + 86400e3).toISOString().slice(0, 10);

export const percent = (part, digits = 1) => `${(part * 100).toFixed(digits)} %`;

export const count = (n, one, many = `${one}s`) => `${n.toLocaleString("en-GB")} ${n === 1 ? one : many}`;

// exposure_compensation as Exposure compensation.
export function words(name) {
	const text = name.replace(/[_-]/g, " ");
	return text.charAt(0).toUpperCase() + text.slice(1);
}
