//! The daemon's own TLS, for owners without a proxy: who has no certificate of the owner's is not let in, and who has one
//! is known by it.
//!
//! The files are read again when they change, so that renewing a certificate or revoking one needs no restart. Sockets and
//! what is answered are `listen`'s and the router's.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tokio_rustls::server::TlsStream;

use crate::config::ListenTls;
use crate::pki::Certificate;

/// How long a changed file may go unnoticed.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why there is no TLS with these files.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{0} cannot be read: {1}")]
    Unreadable(PathBuf, io::Error),
    /// A file has nothing of what it should have.
    #[error("{path} holds no {what} in PEM form")]
    Empty {
        /// The file.
        path: PathBuf,
        /// What should be in it.
        what: &'static str,
    },
    /// Certificate and key, or the authorities, are refused.
    #[error("{0}: {1}")]
    Refused(PathBuf, String),
}

/// The files' contents: what a change is noticed by.
#[derive(PartialEq)]
struct Contents {
    certificate: Vec<u8>,
    key: Vec<u8>,
    client_ca: Vec<u8>,
    crl: Option<Vec<u8>>,
}

impl Contents {
    fn read(files: &ListenTls) -> Result<Self, TlsError> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| TlsError::Unreadable(path.clone(), error));
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?,
            client_ca: read(&files.client_ca)?,
            crl: files.crl.as_ref().map(read).transpose()?,
        })
    }

    /// Whether the same clients are let in by both.
    fn trusts_as(&self, other: &Self) -> bool {
        self.client_ca == other.client_ca && self.crl == other.crl
    }

    /// TLS 1.2 and 1.3 with a certificate asked of every client.
    fn config(&self, files: &ListenTls) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let refused =
            |path: &Path, error: &dyn std::fmt::Display| TlsError::Refused(path.to_owned(), error.to_string());
        let mut roots = RootCertStore::empty();
        for authority in certificates(&self.client_ca, &files.client_ca)? {
            roots.add(authority).map_err(|error| refused(&files.client_ca, &error))?;
        }
        let mut verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        if let (Some(path), Some(text)) = (&files.crl, &self.crl) {
            let lists: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(text).collect();
            let lists = lists.ok().filter(|lists| !lists.is_empty());
            let what = "list of revoked certificates";
            verifier = verifier.with_crls(lists.ok_or_else(|| TlsError::Empty { path: path.clone(), what })?);
        }
        let trust = files.crl.as_ref().unwrap_or(&files.client_ca);
        let verifier = verifier.build().map_err(|error| refused(trust, &error))?;
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| TlsError::Empty { path: files.key.clone(), what: "private key" })?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| refused(&files.certificate, &error))?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| refused(&files.key, &error))?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // Who resumes a session is not checked again, and may have been revoked since.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }
}

fn certificates(text: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let what = "certificate";
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| TlsError::Empty { path: path.to_owned(), what })
}

/// What connections are accepted with.
#[derive(Clone)]
struct Served {
    config: Arc<ServerConfig>,
    /// Grows when other clients are trusted.
    trust: u64,
}

/// The files and what is made of them.
pub(super) struct Tls {
    files: ListenTls,
    contents: Contents,
    served: watch::Sender<Served>,
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(files: &ListenTls) -> Result<Self, TlsError> {
        let contents = Contents::read(files)?;
        let config = contents.config(files)?;
        Ok(Self { files: files.clone(), contents, served: watch::Sender::new(Served { config, trust: 0 }) })
    }

    /// For those who want to be let in.
    pub(super) fn door(&self) -> Door {
        Door(self.served.subscribe())
    }

    /// Reads the files again whenever they change. With ones that cannot be used, for example a new certificate whose key
    /// is still to come, it goes on as before. Never ends.
    pub(super) async fn follow_files(mut self) {
        let mut due = tokio::time::interval(LOOK_EVERY);
        let mut complained = String::new();
        loop {
            due.tick().await;
            let files = self.files.clone();
            let read = tokio::task::spawn_blocking(move || {
                let contents = Contents::read(&files)?;
                let config = contents.config(&files)?;
                Ok::<_, TlsError>((contents, config))
            });
            match read.await {
                Ok(Ok((contents, _))) if contents == self.contents => complained.clear(),
                Ok(Ok((contents, config))) => {
                    let other_trust = !contents.trusts_as(&self.contents);
                    self.contents = contents;
                    self.served.send_modify(|served| {
                        served.config = config;
                        served.trust += u64::from(other_trust);
                    });
                    tracing::info!("the TLS files have changed and are in use");
                    complained.clear();
                }
                Ok(Err(error)) => {
                    let complaint = error.to_string();
                    if complaint != complained {
                        tracing::warn!("the TLS files have changed and cannot be used, the old ones stay: {complaint}");
                        complained = complaint;
                    }
                }
                Err(error) => tracing::error!("reading the TLS files failed: {error}"),
            }
        }
    }
}

/// Where clients prove who they are.
#[derive(Clone)]
pub(super) struct Door(watch::Receiver<Served>);

impl Door {
    /// Shakes hands with a client; answers the encrypted stream and the client's certificate.
    pub(super) async fn admit(&mut self, stream: TcpStream) -> io::Result<(TlsStream<TcpStream>, Arc<Certificate>)> {
        let config = Arc::clone(&self.0.borrow_and_update().config);
        let stream = TlsAcceptor::from(config).accept(stream).await?;
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.ok_or_else(|| io::Error::other("the client has no certificate"))?;
        let certificate = Certificate::from_der(shown).map_err(io::Error::other)?;
        Ok((stream, Arc::new(certificate)))
    }

    /// Resolves when other clients are trusted than at the last admission: whoever is inside has to prove it again.
    pub(super) async fn trust_changed(mut self) {
        let trust = self.0.borrow().trust;
        if self.0.wait_for(|served| served.trust != trust).await.is_err() {
            // Nobody looks after the files any more: the daemon ends, which is said elsewhere.
            std::future::pending::<()>().await;
        }
    }
}
