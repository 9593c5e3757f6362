//! How much of the line uploads to one store may take: a rate, and bytes a day that outlast a restart.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::ZonedDateTime;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::disk;
use crate::config::Limits;

/// See the module.
#[derive(Debug)]
pub(super) struct Allowance {
    limits: Limits,
    file: PathBuf,
    day: Day,
    /// The rate allows nothing before this.
    earliest: Option<Instant>,
}

/// What has been sent on a day.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
struct Day {
    day: Date,
    bytes: u64,
}

/// Why a file has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// For the rate.
    Rate(Duration),
    /// For the next day.
    Day(Duration),
}

impl Allowance {
    /// Takes up what `file` says of today.
    pub(super) fn new(limits: Limits, file: PathBuf, now: &ZonedDateTime) -> Self {
        let stored = std::fs::read(&file).ok().and_then(|json| serde_json::from_slice(&json).ok());
        Self { limits, file, day: stored.unwrap_or(Day { day: now.date(), bytes: 0 }), earliest: None }
    }

    /// How long a file of so many bytes has to wait. One that is larger than a whole day's allowance gets a day to itself.
    pub(super) fn wait(&self, bytes: usize, now: &ZonedDateTime, instant: Instant) -> Option<Wait> {
        if let Some(max) = self.limits.max_day_bytes
            && self.day.day == now.date()
            && self.day.bytes > 0
            && self.day.bytes + bytes as u64 > max
        {
            let midnight = now.date().tomorrow().and_then(|day| day.to_zoned_datetime(now.time_zone().clone()));
            let left = midnight.map(|midnight| now.duration_until(&midnight)).unwrap_or_default();
            return Some(Wait::Day(left.unsigned_abs()));
        }
        let left = self.earliest?.saturating_duration_since(instant);
        (!left.is_zero()).then_some(Wait::Rate(left))
    }

    /// So many bytes are about to be sent.
    ///
    /// # Errors
    /// It could not be noted, which counts until a restart only.
    pub(super) fn take(&mut self, bytes: usize, now: &ZonedDateTime) -> io::Result<()> {
        if self.limits.max_day_bytes.is_none() {
            return Ok(());
        }
        if self.day.day != now.date() {
            self.day = Day { day: now.date(), bytes: 0 };
        }
        self.day.bytes += bytes as u64;
        self.note()
    }

    /// Of what was taken for a file, so much was sent: nothing on a line that is down, twice as much where it went twice.
    ///
    /// # Errors
    /// As [`Allowance::take`].
    pub(super) fn correct(&mut self, taken_bytes: usize, sent_bytes: u64, now: &ZonedDateTime) -> io::Result<()> {
        let taken_bytes = taken_bytes as u64;
        if self.limits.max_day_bytes.is_none() || taken_bytes == sent_bytes || self.day.day != now.date() {
            return Ok(());
        }
        self.day.bytes = self.day.bytes.saturating_sub(taken_bytes) + sent_bytes;
        self.note()
    }

    fn note(&self) -> io::Result<()> {
        disk::write(&self.file, &[&serde_json::to_vec(&self.day)?])
    }

    /// They begin to be sent now.
    pub(super) fn begin(&mut self, bytes: usize, instant: Instant) {
        if let Some(kb_s) = self.limits.max_kb_s {
            self.earliest = Some(instant + Duration::from_secs_f64(bytes as f64 / 1000.0 / f64::from(kb_s)));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { max_kb_s: Some(100), max_day_bytes: Some(1_000_000) };

    #[test]
    fn a_rate_is_kept_on_average() {
        let folder = tempfile::tempdir().unwrap();
        let (now, begin) = ("2026-03-01T12:00[UTC]".parse().unwrap(), Instant::now());
        let mut allowance = Allowance::new(LIMITS, folder.path().join("day"), &now);
        assert_eq!(allowance.wait(50_000, &now, begin), None);
        allowance.take(50_000, &now).unwrap();
        allowance.begin(50_000, begin);
        assert_eq!(allowance.wait(1, &now, begin), Some(Wait::Rate(Duration::from_millis(500))));
        assert_eq!(allowance.wait(1, &now, begin + Duration::from_millis(500)), None);
    }

    #[test]
    fn a_day_ends_at_local_midnight_and_outlasts_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("day");
        let limits = Limits { max_kb_s: None, ..LIMITS };
        let (now, instant): (ZonedDateTime, _) = ("2026-03-01T23:00[Europe/Berlin]".parse().unwrap(), Instant::now());
        let mut allowance = Allowance::new(limits, file.clone(), &now);
        assert_eq!(allowance.wait(2_000_000, &now, instant), None, "more than a day's, but the first of it");
        allowance.take(900_000, &now).unwrap();
        let again = Allowance::new(limits, file, &now);
        assert_eq!(again.wait(100_000, &now, instant), None);
        assert_eq!(again.wait(100_001, &now, instant), Some(Wait::Day(Duration::from_secs(3600))));
        let tomorrow = "2026-03-02T00:00[Europe/Berlin]".parse().unwrap();
        assert_eq!(again.wait(100_001, &tomorrow, instant), None);
        allowance.correct(900_000, 0, &now).unwrap();
        assert_eq!(allowance.wait(1_000_000, &now, instant), None, "nothing was sent of it");
    }
}
