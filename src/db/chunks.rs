//! The commit: the new chunks of files replace their old ones, and the files are completed, in one short transaction.

use std::collections::HashSet;

use pgvector::Vector;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Db, DbError, Unnamed, ledger};
use crate::{
    document::{Chunk, Chunked, FileId, Lease, Model},
    failpoint::{self, Line},
};

/// Rows in one insert: 6 KB of vector each, so that a message stays below a megabyte. A connection holds it twice while it
/// is sent.
const ROWS_AT_ONCE: usize = 100;

/// What a finished file leaves in the database.
#[derive(Debug)]
pub struct Ingested {
    /// SHA-256 of the object.
    pub sha256: [u8; 32],
    /// Its text and chunks.
    pub chunked: Chunked,
    /// One vector a chunk, in the same order; `None` if they are left to the file's stash.
    pub vectors: Option<Vec<Vector>>,
    /// The model that made the vectors.
    pub model: Model,
}

/// A file that is to be committed.
pub(super) type Finished<'a> = (&'a Lease, &'a Ingested);

impl Db {
    /// Fences, then replaces the files' chunks, then completes them: readers see a file's old chunks or its new ones.
    /// Which files: nothing is written for one whose lease is lost, or whose row somebody else has locked.
    ///
    /// # Errors
    ///
    /// [`DbError::ModelChanged`] when the active model is no longer the one that made the vectors,
    /// [`DbError::VectorsGone`] when some that were left to the database are not there any more,
    /// [`DbError::Unavailable`] when the database does not answer. Nothing is written for any of them.
    ///
    /// # Panics
    ///
    /// If there is not one vector a chunk.
    pub(super) async fn commit_unlocked(
        &self,
        files: &[Finished<'_>],
    ) -> Result<Vec<bool>, DbError> {
        let mut tx = self.begin().await?;
        let committed = replace_all(&mut tx, files).await?;
        tx.commit().await?;
        Ok(committed)
    }

    /// As [`Db::commit_unlocked`], once nobody else has locked the file's row.
    ///
    /// # Errors
    ///
    /// As there, and [`DbError::LeaseLost`].
    pub(super) async fn commit_one(&self, file: Finished<'_>) -> Result<(), DbError> {
        let mut tx = self.begin().await?;
        sqlx::query!(
            "select from files where id = $1 for no key update",
            file.0.file as FileId
        )
        .execute(Unnamed(&mut tx))
        .await?;
        if replace_all(&mut tx, &[file]).await? != [true] {
            return Err(DbError::LeaseLost);
        }
        Ok(tx.commit().await?)
    }
}

async fn replace_all(tx: &mut PgConnection, files: &[Finished<'_>]) -> Result<Vec<bool>, DbError> {
    for (_, ingested) in files {
        let (chunks, vectors) = (&ingested.chunked.chunks, ingested.vectors.as_ref());
        assert!(
            vectors.is_none_or(|vectors| vectors.len() == chunks.len()),
            "every chunk has its vector"
        );
    }
    let fenced = complete(tx, files).await?;
    let is_ours = |(lease, _): &Finished<'_>| fenced.contains(&lease.token.0);
    let ours: Vec<Finished<'_>> = files.iter().copied().filter(is_ours).collect();
    if !ours.is_empty() {
        let models: HashSet<&Model> = ours.iter().map(|(_, done)| &done.model).collect();
        for model in models {
            hold_model(tx, model).await?;
        }
        for file in ours.iter().filter(|(_, done)| done.vectors.is_none()) {
            keep_vectors(tx, *file).await?;
        }
        let ids: Vec<Uuid> = ours.iter().map(|(lease, _)| lease.file.0).collect();
        failpoint::reach(Line::Fenced);
        delete_chunks(tx, &ids).await?;
        failpoint::reach(Line::Deleted);
        let rows: Vec<Row<'_>> = ours.iter().flat_map(|file| rows(*file)).collect();
        for rows in rows.chunks(ROWS_AT_ONCE) {
            insert_chunks(tx, rows).await?;
        }
        failpoint::reach(Line::Inserted);
        ledger::forget_stash(tx, &ids).await?;
        failpoint::reach(Line::Committing);
    }
    Ok(files.iter().map(is_ours).collect())
}

/// Completes the files whose leases are still ours, before anything else is written; the tokens of these leases.
async fn complete(tx: &mut PgConnection, files: &[Finished<'_>]) -> Result<HashSet<Uuid>, DbError> {
    let leases = files.iter().map(|(lease, _)| lease);
    let ids: Vec<Uuid> = leases.clone().map(|lease| lease.file.0).collect();
    let tokens: Vec<Uuid> = leases.map(|lease| lease.token.0).collect();
    let ingested = files.iter().map(|(_, ingested)| ingested);
    let texts: Vec<&str> = ingested
        .clone()
        .map(|ingested| &*ingested.chunked.text)
        .collect();
    let counts: Vec<i32> = ingested
        .clone()
        .map(|ingested| i32::try_from(ingested.chunked.chunks.len()).unwrap_or(i32::MAX))
        .collect();
    let hashes: Vec<&[u8]> = ingested.map(|ingested| &ingested.sha256[..]).collect();
    let fenced = sqlx::query_file_scalar!(
        "src/db/sql/complete_files.sql",
        &ids,
        &tokens,
        &texts as &[&str],
        &counts,
        &hashes as &[&[u8]],
    )
    .fetch_all(Unnamed(tx))
    .await?;
    Ok(fenced.into_iter().collect())
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

/// Brings into the file's stash what it needs of the user's chunks, before its own are deleted.
async fn keep_vectors(
    tx: &mut PgConnection,
    (lease, ingested): Finished<'_>,
) -> Result<(), DbError> {
    let hashes = ingested
        .chunked
        .chunks
        .iter()
        .map(|chunk| &chunk.sha256[..]);
    let hashes: Vec<&[u8]> = hashes.collect();
    ledger::keep(tx, &ingested.model, lease, &hashes).await
}

async fn delete_chunks(tx: &mut PgConnection, files: &[Uuid]) -> Result<(), DbError> {
    sqlx::query!("delete from document_chunks where file_id = any($1)", files)
        .execute(Unnamed(tx))
        .await?;
    Ok(())
}

/// A chunk, its vector, the model that made it, and whose it is.
#[derive(Clone, Copy)]
struct Row<'a> {
    lease: &'a Lease,
    model: &'a Model,
    chunked: &'a Chunked,
    chunk: &'a Chunk,
    vector: Option<&'a Vector>,
}

fn rows((lease, ingested): Finished<'_>) -> impl Iterator<Item = Row<'_>> {
    let chunks = ingested.chunked.chunks.iter().enumerate();
    chunks.map(move |(place, chunk)| Row {
        lease,
        model: &ingested.model,
        chunked: &ingested.chunked,
        chunk,
        vector: ingested.vectors.as_ref().map(|vectors| &vectors[place]),
    })
}

/// Inserts by arrays in binary form. COPY would take 13 % less, but Postgres refuses it to a role that is under
/// row-level security, which the worker's role is on purpose.
async fn insert_chunks(tx: &mut PgConnection, rows: &[Row<'_>]) -> Result<(), DbError> {
    let number = |n: u32| i32::try_from(n).unwrap_or(i32::MAX);
    let chunks = rows.iter().map(|row| row.chunk);
    let files: Vec<Uuid> = rows.iter().map(|row| row.lease.file.0).collect();
    let users: Vec<Uuid> = rows.iter().map(|row| row.lease.user.0).collect();
    let models: Vec<&str> = rows.iter().map(|row| &*row.model.name).collect();
    let indexes: Vec<i32> = chunks.clone().map(|chunk| number(chunk.index)).collect();
    let contents: Vec<&str> = rows
        .iter()
        .map(|row| row.chunked.content(row.chunk))
        .collect();
    let pages: Vec<Option<i32>> = chunks.clone().map(|chunk| chunk.page.map(number)).collect();
    let headings: Vec<Option<&str>> = rows
        .iter()
        .map(|row| row.chunked.heading(row.chunk))
        .collect();
    let tokens: Vec<i32> = chunks.clone().map(|chunk| number(chunk.tokens)).collect();
    let hashes: Vec<&[u8]> = chunks.map(|chunk| &chunk.sha256[..]).collect();
    let metadata: Vec<serde_json::Value> = rows.iter().map(metadata).collect();
    let vectors: Vec<Option<&Vector>> = rows.iter().map(|row| row.vector).collect();
    let done = sqlx::query_file!(
        "src/db/sql/insert_chunks.sql",
        &files,
        &users,
        &models as &[&str],
        &indexes,
        &contents as &[&str],
        &pages as &[Option<i32>],
        &headings as &[Option<&str>],
        &tokens,
        &hashes as &[&[u8]],
        &metadata,
        &vectors as &[Option<&Vector>],
        number(rows.first().map_or(0, |row| row.model.dimensions)),
    )
    .execute(Unnamed(tx))
    .await?;
    if done.rows_affected() == rows.len() as u64 {
        Ok(())
    } else {
        Err(DbError::VectorsGone)
    }
}

/// What a chunk says of itself beyond its columns; `prefix` and `content` are the text that was embedded.
fn metadata(row: &Row<'_>) -> serde_json::Value {
    let chunk = row.chunk;
    serde_json::json!({
        "last_page": chunk.last_page,
        "start": chunk.span.start,
        "end": chunk.span.end,
        "prefix": row.chunked.prefix(chunk),
        "embedded_tokens": chunk.embedded.tokens,
    })
}
