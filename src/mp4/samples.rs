//! The tables of a movie: how long, how large and where each sample is. At most 12 bytes of memory per picture.

use std::num::NonZeroU32;

use shiguredo_mp4::boxes::{Co64Box, StscBox, StscEntry, StssBox, StszBox, SttsBox, SttsEntry};

use super::Mp4Error;
use crate::media::Pts;

/// How long a picture is shown of which nothing tells it: a thirtieth of a second.
const LONE_PICTURE: u32 = Pts::HZ as u32 / 30;

/// Samples that lie one after the other, in the source as in the MP4: a GOP, as a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk {
    /// The first one's number.
    pub first: usize,
    /// Where it lies in the source.
    pub source: u64,
    /// Where it lies in the MP4, from the first sample of all.
    pub offset: u64,
}

/// Samples as they are added.
#[derive(Debug, Default)]
pub(super) struct Samples {
    pub sizes: Vec<u32>,
    pub chunks: Vec<Chunk>,
    durations: Vec<SttsEntry>,
    keyframes: Vec<NonZeroU32>,
    /// Bytes of all.
    pub bytes: u64,
    first: Pts,
    /// When the last one is shown, in ticks after the first.
    last: u64,
    last_duration: u32,
}

/// As [`Samples`], as boxes.
pub(super) struct Table {
    pub durations: SttsBox,
    pub sizes: StszBox,
    pub chunk_lengths: StscBox,
    /// Counted from the first sample.
    pub chunks: Co64Box,
    /// `None` where every sample is one.
    pub keyframes: Option<StssBox>,
}

impl Table {
    pub fn empty() -> Self {
        Self {
            durations: SttsBox { entries: Vec::new() },
            sizes: StszBox::Variable { entry_sizes: Vec::new() },
            chunk_lengths: StscBox { entries: Vec::new() },
            chunks: Co64Box { chunk_offsets: Vec::new() },
            keyframes: None,
        }
    }

    /// A bound of its bytes.
    pub fn most_bytes(&self) -> usize {
        let sizes = match &self.sizes {
            StszBox::Variable { entry_sizes } => entry_sizes.len() * 4,
            StszBox::Fixed { .. } => 0,
        };
        let keyframes = self.keyframes.as_ref().map_or(0, |keyframes| keyframes.sample_numbers.len() * 4);
        let chunks = self.chunks.chunk_offsets.len() * 8 + self.chunk_lengths.entries.len() * 12;
        self.durations.entries.len() * 8 + sizes + keyframes + chunks
    }
}

impl Samples {
    /// Adds a sample that lies at `source` of its source. Times that do not grow, as a damaged file may have them, count
    /// as a tick later than the one before.
    pub fn push(&mut self, source: u64, bytes: u32, pts: Pts, idr: bool) -> Result<(), Mp4Error> {
        let number = u32::try_from(self.sizes.len() + 1).ok().and_then(NonZeroU32::new);
        let number = number.ok_or_else(|| Mp4Error::TooLong("more than 2^32 pictures".into()))?;
        if self.sizes.is_empty() {
            self.first = pts;
        } else {
            let time = u64::try_from(pts.0.saturating_sub(self.first.0)).unwrap_or(0);
            let duration = u32::try_from(time.saturating_sub(self.last).max(1)).unwrap_or(u32::MAX);
            self.lasts(duration);
            self.last += u64::from(duration);
        }
        let continues = self.chunks.last().is_some_and(|chunk| chunk.source + (self.bytes - chunk.offset) == source);
        if idr || !continues {
            self.chunks.push(Chunk { first: self.sizes.len(), source, offset: self.bytes });
        }
        if idr {
            self.keyframes.push(number);
        }
        self.sizes.push(bytes);
        self.bytes += u64::from(bytes);
        Ok(())
    }

    fn lasts(&mut self, duration: u32) {
        self.last_duration = duration;
        match self.durations.last_mut() {
            Some(run) if run.sample_delta == duration => run.sample_count += 1,
            _ => self.durations.push(SttsEntry { sample_count: 1, sample_delta: duration }),
        }
    }

    /// Takes the tables out; answers them with the duration of all, in ticks. The sizes stay in the table.
    pub fn table(&mut self) -> (Table, u64) {
        // The last picture is shown for as long as the one before, or as the others where that was a gap.
        let mean = self.last.checked_div(self.sizes.len() as u64 - 1).and_then(|mean| u32::try_from(mean).ok());
        let last = mean.map_or(LONE_PICTURE, |mean| mean.min(self.last_duration).max(1));
        self.lasts(last);
        let ends = self.chunks.iter().skip(1).map(|chunk| chunk.first).chain([self.sizes.len()]);
        let mut lengths: Vec<StscEntry> = Vec::new();
        for (number, (chunk, end)) in (1..).zip(self.chunks.iter().zip(ends)) {
            let length = (end - chunk.first) as u32;
            if lengths.last().is_none_or(|run| run.sample_per_chunk != length) {
                lengths.push(StscEntry {
                    first_chunk: NonZeroU32::MIN.saturating_add(number - 1),
                    sample_per_chunk: length,
                    sample_description_index: NonZeroU32::MIN,
                });
            }
        }
        let keyframes = std::mem::take(&mut self.keyframes);
        let table = Table {
            // Without the list, every sample is a keyframe.
            keyframes: (keyframes.len() < self.sizes.len()).then_some(StssBox { sample_numbers: keyframes }),
            durations: SttsBox { entries: std::mem::take(&mut self.durations) },
            sizes: StszBox::Variable { entry_sizes: std::mem::take(&mut self.sizes) },
            chunk_lengths: StscBox { entries: lengths },
            chunks: Co64Box { chunk_offsets: self.chunks.iter().map(|chunk| chunk.offset).collect() },
        };
        (table, self.last + u64::from(last))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(times: &[i64]) -> (Table, u64) {
        let mut samples = Samples::default();
        for (n, pts) in times.iter().enumerate() {
            samples.push(n as u64 * 10, 10, Pts(*pts), n == 0).unwrap();
        }
        samples.table()
    }

    fn durations(table: &Table) -> Vec<(u32, u32)> {
        table.durations.entries.iter().map(|run| (run.sample_count, run.sample_delta)).collect()
    }

    #[test]
    fn durations_are_true_and_the_last_picture_is_shown_as_long_as_the_others() {
        let (table, all) = of(&[500, 3500, 6500, 10_500]);
        assert_eq!((durations(&table), all), (vec![(2, 3000), (1, 4000), (1, 3333)], 13_333));
        let (table, all) = of(&[7]);
        assert_eq!((durations(&table), all), (vec![(1, 3000)], 3000));
        // A gap before the last one is not repeated.
        let (table, _) = of(&[0, 3000, 6000, 906_000]);
        assert_eq!(durations(&table).last(), Some(&(1, 302_000)));
    }

    #[test]
    fn times_that_stand_still_or_go_back_do_not_shift_those_after() {
        let (table, _) = of(&[0, 3000, 3000, 2000, 12_000]);
        assert_eq!(durations(&table), [(1, 3000), (2, 1), (1, 8998), (1, 3000)]);
    }

    #[test]
    fn a_hole_in_the_source_begins_a_chunk() {
        let mut samples = Samples::default();
        for (n, (source, idr)) in [(0, true), (10, false), (30, false), (40, false), (50, true)].into_iter().enumerate()
        {
            samples.push(source, 10, Pts(n as i64 * 3000), idr).unwrap();
        }
        let chunks: Vec<_> = samples.chunks.iter().map(|c| (c.first, c.source, c.offset)).collect();
        assert_eq!(chunks, [(0, 0, 0), (2, 30, 20), (4, 50, 40)]);
        let (table, _) = samples.table();
        let lengths: Vec<_> =
            table.chunk_lengths.entries.iter().map(|e| (e.first_chunk.get(), e.sample_per_chunk)).collect();
        assert_eq!(lengths, [(1, 2), (3, 1)]);
        assert_eq!(table.keyframes.unwrap().sample_numbers, [1, 5].map(|n| NonZeroU32::new(n).unwrap()));
    }
}
