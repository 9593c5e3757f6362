//! What happens, told in order to any number of listeners: a bounded history of numbered messages.
//!
//! Whoever tells never waits. A listener keeps the number of the last message it has had, also over a broken connection;
//! one whose next message has left the history is told so ([`Next::Lost`]). What the messages say is their tellers'
//! matter, how they go over the wire `web::events`'s.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::watch;

/// Messages kept: minutes of a busy daemon, days of a quiet one.
const HISTORY: usize = 1000;

/// Something that has happened.
#[derive(Debug)]
pub struct Message {
    /// Greater than that of every message before, over restarts too as long as the wall clock does not go back.
    pub id: u64,
    /// What kind of thing: `state`, `recording`, `upload`.
    pub name: &'static str,
    /// The camera it is about.
    pub camera: String,
    /// JSON, in one line.
    pub data: String,
}

/// What a listener finds.
#[derive(Debug)]
pub enum Next {
    /// The next message; the listener's number has moved to it.
    Message(Arc<Message>),
    /// What came after the listener's number is not known any more. The number has moved to the newest message.
    Lost,
    /// Nothing new.
    Nothing,
}

struct State {
    messages: VecDeque<Arc<Message>>,
    newest: u64,
}

/// See the module. Shared by all threads.
pub struct Feed {
    state: Mutex<State>,
    told: watch::Sender<u64>,
}

impl Default for Feed {
    /// A feed without messages. It counts from the time of its making, in microseconds since 1970, so that numbers of a
    /// daemon that has ended are recognised as old ones.
    fn default() -> Self {
        let now = u64::try_from(Timestamp::now().as_microsecond()).unwrap_or(0);
        Self { state: Mutex::new(State { messages: VecDeque::new(), newest: now }), told: watch::channel(now).0 }
    }
}

impl Feed {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change of it is complete before anything can panic.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Tells something of a camera. `data` becomes a JSON object; it should name the camera too.
    pub fn tell(&self, name: &'static str, camera: &str, data: &impl Serialize) {
        let data = match serde_json::to_string(data) {
            Ok(data) => data,
            Err(error) => return tracing::error!(camera, name, "a message is lost: {error}"),
        };
        let newest = {
            let mut state = self.lock();
            state.newest += 1;
            let message = Message { id: state.newest, name, camera: camera.to_owned(), data };
            state.messages.push_back(Arc::new(message));
            if state.messages.len() > HISTORY {
                state.messages.pop_front();
            }
            state.newest
        };
        self.told.send_replace(newest);
    }

    /// The number of the newest message: where a listener begins who wants to know only what comes.
    pub fn newest(&self) -> u64 {
        self.lock().newest
    }

    /// The message after the one of this number. Never waits.
    pub fn next(&self, after: &mut u64) -> Next {
        let state = self.lock();
        if *after == state.newest {
            return Next::Nothing;
        }
        // Numbers have no holes.
        let oldest = state.newest + 1 - state.messages.len() as u64;
        let at = after.checked_add(1).and_then(|next| next.checked_sub(oldest));
        match at.and_then(|at| state.messages.get(usize::try_from(at).ok()?)) {
            Some(message) => {
                *after = message.id;
                Next::Message(Arc::clone(message))
            }
            None => {
                *after = state.newest;
                Next::Lost
            }
        }
    }

    /// Changes with every message.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.told.subscribe()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn told(feed: &Feed, after: &mut u64) -> Vec<String> {
        std::iter::from_fn(|| match feed.next(after) {
            Next::Message(message) => Some(message.data.clone()),
            Next::Lost => Some("lost".to_owned()),
            Next::Nothing => None,
        })
        .collect()
    }

    #[test]
    fn every_listener_hears_everything_in_order_from_where_it_was() {
        let feed = Feed::default();
        let (mut early, begin) = (feed.newest(), feed.newest());
        feed.tell("state", "front", &1);
        assert_eq!(told(&feed, &mut early), ["1"]);
        let mut late = feed.newest();
        feed.tell("state", "yard", &2);
        feed.tell("state", "front", &3);
        assert_eq!(told(&feed, &mut early), ["2", "3"]);
        assert_eq!(told(&feed, &mut late), ["2", "3"]);
        assert_eq!((early, late), (begin + 3, begin + 3));
        assert_eq!(told(&feed, &mut late), [""; 0]);
    }

    #[test]
    fn a_number_from_before_or_from_nowhere_is_lost_once() {
        let feed = Feed::default();
        let begin = feed.newest();
        (0..HISTORY + 5).for_each(|n| feed.tell("state", "front", &n));
        for mut after in [0, begin - 1, begin, begin + 4, feed.newest() + 1, u64::MAX] {
            assert_eq!(told(&feed, &mut after), ["lost"], "{after}");
            assert_eq!(after, feed.newest());
        }
        let mut oldest = begin + 5;
        assert_eq!(told(&feed, &mut oldest).len(), HISTORY);
    }

    #[test]
    fn a_feed_made_later_counts_on() {
        let first = Feed::default();
        first.tell("state", "front", &1);
        std::thread::sleep(std::time::Duration::from_millis(2));
        assert!(Feed::default().newest() > first.newest());
    }
}
