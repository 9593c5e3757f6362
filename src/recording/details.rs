//! What a list of recordings shows of each, read from the ends of its index without reading all of it.

use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::files::{Files, THUMBNAIL, TRIGGER, VIDEO};
use super::folder::Folder;
use super::id::RecordingId;
use super::index::{self, CloseReason, HEADER_BYTES, Header, Index, RECORD_BYTES, Record};
use crate::event::Cause;
use crate::media::{Pts, Resolution};

/// The marker of a protected recording.
pub(super) const PROTECTED: &str = "protected";

/// One recording, as a list shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// Its name.
    pub id: RecordingId,
    /// Number of the event: the true order, whatever the clock did. 0 for recordings of 1.x.
    pub event: u64,
    /// 0 for an event's first recording; more where it goes on in another.
    pub part: u32,
    /// Why the event started; `None` when it is unknown.
    pub cause: Option<Cause>,
    /// When its first picture was taken.
    pub start: Timestamp,
    /// When the event was decided.
    pub trigger: Timestamp,
    /// From the first picture to the last.
    pub duration: Duration,
    /// All its files together.
    pub bytes: u64,
    /// Size of the pictures; `None` while it is unknown.
    pub size: Option<Resolution>,
    /// The largest connected changed area, as a part of the picture, 0 to 1.
    pub changed: f32,
    /// Retention and deletion leave it alone.
    pub protected: bool,
    /// More pictures are still to come.
    pub writing: bool,
    /// Why it ended; `None` for one that is being written or has not been mended yet.
    pub closed: Option<CloseReason>,
    /// Whether `start` and `trigger` can be believed: the clock was right then, or has been corrected since.
    pub times_known: bool,
    /// Whether times within the recording are reckoned from an assumed frame rate (recordings of 1.x).
    pub times_assumed: bool,
}

// Enough for the first access unit, and for the close with a few corrections of the clock after it.
const ENDS: usize = 8 * RECORD_BYTES;

/// Reads a recording's folder. One without a readable index, such as one of 1.x, is described by its name alone.
pub(super) fn read(folder: &Folder, id: RecordingId, time_zone: &TimeZone) -> io::Result<Recording> {
    let length = |name| match folder.file(name) {
        Ok(file) => file.metadata().map(|meta| meta.size()),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(0),
        Err(e) => Err(e),
    };
    let named = id.moment(time_zone);
    let mut recording = Recording {
        id,
        event: 0,
        part: 0,
        cause: None,
        start: named,
        trigger: named,
        duration: Duration::ZERO,
        bytes: length(VIDEO)? + length(TRIGGER)? + length(THUMBNAIL)? + length(index::FILE_NAME)?,
        size: None,
        changed: 0.0,
        protected: folder.has(PROTECTED)?,
        writing: false,
        closed: None,
        times_known: true,
        times_assumed: true,
    };
    if let Some(ends) = read_ends(folder)? {
        describe(&mut recording, &ends);
    }
    Ok(recording)
}

/// The index without its middle; `None` when there is none that can be read.
fn read_ends(folder: &Folder) -> io::Result<Option<Index>> {
    let file = match folder.file(index::FILE_NAME) {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let length = file.metadata()?.size() as usize;
    let records = length.saturating_sub(HEADER_BYTES) / RECORD_BYTES;
    let end = HEADER_BYTES + records * RECORD_BYTES;
    let head = HEADER_BYTES + ENDS;
    let mut bytes = vec![0; length.min(head + ENDS)];
    if bytes.len() < length {
        file.read_exact_at(&mut bytes[..head], 0)?;
        bytes.truncate(head + ENDS);
        file.read_exact_at(&mut bytes[head..], (end - ENDS) as u64)?;
    } else {
        file.read_exact_at(&mut bytes, 0)?;
    }
    let ends = Index::parse(&bytes).ok();
    if ends.as_ref().is_some_and(|ends| ends.closed().is_none()) {
        // Torn or never closed, so that its end is somewhere before the end of the file.
        let mut whole = vec![0; length];
        file.read_exact_at(&mut whole, 0)?;
        return Ok(Index::parse(&whole).ok());
    }
    Ok(ends)
}

fn describe(recording: &mut Recording, index: &Index) {
    let Header { event, part, cause, trigger_pts, size, changed, times_assumed, .. } = index.header;
    let time = |pts| Timestamp::from_microsecond(index.wall_us_at(pts));
    let first = index.units().next().map_or(trigger_pts, |unit| unit.pts);
    let last = index.units().next_back().map_or(trigger_pts, |unit| unit.pts);
    let corrected = index.records.iter().any(|record| matches!(record, Record::Clock { .. }));
    recording.event = event;
    recording.part = part;
    recording.cause = cause;
    recording.start = time(first).unwrap_or(recording.start);
    // While the clock was right throughout, the trigger's own time is the exact one.
    let trigger = if corrected { index.wall_us_at(trigger_pts) } else { index.header.trigger_wall_us };
    recording.trigger = Timestamp::from_microsecond(trigger).unwrap_or(recording.trigger);
    recording.duration = last.since(first);
    recording.size = (size != Resolution::default()).then_some(size);
    recording.changed = changed;
    recording.closed = index.closed();
    recording.times_known = index.header.clock_synchronised || corrected;
    recording.times_assumed = times_assumed;
}

/// As it stands while it is written.
pub(super) fn of_files(id: RecordingId, files: &Files, protected: bool, time_zone: &TimeZone) -> Recording {
    let Header { event, part, cause, trigger_wall_us, size, changed, clock_synchronised, .. } = files.header;
    let named = id.moment(time_zone);
    let time = |us| Timestamp::from_microsecond(us).unwrap_or(named);
    let duration = |((first, _), (last, _)): ((Pts, i64), (Pts, i64))| last.since(first);
    Recording {
        id,
        event,
        part,
        cause,
        start: files.first.map_or(named, |(_, wall_us)| time(wall_us)),
        trigger: time(trigger_wall_us),
        duration: files.first.zip(files.last).map_or(Duration::ZERO, duration),
        bytes: files.video_bytes + files.index_bytes + files.picture_bytes,
        size: Some(size),
        changed,
        protected,
        writing: true,
        closed: None,
        times_known: clock_synchronised,
        times_assumed: false,
    }
}
