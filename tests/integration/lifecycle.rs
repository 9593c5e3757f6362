//! How the daemon starts and ends, what systemd hears of it, what changes while it records, what it remembers, and which
//! recordings it lets go.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use watchtower::picture::Rotation;
use watchtower::recording::id::RecordingId;
use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::{JpegCamera, SIZE};
use crate::many::make;
use crate::recorded::{details, is_recording, recordings, wait_for_complete};
use crate::support::{CAMERA, Daemon, PATIENCE, wait_for};

/// Nothing triggers, and an event by hand is long enough to do something in it.
const BY_HAND: &str = "recording_padding_s = 4.0\nmin_trigger_area = 1.0";

fn record(daemon: &Daemon) {
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    wait_for("the event", || is_recording(daemon));
}

fn set(daemon: &Daemon, settings: &str) {
    assert_eq!(daemon.send("POST", "/api/config", &[], settings.as_bytes()).status, 200, "{settings}");
}

#[test]
fn sigterm_ends_a_recording_with_every_picture_up_to_then() {
    let camera = JpegCamera::start();
    let mut daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera.section(BY_HAND));
    camera.wait_for_more(20);
    record(&daemon);
    camera.wait_for_more(10);
    let last = camera.sent().last().unwrap().number;
    let begin = Instant::now();
    assert_eq!(daemon.end().code(), Some(0));
    assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());

    let recorded = recordings(&daemon.data()).remove(0);
    recorded.assert_sound();
    assert_eq!(recorded.index.closed(), Some(CloseReason::Shutdown));
    let numbers = recorded.numbers();
    recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
    // The last one may have been on its way.
    assert!(*numbers.last().unwrap() + 1 >= last, "it ends with {numbers:?}, {last} had been sent");
}

#[test]
fn a_faulty_configuration_is_78_and_an_address_in_use_is_1() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("watchtower.toml");
    let run = |config: String| {
        std::fs::write(&file, config).unwrap();
        let program = env!("CARGO_BIN_EXE_watchtower");
        let ended = Command::new(program).args(["run", "--config"]).arg(&file).stdout(Stdio::null()).output().unwrap();
        (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
    };
    let data = folder.path().join("data");
    let (code, said) = run(format!("[storage]\npath = {data:?}\n[web]\nlissen = \"127.0.0.1:0\"\n{CAMERA}"));
    assert_eq!(code, Some(78), "{said}");
    assert!(said.contains("lissen") && said.contains("listen"), "it names the key and the one that is meant: {said}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let (code, said) = run(format!("[storage]\npath = {data:?}\n[web]\nlisten = \"{address}\"\n{CAMERA}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(&address.to_string()), "it names the address: {said}");
}

#[test]
fn systemd_hears_that_it_is_ready_alive_and_stopping() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let data = folder.path().join("data");
    let config = format!("[storage]\npath = {data:?}\n[web]\nlisten = \"127.0.0.1:0\"\n{CAMERA}");
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "600000")];
    let mut daemon = Daemon::configured(folder, &config, &environment);
    let hear = || {
        let mut message = [0; 4096];
        let length = socket.recv(&mut message).expect("a message in time");
        String::from_utf8(message[..length].to_vec()).unwrap().trim().to_owned()
    };
    // The watchdog may be fed before the daemon is ready, not instead.
    let until = |wanted: &str| (0..100).any(|_| hear() == wanted);
    assert!(until("READY=1"));
    assert!((0..3).all(|_| until("WATCHDOG=1")));
    assert_eq!(daemon.end().code(), Some(0));
    assert!(until("STOPPING=1"));
}

#[test]
fn half_a_turn_while_recording_leaves_no_gap() {
    let camera = JpegCamera::start();
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera.section(BY_HAND));
    camera.wait_for_more(20);
    record(&daemon);
    camera.wait_for_more(10);
    set(&daemon, r#"{"rotation": 180}"#);
    let recordings = wait_for_complete(&daemon, 1);
    assert_eq!(recordings.len(), 1);
    let recorded = &recordings[0];
    recorded.assert_sound();
    // Which pictures are turned is not known: each is readable one way.
    let codes = recorded.codes_turned_either(Rotation::Half);
    let numbers: Vec<_> = codes.iter().map(|(code, _)| code.number).collect();
    assert_eq!(numbers, (numbers[0]..=*numbers.last().unwrap()).collect::<Vec<_>>());
    let turned: Vec<_> = codes.iter().map(|(_, turned)| *turned).collect();
    assert!(!turned[0] && turned[turned.len() - 1] && turned.is_sorted(), "once, in the middle: {turned:?}");
}

#[test]
fn a_quarter_turn_while_recording_begins_another_recording() {
    let camera = JpegCamera::start();
    let mut daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera.section(BY_HAND));
    camera.wait_for_more(20);
    record(&daemon);
    camera.wait_for_more(10);
    set(&daemon, r#"{"rotation": 90, "brightness": 60}"#);
    let recordings = wait_for_complete(&daemon, 2);
    let [upright, turned] = &recordings[..] else { panic!("{} recordings", recordings.len()) };
    assert_eq!((upright.index.header.size, turned.index.header.size), (SIZE, SIZE.turned()));
    assert_eq!(upright.index.closed(), Some(CloseReason::SizeChanged));
    assert_eq!(upright.index.header.event, turned.index.header.event);
    assert_eq!((upright.index.header.part, turned.index.header.part), (0, 1));
    upright.assert_sound();
    turned.assert_sound();
    let mut codes = upright.codes();
    codes.extend(turned.codes_turned(Rotation::ThreeQuarters));
    let numbers: Vec<_> = codes.iter().map(|code| code.number).collect();
    assert_eq!(numbers, (numbers[0]..=*numbers.last().unwrap()).collect::<Vec<_>>(), "no picture is missing between");

    // And it is remembered.
    assert_eq!(daemon.get("/api/stop").status, 200);
    let settings = daemon.get("/api/config").json();
    assert!(daemon.end().success());
    daemon.start_again();
    assert_eq!(daemon.get("/api/config").json(), settings);
    assert_eq!((&settings["rotation"], &settings["brightness"]), (&90.into(), &60.into()));
    assert_eq!(daemon.get("/api/status").json()["monitoring"], false);
}

#[test]
fn too_many_bytes_let_the_oldest_go_but_neither_the_newest_nor_a_protected_one() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let now = Timestamp::now();
    let ids: Vec<RecordingId> = (0..6)
        .map(|n| {
            let start = now - SignedDuration::from_mins(60 - n * 5);
            let id = RecordingId::at(start, &TimeZone::system());
            make(&data, n, id, start, 3_000_000);
            id
        })
        .collect();
    std::fs::write(data.join(format!("recordings/front/{}/protected", ids[1])), b"").unwrap();
    let foreign = data.join("recordings/front/notes.txt");
    std::fs::write(&foreign, b"mine").unwrap();

    // 18 MB in all, of which 10 may stay: 3 of 3 MB.
    let config = format!(
        "[storage]\npath = {data:?}\nmax_size = \"10 MB\"\n[web]\nlisten = \"127.0.0.1:0\"\n{CAMERA}\
         [cameras.front.disk]\nkbit = 200\n"
    );
    let daemon = Daemon::configured(folder, &config, &[]);
    let listed = || details(&daemon).iter().map(|r| r["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    let expected: Vec<String> = [5, 4, 1].map(|n: usize| ids[n].to_string()).to_vec();
    wait_for("the oldest to go", || listed() == expected);
    // There is room for one more of a few seconds.
    daemon.wait_for_pictures();
    record(&daemon);
    let on_disk = wait_for_complete(&daemon, 4);
    assert_eq!(listed()[1..], expected);
    let mut names: Vec<_> = on_disk.iter().map(|recorded| recorded.id.clone()).collect();
    names.sort_by(|a, b| b.cmp(a));
    assert_eq!(names, listed(), "what is not listed is gone");
    assert!(foreign.exists());
}
