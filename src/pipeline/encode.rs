//! An encoder thread: one stream of a camera, from prepared frames to the ring of its access units.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex};

use super::shared::{Shared, lock};
use crate::codec::encoder::{Encoder, Kind};
use crate::codec::openh264::{EncodeError, EncoderSettings};
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
    /// Encode this; as an IDR when `idr`; for live viewers too when `live`.
    Frame {
        frame: Arc<Frame>,
        idr: bool,
        live: bool,
    },
    /// Nothing older than this will come.
    Advance(Pts),
    /// Nothing will come for a while: give the encoder's memory back.
    Rest,
    Stop,
}

/// One stream of a camera: its queue of frames and the ring of its access units.
pub(super) struct Stream {
    /// `disk`, `live view`, later `upload`.
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
        frames(&lock(&self.queue)) < DEPTH
    }

    /// As an IDR when `idr`; for live viewers too when `live`.
    pub(super) fn encode(&self, frame: Arc<Frame>, idr: bool, live: bool) {
        self.push(Job::Frame { frame, idr, live });
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

    /// The next job, and whether there was no room for another before.
    fn take(&self) -> (Job, bool) {
        let mut queue = lock(&self.queue);
        loop {
            let full = frames(&queue) >= DEPTH;
            if let Some(job) = queue.pop_front() {
                return (job, full);
            }
            queue = self.queued.wait(queue).unwrap_or_else(|e| e.into_inner());
        }
    }
}

fn frames(queue: &VecDeque<Job>) -> usize {
    queue.iter().filter(|job| matches!(job, Job::Frame { .. })).count()
}

/// Runs until [`Stream::stop`].
pub(super) fn run(shared: &Shared, stream: &Stream) {
    let mut session = Session::new(stream.name, stream.config.clone(), shared.config.fps);
    let mut failing = false;
    // Frames under way that live viewers get too: hardware may hold some back.
    let mut live = VecDeque::new();
    loop {
        let (job, was_full) = stream.take();
        if let Job::Frame { frame, live: true, .. } = &job {
            live.push_back(frame.moment.pts);
        }
        let mut done = |unit: AccessUnit| {
            while live.pop_front_if(|pts| *pts < unit.moment.pts).is_some() {}
            if live.pop_front_if(|pts| *pts == unit.moment.pts).is_some() {
                shared.live.push(unit.clone());
            }
            stream.ring.push(unit);
        };
        let (mut advanced, mut stopped, mut encoded) = (None, false, false);
        let outcome = match job {
            Job::Frame { frame, idr, .. } => {
                encoded = true;
                // Whoever gives frames waits for room only where there was none.
                if was_full {
                    shared.bell.ring();
                }
                session.encode(shared, frame, idr, &mut done)
            }
            Job::Advance(pts) => {
                advanced = Some(pts);
                session.settle(shared, &mut done)
            }
            Job::Rest => session.rest(shared, &mut done),
            Job::Stop => {
                (advanced, stopped) = (Some(Pts::MAX), true);
                session.rest(shared, &mut done)
            }
        };
        match outcome {
            Ok(()) if failing && encoded => {
                shared.set_fault(None);
                failing = false;
            }
            Ok(()) => {}
            Err(error) => {
                shared.counters.encode_failed.one();
                shared.set_fault(Some(format!("pictures for the {} cannot be encoded: {error}", stream.name)));
                failing = true;
                session.reset();
            }
        }
        if let Some(pts) = advanced {
            stream.ring.advance(pts);
        }
        if stopped {
            return;
        }
    }
}

/// Scaler, denoiser and encoder of one stream, made when first needed.
pub(super) struct Session {
    name: &'static str,
    config: StreamConfig,
    fps: u32,
    pool: FramePool,
    scaler: Scaler,
    denoiser: Denoiser,
    encoder: Option<Encoder>,
    failures: u64,
}

impl Session {
    pub(super) fn new(name: &'static str, config: StreamConfig, fps: u32) -> Self {
        let (pool, scaler, denoiser) = (FramePool::default(), Scaler::default(), Denoiser::new());
        Self { name, config, fps, pool, scaler, denoiser, encoder: None, failures: 0 }
    }

    /// `done` gets the access units that are finished; the last ones may come with a later call.
    pub(super) fn encode(
        &mut self,
        shared: &Shared,
        frame: Arc<Frame>,
        idr: bool,
        done: &mut dyn FnMut(AccessUnit),
    ) -> Result<(), EncodeError> {
        let target = frame.size().fitted_into(self.config.size.unwrap_or(LARGEST));
        let frame = match target == frame.size() {
            true => frame,
            false => Arc::new(shared.counters.scale.time(|| self.scaler.scale(&frame, target, &self.pool))),
        };
        let encoder = self.encoder.get_or_insert_with(|| {
            // JPEGs use the whole range of values; cameras and programs that give raw pictures, the studio range.
            let full_range = lock(&shared.camera).gives_jpeg;
            let settings = EncoderSettings { fps: self.fps, kbit: self.config.kbit, full_range };
            Encoder::new(shared.config.encoder, settings)
        });
        if idr {
            encoder.force_idr();
        }
        // The processor pays for noise, a hardware encoder does not.
        let frame = match encoder.kind() {
            Some(Kind::Hardware(_)) => frame,
            _ => shared.counters.denoise.time(|| self.denoiser.reduce(frame)),
        };
        let outcome = shared.counters.encode.time(|| encoder.encode(frame, done));
        self.tell(shared);
        outcome
    }

    /// Everything that was given comes out.
    pub(super) fn settle(&mut self, shared: &Shared, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        let outcome = self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.settle(done));
        self.tell(shared);
        outcome
    }

    /// As [`Session::settle`], and gives the encoder's memory back.
    fn rest(&mut self, shared: &Shared, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        let outcome = self.encoder.as_mut().map_or(Ok(()), |encoder| encoder.rest(done));
        self.denoiser = Denoiser::new();
        self.tell(shared);
        outcome
    }

    /// The next frame gets a new encoder, which counts its failures from nothing.
    fn reset(&mut self) {
        (self.encoder, self.failures) = (None, 0);
    }

    /// What health and metrics have to know of the encoder.
    fn tell(&mut self, shared: &Shared) {
        let Some(encoder) = &self.encoder else { return };
        let failures = encoder.failures();
        shared.counters.encoder_fallback.add(failures - std::mem::replace(&mut self.failures, failures));
        shared.encoders.tell(self.name, encoder.kind(), encoder.complaint());
    }
}
