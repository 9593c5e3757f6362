//! A network camera for the daemon to watch: MJPEG over HTTP, in every picture its number and the time it was sent,
//! somebody who walks through it when the test wants so, and the ways in which such cameras fail.

use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use watchtower::camera::pattern::{ENTER_S, LEAVE_S, Scene};
use watchtower::camera::stamp::Pace;
use watchtower::camera::timecode::Timecode;
use watchtower::clock;
use watchtower::codec::jpeg::JpegEncoder;
use watchtower::media::{FramePool, Pts, Resolution};

use crate::support::wait_for;

pub const SIZE: Resolution = Resolution::new(320, 240);
/// Pictures a second that it gives.
pub const FPS: u32 = 10;

/// How it behaves, from the next picture on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As it should.
    Well,
    /// Connections stay open, and nothing comes.
    Silent,
    /// Connections are closed as soon as they are there.
    Closing,
    /// What comes is no picture.
    Garbage,
    /// Every third picture is cut off; of these, every second one has an end nevertheless.
    Truncating,
}

/// A picture that was sent whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub number: u32,
    pub pts: Pts,
}

/// The camera. It ends when it is dropped.
pub struct JpegCamera {
    shared: Arc<Shared>,
    socket: Option<Socket>,
    address: SocketAddr,
}

struct Shared {
    size: Resolution,
    manner: Mutex<Manner>,
    walking: AtomicBool,
    next: AtomicU32,
    /// The newest connection is served, and no other: a daemon that was killed takes no more numbers.
    connections: AtomicU32,
    sent: Mutex<Vec<Sent>>,
    gone: AtomicBool,
}

impl JpegCamera {
    pub fn start() -> Self {
        Self::of(SIZE)
    }

    pub fn of(size: Resolution) -> Self {
        let mut camera = Self::refusing(size);
        camera.answer();
        camera
    }

    /// Has an address, and refuses connections until [`JpegCamera::answer`].
    pub fn refusing(size: Resolution) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        let address = socket.local_addr().unwrap().as_socket().unwrap();
        let shared = Shared {
            size,
            manner: Mutex::new(Manner::Well),
            walking: AtomicBool::new(false),
            next: AtomicU32::new(0),
            connections: AtomicU32::new(0),
            sent: Mutex::default(),
            gone: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared), socket: Some(socket), address }
    }

    pub fn answer(&mut self) {
        let socket = self.socket.take().expect("it refuses");
        socket.listen(8).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let shared = Arc::clone(&self.shared);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.gone.load(Relaxed) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // The daemon goes when it likes.
                std::thread::spawn(move || stream.and_then(|stream| shared.serve(stream)));
            }
        });
    }

    pub fn behave(&self, manner: Manner) {
        *self.shared.manner.lock().unwrap() = manner;
    }

    /// Whether somebody walks to and fro.
    pub fn walk(&self, walking: bool) {
        self.shared.walking.store(walking, Relaxed);
    }

    /// Pictures that were sent whole, so far.
    pub fn sent(&self) -> Vec<Sent> {
        self.shared.sent.lock().unwrap().clone()
    }

    /// Waits until `count` more pictures have been sent.
    pub fn wait_for_more(&self, count: usize) {
        let before = self.shared.sent.lock().unwrap().len();
        wait_for("more pictures of the camera", || self.shared.sent.lock().unwrap().len() >= before + count);
    }

    /// Waits until the daemon's detector knows the empty room.
    pub fn wait_until_settled(&self) {
        self.wait_for_more(6 * FPS as usize);
    }

    /// A configuration's section with this camera, called `front`, and `motion` as lines of its table `motion`.
    pub fn section(&self, motion: &str) -> String {
        // Twice its rate, so that none is above the configured rate however the machine makes them bunch.
        let (address, size, fps) = (self.address, self.shared.size, 2 * FPS);
        format!(
            "[cameras.front]\nlabel = \"A\"\nsource = \"http://{address}/video\"\nsize = \"{size}\"\nfps = {fps}\n\
             [cameras.front.disk]\nkbit = 1500\n[cameras.front.motion]\n{motion}\n"
        )
    }
}

impl Drop for JpegCamera {
    fn drop(&mut self) {
        self.shared.gone.store(true, Relaxed);
        // Wakes the thread that waits for connections.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) -> std::io::Result<()> {
        if *self.manner.lock().unwrap() == Manner::Closing {
            return Ok(());
        }
        let mut request = BufReader::new(stream.try_clone()?).lines();
        while request.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
        stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=picture\r\n\r\n")?;
        let scene = Scene::new(7, self.size, FPS);
        let (pool, mut encoder) = (FramePool::default(), JpegEncoder::new(90));
        let connection = self.connections.fetch_add(1, Relaxed) + 1;
        let mut pace = Pace::from_now();
        let mut steps = 0;
        loop {
            pace.wait();
            pace.advance(Duration::from_secs(1) / FPS);
            let manner = *self.manner.lock().unwrap();
            match manner {
                _ if self.gone.load(Relaxed) || self.connections.load(Relaxed) != connection => return Ok(()),
                Manner::Closing => return Ok(()),
                Manner::Silent => continue,
                Manner::Garbage => {
                    part(&mut stream, &[0x5a; 3000])?;
                    continue;
                }
                Manner::Well | Manner::Truncating => {}
            }
            let number = self.next.fetch_add(1, Relaxed);
            if self.walking.load(Relaxed) {
                steps += 1;
            }
            let moment = clock::moment_at(clock::now(), None);
            let mut frame = pool.frame(self.size, moment);
            scene.draw(self.step(steps, number), &mut frame);
            Timecode::new(number, moment.pts).draw(&mut frame);
            let jpeg = encoder.encode(&frame).unwrap();
            match number % 6 {
                2 if manner == Manner::Truncating => part(&mut stream, &jpeg[..jpeg.len() / 2])?,
                5 if manner == Manner::Truncating => {
                    part(&mut stream, &[&jpeg[..jpeg.len() / 2], b"\xff\xd9"].concat())?;
                }
                _ => {
                    part(&mut stream, &jpeg)?;
                    self.sent.lock().unwrap().push(Sent { number, pts: moment.pts });
                }
            }
        }
    }

    /// Which picture of the scene is shown: somebody to and fro in the middle of it, or the empty room.
    fn step(&self, steps: u32, number: u32) -> u32 {
        let at = |s: f64| (s * f64::from(FPS)) as u32;
        if !self.walking.load(Relaxed) {
            return number % at(ENTER_S - 0.5);
        }
        let (first, last) = (at(ENTER_S + 0.6), at(LEAVE_S - 0.6));
        let way = steps % (2 * (last - first));
        if way < last - first { first + way } else { 2 * last - first - way }
    }
}

fn part(stream: &mut TcpStream, body: &[u8]) -> std::io::Result<()> {
    let head = format!("--picture\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\n\r\n", body.len());
    stream.write_all(&[head.as_bytes(), body, b"\r\n"].concat())
}
