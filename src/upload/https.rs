//! HTTPS as all stores use it: who is trusted, and when a line counts as dead.
//!
//! What is said over it belongs to the stores.

use std::error::Error;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::stream;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::header::{CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use reqwest::{Body, Certificate, Client, Method, RequestBuilder, StatusCode, Url, redirect};

const CONNECT: Duration = Duration::from_secs(20);
const IDLE: Duration = Duration::from_secs(20);
/// What is handed to the line at once.
const PIECE_BYTES: usize = 64 << 10;
/// No answer that tells something is longer.
const ANSWER_BYTES: usize = 64 << 10;

/// Bytes of bodies that have been handed to the line, whatever became of them. Clones share it.
pub type Meter = Arc<AtomicU64>;

/// Makes the client when it is first needed: a system without certification authorities is no reason not to record.
#[derive(Debug)]
pub struct Https {
    authorities: Vec<Certificate>,
    client: Option<Client>,
}

impl Https {
    /// Trusts the system's authorities, and those in `ca_file` (PEM) where there is one.
    ///
    /// # Errors
    /// A file that cannot be read or holds no certificate.
    pub fn new(ca_file: Option<&Path>) -> Result<Self, String> {
        let authorities = ca_file.map_or(Ok(Vec::new()), authorities)?;
        Ok(Self { authorities, client: None })
    }

    /// The client. It takes a proxy from the environment (`HTTPS_PROXY`), and follows no redirection, which might carry a
    /// secret elsewhere.
    ///
    /// # Errors
    /// A system without authorities, in words for the owner.
    pub fn client(&mut self) -> Result<Client, String> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        // Fails when some other part of the program has installed it before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT)
            // Between two files nobody watches the connection: one that the server may have closed is not used again.
            .pool_idle_timeout(IDLE)
            .http1_only()
            .redirect(redirect::Policy::none())
            .user_agent(concat!("watchtower/", env!("CARGO_PKG_VERSION")))
            .tls_certs_merge(self.authorities.clone())
            .build()
            .map_err(|error| format!("{}: is the package ca-certificates installed?", cause_of(error)))?;
        Ok(self.client.insert(client).clone())
    }
}

fn authorities(file: &Path) -> Result<Vec<Certificate>, String> {
    let pem = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(format!("{} holds no certificate in PEM form", file.display())),
    }
}

/// A base URL: `https`, or `http`.
///
/// # Errors
/// In words that name the URL.
pub fn url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("{text:?} is no web address: {error}"))?;
    match (url.scheme(), url.host_str()) {
        ("https" | "http", Some(_)) => Ok(url),
        _ => Err(format!("{text:?} is no web address: it must begin with https://")),
    }
}

/// As [`url`], for what is told secrets: `http` to this machine only, for a proxy or a test.
///
/// # Errors
/// In words that name the URL.
pub fn base_url(text: &str) -> Result<Url, String> {
    let url = url(text)?;
    let local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    match url.scheme() {
        "https" => Ok(url),
        _ if local => Ok(url),
        _ => Err(format!("{text:?} must begin with https://, so that nobody on the way reads along")),
    }
}

/// An answer, whole.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// `Retry-After`: RFC 9110, 10.2.3.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after_at(Timestamp::now())
    }

    fn retry_after_at(&self, now: Timestamp) -> Option<Duration> {
        let value = self.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
        if let Ok(seconds) = value.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let then = rfc2822::DateTimeParser::new().parse_timestamp(value).ok()?;
        Some(then.duration_since(now).try_into().unwrap_or_default())
    }
}

/// Sends `body` and waits for the answer as long as something moves: at most `stall` between two pieces that move. Of an
/// answer that is much longer than `expected_bytes` the rest is left. What goes out of the body is added to `sent_bytes`.
///
/// # Errors
/// What broke, in words without the address.
pub async fn exchange(
    request: RequestBuilder,
    body: Bytes,
    expected_bytes: usize,
    stall: Duration,
    sent_bytes: &Meter,
) -> Result<Answer, String> {
    let begin = Instant::now();
    let moved_ms = Arc::new(AtomicU64::new(0));
    let now_ms = move || u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX);
    let length = body.len();
    let moves = moved_ms.clone();
    let meters = (moved_ms.clone(), sent_bytes.clone());
    let pieces = stream::unfold((body, meters), move |(mut rest, (moved_ms, sent_bytes))| async move {
        moved_ms.store(now_ms(), Ordering::Relaxed);
        let piece = rest.split_to(rest.len().min(PIECE_BYTES));
        sent_bytes.fetch_add(piece.len() as u64, Ordering::Relaxed);
        (!piece.is_empty()).then(|| (Ok::<_, io::Error>(piece), (rest, (moved_ms, sent_bytes))))
    });
    let answer = async {
        let (client, request) = request.build_split();
        let mut request = request.map_err(cause_of)?;
        if ![Method::GET, Method::HEAD].contains(request.method()) {
            // Of a known length, so not in HTTP's own chunks.
            request.headers_mut().insert(CONTENT_LENGTH, length.into());
            *request.body_mut() = Some(Body::wrap_stream(pieces));
        }
        let mut response = client.execute(request).await.map_err(cause_of)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = BytesMut::new();
        while let Some(part) = response.chunk().await.map_err(cause_of)? {
            moves.store(now_ms(), Ordering::Relaxed);
            body.extend_from_slice(&part);
            if body.len() > expected_bytes.saturating_add(ANSWER_BYTES) {
                break;
            }
        }
        Ok(Answer { status, headers, body: body.freeze() })
    };
    tokio::pin!(answer);
    loop {
        let still = Duration::from_millis(now_ms().saturating_sub(moved_ms.load(Ordering::Relaxed)));
        let Some(left) = stall.checked_sub(still).filter(|left| !left.is_zero()) else {
            return Err(format!("nothing has moved for {} s", stall.as_secs_f32()));
        };
        tokio::select! {
            answer = &mut answer => return answer,
            () = tokio::time::sleep(left) => {}
        }
    }
}

/// The innermost causes, which say what happened, without the address.
pub fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn Error = &error;
    let mut text = cause.to_string();
    while let Some(inner) = cause.source() {
        cause = inner;
        let inner = inner.to_string();
        // Many layers repeat the one below.
        if !text.contains(&inner) {
            text = format!("{text}: {inner}");
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_in_the_clear_to_this_machine_only() {
        for url in ["https://api.dropboxapi.com", "http://127.0.0.1:80", "http://localhost:1", "http://[::1]:9"] {
            assert!(base_url(url).is_ok(), "{url}");
        }
        for url in ["http://api.dropboxapi.com", "http://127.0.0.1.example.org", "ftp://localhost", "localhost:80", ""]
        {
            assert!(base_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_busy_server_says_how_long() {
        let now: Timestamp = "1994-11-06T08:49:07Z".parse().unwrap();
        let after = |value: &str| {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            Answer { status: StatusCode::SERVICE_UNAVAILABLE, headers, body: Bytes::new() }.retry_after_at(now)
        };
        let s = |s| Some(Duration::from_secs(s));
        assert_eq!(after("17"), s(17));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), s(30));
        assert_eq!(after("Sun, 06 Nov 1994 08:48:37 GMT"), s(0));
        assert_eq!(after("soon"), None);
    }

    #[test]
    fn a_file_without_authorities_is_refused_by_its_name() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Https::new(Some(file.path())).unwrap_err();
        assert!(error.contains("holds no certificate") && error.contains(file.path().to_str().unwrap()), "{error}");
        assert!(Https::new(Some(Path::new("/nowhere/ca.pem"))).unwrap_err().contains("/nowhere/ca.pem"));
    }
}
