//! Brings a database up to date: the files of `migrations/`, then what they left for later.
//!
//! The files may be repeated, so a database that has our tables by other means (psql, the Supabase CLI, an earlier
//! program) is adopted: if its columns have the types that we need, the files add what it lacks. Each file is one
//! transaction that gives up and tries again rather than hold up others for long; large indexes are built afterwards,
//! concurrently. Needs the owner's direct connection: the lock belongs to the session.

mod adopt;
mod deferred;
mod report;

use std::{collections::BTreeMap, time::Duration};

pub use report::{MigrateError, Report, Step};

use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection, error::DatabaseError, postgres::PgDatabaseError};
use tokio::time::sleep;

/// Any number that no other program locks; one migrator at a time.
const LOCK: i64 = 0x6f72_696f_6e00_0001;
const LOCK_EVERY: Duration = Duration::from_millis(250);
/// A migrator that builds large indexes may take long; this one is not needed then.
const MAX_LOCK_TRIES: u32 = 1200;
/// How often a file waits two seconds for its locks: whoever waits for a table holds up all that come later.
const MAX_FILE_TRIES: u32 = 30;
const FILE_EVERY: Duration = Duration::from_secs(1);

const FILES: [File; 8] = [
    File {
        version: 1,
        name: "initial_schema",
        sql: include_str!("../../migrations/001_initial_schema.sql"),
    },
    File {
        version: 2,
        name: "ingestion",
        sql: include_str!("../../migrations/002_ingestion.sql"),
    },
    File {
        version: 3,
        name: "formats",
        sql: include_str!("../../migrations/003_formats.sql"),
    },
    File {
        version: 4,
        name: "budgets",
        sql: include_str!("../../migrations/004_budgets.sql"),
    },
    File {
        version: 5,
        name: "search",
        sql: include_str!("../../migrations/005_search.sql"),
    },
    File {
        version: 6,
        name: "turns",
        sql: include_str!("../../migrations/006_turns.sql"),
    },
    File {
        version: 7,
        name: "hardening",
        sql: include_str!("../../migrations/007_hardening.sql"),
    },
    File {
        version: 8,
        name: "reembedding",
        sql: include_str!("../../migrations/008_reembedding.sql"),
    },
];
const SEED: &str = include_str!("../../migrations/seed.sql");

struct File {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

impl File {
    fn checksum(&self) -> Vec<u8> {
        Sha256::digest(self.sql).to_vec()
    }
}

/// Applies what is missing; may be repeated, and run by several at once.
///
/// # Errors
///
/// [`MigrateError`] says what to do. Files before the one that failed stay applied.
pub async fn migrate(admin: &mut PgConnection, seed: bool) -> Result<Report, MigrateError> {
    check_server(admin).await?;
    check_vector(admin).await?;
    lock(admin).await?;
    let outcome = migrate_alone(admin, seed).await;
    unlock(admin).await?;
    outcome
}

async fn migrate_alone(admin: &mut PgConnection, seed: bool) -> Result<Report, MigrateError> {
    let mut report = Report::default();
    let applied = applied(admin).await?;
    if applied.is_empty() {
        report.steps.extend(adopt::compare(admin).await?);
    }
    for file in &FILES {
        let label = format!("{:03}_{}", file.version, file.name);
        match applied.get(&file.version) {
            Some(checksum) if *checksum == file.checksum() => {
                report.steps.push(Step::AlreadyThere { file: label });
            }
            Some(_) => return Err(MigrateError::Changed { file: label }),
            None => {
                apply(admin, &label, file.sql, Some(file)).await?;
                report.steps.push(Step::Applied { file: label });
            }
        }
    }
    if seed {
        apply(admin, "seed", SEED, None).await?;
        report.steps.push(Step::Seeded);
    }
    deferred::build_all(admin, &mut report).await?;
    Ok(report)
}

async fn check_server(admin: &mut PgConnection) -> Result<(), MigrateError> {
    let server = sqlx::query!(
        r#"select current_setting('server_version_num')::int >= 150000 as "new_enough!",
                  current_setting('server_version') as "found!""#
    )
    .fetch_one(admin)
    .await?;
    if server.new_enough {
        Ok(())
    } else {
        Err(MigrateError::ServerTooOld {
            found: server.found,
        })
    }
}

async fn check_vector(admin: &mut PgConnection) -> Result<(), MigrateError> {
    let found = sqlx::query_scalar!(
        r#"select coalesce(installed_version, default_version) as "version!"
           from pg_available_extensions
           where name = 'vector'"#
    )
    .fetch_optional(admin)
    .await?
    .ok_or(MigrateError::NoVector)?;
    let mut numbers = found
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    if (numbers.next(), numbers.next()) >= (Some(0), Some(8)) {
        Ok(())
    } else {
        Err(MigrateError::VectorTooOld { found })
    }
}

/// Tries and polls: a session that waits for a lock inside Postgres would stop `create index concurrently`.
pub(super) async fn lock(admin: &mut PgConnection) -> Result<(), MigrateError> {
    for _ in 0..MAX_LOCK_TRIES {
        let locked = sqlx::query_scalar!(r#"select pg_try_advisory_lock($1) as "locked!""#, LOCK)
            .fetch_one(&mut *admin)
            .await?;
        if locked {
            return Ok(());
        }
        sleep(LOCK_EVERY).await;
    }
    Err(MigrateError::Busy)
}

/// Lets others at it.
pub(super) async fn unlock(admin: &mut PgConnection) -> Result<(), MigrateError> {
    sqlx::query_scalar!("select pg_advisory_unlock($1)", LOCK)
        .fetch_one(admin)
        .await?;
    Ok(())
}

async fn applied(admin: &mut PgConnection) -> Result<BTreeMap<i64, Vec<u8>>, MigrateError> {
    let recorded = sqlx::query_scalar!(
        r#"select to_regclass('orion_ingest.migrations') is not null as "recorded!""#
    )
    .fetch_one(&mut *admin)
    .await?;
    if !recorded {
        return Ok(BTreeMap::new());
    }
    let rows = sqlx::query!("select version, checksum from orion_ingest.migrations")
        .fetch_all(admin)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| (row.version, row.checksum))
        .collect())
}

/// Runs a file in a transaction that gives up when it must wait for a table, and tries again.
async fn apply(
    admin: &mut PgConnection,
    label: &str,
    sql: &'static str,
    record: Option<&File>,
) -> Result<(), MigrateError> {
    for _ in 0..MAX_FILE_TRIES {
        match try_apply(admin, sql, record).await {
            Ok(()) => return Ok(()),
            Err(error) if is_in_the_way(&error) => sleep(FILE_EVERY).await,
            Err(source) => {
                return Err(MigrateError::Refused {
                    file: label.to_owned(),
                    hint: hint(&source),
                    source,
                });
            }
        }
    }
    Err(MigrateError::Held {
        file: label.to_owned(),
    })
}

async fn try_apply(
    admin: &mut PgConnection,
    sql: &'static str,
    record: Option<&File>,
) -> Result<(), sqlx::Error> {
    let mut tx = admin.begin().await?;
    sqlx::raw_sql("set local lock_timeout = '2s'")
        .execute(&mut *tx)
        .await?;
    sqlx::raw_sql(sql).execute(&mut *tx).await?;
    if let Some(file) = record {
        sqlx::query!(
            "insert into orion_ingest.migrations (version, name, checksum) values ($1, $2, $3)",
            file.version,
            file.name,
            file.checksum(),
        )
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}

/// Whether others hold what we need: a lock timeout, or a deadlock with them.
pub(super) fn is_in_the_way(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .and_then(DatabaseError::code)
        .is_some_and(|code| ["55P03", "40P01"].contains(&&*code))
}

fn hint(error: &sqlx::Error) -> String {
    error
        .as_database_error()
        .and_then(|error| error.try_downcast_ref::<PgDatabaseError>())
        .and_then(PgDatabaseError::hint)
        .map(|hint| format!(": {hint}"))
        .unwrap_or_default()
}
