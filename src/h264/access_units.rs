//! Cuts an Annex B byte stream into access units.

use std::io::{self, Read};

use super::{START, nal, nal_type};

/// An access unit as it lies in the stream: start codes, and zeros between its NAL units, included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// Where it begins, in bytes from the start of the stream.
    pub offset: u64,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Whether it is an IDR picture.
    pub idr: bool,
    /// Whether it has a slice at all. Without one it is the torn end of a stream, or parameter sets at its end.
    pub picture: bool,
}

/// Cuts a stream that arrives in pieces.
///
/// An access unit ends before the first NAL unit, after its last slice, that can only begin another (7.4.1.2.3): an
/// access unit delimiter, a parameter set, an SEI message, one of the types 14 to 18, or a slice with
/// `first_mb_in_slice` 0. The latter stands for the full comparison of 7.4.1.2.4, which differs from it
/// only for arbitrary slice order (Baseline; no camera uses it) and lost slices.
///
/// What precedes the first start code is dropped. The units joined are the rest of the stream, byte for byte.
#[derive(Debug, Default)]
pub struct Splitter {
    buffer: Vec<u8>,
    /// Stream offset of the buffer's first byte.
    offset: u64,
    /// Bytes of the buffer that have been searched for start codes.
    searched: usize,
    started: bool,
    picture: bool,
    idr: bool,
}

impl Splitter {
    /// A splitter at the start of a stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next piece of the stream. Take the units that it completes with [`Splitter::next_unit`].
    pub fn push(&mut self, piece: &[u8]) {
        self.buffer.extend_from_slice(piece);
    }

    /// As [`Splitter::next_unit`], of a stream that may be no H.264: memory is bounded.
    pub fn next_of_untrusted(&mut self) -> Result<Option<Unit>, NoPicture> {
        match self.next_unit() {
            None if self.buffer.len() > MAX_UNIT => Err(NoPicture),
            unit => Ok(unit),
        }
    }

    /// The next complete unit.
    pub fn next_unit(&mut self) -> Option<Unit> {
        // The NAL unit's header and the first byte of its slice header follow the start code.
        const NEEDED: usize = START.len() + 2;
        loop {
            let Some(found) = memchr::memmem::find(&self.buffer[self.searched..], START) else {
                // A start code may be cut by the end of the buffer.
                self.searched = self.searched.max(self.buffer.len().saturating_sub(START.len() - 1));
                return None;
            };
            let code = self.searched + found;
            let Some(&[.., header, slice]) = self.buffer.get(code..code + NEEDED) else {
                self.searched = code;
                return None;
            };
            // zero_byte belongs to the start code (B.1.1).
            let begin = if code > 0 && self.buffer[code - 1] == 0 { code - 1 } else { code };
            if !self.started {
                self.started = true;
                self.drop_front(begin);
                self.searched = START.len() + (code - begin);
                self.note(header);
                continue;
            }
            let ends = self.picture && begins_another(header, slice);
            let unit = ends.then(|| self.take(begin));
            self.searched = if ends { START.len() + (code - begin) } else { code + START.len() };
            self.note(header);
            if unit.is_some() {
                return unit;
            }
        }
    }

    /// What is left at the end of the stream; `None` when that is nothing.
    pub fn finish(mut self) -> Option<Unit> {
        // A NAL unit of a single byte, at the very end, has not been looked at; it can be no slice.
        let begin = memchr::memmem::find(&self.buffer, START)?;
        if !self.started {
            self.drop_front(begin - usize::from(begin > 0 && self.buffer[begin - 1] == 0));
        }
        let len = self.buffer.len();
        Some(self.take(len))
    }

    fn note(&mut self, header: u8) {
        let kind = nal_type(header);
        self.picture |= (nal::SLICE..=nal::IDR).contains(&kind);
        self.idr |= kind == nal::IDR;
    }

    fn take(&mut self, len: usize) -> Unit {
        let rest = self.buffer.split_off(len);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        let unit = Unit { offset: self.offset, bytes, idr: self.idr, picture: self.picture };
        self.offset += len as u64;
        (self.idr, self.picture) = (false, false);
        unit
    }

    fn drop_front(&mut self, len: usize) {
        self.buffer.drain(..len);
        self.offset += len as u64;
    }
}

/// Whether a NAL unit after a picture's slices belongs to the next access unit.
fn begins_another(header: u8, slice: u8) -> bool {
    match nal_type(header) {
        // first_mb_in_slice is ue(v) (7.3.3): zero is a single 1 bit.
        nal::SLICE | nal::PARTITION_A | nal::IDR => slice & 0x80 != 0,
        nal::SEI..=nal::AUD | 14..=18 => true,
        _ => false,
    }
}

/// The access units of a file or another reader, one after the other, in bounded memory.
pub struct AccessUnits<R> {
    reader: R,
    splitter: Option<Splitter>,
    piece: Vec<u8>,
}

/// No picture of a camera is larger; what is, is no H.264.
const MAX_UNIT: usize = 16 << 20;

/// What was read is no H.264.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no H.264: more than {} MiB without the end of a picture", MAX_UNIT >> 20)]
pub struct NoPicture;

impl<R: Read> AccessUnits<R> {
    /// Reads from where `reader` stands; offsets count from there. A buffered reader is not needed.
    pub fn new(reader: R) -> Self {
        Self { reader, splitter: Some(Splitter::new()), piece: vec![0; 64 << 10] }
    }
}

impl<R: Read> Iterator for AccessUnits<R> {
    type Item = io::Result<Unit>;

    /// An error ends the sequence: the reader's own, or `InvalidData` when 16 MiB hold no complete access unit.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let splitter = self.splitter.as_mut()?;
            match splitter.next_of_untrusted() {
                Ok(Some(unit)) => return Some(Ok(unit)),
                Ok(None) => {}
                Err(error) => {
                    self.splitter = None;
                    return Some(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
                }
            }
            match self.reader.read(&mut self.piece) {
                Ok(0) => return self.splitter.take()?.finish().map(Ok),
                Ok(len) => splitter.push(&self.piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.splitter = None;
                    return Some(Err(error));
                }
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn split(stream: &[u8], piece: usize) -> Vec<Unit> {
        let mut splitter = Splitter::new();
        let mut units = Vec::new();
        for piece in stream.chunks(piece) {
            splitter.push(piece);
            while let Some(unit) = splitter.next_unit() {
                units.push(unit);
            }
        }
        units.extend(splitter.finish());
        units
    }

    /// SPS, PPS, IDR in two slices; a P picture; AUD and a P picture with an SEI before it.
    const UNITS: [&[u8]; 3] = [
        &[0, 0, 0, 1, 0x67, 7, 7, 0, 0, 0, 1, 0x68, 8, 0, 0, 1, 0x65, 0x88, 1, 0, 0, 1, 0x65, 0x11, 2],
        &[0, 0, 0, 1, 0x41, 0x9a, 3],
        &[0, 0, 0, 1, 0x09, 0xf0, 0, 0, 1, 0x06, 5, 0, 0, 0, 1, 0x41, 0x9b, 4],
    ];

    #[test]
    fn access_units_are_cut_where_the_standard_says_however_the_stream_arrives() {
        let stream = UNITS.concat();
        for piece in 1..stream.len() {
            let units = split(&stream, piece);
            assert_eq!(units.iter().map(|unit| &unit.bytes[..]).collect::<Vec<_>>(), UNITS, "pieces of {piece}");
            assert_eq!(units.iter().map(|unit| unit.idr).collect::<Vec<_>>(), [true, false, false]);
            assert_eq!(units.iter().map(|unit| unit.offset).collect::<Vec<_>>(), [0, 25, 32]);
            assert!(units.iter().all(|unit| unit.picture));
        }
    }

    #[test]
    fn a_reader_gives_the_same_and_skips_what_is_before_the_first_start_code() {
        let stream = [&[1, 2, 3], UNITS.concat().as_slice()].concat();
        let units: Vec<Unit> = AccessUnits::new(&stream[..]).map(Result::unwrap).collect();
        assert_eq!(units.iter().map(|unit| &unit.bytes[..]).collect::<Vec<_>>(), UNITS);
        assert_eq!(units[0].offset, 3);
    }

    #[test]
    fn what_is_no_h264_ends_in_bounded_memory() {
        let mut units = AccessUnits::new(io::repeat(7));
        assert_eq!(units.next().unwrap().unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(units.next().is_none());
    }

    proptest! {
        #[test]
        fn units_joined_are_the_stream(
            stream in prop::collection::vec(prop_oneof![4 => Just(0u8), 3 => Just(1u8), 2 => Just(0x65), 1 => any::<u8>()], 0..300),
            piece in 1usize..50,
        ) {
            let units = split(&stream, piece);
            let joined: Vec<u8> = units.iter().flat_map(|unit| unit.bytes.iter().copied()).collect();
            match units.first() {
                Some(first) => prop_assert_eq!(&joined, &stream[first.offset as usize..]),
                None => prop_assert!(memchr::memmem::find(&stream, START).is_none()),
            }
            prop_assert_eq!(split(&stream, stream.len().max(1)), units);
        }
    }
}
