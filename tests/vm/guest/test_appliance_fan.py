"""The shipped fan service: its line as the world outside sees it, and what the owner is told."""

import os
import time
import unittest

from appliance import ApplianceTest, health
from guest import read, run, until, write

SENSOR = "/run/temperature"
HOLD_S = 300  # the unit's


def level():
    chip = "/sys/kernel/config/gpio-sim/board"
    return int(read(f"/sys/devices/platform/{read(f'{chip}/dev_name')}/{read(f'{chip}/bank0/chip_name')}/sim_gpio5/value"))


class Fan(ApplianceTest):
    def test_1_it_rests_in_the_cold_and_fails_to_on(self):
        started_us = int(run("systemctl", "show", "-P", "ActiveEnterTimestampMonotonic", "watchtower-fan.service").stdout)
        rests = started_us / 1e6 + HOLD_S
        if time.monotonic() < rests - 5:
            self.assertEqual(level(), 1)  # until it has been on long enough
        write(SENSOR, "21000\n")
        until(lambda: level() == 0, "rest", max(0, rests - time.monotonic()) + 60)
        until(lambda: health()["machine"]["fan"]["on"] is False, "word of it")
        self.assertEqual(health()["machine"]["fan"]["celsius"], 21.0)
        os.remove(SENSOR)
        until(lambda: level() == 1, "fan without a sensor", 40)
        until(lambda: health()["machine"]["status"] == "failing", "word of it")
        self.assertIn("fan", health()["machine"]["cause"].lower())
        write(SENSOR, "21000\n")
        until(lambda: health()["machine"]["status"] == "ok", "end of it")
        self.assertEqual(level(), 1)  # for as long as it is held

    def test_2_a_killed_service_leaves_it_on(self):
        run("systemctl", "kill", "--signal=KILL", "watchtower-fan.service", check=True)
        self.assertEqual(level(), 1)
        until(lambda: run("systemctl", "is-active", "watchtower-fan.service").stdout.strip() == "active", "service")
        self.assertEqual(level(), 1)


if __name__ == "__main__":
    unittest.main()
