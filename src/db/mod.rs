//! Postgres: the only home of SQL.
//!
//! Every statement runs in an explicit transaction and as an unnamed statement, so that it is right behind any
//! transaction pooler. The functions of this module's children take a transaction's connection, wrap it in
//! [`Unnamed`], and leave the commit to their caller.

mod budgets;
mod chunks;
mod error;
mod file_types;
mod files;
mod group;
mod leases;
pub mod ledger;
mod listen;
pub mod migrate;
pub mod reembed;
pub mod reindex;
mod reingest;
mod search;
mod unnamed;

use std::{
    io,
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use pgvector::Vector;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgConnection, PgPool, Postgres, Transaction,
    postgres::{PgConnectOptions, PgPoolOptions},
};

pub use budgets::{Budget, Heard, Part, Reserved};
pub use chunks::Ingested;
pub use error::DbError;
pub use files::{Failed, FileState, NewFile, Status, add_user, delete_files};
pub use leases::{Backlog, Scope};
pub use listen::Listener;
pub use reingest::Which;
pub use search::Hit;
use time::OffsetDateTime;
pub use unnamed::Unnamed;

/// How long an idle connection is taken to be alive.
const TRUSTED_FOR: Duration = Duration::from_secs(1);

/// How long the owner's connection may take.
const ADMIN_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for an answer on which the worker's loop depends.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// How to reach a database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgres://…`, direct or of a transaction pooler.
    pub url: SecretString,
    /// Connections that this process holds at most.
    pub max_connections: u32,
    /// How long a caller waits for one of them.
    pub acquire_within: Duration,
}

/// A pool of connections.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    /// The earliest turn of any tenant and when it was read; claims start there.
    floor: Arc<Mutex<Option<(OffsetDateTime, Instant)>>>,
    /// Files that are committed together.
    group: Arc<group::Group>,
}

impl Db {
    /// Makes sure that the database lets us in, and opens the pool.
    ///
    /// # Errors
    ///
    /// If the URL is none, or the database cannot be reached or refuses the credentials.
    pub async fn connect(settings: &Settings) -> Result<Self, DbError> {
        let options = options(&settings.url)?
            // A pooler refuses start-up parameters, and named statements do not outlive a transaction behind it.
            .extra_float_digits(None)
            .statement_cache_capacity(0);
        // Outside the pool, which would try a refused connection again until `acquire_within` is over, and hide why.
        open(&options, settings.acquire_within)
            .await?
            .close()
            .await?;
        let pool = PgPoolOptions::new()
            .max_connections(settings.max_connections)
            .acquire_timeout(settings.acquire_within)
            .after_connect(|connection, _| Box::pin(learn_types(connection)))
            // One that was just given back was found alive then; each look is a round trip.
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    if meta.idle_for > TRUSTED_FOR {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            })
            .after_release(|connection, _| {
                // Else the largest statement of each connection would stay in memory for good.
                connection.shrink_buffers();
                Box::pin(async { Ok(true) })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            floor: Arc::default(),
            group: Arc::default(),
        })
    }

    /// Closes every connection, and waits for those in use.
    pub async fn close(&self) {
        self.pool.close().await;
    }

    /// Starts a transaction; dropping it rolls it back.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`], whatever it was: no statement of ours has been refused yet.
    pub async fn begin(&self) -> Result<Transaction<'static, Postgres>, DbError> {
        self.pool.begin().await.map_err(DbError::Unavailable)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query_scalar!("select 1")
            .fetch_one(Unnamed(&mut tx))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Whether the connection's role may do more than the worker needs.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn is_powerful(&self) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let powerful = sqlx::query_scalar!(
            r#"select rolsuper or rolbypassrls or rolcreaterole or rolcreatedb
                   -- The worker deletes no files; owners of tables and back ends may.
                   or coalesce(has_table_privilege(to_regclass('public.files'), 'delete'), false) as "powerful!"
               from pg_roles where rolname = current_user"#
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(powerful)
    }

    fn lock_floor(&self) -> MutexGuard<'_, Option<(OffsetDateTime, Instant)>> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a new connection look pgvector's types up, by names that it binds.
///
/// A connection that meets an unknown type in an *answer* asks for it between parsing and binding, which loses the
/// unnamed statement. A database without pgvector yet is for the first query to complain about.
async fn learn_types(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut tx = connection.begin().await?;
    let learned = sqlx::query_scalar!(
        r#"select $1::vector is null and $2::vector[] is null as "nothing!""#,
        None::<Vector> as Option<Vector>,
        None::<Vec<Vector>> as Option<Vec<Vector>>,
    )
    .fetch_one(Unnamed(&mut tx))
    .await;
    match learned {
        Ok(_) | Err(sqlx::Error::TypeNotFound { .. }) => tx.rollback().await,
        Err(error) => Err(error),
    }
}

/// Bounds a statement whose answer may never come: a server that went without a word looks like a slow one.
///
/// # Errors
///
/// [`DbError::Unavailable`] when the time is up, and those of `work`.
pub async fn answered<T>(work: impl Future<Output = Result<T, DbError>>) -> Result<T, DbError> {
    tokio::time::timeout(ANSWER_WITHIN, work)
        .await
        .unwrap_or_else(|_| {
            Err(DbError::Unavailable(
                io::Error::from(io::ErrorKind::TimedOut).into(),
            ))
        })
}

/// As `make_interval(secs => …)` takes it.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64()
}

/// One direct connection as the owner, for `migrate`.
///
/// # Errors
///
/// [`DbError::Unavailable`] when it cannot be reached.
pub async fn connect_admin(url: &SecretString) -> Result<PgConnection, DbError> {
    open(&options(url)?, ADMIN_WITHIN).await
}

fn options(url: &SecretString) -> Result<PgConnectOptions, DbError> {
    Ok(PgConnectOptions::from_str(url.expose_secret())?.application_name("orion-ingest"))
}

/// A connection that does not wait for ever on a host that swallows packets.
async fn open(options: &PgConnectOptions, within: Duration) -> Result<PgConnection, DbError> {
    match tokio::time::timeout(within, PgConnection::connect_with(options)).await {
        Ok(connection) => Ok(connection?),
        Err(_) => Err(DbError::Unavailable(sqlx::Error::Io(std::io::Error::new(
            std::io::ErrorKind::TimedOut,
            format!("no answer within {within:?}"),
        )))),
    }
}
