//! Sizes and times of a large re-embedding, for `docs/reembedding.md`:
//! `REEMBED_ROWS=100000 cargo test --test it reembed::table -- --ignored --nocapture`.

#![expect(
    clippy::disallowed_methods,
    reason = "rows that the program never writes"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    io::{self, Write as _},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use orion_ingest::{document::UserId, embedded::provider::lexical};
use pgvector::Vector;
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{command, old, question, years};
use crate::{
    program::Said,
    stack::{Stack, variable},
    work::{sections, until},
};

/// Chunks of a person.
const OF_A_PERSON: i32 = 1_000;
const OF_A_FILE: i32 = 20;

/// Longest waits of searches and of commits, since they were last looked at.
#[derive(Default)]
struct Waits {
    search: Mutex<Vec<Duration>>,
    is_over: AtomicBool,
}

async fn fill(stack: &Stack, rows: i32) -> UserId {
    let mut users = Vec::new();
    for _ in 0..rows / OF_A_PERSON {
        users.push(stack.user().await);
    }
    let mut admin = stack.admin().await;
    for user in &users {
        let files: Vec<Uuid> = (0..OF_A_PERSON / OF_A_FILE)
            .map(|_| Uuid::new_v4())
            .collect();
        sqlx::query(
            "insert into files (id, user_id, original_name, storage_path, mime_type, file_size, processing_status, chunk_count)
             select id, $2, 'a.md', id, 'text/markdown', 1000, 'completed', $3 from unnest($1::uuid[]) id",
        )
        .bind(&files)
        .bind(user)
        .bind(OF_A_FILE)
        .execute(&mut admin)
        .await
        .unwrap();
        sqlx::query(
            "insert into document_chunks (file_id, user_id, chunk_index, content, token_count, embedding_model, content_sha256,
                 metadata, embedding)
             select f, $2, n, text, 250, 'text-embedding-3-small', sha256(text::bytea), '{\"embedded_tokens\": 250}',
                 array_to_vector(array(select random() - 0.5 from generate_series(1, 1536)), 1536, false)
             from unnest($1::uuid[]) f, generate_series(0, $3 - 1) n,
                 lateral (select repeat(format('In the year %s the house %s bought %s chests of tea. ', n, f, n), 12) as text) t",
        )
        .bind(&files)
        .bind(user)
        .bind(OF_A_FILE)
        .execute(&mut admin)
        .await
        .unwrap();
    }
    users[0]
}

/// Asks as quickly as answers come.
async fn search(stack: Arc<Stack>, user: UserId, waits: Arc<Waits>) {
    let mut connection = stack.admin().await;
    let query = lexical::vector(&question(1501), &old().name, 1536);
    while !waits.is_over.load(Ordering::Relaxed) {
        let began = Instant::now();
        // The old model's query is answered whatever the active one is, until the end.
        let found = sqlx::query(
            "select id, content, similarity from search_similar_chunks($1, $2, query_model => 'text-embedding-3-small')",
        )
        .bind(Vector::from(query.clone()))
        .bind(user)
        .fetch_all(&mut connection)
        .await;
        match found {
            Ok(found) => assert_eq!(found.len(), 5),
            Err(_) => return,
        }
        waits.search.lock().unwrap().push(began.elapsed());
    }
}

/// Adds a file, waits until it is completed, and goes on with the next.
async fn ingest(stack: Arc<Stack>, user: UserId, waits: Arc<Waits>) {
    let mut connection = stack.admin().await;
    let mut century = 20;
    while !waits.is_over.load(Ordering::Relaxed) {
        let file = stack.file(user, "tea.md", sections(years(century))).await;
        until(
            &mut connection,
            &format!("select processing_status = 'completed' from files where id = '{file}'"),
        )
        .await;
        century += 1;
    }
}

/// Runs a step, and says how long it took and what it did to the table and to searches.
async fn step(stack: &Stack, waits: &Waits, name: &str, arguments: &[&str]) {
    waits.search.lock().unwrap().clear();
    let began = Instant::now();
    let mut beside = (name == "run").then(|| command(stack, arguments).spawn().unwrap());
    let said: Said = command(stack, arguments).output().await.unwrap().into();
    if let Some(other) = &mut beside {
        assert!(other.wait().await.unwrap().success());
    }
    let took = began.elapsed().as_secs_f64();
    let said = said.exits(0);
    let mut times = std::mem::take(&mut *waits.search.lock().unwrap());
    times.sort_unstable();
    let at = |part: usize| times.get((times.len() * part / 100).min(times.len().saturating_sub(1)));
    let milliseconds = |time: Option<&Duration>| time.map_or(0.0, |time| time.as_secs_f64() * 1e3);
    let size: i64 = stack
        .value("select pg_total_relation_size('document_chunks')")
        .await;
    print(&format!(
        "{name:<12} {took:>8.1} s  {:>8.1} MB  searches {:>6}, median {:>6.1} ms, longest {:>6.1} ms  {}",
        size as f64 / 1e6,
        times.len(),
        milliseconds(at(50)),
        milliseconds(times.last()),
        said.out.trim().lines().last().unwrap_or_default(),
    ));
}

fn print(line: &str) {
    let line = format!("{line}\n");
    io::stdout().write_all(line.as_bytes()).expect("a reader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and measures; the story beside it checks the same steps"]
async fn sizes_and_times() {
    let rows = variable("REEMBED_ROWS").and_then(|rows| rows.into_string().ok()?.parse().ok());
    let rows: i32 = rows.unwrap_or(10_000);
    let stack = Arc::new(Stack::new().await);
    stack.cut_by_sections().await;
    let user = fill(&stack, rows).await;
    let writer = stack.user().await;
    assert!(
        stack
            .program(&["reindex"])
            .status()
            .await
            .unwrap()
            .success()
    );
    stack.sql("vacuum analyze document_chunks").await;
    let size: i64 = stack
        .value("select pg_total_relation_size('document_chunks')")
        .await;
    print(&format!("{rows} rows, {:.1} MB", size as f64 / 1e6));
    let mut service = stack.program(&["run", "--poll-interval", "100ms"]);
    let _service = service.stderr(std::process::Stdio::null()).spawn().unwrap();
    let waits = Arc::new(Waits::default());
    let mut load = JoinSet::new();
    load.spawn(search(Arc::clone(&stack), user, Arc::clone(&waits)));
    load.spawn(ingest(Arc::clone(&stack), writer, Arc::clone(&waits)));

    let to_new = [
        "plan",
        "--model",
        "text-embedding-3-large",
        "--dimensions",
        "1024",
    ];
    step(&stack, &waits, "plan", &to_new).await;
    step(&stack, &waits, "run", &["run"]).await;
    for name in [
        "cutover", "rollback", "cutover", "rollback", "cutover", "finish",
    ] {
        step(&stack, &waits, name, &[name]).await;
    }
    waits.is_over.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.unwrap();
    }
}
