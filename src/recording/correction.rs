//! Recordings made before the wall clock was right, as on a board that starts without a network: they get their true times
//! once it is.
//!
//! How far the clock was off is known because the monotonic clock did not jump with it. Whether the clock is right
//! is found out elsewhere.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

use rustix::time::{ClockId, Timespec, clock_gettime};

use super::id::RecordingId;
use super::index::{self, HEADER_BYTES, RECORD_BYTES, Record};
use super::store::{Store, StoreError};

/// What waits for the right time.
#[derive(Debug, Default)]
pub(super) struct Pending {
    right: bool,
    /// With the wall clock's lead over the monotonic clock when the recording was opened.
    recordings: Vec<(String, RecordingId, i64)>,
}

impl Pending {
    /// A recording has been opened while the clock was not known to be right.
    pub fn opened(&mut self, camera: &str, id: RecordingId) {
        self.recordings.push((camera.to_owned(), id, lead_us()));
    }
}

impl Store {
    /// To be called when the wall clock has become right: recordings of this run that were opened before get the true time
    /// into their index; one that is being written gets it when it is closed. Blocks on the disk.
    pub fn clock_synchronised(&self) {
        self.clock().right = true;
        self.correct_times();
    }

    /// Corrects what is closed and waits for it.
    pub(super) fn correct_times(&self) {
        let due: Vec<_> = {
            let mut clock = self.clock();
            let right = clock.right;
            clock.recordings.extract_if(.., |(camera, id, _)| right && !self.is_writing(camera, *id)).collect()
        };
        let now = lead_us();
        for (camera, id, then) in due {
            match self.correct(&camera, id, now - then) {
                Ok(()) | Err(StoreError::NotFound) => {}
                Err(error) => tracing::warn!(%error, "{camera}/{id} keeps the time of a clock that was not set"),
            }
        }
    }

    fn correct(&self, camera: &str, id: RecordingId, by_us: i64) -> Result<(), StoreError> {
        let index = self.read_index(camera, id)?;
        let Some(first) = index.units().next() else { return Ok(()) };
        let record = Record::Clock { pts: first.pts, wall_us: first.wall_us.saturating_add(by_us) };
        let append = |file: std::fs::File| -> io::Result<()> {
            let records = (file.metadata()?.size() as usize).saturating_sub(HEADER_BYTES) / RECORD_BYTES;
            file.write_all_at(&record.encode(), (HEADER_BYTES + records * RECORD_BYTES) as u64)?;
            file.sync_data()
        };
        self.folder(camera, id)?.file_to_edit(index::FILE_NAME).and_then(append).map_err(|e| self.io(e))?;
        self.read_again(camera, id).map(|_| ())
    }
}

/// Microseconds by which the wall clock is ahead of the monotonic one: changes only when somebody sets the wall clock.
fn lead_us() -> i64 {
    let us = |time: Timespec| time.tv_sec * 1_000_000 + time.tv_nsec / 1000;
    us(clock_gettime(ClockId::Realtime)) - us(clock_gettime(ClockId::Monotonic))
}
