//! Every row of 1.x's interface, as its users' scripts know it.

use serde_json::{Value, json};

use crate::support::{CAMERA, Daemon, frames, jpeg_size, wait_for};

#[test]
fn status_start_and_stop() {
    let daemon = Daemon::start("");
    let on = json!({"monitoring": true});
    let off = json!({"monitoring": false});
    assert_eq!(daemon.get("/api/status").json(), on, "a new camera watches");
    for (path, expected) in [("/api/stop", &off), ("/api/status", &off), ("/api/start", &on), ("/api/status", &on)] {
        let answer = daemon.get(path);
        assert_eq!((answer.status, &answer.json()), (200, expected), "{path}");
    }
    assert_eq!(daemon.send("POST", "/api/stop", &[], b"").json(), off);
    assert_eq!(daemon.send("POST", "/cameras/front/api/start", &[], b"").json(), on);
}

#[test]
fn what_was_stopped_and_set_stays_so_after_a_restart() {
    let daemon = Daemon::start("");
    daemon.get("/api/stop");
    assert_eq!(daemon.send("POST", "/api/config", &[], br#"{"brightness": 60}"#).status, 200);
    let folder = tempfile::tempdir().unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(daemon.data()).arg(folder.path()).status();
    assert!(copied.unwrap().success());
    assert!(daemon.terminate().success());
    let again = Daemon::start_in(folder, "", CAMERA);
    assert_eq!(again.get("/api/status").json(), json!({"monitoring": false}));
    assert_eq!(again.get("/api/config").json()["brightness"], 60);
}

fn defaults() -> Value {
    json!({
        "awb_mode": "auto", "brightness": 50, "contrast": 0, "exposure_compensation": 0, "exposure_mode": "auto",
        "image_effect": "none", "iso": 0, "meter_mode": "average", "rotation": 0, "saturation": 0, "sharpness": 0,
        "video_denoise": true,
    })
}

#[test]
fn settings_are_read_changed_in_part_and_answered_whole() {
    let daemon = Daemon::start("");
    let first = daemon.get("/api/config");
    assert_eq!((first.status, first.json()), (200, defaults()));
    let change = json!({"awb_mode": "shade", "brightness": 55, "exposure_mode": "night", "video_denoise": false});
    let mut expected = defaults();
    for (name, value) in change.as_object().unwrap() {
        expected[name] = value.clone();
    }
    let headers = [("Content-Type", "application/json")];
    let changed = daemon.send("POST", "/api/config", &headers, change.to_string().as_bytes());
    assert_eq!((changed.status, changed.json()), (200, expected.clone()));
    assert_eq!(daemon.get("/api/config").json(), expected);
}

#[test]
fn a_setting_that_does_not_exist_changes_nothing() {
    let daemon = Daemon::start("");
    for (change, named) in [
        (r#"{"brightness": 60, "brightnes": 60}"#, "brightnes"),
        (r#"{"brightness": 101}"#, "brightness"),
        (r#"{"contrast": 10, "rotation": 45}"#, "rotation"),
        (r#"{"awb_mode": "moonlight"}"#, "awb_mode"),
        (r#"{"video_denoise": "yes"}"#, "video_denoise"),
        (r#"{"iso": 50}"#, "iso"),
    ] {
        let detail = daemon.send("POST", "/api/config", &[], change.as_bytes()).problem(422);
        assert!(detail.contains(named), "{detail} names {named}");
    }
    daemon.send("POST", "/api/config", &[], b"brightness=60").problem(400);
    daemon.send("POST", "/api/config", &[], b"[]").problem(422);
    assert_eq!(daemon.get("/api/config").json(), defaults());
}

#[test]
fn a_recording_is_made_listed_downloaded_and_deleted() {
    let daemon = Daemon::start("");
    assert_eq!(daemon.get("/api/recordings").json(), json!([]));
    let path = daemon.record();
    let [day, time] =
        path.rsplitn(3, '/').take(2).collect::<Vec<_>>().try_into().map(|[t, d]: [&str; 2]| [d, t]).unwrap();

    assert_eq!(daemon.get("/api/recordings").json(), json!([{"day": day, "times": [time]}]));
    assert_eq!(daemon.get(&format!("/api/recordings/{day}")).json(), json!([time]));

    let trigger = daemon.get(&format!("{path}/trigger"));
    assert_eq!((trigger.status, trigger.header("content-type")), (200, Some("image/jpeg")));
    let named = |name: &str| format!("attachment; filename=\"{day};{time};{name}\"");
    assert_eq!(trigger.header("content-disposition"), Some(&*named("trigger.jpg")));
    assert_eq!(trigger.header("content-length"), Some(&*trigger.body.len().to_string()));
    assert_eq!(jpeg_size(&trigger.body), (320, 240));

    let video = daemon.get(&format!("{path}/video"));
    assert_eq!(video.status, 200);
    assert_eq!(video.header("content-disposition"), Some(&*named("video.h264")));
    assert_eq!(video.header("content-length"), Some(&*video.body.len().to_string()));
    assert_eq!(
        video.body,
        std::fs::read(daemon.data().join(format!("recordings/front/{day}/{time}/video.h264"))).unwrap()
    );
    assert_eq!(video.body, daemon.get(&format!("{path}/recording")).body, "1.x's document called it so");
    let file = daemon.folder.path().join("video.h264");
    std::fs::write(&file, &video.body).unwrap();
    // One second before and after, at ten pictures a second, and at most a GOP more.
    assert!((15..=40).contains(&frames(&file)), "{} frames", frames(&file));

    let head = daemon.send("HEAD", &format!("{path}/video"), &[], b"");
    assert_eq!((head.status, head.body.len()), (200, 0));
    assert_eq!(head.header("content-length"), video.header("content-length"));

    let deleted = daemon.send("DELETE", &path, &[], b"");
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    daemon.send("DELETE", &path, &[], b"").problem(404);
    daemon.get(&format!("{path}/trigger")).problem(404);
    assert_eq!(daemon.get("/api/recordings").json(), json!([]));
    assert!(!daemon.data().join(format!("recordings/front/{day}/{time}")).exists());
}

/// Recordings as they are copied over from 1.x: folders of a name that is a time, without an index.
fn with_old_recordings() -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let video = folder.path().join("video.h264");
    let made = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i", "testsrc=size=160x120:rate=10:duration=1"])
        .args(["-c:v", "libx264", "-bsf:v", "h264_mp4toannexb"])
        .arg(&video)
        .status();
    assert!(made.unwrap().success());
    for id in ["2020-09-07/12.25.43", "2020-09-07/12.13.12", "2020-09-06/18.21.52", "2020-08-30/00.00.00"] {
        let recording = folder.path().join("data/recordings/front").join(id);
        std::fs::create_dir_all(&recording).unwrap();
        std::fs::copy(&video, recording.join("video.h264")).unwrap();
        std::fs::write(recording.join("trigger.jpg"), b"\xff\xd8\xff\xd9").unwrap();
    }
    Daemon::start_in(folder, "", CAMERA)
}

#[test]
fn recordings_of_1x_are_listed_newest_first() {
    let daemon = with_old_recordings();
    let expected = json!([
        {"day": "2020-09-07", "times": ["12.25.43", "12.13.12"]},
        {"day": "2020-09-06", "times": ["18.21.52"]},
        {"day": "2020-08-30", "times": ["00.00.00"]},
    ]);
    assert_eq!(daemon.get("/api/recordings").json(), expected);
    assert_eq!(daemon.get("/cameras/front/api/recordings").json(), expected);
    assert_eq!(daemon.get("/api/recordings/2020-09-07").json(), json!(["12.25.43", "12.13.12"]));
    daemon.get("/api/recordings/2020-09-08").problem(404);
    let trigger = daemon.get("/api/recordings/2020-09-07/12.25.43/trigger");
    assert_eq!(trigger.header("content-disposition"), Some("attachment; filename=\"2020-09-07;12.25.43;trigger.jpg\""));
}

#[test]
fn a_day_is_deleted_whole_and_nothing_else() {
    let daemon = with_old_recordings();
    assert_eq!(daemon.send("DELETE", "/api/recordings/2020-09-07", &[], b"").status, 204);
    daemon.send("DELETE", "/api/recordings/2020-09-07", &[], b"").problem(404);
    daemon.send("DELETE", "/api/recordings/2020-09-07/12.25.43", &[], b"").problem(404);
    assert_eq!(daemon.get("/api/recordings").json().as_array().unwrap().len(), 2);
    assert_eq!(daemon.send("DELETE", "/api/recordings/2020-09-06/18.21.52", &[], b"").status, 204);
    assert_eq!(daemon.get("/api/recordings").json(), json!([{"day": "2020-08-30", "times": ["00.00.00"]}]));
}

#[test]
fn malformed_days_and_times_are_refused() {
    let daemon = with_old_recordings();
    for day in ["2020-9-7", "2020-02-30", "today", "..", "%2e%2e", "..%2f..", "%ff", "2020-09-07%00"] {
        daemon.get(&format!("/api/recordings/{day}")).problem(422);
        daemon.send("DELETE", &format!("/api/recordings/{day}"), &[], b"").problem(422);
        daemon.send("DELETE", &format!("/api/recordings/{day}/12.25.43"), &[], b"").problem(422);
        daemon.get(&format!("/api/recordings/{day}/12.25.43/video")).problem(422);
    }
    for time in ["12:25:43", "1.2.3", "24.00.00", "..", "%2e%2e%2f", "12.25.43%00"] {
        daemon.send("DELETE", &format!("/api/recordings/2020-09-07/{time}"), &[], b"").problem(422);
        daemon.get(&format!("/api/recordings/2020-09-07/{time}/trigger")).problem(422);
        daemon.get(&format!("/api/recordings/2020-09-07/{time}/video")).problem(422);
        daemon.get(&format!("/api/recordings/2020-09-07/{time}/recording")).problem(422);
    }
    assert_eq!(daemon.get("/api/recordings").json().as_array().unwrap().len(), 3, "nothing was deleted");
    daemon.get("/api/recordings/2020-09-07/12.25.44/video").problem(404);
}

#[test]
fn the_web_app_is_served_only_when_it_is_on() {
    const FILES: [&str; 4] = ["/", "/app.js", "/base.css", "/icon.svg"];
    let on = Daemon::start("web_app = true");
    for file in FILES {
        let answer = on.get(file);
        assert_eq!(answer.status, 200, "{file}");
        let below = on.get(&format!("/cameras/front{file}"));
        assert_eq!((below.status, &below.body), (200, &answer.body), "{file}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
        let tag = answer.header("etag").unwrap();
        assert_eq!(on.send("GET", file, &[("If-None-Match", tag)], b"").status, 304);
    }
    assert_eq!(on.get("/cameras/front").header("location"), Some("front/"));
    on.get("/cameras/back/").problem(404);
    let page = String::from_utf8(on.get("/").body).unwrap();
    for inline in ["<style", "style=", "onclick", "href=\"/", "src=\"/", "http://", "https://"] {
        assert!(!page.contains(inline), "the page has {inline}");
    }

    let off = Daemon::start("web_app = false");
    for file in FILES.into_iter().chain(["/cameras/front", "/cameras/front/", "/cameras/front/app.js"]) {
        off.get(file).problem(404);
    }
    wait_for("the interface without the app", || off.get("/api/status").status == 200);
}
