//! Is everything as it should be, with the evidence: for people and for whatever watches the daemon.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Serialize;

use super::Web;
use super::cameras::rounded;
use super::extract::blocking;
use super::problem::Problem;
use crate::pipeline::{self, CameraHandle, EncodeMode};
use crate::recording::store::Space;

/// With room for less than this, the next recordings may be the last.
const LEAST_HOURS: f64 = 0.25;

#[derive(Serialize)]
pub(super) struct Health {
    status: Verdict,
    version: &'static str,
    cameras: Vec<Camera>,
    disk: Disk,
    /// Whether the wall clock is set by the network; unknown without systemd's time service.
    clock_synchronised: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Failing,
}

impl Verdict {
    fn of(ok: bool) -> Self {
        if ok { Verdict::Ok } else { Verdict::Failing }
    }
}

#[derive(Serialize)]
struct Camera {
    name: String,
    status: Verdict,
    state: pipeline::State,
    /// Why it is failing.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// How old the newest picture is.
    frame_age_s: Option<f32>,
    fps: f32,
    /// How the encoders are used, and how many times faster than real time they are.
    encode_mode: EncodeMode,
    encode_speed: Option<f32>,
    /// What encodes each stream, or did last: `hardware` or `software`.
    encoders: BTreeMap<&'static str, &'static str>,
}

#[derive(Serialize)]
struct Disk {
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    free_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_bytes: Option<u64>,
    /// Hours of recording that fit into the free room when all cameras record.
    #[serde(skip_serializing_if = "Option::is_none")]
    hours: Option<f64>,
}

/// 200 when all is well, else 503; the evidence either way.
pub(super) async fn show(State(web): State<Arc<Web>>) -> Result<(StatusCode, Json<Health>), Problem> {
    let health = blocking(move || check(&web)).await?;
    let status = if health.status == Verdict::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok((status, Json(health)))
}

fn check(web: &Web) -> Health {
    let cameras: Vec<Camera> = web.cameras.values().map(camera).collect();
    let disk = match web.store.space() {
        Ok(space) => disk(space, web.recorded_kbit),
        Err(error) => {
            tracing::warn!("the recordings' file system does not answer: {error}");
            let cause = Some("The recordings' file system does not answer.");
            Disk { status: Verdict::Failing, cause, free_bytes: None, total_bytes: None, hours: None }
        }
    };
    let ok = disk.status == Verdict::Ok && cameras.iter().all(|camera| camera.status == Verdict::Ok);
    Health {
        status: Verdict::of(ok),
        version: env!("CARGO_PKG_VERSION"),
        cameras,
        disk,
        clock_synchronised: crate::clock::synchronised(),
    }
}

fn camera(camera: &CameraHandle) -> Camera {
    let status = camera.status();
    Camera {
        name: camera.name().to_owned(),
        status: Verdict::of(status.state != pipeline::State::Degraded),
        state: status.state,
        cause: status.degraded,
        frame_age_s: status.frame_age_s.map(rounded),
        fps: rounded(status.fps),
        encode_mode: status.encode_mode,
        encode_speed: status.encode_speed.map(rounded),
        encoders: status.encoders.into_iter().map(|(stream, kind)| (stream, kind.name())).collect(),
    }
}

fn disk(space: Space, kbit: u32) -> Disk {
    let bytes_per_hour = f64::from(kbit.max(1)) * 1000.0 / 8.0 * 3600.0;
    let hours = space.free_bytes as f64 / bytes_per_hour;
    let ok = hours >= LEAST_HOURS;
    Disk {
        status: Verdict::of(ok),
        cause: (!ok).then_some("The disk is nearly full."),
        free_bytes: Some(space.free_bytes),
        total_bytes: Some(space.total_bytes),
        hours: Some((hours * 100.0).round() / 100.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_told_in_hours_of_recording() {
        // 2000 kbit/s are 0.9 GB an hour.
        let space = |free_bytes| Space { total_bytes: 10_000_000_000, free_bytes };
        let roomy = disk(space(9_000_000_000), 2000);
        assert_eq!((roomy.hours, roomy.cause), (Some(10.0), None));
        let full = disk(space(90_000_000), 2000);
        assert!(full.status == Verdict::Failing && full.cause.is_some(), "6 minutes are not enough");
    }
}
