"""Uploads: what sealing costs beside the way of 1.x, how soon the first chunk is stored, and what a full spool costs.

1.x sealed with Python's `cryptography` (Fernet and RSA-OAEP); both seal the same chunks, one thread each, in turns. The store is
a server on loopback that takes everything at once; the spool of the last part is filled with files as the daemon writes them.
"""

import base64
import http.client
import http.server
import json
import os
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import procfs
from report import Goal, Section

NAME = "uploads"
TITLE = "Uploads"
NEEDS_COMMANDS = {"openssl": "openssl"}

CHUNK, VIDEO_MIB = 1 << 20, 32
SPOOL_FILES, SPOOL_FILE_BYTES = 768, 1_400_000  # 1 GiB of chunks of 1 MiB, sealed.
SETTLE_S = 8


def measure(context) -> Section:
    """In turns: a round of theirs, a round of ours; then the daemon."""
    rounds, passes = (1, 1) if context.quick else (5, 3)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        key = folder / "private.pem"
        openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
        openssl("pkey", "-in", key, "-pubout", "-out", folder / "public.pem")
        video = folder / "video"
        video.write_bytes(os.urandom(VIDEO_MIB << 20))
        subprocess.run([*cargo_bench(context), "--no-run"], check=True)
        runs = []
        for number in range(rounds):
            context.say(f"round {number + 1} of {rounds}: sealing")
            theirs = python_seals(folder / "public.pem", video, passes)
            command = [*cargo_bench(context), "--", folder / "public.pem", video, str(CHUNK), str(passes)]
            ours = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            runs.append({"python": theirs, "watchtower": ours})
        delays = []
        for number in range(1 if context.quick else 5):
            context.say(f"trigger to first chunk, {number + 1}")
            delays.append(trigger_to_first_chunk(context, folder / "public.pem"))
        context.say("memory with an empty and a full spool")
        empty, full = (memory(context, files) for files in (0, 32 if context.quick else SPOOL_FILES))
    return Section(
        NAME,
        TITLE,
        setting={
            "chunk_bytes": CHUNK,
            "video_mib": VIDEO_MIB,
            "rsa_bits": 2048,
            "spool_bytes": SPOOL_FILES * SPOOL_FILE_BYTES,
            "versions": {"cryptography": version()},
        },
        goals=[
            Goal("CPU of sealing a MiB", [ratio(run) for run in runs], 2.0, 1.0),
            Goal("Seconds from the trigger to the first chunk stored", [d["first_chunk_s"] for d in delays], 2.5, 2.0),
            Goal("MiB of memory that 1 GiB in the spool takes", [round(full["rss"] - empty["rss"], 1)], 10, 5),
        ],
        extra={"memory_mib": {"nothing_waits": empty, "1_gib_waits": full}},
        runs={"sealing": runs, "trigger": delays},
    )


def openssl(*arguments) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def cargo_bench(context) -> list[str]:
    manifest = str(context.top / "Cargo.toml")
    return ["cargo", "bench", "--locked", "--quiet", "--manifest-path", manifest, "--bench", "sealing"]


def ratio(run: dict) -> float:
    """Watchtower's median time to the peer's."""
    ours, theirs = (statistics.median(run[whose]["ms_per_mib"]) for whose in ("watchtower", "python"))
    return round(ours / theirs, 3)


def version() -> str:
    import cryptography

    return cryptography.__version__


def python_seals(public: Path, video: Path, passes: int) -> dict:
    """CPU milliseconds a MiB of each pass, after one that is not counted."""
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding

    key = serialization.load_pem_public_key(public.read_bytes())
    oaep = padding.OAEP(mgf=padding.MGF1(algorithm=hashes.SHA256()), algorithm=hashes.SHA256(), label=None)

    def seal(chunk: bytes) -> bytes:
        fresh = Fernet.generate_key()
        token = Fernet(fresh).encrypt(chunk)
        wrapped = base64.b64encode(key.encrypt(fresh, oaep))
        return b"%d %b%b" % (len(wrapped), wrapped, token)

    data = video.read_bytes()
    spent, sealed = [], 0
    for _ in range(passes + 1):
        begin = time.process_time()
        sealed = sum(len(seal(data[at : at + CHUNK])) for at in range(0, len(data), CHUNK))
        spent.append(round((time.process_time() - begin) * 1000 / VIDEO_MIB, 4))
    return {"ms_per_mib": spent[1:], "sealed_bytes": sealed}


class Store(http.server.ThreadingHTTPServer):
    """Takes every file of Dropbox's `files/upload`, and notes when."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taker)
        self.stored: list[tuple[float, str]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Taker(http.server.BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        path = json.loads(self.headers["Dropbox-API-Arg"])["path"]
        name = path.rpartition("/")[2]
        answer = {"name": name, "id": "id:a", "rev": "a1c10ce0dd78", "size": len(body)}
        answer |= {"path_display": path, "path_lower": path.lower(), "content_hash": content_hash(body)}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)
        self.server.stored.append((time.monotonic(), name))

    def log_message(self, *_):
        pass


def content_hash(body: bytes) -> str:
    """As Dropbox's documentation has it: SHA-256 of the SHA-256 of each 4 MiB."""
    import hashlib

    blocks = (hashlib.sha256(body[at : at + (4 << 20)]).digest() for at in range(0, len(body), 4 << 20))
    return hashlib.sha256(b"".join(blocks)).hexdigest()


def configuration(folder: Path, port: int, url: str, key: Path | None) -> Path:
    """A camera that draws its pictures and records when asked."""
    (folder / "token").write_text("token")
    sealed = f'public_key_path = "{key}"' if key else ""
    file = folder / "watchtower.toml"
    file.write_text(
        f"""
[storage]
path = "data"
[web]
listen = "127.0.0.1:{port}"
[upload]
max_spool = "2 GB"
[upload.dropbox]
token_file = "token"
api_url = "{url}"
content_url = "{url}"
[cameras.front]
source = "pattern"
size = "640x480"
[cameras.front.motion]
min_trigger_area = 1.0
recording_padding_s = 4
[cameras.front.upload]
{sealed}
"""
    )
    return file


@contextmanager
def started(binary: Path, config: Path):
    """A daemon at work; killed at the end."""
    process = subprocess.Popen([binary, "run", "--config", config], stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def ask(port: int, path: str) -> bytes:
    """One request."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    connection.request("GET", path)
    return connection.getresponse().read()


def wait_until_well(port: int) -> None:
    """Until it gives pictures."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if json.loads(ask(port, "/healthz"))["cameras"][0]["status"] == "ok":
                return
        except (OSError, ValueError):
            pass
        time.sleep(0.1)
    raise TimeoutError("the daemon gives no pictures")


def trigger_to_first_chunk(context, key: Path) -> dict:
    """Seconds from asking for a recording to the store's answer."""
    store = Store()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        port = free_port()
        config = configuration(folder, port, f"http://127.0.0.1:{store.server_port}", key)
        with started(context.binary, config):
            wait_until_well(port)
            time.sleep(SETTLE_S)
            begin = time.monotonic()
            ask(port, "/api/record")
            while not any(name == "video0.h264" for _, name in store.stored):
                time.sleep(0.005)
            when = {name: round(at - begin, 3) for at, name in reversed(store.stored)}
    store.shutdown()
    return {"trigger_s": when["trigger.jpg.sealed"], "first_chunk_s": when["video0.h264"]}


def memory(context, files: int) -> dict:
    """Of a daemon whose store does not answer and for which so many files wait."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Nothing listens there.
        port = free_port()
        config = configuration(folder, port, "http://127.0.0.1:9", None)
        for event in range(1, files // 8 + 1):
            fill(folder / f"data/spool/{event:012}-0-front", event)
        with started(context.binary, config) as process:
            wait_until_well(port)
            time.sleep(SETTLE_S)
            waiting = json.loads(ask(port, "/healthz"))["uploads"]["destinations"][0]["waiting_files"]
            assert waiting == files // 8 * 8, waiting
            return procfs.memory_mib(process.pid) | {"waiting_files": waiting}


def fill(event: Path, number: int) -> None:
    """An event of eight chunks, as `spool` writes them."""
    event.mkdir(parents=True)
    about = {"folder": f"/front/2026-01-01/{number:06}", "destinations": ["dropbox"]}
    (event / "event.json").write_text(json.dumps(about))
    for n in range(8):
        file = {"name": f"video{n}.h264", "bytes": SPOOL_FILE_BYTES}
        header = {"file": file, "manifest": {"name": "manifest.json", "bytes": 2}, "closed": n == 7}
        content = json.dumps(header).encode() + b"\n" + os.urandom(SPOOL_FILE_BYTES) + b"{}"
        (event / f"{n}.item").write_bytes(content)
