//! Follows `ancillary/docs/uploads.md` as an owner would: its commands, in its order, with the strict server as Dropbox.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use watchtower::config::DropboxAuth as Auth;
use watchtower::upload::dropbox::{Dropbox, Options};
use watchtower::upload::remote::{Put, Remote};
use watchtower::upload::seal::PublicKey;

use crate::support::dropbox::{APP_KEY, DropboxServer};
use crate::unseal::on_a_terminal;

/// The blocks of commands of the document.
fn commands() -> Vec<String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("ancillary/docs/uploads.md");
    let text = fs::read_to_string(file).unwrap();
    let blocks = text.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// A folder of programs: `watchtower`, but with another address for Dropbox where it asks for one.
fn programs(folder: &Path, server: &DropboxServer) -> String {
    let bin = folder.join("bin");
    fs::create_dir(&bin).unwrap();
    let program = env!("CARGO_BIN_EXE_watchtower");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = dropbox-login ]; then exec {program} \"$@\" --api-url {}; fi\nexec {program} \"$@\"\n",
        server.url()
    );
    fs::write(bin.join("watchtower"), script).unwrap();
    fs::set_permissions(bin.join("watchtower"), fs::Permissions::from_mode(0o755)).unwrap();
    format!("PATH={}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn the_owners_guide_can_be_followed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let server = DropboxServer::start();
    let path = programs(folder, &server);
    let follow = |commands: &str, answers: &[(&str, &str)]| {
        let output = on_a_terminal(folder, answers, &["env", &path, "sh", "-euc", commands]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{commands}\n{said}{}", String::from_utf8_lossy(&output.stderr));
        said
    };
    let blocks = commands();
    let [keys, login, unseal] = &blocks[..] else { panic!("{blocks:?}") };

    // OpenSSL asks in other words from version to version.
    let horse = "correct horse";
    follow(keys, &[("Enter PEM pass phrase:", horse), ("Enter pass phrase for private.pem:", horse)]);
    let public = PublicKey::from_pem(&fs::read_to_string(folder.join("public.pem")).unwrap()).unwrap();
    assert_eq!(public.bits(), 4096);
    assert!(fs::read_to_string(folder.join("private.pem")).unwrap().contains("ENCRYPTED"));

    let browser = format!("!curl -sf \"{}$(grep -o '/oauth2/authorize[^[:space:]]*')\"", server.url());
    follow(login, &[("The app's key: ", APP_KEY), ("The code: ", &browser)]);

    // What a camera does with both, and what the owner downloads.
    let auth = Auth::Refresh {
        app_key: APP_KEY.to_owned(),
        refresh_token_file: folder.join("dropbox.refresh"),
        app_secret_file: None,
    };
    let options = Options { api_url: server.url(), content_url: server.url(), ..Options::new(auth) };
    let sealed = Bytes::from(public.seal(b"a picture"));
    Dropbox::new(options).unwrap().put("/front/2026-01-02/10.00.00/trigger.jpg.sealed", sealed, &Put::Add).unwrap();
    for (path, file) in server.files() {
        let file_path = PathBuf::from(format!("{}/downloads{path}", folder.display()));
        fs::create_dir_all(file_path.parent().unwrap()).unwrap();
        fs::write(file_path, file.bytes).unwrap();
    }
    let said = follow(unseal, &[("Passphrase of private.pem: ", horse)]);
    assert!(said.contains("front/2026-01-02/10.00.00"), "{said}");
    assert_eq!(fs::read(folder.join("opened/front/2026-01-02/10.00.00/trigger.jpg")).unwrap(), b"a picture");
    assert_eq!(server.breaches(), Vec::<String>::new());
}

/// Whatever the document links to is there.
#[test]
fn the_owners_guide_points_at_what_there_is() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("ancillary/docs");
    let text = fs::read_to_string(docs.join("uploads.md")).unwrap();
    let links: BTreeSet<&str> = text.split("](").skip(1).map(|rest| rest.split([')', '#']).next().unwrap()).collect();
    assert!(links.len() >= 3, "{links:?}");
    for link in links {
        assert!(docs.join(link).exists(), "{link}");
    }
}
