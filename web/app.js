// The page of one camera. Every address is relative to the page's own, so that it works below any path prefix.

const POLL_MS = 2000;
const PAGE = 40;

const $ = (id) => document.getElementById(id);
// The page at `/` is the default camera's; below `cameras/NAME/` it is that camera's.
const named = location.pathname.match(/\/cameras\/([a-z0-9-]+)\/$/)?.[1];
const root = named ? "../../" : "";

let camera = null;
let connected = false;
let oldest = null;
let listed = null;

async function ask(path, options) {
  const answer = await fetch(path, { cache: "no-store", ...options });
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const problem = await answer.json().catch(() => ({}));
  throw new Error(problem.detail ?? `The daemon answered ${answer.status}.`);
}

function say(id, text) {
  $(id).textContent = text ?? "";
  $(id).hidden = !text;
}

// Live picture: only while the page is seen, and anew after the daemon was away.
function watch() {
  const live = $("live");
  const wanted = connected && !document.hidden;
  if (wanted === !live.hidden) return;
  live.hidden = !wanted;
  if (wanted) live.src = `mjpeg?t=${Date.now()}`;
  else live.removeAttribute("src");
}

function show() {
  document.title = `${camera.label} – Watchtower`;
  $("label").textContent = camera.label;
  $("state").textContent = camera.state;
  $("state").className = `state ${camera.state}`;
  $("monitor").textContent = camera.monitoring ? "Stop watching" : "Start watching";
  $("monitor").disabled = $("record").disabled = false;
  say("notice", camera.cause);
  const { size, fps, viewers, brightness } = camera;
  const facts = [
    size && `${size.width}×${size.height}`,
    `${fps.toFixed(1)} fps`,
    `${viewers} watching`,
    brightness !== null && `brightness ${brightness}`,
  ];
  $("facts").textContent = facts.filter(Boolean).join(" · ");
  if (size) $("stage").style.aspectRatio = `${size.width} / ${size.height}`;
}

function showCameras(cameras) {
  $("cameras").hidden = cameras.length < 2;
  if ($("cameras").childElementCount === cameras.length) return;
  $("cameras").replaceChildren(...cameras.map(({ prefix, label, name }) => {
    const link = document.createElement("a");
    link.href = root + prefix;
    link.textContent = label;
    if (name === camera.name) link.setAttribute("aria-current", "page");
    return link;
  }));
}

async function poll() {
  try {
    const cameras = await ask(`${root}api/cameras`);
    camera = cameras.find(({ name, default: first }) => (named ? name === named : first));
    if (!camera) throw new Error("There is no camera of this name any more.");
    connected = true;
    show();
    showCameras(cameras);
    const now = `${camera.last_event} ${camera.recording}`;
    if (now !== listed) {
      await list();
      listed = now;
    }
  } catch (error) {
    connected = false;
    $("state").textContent = "no connection";
    $("state").className = "state lost";
    $("monitor").disabled = $("record").disabled = true;
    say("notice", `${error.message} Trying again.`);
  }
  watch();
}

async function act(path) {
  say("problem", null);
  try {
    await ask(path, { method: "POST" });
    await poll();
  } catch (error) {
    say("problem", error.message);
  }
}

const bytes = (n) => (n < 1e6 ? `${Math.ceil(n / 1e3)} kB` : `${(n / 1e6).toFixed(1)} MB`);

const names = { mp4: "video as MP4", video: "video as H.264", picture: "picture" };

// Plays in a dialog above the page; the live picture goes on behind it.
const player = $("player").querySelector("video");

function play(path, title) {
  $("playing").textContent = title;
  $("unplayable").hidden = true;
  player.src = path;
  $("player").showModal();
}

function entry(recording) {
  const item = $("recording").content.cloneNode(true);
  const at = `api/recordings/${recording.day}/${recording.time}/`;
  const clock = recording.time.replaceAll(".", ":");
  const facts = [
    recording.recording ? "recording now" : `${Math.round(recording.duration_s)} s`,
    bytes(recording.bytes),
    recording.cause,
    recording.protected && "protected",
  ];
  const picture = item.querySelector("img");
  picture.src = `${at}trigger`;
  picture.addEventListener("error", () => picture.removeAttribute("src"), { once: true });
  item.querySelector("time").textContent = clock;
  item.querySelector("time").dateTime = recording.trigger;
  item.querySelector("small").textContent = facts.filter(Boolean).join(" · ");
  const button = item.querySelector(".play");
  button.setAttribute("aria-label", `Play ${recording.day} ${clock}`);
  button.addEventListener("click", () => play(`${at}video.mp4`, `${recording.day} ${clock}`));
  item.querySelector(".mp4").download = `${recording.day};${recording.time};video.mp4`;
  for (const [kind, path] of [["mp4", `${at}video.mp4`], ["video", `${at}video`], ["picture", `${at}trigger`]]) {
    const link = item.querySelector(`.${kind}`);
    link.href = path;
    link.setAttribute("aria-label", `Download the ${names[kind]} of ${recording.day} ${clock}`);
  }
  return item;
}

function append(recordings) {
  for (const recording of recordings) {
    let day = $(`day-${recording.day}`);
    if (!day) {
      const title = document.createElement("h3");
      title.textContent = recording.day;
      day = document.createElement("ul");
      day.id = `day-${recording.day}`;
      $("days").append(title, day);
    }
    day.append(entry(recording));
  }
  oldest = recordings.at(-1)?.start ?? oldest;
  $("older").hidden = recordings.length < PAGE;
}

async function list() {
  const recordings = await ask(`api/recordings?details=1&limit=${PAGE}`);
  $("days").replaceChildren();
  $("empty").hidden = recordings.length > 0;
  append(recordings);
}

async function older() {
  try {
    append(await ask(`api/recordings?details=1&limit=${PAGE}&until=${encodeURIComponent(oldest)}`));
  } catch (error) {
    say("problem", error.message);
  }
}

$("monitor").addEventListener("click", () => act(camera.monitoring ? "api/stop" : "api/start"));
$("record").addEventListener("click", () => act("api/record"));
$("older").addEventListener("click", older);
$("close").addEventListener("click", () => $("player").close());
$("player").addEventListener("close", () => {
  // Without a source the browser lets go of what it has loaded.
  player.removeAttribute("src");
  player.load();
});
player.addEventListener("error", () => { $("unplayable").hidden = !player.hasAttribute("src"); });
$("live").addEventListener("error", () => { $("live").hidden = true; });
document.addEventListener("visibilitychange", watch);

for (;;) {
  if (!document.hidden) await poll();
  await new Promise((resume) => setTimeout(resume, POLL_MS));
}
