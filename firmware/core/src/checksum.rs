//! The checksum of framed lines: CRC-8 with polynomial x^8 + x^2 + x + 1 (SMBus PEC), written as `*` and two hex digits.
//!
//! It finds every single burst of up to eight bits, so every byte that was hit or exchanged on its own.

use crate::text::Text;

/// CRC-8 of `bytes`.
pub fn crc8(bytes: &[u8]) -> u8 {
    let mut crc = 0u8;
    for &byte in bytes {
        crc ^= byte;
        for _ in 0..8 {
            crc = if crc & 0x80 != 0 { (crc << 1) ^ 0x07 } else { crc << 1 };
        }
    }
    crc
}

/// Appends the checksum of what is in `text` so far.
pub fn seal(text: &mut Text) {
    let crc = crc8(text.as_bytes());
    text.push(b'*');
    text.push(hex_digit(crc >> 4));
    text.push(hex_digit(crc & 15));
}

/// The line without its checksum, or `None` when it has none or a wrong one.
pub fn unseal(line: &[u8]) -> Option<&[u8]> {
    let (body, tail) = line.split_at_checked(line.len().checked_sub(3)?)?;
    let [b'*', high, low] = *tail else { return None };
    (hex_value(high)? << 4 | hex_value(low)? == crc8(body)).then_some(body)
}

fn hex_digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' - 10 + value }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        assert_eq!(crc8(b"123456789"), 0xf4); // CRC-8/SMBUS
    }

    proptest! {
        #[test]
        fn a_sealed_line_opens(body in proptest::collection::vec(any::<u8>(), 0..=21)) {
            let mut text = Text::new();
            text.push_all(&body);
            seal(&mut text);
            prop_assert_eq!(unseal(text.as_bytes()), Some(&body[..]));
        }

        #[test]
        fn one_wrong_byte_is_found(body in proptest::collection::vec(any::<u8>(), 1..=21), at: usize, flip in 1u8..) {
            let mut text = Text::new();
            text.push_all(&body);
            seal(&mut text);
            let mut bytes = text.as_bytes().to_vec();
            let at = at % bytes.len();
            bytes[at] ^= flip;
            prop_assert_eq!(unseal(&bytes), None);
        }

        #[test]
        fn anything_may_come(line: Vec<u8>) {
            let _ = unseal(&line);
        }
    }
}
