//! Recordings of a camera over HTTP: listed, downloaded, protected, deleted. What is kept and how is `recording`'s.
//!
//! Days and times from a path are parsed into a [`RecordingId`] before anything is done with them.

use std::fs::File;
use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::Web;
use super::cameras::{Size, local, rounded};
use super::extract::{Asked, Camera, JsonBody, Named, blocking};
use super::problem::Problem;
use super::uploads;
use crate::event::Cause;
use crate::recording::id::{RecordingId, day_name, parse_day, time_name};
use crate::recording::store::{Day, Query, Recording};
use crate::upload::Status;

/// Which recordings to list.
#[derive(Deserialize)]
pub(super) struct Options {
    since: Option<Moment>,
    until: Option<Moment>,
    limit: Option<usize>,
    details: Option<u8>,
}

/// A time with its offset (RFC 3339), or a day, which stands for its first moment in local time.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(try_from = "String")]
struct Moment(Timestamp);

impl TryFrom<String> for Moment {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const WRITE: &str =
            "a time is written 2026-03-01T12:00:00+01:00 (with + as %2B) or 2026-03-01T11:00:00Z, a day 2026-03-01";
        if let Ok(day) = parse_day(&text) {
            return day.to_zoned_datetime(TimeZone::system()).map(|start| Self(start.timestamp())).map_err(|_| WRITE);
        }
        text.parse().map(Self).map_err(|_| WRITE)
    }
}

/// A day as 1.x listed it, newest first.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Day)]
pub(super) struct Times {
    day: String,
    times: Vec<String>,
}

impl Times {
    fn of(day: Day) -> Self {
        Self { day: day_name(day.day), times: day.times.into_iter().map(time_name).collect() }
    }
}

/// A recording with what is known of it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Recording)]
pub(super) struct Details {
    /// Its path below `api/recordings/`.
    id: String,
    day: String,
    time: String,
    /// Number of the event; `None` for recordings of 1.x.
    event: Option<u64>,
    cause: Option<Cause>,
    start: String,
    trigger: String,
    duration_s: f32,
    /// All its files together.
    bytes: u64,
    size: Option<Size>,
    /// The largest changed part of the picture, 0 to 1.
    changed: f32,
    protected: bool,
    /// It is still being written.
    recording: bool,
    /// Whether the clock was right when it was made, or has been corrected since.
    times_known: bool,
    upload: Status,
}

impl Details {
    fn of(web: &Web, camera: &str, recording: Recording) -> Self {
        Self {
            upload: uploads::status(web, camera, &recording),
            id: recording.id.to_string(),
            day: recording.id.day_name(),
            time: recording.id.time_name(),
            event: (recording.event != 0).then_some(recording.event),
            cause: recording.cause,
            start: local(recording.start),
            trigger: local(recording.trigger),
            duration_s: rounded(recording.duration.as_secs_f32()),
            bytes: recording.bytes,
            size: recording.size.map(Size::from),
            changed: (recording.changed * 1e4).round() / 1e4,
            protected: recording.protected,
            recording: recording.writing,
            times_known: recording.times_known,
        }
    }
}

/// Days with their times, the form of 1.x; with `details` recordings.
#[derive(Serialize, utoipa::ToSchema)]
#[serde(untagged)]
pub(super) enum Listed {
    Days(Vec<Times>),
    Recordings(Vec<Details>),
}

/// Without `details` the form of 1.x: days with their times.
#[utoipa::path(get, path = "/api/recordings", tag = "camera", operation_id = "recordings", summary = "Recordings, newest first",
    params(
        ("since" = Option<String>, Query, description = "Only those with a picture at or after this time (RFC 3339) or day"),
        ("until" = Option<String>, Query, description = "Only those that start before this time or day"),
        ("limit" = Option<usize>, Query, description = "At most so many, the newest"),
        ("details" = Option<u8>, Query, maximum = 1, description = "1: what is known of each")),
    responses((status = 200, body = Listed)))]
pub(super) async fn list(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Asked(options): Asked<Options>,
) -> Result<Json<Listed>, Problem> {
    let details = match options.details {
        None | Some(0) => false,
        Some(1) => true,
        Some(_) => return Err(Problem::invalid("details: 0 or 1.")),
    };
    let (since, until) = (options.since.map(|m| m.0), options.until.map(|m| m.0));
    let query = Query { since, until, limit: options.limit };
    blocking(move || {
        let (store, camera) = (&web.store, camera.name());
        if details {
            let list = store.recordings(camera, &query).into_iter();
            return Listed::Recordings(list.map(|recording| Details::of(&web, camera, recording)).collect());
        }
        let days = if query == Query::default() {
            store.days(camera)
        } else {
            by_day(store.recordings(camera, &query).iter().map(|recording| recording.id))
        };
        Listed::Days(days.into_iter().map(Times::of).collect())
    })
    .await
    .map(Json)
}

fn by_day(ids: impl Iterator<Item = RecordingId>) -> Vec<Day> {
    let mut days: Vec<Day> = Vec::new();
    for id in ids {
        match days.last_mut() {
            Some(last) if last.day == id.day => last.times.push(id.time),
            _ => days.push(Day { day: id.day, times: vec![id.time] }),
        }
    }
    days
}

/// What a path names.
#[derive(Deserialize)]
pub(super) struct DayPath {
    day: String,
}

/// What a path names.
#[derive(Deserialize)]
pub(super) struct RecordingPath {
    day: String,
    time: String,
}

impl DayPath {
    fn parsed(&self) -> Result<Date, Problem> {
        parse_day(&self.day).map_err(|error| Problem::invalid(format!("In the path, {error}.")))
    }
}

impl RecordingPath {
    pub(super) fn parsed(&self) -> Result<RecordingId, Problem> {
        RecordingId::parse(&self.day, &self.time).map_err(|error| Problem::invalid(format!("In the path, {error}.")))
    }
}

#[utoipa::path(get, path = "/api/recordings/{day}", tag = "camera", operation_id = "day", summary = "Times of a day's recordings, newest first",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01")),
    responses((status = 200, body = Vec<String>), (status = 404, description = "There are none")))]
pub(super) async fn list_day(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<DayPath>,
) -> Result<Json<Vec<String>>, Problem> {
    let times = web.store.times(camera.name(), path.parsed()?);
    if times.is_empty() {
        return Err(Problem::not_found("There are no recordings of this day."));
    }
    Ok(Json(times.into_iter().map(time_name).collect()))
}

/// Deletes what may be deleted of the day; refuses only when that is nothing.
#[utoipa::path(delete, path = "/api/recordings/{day}", tag = "camera", operation_id = "deleteDay", summary = "Delete a day's recordings",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01")),
    responses((status = 204, description = "Gone, but for those that are protected or being written"), (status = 404, description = "There are none"),
        (status = 409, description = "All are protected or being written")))]
pub(super) async fn delete_day(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<DayPath>,
) -> Result<StatusCode, Problem> {
    let day = path.parsed()?;
    let done = blocking(move || web.store.delete_day(camera.name(), day)).await??;
    if done.deleted.is_empty() {
        return Err(Problem::conflict("Every recording of this day is protected or still being written."));
    }
    Ok(StatusCode::NO_CONTENT)
}

#[utoipa::path(delete, path = "/api/recordings/{day}/{time}", tag = "camera", operation_id = "delete", summary = "Delete a recording",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43")),
    responses((status = 204, description = "Gone"), (status = 404, description = "There is none"), (status = 409, description = "It is protected or being written")))]
pub(super) async fn delete(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
) -> Result<StatusCode, Problem> {
    let id = path.parsed()?;
    blocking(move || web.store.delete(camera.name(), id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

/// What may be changed of a recording.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Protection {
    protected: bool,
}

#[utoipa::path(patch, path = "/api/recordings/{day}/{time}", tag = "camera", operation_id = "protect", summary = "Protect a recording from being deleted",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43")), request_body = Protection,
    responses((status = 200, body = Details), (status = 404, description = "There is none")))]
pub(super) async fn change(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
    JsonBody(wanted): JsonBody<Protection>,
) -> Result<Response, Problem> {
    let id = path.parsed()?;
    let changed = move || {
        web.store.protect(camera.name(), id, wanted.protected)?;
        web.store.recording(camera.name(), id).map(|recording| Details::of(&web, camera.name(), recording))
    };
    Ok(Json(blocking(changed).await??).into_response())
}

#[utoipa::path(get, path = "/api/recordings/{day}/{time}/trigger", tag = "camera", operation_id = "trigger", summary = "The picture that triggered",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43")),
    responses((status = 200, body = Vec<u8>, content_type = "image/jpeg"), (status = 404, description = "There is none")))]
pub(super) async fn trigger(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
) -> Result<Response, Problem> {
    let id = path.parsed()?;
    let file = blocking(move || web.store.open_trigger(camera.name(), id)).await??;
    attachment(file, id, "trigger.jpg", "image/jpeg").await
}

#[utoipa::path(get, path = "/api/recordings/{day}/{time}/video", tag = "camera", operation_id = "video", summary = "The video as H.264 elementary stream",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43")),
    responses((status = 200, body = Vec<u8>, content_type = "video/h264"), (status = 404, description = "There is none")))]
pub(super) async fn video(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
) -> Result<Response, Problem> {
    let id = path.parsed()?;
    let file = blocking(move || web.store.open_video(camera.name(), id)).await??;
    attachment(file, id, "video.h264", "video/h264").await
}

/// Sends a file under 1.x's name for it: the bytes it has now, as one that is being written grows on meanwhile.
async fn attachment(file: File, id: RecordingId, name: &str, kind: &'static str) -> Result<Response, Problem> {
    /// Large enough that a disk reads in sequence, small enough for many clients.
    const CHUNK_BYTES: usize = 64 * 1024;
    let file = tokio::fs::File::from_std(file);
    let length = file.metadata().await.map_err(|error| Problem::internal("The file could not be read", error))?.len();
    let chunks = ReaderStream::with_capacity(file.take(length), CHUNK_BYTES);
    let disposition = format!("attachment; filename=\"{};{};{name}\"", id.day_name(), id.time_name());
    let head =
        [(CONTENT_TYPE, kind.to_owned()), (CONTENT_LENGTH, length.to_string()), (CONTENT_DISPOSITION, disposition)];
    Ok((head, Body::from_stream(chunks)).into_response())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_time_with_offset_or_a_local_day() {
        let moment = |text: &str| Moment::try_from(text.to_owned()).map(|Moment(at)| at);
        assert_eq!(moment("2026-03-01T12:00:00+01:00"), Ok("2026-03-01T11:00:00Z".parse().unwrap()));
        let midnight = Date::constant(2026, 3, 1).to_zoned_datetime(TimeZone::system()).unwrap();
        assert_eq!(moment("2026-03-01"), Ok(midnight.timestamp()));
        for text in ["", "yesterday", "2026-03-01T12:00:00", "2026-3-1"] {
            assert!(moment(text).is_err(), "{text}");
        }
    }

    #[test]
    fn recordings_are_put_together_by_day() {
        let ids = [("2026-03-02", "01.00.00"), ("2026-03-01", "23.00.00"), ("2026-03-01", "22.00.00")];
        let days = by_day(ids.iter().map(|(day, time)| RecordingId::parse(day, time).unwrap()));
        let names: Vec<_> = days.iter().map(|day| (day_name(day.day), day.times.len())).collect();
        assert_eq!(names, [("2026-03-02".into(), 1), ("2026-03-01".into(), 2)]);
    }
}
