//! The swap: writers are held, then the two columns, their indexes and the active model change places in one short
//! transaction.
//!
//! Whoever waits for the whole table holds up every reader that comes later, so we wait for a moment only, and again
//! after a pause in which they go on. Autovacuum is kept out first, since it gives way only after a second.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, PgConnection, Postgres, Transaction};
use tokio::time::sleep;

use crate::db::{
    DbError, Unnamed,
    migrate::{self, MigrateError},
};

/// How long readers may have to wait behind us, beside the renames themselves.
const LOCK_WITHIN: &str = "50ms";
/// Pauses in which they go on.
const PAUSE: Duration = Duration::from_millis(150);
/// How often a lock is tried while writers are held.
const MAX_TRIES: u32 = 20;

/// Why nothing was swapped.
#[derive(Debug, thiserror::Error)]
pub enum NotSwapped {
    /// Somebody else has the table for too long.
    #[error("the table is in use: {0}")]
    InTheWay(String),
    /// Rows came that are not filled.
    #[error("rows are left to fill")]
    RowsLeft,
    /// The database does not do as asked.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Somebody else changes the schema or rebuilds indexes.
    #[error(transparent)]
    Locked(#[from] MigrateError),
}

impl From<sqlx::Error> for NotSwapped {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// Writers wait until it is dropped or has swapped; readers do not.
#[derive(Debug)]
pub struct Held<'c> {
    tx: Transaction<'c, Postgres>,
}

/// Holds the writers: commits that are under way end first, later ones wait. The connection keeps indexes from being rebuilt
/// and columns from being dropped, until it is closed.
///
/// # Errors
///
/// [`NotSwapped::InTheWay`] if they or a vacuum take too long.
pub async fn hold(admin: &mut PgConnection) -> Result<Held<'_>, NotSwapped> {
    migrate::lock(admin).await?;
    let mut tx = admin.begin().await?;
    let holds = async {
        // In the way of nobody but vacuums and other changes of the table. An autovacuum gives way.
        run(&mut tx, "set local lock_timeout = '10s'").await?;
        // If we are gone and the server does not see it, the writers go on.
        run(
            &mut tx,
            "set local idle_in_transaction_session_timeout = '30s'",
        )
        .await?;
        run(
            &mut tx,
            "lock table public.document_chunks in share update exclusive mode",
        )
        .await?;
        run(
            &mut tx,
            "select from orion_ingest.active_models where target = 'chunks' for update",
        )
        .await
    };
    match holds.await {
        Ok(()) => Ok(Held { tx }),
        Err(error) if migrate::is_in_the_way(&error) => {
            tx.rollback().await?;
            Err(NotSwapped::InTheWay(
                "a vacuum or a commit of chunks did not end within 10 s".to_owned(),
            ))
        }
        Err(error) => Err(error.into()),
    }
}

impl Held<'_> {
    /// Lets the writers go on.
    ///
    /// # Errors
    ///
    /// A database that does not answer.
    pub async fn let_go(self) -> Result<(), NotSwapped> {
        Ok(self.tx.rollback().await?)
    }

    /// Swaps; how often the lock was tried.
    ///
    /// # Errors
    ///
    /// [`NotSwapped`]; nothing is changed then, and writers go on.
    pub async fn swap(mut self, cut_over: bool) -> Result<u32, NotSwapped> {
        run(
            &mut self.tx,
            &format!("set local lock_timeout = '{LOCK_WITHIN}'"),
        )
        .await?;
        let mut blockers = String::new();
        for tries in 1..=MAX_TRIES {
            match self.try_swap(cut_over).await {
                Ok(true) => {
                    self.tx.commit().await?;
                    return Ok(tries);
                }
                Ok(false) => return Err(NotSwapped::RowsLeft),
                Err(error) if migrate::is_in_the_way(&error) => blockers = self.blockers().await?,
                Err(error) => return Err(error.into()),
            }
            sleep(PAUSE).await;
        }
        Err(NotSwapped::InTheWay(blockers))
    }

    async fn try_swap(&mut self, cut_over: bool) -> Result<bool, sqlx::Error> {
        let mut attempt = self.tx.begin().await?;
        sqlx::raw_sql("lock table public.document_chunks in access exclusive mode")
            .execute(&mut *attempt)
            .await?;
        let swapped = sqlx::query_scalar!(
            r#"select orion_ingest.swap_chunks($1) as "swapped!""#,
            cut_over
        )
        .fetch_one(Unnamed(&mut attempt))
        .await?;
        attempt.commit().await?;
        Ok(swapped)
    }

    /// Who has the table, for people.
    async fn blockers(&mut self) -> Result<String, sqlx::Error> {
        let blockers = sqlx::query_scalar!(
            r#"select coalesce(string_agg(format('process %s (%s, %s, for %s s)', a.pid, a.usename, a.application_name,
                   round(extract(epoch from clock_timestamp() - a.xact_start))), '; '), 'nobody any more') as "blockers!"
               from pg_locks l join pg_stat_activity a on a.pid = l.pid
               where l.relation = 'public.document_chunks'::regclass and l.granted and l.pid <> pg_backend_pid()"#
        )
        .fetch_one(Unnamed(&mut self.tx))
        .await?;
        Ok(blockers)
    }
}

async fn run(connection: &mut PgConnection, statement: &str) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(connection)
        .await?;
    Ok(())
}
