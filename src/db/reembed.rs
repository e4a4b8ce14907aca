//! A re-embedding as the database has it: its state, the slices that are left, the rows of a slice.
//!
//! The second column is there only meanwhile, so what names it is in functions of `migrations/008_reembedding.sql`, which
//! look it up when they run. Needs the owner's connection.

mod column;
mod swap;

use std::time::Duration;

use serde::Serialize;
use uuid::Uuid;

pub use self::{
    column::{begin, build_indexes, end},
    swap::{Held, NotSwapped, hold},
};
use super::{Db, DbError, Unnamed, seconds};
use crate::document::{Model, UserId};

/// How far a re-embedding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The second column is being filled for the first time.
    Filling,
    /// The new model is active; the one from before is kept.
    CutOver,
    /// The model from before is active again; the new one is kept.
    RolledBack,
    /// The second column is being dropped.
    Finishing,
}

impl Phase {
    fn parse(phase: &str) -> Self {
        match phase {
            "cut_over" => Self::CutOver,
            "rolled_back" => Self::RolledBack,
            "finishing" => Self::Finishing,
            _ => Self::Filling,
        }
    }
}

/// A re-embedding and how far it is. Its keys only grow.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reembedding {
    /// How far.
    pub phase: Phase,
    /// The model that is searched and stored with.
    pub active: Model,
    /// The model of the second column.
    pub next: Model,
    /// Chunks when it was planned; `None` until all are divided into slices.
    pub rows_planned: Option<i64>,
    /// Vectors written since.
    pub rows_done: i64,
    /// Chunks that the provider refuses.
    pub rows_skipped: i64,
    /// Slices that are left.
    pub slices_left: i64,
    /// Of those, how many somebody works on.
    pub slices_held: i64,
    /// Seconds since it was planned.
    pub seconds: f64,
    /// Tokens billed.
    pub tokens: i64,
    /// US dollars billed.
    pub cost_usd: f64,
    /// Size of the table with its indexes when it was planned.
    pub bytes_before: i64,
    /// The largest size seen.
    pub bytes_peak: i64,
    /// Its size now.
    pub bytes: i64,
}

/// What there is to embed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Chunks.
    pub rows: i64,
    /// Of those, how many have no count of their tokens.
    pub uncounted: i64,
    /// The tokens of the others.
    pub tokens: i64,
    /// Size of the table with its indexes.
    pub bytes: i64,
}

/// A chunk to embed.
#[derive(Clone, Debug)]
pub struct Unfilled {
    /// `document_chunks.id`.
    pub id: Uuid,
    /// Whose it is.
    pub user: UserId,
    /// What is embedded.
    pub text: String,
}

impl Db {
    /// The re-embedding under way, if there is one.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn reembedding(&self) -> Result<Option<Reembedding>, DbError> {
        let mut tx = self.begin().await?;
        let row = sqlx::query_file!("src/db/sql/reembedding.sql")
            .fetch_optional(Unnamed(&mut tx))
            .await?;
        tx.commit().await?;
        Ok(row.map(|row| Reembedding {
            phase: Phase::parse(&row.phase),
            active: model(row.active_model, row.active_dimensions),
            next: model(row.next_model, row.next_dimensions),
            rows_planned: row.rows_planned,
            rows_done: row.rows_done,
            rows_skipped: row.rows_skipped,
            slices_left: row.slices_left,
            slices_held: row.slices_held,
            seconds: row.seconds,
            tokens: row.tokens,
            cost_usd: row.cost_usd,
            bytes_before: row.bytes_before,
            bytes_peak: row.bytes_peak.max(row.bytes),
            bytes: row.bytes,
        }))
    }

    /// What a re-embedding of all chunks would have to embed.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn extent(&self) -> Result<Extent, DbError> {
        let mut tx = self.begin().await?;
        let extent = sqlx::query_as!(
            Extent,
            r#"select count(*) as "rows!", count(*) filter (where c.tokens is null) as "uncounted!",
                   coalesce(sum(c.tokens), 0)::bigint as "tokens!",
                   pg_total_relation_size('public.document_chunks') as "bytes!"
               from (select (metadata ->> 'embedded_tokens')::bigint as tokens from public.document_chunks) c"#
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(extent)
    }

    /// Texts of chunks whose tokens nobody has counted, at random as their ids are.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn uncounted(&self, limit: i64) -> Result<Vec<String>, DbError> {
        let mut tx = self.begin().await?;
        let texts = sqlx::query_scalar!(
            r#"select coalesce(metadata ->> 'prefix', '') || content as "text!"
               from public.document_chunks
               where metadata ->> 'embedded_tokens' is null
               order by id
               limit $1"#,
            limit
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(texts)
    }

    /// Divides the chunks into slices, unless somebody has.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn slice_chunks(&self, rows_a_slice: i32) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!("select orion_ingest.slice_chunks($1)", rows_a_slice)
            .execute(Unnamed(&mut tx))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Leases what comes next for this model: one slice, or those of many files.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn claim_slices(
        &self,
        holder: Uuid,
        model: &Model,
        lease_for: Duration,
    ) -> Result<Vec<i64>, DbError> {
        let mut tx = self.begin().await?;
        let slices = sqlx::query_scalar!(
            r#"select slice as "slice!"
               from orion_ingest.claim_slices($1, $2, make_interval(secs => $3)) as slice"#,
            holder,
            model.name,
            seconds(lease_for),
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(slices)
    }

    /// Whether nothing is left for this model but so many files that came meanwhile; what somebody holds is left.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn is_filled_but(&self, model: &Model, files: i64) -> Result<bool, DbError> {
        let mut tx = self.begin().await?;
        let is_filled = sqlx::query_scalar!(
            r#"select count(*) <= $1 and count(*) = count(file_id) or not exists (
                   select from orion_ingest.reembeddings r
                   where r.target = 'chunks' and r.model = $2 and r.phase <> 'finishing'
               ) as "is_filled!"
               from orion_ingest.reembedding_slices where target = 'chunks'"#,
            files,
            model.name,
        )
        .fetch_one(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(is_filled)
    }

    /// Holds for longer what `holder` has.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn renew_slices(&self, holder: Uuid, lease_for: Duration) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update orion_ingest.reembedding_slices
             set due_at = now() + make_interval(secs => $2)
             where target = 'chunks' and lease_token = $1",
            holder,
            seconds(lease_for),
        )
        .execute(Unnamed(&mut tx))
        .await?;
        Ok(tx.commit().await?)
    }

    /// The chunks of slices that have no vector yet.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn slice_rows(&self, slices: &[i64]) -> Result<Vec<Unfilled>, DbError> {
        let mut tx = self.begin().await?;
        let rows = sqlx::query_as!(
            Unfilled,
            r#"select id as "id!", user_id as "user!: UserId", embedded_text as "text!"
               from orion_ingest.slice_rows($1)"#,
            slices
        )
        .fetch_all(Unnamed(&mut tx))
        .await?;
        tx.commit().await?;
        Ok(rows)
    }

    /// Deletes slices that are done, and notes the rows that can't be; those that are no longer `holder`'s stay.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn finish_slices(
        &self,
        holder: Uuid,
        slices: &[i64],
        model: &Model,
        skipped: &[(Uuid, String)],
    ) -> Result<(), DbError> {
        let (rows, reasons): (Vec<Uuid>, Vec<String>) = skipped.iter().cloned().unzip();
        let mut tx = self.begin().await?;
        sqlx::query!(
            "insert into orion_ingest.reembedding_skips (target, row_id, model, reason)
             select 'chunks', s.id, $3, s.reason from unnest($1::uuid[], $2::text[]) as s (id, reason)
             on conflict do nothing",
            &rows,
            &reasons,
            model.name,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        sqlx::query!(
            "delete from orion_ingest.reembedding_slices where id = any($1) and lease_token = $2
               and exists (select from orion_ingest.reembeddings r where r.target = 'chunks' and r.model = $3)",
            slices,
            holder,
            model.name,
        )
        .execute(Unnamed(&mut tx))
        .await?;
        Ok(tx.commit().await?)
    }

    /// Hands slices back, due again after a while.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn release_slices(
        &self,
        holder: Uuid,
        slices: &[i64],
        after: Duration,
    ) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update orion_ingest.reembedding_slices
             set due_at = now() + make_interval(secs => $3), lease_token = null
             where id = any($1) and lease_token = $2",
            slices,
            holder,
            seconds(after),
        )
        .execute(Unnamed(&mut tx))
        .await?;
        Ok(tx.commit().await?)
    }

    /// Notes how large the table is, if it has never been larger.
    ///
    /// # Errors
    ///
    /// [`DbError::Unavailable`] when the database does not answer.
    pub async fn note_size(&self) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "update orion_ingest.reembeddings
             set bytes_peak = pg_total_relation_size('public.document_chunks')
             where target = 'chunks' and bytes_peak < pg_total_relation_size('public.document_chunks')"
        )
        .execute(Unnamed(&mut tx))
        .await?;
        Ok(tx.commit().await?)
    }
}

fn model(name: String, dimensions: i32) -> Model {
    Model {
        name,
        dimensions: dimensions.unsigned_abs(),
    }
}
