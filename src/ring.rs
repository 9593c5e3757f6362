//! The recent past of one stream, kept in memory: JPEGs of a camera or access units of an encoder.
//!
//! One producer pushes and never waits. Any number of consumers follow, each with a cursor of its own: a
//! sequence number, so that setting it back is pre-roll and falling out of the window is a typed
//! [`Next::Lapped`], not a silent hole. Payloads are shared, never copied. What a consumer does with an entry
//! is not known here.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::media::{AccessUnit, Jpeg, Pts};

/// What a ring can hold.
pub trait Entry: Clone {
    /// When it was taken. Within a ring it never goes back.
    fn pts(&self) -> Pts;
    /// Bytes it keeps in memory.
    fn weight(&self) -> usize;
    /// Whether a consumer can begin with it.
    fn starts(&self) -> bool;
}

impl Entry for Jpeg {
    fn pts(&self) -> Pts {
        self.moment.pts
    }
    fn weight(&self) -> usize {
        self.bytes.len()
    }
    fn starts(&self) -> bool {
        true
    }
}

impl Entry for AccessUnit {
    fn pts(&self) -> Pts {
        self.moment.pts
    }
    fn weight(&self) -> usize {
        self.bytes.len()
    }
    fn starts(&self) -> bool {
        self.idr
    }
}

/// A place in a ring: the sequence number of the entry to be read next. The first entry ever pushed has number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor(pub u64);

/// What a consumer finds at its cursor.
#[derive(Debug)]
pub enum Next<T> {
    /// The entry; the cursor has moved past it.
    Entry(T),
    /// The entry at the cursor is gone. The cursor now stands at the oldest entry a consumer can begin with (or
    /// at the end, where there is none), `missed` entries further on.
    Lapped {
        /// Entries that were skipped.
        missed: u64,
    },
    /// Nothing at or before the asked time will come any more.
    Done,
    /// Nothing came within the time-out.
    Timeout,
}

struct State<T> {
    entries: VecDeque<T>,
    /// Number of the oldest entry held.
    first: u64,
    weight: usize,
    horizon: Pts,
}

/// See the module. `T` is cheap to clone (shared payload).
pub struct Ring<T> {
    window: Duration,
    max_bytes: usize,
    state: Mutex<State<T>>,
    pushed: Condvar,
    end: watch::Sender<u64>,
}

impl<T: Entry> Ring<T> {
    /// Keeps at least the last `window` of entries, unless they are more than `max_bytes`: then fewer. The newest
    /// entry is always kept.
    pub fn new(window: Duration, max_bytes: usize) -> Self {
        Self {
            window,
            max_bytes,
            state: Mutex::new(State { entries: VecDeque::new(), first: 0, weight: 0, horizon: Pts::MIN }),
            pushed: Condvar::new(),
            end: watch::channel(0).0,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change of the state is complete before anything can panic.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Adds an entry and lets go of those that the window or the byte budget no longer covers. Never waits for a
    /// consumer. O(1) but for the entries dropped.
    pub fn push(&self, entry: T) {
        let mut gone = Vec::new();
        let end = {
            let mut s = self.lock();
            s.horizon = s.horizon.max(entry.pts());
            s.weight += entry.weight();
            s.entries.push_back(entry);
            let oldest_wanted = s.horizon - self.window;
            while s.entries.len() > 1 {
                // An entry goes only when the one after it still covers the window's beginning.
                let outdated = s.entries.get(1).is_some_and(|second| second.pts() <= oldest_wanted);
                if !outdated && s.weight <= self.max_bytes {
                    break;
                }
                if let Some(old) = s.entries.pop_front() {
                    s.weight -= old.weight();
                    s.first += 1;
                    gone.push(old);
                }
            }
            s.first + s.entries.len() as u64
        };
        // Payloads are freed outside the lock.
        drop(gone);
        self.pushed.notify_all();
        self.end.send_replace(end);
    }

    /// Says that nothing older than `pts` will be pushed any more, so that consumers waiting for it stop waiting.
    pub fn advance(&self, pts: Pts) {
        let mut s = self.lock();
        if pts > s.horizon {
            s.horizon = pts;
            drop(s);
            self.pushed.notify_all();
            self.end.send_modify(|_| ());
        }
    }

    /// Reads the entry at `cursor`, waiting for it up to `timeout`. With `until`, answers [`Next::Done`] as soon as
    /// no entry at or before that time is left or can come.
    pub fn next(&self, cursor: &mut Cursor, until: Option<Pts>, timeout: Duration) -> Next<T> {
        let deadline = Instant::now() + timeout;
        let mut s = self.lock();
        loop {
            if cursor.0 < s.first {
                let at = s.entries.iter().position(Entry::starts).unwrap_or(s.entries.len());
                let to = s.first + at as u64;
                let missed = to - cursor.0;
                cursor.0 = to;
                return Next::Lapped { missed };
            }
            if let Some(entry) = s.entries.get((cursor.0 - s.first) as usize) {
                if until.is_some_and(|until| entry.pts() > until) {
                    return Next::Done;
                }
                cursor.0 += 1;
                return Next::Entry(entry.clone());
            }
            if until.is_some_and(|until| s.horizon > until) {
                return Next::Done;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Timeout;
            }
            s = self.pushed.wait_timeout(s, left).unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// The place after the newest entry.
    pub fn end(&self) -> Cursor {
        let s = self.lock();
        Cursor(s.first + s.entries.len() as u64)
    }

    /// The last place at or before `pts` where a consumer can begin; the first such place held, when all are later; the
    /// end, when there is none.
    pub fn start_at(&self, pts: Pts) -> Cursor {
        let s = self.lock();
        let mut found = None;
        for (i, entry) in s.entries.iter().enumerate().filter(|(_, e)| e.starts()) {
            if found.is_some() && entry.pts() > pts {
                break;
            }
            found = Some(i);
        }
        Cursor(s.first + found.unwrap_or(s.entries.len()) as u64)
    }

    /// The newest entry.
    pub fn newest(&self) -> Option<T> {
        self.lock().entries.back().cloned()
    }

    /// PTS of the oldest and newest entry held.
    pub fn span(&self) -> Option<(Pts, Pts)> {
        let s = self.lock();
        Some((s.entries.front()?.pts(), s.entries.back()?.pts()))
    }

    /// Bytes held.
    pub fn weight(&self) -> usize {
        self.lock().weight
    }

    /// For asynchronous consumers: changes with every push and every [`Ring::advance`]; the value is the end's number.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }
}
