//! Uploads of the real daemon to a strict Dropbox on loopback: sealed, complete, once, whatever fails on the way.
//!
//! `WATCHTOWER_UPLOAD_RUNS` says how many runs of faults and kills (10 unless set); the results go to the file that
//! `WATCHTOWER_UPLOAD_JSON` names. `tests/bench/upload-faults` does the full count.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use watchtower::upload::manifest::{self, Manifest};
use watchtower::upload::seal::PrivateKey;

use crate::jpeg_camera::JpegCamera;
use crate::support::dropbox::{APP_KEY, DropboxServer, Fault, REFRESH_TOKEN};
use crate::support::{Daemon, fast_folder, frames, wait_for};

/// One encoding for disk and upload: what goes up can be compared byte for byte.
const SAME: &str = "size = \"320x240\"\nkbit = 1500";

struct Setup {
    server: DropboxServer,
    daemon: Daemon,
    key: PathBuf,
}

/// A camera that records when asked, and uploads sealed. `upload` are lines of its table.
fn setup(upload: &str) -> Setup {
    padded(upload, 2)
}

/// As [`setup`], with so many seconds before and after.
fn padded(upload: &str, padding_s: u32) -> Setup {
    let camera = format!(
        "[cameras.front]\nlabel = \"Front door\"\nsource = \"pattern\"\nsize = \"320x240\"\nfps = 10\n\
         [cameras.front.motion]\nmin_trigger_area = 1.0\nrecording_padding_s = {padding_s}\n[cameras.front.disk]\n{SAME}\n"
    );
    of_camera(&camera, upload)
}

/// With a camera of another kind.
fn of_camera(camera: &str, upload: &str) -> Setup {
    let server = DropboxServer::start();
    // How long a disk takes to make something durable is not what is tested.
    let folder = fast_folder();
    let key = folder.path().join("private.pem");
    let public = folder.path().join("public.pem");
    openssl(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out"], &key, &[]);
    openssl(&["pkey", "-pubout", "-in"], &key, &["-out", public.to_str().unwrap()]);
    std::fs::write(folder.path().join("refresh"), REFRESH_TOKEN).unwrap();
    let config = format!(
        "[storage]\npath = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n\
         [upload.dropbox]\napp_key = \"{APP_KEY}\"\nrefresh_token_file = \"refresh\"\napi_url = \"{url}\"\ncontent_url = \"{url}\"\n\
         {camera}\
         [cameras.front.upload]\npublic_key_path = \"public.pem\"\nfile_chunk_kb = 64\nchunk_seconds = 1\n{upload}\n",
        url = server.url()
    );
    let daemon = Daemon::configured(folder, &config, &[]);
    Setup { server, daemon, key }
}

fn openssl(before: &[&str], key: &Path, after: &[&str]) {
    let done = Command::new("openssl").args(before).arg(key).args(after).output().unwrap();
    assert!(done.status.success(), "{done:?}");
}

impl Setup {
    /// What is stored, by folder (`DAY/TIME`) and name.
    fn stored(&self) -> BTreeMap<String, BTreeMap<String, Vec<u8>>> {
        let mut events: BTreeMap<String, BTreeMap<String, Vec<u8>>> = BTreeMap::new();
        for (path, file) in self.server.files() {
            let ["", _, day, time, name] = path.split('/').collect::<Vec<_>>()[..] else { panic!("{path}") };
            events.entry(format!("{day}/{time}")).or_default().insert(name.to_owned(), file.bytes);
        }
        events
    }

    fn private_key(&self) -> PrivateKey {
        PrivateKey::from_pem(&std::fs::read_to_string(&self.key).unwrap(), None).unwrap()
    }

    fn health(&self) -> Value {
        // 503 where the account needs its owner.
        serde_json::from_slice(&self.daemon.get("/healthz").body).unwrap()
    }

    fn waiting_files(&self) -> u64 {
        self.health()["uploads"]["destinations"][0]["waiting_files"].as_u64().unwrap()
    }

    fn details(&self) -> Vec<Value> {
        self.daemon.get("/api/recordings?details=1").json().as_array().unwrap().clone()
    }

    fn wait_for_uploads(&self) {
        let through = |recording: &Value| recording["recording"] == false && recording["upload"]["state"] != "waiting";
        wait_for("everything to be sent", || self.waiting_files() == 0 && self.details().iter().all(through));
    }

    fn disk_video(&self, id: &str) -> Vec<u8> {
        std::fs::read(self.daemon.data().join(format!("recordings/front/{id}/video.h264"))).unwrap()
    }
}

/// An event as it was stored, opened and checked in itself; `None` where only the trigger, or nothing, had come.
struct Opened {
    manifest: Manifest,
    video: Vec<u8>,
}

/// Opens an event's files: each belongs to the manifest, which has each, and is what it says.
fn open(files: &BTreeMap<String, Vec<u8>>, key: &PrivateKey) -> Opened {
    let trigger = key.unseal(&files["trigger.jpg.sealed"]).unwrap();
    assert_eq!((&trigger[..2], &trigger[trigger.len() - 2..]), (&b"\xff\xd8"[..], &b"\xff\xd9"[..]), "a JPEG");
    let manifest = Manifest::from_json(&key.unseal(&files["manifest.json.sealed"]).unwrap()).unwrap();
    let mut video = Vec::new();
    for (n, chunk) in manifest.chunks.iter().enumerate() {
        let file = &files[&format!("video{n}.h264")];
        assert_eq!((file.len() as u64, manifest::sha256(file)), (chunk.file_bytes, chunk.sha256.clone()), "chunk {n}");
        let opened = key.unseal(file).unwrap();
        assert_eq!(opened.len() as u64, chunk.video_bytes);
        assert!((1..=64 * 1024).contains(&opened.len()), "chunk {n} has {} bytes", opened.len());
        video.extend(opened);
    }
    let expected: BTreeSet<String> = (0..manifest.chunks.len())
        .map(|n| format!("video{n}.h264"))
        .chain(["trigger.jpg.sealed".to_owned(), "manifest.json.sealed".to_owned()])
        .collect();
    assert_eq!(files.keys().cloned().collect::<BTreeSet<_>>(), expected, "nothing besides, and no suffix");
    let units: u64 = manifest.units.iter().map(|unit| unit.bytes).sum();
    if manifest.closed {
        assert_eq!(units, video.len() as u64, "every access unit is whole");
    } else {
        assert!(units >= video.len() as u64);
    }
    Opened { manifest, video }
}

#[test]
fn an_event_goes_up_while_it_runs_and_comes_back_as_it_was_recorded() {
    let setup = setup(SAME);
    let unseal_to = setup.daemon.folder.path().join("opened");
    setup.daemon.record();
    setup.wait_for_uploads();
    let seen: Vec<String> = setup.server.seen().iter().filter(|s| !s.path.is_empty()).map(|s| s.path.clone()).collect();
    assert!(seen[0].ends_with("/trigger.jpg.sealed"), "the trigger goes first of all: {seen:?}");
    let details = setup.details();
    assert_eq!(details[0]["upload"]["state"], "sent", "{}", details[0]);
    assert_eq!(details[0]["upload"]["waiting_files"], 0);
    let stored = setup.stored();
    let id = details[0]["id"].as_str().unwrap();
    assert_eq!(stored.keys().collect::<Vec<_>>(), [id], "the folder is called as on disk");
    let opened = open(&stored[id], &setup.private_key());
    assert!(opened.manifest.closed && opened.manifest.chunks.len() > 1);
    assert_eq!(opened.video, setup.disk_video(id), "byte for byte");
    assert_eq!(setup.server.breaches(), [""; 0]);
    assert!(setup.daemon.metric("watchtower_upload_files_total{destination=\"dropbox\"}") >= 3.0);

    // As an owner would open it.
    let downloads = setup.daemon.folder.path().join("downloads");
    for (name, bytes) in &stored[id] {
        let file = downloads.join(id).join(name);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
    unseal(&setup.key, &downloads, &unseal_to);
    let on_disk = setup.daemon.data().join(format!("recordings/front/{id}/video.h264"));
    assert_eq!(frames(&unseal_to.join(id).join("video.mp4")), frames(&on_disk));
}

fn unseal(key: &Path, downloads: &Path, out: &Path) {
    let done = Command::new(env!("CARGO_BIN_EXE_watchtower"))
        .arg("unseal")
        .arg("--key")
        .arg(key)
        .arg("--out")
        .arg(out)
        .arg(downloads)
        .output()
        .unwrap();
    assert!(done.status.success(), "{done:?}");
}

/// Times of a video's pictures since the first, in seconds.
fn times(video: &Path) -> Vec<f64> {
    let probed = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "frame=pts_time", "-of", "csv=p=0"])
        .arg(video)
        .output()
        .unwrap();
    let text = String::from_utf8(probed.stdout).unwrap();
    let times: Vec<f64> = text.lines().map(|line| line.trim_end_matches(',').parse().unwrap()).collect();
    times.iter().map(|time| time - times[0]).collect()
}

#[test]
fn an_upload_of_another_size_has_the_pictures_of_the_recording() {
    // One that gives JPEGs: both encodings get the same pictures however busy the machine is.
    let camera = JpegCamera::start();
    let section = camera.section("min_trigger_area = 1.0\nrecording_padding_s = 2.0");
    let setup = of_camera(&section, "size = \"160x120\"\nkbit = 300");
    camera.wait_for_more(30);
    let id = setup.daemon.record();
    setup.wait_for_uploads();
    let downloads = setup.daemon.folder.path().join("downloads");
    let folder = id.strip_prefix("/api/recordings/").unwrap();
    for (name, bytes) in &setup.stored()[folder] {
        std::fs::create_dir_all(downloads.join(folder)).unwrap();
        std::fs::write(downloads.join(folder).join(name), bytes).unwrap();
    }
    let out = setup.daemon.folder.path().join("opened");
    unseal(&setup.key, &downloads, &out);
    let uploaded = out.join(folder).join("video.mp4");
    let recorded = setup.daemon.folder.path().join("recorded.mp4");
    std::fs::write(&recorded, setup.daemon.get(&format!("{id}/video.mp4")).body).unwrap();
    let (uploaded_times, recorded_times) = (times(&uploaded), times(&recorded));
    assert_eq!(uploaded_times.len(), recorded_times.len(), "the same pictures");
    for (uploaded, recorded) in uploaded_times.iter().zip(&recorded_times) {
        assert!((uploaded - recorded).abs() < 0.002, "at the same times: {uploaded} {recorded}");
    }
    let size = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "v:0", "-show_entries", "stream=width,height", "-of", "csv=p=0"])
        .arg(&uploaded)
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(size.stdout).unwrap().trim(), "160,120");
}

#[test]
fn what_happens_to_an_upload_is_said() {
    let setup = setup(SAME);
    setup.server.set_down(true);
    let recording = setup.daemon.record();
    wait_for("a file that waits", || setup.waiting_files() > 2);
    wait_for("the cause", || setup.details()[0]["upload"]["cause"].is_string());
    let upload = setup.details()[0]["upload"].clone();
    assert_eq!(upload["state"], "waiting", "{recording}: {upload}");
    assert!(upload["waiting_files"].as_u64().unwrap() > 2 && upload["oldest_unsent"].is_string(), "{upload}");
    // A line that is down is nobody's fault: the daemon is well.
    assert_eq!(setup.daemon.get("/healthz").status, 200);
    setup.server.set_down(false);
    setup.wait_for_uploads();
    assert_eq!(setup.details()[0]["upload"]["state"], "sent");

    setup.server.set_full(true);
    setup.daemon.record();
    wait_for("the account's fault", || setup.health()["uploads"]["status"] == "failing");
    let health = setup.health();
    let destination = &health["uploads"]["destinations"][0];
    assert!(destination["cause"].is_string() && destination["oldest_unsent_age_s"].is_u64(), "{health}");
    assert_eq!(health["status"], "failing");
    let asked = || setup.server.seen().len();
    let before = asked();
    std::thread::sleep(Duration::from_secs(3));
    assert!(asked() <= before + 1, "it is not asked in a loop");
}

#[test]
fn without_a_key_and_with_a_picture_in_clear_it_is_as_in_1x() {
    let mut setup = setup(&format!("{SAME}\nseal_trigger = false"));
    setup.daemon.record();
    setup.wait_for_uploads();
    let stored = setup.stored();
    let (id, files) = stored.first_key_value().unwrap();
    assert!(files["trigger.jpg"].starts_with(b"\xff\xd8"), "the picture is in clear");
    assert!(setup.private_key().unseal(&files["video0.h264"]).is_ok() && files.contains_key("manifest.json.sealed"));
    // And without a key everything.
    let config = setup.daemon.folder.path().join("watchtower.toml");
    let text = std::fs::read_to_string(&config).unwrap().replace("public_key_path = \"public.pem\"", "");
    assert!(setup.daemon.end().success());
    std::fs::write(&config, text).unwrap();
    setup.daemon.start_again();
    setup.daemon.wait_for_pictures();
    setup.daemon.record();
    setup.wait_for_uploads();
    let stored = setup.stored();
    let (clear, files) = stored.iter().find(|(other, _)| *other != id).unwrap();
    let names: Vec<_> = (0..files.len() - 2).map(|n| format!("video{n}.h264")).collect();
    let video: Vec<u8> = names.iter().flat_map(|name| files[name].clone()).collect();
    assert_eq!(video, setup.disk_video(clear));
    assert!(Manifest::from_json(&files["manifest.json"]).unwrap().closed);
}

#[test]
fn a_key_that_cannot_seal_ends_with_78() {
    let folder = tempfile::tempdir().unwrap();
    openssl(&["genrsa", "-out"], &folder.path().join("private.pem"), &["1024"]);
    let public = folder.path().join("public.pem");
    openssl(&["rsa", "-pubout", "-in"], &folder.path().join("private.pem"), &["-out", public.to_str().unwrap()]);
    let config = "[storage]\npath = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n[upload.dropbox]\ntoken_file = \"token\"\n[cameras.front]\nsource = \"pattern\"\n\
                  [cameras.front.upload]\npublic_key_path = \"public.pem\"\n";
    std::fs::write(folder.path().join("w.toml"), config).unwrap();
    let ended = Command::new(env!("CARGO_BIN_EXE_watchtower"))
        .args(["run", "--config"])
        .arg(folder.path().join("w.toml"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(78), "{said}");
    assert!(said.contains("public_key_path") && said.contains("1024 bits") && said.contains("2048"), "{said}");
}

#[test]
fn a_key_that_is_not_there_stops_uploads_and_not_the_camera() {
    let config = "[storage]\npath = \"data\"\n[web]\nlisten = \"127.0.0.1:0\"\n[upload.dropbox]\ntoken_file = \"token\"\n[cameras.front]\nsource = \"pattern\"\n\
                  [cameras.front.upload]\npublic_key_path = \"missing.pem\"\n";
    let daemon = Daemon::configured(fast_folder(), config, &[]);
    let captured = "watchtower_frames_total{camera=\"front\",kind=\"captured\"}";
    wait_for("pictures", || daemon.metric(captured) >= 2.0);
    assert_eq!(daemon.get("/api/record").status, 204);
    wait_for("a recording", || !daemon.get("/api/recordings").json().as_array().unwrap().is_empty());
    let camera = daemon.get("/api/cameras").json()[0].clone();
    assert!(camera["cause"].as_str().is_some_and(|cause| cause.contains("public key")), "{camera}");
}

#[test]
fn through_faults_and_kills_every_file_arrives_once() {
    let runs: usize = std::env::var("WATCHTOWER_UPLOAD_RUNS").map_or(10, |runs| runs.parse().unwrap());
    let begun = Instant::now();
    // Long enough that some kills come within an event.
    let mut setup = padded(SAME, 3);
    let random = |n: usize| RandomState::new().hash_one(n);
    let mut faults = BTreeMap::<u16, u64>::new();
    for run in 0..runs {
        setup.server.chaos(random(run), 3);
        if random(run).is_multiple_of(4) {
            setup.server.fault([Fault::CutBody(300), Fault::LoseAnswer]);
        }
        setup.daemon.wait_for_pictures();
        let events = setup.details().len();
        assert_eq!(setup.daemon.get("/api/record").status, 204);
        wait_for("an event", || setup.details().len() > events);
        // From within the event to some time after it.
        let wait = Duration::from_millis(random(run) % 4000);
        std::thread::sleep(wait);
        setup.daemon.kill();
        println!("run {run}: killed {wait:?} into the event");
        setup.daemon.start_again();
    }
    setup.daemon.wait_for_pictures();
    setup.server.chaos(0, 0);
    setup.wait_for_uploads();
    for request in setup.server.seen() {
        *faults.entry(request.status).or_default() += 1;
    }
    assert_eq!(setup.server.breaches(), [""; 0]);
    let (key, stored, details) = (setup.private_key(), setup.stored(), setup.details());
    let (mut whole, mut cut_off, mut chunks) = (0, 0, 0);
    for (folder, files) in &stored {
        let opened = open(files, &key);
        chunks += opened.manifest.chunks.len();
        if opened.manifest.closed {
            whole += 1
        } else {
            cut_off += 1
        }
        // A kill before the first write may have left nothing on disk.
        let Some(listed) = details.iter().find(|recording| recording["id"] == **folder) else { continue };
        let recorded = setup.disk_video(folder);
        let common = opened.video.len().min(recorded.len());
        assert!(opened.video[..common] == recorded[..common], "{folder}: the same video as far as both go");
        assert_eq!(listed["upload"]["state"], "sent", "{listed}");
        if opened.manifest.closed {
            // Killed a moment later, the disk may lack its last write.
            assert!(opened.video.len() >= recorded.len(), "{folder}: all of it");
        } else {
            assert!(listed["upload"]["cause"].as_str().unwrap().contains("cut off"), "{listed}");
        }
    }
    for recording in &details {
        assert!(recording["upload"]["state"] != "none" || !stored.contains_key(recording["id"].as_str().unwrap()));
    }
    assert!(whole + cut_off > 0 && chunks > 0);
    let failed: u64 = faults.iter().filter(|(status, _)| **status != 200).map(|(_, count)| count).sum();
    assert!(runs < 5 || failed > 0, "the faults came: {faults:?}");
    println!("{runs} runs: {whole} whole, {cut_off} cut off, {chunks} chunks, answers {faults:?}");
    if let Ok(path) = std::env::var("WATCHTOWER_UPLOAD_JSON") {
        let result = json!({
            "runs": runs, "kills": runs, "events_whole": whole, "events_cut_off": cut_off, "chunks": chunks,
            "files_missing": 0, "files_doubled": 0, "requests_by_status": faults, "requests_failed": failed,
            "seconds": begun.elapsed().as_secs(),
        });
        std::fs::write(path, serde_json::to_string_pretty(&result).unwrap() + "\n").unwrap();
    }
}
