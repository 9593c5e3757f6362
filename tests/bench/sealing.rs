//! What sealing costs: CPU time for each MiB of video, as the upload's sink seals its chunks. Run by
//! `tests/bench/run uploads`, which compares it with the way of 1.x, Python's `cryptography`, on the same chunks.
//!
//! Arguments: a public key (PEM), a file, the size of a chunk in bytes, and how often to go through the file. Prints one line
//! of JSON.

use std::io::Write;
use std::process::ExitCode;

use rustix::time::{ClockId, clock_gettime};
use watchtower::upload::seal::PublicKey;

fn main() -> ExitCode {
    // Cargo adds options of its own.
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let done = match arguments.as_slice() {
        // As cargo runs every target of a package.
        [] => return ExitCode::SUCCESS,
        [key, file, chunk, passes] => run(key, file, chunk, passes),
        _ => Err("arguments: KEY.pem FILE BYTES PASSES".to_owned()),
    };
    if let Err(fault) = done {
        let _ = writeln!(std::io::stderr(), "{fault}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn run(key: &str, file: &str, chunk: &str, passes: &str) -> Result<(), String> {
    let pem = std::fs::read_to_string(key).map_err(|e| format!("{key}: {e}"))?;
    let key = PublicKey::from_pem(&pem).map_err(|e| format!("{key} {e}"))?;
    let data = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
    let chunk: usize = chunk.parse().map_err(|e| format!("'{chunk}': {e}"))?;
    let passes: usize = passes.parse().map_err(|e| format!("'{passes}': {e}"))?;
    let mib = data.len() as f64 / f64::from(1 << 20);
    let mut sealed_bytes = 0;
    let mut pass = || {
        let begin = cpu_s();
        sealed_bytes = data.chunks(chunk.max(1)).map(|chunk| key.seal(chunk).len()).sum();
        (cpu_s() - begin) * 1000.0 / mib
    };
    pass();
    let ms: Vec<String> = (0..passes).map(|_| format!("{:.4}", pass())).collect();
    let line = format!("{{\"ms_per_mib\": [{}], \"sealed_bytes\": {sealed_bytes}}}\n", ms.join(", "));
    std::io::stdout().write_all(line.as_bytes()).map_err(|e| e.to_string())
}

/// CPU seconds of this process so far.
fn cpu_s() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}
