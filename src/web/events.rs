//! What happens, as server-sent events (WHATWG HTML, section 9.2): of one camera or of all.
//!
//! | event | of the moment or kept | tells |
//! | --- | --- | --- |
//! | `state` | kept, and of each camera at the beginning | a camera as `GET /api/cameras` lists it |
//! | `recording`, `upload` | kept | what became of a recording |
//! | `motion` | of the moment | where something moves; with `tuning=1` also what the detector sees otherwise |
//! | `reset` | once, if need be | that kept events were missed |
//!
//! A connection holds a place in the history ([`crate::feed`]) and no queue of its own. A listener that is too slow is told
//! `reset`. Who watches the cameras' states for all is [`watch_states`].

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::stream;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Interval, MissedTickBehavior};

use super::Web;
use super::cameras::{self, describe};
use super::extract::{Asked, Camera};
use super::live::UNBUFFERED;
use super::problem::Problem;
use crate::feed::Next;
use crate::media::Region;
use crate::pipeline::{CameraHandle, Seen, SightView};
use crate::recording::id::RecordingId;
use crate::recording::store::Change;

/// Connections at a time: each browser tab has one.
pub(super) const LISTENERS: usize = 64;
/// How often the detectors are asked.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Motion is told at most this often.
const MOTION_GAP: Duration = Duration::from_millis(200);
/// A connection that is silent for longer looks dead to proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A client whose connection breaks comes back after this.
const RETRY: Duration = Duration::from_secs(2);

#[derive(Deserialize)]
pub(super) struct Options {
    /// 1: what the detector sees, also when nothing moves.
    tuning: Option<u8>,
    /// As the header `Last-Event-ID`, which a page cannot set.
    last_event_id: Option<String>,
}

#[utoipa::path(get, path = "/api/events", tag = "daemon", operation_id = "allEvents", summary = "Server-sent events of all cameras, endless",
    params(("tuning" = Option<u8>, Query, maximum = 1, description = "1: what the detector sees, also when nothing moves"),
        ("last_event_id" = Option<String>, Query, description = "As the header `Last-Event-ID`: where to go on")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 503, description = "Too many listen")))]
pub(super) async fn all(
    State(web): State<Arc<Web>>,
    Asked(options): Asked<Options>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let cameras = web.cameras.values().cloned().collect();
    listen(web, cameras, None, &options, &headers)
}

#[utoipa::path(get, path = "/cameras/{camera}/api/events", tag = "daemon", operation_id = "events", summary = "Server-sent events of one camera, endless",
    params(("camera" = String, Path, description = "The camera's name"), ("tuning" = Option<u8>, Query, maximum = 1, description = "1: what the detector sees, also when nothing moves"),
        ("last_event_id" = Option<String>, Query, description = "As the header `Last-Event-ID`: where to go on")),
    responses((status = 200, body = String, content_type = "text/event-stream"), (status = 404, description = "There is no such camera"), (status = 503, description = "Too many listen")))]
pub(super) async fn of_camera(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Asked(options): Asked<Options>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let only = camera.name().to_owned();
    listen(web, vec![camera], Some(only), &options, &headers)
}

fn listen(
    web: Arc<Web>,
    cameras: Vec<CameraHandle>,
    only: Option<String>,
    options: &Options,
    headers: &HeaderMap,
) -> Result<Response, Problem> {
    let tuning = match options.tuning {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(Problem::invalid("tuning: 0 or 1.")),
    };
    let place = Arc::clone(&web.listeners).try_acquire_owned().map_err(|_| Problem::too_many_listeners())?;
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok()).or(options.last_event_id.as_deref());
    // A number that cannot be read was not given here: nothing is known to come after it.
    let last = last.filter(|id| !id.is_empty()).map(|id| id.parse().unwrap_or(u64::MAX));
    let told = web.feed.watch();
    let mut looks = tokio::time::interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let watched = cameras.iter().map(|camera| Watched {
        name: camera.name().to_owned(),
        sights: camera.sights(tuning),
        sent: None,
        moving: false,
    });
    let mut listener = Listener {
        _place: place,
        after: web.feed.newest(),
        told,
        watched: watched.collect(),
        looks,
        only,
        tuning,
        ready: VecDeque::from([Event::default().retry(RETRY)]),
        web,
    };
    listener.resume(last, &cameras);
    let events = stream::unfold(listener, async |mut listener| {
        let event = listener.next().await?;
        Some((Ok::<_, Infallible>(event), listener))
    });
    Ok(([UNBUFFERED], Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))).into_response())
}

struct Listener {
    _place: OwnedSemaphorePermit,
    web: Arc<Web>,
    /// The number of the last message that was sent.
    after: u64,
    told: watch::Receiver<u64>,
    watched: Vec<Watched>,
    looks: Interval,
    /// The camera, where it is about one only.
    only: Option<String>,
    tuning: bool,
    ready: VecDeque<Event>,
}

/// A camera whose detector is watched.
struct Watched {
    name: String,
    sights: SightView,
    /// When motion was told last.
    sent: Option<Instant>,
    /// Whether something moved then.
    moving: bool,
}

impl Listener {
    /// What the listener missed since `last`, and how the cameras are now.
    fn resume(&mut self, last: Option<u64>, cameras: &[CameraHandle]) {
        if let Some(last) = last {
            self.after = last;
            self.drain();
        }
        for camera in cameras {
            let state = describe(camera, *camera.name() == *self.web.default_camera);
            self.ready.push_back(event("state", &state).id(self.after.to_string()));
        }
    }

    /// Takes over what was told since.
    fn drain(&mut self) {
        loop {
            match self.web.feed.next(&mut self.after) {
                Next::Message(message) if self.only.as_ref().is_none_or(|only| *only == message.camera) => {
                    let event = Event::default().event(message.name).id(message.id.to_string());
                    self.ready.push_back(event.data(&message.data));
                }
                Next::Message(_) => {}
                Next::Lost => {
                    for Watched { name, .. } in &self.watched {
                        self.ready.push_back(event("reset", &Reset { camera: name }).id(self.after.to_string()));
                    }
                }
                Next::Nothing => return,
            }
        }
    }

    /// The next event; `None` when the daemon ends.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            tokio::select! {
                told = self.told.changed() => {
                    told.ok()?;
                    self.drain();
                }
                _ = self.looks.tick() => self.look(),
                () = self.web.closed() => return None,
            }
        }
    }

    fn look(&mut self) {
        for watched in &mut self.watched {
            if watched.sent.is_some_and(|sent| sent.elapsed() < MOTION_GAP) {
                continue;
            }
            let Some(seen) = watched.sights.newer() else { continue };
            // Once more when it has ended, so that boxes can be taken away.
            if seen.sight.motion || watched.moving || self.tuning {
                watched.sent = Some(Instant::now());
                watched.moving = seen.sight.motion;
                self.ready.push_back(event("motion", &Motion::of(&watched.name, &seen, self.tuning)));
            }
        }
    }
}

/// An event whose data is JSON.
fn event(name: &str, data: &impl Serialize) -> Event {
    // Structs of numbers, texts and lists always serialise.
    Event::default().event(name).data(serde_json::to_string(data).unwrap_or_default())
}

/// What a `reset` says: load lists again.
#[derive(Serialize)]
struct Reset<'a> {
    camera: &'a str,
}

/// What a `motion` says.
#[derive(Serialize)]
struct Motion<'a> {
    camera: &'a str,
    at: String,
    /// The largest connected changed area where it counts, as a part of the picture.
    changed: f32,
    /// The area that makes it motion.
    threshold: f32,
    /// Where something moves; empty when it has stopped.
    regions: Vec<Region>,
    #[serde(flatten)]
    tuning: Option<Tuning>,
}

/// What more is said while tuning.
#[derive(Serialize)]
struct Tuning {
    motion: bool,
    /// The scene is being learned, or its light is changing: nothing is motion.
    settling: bool,
    light_changed: bool,
    /// Cells of the detector's grid, across and down.
    columns: usize,
    rows: usize,
    /// One bit for each cell that differs from the still scene, row by row, the first in the highest bit; base64.
    cells: String,
}

impl<'a> Motion<'a> {
    fn of(camera: &'a str, seen: &Seen, tuning: bool) -> Self {
        let sight = &seen.sight;
        let tuning = seen.cells.as_ref().filter(|_| tuning).map(|cells| Tuning {
            motion: sight.motion,
            settling: sight.settling,
            light_changed: sight.light_changed,
            columns: cells.columns,
            rows: cells.rows,
            cells: BASE64_STANDARD.encode(&cells.changed),
        });
        Self {
            camera,
            at: to_the_millisecond(seen.moment.wall),
            changed: rounded(sight.changed),
            threshold: rounded(seen.threshold),
            regions: sight.regions.clone(),
            tuning,
        }
    }
}

/// A millionth of the picture is less than a pixel.
fn rounded(part: f32) -> f32 {
    (part * 1e6).round() / 1e6
}

fn to_the_millisecond(at: Timestamp) -> String {
    at.to_zoned_datetime(TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}

/// What a `recording` says.
#[derive(Serialize)]
struct RecordingNews<'a> {
    camera: &'a str,
    state: Change,
    id: String,
    day: String,
    time: String,
}

/// Tells of a recording; for [`crate::recording::store::Store::observe`].
pub(super) fn tell_recording(feed: &crate::feed::Feed, camera: &str, id: RecordingId, change: Change) {
    let news = RecordingNews { camera, state: change, id: id.to_string(), day: id.day_name(), time: id.time_name() };
    feed.tell("recording", camera, &news);
}

/// How soon a change of state is told.
const STATES_EVERY: Duration = Duration::from_millis(250);
/// What changes all the time is told at most this often.
const VALUES_EVERY: Duration = Duration::from_secs(1);

/// Tells how the cameras are whenever that changes, until the daemon ends.
pub(super) async fn watch_states(web: &Web) {
    let mut due = tokio::time::interval(STATES_EVERY);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known: Vec<Option<(cameras::Camera, Instant)>> = web.cameras.iter().map(|_| None).collect();
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = web.closed() => return,
        }
        for (camera, known) in web.cameras.values().zip(&mut known) {
            let now = describe(camera, *camera.name() == *web.default_camera);
            let Some((before, told)) = known else {
                // Whoever connects is told anyway.
                *known = Some((now, Instant::now()));
                continue;
            };
            if now.is_news(before) || (told.elapsed() >= VALUES_EVERY && now.has_other_values(before)) {
                web.feed.tell("state", camera.name(), &now);
                *known = Some((now, Instant::now()));
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::media::{Moment, Pts};
    use crate::motion::{Cells, Sight};

    #[test]
    fn motion_tells_its_time_and_while_tuning_its_cells() {
        let moment = Moment { pts: Pts(0), wall: "2026-01-02T03:04:05.6789Z".parse().unwrap(), brightness: None };
        let cells = Cells { columns: 4, rows: 3, changed: vec![0b1000_0000, 0b0001_0000] };
        let sight = Sight { changed: 0.012_345_678, ..Sight::default() };
        let seen = Seen { moment, sight, threshold: 0.001, cells: Some(cells) };
        let told = serde_json::to_value(Motion::of("front", &seen, true)).unwrap();
        let at: Timestamp = told["at"].as_str().unwrap().parse().unwrap();
        assert_eq!(at.as_millisecond(), 1_767_323_045_678);
        assert_eq!((told["columns"].as_u64(), told["cells"].as_str()), (Some(4), Some("gBA=")));
        assert_eq!(told["changed"].as_f64().map(|part| (part * 1e6).round()), Some(12346.0));
        let plain = serde_json::to_value(Motion::of("front", &seen, false)).unwrap();
        assert_eq!(
            plain.as_object().unwrap().keys().collect::<Vec<_>>(),
            ["at", "camera", "changed", "regions", "threshold"]
        );
    }
}
