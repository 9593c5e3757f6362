//! Pure: the envelope of an uploaded file. Whoever has the public key can seal; only the private key opens.
//!
//! ```text
//! LEN " " WRAPPED TOKEN
//! ```
//!
//! `TOKEN` is the file's content as a Fernet token under a key of its own; `WRAPPED` is that key's 44 characters,
//! encrypted with RSA-OAEP (SHA-256, MGF1 with SHA-256, no label; RFC 8017, 7.1), as base64; `LEN` is the length of
//! `WRAPPED` in decimal digits. This is the format of Watchtower 1.x, whose reader and writer it has to suit.
//!
//! An envelope keeps secret what is in it, and shows damage; it does not say who sealed it. Reading keys is in `key`.

mod key;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use fernet::Fernet;
use rsa::Oaep;
use rsa::rand_core::OsRng;
use rsa::sha2::Sha256;

pub use key::{KeyError, PrivateKey, PublicKey};

/// The most digits that `LEN` can have: enough for the longest key there is room for.
const LEN_DIGITS: usize = 4;

/// Opening takes any time that a token was made at: the clock of the machine that sealed it may have been ahead. The
/// crate adds a minute of tolerance to this.
const ANY_TIME_S: u64 = u64::MAX - 60;

/// Why a file does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnsealError {
    /// It does not begin as an envelope does.
    #[error("is not sealed, or its beginning is damaged")]
    NoEnvelope,
    /// Shorter than its beginning says.
    #[error("is cut off")]
    CutOff,
    /// Its length does not suit the key, or its content key does not open with it.
    #[error("was sealed for another key, or is damaged")]
    OtherKey,
    /// The content is not what was sealed.
    #[error("is damaged or cut off")]
    Damaged,
}

impl PublicKey {
    /// Seals a file. The result is a third longer than `content`, and a few hundred bytes.
    pub fn seal(&self, content: &[u8]) -> Vec<u8> {
        let key = Fernet::generate_key();
        let token = Fernet::new(&key).expect("a key just generated is one").encrypt(content);
        let wrapped = self.0.encrypt(&mut OsRng, Oaep::new::<Sha256>(), key.as_bytes());
        let wrapped =
            STANDARD.encode(wrapped.expect("44 bytes fit into OAEP from 1104 bits on; a key has 2048 at least"));
        [wrapped.len().to_string().as_bytes(), b" ", wrapped.as_bytes(), token.as_bytes()].concat()
    }
}

impl PrivateKey {
    /// Opens a sealed file: the exact bytes that were sealed, or an error.
    ///
    /// # Errors
    /// See [`UnsealError`]. No changed, cut or lengthened envelope opens.
    pub fn unseal(&self, sealed: &[u8]) -> Result<Vec<u8>, UnsealError> {
        let (wrapped, token) = split(sealed)?;
        let wrapped = STANDARD.decode(wrapped).map_err(|_| UnsealError::OtherKey)?;
        let key = self.0.decrypt(Oaep::new::<Sha256>(), &wrapped).map_err(|_| UnsealError::OtherKey)?;
        let key = String::from_utf8(key).map_err(|_| UnsealError::Damaged)?;
        let fernet = Fernet::new(&key).ok_or(UnsealError::Damaged)?;
        let token = std::str::from_utf8(token).map_err(|_| UnsealError::Damaged)?;
        // The crate takes any number of `=` at the end, also none.
        let padding = token.len() - token.trim_end_matches('=').len();
        if token.len() % 4 != 0 || padding > 2 {
            return Err(UnsealError::Damaged);
        }
        fernet.decrypt_at_time(token, None, ANY_TIME_S).map_err(|_| UnsealError::Damaged)
    }
}

/// Whether a file begins as an envelope does. Video never does: it begins with a zero, and a later piece of it
/// hardly ever as envelopes do.
pub fn looks_sealed(beginning: &[u8]) -> bool {
    prefix(beginning).is_ok()
}

/// `LEN`, and where `WRAPPED` begins.
fn prefix(sealed: &[u8]) -> Result<(usize, usize), UnsealError> {
    let digits = sealed.iter().take_while(|b| b.is_ascii_digit()).count();
    if !(3..=LEN_DIGITS).contains(&digits) || sealed[0] == b'0' || sealed.get(digits) != Some(&b' ') {
        return Err(UnsealError::NoEnvelope);
    }
    let len = sealed[..digits].iter().fold(0, |len, digit| len * 10 + usize::from(digit - b'0'));
    Ok((len, digits + 1))
}

/// `WRAPPED` and `TOKEN`.
fn split(sealed: &[u8]) -> Result<(&[u8], &[u8]), UnsealError> {
    let (len, begin) = prefix(sealed)?;
    sealed[begin..].split_at_checked(len).ok_or(UnsealError::CutOff)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use rsa::RsaPrivateKey;

    use super::*;

    static KEY: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey(RsaPrivateKey::new(&mut OsRng, 2048).unwrap()));
    static OTHER: LazyLock<PrivateKey> = LazyLock::new(|| PrivateKey(RsaPrivateKey::new(&mut OsRng, 2048).unwrap()));

    #[test]
    fn an_envelope_is_what_1x_wrote() {
        let sealed = KEY.public().seal(b"content");
        // 2048 bits are 256 bytes, in base64 344 characters with two of padding.
        assert!(sealed.starts_with(b"344 "));
        assert_eq!(&sealed[4 + 342..4 + 344], b"==");
        // Version 0x80 and a time that begins with zeros.
        assert!(sealed[4 + 344..].starts_with(b"gAAAA"));
        assert!(looks_sealed(&sealed[..8]));
        assert!(!looks_sealed(&[0, 0, 0, 1, 0x67]) && !looks_sealed(b"") && !looks_sealed(b"344"));
    }

    #[test]
    fn another_key_does_not_open_it() {
        assert_eq!(OTHER.unseal(&KEY.public().seal(b"content")), Err(UnsealError::OtherKey));
    }

    #[test]
    fn the_causes_are_told_apart() {
        let sealed = KEY.public().seal(b"content");
        assert_eq!(KEY.unseal(&[0, 0, 0, 1, 0x67]), Err(UnsealError::NoEnvelope));
        assert_eq!(KEY.unseal(&sealed[..200]), Err(UnsealError::CutOff));
        assert_eq!(KEY.unseal(&sealed[..400]), Err(UnsealError::Damaged));
    }

    #[test]
    fn a_token_without_or_with_more_padding_is_damaged() {
        // One block of 16: 73 bytes, so two characters of padding.
        let mut sealed = KEY.public().seal(b"content");
        assert!(sealed.ends_with(b"=="));
        assert_eq!(KEY.unseal(&sealed[..sealed.len() - 2]), Err(UnsealError::Damaged));
        sealed.extend(b"====");
        assert_eq!(KEY.unseal(&sealed), Err(UnsealError::Damaged));
    }

    /// In base64 the last character before the padding has bits that say nothing; those may not be changed either.
    #[test]
    fn the_spare_bits_at_the_end_count() {
        let sealed = KEY.public().seal(b"content");
        let wrapped_end = 4 + 344;
        for at in (wrapped_end - 4..wrapped_end).chain(sealed.len() - 4..sealed.len()) {
            for bit in 0..8 {
                let mut changed = sealed.clone();
                changed[at] ^= 1u8 << bit;
                assert!(KEY.unseal(&changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn what_a_machine_sealed_whose_clock_was_ahead_opens() {
        let key = Fernet::generate_key();
        let ahead_s = 1 << 40;
        let token = Fernet::new(&key).unwrap().encrypt_at_time(b"content", ahead_s);
        let wrapped = KEY.public().0.encrypt(&mut OsRng, Oaep::new::<Sha256>(), key.as_bytes()).unwrap();
        let sealed = format!("344 {}{token}", STANDARD.encode(wrapped));
        assert_eq!(KEY.unseal(sealed.as_bytes()).unwrap(), b"content");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_sealed_opens(content in prop::collection::vec(any::<u8>(), 0..5000)) {
            prop_assert_eq!(KEY.unseal(&KEY.public().seal(&content)).unwrap(), content);
        }

        #[test]
        fn no_flipped_bit_opens(content in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), bit in 0..8u32) {
            let mut sealed = KEY.public().seal(&content);
            let at = at.index(sealed.len());
            sealed[at] ^= 1u8 << bit;
            prop_assert!(KEY.unseal(&sealed).is_err());
        }

        #[test]
        fn nothing_cut_off_opens(content in prop::collection::vec(any::<u8>(), 0..100), len in any::<prop::sample::Index>()) {
            let sealed = KEY.public().seal(&content);
            prop_assert!(KEY.unseal(&sealed[..len.index(sealed.len())]).is_err());
        }

        #[test]
        fn nothing_in_another_order_opens(content in prop::collection::vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>()) {
            let sealed = KEY.public().seal(&content);
            let at = 1 + at.index(sealed.len() - 1);
            let turned = [&sealed[at..], &sealed[..at]].concat();
            prop_assert!(turned == sealed || KEY.unseal(&turned).is_err());
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), len in 0usize..10_000) {
            prop_assert!(KEY.unseal(&bytes).is_err());
            let prefixed = [format!("{len} ").as_bytes(), &bytes].concat();
            prop_assert!(KEY.unseal(&prefixed).is_err());
        }
    }
}
