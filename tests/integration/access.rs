//! Who is let in: foreign hosts and foreign sites are not, slow clients not for long, and every answer has its headers.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

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

fn over(socket: &std::path::Path, path: &str, headers: &[(&str, &str)]) -> Answer {
    request(&mut UnixStream::connect(socket).unwrap(), "GET", path, headers, b"")
}

#[test]
fn the_unix_socket_is_for_the_proxy_and_any_host() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("web.sock");
    let daemon = Daemon::start(&format!("listen = \"unix:{}\"", socket.display()));
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o660);
    assert_eq!(over(&socket, "/api/status", &[("Host", "camera0.example")]).status, 200);
    let forwarded = [("Host", "camera0"), ("X-Forwarded-Host", "home.example"), ("Origin", "https://home.example")];
    assert_eq!(over(&socket, "/api/stop", &forwarded).status, 200);
    let foreign = [("Host", "camera0"), ("X-Forwarded-Host", "home.example"), ("Origin", "https://evil.example")];
    over(&socket, "/api/start", &foreign).problem(403);
    assert!(daemon.terminate().success());
    assert!(!socket.exists(), "the socket goes with the daemon");
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
