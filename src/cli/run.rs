//! `watchtower run`: the daemon with the cameras of a configuration file.

use std::path::PathBuf;

use super::{CliError, serve};
use crate::config::Config;

/// Arguments of `run`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration (TOML); `watchtower check-config FILE` says what is wrong with one
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

/// Runs until a signal ends it.
///
/// # Errors
/// A faulty configuration, or something that must work before the daemon is ready: storage and sockets.
pub fn run(args: Args) -> Result<(), CliError> {
    let config = Config::load(&args.config).map_err(|faults| CliError::Config(faults.to_string()))?;
    serve::run(config, serve::Announce::No)
}
