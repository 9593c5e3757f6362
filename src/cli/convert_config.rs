//! `watchtower convert-config`: a configuration of 1.x in the words of this version.

use std::io::Write;
use std::path::PathBuf;

use super::CliError;
use crate::config::v1;

/// Arguments of `convert-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration of Watchtower 1.x (JSON)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Writes the new configuration to standard output, and what could not be carried over to standard error as well.
///
/// # Errors
/// A file that cannot be read or is no configuration of 1.x.
pub fn run(args: Args) -> Result<(), CliError> {
    convert(&args, &mut std::io::stdout(), &mut std::io::stderr())
}

fn convert(args: &Args, out: &mut impl Write, notes: &mut impl Write) -> Result<(), CliError> {
    let file = args.file.display();
    let json = std::fs::read(&args.file).map_err(|e| CliError::Failed(format!("{file} cannot be read: {e}")))?;
    let converted = v1::convert(&json).map_err(|e| CliError::Config(format!("{file}: {e}")))?;
    out.write_all(converted.toml.as_bytes())
        .and_then(|()| converted.notes.iter().try_for_each(|note| writeln!(notes, "{note}")))
        .map_err(|e| CliError::Failed(format!("the result cannot be written: {e}")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn converted(json: &str) -> Result<(String, String), CliError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("watchtower_config.json");
        std::fs::write(&file, json).unwrap();
        let (mut out, mut notes) = (Vec::new(), Vec::new());
        convert(&Args { file }, &mut out, &mut notes)?;
        Ok((String::from_utf8(out).unwrap(), String::from_utf8(notes).unwrap()))
    }

    #[test]
    fn the_result_goes_out_and_the_notes_apart() {
        let (toml, notes) =
            converted(r#"{"CAMERA_NAME": "room0", "DESTINATIONS": {}, "SERVO_ANGLE_ON": 105}"#).unwrap();
        assert!(toml.contains("[cameras.room0]"), "{toml}");
        assert!(notes.starts_with("SERVO_ANGLE_ON: "), "{notes}");
        assert!(!notes.contains("[cameras.room0]"), "{notes}");
    }

    #[test]
    fn what_is_no_configuration_ends_with_78() {
        for json in ["{", "{}"] {
            let error = converted(json).unwrap_err();
            assert_eq!(error.exit_code(), 78);
            assert!(error.to_string().contains("watchtower_config.json: not "), "{error}");
        }
    }
}
