//! Pure framing of Motion JPEG: where one picture ends and the next begins, in a `multipart/x-mixed-replace` body
//! ([`Parts`], as network cameras send it) and in JPEGs that simply follow each other ([`Pictures`], as in a `.mjpeg`
//! file); and what a JPEG's header says ([`complete`]).
//!
//! Entropy-coded data is not looked at: it may be corrupt. Decoding is in `codec`; who reads sockets and files is in
//! `camera`. Memory is bounded by [`MAX_PICTURE_BYTES`].

use bytes::{Bytes, BytesMut};
use memchr::memmem;

use crate::media::Resolution;

/// No picture is larger: one of 4K at the best quality has about half of this.
pub const MAX_PICTURE_BYTES: usize = 16 << 20;

/// More header lines than this are an attack or not MJPEG.
const MAX_HEADER_BYTES: usize = 8 << 10;

/// What comes along with the end of a picture: without room for it the picture would be moved to a buffer twice its size.
const NEXT_HEADER_BYTES: usize = 1 << 10;

const SOI: [u8; 2] = [0xff, 0xd8];
const EOI: [u8; 2] = [0xff, 0xd9];

/// Why a stream cannot be split any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A part without an end in sight, or one that announces more than [`MAX_PICTURE_BYTES`].
    #[error("a picture of more than {} MB", MAX_PICTURE_BYTES >> 20)]
    TooLarge,
    /// Header lines without an end in sight.
    #[error("a part's header of more than {} kB", MAX_HEADER_BYTES >> 10)]
    HeaderTooLarge,
    /// No boundary or picture was found where one should be.
    #[error("no picture in more than {} MB", MAX_PICTURE_BYTES >> 20)]
    Nothing,
}

/// Why bytes are not a usable JPEG.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JpegError {
    /// It does not begin with SOI.
    #[error("not a JPEG")]
    NotJpeg,
    /// It has no EOI at its end.
    #[error("a truncated JPEG")]
    Truncated,
    /// Its header has no usable frame header (SOF), or a size that no picture here can have.
    #[error("a JPEG with a broken header")]
    Header,
}

/// Splits a `multipart/x-mixed-replace` body (RFC 2046, section 5.1, as cameras bend it).
///
/// A part ends after its `Content-Length`, or without one at the next boundary. Boundaries with and without the two
/// dashes that belong before them, quoted or not, are understood; so are parts without any header line.
pub struct Parts {
    buffer: BytesMut,
    /// The boundary without leading dashes.
    boundary: Vec<u8>,
    state: State,
    /// Bytes of the part before this one: what to reserve for one of unknown length.
    usual: usize,
}

#[derive(Clone, Copy)]
enum State {
    /// Before a boundary line: what comes is skipped.
    Between,
    /// In the header lines of a part.
    Header,
    /// In a part whose length is known.
    Counted(usize),
    /// In a part that ends at the next boundary; so many bytes of it hold none.
    Delimited(usize),
}

impl Parts {
    /// For a body with this boundary, as it stands in the header after `boundary=`.
    ///
    /// `None` when nothing is left of it without dashes and quotation marks; [`Pictures`] can then be used.
    pub fn new(boundary: &str) -> Option<Self> {
        let boundary = boundary.trim().trim_matches('"').trim_start_matches('-');
        (!boundary.is_empty()).then(|| Self {
            buffer: BytesMut::new(),
            boundary: boundary.as_bytes().to_vec(),
            state: State::Between,
            usual: 0,
        })
    }

    /// Takes in what came next. This is the one time that bytes are copied.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole part's body, or `None` until more has come.
    ///
    /// # Errors
    ///
    /// After an error the stream is lost: open it again.
    pub fn next_part(&mut self) -> Result<Option<Bytes>, SplitError> {
        loop {
            self.state = match self.state {
                State::Between => match self.skip_boundary()? {
                    true => State::Header,
                    false => return Ok(None),
                },
                State::Header => match self.take_header()? {
                    Some(body) => body,
                    None => return Ok(None),
                },
                State::Counted(length) => {
                    if self.buffer.len() < length {
                        return Ok(None);
                    }
                    self.state = State::Between;
                    return Ok(Some(self.take(length)));
                }
                State::Delimited(searched) => {
                    if let Some(end) = self.find_boundary(searched) {
                        self.state = State::Between;
                        return Ok(Some(self.take(end)));
                    }
                    if self.buffer.len() > MAX_PICTURE_BYTES {
                        return Err(SplitError::TooLarge);
                    }
                    // A boundary may have come in part.
                    let searched = self.buffer.len().saturating_sub(self.boundary.len() + 8);
                    self.state = State::Delimited(searched);
                    return Ok(None);
                }
            };
        }
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.usual = length;
        self.buffer.split_to(length).freeze()
    }

    /// Drops everything up to and including the next boundary line; whether there was a whole one.
    fn skip_boundary(&mut self) -> Result<bool, SplitError> {
        let mut start = 0;
        while let Some(end) = memchr::memchr(b'\n', &self.buffer[start..]) {
            let line = &self.buffer[start..start + end];
            start += end + 1;
            if self.is_boundary(line) {
                let _ = self.buffer.split_to(start);
                return Ok(true);
            }
        }
        // Between parts there are line ends; before the first there may be a preamble.
        let _ = self.buffer.split_to(start);
        if self.buffer.len() > MAX_PICTURE_BYTES { Err(SplitError::Nothing) } else { Ok(false) }
    }

    fn is_boundary(&self, line: &[u8]) -> bool {
        let dashes = line.iter().take_while(|&&byte| byte == b'-').count();
        line[dashes..].trim_ascii_end() == self.boundary && (dashes >= 2 || dashes == 0)
    }

    /// Reads the header lines; how the body is framed, once they are complete.
    fn take_header(&mut self) -> Result<Option<State>, SplitError> {
        let mut start = 0;
        let mut length = None;
        loop {
            if self.buffer[start..].starts_with(&SOI) {
                // No empty line between header and picture.
                break;
            }
            let Some(end) = memchr::memchr(b'\n', &self.buffer[start..]) else {
                return if self.buffer.len() > MAX_HEADER_BYTES { Err(SplitError::HeaderTooLarge) } else { Ok(None) };
            };
            let line = self.buffer[start..start + end].trim_ascii();
            start += end + 1;
            if line.is_empty() {
                break;
            }
            if start > MAX_HEADER_BYTES {
                return Err(SplitError::HeaderTooLarge);
            }
            length = content_length(line).or(length);
        }
        let _ = self.buffer.split_to(start);
        match length {
            Some(length) if length > MAX_PICTURE_BYTES => Err(SplitError::TooLarge),
            // Some cameras announce 0 for want of knowledge.
            Some(length @ 1..) => {
                self.buffer.reserve((length + NEXT_HEADER_BYTES).saturating_sub(self.buffer.len()));
                Ok(Some(State::Counted(length)))
            }
            _ => {
                let usual = self.usual + self.usual / 8 + 64;
                self.buffer.reserve(usual.saturating_sub(self.buffer.len()));
                Ok(Some(State::Delimited(0)))
            }
        }
    }

    /// Where the part ends: before the line end that belongs to the next boundary. Not looked for before `searched`.
    fn find_boundary(&self, searched: usize) -> Option<usize> {
        let mut from = searched;
        while let Some(at) = memmem::find(&self.buffer[from..], &self.boundary) {
            let (before, after) = self.buffer.split_at(from + at);
            from += at + 1;
            let dashes = before.iter().rev().take_while(|&&byte| byte == b'-').count();
            let body = &before[..before.len() - dashes];
            let Some(body) = body.strip_suffix(b"\n") else { continue };
            let whole_line = matches!(after.get(self.boundary.len()), Some(b'\r' | b'\n' | b'-'));
            if dashes >= 2 && whole_line {
                return Some(body.strip_suffix(b"\r").unwrap_or(body).len());
            }
        }
        None
    }
}

fn content_length(line: &[u8]) -> Option<usize> {
    let (name, value) = std::str::from_utf8(line).ok()?.split_once(':')?;
    name.trim().eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
}

/// Splits JPEGs that follow each other, whatever stands between them.
///
/// Follows the markers (ITU-T T.81, annex B), so that a thumbnail inside a picture does not end it.
#[derive(Default)]
pub struct Pictures {
    buffer: BytesMut,
    /// Bytes of the picture at the front that have been walked over; 0 before its SOI was found.
    walked: usize,
    /// Walking through entropy-coded data.
    in_scan: bool,
}

impl Pictures {
    /// Takes in what came next. This is the one time that bytes are copied.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole picture from SOI to EOI, or `None` until more has come. A picture cut short by the SOI of the
    /// next is given as it is; [`complete`] finds that out.
    ///
    /// # Errors
    ///
    /// After an error the stream is lost: open it again.
    pub fn next_picture(&mut self) -> Result<Option<Bytes>, SplitError> {
        loop {
            if self.walked == 0 && !self.find_start() {
                return Ok(None);
            }
            match self.walk() {
                Walk::Ended => {
                    let picture = self.buffer.split_to(self.walked).freeze();
                    (self.walked, self.in_scan) = (0, false);
                    return Ok(Some(picture));
                }
                Walk::Broken => {
                    // Not a picture after all: look for another SOI behind this one.
                    let _ = self.buffer.split_to(SOI.len());
                    (self.walked, self.in_scan) = (0, false);
                }
                Walk::More if self.buffer.len() > MAX_PICTURE_BYTES => return Err(SplitError::TooLarge),
                Walk::More => return Ok(None),
            }
        }
    }

    fn find_start(&mut self) -> bool {
        match memmem::find(&self.buffer, &SOI) {
            Some(at) => {
                let _ = self.buffer.split_to(at);
                self.walked = SOI.len();
                true
            }
            None => {
                // The first half of an SOI may be the last byte.
                let keep = usize::from(self.buffer.last() == Some(&SOI[0]));
                let _ = self.buffer.split_to(self.buffer.len() - keep);
                false
            }
        }
    }

    fn walk(&mut self) -> Walk {
        loop {
            let rest = &self.buffer[self.walked..];
            if self.in_scan {
                // Stuffed zeros and restart markers belong to the data.
                let Some(at) = memchr::memchr_iter(0xff, rest)
                    .find(|&at| rest.get(at + 1).is_none_or(|&marker| !matches!(marker, 0x00 | 0xd0..=0xd7 | 0xff)))
                else {
                    self.walked = self.buffer.len();
                    return Walk::More;
                };
                self.walked += at;
                if self.walked + 1 == self.buffer.len() {
                    return Walk::More;
                }
                self.in_scan = false;
                continue;
            }
            match rest {
                [0xff, 0xd9, ..] => {
                    self.walked += EOI.len();
                    return Walk::Ended;
                }
                // The picture before this one was cut short.
                [0xff, 0xd8, ..] => return Walk::Ended,
                // Fill bytes.
                [0xff, 0xff, ..] => self.walked += 1,
                [0xff, 0x01 | 0xd0..=0xd7, ..] => self.walked += 2,
                [0xff, marker, high, low, ..] => {
                    let length = usize::from(u16::from_be_bytes([*high, *low]));
                    if length < 2 || *marker == 0 {
                        return Walk::Broken;
                    }
                    if rest.len() < 2 + length {
                        return Walk::More;
                    }
                    self.in_scan = *marker == 0xda;
                    self.walked += 2 + length;
                }
                [] | [0xff] | [0xff, _] | [0xff, _, _] => return Walk::More,
                _ => return Walk::Broken,
            }
        }
    }
}

enum Walk {
    More,
    Ended,
    Broken,
}

/// Checks that `bytes` is a whole JPEG and says how much of it is: its length without padding behind EOI, and its size.
///
/// # Errors
///
/// When it cannot be shown, as far as the header and the two ends tell.
pub fn complete(bytes: &[u8]) -> Result<(usize, Resolution), JpegError> {
    if !bytes.starts_with(&SOI) {
        return Err(JpegError::NotJpeg);
    }
    let (size, data) = frame_header(&bytes[SOI.len()..])?;
    // Drivers and cameras pad with zeros, line ends or what was there before. An EOI before the data is a thumbnail's.
    let from = bytes.len().saturating_sub(4096).max(bytes.len() - data.len());
    let end = memmem::rfind(&bytes[from..], &EOI).ok_or(JpegError::Truncated)?;
    Ok((from + end + EOI.len(), size))
}

/// Finds the frame header (T.81, B.2.2) and reads the picture's size; answers what follows, too.
fn frame_header(mut rest: &[u8]) -> Result<(Resolution, &[u8]), JpegError> {
    loop {
        match rest {
            [0xff, 0xff, ..] => rest = &rest[1..],
            [0xff, 0x01 | 0xd0..=0xd7, ..] => rest = &rest[2..],
            // SOF0 to SOF2: baseline, extended, progressive. Nothing decodes the others.
            [0xff, 0xc0..=0xc2, _, _, _precision, h1, h2, w1, w2, data @ ..] => {
                let size = Resolution::new(
                    u32::from(u16::from_be_bytes([*w1, *w2])),
                    u32::from(u16::from_be_bytes([*h1, *h2])),
                );
                let possible = 16..=8192;
                return if possible.contains(&size.width) && possible.contains(&size.height) {
                    Ok((size, data))
                } else {
                    Err(JpegError::Header)
                };
            }
            // A scan before its frame header.
            [0xff, 0xda | 0xd9 | 0xd8 | 0x00, ..] => return Err(JpegError::Header),
            [0xff, _, high, low, ..] => {
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                rest = rest.get(2 + length.max(2)..).ok_or(JpegError::Truncated)?;
            }
            [] | [0xff] | [0xff, _] | [0xff, _, _] => return Err(JpegError::Truncated),
            _ => return Err(JpegError::Header),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A JPEG as an encoder makes it, with an application segment in which a thumbnail could be.
    fn jpeg(width: u16, height: u16, seed: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let gray: Vec<u8> =
            (0..u32::from(width) * u32::from(height)).map(|i| (i * 7 / 3) as u8 ^ seed.wrapping_mul(i as u8)).collect();
        let mut encoder = jpeg_encoder::Encoder::new(&mut bytes, 80);
        encoder.add_app_segment(5, [&SOI[..], b"thumb", &EOI[..]].concat()).unwrap();
        encoder.encode(&gray, width, height, jpeg_encoder::ColorType::Luma).unwrap();
        bytes
    }

    fn parts(boundary: &str, body: &[u8], step: usize) -> Vec<Bytes> {
        let mut parts = Parts::new(boundary).unwrap();
        let mut found = Vec::new();
        for piece in body.chunks(step) {
            parts.push(piece);
            while let Some(part) = parts.next_part().unwrap() {
                found.push(part);
            }
        }
        found
    }

    fn pictures(body: &[u8], step: usize) -> Vec<Bytes> {
        let mut pictures = Pictures::default();
        let mut found = Vec::new();
        for piece in body.chunks(step) {
            pictures.push(piece);
            while let Some(picture) = pictures.next_picture().unwrap() {
                found.push(picture);
            }
        }
        found
    }

    #[test]
    fn every_way_to_write_a_boundary_is_understood() {
        let (a, b) = (jpeg(32, 16, 1), jpeg(16, 32, 2));
        let counted = |line: &str| {
            let mut body = Vec::new();
            for part in [&a, &b] {
                body.extend(
                    format!("{line}\r\nContent-Type: image/jpeg\r\ncontent-LENGTH:{}\r\n\r\n", part.len()).bytes(),
                );
                body.extend(part);
                body.extend(b"\r\n");
            }
            body
        };
        let delimited = |line: &str, header: &str| {
            let mut body = Vec::new();
            for part in [&a, &b] {
                body.extend(format!("{line}{header}").bytes());
                body.extend(part);
                body.extend(b"\r\n");
            }
            body.extend(format!("{line}--\r\n").bytes());
            body
        };
        let table = [
            ("FRAME", counted("--FRAME")),
            ("\"FRAME\"", counted("--FRAME")),
            ("--FRAME", counted("--FRAME")),
            ("--FRAME", counted("----FRAME")),
            ("FRAME", counted("FRAME")),
            ("FRAME", [b"a preamble\r\n\r\n".to_vec(), counted("--FRAME")].concat()),
            ("FRAME", delimited("--FRAME", "\r\nContent-Type: image/jpeg\r\n\r\n")),
            ("FRAME", delimited("--FRAME", "\nContent-Length: 0\n\n")),
            ("FRAME", delimited("--FRAME", "\r\n\r\n")),
            ("--FRAME", delimited("----FRAME", "\r\n")),
        ];
        for (i, (boundary, body)) in table.iter().enumerate() {
            for step in [1, 7, 100_000] {
                assert_eq!(parts(boundary, body, step), [&a[..], &b[..]], "row {i}, {step} bytes at a time");
            }
        }
    }

    #[test]
    fn a_body_may_hold_what_looks_like_a_boundary() {
        let part = b"x\r\n--FRAMES\r\n-FRAME\r\nFRAME\r\n--FRAM".to_vec();
        let body = [b"--FRAME\r\n\r\n".to_vec(), part.clone(), b"\r\n--FRAME\r\n".to_vec()].concat();
        assert_eq!(parts("FRAME", &body, 3), [&part[..]]);
    }

    #[test]
    fn a_boundary_of_nothing_is_refused() {
        for boundary in ["", "\"\"", "--", " \"--\" "] {
            assert!(Parts::new(boundary).is_none(), "{boundary}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let mut announced = Parts::new("F").unwrap();
        announced.push(format!("--F\r\nContent-Length: {}\r\n\r\n", MAX_PICTURE_BYTES + 1).as_bytes());
        assert_eq!(announced.next_part(), Err(SplitError::TooLarge));

        let megabyte = vec![b'x'; 1 << 20];
        let feed = |start: &[u8]| {
            let mut parts = Parts::new("F").unwrap();
            parts.push(start);
            (0..20).find_map(|_| {
                parts.push(&megabyte);
                parts.next_part().err()
            })
        };
        assert_eq!(feed(b"--F\r\n\r\n"), Some(SplitError::TooLarge));
        assert_eq!(feed(b"--F\r\n"), Some(SplitError::HeaderTooLarge));
        assert_eq!(feed(b""), Some(SplitError::Nothing));

        let mut lines = Parts::new("F").unwrap();
        lines.push(b"--F\r\n");
        lines.push(&b"a: b\r\n".repeat(2000));
        assert_eq!(lines.next_part(), Err(SplitError::HeaderTooLarge));

        let mut pictures = Pictures::default();
        pictures.push(&[0xff, 0xd8, 0xff, 0xda, 0, 2]);
        let error = (0..20).find_map(|_| {
            pictures.push(&megabyte);
            pictures.next_picture().err()
        });
        assert_eq!(error, Some(SplitError::TooLarge));
        let mut junk = Pictures::default();
        for _ in 0..20 {
            junk.push(&megabyte);
            assert_eq!(junk.next_picture(), Ok(None));
        }
        assert_eq!(junk.buffer.len(), 0);
    }

    #[test]
    fn pictures_that_follow_each_other_are_split_and_junk_between_them_dropped() {
        let all: Vec<Vec<u8>> = (1..6).map(|seed| jpeg(48, 32, seed)).collect();
        let mut body = b"\xff\xffjunk\xff".to_vec();
        for picture in &all {
            body.extend(picture);
            body.extend(b"\0\0\r\n");
        }
        for step in [1, 13, 100_000] {
            assert_eq!(pictures(&body, step), all, "{step} bytes at a time");
        }
    }

    #[test]
    fn a_picture_cut_short_does_not_take_the_next_with_it() {
        let (a, b) = (jpeg(64, 64, 1), jpeg(64, 64, 2));
        let body = [&a[..a.len() - 20], &b[..]].concat();
        let found = pictures(&body, 50);
        assert_eq!(found.len(), 2);
        assert_eq!(complete(&found[0]), Err(JpegError::Truncated));
        assert_eq!(found[1], b);
    }

    #[test]
    fn a_complete_picture_is_told_from_a_broken_one() {
        let whole = jpeg(640, 480, 3);
        let size = Resolution::new(640, 480);
        assert_eq!(complete(&whole), Ok((whole.len(), size)));
        let padded = [&whole[..], &[0; 100]].concat();
        assert_eq!(complete(&padded), Ok((whole.len(), size)));
        assert_eq!(complete(&whole[..whole.len() - 2]), Err(JpegError::Truncated));
        assert_eq!(complete(&whole[..20]), Err(JpegError::Truncated));
        assert_eq!(complete(&whole[1..]), Err(JpegError::NotJpeg));
        assert_eq!(complete(b""), Err(JpegError::NotJpeg));
        assert_eq!(complete(&[SOI, EOI].concat()), Err(JpegError::Header));
        let mut tiny = whole.clone();
        let sof = memmem::find(&tiny, &[0xff, 0xc0]).unwrap();
        tiny[sof + 5..sof + 9].fill(0);
        assert_eq!(complete(&tiny), Err(JpegError::Header));
    }

    proptest! {
        #[test]
        fn parts_come_out_as_they_went_in(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..300), 1..6),
            step in 1_usize..400,
        ) {
            let mut stream = Vec::new();
            for body in &bodies {
                stream.extend(format!("--B7\r\nContent-Length: {}\r\n\r\n", body.len()).bytes());
                stream.extend(body);
                stream.extend(b"\r\n");
            }
            prop_assert_eq!(parts("B7", &stream, step), bodies);
        }

        #[test]
        fn no_bytes_make_it_panic_or_hang(
            bytes in prop::collection::vec(prop_oneof![
                any::<u8>(), Just(0xff), Just(0xd8), Just(0xd9), Just(0xda), Just(b'-'), Just(b'F'), Just(b'\n'),
            ], 0..600),
            step in 1_usize..70,
        ) {
            let _ = complete(&bytes);
            let mut split = Parts::new("F").unwrap();
            let mut walk = Pictures::default();
            for piece in bytes.chunks(step) {
                split.push(piece);
                walk.push(piece);
                while let Ok(Some(_)) = split.next_part() {}
                while let Ok(Some(picture)) = walk.next_picture() {
                    prop_assert!(picture.starts_with(&SOI));
                }
            }
        }

        #[test]
        fn any_real_picture_is_walked_over(width in 1_u16..80, height in 1_u16..80, seed: u8, step in 1_usize..900) {
            let one = jpeg(width, height, seed);
            let body = [&one[..], &one[..]].concat();
            prop_assert_eq!(pictures(&body, step), [&one[..], &one[..]]);
        }
    }
}
