//! Plain data that travels through the pipeline: times, sizes, pictures, access units.
//!
//! Nothing here decides or touches the world. How pictures are made is in `codec`, how they are kept
//! for a while in `ring`.

use std::fmt;
use std::ops::{Add, Sub};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

/// Presentation time: ticks of 1/90000 s on a monotonic clock (`CLOCK_MONOTONIC` for live cameras,
/// the clip's own time in a replay). Only differences mean anything; wall time is in [`Moment::wall`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pts(pub i64);

impl Pts {
    /// Ticks in a second.
    pub const HZ: i64 = 90_000;
    /// Later than every picture.
    pub const MAX: Pts = Pts(i64::MAX);
    /// Earlier than every picture.
    pub const MIN: Pts = Pts(i64::MIN);

    /// From microseconds on the same clock, rounded down to a tick.
    pub const fn from_micros(us: i64) -> Self {
        // 90000/10^6 = 9/100. In 128 bits, so that no uptime overflows.
        Pts((us as i128 * 9 / 100) as i64)
    }

    /// From seconds on the same clock.
    pub fn from_secs_f64(s: f64) -> Self {
        Pts((s * Self::HZ as f64).round() as i64)
    }

    /// Seconds on the same clock.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / Self::HZ as f64
    }

    /// The time from `earlier` to `self`; zero when `earlier` is the later one.
    pub fn since(self, earlier: Pts) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0).max(0);
        Duration::from_nanos((ticks as i128 * 100_000 / 9) as u64)
    }
}

fn ticks(d: Duration) -> i64 {
    (d.as_nanos() * 9 / 100_000) as i64
}

impl Add<Duration> for Pts {
    type Output = Pts;
    fn add(self, d: Duration) -> Pts {
        Pts(self.0.saturating_add(ticks(d)))
    }
}

impl Sub<Duration> for Pts {
    type Output = Pts;
    fn sub(self, d: Duration) -> Pts {
        Pts(self.0.saturating_sub(ticks(d)))
    }
}

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Resolution {
    /// Pixels across.
    pub width: u32,
    /// Pixels down.
    pub height: u32,
}

impl Resolution {
    /// A resolution of `width` by `height` pixels.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Width and height exchanged.
    pub const fn turned(self) -> Self {
        Self { width: self.height, height: self.width }
    }

    /// Number of pixels.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The largest even size with this one's shape that fits into `bounds`, turned with it; never
    /// larger than this one, since enlarging adds bytes and no detail.
    pub fn fitted_into(self, bounds: Resolution) -> Self {
        let turned = (self.width > self.height) != (bounds.width > bounds.height);
        let bounds = if turned { bounds.turned() } else { bounds };
        let scale = (bounds.width as f64 / self.width as f64).min(bounds.height as f64 / self.height as f64).min(1.0);
        // A pixel or two of rounding never costs an exact match its size.
        let even = |n: u32, bound: u32| {
            let scaled = n as f64 * scale;
            let rounded = ((scaled / 2.0).round() as u32 * 2).max(2);
            if bound.abs_diff(rounded) <= 2 && bound <= n { bound & !1 } else { rounded.min(n & !1).max(2) }
        };
        Self::new(even(self.width, bounds.width), even(self.height, bounds.height))
    }
}

impl fmt::Display for Resolution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl std::str::FromStr for Resolution {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        let bad = || format!("'{s}' is not a size: write WIDTHxHEIGHT, for example 1280x720");
        let (w, h) = s.split_once('x').ok_or_else(bad)?;
        let (width, height) = (w.parse().map_err(|_| bad())?, h.parse().map_err(|_| bad())?);
        if !(32..=3840).contains(&width) || !(32..=3840).contains(&height) || width % 2 + height % 2 != 0 {
            return Err(format!("'{s}': width and height must be even and between 32 and 3840"));
        }
        Ok(Self { width, height })
    }
}

/// The moment a picture was taken, carried along so that what is burned in is true however late it is encoded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moment {
    /// When, on the monotonic clock.
    pub pts: Pts,
    /// When, on the wall clock.
    pub wall: Timestamp,
    /// What the light sensor said then: 0 (dark) to 100 (bright); `None` without a sensor.
    pub brightness: Option<u8>,
}

/// Buffers of frames that are gone, kept for the next ones: no allocation per frame after warm-up.
#[derive(Clone, Default)]
pub struct FramePool(Arc<Mutex<Vec<Vec<u8>>>>);

impl FramePool {
    /// More spare buffers than this are never needed at once; the rest is given back to the system.
    const SPARE: usize = 8;

    /// A frame with undefined content (whatever the last user left).
    pub fn frame(&self, size: Resolution, moment: Moment) -> Frame {
        self.wrap(size, moment, self.buffer(Frame::len_of(size)))
    }

    /// A spare buffer of at least `len` bytes with undefined content, for a decoder that needs more room than the frame it
    /// makes of it: [`FramePool::wrap`] takes it back.
    pub fn buffer(&self, len: usize) -> Vec<u8> {
        let mut data = self.lock().pop().unwrap_or_default();
        // What was longer stays so: cut, it would be filled anew for the next picture.
        data.resize(len.max(data.len()), 0);
        data
    }

    /// A frame of what lies at the beginning of `data`: Y, U and V of `size`.
    pub fn wrap(&self, size: Resolution, moment: Moment, mut data: Vec<u8>) -> Frame {
        data.resize(Frame::len_of(size).max(data.len()), 0);
        Frame { size, moment, data, pool: self.clone() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A push or pop cannot leave the list half changed, so a panic elsewhere does not poison it.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// One uncompressed picture: I420, full range or studio range as the source gave it, rows without padding,
/// even width and height.
pub struct Frame {
    size: Resolution,
    /// When it was taken.
    pub moment: Moment,
    /// The planes, and room that a decoder needed before.
    data: Vec<u8>,
    pool: FramePool,
}

impl Frame {
    /// Bytes of an I420 picture of this size.
    pub const fn len_of(size: Resolution) -> usize {
        size.pixels() / 2 * 3
    }

    /// Width and height of the luma plane; the chroma planes have half of each.
    pub fn size(&self) -> Resolution {
        self.size
    }

    /// All three planes, one after the other: Y, U, V.
    pub fn data(&self) -> &[u8] {
        &self.data[..Self::len_of(self.size)]
    }

    /// As [`Frame::data`], to be filled.
    pub fn data_mut(&mut self) -> &mut [u8] {
        &mut self.data[..Self::len_of(self.size)]
    }

    /// Y (`width * height`), U and V (`width/2 * height/2` each).
    pub fn planes(&self) -> [&[u8]; 3] {
        let (y, uv) = self.data().split_at(self.size.pixels());
        let (u, v) = uv.split_at(self.size.pixels() / 4);
        [y, u, v]
    }

    /// As [`Frame::planes`], to be changed.
    pub fn planes_mut(&mut self) -> [&mut [u8]; 3] {
        let pixels = self.size.pixels();
        let (y, uv) = self.data_mut().split_at_mut(pixels);
        let (u, v) = uv.split_at_mut(pixels / 4);
        [y, u, v]
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        let mut spare = self.pool.lock();
        if spare.len() < FramePool::SPARE {
            spare.push(std::mem::take(&mut self.data));
        }
    }
}

impl fmt::Debug for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({}, {:?})", self.size, self.moment)
    }
}

/// The luma plane of a picture, made smaller: what the motion detector looks at. Rows without padding.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Luma {
    /// Pixels across.
    pub width: usize,
    /// Pixels down.
    pub height: usize,
    /// `width * height` samples.
    pub data: Vec<u8>,
}

/// A camera's own JPEG, as it came. Cloning shares the bytes.
#[derive(Clone)]
pub struct Jpeg {
    /// The whole picture, from SOI to EOI.
    pub bytes: Bytes,
    /// Its size, from the header.
    pub size: Resolution,
    /// When it was taken.
    pub moment: Moment,
}

impl fmt::Debug for Jpeg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Jpeg({}, {} bytes, {:?})", self.size, self.bytes.len(), self.moment)
    }
}

/// All NAL units of one encoded picture, in Annex B form with 4-byte start codes; an IDR begins with SPS and PPS.
/// Cloning shares the bytes.
#[derive(Clone)]
pub struct AccessUnit {
    /// The NAL units.
    pub bytes: Bytes,
    /// Size of the encoded picture.
    pub size: Resolution,
    /// When the picture was taken.
    pub moment: Moment,
    /// Whether decoding can start here.
    pub idr: bool,
}

impl fmt::Debug for AccessUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.idr { "IDR" } else { "delta" };
        write!(f, "AccessUnit({kind}, {}, {} bytes, {:?})", self.size, self.bytes.len(), self.moment)
    }
}

/// A rectangle in parts of the picture, 0 to 1, as the picture is shown (after rotation).
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Region {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn ticks_and_seconds() {
        assert_eq!(Pts::from_micros(1_000_000), Pts(90_000));
        // No overflow, however long the machine runs.
        assert_eq!(Pts::from_micros(i64::MAX / 100 * 100), Pts(i64::MAX / 100 * 9));
        assert_eq!(Pts(90_000).since(Pts(45_000)), Duration::from_millis(500));
        assert_eq!(Pts(45_000).since(Pts(90_000)), Duration::ZERO);
        assert_eq!(Pts(0) + Duration::from_secs(2) - Duration::from_secs(1), Pts(90_000));
        assert_eq!(Pts::MAX + Duration::from_secs(1), Pts::MAX);
    }

    #[test]
    fn sizes_fit_without_growing() {
        let size = |w, h| Resolution::new(w, h);
        for (source, bounds, fitted) in [
            (size(1640, 1232), size(820, 616), size(820, 616)),
            (size(1232, 1640), size(820, 616), size(616, 820)),
            (size(1280, 720), size(640, 480), size(640, 360)),
            (size(640, 480), size(1280, 720), size(640, 480)),
            (size(1920, 1080), size(1280, 720), size(1280, 720)),
            (size(1366, 768), size(640, 360), size(640, 360)),
            (size(640, 480), size(640, 480), size(640, 480)),
        ] {
            assert_eq!(source.fitted_into(bounds), fitted, "{source} into {bounds}");
        }
    }

    #[test]
    fn sizes_are_parsed_with_a_reason() {
        assert_eq!("1280x720".parse(), Ok(Resolution::new(1280, 720)));
        for bad in ["", "1280", "1280x", "x720", "1281x720", "1280x721", "16x16", "10000x720", "-2x8"] {
            assert!(bad.parse::<Resolution>().unwrap_err().contains(&format!("'{bad}'")), "{bad}");
        }
    }

    #[test]
    fn frames_give_their_buffers_back() {
        let pool = FramePool::default();
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = pool.frame(Resolution::new(64, 48), moment);
        let [y, u, v] = frame.planes_mut();
        assert_eq!((y.len(), u.len(), v.len()), (64 * 48, 32 * 24, 32 * 24));
        let at = frame.data().as_ptr();
        drop(frame);
        assert_eq!(pool.frame(Resolution::new(64, 48), moment).data().as_ptr(), at);
    }
}
