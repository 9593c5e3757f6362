"""A model of the first generation's controller, on a pseudo-terminal: its documented lines, and its limits.

Half duplex: what arrives while it sends is lost. Its line buffer has 16 bytes: a longer line is cut and the pieces are parsed. A line that
does not end blocks it for a second. Unknown lines get no answer. The servo's angle is taken from column 12 on, modulo 256.
"""

import os
import pty
import select
import threading
import time
import tty

BYTE_S = 10 / 19200


class OldChip:
    def __init__(self, link):
        self.link = link
        self.lines = []  # what it obeyed
        self.brightness = 42
        self.lost_bytes = 0
        self.plugged = False
        self.restart = threading.Event()
        self.plug()

    def plug(self):
        """The adapter comes: a new pseudo-terminal, the same link. The chip itself had its power all the time."""
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        os.symlink(os.ttyname(self.slave), self.link)
        first = not self.plugged and not self.lines
        self.plugged = True
        self.thread = threading.Thread(target=self.run, args=(first,))
        self.thread.start()

    def unplug(self):
        self.plugged = False
        self.thread.join()
        os.unlink(self.link)
        os.close(self.slave)
        os.close(self.master)

    def close(self):
        if self.plugged:
            self.unplug()

    def say(self, text):
        data = text.encode() + b"\n"
        os.write(self.master, data)
        deaf_until = time.monotonic() + len(data) * BYTE_S
        while (left := deaf_until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                self.lost_bytes += len(os.read(self.master, 256))

    def begin(self):
        self.ir = False
        self.angle = None
        self.buffer = b""
        self.say("reboot")

    def parse(self, line):
        if b"ir_on" in line:
            self.ir = True
            self.next_report = time.monotonic() + 0.5
        elif b"ir_off" in line:
            self.ir = False
        elif b"servo_angle_" in line:
            digits = bytes(c for c in line[12:15] if 48 <= c < 58)
            self.angle = min(int(digits or b"0") % 256, 180)
        else:
            return
        self.lines.append(line)
        self.say("ok")

    def run(self, first):
        if first:
            self.begin()
        self.buffer = b""
        while self.plugged:
            if self.restart.is_set():
                self.restart.clear()
                self.begin()
            if self.ir and time.monotonic() >= self.next_report:
                self.next_report += 0.5
                self.say(f"bright: {self.brightness}")
            # A half-received line blocks for a second, and is then taken as it is.
            if not select.select([self.master], [], [], 1 if self.buffer else 0.005)[0]:
                line, self.buffer = self.buffer, b""
                if line:
                    self.parse(line)
                continue
            byte = os.read(self.master, 1)
            time.sleep(BYTE_S)
            if byte != b"\n":
                self.buffer += byte
            if byte == b"\n" or len(self.buffer) == 15:
                line, self.buffer = self.buffer, b""
                self.parse(line)
