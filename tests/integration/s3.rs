//! A store that speaks S3, against moto's server; faults on the way are made by a proxy before it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use watchtower::upload::remote::{Put, PutError, Remote, Stored};
use watchtower::upload::s3::{Options, S3};

use crate::support::http::{Connection, Request};
use crate::support::{Answer, request, skipped};

const PATH: &str = "/front/2026-01-02/10.00.00/video0.h264";

/// A server with a bucket named `cameras`.
struct Moto {
    child: Child,
    address: String,
}

impl Moto {
    fn start() -> Option<Self> {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/moto_server");
        if !program.exists() {
            skipped("s3: there is no moto; `ancillary/setup test` installs it");
            return None;
        }
        let mut command = Command::new(program);
        command.args(["-H", "127.0.0.1", "-p", "0"]).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let address = loop {
            let mut line = String::new();
            assert!(log.read_line(&mut line).unwrap() > 0, "moto says where it listens");
            if let Some((_, address)) = line.split_once("Running on http://") {
                break address.trim().to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        let moto = Self { child, address };
        assert_eq!(moto.send("PUT", "/cameras", b"").status, 200);
        Some(moto)
    }

    fn send(&self, method: &str, path: &str, body: &[u8]) -> Answer {
        let length = body.len().to_string();
        // An account's number where a signature would be.
        let headers = [("Authorization", "AWS4-HMAC-SHA256 Credential=id/20260102/us-east-1/s3/aws4_request")];
        let empty = [headers[0], ("Content-Length", length.as_str())];
        let headers = if body.is_empty() { &empty[..] } else { &headers[..] };
        request(&mut TcpStream::connect(&self.address).unwrap(), method, path, headers, body)
    }

    /// A file's content, if it is there.
    fn file(&self, path: &str) -> Option<Vec<u8>> {
        let answer = self.send("GET", &format!("/cameras{path}"), b"");
        (answer.status == 200).then_some(answer.body)
    }
}

impl Drop for Moto {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The store behind `endpoint`, and the folder with its keys.
struct Account {
    folder: tempfile::TempDir,
    s3: S3,
}

impl Account {
    fn new(address: &str, prefix: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (access_key_file, secret_key_file) = (folder.path().join("id"), folder.path().join("secret"));
        fs::write(&access_key_file, "the-access-key\n").unwrap();
        fs::write(&secret_key_file, "the-secret-key\n").unwrap();
        let options = Options {
            endpoint: format!("http://{address}/"),
            region: "us-east-1".to_owned(),
            bucket: "cameras".to_owned(),
            prefix: prefix.to_owned(),
            access_key_file,
            secret_key_file,
            ca_file: None,
            stall: Duration::from_secs(20),
        };
        Self { folder, s3: S3::new(options).unwrap() }
    }

    fn put(&mut self, path: &str, bytes: &[u8], how: &Put) -> Result<Stored, PutError> {
        self.s3.put(path, Bytes::copy_from_slice(bytes), how)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Stored, PutError> {
        self.put(PATH, bytes, &Put::Add)
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn a_file_is_stored_once_and_a_strangers_never_replaced() {
    let Some(moto) = Moto::start() else { return };
    let mut account = Account::new(&moto.address, "home/door");
    for (path, len) in [(PATH, 0), ("/Tür +/2026-01-02/10.00.00/video1.h264", 3_000_000)] {
        let first = account.put(path, &content(len), &Put::Add).unwrap();
        assert_eq!(first.path, path);
        assert_eq!(account.put(path, &content(len), &Put::Add).unwrap(), first, "a repeat changes nothing");
    }
    assert_eq!(moto.file(&format!("/home/door{PATH}")).as_deref(), Some(&b""[..]));
    assert_eq!(moto.file("/home/door/T%C3%BCr%20%2B/2026-01-02/10.00.00/video1.h264"), Some(content(3_000_000)));

    let mut account = Account::new(&moto.address, "");
    // Of the same length and of another.
    for (n, stranger) in [&b"them"[..], b"somebody else's"].into_iter().enumerate() {
        let path = format!("/front/2026-01-02/1{n}.00.00/video0.h264");
        moto.send("PUT", &format!("/cameras{path}"), stranger);
        for _ in 0..2 {
            let suffixed = format!("/front/2026-01-02/1{n}.00.00/video0-2.h264");
            assert_eq!(account.put(&path, b"ours", &Put::Add).unwrap().path, suffixed);
            assert_eq!(moto.file(&suffixed).unwrap(), b"ours");
        }
        assert_eq!(moto.file(&path).unwrap(), stranger);
    }
}

#[test]
fn a_manifest_replaces_its_own_version_only() {
    let Some(moto) = Moto::start() else { return };
    let mut account = Account::new(&moto.address, "");
    let manifest = "/front/2026-01-02/10.00.00/manifest.json";
    let put = |account: &mut Account, bytes: &[u8], revision: Option<String>| {
        account.put(manifest, bytes, &Put::Replace { revision }).unwrap()
    };
    let first = put(&mut account, b"one", None);
    let second = put(&mut account, b"two", first.revision.clone());
    assert_eq!((second.path.as_str(), moto.file(manifest).unwrap()), (manifest, b"two".to_vec()));
    assert_eq!(put(&mut account, b"two", first.revision), second, "the answer was lost");

    moto.send("PUT", &format!("/cameras{manifest}"), b"somebody else's");
    let beside = "/front/2026-01-02/10.00.00/manifest-2.json";
    let third = put(&mut account, b"three", second.revision);
    let fourth = put(&mut account, b"four", third.revision);
    assert_eq!((fourth.path.as_str(), moto.file(beside).unwrap()), (beside, b"four".to_vec()));
    assert_eq!(moto.file(manifest).unwrap(), b"somebody else's");

    // It has been deleted: it comes anew.
    moto.send("DELETE", &format!("/cameras{manifest}"), b"");
    assert_eq!(put(&mut account, b"five", Some("\"gone\"".to_owned())).path, manifest);
}

#[test]
fn what_the_owner_has_to_do_is_said_without_secrets() {
    let Some(moto) = Moto::start() else { return };
    let mut account = Account::new(&moto.address, "");
    assert_eq!(moto.send("DELETE", "/cameras", b"").status, 204);
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("there is no bucket") };
    assert!(cause.contains("NoSuchBucket"), "{cause}");
    moto.send("PUT", "/cameras", b"");
    account.add(b"one").unwrap();

    for file in ["secret", "id"] {
        fs::write(account.folder.path().join(file), "\n").unwrap();
        let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("the key is gone") };
        assert!(cause.ends_with(&format!("{file} is empty")), "{cause}");
    }
    assert!(!format!("{:?}", account.s3).contains("the-secret-key"));
    fs::write(account.folder.path().join("id"), "id").unwrap();
    fs::write(account.folder.path().join("secret"), "secret").unwrap();
    assert!(matches!(account.put("/a//b", b"one", &Put::Add), Err(PutError::Refused { .. })));
}

/// What the proxy does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It passes.
    Pass,
    /// Writes arrive, and their answers are lost.
    LoseAnswers,
    /// The store does not know conditions and says so.
    RefuseConditions,
    /// The store does not know conditions and ignores them.
    IgnoreConditions,
    /// The store is busy.
    Busy,
    /// Whoever may not list is not told what there is.
    HideNames,
}

/// A proxy before moto, and what it does.
struct Proxy {
    address: String,
    way: Arc<Mutex<Way>>,
}

impl Proxy {
    fn start(moto: &Moto) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let way = Arc::new(Mutex::new(Way::Pass));
        let proxy = Self { address: listener.local_addr().unwrap().to_string(), way: way.clone() };
        let upstream = moto.address.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut client = Connection::new(stream);
                let Ok(Some(request)) = client.read_head() else { continue };
                let Ok(body) = client.read_body(request.length) else { continue };
                let answer = pass_on(&upstream, &request, &body, *way.lock().unwrap());
                let _ = client.write_raw(&answer);
            }
        });
        proxy
    }

    fn set(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }
}

/// The answer, of moto or made up; empty where it is lost.
fn pass_on(upstream: &str, request: &Request, body: &[u8], way: Way) -> Vec<u8> {
    let conditional = request.header("if-match").or(request.header("if-none-match")).is_some();
    let error = |status: &str, code: &str| {
        let body = format!("<Error><Code>{code}</Code><Message>made up</Message></Error>");
        format!(
            "HTTP/1.1 {status}\r\nConnection: close\r\nRetry-After: 9\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    match way {
        Way::Busy => return error("503 Slow Down", "SlowDown").into_bytes(),
        Way::RefuseConditions if conditional => return error("501 Not Implemented", "NotImplemented").into_bytes(),
        Way::HideNames if request.method == "HEAD" => {
            return b"HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".to_vec();
        }
        _ => {}
    }
    let mut head = format!("{} {} HTTP/1.1\r\nConnection: close\r\n", request.method, request.target);
    for (name, value) in &request.headers {
        if name != "connection" && !(way == Way::IgnoreConditions && name.starts_with("if-")) {
            head += &format!("{name}: {value}\r\n");
        }
    }
    let mut moto = TcpStream::connect(upstream).unwrap();
    moto.write_all(format!("{head}\r\n").as_bytes()).unwrap();
    moto.write_all(body).unwrap();
    let mut answer = Vec::new();
    moto.read_to_end(&mut answer).unwrap();
    if way == Way::LoseAnswers && request.method == "PUT" { Vec::new() } else { answer }
}

#[test]
fn faults_on_the_way_lose_and_replace_nothing() {
    let Some(moto) = Moto::start() else { return };
    let proxy = Proxy::start(&moto);
    let mut account = Account::new(&proxy.address, "");

    proxy.set(Way::Busy);
    let Err(PutError::Later { after, cause }) = account.add(b"ours") else { panic!("it is busy") };
    assert_eq!(after, Some(Duration::from_secs(9)), "{cause}");
    proxy.set(Way::LoseAnswers);
    assert!(matches!(account.add(b"ours"), Err(PutError::Later { .. })));
    assert_eq!(moto.file(PATH).unwrap(), b"ours");
    proxy.set(Way::Pass);
    assert_eq!(account.add(b"ours").unwrap().path, PATH, "it was there already");

    // Stores without conditions do not replace anything either.
    for (n, way) in [Way::RefuseConditions, Way::IgnoreConditions, Way::HideNames].into_iter().enumerate() {
        proxy.set(way);
        let path = |name: &str| format!("/front/2026-01-02/1{n}.00.00/{name}.h264");
        assert_eq!(account.put(&path("free"), b"ours", &Put::Add).unwrap().path, path("free"));
        assert_eq!(account.put(&path("free"), b"ours", &Put::Add).unwrap().path, path("free"));
        assert_eq!(moto.file(&path("free")).unwrap(), b"ours");
        let strangers = content(300_000);
        moto.send("PUT", &format!("/cameras{}", path("taken")), &strangers);
        assert_eq!(account.put(&path("taken"), b"ours", &Put::Add).unwrap().path, path("taken-2"));
        assert_eq!(moto.file(&path("taken")).unwrap(), strangers);
        let first = account.put(&path("manifest"), b"one", &Put::Replace { revision: None }).unwrap();
        let how = Put::Replace { revision: first.revision };
        assert_eq!(account.put(&path("manifest"), b"two", &how).unwrap().path, path("manifest"));
        assert_eq!(moto.file(&path("manifest")).unwrap(), b"two");
    }

    proxy.set(Way::Pass);
    drop(moto);
    assert!(matches!(account.add(b"more"), Err(PutError::Later { .. })), "nobody is there");
}
