//! Two encodings of one camera, by the library: what a second destination will be.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use watchtower::config::{Config, StreamConfig};
use watchtower::event::Cause;
use watchtower::media::{AccessUnit, Resolution};
use watchtower::picture::Rotation;
use watchtower::pipeline::{self, Following, Sink};
use watchtower::ring::Next;

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{codes, probe};
use crate::support::wait_for;

const LARGE: Resolution = Resolution::new(640, 480);
const SMALL: Resolution = Resolution::new(320, 240);

/// What a sink has got of an event, once it has ended.
type Got = Arc<Mutex<Option<(Cause, Vec<AccessUnit>)>>>;

fn sink(name: &'static str, size: Option<Resolution>) -> (Sink, Got) {
    let got = Got::default();
    let result = Arc::clone(&got);
    let follow = move |following: &Following| {
        let (event, ring) = (following.event, following.ring);
        let mut cursor = ring.start_at(event.start);
        let mut units = Vec::new();
        loop {
            match ring.next(&mut cursor, event.until(), Duration::from_millis(100)) {
                Next::Entry(unit) => units.push(unit),
                Next::Timeout => {}
                Next::Done => break,
                Next::Lapped { missed } => panic!("{missed} access units are missing"),
            }
        }
        // An end lies a little in the past when it is decided: a sink may have taken a picture after it by then.
        units.retain(|unit| event.until().is_some_and(|until| unit.moment.pts <= until));
        *result.lock().unwrap() = Some((event.cause, units));
    };
    let stream = StreamConfig { size, kbit: 1500 };
    (Sink { name, stream, follow: Box::new(follow), fault: Box::new(|| None) }, got)
}

#[test]
fn one_camera_is_encoded_in_two_sizes_at_the_same_times() {
    let folder = tempfile::tempdir().unwrap();
    let camera = JpegCamera::of(LARGE);
    let section = camera.section("recording_padding_s = 1.5\nmin_trigger_area = 1.0");
    let config = Config::parse(Path::new("watchtower.toml"), section.as_bytes()).unwrap();
    let config = config.cameras["front"].clone();
    let numbers = AtomicU64::new(1);
    let ids: pipeline::EventIds = Arc::new(move || numbers.fetch_add(1, Relaxed));
    let (large, got_large) = sink("large", None);
    let (small, got_small) = sink("small", Some(SMALL));
    let running = pipeline::start(config, folder.path(), ids, vec![large, small]).unwrap();

    camera.wait_for_more(25);
    running.handle().record_now().unwrap();
    let taken = |got: &Got| got.lock().unwrap().take();
    wait_for("both streams of the event", || {
        got_large.lock().unwrap().is_some() && got_small.lock().unwrap().is_some()
    });
    let [large, small] = [taken(&got_large).unwrap(), taken(&got_small).unwrap()].map(|(cause, units)| {
        assert_eq!(cause, Cause::Manual);
        units
    });
    running.stop();

    let times = |units: &[AccessUnit]| units.iter().map(|unit| unit.moment.pts).collect::<Vec<_>>();
    assert_eq!(times(&large), times(&small), "the same pictures");
    let mut numbers = Vec::new();
    for (units, size) in [(&large, LARGE), (&small, SMALL)] {
        assert!(units[0].idr && units.iter().all(|unit| unit.size == size));
        let video = folder.path().join(format!("{size}.h264"));
        std::fs::write(&video, units.iter().flat_map(|unit| unit.bytes.to_vec()).collect::<Vec<_>>()).unwrap();
        let probed = probe(&video);
        assert_eq!((&probed["width"], &probed["height"]), (&size.width.into(), &size.height.into()));
        assert_eq!(probed["nb_read_frames"], units.len().to_string());
        numbers.push(codes(&video, size, Rotation::None).iter().map(|code| code.number).collect::<Vec<_>>());
    }
    assert_eq!(numbers[0], numbers[1]);
    let sent: Vec<u32> = (numbers[0][0]..=*numbers[0].last().unwrap()).collect();
    assert_eq!(numbers[0], sent, "none is missing");
}
