//! The border to the world's cameras: the trait each source implements, and how one is opened.
//!
//! A source yields JPEGs or raw I420 frames and nothing else; decoding is the pipeline's. One thread owns a source and
//! calls it in a loop; reopening after a failure is the pipeline's too (`pipeline::grab`).

pub mod clip;
pub mod command;
pub mod http;
pub mod pattern;
pub mod source;
pub mod stamp;
pub mod timecode;
pub mod v4l2;

use std::sync::Arc;

use bytes::Bytes;

use self::clip::Clip;
use self::command::Program;
use self::http::Http;
use self::pattern::Pattern;
pub use self::source::{Request, Source, SourceError};
use self::stamp::Stamper;
use crate::media::{Frame, FramePool, Jpeg, Moment, Resolution};
use crate::settings::{PictureSettings, Setting};

/// One picture as the camera gave it.
#[derive(Debug)]
pub enum Capture {
    /// A JPEG. It has been framed and its header read; its entropy-coded data may still be corrupt.
    Jpeg(Jpeg),
    /// An I420 picture.
    Raw(Frame),
}

impl Capture {
    /// When it was taken.
    pub fn moment(&self) -> Moment {
        match self {
            Capture::Jpeg(jpeg) => jpeg.moment,
            Capture::Raw(frame) => frame.moment,
        }
    }

    /// As [`Capture::moment`], to be changed.
    pub fn moment_mut(&mut self) -> &mut Moment {
        match self {
            Capture::Jpeg(jpeg) => &mut jpeg.moment,
            Capture::Raw(frame) => &mut frame.moment,
        }
    }

    /// Its size.
    pub fn size(&self) -> Resolution {
        match self {
            Capture::Jpeg(jpeg) => jpeg.size,
            Capture::Raw(frame) => frame.size(),
        }
    }
}

/// Why a camera gives no picture. The text that goes with it names the device, file or address and the cause.
#[derive(Debug, thiserror::Error)]
pub enum CameraError {
    /// It is not there, or refuses to be opened: try again later.
    #[error("{what}: {cause}")]
    Unavailable {
        /// Device, file, address or program.
        what: String,
        /// What went wrong, and where it can be known, what to do.
        cause: String,
    },
    /// It was open and has ended or failed: reopen.
    #[error("{what}: {cause}")]
    Lost {
        /// Device, file, address or program.
        what: String,
        /// What went wrong.
        cause: String,
    },
    /// Nothing came for longer than a camera may be silent: reopen.
    #[error("{what}: no picture for {silent_s} s")]
    Stalled {
        /// Device, file, address or program.
        what: String,
        /// How long.
        silent_s: u64,
    },
    /// One picture was unusable (truncated, corrupt, of a wrong size); the next may be good: count it and go on.
    #[error("{what}: {cause}")]
    BadPicture {
        /// Device, file, address or program.
        what: String,
        /// What was wrong with it.
        cause: String,
    },
    /// A clip that is played once has come to its end.
    #[error("{what}: the end of the clip")]
    Ended {
        /// The clip.
        what: String,
    },
}

impl CameraError {
    /// The error for everybody who may look: devices and addresses are named, files of this machine only by their last name.
    pub fn public(&self) -> String {
        let text = self.to_string();
        let short = |word: &str| {
            let is_path = word.starts_with('/') && !word.starts_with("/dev/");
            let name = if is_path { word.rsplit('/').find(|part| !part.is_empty()) } else { None };
            name.unwrap_or(word).to_owned()
        };
        text.split(' ').map(short).collect::<Vec<_>>().join(" ")
    }
}

/// A camera that is open. Not shared: the grab thread owns it.
pub trait Camera: Send {
    /// Waits for the next picture: at most `STALL` (see [`STALL_S`]), then answers [`CameraError::Stalled`].
    ///
    /// Blocks. The picture's PTS is that of its capture, never earlier than the picture before.
    fn next(&mut self) -> Result<Capture, CameraError>;

    /// What the driver can set; `None` where everything is done in software.
    fn controls(&self) -> Option<Arc<dyn Controls>> {
        None
    }
}

/// Picture settings that the camera's driver does. Called from other threads than [`Camera::next`].
pub trait Controls: Send + Sync {
    /// The settings the driver has, with its ranges, menus and defaults in the units of [`PictureSettings`].
    fn settings(&self) -> Vec<Setting>;

    /// Makes the driver follow. A control that fails does not keep the others from being set; each failure is one
    /// sentence that names the control.
    fn apply(&self, settings: &PictureSettings) -> Result<(), Vec<String>>;
}

/// A camera that is silent for this long is wedged.
pub const STALL_S: u64 = 5;

/// Opens a camera. Frames are taken from `pool`; `brightness` is read at each picture.
///
/// Blocks until the source has answered, for some [`STALL_S`] at most.
///
/// # Errors
///
/// [`CameraError::Unavailable`]: it may be there later.
pub fn open(request: &Request, pool: &FramePool, brightness: BrightnessProbe) -> Result<Box<dyn Camera>, CameraError> {
    let stamper = Stamper::new(brightness);
    let Request { source, size, fps } = request;
    Ok(match source {
        Source::Pattern => Box::new(Pattern::new(Pattern::SEED, *size, *fps, pool, stamper)),
        Source::Http { url, credentials_file } => {
            Box::new(Http::open(url, credentials_file.as_deref(), *fps, stamper)?)
        }
        Source::Command(words) => Box::new(Program::start(words, *size, pool, stamper)?),
        Source::Clip { path, looped } => Box::new(Clip::open(path, *looped, *fps, pool, stamper)?),
        Source::V4l2(path) => v4l2::open(path, *size, *fps, pool, stamper)?,
    })
}

/// Reads the light sensor's last value when a picture is taken; answers `None` without a sensor.
pub type BrightnessProbe = Arc<dyn Fn() -> Option<u8> + Send + Sync>;

/// A JPEG's bytes as shared by all who keep or send it.
pub type JpegBytes = Bytes;
