//! Dropbox as a store, against the strict server.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use watchtower::config::DropboxAuth as Auth;
use watchtower::upload::dropbox::{Dropbox, Options};
use watchtower::upload::remote::{Put, PutError, Remote, Stored};

use crate::support::dropbox::{APP_KEY, APP_SECRET, DropboxServer, Fault, REFRESH_TOKEN, Seen};

const PATH: &str = "/front/2026-01-02/10.00.00/video0.h264";
const SUFFIXED: &str = "/front/2026-01-02/10.00.00/video0-2.h264";

/// An account on the server, and the folder with its secrets.
struct Account {
    server: DropboxServer,
    folder: tempfile::TempDir,
    dropbox: Dropbox,
}

impl Account {
    fn new() -> Self {
        Self::with(DropboxServer::start(), |_| {})
    }

    fn with(server: DropboxServer, change: impl FnOnce(&mut Options)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let refresh_token_file = folder.path().join("refresh-token");
        fs::write(&refresh_token_file, format!("{REFRESH_TOKEN}\n")).unwrap();
        let auth = Auth::Refresh { app_key: APP_KEY.to_owned(), refresh_token_file, app_secret_file: None };
        let mut options = Options { api_url: server.url(), content_url: server.url(), ..Options::new(auth) };
        change(&mut options);
        Self { dropbox: Dropbox::new(options).unwrap(), server, folder }
    }

    fn put(&mut self, path: &str, bytes: &[u8], how: &Put) -> Result<Stored, PutError> {
        self.dropbox.put(path, Bytes::copy_from_slice(bytes), how)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<Stored, PutError> {
        self.put(PATH, bytes, &Put::Add)
    }

    /// How often each file was written, by its path.
    fn versions(&self) -> Vec<(String, u32)> {
        self.server.files().into_iter().map(|(path, file)| (path, file.versions)).collect()
    }

    fn statuses(&self, endpoint: &str) -> Vec<u16> {
        self.server.seen().iter().filter(|seen| seen.endpoint == endpoint).map(|seen| seen.status).collect()
    }

    fn assert_strict(&self) {
        assert_eq!(self.server.breaches(), Vec::<String>::new());
    }
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n * 7 % 251) as u8).collect()
}

#[test]
fn a_file_goes_up_as_it_is_and_a_repeat_changes_nothing() {
    let mut account = Account::new();
    // More than one block of the content hash.
    for (n, len) in [0, 1, 5_000_000].into_iter().enumerate() {
        let path = format!("/Tür 😀/2026-01-02/10.00.00/video{n}.h264");
        let first = account.put(&path, &content(len), &Put::Add).unwrap();
        assert_eq!((first.path.as_str(), account.server.files()[&path].bytes.len()), (path.as_str(), len));
        assert_eq!(account.server.files()[&path].bytes, content(len));
        assert_eq!(account.put(&path, &content(len), &Put::Add).unwrap(), first);
        assert_eq!(account.server.files()[&path].versions, 1);
    }
    let upload = Seen {
        endpoint: "/2/files/upload".into(),
        path: "/Tür 😀/2026-01-02/10.00.00/video0.h264".into(),
        status: 200,
    };
    assert_eq!(account.server.seen()[1..3], [upload.clone(), upload]);
    assert_eq!(account.statuses("/oauth2/token"), [200], "one token serves many files");
    account.assert_strict();
}

#[test]
fn a_strangers_file_is_never_replaced() {
    let mut account = Account::new();
    account.server.put(PATH, b"somebody else's");
    for _ in 0..2 {
        assert_eq!(account.add(b"ours").unwrap().path, SUFFIXED);
    }
    account.server.put("/front/2026-01-02/10.00.00/VIDEO0-3.H264", b"upper case");
    assert_eq!(account.add(b"ours too").unwrap().path, "/front/2026-01-02/10.00.00/video0-4.h264");
    let files = account.server.files();
    assert_eq!(files[PATH].bytes, b"somebody else's");
    assert_eq!(files[SUFFIXED].bytes, b"ours");
    assert!(account.versions().iter().all(|(_, versions)| *versions == 1), "{:?}", account.versions());
    account.assert_strict();
}

#[test]
fn a_manifest_replaces_its_own_version_only() {
    let mut account = Account::new();
    let manifest = "/front/2026-01-02/10.00.00/manifest.json.sealed";
    let put = |account: &mut Account, bytes: &[u8], revision: Option<String>| {
        account.put(manifest, bytes, &Put::Replace { revision }).unwrap()
    };
    let first = put(&mut account, b"one", None);
    let second = put(&mut account, b"two", first.revision);
    // The answer was lost, so the same goes up again with the old revision.
    account.server.fault([Fault::LoseAnswer]);
    let how = Put::Replace { revision: second.revision.clone() };
    assert!(matches!(account.put(manifest, b"three", &how), Err(PutError::Later { .. })));
    let third = put(&mut account, b"three", second.revision);
    assert_eq!((third.path.as_str(), account.versions()), (manifest, vec![(manifest.to_owned(), 3)]));

    // Somebody else writes over it: his stays, and ours goes on beside it.
    account.server.put(manifest, b"somebody else's");
    let fourth = put(&mut account, b"four", third.revision);
    let beside = "/front/2026-01-02/10.00.00/manifest-2.json.sealed";
    assert_eq!(fourth.path, beside);
    let fifth = put(&mut account, b"five", fourth.revision);
    assert_eq!(fifth.path, beside);
    let files = account.server.files();
    assert_eq!((files.len(), files[manifest].bytes.as_slice()), (2, &b"somebody else's"[..]));
    assert_eq!((files[beside].bytes.as_slice(), files[beside].versions), (&b"five"[..], 2));
    account.assert_strict();
}

#[test]
fn a_token_is_renewed_before_it_ends_and_when_it_has_ended() {
    let mut account = Account::new();
    // Too short to be sure that an upload arrives in time.
    account.server.token_lifetime(Duration::from_secs(200));
    account.add(b"one").unwrap();
    account.server.token_lifetime(Duration::from_secs(14_400));
    account.add(b"one").unwrap();
    account.add(b"one").unwrap();
    assert_eq!(account.statuses("/oauth2/token"), [200, 200]);
    assert_eq!(account.statuses("/2/files/upload"), [200, 200, 200], "nobody had to say that it has ended");

    account.server.revoke(false);
    account.add(b"one").unwrap();
    account.server.fault([Fault::Unauthorized("invalid_access_token")]);
    account.add(b"one").unwrap();
    assert_eq!(account.statuses("/2/files/upload")[3..], [401, 200, 401, 200]);

    // It asks once, not in a loop.
    account.server.fault([Fault::Expired, Fault::Expired]);
    assert!(matches!(account.add(b"one"), Err(PutError::Account { .. })));
    account.add(b"one").unwrap();
    account.assert_strict();
}

#[test]
fn an_owner_who_has_to_act_is_told_how_and_no_restart_is_needed() {
    let mut account = Account::new();
    account.server.revoke(true);
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("the token is revoked") };
    assert!(cause.contains("revoked") && cause.contains("watchtower dropbox-login"), "{cause}");
    assert!(!cause.contains(REFRESH_TOKEN));

    let file = account.folder.path().join("refresh-token");
    fs::remove_file(&file).unwrap();
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("the token is gone") };
    assert!(cause.contains("refresh-token") && cause.contains("watchtower dropbox-login"), "{cause}");
    login(&account.server, &["--out", file.to_str().unwrap()], &[]).unwrap();
    account.add(b"one").unwrap();

    account.server.set_full(true);
    let Err(PutError::Account { cause }) = account.add(b"two") else { panic!("the account is full") };
    assert!(cause.contains("full"), "{cause}");
    account.server.set_full(false);
    assert_eq!(account.add(b"two").unwrap().path, SUFFIXED);
    account.assert_strict();
}

#[test]
fn the_apps_secret_and_the_token_of_1x_serve_too() {
    let server = DropboxServer::start();
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    fs::write(&secret, APP_SECRET).unwrap();
    let mut account = Account::with(server, |options| {
        let Auth::Refresh { app_secret_file, .. } = &mut options.auth else { panic!() };
        *app_secret_file = Some(secret.clone());
    });
    account.add(b"one").unwrap();
    fs::write(&secret, "another").unwrap();
    account.server.revoke(false);
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("the secret is wrong") };
    assert!(cause.contains("client_secret"), "{cause}");
    account.assert_strict();

    let server = DropboxServer::start();
    let token_file = folder.path().join("token");
    fs::write(&token_file, server.access_token()).unwrap();
    let mut account = Account::with(server, |options| options.auth = Auth::Token { token_file: token_file.clone() });
    account.add(b"one").unwrap();
    assert_eq!(account.statuses("/oauth2/token"), [0; 0]);
    account.server.revoke(false);
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("the token has ended") };
    assert!(cause.contains("expired_access_token") && cause.contains("dropbox-login"), "{cause}");
    fs::write(&token_file, account.server.access_token()).unwrap();
    account.add(b"one").unwrap();
    account.assert_strict();
}

#[test]
fn whatever_passes_is_for_later() {
    let mut account = Account::new();
    let s = |s| Some(Duration::from_secs(s));
    for (fault, expected) in [
        (Fault::RateLimited(17), s(17)),
        (Fault::Unavailable(Some(3)), s(3)),
        (Fault::Unavailable(None), None),
        (Fault::ServerError, None),
        (Fault::Refused("path/too_many_write_operations"), None),
        (Fault::CutBody(100_000), None),
        (Fault::CutAnswer, None),
        (Fault::LoseAnswer, None),
        (Fault::Garbage, None),
    ] {
        account.server.fault([fault.clone()]);
        match account.add(&content(1_000_000)) {
            Err(PutError::Later { after, cause }) => {
                assert_eq!(after, expected, "{fault:?}: {cause}");
                assert!(!cause.contains("secret-access"), "{fault:?}: {cause}");
            }
            other => panic!("{fault:?}: {other:?}"),
        }
    }
    account.server.set_down(true);
    assert!(matches!(account.add(&content(1_000_000)), Err(PutError::Later { .. })));
    account.server.set_down(false);
    account.server.fault([Fault::Late(Duration::from_millis(300))]);
    assert_eq!(account.add(&content(1_000_000)).unwrap().path, PATH);
    assert_eq!(account.versions(), [(PATH.to_owned(), 1)], "stored once, however often it was sent");
    account.assert_strict();
}

#[test]
fn a_line_on_which_nothing_moves_is_given_up() {
    let server = DropboxServer::start();
    let mut account = Account::with(server, |options| options.stall = Duration::from_millis(500));
    account.add(b"one").unwrap();
    account.server.fault([Fault::Late(Duration::from_secs(20))]);
    let Err(PutError::Later { cause, .. }) = account.add(b"two") else { panic!("no answer in time") };
    assert!(cause.contains("nothing has moved"), "{cause}");
}

#[test]
fn a_slow_line_that_moves_is_waited_for() {
    let server = DropboxServer::start();
    let stall = Duration::from_secs(3);
    let mut account = Account::with(server, |options| options.stall = stall);
    account.server.fault([Fault::Slow(Duration::from_millis(60))]);
    let begin = std::time::Instant::now();
    account.add(&content(24 << 20)).unwrap();
    assert!(begin.elapsed() > stall, "or nothing was shown");
    assert_eq!(account.server.files()[PATH].bytes.len(), 24 << 20);
}

#[test]
fn whatever_stays_wrong_is_refused() {
    let mut account = Account::new();
    for summary in ["path/malformed_path", "path/disallowed_name", "path/conflict/file_ancestor", "payload_too_large"] {
        account.server.fault([Fault::Refused(summary)]);
        let Err(PutError::Refused { cause }) = account.add(b"one") else { panic!("{summary}") };
        assert!(cause.contains(summary.split('/').next_back().unwrap()), "{cause}");
    }
    for path in ["/a//b", "/a/../b", "/desktop.ini"] {
        assert!(matches!(account.put(path, b"one", &Put::Add), Err(PutError::Refused { .. })), "{path}");
    }
    account.add(b"one").unwrap();
    let below = format!("{PATH}/video1.h264");
    assert!(matches!(account.put(&below, b"one", &Put::Add), Err(PutError::Refused { .. })));
    // A folder has the name.
    assert_eq!(account.put("/front", b"one", &Put::Add).unwrap().path, "/front-2");
    account.assert_strict();
}

#[test]
fn no_secret_is_ever_shown() {
    let mut account = Account::new();
    account.server.fault([Fault::BadRequest]);
    let Err(PutError::Account { cause }) = account.add(b"one") else { panic!("a bad token is the owner's business") };
    assert!(cause.contains("[secret]") && !cause.contains("secret-access"), "{cause}");
    let shown = format!("{:?}", account.dropbox);
    assert!(!shown.contains("secret-access") && !shown.contains(REFRESH_TOKEN), "{shown}");
}

#[test]
fn a_server_that_fails_in_every_way_ends_with_every_file_once() {
    let mut account = Account::new();
    account.server.chaos(42, 2);
    for n in 0..30 {
        let path = format!("/front/2026-01-02/10.00.00/video{n}.h264");
        // Seconds of waiting are the queue's business.
        while !matches!(account.put(&path, &content(2000 + n), &Put::Add), Ok(stored) if stored.path == path) {}
    }
    account.server.chaos(0, 0);
    assert_eq!(account.server.files().len(), 30);
    assert!(account.versions().iter().all(|(_, versions)| *versions == 1), "{:?}", account.versions());
    let uploads = account.statuses("/2/files/upload");
    assert!(uploads.len() > 45 && uploads.contains(&401) && uploads.contains(&0), "{uploads:?}");
    account.assert_strict();
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A server whose certificate `ca.pem` in the folder has signed.
fn tls_server(folder: &Path) -> (DropboxServer, PathBuf) {
    openssl(folder, "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=owner -days 2");
    openssl(folder, "req -newkey rsa:2048 -nodes -keyout server.key -out server.csr -subj /CN=localhost");
    fs::write(folder.join("extensions"), "subjectAltName=DNS:localhost").unwrap();
    openssl(
        folder,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile extensions -out server.pem",
    );
    (DropboxServer::start_tls(&folder.join("server.pem"), &folder.join("server.key")), folder.join("ca.pem"))
}

#[test]
fn over_tls_the_systems_authorities_count_and_the_owners_when_configured() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ca) = tls_server(folder.path());
    let mut account = Account::with(server, |_| {});
    let Err(PutError::Later { cause, .. }) = account.add(b"one") else { panic!("nobody has vouched for it") };
    assert!(cause.to_lowercase().contains("certificate"), "{cause}");
    assert_eq!(account.server.seen(), [], "nothing was said to a stranger");

    let Account { server, .. } = account;
    let mut account = Account::with(server, |options| options.ca_file = Some(ca));
    account.add(&content(300_000)).unwrap();
    assert_eq!(account.server.files()[PATH].bytes, content(300_000));
    account.assert_strict();
}

/// Runs `dropbox-login` as an owner would, who opens the page that it shows. Answers what it says.
fn login(server: &DropboxServer, arguments: &[&str], environment: &[(&str, &Path)]) -> Result<String, String> {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::process::Stdio;

    let mut child = Command::new(env!("CARGO_BIN_EXE_watchtower"))
        .args(["dropbox-login", "--app-key", APP_KEY, "--api-url", &server.url()])
        .args(arguments)
        .envs(environment.iter().copied())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains("counts once.") {
        let mut line = String::new();
        if output.read_line(&mut line).unwrap() == 0 {
            break;
        }
        if let Some(page) = Some(line.trim()).filter(|line| line.starts_with("https://")) {
            let code = server.authorize(page).unwrap();
            child.stdin.take().unwrap().write_all(format!(" {code}\n").as_bytes()).unwrap();
        }
        said += &line;
    }
    output.read_to_string(&mut said).unwrap();
    let mut error = String::new();
    child.stderr.take().unwrap().read_to_string(&mut error).unwrap();
    if child.wait().unwrap().success() { Ok(said) } else { Err(error) }
}

#[test]
fn the_owner_is_walked_through_the_login() {
    use std::os::unix::fs::PermissionsExt;

    let folder = tempfile::tempdir().unwrap();
    let (server, ca) = tls_server(folder.path());
    let file = folder.path().join("refresh-token");
    let arguments = ["--ca-file", ca.to_str().unwrap(), "--out", file.to_str().unwrap()];
    let said = login(&server, &arguments, &[]).unwrap();
    assert!(said.contains(&format!("app_key = \"{APP_KEY}\"")) && said.contains("refresh_token_file"), "{said}");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let token = fs::read_to_string(&file).unwrap();
    assert!(!said.contains(token.trim()), "the token is in the file only");

    // It serves.
    let mut account = Account::with(server, |options| {
        let Auth::Refresh { refresh_token_file, .. } = &mut options.auth else { panic!() };
        *refresh_token_file = file.clone();
        options.ca_file = Some(ca.clone());
    });
    account.add(b"one").unwrap();

    // It is not replaced, nor left behind half done.
    let again = login(&account.server, &arguments, &[]).unwrap_err();
    assert!(again.contains("is there already; --force replaces it"), "{again}");
    assert_eq!(fs::read_to_string(&file).unwrap(), token);
    login(&account.server, &[&arguments[..], &["--force"]].concat(), &[]).unwrap();
    assert_ne!(fs::read_to_string(&file).unwrap(), token);
    account.assert_strict();

    // A system that trusts the authority needs no option.
    let other = folder.path().join("other");
    let system = [("SSL_CERT_FILE", ca.as_path())];
    login(&account.server, &["--out", other.to_str().unwrap()], &system).unwrap();
    let stranger = login(&account.server, &["--force", "--out", other.to_str().unwrap()], &[]).unwrap_err();
    assert!(stranger.to_lowercase().contains("certificate"), "{stranger}");
    // A system that trusts nobody says what it lacks.
    let nobody = [("SSL_CERT_FILE", Path::new("/dev/null")), ("SSL_CERT_DIR", Path::new("/nowhere"))];
    let lost = login(&account.server, &["--force", "--out", other.to_str().unwrap()], &nobody).unwrap_err();
    assert!(lost.contains("ca-certificates"), "{lost}");
    let nowhere = login(&account.server, &["--out", "/nowhere/token"], &[]).unwrap_err();
    assert!(nowhere.contains("/nowhere"), "{nowhere}");
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().starts_with(".dropbox-login")), "{left:?}");
}
