//! Any store that speaks S3, by the crate `object_store`: it signs and speaks; what is a conflict and what an error means
//! is decided here.
//!
//! `object_store` rather than `opendal`: of the same age and upkeep (Apache Arrow), it shares our reqwest and ring, where
//! `opendal` 0.59 brings aws-lc, QUIC and a second jiff, some 50 crates instead of 16; and it takes a transport of ours, which
//! tells a slow line from a dead one and sees `Retry-After`. Its own retries are off: those are the queue's.
//!
//! Nothing is ever replaced: a name is looked at first, then taken with `If-None-Match: *`, which a store that ignores it
//! cannot turn into a loss unless somebody else takes the name in between. The manifest goes with `If-Match` and its own ETag.
//! The transport is in `line`.

mod line;

use std::fs;
use std::path::{Path as FilePath, PathBuf};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, RetryConfig, UpdateVersion};
use tokio::runtime::Runtime;

use super::https::{self, Https, Meter};
use super::remote::{Put, PutError, Remote, Stored};
use super::suffix;
use line::{Line, Said};

/// What it takes to use a bucket.
#[derive(Clone, Debug)]
pub struct Options {
    /// `https://HOST` of the service, without the bucket; `http` will do for one in the owner's network, as the keys sign and
    /// are not sent.
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
    /// Certification authorities (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// A line on which nothing moves for so long is given up.
    pub stall: Duration,
}

/// A bucket.
#[derive(Debug)]
pub struct S3 {
    runtime: Runtime,
    https: Https,
    plain_http: bool,
    options: Options,
    sent_bytes: Meter,
}

impl S3 {
    /// Makes no connection and reads no secret yet.
    ///
    /// # Errors
    /// A URL that is none, authorities that cannot be read, in words for the owner.
    pub fn new(options: Options) -> Result<Self, String> {
        let url = https::url(&options.endpoint).map_err(|error| format!("S3's endpoint {error}"))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(|error| format!("no event loop: {error}"))?,
            https: Https::new(options.ca_file.as_deref())?,
            plain_http: url.scheme() == "http",
            options,
            sent_bytes: Meter::default(),
        })
    }

    /// With the keys as the files hold them now, so a new one counts without a restart.
    fn store(&self, line: &Line) -> Result<AmazonS3, PutError> {
        let options = &self.options;
        AmazonS3Builder::new()
            .with_endpoint(options.endpoint.trim_end_matches('/'))
            .with_region(&options.region)
            .with_bucket_name(&options.bucket)
            .with_access_key_id(key(&options.access_key_file)?)
            .with_secret_access_key(key(&options.secret_key_file)?)
            .with_allow_http(self.plain_http)
            .with_http_connector(line.clone())
            .with_retry(RetryConfig { max_retries: 0, ..RetryConfig::default() })
            .build()
            .map_err(|error| PutError::Account { cause: format!("S3: {error}") })
    }
}

impl Remote for S3 {
    fn put(&mut self, path: &str, bytes: Bytes, how: &Put) -> Result<Stored, PutError> {
        let revision = match how {
            Put::Replace { revision } => revision.as_deref(),
            Put::Add => None,
        };
        let client = self.https.client().map_err(|cause| PutError::Account { cause: format!("S3: {cause}") })?;
        let line = Line::new(client, self.options.stall, self.sent_bytes.clone());
        let bucket = Bucket { store: self.store(&line)?, line: &line };
        self.runtime.block_on(async {
            for name in suffix::candidates(path) {
                let key = format!("{}{name}", self.options.prefix);
                let key = Path::parse(&key).map_err(|error| PutError::Refused { cause: format!("S3: {error}") })?;
                if let Outcome::Stored { etag } = bucket.put(&key, &bytes, revision).await? {
                    return Ok(Stored { path: name, revision: etag });
                }
            }
            Err(PutError::Refused { cause: format!("{path} and all names like it are taken by other files") })
        })
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }
}

/// A bucket, opened with the keys of now.
struct Bucket<'a> {
    store: AmazonS3,
    line: &'a Line,
}

/// What a name holds.
enum Name {
    Free,
    Taken {
        etag: Option<String>,
        bytes: u64,
    },
    /// The store does not say: only who may list the bucket is told.
    Unknown,
}

/// What became of a name.
enum Outcome {
    Stored {
        etag: Option<String>,
    },
    /// Something else has it.
    Taken,
}

impl Bucket<'_> {
    /// Stores it under a name.
    async fn put(&self, key: &Path, bytes: &Bytes, revision: Option<&str>) -> Result<Outcome, PutError> {
        let name = self.look(key).await?;
        let mode = match (&name, revision) {
            (Name::Taken { etag: Some(etag), .. }, Some(revision)) if etag == revision => update(revision),
            (Name::Unknown, Some(revision)) => update(revision),
            (Name::Free | Name::Unknown, _) => PutMode::Create,
            (Name::Taken { bytes: there, .. }, _) if *there != bytes.len() as u64 => return Ok(Outcome::Taken),
            (Name::Taken { .. }, _) => return self.same(key, bytes).await,
        };
        let put = |mode| self.store.put_opts(key, bytes.clone().into(), PutOptions::from(mode));
        let mut stored = put(mode).await;
        let unconditional = stored.is_err() && self.line.said().is_some_and(|said| said.knows_no_conditions());
        if unconditional && !matches!(name, Name::Unknown) {
            // The look has shown that nothing is lost.
            stored = put(PutMode::Overwrite).await;
        }
        match stored {
            Ok(put) => Ok(Outcome::Stored { etag: put.e_tag }),
            // Taken since the look, or by what an answer was lost for.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => self.same(key, bytes).await,
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn look(&self, key: &Path) -> Result<Name, PutError> {
        match self.store.head(key).await {
            Ok(meta) => Ok(Name::Taken { etag: meta.e_tag, bytes: meta.size }),
            Err(Error::NotFound { .. }) => Ok(Name::Free),
            // An answer to HEAD has no body, so that to the write has to say why.
            Err(_) if self.line.said().is_some_and(|said| said.blames_request()) => Ok(Name::Unknown),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Whether what has the name is these bytes.
    async fn same(&self, key: &Path, bytes: &Bytes) -> Result<Outcome, PutError> {
        self.line.expect(bytes.len());
        let there = match self.store.get(key).await {
            Ok(there) => there,
            // Not ours to read.
            Err(Error::PermissionDenied { .. }) => return Ok(Outcome::Taken),
            Err(error) => return Err(self.failed(&error)),
        };
        let etag = there.meta.e_tag.clone();
        let same = there.bytes().await.map_err(|error| self.failed(&error))? == *bytes;
        Ok(if same { Outcome::Stored { etag } } else { Outcome::Taken })
    }

    fn failed(&self, error: &Error) -> PutError {
        self.line
            .said()
            .map_or_else(|| PutError::Later { after: None, cause: format!("S3: {error}") }, Said::into_error)
    }
}

fn update(revision: &str) -> PutMode {
    PutMode::Update(UpdateVersion { e_tag: Some(revision.to_owned()), version: None })
}

/// The first line of a file.
fn key(file: &FilePath) -> Result<String, PutError> {
    let account = |cause| PutError::Account { cause };
    let text = fs::read_to_string(file).map_err(|error| account(format!("{}: {error}", file.display())))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(account(format!("{} is empty", file.display()))),
    }
}
