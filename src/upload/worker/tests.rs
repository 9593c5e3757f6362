//! The worker against a store whose answers are written down beforehand.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use super::*;
use crate::upload::item::{Item, NamedFile};
use crate::upload::remote;
use crate::upload::spool::Outcome;

const DROPBOX: Destination = Destination::Dropbox;
const PATIENCE: Patience = Patience {
    first: Duration::from_millis(5),
    longest: Duration::from_millis(40),
    account: Duration::from_millis(300),
};

type Answer = Result<remote::Stored, PutError>;

#[derive(Clone, Default)]
struct Script {
    /// What is answered before everything is stored.
    answers: Arc<Mutex<VecDeque<Answer>>>,
    /// When, what and how.
    asked: Arc<Mutex<Vec<(Instant, String, Put)>>>,
    sent_bytes: Arc<AtomicU64>,
}

impl Remote for Script {
    fn put(&mut self, path: &str, bytes: Bytes, how: &Put) -> Answer {
        self.asked.lock().unwrap().push((Instant::now(), path.to_owned(), how.clone()));
        let revision = Some(bytes.len().to_string());
        let answer = self.answers.lock().unwrap().pop_front();
        if !matches!(&answer, Some(Err(PutError::Later { .. }))) {
            self.sent_bytes.fetch_add(bytes.len() as u64, Relaxed);
        }
        answer.unwrap_or_else(|| Ok(remote::Stored { path: path.to_owned(), revision }))
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }
}

impl Script {
    fn paths(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|(_, path, _)| path.clone()).collect()
    }
}

struct Setup {
    folder: tempfile::TempDir,
    spool: Arc<Spool>,
    script: Script,
}

fn setup(answers: Vec<Answer>) -> Setup {
    let folder = tempfile::tempdir().unwrap();
    let spool = Arc::new(Spool::open(folder.path(), 1 << 20, &[DROPBOX]).unwrap());
    let script = Script { answers: Arc::new(Mutex::new(answers.into())), ..Script::default() };
    Setup { folder, spool, script }
}

impl Setup {
    fn start(&self, limits: Limits) -> (Worker, Arc<Traffic>) {
        let remote = Box::new(self.script.clone());
        Worker::start(Arc::clone(&self.spool), DROPBOX, remote, limits, self.folder.path(), PATIENCE).unwrap()
    }

    fn add(&self, name: &str, bytes: usize, closed: bool) {
        let named = |name: &str, bytes: usize| NamedFile { name: name.into(), bytes: vec![7; bytes].into() };
        let item = Item { file: Some(named(name, bytes)), manifest: named("manifest.json", 3), closed };
        self.spool.add(&key(), &item).unwrap();
    }

    /// An event of one file.
    fn event(&self) {
        self.spool.begin(&key(), "/A", &[DROPBOX]).unwrap();
        self.add("video0.h264", 1000, true);
        self.spool.end(&key());
    }

    fn outcome(&self) -> Outcome {
        until(|| self.spool.event(&key()).is_some_and(|outcome| outcome.through));
        self.spool.event(&key()).unwrap()
    }
}

fn key() -> EventKey {
    EventKey { event: 1, part: 0, camera: "a".into() }
}

#[track_caller]
fn until(is_so: impl Fn() -> bool) {
    let since = Instant::now();
    while !is_so() {
        assert!(since.elapsed() < Duration::from_secs(20), "it does not come to that");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn later(after: Option<Duration>) -> Answer {
    Err(PutError::Later { after, cause: "503".into() })
}

#[test]
fn failures_are_tried_again_and_what_is_stored_is_not_sent_again() {
    let stored = |path: &str| Ok(remote::Stored { path: path.into(), revision: Some("r".into()) });
    let setup = setup(vec![later(None), later(None), stored("/A/video0.h264"), later(None)]);
    setup.event();
    let (worker, traffic) = setup.start(Limits::default());
    assert!(!setup.outcome().failed);
    worker.stop(&setup.spool);
    let (video, manifest) = ("/A/video0.h264", "/A/manifest.json");
    assert_eq!(setup.script.paths(), [video, video, video, manifest, manifest]);
    assert_eq!((traffic.failures.load(Relaxed), traffic.files.load(Relaxed)), (3, 1));
    assert_eq!(traffic.bytes.load(Relaxed), 1003);
    assert_eq!(traffic.trouble(), None);
}

#[test]
fn a_store_that_asks_for_time_gets_it() {
    let after = Duration::from_millis(400);
    let setup = setup(vec![later(Some(after))]);
    setup.event();
    let (worker, traffic) = setup.start(Limits::default());
    until(|| traffic.trouble().is_some_and(|trouble| trouble.cause == "503" && !trouble.account));
    setup.outcome();
    worker.stop(&setup.spool);
    let asked = setup.script.asked.lock().unwrap();
    assert!(asked[1].0 - asked[0].0 >= after);
}

#[test]
fn an_account_that_needs_its_owner_is_shown_and_tried_rarely() {
    let setup = setup((0..2).map(|_| Err(PutError::Account { cause: "the token is revoked".into() })).collect());
    setup.event();
    let (worker, traffic) = setup.start(Limits::default());
    until(|| traffic.trouble().is_some_and(|trouble| trouble.account && trouble.cause == "the token is revoked"));
    setup.outcome();
    until(|| traffic.trouble().is_none());
    worker.stop(&setup.spool);
    let asked = setup.script.asked.lock().unwrap();
    assert!(asked[1].0 - asked[0].0 >= PATIENCE.account && asked[2].0 - asked[1].0 >= PATIENCE.account);
}

#[test]
fn a_file_that_is_refused_does_not_hold_the_others_up() {
    let setup = setup(vec![Err(PutError::Refused { cause: "malformed_path".into() })]);
    setup.spool.begin(&key(), "/A", &[DROPBOX]).unwrap();
    setup.add("trigger.jpg", 10, false);
    setup.add("video0.h264", 10, true);
    setup.spool.end(&key());
    let (worker, traffic) = setup.start(Limits::default());
    assert_eq!(setup.outcome().cause.unwrap(), "1 file refused: malformed_path");
    worker.stop(&setup.spool);
    assert_eq!(setup.script.paths(), ["/A/trigger.jpg", "/A/video0.h264", "/A/manifest.json"]);
    assert_eq!((traffic.refused.load(Relaxed), traffic.files.load(Relaxed)), (1, 1));
    assert!(setup.folder.path().join("refused/dropbox/A/trigger.jpg").exists());
}

#[test]
fn the_manifest_replaces_the_version_before_where_that_is() {
    let suffixed = remote::Stored { path: "/A/manifest (1).json".into(), revision: Some("r1".into()) };
    let file = remote::Stored { path: "/A/trigger.jpg".into(), revision: None };
    let setup = setup(vec![Ok(file), Ok(suffixed)]);
    setup.spool.begin(&key(), "/A", &[DROPBOX]).unwrap();
    setup.add("trigger.jpg", 10, false);
    let (worker, _) = setup.start(Limits::default());
    until(|| setup.script.paths().len() == 2 && setup.spool.bytes().0 == 0);
    setup.add("video0.h264", 10, true);
    setup.spool.end(&key());
    setup.outcome();
    worker.stop(&setup.spool);
    let asked = setup.script.asked.lock().unwrap();
    let hows: Vec<_> = asked.iter().map(|(_, path, how)| (path.as_str(), how.clone())).collect();
    let replace = |revision: Option<&str>| Put::Replace { revision: revision.map(str::to_owned) };
    let expected = [
        ("/A/trigger.jpg", Put::Add),
        ("/A/manifest.json", replace(None)),
        ("/A/video0.h264", Put::Add),
        ("/A/manifest (1).json", replace(Some("r1"))),
    ];
    assert_eq!(hows, expected);
}

#[test]
fn a_slow_or_metered_line_is_kept_to() {
    // Attempts that sent nothing take nothing of the day.
    let setup = setup((0..3).map(|_| later(None)).collect());
    setup.spool.begin(&key(), "/A", &[DROPBOX]).unwrap();
    setup.add("video0.h264", 20_000, false);
    setup.add("video1.h264", 20_000, false);
    setup.add("video2.h264", 20_000, true);
    setup.spool.end(&key());
    // 40 kB of the day are soon gone, at 100 kB a second.
    let (worker, traffic) = setup.start(Limits { max_kb_s: Some(100), max_day_bytes: Some(50_000) });
    until(|| traffic.trouble().is_some_and(|trouble| trouble.cause.contains("max_day")));
    assert_eq!(traffic.files.load(Relaxed), 2);
    worker.stop(&setup.spool);
    let first = setup.script.asked.lock().unwrap()[3].0;
    // 20 kB are 200 ms; the clock is read twice.
    assert!(setup.script.asked.lock().unwrap()[4].0 - first >= Duration::from_millis(150));
    // Also after a restart.
    let (worker, again) = setup.start(Limits { max_kb_s: None, max_day_bytes: Some(50_000) });
    until(|| again.trouble().is_some());
    worker.stop(&setup.spool);
    assert_eq!(again.files.load(Relaxed), 0);
}

#[test]
fn a_store_that_panics_is_a_failure_like_any_other() {
    struct Panics(Script, bool);
    impl Remote for Panics {
        fn put(&mut self, path: &str, bytes: Bytes, how: &Put) -> Answer {
            assert!(std::mem::replace(&mut self.1, true), "on purpose");
            self.0.put(path, bytes, how)
        }

        fn sent_bytes(&self) -> u64 {
            self.0.sent_bytes()
        }
    }
    let setup = setup(Vec::new());
    setup.event();
    let remote = Box::new(Panics(setup.script.clone(), false));
    let spool = Arc::clone(&setup.spool);
    let (worker, _) = Worker::start(spool, DROPBOX, remote, Limits::default(), setup.folder.path(), PATIENCE).unwrap();
    assert!(!setup.outcome().failed);
    worker.stop(&setup.spool);
}
