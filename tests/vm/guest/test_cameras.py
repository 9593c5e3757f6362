"""The real daemon on the kernel's virtual cameras, under a sandbox: recording, controls, sizes, faults."""

import json
import os
import subprocess
import unittest

from daemon import WATCHTOWER, DaemonTest, nodes, run, until


class Probe(unittest.TestCase):
    def test_what_there_is(self):
        probed = run(WATCHTOWER, "probe", "--json")
        self.assertEqual(probed.returncode, 0, probed)
        found = json.loads(probed.stdout)
        devices = {device.get("path"): device for device in found["devices"]}
        for path in nodes("vivid"):
            offered = devices[path]
            self.assertEqual(offered["driver"], "vivid")
            formats = {offer["format"] for offer in offered["offers"]}
            self.assertLessEqual({"YUYV", "NV12"}, formats)
            self.assertTrue(any(control["name"] == "Brightness" for control in offered["controls"]), offered)
        self.assertEqual(found["encoders"], [])  # the virtual one makes no H.264
        text = run(WATCHTOWER, "probe").stdout
        self.assertIn("No hardware encoder", text)
        self.assertIn("[cameras.camera1]", text)


class Vivid(DaemonTest):
    def test_raw_pictures_are_recorded(self):
        device = nodes("vivid")[0]
        daemon = self.start(f"v4l2:{device}", devices=[device])
        until(daemon.gives_pictures, "picture")
        count, size = daemon.record()
        self.assertGreaterEqual(count, 5)
        self.assertEqual(size, (320, 180))
        self.assertEqual(daemon.health()["encoders"], {"disk": "software"})

    def test_a_device_that_was_not_declared_is_refused(self):
        device, other = nodes("vivid")[:2]
        daemon = self.start(f"v4l2:{other}", devices=[device])
        cause = until(lambda: daemon.health().get("cause"), "cause")
        self.assertIn(other, cause)
        self.assertRegex(cause, "(?i)not permitted|permission")
        self.assertEqual(daemon.health()["status"], "failing")

    def test_settings_reach_the_driver(self):
        device = nodes("vivid")[0]
        daemon = self.start(f"v4l2:{device}", devices=[device])
        until(daemon.gives_pictures, "picture")
        def driver():
            return int(run("v4l2-ctl", "-d", device, "-C", "brightness").stdout.split()[-1])
        for wanted, least, most in (100, 255, 255), (0, 0, 0), (75, 180, 200):
            self.assertEqual(json.loads(daemon.call("POST", "/api/config", {"brightness": wanted}))["brightness"], wanted)
            until(lambda: least <= driver() <= most, f"brightness {wanted} at the driver, which has {driver()}")

    def test_unplugged_and_replugged(self):
        """The driver is unbound while it streams: the node goes at once. Each time the daemon says so, and comes back."""
        device = nodes("vivid")[0]
        daemon = self.start(f"v4l2:{device}", devices=["char-video4linux"])
        rounds = int(os.environ.get("ROUNDS", "5"))
        for _ in range(rounds):
            until(daemon.gives_pictures, "picture")
            # Writing it returns once the last user has let go.
            with subprocess.Popen(["sh", "-c", "echo vivid.0 > /sys/bus/platform/drivers/vivid/unbind"]):
                until(lambda: not os.path.exists(device), "end of the node")
                until(lambda: daemon.health()["status"] == "failing", "word of it")
            with open("/sys/bus/platform/drivers/vivid/bind", "w") as file:
                file.write("vivid.0")
            until(lambda: os.path.exists(device), "node")
            until(lambda: daemon.health()["status"] == "ok", "recovery", 30)
        self.assertGreaterEqual(daemon.record()[0], 5)

    def test_faults_of_the_driver_are_survived(self):
        device = nodes("vivid")[0]
        daemon = self.start(f"v4l2:{device}", devices=[device])
        for fault in "inject_v4l2_buf_flag_error", "inject_fatal_streaming_error", "percentage_of_dropped_buffers=50":
            with self.subTest(fault=fault):
                until(daemon.gives_pictures, "picture")
                name, _, value = fault.partition("=")
                injected = run("v4l2-ctl", "-d", device, "-c", f"{name}={value or 1}")
                self.assertEqual(injected.returncode, 0, injected)
                until(daemon.gives_pictures, "picture", 30)
                self.assertGreaterEqual(daemon.record()[0], 3)
                if value:
                    run("v4l2-ctl", "-d", device, "-c", f"{name}=0")


class Jpeg(DaemonTest):
    def test_jpegs_are_recorded(self):
        """A camera that gives JPEGs: a loop device that ffmpeg feeds."""
        device = "/dev/video60"
        made = run("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=1280x720:rate=5", "-t", "4", "-c:v", "mjpeg", "-pix_fmt", "yuvj420p", "-q:v", "6", "-y", "/run/clip.avi")
        self.assertEqual(made.returncode, 0, made)
        feed = subprocess.Popen(["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", "/run/clip.avi", "-c", "copy", "-f", "v4l2", device], stdin=subprocess.DEVNULL)
        self.addCleanup(feed.wait)
        self.addCleanup(feed.kill)
        until(lambda: "MJPG" in run("v4l2-ctl", "-d", device, "--list-formats").stdout, "format")
        daemon = self.start(f"v4l2:{device}", size="1280x720", devices=[device], extra='[cameras.front.disk]\nsize = "320x180"')
        until(daemon.gives_pictures, "picture")
        count, size = daemon.record()
        self.assertGreaterEqual(count, 3)
        self.assertEqual(size, (320, 180))


class Encoder(DaemonTest):
    def test_hardware_that_is_asked_for_and_missing_is_told_while_software_records(self):
        device = nodes("vivid")[0]
        daemon = self.start(f"v4l2:{device}", devices=[device], extra='encoder = "hardware"')
        until(lambda: "hardware was to encode" in daemon.health().get("cause", ""), "word of it")
        self.assertGreaterEqual(daemon.record()[0], 5)
        self.assertEqual(daemon.health()["encoders"], {"disk": "software"})
        self.assertIn("by software: this machine has no hardware encoder", daemon.log())
