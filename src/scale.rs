//! Pure: makes frames and luma planes smaller.
//!
//! Halves and the detector's 1/2, 1/4 and 1/8 are exact box averages in own code, which is two to three times as fast as a
//! general resizer; every other ratio is `fast_image_resize`'s. Rotation is in [`crate::picture`].

use fast_image_resize as fir;

use crate::media::{Frame, FramePool, Luma, Resolution};

/// By what a picture is reduced for the motion detector: 1, 2, 4 or 8, the least that makes its longer side at most
/// 480 pixels.
pub fn luma_scale(size: Resolution) -> usize {
    const LONGEST: u32 = 480;
    let longer = size.width.max(size.height);
    [1, 2, 4].into_iter().find(|scale| longer / scale <= LONGEST).unwrap_or(8) as usize
}

/// Reduces a frame's luma to `1/scale` of its size, rounded down, by averaging; `out` is resized. `scale` is 1, 2, 4 or 8.
///
/// # Panics
/// When `scale` is none of these.
pub fn shrink_luma(frame: &Frame, scale: usize, out: &mut Luma) {
    shrink_plane(frame.planes()[0], frame.size().width as usize, frame.size(), scale, out);
}

/// As [`shrink_luma`], from a plane of `size` with rows of `stride` samples.
pub(crate) fn shrink_plane(plane: &[u8], stride: usize, size: Resolution, scale: usize, out: &mut Luma) {
    out.width = size.width as usize / scale;
    out.height = size.height as usize / scale;
    out.data.resize(out.width * out.height, 0);
    let rows = out.data.chunks_exact_mut(out.width.max(1)).zip(plane.chunks(stride * scale));
    for (to, from) in rows {
        match scale {
            1 => to.copy_from_slice(&from[..to.len()]),
            2 => halve_row(to, &from[..stride], &from[stride..]),
            4 => box_row::<4>(to, from, stride),
            8 => box_row::<8>(to, from, stride),
            _ => panic!("a luma scale is 1, 2, 4 or 8"),
        }
    }
}

/// Averages 2x2 samples, rounded.
fn halve_row(to: &mut [u8], above: &[u8], below: &[u8]) {
    for ((to, a), b) in to.iter_mut().zip(above.chunks_exact(2)).zip(below.chunks_exact(2)) {
        *to = ((a[0] as u16 + a[1] as u16 + b[0] as u16 + b[1] as u16 + 2) / 4) as u8;
    }
}

/// Averages NxN samples, rounded: first down the columns, which is what vector units are good at, then across.
fn box_row<const N: usize>(to: &mut [u8], from: &[u8], stride: usize) {
    const TILE: usize = 512;
    let mut sums = [0u16; TILE];
    let mut halves = [0u16; TILE / 2];
    for (i, to) in to.chunks_mut(TILE / N).enumerate() {
        let mut width = to.len() * N;
        // N * N * 255 is at most 16320: the sums fit.
        sums[..width].fill(0);
        for row in from.chunks(stride).take(N) {
            for (sum, sample) in sums[..width].iter_mut().zip(&row[i * TILE..]) {
                *sum += *sample as u16;
            }
        }
        while width > to.len() {
            width /= 2;
            for (half, pair) in halves[..width].iter_mut().zip(sums.as_chunks::<2>().0) {
                *half = pair[0] + pair[1];
            }
            sums[..width].copy_from_slice(&halves[..width]);
        }
        for (to, sum) in to.iter_mut().zip(&sums) {
            *to = ((sum + (N * N / 2) as u16) / (N * N) as u16) as u8;
        }
    }
}

/// Makes frames smaller. Keeps its tables from frame to frame.
pub struct Scaler {
    resizer: fir::Resizer,
    options: fir::ResizeOptions,
}

impl Scaler {
    /// A scaler.
    pub fn new() -> Self {
        // A triangle as wide as the ratio: every source pixel counts, and edges do not flicker as with a box.
        let algorithm = fir::ResizeAlg::Convolution(fir::FilterType::Bilinear);
        Self { resizer: fir::Resizer::new(), options: fir::ResizeOptions::new().resize_alg(algorithm).use_alpha(false) }
    }

    /// The frame at `size` (even), its moment kept. Meant for smaller sizes: an equal one costs a copy.
    pub fn scale(&mut self, frame: &Frame, size: Resolution, pool: &FramePool) -> Frame {
        let mut out = pool.frame(size, frame.moment);
        let (from, to) = (frame.size(), size);
        let half = from.width == 2 * to.width && from.height == 2 * to.height;
        for (i, (to_plane, from_plane)) in out.planes_mut().into_iter().zip(frame.planes()).enumerate() {
            let part = if i == 0 { 1 } else { 2 };
            if half {
                let width = (from.width / part) as usize;
                let rows = to_plane.chunks_exact_mut(width / 2).zip(from_plane.chunks_exact(2 * width));
                for (to, from) in rows {
                    let (above, below) = from.split_at(width);
                    halve_row(to, above, below);
                }
            } else {
                self.resize(
                    from_plane,
                    (from.width / part, from.height / part),
                    to_plane,
                    (to.width / part, to.height / part),
                );
            }
        }
        out
    }

    fn resize(&mut self, from: &[u8], from_size: (u32, u32), to: &mut [u8], to_size: (u32, u32)) {
        // The untyped call would compile the resizer for all its pixel types: minutes of every build.
        type Grey = fir::pixels::U8;
        let from = fir::images::TypedImageRef::<Grey>::from_buffer(from_size.0, from_size.1, from);
        let to = fir::images::TypedImage::<Grey>::from_buffer(to_size.0, to_size.1, to);
        let (from, mut to) = (from.expect("a plane has its size"), to.expect("a plane has its size"));
        self.resizer
            .resize_typed(&from, &mut to, &self.options)
            .expect("without a crop box, only the pixel types could disagree");
    }
}

impl Default for Scaler {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::media::{Moment, Pts};

    const MOMENT: Moment = Moment { pts: Pts(5), wall: jiff::Timestamp::UNIX_EPOCH, brightness: None };

    fn frame(pool: &FramePool, size: Resolution) -> Frame {
        let mut frame = pool.frame(size, MOMENT);
        let [y, u, v] = frame.planes_mut();
        for (i, sample) in y.iter_mut().enumerate() {
            *sample = (i * 31 % 251) as u8;
        }
        u.fill(90);
        v.fill(170);
        frame
    }

    #[test]
    fn the_detectors_picture_is_240_to_480_wide() {
        let scales = [(320, 240, 1), (640, 480, 2), (768, 576, 2), (960, 540, 2), (1280, 720, 4), (1640, 1232, 4)];
        for (width, height, scale) in scales.into_iter().chain([(1920, 1080, 4), (3840, 2160, 8)]) {
            assert_eq!(luma_scale(Resolution::new(width, height)), scale, "{width}x{height}");
            assert_eq!(luma_scale(Resolution::new(height, width)), scale, "{height}x{width}");
        }
    }

    #[test]
    fn luma_boxes_are_exact_averages_also_where_the_size_does_not_divide() {
        let pool = FramePool::default();
        for size in [Resolution::new(1284, 26), Resolution::new(34, 18)] {
            let frame = frame(&pool, size);
            let (y, width) = (frame.planes()[0], size.width as usize);
            let mut luma = Luma::default();
            for scale in [1, 2, 4, 8] {
                shrink_luma(&frame, scale, &mut luma);
                assert_eq!((luma.width, luma.height), (width / scale, size.height as usize / scale));
                for (i, got) in luma.data.iter().enumerate() {
                    let (left, top) = (i % luma.width * scale, i / luma.width * scale);
                    let sum: usize =
                        (0..scale * scale).map(|k| y[(top + k / scale) * width + left + k % scale] as usize).sum();
                    assert_eq!(*got as usize, (sum + scale * scale / 2) / (scale * scale), "{size} 1/{scale} at {i}");
                }
            }
        }
    }

    #[test]
    fn halves_are_averages_and_other_ratios_are_close_to_them() {
        let pool = FramePool::default();
        let mut scaler = Scaler::new();
        let flat = |frame: &mut Frame| frame.planes_mut().into_iter().zip([70, 90, 170]).for_each(|(p, c)| p.fill(c));
        for (from, to) in [((320, 240), (160, 120)), ((1640, 1232), (820, 616)), ((640, 480), (426, 320))] {
            let (from, to) = (Resolution::new(from.0, from.1), Resolution::new(to.0, to.1));
            let mut whole = frame(&pool, from);
            let small = scaler.scale(&whole, to, &pool);
            assert_eq!((small.size(), small.moment), (to, MOMENT));
            let mean = |data: &[u8]| data.iter().map(|s| *s as f64).sum::<f64>() / data.len() as f64;
            assert!((mean(small.planes()[0]) - mean(whole.planes()[0])).abs() < 1.0);
            flat(&mut whole);
            for (plane, colour) in scaler.scale(&whole, to, &pool).planes().into_iter().zip([70, 90, 170]) {
                assert!(plane.iter().all(|sample| *sample == colour));
            }
        }
        let whole = frame(&pool, Resolution::new(8, 4));
        let half = scaler.scale(&whole, Resolution::new(4, 2), &pool);
        let y = whole.planes()[0];
        assert_eq!(half.planes()[0][1] as u16, (y[2] as u16 + y[3] as u16 + y[10] as u16 + y[11] as u16 + 2) / 4);
    }
}
