//! A daemon of its own for each test, on a port of its own, with data in a folder of its own.
//!
//! What stands in for the world is below: a strict Dropbox, and HTTP that answers badly.

pub mod dropbox;
pub mod http;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value;

/// Longer than anything takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A running daemon. It is killed when dropped.
pub struct Daemon {
    child: Child,
    /// `IP:PORT`.
    pub address: String,
    /// That of its own TLS, where it has one.
    pub tls: Option<String>,
    pub folder: tempfile::TempDir,
}

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The only header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let first = found.next();
        assert!(found.next().is_none(), "{name} comes more than once: {:?}", self.headers);
        first
    }

    pub fn json(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Asserts that this is an error of RFC 9457 that tells nothing of the server's files; answers its detail.
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("content-type"), Some("application/problem+json"));
        let problem: Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem["status"], status);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
        let detail = problem["detail"].as_str().unwrap();
        assert!(!["/tmp", "/nowhere", "/dev", "recordings/"].iter().any(|path| detail.contains(path)), "{detail}");
        detail.to_owned()
    }
}

/// One camera that draws its own pictures, records only when asked, and keeps one second before and after.
pub const CAMERA: &str = r#"
[cameras.front]
label = "Front door"
source = "pattern"
size = "320x240"
fps = 10
[cameras.front.motion]
min_trigger_area = 1.0
recording_padding_s = 1.0
"#;

impl Daemon {
    /// With [`CAMERA`] and `web` as lines of the `[web]` table.
    pub fn start(web: &str) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), web, CAMERA)
    }

    /// With whatever the folder's `data` holds already.
    pub fn start_in(folder: tempfile::TempDir, web: &str, cameras: &str) -> Self {
        Self::start_with(folder, "", web, cameras)
    }

    /// With `top` before the first table.
    pub fn start_with(folder: tempfile::TempDir, top: &str, web: &str, cameras: &str) -> Self {
        let listen = if web.contains("listen") { "" } else { "listen = \"127.0.0.1:0\"" };
        let data = folder.path().join("data");
        let config = format!("{top}\n[storage]\npath = {data:?}\n[web]\n{listen}\n{web}\n{cameras}");
        Self::configured(folder, &config, &[])
    }

    /// With a whole configuration, and variables for its environment.
    pub fn configured(folder: tempfile::TempDir, config: &str, environment: &[(&str, &str)]) -> Self {
        let file = folder.path().join("watchtower.toml");
        std::fs::write(&file, config).unwrap();
        let (child, address, tls) = spawn(&file, environment);
        Self { child, address, tls, folder }
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"")
    }

    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        request(&mut stream, method, path, headers, body)
    }

    /// The camera's state, once it gives pictures.
    pub fn wait_for_pictures(&self) {
        wait_for("the camera's first picture", || self.get("/healthz").status == 200);
    }

    /// One value of `/metrics`.
    pub fn metric(&self, name: &str) -> f64 {
        let text = String::from_utf8(self.get("/metrics").body).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.unwrap_or_else(|| panic!("no {name} in\n{text}")).trim().parse().unwrap()
    }

    /// Asks for a recording once there is enough to be kept before it, and waits until it is complete; answers its
    /// path.
    pub fn record(&self) -> String {
        let captured = "watchtower_frames_total{camera=\"front\",kind=\"captured\"}";
        wait_for("two seconds of pictures", || self.metric(captured) >= 20.0);
        let newest = || self.get("/api/recordings?details=1").json().as_array().unwrap().first().cloned();
        let before = newest().map(|recording| recording["id"].clone());
        assert_eq!(self.get("/api/record").status, 204);
        let complete =
            || newest().filter(|newest| newest["recording"] == false && Some(&newest["id"]) != before.as_ref());
        wait_for("a complete recording", || complete().is_some());
        format!("/api/recordings/{}", complete().unwrap()["id"].as_str().unwrap())
    }

    /// Ends it as systemd would.
    pub fn terminate(mut self) -> ExitStatus {
        self.end()
    }

    /// As [`Daemon::terminate`]; its folder stays, and it can be started again.
    pub fn end(&mut self) -> ExitStatus {
        rustix::process::kill_process(self.pid(), rustix::process::Signal::TERM).unwrap();
        wait_for("the daemon's end", || !self.runs());
        self.child.wait().unwrap()
    }

    /// Ends it as a power cut would, but for the disk's cache.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again in its folder, after it has ended.
    pub fn start_again(&mut self) {
        (self.child, self.address, self.tls) = spawn(&self.folder.path().join("watchtower.toml"), &[]);
    }

    pub fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn pid(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the daemon and waits until it says where it listens.
fn spawn(config: &Path, environment: &[(&str, &str)]) -> (Child, String, Option<String>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_watchtower"))
        .args(["run", "--config"])
        .arg(config)
        .envs(environment.iter().copied())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (address, tls) = announced(&mut child);
    (child, address, tls)
}

/// Reads the log until it says where the daemon listens, and on, so that it never blocks.
fn announced(child: &mut Child) -> (String, Option<String>) {
    let log = BufReader::new(child.stderr.take().unwrap());
    let (found, address) = mpsc::channel();
    std::thread::spawn(move || {
        for line in log.lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("listening on ") {
                let _ = found.send(address.trim().to_owned());
            }
            println!("daemon: {line}");
        }
    });
    let mut tls = None;
    loop {
        let address = address.recv_timeout(PATIENCE).expect("the daemon says where it listens");
        match address.strip_prefix("https://") {
            Some(secure) => tls = Some(secure.to_owned()),
            None => return (address.trim_start_matches("http://").to_owned(), tls),
        }
    }
}

/// A folder in memory, where there is one: a disk that does not wait for whatever else the machine is doing.
pub fn fast_folder() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// Says why a test cannot run on this machine, on a line of its own that the test harness does not swallow.
pub fn skipped(why: &str) {
    std::io::stdout().write_all(format!("\nSKIPPED {why}\n").as_bytes()).unwrap();
}

pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !done() {
        assert!(begin.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One request on a connection of its own, and the whole answer. Sends `Host: localhost` unless told otherwise.
pub fn request(
    stream: &mut (impl Read + Write),
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Answer {
    begin(stream, method, path, headers, body);
    let mut reader = BufReader::new(stream);
    let (status, headers) = read_head(&mut reader);
    let mut body = Vec::new();
    let chunked = headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    if chunked {
        while let Some(chunk) = read_chunk(&mut reader) {
            body.extend(chunk);
        }
    } else {
        reader.read_to_end(&mut body).unwrap();
    }
    Answer { status, headers, body }
}

/// Sends a request.
pub fn begin(stream: &mut impl Write, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) {
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head += "Host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    stream.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    stream.write_all(body).unwrap();
}

/// Reads an answer's status and headers.
pub fn read_head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        lines.push(line.to_owned());
    }
    let status = lines.first().expect("an answer").split(' ').nth(1).unwrap().parse().unwrap();
    let header = |line: &String| line.split_once(':').map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()));
    (status, lines.iter().skip(1).filter_map(header).collect())
}

/// One chunk of a chunked body; `None` at its end.
pub fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut length = String::new();
    reader.read_line(&mut length).unwrap();
    let length = usize::from_str_radix(length.trim(), 16).expect("a chunk's length");
    let mut chunk = vec![0; length + 2];
    reader.read_exact(&mut chunk).unwrap();
    assert_eq!(chunk.split_off(length), b"\r\n");
    (length > 0).then_some(chunk)
}

/// The JPEG's size as its own header says.
pub fn jpeg_size(jpeg: &[u8]) -> (u32, u32) {
    assert_eq!((&jpeg[..2], &jpeg[jpeg.len() - 2..]), (&b"\xff\xd8"[..], &b"\xff\xd9"[..]), "a whole JPEG");
    let decoder = image::ImageReader::with_format(std::io::Cursor::new(jpeg), image::ImageFormat::Jpeg);
    let picture = decoder.decode().unwrap();
    (picture.width(), picture.height())
}

/// Number of pictures in a video file, counted by ffprobe.
pub fn frames(video: &Path) -> u32 {
    let counted = Command::new("ffprobe")
        .args(["-v", "error", "-count_frames", "-select_streams", "v:0"])
        .args(["-show_entries", "stream=nb_read_frames", "-of", "csv=p=0"])
        .arg(video)
        .output()
        .unwrap();
    assert!(counted.status.success() && counted.stderr.is_empty(), "{counted:?}");
    String::from_utf8(counted.stdout).unwrap().trim().parse().unwrap()
}
