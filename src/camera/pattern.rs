//! A camera that draws: a still room with a little sensor noise, through which somebody walks every 20 seconds.
//!
//! For trying the program without a camera, for tests and for measuring: every picture carries a
//! [`Timecode`] with its number and capture time. The same seed, size and fps give the same pictures but for the
//! capture time. How the scene's still part is drawn is at the end of this file.

use std::time::Duration;

use super::stamp::{Pace, Stamper};
use super::timecode::Timecode;
use super::{Camera, CameraError, Capture};
use crate::media::{Frame, FramePool, Resolution};

/// Every so many seconds somebody comes.
pub const PERIOD_S: f64 = 20.0;
/// Into the period, the walker comes in at this second: late enough for a detector to have settled.
pub const ENTER_S: f64 = 6.0;
/// Into the period, the walker is gone at this second.
pub const LEAVE_S: f64 = 11.0;

/// The camera that draws.
pub struct Pattern {
    scene: Scene,
    interval: Duration,
    number: u32,
    pace: Pace,
    pool: FramePool,
    stamper: Stamper,
}

impl Pattern {
    /// Seed of the scene that [`super::open`] shows.
    pub const SEED: u64 = 1;

    /// Pictures of `size`, `fps` times a second (at least 1), taken from `pool`.
    pub fn new(seed: u64, size: Resolution, fps: u32, pool: &FramePool, stamper: Stamper) -> Self {
        let fps = fps.max(1);
        Self {
            scene: Scene::new(seed, size, fps),
            interval: Duration::from_secs(1) / fps,
            number: 0,
            pace: Pace::from_now(),
            pool: pool.clone(),
            stamper,
        }
    }
}

impl Camera for Pattern {
    fn next(&mut self) -> Result<Capture, CameraError> {
        self.pace.wait();
        self.pace.advance(self.interval);
        let moment = self.stamper.now();
        let mut frame = self.pool.frame(self.scene.size, moment);
        self.scene.draw(self.number, &mut frame);
        Timecode::new(self.number, moment.pts).draw(&mut frame);
        self.number = self.number.wrapping_add(1);
        Ok(Capture::Raw(frame))
    }
}

/// What is to be seen, by picture number.
pub struct Scene {
    size: Resolution,
    fps: u32,
    seed: u64,
    /// The room, as an I420 picture.
    still: Vec<u8>,
    /// Sensor noise to be added to luma: longer than a plane, read from a place that changes with each picture.
    noise: Vec<u8>,
}

impl Scene {
    /// Noise is added without a check for overflow: the room's luma stays this far from both ends.
    const NOISE: i8 = 3;
    /// How far the start in the noise moves.
    const NOISE_SHIFT: usize = 4096;

    /// Draws the room once.
    pub fn new(seed: u64, size: Resolution, fps: u32) -> Self {
        let mut random = Random(seed);
        let noise = (0..size.pixels() + Self::NOISE_SHIFT)
            // The sum of two is nearer to a sensor's noise than one.
            .map(|_| {
                let bits = random.next();
                ((bits & 3) as i8 + (bits >> 8 & 3) as i8 - Self::NOISE) as u8
            })
            .collect();
        Self { size, fps, seed, still: room(size, &mut random), noise }
    }

    /// Picture `number`, without a time code.
    pub fn draw(&self, number: u32, frame: &mut Frame) {
        let shift = Random(self.seed ^ u64::from(number) << 20).next() as usize % Self::NOISE_SHIFT;
        let (still_y, still_uv) = self.still.split_at(self.size.pixels());
        let (y, uv) = frame.data_mut().split_at_mut(self.size.pixels());
        for ((out, still), noise) in y.iter_mut().zip(still_y).zip(&self.noise[shift..]) {
            *out = still.wrapping_add(*noise);
        }
        uv.copy_from_slice(still_uv);
        self.draw_walker(number, frame);
    }

    /// Where the walker is in picture `number`: its middle in parts of the picture's width, and the number of the
    /// visit; `None` while nobody is there.
    pub fn walker(&self, number: u32) -> Option<(f64, u32)> {
        let time = f64::from(number) / f64::from(self.fps);
        let (visit, into) = ((time / PERIOD_S) as u32, time % PERIOD_S);
        let way = (into - ENTER_S) / (LEAVE_S - ENTER_S);
        if !(0.0..1.0).contains(&way) {
            return None;
        }
        let way = if visit % 2 == 0 { way } else { 1.0 - way };
        Some((way * 1.2 - 0.1, visit))
    }

    fn draw_walker(&self, number: u32, frame: &mut Frame) {
        let Some((middle, visit)) = self.walker(number) else { return };
        let height = f64::from(self.size.height);
        let x = middle * f64::from(self.size.width);
        let step = (f64::from(number) / f64::from(self.fps) * 7.0).sin();
        let clothes = Random(self.seed ^ u64::from(visit)).next();
        let shade = 40 + (clothes % 40) as u8;
        let (u, v) = (108 + (clothes >> 8 & 31) as u8, 112 + (clothes >> 16 & 31) as u8);

        let mut part = |dx: f64, top: f64, width: f64, tall: f64, color: [u8; 3]| {
            fill(frame, [x + (dx - width / 2.0) * height, top * height, width * height, tall * height], color);
        };
        part(0.06 * step, 0.66, 0.07, 0.27, [shade / 2 + 10, 128, 128]);
        part(-0.06 * step, 0.66, 0.07, 0.27, [shade / 2 + 16, 128, 128]);
        part(0.0, 0.38, 0.17, 0.30, [shade, u, v]);
        part(0.11 * step, 0.40, 0.05, 0.22, [shade + 12, u, v]);
        part(0.0, 0.26, 0.09, 0.11, [165, 112, 148]);
    }
}

/// Fills a rectangle (left, top, width, height in pixels), cut to the picture.
fn fill(frame: &mut Frame, [left, top, width, height]: [f64; 4], [luma, cb, cr]: [u8; 3]) {
    let size = frame.size();
    let [y, u, v] = frame.planes_mut();
    for (plane, value, shrink) in [(y, luma, 1), (u, cb, 2), (v, cr, 2)] {
        let (across, down) = (size.width as usize / shrink, size.height as usize / shrink);
        // A float that is negative becomes 0.
        let at = |edge: f64, end: usize| ((edge / shrink as f64) as usize).min(end);
        let columns = at(left, across)..at(left + width, across);
        for row in at(top, down)..at(top + height, down) {
            plane[row * across..][columns.clone()].fill(value);
        }
    }
}

/// A wall with a window and a door, a floor; with texture, so that an encoder has something to do.
fn room(size: Resolution, random: &mut Random) -> Vec<u8> {
    let (width, height) = (size.width as usize, size.height as usize);
    let grain: Vec<u8> = (0..1 << 12).map(|_| (random.next() % 9) as u8).collect();
    let mut still = vec![128; Frame::len_of(size)];
    let (luma, chroma) = still.split_at_mut(size.pixels());
    let inside =
        |x: f64, y: f64, [left, top, right, bottom]: [f64; 4]| (left..right).contains(&x) && (top..bottom).contains(&y);
    const WINDOW: [f64; 4] = [0.10, 0.14, 0.32, 0.48];
    const DOOR: [f64; 4] = [0.70, 0.24, 0.84, 0.84];
    const FLOOR: f64 = 0.84;

    for (row, line) in luma.chunks_exact_mut(width).enumerate() {
        let y = row as f64 / height as f64;
        for (column, pixel) in line.iter_mut().enumerate() {
            let x = column as f64 / width as f64;
            let shade = if inside(x, y, WINDOW) {
                if (x - 0.21).abs() < 0.006 || (y - 0.31).abs() < 0.008 { 90.0 } else { 205.0 - 40.0 * y }
            } else if inside(x, y, DOOR) {
                95.0 + 10.0 * (x * 130.0).sin()
            } else if y >= FLOOR {
                80.0 + 24.0 * f64::from((x * 9.0 + y * 5.0) as u32 % 2) + 30.0 * (y - FLOOR)
            } else {
                150.0 - 30.0 * y - 15.0 * x + 4.0 * (x * 60.0).sin() * (y * 40.0).cos()
            };
            *pixel = shade as u8 + grain[(row / 2 * 61 + column / 2 * 7) % grain.len()];
        }
    }
    let (u, v) = chroma.split_at_mut(size.pixels() / 4);
    for (i, (u, v)) in u.iter_mut().zip(v).enumerate() {
        let (x, y) = ((i % (width / 2)) as f64 / (width / 2) as f64, (i / (width / 2)) as f64 / (height / 2) as f64);
        (*u, *v) = if inside(x, y, WINDOW) {
            (146, 118)
        } else if inside(x, y, DOOR) || y >= FLOOR {
            (112, 140)
        } else {
            (122, 132)
        };
    }
    still
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same scene on every machine, which the standard library does not promise.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;
    use std::time::Instant;

    use jiff::Timestamp;

    use super::*;
    use crate::camera::timecode::read_number;
    use crate::media::{Moment, Pts};

    const SIZE: Resolution = Resolution::new(320, 180);

    fn drawn(scene: &Scene, number: u32) -> Frame {
        let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(scene.size, moment);
        scene.draw(number, &mut frame);
        frame
    }

    /// Part of the luma that differs by more than noise does.
    fn changed(a: &Frame, b: &Frame) -> f64 {
        let differ = a.planes()[0].iter().zip(b.planes()[0]).filter(|(a, b)| a.abs_diff(**b) > 12).count();
        differ as f64 / SIZE.pixels() as f64
    }

    #[test]
    fn the_same_seed_gives_the_same_pictures_and_another_seed_others() {
        let scenes = [1, 1, 2].map(|seed| Scene::new(seed, SIZE, 15));
        let [a, b, c] = scenes.each_ref().map(|scene| drawn(scene, 120));
        assert_eq!(a.data(), b.data());
        assert_ne!(a.data(), c.data());
    }

    #[test]
    fn somebody_walks_through_and_it_is_quiet_in_between() {
        let scene = Scene::new(1, SIZE, 10);
        let still = drawn(&scene, 0);
        for number in 0..400 {
            let into = f64::from(number % 200) / 10.0;
            let area = changed(&still, &drawn(&scene, number));
            if !(ENTER_S..LEAVE_S).contains(&into) {
                assert_eq!(area, 0.0, "picture {number}");
            } else if (ENTER_S + 0.8..LEAVE_S - 0.8).contains(&into) {
                assert!(area > 0.04, "picture {number}: {area}");
            }
        }
    }

    #[test]
    fn the_noise_is_mild_and_never_the_same() {
        let scene = Scene::new(1, SIZE, 15);
        let [a, b] = [0, 1].map(|number| drawn(&scene, number));
        let differences = || a.planes()[0].iter().zip(b.planes()[0]).map(|(a, b)| a.abs_diff(*b));
        assert!(differences().max().unwrap() <= 2 * Scene::NOISE as u8);
        assert!(differences().filter(|&d| d != 0).count() > SIZE.pixels() / 2);
    }

    #[test]
    fn pictures_come_in_real_time_numbered_and_with_their_capture_time() {
        let stamper = Stamper::new(Arc::new(|| Some(7)));
        let mut camera = Pattern::new(1, SIZE, 50, &FramePool::default(), stamper);
        let start = Instant::now();
        let mut last = Pts::MIN;
        for number in 0..11 {
            let Capture::Raw(frame) = camera.next().unwrap() else { panic!("raw expected") };
            assert_eq!(read_number(&frame), Some(number));
            let code = Timecode::read(frame.planes()[0], SIZE).unwrap();
            assert_eq!(code, Timecode::new(number, frame.moment.pts));
            assert!(frame.moment.pts > last);
            assert_eq!(frame.moment.brightness, Some(7));
            last = frame.moment.pts;
        }
        assert!(start.elapsed() >= Duration::from_millis(200));
    }
}
