//! Through the real nginx with the appliance's configuration, certificates of `watchtower pki`, and the real daemon: who
//! gets in, as whom, and that live pictures arrive while they are live.

mod browser;
mod network;
mod nginx;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use watchtower::role::Role;

use self::browser::Browser;
use self::network::{Host, Lan};
use self::nginx::Nginx;
use crate::owner::{Holder, Owner};
use crate::support::{CAMERA, Daemon, PATIENCE, skipped, wait_for};

/// As the NixOS modules render them: a gateway with a revocation list and known clients, and the main server before two
/// cameras.
const GATEWAY: &str = include_str!("../../nix/golden/full/nix/store/nginx.conf");
const FLEET: &str = include_str!("../../nix/golden/fleet/nix/store/nginx.conf");
/// Where systemd shows nginx its secrets.
const CREDENTIALS: &str = "/run/credentials/nginx.service/watchtower";

/// A camera: a daemon on a Unix socket, and nginx before it on a machine of its own.
struct Camera {
    name: &'static str,
    host: Host,
    nginx: Option<Nginx>,
    daemon: Daemon,
    socket: PathBuf,
}

impl Camera {
    fn start(lan: &Lan, owner: &Owner, name: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("http.sock");
        let cameras = CAMERA.replace("Front door", &format!("The {name} camera"));
        let daemon = Daemon::start_in(folder, &format!("listen = \"unix:{}\"", socket.display()), &cameras);
        owner.server_for(name, &[&format!("{name}.example.org")]);
        let address = if name == "front" { "192.168.1.31" } else { "192.168.1.32" };
        let mut camera = Self { name, host: lan.host(address), nginx: None, daemon, socket };
        camera.open(owner, name);
        camera
    }

    /// Starts its nginx, again where it runs, with the certificate of this name.
    fn open(&mut self, owner: &Owner, certificate: &str) {
        self.nginx = None;
        let file = |name: &str| owner.file(name);
        let replaced = [
            ("/run/watchtower/http.sock".to_owned(), self.socket.clone()),
            (format!("{CREDENTIALS}-server.pem"), file(&format!("{certificate}.pem"))),
            (format!("{CREDENTIALS}-server.key"), file(&format!("{certificate}.key"))),
            (format!("{CREDENTIALS}-clients-ca.pem"), file("ca.pem")),
            (format!("{CREDENTIALS}-clients-crl.pem"), file("crl.pem")),
            ("front.example.org".to_owned(), self.host_name().into()),
        ];
        self.nginx = Some(start(&self.host, GATEWAY, &replaced));
    }

    fn host_name(&self) -> String {
        format!("{}.example.org", self.name)
    }
}

/// The main server's name.
const MAIN: &str = "cameras.example.org";

/// The owner's main server before two cameras.
struct MainServer {
    host: Host,
    proxy: Holder,
    _nginx: Nginx,
}

impl MainServer {
    fn start(lan: &Lan, owner: &Owner) -> Self {
        let host = lan.host("192.168.1.30");
        owner.server_for("home", &[MAIN]);
        let proxy = owner.proxy("home-proxy");
        let file = |name: &str| owner.file(name);
        std::fs::write(file("index.html"), "<title>All cameras</title>").unwrap();
        let replaced = [
            (format!("{CREDENTIALS}-fleet-server.pem"), file("home.pem")),
            (format!("{CREDENTIALS}-fleet-server.key"), file("home.key")),
            (format!("{CREDENTIALS}-fleet-proxy.pem"), file("home-proxy.pem")),
            (format!("{CREDENTIALS}-fleet-proxy.key"), file("home-proxy.key")),
            (format!("{CREDENTIALS}-fleet-clients-ca.pem"), file("ca.pem")),
            (format!("{CREDENTIALS}-fleet-clients-crl.pem"), file("crl.pem")),
            (format!("{CREDENTIALS}-fleet-cameras-ca.pem"), file("ca.pem")),
            ("/nix/store/watchtower-fleet-page".to_owned(), owner.file("")),
        ];
        let nginx = start(&host, FLEET, &replaced);
        Self { host, proxy, _nginx: nginx }
    }
}

fn start(host: &Host, text: &str, replaced: &[(String, PathBuf)]) -> Nginx {
    let replaced: Vec<_> = replaced.iter().map(|(name, path)| (name.as_str(), path.as_path())).collect();
    Nginx::start(host, text, &replaced)
}

/// A network, where this machine can have one and an nginx for it.
fn lan() -> Option<Lan> {
    if let Err(why) = nginx::program() {
        skipped(&format!("gateway: there is no nginx of today: {why}"));
        return None;
    }
    let lan = Lan::new();
    if lan.is_none() {
        skipped("gateway: network namespaces need root and ip (iproute2)");
    }
    lan
}

/// Somebody at the desk, with a browser's habits and no browser.
struct Desk<'a> {
    lan: &'a Lan,
    owner: &'a Owner,
    /// The host's name and where it is.
    name: String,
    address: String,
}

impl<'a> Desk<'a> {
    fn before(lan: &'a Lan, owner: &'a Owner, camera: &Camera) -> Self {
        Self { lan, owner, name: camera.host_name(), address: camera.host.address.clone() }
    }

    fn curl(&self, holder: Option<&Holder>, path: &str) -> Command {
        let mut curl = self.lan.command("curl");
        curl.args(["--silent", "--show-error", "--no-buffer", "--max-time", "90"]);
        curl.args(["--resolve", &format!("{}:443:{}", self.name, self.address)]);
        curl.arg("--cacert").arg(self.owner.file("ca.pem"));
        if let Some(holder) = holder {
            curl.arg("--cert").arg(&holder.certificate).arg("--key").arg(&holder.key);
        }
        curl.arg(format!("https://{}{path}", self.name));
        curl
    }

    /// Status and body.
    fn ask(&self, holder: Option<&Holder>, method: &str, path: &str, more: &[&str]) -> (u16, String) {
        let mut curl = self.curl(holder, path);
        curl.args(["--request", method, "--write-out", "\n%{http_code}"]).args(more);
        let Output { status, stdout, stderr } = curl.output().unwrap();
        assert!(status.success(), "{method} {path}: {}", String::from_utf8_lossy(&stderr));
        let text = String::from_utf8_lossy(&stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap();
        (status.parse().unwrap(), body.to_owned())
    }

    fn get(&self, holder: &Holder, path: &str) -> (u16, String) {
        self.ask(Some(holder), "GET", path, &[])
    }

    /// What the daemon knows of who asks.
    fn identity(&self, holder: &Holder, prefix: &str, more: &[&str]) -> (String, String) {
        let (status, body) = self.ask(Some(holder), "GET", &format!("{prefix}/api/identity"), more);
        assert_eq!(status, 200, "{body}");
        let me: serde_json::Value = serde_json::from_str(&body).unwrap();
        (me["name"].as_str().unwrap().to_owned(), me["role"].as_str().unwrap().to_owned())
    }
}

#[test]
fn strangers_do_not_reach_the_daemon() {
    let Some(lan) = lan() else { return };
    let (owner, stranger) = (Owner::new(), Owner::new());
    let anna = owner.client("anna", Role::Admin);
    let revoked = owner.client_kept("eve", Role::Admin);
    owner.pki().revoke("eve", Timestamp::now()).unwrap();
    let camera = Camera::start(&lan, &owner, "front");
    let desk = Desk::before(&lan, &owner, &camera);
    assert_eq!(desk.get(&anna, "/api/status").0, 200);

    let mallory = stranger.client("anna", Role::Admin);
    let expired = owner.expired("old", Role::Admin);
    let server = owner.server("yard");
    let refused = [
        ("nobody", None),
        ("another authority's", Some(&mallory)),
        ("revoked", Some(&revoked)),
        ("expired", Some(&expired)),
        ("a server's", Some(&server)),
    ];
    for (what, holder) in refused {
        let (status, body) = desk.ask(holder, "GET", "/api/status", &[]);
        assert_eq!(status, 400, "{what}: {body}");
        assert!(!body.contains("monitoring"), "{what}: {body}");
    }
    // TLS 1.2 as well.
    assert_eq!(desk.ask(None, "GET", "/api/status", &["--tls-max", "1.2"]).0, 400);
    let foreign = Desk { name: "evil.example".into(), ..Desk::before(&lan, &owner, &camera) };
    assert_eq!(foreign.curl(Some(&anna), "/").arg("--insecure").status().unwrap().code(), Some(35), "a foreign name");
    let by_address = Desk { name: camera.host.address.clone(), ..Desk::before(&lan, &owner, &camera) };
    assert_eq!(by_address.curl(Some(&anna), "/").arg("--insecure").status().unwrap().code(), Some(35), "no name");
    let (status, _) = desk.ask(Some(&anna), "GET", "/api/status", &["--header", "Host: evil.example"]);
    assert_ne!(status, 200, "a foreign Host in the right connection");

    let outside = ["--interface", network::OUTSIDE];
    assert_eq!(desk.ask(Some(&anna), "GET", "/api/status", &outside).0, 403, "only the configured addresses");

    let address = &camera.host.address;
    let plain = |url: &str| {
        lan.command("curl").args(["--silent", "--max-time", "30", "-w", "\n%{http_code}", url]).output().unwrap()
    };
    let spoken = plain(&format!("http://{address}:443/api/status"));
    assert!(String::from_utf8_lossy(&spoken.stdout).ends_with("\n400"), "HTTP on 443: {spoken:?}");
    assert_eq!(plain(&format!("http://{address}/api/status")).status.code(), Some(7), "nobody listens on 80");
    for unknown in ["/api/../etc/passwd", "/.git/config", "/server-status", "/cameras/FRONT/api/status"] {
        let (status, _) = desk.ask(Some(&anna), "GET", unknown, &["--path-as-is"]);
        assert_eq!(status, 404, "{unknown}");
    }
}

#[test]
fn everybody_is_who_their_certificate_says_whatever_they_send() {
    let Some(lan) = lan() else { return };
    let owner = Owner::new();
    let [viewer, operator, admin] = Role::ALL.map(|role| owner.client(role.as_str(), role));
    let camera = Camera::start(&lan, &owner, "front");
    let desk = Desk::before(&lan, &owner, &camera);
    let as_admin = [
        format!("X-Client-Cert: {}", admin.escaped),
        format!("x-client-cert: {}", admin.escaped),
        format!("X_Client_Cert: {}", admin.escaped),
        format!("X-Forwarded-Client-Cert: {}", admin.escaped),
    ];
    for forged in &as_admin {
        for prefix in ["", "/cameras/front"] {
            let me = desk.identity(&viewer, prefix, &["--header", forged]);
            assert_eq!(me, ("viewer".into(), "viewer".into()), "{forged}");
        }
        let (status, body) = desk.ask(Some(&viewer), "POST", "/api/stop", &["--header", forged]);
        assert!(status == 403 && body.contains("needs the role operator"), "{status} {body}");
    }
    let home = "Origin: https://front.example.org";
    assert_eq!(desk.ask(Some(&operator), "POST", "/api/stop", &["--header", home]).0, 200);
    assert_eq!(desk.ask(Some(&operator), "POST", "/api/start", &["--header", "Origin: https://evil.example"]).0, 403);
    let (status, body) = desk.ask(Some(&operator), "POST", "/api/config", &["--json", "{\"brightness\": 60}"]);
    assert!(status == 403 && body.contains("needs the role admin"), "{status} {body}");
    assert_eq!(desk.ask(Some(&admin), "POST", "/api/config", &["--json", "{\"brightness\": 60}"]).0, 200);
    // An upload of nothing, and one of too much.
    assert_eq!(desk.ask(Some(&admin), "POST", "/api/config", &["--json", ""]).0, 400);
    assert_eq!(desk.ask(Some(&operator), "POST", "/api/start", &["--data", ""]).0, 200);
    let large = tempfile::NamedTempFile::new().unwrap();
    large.as_file().set_len(1 << 20).unwrap();
    let from = format!("@{}", large.path().display());
    assert_eq!(desk.ask(Some(&admin), "POST", "/api/config", &["--data-binary", &from]).0, 413);
}

/// The paths in the tables of `api.md`, of a camera and of a recording that there may be.
fn documented_paths() -> Vec<String> {
    const API: &str = include_str!("../../../ancillary/docs/api.md");
    let mut paths = Vec::new();
    for row in API.lines().filter_map(|line| line.strip_prefix("| `")) {
        let Some((request, _)) = row.split_once("` | ") else { continue };
        let Some((method, path)) = request.rsplit_once(' ') else { continue };
        if !["GET", "POST", "PATCH", "DELETE"].iter().any(|known| method.starts_with(known)) {
            continue;
        }
        let path = path.split('?').next().unwrap_or_default();
        let path = path.replace("DAY", "2026-03-01").replace("TIME", "12.25.43").replace("NAME", "front");
        match path.strip_prefix('/') {
            Some(_) => paths.push(path),
            None => paths.extend([format!("/{path}"), format!("/cameras/front/{path}")]),
        }
    }
    paths.sort();
    paths.dedup();
    paths
}

#[test]
fn what_is_documented_passes_and_so_does_the_web_app() {
    let Some(lan) = lan() else { return };
    let owner = Owner::new();
    let anna = owner.client("anna", Role::Viewer);
    let camera = Camera::start(&lan, &owner, "front");
    let desk = Desk::before(&lan, &owner, &camera);
    let paths = documented_paths();
    assert!(paths.len() > 20 && paths.iter().any(|path| path == "/cameras/front/mjpeg"), "{paths:?}");
    let mut curl = desk.curl(Some(&anna), &paths[0]);
    curl.arg("--head").args(paths[1..].iter().map(|path| format!("https://{}{path}", desk.name)));
    let Output { stdout, stderr, .. } = curl.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).to_lowercase();
    let heads: Vec<&str> = said.split("http/2 ").skip(1).collect();
    assert_eq!(heads.len(), paths.len(), "{said}{}", String::from_utf8_lossy(&stderr));
    for (path, head) in paths.iter().zip(heads) {
        // nginx's own refusal is a page, the daemon's is not.
        assert!(!(head.starts_with("404") && head.contains("text/html")), "{path} does not pass: {head}");
    }
    let (_, page) = desk.get(&anna, "/");
    let links: Vec<&str> = ["href=\"", "src=\""]
        .iter()
        .flat_map(|attribute| page.split(attribute).skip(1).filter_map(|rest| rest.split('"').next()))
        .filter(|link| !link.is_empty() && !link.starts_with(['#', 'h']))
        .collect();
    assert!(links.len() >= 2, "{page}");
    for link in links {
        assert_eq!(desk.get(&anna, &format!("/cameras/front/{link}")).0, 200, "{link}");
    }
}

/// Reads a live stream's next picture; answers how long it was on its way.
fn next_picture(stream: &mut impl BufRead) -> Duration {
    let mut taken = None;
    let mut line = String::new();
    loop {
        line.clear();
        assert!(stream.read_line(&mut line).unwrap() > 0, "the stream ended");
        let header = line.trim_end().split_once(": ");
        match header {
            Some(("X-Timestamp", at)) => taken = Some(Duration::from_secs_f64(at.parse().unwrap())),
            Some(("Content-Length", length)) => {
                let mut picture = vec![0; length.parse::<usize>().unwrap() + 2];
                stream.read_exact(&mut picture).unwrap();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
                return now.saturating_sub(taken.expect("a time"));
            }
            _ => {}
        }
    }
}

/// The next line that has this in it; `None` when there is none any more.
fn line_with(stream: &mut impl BufRead, part: &str) -> Option<String> {
    stream.lines().map_while(Result::ok).find(|line| line.contains(part))
}

struct Watching(Child, BufReader<std::process::ChildStdout>);

impl Watching {
    fn start(mut curl: Command) -> Self {
        let mut child = curl.stdout(Stdio::piped()).spawn().unwrap();
        let stream = BufReader::new(child.stdout.take().unwrap());
        Self(child, stream)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn live_pictures_pass_while_they_are_live_and_slow_clients_hold_nobody_up() {
    let Some(lan) = lan() else { return };
    let owner = Owner::new();
    let anna = owner.client("anna", Role::Viewer);
    let camera = Camera::start(&lan, &owner, "front");
    let desk = Desk::before(&lan, &owner, &camera);
    wait_for("the first picture", || desk.get(&anna, "/healthz").0 == 200);

    // One who begins a request and does not end it, and one who looks and reads nothing.
    let mut hesitant = lan
        .command("openssl")
        .args(["s_client", "-quiet", "-connect", &format!("{}:443", camera.host.address)])
        .args(["-servername", &camera.host_name(), "-cert"])
        .arg(&anna.certificate)
        .arg("-key")
        .arg(&anna.key)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut half = hesitant.stdin.take().unwrap();
    half.write_all(b"GET /api/status HTTP/1.1\r\nHost: front.example.org\r\nX-A").unwrap();
    let begun = Instant::now();
    let _blind = Watching::start(desk.curl(Some(&anna), "/mjpeg"));

    // Small pictures, one a second: a dozen would fit into a buffer.
    let mut watching = Watching::start(desk.curl(Some(&anna), "/mjpeg?fps=1&width=64"));
    for _ in 0..6 {
        let late = next_picture(&mut watching.1);
        assert!(late < Duration::from_secs(3), "a picture was on its way for {late:?}");
    }
    // An event is a few bytes, and is told at once.
    let olga = owner.client("olga", Role::Operator);
    for path in ["/api/events", "/cameras/front/api/events"] {
        let mut told = Watching::start(desk.curl(Some(&anna), path));
        assert!(line_with(&mut told.1, "event: state").is_some());
        for (order, state) in [("stop", "paused"), ("start", "monitoring")] {
            let ordered = Instant::now();
            assert_eq!(desk.ask(Some(&olga), "POST", &format!("/api/{order}"), &[]).0, 200);
            assert!(line_with(&mut told.1, state).is_some(), "{path}: {state}");
            // Sooner than the next sign of life, which would push it out of a buffer.
            assert!(ordered.elapsed() < Duration::from_secs(10), "{path}: {:?}", ordered.elapsed());
        }
    }
    let mut live = Watching::start(desk.curl(Some(&anna), "/live.mp4"));
    let mut begin = [0; 8];
    live.1.read_exact(&mut begin).unwrap();
    assert_eq!(&begin[4..], b"ftyp");

    let mut said = Vec::new();
    hesitant.stdout.take().unwrap().read_to_end(&mut said).unwrap();
    hesitant.wait().unwrap();
    assert!(begun.elapsed() < 2 * PATIENCE, "who does not end a request is let go");
    assert!(!String::from_utf8_lossy(&said).contains("200 OK"));
    drop(half);
}

#[test]
fn the_main_server_passes_on_who_asks_to_the_camera_that_is_meant() {
    let Some(lan) = lan() else { return };
    let owner = Owner::new();
    let [anna, ben] = [owner.client("anna", Role::Admin), owner.client("ben", Role::Viewer)];
    let (front, mut yard) = (Camera::start(&lan, &owner, "front"), Camera::start(&lan, &owner, "yard"));
    let main = MainServer::start(&lan, &owner);
    let desk = Desk { lan: &lan, owner: &owner, name: MAIN.into(), address: main.host.address.clone() };

    assert!(desk.get(&ben, "/").1.contains("All cameras"));
    for prefix in ["/front", "/yard", "/camera0", "/front/cameras/front"] {
        assert_eq!(desk.identity(&anna, prefix, &[]), ("anna".into(), "admin".into()), "{prefix}");
        let forged = format!("X-Forwarded-Client-Cert: {}", anna.escaped);
        assert_eq!(desk.identity(&ben, prefix, &["--header", &forged]), ("ben".into(), "viewer".into()), "{prefix}");
    }
    for (camera, label) in [("front", "The front camera"), ("yard", "The yard camera")] {
        let (status, body) = desk.get(&ben, &format!("/{camera}/api/cameras"));
        assert!(status == 200 && body.contains(label), "{body}");
    }
    assert_eq!(desk.ask(Some(&ben), "POST", "/front/api/stop", &[]).0, 403);
    let home = ["--header", "Origin: https://cameras.example.org"];
    assert_eq!(desk.ask(Some(&anna), "POST", "/front/api/stop", &home).0, 200, "its page may change something");
    assert_eq!(desk.ask(Some(&anna), "POST", "/yard/api/stop", &["--header", "Origin: https://evil.example"]).0, 403);
    assert_eq!(desk.ask(None, "GET", "/front/api/status", &[]).0, 400);
    let mut watching = Watching::start(desk.curl(Some(&ben), "/yard/mjpeg?fps=1&width=64"));
    for _ in 0..3 {
        let late = next_picture(&mut watching.1);
        assert!(late < Duration::from_secs(3), "a picture was on its way for {late:?}");
    }
    drop(watching);

    // Whoever stole the main server's certificate is nobody without a user's, and can name none that he has not.
    let direct = Desk::before(&lan, &owner, &front);
    assert_eq!(direct.get(&main.proxy, "/api/status").0, 403);
    // A camera that shows another's certificate is not believed.
    yard.open(&owner, "front");
    assert_eq!(desk.get(&anna, "/yard/api/status").0, 502);
    assert_eq!(desk.get(&anna, "/front/api/status").0, 200);
    let mut yard = yard.daemon;
    assert!(yard.runs());
}

#[test]
fn chromium_uses_both_kinds_of_bundle_through_the_gateway_and_the_main_server() {
    let Some(lan) = lan() else { return };
    let owner = Owner::new();
    owner.client("anna", Role::Operator);
    let bundles = owner.pki().bundle("anna", "correct horse").unwrap();
    let front = Camera::start(&lan, &owner, "front");
    let main = MainServer::start(&lan, &owner);
    let places = [("front.example.org", &front.host.address, ""), (MAIN, &main.host.address, "/front")];
    for (bundle, (name, address, prefix)) in bundles.iter().zip(places) {
        let browser = match Browser::new(&owner.file("ca.pem"), bundle, "correct horse") {
            Ok(browser) => browser,
            Err(why) => return skipped(&format!("gateway in Chromium: {why}")),
        };
        let page = |path: &str| browser.page(&lan, name, address, &format!("https://{name}{prefix}{path}"));
        let me = page("/api/identity");
        assert!(me.contains(r#""name":"anna","role":"operator""#), "{name}: {me}");
        // The web app's own requests come through.
        browser.wait_for_title(&lan, name, address, &format!("https://{name}{prefix}/"), "The front camera");
    }
}
