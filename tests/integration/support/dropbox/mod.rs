//! A strict Dropbox of one's own on loopback: HTTP API v2's `files/upload` and `oauth2/token`, as its documentation has them.
//!
//! It lives in the test's process, so it outlives every daemon that is killed. Whatever it finds against the documentation
//! is answered as Dropbox would, and is noted: [`DropboxServer::breaches`], which a test asserts to be empty. What is stored
//! where is in `store`, the tokens in `tokens`, the HTTP in `super::http`.

mod store;
mod tokens;

use std::collections::{BTreeMap, VecDeque};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

pub use store::StoredFile;
pub use tokens::{APP_KEY, APP_SECRET, REFRESH_TOKEN};

use super::http::{self, Line, Reply, Request, Then};
use store::Store;
use tokens::Tokens;

/// What goes wrong with an upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The access token has just expired: 401 `expired_access_token`.
    Expired,
    /// 401 with another tag, as `invalid_access_token`.
    Unauthorized(&'static str),
    /// 409 with this summary, as `path/insufficient_space` or `path/conflict/file_ancestor`.
    Refused(&'static str),
    /// 400 that repeats the request's secrets, as careless servers do.
    BadRequest,
    /// 429 with `Retry-After`, in seconds.
    RateLimited(u64),
    /// 500.
    ServerError,
    /// 503, with `Retry-After` in seconds where there is one.
    Unavailable(Option<u64>),
    /// The connection ends after so many bytes of the body.
    CutBody(usize),
    /// Every 256 KiB of the body take so long.
    Slow(Duration),
    /// The file is stored; the connection ends in the middle of the answer.
    CutAnswer,
    /// The file is stored; the connection ends without an answer.
    LoseAnswer,
    /// The file is stored; the answer comes late.
    Late(Duration),
    /// The file is stored; the answer is a page of HTML, as a captive portal's.
    Garbage,
}

impl Fault {
    /// Every fault that a later attempt can get over, in turn.
    fn passing(number: u64) -> Self {
        match number % 10 {
            0 => Fault::Expired,
            1 => Fault::Refused("path/too_many_write_operations"),
            2 => Fault::RateLimited(1),
            3 => Fault::ServerError,
            4 => Fault::Unavailable(None),
            5 => Fault::Unavailable(Some(1)),
            6 => Fault::CutBody(700),
            7 => Fault::CutAnswer,
            8 => Fault::LoseAnswer,
            _ => Fault::Late(Duration::from_millis(300)),
        }
    }
}

/// A request that was answered, or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// `/2/files/upload` or `/oauth2/token`.
    pub endpoint: String,
    /// The file's path as it was asked for; empty for a token.
    pub path: String,
    /// The answer's status, also where it was lost on the way; 0 where the request was cut.
    pub status: u16,
}

/// The server. It ends with the test's process; dropped, it takes no more connections.
pub struct DropboxServer {
    port: u16,
    https: bool,
    stop: Arc<AtomicBool>,
    state: Arc<Mutex<State>>,
}

struct State {
    tokens: Tokens,
    store: Store,
    faults: VecDeque<Fault>,
    chaos: Option<Chaos>,
    full: bool,
    down: bool,
    seen: Vec<Seen>,
    breaches: Vec<String>,
}

/// One upload in `one_in` meets a fault.
struct Chaos {
    seed: u64,
    one_in: u64,
}

impl Chaos {
    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl DropboxServer {
    /// In the clear, which clients allow on loopback only.
    pub fn start() -> Self {
        Self::listen(None)
    }

    /// With TLS: a certificate for `localhost` and its key, both PEM.
    pub fn start_tls(certificate: &Path, key: &Path) -> Self {
        let chain = CertificateDer::pem_file_iter(certificate).unwrap().collect::<Result<_, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        Self::listen(Some(Arc::new(config.with_no_client_auth().with_single_cert(chain, key).unwrap())))
    }

    fn listen(tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let state = State {
            tokens: Tokens::new(),
            store: Store::default(),
            faults: VecDeque::new(),
            chaos: None,
            full: false,
            down: false,
            seen: Vec::new(),
            breaches: Vec::new(),
        };
        let server = Self {
            port: listener.local_addr().unwrap().port(),
            https: tls.is_some(),
            stop: Arc::new(AtomicBool::new(false)),
            state: Arc::new(Mutex::new(state)),
        };
        let (stop, state) = (server.stop.clone(), server.state.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let (state, tls) = (state.clone(), tls.clone());
                std::thread::spawn(move || match tls {
                    None => serve(stream, &state),
                    Some(tls) => serve(StreamOwned::new(ServerConnection::new(tls).unwrap(), stream), &state),
                });
            }
        });
        server
    }

    /// What `content_url` and `api_url` are set to.
    pub fn url(&self) -> String {
        match self.https {
            true => format!("https://localhost:{}", self.port),
            false => format!("http://127.0.0.1:{}", self.port),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The uploads that come next meet these, one each.
    pub fn fault(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state().faults.extend(faults);
    }

    /// From now on one upload in `one_in` meets a fault that passes; the same seed gives the same faults. 0: none any more.
    pub fn chaos(&self, seed: u64, one_in: u64) {
        self.state().chaos = (one_in > 0).then_some(Chaos { seed, one_in });
    }

    /// Connections end before anything is answered, as while the line is down.
    pub fn set_down(&self, down: bool) {
        self.state().down = down;
    }

    /// The account has no more room.
    pub fn set_full(&self, full: bool) {
        self.state().full = full;
    }

    /// How long access tokens live that are issued from now on. 4 hours unless set.
    pub fn token_lifetime(&self, lifetime: Duration) {
        self.state().tokens.lifetime = lifetime;
    }

    /// No access token issued until now is valid any more; what `refresh` says holds for the refresh tokens too.
    pub fn revoke(&self, refresh: bool) {
        self.state().tokens.revoke(refresh);
    }

    /// An access token as 1.x had them in a file.
    pub fn access_token(&self) -> String {
        self.state().tokens.issue()
    }

    /// What the owner's browser gets for the address that `dropbox-login` shows: the code to type in.
    pub fn authorize(&self, address: &str) -> Result<String, String> {
        self.state().tokens.authorize(address)
    }

    /// Somebody else stores a file.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        self.state().store.put(path, bytes);
    }

    /// What is stored, by its path.
    pub fn files(&self) -> BTreeMap<String, StoredFile> {
        self.state().store.files()
    }

    /// All requests so far, in the order of their answers.
    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// What clients did against the documentation.
    pub fn breaches(&self) -> Vec<String> {
        self.state().breaches.clone()
    }
}

impl Drop for DropboxServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// Answers a connection's requests until it ends.
fn serve(stream: impl Line, state: &Mutex<State>) {
    let mut line = http::Connection::new(stream);
    loop {
        let request = match line.read_head() {
            Ok(Some(request)) => request,
            Ok(None) => return,
            Err(breach) => return state.lock().unwrap().breaches.push(breach),
        };
        let (down, fault) = state.lock().unwrap().next_fault(&request);
        if down {
            return;
        }
        if let Some(Fault::CutBody(bytes)) = fault {
            let _ = line.read_body(bytes.min(request.length));
            return state.lock().unwrap().note(&request, 0);
        }
        let pause = match fault {
            Some(Fault::Slow(pause)) => pause,
            _ => Duration::ZERO,
        };
        let Ok(body) = line.read_slowly(request.length, pause) else { return };
        let (reply, then) = state.lock().unwrap().answer(&request, body, fault.as_ref());
        if let Then::Late(wait) = then {
            std::thread::sleep(wait);
        }
        if line.write(&reply, &then).is_err() || then == Then::Cut || then == Then::Lose {
            return;
        }
    }
}

impl State {
    fn note(&mut self, request: &Request, status: u16) {
        let path = request.arg().and_then(|arg| arg["path"].as_str().map(str::to_owned)).unwrap_or_default();
        self.seen.push(Seen { endpoint: request.target.clone(), path, status });
    }

    /// Whether the line is down, and what goes wrong.
    fn next_fault(&mut self, request: &Request) -> (bool, Option<Fault>) {
        if self.down || request.target != "/2/files/upload" {
            return (self.down, None);
        }
        let by_chance = || {
            let chaos = self.chaos.as_mut()?;
            chaos.next().is_multiple_of(chaos.one_in).then(|| Fault::passing(chaos.next()))
        };
        (false, self.faults.pop_front().or_else(by_chance))
    }

    fn answer(&mut self, request: &Request, body: Vec<u8>, fault: Option<&Fault>) -> (Reply, Then) {
        let reply = match request.target.as_str() {
            // The owner's browser.
            page if request.method == "GET" && page.starts_with("/oauth2/authorize?") => {
                match self.tokens.authorize(&format!("https://www.dropbox.com{page}")) {
                    Ok(code) => Reply::text(200, &code),
                    Err(why) => Reply::text(400, &why),
                }
            }
            _ if request.method != "POST" => self.breach(405, "every call is a POST"),
            "/oauth2/token" => self.tokens.answer(request, &body, &mut self.breaches),
            "/2/files/upload" => self.upload(request, body, fault),
            other => self.breach(404, &format!("there is no {other}")),
        };
        let then = match fault {
            Some(Fault::CutAnswer) => Then::Cut,
            Some(Fault::LoseAnswer) => Then::Lose,
            Some(Fault::Late(wait)) => Then::Late(*wait),
            _ => Then::Go,
        };
        self.note(request, reply.status);
        match fault {
            Some(Fault::Garbage) => (Reply::html("<html>Welcome to the hotel</html>"), then),
            _ => (reply, then),
        }
    }

    fn breach(&mut self, status: u16, text: &str) -> Reply {
        self.breaches.push(text.to_owned());
        Reply::text(status, text)
    }

    fn upload(&mut self, request: &Request, body: Vec<u8>, fault: Option<&Fault>) -> Reply {
        if request.header("content-type") != Some("application/octet-stream") {
            return self.breach(400, "an upload's Content-Type is application/octet-stream");
        }
        let Some(arg) = request.arg() else {
            return self.breach(400, "Dropbox-API-Arg is JSON in ASCII");
        };
        let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
        let Some(token) = token else { return self.breach(400, "an upload needs Authorization: Bearer") };
        match fault {
            Some(Fault::Expired) => {
                self.tokens.revoke(false);
                return Reply::tagged(401, "expired_access_token");
            }
            Some(Fault::Unauthorized(tag)) => return Reply::tagged(401, tag),
            Some(Fault::Refused(summary)) => return Reply::json(409, &store::error(summary)),
            Some(Fault::BadRequest) => {
                let text = format!("Invalid authorization value in HTTP header \"Authorization\": \"Bearer {token}\"");
                return Reply::text(400, &text);
            }
            Some(Fault::RateLimited(s)) => {
                let body = json!({"error_summary": "too_many_requests/", "error": {"reason": {".tag": "too_many_requests"}, "retry_after": s}});
                return Reply::json(429, &body).retry_after(*s);
            }
            Some(Fault::ServerError) => return Reply::text(500, "oh"),
            Some(Fault::Unavailable(after)) => {
                let reply = Reply::text(503, "later");
                return after.map_or(reply.clone(), |s| reply.retry_after(s));
            }
            _ => {}
        }
        if let Err(tag) = self.tokens.check(token) {
            return Reply::tagged(401, tag);
        }
        if self.full {
            return Reply::json(409, &store::error("path/insufficient_space"));
        }
        match self.store.upload(&arg, body) {
            Ok(metadata) => Reply::json(200, &metadata),
            Err(store::Refusal::Breach(text)) => self.breach(400, &text),
            Err(store::Refusal::Error(summary)) => Reply::json(409, &store::error(summary)),
        }
    }
}

impl Request {
    /// The call's arguments. The header may hold ASCII only.
    fn arg(&self) -> Option<Value> {
        let text = self.header("dropbox-api-arg")?;
        text.bytes().all(|byte| (0x20..0x7f).contains(&byte)).then(|| serde_json::from_str(text).ok())?
    }
}
