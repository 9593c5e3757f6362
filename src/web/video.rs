//! A recording as MP4 for players: whole or in parts, made while it is sent. How it is made is in `recording::playback`.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, LOCATION,
    RANGE,
};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures_util::stream;
use headers::{ETag, HeaderMapExt, IfNoneMatch, IfRange};
use http_range_header::{EndPosition, RangeUnsatisfiableError, StartPosition, parse_range_header};
use serde::Deserialize;

use super::Web;
use super::extract::{Asked, Camera, Named, blocking};
use super::problem::Problem;
use super::recordings::RecordingPath;
use crate::recording::playback::Playback;

#[derive(Deserialize)]
pub(super) struct Options {
    /// The first so many pictures.
    until: Option<usize>,
}

#[utoipa::path(get, path = "/api/recordings/{day}/{time}/video.mp4", tag = "camera", operation_id = "mp4", summary = "The video as MP4",
    params(("day" = String, Path, description = "The day, YYYY-MM-DD", example = "2026-03-01"), ("time" = String, Path, description = "The time, HH.MM.SS", example = "12.25.43"),
        ("until" = Option<usize>, Query, minimum = 1, description = "The first so many pictures")),
    responses((status = 200, body = Vec<u8>, content_type = "video/mp4"), (status = 206, body = Vec<u8>, content_type = "video/mp4"),
        (status = 304, description = "The client has it"), (status = 307, description = "It is being written: as far as it is, with `until`"),
        (status = 404, description = "There is none, or it is not so long"), (status = 409, description = "Another program made the video"),
        (status = 416, description = "The range begins after the end")))]
pub(super) async fn show(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Named(path): Named<RecordingPath>,
    Asked(options): Asked<Options>,
    method: Method,
    request: HeaderMap,
) -> Result<Response, Problem> {
    let id = path.parsed()?;
    if options.until == Some(0) {
        return Err(Problem::invalid("until: 1 picture at least."));
    }
    let name = camera.name().to_owned();
    let (playback, writing) = blocking(move || {
        // Asked first: one that ends in between is taken as it was.
        let writing = web.store.recording(&name, id)?.writing;
        Ok::<_, Problem>((web.store.playback(&name, id, options.until)?, writing))
    })
    .await??;
    if writing && options.until.is_none() {
        let until = format!("video.mp4?until={}", playback.pictures());
        return Ok((StatusCode::TEMPORARY_REDIRECT, [(LOCATION, until)]).into_response());
    }

    let length = playback.len();
    let tag = format!("\"{length:x}-{:08x}\"", playback.checksum());
    let etag: ETag = tag.parse().map_err(|_| Problem::internal("The video could not be named", &tag))?;
    let common = [
        (ETAG, tag),
        // A browser may keep it, and asks each time whether it still holds; nobody in between keeps anything.
        (CACHE_CONTROL, "private, no-cache".to_owned()),
        (ACCEPT_RANGES, "bytes".to_owned()),
    ];
    if is_known(&request, &common[0].1) {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    let wanted = match asked_range(&method, &request, &etag, length) {
        Asking::Whole => None,
        Asking::Part(range) => Some(range),
        Asking::Beyond => {
            let size = [(CONTENT_RANGE, format!("bytes */{length}"))];
            return Ok((common, size, Problem::not_satisfiable(length)).into_response());
        }
    };
    let disposition = format!("inline; filename=\"{};{};video.mp4\"", id.day_name(), id.time_name());
    let range = wanted.clone().unwrap_or(0..length);
    let described = [
        (CONTENT_TYPE, "video/mp4".to_owned()),
        (CONTENT_LENGTH, (range.end - range.start).to_string()),
        (CONTENT_DISPOSITION, disposition),
    ];
    let part = wanted.map(|range| {
        let place = format!("bytes {}-{}/{length}", range.start, range.end - 1);
        (StatusCode::PARTIAL_CONTENT, [(CONTENT_RANGE, place)])
    });
    let body = Body::from_stream(pieces(Arc::new(playback), range));
    Ok(match part {
        Some(part) => (part.0, common, described, part.1, body).into_response(),
        None => (common, described, body).into_response(),
    })
}

/// Whether the client has what this tag names already (RFC 9110, section 13.1.2).
pub(super) fn is_known(request: &HeaderMap, tag: &str) -> bool {
    let Ok(etag) = tag.parse::<ETag>() else { return false };
    request.typed_get::<IfNoneMatch>().is_some_and(|known| !known.precondition_passes(&etag))
}

/// What part of the MP4 a request is for.
#[derive(Debug, PartialEq)]
enum Asking {
    Whole,
    Part(Range<u64>),
    Beyond,
}

/// RFC 9110, section 14.2: a range that cannot be read, several ranges, and one of another version (`If-Range`) are as if
/// there were none.
fn asked_range(method: &Method, request: &HeaderMap, etag: &ETag, length: u64) -> Asking {
    let stale = match request.typed_try_get::<IfRange>() {
        Ok(None) => false,
        Ok(Some(known)) => known.is_modified(Some(etag), None),
        Err(_) => true,
    };
    let range = request.get(RANGE).and_then(|range| range.to_str().ok());
    let Some(range) = range.filter(|_| method == Method::GET && !stale) else { return Asking::Whole };
    let parsed = parse_range_header(range);
    let range = match parsed.as_ref().map(|parsed| parsed.ranges.as_slice()) {
        Ok([range]) => range,
        Err(RangeUnsatisfiableError::ZeroSuffix) => return Asking::Beyond,
        _ => return Asking::Whole,
    };
    let start = match range.start {
        StartPosition::Index(start) if start >= length => return Asking::Beyond,
        StartPosition::Index(start) => start,
        StartPosition::FromLast(bytes) => length.saturating_sub(bytes),
    };
    match range.end {
        EndPosition::Index(last) if last < start => Asking::Whole,
        EndPosition::Index(last) => Asking::Part(start..last.saturating_add(1).min(length)),
        EndPosition::LastByte => Asking::Part(start..length),
    }
}

/// Reads ahead by one piece, off the threads that serve others.
fn pieces(playback: Arc<Playback>, range: Range<u64>) -> impl stream::Stream<Item = io::Result<Bytes>> {
    stream::try_unfold((playback, range), async |(playback, range)| {
        if range.is_empty() {
            return Ok(None);
        }
        let (file, rest) = (Arc::clone(&playback), range.clone());
        let piece = tokio::task::spawn_blocking(move || file.read(rest)).await.map_err(io::Error::other)?;
        let piece = piece.inspect_err(|error| tracing::warn!("a video was cut off while it was sent: {error}"))?;
        if piece.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let next = range.start + piece.len() as u64..range.end;
        Ok(Some((Bytes::from(piece), (playback, next))))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use axum::http::HeaderValue;
    use axum::http::header::IF_RANGE;

    use super::*;

    #[test]
    fn ranges_as_the_standard_has_them() {
        let etag: ETag = "\"a\"".parse().unwrap();
        let asked = |range: &'static str| {
            let request = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(range))]);
            asked_range(&Method::GET, &request, &etag, 1000)
        };
        for (range, part) in [
            ("bytes=0-0", 0..1),
            ("bytes=0-", 0..1000),
            ("bytes=500-599", 500..600),
            ("bytes=999-", 999..1000),
            ("bytes=990-5000", 990..1000),
            ("bytes=-1", 999..1000),
            ("bytes=-5000", 0..1000),
        ] {
            assert_eq!(asked(range), Asking::Part(part), "{range}");
        }
        for range in ["bytes=1000-", "bytes=1000-1001", "bytes=-0"] {
            assert_eq!(asked(range), Asking::Beyond, "{range}");
        }
        for range in
            ["bytes=0-1,5-6", "bytes=0-1, 2000-", "bytes=", "bytes=a-b", "bytes=-", "bytes=9-8", "pages=1-2", "0-5", ""]
        {
            assert_eq!(asked(range), Asking::Whole, "{range}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_the_whole() {
        let etag: ETag = "\"a\"".parse().unwrap();
        let range = (RANGE, HeaderValue::from_static("bytes=0-0"));
        for (known, part) in [("\"a\"", true), ("\"b\"", false), ("W/\"a\"", false), ("nonsense", false)] {
            let request = HeaderMap::from_iter([range.clone(), (IF_RANGE, HeaderValue::from_static(known))]);
            let asked = asked_range(&Method::GET, &request, &etag, 1000);
            assert_eq!(asked == Asking::Part(0..1), part, "{known}: {asked:?}");
        }
        let head = asked_range(&Method::HEAD, &HeaderMap::from_iter([range]), &etag, 1000);
        assert_eq!(head, Asking::Whole, "ranges are GET's only");
    }
}
