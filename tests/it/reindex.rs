//! Vector indexes are rebuilt beside the old ones.

#![expect(
    clippy::disallowed_methods,
    reason = "tests write rows that the program never writes, and look at the catalog"
)]

use sqlx::{AssertSqlSafe, PgConnection};

use crate::{
    program::{Place, Said, finish},
    stack::Stack,
};

const LISTS: &str = "select coalesce(string_agg(c.relname || ' ' || array_to_string(c.reloptions, ','), ', ' order by c.relname), '')
    from pg_index i join pg_class c on c.oid = i.indexrelid
    where i.indisvalid and c.relname like 'idx%_embedding%'";

async fn reindex(place: &Place) -> Said {
    finish(place.command(&["reindex"])).await
}

async fn run(admin: &mut PgConnection, statement: &str) {
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(admin)
        .await
        .unwrap();
}

async fn indexes(admin: &mut PgConnection) -> String {
    sqlx::query_scalar(LISTS).fetch_one(admin).await.unwrap()
}

/// A file of so many chunks, whose vectors have three numbers that are not 0.
async fn chunks(stack: &Stack, count: i32) {
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    sqlx::query(
        "insert into document_chunks (file_id, user_id, chunk_index, content, embedding)
         select $1, $2, n, 'tea ' || n,
                ('{1:1,' || 2 + n % 700 || ':1,' || 800 + n % 600 || ':1}/1536')::sparsevec::vector
         from generate_series(0, $3 - 1) n",
    )
    .bind(file)
    .bind(user)
    .bind(count)
    .execute(&mut stack.admin().await)
    .await
    .unwrap();
}

#[tokio::test]
async fn lists_are_fitted_to_the_rows() {
    let place = Place::new().await;
    chunks(&place.stack, 12_000).await;
    let said = reindex(&place).await.exits(0);
    assert!(
        said.out
            .contains("idx_document_chunks_embedding: 12000 vectors in 12 lists"),
        "{said:?}"
    );
    let admin = &mut place.stack.admin().await;
    assert_eq!(
        indexes(admin).await,
        "idx_document_chunks_embedding lists=12, idx_messages_embedding lists=10"
    );
}

#[tokio::test]
async fn an_interrupted_rebuild_is_taken_up() {
    let place = Place::new().await;
    let admin = &mut place.stack.admin().await;
    let columns = "using ivfflat (embedding vector_cosine_ops) with (lists = 7)";
    // Killed after the build, and after the old one was dropped.
    run(
        admin,
        &format!("create index idx_document_chunks_embedding_new on document_chunks {columns}"),
    )
    .await;
    run(
        admin,
        "alter index idx_messages_embedding rename to idx_messages_embedding_new",
    )
    .await;
    reindex(&place).await.exits(0);
    assert_eq!(
        indexes(admin).await,
        "idx_document_chunks_embedding lists=10, idx_messages_embedding lists=10"
    );
}

#[tokio::test]
async fn another_kind_of_index_is_kept() {
    let place = Place::new().await;
    let admin = &mut place.stack.admin().await;
    run(
        admin,
        "drop index idx_messages_embedding; drop index idx_document_chunks_embedding",
    )
    .await;
    reindex(&place)
        .await
        .exits(1)
        .complains_of(&["no vector index", "migrate"]);
    run(
        admin,
        "create index idx_document_chunks_embedding on document_chunks using hnsw (embedding vector_cosine_ops) with (m = 8)",
    )
    .await;
    reindex(&place).await.exits(0);
    assert_eq!(indexes(admin).await, "idx_document_chunks_embedding m=8");
}
