//! `watchtower fan`: switches the fan by the processor's temperature.

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use super::{CliError, service};
use crate::fan::{self, Celsius, Limits, Options};

/// Arguments of `fan`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Above this temperature the fan goes on
    #[arg(long, value_name = "DEGREES", default_value_t = 53.0)]
    on_celsius: f32,
    /// Below this temperature it goes off again
    #[arg(long, value_name = "DEGREES", default_value_t = 50.0)]
    off_celsius: f32,
    /// But not before it has run so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    hold_s: u64,
    /// Seconds from reading to reading
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    every_s: u64,
    /// The temperature, in thousandths of a degree
    #[arg(long, value_name = "FILE", default_value = "/sys/class/thermal/thermal_zone0/temp")]
    sensor: PathBuf,
    /// The pin in the processor's numbering (BCM), or the line of --chip
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    pin: u8,
    /// A GPIO character device, for boards other than the Raspberry Pi
    #[arg(long, value_name = "DEVICE")]
    chip: Option<PathBuf>,
    /// Write the state here after each reading (JSON)
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// What is logged: error, warn, info, debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

/// Runs until a signal ends it, and leaves the fan running.
///
/// # Errors
/// Limits that make no sense, or a pin that cannot be had.
pub fn run(args: Args) -> Result<(), CliError> {
    if args.off_celsius > args.on_celsius || args.off_celsius.is_nan() || args.on_celsius.is_nan() {
        let (off, on) = (args.off_celsius, args.on_celsius);
        return Err(CliError::Config(format!("--off-celsius ({off}) must not be above --on-celsius ({on})")));
    }
    service::log(&args.log);
    let options = Options {
        limits: Limits {
            on: Celsius(args.on_celsius),
            off: Celsius(args.off_celsius),
            hold: Duration::from_secs(args.hold_s),
        },
        every: Duration::from_secs(args.every_s),
        sensor: args.sensor,
        pin: args.pin,
        chip: args.chip,
        state: args.state,
    };
    let (stop, stopped) = channel();
    service::on_signal(move || drop(stop))?;
    fan::run(&options, &stopped, service::heart()).map_err(|error| CliError::Failed(error.to_string()))
}
