//! The grab thread: takes pictures from the camera as they come and never waits for anyone else.
//!
//! A camera that fails is opened again, with its cause in the status and a growing pause between attempts; everybody who
//! waits for its pictures is told that time goes on.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::shared::{Shared, lock};
use crate::camera::{self, Camera, CameraError, Capture, Request};
use crate::clock;
use crate::media::{FramePool, Pts};

const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Runs until the pipeline stops.
pub(super) fn run(shared: &Arc<Shared>) {
    let request = Request { source: shared.config.source.clone(), size: shared.config.size, fps: shared.config.fps };
    let pool = FramePool::default();
    let brightness: camera::BrightnessProbe = {
        let shared = Arc::clone(shared);
        Arc::new(move || shared.brightness())
    };
    let mut pause = FIRST_PAUSE;
    let mut last = Pts::MIN;
    while !shared.is_stopping() {
        let opened = camera::open(&request, &pool, brightness.clone());
        shared.progressed();
        let error = match opened {
            Ok(mut camera) => {
                lock(&shared.camera).controls = camera.controls();
                shared.adjust();
                let before = shared.counters.captured.get();
                let error = take(shared, camera.as_mut(), &mut last);
                if shared.counters.captured.get() > before {
                    pause = FIRST_PAUSE;
                }
                error
            }
            Err(error) => error,
        };
        if shared.is_stopping() {
            break;
        }
        if matches!(error, CameraError::Ended { .. }) {
            ended(shared, &error);
            break;
        }
        tracing::warn!(camera = shared.config.name, "{error}; trying again in {} s", pause.as_secs_f32());
        {
            let mut state = lock(&shared.camera);
            state.fault = Some(error.public());
            state.fps = 0.0;
            state.controls = None;
        }
        shared.bell.ring();
        sleep(shared, pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
        shared.counters.reopened.one();
    }
}

/// A clip that is played once has been: there is nothing to try again.
fn ended(shared: &Shared, error: &CameraError) {
    tracing::info!(camera = shared.config.name, "{error}");
    lock(&shared.camera).fault = Some(error.public());
    while !shared.is_stopping() {
        shared.progressed();
        sleep(shared, Duration::from_secs(1));
    }
}

/// Sleeps, but not through a stop.
fn sleep(shared: &Shared, pause: Duration) {
    let until = Instant::now() + pause;
    while !shared.is_stopping() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50).min(until.saturating_duration_since(Instant::now())));
    }
}

/// Takes pictures until the camera fails or the pipeline stops; says why it ended.
fn take(shared: &Shared, camera: &mut dyn Camera, last: &mut Pts) -> CameraError {
    let mut rate = Rate::new(shared.config.fps);
    let mut bad_in_a_row = 0;
    loop {
        let began = Instant::now();
        let taken = camera.next();
        shared.progressed();
        if shared.is_stopping() {
            return CameraError::Ended { what: "stopped".into() };
        }
        let mut capture = match taken {
            Ok(capture) => capture,
            Err(CameraError::BadPicture { what, cause }) => {
                shared.counters.bad_picture.one();
                bad_in_a_row += 1;
                tracing::debug!(camera = shared.config.name, "skipped a picture: {what}: {cause}");
                if bad_in_a_row < 100 {
                    continue;
                }
                return CameraError::Lost { what, cause: format!("100 unusable pictures in a row, the last: {cause}") };
            }
            Err(error) => return error,
        };
        shared.counters.captured.one();
        bad_in_a_row = 0;
        let moment = capture.moment_mut();
        // Rings and files rely on times that grow.
        moment.pts = moment.pts.max(Pts(last.0.saturating_add(1)));
        let pts = moment.pts;
        *last = pts;
        {
            let mut state = lock(&shared.camera);
            state.fault = None;
            state.size = Some(capture.size());
            state.newest = Some(pts);
            state.gives_jpeg = matches!(capture, Capture::Jpeg(_));
            state.fps = rate.measured;
        }
        if !rate.admits(pts) {
            shared.counters.above_rate.one();
            continue;
        }
        match capture {
            Capture::Jpeg(jpeg) => shared.jpegs.push(jpeg),
            Capture::Raw(frame) => {
                let replaced = lock(&shared.raw).replace(frame);
                if replaced.is_some() {
                    shared.counters.superseded.one();
                }
            }
        }
        shared.counters.grab.add(began.elapsed());
        shared.bell.ring();
    }
}

/// Pictures that a network held back for so many seconds pass at once.
const BUNCH_S: f64 = 2.0;

/// Holds a source that is faster than asked to the configured rate, and measures the rate.
struct Rate {
    /// Pictures a second let through at most: a little more than configured, since no two clocks agree.
    limit: f64,
    credit: f64,
    last: Option<Pts>,
    measured: f32,
}

impl Rate {
    fn new(fps: u32) -> Self {
        let limit = f64::from(fps) * 1.05;
        Self { limit, credit: limit * BUNCH_S, last: None, measured: 0.0 }
    }

    /// Pictures that come in bunches pass; in the long run no more than the limit do.
    fn admits(&mut self, pts: Pts) -> bool {
        if let Some(last) = self.last {
            let apart_s = pts.since(last).as_secs_f64();
            self.credit = (self.credit + apart_s * self.limit).min(self.limit * BUNCH_S);
            let now = (1.0 / apart_s.max(1e-3)) as f32;
            // A mean over about the last second.
            let weight = (apart_s as f32).min(1.0);
            self.measured = if self.measured == 0.0 { now } else { self.measured + (now - self.measured) * weight };
        }
        self.last = Some(pts);
        if self.credit < 1.0 {
            return false;
        }
        self.credit -= 1.0;
        true
    }
}

/// Time that passes without pictures, for those who wait for them.
pub(super) fn is_alive(shared: &Shared, silent_for: Duration) -> bool {
    lock(&shared.camera).newest.is_some_and(|newest| clock::now().since(newest) < silent_for)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(source_fps: f64, configured: u32) -> usize {
        let mut rate = Rate::new(configured);
        (0..(source_fps * 60.0) as i64).filter(|n| rate.admits(Pts::from_secs_f64(*n as f64 / source_fps))).count()
    }

    #[test]
    fn a_source_at_its_rate_loses_nothing_and_a_faster_one_is_held() {
        assert_eq!(admitted(15.0, 15), 900);
        assert_eq!(admitted(10.0, 15), 600);
        let held = admitted(30.0, 15);
        assert!((900..=1000).contains(&held), "{held}");
    }

    #[test]
    fn bunches_pass() {
        let mut rate = Rate::new(15);
        // Three pictures at once, five times a second.
        let passed = (0..900)
            .filter(|n| rate.admits(Pts::from_secs_f64((n / 3) as f64 / 5.0) + Duration::from_millis(n % 3)))
            .count();
        assert_eq!(passed, 900);
    }
}
