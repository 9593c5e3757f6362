//! Pure: H.264 byte streams (ITU-T H.264, 08/2021): NAL units, access units, Annex B and length-prefixed form, SPS.
//!
//! Section numbers in the comments are that document's. Nothing here decodes pictures (`codec::openh264`) or writes files.

mod access_units;
mod sps;

pub use access_units::{AccessUnits, NoPicture, Splitter, Unit};
pub use sps::Sps;

/// `nal_unit_type` values, table 7-1.
pub mod nal {
    /// A slice of a picture that is no IDR.
    pub const SLICE: u8 = 1;
    /// The first part of a slice in three parts.
    pub const PARTITION_A: u8 = 2;
    /// A slice of an IDR picture.
    pub const IDR: u8 = 5;
    /// Supplemental enhancement information.
    pub const SEI: u8 = 6;
    /// Sequence parameter set.
    pub const SPS: u8 = 7;
    /// Picture parameter set.
    pub const PPS: u8 = 8;
    /// Access unit delimiter.
    pub const AUD: u8 = 9;
}

/// The type of a NAL unit, from its first byte (7.3.1).
pub const fn nal_type(header: u8) -> u8 {
    header & 0x1f
}

/// The NAL units of a piece of Annex B byte stream, without start codes (of 3 or 4 bytes) and the zeros around them.
/// What lies before the first start code is left out.
pub fn nal_units(annex_b: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = memchr::memmem::find(annex_b, START).map(|at| &annex_b[at + START.len()..]);
    std::iter::from_fn(move || {
        loop {
            let now = rest?;
            let next = memchr::memmem::find(now, START);
            rest = next.map(|at| &now[at + START.len()..]);
            let nal = &now[..next.unwrap_or(now.len())];
            // trailing_zero_8bits and the next one's zero_byte (B.1.2); no NAL unit ends with a zero (7.4.1).
            let len = nal.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            if len > 0 {
                return Some(&nal[..len]);
            }
        }
    })
}

/// Whether two IDR pictures bring the same parameter sets, byte for byte: then they are of one coded video sequence's kind, and one
/// decoder configuration does for both.
pub fn same_parameters(one: &[u8], other: &[u8]) -> bool {
    fn sets(unit: &[u8]) -> impl Iterator<Item = &[u8]> {
        let before = nal_units(unit).take_while(|unit| nal_type(unit[0]) != nal::IDR);
        before.filter(|unit| matches!(nal_type(unit[0]), nal::SPS | nal::PPS))
    }
    sets(one).eq(sets(other))
}

const START: &[u8] = &[0, 0, 1];

/// Appends a NAL unit with a start code of 4 bytes.
pub fn append(annex_b: &mut Vec<u8>, nal: &[u8]) {
    annex_b.extend_from_slice(&[0, 0, 0, 1]);
    annex_b.extend_from_slice(nal);
}

/// A sample of an MP4 file whose NAL unit lengths do not add up: it is torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an H.264 sample is torn: a NAL unit of {length} bytes where {left} are left")]
pub struct TornSample {
    /// The length that the sample claims.
    pub length: usize,
    /// Bytes left of it.
    pub left: usize,
}

/// Appends a sample in the form of ISO/IEC 14496-15, 5.3.4.2 (each NAL unit after its big-endian length of
/// `length_bytes`, 1 to 4) as Annex B with start codes of 4 bytes.
pub fn append_sample(annex_b: &mut Vec<u8>, sample: &[u8], length_bytes: usize) -> Result<(), TornSample> {
    let mut rest = sample;
    while !rest.is_empty() {
        let Some((length, tail)) = rest.split_at_checked(length_bytes) else {
            return Err(TornSample { length: length_bytes, left: rest.len() });
        };
        let length = length.iter().fold(0usize, |length, byte| length << 8 | *byte as usize);
        let Some((nal, tail)) = tail.split_at_checked(length) else {
            return Err(TornSample { length, left: tail.len() });
        };
        if !nal.is_empty() {
            append(annex_b, nal);
        }
        rest = tail;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn both_start_codes_and_stray_zeros() {
        let stream = [9, 9, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 0, 0, 1, 0x65, 3, 0, 0];
        let nals: Vec<&[u8]> = nal_units(&stream).collect();
        assert_eq!(nals, [&[0x67, 1][..], &[0x68, 2], &[0x65, 3]]);
        assert_eq!(nals.iter().map(|nal| nal_type(nal[0])).collect::<Vec<_>>(), [nal::SPS, nal::PPS, nal::IDR]);
    }

    #[test]
    fn samples_with_lengths_become_annex_b() {
        let mut out = Vec::new();
        append_sample(&mut out, &[0, 0, 0, 2, 0x65, 7, 0, 0, 0, 1, 0x41], 4).unwrap();
        assert_eq!(out, [0, 0, 0, 1, 0x65, 7, 0, 0, 0, 1, 0x41]);
        assert_eq!(append_sample(&mut out, &[0, 9, 1, 2], 2), Err(TornSample { length: 9, left: 2 }));
        assert_eq!(append_sample(&mut out, &[0], 2), Err(TornSample { length: 2, left: 1 }));
    }

    #[test]
    fn parameter_sets_are_compared_and_nothing_else() {
        let unit = [0, 0, 0, 1, 0x67, 1, 0, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 0x65, 3];
        let another_picture = [0, 0, 1, 0x67, 1, 0, 0, 1, 0x68, 2, 0, 0, 0, 1, 6, 9, 0, 0, 1, 0x65, 4, 5, 6];
        assert!(same_parameters(&unit, &another_picture));
        for at in [5, 11] {
            let mut other = unit;
            other[at] = 9;
            assert!(!same_parameters(&unit, &other));
        }
        assert!(!same_parameters(&unit, &unit[6..]));
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        // Mostly zeros and ones: start codes everywhere.
        prop::collection::vec(prop_oneof![3 => Just(0u8), 2 => Just(1u8), 1 => any::<u8>()], 0..200)
    }

    proptest! {
        #[test]
        fn split_then_joined_then_split_is_the_same(stream in bytes()) {
            let nals: Vec<&[u8]> = nal_units(&stream).collect();
            let mut joined = Vec::new();
            nals.iter().for_each(|nal| append(&mut joined, nal));
            prop_assert_eq!(nal_units(&joined).collect::<Vec<_>>(), nals);
        }

        #[test]
        fn no_sample_panics(sample in bytes(), length_bytes in 1usize..=4) {
            let _ = append_sample(&mut Vec::new(), &sample, length_bytes);
        }
    }
}
