"""The appliance as an owner meets it: installed once, asked through its gateway with the owner's certificate."""

import http.client
import json
import os
import re
import ssl
import subprocess
import tempfile
import unittest

import install
from guest import read, run, until

SERVICES = ["watchtower.service", "watchtower-serial.service", "watchtower-fan.service", "nginx.service"]
HOST = "vm.example.org"
RAW, NV12, JPEG = "yuyv", "nv12", "mjpeg"
DEVICES = {RAW: "/dev/video20", NV12: "/dev/video21", JPEG: "/dev/video22"}


def up():
    """Makes this machine the appliance, once."""
    if not os.path.exists("/usr/bin/watchtower"):
        install.main()
        subprocess.run(["systemctl", "start", "test-hardware.service"], check=True)
        subprocess.run(["systemctl", "start", *install.UNITS], check=True)
    until(answers, "answer of the appliance")


def tls(name="owner", folder=install.PKI, pair=None):
    context = ssl.create_default_context(cafile=f"{install.PKI}/ca.pem")
    if name:
        context.load_cert_chain(*(pair or (f"{folder}/{name}.pem", f"{folder}/{name}.key")))
    return context


class Owner:
    """A client that keeps its connection, and makes a new one when it was cut."""

    def __init__(self, context=None):
        self.context, self.connection = context, None

    def request(self, method, path, body=None):
        """Status and body; OSError or HTTPException when there is no answer."""
        for fresh in self.connection is None, True:
            if fresh:
                self.close()
                self.connection = http.client.HTTPSConnection(HOST, timeout=30, context=self.context or tls())
            try:
                headers = {"Content-Type": "application/json"} if body is not None else {}
                self.connection.request(method, path, None if body is None else json.dumps(body), headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.close()
                if fresh:
                    raise

    def close(self):
        if self.connection:
            self.connection.close()
        self.connection = None


owner = Owner()


def call(method, path, body=None):
    status, answer = owner.request(method, path, body)
    assert status < 300, f"{method} {path}: {status} {answer[:300]}"
    return answer


def get(path):
    return json.loads(call("GET", path))


def answers():
    try:
        return owner.request("GET", "/api/status")[0] == 200
    except (OSError, http.client.HTTPException):
        return False


def health():
    """Whatever its verdict; None while nobody answers."""
    try:
        status, answer = owner.request("GET", "/healthz")
        return json.loads(answer) if status in (200, 503) else None
    except (OSError, http.client.HTTPException, ValueError):
        return None


def camera(name):
    """What health says of it."""
    return next((camera for camera in (health() or {"cameras": []})["cameras"] if camera["name"] == name), {"status": "unknown"})


def has_pictures(name):
    """Whether its pictures are new, whatever else is wrong."""
    age = camera(name).get("frame_age_s")
    return age is not None and age < 1.5


def delivers(name):
    """Whether all is well with it, and its pictures are new."""
    return camera(name)["status"] == "ok" and has_pictures(name)


def recordings(name):
    return get(f"/cameras/{name}/api/recordings?details=1")


def recording(name):
    """The id of a recording that is being made, and goes on for as long as one by hand does from now on."""
    call("POST", f"/cameras/{name}/api/record")
    return until(lambda: next((r["id"] for r in recordings(name) if r["recording"]), None), "recording")


def complete(name, id):
    return next((r for r in recordings(name) if r["id"] == id and not r["recording"]), None)


def pictures(name, id):
    """Number and size of what ffprobe decodes of a recording, without a word of complaint."""
    with tempfile.NamedTemporaryFile(suffix=".h264") as file:
        file.write(call("GET", f"/cameras/{name}/api/recordings/{id}/video"))
        file.flush()
        counted = run("ffprobe", "-v", "error", "-count_frames", "-show_entries", "stream=nb_read_frames,width,height", "-of", "json", file.name)
    assert counted.returncode == 0 and not counted.stderr, counted
    stream, = json.loads(counted.stdout)["streams"]
    return int(stream["nb_read_frames"]), (stream["width"], stream["height"])


def plays(name, id, patience_s=120):
    """Waits for the end of a recording; asserts that it plays; its number of pictures and their size."""
    until(lambda: complete(name, id), f"end of {id}", patience_s)
    count, size = pictures(name, id)
    assert count > 0, f"{id} has no picture"
    return count, size


def metric(name, **labels):
    """The value of a metric."""
    text = call("GET", "/metrics").decode()
    for line in text.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    raise AssertionError(f"no {name} {labels}")


def main_pid(unit):
    return int(run("systemctl", "show", "-P", "MainPID", unit).stdout)


def journal(unit, *more):
    return run("journalctl", "-b", "--no-pager", "-o", "cat", "-u", unit, *more).stdout


class ApplianceTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        up()


def golden_unit(name):
    return read(f"{install.GOLDEN}/vm/etc/systemd/system/{name}.service")
