//! Uploads as a sink: an event is cut, sealed and handed to the spool while it still runs.
//!
//! How it is cut is `upload::cut`'s, how sealed `upload::seal`'s; what is in the spool goes up by itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::{Following, Sink, disk};
use crate::clock;
use crate::config::{CameraConfig, CameraUpload};
use crate::event::Event;
use crate::h264::same_parameters;
use crate::media::{AccessUnit, Pts};
use crate::recording::id::RecordingId;
use crate::ring::Next;
use crate::upload::Uploads;
use crate::upload::cut::{Cutter, Growing};
use crate::upload::item::{Item, NamedFile};
use crate::upload::manifest::{self, SEALED};
use crate::upload::seal::PublicKey;
use crate::upload::spool::{EventKey, SpoolError};

/// How soon the end of an event is noticed.
const POLL: Duration = Duration::from_millis(100);
/// The first chunk closes this long after the trigger; what is left of two seconds is for sealing and for the disk.
const FIRST_CLOSES: Duration = Duration::from_millis(1750);
/// After an event's end, the encoder has this long to deliver what is missing.
const GRACE: Duration = Duration::from_secs(3);
/// A disk that refuses is tried again for this long; the ring keeps what comes meanwhile.
const DISK_WAITS: Duration = Duration::from_secs(5);
const DISK_RETRY: Duration = Duration::from_millis(500);

/// Uploads a camera's events: `config` has what to upload, `key` seals it.
pub fn sink(camera: &CameraConfig, config: &CameraUpload, key: Option<PublicKey>, uploads: &Arc<Uploads>) -> Sink {
    let mut uploader = Uploader {
        camera: camera.name.clone(),
        folder: camera.upload_folder(),
        config: config.clone(),
        key,
        uploads: Arc::clone(uploads),
        zone: TimeZone::system(),
        kept: Pts::MIN,
        disk_waits: DISK_WAITS,
    };
    let (uploads, destinations) = (Arc::clone(uploads), config.destinations.clone());
    Sink {
        name: "upload",
        stream: config.stream.clone(),
        follow: Box::new(move |following: &Following| uploader.follow(following)),
        fault: Box::new(move || uploads.fault(&destinations)),
    }
}

struct Uploader {
    camera: String,
    folder: String,
    config: CameraUpload,
    key: Option<PublicKey>,
    uploads: Arc<Uploads>,
    zone: TimeZone,
    /// Time of the newest access unit that has been taken.
    kept: Pts,
    disk_waits: Duration,
}

impl Uploader {
    fn follow(&mut self, Following { event, ring, counters }: &Following) {
        let mut cursor = ring.start_at(event.start);
        let mut upload = Upload::begin(self, event);
        let mut heard = Instant::now();
        loop {
            let wait = upload.cutter.due().map_or(POLL, |due| due.since(clock::now()).min(POLL));
            match ring.next(&mut cursor, event.until(), wait) {
                // The end may have become known while this was waited for.
                Next::Entry(unit) if event.until().is_some_and(|until| unit.moment.pts > until) => break,
                Next::Entry(unit) => {
                    heard = Instant::now();
                    upload.take(&unit);
                }
                Next::Lapped { missed } => {
                    counters.upload_lapped.add(missed);
                    tracing::warn!(
                        camera = upload.uploader.camera,
                        missed,
                        "the spool was too slow: pictures are missing"
                    );
                    upload.needs_idr = true;
                }
                Next::Done => break,
                Next::Timeout if event.until().is_some() && heard.elapsed() > GRACE => break,
                Next::Timeout => {}
            }
            upload.cut();
        }
        upload.finish();
    }

    /// A name that no event of this camera has had lately, from the moment on that it is named by.
    fn event_folder(&self, moment: jiff::Timestamp) -> String {
        let mut id = RecordingId::at(moment, &self.zone);
        loop {
            let folder = format!("/{}/{id}", self.folder);
            if !self.uploads.spool().knows_folder(&folder) {
                return folder;
            }
            id = id.next();
        }
    }

    /// The trigger or a manifest, named by whether it is sealed.
    fn named(&self, name: &str, content: Bytes, seal: bool) -> NamedFile {
        match &self.key {
            Some(key) if seal => NamedFile { name: format!("{name}{SEALED}"), bytes: key.seal(&content).into() },
            _ => NamedFile { name: name.to_owned(), bytes: content },
        }
    }
}

/// One event on its way into the spool.
struct Upload<'a> {
    uploader: &'a mut Uploader,
    event: &'a Event,
    key: EventKey,
    cutter: Cutter,
    growing: Growing,
    /// Access units before it is known with which the event begins.
    pending: Vec<AccessUnit>,
    /// It is known with which access unit the event begins.
    begun: bool,
    last_idr: Option<AccessUnit>,
    needs_idr: bool,
    named_by: jiff::Timestamp,
    /// Whether the spool knows the event.
    opened: bool,
}

impl<'a> Upload<'a> {
    /// The trigger goes first of all.
    fn begin(uploader: &'a mut Uploader, event: &'a Event) -> Self {
        let key = EventKey { event: event.id, part: 0, camera: uploader.camera.clone() };
        let start = event.trigger.wall - event.trigger.pts.since(event.start);
        let first_due = event.trigger.pts + FIRST_CLOSES;
        let mut upload = Self {
            cutter: Cutter::new(
                uploader.config.chunk_bytes(),
                Duration::from_secs(uploader.config.chunk_seconds.into()),
                first_due,
            ),
            uploader,
            event,
            key,
            growing: Growing::new(start),
            pending: Vec::new(),
            begun: false,
            last_idr: None,
            needs_idr: true,
            named_by: event.trigger.wall,
            opened: false,
        };
        upload.open(event.trigger.wall);
        let picture = disk::picture(event, &upload.key.camera);
        let seal = upload.uploader.config.seal_trigger;
        let file = picture.map(|jpeg| upload.uploader.named("trigger.jpg", jpeg, seal));
        if file.is_some() {
            upload.add(file, false);
        }
        upload
    }

    fn open(&mut self, named_by: jiff::Timestamp) {
        let folder = self.uploader.event_folder(named_by);
        let destinations = &self.uploader.config.destinations;
        self.named_by = named_by;
        self.opened = self.insist(|| self.uploader.uploads.spool().begin(&self.key, &folder, destinations));
    }

    fn take(&mut self, unit: &AccessUnit) {
        if unit.idr {
            // One upload is one stream: one size, and the parameter sets of one encoder.
            let other = |last: &AccessUnit| last.size != unit.size || !same_parameters(&last.bytes, &unit.bytes);
            if self.last_idr.replace(unit.clone()).is_some_and(|last| other(&last)) && self.begun {
                self.next_part(unit);
            }
            // As on disk: the event begins with the last IDR at or before its start, or where the one before it ended.
            let kept = self.event.start.max(self.uploader.kept);
            let before = |unit: &AccessUnit| unit.moment.pts <= kept;
            if !self.begun && (unit.moment.pts <= self.event.start || self.pending.last().is_some_and(before)) {
                self.pending.clear();
            }
            self.needs_idr = false;
        } else if self.needs_idr {
            return;
        }
        self.pending.push(unit.clone());
        if self.begun || unit.moment.pts > self.event.start.max(self.uploader.kept) {
            self.take_pending();
        }
    }

    /// It is known now that what is pending belongs to the event.
    fn take_pending(&mut self) {
        let now = clock::now();
        for unit in self.pending.drain(..) {
            if !self.begun {
                self.growing.start = unit.moment.wall;
            }
            self.begun = true;
            self.growing.unit(unit.moment.pts, unit.bytes.len());
            self.cutter.push(&unit.bytes, now);
            self.uploader.kept = unit.moment.pts;
        }
    }

    /// Hands what is full or due to the spool.
    fn cut(&mut self) {
        while let Some(video) = self.cutter.next(clock::now()) {
            self.chunk(video, false);
        }
    }

    fn chunk(&mut self, video: Vec<u8>, closed: bool) {
        let video_bytes = video.len();
        let bytes: Bytes = match &self.uploader.key {
            Some(key) => key.seal(&video).into(),
            None => video.into(),
        };
        let name = format!("video{}.h264", self.growing.chunks());
        self.growing.chunk(video_bytes, &bytes);
        self.add(Some(NamedFile { name, bytes }), closed);
    }

    fn add(&mut self, file: Option<NamedFile>, closed: bool) {
        if !self.opened {
            self.open(self.named_by);
        }
        let manifest = self.growing.manifest(closed).to_json();
        let manifest = self.uploader.named(manifest::FILE_NAME, manifest.into(), true);
        let item = Item { file, manifest, closed };
        let spool = self.uploader.uploads.spool();
        if !self.insist(|| spool.add(&self.key, &item)) {
            spool.lost(&self.key, u32::from(item.file.is_some()));
        }
    }

    /// A disk that refuses may have room again in a moment.
    fn insist(&self, attempt: impl Fn() -> Result<(), SpoolError>) -> bool {
        let since = Instant::now();
        while let Err(error) = attempt() {
            if since.elapsed() >= self.uploader.disk_waits || !matches!(error, SpoolError::Disk(_)) {
                tracing::error!(camera = self.key.camera, event = self.event.id, "not uploaded: {error}");
                return false;
            }
            std::thread::sleep(DISK_RETRY);
        }
        true
    }

    /// A change of size or encoder goes on in another upload, as on disk.
    fn next_part(&mut self, first: &AccessUnit) {
        self.close();
        self.key.part += 1;
        let config = &self.uploader.config;
        let chunk_time = Duration::from_secs(config.chunk_seconds.into());
        self.cutter = Cutter::new(config.chunk_bytes(), chunk_time, clock::now() + chunk_time);
        self.growing = Growing::new(first.moment.wall);
        self.open(first.moment.wall);
    }

    fn close(&mut self) {
        self.take_pending();
        self.cut();
        match self.cutter.finish() {
            Some(video) => self.chunk(video, true),
            None => self.add(None, true),
        }
        self.uploader.uploads.spool().end(&self.key);
    }

    fn finish(mut self) {
        // As on disk: a GOP from before the event alone is no video of it.
        let own = |last: &AccessUnit| last.moment.pts >= self.event.start && last.moment.pts > self.uploader.kept;
        if !self.begun && !self.pending.last().is_some_and(own) {
            self.pending.clear();
        }
        self.close();
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::sync::OnceLock;

    use super::*;
    use crate::config::Destination;
    use crate::event::Cause;
    use crate::media::Moment;
    use crate::upload::spool::Spool;
    use crate::upload::worker::Patience;

    #[test]
    fn each_file_that_the_disk_does_not_take_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("spool");
        let spool = Arc::new(Spool::open(&root, 1 << 20, &[Destination::Dropbox]).unwrap());
        let uploads = Uploads::start(Arc::clone(&spool), folder.path(), Vec::new(), Patience::default()).unwrap();
        let mut uploader = Uploader {
            camera: "front".into(),
            folder: "Front".into(),
            config: CameraUpload::new(vec![Destination::Dropbox]),
            key: None,
            uploads: Arc::new(uploads),
            zone: TimeZone::UTC,
            kept: Pts::MIN,
            disk_waits: Duration::ZERO,
        };
        let event = Event {
            id: 1,
            cause: Cause::Manual,
            trigger: Moment { pts: clock::now(), wall: "2026-03-01T12:00:00Z".parse().unwrap(), brightness: None },
            start: clock::now(),
            changed: 0.0,
            regions: Vec::new(),
            picture: None,
            jpeg: OnceLock::from(Some(Bytes::from_static(b"a picture"))),
            end: OnceLock::new(),
        };
        let losses = || (spool.losses().lost, spool.losses().last.is_some());
        // The event cannot be opened, nor what comes of it be added.
        fs::remove_dir(&root).unwrap();
        let mut upload = Upload::begin(&mut uploader, &event);
        assert_eq!(losses(), (1, true));
        upload.chunk(vec![1; 10], false);
        assert_eq!(losses(), (2, true));
        // It goes on once the disk is back, until it is gone again.
        fs::create_dir(&root).unwrap();
        upload.chunk(vec![2; 10], false);
        assert_eq!((losses(), spool.backlog(Destination::Dropbox).files), ((2, true), 1));
        fs::rename(root.join(upload.key.to_string()), root.join("away")).unwrap();
        upload.chunk(vec![3; 10], false);
        fs::rename(root.join("away"), root.join(upload.key.to_string())).unwrap();
        let key = upload.key.clone();
        upload.finish();
        assert_eq!((losses().0, spool.backlog(Destination::Dropbox).files), (3, 1));
        assert_eq!(spool.event(&key).unwrap().cause.unwrap(), "1 file could not be kept on the disk");
    }
}
