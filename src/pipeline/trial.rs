//! Encoding on trial: whether the machine is fast enough for encoding to begin with a trigger, where it has a pre-roll to catch
//! up with.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::encode::{Session, Stream};
use super::shared::{EncodeMode, Shared, lock};
use crate::codec::openh264::EncodeError;
use crate::media::Frame;

/// Pictures that are encoded.
const RUNS: u32 = 4;
/// Encoding that is to begin with the pre-roll has to be this many times faster than real time.
const HEADROOM: f64 = 2.0;

pub(super) struct Trial {
    sessions: Vec<Session>,
    fps: u32,
    runs: u32,
    /// What the quickest picture took.
    best: Duration,
}

impl Trial {
    /// For all of a camera's streams, with encoders of its own.
    pub(super) fn new(streams: &[Arc<Stream>], fps: u32) -> Self {
        let session = |stream: &Arc<Stream>| Session::new(stream.name, stream.config.clone(), fps);
        Self { sessions: streams.iter().map(session).collect(), fps, runs: 0, best: Duration::MAX }
    }

    /// Encodes a picture whose development began at `began`. After the last one: how many times real time it is.
    pub(super) fn run(
        &mut self,
        shared: &Shared,
        frame: &Arc<Frame>,
        began: Instant,
    ) -> Result<Option<f64>, EncodeError> {
        for session in &mut self.sessions {
            session.encode(shared, Arc::clone(frame), false, &mut drop)?;
            session.settle(shared, &mut drop)?;
        }
        // The first picture pays for setting up, and any other may for whatever else starts with the machine.
        if self.runs > 0 {
            self.best = self.best.min(began.elapsed());
        }
        self.runs += 1;
        let speed = || 1.0 / (self.best.as_secs_f64() * f64::from(self.fps)).max(1e-9);
        Ok((self.runs >= RUNS).then(speed))
    }
}

/// How a camera is encoded whose trial ran at this many times real time; said in the log and the status.
pub(super) fn mode(shared: &Shared, speed: f64) -> EncodeMode {
    let (mode, why) = match speed >= HEADROOM {
        true => (EncodeMode::OnEvent, "it begins with a trigger"),
        false => (EncodeMode::Continuous, "too slow to catch up with a pre-roll, so it runs all the time"),
    };
    tracing::info!(camera = shared.config.name, "encoding runs at {speed:.1} times real time: {why}");
    *lock(&shared.encode_speed) = Some(speed as f32);
    mode
}
