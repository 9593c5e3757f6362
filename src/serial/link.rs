//! The host's end of the line, without the line: what to send, when to send it again, and what the answers mean.
//!
//! One command is under way at a time. It is sent again, unchanged, every [`ANSWER_MS`] until it is answered; after [`TRIES`] times the
//! controller counts as gone and everything starts from the greeting. The wanted state is repeated every [`REPEAT_MS`] even when it is
//! acknowledged: that renews the controller's lease, and finds a controller that restarted without being heard.
//!
//! A controller of 1.x is deaf while it sends and keeps 16 bytes. It gets plain lines only, none of them at the moment when its next brightness
//! line is due.

use watchtower_core::command::{Command, Request, Sequence};
use watchtower_core::report::{Identity, Report};
use watchtower_core::servo::Angle;
use watchtower_core::text::Assembler;

/// How long a command may be unanswered before it is sent again, in ms. 1.x's host waited as long.
const ANSWER_MS: u64 = 500;
/// So often a command is sent before the controller counts as gone.
const TRIES: u8 = 6;
/// So often the greeting is sent before the controller counts as one of 1.x.
const GREETINGS: u8 = 2;
/// A controller that was taken for one of 1.x is greeted again after this time, in ms: noise may have hidden its answer.
const GREET_AGAIN_MS: u64 = 60_000;
/// The wanted state is repeated after this time, in ms: a third of the controller's lease.
const REPEAT_MS: u64 = 5_000;
/// After a command that was sent more than once a second `ok` may follow: so long it is not taken for the next one's.
const LATE_ANSWER_MS: u64 = 150;
/// A brightness older than this is not the present one, in ms. Lines come every 500.
const FRESH_MS: u64 = 2_000;
/// After the last brightness line, when the next one of a 1.x controller goes out, in ms.
const DEAF_MS: std::ops::Range<u64> = 440..560;
/// A step between two brightness lines (500 ms) that a picture shows as well.
const STEP_PERCENT: u8 = 10;
/// Unchecked brightness lines in a row that show that the controller has forgotten the agreement.
const FORGOTTEN: u8 = 3;

/// The greeting: ends whatever half a line the controller has, lets it measure our clock, asks who it is. 12 bytes: it fits 1.x's buffer.
const GREETING: &[u8] = b"\nUUUUUU\nver\n";

/// What the controller shall do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The brightness and IR loop runs.
    pub ir: bool,
    /// Where the servo stands; `None` as long as nobody said.
    pub angle: Option<Angle>,
}

/// How far the two ends are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = SerialPhase)]
pub enum Phase {
    /// The port is not there.
    Absent,
    /// Asking who is there.
    Greeting,
    /// It knows checked lines; agreeing on them.
    Agreeing,
    /// Plain lines, as with 1.x.
    Plain,
    /// Checked lines and the lease.
    Checked,
}

/// Counts since the service started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Restarts that the controller told of.
    pub reboots: u64,
    /// Commands sent again.
    pub resent: u64,
    /// Lines that were none: noise, damage, a boot loader's text.
    pub strange_lines: u64,
    /// Commands that the controller refused.
    pub refused: u64,
    /// Times that the IR light or the room's changed in a way that a picture shows, or is about to.
    pub light_changes: u64,
}

#[derive(Debug)]
struct UnderWay {
    request: Option<Request>,
    line: Vec<u8>,
    sent_ms: u64,
    times: u8,
}

/// The host's end. Times are milliseconds of any clock that does not jump.
#[derive(Debug)]
pub struct Link {
    phase: Phase,
    wanted: Wanted,
    /// What the controller has acknowledged since it was greeted.
    ir: Option<bool>,
    angle: Option<Angle>,
    under_way: Option<UnderWay>,
    sequence: Sequence,
    lines: Assembler,
    /// Nothing is sent before.
    hold_until_ms: u64,
    repeat_at_ms: u64,
    greet_again_at_ms: u64,
    brightness: Option<(u8, u64)>,
    unchecked: u8,
    identity: Option<Identity>,
    answered: bool,
    counts: Counts,
}

impl Link {
    /// Nothing is open, nothing wanted but darkness.
    pub fn new() -> Link {
        Link {
            phase: Phase::Absent,
            wanted: Wanted::default(),
            ir: None,
            angle: None,
            under_way: None,
            sequence: Sequence::FIRST,
            lines: Assembler::new(),
            hold_until_ms: 0,
            repeat_at_ms: 0,
            greet_again_at_ms: 0,
            brightness: None,
            unchecked: 0,
            identity: None,
            answered: false,
            counts: Counts::default(),
        }
    }

    /// The port has been opened.
    pub fn opened(&mut self) {
        self.lines = Assembler::new();
        self.greet();
    }

    /// The port is gone.
    pub fn closed(&mut self) {
        self.greet();
        self.phase = Phase::Absent;
    }

    /// From now on this is wanted.
    pub fn want(&mut self, wanted: Wanted) {
        self.wanted = wanted;
    }

    /// What is wanted.
    pub fn wanted(&self) -> Wanted {
        self.wanted
    }

    /// The controller has acknowledged all that is wanted.
    pub fn settled(&self) -> bool {
        self.ir == Some(self.wanted.ir) && (self.wanted.angle.is_none() || self.angle == self.wanted.angle)
    }

    /// How far the two ends are.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Who answered the greeting; `None` for a controller of 1.x.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The controller has answered since it was last greeted.
    pub fn answered(&self) -> bool {
        self.answered
    }

    /// 0 (dark) to 100 (bright), while lines come.
    pub fn brightness(&self, now_ms: u64) -> Option<u8> {
        self.brightness.filter(|(_, at_ms)| now_ms.saturating_sub(*at_ms) < FRESH_MS).map(|(percent, _)| percent)
    }

    /// What happened so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Bytes came.
    pub fn receive(&mut self, now_ms: u64, bytes: &[u8]) {
        for &byte in bytes {
            let Some(line) = self.lines.push(byte) else { continue };
            match Report::parse(line) {
                Some(report) => self.take(now_ms, report),
                None => self.counts.strange_lines += 1,
            }
        }
    }

    /// The bytes to be sent now, if any. To be called often: at least every 50 ms.
    pub fn poll(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if self.phase == Phase::Absent {
            return None;
        }
        if let Some(under_way) = &mut self.under_way {
            if now_ms.saturating_sub(under_way.sent_ms) < ANSWER_MS {
                return None;
            }
            let times = if under_way.request.is_none() { GREETINGS } else { TRIES };
            if under_way.times < times {
                under_way.times += 1;
                under_way.sent_ms = now_ms;
                self.counts.resent += u64::from(under_way.request.is_some());
                return Some(under_way.line.clone());
            }
            let greeting = under_way.request.is_none();
            self.under_way = None;
            if greeting {
                self.phase = Phase::Plain;
                self.greet_again_at_ms = now_ms + GREET_AGAIN_MS;
            } else {
                self.greet();
            }
        }
        if now_ms < self.hold_until_ms {
            return None;
        }
        let command = match self.phase {
            Phase::Absent => return None,
            Phase::Greeting => return Some(self.send(now_ms, None, GREETING.to_vec())),
            Phase::Agreeing => Command::Checked,
            Phase::Plain if self.controller_speaks(now_ms) => return None,
            Phase::Plain if self.settled() && now_ms >= self.greet_again_at_ms => {
                return Some(self.send(now_ms, None, GREETING.to_vec()));
            }
            Phase::Plain | Phase::Checked => self.due(now_ms)?,
        };
        let sequence = (self.phase == Phase::Checked).then(|| {
            self.sequence = self.sequence.next();
            self.sequence
        });
        if let Command::IrOn | Command::IrOff = command
            && self.ir != Some(self.wanted.ir)
            && (self.wanted.ir || self.ir.is_some())
        {
            self.counts.light_changes += 1;
        }
        let request = Request { sequence, command };
        let mut line = request.print().as_bytes().to_vec();
        line.push(b'\n');
        Some(self.send(now_ms, Some(request), line))
    }

    fn send(&mut self, now_ms: u64, request: Option<Request>, line: Vec<u8>) -> Vec<u8> {
        self.under_way = Some(UnderWay { request, line: line.clone(), sent_ms: now_ms, times: 1 });
        line
    }

    /// The command that brings the controller nearer to what is wanted, or repeats it.
    fn due(&self, now_ms: u64) -> Option<Command> {
        let ir = if self.wanted.ir { Command::IrOn } else { Command::IrOff };
        if self.ir != Some(self.wanted.ir) {
            return Some(ir);
        }
        if let Some(angle) = self.wanted.angle.filter(|&angle| self.angle != Some(angle)) {
            return Some(Command::Servo(angle));
        }
        (now_ms >= self.repeat_at_ms).then_some(ir)
    }

    fn controller_speaks(&self, now_ms: u64) -> bool {
        self.brightness.is_some_and(|(_, at_ms)| DEAF_MS.contains(&now_ms.saturating_sub(at_ms)))
    }

    fn take(&mut self, now_ms: u64, report: Report) {
        match report {
            Report::Reboot => {
                self.counts.reboots += 1;
                self.greet();
                return;
            }
            Report::Identity(identity) => {
                self.identity = Some(identity);
                if let Phase::Greeting | Phase::Plain = self.phase {
                    self.under_way = None;
                    self.phase = Phase::Agreeing;
                }
            }
            Report::Ok => self.acknowledged(now_ms, None),
            Report::Accepted(sequence) => self.acknowledged(now_ms, Some(sequence)),
            Report::Refused(sequence, fault) => {
                tracing::error!(?fault, "the controller refuses a command");
                self.counts.refused += 1;
                self.acknowledged(now_ms, Some(sequence)); // it would refuse it again
            }
            Report::Bright { percent, checked } => self.shine(now_ms, percent, checked),
        }
        self.answered = true;
    }

    fn acknowledged(&mut self, now_ms: u64, sequence: Option<Sequence>) {
        let Some(UnderWay { request: Some(request), times, .. }) = &self.under_way else { return };
        if request.sequence != sequence {
            return;
        }
        if *times > 1 && sequence.is_none() {
            self.hold_until_ms = now_ms + LATE_ANSWER_MS;
        }
        match request.command {
            Command::Checked => self.phase = Phase::Checked,
            Command::IrOn | Command::IrOff => {
                self.ir = Some(request.command == Command::IrOn);
                self.repeat_at_ms = now_ms + REPEAT_MS;
                if request.command == Command::IrOff {
                    self.brightness = None;
                }
            }
            Command::Servo(angle) => self.angle = Some(angle),
            Command::Version | Command::Light => {}
        }
        self.under_way = None;
    }

    fn shine(&mut self, now_ms: u64, percent: u8, checked: bool) {
        if self.phase == Phase::Checked && !checked {
            self.unchecked += 1;
            if self.unchecked >= FORGOTTEN {
                self.greet();
            }
            return;
        }
        self.unchecked = 0;
        if self.brightness(now_ms).is_some_and(|before| before.abs_diff(percent) >= STEP_PERCENT) {
            self.counts.light_changes += 1;
        }
        self.brightness = Some((percent, now_ms));
    }

    /// Forgets what the controller was told, and begins from the greeting.
    fn greet(&mut self) {
        if self.ir == Some(true) {
            self.counts.light_changes += 1; // dark now, and bright again soon
        }
        self.phase = Phase::Greeting;
        self.ir = None;
        self.angle = None;
        self.under_way = None;
        self.brightness = None;
        self.unchecked = 0;
        self.identity = None;
        self.answered = false;
        self.hold_until_ms = 0;
    }
}

impl Default for Link {
    fn default() -> Link {
        Link::new()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;
    use watchtower_core::controller::{Action, Controller, Diagnosis};
    use watchtower_core::report::ResetCause;

    use super::*;

    const ON_90: Wanted = Wanted { ir: true, angle: Angle::new(90) };

    /// What stands at the other end, as far as its lines go.
    enum Peer {
        /// This project's controller: the firmware's own decisions.
        New(Controller),
        /// 1.x's, by its documented lines.
        Old {
            ir: bool,
        },
        Silent,
    }

    /// Link and controller with a clock of 10 ms, and what the line does to what is sent.
    struct World {
        link: Link,
        peer: Peer,
        lines: Assembler,
        now_ms: u64,
        servo: Vec<u8>,
        sent: Vec<(u64, String)>,
        /// Every so many lines from the host are lost.
        lose_every: usize,
    }

    impl World {
        fn new(peer: Peer) -> World {
            let mut link = Link::new();
            link.opened();
            let (sent, servo) = (Vec::new(), Vec::new());
            World { link, peer, lines: Assembler::new(), now_ms: 1000, servo, sent, lose_every: usize::MAX }
        }

        fn say(&mut self, report: Report) {
            let mut line = report.print().as_bytes().to_vec();
            line.push(b'\n');
            self.link.receive(self.now_ms, &line);
        }

        fn hear(&mut self, line: &[u8]) {
            let mut answer = None;
            match &mut self.peer {
                Peer::New(controller) => {
                    let (action, report) =
                        controller.obey(line, Diagnosis { cause: ResetCause::Power, byte_errors: 0 });
                    if let Action::Servo(angle) = action {
                        self.servo.push(angle.degrees());
                    }
                    answer = report;
                }
                Peer::Old { ir } => {
                    if let Ok(Request { sequence: None, command }) = Request::parse(line) {
                        match command {
                            Command::IrOn => *ir = true,
                            Command::IrOff => *ir = false,
                            Command::Servo(angle) => self.servo.push(angle.degrees()),
                            Command::Version | Command::Checked | Command::Light => return,
                        }
                        answer = Some(Report::Ok);
                    }
                }
                Peer::Silent => {}
            }
            if let Some(report) = answer {
                self.say(report);
            }
        }

        fn run(&mut self, ms: u64) {
            for _ in 0..ms / 10 {
                self.now_ms += 10;
                let report = match &mut self.peer {
                    Peer::New(controller) if self.now_ms.is_multiple_of(20) => {
                        (controller.pass(1) == Action::Measure).then(|| controller.measured(70).1)
                    }
                    Peer::Old { ir: true } if self.now_ms.is_multiple_of(500) => {
                        Some(Report::Bright { percent: 50, checked: false })
                    }
                    _ => None,
                };
                if let Some(report) = report {
                    self.say(report);
                }
                let Some(bytes) = self.link.poll(self.now_ms) else { continue };
                self.sent.push((self.now_ms, String::from_utf8(bytes.clone()).unwrap()));
                if self.sent.len().is_multiple_of(self.lose_every) {
                    continue;
                }
                for byte in bytes {
                    if let Some(line) = self.lines.push(byte).map(<[u8]>::to_vec) {
                        self.hear(&line);
                    }
                }
            }
        }

        fn shines(&self) -> bool {
            match &self.peer {
                Peer::New(controller) => controller.measured(0).0 > 0,
                Peer::Old { ir } => *ir,
                Peer::Silent => false,
            }
        }
    }

    fn new_controller() -> Peer {
        Peer::New(Controller::new())
    }

    #[test]
    fn a_new_controller_is_agreed_with_and_gets_what_is_wanted() {
        let mut world = World::new(new_controller());
        world.link.want(ON_90);
        world.run(1000);
        assert_eq!(world.link.phase(), Phase::Checked);
        assert!(world.link.settled() && world.shines());
        assert_eq!(world.servo, [90]);
        assert_eq!(world.link.brightness(world.now_ms), Some(50));
        assert_eq!(world.link.counts(), Counts { light_changes: 1, ..Counts::default() });
    }

    #[test]
    fn an_old_controller_gets_plain_short_lines_and_none_while_it_speaks() {
        let mut world = World::new(Peer::Old { ir: false });
        world.link.want(ON_90);
        world.run(30_000);
        assert_eq!(world.link.phase(), Phase::Plain);
        assert!(world.link.settled() && world.shines());
        assert_eq!(world.servo, [90]);
        assert_eq!(world.link.brightness(world.now_ms), Some(50));
        for (at_ms, line) in world.sent.iter().filter(|(at_ms, _)| *at_ms > 3000) {
            assert!(line.len() <= 16 && !line.starts_with('@'), "{line}");
            assert!(at_ms % 500 <= 440, "{line} at {at_ms}");
        }
    }

    #[test]
    fn the_lease_is_renewed_as_long_as_the_host_lives() {
        let mut world = World::new(new_controller());
        world.link.want(ON_90);
        for _ in 0..60 {
            world.run(1000);
            assert!(world.shines());
        }
        assert_eq!(world.servo, [90], "a repeated command must not move the servo again");
    }

    #[test]
    fn everything_is_established_again_after_a_restart() {
        for old in [false, true] {
            let mut world = World::new(if old { Peer::Old { ir: false } } else { new_controller() });
            world.link.want(ON_90);
            world.run(5000);
            world.peer = if old { Peer::Old { ir: false } } else { new_controller() };
            world.say(Report::Reboot);
            assert_eq!(world.link.brightness(world.now_ms), None);
            world.run(3000);
            assert!(world.link.settled() && world.shines(), "old: {old}");
            assert_eq!(world.servo, [90, 90]);
            assert_eq!(world.link.counts().reboots, 1);
        }
    }

    #[test]
    fn a_restart_that_nobody_heard_of_is_noticed() {
        for old in [false, true] {
            let mut world = World::new(if old { Peer::Old { ir: false } } else { new_controller() });
            world.link.want(ON_90);
            world.run(5000);
            world.peer = if old { Peer::Old { ir: false } } else { new_controller() };
            world.run(12_000);
            assert!(world.shines(), "old: {old}");
            assert_eq!(world.link.phase(), if old { Phase::Plain } else { Phase::Checked });
        }
    }

    #[test]
    fn lost_lines_are_sent_again() {
        for old in [false, true] {
            let mut world = World::new(if old { Peer::Old { ir: false } } else { new_controller() });
            world.lose_every = 2;
            for turn in 0..20 {
                world.link.want(Wanted { ir: turn % 2 == 0, angle: Angle::new(turn) });
                world.run(4000);
                assert!(world.link.settled(), "old: {old}, turn {turn}");
                assert_eq!((world.shines(), world.servo.last()), (turn % 2 == 0, Some(&(turn as u8))));
            }
            assert!(world.link.counts().resent > 0);
        }
    }

    #[test]
    fn nobody_there_is_asked_again_and_again() {
        let mut world = World::new(Peer::Silent);
        world.link.want(ON_90);
        world.run(60_000);
        assert!(!world.link.settled() && !world.link.answered());
        assert!(world.sent.iter().filter(|(_, line)| line.contains("ver")).count() > 10);
        world.peer = new_controller();
        world.run(6000);
        assert!(world.link.settled() && world.link.phase() == Phase::Checked);
    }

    #[test]
    fn a_replugged_adapter_starts_from_the_greeting() {
        let mut world = World::new(new_controller());
        world.link.want(ON_90);
        world.run(2000);
        world.link.closed();
        assert_eq!(world.link.phase(), Phase::Absent);
        assert_eq!(world.link.poll(world.now_ms), None);
        world.peer = new_controller();
        world.run(1000);
        world.link.opened();
        world.run(2000);
        assert!(world.link.settled() && world.shines());
    }

    #[test]
    fn noise_half_lines_and_a_boot_loaders_text_are_borne() {
        let mut world = World::new(new_controller());
        world.link.want(ON_90);
        world.link.receive(0, b"\xff\x00\xfeU-Boot 2026.01 (Jan 05 2026 - 12:00:00 +0000)\r\n\r\nDRAM:  1 GiB\r\nbri");
        world.run(1500);
        assert!(world.link.settled() && world.shines());
        assert!(world.link.counts().strange_lines > 0);
    }

    #[test]
    fn a_late_second_ok_is_not_the_next_commands() {
        let mut link = Link::new();
        link.opened();
        for now in (0..2000).step_by(10) {
            link.poll(now); // two greetings without an answer: plain
        }
        assert_eq!(link.phase(), Phase::Plain);
        link.want(ON_90);
        link.receive(2000, b"ok\n"); // ir_off, sent several times by now
        link.receive(2010, b"ok\n");
        assert_eq!(link.poll(2020), None);
        assert_eq!(link.poll(2200).as_deref(), Some(&b"ir_on\n"[..]));
        assert!(!link.settled());
    }

    #[test]
    fn a_step_of_brightness_is_a_change_of_light() {
        let mut link = Link::new();
        link.opened();
        for (at_ms, percent) in [(0, 50), (500, 52), (1000, 80), (1500, 71), (9000, 0)] {
            link.receive(at_ms, format!("bright: {percent}\n").as_bytes());
        }
        assert_eq!(link.counts().light_changes, 1);
        assert_eq!(link.brightness(9100), Some(0));
        assert_eq!(link.brightness(11_100), None);
    }

    proptest! {
        #[test]
        fn whatever_comes_a_controller_is_found_afterwards(bytes: Vec<Vec<u8>>, ir: bool) {
            let mut world = World::new(new_controller());
            world.link.want(Wanted { ir, angle: None });
            for bytes in bytes {
                world.link.receive(world.now_ms, &bytes);
                world.run(100);
            }
            world.link.receive(world.now_ms, b"\n");
            world.run(GREET_AGAIN_MS + 12_000);
            prop_assert!(world.link.settled());
            prop_assert_eq!(world.shines(), ir);
            prop_assert_eq!(world.link.phase(), Phase::Checked);
        }
    }
}
