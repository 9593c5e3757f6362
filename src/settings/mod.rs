//! Settings of one camera that the web may change while it runs. Here are those of the picture, with names, ranges and
//! defaults of 1.x; those of motion are in `motion`.
//!
//! What the owner declares once is in `config`; how settings outlive the program is in `file`. Who makes a setting
//! visible is the driver's (`camera::Controls`) or the pipeline's affair.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

mod file;
mod motion;

pub use file::{SettingsFile, StoredSettings};
pub use motion::{MotionChange, MotionOverrides, Zone, ZoneDraft};

/// Where a setting is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
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
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
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
    /// One of several whole numbers.
    Choice {
        /// The numbers.
        values: Vec<i32>,
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

/// All settings with their values. Serialises exactly as 1.x's `GET /api/config`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PictureSettings {
    /// White balance mode, of [`AWB_MODES`].
    pub awb_mode: String,
    /// 0 to 100.
    pub brightness: i32,
    /// -100 to 100.
    pub contrast: i32,
    /// -25 to 25, in sixths of a stop.
    pub exposure_compensation: i32,
    /// Exposure programme, of [`EXPOSURE_MODES`].
    pub exposure_mode: String,
    /// Picture effect of the Pi camera's firmware, of [`IMAGE_EFFECTS`].
    pub image_effect: String,
    /// 0 for automatic, or 100 to 800.
    pub iso: i32,
    /// Where the light is metered, of [`METER_MODES`].
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

/// White balance modes of the Pi camera's firmware.
pub const AWB_MODES: [&str; 10] =
    ["off", "auto", "sunlight", "cloudy", "shade", "tungsten", "fluorescent", "incandescent", "flash", "horizon"];

/// Exposure programmes of the Pi camera's firmware.
pub const EXPOSURE_MODES: [&str; 13] = [
    "off",
    "auto",
    "night",
    "nightpreview",
    "backlight",
    "spotlight",
    "sports",
    "snow",
    "beach",
    "verylong",
    "fixedfps",
    "antishake",
    "fireworks",
];

/// Picture effects of the Pi camera's firmware.
pub const IMAGE_EFFECTS: [&str; 22] = [
    "none",
    "negative",
    "solarize",
    "sketch",
    "denoise",
    "emboss",
    "oilpaint",
    "hatch",
    "gpen",
    "pastel",
    "watercolor",
    "film",
    "blur",
    "saturation",
    "colorswap",
    "washedout",
    "posterise",
    "colorpoint",
    "colorbalance",
    "cartoon",
    "deinterlace1",
    "deinterlace2",
];

/// Where the Pi camera's firmware meters the light.
pub const METER_MODES: [&str; 4] = ["average", "spot", "backlit", "matrix"];

impl Default for PictureSettings {
    fn default() -> Self {
        Self {
            awb_mode: "auto".to_owned(),
            brightness: 50,
            contrast: 0,
            exposure_compensation: 0,
            exposure_mode: "auto".to_owned(),
            image_effect: "none".to_owned(),
            iso: 0,
            meter_mode: "average".to_owned(),
            rotation: 0,
            saturation: 0,
            sharpness: 0,
            video_denoise: true,
        }
    }
}

/// A partial change as a client sends it, by name.
pub type Change = BTreeMap<String, Value>;

/// Why a change was refused. Nothing was changed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SettingsFault {
    /// There is no such setting.
    #[error("there is no setting '{}'; there are {known}", shorten(name))]
    Unknown {
        /// What was asked for.
        name: String,
        /// The names that exist, separated by commas.
        known: String,
    },
    /// The setting does not take this value.
    #[error("{name} cannot be {}: it takes {allowed}", shorten(value))]
    Value {
        /// The setting.
        name: &'static str,
        /// What was asked for, as JSON.
        value: String,
        /// What it takes instead.
        allowed: String,
    },
}

/// A value that a client sent and that goes back to it, at a length that suits a message.
fn shorten(text: &str) -> String {
    const LONGEST_CHARS: usize = 60;
    match text.char_indices().nth(LONGEST_CHARS) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

impl PictureSettings {
    /// These settings with a change.
    ///
    /// A number may come as text ("90"), which 1.x took too.
    ///
    /// # Errors
    /// The first name that is unknown or value that is not taken.
    pub fn changed_by(&self, change: &Change) -> Result<PictureSettings, SettingsFault> {
        let mut changed = self.clone();
        for (name, value) in change {
            changed.set(name, value)?;
        }
        Ok(changed)
    }

    fn set(&mut self, name: &str, value: &Value) -> Result<(), SettingsFault> {
        let all = settings();
        let Some(setting) = all.iter().find(|setting| setting.name == name) else {
            let known = all.map(|setting| setting.name).join(", ");
            return Err(SettingsFault::Unknown { name: name.to_owned(), known });
        };
        let number = || setting.number(value).ok_or_else(|| setting.refuse(value));
        let word = || setting.word(value).ok_or_else(|| setting.refuse(value));
        match setting.name {
            "awb_mode" => self.awb_mode = word()?,
            "brightness" => self.brightness = number()?,
            "contrast" => self.contrast = number()?,
            "exposure_compensation" => self.exposure_compensation = number()?,
            "exposure_mode" => self.exposure_mode = word()?,
            "image_effect" => self.image_effect = word()?,
            "iso" => self.iso = number()?,
            "meter_mode" => self.meter_mode = word()?,
            "rotation" => self.rotation = number()?,
            "saturation" => self.saturation = number()?,
            "sharpness" => self.sharpness = number()?,
            _ => self.video_denoise = setting.switch(value).ok_or_else(|| setting.refuse(value))?,
        }
        Ok(())
    }
}

impl Setting {
    fn number(&self, value: &Value) -> Option<i32> {
        let number = match value {
            Value::String(text) => text.trim().parse().ok()?,
            // JavaScript has no whole numbers: 50.0 is 50.
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().filter(|f| f.fract() == 0.0).map(|f| f as i64))?,
            _ => return None,
        };
        let number = i32::try_from(number).ok()?;
        let taken = match &self.kind {
            // Between automatic and the slowest film there is nothing.
            SettingKind::Integer { .. } if self.name == "iso" && (1..MIN_ISO).contains(&number) => false,
            SettingKind::Integer { min, max, .. } => (*min..=*max).contains(&number),
            SettingKind::Choice { values, .. } => values.contains(&number),
            SettingKind::Menu { .. } | SettingKind::Switch { .. } => false,
        };
        taken.then_some(number)
    }

    fn word(&self, value: &Value) -> Option<String> {
        match (&self.kind, value) {
            (SettingKind::Menu { values, .. }, Value::String(word)) if values.contains(&word.as_str()) => {
                Some(word.clone())
            }
            _ => None,
        }
    }

    fn switch(&self, value: &Value) -> Option<bool> {
        value.as_bool().or_else(|| match value.as_i64() {
            Some(n @ (0 | 1)) => Some(n == 1),
            _ => None,
        })
    }

    fn refuse(&self, value: &Value) -> SettingsFault {
        let allowed = match &self.kind {
            SettingKind::Integer { max, .. } if self.name == "iso" => {
                format!("0 (automatic) or a whole number from {MIN_ISO} to {max}")
            }
            SettingKind::Integer { min, max, .. } => format!("a whole number from {min} to {max}"),
            SettingKind::Choice { values, .. } => {
                format!("one of {}", values.iter().map(i32::to_string).collect::<Vec<_>>().join(", "))
            }
            SettingKind::Menu { values, .. } => format!("one of {}", values.join(", ")),
            SettingKind::Switch { .. } => "true or false".to_owned(),
        };
        SettingsFault::Value { name: self.name, value: value.to_string(), allowed }
    }
}

const MIN_ISO: i32 = 100;

/// Every setting of 1.x with its whole range, as a camera without a driver's help has it.
pub fn settings() -> [Setting; 12] {
    use DoneBy::{Nobody, Software};
    let setting = |name, done_by, kind| Setting { name, kind, done_by };
    let integer = |min, max, default| SettingKind::Integer { min, max, default };
    let menu = |values: &[&'static str], default| SettingKind::Menu { values: values.to_vec(), default };
    [
        setting("awb_mode", Nobody, menu(&AWB_MODES, "auto")),
        setting("brightness", Software, integer(0, 100, 50)),
        setting("contrast", Software, integer(-100, 100, 0)),
        setting("exposure_compensation", Nobody, integer(-25, 25, 0)),
        setting("exposure_mode", Nobody, menu(&EXPOSURE_MODES, "auto")),
        setting("image_effect", Nobody, menu(&IMAGE_EFFECTS, "none")),
        setting("iso", Nobody, integer(0, 800, 0)),
        setting("meter_mode", Nobody, menu(&METER_MODES, "average")),
        setting("rotation", Software, SettingKind::Choice { values: vec![0, 90, 180, 270], default: 0 }),
        setting("saturation", Software, integer(-100, 100, 0)),
        setting("sharpness", Nobody, integer(-100, 100, 0)),
        setting("video_denoise", Nobody, SettingKind::Switch { default: true }),
    ]
}

/// All settings as a camera has them: what its driver does, with the driver's ranges; else what software does; the rest is
/// stored without effect.
pub fn schema(driver: Vec<Setting>) -> Vec<Setting> {
    let mut schema = settings().to_vec();
    for done in driver {
        if let Some(setting) = schema.iter_mut().find(|setting| setting.name == done.name) {
            *setting = Setting { done_by: DoneBy::Driver, ..done };
        }
    }
    schema
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn change(json: Value) -> Change {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn the_defaults_are_written_exactly_as_1_x_wrote_them() {
        assert_eq!(
            serde_json::to_string(&PictureSettings::default()).unwrap(),
            r#"{"awb_mode":"auto","brightness":50,"contrast":0,"exposure_compensation":0,"exposure_mode":"auto","image_effect":"none","iso":0,"meter_mode":"average","rotation":0,"saturation":0,"sharpness":0,"video_denoise":true}"#
        );
    }

    #[test]
    fn the_schema_and_the_values_name_the_same_settings_and_defaults() {
        let values = serde_json::to_value(PictureSettings::default()).unwrap();
        let names: Vec<_> = values.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(settings().map(|setting| setting.name).to_vec(), names);
        for setting in settings() {
            let shown = serde_json::to_value(&setting).unwrap();
            assert_eq!(shown["default"], values[setting.name], "{}", setting.name);
        }
    }

    #[test]
    fn a_part_may_be_changed_and_the_rest_stays() {
        let all = change(json!({
            "awb_mode": "shade", "brightness": 75, "contrast": -60, "exposure_compensation": 5, "exposure_mode": "night",
            "image_effect": "solarize", "iso": 100, "meter_mode": "spot", "rotation": 90, "saturation": 50,
            "sharpness": 25, "video_denoise": false
        }));
        let changed = PictureSettings::default().changed_by(&all).unwrap();
        assert_eq!(serde_json::to_value(&changed).unwrap(), serde_json::to_value(&all).unwrap());
        let part =
            changed.changed_by(&change(json!({ "rotation": "270", "contrast": 3.0, "video_denoise": 1 }))).unwrap();
        assert_eq!(part, PictureSettings { rotation: 270, contrast: 3, video_denoise: true, ..changed.clone() });
        assert_eq!(changed.changed_by(&Change::new()).unwrap(), changed);
    }

    #[test]
    fn what_a_setting_does_not_take_is_refused_with_what_it_takes() {
        for (asked, says) in [
            (json!({ "brightness": 101 }), "brightness cannot be 101: it takes a whole number from 0 to 100"),
            (json!({ "brightness": 50.5 }), "a whole number from 0 to 100"),
            (json!({ "brightness": null }), "brightness cannot be null"),
            (json!({ "brightness": 5_000_000_000_i64 }), "cannot be 5000000000"),
            (json!({ "contrast": "dark" }), "contrast cannot be \"dark\""),
            (json!({ "rotation": 45 }), "one of 0, 90, 180, 270"),
            (json!({ "iso": 50 }), "0 (automatic) or a whole number from 100 to 800"),
            (json!({ "awb_mode": "Auto" }), "one of off, auto, sunlight"),
            (json!({ "meter_mode": 3 }), "one of average, spot"),
            (json!({ "video_denoise": "false" }), "true or false"),
            (json!({ "zoom": 3, "rotation": 90 }), "there is no setting 'zoom'; there are awb_mode,"),
        ] {
            let fault = PictureSettings::default().changed_by(&change(asked)).unwrap_err().to_string();
            assert!(fault.contains(says), "{fault}");
        }
        let long = PictureSettings::default().changed_by(&change(json!({ "iso": "x".repeat(1 << 20) }))).unwrap_err();
        assert!(long.to_string().len() < 200);
    }

    #[test]
    fn the_schema_says_who_does_what() {
        let driver = vec![
            Setting {
                name: "brightness",
                kind: SettingKind::Integer { min: 10, max: 90, default: 40 },
                done_by: DoneBy::Driver,
            },
            Setting { name: "tilt", kind: SettingKind::Switch { default: false }, done_by: DoneBy::Driver },
        ];
        let shown = serde_json::to_value(schema(driver)).unwrap();
        let of = |name: &str| shown.as_array().unwrap().iter().find(|setting| setting["name"] == name).cloned();
        assert_eq!(
            of("brightness").unwrap(),
            json!({ "name": "brightness", "type": "integer", "min": 10, "max": 90, "default": 40, "done_by": "driver" })
        );
        assert_eq!(of("rotation").unwrap()["done_by"], "software");
        assert_eq!(of("rotation").unwrap()["values"], json!([0, 90, 180, 270]));
        assert_eq!(of("awb_mode").unwrap()["done_by"], "nobody");
        assert_eq!(of("tilt"), None);
        assert_eq!(shown.as_array().unwrap().len(), 12);
    }

    proptest! {
        #[test]
        fn whatever_is_accepted_is_in_range_and_accepted_again(
            name in prop::sample::select(settings().map(|setting| setting.name).to_vec()),
            value in prop_oneof![
                (-1000..1000).prop_map(Value::from), any::<f64>().prop_map(Value::from), any::<bool>().prop_map(Value::from),
                ".*".prop_map(Value::from), prop::sample::select(&EXPOSURE_MODES[..]).prop_map(Value::from),
            ],
        ) {
            let asked = Change::from([(name.to_owned(), value)]);
            if let Ok(changed) = PictureSettings::default().changed_by(&asked) {
                let whole = serde_json::from_value(serde_json::to_value(&changed).unwrap()).unwrap();
                prop_assert_eq!(PictureSettings::default().changed_by(&whole).unwrap(), changed);
            }
        }
    }
}
