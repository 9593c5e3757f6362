//! Sealed files, against an independent peer: Python's `cryptography`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use watchtower::upload::seal::{KeyError, PrivateKey, PublicKey};

pub fn peer(folder: &Path, arguments: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/seal_peer.py");
    Command::new("python3").arg(script).args(arguments).current_dir(folder).output().unwrap()
}

pub fn peer_does(folder: &Path, arguments: &[&str]) {
    let output = peer(folder, arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn read(folder: &Path, file: &str) -> String {
    fs::read_to_string(folder.join(file)).unwrap()
}

/// Every remainder of the block size, and each padding of the token.
const LENGTHS: [usize; 6] = [0, 1, 15, 16, 17, 100_000];

fn both_ways(bits: &str, reader_of_1x_works: bool) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    peer_does(folder, &["keys", bits, "."]);
    let public = PublicKey::from_pem(&read(folder, "public.pem")).unwrap();
    let private = PrivateKey::from_pem(&read(folder, "private.pem"), None).unwrap();
    for len in LENGTHS {
        let content: Vec<u8> = (0..len).map(|n| (n * 7 % 251) as u8).collect();
        fs::write(folder.join("content"), &content).unwrap();

        peer_does(folder, &["seal", "public.pem", "content", "theirs"]);
        assert_eq!(private.unseal(&fs::read(folder.join("theirs")).unwrap()).unwrap(), content);

        fs::write(folder.join("ours"), public.seal(&content)).unwrap();
        peer_does(folder, &["unseal", "private.pem", "ours", "opened"]);
        assert_eq!(fs::read(folder.join("opened")).unwrap(), content);

        let as_1x = peer(folder, &["unseal-1x", "private.pem", "ours", "opened-1x"]);
        assert_eq!(as_1x.status.success(), reader_of_1x_works, "{}", String::from_utf8_lossy(&as_1x.stderr));
        if reader_of_1x_works {
            assert_eq!(fs::read(folder.join("opened-1x")).unwrap(), content);
        }
    }
}

#[test]
fn rsa_2048_both_ways_and_with_the_reader_of_1x() {
    both_ways("2048", true);
}

#[test]
fn rsa_4096_both_ways_and_with_the_reader_of_1x() {
    both_ways("4096", true);
}

/// 384 bytes need no padding in base64, which the early byte of 1.x's reader lives on.
#[test]
fn rsa_3072_both_ways_but_not_with_the_reader_of_1x() {
    both_ways("3072", false);
}

#[test]
fn every_form_of_a_key_is_read_and_every_other_kind_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    peer_does(folder, &["keys", "2048", "."]);
    let public = PublicKey::from_pem(&read(folder, "public.pem")).unwrap();
    for form in ["public-pkcs1.pem", "certificate.pem"] {
        assert_eq!(PublicKey::from_pem(&read(folder, form)).as_ref(), Ok(&public), "{form}");
    }
    for form in ["private.pem", "private-pkcs1.pem", "private-locked.pem"] {
        let key = PrivateKey::from_pem(&read(folder, form), Some("correct horse")).unwrap();
        assert_eq!(key.public(), public, "{form}");
    }
    let refused = |file: &str| PublicKey::from_pem(&read(folder, file)).unwrap_err();
    assert_eq!(refused("ec.pem"), KeyError::NotRsa("EC".into()));
    assert_eq!(refused("ed25519.pem"), KeyError::NotRsa("Ed25519".into()));
    assert_eq!(refused("private-locked.pem"), KeyError::Private);
    let refused = |file: &str| PrivateKey::from_pem(&read(folder, file), None).unwrap_err();
    assert_eq!(refused("ec-private.pem"), KeyError::NotRsa("EC".into()));
    assert_eq!(refused("ec-private-sec1.pem"), KeyError::NotRsa("EC".into()));
    assert_eq!(refused("private-locked.pem"), KeyError::NeedsPassphrase);
    assert_eq!(refused("private-locked-old.pem"), KeyError::OldEncryption);

    let short = folder.join("short");
    fs::create_dir(&short).unwrap();
    peer_does(&short, &["keys", "1024", "."]);
    assert_eq!(PublicKey::from_pem(&read(&short, "certificate.pem")), Err(KeyError::Bits(1024)));
}
