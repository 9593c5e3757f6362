//! H.264 by a V4L2 memory-to-memory device: the hardware encoder of the Raspberry Pi 3 and 4 (`bcm2835-codec`).
//!
//! The order of the calls is that of the kernel's "Memory-to-Memory Stateful Video Encoder Interface". A picture is copied once, into the
//! driver's memory, and what is made of it once out of it. Pictures overlap: while one is coded, the next is copied, so that what
//! `encode` gives may belong to a picture before. When software is used instead, and what happens to pictures under way then, is
//! [`super::encoder`]'s.
//!
//! | file | holds |
//! | --- | --- |
//! | `uapi` | the kernel's structures and numbers |
//! | `device` | calls and mapped buffers: all that is `unsafe` |
//! | `layout` | how a picture lies in a buffer, and its copy into it |

mod device;
mod layout;
mod uapi;
#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod vicodec;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::openh264::EncoderSettings;
use crate::h264::{self, nal, nal_type, nal_units};
use crate::media::{AccessUnit, Frame, Pts, Resolution};
use device::{Device, Queue, Taken};
use layout::Layout;
use uapi::PictureFormat;

/// Buffers of each queue: one being coded, one waiting, one being filled or read.
const BUFFERS: u32 = 3;
/// A device that gives nothing for so long hangs. A Pi takes 10 to 40 ms for a picture.
const PATIENCE: Duration = Duration::from_secs(1);
/// The longest time between two IDRs.
const LONGEST_GOP: Duration = Duration::from_secs(1);

/// The device cannot, or no longer, be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}: {cause}", path = .path.display())]
pub struct M2mError {
    path: PathBuf,
    cause: String,
}

/// What a device makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// What is recorded.
    H264,
    /// What the kernel's virtual codec `vicodec` makes: by it the queues are tested where there is no Raspberry Pi.
    Fwht,
}

/// A device that encodes.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Info {
    /// Its node.
    pub path: PathBuf,
    /// What it calls itself.
    pub card: String,
    /// Its driver.
    pub driver: String,
}

/// The machine's H.264 encoders, by number.
pub fn list() -> Vec<Info> {
    list_of(Coding::H264)
}

/// As [`list`], of a coding.
pub fn list_of(coding: Coding) -> Vec<Info> {
    let numbered = |path: PathBuf| {
        let number = path.file_name()?.to_str()?.strip_prefix("video")?.parse::<u32>().ok()?;
        Some((number, path))
    };
    let nodes = std::fs::read_dir("/dev").into_iter().flatten().flatten();
    let mut nodes: Vec<_> = nodes.filter_map(|entry| numbered(entry.path())).collect();
    nodes.sort();
    // What cannot be opened is another's, or not for us.
    nodes.into_iter().filter_map(|(_, path)| describe(&Device::open(&path).ok()?, path, coding)).collect()
}

/// `None` if it does not turn our pictures into this coding.
fn describe(device: &Device, path: PathBuf, coding: Coding) -> Option<Info> {
    let capability = device.capability().ok()?;
    let caps = if capability.capabilities & uapi::TELLS_DEVICE_CAPS != 0 {
        capability.device_caps
    } else {
        capability.capabilities
    };
    let wanted = uapi::CAN_M2M_MPLANE | uapi::CAN_STREAM;
    let makes = device.formats(uapi::CODED).contains(&coding.fourcc());
    let capable = caps & wanted == wanted && makes && device.formats(uapi::RAW).contains(&uapi::YU12);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
    capable.then(|| Info { path, card: text(&capability.card), driver: text(&capability.driver) })
}

impl Coding {
    fn fourcc(self) -> u32 {
        match self {
            Coding::H264 => uapi::H264,
            Coding::Fwht => uapi::FWHT,
        }
    }
}

/// A picture that the device has.
struct UnderWay {
    stamp: u64,
    frame: Arc<Frame>,
    /// It was asked for as an IDR.
    forced: bool,
}

/// Encodes pictures of one size. High profile, no B pictures, SPS and PPS with every IDR.
pub struct Encoder {
    path: PathBuf,
    coding: Coding,
    settings: EncoderSettings,
    size: Resolution,
    device: Device,
    layout: Layout,
    raw: Queue,
    coded: Queue,
    under_way: VecDeque<UnderWay>,
    stamp: u64,
    idr_wanted: bool,
    /// When the last IDR came out; `None` before the first.
    last_idr: Option<Pts>,
    /// The driver lacks the control: IDRs are forced by starting anew.
    cannot_force: bool,
    /// SPS and PPS as they last came.
    parameter_sets: Vec<u8>,
}

impl Encoder {
    /// Sets a device up for pictures of a size.
    ///
    /// # Errors
    /// It is not there, busy, or does not do this size: let software do it.
    pub fn open(path: &Path, coding: Coding, settings: EncoderSettings, size: Resolution) -> Result<Self, M2mError> {
        let fault = |cause: String| M2mError { path: path.to_owned(), cause };
        let step = |what: &'static str| move |error: io::Error| fault(format!("{what}: {error}"));
        let device = Device::open(path).map_err(step("it cannot be opened"))?;
        if describe(&device, path.to_owned(), coding).is_none() {
            return Err(fault("it does not encode".into()));
        }
        let settings = EncoderSettings { fps: settings.fps.max(1), ..settings };
        let (width, height) = (size.width, size.height);
        let mut wanted = PictureFormat {
            width,
            height,
            pixelformat: coding.fourcc(),
            field: uapi::PROGRESSIVE,
            num_planes: 1,
            ..PictureFormat::default()
        };
        // An IDR at the highest rate is smaller than half of the raw picture.
        wanted.plane_fmt[0].sizeimage = (Frame::len_of(size) as u32 / 2).max(1 << 19);
        let given = device.set_format(uapi::CODED, wanted).map_err(step("its coded format"))?;
        if given.pixelformat != wanted.pixelformat {
            return Err(fault("it does not give the coded format".into()));
        }
        wanted.pixelformat = uapi::YU12;
        wanted.plane_fmt[0] = uapi::PlaneFormat { bytesperline: width, ..Default::default() };
        let given = device.set_format(uapi::RAW, wanted).map_err(step("its raw format"))?;
        if given.pixelformat != uapi::YU12 || given.num_planes != 1 || given.width < width || given.height < height {
            let (width, height) = (given.width, given.height);
            return Err(fault(format!("it does not take pictures of {size}, only of {width}x{height}")));
        }
        if (given.width, given.height) != (width, height) {
            device.crop(width, height).map_err(step("the size's rest cannot be cut off"))?;
        }
        let (stride, rows) = (given.plane_fmt[0].bytesperline as usize, given.height as usize);
        let layout = Layout { stride, rows, to_studio: settings.full_range };
        configure(&device, path, coding, &settings, size);
        let raw = device.request(uapi::RAW, BUFFERS).map_err(step("its raw buffers"))?;
        let coded = device.request(uapi::CODED, BUFFERS).map_err(step("its coded buffers"))?;
        let mut encoder = Self {
            path: path.to_owned(),
            coding,
            settings,
            size,
            device,
            layout,
            raw,
            coded,
            under_way: VecDeque::new(),
            stamp: 0,
            idr_wanted: false,
            last_idr: None,
            cannot_force: false,
            parameter_sets: Vec::new(),
        };
        if (0..encoder.raw.len()).any(|index| encoder.raw.bytes(index).len() < layout.bytes()) {
            return Err(fault("its raw buffers are too small".into()));
        }
        encoder.start().map_err(step("its queues cannot be started"))?;
        Ok(encoder)
    }

    /// The size it was opened for.
    pub fn size(&self) -> Resolution {
        self.size
    }

    /// The device's node.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next picture becomes an IDR.
    pub fn force_idr(&mut self) {
        self.idr_wanted = true;
    }

    /// Pictures that were given and have not come out: after an error, what software has still to encode.
    pub fn unfinished(self) -> Vec<Arc<Frame>> {
        self.under_way.into_iter().map(|picture| picture.frame).collect()
    }

    /// Encodes a picture. `done` gets what is finished, in order: this picture, or those before it. Waits while all buffers are in use.
    ///
    /// # Errors
    /// The device has failed: [`Encoder::unfinished`] has what it took with it.
    pub fn encode(&mut self, frame: Arc<Frame>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        debug_assert_eq!(frame.size(), self.size);
        let half_a_picture = Duration::from_secs(1) / (2 * self.settings.fps);
        let due = |last: Pts| frame.moment.pts.since(last) >= LONGEST_GOP.saturating_sub(half_a_picture);
        let forced = self.last_idr.is_some_and(due) || self.idr_wanted;
        // From here on it is one of those that `unfinished` gives.
        self.stamp += 1;
        let (stamp, first) = (self.stamp, self.stamp == 1);
        self.under_way.push_back(UnderWay { stamp, frame: Arc::clone(&frame), forced: forced || first });
        if forced && !first {
            self.prepare_idr(stamp, done)?;
        }
        self.idr_wanted = false;
        let index = loop {
            self.collect(done)?;
            match self.raw.idle() {
                Some(index) => break index,
                None => self.wait("takes no picture")?,
            }
        };
        let bytes = self.layout.write(&frame, self.raw.bytes(index));
        let queued = self.device.queue(&mut self.raw, index, bytes, stamp);
        queued.map_err(|error| self.fault(format!("it refuses a picture: {error}")))?;
        self.collect(done).map(drop)
    }

    /// Waits until everything that was given has come out.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn settle(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        self.settle_to(None, done)
    }

    /// The end: everything comes out, by the protocol's own way.
    ///
    /// # Errors
    /// As [`Encoder::encode`].
    pub fn drain(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        if self.stamp == 0 {
            return Ok(());
        }
        self.stop(None, done)
    }

    /// Makes the picture with this stamp, the newest and not yet queued, an IDR and no other.
    fn prepare_idr(&mut self, stamp: u64, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        // The control holds for whatever the device takes up next.
        self.settle_to(Some(stamp), done)?;
        if !self.cannot_force && self.device.set_control(uapi::FORCE_KEY_FRAME, 1).is_err() {
            self.cannot_force = true;
        }
        if self.cannot_force {
            self.stop(Some(stamp), done)?;
            self.start().map_err(|error| self.fault(format!("its queues cannot be started again: {error}")))?;
        }
        Ok(())
    }

    /// Waits until nothing is under way, but for the picture that is not yet queued.
    fn settle_to(&mut self, but: Option<u64>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        loop {
            self.collect(done)?;
            if self.under_way.front().is_none_or(|picture| Some(picture.stamp) == but) {
                return Ok(());
            }
            self.wait("gives no picture")?;
        }
    }

    /// Drains by `V4L2_ENC_CMD_STOP` and stops both queues.
    fn stop(&mut self, but: Option<u64>, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        let command = self.device.command(uapi::COMMAND_STOP);
        command.map_err(|error| self.fault(format!("it cannot be drained: {error}")))?;
        let by = Instant::now() + PATIENCE;
        while !self.collect(done)? {
            if Instant::now() > by {
                return Err(self.fault("it never comes to its end".into()));
            }
            self.wait("does not come to its end")?;
        }
        self.take_raw()?;
        if self.under_way.front().is_some_and(|picture| Some(picture.stamp) != but) {
            return Err(self.fault("it ended and kept a picture".into()));
        }
        for queue in [&mut self.raw, &mut self.coded] {
            let stopped = self.device.stream(queue, false);
            stopped
                .map_err(|error| M2mError { path: self.path.clone(), cause: format!("it does not stop: {error}") })?;
        }
        Ok(())
    }

    fn start(&mut self) -> io::Result<()> {
        while let Some(index) = self.coded.idle() {
            self.device.queue(&mut self.coded, index, 0, 0)?;
        }
        self.device.stream(&mut self.raw, true)?;
        self.device.stream(&mut self.coded, true)
    }

    /// Takes everything that is finished, without waiting; whether it was the last.
    fn collect(&mut self, done: &mut dyn FnMut(AccessUnit)) -> Result<bool, M2mError> {
        self.take_raw()?;
        loop {
            let taken = self.device.dequeue(&mut self.coded);
            let Some(taken) = taken.map_err(|error| self.fault(format!("it gives nothing back: {error}")))? else {
                return Ok(false);
            };
            let last = taken.last;
            self.finish(taken, done)?;
            if last {
                return Ok(true);
            }
        }
    }

    fn take_raw(&mut self) -> Result<(), M2mError> {
        loop {
            match self.device.dequeue(&mut self.raw) {
                Ok(Some(taken)) if taken.damaged => return Err(self.fault("it could not encode a picture".into())),
                Ok(Some(_)) => {}
                Ok(None) => return Ok(()),
                Err(error) => return Err(self.fault(format!("it gives nothing back: {error}"))),
            }
        }
    }

    /// Turns a coded buffer into an access unit, and gives the buffer back to the driver.
    fn finish(&mut self, taken: Taken, done: &mut dyn FnMut(AccessUnit)) -> Result<(), M2mError> {
        if taken.damaged {
            return Err(self.fault("it could not encode a picture".into()));
        }
        let content = &self.coded.bytes(taken.index)[taken.bytes.clone()];
        let unit = match self.coding {
            Coding::Fwht => content.get(20..24).map(|flags| {
                // The sixth word of its header, big-endian.
                let flags = flags.iter().fold(0, |flags, byte| flags << 8 | u32::from(*byte));
                (Bytes::copy_from_slice(content), flags & uapi::FWHT_I_FRAME != 0)
            }),
            Coding::H264 => access_unit(content, &mut self.parameter_sets),
        };
        if !taken.last {
            let queued = self.device.queue(&mut self.coded, taken.index, 0, 0);
            queued.map_err(|error| self.fault(format!("it takes no buffer: {error}")))?;
        }
        let Some((bytes, idr)) = unit else { return Ok(()) };
        // Pictures that it left out on the way are as lost as if it had failed.
        let Some(picture) = self.under_way.pop_front_if(|picture| picture.stamp == taken.stamp) else {
            return Err(self.fault("it left a picture out".into()));
        };
        if picture.forced && !idr {
            self.under_way.push_front(picture);
            return Err(self.fault("it gives no IDR when asked for one".into()));
        }
        let moment = picture.frame.moment;
        if idr {
            self.last_idr = Some(moment.pts);
        }
        done(AccessUnit { bytes, size: self.size, moment, idr });
        Ok(())
    }

    fn wait(&self, meanwhile: &str) -> Result<(), M2mError> {
        match self.device.wait(PATIENCE) {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.fault(format!("it {meanwhile}"))),
            Err(error) => Err(self.fault(error.to_string())),
        }
    }

    fn fault(&self, cause: String) -> M2mError {
        M2mError { path: self.path.clone(), cause }
    }
}

/// Sets what the driver has of rate, GOP, profile and headers. What it lacks is said once; what matters of it, shows in what comes out.
fn configure(device: &Device, path: &Path, coding: Coding, settings: &EncoderSettings, size: Resolution) {
    let (bits, gop) = (settings.kbit.saturating_mul(1000).min(i32::MAX as u32) as i32, settings.fps as i32);
    let macroblocks = size.width.div_ceil(16) * size.height.div_ceil(16);
    let h264 = [
        ("B pictures", uapi::B_FRAMES, 0),
        ("bit rate mode", uapi::BITRATE_MODE, 0),
        ("bit rate", uapi::BITRATE, bits),
        ("SPS and PPS with each IDR", uapi::REPEAT_SEQ_HEADER, 1),
        ("headers with their picture", uapi::HEADER_MODE, 1),
        ("profile", uapi::H264_PROFILE, uapi::PROFILE_HIGH),
        ("level", uapi::H264_LEVEL, uapi::level(macroblocks, settings.fps)),
        ("period of IDRs", uapi::H264_I_PERIOD, gop),
    ];
    let any = [("GOP", uapi::GOP_SIZE, gop)];
    let lacking = |(name, id, value): &(&'static str, u32, i32)| device.set_control(*id, *value).err().map(|_| *name);
    let mut lacks: Vec<_> = any.iter().filter_map(lacking).collect();
    if coding == Coding::H264 {
        lacks.extend(h264.iter().filter_map(lacking));
    }
    if device.set_rate(settings.fps).is_err() {
        lacks.push("frame rate");
    }
    if !lacks.is_empty() {
        tracing::debug!("{}: the driver does not set: {}", path.display(), lacks.join(", "));
    }
}

/// A buffer of H.264 as the house has access units: start codes of four bytes, no delimiters, SPS and PPS before each IDR. `None` for a
/// buffer without a picture: parameter sets that come by themselves are kept.
fn access_unit(buffer: &[u8], parameter_sets: &mut Vec<u8>) -> Option<(Bytes, bool)> {
    let kind = |unit: &&[u8]| nal_type(unit[0]);
    let is_set = |unit: &&[u8]| matches!(nal_type(unit[0]), nal::SPS | nal::PPS);
    if nal_units(buffer).any(|unit| kind(&unit) == nal::SPS) {
        parameter_sets.clear();
        nal_units(buffer).filter(is_set).for_each(|unit| h264::append(parameter_sets, unit));
    }
    let idr = nal_units(buffer).any(|unit| kind(&unit) == nal::IDR);
    if !idr && !nal_units(buffer).any(|unit| (nal::SLICE..nal::IDR).contains(&kind(&unit))) {
        return None;
    }
    let mut bytes = Vec::with_capacity(buffer.len() + parameter_sets.len() + 16);
    if idr {
        bytes.extend_from_slice(parameter_sets);
    }
    let rest = nal_units(buffer).filter(|unit| !is_set(unit) && kind(unit) != nal::AUD);
    rest.for_each(|unit| h264::append(&mut bytes, unit));
    Some((Bytes::from(bytes), idr))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_a_driver_gives_becomes_an_access_unit() {
        let mut sets = Vec::new();
        // Parameter sets by themselves, with start codes of three bytes and a delimiter.
        assert_eq!(access_unit(&[0, 0, 1, 9, 0xf0, 0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2], &mut sets), None);
        let (idr, is_idr) = access_unit(&[0, 0, 0, 1, 9, 0xf0, 0, 0, 1, 0x65, 3], &mut sets).unwrap();
        assert_eq!((&idr[..], is_idr), (&[0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3][..], true));
        let (slice, is_idr) = access_unit(&[0, 0, 0, 1, 0x41, 4], &mut sets).unwrap();
        assert_eq!((&slice[..], is_idr), (&[0, 0, 0, 1, 0x41, 4][..], false));
        // The next IDR came without: it gets what is known. One that brings its own gets these.
        assert_eq!(access_unit(&[0, 0, 0, 1, 0x65, 3], &mut sets).unwrap().0, idr);
        let whole = [0, 0, 0, 1, 0x67, 7, 0, 0, 0, 1, 0x68, 8, 0, 0, 0, 1, 6, 5, 0, 0, 0, 1, 0x65, 9];
        assert_eq!(access_unit(&whole, &mut sets).unwrap(), (Bytes::copy_from_slice(&whole), true));
        assert_eq!(access_unit(&[], &mut sets), None);
        assert_eq!(access_unit(b"rubbish", &mut sets), None);
    }

    #[test]
    fn a_file_that_is_no_encoder_is_refused_by_name() {
        let settings = EncoderSettings { fps: 30, kbit: 1000, full_range: false };
        for (path, why) in [("/nonexistent/video9", "opened"), ("/dev/null", "does not encode")] {
            let error =
                Encoder::open(Path::new(path), Coding::H264, settings, Resolution::new(640, 480)).err().unwrap();
            assert!(error.to_string().contains(path) && error.to_string().contains(why), "{error}");
        }
    }
}

/// For tests of what stands before this module.
#[cfg(test)]
pub(super) mod testing {
    use super::*;

    pub(in crate::codec) fn error() -> M2mError {
        M2mError { path: "/dev/video11".into(), cause: "it gives no picture".into() }
    }
}
