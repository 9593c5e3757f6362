//! `watchtower serial`: one thread for the port, one for each client of the Unix socket, so that none waits for another.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use watchtower_core::servo::Angle;

use super::link::{Link, Phase, Wanted};
use super::message::{Answer, LINE_MAX_BYTES, Request, Status};
use super::port::Port;

/// How long to wait before opening a port again that is not there.
const REOPEN: Duration = Duration::from_secs(1);
/// How long the controller may take to go dark and park the servo when the service ends.
const FAREWELL: Duration = Duration::from_secs(4);
/// How long a client may take to read its answers.
const PATIENCE: Duration = Duration::from_secs(5);
/// Clients at a time.
const CLIENTS: usize = 16;

/// What the service is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    /// The serial port, by a name that survives replugging (`/dev/serial0`, `/dev/serial/by-id/…`).
    pub port: PathBuf,
    /// The Unix socket, created with mode 0660.
    pub socket: PathBuf,
    /// Where the servo is parked when the service ends, unless a `stop` said where.
    pub park: Option<Angle>,
}

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServiceError {
    /// The socket cannot be made.
    #[error("{socket}: {cause}", socket = .socket.display())]
    Socket {
        /// Its path.
        socket: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// Another service answers there.
    #[error("{}: another watchtower serial is running", .0.display())]
    Running(PathBuf),
}

/// Ends a running service from another thread.
#[derive(Clone, Debug, Default)]
pub struct Stopper(Arc<AtomicBool>);

impl Stopper {
    /// The light goes out, the servo is parked, then [`run`] returns.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn stopped(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What the threads share.
struct Shared {
    wanted: Mutex<Wanted>,
    park: Mutex<Option<Angle>>,
    status: Mutex<Status>,
    clients: Mutex<BTreeMap<u64, UnixStream>>,
}

/// A panic elsewhere leaves plain values behind, never half of one.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Serves until `stopper` is used. `turn` is called once the socket answers (the port may come later), and then
/// at every turn of the port's loop, each of which takes about 20 ms.
///
/// # Errors
/// Only before it is ready: the socket cannot be made.
pub fn run(options: &Options, stopper: &Stopper, mut turn: impl FnMut()) -> Result<(), ServiceError> {
    let listener = listen(&options.socket)?;
    let status = Status {
        port: options.port.display().to_string(),
        phase: Phase::Absent,
        answered: false,
        settled: false,
        ir: false,
        angle: None,
        brightness: None,
        revision: None,
        counts: Default::default(),
        problem: None,
    };
    let shared = Arc::new(Shared {
        wanted: Mutex::default(),
        park: Mutex::new(options.park),
        status: Mutex::new(status),
        clients: Mutex::default(),
    });
    let clients = Arc::clone(&shared);
    thread::Builder::new()
        .name("accept".into())
        .spawn(move || accept(&listener, &clients))
        .map_err(|cause| ServiceError::Socket { socket: options.socket.clone(), cause })?;
    turn();
    drive(&options.port, stopper, &shared, turn);
    let _ = std::fs::remove_file(&options.socket);
    for client in lock(&shared.clients).values() {
        let _ = client.shutdown(Shutdown::Both); // it may have gone by itself
    }
    Ok(())
}

fn listen(socket: &Path) -> Result<UnixListener, ServiceError> {
    let fault = |cause| ServiceError::Socket { socket: socket.to_owned(), cause };
    if socket.exists() {
        if UnixStream::connect(socket).is_ok() {
            return Err(ServiceError::Running(socket.to_owned()));
        }
        std::fs::remove_file(socket).map_err(fault)?;
    }
    let listener = UnixListener::bind(socket).map_err(fault)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o660)).map_err(fault)?;
    Ok(listener)
}

/// The port's thread: opens it, keeps controller and wishes together, opens it again.
fn drive(path: &Path, stopper: &Stopper, shared: &Shared, mut turn: impl FnMut()) {
    let began = Instant::now();
    let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let mut link = Link::new();
    let mut port: Option<Port> = None;
    let mut problem: Option<String> = None;
    let mut reopen_at = began;
    let mut farewell: Option<(Wanted, Instant)> = None;
    let mut buffer = [0; 256];
    loop {
        turn();
        let wanted = *lock(&shared.wanted);
        if farewell.is_none() && stopper.stopped() {
            let parked = Wanted { ir: false, angle: lock(&shared.park).or(wanted.angle) };
            farewell = Some((parked, Instant::now() + FAREWELL));
        }
        link.want(farewell.map_or(wanted, |(parked, _)| parked));
        if farewell.is_some_and(|(_, until)| link.settled() || port.is_none() || Instant::now() >= until) {
            return;
        }
        let step = match &mut port {
            Some(port) => exchange(port, &mut link, &mut buffer, &now_ms),
            None if Instant::now() < reopen_at => {
                thread::sleep(Duration::from_millis(20));
                Ok(())
            }
            None => Port::open(path).map(|opened| {
                tracing::info!(port = %path.display(), "open");
                problem = None;
                link.opened();
                port = Some(opened);
            }),
        };
        if let Err(error) = step {
            let text = error.to_string();
            if problem.as_ref() != Some(&text) {
                tracing::warn!("{text}; trying again every {} s", REOPEN.as_secs());
            }
            problem = Some(text);
            port = None;
            link.closed();
            reopen_at = Instant::now() + REOPEN;
        }
        publish(shared, &link, now_ms(), problem.as_deref());
    }
}

fn exchange(
    port: &mut Port,
    link: &mut Link,
    buffer: &mut [u8],
    now_ms: &impl Fn() -> u64,
) -> Result<(), super::port::PortError> {
    if let Some(bytes) = link.poll(now_ms()) {
        port.write(&bytes)?;
    }
    let count = port.read(buffer)?;
    link.receive(now_ms(), &buffer[..count]);
    Ok(())
}

fn publish(shared: &Shared, link: &Link, now_ms: u64, problem: Option<&str>) {
    let wanted = link.wanted();
    let mut status = lock(&shared.status);
    if status.phase != link.phase() {
        tracing::info!(phase = ?link.phase(), "the controller");
    }
    status.phase = link.phase();
    status.answered = link.answered();
    status.settled = link.settled();
    status.ir = wanted.ir;
    status.angle = wanted.angle.map(Angle::degrees);
    status.brightness = link.brightness(now_ms);
    status.revision = link.identity().map(|identity| identity.revision);
    status.counts = link.counts();
    if status.problem.as_deref() != problem {
        status.problem = problem.map(str::to_owned);
    }
}

fn accept(listener: &UnixListener, shared: &Arc<Shared>) {
    for number in 0.. {
        if let Err(error) = listener.accept().and_then(|(stream, _)| admit(number, stream, shared)) {
            tracing::warn!("accepting a client: {error}");
            thread::sleep(Duration::from_millis(100));
        }
    }
}

/// Gives a client its thread.
fn admit(number: u64, stream: UnixStream, shared: &Arc<Shared>) -> std::io::Result<()> {
    let mut clients = lock(&shared.clients);
    if clients.len() >= CLIENTS {
        tracing::warn!("more than {CLIENTS} clients: one is turned away");
        return Ok(());
    }
    clients.insert(number, stream.try_clone()?);
    drop(clients);
    let of_thread = Arc::clone(shared);
    let spawned = thread::Builder::new().name("client".into()).spawn(move || {
        if let Err(error) = converse(&stream, &of_thread) {
            tracing::debug!("a client: {error}");
        }
        lock(&of_thread.clients).remove(&number);
    });
    spawned.map(drop).inspect_err(|_| {
        lock(&shared.clients).remove(&number);
    })
}

/// Answers one client until it leaves, or is too slow to read.
fn converse(stream: &UnixStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    loop {
        line.clear();
        let count = reader.by_ref().take(LINE_MAX_BYTES).read_until(b'\n', &mut line)?;
        if count == 0 {
            return Ok(());
        }
        let overlong = line.last() != Some(&b'\n') && count as u64 == LINE_MAX_BYTES;
        let answer = match serde_json::from_slice(&line) {
            Ok(request) => answer(request, shared),
            Err(error) => refuse(error.to_string()),
        };
        let mut text = serde_json::to_vec(&answer)?;
        text.push(b'\n');
        (&*stream).write_all(&text)?;
        if overlong {
            return Ok(());
        }
    }
}

fn refuse(error: String) -> Answer {
    Answer { ok: false, error: Some(error), ..Answer::default() }
}

fn answer(request: Request, shared: &Shared) -> Answer {
    let angle = match request {
        Request::Start { angle } | Request::Stop { angle } => angle,
        Request::Angle { degrees } => Some(degrees),
        Request::Brightness {} | Request::Status {} => None,
    };
    let angle = match angle.map(|degrees| Angle::new(degrees).ok_or(degrees)).transpose() {
        Ok(angle) => angle,
        Err(degrees) => return refuse(format!("an angle is 0 to 180 degrees, not {degrees}")),
    };
    let mut answer = Answer { ok: true, ..Answer::default() };
    let mut wanted = lock(&shared.wanted);
    match request {
        Request::Start { .. } => *wanted = Wanted { ir: true, angle: angle.or(wanted.angle) },
        Request::Stop { .. } => {
            *wanted = Wanted { ir: false, angle: angle.or(wanted.angle) };
            if angle.is_some() {
                *lock(&shared.park) = angle;
            }
        }
        Request::Angle { .. } => wanted.angle = angle,
        Request::Brightness {} => answer.brightness = Some(lock(&shared.status).brightness.map_or(-1, i16::from)),
        Request::Status {} => answer.status = Some(lock(&shared.status).clone()),
    }
    answer
}
