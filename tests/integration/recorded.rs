//! A recording as other programs see it: ffprobe and ffmpeg, its index, and the numbers that its pictures carry.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use watchtower::camera::timecode::Timecode;
use watchtower::media::{FramePool, Luma, Pts, Resolution};
use watchtower::picture::{Rotation, rotate_luma};
use watchtower::recording::index::{Index, Unit};

use crate::support::{Daemon, wait_for};

/// One recording on disk.
pub struct Recorded {
    /// `YYYY-MM-DD/HH.MM.SS`.
    pub id: String,
    pub folder: PathBuf,
    pub index: Index,
}

/// The recordings of the camera `front` below a storage folder, in the order of their events.
pub fn recordings(data: &Path) -> Vec<Recorded> {
    let entries = |folder: &Path| {
        let read = std::fs::read_dir(folder).map(|entries| entries.map(|entry| entry.unwrap().path()).collect());
        read.unwrap_or_else(|_| Vec::new())
    };
    let mut found: Vec<_> = entries(&data.join("recordings/front"))
        .iter()
        .flat_map(|day| entries(day))
        .filter_map(|folder| {
            let index = Index::parse(&std::fs::read(folder.join("index")).ok()?).ok()?;
            let name = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
            let id = format!("{}/{}", name(folder.parent().unwrap()), name(&folder));
            Some(Recorded { id, folder, index })
        })
        .collect();
    found.sort_by_key(|recorded| (recorded.index.header.event, recorded.index.header.part));
    found
}

/// Waits until so many recordings are complete and none is being made; answers them.
pub fn wait_for_complete(daemon: &Daemon, count: usize) -> Vec<Recorded> {
    wait_for(&format!("{count} complete recordings"), || {
        let list = details(daemon);
        list.len() >= count && list.iter().all(|recording| recording["recording"] == false)
    });
    recordings(&daemon.data())
}

/// What the daemon says of all recordings, newest first.
pub fn details(daemon: &Daemon) -> Vec<Value> {
    daemon.get("/api/recordings?details=1").json().as_array().unwrap().clone()
}

/// What the daemon says of the camera.
pub fn camera(daemon: &Daemon) -> Value {
    daemon.get("/api/cameras").json()[0].clone()
}

pub fn is_recording(daemon: &Daemon) -> bool {
    camera(daemon)["recording"] == true
}

/// A counter of the camera `front`, by its name without prefix and by its label's value.
pub fn count(daemon: &Daemon, name: &str, label: &str) -> u64 {
    let text = String::from_utf8(daemon.get("/metrics").body).unwrap();
    let (begin, label) = (format!("watchtower_{name}_total{{camera=\"front\""), format!("\"{label}\"}} "));
    let line = text.lines().find(|line| line.starts_with(&begin) && line.contains(&label));
    let line = line.unwrap_or_else(|| panic!("no {name} {label} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse::<f64>().unwrap() as u64
}

/// Pictures of a raw camera that were not encoded, each for a counted reason.
pub fn raw_skipped(daemon: &Daemon) -> u64 {
    ["superseded", "encoder_busy", "above_rate"].iter().map(|reason| count(daemon, "frames_skipped", reason)).sum()
}

/// A counter of the camera `front` that has no other label.
pub fn count_of(daemon: &Daemon, name: &str) -> u64 {
    count(daemon, name, "front")
}

impl Recorded {
    pub fn video(&self) -> PathBuf {
        self.folder.join("video.h264")
    }

    pub fn units(&self) -> Vec<Unit> {
        self.index.units().copied().collect()
    }

    /// From the first picture to the last, as the index says.
    pub fn duration(&self) -> Duration {
        let units = self.units();
        units.last().unwrap().pts.since(units[0].pts)
    }

    /// The numbers of its pictures, as ffmpeg decodes them.
    pub fn numbers(&self) -> Vec<u32> {
        self.codes().iter().map(|code| code.number).collect()
    }

    pub fn codes(&self) -> Vec<Timecode> {
        self.codes_turned(Rotation::None)
    }

    /// Of pictures that `turn` turns upright.
    pub fn codes_turned(&self, turn: Rotation) -> Vec<Timecode> {
        codes(&self.video(), self.index.header.size, turn)
    }

    /// Of pictures that are upright, or that `turn` turns so: and which.
    pub fn codes_turned_either(&self, turn: Rotation) -> Vec<(Timecode, bool)> {
        let read = |mut picture: Luma| {
            let upright = code_in(&mut picture, Rotation::None).map(|code| (code, false));
            upright.or_else(|| code_in(&mut picture, turn).map(|code| (code, true)))
        };
        pictures(&self.video(), self.index.header.size).into_iter().map(|p| read(p).expect("a number")).collect()
    }

    /// Asserts what holds for every recording, however it came about.
    pub fn assert_sound(&self) {
        let (units, header) = (self.units(), self.index.header);
        let video = std::fs::read(self.video()).unwrap();
        assert_eq!(units.last().map_or(0, Unit::end), video.len() as u64, "{}: index and video agree", self.id);

        let probed = probe(&self.video());
        assert_eq!(probed["nb_read_frames"], units.len().to_string(), "{}: {probed}", self.id);
        assert_eq!(probed["width"], header.size.width);
        assert_eq!(probed["height"], header.size.height);
        assert_eq!(probed["codec_name"], "h264");

        assert!(units[0].idr, "{}: the first picture is an IDR", self.id);
        let mut idr = units[0];
        for unit in &units {
            let kinds = nal_kinds(&video[unit.offset as usize..unit.end() as usize]);
            if unit.idr {
                assert_eq!(kinds[..2], [7, 8], "SPS and PPS precede every IDR");
                assert!(kinds[2..].iter().all(|kind| *kind == 5), "{kinds:?}");
                idr = *unit;
            } else {
                assert!(kinds.iter().all(|kind| *kind == 1), "{kinds:?}");
                assert!(unit.pts.since(idr.pts) < Duration::from_secs(1), "{}: a second without an IDR", self.id);
            }
        }
        assert!(units.is_sorted_by(|a, b| a.pts < b.pts), "{}: times grow", self.id);
    }

    /// Asserts that the pictures have these numbers: none missing, none double.
    pub fn assert_numbers(&self, expected: RangeInclusive<u32>) {
        assert_eq!(self.numbers(), expected.collect::<Vec<_>>(), "{}", self.id);
    }
}

/// NAL unit types, with it asserted that only start codes of four bytes are used.
fn nal_kinds(unit: &[u8]) -> Vec<u8> {
    assert!(unit.starts_with(&[0, 0, 0, 1]));
    let short: Vec<_> = memchr::memmem::find_iter(unit, &[0, 0, 1]).collect();
    assert!(short.iter().all(|at| *at > 0 && unit[at - 1] == 0), "a start code of three bytes");
    short.iter().map(|at| unit[at + 3] & 31).collect()
}

/// What ffprobe says of a video file's only stream, its pictures counted by decoding them all. It must not complain.
pub fn probe(video: &Path) -> Value {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-f", "h264", "-count_frames", "-show_streams", "-of", "json"])
        .arg(video)
        .output()
        .unwrap();
    assert!(probed.status.success() && probed.stderr.is_empty(), "{}: {probed:?}", video.display());
    let streams: Value = serde_json::from_slice(&probed.stdout).unwrap();
    streams["streams"][0].clone()
}

/// The time codes in a video's pictures, which `turn` turns upright. Each must have one.
pub fn codes(video: &Path, size: Resolution, turn: Rotation) -> Vec<Timecode> {
    let code = |(at, mut picture)| code_in(&mut picture, turn).unwrap_or_else(|| panic!("picture {at} has no number"));
    pictures(video, size).into_iter().enumerate().map(code).collect()
}

fn code_in(picture: &mut Luma, turn: Rotation) -> Option<Timecode> {
    rotate_luma(picture, turn, &mut Luma::default());
    Timecode::read(&picture.data, Resolution::new(picture.width as u32, picture.height as u32))
}

/// A video's pictures as ffmpeg decodes them. It must not complain.
fn pictures(video: &Path, size: Resolution) -> Vec<Luma> {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "error", "-nostdin", "-f", "h264", "-i"])
        .arg(video)
        .args(["-fps_mode", "passthrough", "-f", "rawvideo", "-pix_fmt", "gray", "-"])
        .output()
        .unwrap();
    assert!(decoded.status.success() && decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
    let (width, height) = (size.width as usize, size.height as usize);
    let luma = |picture: &[u8]| Luma { width, height, data: picture.to_vec() };
    decoded.stdout.chunks(size.pixels()).map(luma).collect()
}

/// Makes an H.264 clip with B pictures (MP4): numbered pictures of the test scene at 10 a second, from its picture
/// `first` on.
pub fn make_clip(path: &Path, size: Resolution, first: u32, pictures: u32) {
    use std::io::Write;

    use watchtower::camera::pattern::Scene;
    use watchtower::clock;

    let mut ffmpeg = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "rawvideo", "-pix_fmt", "yuv420p", "-s", &size.to_string(), "-r", "10", "-i", "-"])
        .args(["-c:v", "libx264", "-preset", "veryfast", "-bf", "2", "-crf", "14", "-threads", "1"])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = ffmpeg.stdin.take().unwrap();
    let (scene, pool) = (Scene::new(7, size, 10), FramePool::default());
    for number in 0..pictures {
        let mut frame = pool.frame(size, clock::moment_at(clock::now(), None));
        scene.draw(first + number, &mut frame);
        Timecode::new(number, Pts(i64::from(number) * Pts::HZ / 10)).draw(&mut frame);
        input.write_all(frame.data()).unwrap();
    }
    drop(input);
    assert!(ffmpeg.wait().unwrap().success());
}
