//! What the controller does about a line from the host, and about time passing. It decides; the firmware acts.
//!
//! # Failing safe
//!
//! - After a start everything is off, whatever it was before: the host is told `reboot` and says again what it wants.
//! - With checked lines the host holds a lease: [`LEASE_S`] seconds without an intact framed line switch the LEDs off.
//!   A host of 1.x says `ir_on` once and is silent for months, so the lease binds only a host that asked for checked lines.

use crate::command::{Command, Refusal, Request};
use crate::light::Light;
use crate::report::{Identity, REVISION, Report, ResetCause};
use crate::servo::{Angle, FRAMES_PER_S};

/// Seconds without an intact framed line after which the LEDs go dark. A host says `ir_on` again every 5 s.
pub const LEASE_S: u16 = 15;
/// Frames from one brightness line to the next while the loop runs: 500 ms.
pub const REPORT_FRAMES: u8 = 25;

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    None,
    /// LEDs off.
    Dark,
    /// Move the servo.
    Servo(Angle),
    /// Read the light sensor, and pass the reading to [`Controller::measured`].
    Measure,
}

/// What was found out about the last start and the line since, for the answer to `ver`.
#[derive(Clone, Copy, Debug)]
pub struct Diagnosis {
    /// Why the controller started.
    pub cause: ResetCause,
    /// Bytes that the receiver found damaged.
    pub byte_errors: u8,
}

/// The controller's state. It starts with everything off, speaking plain.
#[derive(Clone, Debug, Default)]
pub struct Controller {
    /// The brightness and IR loop runs.
    ir: bool,
    /// Checked lines were agreed on; the lease counts.
    checked: bool,
    /// Frames until the lease ends.
    lease: u16,
    /// Frames until the next brightness line.
    until_report: u8,
    /// Framed lines that arrived damaged.
    frame_errors: u8,
}

impl Controller {
    /// Just started.
    pub const fn new() -> Controller {
        Controller { ir: false, checked: false, lease: 0, until_report: 0, frame_errors: 0 }
    }

    /// A line came from the host: what to do, and then what to answer.
    pub fn obey(&mut self, line: &[u8], diagnosis: Diagnosis) -> (Action, Option<Report>) {
        let request = match Request::parse(line) {
            Ok(request) => request,
            Err(Refusal::Ignored) => return (Action::None, None),
            Err(Refusal::Damaged) => {
                self.frame_errors = self.frame_errors.saturating_add(1);
                return (Action::None, None);
            }
            Err(Refusal::Faulty(sequence, fault)) => {
                self.renew();
                return (Action::None, Some(Report::Refused(sequence, fault)));
            }
        };
        let framed = request.sequence.is_some();
        let mut answer = request.sequence.map_or(Report::Ok, Report::Accepted);
        let action = match request.command {
            Command::IrOn => {
                if !self.ir {
                    self.ir = true;
                    self.until_report = 1;
                }
                if !framed {
                    self.checked = false;
                }
                Action::None
            }
            Command::IrOff => {
                self.ir = false;
                Action::Dark
            }
            Command::Servo(angle) => Action::Servo(angle),
            Command::Light => Action::Measure,
            Command::Checked => {
                self.checked = true;
                self.renew();
                Action::None
            }
            Command::Version => {
                answer = Report::Identity(Identity {
                    revision: REVISION,
                    cause: diagnosis.cause,
                    errors: self.frame_errors.saturating_add(diagnosis.byte_errors),
                });
                Action::None
            }
        };
        if framed {
            self.renew();
        }
        (action, Some(answer))
    }

    /// So many frames of [`FRAME_US`](crate::servo::FRAME_US) have passed since the last call.
    pub fn pass(&mut self, frames: u8) -> Action {
        if !self.ir {
            return Action::None;
        }
        if self.checked {
            self.lease = self.lease.saturating_sub(u16::from(frames));
            if self.lease == 0 {
                self.ir = false;
                return Action::Dark;
            }
        }
        if self.until_report > frames {
            self.until_report -= frames;
            return Action::None;
        }
        // Reports keep their rhythm however late one of them was.
        self.until_report = REPORT_FRAMES.saturating_sub(frames - self.until_report).max(1);
        Action::Measure
    }

    /// The sensor's reading (0 to 1023): the duty that the LEDs get now, and the line that goes out.
    pub fn measured(&self, reading: u16) -> (u8, Report) {
        let light = Light::from_reading(reading);
        let duty = if self.ir { light.led_duty() } else { 0 };
        (duty, Report::Bright { percent: light.percent(), checked: self.checked })
    }

    fn renew(&mut self) {
        self.lease = LEASE_S * FRAMES_PER_S;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::command::{Fault, Sequence};
    use crate::servo::PULSES;

    const DIAGNOSIS: Diagnosis = Diagnosis { cause: ResetCause::Power, byte_errors: 3 };

    fn framed(command: Command) -> Vec<u8> {
        Request { sequence: Some(Sequence::FIRST), command }.print().as_bytes().to_vec()
    }

    impl Controller {
        fn told(&mut self, line: &[u8]) -> (Action, Option<Report>) {
            self.obey(line, DIAGNOSIS)
        }

        /// What happens in the next `frames` frames, each of which is seen.
        fn wait(&mut self, frames: u32) -> Vec<Action> {
            (0..frames).map(|_| self.pass(1)).filter(|&action| action != Action::None).collect()
        }
    }

    #[test]
    fn the_first_generations_lines_do_what_they_did() {
        let mut controller = Controller::new();
        assert_eq!(controller.wait(100), []);
        assert_eq!(controller.told(b"ir_on"), (Action::None, Some(Report::Ok)));
        assert_eq!(controller.wait(125), [Action::Measure; 5]);
        assert_eq!(controller.measured(70), (128, Report::Bright { percent: 50, checked: false }));
        let angle = Angle::new(90).unwrap();
        assert_eq!(controller.told(b"servo_angle_90"), (Action::Servo(angle), Some(Report::Ok)));
        assert_eq!(controller.told(b"ir_off"), (Action::Dark, Some(Report::Ok)));
        assert_eq!(controller.wait(100), []);
        assert_eq!(controller.told(b"nonsense"), (Action::None, None));
    }

    #[test]
    fn a_repeated_ir_on_keeps_the_rhythm() {
        let mut controller = Controller::new();
        controller.told(b"ir_on");
        let mut reports = 0;
        for _ in 0..50 {
            controller.told(b"ir_on");
            reports += controller.wait(5).len();
        }
        assert_eq!(reports, 10);
    }

    #[test]
    fn a_late_report_does_not_delay_the_next() {
        let mut controller = Controller::new();
        controller.told(b"ir_on");
        assert_eq!(controller.pass(1), Action::Measure);
        assert_eq!(controller.pass(27), Action::Measure);
        assert_eq!(controller.wait(22), []);
        assert_eq!(controller.wait(1), [Action::Measure]);
        assert_eq!(controller.pass(255), Action::Measure);
    }

    #[test]
    fn light_is_read_without_the_loop_and_leaves_the_leds_dark() {
        let mut controller = Controller::new();
        assert_eq!(controller.told(b"light"), (Action::Measure, Some(Report::Ok)));
        assert_eq!(controller.measured(0), (0, Report::Bright { percent: 0, checked: false }));
    }

    #[test]
    fn identity_names_cause_and_errors() {
        let mut controller = Controller::new();
        controller.told(b"@0 ir_on*00");
        let errors = 4;
        let identity = Identity { revision: REVISION, cause: ResetCause::Power, errors };
        assert_eq!(controller.told(b"ver"), (Action::None, Some(Report::Identity(identity))));
    }

    #[test]
    fn checked_lines_are_answered_checked() {
        let mut controller = Controller::new();
        assert_eq!(controller.told(b"v2"), (Action::None, Some(Report::Ok)));
        let accepted = Some(Report::Accepted(Sequence::FIRST));
        assert_eq!(controller.told(&framed(Command::IrOn)), (Action::None, accepted));
        assert_eq!(controller.measured(1023), (0, Report::Bright { percent: 100, checked: true }));
        assert_eq!(controller.told(b"@0 ir_off*00"), (Action::None, None));
        let mut unknown = crate::text::Text::new();
        unknown.push_all(b"@0 dance");
        crate::checksum::seal(&mut unknown);
        let refused = Report::Refused(Sequence::FIRST, Fault::Unknown);
        assert_eq!(controller.told(unknown.as_bytes()), (Action::None, Some(refused)));
    }

    #[test]
    fn the_lease_ends_the_light_of_a_silent_host() {
        let mut controller = Controller::new();
        controller.told(b"v2");
        controller.told(&framed(Command::IrOn));
        let happened = controller.wait(749);
        assert!(happened.iter().all(|&action| action == Action::Measure) && happened.len() == 30, "{happened:?}");
        assert_eq!(controller.wait(1), [Action::Dark]);
        assert_eq!(controller.wait(1000), []);
        controller.told(&framed(Command::IrOn));
        for _ in 0..10 {
            controller.told(&framed(Command::IrOn));
            assert!(!controller.wait(700).contains(&Action::Dark));
        }
    }

    #[test]
    fn damaged_and_plain_lines_do_not_renew_the_lease() {
        let mut controller = Controller::new();
        controller.told(b"v2");
        controller.told(&framed(Command::IrOn));
        controller.wait(740);
        controller.told(b"@0 ir_on*00");
        controller.told(b"ver");
        assert!(controller.wait(10).contains(&Action::Dark));
    }

    #[test]
    fn an_old_host_after_a_new_one_gets_the_old_dialect_and_no_lease() {
        let mut controller = Controller::new();
        controller.told(b"v2");
        controller.told(&framed(Command::IrOn));
        assert_eq!(controller.told(b"ir_on"), (Action::None, Some(Report::Ok)));
        assert!(!controller.wait(5000).contains(&Action::Dark));
        assert_eq!(controller.measured(0).1, Report::Bright { percent: 0, checked: false });
    }

    #[test]
    fn one_second_of_pulses() {
        assert_eq!(u16::from(PULSES), FRAMES_PER_S);
    }

    proptest! {
        #[test]
        fn after_any_lines_silence_or_ir_off_ends_in_the_dark(
            lines in proptest::collection::vec(prop_oneof![
                any::<Vec<u8>>(), Just(b"ir_on".to_vec()), Just(b"v2".to_vec()), Just(framed(Command::IrOn)),
            ], 0..20),
            off: bool,
        ) {
            let mut controller = Controller::new();
            for line in &lines {
                controller.told(line);
            }
            if off {
                controller.told(b"ir_off");
            } else {
                controller.told(b"v2");
                controller.wait(800);
            }
            prop_assert_eq!(controller.measured(0).0, 0);
            prop_assert_eq!(controller.wait(60), []);
        }

        #[test]
        fn any_stretch_of_time_may_pass(stretches: Vec<u8>) {
            let mut controller = Controller::new();
            controller.told(b"ir_on");
            for frames in stretches {
                controller.pass(frames);
            }
        }
    }
}
