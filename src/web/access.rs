//! Which requests are let in: the host they are for, the site they come from, what whoever asks may do, and the headers
//! every answer carries.
//!
//! A route says beside its methods what it does ([`operate`], [`administer`]; everything else only looks), so that a new
//! one cannot forget the rule. The rule goes by what a request does and not by its method, because 1.x changes state by
//! GET. Who asks is found out in `identity`; sockets are `listen`'s.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, HeaderName, HeaderValue, ORIGIN, REFERRER_POLICY, USER_AGENT,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::uri::{Authority, Uri};
use axum::http::{HeaderMap, Method};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;

use super::Web;
use super::identity::{Identity, identify};
use super::problem::{Problem, no_such_method};
use crate::pki::Certificate;
use crate::role::Role;

/// How a request reached the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    /// The Unix socket: only the trusted proxy can open it, and what it says of the client counts.
    Proxy,
    /// TCP: anybody, and any name a browser was tricked into resolving to this machine.
    Network,
    /// The daemon's own TLS, by the client with this certificate. Browsers hold the host's name against the server's.
    Tls(Arc<Certificate>),
}

/// What is answered whoever asks, once the connection was let in: whether all is well, and no pictures.
const OPEN_TO_ALL: [&str; 2] = ["/healthz", "/metrics"];

/// What a request does beyond looking.
#[derive(Clone, Copy, Debug)]
enum Does {
    /// Runs the camera: start, stop, record, protect.
    Operate,
    /// Changes what is kept or how pictures look: settings, delete.
    Administer,
}

impl Does {
    fn needs(self) -> Role {
        match self {
            Does::Operate => Role::Operator,
            Does::Administer => Role::Admin,
        }
    }
}

/// Marks methods that run the camera.
pub(super) fn operate(methods: MethodRouter<Arc<Web>>) -> MethodRouter<Arc<Web>> {
    changing(Does::Operate, methods)
}

/// Marks methods that change settings or delete.
pub(super) fn administer(methods: MethodRouter<Arc<Web>>) -> MethodRouter<Arc<Web>> {
    changing(Does::Administer, methods)
}

fn changing(does: Does, methods: MethodRouter<Arc<Web>>) -> MethodRouter<Arc<Web>> {
    methods.route_layer(from_fn(move |transport, who, request, next| change(does, transport, who, request, next)))
}

async fn change(
    does: Does,
    transport: Option<Extension<Transport>>,
    who: Option<Extension<Identity>>,
    request: Request,
    next: Next,
) -> Response {
    // Routers answer HEAD by running GET, and a HEAD must never change anything.
    if request.method() == Method::HEAD {
        return no_such_method(Method::HEAD, request.uri().clone()).await.into_response();
    }
    let Some(Extension(who)) = who else {
        return Problem::forbidden("It is not known who asks.").into_response();
    };
    if who.role < does.needs() {
        let (needed, has) = (does.needs(), who.role);
        tracing::warn!(who = who.name(), path = request.uri().path(), "refused: needs the role {needed}, has {has}");
        return Problem::forbidden(format!(
            "This needs the role {needed}; the certificate of '{}' has the role {has}.",
            who.name()
        ))
        .into_response();
    }
    if !is_same_site(request.headers(), &transport_of(transport)) {
        tracing::warn!(path = request.uri().path(), "refused: the request comes from another web site");
        return Problem::forbidden("Another web site may not change anything here.").into_response();
    }
    tracing::info!(who = who.name(), ?does, method = %request.method(), path = request.uri().path(), "asked to change something");
    next.run(request).await
}

/// Without a listener's word, the stricter rule.
fn transport_of(known: Option<Extension<Transport>>) -> Transport {
    known.map_or(Transport::Network, |Extension(transport)| transport)
}

/// Refuses requests for foreign hosts and of strangers, and puts the security headers on every answer, errors included.
pub(super) async fn guard(
    State(web): State<Arc<Web>>,
    transport: Option<Extension<Transport>>,
    mut request: Request,
    next: Next,
) -> Response {
    let transport = transport_of(transport);
    let ours = match transport {
        Transport::Proxy | Transport::Tls(_) => true,
        Transport::Network => asked_host(&request).is_some_and(|host| is_our_host(&host, &web.options.hosts)),
    };
    let mut response = if !ours {
        Problem::forbidden("This host name is not served here. Names other than localhost are configured as web.hosts.")
            .into_response()
    } else {
        match identify(&transport, request.headers(), web.options.default_role) {
            Ok(who) => {
                request.extensions_mut().insert(who);
                next.run(request).await
            }
            Err(_) if OPEN_TO_ALL.contains(&request.uri().path()) => next.run(request).await,
            Err(stranger) => {
                tracing::warn!(path = request.uri().path(), "refused: {stranger}");
                Problem::forbidden(stranger.to_string()).into_response()
            }
        }
    };
    secure(response.headers_mut());
    response
}

/// Framing, sniffing and embedding by other sites are off everywhere; what a page may load, the page itself says.
fn secure(headers: &mut HeaderMap) {
    const CORP: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CORP, HeaderValue::from_static("same-origin"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.entry(CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static("frame-ancestors 'none'"));
    // Pictures and states are of the moment, and of somebody's home: nothing in between keeps them.
    headers.entry(CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The host a request is for: of an absolute request target, else of the one `Host` (RFC 9112, section 3.2).
fn asked_host(request: &Request) -> Option<String> {
    let authority = match request.uri().authority() {
        Some(authority) => authority.clone(),
        None => only(request.headers(), &HOST)?.parse::<Authority>().ok()?,
    };
    Some(authority.host().to_ascii_lowercase())
}

/// Whether it is a name of loopback or a configured one: another name means that a foreign page had it resolved to
/// this machine (DNS rebinding).
fn is_our_host(host: &str, configured: &[String]) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let loopback = host == "localhost" || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    loopback || configured.iter().any(|name| name.eq_ignore_ascii_case(host) || name.eq_ignore_ascii_case(bare))
}

/// Whether a browser says that the request comes from our own page, or the client is no browser.
fn is_same_site(headers: &HeaderMap, transport: &Transport) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter().peekable();
    if sites.peek().is_some() {
        return sites.all(|site| site == "same-origin" || site == "none");
    }
    if !headers.contains_key(ORIGIN) {
        // Over plain HTTP, or from an old browser, an <img> of another site comes without any of these; no page can make it
        // come under another name than a browser's.
        return !headers.get_all(USER_AGENT).iter().any(|agent| agent.as_bytes().starts_with(b"Mozilla/"));
    }
    // Browsers older than Sec-Fetch-Site: the origin must be the host that the browser asked for.
    let (Some(origin), Some(host)) = (only(headers, &ORIGIN), public_host(headers, transport)) else { return false };
    let Ok(origin) = origin.parse::<Uri>() else { return false };
    let (Some(scheme), Some(authority)) = (origin.scheme_str(), origin.authority()) else { return false };
    let default_port = if scheme == "https" { ":443" } else { ":80" };
    let bare = |host: &str| host.strip_suffix(default_port).unwrap_or(host).to_ascii_lowercase();
    bare(authority.as_str()) == bare(host)
}

/// The host as the browser knows it. A chain of proxies lists it first.
fn public_host<'a>(headers: &'a HeaderMap, transport: &Transport) -> Option<&'a str> {
    let forwarded = headers.get("x-forwarded-host").filter(|_| *transport == Transport::Proxy);
    match forwarded {
        Some(hosts) => hosts.to_str().ok()?.split(',').next().map(str::trim),
        None => only(headers, &HOST),
    }
}

/// A header that must not come twice.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(k, v)| (HeaderName::from_static(k), HeaderValue::from_static(v)));
        pairs.collect()
    }

    #[test]
    fn only_loopback_and_configured_names_are_ours() {
        let configured = ["Camera.example".to_string(), "fd00::1".to_string()];
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "[::1]", "camera.example", "[fd00::1]"] {
            assert!(is_our_host(host, &configured), "{host}");
        }
        for host in ["evil.example", "localhost.evil.example", "192.168.1.9", "0.0.0.0", "[::2]", ""] {
            assert!(!is_our_host(host, &configured), "{host}");
        }
    }

    #[test]
    fn the_host_is_that_of_the_target_or_the_one_header() {
        let request = |uri: &str, hosts: &[&'static str]| {
            let mut request = Request::builder().uri(uri).body(axum::body::Body::empty()).unwrap();
            for host in hosts {
                request.headers_mut().append(HOST, HeaderValue::from_static(host));
            }
            asked_host(&request)
        };
        assert_eq!(request("/", &["LOCALHOST:8080"]).as_deref(), Some("localhost"));
        assert_eq!(request("/", &["[::1]:8080"]).as_deref(), Some("[::1]"));
        assert_eq!(request("http://evil.example/", &["localhost"]).as_deref(), Some("evil.example"));
        assert_eq!(request("/", &[]), None);
        assert_eq!(request("/", &["localhost", "evil.example"]), None);
    }

    #[test]
    fn a_browser_may_change_things_only_from_our_own_page() {
        let network = |pairs: &[(&'static str, &'static str)]| is_same_site(&headers(pairs), &Transport::Network);
        assert!(network(&[]), "command-line clients send neither header");
        assert!(network(&[("user-agent", "curl/8.5.0")]));
        assert!(!network(&[("user-agent", "Mozilla/5.0 (X11; Linux x86_64)")]), "a picture in another site's page");
        assert!(network(&[("sec-fetch-site", "same-origin")]));
        assert!(network(&[("sec-fetch-site", "none")]));
        assert!(!network(&[("sec-fetch-site", "same-site")]));
        assert!(!network(&[("sec-fetch-site", "cross-site")]));
        assert!(!network(&[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")]));
        assert!(network(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(network(&[("origin", "https://cam.example"), ("host", "CAM.example:443")]));
        assert!(!network(&[("origin", "http://localhost:9090"), ("host", "localhost:8080")]));
        assert!(!network(&[("origin", "http://evil.example"), ("host", "localhost:8080")]));
        assert!(!network(&[("origin", "null"), ("host", "localhost:8080")]));
    }

    #[test]
    fn a_forwarded_host_counts_only_from_the_proxy() {
        let forwarded = headers(&[
            ("origin", "https://home.example"),
            ("host", "camera0"),
            ("x-forwarded-host", "home.example, camera0"),
        ]);
        assert!(is_same_site(&forwarded, &Transport::Proxy));
        assert!(!is_same_site(&forwarded, &Transport::Network));
    }
}
