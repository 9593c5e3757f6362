//! HTTP/1.1 as far as a server of tests needs it, with ways to answer badly.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::time::Duration;

use serde_json::{Value, json};

/// A connection, in the clear or not.
pub trait Line: Read + Write {}
impl<T: Read + Write> Line for T {}

/// The head of a request.
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body.
    pub length: usize,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// How an answer goes out.
#[derive(Debug, PartialEq, Eq)]
pub enum Then {
    Go,
    /// Half of it.
    Cut,
    /// Not at all.
    Lose,
    Late(Duration),
}

/// An answer.
#[derive(Clone)]
pub struct Reply {
    pub status: u16,
    content_type: &'static str,
    retry_after: Option<u64>,
    body: String,
}

impl Reply {
    pub fn json(status: u16, body: &Value) -> Self {
        Self { status, content_type: "application/json", retry_after: None, body: body.to_string() }
    }

    pub fn text(status: u16, body: &str) -> Self {
        Self { status, content_type: "text/plain; charset=utf-8", retry_after: None, body: body.to_owned() }
    }

    pub fn html(body: &str) -> Self {
        Self { status: 200, content_type: "text/html", retry_after: None, body: body.to_owned() }
    }

    pub fn tagged(status: u16, tag: &str) -> Self {
        Self::json(status, &json!({"error_summary": format!("{tag}/.."), "error": {".tag": tag}}))
    }

    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }
}

/// One client's connection.
pub struct Connection<L>(BufReader<L>);

impl<L: Line> Connection<L> {
    pub fn new(line: L) -> Self {
        Self(BufReader::new(line))
    }

    /// The next request's head; `None` where the connection ends. An error is a client's breach.
    pub fn read_head(&mut self) -> Result<Option<Request>, String> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            match self.0.read_line(&mut line) {
                Ok(0) | Err(_) => return Ok(None),
                Ok(_) => {}
            }
            let line = line.strip_suffix("\r\n").ok_or("a line of the head does not end with CR LF")?;
            if line.is_empty() {
                break;
            }
            lines.push(line.to_owned());
        }
        let first = lines.first().ok_or("a request without a first line")?;
        let [method, target, "HTTP/1.1"] = first.split(' ').collect::<Vec<_>>()[..] else {
            return Err(format!("not HTTP/1.1: {first}"));
        };
        let mut headers = Vec::new();
        for line in &lines[1..] {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("not a header: {line}"))?;
            let name = name.to_ascii_lowercase();
            if headers.iter().any(|(other, _)| *other == name) {
                return Err(format!("{name} comes twice"));
            }
            headers.push((name, value.trim().to_owned()));
        }
        let request = Request { method: method.to_owned(), target: target.to_owned(), headers, length: 0 };
        if request.header("host").is_none() {
            return Err("no Host".to_owned());
        }
        let length = match request.header("content-length") {
            None if ["GET", "HEAD"].contains(&request.method.as_str()) => Some(0),
            length => length.and_then(|length| length.parse().ok()),
        };
        let length = length.ok_or("a body without Content-Length")?;
        Ok(Some(Request { length, ..request }))
    }

    pub fn read_body(&mut self, length: usize) -> io::Result<Vec<u8>> {
        self.read_slowly(length, Duration::ZERO)
    }

    /// With a pause after every 256 KiB.
    pub fn read_slowly(&mut self, length: usize, pause: Duration) -> io::Result<Vec<u8>> {
        let mut body = vec![0; length];
        for piece in body.chunks_mut(256 << 10) {
            self.0.read_exact(piece)?;
            std::thread::sleep(pause);
        }
        Ok(body)
    }

    pub fn write(&mut self, reply: &Reply, then: &Then) -> io::Result<()> {
        let retry_after = reply.retry_after.map_or(String::new(), |s| format!("Retry-After: {s}\r\n"));
        let text = format!(
            "HTTP/1.1 {} X\r\nContent-Type: {}\r\n{retry_after}Content-Length: {}\r\n\r\n{}",
            reply.status,
            reply.content_type,
            reply.body.len(),
            reply.body
        );
        let bytes = match then {
            Then::Cut => &text.as_bytes()[..text.len() - reply.body.len() / 2],
            Then::Lose => &[],
            _ => text.as_bytes(),
        };
        self.write_raw(bytes)
    }

    pub fn write_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.get_mut().write_all(bytes)?;
        self.0.get_mut().flush()
    }
}
