//! The command line: one file per subcommand, each with its arguments and its `run`.

use clap::{Parser, Subcommand};

pub mod check_config;
pub mod convert_config;
pub mod demo;
pub mod dropbox_login;
pub mod fan;
pub mod pki;
pub mod probe;
pub mod replay;
pub mod run;
pub mod serial;
pub mod serve;
mod service;
pub mod unseal;
mod uploads;

/// A security camera: watches for motion, records, streams live.
#[derive(Debug, Parser)]
#[command(version, about, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run with the cameras of a configuration file
    Run(run::Args),
    /// Run one camera without a configuration: a drawn scene, a clip or a real camera
    Demo(demo::Args),
    /// Run a video file through the motion detector, faster than real time, and say what would have been recorded
    Replay(replay::Args),
    /// Say every fault of a configuration, or what the daemon would do with it
    CheckConfig(check_config::Args),
    /// Turn a configuration of Watchtower 1.x (JSON) into one of this version
    ConvertConfig(convert_config::Args),
    /// List the machine's cameras, and what to write into the configuration
    Probe(probe::Args),
    /// Own the microcontroller's serial port: light, brightness, servo
    Serial(serial::Args),
    /// Switch the fan by the processor's temperature
    Fan(fan::Args),
    /// Make, renew, revoke and list the owner's certificates
    Pki(pki::Args),
    /// Let the cameras upload to your Dropbox: get the refresh token, once
    DropboxLogin(dropbox_login::Args),
    /// Open downloaded uploads: a video that plays for each event, and the picture that triggered it
    Unseal(unseal::Args),
}

/// Why a command failed, and with which exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is faulty: a restart cannot help (78, `EX_CONFIG`).
    #[error("{0}")]
    Config(String),
    /// Anything else (1).
    #[error("{0}")]
    Failed(String),
    /// Done, as far as it could be: something was missing or damaged, which has been said (3).
    #[error("{0}")]
    Incomplete(String),
}

impl CliError {
    /// The process's exit code. A usage error is clap's: 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Config(_) => 78,
            CliError::Failed(_) => 1,
            CliError::Incomplete(_) => 3,
        }
    }
}

/// Reads the command line. Ends the process where it only asks for help or makes no sense.
pub fn parse() -> Cli {
    Cli::parse()
}

/// Runs the command that was asked for.
///
/// # Errors
/// Whatever made the command fail, in words for the user.
pub fn run(cli: Cli) -> Result<(), CliError> {
    match cli.command {
        Command::Run(args) => run::run(args),
        Command::Demo(args) => demo::run(args),
        Command::Replay(args) => replay::run(args),
        Command::CheckConfig(args) => check_config::run(args),
        Command::ConvertConfig(args) => convert_config::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Serial(args) => serial::run(args),
        Command::Fan(args) => fan::run(args),
        Command::Pki(args) => pki::run(args),
        Command::DropboxLogin(args) => dropbox_login::run(args),
        Command::Unseal(args) => unseal::run(args),
    }
}
