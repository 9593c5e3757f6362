"""The simulated controller in lock-step: time passes only when a test lets it."""

import json
import os
import subprocess

BUILD = os.environ["FIRMWARE_BUILD"]  # holds watchtower.elf and simulator; set by ./run


def crc8(data):
    """CRC-8/SMBUS, written again here so that the firmware is not checked by itself."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x07) & 0xFF if crc & 0x80 else crc << 1
    return crc


def sealed(body):
    return b"%s*%02x" % (body, crc8(body))


class Chip:
    """One controller, just switched on unless `boot` is false."""

    def __init__(self, boot=True):
        self.process = subprocess.Popen(
            [f"{BUILD}/simulator", f"{BUILD}/watchtower.elf"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True, bufsize=1)
        self.rest = b""
        if boot:
            self.run_ms(100)

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()

    def order(self, line):
        self.process.stdin.write(line + "\n")
        while True:
            answer = self.process.stdout.readline()
            if not answer:
                raise AssertionError(f"the simulator ended at '{line}'")
            if not answer.startswith("Loaded "):  # simavr's own words
                return answer.strip()

    def run_ms(self, ms):
        """Lets time pass; the whole lines that arrived meanwhile."""
        sent = self.order(f"run {ms * 1000:.0f}")
        *lines, self.rest = (self.rest + (b"" if sent == "-" else bytes.fromhex(sent))).split(b"\n")
        return [line.decode("latin1") for line in lines]

    def send(self, data):
        self.order(f"send {data.hex()}")

    def ask(self, line, ms=40):
        """Sends a line and gives what came within `ms`."""
        self.send(line + b"\n")
        return self.run_ms(ms)

    def state(self):
        return json.loads(self.order("state"))

    def measure(self, ms):
        """The instruments' readings over the next `ms`."""
        self.order("mark")
        self.run_ms(ms)
        return self.state()

    def light(self, reading):
        """Puts the voltage on the sensor's pin that the ADC reads as `reading` of 1023."""
        self.order(f"light {-(-reading * 3300 // 1023)}")

    def identity(self):
        """Revision, cause of the last start, errors since."""
        line, = (line for line in self.ask(b"ver") if line.startswith("wt 2 "))
        _, _, revision, cause, errors = line.split()
        return int(revision), cause, int(errors)
