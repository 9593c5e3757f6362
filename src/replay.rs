//! A video file through the detector and the policy in clip time: what the daemon would have recorded.
//!
//! The same parts as in the pipeline, without threads, encoders and disk. How the result is printed is in `cli::replay`.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::camera::clip::ClipReader;
use crate::camera::{CameraError, Capture};
use crate::codec::jpeg::JpegDecoder;
use crate::config::{MotionConfig, Zone};
use crate::event::EndReason;
use crate::media::{Luma, Pts};
use crate::motion::{Cadence, Detector};
use crate::recording::policy::{Decision, Input, Policy, PolicyConfig};
use crate::scale;

/// One recording that would have been made. Times are clip time: seconds since the first picture.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Recording {
    /// When it was decided.
    pub trigger_s: f64,
    /// Where it starts: pre-roll included, and never before the clip.
    pub start_s: f64,
    /// Where it ends: post-roll included, and never after the clip.
    pub end_s: f64,
    /// Why it ended; `Shutdown` at the end of the clip.
    pub reason: EndReason,
    /// The largest changed area while it went on, as a part of the picture.
    pub changed: f32,
}

/// What came of a clip.
#[derive(Clone, Debug)]
pub struct Analysis {
    /// In the order of their triggers.
    pub recordings: Vec<Recording>,
    /// Time of the last picture.
    pub clip_s: f64,
    /// Pictures in the clip, those looked at, and those that could not be read.
    pub pictures: u32,
    /// Looked at by the detector.
    pub looks: u32,
    /// Unreadable.
    pub bad_pictures: u32,
    /// Looks at which the light of the whole picture changed.
    pub light_changes: u32,
    /// Time that the detector took.
    pub detect: Duration,
    /// Time that the whole took.
    pub elapsed: Duration,
}

/// Runs a clip through detector and policy. Monitoring is on from the first picture.
///
/// Reads the file as fast as it can be decoded. Pictures that cannot be decoded are counted and left out.
///
/// # Errors
/// The clip cannot be opened, or breaks off in a way that nothing after it can be read.
pub fn analyse(
    clip: &Path,
    motion: &MotionConfig,
    zones: &[Zone],
    record_always: bool,
) -> Result<Analysis, CameraError> {
    let began = Instant::now();
    let mut reader = ClipReader::open(clip)?;
    let mut replay = Replay::new(motion, zones, record_always);
    loop {
        match reader.next() {
            Ok(Some(capture)) => replay.see(&capture),
            Ok(None) => break,
            Err(CameraError::BadPicture { .. }) => replay.analysis.bad_pictures += 1,
            Err(lost) => return Err(lost),
        }
    }
    Ok(replay.finish(began))
}

struct Replay {
    detector: Detector,
    policy: Policy,
    cadence: Cadence,
    jpeg: JpegDecoder,
    luma: Luma,
    now: Pts,
    analysis: Analysis,
    /// The recording that goes on.
    open: Option<Recording>,
}

impl Replay {
    fn new(motion: &MotionConfig, zones: &[Zone], record_always: bool) -> Self {
        let padding = Duration::from_secs_f32(motion.recording_padding_s);
        Self {
            detector: Detector::new(motion, zones),
            policy: Policy::new(PolicyConfig {
                pre_roll: padding,
                post_roll: padding,
                max_event: Duration::from_secs_f32(motion.max_event_time_s),
                record_always,
            }),
            cadence: Cadence::default(),
            jpeg: JpegDecoder::new(),
            luma: Luma::default(),
            now: Pts(0),
            analysis: Analysis {
                recordings: Vec::new(),
                clip_s: 0.0,
                pictures: 0,
                looks: 0,
                bad_pictures: 0,
                light_changes: 0,
                detect: Duration::ZERO,
                elapsed: Duration::ZERO,
            },
            open: None,
        }
    }

    fn see(&mut self, capture: &Capture) {
        self.analysis.pictures += 1;
        self.now = capture.moment().pts;
        if !self.cadence.due(self.now) {
            return;
        }
        let scale = scale::luma_scale(capture.size());
        match capture {
            Capture::Raw(frame) => scale::shrink_luma(frame, scale, &mut self.luma),
            Capture::Jpeg(jpeg) => {
                if self.jpeg.decode_luma(jpeg, scale, &mut self.luma).is_err() {
                    self.analysis.bad_pictures += 1;
                    return;
                }
            }
        }
        let began = Instant::now();
        let sight = self.detector.look(&self.luma, self.now);
        self.analysis.detect += began.elapsed();
        self.analysis.looks += 1;
        self.analysis.light_changes += u32::from(sight.light_changed);
        self.step(Input { motion: sight.motion, monitoring: true, camera_alive: true, ..Input::default() });
        if let Some(open) = &mut self.open {
            open.changed = open.changed.max(sight.changed);
        }
    }

    fn step(&mut self, input: Input) {
        for decision in self.policy.step(self.now, input) {
            match decision {
                Decision::Start { trigger, start, .. } => {
                    self.open = Some(Recording {
                        trigger_s: trigger.as_secs_f64(),
                        start_s: start.as_secs_f64().max(0.0),
                        end_s: trigger.as_secs_f64(),
                        reason: EndReason::Shutdown,
                        changed: 0.0,
                    });
                }
                Decision::End(end) | Decision::Roll(end) => {
                    if let Some(open) = self.open.take() {
                        let ended = Recording { end_s: end.pts.as_secs_f64(), reason: end.reason, ..open };
                        self.analysis.recordings.push(ended);
                    }
                    if matches!(decision, Decision::Roll(_)) {
                        self.detector.rebase();
                    }
                }
            }
        }
    }

    fn finish(mut self, began: Instant) -> Analysis {
        self.step(Input { monitoring: true, camera_alive: true, shutting_down: true, ..Input::default() });
        Analysis { clip_s: self.now.as_secs_f64(), elapsed: began.elapsed(), ..self.analysis }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;

    use super::*;

    /// A white box that crosses a grey room once, from 6 s to 9 s of 20 s, drawn by ffmpeg.
    fn clip(folder: &Path, size: &str, codec: &[&str]) -> std::path::PathBuf {
        let path = folder.join("clip.mp4");
        let (width, height) = size.split_once('x').unwrap();
        let thing = format!("{}x{}", width.parse::<u32>().unwrap() / 8, height.parse::<u32>().unwrap() / 3);
        let scene = format!(
            "color=gray:s={size}:r=15:d=20,noise=alls=4:allf=t[room];color=white:s={thing}:r=15:d=20[thing];\
             [room][thing]overlay=x=-w+(W+w)*(t-6)/3:y=H/3:enable='between(t,6,9)'"
        );
        let mut ffmpeg = Command::new("ffmpeg");
        ffmpeg.args(["-v", "error", "-y", "-f", "lavfi", "-i", &scene]).args(codec).arg(&path);
        assert!(ffmpeg.status().unwrap().success());
        path
    }

    #[test]
    fn what_crosses_a_clip_is_recorded_once_with_exact_times() {
        let folder = tempfile::tempdir().unwrap();
        for codec in [["-c:v", "libx264", "-bf", "2"], ["-c:v", "mjpeg", "-q:v", "4"]] {
            let clip = clip(folder.path(), "320x180", &codec);
            let analysis = analyse(&clip, &MotionConfig::default(), &[], false).unwrap();
            assert_eq!(analysis.pictures, 300);
            assert!(
                (196..=201).contains(&analysis.looks),
                "ten looks a second of fifteen pictures: {}",
                analysis.looks
            );
            let [recording] = &analysis.recordings[..] else { panic!("{:?}", analysis.recordings) };
            assert!((6.0..7.2).contains(&recording.trigger_s), "{recording:?}");
            assert!((recording.start_s - (recording.trigger_s - 8.0).max(0.0)).abs() < 1e-3, "{recording:?}");
            assert!((16.0..17.9).contains(&recording.end_s), "8 s after the last motion: {recording:?}");
            assert_eq!(recording.reason, EndReason::Quiet);
            assert!(recording.changed > 0.01, "{recording:?}");
        }
    }

    #[test]
    fn an_excluded_place_records_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let clip = clip(folder.path(), "320x180", &["-c:v", "libx264"]);
        let points = vec![[0.0, 0.2], [1.0, 0.2], [1.0, 0.8], [0.0, 0.8]];
        let zone = Zone { name: "belt".into(), include: false, points };
        let analysis = analyse(&clip, &MotionConfig::default(), &[zone], false).unwrap();
        assert_eq!(analysis.recordings, []);
    }

    #[test]
    fn recording_always_covers_the_clip_without_a_gap() {
        let folder = tempfile::tempdir().unwrap();
        let clip = clip(folder.path(), "320x180", &["-c:v", "libx264"]);
        let config = MotionConfig { max_event_time_s: 10.0, ..MotionConfig::default() };
        let recordings = analyse(&clip, &config, &[], true).unwrap().recordings;
        assert_eq!(recordings.len(), 2, "{recordings:?}");
        assert_eq!(recordings[0].start_s, 0.0);
        assert!(recordings.windows(2).all(|pair| pair[1].start_s == pair[0].end_s), "{recordings:?}");
        assert!(recordings[1].end_s > 19.9, "{recordings:?}");
    }

    #[test]
    fn a_clip_that_is_not_there_says_so() {
        let error = analyse(Path::new("/nowhere/clip.mp4"), &MotionConfig::default(), &[], false).unwrap_err();
        assert!(error.to_string().contains("/nowhere/clip.mp4"), "{error}");
    }
}
