//! Live H.264: which encoder's access units the viewers get, and how each viewer follows them.
//!
//! There is one ring for all viewers, always at the present. Who fills it changes: where a stream is being encoded at the
//! present anyway, its access units; else those of an encoder of its own, which runs only while somebody watches. The
//! change happens at an IDR, so that viewers do not notice. How access units become MP4 is `mp4`'s, how they go over the
//! wire `web::live`'s.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::CameraHandle;
use super::encode::Stream;
use super::shared::{EncodeMode, Shared, lock};
use crate::clock;
use crate::media::{AccessUnit, Frame, Pts};
use crate::ring::{Cursor, Next, Ring};

/// What is kept for viewers: more than the longest GOP, so that there is always an IDR.
const WINDOW: Duration = Duration::from_secs(4);
const MOST_BYTES: usize = 16 << 20;
/// A viewer this far behind goes on at the last IDR.
const LATE: Duration = Duration::from_secs(2);

/// The viewers of live H.264 and what they watch.
pub(super) struct LiveHub {
    ring: Ring<AccessUnit>,
    /// Time of the newest access unit. Held while one is put into the ring, since two threads may do it.
    newest: Mutex<Pts>,
    viewers: AtomicUsize,
}

impl Default for LiveHub {
    fn default() -> Self {
        Self { ring: Ring::new(WINDOW, MOST_BYTES), newest: Mutex::new(Pts::MIN), viewers: AtomicUsize::new(0) }
    }
}

impl LiveHub {
    pub(super) fn viewers(&self) -> usize {
        self.viewers.load(Ordering::Relaxed)
    }

    /// The next access unit. What an encoder that viewers have left still had in work is late, and left out: they went on
    /// with an IDR.
    pub(super) fn push(&self, unit: AccessUnit) {
        let mut newest = lock(&self.newest);
        if unit.moment.pts > *newest {
            *newest = unit.moment.pts;
            self.ring.push(unit);
        }
    }

    /// Wakes viewers, so that they see the end.
    pub(super) fn close(&self) {
        self.ring.advance(Pts::MAX);
    }
}

/// Where the frame being handled is encoded for viewers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Nowhere: nobody watches.
    Nobody,
    /// By the encoder that is there for nothing else.
    Own,
    /// By the stream of this number, which encodes it anyway.
    Stream(usize),
}

/// Decides who encodes for the viewers. Belongs to the develop thread.
pub(super) struct Director {
    stream: Arc<Stream>,
    source: Source,
    /// Time of the newest frame that was encoded for viewers.
    last: Pts,
}

impl Director {
    /// `stream` is the one for viewers alone.
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self { stream, source: Source::Nobody, last: Pts::MIN }
    }

    /// Whether a picture of this time is wanted by viewers.
    pub(super) fn wants(&self, shared: &Shared, pts: Pts) -> bool {
        shared.live.viewers() > 0 && pts > self.last
    }

    /// Chooses for a frame of the present. `streams` are those that encode this frame anyway; of the one that is chosen
    /// anew, `idr` is set.
    pub(super) fn choose(
        &mut self,
        shared: &Shared,
        pts: Pts,
        mode: EncodeMode,
        streams: &[Arc<Stream>],
        idr: &mut [bool],
    ) -> Source {
        // What is encoded all the time is given to the ring all the time, and a new viewer begins in the past.
        if pts <= self.last || (shared.live.viewers() == 0 && mode != EncodeMode::Continuous) {
            return Source::Nobody;
        }
        let same = streams.iter().position(|stream| stream.config == self.stream.config);
        // A machine that is too slow for events is too slow for one more encoder, and raw cameras need none.
        let any = (mode == EncodeMode::Continuous && !streams.is_empty()).then_some(0);
        let source = same.or(any).map_or(Source::Own, Source::Stream);
        if source != self.source {
            if let Source::Stream(n) = source {
                idr[n] = true;
            }
            self.leave();
            self.source = source;
        }
        self.last = pts;
        source
    }

    /// A stream encodes a frame that viewers do not get: what it makes next is of no use to them before an IDR.
    pub(super) fn withheld(&mut self) {
        if matches!(self.source, Source::Stream(_)) {
            self.source = Source::Nobody;
        }
    }

    /// Encodes a frame for viewers alone.
    pub(super) fn encode(&self, shared: &Shared, frame: &Arc<Frame>) {
        if self.stream.has_room() {
            self.stream.encode(Arc::clone(frame), false, true);
        } else {
            shared.counters.encoder_busy.one();
        }
    }

    /// Lets the encoder go when the last viewer has gone. A stream that is encoded all the time keeps its place: chosen anew, it
    /// would begin anew.
    pub(super) fn rest(&mut self, shared: &Shared, mode: EncodeMode) {
        if shared.live.viewers() == 0 && mode != EncodeMode::Continuous {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if self.source == Source::Own {
            self.stream.rest();
        }
        self.source = Source::Nobody;
    }

    pub(super) fn stop(&self) {
        self.stream.stop();
    }
}

/// A viewer's subscription to live H.264. Dropping it ends it.
pub struct LiveView {
    shared: Arc<Shared>,
    end: watch::Receiver<u64>,
    cursor: Cursor,
    /// What comes next has to be an IDR.
    begins: bool,
}

impl CameraHandle {
    /// A subscription to the camera as H.264, from the last IDR.
    pub fn live(&self) -> LiveView {
        LiveView::new(&self.shared)
    }
}

impl LiveView {
    fn new(shared: &Arc<Shared>) -> Self {
        let live = &shared.live;
        live.viewers.fetch_add(1, Ordering::Relaxed);
        let end = live.ring.watch();
        // What was left by viewers who went long ago is not live.
        let fresh = live.ring.newest().is_some_and(|newest| clock::now().since(newest.moment.pts) < LATE);
        let cursor = if fresh { live.ring.start_at(Pts::MAX) } else { live.ring.end() };
        Self { shared: Arc::clone(shared), end, cursor, begins: true }
    }

    /// Waits for the next access unit; the first is an IDR. A viewer that comes back late misses some and goes on with an
    /// IDR. `None` when the camera is shut down.
    pub async fn next(&mut self) -> Option<AccessUnit> {
        loop {
            if self.shared.is_stopping() {
                return None;
            }
            self.hurry();
            match self.shared.live.ring.next(&mut self.cursor, None, Duration::ZERO) {
                Next::Entry(unit) if unit.idr || !self.begins => {
                    self.begins = false;
                    return Some(unit);
                }
                Next::Entry(_) => {}
                Next::Lapped { missed } => {
                    self.shared.counters.viewer_lapped.add(missed);
                    self.begins = true;
                }
                Next::Done | Next::Timeout => self.end.changed().await.ok()?,
            }
        }
    }

    /// Goes on at the last IDR where too much is waiting.
    fn hurry(&mut self) {
        let ring = &self.shared.live.ring;
        let (Some(at), Some((_, newest))) = (ring.pts_at(self.cursor), ring.span()) else { return };
        let idr = ring.start_at(Pts::MAX);
        if newest.since(at) > LATE && idr > self.cursor {
            self.shared.counters.viewer_lapped.add(idr.0 - self.cursor.0);
            (self.cursor, self.begins) = (idr, true);
        }
    }
}

impl Drop for LiveView {
    fn drop(&mut self) {
        self.shared.live.viewers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::camera;
    use crate::config::{CameraConfig, StreamConfig};
    use crate::settings::StoredSettings;

    #[test]
    fn after_pictures_that_viewers_did_not_get_a_stream_goes_on_with_an_idr() {
        let config = CameraConfig::new("front", camera::Source::Pattern);
        let stream = |name| {
            let config = StreamConfig { size: None, kbit: 1000 };
            Arc::new(Stream::new(name, config, Ring::new(WINDOW, MOST_BYTES)))
        };
        let jpegs = Ring::new(WINDOW, MOST_BYTES);
        let shared = Arc::new(Shared::new(config, jpegs, StoredSettings::new(0), Vec::new(), None));
        let (mut director, streams) = (Director::new(stream("live view")), [stream("disk")]);
        let _viewer = LiveView::new(&shared);
        let choose = |director: &mut Director, pts| {
            let mut idr = [false];
            let source = director.choose(&shared, Pts(pts), EncodeMode::OnEvent, &streams, &mut idr);
            (source, idr[0])
        };
        assert_eq!(choose(&mut director, 1), (Source::Stream(0), true));
        assert_eq!(choose(&mut director, 2), (Source::Stream(0), false));
        // Encoding falls behind: the stream's next pictures are not of the present.
        director.withheld();
        assert_eq!(choose(&mut director, 9), (Source::Stream(0), true));
        // An encoder for viewers alone has nothing withheld from them.
        director.choose(&shared, Pts(10), EncodeMode::OnEvent, &[], &mut []);
        director.withheld();
        assert_eq!(director.source, Source::Own);
    }
}
