//! `watchtower unseal`: the owner's side of sealed uploads.
//!
//! The work is in [`crate::upload`]; here are the key, the passphrase, the progress and the words.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use indicatif::{ProgressBar, ProgressStyle};

use super::CliError;
use crate::upload::find::{self, EventFiles};
use crate::upload::restore::{self, Options, Restored};
use crate::upload::seal::{KeyError, PrivateKey};

/// Arguments of `unseal`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders with downloaded uploads, searched with all below them, or single files
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// The private key (PEM: PKCS#8, encrypted or not, or PKCS#1); not needed for uploads that are not sealed
    #[arg(long, value_name = "KEY.pem")]
    key: Option<PathBuf>,
    /// A file with the key's passphrase in its first line [default: ask for it]
    #[arg(long, value_name = "FILE", requires = "key")]
    passphrase_file: Option<PathBuf>,
    /// Where the results go: DIR/CAMERA/DAY/TIME/video.mp4 and trigger.jpg, as the folders below PATH are
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Pictures a second of events without a manifest: those of Watchtower 1.x
    #[arg(long, value_name = "N", default_value_t = 30.0, value_parser = fps)]
    fps: f64,
    /// Replace results that are there already
    #[arg(long)]
    force: bool,
}

fn fps(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fps) if (0.1..=1000.0).contains(&fps) => Ok(fps),
        _ => Err("a number from 0.1 to 1000".to_owned()),
    }
}

/// Opens all events and says what is missing. Goes on past what is damaged.
///
/// # Errors
/// A key or path that cannot be read, results that cannot be written: [`CliError::Failed`]. [`CliError::Incomplete`]
/// when anything was missing, damaged or there already.
pub fn run(args: Args) -> Result<(), CliError> {
    let key = args.key.as_deref().map(|file| load_key(file, args.passphrase_file.as_deref())).transpose()?;
    let events = find::find(&args.paths).map_err(|error| CliError::Failed(error.to_string()))?;
    if events.is_empty() {
        return Err(CliError::Failed("there is no upload: no videoN.h264 and no trigger.jpg".to_owned()));
    }
    let options = Options { key: key.as_ref(), out: &args.out, fps: args.fps, force: args.force };
    let bar = progress_bar(events.iter().map(bytes).sum());
    let mut faulty = 0;
    for event in &events {
        let result = restore::restore(event, &options, &mut |bytes| bar.inc(bytes));
        let (text, good) = match &result {
            Ok(restored) => (describe(event, restored), restored.faults.is_empty()),
            Err(error) => (format!("{error}\n"), false),
        };
        faulty += usize::from(!good);
        // A reader that has seen enough (`| head`) is no failure.
        bar.suspend(|| io::stdout().lock().write_all(text.as_bytes()).ok());
    }
    bar.finish_and_clear();
    match faulty {
        0 => Ok(()),
        _ => Err(CliError::Incomplete(format!("{faulty} of {} events are not complete; see above", events.len()))),
    }
}

fn load_key(file: &Path, passphrase_file: Option<&Path>) -> Result<PrivateKey, CliError> {
    let read = |file: &Path| {
        fs::read_to_string(file).map_err(|error| CliError::Failed(format!("{}: {error}", file.display())))
    };
    let failed = |error: &KeyError| CliError::Failed(format!("{} {error}", file.display()));
    let pem = read(file)?;
    match PrivateKey::from_pem(&pem, None) {
        Err(KeyError::NeedsPassphrase) => {}
        other => return other.map_err(|error| failed(&error)),
    }
    let passphrase = match passphrase_file {
        Some(file) => read(file)?.lines().next().unwrap_or_default().to_owned(),
        None => rpassword::prompt_password(format!("Passphrase of {}: ", file.display())).map_err(|error| {
            CliError::Failed(format!(
                "{}, and there is no terminal to ask on ({error}): use --passphrase-file",
                failed(&KeyError::NeedsPassphrase)
            ))
        })?,
    };
    PrivateKey::from_pem(&pem, Some(&passphrase)).map_err(|error| failed(&error))
}

fn bytes(event: &EventFiles) -> u64 {
    event.files().filter_map(|file| fs::metadata(file).ok()).map(|metadata| metadata.len()).sum()
}

/// Drawn on standard error, where that is a terminal.
fn progress_bar(bytes: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {bytes}/{total_bytes}, {eta} left");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

fn describe(event: &EventFiles, restored: &Restored) -> String {
    let place = if event.target.as_os_str().is_empty() { Path::new(".") } else { &event.target };
    let mut text = format!("{}: {} pictures\n", place.display(), restored.pictures);
    for fault in &restored.faults {
        text += &format!("    {fault}\n");
    }
    text
}
