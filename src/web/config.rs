//! Picture settings of a camera over HTTP. What they mean and who does them is `settings`'s.

use axum::Json;

use super::extract::{Camera, JsonBody, blocking};
use super::openapi::PictureChange;
use super::problem::Problem;
use crate::settings::{Change, PictureSettings, Setting};

#[utoipa::path(get, path = "/api/config", tag = "camera", operation_id = "settings", summary = "Picture settings",
    responses((status = 200, body = PictureSettings)))]
pub(super) async fn show(Camera(camera): Camera) -> Json<PictureSettings> {
    Json(camera.settings())
}

#[utoipa::path(post, path = "/api/config", tag = "camera", operation_id = "changeSettings", summary = "Change picture settings",
    request_body(content_type = "application/json", content = PictureChange), responses((status = 200, body = PictureSettings)))]
pub(super) async fn change(
    Camera(camera): Camera,
    JsonBody(change): JsonBody<Change>,
) -> Result<Json<PictureSettings>, Problem> {
    let settings = blocking(move || camera.apply(&change)).await??;
    Ok(Json(settings))
}

#[utoipa::path(get, path = "/api/config/schema", tag = "camera", operation_id = "settingsSchema",
    summary = "Which picture settings this camera has", responses((status = 200, body = Vec<Setting>)))]
pub(super) async fn schema(Camera(camera): Camera) -> Json<Vec<Setting>> {
    Json(camera.schema())
}
