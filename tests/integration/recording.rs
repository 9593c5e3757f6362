//! A recording of each kind of camera, held against what the camera gave: one that gives JPEGs, whose pictures are encoded
//! from the trigger on, and one that gives raw pictures, which are encoded all the time.

use std::time::Duration;

use image::ImageReader;
use watchtower::event::Cause;
use watchtower::media::Resolution;
use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::{JpegCamera, Manner, SIZE, Sent};
use crate::recorded::{Recorded, count, details, is_recording, make_clip, raw_skipped, recordings, wait_for_complete};
use crate::support::{Daemon, jpeg_size, wait_for};

/// How far an index may be from the truth.
const TRUE_WITHIN: Duration = Duration::from_millis(200);

#[test]
fn a_jpeg_camera_is_recorded_with_every_picture_it_sent() {
    let camera = JpegCamera::start();
    let motion = camera.section("recording_padding_s = 1.5");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &motion);
    camera.wait_until_settled();
    camera.walk(true);
    wait_for("the event", || is_recording(&daemon));
    camera.wait_for_more(20);
    camera.walk(false);
    let recordings = wait_for_complete(&daemon, 1);
    let recorded = &recordings[0];
    recorded.assert_sound();
    assert_eq!(recorded.index.header.cause, Some(Cause::Motion));
    assert_eq!(recorded.index.closed(), Some(CloseReason::Quiet));
    assert_eq!(recorded.index.header.size, SIZE);

    let numbers = recorded.numbers();
    let of = numbers[0]..=*numbers.last().unwrap();
    let sent: Vec<Sent> = camera.sent().into_iter().filter(|sent| of.contains(&sent.number)).collect();
    assert_eq!(numbers, sent.iter().map(|sent| sent.number).collect::<Vec<_>>(), "every picture it sent, once");
    let truth = sent.last().unwrap().pts.since(sent[0].pts);
    assert!(recorded.duration().abs_diff(truth) <= TRUE_WITHIN, "{:?}, in truth {truth:?}", recorded.duration());
    assert_outlined(recorded);

    let listed = &details(&daemon)[0];
    assert_eq!(listed["id"], recorded.id);
    assert_eq!(listed["cause"], "motion");
    let duration_s = listed["duration_s"].as_f64().unwrap();
    assert!((duration_s - recorded.duration().as_secs_f64()).abs() < 0.1, "{listed}");
    assert!(listed["changed"].as_f64().unwrap() > 0.005, "{listed}");
}

#[test]
fn what_had_come_when_it_was_told_to_end_is_recorded() {
    // Pictures are encoded several at a time: those that wait then belong to the event, too.
    for ends in ["/api/stop", "SIGTERM"] {
        let camera = JpegCamera::start();
        let mut daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &camera.section(""));
        camera.wait_until_settled();
        camera.walk(true);
        wait_for("the event", || is_recording(&daemon));
        camera.wait_for_more(15);
        camera.behave(Manner::Silent);
        wait_for("all pictures", || count(&daemon, "frames", "captured") as usize == camera.sent().len());
        let last = camera.sent().last().unwrap().number;
        if ends == "SIGTERM" {
            daemon.end();
        } else {
            daemon.get(ends);
            wait_for_complete(&daemon, 1);
        }
        let recordings = recordings(&daemon.data());
        recordings[0].assert_sound();
        assert_eq!(recordings[0].numbers().last(), Some(&last), "the last picture, ended by {ends}");
    }
}

#[test]
fn a_clip_of_raw_pictures_is_recorded_in_its_own_time() {
    // A machine that is too busy to play it in real time shows nothing, and is given another chance.
    let wrong: Vec<_> = (0..3).map_while(|_| play_clip().err()).collect();
    assert!(wrong.len() < 3, "{wrong:?}");
}

/// Records a clip in which somebody comes. The error is that its duration is not the true one.
fn play_clip() -> Result<(), String> {
    const CLIP: Resolution = Resolution::new(320, 240);
    let folder = tempfile::tempdir().unwrap();
    // The visit is in its pictures 50 to 100; then comes nobody for four seconds.
    let clip = folder.path().join("clip.mp4");
    make_clip(&clip, CLIP, 10, 140);
    let camera = format!(
        "[cameras.front]\nlabel = \"A\"\nsource = \"clip-once:{}\"\nsize = \"{CLIP}\"\nfps = 20\n\
         [cameras.front.motion]\nrecording_padding_s = 1.5\n",
        clip.display()
    );
    let daemon = Daemon::start_in(folder, "", &camera);
    let recorded = wait_for_complete(&daemon, 1).remove(0);
    let skipped = raw_skipped(&daemon);
    recorded.assert_sound();
    assert_eq!(recorded.index.header.size, CLIP);
    assert_eq!(recorded.index.closed(), Some(CloseReason::Quiet));
    assert_outlined(&recorded);

    let numbers = recorded.numbers();
    assert!(numbers.is_sorted_by(|a, b| a < b), "none double: {numbers:?}");
    let (first, last) = (numbers[0], *numbers.last().unwrap());
    let missing = u64::from(last - first + 1) - numbers.len() as u64;
    assert!(missing <= skipped, "{missing} pictures are missing and {skipped} are counted");
    assert!(first < 90 && last >= 90, "{first} to {last}: the visit is in it");
    let truth = Duration::from_millis(100) * (last - first);
    let off = recorded.duration().abs_diff(truth);
    if off <= TRUE_WITHIN { Ok(()) } else { Err(format!("{:?}, in truth {truth:?}", recorded.duration())) }
}

/// Asserts that the recording's trigger picture is of the same size and has red lines in it.
fn assert_outlined(recorded: &Recorded) {
    let jpeg = std::fs::read(recorded.folder.join("trigger.jpg")).unwrap();
    let size = recorded.index.header.size;
    assert_eq!(jpeg_size(&jpeg), (size.width, size.height));
    let reader = ImageReader::with_format(std::io::Cursor::new(jpeg), image::ImageFormat::Jpeg);
    let picture = reader.decode().unwrap().into_rgb8();
    let red = picture.pixels().filter(|pixel| pixel[0] > 180 && pixel[1] < 90 && pixel[2] < 90).count();
    assert!(red > 50, "{}: {red} red pixels", recorded.id);
}
