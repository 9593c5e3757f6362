//! `watchtower demo`: one camera from the command line, no configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{CliError, serve};
use crate::camera::Source;
use crate::config::{self, Config};
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
    #[arg(long, value_name = "N", default_value_t = 15, value_parser = clap::value_parser!(u32).range(i64::from(*config::FPS.start())..=i64::from(*config::FPS.end())))]
    fps: u32,
    /// Bit rate of the recording
    #[arg(long, value_name = "KBIT", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(i64::from(*config::KBIT.start())..=i64::from(*config::KBIT.end())))]
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
    let mut config = Config::for_one_camera(args.source, args.data, args.listen);
    config.storage.max_bytes = Some(MAX_BYTES);
    for camera in config.cameras.values_mut() {
        camera.label = "Demo".to_owned();
        camera.size = args.size;
        camera.fps = args.fps;
        camera.disk.kbit = args.bitrate;
        camera.live.kbit = args.bitrate;
        camera.record_always = args.record_always;
    }
    serve::run(config, serve::Announce::Yes)
}
