"""What tests of the real `watchtower serial` share: the service, a client of it, and the simulated controller on a pseudo-terminal."""

import json
import os
import signal
import socket
import subprocess
import tempfile
import time
import unittest

from chip import BUILD

WATCHTOWER = os.environ["WATCHTOWER"]
PATIENCE_S = 60  # a busy machine is slow, not wrong


class Socket:
    """A client of the service."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(path)
        self.reader = self.socket.makefile()

    def ask(self, request, **fields):
        self.socket.sendall(json.dumps({"request": request, **fields}).encode() + b"\n")
        return json.loads(self.reader.readline())

    def status(self):
        return self.ask("status")["status"]

    def close(self):
        self.reader.close()
        self.socket.close()


class LiveChip:
    """The firmware in the simulator, in real time, on a pseudo-terminal that `link` points to."""

    def __init__(self, link):
        self.process = subprocess.Popen(
            [f"{BUILD}/simulator", f"{BUILD}/watchtower.elf", "--pty", link],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.answer()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def answer(self):
        while (line := self.process.stdout.readline()).startswith("Loaded "):
            pass
        return line.strip()

    def order(self, line):
        self.process.stdin.write(line + "\n")
        return self.answer()

    def light(self, percent):
        """Puts the voltage on the sensor's pin that is so bright; 40 of 1023 is dark, 100 bright."""
        self.order(f"light {-(-(40 + percent * 0.6) * 3300 // 1023):.0f}")

    def measured(self):
        return json.loads(self.order("state"))

    def watch(self, ms):
        """Marks, and waits for so much simulated time, which is the slower one on a busy machine."""
        self.order("mark")
        end_us = self.measured()["us"] + ms * 1000
        while self.measured()["us"] < end_us:
            time.sleep(0.02)

    def duty(self):
        """Of the LEDs, measured from now on."""
        self.watch(60)
        return self.measured()["duty"]


class ServiceTest(unittest.TestCase):
    """A service on a port of its own; a subclass puts a controller there."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.link = f"{folder.name}/tty"
        self.path = f"{folder.name}/socket"

    def serve(self):
        self.service = subprocess.Popen(
            [WATCHTOWER, "serial", "--port", self.link, "--socket", self.path, "--park-angle", "20", "--log", "error"])
        self.addCleanup(self.service.wait)
        self.addCleanup(self.service.kill)
        self.until(lambda: os.path.exists(self.path), "the socket")
        self.client = self.connect()

    def connect(self):
        client = Socket(self.path)
        self.addCleanup(client.close)
        return client

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            if time.monotonic() > end:
                self.fail(f"no {what} within {PATIENCE_S} s")
            time.sleep(0.05)
        return result

    def until_status(self, **wanted):
        def reached():
            status = self.client.status()
            return all(status[key] == value for key, value in wanted.items()) and status
        return self.until(reached, wanted)

    def end(self):
        self.service.send_signal(signal.SIGTERM)
        self.assertEqual(self.service.wait(PATIENCE_S), 0)
        self.assertFalse(os.path.exists(self.path))
