"""The shipped units, as they run: what they let their services do, tried from inside, and what systemd says of them."""

import json
import os
import re
import stat
import unittest

from appliance import ApplianceTest, golden_unit, main_pid
from guest import BOARD, HERE, read, run, until, write

# What a unit may still do, 0 (nothing) to 10.
EXPOSURE = {"watchtower": 0.5, "watchtower-serial": 0.5, "watchtower-fan": 0.5}
GATEWAY_EXPOSURE = {"nginx": 2.0}
# Nobody declared these.
OTHERS = ["/dev/vda", "/dev/hvc0", "/dev/fuse", "/dev/video23", "/dev/uinput", "/dev/gpiochip0", "/dev/ttyGS0", "/dev/ttyACM0"]
MAY = {"watchtower": ["/dev/video20", "/dev/video21"], "watchtower-serial": ["/dev/ttyACM0"], "watchtower-fan": ["/dev/gpiochip0"]}


class Inside(ApplianceTest):
    """Another program in a service's place: the golden unit, with nothing changed but what is run, how it is waited for and how often."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        run("modprobe", "uinput")
        run("modprobe", "fuse")
        cls.seen = {name: cls.look(name) for name in EXPOSURE}

    @classmethod
    def look(cls, name):
        for folder in "/tmp", "/dev/shm":
            write(f"{folder}/of-the-machine", "")
        devices = [path for path in OTHERS + ["/dev/video20", "/dev/video21"] if os.path.exists(path)]
        # A device's mode could be its one protection: here everybody may, and the unit alone does not. But it allows the daemon cameras.
        before = {path: os.stat(path).st_mode for path in devices if (name, path) != ("watchtower", "/dev/video23")}
        lines = [line for line in golden_unit(name).splitlines() if not re.match(r"(Type|ExecStart|Restart\w*|WatchdogSec|NotifyAccess)=", line)]
        place = lines.index("[Service]") + 1
        lines[place:place] = ["Type=oneshot", f"ExecStart=/usr/bin/python3 {HERE}/inside.py {' '.join(devices)}"]
        # Its own folder: systemd takes it away with the unit that made it.
        unit = f"inside-{name}"
        write(f"/run/systemd/system/{unit}.service", "\n".join(re.sub("^RuntimeDirectory=", "RuntimeDirectory=inside-", line) for line in lines))
        run("systemctl", "daemon-reload", check=True)
        try:
            for path, mode in before.items():
                os.chmod(path, mode | 0o666)
            started = run("systemctl", "start", f"{unit}.service")
        finally:
            for path, mode in before.items():
                os.chmod(path, stat.S_IMODE(mode))
        said = run("journalctl", "-b", "--no-pager", "-o", "cat", "-u", f"{unit}.service", "-t", "python3").stdout
        assert started.returncode == 0 and said.strip(), f"{name}: {started.stderr} {said}"
        return json.loads(said.strip().splitlines()[-1])

    def test_devices_that_were_not_declared_are_not_permitted(self):
        for name, seen in self.seen.items():
            for path, result in seen["devices"].items():
                declared = path in MAY[name] or (name == "watchtower" and path == "/dev/video23")
                with self.subTest(unit=name, device=path):
                    if not declared:
                        self.assertEqual(result, "EPERM")
        self.assertGreaterEqual(sum(r == "EPERM" for seen in self.seen.values() for r in seen["devices"].values()), 15)

    def test_declared_devices_open(self):
        for name in "watchtower", "watchtower-fan":
            for path in MAY[name]:
                self.assertEqual(self.seen[name]["devices"][path], "opened", f"{name} {path}")
        if os.path.exists(BOARD):
            # The service has it, for itself alone: what could not be opened would not be busy.
            self.assertEqual(self.seen["watchtower-serial"]["devices"]["/dev/ttyACM0"], "EBUSY")

    def test_a_camera_that_was_not_declared_is_kept_by_its_group(self):
        """The unit allows the class of cameras; which of them, udev's rule says."""
        self.assertEqual(self.seen["watchtower"]["devices"]["/dev/video23"], "EACCES")

    def test_nothing_is_written_outside_the_own_folder(self):
        own = {"watchtower": {"/var/lib/watchtower"}, "watchtower-serial": {"/run/inside-watchtower-serial"}, "watchtower-fan": {"/run/inside-watchtower-fan"}}
        for name, seen in self.seen.items():
            written = {folder for folder, result in seen["folders"].items() if result == "written"}
            # Where everybody may write there are folders of the unit's own.
            self.assertEqual(written - {"/tmp", "/var/tmp", "/dev/shm"}, own[name], seen["folders"])
            self.assertGreaterEqual(len(seen["folders"]), 15)
            # Not by their modes alone.
            self.assertEqual({seen["folders"][folder] for folder in ("/", "/etc", "/run", "/var", "/var/lib")}, {"EROFS"}, seen["folders"])
            # What stands there is its own, not the machine's.
            self.assertEqual((seen["tmp"], seen["shm"]), ([], []), name)

    def test_no_network(self):
        for name, seen in self.seen.items():
            self.assertEqual(seen["sockets"].pop("unix"), "made")
            self.assertTrue(all(result in ("EAFNOSUPPORT", "EPERM") for result in seen["sockets"].values()), f"{name}: {seen['sockets']}")
            self.assertEqual(len(seen["sockets"]), 5)
            self.assertLessEqual(set(seen["interfaces"]), {"lo"}, name)

    def test_no_other_process_is_seen(self):
        for name, seen in self.seen.items():
            self.assertEqual(seen["processes"], [seen["own"]], name)

    def test_no_root_and_no_secrets(self):
        for name, seen in self.seen.items():
            self.assertNotEqual(seen["user"], 0, name)
            self.assertIn(seen["keys"], ("EACCES", "ENOENT"), name)
            self.assertIn(seen["journal"], ("EACCES", "ENOENT"), name)
            self.assertIn(seen["reboot"], ("EACCES", "EROFS", "ENOENT", "EPERM"), name)


class Running(ApplianceTest):
    def test_the_services_run_as_their_units_say(self):
        for name in EXPOSURE:
            pid = until(lambda: main_pid(f"{name}.service"), name)
            status = dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)
            self.assertEqual((status["CapEff"], status["CapBnd"], status["NoNewPrivs"], status["Seccomp"]), ("0" * 16, "0" * 16, "1", "2"), name)
            self.assertNotEqual(status["Uid"].split()[0], "0")
            self.assertNotEqual(os.stat(f"/proc/{pid}/ns/net").st_ino, os.stat("/proc/1/ns/net").st_ino, f"{name} has a network of its own")
            installed = read(f"/etc/systemd/system/{name}.service")
            self.assertEqual(installed, golden_unit(name))
            self.assertEqual(run("systemctl", "show", "-P", "DropInPaths", f"{name}.service").stdout.strip(), "")

    def test_exposure(self):
        for name, most in (EXPOSURE | GATEWAY_EXPOSURE).items():
            said = run("systemd-analyze", "security", "--no-pager", f"{name}.service").stdout
            level = float(re.search(r"Overall exposure level for \S+: ([\d.]+)", said)[1])
            print(f"{name}: {level} of at most {most}", flush=True)
            self.assertLessEqual(level, most, said)

    def test_verify(self):
        for name in [*EXPOSURE, "nginx", "nftables"]:
            verified = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", f"/etc/systemd/system/{name}.service")
            # Keys that only NixOS reads.
            said = [line for line in verified.stderr.splitlines() if "X-" not in line and f"{name}." in line]
            self.assertEqual((verified.returncode, said), (0, []), verified)

    def test_nothing_listens_but_the_gateway(self):
        listening = run("ss", "-Htulnp").stdout.split("\n")
        ports = {line.split()[4].rsplit(":", 1)[1] for line in listening if line}
        self.assertEqual(ports, {"443"}, listening)


if __name__ == "__main__":
    unittest.main()
