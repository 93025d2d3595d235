//! Told to stop: first gently, then at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The exit code of a stop that was not waited for.
const AT_ONCE: i32 = 1;

/// Turns true when the process is told to stop. A second signal ends it at once: what was
/// acknowledged is on disk, and the next start reads it from the log.
pub(crate) fn on_signal() -> io::Result<watch::Receiver<bool>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let (stop, stopping) = watch::channel(false);
    tokio::spawn(async move {
        let name = next(&mut interrupt, &mut terminate).await;
        stop.send_replace(true);
        tracing::info!(signal = name, "stopping: no new connections, requests in progress may end");
        let name = next(&mut interrupt, &mut terminate).await;
        tracing::warn!(signal = name, "stopped at once; nothing acknowledged is lost");
        std::process::exit(AT_ONCE);
    });
    Ok(stopping)
}

async fn next(interrupt: &mut Signal, terminate: &mut Signal) -> &'static str {
    tokio::select! {
        _ = interrupt.recv() => "SIGINT",
        _ = terminate.recv() => "SIGTERM",
    }
}

/// Waits until stopping has begun.
pub(super) async fn begun(stopping: &mut watch::Receiver<bool>) {
    // Nobody is left to say so: then nobody will.
    if stopping.wait_for(|begun| *begun).await.is_err() {
        std::future::pending().await
    }
}
