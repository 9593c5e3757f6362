//! From the file's tables to the checked types: every value's range, and what does not go together.
//!
//! Every fault is said; where there is one the default stands in, so that the rest can be checked too.

use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};

use toml::Spanned;

use super::fault::{self, Faults};
use super::file::{CameraTable, Field, FileTable, MicrocontrollerTable, ZoneTable};
use super::value::{
    MAX_EVENT_TIME_S, PART, RECORDING_PADDING_S, camera_name, encoder, log_filter, number, one_line, polygon,
    resolution, rotation, time_format, whole,
};
use super::{
    Annotation, CameraConfig, Config, DEFAULT_LOG, FPS, KBIT, Microcontroller, MotionConfig, Storage, StreamConfig,
    UploadConfig, Zone, bytes,
};
use crate::camera::Source;
use crate::media::Resolution;

mod web;

/// Less than this is gone in seconds.
const MIN_STORAGE_BYTES: u64 = 10_000_000;
pub(super) const MIN_FRAMES: RangeInclusive<u32> = 1..=100;
const MAX_AGE_DAYS: RangeInclusive<u32> = 1..=36_500;
const MAX_USED: RangeInclusive<f32> = 0.1..=0.99;
const MAX_CAMERAS: usize = 64;
pub(super) const MAX_ZONES: usize = 32;

/// The configuration as far as it can be understood; `None` without a camera. Whether it is right is in `faults`.
pub(super) fn config(file: &FileTable, folder: &Path, faults: &mut Faults) -> Option<Config> {
    let mut check = Check { folder, faults };
    let storage = check.storage(file);
    let web = check.web(file);
    let upload = check.upload(&file.upload);
    let log = check.field("log", &file.log, DEFAULT_LOG.to_owned(), |log| log_filter(log));
    let cameras: BTreeMap<String, CameraConfig> = file
        .cameras
        .iter()
        .take(MAX_CAMERAS)
        .map(|(name, table)| (name.get_ref().clone(), check.camera(name, table, &upload)))
        .collect();
    if let Some((name, _)) = file.cameras.iter().nth(MAX_CAMERAS) {
        check.faults.key("cameras", name.span(), format!("more than {MAX_CAMERAS} cameras"));
    }
    check.devices(file, &cameras);
    check.one_microcontroller(file);
    check.upload_folders(file, &cameras);
    let default_camera = check.default_camera(file)?;
    Some(Config { storage, web, upload, cameras, default_camera, log })
}

pub(super) struct Check<'a, 'b> {
    pub(super) folder: &'a Path,
    pub(super) faults: &'a mut Faults<'b>,
}

impl Check<'_, '_> {
    /// The converted value of a key, or the default where it is left out or wrong.
    pub(super) fn field<T, U>(
        &mut self,
        key: &str,
        field: &Field<T>,
        default: U,
        convert: impl FnOnce(&T) -> Result<U, String>,
    ) -> U {
        match field.as_ref().map(|field| (field.span(), convert(field.get_ref()))) {
            None => default,
            Some((_, Ok(value))) => value,
            Some((span, Err(reason))) => {
                self.faults.value(key, span, reason);
                default
            }
        }
    }

    fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        self.folder.join(path)
    }

    fn storage(&mut self, file: &FileTable) -> Storage {
        let table = &file.storage;
        let default = Storage::default();
        let folder = self.folder;
        Storage {
            path: self.field("storage.path", &table.path, default.path, |path| match path.as_str() {
                "" => Err("must not be empty".to_owned()),
                path => Ok(folder.join(path)),
            }),
            max_bytes: self.field("storage.max_size", &table.max_size, default.max_bytes, |text| {
                match bytes::parse(text)? {
                    bytes if bytes < MIN_STORAGE_BYTES => Err("must be at least \"10 MB\"".to_owned()),
                    bytes => Ok(Some(bytes)),
                }
            }),
            max_age_days: self.field("storage.max_age_days", &table.max_age_days, default.max_age_days, |&days| {
                whole(days, MAX_AGE_DAYS).map(Some)
            }),
            max_used: self
                .field("storage.max_used", &table.max_used, default.max_used, |&used| number(used, MAX_USED).map(Some)),
        }
    }

    fn camera(&mut self, name: &Spanned<String>, table: &CameraTable, upload: &UploadConfig) -> CameraConfig {
        let key = format!("cameras.{}", name.get_ref().escape_debug());
        if let Err(reason) = camera_name(name.get_ref()) {
            self.faults.key(&key, name.span(), reason);
        }
        let source = self.source(&key, name.span(), table);
        let default = CameraConfig::new(name.get_ref(), source);
        let size = self.field(&format!("{key}.size"), &table.size, default.size, |size| resolution(size));
        let motion = self.motion(&key, table);
        // What a network camera or a clip gives is only known once it runs.
        let known = !matches!(default.source, Source::Http { .. } | Source::Clip { .. });
        let whole_size = known.then_some(size);
        let disk = self.stream(&format!("{key}.disk"), (&table.disk.size, &table.disk.kbit), default.disk, whole_size);
        // Like the recording, so that while it is recorded nothing is encoded for viewers.
        let live = self.stream(&format!("{key}.live"), (&table.live.size, &table.live.kbit), disk.clone(), whole_size);
        CameraConfig {
            label: self.field(&format!("{key}.label"), &table.label, default.label, |label| one_line(label)),
            size,
            fps: self.field(&format!("{key}.fps"), &table.fps, default.fps, |&fps| whole(fps, FPS)),
            rotation: self.field(&format!("{key}.rotation"), &table.rotation, default.rotation, |&v| rotation(v)),
            annotation: self.annotation(&key, table),
            motion,
            zones: self.zones(&key, &table.zones),
            disk,
            live,
            upload: table.upload.as_ref().map(|table| self.camera_upload(&key, table, upload, whole_size)),
            record_always: self.field(
                &format!("{key}.record_always"),
                &table.record_always,
                default.record_always,
                |&v| Ok(v),
            ),
            encoder: self.field(&format!("{key}.encoder"), &table.encoder, default.encoder, |name| encoder(name)),
            microcontroller: table.microcontroller.as_ref().map(|table| self.microcontroller(&key, table.get_ref())),
            name: default.name,
            source: default.source,
        }
    }

    fn microcontroller(&mut self, camera: &str, table: &MicrocontrollerTable) -> Microcontroller {
        let default = Microcontroller::default();
        let folder = self.folder;
        let angle = |degrees: &i64| whole(*degrees, 0..=180).map(|degrees| Some(degrees as u8));
        let key = |name| format!("{camera}.microcontroller.{name}");
        Microcontroller {
            socket: self.field(&key("socket"), &table.socket, default.socket, |path| match path.as_str() {
                "" => Err("must not be empty".to_owned()),
                path => Ok(folder.join(path)),
            }),
            servo_on: self.field(&key("servo_on"), &table.servo_on, None, angle),
            servo_off: self.field(&key("servo_off"), &table.servo_off, None, angle),
        }
    }

    /// The light is one camera's.
    fn one_microcontroller(&mut self, file: &FileTable) {
        let mut owners = file.cameras.iter().filter_map(|(name, table)| Some((name, table.microcontroller.as_ref()?)));
        let Some((first, _)) = owners.next() else { return };
        for (name, table) in owners {
            let key = format!("cameras.{}.microcontroller", name.get_ref().escape_debug());
            let reason =
                format!("the microcontroller belongs to camera {} already: leave it out here", first.get_ref());
            self.faults.key(&key, table.span(), reason);
        }
    }

    fn source(&mut self, camera: &str, at: Range<usize>, table: &CameraTable) -> Source {
        let key = format!("{camera}.source");
        let source = match &table.source {
            Some(text) => match text.get_ref().parse::<Source>() {
                Ok(source) => Some(source),
                Err(reason) => {
                    // The reason says what was written as far as it is no secret.
                    self.faults.key(&key, text.span(), reason.to_string());
                    None
                }
            },
            None => {
                if !self.faults.about(&key) {
                    self.faults.key(&key, at, "is missing: for example source = \"v4l2:/dev/video0\"");
                }
                None
            }
        };
        let credentials = table.credentials_file.as_ref();
        match (source, credentials) {
            (Some(Source::Http { url, .. }), credentials) => {
                Source::Http { url, credentials_file: credentials.map(|file| self.path(file.get_ref())) }
            }
            (Some(source), credentials) => {
                if let Some(file) = credentials {
                    let reason = "only a camera on the network (http:// or https://) has credentials";
                    self.faults.value(&format!("{camera}.credentials_file"), file.span(), reason);
                }
                match source {
                    Source::V4l2(device) => Source::V4l2(self.path(device)),
                    Source::Clip { path, looped } => Source::Clip { path: self.path(path), looped },
                    Source::Command(mut words) => {
                        // As in a shell: a name without a slash is looked for in PATH.
                        if let Some(program) = words.first_mut().filter(|program| program.contains('/')) {
                            *program = self.path(&*program).to_string_lossy().into_owned();
                        }
                        Source::Command(words)
                    }
                    source => source,
                }
            }
            (None, _) => Source::Pattern,
        }
    }

    fn annotation(&mut self, camera: &str, table: &CameraTable) -> Annotation {
        let table = &table.annotation;
        let default = Annotation::default();
        Annotation {
            enabled: self.field(&format!("{camera}.annotation.enabled"), &table.enabled, default.enabled, |&v| Ok(v)),
            time_format: self.field(
                &format!("{camera}.annotation.time_format"),
                &table.time_format,
                default.time_format,
                |format| time_format(format),
            ),
        }
    }

    fn motion(&mut self, camera: &str, table: &CameraTable) -> MotionConfig {
        let table = &table.motion;
        let default = MotionConfig::default();
        let key = |name: &str| format!("{camera}.motion.{name}");
        let max_event_time_s =
            self.field(&key("max_event_time_s"), &table.max_event_time_s, default.max_event_time_s, |&s| {
                number(s, MAX_EVENT_TIME_S)
            });
        let padding = &table.recording_padding_s;
        let recording_padding_s = self.field(&key("recording_padding_s"), padding, default.recording_padding_s, |&s| {
            number(s, RECORDING_PADDING_S)
        });
        if recording_padding_s >= max_event_time_s {
            let reason = format!(
                "the padding ({recording_padding_s} s) must be less than max_event_time_s ({max_event_time_s} s)"
            );
            match (padding, &table.max_event_time_s) {
                (Some(padding), _) => self.faults.value(&key("recording_padding_s"), padding.span(), reason),
                (None, Some(time)) => self.faults.value(&key("max_event_time_s"), time.span(), reason),
                (None, None) => self.faults.missing(&key("recording_padding_s"), reason),
            }
        }
        MotionConfig {
            sensitivity: self.field(&key("sensitivity"), &table.sensitivity, default.sensitivity, |&v| number(v, PART)),
            min_trigger_area: self.field(
                &key("min_trigger_area"),
                &table.min_trigger_area,
                default.min_trigger_area,
                |&v| number(v, PART),
            ),
            recording_padding_s,
            max_event_time_s,
            min_frames: self
                .field(&key("min_frames"), &table.min_frames, default.min_frames, |&frames| whole(frames, MIN_FRAMES)),
        }
    }

    fn zones(&mut self, camera: &str, tables: &[Spanned<ZoneTable>]) -> Vec<Zone> {
        let mut zones: Vec<Zone> = Vec::new();
        for (n, table) in tables.iter().enumerate() {
            let key = format!("{camera}.zones[{n}]");
            let (at, table) = (table.span(), table.get_ref());
            let name = self.field(&format!("{key}.name"), &table.name, format!("zone-{}", n + 1), |name| {
                let name = one_line(name)?;
                match zones.iter().any(|zone| zone.name == name) {
                    true => Err("another zone of this camera has this name".to_owned()),
                    false => Ok(name),
                }
            });
            let include = self.field(&format!("{key}.include"), &table.include, true, |&v| Ok(v));
            let points_key = format!("{key}.points");
            if table.points.is_none() && !self.faults.about(&points_key) {
                let reason = "is missing: for example points = [[0, 0.5], [1, 0.5], [1, 1], [0, 1]]";
                self.faults.key(&points_key, at, reason);
            }
            let points = self.field(&points_key, &table.points, Vec::new(), |points| polygon(points));
            zones.push(Zone { name, include, points });
        }
        if let Some(extra) = tables.get(MAX_ZONES) {
            self.faults.key(&format!("{camera}.zones"), extra.span(), format!("more than {MAX_ZONES} zones"));
        }
        zones
    }

    /// The size and bit rate of one encoding, in the table `key`. `whole_size`: the camera's, where it is known.
    pub(super) fn stream(
        &mut self,
        key: &str,
        (size, kbit): (&Field<String>, &Field<i64>),
        default: StreamConfig,
        whole_size: Option<Resolution>,
    ) -> StreamConfig {
        let size = self.field(&format!("{key}.size"), size, default.size, |size| {
            let size = resolution(size)?;
            let longer = |whole: &Resolution| size.width.max(size.height) > whole.width.max(whole.height);
            if let Some(whole) = whole_size.filter(longer) {
                let camera = key.rsplit_once('.').map_or(key, |(camera, _)| camera);
                return Err(format!(
                    "is larger than the camera's size ({whole}), and pictures are never enlarged: set {camera}.size too"
                ));
            }
            Ok(Some(size))
        });
        let kbit = self.field(&format!("{key}.kbit"), kbit, default.kbit, |&kbit| whole(kbit, KBIT));
        StreamConfig { size, kbit }
    }

    /// A device can be open once only.
    fn devices(&mut self, file: &FileTable, cameras: &BTreeMap<String, CameraConfig>) {
        let mut taken: BTreeMap<PathBuf, &str> = BTreeMap::new();
        for (name, table) in &file.cameras {
            let Some(CameraConfig { name, source: Source::V4l2(device), .. }) = cameras.get(name.get_ref()) else {
                continue;
            };
            // Names below /dev/v4l are links. A device that is not plugged in has only the name it was given.
            let device = std::fs::canonicalize(device).unwrap_or_else(|_| device.clone());
            if let (Some(other), Some(source)) = (taken.get(&device), &table.source) {
                let reason = format!("is the device of cameras.{other} too; a device serves one camera");
                self.faults.value(&format!("cameras.{name}.source"), source.span(), reason);
            } else {
                taken.insert(device, name);
            }
        }
    }

    fn default_camera(&mut self, file: &FileTable) -> Option<String> {
        const KEY: &str = "default_camera";
        let names = || file.cameras.keys().map(|name| name.get_ref().as_str());
        let list = || names().map(str::escape_debug).map(|name| format!("'{name}'")).collect::<Vec<_>>().join(", ");
        if file.cameras.is_empty() {
            if self.faults.is_empty() {
                let reason = "there is no camera: add a table [cameras.NAME] with a source";
                self.faults.missing("cameras", reason);
            }
            return None;
        }
        if let Some(wanted) = &file.default_camera {
            if names().all(|name| name != wanted.get_ref()) {
                let reason = match fault::nearest(wanted.get_ref(), names()) {
                    Some(near) => format!("no such camera; did you mean '{near}'?"),
                    None => format!("no such camera; there are {}", list()),
                };
                self.faults.value(KEY, wanted.span(), reason);
            }
            return Some(wanted.get_ref().clone());
        }
        if file.cameras.len() > 1 && !self.faults.about(KEY) {
            let reason = format!("is missing: with several cameras, say which of {} is served at /", list());
            self.faults.missing(KEY, reason);
        }
        names().next().map(str::to_owned)
    }
}
