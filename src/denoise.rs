//! Pure: takes a sensor's noise out of a stream of frames before they are encoded.
//!
//! Noise differs from picture to picture, and an encoder spends time and bits on all that differs. Where a sample is within
//! the noise of what it was before, it moves only a part of the way; where something has changed it is taken as it is.
//! How strong the noise is, is measured anew in every frame, for luma and chroma each: without noise nothing is changed. Rotation and levels are
//! in [`crate::picture`].

use std::sync::Arc;

use crate::media::{Frame, FramePool};

/// Samples within this of what they were are moved by a quarter of the difference, at most; a faint thing that moves has to
/// stay one.
const MOST: u8 = 4;
/// Differences of less than this, in quarters of a level, are left alone: an encoder does not see them.
const LEAST_QUARTERS: u32 = 6;
/// Noise is measured in pieces of a row of so many samples, and in one row of so many.
const PIECE: usize = 16;
const ROWS: usize = 32;

/// Takes the noise out of the frames of one stream, one after the other.
#[derive(Default)]
pub struct Denoiser {
    pool: FramePool,
    /// What was given last.
    steady: Option<Arc<Frame>>,
    /// How many pieces differ by how much on average, in quarters of a level.
    pieces: Vec<u32>,
}

impl Denoiser {
    /// A denoiser; the first frame, and the first of a new size, pass as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// The frame without noise; itself where there is none.
    pub fn reduce(&mut self, frame: Arc<Frame>) -> Arc<Frame> {
        let steady = match self.steady.take().filter(|steady| steady.size() == frame.size()) {
            Some(before) => self.steadied(&before, frame),
            None => frame,
        };
        self.steady = Some(Arc::clone(&steady));
        steady
    }

    fn steadied(&mut self, before: &Frame, frame: Arc<Frame>) -> Arc<Frame> {
        let width = frame.size().width as usize;
        let widths = [width, width / 2, width / 2];
        let reaches = [0, 1, 2].map(|n| {
            let (now, then) = (frame.planes()[n], before.planes()[n]);
            reach(noise(&mut self.pieces, now, then, widths[n]))
        });
        if reaches == [0; 3] {
            return frame;
        }
        let mut steady = Arc::try_unwrap(frame).unwrap_or_else(|shared| {
            let mut own = self.pool.frame(shared.size(), shared.moment);
            own.data_mut().copy_from_slice(shared.data());
            own
        });
        for ((now, before), reach) in steady.planes_mut().into_iter().zip(before.planes()).zip(reaches) {
            if reach > 0 {
                follow(before, now, reach);
            }
        }
        Arc::new(steady)
    }
}

/// Mean difference of the samples of a piece that stands still, in quarters of a level: the median of all pieces of a plane, so
/// that what moves does not count while it takes less than half of the picture.
fn noise(pieces: &mut Vec<u32>, now: &[u8], then: &[u8], width: usize) -> u32 {
    const LARGEST: usize = 4 * 255;
    pieces.clear();
    pieces.resize(LARGEST + 1, 0);
    let mut count = 0;
    for (now, then) in now.chunks_exact(width).zip(then.chunks_exact(width)).skip(ROWS / 4).step_by(ROWS) {
        for (now, then) in now.chunks_exact(PIECE).zip(then.chunks_exact(PIECE)) {
            let sum: u32 = now.iter().zip(then).map(|(now, then)| u32::from(now.abs_diff(*then))).sum();
            pieces[sum as usize / (PIECE / 4)] += 1;
            count += 1;
        }
    }
    let mut left = count / 2;
    let median = pieces.iter().position(|pieces| {
        let here = *pieces > left;
        left = left.saturating_sub(*pieces);
        here
    });
    median.unwrap_or(0) as u32
}

/// Up to what difference samples are taken for unchanged: twice the mean difference, which nine of ten are within.
fn reach(quarters: u32) -> u8 {
    if quarters < LEAST_QUARTERS { 0 } else { (quarters / 2).min(MOST.into()) as u8 }
}

/// Moves samples from what they were towards what they are now: a quarter of the way within `reach`, half within twice that,
/// all beyond. Rounded alike in both directions, and a difference of one stays, so that what stands still comes to rest.
fn follow(before: &[u8], now: &mut [u8], reach: u8) {
    for (now, before) in now.iter_mut().zip(before) {
        let away = now.abs_diff(*before);
        let step = if away <= reach {
            (away + 2) / 4
        } else if away <= 2 * reach {
            away.div_ceil(2)
        } else {
            away
        };
        *now = if *now > *before { *before + step } else { *before - step };
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::media::{Moment, Pts, Resolution};

    const SIZE: Resolution = Resolution::new(160, 96);

    /// Frame `n`: grey, with noise of so many levels to either side, and a square of `contrast` that moves.
    fn frame(pool: &FramePool, n: usize, noise: i32, contrast: i32) -> Frame {
        let moment = Moment { pts: Pts(n as i64), wall: jiff::Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = pool.frame(SIZE, moment);
        let mut seed = (n as u32 + 1).wrapping_mul(747_796_405) | 1;
        for (i, sample) in frame.data_mut().iter_mut().enumerate() {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            let (x, y) = (i % 160, i / 160);
            let square = (4 * n..4 * n + 24).contains(&x) && (30..54).contains(&y);
            *sample = (100 + (seed >> 8) as i32 % (2 * noise + 1) - noise + contrast * i32::from(square)) as u8;
        }
        frame
    }

    fn mean_error(frame: &Frame, n: usize, contrast: i32) -> f32 {
        let wanted = self::frame(&FramePool::default(), n, 0, contrast);
        let errors = frame.planes()[0].iter().zip(wanted.planes()[0]).map(|(a, b)| f32::from(a.abs_diff(*b)));
        errors.sum::<f32>() / frame.planes()[0].len() as f32
    }

    #[test]
    fn noise_becomes_less_than_half() {
        let pool = FramePool::default();
        let mut denoiser = Denoiser::new();
        let (mut before, mut after) = (0.0, 0.0);
        for n in 0..20 {
            let noisy = Arc::new(frame(&pool, n, 3, 0));
            let steady = denoiser.reduce(Arc::clone(&noisy));
            assert_eq!(steady.moment, noisy.moment);
            if n > 10 {
                before += mean_error(&noisy, n, 0);
                after += mean_error(&steady, n, 0);
            }
        }
        assert!(after < before / 2.0, "{before} became {after}");
    }

    #[test]
    fn frames_without_noise_pass_unchanged() {
        let pool = FramePool::default();
        let mut denoiser = Denoiser::new();
        for n in 0..20 {
            let clean = Arc::new(frame(&pool, n, 0, 3));
            assert!(Arc::ptr_eq(&denoiser.reduce(Arc::clone(&clean)), &clean), "frame {n} is not even copied");
        }
    }

    #[test]
    fn what_moves_leaves_no_trace_in_noise() {
        let pool = FramePool::default();
        let mut denoiser = Denoiser::new();
        for n in 0..20 {
            let steady = denoiser.reduce(Arc::new(frame(&pool, n, 3, 40)));
            if n > 0 {
                // Where the square was a picture ago, and where it is only now.
                let row = &steady.planes()[0][40 * 160..][..160];
                for (x, wanted) in [(4 * n - 4, 100), (4 * n - 1, 100), (4 * n, 140), (4 * n + 23, 140)] {
                    assert!(row[x].abs_diff(wanted) <= 4, "frame {n}: {} at {x}, not {wanted}", row[x]);
                }
            }
        }
    }

    #[test]
    fn a_frame_that_others_have_too_is_left_as_it_is() {
        let pool = FramePool::default();
        let (mut alone, mut shared) = (Denoiser::new(), Denoiser::new());
        for n in 0..5 {
            let noisy = Arc::new(frame(&pool, n, 3, 40));
            let in_place = alone.reduce(Arc::new(frame(&pool, n, 3, 40)));
            assert!(shared.reduce(Arc::clone(&noisy)).data() == in_place.data());
            assert!(noisy.data() == frame(&pool, n, 3, 40).data());
        }
    }

    #[test]
    fn another_size_begins_anew() {
        let pool = FramePool::default();
        let mut denoiser = Denoiser::new();
        denoiser.reduce(Arc::new(frame(&pool, 0, 3, 0)));
        let mut turned = pool.frame(SIZE.turned(), frame(&pool, 1, 0, 0).moment);
        turned.data_mut().fill(7);
        let turned = Arc::new(turned);
        assert!(Arc::ptr_eq(&denoiser.reduce(Arc::clone(&turned)), &turned));
    }

    #[test]
    fn steps_are_alike_in_both_directions_and_pass_by_nothing() {
        for now in 0..=255u8 {
            let before: Vec<u8> = (0..=255).collect();
            let mut steady = [now; 256];
            follow(&before, &mut steady, MOST);
            for (was, is) in (0..=255u8).zip(steady) {
                assert!(is.abs_diff(now) <= was.abs_diff(now), "{was} to {now}: {is}");
                assert!(was.abs_diff(now) <= 2 * MOST || is == now, "{was} to {now}: {is}");
            }
        }
    }
}
