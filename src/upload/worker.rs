//! The thread that sends what waits to one destination: one file at a time, again after a failure, never in a loop.
//!
//! What goes next is the spool's to say, how it goes the store's (`remote`).

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::{Timestamp, ZonedDateTime};

use super::allowance::{Allowance, Wait};
use super::remote::{Put, PutError, Remote};
use super::spool::{EventKey, Job, Spool, Stored};
use crate::config::{Destination, Limits};

/// How long a worker waits after which failure.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// After the first failure; twice as long after each that follows it. Half of it is left to chance, so that several
    /// cameras do not come back all at once.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// After one that only the owner can mend.
    pub account: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self { first: seconds(1), longest: seconds(300), account: seconds(1800) }
    }
}

/// An upload in the middle of its file gets this long at a stop; then it is sent again after the next start.
const STOP_WAITS: Duration = Duration::from_secs(3);
/// How often a thread that waits looks whether it is to stop.
const LOOK: Duration = Duration::from_millis(200);

/// Why nothing is being sent, though something waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What went wrong, as a sentence.
    pub cause: String,
    /// Whether only the owner can mend it.
    pub account: bool,
    /// Since when.
    pub since: Timestamp,
}

/// What one destination's worker has done since the start. Numbers only grow.
#[derive(Debug, Default)]
pub struct Traffic {
    /// Files stored, manifests not counted.
    pub files: AtomicU64,
    /// Bytes stored, manifests included.
    pub bytes: AtomicU64,
    /// Files that the store will never take.
    pub refused: AtomicU64,
    /// Attempts that failed and were to be made again.
    pub failures: AtomicU64,
    trouble: Mutex<Option<Trouble>>,
}

impl Traffic {
    /// Why nothing is being sent; `None` while all is well.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, destination: Destination, now: Option<(String, bool)>) {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let name = destination.name();
        match (&*trouble, &now) {
            (Some(_), None) => tracing::info!(destination = name, "uploads go on"),
            (Some(before), Some((cause, _))) if before.cause == *cause => {}
            (_, Some((cause, true))) => tracing::error!(destination = name, "uploads need you: {cause}"),
            (_, Some((cause, false))) => tracing::warn!(destination = name, "uploads wait: {cause}"),
            (None, None) => {}
        }
        let since = trouble.as_ref().map_or_else(Timestamp::now, |trouble| trouble.since);
        *trouble = now.map(|(cause, account)| Trouble { cause, account, since });
    }
}

/// A worker's thread.
#[derive(Debug)]
pub struct Worker {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Worker {
    /// Starts sending. The day's allowance is kept beside the spool, in `folder`.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(
        spool: Arc<Spool>,
        destination: Destination,
        remote: Box<dyn Remote>,
        limits: Limits,
        folder: &std::path::Path,
        patience: Patience,
    ) -> io::Result<(Self, Arc<Traffic>)> {
        let (stop, traffic) = (Arc::new(AtomicBool::new(false)), Arc::new(Traffic::default()));
        let allowance =
            Allowance::new(limits, folder.join(format!("sent-{}", destination.name())), &ZonedDateTime::now());
        let sender = Sender {
            spool,
            destination,
            remote,
            allowance,
            patience,
            traffic: Arc::clone(&traffic),
            stop: Arc::clone(&stop),
            failures: 0,
            reached: None,
        };
        let name = format!("up-{}", destination.name());
        let thread = std::thread::Builder::new().name(name).spawn(move || sender.run())?;
        Ok((Self { stop, thread }, traffic))
    }

    /// Ends after the file that is being sent, or without it if that takes long: it is sent again then.
    pub fn stop(self, spool: &Spool) {
        self.stop.store(true, Relaxed);
        spool.ring();
        let by = Instant::now() + STOP_WAITS;
        while !self.thread.is_finished() {
            if Instant::now() > by {
                tracing::info!("an upload is still going on; it is sent again after the next start");
                return;
            }
            std::thread::sleep(LOOK / 10);
        }
        if self.thread.join().is_err() {
            tracing::error!("an upload thread panicked");
        }
    }
}

/// What of a job has been done, so that it is not done again when something after it fails.
enum Step {
    File,
    Manifest(Option<Stored>),
}

/// Why a job is not through.
enum Pause {
    Later { after: Option<Duration>, cause: String },
    Account(String),
    Stopping,
}

impl From<io::Error> for Pause {
    fn from(error: io::Error) -> Self {
        Pause::Later { after: None, cause: format!("the spool cannot be written: {error}") }
    }
}

struct Sender {
    spool: Arc<Spool>,
    destination: Destination,
    remote: Box<dyn Remote>,
    allowance: Allowance,
    patience: Patience,
    traffic: Arc<Traffic>,
    stop: Arc<AtomicBool>,
    /// In a row.
    failures: u32,
    reached: Option<(EventKey, u32, Step)>,
}

impl Sender {
    fn run(mut self) {
        while !self.stop.load(Relaxed) {
            let seen = self.spool.rings();
            let Some(job) = self.spool.next(self.destination) else {
                self.traffic.set(self.destination, None);
                self.spool.wait(seen, Duration::from_secs(60));
                continue;
            };
            match self.send(&job) {
                Ok(()) => {
                    self.failures = 0;
                    self.traffic.set(self.destination, None);
                }
                Err(Pause::Later { after, cause }) => {
                    self.traffic.failures.fetch_add(1, Relaxed);
                    self.traffic.set(self.destination, Some((cause, false)));
                    let wait = self.back_off().max(after.unwrap_or_default());
                    self.pause(wait);
                }
                Err(Pause::Account(cause)) => {
                    self.traffic.failures.fetch_add(1, Relaxed);
                    self.traffic.set(self.destination, Some((cause, true)));
                    self.pause(self.patience.account);
                }
                Err(Pause::Stopping) => {}
            }
        }
    }

    fn back_off(&mut self) -> Duration {
        let doubled = self.patience.first.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        self.failures = (self.failures + 1).min(31);
        doubled.min(self.patience.longest).mul_f64(0.5 + fastrand::f64() / 2.0)
    }

    fn pause(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.stop.load(Relaxed) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(LOOK));
        }
    }

    fn send(&mut self, job: &Job) -> Result<(), Pause> {
        let (destination, spool) = (self.destination, Arc::clone(&self.spool));
        let at_hand =
            |(key, number, step): (EventKey, u32, Step)| (key == job.key && number == job.number).then_some(step);
        let step = self.reached.take().and_then(at_hand);
        let reached = |step| Some((job.key.clone(), job.number, step));
        let manifest = match step {
            Some(Step::Manifest(manifest)) => manifest,
            step => {
                if let (None, Some(file)) = (step, &job.item.file) {
                    let path = format!("{}/{}", job.folder, file.name);
                    match self.put(&path, &file.bytes, &Put::Add)? {
                        Ok(stored) => {
                            self.traffic.files.fetch_add(1, Relaxed);
                            if !stored.path.eq_ignore_ascii_case(&path) {
                                tracing::warn!(
                                    "{path} was there already with another content: stored as {}",
                                    stored.path
                                );
                            }
                        }
                        Err(cause) => self.set_aside(job, &file.name, &file.bytes, &cause)?,
                    }
                }
                self.reached = reached(Step::File);
                match spool.wants_manifest(destination, job) {
                    true => self.send_manifest(job)?,
                    false => None,
                }
            }
        };
        self.reached = reached(Step::Manifest(manifest.clone()));
        spool.done(destination, job, manifest)?;
        self.reached = None;
        Ok(())
    }

    fn send_manifest(&mut self, job: &Job) -> Result<Option<Stored>, Pause> {
        self.spool.sending_manifest(self.destination, job)?;
        let named = &job.item.manifest;
        let path = job.manifest.as_ref().map_or_else(|| format!("{}/{}", job.folder, named.name), |m| m.path.clone());
        let revision = job.manifest.as_ref().and_then(|manifest| manifest.revision.clone());
        match self.put(&path, &named.bytes, &Put::Replace { revision })? {
            Ok(stored) => Ok(Some(stored)),
            Err(cause) => {
                self.set_aside(job, &named.name, &named.bytes, &cause)?;
                Ok(None)
            }
        }
    }

    /// Sends a file as soon as the line's limits let it. `Err` within is a refusal.
    fn put(&mut self, path: &str, bytes: &Bytes, how: &Put) -> Result<Result<Stored, String>, Pause> {
        while let Some(wait) = self.allowance.wait(bytes.len(), &ZonedDateTime::now(), Instant::now()) {
            let left = match wait {
                Wait::Rate(left) => left,
                Wait::Day(left) => {
                    let cause = "today's allowance (max_day) is used up; they go on at midnight".to_owned();
                    self.traffic.set(self.destination, Some((cause, false)));
                    // The clock may be set meanwhile.
                    left.min(Duration::from_secs(60))
                }
            };
            self.pause(left);
            if self.stop.load(Relaxed) {
                return Err(Pause::Stopping);
            }
        }
        if self.stop.load(Relaxed) {
            return Err(Pause::Stopping);
        }
        if let Err(error) = self.allowance.take(bytes.len(), &ZonedDateTime::now()) {
            tracing::warn!("what was sent today cannot be noted: {error}");
        }
        self.allowance.begin(bytes.len(), Instant::now());
        let before = self.remote.sent_bytes();
        let remote = &mut self.remote;
        let put = catch_unwind(AssertUnwindSafe(|| remote.put(path, bytes.clone(), how)));
        let sent = self.remote.sent_bytes().saturating_sub(before);
        if let Err(error) = self.allowance.correct(bytes.len(), sent, &ZonedDateTime::now()) {
            tracing::warn!("what was sent today cannot be noted: {error}");
        }
        match put {
            Ok(Ok(stored)) => {
                self.traffic.bytes.fetch_add(bytes.len() as u64, Relaxed);
                Ok(Ok(Stored { path: stored.path, revision: stored.revision }))
            }
            Ok(Err(PutError::Refused { cause })) => Ok(Err(cause)),
            Ok(Err(PutError::Later { after, cause })) => Err(Pause::Later { after, cause }),
            Ok(Err(PutError::Account { cause })) => Err(Pause::Account(cause)),
            Err(_) => Err(Pause::Later { after: None, cause: format!("the program failed at {path}") }),
        }
    }

    fn set_aside(&mut self, job: &Job, name: &str, bytes: &Bytes, cause: &str) -> io::Result<()> {
        self.traffic.refused.fetch_add(1, Relaxed);
        tracing::error!(destination = self.destination.name(), "{}/{name} is refused: {cause}", job.folder);
        self.spool.refuse(self.destination, job, name, bytes, cause)
    }
}

#[cfg(test)]
mod tests;
