//! An owner with an authority and certificates of their own, made by the program's own code in a folder that goes with the
//! test.

use std::path::{Path, PathBuf};

use jiff::{SignedDuration, Timestamp};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use watchtower::pki::authority::Purpose;
use watchtower::pki::folder::Folder;
use watchtower::role::Role;

/// The name that the servers of these tests have, besides 127.0.0.1.
pub const HOST: &str = "camera.example";

pub struct Owner {
    folder: tempfile::TempDir,
}

/// Somebody with a certificate.
pub struct Holder {
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The certificate as nginx passes it on.
    pub escaped: String,
}

impl Owner {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Folder::create(folder.path(), "Test", Timestamp::now()).unwrap();
        Self { folder }
    }

    /// A file of the folder, such as `ca.pem`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn pki(&self) -> Folder {
        Folder::open(self.folder.path()).unwrap()
    }

    pub fn client(&self, name: &str, role: Role) -> Holder {
        self.issue(name, &Purpose::Client(Some(role)), Timestamp::now())
    }

    /// As other authorities make them.
    pub fn without_role(&self, name: &str) -> Holder {
        self.issue(name, &Purpose::Client(None), Timestamp::now())
    }

    /// One that ended a week ago.
    pub fn expired(&self, name: &str, role: Role) -> Holder {
        let then = Timestamp::now() - SignedDuration::from_hours(24 * 37);
        self.issue(name, &Purpose::Client(Some(role)), then)
    }

    pub fn proxy(&self, name: &str) -> Holder {
        self.issue(name, &Purpose::Proxy, Timestamp::now())
    }

    pub fn server(&self, name: &str) -> Holder {
        self.server_for(name, &[HOST, "127.0.0.1"])
    }

    /// With its files where they stay when it is revoked.
    pub fn client_kept(&self, name: &str, role: Role) -> Holder {
        let issued = self.client(name, role);
        let [certificate, key] = ["pem", "key"].map(|kind| self.file(&format!("kept-{name}.{kind}")));
        std::fs::copy(&issued.certificate, &certificate).unwrap();
        std::fs::copy(&issued.key, &key).unwrap();
        Holder { certificate, key, escaped: issued.escaped }
    }

    pub fn server_for(&self, name: &str, hosts: &[&str]) -> Holder {
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        self.issue(name, &Purpose::Server(hosts), Timestamp::now())
    }

    fn issue(&self, name: &str, purpose: &Purpose, now: Timestamp) -> Holder {
        self.pki().issue(name, purpose, 30, now).unwrap();
        Holder::of(&self.file(&format!("{name}.pem")), &self.file(&format!("{name}.key")))
    }
}

impl Holder {
    fn of(certificate: &Path, key: &Path) -> Self {
        let pem = std::fs::read_to_string(certificate).unwrap();
        let escaped = utf8_percent_encode(&pem, NON_ALPHANUMERIC).to_string();
        Self { certificate: certificate.to_owned(), key: key.to_owned(), escaped }
    }
}
