//! Lines from the controller to the host.
//!
//! Plain, as in 1.x: `reboot`, `ok`, `bright: N`. New: `wt 2 REVISION CAUSE ERRORS` in answer to `ver`; and between ends that
//! have agreed on checked lines `@S ok*CC`, `@S err N*CC` and `bright: N*CC`.

use crate::checksum;
use crate::command::{Fault, Sequence};
use crate::text::{Text, parse_number};

/// Revision of this firmware, which `ver` is answered with. It goes up with every change that a host could notice.
pub const REVISION: u8 = 1;

/// What the controller says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// It has just started, and all that it was told before is gone.
    Reboot,
    /// A plain command was accepted.
    Ok,
    /// The brightness, 0 (dark) to 100 (bright).
    Bright {
        /// 0 to 100.
        percent: u8,
        /// The line carries a checksum.
        checked: bool,
    },
    /// Who it is.
    Identity(Identity),
    /// The framed command of this number was accepted.
    Accepted(Sequence),
    /// The framed command of this number arrived and is not carried out.
    Refused(Sequence, Fault),
}

/// The answer to `ver`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// [`REVISION`] of the firmware that answers.
    pub revision: u8,
    /// Why it last started.
    pub cause: ResetCause,
    /// Bytes and frames that arrived damaged since then; stays at 255.
    pub errors: u8,
}

/// Why the controller started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetCause {
    /// Supply voltage came up.
    Power,
    /// The RESET pin was pulled: programming, or the host.
    Pin,
    /// The supply fell below the brown-out level.
    BrownOut,
    /// The program hung.
    Watchdog,
    /// None of these: a jump to the start.
    Unknown,
}

impl ResetCause {
    /// From the ATtiny84A's MCUSR (datasheet 8.5.1): WDRF, BORF, EXTRF and PORF are bits 3 to 0. Several may be set when the supply
    /// came up slowly; then power is the cause.
    pub fn from_mcusr(mcusr: u8) -> ResetCause {
        if mcusr & 1 != 0 {
            ResetCause::Power
        } else if mcusr & 8 != 0 {
            ResetCause::Watchdog
        } else if mcusr & 4 != 0 {
            ResetCause::BrownOut
        } else if mcusr & 2 != 0 {
            ResetCause::Pin
        } else {
            ResetCause::Unknown
        }
    }

    fn letter(self) -> u8 {
        match self {
            ResetCause::Power => b'p',
            ResetCause::Pin => b'r',
            ResetCause::BrownOut => b'b',
            ResetCause::Watchdog => b'w',
            ResetCause::Unknown => b'-',
        }
    }

    fn from_letter(letter: u8) -> Option<ResetCause> {
        match letter {
            b'p' => Some(ResetCause::Power),
            b'r' => Some(ResetCause::Pin),
            b'b' => Some(ResetCause::BrownOut),
            b'w' => Some(ResetCause::Watchdog),
            b'-' => Some(ResetCause::Unknown),
            _ => None,
        }
    }
}

impl Report {
    /// Reads a line without its line feed. `None`: noise, a boot loader's text, or a damaged line.
    ///
    /// Whatever ends in `reboot` counts as that: the line's level is undefined while the controller starts, so that its first
    /// word often has rubbish before it, and a host that takes a restart for true by mistake only repeats itself.
    pub fn parse(line: &[u8]) -> Option<Report> {
        if line.ends_with(b"reboot") {
            return Some(Report::Reboot);
        }
        if line == b"ok" {
            return Some(Report::Ok);
        }
        if let Some(identity) = line.strip_prefix(b"wt 2 ") {
            return Identity::parse(identity).map(Report::Identity);
        }
        let body = checksum::unseal(line);
        let checked = body.is_some();
        match body.unwrap_or(line) {
            [b'b', b'r', b'i', b'g', b'h', b't', b':', b' ', percent @ ..] => {
                let percent = u8::try_from(parse_number(percent)?).ok().filter(|&percent| percent <= 100)?;
                Some(Report::Bright { percent, checked })
            }
            [b'@', digit, b' ', answer @ ..] if checked => {
                let sequence = Sequence::from_digit(*digit)?;
                if answer == b"ok" {
                    return Some(Report::Accepted(sequence));
                }
                let number = u8::try_from(parse_number(answer.strip_prefix(b"err ")?)?).ok()?;
                Some(Report::Refused(sequence, Fault::from_number(number)?))
            }
            _ => None,
        }
    }

    /// The line, without its line feed.
    pub fn print(self) -> Text {
        let mut text = Text::new();
        self.print_into(&mut text);
        text
    }

    /// Writes the line, without its line feed, in the place of what `text` held.
    pub fn print_into(self, text: &mut Text) {
        text.clear();
        match self {
            Report::Reboot => text.push_all(b"reboot"),
            Report::Ok => text.push_all(b"ok"),
            Report::Bright { percent, checked } => {
                text.push_all(b"bright: ");
                text.push_number(percent);
                if checked {
                    checksum::seal(text);
                }
            }
            Report::Identity(identity) => identity.print_into(text),
            Report::Accepted(sequence) => {
                begin_answer(text, sequence);
                text.push_all(b"ok");
                checksum::seal(text);
            }
            Report::Refused(sequence, fault) => {
                begin_answer(text, sequence);
                text.push_all(b"err ");
                text.push(b'0' + fault as u8);
                checksum::seal(text);
            }
        }
    }
}

fn begin_answer(text: &mut Text, sequence: Sequence) {
    text.push(b'@');
    text.push(sequence.digit());
    text.push(b' ');
}

impl Identity {
    fn parse(fields: &[u8]) -> Option<Identity> {
        let mut fields = fields.split(|&byte| byte == b' ');
        let (revision, cause, errors) = (fields.next()?, fields.next()?, fields.next()?);
        let [cause] = *cause else { return None };
        if fields.next().is_some() {
            return None;
        }
        Some(Identity {
            revision: u8::try_from(parse_number(revision)?).ok()?,
            cause: ResetCause::from_letter(cause)?,
            errors: u8::try_from(parse_number(errors)?).ok()?,
        })
    }

    fn print_into(self, text: &mut Text) {
        text.push_all(b"wt 2 ");
        text.push_number(self.revision);
        text.push(b' ');
        text.push(self.cause.letter());
        text.push(b' ');
        text.push_number(self.errors);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn report() -> impl Strategy<Value = Report> {
        let sequence = || (b'0'..=b'9').prop_filter_map("a digit", Sequence::from_digit);
        let cause = prop_oneof![
            Just(ResetCause::Power),
            Just(ResetCause::Pin),
            Just(ResetCause::BrownOut),
            Just(ResetCause::Watchdog),
            Just(ResetCause::Unknown),
        ];
        prop_oneof![
            Just(Report::Reboot),
            Just(Report::Ok),
            (0u8..=100, any::<bool>()).prop_map(|(percent, checked)| Report::Bright { percent, checked }),
            (any::<u8>(), cause, any::<u8>()).prop_map(|(revision, cause, errors)| Report::Identity(Identity {
                revision,
                cause,
                errors
            })),
            sequence().prop_map(Report::Accepted),
            (sequence(), prop_oneof![Just(Fault::Unknown), Just(Fault::Value)])
                .prop_map(|(sequence, fault)| Report::Refused(sequence, fault)),
        ]
    }

    #[test]
    fn lines_byte_for_byte() {
        for (report, line) in [
            (Report::Reboot, &b"reboot"[..]),
            (Report::Ok, b"ok"),
            (Report::Bright { percent: 0, checked: false }, b"bright: 0"),
            (Report::Bright { percent: 42, checked: false }, b"bright: 42"),
            (Report::Bright { percent: 100, checked: true }, b"bright: 100*9e"),
            (Report::Identity(Identity { revision: 1, cause: ResetCause::Watchdog, errors: 7 }), b"wt 2 1 w 7"),
            (Report::Accepted(Sequence::FIRST), b"@0 ok*02"),
            (Report::Refused(Sequence::FIRST, Fault::Value), b"@0 err 2*4b"),
        ] {
            assert_eq!(core::str::from_utf8(report.print().as_bytes()), core::str::from_utf8(line));
            assert_eq!(Report::parse(line), Some(report));
        }
    }

    #[test]
    fn rubbish_before_reboot_is_borne() {
        assert_eq!(Report::parse(b"\xff\x00reboot"), Some(Report::Reboot));
    }

    #[test]
    fn what_is_no_report() {
        for line in [
            &b""[..],
            b"OK",
            b"ok ",
            b"bright:42",
            b"bright: ",
            b"bright: 101",
            b"bright: 4 2",
            b"bright: 42*00",
            b"@0 ok",
            b"@0 ok*00",
            b"wt 2 1 w",
            b"wt 2 1 w 7 8",
            b"wt 2 1 ww 7",
            b"wt 2 256 w 7",
            b"wt 3 1 w 7",
            b"U-Boot 2026.01 (Jan 05)",
        ] {
            assert_eq!(Report::parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn reset_causes() {
        for (mcusr, cause) in [
            (0b0001, ResetCause::Power),
            (0b0101, ResetCause::Power),
            (0b0010, ResetCause::Pin),
            (0b0100, ResetCause::BrownOut),
            (0b1000, ResetCause::Watchdog),
            (0b1010, ResetCause::Watchdog),
            (0, ResetCause::Unknown),
        ] {
            assert_eq!(ResetCause::from_mcusr(mcusr), cause, "{mcusr:#b}");
        }
    }

    proptest! {
        #[test]
        fn every_printed_line_parses_back(report in report()) {
            prop_assert_eq!(Report::parse(report.print().as_bytes()), Some(report));
        }

        #[test]
        fn anything_may_come(line: Vec<u8>) {
            let _ = Report::parse(&line);
        }

        #[test]
        fn anything_with_a_true_checksum_may_come(head in prop_oneof![Just("@"), Just("@0 "), Just("bright: "), Just("")], body: Vec<u8>) {
            let mut line = Text::new();
            line.push_all(head.as_bytes());
            line.push_all(&body);
            checksum::seal(&mut line);
            let _ = Report::parse(line.as_bytes());
        }
    }
}
