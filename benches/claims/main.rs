//! What a claim costs, whatever the backlog:
//! `cargo bench --bench claims -- [--rows N]… [--tenants N]… [--workers N]… [--aged N]`.
//!
//! Fills the queue of an embedded Postgres and has workers, each with connections of its own, claim from it side by
//! side. At the end it claims and completes `--aged` files while somebody holds an old snapshot, so that no vacuum may
//! remove what they leave in the indexes, and measures again.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the environment, and writes rows that the program never writes"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

mod queue;
#[path = "../throughput/servers.rs"]
mod servers;
mod worker;

use std::{
    collections::BTreeMap,
    io::{self, Write as _},
    time::Duration,
};

use clap::Parser;

use self::{queue::Queue, servers::Servers, worker::Times};

/// Claims of a cell, of all workers together; fewer where the files would not last.
const CLAIMS: usize = 200;
/// Files of one claim that is measured.
const FILES: usize = 10;
/// Files of one claim that only ages the indexes.
const BATCH: usize = 50;
/// Such claims before their files are completed: well before their leases end.
const BATCHES: usize = 20;
/// Whose files those are.
const AGED_TENANTS: usize = 100;
/// How much a claim may vary with the number of rows.
const FLAT_WITHIN: f64 = 2.0;
/// What a claim may take under an old snapshot, in milliseconds.
const AGED_WITHIN: f64 = 5.0;

/// What a claim costs, whatever the backlog.
#[derive(Parser)]
struct Plan {
    /// Files that wait.
    #[arg(long, default_values_t = [1_000, 100_000])]
    rows: Vec<usize>,
    /// Whose they are.
    #[arg(long, default_values_t = [1, 100, 10_000])]
    tenants: Vec<usize>,
    /// Who claim side by side.
    #[arg(long, default_values_t = [1, 16])]
    workers: Vec<usize>,
    /// Files that are claimed under an old snapshot.
    #[arg(long, default_value_t = 20_000)]
    aged: usize,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Mean milliseconds by tenants and workers, of every number of rows.
type Means = BTreeMap<(usize, usize), Vec<f64>>;

fn main() -> anyhow::Result<()> {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(async {
        let servers = Servers::start().await?;
        plan.cells(&servers).await?;
        plan.age(&servers).await?;
        servers.stop().await
    })
}

impl Plan {
    /// Every number of rows with every number of tenants and workers.
    async fn cells(&self, servers: &Servers) -> anyhow::Result<()> {
        writeln!(
            io::stdout(),
            "{:>9} {:>8} {:>8} {:>9} {:>9} {:>8} {:>8} {:>8}",
            "rows",
            "tenants",
            "workers",
            "mean, ms",
            "p95, ms",
            "claims",
            "empty",
            "buffers"
        )?;
        let mut means = Means::new();
        let mut queue = Queue::of(servers).await?;
        for &rows in &self.rows {
            for &tenants in self.tenants.iter().filter(|&&tenants| tenants <= rows) {
                queue.fill(rows, tenants).await?;
                for &workers in &self.workers {
                    let mean = cell(&mut queue, servers, (rows, tenants, workers)).await?;
                    means.entry((tenants, workers)).or_default().push(mean);
                }
            }
        }
        print_flatness(&means)?;
        Ok(())
    }

    /// Claims before and after many others under a snapshot that is older than these.
    async fn age(&self, servers: &Servers) -> anyhow::Result<()> {
        let mut queue = Queue::of(servers).await?;
        // Twice what is measured stays in the queue.
        let rows = self.aged + 4 * CLAIMS * FILES;
        queue.fill(rows, AGED_TENANTS).await?;
        let workers = worker::connect(servers, 1).await?;
        let before = worker::claim(&workers, CLAIMS, FILES).await?;
        queue.tidy().await?;
        let mut old = Queue::of(servers).await?;
        old.take_snapshot().await?;
        let mut aged = 0;
        while aged < self.aged {
            let left = (self.aged - aged).div_ceil(BATCH);
            aged += worker::claim(&workers, left.min(BATCHES), BATCH)
                .await?
                .files;
            queue.complete().await?;
        }
        let mut after = worker::claim(&workers, CLAIMS, FILES).await?;
        let mut before = before;
        let (buffers, from_floor) = worker::buffers(servers).await?;
        writeln!(
            io::stdout(),
            "\nunder an old snapshot, {AGED_TENANTS} tenants, {aged} files claimed and completed: \
             mean {:.2} ms, p95 {:.2} (before: {:.2}, {:.2}; to reach: {AGED_WITHIN}), {buffers} buffers from the first turn ever, {from_floor} from the earliest",
            after.mean(),
            after.p95(),
            before.mean(),
            before.p95(),
        )?;
        Ok(())
    }
}

/// Measures one cell, prints it, and leaves the queue as it was.
async fn cell(
    queue: &mut Queue,
    servers: &Servers,
    (rows, tenants, workers): (usize, usize, usize),
) -> anyhow::Result<f64> {
    let databases = worker::connect(servers, workers).await?;
    queue.tidy().await?;
    let claims = CLAIMS.min(rows / FILES / 2);
    let mut times: Times = worker::claim(&databases, claims, FILES).await?;
    queue.give_back().await?;
    queue.tidy().await?;
    let (buffers, _) = worker::buffers(servers).await?;
    queue.tidy().await?;
    writeln!(
        io::stdout(),
        "{rows:>9} {tenants:>8} {workers:>8} {:>9.2} {:>9.2} {:>8} {:>8} {buffers:>8}",
        times.mean(),
        times.p95(),
        times.claims.len(),
        times.empty,
    )?;
    Ok(times.mean())
}

fn print_flatness(means: &Means) -> io::Result<()> {
    writeln!(io::stdout())?;
    for ((tenants, workers), means) in means.iter().filter(|(_, means)| means.len() > 1) {
        let slowest = means.iter().copied().fold(0.0, f64::max);
        let fastest = means.iter().copied().fold(f64::INFINITY, f64::min);
        writeln!(
            io::stdout(),
            "{tenants} tenants, {workers} workers: slowest ÷ fastest {:.2} (to reach: {FLAT_WITHIN})",
            slowest / fastest
        )?;
    }
    Ok(())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
