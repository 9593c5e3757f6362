//! What was before the trigger and what comes where one recording ends and the next begins, proved by the numbers that the
//! pictures carry.

use std::time::Duration;

use watchtower::event::Cause;
use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{Recorded, count, count_of, is_recording, raw_skipped, wait_for_complete};
use crate::support::{Daemon, wait_for};

const PADDING: Duration = Duration::from_secs(2);
/// A GOP's longest time, and two pictures'.
const GOP: Duration = Duration::from_millis(1200);
/// It may begin with the first picture after the padding's start: two pictures' time.
const LATE: Duration = Duration::from_millis(200);

/// Asserts that the recording begins with the pre-roll, to within a GOP.
fn assert_pre_roll(recorded: &Recorded) {
    let (first, trigger) = (recorded.units()[0].pts, recorded.index.header.trigger_pts);
    let before = trigger.since(first);
    assert!((PADDING - LATE..PADDING + GOP).contains(&before), "{}: {before:?} before the trigger", recorded.id);
}

#[test]
fn motion_is_recorded_from_before_it_began() {
    let camera = JpegCamera::start();
    let section = camera.section("recording_padding_s = 2.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    camera.wait_until_settled();
    let empty = camera.sent().last().unwrap().number;
    camera.walk(true);
    wait_for("the event", || is_recording(&daemon));
    camera.walk(false);
    let recordings = wait_for_complete(&daemon, 1);
    let recorded = &recordings[0];
    recorded.assert_sound();
    assert_pre_roll(recorded);
    let numbers = recorded.numbers();
    assert!(numbers[0] < empty, "it begins with the empty room");
    recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
    // The pictures are those that were taken then, not others of their number.
    let sent = camera.sent();
    for (unit, number) in recorded.units().iter().zip(&numbers) {
        let sent = sent.iter().find(|sent| sent.number == *number).unwrap();
        assert!(unit.pts >= sent.pts, "picture {number} is recorded as older than it is");
    }
    let after = recorded.units().last().unwrap().pts.since(recorded.index.header.trigger_pts);
    assert!(after + LATE >= PADDING, "{after:?} after the trigger");
}

#[test]
fn a_recording_by_hand_has_its_pre_roll_too() {
    let camera = JpegCamera::start();
    let section = camera.section("recording_padding_s = 2.0\nmin_trigger_area = 1.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    camera.wait_for_more(30);
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    let recordings = wait_for_complete(&daemon, 1);
    let recorded = &recordings[0];
    recorded.assert_sound();
    assert_eq!(recorded.index.header.cause, Some(Cause::Manual));
    assert_pre_roll(recorded);
    let numbers = recorded.numbers();
    recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
}

#[test]
fn a_camera_of_raw_pictures_has_its_pre_roll_from_the_encoders() {
    let camera = "[cameras.front]\nlabel = \"A\"\nsource = \"pattern\"\nsize = \"320x240\"\nfps = 10\n\
                  [cameras.front.motion]\nrecording_padding_s = 2.0\nmin_trigger_area = 1.0\n";
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", camera);
    wait_for("three seconds of pictures", || count(&daemon, "frames", "captured") > 30);
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    let recordings = wait_for_complete(&daemon, 1);
    let skipped = raw_skipped(&daemon);
    let recorded = &recordings[0];
    recorded.assert_sound();
    assert_pre_roll(recorded);
    let codes = recorded.codes();
    assert!(codes.is_sorted_by(|a, b| a.number < b.number), "none double: {codes:?}");
    let missing = u64::from(codes[codes.len() - 1].number - codes[0].number + 1) - codes.len() as u64;
    assert!(missing <= skipped, "{missing} pictures are missing and {skipped} are counted");
    for (unit, code) in recorded.units().iter().zip(&codes) {
        assert_eq!(code.age_ms(unit.pts), 0, "the index has the time that is drawn in picture {}", code.number);
    }
}

#[test]
fn at_the_longest_event_time_no_picture_is_missing_and_none_is_double() {
    let camera = JpegCamera::start();
    let section = camera.section("recording_padding_s = 2.0\nmax_event_time_s = 3.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    camera.wait_until_settled();
    camera.walk(true);
    wait_for("the second event", || count_of(&daemon, "events") >= 2);
    camera.walk(false);
    let recordings = wait_for_complete(&daemon, 2);
    let (first, second) = (&recordings[0], &recordings[1]);
    assert_eq!(first.index.closed(), Some(CloseReason::MaxEventTime));
    assert!(first.index.header.event < second.index.header.event);
    let numbers = [first, second].map(|recorded| {
        recorded.assert_sound();
        let numbers = recorded.numbers();
        recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
        numbers
    });
    assert_eq!(numbers[1][0], numbers[0].last().unwrap() + 1, "the second begins where the first ends");
}
