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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::super::files::Files;
    use super::super::index::{CloseReason, Header};
    use super::super::testing::{first_wall, units};
    use super::*;
    use crate::media::{Pts, Resolution};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn header(event: u64, wall: Timestamp) -> Header {
        Header {
            event,
            part: 0,
            cause: None,
            trigger_pts: Pts(0),
            trigger_wall_us: wall.as_microsecond(),
            size: Resolution::new(160, 120),
            changed: 0.0,
            clock_synchronised: true,
            times_assumed: false,
        }
    }

    /// A closed recording of one GOP, so many days after the first.
    fn recording(store: &Store, camera: &str, event: u64, days: u32) -> RecordingId {
        let (id, mut files) = open(store, camera, event, days, true);
        files.close(CloseReason::Quiet).unwrap();
        store.progress(camera, id, &files);
        store.finish(camera, id, CloseReason::Quiet);
        id
    }

    fn open(store: &Store, camera: &str, event: u64, days: u32, clock_synchronised: bool) -> (RecordingId, Files) {
        let after = DAY * days;
        let wall = first_wall() + after;
        let header = Header { clock_synchronised, ..header(event, wall) };
        let (id, mut files) = store.create(camera, wall, header).unwrap();
        let mut gop = units()[..10].to_vec();
        gop.iter_mut().for_each(|unit| unit.moment.wall += after);
        files.append(0, &gop).unwrap();
        store.progress(camera, id, &files);
        (id, files)
    }

    fn limits(max_bytes: Option<u64>, max_age_days: Option<u32>, max_used: Option<f32>) -> Storage {
        Storage { max_bytes, max_age_days, max_used, ..Storage::default() }
    }

    fn store(dir: &Path) -> Store {
        Store::open_in(dir, TimeZone::UTC).unwrap()
    }

    fn removed(retained: &Retained) -> Vec<(&str, String, Why)> {
        retained.removed.iter().map(|gone| (gone.camera.as_str(), gone.id.day_name(), gone.why)).collect()
    }

    #[test]
    fn the_oldest_events_go_first_over_all_cameras() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        // By number, whatever the clock did: event 2 has the wrong year.
        recording(&store, "back", 3, 3);
        recording(&store, "front", 1, 1);
        recording(&store, "front", 2, 9);
        recording(&store, "front", 4, 4);
        let each = store.recordings("front", &Default::default())[0].bytes;
        let retained = store.retain(&limits(Some(each * 2), None, None)).unwrap();
        let expected = [("front", "2020-09-08".into(), Why::Bytes), ("front", "2020-09-16".into(), Why::Bytes)];
        assert_eq!(removed(&retained), expected);
        assert_eq!((retained.recordings, retained.bytes), (2, 2 * each));
        assert!(!dir.path().join("recordings/front/2020-09-08").exists(), "its day was empty then");
        assert!(retained.space.free_bytes > 0);
        let again = store.retain(&limits(Some(each * 2), None, None)).unwrap();
        assert_eq!(again.removed, []);
    }

    #[test]
    fn protected_ones_and_the_one_being_written_stay() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let kept = recording(&store, "front", 1, 0);
        let gone = recording(&store, "front", 2, 1);
        let (writing, _files) = open(&store, "front", 3, 2, true);
        store.protect("front", kept, true).unwrap();
        // Also when only the file says so: the marker may have been put there by hand.
        let by_hand = recording(&store, "front", 4, 3);
        fs::write(dir.path().join(format!("recordings/front/{by_hand}/protected")), "").unwrap();
        let retained = store.retain(&limits(Some(0), Some(0), Some(0.0))).unwrap();
        assert_eq!(retained.removed.iter().map(|gone| gone.id).collect::<Vec<_>>(), [gone]);
        for id in [kept, writing, by_hand] {
            assert!(store.open_video("front", id).is_ok(), "{id}");
        }
    }

    #[test]
    fn age_counts_only_where_times_are_known() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let old = recording(&store, "front", 1, 0);
        let (unset, mut files) = open(&store, "front", 2, 0, false);
        files.close(CloseReason::Quiet).unwrap();
        store.finish("front", unset, CloseReason::Quiet);
        recording(&store, "front", 3, 5);
        let (storage, now) = (limits(None, Some(3), None), first_wall() + DAY * 6);
        assert_eq!(store.retain_at(&storage, now, false).unwrap().removed, []);
        let retained = store.retain_at(&storage, now, true).unwrap();
        assert_eq!(removed(&retained), [("front", old.day_name(), Why::Age)]);
    }

    #[test]
    fn the_used_share_of_the_file_system() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        (1..=4).for_each(|event| _ = recording(&store, "front", event, event as u32));
        let all = store.oldest_first();
        let known: Vec<_> = all.iter().map(|(_, recording)| recording).collect();
        let each = known[0].bytes;
        let space = |free_bytes| Space { total_bytes: each * 100, free_bytes };
        let storage = limits(None, None, Some(0.8));
        assert_eq!(doomed(&known, &storage, space(each * 20), None), []);
        assert_eq!(doomed(&known, &storage, space(each * 20 - 1), None), [(0, Why::Used)]);
        assert_eq!(doomed(&known, &storage, space(each * 18), None), [(0, Why::Used), (1, Why::Used)]);
        // What goes for one rule counts for the other.
        let both = limits(Some(each * 3), None, Some(0.8));
        assert_eq!(doomed(&known, &both, space(each * 18), None), [(0, Why::Bytes), (1, Why::Used)]);
        assert_eq!(doomed(&known, &limits(None, None, None), space(0), None), []);
    }

    #[test]
    fn nothing_outside_the_recordings_is_touched() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = |to: &Path, name: &str| std::os::unix::fs::symlink(to, dir.path().join(name)).unwrap();
        let elsewhere = outside.path().join("2020-01-01/01.01.01");
        fs::create_dir_all(&elsewhere).unwrap();
        fs::write(elsewhere.join("video.h264"), [0; 1000]).unwrap();
        fs::create_dir_all(dir.path().join("recordings/front/2020-01-02")).unwrap();
        // A camera, a day and a recording that are links; and a folder and a file that are no recordings.
        link(outside.path(), "recordings/linked");
        link(&outside.path().join("2020-01-01"), "recordings/front/2020-01-01");
        link(&elsewhere, "recordings/front/2020-01-02/01.01.01");
        fs::create_dir_all(dir.path().join("recordings/front/2020-01-02/notes")).unwrap();
        fs::write(dir.path().join("recordings/front/readme.txt"), "mine").unwrap();
        let store = store(dir.path());
        let retained = store.retain(&limits(Some(0), Some(0), Some(0.0))).unwrap();
        assert_eq!((retained.removed, retained.recordings), (vec![], 0));
        // Recordings of which only the inside is a link.
        let inner = dir.path().join("recordings/front/2020-01-03/01.01.01");
        fs::create_dir_all(&inner).unwrap();
        link(&elsewhere.join("video.h264"), "recordings/front/2020-01-03/01.01.01/video.h264");
        store.refresh().unwrap();
        let retained = store.retain(&limits(Some(0), Some(0), None)).unwrap();
        assert_eq!(retained.removed.len(), 1);
        assert!(!inner.exists());
        assert_eq!(fs::metadata(elsewhere.join("video.h264")).unwrap().len(), 1000);
        assert!(dir.path().join("recordings/front/2020-01-02/notes").exists());
        assert!(dir.path().join("recordings/front/readme.txt").exists());
        assert!(dir.path().join("recordings/linked").exists());
    }

    #[test]
    fn headroom_is_what_is_free_at_the_rate_of_the_last_day() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        (0..4).for_each(|event| _ = recording(&store, "front", event + 1, event as u32));
        let each = store.oldest_first()[0].1.bytes as f64;
        // Of the four recordings, the last is within a day.
        let now = first_wall() + DAY * 3 + Duration::from_secs(3600);
        let retained = store.retain_at(&limits(None, None, None), now, true).unwrap();
        assert!((retained.bytes_per_hour - each / 24.0).abs() < 1.0, "{}", retained.bytes_per_hour);
        let hours = retained.headroom_h().unwrap();
        assert!((hours - retained.space.free_bytes as f64 / retained.bytes_per_hour).abs() < 1e-6);
        let later = store.retain_at(&limits(None, None, None), now + DAY * 9, true).unwrap();
        assert_eq!(later.headroom_h(), None);
    }
}
