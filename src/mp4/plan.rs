//! The MP4 of a recording, made while it is sent: its head in memory, its video where it lies.

use std::io;
use std::ops::Range;

use jiff::Timestamp;
use shiguredo_mp4::boxes::{Avc1Box, StszBox};
use shiguredo_mp4::{Either, Encode};

use super::samples::{Chunk, Samples};
use super::{MDAT_HEADER_BYTES, Mp4Error, encoded, file_type, mdat_header, movie, movie_bytes, to_lengths};
use crate::media::Pts;

/// [`Plan::read`] gives about so many bytes at once: enough for a disk to read in sequence, few enough for many readers.
const PIECE_BYTES: usize = 128 * 1024;

/// A plan in the making: takes the access units in order.
#[derive(Debug)]
pub struct Planner {
    entry: Avc1Box,
    samples: Samples,
}

impl Planner {
    /// For a video that begins with this access unit (Annex B, start codes of 4 bytes), an IDR with its parameter sets.
    ///
    /// # Errors
    /// [`Mp4Error::NoPicture`], [`Mp4Error::Parameters`] and [`Mp4Error::StartCode`], which shows in the first access unit of
    /// streams that have such at all: encoders write the first NAL unit's in 4 bytes and others' in 3.
    pub fn new(first: &[u8]) -> Result<Self, Mp4Error> {
        to_lengths(&mut first.to_vec())?;
        Ok(Self { entry: super::sample_entry(first)?, samples: Samples::default() })
    }

    /// Adds an access unit of `bytes` that lies at `offset` of the video. The first one has to be the one given to
    /// [`Planner::new`].
    ///
    /// # Errors
    /// [`Mp4Error::TooLong`].
    pub fn push(&mut self, offset: u64, bytes: u32, pts: Pts, idr: bool) -> Result<(), Mp4Error> {
        self.samples.push(offset, bytes, pts, idr)
    }

    /// The plan. `created` is when the first picture was taken.
    ///
    /// # Errors
    /// [`Mp4Error::NoPicture`] without an access unit, [`Mp4Error::TooLong`] where the tables would be larger than 4 GiB.
    pub fn finish(mut self, created: Timestamp) -> Result<Plan, Mp4Error> {
        if self.samples.sizes.is_empty() {
            return Err(Mp4Error::NoPicture);
        }
        let (table, duration) = self.samples.table();
        let most_bytes = movie_bytes(&self.entry) + table.most_bytes();
        let mut movie = movie(self.entry, created, duration, table, None);
        let mut moov = encoded(&movie, most_bytes)?;
        let mut head = file_type();
        // The movie's length is known now, and does not depend on the offsets in it.
        let data_at = head.len() as u64 + moov.len() as u64 + MDAT_HEADER_BYTES;
        let table = &mut movie.trak_boxes[0].mdia_box.minf_box.stbl_box;
        if let Either::B(chunks) = &mut table.stco_or_co64_box {
            chunks.chunk_offsets.iter_mut().for_each(|offset| *offset += data_at);
        }
        movie.encode(&mut moov).map_err(|error| Mp4Error::TooLong(error.to_string()))?;
        head.append(&mut moov);
        head.extend(mdat_header(self.samples.bytes));
        let table = movie.trak_boxes.swap_remove(0).mdia_box.minf_box.stbl_box;
        let StszBox::Variable { entry_sizes } = table.stsz_box else { return Err(Mp4Error::NoPicture) };
        Ok(Plan { head, sizes: entry_sizes, chunks: self.samples.chunks, bytes: self.samples.bytes })
    }
}

/// An MP4 with its index in front ("faststart") over a video that stays where it is. Takes about 16 bytes of memory
/// per picture.
#[derive(Debug)]
pub struct Plan {
    /// Everything before the first sample.
    head: Vec<u8>,
    sizes: Vec<u32>,
    chunks: Vec<Chunk>,
    bytes: u64,
}

/// A sample, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    source: u64,
    offset: u64,
    bytes: u32,
}

impl Plan {
    /// Bytes of the whole MP4.
    #[allow(clippy::len_without_is_empty, reason = "there is no empty MP4")]
    pub fn len(&self) -> u64 {
        self.head.len() as u64 + self.bytes
    }

    /// Pictures in it.
    pub fn pictures(&self) -> usize {
        self.sizes.len()
    }

    /// All but the video: two plans with the same head describe the same MP4, as long as the video is the same.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// The next bytes of a range of the MP4, which lies within it: at least one, and about 128 KiB or a picture more.
    /// `read_at` fills a buffer with the video's bytes from an offset on. Blocks as long as that does.
    ///
    /// # Errors
    /// `read_at`'s, and `InvalidData` for a video that is not what was planned.
    pub fn read(&self, range: Range<u64>, read_at: impl Fn(&mut [u8], u64) -> io::Result<()>) -> io::Result<Vec<u8>> {
        let head_bytes = self.head.len() as u64;
        if range.start < head_bytes {
            let end = range.end.min(head_bytes).min(range.start + PIECE_BYTES as u64);
            return Ok(self.head[range.start as usize..end as usize].to_vec());
        }
        let (start, end) = (range.start - head_bytes, range.end - head_bytes);
        let mut piece = Vec::new();
        let mut first = None;
        let mut run: Option<(u64, usize)> = None;
        let mut places = Vec::new();
        let mut planned = 0;
        for place in self.samples_at(start).take_while(|place| place.offset < end) {
            first.get_or_insert(place.offset);
            places.push(place.bytes as usize);
            planned += place.bytes as usize;
            run = match run {
                // Samples that follow each other are read at once.
                Some((source, bytes)) if source + bytes as u64 == place.source => {
                    Some((source, bytes + place.bytes as usize))
                }
                other => {
                    fill(&mut piece, other, &read_at)?;
                    Some((place.source, place.bytes as usize))
                }
            };
            if planned >= PIECE_BYTES {
                break;
            }
        }
        fill(&mut piece, run, &read_at)?;
        let mut rest = &mut piece[..];
        for bytes in places {
            let (sample, others) = rest.split_at_mut(bytes);
            to_lengths(sample).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            rest = others;
        }
        let first = first.unwrap_or(start);
        piece.truncate((end - first).min(piece.len() as u64) as usize);
        piece.drain(..(start - first).min(piece.len() as u64) as usize);
        Ok(piece)
    }

    /// Samples from the one on that holds this byte, counted from the first sample.
    fn samples_at(&self, offset: u64) -> impl Iterator<Item = Place> {
        let chunk = self.chunks.partition_point(|chunk| chunk.offset <= offset).saturating_sub(1);
        let later = self.chunks[chunk..].iter().enumerate().flat_map(move |(n, begin)| {
            let end = self.chunks.get(chunk + n + 1).map_or(self.sizes.len(), |next| next.first);
            self.sizes[begin.first..end].iter().scan(0u64, move |within, bytes| {
                let place = Place { source: begin.source + *within, offset: begin.offset + *within, bytes: *bytes };
                *within += u64::from(*bytes);
                Some(place)
            })
        });
        later.skip_while(move |place| place.offset + u64::from(place.bytes) <= offset)
    }
}

/// Appends a run of the video.
fn fill(
    piece: &mut Vec<u8>,
    run: Option<(u64, usize)>,
    read_at: &impl Fn(&mut [u8], u64) -> io::Result<()>,
) -> io::Result<()> {
    let Some((source, bytes)) = run else { return Ok(()) };
    let begin = piece.len();
    piece.resize(begin + bytes, 0);
    read_at(&mut piece[begin..], source)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::super::testing::{plays, probe, units};
    use super::*;

    /// As a file lies on disk: with 7 bytes of something else before picture 25.
    fn video() -> Vec<u8> {
        let mut video = Vec::new();
        for (n, unit) in units().iter().enumerate() {
            if n == 25 {
                video.extend([9; 7]);
            }
            video.extend(&unit.bytes);
        }
        video
    }

    /// 10 pictures a second, but for one that comes 50 ms late.
    fn pts(n: usize) -> Pts {
        Pts(1_000_000 + n as i64 * 9000 + if n == 30 { 4500 } else { 0 })
    }

    fn plan() -> Plan {
        let mut planner = Planner::new(&units()[0].bytes).unwrap();
        for (n, unit) in units().iter().enumerate() {
            let offset = unit.offset + if n >= 25 { 7 } else { 0 };
            planner.push(offset, unit.bytes.len() as u32, pts(n), unit.idr).unwrap();
        }
        planner.finish(Timestamp::from_second(1_600_000_000).unwrap()).unwrap()
    }

    fn read(plan: &Plan, range: Range<u64>) -> Vec<u8> {
        let video = video();
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < range.end - range.start {
            let at = range.start + bytes.len() as u64;
            let piece = plan.read(at..range.end, |buffer, at| {
                buffer.copy_from_slice(&video[at as usize..][..buffer.len()]);
                Ok(())
            });
            let piece = piece.unwrap();
            assert!(!piece.is_empty() && piece.len() < PIECE_BYTES + 64 * 1024);
            bytes.extend(piece);
        }
        bytes
    }

    #[test]
    fn ffmpeg_plays_it_with_true_times() {
        let plan = plan();
        let whole = read(&plan, 0..plan.len());
        assert_eq!(whole.len() as u64, plan.len());
        let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        std::fs::write(file.path(), &whole).unwrap();
        plays(file.path());
        assert_eq!(
            probe(file.path(), "stream=profile,width,height,time_base,nb_read_frames"),
            "High,160,120,1/90000,50"
        );
        assert_eq!(probe(file.path(), "format=duration"), "5.000000");
        let created = probe(file.path(), "format_tags=creation_time");
        assert!(created.starts_with("2020-09-13T12:26:40"), "{created}");
        let frames = probe(file.path(), "frame=key_frame,pts");
        // Side data takes a line of its own, or ends one with a comma.
        let frames: Vec<&str> =
            frames.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty()).collect();
        let expected: Vec<String> =
            (0..50).map(|n| format!("{},{}", u8::from(n % 10 == 0), pts(n).0 - pts(0).0)).collect();
        assert_eq!(frames, expected);
    }

    #[test]
    fn foreign_start_codes_are_refused_before_anything_is_sent() {
        let foreign: Vec<u8> = memchr::memmem::find_iter(&units()[0].bytes, &[0, 0, 0, 1])
            .last()
            .map(|last| [&units()[0].bytes[..last], &units()[0].bytes[last + 1..]].concat())
            .unwrap();
        assert!(matches!(Planner::new(&foreign), Err(Mp4Error::StartCode)));
        assert!(matches!(Planner::new(&units()[1].bytes), Err(Mp4Error::NoPicture)));
        let empty = Planner::new(&units()[0].bytes).unwrap().finish(Timestamp::UNIX_EPOCH);
        assert!(matches!(empty, Err(Mp4Error::NoPicture)));
    }

    #[test]
    fn an_hour_takes_little_memory_and_its_middle_is_found() {
        const PICTURES: u64 = 3600 * 30;
        let mut planner = Planner::new(&units()[0].bytes).unwrap();
        for n in 0..PICTURES {
            // No two durations in a row are the same: the largest table.
            planner.push(n * 60_000, 60_000, Pts((n * 3000 + n % 2) as i64), n % 30 == 0).unwrap();
        }
        let plan = planner.finish(Timestamp::UNIX_EPOCH).unwrap();
        let held = plan.head.capacity() + plan.sizes.capacity() * 4 + plan.chunks.capacity() * size_of::<Chunk>();
        assert!(held as u64 <= PICTURES * 32, "{} bytes a picture", held as u64 / PICTURES);
        let place = plan.samples_at(54_321 * 60_000 + 1).next().unwrap();
        assert_eq!(place, Place { source: 54_321 * 60_000, offset: 54_321 * 60_000, bytes: 60_000 });
        assert_eq!(plan.len(), plan.head.len() as u64 + PICTURES * 60_000, "more than 4 GiB");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_range_is_that_part_of_the_whole(a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
            let plan = plan();
            let whole = read(&plan, 0..plan.len());
            let (a, b) = (a.index(whole.len()), b.index(whole.len() + 1));
            let (from, to) = (a.min(b), a.max(b).max(a.min(b) + 1));
            prop_assert_eq!(&read(&plan, from as u64..to as u64)[..], &whole[from..to]);
        }
    }
}
