//! Software H.264, both ways: the only user of `openh264`.
//!
//! [`Encoder`] makes one stream of access units from frames, [`Decoder`] gives the frames of a stream back in display
//! order. How a stream is cut into NAL units and access units is in [`crate::h264`]; which stream is encoded when, and at
//! what size, is the pipeline's business.
//!
//! What needs `unsafe` is in `raw`.

mod raw;

use std::time::Duration;

use bytes::Bytes;
use openh264::OpenH264API;
use openh264::decoder::{DecodedYUV, DecoderConfig, Flush};
use openh264::formats::YUVSource;
use openh264_sys2 as sys;

use self::raw::{Code, Parameters, Raw};

use crate::media::{AccessUnit, Frame, FramePool, Moment, Pts, Resolution};

/// What an encoder is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Frames a second, as expected: the rate control divides the bit rate by it, and an IDR comes at least every so many
    /// frames. At least 1.
    pub fps: u32,
    /// Bit rate in kbit/s, on average.
    pub kbit: u32,
    /// Whether luma uses all of 0 to 255, as JPEG sources do, or 16 to 235. Written into the SPS with BT.601's matrix
    /// and BT.709's primaries and transfer: the defaults of USB Video Class 1.5, 3.9.2.6, and the matrix of JFIF.
    /// Hardware has no say in its SPS, and gets 0 to 255 as 16 to 235.
    pub full_range: bool,
}

/// Why a frame was not encoded.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// No frame of this size can be: ask the source for another, or scale it.
    #[error("H.264 encoding is limited to 3840x2160 and at least 16x16, the picture has {0}: configure a smaller size")]
    Size(Resolution),
    /// The encoder failed; it starts anew with the next frame.
    #[error("H.264 encoder: {0}")]
    Failed(String),
}

/// Encodes one stream: Constrained Baseline, one slice and one reference per picture, no B pictures.
///
/// Low complexity: half of what the higher ones save in bits, they cost in time. Background detection is on (a third of
/// the time on a still scene), adaptive quantisation and scene-change detection off (no gain at this complexity). Blocks' edges are smoothed
/// only at low bit rates. Frames are never skipped: each one may be evidence.
pub struct Encoder {
    settings: EncoderSettings,
    session: Option<Session>,
    idr_wanted: bool,
}

/// An encoder of the library's: one size, from one IDR on.
struct Session {
    raw: Raw,
    size: Resolution,
    first: Pts,
    last_idr: Pts,
}

impl Encoder {
    /// An encoder; nothing is allocated before the first frame.
    pub fn new(settings: EncoderSettings) -> Self {
        Self { settings: EncoderSettings { fps: settings.fps.max(1), ..settings }, session: None, idr_wanted: false }
    }

    /// The next frame becomes an IDR.
    pub fn force_idr(&mut self) {
        self.idr_wanted = true;
    }

    /// Changes the bit rate from the next frame on, without an IDR.
    pub fn set_kbit(&mut self, kbit: u32) -> Result<(), EncodeError> {
        let rising = kbit > self.settings.kbit;
        self.settings.kbit = kbit;
        let Some(session) = &mut self.session else { return Ok(()) };
        session.raw.set_bits_per_s(bits(kbit), rising).map_err(failed)
    }

    /// Encodes a frame. An IDR, with SPS and PPS before it, is made of the first frame, of the first of a new size, when
    /// it was asked for, after `fps` frames and before a second of PTS has passed without one.
    ///
    /// # Errors
    /// After [`EncodeError::Failed`] the next frame is an IDR.
    pub fn encode(&mut self, frame: &Frame) -> Result<AccessUnit, EncodeError> {
        let (size, pts) = (frame.size(), frame.moment.pts);
        let mut session = match self.session.take() {
            Some(session) if session.size == size => session,
            _ => Session::new(self.settings, size, pts)?,
        };
        let unit = session.encode(frame, self.settings.fps, self.idr_wanted)?;
        self.idr_wanted &= !unit.idr;
        self.session = Some(session);
        Ok(unit)
    }
}

/// The longest time between two IDRs.
const LONGEST_GOP: Duration = Duration::from_secs(1);

/// From the library's own least to the standard's most (H.264, 8.5.8). Left to itself the library stops at 42, and a noisy
/// picture at a low bit rate overshoots.
const QP_RANGE: (i32, i32) = (12, 51);

/// What an IDR may take, in percent of an average picture. Of a scene that stands still nearly all there is to say is said
/// in the IDR: with the library's 400 it is coarse, and all pictures up to the next mend it, which costs more bits for a worse
/// picture, and time. Three quarters of a second's bits are 2 dB better there, and no worse where everything moves, since the
/// IDR does not use them then.
fn idr_percent(fps: u32) -> i32 {
    (75 * fps.min(240) as i32).max(400)
}

/// With this many bits for each pixel blocks have no edges to be seen: smoothing them changes the picture's PSNR by a hundredth of
/// a decibel, or a tenth where everything moves, for a twentieth of the time.
const AMPLE_BITS: f32 = 0.1;

fn needs_deblocking(settings: EncoderSettings, size: Resolution) -> bool {
    let pixels = size.pixels() as f32 * settings.fps as f32;
    bits(settings.kbit) as f32 / pixels < AMPLE_BITS
}

fn bits(kbit: u32) -> i32 {
    // The library counts in i32 and refuses less than a bit per frame.
    kbit.clamp(16, 240_000) as i32 * 1000
}

fn failed(Code(code): Code) -> EncodeError {
    EncodeError::Failed(format!("code {code}"))
}

impl Session {
    fn new(settings: EncoderSettings, size: Resolution, pts: Pts) -> Result<Self, EncodeError> {
        let (long, short) = (size.width.max(size.height), size.width.min(size.height));
        if long > 3840 || !(16..=2160).contains(&short) {
            return Err(EncodeError::Size(size));
        }
        let raw = Raw::new(&Parameters {
            size,
            fps: settings.fps,
            bits_per_s: bits(settings.kbit),
            idr_percent: idr_percent(settings.fps),
            qp: QP_RANGE,
            full_range: settings.full_range,
            deblocking: needs_deblocking(settings, size),
        })
        .map_err(failed)?;
        Ok(Self { raw, size, first: pts, last_idr: pts })
    }

    fn encode(&mut self, frame: &Frame, fps: u32, idr_wanted: bool) -> Result<AccessUnit, EncodeError> {
        let pts = frame.moment.pts;
        // Half a frame early, since the next frame would be too late.
        let due = LONGEST_GOP.saturating_sub(Duration::from_secs(1) / (2 * fps));
        if pts != self.last_idr && (idr_wanted || pts.since(self.last_idr) >= due) {
            self.raw.force_idr().map_err(failed)?;
        }
        let picture = self.raw.encode(frame, pts.since(self.first).as_millis() as i64).map_err(failed)?;
        let idr = match picture.kind {
            sys::videoFrameTypeIDR => true,
            sys::videoFrameTypeP => false,
            other => return Err(EncodeError::Failed(format!("gave a picture of type {other}"))),
        };
        if idr {
            self.last_idr = pts;
        }
        Ok(AccessUnit { bytes: Bytes::from(picture.bytes), size: self.size, moment: frame.moment, idr })
    }
}

/// Why an access unit gave no picture.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// It is damaged, uses tools the decoder lacks, or needs pictures that are missing: feed the next; an IDR mends it.
    #[error("H.264 decoder: the access unit cannot be decoded (code {0})")]
    Corrupt(i64),
    /// The library could not be started.
    #[error("H.264 decoder: cannot be started (code {0})")]
    Failed(i64),
}

/// Decodes one stream of access units (all of Baseline, Main and High, 4:2:0, 8 bits, progressive).
///
/// Access units go in, in decoding order; frames come out in display order, some access units later where
/// the stream has B pictures. A frame therefore does not belong to the access unit that was just given: give the presentation times
/// sorted, one to each frame that comes out.
pub struct Decoder(openh264::decoder::Decoder);

impl Decoder {
    /// A decoder.
    pub fn new() -> Result<Self, DecodeError> {
        // The wrapper's default, a flush after each access unit, would lose pictures of streams that reorder them.
        let config = DecoderConfig::new().flush_after_decode(Flush::NoFlush);
        openh264::decoder::Decoder::with_api_config(OpenH264API::from_source(), config)
            .map(Self)
            .map_err(|error| DecodeError::Failed(error.native_code()))
    }

    /// Decodes an access unit (Annex B) and gives the next frame in display order, if it is known by now. `moment` is asked
    /// once, when there is a frame.
    pub fn decode(
        &mut self,
        access_unit: &[u8],
        pool: &FramePool,
        moment: impl FnOnce() -> Moment,
    ) -> Result<Option<Frame>, DecodeError> {
        match self.0.decode(access_unit) {
            Ok(picture) => Ok(picture.map(|picture| frame_of(&picture, pool, moment()))),
            Err(error) => Err(DecodeError::Corrupt(error.native_code())),
        }
    }

    /// Gives the frames that are still held back, in display order: at the end of a stream.
    pub fn flush(&mut self, pool: &FramePool, mut moment: impl FnMut() -> Moment) -> Result<Vec<Frame>, DecodeError> {
        let pictures = self.0.flush_remaining().map_err(|error| DecodeError::Corrupt(error.native_code()))?;
        Ok(pictures.iter().map(|picture| frame_of(picture, pool, moment())).collect())
    }
}

fn frame_of(picture: &DecodedYUV, pool: &FramePool, moment: Moment) -> Frame {
    let (width, height) = picture.dimensions();
    let (y_stride, u_stride, v_stride) = picture.strides();
    let size = Resolution::new(width as u32 & !1, height as u32 & !1);
    let mut frame = pool.frame(size, moment);
    let width = size.width as usize;
    let [y, u, v] = frame.planes_mut();
    let planes = [
        (y, picture.y(), y_stride, width),
        (u, picture.u(), u_stride, width / 2),
        (v, picture.v(), v_stride, width / 2),
    ];
    for (to, from, stride, width) in planes {
        for (to, from) in to.chunks_exact_mut(width).zip(from.chunks(stride)) {
            to.copy_from_slice(&from[..width]);
        }
    }
    frame
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    const SETTINGS: EncoderSettings = EncoderSettings { fps: 10, kbit: 400, full_range: true };

    /// A noisy picture with a square that moves: frame `n`, taken at `pts`.
    fn frame(pool: &FramePool, size: Resolution, n: usize, pts: Pts) -> Frame {
        let mut frame = pool.frame(size, Moment { pts, wall: Timestamp::UNIX_EPOCH, brightness: None });
        let (width, height) = (size.width as usize, size.height as usize);
        let [y, u, v] = frame.planes_mut();
        let mut seed = (n as u32).wrapping_mul(747_796_405) | 1;
        for (i, sample) in y.iter_mut().enumerate() {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let square = (i % width).abs_diff(n * 4 % width) < 16 && (i / width).abs_diff(height / 2) < 16;
            *sample = if square { 220 } else { 60 + (i % width * 80 / width) as u8 + (seed % 9) as u8 };
        }
        u.fill(110);
        v.fill(140);
        frame
    }

    fn at(n: usize, fps: usize) -> Pts {
        Pts(1_000_000 + (n * 90_000 / fps) as i64)
    }

    const SMALL: Resolution = Resolution::new(160, 128);

    fn nal_types(unit: &AccessUnit) -> Vec<u8> {
        let mut types = Vec::new();
        let bytes = &unit.bytes;
        for start in memchr::memmem::find_iter(bytes, &[0, 0, 1]) {
            assert_eq!(bytes[start - 1], 0, "a start code of 3 bytes");
            types.push(bytes[start + 3] & 0x1f);
        }
        types
    }

    #[test]
    fn each_idr_has_sps_and_pps_and_comes_at_least_every_second_of_frames() {
        let pool = FramePool::default();
        let mut encoder = Encoder::new(SETTINGS);
        for n in 0..35 {
            let unit = encoder.encode(&frame(&pool, SMALL, n, at(n, 10))).unwrap();
            assert_eq!(unit.idr, n % 10 == 0, "frame {n}");
            assert_eq!(nal_types(&unit), if unit.idr { vec![7, 8, 5] } else { vec![1] }, "frame {n}");
            assert_eq!((unit.size, unit.moment.pts), (SMALL, at(n, 10)));
        }
    }

    #[test]
    fn a_slow_camera_gets_an_idr_every_second_too() {
        let pool = FramePool::default();
        let mut encoder = Encoder::new(SETTINGS);
        let idrs: Vec<usize> =
            (0..10).filter(|n| encoder.encode(&frame(&pool, SMALL, *n, at(*n, 3))).unwrap().idr).collect();
        assert_eq!(idrs, [0, 3, 6, 9]);
    }

    #[test]
    fn an_idr_comes_when_asked_for_and_with_a_new_size() {
        let pool = FramePool::default();
        let mut encoder = Encoder::new(SETTINGS);
        let mut idrs = Vec::new();
        for n in 0..9 {
            let size = if n < 6 { SMALL } else { SMALL.turned() };
            if n == 3 {
                encoder.force_idr();
            }
            let unit = encoder.encode(&frame(&pool, size, n, at(n, 10))).unwrap();
            assert_eq!(unit.size, size);
            if unit.idr {
                assert_eq!(nal_types(&unit), [7, 8, 5]);
                idrs.push(n);
            }
        }
        assert_eq!(idrs, [0, 3, 6]);
    }

    #[test]
    fn no_frame_is_skipped_and_the_rate_holds_on_noise_also_after_a_change() {
        let pool = FramePool::default();
        let size = Resolution::new(320, 240);
        let mut encoder = Encoder::new(EncoderSettings { fps: 10, kbit: 300, full_range: true });
        let mut bytes = [0, 0];
        for n in 0..100 {
            if n == 50 {
                encoder.set_kbit(600).unwrap();
            }
            let unit = encoder.encode(&frame(&pool, size, n, at(n, 10))).unwrap();
            assert!(!unit.bytes.is_empty());
            bytes[n / 50] += unit.bytes.len();
        }
        let kbit = bytes.map(|bytes| bytes * 8 / 5 / 1000);
        assert!((240..=360).contains(&kbit[0]), "{kbit:?}");
        assert!((480..=720).contains(&kbit[1]), "{kbit:?}");
    }

    #[test]
    fn sizes_beyond_the_library_are_named() {
        let pool = FramePool::default();
        let size = Resolution::new(3840, 2162);
        let error = Encoder::new(SETTINGS).encode(&frame(&pool, size, 0, Pts(0))).unwrap_err();
        assert!(error.to_string().contains("3840x2162"), "{error}");
        let turned = Resolution::new(2160, 3840);
        assert!(Encoder::new(SETTINGS).encode(&frame(&pool, turned, 0, Pts(0))).is_ok());
    }

    #[test]
    fn what_was_encoded_decodes_frame_for_frame() {
        let pool = FramePool::default();
        let mut encoder = Encoder::new(SETTINGS);
        let mut decoder = Decoder::new().unwrap();
        let mut times = (0..).map(|n| Moment { pts: at(n, 10), wall: Timestamp::UNIX_EPOCH, brightness: None });
        let mut decoded = Vec::new();
        for n in 0..25 {
            let unit = encoder.encode(&frame(&pool, SMALL, n, at(n, 10))).unwrap();
            decoded.extend(decoder.decode(&unit.bytes, &pool, || times.next().unwrap()).unwrap());
        }
        decoded.extend(decoder.flush(&pool, || times.next().unwrap()).unwrap());
        assert_eq!(decoded.len(), 25);
        for (n, got) in decoded.iter().enumerate() {
            assert_eq!(got.moment.pts, at(n, 10));
            let wanted = frame(&pool, SMALL, n, at(n, 10));
            let errors = got.data().iter().zip(wanted.data()).map(|(a, b)| a.abs_diff(*b) as usize);
            let mean = errors.sum::<usize>() as f32 / got.data().len() as f32;
            assert!(mean < 6.0, "frame {n} is off by {mean}");
        }
    }

    #[test]
    fn rubbish_is_an_error_and_the_next_idr_mends_it() {
        let pool = FramePool::default();
        let moment = || Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut encoder = Encoder::new(SETTINGS);
        let units: Vec<_> = (0..11).map(|n| encoder.encode(&frame(&pool, SMALL, n, at(n, 10))).unwrap()).collect();
        let mut decoder = Decoder::new().unwrap();
        assert!(decoder.decode(&units[3].bytes, &pool, moment).is_err(), "no parameter sets yet");
        assert!(decoder.decode(&units[0].bytes, &pool, moment).is_ok());
        let _ = decoder.decode(&[0, 0, 0, 1, 0x65, 0xff, 0x12, 0x34, 0x56], &pool, moment);
        assert!(decoder.decode(&units[10].bytes, &pool, moment).is_ok());
    }

    #[allow(unsafe_code)]
    unsafe extern "C" {
        /// openh264, codec/common/inc/cpu.h: the features of this processor that its assembly knows; 0 when it was built
        /// without assembly.
        fn WelsCPUFeatureDetect(processors: *mut i32) -> u32;
    }

    #[test]
    #[allow(unsafe_code)]
    fn the_assembly_is_in_use_where_the_build_says_so() {
        let mut processors = 0;
        // SAFETY: the function writes one int and reads nothing of ours.
        let features = unsafe { WelsCPUFeatureDetect(&raw mut processors) };
        assert_eq!(
            features != 0,
            env!("WATCHTOWER_H264_ASSEMBLY") == "yes",
            "rebuild openh264-sys2 with nasm installed"
        );
    }
}
