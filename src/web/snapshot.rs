//! One picture of the moment.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::cameras::local;
use super::extract::{Asked, Camera};
use super::mjpeg::checked_width;
use super::problem::Problem;

/// A picture older than this is not of the moment, and a camera that gives none for this long has none.
const PATIENCE: Duration = Duration::from_secs(5);
const TAKEN_AT: HeaderName = HeaderName::from_static("x-taken-at");

#[derive(Deserialize)]
pub(super) struct Options {
    width: Option<u32>,
}

#[utoipa::path(get, path = "/api/snapshot.jpg", tag = "camera", operation_id = "snapshot", summary = "The newest picture",
    params(("width" = Option<u32>, Query, minimum = 32, maximum = 3840, description = "At most so many pixels across")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 503, description = "The camera gives no pictures")))]
pub(super) async fn show(Camera(camera): Camera, Asked(options): Asked<Options>) -> Result<impl IntoResponse, Problem> {
    let width = checked_width(options.width)?;
    // Viewers of a camera that is gone are shown a notice; a script should be told.
    let age_s = camera.status().frame_age_s;
    if age_s.is_none_or(|age_s| age_s > PATIENCE.as_secs_f32()) {
        return Err(Problem::no_pictures());
    }
    let mut view = camera.view(width, None);
    match tokio::time::timeout(PATIENCE, view.next()).await {
        Ok(Some(picture)) if !picture.notice => {
            let taken_at = local(picture.moment.wall);
            Ok(([(CONTENT_TYPE, "image/jpeg".to_owned()), (TAKEN_AT, taken_at)], picture.jpeg.clone()))
        }
        _ => Err(Problem::no_pictures()),
    }
}
