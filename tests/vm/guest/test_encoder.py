"""The hardware encoder's protocol against the kernel's virtual codec: the unit tests that need it, each in a run of its own."""

import unittest

from guest import run

TESTS = [
    "each_picture_comes_out_once_in_order_with_an_idr_every_second",
    "an_idr_comes_exactly_where_it_is_asked_for",
    "the_device_has_the_gop_of_the_settings",
    "draining_gives_everything_back_and_the_device_takes_another_size",
    "two_encoders_share_a_device",
    "what_the_device_does_not_do_is_said",
    "zz_a_device_that_vanishes_is_an_error_within_seconds_and_its_pictures_are_told",
]


class VirtualCodec(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        run("modprobe", "vicodec", "multiplanar=1", check=True)


def case(name):
    def test(self):
        done = run("/run/in/watchtower-tests", "--ignored", "--exact", f"codec::m2m::vicodec::{name}", "--nocapture", timeout=180)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertIn("1 passed", done.stdout)
    return test


for name in TESTS:
    setattr(VirtualCodec, f"test_{name}", case(name))


class Complete(unittest.TestCase):
    def test_no_test_is_left_out(self):
        listed = run("/run/in/watchtower-tests", "--ignored", "--list", "codec::m2m::vicodec").stdout
        there = sorted(line.split("::")[-1].split(":")[0] for line in listed.splitlines() if line.endswith(": test"))
        self.assertEqual(there, sorted(TESTS))
