//! A program that writes raw I420 frames to its standard output, such as `rpicam-vid --codec yuv420 -o -` or `ffmpeg
//! -f rawvideo -pix_fmt yuv420p -`.
//!
//! It runs in a process group of its own, which is killed when the camera is dropped. What it writes to its standard
//! error goes to the log at debug level; its last line is part of the message when it ends. Starting it again is the
//! pipeline's.

use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::stamp::Stamper;
use super::{Camera, CameraError, Capture, STALL_S};
use crate::media::{Frame, FramePool, Resolution};

/// A line of the program's standard error is logged up to this length.
const MAX_LINE_BYTES: u64 = 1024;

/// What the kernel grants an unprivileged pipe: a frame passes in a few turns instead of dozens.
const PIPE_BYTES: usize = 1 << 20;

/// A program that has closed its output is given this long to end by itself.
const ENDING: Duration = Duration::from_secs(1);

/// Frames from a program.
pub struct Program {
    name: String,
    child: Child,
    /// Its process group, until it has been reaped.
    group: Option<Pid>,
    output: ChildStdout,
    /// What it said last on its standard error.
    complaint: Arc<Mutex<String>>,
    size: Resolution,
    pool: FramePool,
    stamper: Stamper,
}

impl Program {
    /// Starts the program (`words`: its name or path, and its arguments). Frames have `size` and are taken from `pool`.
    ///
    /// # Errors
    ///
    /// [`CameraError::Unavailable`] when it cannot be started.
    pub fn start(words: &[String], size: Resolution, pool: &FramePool, stamper: Stamper) -> Result<Self, CameraError> {
        let (name, arguments) = match words {
            [name, arguments @ ..] => (name.clone(), arguments),
            [] => (String::new(), words),
        };
        let unavailable = |cause: String| CameraError::Unavailable { what: name.clone(), cause };
        let mut child = Command::new(&name)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // These are meant for the daemon alone.
            .env_remove("NOTIFY_SOCKET")
            .env_remove("WATCHDOG_USEC")
            .process_group(0)
            .spawn()
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => unavailable("no such program: install it, or give its whole path".to_owned()),
                _ => unavailable(format!("it cannot be started: {error}")),
            })?;
        let complaint = Arc::new(Mutex::new(String::new()));
        let (Some(output), Some(errors)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(unavailable("it has no output".to_owned()));
        };
        // A smaller pipe works too.
        let _ = rustix::pipe::fcntl_setpipe_size(&output, PIPE_BYTES);
        let program = Self {
            name: name.clone(),
            group: Pid::from_raw(child.id() as i32),
            child,
            output,
            complaint: Arc::clone(&complaint),
            size,
            pool: pool.clone(),
            stamper,
        };
        thread::Builder::new()
            .name("camera-stderr".to_owned())
            .spawn(move || log_lines(&name, errors, &complaint))
            .map_err(|error| CameraError::Unavailable {
                what: program.name.clone(),
                cause: format!("no thread for its messages: {error}"),
            })?;
        Ok(program)
    }

    /// Waits until there is something to read; `false` when `deadline` has passed.
    fn readable(&self, deadline: Instant) -> Result<bool, CameraError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let left = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
            match poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(self.lost(format!("its output cannot be read: {error}"))),
            }
        }
    }

    fn lost(&self, cause: String) -> CameraError {
        CameraError::Lost { what: self.name.clone(), cause }
    }

    /// Why there are no frames any more.
    fn ended(&mut self) -> CameraError {
        let deadline = Instant::now() + ENDING;
        while !self.has_exited() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        let status = self.has_exited().then(|| self.kill()).flatten();
        let said = self.complaint.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        let end = status
            .map_or("it has closed its output".to_owned(), |status: ExitStatus| format!("it has ended ({status})"));
        self.lost(if said.is_empty() { end } else { format!("{end}: {said}") })
    }

    /// Whether it has ended by itself. Leaves it unreaped.
    fn has_exited(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        self.group.is_some_and(|group| matches!(waitid(WaitId::Pid(group), options), Ok(Some(_))))
    }

    /// Kills it with all its children and reaps it; how it ended.
    fn kill(&mut self) -> Option<ExitStatus> {
        // The group has the child's number, which nobody else can have before the child has been reaped.
        if let Some(group) = self.group.take() {
            let _ = kill_process_group(group, Signal::KILL);
        }
        self.child.wait().ok()
    }
}

impl Camera for Program {
    fn next(&mut self) -> Result<Capture, CameraError> {
        let deadline = Instant::now() + Duration::from_secs(STALL_S);
        let stalled = |name: &str| CameraError::Stalled { what: name.to_owned(), silent_s: STALL_S };
        if !self.readable(deadline)? {
            return Err(stalled(&self.name));
        }
        let moment = self.stamper.now();
        let mut frame = self.pool.frame(self.size, moment);
        let mut filled = 0;
        while filled < Frame::len_of(self.size) {
            if !self.readable(deadline)? {
                return Err(stalled(&self.name));
            }
            match self.output.read(&mut frame.data_mut()[filled..]) {
                Ok(0) if filled == 0 => return Err(self.ended()),
                Ok(0) => {
                    let whole = Frame::len_of(self.size);
                    return Err(CameraError::BadPicture {
                        what: self.name.clone(),
                        cause: format!("a frame of {filled} bytes where {} I420 has {whole}", self.size),
                    });
                }
                Ok(read) => filled += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(format!("its output cannot be read: {error}"))),
            }
        }
        Ok(Capture::Raw(frame))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

fn log_lines(name: &str, errors: ChildStderr, last: &Mutex<String>) {
    let mut errors = BufReader::new(errors);
    let mut line = Vec::new();
    loop {
        line.clear();
        match errors.by_ref().take(MAX_LINE_BYTES).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let text = String::from_utf8_lossy(line.trim_ascii());
        if !text.is_empty() {
            tracing::debug!(program = name, "{text}");
            *last.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = text.into_owned();
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const SIZE: Resolution = Resolution::new(64, 32);

    fn shell(script: &str) -> Program {
        let words = ["sh", "-c", script].map(str::to_owned);
        Program::start(&words, SIZE, &FramePool::default(), Stamper::new(Arc::new(|| None))).unwrap()
    }

    /// Whether a process with this number runs (and is not merely waiting to be reaped).
    fn runs(pid: &str) -> bool {
        std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
    }

    #[test]
    fn frames_come_whole_and_the_end_has_status_and_last_words() {
        // 64x32 I420 has 3072 bytes: two frames and a third of one.
        let mut camera = shell(
            "head -c 3072 /dev/zero | tr '\\0' a; head -c 4096 /dev/zero | tr '\\0' b; \
                                echo warming up >&2; echo no cameras >&2; exit 3",
        );
        for byte in [b'a', b'b'] {
            let Capture::Raw(frame) = camera.next().unwrap() else { panic!("raw expected") };
            assert!(frame.data().iter().all(|&sample| sample == byte));
        }
        let error = camera.next().unwrap_err();
        assert!(matches!(&error, CameraError::BadPicture { .. }), "{error}");
        assert!(error.to_string().contains("1024 bytes where 64x32 I420 has 3072"), "{error}");
        thread::sleep(Duration::from_millis(50));
        let error = camera.next().unwrap_err();
        assert!(matches!(&error, CameraError::Lost { .. }), "{error}");
        assert_eq!(error.to_string(), "sh: it has ended (exit status: 3): no cameras");
    }

    #[test]
    fn frames_of_a_real_program_are_what_it_sends() {
        let words = "ffmpeg -v error -f lavfi -i testsrc=size=64x32:rate=25 -frames:v 5 -f rawvideo -pix_fmt yuv420p -";
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        let expected = Command::new(&words[0]).args(&words[1..]).output().unwrap().stdout;
        let pool = FramePool::default();
        let mut camera = Program::start(&words, SIZE, &pool, Stamper::new(Arc::new(|| None))).unwrap();
        for frame in expected.chunks(Frame::len_of(SIZE)) {
            let Capture::Raw(got) = camera.next().unwrap() else { panic!("raw expected") };
            assert_eq!(got.data(), frame);
        }
        assert!(camera.next().unwrap_err().to_string().contains("exit status: 0"));
    }

    #[test]
    fn a_program_that_is_not_there_is_named_with_the_remedy() {
        let words = ["no-such-camera-program".to_owned()];
        let error = Program::start(&words, SIZE, &FramePool::default(), Stamper::new(Arc::new(|| None))).err().unwrap();
        assert_eq!(error.to_string(), "no-such-camera-program: no such program: install it, or give its whole path");
    }

    #[test]
    fn a_silent_program_is_a_stall_and_is_killed_with_its_children() {
        let mut camera = shell("sleep 1000 & echo $! >&2; wait");
        let start = Instant::now();
        assert!(matches!(camera.next().unwrap_err(), CameraError::Stalled { silent_s: STALL_S, .. }));
        assert!((STALL_S..STALL_S + 2).contains(&start.elapsed().as_secs()));

        let [parent, child] = [camera.child.id().to_string(), camera.complaint.lock().unwrap().clone()];
        assert!(runs(&parent) && runs(&child), "{parent} {child}");
        drop(camera);
        assert!(!runs(&parent));
        let deadline = Instant::now() + Duration::from_secs(2);
        while runs(&child) {
            assert!(Instant::now() < deadline, "{child} survived");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn endless_error_output_is_taken_in_bounded_lines() {
        let mut camera = shell("head -c 1000000 /dev/zero | tr '\\0' x >&2; head -c 3072 /dev/zero");
        camera.next().unwrap();
        camera.next().unwrap_err();
        assert!(camera.complaint.lock().unwrap().len() <= MAX_LINE_BYTES as usize);
    }
}
