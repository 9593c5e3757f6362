//! The ATtiny84A's registers (datasheet 8006, register summary; data-space addresses) and the few instructions that Rust has
//! no word for. All access to the chip passes through here.
//!
//! Bytes that an interrupt handler shares with the main loop are [`Shared`], not atomics: on this target the compiler brackets an
//! atomic load with interrupts off, though a byte is loaded in one instruction.

use core::arch::asm;
use core::cell::UnsafeCell;

/// One register.
#[derive(Clone, Copy)]
pub struct Register(u8);

impl Register {
    #[inline(always)]
    fn pointer(self) -> *mut u8 {
        usize::from(self.0) as *mut u8
    }

    #[inline(always)]
    pub fn read(self) -> u8 {
        // SAFETY: an I/O register of this chip, which can be read at any time.
        unsafe { self.pointer().read_volatile() }
    }

    #[inline(always)]
    pub fn write(self, value: u8) {
        // SAFETY: an I/O register of this chip; none of them changes memory that Rust owns.
        unsafe { self.pointer().write_volatile(value) }
    }

    /// Sets the bits of `mask`.
    #[inline(always)]
    pub fn set(self, mask: u8) {
        self.write(self.read() | mask);
    }

    /// Clears the bits of `mask`.
    #[inline(always)]
    pub fn clear(self, mask: u8) {
        self.write(self.read() & !mask);
    }
}

macro_rules! registers {
    ($($name:ident = $address:literal),* $(,)?) => { $(pub const $name: Register = Register($address);)* };
}

registers! {
    DIDR0 = 0x21, ADCL = 0x24, ADCH = 0x25, ADCSRA = 0x26, ADMUX = 0x27, ACSR = 0x28,
    TIFR1 = 0x2b, TIMSK1 = 0x2c, PCMSK0 = 0x32, PORTB = 0x38, PINA = 0x39, DDRA = 0x3a, PORTA = 0x3b, WDTCSR = 0x41,
    OCR1BL = 0x48, OCR1BH = 0x49, OCR1AL = 0x4a, OCR1AH = 0x4b, TCNT1L = 0x4c, TCNT1H = 0x4d,
    TCCR1B = 0x4e, TCCR1A = 0x4f, TCCR0A = 0x50, TCCR0B = 0x53, MCUSR = 0x54,
    GIMSK = 0x5b, OCR0B = 0x5c, SREG = 0x5f,
}

/// A byte that an interrupt handler and the main loop share. Each has one writer, or is written with interrupts off.
pub struct Shared(UnsafeCell<u8>);

// SAFETY: one core, and a byte is loaded and stored by single instructions.
unsafe impl Sync for Shared {}

impl Shared {
    pub const fn new(value: u8) -> Shared {
        Shared(UnsafeCell::new(value))
    }

    #[inline(always)]
    pub fn get(&self) -> u8 {
        // SAFETY: always a valid byte; see `Sync` above.
        unsafe { self.0.get().read_volatile() }
    }

    #[inline(always)]
    pub fn set(&self, value: u8) {
        // SAFETY: as for `get`.
        unsafe { self.0.get().write_volatile(value) }
    }
}

/// What only the main loop uses, in static memory: on `main`'s stack it would be copied about.
pub struct MainOnly<T>(UnsafeCell<T>);

// SAFETY: `borrow`'s contract: one borrow, and no interrupt handler has it.
unsafe impl<T> Sync for MainOnly<T> {}

impl<T> MainOnly<T> {
    pub const fn new(value: T) -> MainOnly<T> {
        MainOnly(UnsafeCell::new(value))
    }

    /// The one borrow.
    ///
    /// # Safety
    /// Called once in the life of the program, and not by an interrupt handler.
    #[expect(clippy::mut_from_ref)]
    pub unsafe fn borrow(&'static self) -> &'static mut T {
        // SAFETY: the caller's promise.
        unsafe { &mut *self.0.get() }
    }
}

/// Microseconds in this frame. With interrupts on, a handler between the two bytes could spoil the shared high-byte latch.
#[inline(always)]
pub fn microseconds() -> u16 {
    let low = TCNT1L.read(); // latches the high byte
    u16::from_le_bytes([low, TCNT1H.read()])
}

#[inline(always)]
pub fn enable_interrupts() {
    // SAFETY: the handlers' shared data is all `Shared`, and set up.
    unsafe { asm!("sei", options(nostack)) }
}

/// Runs `work` with interrupts off.
#[inline(always)]
pub fn uninterrupted<T>(work: impl FnOnce() -> T) -> T {
    let before = SREG.read();
    // SAFETY: switching interrupts off is always sound. As neither asm says `nomem`, no memory access moves past it.
    unsafe { asm!("cli", options(nostack)) };
    let result = work();
    // SAFETY: an empty barrier.
    unsafe { asm!("", options(nostack)) };
    SREG.write(before);
    result
}

/// The watchdog: half a second without [`pet`](watchdog::pet) resets the chip, and with it every output.
pub mod watchdog {
    use core::arch::asm;

    use super::{WDTCSR, uninterrupted};

    /// Starts it. `MCUSR`'s reset flag must have been cleared.
    pub fn start() {
        uninterrupted(|| {
            pet();
            WDTCSR.write(0b0001_1000); // WDCE and WDE open four cycles for the change
            WDTCSR.write(0b0000_1101); // WDE, 0.5 s
        });
    }

    #[inline(always)]
    pub fn pet() {
        // SAFETY: resets the watchdog's counter and nothing else.
        unsafe { asm!("wdr", options(nomem, nostack, preserves_flags)) }
    }
}
