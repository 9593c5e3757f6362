//! Which camera is meant: the forms a source can be written in, and what is asked of it.
//!
//! Pure: nothing is opened here. Opening is in the parent module.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::media::Resolution;

/// Where a camera's pictures come from, as configured.
///
/// Written as `pattern`, `v4l2:DEVICE`, `http://…`, `https://…`, `command:PROGRAM ARGUMENTS`, `clip:FILE` (again and
/// again) or `clip-once:FILE`; see [`Source::from_str`].
#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// A V4L2 device, such as `/dev/video0` or a name under `/dev/v4l/by-id`.
    V4l2(PathBuf),
    /// A network camera's MJPEG stream (`http://` or `https://`).
    Http {
        /// The stream's address, without credentials.
        url: String,
        /// A file that holds `USER:PASSWORD`.
        credentials_file: Option<PathBuf>,
    },
    /// A program that writes raw I420 frames of the configured size to its standard output, and its arguments. Never empty.
    Command(Vec<String>),
    /// A video file: MP4, Annex B H.264 or MJPEG.
    Clip {
        /// The file.
        path: PathBuf,
        /// Start again at the end.
        looped: bool,
    },
    /// A drawn scene with moving things in it.
    Pattern,
}

/// What is asked of a source when it is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// Where from.
    pub source: Source,
    /// The size wanted. A network camera or a clip may give another.
    pub size: Resolution,
    /// Frames a second wanted. A network camera or a clip may give another.
    pub fps: u32,
}

/// Why a text names no source. Each message says what was written and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    /// None of the known forms.
    #[error(
        "'{0}' is not a source: write pattern, v4l2:/dev/video0, http://CAMERA/stream, command:PROGRAM ARGUMENTS or \
         clip:FILE"
    )]
    Unknown(String),
    /// A known form with nothing behind the colon.
    #[error("'{given}' lacks {missing}: write {example}")]
    Incomplete {
        /// What was written.
        given: String,
        /// What is missing.
        missing: &'static str,
        /// A complete one.
        example: &'static str,
    },
    /// Not an address.
    #[error("'{url}' is not a web address ({cause}): write http://CAMERA/PATH or https://CAMERA/PATH")]
    Url {
        /// What was written.
        url: String,
        /// Why it is none.
        cause: String,
    },
    /// User and password inside the address, where logs and process lists would show them. Not repeated in the message.
    #[error("the address on '{host}' contains a user or password: put USER:PASSWORD into a file and name that file")]
    CredentialsInUrl {
        /// The host, which is all that may be shown.
        host: String,
    },
    /// A quotation mark without its partner.
    #[error("'{0}' has a quotation mark that is not closed: close it, or write \\ before it")]
    Quotes(String),
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(spec: &str) -> Result<Self, SourceError> {
        let incomplete = |missing, example| Err(SourceError::Incomplete { given: spec.to_owned(), missing, example });
        if spec == "pattern" {
            return Ok(Source::Pattern);
        }
        match spec.split_once(':') {
            Some(("v4l2", "")) => incomplete("the device", "v4l2:/dev/video0"),
            Some(("v4l2", device)) => Ok(Source::V4l2(device.into())),
            Some(("clip" | "clip-once", "")) => incomplete("the file", "clip:FILE"),
            Some((form @ ("clip" | "clip-once"), path)) => {
                Ok(Source::Clip { path: path.into(), looped: form == "clip" })
            }
            Some(("command", line)) => match shlex::split(line) {
                None => Err(SourceError::Quotes(spec.to_owned())),
                Some(words) if words.first().is_none_or(String::is_empty) => {
                    incomplete("the program", "command:PROGRAM ARGUMENTS")
                }
                Some(words) => Ok(Source::Command(words)),
            },
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https") => {
                http(spec)
            }
            _ => Err(SourceError::Unknown(spec.to_owned())),
        }
    }
}

fn http(spec: &str) -> Result<Source, SourceError> {
    // The parser accepts "http:host" too; whoever writes that has more likely forgotten something.
    if !spec.contains("://") {
        return Err(SourceError::Url { url: spec.to_owned(), cause: "no // after the colon".to_owned() });
    }
    let url = reqwest::Url::parse(spec)
        .map_err(|cause| SourceError::Url { url: without_userinfo(spec), cause: cause.to_string() })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(SourceError::CredentialsInUrl { host: url.host_str().unwrap_or_default().to_owned() });
    }
    Ok(Source::Http { url: spec.to_owned(), credentials_file: None })
}

/// An address as messages show it: many cameras take user and password as `?user=…&pwd=…`, so a query is left out.
pub fn shown_url(url: &str) -> String {
    match url.split_once('?') {
        Some((path, _)) => format!("{path}?…"),
        None => url.to_owned(),
    }
}

/// What may be shown of an address that could not be parsed: everything but what stands before an `@`.
fn without_userinfo(spec: &str) -> String {
    match (spec.split_once("://"), spec.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => shown_url(&format!("{scheme}://…@{rest}")),
        _ => shown_url(spec),
    }
}

/// As it would be written, for messages: without what an address asks for, since many cameras take passwords there.
impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::V4l2(device) => write!(f, "v4l2:{}", device.display()),
            Source::Http { url, .. } => f.write_str(&shown_url(url)),
            // A word with a NUL byte cannot be quoted; it cannot be run either.
            Source::Command(words) => match shlex::try_join(words.iter().map(String::as_str)) {
                Ok(line) => write!(f, "command:{line}"),
                Err(_) => write!(f, "command:{}", words.join(" ")),
            },
            Source::Clip { path, looped: true } => write!(f, "clip:{}", path.display()),
            Source::Clip { path, looped: false } => write!(f, "clip-once:{}", path.display()),
            Source::Pattern => f.write_str("pattern"),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(words: &[&str]) -> Source {
        Source::Command(words.iter().map(|&word| word.to_owned()).collect())
    }

    #[test]
    fn every_form_is_read_and_shown_again() {
        let http = |url: &str| Source::Http { url: url.to_owned(), credentials_file: None };
        let table = [
            ("pattern", Source::Pattern),
            ("v4l2:/dev/video0", Source::V4l2("/dev/video0".into())),
            ("v4l2:/dev/v4l/by-id/usb-A_B:C-index0", Source::V4l2("/dev/v4l/by-id/usb-A_B:C-index0".into())),
            ("http://10.0.0.7:8080/video", http("http://10.0.0.7:8080/video")),
            ("https://[fe80::1]/stream", http("https://[fe80::1]/stream")),
            ("clip:a b.mp4", Source::Clip { path: "a b.mp4".into(), looped: true }),
            ("clip-once:/x:y.h264", Source::Clip { path: "/x:y.h264".into(), looped: false }),
            ("command:cat", words(&["cat"])),
            ("command:rpicam-vid -t 0 -o -", words(&["rpicam-vid", "-t", "0", "-o", "-"])),
            ("command:sh -c 'cat a b'", words(&["sh", "-c", "cat a b"])),
        ];
        for (spec, source) in table {
            assert_eq!(spec.parse::<Source>().unwrap(), source, "{spec}");
            assert_eq!(source.to_string(), spec);
        }
    }

    #[test]
    fn a_fault_names_what_was_written_and_the_remedy() {
        let table = [
            ("", "'' is not a source: write pattern"),
            ("webcam", "'webcam' is not a source"),
            ("/dev/video0", "v4l2:/dev/video0"),
            ("rtsp://cam/1", "'rtsp://cam/1' is not a source"),
            ("v4l2:", "'v4l2:' lacks the device"),
            ("clip:", "'clip:' lacks the file"),
            ("clip-once:", "'clip-once:' lacks the file"),
            ("command:", "'command:' lacks the program"),
            ("command:  ", "lacks the program"),
            ("command:'' x", "lacks the program"),
            ("command:sh -c 'cat", "not closed"),
            ("http:cam/1", "no // after the colon"),
            ("http://", "is not a web address (empty host)"),
            ("http://cam:port/", "is not a web address (invalid port number)"),
        ];
        for (spec, part) in table {
            let message = spec.parse::<Source>().unwrap_err().to_string();
            assert!(message.contains(part), "{spec}: {message}");
        }
    }

    #[test]
    fn a_password_in_an_address_is_refused_and_not_repeated() {
        let specs = ["http://eve:hunter2@cam/1", "http://:hunter2@cam/1", "http://eve:hunter2@cam:port/1"];
        for spec in specs.into_iter().chain(["http://cam:port/?user=eve&pwd=hunter2"]) {
            let message = spec.parse::<Source>().unwrap_err().to_string();
            assert!(!message.contains("hunter2"), "{message}");
            assert!(message.contains("cam"), "{message}");
        }
        let source = "http://cam/1?user=eve&pwd=hunter2".parse::<Source>().unwrap();
        assert_eq!(source.to_string(), "http://cam/1?…");
        assert_eq!(source, Source::Http { url: "http://cam/1?user=eve&pwd=hunter2".into(), credentials_file: None });
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(spec in "(http://|command:|v4l2:|clip:)?\\PC{0,40}") {
            if let Ok(source) = spec.parse::<Source>()
                && !spec.contains('?')
            {
                prop_assert_eq!(source.to_string().parse::<Source>().unwrap(), source);
            }
        }
    }
}
