//! The daemon's own TLS, as curl and openssl meet it: who is let in, and what changes while it runs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use jiff::Timestamp;
use watchtower::role::Role;

use crate::owner::{HOST, Holder, Owner};
use crate::support::{CAMERA, Daemon, PATIENCE, wait_for};

/// A daemon with certificates in its folder's `tls`, as they are brought there.
fn start(owner: &Owner) -> Daemon {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    std::fs::create_dir(&tls).unwrap();
    owner.server("front");
    for file in ["front.pem", "front.key", "ca.pem", "crl.pem"] {
        bring(owner, file, &tls);
    }
    let table = "[web.listen_tls]\naddress = \"127.0.0.1:0\"\ncertificate = \"tls/front.pem\"\nkey = \"tls/front.key\"\n\
        client_ca = \"tls/ca.pem\"\ncrl = \"tls/crl.pem\"\n";
    Daemon::start_with(folder, "", "", &format!("{table}{CAMERA}"))
}

fn bring(owner: &Owner, file: &str, to: &Path) {
    std::fs::copy(owner.file(file), to.join(file)).unwrap();
}

/// What curl says of a path, with this certificate and the owner's authority.
fn curl(owner: &Owner, daemon: &Daemon, holder: Option<&Holder>, path: &str, more: &[&str]) -> Output {
    let address = daemon.tls.as_deref().unwrap();
    let port = address.rsplit(':').next().unwrap();
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--output", "-", "--write-out", "\n%{http_code}"]);
    curl.arg("--cacert").arg(owner.file("ca.pem"));
    curl.args(["--resolve", &format!("{HOST}:{port}:127.0.0.1")]);
    if let Some(holder) = holder {
        curl.arg("--cert").arg(&holder.certificate).arg("--key").arg(&holder.key);
    }
    curl.args(more).arg(format!("https://{HOST}:{port}{path}")).output().unwrap()
}

/// Status and body of an answer that has to come.
fn answer(output: &Output) -> (u16, String) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = text.rsplit_once('\n').unwrap();
    (status.parse().unwrap(), body.to_owned())
}

fn refused(output: &Output) -> bool {
    // The handshake was refused: in TLS 1.2, in 1.3, and where curl knows better why.
    matches!(output.status.code(), Some(35 | 56 | 60 | 98))
}

#[test]
fn a_certificate_of_the_owners_is_let_in_with_its_role() {
    let owner = Owner::new();
    let daemon = start(&owner);
    let [viewer, operator, admin] = Role::ALL.map(|role| owner.client(role.as_str(), role));
    for version in ["1.2", "1.3"] {
        let (status, body) = answer(&curl(&owner, &daemon, Some(&viewer), "/api/identity", &["--tls-max", version]));
        assert_eq!(status, 200, "{body}");
        assert!(body.starts_with(r#"{"name":"viewer","role":"viewer","expires":"#), "{body}");
    }
    let stop = |holder: &Holder| answer(&curl(&owner, &daemon, Some(holder), "/api/stop", &["-X", "POST"]));
    let (status, body) = stop(&viewer);
    assert!(status == 403 && body.contains("needs the role operator"), "{status} {body}");
    assert_eq!(stop(&operator).0, 200);
    let delete =
        |holder: &Holder| answer(&curl(&owner, &daemon, Some(holder), "/api/recordings/2020-09-07", &["-X", "DELETE"]));
    let (status, body) = delete(&operator);
    assert!(status == 403 && body.contains("needs the role admin"), "{status} {body}");
    assert_eq!(delete(&admin).0, 404);
    let forged = format!("X-Client-Cert: {}", admin.escaped);
    let (_, body) = answer(&curl(&owner, &daemon, Some(&viewer), "/api/identity", &["-H", &forged]));
    assert!(body.contains(r#""role":"viewer""#), "{body}");
    let health: serde_json::Value = serde_json::from_slice(&daemon.get("/healthz").body).unwrap();
    assert_eq!(
        (&health["certificate"]["status"], health["certificate"]["days_left"].as_i64()),
        (&"ok".into(), Some(29))
    );
}

#[test]
fn curl_shows_the_certificate_of_either_bundle() {
    let owner = Owner::new();
    let daemon = start(&owner);
    owner.client("anna", Role::Viewer);
    for bundle in owner.pki().bundle("anna", "correct horse").unwrap() {
        let bundle = format!("{}:correct horse", bundle.display());
        let (status, body) =
            answer(&curl(&owner, &daemon, None, "/api/identity", &["--cert-type", "P12", "--cert", &bundle]));
        assert!(status == 200 && body.contains(r#""name":"anna""#), "{status} {body}");
    }
}

#[test]
fn everyone_else_is_refused_before_a_request() {
    let (owner, stranger) = (Owner::new(), Owner::new());
    let daemon = start(&owner);
    let good = owner.client("anna", Role::Admin);
    assert_eq!(answer(&curl(&owner, &daemon, Some(&good), "/api/status", &[])).0, 200);
    let strangers = [
        ("without a certificate", None),
        ("of another authority", Some(stranger.client("anna", Role::Admin))),
        ("expired", Some(owner.expired("old", Role::Admin))),
        ("a server's", Some(owner.server("yard"))),
    ];
    for (what, holder) in &strangers {
        for version in ["1.2", "1.3"] {
            let output = curl(&owner, &daemon, holder.as_ref(), "/api/status", &["--tls-max", version]);
            assert!(refused(&output), "{what}, TLS {version}: {output:?}");
        }
    }
    let mut plain = TcpStream::connect(daemon.tls.as_deref().unwrap()).unwrap();
    plain.write_all(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!String::from_utf8_lossy(&said).contains("HTTP/1.1 200"), "plain HTTP is not answered");
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let owner = Owner::new();
    let daemon = start(&owner);
    let anna = owner.client("anna", Role::Viewer);
    let tls = daemon.folder.path().join("tls");
    let shown = || {
        let output = Command::new("openssl")
            .args(["s_client", "-connect", daemon.tls.as_deref().unwrap(), "-servername", HOST, "-verify_return_error"])
            .arg("-CAfile")
            .arg(owner.file("ca.pem"))
            .arg("-cert")
            .arg(&anna.certificate)
            .arg("-key")
            .arg(&anna.key)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("Verify return code: 0 (ok)"), "{text}");
        assert!(text.contains("Acceptable client certificate CA names\nCN = Test"), "{text}");
        text.split("-----BEGIN CERTIFICATE-----").nth(1).unwrap().split("-----END").next().unwrap().to_owned()
    };
    let first = shown();
    // Half a renewal is no reason to stop.
    std::fs::write(tls.join("front.pem"), "-----BEGIN CERTI").unwrap();
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(shown(), first);
    owner.pki().renew("front", 90, Timestamp::now()).unwrap();
    bring(&owner, "front.pem", &tls);
    wait_for("the new certificate", || shown() != first);
}

#[test]
fn who_is_revoked_is_out_at_once_and_stays_out() {
    let owner = Owner::new();
    let daemon = start(&owner);
    let (anna, ben) = (owner.client_kept("anna", Role::Viewer), owner.client("ben", Role::Viewer));
    let port = daemon.tls.as_deref().unwrap().rsplit(':').next().unwrap();
    let mut watching = Command::new("curl")
        .args(["--silent", "--no-buffer", "--resolve", &format!("{HOST}:{port}:127.0.0.1"), "--cacert"])
        .arg(owner.file("ca.pem"))
        .arg("--cert")
        .arg(&anna.certificate)
        .arg("--key")
        .arg(&anna.key)
        .arg(format!("https://{HOST}:{port}/mjpeg?width=64"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = BufReader::new(watching.stdout.take().unwrap());
    let mut line = Vec::new();
    stream.read_until(b'\n', &mut line).unwrap();
    assert_eq!(line, b"--FRAME\r\n");

    assert_eq!(owner.pki().revoke("anna", Timestamp::now()).unwrap(), 1);
    bring(&owner, "crl.pem", &daemon.folder.path().join("tls"));
    let drained = std::thread::spawn(move || std::io::copy(&mut stream, &mut std::io::sink()));
    wait_for("the end of what she was watching", || watching.try_wait().unwrap().is_some());
    drained.join().unwrap().unwrap();
    for version in ["1.2", "1.3"] {
        assert!(refused(&curl(&owner, &daemon, Some(&anna), "/api/status", &["--tls-max", version])));
    }
    assert_eq!(answer(&curl(&owner, &daemon, Some(&ben), "/api/status", &[])).0, 200);
}

#[test]
fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let owner = Owner::new();
    owner.server("front");
    owner.client("anna", Role::Viewer);
    let file = |name: &str| owner.file(name).display().to_string();
    for (key, client_ca, says) in [
        ("anna.key", "ca.pem", "anna.key"),
        ("front.pem", "ca.pem", "front.pem holds no private key"),
        ("front.key", "nowhere.pem", "nowhere.pem cannot be read"),
        ("front.key", "front.key", "front.key holds no certificate"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let config = format!(
            "[storage]\npath = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n[web.listen_tls]\naddress = \"127.0.0.1:0\"\n\
             certificate = \"{}\"\nkey = \"{}\"\nclient_ca = \"{}\"\n{CAMERA}",
            file("front.pem"),
            file(key),
            file(client_ca)
        );
        let path = folder.path().join("watchtower.toml");
        std::fs::write(&path, config).unwrap();
        let output =
            Command::new(env!("CARGO_BIN_EXE_watchtower")).args(["run", "--config"]).arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains(says), "{says}: {said}");
    }
}
