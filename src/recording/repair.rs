//! Mends recordings that were not closed: cuts a torn tail, recovers the pictures that are in the video and not in the
//! index, and makes an index for recordings that never had one.
//!
//! Nothing of a picture that is whole is thrown away, and nothing is changed in a recording that is closed or whose index a
//! newer program wrote.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::catalogue::remove_leftovers;
use super::details;
use super::files::{TRIGGER, VIDEO};
use super::folder::Folder;
use super::id::RecordingId;
use super::index::{self, CloseReason, Header, HeaderError, Index, MAX_UNIT_BYTES, Record, Unit, shifted};
use super::scan::{self, Found};
use super::store::{Store, StoreError};
use crate::media::{Pts, Resolution};

/// Where nothing tells the frame rate: 1.x's default.
const ASSUMED_FPS: i64 = 30;
/// A folder without anything in it that is younger may be one that is just being copied here.
const YOUNG: Duration = Duration::from_secs(60);

/// What [`Store::settle`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Closed after a crash.
    pub mended: usize,
    /// Given an index.
    pub indexed: usize,
    /// Had nothing in them.
    pub removed: usize,
    /// Left as they are, because the disk refused.
    pub failed: usize,
}

impl Store {
    /// Mends and reads all recordings, the newest first. To be called once after the start, from a thread that may take its time:
    /// it reads no faster than it sleeps, and ends early when `stop` is set. Everything else works meanwhile.
    pub fn settle(&self, stop: &AtomicBool) -> Settled {
        if let Err(error) = self.top().and_then(|top| remove_leftovers(&top)) {
            tracing::warn!(%error, "what was being deleted cannot be removed");
        }
        let mut settled = Settled::default();
        for (camera, id) in self.unsettled() {
            if stop.load(Relaxed) {
                break;
            }
            let started = Instant::now();
            let mended = match self.recording(&camera, id) {
                Ok(recording) if recording.closed.is_some() => continue,
                Ok(_) => self.mend(&camera, id),
                Err(error) => Err(error),
            };
            match mended {
                Ok(Mended::Closed { lost_bytes, recovered }) => {
                    tracing::info!(camera, %id, lost_bytes, recovered, "recording closed after an interruption");
                    settled.mended += 1;
                }
                Ok(Mended::Indexed) => settled.indexed += 1,
                Ok(Mended::Empty) => settled.removed += 1,
                Ok(Mended::Left) | Err(StoreError::NotFound) => {}
                Err(error) => {
                    tracing::warn!(camera, %id, %error, "recording cannot be mended");
                    settled.failed += 1;
                }
            }
            // Half of the disk's time is left to the cameras.
            std::thread::sleep(started.elapsed().min(Duration::from_secs(5)));
        }
        settled
    }

    fn mend(&self, camera: &str, id: RecordingId) -> Result<Mended, StoreError> {
        let folder = self.folder(camera, id)?;
        let named = id.moment(self.time_zone());
        match mend(&folder, named).map_err(|e| self.io(e))? {
            Mended::Empty => self.delete(camera, id).map(|()| Mended::Empty),
            done => self.read_again(camera, id).map(|_| done),
        }
    }
}

/// What became of one recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mended {
    /// It was open, and is closed now.
    Closed {
        /// Bytes of an incomplete access unit at the end.
        lost_bytes: u64,
        /// Access units that the index did not have.
        recovered: usize,
    },
    /// It had no index, and has one now.
    Indexed,
    /// There is nothing in it.
    Empty,
    /// Not to be touched.
    Left,
}

/// Mends the recording in a folder; `named` is the moment of its name.
fn mend(folder: &Folder, named: Timestamp) -> io::Result<Mended> {
    let video = match folder.file_to_edit(VIDEO) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        video => Some(video?),
    };
    let index = match folder.file_to_edit(index::FILE_NAME) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => None,
        index => Some(index?),
    };
    let bytes = index.as_ref().map(read_whole).transpose()?.unwrap_or_default();
    let parsed = Index::parse(&bytes);
    if matches!(parsed, Err(HeaderError::Version(_))) {
        return Ok(Mended::Left);
    }
    let video_bytes = video.as_ref().map_or(Ok(0), |video| video.metadata().map(|meta| meta.size()))?;
    let (Some(video), 1..) = (video, video_bytes) else {
        let bare = !folder.has(TRIGGER)? && !folder.has(details::PROTECTED)?;
        let ours = parsed.is_ok();
        return Ok(if bare && (ours || folder.age()? > YOUNG) { Mended::Empty } else { Mended::Left });
    };
    match (parsed, index) {
        (Ok(parsed), Some(file)) => close(&video, video_bytes, &file, parsed),
        _ => {
            let units = scan::access_units(&video, 0)?;
            folder.replace_file(index::FILE_NAME, &made_up(&units, named))?;
            Ok(Mended::Indexed)
        }
    }
}

fn read_whole(file: &File) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; file.metadata()?.size() as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Closes a recording that was being written. What comes last is written last, so that a second interruption finds the same again.
fn close(video: &File, video_bytes: u64, file: &File, index: Index) -> io::Result<Mended> {
    // Records whose bytes are not in the video, and all after them, count for nothing.
    let mut end = 0;
    let in_video = |record: &&Record| match record {
        Record::Unit(unit) if unit.offset != end || unit.end() > video_bytes => false,
        Record::Unit(unit) => {
            end = unit.end();
            true
        }
        _ => true,
    };
    let kept = Index { records: index.records.iter().take_while(in_video).copied().collect(), ..index };
    let mut found = scan::access_units(video, end)?;
    // Nothing says where the last one should end.
    found.pop();
    let recovered = estimated(&kept, &found);
    let end = found.last().map_or(end, |unit| unit.end);
    video.set_len(end)?;
    video.sync_data()?;

    let last = recovered.iter().rev().find_map(time_of);
    let last = last.or_else(|| kept.units().next_back().map(|unit| (unit.pts, unit.wall_us)));
    let (pts, wall_us) = last.unwrap_or((kept.header.trigger_pts, kept.header.trigger_wall_us));
    let units = (kept.units().count() + found.len()) as u64;
    let closed = Record::Closed { pts, wall_us, units, reason: CloseReason::Interrupted };
    let tail: Vec<u8> = recovered.iter().chain([&closed]).flat_map(Record::encode).collect();
    let good = (index::HEADER_BYTES + kept.records.len() * index::RECORD_BYTES) as u64;
    file.set_len(good)?;
    file.write_all_at(&tail, good)?;
    file.sync_data()?;
    Ok(Mended::Closed { lost_bytes: video_bytes - end, recovered: found.len() })
}

fn time_of(record: &Record) -> Option<(Pts, i64)> {
    match record {
        Record::Unit(unit) => Some((unit.pts, unit.wall_us)),
        _ => None,
    }
}

/// Records for access units beyond the index, at the rate of those in it.
fn estimated(index: &Index, found: &[Found]) -> Vec<Record> {
    if found.is_empty() {
        return Vec::new();
    }
    let count = index.units().count() as i64;
    let (first, last) = (index.units().next(), index.units().next_back());
    let header = &index.header;
    let (pts, wall_us) = last.map_or((header.trigger_pts, header.trigger_wall_us), |last| (last.pts, last.wall_us));
    let interval = match (first, last) {
        (Some(first), Some(last)) if count > 1 => last.pts.0.saturating_sub(first.pts.0) / (count - 1),
        _ => Pts::HZ / ASSUMED_FPS,
    };
    let times = (1..).map(|n| Pts(pts.0.saturating_add(interval.saturating_mul(n))));
    let units = found.iter().zip(times).map(|(unit, at)| record(unit, at, shifted(wall_us, pts, at)));
    [Record::Estimated { pts, wall_us }].into_iter().chain(units).collect()
}

fn record(found: &Found, pts: Pts, wall_us: i64) -> Record {
    let bytes = found.end.saturating_sub(found.offset).min(u64::from(MAX_UNIT_BYTES - 1)) as u32;
    Record::Unit(Unit { offset: found.offset, bytes, pts, wall_us, idr: found.idr })
}

/// A whole index for a video that has none: times are reckoned from the name and an assumed rate.
fn made_up(units: &[Found], named: Timestamp) -> Vec<u8> {
    let start_us = named.as_microsecond();
    let header = Header {
        event: 0,
        part: 0,
        cause: None,
        trigger_pts: Pts(0),
        trigger_wall_us: start_us,
        size: Resolution::default(),
        changed: 0.0,
        clock_synchronised: true,
        times_assumed: true,
    };
    let times = (0..).map(|n| Pts(n * Pts::HZ / ASSUMED_FPS));
    let records: Vec<_> =
        units.iter().zip(times).map(|(unit, at)| record(unit, at, shifted(start_us, Pts(0), at))).collect();
    let (pts, wall_us) = records.last().and_then(time_of).unwrap_or((Pts(0), start_us));
    let closed = Record::Closed { pts, wall_us, units: units.len() as u64, reason: CloseReason::Unknown };
    let records = records.iter().chain([&closed]).flat_map(Record::encode);
    header.encode().into_iter().chain(records).collect()
}
