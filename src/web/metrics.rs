//! Counters and states of all cameras for Prometheus, in the OpenMetrics text format. Nothing is kept here: each scrape
//! reads what the cameras count themselves.

use std::fmt::Error;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use super::Web;
use super::extract::blocking;
use super::problem::Problem;
use super::uploads;
use crate::pipeline::counters::Counter;
use crate::pipeline::{State as CameraState, Status};

const TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[utoipa::path(get, path = "/metrics", tag = "daemon", operation_id = "metrics", summary = "Counters and states for Prometheus",
    responses((status = 200, body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn show(State(web): State<Arc<Web>>) -> Result<impl IntoResponse, Problem> {
    let text = blocking(move || {
        let mut registry = Registry::with_prefix("watchtower");
        registry.register_collector(Box::new(Scrape(web)));
        let mut text = String::new();
        text::encode(&mut text, &registry).map(|()| text)
    });
    let text = text.await?.map_err(|error| Problem::internal("The metrics could not be written", error))?;
    Ok(([(CONTENT_TYPE, TYPE)], text))
}

struct Scrape(Arc<Web>);

impl std::fmt::Debug for Scrape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Scrape")
    }
}

/// What the name of a camera's counters means, and which label tells those of one name apart.
const COUNTERS: &[(&str, &str, &str)] = &[
    ("frames", "kind", "Pictures of the camera"),
    ("frames_skipped", "reason", "Pictures that went no further"),
    ("access_units_skipped", "reason", "Encoded pictures that were not kept"),
    ("camera_reopened", "", "Times the camera had to be opened again"),
    ("events", "", "Events that started"),
    ("events_missed", "", "Events that a sink had no room for, since it hung"),
    ("light_changes", "", "Sudden changes of the light that were recognised"),
    ("encoder_fallbacks", "", "Times a hardware encoder failed and software went on"),
];

type Gauge = (&'static str, &'static str, fn(&Status) -> Option<f64>);

const GAUGES: &[Gauge] = &[
    ("camera_up", "1 while the camera does what it should", |s| flag(s.state != CameraState::Degraded)),
    ("camera_monitoring", "1 while motion starts recordings", |s| flag(s.monitoring)),
    ("camera_recording", "1 while an event is recorded", |s| flag(s.recording.is_some())),
    ("camera_fps", "Pictures a second, measured", |s| Some(f64::from(s.fps))),
    ("camera_viewers", "Live viewers", |s| Some(s.viewers as f64)),
    ("camera_frame_age_seconds", "Age of the newest picture", |s| s.frame_age_s.map(f64::from)),
    ("camera_brightness_percent", "The light sensor's last value", |s| s.brightness.map(f64::from)),
    ("camera_encode_speed", "Encoding speed in times real time", |s| s.encode_speed.map(f64::from)),
];

fn flag(set: bool) -> Option<f64> {
    Some(f64::from(u8::from(set)))
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Scrape(web) = self;
        let build = [("version", env!("CARGO_PKG_VERSION"))];
        let mut metric = encoder.encode_descriptor("build", "What is running", None, MetricType::Info)?;
        metric.encode_info(&build)?;
        if let Ok(space) = web.store.space() {
            gauge(&mut encoder, "disk_free_bytes", "Room on the recordings' file system", space.free_bytes)?;
            gauge(&mut encoder, "disk_total_bytes", "Size of the recordings' file system", space.total_bytes)?;
        }
        if let Some(uploads) = &web.uploads {
            uploads::encode(&uploads.report(), &mut encoder)?;
        }
        let states: Vec<(&str, Status)> = web.cameras.values().map(|c| (c.name(), c.status())).collect();
        for (name, help, read) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for (camera, status) in &states {
                if let Some(value) = read(status) {
                    ConstGauge::new(value).encode(metric.encode_family(&[("camera", *camera)])?)?;
                }
            }
        }
        for (name, label, help) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (camera, value, counter) in self.counters(name) {
                if let Counter::Count(count) = counter {
                    let labels = [("camera", camera), (label, value)];
                    let labels = if label.is_empty() { &labels[..1] } else { &labels[..] };
                    ConstCounter::new(count.get()).encode(metric.encode_family(&labels)?)?;
                }
            }
        }
        self.stages(&mut encoder, "stage_runs", "How often a stage ran", |runs, _| runs as f64)?;
        self.stages(&mut encoder, "stage_seconds", "Time a stage took in all", |_, total_s| total_s)
    }
}

impl Scrape {
    /// All cameras' counters of one name, with the camera and the label's value.
    fn counters<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'static str, Counter<'a>)> {
        let cameras = self.0.cameras.values();
        cameras.flat_map(move |camera| {
            let counters = camera.counters().all().filter(move |(metric, ..)| *metric == name);
            counters.map(|(_, value, counter)| (camera.name(), value, counter))
        })
    }

    fn stages(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        name: &str,
        help: &str,
        read: fn(u64, f64) -> f64,
    ) -> Result<(), Error> {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (camera, value, counter) in self.counters("stage") {
            if let Counter::Stage(stage) = counter {
                let labels = [("camera", camera), ("stage", value)];
                ConstCounter::new(read(stage.runs(), stage.total_s())).encode(metric.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

pub(super) fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> Result<(), Error> {
    let metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    ConstGauge::new(value).encode(metric)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::Counters;

    #[test]
    fn every_counter_is_shown() {
        for (name, label, _) in Counters::default().all() {
            let known =
                name == "stage" || COUNTERS.iter().any(|(n, key, _)| *n == name && key.is_empty() == label.is_empty());
            assert!(known, "{name} {label}");
        }
    }
}
