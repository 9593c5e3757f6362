//! Cameras behind a V4L2 device: USB cameras and the Pi's.
//!
//! What to ask a device for, how its pictures become I420 and what its controls mean is pure, in the modules beside this
//! one; `device` is the only user of the `v4l` crate. Without the feature `v4l` there is only a clear error.

pub mod choice;
pub mod controls;
#[cfg(feature = "v4l")]
mod device;
pub mod unpack;

use std::path::{Path, PathBuf};

use self::choice::Offer;
use self::controls::Control;
use super::stamp::Stamper;
use super::{Camera, CameraError};
use crate::media::{FramePool, Resolution};

/// A capture device as it describes itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DeviceInfo {
    /// Its node, such as `/dev/video0`.
    pub path: PathBuf,
    /// Its name.
    pub card: String,
    /// Its driver, such as `uvcvideo`.
    pub driver: String,
    /// Where it is plugged in.
    pub bus: String,
    /// What it offers in formats that this program can use, one entry for each format and size.
    pub offers: Vec<Offer>,
    /// Codes of the formats that this program cannot use.
    pub other_formats: Vec<String>,
    /// What can be set.
    pub controls: Vec<Control>,
}

/// Opens a device in the best of its formats for `size` and `fps`; what it gives instead of these is logged.
///
/// # Errors
///
/// [`CameraError::Unavailable`]: absent, in use, not permitted, or no camera; with the remedy.
#[cfg(feature = "v4l")]
pub fn open(
    path: &Path,
    size: Resolution,
    fps: u32,
    pool: &FramePool,
    stamper: Stamper,
) -> Result<Box<dyn Camera>, CameraError> {
    Ok(Box::new(device::Device::open(path, size, fps, pool, stamper)?))
}

/// Asks a device what it is, without disturbing whoever uses it.
///
/// # Errors
///
/// [`CameraError::Unavailable`], as [`open`].
#[cfg(feature = "v4l")]
pub fn describe(path: &Path) -> Result<DeviceInfo, CameraError> {
    device::describe(path)
}

/// Opens nothing: this build has no V4L2.
///
/// # Errors
///
/// Always [`CameraError::Unavailable`].
#[cfg(not(feature = "v4l"))]
pub fn open(
    path: &Path,
    _size: Resolution,
    _fps: u32,
    _pool: &FramePool,
    _stamper: Stamper,
) -> Result<Box<dyn Camera>, CameraError> {
    Err(not_built(path))
}

/// Asks nothing: this build has no V4L2.
///
/// # Errors
///
/// Always [`CameraError::Unavailable`].
#[cfg(not(feature = "v4l"))]
pub fn describe(path: &Path) -> Result<DeviceInfo, CameraError> {
    Err(not_built(path))
}

#[cfg(not(feature = "v4l"))]
fn not_built(path: &Path) -> CameraError {
    CameraError::Unavailable {
        what: path.display().to_string(),
        cause: "this program was built without V4L2: build it with the feature v4l (needs libclang)".to_owned(),
    }
}

/// The machine's video nodes, in order of their numbers. Not every one is a camera.
pub fn nodes() -> Vec<PathBuf> {
    let entries = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("video")?.parse().ok()?;
            Some((number, entry.path()))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

/// The name of a node that stays the same when devices are plugged in in another order, where there is one.
pub fn stable_name(node: &Path) -> Option<PathBuf> {
    ["/dev/v4l/by-id", "/dev/v4l/by-path"].into_iter().find_map(|folder| {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.path()).find(|link| link.canonicalize().is_ok_and(|target| target == node))
    })
}
