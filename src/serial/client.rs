//! The camera daemon's side of the Unix socket: says start and stop, and knows the brightness of the moment.
//!
//! One thread talks, so that nobody who asks ever waits: what was last said is said again after every reconnection, and reading the
//! brightness is one atomic load, cheap enough for every frame.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI16, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use watchtower_core::servo::Angle;

use super::message::{Answer, Request, Status};

/// How often the service is asked: twice for each brightness line of the controller.
const ASK: Duration = Duration::from_millis(250);
/// How long to wait before connecting again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long the service may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the other threads read.
#[derive(Default)]
struct Seen {
    /// -1: none.
    brightness: AtomicI16,
    light_changes: AtomicU64,
    status: Mutex<Option<Status>>,
}

/// A connection to `watchtower serial` that comes back by itself.
pub struct Client {
    orders: Option<Sender<Request>>,
    seen: Arc<Seen>,
    thread: Option<JoinHandle<()>>,
    on: Option<Angle>,
    off: Option<Angle>,
}

impl Client {
    /// Begins to connect to `socket`. The servo stands at `on` while monitoring and at `off` otherwise.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn new(socket: PathBuf, on: Option<Angle>, off: Option<Angle>) -> std::io::Result<Client> {
        let (orders, receiver) = channel();
        let seen = Arc::new(Seen { brightness: AtomicI16::new(-1), ..Seen::default() });
        let talker = Talker { socket, orders: receiver, last: None, seen: Arc::clone(&seen), offset: 0, problem: None };
        let thread = std::thread::Builder::new().name("microcontroller".into()).spawn(move || talker.run())?;
        Ok(Client { orders: Some(orders), seen, thread: Some(thread), on, off })
    }

    /// Monitoring starts: IR loop on, servo to its ON angle. Returns at once; the change of light is announced at once.
    pub fn start(&self) {
        self.order(Request::Start { angle: self.on.map(|angle| angle.degrees().into()) });
    }

    /// The exact opposite.
    pub fn stop(&self) {
        self.order(Request::Stop { angle: self.off.map(|angle| angle.degrees().into()) });
    }

    /// The brightness of the moment, 0 (dark) to 100 (bright); `None` while the loop is off or the controller is not heard.
    pub fn brightness(&self) -> Option<u8> {
        u8::try_from(self.seen.brightness.load(Ordering::Relaxed)).ok()
    }

    /// Goes up whenever the light has changed, or is about to, in a way that a picture shows: the IR LEDs are switched, the controller
    /// restarts, or the room's light makes a step. Whoever sees a new value tells the motion detector.
    pub fn light_changes(&self) -> u64 {
        self.seen.light_changes.load(Ordering::Relaxed)
    }

    /// What the service last told; `None` while it is not there.
    pub fn status(&self) -> Option<Status> {
        self.seen.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn order(&self, request: Request) {
        self.seen.light_changes.fetch_add(1, Ordering::Relaxed);
        if let Some(orders) = &self.orders {
            let _ = orders.send(request); // fails only if the thread panicked
        }
    }
}

impl Drop for Client {
    /// Waits until the last order is delivered, or for the service's patience where it does not answer.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Talker {
    socket: PathBuf,
    orders: Receiver<Request>,
    /// What is to be said again after a reconnection.
    last: Option<Request>,
    seen: Arc<Seen>,
    /// The service's count that was seen last; it starts from 0 with the service.
    offset: u64,
    problem: Option<String>,
}

/// The client is being dropped, and there is nothing more to say.
struct Over;

impl Talker {
    fn run(mut self) {
        loop {
            match self.converse() {
                Ok(Over) => return,
                Err(error) => {
                    let text = format!("{}: {error}; is watchtower serial running?", self.socket.display());
                    if self.problem.as_ref() != Some(&text) {
                        tracing::warn!("{text}");
                    }
                    self.problem = Some(text);
                }
            }
            self.seen.brightness.store(-1, Ordering::Relaxed);
            *self.seen.status.lock().unwrap_or_else(PoisonError::into_inner) = None;
            match self.orders.recv_timeout(RECONNECT) {
                Ok(order) => self.last = Some(order),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn converse(&mut self) -> std::io::Result<Over> {
        let stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut reader = BufReader::new(&stream);
        self.problem = None;
        self.offset = 0;
        let mut known = false;
        if let Some(order) = self.last {
            ask(&stream, &mut reader, order)?;
        }
        loop {
            if let Some(status) = ask(&stream, &mut reader, Request::Status {})?.status {
                let count = status.counts.light_changes;
                if known {
                    self.seen.light_changes.fetch_add(count.saturating_sub(self.offset), Ordering::Relaxed);
                }
                (known, self.offset) = (true, count);
                self.seen.brightness.store(status.brightness.map_or(-1, i16::from), Ordering::Relaxed);
                *self.seen.status.lock().unwrap_or_else(PoisonError::into_inner) = Some(status);
            }
            match self.orders.recv_timeout(ASK) {
                Ok(order) => {
                    self.last = Some(order);
                    let answer = ask(&stream, &mut reader, order)?;
                    if let Some(error) = answer.error {
                        tracing::error!("the microcontroller's service refuses: {error}");
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(Over),
            }
        }
    }
}

fn ask(mut stream: &UnixStream, reader: &mut BufReader<&UnixStream>, request: Request) -> std::io::Result<Answer> {
    let mut line = serde_json::to_vec(&request)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    line.clear();
    if reader.read_until(b'\n', &mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::serial::{Options, Phase, Stopper};

    /// A service whose port is not there.
    fn serve(socket: &std::path::Path) -> (Stopper, JoinHandle<()>) {
        let (stopper, (ready, is_ready)) = (Stopper::default(), channel());
        let options = Options { port: "/nonexistent/tty".into(), socket: socket.to_owned(), park: None };
        let stop = stopper.clone();
        let thread = std::thread::spawn(move || {
            // Only the first of its turns is waited for.
            crate::serial::run(&options, &stop, || {
                let _ = ready.send(());
            })
            .unwrap();
        });
        is_ready.recv().unwrap();
        (stopper, thread)
    }

    fn until(client: &Client, condition: impl Fn(Option<Status>) -> bool) {
        let end = Instant::now() + Duration::from_secs(30);
        while !condition(client.status()) {
            assert!(Instant::now() < end, "{:?}", client.status());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    #[test]
    fn what_was_said_reaches_the_service_and_the_next_one_too() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let client = Client::new(socket.clone(), Angle::new(110), Angle::new(30)).unwrap();
        client.start(); // nobody there yet
        assert_eq!(client.light_changes(), 1);
        for _ in 0..2 {
            let (stopper, service) = serve(&socket);
            until(&client, |status| status.is_some_and(|status| status.ir && status.angle == Some(110)));
            let status = client.status().unwrap();
            assert_eq!((status.phase, client.brightness()), (Phase::Absent, None));
            until(&client, |status| status.is_some_and(|status| status.problem.is_some()));
            stopper.stop();
            service.join().unwrap();
            until(&client, |status| status.is_none());
        }
    }

    #[test]
    fn the_last_order_is_delivered_before_the_client_goes() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let (stopper, service) = serve(&socket);
        let client = Client::new(socket.clone(), Angle::new(110), Angle::new(30)).unwrap();
        client.start();
        until(&client, |status| status.is_some_and(|status| status.ir));
        client.stop();
        drop(client);
        let other = Client::new(socket, None, None).unwrap();
        until(&other, |status| status.is_some_and(|status| !status.ir && status.angle == Some(30)));
        stopper.stop();
        service.join().unwrap();
    }
}
