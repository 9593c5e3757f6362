//! `watchtower serial`: owns the microcontroller's port.

use std::path::PathBuf;

use watchtower_core::servo::Angle;

use super::{CliError, service};
use crate::serial::{self, Options, Stopper};

/// Arguments of `serial`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The serial port, by a name that survives replugging
    #[arg(long, value_name = "DEVICE", default_value = "/dev/serial0")]
    port: PathBuf,
    /// The Unix socket that answers; created with mode 0660
    #[arg(long, value_name = "PATH", default_value = "/run/watchtower-serial/socket")]
    socket: PathBuf,
    /// Park the servo at this angle (0 to 180) when the service ends; without it, where the last stop put it
    #[arg(long, value_name = "DEGREES", value_parser = angle)]
    park_angle: Option<Angle>,
    /// What is logged: error, warn, info, debug
    #[arg(long, value_name = "FILTER", default_value = "info")]
    log: String,
}

fn angle(text: &str) -> Result<Angle, String> {
    text.parse().ok().and_then(Angle::new).ok_or_else(|| "an angle is 0 to 180 degrees".into())
}

/// Runs until a signal ends it; then the light goes out and the servo is parked.
///
/// # Errors
/// The socket cannot be made. A port that is not there is waited for.
pub fn run(args: Args) -> Result<(), CliError> {
    service::log(&args.log);
    let options = Options { port: args.port, socket: args.socket, park: args.park_angle };
    let stopper = Stopper::default();
    let stop = stopper.clone();
    service::on_signal(move || stop.stop())?;
    serial::run(&options, &stopper, service::heart()).map_err(|error| CliError::Failed(error.to_string()))
}
