//! A small picture of what triggered a recording. How it is made and kept is `pipeline::thumbnail`'s.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

use super::Web;
use super::extract::{Camera, Named, blocking};
use super::problem::Problem;
use super::recordings::RecordingPath;
use super::video::is_known;
use crate::pipeline::thumbnail;
use crate::recording::store::StoreError;

#[utoipa::path(get, path = "/api/recordings/{day}/{time}/thumb.jpg", tag = "camera", operation_id = "thumbnail", summary = "A small picture of the trigger",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 304, description = "The client has it"), (status = 404, description = "There is none")))]
pub(super) async fn show(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let id = path.parsed()?;
    let (store, name) = (Arc::clone(&web.store), camera.name().to_owned());
    let jpeg = match blocking(move || thumbnail::kept(&store, &name, id)).await? {
        Err(StoreError::NotFound) => {
            // One at a time: a list of old recordings asks for many, and the cameras need the processor more.
            let place = Arc::clone(&web.thumbnails).acquire_owned().await;
            let store = Arc::clone(&web.store);
            blocking(move || {
                // The work goes on when the client leaves, so it holds the place and not the request.
                let _place = place;
                thumbnail::made(&store, camera.name(), id)
            })
            .await??
        }
        kept => kept?,
    };
    let tag = format!("\"{:x}-{:08x}\"", jpeg.len(), crc32fast::hash(&jpeg));
    let known = is_known(&request, &tag);
    // It never changes, and only the browser that was shown it may keep it.
    let common = [(ETAG, tag), (CACHE_CONTROL, "private, max-age=86400".to_owned())];
    Ok(match known {
        true => (StatusCode::NOT_MODIFIED, common).into_response(),
        false => (common, [(CONTENT_TYPE, "image/jpeg")], jpeg).into_response(),
    })
}
