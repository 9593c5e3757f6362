//! Pure: what waits in the spool as one file, so that it is there whole or not at all: a file of an event, and the manifest
//! that includes it.
//!
//! ```text
//! {"file":{"name":…,"bytes":…},"manifest":{"name":…,"bytes":…},"closed":…} LF FILE MANIFEST
//! ```

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// One step of an event's upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The trigger or a chunk; `None` where only the manifest changes.
    pub file: Option<NamedFile>,
    /// The manifest from then on.
    pub manifest: NamedFile,
    /// Whether it is the event's last.
    pub closed: bool,
}

/// A file as it is uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedFile {
    /// Its name in the event's folder.
    pub name: String,
    /// Its content, sealed where there is a key.
    pub bytes: Bytes,
}

/// A file in the spool that is none of its own.
#[derive(Debug, thiserror::Error)]
#[error("is damaged")]
pub struct Damaged;

#[derive(Serialize, Deserialize)]
struct Header {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    file: Option<Named>,
    manifest: Named,
    closed: bool,
}

#[derive(Serialize, Deserialize)]
struct Named {
    name: String,
    bytes: usize,
}

impl Item {
    /// The file's first line; the two contents follow it.
    pub(super) fn header(&self) -> String {
        let named = |file: &NamedFile| Named { name: file.name.clone(), bytes: file.bytes.len() };
        let header =
            Header { file: self.file.as_ref().map(named), manifest: named(&self.manifest), closed: self.closed };
        let mut line = serde_json::to_string(&header).expect("strings and numbers only");
        line.push('\n');
        line
    }

    /// Reads it back; nothing is copied.
    pub(super) fn parse(bytes: Bytes) -> Result<Self, Damaged> {
        let end = memchr::memchr(b'\n', &bytes).ok_or(Damaged)?;
        let header: Header = serde_json::from_slice(&bytes[..end]).map_err(|_| Damaged)?;
        let mut rest = bytes.slice(end + 1..);
        let mut take = |named: Named| {
            let there = named.bytes <= rest.len();
            there.then(|| NamedFile { name: named.name, bytes: rest.split_to(named.bytes) }).ok_or(Damaged)
        };
        let file = header.file.map(&mut take).transpose()?;
        let manifest = take(header.manifest)?;
        if rest.is_empty() { Ok(Self { file, manifest, closed: header.closed }) } else { Err(Damaged) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_and_nothing_cut_off(
            file in prop::option::of(("[a-z0-9.]{1,20}", prop::collection::vec(any::<u8>(), 0..200))),
            manifest in prop::collection::vec(any::<u8>(), 0..200), closed in any::<bool>(), cut in any::<prop::sample::Index>(),
        ) {
            let named = |(name, bytes): (String, Vec<u8>)| NamedFile { name, bytes: bytes.into() };
            let item = Item { file: file.map(named), manifest: named(("manifest.json".into(), manifest)), closed };
            let mut bytes = item.header().into_bytes();
            bytes.extend(item.file.iter().flat_map(|file| file.bytes.to_vec()));
            bytes.extend(&item.manifest.bytes);
            prop_assert_eq!(Item::parse(bytes.clone().into()).unwrap(), item);
            prop_assert!(Item::parse(bytes[..cut.index(bytes.len())].to_vec().into()).is_err());
        }
    }
}
