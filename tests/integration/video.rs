//! Recordings as MP4: read by ffprobe and ffmpeg, in whole and in parts.

use std::path::Path;
use std::process::Command;

use crate::support::{Daemon, frames, wait_for};

/// The duration that ffprobe finds, in seconds.
fn duration_s(video: &Path) -> f64 {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "format=duration", "-of", "csv=p=0"])
        .arg(video)
        .output()
        .unwrap();
    assert!(probed.status.success() && probed.stderr.is_empty(), "{probed:?}");
    String::from_utf8(probed.stdout).unwrap().trim().parse().unwrap()
}

fn decodes(video: &Path) {
    let decoded = Command::new("ffmpeg")
        .args(["-v", "warning", "-xerror", "-i"])
        .arg(video)
        .args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(decoded.status.success() && decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
}

#[test]
fn a_recording_plays_as_mp4_and_any_part_of_it_is_that_part() {
    let daemon = Daemon::start("");
    let path = daemon.record();
    let mp4 = format!("{path}/video.mp4");
    let whole = daemon.get(&mp4);
    assert_eq!((whole.status, whole.header("content-type")), (200, Some("video/mp4")));
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    assert_eq!(whole.header("content-length"), Some(whole.body.len().to_string().as_str()));
    assert_eq!(whole.header("cache-control"), Some("private, no-cache"));
    assert!(whole.header("content-disposition").unwrap().ends_with(";video.mp4\""));

    let file = daemon.folder.path().join("video.mp4");
    std::fs::write(&file, &whole.body).unwrap();
    decodes(&file);
    let stream = daemon.folder.path().join("video.h264");
    std::fs::write(&stream, daemon.get(&format!("{path}/video")).body).unwrap();
    assert_eq!(frames(&file), frames(&stream));
    // The list counts from the first picture to the last; the last one is shown for a tenth of a second.
    let listed = daemon.get("/api/recordings?details=1").json()[0]["duration_s"].as_f64().unwrap();
    assert!((duration_s(&file) - listed - 0.1).abs() < 0.1, "{} s, {listed} s listed", duration_s(&file));

    let length = whole.body.len();
    let etag = whole.header("etag").unwrap();
    let part = |range: &str| daemon.send("GET", &mp4, &[("Range", range)], b"");
    for (from, to) in [(0, 0), (0, 99), (length / 2, length / 2 + 40_000), (length - 1, length - 1), (7, length - 1)] {
        let to = to.min(length - 1);
        let answer = part(&format!("bytes={from}-{to}"));
        assert_eq!(answer.status, 206);
        assert_eq!(answer.header("content-range"), Some(format!("bytes {from}-{to}/{length}").as_str()));
        assert_eq!(answer.header("etag"), Some(etag));
        assert!(answer.body == whole.body[from..=to], "bytes {from} to {to} differ");
    }
    assert!(part("bytes=-10").body == whole.body[length - 10..]);
    assert!(part(&format!("bytes={}-", length - 10)).body == whole.body[length - 10..]);
    let beyond = part(&format!("bytes={length}-"));
    beyond.problem(416);
    assert_eq!(beyond.header("content-range"), Some(format!("bytes */{length}").as_str()));
    let several = part("bytes=0-1,5-6");
    assert_eq!((several.status, several.body.len()), (200, length));

    let asked = |method, headers: &[(&str, &str)]| daemon.send(method, &mp4, headers, b"");
    let head = asked("HEAD", &[]);
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), Some(length.to_string().as_str()));
    assert_eq!(head.header("etag"), Some(etag));
    let known = asked("GET", &[("If-None-Match", etag)]);
    assert_eq!((known.status, known.header("etag"), known.body.len()), (304, Some(etag), 0));
    assert_eq!(asked("GET", &[("If-None-Match", "\"other\"")]).status, 200);
    assert_eq!(asked("GET", &[("Range", "bytes=0-0"), ("If-Range", etag)]).status, 206);
    assert_eq!(asked("GET", &[("Range", "bytes=0-0"), ("If-Range", "\"other\"")]).status, 200);

    daemon.get(&format!("{mp4}?until=0")).problem(422);
    daemon.get(&format!("{mp4}?until=100000")).problem(404);
    daemon.get("/api/recordings/2020-01-01/00.00.00/video.mp4").problem(404);
    daemon.get("/api/recordings/yesterday/00.00.00/video.mp4").problem(422);
}

#[test]
fn a_recording_being_written_is_redirected_to_what_never_changes() {
    // Five seconds after the request, so that there is time to look at it.
    let camera = crate::support::CAMERA.replace("recording_padding_s = 1.0", "recording_padding_s = 5.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera);
    daemon.wait_for_pictures();
    assert_eq!(daemon.get("/api/record").status, 204);
    let newest = || daemon.get("/api/recordings?details=1").json()[0].clone();
    wait_for("a picture on disk", || newest()["duration_s"].as_f64().is_some_and(|s| s > 0.0));
    assert_eq!(newest()["recording"], true);
    let folder = format!("/api/recordings/{}", newest()["id"].as_str().unwrap());
    let redirect = daemon.get(&format!("{folder}/video.mp4"));
    assert_eq!(redirect.status, 307);
    let until = redirect.header("location").unwrap().to_owned();
    let pictures: u32 = until.strip_prefix("video.mp4?until=").unwrap().parse().unwrap();
    let early = daemon.get(&format!("{folder}/{until}"));
    assert_eq!(early.status, 200);
    let file = daemon.folder.path().join("early.mp4");
    std::fs::write(&file, &early.body).unwrap();
    decodes(&file);
    assert_eq!(frames(&file), pictures);

    wait_for("the recording's end", || newest()["recording"] == false);
    let late = daemon.get(&format!("{folder}/{until}"));
    assert_eq!(late.header("etag"), early.header("etag"));
    assert!(late.body == early.body);
    let whole = daemon.get(&format!("{folder}/video.mp4"));
    assert_eq!(whole.status, 200);
    assert!(whole.body.len() > early.body.len());
}
