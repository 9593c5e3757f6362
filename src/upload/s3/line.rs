//! The transport of `object_store`: our own client, and what the store said last, which that crate's errors do not tell whole.
//!
//! Source of the codes: "Error responses" in Amazon's S3 API reference.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use reqwest::{Client, StatusCode};
use serde::Deserialize;

use crate::upload::https::{self, Answer, Meter};
use crate::upload::remote::PutError;

/// As much of a store's words as a log needs.
const WORDS: usize = 200;

/// The way to a store. Clones share what was said.
#[derive(Clone, Debug)]
pub(super) struct Line {
    client: Client,
    stall: Duration,
    sent_bytes: Meter,
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    said: Option<Said>,
    /// The longest body that is of use.
    expected_bytes: usize,
}

/// What became of a request.
#[derive(Clone, Debug)]
pub(super) enum Said {
    /// No answer.
    Broken(String),
    /// An answer that is no success.
    No {
        status: StatusCode,
        after: Option<Duration>,
        /// Empty where there is none.
        code: String,
        message: String,
    },
}

/// The body of an error.
#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct ErrorBody {
    code: String,
    message: String,
}

impl Line {
    pub(super) fn new(client: Client, stall: Duration, sent_bytes: Meter) -> Self {
        Self { client, stall, sent_bytes, shared: Arc::default() }
    }

    fn shared(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the last request met, if it was no success.
    pub(super) fn said(&self) -> Option<Said> {
        self.shared().said.clone()
    }

    /// Answers of so many bytes are of use.
    pub(super) fn expect(&self, bytes: usize) {
        self.shared().expected_bytes = bytes;
    }
}

impl HttpConnector for Line {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Line {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (head, body) = request.into_parts();
        // One piece, which is not copied.
        let body = body.collect().await?.to_bytes();
        let expected_bytes = self.shared().expected_bytes;
        let request = self.client.request(head.method, head.uri.to_string()).headers(head.headers);
        match https::exchange(request, body, expected_bytes, self.stall, &self.sent_bytes).await {
            Ok(answer) => {
                self.shared().said = Said::of(&answer);
                let mut response = HttpResponse::new(answer.body.into());
                *response.status_mut() = answer.status;
                *response.headers_mut() = answer.headers;
                Ok(response)
            }
            Err(cause) => {
                self.shared().said = Some(Said::Broken(cause.clone()));
                // A kind that is not tried again: that is the queue's business.
                Err(HttpError::new(HttpErrorKind::Unknown, std::io::Error::other(cause)))
            }
        }
    }
}

impl Said {
    fn of(answer: &Answer) -> Option<Self> {
        if answer.status.is_success() {
            return None;
        }
        let text = String::from_utf8_lossy(&answer.body);
        let ErrorBody { code, message } = quick_xml::de::from_str(&text).unwrap_or_default();
        Some(Said::No { status: answer.status, after: answer.retry_after(), code, message })
    }

    /// Whether the store has no conditional writes.
    pub(super) fn knows_no_conditions(&self) -> bool {
        matches!(self, Said::No { status, .. } if *status == StatusCode::NOT_IMPLEMENTED)
    }

    /// Whether it is the request that is wrong, not the line or the store.
    pub(super) fn blames_request(&self) -> bool {
        matches!(self, Said::No { status, .. } if status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS)
    }

    /// What it means for a file.
    pub(super) fn into_error(self) -> PutError {
        let (status, after, code, message) = match self {
            Said::Broken(cause) => return PutError::Later { after: None, cause: format!("S3: {cause}") },
            Said::No { status, after, code, message } => (status, after, code, message),
        };
        let words: String = [status.as_str(), &code, &message].join(" ");
        let words: String = words.chars().take(WORDS).map(|c| if c.is_control() { ' ' } else { c }).collect();
        let cause = format!("S3 answers {}", words.trim());
        match (status.as_u16(), code.as_str()) {
            (_, "RequestTimeTooSkewed") => {
                PutError::Later { after, cause: format!("{cause}: is this machine's clock right?") }
            }
            (_, "RequestTimeout" | "SlowDown" | "ServiceUnavailable" | "OperationAborted" | "BadDigest") => {
                PutError::Later { after, cause }
            }
            (_, "KeyTooLongError" | "EntityTooLarge" | "InvalidURI") | (413 | 414, _) => PutError::Refused { cause },
            // Wrong keys, region or bucket, an account that is closed or full.
            (_, "QuotaExceeded" | "XMinioStorageFull") => PutError::Account { cause },
            (301 | 302 | 307 | 308 | 400 | 401 | 402 | 403 | 404 | 405 | 501 | 507, _) => PutError::Account { cause },
            _ => PutError::Later { after, cause },
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bytes::Bytes;
    use reqwest::header::HeaderMap;

    use super::*;

    fn error(status: u16, code: &str) -> PutError {
        let xml = format!(
            "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>No\nway</Message><AWSAccessKeyId>id</AWSAccessKeyId></Error>"
        );
        let body = if code.is_empty() { Bytes::from_static(b"<html>") } else { Bytes::from(xml) };
        let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "7".parse().unwrap())]);
        Said::of(&Answer { status: StatusCode::from_u16(status).unwrap(), headers, body }).unwrap().into_error()
    }

    #[test]
    fn each_error_has_its_consequence() {
        for (status, code) in
            [(403, "InvalidAccessKeyId"), (403, "AccessDenied"), (404, "NoSuchBucket"), (301, "PermanentRedirect")]
        {
            let PutError::Account { cause } = error(status, code) else { panic!("{code}") };
            assert_eq!(cause, format!("S3 answers {status} {code} No way"));
        }
        for (status, code) in [(400, "KeyTooLongError"), (400, "EntityTooLarge"), (413, "")] {
            assert!(matches!(error(status, code), PutError::Refused { .. }), "{code}");
        }
        let after = Some(Duration::from_secs(7));
        for (status, code) in [(503, "SlowDown"), (400, "RequestTimeout"), (500, "InternalError"), (502, ""), (429, "")]
        {
            assert!(matches!(error(status, code), PutError::Later { after: a, .. } if a == after), "{code}");
        }
        assert!(error(403, "RequestTimeTooSkewed").to_string().contains("clock"));
    }
}
