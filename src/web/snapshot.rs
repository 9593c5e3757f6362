//! One picture of the moment.

use std::time::Duration;

use axum::http::header::{CONTENT_TYPE, HeaderName};
use axum::response::IntoResponse;
use serde::Deserialize;

use super::cameras::local;
use super::extract::{Asked, Camera};
use super::mjpeg::checked_width;
use super::problem::Problem;

/// A camera that gives nothing for this long has no picture of the moment.
const PATIENCE: Duration = Duration::from_secs(5);
const TAKEN_AT: HeaderName = HeaderName::from_static("x-taken-at");

#[derive(Deserialize)]
pub(super) struct Options {
    width: Option<u32>,
}

pub(super) async fn show(Camera(camera): Camera, Asked(options): Asked<Options>) -> Result<impl IntoResponse, Problem> {
    let mut view = camera.view(checked_width(options.width)?, None);
    match tokio::time::timeout(PATIENCE, view.next()).await {
        Ok(Some(picture)) => {
            let taken_at = local(picture.moment.wall);
            Ok(([(CONTENT_TYPE, "image/jpeg".to_owned()), (TAKEN_AT, taken_at)], picture.jpeg.clone()))
        }
        Ok(None) => Err(Problem::unavailable("The daemon is ending.")),
        Err(_) => {
            let cause = camera.status().degraded.unwrap_or_else(|| "none came in time".into());
            Err(Problem::unavailable(format!("The camera gives no pictures: {cause}.")))
        }
    }
}
