//! The two clocks: monotonic for everything that is measured, wall time for names and the annotation.

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

use crate::media::{Moment, Pts};

/// Now on `CLOCK_MONOTONIC`, the clock V4L2 stamps its buffers with.
pub fn now() -> Pts {
    let t = clock_gettime(ClockId::Monotonic);
    Pts::from_micros(t.tv_sec * 1_000_000 + t.tv_nsec / 1_000)
}

/// The moment of a picture taken at `pts`: its wall time is now less the picture's age.
pub fn moment_at(pts: Pts, brightness: Option<u8>) -> Moment {
    let age = now().since(pts);
    let wall = Timestamp::now();
    Moment { pts, wall: wall.checked_sub(age).unwrap_or(wall), brightness }
}

/// systemd-timesyncd's word on the wall clock (systemd-timesyncd.service(8), "Files"): the folder is there while it runs,
/// the file once the clock has been set. `None` where it does not run.
pub fn synchronised() -> Option<bool> {
    let folder = std::path::Path::new("/run/systemd/timesync");
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

/// Whether the wall clock can be trusted. A Pi boots without one. Where nobody says, a date before this program was written
/// is no time at all.
pub fn is_synchronised() -> bool {
    const WRITTEN: i64 = 1_767_225_600; // 2026-01-01
    synchronised().unwrap_or_else(|| Timestamp::now().as_second() > WRITTEN)
}
