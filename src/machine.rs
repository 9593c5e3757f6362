//! What the machine says of itself: temperature, memory, fan. For `/healthz`; everything here may be missing, and is then `None`.

use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

/// The kernel's first thermal zone, which is the processor's on every Raspberry Pi: thousandths of a degree (sysfs-class-thermal).
const THERMAL_ZONE: &str = "/sys/class/thermal/thermal_zone0/temp";
/// Where the fan's service keeps its state (`watchtower fan --state`).
const FAN_STATE: &str = "/run/watchtower-fan/state.json";

/// The processor's temperature in degrees Celsius.
pub fn celsius() -> Option<f32> {
    thermal_zone(Path::new(THERMAL_ZONE))
}

fn thermal_zone(file: &Path) -> Option<f32> {
    let thousandths: i32 = std::fs::read_to_string(file).ok()?.trim().parse().ok()?;
    Some(thousandths as f32 / 1000.0)
}

/// What the fan's service last wrote.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Fan {
    /// Whether it runs.
    pub on: bool,
    /// The temperature that it goes by, in degrees; `None` when it cannot be read.
    pub celsius: Option<f32>,
    /// Why there is none, or why the fan cannot be switched.
    pub problem: Option<String>,
    /// How old this is.
    #[serde(skip)]
    pub age: Duration,
}

/// The fan's state; `None` where no service looks after one.
pub fn fan() -> Option<Fan> {
    fan_state(Path::new(FAN_STATE))
}

fn fan_state(file: &Path) -> Option<Fan> {
    let bytes = std::fs::read(file).ok()?;
    let age = std::fs::metadata(file).ok()?.modified().ok()?.elapsed().unwrap_or_default();
    serde_json::from_slice(&bytes).ok().map(|fan| Fan { age, ..fan })
}

/// Memory in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// What this process holds.
    pub resident: u64,
    /// What the machine could still give (proc(5), `MemAvailable`).
    pub available: u64,
    /// What the machine has.
    pub total: u64,
}

/// The memory of process and machine.
pub fn memory() -> Option<Memory> {
    let process = std::fs::read_to_string("/proc/self/status").ok()?;
    let machine = std::fs::read_to_string("/proc/meminfo").ok()?;
    Some(Memory {
        resident: kib(&process, "VmRSS:")? * 1024,
        available: kib(&machine, "MemAvailable:")? * 1024,
        total: kib(&machine, "MemTotal:")? * 1024,
    })
}

fn kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_read_and_what_is_not_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        assert_eq!((thermal_zone(&file), fan_state(&file)), (None, None));
        std::fs::write(&file, "53123\n").unwrap();
        assert_eq!((thermal_zone(&file), fan_state(&file)), (Some(53.123), None));
        std::fs::write(&file, r#"{"on":true,"celsius":null,"problem":"no sensor"}"#).unwrap();
        let fan = fan_state(&file).unwrap();
        assert!(fan.on && fan.celsius.is_none() && fan.problem.is_some() && fan.age < Duration::from_secs(60));
        assert_eq!(thermal_zone(&file), None);
    }

    #[test]
    fn this_process_has_memory() {
        let memory = memory().unwrap();
        assert!(memory.resident > 1 << 20 && memory.available < memory.total, "{memory:?}");
    }
}
