//! An encoder thread: one stream of a camera, from prepared frames to the ring of its access units.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use super::shared::{Shared, lock};
use crate::codec::openh264::{Encoder, EncoderSettings};
use crate::config::StreamConfig;
use crate::denoise::Denoiser;
use crate::media::{AccessUnit, Frame, FramePool, Pts, Resolution};
use crate::ring::Ring;
use crate::scale::Scaler;

/// Frames that may wait: one in work and one ready keep the thread busy; more would only be memory.
const DEPTH: usize = 2;

/// What the encoder takes; larger pictures are made smaller.
const LARGEST: Resolution = Resolution::new(3840, 2160);

enum Job {
    /// Encode this; as an IDR when `idr`.
    Frame {
        frame: Arc<Frame>,
        idr: bool,
    },
    /// Nothing older than this will come.
    Advance(Pts),
    /// Nothing will come for a while: give the encoder's memory back.
    Rest,
    Stop,
}

/// One stream of a camera: its queue of frames and the ring of its access units.
pub(super) struct Stream {
    /// `disk`, later `upload` and `live`.
    pub(super) name: &'static str,
    pub(super) config: StreamConfig,
    pub(super) ring: Ring<AccessUnit>,
    queue: Mutex<VecDeque<Job>>,
    queued: Condvar,
}

impl Stream {
    pub(super) fn new(name: &'static str, config: StreamConfig, ring: Ring<AccessUnit>) -> Self {
        Self { name, config, ring, queue: Mutex::default(), queued: Condvar::new() }
    }

    fn push(&self, job: Job) {
        lock(&self.queue).push_back(job);
        self.queued.notify_one();
    }

    /// Whether a frame can be given without waiting. Only one thread gives frames, so the answer holds until it does.
    pub(super) fn has_room(&self) -> bool {
        lock(&self.queue).iter().filter(|job| matches!(job, Job::Frame { .. })).count() < DEPTH
    }

    pub(super) fn encode(&self, frame: Arc<Frame>, idr: bool) {
        self.push(Job::Frame { frame, idr });
    }

    /// After the frames given so far, nothing older than `pts` will come.
    pub(super) fn advance(&self, pts: Pts) {
        self.push(Job::Advance(pts));
    }

    /// After the frames given so far, nothing will come for a while.
    pub(super) fn rest(&self) {
        self.push(Job::Rest);
    }

    /// The thread ends after the frames given so far.
    pub(super) fn stop(&self) {
        self.push(Job::Stop);
    }

    fn take(&self) -> Job {
        let mut queue = lock(&self.queue);
        loop {
            if let Some(job) = queue.pop_front() {
                return job;
            }
            queue = self.queued.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
    }
}

/// Runs until [`Stream::stop`].
pub(super) fn run(shared: &Shared, stream: &Stream) {
    let mut session = Session::new(stream.config.clone(), shared.config.fps);
    let mut failing = false;
    loop {
        match stream.take() {
            Job::Frame { frame, idr } => {
                shared.bell.ring();
                match session.encode(shared, frame, idr) {
                    Ok(access_unit) => {
                        stream.ring.push(access_unit);
                        if std::mem::take(&mut failing) {
                            shared.set_fault(None);
                        }
                    }
                    Err(error) => {
                        shared.counters.encode_failed.one();
                        shared.set_fault(Some(format!("pictures for the {} cannot be encoded: {error}", stream.name)));
                        failing = true;
                        session.encoder = None;
                    }
                }
            }
            Job::Advance(pts) => stream.ring.advance(pts),
            Job::Rest => session = Session::new(stream.config.clone(), shared.config.fps),
            Job::Stop => {
                stream.ring.advance(Pts::MAX);
                return;
            }
        }
    }
}

/// Scaler, denoiser and encoder of one stream, made when first needed.
pub(super) struct Session {
    config: StreamConfig,
    fps: u32,
    pool: FramePool,
    scaler: Scaler,
    denoiser: Denoiser,
    encoder: Option<Encoder>,
}

impl Session {
    pub(super) fn new(config: StreamConfig, fps: u32) -> Self {
        Self {
            config,
            fps,
            pool: FramePool::default(),
            scaler: Scaler::default(),
            denoiser: Denoiser::new(),
            encoder: None,
        }
    }

    pub(super) fn encode(
        &mut self,
        shared: &Shared,
        frame: Arc<Frame>,
        idr: bool,
    ) -> Result<AccessUnit, crate::codec::openh264::EncodeError> {
        let target = frame.size().fitted_into(self.config.size.unwrap_or(LARGEST));
        let scaled = if target == frame.size() {
            frame
        } else {
            Arc::new(shared.counters.scale.time(|| self.scaler.scale(&frame, target, &self.pool)))
        };
        let clean = shared.counters.denoise.time(|| self.denoiser.reduce(scaled));
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => {
                // JPEGs use the whole range of values; cameras and programs that give raw pictures, the studio range.
                let full_range = lock(&shared.camera).gives_jpeg;
                none.insert(Encoder::new(EncoderSettings { fps: self.fps, kbit: self.config.kbit, full_range }))
            }
        };
        if idr {
            encoder.force_idr();
        }
        shared.counters.encode.time(|| encoder.encode(&clean))
    }
}
