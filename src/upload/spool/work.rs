//! The spool as a worker sees it: what to send next, and what became of it.

use std::fs;
use std::io;
use std::path::Path;

use bytes::Bytes;
use jiff::Timestamp;

use super::event::{self, EventKey, Progress, Stored};
use super::{REFUSED, REFUSED_PART, Spool, disk};
use crate::config::Destination;
use crate::upload::item::Item;

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
    pub(in crate::upload) number: u32,
}

impl Spool {
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
    pub(in crate::upload) fn wants_manifest(&self, destination: Destination, job: &Job) -> bool {
        let state = self.lock();
        let Some(event) = state.events.get(&job.key) else { return true };
        let begun = event.progress.get(&destination).is_some_and(|progress| progress.sending == Some(job.number));
        begun || event.items.range(job.number + 1..).next().is_none()
    }

    /// Notes that the manifest of this job is about to be sent: whatever the store makes of it, no other goes before it.
    pub(in crate::upload) fn sending_manifest(&self, destination: Destination, job: &Job) -> io::Result<()> {
        self.progress(destination, &job.key, |progress| progress.sending = Some(job.number))
    }

    /// A destination has this item, or will never take what is not of it: the next one.
    ///
    /// # Errors
    /// The disk refuses. The item is sent again later.
    pub(in crate::upload) fn done(
        &self,
        destination: Destination,
        job: &Job,
        manifest: Option<Stored>,
    ) -> io::Result<()> {
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

    /// Sets a file aside that a destination will never take, as long as there is room for such.
    pub(in crate::upload) fn refuse(
        &self,
        destination: Destination,
        job: &Job,
        name: &str,
        bytes: &Bytes,
        cause: &str,
    ) -> io::Result<()> {
        let aside = self.root.join(REFUSED).join(destination.name()).join(job.folder.trim_start_matches('/'));
        if self.reserve_refused(bytes.len() as u64) {
            let kept = fs::create_dir_all(&aside).and_then(|()| disk::write(&aside.join(name), &[bytes]));
            if kept.is_err() {
                self.lock().refused_bytes -= bytes.len() as u64;
            }
            kept?;
        } else {
            tracing::error!("{}/{name} is not kept: what is refused has no more room", aside.display());
        }
        self.progress(destination, &job.key, |progress| {
            progress.refused += 1;
            progress.cause = Some(cause.to_owned());
        })
    }

    fn reserve_refused(&self, bytes: u64) -> bool {
        let mut state = self.lock();
        let fits = state.refused_bytes + bytes <= self.max_bytes / REFUSED_PART;
        if fits {
            state.refused_bytes += bytes;
        }
        fits
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
}

pub(super) fn read(path: &Path) -> io::Result<Item> {
    let bytes = Bytes::from(fs::read(path)?);
    Item::parse(bytes).map_err(io::Error::other)
}
