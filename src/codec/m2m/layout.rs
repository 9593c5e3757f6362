//! How raw pictures lie in the driver's buffers, and the one copy that brings them there.

use crate::media::Frame;

/// Bytes from row to row and rows of luma; chroma has half of both.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub(super) stride: usize,
    pub(super) rows: usize,
    /// Pictures come in full range and are laid down in studio range: V4L2 has no control for the range in the SPS, and where none is
    /// written, players take values below 16 and above 235 for black and white.
    pub(super) to_studio: bool,
}

impl Layout {
    /// Bytes of a picture.
    pub(super) fn bytes(self) -> usize {
        self.stride * self.rows * 3 / 2
    }

    /// Copies a picture into a buffer; the bytes that it takes there.
    ///
    /// # Panics
    /// When the buffer has less than [`Layout::bytes`].
    pub(super) fn write(self, frame: &Frame, to: &mut [u8]) -> usize {
        let (width, [luma, u, v]) = (frame.size().width as usize, frame.planes());
        let (luma_to, chroma_to) = to[..self.bytes()].split_at_mut(self.stride * self.rows);
        let (u_to, v_to) = chroma_to.split_at_mut(chroma_to.len() / 2);
        self.plane(luma, width, luma_to, self.stride, studio_luma);
        self.plane(u, width / 2, u_to, self.stride / 2, studio_chroma);
        self.plane(v, width / 2, v_to, self.stride / 2, studio_chroma);
        self.bytes()
    }

    fn plane(self, from: &[u8], width: usize, to: &mut [u8], stride: usize, studio: impl Fn(u8) -> u8) {
        let copy = |from: &[u8], to: &mut [u8]| match self.to_studio {
            true => to.iter_mut().zip(from).for_each(|(to, from)| *to = studio(*from)),
            false => to.copy_from_slice(from),
        };
        if stride == width {
            copy(from, &mut to[..from.len()]);
        } else {
            for (to, row) in to.chunks_exact_mut(stride).zip(from.chunks_exact(width)) {
                copy(row, &mut to[..width]);
            }
        }
    }
}

/// 0 to 255 becomes 16 to 235.
fn studio_luma(full: u8) -> u8 {
    (16 + (u16::from(full) * 219 + 127) / 255) as u8
}

/// 128 stays, and what differs from it shrinks by 224/255: 0 to 255 becomes 16 to 240.
fn studio_chroma(full: u8) -> u8 {
    // 128 + (full - 128) * 224 / 255, rounded, without a negative number.
    (16 + (u16::from(full) * 224 + 15) / 255) as u8
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::media::{FramePool, Moment, Pts, Resolution};

    /// 4 by 2 pictures have 8 values of luma and 2 of each chroma.
    fn frame(data: [u8; 12]) -> Frame {
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(Resolution::new(4, 2), moment);
        frame.data_mut().copy_from_slice(&data);
        frame
    }

    #[test]
    fn pictures_are_laid_out_as_the_driver_wants_them() {
        let frame = frame([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let mut tight = [0; 12];
        assert_eq!(Layout { stride: 4, rows: 2, to_studio: false }.write(&frame, &mut tight), 12);
        assert_eq!(tight, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
        let mut wide = [0; 36];
        assert_eq!(Layout { stride: 6, rows: 4, to_studio: false }.write(&frame, &mut wide), 36);
        assert_eq!(wide[..12], [1, 2, 3, 4, 0, 0, 5, 6, 7, 8, 0, 0]);
        assert_eq!((&wide[24..27], &wide[30..33]), (&[9, 10, 0][..], &[11, 12, 0][..]));
    }

    #[test]
    fn full_range_becomes_studio_range() {
        let frame = frame([0, 255, 0, 255, 0, 255, 0, 255, 0, 128, 128, 255]);
        let mut buffer = [0; 12];
        Layout { stride: 4, rows: 2, to_studio: true }.write(&frame, &mut buffer);
        assert_eq!(buffer, [16, 235, 16, 235, 16, 235, 16, 235, 16, 128, 128, 240]);
        for full in 0..=u8::MAX {
            let value = f64::from(full);
            let luma = 16.0 + value * 219.0 / 255.0;
            let chroma = 128.0 + (value - 128.0) * 224.0 / 255.0;
            assert_eq!((studio_luma(full), studio_chroma(full)), (luma.round() as u8, chroma.round() as u8), "{full}");
        }
    }
}
