//! What one look for motion costs: reducing a frame's luma and looking at it, as the develop thread does with a raw camera's
//! frames. Run by `tests/bench/run detector`, which compares it with an OpenCV pipeline on the same frames.
//!
//! Arguments: a file of I420 frames, their size, and how often to go through them. Prints one line of JSON.

use std::io::Write;
use std::process::ExitCode;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};
use watchtower::config::MotionConfig;
use watchtower::media::{Frame, FramePool, Luma, Moment, Pts, Resolution};
use watchtower::motion::{Detector, LOOKS_PER_S};
use watchtower::scale;

fn main() -> ExitCode {
    // Cargo adds options of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let done = match arguments.as_slice() {
        // As cargo runs every target of a package.
        [] => return ExitCode::SUCCESS,
        [file, size, passes] => run(file, size, passes),
        _ => Err("arguments: FILE WIDTHxHEIGHT PASSES".to_owned()),
    };
    if let Err(fault) = done {
        let _ = writeln!(std::io::stderr(), "{fault}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(file: &str, size: &str, passes: &str) -> Result<(), String> {
    let size: Resolution = size.parse()?;
    let passes: usize = passes.parse().map_err(|e| format!("'{passes}': {e}"))?;
    let data = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    let pool = FramePool::default();
    let frames: Vec<Frame> = data
        .chunks_exact(Frame::len_of(size))
        .map(|data| {
            let moment = Moment { pts: Pts(0), wall: Timestamp::UNIX_EPOCH, brightness: None };
            let mut frame = pool.frame(size, moment);
            frame.data_mut().copy_from_slice(data);
            frame
        })
        .collect();
    if frames.is_empty() {
        return Err(format!("{file}: not one frame of {size}"));
    }
    let mut detector = Detector::new(&MotionConfig::default(), &[]);
    let scale = scale::luma_scale(size);
    let (mut luma, mut looks, mut motion) = (Luma::default(), 0, 0);
    let mut pass = || {
        let begin = cpu_s();
        for frame in &frames {
            scale::shrink_luma(frame, scale, &mut luma);
            let sight = detector.look(&luma, Pts(looks * Pts::HZ / i64::from(LOOKS_PER_S)));
            motion += usize::from(sight.motion);
            looks += 1;
        }
        (cpu_s() - begin) * 1000.0 / frames.len() as f64
    };
    // The first sizes every buffer.
    pass();
    let ms_per_look: Vec<f64> = (0..passes).map(|_| pass()).collect();
    let found = serde_json::json!({ "ms_per_look": ms_per_look, "looks": looks, "with_motion": motion });
    writeln!(std::io::stdout(), "{found}").map_err(|e| e.to_string())
}

/// CPU seconds this process has used.
fn cpu_s() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}
