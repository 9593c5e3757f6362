//! Uploads as the daemon runs them: keys, spool and stores of a configuration.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::CliError;
use crate::config::{CameraConfig, CameraUpload, Config, Destination, DropboxConfig, S3Config};
use crate::pipeline::{self, Sink};
use crate::upload::seal::PublicKey;
use crate::upload::spool::Spool;
use crate::upload::worker::Patience;
use crate::upload::{Store, Uploads, dropbox, s3};

/// A line on which nothing moves for so long is given up.
const STALL: std::time::Duration = std::time::Duration::from_secs(120);

/// The sinks of the cameras that upload, by camera, and what sends their files.
pub(super) struct Started {
    pub(super) uploads: Arc<Uploads>,
    /// By camera. Without a key in clear; the cause where the key is not there, and then nothing goes up.
    keys: Vec<(String, Result<Option<PublicKey>, String>)>,
}

/// Opens the spool and starts sending what the last run left; `None` where nothing is configured.
///
/// # Errors
/// A key that cannot be used, a spool that cannot be opened.
pub(super) fn start(config: &Config) -> Result<Option<Started>, CliError> {
    let destinations = config.upload.destinations();
    if destinations.is_empty() {
        return Ok(None);
    }
    let uploading = config.cameras.values().filter_map(|camera| Some((camera, camera.upload.as_ref()?)));
    let keys = uploading.map(|(camera, upload)| Ok((camera.name.clone(), key(camera, upload)?)));
    let keys = keys.collect::<Result<_, CliError>>()?;
    let folder = config.storage.path.join("spool");
    let failed = |error: std::io::Error| CliError::Failed(format!("spool {}: {error}", folder.display()));
    let spool = Arc::new(Spool::open(&folder, config.upload.max_spool_bytes, &destinations).map_err(failed)?);
    let stores = stores(config)?;
    let uploads = Uploads::start(spool, &folder, stores, Patience::default()).map_err(failed)?;
    Ok(Some(Started { uploads: Arc::new(uploads), keys }))
}

impl Started {
    /// What a camera's pipeline feeds, where it uploads.
    pub(super) fn sink(&self, camera: &CameraConfig) -> Option<Sink> {
        let upload = camera.upload.as_ref()?;
        Some(match self.keys.iter().find(|(name, _)| *name == camera.name)?.1.clone() {
            Ok(key) => pipeline::upload::sink(camera, upload, key, &self.uploads),
            Err(cause) => Sink {
                name: "upload",
                stream: upload.stream.clone(),
                follow: Box::new(|_| {}),
                fault: Box::new(move || Some(cause.clone())),
            },
        })
    }
}

fn stores(config: &Config) -> Result<Vec<Store>, CliError> {
    let mut stores = Vec::new();
    let ca_file = || config.upload.ca_file.clone();
    if let Some(config) = &config.upload.dropbox {
        let remote = dropbox::Dropbox::new(dropbox_options(config, ca_file()))
            .map_err(|reason| CliError::Config(format!("upload.dropbox: {reason}")))?;
        stores.push(Store { destination: Destination::Dropbox, limits: config.limits, remote: Box::new(remote) });
    }
    if let Some(config) = &config.upload.s3 {
        let remote = s3::S3::new(s3_options(config, ca_file()))
            .map_err(|reason| CliError::Config(format!("upload.s3: {reason}")))?;
        stores.push(Store { destination: Destination::S3, limits: config.limits, remote: Box::new(remote) });
    }
    Ok(stores)
}

fn dropbox_options(config: &DropboxConfig, ca_file: Option<PathBuf>) -> dropbox::Options {
    let DropboxConfig { auth, api_url, content_url, limits: _ } = config.clone();
    dropbox::Options { api_url, content_url, ca_file, ..dropbox::Options::new(auth) }
}

fn s3_options(config: &S3Config, ca_file: Option<PathBuf>) -> s3::Options {
    let S3Config { endpoint, region, bucket, prefix, access_key_file, secret_key_file, limits: _ } = config.clone();
    s3::Options { endpoint, region, bucket, prefix, access_key_file, secret_key_file, ca_file, stall: STALL }
}

/// A file that is not there, or has nothing in it yet, does not keep the camera from recording.
fn key(camera: &CameraConfig, upload: &CameraUpload) -> Result<Result<Option<PublicKey>, String>, CliError> {
    let Some(path) = &upload.public_key_path else {
        tracing::warn!(
            camera = camera.name,
            "uploads are in clear: whoever gets into the store sees them; public_key_path seals them"
        );
        return Ok(Ok(None));
    };
    let about = |reason| format!("cameras.{}.upload.public_key_path: {} {reason}", camera.name, path.display());
    if std::fs::read_to_string(path).map_or(true, |text| text.trim().is_empty()) {
        let error = about("cannot be read or is empty: nothing is uploaded until it is there at a start".to_owned());
        tracing::error!("{error}");
        return Ok(Err("nothing is uploaded: the public key is not there".to_owned()));
    }
    read_key(path).map(|key| Ok(Some(key))).map_err(|reason| CliError::Config(about(reason)))
}

/// The key in a file, or what is wrong with it: the text continues "FILE …".
pub(super) fn read_key(path: &Path) -> Result<PublicKey, String> {
    let pem = std::fs::read_to_string(path).map_err(|error| format!("cannot be read: {error}"))?;
    PublicKey::from_pem(&pem).map_err(|error| error.to_string())
}
