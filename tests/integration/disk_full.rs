//! A disk that is full for a while: recording stops with a clear state, everything else goes on, and so does recording as
//! soon as there is room.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use watchtower::recording::index::CloseReason;

use crate::jpeg_camera::JpegCamera;
use crate::recorded::{camera, recordings};
use crate::support::{Daemon, jpeg_size, skipped, wait_for};

/// A file system of its own in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// `None` where this process may not mount.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=16m", "tmpfs"]).arg(folder.path()).status();
        mounted.is_ok_and(|status| status.success()).then_some(Self(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Takes all the room there is, with a file whose removal gives it back.
    fn fill(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = File::create(&path).unwrap();
        let mut size = 1 << 20;
        while size > 0 {
            if filler.write_all(&vec![1; size]).is_err() {
                size /= 2;
            }
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

#[test]
fn a_full_disk_stops_recording_and_nothing_else() {
    let Some(disk) = SmallDisk::mount() else {
        return skipped("a full disk: mounting one in memory needs root");
    };
    let camera_server = JpegCamera::start();
    let section = camera_server.section("recording_padding_s = 1.0\nmin_trigger_area = 1.0");
    let section = section.replace("[cameras.front.disk]", "record_always = true\n[cameras.front.disk]");
    let config = format!("[storage]\npath = {:?}\n[web]\nlisten = \"127.0.0.1:0\"\n{section}", disk.path());
    let mut daemon = Daemon::configured(tempfile::tempdir().unwrap(), &config, &[]);
    let units = || recordings(disk.path()).iter().map(|recorded| recorded.units().len()).sum::<usize>();
    wait_for("the recording", || units() >= 20);

    let filler = disk.fill();
    let said = || camera(&daemon)["cause"].as_str().unwrap_or_default().to_owned();
    wait_for("the status to say so", || said().contains("the disk is full"));
    let state = camera(&daemon);
    assert_eq!(state["state"], "degraded");
    assert!(said().contains("recording stopped") && !said().contains("/tmp"), "{state}");
    assert_eq!(daemon.get("/healthz").status, 503);

    let before = camera_server.sent().len();
    let picture = daemon.get("/api/snapshot.jpg");
    assert_eq!((picture.status, jpeg_size(&picture.body)), (200, (320, 240)), "live pictures go on");
    camera_server.wait_for_more(10);
    let (full, age_s) = (units(), daemon.get("/healthz").json()["cameras"][0]["frame_age_s"].as_f64().unwrap());
    assert!(age_s < 5.0, "the camera goes on, and gave a picture {age_s} s ago");
    assert!(camera_server.sent().len() > before);

    std::fs::remove_file(filler).unwrap();
    wait_for("recording to go on", || camera(&daemon)["state"] == "recording" && units() >= full + 20);
    assert!(daemon.runs());
    assert!(daemon.end().success());

    let recordings = recordings(disk.path());
    let reasons: Vec<_> = recordings.iter().map(|recorded| recorded.index.closed().unwrap()).collect();
    assert!(reasons.contains(&CloseReason::StorageFailed), "{reasons:?}");
    assert_eq!(reasons.last(), Some(&CloseReason::Shutdown), "{reasons:?}");
    let [first, .., last] = &recordings[..] else { panic!("{} recordings", recordings.len()) };
    assert_eq!(first.index.header.event, last.index.header.event, "it is the same event");
    assert!(last.index.header.part > first.index.header.part);
    for recorded in &recordings {
        recorded.assert_sound();
        let numbers = recorded.numbers();
        recorded.assert_numbers(numbers[0]..=*numbers.last().unwrap());
    }
}
