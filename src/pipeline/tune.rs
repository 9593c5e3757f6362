//! Motion settings while the camera runs: what is in force, and how the detector gets to know a change.

use std::sync::atomic::Ordering;

use super::shared::{Shared, lock};
use super::{ApplyError, CameraHandle};
use crate::config::{self, MotionConfig, Zone};
use crate::settings::{MotionChange, MotionOverrides};

impl Shared {
    /// Motion settings and zones in force.
    pub(super) fn motion(&self) -> (MotionConfig, Vec<Zone>) {
        self.config.overridden(&lock(&self.settings).motion)
    }
}

impl CameraHandle {
    /// Motion settings and zones in force.
    pub fn motion(&self) -> (MotionConfig, Vec<Zone>) {
        self.shared.motion()
    }

    /// Those of the configuration.
    pub fn declared_motion(&self) -> (MotionConfig, Vec<Zone>) {
        self.shared.config.overridden(&MotionOverrides::default())
    }

    /// Changes motion settings: the detector's next look goes by them. Saves them. Blocks on the disk.
    ///
    /// # Errors
    /// A fault in the change, which then changes nothing; or a failure to save.
    pub fn tune(&self, change: &MotionChange) -> Result<(), ApplyError> {
        let _saving = lock(&self.shared.saving);
        let stored = {
            let mut stored = lock(&self.shared.settings);
            stored.motion = config::tuned(&stored.motion, change)?;
            stored.clone()
        };
        self.shared.retune.store(true, Ordering::Release);
        self.saved.save(&stored).map_err(ApplyError::Save)
    }
}
