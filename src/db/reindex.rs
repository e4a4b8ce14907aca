//! Rebuilds the vector indexes beside the old ones, while everybody reads and writes.
//!
//! An `IVFFlat` index divides its vectors into lists once, when it is built: one that was built on an empty table, or on a
//! tenth of today's rows, divides badly for ever. The new index is built under another name, then the old one goes and
//! the new one takes its name. A rebuild that was interrupted is cleared up, or finished, by the next.
//!
//! The second column of a re-embedding gets its indexes here too, once it is filled: written row by row they would cost
//! much more.

use std::{fmt, time::Duration};

use sqlx::{AssertSqlSafe, PgConnection};
use tokio::time::Instant;

use super::migrate::{self, MigrateError};

/// Tables, and their indexes of vectors.
const INDEXES: [(&str, &str); 2] = [
    ("document_chunks", "idx_document_chunks_embedding"),
    ("messages", "idx_messages_embedding"),
];

/// The indexes of `document_chunks` over the columns that a re-embedding swaps.
const SWAPPED: [&str; 2] = [
    "idx_document_chunks_embedding",
    "idx_document_chunks_user_id",
];

/// Fewer lists divide too little to be worth an index.
const MIN_LISTS: i64 = 10;

/// More than pgvector takes.
const MAX_LISTS: i64 = 32_768;

/// A rebuilt index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Its name, or that which it will have after the swap.
    pub index: &'static str,
    /// The vectors in it.
    pub rows: i64,
    /// Into how many lists they are divided, for an `IVFFlat` index.
    pub lists: Option<i64>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Rebuilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, rows, .. } = self;
        write!(f, "rebuilt   {index}: {rows} vectors")?;
        if let Some(lists) = self.lists {
            write!(f, " in {lists} lists")?;
        }
        write!(f, ", {:.1} s", self.took.as_secs_f64())
    }
}

/// Rebuilds each vector index that there is, one after the other; needs the owner's direct connection.
///
/// # Errors
///
/// [`MigrateError`] says what to do. The old index stays until the new one is complete.
pub async fn reindex(admin: &mut PgConnection) -> Result<Vec<Rebuilt>, MigrateError> {
    migrate::lock(admin).await?;
    let rebuilt = reindex_alone(admin).await;
    migrate::unlock(admin).await?;
    rebuilt
}

async fn reindex_alone(admin: &mut PgConnection) -> Result<Vec<Rebuilt>, MigrateError> {
    let mut rebuilt = Vec::new();
    for (table, index) in INDEXES {
        rebuilt.extend(rebuild(admin, table, index).await?);
    }
    Ok(rebuilt)
}

async fn rebuild(
    admin: &mut PgConnection,
    table: &str,
    index: &'static str,
) -> Result<Option<Rebuilt>, MigrateError> {
    let began = Instant::now();
    let new = format!("{index}_new");
    take_up(admin, index, &new).await?;
    let Some(old) = find(admin, index).await? else {
        return Ok(None);
    };
    let size = size(admin, table, "embedding").await?;
    let lists = (old.method == "ivfflat").then(|| lists(size.rows));
    if let Some(lists) = lists {
        let how = format!("{} with (lists = {lists})", old.columns());
        create(admin, table, &new, &how, build_memory(lists, &size)).await?;
        run(admin, &format!("drop index concurrently public.{index}")).await?;
        run(
            admin,
            &format!("alter index public.{new} rename to {index}"),
        )
        .await?;
    } else {
        run(admin, &format!("reindex index concurrently public.{index}")).await?;
    }
    Ok(Some(Rebuilt {
        index,
        rows: size.rows,
        lists,
        took: began.elapsed(),
    }))
}

/// Builds the indexes of a re-embedding's second column, each like that of the first.
pub(super) async fn build_next(admin: &mut PgConnection) -> Result<Vec<Rebuilt>, MigrateError> {
    let mut built = Vec::new();
    for index in SWAPPED {
        built.extend(build_one_next(admin, index).await?);
    }
    Ok(built)
}

/// Drops what [`build_next`] built.
pub(super) async fn drop_next(admin: &mut PgConnection) -> Result<(), MigrateError> {
    for index in SWAPPED {
        let statement = format!("drop index concurrently if exists public.{index}_next");
        run(admin, &statement).await?;
    }
    Ok(())
}

async fn build_one_next(
    admin: &mut PgConnection,
    index: &'static str,
) -> Result<Option<Rebuilt>, MigrateError> {
    let began = Instant::now();
    let next = format!("{index}_next");
    match find(admin, &next).await? {
        Some(Found { is_valid: true, .. }) => return Ok(None),
        Some(Found {
            is_valid: false, ..
        }) => {
            run(admin, &format!("drop index concurrently public.{next}")).await?;
        }
        None => {}
    }
    let Some(like) = find(admin, index).await? else {
        return Ok(None);
    };
    let size = size(admin, "document_chunks", "embedding_next").await?;
    let lists = (like.method == "ivfflat").then(|| lists(size.rows));
    let how = match lists {
        Some(lists) => format!("{} with (lists = {lists})", like.columns()),
        None => like.how().to_owned(),
    };
    let how = how
        .replace("embedding_model", "embedding_next_model")
        .replace("(embedding ", "(embedding_next ");
    let memory = build_memory(lists.unwrap_or_default(), &size);
    create(admin, "document_chunks", &next, &how, memory).await?;
    Ok(Some(Rebuilt {
        index,
        rows: size.rows,
        lists,
        took: began.elapsed(),
    }))
}

async fn create(
    admin: &mut PgConnection,
    table: &str,
    index: &str,
    how: &str,
    memory_bytes: i64,
) -> Result<(), MigrateError> {
    let memory = memory_bytes / 1024;
    run(admin, &format!("set maintenance_work_mem = '{memory}kB'")).await?;
    run(
        admin,
        &format!("create index concurrently {index} on public.{table} using {how}"),
    )
    .await?;
    run(admin, "reset maintenance_work_mem").await
}

/// Deals with what an interrupted rebuild left: a new index that has no name yet is complete if the old one is gone.
async fn take_up(admin: &mut PgConnection, index: &str, new: &str) -> Result<(), MigrateError> {
    if find(admin, new).await?.is_none() {
        return Ok(());
    }
    let statement = if find(admin, index).await?.is_none() {
        format!("alter index public.{new} rename to {index}")
    } else {
        format!("drop index concurrently public.{new}")
    };
    run(admin, &statement).await
}

/// An index as the catalog has it.
struct Found {
    /// `CREATE INDEX … USING … WITH …`.
    definition: String,
    method: String,
    /// A build that was interrupted leaves one that is not.
    is_valid: bool,
}

impl Found {
    /// Method, columns, operators and options.
    fn how(&self) -> &str {
        let (_, using) = self.definition.split_once(" USING ").unwrap_or_default();
        using
    }

    /// The same without options.
    fn columns(&self) -> &str {
        let how = self.how();
        how.split_once(" WITH (")
            .map_or(how, |(columns, _)| columns)
    }
}

async fn find(admin: &mut PgConnection, index: &str) -> Result<Option<Found>, MigrateError> {
    let found = sqlx::query_as!(
        Found,
        r#"select pg_get_indexdef(c.oid) as "definition!", a.amname::text as "method!", i.indisvalid as "is_valid!"
           from pg_class c join pg_am a on a.oid = c.relam join pg_index i on i.indexrelid = c.oid
           where c.oid = to_regclass('public.' || $1::text)"#,
        index
    );
    Ok(found.fetch_optional(admin).await?)
}

/// What an index is built of.
struct Size {
    rows: i64,
    dimensions: i64,
}

/// The second column has, or is to have, as many vectors as the first.
async fn size(admin: &mut PgConnection, table: &str, column: &str) -> Result<Size, MigrateError> {
    let chunks = table == "document_chunks";
    let size = sqlx::query_as!(
        Size,
        r#"select case when $1 then (select count(embedding) from public.document_chunks)
                  else (select count(embedding) from public.messages) end as "rows!",
                  a.atttypmod::bigint as "dimensions!"
           from pg_attribute a
           where a.attrelid = to_regclass('public.' || $2::text) and a.attname = $3"#,
        chunks,
        table,
        column
    );
    Ok(size.fetch_one(admin).await?)
}

/// As pgvector advises: a thousandth of the rows up to a million, their root beyond
/// (<https://github.com/pgvector/pgvector#ivfflat>).
fn lists(rows: i64) -> i64 {
    let lists = if rows <= 1_000_000 {
        rows / 1000
    } else {
        rows.isqrt()
    };
    lists.clamp(MIN_LISTS, MAX_LISTS)
}

/// Bytes that the build wants at once, which refuses to start with less: samples, centres, and the distances between
/// them (`ivfkmeans.c` of pgvector 0.8), and a tenth more.
fn build_memory(lists: i64, size: &Size) -> i64 {
    const LEAST: i64 = 64 << 20;
    let samples = (lists * 50).max(10_000).min(size.rows);
    let vector = size.dimensions * 4 + 8;
    let vectors = (samples + 2 * lists) * vector;
    let distances = (samples * (lists + 2) + lists * (lists + 3)) * 4;
    LEAST.max((vectors + distances) / 10 * 11)
}

async fn run(admin: &mut PgConnection, statement: &str) -> Result<(), MigrateError> {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(admin)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_follow_the_rows() {
        assert_eq!([0, 9_999, 500_000].map(lists), [10, 10, 500]);
        assert_eq!([1_000_000, 4_000_000].map(lists), [1000, 2000]);
        assert_eq!(lists(i64::MAX), MAX_LISTS);
    }

    #[test]
    fn a_build_has_the_memory_that_pgvector_wants() {
        let size = |rows| Size {
            rows,
            dimensions: 1536,
        };
        assert_eq!(build_memory(10, &size(0)), 64 << 20);
        // 50,000 samples of 6 kB, and as many times 1,000 distances.
        let large = build_memory(1000, &size(1_000_000));
        assert!((500 << 20..600 << 20).contains(&large), "{large}");
    }
}
