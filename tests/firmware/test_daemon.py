"""The whole way: the HTTP API of the real `watchtower run`, the real `watchtower serial`, a pseudo-terminal, and the controller behind it; once the real
firmware in the simulator, once a model of 1.x's."""

import json
import re
import signal
import subprocess
import threading
import unittest
import urllib.request

from old_chip import OldChip
from service import PATIENCE_S, WATCHTOWER, LiveChip, ServiceTest

ON, OFF = 110, 30  # degrees
WIDTH, HEIGHT = 640, 480
# The annotation brings the digits' shapes along, twice: what stands behind "Brightness:" is compared with them.
LABEL, TIME = "0123456789", "9876543210"
LETTER_WIDTH, LETTER_HEIGHT = 7, 16

CONFIG = f"""
[storage]
path = "data"
[web]
listen = "127.0.0.1:0"
[cameras.front]
label = "{LABEL}"
source = "pattern"
size = "{WIDTH}x{HEIGHT}"
fps = 10
[cameras.front.annotation]
time_format = "{TIME}"
[cameras.front.motion]
min_trigger_area = 1.0
recording_padding_s = 1.0
[cameras.front.microcontroller]
socket = "socket"
servo_on = {ON}
servo_off = {OFF}
"""


def pictures(coded):
    """The luma of each picture of a JPEG or an H.264 stream."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-i", "-", "-f", "rawvideo", "-pix_fmt", "gray", "-fps_mode", "passthrough", "-"], input=coded, capture_output=True, check=True).stdout
    size = WIDTH * HEIGHT
    return [raw[at:at + size] for at in range(0, len(raw), size)]


def annotated_brightness(picture):
    """What the caption of a picture says of the brightness; None where it says nothing of it. Fails on a caption that it cannot read."""
    def read(text):
        # As the daemon lays a line out: centred, with half a letter of black on each side.
        width = (len(text) + 1) * LETTER_WIDTH
        left = (WIDTH - width - width % 2) // 2 & ~1
        def letter(at):
            x = left + LETTER_WIDTH // 2 + at * LETTER_WIDTH
            return [value for y in range(LETTER_HEIGHT) for value in picture[y * WIDTH + x:][:LETTER_WIDTH]]
        def differ(one, other):
            return sum(abs(a - b) for a, b in zip(letter(one), letter(other))) / (LETTER_WIDTH * LETTER_HEIGHT)
        pairs = [(digit, text.index(TIME) + 9 - digit) for digit in range(10)]
        pairs += [(int(text[at]), at) for at in range(text.index(TIME) + 10, len(text)) if text[at].isdigit()]
        return max(differ(one, other) for one, other in pairs)
    stem = f"{LABEL} | {TIME}"
    found = {value: read(f"{stem} | Brightness: {value}") for value in range(101)} | {None: read(stem)}
    (best, value), (second, other) = sorted(((off, value) for value, off in found.items()), key=lambda pair: pair[0])[:2]
    assert best < 12 and second > 2 * best, f"unreadable: {value} is off by {best:.0f} levels, {other} by {second:.0f}"
    return value


class WholeWay:
    """The tests, for any controller. `self.chip` has `light`, `lit`, `turning`, `angle`, `restart`, `unplug` and `plug`."""

    def setUp(self):
        super().setUp()
        self.chip = self.make_chip()
        self.addCleanup(self.chip.close)
        self.chip.light(30)
        self.serve()
        with open(f"{self.folder}/watchtower.toml", "w") as file:
            file.write(CONFIG)
        self.daemon = subprocess.Popen([WATCHTOWER, "run", "--config", f"{self.folder}/watchtower.toml"], stderr=subprocess.PIPE, text=True)
        self.addCleanup(self.daemon.stderr.close)
        self.addCleanup(self.daemon.wait)
        self.addCleanup(self.daemon.kill)
        self.address = None
        for line in self.daemon.stderr:
            if match := re.search(r"listening on (http://\S+)", line):
                self.address = match[1]
                break
        reader = threading.Thread(target=self.daemon.stderr.read)
        reader.start()
        self.addCleanup(reader.join)
        self.addCleanup(self.daemon.kill)
        self.until(lambda: self.camera()["size"], "picture")

    def call(self, method, path):
        request = urllib.request.Request(self.address + path, method=method)
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.read()

    def camera(self):
        camera, = json.loads(self.call("GET", "/api/cameras"))
        return camera

    def annotation(self):
        picture, = pictures(self.call("GET", "/api/snapshot.jpg"))
        return annotated_brightness(picture)

    def until_brightness(self, value):
        self.until(lambda: self.camera()["brightness"] == value, f"brightness {value} in the API")
        self.until(lambda: self.annotation() == value, f"brightness {value} in the picture")

    def works(self):
        """Light, brightness and health as they are while monitoring."""
        self.until_brightness(30)
        self.until(self.chip.lit, "light")
        self.assertEqual(self.camera()["state"], "monitoring")

    def stop_and_start(self):
        self.call("POST", "/api/stop")
        self.until_brightness(None)
        self.until(lambda: not self.chip.lit(), "darkness")
        self.chip.turning()
        self.assertEqual(json.loads(self.call("POST", "/api/start")), {"monitoring": True})

    def test_start_and_stop(self):
        self.stop_and_start()
        self.until(lambda: self.chip.angle() == ON, "servo")
        self.works()
        self.chip.light(75)
        self.until_brightness(75)
        self.chip.turning()
        self.assertEqual(json.loads(self.call("POST", "/api/stop")), {"monitoring": False})
        self.until(lambda: self.chip.angle() == OFF, "servo")
        self.until_brightness(None)
        self.until(lambda: not self.chip.lit(), "darkness")

    def test_a_recording_shows_the_brightness(self):
        self.works()
        self.call("POST", "/api/record")
        def complete():
            recordings = json.loads(self.call("GET", "/api/recordings?details=1"))
            return recordings and not recordings[0]["recording"] and recordings[0]
        recording = self.until(complete, "recording")
        path = f"{self.folder}/video.mp4"
        with open(path, "wb") as file:
            file.write(self.call("GET", f"/api/recordings/{recording['id']}/video.mp4"))
        times = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "frame=best_effort_timestamp_time", "-of", "csv=p=0", path],
                               capture_output=True, text=True, check=True).stdout.split()
        with open(path, "rb") as file:
            video = pictures(file.read())
        # Those before the trigger may be older than the light; of the second after it, the post-roll, none is, however slow the machine.
        ends = [float(at.strip(",")) for at in times]
        after = [picture for at, picture in zip(ends, video, strict=True) if at > ends[-1] - 0.7]
        self.assertGreater(len(after), 2)
        self.assertEqual([annotated_brightness(picture) for picture in (after[0], after[len(after) // 2], after[-1])], [30, 30, 30])

    def test_a_reset_in_the_middle_is_healed(self):
        self.works()
        reboots = self.client.status()["reboots"]
        self.chip.turning()
        self.chip.restart()
        self.until_status(reboots=reboots + 1)
        self.until(lambda: self.chip.angle() == ON, "servo")
        self.works()

    def test_a_replugged_adapter_is_healed(self):
        self.works()
        self.chip.unplug()
        self.until_brightness(None)
        self.until(lambda: self.camera()["state"] == "degraded", "word of it")
        self.assertIn("serial port", self.camera()["cause"])
        self.chip.plug()
        self.works()

    def test_the_end_of_the_daemon_is_dark_and_parked(self):
        self.works()
        self.chip.turning()
        self.daemon.send_signal(signal.SIGTERM)
        self.until(lambda: self.chip.angle() == OFF, "servo")
        self.until(lambda: not self.chip.lit(), "darkness")
        self.assertEqual(self.daemon.wait(PATIENCE_S), 0)


class Firmware(WholeWay, ServiceTest):
    class Chip(LiveChip):
        def lit(self):
            return abs(self.duty() - 0.7) < 0.05

        def turning(self):
            """Marks while nothing turns: pulses of a turn that still lasts would count."""
            self.watch(60)
            while self.measured()["pulses"]:
                self.watch(60)

        def angle(self):
            """What the pulses since `turning` say."""
            state = self.measured()
            return round((state["pulse_max_us"] - 500) / 10) if state["pulses"] > 3 else None

        def restart(self):
            self.order("reset")

        def unplug(self):
            self.order("unplug")

        def plug(self):
            self.order("plug")

    def make_chip(self):
        return self.Chip(self.link)


class FirstGeneration(WholeWay, ServiceTest):
    class Chip:
        def __init__(self, link):
            self.model = OldChip(link)
            self.unplug, self.plug, self.close, self.restart = self.model.unplug, self.model.plug, self.model.close, self.model.restart.set

        def light(self, percent):
            self.model.brightness = percent

        def lit(self):
            return self.model.ir

        def turning(self):
            self.model.angle = None

        def angle(self):
            return self.model.angle

    def make_chip(self):
        return self.Chip(self.link)


if __name__ == "__main__":
    unittest.main()
