//! When an event starts and ends: motion, requests and time turned into decisions, once for all sinks.
//!
//! Pure: the caller gives the time and what is so at that time, and carries the decisions out. What motion is, is `motion`'s;
//! who follows an event is `writer`'s and the other sinks'.

use std::time::Duration;

use crate::event::{Cause, End, EndReason};
use crate::media::Pts;

/// A camera that is not alive for longer than this has been lost.
const LOST: Duration = Duration::from_secs(2);

/// How long what is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyConfig {
    /// An event starts this long before its trigger, or where the one before ended.
    pub pre_roll: Duration,
    /// It ends this long after the last motion or request.
    pub post_roll: Duration,
    /// It ends this long after its trigger, whatever moves.
    pub max_event: Duration,
    /// While monitoring, record without a reason too.
    pub record_always: bool,
}

/// What is so at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The detector sees motion. Does not count unless monitoring.
    pub motion: bool,
    /// A recording was asked for since the last step.
    pub manual: bool,
    /// Whether the camera watches.
    pub monitoring: bool,
    /// Whether pictures come.
    pub camera_alive: bool,
    /// The program ends.
    pub shutting_down: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Decision {
    /// An event starts.
    Start {
        /// When it was decided.
        trigger: Pts,
        /// Where it starts: the pre-roll before the trigger, but never before the end of the event before it.
        start: Pts,
        /// Why.
        cause: Cause,
    },
    /// The event has ended.
    End(End),
    /// The event has ended because it was long enough. The detector is to take the scene as it is for the background; if
    /// something moves against that soon (within the pre-roll), the next event starts where this one ended.
    Roll(End),
}

/// The event that goes on.
#[derive(Clone, Copy, Debug)]
struct Open {
    trigger: Pts,
    /// The last motion, and the last request.
    motion: Option<Pts>,
    manual: Option<Pts>,
}

/// Decides for one camera.
#[derive(Clone, Debug)]
pub struct Policy {
    config: PolicyConfig,
    open: Option<Open>,
    /// End of the event before.
    ended: Pts,
    /// When pictures last came.
    alive: Option<Pts>,
}

impl Policy {
    /// A policy with no event going on.
    pub fn new(config: PolicyConfig) -> Self {
        Self { config, open: None, ended: Pts::MIN, alive: None }
    }

    /// One step at `now`, which never goes back. Answers at most two decisions: an end comes before a start.
    ///
    /// Times are exact however rarely this is called: an event ends at its last motion plus the post-roll, not at the step that
    /// notices. Only [`Decision::Roll`] ends one at the step.
    pub fn step(&mut self, now: Pts, input: Input) -> impl Iterator<Item = Decision> + use<> {
        if input.camera_alive {
            self.alive = Some(now);
        }
        let lost = self.alive.is_none_or(|alive| now.since(alive) > LOST);
        if let Some(open) = &mut self.open {
            open.motion = if input.motion && input.monitoring { Some(now) } else { open.motion };
            open.manual = if input.manual { Some(now) } else { open.manual };
        }
        let mut end = self.open.and_then(|open| self.end(now, open, input, lost));
        let rolled = end.is_some_and(|end| end.reason == EndReason::MaxEventTime);
        if let Some(end) = &mut end {
            // Up to now its pictures have been encoded as they came: the next event can begin only after them.
            end.pts = if rolled { now } else { end.pts };
            self.open = None;
            self.ended = end.pts;
        }
        let end = end.map(if rolled { Decision::Roll } else { Decision::End });
        let start = if lost || input.shutting_down { None } else { self.start(now, input, rolled) };
        [end, start].into_iter().flatten()
    }

    /// Whether the event has ended by `now`, and where: the earliest of its reasons.
    fn end(&self, now: Pts, open: Open, input: Input, lost: bool) -> Option<End> {
        let end = |pts: Pts, reason| End { pts: pts.max(open.trigger), reason };
        let quiet = if !input.monitoring {
            self.stopped(now, open)
        } else if self.config.record_always {
            None
        } else {
            Some(end(self.quiet_from(open), EndReason::Quiet))
        };
        let reasons = [
            quiet,
            Some(end(open.trigger + self.config.max_event, EndReason::MaxEventTime)),
            lost.then(|| end(self.alive.unwrap_or(now), EndReason::CameraLost)),
            input.shutting_down.then(|| end(now, EndReason::Shutdown)),
        ];
        reasons.into_iter().flatten().filter(|end| end.pts <= now).min_by_key(|end| end.pts)
    }

    /// The end of an event while nobody watches: at once, or after the post-roll of what was asked for by hand.
    fn stopped(&self, now: Pts, open: Open) -> Option<End> {
        let asked_until = open.manual.map(|manual| manual + self.config.post_roll);
        match asked_until {
            Some(until) if until == self.quiet_from(open) => Some(End { pts: until, reason: EndReason::Quiet }),
            Some(until) if now < until => None,
            _ => Some(End { pts: now, reason: EndReason::Stopped }),
        }
    }

    /// When the event ends if nothing more happens.
    fn quiet_from(&self, open: Open) -> Pts {
        open.motion.max(open.manual).unwrap_or(open.trigger) + self.config.post_roll
    }

    /// Whether an event starts, and why.
    fn start(&mut self, now: Pts, input: Input, rolled: bool) -> Option<Decision> {
        if self.open.is_some() {
            return None;
        }
        // What ended an event at this step was seen before the background was made new, or belongs to the event that ended.
        let motion = input.motion && input.monitoring && !rolled;
        let cause = match (motion, input.manual) {
            (true, _) => Cause::Motion,
            (_, true) => Cause::Manual,
            _ if self.config.record_always && input.monitoring => Cause::Always,
            _ => return None,
        };
        self.open = Some(Open { trigger: now, motion: motion.then_some(now), manual: input.manual.then_some(now) });
        let start = (now - self.config.pre_roll).max(self.ended);
        Some(Decision::Start { trigger: now, start, cause })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONFIG: PolicyConfig = PolicyConfig {
        pre_roll: Duration::from_secs(8),
        post_roll: Duration::from_secs(8),
        max_event: Duration::from_secs(60),
        record_always: false,
    };
    const IDLE: Input =
        Input { motion: false, manual: false, monitoring: true, camera_alive: true, shutting_down: false };
    const MOTION: Input = Input { motion: true, ..IDLE };
    const MANUAL: Input = Input { manual: true, ..IDLE };
    const OFF: Input = Input { monitoring: false, ..IDLE };

    fn at(s: f64) -> Pts {
        Pts::from_secs_f64(s)
    }

    fn started(trigger_s: f64, start_s: f64, cause: Cause) -> Decision {
        Decision::Start { trigger: at(trigger_s), start: at(start_s), cause }
    }

    fn ended(s: f64, reason: EndReason) -> Decision {
        Decision::End(End { pts: at(s), reason })
    }

    /// What is decided when `inputs` are given at their times (s) and steps of 0.1 s lie between them.
    fn decided(config: PolicyConfig, inputs: &[(f64, Input)], idle: Input, until_s: f64) -> Vec<(f64, Decision)> {
        let mut policy = Policy::new(config);
        let mut decisions = Vec::new();
        for tenth in 0..=(until_s * 10.0) as i64 {
            let s = tenth as f64 / 10.0;
            let input = inputs.iter().find(|(t, _)| (t - s).abs() < 0.01).map_or(idle, |(_, input)| *input);
            decisions.extend(policy.step(at(s), input).map(|decision| (s, decision)));
        }
        decisions
    }

    fn every_tenth(from_s: f64, to_s: f64, input: Input) -> Vec<(f64, Input)> {
        ((from_s * 10.0) as i64..(to_s * 10.0) as i64).map(|tenth| (tenth as f64 / 10.0, input)).collect()
    }

    #[test]
    fn motion_is_padded_before_and_after() {
        let got = decided(CONFIG, &[(20.0, MOTION), (23.0, MOTION)], IDLE, 60.0);
        let expected = [(20.0, started(20.0, 12.0, Cause::Motion)), (31.0, ended(31.0, EndReason::Quiet))];
        assert_eq!(got, expected);
    }

    #[test]
    fn an_end_is_exact_however_late_it_is_noticed() {
        let mut policy = Policy::new(CONFIG);
        assert_eq!(policy.step(at(20.0), MOTION).count(), 1);
        assert_eq!(policy.step(at(47.3), IDLE).collect::<Vec<_>>(), [ended(28.0, EndReason::Quiet)]);
    }

    #[test]
    fn what_follows_soon_starts_where_the_last_one_ended() {
        let got = decided(CONFIG, &[(20.0, MOTION), (30.0, MOTION), (60.0, MOTION)], IDLE, 61.0);
        let expected = [
            (20.0, started(20.0, 12.0, Cause::Motion)),
            (28.0, ended(28.0, EndReason::Quiet)),
            (30.0, started(30.0, 28.0, Cause::Motion)),
            (38.0, ended(38.0, EndReason::Quiet)),
            (60.0, started(60.0, 52.0, Cause::Motion)),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn the_longest_event_rolls_and_motion_against_the_new_background_follows_without_a_gap() {
        // The detector needs a moment after the background is made new.
        let mut inputs = every_tenth(10.0, 70.1, MOTION);
        inputs.extend(every_tenth(70.5, 72.0, MOTION));
        let got = decided(CONFIG, &inputs, IDLE, 90.0);
        let expected = [
            (10.0, started(10.0, 2.0, Cause::Motion)),
            (70.0, Decision::Roll(End { pts: at(70.0), reason: EndReason::MaxEventTime })),
            (70.5, started(70.5, 70.0, Cause::Motion)),
            (79.9, ended(79.9, EndReason::Quiet)),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn an_event_that_rolls_ends_with_the_picture_at_which_that_was_noticed() {
        let mut policy = Policy::new(CONFIG);
        assert_eq!(policy.step(at(10.0), MOTION).count(), 1);
        for s in [18.0, 26.0, 34.0, 42.0, 50.0, 58.0, 66.0] {
            assert_eq!(policy.step(at(s), MOTION).count(), 0);
        }
        let roll = Decision::Roll(End { pts: at(70.05), reason: EndReason::MaxEventTime });
        assert_eq!(policy.step(at(70.05), MOTION).collect::<Vec<_>>(), [roll]);
        assert_eq!(policy.step(at(71.0), MOTION).collect::<Vec<_>>(), [started(71.0, 70.05, Cause::Motion)]);
    }

    #[test]
    fn recording_always_goes_in_pieces_without_gaps() {
        let got = decided(PolicyConfig { record_always: true, ..CONFIG }, &[(20.0, MOTION)], IDLE, 125.0);
        let roll = |s| Decision::Roll(End { pts: at(s), reason: EndReason::MaxEventTime });
        let expected = [
            (0.0, started(0.0, -8.0, Cause::Always)),
            (60.0, roll(60.0)),
            (60.0, started(60.0, 60.0, Cause::Always)),
            (120.0, roll(120.0)),
            (120.0, started(120.0, 120.0, Cause::Always)),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn stopping_ends_motion_at_once_and_a_request_later() {
        let motion = decided(CONFIG, &[(20.0, MOTION), (22.0, OFF)], IDLE, 40.0);
        assert_eq!(motion[1], (22.0, ended(22.0, EndReason::Stopped)));
        let mut inputs = vec![(20.0, MANUAL)];
        inputs.extend(every_tenth(22.0, 50.0, OFF));
        let manual = decided(CONFIG, &inputs, IDLE, 40.0);
        assert_eq!(manual[0], (20.0, started(20.0, 12.0, Cause::Manual)));
        assert_eq!(manual[1], (28.0, ended(28.0, EndReason::Quiet)));
        // Motion made it longer; once nobody watches, only the request counts.
        inputs.push((21.5, MOTION));
        let both = decided(CONFIG, &inputs, IDLE, 40.0);
        assert_eq!(both[1], (28.0, ended(28.0, EndReason::Stopped)));
    }

    #[test]
    fn a_request_needs_no_monitoring_and_motion_without_it_is_nothing() {
        let manual = Input { manual: true, ..OFF };
        let unwatched = Input { motion: true, ..OFF };
        let mut inputs = every_tenth(15.0, 40.0, unwatched);
        inputs.retain(|(s, _)| *s != 20.0);
        inputs.push((20.0, manual));
        let got = decided(CONFIG, &inputs, OFF, 60.0);
        assert_eq!(got, [(20.0, started(20.0, 12.0, Cause::Manual)), (28.0, ended(28.0, EndReason::Quiet))]);
    }

    #[test]
    fn motion_extends_a_request() {
        let got = decided(CONFIG, &[(20.0, MANUAL), (26.0, MOTION)], IDLE, 60.0);
        assert_eq!(got[1], (34.0, ended(34.0, EndReason::Quiet)));
    }

    #[test]
    fn a_lost_camera_ends_the_event_where_its_pictures_ended() {
        let dead = Input { camera_alive: false, ..IDLE };
        let mut inputs = vec![(20.0, MOTION)];
        inputs.extend(every_tenth(21.0, 40.0, dead));
        let got = decided(CONFIG, &inputs, IDLE, 40.0);
        assert_eq!(got[1], (23.0, ended(20.9, EndReason::CameraLost)));
        // A hiccup is none.
        let hiccup = decided(CONFIG, &inputs[..20], IDLE, 40.0);
        assert_eq!(hiccup[1], (28.0, ended(28.0, EndReason::Quiet)));
        assert_eq!(Policy::new(CONFIG).step(at(1.0), Input { manual: true, ..dead }).count(), 0);
    }

    #[test]
    fn shutting_down_ends_the_event_and_starts_none() {
        let down = Input { shutting_down: true, ..MOTION };
        let mut policy = Policy::new(CONFIG);
        assert_eq!(policy.step(at(20.0), MOTION).count(), 1);
        assert_eq!(policy.step(at(22.0), down).collect::<Vec<_>>(), [ended(22.0, EndReason::Shutdown)]);
        assert_eq!(policy.step(at(23.0), down).count(), 0);
    }

    proptest! {
        #[test]
        fn events_never_overlap_and_have_no_gap_that_they_should_not_have(
            steps in prop::collection::vec((1u16..4000, any::<[bool; 4]>(), 0u8..20), 1..200),
            record_always: bool,
            pre_ms in 0u64..10_000,
            post_ms in 0u64..10_000,
            max_ms in 100u64..30_000,
        ) {
            let config = PolicyConfig {
                pre_roll: Duration::from_millis(pre_ms),
                post_roll: Duration::from_millis(post_ms),
                max_event: Duration::from_millis(max_ms),
                record_always,
            };
            let mut policy = Policy::new(config);
            let (mut now, mut last_end) = (Pts(0), None::<Pts>);
            let mut open = None::<(Pts, Pts)>;
            for (ms, [motion, manual, monitoring, camera_alive], down) in steps {
                now = now + Duration::from_millis(u64::from(ms));
                let input = Input { motion, manual, monitoring, camera_alive, shutting_down: down == 0 };
                for decision in policy.step(now, input) {
                    match decision {
                        Decision::Start { trigger, start, .. } => {
                            prop_assert!(open.is_none(), "two events at a time");
                            prop_assert_eq!(trigger, now);
                            let wanted = now - config.pre_roll;
                            prop_assert_eq!(start, last_end.map_or(wanted, |end| end.max(wanted)));
                            open = Some((trigger, start));
                        }
                        Decision::End(end) | Decision::Roll(end) => {
                            let (trigger, start) = open.take().unwrap();
                            prop_assert!(end.pts >= start && end.pts >= trigger && end.pts <= now);
                            let rolled = matches!(decision, Decision::Roll(_));
                            prop_assert_eq!(rolled, end.reason == EndReason::MaxEventTime);
                            let in_time = end.pts <= trigger + config.max_event;
                            prop_assert!(in_time && !rolled || end.pts == now);
                            last_end = Some(end.pts);
                        }
                    }
                }
                prop_assert!(!(input.shutting_down && open.is_some()), "open after the end of the program");
                if let Some((trigger, _)) = open {
                    prop_assert!(now < trigger + config.max_event || now == trigger);
                }
            }
        }
    }
}
