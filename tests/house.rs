//! The rules of the house that a compiler does not check: who may import whom, which crate is named where, where
//! `unsafe` may stand, how long a file may be.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Layers from the bottom up. A module may use its own layer and those before it; in the layer of edges, only itself.
const LAYERS: &[(&str, &[&str])] = &[
    ("data", &["media", "role", "settings", "clock", "event"]),
    ("pure: pictures and streams", &["denoise", "feed", "h264", "mjpeg", "mp4", "overlay", "picture", "ring", "scale"]),
    ("camera", &["camera"]),
    ("config", &["config"]),
    (
        "pure: decisions and formats",
        &[
            "motion",
            "recording/policy",
            "recording/index",
            "upload/cut",
            "upload/item",
            "upload/join",
            "upload/manifest",
            "upload/seal",
            "upload/suffix",
        ],
    ),
    ("edges", &["codec", "fan", "machine", "pki", "recording", "serial", "upload"]),
    ("pipeline", &["pipeline", "replay"]),
    ("web", &["web"]),
    ("cli", &["cli"]),
    ("main", &["main"]),
];

/// A device, codec or protocol crate is named in one place, so that it can be replaced there.
const ONE_PLACE: &[(&str, &str)] = &[
    ("openh264", "codec/openh264"),
    ("openh264_sys2", "codec/openh264"),
    ("turbojpeg", "codec/jpeg"),
    ("zune_jpeg", "codec/jpeg"),
    ("jpeg_encoder", "codec/jpeg"),
    ("image", "codec/still"),
    ("v4l", "camera/v4l2"),
    // One looks, one uploads.
    ("reqwest", "camera"),
    ("reqwest", "upload/https"),
    ("reqwest", "upload/dropbox"),
    ("reqwest", "upload/s3/line"),
    ("object_store", "upload/s3"),
    ("quick_xml", "upload/s3/line"),
    ("serialport", "serial/port"),
    ("rppal", "fan"),
    ("gpiocdev", "fan"),
    // One reads, one writes.
    ("shiguredo_mp4", "camera/clip"),
    ("shiguredo_mp4", "mp4"),
    ("headers", "web/video"),
    ("http_range_header", "web/video"),
    ("fernet", "upload/seal"),
    ("rsa", "upload/seal"),
    ("x509_cert", "upload/seal"),
    ("rcgen", "pki"),
    ("x509_parser", "pki"),
    ("p12_keystore", "pki"),
    ("tokio_rustls", "web/tls"),
    ("axum", "web"),
    ("clap", "cli"),
];

/// Imports against the rule, each with its reason.
const EXCEPTIONS: &[(&str, &str)] = &[
    // A clip is a camera that gives raw pictures: the decoding of a file that is none of the pipeline's streams stays in it.
    ("camera/clip/reader", "codec/openh264/Decoder"),
];

const UNSAFE_MAY_STAND_IN: &[&str] = &["codec/m2m/device", "codec/openh264"];

/// Lines of a file without its tests.
const LONGEST: usize = 500;

fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, root: &Path, found: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).expect("src can be read") {
            let path: PathBuf = entry.expect("src can be read").path();
            if path.is_dir() {
                walk(&path, root, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path.strip_prefix(root).expect("below src").with_extension("");
                let name = name.to_string_lossy().trim_end_matches("/mod").to_owned();
                found.insert(name, fs::read_to_string(&path).expect("UTF-8"));
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeMap::new();
    walk(&root, &root, &mut found);
    found.remove("lib");
    found
}

/// A file without its unit tests, which stand at its end.
fn without_tests(text: &str) -> &str {
    text.split("\n#[cfg(test)]").next().unwrap_or(text)
}

fn is_below(module: &str, folder: &str) -> bool {
    module == folder || module.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// The longest entry of the table that covers a module: its layer's number and its own name.
fn layer(module: &str) -> Option<(usize, &'static str)> {
    let entries = LAYERS.iter().enumerate().flat_map(|(n, (_, names))| names.iter().map(move |name| (n, *name)));
    entries.filter(|(_, name)| is_below(module, name)).max_by_key(|(_, name)| name.len())
}

/// Paths behind every `crate::` in the code, as `a/b`.
fn imports(text: &str) -> Vec<String> {
    let code: String =
        without_tests(text).lines().filter(|l| !l.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for rest in code.split("crate::").skip(1) {
        let path: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_' || *c == ':').collect();
        let path = path.trim_end_matches(':').replace("::", "/");
        if !path.is_empty() {
            found.push(path);
        } else if let Some(group) = rest.strip_prefix('{').and_then(|g| g.split('}').next()) {
            found.extend(group.split(',').map(|p| p.trim().replace("::", "/")).filter(|p| !p.is_empty()));
        }
    }
    found
}

#[test]
fn every_module_has_a_layer() {
    let lost: Vec<_> = sources().into_keys().filter(|module| layer(module).is_none()).collect();
    assert!(lost.is_empty(), "give these a layer in tests/house.rs: {lost:?}");
}

#[test]
fn imports_go_down_only() {
    let mut breaches = Vec::new();
    for (module, text) in sources() {
        let Some((own, own_name)) = layer(&module) else { continue };
        for import in imports(&text) {
            let Some((other, other_name)) = layer(&import) else { continue };
            let sideways = LAYERS[own].0 == "edges" && other == own && other_name != own_name;
            if (other > own || sideways) && !EXCEPTIONS.contains(&(module.as_str(), import.as_str())) {
                breaches.push(format!("{module} uses {import}"));
            }
        }
    }
    assert!(breaches.is_empty(), "imports that go up or across:\n{}", breaches.join("\n"));
}

#[test]
fn a_replaceable_crate_is_named_in_one_place() {
    let mut breaches = Vec::new();
    for (module, text) in sources() {
        let code = without_tests(&text);
        for (name, _) in ONE_PLACE {
            let named = [format!("use {name}::"), format!(" {name}::"), format!("({name}::"), format!("<{name}::")];
            let lines = code.lines().filter(|l| !l.trim_start().starts_with("//"));
            let homes: Vec<_> = ONE_PLACE.iter().filter(|(other, _)| other == name).map(|(_, home)| *home).collect();
            let at_home = homes.iter().any(|home| module.starts_with(home));
            if !at_home && lines.clone().any(|l| named.iter().any(|n| l.contains(n.as_str()))) {
                breaches.push(format!("{module} names {name}, which belongs to {homes:?}"));
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn unsafe_stands_in_few_files() {
    let allowed = |module: &str| UNSAFE_MAY_STAND_IN.iter().any(|home| module.starts_with(home));
    let breaches: Vec<_> = sources()
        .into_iter()
        .filter(|(module, text)| !allowed(module) && (text.contains("unsafe {") || text.contains("allow(unsafe_code)")))
        .map(|(module, _)| module)
        .collect();
    assert!(breaches.is_empty(), "{breaches:?}");
}

#[test]
fn a_file_says_what_belongs_in_it_and_stays_short() {
    for (module, text) in sources() {
        assert!(text.starts_with("//! "), "src/{module}.rs does not open with what belongs in it");
        let lines = without_tests(&text).lines().count();
        assert!(lines <= LONGEST, "src/{module}.rs has {lines} lines without its tests: split it by noun");
    }
}
