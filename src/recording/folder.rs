//! Folders as the recordings use them: every name is looked up in an open folder and links are never followed, so that
//! nothing outside the recordings can be read, written or deleted through them.
//!
//! What the names mean is in `recording::store`.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;

const FOLDER_MODE: Mode = Mode::from_raw_mode(0o750);
const FILE_MODE: Mode = Mode::from_raw_mode(0o640);

/// An open folder.
#[derive(Debug)]
pub(super) struct Folder(OwnedFd);

/// Room on a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes it can hold.
    pub total_bytes: u64,
    /// Bytes that this program may still write.
    pub free_bytes: u64,
}

impl Folder {
    /// Opens the top folder. This path alone is the owner's to choose, so links in it are followed.
    pub fn open_top(path: &Path) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Folder(rustix::fs::open(path, flags, Mode::empty())?))
    }

    /// Opens a folder in this one.
    pub fn folder(&self, name: &str) -> io::Result<Folder> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(Folder(self.open_at(name, flags)?))
    }

    /// Makes a folder in this one, durable on return. `AlreadyExists` when the name is taken, by whatever.
    pub fn create_folder(&self, name: &str) -> io::Result<()> {
        rustix::fs::mkdirat(&self.0, name, FOLDER_MODE)?;
        self.sync()
    }

    /// Opens a folder in this one, made first when it is not there.
    pub fn folder_or_new(&self, name: &str) -> io::Result<Folder> {
        match self.create_folder(name) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => Err(e),
            _ => self.folder(name),
        }
    }

    /// Opens a regular file to be read.
    pub fn file(&self, name: &str) -> io::Result<File> {
        self.regular(name, OFlags::RDONLY)
    }

    /// Opens a regular file to be read and changed.
    pub fn file_to_edit(&self, name: &str) -> io::Result<File> {
        self.regular(name, OFlags::RDWR)
    }

    fn regular(&self, name: &str, access: OFlags) -> io::Result<File> {
        // Without NONBLOCK, opening a pipe that somebody put here would wait for ever.
        let file = File::from(self.open_at(name, access | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC)?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(ErrorKind::NotFound.into()) }
    }

    /// Makes an empty file, to be written. The name is durable after [`Folder::sync`].
    pub fn create_file(&self, name: &str) -> io::Result<File> {
        Ok(self.open_at(name, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC)?.into())
    }

    /// A link is answered as a name that is not there.
    fn open_at(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        rustix::fs::openat(&self.0, name, flags, FILE_MODE).map_err(|e| match e {
            Errno::LOOP => Errno::NOENT.into(),
            e => e.into(),
        })
    }

    /// Puts a whole file in the place of `name`, or leaves what was there; durable on return.
    pub fn replace_file(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let new = format!("{name}.new");
        self.remove_file(&new)?;
        let written = self.create_file(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()?;
            self.rename(&new, name)
        });
        if written.is_err() {
            // What is left over is removed at the next attempt too.
            let _ = self.remove_file(&new);
        }
        written
    }

    /// Renames within this folder, durable on return.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.0, from, &self.0, to)?;
        self.sync()
    }

    /// Removes a file, or a link itself. That there is none is no error.
    pub fn remove_file(&self, name: &str) -> io::Result<()> {
        none_is_fine(rustix::fs::unlinkat(&self.0, name, AtFlags::empty()))
    }

    /// Removes an empty folder. That there is none is no error.
    pub fn remove_empty_folder(&self, name: &str) -> io::Result<()> {
        none_is_fine(rustix::fs::unlinkat(&self.0, name, AtFlags::REMOVEDIR))
    }

    /// Removes a folder with the files in it; folders inside are foreign, and stay.
    pub fn remove_folder(&self, name: &str) -> io::Result<()> {
        let inner = self.folder(name)?;
        for (file, _) in inner.names()?.iter().filter(|(_, kind)| *kind != FileType::Directory) {
            inner.remove_file(file)?;
        }
        self.remove_empty_folder(name)?;
        self.sync()
    }

    /// Everything in it whose name is UTF-8, without `.` and `..`, in no order.
    pub fn names(&self) -> io::Result<Vec<(String, FileType)>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                // Some file systems do not say.
                FileType::Unknown => match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
                    Ok(stat) => FileType::from_raw_mode(stat.st_mode),
                    Err(_) => continue,
                },
                kind => kind,
            };
            names.push((name.to_owned(), kind));
        }
        Ok(names)
    }

    /// Names of the folders in it.
    pub fn folders(&self) -> io::Result<Vec<String>> {
        let names = self.names()?;
        Ok(names.into_iter().filter(|(_, kind)| *kind == FileType::Directory).map(|(name, _)| name).collect())
    }

    /// Whether there is a file, folder or link of this name.
    pub fn has(&self, name: &str) -> io::Result<bool> {
        match rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Makes the names in it durable.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    /// Time since a name in it came or went; zero when the clock says it is to come.
    pub fn age(&self) -> io::Result<Duration> {
        let changed_s = rustix::fs::fstat(&self.0)?.st_mtime;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(now.saturating_sub(Duration::from_secs(changed_s.max(0) as u64)))
    }

    /// Number of the file system it is on.
    pub fn device(&self) -> io::Result<u64> {
        Ok(rustix::fs::fstat(&self.0)?.st_dev)
    }

    /// Room on its file system.
    pub fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::fstatvfs(&self.0)?;
        Ok(Space { total_bytes: stat.f_blocks * stat.f_frsize, free_bytes: stat.f_bavail * stat.f_frsize })
    }
}

fn none_is_fine(result: rustix::io::Result<()>) -> io::Result<()> {
    match result {
        Err(e) if e != Errno::NOENT => Err(e.into()),
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_and_pipes_are_not_opened() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("secret"), "s").unwrap();
        symlink(outside.path(), dir.path().join("folder")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("file")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), FileType::Fifo, FILE_MODE, 0).unwrap();
        let top = Folder::open_top(dir.path()).unwrap();
        assert!(top.folder("folder").is_err());
        assert!(top.folder_or_new("folder").is_err());
        assert!(top.file("file").is_err());
        assert!(top.file_to_edit("file").is_err());
        assert!(top.create_file("file").is_err());
        assert!(top.file("pipe").is_err());
        assert!(top.remove_folder("folder").is_err());
        assert_eq!(top.folders().unwrap(), Vec::<String>::new());
    }

    #[test]
    fn removing_a_folder_takes_its_links_and_not_what_they_point_to() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(outside.path().join("keep"), "k").unwrap();
        fs::create_dir(dir.path().join("gone")).unwrap();
        symlink(outside.path(), dir.path().join("gone/folder")).unwrap();
        symlink(outside.path().join("keep"), dir.path().join("gone/file")).unwrap();
        Folder::open_top(dir.path()).unwrap().remove_folder("gone").unwrap();
        assert!(!dir.path().join("gone").exists());
        assert_eq!(fs::read_to_string(outside.path().join("keep")).unwrap(), "k");
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let top = Folder::open_top(dir.path()).unwrap();
        fs::write(dir.path().join("a.new"), "left over").unwrap();
        top.replace_file("a", b"one").unwrap();
        top.replace_file("a", b"two").unwrap();
        assert_eq!(fs::read(dir.path().join("a")).unwrap(), b"two");
        fs::create_dir(dir.path().join("b")).unwrap();
        assert!(top.replace_file("b", b"x").is_err());
        assert!(!dir.path().join("b.new").exists());
    }
}
