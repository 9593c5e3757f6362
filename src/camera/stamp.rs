//! When a picture was taken, on both clocks, and when the next one is due.
//!
//! What is made of the times is the pipeline's; the light sensor's value is only carried along.

use std::thread;
use std::time::{Duration, Instant};

use super::BrightnessProbe;
use crate::clock;
use crate::media::{Moment, Pts};

/// Gives pictures their [`Moment`]. PTS never goes back.
pub struct Stamper {
    brightness: BrightnessProbe,
    last: Pts,
}

impl Stamper {
    /// Reads the light sensor with `brightness` at each picture.
    pub fn new(brightness: BrightnessProbe) -> Self {
        Self { brightness, last: Pts::MIN }
    }

    /// A picture that was taken just now.
    pub fn now(&mut self) -> Moment {
        self.at(clock::now())
    }

    /// A picture that was taken at `pts` on `CLOCK_MONOTONIC`, a moment ago.
    pub fn at(&mut self, pts: Pts) -> Moment {
        let now = clock::now();
        // A driver's clock that is ahead of ours is wrong.
        let pts = pts.min(now).max(self.last);
        self.last = pts;
        clock::moment_at(pts, (self.brightness)())
    }
}

/// Waits until the next picture of a source without a clock of its own is due.
pub struct Pace {
    due: Instant,
}

impl Pace {
    /// Further behind than this, it does not catch up but goes on from now: the program was suspended.
    const CATCH_UP: Duration = Duration::from_secs(1);

    /// The first picture is due now.
    pub fn from_now() -> Self {
        Self { due: Instant::now() }
    }

    /// Blocks until the picture is due.
    pub fn wait(&mut self) {
        let now = Instant::now();
        if let Some(early) = self.due.checked_duration_since(now) {
            thread::sleep(early);
        } else if now - self.due > Self::CATCH_UP {
            self.due = now;
        }
    }

    /// Makes the next picture due `interval` after the one before.
    pub fn advance(&mut self, interval: Duration) {
        self.due += interval;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn pts_never_goes_back_and_wall_time_is_that_of_the_capture() {
        let mut stamper = Stamper::new(Arc::new(|| Some(42)));
        let (now, wall) = (clock::now(), jiff::Timestamp::now());
        let ago = stamper.at(now - Duration::from_secs(3));
        assert_eq!(ago.pts, now - Duration::from_secs(3));
        assert!((wall.duration_since(ago.wall).as_secs_f64() - 3.0).abs() < 0.5, "{wall} {}", ago.wall);
        assert_eq!(ago.brightness, Some(42));

        assert_eq!(stamper.at(now - Duration::from_secs(9)).pts, ago.pts, "an older one is set to the one before");
        let ahead = stamper.at(now + Duration::from_secs(60));
        assert!(ahead.pts <= clock::now(), "one of the future is set to now");
    }

    #[test]
    fn the_pace_is_kept_on_average_and_a_long_pause_is_not_made_up_for() {
        let interval = Duration::from_millis(10);
        let start = Instant::now();
        let mut pace = Pace::from_now();
        for _ in 0..6 {
            pace.wait();
            pace.advance(interval);
        }
        assert!(start.elapsed() >= 5 * interval);

        pace.due = Instant::now() - Duration::from_secs(10);
        let start = Instant::now();
        for _ in 0..4 {
            pace.wait();
            pace.advance(interval);
        }
        assert!(start.elapsed() >= 3 * interval);
    }
}
