//! Server-sent events, read as a browser does: what happens, in order, with resuming and bounds.

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;

use crate::jpeg_camera::JpegCamera;
use crate::support::{Daemon, PATIENCE, begin, read_head, wait_for};

/// One event.
#[derive(Clone, Debug)]
struct Event {
    name: String,
    id: Option<u64>,
    data: Value,
}

/// Somebody who listens.
struct Listener {
    lines: std::io::Lines<BufReader<Unchunked>>,
    comments: usize,
}

/// The body of a chunked answer.
struct Unchunked {
    reader: BufReader<TcpStream>,
    left: usize,
}

impl Read for Unchunked {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.left == 0 {
            let mut line = String::new();
            // After a chunk comes an empty line.
            while line.trim().is_empty() {
                line.clear();
                if self.reader.read_line(&mut line)? == 0 {
                    return Ok(0);
                }
            }
            self.left = usize::from_str_radix(line.trim(), 16).unwrap();
            if self.left == 0 {
                return Ok(0);
            }
        }
        let most = self.left.min(to.len());
        let read = self.reader.read(&mut to[..most])?;
        self.left -= read;
        Ok(read)
    }
}

impl Listener {
    fn open(daemon: &Daemon, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(&daemon.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        begin(&mut stream, "GET", path, headers, b"");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        assert_eq!(status, 200);
        assert!(headers.contains(&("content-type".into(), "text/event-stream".into())), "{headers:?}");
        Self { lines: BufReader::new(Unchunked { reader, left: 0 }).lines(), comments: 0 }
    }

    /// The next event; `None` when the stream ends.
    fn next(&mut self) -> Option<Event> {
        let (mut name, mut id, mut data) = (String::new(), None, String::new());
        loop {
            let line = self.lines.next()?.unwrap();
            match line.split_once(':').map(|(field, value)| (field, value.trim_start())) {
                Some(("event", value)) => name = value.to_owned(),
                Some(("id", value)) => id = Some(value.parse().unwrap()),
                Some(("data", value)) => data += value,
                Some(("", _)) => self.comments += 1,
                Some(("retry", value)) => assert_eq!(value, "2000"),
                Some(other) => panic!("{other:?}"),
                None if data.is_empty() => {}
                None => return Some(Event { name, id, data: serde_json::from_str(&data).unwrap() }),
            }
        }
    }

    /// The next event of this name for which `wanted` holds; others are left out.
    fn wait(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Event {
        let begin = Instant::now();
        loop {
            let event = self.next().expect("an event");
            if event.name == name && wanted(&event.data) {
                return event;
            }
            assert!(begin.elapsed() < PATIENCE, "waited in vain for {name}");
        }
    }
}

const TWO: &str = "[cameras.front]\nlabel = \"Front door\"\nsource = \"pattern\"\nsize = \"320x240\"\nfps = 10\n\
                   [cameras.front.motion]\nmin_trigger_area = 1.0\nrecording_padding_s = 1.0\n\
                   [cameras.yard]\nsource = \"pattern\"\nsize = \"320x240\"\nfps = 10\n";

#[test]
fn states_and_recordings_are_told_and_a_broken_connection_resumes() {
    let daemon = Daemon::start_with(tempfile::tempdir().unwrap(), "default_camera = \"front\"", "", TWO);
    daemon.wait_for_pictures();
    let mut all = Listener::open(&daemon, "/api/events", &[]);
    let first = [all.next().unwrap(), all.next().unwrap()];
    let names: Vec<_> = first.iter().map(|event| (event.name.as_str(), event.data["name"].as_str().unwrap())).collect();
    assert_eq!(names, [("state", "front"), ("state", "yard")]);
    // Exactly what the list says; the measured rate and the time may have moved on.
    let listed = daemon.get("/api/cameras").json();
    for (event, listed) in first.iter().zip(listed.as_array().unwrap()) {
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&event.data), keys(listed));
    }

    let mut yard = Listener::open(&daemon, "/cameras/yard/api/events", &[]);
    assert_eq!(yard.next().unwrap().data["name"], "yard");

    assert_eq!(daemon.get("/api/record").status, 204);
    let started = all.wait("recording", |data| data["state"] == "started");
    assert_eq!(started.data["camera"], "front");
    let id = started.data["id"].as_str().unwrap().to_owned();
    assert_eq!(id, format!("{}/{}", started.data["day"].as_str().unwrap(), started.data["time"].as_str().unwrap()));
    let mut ids = vec![started.id.unwrap()];
    loop {
        let event = all.next().unwrap();
        ids.extend(event.id);
        if event.name == "recording" && event.data["state"] == "finished" {
            assert_eq!(event.data["id"], id.as_str());
            break;
        }
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]), "{ids:?}");

    drop(all);
    let path = format!("/api/recordings/{id}");
    assert_eq!(daemon.send("PATCH", &path, &[], br#"{"protected": true}"#).status, 200);
    assert_eq!(daemon.send("PATCH", &path, &[], br#"{"protected": false}"#).status, 200);
    assert_eq!(daemon.send("DELETE", &path, &[], b"").status, 204);
    let last = ids.last().unwrap().to_string();
    let mut resumed = Listener::open(&daemon, "/api/events", &[("Last-Event-ID", &last)]);
    let mut told = Vec::new();
    loop {
        let event = resumed.next().unwrap();
        match event.name.as_str() {
            "recording" => told.push(event.data["state"].as_str().unwrap().to_owned()),
            "state" if told.len() == 3 => break,
            "state" => {}
            other => panic!("{other}"),
        }
    }
    assert_eq!(told, ["changed", "changed", "deleted"]);

    for unknown in ["1", "nonsense", "18446744073709551615"] {
        let mut lost = Listener::open(&daemon, "/cameras/front/api/events", &[("Last-Event-ID", unknown)]);
        let event = lost.next().unwrap();
        assert_eq!((event.name.as_str(), event.data["camera"].as_str()), ("reset", Some("front")), "{unknown}");
        assert_eq!(lost.next().unwrap().name, "state");
    }

    // The other camera's listener heard nothing of it, and hears of its own.
    assert_eq!(daemon.send("POST", "/cameras/yard/api/stop", &[], b"").status, 200);
    let event = yard.wait("state", |data| data["monitoring"] == false);
    assert_eq!((event.data["name"].as_str(), event.data["state"].as_str()), (Some("yard"), Some("paused")));

    let end = std::thread::spawn(move || daemon.terminate());
    while resumed.next().is_some() {}
    while yard.next().is_some() {}
    assert!(end.join().unwrap().success());
}

#[test]
fn motion_is_told_with_boxes_and_while_tuning_with_cells() {
    let server = JpegCamera::start();
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &server.section("recording_padding_s = 1.0"));
    let mut plain = Listener::open(&daemon, "/api/events", &[]);
    let mut tuning = Listener::open(&daemon, "/api/events?tuning=1", &[]);
    server.wait_until_settled();
    let still = tuning.wait("motion", |data| data["settling"] == false);
    assert_eq!(still.id, None, "motion is of the moment");
    let number = |data: &Value, name: &str| data[name].as_f64().unwrap();
    let bits = (number(&still.data, "columns") * number(&still.data, "rows")) as usize;
    let cells = BASE64_STANDARD.decode(still.data["cells"].as_str().unwrap()).unwrap();
    assert_eq!(cells.len(), bits.div_ceil(8));
    server.walk(true);
    let moving = plain.wait("motion", |data| data["regions"].as_array().is_some_and(|regions| !regions.is_empty()));
    let at: jiff::Timestamp = moving.data["at"].as_str().unwrap().parse().unwrap();
    assert!(jiff::Timestamp::now().duration_since(at).abs() < jiff::SignedDuration::from_secs(30));
    assert!(number(&moving.data, "changed") >= number(&moving.data, "threshold"), "{moving:?}");
    assert!(moving.data.get("cells").is_none());
    for region in moving.data["regions"].as_array().unwrap() {
        let [x, y, width, height] = ["x", "y", "width", "height"].map(|name| number(region, name));
        assert!(x >= 0.0 && y >= 0.0 && x + width <= 1.0001 && y + height <= 1.0001, "{region}");
    }
    tuning.wait("motion", |data| {
        let cells = BASE64_STANDARD.decode(data["cells"].as_str().unwrap()).unwrap();
        data["motion"] == true && cells.iter().any(|byte| *byte != 0)
    });
    // At most five a second.
    let (began, mut told) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_secs(3) {
        told += u32::from(plain.next().unwrap().name == "motion");
    }
    assert!(told <= 17, "{told} in 3 s");
    server.walk(false);
    plain.wait("motion", |data| data["regions"].as_array().is_some_and(Vec::is_empty));
}

#[test]
fn the_detector_looks_for_who_tunes_while_the_camera_is_paused() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    assert_eq!(daemon.send("POST", "/api/stop", &[], b"").status, 200);
    let mut tuning = Listener::open(&daemon, "/api/events?tuning=1", &[]);
    tuning.wait("motion", |data| data["settling"] == true);
    tuning.wait("motion", |data| data["settling"] == false);
    drop(tuning);
    let looks = || daemon.metric("watchtower_frames_total{camera=\"front\",kind=\"looked_at\"}");
    // The end of a connection is noticed with the next thing that is sent.
    wait_for("the detector's rest", || {
        let before = looks();
        std::thread::sleep(Duration::from_millis(500));
        looks() == before
    });
}

#[test]
fn listeners_are_bounded_and_bad_questions_refused() {
    let daemon = Daemon::start("");
    daemon.get("/api/events?tuning=2").problem(422);
    daemon.get("/cameras/nobody/api/events").problem(404);
    let listeners: Vec<_> = (0..64).map(|_| Listener::open(&daemon, "/api/events", &[])).collect();
    assert!(daemon.get("/api/events").problem(503).contains("listen"));
    assert_eq!(daemon.get("/api/status").status, 200);
    drop(listeners);
    wait_for("a place", || {
        let mut stream = TcpStream::connect(&daemon.address).unwrap();
        begin(&mut stream, "GET", "/api/events", &[], b"");
        read_head(&mut BufReader::new(stream)).0 == 200
    });
}
