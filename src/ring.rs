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
    /// Whether bytes, not time, decided about the last entry that went.
    squeezed: bool,
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
            state: Mutex::new(State {
                entries: VecDeque::new(),
                first: 0,
                weight: 0,
                horizon: Pts::MIN,
                squeezed: false,
            }),
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
                s.squeezed = !outdated;
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
    /// no entry at or before that time is left or can come. An end that becomes known while this waits is not seen: an
    /// entry that comes then is the caller's to compare.
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

    /// The time it covers, where its bytes do not let it cover the window it was made for.
    pub fn squeezed_to(&self) -> Option<Duration> {
        let s = self.lock();
        let covered = s.entries.back()?.pts().since(s.entries.front()?.pts());
        s.squeezed.then_some(covered)
    }

    /// PTS of the oldest and newest entry held.
    pub fn span(&self) -> Option<(Pts, Pts)> {
        let s = self.lock();
        Some((s.entries.front()?.pts(), s.entries.back()?.pts()))
    }

    /// PTS of the entry at `cursor`, if it is held.
    pub fn pts_at(&self, cursor: Cursor) -> Option<Pts> {
        let s = self.lock();
        Some(s.entries.get(cursor.0.checked_sub(s.first)? as usize)?.pts())
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Item(i64, usize, bool);

    impl Entry for Item {
        fn pts(&self) -> Pts {
            Pts(self.0)
        }
        fn weight(&self) -> usize {
            self.1
        }
        fn starts(&self) -> bool {
            self.2
        }
    }

    const NOW: Duration = Duration::ZERO;

    fn second(n: i64) -> Item {
        Item(n * Pts::HZ, 10, n % 2 == 0)
    }

    fn ring_of(window_s: u64, bytes: usize, items: i64) -> Ring<Item> {
        let ring = Ring::new(Duration::from_secs(window_s), bytes);
        (0..items).for_each(|n| ring.push(second(n)));
        ring
    }

    #[test]
    fn the_window_is_kept_whole_and_older_entries_go() {
        let ring = ring_of(5, 1000, 20);
        // The entry at the window's very beginning is still there.
        assert_eq!(ring.span().unwrap(), (second(14).pts(), second(19).pts()));
        assert_eq!(ring.weight(), 60);
        assert_eq!(ring.squeezed_to(), None);
    }

    #[test]
    fn bytes_bound_it_but_the_newest_stays() {
        let ring = ring_of(100, 45, 20);
        assert_eq!(ring.weight(), 40);
        assert_eq!(ring.squeezed_to(), Some(Duration::from_secs(3)));
        ring.push(Item(100 * Pts::HZ, 1000, true));
        assert_eq!(ring.span().unwrap(), (Pts(100 * Pts::HZ), Pts(100 * Pts::HZ)));
    }

    #[test]
    fn a_cursor_set_back_begins_where_decoding_can() {
        let ring = ring_of(10, 1000, 20);
        let mut cursor = ring.start_at(Pts(15 * Pts::HZ));
        assert!(matches!(ring.next(&mut cursor, None, NOW), Next::Entry(e) if e == second(14)));
        let mut cursor = ring.start_at(Pts(0));
        assert!(matches!(ring.next(&mut cursor, None, NOW), Next::Entry(e) if e == second(10)));
        assert_eq!(Ring::<Item>::new(NOW, 0).start_at(Pts(0)), Cursor(0));
    }

    #[test]
    fn a_lapped_reader_is_told_and_stands_at_a_start() {
        let ring = ring_of(4, 1000, 20);
        let mut cursor = Cursor(3);
        assert!(matches!(ring.next(&mut cursor, None, NOW), Next::Lapped { missed: 13 }));
        assert!(matches!(ring.next(&mut cursor, None, NOW), Next::Entry(e) if e == second(16)));
    }

    #[test]
    fn until_is_done_when_nothing_can_come_any_more() {
        let ring = ring_of(10, 1000, 10);
        let mut cursor = ring.end();
        assert!(matches!(ring.next(&mut cursor, Some(Pts(9 * Pts::HZ)), NOW), Next::Timeout));
        ring.advance(Pts(9 * Pts::HZ + 1));
        assert!(matches!(ring.next(&mut cursor, Some(Pts(9 * Pts::HZ)), NOW), Next::Done));
        assert!(matches!(ring.next(&mut cursor, Some(Pts(10 * Pts::HZ)), NOW), Next::Timeout));
        ring.push(second(11));
        assert!(matches!(ring.next(&mut cursor, Some(Pts(10 * Pts::HZ)), NOW), Next::Done));
        assert!(matches!(ring.next(&mut cursor, None, NOW), Next::Entry(e) if e == second(11)));
    }

    #[test]
    fn a_waiting_reader_wakes_for_a_push() {
        let ring = Arc::new(ring_of(10, 1000, 1));
        let reader = {
            let ring = Arc::clone(&ring);
            std::thread::spawn(move || ring.next(&mut Cursor(1), None, Duration::from_secs(20)))
        };
        ring.push(second(1));
        assert!(matches!(reader.join().unwrap(), Next::Entry(e) if e == second(1)));
    }

    proptest::proptest! {
        /// Whatever is pushed, a reader sees every entry once and in order, or is told how many it missed.
        #[test]
        fn nothing_is_missed_unsaid(steps in proptest::collection::vec((1i64..200_000, 1usize..50, proptest::bool::ANY, 0usize..4), 1..200)) {
            let ring = Ring::new(Duration::from_secs(10), 400);
            let (mut cursor, mut pts, mut pushed, mut seen) = (Cursor(0), 0, 0u64, 0u64);
            for (step, weight, starts, reads) in steps {
                pts += step;
                ring.push(Item(pts, weight, starts));
                pushed += 1;
                for _ in 0..reads {
                    match ring.next(&mut cursor, None, NOW) {
                        Next::Entry(_) => seen += 1,
                        Next::Lapped { missed } => seen += missed,
                        Next::Done | Next::Timeout => break,
                    }
                }
                proptest::prop_assert_eq!(cursor.0, seen);
                proptest::prop_assert!(seen <= pushed);
                proptest::prop_assert!(ring.weight() <= 400 || ring.end().0 == pushed);
            }
        }
    }
}
