//! kill -9 in the middle of recordings, again and again: what was recorded plays, hardly anything is lost, and no event's
//! number comes twice.
//!
//! `WATCHTOWER_KILLS` says how often (5 unless set); the results go to the file that `WATCHTOWER_KILLS_JSON` names.
//! `tests/bench/crash` does the full count.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use serde_json::json;
use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::{FPS, JpegCamera};
use crate::recorded::{Recorded, details, is_recording, recordings};
use crate::support::{Daemon, fast_folder, wait_for};

/// What may be lost at most of what had been encoded.
const LOST: Duration = Duration::from_secs(2);

#[test]
fn killed_at_any_moment_it_loses_next_to_nothing() {
    let kills: usize = std::env::var("WATCHTOWER_KILLS").map_or(5, |kills| kills.parse().unwrap());
    let camera = JpegCamera::start();
    // Pieces so short that some kills come where one ends.
    let section = camera.section("recording_padding_s = 1.0\nmax_event_time_s = 4.0");
    let section = section.replace("[cameras.front.disk]", "record_always = true\n[cameras.front.disk]");
    // How long a disk takes to make something durable is not what is tested.
    let mut daemon = Daemon::start_in(fast_folder(), "", &section);
    let mut lost_s = Vec::new();
    let mut before = BTreeSet::new();
    let mut nothing_kept = 0;
    for kill in 0..kills {
        wait_for("a recording", || is_recording(&daemon));
        // The hasher's keys are the system's random numbers.
        let wait = Duration::from_millis(RandomState::new().hash_one(kill) % 5000);
        std::thread::sleep(wait);
        let sent = camera.sent();
        daemon.kill();
        println!("kill {kill}: {wait:?} into its recordings, picture {}", sent.last().unwrap().number);
        let made: Vec<_> = recordings(&daemon.data()).into_iter().filter(|r| !before.contains(&r.id)).collect();
        let ids: Vec<_> = made.iter().map(|recorded| recorded.id.clone()).collect();

        daemon.start_again();
        let closed = |id: &String| {
            let recorded = recordings(&daemon.data()).into_iter().find(|recorded| recorded.id == *id);
            // One without a single picture is removed.
            recorded.is_none_or(|recorded| recorded.index.closed().is_some())
        };
        wait_for("everything to be mended", || ids.iter().all(closed));
        let mended: Vec<_> = recordings(&daemon.data()).into_iter().filter(|r| ids.contains(&r.id)).collect();
        let Some(last) = mended.last() else {
            // Killed before the first write: what had been encoded since the trigger is lost, and must be little.
            assert!(wait <= LOST, "kill {kill}: nothing is kept of {wait:?}");
            lost_s.push(wait.as_secs_f64());
            nothing_kept += 1;
            continue;
        };
        let of_this_run: Vec<u32> = mended.iter().flat_map(check).collect();
        let expected: Vec<u32> = (of_this_run[0]..=*of_this_run.last().unwrap()).collect();
        assert_eq!(of_this_run, expected, "kill {kill}: up to the end, nothing is missing and nothing double");
        assert!(
            matches!(last.index.closed(), Some(CloseReason::Interrupted | CloseReason::MaxEventTime)),
            "{}: {:?}",
            last.id,
            last.index.closed()
        );
        // The camera's last picture may not have been encoded yet, so the loss is less rather than more.
        let kept = sent.iter().find(|sent| sent.number == *of_this_run.last().unwrap());
        let lost = kept.map_or(Duration::ZERO, |kept| sent.last().unwrap().pts.since(kept.pts));
        assert!(lost <= LOST, "kill {kill}: {lost:?} are lost");
        lost_s.push(lost.as_secs_f64());
        before.extend(ids);
    }
    let listed = details(&daemon);
    let all = recordings(&daemon.data());
    daemon.kill();
    assert!(before.iter().filter(|id| all.iter().any(|recorded| recorded.id == **id)).count() >= kills - nothing_kept);
    for recorded in all.iter().filter(|recorded| before.contains(&recorded.id)) {
        assert!(listed.iter().any(|listed| listed["id"] == recorded.id), "{} is listed", recorded.id);
    }
    let events: Vec<_> = all.iter().map(|recorded| (recorded.index.header.event, recorded.index.header.part)).collect();
    let times: Vec<_> = all.iter().map(|recorded| recorded.index.header.trigger_wall_us).collect();
    assert!(events.is_sorted_by(|a, b| a < b), "no event has the number of another: {events:?}");
    assert!(times.is_sorted(), "events are numbered in the order they happened");
    report(&lost_s, before.len());
}

/// Asserts that a recording plays; answers the numbers of its pictures.
fn check(recorded: &Recorded) -> Vec<u32> {
    recorded.assert_sound();
    recorded.numbers()
}

fn report(lost_s: &[f64], recordings: usize) {
    let Ok(path) = std::env::var("WATCHTOWER_KILLS_JSON") else { return };
    let mut sorted = lost_s.to_vec();
    sorted.sort_by(f64::total_cmp);
    let result = json!({
        "kills": lost_s.len(),
        "recordings": recordings,
        "pictures_per_s": FPS,
        "lost_s": lost_s.iter().map(|s| (s * 1000.0).round() / 1000.0).collect::<Vec<_>>(),
        "lost_s_median": sorted[sorted.len() / 2],
        "lost_s_max": sorted[sorted.len() - 1],
        "lost_s_allowed": LOST.as_secs_f64(),
    });
    std::fs::write(path, serde_json::to_string_pretty(&result).unwrap() + "\n").unwrap();
}
