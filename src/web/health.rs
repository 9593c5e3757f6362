//! Is everything as it should be, with the evidence: for people and for whatever watches the daemon.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;

use super::Web;
use super::cameras::rounded;
use super::extract::blocking;
use super::problem::Problem;
use super::uploads::UploadHealth;
use crate::machine;
use crate::pipeline::{self, CameraHandle, Counters, EncodeMode};
use crate::pki::Certificate;
use crate::recording::store::Space;
use crate::serial::{self, Phase};

/// From here on a Raspberry Pi slows its processor down (raspberrypi.com, config.txt, `temp_limit`).
const TOO_HOT_CELSIUS: f32 = 85.0;
/// The fan's service writes its state every 10 s unless told otherwise.
const FAN_SILENT: Duration = Duration::from_secs(300);
/// With room for less than this, the next recordings may be the last.
const LEAST_HOURS: f64 = 0.25;

#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Health {
    status: Verdict,
    version: &'static str,
    cameras: Vec<Camera>,
    disk: Disk,
    /// The server's certificate of the daemon's own TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<ServerCertificate>,
    /// One for each store that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    uploads: Option<UploadHealth>,
    /// The machine itself.
    machine: Machine,
    /// Seconds since the daemon started.
    uptime_s: u64,
    /// Whether the wall clock is set by the network; unknown without systemd's time service.
    clock_synchronised: Option<bool>,
}

#[derive(Clone, Copy, PartialEq, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Failing,
}

impl Verdict {
    pub(super) fn of(ok: bool) -> Self {
        if ok { Verdict::Ok } else { Verdict::Failing }
    }
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = CameraHealth)]
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
    encoder: Encoder,
    /// The light, its sensor and the servo, where the camera has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<Serial>,
    /// What encodes each stream, or did last: `hardware` or `software`.
    encoders: BTreeMap<&'static str, &'static str>,
}

/// What was lost between camera and disk since the start: no number should grow.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = EncoderHealth)]
struct Encoder {
    /// Pictures that no encoder had room for, or that had left the ring before they were encoded.
    skipped: u64,
    /// Pictures that an encoder refused.
    failed: u64,
    /// Access units that did not get to the disk.
    unwritten: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = SerialHealth)]
struct Serial {
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// How far service and controller are.
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
    /// Whether the controller has confirmed all that is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<bool>,
    /// What the light sensor says, 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    brightness: Option<u8>,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MachineHealth)]
struct Machine {
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    /// The processor's temperature, in degrees.
    #[serde(skip_serializing_if = "Option::is_none")]
    celsius: Option<f32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fan: Option<Fan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<Memory>,
}

/// What `watchtower fan` wrote last.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = FanHealth)]
struct Fan {
    on: bool,
    celsius: Option<f32>,
    /// How old this is.
    age_s: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = MemoryHealth)]
struct Memory {
    /// What the daemon holds.
    resident_bytes: u64,
    /// What the machine could still give.
    available_bytes: u64,
    total_bytes: u64,
}

#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = DiskHealth)]
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

#[derive(Serialize, utoipa::ToSchema)]
struct ServerCertificate {
    status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days_left: Option<i64>,
}

/// 200 when all is well, else 503; the evidence either way.
#[utoipa::path(get, path = "/healthz", tag = "daemon", operation_id = "health", summary = "Whether all is well, with the evidence",
    responses((status = 200, body = Health), (status = 503, body = Health, description = "Something is not")))]
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
    let certificate = web.options.listen_tls.as_ref().map(|tls| certificate(&tls.certificate, Timestamp::now()));
    let machine = machine(machine::celsius(), machine::fan(), machine::memory());
    let uploads = web.uploads.as_ref().map(|uploads| UploadHealth::of(&uploads.report()));
    let ok = disk.status == Verdict::Ok
        && machine.status == Verdict::Ok
        && certificate.as_ref().is_none_or(|certificate| certificate.status == Verdict::Ok)
        && cameras.iter().all(|camera| camera.status == Verdict::Ok)
        && uploads.as_ref().is_none_or(|uploads| uploads.status == Verdict::Ok);
    Health {
        status: Verdict::of(ok),
        version: env!("CARGO_PKG_VERSION"),
        cameras,
        disk,
        certificate,
        uploads,
        machine,
        uptime_s: web.since.elapsed().as_secs(),
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
        encoder: encoder(camera.counters()),
        encoders: status.encoders.into_iter().map(|(stream, kind)| (stream, kind.name())).collect(),
        serial: camera.serial().map(serial),
    }
}

fn encoder(counters: &Counters) -> Encoder {
    Encoder {
        skipped: counters.encoder_busy.get() + counters.encoder_lapped.get(),
        failed: counters.encode_failed.get(),
        unwritten: counters.writer_lapped.get() + counters.writer_skipped.get(),
    }
}

fn serial(status: Option<serial::Status>) -> Serial {
    let cause = match &status {
        None => Some("The microcontroller's service does not answer."),
        Some(status) if status.problem.is_some() => Some("The serial port is not there."),
        Some(_) => None,
    };
    Serial {
        status: Verdict::of(cause.is_none()),
        cause,
        phase: status.as_ref().map(|status| status.phase),
        settled: status.as_ref().map(|status| status.settled),
        brightness: status.and_then(|status| status.brightness),
    }
}

fn machine(celsius: Option<f32>, fan: Option<machine::Fan>, memory: Option<machine::Memory>) -> Machine {
    let cause = if celsius.is_some_and(|celsius| celsius >= TOO_HOT_CELSIUS) {
        Some("The processor is too hot and slows itself down.")
    } else if fan.as_ref().is_some_and(|fan| fan.problem.is_some()) {
        Some("The fan's service cannot read the temperature, or not switch the fan.")
    } else if fan.as_ref().is_some_and(|fan| fan.age > FAN_SILENT) {
        Some("The fan's service does not run.")
    } else {
        None
    };
    Machine {
        status: Verdict::of(cause.is_none()),
        cause,
        celsius: celsius.map(rounded),
        fan: fan.map(|fan| Fan { on: fan.on, celsius: fan.celsius.map(rounded), age_s: fan.age.as_secs() }),
        memory: memory.map(|memory| Memory {
            resident_bytes: memory.resident,
            available_bytes: memory.available,
            total_bytes: memory.total,
        }),
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

/// As it is in the file: what is served is that one, or an older one where that one is no good.
fn certificate(path: &Path, now: Timestamp) -> ServerCertificate {
    let read = std::fs::read(path).map_err(|error| error.to_string());
    match read.and_then(|text| Certificate::from_pem(&text).map_err(|error| error.to_string())) {
        Ok(certificate) => {
            let cause = match certificate.not_after <= now {
                true => Some("The TLS certificate has expired: renew it."),
                false => certificate.ends_soon(now).then_some("The TLS certificate expires soon: renew it."),
            };
            ServerCertificate {
                status: Verdict::of(cause.is_none()),
                cause,
                expires: Some(certificate.not_after),
                days_left: Some(certificate.days_left(now)),
            }
        }
        Err(error) => {
            tracing::warn!("{}: {error}", path.display());
            let cause = Some("The TLS certificate's file cannot be read.");
            ServerCertificate { status: Verdict::Failing, cause, expires: None, days_left: None }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::pki::authority::{Authority, Key, Purpose};

    #[test]
    fn a_certificate_that_ends_soon_fails_before_it_locks_anybody_out() {
        let now = Timestamp::now();
        let (authority, _) = Authority::create("Test", now).unwrap();
        let server = Purpose::Server(vec!["camera.example".into()]);
        let pem = authority.issue("camera", &server, &Key::generate().unwrap(), 100, now).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), pem).unwrap();
        let after = |days: i64| certificate(file.path(), now + jiff::SignedDuration::from_hours(24 * days));
        let fresh = after(0);
        assert_eq!((fresh.cause, fresh.days_left), (None, Some(99)));
        assert!(after(80).status == Verdict::Ok);
        assert!(after(90).status == Verdict::Failing && after(90).cause.unwrap().contains("soon"));
        assert!(after(101).cause.unwrap().contains("expired") && after(101).days_left == Some(-2));
        std::fs::write(file.path(), "nothing").unwrap();
        assert!(after(0).status == Verdict::Failing);
    }

    #[test]
    fn heat_and_a_fan_that_is_not_looked_after_are_faults() {
        let fan = |problem: Option<&str>, age_s| machine::Fan {
            on: true,
            celsius: Some(50.0),
            problem: problem.map(str::to_owned),
            age: Duration::from_secs(age_s),
        };
        let verdict = |celsius, fan| machine(celsius, fan, None).status == Verdict::Ok;
        assert!(verdict(None, None) && verdict(Some(84.0), Some(fan(None, 12))));
        assert!(!verdict(Some(85.0), None));
        assert!(!verdict(Some(50.0), Some(fan(Some("no sensor"), 12))));
        assert!(!verdict(Some(50.0), Some(fan(None, 3600))));
    }

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
