"""The real fan service on a simulated GPIO chip: the line as the world outside sees it."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import unittest

from guest import WATCHTOWER, run, until

LINE = 5


class Fan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run("modprobe", "gpio-sim", check=True)

    def setUp(self):
        self.folder = tempfile.mkdtemp(dir="/run")
        os.chmod(self.folder, 0o755)
        self.sensor = f"{self.folder}/temp"
        chip = f"/sys/kernel/config/gpio-sim/fan-{os.path.basename(self.folder)}"
        os.makedirs(f"{chip}/bank0")
        for name, value in (("bank0/num_lines", "54"), ("bank0/label", "pinctrl-bcm2835"), ("live", "1")):
            with open(f"{chip}/{name}", "w") as file:
                file.write(value)
        def read(name):
            with open(f"{chip}/{name}") as file:
                return file.read().strip()
        self.device, device = f"/dev/{read('bank0/chip_name')}", read("dev_name")
        self.line = f"/sys/devices/platform/{device}/{read('bank0/chip_name')}/sim_gpio{LINE}"
        until(lambda: os.path.exists(self.device), "GPIO chip")
        def remove():
            with open(f"{chip}/live", "w") as file:
                file.write("0")
            os.rmdir(f"{chip}/bank0")
            os.rmdir(chip)
        self.addCleanup(remove)

    def level(self):
        with open(f"{self.line}/value") as file:
            return int(file.read())

    def pull(self, direction):
        with open(f"{self.line}/pull", "w") as file:
            file.write(direction)

    def heat(self, celsius):
        with open(f"{self.sensor}.new", "w") as file:
            file.write(celsius if isinstance(celsius, str) else f"{celsius * 1000:.0f}\n")
        os.rename(f"{self.sensor}.new", self.sensor)

    def serve(self, hold_s=1):
        """Until it has the line: before that, its level is the pull's and tells nothing."""
        with contextlib.suppress(FileNotFoundError):
            os.remove(f"{self.folder}/fan.json")
        command = [WATCHTOWER, "fan", "--chip", self.device, "--pin", str(LINE), "--sensor", self.sensor, "--every-s", "1", "--hold-s", str(hold_s), "--state", f"{self.folder}/fan.json"]
        self.service = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        self.addCleanup(self.service.wait)
        self.addCleanup(self.service.kill)
        until(lambda: os.path.exists(f"{self.folder}/fan.json"), "state")

    def until_level(self, level):
        until(lambda: self.level() == level, f"level {level}")

    def state(self):
        with open(f"{self.folder}/fan.json") as file:
            return json.load(file)

    def test_by_temperature(self):
        self.heat(21)
        self.serve(hold_s=5)
        self.until_level(1)  # until something is known, and for the hold time
        self.until_level(0)
        until(lambda: self.state() == {"on": False, "celsius": 21.0, "problem": None}, "state")  # written after the line is set
        self.heat(53.5)
        self.until_level(1)
        self.heat(51)
        until(lambda: self.state()["celsius"] == 51.0, "reading")
        self.assertEqual(self.level(), 1)
        self.heat(49)
        self.until_level(0)

    def test_on_when_the_sensor_is_in_doubt(self):
        self.heat(21)
        self.serve()
        self.until_level(0)
        os.remove(self.sensor)
        self.until_level(1)
        until(lambda: self.sensor in (self.state()["problem"] or ""), "cause")
        self.heat(21)
        self.until_level(0)
        self.heat("rubbish")
        self.until_level(1)

    def test_the_end_leaves_it_on_where_the_pull_holds_it(self):
        """A line that is let go is an input: what its pull says is what config.txt has set from boot on."""
        for end in signal.SIGTERM, signal.SIGKILL:
            for pull, level in ("pull-up", 1), ("pull-down", 0):
                with self.subTest(end=end, pull=pull):
                    self.pull(pull)
                    self.heat(21)
                    self.serve()
                    self.until_level(0)
                    self.service.send_signal(end)
                    self.service.wait()
                    self.until_level(level)

    def test_a_second_owner_is_refused_by_name(self):
        self.heat(21)
        self.serve()
        self.until_level(0)
        second = run(WATCHTOWER, "fan", "--chip", self.device, "--pin", str(LINE), "--sensor", self.sensor)
        self.assertEqual(second.returncode, 1)
        self.assertIn(f"line {LINE} of {self.device}", second.stderr)

    def test_under_a_sandbox_without_network_or_other_devices(self):
        self.heat(60)
        properties = ["DynamicUser=yes", "DevicePolicy=closed", f"DeviceAllow={self.device} rw", "PrivateNetwork=yes", "ProtectSystem=strict", "NoNewPrivileges=yes",
                      "CapabilityBoundingSet=", "RestrictAddressFamilies=AF_UNIX", "MemoryDenyWriteExecute=yes", "SystemCallFilter=@system-service", "SupplementaryGroups=gpio"]
        run("groupadd", "-f", "gpio")
        run("chgrp", "gpio", self.device)
        run("chmod", "660", self.device)
        run("systemd-run", "--quiet", "--unit=fan-test", *(f"--property={p}" for p in properties), WATCHTOWER, "fan", "--chip", self.device, "--pin", str(LINE), "--sensor", self.sensor, "--every-s", "1", "--hold-s", "1", check=True)
        self.addCleanup(run, "systemctl", "reset-failed", "fan-test")
        self.addCleanup(run, "systemctl", "stop", "fan-test")
        self.until_level(1)
        self.heat(21)
        self.until_level(0)
