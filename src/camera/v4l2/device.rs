//! The V4L2 calls: the only user of the `v4l` crate.
//!
//! The crate panics where a driver answers with something it does not know (a new control type, a name that is not
//! UTF-8, an error on closing): every call that can is made through [`guarded`], which turns that into an error.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use v4l::buffer::{Flags, Metadata, Type};
use v4l::capability::Flags as Capabilities;
use v4l::control::{Control as RawControl, Flags as ControlFlags, MenuItem, Type as ControlType, Value};
use v4l::format::FourCC;
use v4l::frameinterval::FrameIntervalEnum;
use v4l::framesize::FrameSizeEnum;
use v4l::io::traits::{CaptureStream, Stream as _};
use v4l::prelude::MmapStream;
use v4l::video::Capture as _;
use v4l::video::capture::Parameters;
use v4l::{Format, Fraction};

use super::DeviceInfo;
use super::choice::{Choice, Offer, PixelFormat, Sizes, choose};
use super::controls::{self, Control};
use super::unpack::{least_stride, unpack};
use crate::camera::stamp::Stamper;
use crate::camera::{Camera, CameraError, Capture, Controls, STALL_S};
use crate::media::{FramePool, Jpeg, Pts, Resolution};
use crate::mjpeg;
use crate::settings::{PictureSettings, Setting};

/// Mapped buffers: one being read, one being filled, and two for a late reader.
const BUFFERS: u32 = 4;

/// A device that streams.
pub struct Device {
    what: String,
    /// Kept for the controls, which must not keep an unplugged device open themselves.
    _handle: Arc<v4l::Device>,
    controls: Arc<DeviceControls>,
    /// Gone only while it is being dropped.
    stream: Option<MmapStream<'static>>,
    format: PixelFormat,
    size: Resolution,
    stride: usize,
    pool: FramePool,
    stamper: Stamper,
}

impl Device {
    /// See [`super::open`].
    pub fn open(
        path: &Path,
        size: Resolution,
        fps: u32,
        pool: &FramePool,
        stamper: Stamper,
    ) -> Result<Self, CameraError> {
        let what = path.display().to_string();
        let unavailable = |cause: String| CameraError::Unavailable { what: what.clone(), cause };
        let failed = |step: &str| {
            let what = what.clone();
            let step = step.to_owned();
            move |error: io::Error| CameraError::Unavailable { cause: explained(&step, &error, &what), what }
        };
        let handle = Arc::new(open_node(path).map_err(failed("opening"))?);
        let info = read_info(&handle, path).map_err(failed("asking what it is"))?;
        let Some(choice) = choose(&info.offers, size, fps) else {
            let formats = info.other_formats.join(", ");
            return Err(unavailable(format!(
                "it offers none of MJPG, YU12, NV12, YUYV and GREY (but: {formats}): another node of the same camera may"
            )));
        };
        if info.driver == "bm2835 mmal" && choice.size.pixels() > 1280 * 720 {
            tracing::warn!(
                "{what}: the driver takes sizes above 1280x720 as stills, slowly, unless max_video_width and \
                 max_video_height of the module bcm2835_v4l2 are set to more"
            );
        }
        let format = set_format(&handle, choice).map_err(failed("setting the format"))?;
        let given = PixelFormat::from_fourcc(format.fourcc.repr);
        if given != Some(choice.format) {
            return Err(unavailable(format!("it was asked for {} and gives {}", choice.format.name(), format.fourcc)));
        }
        // I420 has even sides.
        let real = Resolution::new(format.width & !1, format.height & !1);
        if real.width < 16 || real.height < 16 {
            return Err(unavailable(format!("it gives pictures of {real}")));
        }
        // Some drivers cannot be told a rate; they still stream.
        let rate = guarded(|| handle.set_params(&Parameters::new(interval_of(choice.fps))));
        let rate = rate.ok().map(|params| rate_of(params.interval));
        let name = choice.format.name();
        match rate {
            Some(rate) => tracing::info!("{what} ({}): {name} {real} at {rate:.1} frames a second", info.card),
            None => tracing::info!("{what} ({}): {name} {real} at a rate of its own", info.card),
        }
        if real != size {
            tracing::warn!("{what}: {size} was asked for, {real} is the nearest it offers");
        }
        if rate.is_some_and(|rate| rate < f64::from(fps) * 0.99) {
            tracing::warn!("{what}: {fps} frames a second were asked for; `watchtower probe` lists what it offers");
        }

        let mut stream = guarded(|| MmapStream::with_buffers(&handle, Type::VideoCapture, BUFFERS))
            .map_err(failed("getting buffers"))?;
        stream.set_timeout(Duration::from_secs(STALL_S));
        Ok(Self {
            controls: Arc::new(DeviceControls {
                what: what.clone(),
                device: Arc::downgrade(&handle),
                controls: info.controls,
            }),
            what,
            _handle: handle,
            stream: Some(stream),
            format: choice.format,
            size: real,
            stride: (format.stride as usize).max(least_stride(choice.format, format.width)),
            pool: pool.clone(),
            stamper,
        })
    }
}

impl Camera for Device {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let Self { what, stream: Some(stream), format, size, stride, pool, stamper, .. } = self else {
            return Err(CameraError::Lost { what: self.what.clone(), cause: "it has been closed".to_owned() });
        };
        loop {
            let error = match CaptureStream::next(stream) {
                Ok((buffer, meta)) => {
                    let moment = match driver_pts(meta) {
                        Some(pts) => stamper.at(pts),
                        None => stamper.now(),
                    };
                    let picture = checked(buffer, meta).and_then(|bytes| match format {
                        PixelFormat::Mjpg => {
                            let (length, size) = mjpeg::complete(bytes).map_err(|error| error.to_string())?;
                            let bytes = Bytes::copy_from_slice(&bytes[..length]);
                            Ok(Capture::Jpeg(Jpeg { bytes, size, moment }))
                        }
                        raw => {
                            let mut frame = pool.frame(*size, moment);
                            unpack(*raw, bytes, *stride, &mut frame)?;
                            Ok(Capture::Raw(frame))
                        }
                    });
                    return picture.map_err(|cause| CameraError::BadPicture { what: what.clone(), cause });
                }
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::TimedOut => {
                    return Err(CameraError::Stalled { what: what.clone(), silent_s: STALL_S });
                }
                // All buffers are queued, and the crate would queue the last one again: take one out, whose picture
                // is lost.
                io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock if CaptureStream::dequeue(stream).is_ok() => {}
                _ => {
                    let cause = explained("taking a picture", &error, what);
                    return Err(CameraError::Lost { what: what.clone(), cause });
                }
            }
        }
    }

    fn controls(&self) -> Option<Arc<dyn Controls>> {
        Some(Arc::clone(&self.controls) as Arc<dyn Controls>)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // The crate's own drop panics when a driver refuses to stop, and again when it then refuses to take the buffers
        // back, which would end the program. A device that refuses is leaked instead.
        let Some(mut stream) = self.stream.take() else { return };
        match stream.stop() {
            Err(error) if Errno::from_io_error(&error) != Some(Errno::NODEV) => {
                tracing::warn!("{}: it cannot be stopped and stays open: {error}", self.what);
                std::mem::forget(stream);
            }
            _ => {
                let _ = guarded(|| {
                    drop(stream);
                    Ok(())
                });
            }
        }
    }
}

/// Settings that the driver does.
struct DeviceControls {
    what: String,
    device: Weak<v4l::Device>,
    controls: Vec<Control>,
}

impl Controls for DeviceControls {
    fn settings(&self) -> Vec<Setting> {
        controls::offered(&self.controls)
    }

    fn apply(&self, settings: &PictureSettings) -> Result<(), Vec<String>> {
        let Some(device) = self.device.upgrade() else {
            return Err(vec![format!("{}: the camera is not open", self.what)]);
        };
        let failures: Vec<String> = controls::plan(&self.controls, settings)
            .into_iter()
            .filter_map(|write| {
                let control = RawControl { id: write.id, value: Value::Integer(write.value) };
                let error = guarded(|| device.set_control(control)).err()?;
                Some(format!("{}: {} cannot be set to {}: {error}", self.what, write.name, write.value))
            })
            .collect();
        if failures.is_empty() { Ok(()) } else { Err(failures) }
    }
}

/// See [`super::describe`].
pub fn describe(path: &Path) -> Result<DeviceInfo, CameraError> {
    let what = path.display().to_string();
    let info = open_node(path).and_then(|device| read_info(&device, path));
    info.map_err(|error| CameraError::Unavailable { cause: explained("asking what it is", &error, &what), what })
}

/// Turns the crate's panics into errors.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(call))
        .unwrap_or_else(|_| Err(io::Error::other("the driver answers with something the V4L2 library does not know")))
}

fn open_node(path: &Path) -> io::Result<v4l::Device> {
    guarded(|| v4l::Device::with_path(path))
}

/// What went wrong in which step, and where it can be known, what to do.
fn explained(step: &str, error: &io::Error, what: &str) -> String {
    let remedy = match Errno::from_io_error(error) {
        Some(Errno::NOENT) => {
            "there is no such device: is the camera plugged in? `watchtower probe` lists what is there"
        }
        Some(Errno::ACCESS | Errno::PERM) => "no permission: the daemon's user has to be in the group video",
        Some(Errno::BUSY) => {
            return format!("another program uses it; `fuser -v {what}` says which, and it has to be stopped");
        }
        Some(Errno::NODEV | Errno::NXIO) => "it has been unplugged",
        Some(Errno::IO) => "input/output error: a bad cable, too little power, or the driver has lost the camera",
        Some(Errno::NOTTY | Errno::INVAL) if step == "asking what it is" => "it is no camera",
        _ => return format!("{step}: {error}"),
    };
    remedy.to_owned()
}

/// The picture's bytes in a mapped buffer.
fn checked<'a>(buffer: &'a [u8], meta: &Metadata) -> Result<&'a [u8], String> {
    if meta.flags.contains(Flags::ERROR) {
        return Err("the driver marks the picture as damaged".to_owned());
    }
    match buffer.get(..meta.bytesused as usize) {
        None | Some([]) => Err(format!("an empty picture ({} bytes)", meta.bytesused)),
        Some(bytes) => Ok(bytes),
    }
}

/// When the driver says the picture was taken, if it says so on our clock.
fn driver_pts(meta: &Metadata) -> Option<Pts> {
    let monotonic = meta.flags & Flags::TIMESTAMP_MASK == Flags::TIMESTAMP_MONOTONIC;
    let micros = meta.timestamp.sec * 1_000_000 + meta.timestamp.usec;
    (monotonic && micros > 0).then(|| Pts::from_micros(micros))
}

fn set_format(device: &v4l::Device, choice: Choice) -> io::Result<Format> {
    let wanted = Format::new(choice.size.width, choice.size.height, FourCC::new(&choice.format.fourcc()));
    let format = guarded(|| device.set_format(&wanted))?;
    if choice.format == PixelFormat::Mjpg && format.fourcc.repr != choice.format.fourcc() {
        // Some drivers know it by its other name only.
        let wanted = Format::new(choice.size.width, choice.size.height, FourCC::new(b"JPEG"));
        return guarded(|| device.set_format(&wanted));
    }
    Ok(format)
}

/// An interval counts seconds, so a rate is its inverse; in thousandths, which NTSC's rates need.
fn interval_of(fps: f64) -> Fraction {
    Fraction::new(1000, (fps * 1000.0).round().max(1.0) as u32)
}

fn rate_of(interval: Fraction) -> f64 {
    f64::from(interval.denominator) / f64::from(interval.numerator.max(1))
}

fn read_info(device: &v4l::Device, path: &Path) -> io::Result<DeviceInfo> {
    let caps = guarded(|| device.query_caps())?;
    if !caps.capabilities.contains(Capabilities::VIDEO_CAPTURE | Capabilities::STREAMING) {
        return Err(Errno::NOTTY.into());
    }
    let mut offers = Vec::new();
    let mut other_formats = Vec::new();
    for description in guarded(|| device.enum_formats())? {
        match PixelFormat::from_fourcc(description.fourcc.repr) {
            Some(format) => read_offers(device, format, description.fourcc, &mut offers)?,
            None => other_formats.push(description.fourcc.to_string()),
        }
    }
    Ok(DeviceInfo {
        path: path.to_owned(),
        card: caps.card,
        driver: caps.driver,
        bus: caps.bus,
        offers,
        other_formats,
        // A camera without readable controls is still a camera.
        controls: guarded(|| device.query_controls())
            .map(|all| all.iter().filter_map(control_of).collect())
            .unwrap_or_default(),
    })
}

fn read_offers(device: &v4l::Device, format: PixelFormat, fourcc: FourCC, offers: &mut Vec<Offer>) -> io::Result<()> {
    let sizes = match guarded(|| device.enum_framesizes(fourcc)) {
        Ok(sizes) => sizes.into_iter().map(|size| sizes_of(&size.size)).collect(),
        // A driver that does not list its sizes has the one that is set.
        Err(_) => {
            let now = guarded(|| device.format())?;
            vec![Sizes::One(Resolution::new(now.width, now.height))]
        }
    };
    for sizes in sizes {
        let largest = match sizes {
            Sizes::One(size) => size,
            Sizes::Range { max, .. } => max,
        };
        let intervals = guarded(|| device.enum_frameintervals(fourcc, largest.width, largest.height));
        let rates = intervals
            .unwrap_or_default()
            .iter()
            .flat_map(|interval| match &interval.interval {
                FrameIntervalEnum::Discrete(interval) => vec![rate_of(*interval)],
                FrameIntervalEnum::Stepwise(steps) => within(rate_of(steps.max), rate_of(steps.min)),
            })
            .collect();
        offers.push(Offer { format, sizes, rates });
    }
    Ok(())
}

/// The usual rates of a range that allows any, and its ends.
fn within(least: f64, most: f64) -> Vec<f64> {
    let usual = (1..=12).map(|fives| 5.0 * f64::from(fives)).filter(|rate| (least..=most).contains(rate));
    [least].into_iter().chain(usual).chain([most]).collect()
}

fn sizes_of(size: &FrameSizeEnum) -> Sizes {
    match size {
        FrameSizeEnum::Discrete(size) => Sizes::One(Resolution::new(size.width, size.height)),
        FrameSizeEnum::Stepwise(range) => Sizes::Range {
            min: Resolution::new(range.min_width, range.min_height),
            max: Resolution::new(range.max_width, range.max_height),
            step: Resolution::new(range.step_width.max(1), range.step_height.max(1)),
        },
    }
}

/// A control that can be set to a number; `None` for the others.
fn control_of(raw: &v4l::control::Description) -> Option<Control> {
    let settable = !raw.flags.intersects(ControlFlags::DISABLED | ControlFlags::READ_ONLY);
    let number =
        matches!(raw.typ, ControlType::Integer | ControlType::Boolean | ControlType::Menu | ControlType::IntegerMenu);
    (settable && number).then(|| Control {
        id: raw.id,
        name: raw.name.clone(),
        min: raw.minimum,
        max: raw.maximum,
        step: i64::try_from(raw.step).unwrap_or(1).max(1),
        default: raw.default,
        menu: raw
            .items
            .iter()
            .flatten()
            .map(|(index, item)| match item {
                MenuItem::Name(_) => (i64::from(*index), i64::from(*index)),
                MenuItem::Value(value) => (i64::from(*index), *value),
            })
            .collect(),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use v4l::Timestamp;

    use super::*;

    #[test]
    fn a_buffer_is_checked_before_it_is_used() {
        let meta = |bytesused, flags| Metadata { bytesused, flags, ..Metadata::default() };
        let buffer = [1, 2, 3, 4];
        assert_eq!(checked(&buffer, &meta(3, Flags::MAPPED)), Ok(&buffer[..3]));
        assert!(checked(&buffer, &meta(0, Flags::MAPPED)).is_err());
        assert!(checked(&buffer, &meta(5, Flags::MAPPED)).is_err());
        assert!(checked(&buffer, &meta(3, Flags::MAPPED | Flags::ERROR)).is_err());
    }

    #[test]
    fn the_drivers_time_counts_when_it_is_on_our_clock() {
        let meta = |sec, usec, flags| Metadata { timestamp: Timestamp::new(sec, usec), flags, ..Metadata::default() };
        let pts = driver_pts(&meta(2, 500_000, Flags::TIMESTAMP_MONOTONIC | Flags::TSTAMP_SRC_SOE));
        assert_eq!(pts, Some(Pts(225_000)));
        assert_eq!(driver_pts(&meta(2, 0, Flags::TIMESTAMP_COPY)), None);
        assert_eq!(driver_pts(&meta(0, 0, Flags::TIMESTAMP_MONOTONIC)), None);
    }

    #[test]
    fn rates_and_intervals_are_each_others_inverse() {
        for fps in [1.0, 15.0, 29.97, 90.0] {
            assert!((rate_of(interval_of(fps)) - fps).abs() < 1e-9);
        }
        assert_eq!(within(2.0, 12.0), [2.0, 5.0, 10.0, 12.0]);
    }

    #[test]
    fn a_panic_of_the_library_is_an_error() {
        let error =
            guarded(|| -> io::Result<()> { Err::<(), ()>(()).map_err(|()| io::Error::other("x")) }).unwrap_err();
        assert_eq!(error.to_string(), "x");
        let error = guarded(|| -> io::Result<()> { std::panic::resume_unwind(Box::new(())) }).unwrap_err();
        assert!(error.to_string().contains("does not know"));
    }

    #[test]
    fn what_is_no_camera_is_told_with_the_remedy() {
        for (path, part) in [("/dev/video-none", "is the camera plugged in"), ("/dev/null", "it is no camera")] {
            let message = describe(Path::new(path)).unwrap_err().to_string();
            assert!(message.starts_with(path) && message.contains(part), "{message}");
        }
        let busy = io::Error::from(Errno::BUSY);
        assert!(explained("setting the format", &busy, "/dev/video0").contains("fuser -v /dev/video0"));
    }
}
