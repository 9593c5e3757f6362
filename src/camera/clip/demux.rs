//! The video samples of an MP4 file, plain or fragmented, read one at a time.
//!
//! What a sample holds is the reader's business; boxes are read by `shiguredo_mp4`.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use shiguredo_mp4::TrackKind;
use shiguredo_mp4::boxes::SampleEntry;
use shiguredo_mp4::demux::{
    DemuxError, Fmp4FileDemuxer, Input, Mp4FileDemuxer, Mp4FileKind, Mp4FileKindDetector, RequiredInput, Sample,
};

use crate::media::Pts;

/// No header and no sample is larger. The header of a day of video has a few megabytes.
const MAX_BYTES: usize = 64 << 20;

/// One sample, and where it belongs.
pub struct VideoSample {
    /// Presentation time, not yet from the start of the clip.
    pub pts: Pts,
    /// The sample as it is in the file.
    pub data: Vec<u8>,
    /// How it is encoded, where that has changed; always there for the first.
    pub entry: Option<SampleEntry>,
}

/// An MP4 file that is being read.
pub struct Mp4File {
    file: File,
    demuxer: Demuxer,
    track: Option<u32>,
}

enum Demuxer {
    Plain(Mp4FileDemuxer),
    Fragmented(Fmp4FileDemuxer),
}

impl Demuxer {
    fn required_input(&self) -> Option<RequiredInput> {
        match self {
            Demuxer::Plain(plain) => plain.required_input(),
            Demuxer::Fragmented(fragmented) => fragmented.required_input(),
        }
    }

    fn handle_input(&mut self, input: Input<'_>) {
        match self {
            Demuxer::Plain(plain) => plain.handle_input(input),
            Demuxer::Fragmented(fragmented) => fragmented.handle_input(input),
        }
    }

    fn next_sample(&mut self) -> Result<Option<Sample<'_>>, DemuxError> {
        match self {
            Demuxer::Plain(plain) => plain.next_sample(),
            Demuxer::Fragmented(fragmented) => fragmented.next_sample(),
        }
    }

    fn video_track(&mut self) -> Result<Option<u32>, DemuxError> {
        let tracks = match self {
            Demuxer::Plain(plain) => plain.tracks()?,
            Demuxer::Fragmented(fragmented) => fragmented.tracks()?,
        };
        Ok(tracks.iter().find(|track| track.kind == TrackKind::Video).map(|track| track.track_id))
    }
}

impl Mp4File {
    /// Reads the header and finds the first video track.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the file.
    pub fn open(file: File) -> Result<Self, String> {
        let mut detector = Mp4FileKindDetector::new();
        let kind = loop {
            if let Some(kind) = detector.file_kind().map_err(|error| broken(&error))? {
                break kind;
            }
            let required = detector.required_input().ok_or("the MP4 file has no header (moov)")?;
            let data = read(&file, required)?;
            detector.handle_input(required.to_input(&data));
        };
        let demuxer = match kind {
            Mp4FileKind::Mp4 => Demuxer::Plain(Mp4FileDemuxer::new()),
            Mp4FileKind::FragmentedMp4 => Demuxer::Fragmented(Fmp4FileDemuxer::new()),
        };
        let mut this = Self { file, demuxer, track: None };
        loop {
            match this.demuxer.video_track() {
                Ok(Some(track)) => break this.track = Some(track),
                Ok(None) => return Err("the MP4 file has no video".to_owned()),
                Err(DemuxError::InputRequired(required)) => this.feed(required)?,
                Err(error) => return Err(broken(&error)),
            }
        }
        Ok(this)
    }

    /// The next sample in decoding order, or `None` at the end.
    ///
    /// # Errors
    ///
    /// A sentence about what is wrong with the file.
    pub fn next_sample(&mut self) -> Result<Option<VideoSample>, String> {
        loop {
            while let Some(required) = self.demuxer.required_input() {
                self.feed(required)?;
            }
            match self.demuxer.next_sample() {
                Ok(Some(sample)) if Some(sample.track.track_id) != self.track => {}
                Ok(Some(sample)) => {
                    let ticks = i128::from(sample.timestamp) + i128::from(sample.composition_time_offset.unwrap_or(0));
                    let scaled = ticks * i128::from(Pts::HZ) / i128::from(sample.track.timescale.get());
                    let (position, size) = (sample.data_offset, sample.data_size);
                    let entry = sample.sample_entry.cloned();
                    let data = read(&self.file, RequiredInput { position, size: Some(size) })?;
                    return Ok(Some(VideoSample { pts: Pts(scaled as i64), data, entry }));
                }
                Ok(None) => return Ok(None),
                Err(DemuxError::InputRequired(required)) => self.feed(required)?,
                Err(error) => return Err(broken(&error)),
            }
        }
    }

    fn feed(&mut self, required: RequiredInput) -> Result<(), String> {
        let data = match &self.demuxer {
            // The end of a fragmented file is found by asking for a box behind it.
            Demuxer::Fragmented(_) => read_up_to(&self.file, required)?,
            Demuxer::Plain(_) => read(&self.file, required)?,
        };
        self.demuxer.handle_input(required.to_input(&data));
        Ok(())
    }
}

fn broken(error: &dyn std::fmt::Display) -> String {
    format!("the MP4 file is broken: {error}")
}

/// Exactly what is required, or up to the end of the file where that is required.
fn read(file: &File, required: RequiredInput) -> Result<Vec<u8>, String> {
    let data = read_up_to(file, required)?;
    match required.size {
        Some(size) if data.len() < size => Err("the file ends too early".to_owned()),
        _ => Ok(data),
    }
}

/// What there is of it.
fn read_up_to(file: &File, required: RequiredInput) -> Result<Vec<u8>, String> {
    let end = file.metadata().map_err(|error| error.to_string())?.len();
    let left = end.saturating_sub(required.position);
    let size = required.size.map_or(left, |size| left.min(size as u64));
    let size = usize::try_from(size).ok().filter(|&size| size <= MAX_BYTES);
    let size = size.ok_or_else(|| format!("the MP4 file has a part of more than {} MB", MAX_BYTES >> 20))?;
    let mut data = vec![0; size];
    match file.read_exact_at(&mut data, required.position) {
        Ok(()) => Ok(data),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err("the file ends too early".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
