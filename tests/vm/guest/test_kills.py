"""kill -9 of each service: systemd brings it back, the others go on, and hardly anything that was recorded is lost."""

import os
import random
import signal
import time
import unittest

import recording_index
from appliance import JPEG, NV12, RAW, SERVICES, ApplianceTest, camera, delivers, main_pid, plays, recording
from guest import BOARD, Counted, rounds, run, until

UP_S, LOST_S = 30, 2
RECORDED = {RAW: "raw", JPEG: "JPEG"}  # raw pictures are encoded one by one, JPEGs some at a time
INTERRUPTED = 8  # ancillary/docs/recording-format.md


def all_up():
    active = run("systemctl", "is-active", *SERVICES).stdout.split()
    serial = not os.path.exists(BOARD) or camera(RAW).get("serial", {}).get("settled") is True
    return active == ["active"] * len(SERVICES) and all(delivers(name) for name in (RAW, NV12, JPEG)) and serial


class Kills(ApplianceTest):
    def test_killed_at_random(self):
        counts = {unit: Counted(f"kill -9 of {unit.removesuffix('.service')}: everything is up again", UP_S) for unit in SERVICES}
        lost = {name: Counted(f"kill -9 of watchtower while it records a {kind} camera: seconds lost of the recording", LOST_S) for name, kind in RECORDED.items()}
        order = SERVICES * rounds()
        random.shuffle(order)
        until(all_up, "appliance")
        kept = []
        for unit in order:
            with counts[unit].round():
                until(all_up, "appliance")
                ids = {name: recording(name) for name in RECORDED}
                time.sleep(random.uniform(0.5, 4))
                pid = main_pid(unit)
                others = {other: main_pid(other) for other in SERVICES if other != unit}
                killed = time.time()
                began = time.monotonic()
                os.kill(pid, signal.SIGKILL)
                until(lambda: main_pid(unit) not in (0, pid), "new process")
                until(all_up, "appliance")
                counts[unit].took(time.monotonic() - began)
                self.assertEqual({other: main_pid(other) for other in others}, others, "the others go on")
            if unit == "watchtower.service":
                kept += [(name, id, killed) for name, id in ids.items()]
        for name, id, killed in kept:
            with lost[name].round():
                plays(name, id)
                index = recording_index.read(name, id)
                self.assertEqual(index.reason, INTERRUPTED)
                lost[name].took(max(0, killed - index.walls[-1]))
        for counted in [*counts.values(), *lost.values()]:
            with self.subTest(counted.what):
                counted.end()


if __name__ == "__main__":
    unittest.main()
