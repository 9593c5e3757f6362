//! The lines on the Unix socket: one JSON object a line, each request answered by one line, in order.
//!
//! ```text
//! {"request":"start","angle":110}       {"ok":true}
//! {"request":"stop"}                    {"ok":true}
//! {"request":"angle","degrees":90}      {"ok":true}
//! {"request":"brightness"}              {"ok":true,"brightness":42}
//! {"request":"status"}                  {"ok":true,"status":{…}}
//! {"request":"angle","degrees":181}     {"ok":false,"error":"…"}
//! ```
//!
//! `ok` means: it is wanted from now on. Whether the controller has it yet is `settled` in the status.

use serde::{Deserialize, Serialize};

use super::link::{Counts, Phase};

/// The longest line that is read, in bytes.
pub const LINE_MAX_BYTES: u64 = 4096;

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Brightness and IR loop on; the servo to `angle`, where one is given.
    Start {
        /// 0 to 180 degrees.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        angle: Option<u16>,
    },
    /// The exact opposite. This angle is also where the servo is parked when the service ends.
    Stop {
        /// 0 to 180 degrees.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        angle: Option<u16>,
    },
    /// Move the servo.
    Angle {
        /// 0 to 180.
        degrees: u16,
    },
    /// The present brightness.
    Brightness {},
    /// Everything that is known.
    Status {},
}

/// The answer to a [`Request`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The request was carried out.
    pub ok: bool,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// To `brightness`: 0 (dark) to 100, or -1 where there is none (1.x's answer too).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub brightness: Option<i16>,
    /// To `status`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Status>,
}

/// What the service knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The serial port.
    pub port: String,
    /// How far host and controller are.
    pub phase: Phase,
    /// The controller has answered since it was last greeted.
    pub answered: bool,
    /// It has acknowledged all that is wanted.
    pub settled: bool,
    /// Whether the brightness and IR loop is wanted.
    pub ir: bool,
    /// The wanted angle in degrees.
    pub angle: Option<u8>,
    /// 0 (dark) to 100 (bright), while lines come.
    pub brightness: Option<u8>,
    /// The firmware's revision; none for a controller of 1.x.
    pub revision: Option<u8>,
    /// Counts since the service started.
    #[serde(flatten)]
    pub counts: Counts,
    /// Why the port is absent.
    pub problem: Option<String>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_as_they_are_written() {
        for (line, request) in [
            (r#"{"request":"start"}"#, Request::Start { angle: None }),
            (r#"{"request":"start","angle":110}"#, Request::Start { angle: Some(110) }),
            (r#"{"request":"stop"}"#, Request::Stop { angle: None }),
            (r#"{"request":"angle","degrees":90}"#, Request::Angle { degrees: 90 }),
            (r#"{"request":"brightness"}"#, Request::Brightness {}),
            (r#"{"request":"status"}"#, Request::Status {}),
        ] {
            assert_eq!(serde_json::from_str::<Request>(line).unwrap(), request);
            assert_eq!(serde_json::to_string(&request).unwrap(), line);
        }
        for line in [
            "",
            "{}",
            r#"{"request":"dance"}"#,
            r#"{"request":"angle"}"#,
            r#"{"request":"angle","degrees":-1}"#,
            r#"{"request":"stop","x":1}"#,
        ] {
            assert!(serde_json::from_str::<Request>(line).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn anything_may_come(line: Vec<u8>) {
            let _ = serde_json::from_slice::<Request>(&line);
        }
    }
}
