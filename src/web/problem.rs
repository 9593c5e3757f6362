//! Every error a client can read, as `application/problem+json` (RFC 9457): the one place where errors become HTTP.
//!
//! What the client reads and what the log says differ: a client learns what to do, the log what happened and where. No
//! detail given here may name a path of the server's file system. Who raises an error is the other files' matter.

use std::fmt::Display;

use axum::http::header::{CONTENT_TYPE, HeaderValue};
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::pipeline::{ApplyError, NotReady};
use crate::recording::playback::PlaybackError;
use crate::recording::store::StoreError;

/// An error as the client reads it. The `type` is always `about:blank`, so the title is the status' own phrase
/// (RFC 9457, section 4.2.1).
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(super) struct Problem {
    title: &'static str,
    #[serde(serialize_with = "as_number")]
    #[schema(value_type = u16)]
    status: StatusCode,
    detail: String,
}

fn as_number<S: serde::Serializer>(status: &StatusCode, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u16(status.as_u16())
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { title: status.canonical_reason().unwrap_or("Error"), status, detail: detail.into() }
    }

    /// 400: the request cannot be read at all.
    pub(super) fn unreadable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 403: whoever asks may not.
    pub(super) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, detail)
    }

    /// 404: there is no such thing.
    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail)
    }

    /// 408: the client took too long to send its request.
    pub(super) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "The request's body did not arrive in time.")
    }

    /// 409: it exists, and its present state does not allow this.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    /// 413: more than anyone needs to send.
    pub(super) fn too_large(limit_bytes: usize) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, format!("A request's body may have {limit_bytes} bytes."))
    }

    /// 416: the part asked for begins after the end.
    pub(super) fn not_satisfiable(length_bytes: u64) -> Self {
        Self::new(StatusCode::RANGE_NOT_SATISFIABLE, format!("There are {length_bytes} bytes in all."))
    }

    /// 422: it can be read, and says something that is not possible.
    pub(super) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
    }

    /// 503: not before the camera is back. The cause may name a file or device, so it is left to `/healthz`.
    pub(super) fn no_pictures() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "The camera gives no pictures at the moment. /healthz and the daemon's log have the cause.",
        )
    }

    /// 503: as many listen as may.
    pub(super) fn too_many_listeners() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many clients listen for events: close some, or try again later.",
        )
    }

    /// 500: ours to mend. `what` was tried; the cause goes to the log alone.
    pub(super) fn internal(what: &'static str, cause: impl Display) -> Self {
        tracing::error!("{what}: {cause}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, format!("{what}. The daemon's log has the cause."))
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        const TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");
        let status = self.status;
        // A struct of a word, a number and a text always serialises.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        (status, [(CONTENT_TYPE, TYPE)], body).into_response()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::NotFound => Self::not_found("There is no such recording, or it has no such file."),
            StoreError::Protected => Self::conflict("The recording is protected: take the protection away first."),
            StoreError::BeingWritten => Self::conflict("The recording is still being written."),
            error @ StoreError::Io { .. } => Self::internal("The recordings' disk did not answer", error),
        }
    }
}

impl From<PlaybackError> for Problem {
    fn from(error: PlaybackError) -> Self {
        match error {
            PlaybackError::Store(error) => error.into(),
            PlaybackError::TooShort => Self::not_found("The recording has not so many pictures, or none at all yet."),
            PlaybackError::Foreign(cause) => {
                tracing::warn!("no MP4 of a recording: {cause}");
                Self::conflict(
                    "The video was made by another program, and cannot be shown as MP4. Download it as H.264.",
                )
            }
        }
    }
}

impl From<NotReady> for Problem {
    fn from(not_ready: NotReady) -> Self {
        tracing::warn!("{not_ready}");
        Self::no_pictures()
    }
}

impl From<ApplyError> for Problem {
    fn from(error: ApplyError) -> Self {
        match error {
            ApplyError::Fault(fault) => Self::invalid(fault.to_string()),
            ApplyError::Tuning(fault) => Self::invalid(format!("{fault}.")),
            ApplyError::Save(cause) => Self::internal("The settings could not be saved", cause),
        }
    }
}

/// For paths that are not served.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::not_found(format!("Nothing is served at {}.", uri.path()))
}

/// For paths that are served, by other methods.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, format!("{} does not take {method}.", uri.path()))
}
