//! A video file as a camera: played in real time, once or again and again. For trying the program, for tests and for
//! measuring.
//!
//! Reading a file as fast as it goes is [`ClipReader`]'s, which `replay` uses.

mod demux;
mod reader;

use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::reader::ClipReader;
use super::stamp::{Pace, Stamper};
use super::{Camera, CameraError, Capture};
use crate::media::{FramePool, Pts};

/// A clip that is played.
pub struct Clip {
    path: PathBuf,
    looped: bool,
    untimed_fps: u32,
    reader: ClipReader,
    pool: FramePool,
    pace: Pace,
    stamper: Stamper,
    /// Clip time of the picture before this one, and how long it was shown.
    last: Option<(Pts, Duration)>,
    /// The reader has given a picture since it was opened.
    any: bool,
}

impl Clip {
    /// Opens the file; `untimed_fps` is how fast one without times (raw H.264 or MJPEG) is played.
    ///
    /// # Errors
    ///
    /// [`CameraError::Unavailable`], with what is wrong with the file.
    pub fn open(
        path: &Path,
        looped: bool,
        untimed_fps: u32,
        pool: &FramePool,
        stamper: Stamper,
    ) -> Result<Self, CameraError> {
        Ok(Self {
            path: path.to_owned(),
            looped,
            untimed_fps,
            reader: ClipReader::with(path, pool, untimed_fps)?,
            pool: pool.clone(),
            pace: Pace::from_now(),
            stamper,
            last: None,
            any: false,
        })
    }

    /// How long after the picture before the one at `pts` is due.
    fn interval_to(&self, pts: Pts) -> Duration {
        match self.last {
            None => Duration::ZERO,
            Some((last, _)) if pts > last => pts.since(last),
            // From the end to the start.
            Some((_, shown)) => shown,
        }
    }
}

impl Camera for Clip {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let mut capture = loop {
            match self.reader.next()? {
                Some(capture) => break capture,
                None if self.looped && self.any => {
                    self.reader = ClipReader::with(&self.path, &self.pool, self.untimed_fps)?;
                    self.any = false;
                }
                None => return Err(CameraError::Ended { what: self.path.display().to_string() }),
            }
        };
        self.any = true;
        let pts = capture.moment().pts;
        let interval = self.interval_to(pts);
        self.pace.advance(interval);
        let shown = if interval.is_zero() { Duration::from_secs(1) / self.untimed_fps.max(1) } else { interval };
        self.last = Some((pts, shown));

        self.pace.wait();
        let moment = self.stamper.now();
        match &mut capture {
            Capture::Jpeg(jpeg) => jpeg.moment = moment,
            Capture::Raw(frame) => frame.moment = moment,
        }
        Ok(capture)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::Command;
    use std::sync::Arc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_clip_is_played_in_real_time_once_or_again_and_again() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("clip.mp4");
        let made = Command::new("ffmpeg")
            .args(
                "-v error -f lavfi -i testsrc=size=64x64:rate=50 -frames:v 10 -c:v libx264 -pix_fmt yuv420p -bf 2"
                    .split(' '),
            )
            .arg(&path)
            .status();
        assert!(made.unwrap().success());

        let play = |looped: bool, pictures: u32| {
            let stamper = Stamper::new(Arc::new(|| Some(3)));
            let mut camera = Clip::open(&path, looped, 50, &FramePool::default(), stamper).unwrap();
            let start = Instant::now();
            let mut last = Pts::MIN;
            for _ in 0..pictures {
                let moment = camera.next().unwrap().moment();
                assert!(moment.pts > last && moment.brightness == Some(3));
                last = moment.pts;
            }
            let expected = Duration::from_millis(20) * (pictures - 1);
            assert!(start.elapsed() >= expected - Duration::from_millis(2), "{:?}", start.elapsed());
            camera
        };
        let error = play(false, 10).next().unwrap_err();
        assert!(matches!(error, CameraError::Ended { .. }), "{error}");
        play(true, 25);
    }

    #[test]
    fn a_clip_without_a_picture_ends_even_when_it_is_looped() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), [0, 0, 0, 1, 0x67, 1, 2, 3]).unwrap();
        let stamper = Stamper::new(Arc::new(|| None));
        let mut camera = Clip::open(file.path(), true, 25, &FramePool::default(), stamper).unwrap();
        assert!(matches!(camera.next().unwrap_err(), CameraError::Ended { .. }));
    }
}
