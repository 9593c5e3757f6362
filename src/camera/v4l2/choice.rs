//! Which of a device's formats, sizes and rates to ask for. Pure; what a device offers is read in the parent module.

use crate::media::Resolution;

/// A pixel format this program can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PixelFormat {
    /// JPEGs.
    Mjpg,
    /// Planar 4:2:0: taken as it is.
    Yu12,
    /// 4:2:0 with interleaved chroma.
    Nv12,
    /// Packed 4:2:2.
    Yuyv,
    /// Luma only.
    Grey,
}

impl PixelFormat {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Mjpg, Self::Yu12, Self::Nv12, Self::Yuyv, Self::Grey];

    /// V4L2's code.
    pub const fn fourcc(self) -> [u8; 4] {
        match self {
            Self::Mjpg => *b"MJPG",
            Self::Yu12 => *b"YU12",
            Self::Nv12 => *b"NV12",
            Self::Yuyv => *b"YUYV",
            Self::Grey => *b"GREY",
        }
    }

    /// The format with V4L2's code. `JPEG` is MJPG by another name.
    pub fn from_fourcc(fourcc: [u8; 4]) -> Option<Self> {
        if fourcc == *b"JPEG" {
            return Some(Self::Mjpg);
        }
        Self::ALL.into_iter().find(|format| format.fourcc() == fourcc)
    }

    /// Its code as text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Mjpg => "MJPG",
            Self::Yu12 => "YU12",
            Self::Nv12 => "NV12",
            Self::Yuyv => "YUYV",
            Self::Grey => "GREY",
        }
    }

    /// What is preferred among formats that all give the size and the rate: the smaller the better. Large raw pictures
    /// fill the bus and must be encoded all the time; a small picture is decoded more dearly than copied.
    fn rank(self, size: Resolution) -> u8 {
        const LARGE: usize = 640 * 480;
        match self {
            Self::Mjpg if size.pixels() > LARGE => 0,
            Self::Yu12 => 1,
            Self::Nv12 => 2,
            Self::Yuyv => 3,
            Self::Mjpg => 4,
            Self::Grey => 5,
        }
    }
}

/// Sizes of one format.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sizes {
    /// One size.
    One(Resolution),
    /// Every size from `min` to `max` in steps of `step`.
    Range {
        /// Smallest.
        min: Resolution,
        /// Largest.
        max: Resolution,
        /// Step across and down; at least 1.
        step: Resolution,
    },
}

impl Sizes {
    /// The even size nearest to `wanted`.
    pub fn nearest(self, wanted: Resolution) -> Resolution {
        match self {
            Sizes::One(size) => size,
            Sizes::Range { min, max, step } => {
                let near = |wanted: u32, min: u32, max: u32, step: u32| {
                    // An odd step is doubled, so that steps from an even start stay even.
                    let step = step.max(1) * (1 + step.max(1) % 2);
                    let start = min + min % 2;
                    let steps = (wanted.clamp(start, max.max(start)) - start + step / 2) / step;
                    let size = start + steps * step;
                    if size > max && size >= step + start { size - step } else { size }
                };
                Resolution::new(
                    near(wanted.width, min.width, max.width, step.width),
                    near(wanted.height, min.height, max.height, step.height),
                )
            }
        }
    }
}

/// What a device offers: one format with some sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Offer {
    /// The format.
    pub format: PixelFormat,
    /// Sizes in this format.
    pub sizes: Sizes,
    /// Frames a second at these sizes, in any order; empty when the driver does not say.
    pub rates: Vec<f64>,
}

/// What to ask a device for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The format.
    pub format: PixelFormat,
    /// The size: the wanted one, or the nearest.
    pub size: Resolution,
    /// Frames a second: the wanted rate, the next above, or the highest.
    pub fps: f64,
}

/// The best of what is offered: first by size, then by rate, then by format. `None` when nothing usable is offered.
pub fn choose(offers: &[Offer], size: Resolution, fps: u32) -> Option<Choice> {
    let wanted = f64::from(fps);
    offers
        .iter()
        .map(|offer| {
            let near = offer.sizes.nearest(size);
            Choice { format: offer.format, size: near, fps: nearest_rate(&offer.rates, wanted) }
        })
        .min_by(|a, b| {
            let cost = |choice: &Choice| {
                // A rate that is a little short (29.97) is the rate.
                let short = ((wanted - choice.fps) / wanted - 0.01).max(0.0);
                (size_cost(choice.size, size), short, choice.format.rank(size), choice.fps)
            };
            let (a, b) = (cost(a), cost(b));
            a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2)).then(a.3.total_cmp(&b.3))
        })
}

/// 0 for the same size; a smaller picture costs more than a larger one, since detail that is not there cannot be had.
fn size_cost(size: Resolution, wanted: Resolution) -> f64 {
    let cost = |is: u32, wanted: u32| {
        let ratio = f64::from(is.max(1)) / f64::from(wanted.max(1));
        if ratio < 1.0 { 2.0 * (1.0 / ratio - 1.0) } else { ratio - 1.0 }
    };
    cost(size.width, wanted.width) + cost(size.height, wanted.height)
}

fn nearest_rate(rates: &[f64], wanted: f64) -> f64 {
    let enough = rates.iter().copied().filter(|rate| *rate >= wanted * 0.99).min_by(f64::total_cmp);
    enough.or_else(|| rates.iter().copied().max_by(f64::total_cmp)).unwrap_or(wanted)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::PixelFormat::*;
    use super::*;

    const fn size(width: u32, height: u32) -> Resolution {
        Resolution::new(width, height)
    }

    fn one(format: PixelFormat, width: u32, height: u32, rates: &[f64]) -> Offer {
        Offer { format, sizes: Sizes::One(size(width, height)), rates: rates.to_vec() }
    }

    /// A usual USB webcam: raw pictures are slow above VGA.
    fn webcam() -> Vec<Offer> {
        vec![
            one(Yuyv, 640, 480, &[30.0, 15.0]),
            one(Yuyv, 1280, 720, &[10.0, 5.0]),
            one(Yuyv, 1920, 1080, &[5.0]),
            one(Mjpg, 640, 480, &[30.0, 15.0]),
            one(Mjpg, 1280, 720, &[30.0, 24.0, 15.0]),
            one(Mjpg, 1920, 1080, &[30.0]),
        ]
    }

    fn pi() -> Vec<Offer> {
        let sizes = Sizes::Range { min: size(32, 32), max: size(3280, 2464), step: size(2, 2) };
        [Yu12, Yuyv, Mjpg, Nv12].map(|format| Offer { format, sizes, rates: vec![1.0, 90.0] }).to_vec()
    }

    #[test]
    fn the_best_offer_is_chosen() {
        let grey = vec![one(Grey, 1280, 720, &[30.0]), one(Yuyv, 640, 480, &[30.0])];
        let table = [
            (webcam(), size(1280, 720), 15, (Mjpg, size(1280, 720), 15.0)),
            (webcam(), size(1280, 720), 5, (Mjpg, size(1280, 720), 15.0)),
            (webcam(), size(1280, 720), 25, (Mjpg, size(1280, 720), 30.0)),
            (webcam(), size(1280, 720), 60, (Mjpg, size(1280, 720), 30.0)),
            (webcam(), size(640, 480), 15, (Yuyv, size(640, 480), 15.0)),
            (webcam(), size(1640, 1232), 15, (Mjpg, size(1920, 1080), 30.0)),
            (webcam(), size(320, 240), 15, (Yuyv, size(640, 480), 15.0)),
            (webcam(), size(3840, 2160), 15, (Mjpg, size(1920, 1080), 30.0)),
            (pi(), size(1640, 1232), 30, (Mjpg, size(1640, 1232), 90.0)),
            (pi(), size(640, 480), 15, (Yu12, size(640, 480), 90.0)),
            (grey.clone(), size(1280, 720), 15, (Grey, size(1280, 720), 30.0)),
            (grey, size(640, 480), 15, (Yuyv, size(640, 480), 30.0)),
            (vec![one(Yuyv, 640, 480, &[29.97])], size(640, 480), 30, (Yuyv, size(640, 480), 29.97)),
            (vec![one(Nv12, 640, 480, &[])], size(640, 480), 12, (Nv12, size(640, 480), 12.0)),
        ];
        for (row, (offers, wanted, fps, (format, size, rate))) in table.into_iter().enumerate() {
            assert_eq!(choose(&offers, wanted, fps), Some(Choice { format, size, fps: rate }), "row {row}");
        }
        assert_eq!(choose(&[], size(640, 480), 15), None);
    }

    #[test]
    fn codes_are_read_back() {
        for format in PixelFormat::ALL {
            assert_eq!(PixelFormat::from_fourcc(format.fourcc()), Some(format));
            assert_eq!(format.name().as_bytes(), format.fourcc());
        }
        assert_eq!(PixelFormat::from_fourcc(*b"JPEG"), Some(Mjpg));
        assert_eq!(PixelFormat::from_fourcc(*b"H264"), None);
    }

    proptest! {
        #[test]
        fn a_size_from_a_range_is_even_and_in_it(
            w in 1_u32..4000, h in 1_u32..4000, min in 16_u32..100, more in 64_u32..4000, step in 0_u32..33,
        ) {
            let (max, step) = (size(min + more, min + more), size(step, step));
            let near = Sizes::Range { min: size(min, min), max, step }.nearest(size(w, h));
            for side in [near.width, near.height] {
                prop_assert!(side % 2 == 0 && side >= min && side <= min + more, "{}", near);
            }
        }
    }
}
