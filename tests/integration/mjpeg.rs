//! The live stream, byte by byte, and what viewers do to each other.

use std::io::{BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::jpeg_camera::JpegCamera;
use crate::support::{Daemon, PATIENCE, begin, jpeg_size, read_chunk, read_head, wait_for};

/// A viewer's connection, read part by part.
pub struct Viewer {
    reader: BufReader<TcpStream>,
    ahead: Vec<u8>,
}

impl Viewer {
    pub fn open(daemon: &Daemon, path: &str) -> Self {
        let mut stream = TcpStream::connect(&daemon.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        begin(&mut stream, "GET", path, &[], b"");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200);
        let kind = headers.iter().find(|(name, _)| name == "content-type").unwrap();
        assert_eq!(kind.1, "multipart/x-mixed-replace; boundary=FRAME");
        Self { reader, ahead: Vec::new() }
    }

    fn fill(&mut self) {
        let chunk = read_chunk(&mut self.reader).expect("the stream goes on");
        self.ahead.extend(chunk);
    }

    fn take_until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.ahead.windows(mark.len()).position(|w| w == mark) {
                let rest = self.ahead.split_off(at + mark.len());
                return std::mem::replace(&mut self.ahead, rest);
            }
            self.fill();
        }
    }

    /// The next part's content and the time at which its picture was taken, with the form of its head asserted.
    pub fn part(&mut self) -> (Vec<u8>, f64) {
        let head = String::from_utf8(self.take_until(b"\r\n\r\n")).unwrap();
        let lines: Vec<&str> = head.trim_end().split("\r\n").collect();
        assert_eq!((lines[0], lines[1]), ("--FRAME", "Content-Type: image/jpeg"), "{head}");
        let taken_at = lines[2].strip_prefix("X-Timestamp: ").unwrap().parse().unwrap();
        let length: usize = lines.last().unwrap().strip_prefix("Content-Length: ").unwrap().parse().unwrap();
        while self.ahead.len() < length + 2 {
            self.fill();
        }
        let rest = self.ahead.split_off(length);
        let content = std::mem::replace(&mut self.ahead, rest);
        assert_eq!(self.ahead.drain(..2).collect::<Vec<_>>(), b"\r\n");
        (content, taken_at)
    }
}

fn viewers(daemon: &Daemon) -> u64 {
    daemon.get("/api/cameras").json()[0]["viewers"].as_u64().unwrap()
}

#[test]
fn each_part_is_a_picture_newer_than_the_one_before() {
    let daemon = Daemon::start("");
    let mut viewer = Viewer::open(&daemon, "/mjpeg");
    let mut last = 0.0;
    for _ in 0..5 {
        let (jpeg, taken_at) = viewer.part();
        assert_eq!(jpeg_size(&jpeg), (320, 240));
        assert!(taken_at > last);
        last = taken_at;
    }
    assert!(Viewer::open(&daemon, "/cameras/front/mjpeg").part().1 > last);
}

#[test]
fn the_line_is_burned_into_a_cameras_own_jpegs_without_decoding_them() {
    let camera = JpegCamera::start();
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera.section("min_trigger_area = 1.0"));
    daemon.wait_for_pictures();
    let (mut annotated, mut raw) = (Viewer::open(&daemon, "/mjpeg"), Viewer::open(&daemon, "/mjpeg?raw=1"));
    let shown: Vec<_> = (0..12).map(|_| annotated.part()).collect();
    let sent: Vec<_> = (0..12).map(|_| raw.part()).collect();
    let mut pairs = 0;
    for (shown, taken_at) in &shown {
        let Some((sent, _)) = sent.iter().find(|(_, at)| at == taken_at) else { continue };
        assert_ne!(shown, sent);
        // The lower half is the camera's, byte for byte.
        assert!(shown.ends_with(&sent[sent.len() / 2..]));
        pairs += 1;
    }
    assert!(pairs >= 5, "only {pairs} pictures were seen both ways");
    assert_eq!(daemon.metric("watchtower_stage_runs_total{camera=\"front\",stage=\"view\"}"), 0.0);
}

#[test]
fn a_part_can_be_base64() {
    let daemon = Daemon::start("");
    let (text, _) = Viewer::open(&daemon, "/mjpeg?encoding=base64").part();
    assert_eq!(jpeg_size(&BASE64_STANDARD.decode(text).unwrap()), (320, 240));
}

#[test]
fn a_viewer_can_ask_for_fewer_and_smaller_pictures() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let mut viewer = Viewer::open(&daemon, "/mjpeg?fps=2&width=160");
    let times: Vec<f64> = (0..4)
        .map(|_| {
            let (jpeg, taken_at) = viewer.part();
            assert_eq!(jpeg_size(&jpeg), (160, 120));
            taken_at
        })
        .collect();
    let rate = 3.0 / (times[3] - times[0]);
    assert!((1.4..=2.4).contains(&rate), "{rate} a second, 2 were asked for");
    // Never enlarged.
    assert_eq!(jpeg_size(&Viewer::open(&daemon, "/mjpeg?width=1920").part().0), (320, 240));
}

#[test]
fn what_cannot_be_is_refused() {
    let daemon = Daemon::start("");
    for query in ["fps=0", "fps=-1", "fps=nan", "fps=many", "width=0", "width=100000", "raw=2", "raw=1&width=160"] {
        daemon.get(&format!("/mjpeg?{query}")).problem(422);
    }
    daemon.wait_for_pictures();
    daemon.get("/mjpeg?raw=1").problem(409);
    daemon.send("POST", "/mjpeg", &[], b"").problem(405);
}

#[test]
fn pictures_are_made_only_while_somebody_watches() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let made = || daemon.metric("watchtower_stage_runs_total{camera=\"front\",stage=\"view\"}");
    assert_eq!((viewers(&daemon), made()), (0, 0.0));
    let mut viewer = Viewer::open(&daemon, "/mjpeg");
    viewer.part();
    assert_eq!(viewers(&daemon), 1);
    assert!(made() > 0.0);
    drop(viewer);
    wait_for("the viewer to be gone", || viewers(&daemon) == 0);
    let before = made();
    std::thread::sleep(Duration::from_millis(500));
    assert!(made() <= before + 1.0, "pictures are made for nobody");
}

#[test]
fn a_viewer_that_reads_nothing_delays_nobody_and_gets_the_present_when_it_reads_again() {
    let daemon = Daemon::start("");
    let mut stalled = Viewer::open(&daemon, "/mjpeg");
    let (_, first) = stalled.part();
    let mut others: Vec<Viewer> = (0..7).map(|_| Viewer::open(&daemon, "/mjpeg")).collect();
    let begin = Instant::now();
    let mut last = 0.0;
    for _ in 0..40 {
        for viewer in &mut others {
            last = viewer.part().1;
        }
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "40 pictures at 10 a second took {:?}", begin.elapsed());
    assert_eq!(viewers(&daemon), 8);
    // What lay in the sockets is old; soon after comes the present.
    let late = (0..400).map(|_| stalled.part().1).find(|taken_at| *taken_at >= last);
    assert!(late.is_some_and(|late| late > first));
}

#[test]
fn the_stream_ends_with_the_daemon() {
    let daemon = Daemon::start("");
    let mut viewer = Viewer::open(&daemon, "/mjpeg");
    viewer.part();
    let begin = Instant::now();
    assert!(daemon.terminate().success());
    assert!(begin.elapsed() < Duration::from_secs(10));
    let mut rest = Vec::new();
    viewer.reader.read_to_end(&mut rest).unwrap();
    assert!(rest.ends_with(b"0\r\n\r\n"), "the body is complete");
}

#[test]
fn a_snapshot_is_one_picture_of_the_moment() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let answer = daemon.get("/api/snapshot.jpg");
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(jpeg_size(&answer.body), (320, 240));
    assert!(answer.header("x-taken-at").is_some());
    assert_eq!(jpeg_size(&daemon.get("/api/snapshot.jpg?width=80").body), (80, 60));
    daemon.get("/api/snapshot.jpg?width=1").problem(422);
}
