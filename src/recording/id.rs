//! Names of recordings and cameras: parsed strictly, so that no text from outside ever becomes a part of a path.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

/// What a recording is called, by local time: `2020-09-07/12.25.43`. Their order is that of time, but for the hour that
/// the clock repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordingId {
    /// The day.
    pub day: Date,
    /// The time of day, in whole seconds.
    pub time: Time,
}

/// A name that is not written as this program writes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not a day.
    #[error("a day is written YYYY-MM-DD, for example 2020-09-07")]
    Day,
    /// Not a time.
    #[error("a time is written HH.MM.SS, for example 12.25.43")]
    Time,
}

impl RecordingId {
    /// The name for something at this moment.
    pub fn at(moment: Timestamp, time_zone: &TimeZone) -> Self {
        Self::of(time_zone.to_datetime(moment))
    }

    fn of(local: DateTime) -> Self {
        let (day, time) = (local.date(), local.time());
        let whole = Time::new(time.hour(), time.minute(), time.second(), 0);
        Self { day, time: whole.unwrap_or(Time::midnight()) }
    }

    /// One second later, for when a name is taken.
    pub fn next(self) -> Self {
        Self::of(self.day.to_datetime(self.time).saturating_add(jiff::SignedDuration::from_secs(1)))
    }

    /// The moment it names; the earlier one in the hour that the clock repeats.
    pub fn moment(self, time_zone: &TimeZone) -> Timestamp {
        let local = self.day.to_datetime(self.time);
        // Out of range only within a day of the end of the year 9999.
        time_zone.to_ambiguous_timestamp(local).compatible().unwrap_or(Timestamp::MAX)
    }

    /// From `YYYY-MM-DD` and `HH.MM.SS`, exactly so.
    pub fn parse(day: &str, time: &str) -> Result<Self, IdError> {
        Ok(Self { day: parse_day(day)?, time: parse_time(time)? })
    }

    /// Name of the day's folder.
    pub fn day_name(self) -> String {
        day_name(self.day)
    }

    /// Name of the recording's folder in that of the day.
    pub fn time_name(self) -> String {
        time_name(self.time)
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.day_name(), self.time_name())
    }
}

/// A day as the API and the folders write it.
pub fn day_name(day: Date) -> String {
    format!("{:04}-{:02}-{:02}", day.year(), day.month(), day.day())
}

/// A time as the API and the folders write it.
pub fn time_name(time: Time) -> String {
    format!("{:02}.{:02}.{:02}", time.hour(), time.minute(), time.second())
}

/// From `YYYY-MM-DD`, exactly so.
pub fn parse_day(text: &str) -> Result<Date, IdError> {
    let [year, month, day] = numbers(text, '-').ok_or(IdError::Day)?;
    let day = Date::new(year, month as i8, day as i8).map_err(|_| IdError::Day)?;
    if day_name(day) == text { Ok(day) } else { Err(IdError::Day) }
}

/// From `HH.MM.SS`, exactly so.
pub fn parse_time(text: &str) -> Result<Time, IdError> {
    let [hour, minute, second] = numbers(text, '.').ok_or(IdError::Time)?;
    let time = Time::new(hour as i8, minute as i8, second as i8, 0).map_err(|_| IdError::Time)?;
    if time_name(time) == text { Ok(time) } else { Err(IdError::Time) }
}

// Lenient and truncating: the callers compare what they made of it with the text.
fn numbers(text: &str, between: char) -> Option<[i16; 3]> {
    let mut parts = text.split(between).map(|part| i16::from_str(part).ok());
    Some([parts.next()??, parts.next()??, parts.next()??])
}

/// Whether this can be a camera: `[a-z0-9-]{1,32}`.
pub fn is_camera_name(name: &str) -> bool {
    (1..=32).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_exact_spelling_is_taken() {
        let id = RecordingId::parse("2020-09-07", "12.25.43").unwrap();
        assert_eq!(id.to_string(), "2020-09-07/12.25.43");
        for day in [
            "2020-9-7",
            "2020-02-30",
            "2020-09-07 ",
            "+020-09-07",
            "2020-09-07-",
            "../..",
            "",
            "20200907",
            "2020-09-263",
        ] {
            assert_eq!(parse_day(day), Err(IdError::Day), "{day}");
        }
        for time in ["12:25:43", "1.2.3", "24.00.00", "23.59.60", "12.25.43.", "..", "12.25", "-1.00.00", "12.25.299"] {
            assert_eq!(parse_time(time), Err(IdError::Time), "{time}");
        }
    }

    #[test]
    fn the_next_second_may_be_tomorrow() {
        let last = RecordingId::parse("2020-12-31", "23.59.59").unwrap();
        assert_eq!(last.next().to_string(), "2021-01-01/00.00.00");
    }

    #[test]
    fn names_are_local_time() {
        let berlin = TimeZone::get("Europe/Berlin").unwrap();
        let moment: Timestamp = "2026-07-01T22:30:05.7Z".parse().unwrap();
        let id = RecordingId::at(moment, &berlin);
        assert_eq!(id.to_string(), "2026-07-02/00.30.05");
        assert_eq!(id.moment(&berlin), "2026-07-01T22:30:05Z".parse().unwrap());
        // The hour that is missing in spring names the moment it would have been.
        RecordingId::parse("2026-03-29", "02.30.00").unwrap().moment(&berlin);
    }

    proptest! {
        #[test]
        fn what_is_parsed_is_written_the_same(day in ".{0,12}", time in "[0-9.]{6,9}", n: [u8; 3]) {
            let _ = parse_day(&day).map(|parsed| assert_eq!(day_name(parsed), day));
            let _ = parse_time(&time).map(|parsed| assert_eq!(time_name(parsed), time));
            let text = format!("{:02}.{:02}.{:02}", n[0], n[1], n[2]);
            prop_assert_eq!(parse_time(&text).is_ok(), n[0] < 24 && n[1] < 60 && n[2] < 60);
        }

        #[test]
        fn camera_names_cannot_leave_their_folder(name in "[a-zA-Z0-9./-]{0,40}") {
            prop_assert_eq!(is_camera_name(&name), !name.is_empty() && name.len() <= 32
                && !name.contains(|c: char| c == '.' || c == '/' || c.is_uppercase()));
        }
    }
}
