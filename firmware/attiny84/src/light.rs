//! The light sensor and the IR LEDs.
//!
//! Timer0 dims the LEDs at 3.9 kHz without interrupts. Not faster: 31 kHz would be next, near the 38 kHz of remote controls.

use crate::registers::*;
use crate::serial::Serial;

const LEDS: u8 = 1 << 7;
/// COM0B1: OC0B is high up to the match.
const CONNECT: u8 = 1 << 5;
const SENSOR: u8 = 3;
const START: u8 = 1 << 6;
/// Readings that are averaged: 0.8 ms, three periods of the LEDs' own light.
const READINGS: u8 = 8;

/// LEDs dark, sensor ready.
pub fn start() {
    PORTA.clear(LEDS);
    DDRA.set(LEDS);
    TCCR0A.write(0b0000_0011); // fast PWM; pins disconnected
    TCCR0B.write(0b0000_0010); // clock / 8
    DIDR0.write(1 << SENSOR); // no digital input on an analogue pin
    ADMUX.write(SENSOR); // reference: the supply, as the sensor's divider has it
    ADCSRA.write(0b1000_0110); // on, clock / 64 = 125 kHz
}

/// The sensor, 0 to 1023: a mean. Bytes that arrive meanwhile are taken in.
pub fn read(serial: &mut Serial) -> u16 {
    let mut sum = 0u16;
    for _ in 0..READINGS {
        ADCSRA.set(START);
        while ADCSRA.read() & START != 0 {}
        let low = ADCL.read(); // low byte first: it locks the high one
        sum += u16::from_le_bytes([low, ADCH.read()]);
        serial.receive();
    }
    sum / u16::from(READINGS)
}

/// Duty 0 (dark) to 255 (full). The ends are steady levels: fast PWM cannot be quite off.
pub fn set_leds(duty: u8) {
    match duty {
        0 => {
            TCCR0A.clear(CONNECT);
            PORTA.clear(LEDS);
        }
        255 => {
            TCCR0A.clear(CONNECT);
            PORTA.set(LEDS);
        }
        _ => {
            OCR0B.write(duty);
            TCCR0A.set(CONNECT);
        }
    }
}
