//! The light and servo controller on an ATtiny84A at 8 MHz.
//!
//! Only the pins, the timers and the order of things; what a line means and what follows from it is in `watchtower_core`.
//!
//! | pin | DIP | use | by |
//! | --- | --- | --- | --- |
//! | PA1 | 12 | serial out | software, timed by Timer1's count |
//! | PA2 | 11 | serial in | pin-change interrupt |
//! | PA3 | 10 | light sensor | ADC3 |
//! | PA5 | 8 | servo | Timer1, OC1B |
//! | PA7 | 6 | IR LEDs | Timer0, OC0B |
//!
//! Timer1 counts microseconds in frames of 20 ms; it is the servo's generator, the line's time base and the clock. Everything
//! runs in the main loop but three things: an interrupt notes when the line changed, one counts frames, and a byte that is
//! sent holds interrupts off for the last microseconds before each edge.
#![no_std]
#![no_main]
#![feature(abi_avr_interrupt, asm_experimental_arch)]

mod light;
mod registers;
mod serial;
mod servo;

use watchtower_core::controller::{Action, Controller, Diagnosis};
use watchtower_core::report::{Report, ResetCause};
use watchtower_core::text::Assembler;

use registers::*;
use serial::Serial;

/// Called by avr-libc's start-up code, with interrupts off, after memory has been set up.
#[unsafe(no_mangle)]
pub extern "C" fn main() -> ! {
    let cause = ResetCause::from_mcusr(MCUSR.read());
    MCUSR.write(0); // the watchdog cannot be set while its reset flag stands
    watchdog::start();
    ACSR.write(1 << 7); // analogue comparator off
    PORTA.write(0b0101_0001); // PA0, and the programming lines PA4 and PA6, must not float
    PORTB.write(0b0111); // PB3 is RESET
    servo::start();
    light::start();
    let serial = Serial::start();
    enable_interrupts();

    let mut controller = Controller::new();
    let mut line = Assembler::new();
    let mut frame = servo::frame();
    serial.send(Report::Reboot);
    loop {
        // Once a turn, and a turn handles one byte: whatever keeps coming, time and the watchdog get their share.
        watchdog::pet();
        serial.receive();
        if let Some(complete) = serial.pop().and_then(|byte| line.push(byte)) {
            let diagnosis = Diagnosis { cause, byte_errors: serial.errors() };
            let (action, answer) = controller.obey(complete, diagnosis);
            match action {
                Action::Dark => light::set_leds(0),
                Action::Servo(angle) => servo::turn(angle),
                Action::None | Action::Measure => {}
            }
            if let Some(report) = answer {
                serial.send(report);
            }
            if action == Action::Measure {
                measure(&controller, serial);
            }
        }
        let now = servo::frame();
        let passed = now.wrapping_sub(frame);
        if passed != 0 {
            frame = now;
            match controller.pass(passed) {
                Action::Dark => light::set_leds(0),
                Action::Measure => measure(&controller, serial),
                Action::None | Action::Servo(_) => {}
            }
        }
    }
}

/// Reads the sensor, sets the LEDs by it and tells the host.
#[inline(never)]
fn measure(controller: &Controller, serial: &mut Serial) {
    let (duty, report) = controller.measured(light::read(serial));
    light::set_leds(duty);
    serial.send(report);
}

/// No panic is reachable; should one be, the watchdog restarts the controller and everything is off.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
