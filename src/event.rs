//! An event: one motion or manual episode, decided once and followed by every encoder and sink.
//!
//! The policy (`recording::policy`) decides when one starts and ends; who follows it never asks back.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::media::{Frame, Moment, Pts, Region};

/// What made an event start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The detector saw motion.
    Motion,
    /// Somebody asked for a recording.
    Manual,
    /// The camera is configured to record all the time.
    Always,
}

/// What made an event end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum EndReason {
    /// Nothing moved for the post-roll.
    Quiet,
    /// The longest event time was reached; the next one may follow without a gap.
    MaxEventTime,
    /// Monitoring was stopped.
    Stopped,
    /// The camera gave no pictures any more.
    CameraLost,
    /// The program ended.
    Shutdown,
}

/// The end of an event, known only once it has come.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct End {
    /// The last picture that belongs to it is at or before this time.
    pub pts: Pts,
    /// Why.
    pub reason: EndReason,
}

/// One episode. Shared by all who follow it.
#[derive(Debug)]
pub struct Event {
    /// Persistent and increasing: the order of events, whatever the wall clock did.
    pub id: u64,
    /// Why it started.
    pub cause: Cause,
    /// The picture at which it was decided.
    pub trigger: Moment,
    /// The first picture that belongs to it is the last one at or before this time (pre-roll).
    pub start: Pts,
    /// The largest connected changed area, as a part of the picture, 0 to 1.
    pub changed: f32,
    /// Where the change was.
    pub regions: Vec<Region>,
    /// The picture that triggered.
    pub picture: Option<Arc<Frame>>,
    /// The same as a JPEG, with what changed outlined: made by whoever needs it first. `None` within: it cannot be made.
    pub jpeg: OnceLock<Option<Bytes>>,
    /// Set once, when the event has ended.
    pub end: OnceLock<End>,
}

impl Event {
    /// Time of the last picture that belongs to it, once known.
    pub fn until(&self) -> Option<Pts> {
        self.end.get().map(|end| end.pts)
    }
}
