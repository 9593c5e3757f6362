//! Makes room: which recordings have to go (a pure decision), and their deletion through the store.
//!
//! The oldest go first, never one that is being written, never a protected one. Whatever else fills the disk is not
//! touched.

use std::time::Duration;

use jiff::Timestamp;

use super::id::RecordingId;
use super::store::{Recording, Space, Store, StoreError};
use crate::clock;
use crate::config::Storage;

/// The rate of writing is taken from this time.
const RATE_OVER: Duration = Duration::from_secs(24 * 3600);

/// Why a recording had to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// All recordings together took too much.
    Bytes,
    /// It was too old.
    Age,
    /// The file system was too full.
    Used,
}

/// A recording that was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// Its camera.
    pub camera: String,
    /// Its name.
    pub id: RecordingId,
    /// What it took.
    pub bytes: u64,
    /// Why.
    pub why: Why,
}

/// What was done, and how much room there is then.
#[derive(Clone, Debug, PartialEq)]
pub struct Retained {
    /// What had to go.
    pub removed: Vec<Removed>,
    /// Recordings that are left.
    pub recordings: usize,
    /// What they take together.
    pub bytes: u64,
    /// Of the file system.
    pub space: Space,
    /// Bytes written per hour, over the last day.
    pub bytes_per_hour: f64,
}

impl Retained {
    /// Hours until the file system is full when nothing is deleted, at the rate of the last day; `None` when nothing was
    /// recorded then.
    pub fn headroom_h(&self) -> Option<f64> {
        (self.bytes_per_hour > 0.0).then(|| self.space.free_bytes as f64 / self.bytes_per_hour)
    }
}

impl Store {
    /// Deletes what the configuration no longer lets stay. Blocks on the disk. One that cannot be deleted keeps no
    /// other from it.
    ///
    /// # Errors
    /// The first failure, after all that could be deleted has been.
    pub fn retain(&self, storage: &Storage) -> Result<Retained, StoreError> {
        self.retain_at(storage, Timestamp::now(), clock::is_synchronised())
    }

    fn retain_at(&self, storage: &Storage, now: Timestamp, clock_is_right: bool) -> Result<Retained, StoreError> {
        let mut recordings = self.oldest_first();
        let space = self.space()?;
        let bytes_per_hour = rate(recordings.iter().map(|(_, recording)| recording), now);
        let known: Vec<_> = recordings.iter().map(|(_, recording)| recording).collect();
        let mut doomed = doomed(&known, storage, space, clock_is_right.then_some(now)).into_iter().peekable();
        let (mut removed, mut failed, mut at) = (Vec::new(), None, 0);
        recordings.retain(|(camera, recording)| {
            let doomed = doomed.next_if(|(doomed, _)| *doomed == at);
            at += 1;
            let Some((_, why)) = doomed else { return true };
            let (id, bytes) = (recording.id, recording.bytes);
            match self.delete(camera, id) {
                Ok(()) => {
                    tracing::info!(camera, %id, bytes, ?why, "old recording deleted");
                    removed.push(Removed { camera: camera.clone(), id, bytes, why });
                    false
                }
                Err(StoreError::NotFound) => false,
                // Since it was looked at.
                Err(StoreError::Protected | StoreError::BeingWritten) => true,
                Err(error) => {
                    failed.get_or_insert(error);
                    true
                }
            }
        });
        if let Some(error) = failed {
            return Err(error);
        }
        Ok(Retained {
            recordings: recordings.len(),
            bytes: recordings.iter().map(|(_, recording)| recording.bytes).sum(),
            space: if removed.is_empty() { space } else { self.space()? },
            removed,
            bytes_per_hour,
        })
    }

    /// All recordings of all cameras in the order of their events; those of 1.x, which have no number, first.
    fn oldest_first(&self) -> Vec<(String, Recording)> {
        let named: Vec<_> = {
            let catalogue = self.catalogue();
            catalogue.all().map(|(camera, id, entry)| (camera.to_owned(), id, entry.details.clone())).collect()
        };
        let read = |(camera, id, known): (String, RecordingId, Option<Recording>)| {
            let recording = known.or_else(|| self.recording(&camera, id).ok())?;
            Some((camera, recording))
        };
        let mut recordings: Vec<_> = named.into_iter().filter_map(read).collect();
        recordings.sort_by_key(|(_, recording)| (recording.event, recording.part, recording.id));
        recordings
    }
}

/// Which of `recordings` (oldest first) have to go, by their place. `now` is `None` while the clock is not known to be
/// right: then nothing has an age.
fn doomed(recordings: &[&Recording], storage: &Storage, space: Space, now: Option<Timestamp>) -> Vec<(usize, Why)> {
    let bytes: u64 = recordings.iter().map(|recording| recording.bytes).sum();
    let used = space.total_bytes.saturating_sub(space.free_bytes);
    let most = |share: f32| (space.total_bytes as f64 * f64::from(share)) as u64;
    // What still has to be freed for each rule.
    let mut over_bytes = storage.max_bytes.map_or(0, |max| bytes.saturating_sub(max));
    let mut over_used = storage.max_used.map_or(0, |share| used.saturating_sub(most(share)));
    let too_old = |recording: &Recording| {
        let (Some(now), Some(days)) = (now, storage.max_age_days) else { return false };
        let end = recording.start.as_second().saturating_add_unsigned(recording.duration.as_secs());
        recording.times_known && now.as_second().saturating_sub(end) > i64::from(days) * 24 * 3600
    };
    let mut doomed = Vec::new();
    for (at, recording) in recordings.iter().enumerate().filter(|(_, r)| !r.writing && !r.protected) {
        let why = if too_old(recording) {
            Why::Age
        } else if over_bytes > 0 {
            Why::Bytes
        } else if over_used > 0 {
            Why::Used
        } else {
            continue;
        };
        over_bytes = over_bytes.saturating_sub(recording.bytes);
        over_used = over_used.saturating_sub(recording.bytes);
        doomed.push((at, why));
    }
    doomed
}

/// Bytes per hour over the last day, or since the first recording where that is shorter (but an hour at least).
fn rate<'a>(recordings: impl Iterator<Item = &'a Recording>, now: Timestamp) -> f64 {
    let (mut bytes, mut longest_s) = (0, 3600.0f64);
    for recording in recordings.filter(|recording| recording.times_known) {
        let age_s = now.as_second().saturating_sub(recording.start.as_second()) as f64;
        longest_s = longest_s.max(age_s);
        if (0.0..=RATE_OVER.as_secs_f64()).contains(&age_s) {
            bytes += recording.bytes;
        }
    }
    bytes as f64 * 3600.0 / longest_s.min(RATE_OVER.as_secs_f64())
}
