//! Finds downloaded events: the files that belong together, below what a user names.
//!
//! Opening them is in `restore`.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{manifest, suffix};

/// What is there of one event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFiles {
    /// Where its result belongs, below the output folder.
    pub target: PathBuf,
    /// `videoN.h264` by its number.
    pub chunks: BTreeMap<u32, Versions>,
    /// The manifest, sealed or not.
    pub manifest: Versions,
    /// The picture that triggered, sealed or not.
    pub trigger: Versions,
    /// Video files that are not named like a chunk: copies that a sync program has renamed.
    pub strays: Vec<PathBuf>,
}

/// The files that were meant to have one name: more than one where a stranger's had it when ours went up. Sealed ones come
/// first, then those with the name itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<(bool, u32), PathBuf>);

impl Versions {
    /// Best guess first.
    pub fn iter(&self) -> impl Iterator<Item = &Path> {
        self.0.values().map(PathBuf::as_path)
    }
}

impl EventFiles {
    fn add(&mut self, file: &Path) {
        let Some(name) = file.file_name().and_then(|name| name.to_str()) else { return };
        let (meant, version) = suffix::meant(name);
        let (plain, sealed) = match meant.strip_suffix(manifest::SEALED) {
            Some(plain) => (plain, true),
            None => (meant.as_str(), false),
        };
        let versions = match plain {
            manifest::FILE_NAME => &mut self.manifest,
            "trigger.jpg" => &mut self.trigger,
            _ if !name.ends_with(".h264") => return,
            _ => match chunk_number(plain) {
                Some(number) => self.chunks.entry(number).or_default(),
                None => return self.strays.push(file.to_owned()),
            },
        };
        versions.0.insert((!sealed, version), file.to_owned());
    }

    /// A single video under whatever name is the whole of it: 1.x's script took any, such as a `video.h264` from a camera's disk.
    fn take_only_video(&mut self) {
        if let [only] = &self.strays[..]
            && self.chunks.is_empty()
        {
            self.chunks.insert(0, Versions(BTreeMap::from([((true, 1), only.clone())])));
            self.strays.clear();
        }
    }

    /// Every file that is read.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        self.chunks.values().chain([&self.manifest, &self.trigger]).flat_map(Versions::iter)
    }
}

/// N of `videoN.h264`.
fn chunk_number(name: &str) -> Option<u32> {
    let digits = name.strip_prefix("video")?.strip_suffix(".h264")?;
    let number: u32 = digits.parse().ok()?;
    (number.to_string() == digits).then_some(number)
}

/// The events in `paths`, which are folders, searched with all below them, or files. The results mirror the folders below
/// a path; where several paths are given, each gets a folder of its own name. Links to folders are not followed.
///
/// # Errors
/// A path or a folder below it that cannot be read; two events that belong in the same place.
pub fn find(paths: &[PathBuf]) -> io::Result<Vec<EventFiles>> {
    let mut events: BTreeMap<PathBuf, EventFiles> = BTreeMap::new();
    let mut roots: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for path in paths {
        let with_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let path = fs::canonicalize(path).map_err(with_path)?;
        if path.is_dir() {
            walk(&path, &path, &mut events, &mut roots)?;
        } else if let Some(folder) = path.parent() {
            roots.entry(folder.to_owned()).or_insert_with(|| folder.to_owned());
            events.entry(folder.to_owned()).or_default().add(&path);
        }
    }
    events.values_mut().for_each(EventFiles::take_only_video);
    events.retain(|_, event| {
        !event.chunks.is_empty() || event.trigger != Versions::default() || !event.strays.is_empty()
    });
    let several = roots.values().collect::<std::collections::BTreeSet<_>>().len() > 1;
    let mut taken: BTreeMap<PathBuf, PathBuf> = BTreeMap::new();
    for (folder, event) in &mut events {
        let root = &roots[folder];
        let below = folder.strip_prefix(root).unwrap_or(Path::new(""));
        let own_name = root.file_name().filter(|_| several).map(PathBuf::from).unwrap_or_default();
        event.target = own_name.join(below);
        if let Some(other) = taken.insert(event.target.clone(), folder.clone()) {
            let text = format!(
                "{} and {} would have the same place in the result: open them one after the other",
                other.display(),
                folder.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
    }
    Ok(events.into_values().collect())
}

fn walk(
    folder: &Path,
    root: &Path,
    events: &mut BTreeMap<PathBuf, EventFiles>,
    roots: &mut BTreeMap<PathBuf, PathBuf>,
) -> io::Result<()> {
    let with_path = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", folder.display()));
    roots.entry(folder.to_owned()).or_insert_with(|| root.to_owned());
    for entry in fs::read_dir(folder).map_err(with_path)? {
        let entry = entry.map_err(with_path)?;
        if entry.file_type().map_err(with_path)?.is_dir() {
            walk(&entry.path(), root, events, roots)?;
        } else {
            events.entry(folder.to_owned()).or_default().add(&entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn tree(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let file = folder.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        folder
    }

    #[test]
    fn chunks_are_in_numeric_order_and_what_is_sealed_counts() {
        let folder = tree(&[
            "front/2026-01-02/10.00.00/video10.h264",
            "front/2026-01-02/10.00.00/video2.h264",
            "front/2026-01-02/10.00.00/video2-2.h264",
            "front/2026-01-02/10.00.00/video2 (1).h264",
            "front/2026-01-02/10.00.00/trigger.jpg",
            "front/2026-01-02/10.00.00/trigger.jpg.sealed",
            "front/2026-01-02/10.00.00/manifest.json",
            "front/notes.txt",
        ]);
        let events = find(&[folder.path().to_owned()]).unwrap();
        let [event] = &events[..] else { panic!("{events:?}") };
        assert_eq!(event.target, Path::new("front/2026-01-02/10.00.00"));
        assert_eq!(event.chunks.keys().copied().collect::<Vec<_>>(), [2, 10]);
        let names = |versions: &Versions| -> Vec<String> {
            versions.iter().map(|file| file.file_name().unwrap().to_str().unwrap().to_owned()).collect()
        };
        assert_eq!(names(&event.chunks[&2]), ["video2.h264", "video2-2.h264"]);
        assert_eq!(names(&event.trigger), ["trigger.jpg.sealed", "trigger.jpg"]);
        assert_eq!(names(&event.manifest), ["manifest.json"]);
        assert!(event.strays[0].ends_with("video2 (1).h264"));
    }

    #[test]
    fn a_single_video_may_have_any_name() {
        let folder = tree(&["a/video.h264", "a/manifest.json", "b/one.h264", "b/two.h264"]);
        let events = find(&[folder.path().to_owned()]).unwrap();
        assert!(events[0].chunks[&0].iter().next().unwrap().ends_with("video.h264") && events[0].strays.is_empty());
        assert!(events[1].chunks.is_empty() && events[1].strays.len() == 2, "nobody knows their order");
    }

    #[test]
    fn several_paths_keep_their_names() {
        let folder = tree(&["day/10.00.00/video0.h264", "day/11.00.00/video0.h264", "other/10.00.00/video0.h264"]);
        let below = |path: &str| folder.path().join(path);
        let targets = |paths: &[PathBuf]| -> Vec<PathBuf> {
            find(paths).unwrap().into_iter().map(|event| event.target).collect()
        };
        assert_eq!(targets(&[below("day")]), [Path::new("10.00.00"), Path::new("11.00.00")]);
        assert_eq!(targets(&[below("day/10.00.00/video0.h264")]), [Path::new("")]);
        let two = [below("day/10.00.00"), below("day/11.00.00")];
        assert_eq!(targets(&two), [Path::new("10.00.00"), Path::new("11.00.00")]);
        let clash = find(&[below("day/10.00.00"), below("other/10.00.00")]).unwrap_err();
        assert!(clash.to_string().contains("the same place"), "{clash}");
        assert!(find(&[below("nowhere")]).unwrap_err().to_string().contains("nowhere"));
    }
}
