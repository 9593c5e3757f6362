//! The server's files, with the rules of `files/upload`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// `files/upload` takes no more at once.
const MOST_BYTES: usize = 150 << 20;

/// A file as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    pub bytes: Vec<u8>,
    pub rev: String,
    /// How often it was written with other bytes than it had.
    pub versions: u32,
}

/// All files. Names differ by more than upper and lower case.
#[derive(Default)]
pub struct Store {
    /// By path in lower case: the path as it was given, and the file.
    files: BTreeMap<String, (String, StoredFile)>,
    revisions: u64,
}

/// Why a file is not stored.
pub enum Refusal {
    /// Against the documentation.
    Breach(String),
    /// An error with this summary.
    Error(&'static str),
}

impl Store {
    pub fn files(&self) -> BTreeMap<String, StoredFile> {
        self.files.values().cloned().collect()
    }

    /// Whatever is there.
    pub fn put(&mut self, path: &str, bytes: &[u8]) {
        self.revisions += 1;
        let versions = self.files.get(&path.to_lowercase()).map_or(0, |(_, file)| file.versions);
        let rev = format!("{:015x}", 0x5_0000_0000_u64 + self.revisions);
        let file = StoredFile { bytes: bytes.to_vec(), rev, versions: versions + 1 };
        self.files.insert(path.to_lowercase(), (path.to_owned(), file));
    }

    pub fn upload(&mut self, arg: &Value, bytes: Vec<u8>) -> Result<Value, Refusal> {
        let breach = |text: &str| Err(Refusal::Breach(text.to_owned()));
        const KNOWN: [&str; 7] =
            ["path", "mode", "autorename", "client_modified", "mute", "strict_conflict", "content_hash"];
        let Some(fields) = arg.as_object() else { return breach("Dropbox-API-Arg is no object") };
        if let Some(unknown) = fields.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(Refusal::Breach(format!("files/upload has no {unknown}")));
        }
        let flag = |name: &str| arg.get(name).map_or(Some(false), Value::as_bool);
        let (Some(autorename), Some(strict), Some(_)) = (flag("autorename"), flag("strict_conflict"), flag("mute"))
        else {
            return breach("a flag is true or false");
        };
        if autorename {
            return breach("a name that the server makes up cannot be repeated");
        }
        let Some(path) = arg["path"].as_str().filter(|path| path.starts_with('/')) else {
            return breach("path: did not match pattern '(/(.|[\\r\\n])*)|(ns:[0-9]+(/.*)?)|(id:.*)'");
        };
        if bytes.len() > MOST_BYTES {
            return Err(Refusal::Error("payload_too_large"));
        }
        if let Some(error) = malformed(path) {
            return Err(Refusal::Error(error));
        }
        let hash = content_hash(&bytes);
        if arg.get("content_hash").is_some_and(|given| *given != json!(hash)) {
            return Err(Refusal::Error("content_hash_mismatch"));
        }
        let update = match &arg["mode"] {
            Value::String(mode) if mode == "add" => None,
            Value::Object(mode) if mode.get(".tag") == Some(&json!("update")) && mode.len() == 2 => {
                match mode.get("update").and_then(Value::as_str) {
                    Some(rev) if rev.len() >= 9 && rev.bytes().all(|b| b.is_ascii_hexdigit()) => Some(rev),
                    _ => return breach("update: a rev has nine or more hexadecimal digits"),
                }
            }
            other => return Err(Refusal::Breach(format!("mode {other} would replace evidence, or is none"))),
        };
        let lower = path.to_lowercase();
        if lower.match_indices('/').skip(1).any(|(end, _)| self.files.contains_key(&lower[..end])) {
            return Err(Refusal::Error("path/conflict/file_ancestor"));
        }
        let below = format!("{lower}/");
        if self.files.range(below.clone()..).next().is_some_and(|(other, _)| other.starts_with(&below)) {
            return Err(Refusal::Error("path/conflict/folder"));
        }
        let there = self.files.get(&lower).map(|(_, file)| file);
        match there {
            // The same content does not conflict, and makes no new revision.
            Some(file) if !strict && file.bytes == bytes => {}
            Some(file) if update != Some(file.rev.as_str()) => return Err(Refusal::Error("path/conflict/file")),
            None if strict && update.is_some() => return Err(Refusal::Error("path/conflict/file")),
            _ => self.put(path, &bytes),
        }
        let (path, file) = &self.files[&lower];
        let name = path.rsplit('/').next();
        Ok(json!({
            "name": name, "path_lower": lower, "path_display": path, "id": format!("id:{}", file.rev), "rev": file.rev,
            "client_modified": "2026-01-02T10:00:00Z", "server_modified": "2026-01-02T10:00:00Z",
            "size": file.bytes.len(), "is_downloadable": true, "content_hash": hash,
        }))
    }
}

/// What is wrong with a path.
fn malformed(path: &str) -> Option<&'static str> {
    let bad =
        |name: &str| name.is_empty() || name == "." || name == ".." || name.len() > 255 || name.contains(['\\', '\0']);
    if path[1..].split('/').any(bad) {
        Some("path/malformed_path")
    } else if path.ends_with(".DS_Store") || path.ends_with("desktop.ini") {
        Some("path/disallowed_name")
    } else {
        None
    }
}

/// The hash of the hashes of the pieces of 4 MiB, in hexadecimal.
fn content_hash(bytes: &[u8]) -> String {
    let pieces = bytes.chunks(4 << 20).flat_map(Sha256::digest).collect::<Vec<_>>();
    Sha256::digest(pieces).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The body of a 409 with this summary.
pub fn error(summary: &str) -> Value {
    let tags: Vec<&str> = summary.split('/').collect();
    let error = match tags[..] {
        ["path", "conflict", kind] => {
            json!({".tag": "path", "reason": {".tag": "conflict", "conflict": {".tag": kind}}, "upload_session_id": ""})
        }
        ["path", reason] => json!({".tag": "path", "reason": {".tag": reason}, "upload_session_id": ""}),
        [tag] => json!({".tag": tag}),
        _ => panic!("no error of files/upload: {summary}"),
    };
    json!({"error_summary": format!("{summary}/.."), "error": error})
}
