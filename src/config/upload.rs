//! What the owner declares about uploads: where they go, how much line and disk they may take, and what of a camera is
//! uploaded. The checked types and their defaults; what makes a value acceptable is in `check_upload`.

use std::path::PathBuf;

use super::StreamConfig;
use crate::media::Resolution;

/// Sizes of an uploaded file, in KiB of video.
pub const FILE_CHUNK_KB: std::ops::RangeInclusive<u32> = 64..=65_536;

/// Where uploads go, and how much may wait.
#[derive(Clone, Debug, PartialEq)]
pub struct UploadConfig {
    /// What waits takes at most this much of the disk.
    pub max_spool_bytes: u64,
    /// Certification authorities (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// Dropbox.
    pub dropbox: Option<DropboxConfig>,
    /// A store that speaks S3.
    pub s3: Option<S3Config>,
}

impl Default for UploadConfig {
    fn default() -> Self {
        Self { max_spool_bytes: 1_000_000_000, ca_file: None, dropbox: None, s3: None }
    }
}

impl UploadConfig {
    /// The stores that are configured.
    pub fn destinations(&self) -> Vec<Destination> {
        let dropbox = self.dropbox.as_ref().map(|_| Destination::Dropbox);
        dropbox.into_iter().chain(self.s3.as_ref().map(|_| Destination::S3)).collect()
    }
}

/// A store off site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Destination {
    /// `[upload.dropbox]`
    Dropbox,
    /// `[upload.s3]`
    S3,
}

impl Destination {
    /// As a configuration, a folder and a metric name it.
    pub fn name(self) -> &'static str {
        match self {
            Destination::Dropbox => "dropbox",
            Destination::S3 => "s3",
        }
    }
}

/// What uploads to one store may take of the line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// 1000 bytes a second, on average.
    pub max_kb_s: Option<u32>,
    /// Bytes in a calendar day, local time.
    pub max_day_bytes: Option<u64>,
}

/// A Dropbox account.
#[derive(Clone, Debug, PartialEq)]
pub struct DropboxConfig {
    /// How it lets us in.
    pub auth: DropboxAuth,
    /// Base URL of the calls that carry no files; without a slash at the end.
    pub api_url: String,
    /// Base URL of the calls that carry files; without a slash at the end.
    pub content_url: String,
    /// For metered lines.
    pub limits: Limits,
}

impl DropboxConfig {
    /// See [`DropboxConfig::api_url`].
    pub const API_URL: &str = "https://api.dropboxapi.com";
    /// See [`DropboxConfig::content_url`].
    pub const CONTENT_URL: &str = "https://content.dropboxapi.com";

    /// Dropbox itself, without limits.
    pub fn new(auth: DropboxAuth) -> Self {
        Self {
            auth,
            api_url: Self::API_URL.to_owned(),
            content_url: Self::CONTENT_URL.to_owned(),
            limits: Limits::default(),
        }
    }
}

/// How Dropbox lets us in.
#[derive(Clone, Debug, PartialEq)]
pub enum DropboxAuth {
    /// OAuth 2 with a refresh token, from which access tokens of a few hours are got.
    Refresh {
        /// The app's key.
        app_key: String,
        /// Holds the refresh token.
        refresh_token_file: PathBuf,
        /// Holds the app's secret, where the token was got with it rather than with PKCE.
        app_secret_file: Option<PathBuf>,
    },
    /// An access token that stays as it is, such as 1.x had.
    Token {
        /// Holds the access token.
        token_file: PathBuf,
    },
}

/// A bucket of a store that speaks S3.
#[derive(Clone, Debug, PartialEq)]
pub struct S3Config {
    /// URL of the service, without the bucket.
    pub endpoint: String,
    /// Its region.
    pub region: String,
    /// The bucket, which exists.
    pub bucket: String,
    /// Goes before every path; neither begins nor ends with a slash, may be empty.
    pub prefix: String,
    /// Holds the access key's id.
    pub access_key_file: PathBuf,
    /// Holds the secret access key.
    pub secret_key_file: PathBuf,
    /// For metered lines.
    pub limits: Limits,
}

impl S3Config {
    /// The region that services of other makers than Amazon take.
    pub const REGION: &str = "us-east-1";
}

/// What of a camera is uploaded.
#[derive(Clone, Debug, PartialEq)]
pub struct CameraUpload {
    /// The encoding that is uploaded.
    pub stream: StreamConfig,
    /// KiB of video in a file; one of [`FILE_CHUNK_KB`].
    pub file_chunk_kb: u32,
    /// A file that is not full goes after this many seconds.
    pub chunk_seconds: u32,
    /// The key that everything is sealed with (PEM); `None` uploads in clear.
    pub public_key_path: Option<PathBuf>,
    /// Whether the trigger's picture is sealed too.
    pub seal_trigger: bool,
    /// Where it goes: at least one, each once.
    pub destinations: Vec<Destination>,
}

impl CameraUpload {
    /// Every default, to these stores.
    pub fn new(destinations: Vec<Destination>) -> Self {
        Self {
            stream: StreamConfig { size: Some(Resolution::new(820, 616)), kbit: 1000 },
            file_chunk_kb: 1024,
            chunk_seconds: 10,
            public_key_path: None,
            seal_trigger: true,
            destinations,
        }
    }

    /// Bytes of video in a file at most.
    pub fn chunk_bytes(&self) -> usize {
        self.file_chunk_kb as usize * 1024
    }
}
