//! What the detector sees, for those who watch it: boxes as something moves, and for tuning every cell that changed.
//!
//! Made only while somebody watches, and only the newest is kept: a box that is seconds old is worth nothing. Detection is
//! `motion`'s, the settings it goes by `tune`'s.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::watch;

use super::CameraHandle;
use super::shared::Shared;
use crate::media::Moment;
use crate::motion::{Cells, Detector, Sight};

/// One look of the detector's.
#[derive(Debug)]
pub struct Seen {
    /// When the picture was taken.
    pub moment: Moment,
    /// What it shows.
    pub sight: Sight,
    /// The part of the picture, 0 to 1, that has to change to be motion.
    pub threshold: f32,
    /// Which cells changed, while somebody tunes.
    pub cells: Option<Cells>,
}

/// Who watches the detector.
pub(super) struct SightHub {
    newest: watch::Sender<Option<Arc<Seen>>>,
    tuners: AtomicUsize,
}

impl Default for SightHub {
    fn default() -> Self {
        Self { newest: watch::channel(None).0, tuners: AtomicUsize::new(0) }
    }
}

impl SightHub {
    /// Whether the detector is watched for tuning: then it looks also while nothing would be recorded.
    pub(super) fn is_tuning(&self) -> bool {
        self.tuners.load(Ordering::Relaxed) > 0
    }

    /// Whether anybody watches.
    pub(super) fn is_watched(&self) -> bool {
        self.newest.receiver_count() > 0
    }

    pub(super) fn show(&self, moment: Moment, sight: &Sight, detector: &Detector) {
        if self.is_watched() {
            let cells = self.is_tuning().then(|| detector.cells());
            let seen = Seen { moment, sight: sight.clone(), threshold: detector.threshold(), cells };
            self.newest.send_replace(Some(Arc::new(seen)));
        }
    }
}

/// A subscription to what the detector sees. Dropping it ends it.
pub struct SightView {
    shared: Arc<Shared>,
    newest: watch::Receiver<Option<Arc<Seen>>>,
    tuning: bool,
}

impl CameraHandle {
    /// A subscription to what the detector sees; with `tuning` it looks also while the camera does not watch.
    pub fn sights(&self, tuning: bool) -> SightView {
        if tuning {
            self.shared.sights.tuners.fetch_add(1, Ordering::Relaxed);
        }
        let mut newest = self.shared.sights.newest.subscribe();
        // What was seen when somebody else watched is old.
        newest.mark_unchanged();
        SightView { shared: Arc::clone(&self.shared), newest, tuning }
    }
}

impl SightView {
    /// The newest look, if there was one since the last call. Never waits.
    pub fn newer(&mut self) -> Option<Arc<Seen>> {
        // Without a sender there is nothing to see any more.
        if !self.newest.has_changed().unwrap_or(false) {
            return None;
        }
        self.newest.borrow_and_update().clone()
    }
}

impl Drop for SightView {
    fn drop(&mut self) {
        if self.tuning {
            self.shared.sights.tuners.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
