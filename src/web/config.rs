//! Picture settings of a camera over HTTP. What they mean and who does them is `settings`'s.

use axum::Json;

use super::extract::{Camera, JsonBody, blocking};
use super::problem::Problem;
use crate::settings::{Change, PictureSettings, Setting};

pub(super) async fn show(Camera(camera): Camera) -> Json<PictureSettings> {
    Json(camera.settings())
}

pub(super) async fn change(
    Camera(camera): Camera,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<PictureSettings>, Problem> {
    let settings = blocking(move || camera.apply(&change)).await??;
    Ok(Json(settings))
}

pub(super) async fn schema(Camera(camera): Camera) -> Json<Vec<Setting>> {
    Json(camera.schema())
}
