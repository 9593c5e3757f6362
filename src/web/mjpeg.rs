//! The live stream of JPEGs as `multipart/x-mixed-replace`, in the form of 1.x.
//!
//! Each viewer takes the newest picture when its connection has room for one, so a slow one loses pictures and delays
//! nobody. Who makes the pictures is `pipeline::view`'s.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use futures_util::stream;
use serde::Deserialize;

use super::Web;
use super::extract::{Asked, Camera};
use super::problem::Problem;
use crate::media::{Moment, Pts};
use crate::pipeline::{RawView, View};

#[derive(Deserialize)]
pub(super) struct Options {
    /// Pictures a second at most.
    fps: Option<f32>,
    /// Pixels across at most.
    width: Option<u32>,
    /// `base64`, or the JPEG's own bytes.
    encoding: Option<String>,
    /// 1: the camera's own JPEGs, passed on.
    raw: Option<u8>,
}

/// Widths that a viewer may ask for.
const WIDTHS: std::ops::RangeInclusive<u32> = 32..=3840;

/// The width if there can be pictures of it.
pub(super) fn checked_width(width: Option<u32>) -> Result<Option<u32>, Problem> {
    match width {
        Some(width) if !WIDTHS.contains(&width) => {
            Err(Problem::invalid(format!("width: {} to {} pixels.", WIDTHS.start(), WIDTHS.end())))
        }
        width => Ok(width),
    }
}

#[utoipa::path(get, path = "/mjpeg", tag = "camera", operation_id = "mjpeg", summary = "Live pictures, endless",
    params(
        ("fps" = Option<f32>, Query, minimum = 0.01, maximum = 120, description = "At most so many pictures a second"),
        ("width" = Option<u32>, Query, minimum = 32, maximum = 3840, description = "At most so many pixels across"),
        ("encoding" = Option<String>, Query, description = "`base64`, or the JPEGs' own bytes"),
        ("raw" = Option<u8>, Query, maximum = 1, description = "1: the camera's own JPEGs; not with `width`")),
    responses((status = 200, body = Vec<u8>, content_type = "multipart/x-mixed-replace"), (status = 409, description = "The camera gives no JPEGs of its own")))]
pub(super) async fn stream(
    State(web): State<Arc<Web>>,
    Camera(camera): Camera,
    Asked(options): Asked<Options>,
) -> Result<Response, Problem> {
    if options.fps.is_some_and(|fps| !(0.01..=120.0).contains(&fps)) {
        return Err(Problem::invalid("fps: 0.01 to 120 pictures a second."));
    }
    let width = checked_width(options.width)?;
    let raw = match options.raw {
        None | Some(0) => false,
        Some(1) if width.is_some() => return Err(Problem::invalid("raw pictures come in the camera's own width.")),
        Some(1) => true,
        Some(_) => return Err(Problem::invalid("raw: 0 or 1.")),
    };
    let source = if raw {
        let view = camera.raw();
        Source::Raw(view.ok_or_else(|| Problem::conflict("This camera gives no JPEGs of its own to pass on."))?)
    } else {
        Source::Annotated(camera.view(width, options.fps))
    };
    let viewer = Viewer {
        web,
        source,
        pace: Pace::new(options.fps),
        base64: options.encoding.as_deref() == Some("base64"),
        ready: VecDeque::from([Bytes::from_static(b"--FRAME\r\n")]),
    };
    let body = Body::from_stream(stream::unfold(viewer, async |mut viewer| {
        let piece = viewer.piece().await?;
        Some((Ok::<_, Infallible>(piece), viewer))
    }));
    Ok(([(CONTENT_TYPE, "multipart/x-mixed-replace; boundary=FRAME")], body).into_response())
}

enum Source {
    Annotated(View),
    Raw(RawView),
}

impl Source {
    async fn next(&mut self) -> Option<(Bytes, Moment)> {
        match self {
            Source::Annotated(view) => view.next().await.map(|picture| (picture.jpeg.clone(), picture.moment)),
            Source::Raw(view) => view.next().await.map(|jpeg| (jpeg.bytes, jpeg.moment)),
        }
    }
}

struct Viewer {
    web: Arc<Web>,
    source: Source,
    pace: Pace,
    base64: bool,
    /// The rest of the picture that is being sent.
    ready: VecDeque<Bytes>,
}

impl Viewer {
    /// The next piece of the body. A new picture is taken only when the last one has been taken whole.
    async fn piece(&mut self) -> Option<Bytes> {
        if self.ready.is_empty() {
            let (jpeg, moment) = tokio::select! {
                picture = Self::due(&mut self.source, &mut self.pace) => picture?,
                () = self.web.closed() => return None,
            };
            let jpeg = if self.base64 { Bytes::from(BASE64_STANDARD.encode(&jpeg)) } else { jpeg };
            self.ready.extend([head(jpeg.len(), &moment), jpeg, Bytes::from_static(END)]);
        }
        self.ready.pop_front()
    }

    async fn due(source: &mut Source, pace: &mut Pace) -> Option<(Bytes, Moment)> {
        loop {
            let (jpeg, moment) = source.next().await?;
            if pace.is_due(moment.pts) {
                return Some((jpeg, moment));
            }
        }
    }
}

/// A part's head. 1.x's page reads the picture from behind the number of `Content-Length`, so that line is the last.
fn head(length: usize, moment: &Moment) -> Bytes {
    let taken_at = moment.wall.as_microsecond() as f64 / 1e6;
    Bytes::from(format!("Content-Type: image/jpeg\r\nX-Timestamp: {taken_at:.6}\r\nContent-Length: {length}\r\n\r\n"))
}

/// The next part's boundary comes with the picture: browsers show one only when they have seen what follows.
const END: &[u8] = b"\r\n--FRAME\r\n";

/// What a camera's pictures come early by.
const EARLY: Duration = Duration::from_millis(10);

/// Which pictures a viewer gets who asked for fewer.
struct Pace {
    gap: Option<Duration>,
    due: Pts,
}

impl Pace {
    fn new(fps: Option<f32>) -> Self {
        Self { gap: fps.map(|fps| Duration::from_secs_f32(1.0 / fps)), due: Pts::MIN }
    }

    /// A little early is in time: pictures do not come to the tick. A pause is not made up for.
    fn is_due(&mut self, pts: Pts) -> bool {
        let Some(gap) = self.gap else { return true };
        if pts + EARLY.min(gap / 10) < self.due {
            return false;
        }
        let next = self.due + gap;
        self.due = if next > pts { next } else { pts + gap };
        true
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn shown(camera_fps: f64, asked: Option<f32>, seconds: f64) -> usize {
        let mut pace = Pace::new(asked);
        let frames = (camera_fps * seconds) as usize;
        (0..frames).filter(|i| pace.is_due(Pts::from_secs_f64(*i as f64 / camera_fps))).count()
    }

    #[test]
    fn a_viewer_gets_the_rate_asked_for_and_never_more_than_there_is() {
        assert_eq!(shown(30.0, None, 10.0), 300);
        assert_eq!(shown(30.0, Some(30.0), 10.0), 300);
        assert_eq!(shown(15.0, Some(30.0), 10.0), 150);
        assert_eq!(shown(30.0, Some(0.5), 10.0), 5);
        for (camera, asked) in [(30.0, 15.0), (30.0, 10.0), (25.0, 12.0), (30.0, 7.0), (29.97, 4.0)] {
            let rate = shown(camera, Some(asked), 100.0) as f32 / 100.0;
            assert!((rate - asked).abs() <= asked * 0.1, "{rate} of {asked} asked, {camera} there");
        }
    }

    #[test]
    fn a_pause_is_not_made_up_for() {
        let mut pace = Pace::new(Some(10.0));
        assert!(pace.is_due(Pts::from_secs_f64(0.0)));
        assert!(pace.is_due(Pts::from_secs_f64(9.0)));
        assert!(!pace.is_due(Pts::from_secs_f64(9.03)));
    }

    #[test]
    fn the_length_is_the_last_line_of_a_parts_head() {
        let moment = Moment { pts: Pts(0), wall: "2026-01-02T03:04:05.5Z".parse().unwrap(), brightness: None };
        let expected = "Content-Type: image/jpeg\r\nX-Timestamp: 1767323045.500000\r\nContent-Length: 7\r\n\r\n";
        assert_eq!(head(7, &moment), expected);
    }
}
