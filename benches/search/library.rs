//! Tenants of very different sizes, their files and chunks.

use std::time::Duration;

use anyhow::Context as _;
use pgvector::Vector;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use crate::vectors::Space;

const MODEL: &str = "text-embedding-3-small";
/// Chunks of a file, about.
const FILE: usize = 20;
/// The exponent of Zipf's law: with 100,000 chunks of 1,000 tenants, the largest has 23,000 and the smallest 6.
const ZIPF: f64 = 1.2;
/// Files of one `insert`.
const FILES: usize = 25;
/// Inserts that are timed, of which the fastest counts: other work on the machine can only slow them down.
const TIMED: usize = 4;

/// One who has files.
#[derive(Clone, Copy)]
pub(crate) struct Tenant {
    pub(crate) user: Uuid,
    pub(crate) chunks: usize,
}

/// Adds tenants, the largest first, with about so many chunks together. Their files come in turns, as in real life.
pub(crate) async fn fill(
    admin: &mut PgConnection,
    space: &mut Space,
    chunks: usize,
    tenants: usize,
) -> anyhow::Result<Vec<Tenant>> {
    let tenants: Vec<Tenant> = sizes(chunks, tenants)
        .into_iter()
        .map(|chunks| Tenant {
            user: Uuid::new_v4(),
            chunks,
        })
        .collect();
    let users: Vec<Uuid> = tenants.iter().map(|tenant| tenant.user).collect();
    sqlx::query("insert into auth.users (id, email) select id, id || '@example.com' from unnest($1::uuid[]) id")
        .bind(users)
        .execute(&mut *admin)
        .await?;
    let mut files: Vec<Tenant> = tenants.iter().flat_map(|tenant| tenant.files()).collect();
    space.chance().shuffle(&mut files);
    for files in files.chunks(FILES) {
        insert(admin, space, files).await?;
    }
    sqlx::raw_sql("vacuum analyze document_chunks")
        .execute(admin)
        .await?;
    Ok(tenants)
}

/// What a row costs to insert into the table as it is.
pub(crate) async fn cost_of_row(
    admin: &mut PgConnection,
    space: &mut Space,
    tenant: Tenant,
) -> anyhow::Result<Duration> {
    let chunks = FILE * FILES;
    let files: Vec<Tenant> = Tenant { chunks, ..tenant }.files().collect();
    let mut fastest = Duration::MAX;
    for _ in 0..TIMED {
        fastest = fastest.min(insert(admin, space, &files).await?);
    }
    Ok(fastest / u32::try_from(chunks)?)
}

impl Tenant {
    /// Each of their files, with its number of chunks.
    fn files(self) -> impl Iterator<Item = Self> {
        (0..self.chunks).step_by(FILE).map(move |first| Self {
            chunks: FILE.min(self.chunks - first),
            ..self
        })
    }
}

fn sizes(chunks: usize, tenants: usize) -> Vec<usize> {
    let weight = |rank: usize| (rank as f64).powf(-ZIPF);
    let sum: f64 = (1..=tenants).map(weight).sum();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a part of a number of chunks"
    )]
    let size = |rank| (chunks as f64 * weight(rank) / sum).round() as usize;
    (1..=tenants).map(|rank| size(rank).max(1)).collect()
}

/// Adds files of the same model as a worker adds them, and says how long the chunks took.
async fn insert(
    admin: &mut PgConnection,
    space: &mut Space,
    files: &[Tenant],
) -> anyhow::Result<Duration> {
    let (ids, users): (Vec<Uuid>, Vec<Uuid>) =
        files.iter().map(|file| (Uuid::new_v4(), file.user)).unzip();
    sqlx::query(
        "insert into files (id, user_id, original_name, storage_path, mime_type, file_size, processing_status)
         select id, user_id, 'a.txt', id, 'text/plain', 1000, 'completed'
         from unnest($1::uuid[], $2::uuid[]) file (id, user_id)",
    )
    .bind(&ids)
    .bind(&users)
    .execute(&mut *admin)
    .await?;
    let (mut of, mut places, mut vectors) = (Vec::new(), Vec::new(), Vec::new());
    for (file, number) in files.iter().zip(1_i32..) {
        for (vector, place) in space.file(file.chunks).into_iter().zip(0_i32..) {
            of.push(number);
            places.push(place);
            vectors.push(Vector::from(vector));
        }
    }
    let insert = sqlx::query(
        "insert into document_chunks
             (file_id, user_id, chunk_index, content, token_count, embedding_model, content_sha256, embedding)
         select ($1::uuid[])[of], ($2::uuid[])[of], place, repeat(md5(place::text), 28), 200, $3,
             sha256(random()::text::bytea), vector
         from unnest($4::int[], $5::int[], $6::vector[]) chunk (of, place, vector)",
    )
    .bind(ids)
    .bind(users)
    .bind(MODEL)
    .bind(of)
    .bind(places)
    .bind(vectors);
    let began = Instant::now();
    insert.execute(admin).await.context("cannot add chunks")?;
    Ok(began.elapsed())
}
