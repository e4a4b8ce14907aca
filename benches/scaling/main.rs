//! How throughput grows with worker processes, and what they ask of the database:
//! `cargo bench --bench scaling -- [--files N] [--delay MS] [--inputs N] [PROCESSES…]`.
//!
//! Worker processes drain notes side by side, from one database, while the provider takes its time: what one process
//! may have in flight is then what bounds it, and not the cores that all share. Afterwards they run idle for a while.

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the environment, and sleeps while it measures"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "../throughput/notes.rs"]
mod notes;
#[path = "../throughput/servers.rs"]
mod servers;
#[path = "../throughput/uploads.rs"]
mod uploads;
#[path = "../limiter/workers.rs"]
mod workers;

use std::{
    io::{self, Write as _},
    process::Command,
    time::Duration,
};

use anyhow::ensure;
use clap::Parser;
use sqlx::PgConnection;
use tokio::time::{Instant, sleep};

use self::{
    notes::note,
    servers::Servers,
    workers::{Workers, transactions},
};

/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How throughput grows with worker processes.
#[derive(Parser)]
struct Plan {
    /// Notes of a kilobyte for each process.
    #[arg(long, default_value_t = 1_000)]
    files: usize,
    /// How long the provider thinks, in milliseconds.
    #[arg(long, default_value_t = 1_000)]
    delay: u64,
    /// Notes in one request.
    #[arg(long, default_value_t = 4)]
    inputs: usize,
    /// How long workers with nothing to do are watched, in seconds.
    #[arg(long, default_value_t = 20)]
    idle: u64,
    /// Worker processes.
    #[arg(default_values_t = [1, 2, 4, 8])]
    processes: Vec<usize>,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Files that were completed at a moment.
struct Seen {
    at: Instant,
    completed: usize,
}

/// What came of some processes.
struct Measured {
    /// Between a tenth and six tenths of the files: starting takes a moment, and when nothing is left in the queue some
    /// processes still have hundreds in hand and others none.
    files_per_second: f64,
    /// Transactions of the database for each file.
    transactions: f64,
    /// Of each idle worker, in a second.
    idle: f64,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let out = &mut io::stdout();
    writeln!(
        out,
        "{:>9} {:>9} {:>10} {:>20} {:>22}",
        "processes", "files/s", "of linear", "transactions a file", "a second of an idle one"
    )?;
    let mut first = None;
    for processes in &plan.processes {
        let measured = runtime.block_on(plan.run(*processes))?;
        let each = measured.files_per_second / *processes as f64;
        let of_linear = each / *first.get_or_insert(each);
        writeln!(
            out,
            "{processes:>9} {:>9.1} {of_linear:>10.2} {:>20.2} {:>22.2}",
            measured.files_per_second, measured.transactions, measured.idle
        )?;
    }
    Ok(())
}

impl Plan {
    async fn run(&self, processes: usize) -> anyhow::Result<Measured> {
        let servers = Servers::start().await?;
        let measured = self.measure(&servers, processes).await;
        servers.stop().await?;
        measured
    }

    async fn measure(&self, servers: &Servers, processes: usize) -> anyhow::Result<Measured> {
        let files = self.files * processes;
        servers
            .upload(&(0..files).map(note).collect::<Vec<_>>())
            .await?;
        servers.provider().limit(0, 0);
        servers
            .provider()
            .faults
            .delay(Duration::from_millis(self.delay));
        let mut admin = servers.admin().await?;
        let before = transactions(&mut admin).await?;
        let workers = Workers::start(servers, processes, &[], |command: &mut Command| {
            command
                .env("EMBEDDING_RPM", "0")
                .env("EMBEDDING_TPM", "0")
                .env("EMBEDDING_BATCH_INPUTS", self.inputs.to_string());
        })?;
        let (first, looks) = until(&mut admin, files / 10).await?;
        let (last, more_looks) = until(&mut admin, files * 6 / 10).await?;
        let seconds = (last.at - first.at).as_secs_f64();
        let (_, rest) = until(&mut admin, files).await?;
        let busy = transactions(&mut admin).await? - before - looks - more_looks - rest;
        // The last answers are booked, and what is not needed any more is closed.
        sleep(Duration::from_secs(2)).await;
        let before = transactions(&mut admin).await?;
        sleep(Duration::from_secs(self.idle)).await;
        let idle = transactions(&mut admin).await? - before;
        drop(workers);
        Ok(Measured {
            files_per_second: (last.completed - first.completed) as f64 / seconds,
            transactions: busy as f64 / files as f64,
            idle: idle as f64 / self.idle as f64 / processes as f64,
        })
    }
}

/// Waits until so many are completed; how often it looked.
async fn until(admin: &mut PgConnection, files: usize) -> anyhow::Result<(Seen, i64)> {
    let began = Instant::now();
    let mut looks = 0;
    loop {
        let completed = completed(admin).await?;
        looks += 1;
        let at = Instant::now();
        if completed >= files {
            return Ok((Seen { at, completed }, looks));
        }
        ensure!(began.elapsed() < Duration::from_hours(1), "it does not end");
        sleep(LOOK_EVERY).await;
    }
}

async fn completed(admin: &mut PgConnection) -> anyhow::Result<usize> {
    let completed: i64 =
        sqlx::query_scalar("select count(*) from files where processing_status = 'completed'")
            .fetch_one(admin)
            .await?;
    Ok(usize::try_from(completed)?)
}
