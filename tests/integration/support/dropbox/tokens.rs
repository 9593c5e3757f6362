//! The server's OAuth 2: access tokens that expire, refresh tokens, and codes with PKCE (RFC 7636).

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::http::{Reply, Request};

/// The app that the server knows.
pub const APP_KEY: &str = "app0key0of0test";
/// Its secret. An app that logs in with PKCE needs none, and may give it all the same.
pub const APP_SECRET: &str = "the-secret-of-the-app";
/// A refresh token that is valid from the start.
pub const REFRESH_TOKEN: &str = "the-refresh-token-of-the-owner";

pub struct Tokens {
    /// Until when each is valid.
    access: BTreeMap<String, Instant>,
    refresh: BTreeSet<String>,
    /// Codes not yet used, with the challenge that each was asked for with.
    codes: BTreeMap<String, String>,
    pub lifetime: Duration,
    issued: u64,
}

impl Tokens {
    pub fn new() -> Self {
        let refresh = BTreeSet::from([REFRESH_TOKEN.to_owned()]);
        let lifetime = Duration::from_secs(4 * 3600);
        Self { access: BTreeMap::new(), refresh, codes: BTreeMap::new(), lifetime, issued: 0 }
    }

    fn secret(&mut self, kind: &str) -> String {
        self.issued += 1;
        format!("secret-{kind}-{}", self.issued)
    }

    pub fn issue(&mut self) -> String {
        let token = self.secret("access");
        self.access.insert(token.clone(), Instant::now() + self.lifetime);
        token
    }

    pub fn revoke(&mut self, refresh: bool) {
        self.access.values_mut().for_each(|until| *until = Instant::now());
        if refresh {
            self.access.clear();
            self.refresh.clear();
        }
    }

    /// Why an access token is not valid.
    pub fn check(&self, token: &str) -> Result<(), &'static str> {
        match self.access.get(token) {
            Some(until) if Instant::now() < *until => Ok(()),
            Some(_) => Err("expired_access_token"),
            None => Err("invalid_access_token"),
        }
    }

    /// The owner opens the address and agrees.
    pub fn authorize(&mut self, address: &str) -> Result<String, String> {
        let query = address.strip_prefix("https://www.dropbox.com/oauth2/authorize?").ok_or("not Dropbox's page")?;
        let query = fields(query).ok_or("the query is no form")?;
        let is = |name: &str, value: &str| match query.get(name).map(String::as_str) {
            Some(given) if given == value => Ok(()),
            given => Err(format!("{name} is {given:?} instead of {value}")),
        };
        is("client_id", APP_KEY)?;
        is("response_type", "code")?;
        is("code_challenge_method", "S256")?;
        is("token_access_type", "offline")?;
        if query.contains_key("redirect_uri") {
            return Err("the code is shown, not sent anywhere".to_owned());
        }
        let challenge = query.get("code_challenge").filter(|challenge| challenge.len() == 43);
        let challenge = challenge.ok_or("no code_challenge of 43 characters")?.clone();
        let code = self.secret("code");
        self.codes.insert(code.clone(), challenge);
        Ok(code)
    }

    pub fn answer(&mut self, request: &Request, body: &[u8], breaches: &mut Vec<String>) -> Reply {
        let mut refuse = |status: u16, error: &str, text: &str, breach: bool| {
            if breach {
                breaches.push(text.to_owned());
            }
            Reply::json(status, &json!({"error": error, "error_description": text}))
        };
        if request.header("content-type") != Some("application/x-www-form-urlencoded") {
            return refuse(400, "invalid_request", "a token's Content-Type is application/x-www-form-urlencoded", true);
        }
        let Some(form) = std::str::from_utf8(body).ok().and_then(fields) else {
            return refuse(400, "invalid_request", "the body is no form", true);
        };
        let field = |name: &str| form.get(name).map(String::as_str);
        let basic = request.header("authorization").map(|value| {
            let given = value.strip_prefix("Basic ").and_then(|value| STANDARD.decode(value).ok()).unwrap_or_default();
            given == format!("{APP_KEY}:{APP_SECRET}").as_bytes()
        });
        let known = match basic {
            Some(known) => known,
            None => {
                field("client_id") == Some(APP_KEY) && field("client_secret").is_none_or(|given| given == APP_SECRET)
            }
        };
        if !known {
            return refuse(400, "invalid_client", "invalid_client: Invalid client_id or client_secret", false);
        }
        let mut answer = json!({"token_type": "bearer", "expires_in": self.lifetime.as_secs()});
        match field("grant_type") {
            Some("refresh_token") => {
                if !field("refresh_token").is_some_and(|token| self.refresh.contains(token)) {
                    return refuse(400, "invalid_grant", "refresh token is invalid or revoked", false);
                }
            }
            Some("authorization_code") => {
                let challenge = field("code").and_then(|code| self.codes.remove(code));
                let Some(challenge) = challenge else {
                    return refuse(400, "invalid_grant", "code doesn't exist or has expired", false);
                };
                let verifier = field("code_verifier").filter(|verifier| (43..=128).contains(&verifier.len()));
                if verifier.map(|verifier| URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))) != Some(challenge) {
                    return refuse(400, "invalid_grant", "invalid code verifier", true);
                }
                let refresh = self.secret("refresh");
                self.refresh.insert(refresh.clone());
                answer["refresh_token"] = json!(refresh);
                answer["account_id"] = json!("dbid:test");
            }
            other => return refuse(400, "unsupported_grant_type", &format!("grant_type {other:?}"), true),
        }
        answer["access_token"] = json!(self.issue());
        Reply::json(200, &answer)
    }
}

/// A form's fields, each of them once.
fn fields(form: &str) -> Option<BTreeMap<String, String>> {
    let mut fields = BTreeMap::new();
    for (name, value) in reqwest::Url::parse(&format!("form:?{form}")).ok()?.query_pairs() {
        if fields.insert(name.into_owned(), value.into_owned()).is_some() {
            return None;
        }
    }
    Some(fields)
}
