//! The spool as its users meet it, and the plug pulled between any two writes.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::upload::item::NamedFile;

const DROPBOX: Destination = Destination::Dropbox;

fn key(event: u64) -> EventKey {
    EventKey { event, part: 0, camera: "front-door".into() }
}

fn item(name: &str, bytes: usize, closed: bool) -> Item {
    let named = |name: &str, content: Vec<u8>| NamedFile { name: name.into(), bytes: content.into() };
    // As a fresh envelope, it is like no other.
    let file = (bytes > 0).then(|| named(name, (0..bytes).map(|_| fastrand::u8(..)).collect()));
    Item { file, manifest: named("manifest.json", format!("{name} {closed}").into_bytes()), closed }
}

fn names(spool: &Spool, destination: Destination) -> Vec<String> {
    let mut names = Vec::new();
    while let Some(job) = spool.next(destination) {
        names.extend(job.item.file.iter().map(|file| format!("{}/{}", job.folder, file.name)));
        if spool.wants_manifest(destination, &job) {
            names.push(format!("{}/{}", job.folder, job.item.manifest.name));
        }
        spool.done(destination, &job, None).unwrap();
    }
    names
}

#[test]
fn newest_event_first_and_each_in_order_with_one_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    for event in 1..=2 {
        spool.begin(&key(event), &format!("/{event}"), &[DROPBOX]).unwrap();
        for name in ["trigger.jpg", "video0.h264"] {
            spool.add(&key(event), &item(name, 10, false)).unwrap();
        }
        spool.add(&key(event), &item("", 0, true)).unwrap();
        spool.end(&key(event));
    }
    assert_eq!(spool.backlog(DROPBOX).files, 4);
    assert!(spool.backlog(DROPBOX).oldest.is_some());
    let expected = [
        "/2/trigger.jpg",
        "/2/video0.h264",
        "/2/manifest.json",
        "/1/trigger.jpg",
        "/1/video0.h264",
        "/1/manifest.json",
    ];
    assert_eq!(names(&spool, DROPBOX), expected);
    assert_eq!((spool.backlog(DROPBOX), spool.bytes().0), (Backlog::default(), 0));
    let outcome = spool.event(&key(1)).unwrap();
    assert_eq!((outcome.through, outcome.failed, outcome.cause), (true, false, None));
    assert_eq!(spool.event(&key(3)), None);
    // Only the history is left, and outlasts a restart.
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["history"]);
    drop(spool);
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    assert!(spool.event(&key(2)).unwrap().through && spool.knows_folder("/1"));
}

#[test]
fn while_an_event_runs_its_manifest_follows_each_file() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/1", &[DROPBOX]).unwrap();
    spool.add(&key(1), &item("trigger.jpg", 10, false)).unwrap();
    assert_eq!(names(&spool, DROPBOX), ["/1/trigger.jpg", "/1/manifest.json"]);
    assert!(!spool.event(&key(1)).unwrap().through);
    spool.add(&key(1), &item("video0.h264", 10, true)).unwrap();
    assert_eq!(names(&spool, DROPBOX), ["/1/video0.h264", "/1/manifest.json"]);
    spool.end(&key(1));
    assert!(spool.event(&key(1)).unwrap().through);
}

#[test]
fn a_manifest_that_may_be_half_way_goes_before_a_newer_one() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/1", &[DROPBOX]).unwrap();
    spool.add(&key(1), &item("trigger.jpg", 10, false)).unwrap();
    let job = spool.next(DROPBOX).unwrap();
    spool.sending_manifest(DROPBOX, &job).unwrap();
    spool.add(&key(1), &item("video0.h264", 10, true)).unwrap();
    // The program ends here, the answer unknown.
    drop(spool);
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    let again = spool.next(DROPBOX).unwrap();
    assert_eq!(again.item, job.item);
    assert!(spool.wants_manifest(DROPBOX, &again));
    let stored = Stored { path: "/1/manifest (1).json".into(), revision: Some("a".into()) };
    spool.done(DROPBOX, &again, Some(stored.clone())).unwrap();
    assert_eq!(spool.next(DROPBOX).unwrap().manifest, Some(stored));
}

#[test]
fn two_destinations_get_everything_each() {
    let folder = tempfile::tempdir().unwrap();
    let both = [DROPBOX, Destination::S3];
    let spool = Spool::open(folder.path(), 1 << 20, &both).unwrap();
    for (event, destinations) in [(1, &both[..]), (2, &both[1..])] {
        spool.begin(&key(event), &format!("/{event}"), destinations).unwrap();
        spool.add(&key(event), &item("video0.h264", 10, true)).unwrap();
        spool.end(&key(event));
    }
    assert_eq!(names(&spool, DROPBOX), ["/1/video0.h264", "/1/manifest.json"]);
    assert_eq!(spool.event(&key(1)).unwrap().waiting_files, 1);
    drop(spool);
    let spool = Spool::open(folder.path(), 1 << 20, &both).unwrap();
    assert_eq!(names(&spool, DROPBOX), [""; 0]);
    assert_eq!(names(&spool, Destination::S3).len(), 4);
    assert!(spool.event(&key(1)).unwrap().through && spool.event(&key(2)).unwrap().through);
}

#[test]
fn nothing_waits_for_a_destination_that_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let both = [DROPBOX, Destination::S3];
    let spool = Spool::open(folder.path(), 1 << 20, &both).unwrap();
    spool.begin(&key(1), "/1", &both).unwrap();
    spool.add(&key(1), &item("video0.h264", 10, true)).unwrap();
    names(&spool, DROPBOX);
    drop(spool);
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    assert!(spool.event(&key(1)).unwrap().through);
}

#[test]
fn a_full_spool_loses_the_oldest_of_the_oldest_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 5_000, &[DROPBOX]).unwrap();
    let mut changes = spool.subscribe();
    for event in 1..=2 {
        spool.begin(&key(event), &format!("/{event}"), &[DROPBOX]).unwrap();
        for name in ["video0.h264", "video1.h264"] {
            spool.add(&key(event), &item(name, 1000, name == "video1.h264")).unwrap();
        }
        spool.end(&key(event));
    }
    spool.begin(&key(3), "/3", &[DROPBOX]).unwrap();
    spool.add(&key(3), &item("video0.h264", 1000, false)).unwrap();
    let losses = || (spool.losses().dropped, spool.losses().lost);
    assert_eq!(losses(), (1, 0));
    assert!(spool.losses().last.is_some());
    let outcome = spool.event(&key(1)).unwrap();
    assert_eq!((outcome.failed, outcome.waiting_files), (true, 1));
    assert_eq!(outcome.cause.unwrap(), "1 file went unsent, since the spool was full");
    // What a worker has at hand stays.
    let at_hand = spool.next(DROPBOX).unwrap();
    spool.add(&key(3), &item("video1.h264", 3700, false)).unwrap();
    assert_eq!(losses(), (4, 0));
    assert!(spool.event(&key(1)).unwrap().through, "nothing of it is left");
    assert!(spool.bytes().0 <= 5_000);
    assert!(matches!(spool.add(&key(3), &item("video2.h264", 4_500, true)), Err(SpoolError::Full)));
    assert_eq!(losses(), (5, 0), "and what does not fit beside it, though whoever adds has not given up");
    spool.done(DROPBOX, &at_hand, None).unwrap();
    assert!(matches!(spool.add(&key(3), &item("video2.h264", 6_000, true)), Err(SpoolError::Full)));
    assert!(changes.try_recv().is_ok());
    drop(spool);
    let spool = Spool::open(folder.path(), 5_000, &[DROPBOX]).unwrap();
    let outcome = spool.event(&key(1)).unwrap();
    assert_eq!(outcome.cause.unwrap(), "2 files went unsent, since the spool was full");
}

#[test]
fn what_the_disk_takes_at_last_is_no_loss_and_what_is_given_up_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/1", &[DROPBOX]).unwrap();
    let late = item("video0.h264", 10, false);
    disk::pull_after(Some(0));
    assert!(matches!(spool.add(&key(1), &late), Err(SpoolError::Disk(_))));
    assert!(matches!(spool.begin(&key(2), "/2", &[DROPBOX]), Err(SpoolError::Disk(_))));
    assert!(matches!(spool.add(&key(2), &late), Err(SpoolError::Unknown)));
    disk::pull_after(None);
    assert_eq!((spool.losses(), spool.bytes().0), (Losses::default(), 0));
    spool.lost(&key(2), 1);
    assert_eq!(spool.losses().lost, 1, "also of an event that could not be opened");
    spool.add(&key(1), &late).unwrap();
    assert!(folder.path().join(format!("{}/0.item", key(1))).exists(), "in the place that it was to have");
    spool.lost(&key(1), 1);
    assert!(spool.losses().lost == 2 && spool.losses().last.is_some());
    drop(spool);
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    let outcome = spool.event(&key(1)).unwrap();
    assert!(outcome.failed && outcome.cause.unwrap().starts_with("1 file could not be kept on the disk"));
}

#[test]
fn a_file_that_is_refused_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/Front/day/time", &[DROPBOX]).unwrap();
    spool.add(&key(1), &item("video0.h264", 10, true)).unwrap();
    spool.end(&key(1));
    let job = spool.next(DROPBOX).unwrap();
    let file = job.item.file.clone().unwrap();
    spool.refuse(DROPBOX, &job, &file.name, &file.bytes, "malformed_path").unwrap();
    spool.done(DROPBOX, &job, None).unwrap();
    let outcome = spool.event(&key(1)).unwrap();
    assert_eq!((outcome.through, outcome.cause.unwrap()), (true, "1 file refused: malformed_path".into()));
    let aside = folder.path().join("refused/dropbox/Front/day/time/video0.h264");
    assert_eq!(fs::read(aside).unwrap(), file.bytes);
}

#[test]
fn what_is_refused_takes_a_quarter_of_the_size_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let aside = |event: u64| folder.path().join(format!("refused/dropbox/{event}/video0.h264")).exists();
    for event in 1..=3 {
        // What is there already counts at the next start.
        let spool = Spool::open(folder.path(), 8_000, &[DROPBOX]).unwrap();
        spool.begin(&key(event), &format!("/{event}"), &[DROPBOX]).unwrap();
        spool.add(&key(event), &item("video0.h264", 900, true)).unwrap();
        spool.end(&key(event));
        let job = spool.next(DROPBOX).unwrap();
        let file = job.item.file.clone().unwrap();
        spool.refuse(DROPBOX, &job, &file.name, &file.bytes, "malformed_path").unwrap();
        spool.done(DROPBOX, &job, None).unwrap();
        assert_eq!(spool.event(&key(event)).unwrap().cause.unwrap(), "1 file refused: malformed_path");
    }
    assert_eq!([1, 2, 3].map(aside), [true, true, false]);
}

#[test]
fn a_damaged_last_file_does_not_hold_those_before_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/1", &[DROPBOX]).unwrap();
    for name in ["video0.h264", "video1.h264"] {
        spool.add(&key(1), &item(name, 10, name == "video1.h264")).unwrap();
    }
    drop(spool);
    fs::write(folder.path().join(format!("{}/1.item", key(1))), "{").unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    assert_eq!(spool.losses().lost, 1);
    assert_eq!(names(&spool, DROPBOX), ["/1/video0.h264", "/1/manifest.json"]);
    assert!(spool.event(&key(1)).unwrap().cause.unwrap().starts_with("1 file could not be kept on the disk"));
}

#[test]
fn a_file_that_the_disk_damaged_is_counted_and_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
    spool.begin(&key(1), "/1", &[DROPBOX]).unwrap();
    for name in ["video0.h264", "video1.h264"] {
        spool.add(&key(1), &item(name, 10, name == "video1.h264")).unwrap();
    }
    spool.end(&key(1));
    fs::write(folder.path().join(format!("{}/0.item", key(1))), "{").unwrap();
    assert_eq!(names(&spool, DROPBOX), ["/1/video1.h264", "/1/manifest.json"]);
    assert_eq!(spool.event(&key(1)).unwrap().cause.unwrap(), "1 file could not be kept on the disk");
}

/// What a store has, as one that takes a repeat for what it is.
#[derive(Default)]
struct Shop {
    files: BTreeMap<String, Bytes>,
    manifests: BTreeMap<String, Bytes>,
    added: BTreeMap<String, u32>,
}

impl Shop {
    /// Sends what waits until it is done or the plug is pulled.
    fn serve(&mut self, spool: &Spool) -> io::Result<()> {
        while let Some(job) = spool.next(DROPBOX) {
            if let Some(file) = &job.item.file {
                let path = format!("{}/{}", job.folder, file.name);
                match self.files.get(&path) {
                    Some(there) => assert_eq!(*there, file.bytes, "{path} went with two contents"),
                    None => *self.added.entry(path.clone()).or_default() += 1,
                }
                self.files.insert(path, file.bytes.clone());
            }
            let mut stored = None;
            if spool.wants_manifest(DROPBOX, &job) {
                spool.sending_manifest(DROPBOX, &job)?;
                let path = format!("{}/{}", job.folder, job.item.manifest.name);
                let before = self.manifests.get(&path);
                // Our own version of it, or the same again.
                let ours = job.manifest.as_ref().and_then(|stored| stored.revision.clone());
                let there = before.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
                assert!(there == ours || before == Some(&job.item.manifest.bytes), "{there:?} {ours:?}");
                let revision = Some(String::from_utf8_lossy(&job.item.manifest.bytes).into_owned());
                self.manifests.insert(path.clone(), job.item.manifest.bytes.clone());
                stored = Some(Stored { path, revision });
            }
            spool.done(DROPBOX, &job, stored)?;
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whenever_the_plug_is_pulled_what_was_accepted_arrives_once(
        events in prop::collection::vec(1usize..5, 1..4), plugs in prop::collection::vec(0u32..60, 1..5), serve_between in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut shop = Shop::default();
        let (mut accepted, mut last, mut whole) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let mut plugs = plugs.into_iter();
        disk::pull_after(None);
        let mut spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
        disk::pull_after(plugs.next());
        for (event, files) in events.into_iter().enumerate() {
            let key = key(event as u64);
            // What fails from here on is a crash; the event is cut off.
            let mut run = || -> Result<(), Box<dyn std::error::Error>> {
                spool.begin(&key, &format!("/{event}"), &[DROPBOX])?;
                for n in 0..files {
                    let item = item(&format!("video{n}.h264"), 20, n + 1 == files);
                    spool.add(&key, &item)?;
                    let file = item.file.clone().unwrap();
                    accepted.insert(format!("/{event}/{}", file.name), file.bytes);
                    last.insert(format!("/{event}/manifest.json"), item.manifest.bytes.clone());
                    if serve_between {
                        shop.serve(&spool)?;
                    }
                }
                whole.push(key.clone());
                spool.end(&key);
                shop.serve(&spool)?;
                Ok(())
            };
            if run().is_err() {
                drop(spool);
                disk::pull_after(None);
                spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
                disk::pull_after(plugs.next());
            }
        }
        drop(spool);
        disk::pull_after(None);
        let spool = Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap();
        shop.serve(&spool).unwrap();
        for (path, bytes) in &accepted {
            prop_assert_eq!(shop.files.get(path), Some(bytes), "{}", path);
            prop_assert_eq!(shop.added[path], 1);
        }
        for (path, bytes) in &last {
            // An item that was not accepted may still be there whole: the plug was pulled after its rename.
            let name = path.replace("manifest.json", "video");
            let more = shop.files.keys().filter(|other| other.starts_with(&name)).count()
                > accepted.keys().filter(|other| other.starts_with(&name)).count();
            prop_assert!(more || shop.manifests.get(path) == Some(bytes), "{}", path);
        }
        for key in whole {
            let outcome = spool.event(&key).unwrap();
            prop_assert!(outcome.through && !outcome.failed && outcome.cause.is_none(), "{:?}", outcome);
        }
        prop_assert_eq!(spool.bytes().0, 0);
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        prop_assert!(left.iter().all(|name| name == "history"), "{:?}", left);
    }
}
