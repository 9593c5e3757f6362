"""Cameras that go and come back, and drivers that fail: each time the daemon says so, comes back, and keeps what it had recorded."""

import contextlib
import glob
import os
import re
import subprocess
import time
import unittest

import recording_index
from appliance import DEVICES, JPEG, NV12, RAW, ApplianceTest, camera, delivers, journal, main_pid, metric, plays, recording
from guest import Counted, rounds, run, until, write

BACK_S = 10
DRIVER = "/sys/bus/platform/drivers/vivid"


def is_back(name, since):
    """Whether it gives pictures that are younger than that."""
    asked = time.monotonic()
    said = camera(name)
    return said["status"] == "ok" and said["frame_age_s"] is not None and said["frame_age_s"] < asked - since


def control(name, value, device=DEVICES[RAW]):
    done = run("v4l2-ctl", "-d", device, "-c", f"{name}={value}")
    assert done.returncode == 0, done


def is_open():
    """Whether anybody still has a device open that is gone: its number is taken for so long, and the next gets another."""
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            target = os.readlink(link)
        except OSError:
            continue
        if target.startswith("/dev/video") and target.endswith(" (deleted)"):
            return True
    return False


def plug():
    until(lambda: not is_open(), "end of the old devices", BACK_S)
    write(f"{DRIVER}/bind", "vivid.0")
    until(lambda: os.path.exists(DEVICES[RAW]) and os.path.exists(DEVICES[NV12]), "nodes")


# Recordings that were running when a fault came, and how many of their pictures were on the disk then.
MET = {}


class FaultTest(ApplianceTest):
    def setUp(self):
        self.pid = main_pid("watchtower.service")
        for name in RAW, NV12:
            until(lambda: delivers(name), f"picture of {name}")

    def repeat(self, what, fault):
        """Makes a fault in a recording, again and again. `fault` answers since when the camera can give pictures again."""
        counted = Counted(what, BACK_S)
        for _ in range(rounds()):
            with counted.round():
                until(lambda: delivers(RAW), "picture")
                id = recording(RAW)
                time.sleep(1)
                MET[id] = len(recording_index.read(RAW, id).walls)
                since = fault()
                until(lambda: is_back(RAW, since), "picture again")
                counted.took(time.monotonic() - since)
        counted.end()
        self.assertEqual(main_pid("watchtower.service"), self.pid, "the daemon went on")

    @contextlib.contextmanager
    def reopens(self):
        """A fault that may be over before health is asked: it is counted, and the log tells it."""
        def reopened():
            return metric("watchtower_camera_reopened_total", camera=RAW)
        def told():
            return len(re.findall(rf"{DEVICES[RAW]}: .*trying again in", journal("watchtower.service")))
        before = reopened(), told()
        yield
        until(lambda: reopened() > before[0], "attempt to open it again")
        until(lambda: told() > before[1], "word of it")

    def says_so(self):
        def said():
            found = camera(RAW)
            return found["status"] == "failing" and DEVICES[RAW] in found["cause"]
        until(said, "word of it")


class Plugs(FaultTest):
    def test_unplugged_and_replugged(self):
        def fault():
            # The driver is unbound while it streams: the nodes go at once, the write returns once the last user has let go.
            with subprocess.Popen(["sh", "-c", f"echo vivid.0 > {DRIVER}/unbind"]):
                until(lambda: not os.path.exists(DEVICES[RAW]), "end of the node")
                self.says_so()
                until(lambda: delivers(JPEG), "picture of a camera that stayed")
            plug()
            return time.monotonic()
        self.repeat("camera unplugged while it records, and replugged", fault)


class Driver(FaultTest):
    def test_a_damaged_picture(self):
        def fault():
            bad = metric("watchtower_frames_skipped_total", camera=RAW, reason="bad_picture")
            control("inject_v4l2_buf_flag_error", 1)
            since = time.monotonic()
            until(lambda: metric("watchtower_frames_skipped_total", camera=RAW, reason="bad_picture") > bad, "count of it")
            return since
        self.repeat("driver marks a picture as damaged", fault)

    def test_a_buffer_that_is_refused(self):
        def fault():
            with self.reopens():
                control("inject_vidioc_qbuf_error", 1)
                since = time.monotonic()
            return since
        self.repeat("driver refuses a buffer", fault)

    def fatal(self, *more):
        def fault():
            with self.reopens():
                for name in more:
                    control(name, 1)
                control("inject_fatal_streaming_error", 1)
                since = time.monotonic()
            return since
        return fault

    def test_a_fatal_streaming_error(self):
        self.repeat("driver's fatal streaming error", self.fatal())

    def test_a_fatal_error_and_no_start_afterwards(self):
        self.repeat("driver's fatal streaming error, then the next start fails too", self.fatal("inject_vidioc_streamon_error"))

    def test_dropped_pictures(self):
        def fault():
            control("percentage_of_dropped_buffers", 100)
            try:
                self.says_so()
            finally:
                control("percentage_of_dropped_buffers", 0)
            return time.monotonic()
        self.repeat("driver drops every picture until the camera counts as stalled", fault)

    def test_half_of_the_pictures_dropped_is_no_failure(self):
        control("percentage_of_dropped_buffers", 50)
        try:
            for _ in range(20):
                self.assertEqual(camera(RAW)["status"], "ok")
                time.sleep(0.3)
            MET[recording(RAW)] = 1
        finally:
            control("percentage_of_dropped_buffers", 0)

    def test_disconnected_by_the_driver(self):
        def fault():
            control("disconnect", 1)
            self.says_so()
            write(f"{DRIVER}/unbind", "vivid.0")
            plug()
            return time.monotonic()
        self.repeat("driver reports a disconnection, then the camera is replugged", fault)


class Recordings(ApplianceTest):
    """Comes last, so that nobody waits for the end of each."""

    def test_all_play(self):
        counted = Counted("recordings that a camera's or driver's fault met, played afterwards")
        for id, least in sorted(MET.items()):
            with counted.round():
                count, _ = plays(RAW, id)
                self.assertGreaterEqual(count, least, "what was on the disk")
        counted.end()


if __name__ == "__main__":
    unittest.main()
