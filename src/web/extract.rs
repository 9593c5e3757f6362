//! What handlers take from a request: the camera it is for, its query, its JSON body. Every refusal is a
//! [`Problem`](super::problem), where axum's own would be plain text.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, Path, Query, RawPathParams, Request};
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::Web;
use super::problem::Problem;
use crate::pipeline::CameraHandle;

/// The largest body that means anything here.
const BODY_LIMIT: usize = 64 * 1024;
/// A body has to arrive within this.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The camera a path is for: the one it names, else the default one.
pub(super) struct Camera(pub(super) CameraHandle);

impl FromRequestParts<Arc<Web>> for Camera {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, web).await;
        let params = params.map_err(|error| Problem::invalid(format!("{}.", error.body_text())))?;
        let name = params.iter().find(|(key, _)| *key == "camera").map_or(&*web.default_camera, |(_, name)| name);
        match web.cameras.get(name) {
            Some(camera) => Ok(Self(camera.clone())),
            None => Err(Problem::not_found("There is no camera of this name.")),
        }
    }
}

/// What a path names, by the names in its route; a camera's is left to [`Camera`].
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Web>> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, web: &Arc<Web>) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, web).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(error) => Err(Problem::invalid(format!("{}.", error.body_text()))),
        }
    }
}

/// A query. Names it does not know are left alone: pages add their own against caches.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Web>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Web>) -> Result<Self, Problem> {
        match Query::try_from_uri(&parts.uri) {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(error) => Err(Problem::invalid(format!("{}.", error.body_text()))),
        }
    }
}

/// A JSON body, whatever its declared type: 1.x's users send it by tools that say "form".
pub(super) struct JsonBody<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<Arc<Web>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<Web>) -> Result<Self, Problem> {
        let body = axum::body::to_bytes(request.into_body(), BODY_LIMIT);
        let body = tokio::time::timeout(BODY_TIMEOUT, body).await.map_err(|_| Problem::too_slow())?;
        let body = body.map_err(|_| Problem::too_large(BODY_LIMIT))?;
        let mut reader = serde_json::Deserializer::from_slice(&body);
        let read = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
            let key = error.path().to_string();
            (Some(key).filter(|key| key != "."), error.into_inner())
        });
        let read = read.and_then(|wanted| reader.end().map(|()| Self(wanted)).map_err(|error| (None, error)));
        read.map_err(|(key, error)| match (error.classify(), key) {
            (serde_json::error::Category::Data, Some(key)) => Problem::invalid(format!("{key} does not fit: {error}.")),
            (serde_json::error::Category::Data, None) => Problem::invalid(format!("The body does not fit: {error}.")),
            _ => Problem::unreadable(format!("The body is not JSON: {error}.")),
        })
    }
}

/// Runs what waits for the disk where waiting is allowed.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Problem::internal("The request failed", error))
}
