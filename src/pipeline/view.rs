//! Annotated JPEGs for viewers: each size made once for all who watch it, and nothing while nobody does. Those of the camera's
//! own size are the camera's JPEGs, with the line burned in as they are.
//!
//! The producer never waits for a viewer: each reads the newest picture when it is ready for one. How pictures go over
//! the wire is `web::mjpeg`'s.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use super::counters::Counters;
use super::shared::{Shared, lock};
use crate::codec::jpeg::JpegEncoder;
use crate::media::{Frame, FramePool, Jpeg, Moment, Pts, Resolution};
use crate::scale::Scaler;

/// Enough that text and faces stay sharp; 1.x's pictures were of about this quality.
const QUALITY: u8 = 80;
/// Widths asked for are rounded down to a multiple of this.
const STEP: u32 = 80;

/// A picture for viewers.
#[derive(Debug)]
pub struct LivePicture {
    /// The JPEG.
    pub jpeg: Bytes,
    /// When it was taken.
    pub moment: Moment,
    /// Whether it is no picture of the camera's but says why there is none.
    pub notice: bool,
}

type Newest = watch::Sender<Option<Arc<LivePicture>>>;

/// Viewers who want the same size.
struct Variant {
    width: Option<u32>,
    newest: Arc<Newest>,
    /// The rates they asked for, one each; infinite for "as it comes".
    rates: Vec<f32>,
    last: Pts,
}

impl Variant {
    fn is_due(&self, pts: Pts) -> bool {
        let fastest = self.rates.iter().copied().fold(0.0, f32::max);
        // A tenth early is in time: the camera's pictures do not come to the tick.
        fastest > 0.0 && pts > self.last && pts >= self.last + Duration::from_secs_f32((0.9 / fastest).min(60.0))
    }
}

/// All viewers of a camera, and the place where the newest frame waits for the view thread.
#[derive(Default)]
pub(super) struct ViewHub {
    variants: Mutex<Vec<Variant>>,
    slot: Mutex<Slot>,
    filled: Condvar,
}

#[derive(Default)]
struct Slot {
    /// A frame, and whether it is a notice.
    frame: Option<(Arc<Frame>, bool)>,
    closed: bool,
}

/// One viewer's subscription. Dropping it ends it.
pub struct View {
    hub: Arc<Shared>,
    width: Option<u32>,
    rate: f32,
    newest: watch::Receiver<Option<Arc<LivePicture>>>,
}

impl View {
    /// Waits for a picture newer than the last one; `None` when the camera is shut down.
    pub async fn next(&mut self) -> Option<Arc<LivePicture>> {
        loop {
            self.newest.changed().await.ok()?;
            if let Some(picture) = self.newest.borrow_and_update().clone() {
                return Some(picture);
            }
        }
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let mut variants = lock(&self.hub.views.variants);
        if let Some(variant) = variants.iter_mut().find(|v| v.width == self.width)
            && let Some(at) = variant.rates.iter().position(|r| *r == self.rate)
        {
            variant.rates.swap_remove(at);
        }
        variants.retain(|v| !v.rates.is_empty());
    }
}

impl ViewHub {
    /// A new viewer, of pictures at most `width` across and at most `fps` a second.
    pub(super) fn subscribe(shared: &Arc<Shared>, width: Option<u32>, fps: Option<f32>) -> View {
        let rate = fps.unwrap_or(f32::INFINITY);
        // So that nobody can have a picture made for each of a thousand widths.
        let width = width.map(|width| (width - width % STEP).max(32));
        let mut variants = lock(&shared.views.variants);
        let at = variants.iter().position(|v| v.width == width).unwrap_or_else(|| {
            variants.push(Variant {
                width,
                newest: Arc::new(watch::channel(None).0),
                rates: Vec::new(),
                last: Pts::MIN,
            });
            variants.len() - 1
        });
        variants[at].rates.push(rate);
        // The first picture is the next one made, whatever rate the others asked for.
        variants[at].last = Pts::MIN;
        let newest = variants[at].newest.subscribe();
        View { hub: Arc::clone(shared), width, rate, newest }
    }

    /// How many watch.
    pub(super) fn viewers(&self) -> usize {
        lock(&self.variants).iter().map(|v| v.rates.len()).sum()
    }

    /// Whether a picture of this time would be shown to anyone.
    pub(super) fn wants(&self, pts: Pts) -> bool {
        lock(&self.variants).iter().any(|v| v.is_due(pts))
    }

    /// Hands over a frame; one that was not taken yet is replaced.
    pub(super) fn show(&self, frame: Arc<Frame>, notice: bool, counters: &Counters) {
        let replaced = lock(&self.slot).frame.replace((frame, notice));
        if replaced.is_some() {
            counters.viewer_busy.one();
        }
        self.filled.notify_one();
    }

    /// Gives a picture of the camera's size, which `make` has as JPEG without it being decoded, to the viewers of that size. Without
    /// one they stay to be served.
    pub(super) fn pass_on(&self, camera: Resolution, moment: Moment, make: impl FnOnce() -> Option<Bytes>) {
        let mut variants = lock(&self.variants);
        let whole = |v: &&mut Variant| v.is_due(moment.pts) && v.width.is_none_or(|width| width >= camera.width);
        let mut due = variants.iter_mut().filter(whole).peekable();
        if due.peek().is_none() {
            return;
        }
        let Some(jpeg) = make() else { return };
        let picture = Arc::new(LivePicture { jpeg, moment, notice: false });
        for variant in due {
            variant.last = moment.pts;
            variant.newest.send_replace(Some(Arc::clone(&picture)));
        }
    }

    /// Ends every subscription and the view thread.
    pub(super) fn close(&self) {
        lock(&self.slot).closed = true;
        self.filled.notify_all();
        lock(&self.variants).clear();
    }

    fn wait(&self) -> Option<(Arc<Frame>, bool)> {
        let mut slot = lock(&self.slot);
        loop {
            if slot.closed {
                return None;
            }
            if let Some(frame) = slot.frame.take() {
                return Some(frame);
            }
            slot = self.filled.wait(slot).unwrap_or_else(|e| e.into_inner());
        }
    }

    fn due(&self, pts: Pts) -> Vec<(Option<u32>, Arc<Newest>)> {
        let mut variants = lock(&self.variants);
        let due = variants.iter_mut().filter(|v| v.is_due(pts));
        due.map(|v| {
            v.last = pts;
            (v.width, Arc::clone(&v.newest))
        })
        .collect()
    }
}

/// The view thread: compresses the newest frame once per size. Ends when the hub is closed.
pub(super) fn run(hub: &ViewHub, counters: &Counters, camera: &str) {
    let pool = FramePool::default();
    let mut scaler = Scaler::default();
    let mut encoder = JpegEncoder::new(QUALITY);
    while let Some((frame, notice)) = hub.wait() {
        for (width, newest) in hub.due(frame.moment.pts) {
            let made = counters.view.time(|| match width.filter(|w| *w < frame.size().width) {
                None => encoder.encode(&frame),
                Some(width) => {
                    let target = narrowed(frame.size(), width);
                    encoder.encode(&scaler.scale(&frame, target, &pool))
                }
            });
            match made {
                Ok(jpeg) => {
                    newest.send_replace(Some(Arc::new(LivePicture { jpeg, moment: frame.moment, notice })));
                }
                Err(error) => tracing::warn!(camera, "a picture for viewers could not be made: {error}"),
            }
        }
    }
}

/// `size` made `width` across, even in both directions.
fn narrowed(size: Resolution, width: u32) -> Resolution {
    let height = (f64::from(size.height) * f64::from(width) / f64::from(size.width) / 2.0).round() as u32 * 2;
    Resolution::new((width & !1).max(2), height.max(2))
}

/// A subscription to the camera's own JPEGs, passed on as they came.
pub struct RawView {
    shared: Arc<Shared>,
    end: watch::Receiver<u64>,
    last: Pts,
}

impl RawView {
    pub(super) fn new(shared: &Arc<Shared>) -> Self {
        let mut end = shared.jpegs.watch();
        // The newest picture there is comes first, without waiting for the next.
        end.mark_changed();
        shared.raw_viewers.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(shared), end, last: Pts::MIN }
    }

    /// Waits for a picture newer than the last one; `None` when the camera is shut down.
    pub async fn next(&mut self) -> Option<Jpeg> {
        loop {
            self.end.changed().await.ok()?;
            if self.shared.is_stopping() {
                return None;
            }
            let newest = self.shared.jpegs.newest().filter(|jpeg| jpeg.moment.pts > self.last);
            if let Some(jpeg) = newest {
                self.last = jpeg.moment.pts;
                return Some(jpeg);
            }
        }
    }
}

impl Drop for RawView {
    fn drop(&mut self) {
        self.shared.raw_viewers.fetch_sub(1, Ordering::Relaxed);
    }
}
