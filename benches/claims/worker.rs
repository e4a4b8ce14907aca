//! Workers that claim, and how long that takes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, ensure};
use orion_ingest::db::{self, Db, Scope};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{milliseconds, servers::Servers};

const LEASE: Duration = Duration::from_mins(1);
/// What a worker waits when others have locked every tenant.
const PAUSE: Duration = Duration::from_millis(2);
/// Empty claims of one worker after which nothing can be left.
const TOO_MANY: usize = 5_000;
/// Calls after which Postgres has planned a function's statements for good.
const PLANNED_AFTER: usize = 6;

/// Claims and what they took.
#[derive(Default)]
pub(crate) struct Times {
    /// Of those that gave files.
    pub(crate) claims: Vec<Duration>,
    /// Claims that gave none: others had locked every tenant.
    pub(crate) empty: usize,
    pub(crate) files: usize,
}

impl Times {
    /// In milliseconds.
    pub(crate) fn mean(&self) -> f64 {
        milliseconds(self.claims.iter().sum()) / self.claims.len() as f64
    }

    /// In milliseconds.
    pub(crate) fn p95(&mut self) -> f64 {
        self.claims.sort_unstable();
        let claim = self.claims.get(self.claims.len() * 95 / 100);
        claim.copied().map_or(f64::NAN, milliseconds)
    }
}

/// Databases as so many workers have them, their connections open and their statements planned.
pub(crate) async fn connect(servers: &Servers, workers: usize) -> anyhow::Result<Vec<Db>> {
    let settings = db::Settings {
        url: servers.stack.database_url(),
        max_connections: 1,
        acquire_within: Duration::from_secs(30),
    };
    let mut databases = Vec::new();
    for _ in 0..workers {
        let db = Db::connect(&settings).await?;
        warm_up(&db).await?;
        databases.push(db);
    }
    Ok(databases)
}

/// Makes so many claims, all workers together, and keeps the leases.
pub(crate) async fn claim(databases: &[Db], claims: usize, files: usize) -> anyhow::Result<Times> {
    let made = Arc::new(AtomicUsize::new(0));
    let mut workers = JoinSet::new();
    for db in databases {
        workers.spawn(work(db.clone(), Arc::clone(&made), claims, files));
    }
    let mut times = Times::default();
    while let Some(ended) = workers.join_next().await {
        let more = ended??;
        times.claims.extend(more.claims);
        times.empty += more.empty;
        times.files += more.files;
    }
    Ok(times)
}

async fn work(
    db: Db,
    made: Arc<AtomicUsize>,
    claims: usize,
    files: usize,
) -> anyhow::Result<Times> {
    let mut times = Times::default();
    while made.load(Ordering::Relaxed) < claims {
        let from = Instant::now();
        let leases = db.claim(files, LEASE, &Scope::All).await?;
        if leases.is_empty() {
            times.empty += 1;
            ensure!(times.empty < TOO_MANY, "nothing is left to claim");
            sleep(PAUSE).await;
        } else {
            times.claims.push(from.elapsed());
            times.files += leases.len();
            made.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(times)
}

async fn warm_up(db: &Db) -> anyhow::Result<()> {
    let mut tx = db.begin().await?;
    for _ in 0..PLANNED_AFTER {
        sqlx::query("select from orion_ingest.claim_files(10, interval '60 s', '-infinity')")
            .execute(&mut *tx)
            .await?;
    }
    tx.rollback().await?;
    Ok(())
}

/// Shared buffers that one claim of ten files touches: from the first turn ever, dead or not, and from the earliest that
/// anybody has.
pub(crate) async fn buffers(servers: &Servers) -> anyhow::Result<(u64, u64)> {
    let databases = connect(servers, 1).await?;
    let db = databases.first().context("one was asked for")?;
    let floor: String = sqlx::query_scalar("select min(turn_at)::text from orion_ingest.turns")
        .fetch_one(&mut *db.begin().await?)
        .await?;
    Ok((
        buffers_from(db, "-infinity").await?,
        buffers_from(db, &floor).await?,
    ))
}

async fn buffers_from(db: &Db, turn: &str) -> anyhow::Result<u64> {
    let mut tx = db.begin().await?;
    let explained: serde_json::Value = sqlx::query_scalar(
        "explain (analyze, buffers, format json)
         select * from orion_ingest.claim_files(10, interval '60 s', $1::text::timestamptz, null, null)",
    )
    .bind(turn)
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    let node = &explained[0]["Plan"];
    let count = |name: &str| node[name].as_u64().with_context(|| format!("no {name}"));
    Ok(count("Shared Hit Blocks")? + count("Shared Read Blocks")?)
}
