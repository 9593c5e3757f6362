//! Who is let in: foreign hosts and foreign sites are not, slow clients not for long, and every answer has its headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use watchtower::role::Role;

use crate::owner::{Holder, Owner};
use crate::support::{Answer, Daemon, PATIENCE, request};

/// What changes something, by whatever method.
const CHANGES: [(&str, &str); 10] = [
    ("GET", "/api/start"),
    ("POST", "/api/start"),
    ("GET", "/api/stop"),
    ("POST", "/cameras/front/api/stop"),
    ("GET", "/api/record"),
    ("POST", "/api/record"),
    ("POST", "/api/config"),
    ("DELETE", "/api/recordings/2020-09-07"),
    ("DELETE", "/api/recordings/2020-09-07/12.25.43"),
    ("PATCH", "/api/recordings/2020-09-07/12.25.43"),
];

#[test]
fn another_site_may_look_up_nothing_and_change_nothing() {
    let daemon = Daemon::start("");
    for (method, path) in CHANGES {
        for site in ["cross-site", "same-site", "anything"] {
            daemon.send(method, path, &[("Sec-Fetch-Site", site)], b"{}").problem(403);
        }
        daemon.send(method, path, &[("Origin", "http://evil.example")], b"{}").problem(403);
        daemon.send(method, path, &[("Origin", "null")], b"{}").problem(403);
    }
    assert!(daemon.get("/api/status").json()["monitoring"].as_bool().unwrap(), "nothing was stopped");
    let looking = daemon.send("GET", "/api/status", &[("Sec-Fetch-Site", "cross-site")], b"");
    assert_eq!(looking.header("cross-origin-resource-policy"), Some("same-origin"));
    assert_eq!(looking.header("access-control-allow-origin"), None);
}

#[test]
fn our_own_page_and_command_lines_may_change_things() {
    let daemon = Daemon::start("");
    let origin = format!("http://{}", daemon.address);
    let host = daemon.address.as_str();
    let ours: [&[(&str, &str)]; 4] = [
        &[],
        &[("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
        &[("Origin", &origin), ("Host", host)],
    ];
    for headers in ours {
        assert_eq!(daemon.send("POST", "/api/stop", headers, b"").status, 200, "{headers:?}");
        assert_eq!(daemon.send("GET", "/api/start", headers, b"").status, 200, "{headers:?}");
    }
}

#[test]
fn a_head_request_changes_nothing() {
    let daemon = Daemon::start("");
    for path in ["/api/stop", "/api/record"] {
        assert_eq!(daemon.send("HEAD", path, &[], b"").status, 405);
    }
    assert!(daemon.get("/api/status").json()["monitoring"].as_bool().unwrap());
}

#[test]
fn only_configured_and_loopback_hosts_are_served() {
    let daemon = Daemon::start("hosts = [\"camera.example\"]");
    let status = |host: &str| daemon.send("GET", "/api/status", &[("Host", host)], b"").status;
    for host in ["localhost", "localhost:8080", "127.0.0.1", "[::1]:80", "camera.example", "CAMERA.example:443"] {
        assert_eq!(status(host), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "192.168.7.7", "camera.example.evil.example", ""] {
        assert_eq!(status(host), 403, "{host}");
    }
    let absolute = daemon.send("GET", "http://evil.example/api/status", &[("Host", "localhost")], b"");
    absolute.problem(403);
}

#[test]
fn every_answer_has_the_security_headers() {
    let daemon = Daemon::start("");
    let answers = [
        daemon.get("/"),
        daemon.get("/api/status"),
        daemon.get("/metrics"),
        daemon.get("/nothing/here"),
        daemon.get("/cameras/nobody/api/status"),
        daemon.send("PUT", "/api/status", &[], b""),
        daemon.send("GET", "/api/status", &[("Host", "evil.example")], b""),
        daemon.send("GET", "/api/stop", &[("Sec-Fetch-Site", "cross-site")], b""),
        daemon.get("/api/recordings/today"),
    ];
    for answer in &answers {
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{answer:?}");
        assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{answer:?}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.contains("frame-ancestors 'none'"), "{policy}");
    }
    answers[3].problem(404);
    answers[4].problem(404);
    answers[5].problem(405);
}

/// A daemon behind a proxy, as far as it can tell: on a Unix socket.
struct Behind {
    daemon: Daemon,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Behind {
    fn start(web: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("web.sock");
        let daemon = Daemon::start(&format!("listen = \"unix:{}\"\n{web}", socket.display()));
        Self { daemon, socket, _folder: folder }
    }

    fn send(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        request(&mut UnixStream::connect(&self.socket).unwrap(), method, path, headers, b"")
    }
}

#[test]
fn the_unix_socket_is_for_the_proxy_and_any_host() {
    let behind = Behind::start("");
    assert_eq!(std::fs::metadata(&behind.socket).unwrap().permissions().mode() & 0o777, 0o660);
    let anna = Owner::new().client("anna", Role::Operator);
    let cert = ("X-Client-Cert", anna.escaped.as_str());
    assert_eq!(behind.send("GET", "/api/status", &[("Host", "camera0.example"), cert]).status, 200);
    let forwarded = [("Host", "camera0"), ("X-Forwarded-Host", "home.example"), cert];
    let with_origin = |origin| [&forwarded[..], &[("Origin", origin)]].concat();
    assert_eq!(behind.send("GET", "/api/stop", &with_origin("https://home.example")).status, 200);
    behind.send("GET", "/api/start", &with_origin("https://evil.example")).problem(403);
    let socket = behind.socket.clone();
    assert!(behind.daemon.terminate().success());
    assert!(!socket.exists(), "the socket goes with the daemon");
}

#[test]
fn on_the_unix_socket_nobody_is_let_in_without_a_name() {
    let behind = Behind::start("");
    for path in ["/", "/api/status", "/api/cameras", "/api/snapshot.jpg", "/mjpeg", "/api/recordings", "/api/identity"]
    {
        let why = behind.send("GET", path, &[]).problem(403);
        assert!(why.contains("proxy_set_header X-Client-Cert"), "{path}: {why}");
    }
    for unreadable in ["anna", "%", "-----BEGIN%20CERTIFICATE-----"] {
        behind.send("GET", "/api/status", &[("X-Client-Cert", unreadable)]).problem(403);
    }
    for path in ["/healthz", "/metrics"] {
        assert_ne!(behind.send("GET", path, &[]).status, 403, "{path}: whether all is well, and no pictures");
    }
}

#[test]
fn everybody_may_what_their_role_may() {
    let behind = Behind::start("");
    let owner = Owner::new();
    let operators = |path: &str| ["start", "stop", "record"].iter().any(|word| path.ends_with(word));
    for role in Role::ALL {
        let holder = owner.client(role.as_str(), role);
        let cert = ("X-Client-Cert", holder.escaped.as_str());
        let me = behind.send("GET", "/cameras/front/api/identity", &[cert]).json();
        assert_eq!((me["name"].as_str(), me["role"].as_str()), (Some(role.as_str()), Some(role.as_str())), "{me}");
        assert!(me["expires"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap() > jiff::Timestamp::now());
        for path in ["/", "/api/status", "/api/config", "/api/recordings", "/healthz"] {
            assert_ne!(behind.send("GET", path, &[cert]).status, 403, "{role} {path}");
        }
        for (method, path) in CHANGES {
            let needed = if operators(path) || method == "PATCH" { Role::Operator } else { Role::Admin };
            let answer = behind.send(method, path, &[cert]);
            if role < needed {
                let why = answer.problem(403);
                assert!(why.contains(&format!("needs the role {needed}")), "{role} {method} {path}: {why}");
            } else {
                assert_ne!(answer.status, 403, "{role} {method} {path}");
            }
        }
    }
}

#[test]
fn only_a_proxy_speaks_for_others() {
    let behind = Behind::start("");
    let owner = Owner::new();
    let [viewer, admin] = [owner.client("ben", Role::Viewer), owner.client("anna", Role::Admin)];
    let proxy = owner.proxy("home");
    let role = |shown: &Holder, passed_on: &Holder| {
        let headers = [("X-Client-Cert", &*shown.escaped), ("X-Forwarded-Client-Cert", &*passed_on.escaped)];
        behind.send("GET", "/api/identity", &headers).json()["role"].as_str().unwrap().to_owned()
    };
    assert_eq!(role(&proxy, &admin), "admin");
    assert_eq!(role(&proxy, &viewer), "viewer");
    assert_eq!(role(&viewer, &admin), "viewer", "a forged header changes nothing");
    let alone = behind.send("GET", "/api/status", &[("X-Client-Cert", &proxy.escaped)]).problem(403);
    assert!(alone.contains("X-Forwarded-Client-Cert"), "{alone}");
    let twice = [("X-Client-Cert", &*viewer.escaped), ("X-Client-Cert", &*admin.escaped)];
    behind.send("GET", "/api/status", &twice).problem(403);
}

#[test]
fn a_certificate_without_a_role_has_the_configured_one() {
    let owner = Owner::new();
    let old = owner.without_role("old");
    let cert = ("X-Client-Cert", old.escaped.as_str());
    let careful = Behind::start("");
    careful.send("POST", "/api/stop", &[cert]).problem(403);
    let trusting = Behind::start("default_role = \"operator\"");
    assert_eq!(trusting.send("POST", "/api/stop", &[cert]).status, 200);
    trusting.send("POST", "/api/config", &[cert]).problem(403);
}

#[test]
fn on_loopback_nobody_is_asked_and_nothing_is_believed() {
    let daemon = Daemon::start("");
    let ben = Owner::new().client("ben", Role::Viewer);
    let me = daemon.send("GET", "/api/identity", &[("X-Client-Cert", &ben.escaped)], b"").json();
    assert_eq!(me, serde_json::json!({"name": null, "role": "admin"}));
}

#[test]
fn a_body_without_end_is_refused() {
    let daemon = Daemon::start("");
    daemon.send("POST", "/api/config", &[], &vec![b' '; 1 << 20]).problem(413);
}

#[test]
fn a_client_that_does_not_finish_its_request_is_let_go() {
    let daemon = Daemon::start("");
    let mut slow = TcpStream::connect(&daemon.address).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"GET /api/status HTTP/1.1\r\nHost: loc").unwrap();
    let begin = Instant::now();
    let mut rest = Vec::new();
    slow.read_to_end(&mut rest).unwrap();
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}
