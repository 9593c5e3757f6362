//! Pure: the picture settings that no driver does for us: rotation, brightness, contrast, saturation.
//!
//! Names and ranges are those of 1.x ([`crate::settings::PictureSettings`]). Which of them a camera's driver does
//! is known to the camera; changes of size are in [`crate::scale`].

use crate::media::{Frame, FramePool, Luma, Resolution};

/// Rotation clockwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rotation {
    /// As the camera gives it.
    #[default]
    None,
    /// 90 degrees: what was left is on top.
    Quarter,
    /// 180 degrees.
    Half,
    /// 270 degrees: what was right is on top.
    ThreeQuarters,
}

impl Rotation {
    /// From 0, 90, 180 or 270 degrees.
    pub const fn from_degrees(degrees: i32) -> Option<Self> {
        match degrees {
            0 => Some(Self::None),
            90 => Some(Self::Quarter),
            180 => Some(Self::Half),
            270 => Some(Self::ThreeQuarters),
            _ => None,
        }
    }

    /// Size of a picture after it.
    pub const fn turned(self, size: Resolution) -> Resolution {
        match self {
            Self::None | Self::Half => size,
            Self::Quarter | Self::ThreeQuarters => size.turned(),
        }
    }
}

/// Turns a frame into one of the pool's, its moment kept; without rotation it is given back as it is.
pub fn rotate(frame: Frame, rotation: Rotation, pool: &FramePool) -> Frame {
    if rotation == Rotation::None {
        return frame;
    }
    let size = frame.size();
    let mut out = pool.frame(rotation.turned(size), frame.moment);
    let (width, height) = (size.width as usize, size.height as usize);
    for (i, (to, from)) in out.planes_mut().into_iter().zip(frame.planes()).enumerate() {
        let part = if i == 0 { 1 } else { 2 };
        rotate_plane(from, width / part, height / part, rotation, to);
    }
    out
}

/// Turns a luma plane in place; `scratch` is memory that is kept from call to call.
pub fn rotate_luma(luma: &mut Luma, rotation: Rotation, scratch: &mut Luma) {
    if rotation == Rotation::None {
        return;
    }
    scratch.data.resize(luma.data.len(), 0);
    rotate_plane(&luma.data, luma.width, luma.height, rotation, &mut scratch.data);
    (scratch.width, scratch.height) = match rotation {
        Rotation::Quarter | Rotation::ThreeQuarters => (luma.height, luma.width),
        _ => (luma.width, luma.height),
    };
    std::mem::swap(luma, scratch);
}

fn rotate_plane(from: &[u8], width: usize, height: usize, rotation: Rotation, to: &mut [u8]) {
    match rotation {
        Rotation::None => to.copy_from_slice(from),
        Rotation::Half => {
            for (to, from) in to.iter_mut().zip(from.iter().rev()) {
                *to = *from;
            }
        }
        Rotation::Quarter => transpose(from, width, height, |x, y| x * height + (height - 1 - y), to),
        Rotation::ThreeQuarters => transpose(from, width, height, |x, y| (width - 1 - x) * height + y, to),
    }
}

/// In tiles, so that the rows written stay in the cache until they are full.
fn transpose(from: &[u8], width: usize, height: usize, place: impl Fn(usize, usize) -> usize, to: &mut [u8]) {
    const TILE: usize = 32;
    for top in (0..height).step_by(TILE) {
        for left in (0..width).step_by(TILE) {
            for y in top..(top + TILE).min(height) {
                for x in left..(left + TILE).min(width) {
                    to[place(x, y)] = from[y * width + x];
                }
            }
        }
    }
}

/// Brightness, contrast and saturation as tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Levels {
    luma: Option<Box<[u8; 256]>>,
    chroma: Option<Box<[u8; 256]>>,
}

impl Levels {
    /// `brightness` is 0 (black) to 100 (white), 50 leaves it; `contrast` and `saturation` are -100 (none) to 100 (double), 0
    /// leaves them. Values beyond are clamped.
    pub fn new(brightness: i32, contrast: i32, saturation: i32) -> Self {
        let brightness = brightness.clamp(0, 100) - 50;
        let (contrast, saturation) = (contrast.clamp(-100, 100), saturation.clamp(-100, 100));
        let table = |gain: i32, shift: i32| {
            let mut table = Box::new([0; 256]);
            for (level, to) in (0..).zip(table.iter_mut()) {
                *to = ((level - 128) * (100 + gain) / 100 + 128 + shift).clamp(0, 255) as u8;
            }
            table
        };
        Self {
            luma: (brightness != 0 || contrast != 0).then(|| table(contrast, brightness * 255 / 50)),
            chroma: (saturation != 0).then(|| table(saturation, 0)),
        }
    }

    /// Whether [`Levels::apply`] changes nothing, and costs nothing.
    pub fn is_identity(&self) -> bool {
        self.luma.is_none() && self.chroma.is_none()
    }

    /// Changes a frame in place.
    pub fn apply(&self, frame: &mut Frame) {
        let [y, u, v] = frame.planes_mut();
        for (table, plane) in [(&self.luma, y), (&self.chroma, u), (&self.chroma, v)] {
            if let Some(table) = table {
                plane.iter_mut().for_each(|sample| *sample = table[*sample as usize]);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::media::{Moment, Pts};

    /// Luma is `x + 16 * y`, chroma the same of half.
    fn frame(pool: &FramePool) -> Frame {
        let moment = Moment { pts: Pts(9), wall: jiff::Timestamp::UNIX_EPOCH, brightness: Some(1) };
        let mut frame = pool.frame(Resolution::new(6, 4), moment);
        for (plane, width) in frame.planes_mut().into_iter().zip([6, 3, 3]) {
            for (i, sample) in plane.iter_mut().enumerate() {
                *sample = (i % width + 16 * (i / width)) as u8;
            }
        }
        frame
    }

    #[test]
    fn a_quarter_brings_the_left_to_the_top() {
        let pool = FramePool::default();
        let turned = rotate(frame(&pool), Rotation::Quarter, &pool);
        assert_eq!((turned.size(), turned.moment.pts), (Resolution::new(4, 6), Pts(9)));
        let [y, u, v] = turned.planes();
        assert_eq!(y[..8], [48, 32, 16, 0, 49, 33, 17, 1]);
        assert_eq!(u, [16, 0, 17, 1, 18, 2]);
        assert_eq!(u, v);
    }

    #[test]
    fn four_quarters_are_nothing_and_two_are_a_half() {
        let pool = FramePool::default();
        let quarter = |frame| rotate(frame, Rotation::Quarter, &pool);
        let half = rotate(frame(&pool), Rotation::Half, &pool);
        assert!(quarter(quarter(frame(&pool))).data() == half.data());
        assert!(quarter(half).data() == rotate(frame(&pool), Rotation::ThreeQuarters, &pool).data());
        let thrice = rotate(frame(&pool), Rotation::ThreeQuarters, &pool);
        assert!(quarter(thrice).data() == frame(&pool).data());
        assert!(rotate(frame(&pool), Rotation::None, &pool).data() == frame(&pool).data());
    }

    #[test]
    fn luma_turns_as_its_frame_does() {
        let pool = FramePool::default();
        let mut scratch = Luma::default();
        for degrees in [0, 90, 180, 270] {
            let rotation = Rotation::from_degrees(degrees).unwrap();
            let mut luma = Luma { width: 6, height: 4, data: frame(&pool).planes()[0].to_vec() };
            rotate_luma(&mut luma, rotation, &mut scratch);
            let turned = rotate(frame(&pool), rotation, &pool);
            assert_eq!((luma.width as u32, luma.height as u32), (turned.size().width, turned.size().height));
            assert_eq!(luma.data, turned.planes()[0]);
        }
        assert_eq!(Rotation::from_degrees(45), None);
    }

    #[test]
    fn levels_have_the_ranges_of_1x() {
        let pool = FramePool::default();
        let with = |brightness, contrast, saturation, luma: u8, chroma: u8| {
            let mut frame = frame(&pool);
            let [y, u, v] = frame.planes_mut();
            y.fill(luma);
            u.fill(chroma);
            v.fill(chroma);
            Levels::new(brightness, contrast, saturation).apply(&mut frame);
            let [y, u, _] = frame.planes();
            (y[0], u[0])
        };
        assert!(Levels::new(50, 0, 0).is_identity());
        assert_eq!(with(50, 0, 0, 77, 99), (77, 99));
        assert_eq!(with(0, 0, 0, 255, 99), (0, 99));
        assert_eq!(with(100, 0, 0, 0, 99), (255, 99));
        assert_eq!(with(60, 0, 0, 100, 99), (151, 99));
        assert_eq!(with(50, -100, 0, 200, 99), (128, 99));
        assert_eq!(with(50, 100, 0, 158, 99), (188, 99));
        assert_eq!(with(50, 0, -100, 77, 99), (77, 128));
        assert_eq!(with(50, 0, 100, 77, 200), (77, 255));
    }
}
