//! The durable queue of uploads: what is accepted here goes up once, whatever happens in between.
//!
//! ```text
//! spool/000000000042-0-front/     an event: number, part, camera
//!     event.json                  where it goes
//!     0.item, 1.item, …           its files in order, each with the manifest that includes it (`item`)
//!     dropbox.json                how far a destination has got, and its version of the manifest
//! spool/refused/dropbox/…         what a destination will never take, under the path it was meant for
//! spool/history                   what became of events that are through
//! ```
//!
//! A file is accepted when it is on stable storage, and removed when every destination has it; what a destination has is on
//! stable storage before. In between it may be sent twice, which a store takes for what it is. What a worker asks and says
//! is in `work`; the sending itself is `worker`'s.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::broadcast;

use super::disk;
use super::item::Item;
use crate::config::Destination;

mod event;
mod history;
mod open;
mod work;

pub use event::{EventKey, Stored};
pub use history::Outcome;
pub use work::Job;

use event::{About, Event, Waiting};
use history::History;

/// Changes that a listener may be behind by before it misses some.
const CHANGES: usize = 256;
/// The folder of what a destination will never take.
const REFUSED: &str = "refused";
/// What is refused is kept in so small a part of the spool's size, besides it.
const REFUSED_PART: u64 = 4;

/// See the module. Shared by the cameras' sinks, the workers and the web.
pub struct Spool {
    root: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
    changed: Condvar,
    changes: broadcast::Sender<EventKey>,
}

struct State {
    /// Those that are not through, oldest first.
    events: BTreeMap<EventKey, Event>,
    history: History,
    /// Files of items, and what is about to be written.
    bytes: u64,
    /// Files that went unsent for want of room, since the start.
    dropped: u64,
    /// Files that the disk would not take, since the start.
    lost: u64,
    last_loss: Option<Timestamp>,
    /// What is set aside in `refused`, as far as this run and the opening know.
    refused_bytes: u64,
    /// What each destination's worker has at hand.
    in_work: BTreeMap<Destination, (EventKey, u32)>,
    /// Rings for whoever waits.
    rings: u64,
}

impl State {
    /// The oldest item of the oldest event that no worker is in the middle of.
    fn expendable(&self) -> Option<(EventKey, u32)> {
        let in_work = |key: &EventKey, number| self.in_work.values().any(|(other, at)| other == key && *at == number);
        self.events.iter().find_map(|(key, event)| {
            let number = event.expendable().find(|number| !in_work(key, *number))?;
            Some((key.clone(), number))
        })
    }
}

/// Why something is not in the spool.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// It is larger than the whole spool, or nothing can go in its favour.
    #[error("the spool is full, and nothing older is left to make room")]
    Full,
    /// The event has not been opened.
    #[error("the event is not in the spool")]
    Unknown,
    /// The disk refuses.
    #[error("the spool cannot be written: {0}")]
    Disk(#[from] io::Error),
}

/// What waits for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Backlog {
    /// Files, manifests not counted.
    pub files: u64,
    /// Bytes on the disk.
    pub bytes: u64,
    /// Since when the oldest of them has waited.
    pub oldest: Option<Timestamp>,
}

/// Files that went unsent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// For want of room in the spool.
    pub dropped: u64,
    /// Because the disk would not take them, or not give them back.
    pub lost: u64,
    /// When it happened last.
    pub last: Option<Timestamp>,
}

impl Spool {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, key: &EventKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    fn notify(&self, state: &mut State, key: &EventKey) {
        state.rings += 1;
        self.changed.notify_all();
        // Nobody has to listen.
        let _ = self.changes.send(key.clone());
    }

    /// Opens an event: its files go to `folder` in these stores, of which there is at least one. `folder` begins with a slash.
    ///
    /// # Errors
    /// The disk refuses; nothing has changed then.
    pub fn begin(&self, key: &EventKey, folder: &str, destinations: &[Destination]) -> Result<(), SpoolError> {
        let about = About::new(folder, destinations);
        let path = self.folder(key);
        disk::create_folder(&path)?;
        about.write(&path)?;
        let mut state = self.lock();
        state.events.insert(key.clone(), Event::new(about));
        self.notify(&mut state, key);
        Ok(())
    }

    /// Accepts the next item of an event. Blocks until it is on stable storage. What is oldest goes where there is no room.
    ///
    /// # Errors
    /// It is not accepted, and the event as before: it can be tried again, and who gives up says so by [`Spool::lost`].
    pub fn add(&self, key: &EventKey, item: &Item) -> Result<(), SpoolError> {
        let header = item.header();
        let file = item.file.as_ref().map_or(&[][..], |file| &file.bytes);
        let parts = [header.as_bytes(), file, &item.manifest.bytes];
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        // Only the event's own sink adds to it, so that the number stays free until it is taken below.
        let number = self.lock().events.get(key).ok_or(SpoolError::Unknown)?.next;
        let path = self.folder(key).join(event::item_name(number));
        loop {
            if !self.reserve(bytes) {
                return Err(SpoolError::Full);
            }
            let Err(error) = disk::write(&path, &parts) else { break };
            self.lock().bytes -= bytes;
            // Room that others took: as long as something of ours can go, it does.
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            if !full || !self.drop_oldest() {
                return Err(SpoolError::Disk(error));
            }
        }
        let mut state = self.lock();
        if let Some(event) = state.events.get_mut(key) {
            let files = u32::from(item.file.is_some());
            event.items.insert(number, Waiting { bytes, files, since: Timestamp::now() });
            event.next = number + 1;
            event.closed |= item.closed;
        }
        self.notify(&mut state, key);
        Ok(())
    }

    /// So many files of an event were given up, whether it is known here or not.
    pub fn lost(&self, key: &EventKey, files: u32) {
        if files == 0 {
            return;
        }
        let mut state = self.lock();
        state.lost += u64::from(files);
        state.last_loss = Some(Timestamp::now());
        let about = state.events.get_mut(key).map(|event| {
            event.about.lost += files;
            event.about.clone()
        });
        self.notify(&mut state, key);
        drop(state);
        if let Some(Err(error)) = about.map(|about| about.write(&self.folder(key))) {
            tracing::error!(event = %key, "the spool cannot be changed: {error}");
        }
    }

    /// Nothing more of this event will come.
    pub fn end(&self, key: &EventKey) {
        if let Some(event) = self.lock().events.get_mut(key) {
            event.ended = true;
        }
        self.settle(key);
    }

    /// Takes room for so many bytes, at the cost of what is oldest.
    fn reserve(&self, bytes: u64) -> bool {
        loop {
            let mut state = self.lock();
            if state.bytes + bytes <= self.max_bytes {
                state.bytes += bytes;
                return true;
            }
            drop(state);
            if bytes > self.max_bytes || !self.drop_oldest() {
                return false;
            }
        }
    }

    /// Lets the oldest unsent item of the oldest event go; `false` when there is none that can.
    fn drop_oldest(&self) -> bool {
        let mut state = self.lock();
        let Some((key, number)) = state.expendable() else { return false };
        let Some(event) = state.events.get_mut(&key) else { return false };
        let Some(item) = event.items.remove(&number) else { return false };
        event.about.dropped += item.files;
        let about = event.about.clone();
        state.bytes -= item.bytes;
        state.dropped += u64::from(item.files);
        state.last_loss = Some(Timestamp::now());
        self.notify(&mut state, &key);
        drop(state);
        let folder = self.folder(&key);
        tracing::error!(event = %key, number, "the spool is full: the oldest unsent file went");
        let gone = disk::remove(&folder.join(event::item_name(number))).and_then(|()| about.write(&folder));
        if let Err(error) = gone {
            tracing::error!(event = %key, "the spool cannot be changed: {error}");
        }
        self.settle(&key);
        true
    }

    /// An event that has ended and of which nothing waits goes into the history.
    fn settle(&self, key: &EventKey) {
        let event = {
            let mut state = self.lock();
            let through = state.events.get(key).is_some_and(|event| event.ended && event.items.is_empty());
            if !through {
                return;
            }
            let Some(event) = state.events.remove(key) else { return };
            state.history.add(key.clone(), event.outcome());
            self.notify(&mut state, key);
            event
        };
        if let Err(error) = history::write(&self.root, key, &event.outcome()) {
            tracing::error!(event = %key, "the spool's history cannot be written: {error}");
            return;
        }
        if let Err(error) = disk::remove_folder(&self.folder(key)) {
            tracing::error!(event = %key, "the spool cannot be changed: {error}");
        }
    }

    /// What is known of an event's upload; `None`: it was never to be uploaded, or is long through.
    pub fn event(&self, key: &EventKey) -> Option<Outcome> {
        let state = self.lock();
        match state.events.get(key) {
            Some(event) => Some(event.standing()),
            None => state.history.get(key).cloned(),
        }
    }

    /// What waits for a destination.
    pub fn backlog(&self, destination: Destination) -> Backlog {
        let state = self.lock();
        state.events.values().fold(Backlog::default(), |sum, event| event.backlog(destination, sum))
    }

    /// Bytes that wait, and how many may.
    pub fn bytes(&self) -> (u64, u64) {
        (self.lock().bytes, self.max_bytes)
    }

    /// What went unsent, since the start.
    pub fn losses(&self) -> Losses {
        let State { dropped, lost, last_loss, .. } = *self.lock();
        Losses { dropped, lost, last: last_loss }
    }

    /// Whether a folder in the stores was an event's not long ago.
    pub fn knows_folder(&self, folder: &str) -> bool {
        let state = self.lock();
        state.events.values().any(|event| event.about.folder == folder) || state.history.knows_folder(folder)
    }

    /// Every change of an event's upload from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<EventKey> {
        self.changes.subscribe()
    }

    /// For [`Spool::wait`].
    pub(super) fn rings(&self) -> u64 {
        self.lock().rings
    }

    /// Wakes whoever waits.
    pub(super) fn ring(&self) {
        self.lock().rings += 1;
        self.changed.notify_all();
    }

    /// Waits until something has changed since `seen` was read, `timeout` at most.
    pub(super) fn wait(&self, seen: u64, timeout: Duration) {
        let state = self.lock();
        // Both ways of waking are the caller's to look at.
        drop(self.changed.wait_timeout_while(state, timeout, |state| state.rings == seen));
    }
}

#[cfg(test)]
mod tests;
