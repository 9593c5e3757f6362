//! What is done to every picture before anyone sees it: rotation, software settings, annotation.

use std::sync::Arc;

use bytes::Bytes;
use jiff::tz::TimeZone;

use super::shared::{Shared, lock};
use crate::codec::jpeg::Annotator;
use crate::media::{Frame, FramePool, Jpeg, Moment};
use crate::overlay::{self, Overlay};
use crate::picture::{self, Levels, Rotation};
use crate::settings::PictureSettings;

/// What software does to a camera's pictures, since its driver does not. Cheap to clone.
#[derive(Clone)]
pub(super) struct Adjustment {
    pub(super) rotation: Rotation,
    levels: Arc<Levels>,
}

impl Adjustment {
    /// The settings, less those of which `by_driver` says that the driver does them.
    pub(super) fn of(settings: &PictureSettings, by_driver: impl Fn(&str) -> bool) -> Self {
        let neutral = PictureSettings::default();
        let left = |name, value, neutral| if by_driver(name) { neutral } else { value };
        let rotation = left("rotation", settings.rotation, 0);
        let levels = Levels::new(
            left("brightness", settings.brightness, neutral.brightness),
            left("contrast", settings.contrast, neutral.contrast),
            left("saturation", settings.saturation, neutral.saturation),
        );
        // One of the four: settings have been checked.
        Self { rotation: Rotation::from_degrees(rotation).unwrap_or_default(), levels: Arc::new(levels) }
    }

    fn is_identity(&self) -> bool {
        self.rotation == Rotation::None && self.levels.is_identity()
    }
}

impl Default for Adjustment {
    fn default() -> Self {
        Self::of(&PictureSettings::default(), |_| false)
    }
}

/// Prepares frames of one camera. Not shared: it keeps the last annotation's pixels.
pub(super) struct Preparer {
    pool: FramePool,
    overlay: Overlay,
    annotator: Annotator,
    zone: TimeZone,
}

impl Preparer {
    pub(super) fn new(pool: FramePool) -> Self {
        Self { pool, overlay: Overlay::default(), annotator: Annotator::default(), zone: TimeZone::system() }
    }

    /// The frame as it is shown and recorded.
    pub(super) fn prepare(&mut self, shared: &Shared, frame: Frame) -> Frame {
        shared.counters.prepare.time(|| {
            let adjustment = lock(&shared.adjustment).clone();
            let mut frame = picture::rotate(frame, adjustment.rotation, &self.pool);
            adjustment.levels.apply(&mut frame);
            if let Some(line) = self.line(shared, &frame.moment) {
                self.overlay.burn(&mut frame, &line);
            }
            frame
        })
    }

    /// A picture that says why there is none.
    pub(super) fn notice(&mut self, shared: &Shared, text: &str) -> Frame {
        let size = lock(&shared.camera).size.unwrap_or(shared.config.size);
        let mut frame = self.pool.frame(shared.turned(size), crate::clock::moment_at(crate::clock::now(), None));
        let [y, u, v] = frame.planes_mut();
        y.fill(40);
        u.fill(128);
        v.fill(128);
        self.overlay.burn(&mut frame, text);
        frame
    }

    /// The JPEG as it is shown, without decoding it; nothing where it has to be decoded for that.
    pub(super) fn prepare_coded(&mut self, shared: &Shared, jpeg: &Jpeg) -> Option<Bytes> {
        if !lock(&shared.adjustment).is_identity() {
            return None;
        }
        shared.counters.prepare.time(|| match self.line(shared, &jpeg.moment) {
            Some(line) => self.annotator.annotate(&jpeg.bytes, &line).map(Bytes::from),
            None => Some(jpeg.bytes.clone()),
        })
    }

    /// What is burned in, if anything.
    fn line(&self, shared: &Shared, moment: &Moment) -> Option<String> {
        let annotation = &shared.config.annotation;
        if !annotation.enabled {
            return None;
        }
        let brightness = moment.brightness.filter(|_| shared.is_monitoring());
        let local = moment.wall.to_zoned_datetime(self.zone.clone());
        // The format was checked with the configuration.
        let time = jiff::fmt::strtime::format(&annotation.time_format, &local).unwrap_or_default();
        Some(overlay::line(&shared.config.label, &time, brightness))
    }
}
