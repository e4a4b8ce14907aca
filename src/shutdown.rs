//! Two signals: the first asks to finish what is in hand, the second, or time up, to hand it back and leave.

use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long handing back may take; with the usual grace it stays below the 30 seconds that Kubernetes gives.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);

/// What the rest of the program watches.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    finish: CancellationToken,
    leave: CancellationToken,
}

impl Shutdown {
    /// Whether nothing new should be begun.
    #[must_use]
    pub fn is_finishing(&self) -> bool {
        self.finish.is_cancelled()
    }

    /// Resolves when nothing new should be begun.
    pub async fn finishing(&self) {
        self.finish.cancelled().await;
    }

    /// Resolves when what is in hand should be handed back.
    pub async fn leaving(&self) {
        self.leave.cancelled().await;
    }

    /// Resolves when even handing back, and booking what is under way, has taken too long.
    pub async fn overtime(&self) {
        self.leaving().await;
        tokio::time::sleep(LEAVE_WITHIN).await;
    }

    /// Asks to finish what is in hand.
    pub fn finish(&self) {
        self.finish.cancel();
    }

    /// Asks to hand back what is in hand.
    pub fn leave(&self) {
        self.finish.cancel();
        self.leave.cancel();
    }

    /// Follows `signals` until the second of them, or until `grace` after the first.
    pub async fn follow(self, mut signals: Signals, grace: Duration) {
        signals.next().await;
        tracing::warn!(
            grace_seconds = grace.as_secs(),
            "finishing what is in hand; a second signal hands it back"
        );
        self.finish();
        tokio::select! {
            () = signals.next() => tracing::warn!("second signal: handing leases back"),
            () = tokio::time::sleep(grace) => tracing::warn!("time is up: handing leases back"),
        }
        self.leave();
    }
}

/// SIGTERM and SIGINT. Made once, before anything that takes time, and handed on: one that comes in between is kept.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Installs the handlers.
    ///
    /// # Errors
    ///
    /// When they cannot be installed.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Resolves at the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
