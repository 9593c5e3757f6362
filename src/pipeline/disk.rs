//! The disk as a sink: events become recordings.
//!
//! How they are written is `recording::writer`'s; here it is only connected to a camera.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::{Counters, Following, Sink};
use crate::clock;
use crate::codec::still;
use crate::config::CameraConfig;
use crate::event::Event;
use crate::recording::store::Store;
use crate::recording::writer::{State, Status, WriteError, Writer};

/// With more room than this, a disk that was full is not any more.
const ROOM_BYTES: u64 = 16 << 20;

/// Records a camera's events into the store.
pub fn sink(config: &CameraConfig, store: &Arc<Store>) -> Sink {
    let mut writer = Writer::new(Arc::clone(store), &config.name);
    let camera = config.name.clone();
    let (status, store) = (writer.status(), Arc::clone(store));
    let mut counted = Totals::default();
    Sink {
        name: "disk",
        stream: config.disk.clone(),
        follow: Box::new(move |following: &Following| {
            let Following { event, ring, counters } = following;
            let recorded =
                writer.record(event, ring, clock::is_synchronised(), || picture(event, &camera).map(Vec::from));
            if let Err(error) = recorded {
                tracing::error!(camera, event = event.id, "the event's end is not on disk: {error}");
            }
            counted.pass_on(&writer.status(), counters);
        }),
        fault: Box::new(move || match status.state() {
            // Nothing tries to write before the next event; meanwhile the disk itself says how it is.
            State::Blocked(WriteError::DiskFull { .. }) if store.space().is_ok_and(|s| s.free_bytes > ROOM_BYTES) => {
                None
            }
            State::Blocked(error) => Some(format!("recording stopped: {error}")),
            State::Idle | State::Recording(_) => None,
        }),
    }
}

/// What of the writer's numbers is among the camera's counters already.
#[derive(Default)]
struct Totals {
    missed: u64,
    skipped: u64,
    writes: u64,
    write_us: u64,
}

impl Totals {
    fn pass_on(&mut self, status: &Status, counters: &Counters) {
        let newly = |known: &mut u64, total: &AtomicU64| {
            let total = total.load(Ordering::Relaxed);
            total - std::mem::replace(known, total)
        };
        counters.writer_lapped.add(newly(&mut self.missed, &status.missed));
        counters.writer_skipped.add(newly(&mut self.skipped, &status.skipped));
        let (writes, us) = (newly(&mut self.writes, &status.writes), newly(&mut self.write_us, &status.write_us));
        counters.write.add_all(writes, Duration::from_micros(us));
    }
}

/// The JPEG of the picture that triggered, the changed area outlined; made once for all sinks.
pub(super) fn picture(event: &Event, camera: &str) -> Option<Bytes> {
    let made = event.jpeg.get_or_init(|| {
        let made = still::trigger_picture(event.picture.as_ref()?, &event.regions);
        made.inspect_err(|error| tracing::warn!(camera, event = event.id, "no trigger picture: {error}"))
            .ok()
            .map(Bytes::from)
    });
    made.clone()
}
