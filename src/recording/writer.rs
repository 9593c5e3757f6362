//! Follows an event from the ring of access units into files: about one write per GOP, durable at least every second.
//!
//! A full or failing disk stops the recording, never the event: what is written stays valid, the writer waits for room
//! while the ring keeps what is to come, and goes on in another recording of the same event. The files themselves are
//! in `recording::files`, their names in `recording::store`; when an event starts and ends is decided in
//! `recording::policy`.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::files::Files;
use super::id::RecordingId;
use super::index::{CloseReason, Header};
use super::store::Store;
use crate::event::Event;
use crate::h264::same_parameters;
use crate::media::{AccessUnit, Pts};
use crate::ring::{Next, Ring};

/// How often the writer looks for what has come: woken for each access unit, it would only put it by. How soon it notices that an
/// event has ended.
const POLL: Duration = Duration::from_millis(100);
/// What was encoded is written at the latest after this, and what it takes to notice ([`POLL`], twice).
const SYNC_EVERY: Duration = Duration::from_secs(1);
/// From this length on, a GOP is written when the next begins; shorter ones are written together.
const WORTH_A_WRITE: Duration = Duration::from_millis(750);
/// A slow disk gets larger writes, but never more than this at once.
const MOST_AT_ONCE: Duration = Duration::from_secs(8);
const MOST_BYTES_AT_ONCE: usize = 8 << 20;
/// After an event's end, the encoder and the disk have this long to deliver what is missing.
const GRACE: Duration = Duration::from_secs(3);
/// How often a disk that refused is tried again.
const RETRY_EVERY: Duration = Duration::from_secs(1);
/// A recording is not begun with less room than this: it would end at once.
const ROOM_TO_BEGIN_BYTES: u64 = 4 << 20;

/// Why nothing can be written. The path is relative to the storage folder.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// There is no room: retention, or the owner, has to make some.
    #[error("{path}: the disk is full")]
    DiskFull {
        /// What was to be written.
        path: String,
    },
    /// The file system does not let itself be written: after an error, or for want of permission.
    #[error("{path}: cannot be written: {cause}")]
    ReadOnly {
        /// What was to be written.
        path: String,
        /// What the system said.
        cause: String,
    },
    /// The folder is gone: deleted, or its disk is not mounted any more.
    #[error("{path}: the folder is gone, or its disk is not mounted")]
    Vanished {
        /// What was to be written.
        path: String,
    },
    /// The disk failed in another way.
    #[error("{path}: {cause}")]
    Failed {
        /// What was to be written.
        path: String,
        /// What the system said.
        cause: String,
    },
}

impl WriteError {
    fn of(path: String, error: &io::Error) -> Self {
        use io::ErrorKind::*;
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => WriteError::DiskFull { path },
            ReadOnlyFilesystem | PermissionDenied => WriteError::ReadOnly { path, cause: error.to_string() },
            NotFound | NotADirectory => WriteError::Vanished { path },
            _ => WriteError::Failed { path, cause: error.to_string() },
        }
    }
}

/// What a writer is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// There is no event.
    #[default]
    Idle,
    /// Access units of an event go to disk.
    Recording(RecordingId),
    /// The disk refuses. Stays so after the event, until something has been written again.
    Blocked(WriteError),
}

/// What a writer tells others. All numbers only grow.
#[derive(Debug, Default)]
pub struct Status {
    state: Mutex<State>,
    /// Access units on disk.
    pub units: AtomicU64,
    /// Bytes of video on disk.
    pub bytes: AtomicU64,
    /// Writes, each made durable.
    pub writes: AtomicU64,
    /// Time spent in them, in microseconds.
    pub write_us: AtomicU64,
    /// Access units that had left the ring before they could be written.
    pub missed: AtomicU64,
    /// Access units left out because decoding could not start with them after a gap or a failure.
    pub skipped: AtomicU64,
    /// Attempts that failed.
    pub failures: AtomicU64,
    /// Recordings begun.
    pub recordings: AtomicU64,
}

impl Status {
    /// What the writer is doing now.
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }
}

/// What became of an event on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recorded {
    /// Its recordings: more than one when the size changed or the disk refused for a while.
    pub recordings: Vec<RecordingId>,
    /// Access units written.
    pub units: u64,
    /// Bytes of video written.
    pub bytes: u64,
    /// Access units that had left the ring before they could be written.
    pub missed: u64,
}

/// Writes one camera's recordings, one event after the other.
pub struct Writer {
    store: Arc<Store>,
    camera: String,
    status: Arc<Status>,
    pending: Vec<AccessUnit>,
    /// Time of the newest access unit on disk.
    kept: Pts,
}

impl Writer {
    /// For a camera, `[a-z0-9-]{1,32}`.
    pub fn new(store: Arc<Store>, camera: &str) -> Self {
        Self { store, camera: camera.to_owned(), status: Arc::default(), pending: Vec::new(), kept: Pts::MIN }
    }

    /// Shared with health and metrics.
    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Follows an event to its end, from the last IDR at or before its start; blocks until its last picture is on disk, or
    /// for three seconds after its end when the disk refuses or the encoder is silent. `clock_synchronised`: whether the
    /// wall clock is right. `picture` makes the JPEG of the trigger; it is called once, after the first GOP is safe.
    ///
    /// # Errors
    /// When the end of the event could not be written. What had been written before is valid.
    pub fn record(
        &mut self,
        event: &Event,
        ring: &Ring<AccessUnit>,
        clock_synchronised: bool,
        picture: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Result<Recorded, WriteError> {
        let mut cursor = ring.start_at(event.start);
        let mut job = Job::new(self, event, clock_synchronised, picture);
        let mut heard = Instant::now();
        // Since when the end is known: a write may have taken longer than the grace before that.
        let mut ending: Option<Instant> = None;
        loop {
            if event.until().is_some() {
                ending.get_or_insert_with(Instant::now);
            }
            let late = ending.is_some_and(|since| since.elapsed() > GRACE);
            if let Some(failing) = &job.failing
                && !job.writer.pending.is_empty()
            {
                // The ring keeps what comes meanwhile.
                if late {
                    break;
                }
                std::thread::sleep(POLL);
                if failing.tried.elapsed() >= RETRY_EVERY {
                    job.write();
                }
                continue;
            }
            let patience = if ending.is_some() { POLL } else { Duration::ZERO };
            match ring.next(&mut cursor, event.until(), patience) {
                // The end may have become known while this was waited for.
                Next::Entry(unit) if event.until().is_some_and(|until| unit.moment.pts > until) => break,
                Next::Entry(unit) => {
                    heard = Instant::now();
                    job.take(unit);
                }
                Next::Lapped { missed } => job.lapped(missed),
                Next::Done => break,
                Next::Timeout if late && heard.elapsed() > GRACE => break,
                Next::Timeout if ending.is_none() => std::thread::sleep(POLL),
                Next::Timeout => {}
            }
            job.write_if_late();
        }
        job.finish()
    }
}

/// The disk has refused, and nothing has been written since.
struct Failing {
    error: WriteError,
    since: Instant,
    tried: Instant,
}

/// One event on its way to disk.
struct Job<'a, P> {
    writer: &'a mut Writer,
    event: &'a Event,
    clock_synchronised: bool,
    /// Until it has been called.
    make_picture: Option<P>,
    picture: Option<Vec<u8>>,
    open: Option<(RecordingId, Files)>,
    failing: Option<Failing>,
    /// When the first of the pending access units came.
    pending_since: Instant,
    /// Access units missing before the pending ones.
    missed: u64,
    needs_idr: bool,
    last_idr: Option<AccessUnit>,
    last_write: Duration,
    done: Recorded,
}

impl<'a, P: FnOnce() -> Option<Vec<u8>>> Job<'a, P> {
    fn new(writer: &'a mut Writer, event: &'a Event, clock_synchronised: bool, picture: P) -> Self {
        writer.pending.clear();
        Self {
            writer,
            event,
            clock_synchronised,
            make_picture: Some(picture),
            picture: None,
            open: None,
            failing: None,
            pending_since: Instant::now(),
            missed: 0,
            needs_idr: true,
            last_idr: None,
            last_write: Duration::ZERO,
            done: Recorded::default(),
        }
    }

    fn begun(&self) -> bool {
        !self.done.recordings.is_empty()
    }

    fn take(&mut self, unit: AccessUnit) {
        if unit.idr {
            // The event begins with the last IDR at or before its start, which may come later than the writer: what
            // the ring had then can be the rest of an earlier event. Or with the first picture after its start, where
            // that is an IDR: then the event before has what came until then.
            let kept = self.event.start.max(self.writer.kept);
            let before = |unit: &AccessUnit| unit.moment.pts <= kept;
            if !self.begun() && (unit.moment.pts <= self.event.start || self.writer.pending.last().is_some_and(before))
            {
                self.writer.pending.clear();
            }
            // A recording is one stream: one size, and the parameter sets of one encoder.
            let other = |last: &AccessUnit| last.size != unit.size || !same_parameters(&last.bytes, &unit.bytes);
            if self.last_idr.replace(unit.clone()).is_some_and(|last| other(&last)) {
                self.write();
                // What is left would belong to a recording of its own, and the disk refuses it.
                self.skip(self.writer.pending.len());
                if self.open.is_some() {
                    self.close(CloseReason::SizeChanged);
                }
            }
            let pending = self.writer.pending.first().map(|first| unit.moment.pts.since(first.moment.pts));
            if pending.is_some_and(|pending| pending >= self.worth_a_write()) {
                self.write();
            }
            self.needs_idr = false;
        } else if self.needs_idr {
            self.writer.status.skipped.fetch_add(1, Relaxed);
            return;
        }
        if self.writer.pending.is_empty() {
            self.pending_since = Instant::now();
        }
        self.writer.pending.push(unit);
    }

    /// A disk whose writes take long gets fewer and larger ones.
    fn worth_a_write(&self) -> Duration {
        (self.last_write * 2).clamp(WORTH_A_WRITE, MOST_AT_ONCE)
    }

    /// A GOP from before the event alone is no recording of it.
    fn forget_what_was_before(&mut self) {
        let own = |last: &AccessUnit| last.moment.pts >= self.event.start && last.moment.pts > self.writer.kept;
        if !self.begun() && !self.writer.pending.last().is_some_and(own) {
            self.writer.pending.clear();
        }
    }

    fn lapped(&mut self, missed: u64) {
        self.forget_what_was_before();
        self.write();
        tracing::warn!(camera = self.writer.camera, missed, "the disk was too slow: pictures are missing");
        self.missed += missed;
        self.done.missed += missed;
        self.writer.status.missed.fetch_add(missed, Relaxed);
        self.needs_idr = true;
    }

    fn write_if_late(&mut self) {
        let pending = &self.writer.pending;
        let late = self.pending_since.elapsed() >= self.worth_a_write().max(SYNC_EVERY)
            || pending.iter().map(|unit| unit.bytes.len()).sum::<usize>() >= MOST_BYTES_AT_ONCE;
        // See `take`: until the start has come, it is not known with which IDR the event begins.
        let started =
            self.begun() || pending.last().is_some_and(|last| last.moment.pts > self.event.start.max(self.writer.kept));
        if late && started {
            self.write();
        }
    }

    /// Puts what is pending on disk, or leaves it pending and says why.
    fn write(&mut self) {
        if self.writer.pending.is_empty() {
            return;
        }
        let started = Instant::now();
        match self.try_write() {
            Ok(()) => {
                self.last_write = started.elapsed();
                let status = &self.writer.status;
                status.writes.fetch_add(1, Relaxed);
                status.write_us.fetch_add(self.last_write.as_micros() as u64, Relaxed);
                if self.failing.take().is_some() {
                    tracing::info!(camera = self.writer.camera, "recording goes on");
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn try_write(&mut self) -> Result<(), WriteError> {
        let path = match &self.open {
            Some((id, _)) => format!("recordings/{}/{id}", self.writer.camera),
            None => format!("recordings/{}", self.writer.camera),
        };
        let failed = |e: io::Error| WriteError::of(path.clone(), &e);
        let (id, files) = match &mut self.open {
            Some(open) => open,
            None => {
                let part = self.done.recordings.len();
                let (id, files) = begin(self.writer, self.event, self.clock_synchronised, part).map_err(failed)?;
                self.done.recordings.push(id);
                self.writer.status.recordings.fetch_add(1, Relaxed);
                self.open.insert((id, files))
            }
        };
        let before = files.video_bytes;
        files.append(self.missed, &self.writer.pending).map_err(failed)?;
        self.writer.status.set(State::Recording(*id));
        let (units, bytes) = (self.writer.pending.len() as u64, files.video_bytes - before);
        self.missed = 0;
        self.writer.kept = self.writer.pending.last().map_or(self.writer.kept, |last| last.moment.pts);
        self.writer.pending.clear();
        self.done.units += units;
        self.done.bytes += bytes;
        self.writer.status.units.fetch_add(units, Relaxed);
        self.writer.status.bytes.fetch_add(bytes, Relaxed);
        if let Some(make) = self.make_picture.take() {
            self.picture = make();
        }
        let kept = match &self.picture {
            Some(jpeg) if files.picture_bytes == 0 => files.keep_picture(jpeg).map_err(failed),
            _ => Ok(()),
        };
        self.writer.store.progress(&self.writer.camera, *id, files);
        kept
    }

    /// The disk refuses: the recording ends here, and the event waits for another.
    fn fail(&mut self, error: WriteError) {
        let now = Instant::now();
        self.writer.status.failures.fetch_add(1, Relaxed);
        if self.writer.status.state() != State::Blocked(error.clone()) {
            tracing::error!(camera = self.writer.camera, %error, "recording stopped; it goes on when it can");
        }
        self.writer.status.set(State::Blocked(error.clone()));
        if matches!(error, WriteError::DiskFull { .. }) {
            self.writer.store.ask_for_room();
        }
        let since = self.failing.as_ref().map_or(now, |failing| failing.since);
        self.failing = Some(Failing { error, since, tried: now });
        self.close(CloseReason::StorageFailed);
        // The next recording has to begin with an IDR.
        let at = self.writer.pending.iter().position(|unit| unit.idr).unwrap_or(self.writer.pending.len());
        self.skip(at);
        self.needs_idr = self.writer.pending.is_empty();
    }

    /// Leaves out the oldest of the pending access units.
    fn skip(&mut self, count: usize) {
        self.writer.status.skipped.fetch_add(count as u64, Relaxed);
        self.writer.pending.drain(..count);
    }

    fn close(&mut self, reason: CloseReason) {
        let Some((id, mut files)) = self.open.take() else { return };
        if let Err(error) = files.close(reason) {
            tracing::warn!(camera = self.writer.camera, %id, %error, "cannot be closed now; the next start does it");
        }
        self.writer.store.progress(&self.writer.camera, id, &files);
        self.writer.store.finish(&self.writer.camera, id, reason);
    }

    fn finish(mut self) -> Result<Recorded, WriteError> {
        self.forget_what_was_before();
        self.write();
        self.close(self.event.end.get().map_or(CloseReason::Unknown, |end| end.reason.into()));
        self.writer.pending.clear();
        match self.failing.take() {
            Some(failing) => Err(failing.error),
            None => {
                self.writer.status.set(State::Idle);
                Ok(self.done)
            }
        }
    }
}

/// Opens an event's next recording, for the pending access units.
fn begin(writer: &Writer, event: &Event, clock_synchronised: bool, part: usize) -> io::Result<(RecordingId, Files)> {
    let first = writer.pending.first().ok_or(io::ErrorKind::InvalidInput)?;
    if writer.store.free_bytes()?.is_some_and(|free| free < ROOM_TO_BEGIN_BYTES) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    // An event is named by its trigger; what goes on later, by its own beginning.
    let moment = if part == 0 { event.trigger.wall } else { first.moment.wall };
    let header = Header {
        event: event.id,
        part: part as u32,
        cause: Some(event.cause),
        trigger_pts: event.trigger.pts,
        trigger_wall_us: event.trigger.wall.as_microsecond(),
        size: first.size,
        changed: event.changed,
        clock_synchronised,
        times_assumed: false,
    };
    writer.store.create(&writer.camera, moment, header)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use jiff::tz::TimeZone;

    use super::super::index::{Index, Record};
    use super::super::testing::{FIRST, GOP, decoded, end, event, turned_units, units};
    use super::*;

    fn store(dir: &Path) -> Arc<Store> {
        Arc::new(Store::open_in(dir, TimeZone::UTC).unwrap())
    }

    fn ring() -> Ring<AccessUnit> {
        Ring::new(Duration::from_secs(60), 64 << 20)
    }

    fn index_of(folder: &Path) -> Index {
        Index::parse(&std::fs::read(folder.join("index")).unwrap()).unwrap()
    }

    #[test]
    fn an_event_becomes_a_recording_with_every_picture() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, units, event) = (ring(), units(), event(store.next_event_id()));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        end(&event, &units[99]);
        let mut writer = Writer::new(store.clone(), "front");
        let recorded = writer.record(&event, &ring, true, || Some(b"jpeg".to_vec())).unwrap();
        assert_eq!((recorded.units, recorded.missed), (100, 0));
        assert_eq!(recorded.recordings[0].to_string(), "2020-09-07/12.25.45", "named by the trigger");

        let folder = dir.path().join("recordings/front/2020-09-07/12.25.45");
        assert_eq!(decoded(&folder.join("video.h264")), (100, String::new()));
        assert_eq!(std::fs::read(folder.join("trigger.jpg")).unwrap(), b"jpeg");
        let index = index_of(&folder);
        assert_eq!(index.closed(), Some(CloseReason::Quiet));
        assert_eq!(index.units().count(), 100);
        let video = std::fs::read(folder.join("video.h264")).unwrap();
        for (record, unit) in index.units().zip(&units) {
            assert_eq!(video[record.offset as usize..record.end() as usize], unit.bytes);
            assert_eq!((record.pts, record.idr), (unit.moment.pts, unit.idr));
            assert_eq!(record.wall_us, unit.moment.wall.as_microsecond());
        }
        let shown = store.recording("front", recorded.recordings[0]).unwrap();
        assert_eq!((shown.event, shown.bytes), (1, recorded.bytes + 64 + 101 * 32 + 4));
        assert_eq!(shown.duration, Duration::from_millis(9900));
        assert_eq!((shown.closed, shown.writing), (Some(CloseReason::Quiet), false));
        assert_eq!(writer.status().state(), State::Idle);
        // Read from the files it is the same as it was followed.
        assert_eq!(super::tests::store(dir.path()).recording("front", recorded.recordings[0]).unwrap(), shown);
    }

    #[test]
    fn written_about_once_a_gop() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, event) = (ring(), units(), event(1));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        end(&event, &units[119]);
        let mut writer = Writer::new(store(dir.path()), "front");
        writer.record(&event, &ring, true, || None).unwrap();
        let writes = writer.status().writes.load(Relaxed);
        assert!((2..=12).contains(&writes), "{writes} writes of 12 GOPs");
    }

    #[test]
    fn the_pre_roll_begins_with_the_idr_at_or_before_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, mut event) = (ring(), units(), event(1));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        event.start = units[37].moment.pts;
        end(&event, &units[60]);
        let recorded = Writer::new(store(dir.path()), "front").record(&event, &ring, true, || None).unwrap();
        assert_eq!(recorded.units, 31, "30 to 60");
    }

    #[test]
    fn where_an_event_goes_on_after_another_no_picture_is_missing_or_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, mut second) = (ring(), units(), event(2));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        let first = event(1);
        end(&first, &units[39]);
        second.start = units[39].moment.pts;
        end(&second, &units[60]);
        let mut writer = Writer::new(store(dir.path()), "front");
        assert_eq!(writer.record(&first, &ring, true, || None).unwrap().units, 40, "0 to 39");
        assert_eq!(writer.record(&second, &ring, true, || None).unwrap().units, 21, "40, an IDR, to 60");
    }

    #[test]
    fn a_picture_after_an_end_that_comes_while_the_writer_waits_is_not_recorded() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, event) = (ring(), units(), event(1));
        units[..40].iter().for_each(|unit| ring.push(unit.clone()));
        let recorded = thread::scope(|scope| {
            let recorded = scope.spawn(|| Writer::new(store(dir.path()), "front").record(&event, &ring, true, || None));
            // By then it waits for more.
            thread::sleep(Duration::from_millis(500));
            end(&event, &units[39]);
            ring.push(units[40].clone());
            recorded.join().unwrap().unwrap()
        });
        assert_eq!(recorded.units, 40, "0 to 39");
    }

    #[test]
    fn the_rest_of_an_earlier_event_is_not_recorded_again() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units) = (ring(), units());
        units[..25].iter().for_each(|unit| ring.push(unit.clone()));
        // The encoder slept, and starts again with the picture at which the event starts.
        let late: Vec<_> = units
            .iter()
            .cloned()
            .map(|mut unit| {
                unit.moment.pts = unit.moment.pts + Duration::from_secs(600);
                unit
            })
            .collect();
        let mut event = event(1);
        event.start = late[0].moment.pts;
        end(&event, &late[19]);
        thread::scope(|scope| {
            let recorder = scope.spawn(|| Writer::new(store(dir.path()), "front").record(&event, &ring, true, || None));
            thread::sleep(Duration::from_millis(1500));
            late[..21].iter().for_each(|unit| ring.push(unit.clone()));
            let recorded = recorder.join().unwrap().unwrap();
            assert_eq!(recorded.units, 20);
        });
    }

    #[test]
    fn the_rest_of_an_earlier_event_of_another_size_is_not_recorded_again() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, first, units) = (ring(), event(1), units());
        units[..25].iter().for_each(|unit| ring.push(unit.clone()));
        end(&first, &units[24]);
        let mut writer = Writer::new(store.clone(), "front");
        assert_eq!(writer.record(&first, &ring, true, || None).unwrap().units, 25);
        // The camera was turned meanwhile.
        let (mut second, turned) = (event(2), turned_units());
        (second.trigger, second.start) = (turned[70].moment, turned[55].moment.pts);
        turned[60..90].iter().for_each(|unit| ring.push(unit.clone()));
        end(&second, &turned[89]);
        let recorded = writer.record(&second, &ring, true, || None).unwrap();
        let [id] = recorded.recordings[..] else { panic!("{recorded:?}") };
        let shown = store.recording("front", id).unwrap();
        assert_eq!((recorded.units, shown.part, shown.size), (30, 0, Some(turned[0].size)));
    }

    #[test]
    fn what_was_encoded_is_on_disk_within_two_seconds_while_it_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, event, stop) = (ring(), units(), event(1), AtomicBool::new(false));
        let folder = dir.path().join("recordings/front/2020-09-07/12.25.45");
        thread::scope(|scope| {
            let recorder = scope.spawn(|| Writer::new(store(dir.path()), "front").record(&event, &ring, true, || None));
            // A GOP and a half, then silence: the camera hangs.
            units[..15].iter().for_each(|unit| ring.push(unit.clone()));
            thread::sleep(Duration::from_millis(1800));
            let index = index_of(&folder);
            assert_eq!(index.units().count(), 15);
            assert_eq!(index.closed(), None);
            assert_eq!(decoded(&folder.join("video.h264")).0, 15);
            // It never comes back; the event ends, and the recording with it.
            end(&event, &units[30]);
            assert_eq!(recorder.join().unwrap().unwrap().units, 15);
            stop.store(true, Relaxed);
        });
        assert_eq!(index_of(&folder).closed(), Some(CloseReason::Quiet));
    }

    #[test]
    fn a_change_of_size_goes_on_in_another_recording() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, event) = (ring(), event(9));
        let (first, second) = (units(), turned_units());
        let (first, second) = (&first[..40], &second[40..80]);
        first.iter().chain(second).for_each(|unit| ring.push(unit.clone()));
        end(&event, second.last().unwrap());
        let recorded = Writer::new(store.clone(), "front").record(&event, &ring, true, || Some(vec![1])).unwrap();
        assert_eq!(recorded.units, 80);
        let [a, b] = recorded.recordings[..] else { panic!("two recordings") };
        let (a, b) = (store.recording("front", a).unwrap(), store.recording("front", b).unwrap());
        assert_eq!((a.closed, b.closed), (Some(CloseReason::SizeChanged), Some(CloseReason::Quiet)));
        assert_eq!((a.event, a.part, b.event, b.part), (9, 0, 9, 1));
        assert_eq!((a.size.unwrap(), b.size.unwrap()), (first[0].size, second[0].size));
        for recording in [a, b] {
            let video = dir.path().join(format!("recordings/front/{}/video.h264", recording.id));
            assert_eq!(decoded(&video), (40, String::new()));
            assert!(store.open_trigger("front", recording.id).is_ok());
        }
    }

    #[test]
    fn a_gap_is_marked_and_ends_at_an_idr() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (units, event) = (units(), event(1));
        let ring = Ring::new(Duration::from_secs(2), 64 << 20);
        let mut writer = Writer::new(store.clone(), "front");
        let status = writer.status();
        let mut job = Job::new(&mut writer, &event, true, || None);
        units[..15].iter().for_each(|unit| ring.push(unit.clone()));
        let mut cursor = ring.start_at(event.start);
        for pushed in [&units[15..60], &units[60..]] {
            while let Next::Entry(unit) = ring.next(&mut cursor, None, Duration::ZERO) {
                job.take(unit);
            }
            pushed.iter().for_each(|unit| ring.push(unit.clone()));
            match ring.next(&mut cursor, None, Duration::ZERO) {
                Next::Lapped { missed } => job.lapped(missed),
                other => panic!("{other:?}"),
            }
        }
        while let Next::Entry(unit) = ring.next(&mut cursor, None, Duration::ZERO) {
            job.take(unit);
        }
        let recorded = job.finish().unwrap();
        assert_eq!(recorded.units + recorded.missed, 120);
        assert_eq!(status.missed.load(Relaxed), recorded.missed);
        let index = store.read_index("front", recorded.recordings[0]).unwrap();
        let gaps: Vec<_> = index.records.windows(2).filter(|pair| matches!(pair[0], Record::Gap { .. })).collect();
        assert_eq!(gaps.len(), 2);
        assert!(gaps.iter().all(|pair| matches!(pair[1], Record::Unit(unit) if unit.idr)));
        let video = dir.path().join(format!("recordings/front/{}/video.h264", recorded.recordings[0]));
        assert_eq!(decoded(&video).0 as u64, recorded.units);
    }

    #[test]
    fn a_name_that_is_taken_gives_the_next_second() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, units) = (ring(), units());
        units.iter().for_each(|unit| ring.push(unit.clone()));
        // Each of a daemon started anew, which knows nothing of the one before.
        let names = (1..=3).map(|id| {
            let event = event(id);
            end(&event, &units[5]);
            Writer::new(store.clone(), "front").record(&event, &ring, true, || None).unwrap().recordings[0].to_string()
        });
        assert_eq!(names.collect::<Vec<_>>(), ["2020-09-07/12.25.45", "2020-09-07/12.25.46", "2020-09-07/12.25.47"]);
    }

    #[test]
    fn a_recording_deleted_under_the_writer_goes_on_in_another() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (units, event) = (units(), event(1));
        let mut writer = Writer::new(store.clone(), "front");
        let status = writer.status();
        let mut job = Job::new(&mut writer, &event, true, || None);
        units[..20].iter().for_each(|unit| job.take(unit.clone()));
        job.write();
        std::fs::remove_dir_all(dir.path().join("recordings/front")).unwrap();
        units[20..31].iter().for_each(|unit| job.take(unit.clone()));
        assert!(matches!(status.state(), State::Blocked(WriteError::Vanished { .. })));
        units[31..41].iter().for_each(|unit| job.take(unit.clone()));
        assert!(matches!(status.state(), State::Recording(_)));
        end(&event, &units[40]);
        let recorded = job.finish().unwrap();
        assert_eq!((recorded.recordings.len(), recorded.units), (2, 41));
        let video = dir.path().join(format!("recordings/front/{}/video.h264", recorded.recordings[1]));
        assert_eq!(decoded(&video), (21, String::new()));
    }

    #[test]
    fn a_full_disk_stops_the_recording_and_room_lets_it_go_on() {
        let Some(disk) = SmallDisk::mount(8 << 20) else { return };
        let store = store(disk.path());
        let (ring, units, event) = (ring(), units(), event(1));
        let mut writer = Writer::new(store.clone(), "front");
        let status = writer.status();
        let wait_until = |wanted: &dyn Fn(&State) -> bool| {
            let started = Instant::now();
            while !wanted(&status.state()) {
                assert!(started.elapsed() < Duration::from_secs(10), "{:?}", status.state());
                thread::sleep(Duration::from_millis(20));
            }
        };
        let (recorded, wanted_room) = thread::scope(|scope| {
            let recorder = scope.spawn(|| writer.record(&event, &ring, true, || Some(vec![7; 5000])));
            units[..25].iter().for_each(|unit| ring.push(unit.clone()));
            wait_until(&|state| matches!(state, State::Recording(_)));
            thread::sleep(Duration::from_millis(1500));
            let filler = vec![0; 16 << 20];
            assert!(std::fs::write(disk.path().join("filler"), filler).is_err(), "it is full now");
            units[25..70].iter().for_each(|unit| ring.push(unit.clone()));
            wait_until(&|state| matches!(state, State::Blocked(WriteError::DiskFull { .. })));
            let wanted_room = store.wait_for_room_wanted(Duration::ZERO);
            thread::sleep(Duration::from_millis(1500));
            std::fs::remove_file(disk.path().join("filler")).unwrap();
            wait_until(&|state| matches!(state, State::Recording(_)));
            units[70..].iter().for_each(|unit| ring.push(unit.clone()));
            end(&event, &units[119]);
            ring.advance(Pts::MAX);
            (recorder.join().unwrap().unwrap(), wanted_room)
        });
        assert!(wanted_room);
        let [first, second] = recorded.recordings[..] else { panic!("{recorded:?}") };
        let shown = |id| store.recording("front", id).unwrap();
        assert_eq!(shown(first).closed, Some(CloseReason::StorageFailed));
        assert_eq!((shown(second).closed, shown(second).part), (Some(CloseReason::Quiet), 1));
        let mut pictures = 0;
        for id in [first, second] {
            let (frames, complaints) = decoded(&disk.path().join(format!("recordings/front/{id}/video.h264")));
            assert_eq!(complaints, "");
            assert_eq!(frames, store.read_index("front", id).unwrap().units().count());
            pictures += frames;
        }
        // Only what is needed to begin with an IDR again may be missing.
        assert!(pictures > 120 - GOP, "{pictures} pictures");
        assert_eq!(pictures as u64 + status.skipped.load(Relaxed), 120);
    }

    #[test]
    fn a_disk_that_stays_full_is_an_error_and_leaves_nothing_half_made() {
        let Some(disk) = SmallDisk::mount(1 << 20) else { return };
        let store = store(disk.path());
        let (ring, units, event) = (ring(), units(), event(1));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        end(&event, &units[50]);
        let mut writer = Writer::new(store.clone(), "front");
        let refused = writer.record(&event, &ring, true, || None);
        assert_eq!(refused, Err(WriteError::DiskFull { path: "recordings/front".into() }));
        assert!(matches!(writer.status().state(), State::Blocked(_)));
        assert_eq!(store.days("front"), []);
    }

    /// A file system in memory; needs the right to mount one.
    struct SmallDisk(tempfile::TempDir);

    impl SmallDisk {
        fn mount(bytes: u64) -> Option<Self> {
            let dir = tempfile::tempdir().unwrap();
            let size = format!("size={bytes}");
            let mut mount = std::process::Command::new("mount");
            let mounted = mount.args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output().unwrap();
            if !mounted.status.success() {
                // To the terminal, past the test harness, which hides what a passing test prints.
                let why = String::from_utf8_lossy(&mounted.stderr).into_owned();
                let _ = std::io::Write::write_all(&mut std::io::stderr(), format!("skipped: {why}").as_bytes());
                return None;
            }
            Some(Self(dir))
        }

        fn path(&self) -> &Path {
            self.0.path()
        }
    }

    impl Drop for SmallDisk {
        fn drop(&mut self) {
            let unmounted = std::process::Command::new("umount").arg("-l").arg(self.path()).status();
            assert!(unmounted.unwrap().success());
        }
    }

    #[test]
    fn an_encoder_that_gives_nothing_leaves_no_recording() {
        let dir = tempfile::tempdir().unwrap();
        let (ring, units, event) = (ring(), units(), event(1));
        ring.advance(Pts::MAX);
        end(&event, &units[5]);
        let recorded = Writer::new(store(dir.path()), "front").record(&event, &ring, true, || Some(vec![1])).unwrap();
        assert_eq!(recorded, Recorded::default());
        assert!(!dir.path().join("recordings/front").exists());
    }

    /// The camera was gone before the event and did not come back until its end.
    #[test]
    fn an_event_without_a_picture_of_its_own_leaves_no_recording() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, units) = (ring(), units());
        units[..25].iter().for_each(|unit| ring.push(unit.clone()));
        ring.advance(Pts::MAX);
        let mut writer = Writer::new(store.clone(), "front");
        for (start, last, kept) in [(26, 60, 0), (24, 60, 1)] {
            let mut event = event(store.next_event_id());
            event.start = units[start].moment.pts;
            end(&event, &units[last]);
            let recorded = writer.record(&event, &ring, true, || Some(vec![1])).unwrap();
            assert_eq!(recorded.recordings.len(), kept, "from {start}: {recorded:?}");
        }
        // What the event before has kept is not kept again.
        let mut event = event(store.next_event_id());
        event.start = units[22].moment.pts;
        end(&event, &units[60]);
        assert_eq!(writer.record(&event, &ring, true, || None).unwrap(), Recorded::default());
    }

    #[test]
    fn a_recording_of_an_unset_clock_gets_its_true_time_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let store = store(dir.path());
        let (ring, units, event) = (ring(), units(), event(1));
        units.iter().for_each(|unit| ring.push(unit.clone()));
        end(&event, &units[2 * GOP]);
        let recorded = Writer::new(store.clone(), "front").record(&event, &ring, false, || None).unwrap();
        let id = recorded.recordings[0];
        assert!(!store.recording("front", id).unwrap().times_known);
        store.clock_synchronised();
        let after = store.recording("front", id).unwrap();
        assert!(after.times_known);
        // The system's clock was not set in between, so the correction is none but for the time it takes to read it.
        let index = store.read_index("front", id).unwrap();
        assert!((index.wall_us_at(FIRST) - units[0].moment.wall.as_microsecond()).abs() < 10_000);
    }
}
