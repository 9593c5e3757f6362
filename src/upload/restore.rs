//! Opens a downloaded event: a video and a picture that play anywhere, as much of them as there is.
//!
//! Which files there are is found in `find`; how chunks become pictures is in `join`.

use std::collections::{HashSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::find::{EventFiles, Versions};
use super::join::{Join, Picture};
use super::manifest::{self, Manifest};
use super::seal::{self, PrivateKey};
use crate::media::Pts;
use crate::mp4::{self, Mp4Error};

/// Name of the video in the output folder.
pub const VIDEO: &str = "video.mp4";
/// Name of the picture that triggered.
pub const TRIGGER: &str = "trigger.jpg";

/// How events are opened.
#[derive(Debug)]
pub struct Options<'a> {
    /// What opens sealed files.
    pub key: Option<&'a PrivateKey>,
    /// The folder that everything goes to.
    pub out: &'a Path,
    /// Pictures a second, above 0, where no manifest tells their times.
    pub fps: f64,
    /// Whether files that are there already are replaced.
    pub force: bool,
}

/// What became of an event.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Restored {
    /// Pictures in the video.
    pub pictures: usize,
    /// What is missing or damaged, in words for the user.
    pub faults: Vec<String>,
}

/// Why nothing of an event could be written.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The result is there already.
    #[error("{} is there already; --force replaces it", .0.display())]
    Exists(PathBuf),
    /// The result cannot be written.
    #[error("{}: {}", .0.display(), .1)]
    Write(PathBuf, #[source] io::Error),
}

/// Opens an event. `progress` gets the bytes of each file that has been read. Results appear under their names only when
/// they are whole.
///
/// # Errors
/// Only what a user has to change first: see [`RestoreError`]. What is wrong with the event is in [`Restored::faults`].
pub fn restore(
    event: &EventFiles,
    options: &Options<'_>,
    progress: &mut dyn FnMut(u64),
) -> Result<Restored, RestoreError> {
    let folder = options.out.join(&event.target);
    for name in [VIDEO, TRIGGER] {
        if !options.force && folder.join(name).symlink_metadata().is_ok() {
            return Err(RestoreError::Exists(folder.join(name)));
        }
    }
    fs::create_dir_all(&folder).map_err(|error| RestoreError::Write(folder.clone(), error))?;

    let mut pictures = Pictures::new(event, options, progress);
    if let Some(trigger) = pictures.open_first(&event.trigger) {
        let write = |mut file: &File| file.write_all(&trigger);
        place(&folder.join(TRIGGER), options.force, write)?;
    }
    let mut restored = Restored::default();
    if !event.chunks.is_empty() || pictures.manifest.as_ref().is_some_and(|m| !m.chunks.is_empty()) {
        let created = pictures.manifest.as_ref().map_or_else(|| time_of(event), |manifest| manifest.start);
        let mut unusable = None;
        let video = folder.join(VIDEO);
        let written = place(&video, options.force, |file| {
            let mut out = BufWriter::with_capacity(1 << 20, file);
            match mp4::write(&mut out, created, &mut pictures) {
                Ok(pictures) => restored.pictures = pictures,
                Err(Mp4Error::Io(error)) => return Err(error),
                Err(error) => unusable = Some(error),
            }
            out.flush()?;
            if unusable.is_some() { Err(io::ErrorKind::InvalidData.into()) } else { Ok(()) }
        });
        match unusable {
            Some(error) => pictures.faults.push(format!("there is no video: {error}")),
            None => written?,
        }
    }
    restored.faults = pictures.into_faults(restored.pictures);
    Ok(restored)
}

/// Writes a file under another name, and gives it its own when it is whole and on the disk.
fn place(path: &Path, force: bool, write: impl FnOnce(&File) -> io::Result<()>) -> Result<(), RestoreError> {
    let failed = |error| RestoreError::Write(path.to_owned(), error);
    let folder = path.parent().unwrap_or(Path::new("."));
    let new = tempfile::Builder::new()
        .prefix(".unseal-")
        // What the user's umask leaves of it.
        .permissions(fs::Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(failed)?;
    write(new.as_file()).and_then(|()| new.as_file().sync_all()).map_err(failed)?;
    let placed = if force { new.persist(path) } else { new.persist_noclobber(path) };
    match placed {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Err(RestoreError::Exists(path.to_owned())),
        Err(error) => Err(failed(error.error)),
    }
}

/// The time in a path that ends `DAY/TIME`; 1970 when it has none.
fn time_of(event: &EventFiles) -> Timestamp {
    let file = event.files().next().and_then(Path::parent);
    let mut names = file.into_iter().flat_map(Path::iter).rev().filter_map(|name| name.to_str());
    let (time, day) = (names.next().unwrap_or_default(), names.next().unwrap_or_default());
    DateTime::strptime("%Y-%m-%d %H.%M.%S", format!("{day} {time}"))
        .ok()
        .and_then(|local| local.to_zoned_datetime(TimeZone::system()).ok())
        .map_or(Timestamp::UNIX_EPOCH, |local| local.timestamp())
}

/// The pictures of an event, chunk by chunk.
struct Pictures<'a> {
    event: &'a EventFiles,
    key: Option<&'a PrivateKey>,
    progress: &'a mut dyn FnMut(u64),
    manifest: Option<Manifest>,
    /// Whether its chunks are sealed. Then one that is not is damaged.
    sealed: bool,
    join: Join,
    /// Numbers of the chunks to come.
    numbers: std::ops::Range<u32>,
    ready: VecDeque<Picture>,
    faults: Vec<String>,
}

impl<'a> Pictures<'a> {
    fn new(event: &'a EventFiles, options: &Options<'a>, progress: &'a mut dyn FnMut(u64)) -> Self {
        let mut pictures = Self {
            event,
            key: options.key,
            progress,
            manifest: None,
            sealed: event.chunks.values().flat_map(Versions::iter).any(begins_sealed),
            join: Join::new(None, options.fps),
            numbers: 0..0,
            ready: VecDeque::new(),
            faults: event
                .strays
                .iter()
                .map(|file| format!("{} is left out: no chunk has this name", name(file)))
                .collect(),
        };
        pictures.manifest = pictures.read_manifest();
        pictures.join = Join::new(pictures.manifest.as_ref(), options.fps);
        let beyond_found = event.chunks.keys().next_back().map_or(0, |last| last.saturating_add(1));
        let beyond_known = pictures.manifest.as_ref().map_or(0, |m| u32::try_from(m.chunks.len()).unwrap_or(u32::MAX));
        pictures.numbers = 0..beyond_found.max(beyond_known);
        pictures
    }

    /// A file's content, unsealed where it is sealed, which one named so has to be. `None` is a fault, which is noted.
    fn open(&mut self, file: &Path) -> Option<Vec<u8>> {
        let clear = file.extension().is_none_or(|extension| extension != manifest::SEALED.trim_start_matches('.'));
        let opened = self.read(file).and_then(|content| self.unseal(content, clear));
        opened.map_err(|fault| self.faults.push(format!("{} {fault}", name(file)))).ok()
    }

    /// The first version that opens. Those that do not are a stranger's then, and no faults.
    fn open_first(&mut self, versions: &Versions) -> Option<Vec<u8>> {
        let faults = self.faults.len();
        let opened = versions.iter().find_map(|file| self.open(file));
        if opened.is_some() {
            self.faults.truncate(faults);
        }
        opened
    }

    /// The manifest. Of several, the one whose chunks are there.
    fn read_manifest(&mut self) -> Option<Manifest> {
        let mut manifests = Vec::new();
        let faults = self.faults.len();
        for file in self.event.manifest.iter() {
            match self.open(file).map(|json| Manifest::from_json(&json)) {
                Some(Ok(manifest)) => manifests.push(manifest),
                Some(Err(error)) => self.faults.push(format!("{} {error}", name(file))),
                None => {}
            }
        }
        if !manifests.is_empty() {
            self.faults.truncate(faults);
        }
        if manifests.len() > 1 {
            let files = self.event.chunks.values().flat_map(Versions::iter);
            let there: HashSet<String> =
                files.filter_map(|file| fs::read(file).ok()).map(|file| manifest::sha256(&file)).collect();
            let known =
                |manifest: &Manifest| manifest.chunks.iter().filter(|chunk| there.contains(&chunk.sha256)).count();
            // Of equals, the first stays first.
            manifests.sort_by_key(|manifest| std::cmp::Reverse(known(manifest)));
        }
        manifests.into_iter().next()
    }

    fn read(&mut self, file: &Path) -> Result<Vec<u8>, String> {
        let content = fs::read(file);
        (self.progress)(content.as_ref().map_or(0, |content| content.len() as u64));
        content.map_err(|error| format!("cannot be read: {error}"))
    }

    fn unseal(&self, content: Vec<u8>, may_be_clear: bool) -> Result<Vec<u8>, String> {
        match self.key {
            _ if may_be_clear && !seal::looks_sealed(&content) => Ok(content),
            Some(key) => key.unseal(&content).map_err(|error| error.to_string()),
            None => Err("is sealed: it takes a key to open it (--key)".to_owned()),
        }
    }

    fn chunk(&mut self, number: u32, versions: &Versions) {
        let entry = self.manifest.as_ref().and_then(|manifest| manifest.chunks.get(number as usize)).cloned();
        let mut video = None;
        let mut faults = Vec::new();
        for file in versions.iter() {
            let opened = self.read(file).and_then(|content| match &entry {
                _ if video.is_some() && entry.is_none() => Err("is left out: another file is this chunk".to_owned()),
                Some(entry) if entry.sha256 != manifest::sha256(&content) => {
                    Err("is damaged, or not the file that was uploaded".to_owned())
                }
                _ => self.unseal(content, !self.sealed),
            });
            match opened {
                Ok(opened) => video = video.or(Some(opened)),
                Err(fault) => faults.push(format!("{} {fault}", name(file))),
            }
        }
        // A stranger's file does no harm where the manifest tells ours from it.
        if video.is_none() || entry.is_none() {
            self.faults.append(&mut faults);
        }
        match video {
            Some(video) => self.ready.extend(self.join.push(&video)),
            None => self.ready.extend(self.join.gap(entry.map(|entry| entry.video_bytes))),
        }
    }

    /// The chunks from `number` up to the next that is there, or to the end.
    fn missing(&mut self, number: u32) {
        let next = self.event.chunks.range(number..).next().map_or(self.numbers.end, |(next, _)| *next);
        self.numbers.start = next;
        self.faults.push(match next - 1 {
            last if last == number => format!("video{number}.h264 is missing"),
            last => format!("video{number}.h264 to video{last}.h264 are missing"),
        });
        let known = self.manifest.as_ref().and_then(|m| m.chunks.get(number as usize..next as usize));
        let video_bytes = known.map(|chunks| chunks.iter().map(|chunk| chunk.video_bytes).sum());
        self.ready.extend(self.join.gap(video_bytes));
    }

    fn into_faults(mut self, written: usize) -> Vec<String> {
        let lost = match &self.manifest {
            Some(manifest) => (manifest.units.len() as u64).saturating_sub(written as u64),
            None => self.join.left_out,
        };
        match (lost, &self.manifest) {
            (0, _) => {}
            (1, _) => self.faults.push("1 picture is lost".to_owned()),
            (lost, Some(_)) => self.faults.push(format!("{lost} pictures are lost")),
            (lost, None) => self.faults.push(format!("{lost} pictures, or more, are lost")),
        }
        if self.manifest.is_some_and(|manifest| !manifest.closed) {
            self.faults.push("the upload was cut off: the event went on".to_owned());
        }
        self.faults
    }
}

impl Iterator for Pictures<'_> {
    type Item = io::Result<(Pts, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.ready.is_empty() {
            match self.numbers.next() {
                Some(number) => match self.event.chunks.get(&number) {
                    Some(versions) => self.chunk(number, versions),
                    None => self.missing(number),
                },
                None => self.ready.push_back(self.join.finish()?),
            }
        }
        self.ready.pop_front().map(|picture| Ok((picture.pts, picture.bytes)))
    }
}

fn begins_sealed(file: &Path) -> bool {
    let mut beginning = Vec::new();
    let read = File::open(file).and_then(|file| file.take(16).read_to_end(&mut beginning));
    read.is_ok() && seal::looks_sealed(&beginning)
}

fn name(file: &Path) -> String {
    file.file_name().unwrap_or(file.as_os_str()).to_string_lossy().into_owned()
}
