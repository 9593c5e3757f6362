//! Burns a line of text into a JPEG without decoding it: what lies under the text's box is replaced in the coded data, and
//! everything behind it stays byte for byte. That is a fiftieth of the time of decoding and compressing, and loses nothing.
//!
//! The box is coded with the picture's own tables. Bits behind it can only stay where they are when it takes as many bits, in
//! eighths of a byte, as what was there: for that, some of its blocks are made a little lighter or darker, which nobody sees.

use jpeg_encoder::{ColorType, QuantizationTableType};

use super::coded::{Bits, Block, Component, Head, Writer, zigzag};
use crate::media::Resolution;
use crate::overlay::{Drawn, Overlay, STEP};

/// A block of chroma without colour.
const COLOURLESS: Block = [0; 64];
/// By how much a block's DC coefficient may be changed.
const CHANGES: [i16; 6] = [1, -1, 2, -2, 3, -3];

/// Annotates the pictures of one camera, one after the other.
#[derive(Default)]
pub struct Annotator {
    overlay: Overlay,
    /// The last picture's header, as bytes and as read.
    head: Option<(Vec<u8>, Head)>,
    /// The box as coded for such pictures, and its text.
    coded: Option<(String, CodedBox)>,
}

/// Blocks of the picture that are replaced.
struct CodedBox {
    /// In MCUs: left edge, right edge, height.
    left: usize,
    right: usize,
    down: usize,
    /// Luma, row by row, and how many there are in a row.
    blocks: Vec<Block>,
    stride: usize,
    /// For each number of bits modulo 8 that the box has to grow by.
    fillers: [Option<Filler>; 8],
}

/// Which blocks to change by how much.
type Filler = Vec<(usize, i16)>;

impl Annotator {
    /// The picture with the line as [`Overlay::burn`] draws it. Nothing when this JPEG has to be decoded for it: one that is damaged
    /// before or under the box, or not of one baseline scan.
    pub fn annotate(&mut self, jpeg: &[u8], text: &str) -> Option<Vec<u8>> {
        if !self.head.as_ref().is_some_and(|(bytes, _)| jpeg.starts_with(bytes)) {
            self.coded = None;
            let head = Head::read(jpeg)?;
            self.head = Some((jpeg[..head.data_at].to_vec(), head));
        }
        let (_, head) = self.head.as_ref()?;
        if self.coded.as_ref().is_none_or(|(drawn, _)| drawn != text) {
            self.coded = Some((text.to_owned(), CodedBox::new(head, &mut self.overlay, text)?));
        }
        let (_, coded) = self.coded.as_ref()?;
        match coded.splice(head, jpeg, &[])? {
            Spliced::Done(bytes) => Some(bytes),
            Spliced::Lacks(bits) => match coded.splice(head, jpeg, coded.fillers[bits].as_ref()?)? {
                Spliced::Done(bytes) => Some(bytes),
                Spliced::Lacks(_) => None,
            },
        }
    }
}

enum Spliced {
    Done(Vec<u8>),
    /// So many bits more, and what follows could stay where it is.
    Lacks(usize),
}

impl CodedBox {
    fn new(head: &Head, overlay: &mut Overlay, text: &str) -> Option<Self> {
        let luma = head.components[0];
        // MCUs have to fit into the box's steps, and the luma has to be the finest.
        let fits = [luma.across, luma.down].iter().all(|blocks| STEP.is_multiple_of(8 * blocks));
        if !fits || head.components.iter().any(|c| c.across > luma.across || c.down > luma.down) {
            return None;
        }
        let drawn = overlay.draw(Resolution::new(head.width as u32 & !1, head.height as u32 & !1), text)?;
        let (width, height) = (8 * luma.across, 8 * luma.down);
        let mut coded = Self {
            left: drawn.left / width,
            right: ((drawn.left + drawn.stride) / width).min(head.width.div_ceil(width)),
            down: (drawn.rows() / height).min(head.height.div_ceil(height)),
            stride: drawn.stride / 8,
            blocks: compress(drawn, &head.quantisation)?,
            fillers: Default::default(),
        };
        coded.fillers = coded.find_fillers(head);
        Some(coded)
    }

    /// Which of the blocks of the luma lie in an MCU, in the order of coding.
    fn in_mcu(&self, luma: &Component, column: usize, row: usize) -> impl Iterator<Item = usize> {
        let first = row * luma.down * self.stride + (column - self.left) * luma.across;
        let (across, stride) = (luma.across, self.stride);
        (0..luma.down).flat_map(move |y| (0..across).map(move |x| first + y * stride + x))
    }

    /// The least changes for each number of bits, by looking at one block after the other. A block's change is taken back with the
    /// next, whose DC coefficient is coded as the difference.
    fn find_fillers(&self, head: &Head) -> [Option<Filler>; 8] {
        let luma = &head.components[0];
        let mut found: [Option<(u16, Filler)>; 8] = Default::default();
        found[0] = Some((0, Vec::new()));
        // After a restart differences begin anew; the last row is most likely to be free of it.
        let first = if head.restart_interval == 0 { 0 } else { self.down - 1 };
        for row in first..self.down {
            let order: Vec<usize> = (self.left..self.right).flat_map(|mcu| self.in_mcu(luma, mcu, row)).collect();
            for blocks in order.windows(3).step_by(2) {
                let [before, here, after] = [0, 1, 2].map(|n| self.blocks[blocks[n]][0]);
                let bits = |change: i16| {
                    let to = head.dc_bits(luma, here + change - before)?;
                    Some((to + head.dc_bits(luma, after - here - change)?) as i32)
                };
                let known = found.clone();
                for change in CHANGES {
                    let (Some(plain), Some(changed)) = (bits(0), bits(change)) else { continue };
                    for (from, known) in known.iter().enumerate() {
                        let Some((cost, filler)) = known else { continue };
                        let cost = cost + change.unsigned_abs();
                        let to = &mut found[(from as i32 + changed - plain).rem_euclid(8) as usize];
                        if to.as_ref().is_none_or(|(least, _)| cost < *least) {
                            *to = Some((cost, [&filler[..], &[(blocks[1], change)]].concat()));
                        }
                    }
                }
            }
        }
        found.map(|found| found.map(|(_, filler)| filler))
    }

    /// The picture with these blocks in place of its own, some of them changed.
    fn splice(&self, head: &Head, jpeg: &[u8], filler: &[(usize, i16)]) -> Option<Spliced> {
        let luma = &head.components[0];
        let columns = head.width.div_ceil(8 * luma.across);
        let rows = head.height.div_ceil(8 * luma.down);
        // One more MCU than those under the box: it is the last whose DC coefficients follow on what was replaced.
        let end = ((self.down - 1) * columns + self.right + 1).min(rows * columns);
        let mut bits = Bits::new(&jpeg[head.data_at..]);
        let mut bytes = Vec::with_capacity(jpeg.len() + 4096);
        bytes.extend_from_slice(&jpeg[..head.data_at]);
        let mut out = Writer::new(bytes);
        // The DC coefficients before, as they were and as they are.
        let mut was = vec![0i16; head.components.len()];
        let mut now = was.clone();
        for mcu in 0..end {
            if head.restart_interval > 0 && mcu > 0 && mcu % head.restart_interval == 0 {
                out.align();
                let (marker, after) = bits.restart()?;
                out.extend(&[0xff, marker]);
                bits = after;
                was.fill(0);
                now.fill(0);
            }
            let (column, row) = (mcu % columns, mcu / columns);
            let replaced = row < self.down && (self.left..self.right).contains(&column);
            let mut places = self.in_mcu(luma, column.max(self.left), row);
            for (n, component) in head.components.iter().enumerate() {
                for _ in 0..component.across * component.down {
                    was[n] = was[n].checked_add(head.read_dc(component, &mut bits)?)?;
                    if !replaced {
                        head.write_dc(component, was[n].checked_sub(now[n])?, &mut out)?;
                        now[n] = was[n];
                        head.read_ac(component, &mut bits, |coefficient| coefficient.copy(&mut out))?;
                        continue;
                    }
                    head.read_ac(component, &mut bits, |_| {})?;
                    let (block, change) = match n {
                        0 => {
                            let place = places.next()?;
                            let change = filler.iter().find(|(block, _)| *block == place).map_or(0, |(_, by)| *by);
                            (&self.blocks[place], change)
                        }
                        _ => (&COLOURLESS, 0),
                    };
                    let dc = block[0] + change;
                    head.write_dc(component, dc.checked_sub(now[n])?, &mut out)?;
                    now[n] = dc;
                    head.write_ac(component, block, &mut out)?;
                }
            }
        }
        let (last, count, behind) = bits.rest();
        let ended = end == rows * columns || head.restart_interval > 0 && end.is_multiple_of(head.restart_interval);
        if ended {
            // What is left of the byte is padding.
            out.align();
        } else {
            match (out.begun() + count) % 8 {
                0 => out.put(last, count),
                more => return Some(Spliced::Lacks(8 - more as usize)),
            }
        }
        out.extend(behind);
        Some(Spliced::Done(out.into_bytes()))
    }
}

/// The luma of what was drawn as blocks of this quantisation.
fn compress(drawn: &Drawn, quantisation: &[u8; 64]) -> Option<Vec<Block>> {
    let mut table = Box::new([0; 64]);
    for (place, step) in zigzag().into_iter().zip(quantisation) {
        table[place] = u16::from(*step);
    }
    let table = QuantizationTableType::Custom(table);
    let mut jpeg = Vec::new();
    // The quality is the table's.
    let mut encoder = jpeg_encoder::Encoder::new(&mut jpeg, 100);
    encoder.set_quantization_tables(table.clone(), table);
    let (width, height) = (u16::try_from(drawn.stride).ok()?, u16::try_from(drawn.rows()).ok()?);
    encoder.encode(&drawn.luma, width, height, ColorType::Luma).ok()?;

    let head = Head::read(&jpeg)?;
    let mut bits = Bits::new(&jpeg[head.data_at..]);
    let mut dc = 0;
    let blocks = (0..drawn.luma.len() / 64).map(|_| {
        let mut block = [0; 64];
        dc += head.read_dc(&head.components[0], &mut bits)?;
        block[0] = dc;
        head.read_ac(&head.components[0], &mut bits, |coefficient| coefficient.put(&mut block))?;
        Some(block)
    });
    blocks.collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use jpeg_encoder::{Encoder, SamplingFactor};
    use proptest::prelude::*;

    use super::super::{JpegDecoder, JpegEncoder, header};
    use super::*;
    use crate::media::{Frame, FramePool, Jpeg, Moment, Pts};

    const LINE: &str = "Front door | 2026-11-26 14:22:25 | Brightness: 42";

    /// A picture with detail and colour everywhere, so that no block is like the next.
    fn jpeg(width: u16, height: u16, colour: ColorType, set: impl FnOnce(&mut Encoder<&mut Vec<u8>>)) -> Vec<u8> {
        let channels = if colour == ColorType::Luma { 1 } else { 3 };
        let mut seed = u32::from(width) << 16 | u32::from(height);
        let samples: Vec<u8> = (0..usize::from(width) * usize::from(height) * channels)
            .map(|i| {
                seed ^= seed << 13;
                seed ^= seed >> 17;
                seed ^= seed << 5;
                (i / channels % usize::from(width) / 3) as u8 / 2 + (seed >> 26) as u8
            })
            .collect();
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, 75);
        set(&mut encoder);
        encoder.encode(&samples, width, height, colour).unwrap();
        bytes
    }

    fn decoded(jpeg: &[u8]) -> Frame {
        let moment = Moment { pts: Pts(0), wall: jiff::Timestamp::UNIX_EPOCH, brightness: None };
        let jpeg = Jpeg { bytes: Bytes::copy_from_slice(jpeg), size: header(jpeg).unwrap().size, moment };
        // It refuses what is damaged in any way.
        JpegDecoder::new().decode(&jpeg, &FramePool::default()).unwrap()
    }

    /// Nothing but the box differs from the picture, and the box is as the overlay draws it.
    fn assert_burnt(jpeg: &[u8], annotated: &[u8], line: &str) {
        let (before, after) = (decoded(jpeg), decoded(annotated));
        let size = before.size();
        let (width, height) = (size.width as usize, size.height as usize);
        let mut overlay = Overlay::new();
        let drawn = overlay.draw(size, line).unwrap();
        let (left, right, bottom) = (drawn.left, (drawn.left + drawn.stride).min(width), drawn.rows().min(height));
        let mut errors = 0;
        for (plane, part) in [(0, 1), (1, 2), (2, 2)] {
            let (width, left, right, bottom) = (width / part, left / part, right / part, bottom / part);
            // The decoder in Rust alone interpolates chroma across the box's edges.
            let blurred = if plane > 0 && cfg!(not(feature = "turbojpeg")) { 2 } else { 0 };
            for (i, (was, is)) in before.planes()[plane].iter().zip(after.planes()[plane]).enumerate() {
                let (x, y) = (i % width, i / width);
                let beside = y >= bottom || !(left..right).contains(&x);
                if beside && y < bottom + blurred && (left.saturating_sub(blurred)..right + blurred).contains(&x) {
                    continue;
                }
                if beside {
                    assert_eq!(was, is, "plane {plane} at {x}, {y} of {size}");
                    continue;
                }
                let wanted = if plane == 0 { drawn.luma[y * drawn.stride + x - left] } else { 128 };
                errors += u64::from(is.abs_diff(wanted));
            }
        }
        let mean = errors as f64 / ((right - left) * bottom) as f64;
        assert!(mean < 8.0, "the box of {size} is off by {mean}");
    }

    #[test]
    fn only_the_box_is_touched_whatever_the_sampling_and_the_size() {
        let samplings =
            [SamplingFactor::R_4_4_4, SamplingFactor::R_4_2_2, SamplingFactor::R_4_2_0, SamplingFactor::R_4_4_0];
        for (width, height) in [(640, 480), (1280, 720), (648, 364), (322, 242), (64, 40), (1280, 34)] {
            for sampling in samplings {
                let jpeg = jpeg(width, height, ColorType::Rgb, |encoder| encoder.set_sampling_factor(sampling));
                let annotated = Annotator::default().annotate(&jpeg, LINE).expect("it can be");
                assert_burnt(&jpeg, &annotated, LINE);
            }
            let grey = jpeg(width, height, ColorType::Luma, |_| {});
            assert_burnt(&grey, &Annotator::default().annotate(&grey, LINE).expect("it can be"), LINE);
        }
    }

    #[test]
    fn restart_markers_and_codes_of_its_own_are_kept() {
        for interval in [1, 7, 80, 1000] {
            let jpeg = jpeg(1280, 720, ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(SamplingFactor::R_4_2_2);
                encoder.set_restart_interval(interval);
            });
            assert_burnt(&jpeg, &Annotator::default().annotate(&jpeg, LINE).expect("it can be"), LINE);
        }
        let optimised = jpeg(1280, 720, ColorType::Rgb, |encoder| encoder.set_optimized_huffman_tables(true));
        // Codes made for a picture need not have the words that the box takes.
        if let Some(annotated) = Annotator::default().annotate(&optimised, LINE) {
            assert_burnt(&optimised, &annotated, LINE);
        }
    }

    #[test]
    fn a_camera_may_leave_the_usual_codes_out() {
        let whole = jpeg(640, 480, ColorType::Rgb, |encoder| encoder.set_sampling_factor(SamplingFactor::R_4_2_2));
        let mut bare = whole.clone();
        while let Some(at) = memchr::memmem::find(&bare, &[0xff, 0xc4]) {
            let length = usize::from(u16::from_be_bytes([bare[at + 2], bare[at + 3]]));
            bare.drain(at..at + 2 + length);
        }
        assert!(bare.len() < whole.len());
        let annotated = Annotator::default().annotate(&bare, LINE).expect("it can be");
        let with_codes = Annotator::default().annotate(&whole, LINE).unwrap();
        assert!(with_codes.ends_with(&annotated[Head::read(&bare).unwrap().data_at..]));
    }

    #[test]
    fn the_line_and_the_picture_may_change_from_one_to_the_next() {
        let mut annotator = Annotator::default();
        let (small, large) = (jpeg(640, 480, ColorType::Rgb, |_| {}), jpeg(1280, 720, ColorType::Rgb, |_| {}));
        for second in 10..40 {
            let line = format!("Garden | 2026-11-26 14:22:{second}");
            for jpeg in [&small, &large] {
                assert_burnt(jpeg, &annotator.annotate(jpeg, &line).expect("it can be"), &line);
            }
        }
    }

    #[test]
    fn what_is_not_baseline_is_left_to_the_decoder() {
        let progressive = jpeg(640, 480, ColorType::Rgb, |encoder| encoder.set_progressive(true));
        assert!(Annotator::default().annotate(&progressive, LINE).is_none());
        assert!(Annotator::default().annotate(b"no JPEG", LINE).is_none());
    }

    #[test]
    fn what_our_own_encoder_made_can_be_annotated() {
        let made = JpegEncoder::new(80).encode(&decoded(&jpeg(640, 480, ColorType::Rgb, |_| {}))).unwrap();
        assert_burnt(&made, &Annotator::default().annotate(&made, LINE).expect("it can be"), LINE);
    }

    proptest! {
        #[test]
        fn any_picture_that_is_annotated_is_whole(
            width in 32u16..300,
            height in 32u16..100,
            sampling in prop::sample::select(&[SamplingFactor::F_1_1, SamplingFactor::F_2_1, SamplingFactor::F_2_2][..]),
            interval in 0u16..40,
            line in "[ -~]{0,60}",
        ) {
            let jpeg = jpeg(width, height, ColorType::Rgb, |encoder| {
                encoder.set_sampling_factor(sampling);
                encoder.set_restart_interval(interval);
            });
            if let Some(annotated) = Annotator::default().annotate(&jpeg, &line) {
                assert_burnt(&jpeg, &annotated, &line);
            }
        }

        #[test]
        fn no_damage_makes_it_panic(at in 0usize..20_000, bytes in proptest::collection::vec(any::<u8>(), 1..40), cut in any::<bool>()) {
            let mut jpeg = jpeg(320, 240, ColorType::Rgb, |encoder| encoder.set_restart_interval(33));
            let at = at % jpeg.len();
            if cut {
                jpeg.truncate(at);
            } else {
                for (to, byte) in jpeg[at..].iter_mut().zip(bytes) {
                    *to = byte;
                }
            }
            let _ = Annotator::default().annotate(&jpeg, LINE);
        }
    }
}
