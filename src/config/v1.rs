//! The configuration of Watchtower 1.x (one JSON file for one Pi camera), written anew as this version's TOML.
//!
//! What has no counterpart is said, with the reason, and stands as a comment in the result. Values pass through as they
//! are checked in `value`; one that is refused is said too and left at its default.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::value;
use super::{CameraConfig, FILE_CHUNK_KB, MotionConfig};
use crate::camera::Source;
use crate::media::Resolution;

/// A 1.x configuration in the words of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// A configuration file that loads, with the notes as comments.
    pub toml: String,
    /// What could not be carried over, or has to be looked at; a sentence each.
    pub notes: Vec<String>,
}

/// Why a text is no 1.x configuration.
#[derive(Debug, thiserror::Error)]
pub enum V1Error {
    /// The parser's reason, with line and column.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// None of the keys that every 1.x configuration has.
    #[error("not a configuration of Watchtower 1.x: it has no CAMERA_NAME and no DESTINATIONS")]
    Foreign,
}

/// Widths that a Pi camera program writes without padding at the end of each row are multiples of this.
const ROW_PIXELS: u32 = 64;

/// The smallest trigger area that 1.x had unless told otherwise.
const MIN_TRIGGER_AREA: f64 = 0.02;

/// Writes a 1.x configuration anew.
///
/// # Errors
/// A text that is none.
pub fn convert(json: &[u8]) -> Result<Converted, V1Error> {
    let keys: Map<String, Value> = serde_json::from_slice(json)?;
    if !keys.contains_key("CAMERA_NAME") && !keys.contains_key("DESTINATIONS") {
        return Err(V1Error::Foreign);
    }
    let mut old = Old { keys, notes: Vec::new() };
    let draft = old.draft();
    old.say_what_is_left();
    Ok(Converted { toml: draft.toml(&old.notes), notes: old.notes })
}

/// The 1.x keys that have not been used yet.
struct Old {
    keys: Map<String, Value>,
    notes: Vec<String>,
}

/// Of the pictures in 1.x.
struct Sizes {
    /// The largest that any destination asked for.
    camera: Resolution,
    /// The recording's, where it is another.
    disk: Option<Resolution>,
    upload: Option<Upload>,
}

/// What is carried over; `None` is left at its default.
struct Draft {
    name: String,
    label: Option<String>,
    size: Resolution,
    fps: u32,
    rotation: Option<u32>,
    time_format: Option<String>,
    motion: Vec<(&'static str, f64)>,
    disk_size: Option<Resolution>,
    upload: Option<Upload>,
    web_app: Option<bool>,
}

/// What 1.x uploaded to Dropbox.
#[derive(Default)]
struct Upload {
    size: Option<Resolution>,
    file_chunk_kb: Option<u32>,
    public_key_path: Option<String>,
}

impl Old {
    /// A value in 1.x's name of today, or the one it had before, as `read` takes it. What it refuses is noted.
    fn take<T>(&mut self, names: &[&str], read: impl Fn(&Value) -> Result<T, String>) -> Option<T> {
        let mut found = None;
        for name in names {
            let Some(old) = self.keys.remove(*name) else { continue };
            match read(&old) {
                Ok(value) if found.is_none() => found = Some(value),
                Ok(_) => self.notes.push(format!("{name} is set twice, by a newer name too, which was taken.")),
                Err(reason) => self.notes.push(format!("{name} = {old}: {reason}; the default was taken.")),
            }
        }
        found
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    fn draft(&mut self) -> Draft {
        let label = self.take(&["CAMERA_NAME"], |old| value::one_line(text(old)?));
        let name = label.as_deref().map_or_else(|| "camera".to_owned(), name_of);
        let defaults = CameraConfig::new(&name, Source::Pattern);
        let Sizes { camera: size, disk: disk_size, upload } = self.sizes(defaults.size);
        let fps = self.take(&["VIDEO_FRAMERATE"], |old| value::whole(whole(old)?, super::FPS)).unwrap_or(defaults.fps);
        let rotation = self.take(&["VIDEO_ROTATION"], |old| value::rotation(whole(old)?));
        let time_format = self.take(&["VIDEO_DATE_FORMAT"], |old| value::time_format(text(old)?));
        let motion = self.motion();
        let web_app = self.take(&["WEB_APP_ENABLED"], |old| old.as_bool().ok_or("must be true or false".to_owned()));
        Draft {
            label: label.filter(|label| *label != name),
            rotation: rotation.filter(|&rotation| rotation != defaults.rotation),
            time_format: time_format.filter(|format| *format != defaults.annotation.time_format),
            name,
            size,
            fps,
            motion,
            disk_size,
            upload,
            web_app: web_app.filter(|web_app| !web_app),
        }
    }

    fn sizes(&mut self, default: Resolution) -> Sizes {
        let mut sizes: Vec<Resolution> = self.take(&["VIDEO_SIZE"], size).into_iter().collect();
        let mut disk = sizes.first().copied();
        let mut upload = None;
        // Not by `take`, which repeats what it refuses: here it may be a secret.
        let destinations = match self.keys.remove("DESTINATIONS") {
            Some(Value::Object(destinations)) => destinations,
            None => Map::new(),
            Some(_) => {
                self.note("DESTINATIONS: must be a table; the default was taken.");
                Map::new()
            }
        };
        for (name, destination) in destinations {
            let asked = destination.get("size").map(size);
            if let Some(Err(reason)) = &asked {
                self.note(format!("DESTINATIONS.{name}.size: {reason}; the default was taken."));
            }
            let asked = asked.and_then(Result::ok);
            sizes.extend(asked);
            match name.as_str() {
                "disk" => disk = asked.or(disk),
                "dropbox" => upload = Some(self.dropbox(asked, &destination)),
                name => self.note(format!("DESTINATIONS.{name}: there is no such destination.")),
            }
        }
        let largest = sizes.into_iter().max_by_key(|size| size.pixels()).unwrap_or(default);
        Sizes { camera: largest, disk: disk.filter(|disk| *disk != largest), upload }
    }

    /// Its token is not looked at: it is a secret.
    fn dropbox(&mut self, size: Option<Resolution>, old: &Value) -> Upload {
        self.note(
            "DESTINATIONS.dropbox.token: write the access token into a file of its own, dropbox.token beside the new \
             configuration; it is a secret and not repeated here. Dropbox gives out no such tokens any more: when it ends, \
             `watchtower dropbox-login` gets another kind.",
        );
        let mut take = |name: &str, read: &dyn Fn(&Value) -> Result<Value, String>| {
            let value = old.get(name).filter(|value| !value.is_null())?;
            read(value)
                .map_err(|reason| {
                    self.note(format!("DESTINATIONS.dropbox.{name} = {value}: {reason}; the default was taken."))
                })
                .ok()
        };
        let chunk = take("file_chunk_kb", &|old| value::whole(whole(old)?, FILE_CHUNK_KB).map(Value::from));
        let key = take("public_key_path", &|old| text(old).map(Value::from));
        let public_key_path = key.and_then(|key| key.as_str().map(str::to_owned)).filter(|key| !key.is_empty());
        if public_key_path.is_some() {
            self.note("The trigger's picture is sealed too now; 1.x uploaded it in clear (seal_trigger = false).");
        }
        Upload {
            size,
            file_chunk_kb: chunk.and_then(|chunk| chunk.as_u64()).map(|chunk| chunk as u32),
            public_key_path,
        }
    }

    fn motion(&mut self) -> Vec<(&'static str, f64)> {
        let defaults = MotionConfig::default();
        let table: [(&str, &[&str], f32, _); 4] = [
            ("sensitivity", &["MOTION_SENSITIVITY"], defaults.sensitivity, value::PART),
            ("min_trigger_area", &["MOTION_MIN_TRIGGER_AREA"], defaults.min_trigger_area, value::PART),
            (
                "recording_padding_s",
                &["RECORDING_PADDING", "MOTION_RECORDING_PADDING"],
                defaults.recording_padding_s,
                value::RECORDING_PADDING_S,
            ),
            (
                "max_event_time_s",
                &["MAX_EVENT_TIME", "MOTION_MAX_EVENT_TIME"],
                defaults.max_event_time_s,
                value::MAX_EVENT_TIME_S,
            ),
        ];
        let mut motion = Vec::new();
        for (key, names, default, range) in table {
            let read = |old: &Value| {
                let number = old.as_f64().ok_or("must be a number")?;
                value::number(number, range.clone()).map(|_| number)
            };
            let mut value = self.take(names, read);
            if key == "min_trigger_area" {
                value = value.map(|old| self.trigger_area(old));
            }
            motion.push((key, value.unwrap_or(f64::from(default)), default));
        }
        if let [.., (_, padding, _), (_, longest, default)] = motion.as_mut_slice()
            && *padding >= *longest
        {
            let note = format!(
                "MAX_EVENT_TIME = {longest} is not longer than the padding ({padding} s); {default} was taken."
            );
            (*longest, *padding) = (f64::from(*default), padding.min(f64::from(defaults.recording_padding_s)));
            self.note(note);
        }
        motion
            .into_iter()
            .filter(|(_, value, default)| *value as f32 != *default)
            .map(|(key, value, _)| (key, value))
            .collect()
    }

    /// 1.x blurred and widened what had changed before it measured it.
    fn trigger_area(&mut self, old: f64) -> f64 {
        let ratio = f64::from(super::DEFAULT_MIN_TRIGGER_AREA) / MIN_TRIGGER_AREA;
        // To seven places, so that 1.x's default becomes this version's.
        let area = (old * ratio * 1e7).round() / 1e7;
        self.note(format!(
            "MOTION_MIN_TRIGGER_AREA = {old} became min_trigger_area = {area}: areas are measured more tightly now, and \
             the same things are about a twentieth as large."
        ));
        area
    }

    /// Everything that has not been used has no counterpart.
    fn say_what_is_left(&mut self) {
        for (name, old) in std::mem::take(&mut self.keys) {
            let reason = match name.as_str() {
                // The same as ever.
                "DIR_DAY_FORMAT" if old == "%Y-%m-%d" => continue,
                "DIR_TIME_FORMAT" if old == "%H.%M.%S" => continue,
                "DIR_DAY_FORMAT" | "DIR_TIME_FORMAT" => "the folders' names are always YYYY-MM-DD/HH.MM.SS",
                "MJPEG_SIZE" => "each viewer asks for its own size: mjpeg?width=800",
                name if ["SERVO", "MICRO", "INFRA", "SERIAL"].iter().any(|part| name.starts_with(part)) => {
                    "see [cameras.NAME.microcontroller]: `watchtower serial` owns the port, and the servo has an angle for on and off"
                }
                name if name.starts_with("DROPBOX_") => "see [upload.dropbox] and [cameras.NAME.upload]",
                _ => "there is no counterpart",
            };
            self.note(format!("{name}: {reason}."));
        }
        self.note(
            "The source is a guess, since 1.x knew only the Pi camera: look at it, and for a USB camera write source = \
             \"v4l2:/dev/video0\".",
        );
        self.note("1.x deleted old recordings when the disk was 80 % full, but none of the last three days; this version keeps no such days.");
        self.note(
            "Picture settings (1.x's camera_config.json) are no part of this file: POST them to api/config once.",
        );
    }
}

impl Draft {
    fn toml(&self, notes: &[String]) -> String {
        // Writing to a string does not fail.
        let mut out = String::new();
        let quoted = |text: &str| toml::Value::from(text).to_string();
        let _ = writeln!(out, "# Converted from a configuration of Watchtower 1.x.\n#");
        for note in notes {
            let _ = writeln!(out, "# - {}", note.replace(char::is_control, " "));
        }
        let _ = writeln!(out, "\n[storage]\nmax_used = 0.8");
        if let Some(web_app) = self.web_app {
            let _ = writeln!(out, "\n[web]\nweb_app = {web_app}");
        }
        let (name, size, fps) = (&self.name, self.size, self.fps);
        let _ = writeln!(out, "\n[cameras.{name}]");
        if let Some(label) = &self.label {
            let _ = writeln!(out, "label = {}", quoted(label));
        }
        if size.width % ROW_PIXELS != 0 {
            let _ = writeln!(
                out,
                "# If the picture looks sheared, the program pads its rows: make the width a multiple of {ROW_PIXELS} in \
                 both lines."
            );
        }
        let _ = writeln!(
            out,
            "source = \"command:rpicam-vid --timeout 0 --nopreview --codec yuv420 --width {} --height {} --framerate {fps} \
             --output -\"",
            size.width, size.height
        );
        let _ = writeln!(out, "size = \"{size}\"\nfps = {fps}");
        if let Some(rotation) = self.rotation {
            let _ = writeln!(out, "rotation = {rotation}");
        }
        if let Some(format) = &self.time_format {
            let _ = writeln!(out, "\n[cameras.{name}.annotation]\ntime_format = {}", quoted(format));
        }
        if !self.motion.is_empty() {
            let _ = writeln!(out, "\n[cameras.{name}.motion]");
            for (key, value) in &self.motion {
                let _ = writeln!(out, "{key} = {value}");
            }
        }
        if let Some(size) = self.disk_size {
            let _ = writeln!(out, "\n[cameras.{name}.disk]\nsize = \"{size}\"");
        }
        if let Some(upload) = &self.upload {
            let _ = writeln!(out, "\n[cameras.{name}.upload]");
            if let Some(size) = upload.size {
                let _ = writeln!(out, "size = \"{size}\"");
            }
            if let Some(kb) = upload.file_chunk_kb {
                let _ = writeln!(out, "file_chunk_kb = {kb}");
            }
            if let Some(path) = &upload.public_key_path {
                let _ = writeln!(out, "public_key_path = {}", quoted(path));
            }
            let _ = writeln!(out, "\n[upload.dropbox]\ntoken_file = \"dropbox.token\"");
        }
        out
    }
}

fn text(old: &Value) -> Result<&str, String> {
    old.as_str().ok_or_else(|| "must be text".to_owned())
}

fn whole(old: &Value) -> Result<i64, String> {
    old.as_i64().ok_or_else(|| "must be a whole number".to_owned())
}

/// `[1640, 1232]`.
fn size(old: &Value) -> Result<Resolution, String> {
    match old.as_array().map(Vec::as_slice) {
        Some([width, height]) => value::resolution(&format!("{width}x{height}")),
        _ => Err("must be [WIDTH, HEIGHT]".to_owned()),
    }
}

/// A camera's name out of any text.
fn name_of(label: &str) -> String {
    value::camera_name_from(label).unwrap_or_else(|| "camera".to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::config::Config;

    fn load(converted: &Converted) -> Config {
        Config::parse(Path::new("/etc/watchtower/w.toml"), converted.toml.as_bytes())
            .unwrap_or_else(|faults| panic!("{faults}\n{}", converted.toml))
    }

    fn with_uploads() -> Value {
        json!({
            "CAMERA_NAME": "Front Door",
            "VIDEO_FRAMERATE": 30,
            "VIDEO_ROTATION": 180,
            "VIDEO_DATE_FORMAT": "%d.%m.%Y %H:%M",
            "MJPEG_SIZE": [800, 600],
            "MAX_EVENT_TIME": 90,
            "RECORDING_PADDING": 4.5,
            "DESTINATIONS": {
                "disk": { "size": [820, 616] },
                "dropbox": {
                    "token": "s3cret", "file_chunk_kb": 1024, "public_key_path": "/keys/public.pem", "size": [1640, 1232]
                }
            },
            "DIR_DAY_FORMAT": "%Y-%m-%d",
            "DIR_TIME_FORMAT": "%H.%M.%S",
            "SERVO_ANGLE_ON": 105,
            "SERVO_ANGLE_OFF": 5,
            "WEB_APP_ENABLED": false
        })
    }

    #[test]
    fn a_1_x_configuration_becomes_one_that_loads() {
        let converted = convert(with_uploads().to_string().as_bytes()).unwrap();
        let config = load(&converted);
        let camera = &config.cameras["front-door"];
        assert_eq!(camera.label, "Front Door");
        assert_eq!((camera.size, camera.fps, camera.rotation), (Resolution::new(1640, 1232), 30, 180));
        assert_eq!(camera.disk.size, Some(Resolution::new(820, 616)));
        assert_eq!(camera.annotation.time_format, "%d.%m.%Y %H:%M");
        assert_eq!((camera.motion.max_event_time_s, camera.motion.recording_padding_s), (90.0, 4.5));
        assert_eq!((config.web.web_app, config.storage.max_used), (false, Some(0.8)));
        let upload = camera.upload.as_ref().unwrap();
        assert_eq!((upload.stream.size, upload.file_chunk_kb), (Some(Resolution::new(1640, 1232)), 1024));
        assert_eq!(upload.public_key_path.as_deref(), Some(Path::new("/keys/public.pem")));
        let token_file = "/etc/watchtower/dropbox.token".into();
        assert_eq!(config.upload.dropbox.unwrap().auth, crate::config::DropboxAuth::Token { token_file });
        let Source::Command(words) = &camera.source else { panic!("{:?}", camera.source) };
        assert_eq!(words[0], "rpicam-vid");
        assert!(words.windows(2).any(|pair| pair == ["--width", "1640"]), "{words:?}");

        let notes = converted.notes.join("\n");
        for part in ["dropbox", "SERVO_ANGLE_ON", "SERVO_ANGLE_OFF", "MJPEG_SIZE", "source is a guess"] {
            assert!(notes.contains(part), "{part} is not in:\n{notes}");
            assert!(converted.toml.contains(part));
        }
        assert!(!notes.contains("DIR_DAY_FORMAT"), "{notes}");
        assert!(!notes.contains("s3cret") && !converted.toml.contains("s3cret"));
    }

    #[test]
    fn the_older_names_of_the_motion_keys_are_known() {
        let old = json!({
            "CAMERA_NAME": "room0", "VIDEO_SIZE": [1280, 720], "MOTION_SENSITIVITY": 0.7, "MOTION_MIN_TRIGGER_AREA": 0.005,
            "MOTION_MAX_EVENT_TIME": 45, "MOTION_RECORDING_PADDING": 6, "MICRO_ENABLED": true,
        });
        let camera = load(&convert(old.to_string().as_bytes()).unwrap()).cameras["room0"].clone();
        let motion = camera.motion;
        assert_eq!((motion.sensitivity, motion.min_trigger_area), (0.7, 0.00025));
        assert_eq!((motion.max_event_time_s, motion.recording_padding_s), (45.0, 6.0));
        assert_eq!((camera.size, camera.disk.size), (Resolution::new(1280, 720), None));
    }

    #[test]
    fn a_value_that_is_refused_is_said_and_left_at_its_default() {
        let old = json!({
            "CAMERA_NAME": "room0", "VIDEO_FRAMERATE": 400, "VIDEO_ROTATION": "up", "MAX_EVENT_TIME": 3,
            "DESTINATIONS": { "disk": { "size": [1641, 1232] }, "ftp": {}, "dropbox": { "file_chunk_kb": 7 } }, "WHATEVER": 1
        });
        let converted = convert(old.to_string().as_bytes()).unwrap();
        let camera = load(&converted).cameras["room0"].clone();
        assert_eq!((camera.fps, camera.size, camera.motion.max_event_time_s), (15, Resolution::new(1280, 720), 60.0));
        let notes = converted.notes.join("\n");
        for part in [
            "VIDEO_FRAMERATE = 400: must be between 1 and 120",
            "VIDEO_ROTATION = \"up\"",
            "MAX_EVENT_TIME = 3 is not longer than the padding (8 s)",
            "DESTINATIONS.disk.size: width and height must be even",
            "DESTINATIONS.ftp: there is no such destination",
            "DESTINATIONS.dropbox.file_chunk_kb = 7: must be between 64 and 65536",
            "WHATEVER: there is no counterpart",
        ] {
            assert!(notes.contains(part), "{part} is not in:\n{notes}");
        }
    }

    #[test]
    fn what_is_no_1_x_configuration_is_refused() {
        assert!(matches!(convert(b"[cameras.front]"), Err(V1Error::Json(_))));
        assert!(matches!(convert(b"{\"version\": 1}"), Err(V1Error::Foreign)));
    }

    proptest! {
        #[test]
        fn whatever_is_converted_loads(
            name in "\\PC{0,40}", fps in any::<i32>(), padding in -5.0..100.0f64, longest in -5.0..5000.0f64,
            width in 0..5000u32, height in 0..5000u32, other in "[A-Z\\n\"#_]{1,20}", format in "[%a-zA-Z ]{0,12}",
        ) {
            let old = json!({
                "CAMERA_NAME": name, "VIDEO_FRAMERATE": fps, "RECORDING_PADDING": padding, "MAX_EVENT_TIME": longest,
                "DESTINATIONS": { "disk": { "size": [width, height] } }, "VIDEO_DATE_FORMAT": format, other: format,
            });
            load(&convert(old.to_string().as_bytes()).unwrap());
        }
    }
}
