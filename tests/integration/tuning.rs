//! Motion settings changed while the camera runs, and thumbnails.

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{count_of, is_recording, wait_for_complete};
use crate::support::{Daemon, jpeg_size, wait_for};

#[test]
fn motion_settings_are_checked_kept_and_taken_back() {
    let cameras = format!(
        "{}[[cameras.front.zones]]\nname = \"ground\"\npoints = [[0, 0], [1, 0], [1, 1]]\n",
        crate::support::CAMERA
    );
    let mut daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &cameras);
    let declared = daemon.get("/api/motion").json();
    assert_eq!(declared["min_trigger_area"], 1.0);
    assert_eq!(declared["zones"][0]["name"], "ground");
    assert_eq!(declared["defaults"]["zones"], declared["zones"]);
    let patch = |body: &str| daemon.send("PATCH", "/api/motion", &[], body.as_bytes());
    for (body, said) in [
        (r#"{"sensitivity": 2}"#, "sensitivity: must be between 0 and 1"),
        (r#"{"min_frames": 0}"#, "min_frames: must be between 1 and 100"),
        (r#"{"min_trigger_area": "much"}"#, "min_trigger_area"),
        (r#"{"colour": 1}"#, "colour"),
        (r#"{"zones": [{"points": [[0, 0], [1, 1]]}]}"#, "zones[0].points"),
        (r#"{"zones": [{"points": [[0, 0], [2, 0], [1, 1]]}]}"#, "outside the picture"),
        (r#"{"sensitivity": 0.1, "min_frames": 1000}"#, "min_frames"),
    ] {
        let detail = patch(body).problem(422);
        assert!(detail.contains(said), "{body}: {detail}");
    }
    patch("{").problem(400);
    assert_eq!(daemon.get("/api/motion").json(), declared, "nothing has changed");
    let elsewhere = [("Sec-Fetch-Site", "cross-site")];
    daemon.send("PATCH", "/api/motion", &elsewhere, b"{}").problem(403);

    let body =
        r#"{"sensitivity": 0.6, "zones": [{"name": "road", "include": false, "points": [[0, 0], [1, 0], [1, 1]]}]}"#;
    let changed = patch(body).json();
    assert_eq!((changed["sensitivity"].as_f64(), changed["min_trigger_area"].as_f64()), (Some(0.6), Some(1.0)));
    assert_eq!((changed["zones"][0]["name"].as_str(), changed["zones"].as_array().unwrap().len()), (Some("road"), 1));
    assert_eq!(changed["defaults"], declared["defaults"]);
    assert!(daemon.end().success());
    daemon.start_again();
    assert_eq!(daemon.get("/api/motion").json(), changed, "kept over a restart");
    let reset = daemon.send("PATCH", "/api/motion", &[], br#"{"sensitivity": null, "zones": null}"#).json();
    assert_eq!(reset, declared);
}

#[test]
fn a_zone_that_is_drawn_silences_what_moves_and_one_that_is_taken_away_lets_it_trigger() {
    let server = JpegCamera::start();
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &server.section("recording_padding_s = 1.0"));
    server.wait_until_settled();
    let nowhere = br#"{"zones": [{"include": false, "points": [[0, 0], [1, 0], [1, 1], [0, 1]]}]}"#;
    assert_eq!(daemon.send("PATCH", "/api/motion", &[], nowhere).status, 200);
    let before = count_of(&daemon, "events");
    server.walk(true);
    server.wait_for_more(30);
    assert_eq!(count_of(&daemon, "events"), before, "somebody walks where nothing counts");
    assert_eq!(daemon.send("PATCH", "/api/motion", &[], br#"{"zones": null}"#).status, 200);
    wait_for("an event", || is_recording(&daemon));
    server.walk(false);

    // What it triggered has a thumbnail, which is made once.
    let complete = wait_for_complete(&daemon, 1).remove(0);
    let path = format!("/api/recordings/{}/thumb.jpg", complete.id);
    let kept = complete.folder.join("thumb.jpg");
    assert!(!kept.exists());
    let thumbnail = daemon.get(&path);
    assert_eq!((thumbnail.status, thumbnail.header("content-type")), (200, Some("image/jpeg")));
    assert_eq!(jpeg_size(&thumbnail.body), (320, 240));
    assert_eq!(std::fs::read(&kept).unwrap(), thumbnail.body);
    let made = std::fs::metadata(&kept).unwrap().modified().unwrap();
    let etag = thumbnail.header("etag").unwrap();
    assert!(thumbnail.header("cache-control").unwrap().starts_with("private"));
    assert_eq!(daemon.send("GET", &path, &[("If-None-Match", etag)], b"").status, 304);
    assert_eq!(daemon.get(&path).body, thumbnail.body);
    assert_eq!(std::fs::metadata(&kept).unwrap().modified().unwrap(), made);
    // It goes with the recording, and is none without a picture.
    std::fs::remove_file(&kept).unwrap();
    std::fs::remove_file(complete.folder.join("trigger.jpg")).unwrap();
    daemon.get(&path).problem(404);
    daemon.get("/api/recordings/2020-01-01/00.00.00/thumb.jpg").problem(404);
}
