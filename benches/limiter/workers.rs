//! Several workers at once.

use std::process::{Child, Command};

use anyhow::Context as _;
use sqlx::PgConnection;

use crate::servers::Servers;

/// Processes that end with this.
pub(crate) struct Workers(Vec<Child>);

impl Workers {
    /// Starts so many, with more settings than where the servers are.
    pub(crate) fn start(
        servers: &Servers,
        processes: usize,
        arguments: &[&str],
        set: impl Fn(&mut Command),
    ) -> anyhow::Result<Self> {
        let start = |_| {
            let mut command = servers.command(arguments);
            set(&mut command);
            command.spawn()
        };
        let workers = (0..processes).map(start).collect::<Result<_, _>>();
        Ok(Self(workers.context("cannot start the program")?))
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            // It may have ended by itself.
            drop(worker.kill());
            drop(worker.wait());
        }
    }
}

/// All that were ever ended in this database, by whoever.
pub(crate) async fn transactions(admin: &mut PgConnection) -> anyhow::Result<i64> {
    let ended = sqlx::query_scalar(
        "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()",
    );
    Ok(ended.fetch_one(admin).await?)
}
