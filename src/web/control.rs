//! Running a camera: is it watching, start and stop watching, record now. The forms of 1.x by GET, and by POST.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;

use super::extract::{Camera, blocking};
use super::problem::Problem;
use crate::pipeline::CameraHandle;

/// 1.x's answer.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Monitoring {
    monitoring: bool,
}

#[utoipa::path(get, path = "/api/status", tag = "camera", operation_id = "status", summary = "Whether motion starts recordings",
    responses((status = 200, body = Monitoring)))]
pub(super) async fn status(Camera(camera): Camera) -> Json<Monitoring> {
    Json(Monitoring { monitoring: camera.status().monitoring })
}

#[utoipa::path(method(get, post), path = "/api/start", tag = "camera", operation_id = "start", summary = "Watch for motion",
    responses((status = 200, body = Monitoring)))]
pub(super) async fn start(Camera(camera): Camera) -> Result<Json<Monitoring>, Problem> {
    set_monitoring(camera, true).await
}

#[utoipa::path(method(get, post), path = "/api/stop", tag = "camera", operation_id = "stop", summary = "Do not watch for motion",
    responses((status = 200, body = Monitoring)))]
pub(super) async fn stop(Camera(camera): Camera) -> Result<Json<Monitoring>, Problem> {
    set_monitoring(camera, false).await
}

async fn set_monitoring(camera: CameraHandle, on: bool) -> Result<Json<Monitoring>, Problem> {
    let saved = blocking(move || camera.set_monitoring(on)).await?;
    saved.map_err(|error| Problem::internal("Done, but it could not be saved for the next start", error))?;
    Ok(Json(Monitoring { monitoring: on }))
}

#[utoipa::path(method(get, post), path = "/api/record", tag = "camera", operation_id = "record", summary = "Record now",
    responses((status = 204, description = "It is being recorded"), (status = 503, description = "The camera gives no pictures")))]
pub(super) async fn record(Camera(camera): Camera) -> Result<StatusCode, Problem> {
    camera.record_now()?;
    Ok(StatusCode::NO_CONTENT)
}
