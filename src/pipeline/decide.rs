//! Detector and policy of one camera: looks at pictures, starts and ends events, and tells the sinks.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use super::grab;
use super::shared::{Shared, lock};
use crate::event::{End, Event};
use crate::media::{Frame, Luma, Moment, Pts};
use crate::motion::{Cadence, Detector, Sight};
use crate::recording::policy::{Decision, Input, Policy, PolicyConfig};

/// A camera that is silent for this long has been lost: its event ends.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(2);

/// Camera and exposure have followed a switched light after this.
const LIGHT_SETTLES: Duration = Duration::from_secs(3);

/// Gives events their persistent numbers.
pub type EventIds = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What a step changed, for those who feed the encoders.
#[derive(Default)]
pub(super) struct Change {
    /// An event started.
    pub(super) started: Option<Arc<Event>>,
    /// One ended here because it was long enough; the next one may follow without a gap.
    pub(super) rolled: Option<Pts>,
}

pub(super) struct Decider {
    detector: Detector,
    policy: Policy,
    ids: EventIds,
    sinks: Vec<SyncSender<Arc<Event>>>,
    current: Option<Arc<Event>>,
    cadence: Cadence,
    last_sight: Sight,
    was_looking: bool,
    /// Time of the last step: a silent camera's first picture may be older.
    last_step: Pts,
    /// What the microcontroller has told of the light so far.
    light_changes: u64,
}

/// A detector that has seen nothing yet, with the settings in force.
fn detector(shared: &Shared) -> Detector {
    let (motion, zones) = shared.motion();
    Detector::new(&motion, &zones)
}

impl Decider {
    pub(super) fn new(shared: &Shared, ids: EventIds, sinks: Vec<SyncSender<Arc<Event>>>) -> Self {
        let config = &shared.config;
        let padding = Duration::from_secs_f32(config.motion.recording_padding_s);
        Self {
            detector: detector(shared),
            policy: Policy::new(PolicyConfig {
                pre_roll: padding,
                post_roll: padding,
                max_event: Duration::from_secs_f32(config.motion.max_event_time_s),
                record_always: config.record_always,
            }),
            ids,
            sinks,
            current: None,
            cadence: Cadence::default(),
            last_sight: Sight::default(),
            was_looking: shared.is_monitoring(),
            last_step: Pts::MIN,
            light_changes: 0,
        }
    }

    /// Whether the detector wants to see a picture of this time. To be asked once for each.
    pub(super) fn is_due(&mut self, shared: &Shared, pts: Pts) -> bool {
        // A look would end the event at its own picture, while later ones wait already.
        !shared.is_stopping() && (shared.is_monitoring() || shared.sights.is_tuning()) && self.cadence.due(pts)
    }

    /// Looks at a reduced picture, as it is shown, and decides.
    pub(super) fn look(
        &mut self,
        shared: &Shared,
        luma: &Luma,
        moment: Moment,
        picture: impl FnOnce() -> Option<Arc<Frame>>,
    ) -> Change {
        if !std::mem::replace(&mut self.was_looking, true) {
            // What changed while nobody looked is not motion.
            self.detector = detector(shared);
        }
        if shared.retune.swap(false, Ordering::Acquire) {
            let (motion, zones) = shared.motion();
            self.detector.set_config(&motion);
            self.detector.set_zones(&zones);
        }
        shared.counters.looks.one();
        let light_changes = shared.microcontroller.as_ref().map_or(0, |client| client.light_changes());
        if std::mem::replace(&mut self.light_changes, light_changes) != light_changes {
            self.detector.expect_light_change(moment.pts + LIGHT_SETTLES);
        }
        let sight = shared.counters.detect.time(|| self.detector.look(luma, moment.pts));
        if sight.light_changed && !self.last_sight.light_changed {
            shared.counters.light_changes.one();
        }
        *lock(&shared.changed) = sight.changed;
        shared.sights.show(moment, &sight, &self.detector);
        let motion = sight.motion;
        self.last_sight = sight;
        self.step(shared, moment, motion, picture)
    }

    /// Decides without a new look: requests, time, a camera that is gone.
    pub(super) fn tick(
        &mut self,
        shared: &Shared,
        moment: Moment,
        picture: impl FnOnce() -> Option<Arc<Frame>>,
    ) -> Change {
        self.step(shared, moment, false, picture)
    }

    fn step(
        &mut self,
        shared: &Shared,
        moment: Moment,
        motion: bool,
        picture: impl FnOnce() -> Option<Arc<Frame>>,
    ) -> Change {
        let monitoring = shared.is_monitoring();
        if !monitoring && !shared.sights.is_tuning() {
            self.was_looking = false;
            self.last_sight = Sight::default();
        }
        let input = Input {
            motion,
            manual: shared.record_now.swap(false, Ordering::Relaxed),
            monitoring,
            camera_alive: grab::is_alive(shared, LOST_AFTER),
            shutting_down: shared.is_stopping(),
        };
        self.last_step = self.last_step.max(moment.pts);
        let mut picture = Some(picture);
        let mut change = Change::default();
        for decision in self.policy.step(self.last_step, input) {
            match decision {
                Decision::Start { start, cause, .. } => {
                    let event = Arc::new(Event {
                        id: (self.ids)(),
                        cause,
                        trigger: moment,
                        start,
                        changed: self.last_sight.changed,
                        regions: self.last_sight.regions.clone(),
                        picture: picture.take().and_then(|make| make()),
                        jpeg: Default::default(),
                        end: Default::default(),
                    });
                    self.start(shared, &event);
                    change.started = Some(event);
                }
                Decision::End(end) => self.end(shared, end),
                Decision::Roll(end) => {
                    self.end(shared, end);
                    self.detector.rebase();
                    change.rolled = Some(end.pts);
                }
            }
        }
        change
    }

    fn start(&mut self, shared: &Shared, event: &Arc<Event>) {
        tracing::info!(
            camera = shared.config.name,
            event = event.id,
            cause = ?event.cause,
            changed = event.changed,
            "an event starts"
        );
        shared.counters.events.one();
        *lock(&shared.current) = Some(Arc::clone(event));
        *lock(&shared.last_event) = Some(event.trigger.wall);
        self.current = Some(Arc::clone(event));
        for sink in &self.sinks {
            match sink.try_send(Arc::clone(event)) {
                Ok(()) => {}
                Err(TrySendError::Full(_)) => {
                    shared.counters.events_missed.one();
                    tracing::error!(
                        camera = shared.config.name,
                        event = event.id,
                        "a sink hangs: the event is not kept"
                    );
                }
                // A sink that is gone has said why.
                Err(TrySendError::Disconnected(_)) => {}
            }
        }
    }

    fn end(&mut self, shared: &Shared, end: End) {
        if let Some(event) = self.current.take() {
            // An event ends once; the policy knows no second end.
            let _ = event.end.set(end);
            tracing::info!(camera = shared.config.name, event = event.id, reason = ?end.reason, "the event ends");
        }
        *lock(&shared.current) = None;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::PathBuf;

    use jiff::Timestamp;

    use super::*;
    use crate::camera::Source;
    use crate::config::CameraConfig;
    use crate::ring::Ring;
    use crate::serial::Client;
    use crate::settings::StoredSettings;

    /// When the light is switched.
    const SWITCHED_S: f64 = 5.0;

    /// A room; from `SWITCHED_S` on a reflection wanders over its wall for two seconds, as when a lamp warms up and a camera follows.
    fn room(s: f64) -> Luma {
        let (width, height) = (128, 72);
        let glint = (SWITCHED_S..SWITCHED_S + 2.0).contains(&s).then_some(((s - SWITCHED_S) * 16.0) as usize);
        let level = |x: usize, y: usize| {
            let lit = glint.is_some_and(|left| (left..left + 8).contains(&x) && (30..52).contains(&y));
            if lit { 250 } else { 90 + 30 * ((x / 9 + y / 7) % 2) as u8 }
        };
        Luma { width, height, data: (0..width * height).map(|at| level(at % width, at / width)).collect() }
    }

    /// Events that the wandering reflection starts when `switch` is called as it begins.
    fn events(switch: impl Fn(&Client)) -> u64 {
        let mut config = CameraConfig::new("front", Source::Pattern);
        config.motion.recording_padding_s = 1.0;
        let client = Client::new(PathBuf::from("/nonexistent/socket"), None, None).unwrap();
        let jpegs = Ring::new(Duration::from_secs(1), 1);
        let shared = Shared::new(config, jpegs, StoredSettings::new(0), Vec::new(), Some(client));
        let begin = crate::clock::now();
        lock(&shared.camera).newest = Some(begin + Duration::from_secs(3600)); // it is alive, however slow this machine is
        let mut decider = Decider::new(&shared, Arc::new(|| 1), Vec::new());
        for look in 0..100 {
            let s = f64::from(look) / 10.0;
            if look == (SWITCHED_S * 10.0) as i32 {
                switch(shared.microcontroller.as_ref().unwrap());
            }
            let moment =
                Moment { pts: begin + Duration::from_secs_f64(s), wall: Timestamp::UNIX_EPOCH, brightness: None };
            assert!(decider.is_due(&shared, moment.pts));
            decider.look(&shared, &room(s), moment, || None);
        }
        shared.counters.events.get()
    }

    #[test]
    fn the_detector_is_told_before_the_light_changes() {
        assert_eq!(events(|_| {}), 1, "untold, this reflection is motion");
        assert_eq!(events(Client::start), 0);
        assert_eq!(events(Client::stop), 0);
    }
}
