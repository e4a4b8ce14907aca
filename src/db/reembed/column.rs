//! The second column: added, indexed and dropped. One who changes the table at a time, by the lock of the migrations.

use std::time::Duration;

use sqlx::{Connection, PgConnection};
use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    db::{
        migrate::{self, MigrateError},
        reindex::{self, Rebuilt},
    },
    document::Model,
};

/// As long as readers may have to wait behind us.
const LOCK_WITHIN: &str = "set local lock_timeout = '50ms'";
/// Pauses in which they go on.
const PAUSE: Duration = Duration::from_millis(200);
/// Rows that are emptied in one transaction.
const ROWS_AT_ONCE: i32 = 1_000;
/// A minute in all.
const MAX_TRIES: u32 = 240;

/// Adds the column for this model's vectors, unless there is a re-embedding.
///
/// # Errors
///
/// [`MigrateError`] says what to do.
pub async fn begin(admin: &mut PgConnection, model: &Model) -> Result<(), MigrateError> {
    migrate::lock(admin).await?;
    let begun = begin_alone(admin, model).await;
    migrate::unlock(admin).await?;
    begun
}

async fn begin_alone(admin: &mut PgConnection, model: &Model) -> Result<(), MigrateError> {
    if is_under_way(admin).await? {
        return Ok(());
    }
    let dimensions = i32::try_from(model.dimensions).unwrap_or(i32::MAX);
    patiently(admin, async |tx| {
        sqlx::query!(
            "select orion_ingest.begin_reembedding($1, $2)",
            model.name,
            dimensions
        )
        .execute(tx)
        .await
        .map(drop)
    })
    .await
}

/// Drops the second column, if there is one, and gives its room back to the table: what a dropped column holds would stay
/// until each row is written anew. Whether it does: only of the model from before, unless the new one is to be abandoned.
///
/// The lock keeps a swap out, so that what is dropped is what was looked at.
///
/// # Errors
///
/// [`MigrateError`] says what to do.
pub async fn end(admin: &mut PgConnection, abandon: bool) -> Result<bool, MigrateError> {
    migrate::lock(admin).await?;
    let ended = end_alone(admin, abandon).await;
    migrate::unlock(admin).await?;
    ended
}

async fn end_alone(admin: &mut PgConnection, abandon: bool) -> Result<bool, MigrateError> {
    if !is_under_way(admin).await? {
        return Ok(true);
    }
    let begun = sqlx::query!(
        "update orion_ingest.reembeddings set phase = 'finishing'
         where target = 'chunks' and (phase in ('cut_over', 'finishing') or $1)",
        abandon
    )
    .execute(&mut *admin)
    .await?;
    if begun.rows_affected() == 0 {
        return Ok(false);
    }
    // Without them an emptied row stays where it is.
    reindex::drop_next(admin).await?;
    let mut after = Some(Uuid::nil());
    while let Some(last) = after {
        after = sqlx::query_scalar!(
            "select orion_ingest.empty_chunks($1, $2)",
            last,
            ROWS_AT_ONCE
        )
        .fetch_one(&mut *admin)
        .await?;
    }
    sqlx::raw_sql("vacuum public.document_chunks")
        .execute(&mut *admin)
        .await?;
    patiently(admin, async |tx| {
        sqlx::query!("select orion_ingest.end_reembedding()")
            .execute(tx)
            .await
            .map(drop)
    })
    .await?;
    Ok(true)
}

/// Builds the indexes of the second column that are missing, like those of the first and fitted to the rows, while
/// everybody reads and writes.
///
/// # Errors
///
/// [`MigrateError`] says what to do.
pub async fn build_indexes(admin: &mut PgConnection) -> Result<Vec<Rebuilt>, MigrateError> {
    migrate::lock(admin).await?;
    let built = reindex::build_next(admin).await;
    migrate::unlock(admin).await?;
    built
}

async fn is_under_way(admin: &mut PgConnection) -> Result<bool, MigrateError> {
    let found = sqlx::query_scalar!(
        r#"select exists (select from orion_ingest.reembeddings where target = 'chunks') as "found!""#
    )
    .fetch_one(admin)
    .await?;
    Ok(found)
}

/// A change that needs the whole table for a moment: waits for it only briefly, and tries again.
async fn patiently(
    admin: &mut PgConnection,
    change: impl AsyncFn(&mut PgConnection) -> Result<(), sqlx::Error>,
) -> Result<(), MigrateError> {
    for _ in 0..MAX_TRIES {
        let mut tx = admin.begin().await?;
        sqlx::raw_sql(LOCK_WITHIN).execute(&mut *tx).await?;
        match change(&mut tx).await {
            Ok(()) => return Ok(tx.commit().await?),
            Err(error) if migrate::is_in_the_way(&error) => tx.rollback().await?,
            Err(error) => return Err(error.into()),
        }
        sleep(PAUSE).await;
    }
    Err(MigrateError::Held {
        file: "the change of document_chunks".to_owned(),
    })
}
