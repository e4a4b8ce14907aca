//! What readers see: a file's old chunks or its new ones, whole and in order, and a row that says the same.

use std::sync::Arc;

use orion_ingest::{
    db::{DbError, Ingested, Scope},
    document::{FileId, Lease},
    embedded::provider::faults::Fault,
    metrics::Outcome,
};
use sha2::{Digest as _, Sha256};
use sqlx::{Connection as _, PgConnection};

use crate::{
    stack::Stack,
    work::{ChunkRow, PATIENCE, Row, Worker, chunks, ingested, pdf, sections, state},
};

const MODEL: &str = "text-embedding-3-small";

/// A file and its chunks in one look.
async fn look(reader: &mut PgConnection, file: FileId) -> (Row, Vec<ChunkRow>) {
    (state(reader, file).await, chunks(reader, file).await)
}

fn years(chunks: &[ChunkRow]) -> Vec<&str> {
    let year = |chunk: &'_ ChunkRow| -> Option<usize> { chunk.content.find("year ") };
    chunks
        .iter()
        .map(|chunk| &chunk.content[year(chunk).expect("a year") + 5..][..4])
        .collect()
}

#[tokio::test]
async fn a_file_goes_from_pending_to_completed() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let user = stack.user().await;
    let text = sections(1700..1720);
    let file = stack.file(user, "tea.md", text.clone()).await;
    assert_eq!(stack.state(file).await.outcome(), ("pending", None));
    let (_, settled) = stack.worker().await.drain().await;
    assert_eq!(settled.len(), 1);
    assert_eq!(settled[0].outcome, Outcome::Completed);

    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("completed", None));
    assert_eq!((row.attempts, row.leases_lost, row.token), (0, 0, None));
    assert_eq!(row.chunk_count, 20);
    assert_eq!(row.sha256, Some(hex::encode(Sha256::digest(&text))));
    let extracted: String = stack
        .value("select extracted_text from files where processed_at is not null")
        .await;
    let chunks = stack.chunks(file).await;
    assert_eq!(chunks.len(), 20);
    for (n, chunk) in chunks.iter().enumerate() {
        assert_eq!(chunk.chunk_index, i32::try_from(n).unwrap());
        assert_eq!(chunk.heading, Some(format!("Year {}", 1700 + n)));
        assert_eq!(chunk.page_number, None);
        assert_eq!(chunk.embedding_model, MODEL);
        assert_eq!(chunk.dimensions, 1536);
        let tokens = bpe_openai::cl100k_base().count(chunk.content.as_str());
        assert_eq!(chunk.token_count, i32::try_from(tokens).unwrap());
        assert!(chunk.token_count <= 120, "{chunk:?}");
        assert!(extracted.contains(&chunk.content), "{chunk:?}");
    }
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn what_was_embedded_and_billed_can_be_told_from_a_chunk() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let user = stack.user().await;
    let text = format!("# Trade\n\n# Tea\n\n{}", sections(1700..1703));
    stack.file(user, "tea.md", text).await;
    stack.worker().await.drain().await;
    let prefixes: String = stack
        .value("select string_agg(metadata ->> 'prefix', '|' order by chunk_index) from document_chunks")
        .await;
    assert_eq!(
        prefixes,
        "Trade\n\n|Trade > Tea\n\n|Trade > Year 1700\n\n|Trade > Year 1701\n\n|Trade > Year 1702\n\n"
    );
    let hashed: bool = stack
        .value("select bool_and(content_sha256 = sha256((metadata ->> 'prefix' || content)::bytea)) from document_chunks")
        .await;
    assert!(hashed);
    let embedded: i64 = stack
        .value("select sum((metadata ->> 'embedded_tokens')::int) from document_chunks")
        .await;
    let counted: i64 = stack
        .value("select sum(token_count) from document_chunks")
        .await;
    assert!(embedded > counted);
    assert_eq!(stack.books().await.bill, embedded);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn every_chunk_of_a_pdf_knows_its_page() {
    let stack = Stack::new().await;
    let pages = ["tea", "bread"]
        .map(|goods| format!("In that year the house bought chests of {goods}. ").repeat(8));
    let pages = pages.each_ref().map(|page| page.trim());
    let user = stack.user().await;
    let file = stack.file(user, "goods.pdf", pdf(&pages)).await;
    stack
        .sql("update file_type_configs set chunk_size = 100, chunk_overlap = 0")
        .await;
    stack.worker().await.drain().await;
    let chunks = stack.chunks(file).await;
    let found: Vec<(Option<i32>, &str)> = chunks
        .iter()
        .map(|chunk| (chunk.page_number, chunk.content.as_str()))
        .collect();
    assert_eq!(found, [(Some(1), pages[0]), (Some(2), pages[1])]);
}

#[tokio::test]
async fn a_hash_is_of_the_text_that_was_embedded() {
    let stack = Stack::new().await;
    stack
        .file(stack.user().await, "a.txt", "The house bought tea.")
        .await;
    stack.worker().await.drain().await;
    let same: bool = stack
        .value("select content_sha256 = sha256((metadata ->> 'prefix' || content)::bytea) from document_chunks")
        .await;
    assert!(same);
}

#[tokio::test]
async fn a_file_of_many_chunks_is_committed_whole() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let lease = db.claim(1, PATIENCE, &Scope::All).await.unwrap().remove(0);
    let texts: Vec<String> = (0..1203).map(|n| format!("chunk {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    db.commit(&lease, &ingested(&texts).into()).await.unwrap();
    let chunks = stack.chunks(file).await;
    let found: Vec<&str> = chunks.iter().map(|chunk| chunk.content.as_str()).collect();
    assert_eq!(found, texts);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_reader_sees_the_old_chunks_or_the_new_ones_and_nothing_between() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let user = stack.user().await;
    let file = stack.file(user, "tea.md", sections(1700..1703)).await;
    let worker = Arc::new(stack.worker().await);
    worker.drain().await;
    let mut reader = stack.admin().await;
    let (_, old) = look(&mut reader, file).await;
    assert_eq!(years(&old), ["1700", "1701", "1702"]);

    stack.replace(file, &sections(1800..1805)).await;
    stack.ask_again(user, file).await;
    let mut gate = stack.gate().await;
    let ((), ()) = tokio::join!(
        async {
            worker.drain().await;
        },
        async {
            // The fence is passed and the old chunks are deleted, in a transaction that is still open.
            gate.reached().await;
            let (row, between) = look(&mut reader, file).await;
            assert_eq!(between, old);
            assert_eq!(row.outcome(), ("processing", None));
            assert_eq!(row.chunk_count, 3);
            gate.open().await;
        }
    );
    let (row, new) = look(&mut reader, file).await;
    assert_eq!(years(&new), ["1800", "1801", "1802", "1803", "1804"]);
    assert_eq!(row.outcome(), ("completed", None));
    assert_eq!(row.chunk_count, 5);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_of_its_commit_leaves_the_old_chunks() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "The old text.").await;
    stack.worker().await.drain().await;
    let old = stack.chunks(file).await;
    stack.replace(file, "The new text.").await;
    stack.ask_again(user, file).await;
    let mut gate = stack.gate().await;
    let worker = stack.worker().await;
    tokio::select! {
        _ = worker.drain() => panic!("the gate is closed"),
        () = gate.reached() => {}
    }
    drop(worker);
    gate.open().await;
    assert_eq!(stack.chunks(file).await, old);
    stack.make_due(file).await;
    stack.worker().await.drain().await;
    assert_eq!(stack.chunks(file).await[0].content, "The new text.");
    assert_eq!(stack.state(file).await.leases_lost, 1);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn while_a_reingest_fails_the_old_chunks_stay_and_are_counted() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "The house bought tea.").await;
    let worker = stack.worker().await;
    worker.drain().await;
    let old = stack.chunks(file).await;

    stack.provider().faults.refuse_inputs_with("brandy");
    stack.replace(file, "The house bought brandy.").await;
    stack.ask_again(user, file).await;
    assert_eq!(stack.state(file).await.chunk_count, 1, "while it waits");
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("embedding_rejected")));
    assert_eq!(row.chunk_count, 1);
    assert_eq!(stack.chunks(file).await, old);

    stack.objects().delete(&key(&stack).await).await.unwrap();
    stack
        .set(file, "created_at = now() - interval '11 min'")
        .await;
    stack.ask_again(user, file).await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("object_missing")));
    assert_eq!(row.chunk_count, 1);
    assert_eq!(stack.chunks(file).await, old);
}

async fn key(stack: &Stack) -> String {
    stack.value("select storage_path from files").await
}

#[tokio::test]
async fn a_success_wipes_the_last_error_off() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    stack.provider().faults.next_requests(3, &Fault::WrongCount);
    worker.settle(1).await;
    let row = stack.state(file).await;
    assert_eq!(row.code.as_deref(), Some("provider_unavailable"));
    assert!(row.error.is_some());
    stack.make_due(file).await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("completed", None));
    assert_eq!(row.error, None);
}

#[tokio::test]
async fn small_files_that_finish_together_share_a_transaction() {
    let stack = Stack::new().await;
    let users = [stack.user().await, stack.user().await];
    for n in 0..12 {
        stack.file(users[n % 2], "a.txt", format!("year {n}")).await;
    }
    let db = stack.worker().await.app.db.clone();
    let leases = db.claim(12, PATIENCE, &Scope::All).await.unwrap();
    let commits = leases.iter().map(|lease| {
        let db = &db;
        async move { db.commit(lease, &ingested(&["tea"]).into()).await }
    });
    for committed in futures_util::future::join_all(commits).await {
        committed.unwrap();
    }
    // The first went alone, and the others waited for it. `now()` is the transaction's.
    let transactions: i64 = stack
        .value(
            "select count(distinct processed_at) from files where processing_status = 'completed'",
        )
        .await;
    assert_eq!(transactions, 2);
    let owned: i64 = stack
        .value("select count(*) from document_chunks c join files f on f.id = c.file_id and f.user_id = c.user_id")
        .await;
    assert_eq!(owned, 12);
}

#[tokio::test]
async fn a_file_whose_row_is_locked_holds_up_no_other() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for n in 0..6 {
        stack.file(user, "a.txt", format!("year {n}")).await;
    }
    let db = stack.worker().await.app.db.clone();
    let leases = db.claim(6, PATIENCE, &Scope::All).await.unwrap();
    let locked = leases[2].file;
    let mut admin = stack.admin().await;
    let mut holds = admin.begin().await.unwrap();
    sqlx::query!("select from files where id = $1 for update", locked.0)
        .execute(&mut *holds)
        .await
        .unwrap();
    let commit = async |lease: &Lease| db.commit(lease, &ingested(&["tea"]).into()).await;
    let mut waits = std::pin::pin!(commit(&leases[2]));
    let others = leases.iter().filter(|lease| lease.file != locked);
    let others = tokio::time::timeout(PATIENCE, futures_util::future::join_all(others.map(commit)));
    tokio::select! {
        biased;
        _ = &mut waits => panic!("somebody else holds its row"),
        committed = others => {
            let committed = committed.expect("they do not wait for it");
            assert!(committed.iter().all(Result::is_ok), "{committed:?}");
        }
    }
    holds.rollback().await.unwrap();
    waits.await.unwrap();
    assert_eq!(stack.chunks(locked).await.len(), 1);
}

#[tokio::test]
async fn files_that_are_committed_together_do_not_share_their_troubles() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for n in 0..12 {
        stack.file(user, "a.txt", format!("year {n}")).await;
    }
    let worker: Worker = stack.worker().await;
    let db = worker.app.db.clone();
    let leases = db.claim(12, PATIENCE, &Scope::All).await.unwrap();
    let (lost, other_model) = (leases[4].file, leases[7].file);
    stack.set(lost, "lease_token = gen_random_uuid()").await;
    let commits = leases.iter().map(|lease| {
        let mut ingested = ingested(&["tea", "bread"]);
        if lease.file == other_model {
            ingested.model.name = "another".into();
        }
        let db = &db;
        async move { db.commit(lease, &ingested.into()).await }
    });
    let commits = futures_util::future::join_all(commits).await;
    for (lease, committed) in leases.iter().zip(commits) {
        let row = stack.state(lease.file).await;
        let chunks = stack.chunks(lease.file).await.len();
        match committed {
            Ok(()) => assert_eq!(
                (row.status.as_str(), row.chunk_count, chunks),
                ("completed", 2, 2)
            ),
            Err(DbError::LeaseLost) => assert_eq!((lease.file, chunks), (lost, 0)),
            Err(DbError::ModelChanged) => assert_eq!((lease.file, chunks), (other_model, 0)),
            Err(error) => panic!("{error}"),
        }
    }
    let completed: i64 = stack
        .value("select count(*) from files where processing_status = 'completed'")
        .await;
    assert_eq!(completed, 10);
}

#[tokio::test]
async fn of_two_leases_of_one_file_that_are_committed_together_the_later_one_counts() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let first = stack.file(user, "a.txt", "tea").await;
    let file = stack.file(user, "b.txt", "bread").await;
    let worker: Worker = stack.worker().await;
    let db = worker.app.db.clone();
    let leases = db.claim(2, PATIENCE, &Scope::All).await.unwrap();
    let of = |leases: &[Lease], file| leases.iter().find(|lease| lease.file == file).cloned();
    let leads = of(&leases, first).unwrap();
    let stale = of(&leases, file).unwrap();
    stack.make_due(file).await;
    let later = db.claim(1, PATIENCE, &Scope::All).await.unwrap();
    let later = of(&later, file).unwrap();
    let commit = async |lease: &Lease, texts: &[&str]| {
        let ingested = ingested(texts).into();
        db.commit(lease, &ingested).await
    };
    // The first goes alone, and the two others wait for it.
    let (led, lost, committed) = tokio::join!(
        biased;
        commit(&leads, &["tea"]),
        commit(&stale, &[]),
        commit(&later, &["bread", "butter"]),
    );
    led.unwrap();
    assert!(matches!(lost, Err(DbError::LeaseLost)), "{lost:?}");
    committed.unwrap();
    assert_eq!(stack.chunks(file).await.len(), 2);
    assert_eq!(stack.state(file).await.chunk_count, 2);
}

#[tokio::test]
async fn vectors_of_a_model_that_is_no_longer_active_are_not_committed() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker: Worker = stack.worker().await;
    let db = worker.app.db.clone();
    let lease = db.claim(1, PATIENCE, &Scope::All).await.unwrap().remove(0);
    assert!(worker.app.refresh().await.unwrap().is_none());
    stack
        .sql("update orion_ingest.active_models set model = 'another' where target = 'chunks'")
        .await;
    let written = db.commit(&lease, &ingested(&["tea"]).into()).await;
    assert!(matches!(written, Err(DbError::ModelChanged)), "{written:?}");
    assert!(
        worker.app.refresh().await.unwrap().is_some(),
        "and the worker sees it"
    );
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("processing", None));
    assert_eq!(row.token, Some(lease.token.0), "the lease is still ours");
    assert_eq!(stack.chunks(file).await, []);
}

#[tokio::test]
async fn vectors_that_were_left_to_the_database_and_are_gone_fail_the_commit() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker: Worker = stack.worker().await;
    let db = worker.app.db.clone();
    let lease = db.claim(1, PATIENCE, &Scope::All).await.unwrap().remove(0);
    let unheld = Ingested {
        vectors: None,
        ..ingested(&["tea"])
    };
    let written = db.commit(&lease, &unheld.into()).await;
    assert!(matches!(written, Err(DbError::VectorsGone)), "{written:?}");
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("processing", None));
    assert_eq!(row.token, Some(lease.token.0), "the lease is still ours");
    assert_eq!(stack.chunks(file).await, []);
}
