//! What `run` and `demo` share: cameras and web interface up, ready, watched over, and down again in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{CliError, uploads};
use crate::clock;
use crate::config::{Config, Storage};
use crate::feed::Feed;
use crate::pipeline::{self, CameraHandle, EventIds, Running};
use crate::recording::store::Store;
use crate::web::{self, Listener, Web};

/// A grab loop that got nowhere for this long hangs: the watchdog is no longer fed.
const HUNG: Duration = Duration::from_secs(30);
const RETENTION_EVERY: Duration = Duration::from_secs(10);
/// Recordings that were copied in or taken away by hand are noticed after this long.
const REFRESH_EVERY: Duration = Duration::from_secs(600);

/// Whether the address is printed for a person to open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Announce {
    /// Print it on standard output.
    Yes,
    /// Only log it.
    No,
}

/// Runs the daemon until SIGTERM or SIGINT. Blocks.
///
/// # Errors
/// Only before "ready": storage and sockets. After that everything is tried again.
pub fn run(config: Config, announce: Announce) -> Result<(), CliError> {
    log(&config.log);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("web")
        .enable_all()
        .build()
        .map_err(|e| CliError::Failed(format!("the asynchronous runtime does not start: {e}")))?;
    runtime.block_on(serve(config, announce))
}

fn log(filter: &str) {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_env("WATCHTOWER_LOG").unwrap_or_else(|_| EnvFilter::new(filter));
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // journald adds the time itself.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        lines.with_ansi(false).without_time().init();
    } else {
        lines.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).init();
    }
}

async fn serve(config: Config, announce: Announce) -> Result<(), CliError> {
    let store = Store::open(&config.storage.path)
        .map_err(|e| CliError::Failed(format!("storage {}: {e}", config.storage.path.display())))?;
    let store = Arc::new(store);
    let listener = Listener::bind(&config.web)
        .map_err(|e| CliError::Failed(format!("cannot listen on {}: {e}", config.web.listen)))?;
    let address = listener.to_string();
    let mut listeners = vec![listener];
    if let Some(tls) = &config.web.listen_tls {
        let listener = Listener::bind_tls(tls)
            .map_err(|e| CliError::Failed(format!("cannot listen on {} for TLS: {e}", tls.address)))?;
        tracing::info!("listening on {listener}");
        listeners.push(listener);
    }

    let mut terminate = signal(SignalKind::terminate()).map_err(|e| CliError::Failed(e.to_string()))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|e| CliError::Failed(e.to_string()))?;

    let uploads = uploads::start(&config)?;
    let cameras = start_cameras(&config, &store, uploads.as_ref())?;
    let uploads = uploads.map(|started| started.uploads);
    let handles: Vec<CameraHandle> = cameras.iter().map(Running::handle).collect();
    let (stop, stopped) = watch::channel(false);
    let feed = Arc::new(Feed::default());
    let web = Web::new(&config, Arc::clone(&store), feed, handles.clone(), stopped).with_uploads(uploads.clone());
    let server = tokio::spawn(web::serve(listeners, web));
    let keeper = Keeper::start(Arc::clone(&store), config.storage.clone())?;
    let watchdog = tokio::spawn(feed_watchdog(handles));

    tracing::info!("listening on {address}");
    if announce == Announce::Yes {
        say(&address);
    }
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::debug!("systemd was not told: {error}");
    }
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: ending"),
        _ = interrupt.recv() => tracing::info!("SIGINT: ending"),
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    // A second signal does not wait for anything.
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::warn!("a second signal: ending at once");
        std::process::abort();
    });
    watchdog.abort();
    keeper.stop();
    stop.send_replace(true);
    let end_cameras = tokio::task::spawn_blocking(move || {
        std::thread::scope(|scope| {
            for camera in cameras {
                scope.spawn(|| camera.stop());
            }
        });
        // What the cameras' last events have left is in the spool.
        if let Some(uploads) = uploads {
            uploads.stop();
        }
    });
    if end_cameras.await.is_err() {
        tracing::error!("a camera did not end in order");
    }
    // Endless streams have ended with their cameras.
    if tokio::time::timeout(Duration::from_secs(5), server).await.is_err() {
        tracing::debug!("connections were still open at the end");
    }
    Ok(())
}

fn start_cameras(
    config: &Config,
    store: &Arc<Store>,
    uploads: Option<&uploads::Started>,
) -> Result<Vec<Running>, CliError> {
    let ids: EventIds = {
        let store = Arc::clone(store);
        Arc::new(move || store.next_event_id())
    };
    let settings = config.storage.path.join("settings");
    let start = |camera: &crate::config::CameraConfig| {
        let mut sinks = vec![pipeline::disk::sink(camera, store)];
        sinks.extend(uploads.and_then(|uploads| uploads.sink(camera)));
        pipeline::start(camera.clone(), &settings, Arc::clone(&ids), sinks)
            .map_err(|e| CliError::Failed(format!("camera {}: {e}", camera.name)))
    };
    config.cameras.values().map(start).collect()
}

#[expect(clippy::print_stdout, reason = "the one line a person who tries the demo waits for")]
fn say(address: &str) {
    println!("{address}");
}

/// Two threads that look after the recordings: one mends what a crash left and reads what was put there by hand, which may
/// take hours; the other deletes old recordings as the configuration says, and cannot wait that long.
struct Keeper(Arc<AtomicBool>);

impl Keeper {
    fn start(store: Arc<Store>, storage: Storage) -> Result<Self, CliError> {
        let stop = Arc::new(AtomicBool::new(false));
        let started = |e: std::io::Error| CliError::Failed(format!("a thread does not start: {e}"));
        let (mended, stopping) = (Arc::clone(&store), Arc::clone(&stop));
        std::thread::Builder::new().name("mender".into()).spawn(move || mend(&mended, &stopping)).map_err(started)?;
        let stopping = Arc::clone(&stop);
        let keep = move || make_room(&store, &storage, &stopping);
        std::thread::Builder::new().name("keeper".into()).spawn(keep).map_err(started)?;
        Ok(Self(stop))
    }

    /// They may be in the middle of something long, which is safe to break off with the process.
    fn stop(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn mend(store: &Store, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        store.settle(stop);
        std::thread::sleep(REFRESH_EVERY);
        if let Err(error) = store.refresh() {
            tracing::warn!("the recordings' folder could not be read: {error}");
        }
    }
}

fn make_room(store: &Store, storage: &Storage, stop: &AtomicBool) {
    let mut synchronised = false;
    while !stop.load(Ordering::Relaxed) {
        if !synchronised && clock::is_synchronised() {
            synchronised = true;
            store.clock_synchronised();
        }
        if let Err(error) = store.retain(storage) {
            tracing::warn!("old recordings could not be deleted: {error}");
        }
        store.wait_for_room_wanted(RETENTION_EVERY);
    }
}

/// Feeds systemd's watchdog while every grab loop gets somewhere.
async fn feed_watchdog(cameras: Vec<CameraHandle>) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let mut due = tokio::time::interval(limit / 3);
    loop {
        due.tick().await;
        match cameras.iter().find(|camera| camera.stuck_for() > HUNG) {
            None => {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            }
            Some(camera) => tracing::error!("camera {} hangs: the watchdog is not fed", camera.name()),
        }
    }
}
