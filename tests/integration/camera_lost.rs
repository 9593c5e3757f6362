//! A camera that fails in every way such cameras fail: the status says why, it comes back by itself, and what was being
//! recorded ends properly with what there was.

use std::time::Duration;

use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::{JpegCamera, Manner, SIZE};
use crate::recorded::{camera, count, count_of, is_recording, wait_for_complete};
use crate::support::{Daemon, wait_for};

fn daemon(camera: &JpegCamera) -> Daemon {
    let section = camera.section("recording_padding_s = 1.0\nmin_trigger_area = 1.0");
    Daemon::start_in(tempfile::tempdir().unwrap(), "", &section)
}

fn wait_for_cause(daemon: &Daemon, part: &str) {
    wait_for(&format!("the cause '{part}'"), || {
        let state = camera(daemon);
        state["state"] == "degraded" && state["cause"].as_str().unwrap().contains(part)
    });
    let cause = camera(daemon)["cause"].as_str().unwrap_or_default().to_owned();
    assert!(cause.is_empty() || cause.contains("127.0.0.1"), "'{cause}' names the camera");
}

fn wait_until_well(daemon: &Daemon) {
    wait_for("the camera to be back", || camera(daemon)["state"] == "monitoring");
}

#[test]
fn each_way_to_fail_is_reported_and_mended_by_itself() {
    let mut server = JpegCamera::refusing(SIZE);
    let daemon = daemon(&server);
    wait_for_cause(&daemon, "refused");
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 503);
    server.answer();
    wait_until_well(&daemon);

    server.behave(Manner::Closing);
    // The first cause is that the stream was closed, the next that there is no answer.
    wait_for("the cause", || camera(&daemon)["state"] == "degraded");
    assert!(camera(&daemon)["cause"].as_str().unwrap().contains("127.0.0.1"));
    server.behave(Manner::Well);
    wait_until_well(&daemon);

    server.behave(Manner::Silent);
    wait_for_cause(&daemon, "no picture for 5 s");
    server.behave(Manner::Well);
    wait_until_well(&daemon);

    let bad = count(&daemon, "frames_skipped", "bad_picture");
    server.behave(Manner::Garbage);
    wait_for("garbage to be counted", || count(&daemon, "frames_skipped", "bad_picture") >= bad + 5);
    server.behave(Manner::Well);
    wait_until_well(&daemon);
    assert!(count_of(&daemon, "camera_reopened") >= 3);
}

#[test]
fn truncated_pictures_are_counted_and_the_others_recorded() {
    let server = JpegCamera::start();
    let daemon = daemon(&server);
    server.wait_for_more(15);
    let bad = count(&daemon, "frames_skipped", "bad_picture");
    server.behave(Manner::Truncating);
    let first_bad = server.sent().last().unwrap().number + 1;
    server.wait_for_more(5);
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    let recorded = wait_for_complete(&daemon, 1).remove(0);
    server.behave(Manner::Well);
    recorded.assert_sound();
    let numbers = recorded.numbers();
    let of = numbers[0]..=*numbers.last().unwrap();
    let sent: Vec<u32> = server.sent().iter().map(|sent| sent.number).filter(|number| of.contains(number)).collect();
    assert_eq!(numbers, sent, "every whole picture, and none of the others");
    let cut = of.filter(|number| *number >= first_bad && !sent.contains(number)).count() as u64;
    assert!(cut >= 3, "{cut} of its pictures were cut off");
    assert!(count(&daemon, "frames_skipped", "bad_picture") >= bad + cut);
    assert_eq!(camera(&daemon)["state"], "monitoring", "it is well all the while");
}

#[test]
fn a_camera_that_is_lost_ends_its_recording_with_what_there_was() {
    let server = JpegCamera::start();
    let daemon = daemon(&server);
    server.wait_for_more(20);
    for manner in [Manner::Silent, Manner::Closing] {
        let before = wait_for_complete(&daemon, 0).len();
        assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
        wait_for("the event", || is_recording(&daemon));
        server.behave(manner);
        // A picture that was on its way when the manner changed.
        let last = server.sent().last().unwrap().number;
        let recordings = wait_for_complete(&daemon, before + 1);
        let recorded = recordings.last().unwrap();
        recorded.assert_sound();
        let numbers = recorded.numbers();
        assert!(*numbers.last().unwrap() >= last, "{manner:?}: up to the last picture");
        recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
        let closed = recorded.index.closed();
        assert!(matches!(closed, Some(CloseReason::CameraLost | CloseReason::Quiet)), "{manner:?}: {closed:?}");
        let after = recorded.units().last().unwrap().pts.since(recorded.index.header.trigger_pts);
        assert!(after <= Duration::from_secs(1), "{manner:?}: {after:?} after the trigger");
        server.behave(Manner::Well);
        wait_until_well(&daemon);
        server.wait_for_more(20);
    }
}
