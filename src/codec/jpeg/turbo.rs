//! The fast back end: libjpeg-turbo. The only user of `turbojpeg`.

use bytes::Bytes;
use turbojpeg::{
    Colorspace, Compressor, DecompressHeader, Decompressor, Image, OutputBuf, PixelFormat, ScalingFactor, Subsamp,
    YuvImage,
};

use super::planes::{self, Plane, Sharing};
use super::{JpegError, JpegHeader};
use crate::media::{Frame, FramePool, Luma, Moment};

pub fn header(jpeg: &[u8]) -> Result<JpegHeader, JpegError> {
    checked(&turbojpeg::read_header(jpeg).map_err(corrupt)?)
}

fn corrupt(error: turbojpeg::Error) -> JpegError {
    let text = error.to_string();
    let cause = text.trim_start_matches("TurboJPEG error: ").trim_start_matches("Corrupt JPEG data: ");
    JpegError::Corrupt(cause.to_owned())
}

fn checked(head: &DecompressHeader) -> Result<JpegHeader, JpegError> {
    let unsupported = |what: String| Err(JpegError::Unsupported(what));
    if !matches!(head.colorspace, Colorspace::YCbCr | Colorspace::Gray) {
        return unsupported(format!("its colours are {:?}", head.colorspace));
    }
    if head.is_lossless {
        return unsupported("it is lossless".to_owned());
    }
    if head.subsamp == Subsamp::Unknown {
        return unsupported("its chroma is sampled in an unusual way".to_owned());
    }
    JpegHeader::new(head.width, head.height)
}

pub struct Decoder {
    turbo: Decompressor,
    scratch: Vec<u8>,
}

impl Decoder {
    /// A progressive JPEG with more scans than this is an attack, not a picture.
    const MAX_SCANS: u32 = 64;

    pub fn new() -> Self {
        Self { turbo: Self::fresh(), scratch: Vec::new() }
    }

    fn fresh() -> Decompressor {
        let mut turbo = Decompressor::new().expect("tj3Init fails only when memory is exhausted");
        turbo.set_scan_limit(Self::MAX_SCANS).expect("any number of scans is a valid TJPARAM_SCANLIMIT");
        turbo
    }

    // A header that ends in an error leaves the library in the middle of it, and the next, good one would be taken for
    // its continuation: so after every error, here and below, a fresh decompressor.
    pub fn decode(&mut self, jpeg: &[u8], moment: Moment, pool: &FramePool) -> Result<Frame, JpegError> {
        self.try_decode(jpeg, moment, pool).inspect_err(|_| self.turbo = Self::fresh())
    }

    pub fn decode_luma(&mut self, jpeg: &[u8], scale: usize, out: &mut Luma) -> Result<(), JpegError> {
        self.try_decode_luma(jpeg, scale, out).inspect_err(|_| self.turbo = Self::fresh())
    }

    fn prepare(&mut self, jpeg: &[u8], scale: ScalingFactor) -> Result<(DecompressHeader, JpegHeader), JpegError> {
        let head = self.turbo.read_header(jpeg).map_err(corrupt)?;
        let checked = checked(&head)?;
        self.turbo.set_scaling_factor(scale).map_err(corrupt)?;
        Ok((head, checked))
    }

    fn try_decode(&mut self, jpeg: &[u8], moment: Moment, pool: &FramePool) -> Result<Frame, JpegError> {
        let (head, JpegHeader { size }) = self.prepare(jpeg, ScalingFactor::ONE)?;
        let even = (head.width, head.height) == (size.width as usize, size.height as usize);
        if !even || !matches!(head.subsamp, Subsamp::Sub2x2 | Subsamp::Sub2x1 | Subsamp::Gray) {
            return self.decode_via_scratch(jpeg, &head, pool.frame(size, moment));
        }

        // The usual case: the planes come to lie where the frame has them, so nothing is copied.
        let len = turbojpeg::yuv_pixels_len(head.width, 1, head.height, head.subsamp).map_err(corrupt)?;
        let mut data = pool.buffer(len.max(Frame::len_of(size)));
        if let Err(error) = decompress(&mut self.turbo, jpeg, &head, &mut data) {
            // The buffer goes back to the pool.
            drop(pool.wrap(size, moment, data));
            return Err(error);
        }
        match head.subsamp {
            Subsamp::Gray => data[size.pixels()..Frame::len_of(size)].fill(128),
            Subsamp::Sub2x1 => planes::halve_chroma_rows(&mut data, head.width, head.height),
            _ => {}
        }
        Ok(pool.wrap(size, moment, data))
    }

    fn decode_via_scratch(
        &mut self,
        jpeg: &[u8],
        head: &DecompressHeader,
        mut frame: Frame,
    ) -> Result<Frame, JpegError> {
        let len = turbojpeg::yuv_pixels_len(head.width, 1, head.height, head.subsamp).map_err(corrupt)?;
        self.scratch.resize(len, 0);
        decompress(&mut self.turbo, jpeg, head, &mut self.scratch)?;
        let layout = YuvImage { pixels: (), width: head.width, align: 1, height: head.height, subsamp: head.subsamp };
        let (y_width, y_height) = layout.y_size();
        let (luma, chroma) = self.scratch.split_at(y_width * y_height);
        let luma = Plane { data: luma, stride: y_width };
        if head.subsamp == Subsamp::Gray {
            planes::fill_grey(&mut frame, luma);
            return Ok(frame);
        }
        let (uv_width, uv_height) = layout.uv_size();
        let (u, v) = chroma.split_at(uv_width * uv_height);
        let sharing = Sharing { columns: head.subsamp.width(), rows: head.subsamp.height() };
        planes::fill(&mut frame, luma, [u, v].map(|data| Plane { data, stride: uv_width }), sharing);
        Ok(frame)
    }

    fn try_decode_luma(&mut self, jpeg: &[u8], scale: usize, out: &mut Luma) -> Result<(), JpegError> {
        let factor = ScalingFactor::new(1, scale);
        let (head, JpegHeader { size }) = self.prepare(jpeg, factor)?;
        out.width = size.width as usize / scale;
        out.height = size.height as usize / scale;
        out.data.resize(out.width * out.height, 0);
        let (width, height) = (factor.scale(head.width), factor.scale(head.height));
        let exact = (width, height) == (out.width, out.height);
        let pixels = if exact {
            &mut out.data
        } else {
            self.scratch.resize(width * height, 0);
            &mut self.scratch
        };
        let image = Image { pixels: &mut pixels[..], width, pitch: width, height, format: PixelFormat::GRAY };
        tolerate_padding(jpeg, &head, self.turbo.decompress(jpeg, image))?;
        if !exact {
            for (to, from) in out.data.chunks_exact_mut(out.width).zip(self.scratch.chunks_exact(width)) {
                to.copy_from_slice(&from[..out.width]);
            }
        }
        Ok(())
    }
}

fn decompress(
    turbo: &mut Decompressor,
    jpeg: &[u8],
    head: &DecompressHeader,
    pixels: &mut [u8],
) -> Result<(), JpegError> {
    let (width, height, subsamp) = (head.width, head.height, head.subsamp);
    let result = turbo.decompress_to_yuv(jpeg, YuvImage { pixels, width, align: 1, height, subsamp });
    tolerate_padding(jpeg, head, result)
}

/// libjpeg-turbo reports damaged data as a warning, goes on with what it can guess, and answers an error whose text
/// is the *first* warning. All of them are errors here, but for one: a few bytes between the last block and the
/// end-of-image marker, which many webcams add to every picture.
fn tolerate_padding(jpeg: &[u8], head: &DecompressHeader, result: turbojpeg::Result<()>) -> Result<(), JpegError> {
    const MAX_PADDING: usize = 16;
    let Err(error) = result else { return Ok(()) };
    let text = error.to_string();
    let padding = text
        .strip_prefix("TurboJPEG error: Corrupt JPEG data: ")
        .and_then(|text| text.strip_suffix(" extraneous bytes before marker 0xd9"))
        .and_then(|bytes| bytes.parse::<usize>().ok());
    match padding {
        // With restart markers the same text can mean that the end came where a restart was due.
        Some(bytes) if bytes <= MAX_PADDING && has_all_restarts(jpeg, head) => Ok(()),
        _ => Err(corrupt(error)),
    }
}

/// Whether the picture has as many restart markers as its restart interval (ITU-T T.81, B.2.4.4) makes it have.
fn has_all_restarts(jpeg: &[u8], head: &DecompressHeader) -> bool {
    // DRI: marker, length 4, interval in MCUs.
    let Some(interval) = memchr::memmem::find(jpeg, &[0xff, 0xdd, 0, 4])
        .and_then(|at| jpeg.get(at + 4..at + 6))
        .map(|interval| u16::from_be_bytes([interval[0], interval[1]]) as usize)
        .filter(|interval| *interval > 0)
    else {
        return true;
    };
    let mcus = head.width.div_ceil(8 * head.subsamp.width()) * head.height.div_ceil(8 * head.subsamp.height());
    let restarts = memchr::memchr_iter(0xff, jpeg)
        .filter(|at| jpeg.get(at + 1).is_some_and(|marker| (0xd0..=0xd7).contains(marker)))
        .count();
    restarts + 1 >= mcus.div_ceil(interval)
}

pub struct Encoder {
    turbo: Compressor,
    scratch: Vec<u8>,
}

impl Encoder {
    pub fn new(quality: u8) -> Self {
        let mut turbo = Compressor::new().expect("tj3Init fails only when memory is exhausted");
        turbo.set_quality(quality.into()).expect("1 to 100 is a valid TJPARAM_QUALITY");
        Self { turbo, scratch: Vec::new() }
    }

    pub fn encode(&mut self, frame: &Frame) -> Result<Bytes, String> {
        let (width, height) = (frame.size().width as usize, frame.size().height as usize);
        let subsamp = Subsamp::Sub2x2;
        let longest = turbojpeg::compressed_buf_len(width, height, subsamp).map_err(|e| e.to_string())?;
        self.scratch.resize(longest, 0);
        let mut out = OutputBuf::borrowed(&mut self.scratch);
        self.turbo
            .compress_yuv(YuvImage { pixels: frame.data(), width, align: 1, height, subsamp }, &mut out)
            .map_err(|e| e.to_string())?;
        Ok(Bytes::copy_from_slice(&out))
    }
}
