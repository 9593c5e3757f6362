//! The fan: `watchtower fan` switches it by the processor's temperature. No camera, no network.
//!
//! On when in doubt: with an unreadable sensor, before the first reading, and when the program ends. A line that a program lets go of falls back
//! to what the kernel's driver and the firmware's pull say, so that the image sets the pin high from boot on as well.
//!
//! The decision is [`Governor`], pure; pins are `rppal`'s on the Raspberry Pis that it knows, and lines of the GPIO character device elsewhere.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Degrees.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Celsius(pub f32);

/// When the fan runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    /// Above this it goes on.
    pub on: Celsius,
    /// Below this it goes off again.
    pub off: Celsius,
    /// But not before it has run so long.
    pub hold: Duration,
}

/// Decides from readings whether the fan runs.
#[derive(Clone, Debug)]
pub struct Governor {
    limits: Limits,
    /// When it went on; `None` while it is off.
    on_since: Option<Duration>,
}

impl Governor {
    /// Nothing was read yet: on.
    pub fn new(limits: Limits) -> Governor {
        Governor { limits, on_since: Some(Duration::ZERO) }
    }

    /// A reading at `now` on any clock that does not go back and began at 0; `None` if there was none. Whether the fan runs from now on.
    pub fn see(&mut self, reading: Option<Celsius>, now: Duration) -> bool {
        match (reading, self.on_since) {
            (None, None) => self.on_since = Some(now),
            (Some(celsius), None) if celsius > self.limits.on || celsius.0.is_nan() => self.on_since = Some(now),
            (Some(celsius), Some(since))
                if celsius < self.limits.off && now.saturating_sub(since) >= self.limits.hold =>
            {
                self.on_since = None;
            }
            _ => {}
        }
        self.on_since.is_some()
    }
}

/// What the service is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// When the fan runs.
    pub limits: Limits,
    /// From reading to reading.
    pub every: Duration,
    /// The kernel's thermal zone: thousandths of a degree in text.
    pub sensor: PathBuf,
    /// The pin in the processor's numbering (BCM), or the line of `chip`.
    pub pin: u8,
    /// Use this GPIO character device; `None`: the Raspberry Pi's pins.
    pub chip: Option<PathBuf>,
    /// Where the state is written after each reading, for health; JSON, by rename.
    pub state: Option<PathBuf>,
}

/// The pin cannot be had, or no longer be set. The text names it, and the remedy where it is known.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PinError(String);

/// What is written to the state file.
#[derive(Debug, PartialEq, Serialize)]
struct State {
    on: bool,
    /// The last reading; none if the sensor could not be read.
    celsius: Option<Celsius>,
    /// Why there is none, or why the pin could not be set.
    problem: Option<String>,
}

/// Switches the fan until a message comes through `stop`, or its sender is gone; then leaves it running. `turn` is called once the pin is
/// held, and after each reading.
///
/// # Errors
/// The pin cannot be had.
pub fn run(options: &Options, stop: &Receiver<()>, mut turn: impl FnMut()) -> Result<(), PinError> {
    let mut pin = Pin::open(options)?;
    turn();
    govern(options, stop, turn, |on| pin.set(on));
    Ok(())
}

fn govern(
    options: &Options,
    stop: &Receiver<()>,
    mut turn: impl FnMut(),
    mut set: impl FnMut(bool) -> Result<(), PinError>,
) {
    let began = Instant::now();
    let mut governor = Governor::new(options.limits);
    let mut last: Option<(bool, Option<String>)> = None;
    loop {
        let (celsius, mut problem) = match read(&options.sensor) {
            Ok(celsius) => (Some(celsius), None),
            Err(error) => (None, Some(format!("{}: {error}; the fan runs", options.sensor.display()))),
        };
        let on = governor.see(celsius, began.elapsed());
        if let Err(error) = set(on) {
            problem = Some(error.to_string());
        }
        let now = (on, problem);
        if last.as_ref() != Some(&now) {
            match &now.1 {
                Some(problem) => tracing::warn!(on, "{problem}"),
                None => tracing::info!(on, celsius = celsius.map(|Celsius(celsius)| celsius), "the fan"),
            }
        }
        if let Some(path) = &options.state
            && let Err(error) = write_state(path, &State { on, celsius, problem: now.1.clone() })
        {
            tracing::warn!("{}: {error}", path.display());
        }
        last = Some(now);
        turn();
        match stop.recv_timeout(options.every) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    if let Err(error) = set(true) {
        tracing::warn!("{error}");
    }
}

fn read(sensor: &Path) -> std::io::Result<Celsius> {
    let text = std::fs::read_to_string(sensor)?;
    let thousandths: i32 =
        text.trim().parse().map_err(|_| std::io::Error::new(std::io::ErrorKind::InvalidData, "not a temperature"))?;
    Ok(Celsius(thousandths as f32 / 1000.0))
}

fn write_state(path: &Path, state: &State) -> std::io::Result<()> {
    let fresh = path.with_extension("new");
    std::fs::write(&fresh, serde_json::to_vec(state)?)?;
    std::fs::rename(fresh, path)
}

/// The pin that the fan's transistor hangs on, as an output, high from the start.
enum Pin {
    RaspberryPi(rppal::gpio::OutputPin),
    Line { request: gpiocdev::Request, name: String },
}

impl Pin {
    fn open(options: &Options) -> Result<Pin, PinError> {
        let pin = options.pin;
        if let Some(chip) = &options.chip {
            let name = format!("line {pin} of {}", chip.display());
            let request = gpiocdev::Request::builder()
                .on_chip(chip)
                .with_consumer("watchtower fan")
                .with_line(u32::from(pin))
                .as_output(gpiocdev::line::Value::Active)
                .request()
                .map_err(|error| PinError(format!("{name}: {error}")))?;
            return Ok(Pin::Line { request, name });
        }
        let opened = rppal::gpio::Gpio::new().and_then(|gpio| gpio.get(pin));
        let mut output = opened
            .map_err(|error| {
                PinError(format!("GPIO {pin}: {error}; on a board other than a Raspberry Pi, name its GPIO chip"))
            })?
            .into_output_high();
        output.set_reset_on_drop(false);
        Ok(Pin::RaspberryPi(output))
    }

    fn set(&mut self, on: bool) -> Result<(), PinError> {
        match self {
            Pin::RaspberryPi(output) => {
                output.write(if on { rppal::gpio::Level::High } else { rppal::gpio::Level::Low })
            }
            Pin::Line { request, name } => {
                let value = if on { gpiocdev::line::Value::Active } else { gpiocdev::line::Value::Inactive };
                request.set_lone_value(value).map_err(|error| PinError(format!("{name}: {error}")))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::mpsc::channel;

    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits { on: Celsius(53.0), off: Celsius(50.0), hold: Duration::from_secs(300) };

    /// Starts from off.
    fn cool() -> Governor {
        let mut governor = Governor::new(LIMITS);
        assert!(governor.see(Some(Celsius(20.0)), Duration::ZERO));
        assert!(!governor.see(Some(Celsius(20.0)), Duration::from_secs(300)));
        governor
    }

    #[test]
    fn table() {
        let mut governor = cool();
        for (at_s, celsius, on) in [
            (1000, Some(49.0), false),
            (1010, Some(53.0), false),
            (1020, Some(53.1), true),
            (1030, Some(40.0), true), // held
            (1319, Some(40.0), true), // one second short
            (1320, Some(50.0), true), // not below
            (1330, Some(51.0), true), // between the limits: as it was
            (1340, Some(49.9), false),
            (1350, Some(51.0), false), // between the limits: as it was
            (1360, None, true),        // in doubt
            (1370, Some(20.0), true),  // held
            (1660, Some(20.0), false),
            (1670, Some(f32::NAN), true), // in doubt
        ] {
            assert_eq!(governor.see(celsius.map(Celsius), Duration::from_secs(at_s)), on, "at {at_s} s");
        }
    }

    #[test]
    fn on_before_anything_is_known() {
        let mut governor = Governor::new(LIMITS);
        assert!(governor.see(None, Duration::ZERO));
        assert!(governor.see(Some(Celsius(20.0)), Duration::from_secs(299)));
    }

    proptest! {
        #[test]
        fn hot_or_unknown_is_on_and_a_run_lasts(readings in proptest::collection::vec(proptest::option::of(20.0f32..90.0), 0..200)) {
            let mut governor = cool();
            let mut since: Option<u64> = None;
            for (step, reading) in readings.into_iter().enumerate() {
                let at_s = 1000 + step as u64 * 10;
                let on = governor.see(reading.map(Celsius), Duration::from_secs(at_s));
                if reading.is_none_or(|celsius| celsius > 53.0) {
                    prop_assert!(on);
                }
                match (since, on) {
                    (None, true) => since = Some(at_s),
                    (Some(began), false) => {
                        prop_assert!(at_s - began >= 300);
                        since = None;
                    }
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_service_reads_switches_reports_and_leaves_the_fan_running() {
        let folder = tempfile::tempdir().unwrap();
        let sensor = folder.path().join("temp");
        std::fs::write(&sensor, "21500\n").unwrap();
        let options = Options {
            limits: Limits { hold: Duration::from_millis(50), ..LIMITS },
            every: Duration::from_millis(5),
            sensor: sensor.clone(),
            pin: 5,
            chip: None,
            state: Some(folder.path().join("fan.json")),
        };
        let (stop, stopped) = channel();
        let (told, pin) = channel();
        let state = folder.path().join("fan.json");
        let service = std::thread::spawn(move || {
            let mut turns = 0;
            govern(
                &options,
                &stopped,
                || turns += 1,
                |on| {
                    told.send(on).unwrap();
                    Ok(())
                },
            );
            turns
        });
        let until = |wanted: bool| while pin.recv_timeout(Duration::from_secs(10)).unwrap() != wanted {};
        until(true);
        until(false);
        assert!(std::fs::read_to_string(&state).unwrap().contains("\"celsius\":21.5"));
        std::fs::remove_file(&sensor).unwrap();
        until(true);
        std::fs::write(&sensor, "rubbish").unwrap();
        until(true);
        std::fs::write(&sensor, "21500").unwrap();
        until(false);
        stop.send(()).unwrap();
        assert!(service.join().unwrap() > 5, "systemd's watchdog is fed while the loop turns");
        assert_eq!(pin.into_iter().last(), Some(true));
    }

    #[test]
    fn a_chip_that_is_not_there_is_named() {
        let options = Options {
            limits: LIMITS,
            every: Duration::from_secs(10),
            sensor: PathBuf::new(),
            pin: 5,
            chip: Some("/nonexistent/gpiochip9".into()),
            state: None,
        };
        let (_stop, stopped) = channel();
        let error = run(&options, &stopped, || {}).unwrap_err();
        assert!(error.to_string().contains("line 5 of /nonexistent/gpiochip9"), "{error}");
    }
}
