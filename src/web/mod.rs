//! The HTTP interface: which path is answered by which file, and what all of them share.
//!
//! | file | noun |
//! | --- | --- |
//! | `control` | start, stop, record, status of a camera |
//! | `cameras` | the list of all cameras |
//! | `config`, `motion` | picture settings, motion settings |
//! | `recordings` | list, download, protect, delete |
//! | `video`, `thumbnail` | a recording as MP4, and a small picture of it |
//! | `mjpeg`, `live`, `snapshot` | live pictures |
//! | `events` | what happens, as server-sent events |
//! | `health`, `metrics` | evidence for people and for monitoring |
//! | `uploads` | how uploads stand, for `recordings`, `health` and `metrics` |
//! | `openapi` | all of it, described |
//! | `page` | the embedded web app |
//! | `identity` | who asks |
//! | `tls` | the daemon's own TLS |
//! | `access`, `problem`, `extract`, `listen` | rules, errors, requests, sockets: no paths of their own |
//!
//! Handlers only translate: what a camera does is `pipeline`'s, what is kept `recording`'s. What users read about it is
//! `ancillary/docs/api.md`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, patch, post};
use tokio::sync::{Semaphore, watch};

use self::access::{administer, operate};
use crate::config::{Config, Web as Options};
use crate::feed::Feed;
use crate::pipeline::CameraHandle;
use crate::recording::store::Store;
use crate::upload::Uploads;

mod access;
mod cameras;
mod config;
mod control;
mod events;
mod extract;
mod health;
mod identity;
mod listen;
mod live;
mod metrics;
mod mjpeg;
mod motion;
mod openapi;
mod page;
mod problem;
mod recordings;
mod snapshot;
mod thumbnail;
mod tls;
mod uploads;
mod video;

pub use listen::{ListenError, Listener};

/// What the interface is about; every handler has it.
pub struct Web {
    options: Options,
    cameras: BTreeMap<String, CameraHandle>,
    /// The camera that is served at the root: one of `cameras`.
    default_camera: String,
    /// What all cameras together record at most, in kbit/s: what the disk's room is measured by.
    recorded_kbit: u32,
    store: Arc<Store>,
    /// What happens, for whoever listens.
    feed: Arc<Feed>,
    /// Places of those who listen.
    listeners: Arc<Semaphore>,
    /// Place for whoever makes a thumbnail.
    thumbnails: Arc<Semaphore>,
    /// Where something is uploaded.
    uploads: Option<Arc<Uploads>>,
    /// When the daemon started.
    since: Instant,
    /// Turns true when the daemon ends, and with it every endless answer.
    closing: watch::Receiver<bool>,
}

impl Web {
    /// An interface to these cameras of this configuration, until `closing` turns true. What `feed` is told it passes on,
    /// and adds what cameras and recordings do.
    pub fn new(
        config: &Config,
        store: Arc<Store>,
        feed: Arc<Feed>,
        cameras: impl IntoIterator<Item = CameraHandle>,
        closing: watch::Receiver<bool>,
    ) -> Self {
        let told = Arc::clone(&feed);
        store.observe(move |camera, id, change| events::tell_recording(&told, camera, id, change));
        Self {
            options: config.web.clone(),
            cameras: cameras.into_iter().map(|camera| (camera.name().to_owned(), camera)).collect(),
            default_camera: config.default_camera.clone(),
            recorded_kbit: config.cameras.values().map(|camera| camera.disk.kbit).sum(),
            store,
            feed,
            listeners: Arc::new(Semaphore::new(events::LISTENERS)),
            thumbnails: Arc::new(Semaphore::new(1)),
            uploads: None,
            since: Instant::now(),
            closing,
        }
    }

    /// Shows how uploads stand too.
    pub fn with_uploads(mut self, uploads: Option<Arc<Uploads>>) -> Self {
        self.uploads = uploads;
        self
    }

    /// Resolves when the daemon ends.
    async fn closed(&self) {
        // Without a sender, nobody is left to keep serving for.
        let _ = self.closing.clone().wait_for(|closing| *closing).await;
    }
}

/// Serves on all of them until [`Web::new`]'s `closing` turns true; what is in transfer then has a few seconds to end.
pub async fn serve(listeners: Vec<Listener>, web: Web) {
    let web = Arc::new(web);
    let router = router(&web);
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        let (router, web) = (router.clone(), Arc::clone(&web));
        serving.spawn(async move { listener.serve(router, web.closed()).await });
    }
    serving.spawn({
        let web = Arc::clone(&web);
        async move { events::watch_states(&web).await }
    });
    serving.spawn({
        let web = Arc::clone(&web);
        async move { uploads::tell(&web).await }
    });
    while serving.join_next().await.is_some() {}
}

fn router(web: &Arc<Web>) -> Router {
    let mut router = Router::new()
        .route("/api/cameras", get(cameras::list))
        .route("/api/openapi.json", get(openapi::show))
        .route("/api/events", get(events::all))
        .route("/cameras/{camera}/api/events", get(events::of_camera))
        .route("/healthz", get(health::show))
        .route("/metrics", get(metrics::show))
        .merge(camera_routes(""))
        .merge(camera_routes("/cameras/{camera}"));
    if web.options.web_app {
        router = router.merge(page::routes());
    }
    router
        .method_not_allowed_fallback(problem::no_such_method)
        .fallback(problem::no_such_path)
        .layer(from_fn_with_state(Arc::clone(web), access::guard))
        .with_state(Arc::clone(web))
}

/// What is served for one camera, below `prefix`.
fn camera_routes(prefix: &str) -> Router<Arc<Web>> {
    let at = |path: &str| format!("{prefix}{path}");
    let recording = |part: &str| format!("{prefix}/api/recordings/{{day}}/{{time}}{part}");
    Router::new()
        .route(&at("/api/identity"), get(identity::show))
        .route(&at("/api/status"), get(control::status))
        .route(&at("/api/start"), operate(get(control::start).post(control::start)))
        .route(&at("/api/stop"), operate(get(control::stop).post(control::stop)))
        .route(&at("/api/record"), operate(get(control::record).post(control::record)))
        .route(&at("/api/config"), get(config::show).merge(administer(post(config::change))))
        .route(&at("/api/config/schema"), get(config::schema))
        .route(&at("/api/motion"), get(motion::show).merge(administer(patch(motion::change))))
        .route(&at("/api/snapshot.jpg"), get(snapshot::show))
        .route(&at("/mjpeg"), get(mjpeg::stream))
        .route(&at("/live.mp4"), get(live::stream))
        .route(&at("/api/recordings"), get(recordings::list))
        .route(
            &at("/api/recordings/{day}"),
            get(recordings::list_day).merge(administer(delete(recordings::delete_day))),
        )
        .route(&recording(""), administer(delete(recordings::delete)).merge(operate(patch(recordings::change))))
        .route(&recording("/trigger"), get(recordings::trigger))
        .route(&recording("/video"), get(recordings::video))
        .route(&recording("/recording"), get(recordings::video))
        .route(&recording("/video.mp4"), get(video::show))
        .route(&recording("/thumb.jpg"), get(thumbnail::show))
}
