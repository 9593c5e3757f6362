"""Watching and looking back: what viewers of live H.264 cost, how late they see, how soon lists and recordings answer.

No peer does this, so each value is a part of what it may be: 1 is the limit. The camera is a program of this file, which draws
a number into every picture; the latency is counted from the moment a picture has been sent to the daemon until a viewer has
all of it, and which picture that was, ffmpeg's decoder says.
"""

import http.client
import json
import multiprocessing as mp
import shutil
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import procfs
from peers import Task, Watchtower, running, wait_for_port
from report import Goal, Section

NAME = "live"
TITLE = "Watching and looking back"
NEEDS_COMMANDS = {"ffmpeg": "ffmpeg"}

SIZE, FPS, KBIT = (1280, 720), 15, 2000
VIEWERS = (1, 8, 20)
RECORDINGS = 10_000
HOUR_PICTURES = 3600 * FPS
# The daemon may add a frame's time, for it has to wait for its own, and 20 ms.
LATENCY_LIMIT_MS = 1000 / FPS + 20
ANSWER_LIMIT_MS = 100
BYTES_PER_FRAME_LIMIT = 64
# Squares that carry a picture's number, the lowest bit first; far from where the annotation is burned in.
BITS, SQUARE = 16, 40


def measure(context) -> Section:
    """Runs everything and judges it."""
    seconds, runs = (5, 1) if context.quick else (20, 3)
    section = Section(
        NAME,
        TITLE,
        setting={
            "size": f"{SIZE[0]}x{SIZE[1]}",
            "pictures_per_s": FPS,
            "kbit": KBIT,
            "viewers": VIEWERS,
            "seconds_per_run": seconds,
            "recordings": RECORDINGS,
            "pictures_of_the_long_one": HOUR_PICTURES,
            "version": Watchtower(context.binary).version(),
        },
    )
    folder = Path(tempfile.mkdtemp(dir=_made(context.folder)))
    try:
        watched = _watch(context, folder, seconds, runs)
        looked = _look_back(context, folder, runs)
    finally:
        shutil.rmtree(folder)
    section.runs = {"watching": watched, "looking back": looked}

    def goal(name: str, values, must: float = 1, aim: float = 0.5) -> None:
        section.goals.append(Goal(name, [round(value, 3) for value in values], must, aim))

    for count in VIEWERS[1:]:
        ratio = [run["user_s"][str(count)] / run["user_s"]["1"] for run in watched]
        goal(f"User CPU with {count} viewers, of that with one", ratio, 1.2, 1.1)
    goal(
        f"Latency the daemon adds, 95th percentile, of {LATENCY_LIMIT_MS:.0f} ms",
        [run["latency_ms"]["p95"] / LATENCY_LIMIT_MS for run in watched],
    )
    first = [run["first_picture_ms"] / 2000 for run in watched]
    goal("First picture of the present after opening, of 2 s", first)
    for name, title in (
        ("list_ms", f"List of {RECORDINGS} recordings"),
        ("details_ms", "The same with details, the newest 100"),
        ("video_ms", "`video.mp4` of one hour, first byte"),
        ("middle_ms", "The same, from its middle"),
    ):
        goal(f"{title}, of {ANSWER_LIMIT_MS} ms", [run[name] / ANSWER_LIMIT_MS for run in looked])
    memory = [run["bytes_per_frame"] / BYTES_PER_FRAME_LIMIT for run in looked]
    goal(f"Memory of an open `video.mp4`, of {BYTES_PER_FRAME_LIMIT} bytes a frame", memory)
    return section


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _watch(context, folder: Path, seconds: int, runs: int) -> list[dict]:
    done = []
    with Camera() as camera:
        task = Task(SIZE, FPS, kbit=KBIT)
        with running(Watchtower(context.binary), task, camera.url(), folder / "live") as daemon:
            wait_for_port(daemon)
            # Nothing is recorded, so that the viewers are all there is.
            _request(daemon.port, "POST", "/api/stop")
            time.sleep(5)
            for number in range(runs):
                context.say(f"run {number + 1} of {runs}: {VIEWERS} viewers, then the latency")
                run = {"user_s": {}, "system_s": {}}
                for count in VIEWERS:
                    with Crowd(daemon.port, count):
                        time.sleep(2)
                        before = procfs.cpu(daemon.pid)
                        time.sleep(seconds)
                        used = procfs.cpu(daemon.pid) - before
                    run["user_s"][str(count)], run["system_s"][str(count)] = used.user_s, used.system_s
                    time.sleep(1)
                viewer = Viewer(daemon.port)
                viewer.watch(seconds)
                run["first_picture_ms"], run["latency_ms"] = _latency(viewer, camera.sent(), folder)
                done.append(run)
                time.sleep(1)
    return done


def _latency(viewer: "Viewer", sent: dict[int, float], folder: Path) -> tuple[float, dict]:
    """From opening to the first picture that was sent after it; and how late all these were. In milliseconds."""
    file = folder / "live.mp4"
    file.write_bytes(viewer.bytes)
    late, first = [], None
    for arrival, number in zip(viewer.arrivals, _numbers(file), strict=True):
        if number not in sent:
            raise RuntimeError(f"picture {number} was never sent")
        # What was encoded before this viewer came is as old as it is.
        if sent[number] > viewer.opened:
            first = first or (arrival - viewer.opened) * 1000
            late.append((arrival - sent[number]) * 1000)
    late.sort()
    if not late:
        raise RuntimeError("no picture came in time: the machine is too busy to measure anything")
    return round(first, 1), {
        "median": round(statistics.median(late), 1),
        "p95": round(late[int(len(late) * 0.95)], 1),
        "worst": round(late[-1], 1),
        "pictures": len(late),
    }


def _numbers(file: Path) -> list[int]:
    """The number in each picture."""
    width, height = BITS * 4, 4
    crop = f"crop={BITS * SQUARE}:{SQUARE}:0:{SIZE[1] - SQUARE},scale={width}:{height}:flags=area,format=gray"
    decode = ["ffmpeg", "-v", "error", "-i", str(file), "-vf", crop, "-fps_mode", "passthrough", "-f", "rawvideo", "-"]
    raw = subprocess.run(decode, capture_output=True, check=True).stdout
    row = width * height
    lines = [raw[at + width : at + 2 * width] for at in range(0, len(raw), row)]
    return [sum((line[bit * 4 + 1] > 127) << bit for bit in range(BITS)) for line in lines]


def _look_back(context, folder: Path, runs: int) -> list[dict]:
    data = folder / "back"
    context.say(f"makes {RECORDINGS} recordings and one of an hour")
    with _daemon(context.binary, data) as port:
        _request(port, "POST", "/api/stop")
        time.sleep(12)
        _request(port, "POST", "/api/record")
        _until(lambda: any(not r["recording"] for r in _json(port, "/api/recordings?details=1")), 120)
        made = _json(port, "/api/recordings?details=1")[0]["id"]
    one = data / "recordings/demo" / made
    for number in range(RECORDINGS):
        day, rest = divmod(number, 1000)
        name = f"2024-03-{day + 1:02}/{rest // 3600:02}.{rest // 60 % 60:02}.{rest % 60:02}"
        other = data / "recordings/demo" / name
        other.mkdir(parents=True)
        for part in ("video.h264", "index", "trigger.jpg"):
            (other / part).hardlink_to(one / part)
    long = data / "recordings/demo/2023-01-01/12.00.00"
    long.mkdir(parents=True)
    video = (one / "video.h264").read_bytes()
    pictures = video.count(b"\0\0\0\1\x61") + video.count(b"\0\0\0\1\x41") + video.count(b"\0\0\0\1\x65")
    with (long / "video.h264").open("wb") as to:
        for _ in range(-(-HOUR_PICTURES // pictures)):
            to.write(video)
    done = []
    for number in range(runs):
        context.say(f"run {number + 1} of {runs}: lists and the hour's first bytes")
        with _daemon(context.binary, data) as port:
            path = "/api/recordings/2023-01-01/12.00.00/video.mp4"
            # The daemon makes the index that is missing.
            _until(lambda: _status(port, path) == 200 and _indexed(port), 600)
            run = {
                "list_ms": _best(port, "/api/recordings"),
                "details_ms": _best(port, "/api/recordings?details=1&limit=100"),
                "all_details_ms": _best(port, "/api/recordings?details=1"),
                "video_ms": _best(port, path, first_byte=True),
            }
            length = int(_head(port, path)["content-length"])
            run["middle_ms"] = _best(port, path, {"Range": f"bytes={length // 2}-"}, first_byte=True)
            run["bytes_per_frame"] = _memory(port, path)
            done.append(run)
    return done


def _memory(port: int, path: str) -> float:
    """What each frame of an open answer takes, from what many together take."""
    open_at_once = 20
    def resident() -> int:
        return _json(port, "/healthz")["machine"]["memory"]["resident_bytes"]

    connections = []
    def opened(count: int) -> None:
        for _ in range(count):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            connection.request("GET", path)
            connection.getresponse().read(1)
            connections.append(connection)

    # The first ones pay for pieces and buffers that are kept.
    opened(4)
    before = resident()
    opened(open_at_once)
    grown = resident() - before
    for connection in connections:
        connection.close()
    # Every connection holds pieces of the video on their way besides.
    buffers = open_at_once * (64 * 1024 + 256 * 1024)
    return max(grown - buffers, 0) / open_at_once / HOUR_PICTURES


class Camera:
    """A network camera (MJPEG over HTTP), in a process of its own."""

    def __init__(self):
        spawn = mp.get_context("spawn")
        self._port, self._sent = spawn.Value("i", 0), spawn.Array("d", 1 << BITS)
        self._process = spawn.Process(target=_serve, args=(self._port, self._sent), daemon=True)

    def __enter__(self):
        self._process.start()
        _until(lambda: self._port.value, 300)
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.join(5)

    def url(self) -> str:
        return f"http://127.0.0.1:{self._port.value}/"

    def sent(self) -> dict[int, float]:
        """When each picture had been sent, by the clock of `time.monotonic`."""
        return {number: at for number, at in enumerate(self._sent) if at}


def _serve(port, sent) -> None:
    import cv2
    import numpy

    from clip import draw

    scenes = list(draw(SIZE, FPS, (0, FPS)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        port.value = server.getsockname()[1]
        number = 0
        while True:
            connection, _ = server.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.recv(4096)
            try:
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=x\r\n\r\n")
                due = time.monotonic()
                while True:
                    picture = scenes[number % len(scenes)].copy()
                    for bit in range(BITS):
                        left = bit * SQUARE
                        picture[SIZE[1] - SQUARE :, left : left + SQUARE] = 255 * (number >> bit & 1)
                    _, jpeg = cv2.imencode(".jpg", numpy.ascontiguousarray(picture), [cv2.IMWRITE_JPEG_QUALITY, 70])
                    due += 1 / FPS
                    time.sleep(max(due - time.monotonic(), 0))
                    head = b"--x\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg)
                    connection.sendall(head + jpeg.tobytes() + b"\r\n")
                    sent[number] = time.monotonic()
                    number = (number + 1) % (1 << BITS)
            except OSError:
                connection.close()


class Viewer:
    """Somebody who watches `live.mp4` and notes when each picture is there."""

    def __init__(self, port: int):
        self.opened = time.monotonic()
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        self._connection.request("GET", "/live.mp4")
        self._answer = self._connection.getresponse()
        if self._answer.status != 200:
            raise RuntimeError(f"live.mp4: {self._answer.status}")
        self.bytes, self.arrivals = bytearray(), []
        self._picture()

    def _picture(self) -> None:
        kind = b""
        while kind != b"mdat":
            head = self._answer.read(8)
            kind = head[4:]
            self.bytes += head + self._answer.read(int.from_bytes(head[:4]) - 8)
        self.arrivals.append(time.monotonic())

    def watch(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self._picture()
        self._connection.close()


class Crowd:
    """Viewers that read and throw away, in a process of its own."""

    def __init__(self, port: int, count: int):
        self._process = mp.get_context("spawn").Process(target=_crowd, args=(port, count), daemon=True)

    def __enter__(self):
        self._process.start()

    def __exit__(self, *_):
        self._process.terminate()
        self._process.join(5)


def _crowd(port: int, count: int) -> None:
    def view() -> None:
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /live.mp4 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while connection.recv(1 << 16):
                pass

    for _ in range(count):
        threading.Thread(target=view, daemon=True).start()
    threading.Event().wait()


class _daemon:
    """A daemon on a storage folder that is kept, and from which nothing goes; answers its port."""

    def __init__(self, binary: Path, data: Path):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        config = data.parent / "watchtower.toml"
        config.write_text(
            f"""
[storage]
path = "{data}"
max_size = "1 TB"
[web]
listen = "127.0.0.1:{self._port}"
[cameras.demo]
source = "pattern"
size = "320x240"
fps = {FPS}
[cameras.demo.disk]
kbit = 500
"""
        )
        self._command, self._log = [binary, "run", "--config", config], data.parent / "back.log"

    def __enter__(self) -> int:
        self._process = subprocess.Popen(self._command, stdout=self._log.open("ab"), stderr=subprocess.STDOUT)
        _until(lambda: self._answers(), 60)
        return self._port

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(self._log.read_text()[-2000:])
        try:
            return _status(self._port, "/api/status") == 200
        except OSError:
            return False

    def __exit__(self, *_):
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _until(done, timeout_s: float) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        if time.monotonic() > end:
            raise RuntimeError("waited in vain")
        time.sleep(0.2)


def _request(port: int, method: str, path: str, headers: dict | None = None) -> tuple[int, dict, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request(method, path, headers=headers or {})
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


def _status(port: int, path: str) -> int:
    return _request(port, "HEAD", path)[0]


def _head(port: int, path: str) -> dict:
    return _request(port, "HEAD", path)[1]


def _json(port: int, path: str):
    return json.loads(_request(port, "GET", path)[2])


def _indexed(port: int) -> bool:
    """Whether the long recording has been read through."""
    listed = _json(port, "/api/recordings?details=1&until=2023-01-02")
    return any(recording["duration_s"] > 0 for recording in listed)


def _best(port: int, path: str, headers: dict | None = None, first_byte: bool = False) -> float:
    """Milliseconds until the answer, or its first byte, is there: the median of nine."""
    took = []
    for _ in range(9):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        began = time.monotonic()
        connection.request("GET", path, headers=headers or {})
        answer = connection.getresponse()
        answer.read(1) if first_byte else answer.read()
        took.append((time.monotonic() - began) * 1000)
        connection.close()
    return round(statistics.median(took), 2)
