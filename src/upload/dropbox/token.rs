//! Access tokens of Dropbox: got by the refresh token, renewed before they end, and never shown.
//!
//! Source: RFC 6749, 6, and the "OAuth Guide" of Dropbox. Getting the refresh token is in `login`.

use std::fmt;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Url};
use serde::Deserialize;

use super::answer;
use crate::config::DropboxAuth;
use crate::upload::https;
use crate::upload::remote::PutError;

/// A token that ends sooner is renewed: what is sent with it has to arrive before.
const RENEW_BEFORE: Duration = Duration::from_secs(300);

/// What was got from the files or from Dropbox.
pub(super) struct Tokens {
    auth: DropboxAuth,
    url: Url,
    stall: Duration,
    access: Option<Access>,
    /// All that must not be shown.
    secrets: Vec<String>,
}

struct Access {
    token: String,
    /// `None` where nobody has said.
    until: Option<Instant>,
}

/// Says whether there is a token, and not which.
impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tokens").field("auth", &self.auth).field("held", &self.access.is_some()).finish()
    }
}

/// What Dropbox answers to who asks for tokens.
#[derive(Deserialize)]
pub(super) struct Grant {
    access_token: String,
    /// In seconds.
    expires_in: Option<u64>,
    /// With an authorisation code only.
    pub(super) refresh_token: Option<String>,
}

impl Tokens {
    pub(super) fn new(auth: DropboxAuth, url: Url, stall: Duration) -> Self {
        Self { auth, url, stall, access: None, secrets: Vec::new() }
    }

    /// A token that is valid for a while, as the header's value.
    pub(super) async fn valid(&mut self, client: &Client) -> Result<HeaderValue, PutError> {
        let lasts = |access: &Access| access.until.is_none_or(|until| until > Instant::now() + RENEW_BEFORE);
        let access = match self.access.take().filter(lasts) {
            Some(access) => access,
            None => self.get(client).await?,
        };
        let header = HeaderValue::try_from(format!("Bearer {}", access.token));
        let mut header = header.map_err(|_| PutError::Account {
            cause: "Dropbox: the access token holds a character that HTTP cannot carry".to_owned(),
        })?;
        header.set_sensitive(true);
        self.access = Some(access);
        Ok(header)
    }

    /// The token has been refused. Answers whether another can be had.
    pub(super) fn forget(&mut self) -> bool {
        let old = self.access.take();
        match &self.auth {
            DropboxAuth::Refresh { .. } => true,
            // The owner may have put a new one there.
            DropboxAuth::Token { token_file } => {
                secret(token_file).is_ok_and(|new| old.is_some_and(|old| old.token != new))
            }
        }
    }

    /// The remedy for a token that Dropbox refuses.
    pub(super) fn refused(&self, tag: &str) -> String {
        match &self.auth {
            DropboxAuth::Refresh { .. } => format!("Dropbox refuses a new access token ({tag}): {LOGIN}"),
            DropboxAuth::Token { token_file } => format!(
                "Dropbox does not accept the token in {} ({tag}); it issues no lasting ones any more: {LOGIN}, and use \
                 refresh_token_file",
                token_file.display()
            ),
        }
    }

    /// An error without anything secret that the server may have repeated.
    pub(super) fn without_secrets(&self, error: PutError) -> PutError {
        let hide = |cause: String| self.secrets.iter().fold(cause, |cause, secret| cause.replace(secret, "[secret]"));
        match error {
            PutError::Later { after, cause } => PutError::Later { after, cause: hide(cause) },
            PutError::Refused { cause } => PutError::Refused { cause: hide(cause) },
            PutError::Account { cause } => PutError::Account { cause: hide(cause) },
        }
    }

    async fn get(&mut self, client: &Client) -> Result<Access, PutError> {
        let account = |cause| PutError::Account { cause };
        self.secrets.clear();
        let (app_key, refresh_token_file, app_secret_file) = match &self.auth {
            DropboxAuth::Refresh { app_key, refresh_token_file, app_secret_file } => {
                (app_key, refresh_token_file, app_secret_file)
            }
            DropboxAuth::Token { token_file } => {
                let token = secret(token_file).map_err(account)?;
                self.secrets.push(token.clone());
                return Ok(Access { token, until: None });
            }
        };
        let refresh_token = secret(refresh_token_file).map_err(account)?;
        let app_secret = app_secret_file.as_deref().map(secret).transpose().map_err(account)?;
        self.secrets.extend([&refresh_token].into_iter().chain(&app_secret).cloned());
        let mut form = vec![
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token.as_str()),
            ("client_id", app_key.as_str()),
        ];
        form.extend(app_secret.as_deref().map(|secret| ("client_secret", secret)));
        let asked = Instant::now();
        let grant = ask(client, &self.url, &form, self.stall).await.map_err(|error| self.without_secrets(error))?;
        self.secrets.push(grant.access_token.clone());
        let until = grant.expires_in.and_then(|s| asked.checked_add(Duration::from_secs(s)));
        Ok(Access { token: grant.access_token, until })
    }
}

const LOGIN: &str = "log in again (`watchtower dropbox-login`)";

/// Asks for tokens.
///
/// # Errors
/// [`PutError::Account`] where it takes the owner; the cause may repeat what `form` holds.
pub(super) async fn ask(client: &Client, url: &Url, form: &[(&str, &str)], stall: Duration) -> Result<Grant, PutError> {
    // Its query is the form.
    let mut query = url.clone();
    query.set_query(None);
    query.query_pairs_mut().extend_pairs(form);
    let form = Bytes::copy_from_slice(query.query().unwrap_or_default().as_bytes());
    let request = client.post(url.clone()).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let later = |cause: String| PutError::Later { after: None, cause };
    // A form is no file.
    let sent_bytes = https::Meter::default();
    let answer = https::exchange(request, form, 0, stall, &sent_bytes)
        .await
        .map_err(|cause| later(format!("Dropbox: {cause}")))?;
    match answer.status.as_u16() {
        200 => {
            serde_json::from_slice(&answer.body).map_err(|_| later("something else than Dropbox answers".to_owned()))
        }
        400 | 401 | 403 => Err(PutError::Account { cause: format!("{}: {LOGIN}", answer::words(&answer)) }),
        _ => Err(answer::of_status(&answer)),
    }
}

/// The first line of a file.
fn secret(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}: {LOGIN}", file.display()))?;
    match text.lines().next().map(str::trim) {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(format!("{} is empty: {LOGIN}", file.display())),
    }
}
