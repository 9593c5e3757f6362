"""What tests in the guest share: the real daemon under a sandbox of systemd's, and a client of its API."""

import json
import os
import subprocess
import tempfile
import time
import unittest
import urllib.error
import urllib.request

WATCHTOWER = "/run/in/watchtower"
PATIENCE_S = 120  # without hardware virtualisation everything is slow, not wrong


def until(condition, what, patience_s=PATIENCE_S):
    end = time.monotonic() + patience_s
    while not (result := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"no {what} within {patience_s} s")
        time.sleep(0.1)
    return result


def run(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, **{"timeout": PATIENCE_S} | options)


class Daemon:
    """`watchtower run` with one camera, as a transient unit with a closed device policy."""

    PORT = 8080

    def __init__(self, source, size="320x180", fps=5, devices=(), extra=""):
        self.folder = tempfile.mkdtemp(dir="/run")
        os.chmod(self.folder, 0o755)
        config = f"{self.folder}/watchtower.toml"
        with open(config, "w") as file:
            file.write(f"""
[storage]
path = "/var/lib/watchtower"
[web]
listen = "127.0.0.1:{self.PORT}"
[cameras.front]
source = "{source}"
size = "{size}"
fps = {fps}
{extra}
[cameras.front.motion]
min_trigger_area = 1.0
recording_padding_s = 1.0
""")
        self.unit = f"watchtower-{os.path.basename(self.folder)}"
        properties = [
            "DynamicUser=yes", "StateDirectory=watchtower", "SupplementaryGroups=video", "DevicePolicy=closed", "ProtectSystem=strict", "ProtectHome=yes", "PrivateTmp=yes",
            "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes", "CapabilityBoundingSet=", "SystemCallFilter=@system-service", "SystemCallFilter=~@privileged @resources",
            "RestrictAddressFamilies=AF_UNIX AF_INET AF_NETLINK", "ProtectProc=invisible", *(f"DeviceAllow={device} rw" for device in devices)]
        subprocess.run(
            ["systemd-run", "--quiet", f"--unit={self.unit}", *(f"--property={p}" for p in properties), WATCHTOWER, "run", "--config", config], check=True)
        until(self.answers, "answer of the daemon")

    def close(self):
        run("systemctl", "stop", self.unit)
        run("systemctl", "reset-failed", self.unit)
        run("rm", "-rf", self.folder, "/var/lib/private/watchtower")

    def log(self):
        return run("journalctl", "-u", self.unit, "--no-pager", "-o", "cat").stdout

    def call(self, method, path, body=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.PORT}{path}", method=method, data=body and json.dumps(body).encode(),
                                         headers={"Content-Type": "application/json"} if body else {})
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.read()

    def json(self, path):
        return json.loads(self.call("GET", path))

    def answers(self):
        try:
            return self.call("GET", "/api/status")
        except OSError:
            return None

    def camera(self):
        camera, = self.json("/api/cameras")
        return camera

    def health(self):
        """Of the camera, whatever its status."""
        try:
            answer = self.json("/healthz")
        except urllib.error.HTTPError as error:
            answer = json.load(error)
        camera, = answer["cameras"]
        return camera

    def gives_pictures(self):
        age = self.health()["frame_age_s"]
        return age is not None and age < 3

    def record(self):
        """Asks for a recording, and gives its number of pictures once it is complete, as ffprobe decodes them."""
        known = {r["id"] for r in self.json("/api/recordings?details=1")}
        self.call("POST", "/api/record")
        def complete():
            return next((r["id"] for r in self.json("/api/recordings?details=1") if r["id"] not in known and not r["recording"]), None)
        return self.pictures(until(complete, "recording"))

    def pictures(self, recording):
        with open(f"{self.folder}/video.h264", "wb") as file:
            file.write(self.call("GET", f"/api/recordings/{recording}/video"))
        counted = run("ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width,height", "-of", "json", file.name)
        assert counted.returncode == 0 and not counted.stderr, counted
        stream, = json.loads(counted.stdout)["streams"]
        return int(stream["nb_read_frames"]), (stream["width"], stream["height"])


class DaemonTest(unittest.TestCase):
    def start(self, *arguments, **options):
        daemon = Daemon(*arguments, **options)
        self.addCleanup(daemon.close)
        return daemon


def nodes(driver):
    """The capture devices of a driver, in order."""
    found = []
    for name in sorted(os.listdir("/sys/class/video4linux"), key=lambda name: int(name.removeprefix("video")) if name.startswith("video") else -1):
        with open(f"/sys/class/video4linux/{name}/name") as file:
            if name.startswith("video") and driver in file.read():
                found.append(f"/dev/{name}")
    return found
