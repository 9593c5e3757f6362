//! Recordings and live pictures by readers that are not ours: curl for parts of an MP4, ffmpeg and ffprobe over HTTP.

use std::path::Path;
use std::process::Command;

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{details, is_recording, recordings};
use crate::support::{Daemon, fast_folder, frames, wait_for};

/// Fetches to a file by curl; answers the status.
fn curl(daemon: &Daemon, path: &str, options: &[&str], to: &Path) -> u32 {
    let fetched = Command::new("curl")
        .args(["-sS", "--max-time", "60", "-w", "%{http_code}", "-o"])
        .arg(to)
        .args(options)
        .arg(format!("http://{}{path}", daemon.address))
        .output()
        .unwrap();
    assert!(fetched.status.success() && fetched.stderr.is_empty(), "{fetched:?}");
    String::from_utf8(fetched.stdout).unwrap().parse().unwrap()
}

/// What ffprobe says, without a complaint.
fn probe(what: &str, entries: &str) -> String {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", entries, "-of", "csv=p=0", what])
        .output()
        .unwrap();
    assert!(probed.status.success() && probed.stderr.is_empty(), "{probed:?}");
    String::from_utf8(probed.stdout).unwrap().trim().to_owned()
}

fn decodes(what: &str, options: &[&str]) {
    let decoded = Command::new("ffmpeg")
        .args(["-nostdin", "-v", "warning", "-xerror", "-i", what])
        .args(options)
        .args(["-fps_mode", "passthrough", "-enc_time_base", "-1", "-f", "null", "-"])
        .output()
        .unwrap();
    assert!(decoded.status.success() && decoded.stderr.is_empty(), "{}", String::from_utf8_lossy(&decoded.stderr));
}

#[test]
fn curl_gets_any_part_of_a_recording() {
    let daemon = Daemon::start("");
    let path = format!("{}/video.mp4", daemon.record());
    let (all, part) = (daemon.folder.path().join("all"), daemon.folder.path().join("part"));
    assert_eq!(curl(&daemon, &path, &[], &all), 200);
    let whole = std::fs::read(&all).unwrap();
    let (last, middle) = (whole.len() - 1, whole.len() / 2);
    for (range, expected) in [
        ("0-0".to_owned(), &whole[..1]),
        (format!("{middle}-{}", middle + 999), &whole[middle..middle + 1000]),
        (format!("{last}-"), &whole[last..]),
        ("-1".to_owned(), &whole[last..]),
        (format!("{}-{}", last - 9, last + 1000), &whole[last - 9..]),
    ] {
        assert_eq!(curl(&daemon, &path, &["-r", &range], &part), 206, "{range}");
        assert!(std::fs::read(&part).unwrap() == expected, "{range}");
    }
    assert_eq!(curl(&daemon, &path, &["-r", &format!("{}-", last + 1)], &part), 416);
    // Several at once: the whole, as a server may.
    assert_eq!(curl(&daemon, &path, &["-r", "0-1,10-20"], &part), 200);
    assert!(std::fs::read(&part).unwrap() == whole);
    // A download that was broken off goes on.
    std::fs::write(&part, &whole[..middle]).unwrap();
    assert_eq!(curl(&daemon, &path, &["-C", "-"], &part), 206);
    assert!(std::fs::read(&part).unwrap() == whole);
    // ffmpeg seeks in it by itself.
    decodes(&format!("http://{}{path}", daemon.address), &["-ss", "1"]);
}

#[test]
fn a_recording_being_written_and_one_that_was_cut_off_play_for_as_long_as_they_are() {
    let server = JpegCamera::start();
    let section = server.section("recording_padding_s = 2.0\nmin_trigger_area = 1.0");
    let section = section.replace("[cameras.front.disk]", "record_always = true\n[cameras.front.disk]");
    let mut daemon = Daemon::start_in(fast_folder(), "", &section);
    let file = daemon.folder.path().join("video.mp4");
    let newest = |daemon: &Daemon| details(daemon).first().cloned();
    wait_for("three seconds on disk", || {
        newest(&daemon).is_some_and(|recording| recording["duration_s"].as_f64().unwrap() > 3.0)
    });
    assert!(is_recording(&daemon));
    let id = newest(&daemon).unwrap()["id"].as_str().unwrap().to_owned();
    let path = format!("/api/recordings/{id}/video.mp4");
    assert_eq!(curl(&daemon, &path, &["-L"], &file), 200);
    decodes(file.to_str().unwrap(), &[]);

    daemon.kill();
    daemon.start_again();
    let cut_off = || recordings(&daemon.data()).into_iter().find(|recorded| recorded.id == id).unwrap();
    wait_for("the recording to be mended", || cut_off().index.closed().is_some());
    assert_eq!(curl(&daemon, &path, &[], &file), 200);
    decodes(file.to_str().unwrap(), &[]);
    let recorded = cut_off();
    let pictures = recorded.units();
    assert_eq!(frames(&file) as usize, pictures.len());
    // From the first picture to the last, which is shown for about as long as the others.
    let duration_s: f64 = probe(file.to_str().unwrap(), "format=duration").parse().unwrap();
    let expected_s = recorded.duration().as_secs_f64() * pictures.len() as f64 / (pictures.len() - 1) as f64;
    assert!((duration_s - expected_s).abs() < 0.1, "{duration_s} s, {expected_s} s expected");
}

#[test]
fn ffmpeg_watches_live_over_http() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let address = format!("http://{}/live.mp4", daemon.address);
    decodes(&address, &["-frames:v", "15"]);
    let live = probe(&address, "stream=codec_name,profile,width,height");
    assert!(live.starts_with("h264,Constrained Baseline,320,240"), "{live}");
}
