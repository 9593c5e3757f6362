//! RSA keys from PEM files (RFC 7468).
//!
//! Which file, and where a passphrase comes from, is the caller's business.

use std::fmt;

use rsa::pkcs1::DecodeRsaPrivateKey;
use rsa::pkcs8::der::Decode;
use rsa::pkcs8::spki::SubjectPublicKeyInfoRef;
use rsa::pkcs8::{Document, EncryptedPrivateKeyInfo, ObjectIdentifier, PrivateKeyInfo, SecretDocument};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, RsaPrivateKey, RsaPublicKey, pkcs1};
use x509_cert::Certificate;
use x509_cert::der::Encode;

/// Shorter keys can be broken with effort; NIST SP 800-131A disallows them.
const LEAST_BITS: usize = 2048;
/// Longer ones only cost time.
const MOST_BITS: usize = 16_384;

/// Why a file is not the key that is needed. The texts continue "FILE …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM file, or of something else.
    #[error("holds no {wanted}, but {found}")]
    OtherThing {
        /// What is needed.
        wanted: &'static str,
        /// What the file holds.
        found: String,
    },
    /// A private key where the public one belongs.
    #[error(
        "holds a private key: keep it away from the camera, and give it the public one \
         (`openssl pkey -in PRIVATE.pem -pubout -out PUBLIC.pem`)"
    )]
    Private,
    /// A key of another kind.
    #[error("holds a key of the kind {0}; only RSA keys can seal")]
    NotRsa(String),
    /// Too short or too long.
    #[error("holds an RSA key of {0} bits; it must have {LEAST_BITS} to {MOST_BITS}")]
    Bits(usize),
    /// A private key that needs a passphrase, and none was given.
    #[error("is encrypted and needs its passphrase")]
    NeedsPassphrase,
    /// It does not decrypt.
    #[error("does not open with this passphrase")]
    WrongPassphrase,
    /// Encrypted in a way that is not supported.
    #[error("is encrypted in an old way; convert it with `openssl pkcs8 -topk8 -in OLD.pem -out NEW.pem`")]
    OldEncryption,
    /// Damaged, or its numbers make no key.
    #[error("is damaged: {0}")]
    Damaged(String),
}

fn damaged(error: impl fmt::Display) -> KeyError {
    KeyError::Damaged(error.to_string())
}

/// The key that seals.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(pub(super) RsaPublicKey);

impl PublicKey {
    /// Reads a public key (`SubjectPublicKeyInfo`, RFC 5280, 4.1.2.7, or PKCS#1) or an X.509 certificate, whose dates and signature
    /// do not matter here. Of several certificates the first counts.
    ///
    /// # Errors
    /// A key that is not RSA or not of 2048 to 16384 bits; anything that is no key.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        match label(pem) {
            Some("PUBLIC KEY") => {
                let (_, der) = Document::from_pem(pem).map_err(damaged)?;
                Self::from_spki(der.as_bytes())
            }
            Some("RSA PUBLIC KEY") => {
                let (_, der) = Document::from_pem(pem).map_err(damaged)?;
                Self::from_pkcs1(der.as_bytes())
            }
            Some("CERTIFICATE") => {
                let chain = Certificate::load_pem_chain(pem.as_bytes()).map_err(damaged)?;
                let first = chain.first().ok_or_else(|| damaged("no certificate"))?;
                Self::from_spki(&first.tbs_certificate.subject_public_key_info.to_der().map_err(damaged)?)
            }
            Some(label) if label.ends_with("PRIVATE KEY") => Err(KeyError::Private),
            other => Err(other_thing("public key or certificate", other)),
        }
    }

    fn from_spki(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(damaged)?;
        check_rsa(spki.algorithm.oid)?;
        Self::from_pkcs1(spki.subject_public_key.as_bytes().ok_or_else(|| damaged("an odd number of bits"))?)
    }

    fn from_pkcs1(der: &[u8]) -> Result<Self, KeyError> {
        let key = pkcs1::RsaPublicKey::from_der(der).map_err(damaged)?;
        let number = |n: pkcs1::UintRef<'_>| BigUint::from_bytes_be(n.as_bytes());
        let (n, e) = (number(key.modulus), number(key.public_exponent));
        check_bits(n.bits())?;
        RsaPublicKey::new_with_max_size(n, e, MOST_BITS).map(Self).map_err(damaged)
    }

    /// Length of the modulus.
    pub fn bits(&self) -> usize {
        self.0.n().bits()
    }
}

/// The key that opens.
#[derive(Clone)]
pub struct PrivateKey(pub(super) RsaPrivateKey);

/// Says which key it is, and no secret.
impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PrivateKey").field(&self.public()).finish()
    }
}

impl PrivateKey {
    /// Reads a private key: PKCS#8 (RFC 5958), encrypted or not, or PKCS#1 (RFC 8017, A.1.2). A passphrase is
    /// only used where one is needed. Trying one takes a noticeable moment on purpose.
    ///
    /// # Errors
    /// [`KeyError::NeedsPassphrase`] where there is none; the others as of [`PublicKey::from_pem`].
    pub fn from_pem(pem: &str, passphrase: Option<&str>) -> Result<Self, KeyError> {
        let key = match label(pem) {
            // RFC 1421's encryption, of OpenSSL before 3: its key derivation is a single MD5.
            Some("RSA PRIVATE KEY") if pem.contains("Proc-Type: 4,ENCRYPTED") => return Err(KeyError::OldEncryption),
            Some("RSA PRIVATE KEY") => {
                let (_, der) = SecretDocument::from_pem(pem).map_err(damaged)?;
                RsaPrivateKey::from_pkcs1_der(der.as_bytes()).map_err(damaged)?
            }
            Some("PRIVATE KEY") => {
                let (_, der) = SecretDocument::from_pem(pem).map_err(damaged)?;
                from_pkcs8(der.as_bytes())?
            }
            Some("ENCRYPTED PRIVATE KEY") => {
                let (_, der) = SecretDocument::from_pem(pem).map_err(damaged)?;
                // What does not parse is of PKCS#5 v1.5 or PKCS#12: OpenSSL's `-v1`.
                let info = EncryptedPrivateKeyInfo::from_der(der.as_bytes()).map_err(|_| KeyError::OldEncryption)?;
                let passphrase = passphrase.ok_or(KeyError::NeedsPassphrase)?;
                let der = info.decrypt(passphrase).map_err(|_| KeyError::WrongPassphrase)?;
                from_pkcs8(der.as_bytes())?
            }
            Some(label) if label.ends_with(" PRIVATE KEY") => {
                return Err(KeyError::NotRsa(label.trim_end_matches(" PRIVATE KEY").to_owned()));
            }
            other => return Err(other_thing("private key", other)),
        };
        check_bits(key.n().bits())?;
        Ok(Self(key))
    }

    /// The key that seals for this one.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.to_public_key())
    }
}

fn from_pkcs8(der: &[u8]) -> Result<RsaPrivateKey, KeyError> {
    let info = PrivateKeyInfo::from_der(der).map_err(damaged)?;
    check_rsa(info.algorithm.oid)?;
    RsaPrivateKey::from_pkcs1_der(info.private_key).map_err(damaged)
}

/// What the first PEM block says that it holds.
fn label(pem: &str) -> Option<&str> {
    let (_, rest) = pem.split_once("-----BEGIN ")?;
    rest.split_once("-----").map(|(label, _)| label)
}

fn other_thing(wanted: &'static str, label: Option<&str>) -> KeyError {
    let found = label.map_or("nothing in PEM form".to_owned(), |label| format!("\"{label}\""));
    KeyError::OtherThing { wanted, found }
}

fn check_bits(bits: usize) -> Result<(), KeyError> {
    if (LEAST_BITS..=MOST_BITS).contains(&bits) { Ok(()) } else { Err(KeyError::Bits(bits)) }
}

fn check_rsa(algorithm: ObjectIdentifier) -> Result<(), KeyError> {
    match algorithm.to_string().as_str() {
        // rsaEncryption, RFC 8017, appendix C.
        "1.2.840.113549.1.1.1" => Ok(()),
        "1.2.840.113549.1.1.10" => Err(KeyError::NotRsa("RSASSA-PSS, which is for signing only".into())),
        "1.2.840.10045.2.1" => Err(KeyError::NotRsa("EC".into())),
        "1.3.101.112" => Err(KeyError::NotRsa("Ed25519".into())),
        "1.3.101.110" => Err(KeyError::NotRsa("X25519".into())),
        other => Err(KeyError::NotRsa(other.to_owned())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use rsa::pkcs1::EncodeRsaPrivateKey;
    use rsa::pkcs8::{EncodePrivateKey, EncodePublicKey, LineEnding};
    use rsa::rand_core::OsRng;

    use super::*;

    fn generate(bits: usize) -> RsaPrivateKey {
        RsaPrivateKey::new(&mut OsRng, bits).unwrap()
    }

    #[test]
    fn the_forms_of_a_key_are_the_same_key() {
        let key = generate(2048);
        let public = PublicKey::from_pem(&key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap()).unwrap();
        assert_eq!(public.bits(), 2048);
        for pem in [key.to_pkcs8_pem(LineEnding::LF).unwrap(), key.to_pkcs1_pem(LineEnding::CRLF).unwrap()] {
            assert_eq!(PrivateKey::from_pem(&pem, None).unwrap().public(), public);
            assert_eq!(PublicKey::from_pem(&pem), Err(KeyError::Private));
        }
        let encrypted = key.to_pkcs8_encrypted_pem(OsRng, "horse", LineEnding::LF).unwrap();
        assert_eq!(PrivateKey::from_pem(&encrypted, None).unwrap_err(), KeyError::NeedsPassphrase);
        assert_eq!(PrivateKey::from_pem(&encrypted, Some("mule")).unwrap_err(), KeyError::WrongPassphrase);
        assert_eq!(PrivateKey::from_pem(&encrypted, Some("horse")).unwrap().public(), public);
    }

    #[test]
    fn a_short_key_is_refused() {
        let key = generate(1024);
        let public = key.to_public_key().to_public_key_pem(LineEnding::LF).unwrap();
        assert_eq!(PublicKey::from_pem(&public), Err(KeyError::Bits(1024)));
        let private = key.to_pkcs8_pem(LineEnding::LF).unwrap();
        assert_eq!(PrivateKey::from_pem(&private, None).unwrap_err(), KeyError::Bits(1024));
    }

    #[test]
    fn what_is_no_key_says_what_it_is() {
        let dh = "-----BEGIN DH PARAMETERS-----\nAAAA\n-----END DH PARAMETERS-----\n";
        for (pem, found) in [("", "nothing in PEM form"), (dh, "\"DH PARAMETERS\"")] {
            let public = PublicKey::from_pem(pem).unwrap_err().to_string();
            assert_eq!(public, format!("holds no public key or certificate, but {found}"));
            let private = PrivateKey::from_pem(pem, None).unwrap_err().to_string();
            assert_eq!(private, format!("holds no private key, but {found}"));
        }
    }

    proptest! {
        #[test]
        fn no_damaged_key_panics(
            label in prop::sample::select(vec!["PUBLIC KEY", "CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "ENCRYPTED PRIVATE KEY"]),
            body in "[A-Za-z0-9+/]{0,64}",
        ) {
            let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            prop_assert!(PublicKey::from_pem(&pem).is_err());
            prop_assert!(PrivateKey::from_pem(&pem, Some("")).is_err());
        }
    }
}
