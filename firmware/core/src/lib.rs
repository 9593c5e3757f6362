//! What the microcontroller and the daemon agree on: the lines between them, and every decision of the controller.
//!
//! Pure: no registers, no clock, no allocation, no dependencies. The firmware (`firmware/attiny84`) adds the pins,
//! `watchtower serial` adds the port. The line's timing is here too ([`uart`]), because it is arithmetic on time stamps.
//!
//! | module | holds |
//! | --- | --- |
//! | [`text`] | one line: building it, collecting it, numbers in it |
//! | [`checksum`] | the CRC of framed lines |
//! | [`command`] | host to controller |
//! | [`report`] | controller to host |
//! | [`light`], [`servo`] | reading to brightness and LED duty; angle to pulse |
//! | [`controller`] | what the controller does about a line, and about time passing |
//! | [`uart`] | edges of the line to bytes, and the measuring of the other end's clock |
//!
//! # Two dialects
//!
//! 1.x's lines are obeyed and answered as 1.x did, always. A host that knows more asks `ver`; a controller of this
//! project answers with [`report::Report::Identity`], an older one is silent. The host then switches to checked lines
//! with `v2`: each command carries a sequence digit and a CRC, so does its answer, and the LED goes dark when the
//! host has been silent for [`controller::LEASE_S`] seconds. A plain `ir_on`, which only an old host sends, switches back.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod checksum;
pub mod text;

pub mod light;
pub mod servo;

pub mod command;
pub mod report;

pub mod controller;
pub mod uart;
