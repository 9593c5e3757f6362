//! The microcontroller: `watchtower serial`, which owns its port, and the daemon's client of it.
//!
//! The service keeps what is wanted (IR loop on or off, the servo's angle) and repeats it until the controller has it, also after the
//! controller or its adapter went away and came back. The protocol's lines are `watchtower_core`'s; no camera is known here.
//!
//! | file | holds |
//! | --- | --- |
//! | `link` | pure: bytes and time in, bytes and state out |
//! | `port` | the serial port, the only user of `serialport` |
//! | `message` | the lines on the Unix socket |
//! | `service` | the Unix socket and the threads |
//! | `client` | the camera daemon's side |

mod client;
mod link;
mod message;
mod port;
mod service;

pub use client::Client;
pub use link::{Phase, Wanted};
pub use message::{Answer, Request, Status};
pub use service::{Options, ServiceError, Stopper, run};
