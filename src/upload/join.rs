//! Pure: the opened chunks of an event, joined to pictures with their times.
//!
//! Chunks are cut anywhere. Where one is missing, the picture that it cuts is lost, and those up to the next IDR cannot be
//! decoded: they are left out, counted, and take their time all the same. Opening files is in `restore`, MP4 in `mp4`.

use crate::h264::{self, Splitter, Unit, nal};
use crate::media::Pts;
use crate::upload::manifest::Manifest;

/// A picture of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Since the event's first picture.
    pub pts: Pts,
    /// The access unit, as Annex B.
    pub bytes: Vec<u8>,
    /// Whether decoding can start here. Then the parameter sets are in it.
    pub idr: bool,
}

/// Joins one event.
#[derive(Debug)]
pub struct Join {
    times: Times,
    splitter: Splitter,
    /// Where in the event's video the splitter began; unknown after a gap of unknown length.
    begin: Option<u64>,
    /// Bytes that the splitter has got.
    pushed: u64,
    /// Between a gap and the next IDR.
    adrift: bool,
    /// Pictures left out.
    pub left_out: u64,
}

#[derive(Debug)]
struct Times {
    /// The access units of the manifest, in order.
    known: Vec<Known>,
    ticks_per_unit: i64,
    /// The time of the next picture that the manifest does not know.
    next: Pts,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    /// Where it ends in the event's video; it begins where the one before it ends.
    end: u64,
    pts: Pts,
}

impl Times {
    /// The access unit that has this byte.
    fn known(&self, offset: u64) -> Option<Known> {
        self.known.get(self.known.partition_point(|unit| unit.end <= offset)).copied()
    }

    fn of(&mut self, offset: Option<u64>) -> Pts {
        let known = offset.and_then(|offset| self.known(offset));
        let pts = known.map_or(self.next, |unit| unit.pts);
        self.next = Pts(pts.0.saturating_add(self.ticks_per_unit));
        pts
    }
}

impl Join {
    /// An event whose times the manifest tells. Without one, and beyond its end, pictures follow each other at `fps`,
    /// which is above 0.
    pub fn new(manifest: Option<&Manifest>, fps: f64) -> Self {
        let mut end = 0;
        let units = manifest.map_or(&[][..], |manifest| &manifest.units).iter();
        let known = units.map(|unit| {
            end += unit.bytes;
            Known { end, pts: unit.pts }
        });
        let known = known.collect();
        let ticks_per_unit = (Pts::HZ as f64 / fps).round().max(1.0) as i64;
        Self {
            times: Times { known, ticks_per_unit, next: Pts(0) },
            splitter: Splitter::new(),
            begin: Some(0),
            pushed: 0,
            adrift: true,
            left_out: 0,
        }
    }

    /// The next chunk's video. Answers the pictures that it completes.
    pub fn push(&mut self, video: &[u8]) -> Vec<Picture> {
        self.splitter.push(video);
        self.pushed += video.len() as u64;
        let units: Vec<Unit> = std::iter::from_fn(|| self.splitter.next_unit()).collect();
        units.into_iter().filter_map(|unit| self.see(unit)).collect()
    }

    /// A chunk is missing, with so many bytes of video where that is known. Answers the picture before it, when the manifest
    /// shows that it is whole.
    pub fn gap(&mut self, video_bytes: Option<u64>) -> Option<Picture> {
        let last =
            self.rest().and_then(|(unit, whole)| if whole == Some(true) { self.see(unit) } else { self.leave_out() });
        let here = self.begin.map(|begin| begin.saturating_add(self.pushed));
        self.begin = here.zip(video_bytes).map(|(here, missing)| here.saturating_add(missing));
        self.pushed = 0;
        self.adrift = true;
        last
    }

    /// The end: the last picture. The manifest shows whether it is whole; without one it is taken to be.
    pub fn finish(&mut self) -> Option<Picture> {
        self.rest().and_then(|(unit, whole)| if whole == Some(false) { self.leave_out() } else { self.see(unit) })
    }

    /// The picture that no other has ended yet, and whether it is whole.
    fn rest(&mut self) -> Option<(Unit, Option<bool>)> {
        let mut unit = std::mem::take(&mut self.splitter).finish().filter(|unit| unit.picture)?;
        let begin = self.begin.map(|begin| begin.saturating_add(unit.offset));
        let whole = begin.and_then(|begin| Some(self.times.known(begin)?.end - begin)).map(|len| {
            // The next one's start code may already be there.
            unit.bytes.truncate(usize::try_from(len).unwrap_or(usize::MAX));
            unit.bytes.len() as u64 == len
        });
        Some((unit, whole))
    }

    fn leave_out(&mut self) -> Option<Picture> {
        self.left_out += 1;
        None
    }

    fn see(&mut self, unit: Unit) -> Option<Picture> {
        if !unit.picture {
            return None;
        }
        let pts = self.times.of(self.begin.map(|begin| begin.saturating_add(unit.offset)));
        if self.adrift {
            let has_sps = || h264::nal_units(&unit.bytes).any(|n| h264::nal_type(n[0]) == nal::SPS);
            if !unit.idr || !has_sps() {
                return self.leave_out();
            }
            self.adrift = false;
        }
        Some(Picture { pts, bytes: unit.bytes, idr: unit.idr })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::upload::manifest::UnitEntry;

    /// An IDR picture every four, each of a length of its own, 100 ticks apart and a pause after the fifth.
    fn video() -> (Vec<Vec<u8>>, Manifest) {
        let units: Vec<Vec<u8>> = (0..12u8)
            .map(|n| {
                let slice = if n % 4 == 0 { 0x65 } else { 0x41 };
                let mut unit = Vec::new();
                if n % 4 == 0 {
                    h264::append(&mut unit, &[0x67, 66, 0, 30]);
                    h264::append(&mut unit, &[0x68, 9]);
                }
                h264::append(&mut unit, &[&[slice, 0x88][..], &vec![n + 1; 10 + usize::from(n)]].concat());
                unit
            })
            .collect();
        let pts = |n: usize| Pts(n as i64 * 100 + if n > 4 { 5000 } else { 0 });
        let entries = units.iter().enumerate().map(|(n, u)| UnitEntry { pts: pts(n), bytes: u.len() as u64 });
        let manifest = Manifest::new(jiff::Timestamp::UNIX_EPOCH, true, Vec::new(), entries.collect());
        (units, manifest)
    }

    fn all(join: &mut Join, chunks: &[Option<&[u8]>], lengths: impl Fn(usize) -> Option<u64>) -> Vec<Picture> {
        let mut pictures = Vec::new();
        for (n, chunk) in chunks.iter().enumerate() {
            match chunk {
                Some(chunk) => pictures.extend(join.push(chunk)),
                None => pictures.extend(join.gap(lengths(n))),
            }
        }
        pictures.extend(join.finish());
        pictures
    }

    #[test]
    fn without_a_manifest_pictures_come_at_the_rate_given() {
        let (units, _) = video();
        let stream = units.concat();
        let mut join = Join::new(None, 25.0);
        let pictures = all(&mut join, &[Some(&stream)], |_| None);
        assert_eq!(pictures.iter().map(|p| p.pts.0).collect::<Vec<_>>(), (0..12).map(|n| n * 3600).collect::<Vec<_>>());
        assert_eq!(pictures.iter().map(|p| p.bytes.clone()).collect::<Vec<_>>(), units);
    }

    #[test]
    fn the_end_of_a_cut_off_event_is_left_out_by_the_manifest() {
        let (units, manifest) = video();
        let stream = units.concat();
        let mut join = Join::new(Some(&manifest), 30.0);
        let pictures = all(&mut join, &[Some(&stream[..stream.len() - 1])], |_| None);
        assert_eq!((pictures.len(), join.left_out), (11, 1));
    }

    #[test]
    fn beyond_the_manifest_time_goes_on() {
        let (units, mut manifest) = video();
        manifest.units.truncate(10);
        let mut join = Join::new(Some(&manifest), 90.0);
        let pictures = all(&mut join, &[Some(&units.concat())], |_| None);
        assert_eq!(pictures[9..].iter().map(|p| p.pts.0).collect::<Vec<_>>(), [5900, 6900, 7900]);
    }

    proptest! {
        #[test]
        fn with_a_manifest_what_is_there_keeps_its_time(len in 1usize..120, lost in prop::collection::vec(any::<bool>(), 300)) {
            let (units, manifest) = video();
            let stream = units.concat();
            let chunks: Vec<Option<&[u8]>> =
                stream.chunks(len).zip(&lost).map(|(chunk, lost)| (!lost).then_some(chunk)).collect();
            let mut join = Join::new(Some(&manifest), 30.0);
            let pictures = all(&mut join, &chunks, |n| Some(stream.chunks(len).nth(n).unwrap().len() as u64));

            // By hand: a unit is whole when none of its bytes is lost, and is kept when all since an IDR are.
            let mut offset = 0;
            let mut sound = false;
            let mut expected = Vec::new();
            for (unit, entry) in units.iter().zip(&manifest.units) {
                let idr = unit[4] == 0x67;
                // An IDR is not harmed by the loss of the zero before its start code.
                let from = usize::from(idr && chunks[offset / len].is_none() && offset % len == len - 1);
                let whole = ((offset + from) / len..=(offset + unit.len() - 1) / len).all(|n| chunks[n].is_some());
                sound = whole && (sound || idr);
                if sound {
                    expected.push(Picture { pts: entry.pts, bytes: unit[from..].to_vec(), idr });
                }
                offset += unit.len();
            }
            prop_assert_eq!(pictures, expected);
        }

        #[test]
        fn no_bytes_panic(chunks in prop::collection::vec(prop::option::of(prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(0x65), any::<u8>()], 0..40)), 0..6), gap in any::<Option<u64>>()) {
            let (_, manifest) = video();
            let chunks: Vec<Option<&[u8]>> = chunks.iter().map(Option::as_deref).collect();
            all(&mut Join::new(Some(&manifest), 30.0), &chunks, |_| gap);
            all(&mut Join::new(None, 30.0), &chunks, |_| gap);
        }
    }
}
