//! The command line: one file per subcommand, each with its arguments and its `run`.

pub mod check_config;
pub mod convert_config;

/// Why a command failed, and with which exit code.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The configuration is faulty: a restart cannot help (78, `EX_CONFIG`).
    #[error("{0}")]
    Config(String),
    /// Anything else (1).
    #[error("{0}")]
    Failed(String),
}

impl CliError {
    /// The process's exit code. A usage error is clap's: 2.
    pub fn exit_code(&self) -> u8 {
        match self {
            CliError::Config(_) => 78,
            CliError::Failed(_) => 1,
        }
    }
}
