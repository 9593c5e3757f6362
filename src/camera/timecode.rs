//! A small strip of black and white cells in the bottom left corner of a picture that says which picture it is and
//! when it was taken, so that a test finds both again after encoding, scaling and network.
//!
//! Pure. Who draws it is `pattern`.
//!
//! 20 by 4 cells, row by row, white for 1: the number (32 bits), the capture time (32 bits), and the low 16 bits of the
//! CRC-32 of these 8 bytes; each value with its most significant bit first. A cell is a 120th of the picture's height,
//! so that the strip is less than half a percent of a 16:9 picture.

use crate::media::{Frame, Pts, Resolution};

const COLUMNS: usize = 20;
const ROWS: usize = 4;
const BLACK: u8 = 24;
const WHITE: u8 = 220;

/// What a strip says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timecode {
    /// The picture's number, from 0.
    pub number: u32,
    /// When it was taken: milliseconds of its PTS, of which the low 32 bits are kept.
    pub time_ms: u32,
}

impl Timecode {
    /// Of the picture `number` that was taken at `pts`.
    pub fn new(number: u32, pts: Pts) -> Self {
        Self { number, time_ms: (pts.0 / (Pts::HZ / 1000)) as u32 }
    }

    /// Milliseconds from the capture until `now`.
    pub fn age_ms(self, now: Pts) -> u32 {
        Self::new(0, now).time_ms.wrapping_sub(self.time_ms)
    }

    fn payload(self) -> [u8; 8] {
        let mut payload = [0; 8];
        payload[..4].copy_from_slice(&self.number.to_be_bytes());
        payload[4..].copy_from_slice(&self.time_ms.to_be_bytes());
        payload
    }

    /// Draws the strip into the corner.
    pub fn draw(self, frame: &mut Frame) {
        let size = frame.size();
        let cell = cell_of(size);
        let (width, height) = (size.width as usize, size.height as usize);
        let payload = self.payload();
        let check = crc32fast::hash(&payload) as u16;
        let bits = (u128::from(u64::from_be_bytes(payload)) << 16) | u128::from(check);

        let [y, u, v] = frame.planes_mut();
        let top = height - ROWS * cell;
        for (row, line) in y.chunks_exact_mut(width).skip(top).enumerate() {
            for (column, pixels) in line.chunks_exact_mut(cell).take(COLUMNS).enumerate() {
                let bit = COLUMNS * ROWS - 1 - (row / cell * COLUMNS + column);
                pixels.fill(if bits >> bit & 1 == 1 { WHITE } else { BLACK });
            }
        }
        for plane in [u, v] {
            for line in plane.chunks_exact_mut(width / 2).skip(top / 2) {
                line[..(COLUMNS * cell / 2).min(width / 2)].fill(128);
            }
        }
    }

    /// Reads the strip from a luma plane without padding, at whatever scale the picture has now.
    ///
    /// `None` when there is none, or it has become unreadable.
    pub fn read(luma: &[u8], size: Resolution) -> Option<Self> {
        if luma.len() < size.pixels() {
            return None;
        }
        // The picture's height says the cell's size only until it is scaled by an odd factor.
        let guess = f64::from(size.height) / 120.0;
        let mut sizes: Vec<f64> = (6..=64).map(|quarters| f64::from(quarters) / 4.0).collect();
        sizes.sort_by(|a, b| (a - guess).abs().total_cmp(&(b - guess).abs()));
        sizes.into_iter().find_map(|cell| Self::read_cells(luma, size, cell))
    }

    fn read_cells(luma: &[u8], size: Resolution, cell: f64) -> Option<Self> {
        let (width, height) = (size.width as usize, size.height as usize);
        if COLUMNS as f64 * cell > width as f64 || ROWS as f64 * cell > height as f64 {
            return None;
        }
        let mut bits = 0_u128;
        for row in 0..ROWS {
            let y = height as f64 - ((ROWS - row) as f64 - 0.5) * cell;
            for column in 0..COLUMNS {
                let x = (column as f64 + 0.5) * cell;
                let pixel = luma[y as usize * width + x as usize];
                bits = bits << 1 | u128::from(pixel > BLACK.midpoint(WHITE));
            }
        }
        let (payload, check) = ((bits >> 16) as u64, bits as u16);
        let read = Self { number: (payload >> 32) as u32, time_ms: payload as u32 };
        (crc32fast::hash(&read.payload()) as u16 == check).then_some(read)
    }
}

/// The number of the picture, where it has a readable strip.
pub fn read_number(frame: &Frame) -> Option<u32> {
    Timecode::read(frame.planes()[0], frame.size()).map(|code| code.number)
}

fn cell_of(size: Resolution) -> usize {
    (size.height as usize / 120).max(2).min(size.width as usize / COLUMNS).max(1)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::media::{FramePool, Moment};

    fn frame(size: Resolution) -> Frame {
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(size, moment);
        frame.data_mut().fill(100);
        frame
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_read(number: u32, time_ms: u32, w in 32_u32..1000, h in 32_u32..800) {
            let mut frame = frame(Resolution::new(w * 2, h * 2));
            let code = Timecode { number, time_ms };
            code.draw(&mut frame);
            prop_assert_eq!(Timecode::read(frame.planes()[0], frame.size()), Some(code));
        }

        #[test]
        fn noise_says_nothing(luma in prop::collection::vec(any::<u8>(), 160 * 120)) {
            // 59 sizes are tried against a check of 16 bits: one in a thousand may be read by chance, none in practice
            // that also holds a number below 2^20.
            let code = Timecode::read(&luma, Resolution::new(160, 120));
            prop_assert!(code.is_none_or(|code| code.number >= 1 << 20));
        }
    }

    #[test]
    fn it_is_read_from_a_picture_of_half_the_size() {
        let mut large = frame(Resolution::new(1280, 720));
        let code = Timecode::new(77, Pts(90 * 123_456));
        assert_eq!(code.time_ms, 123_456);
        code.draw(&mut large);
        let half: Vec<u8> = large.planes()[0]
            .chunks_exact(2 * 1280)
            .flat_map(|rows| (0..640).map(|x| ((u16::from(rows[2 * x]) + u16::from(rows[1281 + 2 * x])) / 2) as u8))
            .collect();
        assert_eq!(Timecode::read(&half, Resolution::new(640, 360)), Some(code));
    }

    #[test]
    fn it_stays_far_below_the_smallest_area_that_triggers() {
        for (w, h) in [(320, 240), (640, 480), (1280, 720), (1640, 1232), (1920, 1080)] {
            let size = Resolution::new(w, h);
            let area = (ROWS * COLUMNS * cell_of(size).pow(2)) as f64 / size.pixels() as f64;
            assert!(area < 0.005, "{size}: {area}");
        }
    }

    #[test]
    fn the_age_survives_the_wrap_of_the_milliseconds() {
        let taken = Timecode::new(0, Pts(90 * (u32::MAX as i64 - 10)));
        assert_eq!(taken.age_ms(Pts(90 * (u32::MAX as i64 + 10))), 20);
    }
}
