"""The real `watchtower serial` on a pseudo-terminal, against the real firmware in the simulator and against a model of 1.x's controller."""

import socket
import subprocess
import time
import unittest

from old_chip import OldChip
from service import PATIENCE_S, WATCHTOWER, LiveChip, ServiceTest


class Firmware(ServiceTest):
    def setUp(self):
        super().setUp()
        self.chip = LiveChip(self.link)
        self.addCleanup(self.chip.close)
        self.chip.light(0)
        self.serve()

    def start(self):
        self.assertEqual(self.client.ask("start", angle=110), {"ok": True})
        return self.until_status(settled=True, phase="checked", brightness=0, ir=True)

    def shines(self):
        self.until(lambda: self.chip.duty() == 1, "light")

    def rest(self):
        """Waits until the servo has its second of pulses, and marks."""
        def resting():
            self.chip.watch(60)
            return self.chip.measured()["pulses"] == 0
        self.until(resting, "rest")
        self.chip.order("mark")

    def test_start_and_stop(self):
        status = self.start()
        self.assertEqual((status["angle"], status["revision"], status["answered"]), (110, 1, True))
        self.shines()
        state = self.chip.measured()
        self.assertEqual(self.client.ask("brightness"), {"ok": True, "brightness": 0})
        self.chip.order("light 226")
        self.until_status(brightness=50)
        self.rest()
        self.client.ask("stop", angle=30)
        self.until_status(settled=True, ir=False, brightness=None)
        self.until(lambda: self.chip.measured()["pulses"] > 5, "pulses")
        self.assertAlmostEqual(self.chip.measured()["pulse_max_us"], 800, delta=2)
        self.assertEqual(self.client.ask("brightness"), {"ok": True, "brightness": -1})
        self.assertEqual(state["resets"], 0)

    def test_angles(self):
        for degrees in 0, 90, 180:
            self.rest()
            self.client.ask("angle", degrees=degrees)
            self.until(lambda: self.chip.measured()["pulses"] > 5, "pulses")
            self.assertAlmostEqual(self.chip.measured()["pulse_min_us"], 500 + 10 * degrees, delta=2)
            self.until_status(settled=True)
        self.assertFalse(self.client.ask("angle", degrees=181)["ok"])
        self.assertFalse(self.client.ask("dance")["ok"])

    def test_a_reset_in_the_middle_is_healed(self):
        self.start()
        self.shines()
        self.chip.order("mark")
        self.chip.order("reset")
        self.until_status(reboots=1)
        self.until_status(settled=True, phase="checked", brightness=0)
        self.shines()

    def test_a_hang_is_healed(self):
        self.start()
        self.chip.order("hang")
        self.until_status(reboots=1)
        self.until_status(settled=True, phase="checked", brightness=0)
        self.shines()

    def test_a_replugged_adapter_is_healed(self):
        self.start()
        self.chip.order("unplug")
        status = self.until_status(phase="absent", brightness=None, settled=False)
        self.until(lambda: self.client.status()["problem"], "cause")
        self.assertIn(self.link, self.client.status()["problem"])
        self.assertEqual(status["ir"], True)
        self.chip.order("reset")
        self.chip.order("plug")
        self.until_status(settled=True, phase="checked", brightness=0, problem=None)
        self.shines()

    def test_rubbish_on_the_line_is_borne(self):
        self.start()
        self.chip.order("babble " + (b"\xff\x00\r\nU-Boot 2026.01\r\nHit any key to stop autoboot:  0\nbright: 9\nbri" + bytes(range(256))).hex())
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
        self.until(lambda: self.chip.measured()["pulses"] > 5, "pulses")
        self.assertAlmostEqual(self.chip.measured()["pulse_max_us"], 700, delta=2)
        self.assertEqual(self.chip.duty(), 0)

    def test_a_service_that_is_killed_leaves_no_light_behind(self):
        self.start()
        self.shines()
        self.service.kill()
        self.chip.watch(16_000)
        self.assertEqual(self.chip.duty(), 0)

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
