//! The loader as its users meet it: whole files in, configurations or faults out.
#![allow(clippy::unwrap_used)]

mod any;
mod docs;

use std::path::Path;

use super::*;

const PATH: &str = "/etc/watchtower/w.toml";

fn parse(text: &str) -> Result<Config, ConfigFaults> {
    Config::parse(Path::new(PATH), text.as_bytes())
}

fn faults(text: &str) -> Vec<String> {
    parse(text).unwrap_err().faults.iter().map(|fault| format!("{} {fault}", fault.line.unwrap_or(0))).collect()
}

/// The only fault of a file with one camera and these lines after its source.
fn fault(lines: &str) -> String {
    let all = faults(&format!("[cameras.front]\nsource = \"pattern\"\n{lines}\n"));
    assert_eq!(all.len(), 1, "{all:#?}");
    all[0].clone()
}

#[test]
fn one_camera_is_enough_and_has_every_default() {
    let config = parse("[cameras.front]\nsource = 'pattern'").unwrap();
    assert_eq!(config.cameras, BTreeMap::from([("front".to_owned(), CameraConfig::new("front", Source::Pattern))]));
    assert_eq!((&config.storage, &config.web), (&Storage::default(), &Web::default()));
    let camera = &config.cameras["front"];
    assert_eq!((camera.size, camera.fps, camera.disk.kbit), (Resolution::new(1280, 720), 15, 2000));
    assert_eq!((camera.motion.sensitivity, camera.motion.recording_padding_s), (0.8, 8.0));
    assert_eq!((camera.motion.max_event_time_s, camera.label.as_str()), (60.0, "front"));
    assert_eq!(config.storage.path, Path::new("/var/lib/watchtower"));
    assert_eq!(config.web.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((config.web.web_app, config.log.as_str(), config.default_camera.as_str()), (true, "info", "front"));
}

#[test]
fn every_fault_is_said_at_once_in_the_order_of_the_lines() {
    let said = faults(
        r#"lgo = "info"
default_camera = "frnt"

[storage]
path = 7
max_size = "20 gigs"

[stroage]

[cameras.front]
source = "webcam:0"
fps = 0
size = "1281x720"

[cameras.front.motion]
sensitivity = 1.5
sensitvity = 0.5
recording_padding_s = "8"

[[cameras.front.zones]]
points = [[0, 0], [1, 0]]

[[cameras.front.zones]]
name = "road"
points = [[0, 0], [1, 0], [1]]

[cameras."Back Door"]
record_always = "yes"
"#,
    );
    let expected = [
        "1 lgo: unknown key; did you mean 'log'?",
        "2 default_camera = \"frnt\": no such camera; did you mean 'front'?",
        "5 storage.path = 7: must be text in quotation marks",
        "6 storage.max_size = \"20 gigs\": 'gigs' is not a unit",
        "8 stroage: unknown key; did you mean 'storage'?",
        "11 cameras.front.source: 'webcam:0' is not a source: write pattern",
        "12 cameras.front.fps = 0: must be between 1 and 120",
        "13 cameras.front.size = \"1281x720\": width and height must be even",
        "16 cameras.front.motion.sensitivity = 1.5: must be between 0 and 1",
        "17 cameras.front.motion.sensitvity: unknown key; did you mean 'sensitivity'?",
        "18 cameras.front.motion.recording_padding_s = \"8\": must be a number",
        "21 cameras.front.zones[0].points = [[0, 0], [1, 0]]: must have 3 to 64 corners, has 2",
        "25 cameras.front.zones[1].points[2] = [1]: must be two numbers",
        "27 cameras.Back Door: a camera's name is 1 to 32 of a-z, 0-9 and '-': write [cameras.back-door]",
        "27 cameras.Back Door.source: is missing: for example source",
        "28 cameras.Back Door.record_always = \"yes\": must be true or false",
    ];
    assert_eq!(said.len(), expected.len(), "{said:#?}");
    for (said, expected) in said.iter().zip(expected) {
        assert!(said.starts_with(expected), "{said}\nis not\n{expected}");
    }
}

#[test]
fn values_out_of_range_are_refused_with_the_range() {
    for (lines, says) in [
        ("fps = 121", "between 1 and 120"),
        ("fps = -1", "between 1 and 120"),
        ("fps = 15.0", "must be a whole number"),
        ("size = '1280'", "write WIDTHxHEIGHT"),
        ("rotation = 45", "0, 90, 180 or 270"),
        ("label = ''", "must not be empty"),
        ("label = \"a\\nb\"", "without control characters"),
        ("motion.sensitivity = nan", "between 0 and 1"),
        ("motion.min_trigger_area = -0.1", "between 0 and 1"),
        ("motion.min_frames = 0", "between 1 and 100"),
        ("motion.recording_padding_s = 61", "between 0 and 60"),
        ("motion.max_event_time_s = inf", "between 1 and 3600"),
        ("disk.kbit = 10", "between 50 and 50000"),
        ("annotation.time_format = '%Q%'", "is no time format"),
        ("annotation.time_format = '%n'", "without control characters"),
        ("zones = [{ points = [[0, 0], [0.5, 0.5], [1, 1]] }]", "covers nothing"),
        ("zones = [{ points = [[0, 0], [1.5, 0], [1, 1]] }]", "corner [1.5, 0] is outside the picture"),
        ("zones = [{ include = false }]", "is missing"),
        ("[storage]\nmax_age_days = 0", "between 1 and 36500"),
        ("[storage]\nmax_used = 80", "between 0.1 and 0.99"),
        ("[storage]\nmax_size = '1 kB'", "at least \"10 MB\""),
        ("[storage]\npath = ''", "must not be empty"),
        ("[web]\nlisten = 'localhost'", "write IP:PORT"),
        ("[web]\nlisten = 'unix:'", "the path is missing"),
        ("[web]\nhosts = ['https://cam.example']", "without http://"),
        ("[web]\ndefault_role = 'root'", "must be \"viewer\", \"operator\" or \"admin\""),
    ] {
        let said = fault(lines);
        assert!(said.contains(says), "{lines}: {said}");
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    for (lines, says) in [
        ("motion = { recording_padding_s = 20, max_event_time_s = 15 }", "must be less than max_event_time_s (15 s)"),
        ("motion.max_event_time_s = 5", "the padding (8 s) must be less"),
        ("disk.size = '1920x1080'", "larger than the camera's size (1280x720)"),
        ("credentials_file = 'secret'", "only a camera on the network"),
        (
            "zones = [{ name = 'a', points = [[0,0],[1,0],[1,1]] }, { name = 'a', points = [[0,0],[1,0],[1,1]] }]",
            "another zone",
        ),
        ("[web]\nlisten = '0.0.0.0:80'", "insecure_listen = true"),
        ("[cameras.back]\nsource = 'pattern'", "say which of 'back', 'front' is served at /"),
    ] {
        let said = fault(lines);
        assert!(said.contains(says), "{lines}: {said}");
    }
    let open = "[cameras.a]\nsource='pattern'\n[web]\nlisten='[::]:80'\ninsecure_listen=true";
    assert!(parse(open).unwrap().web.insecure_listen);
    let turned = "[cameras.a]\nsource='pattern'\nsize='1640x1232'\n[cameras.a.disk]\nsize='1232x1640'";
    assert_eq!(parse(turned).unwrap().cameras["a"].disk.size, Some(Resolution::new(1232, 1640)));
}

#[test]
fn tls_is_whole_or_said_to_be_not() {
    let whole = "[web.listen_tls]\naddress='[::]:8443'\ncertificate='a.pem'\nkey='/b.key'\nclient_ca='ca.pem'\n";
    let camera = "[cameras.a]\nsource='pattern'\n";
    let tls = parse(&format!("{camera}{whole}")).unwrap().web.listen_tls.unwrap();
    assert_eq!((tls.certificate.to_str(), tls.key.to_str()), (Some("/etc/watchtower/a.pem"), Some("/b.key")));
    assert_eq!((tls.address.port(), tls.crl), (8443, None));
    for (line, says) in [
        ("key='/b.key'\n", "3 web.listen_tls.key: is missing: for example key = "),
        ("address='[::]:8443'\n", "3 web.listen_tls.address: is missing: for example address = \"0.0.0.0:8443\""),
    ] {
        let said = faults(&format!("{camera}{}", whole.replace(line, "")));
        assert!(said.len() == 1 && said[0].starts_with(says), "{said:?}");
    }
    let said = faults(&format!("{camera}{}crl=''\nca=1\n", whole.replace("[::]:8443", "camera:8443")));
    let says =
        ["web.listen_tls.address = 'camera:8443': not an address", "crl = '': must not be empty", "ca: unknown key"];
    assert_eq!(said.len(), 3, "{said:#?}");
    for says in says {
        assert!(said.iter().any(|said| said.contains(says)), "{said:#?}\nlacks {says}");
    }
}

#[test]
fn uploads_have_somewhere_to_go_and_a_way_in() {
    const STORES: &str = "[upload.dropbox]\ntoken_file='t'\n[cameras.front]\nsource='pattern'\n";
    for (text, says) in [
        ("[cameras.front]\nsource='pattern'\n[cameras.front.upload]\n", "add a table [upload.dropbox] or [upload.s3]"),
        (
            "[upload.dropbox]\n[cameras.front]\nsource='pattern'\n",
            "upload.dropbox: has no way in: write app_key and refresh_token_file",
        ),
        (
            "[upload.dropbox]\napp_key='a'\n[cameras.front]\nsource='pattern'\n",
            "upload.dropbox.refresh_token_file: is missing: `watchtower dropbox-login`",
        ),
        (
            "[upload.dropbox]\napp_key='a'\nrefresh_token_file='r'\ntoken_file='t'\n[cameras.front]\nsource='pattern'\n",
            "token_file = 't': is the older way in",
        ),
        (
            "[upload.dropbox]\ntoken_file='t'\napi_url='api.dropbox.com'\n[cameras.front]\nsource='pattern'\n",
            "write https://HOST",
        ),
        (
            "[upload.dropbox]\ntoken_file='t'\ncontent_url='http://proxy:80'\n[cameras.front]\nsource='pattern'\n",
            "upload.dropbox.content_url = 'http://proxy:80': must begin with https://",
        ),
        (
            "[upload.s3]\nendpoint='http://h'\nbucket='b'\naccess_key_file='i'\n[cameras.front]\nsource='pattern'\n",
            "upload.s3.secret_key_file: is missing: for example",
        ),
        (
            "[upload]\nmax_spool='1 MB'\n[cameras.front]\nsource='pattern'\n",
            "upload.max_spool = '1 MB': must be at least \"200 MB\"",
        ),
        (&format!("{STORES}upload.file_chunk_kb = 63"), "between 64 and 65536"),
        (&format!("{STORES}upload.chunk_seconds = 0"), "between 1 and 300"),
        (&format!("{STORES}upload.destinations = []"), "must not be empty: leave it out"),
        (&format!("{STORES}upload.destinations = ['drpbox']"), "did you mean 'dropbox'?"),
        (&format!("{STORES}upload.destinations = ['s3']"), "is not configured: there are dropbox"),
        (
            &format!("{STORES}upload.destinations = ['dropbox', 'dropbox']"),
            "destinations[1] = 'dropbox': is named twice",
        ),
        (&format!("{STORES}upload.size = '1920x1080'"), "larger than the camera's size"),
        (
            &format!(
                "default_camera='front'\n{STORES}label='A/b'\nupload.kbit=100\n[cameras.back]\nsource='pattern'\n\
                 label='a:B'\nupload.kbit=100"
            ),
            "cameras.front.label: uploads go to the same folder as those of cameras.back",
        ),
    ] {
        let said = faults(text);
        assert!(said.len() == 1 && said[0].contains(says), "{text}: {said:#?}");
    }
    let camera =
        parse(&format!("{STORES}label = 'Tür: \"hinten\" ..'\nupload.kbit = 100")).unwrap().cameras["front"].clone();
    assert_eq!(camera.upload_folder(), "Tür- -hinten-");
    assert_eq!(camera.upload.unwrap().destinations, [Destination::Dropbox]);
}

#[test]
fn one_device_serves_one_camera_whatever_it_is_called() {
    let folder = tempfile::tempdir().unwrap();
    let device = folder.path().join("video0");
    std::fs::write(&device, "").unwrap();
    std::os::unix::fs::symlink(&device, folder.path().join("by-id")).unwrap();
    let text = "default_camera='a'\n[cameras.a]\nsource='v4l2:by-id'\n[cameras.b]\nsource='v4l2:video0'";
    let faults = Config::parse(&folder.path().join("w.toml"), text.as_bytes()).unwrap_err().faults;
    assert_eq!(faults.len(), 1);
    assert!(faults[0].to_string().contains("is the device of cameras.a too"), "{}", faults[0]);
}

#[test]
fn relative_paths_are_relative_to_the_file() {
    let config = parse(
        "default_camera = 'a'
        storage.path = 'data'
        web.listen = 'unix:http.sock'
        [cameras.a]
        source = 'clip:a.mp4'
        [cameras.b]
        source = 'http://10.0.0.2/video'
        credentials_file = '../secret'
        [cameras.c]
        source = 'command:./grab -x a/b'
        [cameras.d]
        source = 'command:rpicam-vid -o -'
        [cameras.e]
        source = 'v4l2:/dev/video0'",
    )
    .unwrap();
    assert_eq!(config.storage.path, Path::new("/etc/watchtower/data"));
    assert_eq!(config.web.listen, Listen::Unix("/etc/watchtower/http.sock".into()));
    let sources: Vec<&Source> = config.cameras.values().map(|camera| &camera.source).collect();
    let words = |words: &[&str]| Source::Command(words.iter().map(|&word| word.into()).collect());
    assert_eq!(
        sources,
        [
            &Source::Clip { path: "/etc/watchtower/a.mp4".into(), looped: true },
            &Source::Http {
                url: "http://10.0.0.2/video".into(),
                credentials_file: Some("/etc/watchtower/../secret".into())
            },
            &words(&["/etc/watchtower/./grab", "-x", "a/b"]),
            &words(&["rpicam-vid", "-o", "-"]),
            &Source::V4l2("/dev/video0".into()),
        ]
    );
}

#[test]
fn a_key_in_the_wrong_table_is_sent_to_the_right_one() {
    assert!(fault("sensitivity = 0.5").ends_with("belongs in [cameras.NAME.motion]"));
    assert!(fault("listen = '127.0.0.1:80'").ends_with("belongs in [web]"));
    assert!(fault("default_camera = 'front'").contains("belongs at the top of the file"));
    assert!(fault("colour = 'red'").contains("unknown key; known here: label, source,"));
}

#[test]
fn a_secret_is_never_repeated() {
    let text = "password = 'hunter2'\n[cameras.a]\nsource = 'http://eve:hunter2@10.0.0.1/'";
    let faults = parse(text).unwrap_err();
    assert_eq!(faults.faults.len(), 2);
    assert!(!faults.to_string().contains("hunter2"), "{faults}");
}

#[test]
fn a_misspelt_log_level_is_no_module_name() {
    for (log, says) in [("inof", "did you mean 'info'"), ("loud", "one of off, error"), ("a=inof", "is no filter")] {
        let said = faults(&format!("log = '{log}'\n[cameras.a]\nsource = 'pattern'"));
        assert!(said.len() == 1 && said[0].contains(says), "{said:?}");
    }
    for log in ["off", "warn,watchtower=debug", "info,watchtower::camera=trace"] {
        assert_eq!(parse(&format!("log = '{log}'\n[cameras.a]\nsource = 'pattern'")).unwrap().log, log);
    }
}

#[test]
fn what_is_no_toml_is_said_with_its_line() {
    let said = faults("log = 'info'\n[cameras.a\nsource = 'pattern'\nfps = = 3\n");
    assert!(said[0].starts_with("2 not TOML: "), "{said:?}");
    assert!(said.iter().any(|said| said.starts_with("4 not TOML: ")), "{said:?}");
    let said = faults("fps = 1\n[cameras.a]\nsource = 'pattern'\nfps = 2\nfps = 3");
    assert!(said.iter().any(|said| said.contains("duplicate key")), "{said:?}");
    let said = Config::parse(Path::new(PATH), b"log = 'info'\n\xff\xfe").unwrap_err().to_string();
    assert_eq!(said, "/etc/watchtower/w.toml:2: the file is not UTF-8 text");
}

#[test]
fn an_empty_file_or_one_without_cameras_says_what_to_add() {
    for text in ["", "[cameras]\n", "[storage]\n"] {
        assert_eq!(faults(text), ["0 cameras: there is no camera: add a table [cameras.NAME] with a source"]);
    }
    assert_eq!(faults("cameras = 3"), ["1 cameras = 3: must be a table"]);
    assert_eq!(faults("[cameras]\nfront = 'pattern'"), ["2 cameras.front = 'pattern': must be a table"]);
}

#[test]
fn a_missing_file_is_named() {
    let fault = Config::load(Path::new("/nowhere/w.toml")).unwrap_err().to_string();
    assert!(fault.starts_with("/nowhere/w.toml: cannot be read: No such file"), "{fault}");
}

#[test]
fn a_file_of_another_kind_gives_a_bounded_answer() {
    let text: String = (0..5_000).map(|n| format!("key{n} = {n}\n")).collect();
    assert_eq!(parse(&text).unwrap_err().faults.len(), 100);
}
