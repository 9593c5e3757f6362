//! For the tests of this folder: real H.264 as access units, events to record them, and what ffprobe says of a file.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use crate::event::{Cause, End, EndReason, Event};
use crate::media::{AccessUnit, Moment, Pts, Resolution};

/// Frames a second of [`units`].
pub const FPS: i64 = 10;
/// Pictures in a GOP of [`units`].
pub const GOP: usize = 10;
/// When the first of [`units`] was taken.
pub const FIRST: Pts = Pts(5_000 * Pts::HZ);

/// 2020-09-07 12:25:43 UTC, half a second in.
pub fn first_wall() -> Timestamp {
    Timestamp::from_microsecond(1_599_481_543_500_000).unwrap()
}

fn encode(size: Resolution) -> Vec<Bytes> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("clip.h264");
    let source = format!("testsrc2=size={size}:rate={FPS}:duration=12");
    let status = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", &source, "-pix_fmt", "yuv420p", "-c:v", "libx264", "-threads", "1"])
        .args(["-g", "10", "-bf", "0", "-x264-params", "scenecut=0:repeat-headers=1:aud=1:annexb=1:slices=2"])
        .args(["-preset", "ultrafast"])
        .arg(&file)
        .status();
    assert!(status.expect("ffmpeg is installed").success());
    let clip = std::fs::read(file).unwrap();
    let delimiters: Vec<_> = memchr::memmem::find_iter(&clip, &[0, 0, 0, 1, 9]).chain([clip.len()]).collect();
    delimiters.windows(2).map(|at| Bytes::copy_from_slice(&clip[at[0]..at[1]])).collect()
}

/// 120 access units from [`FIRST`] on, all of which share their bytes with those of other calls.
pub fn units() -> Vec<AccessUnit> {
    static CLIP: OnceLock<Vec<Bytes>> = OnceLock::new();
    timed(&CLIP, Resolution::new(160, 120))
}

/// As [`units`], turned by 90°.
pub fn turned_units() -> Vec<AccessUnit> {
    static CLIP: OnceLock<Vec<Bytes>> = OnceLock::new();
    timed(&CLIP, Resolution::new(120, 160))
}

/// As [`units`], of so few bytes that each can be tried.
pub fn small_units() -> Vec<AccessUnit> {
    static CLIP: OnceLock<Vec<Bytes>> = OnceLock::new();
    timed(&CLIP, Resolution::new(48, 32))
}

fn timed(clip: &OnceLock<Vec<Bytes>>, size: Resolution) -> Vec<AccessUnit> {
    let units = clip.get_or_init(|| encode(size));
    assert_eq!(units.len(), 120);
    let unit = |(i, bytes): (usize, &Bytes)| {
        let after = Duration::from_millis(1000 / FPS as u64) * i as u32;
        let moment = Moment { pts: FIRST + after, wall: first_wall() + after, brightness: None };
        AccessUnit { bytes: bytes.clone(), size, moment, idr: i % GOP == 0 }
    };
    units.iter().enumerate().map(unit).collect()
}

/// An event that starts with the first of [`units`], was triggered two seconds later and has not ended.
pub fn event(id: u64) -> Event {
    let after = Duration::from_secs(2);
    Event {
        id,
        cause: Cause::Motion,
        trigger: Moment { pts: FIRST + after, wall: first_wall() + after, brightness: None },
        start: FIRST,
        changed: 0.25,
        regions: Vec::new(),
        picture: None,
        jpeg: OnceLock::new(),
        end: OnceLock::new(),
    }
}

/// Ends an event with this picture.
pub fn end(event: &Event, last: &AccessUnit) {
    event.end.set(End { pts: last.moment.pts, reason: EndReason::Quiet }).unwrap();
}

/// Pictures that ffmpeg decodes from a file, and its complaints.
pub fn decoded(video: &Path) -> (usize, String) {
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-f", "h264", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(video)
        .output()
        .expect("ffprobe is installed");
    let frames = String::from_utf8(probe.stdout).unwrap().trim().parse().unwrap_or(0);
    (frames, String::from_utf8(probe.stderr).unwrap())
}
