"""A clock that jumps, a disk that is full."""

import os
import time
import unittest

import recording_index
from appliance import NV12, RAW, ApplianceTest, call, complete, delivers, has_pictures, health, main_pid, plays, recording
from guest import Counted, rounds, run, until
from test_faults import is_back

FILLER = "/var/lib/watchtower/filler"


def fill():
    """Until nothing goes in any more."""
    disk = os.statvfs(os.path.dirname(FILLER))
    run("fallocate", "-l", str(disk.f_bavail * disk.f_frsize - (1 << 20)), FILLER, check=True)
    run("sh", "-c", f"cat /dev/zero >> {FILLER}")


def grows(name, id):
    """Waits until more of a recording is on the disk."""
    before = len(recording_index.read(name, id).walls)
    until(lambda: len(recording_index.read(name, id).walls) > before, "more of the recording")


class Clock(ApplianceTest):
    def test_jumps(self):
        """By hours, forth and back, in the middle of recordings: they go on, play, and their events keep their order."""
        pid = main_pid("watchtower.service")
        offset = time.time() - time.monotonic()
        self.addCleanup(lambda: run("date", "-s", f"@{time.monotonic() + offset:.3f}", check=True))
        counted = Counted("clock jumps by hours, forth or back, while a recording runs: pictures go on", 10)
        kept = []
        for number in range(rounds()):
            with counted.round():
                until(lambda: delivers(RAW), "picture")
                id = recording(RAW)
                kept.append(id)
                time.sleep(1)
                by = [5, -9, 4][number % 3] * 3600
                run("date", "-s", f"@{time.time() + by:.3f}", check=True)
                began = time.monotonic()
                until(lambda: is_back(RAW, began), "new picture")
                counted.took(time.monotonic() - began)
                # The next jump meets another event.
                until(lambda: complete(RAW, id), "end of the recording")
        for id in kept:
            with counted.again():
                plays(RAW, id)
        counted.end()
        order = [recording_index.read(RAW, id).event for id in kept]
        self.assertEqual(order, sorted(set(order)), "events are numbered as they happened, whatever the clock said")
        self.assertEqual(main_pid("watchtower.service"), pid)


class Disk(ApplianceTest):
    def test_full(self):
        """Health says so, the daemon goes on, what is protected stays, and recording goes on as soon as there is room."""
        pid = main_pid("watchtower.service")
        counted = Counted("disk full while a recording runs, then room again: recording works again", 10)
        kept = recording(NV12)
        plays(NV12, kept)
        call("PATCH", f"/cameras/{NV12}/api/recordings/{kept}", {"protected": True})
        for _ in range(rounds()):
            with counted.round():
                until(lambda: delivers(RAW), "picture")
                recording(RAW)
                time.sleep(1)
                fill()
                try:
                    until(lambda: health()["disk"]["status"] == "failing", "word of it")
                    self.assertTrue(health()["disk"]["cause"])
                    time.sleep(3)
                    self.assertEqual(main_pid("watchtower.service"), pid)
                    until(lambda: has_pictures(RAW), "picture")
                finally:
                    os.remove(FILLER)
                began = time.monotonic()
                until(lambda: health()["disk"]["status"] == "ok", "end of it")
                grows(RAW, recording(RAW))
                counted.took(time.monotonic() - began)
        with counted.again():
            plays(RAW, recording(RAW))
        counted.end()
        plays(NV12, kept)


if __name__ == "__main__":
    unittest.main()
