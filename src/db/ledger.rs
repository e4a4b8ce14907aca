//! The bill: what was sent to the provider, what it charged and to whom, and the vectors that are paid for.
//!
//! A request is recorded before it is sent and settled with its bill and its vectors in one transaction, so that
//! settled ≤ the provider's bill ≤ settled + uncertain, whatever dies and whenever.

use std::{collections::HashMap, time::Duration};

use pgvector::Vector;
use sqlx::{PgConnection, query, query_file, query_scalar};
use uuid::Uuid;

use super::{DbError, Unnamed};
use crate::document::{FileId, Lease, Model, UserId};

/// `provider` in `usage_logs`: whose interface is spoken.
const PROVIDER: &str = "openai";

/// A request as it is about to be sent.
#[derive(Clone, Debug)]
pub struct Outgoing<'a> {
    /// Whose vectors it asks for.
    pub model: &'a Model,
    /// How many texts.
    pub inputs: usize,
    /// Their tokens by our count.
    pub tokens: u32,
    /// Whether an operator's re-embedding asks.
    pub is_reembedding: bool,
}

/// The answer to a recorded request.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// What [`record`] returned.
    pub request: Uuid,
    /// The model that made the vectors.
    pub model: Model,
    /// Tokens by the provider's count.
    pub billed: u32,
    /// US dollars per million tokens.
    pub price_per_mtok: f64,
    /// The billed tokens, divided without remainder.
    pub shares: Vec<Share>,
    /// Whose text each vector belongs to; empty if the answer had no usable vectors, or if they are for rows.
    pub owners: Vec<Owner>,
    /// The chunks whose vectors a re-embedding asked for.
    pub rows: Vec<Uuid>,
    /// As many as owners or rows.
    pub vectors: Vec<Vector>,
}

/// A part of a bill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Who pays.
    pub user: UserId,
    /// What for; a query is for no file.
    pub file: Option<FileId>,
    /// How much.
    pub tokens: u32,
}

/// To whom a vector belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The tenant.
    pub user: UserId,
    /// The file that asked for it; the vector of a query is not kept.
    pub file: Option<FileId>,
    /// SHA-256 of the embedded text.
    pub sha256: [u8; 32],
}

/// The day's bill.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spent {
    /// US dollars since midnight, UTC.
    pub usd: f64,
    /// Until the next midnight.
    pub day_left: Duration,
}

/// What a user may still spend this month.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Allowance {
    /// Tokens left of the quota; `None` without a quota. Negative once it is overdrawn.
    pub tokens: Option<i64>,
    /// US dollars left of the quota; `None` without a quota. Negative once it is overdrawn.
    pub usd: Option<f64>,
}

/// Notes that a request is about to be sent: until it is settled or refused it may or may not be billed.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn record(tx: &mut PgConnection, outgoing: &Outgoing<'_>) -> Result<Uuid, DbError> {
    let row = query!(
        "insert into orion_ingest.embedding_requests (provider, model, dimensions, inputs, tokens, is_reembedding)
         values ($1, $2, $3, $4, $5, $6)
         returning id",
        PROVIDER,
        outgoing.model.name,
        dimensions(outgoing.model),
        i32::try_from(outgoing.inputs).unwrap_or(i32::MAX),
        i32::try_from(outgoing.tokens).unwrap_or(i32::MAX),
        outgoing.is_reembedding,
    )
    .fetch_one(Unnamed(tx))
    .await?;
    Ok(row.id)
}

/// Tokens that the re-embedding under way has cost or may have cost, held until the transaction ends so that no other
/// process counts at the same time.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn reembedding_tokens(tx: &mut PgConnection, model: &Model) -> Result<u64, DbError> {
    query!("select from orion_ingest.reembeddings where target = 'chunks' for no key update")
        .execute(Unnamed(tx))
        .await?;
    let tokens = query_scalar!(
        r#"select coalesce(sum(coalesce(q.billed_tokens, q.tokens)), 0)::bigint as "tokens!"
           from orion_ingest.embedding_requests q
           join orion_ingest.reembeddings r on q.sent_at >= r.started_at
           where q.is_reembedding and q.state <> 'refused' and q.model = $1 and q.dimensions = $2"#,
        model.name,
        dimensions(model),
    )
    .fetch_one(Unnamed(tx))
    .await?;
    Ok(tokens.unsigned_abs())
}

/// Notes that the provider refused a request, or never got it: it is not billed.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn refuse(tx: &mut PgConnection, request: Uuid) -> Result<(), DbError> {
    query!(
        "update orion_ingest.embedding_requests
         set state = 'refused', settled_at = now()
         where id = $1 and state = 'uncertain'",
        request,
    )
    .execute(Unnamed(tx))
    .await?;
    Ok(())
}

/// Books an answer: the request, the bill by user and file, the users' totals and the vectors, in the stash or in the rows
/// that they are for. Safe to repeat.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn settle(tx: &mut PgConnection, settlement: &Settlement) -> Result<(), DbError> {
    let shares = &settlement.shares;
    let owners = &settlement.owners;
    let users = shares.iter().map(|share| share.user.0).collect::<Vec<_>>();
    let files = shares
        .iter()
        .map(|share| share.file.map(|file| file.0))
        .collect::<Vec<_>>();
    let tokens = shares
        .iter()
        .map(|share| i64::from(share.tokens))
        .collect::<Vec<_>>();
    let owner_users = owners.iter().map(|owner| owner.user.0).collect::<Vec<_>>();
    let owner_files = owners
        .iter()
        .map(|owner| owner.file.map(|file| file.0))
        .collect::<Vec<_>>();
    let hashes = owners
        .iter()
        .map(|owner| owner.sha256.to_vec())
        .collect::<Vec<_>>();
    query_file!(
        "src/db/sql/settle_request.sql",
        settlement.request,
        i32::try_from(settlement.billed).unwrap_or(i32::MAX),
        settlement.price_per_mtok,
        &users,
        &files as &[Option<Uuid>],
        &tokens,
        &owner_users,
        &owner_files as &[Option<Uuid>],
        &hashes,
        &settlement.vectors as _,
    )
    .execute(Unnamed(tx))
    .await?;
    if !settlement.rows.is_empty() {
        query_scalar!(
            "select orion_ingest.fill_chunks($1, $2, $3)",
            settlement.model.name,
            &settlement.rows,
            &settlement.vectors as &[Vector],
        )
        .fetch_one(Unnamed(tx))
        .await?;
    }
    Ok(())
}

/// A text of a user, and whether its vector is asked for or only whether there is one.
pub type Asked = (UserId, [u8; 32], bool);

/// Vectors that users have already paid for, by the user and the hash of the text; `None` where only that was asked.
pub type Known = HashMap<(UserId, [u8; 32]), Option<Vec<f32>>>;

/// Which of these texts have vectors already: each a user's, who has paid for it.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn recall(
    tx: &mut PgConnection,
    model: &Model,
    texts: &[Asked],
) -> Result<Known, DbError> {
    let users: Vec<Uuid> = texts.iter().map(|(user, ..)| user.0).collect();
    let hashes: Vec<&[u8]> = texts.iter().map(|(_, hash, _)| &hash[..]).collect();
    let held: Vec<bool> = texts.iter().map(|(.., held)| *held).collect();
    let rows = query_file!(
        "src/db/sql/recall_vectors.sql",
        &users,
        model.name,
        dimensions(model),
        &hashes as &[&[u8]],
        &held,
    )
    .fetch_all(Unnamed(tx))
    .await?;
    let known = rows.into_iter().filter_map(|row| {
        let hash = <[u8; 32]>::try_from(row.sha256).ok()?;
        Some(((UserId(row.user), hash), row.vector.map(Into::into)))
    });
    Ok(known.collect())
}

/// Stashes for a file what vectors its texts have elsewhere, so that its stash has all that there are.
///
/// # Errors
///
/// If the database is not available or refuses.
pub(super) async fn keep(
    tx: &mut PgConnection,
    model: &Model,
    lease: &Lease,
    hashes: &[&[u8]],
) -> Result<(), DbError> {
    query_file!(
        "src/db/sql/keep_vectors.sql",
        lease.file.0,
        lease.user.0,
        model.name,
        dimensions(model),
        hashes as &[&[u8]],
    )
    .execute(Unnamed(tx))
    .await?;
    Ok(())
}

/// Drops the stashed vectors of files; their chunks hold them now.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn forget_stash(tx: &mut PgConnection, files: &[Uuid]) -> Result<(), DbError> {
    query!(
        "delete from orion_ingest.stashed_vectors where file_id = any($1)",
        files
    )
    .execute(Unnamed(tx))
    .await?;
    Ok(())
}

/// The day's bill so far, requests in flight included.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn spent_today(tx: &mut PgConnection, price_per_mtok: f64) -> Result<Spent, DbError> {
    let row = query_file!("src/db/sql/spent_today.sql", price_per_mtok)
        .fetch_one(Unnamed(tx))
        .await?;
    Ok(Spent {
        usd: row.usd,
        day_left: Duration::try_from_secs_f64(row.seconds_left).unwrap_or_default(),
    })
}

/// What is left of the users' own quotas; those without one are left out.
///
/// # Errors
///
/// If the database is not available or refuses.
pub async fn allowances(
    tx: &mut PgConnection,
    users: &[Uuid],
) -> Result<HashMap<UserId, Allowance>, DbError> {
    let rows = query_file!("src/db/sql/allowances.sql", users)
        .fetch_all(Unnamed(tx))
        .await?;
    let left = rows.into_iter().map(|row| {
        let allowance = Allowance {
            tokens: row.tokens,
            usd: row.cost_usd,
        };
        (UserId(row.user), allowance)
    });
    Ok(left.collect())
}

fn dimensions(model: &Model) -> i32 {
    i32::try_from(model.dimensions).unwrap_or(i32::MAX)
}
