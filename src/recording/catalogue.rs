//! The names of all recordings, in memory, with what is already known of each. Found by reading folder names alone, so that
//! ten thousand recordings do not delay the start.

use std::collections::BTreeMap;
use std::io;

use jiff::civil::{Date, Time};

use super::details::Recording;
use super::folder::Folder;
use super::id::{RecordingId, is_camera_name, parse_day, parse_time};

/// A recording that is being deleted has this before its name, so that it is gone at once and for good.
pub(super) const LEFTOVER: &str = ".deleted-";

/// A day and its recordings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day.
    pub day: Date,
    /// Times of its recordings, newest first.
    pub times: Vec<Time>,
}

/// What is known of a recording besides its name.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Read when somebody first asks.
    pub details: Option<Recording>,
    /// The writer has it.
    pub writing: bool,
}

/// Recordings by camera and name.
#[derive(Debug, Default)]
pub(super) struct Catalogue(BTreeMap<String, BTreeMap<RecordingId, Entry>>);

impl Catalogue {
    /// Reads the names. A camera that cannot be read is skipped and named in the log.
    pub fn read(top: &Folder) -> io::Result<Self> {
        let mut catalogue = BTreeMap::new();
        for camera in top.folders()? {
            if parse_day(&camera).is_ok() {
                tracing::warn!("recordings/{camera} lies where 1.x had it: move it to recordings/CAMERA/{camera}");
            } else if is_camera_name(&camera) {
                let mut ids = BTreeMap::new();
                if let Err(error) = read_camera(top, &camera, &mut ids) {
                    tracing::warn!(%error, "recordings/{camera} cannot be read");
                }
                catalogue.insert(camera, ids);
            }
        }
        Ok(Self(catalogue))
    }

    /// Takes over what was found on the disk now, where `before` is what was known when the search began.
    pub fn merge(&mut self, before: &[(String, RecordingId)], mut found: Catalogue) {
        for (camera, id) in before {
            // What came since then is in neither list, and stays.
            if found.0.get_mut(camera).and_then(|ids| ids.remove(id)).is_none() {
                self.forget(camera, *id);
            }
        }
        for (camera, ids) in found.0 {
            let known = self.0.entry(camera).or_default();
            for (id, entry) in ids {
                known.entry(id).or_insert(entry);
            }
        }
    }

    /// Every recording of every camera.
    pub fn all(&self) -> impl Iterator<Item = (&str, RecordingId, &Entry)> {
        self.0.iter().flat_map(|(camera, ids)| ids.iter().map(|(id, entry)| (camera.as_str(), *id, entry)))
    }

    /// A camera's recordings, oldest first.
    pub fn of(&self, camera: &str) -> impl DoubleEndedIterator<Item = (RecordingId, &Entry)> {
        self.0.get(camera).into_iter().flatten().map(|(id, entry)| (*id, entry))
    }

    /// A camera's recordings of one day, oldest first.
    pub fn of_day(&self, camera: &str, day: Date) -> impl DoubleEndedIterator<Item = RecordingId> {
        let whole_day = RecordingId { day, time: Time::MIN }..=RecordingId { day, time: Time::MAX };
        self.0.get(camera).into_iter().flat_map(move |ids| ids.range(whole_day.clone())).map(|(id, _)| *id)
    }

    /// A camera's days, newest first.
    pub fn days(&self, camera: &str) -> Vec<Day> {
        let mut days: Vec<Day> = Vec::new();
        for (id, _) in self.of(camera).rev() {
            match days.last_mut() {
                Some(last) if last.day == id.day => last.times.push(id.time),
                _ => days.push(Day { day: id.day, times: vec![id.time] }),
            }
        }
        days
    }

    /// One recording.
    pub fn get(&mut self, camera: &str, id: RecordingId) -> Option<&mut Entry> {
        self.0.get_mut(camera)?.get_mut(&id)
    }

    /// A new recording, or another one of a name that is free again.
    pub fn insert(&mut self, camera: &str, id: RecordingId, entry: Entry) {
        self.0.entry(camera.to_owned()).or_default().insert(id, entry);
    }

    /// A recording is gone; one that is being written is not.
    pub fn forget(&mut self, camera: &str, id: RecordingId) {
        if let Some(ids) = self.0.get_mut(camera)
            && ids.get(&id).is_some_and(|entry| !entry.writing)
        {
            ids.remove(&id);
        }
    }
}

fn read_camera(top: &Folder, camera: &str, ids: &mut BTreeMap<RecordingId, Entry>) -> io::Result<()> {
    let camera = top.folder(camera)?;
    for name in camera.folders()? {
        let Ok(day) = parse_day(&name) else { continue };
        for name in camera.folder(&name)?.folders()? {
            let Ok(time) = parse_time(&name) else { continue };
            ids.insert(RecordingId { day, time }, Entry::default());
        }
    }
    Ok(())
}

/// Finishes what deletions left behind when the power failed.
pub(super) fn remove_leftovers(top: &Folder) -> io::Result<()> {
    for camera in top.folders()?.iter().filter(|name| is_camera_name(name)) {
        let camera = top.folder(camera)?;
        for day in camera.folders()?.iter().filter(|name| parse_day(name).is_ok()) {
            let day = camera.folder(day)?;
            let is_leftover = |name: &&String| name.strip_prefix(LEFTOVER).is_some_and(|time| parse_time(time).is_ok());
            day.folders()?.iter().filter(is_leftover).try_for_each(|name| day.remove_folder(name))?;
        }
    }
    Ok(())
}
