//! What the small services (`serial`, `fan`) share: log, signals, and telling systemd. The camera daemon's are in `serve`.

use std::time::Instant;

use tokio::signal::unix::{SignalKind, signal};

use super::CliError;

/// Logs to standard error what `filter` (such as `info`) lets through.
pub fn log(filter: &str) {
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Fails only if there is a log already.
    let _ = lines.try_init();
}

/// Calls `stop` on SIGTERM or SIGINT.
///
/// # Errors
/// The signals cannot be had.
pub fn on_signal(stop: impl FnOnce() + Send + 'static) -> Result<(), CliError> {
    let failed = |error: std::io::Error| CliError::Failed(format!("signals: {error}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
    let (mut terminate, mut interrupt) = {
        let _inside = runtime.enter();
        (signal(SignalKind::terminate()).map_err(failed)?, signal(SignalKind::interrupt()).map_err(failed)?)
    };
    let wait = move || {
        runtime.block_on(async {
            tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        });
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        stop();
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map_err(failed)?;
    Ok(())
}

/// What a service calls once it is ready and then at every turn of its loop: systemd is told that it is ready, and from then on, as
/// often as its watchdog asks for it, that the loop still turns.
pub fn heart() -> impl FnMut() {
    let every = sd_notify::watchdog_enabled().map(|limit| limit / 3);
    let mut beaten: Option<Instant> = None;
    move || {
        let word = match (beaten, every) {
            (None, _) => sd_notify::NotifyState::Ready,
            (Some(last), Some(every)) if last.elapsed() >= every => sd_notify::NotifyState::Watchdog,
            (Some(_), _) => return,
        };
        beaten = Some(Instant::now());
        if let Err(error) = sd_notify::notify(&[word]) {
            tracing::warn!("telling systemd: {error}");
        }
    }
}
