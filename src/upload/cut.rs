//! Pure: an event's video cut into files by bytes, and the manifest that grows with them.
//!
//! Where the bytes come from is the pipeline's affair, where the files go the spool's.

use std::time::Duration;

use jiff::Timestamp;

use super::manifest::{self, ChunkEntry, Manifest, UnitEntry};
use crate::media::Pts;

/// Cuts a stream anywhere. All times are on one monotonic clock.
#[derive(Debug)]
pub struct Cutter {
    chunk_bytes: usize,
    chunk_time: Duration,
    /// When the chunk that is being filled closes, full or not; `None` while it is empty and not the first.
    due: Option<Pts>,
    pending: Vec<u8>,
}

impl Cutter {
    /// Chunks of `chunk_bytes` (at least 1). The first one closes at `first_due` at the latest, unless nothing has come by
    /// then; a later one, `chunk_time` after its first byte came.
    pub fn new(chunk_bytes: usize, chunk_time: Duration, first_due: Pts) -> Self {
        Self { chunk_bytes: chunk_bytes.max(1), chunk_time, due: Some(first_due), pending: Vec::new() }
    }

    /// The next bytes of the video, which came `now`.
    pub fn push(&mut self, video: &[u8], now: Pts) {
        if self.due.is_none() && !video.is_empty() {
            self.due = Some(now + self.chunk_time);
        }
        self.pending.extend_from_slice(video);
    }

    /// A chunk that is full or due: from 1 byte to the most, or `None`. To be asked until it is.
    pub fn next(&mut self, now: Pts) -> Option<Vec<u8>> {
        if self.pending.len() >= self.chunk_bytes {
            return Some(self.take(self.chunk_bytes, now));
        }
        let is_due = self.due.is_some_and(|due| now >= due) && !self.pending.is_empty();
        is_due.then(|| self.take(self.pending.len(), now))
    }

    /// When [`Cutter::next`] will have something even if nothing more comes.
    pub fn due(&self) -> Option<Pts> {
        self.due.filter(|_| !self.pending.is_empty())
    }

    /// The end: what is left, at most a full chunk. After [`Cutter::next`] has given all it had.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        self.due = None;
        (!self.pending.is_empty()).then(|| std::mem::take(&mut self.pending))
    }

    fn take(&mut self, len: usize, now: Pts) -> Vec<u8> {
        let rest = self.pending.split_off(len);
        self.due = (!rest.is_empty()).then(|| now + self.chunk_time);
        std::mem::replace(&mut self.pending, rest)
    }
}

/// What a manifest of an event says so far.
#[derive(Debug)]
pub struct Growing {
    /// When the first picture was taken.
    pub start: Timestamp,
    first: Option<Pts>,
    /// With the place in the video where each begins.
    units: Vec<(u64, UnitEntry)>,
    video_bytes: u64,
    chunks: Vec<ChunkEntry>,
}

impl Growing {
    /// Of an event whose first picture was taken at `start`, as far as it is known.
    pub fn new(start: Timestamp) -> Self {
        Self { start, first: None, units: Vec::new(), video_bytes: 0, chunks: Vec::new() }
    }

    /// The next access unit of the video.
    pub fn unit(&mut self, pts: Pts, bytes: usize) {
        let first = *self.first.get_or_insert(pts);
        let entry = UnitEntry { pts: Pts(pts.0.saturating_sub(first.0).max(0)), bytes: bytes as u64 };
        self.units.push((self.video_bytes, entry));
        self.video_bytes += bytes as u64;
    }

    /// The next chunk: its bytes of video, and the file that was made of them.
    pub fn chunk(&mut self, video_bytes: usize, file: &[u8]) {
        self.chunks.push(ChunkEntry {
            video_bytes: video_bytes as u64,
            file_bytes: file.len() as u64,
            sha256: manifest::sha256(file),
        });
    }

    /// Chunks so far.
    pub fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// As it stands: the chunks, and every access unit that begins in one of them. The last may be cut, so that a reader of an
    /// upload that ends here knows.
    pub fn manifest(&self, closed: bool) -> Manifest {
        let covered: u64 = self.chunks.iter().map(|chunk| chunk.video_bytes).sum();
        let units = self.units.iter().take_while(|(begin, _)| *begin < covered).map(|(_, unit)| *unit).collect();
        Manifest::new(self.start, closed, self.chunks.clone(), units)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_chunk_closes_after_the_trigger_and_later_ones_after_their_time() {
        let mut cutter = Cutter::new(1000, 10 * SECOND, Pts(0) + 2 * SECOND);
        assert_eq!(cutter.next(Pts(0) + 3 * SECOND), None, "nothing has come yet");
        cutter.push(b"pre-roll", Pts(0));
        assert_eq!(cutter.next(Pts(0) + SECOND), None);
        assert_eq!(cutter.next(Pts(0) + 2 * SECOND).unwrap(), b"pre-roll");
        cutter.push(b"next", Pts(0) + 3 * SECOND);
        cutter.push(b" and next", Pts(0) + 8 * SECOND);
        assert_eq!(cutter.next(Pts(0) + 12 * SECOND), None);
        assert_eq!(cutter.due(), Some(Pts(0) + 13 * SECOND));
        assert_eq!(cutter.next(Pts(0) + 13 * SECOND).unwrap(), b"next and next");
        assert_eq!((cutter.due(), cutter.finish()), (None, None));
    }

    #[test]
    fn a_manifest_has_the_units_that_begin_in_its_chunks() {
        let mut growing = Growing::new(Timestamp::UNIX_EPOCH);
        for (n, bytes) in [10, 20, 30].into_iter().enumerate() {
            growing.unit(Pts(500 + n as i64 * 100), bytes);
        }
        assert_eq!(growing.manifest(false).units, []);
        growing.chunk(10, b"sealed");
        assert_eq!(growing.manifest(false).units, [UnitEntry { pts: Pts(0), bytes: 10 }]);
        growing.chunk(21, b"sealed");
        assert_eq!(growing.manifest(false).units.len(), 3, "the third is cut");
        growing.chunk(29, b"sealed");
        let whole = growing.manifest(true);
        assert_eq!((whole.closed, whole.chunks.len(), whole.units[2].pts), (true, 3, Pts(200)));
    }

    proptest! {
        #[test]
        fn the_chunks_joined_are_the_stream_and_keep_their_limits(
            units in prop::collection::vec((0usize..3000, 0i64..200_000), 0..60),
            chunk_bytes in 50usize..2000, chunk_s in 1u32..20, first_s in 0u32..5,
        ) {
            let first_due = Pts(0) + SECOND * first_s;
            let mut cutter = Cutter::new(chunk_bytes, SECOND * chunk_s, first_due);
            let (mut stream, mut chunks, mut now) = (Vec::<u8>::new(), Vec::<Vec<u8>>::new(), Pts(0));
            let mut cut = 0;
            // When the oldest byte that waits came.
            let mut waiting: Option<Pts> = None;
            for (n, (len, later)) in units.into_iter().enumerate() {
                let unit = vec![n as u8; len];
                now = Pts(now.0 + later);
                stream.extend(&unit);
                cutter.push(&unit, now);
                if len > 0 {
                    waiting.get_or_insert(now);
                }
                while let Some(chunk) = cutter.next(now) {
                    prop_assert!((1..=chunk_bytes).contains(&chunk.len()));
                    cut += chunk.len();
                    chunks.push(chunk);
                    waiting = (cut < stream.len()).then_some(now);
                }
                prop_assert!(stream.len() - cut < chunk_bytes);
                if let Some(since) = waiting {
                    let due = if chunks.is_empty() { first_due } else { since + SECOND * chunk_s };
                    prop_assert_eq!(cutter.due(), Some(due));
                    prop_assert!(now < due);
                }
            }
            chunks.extend(cutter.finish());
            prop_assert_eq!(chunks.concat(), stream);
        }
    }
}
