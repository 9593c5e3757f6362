//! Settings on disk: one small JSON file per camera, replaced by rename, read again at start.
//!
//! Only what differs from the declared start values is kept, so that a change of the configuration is felt where the
//! web has never changed anything.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Change, MotionOverrides, PictureSettings};

/// What a camera remembers over a restart.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredSettings {
    /// The picture settings in force.
    pub picture: PictureSettings,
    /// Whether motion is watched for.
    pub monitoring: bool,
    /// What of the motion settings is not as configured. Read as it was saved: whether it makes sense, `config` knows.
    pub motion: MotionOverrides,
    /// The picture settings before anybody changed any.
    initial: PictureSettings,
}

impl StoredSettings {
    /// Settings that nobody has changed, with the configured rotation in degrees; monitoring is on.
    pub fn new(rotation: u32) -> Self {
        // One of 0, 90, 180, 270: the configuration has been checked.
        let initial = PictureSettings { rotation: rotation as i32, ..PictureSettings::default() };
        Self { picture: initial.clone(), monitoring: true, motion: MotionOverrides::default(), initial }
    }
}

/// The file's content.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Content {
    monitoring: bool,
    /// Picture settings that differ from the start values.
    picture: Change,
    #[serde(default, skip_serializing_if = "MotionOverrides::is_empty")]
    motion: MotionOverrides,
}

/// A camera's settings file.
#[derive(Clone, Debug)]
pub struct SettingsFile {
    folder: PathBuf,
    name: String,
}

impl SettingsFile {
    /// The file of this camera in this folder, which is made if need be. Blocks.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn new(folder: &Path, camera: &str) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), name: camera.to_owned() })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.json", self.name))
    }

    /// What was saved last; without a file, the start values with this rotation in degrees. Blocks.
    ///
    /// Settings are never a reason not to start: a file that makes no sense is set aside as `NAME.json.corrupt`.
    pub fn load(&self, rotation: u32) -> StoredSettings {
        let path = self.path();
        let fresh = StoredSettings::new(rotation);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return fresh,
            Err(e) => {
                tracing::warn!("{}: {e}: start values are used", path.display());
                return fresh;
            }
        };
        Self::understand(&bytes, &fresh).unwrap_or_else(|reason| {
            let aside = path.with_extension("json.corrupt");
            let done = match fs::rename(&path, &aside) {
                Ok(()) => format!("set aside as {}", aside.display()),
                Err(e) => format!("cannot be set aside ({e})"),
            };
            tracing::warn!("{}: {reason}: {done}, start values are used", path.display());
            fresh
        })
    }

    fn understand(bytes: &[u8], fresh: &StoredSettings) -> Result<StoredSettings, String> {
        let content: Content = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        let picture = fresh.initial.changed_by(&content.picture).map_err(|e| e.to_string())?;
        let Content { monitoring, motion, .. } = content;
        Ok(StoredSettings { picture, monitoring, motion, initial: fresh.initial.clone() })
    }

    /// Saves, so that after a crash or a power cut the file holds either these settings or those before. Blocks until they
    /// are on stable storage.
    ///
    /// # Errors
    /// Whatever the file system says; the settings saved before are still there.
    pub fn save(&self, stored: &StoredSettings) -> io::Result<()> {
        let values = |settings: &PictureSettings| match serde_json::to_value(settings)? {
            Value::Object(values) => Ok(values),
            other => Err(io::Error::other(format!("settings became {other}"))),
        };
        let initial = values(&stored.initial)?;
        let picture = values(&stored.picture)?.into_iter().filter(|(name, value)| initial.get(name) != Some(value));
        let motion = stored.motion.clone();
        let content = Content { monitoring: stored.monitoring, picture: picture.collect(), motion };
        let mut bytes = serde_json::to_vec_pretty(&content)?;
        bytes.push(b'\n');

        let new = self.folder.join(format!("{}.json.new", self.name));
        let mut file = File::create(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, self.path())?;
        // The rename itself is on stable storage only once the folder is.
        File::open(&self.folder)?.sync_all()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, SettingsFile) {
        let folder = tempfile::tempdir().unwrap();
        let file = SettingsFile::new(&folder.path().join("settings"), "front").unwrap();
        (folder, file)
    }

    #[test]
    fn what_is_saved_comes_back() {
        let (_folder, file) = folder();
        let mut stored = file.load(90);
        assert_eq!((stored.monitoring, stored.picture.rotation), (true, 90));
        stored.monitoring = false;
        stored.picture.contrast = -20;
        stored.picture.exposure_mode = "night".to_owned();
        stored.motion.sensitivity = Some(0.7);
        let points = vec![[0.0, 0.1], [1.0, 0.3], [0.7, 1.0]];
        stored.motion.zones = Some(vec![super::super::Zone { name: "road".into(), include: false, points }]);
        file.save(&stored).unwrap();
        assert_eq!(file.load(90), stored);
        let left: Vec<_> = fs::read_dir(&file.folder).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["front.json"]);
    }

    #[test]
    fn the_configured_rotation_holds_until_the_web_sets_another() {
        let (_folder, file) = folder();
        let mut stored = file.load(90);
        stored.monitoring = false;
        file.save(&stored).unwrap();
        assert_eq!(file.load(180).picture.rotation, 180);
        stored.picture.rotation = 0;
        file.save(&stored).unwrap();
        assert_eq!(file.load(180).picture.rotation, 0);
    }

    #[test]
    fn a_file_that_makes_no_sense_is_set_aside_and_start_values_are_used() {
        for content in [
            &b""[..],
            b"{\"monitoring\": false, \"pict",
            b"\xff\0\0",
            b"{\"monitoring\": true, \"picture\": {\"brightness\": 900}}",
            b"{\"monitoring\": true, \"picture\": {}, \"more\": 1}",
        ] {
            let (_folder, file) = folder();
            fs::write(file.path(), content).unwrap();
            assert_eq!(file.load(0), StoredSettings::new(0));
            assert_eq!(fs::read(file.folder.join("front.json.corrupt")).unwrap(), content);
            assert!(!file.path().exists());
        }
    }

    #[test]
    fn a_save_that_fails_leaves_what_was_saved_before() {
        let (_folder, file) = folder();
        let mut stored = file.load(0);
        stored.picture.iso = 400;
        file.save(&stored).unwrap();
        // A folder where the new file would go: it cannot be created, whoever runs this.
        fs::create_dir(file.folder.join("front.json.new")).unwrap();
        let mut other = stored.clone();
        other.picture.iso = 800;
        assert!(file.save(&other).is_err());
        assert_eq!(file.load(0), stored);
    }

    #[test]
    fn a_file_that_cannot_be_read_is_never_fatal() {
        let (_folder, file) = folder();
        fs::create_dir(file.path()).unwrap();
        assert_eq!(file.load(270), StoredSettings::new(270));
    }
}
