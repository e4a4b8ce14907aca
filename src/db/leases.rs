//! The six things done to a lease but commit: claim, renew, release, retry, wait, reject.
//!
//! Every write that ends a lease names its token and must touch exactly one row. Only the database's clock
//! decides what is due.

use std::time::{Duration, Instant};

use sqlx::postgres::PgQueryResult;
use time::OffsetDateTime;
use uuid::Uuid;

use super::{Db, DbError, Unnamed, seconds};
use crate::{
    document::{FileId, Lease, LeaseToken, UserId},
    failpoint::{self, Line},
    failure::Code,
};

/// How long after its row an object may come: uploads may follow their rows by that much.
const UPLOAD_GRACE: Duration = Duration::from_mins(10);

/// How long a floor under the tenants' turns is used before it is read again.
const FLOOR_FOR: Duration = Duration::from_secs(1);

/// Which files a worker may claim.
#[derive(Clone, Debug, Default)]
pub enum Scope {
    /// Whatever is due.
    #[default]
    All,
    /// These files of one user.
    Only {
        /// Whose they are.
        user: UserId,
        /// Which.
        files: Vec<Uuid>,
    },
}

impl Scope {
    fn user(&self) -> Option<Uuid> {
        match self {
            Self::All => None,
            Self::Only { user, .. } => Some(user.0),
        }
    }

    fn files(&self) -> Option<&[Uuid]> {
        match self {
            Self::All => None,
            Self::Only { files, .. } => Some(files),
        }
    }
}

/// What is left to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Files that are `pending` or `processing`, whoever has them.
    pub files: i64,
    /// Time until the next of them is due, by the database's clock; zero when one is.
    pub next_due_in: Option<Duration>,
    /// How long the first of them has been due.
    pub oldest_due_for: Option<Duration>,
}

impl Db {
    /// Claims up to `max_files` due files of `scope` for `lease_for`, the least recently served tenants first.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    ///
    /// # Panics
    ///
    /// If the database gives more files than were asked for.
    pub async fn claim(
        &self,
        max_files: usize,
        lease_for: Duration,
        scope: &Scope,
    ) -> Result<Vec<Lease>, DbError> {
        // Taken before the claim is sent, so that it ends before the database's own.
        let ends_at = Instant::now() + lease_for;
        let turn_from = self.turn_floor().await?;
        let mut tx = self.begin().await?;
        let rows = sqlx::query_file!(
            "src/db/sql/claim.sql",
            i32::try_from(max_files).unwrap_or(i32::MAX),
            seconds(lease_for),
            turn_from,
            scope.user(),
            scope.files(),
            seconds(UPLOAD_GRACE),
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        if !rows.is_empty() {
            failpoint::reach(Line::Claiming);
        }
        tx.commit().await?;
        assert!(
            rows.len() <= max_files,
            "the database gave more files than were asked for"
        );
        Ok(rows
            .into_iter()
            .map(|row| Lease {
                file: row.id,
                user: row.user_id,
                token: row.lease_token,
                object_key: row.storage_path,
                name: row.original_name,
                mime_type: row.mime_type,
                claimed_bytes: row.file_size,
                attempts: row.processing_attempts,
                leases_lost: row.leases_lost,
                fatal_sha256: row.fatal_sha256,
                upload_may_come: row.upload_may_come,
                ends_at,
            })
            .collect())
    }

    /// The earliest turn of any tenant, at most a second old.
    ///
    /// Claims start their scan there and so step over the dead index entries of turns already taken. A turn that is
    /// set earlier meanwhile (an upload whose transaction took long) is seen a second later.
    async fn turn_floor(&self) -> Result<OffsetDateTime, DbError> {
        if let Some((floor, read_at)) = *self.lock_floor()
            && read_at.elapsed() < FLOOR_FOR
        {
            return Ok(floor);
        }
        let read_at = Instant::now();
        let mut tx = self.begin().await?;
        let floor = sqlx::query_scalar!(
            r#"select least(min(turn_at), now()) as "floor!" from orion_ingest.turns"#
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        *self.lock_floor() = Some((floor, read_at));
        Ok(floor)
    }

    /// Renews a lease for `lease_for` from now.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] when it is somebody else's.
    pub async fn renew(&self, lease: &Lease, lease_for: Duration) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files
             set due_at = now() + make_interval(secs => $3)
             where id = $1 and lease_token = $2",
            lease.file as FileId,
            lease.token as LeaseToken,
            seconds(lease_for),
        )
        .execute(Unnamed(&mut tx))
        .await?;
        fenced(&done)?;
        tx.commit().await?;
        failpoint::reach(Line::Renewed);
        Ok(())
    }

    /// Hands a lease back unused: the file is due now, and nothing is charged.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] when it is somebody else's.
    pub async fn release(&self, lease: &Lease) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files
             set processing_status = 'pending', lease_token = null, due_at = now()
             where id = $1 and lease_token = $2",
            lease.file as FileId,
            lease.token as LeaseToken,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        fenced(&done)?;
        Ok(tx.commit().await?)
    }

    /// Puts a file back in the queue after a failure: due again after `after` and up to half of it, or a minute, more, so
    /// that what failed together does not come back together.
    ///
    /// `charge` is what the failure costs the file of its attempts: 1, or 0 for an outage. Without a code the last
    /// error stays.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] when it is somebody else's.
    pub async fn retry(
        &self,
        lease: &Lease,
        charge: i32,
        after: Duration,
        error: Option<(Code, &str)>,
    ) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files
             set processing_status = 'pending', lease_token = null,
                 due_at = now() + make_interval(secs => $3::float8 + random() * least($3::float8 / 2, 60)),
                 processing_attempts = processing_attempts + $4,
                 processing_error_code = coalesce($5, processing_error_code),
                 processing_error = coalesce($6, processing_error)
             where id = $1 and lease_token = $2",
            lease.file as FileId,
            lease.token as LeaseToken,
            seconds(after),
            charge,
            error.map(|(code, _)| code.as_str()),
            error.map(|(_, message)| message),
        )
        .execute(Unnamed(&mut tx))
        .await?;
        fenced(&done)?;
        Ok(tx.commit().await?)
    }

    /// Notes that extraction died on an object with this hash; the lease goes on.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] when it is somebody else's.
    pub async fn note_death(&self, lease: &Lease, sha256: &[u8; 32]) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files set fatal_sha256 = $3 where id = $1 and lease_token = $2",
            lease.file as FileId,
            lease.token as LeaseToken,
            sha256,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        fenced(&done)?;
        Ok(tx.commit().await?)
    }

    /// Fails a file until somebody retries it. Chunks that an earlier ingest left stay, and `chunk_count` counts them.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] when it is somebody else's.
    pub async fn reject(
        &self,
        lease: &Lease,
        charge: i32,
        code: Code,
        message: &str,
    ) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        let done = sqlx::query!(
            "update files
             set processing_status = 'failed', lease_token = null, processed_at = now(),
                 processing_attempts = processing_attempts + $3,
                 processing_error_code = $4, processing_error = $5
             where id = $1 and lease_token = $2",
            lease.file as FileId,
            lease.token as LeaseToken,
            charge,
            code.as_str(),
            message,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        fenced(&done)?;
        Ok(tx.commit().await?)
    }

    /// What of `scope` is left to do, whoever has it.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn backlog(&self, scope: &Scope) -> Result<Backlog, DbError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query!(
            r#"select count(*) as "files!",
                   extract(epoch from min(due_at) - now())::float8 as due_in
               from files
               where processing_status in ('pending', 'processing')
                 and ($1::uuid[] is null or id = any($1))"#,
            scope.files() as Option<&[Uuid]>,
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        // A conversion fails for the sign that the other field is for, and for `infinity`.
        let after = |seconds: f64| Duration::try_from_secs_f64(seconds).unwrap_or_default();
        Ok(Backlog {
            files: row.files,
            next_due_in: row.due_in.map(after),
            oldest_due_for: row.due_in.map(|due_in| after(-due_in)),
        })
    }
}

/// A write that ends a lease touched its one row, or the lease was lost.
fn fenced(done: &PgQueryResult) -> Result<(), DbError> {
    match done.rows_affected() {
        1 => Ok(()),
        _ => Err(DbError::LeaseLost),
    }
}
