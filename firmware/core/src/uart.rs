//! Receiving 8N1 without a UART: from the times at which the line changed to bytes.
//!
//! The firmware's pin-change handler stores when the line changed and to what; [`Receiver`] counts the bits between two
//! changes. It rounds once per run of equal bits, so that a clock error adds up over nine bits at most, and it never samples,
//! so that nothing has to happen at an exact moment and sending may go on meanwhile.
//!
//! An internal RC oscillator can be off by several percent. `UUUUUU` on the line is a square wave with a period of two bits;
//! [`SYNC_PERIODS`] of them measure the host's bit in the receiver's own time, and sending uses that length too.

/// The clock's readings count microseconds and start again from 0 after this many: it is the servo's frame.
pub const CLOCK_US: u16 = crate::servo::FRAME_US;
/// The bit length before anything was measured, in 1/8 µs: 19200 baud.
pub const NOMINAL_BIT_8: u16 = 417;
/// So many equal periods in a row set the bit length.
pub const SYNC_PERIODS: u8 = 14;
/// What counts as a period of two bits, in µs: 104 and 13 % either way.
const PERIOD_US: core::ops::RangeInclusive<u16> = 91..=118;
/// A byte whose last edge lies this far back has no edge left to come: it ended in ones, or the line is stuck.
const BYTE_US: u16 = 600;
/// Bytes that can wait: a whole line goes out (12 ms) while they arrive.
const QUEUE: u8 = 32;

/// Microseconds from `then` to `now`, when less than [`CLOCK_US`] have passed.
pub fn elapsed_us(now: u16, then: u16) -> u16 {
    let difference = now.wrapping_sub(then);
    if now >= then { difference } else { difference.wrapping_add(CLOCK_US) }
}

/// Turns edges into bytes and keeps them until they are asked for.
#[derive(Clone, Debug)]
pub struct Receiver {
    /// Inside a byte.
    active: bool,
    /// Level of the line after the last edge.
    high: bool,
    /// Bits of this byte so far, the start bit included.
    bits: u8,
    shift: u8,
    last_edge: u16,
    last_fall: u16,
    /// Periods of two bits in a row, and their sum.
    periods: u8,
    periods_us: u16,
    bit_8: u16,
    errors: u8,
    queue: [u8; QUEUE as usize],
    /// Counts of bytes put in and taken out, modulo 256.
    put: u8,
    taken: u8,
}

impl Receiver {
    /// The line is idle.
    pub const fn new() -> Receiver {
        Receiver {
            active: false,
            high: true,
            bits: 0,
            shift: 0,
            last_edge: 0,
            last_fall: 0,
            periods: 0,
            periods_us: 0,
            bit_8: NOMINAL_BIT_8,
            errors: 0,
            queue: [0; QUEUE as usize],
            put: 0,
            taken: 0,
        }
    }

    /// The length of a bit in 1/8 µs of this clock.
    pub fn bit_8(&self) -> u16 {
        self.bit_8
    }

    /// Bytes lost so far: no stop bit, or no room. Stays at 255.
    pub fn errors(&self) -> u8 {
        self.errors
    }

    /// The oldest byte that waits.
    pub fn pop(&mut self) -> Option<u8> {
        if self.taken == self.put {
            return None;
        }
        let byte = self.queue[usize::from(self.taken % QUEUE)];
        self.taken = self.taken.wrapping_add(1);
        Some(byte)
    }

    /// The line changed at `at_us`. Edges must be given in order, and within [`CLOCK_US`] of happening.
    pub fn edge(&mut self, at_us: u16, high: bool) {
        if high == self.high {
            return; // both edges of a spike fell into one handler
        }
        if self.active {
            self.run(elapsed_us(at_us, self.last_edge));
            if self.active && high && self.bits == 9 {
                self.finish(true); // eight data bits, and the line rises: the stop bit
            }
        }
        self.last_edge = at_us;
        self.high = high;
        if !high {
            self.measure(elapsed_us(at_us, self.last_fall));
            self.last_fall = at_us;
            if !self.active {
                self.active = true;
                self.bits = 0;
            }
        }
    }

    /// No edge up to `now_us`: ends a byte that ends without one. To be called at least every [`CLOCK_US`].
    pub fn quiet(&mut self, now_us: u16) {
        if self.active {
            let us = elapsed_us(now_us, self.last_edge);
            if us > BYTE_US {
                self.run(us);
            }
        }
    }

    /// The line stood still for `us`: that many bits.
    fn run(&mut self, us: u16) {
        let mut left = (us.min(1000) << 3) + self.bit_8 / 2;
        while left >= self.bit_8 {
            left -= self.bit_8;
            if self.bits == 0 {
                if self.high {
                    self.active = false; // the start bit was shorter than half a bit: noise
                    return;
                }
            } else if self.bits < 9 {
                self.shift >>= 1;
                if self.high {
                    self.shift |= 0x80;
                }
            } else {
                return self.finish(self.high);
            }
            self.bits += 1;
        }
    }

    fn finish(&mut self, stop_bit: bool) {
        self.active = false;
        if stop_bit && self.put.wrapping_sub(self.taken) < QUEUE {
            self.queue[usize::from(self.put % QUEUE)] = self.shift;
            self.put = self.put.wrapping_add(1);
        } else {
            self.errors = self.errors.saturating_add(1);
        }
    }

    fn measure(&mut self, period_us: u16) {
        if PERIOD_US.contains(&period_us) {
            self.periods += 1;
            self.periods_us += period_us;
            if self.periods < SYNC_PERIODS {
                return;
            }
            self.bit_8 = self.periods_us * 2 / 7; // sum / 14 periods / 2 bits * 8
        }
        self.periods = 0;
        self.periods_us = 0;
    }
}

impl Default for Receiver {
    fn default() -> Receiver {
        Receiver::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A line whose sender's bit is `bit_us` long in the receiver's time.
    struct Line {
        receiver: Receiver,
        bit_us: f64,
        now_us: f64,
        high: bool,
    }

    impl Line {
        fn new(clock_error: f64) -> Line {
            Line { receiver: Receiver::new(), bit_us: 1e6 / 19_200.0 * (1.0 + clock_error), now_us: 0.0, high: true }
        }

        fn clock(&self) -> u16 {
            (self.now_us % f64::from(CLOCK_US)) as u16
        }

        fn stand(&mut self, high: bool, bits: f64) {
            if high != self.high {
                self.high = high;
                self.receiver.edge(self.clock(), high);
            }
            self.now_us += bits * self.bit_us;
        }

        fn send(&mut self, bytes: &[u8], gap_bits: f64) {
            for &byte in bytes {
                self.stand(false, 1.0);
                for bit in 0..8 {
                    self.stand(byte >> bit & 1 != 0, 1.0);
                }
                self.stand(true, 1.0 + gap_bits);
                self.receiver.quiet(self.clock());
            }
        }

        fn received(&mut self) -> Vec<u8> {
            self.stand(self.high, 15.0);
            self.receiver.quiet(self.clock());
            std::iter::from_fn(|| self.receiver.pop()).collect()
        }
    }

    #[test]
    fn every_byte_arrives_with_clocks_four_percent_apart() {
        for error in [-0.04, 0.0, 0.04] {
            let mut line = Line::new(error);
            for byte in 0..=255 {
                line.send(&[byte], 0.0);
                assert_eq!(line.received(), [byte], "clock error {error}");
            }
            assert_eq!(line.receiver.errors(), 0);
        }
    }

    #[test]
    fn every_byte_arrives_with_clocks_eight_percent_apart_after_the_square_wave() {
        for error in [-0.08, 0.08] {
            let mut line = Line::new(error);
            line.send(b"UUUUUU\n", 0.0);
            line.received();
            for byte in 0..=255 {
                line.send(&[byte], 0.0);
                assert_eq!(line.received(), [byte], "clock error {error}");
            }
            assert_eq!(line.receiver.errors(), 0);
        }
    }

    #[test]
    fn the_square_wave_undoes_a_wrong_bit_length() {
        let mut line = Line::new(0.08);
        line.send(b"UUUUUU\n", 0.0);
        line.received();
        line.bit_us = 1e6 / 19_200.0;
        line.send(b"UUUUUU\n", 0.0);
        line.received();
        assert!(line.receiver.bit_8().abs_diff(NOMINAL_BIT_8) <= 2);
    }

    #[test]
    fn the_queue_holds_a_line_that_came_while_another_went_out() {
        let mut line = Line::new(0.0);
        line.send(&[b'x'; QUEUE as usize + 1], 0.0);
        assert_eq!(line.received(), [b'x'; QUEUE as usize]);
        assert_eq!(line.receiver.errors(), 1);
        line.send(b"y", 0.0);
        assert_eq!(line.received(), b"y");
    }

    #[test]
    fn a_stuck_line_is_one_error_and_the_next_byte_arrives() {
        let mut line = Line::new(0.0);
        line.stand(false, 30.0);
        line.receiver.quiet(line.clock());
        line.stand(false, 3000.0);
        line.receiver.quiet(line.clock());
        line.stand(true, 20.0);
        line.send(b"a", 0.0);
        assert_eq!(line.received(), b"a");
        assert_eq!(line.receiver.errors(), 1);
    }

    #[test]
    fn a_spike_is_no_byte() {
        let mut line = Line::new(0.0);
        line.stand(false, 0.3);
        line.stand(true, 20.0);
        line.receiver.quiet(line.clock());
        line.send(b"a", 0.0);
        assert_eq!(line.received(), b"a");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_arrives(bytes in proptest::collection::vec(any::<u8>(), 0..32), gap in 0.0..40.0, error in -0.04..0.04) {
            let mut line = Line::new(error);
            line.send(&bytes, gap);
            prop_assert_eq!(line.received(), bytes);
        }

        #[test]
        fn any_edges_may_come(edges: Vec<(u16, bool, bool)>) {
            let mut receiver = Receiver::new();
            for (at, high, quiet) in edges {
                if quiet { receiver.quiet(at) } else { receiver.edge(at, high) }
                receiver.pop();
                prop_assert!((364..=472).contains(&receiver.bit_8()));
            }
        }
    }
}
