//! Cuts an H.264 byte stream (ITU-T H.264, annex B) into access units as it comes in, and brings an MP4 sample into that
//! form. Pure.

use bytes::{Bytes, BytesMut};
use memchr::memmem;

/// No access unit is larger.
const MAX_UNIT_BYTES: usize = 16 << 20;

const START_CODE: [u8; 3] = [0, 0, 1];

/// A stream without the start of an access unit for 16 MB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no H.264 picture in {} MB", MAX_UNIT_BYTES >> 20)]
pub struct NoPicture;

/// Finds where one access unit ends and the next begins (7.4.1.2.3, for streams whose slices come in order).
#[derive(Default)]
pub struct AccessUnits {
    buffer: BytesMut,
    /// Start codes before this place have been looked at.
    scanned: usize,
    /// The access unit at the front has a slice.
    has_slice: bool,
}

impl AccessUnits {
    /// Takes in what came next.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next access unit that is known to be whole; `None` until more has come.
    pub fn next_unit(&mut self) -> Result<Option<Bytes>, NoPicture> {
        loop {
            let Some(found) = memmem::find(&self.buffer[self.scanned..], &START_CODE) else {
                self.scanned = self.buffer.len().saturating_sub(START_CODE.len() - 1).max(self.scanned);
                break;
            };
            let code = self.scanned + found;
            // The NAL unit's header, and first_mb_in_slice, which is 0 when its first bit is 1.
            let &[header, slice, ..] = &self.buffer[code + START_CODE.len()..] else {
                self.scanned = code;
                break;
            };
            let kind = header & 0x1f;
            let is_slice = matches!(kind, 1 | 2 | 5);
            let starts_unit = matches!(kind, 6..=9 | 14..=18) || is_slice && slice & 0x80 != 0;
            if self.has_slice && starts_unit {
                // The fourth byte of a start code is a zero before it.
                let end = if self.buffer[code - 1] == 0 { code - 1 } else { code };
                let unit = self.buffer.split_to(end).freeze();
                self.scanned = code - end + START_CODE.len();
                self.has_slice = is_slice;
                return Ok(Some(unit));
            }
            self.has_slice |= is_slice;
            self.scanned = code + START_CODE.len();
        }
        if self.buffer.len() > MAX_UNIT_BYTES { Err(NoPicture) } else { Ok(None) }
    }

    /// What is left at the end of the stream, if it is an access unit.
    pub fn finish(&mut self) -> Option<Bytes> {
        let rest = self.buffer.split().freeze();
        let whole = std::mem::take(self).has_slice;
        whole.then_some(rest)
    }
}

/// Appends a sample whose NAL units have their length before them, in `length_bytes` bytes (ISO/IEC 14496-15, 5.3.2), with
/// start codes instead. Whether the lengths were possible.
pub fn append_annexb(mut sample: &[u8], length_bytes: usize, unit: &mut Vec<u8>) -> bool {
    while !sample.is_empty() {
        let Some((length, rest)) = sample.split_at_checked(length_bytes) else { return false };
        let length = length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
        let Some((nal, rest)) = rest.split_at_checked(length) else { return false };
        unit.extend_from_slice(&[0, 0, 0, 1]);
        unit.extend_from_slice(nal);
        sample = rest;
    }
    true
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn nal(kind: u8, first_byte: u8, fill: u8) -> Vec<u8> {
        vec![0, 0, 0, 1, kind, first_byte, fill, fill, 0x80]
    }

    fn split(stream: &[u8], step: usize) -> Vec<Bytes> {
        let mut units = AccessUnits::default();
        let mut found = Vec::new();
        for piece in stream.chunks(step) {
            units.push(piece);
            while let Some(unit) = units.next_unit().unwrap() {
                found.push(unit);
            }
        }
        found.extend(units.finish());
        found
    }

    #[test]
    fn parameter_sets_and_delimiters_belong_to_the_picture_after_them_and_all_slices_to_one() {
        let units = [
            [nal(9, 0xf0, 1), nal(7, 66, 2), nal(8, 3, 3), nal(6, 5, 5), nal(5, 0x88, 4), nal(5, 0x40, 5)].concat(),
            [nal(1, 0x9a, 6), nal(1, 0x41, 7)].concat(),
            nal(1, 0x9a, 8),
            [nal(9, 0xf0, 9), nal(1, 0x9a, 10)].concat(),
            [nal(7, 66, 2), nal(8, 3, 3), nal(5, 0x88, 11)].concat(),
        ];
        for step in [1, 2, 3, 5, 1000] {
            assert_eq!(split(&units.concat(), step), units, "{step} bytes at a time");
        }
        // With start codes of three bytes, and none left over without a slice.
        let short: Vec<Vec<u8>> = units.iter().map(|unit| unit[1..].to_vec()).collect();
        assert_eq!(split(&[nal(5, 0x80, 1), short[2].clone(), nal(7, 1, 1)].concat(), 4).len(), 2);
        assert_eq!(split(&nal(7, 66, 2), 3), Vec::<Bytes>::new());
    }

    #[test]
    fn lengths_become_start_codes() {
        let mut unit = vec![9];
        assert!(append_annexb(&[0, 2, 7, 8, 0, 1, 5, 0, 0], 2, &mut unit));
        assert_eq!(unit, [9, 0, 0, 0, 1, 7, 8, 0, 0, 0, 1, 5, 0, 0, 0, 1]);
        for broken in [&[0, 3, 1, 2][..], &[0], &[0, 1]] {
            assert!(!append_annexb(broken, 2, &mut Vec::new()), "{broken:?}");
        }
        assert!(!append_annexb(&[0xff; 9], 4, &mut Vec::new()));
    }

    #[test]
    fn memory_is_bounded() {
        let mut units = AccessUnits::default();
        units.push(&nal(5, 0x80, 1));
        units.push(&vec![1; MAX_UNIT_BYTES]);
        assert_eq!(units.next_unit(), Err(NoPicture));
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_the_pieces_do_not_depend_on_how_it_comes_in(
            bytes in prop::collection::vec(prop_oneof![
                4 => Just(0_u8), 2 => Just(1), 1 => Just(0x65), 1 => Just(0x67), 1 => Just(0x88), 1 => any::<u8>(),
            ], 0..400),
            step in 1_usize..50,
        ) {
            let whole = split(&bytes, 1000);
            prop_assert_eq!(&whole, &split(&bytes, step));
            let joined = whole.concat();
            prop_assert!(bytes.starts_with(&joined));
        }
    }
}
