//! Key, certificate and authority in one file with a password (PKCS #12), as browsers and phones import them.

use p12_keystore::{
    Certificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm, PrivateKey, PrivateKeyChain,
};

use super::authority::{Key, contents};

/// How it is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// AES-256 and SHA-256: OpenSSL, Firefox, Chromium, Android since 14, Apple's systems since about 2022.
    Modern,
    /// Triple DES and SHA-1, for what cannot read the other. Only the password protects the key while it is on its way, and
    /// a generated one is strong enough for both.
    Compatible,
}

/// The work of whoever guesses a password. More than a browser does itself, and still a blink on a phone.
const ITERATIONS: u32 = 100_000;
/// Old readers give up on more than they expect.
const COMPATIBLE_ITERATIONS: u32 = 2048;

/// The bundle's bytes. `certificate` and `authority` are PEM; `name` is what a browser calls it.
///
/// # Errors
/// Text that is no certificate, or a password that the format cannot hold.
pub fn bundle(
    name: &str,
    key: &Key,
    certificate: &str,
    authority: &str,
    password: &str,
    encryption: Encryption,
) -> Result<Vec<u8>, p12_keystore::error::Error> {
    use p12_keystore::error::Error;
    let read = |pem: &str| {
        let der = contents(pem, "CERTIFICATE").ok_or(Error::InvalidData)?;
        Certificate::from_der(&der)
    };
    let key = PrivateKey::from_der(&key.to_der())?;
    let chain = PrivateKeyChain::new(name.as_bytes().to_vec(), key, [read(certificate)?, read(authority)?]);
    let mut store = KeyStore::new();
    store.add_entry(name, KeyStoreEntry::PrivateKeyChain(chain));
    let (algorithm, mac, iterations) = match encryption {
        Encryption::Modern => (EncryptionAlgorithm::PbeWithHmacSha256AndAes256, MacAlgorithm::HmacSha256, ITERATIONS),
        Encryption::Compatible => {
            (EncryptionAlgorithm::PbeWithShaAnd3KeyTripleDesCbc, MacAlgorithm::HmacSha1, COMPATIBLE_ITERATIONS)
        }
    };
    store
        .writer(password)
        .encryption_algorithm(algorithm)
        .encryption_iterations(iterations)
        .mac_algorithm(mac)
        .mac_iterations(iterations)
        .write()
}

/// A password that nobody guesses, and that can be typed on a phone: 100 random bits in letters and digits that are not
/// mistaken for each other.
///
/// # Errors
/// The system gives no random numbers.
pub fn generate_password() -> Result<String, getrandom::Error> {
    const LETTERS: &[u8; 32] = b"abcdefghjkmnpqrstuvwxyz123456789";
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes)?;
    let letters: Vec<char> = bytes.iter().map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect();
    Ok(letters.chunks(5).map(String::from_iter).collect::<Vec<_>>().join("-"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_is_typed_easily_and_never_the_same() {
        let password = generate_password().unwrap();
        assert_eq!(password.len(), 23);
        assert!(password.split('-').all(|group| group.len() == 5), "{password}");
        assert!(!password.contains(['o', 'l', 'i', '0']), "{password}");
        assert_ne!(password, generate_password().unwrap());
    }
}
