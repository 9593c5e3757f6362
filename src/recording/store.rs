//! All recordings: listed, opened, protected and deleted; and the place where the writer gets the next one.
//!
//! `recordings/CAMERA/YYYY-MM-DD/HH.MM.SS/{video.h264,index,trigger.jpg,thumb.jpg,protected}` below the storage folder. What is in a
//! recording is read once and then kept in memory. Folders and files of other names, and links of any name, are
//! neither listed nor touched. Which recordings have to go is decided in `recording::retention`, what a crash left is
//! mended in `recording::repair`.
//!
//! Everything here blocks on the disk.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;

use super::catalogue::{Catalogue, Entry, LEFTOVER};
use super::correction::Pending;
use super::details::{self, PROTECTED};
use super::event_ids::EventIds;
use super::files::{Files, THUMBNAIL, TRIGGER, VIDEO};
use super::folder::Folder;
use super::id::{RecordingId, is_camera_name};
use super::index::{self, Header, Index};
use super::observers::Observers;

pub use super::catalogue::Day;
pub use super::details::Recording;
pub use super::folder::Space;
pub use super::observers::Change;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such recording, or it has no such file.
    #[error("there is no such recording")]
    NotFound,
    /// It is protected: unprotect it first.
    #[error("the recording is protected: take the protection away first")]
    Protected,
    /// It is still being written: wait until the event has ended.
    #[error("the recording is still being written")]
    BeingWritten,
    /// The disk or its permissions.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// What became of a day that was to be deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DayDeleted {
    /// Gone.
    pub deleted: Vec<RecordingId>,
    /// Left, because they are protected.
    pub protected: Vec<RecordingId>,
    /// Left, because they are still being written.
    pub being_written: Vec<RecordingId>,
}

/// Which recordings to list.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Query {
    /// Only those with a picture at or after this time.
    pub since: Option<Timestamp>,
    /// Only those that start before this time.
    pub until: Option<Timestamp>,
    /// At most so many, the newest.
    pub limit: Option<usize>,
}

/// See the module. Shared by all threads.
#[derive(Debug)]
pub struct Store {
    recordings: PathBuf,
    /// Where `recordings` was when the program started: it is never made anew on another file system, which is what
    /// lies below the mount point when a disk is gone.
    device: u64,
    time_zone: TimeZone,
    catalogue: Mutex<Catalogue>,
    /// Held while a recording is protected or deleted, so that the two never cross.
    changes: Mutex<()>,
    event_ids: EventIds,
    clock: Mutex<Pending>,
    room_wanted: (Mutex<bool>, Condvar),
    observers: Observers,
}

impl Store {
    /// Opens the storage folder: makes `recordings/` and `state/` in it where they are missing, and reads the names of
    /// all recordings. What is in them is read later.
    pub fn open(storage: &Path) -> Result<Store, StoreError> {
        Self::open_in(storage, TimeZone::system())
    }

    /// As [`Store::open`], with another local time than the system's.
    pub fn open_in(storage: &Path, time_zone: TimeZone) -> Result<Store, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { path, source }
        };
        let (recordings, state) = (storage.join("recordings"), storage.join("state"));
        for path in [&recordings, &state] {
            std::fs::create_dir_all(path).map_err(at(path))?;
        }
        let top = Folder::open_top(&recordings).map_err(at(&recordings))?;
        let catalogue = Catalogue::read(&top).map_err(at(&recordings))?;
        let event_ids =
            EventIds::open(&state, || newest_event(&top, &catalogue, &time_zone) + 1).map_err(at(&state))?;
        Ok(Store {
            device: top.device().map_err(at(&recordings))?,
            recordings,
            time_zone,
            catalogue: Mutex::new(catalogue),
            changes: Mutex::default(),
            event_ids,
            clock: Mutex::default(),
            room_wanted: Default::default(),
            observers: Observers::default(),
        })
    }

    /// A number for a new event: larger than all before, over restarts and power cuts.
    pub fn next_event_id(&self) -> u64 {
        self.event_ids.next()
    }

    /// Reads the names again: recordings that were put there by hand appear, those taken away by hand disappear.
    pub fn refresh(&self) -> Result<(), StoreError> {
        let before: Vec<_> = self.catalogue().all().map(|(camera, id, _)| (camera.to_owned(), id)).collect();
        let found = self.top().and_then(|top| Catalogue::read(&top)).map_err(|e| self.io(e))?;
        self.catalogue().merge(&before, found);
        Ok(())
    }

    /// A camera's days, newest first. Does not touch the disk.
    pub fn days(&self, camera: &str) -> Vec<Day> {
        self.catalogue().days(camera)
    }

    /// Times of a camera's recordings of one day, newest first. Does not touch the disk.
    pub fn times(&self, camera: &str, day: Date) -> Vec<Time> {
        self.catalogue().of_day(camera, day).rev().map(|id| id.time).collect()
    }

    /// A camera's recordings, newest first.
    pub fn recordings(&self, camera: &str, query: &Query) -> Vec<Recording> {
        let known: Vec<_> = self.catalogue().of(camera).rev().map(|(id, entry)| (id, entry.details.clone())).collect();
        let details = known.into_iter().filter_map(|(id, known)| known.or_else(|| self.recording(camera, id).ok()));
        let wanted = details.filter(|recording| {
            let end = recording.start.checked_add(recording.duration).unwrap_or(Timestamp::MAX);
            query.since.is_none_or(|since| end >= since) && query.until.is_none_or(|until| recording.start < until)
        });
        wanted.take(query.limit.unwrap_or(usize::MAX)).collect()
    }

    /// One recording.
    pub fn recording(&self, camera: &str, id: RecordingId) -> Result<Recording, StoreError> {
        if let Some(known) = self.entry(camera, id)?.details {
            return Ok(known);
        }
        let folder = self.folder(camera, id)?;
        let read = details::read(&folder, id, &self.time_zone).map_err(|e| self.io(e))?;
        self.update(camera, id, |entry| entry.details.get_or_insert_with(|| read.clone()).clone())
    }

    /// The H.264 elementary stream. One that is being written can be read up to what its index says.
    pub fn open_video(&self, camera: &str, id: RecordingId) -> Result<File, StoreError> {
        self.open_file(camera, id, VIDEO)
    }

    /// The picture that triggered.
    pub fn open_trigger(&self, camera: &str, id: RecordingId) -> Result<File, StoreError> {
        self.open_file(camera, id, TRIGGER)
    }

    /// The small picture that was made of it; [`StoreError::NotFound`] also while there is none.
    pub fn open_thumbnail(&self, camera: &str, id: RecordingId) -> Result<File, StoreError> {
        self.open_file(camera, id, THUMBNAIL)
    }

    /// Keeps a small picture of the one that triggered.
    pub fn keep_thumbnail(&self, camera: &str, id: RecordingId, jpeg: &[u8]) -> Result<(), StoreError> {
        let _change = self.changes();
        self.entry(camera, id)?;
        self.folder(camera, id)?.replace_file(THUMBNAIL, jpeg).map_err(|e| self.io(e))?;
        let add = |details: &mut Recording| details.bytes += jpeg.len() as u64;
        self.update(camera, id, |entry| entry.details.as_mut().map(add))?;
        Ok(())
    }

    /// The whole index. [`StoreError::NotFound`] also for a recording of 1.x that has not got one yet.
    pub fn read_index(&self, camera: &str, id: RecordingId) -> Result<Index, StoreError> {
        let mut bytes = Vec::new();
        self.open_file(camera, id, index::FILE_NAME)?.read_to_end(&mut bytes).map_err(|e| self.io(e))?;
        Index::parse(&bytes).map_err(|_| StoreError::NotFound)
    }

    pub(super) fn open_file(&self, camera: &str, id: RecordingId, name: &str) -> Result<File, StoreError> {
        self.entry(camera, id)?;
        self.folder(camera, id)?.file(name).map_err(|e| self.io(e))
    }

    /// Protects a recording, or takes the protection away; durable on return.
    pub fn protect(&self, camera: &str, id: RecordingId, protected: bool) -> Result<(), StoreError> {
        let _change = self.changes();
        self.entry(camera, id)?;
        let folder = self.folder(camera, id)?;
        let marked = match (protected, folder.has(PROTECTED)) {
            (_, Err(e)) => Err(e),
            (true, Ok(false)) => folder.create_file(PROTECTED).and_then(|file| file.sync_all()),
            (false, Ok(true)) => folder.remove_file(PROTECTED),
            _ => Ok(()),
        };
        marked.and_then(|()| folder.sync()).map_err(|e| self.io(e))?;
        self.update(camera, id, |entry| entry.details.as_mut().map(|details| details.protected = protected))?;
        self.observers.tell(camera, id, Change::Changed);
        Ok(())
    }

    /// Deletes a recording: gone for every reader on return, even when the power fails then.
    pub fn delete(&self, camera: &str, id: RecordingId) -> Result<(), StoreError> {
        let _change = self.changes();
        if self.entry(camera, id)?.writing {
            return Err(StoreError::BeingWritten);
        }
        let folder = self.folder(camera, id)?;
        if folder.has(PROTECTED).map_err(|e| self.io(e))? {
            return Err(StoreError::Protected);
        }
        self.remove(camera, id).map_err(|e| self.io(e))?;
        self.catalogue().forget(camera, id);
        self.observers.tell(camera, id, Change::Deleted);
        Ok(())
    }

    /// Deletes a day's recordings, but for those that are protected or being written.
    pub fn delete_day(&self, camera: &str, day: Date) -> Result<DayDeleted, StoreError> {
        let ids: Vec<_> = self.catalogue().of_day(camera, day).collect();
        let mut done = DayDeleted::default();
        for id in ids {
            match self.delete(camera, id) {
                Ok(()) => done.deleted.push(id),
                Err(StoreError::Protected) => done.protected.push(id),
                Err(StoreError::BeingWritten) => done.being_written.push(id),
                Err(StoreError::NotFound) => {}
                Err(other) => return Err(other),
            }
        }
        if done == DayDeleted::default() { Err(StoreError::NotFound) } else { Ok(done) }
    }

    fn remove(&self, camera: &str, id: RecordingId) -> io::Result<()> {
        let cameras = self.top()?.folder(camera)?;
        let day = cameras.folder(&id.day_name())?;
        let doomed = format!("{LEFTOVER}{}", id.time_name());
        if day.has(&doomed)? {
            day.remove_folder(&doomed)?;
        }
        day.rename(&id.time_name(), &doomed)?;
        if let Err(error) = day.remove_folder(&doomed) {
            tracing::warn!(%error, "{camera}/{}/{doomed} cannot be removed entirely", id.day_name());
        }
        // Fails while the day has other recordings, which is as it should be.
        let _ = cameras.remove_empty_folder(&id.day_name());
        Ok(())
    }

    /// Makes the files of a new recording, named by `moment` or the next second that is free, with all folders durable.
    pub(super) fn create(&self, camera: &str, moment: Timestamp, header: Header) -> io::Result<(RecordingId, Files)> {
        if !is_camera_name(camera) {
            return Err(io::Error::new(ErrorKind::InvalidInput, "not the name of a camera"));
        }
        let top = match self.top() {
            Err(e) if e.kind() == ErrorKind::NotFound => self.make_top()?,
            top => top?,
        };
        let camera_folder = top.folder_or_new(camera)?;
        let mut id = RecordingId::at(moment, &self.time_zone);
        let (day, folder) = loop {
            let day = camera_folder.folder_or_new(&id.day_name())?;
            match day.create_folder(&id.time_name()) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => id = id.next(),
                // The day's last recording has been deleted just now, and the day with it.
                Err(e) if e.kind() == ErrorKind::NotFound && !camera_folder.has(&id.day_name())? => {}
                Err(e) => return Err(e),
                Ok(()) => break (day.folder(&id.time_name()), day),
            }
        };
        let created = day.and_then(|recording| Files::create(recording, header));
        match created {
            Ok(files) => {
                let details = details::of_files(id, &files, false, &self.time_zone);
                let entry = Entry { details: Some(details), writing: true };
                self.catalogue().insert(camera, id, entry);
                if !header.clock_synchronised {
                    self.clock().opened(camera, id);
                }
                self.observers.tell(camera, id, Change::Started);
                Ok((id, files))
            }
            Err(e) => {
                // On a full disk the folder came about and the files did not.
                let _ = folder.remove_folder(&id.time_name());
                Err(e)
            }
        }
    }

    /// The recordings' folder, made again after somebody has deleted it.
    fn make_top(&self) -> io::Result<Folder> {
        let storage = Folder::open_top(self.recordings.parent().unwrap_or(&self.recordings))?;
        if storage.device()? != self.device {
            return Err(ErrorKind::NotFound.into());
        }
        storage.folder_or_new("recordings")
    }

    /// Takes over how far a recording has got.
    pub(super) fn progress(&self, camera: &str, id: RecordingId, files: &Files) {
        // One deleted by hand meanwhile: the writer will notice it by itself.
        let _ = self.update(camera, id, |entry| {
            let protected = entry.details.as_ref().is_some_and(|details| details.protected);
            entry.details = Some(details::of_files(id, files, protected, &self.time_zone));
        });
    }

    /// A recording is not written any more.
    pub(super) fn finish(&self, camera: &str, id: RecordingId, reason: index::CloseReason) {
        let _ = self.update(camera, id, |entry| {
            entry.writing = false;
            if let Some(details) = &mut entry.details {
                details.writing = false;
                details.closed = Some(reason);
            }
        });
        self.correct_times();
        self.observers.tell(camera, id, Change::Finished);
    }

    /// The recordings not being written whose end is not known, newest first: they have not been read yet, or have to be
    /// mended.
    pub(super) fn unsettled(&self) -> Vec<(String, RecordingId)> {
        let catalogue = self.catalogue();
        let open = |entry: &Entry| entry.details.as_ref().is_none_or(|details| details.closed.is_none());
        let unsettled = catalogue.all().filter(|(_, _, entry)| !entry.writing && open(entry));
        let mut ids: Vec<_> = unsettled.map(|(camera, id, _)| (camera.to_owned(), id)).collect();
        ids.sort_by_key(|(_, id)| std::cmp::Reverse(*id));
        ids
    }

    /// Reads a recording again after its files have been changed.
    pub(super) fn read_again(&self, camera: &str, id: RecordingId) -> Result<Recording, StoreError> {
        self.update(camera, id, |entry| entry.details = None)?;
        self.recording(camera, id)
    }

    /// Room on the recordings' file system.
    pub fn space(&self) -> Result<Space, StoreError> {
        self.top().and_then(|top| top.space()).map_err(|e| self.io(e))
    }

    /// Room for a new recording; `None` while the recordings' folder is not there.
    pub(super) fn free_bytes(&self) -> io::Result<Option<u64>> {
        match self.top().and_then(|top| top.space()) {
            Ok(space) => Ok(Some(space.free_bytes)),
            Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Asks whoever waits in [`Store::wait_for_room_wanted`] to make room now.
    pub fn ask_for_room(&self) {
        *self.room_wanted.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.room_wanted.1.notify_all();
    }

    /// Waits until room is asked for or the time is over; says whether it was asked for.
    pub fn wait_for_room_wanted(&self, timeout: Duration) -> bool {
        let wanted = self.room_wanted.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.room_wanted.1.wait_timeout_while(wanted, timeout, |wanted| !*wanted);
        std::mem::take(&mut *waited.unwrap_or_else(PoisonError::into_inner).0)
    }

    pub(super) fn time_zone(&self) -> &TimeZone {
        &self.time_zone
    }

    pub(super) fn top(&self) -> io::Result<Folder> {
        Folder::open_top(&self.recordings)
    }

    /// A recording's folder. One that is gone is forgotten.
    pub(super) fn folder(&self, camera: &str, id: RecordingId) -> Result<Folder, StoreError> {
        let open = || self.top()?.folder(camera)?.folder(&id.day_name())?.folder(&id.time_name());
        open().map_err(|e| {
            let error = self.io(e);
            if matches!(error, StoreError::NotFound) {
                self.catalogue().forget(camera, id);
            }
            error
        })
    }

    /// What is known of a recording. Only names that are in the catalogue, and so came from the folders, get past here.
    fn entry(&self, camera: &str, id: RecordingId) -> Result<Entry, StoreError> {
        self.update(camera, id, |entry| entry.clone())
    }

    fn update<T>(&self, camera: &str, id: RecordingId, f: impl FnOnce(&mut Entry) -> T) -> Result<T, StoreError> {
        self.catalogue().get(camera, id).map(f).ok_or(StoreError::NotFound)
    }

    pub(super) fn catalogue(&self) -> MutexGuard<'_, Catalogue> {
        // Every change of it is a single call that cannot stop half-way.
        self.catalogue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn clock(&self) -> MutexGuard<'_, Pending> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether it is being written; also when it is gone.
    pub(super) fn is_writing(&self, camera: &str, id: RecordingId) -> bool {
        self.entry(camera, id).is_ok_and(|entry| entry.writing)
    }

    pub(super) fn observers(&self) -> &Observers {
        &self.observers
    }

    fn changes(&self) -> MutexGuard<'_, ()> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A missing name, and a link or file where a folder should be, is a recording that is not there.
    pub(super) fn io(&self, source: io::Error) -> StoreError {
        match source.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NotFound,
            _ => StoreError::Io { path: self.recordings.clone(), source },
        }
    }
}

/// The largest event number in the recordings; only needed when the file with the next one is lost.
fn newest_event(top: &Folder, catalogue: &Catalogue, time_zone: &TimeZone) -> u64 {
    let event = |(camera, id, _): (&str, RecordingId, &Entry)| {
        let folder = top.folder(camera)?.folder(&id.day_name())?.folder(&id.time_name())?;
        details::read(&folder, id, time_zone).map(|recording| recording.event)
    };
    catalogue.all().filter_map(|named| event(named).ok()).max().unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;
    use std::time::Instant;

    use super::super::id;
    use super::super::testing::{end, event, units};
    use super::super::writer::Writer;
    use super::*;
    use crate::ring::Ring;

    fn store(dir: &Path) -> Arc<Store> {
        Arc::new(Store::open_in(dir, TimeZone::UTC).unwrap())
    }

    /// Recordings of the same ten pictures, one event after the other.
    fn record(store: &Arc<Store>, camera: &str, events: std::ops::Range<u64>) -> Vec<RecordingId> {
        let ring = Ring::new(Duration::from_secs(60), 64 << 20);
        units()[..11].iter().for_each(|unit| ring.push(unit.clone()));
        let record = |id| {
            let event = event(id);
            end(&event, &units()[9]);
            Writer::new(store.clone(), camera)
                .record(&event, &ring, true, || Some(b"jpeg".to_vec()))
                .unwrap()
                .recordings[0]
        };
        events.map(record).collect()
    }

    fn named(day: &str, time: &str) -> RecordingId {
        RecordingId::parse(day, time).unwrap()
    }

    #[test]
    fn days_and_times_are_listed_newest_first() {
        let dir = tempfile::tempdir().unwrap();
        for name in [
            "front/2020-09-07/12.13.12",
            "front/2020-09-07/12.25.43",
            "front/2020-10-01/00.00.00",
            "back/2020-09-08/01.02.03",
        ] {
            fs::create_dir_all(dir.path().join("recordings").join(name)).unwrap();
        }
        for other in
            ["front/2020-9-7/12.13.12", "front/2020-09-07/tmp", "Front/2020-09-07/12.13.12", "2019-01-01/12.13.12"]
        {
            fs::create_dir_all(dir.path().join("recordings").join(other)).unwrap();
        }
        let store = store(dir.path());
        let text = |days: Vec<Day>| {
            let times = |day: &Day| day.times.iter().map(|time| id::time_name(*time)).collect::<Vec<_>>().join(" ");
            days.iter().map(|day| format!("{} {}", id::day_name(day.day), times(day))).collect::<Vec<_>>()
        };
        assert_eq!(text(store.days("front")), ["2020-10-01 00.00.00", "2020-09-07 12.25.43 12.13.12"]);
        assert_eq!(text(store.days("back")), ["2020-09-08 01.02.03"]);
        assert_eq!(store.days("Front"), []);
        assert_eq!(store.days("2019-01-01"), []);
        let day = id::parse_day("2020-09-07").unwrap();
        assert_eq!(store.times("front", day).len(), 2);
        assert_eq!(store.times("back", day), []);
    }

    #[test]
    fn recordings_by_time_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let ids = record(&store, "front", 1..4);
        let query = |query: Query| store.recordings("front", &query).iter().map(|r| r.event).collect::<Vec<_>>();
        assert_eq!(query(Query::default()), [3, 2, 1]);
        assert_eq!(query(Query { limit: Some(2), ..Query::default() }), [3, 2]);
        let shown = store.recording("front", ids[0]).unwrap();
        let after = shown.start + shown.duration + Duration::from_secs(1);
        assert_eq!(query(Query { since: Some(after), ..Query::default() }), [0; 0]);
        assert_eq!(query(Query { since: Some(shown.start), until: Some(after), ..Query::default() }), [3, 2, 1]);
        assert_eq!(query(Query { until: Some(shown.start), ..Query::default() }), [0; 0]);
    }

    #[test]
    fn a_protected_recording_is_not_deleted_until_it_is_free_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let ids = record(&store, "front", 1..4);
        store.protect("front", ids[1], true).unwrap();
        store.protect("front", ids[1], true).unwrap();
        assert!(matches!(store.delete("front", ids[1]), Err(StoreError::Protected)));
        assert!(super::tests::store(dir.path()).recording("front", ids[1]).unwrap().protected);
        let deleted = store.delete_day("front", ids[0].day).unwrap();
        assert_eq!((deleted.deleted, deleted.protected), (vec![ids[0], ids[2]], vec![ids[1]]));
        store.protect("front", ids[1], false).unwrap();
        assert!(!store.recording("front", ids[1]).unwrap().protected);
        store.delete("front", ids[1]).unwrap();
        assert_eq!(store.days("front"), []);
        assert!(matches!(store.delete_day("front", ids[0].day), Err(StoreError::NotFound)));
        assert!(!dir.path().join("recordings/front/2020-09-07").exists());
    }

    #[test]
    fn what_is_taken_away_by_hand_drops_out_and_what_is_put_there_appears() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let ids = record(&store, "front", 1..4);
        let folder = |id: RecordingId| dir.path().join(format!("recordings/front/{id}"));
        fs::remove_dir_all(folder(ids[0])).unwrap();
        assert!(matches!(store.open_video("front", ids[0]), Err(StoreError::NotFound)));
        assert_eq!(store.recordings("front", &Query::default()).len(), 2);
        assert!(matches!(store.delete("front", ids[0]), Err(StoreError::NotFound)));
        fs::create_dir_all(dir.path().join("recordings/attic/2019-01-01")).unwrap();
        fs::rename(folder(ids[1]), dir.path().join("recordings/attic/2019-01-01/01.01.01")).unwrap();
        store.refresh().unwrap();
        assert_eq!(store.recordings("front", &Query::default()).len(), 1);
        assert_eq!(store.recordings("attic", &Query::default())[0].event, 2);
        fs::remove_file(folder(ids[2]).join("trigger.jpg")).unwrap();
        assert!(matches!(store.open_trigger("front", ids[2]), Err(StoreError::NotFound)));
        assert!(store.open_video("front", ids[2]).is_ok(), "only its picture is gone");
    }

    #[test]
    fn nothing_is_read_through_a_link() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "s").unwrap();
        let recordings = dir.path().join("recordings");
        let folder = recordings.join("front/2020-09-07/12.00.00");
        fs::create_dir_all(&folder).unwrap();
        for name in ["video.h264", "trigger.jpg", "index"] {
            symlink(outside.path().join("secret"), folder.join(name)).unwrap();
        }
        symlink(&folder, recordings.join("front/2020-09-07/13.00.00")).unwrap();
        symlink(recordings.join("front"), recordings.join("back")).unwrap();
        let store = store(dir.path());
        let listed = named("2020-09-07", "12.00.00");
        assert_eq!(store.recordings("front", &Query::default()).len(), 1);
        assert!(matches!(store.open_video("front", listed), Err(StoreError::NotFound)));
        assert!(matches!(store.open_trigger("front", listed), Err(StoreError::NotFound)));
        assert!(matches!(store.read_index("front", listed), Err(StoreError::NotFound)));
        assert_eq!(store.days("back"), []);
        for camera in ["back", "..", "front/..", ""] {
            assert!(matches!(store.open_video(camera, listed), Err(StoreError::NotFound)), "{camera}");
        }
        // Swapped for a link after it was listed.
        let moved = outside.path().join("moved");
        fs::rename(&folder, &moved).unwrap();
        symlink(&moved, &folder).unwrap();
        assert!(matches!(store.delete("front", listed), Err(StoreError::NotFound)));
        assert!(moved.join("index").symlink_metadata().is_ok());
        // And a camera's folder that is one cannot be recorded into.
        let header = store.create("back", Timestamp::UNIX_EPOCH, header());
        assert!(header.is_err());
    }

    fn header() -> Header {
        let event = event(1);
        Header {
            event: 1,
            part: 0,
            cause: Some(event.cause),
            trigger_pts: event.trigger.pts,
            trigger_wall_us: event.trigger.wall.as_microsecond(),
            size: units()[0].size,
            changed: 0.0,
            clock_synchronised: true,
            times_assumed: false,
        }
    }

    #[test]
    fn the_one_being_written_is_listed_and_not_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (id, mut files) = store.create("front", event(1).trigger.wall, header()).unwrap();
        files.append(0, &units()[..20]).unwrap();
        store.progress("front", id, &files);
        let shown = store.recording("front", id).unwrap();
        assert!(shown.writing);
        assert_eq!(shown.duration, Duration::from_millis(1900));
        assert!(matches!(store.delete("front", id), Err(StoreError::BeingWritten)));
        assert_eq!(store.delete_day("front", id.day).unwrap().being_written, [id]);
        store.refresh().unwrap();
        store.protect("front", id, true).unwrap();
        store.progress("front", id, &files);
        assert!(store.recording("front", id).unwrap().protected, "protected while it is written");
    }

    #[test]
    fn the_recordings_folder_is_made_again_on_its_own_file_system_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open_in(dir.path(), TimeZone::UTC).unwrap();
        fs::remove_dir_all(dir.path().join("recordings")).unwrap();
        store.create("front", Timestamp::UNIX_EPOCH, header()).unwrap();
        fs::remove_dir_all(dir.path().join("recordings")).unwrap();
        // As if the disk had been taken away, and only the mount point were left.
        store.device += 1;
        let error = store.create("front", Timestamp::UNIX_EPOCH, header()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert!(!dir.path().join("recordings").exists());
    }

    #[test]
    fn events_are_numbered_on_after_the_file_with_the_number_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let first = store(dir.path());
        assert_eq!((first.next_event_id(), first.next_event_id()), (1, 2));
        record(&first, "front", 40..41);
        fs::remove_dir_all(dir.path().join("state")).unwrap();
        assert_eq!(store(dir.path()).next_event_id(), 41);
    }

    #[test]
    fn ten_thousand_recordings_are_listed_fast() {
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let model = record(&store(dir.path()), "front", 1..2)[0];
        let model = dir.path().join(format!("recordings/front/{model}"));
        for n in 0..10_000 {
            let (day, minute) = (n / 500, n % 500);
            let name = format!("recordings/many/2021-03-{:02}/{:02}.{:02}.00", day + 1, minute / 60, minute % 60);
            let folder = dir.path().join(name);
            fs::create_dir_all(&folder).unwrap();
            fs::hard_link(model.join("video.h264"), folder.join("video.h264")).unwrap();
            fs::copy(model.join("index"), folder.join("index")).unwrap();
        }
        let mut took = Vec::new();
        let mut timed = |what: &'static str, f: &mut dyn FnMut() -> usize| {
            let started = Instant::now();
            let count = f();
            took.push((what, count, started.elapsed()));
        };
        let mut opened = None;
        timed("open", &mut || opened.insert(store(dir.path())).days("many").len());
        let store = opened.unwrap();
        timed("names", &mut || store.days("many").iter().map(|day| day.times.len()).sum());
        timed("a page, first time", &mut || {
            store.recordings("many", &Query { limit: Some(100), ..Query::default() }).len()
        });
        timed("details, first time", &mut || store.recordings("many", &Query::default()).len());
        timed("details", &mut || store.recordings("many", &Query::default()).len());
        // Bounds with room for a busy machine; a reader of 10,000 folders per request takes longer than the first.
        let most_ms = [1500, 100, 200, 10_000, 300];
        for ((what, count, time), most_ms) in took.iter().zip(most_ms) {
            assert!(time.as_millis() < most_ms, "{what}: {time:?}");
            let expected = if *what == "open" {
                20
            } else if what.starts_with("a page") {
                100
            } else {
                10_000
            };
            assert_eq!(*count, expected, "{what}");
        }
    }
}
