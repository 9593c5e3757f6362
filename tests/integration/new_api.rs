//! What is new against 1.x: all cameras, details, protection, settings' schema, health and metrics.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::support::{CAMERA, Daemon, wait_for};

const SECOND: &str = r#"
[cameras.back]
source = "pattern"
size = "160x120"
fps = 5
"#;

#[test]
fn all_cameras_are_listed_and_each_has_its_own_interface() {
    let folder = tempfile::tempdir().unwrap();
    let cameras = format!("{CAMERA}{SECOND}");
    let daemon = Daemon::start_with(folder, "default_camera = \"front\"", "", &cameras);
    daemon.wait_for_pictures();
    let list = daemon.get("/api/cameras").json();
    let names: Vec<_> = list.as_array().unwrap().iter().map(|camera| camera["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["back", "front"]);
    let front = &list[1];
    assert_eq!((&front["label"], &front["default"]), (&json!("Front door"), &json!(true)));
    assert_eq!(front["prefix"], "cameras/front/");
    assert_eq!(front["state"], "monitoring");
    assert_eq!(front["size"], json!({"width": 320, "height": 240}));
    assert_eq!(list[0]["size"], json!({"width": 160, "height": 120}));

    assert_eq!(daemon.get("/cameras/back/api/stop").json(), json!({"monitoring": false}));
    assert_eq!(daemon.get("/api/status").json(), json!({"monitoring": true}), "the default camera is another");
    assert_eq!(daemon.get("/api/cameras").json()[0]["state"], "paused");
    daemon.get("/cameras/nobody/api/status").problem(404);

    // Turned, it is as high as it was wide.
    assert_eq!(daemon.send("POST", "/cameras/back/api/config", &[], br#"{"rotation": 90}"#).status, 200);
    assert_eq!(daemon.get("/api/cameras").json()[0]["size"], json!({"width": 120, "height": 160}));
}

fn time(value: &Value) -> Timestamp {
    value.as_str().unwrap().parse().unwrap()
}

#[test]
fn details_say_what_a_recording_is() {
    let daemon = Daemon::start("");
    let path = daemon.record();
    let list = daemon.get("/api/recordings?details=1").json();
    let details = &list[0];
    assert_eq!(format!("/api/recordings/{}", details["id"].as_str().unwrap()), path);
    assert_eq!(details["cause"], "manual");
    assert_eq!(details["protected"], false);
    assert_eq!(details["size"], json!({"width": 320, "height": 240}));
    let duration = details["duration_s"].as_f64().unwrap();
    assert!((1.5..4.0).contains(&duration), "{duration} s, one before and one after were asked for");
    let (start, trigger) = (time(&details["start"]), time(&details["trigger"]));
    // Both in whole seconds, and a little less than one apart.
    assert!(start <= trigger && trigger.duration_since(start).as_secs() <= 3, "{details}");
    let folder = daemon.data().join("recordings/front").join(details["id"].as_str().unwrap());
    let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().len());
    assert_eq!(details["bytes"].as_u64().unwrap(), files.sum::<u64>());
}

#[test]
fn recordings_are_listed_in_parts() {
    let daemon = Daemon::start("");
    let path = daemon.record();
    let trigger = daemon.get("/api/recordings?details=1").json()[0]["trigger"].as_str().unwrap().replace('+', "%2B");
    let count = |query: &str| daemon.get(&format!("/api/recordings?{query}")).json().as_array().unwrap().len();
    assert_eq!(count("limit=1"), 1);
    assert_eq!(count("limit=0"), 0);
    assert_eq!(count("since=2020-01-01&details=1"), 1);
    assert_eq!(count("until=2020-01-01&details=1"), 0);
    assert_eq!(count(&format!("since={trigger}")), 1, "it goes on after its trigger");
    assert_eq!(count("since=2100-01-01T00:00:00Z"), 0);
    let day = path.split('/').nth(3).unwrap();
    assert_eq!(daemon.get("/api/recordings?limit=1").json()[0]["day"], day, "the form is 1.x's");
    for query in ["since=yesterday", "limit=-1", "limit=many", "details=2", "until=2026-01-01T00:00:00"] {
        daemon.get(&format!("/api/recordings?{query}")).problem(422);
    }
}

#[test]
fn ten_thousand_recordings_are_listed_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    for n in 0..10_000 {
        let (day, hour, minute) = (n / 1000 + 1, n / 60 % 17, n % 60);
        let (second, id) = (n / 1020 % 60, "data/recordings/front/2024-05-");
        std::fs::create_dir_all(folder.path().join(format!("{id}{day:02}/{hour:02}.{minute:02}.{second:02}"))).unwrap();
    }
    let daemon = Daemon::start_in(folder, "", CAMERA);
    let begin = Instant::now();
    let all = daemon.get("/api/recordings").json();
    let times: usize = all.as_array().unwrap().iter().map(|day| day["times"].as_array().unwrap().len()).sum();
    assert_eq!((all[0]["day"].as_str(), times), (Some("2024-05-10"), 10_000));
    assert_eq!(daemon.get("/api/recordings?details=1&limit=50").json().as_array().unwrap().len(), 50);
    assert!(begin.elapsed() < Duration::from_secs(3), "{:?}", begin.elapsed());
}

#[test]
fn a_protected_recording_cannot_be_deleted() {
    let daemon = Daemon::start("");
    let path = daemon.record();
    let protect = |body: &str| daemon.send("PATCH", &path, &[], body.as_bytes());
    let protected = protect(r#"{"protected": true}"#);
    assert_eq!((protected.status, &protected.json()["protected"]), (200, &json!(true)));
    daemon.send("DELETE", &path, &[], b"").problem(409);
    let day = path.rsplit_once('/').unwrap().0;
    daemon.send("DELETE", day, &[], b"").problem(409);
    for body in ["{}", r#"{"protected": "yes"}"#, r#"{"protected": true, "name": "x"}"#] {
        protect(body).problem(422);
    }
    assert_eq!(protect(r#"{"protected": false}"#).status, 200);
    assert_eq!(daemon.send("DELETE", day, &[], b"").status, 204);
    protect(r#"{"protected": true}"#).problem(404);
}

#[test]
fn the_schema_says_who_does_which_setting() {
    let daemon = Daemon::start("");
    let schema = daemon.get("/api/config/schema").json();
    let settings = daemon.get("/api/config").json();
    let names: Vec<_> = schema.as_array().unwrap().iter().map(|setting| setting["name"].as_str().unwrap()).collect();
    let mut known: Vec<_> = settings.as_object().unwrap().keys().map(String::as_str).collect();
    let mut sorted = names;
    sorted.sort_unstable();
    known.sort_unstable();
    assert_eq!(sorted, known);
    let find = |name: &str| schema.as_array().unwrap().iter().find(|setting| setting["name"] == name).unwrap();
    assert_eq!(find("brightness")["type"], "integer");
    assert_eq!((&find("brightness")["min"], &find("brightness")["max"]), (&json!(0), &json!(100)));
    assert_eq!(find("brightness")["done_by"], "software", "a drawn picture has no driver");
    assert_eq!(find("iso")["done_by"], "nobody");
}

#[test]
fn health_is_503_with_the_cause_while_a_camera_gives_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gone = "[cameras.front]\nsource = \"clip:/nowhere/clip.mp4\"\n";
    let daemon = Daemon::start_in(folder, "", gone);
    wait_for("the cause", || daemon.get("/healthz").json()["cameras"][0]["cause"].is_string());
    let answer = daemon.get("/healthz");
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("failing")));
    assert_eq!(answer.json()["cameras"][0]["state"], "degraded");
    assert_eq!(answer.json()["disk"]["status"], "ok");
    daemon.get("/api/record").problem(503);
    daemon.get("/api/snapshot.jpg").problem(503);
    assert_eq!(daemon.get("/api/status").status, 200, "the interface goes on");
}

#[test]
fn health_and_metrics_of_a_working_camera() {
    let daemon = Daemon::start("");
    daemon.wait_for_pictures();
    let health = daemon.get("/healthz").json();
    assert_eq!((&health["status"], &health["cameras"][0]["status"]), (&json!("ok"), &json!("ok")));
    assert!(health["cameras"][0]["frame_age_s"].as_f64().unwrap() < 5.0);
    assert!(health["disk"]["hours"].as_f64().unwrap() > 0.0);

    let answer = daemon.get("/metrics");
    assert_eq!(answer.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
    let text = String::from_utf8(answer.body).unwrap();
    assert!(text.ends_with("# EOF\n"));
    assert!(text.contains("watchtower_camera_up{camera=\"front\"} 1"), "{text}");
    let captured = text.lines().find(|l| l.starts_with("watchtower_frames_total{camera=\"front\",kind=\"captured\"}"));
    assert!(captured.is_some_and(|line| !line.ends_with(" 0")), "{captured:?}");
}
