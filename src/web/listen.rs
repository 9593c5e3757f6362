//! Sockets: where the daemon is reached, how connections are accepted, bounded and ended.
//!
//! A client that is slow or says nothing costs a place for a bounded time: its request's head has to come soon, and what
//! it is sent has to move on. What is answered is the router's; the host and site rules are `access`'s.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_io_timeout::TimeoutStream;
use tower_layer::Layer;

use super::access::Transport;
use super::tls::{Door, Tls, TlsError};
use crate::config::{Listen, ListenTls, Web as Options};

/// Connections at a time; more wait in the socket's queue.
const CONNECTIONS: usize = 256;
/// A request's head has to be complete this long after its connection, or the answer before, was.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);
/// A client that takes nothing of what it is sent for this long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// What is in transfer when the daemon ends has this long to finish.
const GRACE: Duration = Duration::from_secs(3);
/// What a connection may hold that its client has not taken: a slow viewer's pictures grow old here.
const BUFFER_BYTES: usize = 64 * 1024;

/// Why the daemon cannot be reached as configured.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Another process answers there.
    #[error("another process is listening there")]
    InUse,
    /// There is something else in the socket's place.
    #[error("what is there is not a socket: remove it, or configure another web.listen")]
    NotASocket,
    /// No socket came from systemd.
    #[error("systemd handed over no socket: is watchtower.socket enabled?")]
    NoneHandedOver,
    /// Plain HTTP for the whole network was not asked for.
    #[error(
        "{0} would be open to others without encryption: use 127.0.0.1 or a Unix socket, or set web.insecure_listen"
    )]
    Insecure(SocketAddr),
    /// Certificates and keys of the daemon's own TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refused.
    #[error(transparent)]
    Refused(#[from] io::Error),
}

/// An open socket. A Unix socket's file is removed when it is dropped.
pub struct Listener {
    socket: Socket,
    tls: Option<Tls>,
}

enum Socket {
    Tcp(TcpListener),
    Unix { socket: UnixListener, path: PathBuf, ours: bool },
}

impl Listener {
    /// Opens the socket. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ListenError`]; all are for the owner to mend, and none goes away by itself.
    pub fn bind(options: &Options) -> Result<Self, ListenError> {
        let socket = match &options.listen {
            Listen::Unix(path) => Socket::Unix { socket: open_unix(path)?, path: path.clone(), ours: true },
            Listen::Tcp(address) => Socket::Tcp(open_tcp(*address, options.insecure_listen)?),
            Listen::Systemd => take_over(options.insecure_listen)?,
        };
        Ok(Self { socket, tls: None })
    }

    /// Opens the socket of the daemon's own TLS. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// As [`Listener::bind`], and what is wrong with the certificates.
    pub fn bind_tls(options: &ListenTls) -> Result<Self, ListenError> {
        let tls = Tls::load(options)?;
        // Whom it lets in is in their certificates, so every address will do.
        Ok(Self { socket: Socket::Tcp(open_tcp(options.address, true)?), tls: Some(tls) })
    }

    /// Serves until `stop` resolves; then takes no more connections and gives those in transfer a few seconds to end.
    pub async fn serve(mut self, router: Router, stop: impl Future<Output = ()>) {
        let mut connections = JoinSet::new();
        let tls = self.tls.take();
        let door = tls.as_ref().map(Tls::door);
        // Its task ends with it.
        let mut follower = JoinSet::new();
        if let Some(tls) = tls {
            follower.spawn(tls.follow_files());
        }
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let graceful = GracefulShutdown::new();
        let mut stop = pin!(stop);
        loop {
            let accepted = tokio::select! {
                () = &mut stop => break,
                accepted = accept(&self.socket, &places) => accepted,
            };
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, place)) => {
                    let (router, door, watcher) = (router.clone(), door.clone(), graceful.watcher());
                    connections.spawn(async move {
                        if let Err(error) = converse(stream, door, router, watcher).await {
                            tracing::debug!("a connection ended early: {error}");
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    // Out of files or memory: busy waiting would make it worse.
                    tracing::warn!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        }
        if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
            tracing::info!("{} connections are cut off", connections.len());
        }
        connections.shutdown().await;
    }
}

enum Accepted {
    Tcp(TcpStream),
    Unix(UnixStream),
}

async fn accept(socket: &Socket, places: &Arc<Semaphore>) -> io::Result<(Accepted, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let stream = match socket {
        Socket::Tcp(socket) => {
            let (stream, _) = socket.accept().await?;
            // Both only make live pictures timely: a connection works without them.
            let _ = stream.set_nodelay(true);
            let _ = SockRef::from(&stream).set_tcp_notsent_lowat(BUFFER_BYTES as u32);
            Accepted::Tcp(stream)
        }
        Socket::Unix { socket, .. } => Accepted::Unix(socket.accept().await?.0),
    };
    Ok((stream, place))
}

/// One connection from its first byte to its last.
async fn converse(
    stream: Accepted,
    door: Option<Door>,
    router: Router,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    match (stream, door) {
        (Accepted::Unix(stream), _) => answer(stream, Transport::Proxy, &router, watcher).await,
        (Accepted::Tcp(stream), None) => answer(stream, Transport::Network, &router, watcher).await,
        (Accepted::Tcp(stream), Some(mut door)) => {
            let (stream, certificate) = tokio::time::timeout(HEAD_TIMEOUT, door.admit(stream)).await??;
            tokio::select! {
                answered = answer(stream, Transport::Tls(certificate), &router, watcher) => answered,
                () = door.trust_changed() => Ok(()),
            }
        }
    }
}

async fn answer(
    stream: impl AsyncRead + AsyncWrite + 'static,
    transport: Transport,
    router: &Router,
    watcher: Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let service = TowerToHyperService::new(Extension(transport).layer(router.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .serve_connection(TokioIo::new(Box::pin(stream)), service);
    Ok(watcher.watch(connection).await?)
}

/// Where it can be reached: `http://IP:PORT` or `https://IP:PORT` with the real port, or `unix:PATH`.
impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        match &self.socket {
            Socket::Tcp(socket) => match socket.local_addr() {
                Ok(address) => write!(f, "{scheme}://{address}"),
                Err(error) => write!(f, "an unknown address ({error})"),
            },
            Socket::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Socket::Unix { path, ours: true, .. } = &self.socket {
            // Whoever starts next removes what is left here.
            let _ = std::fs::remove_file(path);
        }
    }
}

fn open_tcp(address: SocketAddr, insecure: bool) -> Result<TcpListener, ListenError> {
    let socket = std::net::TcpListener::bind(address).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse,
        _ => ListenError::Refused(error),
    })?;
    adopt_tcp(socket, insecure)
}

fn adopt_tcp(socket: std::net::TcpListener, insecure: bool) -> Result<TcpListener, ListenError> {
    let address = socket.local_addr()?;
    if !address.ip().is_loopback() && !insecure {
        return Err(ListenError::Insecure(address));
    }
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket)?)
}

/// The one socket that systemd hands over (`LISTEN_FDS`), of either kind.
fn take_over(insecure: bool) -> Result<Socket, ListenError> {
    let mut handed = listenfd::ListenFd::from_env();
    if handed.len() == 0 {
        return Err(ListenError::NoneHandedOver);
    }
    // The wrong kind is an error that leaves the socket where it is.
    if let Ok(Some(socket)) = handed.take_tcp_listener(0) {
        return Ok(Socket::Tcp(adopt_tcp(socket, insecure)?));
    }
    let socket = handed.take_unix_listener(0)?.ok_or(ListenError::NoneHandedOver)?;
    socket.set_nonblocking(true)?;
    let path = socket.local_addr().ok().and_then(|a| a.as_pathname().map(Path::to_owned)).unwrap_or_default();
    Ok(Socket::Unix { socket: UnixListener::from_std(socket)?, path, ours: false })
}

/// Mode 0660: the proxy is let in by group. The socket takes its place only when its mode is right, and replaces one that
/// a killed daemon left behind.
fn open_unix(path: &Path) -> Result<UnixListener, ListenError> {
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(ListenError::NotASocket),
        Ok(_) if std::os::unix::net::UnixStream::connect(path).is_ok() => return Err(ListenError::InUse),
        Ok(_) => tracing::info!("unix:{} was left behind and is replaced", path.display()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error.into()),
    }
    let mut aside = path.as_os_str().to_owned();
    aside.push(".new");
    let aside = PathBuf::from(aside);
    let _ = std::fs::remove_file(&aside);
    let socket = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o660))?;
    std::fs::rename(&aside, path)?;
    Ok(socket)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn options(listen: Listen) -> Options {
        Options { listen, web_app: false, ..Options::default() }
    }

    #[tokio::test]
    async fn a_unix_socket_is_for_its_group_replaces_a_stale_one_and_goes_with_the_daemon() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.sock");
        // A listener that is dropped leaves its file, as one that is killed does.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        assert!(path.exists());

        let listener = Listener::bind(&options(Listen::Unix(path.clone()))).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert_eq!(listener.to_string(), format!("unix:{}", path.display()));
        let second = Listener::bind(&options(Listen::Unix(path.clone())));
        assert!(matches!(second, Err(ListenError::InUse)));
        assert!(path.exists(), "the refused one leaves the first one's socket alone");
        drop(listener);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn what_is_not_a_socket_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("precious");
        std::fs::write(&path, "data").unwrap();
        let opened = Listener::bind(&options(Listen::Unix(path.clone())));
        assert!(matches!(opened, Err(ListenError::NotASocket)));
        assert_eq!(std::fs::read(&path).unwrap(), b"data");
    }

    #[tokio::test]
    async fn plain_http_beyond_loopback_has_to_be_asked_for() {
        let mut open = options(Listen::Tcp("0.0.0.0:0".parse().unwrap()));
        assert!(matches!(Listener::bind(&open), Err(ListenError::Insecure(_))));
        open.insecure_listen = true;
        assert!(Listener::bind(&open).is_ok());
    }

    #[tokio::test]
    async fn an_endless_answer_does_not_keep_the_daemon_from_ending() {
        let listener = Listener::bind(&options(Listen::Tcp("127.0.0.1:0".parse().unwrap()))).unwrap();
        let address = listener.to_string().trim_start_matches("http://").to_owned();
        let endless = get(async || {
            axum::body::Body::from_stream(futures_util::stream::repeat_with(|| Ok::<_, io::Error>("more")))
        });
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let router = Router::new().route("/", endless);
        let serving = tokio::spawn(listener.serve(router, async { drop(stopped.await) }));
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        assert!(client.read(&mut [0; 64]).await.unwrap() > 0);
        stop.send(()).unwrap();
        tokio::time::timeout(GRACE * 2, serving).await.unwrap().unwrap();
    }
}
