"""The real firmware behind a USB serial adapter: the shipped service, the daemon, and the board outside."""

import glob
import json
import os
import time
import unittest

from appliance import RAW, ApplianceTest, call, camera, has_pictures
from guest import BOARD, Counted, rounds, until, write

UDC = "/sys/kernel/config/usb_gadget/board/UDC"


class Chip:
    """Orders for the simulator, which runs outside this machine."""

    def __init__(self):
        self.file = os.open("/dev/virtio-ports/orders", os.O_RDWR)
        self.rest = b""
        os.write(self.file, b"state\n")
        while not self.line().startswith("{"):
            pass

    def line(self):
        while b"\n" not in self.rest:
            data = os.read(self.file, 4096)
            assert data, "the board is gone"
            self.rest += data
        line, self.rest = self.rest.split(b"\n", 1)
        return line.decode().strip()

    def order(self, order):
        os.write(self.file, order.encode() + b"\n")
        return self.line()

    def duty(self):
        """Of the infrared LEDs."""
        self.order("mark")
        time.sleep(0.3)
        return json.loads(self.order("state"))["duty"]

    def close(self):
        os.close(self.file)


@unittest.skipUnless(os.path.exists(BOARD), "no board is attached to this machine")
class Microcontroller(ApplianceTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.chip = Chip()
        cls.addClassCleanup(cls.chip.close)
        cls.chip.order("light 0")
        call("POST", "/api/start")
        cls.settled()

    @staticmethod
    def settled(**more):
        def is_settled():
            serial = camera(RAW).get("serial", {})
            return all(serial.get(key) == value for key, value in ({"status": "ok", "settled": True} | more).items()) and serial
        return until(is_settled, f"settled controller {more}")

    def test_light_and_sensor(self):
        self.settled(phase="checked", brightness=0)
        until(lambda: self.chip.duty() == 1, "light in the dark")
        self.chip.order("light 226")
        self.settled(brightness=50)
        call("POST", "/api/stop")
        until(lambda: self.chip.duty() == 0, "end of the light")
        call("POST", "/api/start")
        self.chip.order("light 0")
        self.settled(brightness=0)
        until(lambda: self.chip.duty() == 1, "light again")

    def unplug(self):
        write(UDC, "\n")
        until(lambda: not os.path.exists("/dev/ttyACM0"), "end of the adapter")

    def replug(self):
        # Which one is free is the host's choice.
        write(UDC, os.path.basename(glob.glob("/sys/class/udc/*")[0]))
        until(lambda: os.path.exists("/dev/ttyACM0"), "adapter")

    def test_the_light_goes_out_by_itself(self):
        until(lambda: self.chip.duty() == 1, "light")
        self.unplug()
        until(lambda: self.chip.duty() == 0, "end of the light")
        self.replug()
        until(lambda: self.chip.duty() == 1, "light again")

    def test_unplugged_and_replugged(self):
        """Meanwhile health says so, and the camera goes on."""
        counted = Counted("USB serial adapter unplugged and replugged: the controller does again what is wanted", 10)
        for _ in range(rounds()):
            with counted.round():
                self.settled(brightness=0)
                self.unplug()
                until(lambda: camera(RAW)["serial"]["status"] == "failing", "word of it")
                until(lambda: has_pictures(RAW), "picture meanwhile")
                self.replug()
                began = time.monotonic()
                self.settled(brightness=0)
                counted.took(time.monotonic() - began)
        counted.end()
        until(lambda: self.chip.duty() == 1, "light again")

    def test_a_reset_is_healed(self):
        counted = Counted("microcontroller reset: it does again what is wanted", 10)
        for _ in range(rounds()):
            with counted.round():
                until(lambda: self.chip.duty() == 1, "light")
                self.chip.order("reset")
                began = time.monotonic()
                self.assertLess(self.chip.duty(), 1, "the light goes out with a reset")
                until(lambda: self.chip.duty() == 1, "light again")
                self.settled(brightness=0)
                counted.took(time.monotonic() - began)
        counted.end()


if __name__ == "__main__":
    unittest.main()
