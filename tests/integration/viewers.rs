//! Eight live viewers, one of whom takes nothing, while an event is recorded: each gets what it can take, the recording
//! everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use crate::jpeg_camera::{FPS, JpegCamera};
use crate::mjpeg::Viewer;
use crate::recorded::{camera, count, wait_for_complete};
use crate::support::{Daemon, wait_for};

#[test]
fn eight_viewers_one_of_whom_takes_nothing_cost_the_recording_nothing() {
    let server = JpegCamera::start();
    let section = server.section("recording_padding_s = 2.0\nmin_trigger_area = 1.0");
    let daemon = Daemon::start_in(tempfile::tempdir().unwrap(), "", &section);
    server.wait_for_more(25);
    let made = || count(&daemon, "stage_runs", "view");
    assert_eq!(made(), 0, "nobody watches");

    let stalled = Viewer::open(&daemon, "/mjpeg");
    let stop = Arc::new(AtomicBool::new(false));
    let watching: Vec<_> = (0..7)
        .map(|_| {
            let (mut viewer, stop) = (Viewer::open(&daemon, "/mjpeg"), Arc::clone(&stop));
            std::thread::spawn(move || {
                viewer.part();
                let (begin, mut parts) = (Instant::now(), 0);
                while !stop.load(Relaxed) {
                    viewer.part();
                    parts += 1;
                }
                f64::from(parts) / begin.elapsed().as_secs_f64()
            })
        })
        .collect();
    wait_for("all viewers", || camera(&daemon)["viewers"] == 8);
    let memory = resident_bytes(&daemon);
    assert_eq!(daemon.send("POST", "/api/record", &[], b"").status, 204);
    let recorded = wait_for_complete(&daemon, 1).remove(0);
    // Long enough that what the stalled one does not take would show.
    server.wait_for_more(50);
    stop.store(true, Relaxed);
    let rates: Vec<f64> = watching.into_iter().map(|viewer| viewer.join().unwrap()).collect();
    let grown = resident_bytes(&daemon).saturating_sub(memory);

    recorded.assert_sound();
    let numbers = recorded.numbers();
    recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
    let least = f64::from(FPS) * 0.6;
    assert!(rates.iter().all(|rate| *rate > least), "{rates:?} of {FPS} pictures a second");
    // The rings fill up meanwhile: some MB. A queue for the one who takes nothing would not show much sooner.
    assert!(grown < 24 << 20, "memory grew by {grown} bytes");

    drop(stalled);
    wait_for("all viewers to be gone", || camera(&daemon)["viewers"] == 0);
    // One may still be in the making.
    let before = made();
    let captured = count(&daemon, "frames", "captured");
    wait_for("more pictures", || count(&daemon, "frames", "captured") >= captured + 10);
    assert!(made() <= before + 1, "pictures are made for nobody");
}

fn resident_bytes(daemon: &Daemon) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", daemon.pid().as_raw_nonzero())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
