//! Parses the command line and dispatches; the only place that exits the process.

use std::process::ExitCode;

use watchtower::cli::{self, CliError};

fn main() -> ExitCode {
    match cli::run(cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word of a command goes to the terminal, whatever the log is set to")]
fn report(error: &CliError) {
    eprintln!("watchtower: {error}");
}
