//! Whatever is in a file, the loader answers; and a configuration that is written is read as the same.

use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::camera::Source;
use crate::config::{
    Annotation, CameraConfig, CameraUpload, Config, Destination, DropboxAuth, DropboxConfig, EncoderChoice, Limits,
    Listen, ListenTls, MotionConfig, S3Config, Storage, StreamConfig, UploadConfig, Web, Zone,
};
use crate::media::Resolution;
use crate::role::Role;

/// Text that looks like a configuration: its keys, tables and values in any order, some broken.
fn resembling() -> impl Strategy<Value = String> {
    let key = prop::sample::select(vec![
        "default_camera",
        "log",
        "path",
        "max_size",
        "max_age_days",
        "max_used",
        "listen",
        "hosts",
        "source",
        "size",
        "fps",
        "rotation",
        "zones",
        "points",
        "motion.sensitivity",
        "motion",
        "disk",
        "cameras",
        "cameras.a.b",
        "x",
        "\"\"",
        "'é\\'",
    ]);
    let value = prop::sample::select(vec![
        "1",
        "-1",
        "0.5",
        "nan",
        "1e400",
        "99999999999999999999",
        "true",
        "'pattern'",
        "\"20 GB\"",
        "'unix:x'",
        "[]",
        "[[0,0],[1,0],[1,1]]",
        "[[0]]",
        "[1, 'a', {}]",
        "{}",
        "{ size = 3 }",
        "{ a.b = 1 }",
        "1979-05-27",
        "'''\n\n'''",
        "\"\\u0000\"",
        "'http://eve:x@y/'",
        "\"",
        "[",
        "",
    ]);
    let header = prop::sample::select(vec![
        "[storage]",
        "[web]",
        "[cameras]",
        "[cameras.a]",
        "[cameras.b]",
        "[cameras.a.motion]",
        "[[cameras.a.zones]]",
        "[[cameras]]",
        "[cameras.'A B'.disk]",
        "[[[",
        "[]",
    ]);
    let line = prop_oneof![
        6 => (key, value).prop_map(|(key, value)| format!("{key} = {value}")),
        3 => header.prop_map(str::to_owned),
        1 => "\\PC{0,20}",
    ];
    vec(line, 0..30).prop_map(|lines| lines.join("\n"))
}

fn size() -> impl Strategy<Value = Resolution> {
    (16..=1920u32, 16..=1920u32).prop_map(|(width, height)| Resolution::new(width * 2, height * 2))
}

/// Numbers that a decimal of a few digits holds.
fn part() -> impl Strategy<Value = f32> {
    (0..=1000u32).prop_map(|n| n as f32 / 1000.0)
}

fn source(name: String) -> impl Strategy<Value = Source> {
    prop_oneof![
        Just(Source::Pattern),
        // One device for one camera.
        Just(Source::V4l2(PathBuf::from("/nowhere").join(name))),
        any::<bool>().prop_map(|looped| Source::Clip { path: "/clips/a b.mp4".into(), looped }),
        Just(Source::Command(vec!["rpicam-vid".into(), "-o".into(), "it's -".into()])),
        option::of(Just(PathBuf::from("/etc/secret")))
            .prop_map(|credentials_file| Source::Http { url: "http://10.0.0.1/video?a=b".into(), credentials_file }),
    ]
}

fn zone() -> impl Strategy<Value = (bool, Vec<[f32; 2]>)> {
    let inner = vec([part(), part()], 0..5);
    (any::<bool>(), inner).prop_map(|(include, inner)| {
        let mut points = vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]];
        points.extend(inner);
        (include, points)
    })
}

fn camera(name: String) -> impl Strategy<Value = CameraConfig> {
    let look = ("[^\\pC]{1,64}", size(), 1..=120u32, 0..4u32, any::<bool>(), any::<bool>());
    let motion = (part(), part(), 0..=59u32, 60..=3600u32, 1..=100u32);
    let encoder = prop::sample::select(vec![EncoderChoice::Auto, EncoderChoice::Hardware, EncoderChoice::Software]);
    let disk = (option::of(Just(())), 50..=50_000u32, encoder);
    (Just(name.clone()), source(name), look, motion, vec(zone(), 0..4), disk).prop_map(
        |(name, source, look, motion, zones, (smaller, kbit, encoder))| {
            let (label, size, fps, quarter, record_always, enabled) = look;
            let (sensitivity, min_trigger_area, padding, longest, min_frames) = motion;
            CameraConfig {
                name,
                label,
                source,
                size,
                fps,
                rotation: quarter * 90,
                annotation: Annotation { enabled, time_format: "%H:%M \"%Z\"".into() },
                motion: MotionConfig {
                    sensitivity,
                    min_trigger_area,
                    recording_padding_s: padding as f32,
                    max_event_time_s: longest as f32,
                    min_frames,
                },
                zones: zones
                    .into_iter()
                    .enumerate()
                    .map(|(n, (include, points))| Zone { name: format!("zone {n}"), include, points })
                    .collect(),
                disk: StreamConfig { size: smaller.map(|()| Resolution::new(32, 32)), kbit },
                live: StreamConfig { size: Some(Resolution::new(32, 32)), kbit: 50_050 - kbit },
                upload: None,
                record_always,
                encoder,
                microcontroller: None,
            }
        },
    )
}

fn storage() -> impl Strategy<Value = Storage> {
    let max_used = option::of((10..=99u32).prop_map(|n| n as f32 / 100.0));
    (option::of(10..1_000_000u64), option::of(1..=36_500u32), max_used).prop_map(|(mb, max_age_days, max_used)| {
        Storage {
            path: "/srv/\"quoted\" and \\ slashed".into(),
            max_bytes: mb.map(|mb| mb * 1_000_000),
            max_age_days,
            max_used,
        }
    })
}

fn web() -> impl Strategy<Value = Web> {
    let listen = prop_oneof![
        Just(Listen::Systemd),
        Just(Listen::Unix("/run/w.sock".into())),
        any::<std::net::SocketAddr>().prop_map(|address| match address {
            // A flow label is not written, and a scope is no part of a configuration.
            std::net::SocketAddr::V6(v6) => Listen::Tcp((*v6.ip(), v6.port()).into()),
            address => Listen::Tcp(address),
        }),
    ];
    let hosts = vec("[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,5}){0,2}", 0..3);
    let role = prop::sample::select(Role::ALL.to_vec());
    let tls = option::of(any::<(u16, bool)>().prop_map(|(port, revokes)| ListenTls {
        address: ([0, 0, 0, 0], port).into(),
        certificate: "/tls/a b.pem".into(),
        key: "/tls/a.key".into(),
        client_ca: "/tls/ca.pem".into(),
        crl: revokes.then(|| "/tls/crl.pem".into()),
    }));
    (listen, any::<bool>(), hosts, role, tls).prop_map(|(listen, web_app, hosts, default_role, listen_tls)| {
        let insecure_listen = matches!(&listen, Listen::Tcp(address) if !address.ip().is_loopback());
        Web { listen, listen_tls, default_role, web_app, hosts, insecure_listen }
    })
}

fn upload() -> impl Strategy<Value = UploadConfig> {
    let auth = prop_oneof![
        Just(DropboxAuth::Token { token_file: "/etc/token".into() }),
        option::of(Just("/etc/secret".into())).prop_map(|app_secret_file| DropboxAuth::Refresh {
            app_key: "a1b2".into(),
            refresh_token_file: "/etc/refresh".into(),
            app_secret_file,
        }),
    ];
    let limits = (option::of(1..=1_000_000u32), option::of(10..1000u64))
        .prop_map(|(max_kb_s, mb)| Limits { max_kb_s, max_day_bytes: mb.map(|mb| mb * 1_000_000) });
    let dropbox = (auth, limits).prop_map(|(auth, limits)| DropboxConfig { limits, ..DropboxConfig::new(auth) });
    let s3 = Just(S3Config {
        endpoint: "http://127.0.0.1:9000".into(),
        region: "eu".into(),
        bucket: "cameras".into(),
        prefix: "a/b c".into(),
        access_key_file: "/etc/id".into(),
        secret_key_file: "/etc/key".into(),
        limits: Limits::default(),
    });
    let ca_file = option::of(Just("/etc/ca.pem".into()));
    (200..5000u64, ca_file, option::of(dropbox), option::of(s3)).prop_map(|(mb, ca_file, dropbox, s3)| UploadConfig {
        max_spool_bytes: mb * 1_000_000,
        ca_file,
        dropbox,
        s3,
    })
}

fn camera_upload(destinations: Vec<Destination>) -> impl Strategy<Value = CameraUpload> {
    let key = option::of(Just("/etc/public.pem".into()));
    let size = Just(Resolution::new(32, 32));
    (size, 50..=50_000u32, 64..=65_536u32, 1..=300u32, key, any::<bool>()).prop_map(
        move |(size, kbit, file_chunk_kb, chunk_seconds, public_key_path, seal_trigger)| CameraUpload {
            stream: StreamConfig { size: Some(size), kbit },
            file_chunk_kb,
            chunk_seconds,
            public_key_path,
            seal_trigger,
            destinations: destinations.clone(),
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let cameras = btree_map("[a-z0-9-]{1,32}", Just(()), 1..4)
        .prop_flat_map(|names| names.into_keys().map(camera).collect::<Vec<_>>());
    (storage(), web(), upload(), cameras, any::<prop::sample::Index>()).prop_flat_map(
        |(storage, web, upload, cameras, which)| {
            // At most one, since any other camera may have the same label.
            let which = which.index(cameras.len());
            let destinations = upload.destinations();
            let uploading = option::of(camera_upload(destinations.clone()))
                .prop_map(move |upload| upload.filter(|_| !destinations.is_empty()));
            uploading.prop_map(move |camera_upload| {
                let mut cameras = cameras.clone();
                cameras[which].upload = camera_upload;
                Config {
                    storage: storage.clone(),
                    web: web.clone(),
                    upload: upload.clone(),
                    default_camera: cameras[which].name.clone(),
                    cameras: cameras.iter().map(|camera| (camera.name.clone(), camera.clone())).collect(),
                    log: "warn,watchtower=debug".into(),
                }
            })
        },
    )
}

fn written_limits(limits: &Limits) -> String {
    limits.max_kb_s.map_or(String::new(), |kb_s| format!("max_kb_s = {kb_s}\n"))
        + &limits.max_day_bytes.map_or(String::new(), |bytes| format!("max_day = '{} MB'\n", bytes / 1_000_000))
}

fn written_upload(upload: &UploadConfig) -> String {
    let mut text = format!("[upload]\nmax_spool = '{} MB'\n", upload.max_spool_bytes / 1_000_000);
    text += &upload.ca_file.as_ref().map_or(String::new(), |file| format!("ca_file = '{}'\n", file.display()));
    if let Some(DropboxConfig { auth, api_url, content_url, limits }) = &upload.dropbox {
        text += &format!("[upload.dropbox]\napi_url = '{api_url}'\ncontent_url = '{content_url}/'\n");
        text += &written_limits(limits);
        text += &match auth {
            DropboxAuth::Token { token_file } => format!("token_file = '{}'\n", token_file.display()),
            DropboxAuth::Refresh { app_key, refresh_token_file, app_secret_file } => {
                let secret = app_secret_file.as_ref();
                format!("app_key = '{app_key}'\nrefresh_token_file = '{}'\n", refresh_token_file.display())
                    + &secret.map_or(String::new(), |file| format!("app_secret_file = '{}'\n", file.display()))
            }
        };
    }
    if let Some(S3Config { endpoint, region, bucket, prefix, access_key_file, secret_key_file, limits }) = &upload.s3 {
        text += &format!(
            "[upload.s3]\nendpoint = '{endpoint}'\nregion = '{region}'\nbucket = '{bucket}'\nprefix = '/{prefix}/'\n\
             access_key_file = '{}'\nsecret_key_file = '{}'\n",
            access_key_file.display(),
            secret_key_file.display()
        );
        text += &written_limits(limits);
    }
    text
}

/// The configuration as a person would write it, every key included.
fn written(config: &Config) -> String {
    let toml = |value: &dyn std::fmt::Display| toml::Value::from(value.to_string()).to_string();
    let mut text =
        format!("default_camera = {}\nlog = {}\n[storage]\n", toml(&config.default_camera), toml(&config.log));
    let storage = &config.storage;
    text += &format!("path = {}\n", toml(&storage.path.display()));
    text += &storage.max_bytes.map_or(String::new(), |bytes| format!("max_size = '{} MB'\n", bytes / 1_000_000));
    text += &storage.max_age_days.map_or(String::new(), |days| format!("max_age_days = {days}\n"));
    text += &storage.max_used.map_or(String::new(), |used| format!("max_used = {used}\n"));
    let web = &config.web;
    text += &format!(
        "[web]\nlisten = {}\nweb_app = {}\nhosts = {:?}\ninsecure_listen = {}\n",
        toml(&web.listen),
        web.web_app,
        web.hosts,
        web.insecure_listen
    );
    text += &format!("default_role = '{}'\n", web.default_role);
    if let Some(tls) = &web.listen_tls {
        text += &format!("[web.listen_tls]\naddress = '{}'\n", tls.address);
        let files = [("certificate", &tls.certificate), ("key", &tls.key), ("client_ca", &tls.client_ca)];
        for (key, path) in files.into_iter().chain(tls.crl.as_ref().map(|crl| ("crl", crl))) {
            text += &format!("{key} = {}\n", toml(&path.display()));
        }
    }
    text += &written_upload(&config.upload);
    for (name, camera) in &config.cameras {
        // A source is shown without what may be a secret in its address.
        let source = match &camera.source {
            Source::Http { url, .. } => url.clone(),
            source => source.to_string(),
        };
        text += &format!(
            "[cameras.{name}]\nlabel = {}\nsource = {}\nsize = '{}'\nfps = {}\nrotation = {}\nrecord_always = {}\nencoder = '{}'\n",
            toml(&camera.label),
            toml(&source),
            camera.size,
            camera.fps,
            camera.rotation,
            camera.record_always,
            format!("{:?}", camera.encoder).to_lowercase()
        );
        if let Source::Http { credentials_file: Some(file), .. } = &camera.source {
            text += &format!("credentials_file = {}\n", toml(&file.display()));
        }
        let (annotation, motion, disk) = (&camera.annotation, &camera.motion, &camera.disk);
        text += &format!(
            "[cameras.{name}.annotation]\nenabled = {}\ntime_format = {}\n",
            annotation.enabled,
            toml(&annotation.time_format)
        );
        text += &format!(
            "[cameras.{name}.motion]\nsensitivity = {}\nmin_trigger_area = {}\nrecording_padding_s = {}\n\
             max_event_time_s = {}\nmin_frames = {}\n[cameras.{name}.disk]\nkbit = {}\n",
            motion.sensitivity,
            motion.min_trigger_area,
            motion.recording_padding_s,
            motion.max_event_time_s,
            motion.min_frames,
            disk.kbit
        );
        text += &disk.size.map_or(String::new(), |size| format!("size = '{size}'\n"));
        text += &format!("[cameras.{name}.live]\nsize = '32x32'\nkbit = {}\n", camera.live.kbit);
        if let Some(upload) = &camera.upload {
            let names: Vec<_> = upload.destinations.iter().map(|destination| destination.name()).collect();
            text += &format!(
                "[cameras.{name}.upload]\nkbit = {}\nfile_chunk_kb = {}\nchunk_seconds = {}\nseal_trigger = {}\n\
                 destinations = {names:?}\n",
                upload.stream.kbit, upload.file_chunk_kb, upload.chunk_seconds, upload.seal_trigger
            );
            text += &upload.stream.size.map_or(String::new(), |size| format!("size = '{size}'\n"));
            let key = upload.public_key_path.as_ref();
            text += &key.map_or(String::new(), |key| format!("public_key_path = '{}'\n", key.display()));
        }
        for zone in &camera.zones {
            text += &format!(
                "[[cameras.{name}.zones]]\nname = {}\ninclude = {}\npoints = {:?}\n",
                toml(&zone.name),
                zone.include,
                zone.points
            );
        }
    }
    text
}

/// Loads, and when it does not, says why in a bounded number of lines.
fn answers(bytes: &[u8]) {
    if let Err(faults) = Config::parse(Path::new("/w.toml"), bytes) {
        assert!((1..=200).contains(&faults.faults.len()), "{}", faults.faults.len());
        assert!(!faults.to_string().is_empty());
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_loader_down(bytes in vec(any::<u8>(), 0..200)) {
        answers(&bytes);
    }

    #[test]
    fn no_text_that_resembles_a_configuration_brings_the_loader_down(text in resembling()) {
        answers(text.as_bytes());
    }

    #[test]
    fn a_configuration_that_is_written_is_read_as_the_same(config in config()) {
        let text = written(&config);
        match Config::parse(Path::new("/w.toml"), text.as_bytes()) {
            Ok(read) => prop_assert_eq!(read, config),
            Err(faults) => prop_assert!(false, "{}\n{}", faults, text),
        }
    }
}
