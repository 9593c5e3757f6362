//! Finds the access units of a video file that has no index, or goes on beyond it, without holding it in memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::memmem;

/// Read at once.
const CHUNK: usize = 256 << 10;
/// A start code, the NAL unit's header, and the first byte after it.
const NEEDED: usize = 5;

/// An access unit in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// Its first byte.
    pub offset: u64,
    /// The byte after it.
    pub end: u64,
    /// Whether it is an IDR picture.
    pub idr: bool,
}

/// Puts NAL units together to access units (ITU-T H.264, 7.4.1.2.3).
#[derive(Default)]
struct Assembly {
    found: Vec<Found>,
    start: Option<u64>,
    /// A slice of the picture has been seen.
    picture: bool,
    idr: bool,
}

impl Assembly {
    /// A NAL unit whose start code begins at `offset`; `header` and `first` are its first two bytes.
    fn nal_unit(&mut self, offset: u64, header: u8, first: u8) {
        let kind = header & 0x1f;
        let slice = matches!(kind, 1 | 5);
        // `first_mb_in_slice` is 0 when its first bit is 1.
        let new_picture = slice && first & 0x80 != 0;
        if self.picture && (new_picture || matches!(kind, 6..=9 | 14..=18)) {
            self.end_at(offset);
        }
        self.start.get_or_insert(offset);
        self.picture |= slice;
        self.idr |= kind == 5;
    }

    fn end_at(&mut self, end: u64) {
        if let (Some(offset), true) = (self.start.take(), self.picture) {
            self.found.push(Found { offset, end, idr: self.idr });
        }
        (self.picture, self.idr) = (false, false);
    }
}

/// The access units from byte `from` on. The last one ends with the file, and may be incomplete.
pub(super) fn access_units(video: &File, from: u64) -> io::Result<Vec<Found>> {
    let finder = memmem::Finder::new(&[0, 0, 1]);
    let mut assembly = Assembly::default();
    let mut buffer = vec![0; CHUNK];
    // `buffer[..held]` are the bytes of the file from `at` on.
    let (mut at, mut held, mut before) = (from, 0, 1u8);
    loop {
        let read = match video.read_at(&mut buffer[held..], at + held as u64) {
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            read => read?,
        };
        held += read;
        let last = read == 0;
        if !last && held < NEEDED {
            continue;
        }
        for code in finder.find_iter(&buffer[..held]) {
            let Some(&[header, first]) = buffer[..held].get(code + 3..code + NEEDED) else { continue };
            let long = if code == 0 { before == 0 } else { buffer[code - 1] == 0 };
            assembly.nal_unit(at + code as u64 - u64::from(long), header, first);
        }
        if last {
            assembly.end_at(at + held as u64);
            return Ok(assembly.found);
        }
        // A start code in the last bytes is looked at again, with what follows it.
        let keep = NEEDED - 1;
        before = buffer[held - keep - 1];
        buffer.copy_within(held - keep..held, 0);
        at += (held - keep) as u64;
        held = keep;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write;

    use proptest::prelude::*;

    use super::super::testing::{GOP, units};
    use super::*;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn finds_what_the_encoder_wrote() {
        let units = units();
        let mut clip: Vec<u8> = Vec::new();
        let mut expected = Vec::new();
        for (i, unit) in units.iter().enumerate() {
            let offset = clip.len() as u64;
            clip.extend(&unit.bytes);
            expected.push(Found { offset, end: clip.len() as u64, idr: i % GOP == 0 });
        }
        assert!(clip.len() > 2 * CHUNK, "long enough to be read in parts");
        assert_eq!(access_units(&file_of(&clip), 0).unwrap(), expected);
        assert_eq!(access_units(&file_of(&clip), expected[33].offset).unwrap(), expected[33..]);
    }

    #[test]
    fn a_start_code_across_two_reads_is_seen_once() {
        for shift in 0..12 {
            let mut clip = vec![0xff; CHUNK - 8 + shift];
            let offset = clip.len() as u64;
            clip.extend([0, 0, 0, 1, 0x65, 0x88, 7, 7, 7]);
            let second = clip.len() as u64;
            clip.extend([0, 0, 1, 0x41, 0x9a, 1]);
            let end = clip.len() as u64;
            let expected = [Found { offset, end: second, idr: true }, Found { offset: second, end, idr: false }];
            assert_eq!(access_units(&file_of(&clip), 0).unwrap(), expected, "shift {shift}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn arbitrary_bytes_give_units_in_order(
            bytes in prop::collection::vec(prop_oneof![4 => Just(0u8), 2 => Just(1), 1 => any::<u8>()], 0..300),
        ) {
            let found = access_units(&file_of(&bytes), 0).unwrap();
            prop_assert!(found.iter().all(|unit| unit.offset < unit.end && unit.end <= bytes.len() as u64));
            prop_assert!(found.windows(2).all(|pair| pair[0].end <= pair[1].offset));
        }
    }
}
