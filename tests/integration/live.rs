//! Live H.264: read as it comes, by a hand-made reader of the fragments and by ffmpeg.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use socket2::SockRef;

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{camera, count, is_recording, wait_for_complete};
use crate::support::{Daemon, PATIENCE, begin, read_chunk, read_head, wait_for};

/// Somebody who watches `live.mp4`.
struct Viewer {
    reader: BufReader<TcpStream>,
    content_type: String,
    /// What has come and was not taken yet.
    bytes: Vec<u8>,
    ended: bool,
}

/// What a fragment says of its picture.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Picture {
    /// Ticks of 1/90000 s.
    at: u64,
    keyframe: bool,
    bytes: usize,
}

impl Viewer {
    fn open(daemon: &Daemon) -> Self {
        Self::connected(TcpStream::connect(&daemon.address).unwrap())
    }

    fn connected(mut stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        begin(&mut stream, "GET", "/live.mp4", &[], b"");
        let mut reader = BufReader::new(stream);
        let (status, headers) = read_head(&mut reader);
        let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
        assert_eq!(status, 200);
        assert_eq!(header("cache-control").as_deref(), Some("no-store"));
        Self { reader, content_type: header("content-type").unwrap(), bytes: Vec::new(), ended: false }
    }

    /// The next top-level box with its type; `None` at the end of the body.
    fn boxed(&mut self) -> Option<(String, Vec<u8>)> {
        loop {
            if let Some(length) = self.bytes.first_chunk::<4>().map(|length| u32::from_be_bytes(*length) as usize)
                && self.bytes.len() >= length
            {
                let rest = self.bytes.split_off(length);
                let whole = std::mem::replace(&mut self.bytes, rest);
                return Some((String::from_utf8(whole[4..8].to_vec()).unwrap(), whole));
            }
            match read_chunk(&mut self.reader) {
                Some(chunk) => self.bytes.extend(chunk),
                None => {
                    assert!(self.bytes.is_empty(), "it ends with a whole box");
                    self.ended = true;
                    return None;
                }
            }
        }
    }

    /// The next picture, and the bytes of its fragment, before the first one with the head.
    fn picture(&mut self) -> Option<(Picture, Vec<u8>)> {
        let mut all = Vec::new();
        let mut moof = Vec::new();
        loop {
            let (kind, bytes) = self.boxed()?;
            all.extend(&bytes);
            match kind.as_str() {
                "ftyp" | "moov" => {}
                "moof" => moof = bytes,
                "mdat" => {
                    let at = |name: &[u8]| memchr::memmem::find(&moof, name).unwrap() + 4;
                    let (time, run) = (at(b"tfdt"), at(b"trun"));
                    let number = |at: usize| u64::from_be_bytes(*moof[at..].first_chunk::<8>().unwrap());
                    // One sample: flags, count, offset, then duration, size and flags of the sample.
                    let flags = u32::from_be_bytes(*moof[run + 20..].first_chunk::<4>().unwrap());
                    let picture = Picture { at: number(time + 4), keyframe: flags & 0x1_0000 == 0, bytes: bytes.len() };
                    return Some((picture, all));
                }
                other => panic!("a box {other}"),
            }
        }
    }
}

/// What ffprobe makes of the bytes: each picture's time in ticks.
fn times(mp4: &[u8]) -> Vec<u64> {
    let mut probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "frame=pts", "-of", "csv=p=0", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    probe.stdin.take().unwrap().write_all(mp4).unwrap();
    let probed = probe.wait_with_output().unwrap();
    assert!(probed.status.success() && probed.stderr.is_empty(), "{}", String::from_utf8_lossy(&probed.stderr));
    let text = String::from_utf8(probed.stdout).unwrap();
    text.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect()
}

/// What ffmpeg has to say when it decodes the bytes; nothing, if all is well.
fn complaints(mp4: &[u8]) -> String {
    let mut player = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-err_detect", "explode", "-i", "-"])
        .args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    player.stdin.take().unwrap().write_all(mp4).unwrap();
    let played = player.wait_with_output().unwrap();
    assert!(played.status.success(), "{played:?}");
    String::from_utf8(played.stderr).unwrap()
}

#[test]
fn live_mp4_begins_at_once_with_an_idr_and_ffmpeg_plays_it() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let began = Instant::now();
    let mut viewer = Viewer::open(&daemon);
    let (first, mut file) = viewer.picture().unwrap();
    // The pattern is encoded all the time: nothing has to be waited for but this busy machine.
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    assert!(first.keyframe && first.at == 0);
    let codec = viewer.content_type.strip_prefix("video/mp4; codecs=\"avc1.").unwrap().strip_suffix('"').unwrap();
    assert!(codec.len() == 6 && codec.bytes().all(|c| c.is_ascii_hexdigit()), "{codec}");
    let mut pictures = vec![first];
    while pictures.len() < 40 {
        let (picture, bytes) = viewer.picture().unwrap();
        pictures.push(picture);
        file.extend(bytes);
    }
    assert_eq!(complaints(&file), "");
    let seen = times(&file);
    assert_eq!(seen, pictures.iter().map(|picture| picture.at).collect::<Vec<_>>());
    // 10 pictures a second, less what a busy machine skips.
    let seconds = seen[39] as f64 / 90_000.0;
    assert!((3.8..12.0).contains(&seconds), "40 pictures in {seconds} s");
    assert_eq!(camera(&daemon)["viewers"], 1);
    drop(viewer);
    wait_for("the viewer to be gone", || camera(&daemon)["viewers"] == 0);
}

#[test]
fn the_encoder_of_a_jpeg_camera_runs_only_for_viewers_and_never_twice() {
    let server = JpegCamera::start();
    let section = server.section("recording_padding_s = 2.0\nmin_trigger_area = 1.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    server.wait_for_more(30);
    let encoded = || count(&daemon, "stage_runs", "encode");
    let before = encoded();
    server.wait_for_more(10);
    assert_eq!(encoded(), before, "nobody watches");

    let began = Instant::now();
    let mut viewers: Vec<Viewer> = (0..3).map(|_| Viewer::open(&daemon)).collect();
    let mut file = Vec::new();
    for viewer in &mut viewers {
        let (first, _) = viewer.picture().unwrap();
        assert!(first.keyframe);
    }
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    let (sent, made) = (server.sent().len(), encoded());
    for _ in 0..20 {
        viewers.iter_mut().for_each(|viewer| drop(viewer.picture().unwrap()));
    }
    let (sent, made) = (server.sent().len() - sent, encoded() - made);
    assert!(made <= sent as u64 + 2, "{made} pictures encoded of {sent}, for three viewers");

    // While the same is recorded, the viewers get what goes to the disk.
    let mut late = Viewer::open(&daemon);
    let mut last = None;
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    wait_for("the recording", || is_recording(&daemon));
    let mut recorded = false;
    loop {
        let (picture, bytes) = late.picture().unwrap();
        assert!(last.is_none_or(|last| picture.at > last), "time goes on");
        last = Some(picture.at);
        file.extend(bytes);
        let now = is_recording(&daemon);
        if recorded && !now {
            break;
        }
        recorded |= now;
    }
    for _ in 0..5 {
        file.extend(late.picture().unwrap().1);
    }
    // Decodes from one encoder to the other and back.
    assert_eq!(complaints(&file), "");
    let complete = wait_for_complete(&daemon, 1).remove(0);
    complete.assert_sound();

    drop((viewers, late));
    wait_for("all viewers to be gone", || camera(&daemon)["viewers"] == 0);
    // One may still be in the making.
    server.wait_for_more(2);
    let before = encoded();
    server.wait_for_more(10);
    assert_eq!(encoded(), before, "nobody watches any more");
}

#[test]
fn during_a_recording_each_picture_is_encoded_once_for_all() {
    let server = JpegCamera::start();
    let section = server.section("recording_padding_s = 8.0\nmin_trigger_area = 1.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    server.wait_for_more(20);
    let mut viewer = Viewer::open(&daemon);
    assert!(viewer.picture().unwrap().0.keyframe);
    // The pre-roll is encoded by itself, which may take its time; after that, one encoder has to do.
    let encoded = || count(&daemon, "stage_runs", "encode");
    wait_for("a picture that is encoded once", || {
        assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
        let (sent, made) = (server.sent().len(), encoded());
        for _ in 0..20 {
            viewer.picture().unwrap();
        }
        let (sent, made) = ((server.sent().len() - sent) as u64, encoded() - made);
        is_recording(&daemon) && made <= sent + 2
    });
}

#[test]
fn a_stalled_viewer_goes_on_at_an_idr_and_costs_the_others_nothing() {
    // Noise, so that pictures are large and what is not read does not fit into the sockets.
    let noise = "command:ffmpeg -v error -re -f lavfi -i \
                 nullsrc=size=640x480:rate=10,geq=lum=random(1)*255:cb=128:cr=128 -pix_fmt yuv420p -f rawvideo -";
    let section = format!(
        "[cameras.front]\nsource = \"{noise}\"\nsize = \"640x480\"\nfps = 10\n[cameras.front.disk]\nkbit = 20000\n\
         [cameras.front.motion]\nmin_trigger_area = 1.0\n"
    );
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    daemon.wait_for_pictures();
    let socket = TcpStream::connect(&daemon.address).unwrap();
    SockRef::from(&socket).set_recv_buffer_size(16 * 1024).unwrap();
    let mut stalled = Viewer::connected(socket);
    let mut other = Viewer::open(&daemon);
    assert!(stalled.picture().unwrap().0.keyframe);
    let mut last = other.picture().unwrap().0;
    let lapped = || count(&daemon, "access_units_skipped", "viewer_lapped");
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        let (picture, _) = other.picture().unwrap();
        assert!(picture.at > last.at);
        last = picture;
    }
    assert_eq!(lapped(), 0, "the other one misses nothing");
    // Now it reads again: first what was on its way, then from an IDR on.
    let mut before = stalled.picture().unwrap().0;
    let after = loop {
        let (picture, _) = stalled.picture().unwrap();
        if picture.at - before.at > 3 * 90_000 {
            break picture;
        }
        before = picture;
    };
    assert!(after.keyframe, "{after:?} after {before:?}");
    assert!(lapped() > 0);
}

#[test]
fn a_change_of_size_ends_the_stream_and_the_next_one_has_the_new_size() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let mut viewer = Viewer::open(&daemon);
    viewer.picture().unwrap();
    assert_eq!(daemon.send("POST", "/api/config", &[], br#"{"rotation": 90}"#).status, 200);
    while viewer.picture().is_some() {}
    assert!(viewer.ended);
    let mut turned = Viewer::open(&daemon);
    let (_, mut file) = turned.picture().unwrap();
    file.extend(turned.picture().unwrap().1);
    let path = daemon.folder.path().join("turned.mp4");
    std::fs::write(&path, &file).unwrap();
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(probed.stdout).unwrap().trim(), "240,320");
}

#[test]
fn live_mp4_ends_with_the_daemon_and_is_503_without_pictures() {
    let daemon =
        Daemon::start_in(tempfile::tempdir().unwrap(), "", "[cameras.front]\nsource = \"http://127.0.0.1:1/\"\n");
    daemon.get("/live.mp4").problem(503);
    drop(daemon);
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let mut viewer = Viewer::open(&daemon);
    viewer.picture().unwrap();
    let end = std::thread::spawn(move || daemon.terminate());
    while viewer.picture().is_some() {}
    assert!(end.join().unwrap().success());
    assert!(viewer.reader.fill_buf().unwrap().is_empty());
}
