//! One line of text in fixed memory: built byte by byte for sending, or collected from what is received.

/// The longest line in either direction, without its line feed. 1.x's controller has room for 15 bytes, and
/// every line that a host may send it fits in that.
pub const LINE_MAX: usize = 24;

/// A line under construction.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    bytes: [u8; LINE_MAX],
    len: u8,
}

impl Text {
    /// An empty line.
    pub const fn new() -> Text {
        Text { bytes: [0; LINE_MAX], len: 0 }
    }

    /// Makes it empty again.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends one byte; `false` when the line is full and the byte was left out.
    pub fn push(&mut self, byte: u8) -> bool {
        match self.bytes.get_mut(usize::from(self.len)) {
            Some(slot) => {
                *slot = byte;
                self.len += 1;
                true
            }
            None => false,
        }
    }

    /// Appends `bytes`, as far as they fit.
    pub fn push_all(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.push(byte);
        }
    }

    /// Appends a number in decimal, without leading zeros.
    pub fn push_number(&mut self, mut value: u8) {
        let hundreds = value / 100;
        value %= 100;
        if hundreds > 0 {
            self.push(b'0' + hundreds);
        }
        if hundreds > 0 || value >= 10 {
            self.push(b'0' + value / 10);
        }
        self.push(b'0' + value % 10);
    }

    /// What has been written so far.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }
}

impl Default for Text {
    fn default() -> Text {
        Text::new()
    }
}

/// One to three decimal digits and nothing else. Leading zeros are allowed, as 1.x allowed them.
pub fn parse_number(digits: &[u8]) -> Option<u16> {
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let mut value = 0u16;
    for &digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + u16::from(digit);
    }
    Some(value)
}

/// Collects bytes into lines. A line of more than [`LINE_MAX`] bytes is dropped whole, so that no piece of it is
/// taken for a line of its own. Carriage returns are left out.
#[derive(Clone, Debug, Default)]
pub struct Assembler {
    line: Text,
    /// What came since the last line feed is too long.
    overlong: bool,
    /// `line` was handed out; the next byte starts a new one.
    complete: bool,
}

impl Assembler {
    /// Nothing collected yet.
    pub const fn new() -> Assembler {
        Assembler { line: Text::new(), overlong: false, complete: false }
    }

    /// Takes one byte, and gives the line that it completes. Empty lines are not given.
    pub fn push(&mut self, byte: u8) -> Option<&[u8]> {
        if self.complete {
            self.line.clear();
            self.complete = false;
        }
        match byte {
            b'\n' => {
                self.complete = true;
                let whole = !core::mem::replace(&mut self.overlong, false);
                (whole && self.line.len > 0).then(|| self.line.as_bytes())
            }
            b'\r' => None,
            _ => {
                if !self.line.push(byte) {
                    self.overlong = true;
                }
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut assembler = Assembler::new();
        bytes.iter().filter_map(|&byte| assembler.push(byte).map(<[u8]>::to_vec)).collect()
    }

    #[test]
    fn lines_are_collected() {
        assert_eq!(lines(b"a\nbc\r\n\n\nlast"), [&b"a"[..], b"bc"]);
    }

    #[test]
    fn a_line_of_the_greatest_length_is_kept_and_a_longer_one_dropped_whole() {
        assert_eq!(lines(&[&[b'x'; LINE_MAX][..], b"\n"].concat()), [vec![b'x'; LINE_MAX]]);
        assert_eq!(lines(&[&[b'x'; LINE_MAX + 1][..], b"\nok\n"].concat()), [b"ok"]);
        assert_eq!(lines(&[&[b'x'; 300][..], b"ir_on\nok\n"].concat()), [b"ok"]);
    }

    proptest! {
        #[test]
        fn numbers_print_and_parse(value: u8) {
            let mut text = Text::new();
            text.push_number(value);
            prop_assert_eq!(core::str::from_utf8(text.as_bytes()), Ok(&*value.to_string()));
            prop_assert_eq!(parse_number(text.as_bytes()), Some(u16::from(value)));
        }

        #[test]
        fn assembled_lines_are_the_short_lines_of_the_input(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), any::<u8>()], 0..400)) {
            let clean: Vec<u8> = bytes.iter().copied().filter(|&byte| byte != b'\r').collect();
            let mut expected: Vec<Vec<u8>> = clean.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
            expected.pop(); // what follows the last line feed
            expected.retain(|line| (1..=LINE_MAX).contains(&line.len()));
            prop_assert_eq!(lines(&bytes), expected);
        }

        #[test]
        fn numbers_refuse_everything_else(digits: Vec<u8>) {
            let value = parse_number(&digits);
            let plain = (1..=3).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
            prop_assert_eq!(value.is_some(), plain);
        }
    }
}
