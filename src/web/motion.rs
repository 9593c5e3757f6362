//! Motion settings of a camera over HTTP. What they may be is `config`'s, who goes by them the detector.

use axum::Json;
use serde::Serialize;

use super::extract::{Camera, JsonBody, blocking};
use super::problem::Problem;
use crate::config::{MotionConfig, Zone};
use crate::pipeline::CameraHandle;
use crate::settings::MotionChange;

/// What is in force, and what the configuration says.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MotionSettings)]
pub(super) struct Motion {
    #[serde(flatten)]
    now: Values,
    /// What `null` goes back to.
    defaults: Values,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MotionValues)]
struct Values {
    /// 0 to 1: how small a change of a pixel counts.
    sensitivity: f32,
    /// 0 to 1: the smallest connected changed part of the picture that triggers.
    min_trigger_area: f32,
    /// Consecutive analysed pictures with motion before it triggers.
    min_frames: u32,
    zones: Vec<Zone>,
}

impl Values {
    fn of((motion, zones): (MotionConfig, Vec<Zone>)) -> Self {
        let MotionConfig { sensitivity, min_trigger_area, min_frames, .. } = motion;
        Self { sensitivity, min_trigger_area, min_frames, zones }
    }
}

fn describe(camera: &CameraHandle) -> Json<Motion> {
    Json(Motion { now: Values::of(camera.motion()), defaults: Values::of(camera.declared_motion()) })
}

#[utoipa::path(get, path = "/api/motion", tag = "camera", operation_id = "motion", summary = "Motion settings and zones",
    responses((status = 200, body = Motion)))]
pub(super) async fn show(Camera(camera): Camera) -> Json<Motion> {
    describe(&camera)
}

#[utoipa::path(patch, path = "/api/motion", tag = "camera", operation_id = "changeMotion", summary = "Change motion settings and zones",
    request_body = MotionChange, responses((status = 200, body = Motion)))]
pub(super) async fn change(
    Camera(camera): Camera,
    JsonBody(change): JsonBody<MotionChange>,
) -> Result<Json<Motion>, Problem> {
    let changed = camera.clone();
    blocking(move || changed.tune(&change)).await??;
    Ok(describe(&camera))
}
