//! The servo's pulse and, from the same timer, the count of frames that is the controller's clock.
//!
//! Timer1 runs in fast PWM with its top in OCR1A, 1 µs a count, 20 ms a frame. A new pulse width is written, and the pin connected, by
//! the overflow handler, and both act from the next frame on; the pin is disconnected right after the end of a pulse. So none is ever
//! cut or stretched. At the overflow it would be too late to disconnect: the pin is already high, for as long as the handler takes.

use watchtower_core::servo::{Angle, FRAME_US, PULSES};

use crate::registers::*;

const PIN: u8 = 1 << 5;
/// COM1B1: OC1B goes high at the start of the frame and low at the match.
const CONNECT: u8 = 1 << 5;
/// Bits of TIMSK1 and TIFR1.
const OVERFLOW: u8 = 1;
const MATCH_B: u8 = 1 << 2;

static FRAME: Shared = Shared::new(0);
/// Frames until the pulse is taken off the pin, and one: the frame in which the pin is connected has no pulse.
static LEFT: Shared = Shared::new(0);
static MATCH_LOW: Shared = Shared::new(0);
static MATCH_HIGH: Shared = Shared::new(0);

/// TIM1_OVF: a frame begins, and with it a pulse where the pin is connected.
#[unsafe(no_mangle)]
pub extern "avr-interrupt" fn __vector_8() {
    FRAME.set(FRAME.get().wrapping_add(1));
    let left = LEFT.get();
    if left == 0 {
        return;
    }
    LEFT.set(left - 1);
    if left == 1 {
        TIFR1.write(MATCH_B); // one clears it
        TIMSK1.write(OVERFLOW | MATCH_B);
    } else {
        OCR1BH.write(MATCH_HIGH.get()); // high byte first: it is latched until the low one is written
        OCR1BL.write(MATCH_LOW.get());
        TCCR1A.set(CONNECT);
    }
}

/// TIM1_COMPB: the last pulse has ended.
#[unsafe(no_mangle)]
pub extern "avr-interrupt" fn __vector_7() {
    TCCR1A.clear(CONNECT);
    TIMSK1.write(OVERFLOW);
}

/// Starts the timer; no pulse yet.
pub fn start() {
    DDRA.set(PIN);
    let [low, high] = (FRAME_US - 1).to_le_bytes();
    OCR1AH.write(high);
    OCR1AL.write(low);
    TCCR1A.write(0b0000_0011); // mode 15, fast PWM up to OCR1A; pins disconnected
    TCCR1B.write(0b0001_1010); // clock / 8
    TIMSK1.write(OVERFLOW);
}

/// Frames so far, modulo 256.
pub fn frame() -> u8 {
    FRAME.get()
}

/// From the next frame on: one second of pulses for `angle`.
pub fn turn(angle: Angle) {
    let [low, high] = (angle.pulse_us() - 1).to_le_bytes();
    uninterrupted(|| {
        MATCH_LOW.set(low);
        MATCH_HIGH.set(high);
        LEFT.set(PULSES + 1);
    });
}
