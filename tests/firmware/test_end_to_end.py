"""The real `watchtower serial` on a pseudo-terminal, against the real firmware in the simulator and against a model of 1.x's controller."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from chip import BUILD
from old_chip import OldChip

WATCHTOWER = os.environ["WATCHTOWER"]
PATIENCE_S = 30  # a busy machine is slow, not wrong


class Socket:
    """A client of the service."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.reader = self.socket.makefile()

    def ask(self, request, **fields):
        self.socket.sendall(json.dumps({"request": request, **fields}).encode() + b"\n")
        return json.loads(self.reader.readline())

    def status(self):
        return self.ask("status")["status"]

    def close(self):
        self.reader.close()
        self.socket.close()


class ServiceTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.link = f"{folder.name}/tty"
        self.path = f"{folder.name}/socket"

    def serve(self):
        self.service = subprocess.Popen(
            [WATCHTOWER, "serial", "--port", self.link, "--socket", self.path, "--park-angle", "20", "--log", "error"])
        self.addCleanup(self.service.wait)
        self.addCleanup(self.service.kill)
        self.until(lambda: os.path.exists(self.path), "the socket")
        self.client = self.connect()

    def connect(self):
        client = Socket(self.path)
        self.addCleanup(client.close)
        return client

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            if time.monotonic() > end:
                self.fail(f"no {what} within {PATIENCE_S} s")
            time.sleep(0.05)
        return result

    def until_status(self, **wanted):
        def reached():
            status = self.client.status()
            return all(status[key] == value for key, value in wanted.items()) and status
        return self.until(reached, wanted)

    def end(self):
        self.service.send_signal(signal.SIGTERM)
        self.assertEqual(self.service.wait(PATIENCE_S), 0)
        self.assertFalse(os.path.exists(self.path))


class Firmware(ServiceTest):
    def setUp(self):
        super().setUp()
        self.chip = subprocess.Popen(
            [f"{BUILD}/simulator", f"{BUILD}/watchtower.elf", "--pty", self.link],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.addCleanup(self.chip.stdout.close)
        self.addCleanup(self.chip.wait)
        self.addCleanup(self.chip.stdin.close)
        self.answer()
        self.order("light 0")
        self.serve()

    def answer(self):
        while (line := self.chip.stdout.readline()).startswith("Loaded "):
            pass
        return line.strip()

    def order(self, line):
        self.chip.stdin.write(line + "\n")
        return self.answer()

    def measured(self):
        return json.loads(self.order("state"))

    def watch(self, ms):
        """Marks, and waits for so much simulated time, which is the slower one on a busy machine."""
        self.order("mark")
        end_us = self.measured()["us"] + ms * 1000
        while self.measured()["us"] < end_us:
            time.sleep(0.02)

    def start(self):
        self.assertEqual(self.client.ask("start", angle=110), {"ok": True})
        return self.until_status(settled=True, phase="checked", brightness=0, ir=True)

    def shines(self):
        def shining():
            self.watch(60)
            return self.measured()["duty"] == 1
        self.until(shining, "light")

    def rest(self):
        """Waits until the servo has its second of pulses, and marks."""
        def resting():
            self.watch(60)
            return self.measured()["pulses"] == 0
        self.until(resting, "rest")
        self.order("mark")

    def test_start_and_stop(self):
        status = self.start()
        self.assertEqual((status["angle"], status["revision"], status["answered"]), (110, 1, True))
        self.shines()
        state = self.measured()
        self.assertEqual(self.client.ask("brightness"), {"ok": True, "brightness": 0})
        self.order("light 226")
        self.until_status(brightness=50)
        self.rest()
        self.client.ask("stop", angle=30)
        self.until_status(settled=True, ir=False, brightness=None)
        self.until(lambda: self.measured()["pulses"] > 5, "pulses")
        self.assertAlmostEqual(self.measured()["pulse_max_us"], 800, delta=2)
        self.assertEqual(self.client.ask("brightness"), {"ok": True, "brightness": -1})
        self.assertEqual(state["resets"], 0)

    def test_angles(self):
        for degrees in 0, 90, 180:
            self.rest()
            self.client.ask("angle", degrees=degrees)
            self.until(lambda: self.measured()["pulses"] > 5, "pulses")
            self.assertAlmostEqual(self.measured()["pulse_min_us"], 500 + 10 * degrees, delta=2)
            self.until_status(settled=True)
        self.assertFalse(self.client.ask("angle", degrees=181)["ok"])
        self.assertFalse(self.client.ask("dance")["ok"])

    def test_a_reset_in_the_middle_is_healed(self):
        self.start()
        self.shines()
        self.order("mark")
        self.order("reset")
        self.until_status(reboots=1)
        self.until_status(settled=True, phase="checked", brightness=0)
        self.shines()

    def test_a_hang_is_healed(self):
        self.start()
        self.order("hang")
        self.until_status(reboots=1)
        self.until_status(settled=True, phase="checked", brightness=0)
        self.shines()

    def test_a_replugged_adapter_is_healed(self):
        self.start()
        self.order("unplug")
        status = self.until_status(phase="absent", brightness=None, settled=False)
        self.until(lambda: self.client.status()["problem"], "cause")
        self.assertIn(self.link, self.client.status()["problem"])
        self.assertEqual(status["ir"], True)
        self.order("reset")
        self.order("plug")
        self.until_status(settled=True, phase="checked", brightness=0, problem=None)
        self.shines()

    def test_rubbish_on_the_line_is_borne(self):
        self.start()
        self.order("babble " + (b"\xff\x00\r\nU-Boot 2026.01\r\nHit any key to stop autoboot:  0\nbright: 9\nbri" + bytes(range(256))).hex())
        self.until(lambda: self.client.status()["strange_lines"] >= 2, "strange lines")
        self.until_status(settled=True, phase="checked", brightness=0)

    def test_one_reader_does_not_hold_up_another(self):
        self.start()
        slow = socket.socket(socket.AF_UNIX)
        self.addCleanup(slow.close)
        slow.connect(self.path)
        slow.setblocking(False)
        try:
            while True:
                slow.send(b'{"request":"status"}\n' * 100)  # and never reads
        except BlockingIOError:
            pass
        began = time.monotonic()
        for _ in range(50):
            self.assertTrue(self.client.ask("brightness")["ok"])
        self.assertLess(time.monotonic() - began, 4)  # less than the service's patience with the slow one

    def test_the_end_is_dark_and_parked(self):
        self.start()
        self.shines()
        self.rest()
        self.end()
        self.until(lambda: self.measured()["pulses"] > 5, "pulses")
        self.assertAlmostEqual(self.measured()["pulse_max_us"], 700, delta=2)
        self.watch(60)
        self.assertEqual(self.measured()["duty"], 0)

    def test_a_service_that_is_killed_leaves_no_light_behind(self):
        self.start()
        self.shines()
        self.service.kill()
        self.watch(16_000)
        self.watch(60)
        self.assertEqual(self.measured()["duty"], 0)

    def test_a_second_service_is_refused(self):
        second = subprocess.run([WATCHTOWER, "serial", "--port", self.link, "--socket", self.path], capture_output=True, text=True, timeout=PATIENCE_S)
        self.assertEqual(second.returncode, 1)
        self.assertIn("another", second.stderr)
        self.assertTrue(self.client.ask("brightness")["ok"])


class FirstGeneration(ServiceTest):
    def setUp(self):
        super().setUp()
        self.chip = OldChip(self.link)
        self.addCleanup(self.chip.close)
        self.serve()

    def start(self):
        self.client.ask("start", angle=110)
        return self.until_status(settled=True, phase="plain", brightness=42)

    def test_start_and_stop(self):
        status = self.start()
        self.assertIsNone(status["revision"])
        self.assertEqual((self.chip.ir, self.chip.angle), (True, 110))
        self.client.ask("stop", angle=30)
        self.until_status(settled=True, brightness=None)
        self.assertEqual((self.chip.ir, self.chip.angle), (False, 30))

    def test_a_reset_in_the_middle_is_healed(self):
        before = self.start()["reboots"]
        self.chip.restart.set()
        self.until_status(reboots=before + 1)
        self.until_status(settled=True, phase="plain", brightness=42)
        self.assertEqual((self.chip.ir, self.chip.angle), (True, 110))

    def test_commands_arrive_while_brightness_comes(self):
        self.start()
        for degrees in range(0, 180, 15):
            self.client.ask("angle", degrees=degrees)
            self.until_status(settled=True, angle=degrees)
            self.assertEqual(self.chip.angle, degrees)
        self.assertTrue(all(len(line) <= 15 for line in self.chip.lines))

    def test_the_end_is_dark_and_parked(self):
        self.start()
        self.end()
        self.assertEqual((self.chip.ir, self.chip.angle), (False, 20))


if __name__ == "__main__":
    unittest.main()
