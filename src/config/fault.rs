//! What is wrong with a configuration file, said so that it can be found and mended: file, line, key, value, reason.
//!
//! Which values are right is in `check`.

use std::fmt;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// A configuration is a page of text; whatever is longer than this is something else.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// Nobody reads more than this, and a file of another kind has one in every line.
const MAX_FAULTS: usize = 100;

/// The longest part of a value that is repeated in a message, in characters.
const MAX_SHOWN: usize = 60;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Line of the file, from 1; `None` where the fault is that something is missing from the whole file.
    pub line: Option<usize>,
    /// Path of the key, such as `cameras.front.motion.sensitivity`; empty where the file is no TOML.
    pub key: String,
    /// The value as it is written, shortened; `None` where there is none, or where it might hold a secret.
    pub value: Option<String>,
    /// What is wrong, and what would be right.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.key.is_empty() {
            f.write_str(&self.key)?;
            if let Some(value) = &self.value {
                write!(f, " = {value}")?;
            }
            f.write_str(": ")?;
        }
        f.write_str(&self.reason)
    }
}

/// Everything that is wrong with a file, in the order of its lines. Displays one fault a line, as `FILE:LINE: FAULT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigFaults {
    /// The file.
    pub path: PathBuf,
    /// At least one.
    pub faults: Vec<Fault>,
}

impl fmt::Display for ConfigFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.faults.iter().enumerate() {
            if n > 0 {
                writeln!(f)?;
            }
            write!(f, "{}:", self.path.display())?;
            if let Some(line) = fault.line {
                write!(f, "{line}:")?;
            }
            write!(f, " {fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigFaults {}

/// Reads a configuration file.
///
/// # Errors
/// One fault, with the system's reason.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, ConfigFaults> {
    let refuse = |reason: String| ConfigFaults {
        path: path.to_owned(),
        faults: vec![Fault { line: None, key: String::new(), value: None, reason }],
    };
    let mut bytes = Vec::new();
    // One byte more than allowed, so that a longer file is noticed.
    std::fs::File::open(path)
        .and_then(|file| file.take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|e| refuse(format!("cannot be read: {e}")))?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(refuse("is longer than 1 MiB: not a configuration".to_owned()));
    }
    Ok(bytes)
}

/// Collects faults while a file is read and checked.
pub(super) struct Faults<'a> {
    bytes: &'a [u8],
    /// With the byte offset that orders them.
    found: Vec<(usize, Fault)>,
}

impl<'a> Faults<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, found: Vec::new() }
    }

    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether more of them would help nobody.
    pub fn enough(&self) -> bool {
        self.found.len() >= MAX_FAULTS
    }

    /// Whether something has been said about this key or one below it.
    pub fn about(&self, key: &str) -> bool {
        self.found.iter().any(|(_, fault)| {
            fault.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// The text itself is no TOML at this offset.
    pub fn text(&mut self, offset: usize, reason: impl Into<String>) {
        self.add(Some(offset), "", None, reason.into());
    }

    /// A value is wrong; `at` is where it is written.
    pub fn value(&mut self, key: &str, at: Range<usize>, reason: impl Into<String>) {
        let shown = self.bytes.get(at.clone()).map(|bytes| shorten(&String::from_utf8_lossy(bytes)));
        self.add(Some(at.start), key, shown, reason.into());
    }

    /// A key is wrong, or has a value that must not be shown; `at` is where it is written.
    pub fn key(&mut self, key: &str, at: Range<usize>, reason: impl Into<String>) {
        self.add(Some(at.start), key, None, reason.into());
    }

    /// Something is missing from the file.
    pub fn missing(&mut self, key: &str, reason: impl Into<String>) {
        self.add(None, key, None, reason.into());
    }

    fn add(&mut self, offset: Option<usize>, key: &str, value: Option<String>, reason: String) {
        let line = offset.map(|offset| {
            let before = self.bytes.get(..offset).unwrap_or(self.bytes);
            1 + before.iter().filter(|&&byte| byte == b'\n').count()
        });
        self.found.push((offset.unwrap_or(usize::MAX), Fault { line, key: key.to_owned(), value, reason }));
    }

    pub fn of(mut self, path: &Path) -> ConfigFaults {
        self.found.sort_by_key(|(offset, _)| *offset);
        ConfigFaults { path: path.to_owned(), faults: self.found.into_iter().map(|(_, fault)| fault).collect() }
    }
}

/// A value on one line and not too long of one.
fn shorten(value: &str) -> String {
    let mut line = value.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((cut, _)) = line.char_indices().nth(MAX_SHOWN) {
        line.truncate(cut);
        line.push('…');
    }
    line
}

/// The one of `known` that `word` was most likely meant to be.
pub(super) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Below this similarity (0 to 1) a guess misleads more often than it helps.
    const LIKELY: f64 = 0.8;
    let plain = |word: &str| word.to_lowercase().replace('-', "_");
    let word = plain(word);
    let similarity = |known: &str| match strsim::damerau_levenshtein(&word, &plain(known)) {
        // In short words one slip is a large part.
        0 | 1 => 1.0,
        _ => strsim::jaro_winkler(&word, &plain(known)),
    };
    known
        .into_iter()
        .map(|known| (similarity(known), known))
        .filter(|(similarity, _)| *similarity >= LIKELY)
        .max_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, known)| known)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_one_line_with_file_line_key_value_and_reason() {
        let text = "a = 1\nb = [\n  1,\n  2,\n]\n";
        let mut faults = Faults::new(text.as_bytes());
        faults.missing("cameras", "there is no camera");
        faults.value("b", 10..text.len() - 1, "too many");
        faults.text(0, "not TOML");
        assert_eq!(
            faults.of(Path::new("w.toml")).to_string(),
            "w.toml:1: not TOML\nw.toml:2: b = [ 1, 2, ]: too many\nw.toml: cameras: there is no camera"
        );
    }

    #[test]
    fn a_guess_is_made_only_when_it_is_likely() {
        let known = ["sensitivity", "min_trigger_area", "recording_padding_s", "max_event_time_s"];
        assert_eq!(nearest("sensitvity", known), Some("sensitivity"));
        assert_eq!(nearest("recording_padding", known), Some("recording_padding_s"));
        assert_eq!(nearest("MAX-EVENT-TIME", known), Some("max_event_time_s"));
        assert_eq!(nearest("colour", known), None);
        assert_eq!(nearest("lgo", ["log", "web"]), Some("log"));
    }

    #[test]
    fn an_endless_file_is_refused() {
        let fault = read(Path::new("/dev/zero")).unwrap_err();
        assert!(fault.to_string().contains("longer than 1 MiB"), "{fault}");
    }
}
