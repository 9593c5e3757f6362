//! What the owner declares: a TOML file turned into checked types, every fault named at once.
//!
//! Fixed while the program runs; what the web may change is in `settings`. Here are the checked types and their
//! defaults. How the file is written is in `file`, what makes a value acceptable in `check` and `value`, how a fault
//! is said in `fault`, uploads in `upload` and `check_upload`, and the configuration of 1.x in `v1`.

pub mod bytes;
mod check;
mod check_upload;
mod fault;
mod file;
mod tune;
mod upload;
pub mod v1;
mod value;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::camera::Source;
use crate::media::Resolution;
use crate::role::Role;

pub use fault::{ConfigFaults, Fault};
pub use tune::{TuningFault, recalled, tuned};

pub use crate::settings::Zone;
pub use upload::{
    CameraUpload, Destination, DropboxAuth, DropboxConfig, FILE_CHUNK_KB, Limits, S3Config, UploadConfig,
};
pub use value::host_name;

/// The configuration that `watchtower run` reads unless told otherwise.
pub const DEFAULT_PATH: &str = "/etc/watchtower/watchtower.toml";

/// Frames a second that a camera may be asked for.
pub const FPS: std::ops::RangeInclusive<u32> = 1..=120;

/// Bit rates that the encoder can be asked for, in kbit/s.
pub const KBIT: std::ops::RangeInclusive<u32> = 50..=50_000;

/// The smallest connected changed part of the picture that triggers, unless configured.
pub const DEFAULT_MIN_TRIGGER_AREA: f32 = 0.001;

/// The whole configuration, checked.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Where and how long recordings are kept.
    pub storage: Storage,
    /// How the API and the web app are reached.
    pub web: Web,
    /// Where uploads go.
    pub upload: UploadConfig,
    /// The cameras by name. At least one.
    pub cameras: BTreeMap<String, CameraConfig>,
    /// The camera that is served at `/`: always one of `cameras`.
    pub default_camera: String,
    /// A tracing filter, such as `info` or `watchtower=debug`.
    pub log: String,
}

impl Config {
    /// Reads and checks a configuration file. Reads the file system besides: whether two names are one device can only
    /// be seen there. Needs neither the devices nor the secrets to exist.
    ///
    /// # Errors
    /// Every fault of the file, in the order of its lines.
    pub fn load(path: &Path) -> Result<Config, ConfigFaults> {
        let bytes = fault::read(path)?;
        Config::parse(path, &bytes)
    }

    /// As [`Config::load`], of a file that has been read; `path` is for messages and for the paths relative to it.
    ///
    /// # Errors
    /// Every fault of the file, in the order of its lines.
    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Config, ConfigFaults> {
        let mut faults = fault::Faults::new(bytes);
        let config = match std::str::from_utf8(bytes) {
            Ok(text) => {
                let file = file::read(text, &mut faults);
                let folder = std::path::absolute(path).ok().and_then(|path| path.parent().map(Path::to_owned));
                check::config(&file, &folder.unwrap_or_default(), &mut faults)
            }
            Err(e) => {
                faults.text(e.valid_up_to(), "the file is not UTF-8 text");
                None
            }
        };
        match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => Err(faults.of(path)),
        }
    }

    /// One camera, called `demo`, and every default: a configuration without a file.
    pub fn for_one_camera(source: Source, data: PathBuf, listen: SocketAddr) -> Config {
        let camera = CameraConfig::new("demo", source);
        Config {
            storage: Storage { path: data, ..Storage::default() },
            web: Web { listen: Listen::Tcp(listen), ..Web::default() },
            upload: UploadConfig::default(),
            default_camera: camera.name.clone(),
            cameras: BTreeMap::from([(camera.name.clone(), camera)]),
            log: DEFAULT_LOG.to_owned(),
        }
    }
}

const DEFAULT_LOG: &str = "info";

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

impl Default for Storage {
    fn default() -> Self {
        Self { path: "/var/lib/watchtower".into(), max_bytes: None, max_age_days: None, max_used: None }
    }
}

/// How the API and the web app are reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Web {
    /// Where the daemon listens.
    pub listen: Listen,
    /// Where it listens for TLS besides.
    pub listen_tls: Option<ListenTls>,
    /// What the holder of a certificate without a role may do.
    pub default_role: Role,
    /// Whether `/` serves the web app.
    pub web_app: bool,
    /// Host names, besides loopback's, that a request over TCP may be for. In lower case.
    pub hosts: Vec<String>,
    /// Allow plain HTTP on an address that is not loopback.
    pub insecure_listen: bool,
}

impl Default for Web {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            listen_tls: None,
            default_role: Role::Viewer,
            web_app: true,
            hosts: Vec::new(),
            insecure_listen: false,
        }
    }
}

/// The daemon's own TLS, for clients with a certificate. All files are PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenTls {
    /// Where.
    pub address: SocketAddr,
    /// The server's certificate, and what is between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The authorities whose clients are let in.
    pub client_ca: PathBuf,
    /// Certificates that they have revoked.
    pub crl: Option<PathBuf>,
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

impl Default for Listen {
    fn default() -> Self {
        Listen::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)))
    }
}

impl std::str::FromStr for Listen {
    type Err = String;

    /// `unix:PATH`, `systemd` or `IP:PORT`.
    fn from_str(s: &str) -> Result<Self, String> {
        match s.strip_prefix("unix:") {
            Some("") => Err("the path is missing: write unix:PATH, for example unix:/run/watchtower/http.sock".into()),
            Some(path) => Ok(Listen::Unix(path.into())),
            None if s == "systemd" => Ok(Listen::Systemd),
            None => s.parse().map(Listen::Tcp).map_err(|_| {
                "not an address: write IP:PORT (for example 127.0.0.1:8080), unix:PATH or systemd".to_owned()
            }),
        }
    }
}

/// As it is written in a file.
impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Listen::Unix(path) => write!(f, "unix:{}", path.display()),
            Listen::Systemd => f.write_str("systemd"),
            Listen::Tcp(address) => address.fmt(f),
        }
    }
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
    /// Frames a second asked of the source; one of [`FPS`].
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
    /// Live H.264 of a camera that gives JPEGs.
    pub live: StreamConfig,
    /// What is uploaded; `None`: nothing.
    pub upload: Option<CameraUpload>,
    /// Record all the time, in pieces of the longest event time.
    pub record_always: bool,
    /// What encodes.
    pub encoder: EncoderChoice,
    /// The light, the light sensor and the servo that go with it. At most one camera has them.
    pub microcontroller: Option<Microcontroller>,
}

/// What encodes a camera's streams. Software always can: it is used wherever hardware is not there or fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EncoderChoice {
    /// Hardware where there is one, and nobody is told where there is none.
    #[default]
    Auto,
    /// Hardware; without it the camera is degraded.
    Hardware,
    /// Software, whatever there is.
    Software,
}

/// The link to the service that owns the microcontroller (`watchtower serial`).
#[derive(Clone, Debug, PartialEq)]
pub struct Microcontroller {
    /// The service's Unix socket.
    pub socket: PathBuf,
    /// The servo's angle in degrees while monitoring; `None` leaves it alone.
    pub servo_on: Option<u8>,
    /// The servo's angle in degrees otherwise.
    pub servo_off: Option<u8>,
}

impl Default for Microcontroller {
    fn default() -> Self {
        Self { socket: "/run/watchtower-serial/socket".into(), servo_on: None, servo_off: None }
    }
}

impl CameraConfig {
    /// Its folder in the stores that uploads go to: the label, as far as every store takes it.
    pub fn upload_folder(&self) -> String {
        value::upload_folder(self)
    }

    /// A camera with every default; its label is its name.
    pub fn new(name: &str, source: Source) -> Self {
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            source,
            size: Resolution::new(1280, 720),
            fps: 15,
            rotation: 0,
            annotation: Annotation::default(),
            motion: MotionConfig::default(),
            zones: Vec::new(),
            disk: StreamConfig::default(),
            live: StreamConfig::default(),
            upload: None,
            record_always: false,
            encoder: EncoderChoice::default(),
            microcontroller: None,
        }
    }
}

/// What is burned into every picture: `LABEL | TIME | Brightness: N`.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// Whether anything is.
    pub enabled: bool,
    /// A `strftime` format of the local time.
    pub time_format: String,
}

impl Default for Annotation {
    fn default() -> Self {
        Self { enabled: true, time_format: "%Y-%m-%d %H:%M:%S".to_owned() }
    }
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

impl Default for MotionConfig {
    fn default() -> Self {
        Self {
            sensitivity: 0.8,
            min_trigger_area: DEFAULT_MIN_TRIGGER_AREA,
            recording_padding_s: 8.0,
            max_event_time_s: 60.0,
            min_frames: 2,
        }
    }
}

/// One encoding of a camera.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig {
    /// The largest size; `None` for the source's own.
    pub size: Option<Resolution>,
    /// Bit rate in kbit/s; one of [`KBIT`].
    pub kbit: u32,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self { size: None, kbit: 2000 }
    }
}

#[cfg(test)]
mod tests;
