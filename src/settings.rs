//! Picture settings of one camera that the web may change while it runs: names, ranges and defaults of 1.x.
//!
//! What the owner declares once is in `config`. Saved by rename; read again at start.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Where a setting is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DoneBy {
    /// The camera's driver.
    Driver,
    /// This program, on each picture.
    Software,
    /// Nobody: it is stored, and has no effect on this camera.
    Nobody,
}

/// One setting as a camera has it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Setting {
    /// 1.x's name, a key of [`PictureSettings`].
    pub name: &'static str,
    /// What values it takes.
    #[serde(flatten)]
    pub kind: SettingKind,
    /// Who does it.
    pub done_by: DoneBy,
}

/// Values of a setting.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum SettingKind {
    /// A whole number.
    Integer {
        /// Smallest.
        min: i32,
        /// Largest.
        max: i32,
        /// Unless changed.
        default: i32,
    },
    /// One of several words.
    Menu {
        /// The words.
        values: Vec<&'static str>,
        /// Unless changed.
        default: &'static str,
    },
    /// On or off.
    Switch {
        /// Unless changed.
        default: bool,
    },
}

// The value types of 1.x: see the module's fields.
/// All settings with their values. Serialises exactly as 1.x's `GET /api/config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PictureSettings {
    /// White balance mode.
    pub awb_mode: String,
    /// 0 to 100.
    pub brightness: i32,
    /// -100 to 100.
    pub contrast: i32,
    /// -25 to 25, in sixths of a stop.
    pub exposure_compensation: i32,
    /// Exposure programme.
    pub exposure_mode: String,
    /// Picture effect of the Pi camera's firmware.
    pub image_effect: String,
    /// 0 for automatic, or 100 to 800.
    pub iso: i32,
    /// Where the light is metered.
    pub meter_mode: String,
    /// Degrees clockwise: 0, 90, 180 or 270.
    pub rotation: i32,
    /// -100 to 100.
    pub saturation: i32,
    /// -100 to 100.
    pub sharpness: i32,
    /// Noise reduction.
    pub video_denoise: bool,
}

/// A partial change as a client sends it, by name.
pub type Change = BTreeMap<String, serde_json::Value>;
