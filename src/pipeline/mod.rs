//! One camera at work: its threads, and the handle by which the web and the command line use it.
//!
//! | thread | file | duty |
//! | --- | --- | --- |
//! | `NAME-grab` | `grab` | takes pictures from the camera, never waits |
//! | `NAME-develop` | `develop`, `prepare`, `decide` | decodes, looks for motion, prepares, feeds the encoders |
//! | `NAME-encode` | `encode` | one H.264 stream into its ring; one for each stream, and one for live viewers (`live`) |
//! | `NAME-view` | `view` | JPEGs for viewers |
//! | `NAME-SINK` | here; `disk`, `upload` | follows events from the ring to disk or spool; one for each sink |
//!
//! What they share is in `shared`. How things are decided is in `motion` and `recording::policy`, both pure.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use jiff::Timestamp;
use watchtower_core::servo::Angle;

use crate::codec::encoder::Kind;
use crate::config::{self, CameraConfig, Microcontroller, StreamConfig, TuningFault};
use crate::event::Event;
use crate::media::{AccessUnit, Resolution};
use crate::ring::Ring;
use crate::serial;
use crate::settings::{self, Change, PictureSettings, Setting, SettingsFault, SettingsFile};

mod batch;
pub mod counters;
mod decide;
mod develop;
pub mod disk;
mod encode;
mod grab;
mod live;
mod prepare;
mod shared;
mod sight;
pub mod thumbnail;
mod trial;
mod tune;
pub mod upload;
mod view;

pub use counters::Counters;
pub use decide::EventIds;
pub use live::LiveView;
pub use shared::EncodeMode;
pub use sight::{Seen, SightView};
pub use view::{LivePicture, RawView, View};

use encode::Stream;
use shared::{Shared, lock};

/// JPEGs of a camera take at most this much memory; a pre-roll that needs more is shorter, and health says so.
const JPEG_RING_BYTES: usize = 64 << 20;
/// Access units of a stream take at most this much.
const STREAM_RING_BYTES: usize = 32 << 20;
/// Events that may wait for a sink that hangs; each holds a picture.
const WAITING_EVENTS: usize = 8;
/// A ring is this much longer than the pre-roll: what a slow disk or a busy moment may take.
const SLACK: Duration = Duration::from_secs(4);

/// A camera at work. Ends in order by [`Running::stop`].
pub struct Running {
    handle: CameraHandle,
    threads: Vec<JoinHandle<()>>,
}

/// What the web and the command line do with a camera. Cloning shares it.
#[derive(Clone)]
pub struct CameraHandle {
    shared: Arc<Shared>,
    saved: Arc<SettingsFile>,
}

/// What a camera does at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = CameraState)]
pub enum State {
    /// An event is being recorded.
    Recording,
    /// It watches for motion.
    Monitoring,
    /// It does not watch; by-hand recordings are possible.
    Paused,
    /// It does not do what it should: the status says why.
    Degraded,
}

/// A camera's state with its evidence.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Why it is degraded, as a sentence.
    pub degraded: Option<String>,
    /// Whether motion starts recordings.
    pub monitoring: bool,
    /// The number of the event that is being recorded.
    pub recording: Option<u64>,
    /// Size of the pictures as they are shown, turned; `None` before the first.
    pub size: Option<Resolution>,
    /// Pictures a second, measured.
    pub fps: f32,
    /// Viewers at the moment.
    pub viewers: usize,
    /// When the last event was triggered.
    pub last_event: Option<Timestamp>,
    /// The light sensor's last value, 0 to 100.
    pub brightness: Option<u8>,
    /// Seconds since the newest picture was taken.
    pub frame_age_s: Option<f32>,
    /// How the encoders are used.
    pub encode_mode: EncodeMode,
    /// What encodes each stream, or did last.
    pub encoders: BTreeMap<&'static str, Kind>,
    /// How many times faster than real time the machine encodes, measured at start.
    pub encode_speed: Option<f32>,
    /// The largest connected changed area the detector saw last, 0 to 1.
    pub changed: f32,
}

/// The camera gives no pictures at the moment.
#[derive(Debug, thiserror::Error)]
#[error("the camera gives no pictures at the moment: {0}")]
pub struct NotReady(pub String);

/// Why settings were not changed.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The change asks for something that does not exist.
    #[error(transparent)]
    Fault(#[from] SettingsFault),
    /// The change asks for what cannot be.
    #[error(transparent)]
    Tuning(#[from] TuningFault),
    /// They are in force, but could not be saved.
    #[error("the settings are in force, but could not be saved: {0}")]
    Save(io::Error),
}

/// Whatever consumes a stream: the recording on disk, an upload.
pub struct Sink {
    /// For the thread's name and the log, at most 8 letters.
    pub name: &'static str,
    /// The encoding it wants. Sinks that want the same one share it.
    pub stream: StreamConfig,
    /// Called on a thread of its own for each event, in order; follows it to its end. Blocks as long as it likes: the ring
    /// tells it what it missed.
    pub follow: Follow,
    /// Why it cannot do its work at the moment, as a sentence for the status.
    pub fault: Fault,
}

/// See [`Sink::fault`].
pub type Fault = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// See [`Sink::follow`].
pub type Follow = Box<dyn FnMut(&Following) + Send>;

/// An event for a sink to follow.
pub struct Following<'a> {
    /// The event. Its end is set once it is known.
    pub event: &'a Arc<Event>,
    /// The stream's access units, the pre-roll among them.
    pub ring: &'a Ring<AccessUnit>,
    /// The camera's counters.
    pub counters: &'a Counters,
}

/// Starts a camera's threads. Its pictures, or the reason why there are none, show up in its [`Status`].
///
/// # Errors
/// Threads that cannot be started, and a settings folder that cannot be made.
pub fn start(config: CameraConfig, settings_dir: &Path, ids: EventIds, sinks: Vec<Sink>) -> io::Result<Running> {
    let name = config.name.clone();
    let saved = SettingsFile::new(settings_dir, &name)?;
    let mut stored = saved.load(config.rotation);
    stored.motion = config::recalled(&stored.motion).unwrap_or_else(|fault| {
        tracing::warn!(camera = name, "the saved motion settings are left out: {fault}");
        Default::default()
    });
    // Catching up takes as long as the pre-roll on the slowest machine that encodes on events.
    let window = Duration::from_secs_f32(config.motion.recording_padding_s) + SLACK;
    let (faults, sinks): (Vec<_>, Vec<_>) = sinks.into_iter().map(|s| (s.fault, (s.name, s.stream, s.follow))).unzip();
    let microcontroller = config.microcontroller.as_ref().map(link).transpose()?;
    let shared = Arc::new(Shared::new(config, Ring::new(window, JPEG_RING_BYTES), stored, faults, microcontroller));
    shared.switch_light(shared.is_monitoring());
    let handle = CameraHandle { shared: Arc::clone(&shared), saved: Arc::new(saved) };

    let mut threads = Vec::new();
    let mut streams: Vec<Arc<Stream>> = Vec::new();
    let mut events = Vec::new();
    for (sink, wanted, follow) in sinks {
        let stream = match streams.iter().find(|stream| stream.config == wanted) {
            Some(stream) => Arc::clone(stream),
            None => {
                // A disk that is slow just when it makes the recording's files still finds the pre-roll.
                let ring = Ring::new(window * 2, STREAM_RING_BYTES);
                let stream = Arc::new(Stream::new(sink, wanted, ring));
                let (shared, encoded) = (Arc::clone(&shared), Arc::clone(&stream));
                threads.push(spawn(&name, "encode", move || encode::run(&shared, &encoded))?);
                streams.push(Arc::clone(&stream));
                stream
            }
        };
        let (sender, receiver) = mpsc::sync_channel(WAITING_EVENTS);
        events.push(sender);
        let shared = Arc::clone(&shared);
        threads.push(spawn(&name, sink, move || follow_all(&shared, follow, &stream, &receiver))?);
    }
    {
        let shared = Arc::clone(&shared);
        threads.push(spawn(&name, "view", move || {
            view::run(&shared.views, &shared.counters, &shared.config.name);
        })?);
    }
    {
        let decider = decide::Decider::new(&shared, ids, events);
        // Its access units are for viewers, who have a ring of their own.
        let live = Arc::new(Stream::new("live view", shared.config.live.clone(), Ring::new(Duration::ZERO, 0)));
        let (encoding, encoded) = (Arc::clone(&shared), Arc::clone(&live));
        threads.push(spawn(&name, "encode", move || encode::run(&encoding, &encoded))?);
        let developer = develop::Developer::new(&shared, streams, live::Director::new(live), decider);
        threads.push(spawn(&name, "develop", move || developer.run())?);
    }
    {
        let shared = Arc::clone(&shared);
        threads.push(spawn(&name, "grab", move || grab::run(&shared))?);
    }
    Ok(Running { handle, threads })
}

fn link(config: &Microcontroller) -> io::Result<serial::Client> {
    // The configuration has checked that they are angles.
    let angle = |degrees: Option<u8>| degrees.and_then(|degrees| Angle::new(degrees.into()));
    serial::Client::new(config.socket.clone(), angle(config.servo_on), angle(config.servo_off))
}

/// A sink's thread: one event after the other, until the camera ends.
fn follow_all(shared: &Shared, mut follow: Follow, stream: &Stream, events: &mpsc::Receiver<Arc<Event>>) {
    while let Ok(event) = events.recv() {
        follow(&Following { event: &event, ring: &stream.ring, counters: &shared.counters });
    }
}

fn spawn(camera: &str, duty: &str, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    // The kernel shows fifteen bytes; the duty tells more than the end of a long name.
    let camera: String = camera.chars().take(14 - duty.len()).collect();
    std::thread::Builder::new().name(format!("{camera}-{duty}")).spawn(run)
}

impl Running {
    /// The camera's handle.
    pub fn handle(&self) -> CameraHandle {
        self.handle.clone()
    }

    /// Ends the event that is being recorded, properly, and all threads. Blocks until everything is on disk: a
    /// second or two, or the time-out of a camera that is just being opened.
    pub fn stop(self) {
        let shared = &self.handle.shared;
        shared.stopping.store(true, Ordering::Relaxed);
        shared.switch_light(false);
        shared.bell.ring();
        shared.views.close();
        shared.live.close();
        for thread in self.threads {
            let name = thread.thread().name().unwrap_or_default().to_owned();
            if thread.join().is_err() {
                tracing::error!("thread {name} panicked");
            }
        }
    }
}

impl CameraHandle {
    /// Its name: `[a-z0-9-]{1,32}`.
    pub fn name(&self) -> &str {
        &self.shared.config.name
    }

    /// What the annotation shows.
    pub fn label(&self) -> &str {
        &self.shared.config.label
    }

    /// Pictures a second asked of the source.
    pub fn fps(&self) -> u32 {
        self.shared.config.fps
    }

    /// What it does, with the evidence.
    pub fn status(&self) -> Status {
        let shared = &self.shared;
        let now = crate::clock::now();
        let (fault, size, fps, frame_age) = {
            let camera = lock(&shared.camera);
            (camera.fault.clone(), camera.size, camera.fps, camera.newest.map(|newest| now.since(newest)))
        };
        let recording = lock(&shared.current).as_ref().map(|event| event.id);
        let silent = frame_age.is_none_or(|age| age > Duration::from_secs(5));
        let degraded = fault
            .or_else(|| silent.then(|| "the camera has given no picture yet".to_owned()))
            .or_else(|| shared.picture_fault())
            .or_else(|| self.short_pre_roll())
            .or_else(|| self.microcontroller_fault())
            .or_else(|| Some(format!("hardware was to encode, software does: {}", shared.encoders.complaint()?)))
            .or_else(|| shared.sink_faults.iter().find_map(|fault| fault()));
        let monitoring = shared.is_monitoring();
        let state = match (&degraded, recording) {
            (Some(_), _) => State::Degraded,
            (None, Some(_)) => State::Recording,
            (None, None) if monitoring => State::Monitoring,
            (None, None) => State::Paused,
        };
        Status {
            state,
            degraded,
            monitoring,
            recording,
            size: size.map(|size| shared.turned(size)),
            fps,
            viewers: shared.views.viewers() + shared.raw_viewers.load(Ordering::Relaxed) + shared.live.viewers(),
            last_event: *lock(&shared.last_event),
            brightness: shared.brightness(),
            frame_age_s: frame_age.map(|age| age.as_secs_f32()),
            encode_mode: *lock(&shared.encode_mode),
            encoders: shared.encoders.kinds(),
            encode_speed: *lock(&shared.encode_speed),
            changed: *lock(&shared.changed),
        }
    }

    /// Why the pre-roll is not as long as configured, when it is not.
    fn short_pre_roll(&self) -> Option<String> {
        let wanted = Duration::from_secs_f32(self.shared.config.motion.recording_padding_s);
        let held = self.shared.jpegs.squeezed_to().filter(|held| *held < wanted)?;
        Some(format!(
            "the pictures before a trigger are kept for {:.1} s only, not {:.1}: the camera's JPEGs are so large that \
             more do not fit into memory; a smaller size or fewer pictures a second help",
            held.as_secs_f32(),
            wanted.as_secs_f32()
        ))
    }

    /// What is wrong with the microcontroller's service or its port. Recording goes on without them.
    fn microcontroller_fault(&self) -> Option<String> {
        match self.shared.microcontroller.as_ref()?.status() {
            None => Some("the microcontroller's service does not answer".to_owned()),
            Some(status) => status.problem.map(|_| "the microcontroller's serial port is not there".to_owned()),
        }
    }

    /// What the microcontroller's service says; `None` for a camera without one, `Some(None)` while it does not answer.
    pub fn serial(&self) -> Option<Option<serial::Status>> {
        self.shared.microcontroller.as_ref().map(serial::Client::status)
    }

    /// Starts or stops watching for motion, and remembers it. Stopping ends an event that motion started.
    ///
    /// # Errors
    /// When it could not be saved; it is in force all the same.
    pub fn set_monitoring(&self, on: bool) -> io::Result<()> {
        let _saving = lock(&self.shared.saving);
        let stored = {
            let mut stored = lock(&self.shared.settings);
            stored.monitoring = on;
            self.shared.monitoring.store(on, Ordering::Relaxed);
            self.shared.switch_light(on);
            stored.clone()
        };
        self.shared.bell.ring();
        self.saved.save(&stored)
    }

    /// Records now, padded before and after like a motion event.
    ///
    /// # Errors
    /// When there is nothing to record.
    pub fn record_now(&self) -> Result<(), NotReady> {
        if !grab::is_alive(&self.shared, decide::LOST_AFTER) {
            let fault = lock(&self.shared.camera).fault.clone();
            return Err(NotReady(fault.unwrap_or_else(|| "none has come yet".into())));
        }
        self.shared.record_now.store(true, Ordering::Relaxed);
        self.shared.bell.ring();
        Ok(())
    }

    /// The picture settings in force.
    pub fn settings(&self) -> PictureSettings {
        self.shared.picture_settings()
    }

    /// Changes picture settings, at once and without a gap in a recording, and saves them.
    ///
    /// # Errors
    /// A fault in the change, which then changes nothing; or a failure to save.
    pub fn apply(&self, change: &Change) -> Result<PictureSettings, ApplyError> {
        let _saving = lock(&self.shared.saving);
        let stored = {
            let mut stored = lock(&self.shared.settings);
            stored.picture = stored.picture.changed_by(change)?;
            stored.clone()
        };
        self.shared.adjust();
        self.saved.save(&stored).map_err(ApplyError::Save)?;
        Ok(stored.picture)
    }

    /// Which settings this camera has, and who does each.
    pub fn schema(&self) -> Vec<Setting> {
        let driver = lock(&self.shared.camera).controls.as_ref().map(|c| c.settings()).unwrap_or_default();
        settings::schema(driver)
    }

    /// A subscription to annotated JPEGs, at most `width` across and at most `fps` a second.
    pub fn view(&self, width: Option<u32>, fps: Option<f32>) -> View {
        view::ViewHub::subscribe(&self.shared, width, fps)
    }

    /// A subscription to the camera's own JPEGs; `None` where it gives none.
    pub fn raw(&self) -> Option<RawView> {
        lock(&self.shared.camera).gives_jpeg.then(|| RawView::new(&self.shared))
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.shared.counters
    }

    /// How long its grab loop has got nowhere: neither a picture nor an attempt to open that ended.
    pub fn stuck_for(&self) -> Duration {
        self.shared.stuck_for()
    }
}
