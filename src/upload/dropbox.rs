//! Dropbox as a store: `files/upload` of its HTTP API, version 2.
//!
//! Files go up with mode `add` and without `autorename`: the same bytes again are no conflict to Dropbox, so a repeat after a lost
//! answer is harmless, and other bytes never replace what is there. The manifest goes with `update` and the revision of our
//! own version. How we are let in is in `token` and `login`; what an answer means is in `answer`.
//! Source: the "files/upload" and "OAuth Guide" pages of Dropbox's HTTP documentation.

mod answer;
pub mod login;
mod token;

use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use reqwest::{Client, Url};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

use super::https::{self, Https, Meter};
use super::remote::{Put, PutError, Remote, Stored};
use super::suffix;
use crate::config::{DropboxAuth, DropboxConfig};
use answer::Verdict;
use token::Tokens;

/// Blocks of the hash that Dropbox computes of a file.
const HASH_BLOCK_BYTES: usize = 4 << 20;

/// What it takes to use an account.
#[derive(Clone, Debug)]
pub struct Options {
    /// How we are let in. Secrets are read from their files whenever they are needed, so a new one counts without a restart.
    pub auth: DropboxAuth,
    /// `https://HOST`: tokens are got there.
    pub api_url: String,
    /// `https://HOST`: files go there.
    pub content_url: String,
    /// Certification authorities (PEM) to trust besides the system's.
    pub ca_file: Option<PathBuf>,
    /// A line on which nothing moves for so long is given up.
    pub stall: Duration,
}

impl Options {
    /// Dropbox itself.
    pub fn new(auth: DropboxAuth) -> Self {
        Self {
            auth,
            api_url: DropboxConfig::API_URL.to_owned(),
            content_url: DropboxConfig::CONTENT_URL.to_owned(),
            ca_file: None,
            stall: Duration::from_secs(120),
        }
    }
}

/// An account.
#[derive(Debug)]
pub struct Dropbox {
    runtime: Runtime,
    https: Https,
    upload_url: Url,
    tokens: Tokens,
    stall: Duration,
    sent_bytes: Meter,
}

/// How a name is taken.
#[derive(Clone, Copy, Debug)]
enum Mode<'a> {
    Add,
    Update(&'a str),
}

impl Dropbox {
    /// Makes no connection and reads no secret yet.
    ///
    /// # Errors
    /// A URL that is none or would show secrets, authorities that cannot be read, in words for the owner.
    pub fn new(options: Options) -> Result<Self, String> {
        let url = |base: &str, path: &str| {
            https::base_url(&format!("{}{path}", base.trim_end_matches('/')))
                .map_err(|error| format!("Dropbox's URL {error}"))
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(Self {
            runtime: runtime.map_err(|error| format!("no event loop: {error}"))?,
            https: Https::new(options.ca_file.as_deref())?,
            upload_url: url(&options.content_url, "/2/files/upload")?,
            tokens: Tokens::new(options.auth, url(&options.api_url, "/oauth2/token")?, options.stall),
            stall: options.stall,
            sent_bytes: Meter::default(),
        })
    }
}

impl Remote for Dropbox {
    fn put(&mut self, path: &str, bytes: Bytes, how: &Put) -> Result<Stored, PutError> {
        let mode = match how {
            Put::Replace { revision: Some(revision) } => Mode::Update(revision),
            Put::Replace { revision: None } | Put::Add => Mode::Add,
        };
        let hash = content_hash(&bytes);
        let Self { runtime, https, upload_url, tokens, stall, sent_bytes } = self;
        let client = &https.client().map_err(|cause| PutError::Account { cause: format!("Dropbox: {cause}") })?;
        let upload = Upload { client, url: upload_url, bytes, hash: &hash, stall: *stall, sent_bytes };
        runtime.block_on(async {
            for name in suffix::candidates(path) {
                if let Some(revision) = upload.send(tokens, &name, mode).await? {
                    return Ok(Stored { path: name, revision: Some(revision) });
                }
            }
            Err(PutError::Refused { cause: format!("{path} and all names like it are taken by other files") })
        })
    }

    fn sent_bytes(&self) -> u64 {
        self.sent_bytes.load(Relaxed)
    }
}

/// A file on its way.
struct Upload<'a> {
    client: &'a Client,
    url: &'a Url,
    bytes: Bytes,
    hash: &'a str,
    stall: Duration,
    sent_bytes: &'a Meter,
}

impl Upload<'_> {
    /// Sends it under a name. Answers the revision; `None` where other bytes have the name.
    async fn send(&self, tokens: &mut Tokens, name: &str, mode: Mode<'_>) -> Result<Option<String>, PutError> {
        let mode = match mode {
            Mode::Add => json!("add"),
            Mode::Update(revision) => json!({".tag": "update", "update": revision}),
        };
        let arg = json!({
            "path": name, "mode": mode, "autorename": false, "mute": true, "strict_conflict": false,
            "content_hash": self.hash,
        });
        let arg = header_safe(&arg);
        let mut renewed = false;
        loop {
            let token = tokens.valid(self.client).await?;
            let request = self
                .client
                .post(self.url.clone())
                .header(AUTHORIZATION, token)
                .header(CONTENT_TYPE, "application/octet-stream")
                .header("Dropbox-API-Arg", &arg);
            let answer = https::exchange(request, self.bytes.clone(), 0, self.stall, self.sent_bytes).await;
            let answer = answer.map_err(|cause| PutError::Later { after: None, cause: format!("Dropbox: {cause}") })?;
            match answer::of_upload(&answer, self.hash) {
                Verdict::Stored { revision } => return Ok(Some(revision)),
                Verdict::Taken => return Ok(None),
                Verdict::Token(_) if !renewed && tokens.forget() => renewed = true,
                Verdict::Token(tag) => return Err(PutError::Account { cause: tokens.refused(&tag) }),
                Verdict::Failed(error) => return Err(tokens.without_secrets(error)),
            }
        }
    }
}

/// JSON in ASCII, which an HTTP header can carry: the rest as `\uXXXX`, as Dropbox asks for.
fn header_safe(json: &Value) -> String {
    let mut safe = String::new();
    for char in json.to_string().chars() {
        match char {
            ' '..='~' => safe.push(char),
            _ => char.encode_utf16(&mut [0; 2]).iter().for_each(|unit| safe += &format!("\\u{unit:04x}")),
        }
    }
    safe
}

/// Dropbox's `content_hash`: SHA-256 of the SHA-256 of every 4 MiB, in hexadecimal.
fn content_hash(bytes: &[u8]) -> String {
    let mut whole = Sha256::new();
    for block in bytes.chunks(HASH_BLOCK_BYTES) {
        whole.update(Sha256::digest(block));
    }
    whole.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_header_holds_ascii_only() {
        let arg = json!({"path": "/Tür/😀\u{7f}/a\"b"});
        assert_eq!(header_safe(&arg), r#"{"path":"/T\u00fcr/\ud83d\ude00\u007f/a\"b"}"#);
    }

    #[test]
    fn the_hash_of_nothing_is_that_of_no_block() {
        assert_eq!(content_hash(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }

    #[test]
    fn a_url_that_shows_secrets_is_refused() {
        let auth = DropboxAuth::Token { token_file: "/nowhere".into() };
        let options = Options { content_url: "http://example.org".to_owned(), ..Options::new(auth) };
        assert!(Dropbox::new(options).unwrap_err().contains("https://"));
    }

    proptest! {
        #[test]
        fn whatever_a_path_holds_comes_back(path in any::<String>()) {
            let safe = header_safe(&json!({"path": path}));
            prop_assert!(safe.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
            let read: Value = serde_json::from_str(&safe).unwrap();
            prop_assert_eq!(read["path"].as_str().unwrap(), path);
        }
    }
}
