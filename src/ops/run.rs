//! `run`, `--drain` and the draining half of `ingest`.

use std::{
    cell::RefCell,
    convert::Infallible,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;

use crate::{
    app::App,
    config::Config,
    db::{Listener, Scope},
    objects::CheckError,
    ops::{
        http,
        progress::{Progress, Screen},
        report::{Report, Tally},
        storage_problem,
    },
    shutdown::Signals,
    worker::{self, Ending, Services, Until},
};

/// How long a drain waits for storage's word on the credentials before it begins.
const CHECK_WITHIN: Duration = Duration::from_secs(5);
/// How often a drain's progress is shown anew.
const SHOW_EVERY: Duration = Duration::from_millis(250);
/// How often the rest of the queue is counted: others fill and empty it too.
const COUNT_EVERY: Duration = Duration::from_secs(5);

/// A worker that is connected and has not begun.
#[derive(Debug)]
pub struct Worker {
    /// Its parts.
    pub app: Arc<App>,
    services: Services,
    http_addr: Option<SocketAddr>,
}

impl Worker {
    /// Connects everything that `config` names.
    ///
    /// # Errors
    ///
    /// A database that does not answer or is not migrated.
    pub async fn connect(config: Config) -> anyhow::Result<Self> {
        let (url, direct_url, http_addr) = (
            config.database.url.clone(),
            config.database.direct_url.clone(),
            config.worker.http_addr,
        );
        let (app, pump) = App::connect(config).await?;
        let listener = Listener::connect(&url, direct_url.as_ref()).await;
        Ok(Self {
            app: Arc::new(app),
            services: Services {
                pump,
                listener,
                http: None,
            },
            http_addr,
        })
    }

    /// Serves health and metrics, if the settings say where.
    ///
    /// # Errors
    ///
    /// An address that is in use.
    pub async fn listen(&mut self) -> anyhow::Result<()> {
        if let Some(address) = self.http_addr {
            let listener = http::bind(address)
                .await
                .with_context(|| format!("HTTP_ADDR: cannot listen on {address}"))?;
            // Port 0 is any that is free.
            let address = listener.local_addr()?;
            tracing::info!(%address, "serving /healthz, /readyz and /metrics");
            self.services.http = Some(listener);
        }
        Ok(())
    }

    /// Works until a signal.
    ///
    /// # Errors
    ///
    /// A part of this program that died.
    pub async fn serve(self, signals: Signals) -> anyhow::Result<Ending> {
        let app = self.app;
        let work = Box::pin(worker::run(
            app.clone(),
            self.services,
            signals,
            &Until::Stopped,
            |_| {},
        ));
        // Said at the start, without holding anything up.
        let warn = async {
            if let Err(error) = app.objects.check().await {
                tracing::error!("{}", storage_problem(&error));
            }
            std::future::pending::<Infallible>().await
        };
        let ended = tokio::select! {
            ended = work => ended,
            never = warn => match never {},
        };
        app.db.close().await;
        Ok(ended?)
    }

    /// Works until nothing of `scope` is left.
    ///
    /// # Errors
    ///
    /// A database that does not answer, storage that refuses the credentials.
    pub async fn drain(
        self,
        scope: Scope,
        timeout: Option<Duration>,
        screen: &Screen,
        signals: Signals,
    ) -> anyhow::Result<(Ending, Report)> {
        let app = self.app.clone();
        let done = Box::pin(self.drain_and_report(scope, timeout, screen, signals)).await;
        app.db.close().await;
        done
    }

    async fn drain_and_report(
        self,
        scope: Scope,
        timeout: Option<Duration>,
        screen: &Screen,
        signals: Signals,
    ) -> anyhow::Result<(Ending, Report)> {
        let app = self.app;
        let give_up_at = timeout.map(|timeout| Instant::now() + timeout);
        let files = app.db.backlog(&scope).await?.files;
        if files > 0 {
            check_credentials(&app).await?;
        }
        let tally = RefCell::new(Tally::default());
        let progress = Progress::draining(screen, files);
        let until = Until::Drained { scope, give_up_at };
        let work = worker::run(app.clone(), self.services, signals, &until, |settled| {
            tally.borrow_mut().add(settled);
        });
        let ended = tokio::select! {
            ended = work => ended,
            never = show(&app, until.scope(), &progress, &tally) => match never {},
        };
        progress.end();
        let ending = ended?;
        let left = app
            .db
            .backlog(until.scope())
            .await
            .ok()
            .map(|backlog| backlog.files);
        let report = tally.into_inner().report(&app, ending.as_str(), left);
        Ok((ending, report))
    }
}

/// Keeps the progress up to date.
async fn show(app: &App, scope: &Scope, progress: &Progress, tally: &RefCell<Tally>) -> Infallible {
    let mut tick = tokio::time::interval(SHOW_EVERY);
    let mut counted_at = Instant::now();
    loop {
        tick.tick().await;
        if counted_at.elapsed() >= COUNT_EVERY {
            counted_at = Instant::now();
            // Without an answer the last count holds.
            if let Ok(backlog) = app.db.backlog(scope).await {
                progress.left(&tally.borrow(), backlog.files, app.concurrency);
            }
        }
        progress.show(app, &tally.borrow());
    }
}

/// A drain does not wait out refused credentials, which only a person can mend.
async fn check_credentials(app: &App) -> anyhow::Result<()> {
    match tokio::time::timeout(CHECK_WITHIN, app.objects.check()).await {
        Ok(Err(
            error @ (CheckError::AccessKeyId(_)
            | CheckError::SecretOrRegion(_)
            | CheckError::NoBucket),
        )) => {
            anyhow::bail!(storage_problem(&error))
        }
        // An outage is waited out.
        Ok(Ok(()) | Err(CheckError::Other(_))) | Err(_) => Ok(()),
    }
}
