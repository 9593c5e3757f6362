//! The disk as a sink: events become recordings.
//!
//! How they are written is `recording::writer`'s; here it is only connected to a camera.

use std::sync::Arc;

use super::{Following, Sink};
use crate::clock;
use crate::codec::still;
use crate::config::CameraConfig;
use crate::event::Event;
use crate::recording::store::Store;
use crate::recording::writer::{State, Writer};

/// Records a camera's events into the store.
pub fn sink(config: &CameraConfig, store: &Arc<Store>) -> Sink {
    let mut writer = Writer::new(Arc::clone(store), &config.name);
    let camera = config.name.clone();
    let status = writer.status();
    Sink {
        name: "disk",
        stream: config.disk.clone(),
        follow: Box::new(move |following: &Following| {
            let Following { event, ring, counters } = following;
            let recorded = writer.record(event, ring, clock::is_synchronised(), || picture(event, &camera));
            match recorded {
                Ok(recorded) => counters.writer_lapped.add(recorded.missed),
                Err(error) => tracing::error!(camera, event = event.id, "the event's end is not on disk: {error}"),
            }
        }),
        fault: Box::new(move || match status.state() {
            State::Blocked(error) => Some(format!("recording stopped: {error}")),
            State::Idle | State::Recording(_) => None,
        }),
    }
}

/// The JPEG of the picture that triggered, the changed area outlined.
fn picture(event: &Event, camera: &str) -> Option<Vec<u8>> {
    let frame = event.picture.as_ref()?;
    let made = still::trigger_picture(frame, &event.regions);
    made.inspect_err(|error| tracing::warn!(camera, event = event.id, "no trigger picture: {error}")).ok()
}
