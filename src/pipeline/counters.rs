//! What a camera's threads count: every skip with its reason, and the time each stage takes.
//!
//! Read by health and metrics; nothing decides on it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    /// How many so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Runs of one stage and the time they took together.
#[derive(Debug, Default)]
pub struct Stage {
    runs: Count,
    micros: Count,
}

impl Stage {
    /// Times one run.
    pub fn time<T>(&self, run: impl FnOnce() -> T) -> T {
        let begin = Instant::now();
        let done = run();
        self.add(begin.elapsed());
        done
    }

    /// Counts a run that was timed elsewhere.
    pub fn add(&self, took: Duration) {
        self.runs.one();
        self.micros.add(took.as_micros() as u64);
    }

    /// Counts runs that were counted elsewhere.
    pub fn add_all(&self, runs: u64, took: Duration) {
        self.runs.add(runs);
        self.micros.add(took.as_micros() as u64);
    }

    /// How often it ran.
    pub fn runs(&self) -> u64 {
        self.runs.get()
    }

    /// Seconds it took together.
    pub fn total_s(&self) -> f64 {
        self.micros.get() as f64 / 1e6
    }
}

macro_rules! counters {
    ($($(#[doc = $doc:literal])+ $field:ident: $kind:ident, $metric:literal, $label:literal;)+) => {
        /// Counters of one camera since the program started.
        #[derive(Debug, Default)]
        pub struct Counters {
            $($(#[doc = $doc])+ pub $field: $kind,)+
        }

        impl Counters {
            /// Every counter: the name of its metric, the label's value that tells it from others of that name, itself.
            pub fn all(&self) -> impl Iterator<Item = (&'static str, &'static str, Counter<'_>)> {
                [$(($metric, $label, Counter::from(&self.$field)),)+].into_iter()
            }
        }
    };
}

/// One of a camera's counters.
#[derive(Clone, Copy, Debug)]
pub enum Counter<'a> {
    /// A plain count.
    Count(&'a Count),
    /// A stage with its time.
    Stage(&'a Stage),
}

impl<'a> From<&'a Count> for Counter<'a> {
    fn from(count: &'a Count) -> Self {
        Counter::Count(count)
    }
}

impl<'a> From<&'a Stage> for Counter<'a> {
    fn from(stage: &'a Stage) -> Self {
        Counter::Stage(stage)
    }
}

counters! {
    /// Pictures the camera gave.
    captured: Count, "frames", "captured";
    /// Pictures that could not be used: truncated or corrupt.
    bad_picture: Count, "frames_skipped", "bad_picture";
    /// Pictures beyond the configured rate.
    above_rate: Count, "frames_skipped", "above_rate";
    /// Pictures that were replaced by newer ones before anyone could look at them.
    superseded: Count, "frames_skipped", "superseded";
    /// Pictures an encoder had no room for.
    encoder_busy: Count, "frames_skipped", "encoder_busy";
    /// Pictures that had left the ring before they were encoded.
    encoder_lapped: Count, "frames_skipped", "encoder_lapped";
    /// Pictures for viewers that were replaced by newer ones.
    viewer_busy: Count, "frames_skipped", "viewer_busy";
    /// Access units that live viewers missed, since they were too slow.
    viewer_lapped: Count, "access_units_skipped", "viewer_lapped";
    /// Pictures an encoder refused.
    encode_failed: Count, "frames_skipped", "encode_failed";
    /// Times a hardware encoder failed and software took over.
    encoder_fallback: Count, "encoder_fallbacks", "";
    /// Access units that had left the ring before they were written.
    writer_lapped: Count, "access_units_skipped", "writer_lapped";
    /// Access units that could not be written: the disk refused, or decoding could not start with them.
    writer_skipped: Count, "access_units_skipped", "writer_skipped";
    /// Access units that had left the ring before they were in the spool.
    upload_lapped: Count, "access_units_skipped", "upload_lapped";
    /// Times the camera had to be opened again.
    reopened: Count, "camera_reopened", "";
    /// Events that started.
    events: Count, "events", "";
    /// Events that a sink had no room for, since it hung.
    events_missed: Count, "events_missed", "";
    /// Pictures the detector looked at.
    looks: Count, "frames", "looked_at";
    /// Sudden changes of the light that were recognised.
    light_changes: Count, "light_changes", "";
    /// Waiting for the camera and taking its picture over.
    grab: Stage, "stage", "grab";
    /// Decoding whole pictures.
    decode: Stage, "stage", "decode";
    /// Reducing pictures for the detector.
    reduce: Stage, "stage", "reduce";
    /// Looking for motion.
    detect: Stage, "stage", "detect";
    /// Rotation, software settings, annotation.
    prepare: Stage, "stage", "prepare";
    /// Scaling for a stream.
    scale: Stage, "stage", "scale";
    /// Taking noise out of what a stream encodes.
    denoise: Stage, "stage", "denoise";
    /// Encoding H.264.
    encode: Stage, "stage", "encode";
    /// JPEGs for viewers.
    view: Stage, "stage", "view";
    /// Putting access units on stable storage.
    write: Stage, "stage", "write";
}
