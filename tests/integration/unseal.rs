//! `watchtower unseal` on uploads as they are downloaded, sealed by Python's `cryptography`.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use watchtower::h264::AccessUnits;
use watchtower::media::Pts;
use watchtower::upload::manifest::{ChunkEntry, Manifest, UnitEntry, sha256};
use watchtower::upload::seal::PublicKey;

use crate::seal::peer_does;

const EVENT: &str = "front/2026-01-02/10.00.00";
const CHUNK_BYTES: usize = 3100;

/// 60 pictures, an IDR every 15, as ffmpeg encodes them.
fn video(folder: &Path) -> Vec<u8> {
    let file = folder.join("clip.h264");
    let args = "-v error -f lavfi -i testsrc2=s=160x120:r=30 -frames:v 60 -c:v libx264 -profile:v baseline -g 15 -y";
    let status = Command::new("ffmpeg").args(args.split(' ')).arg(&file).status().unwrap();
    assert!(status.success());
    fs::read(file).unwrap()
}

/// A download with sealed chunks, and how many they are.
fn download(folder: &Path, video: &[u8]) -> usize {
    peer_does(folder, &["keys", "2048", "."]);
    let event = folder.join("in").join(EVENT);
    fs::create_dir_all(&event).unwrap();
    let key = PublicKey::from_pem(&fs::read_to_string(folder.join("public.pem")).unwrap()).unwrap();
    let chunks: Vec<&[u8]> = video.chunks(CHUNK_BYTES).collect();
    assert!(chunks.len() > 11, "two digits, so that order by number and by name differ");
    for (n, chunk) in chunks.iter().enumerate() {
        fs::write(event.join(format!("video{n}.h264")), key.seal(chunk)).unwrap();
    }
    fs::write(event.join("trigger.jpg.sealed"), key.seal(b"a picture")).unwrap();
    chunks.len()
}

/// 100 ms apart, and a second's pause after the thirtieth.
fn add_manifest(folder: &Path, video: &[u8], closed: bool) {
    let event = folder.join("in").join(EVENT);
    let chunks = video.chunks(CHUNK_BYTES).enumerate().map(|(n, chunk)| {
        let file = fs::read(event.join(format!("video{n}.h264"))).unwrap();
        ChunkEntry { video_bytes: chunk.len() as u64, file_bytes: file.len() as u64, sha256: sha256(&file) }
    });
    let units = AccessUnits::new(video).map(Result::unwrap).enumerate().map(|(n, unit)| UnitEntry {
        pts: Pts(n as i64 * 9_000 + if n < 30 { 0 } else { 90_000 }),
        bytes: unit.bytes.len() as u64,
    });
    let start = "2026-01-02T09:59:52Z".parse().unwrap();
    let manifest = Manifest::new(start, closed, chunks.collect(), units.collect());
    let key = PublicKey::from_pem(&fs::read_to_string(folder.join("public.pem")).unwrap()).unwrap();
    fs::write(event.join("manifest.json.sealed"), key.seal(&manifest.to_json())).unwrap();
}

fn unseal(folder: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_watchtower"));
    command.args(["unseal", "--out", "out"]).args(more).current_dir(folder).output().unwrap()
}

/// Runs a command on a terminal of its own, where questions are answered.
pub fn on_a_terminal(folder: &Path, answers: &[(&str, &str)], command: &[&str]) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/integration/typed.py");
    let answers = answers.iter().flat_map(|(question, answer)| [*question, *answer]);
    let mut python = Command::new("python3");
    python.arg(script).args(answers).arg("--").args(command).current_dir(folder).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// Times of all pictures in milliseconds, after decoding every one.
fn times_ms(folder: &Path) -> Vec<i64> {
    let file = folder.join("out").join(EVENT).join("video.mp4");
    let args = "-v error -select_streams v -show_entries frame=pts_time -of csv=p=0";
    let output = Command::new("ffprobe").args(args.split(' ')).arg(file).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // The encoder's own words in the first picture add an empty line.
    let times = text.lines().map(|line| line.trim_end_matches(',')).filter(|line| !line.is_empty());
    times.map(|time| (time.parse::<f64>().unwrap() * 1e3).round() as i64).collect()
}

#[test]
fn what_1x_uploaded_becomes_a_video_at_the_rate_given() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    download(folder, &video);
    let output = unseal(folder, &["--key", "private-pkcs1.pem", "--fps", "25", "in"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(said(&output), format!("{EVENT}: 60 pictures\n"));
    assert_eq!(times_ms(folder), (0..60).map(|n| n * 40).collect::<Vec<_>>());
    assert_eq!(fs::read(folder.join("out").join(EVENT).join("trigger.jpg")).unwrap(), b"a picture");

    // Nothing is replaced unless that is asked for.
    let again = unseal(folder, &["--key", "private.pem", "in"]);
    assert_eq!(again.status.code(), Some(3));
    assert!(said(&again).contains("video.mp4 is there already; --force replaces it"), "{}", said(&again));
    assert_eq!(times_ms(folder)[1], 40);
    let forced = unseal(folder, &["--key", "private.pem", "--force", "--fps", "50", "in"]);
    assert!(forced.status.success(), "{}", said(&forced));
    assert_eq!(times_ms(folder)[1], 20);
}

#[test]
fn a_manifest_tells_the_true_times_and_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    let chunks = download(folder, &video);
    add_manifest(folder, &video, true);
    fs::write(folder.join("passphrase"), "correct horse\n").unwrap();
    let locked = ["--key", "private-locked.pem", "--passphrase-file", "passphrase", "in"];
    let output = unseal(folder, &locked);
    assert!(output.status.success(), "{}", said(&output));
    let all: Vec<i64> = (0..60).map(|n| n * 100 + if n < 30 { 0 } else { 1000 }).collect();
    assert_eq!(times_ms(folder), all);

    // One chunk is missing, one is damaged, and the last has never arrived.
    let event = folder.join("in").join(EVENT);
    fs::remove_file(event.join("video2.h264")).unwrap();
    let mut damaged = fs::read(event.join("video6.h264")).unwrap();
    damaged[1000] ^= 1;
    fs::write(event.join("video6.h264"), damaged).unwrap();
    fs::remove_file(event.join(format!("video{}.h264", chunks - 1))).unwrap();
    let output = unseal(folder, &[&locked[..], &["--force"]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    let text = said(&output);
    let last = format!("video{}.h264 is missing", chunks - 1);
    for fault in ["video2.h264 is missing", "video6.h264 is damaged", last.as_str(), "pictures are lost"] {
        assert!(text.contains(fault), "{fault:?} is not in: {text}");
    }
    // What is left has the times it had, begins anew only at an IDR, and decodes without a fault.
    let left = times_ms(folder);
    assert!(left.len() < 60 && !left.is_empty() && left.iter().all(|time| all.contains(time)), "{left:?}");
    for pair in left.windows(2) {
        let at = |time| all.iter().position(|other| *other == time).unwrap();
        assert!(at(pair[1]) == at(pair[0]) + 1 || at(pair[1]) % 15 == 0, "{left:?}");
    }
}

#[test]
fn an_upload_that_was_cut_off_is_known_to_be() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    download(folder, &video);
    add_manifest(folder, &video, false);
    let output = unseal(folder, &["--key", "private.pem", "in"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains("the upload was cut off"), "{}", said(&output));
    assert_eq!(times_ms(folder).len(), 60);
}

/// Ours went up under other names, as they were taken.
#[test]
fn a_strangers_files_among_ours_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    download(folder, &video);
    add_manifest(folder, &video, true);
    let event = folder.join("in").join(EVENT);
    let stranger = PublicKey::from_pem(&fs::read_to_string(folder.join("public.pem")).unwrap()).unwrap();
    for (name, renamed) in [
        ("video3.h264", "video3-2.h264"),
        ("manifest.json.sealed", "manifest-2.json.sealed"),
        ("trigger.jpg.sealed", "trigger-2.jpg.sealed"),
    ] {
        fs::rename(event.join(name), event.join(renamed)).unwrap();
        fs::write(event.join(name), "somebody else's").unwrap();
    }
    // Whoever has the public key can make a manifest, but not one that suits our chunks.
    let foreign = Manifest::new("2026-01-02T09:59:52Z".parse().unwrap(), true, Vec::new(), Vec::new());
    fs::write(event.join("manifest.json.sealed"), stranger.seal(&foreign.to_json())).unwrap();
    let output = unseal(folder, &["--key", "private.pem", "in"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(times_ms(folder), (0..60).map(|n| n * 100 + if n < 30 { 0 } else { 1000 }).collect::<Vec<_>>());
    assert_eq!(fs::read(folder.join("out").join(EVENT).join("trigger.jpg")).unwrap(), b"a picture");

    // Without the manifest nobody knows which is ours; what opens counts, and the rest is said.
    fs::remove_file(event.join("manifest.json.sealed")).unwrap();
    fs::remove_file(event.join("manifest-2.json.sealed")).unwrap();
    let output = unseal(folder, &["--key", "private.pem", "--force", "in"]);
    assert_eq!(output.status.code(), Some(3), "{}", said(&output));
    assert!(said(&output).contains("video3.h264 is not sealed"), "{}", said(&output));
    assert_eq!(times_ms(folder).len(), 60);
}

#[test]
fn the_passphrase_is_asked_for_on_the_terminal() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    download(folder, &video);
    let ask = |typed: &str| {
        let command = [env!("CARGO_BIN_EXE_watchtower"), "unseal", "--out", "out", "--key", "private-locked.pem", "in"];
        on_a_terminal(folder, &[("Passphrase of private-locked.pem: ", typed)], &command)
    };
    let wrong = ask("wrong");
    assert_eq!(wrong.status.code(), Some(1), "{}", said(&wrong));
    assert!(said(&wrong).contains("does not open with this passphrase"), "{}", said(&wrong));
    let right = ask("correct horse");
    assert!(right.status.success(), "{}", said(&right));
    let text = said(&right);
    assert!(text.contains("60 pictures") && !text.contains("horse"), "the passphrase is not echoed: {text}");
    // The bar is drawn where there is a terminal.
    assert!(text.contains('█') || text.contains("left"), "{text}");
    assert_eq!(times_ms(folder).len(), 60);
}

#[test]
fn faults_of_the_user_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    download(folder, &video(folder));
    let failed = |more: &[&str], code: i32, words: &str| {
        let output = unseal(folder, more);
        assert_eq!(output.status.code(), Some(code), "{}", said(&output));
        assert!(said(&output).contains(words), "{words:?} is not in: {}", said(&output));
    };
    failed(&["--key", "ec-private.pem", "in"], 1, "ec-private.pem holds a key of the kind EC");
    failed(&["--key", "nowhere.pem", "in"], 1, "nowhere.pem");
    failed(&["--key", "private.pem", "nowhere"], 1, "nowhere");
    failed(&["in"], 3, "video0.h264 is sealed: it takes a key");
    assert!(!folder.join("out").join(EVENT).join("video.mp4").exists());
}

/// 1.x's script took whatever ended in .h264, sealed or not.
#[test]
fn single_files_and_clear_ones_open_too() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    let event = folder.join("in").join(EVENT);
    fs::create_dir_all(&event).unwrap();
    fs::write(event.join("video.h264"), &video).unwrap();
    let output = unseal(folder, &["--fps", "10", "in"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(times_ms(folder), (0..60).map(|n| n * 100).collect::<Vec<_>>());

    let file = format!("in/{EVENT}/video.h264");
    let output = Command::new(env!("CARGO_BIN_EXE_watchtower"))
        .args(["unseal", "--out", "single", &file])
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success() && folder.join("single/video.mp4").exists(), "{}", said(&output));
}

#[test]
fn the_wrapper_takes_the_options_of_1x() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let video = video(folder);
    download(folder, &video);
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("ancillary/mp4_wrapper.sh");
    let binaries = Path::new(env!("CARGO_BIN_EXE_watchtower")).parent().unwrap();
    let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(&script).args(["-i", "in", "-o", "out", "-k", "private.pem", "-f", "25"]);
    let output = command.env("PATH", &path).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(times_ms(folder), (0..60).map(|n| n * 40).collect::<Vec<_>>());
    let wrong = Command::new("sh").arg(&script).args(["-i", "in"]).current_dir(folder).output().unwrap();
    assert_eq!(wrong.status.code(), Some(2));
}
