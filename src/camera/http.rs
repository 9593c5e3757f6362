//! A network camera: its MJPEG stream, or where it has only stills, its JPEG asked for again and again.
//!
//! The only camera that speaks HTTP. How its stream is split into pictures is in [`crate::mjpeg`]. Everything runs on
//! the thread that calls [`Camera::next`], with a runtime of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_auth::{PasswordClient, PasswordParams};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, Response, StatusCode, Url, redirect};
use tokio::runtime::Runtime;
use tokio::time::{Instant, timeout_at};

use super::source::shown_url;
use super::stamp::{Pace, Stamper};
use super::{Camera, CameraError, Capture, STALL_S};
use crate::media::Jpeg;
use crate::mjpeg::{self, MAX_PICTURE_BYTES, Parts, Pictures, SplitError};

/// A camera on the network refuses or answers a connection within this time.
const CONNECT: Duration = Duration::from_secs(5);

/// Redirects that are followed, all on the same host.
const REDIRECTS: usize = 4;

/// A network camera.
pub struct Http {
    runtime: Background,
    session: Session,
    feed: Feed,
    stamper: Stamper,
}

/// How the camera gives its pictures.
enum Feed {
    /// One answer without end; nothing after it has failed.
    Stream(Option<Endless>),
    /// One answer for each picture; the first has come with the opening.
    Stills { first: Option<Bytes>, pace: Pace, interval: Duration },
}

/// One answer without end, and how it is divided.
struct Endless {
    response: Response,
    splitter: Splitter,
}

enum Splitter {
    Parts(Parts),
    /// There is no boundary.
    Pictures(Pictures),
}

impl Splitter {
    fn push(&mut self, bytes: &[u8]) {
        match self {
            Splitter::Parts(parts) => parts.push(bytes),
            Splitter::Pictures(pictures) => pictures.push(bytes),
        }
    }

    fn next(&mut self) -> Result<Option<Bytes>, SplitError> {
        match self {
            Splitter::Parts(parts) => parts.next_part(),
            Splitter::Pictures(pictures) => pictures.next_picture(),
        }
    }
}

/// A runtime that is dropped without waiting: a name server that does not answer holds a thread of its for minutes.
struct Background(Option<Runtime>);

impl Background {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("taken only when dropped").block_on(future)
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Http {
    /// Connects and looks at what the camera gives. Blocks, for the connection's time-out and [`STALL_S`] at most.
    ///
    /// A camera that gives stills is asked `fps` times a second (at least once).
    ///
    /// # Errors
    ///
    /// [`CameraError::Unavailable`], which names the address (without its query) and the HTTP status, or the
    /// credentials file. Credentials are never part of a message.
    pub fn open(url: &str, credentials: Option<&Path>, fps: u32, stamper: Stamper) -> Result<Self, CameraError> {
        let what = shown_url(url);
        let unavailable = |cause: String| CameraError::Unavailable { what: what.clone(), cause };
        let mut session = Session::new(url, credentials)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|cause| unavailable(format!("no event loop: {cause}")))?;
        let runtime = Background(Some(runtime));

        let deadline = Instant::now() + CONNECT + Duration::from_secs(STALL_S);
        let feed = runtime.block_on(async {
            let open = async {
                let response = session.get().await.map_err(&unavailable)?;
                match framing(response.headers().get(CONTENT_TYPE)) {
                    Framing::Stream(splitter) => Ok(Feed::Stream(Some(Endless { response, splitter }))),
                    Framing::Still => {
                        let first = Some(still(response).await.map_err(&unavailable)?);
                        let interval = Duration::from_secs(1) / fps.max(1);
                        Ok(Feed::Stills { first, pace: Pace::from_now(), interval })
                    }
                    Framing::Other(kind) => Err(unavailable(format!(
                        "it answers with {kind}, not with MJPEG or a JPEG: look up the address of its stream"
                    ))),
                }
            };
            match timeout_at(deadline, open).await {
                Ok(feed) => feed,
                Err(_) => Err(unavailable(format!("no answer within {} s", CONNECT.as_secs() + STALL_S))),
            }
        })?;
        Ok(Self { runtime, session, feed, stamper })
    }

    fn next_body(&mut self) -> Result<Bytes, CameraError> {
        let Self { runtime, session, feed, .. } = self;
        // The deadline is the whole picture's: a trickle of bytes is a stall too.
        let deadline = |from: Instant| from + Duration::from_secs(STALL_S);
        let picture = match feed {
            Feed::Stream(stream) => {
                let Some(mut open) = stream.take() else { return Err(lost(session, ENDED.to_owned())) };
                // As a task: what the future outside all tasks waits for costs a look at the sockets each time, and an
                // answer whose end is the connection's comes in pieces of 8 KiB.
                let next = runtime.block_on(async {
                    let next = tokio::spawn(async move { open.next_part().await.map(|part| (part, open)) });
                    timeout_at(deadline(Instant::now()), next).await
                });
                next.map(|ended| {
                    let (part, open) = ended.unwrap_or_else(|panicked| Err(panicked.to_string()))?;
                    *stream = Some(open);
                    Ok(part)
                })
            }
            Feed::Stills { first, pace, interval } => {
                pace.wait();
                pace.advance(*interval);
                if let Some(first) = first.take() {
                    return Ok(first);
                }
                let get = async { still(session.get().await?).await };
                runtime.block_on(async { timeout_at(deadline(Instant::now()), get).await })
            }
        };
        match picture {
            Ok(Ok(bytes)) => Ok(bytes),
            Ok(Err(cause)) => Err(lost(session, cause)),
            Err(_) => Err(CameraError::Stalled { what: session.what.clone(), silent_s: STALL_S }),
        }
    }
}

/// Why a stream gives nothing after its last picture.
const ENDED: &str = "the camera has closed the stream";

fn lost(session: &Session, cause: String) -> CameraError {
    CameraError::Lost { what: session.what.clone(), cause }
}

impl Endless {
    async fn next_part(&mut self) -> Result<Bytes, String> {
        loop {
            if let Some(body) = self.splitter.next().map_err(|error| format!("the stream is broken: {error}"))? {
                return Ok(body);
            }
            match self.response.chunk().await.map_err(cause_of)? {
                Some(chunk) => self.splitter.push(&chunk),
                None => return Err(ENDED.to_owned()),
            }
        }
    }
}

impl Camera for Http {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let mut bytes = self.next_body()?;
        let moment = self.stamper.now();
        match mjpeg::complete(&bytes) {
            Ok((length, size)) => {
                bytes.truncate(length);
                Ok(Capture::Jpeg(Jpeg { bytes, size, moment }))
            }
            Err(cause) => Err(CameraError::BadPicture { what: self.session.what.clone(), cause: cause.to_string() }),
        }
    }
}

/// What asks the camera, with its credentials.
struct Session {
    /// The address as messages show it.
    what: String,
    url: Url,
    client: Client,
    credentials: Option<Credentials>,
    /// How the camera wants the password, once it has said so.
    scheme: Option<PasswordClient>,
}

impl Session {
    fn new(url: &str, credentials: Option<&Path>) -> Result<Self, CameraError> {
        let what = shown_url(url);
        let unavailable = |cause: String| CameraError::Unavailable { what: what.clone(), cause };
        let credentials = credentials.map(Credentials::read).transpose().map_err(unavailable)?;
        let url = Url::parse(url).map_err(|cause| unavailable(format!("not a web address: {cause}")))?;
        // Fails when some other part of the program has installed it before, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .connect_timeout(CONNECT)
            // A camera is in the local network.
            .no_proxy()
            .redirect(redirect::Policy::custom(same_host))
            .user_agent(concat!("watchtower/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| unavailable(cause_of(error)))?;
        Ok(Self { what, url, client, credentials, scheme: None })
    }

    /// Asks for the camera's address; answers what has a status of success, or why not.
    async fn get(&mut self) -> Result<Response, String> {
        let mut response = self.send(self.url.clone()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.credentials.is_some() {
            // The first time, or the camera's nonce has become old. The password goes out only once it is asked for.
            let challenges = response.headers().get_all(WWW_AUTHENTICATE);
            self.scheme = Some(PasswordClient::try_from(challenges).map_err(|_| {
                "it answers 401 Unauthorized and wants neither Basic nor Digest authentication".to_owned()
            })?);
            response = self.send(response.url().clone()).await?;
        }
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let remedy = match (status, &self.credentials) {
            (StatusCode::UNAUTHORIZED, None) => {
                ": write USER:PASSWORD into a file and name it as credentials_file".to_owned()
            }
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(credentials)) => {
                format!(": it does not accept what {} says", credentials.file.display())
            }
            _ => String::new(),
        };
        Err(format!("it answers {status}{remedy}"))
    }

    async fn send(&mut self, url: Url) -> Result<Response, String> {
        let mut request = self.client.get(url.clone());
        if let (Some(scheme), Some(credentials)) = (&mut self.scheme, &self.credentials) {
            let uri = match url.query() {
                Some(query) => format!("{}?{query}", url.path()),
                None => url.path().to_owned(),
            };
            let answer = scheme.respond(&PasswordParams {
                username: &credentials.user,
                password: &credentials.password,
                uri: &uri,
                method: "GET",
                body: Some(&[]),
            })?;
            let mut answer = HeaderValue::try_from(answer)
                .map_err(|_| format!("{} holds a character that HTTP cannot carry", credentials.file.display()))?;
            answer.set_sensitive(true);
            request = request.header(AUTHORIZATION, answer);
        }
        request.send().await.map_err(cause_of)
    }
}

/// A camera that moves its stream elsewhere on itself is followed; nobody else gets to see its credentials, and they
/// do not go from TLS to the clear.
fn same_host(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let Some(first) = attempt.previous().first() else { return attempt.stop() };
    let same = attempt.url().host_str() == first.host_str();
    let downgrade = first.scheme() == "https" && attempt.url().scheme() != "https";
    if !same || downgrade {
        let host = attempt.url().host_str().unwrap_or_default().to_owned();
        attempt.error(format!("it redirects to another host or to plain http ({host}), which is not followed"))
    } else if attempt.previous().len() > REDIRECTS {
        attempt.error("it redirects in a circle")
    } else {
        attempt.follow()
    }
}

/// The innermost causes, which say what happened; never the address, whose query may hold a password.
fn cause_of(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
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

enum Framing {
    Stream(Splitter),
    Still,
    Other(String),
}

fn framing(content_type: Option<&HeaderValue>) -> Framing {
    let Some(text) = content_type.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()) else {
        return Framing::Other("something of no stated type".to_owned());
    };
    let (kind, parameters) = text.split_once(';').unwrap_or((&text, ""));
    match kind.trim().to_ascii_lowercase().as_str() {
        "multipart/x-mixed-replace" | "multipart/mixed" | "multipart/related" => {
            let boundary = parameters.split(';').find_map(|parameter| {
                let (name, value) = parameter.split_once('=')?;
                name.trim().eq_ignore_ascii_case("boundary").then(|| Parts::new(value))?
            });
            Framing::Stream(boundary.map_or(Splitter::Pictures(Pictures::default()), Splitter::Parts))
        }
        "video/x-motion-jpeg" | "video/x-mjpeg" | "video/mjpeg" | "video/x-jpeg" => {
            Framing::Stream(Splitter::Pictures(Pictures::default()))
        }
        "image/jpeg" | "image/jpg" | "image/pjpeg" => Framing::Still,
        _ => Framing::Other(kind.trim().to_owned()),
    }
}

/// The whole body of one answer.
async fn still(mut response: Response) -> Result<Bytes, String> {
    let announced = response.content_length().unwrap_or(0).min(MAX_PICTURE_BYTES as u64);
    let mut body = BytesMut::with_capacity(announced as usize);
    while let Some(chunk) = response.chunk().await.map_err(cause_of)? {
        body.extend_from_slice(&chunk);
        if body.len() > MAX_PICTURE_BYTES {
            return Err(SplitError::TooLarge.to_string());
        }
    }
    Ok(body.freeze())
}

/// User and password of one camera.
struct Credentials {
    file: PathBuf,
    user: String,
    password: String,
}

impl Credentials {
    /// Reads `USER:PASSWORD`; a line end behind it is not part of the password.
    fn read(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let text = fs::read_to_string(file).map_err(|error| format!("the credentials file {shown}: {error}"))?;
        let text = text.strip_suffix('\n').unwrap_or(&text);
        let text = text.strip_suffix('\r').unwrap_or(text);
        match text.split_once(':') {
            Some((user, password)) if !user.is_empty() && !text.contains('\n') => {
                Ok(Self { file: file.to_owned(), user: user.to_owned(), password: password.to_owned() })
            }
            _ => Err(format!("the credentials file {shown} does not hold one line USER:PASSWORD")),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::thread;

    use super::*;
    use crate::camera::Source;
    use crate::media::Resolution;

    const SIZE: Resolution = Resolution::new(64, 48);

    fn jpeg(shade: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        let gray = vec![shade; SIZE.pixels()];
        jpeg_encoder::Encoder::new(&mut bytes, 80)
            .encode(&gray, SIZE.width as u16, SIZE.height as u16, jpeg_encoder::ColorType::Luma)
            .unwrap();
        bytes
    }

    /// A camera on a real socket: `answer` gets each request's lines and the connection.
    fn serve(answer: impl Fn(&[String], &mut TcpStream) + Send + 'static) -> (String, Arc<Mutex<Vec<Vec<String>>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines: Vec<String> = BufReader::new(stream.try_clone().unwrap())
                    .lines()
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .collect();
                log.lock().unwrap().push(lines.clone());
                answer(&lines, &mut stream);
            }
        });
        (address, seen)
    }

    /// Writes without caring whether the other end is still there, as a camera does.
    fn send(stream: &mut TcpStream, bytes: &[u8]) {
        let _ = stream.write_all(bytes);
    }

    fn send_stream(stream: &mut TcpStream, pictures: &[Vec<u8>]) {
        send(stream, b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace;boundary=\"--F\"\r\n\r\n");
        for picture in pictures {
            send(stream, format!("----F\r\nContent-Length: {}\r\n\r\n", picture.len()).as_bytes());
            send(stream, picture);
            send(stream, b"\r\n");
        }
    }

    fn stamper() -> Stamper {
        Stamper::new(Arc::new(|| None))
    }

    fn credentials(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    fn refused(url: &str, file: Option<&Path>) -> String {
        match Http::open(url, file, 5, stamper()) {
            Err(error @ CameraError::Unavailable { .. }) => error.to_string(),
            Err(other) => panic!("{other:?}"),
            Ok(_) => panic!("it was opened"),
        }
    }

    #[test]
    fn a_stream_gives_its_pictures_a_bad_one_is_told_and_its_end_is_a_loss() {
        let (url, _) = serve(|_, stream| {
            let whole = jpeg(100);
            send_stream(stream, &[whole.clone(), whole[..whole.len() - 9].to_vec(), b"no".to_vec(), whole]);
        });
        let mut camera = Http::open(&url, None, 5, stamper()).unwrap();
        let first = camera.next().unwrap();
        let Capture::Jpeg(first) = first else { panic!("a JPEG expected") };
        assert_eq!((first.size, &first.bytes[..]), (SIZE, &jpeg(100)[..]));
        for cause in ["a truncated JPEG", "not a JPEG"] {
            let error = camera.next().unwrap_err();
            assert!(matches!(&error, CameraError::BadPicture { .. }) && error.to_string().contains(cause), "{error}");
        }
        assert!(camera.next().unwrap().moment().pts >= first.moment.pts);
        let error = camera.next().unwrap_err();
        assert!(matches!(error, CameraError::Lost { .. }), "{error}");
    }

    #[test]
    fn a_stream_without_a_boundary_is_split_at_its_markers() {
        let (url, _) = serve(|_, stream| {
            send(stream, b"HTTP/1.0 200 OK\r\nContent-Type: video/x-motion-jpeg\r\n\r\n");
            send(stream, &[jpeg(1), jpeg(2)].concat());
        });
        let mut camera = Http::open(&url, None, 5, stamper()).unwrap();
        for _ in 0..2 {
            assert_eq!(camera.next().unwrap().size(), SIZE);
        }
    }

    #[test]
    fn a_camera_with_stills_is_asked_again_and_again() {
        let (url, seen) = serve(|_, stream| {
            let picture = jpeg(7);
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
                picture.len()
            );
            send(stream, head.as_bytes());
            send(stream, &picture);
        });
        let mut camera = Http::open(&url, None, 50, stamper()).unwrap();
        let start = std::time::Instant::now();
        for _ in 0..4 {
            assert_eq!(camera.next().unwrap().size(), SIZE);
        }
        assert!(start.elapsed() >= Duration::from_millis(60));
        assert_eq!(seen.lock().unwrap().len(), 4);
    }

    #[test]
    fn basic_credentials_are_sent_once_they_are_asked_for() {
        let (url, seen) = serve(|lines, stream| {
            // "eve:hunt:er2"
            if lines.iter().any(|line| line.eq_ignore_ascii_case("authorization: Basic ZXZlOmh1bnQ6ZXIy")) {
                send_stream(stream, &[jpeg(1)]);
            } else {
                send(stream, b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=\"cam\"\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        for line_end in ["", "\n", "\r\n"] {
            let file = credentials(&format!("eve:hunt:er2{line_end}"));
            Http::open(&url, Some(file.path()), 5, stamper()).unwrap().next().unwrap();
        }
        assert!(!seen.lock().unwrap()[0].iter().any(|line| line.to_ascii_lowercase().starts_with("authorization")));

        let wrong = credentials("eve:wrong-one");
        let message = refused(&url, Some(wrong.path()));
        assert!(message.contains("401") && message.contains(wrong.path().to_str().unwrap()), "{message}");
        assert!(!message.contains("wrong-one"), "{message}");
        let message = refused(&url, None);
        assert!(message.contains("401") && message.contains("credentials_file"), "{message}");
    }

    #[test]
    fn digest_credentials_are_answered_with_the_path_and_query() {
        let (url, seen) = serve(|lines, stream| {
            let answer = lines.iter().find(|line| line.to_ascii_lowercase().starts_with("authorization: digest"));
            match answer {
                Some(_) => send_stream(stream, &[jpeg(1)]),
                None => send(
                    stream,
                    b"HTTP/1.1 401 No\r\nWWW-Authenticate: Digest realm=\"cam\", nonce=\"dcd98b\", qop=\"auth\"\r\n\
                      Content-Length: 0\r\nConnection: close\r\n\r\n",
                ),
            }
        });
        let file = credentials("eve:hunter2\n");
        Http::open(&format!("{url}/video?ch=1"), Some(file.path()), 5, stamper()).unwrap().next().unwrap();
        let seen = seen.lock().unwrap();
        let answer = seen[1].iter().find(|line| line.to_ascii_lowercase().starts_with("authorization:")).unwrap();
        for part in ["username=\"eve\"", "uri=\"/video?ch=1\"", "nonce=\"dcd98b\"", "response=\""] {
            assert!(answer.contains(part), "{answer}");
        }
        assert!(!answer.contains("hunter2"));
    }

    #[test]
    fn a_credentials_file_that_says_nothing_is_named() {
        for text in ["", "\n", "eve", ":hunter2", "eve:hunter2\nmore"] {
            let file = credentials(text);
            let message = refused("http://127.0.0.1:1/", Some(file.path()));
            assert!(message.contains(file.path().to_str().unwrap()) && message.contains("USER:PASSWORD"), "{message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
        let message = refused("http://127.0.0.1:1/", Some(Path::new("/nowhere/secret")));
        assert!(message.contains("/nowhere/secret"), "{message}");
    }

    #[test]
    fn a_refusal_names_the_address_and_the_status_but_not_the_query() {
        let (url, _) = serve(|lines, stream| {
            let kind = if lines[0].contains("/page") {
                &b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 0\r\n\r\n"[..]
            } else {
                b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
            };
            send(stream, kind);
        });
        let message = refused(&format!("{url}/video?pwd=hunter2"), None);
        assert_eq!(message, format!("{url}/video?…: it answers 404 Not Found"));
        assert!(refused(&format!("{url}/page"), None).contains("text/html"));

        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let message = refused(&format!("http://{closed}/?pwd=hunter2"), None);
        assert!(message.contains("refused") && !message.contains("hunter2"), "{message}");
    }

    #[test]
    fn a_redirect_is_followed_on_the_same_host_only() {
        let (url, seen) = serve(|lines, stream| {
            let to = |place: &str| format!("HTTP/1.1 302 Found\r\nLocation: {place}\r\nContent-Length: 0\r\n\r\n");
            match lines[0].split(' ').nth(1).unwrap() {
                "/old" => send(stream, to("/new").as_bytes()),
                "/away" => send(stream, to("http://localhost:1/").as_bytes()),
                "/circle" => send(stream, to("/circle").as_bytes()),
                _ => send_stream(stream, &[jpeg(1)]),
            }
        });
        Http::open(&format!("{url}/old"), None, 5, stamper()).unwrap().next().unwrap();
        let message = refused(&format!("{url}/away"), None);
        assert!(message.contains("another host") && message.contains("localhost"), "{message}");
        let before = seen.lock().unwrap().len();
        assert!(refused(&format!("{url}/circle"), None).contains("circle"));
        assert!(seen.lock().unwrap().len() - before <= REDIRECTS + 1);
    }

    #[test]
    fn a_camera_that_trickles_is_a_stall() {
        let (url, _) = serve(|_, stream| {
            send_stream(stream, &[]);
            send(stream, b"----F\r\nContent-Length: 9000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(200));
            }
        });
        let mut camera = Http::open(&url, None, 5, stamper()).unwrap();
        let start = std::time::Instant::now();
        let error = camera.next().unwrap_err();
        assert!(matches!(error, CameraError::Stalled { silent_s: STALL_S, .. }), "{error}");
        assert!((STALL_S..STALL_S + 2).contains(&start.elapsed().as_secs()));
    }

    #[test]
    fn the_source_of_a_message_is_written_as_the_source() {
        let url = "http://127.0.0.1:1/a?b=c";
        let source = Source::Http { url: url.to_owned(), credentials_file: None };
        assert!(refused(url, None).starts_with(&format!("{source}: ")));
    }
}
