//! Pure: burns a line of text into the top of a frame, white on black, as 1.x did.
//!
//! What the line says is put together by [`line()`]; who reads the clock and the light sensor is the pipeline's business.

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, RasterizedChar, get_raster, get_raster_width};

use crate::media::{Frame, Resolution};

/// What 1.x wrote: `NAME | 2020-12-31 22:07:18`, and ` | Brightness: 42` where there is a light sensor.
pub fn line(label: &str, time: &str, brightness: Option<u8>) -> String {
    match brightness {
        Some(brightness) => format!("{label} | {time} | Brightness: {brightness}"),
        None => format!("{label} | {time}"),
    }
}

/// Luma of the box and of the text: black and white in studio range, and nearly so in full range.
const BLACK: u8 = 16;
const WHITE: u8 = 235;
const NEUTRAL: u8 = 128;

/// The box begins and ends at multiples of this each way, or at the picture's edge: so it takes whole blocks of H.264 and JPEG, and
/// is coded without a trace of what is beside it.
pub const STEP: usize = 16;

/// Draws the line. Keeps the last one as pixels, so that frames of the same second cost a copy of some rows.
#[derive(Default)]
pub struct Overlay {
    text: String,
    size: Resolution,
    drawn: Option<Drawn>,
}

/// The box with its text.
pub struct Drawn {
    /// Its distance from the picture's left edge: a multiple of [`STEP`].
    pub left: usize,
    /// Its luma, in rows of `stride` samples. Both sides are multiples of [`STEP`]; what lies outside of the picture is black.
    pub luma: Vec<u8>,
    /// Width in samples.
    pub stride: usize,
}

impl Drawn {
    /// Its height in samples.
    pub fn rows(&self) -> usize {
        self.luma.len() / self.stride
    }
}

/// A text size: a height of the font, and how many pixels each of its pixels takes each way.
#[derive(Clone, Copy)]
struct Font {
    raster: RasterHeight,
    zoom: usize,
}

/// From small to large.
const FONTS: [Font; 6] = [
    Font { raster: RasterHeight::Size16, zoom: 1 },
    Font { raster: RasterHeight::Size24, zoom: 1 },
    Font { raster: RasterHeight::Size32, zoom: 1 },
    Font { raster: RasterHeight::Size24, zoom: 2 },
    Font { raster: RasterHeight::Size32, zoom: 2 },
    Font { raster: RasterHeight::Size32, zoom: 3 },
];

impl Font {
    fn height(self) -> usize {
        self.raster.val() * self.zoom
    }

    fn advance(self) -> usize {
        get_raster_width(FontWeight::Regular, self.raster) * self.zoom
    }

    /// With half a character of black on each side.
    fn width(self, characters: usize) -> usize {
        (characters + 1) * self.advance()
    }

    fn glyph(self, character: char) -> RasterizedChar {
        get_raster(character, FontWeight::Regular, self.raster)
            .or_else(|| get_raster('?', FontWeight::Regular, self.raster))
            .expect("the font has the Basic Latin block")
    }
}

impl Overlay {
    /// An overlay; it draws into frames of any size.
    pub fn new() -> Self {
        Self::default()
    }

    /// Burns `text` into the top centre. It is at most 1/30 of the picture's height, but at least 16 pixels; smaller where the
    /// line would be wider than the picture, and cut with an ellipsis where that does not help. Characters that the
    /// font (Basic Latin and Latin-1) lacks become `?`. Nothing is drawn for an empty text.
    pub fn burn(&mut self, frame: &mut Frame, text: &str) {
        let (width, height) = (frame.size().width as usize, frame.size().height as usize);
        let Some(drawn) = self.draw(frame.size(), text) else { return };
        let (columns, rows) = (drawn.stride.min(width - drawn.left), drawn.rows().min(height));
        let [y, u, v] = frame.planes_mut();
        for (row, drawn_row) in y.chunks_exact_mut(width).zip(drawn.luma.chunks_exact(drawn.stride)) {
            row[drawn.left..][..columns].copy_from_slice(&drawn_row[..columns]);
        }
        for plane in [u, v] {
            for row in plane.chunks_exact_mut(width / 2).take(rows / 2) {
                row[drawn.left / 2..][..columns / 2].fill(NEUTRAL);
            }
        }
    }

    /// What [`Overlay::burn`] puts into a picture of this size.
    pub fn draw(&mut self, size: Resolution, text: &str) -> Option<&Drawn> {
        if self.text != text || self.size != size {
            self.text.clear();
            self.text.push_str(text);
            self.size = size;
            self.drawn = render(size, text);
        }
        self.drawn.as_ref()
    }
}

fn render(size: Resolution, text: &str) -> Option<Drawn> {
    let (width, height) = (size.width as usize, size.height as usize);
    let mut characters: Vec<char> = text.chars().collect();
    let wanted = FONTS.iter().filter(|font| font.height() <= height / 30).count().max(1);
    let fits = |font: &&Font| font.width(characters.len()) <= width;
    let font = *FONTS[..wanted].iter().rev().find(fits).unwrap_or(&FONTS[0]);
    if font.height() > height {
        return None;
    }
    if font.width(characters.len()) > width {
        let room = (width / font.advance()).saturating_sub(1);
        characters.truncate(room.saturating_sub(3));
        characters.extend(['.'; 3].iter().take(room));
    }
    if characters.is_empty() {
        return None;
    }

    let text_width = font.width(characters.len());
    let text_left = (width - text_width) / 2;
    let left = text_left / STEP * STEP;
    let stride = (text_left + text_width).next_multiple_of(STEP) - left;
    let rows = font.height().next_multiple_of(STEP);
    // In the middle of the box, and whole where the picture cuts it.
    let top = (rows.min(height) - font.height()) / 2;
    let mut luma = vec![BLACK; stride * rows];
    for (i, character) in characters.into_iter().enumerate() {
        let x = text_left - left + font.advance() / 2 + i * font.advance();
        for (y, pixels) in font.glyph(character).rows().enumerate() {
            for zoomed in 0..font.zoom {
                let row = &mut luma[(top + y * font.zoom + zoomed) * stride + x..];
                for (to, pixel) in row.chunks_exact_mut(font.zoom).zip(pixels) {
                    to.fill(BLACK + (*pixel as u16 * (WHITE - BLACK) as u16 / 255) as u8);
                }
            }
        }
    }
    Some(Drawn { left, luma, stride })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::media::{FramePool, Moment, Pts};

    fn grey(size: Resolution) -> Frame {
        let moment = Moment { pts: Pts(0), wall: jiff::Timestamp::UNIX_EPOCH, brightness: None };
        let mut frame = FramePool::default().frame(size, moment);
        frame.data_mut().fill(77);
        frame
    }

    /// Left edge, width and height of what was drawn over the grey.
    fn drawn(frame: &Frame) -> (usize, usize, usize) {
        let width = frame.size().width as usize;
        let y = frame.planes()[0];
        let row = &y[..width];
        let left = row.iter().position(|sample| *sample != 77).unwrap_or(0);
        let drawn = row.iter().filter(|sample| **sample != 77).count();
        (left, drawn, y.chunks(width).take_while(|row| row[left] != 77).count())
    }

    #[test]
    fn the_line_is_that_of_1x() {
        assert_eq!(line("NAME", "2020-12-31 22:07:18", None), "NAME | 2020-12-31 22:07:18");
        assert_eq!(line("NAME", "2020-12-31 22:07:18", Some(42)), "NAME | 2020-12-31 22:07:18 | Brightness: 42");
    }

    #[test]
    fn text_is_centred_and_its_height_follows_the_picture() {
        let text = line("Front door", "2020-12-31 22:07:18", Some(42));
        let sizes =
            [(640, 480, 16), (1280, 720, 32), (1920, 1080, 32), (1640, 1232, 32), (2560, 1440, 48), (3840, 2160, 64)];
        for (width, height, box_height) in sizes {
            let mut frame = grey(Resolution::new(width, height));
            Overlay::new().burn(&mut frame, &text);
            let (left, drawn_width, drawn_height) = drawn(&frame);
            assert_eq!(drawn_height, box_height, "{width}x{height}");
            assert!(left.is_multiple_of(STEP) && drawn_width.is_multiple_of(STEP));
            assert!(
                (2 * left + drawn_width).abs_diff(width as usize) <= STEP,
                "{width}x{height}: {left} + {drawn_width}"
            );
            let [y, u, v] = frame.planes();
            assert!(y.contains(&WHITE) && y.contains(&BLACK));
            // The colour under the box and nothing else.
            let neutral = drawn_width / 2 * (drawn_height / 2);
            for plane in [u, v] {
                assert_eq!(plane.iter().filter(|sample| **sample == NEUTRAL).count(), neutral);
                assert_eq!(plane.iter().filter(|sample| **sample == 77).count(), plane.len() - neutral);
            }
        }
    }

    #[test]
    fn a_long_line_gets_smaller_before_it_is_cut() {
        let shown = |width: u32, text: &str| {
            let mut frame = grey(Resolution::new(width, 720));
            Overlay::new().burn(&mut frame, text);
            (drawn(&frame), frame)
        };
        let long = "x".repeat(150);
        let ((_, width, height), _) = shown(1280, &long);
        assert_eq!(height, 16);
        assert!(width <= 1280);
        let ((_, width, height), cut) = shown(320, &long);
        assert_eq!(height, 16);
        assert!((290..=320).contains(&width), "{width}");
        // It ends with three dots: the upper half of their columns is black.
        let advance = FONTS[0].advance();
        let end = (320 + width) / 2 - advance;
        let upper = |columns: std::ops::Range<usize>| {
            cut.planes()[0].chunks(320).take(9).flat_map(|row| row[columns.clone()].to_vec()).max().unwrap()
        };
        assert_eq!(upper(end - 2 * advance..end - advance / 2), BLACK);
        assert!(upper(end - 6 * advance..end - 4 * advance) > BLACK);
    }

    #[test]
    fn unknown_characters_become_question_marks_and_the_cache_notices_changes() {
        let size = Resolution::new(640, 480);
        let burnt = |overlay: &mut Overlay, text: &str| {
            let mut frame = grey(size);
            overlay.burn(&mut frame, text);
            frame.data().to_vec()
        };
        let mut overlay = Overlay::new();
        let question = burnt(&mut overlay, "a?b");
        assert!(burnt(&mut overlay, "a\u{4e2d}b") == question);
        assert!(burnt(&mut overlay, "a\u{e9}b") != question);
        assert!(burnt(&mut overlay, "a?b") == question);
        assert!(burnt(&mut overlay, "") == grey(size).data());
        assert!(burnt(&mut overlay, "a?b") == question);
    }

    proptest! {
        #[test]
        fn no_text_and_no_size_panics(text in ".{0,200}", width in 1u32..200, height in 1u32..40) {
            let mut frame = grey(Resolution::new(2 * width, 2 * height));
            Overlay::new().burn(&mut frame, &text);
        }
    }
}
