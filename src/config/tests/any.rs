//! Whatever is in a file, the loader answers; and a configuration that is written is read as the same.

use std::path::{Path, PathBuf};

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;

use crate::camera::Source;
use crate::config::{
    Annotation, CameraConfig, Config, EncoderChoice, Listen, MotionConfig, Storage, StreamConfig, Web, Zone,
};
use crate::media::Resolution;

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
    (listen, any::<bool>(), vec("[a-z0-9]([a-z0-9-]{0,8}[a-z0-9])?(\\.[a-z]{1,5}){0,2}", 0..3)).prop_map(
        |(listen, web_app, hosts)| {
            let insecure_listen = matches!(&listen, Listen::Tcp(address) if !address.ip().is_loopback());
            Web { listen, web_app, hosts, insecure_listen }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let cameras = btree_map("[a-z0-9-]{1,32}", Just(()), 1..4)
        .prop_flat_map(|names| names.into_keys().map(camera).collect::<Vec<_>>());
    (storage(), web(), cameras, any::<prop::sample::Index>()).prop_map(|(storage, web, cameras, which)| Config {
        storage,
        web,
        default_camera: cameras[which.index(cameras.len())].name.clone(),
        cameras: cameras.into_iter().map(|camera| (camera.name.clone(), camera)).collect(),
        log: "warn,watchtower=debug".into(),
    })
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
