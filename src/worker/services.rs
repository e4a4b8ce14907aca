//! What runs beside the files: the pump of embedding requests, the hint listener, the refresh of settings, HTTP.

use std::{pin::pin, sync::Arc, time::Duration};

use tokio::{
    net::TcpListener,
    sync::Notify,
    task::{JoinError, JoinSet},
};

use super::{Ending, Settled, Until, work};
use crate::{
    app::App,
    db::{self, DbError},
    embedding::Pump,
    ops::http,
    shutdown::{Shutdown, Signals},
    telemetry::Chain,
};

/// Changed `file_type_configs` are looked for once in so many polls …
const POLLS_A_REFRESH: u32 = 4;
/// … and at least this often, however rarely the queue is polled; the promise is within a minute.
const MAX_REFRESH_EVERY: Duration = Duration::from_secs(20);

/// Why the work stopped before its end.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// A drain could not reach the database.
    #[error("the database does not answer")]
    Database(#[from] DbError),
    /// A part of this program died.
    #[error("a part of the worker died")]
    Service(#[from] JoinError),
    /// A part of this program ended on its own.
    #[error("a part of the worker ended")]
    Ended,
}

/// What runs beside the files.
#[derive(Debug)]
pub struct Services {
    /// Sends the embedding requests.
    pub pump: Pump,
    /// Hears of new files, where LISTEN works.
    pub listener: Option<db::Listener>,
    /// Where health and metrics are served.
    pub http: Option<TcpListener>,
}

/// Runs the services and the work until its end; every answer under way is booked before it returns.
///
/// # Errors
///
/// [`WorkerError`]
pub async fn run(
    app: Arc<App>,
    services: Services,
    signals: Signals,
    until: &Until,
    on_settled: impl FnMut(&Settled),
) -> Result<Ending, WorkerError> {
    let shutdown = Shutdown::default();
    let hint = Arc::new(Notify::new());
    let mut pumps = JoinSet::new();
    pumps.spawn(services.pump.run());
    let mut beside = JoinSet::new();
    beside.spawn(shutdown.clone().follow(signals, app.grace));
    tracing::info!(concurrency = app.concurrency, model = %app.embedder().model().name, "working");
    beside.spawn(say_what_children_can_do(app.clone()));
    if let Some(listener) = services.listener {
        beside.spawn(listener.run(hint.clone()));
    }
    if let Some(listener) = services.http {
        let app = app.clone();
        beside.spawn(async move {
            if let Err(error) = http::serve(listener, app).await {
                tracing::error!(error = %Chain(&error), "health and metrics are no longer served");
            }
        });
    }
    let mut working = pin!(work(&app, until, &shutdown, &hint, on_settled));
    let ending = loop {
        tokio::select! {
            ending = &mut working => break ending,
            pump = follow(&app) => {
                pumps.spawn(pump.run());
                // A worker that the other model's provider had halted would not wake by itself.
                hint.notify_one();
            }
            Some(ended) = pumps.join_next() => {
                // The pump of a model that is no longer active has booked what it sent.
                if ended.is_ok() && !pumps.is_empty() {
                    continue;
                }
                // Nothing can be embedded any more: hand everything back, then say why.
                shutdown.leave();
                working.await?;
                return Err(ended.map_or_else(WorkerError::Service, |()| WorkerError::Ended));
            }
        }
    };
    app.stop_embedding();
    book_the_rest(&mut pumps, &shutdown).await?;
    Ok(ending?)
}

/// Says once under which limits files are read: a kernel or a container may not have all of them.
async fn say_what_children_can_do(app: Arc<App>) {
    let limits = app.sandbox.limits();
    match app.sandbox.freedom().await {
        Ok(freedom) if freedom.is_none() => {
            tracing::info!(%limits, "files are read in child processes without files, network or programs of their own");
        }
        Ok(freedom) => {
            tracing::warn!(%limits, reach = %freedom.reach(), "files are read in child processes that this system does not confine: it has no seccomp, or the container forbids it");
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), "child processes do not say what they can do");
        }
    }
}

/// Waits until the answers under way are booked; not for long once everybody was asked to leave: a request that is not
/// answered by then stays `uncertain` in the ledger, as after a crash.
async fn book_the_rest(pumps: &mut JoinSet<()>, shutdown: &Shutdown) -> Result<(), WorkerError> {
    let booked = async {
        while let Some(ended) = pumps.join_next().await {
            ended?;
        }
        Ok(())
    };
    tokio::select! {
        booked = booked => booked,
        () = shutdown.overtime() => {
            tracing::warn!("requests are still unanswered; they stay uncertain in the ledger");
            Ok(())
        }
    }
}

/// Follows `file_type_configs` and the active model; the pump that embeds with another model from now on.
async fn follow(app: &App) -> Pump {
    let refresh_every = MAX_REFRESH_EVERY.min(app.poll_every * POLLS_A_REFRESH);
    loop {
        tokio::select! {
            () = tokio::time::sleep(refresh_every) => {}
            () = app.model_changed.notified() => {}
        }
        match app.refresh().await {
            Ok(Some(pump)) => return pump,
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(error = %Chain(error.as_ref()), "could not look for changed file types; the last known ones hold");
            }
        }
    }
}
