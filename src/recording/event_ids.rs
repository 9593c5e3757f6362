//! Numbers of events: increasing over restarts, power cuts and whatever the wall clock does.
//!
//! They are reserved in blocks, so that an event costs no disk access and none is ever used twice.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::folder::Folder;

const FILE_NAME: &str = "next-event";
const BLOCK: u64 = 1024;

/// Gives out the numbers.
#[derive(Debug)]
pub(super) struct EventIds(Arc<Reserve>);

#[derive(Debug)]
struct Reserve {
    state: Folder,
    numbers: Mutex<Numbers>,
    /// Held while the file is written, which takes two flushes of the disk.
    writing: Mutex<()>,
    /// A thread has been asked to write it.
    asked: AtomicBool,
}

#[derive(Debug)]
struct Numbers {
    next: u64,
    /// On disk: a start after a crash goes on from here.
    reserved: u64,
}

impl EventIds {
    /// Goes on from the file in the `state` folder; where there is none or it is damaged, from `otherwise`. Numbers begin
    /// with 1.
    pub fn open(state: &Path, otherwise: impl FnOnce() -> u64) -> io::Result<Self> {
        let state = Folder::open_top(state)?;
        let kept = match state.file(FILE_NAME) {
            Ok(file) => io::read_to_string(file).ok().and_then(|text| text.trim().parse::<u64>().ok()),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e),
        };
        let next = kept.unwrap_or_else(otherwise).max(1);
        let reserve = Reserve {
            state,
            numbers: Mutex::new(Numbers { next, reserved: next }),
            writing: Mutex::default(),
            asked: AtomicBool::new(false),
        };
        // A full disk is no reason not to start: retention has to run, to make room.
        reserve.write();
        Ok(Self(Arc::new(reserve)))
    }

    /// The next number. While the disk refuses to reserve more, numbers are given out all the same; one that has no
    /// reservation on disk when the program is killed may be given out again.
    ///
    /// The caller waits for the disk only when a whole block was used up faster than the disk could reserve the next.
    pub fn next(&self) -> u64 {
        let (id, left) = {
            let mut numbers = lock(&self.0.numbers);
            let id = numbers.next;
            numbers.next += 1;
            (id, numbers.reserved.saturating_sub(numbers.next))
        };
        if left == 0 {
            self.0.write();
        } else if left < BLOCK / 2 && !self.0.asked.swap(true, Ordering::Relaxed) {
            // Long before the block is used up, so that a full disk has time to get room.
            let reserve = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name("event-numbers".to_owned());
            let started = thread.spawn(move || {
                reserve.write();
                reserve.asked.store(false, Ordering::Relaxed);
            });
            if started.is_err() {
                self.0.asked.store(false, Ordering::Relaxed);
            }
        }
        id
    }
}

impl Reserve {
    fn write(&self) {
        let _writing = lock(&self.writing);
        let reserved = lock(&self.numbers).next + BLOCK;
        match self.state.replace_file(FILE_NAME, format!("{reserved}\n").as_bytes()) {
            Ok(()) => lock(&self.numbers).reserved = reserved,
            Err(error) => tracing::warn!(%error, "state/{FILE_NAME} cannot be written"),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn no_number_is_given_out_twice_however_the_program_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut last = 0;
        for uses in [1, 0, 3, 2000, 1, 5] {
            // Nothing is written when it is dropped, so this is what kill -9 does too.
            let ids = EventIds::open(dir.path(), || 1).unwrap();
            for _ in 0..uses {
                let id = ids.next();
                assert!(id > last, "{id} after {last}");
                last = id;
            }
        }
        assert!(last < 10 * BLOCK);
    }

    #[test]
    fn without_the_file_it_goes_on_after_what_there_is() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(EventIds::open(dir.path(), || 500).unwrap().next(), 500);
        fs::write(dir.path().join(FILE_NAME), "garbage").unwrap();
        assert_eq!(EventIds::open(dir.path(), || 501).unwrap().next(), 501);
        fs::write(dir.path().join(FILE_NAME), "9000\n").unwrap();
        assert_eq!(EventIds::open(dir.path(), || 501).unwrap().next(), 9000);
    }

    #[test]
    fn a_disk_that_refuses_does_not_stop_events() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        fs::create_dir(&state).unwrap();
        let ids = EventIds::open(&state, || 1).unwrap();
        fs::remove_dir_all(&state).unwrap();
        let given: Vec<_> = (0..3000).map(|_| ids.next()).collect();
        assert!(given.is_sorted_by(|a, b| a < b));
    }
}
