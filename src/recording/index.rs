//! The index beside a recording's video: what was written, when it was taken and where it lies. Pure.
//!
//! A file of fixed-size parts that is only ever appended to, each with a checksum, so that whatever a power cut leaves of
//! it can be read. The format is described for other programs in `ancillary/docs/recording-format.md`. Who writes
//! it is in `recording::files`, who mends it in `recording::repair`.

use crate::event::{Cause, EndReason};
use crate::media::{Pts, Resolution};

/// Name of the index in a recording's folder.
pub const FILE_NAME: &str = "index";
/// Bytes of the header.
pub const HEADER_BYTES: usize = 64;
/// Bytes of a record.
pub const RECORD_BYTES: usize = 32;
/// An access unit is smaller than this: sixteen times a raw 3840x2160 picture.
pub const MAX_UNIT_BYTES: u32 = 1 << 28;

const MAGIC: [u8; 8] = *b"WTINDEX\n";
const VERSION: u16 = 1;

const FLAG_CLOCK_SYNCHRONISED: u16 = 1;
const FLAG_TIMES_ASSUMED: u16 = 2;

const KIND_DELTA: u32 = 1;
const KIND_IDR: u32 = 2;
const KIND_GAP: u32 = 3;
const KIND_CLOCK: u32 = 4;
const KIND_CLOSED: u32 = 5;
const KIND_ESTIMATED: u32 = 6;

/// What is known about a recording when it is opened.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Header {
    /// The event's number; 0 when it is unknown (recordings of 1.x).
    pub event: u64,
    /// 0 for an event's first recording, 1 for the one that goes on where that had to be closed, and so on.
    pub part: u32,
    /// Why the event started; `None` when it is unknown.
    pub cause: Option<Cause>,
    /// When it was decided.
    pub trigger_pts: Pts,
    /// The same on the wall clock, in microseconds since 1970 (UTC).
    pub trigger_wall_us: i64,
    /// Size of the pictures.
    pub size: Resolution,
    /// The largest connected changed area, as a part of the picture, 0 to 1; stored in millionths.
    pub changed: f32,
    /// Whether the wall clock was right when the recording was opened.
    pub clock_synchronised: bool,
    /// Whether all PTS and wall times are reckoned from an assumed frame rate.
    pub times_assumed: bool,
}

/// Why an index cannot be read at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Shorter than a header, wrong magic or wrong checksum.
    #[error("no index, or its first {HEADER_BYTES} bytes are damaged")]
    Damaged,
    /// Whole, but of a format this program does not know.
    #[error("an index of version {0}: made by a newer program")]
    Version(u16),
}

impl Header {
    /// As it stands in the file.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut b = [0; HEADER_BYTES];
        let flags = if self.clock_synchronised { FLAG_CLOCK_SYNCHRONISED } else { 0 }
            | if self.times_assumed { FLAG_TIMES_ASSUMED } else { 0 };
        let cause = match self.cause {
            None => 0u8,
            Some(Cause::Motion) => 1,
            Some(Cause::Manual) => 2,
            Some(Cause::Always) => 3,
        };
        let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX).to_le_bytes();
        b[0..8].copy_from_slice(&MAGIC);
        b[8..10].copy_from_slice(&VERSION.to_le_bytes());
        b[10..12].copy_from_slice(&(HEADER_BYTES as u16).to_le_bytes());
        b[12..14].copy_from_slice(&(RECORD_BYTES as u16).to_le_bytes());
        b[14..16].copy_from_slice(&flags.to_le_bytes());
        b[16..24].copy_from_slice(&self.event.to_le_bytes());
        b[24..32].copy_from_slice(&self.trigger_pts.0.to_le_bytes());
        b[32..40].copy_from_slice(&self.trigger_wall_us.to_le_bytes());
        b[40..42].copy_from_slice(&side(self.size.width));
        b[42..44].copy_from_slice(&side(self.size.height));
        b[44..48].copy_from_slice(&((self.changed.clamp(0.0, 1.0) * 1e6).round() as u32).to_le_bytes());
        b[48..52].copy_from_slice(&self.part.to_le_bytes());
        b[52] = cause;
        seal(&mut b);
        b
    }

    /// Reads the first [`HEADER_BYTES`] of a file.
    pub fn decode(file: &[u8]) -> Result<Header, HeaderError> {
        let b: &[u8; HEADER_BYTES] = file.first_chunk().ok_or(HeaderError::Damaged)?;
        if b[0..8] != MAGIC || !is_sealed(b) {
            return Err(HeaderError::Damaged);
        }
        if u16_at(b, 8) != VERSION {
            return Err(HeaderError::Version(u16_at(b, 8)));
        }
        let flags = u16_at(b, 14);
        Ok(Header {
            event: i64_at(b, 16) as u64,
            part: u32_at(b, 48),
            cause: match b[52] {
                1 => Some(Cause::Motion),
                2 => Some(Cause::Manual),
                3 => Some(Cause::Always),
                _ => None,
            },
            trigger_pts: Pts(i64_at(b, 24)),
            trigger_wall_us: i64_at(b, 32),
            size: Resolution::new(u16_at(b, 40).into(), u16_at(b, 42).into()),
            changed: (f64::from(u32_at(b, 44)) / 1e6).min(1.0) as f32,
            clock_synchronised: flags & FLAG_CLOCK_SYNCHRONISED != 0,
            times_assumed: flags & FLAG_TIMES_ASSUMED != 0,
        })
    }
}

/// Where one access unit lies in the video.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Its first byte.
    pub offset: u64,
    /// Its length, below [`MAX_UNIT_BYTES`].
    pub bytes: u32,
    /// When the picture was taken.
    pub pts: Pts,
    /// The same on the wall clock, as it was then: microseconds since 1970 (UTC).
    pub wall_us: i64,
    /// Whether decoding can start here.
    pub idr: bool,
}

impl Unit {
    /// The byte after it.
    pub fn end(&self) -> u64 {
        self.offset.saturating_add(self.bytes.into())
    }
}

/// Why a recording ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CloseReason {
    /// Nothing moved for the post-roll.
    Quiet,
    /// The longest event time was reached.
    MaxEventTime,
    /// Monitoring was stopped.
    Stopped,
    /// The camera gave no pictures any more.
    CameraLost,
    /// The program ended.
    Shutdown,
    /// The size of the pictures changed, or their encoder; another recording of the event goes on.
    SizeChanged,
    /// The disk was full or failed.
    StorageFailed,
    /// The program or the power went away; found when the program started again.
    Interrupted,
    /// Unknown: the recording was made by 1.x, or by a newer program.
    Unknown,
}

impl From<EndReason> for CloseReason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::Quiet => CloseReason::Quiet,
            EndReason::MaxEventTime => CloseReason::MaxEventTime,
            EndReason::Stopped => CloseReason::Stopped,
            EndReason::CameraLost => CloseReason::CameraLost,
            EndReason::Shutdown => CloseReason::Shutdown,
        }
    }
}

// A reason's number in the file is its place here: append only.
const REASONS: [CloseReason; 9] = [
    CloseReason::Unknown,
    CloseReason::Quiet,
    CloseReason::MaxEventTime,
    CloseReason::Stopped,
    CloseReason::CameraLost,
    CloseReason::Shutdown,
    CloseReason::SizeChanged,
    CloseReason::StorageFailed,
    CloseReason::Interrupted,
];

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// An access unit of the video.
    Unit(Unit),
    /// Here pictures are missing: the writer was too slow, and they had left the ring.
    Gap {
        /// PTS of the last picture before.
        pts: Pts,
        /// Its wall time.
        wall_us: i64,
        /// Access units that are missing.
        missed: u64,
    },
    /// The wall clock has been set right since: the picture at `pts` was taken at `wall_us`, and so follow all others
    /// by their PTS. The last such record counts.
    Clock {
        /// A time in the recording.
        pts: Pts,
        /// Its true wall time.
        wall_us: i64,
    },
    /// The recording is complete.
    Closed {
        /// PTS of the last picture.
        pts: Pts,
        /// Its wall time.
        wall_us: i64,
        /// Access units in all.
        units: u64,
        /// Why.
        reason: CloseReason,
    },
    /// The access units after this one were found in the video without a record; their times are reckoned from the
    /// frame rate before.
    Estimated {
        /// PTS of the last picture whose time is known.
        pts: Pts,
        /// Its wall time.
        wall_us: i64,
    },
    /// Of a kind that this program does not know.
    Other,
}

impl Record {
    /// As it stands in the file.
    pub fn encode(&self) -> [u8; RECORD_BYTES] {
        let (number, pts, wall_us, kind, low) = match *self {
            Record::Unit(u) => (u.offset, u.pts, u.wall_us, if u.idr { KIND_IDR } else { KIND_DELTA }, u.bytes),
            Record::Gap { pts, wall_us, missed } => (missed, pts, wall_us, KIND_GAP, 0),
            Record::Clock { pts, wall_us } => (0, pts, wall_us, KIND_CLOCK, 0),
            Record::Closed { pts, wall_us, units, reason } => {
                let number = REASONS.iter().position(|r| *r == reason).unwrap_or(0);
                (units, pts, wall_us, KIND_CLOSED, number as u32)
            }
            Record::Estimated { pts, wall_us } => (0, pts, wall_us, KIND_ESTIMATED, 0),
            Record::Other => (0, Pts(0), 0, 15, 0),
        };
        let mut b = [0; RECORD_BYTES];
        b[0..8].copy_from_slice(&number.to_le_bytes());
        b[8..16].copy_from_slice(&pts.0.to_le_bytes());
        b[16..24].copy_from_slice(&wall_us.to_le_bytes());
        b[24..28].copy_from_slice(&(kind << 28 | low & (MAX_UNIT_BYTES - 1)).to_le_bytes());
        seal(&mut b);
        b
    }

    /// `None` when the checksum is wrong.
    pub fn decode(b: &[u8; RECORD_BYTES]) -> Option<Record> {
        if !is_sealed(b) {
            return None;
        }
        let number = i64_at(b, 0) as u64;
        let (pts, wall_us) = (Pts(i64_at(b, 8)), i64_at(b, 16));
        let (kind, low) = (u32_at(b, 24) >> 28, u32_at(b, 24) & (MAX_UNIT_BYTES - 1));
        Some(match kind {
            KIND_DELTA | KIND_IDR => {
                Record::Unit(Unit { offset: number, bytes: low, pts, wall_us, idr: kind == KIND_IDR })
            }
            KIND_GAP => Record::Gap { pts, wall_us, missed: number },
            KIND_CLOCK => Record::Clock { pts, wall_us },
            KIND_CLOSED => {
                let reason = REASONS.get(low as usize).copied().unwrap_or(CloseReason::Unknown);
                Record::Closed { pts, wall_us, units: number, reason }
            }
            KIND_ESTIMATED => Record::Estimated { pts, wall_us },
            _ => Record::Other,
        })
    }
}

/// An index as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Index {
    /// What was known at the beginning.
    pub header: Header,
    /// All records up to the first damaged one.
    pub records: Vec<Record>,
    /// Bytes of the file that are header and records; what comes after is the torn tail.
    pub good_bytes: u64,
}

impl Index {
    /// Reads a whole file. What comes after the first damaged record is left out, never an error.
    pub fn parse(file: &[u8]) -> Result<Index, HeaderError> {
        let header = Header::decode(file)?;
        let records: Vec<_> = file[HEADER_BYTES..].as_chunks().0.iter().map_while(Record::decode).collect();
        let good_bytes = (HEADER_BYTES + records.len() * RECORD_BYTES) as u64;
        Ok(Index { header, records, good_bytes })
    }

    /// The access units in the order of the video.
    pub fn units(&self) -> impl DoubleEndedIterator<Item = &Unit> {
        self.records.iter().filter_map(|record| match record {
            Record::Unit(unit) => Some(unit),
            _ => None,
        })
    }

    /// Why it was closed; `None` for one that was not.
    pub fn closed(&self) -> Option<CloseReason> {
        self.records.iter().rev().find_map(|record| match record {
            Record::Closed { reason, .. } => Some(*reason),
            _ => None,
        })
    }

    /// Wall time of a moment of the recording, in microseconds since 1970 (UTC): with the corrected clock, where there is a
    /// correction.
    pub fn wall_us_at(&self, pts: Pts) -> i64 {
        let corrected = self.records.iter().rev().find_map(|record| match record {
            Record::Clock { pts, wall_us } => Some((*pts, *wall_us)),
            _ => None,
        });
        let known = corrected.or_else(|| {
            let unit = self.units().find(|unit| unit.pts >= pts).or_else(|| self.units().next_back())?;
            Some((unit.pts, unit.wall_us))
        });
        let (anchor, wall_us) = known.unwrap_or((self.header.trigger_pts, self.header.trigger_wall_us));
        shifted(wall_us, anchor, pts)
    }
}

/// The wall time at `pts` when it was `wall_us` at `anchor`.
pub(super) fn shifted(wall_us: i64, anchor: Pts, pts: Pts) -> i64 {
    wall_us.saturating_add((pts.0.saturating_sub(anchor.0) as i128 * 100 / 9) as i64)
}

/// Writes the checksum of all other bytes into the last four.
fn seal<const N: usize>(bytes: &mut [u8; N]) {
    let crc = crc32fast::hash(&bytes[..N - 4]);
    bytes[N - 4..].copy_from_slice(&crc.to_le_bytes());
}

fn is_sealed<const N: usize>(bytes: &[u8; N]) -> bool {
    crc32fast::hash(&bytes[..N - 4]).to_le_bytes() == bytes[N - 4..]
}

fn u16_at(b: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([b[at], b[at + 1]])
}

fn u32_at(b: &[u8], at: usize) -> u32 {
    u32::from(u16_at(b, at)) | u32::from(u16_at(b, at + 2)) << 16
}

fn i64_at(b: &[u8], at: usize) -> i64 {
    (u64::from(u32_at(b, at)) | u64::from(u32_at(b, at + 4)) << 32) as i64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn header() -> Header {
        Header {
            event: 77,
            part: 0,
            cause: Some(Cause::Motion),
            trigger_pts: Pts(900_000),
            trigger_wall_us: 1_700_000_000_000_000,
            size: Resolution::new(1640, 1232),
            changed: 0.125,
            clock_synchronised: true,
            times_assumed: false,
        }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let times = || (any::<i64>().prop_map(Pts), any::<i64>());
        prop_oneof![
            (any::<u64>(), 0..MAX_UNIT_BYTES, times(), any::<bool>()).prop_map(
                |(offset, bytes, (pts, wall_us), idr)| { Record::Unit(Unit { offset, bytes, pts, wall_us, idr }) }
            ),
            (times(), any::<u64>()).prop_map(|((pts, wall_us), missed)| Record::Gap { pts, wall_us, missed }),
            times().prop_map(|(pts, wall_us)| Record::Clock { pts, wall_us }),
            times().prop_map(|(pts, wall_us)| Record::Estimated { pts, wall_us }),
            (times(), any::<u64>(), 0..REASONS.len()).prop_map(|((pts, wall_us), units, reason)| Record::Closed {
                pts,
                wall_us,
                units,
                reason: REASONS[reason]
            }),
        ]
    }

    fn file_of(header: &Header, records: &[Record]) -> Vec<u8> {
        let mut file = header.encode().to_vec();
        records.iter().for_each(|record| file.extend(record.encode()));
        file
    }

    #[test]
    fn header_comes_back_as_it_was() {
        for cause in [None, Some(Cause::Motion), Some(Cause::Manual), Some(Cause::Always)] {
            for (clock_synchronised, times_assumed) in [(true, false), (false, true), (true, true)] {
                let header = Header { cause, clock_synchronised, times_assumed, part: 3, ..header() };
                assert_eq!(Header::decode(&header.encode()), Ok(header));
            }
        }
    }

    #[test]
    fn every_flipped_bit_of_header_and_record_is_noticed() {
        let whole = header().encode();
        let unit = Record::Unit(Unit { offset: 5, bytes: 6, pts: Pts(7), wall_us: 8, idr: true }).encode();
        for bit in 0..HEADER_BYTES * 8 {
            let mut b = whole;
            b[bit / 8] ^= 1 << (bit % 8);
            assert!(Header::decode(&b).is_err(), "bit {bit}");
        }
        for bit in 0..RECORD_BYTES * 8 {
            let mut b = unit;
            b[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Record::decode(&b), None, "bit {bit}");
        }
        assert_eq!(Record::decode(&[0; RECORD_BYTES]), None, "zeros, as a power cut leaves them");
    }

    #[test]
    fn a_newer_version_is_named() {
        let mut b = header().encode();
        b[8] = 9;
        seal(&mut b);
        assert_eq!(Header::decode(&b), Err(HeaderError::Version(9)));
    }

    #[test]
    fn a_corrected_clock_counts_for_every_picture() {
        let unit = |pts, wall_us| Record::Unit(Unit { offset: 0, bytes: 1, pts: Pts(pts), wall_us, idr: true });
        // The clock jumped by an hour between the two pictures.
        let mut records = vec![unit(0, 1_000_000), unit(90_000, 3_602_000_000)];
        let before = Index::parse(&file_of(&header(), &records)).unwrap();
        assert_eq!(before.wall_us_at(Pts(0)), 1_000_000);
        assert_eq!(before.wall_us_at(Pts(90_000)), 3_602_000_000);
        records.push(Record::Clock { pts: Pts(90_000), wall_us: 3_602_000_000 });
        let after = Index::parse(&file_of(&header(), &records)).unwrap();
        assert_eq!(after.wall_us_at(Pts(0)), 3_601_000_000);
        assert_eq!(after.wall_us_at(Pts(90_000)), 3_602_000_000);
    }

    #[test]
    fn the_documented_reader_reads_it() {
        let doc = include_str!("../../ancillary/docs/recording-format.md");
        let reader = doc.split("```python\n").nth(1).unwrap().split("```").next().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (script, file) = (dir.path().join("reader.py"), dir.path().join("index"));
        std::fs::write(&script, reader).unwrap();
        let (pts, wall_us) = (Pts(-7), 1_700_000_000_000_001);
        let unit = Unit { offset: u64::MAX, bytes: MAX_UNIT_BYTES - 1, pts, wall_us, idr: false };
        let records = [
            Record::Unit(Unit { idr: true, ..unit }),
            Record::Unit(unit),
            Record::Gap { pts, wall_us, missed: 12 },
            Record::Clock { pts, wall_us },
            Record::Closed { pts, wall_us, units: 2, reason: CloseReason::Interrupted },
            Record::Estimated { pts, wall_us },
        ];
        let mut bytes = file_of(&Header { part: 2, cause: Some(Cause::Always), ..header() }, &records);
        bytes.extend([0; 40]);
        std::fs::write(&file, bytes).unwrap();
        let read = std::process::Command::new("python3").arg(script).arg(file).output().unwrap();
        let text = String::from_utf8(read.stdout).unwrap();
        assert_eq!(
            text.lines().collect::<Vec<_>>(),
            [
                "version=1 header_len=64 record_len=32 flags=1 event=77 trigger_pts=900000 \
                 trigger_wall_us=1700000000000000 width=1640 height=1232 changed=125000 part=2 cause=3",
                "2 18446744073709551615 -7 1700000000000001 268435455",
                "1 18446744073709551615 -7 1700000000000001 268435455",
                "3 12 -7 1700000000000001 0",
                "4 0 -7 1700000000000001 0",
                "5 2 -7 1700000000000001 8",
                "6 0 -7 1700000000000001 0",
            ],
            "{}",
            String::from_utf8_lossy(&read.stderr)
        );
    }

    proptest! {
        #[test]
        fn records_come_back_and_a_torn_tail_costs_only_itself(
            records in prop::collection::vec(any_record(), 0..20), cut in 0usize..RECORD_BYTES, junk: u8,
        ) {
            let mut file = file_of(&header(), &records);
            prop_assert_eq!(&Index::parse(&file).unwrap().records, &records);
            let good = file.len() as u64;
            file.extend(std::iter::repeat_n(junk, cut));
            let torn = Index::parse(&file).unwrap();
            prop_assert_eq!(&torn.records, &records);
            prop_assert_eq!(torn.good_bytes, good);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), pts: i64) {
            let _ = Header::decode(&bytes);
            // Behind a good header and with good checksums, so that the values themselves are arbitrary.
            let mut file = header().encode().to_vec();
            for chunk in bytes.chunks_exact(RECORD_BYTES) {
                let mut record: [u8; RECORD_BYTES] = chunk.try_into().unwrap();
                seal(&mut record);
                file.extend(record);
            }
            let index = Index::parse(&file).unwrap();
            prop_assert_eq!(index.records.len(), bytes.len() / RECORD_BYTES);
            let _ = (index.wall_us_at(Pts(pts)), index.closed(), index.units().map(Unit::end).max());
        }
    }
}
