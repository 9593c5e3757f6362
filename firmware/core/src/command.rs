//! Lines from the host to the controller.
//!
//! Plain, as in 1.x: `ir_on`, `ir_off`, `servo_angle_N`; and new: `ver`, `v2`, `light`. Framed: `@S COMMAND*CC`, with S a
//! sequence digit that the answer repeats and CC the checksum of all before the `*`. No plain line is longer than 15 bytes.

use crate::checksum;
use crate::servo::Angle;
use crate::text::{Text, parse_number};

/// What the host can ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// Start the brightness and IR loop.
    IrOn,
    /// Stop it; LEDs dark.
    IrOff,
    /// Move the servo.
    Servo(Angle),
    /// Say who you are.
    Version,
    /// From now on: checked lines and the lease.
    Checked,
    /// Report the brightness once, whether or not the loop runs.
    Light,
}

/// Why an intact command is not carried out; the number is what `err N` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    /// No such command.
    Unknown = 1,
    /// Its value is missing, not a number, or out of range.
    Value = 2,
}

impl Fault {
    /// From the number in `err N`.
    pub fn from_number(number: u8) -> Option<Fault> {
        match number {
            1 => Some(Fault::Unknown),
            2 => Some(Fault::Value),
            _ => None,
        }
    }
}

const SERVO: &[u8] = b"servo_angle_";

impl Command {
    /// Reads a command without frame.
    pub fn parse(line: &[u8]) -> Result<Command, Fault> {
        if let Some(degrees) = line.strip_prefix(SERVO) {
            return parse_number(degrees).and_then(Angle::new).map(Command::Servo).ok_or(Fault::Value);
        }
        match line {
            b"ir_on" => Ok(Command::IrOn),
            b"ir_off" => Ok(Command::IrOff),
            b"ver" => Ok(Command::Version),
            b"v2" => Ok(Command::Checked),
            b"light" => Ok(Command::Light),
            _ => Err(Fault::Unknown),
        }
    }

    fn print(self, text: &mut Text) {
        match self {
            Command::IrOn => text.push_all(b"ir_on"),
            Command::IrOff => text.push_all(b"ir_off"),
            Command::Servo(angle) => {
                text.push_all(SERVO);
                text.push_number(angle.degrees());
            }
            Command::Version => text.push_all(b"ver"),
            Command::Checked => text.push_all(b"v2"),
            Command::Light => text.push_all(b"light"),
        }
    }
}

/// The digit that ties an answer to its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sequence(u8);

impl Sequence {
    /// The first.
    pub const FIRST: Sequence = Sequence(0);

    /// The one after: 0 follows 9.
    pub const fn next(self) -> Sequence {
        if self.0 < 9 { Sequence(self.0 + 1) } else { Sequence(0) }
    }

    pub(crate) fn from_digit(digit: u8) -> Option<Sequence> {
        digit.is_ascii_digit().then(|| Sequence(digit - b'0'))
    }

    pub(crate) fn digit(self) -> u8 {
        b'0' + self.0
    }
}

/// A command as it stands on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// `None`: plain.
    pub sequence: Option<Sequence>,
    /// What is asked for.
    pub command: Command,
}

/// Why a line is no [`Request`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No line of this protocol, or a plain one with a fault: silence, as 1.x.
    Ignored,
    /// It begins as a frame, and its form or checksum is wrong: silence; the host sends again.
    Damaged,
    /// It arrived intact and cannot be carried out: answered.
    Faulty(Sequence, Fault),
}

impl Request {
    /// Reads a line without its line feed.
    pub fn parse(line: &[u8]) -> Result<Request, Refusal> {
        if line.first() != Some(&b'@') {
            return match Command::parse(line) {
                Ok(command) => Ok(Request { sequence: None, command }),
                Err(_) => Err(Refusal::Ignored),
            };
        }
        let Some([b'@', digit, b' ', command @ ..]) = checksum::unseal(line) else { return Err(Refusal::Damaged) };
        let Some(sequence) = Sequence::from_digit(*digit) else { return Err(Refusal::Damaged) };
        match Command::parse(command) {
            Ok(command) => Ok(Request { sequence: Some(sequence), command }),
            Err(fault) => Err(Refusal::Faulty(sequence, fault)),
        }
    }

    /// The line, without its line feed.
    pub fn print(self) -> Text {
        let mut text = Text::new();
        if let Some(sequence) = self.sequence {
            text.push(b'@');
            text.push(sequence.digit());
            text.push(b' ');
        }
        self.command.print(&mut text);
        if self.sequence.is_some() {
            checksum::seal(&mut text);
        }
        text
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn command() -> impl Strategy<Value = Command> {
        prop_oneof![
            Just(Command::IrOn),
            Just(Command::IrOff),
            (0u16..=180).prop_map(|degrees| Command::Servo(Angle::new(degrees).unwrap())),
            Just(Command::Version),
            Just(Command::Checked),
            Just(Command::Light),
        ]
    }

    fn request() -> impl Strategy<Value = Request> {
        (proptest::option::of((0u8..10).prop_map(Sequence)), command())
            .prop_map(|(sequence, command)| Request { sequence, command })
    }

    #[test]
    fn lines_byte_for_byte() {
        let angle = |degrees| Command::Servo(Angle::new(degrees).unwrap());
        for (sequence, command, line) in [
            (None, Command::IrOn, &b"ir_on"[..]),
            (None, Command::IrOff, b"ir_off"),
            (None, angle(0), b"servo_angle_0"),
            (None, angle(180), b"servo_angle_180"),
            (None, Command::Version, b"ver"),
            (None, Command::Checked, b"v2"),
            (None, Command::Light, b"light"),
            (Some(Sequence(3)), Command::IrOn, b"@3 ir_on*62"),
            (Some(Sequence(9)), angle(180), b"@9 servo_angle_180*97"),
        ] {
            let request = Request { sequence, command };
            assert_eq!(core::str::from_utf8(request.print().as_bytes()), core::str::from_utf8(line));
            assert_eq!(Request::parse(line), Ok(request));
        }
    }

    #[test]
    fn refused_lines() {
        for line in [
            &b"servo_angle_"[..],
            b"servo_angle_181",
            b"servo_angle_999",
            b"servo_angle_0000",
            b"servo_angle_-1",
            b"servo_angle_1 2",
            b"IR_ON",
            b"ir_on ",
            b" ir_on",
            b"UUUUUU",
            b"",
            b"\xff\xfe\x80",
        ] {
            assert_eq!(Request::parse(line), Err(Refusal::Ignored), "{line:?}");
        }
        for line in [
            &b"@"[..],
            b"@3 ir_on",
            b"@3 ir_on*",
            b"@3 ir_on*00",
            b"@3 ir_on*6g",
            b"@x ir_on*ab",
            b"@x ir_on*AB",
            b"@3ir_on*0a",
        ] {
            assert_eq!(Request::parse(line), Err(Refusal::Damaged), "{line:?}");
        }
        for (body, fault) in
            [(&b"@4 ir"[..], Fault::Unknown), (b"@4 ", Fault::Unknown), (b"@4 servo_angle_181", Fault::Value)]
        {
            let mut line = Text::new();
            line.push_all(body);
            checksum::seal(&mut line);
            assert_eq!(Request::parse(line.as_bytes()), Err(Refusal::Faulty(Sequence(4), fault)));
        }
    }

    proptest! {
        #[test]
        fn every_printed_line_parses_back(request in request()) {
            prop_assert_eq!(Request::parse(request.print().as_bytes()), Ok(request));
        }

        #[test]
        fn a_plain_line_fits_into_the_first_generations_buffer(command in command()) {
            let request = Request { sequence: None, command };
            prop_assert!(request.print().as_bytes().len() <= 15);
        }

        #[test]
        fn anything_may_come(line: Vec<u8>) {
            let _ = Request::parse(&line);
        }

        #[test]
        fn anything_framed_may_come(body: Vec<u8>) {
            let mut line = Text::new();
            line.push_all(b"@");
            line.push_all(&body);
            checksum::seal(&mut line);
            let _ = Request::parse(line.as_bytes());
        }

        #[test]
        fn sequence_digits_come_round(start in 0u8..10) {
            let mut sequence = Sequence(start);
            for _ in 0..10 {
                sequence = sequence.next();
            }
            prop_assert_eq!(sequence, Sequence(start));
        }
    }
}
