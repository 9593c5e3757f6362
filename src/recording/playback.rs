//! A recording as MP4, made from its video and its index while it is read. Nothing is copied on the disk. What an MP4 is,
//! is in `mp4`.

use std::fs::File;
use std::io::{self, BufReader, ErrorKind, Read};
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};

use jiff::Timestamp;

use super::id::RecordingId;
use super::index::{self, HEADER_BYTES, Header, RECORD_BYTES, Record, Unit, shifted};
use super::store::{Store, StoreError};
use crate::mp4::{Mp4Error, Plan, Planner};

/// No picture of a camera is larger, and none smaller; what claims to be is damaged.
const UNIT_BYTES: std::ops::RangeInclusive<u32> = 5..=16 << 20;

/// Why a recording cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum PlaybackError {
    /// It is not there, has no index yet, or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No picture of it is on disk that decoding could start with, or fewer than were asked for.
    #[error("the recording has not so many pictures")]
    TooShort,
    /// Its video was made by another program, in a form that cannot be made an MP4 in place.
    #[error("the recording's video is of a foreign form: {0}")]
    Foreign(Mp4Error),
}

/// A recording as MP4: a moment's state of it, which stays what it is, also when the recording goes on or is deleted.
#[derive(Debug)]
pub struct Playback {
    plan: Plan,
    video: File,
}

impl Playback {
    /// Bytes of the MP4.
    #[allow(clippy::len_without_is_empty, reason = "there is no empty MP4")]
    pub fn len(&self) -> u64 {
        self.plan.len()
    }

    /// Pictures in it.
    pub fn pictures(&self) -> usize {
        self.plan.pictures()
    }

    /// A number that changes with every byte that precedes the video: times and sizes of all pictures.
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(self.plan.head())
    }

    /// The next bytes of a range of the MP4, as [`Plan::read`]. Blocks on the disk.
    ///
    /// # Errors
    /// The disk's, and a video that is not what its index says.
    pub fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        self.plan.read(range, |buffer, at| self.video.read_exact_at(buffer, at))
    }
}

impl Store {
    /// A recording as MP4, from its first IDR on: all of it, or its first `pictures`, which never change again. Reads the
    /// index, and of the video the first picture.
    ///
    /// # Errors
    /// See [`PlaybackError`].
    pub fn playback(&self, camera: &str, id: RecordingId, pictures: Option<usize>) -> Result<Playback, PlaybackError> {
        let disk = |error| PlaybackError::Store(self.io(error));
        let video = self.open_video(camera, id)?;
        let video_bytes = video.metadata().map_err(disk)?.size();
        let mut records = BufReader::new(self.open_file(camera, id, index::FILE_NAME)?);
        let mut header = [0; HEADER_BYTES];
        records.read_exact(&mut header).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => PlaybackError::Store(StoreError::NotFound),
            _ => disk(error),
        })?;
        Header::decode(&header).map_err(|_| StoreError::NotFound)?;

        let mut planner: Option<Planner> = None;
        let (mut planned, mut torn) = (0, false);
        let mut created = None;
        let mut clock = None;
        while let Some(record) = next(&mut records).map_err(disk)? {
            match record {
                Record::Clock { pts, wall_us } => clock = Some((pts, wall_us)),
                Record::Unit(_) if torn || pictures.is_some_and(|most| planned == most) => {}
                // After a crash the index is cut where the video is, but not before the recording is mended.
                Record::Unit(unit) if unit.end() > video_bytes || !UNIT_BYTES.contains(&unit.bytes) => torn = true,
                Record::Unit(unit) => {
                    if planner.is_none() && unit.idr {
                        planner = Some(begin(&video, &unit).map_err(|error| match error {
                            Mp4Error::Io(error) => disk(error),
                            other => PlaybackError::Foreign(other),
                        })?);
                        created = Some((unit.pts, unit.wall_us));
                    }
                    if let Some(planner) = &mut planner {
                        let pushed = planner.push(unit.offset, unit.bytes, unit.pts, unit.idr);
                        pushed.map_err(PlaybackError::Foreign)?;
                        planned += 1;
                    }
                }
                _ => {}
            }
        }
        let (Some(planner), Some((pts, wall_us))) = (planner, created) else { return Err(PlaybackError::TooShort) };
        if pictures.is_some_and(|wanted| planned != wanted) {
            return Err(PlaybackError::TooShort);
        }
        let created_us = clock.map_or(wall_us, |(anchor, wall_us)| shifted(wall_us, anchor, pts));
        let created = Timestamp::from_microsecond(created_us).unwrap_or(Timestamp::UNIX_EPOCH);
        Ok(Playback { plan: planner.finish(created).map_err(PlaybackError::Foreign)?, video })
    }
}

/// The next record; `None` at the end, or where the rest is torn.
fn next(records: &mut impl Read) -> io::Result<Option<Record>> {
    let mut record = [0; RECORD_BYTES];
    match records.read_exact(&mut record) {
        Ok(()) => Ok(Record::decode(&record)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn begin(video: &File, first: &Unit) -> Result<Planner, Mp4Error> {
    let mut bytes = vec![0; first.bytes as usize];
    video.read_exact_at(&mut bytes, first.offset)?;
    Planner::new(&bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::OpenOptions;
    use std::io::Write;
    use std::path::Path;

    use jiff::tz::TimeZone;

    use super::super::index::CloseReason;
    use super::super::testing;
    use super::*;
    use crate::event::Cause;
    use crate::media::AccessUnit;
    use crate::mp4::testing::{plays, probe, units as own_units};

    /// 50 pictures, 10 a second, with start codes of 4 bytes.
    fn units() -> Vec<AccessUnit> {
        let timed = testing::units().into_iter().zip(own_units());
        timed.map(|(timed, own)| AccessUnit { bytes: own.bytes.clone().into(), idr: own.idr, ..timed }).collect()
    }

    fn record(dir: &Path, units: &[AccessUnit], close: bool) -> (Store, RecordingId) {
        let store = Store::open_in(dir, TimeZone::UTC).unwrap();
        let header = Header {
            event: 1,
            part: 0,
            cause: Some(Cause::Manual),
            trigger_pts: testing::FIRST,
            trigger_wall_us: testing::first_wall().as_microsecond(),
            size: units[0].size,
            changed: 0.0,
            clock_synchronised: true,
            times_assumed: false,
        };
        let (id, mut files) = store.create("front", testing::first_wall(), header).unwrap();
        files.append(0, &units[..20]).unwrap();
        files.append(0, &units[20..]).unwrap();
        if close {
            files.close(CloseReason::Quiet).unwrap();
            store.finish("front", id, CloseReason::Quiet);
        }
        (store, id)
    }

    fn whole(playback: &Playback) -> Vec<u8> {
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < playback.len() {
            bytes.extend(playback.read(bytes.len() as u64..playback.len()).unwrap());
        }
        bytes
    }

    fn probed(playback: &Playback) -> String {
        let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
        std::fs::write(file.path(), whole(playback)).unwrap();
        plays(file.path());
        let created = probe(file.path(), "format_tags=creation_time");
        assert!(created.starts_with("2020-09-07T12:25:4"), "{created}");
        format!("{} {}", probe(file.path(), "stream=nb_read_frames"), probe(file.path(), "format=duration"))
    }

    #[test]
    fn a_recording_plays_and_outlives_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = record(dir.path(), &units(), true);
        let playback = store.playback("front", id, None).unwrap();
        store.delete("front", id).unwrap();
        assert_eq!(probed(&playback), "50 5.000000");
        let gone = store.playback("front", id, None).unwrap_err();
        assert!(matches!(gone, PlaybackError::Store(StoreError::NotFound)));
    }

    #[test]
    fn the_first_pictures_of_one_being_written_never_change() {
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = record(dir.path(), &units(), false);
        let early = store.playback("front", id, Some(15)).unwrap();
        let (bytes, checksum) = (whole(&early), early.checksum());
        store.finish("front", id, CloseReason::Quiet);
        let late = store.playback("front", id, Some(15)).unwrap();
        assert_eq!((whole(&late), late.checksum()), (bytes, checksum));
        assert_eq!(probed(&late), "15 1.500000");
        assert_ne!(store.playback("front", id, None).unwrap().checksum(), checksum);
        assert!(matches!(store.playback("front", id, Some(51)), Err(PlaybackError::TooShort)));
        assert!(matches!(store.playback("front", id, Some(0)), Err(PlaybackError::TooShort)));
    }

    #[test]
    fn what_a_crash_left_plays_before_it_is_mended() {
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = record(dir.path(), &units(), false);
        let folder = dir.path().join(format!("recordings/front/{id}"));
        let video = OpenOptions::new().write(true).open(folder.join("video.h264")).unwrap();
        video.set_len(own_units()[44].offset - 3).unwrap();
        let mut index = OpenOptions::new().append(true).open(folder.join("index")).unwrap();
        index.write_all(&[7; RECORD_BYTES + 9]).unwrap();
        let playback = store.playback("front", id, None).unwrap();
        assert_eq!((playback.pictures(), probed(&playback).as_str()), (43, "43 4.300000"));
        video.set_len(3).unwrap();
        assert!(matches!(store.playback("front", id, None), Err(PlaybackError::TooShort)));
        assert!(playback.read(playback.len() - 1..playback.len()).is_err(), "taken away while it is read");
        std::fs::write(folder.join("index"), [7; 99]).unwrap();
        let damaged = store.playback("front", id, None).unwrap_err();
        assert!(matches!(damaged, PlaybackError::Store(StoreError::NotFound)));
    }

    #[test]
    fn a_foreign_video_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (store, id) = record(dir.path(), &testing::units(), true);
        let refused = store.playback("front", id, None).unwrap_err();
        assert!(matches!(refused, PlaybackError::Foreign(Mp4Error::StartCode)), "slices with start codes of 3 bytes");
    }
}
