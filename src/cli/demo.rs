//! `watchtower demo`: one camera from the command line, no configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{CliError, serve};
use crate::camera::Source;
use crate::config::{CameraConfig, Config, Listen, Storage, StreamConfig};
use crate::media::Resolution;

/// A demo never takes more of the disk than this.
const MAX_BYTES: u64 = 2_000_000_000;

/// Arguments of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where to listen
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where recordings and settings are kept, at most 2 GB
    #[arg(long, value_name = "DIR", default_value = "./watchtower-data")]
    data: PathBuf,
    /// Picture size asked of the camera
    #[arg(long, value_name = "WxH", default_value = "1280x720")]
    size: Resolution,
    /// Pictures a second asked of the camera
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=120))]
    fps: u32,
    /// Bit rate of the recording
    #[arg(long, value_name = "KBIT", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(50..=50_000))]
    bitrate: u32,
    /// Record all the time, not only when something moves
    #[arg(long)]
    record_always: bool,
    /// The camera: pattern, clip:PATH, http://..., v4l2:/dev/video0, command:PROGRAM ARGS
    #[arg(long, value_name = "SPEC", default_value = "pattern")]
    source: Source,
}

/// Runs until a signal ends it.
///
/// # Errors
/// Storage or a socket that does not work.
pub fn run(args: Args) -> Result<(), CliError> {
    let camera = CameraConfig {
        label: "Demo".to_owned(),
        size: args.size,
        fps: args.fps,
        disk: StreamConfig { kbit: args.bitrate, ..StreamConfig::default() },
        record_always: args.record_always,
        ..CameraConfig::new("demo", args.source)
    };
    let storage = Storage { path: args.data, max_bytes: Some(MAX_BYTES), ..Storage::default() };
    let mut config = Config::with_camera(camera, storage);
    config.web.listen = Listen::Tcp(args.listen);
    serve::run(config, serve::Announce::Yes)
}
