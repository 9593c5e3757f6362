//! What is done to every whole frame before anyone sees it: rotation, software settings, annotation.

use jiff::tz::TimeZone;

use super::shared::{Shared, lock};
use crate::media::{Frame, FramePool};
use crate::overlay::{self, Overlay};

/// Prepares frames of one camera. Not shared: it keeps the last annotation's pixels.
pub(super) struct Preparer {
    pool: FramePool,
    overlay: Overlay,
    zone: TimeZone,
}

impl Preparer {
    pub(super) fn new(pool: FramePool) -> Self {
        Self { pool, overlay: Overlay::default(), zone: TimeZone::system() }
    }

    /// The frame as it is shown and recorded.
    pub(super) fn prepare(&mut self, shared: &Shared, frame: Frame) -> Frame {
        shared.counters.prepare.time(|| {
            let adjustment = *lock(&shared.adjustment);
            let mut frame = adjustment.rotate(frame, &self.pool);
            adjustment.adjust(&mut frame);
            let annotation = &shared.config.annotation;
            if annotation.enabled {
                let brightness = frame.moment.brightness.filter(|_| shared.is_monitoring());
                let local = frame.moment.wall.to_zoned(self.zone.clone());
                // The format was checked with the configuration.
                let time = jiff::fmt::strtime::format(&annotation.time_format, &local).unwrap_or_default();
                self.overlay.draw(&mut frame, &overlay::line(&shared.config.label, &time, brightness));
            }
            frame
        })
    }

    /// A picture that says why there is none.
    pub(super) fn notice(&mut self, shared: &Shared, text: &str) -> Frame {
        let size = lock(&shared.camera).size.unwrap_or(shared.config.size);
        let mut frame = self.pool.frame(size, crate::clock::moment_at(crate::clock::now(), None));
        let [y, u, v] = frame.planes_mut();
        y.fill(40);
        u.fill(128);
        v.fill(128);
        self.overlay.draw(&mut frame, text);
        frame
    }

    /// Whether a frame would be left as it is.
    pub(super) fn is_identity(&self, shared: &Shared) -> bool {
        !shared.config.annotation.enabled && lock(&shared.adjustment).is_identity()
    }
}
