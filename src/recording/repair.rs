//! Mends recordings that were not closed: cuts a torn tail, recovers the pictures that are in the video and not in the
//! index, and makes an index for recordings that never had one.
//!
//! Nothing of a picture that is whole is thrown away, and nothing is changed in a recording that is closed or whose index a
//! newer program wrote.

use std::fs::File;
use std::io::{self, Seek, SeekFrom};
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
use super::store::{Store, StoreError};
use crate::h264::{AccessUnits, Sps, nal_units};
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
    /// Mends and reads all recordings, the newest first. To be called after the start and after [`Store::refresh`], from a thread that may take its time:
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
            let found = search(&video, 0)?;
            folder.replace_file(index::FILE_NAME, &made_up(&found, named))?;
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
    let mut found = search(video, end)?.units;
    // Nothing says where the last one should end.
    found.pop();
    if found.first().is_some_and(|first| first.offset != end) {
        // What was written after the index begins with a start code: this is something else.
        found.clear();
    }
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

/// An access unit in the video.
#[derive(Clone, Copy, Debug)]
struct Found {
    offset: u64,
    end: u64,
    idr: bool,
}

/// What is in a video.
#[derive(Debug, Default)]
struct Search {
    units: Vec<Found>,
    /// Size of the pictures, from the first SPS.
    size: Option<Resolution>,
}

/// Looks for access units from byte `from` on. The last one ends with the file, and may be incomplete.
fn search(mut video: &File, from: u64) -> io::Result<Search> {
    let mut search = Search::default();
    video.seek(SeekFrom::Start(from))?;
    for unit in AccessUnits::new(video) {
        let unit = match unit {
            // From here on it is no H.264.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => break,
            unit => unit?,
        };
        if search.size.is_none() {
            search.size = nal_units(&unit.bytes).find_map(Sps::parse).map(|sps| sps.size);
        }
        if unit.picture {
            let offset = from + unit.offset;
            search.units.push(Found { offset, end: offset + unit.bytes.len() as u64, idr: unit.idr });
        }
    }
    Ok(search)
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
fn made_up(found: &Search, named: Timestamp) -> Vec<u8> {
    let start_us = named.as_microsecond();
    let header = Header {
        event: 0,
        part: 0,
        cause: None,
        trigger_pts: Pts(0),
        trigger_wall_us: start_us,
        size: found.size.unwrap_or_default(),
        changed: 0.0,
        clock_synchronised: true,
        times_assumed: true,
    };
    let times = (0..).map(|n| Pts(n * Pts::HZ / ASSUMED_FPS));
    let records: Vec<_> =
        found.units.iter().zip(times).map(|(unit, at)| record(unit, at, shifted(start_us, Pts(0), at))).collect();
    let (pts, wall_us) = records.last().and_then(time_of).unwrap_or((Pts(0), start_us));
    let closed = Record::Closed { pts, wall_us, units: found.units.len() as u64, reason: CloseReason::Unknown };
    let records = records.iter().chain([&closed]).flat_map(Record::encode);
    header.encode().into_iter().chain(records).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use jiff::tz::TimeZone;

    use super::super::files::Files;
    use super::super::testing::{FPS, decoded, event, small_units, units};
    use super::*;
    use crate::media::AccessUnit;

    /// A recording of the first pictures, as the writer leaves it when it is killed.
    fn killed(dir: &Path, pictures: &[AccessUnit]) -> PathBuf {
        let store = Store::open_in(dir, TimeZone::UTC).unwrap();
        let event = event(4);
        let header = Header {
            event: 4,
            part: 0,
            cause: Some(event.cause),
            trigger_pts: event.trigger.pts,
            trigger_wall_us: event.trigger.wall.as_microsecond(),
            size: pictures.first().map_or(Resolution::default(), |unit| unit.size),
            changed: 0.5,
            clock_synchronised: true,
            times_assumed: false,
        };
        let (id, mut files): (_, Files) = store.create("front", event.trigger.wall, header).unwrap();
        pictures.chunks(10).for_each(|gop| files.append(0, gop).unwrap());
        dir.join(format!("recordings/front/{id}"))
    }

    fn settle(dir: &Path) -> (Store, Settled) {
        let store = Store::open_in(dir, TimeZone::UTC).unwrap();
        let settled = store.settle(&AtomicBool::new(false));
        (store, settled)
    }

    /// A disk without delays, where there is one: thousands of recordings are mended here.
    fn fast_dir() -> tempfile::TempDir {
        tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
    }

    /// Mends a copy cut to these lengths, and checks that what comes of it is whole and as much as there can be.
    fn mend_cut(scratch: &Path, video: &[u8], index: &[u8], units: &[AccessUnit]) -> usize {
        fs::write(scratch.join(VIDEO), video).unwrap();
        fs::write(scratch.join(index::FILE_NAME), index).unwrap();
        let mended = mend(&Folder::open_top(scratch).unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(matches!(mended, Mended::Closed { .. }), "{mended:?}");
        let after = Index::parse(&fs::read(scratch.join(index::FILE_NAME)).unwrap()).unwrap();
        let left = fs::read(scratch.join(VIDEO)).unwrap();
        assert_eq!(after.closed(), Some(CloseReason::Interrupted));
        assert_eq!(after.units().next_back().map_or(0, Unit::end), left.len() as u64);
        for (record, unit) in after.units().zip(units) {
            assert_eq!(left[record.offset as usize..record.end() as usize], unit.bytes);
            assert_eq!((record.pts, record.idr), (unit.moment.pts, unit.idr));
            assert_eq!(record.wall_us, unit.moment.wall.as_microsecond());
        }
        let whole = units.iter().scan(0, |end, unit| {
            *end += unit.bytes.len();
            Some(*end)
        });
        let whole = whole.take_while(|end| *end <= video.len()).count();
        let indexed = (index.len() - index::HEADER_BYTES) / index::RECORD_BYTES;
        let count = after.units().count();
        // The last access unit is only known to be whole when the index says so, or another follows.
        assert!(count == whole || count + 1 == whole && indexed < whole, "{count} of {whole}, {indexed} in the index");
        // Nothing is left to be done.
        assert_eq!(after.good_bytes, fs::metadata(scratch.join(index::FILE_NAME)).unwrap().len());
        count
    }

    #[test]
    fn a_cut_at_any_byte_leaves_what_is_whole() {
        let (dir, scratch) = (fast_dir(), fast_dir());
        let units = &small_units()[..30];
        let folder = killed(dir.path(), units);
        let (video, index) = (fs::read(folder.join(VIDEO)).unwrap(), fs::read(folder.join("index")).unwrap());
        // The index at every byte of its last two GOPs, all of the video being there: nothing is lost but the last picture.
        for cut in index.len() - 20 * 32..=index.len() {
            let count = mend_cut(scratch.path(), &video, &index[..cut], units);
            assert!(count >= 29, "{cut}: {count}");
        }
        // The video at every byte of its last two GOPs, with the index of all of it or of the GOP before.
        let two_gops = units[10..].iter().map(|unit| unit.bytes.len()).sum::<usize>();
        for (i, cut) in (video.len() - two_gops..=video.len()).enumerate() {
            let index = if i % 2 == 0 { &index[..] } else { &index[..index.len() - 20 * 32] };
            let count = mend_cut(scratch.path(), &video[..cut], index, units);
            if i % (two_gops / 23) == 0 {
                assert_eq!(decoded(&scratch.path().join(VIDEO)), (count, String::new()), "{cut}");
            }
        }
    }

    #[test]
    fn what_a_power_cut_fills_with_zeros_is_cut_off() {
        let (dir, scratch) = (fast_dir(), fast_dir());
        let units = &units()[..20];
        let folder = killed(dir.path(), units);
        let (mut video, mut index) = (fs::read(folder.join(VIDEO)).unwrap(), fs::read(folder.join("index")).unwrap());
        video.extend([0; 5000]);
        index.extend([0; 500]);
        fs::write(scratch.path().join(VIDEO), &video).unwrap();
        fs::write(scratch.path().join("index"), &index).unwrap();
        let mended = mend(&Folder::open_top(scratch.path()).unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(mended, Mended::Closed { lost_bytes: 5000, recovered: 0 });
        assert_eq!(decoded(&scratch.path().join(VIDEO)), (units.len(), String::new()));
    }

    #[test]
    fn at_the_start_what_was_open_is_closed_and_the_rest_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let units = &units()[..30];
        let folder = killed(dir.path(), units);
        let extra = units[..5].iter().flat_map(|unit| unit.bytes.to_vec());
        let video: Vec<u8> = fs::read(folder.join(VIDEO)).unwrap().into_iter().chain(extra).collect();
        fs::write(folder.join(VIDEO), video).unwrap();
        let (store, settled) = settle(dir.path());
        assert_eq!(settled, Settled { mended: 1, ..Settled::default() });
        let day = store.days("front")[0].clone();
        let id = RecordingId { day: day.day, time: day.times[0] };
        let shown = store.recording("front", id).unwrap();
        assert_eq!((shown.closed, shown.event, shown.writing), (Some(CloseReason::Interrupted), 4, false));
        assert_eq!(decoded(&folder.join(VIDEO)), (34, String::new()));
        let index = store.read_index("front", id).unwrap();
        assert!(index.records.iter().any(|record| matches!(record, Record::Estimated { .. })));
        let times: Vec<_> = index.units().map(|unit| unit.pts.0).collect();
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] == Pts::HZ / FPS));
        let before = fs::read(folder.join("index")).unwrap();
        assert_eq!(super::tests::settle(dir.path()).1, Settled::default(), "a second start finds nothing to do");
        assert_eq!(fs::read(folder.join("index")).unwrap(), before);
    }

    #[test]
    fn recordings_of_1x_get_an_index() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("recordings/garden/2019-03-02/18.21.52");
        fs::create_dir_all(&folder).unwrap();
        let video: Vec<u8> = units().iter().flat_map(|unit| unit.bytes.to_vec()).collect();
        fs::write(folder.join(VIDEO), &video).unwrap();
        fs::write(folder.join(TRIGGER), "jpeg").unwrap();
        let (store, settled) = settle(dir.path());
        assert_eq!(settled, Settled { indexed: 1, ..Settled::default() });
        let id = RecordingId::parse("2019-03-02", "18.21.52").unwrap();
        let shown = store.recording("garden", id).unwrap();
        assert_eq!(shown.start.to_string(), "2019-03-02T18:21:52Z");
        assert_eq!((shown.duration.as_millis(), shown.times_assumed), (119 * 1000 / 30, true));
        assert_eq!((shown.event, shown.closed), (0, Some(CloseReason::Unknown)));
        assert_eq!(shown.size, Some(Resolution::new(160, 120)));
        assert_eq!(store.read_index("garden", id).unwrap().units().count(), 120);
        assert_eq!(fs::read(folder.join(VIDEO)).unwrap(), video, "the video is not touched");
        assert_eq!(super::tests::settle(dir.path()).1, Settled::default());
    }

    #[test]
    fn a_damaged_header_is_made_up_and_a_newer_version_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = killed(dir.path(), &units()[..20]);
        let index = folder.join("index");
        let good = fs::read(&index).unwrap();
        fs::write(&index, [&[0xff; 64], &good[64..]].concat()).unwrap();
        assert_eq!(settle(dir.path()).1, Settled { indexed: 1, ..Settled::default() });
        assert_eq!(Index::parse(&fs::read(&index).unwrap()).unwrap().units().count(), 20);

        let mut newer = good.clone();
        newer[8] = 2;
        let crc = crc32fast::hash(&newer[..60]);
        newer[60..64].copy_from_slice(&crc.to_le_bytes());
        fs::write(&index, &newer).unwrap();
        assert_eq!(settle(dir.path()).1, Settled::default());
        assert_eq!(fs::read(&index).unwrap(), newer);
    }

    #[test]
    fn what_has_nothing_in_it_goes_and_what_is_being_copied_stays() {
        let dir = tempfile::tempdir().unwrap();
        let ours = killed(dir.path(), &[]);
        let copied = dir.path().join("recordings/front/2019-03-02/18.21.52");
        fs::create_dir_all(&copied).unwrap();
        let half_deleted = dir.path().join("recordings/front/2019-03-02/.deleted-11.11.11");
        fs::create_dir_all(&half_deleted).unwrap();
        fs::write(half_deleted.join(VIDEO), "v").unwrap();
        let foreign = dir.path().join("recordings/front/2019-03-02/.deleted-mine");
        fs::create_dir_all(&foreign).unwrap();
        assert_eq!(settle(dir.path()).1, Settled { removed: 1, ..Settled::default() });
        assert!(!ours.exists() && !half_deleted.exists());
        assert!(copied.exists() && foreign.exists());
    }

    #[test]
    fn a_link_is_not_mended_through() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = killed(dir.path(), &units()[..20]);
        for name in [VIDEO, "index"] {
            fs::rename(folder.join(name), outside.path().join(name)).unwrap();
            std::os::unix::fs::symlink(outside.path().join(name), folder.join(name)).unwrap();
        }
        let before = fs::read(outside.path().join("index")).unwrap();
        settle(dir.path());
        assert_eq!(fs::read(outside.path().join("index")).unwrap(), before);
    }
}
