//! The files of one recording while it is written: each append is on stable storage when it returns.
//!
//! When to append, and what to do when it fails, is in `recording::writer`; names and folders in `recording::store`.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Write};
use std::os::unix::fs::{FileExt, MetadataExt};

use super::folder::Folder;
use super::index::{self, CloseReason, HEADER_BYTES, Header, Record, Unit};
use crate::media::{AccessUnit, Pts};

/// The H.264 elementary stream (Annex B).
pub(super) const VIDEO: &str = "video.h264";
/// The picture that triggered.
pub(super) const TRIGGER: &str = "trigger.jpg";
/// A small picture of that, made when somebody first asked for it.
pub(super) const THUMBNAIL: &str = "thumb.jpg";

// The kernel takes at most 1024 slices at once; these fit on the stack.
const SLICES: usize = 64;

/// A recording being written.
#[derive(Debug)]
pub(super) struct Files {
    folder: Folder,
    video: File,
    index: File,
    /// What was known at the beginning.
    pub header: Header,
    /// Bytes of the video that are durable.
    pub video_bytes: u64,
    /// Bytes of the index that are durable.
    pub index_bytes: u64,
    /// Bytes of the trigger picture.
    pub picture_bytes: u64,
    /// Access units that are durable.
    pub units: u64,
    /// PTS and wall time of the first.
    pub first: Option<(Pts, i64)>,
    /// PTS and wall time of the last.
    pub last: Option<(Pts, i64)>,
    /// Used again for each append.
    records: Vec<u8>,
}

impl Files {
    /// Makes the files in an empty folder.
    pub fn create(folder: Folder, header: Header) -> io::Result<Self> {
        let video = folder.create_file(VIDEO)?;
        let index = folder.create_file(index::FILE_NAME)?;
        index.write_all_at(&header.encode(), 0)?;
        index.sync_data()?;
        folder.sync()?;
        Ok(Self {
            folder,
            video,
            index,
            header,
            video_bytes: 0,
            index_bytes: HEADER_BYTES as u64,
            picture_bytes: 0,
            units: 0,
            first: None,
            last: None,
            records: Vec::new(),
        })
    }

    /// Appends access units, and before them the mark of a gap, where `missed` are missing. The video is durable before
    /// the index speaks of it. After an error both are as they were before, and only [`Files::close`] may follow.
    pub fn append(&mut self, missed: u64, units: &[AccessUnit]) -> io::Result<()> {
        let appended = self.try_append(missed, units);
        if appended.is_err() {
            // Shortening needs no room; where even that fails, the repair at the next start does it.
            let _ = self.video.set_len(self.video_bytes);
            let _ = self.index.set_len(self.index_bytes);
        }
        appended
    }

    fn try_append(&mut self, missed: u64, units: &[AccessUnit]) -> io::Result<()> {
        self.records.clear();
        if let (Some((pts, wall_us)), 1..) = (self.last, missed) {
            self.records.extend(Record::Gap { pts, wall_us, missed }.encode());
        }
        let mut offset = self.video_bytes;
        for unit in units {
            let record = Unit {
                offset,
                bytes: unit.bytes.len() as u32,
                pts: unit.moment.pts,
                wall_us: unit.moment.wall.as_microsecond(),
                idr: unit.idr,
            };
            self.records.extend(Record::Unit(record).encode());
            offset = record.end();
        }
        write_units(&mut self.video, units)?;
        self.video.sync_data()?;
        // Writing to a file that somebody has deleted succeeds, and is lost.
        if self.video.metadata()?.nlink() == 0 {
            return Err(ErrorKind::NotFound.into());
        }
        self.append_to_index()?;
        let time = |unit: &AccessUnit| (unit.moment.pts, unit.moment.wall.as_microsecond());
        self.first = self.first.or(units.first().map(time));
        self.last = units.last().map(time).or(self.last);
        self.units += units.len() as u64;
        self.video_bytes = offset;
        Ok(())
    }

    fn append_to_index(&mut self) -> io::Result<()> {
        self.index.write_all_at(&self.records, self.index_bytes)?;
        self.index.sync_data()?;
        self.index_bytes += self.records.len() as u64;
        Ok(())
    }

    /// Keeps the picture that triggered; durable on return.
    pub fn keep_picture(&mut self, jpeg: &[u8]) -> io::Result<()> {
        self.folder.replace_file(TRIGGER, jpeg)?;
        self.picture_bytes = jpeg.len() as u64;
        Ok(())
    }

    /// Marks the recording as complete. After an error it is as it was: the repair at the next start will close it.
    pub fn close(&mut self, reason: CloseReason) -> io::Result<()> {
        let (pts, wall_us) = self.last.unwrap_or((self.header.trigger_pts, self.header.trigger_wall_us));
        self.records.clear();
        self.records.extend(Record::Closed { pts, wall_us, units: self.units, reason }.encode());
        let closed = self.append_to_index();
        if closed.is_err() {
            // See `append`.
            let _ = self.index.set_len(self.index_bytes);
        }
        closed
    }
}

/// Writes the shared bytes as they lie in the ring: no copy is made.
fn write_units(video: &mut File, units: &[AccessUnit]) -> io::Result<()> {
    for units in units.chunks(SLICES) {
        let mut slices = [IoSlice::new(&[]); SLICES];
        for (slice, unit) in slices.iter_mut().zip(units) {
            *slice = IoSlice::new(&unit.bytes);
        }
        let mut left = &mut slices[..units.len()];
        // Steps over slices without bytes, which would otherwise look like a write of nothing.
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match video.write_vectored(left) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }
    Ok(())
}
