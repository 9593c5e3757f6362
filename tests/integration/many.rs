//! Ten thousand recordings: lists, parts of lists, single ones and deletion are as right as with one.

use std::path::Path;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use watchtower::event::Cause;
use watchtower::media::{Pts, Resolution};
use watchtower::recording::id::RecordingId;
use watchtower::recording::index::{CloseReason, Header, Record, Unit};

use crate::recorded::details;
use crate::support::{CAMERA, Daemon, fast_folder};

const RECORDINGS: i64 = 10_000;
/// From the start of one to the start of the next.
const APART_S: i64 = 600;
/// Pictures in each, one a second.
const PICTURES: u64 = 20;

/// 2024-03-01 12:00:00 UTC.
const FIRST_S: i64 = 1_709_294_400;

fn start(n: i64) -> Timestamp {
    Timestamp::from_second(FIRST_S + n * APART_S).unwrap()
}

/// Name of the recording with the number `n`: its trigger is its second picture.
fn id(n: i64) -> RecordingId {
    RecordingId::at(start(n) + SignedDuration::from_secs(1), &TimeZone::system())
}

/// Makes the folder of the recording `n`, with `bytes` of video.
pub fn make(data: &Path, n: i64, id: RecordingId, start: Timestamp, bytes: u64) {
    let at = |second: u64| {
        (Pts((n * APART_S + second as i64) * Pts::HZ), start.as_microsecond() + second as i64 * 1_000_000)
    };
    let (trigger_pts, trigger_wall_us) = at(1);
    let header = Header {
        event: n as u64 + 1,
        part: 0,
        cause: Some(Cause::Motion),
        trigger_pts,
        trigger_wall_us,
        size: Resolution::new(640, 480),
        changed: 0.25,
        clock_synchronised: true,
        times_assumed: false,
    };
    let length = bytes / PICTURES;
    let mut index = header.encode().to_vec();
    for number in 0..PICTURES {
        let (pts, wall_us) = at(number);
        let unit = Unit { offset: number * length, bytes: length as u32, pts, wall_us, idr: number == 0 };
        index.extend(Record::Unit(unit).encode());
    }
    let (pts, wall_us) = at(PICTURES - 1);
    index.extend(Record::Closed { pts, wall_us, units: PICTURES, reason: CloseReason::Quiet }.encode());
    let folder = data.join("recordings/front").join(id.to_string());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("index"), index).unwrap();
    std::fs::File::create(folder.join("video.h264")).unwrap().set_len(length * PICTURES).unwrap();
    std::fs::write(folder.join("trigger.jpg"), b"jpeg").unwrap();
}

#[test]
fn ten_thousand_recordings_are_listed_as_they_are() {
    let folder = fast_folder();
    (0..RECORDINGS).for_each(|n| make(&folder.path().join("data"), n, id(n), start(n), 2000));
    let daemon = Daemon::start_in(folder, "", CAMERA);
    let newest_first = || (0..RECORDINGS).rev();

    let days = daemon.get("/api/recordings").json();
    let listed: Vec<String> = days
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|day| {
            let name = day["day"].as_str().unwrap();
            let times = day["times"].as_array().unwrap().iter();
            times.map(move |time| format!("{name}/{}", time.as_str().unwrap()))
        })
        .collect();
    assert!(listed.iter().eq(&newest_first().map(|n| id(n).to_string()).collect::<Vec<_>>()));
    let day = id(5000).day_name();
    let of_day: Vec<String> =
        newest_first().map(id).filter(|id| id.day_name() == day).map(|id| id.time_name()).collect();
    assert_eq!(daemon.get(&format!("/api/recordings/{day}")).json(), json!(of_day));

    let all = details(&daemon);
    assert_eq!(all.len() as i64, RECORDINGS);
    for (recording, n) in all.iter().zip(newest_first()) {
        assert_eq!(recording["id"], id(n).to_string());
        assert_eq!((&recording["event"], &recording["cause"]), (&json!(n + 1), &json!("motion")));
        assert_eq!(recording["duration_s"], 19.0);
        assert_eq!(recording["bytes"], 2000 + 64 + 32 * (PICTURES + 1) + 4);
        assert_eq!(recording["start"].as_str().unwrap().parse::<Timestamp>().unwrap(), start(n));
        assert_eq!(recording["size"], json!({"width": 640, "height": 480}));
        assert_eq!((&recording["recording"], &recording["protected"]), (&json!(false), &json!(false)));
    }

    // Page by page, as a client that follows the documentation.
    let mut until = String::new();
    for page in 0..3 {
        let part = daemon.get(&format!("/api/recordings?details=1&limit=1000{until}")).json();
        let part = part.as_array().unwrap();
        assert_eq!(part.len(), 1000);
        assert_eq!(part[0], all[page * 1000]);
        until = format!("&until={}", part[999]["start"].as_str().unwrap().replace('+', "%2B"));
    }
    let between = format!("/api/recordings?details=1&since={}&until={}", start(100), start(200));
    assert_eq!(daemon.get(&between).json().as_array().unwrap().len(), 100);

    let path = format!("/api/recordings/{}", id(7000));
    assert_eq!(daemon.get(&format!("{path}/video")).body.len(), 2000);
    assert_eq!(daemon.send("DELETE", &path, &[], b"").status, 204);
    assert_eq!(daemon.get(&format!("{path}/video")).status, 404);
    let left = details(&daemon);
    assert_eq!(left.len() as i64, RECORDINGS - 1);
    assert!(left.iter().all(|recording| recording["id"] != id(7000).to_string()));
}
