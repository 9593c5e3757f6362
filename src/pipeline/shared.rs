//! What the threads of one camera and its handle share, and how they wake each other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Fault;
use super::counters::Counters;
use super::live::LiveHub;
use super::prepare::Adjustment;
use super::sight::SightHub;
use super::view::ViewHub;
use crate::camera::Controls;
use crate::codec::encoder::Kind;
use crate::config::CameraConfig;
use crate::event::Event;
use crate::media::{Frame, Jpeg, Pts, Resolution};
use crate::ring::Ring;
use crate::serial::Client;
use crate::settings::{PictureSettings, StoredSettings};

/// A lock whose content is never left half changed, so that a panic in another thread does not spoil it.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// Wakes a thread that has several reasons to wake. Rings are counted, so that none between a look and a wait is lost.
#[derive(Default)]
pub(super) struct Bell {
    rings: Mutex<u64>,
    rung: Condvar,
}

impl Bell {
    pub(super) fn ring(&self) {
        *lock(&self.rings) += 1;
        self.rung.notify_all();
    }

    pub(super) fn rings(&self) -> u64 {
        *lock(&self.rings)
    }

    /// Waits until it has rung since `seen` was read, `timeout` at most.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) {
        let deadline = Instant::now() + timeout;
        let mut rings = lock(&self.rings);
        while *rings == seen {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            rings = self.rung.wait_timeout(rings, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }
}

/// What is known of the camera itself.
#[derive(Default)]
pub(super) struct CameraState {
    /// Why it gives no pictures, while it does not.
    pub(super) fault: Option<String>,
    /// Size of its pictures, as they come.
    pub(super) size: Option<Resolution>,
    /// Pictures a second, measured.
    pub(super) fps: f32,
    /// Time of its newest picture.
    pub(super) newest: Option<Pts>,
    /// What its driver can set.
    pub(super) controls: Option<Arc<dyn Controls>>,
    /// Whether it gives JPEGs.
    pub(super) gives_jpeg: bool,
}

/// How the encoders are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EncodeMode {
    /// Not measured yet: no picture has come.
    Unknown,
    /// From the trigger on, with the pre-roll from the camera's JPEGs.
    OnEvent,
    /// All the time: raw pictures, or a machine too slow to catch up with a pre-roll.
    Continuous,
}

/// What encodes each stream at the moment, or did last.
#[derive(Default)]
pub(super) struct Encoders(Mutex<BTreeMap<&'static str, (Kind, Option<String>)>>);

impl Encoders {
    /// A stream's encoder, and what is wrong with it; a stream that rests keeps what was said last.
    pub(super) fn tell(&self, stream: &'static str, kind: Option<Kind>, complaint: Option<&str>) {
        let Some(kind) = kind else { return };
        let mut known = lock(&self.0);
        if known.get(stream).is_none_or(|(old, why)| *old != kind || why.as_deref() != complaint) {
            known.insert(stream, (kind, complaint.map(str::to_owned)));
        }
    }

    pub(super) fn kinds(&self) -> BTreeMap<&'static str, Kind> {
        lock(&self.0).iter().map(|(stream, (kind, _))| (*stream, kind.clone())).collect()
    }

    pub(super) fn complaint(&self) -> Option<String> {
        lock(&self.0).values().find_map(|(_, complaint)| complaint.clone())
    }
}

pub(super) struct Shared {
    pub(super) config: CameraConfig,
    pub(super) counters: Counters,
    /// Pictures of a JPEG camera: pre-roll, viewers of the camera's own JPEGs, everything else.
    pub(super) jpegs: Ring<Jpeg>,
    /// The newest picture of a raw camera, until it is taken.
    pub(super) raw: Mutex<Option<Frame>>,
    /// Rings for every new picture, request and free place in an encoder's queue.
    pub(super) bell: Bell,
    pub(super) camera: Mutex<CameraState>,
    pub(super) views: ViewHub,
    pub(super) live: LiveHub,
    pub(super) sights: SightHub,
    pub(super) settings: Mutex<StoredSettings>,
    /// Held while settings are changed and saved, which may take as long as the disk likes.
    pub(super) saving: Mutex<()>,
    /// The settings that software does; a copy, so that no frame waits for a save.
    pub(super) adjustment: Mutex<Adjustment>,
    /// Held while the driver is told, so that the last settings win.
    adjusting: Mutex<()>,
    pub(super) monitoring: AtomicBool,
    /// The motion settings have changed since the detector looked last.
    pub(super) retune: AtomicBool,
    /// Somebody asked for a recording.
    pub(super) record_now: AtomicBool,
    pub(super) stopping: AtomicBool,
    /// The light and the servo that go with the camera.
    pub(super) microcontroller: Option<Client>,
    pub(super) current: Mutex<Option<Arc<Event>>>,
    pub(super) last_event: Mutex<Option<Timestamp>>,
    /// Why pictures that come cannot be used, while they cannot.
    picture_fault: Mutex<Option<String>>,
    /// Why each sink cannot do its work, while it cannot.
    pub(super) sink_faults: Vec<Fault>,
    pub(super) encode_mode: Mutex<EncodeMode>,
    pub(super) encoders: Encoders,
    /// How many times faster than real time this machine encodes the camera's streams, measured at start.
    pub(super) encode_speed: Mutex<Option<f32>>,
    /// Viewers of the camera's own JPEGs.
    pub(super) raw_viewers: AtomicUsize,
    /// What the detector saw last.
    pub(super) changed: Mutex<f32>,
    /// Milliseconds on the monotonic clock at which the grab loop last got somewhere: a picture or a finished attempt.
    progress_ms: AtomicU64,
}

impl Shared {
    pub(super) fn new(
        config: CameraConfig,
        jpegs: Ring<Jpeg>,
        stored: StoredSettings,
        sink_faults: Vec<Fault>,
        microcontroller: Option<Client>,
    ) -> Self {
        let shared = Self {
            counters: Counters::default(),
            jpegs,
            raw: Mutex::default(),
            bell: Bell::default(),
            camera: Mutex::default(),
            views: ViewHub::default(),
            live: LiveHub::default(),
            sights: SightHub::default(),
            monitoring: AtomicBool::new(stored.monitoring),
            saving: Mutex::default(),
            adjusting: Mutex::default(),
            adjustment: Mutex::default(),
            settings: Mutex::new(stored),
            retune: AtomicBool::new(false),
            record_now: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            microcontroller,
            current: Mutex::default(),
            last_event: Mutex::default(),
            picture_fault: Mutex::default(),
            sink_faults,
            encode_mode: Mutex::new(EncodeMode::Unknown),
            encoders: Encoders::default(),
            encode_speed: Mutex::default(),
            raw_viewers: AtomicUsize::new(0),
            changed: Mutex::default(),
            progress_ms: AtomicU64::new(0),
            config,
        };
        shared.progressed();
        shared.adjust();
        shared
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    pub(super) fn is_monitoring(&self) -> bool {
        self.monitoring.load(Ordering::Relaxed)
    }

    /// Whether the detector decides about events.
    pub(super) fn is_watching(&self) -> bool {
        self.is_monitoring() && !self.is_stopping()
    }

    /// Whether anybody waits for the next picture, or for what the detector sees in it.
    pub(super) fn is_awaited(&self) -> bool {
        self.is_stopping() || self.views.viewers() + self.live.viewers() > 0 || self.sights.is_watched()
    }

    /// The light sensor's last value.
    pub(super) fn brightness(&self) -> Option<u8> {
        self.microcontroller.as_ref()?.brightness()
    }

    /// Why pictures that come cannot be used; `None` as soon as one can. Logged when it changes.
    pub(super) fn set_fault(&self, fault: Option<String>) {
        let mut known = lock(&self.picture_fault);
        if *known != fault {
            match &fault {
                Some(fault) => tracing::error!(camera = self.config.name, "{fault}"),
                None => tracing::info!(camera = self.config.name, "pictures can be used again"),
            }
            *known = fault;
        }
    }

    /// See [`Shared::set_fault`].
    pub(super) fn picture_fault(&self) -> Option<String> {
        lock(&self.picture_fault).clone()
    }

    pub(super) fn progressed(&self) {
        let now = crate::clock::now();
        self.progress_ms.store((now.as_secs_f64() * 1000.0) as u64, Ordering::Relaxed);
    }

    /// How long the grab loop has got nowhere.
    pub(super) fn stuck_for(&self) -> Duration {
        let now = (crate::clock::now().as_secs_f64() * 1000.0) as u64;
        Duration::from_millis(now.saturating_sub(self.progress_ms.load(Ordering::Relaxed)))
    }

    /// Light and servo follow monitoring.
    pub(super) fn switch_light(&self, on: bool) {
        match (&self.microcontroller, on) {
            (Some(client), true) => client.start(),
            (Some(client), false) => client.stop(),
            (None, _) => {}
        }
    }

    /// The picture settings in force.
    pub(super) fn picture_settings(&self) -> PictureSettings {
        lock(&self.settings).picture.clone()
    }

    /// What becomes of a size by the rotation in force.
    pub(super) fn turned(&self, size: Resolution) -> Resolution {
        lock(&self.adjustment).rotation.turned(size)
    }

    /// Makes driver and software follow the settings in force.
    pub(super) fn adjust(&self) {
        let _adjusting = lock(&self.adjusting);
        let settings = self.picture_settings();
        let controls = lock(&self.camera).controls.clone();
        let driver = controls.as_ref().map(|c| c.settings()).unwrap_or_default();
        *lock(&self.adjustment) = Adjustment::of(&settings, |name| driver.iter().any(|s| s.name == name));
        if let Some(Err(failed)) = controls.map(|c| c.apply(&settings)) {
            for sentence in failed {
                tracing::warn!(camera = self.config.name, "{sentence}");
            }
        }
    }
}
