"""The shipped daemon on the kernel's virtual cameras: what is recorded, listed and set."""

import json
import subprocess
import unittest

from appliance import DEVICES, JPEG, NV12, RAW, ApplianceTest, call, camera, delivers, get, health, journal, plays, recording
from guest import HERE, run, until

# Of a recording by hand: five pictures a second for eight seconds, of which some may be late.
LEAST = 30


class Probe(ApplianceTest):
    def test_what_there_is(self):
        probed = run("/usr/bin/watchtower", "probe", "--json")
        self.assertEqual(probed.returncode, 0, probed)
        found = json.loads(probed.stdout)
        devices = {device.get("path"): device for device in found["devices"]}
        for name in RAW, NV12:
            offered = devices[DEVICES[name]]
            self.assertEqual(offered["driver"], "vivid")
            self.assertLessEqual({"YUYV", "NV12"}, {offer["format"] for offer in offered["offers"]})
            self.assertTrue(any(control["name"] == "Brightness" for control in offered["controls"]), offered)
        jpeg = devices[DEVICES[JPEG]]
        self.assertEqual(({offer["format"] for offer in jpeg["offers"]}, jpeg["driver"]), ({"MJPG"}, "v4l2 loopback"))
        self.assertEqual(found["encoders"], [])  # the virtual one makes no H.264
        text = run("/usr/bin/watchtower", "probe").stdout
        self.assertIn("No hardware encoder", text)
        self.assertIn("[cameras.camera1]", text)


class Recording(ApplianceTest):
    def test_each_camera_is_recorded(self):
        ids = {}
        for name in DEVICES:
            until(lambda: delivers(name), f"picture of {name}")
        for name in DEVICES:
            ids[name] = recording(name)
        for name, id in ids.items():
            count, size = plays(name, id)
            print(f"{name}: {count} pictures of {size}", flush=True)
            self.assertEqual(size, (1280, 720) if name == JPEG else (320, 180))
            self.assertGreaterEqual(count, LEAST)
        encoders = {camera["name"]: camera["encoders"] for camera in health()["cameras"]}
        self.assertEqual({name: encoders[name]["disk"] for name in DEVICES}, dict.fromkeys(DEVICES, "software"))
        self.assertRegex(journal("watchtower.service"), r"encoding 320x180 by software: ")

    def test_what_each_device_gave(self):
        log = journal("watchtower.service")
        for name, device in DEVICES.items():
            self.assertRegex(log, rf"{device} \(.*\): {'MJPG 1280x720' if name == JPEG else 'YU12 320x180'}")


class Formats(ApplianceTest):
    """vivid gives every format at once, so that the daemon never takes these from it: loop devices stand in its place."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.feeds = []
        run("systemctl", "stop", "watchtower.service", "test-jpeg-camera.service", check=True)
        run("modprobe", "-r", "vivid", check=True)
        run("modprobe", "-r", "v4l2loopback", check=True)
        run("modprobe", "v4l2loopback", "video_nr=20,21,22", "exclusive_caps=0,0,0", check=True)
        run("udevadm", "settle")
        for name, pixels in (RAW, "yuyv422"), (NV12, "nv12"):
            command = ["ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-f", "rawvideo", "-pixel_format", pixels, "-video_size", "320x180", "-framerate", "5",
                       "-i", f"{HERE}/hardware/{pixels}.raw", "-c", "copy", "-f", "v4l2", DEVICES[name]]
            cls.feeds.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        run("systemctl", "start", "watchtower.service")

    @classmethod
    def tearDownClass(cls):
        run("systemctl", "stop", "watchtower.service")
        for feed in cls.feeds:
            feed.kill()
            feed.wait()
        run("modprobe", "-r", "v4l2loopback", check=True)
        run("/usr/local/lib/test-hardware/hardware", "raw_cameras", "jpeg_camera", check=True)
        run("systemctl", "start", "watchtower.service")
        for name in DEVICES:
            until(lambda: delivers(name), f"picture of {name}")

    def test_yuyv_and_nv12_are_recorded(self):
        for name, format in (RAW, "YUYV"), (NV12, "NV12"):
            with self.subTest(format=format):
                until(lambda: delivers(name), f"picture of {name}")
                self.assertIn(f": {format} 320x180", journal("watchtower.service"))
                count, size = plays(name, recording(name))
                self.assertEqual(size, (320, 180))
                self.assertGreaterEqual(count, LEAST)


class Controls(ApplianceTest):
    def test_settings_reach_the_driver(self):
        until(lambda: delivers(RAW), "picture")
        def driver():
            return int(run("v4l2-ctl", "-d", DEVICES[RAW], "-C", "brightness").stdout.split()[-1])
        for wanted, least, most in (100, 255, 255), (0, 0, 0), (75, 180, 200), (50, 120, 135):
            self.assertEqual(json.loads(call("POST", "/api/config", {"brightness": wanted}))["brightness"], wanted)
            until(lambda: least <= driver() <= most, f"brightness {wanted} at the driver, which has {driver()}")
        self.assertEqual(get("/api/config")["brightness"], 50)

    def test_the_schema_says_who_does_it(self):
        schema = {setting["name"]: setting for setting in get("/api/config/schema")}
        self.assertEqual(schema["brightness"]["done_by"], "driver")
        of_jpeg = {setting["name"]: setting for setting in get(f"/cameras/{JPEG}/api/config/schema")}
        self.assertNotEqual(of_jpeg["brightness"]["done_by"], "driver")  # the loop device has no such control

    def test_each_camera_has_its_own(self):
        before = json.loads(run("v4l2-ctl", "-d", DEVICES[NV12], "-C", "brightness").stdout.split()[-1])
        call("POST", "/api/config", {"brightness": 20})
        until(lambda: int(run("v4l2-ctl", "-d", DEVICES[RAW], "-C", "brightness").stdout.split()[-1]) < 100, "brightness at the driver of the other")
        self.assertEqual(json.loads(run("v4l2-ctl", "-d", DEVICES[NV12], "-C", "brightness").stdout.split()[-1]), before)
        call("POST", "/api/config", {"brightness": 50})
        self.assertEqual(camera(RAW)["status"], "ok")


if __name__ == "__main__":
    unittest.main()
