//! `watchtower replay`: what the daemon would have recorded of a video file.
//!
//! The work is in [`crate::replay`]; here are its arguments and how the result is printed.

use std::io::Write;
use std::path::PathBuf;

use super::CliError;
use crate::camera::Source;
use crate::config::{CameraConfig, Config};
use crate::replay::{self, Analysis};

/// Arguments of `replay`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The video file: MP4, H.264 or MJPEG
    #[arg(value_name = "CLIP")]
    clip: PathBuf,
    /// A configuration, for the motion settings and zones of one of its cameras; without it, the defaults
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Which camera of the configuration [default: its default camera]
    #[arg(long, value_name = "NAME", requires = "config")]
    camera: Option<String>,
    /// Print JSON: recordings as [trigger, end] in seconds, and more
    #[arg(long)]
    json: bool,
}

/// Reads the clip as fast as it can be decoded and prints what would have been recorded.
///
/// # Errors
/// A faulty configuration, or a clip that cannot be read.
pub fn run(args: Args) -> Result<(), CliError> {
    let camera = camera(&args)?;
    let analysis = replay::analyse(&args.clip, &camera.motion, &camera.zones, camera.record_always)
        .map_err(|error| CliError::Failed(error.to_string()))?;
    let text = if args.json { json(&analysis, &camera) } else { table(&analysis) };
    // A reader that has seen enough (`| head`) is no failure.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

/// The camera whose settings count.
fn camera(args: &Args) -> Result<CameraConfig, CliError> {
    let Some(file) = &args.config else {
        return Ok(CameraConfig::new("replay", Source::Clip { path: args.clip.clone(), looped: false }));
    };
    let mut config = Config::load(file).map_err(|faults| CliError::Config(faults.to_string()))?;
    let name = args.camera.clone().unwrap_or(config.default_camera);
    config.cameras.remove(&name).ok_or_else(|| {
        let known: Vec<&str> = config.cameras.keys().map(String::as_str).collect();
        CliError::Failed(format!("{}: no camera '{name}'; there are: {}", file.display(), known.join(", ")))
    })
}

fn json(analysis: &Analysis, camera: &CameraConfig) -> String {
    let times: Vec<[f64; 2]> = analysis.recordings.iter().map(|r| [millis(r.trigger_s), millis(r.end_s)]).collect();
    let detect_ms = analysis.detect.as_secs_f64() * 1e3 / f64::from(analysis.looks.max(1));
    let value = serde_json::json!({
        "recordings": times,
        "post_roll_s": camera.motion.recording_padding_s,
        "details": analysis.recordings,
        "clip_s": millis(analysis.clip_s),
        "pictures": analysis.pictures,
        "looks": analysis.looks,
        "bad_pictures": analysis.bad_pictures,
        "light_changes": analysis.light_changes,
        "detect_ms": millis(detect_ms),
        "elapsed_s": millis(analysis.elapsed.as_secs_f64()),
    });
    format!("{value}\n")
}

fn millis(s: f64) -> f64 {
    (s * 1e3).round() / 1e3
}

fn table(analysis: &Analysis) -> String {
    let mut text = String::from("  trigger        end   changed  ended by\n");
    for r in &analysis.recordings {
        let changed = r.changed * 100.0;
        text += &format!("{:7.2} s  {:7.2} s  {changed:6.2} %  {:?}\n", r.trigger_s, r.end_s, r.reason);
    }
    let elapsed_s = analysis.elapsed.as_secs_f64();
    text += &format!(
        "{} recordings in {:.1} s of clip; {} of {} pictures looked at, {} unreadable; {elapsed_s:.1} s needed\n",
        analysis.recordings.len(),
        analysis.clip_s,
        analysis.looks,
        analysis.pictures,
        analysis.bad_pictures,
    );
    text
}
