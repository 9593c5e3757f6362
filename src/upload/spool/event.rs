//! One event in the spool: what is kept of it on disk besides its items, and how it stands.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::history::Outcome;
use super::{Backlog, disk};
use crate::config::Destination;

const ABOUT: &str = "event.json";
const ITEM: &str = "item";

/// Which event of which camera; a later part where its size changed. Their order is that of time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventKey {
    /// The event's persistent number.
    pub event: u64,
    /// 0 for its first recording.
    pub part: u32,
    /// `[a-z0-9-]{1,32}`.
    pub camera: String,
}

/// As its folder is called.
impl fmt::Display for EventKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}-{}-{}", self.event, self.part, self.camera)
    }
}

impl FromStr for EventKey {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        let mut parts = name.splitn(3, '-');
        let event = parts.next().and_then(|part| part.parse().ok()).ok_or(())?;
        let part = parts.next().and_then(|part| part.parse().ok()).ok_or(())?;
        let camera = parts.next().ok_or(())?.to_owned();
        Ok(Self { event, part, camera })
    }
}

/// A manifest in a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its path there.
    pub path: String,
    /// The store's version of it.
    pub revision: Option<String>,
}

/// What is known of an event from its beginning, and what is missing of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    pub(super) folder: String,
    destinations: Vec<String>,
    /// Files that went for want of room.
    #[serde(default)]
    pub(super) dropped: u32,
    /// Files that the disk would not take or give back.
    #[serde(default)]
    pub(super) lost: u32,
}

impl About {
    pub(super) fn new(folder: &str, destinations: &[Destination]) -> Self {
        let destinations = destinations.iter().map(|destination| destination.name().to_owned()).collect();
        Self { folder: folder.to_owned(), destinations, dropped: 0, lost: 0 }
    }

    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        read_json(&folder.join(ABOUT))
    }

    pub(super) fn write(&self, folder: &Path) -> io::Result<()> {
        write_json(&folder.join(ABOUT), self)
    }

    fn destinations(&self) -> impl Iterator<Item = Destination> {
        let all = [Destination::Dropbox, Destination::S3];
        all.into_iter().filter(|destination| self.destinations.iter().any(|name| name == destination.name()))
    }
}

/// How far a destination has got with an event.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Progress {
    /// The number of the first item that it does not have.
    pub(super) next: u32,
    /// Its version of the manifest.
    pub(super) manifest: Option<Stored>,
    /// The item whose manifest was about to be sent, and may be there or not.
    pub(super) sending: Option<u32>,
    /// Files that it will never take.
    #[serde(default)]
    pub(super) refused: u32,
    /// Why, of the last of them.
    #[serde(default)]
    pub(super) cause: Option<String>,
    /// Whether it has the last item.
    #[serde(default)]
    pub(super) closed: bool,
}

impl Progress {
    pub(super) fn read(folder: &Path, destination: Destination) -> io::Result<Self> {
        match read_json(&folder.join(file_name(destination))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            read => read,
        }
    }

    pub(super) fn write(&self, folder: &Path, destination: Destination) -> io::Result<()> {
        write_json(&folder.join(file_name(destination)), self)
    }
}

fn file_name(destination: Destination) -> String {
    format!("{}.json", destination.name())
}

fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    Ok(serde_json::from_slice(&std::fs::read(path)?)?)
}

fn write_json(path: &Path, value: &impl Serialize) -> io::Result<()> {
    disk::write(path, &[&serde_json::to_vec(value)?])
}

/// An item that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    pub(super) bytes: u64,
    /// 0 where it is only a manifest.
    pub(super) files: u32,
    pub(super) since: Timestamp,
}

pub(super) fn item_name(number: u32) -> String {
    format!("{number}.{ITEM}")
}

/// The number of an item by its file's name.
pub(super) fn item_number(name: &str) -> Option<u32> {
    name.strip_suffix(ITEM)?.strip_suffix('.')?.parse().ok()
}

/// An event that is not through.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) about: About,
    pub(super) items: BTreeMap<u32, Waiting>,
    /// The number of the next item.
    pub(super) next: u32,
    /// Whether the last item has come.
    pub(super) closed: bool,
    /// Whether no more will.
    pub(super) ended: bool,
    pub(super) progress: BTreeMap<Destination, Progress>,
}

impl Event {
    pub(super) fn new(about: About) -> Self {
        let progress = about.destinations().map(|destination| (destination, Progress::default())).collect();
        Self { about, items: BTreeMap::new(), next: 0, closed: false, ended: false, progress }
    }

    /// The first item that a destination does not have.
    pub(super) fn next_for(&self, destination: Destination) -> Option<u32> {
        let progress = self.progress.get(&destination)?;
        self.items.range(progress.next..).next().map(|(number, _)| *number)
    }

    /// The items that can go for want of room, oldest first: none whose manifest may be half-way.
    pub(super) fn expendable(&self) -> impl Iterator<Item = u32> {
        let half_way = |number: u32| self.progress.values().any(|progress| progress.sending == Some(number));
        self.items.keys().copied().filter(move |number| !half_way(*number))
    }

    /// Takes an item that every destination has.
    pub(super) fn take_if_done(&mut self, number: u32) -> Option<Waiting> {
        let done = self.progress.values().all(|progress| progress.next > number);
        if done { self.items.remove(&number) } else { None }
    }

    pub(super) fn backlog(&self, destination: Destination, mut sum: Backlog) -> Backlog {
        let Some(progress) = self.progress.get(&destination) else { return sum };
        for item in self.items.range(progress.next..).map(|(_, item)| item) {
            sum.files += u64::from(item.files);
            sum.bytes += item.bytes;
            sum.oldest = Some(sum.oldest.map_or(item.since, |oldest| oldest.min(item.since)));
        }
        sum
    }

    /// How it stands while it is not through.
    pub(super) fn standing(&self) -> Outcome {
        let waiting_files = self.items.values().map(|item| u64::from(item.files)).sum();
        let oldest_unsent = self.items.values().map(|item| item.since).min();
        Outcome { through: false, waiting_files, oldest_unsent, ..self.outcome() }
    }

    /// What became of it, once nothing waits.
    pub(super) fn outcome(&self) -> Outcome {
        let About { folder, dropped, lost, .. } = &self.about;
        let refused: u32 = self.progress.values().map(|progress| progress.refused).sum();
        let files = |n: u32| if n == 1 { "1 file".to_owned() } else { format!("{n} files") };
        let mut causes = Vec::new();
        if *dropped > 0 {
            causes.push(format!("{} went unsent, since the spool was full", files(*dropped)));
        }
        if *lost > 0 {
            causes.push(format!("{} could not be kept on the disk", files(*lost)));
        }
        if refused > 0 {
            let why = self.progress.values().find_map(|progress| progress.cause.as_deref()).unwrap_or_default();
            causes.push(format!("{} refused: {why}", files(refused)));
        }
        let failed = !causes.is_empty();
        if self.ended && !self.closed {
            causes.push("the event was cut off: the program ended while it ran".to_owned());
        }
        Outcome {
            through: true,
            failed,
            cause: (!causes.is_empty()).then(|| causes.join("; ")),
            folder: folder.clone(),
            waiting_files: 0,
            oldest_unsent: None,
        }
    }
}
