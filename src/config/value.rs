//! What a single value of the file has to be, and what is said when it is not: a reason and the remedy.
//!
//! Which key has which of these, and what does not go together, is in `check`.

use std::fmt::Display;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use jiff::Timestamp;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

use super::{CameraConfig, EncoderChoice, fault};
use crate::media::Resolution;

/// A part of a whole.
pub const PART: RangeInclusive<f32> = 0.0..=1.0;
/// What a ring is asked to keep stays in memory.
pub const RECORDING_PADDING_S: RangeInclusive<f32> = 0.0..=60.0;
/// An event is one recording; a longer one is better followed by another.
pub const MAX_EVENT_TIME_S: RangeInclusive<f32> = 1.0..=3600.0;

const MAX_NAME_BYTES: usize = 32;
const MAX_POINTS: usize = 64;
/// Of a text that is drawn on one line of the picture.
const MAX_TEXT_CHARS: usize = 64;
/// A zone that covers less than this part of the picture is a slip of the pen.
const MIN_ZONE_AREA: f32 = 1e-4;

fn between<T: PartialOrd + Display>(value: T, range: RangeInclusive<T>) -> Result<T, String> {
    match range.contains(&value) {
        true => Ok(value),
        false => Err(format!("must be between {} and {}", range.start(), range.end())),
    }
}

pub fn whole(value: i64, range: RangeInclusive<u32>) -> Result<u32, String> {
    // A number that is no u32 is out of every range.
    between(value, i64::from(*range.start())..=i64::from(*range.end())).map(|value| value as u32)
}

pub fn number(value: f64, range: RangeInclusive<f32>) -> Result<f32, String> {
    between(value as f32, range)
}

/// What a size has to be is [`Resolution`]'s own affair; its message repeats the value, which is said already.
pub fn resolution(text: &str) -> Result<Resolution, String> {
    text.parse().map_err(|reason: String| match reason.strip_prefix(&format!("'{text}'")) {
        Some(rest) => rest.trim_start_matches(':').trim_start().to_owned(),
        None => reason,
    })
}

/// A camera's name: part of addresses and of folders.
pub fn camera_name(name: &str) -> Result<(), String> {
    if (1..=MAX_NAME_BYTES).contains(&name.len()) && name.chars().all(is_name_char) {
        return Ok(());
    }
    let rule = format!("a camera's name is 1 to {MAX_NAME_BYTES} of a-z, 0-9 and '-'");
    Err(match camera_name_from(name) {
        None => format!("{rule}; any text can be its label"),
        Some(proposal) => format!("{rule}: write [cameras.{proposal}], and any text as its label"),
    })
}

/// The name that comes closest to a text; `None` where nothing of the text can be in a name.
pub fn camera_name_from(text: &str) -> Option<String> {
    let all: String = text.to_lowercase().chars().map(|c| if is_name_char(c) { c } else { '-' }).collect();
    let name: String = all.trim_matches('-').chars().take(MAX_NAME_BYTES).collect();
    Some(name.trim_end_matches('-').to_owned()).filter(|name| !name.is_empty())
}

fn is_name_char(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

pub fn rotation(degrees: i64) -> Result<u32, String> {
    match degrees {
        0 | 90 | 180 | 270 => Ok(degrees as u32),
        _ => Err("must be 0, 90, 180 or 270".to_owned()),
    }
}

pub fn encoder(name: &str) -> Result<EncoderChoice, String> {
    match name {
        "auto" => Ok(EncoderChoice::Auto),
        "hardware" => Ok(EncoderChoice::Hardware),
        "software" => Ok(EncoderChoice::Software),
        _ => Err("must be auto, hardware or software".to_owned()),
    }
}

pub fn one_line(text: &str) -> Result<String, String> {
    match text.chars().count() {
        0 => Err("must not be empty".to_owned()),
        n if n > MAX_TEXT_CHARS => Err(format!("must have at most {MAX_TEXT_CHARS} characters, has {n}")),
        _ if text.chars().any(char::is_control) => Err("must be one line without control characters".to_owned()),
        _ => Ok(text.to_owned()),
    }
}

/// A format that can be followed, and whose result fits on the picture.
pub fn time_format(format: &str) -> Result<String, String> {
    one_line(format)?;
    let sample = Timestamp::UNIX_EPOCH.to_zoned_datetime(TimeZone::UTC);
    let shown = strtime::format(format, &sample).map_err(|e| format!("is no time format: {e}"))?;
    one_line(&shown).map_err(|reason| format!("gives '{}', which {reason}", shown.escape_debug()))?;
    Ok(format.to_owned())
}

pub fn log_filter(log: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    // The parser takes any bare word for the name of a module, a misspelt level too.
    for word in log.split(',').map(str::trim).filter(|word| !word.contains(['=', '['])) {
        if !LEVELS.contains(&word.to_lowercase().as_str()) {
            return Err(match fault::nearest(word, LEVELS) {
                Some(near) => format!("'{word}' is not a level; did you mean '{near}'?"),
                None => format!("'{word}' is not a level: write one of {}, or TARGET=LEVEL", LEVELS.join(", ")),
            });
        }
    }
    match tracing_subscriber::EnvFilter::builder().parse(log) {
        Ok(_) => Ok(log.to_owned()),
        Err(e) => Err(format!("is no filter ({e}): write a level or TARGET=LEVEL, separated by commas")),
    }
}

/// A host's name or address, in lower case.
///
/// # Errors
/// What is wrong with it.
pub fn host_name(host: &str) -> Result<String, String> {
    let host = host.to_lowercase();
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.parse::<IpAddr>().is_ok() || (host.len() <= 253 && host.split('.').all(label)) {
        return Ok(host);
    }
    Err("is no host name: write the name or address alone, without http://, port or path".to_owned())
}

/// The beginning of a URL, to which a call's own path is added.
pub fn base_url(url: &str) -> Result<String, String> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest.map(|rest| rest.split('/').next().unwrap_or_default()) {
        None | Some("") => Err("is no address: write https://HOST or http://HOST:PORT".to_owned()),
        Some(host) if host.contains('@') => Err("must not hold a user or a password".to_owned()),
        Some(_) if url.contains(|c: char| c.is_whitespace() || c.is_control() || "?#".contains(c)) => {
            Err("must be an address alone, without spaces, ? and #".to_owned())
        }
        Some(_) => Ok(url.trim_end_matches('/').to_owned()),
    }
}

/// As [`base_url`], for what is told secrets: in clear to this machine only, for a proxy.
pub fn confidential_url(url: &str) -> Result<String, String> {
    let url = base_url(url)?;
    let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"];
    let after =
        |here: &&str| url.strip_prefix(*here).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']));
    if url.starts_with("http://") && !here.iter().any(after) {
        return Err("must begin with https://, so that nobody on the way reads along".to_owned());
    }
    Ok(url)
}

/// A camera's folder in a store: its label, as far as the stores and the file systems that it may be downloaded to take it.
pub fn upload_folder(camera: &CameraConfig) -> String {
    let kept = |c: char| if c.is_control() || "/\\:*?\"<>|".contains(c) { '-' } else { c };
    let folder: String = camera.label.chars().map(kept).collect();
    match folder.trim().trim_end_matches(['.', ' ']) {
        "" => camera.name.clone(),
        folder => folder.to_owned(),
    }
}

pub fn polygon(points: &[[f64; 2]]) -> Result<Vec<[f32; 2]>, String> {
    if !(3..=MAX_POINTS).contains(&points.len()) {
        return Err(format!("must have 3 to {MAX_POINTS} corners, has {}", points.len()));
    }
    let points: Vec<[f32; 2]> = points.iter().map(|point| point.map(|part| part as f32)).collect();
    for point in &points {
        if !point.iter().all(|part| (0.0..=1.0).contains(part)) {
            let [x, y] = point;
            return Err(format!("corner [{x}, {y}] is outside the picture, which goes from [0, 0] to [1, 1]"));
        }
    }
    // A polygon that crosses itself, such as an hourglass, may have a signed area of zero and still cover something.
    let [width, height] = [0, 1].map(|axis| {
        let parts = points.iter().map(|point| point[axis]);
        parts.clone().fold(0.0, f32::max) - parts.fold(1.0, f32::min)
    });
    let [first, rest @ ..] = points.as_slice() else { return Ok(points) };
    let flat = rest.windows(2).all(|pair| {
        let [a, b] = [pair[0], pair[1]].map(|point| [point[0] - first[0], point[1] - first[1]]);
        (a[0] * b[1] - a[1] * b[0]).abs() < MIN_ZONE_AREA
    });
    if flat || width * height < MIN_ZONE_AREA {
        return Err("covers nothing: the corners lie on a line".to_owned());
    }
    Ok(points)
}
