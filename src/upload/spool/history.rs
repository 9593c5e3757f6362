//! What became of events that are through: a line of JSON each, the newest last; old ones are forgotten.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::disk;
use super::event::EventKey;

const FILE: &str = "history";
/// Events that are remembered; at twice as many the file is written anew.
const REMEMBERED: usize = 10_000;

/// How an event's upload stands or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Whether nothing more will be sent.
    pub through: bool,
    /// Whether something of it is not where it belongs and never will be.
    pub failed: bool,
    /// What is missing, and why.
    pub cause: Option<String>,
    /// Its folder in the stores.
    pub folder: String,
    /// Files that some destination still lacks.
    pub waiting_files: u64,
    /// Since when the oldest of them has waited.
    pub oldest_unsent: Option<Timestamp>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    key: EventKey,
    folder: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    failed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
}

impl Line {
    fn of(key: &EventKey, outcome: &Outcome) -> String {
        let Outcome { folder, failed, cause, .. } = outcome.clone();
        let line = Self { key: key.clone(), folder, failed, cause };
        serde_json::to_string(&line).expect("strings and numbers only") + "\n"
    }
}

#[derive(Debug, Default)]
pub(super) struct History {
    events: BTreeMap<EventKey, Outcome>,
    folders: HashSet<String>,
}

impl History {
    /// Reads what there is; a line that a crash has torn is left out.
    pub(super) fn read(root: &Path) -> io::Result<Self> {
        let bytes = match fs::read(root.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let mut history = Self::default();
        let mut lines = 0;
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            lines += 1;
            let Ok(Line { key, folder, failed, cause }) = serde_json::from_slice(line) else { continue };
            let outcome = Outcome { through: true, failed, cause, folder, waiting_files: 0, oldest_unsent: None };
            history.add(key, outcome);
        }
        let torn = bytes.last().is_some_and(|last| *last != b'\n');
        if torn || lines > 2 * REMEMBERED {
            let text: String = history.events.iter().map(|(key, outcome)| Line::of(key, outcome)).collect();
            disk::write(&root.join(FILE), &[text.as_bytes()])?;
        }
        Ok(history)
    }

    pub(super) fn add(&mut self, key: EventKey, outcome: Outcome) {
        self.folders.insert(outcome.folder.clone());
        self.events.insert(key, outcome);
        if self.events.len() > REMEMBERED
            && let Some((_, old)) = self.events.pop_first()
        {
            self.folders.remove(&old.folder);
        }
    }

    pub(super) fn get(&self, key: &EventKey) -> Option<&Outcome> {
        self.events.get(key)
    }

    pub(super) fn knows_folder(&self, folder: &str) -> bool {
        self.folders.contains(folder)
    }
}

/// Adds an event that is through, durably.
pub(super) fn write(root: &Path, key: &EventKey, outcome: &Outcome) -> io::Result<()> {
    disk::append(&root.join(FILE), &Line::of(key, outcome))
}
