//! Reads a video file picture by picture, in display order and as fast as the caller asks. The file is never held in
//! memory as a whole.
//!
//! MP4 and the cutting of a byte stream are in the modules beside this one, MJPEG framing is in [`crate::mjpeg`].

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use shiguredo_mp4::BaseBox;
use shiguredo_mp4::boxes::{AvccBox, SampleEntry};

use super::demux::{Mp4File, VideoSample};
use crate::camera::{CameraError, Capture};
use crate::codec::openh264::Decoder;
use crate::h264::{self, Splitter};
use crate::media::{FramePool, Jpeg, Moment, Pts};
use crate::mjpeg::{self, Pictures};

/// Read from a raw stream at once.
const PIECE_BYTES: usize = 256 << 10;

/// A video file that is being read: MP4 (plain or fragmented) with H.264 or MJPEG, Annex B H.264, or JPEGs that follow
/// each other.
///
/// The PTS of its pictures are clip time: the first one is at 0. Wall time is 1970.
pub struct ClipReader {
    path: PathBuf,
    stream: Stream,
    decoder: Option<Decoder>,
    /// Presentation times of what the decoder holds back.
    held: BinaryHeap<Reverse<Pts>>,
    /// Decoded at the end of the stream.
    flushed: VecDeque<Capture>,
    /// The stream has ended and the decoder is flushed.
    ended: bool,
    /// PTS of the first picture in the file's own count.
    first: Option<Pts>,
    pool: FramePool,
}

enum Stream {
    Mp4(Box<Mp4Stream>),
    AnnexB(Raw<Splitter>),
    Mjpeg(Raw<Pictures>),
}

struct Mp4Stream {
    file: Mp4File,
    /// The decoder configuration that is in force; `None` for MJPEG.
    avcc: Option<AvccBox>,
    /// Has been read to see whether it can be decoded.
    first: Option<Encoded>,
}

/// A file without times: pictures come at a steady rate.
struct Raw<S> {
    file: File,
    splitter: S,
    piece: Vec<u8>,
    read_all: bool,
    number: u32,
    fps: u32,
}

/// One picture, still encoded.
struct Encoded {
    pts: Pts,
    kind: Kind,
}

enum Kind {
    H264(Bytes),
    Jpeg(Bytes),
}

impl ClipReader {
    /// Frames a second of a file that does not say when its pictures are due.
    const UNTIMED_FPS: u32 = 25;

    /// Opens a file; one without times is read as having 25 frames a second.
    ///
    /// # Errors
    ///
    /// [`CameraError::Unavailable`], with what is wrong with the file.
    pub fn open(path: &Path) -> Result<Self, CameraError> {
        Self::with(path, &FramePool::default(), Self::UNTIMED_FPS)
    }

    /// Opens a file; frames are taken from `pool`. One without times (raw H.264 or MJPEG) is read as having
    /// `untimed_fps` frames a second (at least 1).
    ///
    /// # Errors
    ///
    /// [`CameraError::Unavailable`], with what is wrong with the file.
    pub fn with(path: &Path, pool: &FramePool, untimed_fps: u32) -> Result<Self, CameraError> {
        let stream = Stream::open(path, untimed_fps.max(1))
            .map_err(|cause| CameraError::Unavailable { what: path.display().to_string(), cause })?;
        Ok(Self {
            path: path.to_owned(),
            stream,
            decoder: None,
            held: BinaryHeap::new(),
            flushed: VecDeque::new(),
            ended: false,
            first: None,
            pool: pool.clone(),
        })
    }

    /// The next picture in display order, or `None` at the end.
    ///
    /// # Errors
    ///
    /// [`CameraError::BadPicture`]: the next may be good. [`CameraError::Lost`]: the file cannot be read any further.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Capture>, CameraError> {
        loop {
            if let Some(capture) = self.flushed.pop_front() {
                return Ok(Some(capture));
            }
            if self.ended {
                return Ok(None);
            }
            match self.stream.next().map_err(|cause| self.lost(cause))? {
                Some(Encoded { pts, kind: Kind::Jpeg(bytes) }) => return self.jpeg(bytes, pts).map(Some),
                Some(Encoded { pts, kind: Kind::H264(unit) }) => {
                    if let Some(frame) = self.decode(&unit, pts)? {
                        return Ok(Some(frame));
                    }
                }
                None => self.flush()?,
            }
        }
    }

    fn jpeg(&mut self, mut bytes: Bytes, pts: Pts) -> Result<Capture, CameraError> {
        let moment = moment(&mut self.first, pts);
        let (length, size) = mjpeg::complete(&bytes).map_err(|error| self.bad(error.to_string()))?;
        bytes.truncate(length);
        Ok(Capture::Jpeg(Jpeg { bytes, size, moment }))
    }

    fn decode(&mut self, unit: &[u8], pts: Pts) -> Result<Option<Capture>, CameraError> {
        let Self { path, decoder, held, first, pool, .. } = self;
        let what = || path.display().to_string();
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => {
                let new = Decoder::new();
                decoder.insert(new.map_err(|error| CameraError::Lost { what: what(), cause: error.to_string() })?)
            }
        };
        // Frames come out in display order: the smallest time that is waiting is that of the next.
        held.push(Reverse(pts));
        match decoder.decode(unit, pool, || next_moment(held, first)) {
            Ok(frame) => Ok(frame.map(Capture::Raw)),
            Err(error) => {
                held.retain(|waiting| waiting.0 != pts);
                Err(CameraError::BadPicture { what: what(), cause: error.to_string() })
            }
        }
    }

    fn flush(&mut self) -> Result<(), CameraError> {
        self.ended = true;
        let Self { decoder: Some(decoder), held, first, pool, flushed, .. } = self else { return Ok(()) };
        match decoder.flush(pool, || next_moment(held, first)) {
            Ok(frames) => {
                flushed.extend(frames.into_iter().map(Capture::Raw));
                Ok(())
            }
            Err(error) => Err(self.bad(error.to_string())),
        }
    }

    fn lost(&self, cause: String) -> CameraError {
        CameraError::Lost { what: self.path.display().to_string(), cause }
    }

    fn bad(&self, cause: String) -> CameraError {
        CameraError::BadPicture { what: self.path.display().to_string(), cause }
    }
}

fn next_moment(held: &mut BinaryHeap<Reverse<Pts>>, first: &mut Option<Pts>) -> Moment {
    let pts = held.pop().map_or(Pts::default(), |waiting| waiting.0);
    moment(first, pts)
}

fn moment(first: &mut Option<Pts>, pts: Pts) -> Moment {
    let first = *first.get_or_insert(pts);
    Moment { pts: Pts(pts.0 - first.0), wall: Timestamp::UNIX_EPOCH, brightness: None }
}

impl Stream {
    /// Tells the kind of a file by how it begins.
    fn open(path: &Path, fps: u32) -> Result<Self, String> {
        let mut file = File::open(path).map_err(|error| error.to_string())?;
        let mut head = Vec::new();
        file.by_ref().take(12).read_to_end(&mut head).map_err(|error| error.to_string())?;
        let rewound = |mut file: File| {
            std::io::Seek::rewind(&mut file).map_err(|error| error.to_string())?;
            Ok::<_, String>(file)
        };
        match head[..] {
            [_, _, _, _, b'f', b't', b'y', b'p', ..] => Mp4Stream::open(file).map(|mp4| Stream::Mp4(Box::new(mp4))),
            [0, 0, 1, ..] | [0, 0, 0, 1, ..] => Ok(Stream::AnnexB(Raw::new(rewound(file)?, fps))),
            [0xff, 0xd8, ..] => Ok(Stream::Mjpeg(Raw::new(rewound(file)?, fps))),
            [] => Err("the file is empty".to_owned()),
            _ => Err("neither MP4 nor H.264 nor MJPEG: convert it, for example with ffmpeg -i FILE -c:v libx264 \
                      CLIP.mp4"
                .to_owned()),
        }
    }

    /// The next picture in decoding order.
    fn next(&mut self) -> Result<Option<Encoded>, String> {
        match self {
            Stream::Mp4(mp4) => mp4.next(),
            Stream::AnnexB(raw) => Ok(raw.next()?.map(|(pts, unit)| Encoded { pts, kind: Kind::H264(unit) })),
            Stream::Mjpeg(raw) => Ok(raw.next()?.map(|(pts, picture)| Encoded { pts, kind: Kind::Jpeg(picture) })),
        }
    }
}

impl Mp4Stream {
    fn open(file: File) -> Result<Self, String> {
        let mut this = Self { file: Mp4File::open(file)?, avcc: None, first: None };
        this.first = this.next()?;
        Ok(this)
    }

    fn next(&mut self) -> Result<Option<Encoded>, String> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let Some(VideoSample { pts, data, entry }) = self.file.next_sample()? else { return Ok(None) };
        let mut unit = Vec::new();
        match entry {
            Some(SampleEntry::Avc1(avc1)) => {
                let avcc = avc1.avcc_box;
                if avcc.chroma_format.is_some_and(|format| format.get() != 1)
                    || avcc.bit_depth_luma_minus8.is_some_and(|depth| depth.get() != 0)
                {
                    return Err("its H.264 is not 4:2:0 with 8 bits: convert it, for example with ffmpeg -i FILE \
                                -c:v libx264 -pix_fmt yuv420p CLIP.mp4"
                        .to_owned());
                }
                for set in avcc.sps_list.iter().chain(&avcc.pps_list) {
                    h264::append(&mut unit, set);
                }
                self.avcc = Some(avcc);
            }
            // MJPEG has several names (mp4v with an object type, jpeg, mjpa): its pictures tell it better.
            Some(_) if data.starts_with(&[0xff, 0xd8]) => self.avcc = None,
            Some(other) => {
                let name = String::from_utf8_lossy(other.box_type().as_bytes()).into_owned();
                return Err(format!(
                    "its video is encoded as '{name}', neither H.264 nor MJPEG: convert it, for example with ffmpeg -i \
                     FILE -c:v libx264 CLIP.mp4"
                ));
            }
            None => {}
        }
        let kind = match &self.avcc {
            None => Kind::Jpeg(data.into()),
            Some(avcc) => {
                let length_bytes = usize::from(avcc.length_size_minus_one.get()) + 1;
                h264::append_sample(&mut unit, &data, length_bytes)
                    .map_err(|error| format!("the MP4 file is broken: {error}"))?;
                Kind::H264(unit.into())
            }
        };
        Ok(Some(Encoded { pts, kind }))
    }
}

/// Divides a byte stream into pictures.
trait Split: Default {
    fn push(&mut self, bytes: &[u8]);
    fn next(&mut self) -> Result<Option<Bytes>, String>;
    /// What is left at the end.
    fn finish(&mut self) -> Option<Bytes>;
}

impl Split for Splitter {
    fn push(&mut self, bytes: &[u8]) {
        Splitter::push(self, bytes);
    }

    fn next(&mut self) -> Result<Option<Bytes>, String> {
        let unit = self.next_of_untrusted().map_err(|error| error.to_string())?;
        Ok(unit.map(|unit| unit.bytes.into()))
    }

    fn finish(&mut self) -> Option<Bytes> {
        // Parameter sets without a picture after them are none.
        std::mem::take(self).finish().filter(|unit| unit.picture).map(|unit| unit.bytes.into())
    }
}

impl Split for Pictures {
    fn push(&mut self, bytes: &[u8]) {
        Pictures::push(self, bytes);
    }

    fn next(&mut self) -> Result<Option<Bytes>, String> {
        self.next_picture().map_err(|error| error.to_string())
    }

    fn finish(&mut self) -> Option<Bytes> {
        // What has no EOI is no picture.
        None
    }
}

impl<S: Split> Raw<S> {
    fn new(file: File, fps: u32) -> Self {
        Self { file, splitter: S::default(), piece: vec![0; PIECE_BYTES], read_all: false, number: 0, fps }
    }

    /// The next picture and its time.
    fn next(&mut self) -> Result<Option<(Pts, Bytes)>, String> {
        loop {
            let mut picture = self.splitter.next()?;
            if picture.is_none() && self.read_all {
                picture = self.splitter.finish();
                if picture.is_none() {
                    return Ok(None);
                }
            }
            if let Some(picture) = picture {
                let pts = Pts(i64::from(self.number) * Pts::HZ / i64::from(self.fps));
                self.number += 1;
                return Ok(Some((pts, picture)));
            }
            match self.file.read(&mut self.piece).map_err(|error| error.to_string())? {
                0 => self.read_all = true,
                read => self.splitter.push(&self.piece[..read]),
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use tempfile::TempDir;

    use super::*;
    use crate::camera::pattern::Scene;
    use crate::camera::timecode::{Timecode, read_number};
    use crate::media::Resolution;

    const SIZE: Resolution = Resolution::new(320, 180);
    const FPS: u32 = 20;

    /// A clip of numbered pictures that ffmpeg encodes as `arguments` say.
    fn clip(folder: &TempDir, name: &str, pictures: u32, arguments: &str) -> PathBuf {
        let path = folder.path().join(name);
        let mut ffmpeg = Command::new("ffmpeg")
            .args("-v error -f rawvideo -pix_fmt yuv420p -s 320x180 -r 20 -i -".split(' '))
            .args(arguments.split_whitespace())
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let scene = Scene::new(1, SIZE, FPS);
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(SIZE, moment);
        let mut input = ffmpeg.stdin.take().unwrap();
        for number in 0..pictures {
            scene.draw(number + 6 * FPS, &mut frame);
            Timecode { number, time_ms: 0 }.draw(&mut frame);
            input.write_all(frame.data()).unwrap();
        }
        drop(input);
        assert!(ffmpeg.wait().unwrap().success());
        path
    }

    /// Seconds of each picture as ffprobe sees them, from the first on.
    fn ffprobe_times(path: &Path) -> Vec<f64> {
        let output = Command::new("ffprobe")
            .args("-v error -select_streams v -show_entries frame=best_effort_timestamp_time -of csv=p=0".split(' '))
            .arg(path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let times: Vec<f64> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| line.trim_end_matches(',').parse().unwrap())
            .collect();
        times.iter().map(|time| time - times[0]).collect()
    }

    fn number_of(capture: &Capture) -> Option<u32> {
        match capture {
            Capture::Raw(frame) => read_number(frame),
            Capture::Jpeg(jpeg) => {
                let gray = image::load_from_memory(&jpeg.bytes).unwrap().into_luma8();
                Timecode::read(&gray, jpeg.size).map(|code| code.number)
            }
        }
    }

    fn read_all(path: &Path) -> Vec<(Option<u32>, f64)> {
        let mut reader = ClipReader::with(path, &FramePool::default(), FPS).unwrap();
        let mut all = Vec::new();
        while let Some(capture) = reader.next().unwrap() {
            assert_eq!(capture.size(), SIZE);
            all.push((number_of(&capture), capture.moment().pts.as_secs_f64()));
        }
        assert!(reader.next().unwrap().is_none(), "the end stays the end");
        all
    }

    #[test]
    fn every_kind_of_clip_gives_every_picture_in_order_at_the_time_ffprobe_says() {
        let folder = TempDir::new().unwrap();
        let table = [
            ("b.mp4", "-c:v libx264 -profile:v high -bf 3 -b_strategy 0 -g 30"),
            ("main.mp4", "-c:v libx264 -profile:v main -bf 2 -x264-params b-pyramid=normal:open-gop=1:keyint=12"),
            ("baseline.mp4", "-c:v libx264 -profile:v baseline -slices 4"),
            ("faststart.mp4", "-c:v libx264 -movflags +faststart"),
            ("fragmented.mp4", "-c:v libx264 -bf 2 -g 10 -movflags +frag_keyframe+empty_moov+default_base_moof"),
            ("variable.mp4", "-c:v libx264 -bf 2 -vf select='not(eq(mod(n,5),3))' -vsync vfr"),
            ("jpeg.mp4", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p"),
        ];
        for (name, arguments) in table {
            let path = clip(&folder, name, 47, arguments);
            let ours = read_all(&path);
            let theirs = ffprobe_times(&path);
            assert_eq!(ours.len(), theirs.len(), "{name}");
            let kept = (0..47).filter(|number| name != "variable.mp4" || number % 5 != 3);
            for ((number, (read, time)), expected) in kept.zip(&ours).zip(&theirs) {
                assert_eq!(*read, Some(number), "{name}");
                assert!(
                    (time - expected).abs() < 1e-3,
                    "{name}, picture {number}: {time} where ffprobe has {expected}"
                );
            }
        }
    }

    #[test]
    fn a_clip_without_times_gives_every_picture_at_a_steady_rate() {
        let folder = TempDir::new().unwrap();
        let table = [
            ("b.h264", "-c:v libx264 -profile:v high -bf 3 -b_strategy 0 -g 30"),
            ("slices.h264", "-c:v libx264 -profile:v baseline -slices 3 -x264-params aud=1"),
            ("raw.mjpeg", "-c:v mjpeg -q:v 3 -pix_fmt yuvj420p -f mjpeg"),
        ];
        for (name, arguments) in table {
            let ours = read_all(&clip(&folder, name, 33, arguments));
            let expected: Vec<_> = (0..33).map(|number| (Some(number), f64::from(number) / f64::from(FPS))).collect();
            assert_eq!(ours, expected, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_the_remedy() {
        let folder = TempDir::new().unwrap();
        let refused = |path: &Path| {
            let mut reader = match ClipReader::open(path) {
                Ok(reader) => reader,
                Err(error) => return error.to_string(),
            };
            loop {
                match reader.next() {
                    Ok(Some(_)) | Err(CameraError::BadPicture { .. }) => {}
                    Ok(None) => panic!("{} was read", path.display()),
                    Err(error) => return error.to_string(),
                }
            }
        };
        let written = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let whole = std::fs::read(clip(&folder, "whole.mp4", 20, "-c:v libx264 -movflags +faststart")).unwrap();
        let late = std::fs::read(clip(&folder, "late.mp4", 20, "-c:v libx264")).unwrap();
        let other = clip(&folder, "other.mp4", 5, "-c:v mpeg4");
        let deep = clip(&folder, "deep.mp4", 5, "-c:v libx264 -pix_fmt yuv444p");
        let silent = folder.path().join("silent.mp4");
        let made =
            Command::new("ffmpeg").args("-v error -f lavfi -i anullsrc -t 1 -c:a aac".split(' ')).arg(&silent).status();
        assert!(made.unwrap().success());
        let table = [
            (folder.path().join("none.mp4"), "No such file"),
            (written("empty.mp4", b""), "is empty"),
            (written("text.mp4", b"not a video at all"), "convert it"),
            (written("cut.mp4", &whole[..whole.len() * 2 / 3]), "the file ends too early"),
            (written("headless.mp4", &late[..late.len() / 2]), "the file ends too early"),
            (written("zeros.mp4", &[&whole[..40], &[0; 2000]].concat()), "the MP4 file"),
            (deep, "not 4:2:0 with 8 bits"),
            (other, "'mp4v', neither H.264 nor MJPEG"),
            (silent, "no video"),
        ];
        for (path, part) in table {
            let message = refused(&path);
            assert!(message.contains(part) && message.contains(path.to_str().unwrap()), "{message}");
        }
    }

    #[test]
    fn damage_inside_costs_pictures_not_the_rest() {
        let folder = TempDir::new().unwrap();
        let path = clip(&folder, "whole.h264", 60, "-c:v libx264 -g 10 -bf 0");
        let mut bytes = std::fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 400].fill(0x5a);
        std::fs::write(&path, bytes).unwrap();
        let mut reader = ClipReader::open(&path).unwrap();
        let (mut good, mut last, mut bad) = (0, None, 0);
        loop {
            match reader.next() {
                Ok(Some(capture)) => {
                    good += 1;
                    last = number_of(&capture).or(last);
                }
                Ok(None) => break,
                Err(CameraError::BadPicture { .. }) => bad += 1,
                Err(other) => panic!("{other}"),
            }
        }
        assert!(good >= 40 && last == Some(59), "{good} good, {bad} bad, the last one is {last:?}");
    }
}
