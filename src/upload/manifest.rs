//! Pure: the manifest of an uploaded event: which files belong to it, and when each picture was taken.
//!
//! It is replaced as the event grows, so that an upload that was cut off is known to be. The format is described in
//! `ancillary/docs/upload-format.md`.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::media::Pts;

/// The file's name, without [`SEALED`].
pub const FILE_NAME: &str = "manifest.json";
/// What a sealed trigger or manifest has behind its name. Chunks are named the same either way, as 1.x named them.
pub const SEALED: &str = ".sealed";

const FORMAT: u32 = 1;

/// What is known about an event's upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    format: u32,
    /// When the first picture was taken, as the clock went then.
    pub start: Timestamp,
    /// Whether the event had ended, and this is all of it.
    pub closed: bool,
    /// `video0.h264`, `video1.h264`, … in this order.
    pub chunks: Vec<ChunkEntry>,
    /// The access units of all chunks joined.
    pub units: Vec<UnitEntry>,
}

/// One uploaded file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChunkEntry {
    /// Bytes of the video that are in it.
    pub video_bytes: u64,
    /// Bytes of the file as it was uploaded.
    pub file_bytes: u64,
    /// SHA-256 of the file as it was uploaded, 64 hexadecimal digits in lower case.
    pub sha256: String,
}

/// One access unit, written as `[pts, bytes]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(i64, u64)", into = "(i64, u64)")]
pub struct UnitEntry {
    /// When the picture was taken: ticks of 1/90000 s since the first one of the event.
    pub pts: Pts,
    /// Its length.
    pub bytes: u64,
}

impl From<(i64, u64)> for UnitEntry {
    fn from((pts, bytes): (i64, u64)) -> Self {
        Self { pts: Pts(pts), bytes }
    }
}

impl From<UnitEntry> for (i64, u64) {
    fn from(unit: UnitEntry) -> Self {
        (unit.pts.0, unit.bytes)
    }
}

/// Why a manifest is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not JSON, or not of this form.
    #[error("is no manifest: {0}")]
    Form(#[from] serde_json::Error),
    /// Of a form this program does not know.
    #[error("has format {0}: made by a newer program")]
    Newer(u32),
    /// Its times go back, or its lengths have no sum.
    #[error("contradicts itself")]
    Contradiction,
}

impl Manifest {
    /// A manifest of this format.
    pub fn new(start: Timestamp, closed: bool, chunks: Vec<ChunkEntry>, units: Vec<UnitEntry>) -> Self {
        Self { format: FORMAT, start, closed, chunks, units }
    }

    /// Reads an opened manifest. Keys that are not known are skipped.
    ///
    /// # Errors
    /// See [`ManifestError`].
    pub fn from_json(json: &[u8]) -> Result<Self, ManifestError> {
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let Head { format } = serde_json::from_slice(json)?;
        if format != FORMAT {
            return Err(ManifestError::Newer(format));
        }
        let manifest: Self = serde_json::from_slice(json)?;
        let sum = |mut lengths: Box<dyn Iterator<Item = u64> + '_>| lengths.try_fold(0u64, u64::checked_add);
        let has_sums = sum(Box::new(manifest.chunks.iter().map(|c| c.video_bytes))).is_some()
            && sum(Box::new(manifest.units.iter().map(|u| u.bytes))).is_some();
        let forward = manifest.units.is_sorted_by_key(|u| u.pts) && manifest.units.first().is_none_or(|u| u.pts.0 >= 0);
        if has_sums && forward { Ok(manifest) } else { Err(ManifestError::Contradiction) }
    }

    /// As it is uploaded, before it is sealed.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and strings only")
    }
}

/// The hash of a file as a manifest has it.
pub fn sha256(file: &[u8]) -> String {
    Sha256::digest(file).iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn it_is_written_as_described() {
        let chunk = ChunkEntry { video_bytes: 30, file_bytes: 484, sha256: "ab".repeat(32) };
        let units = vec![UnitEntry { pts: Pts(0), bytes: 20 }, UnitEntry { pts: Pts(3003), bytes: 10 }];
        let manifest = Manifest::new(Timestamp::UNIX_EPOCH, true, vec![chunk], units);
        let json = manifest.to_json();
        let expected = r#"{"format":1,"start":"1970-01-01T00:00:00Z","closed":true,"chunks":[{"video_bytes":30,"file_bytes":484,"sha256":"HASH"}],"units":[[0,20],[3003,10]]}"#;
        assert_eq!(String::from_utf8(json.clone()).unwrap(), expected.replace("HASH", &"ab".repeat(32)));
        assert_eq!(Manifest::from_json(&json).unwrap(), manifest);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let newer = Manifest::from_json(br#"{"format": 2, "pieces": []}"#);
        assert!(matches!(newer, Err(ManifestError::Newer(2))));
        for units in ["[[5,1],[4,1]]", "[[-1,1]]", "[[0,18446744073709551615],[1,1]]"] {
            let json =
                format!(r#"{{"format":1,"start":"2026-11-23T16:44:18Z","closed":false,"chunks":[],"units":{units}}}"#);
            assert!(matches!(Manifest::from_json(json.as_bytes()), Err(ManifestError::Contradiction)), "{units}");
        }
        assert!(matches!(Manifest::from_json(b"{"), Err(ManifestError::Form(_))));
    }

    #[test]
    fn a_hash_is_the_standards() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    proptest! {
        #[test]
        fn no_bytes_panic(json in r#"[\[\]{}:,"0-9a-z]{0,60}"#) {
            let _ = Manifest::from_json(json.as_bytes());
        }
    }
}
