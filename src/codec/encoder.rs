//! One stream's H.264 encoder, by whatever the machine has: a hardware encoder where there is one that can, software otherwise.
//!
//! A device that fails takes no picture with it: software encodes anew what was under way, beginning with an IDR, and goes on. After
//! [`RETRY`] the device gets another chance, at an IDR that is due anyway. The codings themselves are in [`super::m2m`]
//! and [`super::openh264`].

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::openh264::{self as software, EncodeError, EncoderSettings};
use super::{m2m, m2m::M2mError};
use crate::config::EncoderChoice;
use crate::media::{AccessUnit, Frame};

/// How long a device that failed is left alone.
const RETRY: Duration = Duration::from_secs(60);

/// What encodes a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// This device.
    Hardware(PathBuf),
    /// The processor.
    Software,
}

impl Kind {
    /// In one word, without the device.
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Hardware(_) => "hardware",
            Kind::Software => "software",
        }
    }
}

/// A hardware encoder as this module uses it; [`m2m::Encoder`] but in tests.
trait Hardware: Send {
    fn fits(&self, frame: &Frame) -> bool;
    fn path(&self) -> PathBuf;
    fn force_idr(&mut self);
    fn encode(&mut self, frame: Arc<Frame>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError>;
    fn settle(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError>;
    fn drain(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError>;
    fn unfinished(self: Box<Self>) -> Vec<Arc<Frame>>;
}

impl Hardware for m2m::Encoder {
    fn fits(&self, frame: &Frame) -> bool {
        self.size() == frame.size()
    }
    fn path(&self) -> PathBuf {
        m2m::Encoder::path(self).to_owned()
    }
    fn force_idr(&mut self) {
        m2m::Encoder::force_idr(self);
    }
    fn encode(&mut self, frame: Arc<Frame>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        m2m::Encoder::encode(self, frame, done)
    }
    fn settle(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        m2m::Encoder::settle(self, done)
    }
    fn drain(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        m2m::Encoder::drain(self, done)
    }
    fn unfinished(self: Box<Self>) -> Vec<Arc<Frame>> {
        m2m::Encoder::unfinished(*self)
    }
}

/// Finds a device for a picture, and sets it up.
type Open = fn(EncoderSettings, &Frame) -> Result<Box<dyn Hardware>, String>;

enum Active {
    Hardware(Box<dyn Hardware>),
    Software(Box<software::Encoder>),
}

/// An encoder of one stream.
pub struct Encoder {
    choice: EncoderChoice,
    settings: EncoderSettings,
    open: Open,
    active: Option<Active>,
    /// Since when hardware is left alone, and why; `None` while nothing speaks against it.
    failed: Option<(Instant, String)>,
    failures: u64,
    idr_wanted: bool,
}

/// The first device that takes the picture, or why none does.
fn open_any(settings: EncoderSettings, frame: &Frame) -> Result<Box<dyn Hardware>, String> {
    let mut why = Vec::new();
    for device in m2m::list() {
        match m2m::Encoder::open(&device.path, m2m::Coding::H264, settings, frame.size()) {
            Ok(encoder) => return Ok(Box::new(encoder)),
            Err(error) => why.push(error.to_string()),
        }
    }
    Err(if why.is_empty() { "this machine has no hardware encoder".into() } else { why.join("; ") })
}

impl Encoder {
    /// An encoder; nothing is opened or allocated before the first frame.
    pub fn new(choice: EncoderChoice, settings: EncoderSettings) -> Self {
        Self::with(choice, settings, open_any)
    }

    fn with(choice: EncoderChoice, settings: EncoderSettings, open: Open) -> Self {
        Self { choice, settings, open, active: None, failed: None, failures: 0, idr_wanted: false }
    }

    /// What is in use; `None` before the first frame and after a rest.
    pub fn kind(&self) -> Option<Kind> {
        Some(match self.active.as_ref()? {
            Active::Hardware(device) => Kind::Hardware(device.path()),
            Active::Software(_) => Kind::Software,
        })
    }

    /// Why software is used although hardware was asked for by name.
    pub fn complaint(&self) -> Option<&str> {
        let (_, cause) = self.failed.as_ref()?;
        (self.choice == EncoderChoice::Hardware).then_some(cause)
    }

    /// How often a device has failed at work.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// The next picture becomes an IDR.
    pub fn force_idr(&mut self) {
        self.idr_wanted = true;
    }

    /// Encodes a picture. `done` gets what is finished, in order; hardware may hold some pictures back until later calls. An IDR, with SPS and
    /// PPS before it, is made of the first picture, of the first of a new size, when it was asked for, and once a second.
    ///
    /// # Errors
    /// Software cannot encode it either; the next picture is an IDR.
    pub fn encode(&mut self, frame: Arc<Frame>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        let idr = std::mem::take(&mut self.idr_wanted);
        self.choose(&frame, idr, done)?;
        match &mut self.active {
            Some(Active::Hardware(device)) => {
                if idr {
                    device.force_idr();
                }
                let encoded = device.encode(frame, done);
                self.or_software(encoded, done)
            }
            Some(Active::Software(software)) => {
                if idr {
                    software.force_idr();
                }
                done(software.encode(&frame)?);
                Ok(())
            }
            None => Ok(()), // `choose` has left none
        }
    }

    /// Everything that was given comes out before this returns.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn settle(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        let Some(Active::Hardware(device)) = &mut self.active else { return Ok(()) };
        let settled = device.settle(done);
        self.or_software(settled, done)
    }

    /// As [`Encoder::settle`], and gives the memory and the device back: nothing will come for a while.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn rest(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        if let Some(Active::Hardware(device)) = &mut self.active {
            let drained = device.drain(done);
            self.or_software(drained, done)?;
        }
        self.active = None;
        Ok(())
    }

    /// Makes sure that something is there for this picture.
    fn choose(&mut self, frame: &Frame, idr: bool, done: &mut dyn FnMut(AccessUnit)) -> Result<(), EncodeError> {
        let rested = self.failed.as_ref().is_none_or(|(since, _)| since.elapsed() >= RETRY);
        match &mut self.active {
            Some(Active::Hardware(device)) if device.fits(frame) => return Ok(()),
            Some(Active::Hardware(_)) => self.rest(done)?,
            Some(Active::Software(_)) if !(idr && rested && self.failed.is_some()) => return Ok(()),
            _ => {}
        }
        if self.choice != EncoderChoice::Software && rested {
            match (self.open)(self.settings, frame) {
                Ok(device) => {
                    tracing::info!("encoding {} by {}", frame.size(), device.path().display());
                    self.failed = None;
                    self.active = Some(Active::Hardware(device));
                    return Ok(());
                }
                Err(why) => {
                    if self.choice == EncoderChoice::Hardware {
                        tracing::warn!("encoding {} by software: {why}", frame.size());
                    } else if self.failed.is_none() {
                        tracing::info!("encoding {} by software: {why}", frame.size());
                    }
                    self.failed = Some((Instant::now(), why));
                }
            }
        }
        if !matches!(self.active, Some(Active::Software(_))) {
            self.active = Some(Active::Software(Box::new(software::Encoder::new(self.settings))));
        }
        Ok(())
    }

    /// After a failure of the device: software takes over what it left.
    fn or_software(
        &mut self,
        outcome: Result<(), M2mError>,
        done: &mut dyn FnMut(AccessUnit),
    ) -> Result<(), EncodeError> {
        let Err(error) = outcome else { return Ok(()) };
        tracing::error!("the hardware encoder has failed, software goes on: {error}");
        self.failures += 1;
        self.failed = Some((Instant::now(), error.to_string()));
        let mut software = Box::new(software::Encoder::new(self.settings));
        let left = match self.active.take() {
            Some(Active::Hardware(device)) => device.unfinished(),
            _ => Vec::new(),
        };
        for frame in left {
            done(software.encode(&frame)?);
        }
        self.active = Some(Active::Software(software));
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;

    use bytes::Bytes;
    use jiff::Timestamp;

    use super::*;
    use crate::media::{FramePool, Moment, Pts, Resolution};

    const SETTINGS: EncoderSettings = EncoderSettings { fps: 10, kbit: 400, full_range: true };
    const SIZE: Resolution = Resolution::new(160, 128);

    /// A device that holds one picture back, and fails with its fifth, which it has taken by then.
    struct Fragile {
        size: Resolution,
        held: VecDeque<Arc<Frame>>,
        given: u32,
        idr: bool,
    }

    impl Fragile {
        fn open(_: EncoderSettings, frame: &Frame) -> Result<Box<dyn Hardware>, String> {
            Ok(Box::new(Fragile { size: frame.size(), held: VecDeque::new(), given: 0, idr: true }))
        }
        fn give(&mut self, done: &mut dyn FnMut(AccessUnit)) {
            let frame = self.held.pop_front().unwrap();
            let bytes = Bytes::from_static(b"device");
            done(AccessUnit { bytes, size: self.size, moment: frame.moment, idr: std::mem::take(&mut self.idr) });
        }
    }

    impl Hardware for Fragile {
        fn fits(&self, frame: &Frame) -> bool {
            self.size == frame.size()
        }
        fn path(&self) -> PathBuf {
            "/dev/video11".into()
        }
        fn force_idr(&mut self) {
            self.idr = true;
        }
        fn encode(&mut self, frame: Arc<Frame>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
            self.held.push_back(frame);
            self.given += 1;
            if self.given == 5 {
                return Err(m2m::testing::error());
            }
            while self.held.len() > 1 {
                self.give(done);
            }
            Ok(())
        }
        fn settle(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
            while !self.held.is_empty() {
                self.give(done);
            }
            Ok(())
        }
        fn drain(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
            self.settle(done)
        }
        fn unfinished(self: Box<Self>) -> Vec<Arc<Frame>> {
            self.held.into()
        }
    }

    fn frame(size: Resolution, n: i64) -> Arc<Frame> {
        let moment = Moment { pts: Pts(n * 9_000), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(size, moment);
        frame.data_mut().fill(n as u8);
        Arc::new(frame)
    }

    /// For each unit: number of its picture, whether the device made it, whether it is an IDR.
    fn encode(encoder: &mut Encoder, size: Resolution, frames: std::ops::Range<i64>) -> Vec<(i64, bool, bool)> {
        let mut units = Vec::new();
        let mut done = |unit: AccessUnit| units.push((unit.moment.pts.0 / 9_000, unit.bytes == "device", unit.idr));
        for n in frames {
            encoder.encode(frame(size, n), &mut done).unwrap();
        }
        encoder.settle(&mut done).unwrap();
        units
    }

    #[test]
    fn what_a_failing_device_had_taken_is_encoded_by_software_from_an_idr_on() {
        let mut encoder = Encoder::with(EncoderChoice::Auto, SETTINGS, Fragile::open);
        let units = encode(&mut encoder, SIZE, 0..8);
        assert_eq!(units.iter().map(|unit| unit.0).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>());
        assert_eq!(
            units.iter().map(|unit| unit.1).collect::<Vec<_>>(),
            [true, true, true, false, false, false, false, false]
        );
        assert_eq!(units.iter().filter(|unit| unit.2).map(|unit| unit.0).collect::<Vec<_>>(), [0, 3]);
        assert_eq!((encoder.kind(), encoder.failures(), encoder.complaint()), (Some(Kind::Software), 1, None));
        // Too early for another try, even with the next event.
        let mut nothing = |_| panic!("all of it is out");
        encoder.rest(&mut nothing).unwrap();
        assert_eq!(encoder.kind(), None);
        encoder.force_idr();
        assert!(encode(&mut encoder, SIZE, 8..10).iter().all(|unit| !unit.1));
    }

    #[test]
    fn a_device_that_failed_gets_another_try_at_an_idr() {
        let mut encoder = Encoder::with(EncoderChoice::Hardware, SETTINGS, Fragile::open);
        encode(&mut encoder, SIZE, 0..6);
        assert!(encoder.complaint().is_some(), "it was asked for by name");
        let (since, _) = encoder.failed.as_mut().unwrap();
        *since = since.checked_sub(RETRY).unwrap();
        assert!(encode(&mut encoder, SIZE, 6..7).iter().all(|unit| !unit.1), "not between two IDRs");
        encoder.force_idr();
        assert_eq!(encode(&mut encoder, SIZE, 7..9), [(7, true, true), (8, true, false)]);
        assert_eq!((encoder.complaint(), encoder.failures()), (None, 1));
    }

    #[test]
    fn a_new_size_gets_what_was_under_way_out_first() {
        let mut encoder = Encoder::with(EncoderChoice::Auto, SETTINGS, Fragile::open);
        let mut units = Vec::new();
        let mut done = |unit: AccessUnit| units.push((unit.moment.pts.0 / 9_000, unit.size, unit.idr));
        encoder.encode(frame(SIZE, 0), &mut done).unwrap();
        encoder.encode(frame(SIZE.turned(), 1), &mut done).unwrap();
        encoder.rest(&mut done).unwrap();
        assert_eq!(units, [(0, SIZE, true), (1, SIZE.turned(), true)]);
    }

    #[test]
    fn software_by_name_and_where_there_is_nothing_else() {
        fn none(_: EncoderSettings, _: &Frame) -> Result<Box<dyn Hardware>, String> {
            Err("there is none".into())
        }
        let mut by_name = Encoder::with(EncoderChoice::Software, SETTINGS, Fragile::open);
        let mut lacking = Encoder::with(EncoderChoice::Auto, SETTINGS, none);
        let mut missed = Encoder::with(EncoderChoice::Hardware, SETTINGS, none);
        for encoder in [&mut by_name, &mut lacking, &mut missed] {
            assert_eq!(encode(encoder, SIZE, 0..2), [(0, false, true), (1, false, false)]);
            assert_eq!((encoder.kind(), encoder.failures()), (Some(Kind::Software), 0));
        }
        assert_eq!((lacking.complaint(), missed.complaint()), (None, Some("there is none")));
    }
}
