//! Somebody who searches all the while, as the owners of the documents: a file's chunks are of one edition, whole, and never
//! older than before.

use std::{collections::HashMap, time::Duration};

use orion_ingest::document::{FileId, UserId};
use secrecy::{ExposeSecret as _, SecretString};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tokio_util::sync::CancellationToken;

/// A look at everything costs more than many a file does.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A file as its owner sees it in one moment.
#[derive(Debug, sqlx::FromRow)]
pub(super) struct Seen {
    pub(super) file: FileId,
    pub(super) status: String,
    pub(super) code: Option<String>,
    /// Of its chunks.
    pub(super) edition: Option<i32>,
    /// What is wrong with them.
    wrong: Option<String>,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) looks: u64,
    pub(super) searches: u64,
    pub(super) wrongs: Vec<String>,
}

/// Looks again and again until told to end; what the database does meanwhile is no concern of the reader's.
pub(super) async fn read(
    url: SecretString,
    users: Vec<UserId>,
    end: CancellationToken,
) -> Findings {
    let mut findings = Findings::default();
    let mut editions = HashMap::new();
    let mut connection = None;
    while !end.is_cancelled() {
        for user in &users {
            match look(&mut connection, &url, *user).await {
                Ok((seen, torn)) => findings.note(&mut editions, seen, torn),
                Err(_) => connection = None,
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    findings
}

impl Findings {
    fn note(&mut self, editions: &mut HashMap<FileId, i32>, seen: Vec<Seen>, torn: i64) {
        self.looks += 1;
        self.searches += 1;
        if torn > 0 {
            let what = format!("a search found {torn} files with chunks of several editions");
            self.wrongs.push(what);
        }
        for file in seen {
            let Some(edition) = file.edition else {
                continue;
            };
            let before = editions.insert(file.file, edition);
            if file.wrong.is_some() || before.is_some_and(|before| before > edition) {
                self.wrongs
                    .push(format!("{file:?} after edition {before:?}"));
            }
        }
    }
}

async fn look(
    connection: &mut Option<PgConnection>,
    url: &SecretString,
    user: UserId,
) -> Result<(Vec<Seen>, i64), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(PgConnection::connect(url.expose_secret()).await?),
    };
    let seen = files(connection, user).await?;
    let torn = search(connection, user).await?;
    Ok((seen, torn))
}

/// This person's files, in one statement and so as of one moment.
pub(super) async fn files(
    connection: &mut PgConnection,
    user: UserId,
) -> Result<Vec<Seen>, sqlx::Error> {
    let mut tx = connection.begin().await?;
    become_user(&mut tx, user).await?;
    let seen = sqlx::query_as(
        "select f.id as file, f.processing_status::text as status, f.processing_error_code as code, c.edition,
             case
                 when c.editions > 1 then 'several editions'
                 when c.chunks <> f.chunk_count then 'another number of chunks than counted'
                 when c.embedded <> c.chunks then 'chunks without a vector'
                 when c.first <> 0 or c.last <> c.chunks - 1 then 'chunks are missing'
                 when f.original_name like '%.md' and c.sections <> c.chunks then 'sections are missing'
             end as wrong
         from files f
         cross join lateral (
             select count(*) as chunks, count(c.embedding) as embedded,
                 min(c.chunk_index) as first, max(c.chunk_index) as last,
                 count(distinct substring(c.content from 'edition (\\d+)')) as editions,
                 max(substring(c.content from 'edition (\\d+)')::int) as edition,
                 max(substring(c.content from 'section \\d+ of (\\d+)')::int) as sections
             from document_chunks c where c.file_id = f.id
         ) c",
    )
    .fetch_all(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(seen)
}

/// How many files a search finds in pieces of several editions.
async fn search(connection: &mut PgConnection, user: UserId) -> Result<i64, sqlx::Error> {
    let mut tx = connection.begin().await?;
    become_user(&mut tx, user).await?;
    let torn = sqlx::query_scalar(
        "select count(*) from (
             select file_id
             from search_similar_chunks(array_fill(0.5::real, array[1536])::vector, auth.uid(), null, 200)
             group by file_id
             having count(distinct substring(content from 'edition (\\d+)')) > 1
         ) torn",
    )
    .fetch_one(&mut *tx)
    .await?;
    tx.rollback().await?;
    Ok(torn)
}

async fn become_user(tx: &mut PgConnection, user: UserId) -> Result<(), sqlx::Error> {
    let claims = format!(
        r#"set local role authenticated;
           set local request.jwt.claims = '{{"sub": "{user}", "role": "authenticated"}}'"#
    );
    sqlx::raw_sql(AssertSqlSafe(claims)).execute(tx).await?;
    Ok(())
}
