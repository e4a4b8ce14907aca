//! The queue as people see it: adding files, retrying them, and what `status` shows.

use std::collections::BTreeMap;

use serde::Serialize;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{Db, DbError, Unnamed};
use crate::{
    document::{FileId, UserId},
    failure::Code,
};

/// A row of `files` that a client adds.
#[derive(Clone, Debug)]
pub struct NewFile<'a> {
    /// Its id.
    pub file: FileId,
    /// Whose file it is.
    pub user: UserId,
    /// As the user calls it.
    pub name: &'a str,
    /// The key of its object.
    pub object_key: &'a str,
    /// What the client takes it for.
    pub mime_type: &'a str,
    /// Its size.
    pub bytes: i64,
}

/// Which failed files are retried.
#[derive(Clone, Copy, Debug)]
pub enum Failed {
    /// This one.
    File(FileId),
    /// All, or those with this code.
    All(Option<Code>),
}

/// What `status` shows. Its keys only grow.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// Files by `processing_status`.
    pub files: BTreeMap<String, i64>,
    /// Files that may be claimed now.
    pub due_files: i64,
    /// How long the oldest of them has waited.
    pub oldest_due_seconds: Option<f64>,
    /// Failed files by code.
    pub failures: BTreeMap<String, i64>,
    /// Files completed in the last hour.
    pub completed_last_hour: i64,
    /// Their chunks.
    pub chunks_last_hour: i64,
    /// Tokens that were embedded today (UTC).
    pub tokens_today: i64,
    /// What they cost.
    pub cost_usd_today: f64,
    /// What this month's (UTC) cost.
    pub cost_usd_month: f64,
    /// Tokens of requests that were sent and never answered: the provider may have billed them.
    pub uncertain_tokens: i64,
    /// The model that searches and new files use.
    pub active_model: String,
    /// Length of its vectors.
    pub active_dimensions: i32,
}

/// A file's place in the contract's table of outcomes.
#[derive(Clone, Debug, Serialize)]
pub struct FileState {
    /// `files.id`.
    pub id: FileId,
    /// `files.original_name`.
    pub name: String,
    /// `files.processing_status`.
    pub status: String,
    /// `files.processing_error_code`.
    pub code: Option<String>,
    /// `files.processing_error`.
    pub error: Option<String>,
    /// `files.chunk_count`.
    pub chunks: i32,
}

impl Db {
    /// Whether there is such a user.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn has_user(&self, user: UserId) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let found = sqlx::query_scalar!(
            r#"select exists (select from user_profiles where id = $1) as "found!""#,
            user as UserId
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(found)
    }

    /// Adds a file to the queue.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer, [`DbError::Refused`] for an unknown user.
    pub async fn insert_file(&self, new: &NewFile<'_>) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "insert into files (id, user_id, original_name, storage_path, mime_type, file_size)
             values ($1, $2, $3, $4, $5, $6)",
            new.file as FileId,
            new.user as UserId,
            new.name,
            new.object_key,
            new.mime_type,
            new.bytes,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        Ok(tx.commit().await?)
    }

    /// Puts failed files back in the queue, their attempts at 0 and due now; returns how many. A file that is named may
    /// also be one that waits for its next try.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn retry_failed(&self, failed: Failed) -> Result<u64, DbError> {
        let (file, code) = match failed {
            Failed::File(file) => (Some(file.0), None),
            Failed::All(code) => (None, code.map(Code::as_str)),
        };
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files
             set processing_status = 'pending', lease_token = null, due_at = now(),
                 processing_attempts = 0, leases_lost = 0,
                 processing_error = null, processing_error_code = null
             where (processing_status = 'failed' or (id = $1 and processing_status = 'pending'))
               and ($1::uuid is null or id = $1)
               and ($2::text is null or processing_error_code = $2)",
            file as Option<Uuid>,
            code,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// The state of each of these files, in their order.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn states(&self, files: &[Uuid]) -> Result<Vec<FileState>, DbError> {
        let mut tx = self.begin().await?;
        let states = sqlx::query_as!(
            FileState,
            r#"select f.id as "id!: FileId", f.original_name as "name!", f.processing_status::text as "status!",
                   f.processing_error_code as code, f.processing_error as error, f.chunk_count as "chunks!"
               from unnest($1::uuid[]) with ordinality as asked (id, place)
               join files f on f.id = asked.id
               order by asked.place"#,
            files,
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(states)
    }

    /// The queue, the failures and the spend.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn status(&self) -> Result<Status, DbError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_file!("src/db/sql/status.sql")
            .fetch_one(Unnamed(&mut tx))
            .await?;
        let files = sqlx::query!(
            r#"select status::text as "status!", count(f.id) as "files!"
               from unnest(enum_range(null::processing_status)) as status
               left join files f on f.processing_status = status
               group by status"#
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        let failures = sqlx::query!(
            r#"select coalesce(processing_error_code, 'unknown') as "code!", count(*) as "files!"
               from files where processing_status = 'failed' group by 1"#
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(Status {
            files: files
                .into_iter()
                .map(|row| (row.status, row.files))
                .collect(),
            failures: failures
                .into_iter()
                .map(|row| (row.code, row.files))
                .collect(),
            due_files: row.due_files,
            oldest_due_seconds: row.oldest_due_seconds,
            completed_last_hour: row.completed_last_hour,
            chunks_last_hour: row.chunks_last_hour,
            tokens_today: row.tokens_today,
            cost_usd_today: row.cost_usd_today,
            cost_usd_month: row.cost_usd_month,
            uncertain_tokens: row.uncertain_tokens,
            active_model: row.model,
            active_dimensions: row.dimensions,
        })
    }
}

/// Adds a user as a sign-up would, unless there is one; for the embedded stack.
///
/// # Errors
///
/// [`DbError::Refused`] for a connection that is not the owner's.
pub async fn add_user(admin: &mut PgConnection, user: UserId) -> Result<(), DbError> {
    let mut tx = admin.begin().await?;
    sqlx::query!(
        "insert into auth.users (id, email) values ($1, $1::uuid::text || '@example.invalid') on conflict do nothing",
        user as UserId
    )
    .execute(Unnamed(&mut tx))
    .await?;
    Ok(tx.commit().await?)
}

/// Deletes all files of a user with their chunks; returns the keys of their objects. For the embedded stack.
///
/// # Errors
///
/// [`DbError::Refused`] for a connection that is not the owner's.
pub async fn delete_files(admin: &mut PgConnection, user: UserId) -> Result<Vec<String>, DbError> {
    let mut tx = admin.begin().await?;
    let keys = sqlx::query_scalar!(
        "delete from files where user_id = $1 returning storage_path",
        user as UserId
    )
    .fetch_all(Unnamed(&mut tx))
    .await?;
    tx.commit().await?;
    Ok(keys)
}
