//! What the owner declares: a TOML file turned into checked types, every fault named at once.
//!
//! Fixed while the program runs; what the web may change is in `settings`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::camera::Source;
use crate::media::Resolution;

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where and how long recordings are kept.
    pub storage: Storage,
    /// How the API and the web app are reached.
    pub web: Web,
    /// The cameras by name. At least one.
    pub cameras: BTreeMap<String, CameraConfig>,
    /// The camera that is served at `/`: always one of `cameras`.
    pub default_camera: String,
    /// A tracing filter, such as `info` or `watchtower=debug`.
    pub log: String,
}

/// Where and how long recordings are kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage {
    /// Everything the daemon writes is below this folder: `recordings/`, `settings/`, `state/`.
    pub path: PathBuf,
    /// Recordings together take at most this.
    pub max_bytes: Option<u64>,
    /// Recordings older than this go.
    pub max_age_days: Option<u32>,
    /// When the file system is fuller than this (0 to 1), the oldest recordings go.
    pub max_used: Option<f32>,
}

/// How the API and the web app are reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Where the daemon listens.
    pub listen: Listen,
    /// Whether `/` serves the web app.
    pub web_app: bool,
    /// Host names, besides loopback's, that a request over TCP may be for.
    pub hosts: Vec<String>,
    /// Allow plain HTTP on an address that is not loopback.
    pub insecure_listen: bool,
}

/// An address to listen on.
#[derive(Clone, Debug, PartialEq)]
pub enum Listen {
    /// A Unix socket, created with mode 0660.
    Unix(PathBuf),
    /// A socket handed over by systemd.
    Systemd,
    /// A TCP address.
    Tcp(SocketAddr),
}

/// One camera.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraConfig {
    /// `[a-z0-9-]{1,32}`.
    pub name: String,
    /// What the annotation shows.
    pub label: String,
    /// Where its pictures come from.
    pub source: Source,
    /// Size asked of the source.
    pub size: Resolution,
    /// Frames a second asked of the source.
    pub fps: u32,
    /// Degrees clockwise (0, 90, 180, 270) until the web sets another.
    pub rotation: u32,
    /// What is burned into every picture.
    pub annotation: Annotation,
    /// What counts as motion.
    pub motion: MotionConfig,
    /// Where motion counts.
    pub zones: Vec<Zone>,
    /// The recording on disk.
    pub disk: StreamConfig,
    /// Record all the time, in pieces of the longest event time.
    pub record_always: bool,
}

/// What is burned into every picture: `LABEL | TIME | Brightness: N`.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Whether anything is.
    pub enabled: bool,
    /// A `strftime` format of the local time.
    pub time_format: String,
}

/// What counts as motion, with the names and meaning of 1.x.
#[derive(Clone, Debug, PartialEq)]
pub struct MotionConfig {
    /// 0 to 1: how small a change of a pixel counts.
    pub sensitivity: f32,
    /// 0 to 1: the smallest connected changed part of the picture that triggers.
    pub min_trigger_area: f32,
    /// Seconds kept before the trigger and after the last motion.
    pub recording_padding_s: f32,
    /// Seconds after which an event is closed, whatever moves.
    pub max_event_time_s: f32,
    /// Consecutive analysed pictures with motion before it triggers.
    pub min_frames: u32,
}

/// A polygon on the picture as it is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone {
    /// For messages and the web app.
    pub name: String,
    /// Whether motion counts inside it (include) or does not (exclude). With include zones, it counts nowhere else.
    pub include: bool,
    /// Corners in parts of the picture, 0 to 1; at least three.
    pub points: Vec<[f32; 2]>,
}

/// One encoding of a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// The largest size; `None` for the source's own.
    pub size: Option<Resolution>,
    /// Bit rate in kbit/s.
    pub kbit: u32,
}
