//! Gets the refresh token once: the authorisation code flow with PKCE (RFC 7636) and without a redirection, so that the owner
//! types a code in and the app needs no secret.
//!
//! Asking and writing the file is `cli/dropbox_login`'s part.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Url;
use sha2::{Digest, Sha256};

use super::token;
use crate::upload::https::{self, Https};

/// A page for the owner's browser, on whatever machine that is.
const PAGE: &str = "https://www.dropbox.com/oauth2/authorize";
const STALL: Duration = Duration::from_secs(30);

/// A login under way.
pub struct Login {
    app_key: String,
    /// Proves that who brings the code is who asked for it.
    verifier: String,
}

/// Without the verifier.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("app_key", &self.app_key).finish_non_exhaustive()
    }
}

impl Login {
    /// Of the owner's own app.
    ///
    /// # Errors
    /// A system without random numbers.
    pub fn new(app_key: &str) -> Result<Self, String> {
        let mut random = [0; 32];
        let provider = rustls::crypto::ring::default_provider();
        provider.secure_random.fill(&mut random).map_err(|_| "the system has no random numbers".to_owned())?;
        Ok(Self { app_key: app_key.to_owned(), verifier: URL_SAFE_NO_PAD.encode(random) })
    }

    /// The page on which the owner agrees and gets the code.
    pub fn page(&self) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&self.verifier));
        let mut page = Url::parse(PAGE).expect("a constant that is a URL");
        page.query_pairs_mut()
            .append_pair("client_id", &self.app_key)
            .append_pair("response_type", "code")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("token_access_type", "offline");
        page.into()
    }

    /// Trades the code for the refresh token. Blocks.
    ///
    /// # Errors
    /// In words for the owner.
    pub fn finish(&self, code: &str, api_url: &str, ca_file: Option<&Path>) -> Result<String, String> {
        let url = https::base_url(&format!("{}/oauth2/token", api_url.trim_end_matches('/')))?;
        let client = Https::new(ca_file)?.client()?;
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code.trim()),
            ("client_id", &self.app_key),
            ("code_verifier", &self.verifier),
        ];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("no event loop: {error}"))?;
        let grant = runtime.block_on(token::ask(&client, &url, &form, STALL));
        // It is the owner's own terminal, and the code counts once.
        let grant = grant.map_err(|error| error.to_string())?;
        grant.refresh_token.ok_or_else(|| "Dropbox gives no refresh token".to_owned())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_login_shows_its_challenge_and_keeps_its_verifier() {
        let login = Login::new("key&more").unwrap();
        let page = login.page();
        assert!(page.contains("client_id=key%26more&response_type=code&code_challenge="), "{page}");
        assert!(!page.contains(&login.verifier) && !format!("{login:?}").contains(&login.verifier));
        assert_ne!(login.verifier, Login::new("key&more").unwrap().verifier);
    }

    #[test]
    fn a_challenge_is_the_standards() {
        // RFC 7636, appendix B.
        let login = Login { app_key: String::new(), verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk".into() };
        assert!(login.page().contains("code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&"));
    }
}
