"""The built firmware in the simulator: what a host on the line, a lamp on the sensor and an oscilloscope would see."""

import random
import unittest

from chip import Chip, sealed

LEASE_MS = 15_000


class ChipTest(unittest.TestCase):
    def setUp(self):
        self.chip = Chip()
        self.addCleanup(self.chip.close)


class Lines(ChipTest):
    def test_start(self):
        chip = Chip(boot=False)
        self.addCleanup(chip.close)
        self.assertEqual(chip.run_ms(100), ["reboot"])
        state = chip.measure(1500)
        self.assertEqual((state["duty"], state["pulses"]), (0, 0))
        self.assertEqual(chip.run_ms(1500), [])
        self.assertEqual(chip.identity(), (1, "p", 0))

    def test_commands_of_the_first_generation(self):
        for line in b"ir_off", b"servo_angle_0", b"servo_angle_90", b"servo_angle_180", b"servo_angle_007", b"ir_off\r":
            self.assertEqual(self.chip.ask(line), ["ok"], line)

    def test_brightness_comes_every_500_ms_and_stops(self):
        self.chip.light(70)
        self.assertEqual(self.chip.ask(b"ir_on", 100), ["ok", "bright: 50"])
        self.assertEqual(self.chip.run_ms(5000), ["bright: 50"] * 10)
        self.assertEqual(self.chip.ask(b"ir_off"), ["ok"])
        self.assertEqual(self.chip.run_ms(2000), [])

    def test_light_is_told_once_and_leaves_the_leds_dark(self):
        self.chip.light(0)
        self.assertEqual(self.chip.ask(b"light"), ["ok", "bright: 0"])
        self.assertEqual(self.chip.measure(1000)["duty"], 0)

    def test_refused_lines_are_not_answered_and_the_next_is(self):
        for line in (b"servo_angle_", b"servo_angle_181", b"servo_angle_999", b"servo_angle_0000", b"servo_angle_-1", b"servo_angle_1 2",
                     b"IR_ON", b"ir_on ", b" ir_on", b"", b"\n\n", b"\xff\xfe\x80", b"UUUUUU"):
            self.assertEqual(self.chip.ask(line), [], line)
            self.assertEqual(self.chip.ask(b"ir_off"), ["ok"], line)
        self.assertEqual(self.chip.measure(100)["pulses"], 0)

    def test_random_bytes(self):
        noise = random.Random(5)
        self.chip.send(bytes(noise.randrange(256) for _ in range(400)))
        self.chip.run_ms(400)
        self.chip.ask(b"")
        self.assertEqual(self.chip.ask(b"ir_off"), ["ok"])
        self.assertEqual(self.chip.state()["resets"], 0)

    def test_overlong_lines_are_dropped_whole(self):
        for line in (b"x" * 25, b"x" * 300, b"x" * 25 + b"servo_angle_90", b"x" * 300 + b"ir_on"):
            self.assertEqual(self.chip.ask(line, 250), [], line)
            self.assertEqual(self.chip.ask(b"ir_off"), ["ok"])
        self.assertEqual(self.chip.measure(100)["pulses"], 0)

    def test_half_a_line_is_completed(self):
        self.chip.send(b"ir_")
        self.assertEqual(self.chip.run_ms(3000), [])
        self.assertEqual(self.chip.ask(b"off"), ["ok"])


class CheckedLines(ChipTest):
    def setUp(self):
        super().setUp()
        self.assertEqual(self.chip.ask(b"v2"), ["ok"])
        self.chip.light(70)

    def framed(self, digit, command):
        return sealed(b"@%d %s" % (digit, command))

    def answer(self, digit, text):
        return sealed(b"@%d %s" % (digit, text)).decode()

    def test_answers_carry_the_digit_and_a_checksum(self):
        for digit in range(10):
            line = self.framed(digit, b"servo_angle_%d" % (digit * 20))
            self.assertEqual(self.chip.ask(line, 50), [self.answer(digit, b"ok")])

    def test_brightness_carries_a_checksum(self):
        answers = self.chip.ask(self.framed(1, b"ir_on"), 1100)
        self.assertEqual(answers, [self.answer(1, b"ok")] + [sealed(b"bright: 50").decode()] * 3)

    def test_faults_are_named(self):
        self.assertEqual(self.chip.ask(self.framed(2, b"dance")), [self.answer(2, b"err 1")])
        self.assertEqual(self.chip.ask(self.framed(3, b"servo_angle_181"), 50), [self.answer(3, b"err 2")])

    def test_wrong_checksums_are_silent_and_counted(self):
        good = self.framed(4, b"servo_angle_90")
        wrong = 0
        for at in range(len(good)):
            if at == 0:
                continue  # without its @ it is no frame, but a plain line that nobody knows
            for flip in 0x01, 0x10:
                damaged = bytearray(good)
                damaged[at] ^= flip
                self.assertEqual(self.chip.ask(bytes(damaged), 50), [], bytes(damaged))
                wrong += 1
        self.assertEqual(self.chip.identity()[2], wrong)
        self.assertEqual(self.chip.measure(100)["pulses"], 0)

    def test_the_light_of_a_silent_host_goes_out(self):
        self.chip.light(0)
        self.chip.ask(self.framed(1, b"ir_on"))
        self.chip.run_ms(LEASE_MS - 200)
        self.assertEqual(self.chip.measure(100)["duty"], 1)
        self.chip.run_ms(200)
        self.assertEqual(self.chip.measure(500)["duty"], 0)
        self.assertEqual(self.chip.run_ms(2000), [])
        self.chip.ask(self.framed(2, b"ir_on"))
        self.assertEqual(self.chip.measure(500)["duty"], 1)

    def test_a_host_that_repeats_itself_keeps_the_light(self):
        self.chip.light(0)
        for digit in range(8):
            self.chip.ask(self.framed(digit, b"ir_on"))
            self.assertEqual(self.chip.measure(5000)["duty"], 1)

    def test_an_old_host_gets_the_old_lines_and_no_lease(self):
        self.chip.ask(self.framed(1, b"ir_on"))
        self.assertEqual(self.chip.ask(b"ir_on", 600)[-1], "bright: 50")
        self.chip.run_ms(2 * LEASE_MS)
        self.assertEqual(self.chip.run_ms(1000), ["bright: 50"] * 2)


class Light(ChipTest):
    def test_brightness_and_duty_over_the_range(self):
        self.chip.ask(b"ir_on")
        for reading in 0, 40, 55, 70, 85, 100, 300, 1023:  # 300 wrapped to 44 in the first generation: dark
            with self.subTest(reading=reading):
                self.chip.light(reading)
                self.chip.run_ms(600)
                level = min(max(reading, 40), 100) - 40
                line = self.chip.run_ms(600)[-1]
                self.assertRegex(line, r"^bright: \d+$")
                self.assertAlmostEqual(int(line.split()[1]), level * 100 // 60, delta=2)
                self.assertAlmostEqual(self.chip.measure(400)["duty"], 1 - level / 60, delta=0.02)

    def test_off_is_dark_and_full_is_steady(self):
        self.chip.light(0)
        self.chip.ask(b"ir_on", 600)
        state = self.chip.measure(400)
        self.assertEqual((state["duty"], state["led_periods"]), (1, 0))
        self.chip.ask(b"ir_off")
        state = self.chip.measure(1000)
        self.assertEqual((state["duty"], state["led_periods"]), (0, 0))

    def test_dimming_is_too_fast_to_see(self):
        self.chip.light(70)
        self.chip.ask(b"ir_on", 600)
        self.assertAlmostEqual(self.chip.measure(400)["led_period_us"], 256, delta=1)


class Servo(ChipTest):
    def turn(self, angle):
        self.chip.order("mark")
        self.assertEqual(self.chip.ask(b"servo_angle_%d" % angle), ["ok"])

    def test_pulses_frames_and_the_end_of_them(self):
        for angle in (0, 1, 7, 45, 90, 135, 179, 180):
            with self.subTest(angle=angle):
                self.turn(angle)
                self.chip.run_ms(1500)
                state = self.chip.state()
                self.assertEqual(state["pulses"], 50)
                self.assertAlmostEqual(state["pulse_min_us"], 500 + 10 * angle, delta=2)
                self.assertAlmostEqual(state["pulse_max_us"], 500 + 10 * angle, delta=2)
                self.assertAlmostEqual(state["frame_min_us"], 20_000, delta=2)
                self.assertAlmostEqual(state["frame_max_us"], 20_000, delta=2)

    def test_every_angle(self):
        for angle in range(181):
            self.turn(angle)
            self.chip.run_ms(30)
            state = self.chip.measure(60)
            self.assertAlmostEqual(state["pulse_min_us"], 500 + 10 * angle, delta=2)
            self.assertAlmostEqual(state["pulse_max_us"], 500 + 10 * angle, delta=2)

    def test_a_new_angle_neither_cuts_nor_stretches_a_pulse(self):
        chance = random.Random(3)
        widths = {500, 2300}
        self.turn(0)
        self.chip.run_ms(50)
        self.chip.order("mark")
        for _ in range(40):
            self.chip.ask(b"servo_angle_%d" % chance.choice((0, 180)), 20 + chance.randrange(20))
            state = self.chip.measure(40)
            for us in state["pulse_min_us"], state["pulse_max_us"]:
                self.assertTrue(any(abs(us - width) <= 2 for width in widths), us)

    def test_a_second_command_starts_the_second_anew(self):
        self.turn(90)
        self.chip.run_ms(560)
        self.chip.ask(b"servo_angle_90")
        self.chip.run_ms(1500)
        self.assertIn(self.chip.state()["pulses"], range(79, 82))


class Restart(ChipTest):
    def test_a_hang_ends_in_a_restart_with_everything_off(self):
        self.chip.light(0)
        self.chip.ask(b"ir_on", 600)
        self.chip.ask(b"servo_angle_90")
        self.assertEqual(self.chip.measure(100)["duty"], 1)
        self.chip.order("hang")
        self.assertEqual(self.chip.run_ms(600), ["reboot"])
        state = self.chip.measure(1000)
        self.assertEqual((state["resets"], state["duty"], state["pulses"]), (1, 0, 0))
        self.assertEqual(self.chip.identity()[1], "w")
        self.assertEqual(self.chip.ask(b"ir_on")[0], "ok")

    def test_the_reset_pin(self):
        self.chip.light(0)
        self.chip.ask(b"ir_on", 600)
        self.chip.order("reset")
        self.assertEqual(self.chip.run_ms(100), ["reboot"])
        self.assertEqual(self.chip.measure(1000)["duty"], 0)
        self.assertEqual(self.chip.identity()[1], "r")

    def test_no_traffic_starves_the_watchdog_or_the_clock(self):
        self.chip.light(70)
        self.chip.ask(b"ir_on")
        self.chip.send(b"v2\nir_on\n" * 400)
        lines = self.chip.run_ms(2000)
        self.assertEqual(self.chip.state()["resets"], 0)
        self.assertGreaterEqual(sum("bright" in line for line in lines), 3)


class Clock(ChipTest):
    def answered(self, count=20):
        return sum(self.chip.ask(b"servo_angle_%d" % (turn * 9)).count("ok") for turn in range(count))

    def test_four_percent_either_way(self):
        for percent in -4, -3, -2, -1, 1, 2, 3, 4:
            with self.subTest(percent=percent):
                self.chip.order(f"clock {percent}")
                self.assertEqual(self.answered(), 20)

    def test_eight_percent_either_way_after_the_square_wave(self):
        for percent in -8, -6, 6, 8, 0:
            with self.subTest(percent=percent):
                self.chip.order(f"clock {percent}")
                self.chip.ask(b"\nUUUUUU", 60)
                self.chip.rest = b""  # at the wrong rate even an answer may have arrived as rubbish
                self.assertEqual(self.answered(), 20)


class Soak(ChipTest):
    def test_two_thousand_commands_both_ways(self):
        """Commands at any moment, while brightness goes out, the LED is dimmed and the servo turns: each is answered."""
        self.chip.light(70)
        self.assertEqual(self.chip.ask(b"ir_on")[0], "ok")
        chance = random.Random(7)
        answers = brightness = 0
        strange = []
        self.chip.order("mark")
        for _ in range(1000):
            self.chip.send(b"servo_angle_%d\nir_on\n" % chance.randrange(181))
            for line in self.chip.run_ms(30 + chance.randrange(40)):
                if line == "ok":
                    answers += 1
                elif line == "bright: 50":
                    brightness += 1
                else:
                    strange.append(line)
        answers += self.chip.run_ms(100).count("ok")
        state = self.chip.state()
        self.assertEqual((answers, strange), (2000, []))
        self.assertEqual((state["framing_errors"], state["resets"], self.chip.identity()[2]), (0, 0, 0))
        self.assertGreater(brightness, 80)
        self.assertLess(state["worst_edge_us"], 8)  # a bit is 52
        self.assertAlmostEqual(state["frame_min_us"], 20_000, delta=2)
        self.assertGreaterEqual(state["pulse_min_us"], 498)
        self.assertLessEqual(state["pulse_max_us"], 2302)
        print(f"soak: worst edge {state['worst_edge_us']} us, {brightness} brightness lines, deepest stack {state['stack']} bytes")


if __name__ == "__main__":
    unittest.main()
