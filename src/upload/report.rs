//! Uploads as the rest of the program sees them: start and stop, and how everything stands.

use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

use super::remote::Remote;
use super::spool::{Backlog, EventKey, Losses, Spool};
use super::worker::{Patience, Traffic, Trouble, Worker};
use crate::config::{Destination, Limits};

/// A store, as it is to be used.
pub struct Store {
    /// Which.
    pub destination: Destination,
    /// What it may take of the line.
    pub limits: Limits,
    /// It.
    pub remote: Box<dyn Remote>,
}

/// The spool and its workers.
pub struct Uploads {
    spool: Arc<Spool>,
    workers: Mutex<Vec<Worker>>,
    traffic: Vec<(Destination, Arc<Traffic>)>,
}

/// How the upload of a recording stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = UploadState)]
pub enum State {
    /// It was never to be uploaded, or is forgotten.
    None,
    /// Something of it waits, or is still to come.
    Waiting,
    /// Everything there was is in every store.
    Sent,
    /// Something of it is not, and never will be.
    Failed,
}

/// The upload of one recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UploadStatus)]
pub struct Status {
    /// How it stands.
    pub state: State,
    /// Why it waits or failed, or what is missing of it; a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Files that some store still lacks.
    pub waiting_files: u64,
    /// Since when the oldest of them has waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub oldest_unsent: Option<Timestamp>,
}

/// How one destination stands.
#[derive(Clone, Debug)]
pub struct DestinationReport {
    /// Which.
    pub destination: Destination,
    /// What waits for it.
    pub backlog: Backlog,
    /// Why nothing is being sent; `None` while all is well.
    pub trouble: Option<Trouble>,
    /// Since the start: files stored, bytes stored, files refused for good, attempts that failed.
    pub files: u64,
    /// Bytes stored, manifests included.
    pub bytes: u64,
    /// Files that it will never take; they are set aside.
    pub refused: u64,
    /// Attempts that failed and were made again.
    pub failures: u64,
}

/// How everything stands.
#[derive(Clone, Debug)]
pub struct Report {
    /// One for each destination.
    pub destinations: Vec<DestinationReport>,
    /// Bytes that wait on the disk.
    pub spool_bytes: u64,
    /// How many may.
    pub spool_max_bytes: u64,
    /// What went unsent.
    pub losses: Losses,
}

impl Uploads {
    /// Starts a worker for each store. `folder` is the spool's.
    ///
    /// # Errors
    /// A thread that cannot be started.
    pub fn start(spool: Arc<Spool>, folder: &Path, stores: Vec<Store>, patience: Patience) -> io::Result<Self> {
        let (mut workers, mut traffic) = (Vec::new(), Vec::new());
        for Store { destination, limits, remote } in stores {
            let (worker, sent) = Worker::start(Arc::clone(&spool), destination, remote, limits, folder, patience)?;
            workers.push(worker);
            traffic.push((destination, sent));
        }
        Ok(Self { spool, workers: Mutex::new(workers), traffic })
    }

    /// Ends the workers; what waits is sent after the next start. Blocks a few seconds at most.
    pub fn stop(&self) {
        let workers = std::mem::take(&mut *self.workers.lock().unwrap_or_else(PoisonError::into_inner));
        workers.into_iter().for_each(|worker| worker.stop(&self.spool));
    }

    /// The spool.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The event whose upload has changed, whenever one does.
    pub fn subscribe(&self) -> broadcast::Receiver<EventKey> {
        self.spool.subscribe()
    }

    /// How the upload of a recording stands.
    pub fn status(&self, key: &EventKey) -> Status {
        let Some(outcome) = self.spool.event(key) else {
            return Status { state: State::None, cause: None, waiting_files: 0, oldest_unsent: None };
        };
        let state = match (outcome.through, outcome.failed) {
            (false, _) => State::Waiting,
            (true, false) => State::Sent,
            (true, true) => State::Failed,
        };
        let waits = || {
            let mut troubles = self.traffic.iter().filter_map(|(_, traffic)| traffic.trouble());
            troubles
                .next()
                .filter(|_| state == State::Waiting && outcome.waiting_files > 0)
                .map(|trouble| trouble.cause)
        };
        Status {
            state,
            cause: outcome.cause.clone().or_else(waits),
            waiting_files: outcome.waiting_files,
            oldest_unsent: outcome.oldest_unsent,
        }
    }

    /// `DAY/TIME` of the recording that an upload is of.
    pub fn recording(&self, key: &EventKey) -> Option<String> {
        let folder = self.spool.event(key)?.folder;
        let mut parts = folder.rsplitn(3, '/');
        let (time, day) = (parts.next()?, parts.next()?);
        Some(format!("{day}/{time}"))
    }

    /// How everything stands.
    pub fn report(&self) -> Report {
        let destination = |(destination, traffic): &(Destination, Arc<Traffic>)| DestinationReport {
            destination: *destination,
            backlog: self.spool.backlog(*destination),
            trouble: traffic.trouble(),
            files: traffic.files.load(Relaxed),
            bytes: traffic.bytes.load(Relaxed),
            refused: traffic.refused.load(Relaxed),
            failures: traffic.failures.load(Relaxed),
        };
        let (spool_bytes, spool_max_bytes) = self.spool.bytes();
        let losses = self.spool.losses();
        let destinations = self.traffic.iter().map(destination).collect();
        Report { destinations, spool_bytes, spool_max_bytes, losses }
    }

    /// What only the owner can mend, of these destinations.
    pub fn fault(&self, destinations: &[Destination]) -> Option<String> {
        self.traffic.iter().filter(|(destination, _)| destinations.contains(destination)).find_map(|(name, traffic)| {
            let trouble = traffic.trouble().filter(|trouble| trouble.account)?;
            Some(format!("uploads to {} need you: {}", name.name(), trouble.cause))
        })
    }
}
