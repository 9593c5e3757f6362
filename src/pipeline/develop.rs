//! The develop thread: everything that happens to a picture between the camera and the encoders, in one place, so that
//! no picture is decoded, reduced or prepared twice.
//!
//! Two places in the stream matter. The *present* is the newest picture: the detector and the viewers want it. The
//! *backlog* is where encoding stands: behind the present after a trigger, since it begins with the pre-roll, and then
//! faster than real time until it has caught up. From there on one decoded picture serves both.
//!
//! Threads for the rest: `grab` takes pictures, `encode` makes access units, `view` makes JPEGs for viewers.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::batch::Batch;
use super::decide::{Change, Decider, LOST_AFTER};
use super::encode::Stream;
use super::live::{Director, Source};
use super::prepare::Preparer;
use super::shared::{EncodeMode, Shared, lock};
use super::trial::{self, Trial};
use crate::clock;
use crate::codec::jpeg::JpegDecoder;
use crate::event::Event;
use crate::media::{Frame, FramePool, Jpeg, Luma, Pts};
use crate::ring::{Cursor, Next};
use crate::{picture, scale};

/// How often requests and time are looked after when no picture comes.
const TICK: Duration = Duration::from_millis(100);
/// Encoding this close behind the newest picture has caught up: detector and viewers take what it decodes.
const CAUGHT_UP: Duration = Duration::from_millis(750);
/// Pictures of the backlog that are encoded between two looks at the present.
const CATCH_UP_PICTURES: usize = 4;
/// Encoding all the time, this far behind the newest picture, leaves pictures out.
const TOO_LATE: Duration = Duration::from_secs(2);
/// One bad picture is a disturbance; so many are a camera that does not work.
const BAD_IN_A_ROW: u32 = 30;
/// A JPEG camera that had to be encoded all the time is measured again after this: the machine may have been busy then.
const MEASURE_AGAIN: Duration = Duration::from_secs(600);
/// What is left to encode at a stop gets this long.
const LAST_WORK: Duration = Duration::from_secs(10);

/// Where encoding stands.
#[derive(Default)]
struct Backlog {
    cursor: Cursor,
    /// Events still to be encoded, the present one last.
    following: VecDeque<Arc<Event>>,
    batch: Batch,
}

pub(super) struct Developer {
    shared: Arc<Shared>,
    streams: Vec<Arc<Stream>>,
    /// Streams whose next frame has to be an IDR.
    idr: Vec<bool>,
    /// An event ended here that another may follow without a gap: the first picture after it has to be an IDR.
    rolled: Option<Pts>,
    live: Director,
    decider: Decider,
    preparer: Preparer,
    decoder: JpegDecoder,
    pool: FramePool,
    luma: Luma,
    turned: Luma,
    mode: EncodeMode,
    trial: Option<Trial>,
    bad_in_a_row: u32,
    measure_again: Option<Instant>,
    backlog: Backlog,
    /// Time of the newest picture that was handled.
    last: Pts,
    /// The newest frame of a raw camera, for a recording by hand.
    newest: Option<Arc<Frame>>,
    last_tick: Option<Instant>,
    last_notice: Option<Instant>,
}

impl Developer {
    pub(super) fn new(shared: &Arc<Shared>, streams: Vec<Arc<Stream>>, live: Director, decider: Decider) -> Self {
        let pool = FramePool::default();
        Self {
            shared: Arc::clone(shared),
            idr: vec![false; streams.len()],
            rolled: None,
            streams,
            live,
            decider,
            preparer: Preparer::new(pool.clone()),
            decoder: JpegDecoder::new(),
            pool,
            luma: Luma::default(),
            turned: Luma::default(),
            mode: EncodeMode::Unknown,
            trial: None,
            bad_in_a_row: 0,
            measure_again: None,
            backlog: Backlog::default(),
            last: Pts::MIN,
            newest: None,
            last_tick: None,
            last_notice: None,
        }
    }

    /// Runs until the pipeline stops and what was begun is encoded.
    pub(super) fn run(mut self) {
        let mut stop_by = None;
        loop {
            let seen = self.shared.bell.rings();
            let mut worked = self.raw();
            worked |= self.present();
            // Looking at the present must not keep encoding from catching up with it.
            for _ in 0..CATCH_UP_PICTURES {
                if !self.backlog() {
                    break;
                }
                worked = true;
            }
            self.tick();
            if self.shared.is_stopping() {
                let by = *stop_by.get_or_insert_with(|| Instant::now() + LAST_WORK);
                if self.backlog.following.is_empty() || Instant::now() > by {
                    break;
                }
            }
            if !worked {
                self.shared.bell.wait(seen, TICK);
            }
        }
        for stream in &self.streams {
            stream.stop();
        }
        self.live.stop();
    }

    /// The newest picture of a raw camera. Its encoders run all the time, and what they have no room for is skipped.
    fn raw(&mut self) -> bool {
        let Some(frame) = lock(&self.shared.raw).take() else { return false };
        if self.mode != EncodeMode::Continuous {
            self.set_mode(EncodeMode::Continuous);
        }
        self.last = frame.moment.pts;
        self.handle(frame, true, true);
        true
    }

    /// The newest picture of a JPEG camera, while encoding is idle or far behind.
    fn present(&mut self) -> bool {
        let Some(jpeg) = self.shared.jpegs.newest().filter(|jpeg| jpeg.moment.pts > self.last) else { return false };
        match self.mode {
            EncodeMode::Unknown => {
                self.last = jpeg.moment.pts;
                self.measure(&jpeg);
                return true;
            }
            EncodeMode::Continuous => {
                let due = self.measure_again.is_some_and(|due| Instant::now() > due);
                let idle = lock(&self.shared.current).is_none() && self.backlog.cursor >= self.shared.jpegs.end();
                if due && idle {
                    self.set_mode(EncodeMode::Unknown);
                }
                return false;
            }
            EncodeMode::OnEvent if !self.backlog.following.is_empty() && self.lag() < CAUGHT_UP => return false,
            EncodeMode::OnEvent => {}
        }
        let moment = jpeg.moment;
        self.last = moment.pts;
        self.show_coded(&jpeg);
        if self.shared.views.wants(moment.pts) || self.live.wants(&self.shared, moment.pts) {
            if let Some(frame) = self.decode(&jpeg) {
                self.handle(frame, false, true);
            }
        } else if self.decider.is_due(&self.shared, moment.pts) {
            self.look_at_jpeg(&jpeg);
        }
        true
    }

    /// To viewers of the camera's size its own JPEGs, where that can be.
    fn show_coded(&mut self, jpeg: &Jpeg) {
        let (preparer, shared) = (&mut self.preparer, &self.shared);
        shared.views.pass_on(jpeg.size, jpeg.moment, || preparer.prepare_coded(shared, jpeg));
    }

    /// Looks at a JPEG by as few of its coefficients as will do; it is decoded whole only if it triggers.
    fn look_at_jpeg(&mut self, jpeg: &Jpeg) {
        let scale = scale::luma_scale(jpeg.size);
        let reduced = self.shared.counters.reduce.time(|| self.decoder.decode_luma(jpeg, scale, &mut self.luma));
        if let Err(error) = reduced {
            return self.bad_picture(&error);
        }
        self.turn_luma();
        let (decoder, preparer, shared, pool) = (&mut self.decoder, &mut self.preparer, &self.shared, &self.pool);
        let change = self.decider.look(shared, &self.luma, jpeg.moment, || {
            let decoded = shared.counters.decode.time(|| decoder.decode(jpeg, pool));
            decoded.ok().map(|frame| Arc::new(preparer.prepare(shared, frame)))
        });
        self.follow(change);
    }

    /// The detector sees pictures as they are shown, and zones are drawn on them.
    fn turn_luma(&mut self) {
        let rotation = lock(&self.shared.adjustment).rotation;
        picture::rotate_luma(&mut self.luma, rotation, &mut self.turned);
    }

    /// One picture of those that wait to be encoded.
    fn backlog(&mut self) -> bool {
        let until = match (self.mode, self.backlog.following.front()) {
            (EncodeMode::Unknown, _) => return false,
            // Raw pictures do not wait; the ring of JPEGs is empty then.
            (EncodeMode::Continuous, _) => None,
            (EncodeMode::OnEvent, None) => return false,
            (EncodeMode::OnEvent, Some(event)) => event.until(),
        };
        // An event that has ended waits for its end.
        let urgent = self.mode != EncodeMode::OnEvent || until.is_some() || self.shared.is_awaited();
        let waited = self.waited();
        if !self.backlog.batch.is_due(waited, urgent) && waited.is_some() {
            return false;
        }
        if !self.streams.iter().all(|stream| stream.has_room()) {
            if self.mode == EncodeMode::Continuous && self.lag() > TOO_LATE {
                // Too slow even for real time: every skip is one picture, not all at once when the ring laps.
                self.backlog.cursor.0 += 1;
                self.shared.counters.encoder_busy.one();
            }
            return false;
        }
        match self.shared.jpegs.next(&mut self.backlog.cursor, until, Duration::ZERO) {
            Next::Entry(jpeg) => {
                let present = self.mode == EncodeMode::Continuous || self.lag() < CAUGHT_UP;
                if present {
                    self.last = self.last.max(jpeg.moment.pts);
                }
                if present {
                    self.show_coded(&jpeg);
                }
                if let Some(frame) = self.decode(&jpeg) {
                    self.handle(frame, true, present);
                }
                true
            }
            Next::Lapped { missed } => {
                self.shared.counters.encoder_lapped.add(missed);
                tracing::warn!(camera = self.shared.config.name, missed, "encoding fell behind and lost pictures");
                self.idr.fill(true);
                if self.mode == EncodeMode::OnEvent {
                    self.set_mode(EncodeMode::Continuous);
                }
                true
            }
            Next::Done => {
                self.finish_event();
                true
            }
            Next::Timeout => false,
        }
    }

    /// How far encoding is behind the newest picture.
    fn lag(&self) -> Duration {
        let Some((_, newest)) = self.shared.jpegs.span() else { return Duration::ZERO };
        self.shared.jpegs.pts_at(self.backlog.cursor).map_or(Duration::ZERO, |at| newest.since(at))
    }

    /// How long the next picture of the backlog has waited.
    fn waited(&self) -> Option<Duration> {
        Some(clock::now().since(self.shared.jpegs.pts_at(self.backlog.cursor)?))
    }

    fn finish_event(&mut self) {
        let Some(event) = self.backlog.following.pop_front() else { return };
        let after = event.until().map_or(Pts::MAX, |until| Pts(until.0.saturating_add(1)));
        for stream in &self.streams {
            stream.advance(after);
        }
        match self.backlog.following.front() {
            Some(next) => self.backlog.cursor = self.backlog.cursor.max(self.shared.jpegs.start_at(next.start)),
            None => {
                for stream in &self.streams {
                    stream.rest();
                }
            }
        }
        // Whoever follows the next event begins with its first picture.
        self.idr.fill(true);
    }

    fn decode(&mut self, jpeg: &Jpeg) -> Option<Frame> {
        match self.shared.counters.decode.time(|| self.decoder.decode(jpeg, &self.pool)) {
            Ok(frame) => {
                if std::mem::take(&mut self.bad_in_a_row) >= BAD_IN_A_ROW {
                    self.shared.set_fault(None);
                }
                Some(frame)
            }
            Err(error) => {
                self.bad_picture(&error);
                None
            }
        }
    }

    fn bad_picture(&mut self, error: &dyn std::fmt::Display) {
        self.shared.counters.bad_picture.one();
        self.bad_in_a_row += 1;
        if self.bad_in_a_row == BAD_IN_A_ROW {
            self.shared.set_fault(Some(format!("the camera's pictures cannot be decoded: {error}")));
        }
        tracing::debug!(camera = self.shared.config.name, "skipped a picture: {error}");
    }

    /// One whole frame: reduced for the detector, prepared once, and given to everybody who needs it.
    fn handle(&mut self, frame: Frame, encode: bool, present: bool) {
        let moment = frame.moment;
        let look = present && self.decider.is_due(&self.shared, moment.pts);
        if look {
            let scale = scale::luma_scale(frame.size());
            self.shared.counters.reduce.time(|| scale::shrink_luma(&frame, scale, &mut self.luma));
        }
        let frame = Arc::new(self.preparer.prepare(&self.shared, frame));
        if look {
            self.turn_luma();
            let change = self.decider.look(&self.shared, &self.luma, moment, || Some(Arc::clone(&frame)));
            self.follow(change);
        }
        if encode && self.rolled.take_if(|end| moment.pts > *end).is_some() {
            self.idr.fill(true);
        }
        let streams = if encode { &self.streams[..] } else { &[] };
        let live = match present {
            true => self.live.choose(&self.shared, moment.pts, self.mode, streams, &mut self.idr),
            false => Source::Nobody,
        };
        if encode && live == Source::Nobody {
            self.live.withheld();
        }
        if live == Source::Own {
            self.live.encode(&self.shared, &frame);
        }
        if self.mode == EncodeMode::Continuous {
            self.newest = Some(Arc::clone(&frame));
        }
        if present && self.shared.views.wants(moment.pts) {
            self.shared.views.show(Arc::clone(&frame), false, &self.shared.counters);
        }
        // Last: an encoder that has the frame to itself takes the noise out in place.
        for (n, (stream, idr)) in streams.iter().zip(&mut self.idr).enumerate() {
            if stream.has_room() {
                stream.encode(Arc::clone(&frame), std::mem::take(idr), live == Source::Stream(n));
            } else {
                self.shared.counters.encoder_busy.one();
            }
        }
    }

    /// What is due without a picture: requests, time, the notice to viewers of a camera that is gone.
    fn tick(&mut self) {
        let requested = self.shared.record_now.load(std::sync::atomic::Ordering::Relaxed);
        if !requested && !self.shared.is_stopping() && self.last_tick.is_some_and(|last| last.elapsed() < TICK) {
            return;
        }
        self.last_tick = Some(Instant::now());
        let now = clock::now();
        let newest = lock(&self.shared.camera).newest;
        // An event is measured in pictures' times; while none come, time goes on all the same.
        let silent = newest.is_none_or(|newest| now.since(newest) > LOST_AFTER);
        let pts = match newest {
            Some(newest) if !silent && self.last != Pts::MIN => match self.shared.is_watching() {
                // Never past a picture that the detector has still to see.
                true => self.last,
                // What has come until now belongs to the event that ends now.
                false => newest.max(self.last),
            },
            _ => now,
        };
        if silent {
            // A picture on its way is not that old.
            self.pass_time(now - LOST_AFTER);
        }
        if self.shared.is_stopping() {
            self.shared.jpegs.advance(Pts::MAX);
        }
        let moment = clock::moment_at(pts, self.shared.brightness());
        let newest = self.newest.clone();
        let (decoder, preparer, shared, pool) = (&mut self.decoder, &mut self.preparer, &self.shared, &self.pool);
        let change = self.decider.tick(shared, moment, || {
            let Some(jpeg) = shared.jpegs.newest() else { return newest };
            let frame = decoder.decode(&jpeg, pool).ok()?;
            Some(Arc::new(preparer.prepare(shared, frame)))
        });
        self.follow(change);
        self.live.rest(&self.shared, self.mode);
        self.notice(silent);
    }

    fn pass_time(&self, pts: Pts) {
        self.shared.jpegs.advance(pts);
        if self.mode == EncodeMode::Continuous {
            for stream in &self.streams {
                stream.advance(pts);
            }
        }
    }

    fn notice(&mut self, silent: bool) {
        let due = self.last_notice.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
        if !silent || !due || !self.shared.views.wants(clock::now()) {
            return;
        }
        let Some(fault) = lock(&self.shared.camera).fault.clone() else { return };
        self.last_notice = Some(Instant::now());
        let text = format!("{}: no picture: {fault}", self.shared.config.label);
        let frame = self.preparer.notice(&self.shared, &text);
        self.shared.views.show(Arc::new(frame), true, &self.shared.counters);
    }

    fn follow(&mut self, change: Change) {
        self.rolled = change.rolled.or(self.rolled);
        let Some(event) = change.started else { return };
        if self.mode == EncodeMode::Continuous {
            return;
        }
        if self.backlog.following.is_empty() {
            // Where the last event was encoded to, nothing is encoded again.
            self.backlog.cursor = self.backlog.cursor.max(self.shared.jpegs.start_at(event.start));
            self.idr.fill(true);
        }
        self.backlog.following.push_back(event);
    }

    fn set_mode(&mut self, mode: EncodeMode) {
        self.mode = mode;
        *lock(&self.shared.encode_mode) = mode;
        if mode == EncodeMode::Continuous {
            // From where events are being encoded, or from now on.
            if self.backlog.following.is_empty() {
                self.backlog.cursor = self.shared.jpegs.end();
            }
            self.backlog.following.clear();
            self.measure_again = Some(Instant::now() + MEASURE_AGAIN);
        }
    }

    /// Develops a few pictures on trial, to know whether encoding can begin with a trigger.
    fn measure(&mut self, jpeg: &Jpeg) {
        let began = Instant::now();
        let Some(frame) = self.decode(jpeg) else { return };
        let frame = Arc::new(self.preparer.prepare(&self.shared, frame));
        let trial = self.trial.get_or_insert_with(|| Trial::new(&self.streams, self.shared.config.fps));
        match trial.run(&self.shared, &frame, began) {
            Ok(None) => {}
            Ok(Some(speed)) => {
                self.trial = None;
                self.shared.set_fault(None);
                let mode = trial::mode(&self.shared, speed);
                self.set_mode(mode);
            }
            Err(error) => {
                self.trial = None;
                self.shared.set_fault(Some(format!("pictures cannot be encoded: {error}")));
            }
        }
    }
}
