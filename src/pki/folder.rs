//! The owner's folder of certificates.
//!
//! ```text
//! ca.pem               the authority: what servers and browsers are told to trust
//! ca.key               its key, which never leaves the folder
//! crl.pem              what no longer counts
//! NAME.pem NAME.key    a certificate as it is now, and its key
//! NAME.p12 NAME-compatible.p12
//! issued/SERIAL.pem    every certificate that was ever signed
//! revoked/             the files of those that were taken back
//! ```
//!
//! The files are all there is: no database that could disagree with them. A certificate is kept in `issued` before anyone
//! can have it, so that it can always be revoked. Keys are 0600 and never overwritten, the folder is 0700.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::authority::{Authority, AuthorityError, Key, Purpose, Revoked, read_revocation_list};
use super::bundle::{self, Encryption};
use super::certificate::{Certificate, CertificateError};

/// Why a folder's certificates are as they were.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// There is an authority already.
    #[error("{0} holds an authority already, and a key is never overwritten")]
    HasAuthority(PathBuf),
    /// There is none.
    #[error("{0} holds no authority: make one with 'watchtower pki init'")]
    NoAuthority(PathBuf),
    /// A name that cannot be a file's.
    #[error("'{0}' is no name: write 1 to 48 letters, digits and '-', and none of ca, crl, issued, revoked")]
    Name(String),
    /// The name is taken.
    #[error(
        "there is a certificate '{0}' already, and a key is never overwritten: renew it, revoke it, or take another name"
    )]
    Taken(String),
    /// There is no such certificate.
    #[error("there is no certificate '{0}'; 'watchtower pki list' says what there is")]
    Unknown(String),
    /// More days than a server's certificate may last.
    #[error("a server's certificate may last {max} days: Apple's systems refuse it otherwise", max = super::authority::MAX_SERVER_DAYS)]
    TooLong,
    /// The authority refused.
    #[error("{0}: {1}")]
    Authority(PathBuf, AuthorityError),
    /// A certificate that cannot be read.
    #[error("{0}: {1}")]
    Certificate(PathBuf, CertificateError),
    /// The bundle for browsers was not made.
    #[error("the .p12 file could not be made: {0}")]
    Bundle(String),
    /// The file system refused.
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
}

/// How a certificate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It is the newest of its name.
    Valid,
    /// It has ended.
    Expired,
    /// It was taken back.
    Revoked,
    /// There is a newer one of its name; it is valid until it ends.
    Replaced,
}

/// A certificate that was signed once.
#[derive(Clone, Debug)]
pub struct Entry {
    /// What it says.
    pub certificate: Certificate,
    /// How it stands.
    pub standing: Standing,
}

/// A folder with an authority. While there is one, other processes wait for it.
pub struct Folder {
    path: PathBuf,
    authority: Authority,
    /// Locked until it is dropped.
    _lock: File,
}

impl Folder {
    /// Makes a folder with a new authority of this name, and an empty list of revoked certificates.
    ///
    /// # Errors
    /// An authority that is there already, or the file system's.
    pub fn create(path: &Path, name: &str, now: Timestamp) -> Result<Self, PkiError> {
        let failed = at(path);
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(&failed)?;
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(&failed)?;
        let lock = lock(path)?;
        let (authority, key) =
            Authority::create(name, now).map_err(|error| PkiError::Authority(path.to_owned(), error))?;
        match write_new(&path.join("ca.key"), &key.to_pem()) {
            Err(PkiError::Io(_, error)) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(PkiError::HasAuthority(path.to_owned()));
            }
            written => written?,
        }
        replace(&path.join("ca.pem"), authority.pem().as_bytes(), 0o644)?;
        let folder = Self { path: path.to_owned(), authority, _lock: lock };
        folder.write_revocation_list(1, &[], now)?;
        Ok(folder)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// What is missing or broken.
    pub fn open(path: &Path) -> Result<Self, PkiError> {
        if !path.join("ca.key").exists() {
            return Err(PkiError::NoAuthority(path.to_owned()));
        }
        let lock = lock(path)?;
        let (certificate, key) = (read(&path.join("ca.pem"))?, read(&path.join("ca.key"))?);
        let authority =
            Authority::open(&certificate, &key).map_err(|error| PkiError::Authority(path.join("ca.pem"), error))?;
        Ok(Self { path: path.to_owned(), authority, _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The authority's own certificate.
    pub fn authority(&self) -> &Certificate {
        self.authority.certificate()
    }

    /// Makes a key and has it certified.
    ///
    /// # Errors
    /// A name that is taken or none, too many days, the file system's.
    pub fn issue(&self, name: &str, purpose: &Purpose, days: u32, now: Timestamp) -> Result<Certificate, PkiError> {
        check_name(name)?;
        if self.file(name, "key").exists() || self.file(name, "pem").exists() {
            return Err(PkiError::Taken(name.to_owned()));
        }
        let key = Key::generate().map_err(|error| self.refused(error))?;
        // Signed first: a name that the authority refuses leaves no key behind.
        let pem = self.sign(name, purpose, &key, days, now)?;
        write_new(&self.file(name, "key"), &key.to_pem())?;
        self.publish(name, &pem)
    }

    /// Has the key of a name certified again, for as much as it was.
    ///
    /// # Errors
    /// No such name, too many days, the file system's.
    pub fn renew(&self, name: &str, days: u32, now: Timestamp) -> Result<Certificate, PkiError> {
        let current = self.current(name)?;
        let key = self.key(name)?;
        let pem = self.sign(name, &Purpose::of(&current), &key, days, now)?;
        self.publish(name, &pem)
    }

    /// Takes back every certificate of a name, and puts its files aside, so that the name is free. Answers how many no
    /// longer count.
    ///
    /// # Errors
    /// No such name, or the file system's.
    pub fn revoke(&self, name: &str, now: Timestamp) -> Result<usize, PkiError> {
        check_name(name)?;
        let (number, mut revoked) = self.revocation_list()?;
        let known = revoked.len();
        for issued in self.issued()? {
            if issued.name == name && revoked.iter().all(|entry| entry.serial != issued.serial) {
                revoked.push(Revoked { serial: issued.serial, since: now });
            }
        }
        let count = revoked.len() - known;
        if count == 0 && !self.file(name, "pem").exists() {
            return Err(PkiError::Unknown(name.to_owned()));
        }
        self.write_revocation_list(number + 1, &revoked, now)?;
        self.put_aside(name, now)?;
        Ok(count)
    }

    /// Every certificate that was ever signed, by name and then by age.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn list(&self, now: Timestamp) -> Result<Vec<Entry>, PkiError> {
        let (_, revoked) = self.revocation_list()?;
        let mut entries = Vec::new();
        for certificate in self.issued()? {
            let is_current = || self.current(&certificate.name).is_ok_and(|now| now.serial == certificate.serial);
            let standing = match () {
                () if revoked.iter().any(|entry| entry.serial == certificate.serial) => Standing::Revoked,
                () if certificate.not_after <= now => Standing::Expired,
                () if is_current() => Standing::Valid,
                () => Standing::Replaced,
            };
            entries.push(Entry { certificate, standing });
        }
        entries.sort_by(|a, b| {
            let key = |entry: &Entry| (entry.certificate.name.clone(), entry.certificate.not_before);
            key(a).cmp(&key(b))
        });
        Ok(entries)
    }

    /// Writes the bundles of a name, modern and compatible; answers where.
    ///
    /// # Errors
    /// No such name, or the file system's.
    pub fn bundle(&self, name: &str, password: &str) -> Result<[PathBuf; 2], PkiError> {
        let (key, certificate) = (self.key(name)?, read(&self.file(name, "pem"))?);
        let write = |encryption, file: String| {
            let bytes = bundle::bundle(name, &key, &certificate, self.authority.pem(), password, encryption)
                .map_err(|error| PkiError::Bundle(error.to_string()))?;
            let path = self.path.join(file);
            replace(&path, &bytes, 0o600)?;
            Ok(path)
        };
        Ok([
            write(Encryption::Modern, format!("{name}.p12"))?,
            write(Encryption::Compatible, format!("{name}-compatible.p12"))?,
        ])
    }

    /// The certificate of a name as it is now.
    ///
    /// # Errors
    /// No such name, or one that cannot be read.
    pub fn current(&self, name: &str) -> Result<Certificate, PkiError> {
        check_name(name)?;
        let path = self.file(name, "pem");
        if !path.exists() {
            return Err(PkiError::Unknown(name.to_owned()));
        }
        Certificate::from_pem(read(&path)?.as_bytes()).map_err(|error| PkiError::Certificate(path, error))
    }

    fn sign(&self, name: &str, purpose: &Purpose, key: &Key, days: u32, now: Timestamp) -> Result<String, PkiError> {
        if matches!(purpose, Purpose::Server(_)) && days > super::authority::MAX_SERVER_DAYS {
            return Err(PkiError::TooLong);
        }
        self.authority.issue(name, purpose, key, days, now).map_err(|error| self.refused(error))
    }

    fn publish(&self, name: &str, pem: &str) -> Result<Certificate, PkiError> {
        let path = self.file(name, "pem");
        let certificate =
            Certificate::from_pem(pem.as_bytes()).map_err(|error| PkiError::Certificate(path.clone(), error))?;
        let issued = self.path.join("issued");
        fs::create_dir_all(&issued).map_err(at(&issued))?;
        replace(&issued.join(format!("{}.pem", hex(&certificate.serial))), pem.as_bytes(), 0o644)?;
        replace(&path, pem.as_bytes(), 0o644)?;
        Ok(certificate)
    }

    fn issued(&self) -> Result<Vec<Certificate>, PkiError> {
        let folder = self.path.join("issued");
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(at(&folder))?,
        };
        let mut issued = Vec::new();
        for entry in entries {
            let path = entry.map_err(at(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                let read = Certificate::from_pem(read(&path)?.as_bytes());
                issued.push(read.map_err(|error| PkiError::Certificate(path, error))?);
            }
        }
        Ok(issued)
    }

    fn revocation_list(&self) -> Result<(u64, Vec<Revoked>), PkiError> {
        let path = self.path.join("crl.pem");
        read_revocation_list(&read(&path)?).map_err(|error| PkiError::Authority(path, error))
    }

    fn write_revocation_list(&self, number: u64, revoked: &[Revoked], now: Timestamp) -> Result<(), PkiError> {
        let list = self.authority.revocation_list(number, revoked, now).map_err(|error| self.refused(error))?;
        replace(&self.path.join("crl.pem"), list.as_bytes(), 0o644)
    }

    /// Nothing is deleted: a key that was taken back may still be needed to prove whose it was.
    fn put_aside(&self, name: &str, now: Timestamp) -> Result<(), PkiError> {
        let aside = self.path.join("revoked").join(format!("{name}-{}", now.as_second()));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&aside).map_err(at(&aside))?;
        for file in
            [format!("{name}.pem"), format!("{name}.key"), format!("{name}.p12"), format!("{name}-compatible.p12")]
        {
            match fs::rename(self.path.join(&file), aside.join(&file)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(at(&aside)(error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn key(&self, name: &str) -> Result<Key, PkiError> {
        check_name(name)?;
        let path = self.file(name, "key");
        Key::from_pem(&read(&path)?).map_err(|error| PkiError::Authority(path, error))
    }

    fn file(&self, name: &str, kind: &str) -> PathBuf {
        self.path.join(format!("{name}.{kind}"))
    }

    fn refused(&self, error: AuthorityError) -> PkiError {
        PkiError::Authority(self.path.clone(), error)
    }
}

/// A name becomes a file's, and part of a certificate.
fn check_name(name: &str) -> Result<(), PkiError> {
    let fits = (1..=48).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with("-compatible")
        && !["ca", "crl", "issued", "revoked"].contains(&name.to_lowercase().as_str());
    if fits { Ok(()) } else { Err(PkiError::Name(name.to_owned())) }
}

fn at(path: &Path) -> impl Fn(io::Error) -> PkiError {
    move |error| PkiError::Io(path.to_owned(), error)
}

fn lock(path: &Path) -> Result<File, PkiError> {
    let folder = File::open(path).map_err(at(path))?;
    folder.lock().map_err(at(path))?;
    Ok(folder)
}

fn read(path: &Path) -> Result<String, PkiError> {
    fs::read_to_string(path).map_err(at(path))
}

/// Writes a file that must not be there yet, for its owner alone. It is there whole or not at all.
fn write_new(path: &Path, text: &str) -> Result<(), PkiError> {
    let mut file = temporary(path)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.as_file().sync_all());
    written.map_err(at(path))?;
    file.persist_noclobber(path).map_err(|error| at(path)(error.error))?;
    Ok(())
}

/// Writes a file in the place of what is there.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<(), PkiError> {
    let mut file = temporary(path)?;
    let written = file
        .as_file()
        .set_permissions(Permissions::from_mode(mode))
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| file.as_file().sync_all());
    written.map_err(at(path))?;
    file.persist(path).map_err(|error| at(path)(error.error))?;
    Ok(())
}

/// Beside the file it will be; 0600.
fn temporary(path: &Path) -> Result<tempfile::NamedTempFile, PkiError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    tempfile::NamedTempFile::new_in(folder).map_err(at(folder))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
