//! Running a camera: is it watching, start and stop watching, record now. The forms of 1.x by GET, and by POST.

use axum::Json;
use axum::http::StatusCode;
use serde::Serialize;

use super::extract::{Camera, blocking};
use super::problem::Problem;
use crate::pipeline::CameraHandle;

/// 1.x's answer.
#[derive(Serialize)]
pub(super) struct Monitoring {
    monitoring: bool,
}

pub(super) async fn status(Camera(camera): Camera) -> Json<Monitoring> {
    Json(Monitoring { monitoring: camera.status().monitoring })
}

pub(super) async fn start(Camera(camera): Camera) -> Result<Json<Monitoring>, Problem> {
    set_monitoring(camera, true).await
}

pub(super) async fn stop(Camera(camera): Camera) -> Result<Json<Monitoring>, Problem> {
    set_monitoring(camera, false).await
}

async fn set_monitoring(camera: CameraHandle, on: bool) -> Result<Json<Monitoring>, Problem> {
    let saved = blocking(move || camera.set_monitoring(on)).await?;
    saved.map_err(|error| Problem::internal("Done, but it could not be saved for the next start", error))?;
    Ok(Json(Monitoring { monitoring: on }))
}

pub(super) async fn record(Camera(camera): Camera) -> Result<StatusCode, Problem> {
    camera.record_now()?;
    Ok(StatusCode::NO_CONTENT)
}
