//! `watchtower check-config`: says every fault of a configuration, or what the daemon would do with it.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::{CliError, uploads};
use crate::camera::Source;
use crate::config::{CameraConfig, CameraUpload, Config, Storage, bytes};

/// Arguments of `check-config`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The configuration (TOML)
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Checks a configuration and says what it means. Starts nothing and needs none of the devices.
///
/// # Errors
/// Every fault of the file.
pub fn run(args: Args) -> Result<(), CliError> {
    let config = Config::load(&args.file).map_err(|faults| {
        let count = faults.faults.len();
        let plural = if count == 1 { "" } else { "s" };
        CliError::Config(format!("{} has {count} fault{plural}:\n{faults}", args.file.display()))
    })?;
    let mut text = summary(&config);
    for remark in remarks(&config) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "note: {remark}");
    }
    std::io::stdout()
        .write_all(text.as_bytes())
        .map_err(|e| CliError::Failed(format!("the summary cannot be written: {e}")))
}

/// What the daemon would do, for a person to compare with what was meant.
fn summary(config: &Config) -> String {
    let web_app = if config.web.web_app { "with the web app" } else { "API only" };
    let mut text = format!(
        "storage: {}, {}\nweb: {}, {web_app}\n",
        config.storage.path.display(),
        kept(&config.storage),
        config.web.listen
    );
    if let Some(tls) = &config.web.listen_tls {
        let revoked = if tls.crl.is_some() { "" } else { ", none of them revocable" };
        let _ = writeln!(text, "web: {} by TLS, for certificates of {}{revoked}", tls.address, tls.client_ca.display());
    }
    for camera in config.cameras.values() {
        let default = if camera.name == config.default_camera { " (served at /)" } else { "" };
        let _ = write!(text, "camera {}{default}: {}", camera.name, camera_summary(camera));
    }
    text
}

fn kept(storage: &Storage) -> String {
    let limits: Vec<String> = [
        storage.max_bytes.map(|max| format!("at most {}", bytes::show(max))),
        storage.max_age_days.map(|days| format!("for {days} days")),
        storage.max_used.map(|used| format!("until the disk is {:.0} % full", used * 100.0)),
    ]
    .into_iter()
    .flatten()
    .collect();
    match limits.is_empty() {
        true => "recordings are never deleted".to_owned(),
        false => format!("recordings are kept {}", limits.join(", ")),
    }
}

fn camera_summary(camera: &CameraConfig) -> String {
    let motion = &camera.motion;
    let disk = camera.disk.size.unwrap_or(camera.size);
    let when = match camera.record_always {
        true => format!("all the time, in pieces of {} s", motion.max_event_time_s),
        false => format!(
            "motion (sensitivity {}, at least {} % of the picture, {} zones), {} s before and after, at most {} s",
            motion.sensitivity,
            motion.min_trigger_area * 100.0,
            camera.zones.len(),
            motion.recording_padding_s,
            motion.max_event_time_s
        ),
    };
    let upload = camera.upload.as_ref().map_or(String::new(), upload_summary);
    format!(
        "{}, {} at {} fps\n  records {when}\n  to disk at {disk}, {} kbit/s\n{upload}",
        camera.source, camera.size, camera.fps, camera.disk.kbit
    )
}

fn upload_summary(upload: &CameraUpload) -> String {
    let stores: Vec<_> = upload.destinations.iter().map(|destination| destination.name()).collect();
    let size = upload.stream.size.map_or(String::new(), |size| format!(" at {size},"));
    let sealed = match &upload.public_key_path {
        Some(key) => format!("sealed with {}", key.display()),
        None => "in clear".to_owned(),
    };
    format!("  uploads{size} {} kbit/s, to {}, {sealed}\n", upload.stream.kbit, stores.join(" and "))
}

/// What is right as a configuration and may still surprise on this machine.
fn remarks(config: &Config) -> Vec<String> {
    let mut remarks = Vec::new();
    if config.storage.max_bytes.is_none() && config.storage.max_used.is_none() {
        remarks.push(
            "nothing limits the space that recordings take: when the disk is full, recording stops. Set storage.max_size or \
             storage.max_used"
                .to_owned(),
        );
    }
    if let Some(tls) = &config.web.listen_tls {
        let files = [("certificate", &tls.certificate), ("key", &tls.key), ("client_ca", &tls.client_ca)];
        for (what, path) in files.into_iter().chain(tls.crl.as_ref().map(|crl| ("crl", crl))) {
            if let Err(e) = path.metadata() {
                remarks.push(format!("web.listen_tls.{what}: {} is not there now: {e}", path.display()));
            }
        }
    }
    for camera in config.cameras.values() {
        if let Some(upload) = &camera.upload {
            let remark = match &upload.public_key_path {
                None => {
                    Some("are in clear: whoever gets into the store sees them; public_key_path seals them".to_owned())
                }
                Some(path) => {
                    uploads::read_key(path).err().map(|reason| format!("cannot begin: {} {reason}", path.display()))
                }
            };
            remarks.extend(remark.map(|remark| format!("cameras.{}: uploads {remark}", camera.name)));
        }
        let (what, path): (&str, &Path) = match &camera.source {
            Source::V4l2(device) => ("device", device),
            Source::Clip { path, .. } => ("clip", path),
            Source::Http { credentials_file: Some(path), .. } => ("credentials file", path),
            Source::Http { credentials_file: None, .. } | Source::Command(_) | Source::Pattern => continue,
        };
        if let Err(e) = path.metadata() {
            remarks.push(format!("cameras.{}: the {what} {} is not there now: {e}", camera.name, path.display()));
        }
    }
    remarks
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(text: &str) -> Result<(), CliError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("w.toml");
        std::fs::write(&file, text).unwrap();
        run(Args { file })
    }

    #[test]
    fn faults_are_counted_and_end_with_78() {
        let error = check("[cameras.front]\nfps = 0\n").unwrap_err();
        assert_eq!(error.exit_code(), 78);
        let text = error.to_string();
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.lines().next().unwrap().ends_with("w.toml has 2 faults:"), "{text}");
        assert!(text.contains("w.toml:2: cameras.front.fps = 0: must be between 1 and 120"), "{text}");
        assert!(check("[cameras.front]\nsource = 'pattern'\n").is_ok());
    }

    #[test]
    fn the_summary_says_what_will_be_done() {
        let text = r#"
            default_camera = "front"
            storage = { path = "/srv/cctv", max_size = "20 GB", max_age_days = 30 }
            web = { listen = "systemd", web_app = false }
            [cameras.front]
            source = "v4l2:/nowhere/video7"
            [cameras.back]
            source = "pattern"
            size = "640x480"
            record_always = true
            disk = { size = "320x240", kbit = 500 }
            upload = { public_key_path = "/nowhere/public.pem" }
            [upload.dropbox]
            token_file = "token"
        "#;
        let config = Config::parse(Path::new("/w.toml"), text.as_bytes()).unwrap();
        assert_eq!(
            summary(&config),
            "storage: /srv/cctv, recordings are kept at most 20 GB, for 30 days\n\
             web: systemd, API only\n\
             camera back: pattern, 640x480 at 15 fps\n\
             \x20 records all the time, in pieces of 60 s\n\
             \x20 to disk at 320x240, 500 kbit/s\n\
             \x20 uploads at 820x616, 1000 kbit/s, to dropbox, sealed with /nowhere/public.pem\n\
             camera front (served at /): v4l2:/nowhere/video7, 1280x720 at 15 fps\n\
             \x20 records motion (sensitivity 0.8, at least 0.1 % of the picture, 0 zones), 8 s before and after, at most 60 s\n\
             \x20 to disk at 1280x720, 2000 kbit/s\n"
        );
        let remarks = remarks(&config);
        assert_eq!(remarks.len(), 2, "{remarks:?}");
        assert!(remarks[0].starts_with("cameras.back: uploads cannot begin: /nowhere/public.pem cannot be read: "));
        assert!(remarks[1].starts_with("cameras.front: the device /nowhere/video7 is not there now: "), "{remarks:?}");
    }

    #[test]
    fn tls_is_summed_up_and_what_it_lacks_is_said() {
        let text =
            b"storage.max_size = '1 GB'\n[cameras.a]\nsource = 'pattern'\n[web.listen_tls]\naddress = '[::]:8443'\n\
            certificate = '/nowhere/a.pem'\nkey = '/dev/null'\nclient_ca = '/dev/null'\n";
        let config = Config::parse(Path::new("/w.toml"), text).unwrap();
        let said = summary(&config);
        assert!(
            said.contains("web: [::]:8443 by TLS, for certificates of /dev/null, none of them revocable\n"),
            "{said}"
        );
        let remarks = remarks(&config);
        assert!(
            remarks.len() == 1
                && remarks[0].starts_with("web.listen_tls.certificate: /nowhere/a.pem is not there now: ")
        );
    }

    #[test]
    fn without_a_limit_the_owner_is_warned() {
        let config = Config::parse(Path::new("/w.toml"), b"[cameras.a]\nsource = 'pattern'").unwrap();
        assert!(remarks(&config)[0].contains("Set storage.max_size"));
        assert!(summary(&config).contains("recordings are never deleted"));
    }
}
