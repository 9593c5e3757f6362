//! Who wants to know what becomes of recordings.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use super::id::RecordingId;
use super::store::Store;

/// What has become of a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// It is being written from now on.
    Started,
    /// It is complete.
    Finished,
    /// It is gone.
    Deleted,
    /// It has been protected, or is not any more.
    Changed,
}

type Observer = Arc<dyn Fn(&str, RecordingId, Change) + Send + Sync>;

/// See [`Store::observe`].
#[derive(Default)]
pub(super) struct Observers(Mutex<Vec<Observer>>);

impl Observers {
    pub(super) fn tell(&self, camera: &str, id: RecordingId, change: Change) {
        let observers = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        observers.iter().for_each(|observer| observer(camera, id, change));
    }
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observers")
    }
}

impl Store {
    /// Calls `observer` with the camera and the recording after each change that is made here, on the thread that makes it:
    /// it must not wait for anything. What is put there or taken away by hand is not told.
    pub fn observe(&self, observer: impl Fn(&str, RecordingId, Change) + Send + Sync + 'static) {
        self.observers().0.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(observer));
    }
}
