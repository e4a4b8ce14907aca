//! The commit: a file's new chunks replace its old ones, and the file is completed, in one short transaction.

use pgvector::Vector;
use sqlx::PgConnection;

use super::{Db, DbError, Unnamed, leases::fenced, ledger};
use crate::document::{Chunk, FileId, Lease, LeaseToken, Model, UserId};

/// Rows in one insert: 6 KB of vector each, so that a message stays near 3 MB.
const ROWS_AT_ONCE: usize = 500;

/// What a finished file leaves in the database.
#[derive(Debug)]
pub struct Ingested {
    /// SHA-256 of the object.
    pub sha256: [u8; 32],
    /// The clean text, stored as `files.extracted_text`.
    pub text: String,
    /// Its chunks, in order.
    pub chunks: Vec<Chunk>,
    /// One vector a chunk, in the same order.
    pub vectors: Vec<Vector>,
    /// The model that made the vectors.
    pub model: Model,
}

impl Db {
    /// Fences, then replaces the file's chunks, then completes it: readers see the old ones or the new ones.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] before anything is written, [`DbError::ModelChanged`] when the active model is no longer
    /// the one that made the vectors, [`DbError::Unavailable`] when the database does not answer.
    ///
    /// # Panics
    ///
    /// If there is not one vector a chunk.
    pub async fn commit(&self, lease: &Lease, ingested: &Ingested) -> Result<(), DbError> {
        assert_eq!(
            ingested.chunks.len(),
            ingested.vectors.len(),
            "every chunk has its vector"
        );
        let mut tx = self.begin().await?;
        complete(&mut tx, lease, ingested).await?;
        hold_model(&mut tx, &ingested.model).await?;
        delete_chunks(&mut tx, lease.file).await?;
        for (chunks, vectors) in ingested
            .chunks
            .chunks(ROWS_AT_ONCE)
            .zip(ingested.vectors.chunks(ROWS_AT_ONCE))
        {
            insert_chunks(&mut tx, lease, chunks, vectors, &ingested.model).await?;
        }
        ledger::forget_stash(&mut tx, lease.file).await?;
        Ok(tx.commit().await?)
    }
}

/// Fails with `LeaseLost` before anything is written.
async fn complete(
    tx: &mut PgConnection,
    lease: &Lease,
    ingested: &Ingested,
) -> Result<(), DbError> {
    let done = sqlx::query!(
        "update files
         set processing_status = 'completed', lease_token = null, processed_at = now(),
             extracted_text = $3, chunk_count = $4, content_sha256 = $5,
             processing_error = null, processing_error_code = null
         where id = $1 and lease_token = $2",
        lease.file as FileId,
        lease.token as LeaseToken,
        ingested.text,
        i32::try_from(ingested.chunks.len()).unwrap_or(i32::MAX),
        &ingested.sha256,
    )
    .execute(Unnamed(tx))
    .await?;
    fenced(&done)
}

/// Holds the active model until the commit, so that a cutover waits for us or we see it.
async fn hold_model(tx: &mut PgConnection, model: &Model) -> Result<(), DbError> {
    let active = sqlx::query_scalar!(
        r#"select model = $1 and dimensions = $2 as "same!"
           from orion_ingest.active_models
           where target = 'chunks'
           for share"#,
        model.name,
        i32::try_from(model.dimensions).unwrap_or(i32::MAX),
    )
    .fetch_one(Unnamed(tx))
    .await?;
    if active {
        Ok(())
    } else {
        Err(DbError::ModelChanged)
    }
}

async fn delete_chunks(tx: &mut PgConnection, file: FileId) -> Result<(), DbError> {
    sqlx::query!(
        "delete from document_chunks where file_id = $1",
        file as FileId
    )
    .execute(Unnamed(tx))
    .await?;
    Ok(())
}

/// Inserts by arrays in binary form. COPY would take 13 % less, but Postgres refuses it to a role that is under
/// row-level security, which the worker's role is on purpose.
async fn insert_chunks(
    tx: &mut PgConnection,
    lease: &Lease,
    chunks: &[Chunk],
    vectors: &[Vector],
    model: &Model,
) -> Result<(), DbError> {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let indexes: Vec<i32> = chunks.iter().map(|chunk| number(chunk.index)).collect();
    let contents: Vec<&str> = chunks.iter().map(Chunk::text).collect();
    let pages: Vec<Option<i32>> = chunks.iter().map(|chunk| chunk.page.map(number)).collect();
    let headings: Vec<Option<&str>> = chunks
        .iter()
        .map(|chunk| chunk.heading.as_deref())
        .collect();
    let tokens: Vec<i32> = chunks.iter().map(|chunk| number(chunk.tokens)).collect();
    let hashes: Vec<&[u8]> = chunks.iter().map(|chunk| &chunk.sha256[..]).collect();
    let metadata: Vec<serde_json::Value> = chunks.iter().map(metadata).collect();
    let done = sqlx::query_file!(
        "src/db/sql/insert_chunks.sql",
        lease.file as FileId,
        lease.user as UserId,
        model.name,
        &indexes,
        &contents as &[&str],
        &pages as &[Option<i32>],
        &headings as &[Option<&str>],
        &tokens,
        &hashes as &[&[u8]],
        &metadata,
        vectors as &[Vector],
    )
    .execute(Unnamed(tx))
    .await?;
    assert_eq!(
        done.rows_affected(),
        chunks.len() as u64,
        "every chunk became a row"
    );
    Ok(())
}

/// What a chunk says of itself beyond its columns; `prefix` and `content` are the text that was embedded.
fn metadata(chunk: &Chunk) -> serde_json::Value {
    serde_json::json!({
        "last_page": chunk.last_page,
        "start": chunk.span.start,
        "end": chunk.span.end,
        "prefix": chunk.embedded.prefix(),
        "embedded_tokens": chunk.embedded.tokens,
    })
}
