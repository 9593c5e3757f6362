//! The back end without C: zune-jpeg and jpeg-encoder.

use bytes::Bytes;
use jpeg_encoder::{ImageBuffer, JpegColorType, SamplingFactor};
use zune_jpeg::errors::DecodeErrors;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::{JpegError, JpegHeader};
use crate::media::{Frame, FramePool, Luma, Moment};
use crate::scale;

type Zune<'a> = zune_jpeg::JpegDecoder<ZCursor<&'a [u8]>>;

pub fn header(jpeg: &[u8]) -> Result<JpegHeader, JpegError> {
    open(jpeg, ColorSpace::YCbCr).map(|opened| opened.header)
}

fn corrupt(error: DecodeErrors) -> JpegError {
    match error {
        DecodeErrors::Unsupported(scheme) => JpegError::Unsupported(format!("{scheme:?}")),
        error => JpegError::Corrupt(error.to_string()),
    }
}

/// A picture of which the header has been read.
struct Opened<'a> {
    zune: Zune<'a>,
    header: JpegHeader,
    width: usize,
    grey: bool,
}

/// Reads the header and shows the decoder no end-of-image marker: it would take one that comes too early for the end, and
/// zeros for the rest of the picture, while data that ends too early is an error to it (but for the last block or two). A
/// progressive picture, marked by SOF2, needs its end: only its header and scans are checked.
fn open(jpeg: &[u8], colours: ColorSpace) -> Result<Opened<'_>, JpegError> {
    let progressive = memchr::memmem::find(jpeg, &[0xff, 0xc2]).is_some();
    let end = memchr::memmem::rfind(jpeg, &[0xff, 0xd9]).filter(|_| !progressive);
    let jpeg = &jpeg[..end.unwrap_or(jpeg.len())];
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(colours);
    let mut zune = Zune::new_with_options(ZCursor::new(jpeg), options);
    zune.decode_headers().map_err(corrupt)?;
    let (width, height) = zune.dimensions().ok_or_else(|| JpegError::Corrupt("it has no size".to_owned()))?;
    let header = JpegHeader::new(width, height)?;
    let grey = match zune.input_colorspace() {
        Some(ColorSpace::YCbCr) => false,
        Some(ColorSpace::Luma) => true,
        other => return Err(JpegError::Unsupported(format!("its colours are {other:?}"))),
    };
    if grey {
        zune.set_options(options.jpeg_set_out_colorspace(ColorSpace::Luma));
    }
    Ok(Opened { zune, header, width, grey })
}

pub struct Decoder {
    scratch: Vec<u8>,
}

impl Decoder {
    pub fn new() -> Self {
        Self { scratch: Vec::new() }
    }

    /// Decodes into the scratch memory: packed YCbCr 4:4:4, or luma alone.
    fn decode_packed(&mut self, opened: &mut Opened) -> Result<(), JpegError> {
        let len = opened.zune.output_buffer_size().ok_or_else(|| JpegError::Corrupt("it has no size".to_owned()))?;
        self.scratch.resize(len, 0);
        opened.zune.decode_into(&mut self.scratch).map_err(corrupt)
    }

    pub fn decode(&mut self, jpeg: &[u8], moment: Moment, pool: &FramePool) -> Result<Frame, JpegError> {
        let mut opened = open(jpeg, ColorSpace::YCbCr)?;
        self.decode_packed(&mut opened)?;
        let mut frame = pool.frame(opened.header.size, moment);
        if opened.grey {
            fill_from_grey(&mut frame, &self.scratch, opened.width);
        } else {
            fill_from_packed(&mut frame, &self.scratch, opened.width);
        }
        Ok(frame)
    }

    pub fn decode_luma(&mut self, jpeg: &[u8], scale: usize, out: &mut Luma) -> Result<(), JpegError> {
        let mut opened = open(jpeg, ColorSpace::Luma)?;
        self.decode_packed(&mut opened)?;
        let size = opened.header.size;
        scale::shrink_plane(&self.scratch, opened.width, size, scale, out);
        Ok(())
    }
}

/// Fills a frame from packed YCbCr 4:4:4 with rows of `stride` pixels, cropped to its size, the chroma averaged.
fn fill_from_packed(frame: &mut Frame, packed: &[u8], stride: usize) {
    let width = frame.size().width as usize;
    let [y, u, v] = frame.planes_mut();
    let rows = packed.chunks_exact(3 * stride);
    for (to, row) in y.chunks_exact_mut(width).zip(rows) {
        for (to, pixel) in to.iter_mut().zip(row.chunks_exact(3)) {
            *to = pixel[0];
        }
    }
    let pairs = packed.chunks_exact(6 * stride);
    for ((u, v), pair) in u.chunks_exact_mut(width / 2).zip(v.chunks_exact_mut(width / 2)).zip(pairs) {
        let (above, below) = pair.split_at(3 * stride);
        for (((u, v), a), b) in u.iter_mut().zip(v).zip(above.chunks_exact(6)).zip(below.chunks_exact(6)) {
            let mean = |i: usize| ((a[i] as u16 + a[i + 3] as u16 + b[i] as u16 + b[i + 3] as u16 + 2) / 4) as u8;
            (*u, *v) = (mean(1), mean(2));
        }
    }
}

fn fill_from_grey(frame: &mut Frame, luma: &[u8], stride: usize) {
    let width = frame.size().width as usize;
    let [y, u, v] = frame.planes_mut();
    for (to, row) in y.chunks_exact_mut(width).zip(luma.chunks_exact(stride)) {
        to.copy_from_slice(&row[..width]);
    }
    u.fill(128);
    v.fill(128);
}

pub struct Encoder {
    quality: u8,
    scratch: Vec<u8>,
}

impl Encoder {
    pub fn new(quality: u8) -> Self {
        Self { quality, scratch: Vec::new() }
    }

    pub fn encode(&mut self, frame: &Frame) -> Result<Bytes, String> {
        let size = frame.size();
        let (Ok(width), Ok(height)) = (u16::try_from(size.width), u16::try_from(size.height)) else {
            return Err("a JPEG's sides have at most 65535 pixels".to_owned());
        };
        self.scratch.clear();
        let mut encoder = jpeg_encoder::Encoder::new(&mut self.scratch, self.quality);
        encoder.set_sampling_factor(SamplingFactor::R_4_2_0);
        encoder.encode_image(I420 { planes: frame.planes(), width, height }).map_err(|e| e.to_string())?;
        Ok(Bytes::copy_from_slice(&self.scratch))
    }
}

/// A frame as the encoder takes it: every chroma sample four times, of which it takes one back.
struct I420<'a> {
    planes: [&'a [u8]; 3],
    width: u16,
    height: u16,
}

impl ImageBuffer for I420<'_> {
    fn get_jpeg_color_type(&self) -> JpegColorType {
        JpegColorType::Ycbcr
    }
    fn width(&self) -> u16 {
        self.width
    }
    fn height(&self) -> u16 {
        self.height
    }
    fn fill_buffers(&self, y: u16, buffers: &mut [Vec<u8>; 4]) {
        let (width, y) = (self.width as usize, y as usize);
        let [luma, u, v, _] = buffers;
        luma.extend_from_slice(&self.planes[0][y * width..][..width]);
        for (to, plane) in [u, v].into_iter().zip(&self.planes[1..]) {
            to.extend(plane[y / 2 * (width / 2)..][..width / 2].iter().flat_map(|sample| [*sample; 2]));
        }
    }
}
