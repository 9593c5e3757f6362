//! JPEG in and out, straight between JPEG's own planes and I420: no RGB on the way.
//!
//! With the feature `turbojpeg` the work is done by libjpeg-turbo, which can also decode at 1/2, 1/4 and 1/8 of the
//! size; without it by pure Rust, at one and a half to three times the time. Both give the same pictures within a few
//! grey levels and refuse the same faults. Stills, thumbnails and outlined pictures are in [`super::still`]; cutting a
//! byte stream into JPEGs is the cameras' business.

mod annotate;
mod coded;
#[cfg(feature = "turbojpeg")]
mod planes;
#[cfg(not(feature = "turbojpeg"))]
mod pure;
#[cfg(feature = "turbojpeg")]
mod turbo;

#[cfg(not(feature = "turbojpeg"))]
use pure as backend;
#[cfg(feature = "turbojpeg")]
use turbo as backend;

use bytes::Bytes;

pub use self::annotate::Annotator;
use crate::media::{Frame, FramePool, Jpeg, Luma, Resolution};

/// Why a JPEG could not be decoded or made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// This picture is truncated or corrupt: skip it, the next may be good.
    #[error("corrupt JPEG: {0}")]
    Corrupt(String),
    /// A kind of JPEG that is not decoded, as every picture of this camera will be: choose another format there.
    #[error("unsupported JPEG: {0}; set the camera to another format (baseline YCbCr or grey, 8 bits)")]
    Unsupported(String),
    /// A picture could not be compressed.
    #[error("cannot compress a picture of {size}: {cause}")]
    Encode {
        /// The picture's size.
        size: Resolution,
        /// What the library says.
        cause: String,
    },
}

/// What a JPEG says of itself before any picture data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JpegHeader {
    /// Size of the frame it decodes to: the coded size without the last column or row where that is odd.
    pub size: Resolution,
}

/// Smallest and largest coded side: below it no encoder works, above it none that a camera's frame is for.
const SIDES: std::ops::RangeInclusive<usize> = 32..=4096;

impl JpegHeader {
    /// Checks the coded size.
    fn new(width: usize, height: usize) -> Result<Self, JpegError> {
        if !SIDES.contains(&width) || !SIDES.contains(&height) {
            let (min, max) = (SIDES.start(), SIDES.end());
            return Err(JpegError::Unsupported(format!("{width}x{height}: each side must have {min} to {max} pixels")));
        }
        Ok(Self { size: Resolution::new(width as u32 & !1, height as u32 & !1) })
    }
}

/// Reads the header: some 10 us, no picture data is looked at.
pub fn header(jpeg: &[u8]) -> Result<JpegHeader, JpegError> {
    backend::header(jpeg)
}

/// Decodes JPEGs of any size, one after the other.
pub struct JpegDecoder(backend::Decoder);

impl JpegDecoder {
    /// A decoder. Its scratch memory grows with the first pictures.
    pub fn new() -> Self {
        Self(backend::Decoder::new())
    }

    /// Decodes the whole picture to I420, in the range the JPEG has (JFIF: full), its moment kept. Chroma sampled more
    /// finely than 4:2:0 is averaged; that of a grey picture is 128.
    ///
    /// # Errors
    /// [`JpegError::Corrupt`] when any part of the picture is missing or damaged as far as the format can tell: a frame
    /// is either whole or not given. A few padding bytes before the end, as many webcams write, are no fault.
    pub fn decode(&mut self, jpeg: &Jpeg, pool: &FramePool) -> Result<Frame, JpegError> {
        self.0.decode(&jpeg.bytes, jpeg.moment, pool)
    }

    /// Decodes the luma alone to `1/scale` of the size, rounded down; `out` is resized. `scale` is 1, 2, 4 or 8.
    ///
    /// # Errors
    /// As [`JpegDecoder::decode`]; `out` has undefined content then.
    ///
    /// # Panics
    /// When `scale` is none of these.
    pub fn decode_luma(&mut self, jpeg: &Jpeg, scale: usize, out: &mut Luma) -> Result<(), JpegError> {
        assert!(matches!(scale, 1 | 2 | 4 | 8), "a luma scale is 1, 2, 4 or 8");
        self.0.decode_luma(&jpeg.bytes, scale, out)
    }
}

impl Default for JpegDecoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Compresses frames to baseline 4:2:0 JPEGs.
pub struct JpegEncoder(backend::Encoder);

impl JpegEncoder {
    /// An encoder of `quality` 1 (worst) to 100, clamped.
    pub fn new(quality: u8) -> Self {
        Self(backend::Encoder::new(quality.clamp(1, 100)))
    }

    /// Compresses a frame from its planes as they are: JFIF readers take them as full range.
    pub fn encode(&mut self, frame: &Frame) -> Result<Bytes, JpegError> {
        self.0.encode(frame).map_err(|cause| JpegError::Encode { size: frame.size(), cause })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jpeg_encoder::{ColorType, SamplingFactor};

    use super::*;
    use crate::media::{Moment, Pts};

    const MOMENT: Moment = Moment { pts: Pts(4711), wall: jiff::Timestamp::UNIX_EPOCH, brightness: Some(3) };

    /// A smooth picture with colour, as RGB.
    fn scene(width: usize, height: usize) -> Vec<u8> {
        let mut rgb = Vec::new();
        for y in 0..height {
            for x in 0..width {
                let wave = (x as f32 / 37.0).sin() * (y as f32 / 23.0).cos() * 60.0;
                let at = |n: usize, of: usize| (n * 200 / of) as f32 + 20.0;
                rgb.extend([at(x, width) + wave * 0.5, at(y, height), 128.0 + wave].map(|c| c.clamp(0.0, 255.0) as u8));
            }
        }
        rgb
    }

    /// The same picture as planes of 4:2:0, by JFIF's own formulas.
    fn reference(width: usize, height: usize) -> [Vec<f32>; 3] {
        let rgb = scene(width, height);
        let pixel = |x: usize, y: usize| {
            let [r, g, b] = [0, 1, 2].map(|c| rgb[(y * width + x) * 3 + c] as f32);
            [
                0.299 * r + 0.587 * g + 0.114 * b,
                128.0 - 0.168_736 * r - 0.331_264 * g + 0.5 * b,
                128.0 + 0.5 * r - 0.418_688 * g - 0.081_312 * b,
            ]
        };
        let (even_width, even_height) = (width & !1, height & !1);
        let mut planes = [Vec::new(), Vec::new(), Vec::new()];
        for y in 0..even_height {
            planes[0].extend((0..even_width).map(|x| pixel(x, y)[0]));
        }
        for y in (0..even_height).step_by(2) {
            for x in (0..even_width).step_by(2) {
                for c in [1, 2] {
                    let sum = pixel(x, y)[c] + pixel(x + 1, y)[c] + pixel(x, y + 1)[c] + pixel(x + 1, y + 1)[c];
                    planes[c].push(sum / 4.0);
                }
            }
        }
        planes
    }

    fn jpeg(
        width: usize,
        height: usize,
        sampling: SamplingFactor,
        set: impl FnOnce(&mut jpeg_encoder::Encoder<&mut Vec<u8>>),
    ) -> Jpeg {
        let mut bytes = Vec::new();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 95);
        encoder.set_sampling_factor(sampling);
        encoder.set_chroma_subsampling_method(jpeg_encoder::ChromaSubsamplingMethod::Average);
        set(&mut encoder);
        encoder.encode(&scene(width, height), width as u16, height as u16, ColorType::Rgb).unwrap();
        taken(bytes)
    }

    fn taken(bytes: Vec<u8>) -> Jpeg {
        let size = header(&bytes).map_or(Resolution::default(), |header| header.size);
        Jpeg { bytes: bytes.into(), size, moment: MOMENT }
    }

    fn mean_error(got: &[u8], wanted: &[f32]) -> f32 {
        assert_eq!(got.len(), wanted.len());
        got.iter().zip(wanted).map(|(got, wanted)| (*got as f32 - wanted).abs()).sum::<f32>() / got.len() as f32
    }

    #[test]
    fn every_sampling_and_odd_sizes_come_out_as_the_same_i420() {
        let pool = FramePool::default();
        let mut decoder = JpegDecoder::new();
        let samplings = [
            SamplingFactor::R_4_2_0,
            SamplingFactor::R_4_2_2,
            SamplingFactor::R_4_4_4,
            SamplingFactor::R_4_4_0,
            SamplingFactor::R_4_1_1,
        ];
        for (width, height) in [(320, 240), (328, 246), (129, 95), (64, 33)] {
            let wanted = reference(width, height);
            for sampling in samplings {
                let jpeg = jpeg(width, height, sampling, |_| {});
                assert_eq!(jpeg.size, Resolution::new(width as u32 & !1, height as u32 & !1));
                let frame = decoder.decode(&jpeg, &pool).unwrap();
                assert_eq!(frame.size(), jpeg.size);
                assert_eq!(frame.moment, MOMENT);
                for (c, (got, wanted)) in frame.planes().into_iter().zip(&wanted).enumerate() {
                    let error = mean_error(got, wanted);
                    assert!(error < 2.0, "{width}x{height} {sampling:?}: plane {c} is off by {error}");
                }
            }
        }
    }

    #[test]
    fn a_progressive_jpeg_is_decoded_too() {
        let set = |encoder: &mut jpeg_encoder::Encoder<&mut Vec<u8>>| encoder.set_progressive(true);
        let frame =
            JpegDecoder::new().decode(&jpeg(320, 240, SamplingFactor::R_4_2_0, set), &FramePool::default()).unwrap();
        for (got, wanted) in frame.planes().into_iter().zip(&reference(320, 240)) {
            assert!(mean_error(got, wanted) < 2.0);
        }
    }

    #[test]
    fn a_grey_jpeg_has_neutral_chroma() {
        let luma: Vec<u8> = (0..64 * 48).map(|i| (i % 64 * 3) as u8).collect();
        let mut bytes = Vec::new();
        jpeg_encoder::Encoder::new(&mut bytes, 95).encode(&luma, 64, 48, ColorType::Luma).unwrap();
        let frame = JpegDecoder::new().decode(&taken(bytes), &FramePool::default()).unwrap();
        let [y, u, v] = frame.planes();
        assert!(mean_error(y, &luma.iter().map(|y| *y as f32).collect::<Vec<_>>()) < 2.0);
        assert!(u.iter().chain(v).all(|sample| *sample == 128));
    }

    #[test]
    fn luma_at_each_scale_is_the_average_of_the_whole_luma() {
        let pool = FramePool::default();
        let mut decoder = JpegDecoder::new();
        for (width, height) in [(640, 480), (328, 246)] {
            let jpeg = jpeg(width, height, SamplingFactor::R_4_2_2, |_| {});
            let frame = decoder.decode(&jpeg, &pool).unwrap();
            let (mut from_frame, mut from_jpeg) = (Luma::default(), Luma::default());
            for scale in [1, 2, 4, 8] {
                crate::scale::shrink_luma(&frame, scale, &mut from_frame);
                decoder.decode_luma(&jpeg, scale, &mut from_jpeg).unwrap();
                assert_eq!((from_jpeg.width, from_jpeg.height), (width / scale, height / scale));
                assert_eq!((from_frame.width, from_frame.height), (from_jpeg.width, from_jpeg.height));
                let worst = from_frame.data.iter().zip(&from_jpeg.data).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(worst <= Some(3), "scale {scale}: {worst:?}");
            }
        }
    }

    #[test]
    fn a_truncated_jpeg_is_an_error_wherever_it_was_cut() {
        let pool = FramePool::default();
        let mut decoder = JpegDecoder::new();
        let mut luma = Luma::default();
        let with_restarts = |encoder: &mut jpeg_encoder::Encoder<&mut Vec<u8>>| encoder.set_restart_interval(7);
        for whole in [
            jpeg(160, 120, SamplingFactor::R_4_2_2, |_| {}),
            jpeg(160, 120, SamplingFactor::R_4_2_2, with_restarts),
            jpeg(160, 120, SamplingFactor::R_4_2_0, |_| {}),
        ] {
            decoder.decode(&whole, &pool).unwrap();
            let len = whole.bytes.len();
            // What the last bytes before EOI hold is at most a few flat blocks.
            for cut in (0..len - 16).step_by(3) {
                let cut_off = Jpeg { bytes: whole.bytes.slice(..cut), ..whole.clone() };
                assert!(decoder.decode(&cut_off, &pool).is_err(), "cut at {cut} of {len}");
                assert!(decoder.decode_luma(&cut_off, 8, &mut luma).is_err(), "luma, cut at {cut} of {len}");
                // As a camera ends a frame that did not fit.
                let ended = Jpeg { bytes: [&whole.bytes[..cut], &[0xff, 0xd9]].concat().into(), ..whole.clone() };
                assert!(decoder.decode(&ended, &pool).is_err(), "cut and ended at {cut} of {len}");
            }
            // And what was bad is forgotten.
            decoder.decode(&whole, &pool).unwrap();
        }
    }

    #[test]
    fn padding_before_the_end_is_no_fault() {
        let with_restarts = |encoder: &mut jpeg_encoder::Encoder<&mut Vec<u8>>| encoder.set_restart_interval(10);
        for whole in
            [jpeg(160, 120, SamplingFactor::R_4_2_2, |_| {}), jpeg(160, 120, SamplingFactor::R_4_2_2, with_restarts)]
        {
            let (body, end) = whole.bytes.split_at(whole.bytes.len() - 2);
            let wanted = JpegDecoder::new().decode(&whole, &FramePool::default()).unwrap();
            for padding in [1, 3, 8] {
                let padded = Jpeg { bytes: [body, &vec![0; padding], end].concat().into(), ..whole.clone() };
                let frame = JpegDecoder::new().decode(&padded, &FramePool::default()).unwrap();
                assert!(frame.data() == wanted.data(), "{padding} bytes of padding");
            }
        }
    }

    #[test]
    fn what_is_no_picture_of_a_camera_is_refused() {
        assert!(matches!(header(b""), Err(JpegError::Corrupt(_))));
        assert!(matches!(header(b"\xff\xd8\xff\xd9"), Err(JpegError::Corrupt(_))));
        let mut tiny = Vec::new();
        jpeg_encoder::Encoder::new(&mut tiny, 80).encode(&[0; 8 * 8 * 3], 8, 8, ColorType::Rgb).unwrap();
        assert!(matches!(header(&tiny), Err(JpegError::Unsupported(_))));
        let mut cmyk = Vec::new();
        jpeg_encoder::Encoder::new(&mut cmyk, 80).encode(&[0; 32 * 32 * 4], 32, 32, ColorType::Cmyk).unwrap();
        let error = header(&cmyk).unwrap_err();
        assert!(matches!(error, JpegError::Unsupported(_)), "{error}");
        // A header that promises a gigapixel.
        let mut huge = jpeg(64, 48, SamplingFactor::R_4_2_0, |_| {}).bytes.to_vec();
        let sof = memchr::memmem::find(&huge, &[0xff, 0xc0]).unwrap();
        huge[sof + 5..sof + 9].copy_from_slice(&[0x3f; 4]);
        assert!(matches!(header(&huge), Err(JpegError::Unsupported(_))));
    }

    #[test]
    fn encoding_keeps_the_planes() {
        let pool = FramePool::default();
        let frame = JpegDecoder::new().decode(&jpeg(328, 246, SamplingFactor::R_4_2_0, |_| {}), &pool).unwrap();
        let bytes = JpegEncoder::new(95).encode(&frame).unwrap();
        let again = JpegDecoder::new().decode(&taken(bytes.to_vec()), &pool).unwrap();
        for (got, wanted) in again.planes().into_iter().zip(frame.planes()) {
            let wanted: Vec<f32> = wanted.iter().map(|sample| *sample as f32).collect();
            assert!(mean_error(got, &wanted) < 1.0);
        }
        assert!(JpegEncoder::new(30).encode(&frame).unwrap().len() < bytes.len() / 2);
    }

    proptest::proptest! {
        #[test]
        fn damage_never_panics(at in 0usize..20_000, with: u8, len in 1usize..40) {
            let mut bytes = jpeg(96, 64, SamplingFactor::R_4_2_2, |_| {}).bytes.to_vec();
            let at = at % bytes.len();
            let end = (at + len).min(bytes.len());
            bytes[at..end].fill(with);
            let _ = header(&bytes);
            let _ = JpegDecoder::new().decode(&taken(bytes.clone()), &FramePool::default());
            let _ = JpegDecoder::new().decode_luma(&taken(bytes), 4, &mut Luma::default());
        }
    }
}
