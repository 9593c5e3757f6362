"""`watchtower fan` on QEMU's Raspberry Pi 3: by rppal, and by the GPIO character device on the real driver. The pin is read from outside."""

import json
import os
import re
import socket
import subprocess
import tempfile
import time
import unittest
from pathlib import Path

BOARD = Path(os.environ["AARCH64_TESTS"]) / "board"
PIN = 5
GPIO = 0x3F200000
MODE, LEVEL = GPIO, GPIO + 0x34  # BCM2835 ARM Peripherals, 6.1: GPFSEL0 has three bits for each of the pins 0 to 9, GPLEV0 one for each to 31
INPUT, OUTPUT = 0, 1
# `pinctrl_bcm2835...` as in the image. Without `iomem=relaxed` Debian's kernel gives /dev/mem to nobody, and it has no /dev/gpiomem.
KERNEL = "console=ttyS1,115200 panic=-1 quiet loglevel=2 iomem=relaxed pinctrl_bcm2835.persist_gpio_outputs=1"
PATIENCE_S = 180


class Pi:
    """The machine: its shell, and QEMU's monitor."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory()
        monitor = f"{self.folder.name}/monitor"
        self.qemu = subprocess.Popen(
            ["timeout", "-k", "5", "1200", "qemu-system-aarch64", "-M", "raspi3b", "-display", "none", "-nodefaults", "-no-reboot",
             "-qmp", f"unix:{monitor},server=on,wait=off", "-serial", "null", "-serial", "stdio",
             "-kernel", BOARD / "vmlinuz", "-dtb", BOARD / "board.dtb", "-initrd", BOARD / "initrd", "-append", KERNEL],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, errors="replace")
        said = [self.line()]
        while said[-1] != "ready":
            said.append(self.line())
        self.monitor = socket.socket(socket.AF_UNIX)
        self.monitor.connect(monitor)
        self.answers = self.monitor.makefile()
        self.answers.readline()
        self.ask("qmp_capabilities")

    def close(self):
        self.qemu.terminate()
        self.qemu.wait()
        for open_file in (self.answers, self.monitor, self.qemu.stdin, self.qemu.stdout):
            open_file.close()
        self.folder.cleanup()

    def line(self):
        line = self.qemu.stdout.readline()
        if not line or "not syncing" in line:
            raise AssertionError(f"the machine died: {line}")
        return line.strip()

    def run(self, command):
        """Status and output of a command line."""
        self.qemu.stdin.write(f"{command}\n")
        self.qemu.stdin.flush()
        said = [self.line()]
        while not re.fullmatch(r"=\d+", said[-1]):
            said.append(self.line())
        return int(said[-1][1:]), "\n".join(said[:-1]).strip()

    def ask(self, command, **arguments):
        self.monitor.sendall(json.dumps({"execute": command, "arguments": arguments}).encode())
        while "return" not in (answer := json.loads(self.answers.readline())):
            assert "error" not in answer, answer
        return answer["return"]

    def register(self, address):
        said = self.ask("human-monitor-command", **{"command-line": f"xp /1xw {address:#x}"})
        return int(said.split(":")[1], 16)


class Fan(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.pi = Pi()
        cls.addClassCleanup(cls.pi.close)

    def pin(self):
        """Mode and level."""
        return self.pi.register(MODE) >> 3 * PIN & 0b111, self.pi.register(LEVEL) >> PIN & 1

    def until(self, condition, what):
        end = time.monotonic() + PATIENCE_S
        while not (result := condition()):
            if time.monotonic() > end:
                raise AssertionError(f"no {what} within {PATIENCE_S} s; the service said: {self.pi.run('cat /tmp/log')[1]}")
            time.sleep(0.2)
        return result

    def until_output(self, level):
        self.until(lambda: self.pin() == (OUTPUT, level), f"output {level}")

    def heat(self, text):
        self.pi.run(f"echo {text} > /tmp/heat.new; mv /tmp/heat.new /tmp/heat")

    def serve(self, *options, sensor="/tmp/heat"):
        self.pi.run("rm -f /tmp/fan.json")
        options = " ".join(options)
        self.pi.run(f"watchtower fan {options} --sensor {sensor} --every-s 1 --hold-s 3 --state /tmp/fan.json > /tmp/log 2>&1 & fan=$!")
        self.addCleanup(self.pi.run, "kill -9 $fan; wait $fan")
        self.until(lambda: self.pi.run("test -e /tmp/fan.json")[0] == 0, "first reading")

    def end(self, signal):
        """The status of the service that got this signal."""
        self.pi.run(f"kill -{signal} $fan")
        return int(self.pi.run("wait $fan; echo $?")[1].splitlines()[-1])

    def state(self):
        return json.loads(self.pi.run("cat /tmp/fan.json")[1])

    def by_temperature(self, *options):
        self.heat(21000)
        self.serve(*options)
        self.until_output(1)  # until something is known, and for the hold time
        self.until_output(0)
        self.heat(53500)
        self.until_output(1)
        self.heat(51000)
        self.until(lambda: self.state()["celsius"] == 51.0, "reading")
        self.assertEqual(self.pin(), (OUTPUT, 1))
        self.heat(49000)
        self.until_output(0)
        self.pi.run("rm /tmp/heat")
        self.until_output(1)
        self.assertIn("/tmp/heat", self.until(lambda: self.state()["problem"], "cause"))
        self.heat(21000)
        self.until_output(0)
        self.heat("rubbish")
        self.until_output(1)

    def chip(self):
        """The processor's GPIO chip."""
        return "/dev/" + self.pi.run("ls /sys/bus/platform/drivers/pinctrl-bcm2835/*.gpio | grep gpiochip")[1].split()[0]

    def test_rppal_by_temperature_and_in_doubt(self):
        self.by_temperature()

    def test_the_character_device_by_temperature_and_in_doubt(self):
        self.by_temperature("--chip", self.chip())

    def test_the_processors_own_sensor(self):
        self.serve(sensor="/sys/class/thermal/thermal_zone0/temp")
        self.until_output(0)
        self.assertEqual(self.state()["celsius"], 25.178)  # QEMU's processor is always so warm

    def test_whoever_ends_it_leaves_the_fan_running(self):
        for options in [], ["--chip", self.chip()]:
            with self.subTest(options):
                self.heat(21000)
                self.serve(*options)
                self.until_output(0)
                self.assertEqual(self.end("TERM"), 0)
                self.assertEqual(self.pin(), (OUTPUT, 1))

    def test_after_a_kill_the_next_start_sets_the_fan_going(self):
        """Nobody is there to switch it on: the line stays as it was, until systemd has started the service anew."""
        for options in [], ["--chip", self.chip()]:
            with self.subTest(options):
                self.heat(21000)
                self.serve(*options)
                self.until_output(0)
                self.assertEqual(self.end("KILL"), 128 + 9)
                self.assertEqual(self.pin(), (OUTPUT, 0))
                self.pi.run("rm /tmp/heat")
                self.serve(*options)
                self.until_output(1)
                self.end("KILL")

    def test_a_board_that_gives_no_access_is_refused_by_name(self):
        self.pi.run("mv /dev/mem /tmp/mem")
        self.addCleanup(self.pi.run, "mv /tmp/mem /dev/mem")
        status, said = self.pi.run(f"watchtower fan --pin {PIN}")
        self.assertEqual(status, 1)
        self.assertIn(f"GPIO {PIN}: ", said)
        self.assertIn("name its GPIO chip", said)


if __name__ == "__main__":
    unittest.main()
