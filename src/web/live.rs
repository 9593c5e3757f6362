//! Live H.264 as fragmented MP4: one access unit a fragment, without end.
//!
//! Each viewer takes the next access unit when its connection has room for one; what it is too slow for it misses, and
//! goes on with an IDR. Who encodes is `pipeline::live`'s, the boxes are `mp4`'s.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;

use super::Web;
use super::extract::Camera;
use super::problem::Problem;
use crate::media::{AccessUnit, Pts};
use crate::mp4::Fragments;
use crate::pipeline::LiveView;

/// A camera that gives nothing for this long has nothing to show.
const PATIENCE: Duration = Duration::from_secs(5);
/// nginx must not collect what is to be seen at once.
pub(super) const UNBUFFERED: (HeaderName, &str) = (HeaderName::from_static("x-accel-buffering"), "no");

#[utoipa::path(get, path = "/live.mp4", tag = "camera", operation_id = "live", summary = "Live H.264 as fragmented MP4, endless",
    responses((status = 200, body = Vec<u8>, content_type = "video/mp4"), (status = 503, description = "The camera gives no pictures")))]
pub(super) async fn stream(State(web): State<Arc<Web>>, Camera(camera): Camera) -> Result<Response, Problem> {
    let mut view = camera.live();
    let first = match tokio::time::timeout(PATIENCE, view.next()).await {
        Ok(Some(first)) => first,
        _ => return Err(Problem::no_pictures()),
    };
    let (fragments, head) =
        Fragments::start(&first).map_err(|error| Problem::internal("The pictures cannot be shown as MP4", error))?;
    let kind = format!("video/mp4; codecs=\"{}\"", fragments.codec());
    let ticks = Pts::HZ as u32 / camera.fps().max(1);
    let viewer = Viewer { web, view, fragments, ticks, head: Some(head), waiting: Some(first) };
    let body = Body::from_stream(stream::unfold(viewer, async |mut viewer| {
        let piece = viewer.piece().await?;
        Some((Ok::<_, Infallible>(piece), viewer))
    }));
    Ok(([(CONTENT_TYPE, kind)], [UNBUFFERED], body).into_response())
}

struct Viewer {
    web: Arc<Web>,
    view: LiveView,
    fragments: Fragments,
    /// How long a picture is shown, until the next one says better.
    ticks: u32,
    head: Option<Vec<u8>>,
    /// The first access unit, which the head was made of.
    waiting: Option<AccessUnit>,
}

impl Viewer {
    /// The next piece of the body; `None` at the end: of the daemon, or where the pictures change their size.
    async fn piece(&mut self) -> Option<Bytes> {
        let unit = match self.waiting.take() {
            Some(unit) => unit,
            None => tokio::select! {
                unit = self.view.next() => unit?,
                () = self.web.closed() => return None,
            },
        };
        if !self.fragments.takes(&unit) {
            return None;
        }
        let fragment = self.fragments.fragment(&unit, self.ticks);
        let fragment = fragment.inspect_err(|error| tracing::warn!("a live view ends: {error}")).ok()?;
        // The first picture comes with the head, in one piece.
        Some(Bytes::from(match self.head.take() {
            Some(head) => [head, fragment].concat(),
            None => fragment,
        }))
    }
}
