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
//! stable storage before. In between it may be sent twice, which a store takes for what it is. Sending is `worker`'s.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::broadcast;

use super::disk;
use super::item::Item;
use crate::config::Destination;

mod event;
mod history;
mod open;

pub use event::{EventKey, Stored};
pub use history::Outcome;

use event::{About, Event, Progress, Waiting};
use history::History;

/// Changes that a listener may be behind by before it misses some.
const CHANGES: usize = 256;

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

/// What a worker does next for its destination.
#[derive(Debug)]
pub struct Job {
    /// The event.
    pub key: EventKey,
    /// Its folder in the store, with a slash before it and none behind.
    pub folder: String,
    /// What to send.
    pub item: Item,
    /// The destination's version of the manifest.
    pub manifest: Option<Stored>,
    pub(super) number: u32,
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
    /// It is not accepted, and counted as lost; the event goes on.
    pub fn add(&self, key: &EventKey, item: &Item) -> Result<(), SpoolError> {
        let header = item.header();
        let file = item.file.as_ref().map_or(&[][..], |file| &file.bytes);
        let parts = [header.as_bytes(), file, &item.manifest.bytes];
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        let number = {
            let mut state = self.lock();
            let Some(event) = state.events.get_mut(key) else { return Err(SpoolError::Unknown) };
            let number = event.next;
            event.next += 1;
            number
        };
        let path = self.folder(key).join(event::item_name(number));
        let added = loop {
            if !self.reserve(bytes) {
                break Err(SpoolError::Full);
            }
            match disk::write(&path, &parts) {
                Ok(()) => break Ok(()),
                Err(error) => {
                    self.lock().bytes -= bytes;
                    // Room that others took: as long as something of ours can go, it does.
                    let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
                    if !full || !self.drop_oldest() {
                        break Err(SpoolError::Disk(error));
                    }
                }
            }
        };
        let mut state = self.lock();
        match &added {
            Ok(()) => {
                if let Some(event) = state.events.get_mut(key) {
                    let files = u32::from(item.file.is_some());
                    event.items.insert(number, Waiting { bytes, files, since: Timestamp::now() });
                    event.closed |= item.closed;
                }
            }
            Err(_) => {
                state.lost += 1;
                state.last_loss = Some(Timestamp::now());
                if let Some(event) = state.events.get_mut(key) {
                    event.about.lost += u32::from(item.file.is_some());
                }
            }
        }
        self.notify(&mut state, key);
        added
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

    /// What to send next: of the newest event that has something, the oldest. `None` when nothing waits.
    pub fn next(&self, destination: Destination) -> Option<Job> {
        loop {
            let (key, number, folder, manifest) = {
                let mut state = self.lock();
                state.in_work.remove(&destination);
                let (key, number, event) = state.events.iter().rev().find_map(|(key, event)| {
                    let number = event.next_for(destination)?;
                    Some((key.clone(), number, event))
                })?;
                let manifest = event.progress.get(&destination).and_then(|progress| progress.manifest.clone());
                let folder = event.about.folder.clone();
                state.in_work.insert(destination, (key.clone(), number));
                (key, number, folder, manifest)
            };
            let path = self.folder(&key).join(event::item_name(number));
            match read(&path) {
                Ok(item) => return Some(Job { key, folder, item, manifest, number }),
                Err(error) => {
                    // Only a damaged disk does this.
                    tracing::error!("{}: {error}", path.display());
                    self.lose(&key, number);
                }
            }
        }
    }

    fn lose(&self, key: &EventKey, number: u32) {
        let mut state = self.lock();
        let Some(event) = state.events.get_mut(key) else { return };
        let Some(item) = event.items.remove(&number) else { return };
        event.about.lost += item.files;
        let about = event.about.clone();
        state.bytes -= item.bytes;
        state.lost += u64::from(item.files);
        state.last_loss = Some(Timestamp::now());
        drop(state);
        let folder = self.folder(key);
        if let Err(error) = about.write(&folder).and_then(|()| disk::remove(&folder.join(event::item_name(number)))) {
            tracing::error!(event = %key, "the spool cannot be changed: {error}");
        }
        self.settle(key);
    }

    /// Whether the manifest of this job has to go up: none newer waits, or this one may already be there half-way.
    pub(super) fn wants_manifest(&self, destination: Destination, job: &Job) -> bool {
        let state = self.lock();
        let Some(event) = state.events.get(&job.key) else { return true };
        let begun = event.progress.get(&destination).is_some_and(|progress| progress.sending == Some(job.number));
        begun || event.items.range(job.number + 1..).next().is_none()
    }

    /// Notes that the manifest of this job is about to be sent: whatever the store makes of it, no other goes before it.
    pub(super) fn sending_manifest(&self, destination: Destination, job: &Job) -> io::Result<()> {
        self.progress(destination, &job.key, |progress| progress.sending = Some(job.number))
    }

    /// A destination has this item, or will never take what is not of it: the next one.
    ///
    /// # Errors
    /// The disk refuses. The item is sent again later.
    pub(super) fn done(&self, destination: Destination, job: &Job, manifest: Option<Stored>) -> io::Result<()> {
        self.progress(destination, &job.key, |progress| {
            progress.next = job.number + 1;
            progress.sending = None;
            progress.closed |= job.item.closed;
            if manifest.is_some() {
                progress.manifest = manifest;
            }
        })?;
        let mut state = self.lock();
        state.in_work.remove(&destination);
        let gone = state.events.get_mut(&job.key).and_then(|event| event.take_if_done(job.number));
        if let Some(item) = &gone {
            state.bytes -= item.bytes;
        }
        self.notify(&mut state, &job.key);
        drop(state);
        if gone.is_some() {
            disk::remove(&self.folder(&job.key).join(event::item_name(job.number)))?;
            self.settle(&job.key);
        }
        Ok(())
    }

    /// Sets a file aside that a destination will never take.
    pub(super) fn refuse(
        &self,
        destination: Destination,
        job: &Job,
        name: &str,
        bytes: &Bytes,
        cause: &str,
    ) -> io::Result<()> {
        let aside = self.root.join("refused").join(destination.name()).join(job.folder.trim_start_matches('/'));
        fs::create_dir_all(&aside)?;
        disk::write(&aside.join(name), &[bytes])?;
        self.progress(destination, &job.key, |progress| {
            progress.refused += 1;
            progress.cause = Some(cause.to_owned());
        })
    }

    /// Changes what is known of a destination, durably.
    fn progress(&self, destination: Destination, key: &EventKey, change: impl FnOnce(&mut Progress)) -> io::Result<()> {
        let changed = {
            let state = self.lock();
            let Some(progress) = state.events.get(key).and_then(|event| event.progress.get(&destination)) else {
                return Ok(());
            };
            let mut progress = progress.clone();
            change(&mut progress);
            progress
        };
        // Only the destination's own worker changes it, so that nothing is overtaken.
        changed.write(&self.folder(key), destination)?;
        if let Some(progress) = self.lock().events.get_mut(key).and_then(|event| event.progress.get_mut(&destination)) {
            *progress = changed;
        }
        Ok(())
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

fn read(path: &Path) -> io::Result<Item> {
    let bytes = Bytes::from(fs::read(path)?);
    Item::parse(bytes).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
