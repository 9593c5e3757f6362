//! How uploads stand: of a recording, for health and for Prometheus. What is sent and when is `upload`'s.

use std::fmt::Error;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use serde::Serialize;
use tokio::sync::broadcast::error::RecvError;

use super::Web;
use super::cameras::local;
use super::health::Verdict;
use super::metrics::gauge;
use crate::recording::store::Recording;
use crate::upload::spool::{EventKey, Losses};
use crate::upload::{DestinationReport, Report, State, Status};

/// How the upload of a recording stands.
pub(super) fn status(web: &Web, camera: &str, recording: &Recording) -> Status {
    let none = Status { state: State::None, cause: None, waiting_files: 0, oldest_unsent: None };
    let Some(uploads) = &web.uploads else { return none };
    // A disk that refused for a while made another recording of what went up as one.
    let parts =
        (0..=recording.part).rev().map(|part| EventKey { event: recording.event, part, camera: camera.to_owned() });
    parts.map(|key| uploads.status(&key)).find(|status| status.state != State::None).unwrap_or(none)
}

/// What is told of an upload.
#[derive(Serialize)]
struct News<'a> {
    camera: &'a str,
    /// The recording's.
    id: &'a str,
    #[serde(flatten)]
    status: Status,
}

/// Tells how uploads get on, until the daemon ends.
pub(super) async fn tell(web: &Web) {
    let Some(uploads) = &web.uploads else { return };
    let mut changes = uploads.subscribe();
    loop {
        let change = tokio::select! { change = changes.recv() => change, () = web.closed() => return };
        match change {
            Ok(key) => {
                if let Some(id) = uploads.recording(&key) {
                    let news = News { camera: &key.camera, id: &id, status: uploads.status(&key) };
                    web.feed.tell("upload", &key.camera, &news);
                }
            }
            // The next change tells how it stands.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return,
        }
    }
}

/// A loss is shown as a failure for so long.
const LOSS_COUNTS: Duration = Duration::from_secs(24 * 3600);

/// Failing where only the owner can help, or where something was lost not long ago.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct UploadHealth {
    pub(super) status: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// Bytes that wait on the disk, and how many may.
    spool_bytes: u64,
    spool_max_bytes: u64,
    /// Files that went unsent since the start because the spool was full, or that the disk did not take.
    lost_files: u64,
    destinations: Vec<Destination>,
}

#[derive(Serialize, utoipa::ToSchema)]
struct Destination {
    name: &'static str,
    status: Verdict,
    /// Why nothing is being sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    waiting_files: u64,
    waiting_bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_unsent: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_unsent_age_s: Option<u64>,
    /// Files that it will never take; they are set aside.
    refused_files: u64,
}

impl UploadHealth {
    pub(super) fn of(report: &Report) -> Self {
        let destinations: Vec<_> = report.destinations.iter().map(Destination::of).collect();
        let Losses { dropped, lost, last } = report.losses;
        let lost_files = dropped + lost;
        let mut causes: Vec<String> = destinations
            .iter()
            .filter(|destination| destination.status != Verdict::Ok)
            .filter_map(|destination| Some(format!("{}: {}", destination.name, destination.cause.as_ref()?)))
            .collect();
        if last.is_some_and(|last| age_s(last) < LOSS_COUNTS.as_secs()) {
            causes.push(format!("{lost_files} files went unsent: the spool was full, or the disk refused"));
        }
        Self {
            status: Verdict::of(causes.is_empty()),
            cause: (!causes.is_empty()).then(|| causes.join("; ")),
            spool_bytes: report.spool_bytes,
            spool_max_bytes: report.spool_max_bytes,
            lost_files,
            destinations,
        }
    }
}

impl Destination {
    fn of(report: &DestinationReport) -> Self {
        let DestinationReport { destination, backlog, trouble, refused, .. } = report;
        Self {
            name: destination.name(),
            status: Verdict::of(!trouble.as_ref().is_some_and(|trouble| trouble.account)),
            cause: trouble.as_ref().map(|trouble| trouble.cause.clone()),
            since: trouble.as_ref().map(|trouble| local(trouble.since)),
            waiting_files: backlog.files,
            waiting_bytes: backlog.bytes,
            oldest_unsent: backlog.oldest.map(local),
            oldest_unsent_age_s: backlog.oldest.map(age_s),
            refused_files: *refused,
        }
    }
}

fn age_s(since: Timestamp) -> u64 {
    Timestamp::now().duration_since(since).as_secs().try_into().unwrap_or(0)
}

type Read = fn(&DestinationReport) -> f64;

const GAUGES: &[(&str, &str, Read)] = &[
    ("upload_waiting_files", "Files that wait to be sent", |d| d.backlog.files as f64),
    ("upload_waiting_bytes", "Bytes on disk that wait to be sent", |d| d.backlog.bytes as f64),
    ("upload_oldest_unsent_seconds", "How long the oldest of them has waited", |d| {
        d.backlog.oldest.map_or(0.0, |since| age_s(since) as f64)
    }),
    ("upload_needs_owner", "1 while only the owner can make uploads go on", |d| {
        f64::from(u8::from(d.trouble.as_ref().is_some_and(|trouble| trouble.account)))
    }),
];

const COUNTERS: &[(&str, &str, Read)] = &[
    ("upload_files", "Files stored", |d| d.files as f64),
    ("upload_bytes", "Bytes stored, manifests included", |d| d.bytes as f64),
    ("upload_refused_files", "Files that the store will never take", |d| d.refused as f64),
    ("upload_failures", "Attempts that failed and were made again", |d| d.failures as f64),
];

/// Everything, in the names of Prometheus.
pub(super) fn encode(report: &Report, encoder: &mut DescriptorEncoder<'_>) -> Result<(), Error> {
    gauge(encoder, "upload_spool_bytes", "Bytes in the spool", report.spool_bytes)?;
    gauge(encoder, "upload_spool_max_bytes", "Bytes that the spool may hold", report.spool_max_bytes)?;
    for (name, help, value) in [
        ("upload_dropped_files", "Files that went unsent, since the spool was full", report.losses.dropped),
        ("upload_lost_files", "Files that the disk did not take", report.losses.lost),
    ] {
        ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)?;
    }
    for (name, help, read) in GAUGES {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for of in &report.destinations {
            let labels = [("destination", of.destination.name())];
            ConstGauge::new(read(of)).encode(metric.encode_family(&labels)?)?;
        }
    }
    for (name, help, read) in COUNTERS {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for of in &report.destinations {
            let labels = [("destination", of.destination.name())];
            ConstCounter::new(read(of)).encode(metric.encode_family(&labels)?)?;
        }
    }
    Ok(())
}
