"""`watchtower demo`, built for aarch64, as its user sees it: over HTTP. Only correctness: qemu-aarch64 says nothing about a Pi's speed."""

import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request
from pathlib import Path

WATCHTOWER = Path(os.environ["AARCH64_TESTS"]) / "watchtower"
DEBIAN = Path(os.environ["AARCH64_TESTS"]) / "debian"
SIZE = (320, 180)
PATIENCE_S = 120


def until(condition, what):
    end = time.monotonic() + PATIENCE_S
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {PATIENCE_S} s")
        time.sleep(0.2)
    return result


def emulated(folder, *arguments, **options):
    """Starts the program under qemu-aarch64, with aarch64's libraries around it; it is the process that is returned."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    program = f"/{(folder / 'watchtower').relative_to(DEBIAN)}"
    return subprocess.Popen(["unshare", "--mount", "sh", "-c", enter, DEBIAN, "qemu-aarch64", program, *arguments], **options)


def probe(data, *arguments):
    """What ffprobe finds in a file of one stream. A file that it has anything to complain about is a failure."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        said = subprocess.run(["ffprobe", "-v", "error", *arguments, "-of", "json", file.name], capture_output=True, text=True)
    assert said.returncode == 0 and not said.stderr, said
    stream, = json.loads(said.stdout)["streams"]
    return stream


class Demo(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = Path(tempfile.mkdtemp(dir=DEBIAN / "tmp"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        shutil.copy(WATCHTOWER, cls.folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            cls.port = free.getsockname()[1]
        data = f"/{(cls.folder / 'data').relative_to(DEBIAN)}"
        cls.demo = emulated(cls.folder, "demo", "--listen", f"127.0.0.1:{cls.port}", "--data", data, "--size", "x".join(map(str, SIZE)), "--fps", "5")
        cls.addClassCleanup(cls.demo.wait)
        cls.addClassCleanup(cls.demo.kill)
        until(cls.is_healthy, "camera that works")

    @classmethod
    def call(cls, path, method="GET"):
        with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{cls.port}{path}", method=method), timeout=PATIENCE_S) as answer:
            return answer.read()

    @classmethod
    def is_healthy(cls):
        assert cls.demo.poll() is None, f"the demo ended: {cls.demo.returncode}"
        try:
            return json.loads(cls.call("/healthz"))  # 503 as long as there is no picture
        except OSError:
            return None

    def recordings(self):
        return [r["id"] for r in json.loads(self.call("/api/recordings?details=1")) if not r["recording"]]

    def test_the_program_is_for_aarch64(self):
        header = (self.folder / "watchtower").read_bytes()[:20]
        self.assertEqual((header[:4], int.from_bytes(header[18:20], "little")), (b"\x7fELF", 183))

    def test_healthz_names_the_camera(self):
        camera, = json.loads(self.call("/healthz"))["cameras"]
        self.assertIsNotNone(camera["frame_age_s"])

    def test_the_snapshot_is_a_jpeg(self):
        picture = probe(self.call("/api/snapshot.jpg"), "-show_entries", "stream=codec_name,width,height")
        self.assertEqual(picture, {"codec_name": "mjpeg", "width": SIZE[0], "height": SIZE[1]})

    def test_a_recording_plays(self):
        known = self.recordings()
        self.call("/api/record", "POST")
        fresh = until(lambda: [r for r in self.recordings() if r not in known], "recording")
        film = probe(self.call(f"/api/recordings/{fresh[0]}/video.mp4"), "-count_frames", "-show_entries", "stream=codec_name,width,height,nb_read_frames")
        self.assertEqual((film["codec_name"], film["width"], film["height"]), ("h264", *SIZE))
        self.assertGreater(int(film["nb_read_frames"]), 10)

    def test_the_page_is_in_the_program(self):
        self.assertIn(b"<title>", self.call("/"))

    def test_it_ends_when_asked_to(self):
        folder = Path(tempfile.mkdtemp(dir=DEBIAN / "tmp"))
        self.addCleanup(shutil.rmtree, folder)
        os.link(self.folder / "watchtower", folder / "watchtower")
        data = f"/{(folder / 'data').relative_to(DEBIAN)}"
        with emulated(folder, "demo", "--listen", "127.0.0.1:0", "--data", data, stdout=subprocess.PIPE, text=True) as other:
            self.addCleanup(other.kill)
            self.assertRegex(other.stdout.readline(), "^http://127.0.0.1:")
            other.terminate()
            self.assertEqual(other.wait(PATIENCE_S), 0)


if __name__ == "__main__":
    unittest.main()
