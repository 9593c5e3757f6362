//! Opening the spool: what a crash or a reboot left is taken up again.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::event::{About, Event, EventKey, Progress, Waiting, item_name, item_number};
use super::history::History;
use super::{CHANGES, REFUSED, Spool, State, disk};
use crate::config::Destination;
use crate::upload::item::Item;

impl Spool {
    /// Opens the spool in this folder, which is made where there is none. One program at a time. `destinations` are those that
    /// there are: an event does not wait for others, as long as it has one of them.
    ///
    /// # Errors
    /// The folder cannot be read or changed. What is damaged in it is no error: it is logged and left where it is.
    pub fn open(root: &Path, max_bytes: u64, destinations: &[Destination]) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let history = History::read(root)?;
        let (mut events, mut lost) = (BTreeMap::new(), 0);
        for entry in fs::read_dir(root)? {
            let entry = entry?;
            let Some(key) = entry.file_name().to_str().and_then(|name| name.parse::<EventKey>().ok()) else { continue };
            match resume(&entry.path(), destinations, &mut lost) {
                // Through already, but for this.
                Ok(_) if history.get(&key).is_some() => disk::remove_folder(&entry.path())?,
                Ok(Some(event)) => drop(events.insert(key, event)),
                Ok(None) => disk::remove_folder(&entry.path())?,
                Err(error) => tracing::error!("{}: {error}; it is left as it is", entry.path().display()),
            }
        }
        let bytes = events.values().flat_map(|event: &Event| event.items.values()).map(|item| item.bytes).sum();
        let keys: Vec<_> = events.keys().cloned().collect();
        let state = State {
            events,
            history,
            bytes,
            dropped: 0,
            lost,
            last_loss: (lost > 0).then(Timestamp::now),
            refused_bytes: bytes_in(&root.join(REFUSED))?,
            in_work: BTreeMap::new(),
            rings: 0,
        };
        let spool = Self {
            root: PathBuf::from(root),
            max_bytes,
            state: Mutex::new(state),
            changed: Condvar::new(),
            changes: broadcast::channel(CHANGES).0,
        };
        keys.iter().for_each(|key| spool.settle(key));
        Ok(spool)
    }
}

/// The bytes of the files in a folder, and in those below; none in one that is not there.
fn bytes_in(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        entries => entries?,
    };
    let mut bytes = 0;
    for entry in entries {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { bytes_in(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

/// An event of the last run: no more of it will come. `None`: it had not begun yet. Adds to `lost` what cannot be read.
fn resume(folder: &Path, destinations: &[Destination], lost: &mut u64) -> io::Result<Option<Event>> {
    let mut items = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_str().unwrap_or_default();
        if name.ends_with(disk::UNFINISHED) {
            disk::remove(&entry.path())?;
        }
        let Some(number) = item_number(name) else { continue };
        let meta = entry.metadata()?;
        let since = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok()).unwrap_or_else(Timestamp::now);
        items.insert(number, Waiting { bytes: meta.len(), files: 1, since });
    }
    let about = match About::read(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && items.is_empty() => return Ok(None),
        about => about?,
    };
    let mut event = Event::new(about);
    event.ended = true;
    if event.progress.keys().any(|destination| destinations.contains(destination)) {
        event.progress.retain(|destination, _| destinations.contains(destination));
    }
    for (destination, progress) in &mut event.progress {
        *progress = Progress::read(folder, *destination)?;
    }
    event.closed = event.progress.values().any(|progress| progress.closed);
    let sent = event.progress.values().map(|progress| progress.next).min().unwrap_or(0);
    event.next = items.keys().next_back().map_or(sent, |last| last + 1);
    event.items = items;
    let gone: Vec<u32> = event.items.range(..sent).map(|(number, _)| *number).collect();
    // Whether it is whole is in its last item, which may be one that every destination has.
    while let Some(mut item) = event.items.last_entry() {
        let path = folder.join(item_name(*item.key()));
        match super::work::read(&path) {
            Ok(Item { file, closed, .. }) => {
                item.get_mut().files = u32::from(file.is_some());
                event.closed |= closed;
                break;
            }
            Err(error) => {
                // Only a damaged disk does this; those before it can go.
                tracing::error!("{}: {error}", path.display());
                let (number, _) = item.remove_entry();
                if number >= sent {
                    *lost += 1;
                    event.about.lost += 1;
                    event.about.write(folder)?;
                }
                disk::remove(&path)?;
            }
        }
    }
    for number in gone {
        event.items.remove(&number);
        disk::remove(&folder.join(item_name(number)))?;
    }
    let through = event.items.is_empty() && event.next == 0;
    Ok((!through).then_some(event))
}
