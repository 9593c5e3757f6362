//! The list of all cameras with what each is doing.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use serde::Serialize;

use super::Web;
use crate::media::Resolution;
use crate::pipeline::{self, CameraHandle};

/// One camera as the list shows it.
#[derive(Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct Camera {
    name: String,
    label: String,
    /// Where its interface is, relative to the daemon's root.
    prefix: String,
    /// Whether it is also served at the root.
    default: bool,
    state: pipeline::State,
    /// Why it is degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    monitoring: bool,
    recording: bool,
    /// Of the pictures as they are shown, turned.
    size: Option<Size>,
    fps: f32,
    viewers: usize,
    brightness: Option<u8>,
    last_event: Option<String>,
}

/// Pixels.
#[derive(Clone, PartialEq, Serialize, utoipa::ToSchema)]
pub(super) struct Size {
    width: u32,
    height: u32,
}

impl From<Resolution> for Size {
    fn from(size: Resolution) -> Self {
        Self { width: size.width, height: size.height }
    }
}

#[utoipa::path(get, path = "/api/cameras", tag = "daemon", operation_id = "cameras", summary = "All cameras and what they do",
    responses((status = 200, body = Vec<Camera>)))]
pub(super) async fn list(State(web): State<Arc<Web>>) -> Json<Vec<Camera>> {
    Json(web.cameras.values().map(|camera| describe(camera, *camera.name() == *web.default_camera)).collect())
}

pub(super) fn describe(camera: &CameraHandle, default: bool) -> Camera {
    let status = camera.status();
    Camera {
        name: camera.name().to_owned(),
        label: camera.label().to_owned(),
        prefix: format!("cameras/{}/", camera.name()),
        default,
        state: status.state,
        cause: status.degraded,
        monitoring: status.monitoring,
        recording: status.recording.is_some(),
        size: status.size.map(Size::from),
        fps: rounded(status.fps),
        viewers: status.viewers,
        brightness: status.brightness,
        last_event: status.last_event.map(local),
    }
}

impl Camera {
    /// Whether the camera does something else than before.
    pub(super) fn is_news(&self, before: &Self) -> bool {
        let does = |camera: &Self| (camera.state, camera.monitoring, camera.recording, camera.last_event.clone());
        does(self) != does(before)
    }

    /// Whether anything else is different; the measured rate, by what a person would notice.
    pub(super) fn has_other_values(&self, before: &Self) -> bool {
        let same_rate = (self.fps - before.fps).abs() <= 0.1 * before.fps + 0.05;
        *self != Self { fps: if same_rate { self.fps } else { before.fps }, ..before.clone() }
    }
}

/// To a hundredth: what is measured has no more meaning.
pub(super) fn rounded(value: f32) -> f32 {
    (value * 100.0).round() / 100.0
}

/// RFC 3339 with the offset of the local time, to the second.
pub(super) fn local(at: Timestamp) -> String {
    at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_carry_the_local_offset() {
        let at: Timestamp = "2026-03-01T12:00:00Z".parse().unwrap();
        let text = local(at);
        assert_eq!(text.parse::<Timestamp>().unwrap(), at, "{text}");
        assert!(text[19..].starts_with(['+', '-']), "{text} has an offset");
    }
}
