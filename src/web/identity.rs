//! Who asks, and what they may do.
//!
//! A certificate says it, and comes one of two ways: the proxy at the Unix socket passes its client's on in
//! `X-Client-Cert`, and a client of the daemon's own TLS has shown it itself. On plain TCP nobody is asked: that is
//! loopback, or what the owner opened in so many words. A certificate with the `OU` `proxy` speaks for a user, whose
//! certificate is in `X-Forwarded-Client-Cert`; from anybody else that header means nothing.
//!
//! Whether certificates are genuine has been checked by whoever did the TLS. What a request needs is `access`'s.

use axum::http::HeaderMap;
use axum::http::header::HeaderName;
use axum::{Extension, Json};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::access::{Transport, only};
use super::problem::Problem;
use crate::pki::{Certificate, Holder};
use crate::role::Role;

/// The certificate of whoever connected to the proxy: PEM, percent-encoded, as nginx's `$ssl_client_escaped_cert`.
const CLIENT: HeaderName = HeaderName::from_static("x-client-cert");
/// The certificate of the user that a proxy of the owner's speaks for, encoded as the other.
const FORWARDED: HeaderName = HeaderName::from_static("x-forwarded-client-cert");

/// Somebody who is let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub(super) struct Identity {
    /// The certificate's common name; none where no certificate is asked for.
    name: Option<String>,
    pub(super) role: Role,
    /// When the certificate ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    expires: Option<Timestamp>,
}

/// Why it is not known who asks.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stranger {
    #[error(
        "The proxy does not say who asks: it has to ask for a client certificate and pass it on, in nginx \
         'proxy_set_header X-Client-Cert $ssl_client_escaped_cert;'."
    )]
    Nameless,
    #[error(
        "The certificate of a proxy lets nobody in by itself: it has to pass its user's on, as X-Forwarded-Client-Cert."
    )]
    ProxyAlone,
    #[error("The certificate that the proxy passes on cannot be read.")]
    Unreadable,
}

impl Identity {
    /// Whoever reaches a plain TCP socket.
    fn unasked() -> Self {
        Self { name: None, role: Role::Admin, expires: None }
    }

    /// For messages.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or("whoever is on this machine")
    }
}

/// Who sent a request that came this way with these headers. A certificate without a role has `default`.
pub(super) fn identify(transport: &Transport, headers: &HeaderMap, default: Role) -> Result<Identity, Stranger> {
    let shown = match transport {
        Transport::Network => return Ok(Identity::unasked()),
        Transport::Tls(certificate) => (**certificate).clone(),
        Transport::Proxy => passed_on(headers, &CLIENT)?.ok_or(Stranger::Nameless)?,
    };
    let certificate = match shown.holder {
        Holder::User(_) => shown,
        Holder::Proxy => passed_on(headers, &FORWARDED)?.ok_or(Stranger::ProxyAlone)?,
    };
    match certificate.holder {
        Holder::User(role) => Ok(Identity {
            name: Some(certificate.name),
            role: role.unwrap_or(default),
            expires: Some(certificate.not_after),
        }),
        // One proxy speaks for users, not for another proxy.
        Holder::Proxy => Err(Stranger::ProxyAlone),
    }
}

/// The certificate of a header, which must not come twice: nobody could say which one was set by the proxy.
fn passed_on(headers: &HeaderMap, name: &HeaderName) -> Result<Option<Certificate>, Stranger> {
    if headers.get(name).is_none_or(axum::http::HeaderValue::is_empty) && headers.get_all(name).iter().count() < 2 {
        return Ok(None);
    }
    let escaped = only(headers, name).ok_or(Stranger::Unreadable)?;
    let pem: Vec<u8> = percent_decode_str(escaped).collect();
    Certificate::from_pem(&pem).map(Some).map_err(|error| {
        tracing::warn!("{name}: {error}");
        Stranger::Unreadable
    })
}

/// Who asks, to itself.
#[utoipa::path(get, path = "/api/identity", tag = "camera", operation_id = "identity", summary = "Who asks, and what they may do",
    responses((status = 200, body = Identity)))]
pub(super) async fn show(who: Option<Extension<Identity>>) -> Result<Json<Identity>, Problem> {
    match who {
        Some(Extension(who)) => Ok(Json(who)),
        None => Err(Problem::forbidden(Stranger::Nameless.to_string())),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::pki::authority::{Authority, Key, Purpose};

    const CLIENT: &str = "x-client-cert";
    const FORWARDED: &str = "x-forwarded-client-cert";

    /// A certificate of an authority of our own, as PEM.
    fn pem(name: &str, purpose: &Purpose) -> String {
        let now = Timestamp::now();
        let (authority, _) = Authority::create("Test", now).unwrap();
        authority.issue(name, purpose, &Key::generate().unwrap(), 30, now).unwrap()
    }

    /// As nginx encodes it.
    fn escaped(pem: &str) -> String {
        percent_encoding::utf8_percent_encode(pem, percent_encoding::NON_ALPHANUMERIC).to_string()
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_proxys_word_counts_on_the_unix_socket_alone() {
        let admin = escaped(&pem("anna", &Purpose::Client(Some(Role::Admin))));
        let viewer = pem("ben", &Purpose::Client(Some(Role::Viewer)));
        let forged = headers(&[(CLIENT, &admin), (FORWARDED, &admin)]);
        let anna = identify(&Transport::Proxy, &forged, Role::Viewer).unwrap();
        assert_eq!((anna.name.as_deref(), anna.role), (Some("anna"), Role::Admin));
        let tls = Transport::Tls(Arc::new(Certificate::from_pem(viewer.as_bytes()).unwrap()));
        let ben = identify(&tls, &forged, Role::Admin).unwrap();
        assert_eq!((ben.name.as_deref(), ben.role), (Some("ben"), Role::Viewer));
        assert_eq!(identify(&Transport::Network, &forged, Role::Viewer).unwrap(), Identity::unasked());
    }

    #[test]
    fn only_a_proxy_passes_a_users_certificate_on() {
        let proxy = escaped(&pem("home", &Purpose::Proxy));
        let [viewer, admin] =
            [Role::Viewer, Role::Admin].map(|role| escaped(&pem(role.as_str(), &Purpose::Client(Some(role)))));
        let who = |pairs: &[(&'static str, &str)]| identify(&Transport::Proxy, &headers(pairs), Role::Viewer);
        assert_eq!(who(&[(CLIENT, &proxy), (FORWARDED, &admin)]).unwrap().role, Role::Admin);
        assert_eq!(who(&[(CLIENT, &viewer), (FORWARDED, &admin)]).unwrap().role, Role::Viewer);
        assert_eq!(who(&[(CLIENT, &proxy)]), Err(Stranger::ProxyAlone));
        assert_eq!(who(&[(CLIENT, &proxy), (FORWARDED, "")]), Err(Stranger::ProxyAlone));
        assert_eq!(who(&[(CLIENT, &proxy), (FORWARDED, &proxy)]), Err(Stranger::ProxyAlone));
        assert_eq!(who(&[(FORWARDED, &admin)]), Err(Stranger::Nameless));
    }

    #[test]
    fn who_does_not_say_who_it_is_is_nobody() {
        let admin = escaped(&pem("anna", &Purpose::Client(Some(Role::Admin))));
        let who = |values: &[&str]| {
            let pairs: Vec<_> = values.iter().map(|value| (CLIENT, *value)).collect();
            identify(&Transport::Proxy, &headers(&pairs), Role::Admin)
        };
        assert_eq!(who(&[]), Err(Stranger::Nameless));
        assert_eq!(who(&[""]), Err(Stranger::Nameless));
        for unreadable in [&["anna"][..], &["%"], &["%00%ff"], &[&admin, &admin], &["", &admin], &["", ""]] {
            assert_eq!(who(unreadable), Err(Stranger::Unreadable), "{unreadable:?}");
        }
    }

    #[test]
    fn without_a_role_the_configurations_word_counts() {
        let nameless = escaped(&pem("old", &Purpose::Client(None)));
        for role in Role::ALL {
            assert_eq!(identify(&Transport::Proxy, &headers(&[(CLIENT, &nameless)]), role).unwrap().role, role);
        }
    }
}
