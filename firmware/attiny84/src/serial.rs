//! The serial line, 19200 8N1, full duplex, without a UART.
//!
//! Receiving: the pin-change handler stores time and level in a ring, nothing else; the main loop turns them into bytes. Sending
//! blocks, with interrupts on except from [`HOLD_US`] before each edge, so that no handler can make an edge late; what
//! a handler is late by then, a time stamp of the other direction, is well inside the receiver's margin of half a bit.

use watchtower_core::report::Report;
use watchtower_core::text::Text;
use watchtower_core::uart::{Receiver, elapsed_us};

use crate::registers::*;

const TX: u8 = 1 << 1;
const RX: u8 = 1 << 2;

/// Longer than one interrupt handler takes. Not more: while it lasts, the time stamps of what arrives are late, and at 18 µs, with a
/// handler on top, they came near half a bit, so that one command in thousands was misread.
const HOLD_US: u16 = 13;

/// Edges that can wait for the main loop. A byte has at most ten, and they are looked at after every byte that is sent.
const EDGES: u8 = 32;
/// The line's level in a stored time stamp, which is below 20000 and does not need the bit.
const HIGH: u8 = 0x80;

static EDGE_LOW: [Shared; EDGES as usize] = [const { Shared::new(0) }; EDGES as usize];
static EDGE_HIGH: [Shared; EDGES as usize] = [const { Shared::new(0) }; EDGES as usize];
/// Index of the next edge to store; written by the handler alone.
static HEAD: Shared = Shared::new(0);
/// Index of the next edge to look at; written by the main loop alone.
static TAIL: Shared = Shared::new(0);

/// PCINT0: the line changed.
#[unsafe(no_mangle)]
pub extern "avr-interrupt" fn __vector_2() {
    let low = TCNT1L.read();
    let mut high = TCNT1H.read();
    if PINA.read() & RX != 0 {
        high |= HIGH;
    }
    let at = HEAD.get() % EDGES;
    EDGE_LOW[usize::from(at)].set(low);
    EDGE_HIGH[usize::from(at)].set(high);
    HEAD.set((at + 1) % EDGES);
}

/// Both directions of the line.
pub struct Serial {
    receiver: Receiver,
    /// The line that goes out. Here, and not on the stack, because the stack is deepest while it does.
    sending: Text,
}

static SERIAL: MainOnly<Serial> = MainOnly::new(Serial { receiver: Receiver::new(), sending: Text::new() });

impl Serial {
    /// Sets up the pins; Timer1 must count. To be called once.
    #[inline(always)]
    pub fn start() -> &'static mut Serial {
        PORTA.set(TX | RX); // the line idles high; pull-up on the input
        DDRA.set(TX);
        PCMSK0.write(RX);
        GIMSK.write(1 << 4);
        // SAFETY: `main` calls this once, and no handler does.
        unsafe { SERIAL.borrow() }
    }

    /// Looks at the edges that have come, at most one ringful of them, so that a noisy line cannot hold up the main loop.
    #[inline(never)]
    pub fn receive(&mut self) {
        for _ in 0..EDGES {
            let tail = TAIL.get() % EDGES;
            if tail == HEAD.get() {
                let now = uninterrupted(microseconds);
                if tail == HEAD.get() {
                    self.receiver.quiet(now);
                }
                return;
            }
            let high = EDGE_HIGH[usize::from(tail)].get();
            let at = u16::from_le_bytes([EDGE_LOW[usize::from(tail)].get(), high & !HIGH]);
            TAIL.set((tail + 1) % EDGES);
            self.receiver.edge(at, high & HIGH != 0);
        }
    }

    /// The oldest byte that waits.
    pub fn pop(&mut self) -> Option<u8> {
        self.receiver.pop()
    }

    /// Bytes that arrived damaged.
    pub fn errors(&self) -> u8 {
        self.receiver.errors()
    }

    /// Sends a line: half a millisecond a byte.
    #[inline(never)]
    pub fn send(&mut self, report: Report) {
        report.print_into(&mut self.sending);
        self.sending.push(b'\n');
        let mut sent = 0;
        while let Some(&byte) = self.sending.as_bytes().get(sent) {
            self.send_byte(byte);
            sent += 1;
        }
    }

    #[inline(never)]
    fn send_byte(&mut self, byte: u8) {
        let bit_8 = self.receiver.bit_8();
        // Start bit, eight data bits, stop bit, and the end of the stop bit as an edge that changes nothing.
        let mut levels = u16::from(byte) << 1 | 0x600;
        let mut at_8 = 0u16;
        let start = uninterrupted(microseconds);
        let mut edges = 11u8;
        while edges != 0 {
            uninterrupted(|| {
                let hold_from = at_8 >> 3;
                if elapsed_us(microseconds(), start) < hold_from {
                    return;
                }
                while elapsed_us(microseconds(), start) < hold_from + HOLD_US {}
                if levels & 1 != 0 { PORTA.set(TX) } else { PORTA.clear(TX) }
                levels >>= 1;
                at_8 += bit_8;
                edges -= 1;
            });
        }
        // A pause after a stop bit is harmless.
        self.receive();
    }
}
