//! Files that outlast a crash: written under another name, made durable, and only then given their own.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What is being written; left behind by a crash it is worth nothing.
pub(super) const UNFINISHED: &str = ".new";

/// Puts a file in place, whole or not at all, and on stable storage when this returns. Replaces one of the same name.
pub(super) fn write(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let unfinished = path.with_extension(&UNFINISHED[1..]);
    step()?;
    let written = File::create(&unfinished).and_then(|mut file| {
        parts.iter().try_for_each(|part| file.write_all(part))?;
        file.sync_all()
    });
    if let Err(error) = written {
        // A full disk needs its room back.
        let _ = fs::remove_file(&unfinished);
        return Err(error);
    }
    step()?;
    fs::rename(&unfinished, path)?;
    step()?;
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Makes a new folder durable.
pub(super) fn create_folder(path: &Path) -> io::Result<()> {
    step()?;
    match fs::create_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    sync(path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file; one that is gone is no error.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    step()?;
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Removes a folder with what is in it; one that is gone is no error.
pub(super) fn remove_folder(path: &Path) -> io::Result<()> {
    step()?;
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Adds a line to a file and makes it durable.
pub(super) fn append(path: &Path, line: &str) -> io::Result<()> {
    step()?;
    let mut file = File::options().create(true).append(true).open(path)?;
    file.write_all(line.as_bytes())?;
    file.sync_all()
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Between any two of these, a test can pull the plug.
#[cfg(not(test))]
#[inline]
fn step() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use plug::{pull_after, step};

#[cfg(test)]
mod plug {
    use std::cell::Cell;
    use std::io;

    thread_local!(static LEFT: Cell<Option<u32>> = const { Cell::new(None) });

    /// After so many steps on this thread nothing reaches the disk any more; `None`: everything does.
    pub(crate) fn pull_after(steps: Option<u32>) {
        LEFT.set(steps);
    }

    pub(crate) fn step() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the plug is pulled")),
            Some(left) => {
                LEFT.set(Some(left - 1));
                Ok(())
            }
        }
    }
}
