//! When storage or the provider fails, files wait: nothing is charged to them, they say why, and then they go on.

use std::time::Duration;

use orion_ingest::{
    embedded::{provider, storage},
    metrics::Outcome,
    worker::Ending,
};

use crate::{
    stack::Stack,
    work::{Row, Worker},
};

/// Far more than any number of tries.
const ALWAYS: usize = 1000;

/// What is seen of a file that waits out an outage.
fn waits_uncharged(row: &Row, code: &str) {
    assert_eq!(row.outcome(), ("pending", Some(code)), "{row:?}");
    assert_eq!((row.attempts, row.leases_lost, row.token), (0, 0, None));
    assert!(row.due_in > 0.5, "no back-off: {row:?}");
    let error = row.error.as_deref().expect("an error for people");
    assert!(
        !error.contains("127.0.0.1") && !error.contains('/'),
        "not for the owner: {error}"
    );
}

async fn has_patience_with(worker: &Worker) {
    let settled = worker.settle(1).await;
    assert_eq!(settled[0].outcome, Outcome::Retried);
}

#[tokio::test]
async fn storage_that_fails_is_waited_out_more_often_than_a_file_has_attempts() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| config.worker.max_attempts = 1)
        .await;
    let faults = stack.storage_faults();
    for (status, retry_after) in [
        (500, None),
        (403, None),
        (503, Some(Duration::from_secs(30))),
    ] {
        faults.next(
            ALWAYS,
            storage::Fault::Status {
                status,
                retry_after,
            },
        );
        has_patience_with(&worker).await;
        let row = stack.state(file).await;
        waits_uncharged(&row, "storage_unavailable");
        if retry_after.is_some() {
            assert!(row.due_in > 10.0, "it was asked to wait: {row:?}");
        }
        faults.clear();
        stack.make_due(file).await;
    }
    worker.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn an_object_that_comes_in_part_is_fetched_again() {
    let stack = Stack::new().await;
    let text = "The house bought tea. ".repeat(20_000);
    let file = stack.file(stack.user().await, "a.txt", text).await;
    let worker = stack
        .worker_with(|config| config.storage.stall_after = Duration::from_millis(200))
        .await;
    for fault in [
        storage::Fault::CutAfter(100_000),
        storage::Fault::StallAfter(100_000),
    ] {
        stack.storage_faults().next(1, fault);
        has_patience_with(&worker).await;
        waits_uncharged(&stack.state(file).await, "storage_unavailable");
        stack.make_due(file).await;
    }
    worker.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn a_provider_that_fails_is_waited_out_more_often_than_a_file_has_attempts() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| {
            config.worker.max_attempts = 1;
            config.embedding.provider.answer_within = Duration::from_millis(200);
        })
        .await;
    let faults = &stack.provider().faults;
    for fault in [
        provider::faults::Fault::Status { status: 500 },
        provider::faults::Fault::Hang,
        provider::faults::Fault::HangUp,
        provider::faults::Fault::Throttle {
            retry_after: None,
            retry_after_ms: Some(1),
        },
    ] {
        faults.next_requests(ALWAYS, &fault);
        has_patience_with(&worker).await;
        waits_uncharged(&stack.state(file).await, "provider_unavailable");
        faults.clear();
        stack.make_due(file).await;
    }
    worker.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_file_waits_as_long_as_the_provider_asks() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    stack.provider().faults.next_requests(
        1,
        &provider::faults::Fault::Throttle {
            retry_after: Some("600".into()),
            retry_after_ms: None,
        },
    );
    has_patience_with(&worker).await;
    let row = stack.state(file).await;
    waits_uncharged(&row, "provider_unavailable");
    assert!((299.0..=900.0).contains(&row.due_in), "{row:?}");
    assert_eq!(
        stack.provider().counts().requests,
        1,
        "it was asked to wait"
    );
}

#[tokio::test]
async fn while_the_provider_fails_one_file_at_a_time_tries_it() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for n in 0..12 {
        stack.file(user, "a.txt", format!("year {n}")).await;
    }
    let worker = stack.worker().await;
    stack
        .provider()
        .faults
        .next_requests(ALWAYS, &provider::faults::Fault::Status { status: 500 });
    worker.settle(4).await;
    let mut watch = stack.watch().await;
    tokio::select! {
        _ = worker.settle(8) => {}
        () = async {
            let mut in_hand = std::collections::BTreeSet::new();
            loop {
                let row = watch.next().await;
                if row.status == "processing" {
                    in_hand.insert(row.id);
                } else {
                    in_hand.remove(&row.id);
                }
                assert!(in_hand.len() <= 1, "{in_hand:?}");
            }
        } => {}
    }
    let charged: i64 = stack
        .value("select count(*) from files where processing_attempts > 0")
        .await;
    assert_eq!(charged, 0);
}

#[tokio::test]
async fn a_row_may_come_before_its_upload() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let key = format!("{user}/late.txt");
    let file = stack.row(user, "late.txt", "text/plain", &key, 3).await;
    let worker = stack
        .worker_with(|config| config.worker.max_attempts = 1)
        .await;
    for _ in 0..3 {
        has_patience_with(&worker).await;
        waits_uncharged(&stack.state(file).await, "object_missing");
        stack.make_due(file).await;
    }
    stack
        .objects()
        .put(&key, "tea".into(), "text/plain")
        .await
        .unwrap();
    worker.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn an_upload_that_has_not_come_within_ten_minutes_is_missing() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let key = format!("{user}/never.txt");
    let file = stack.row(user, "never.txt", "text/plain", &key, 3).await;
    let worker = stack.worker().await;
    stack
        .set(file, "created_at = now() - interval '9 min 30 s'")
        .await;
    has_patience_with(&worker).await;
    waits_uncharged(&stack.state(file).await, "object_missing");
    stack
        .set(
            file,
            "created_at = now() - interval '10 min 1 s', due_at = now()",
        )
        .await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("object_missing")));
}

#[tokio::test]
async fn a_drain_waits_out_an_outage() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    let mut watch = stack.watch().await;
    stack
        .provider()
        .faults
        .next_requests(4, &provider::faults::Fault::Status { status: 500 });
    let ((ending, settled), ()) = tokio::join!(worker.drain(), async {
        watch.until(file, |row| row.code.is_some()).await;
        // The back-off is over, by the database's clock.
        stack.make_due(file).await;
    });
    assert_eq!(ending, orion_ingest::worker::Ending::Drained);
    let outcomes: Vec<Outcome> = settled.iter().map(|settled| settled.outcome).collect();
    assert_eq!(outcomes, [Outcome::Retried, Outcome::Completed]);
}

#[tokio::test]
async fn a_bucket_that_is_not_there_ends_a_drain_and_fails_no_file_however_old() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    stack
        .set(file, "created_at = now() - interval '1 day'")
        .await;
    let worker = stack
        .worker_with(|config| config.storage.bucket = "misspelt".into())
        .await;
    let (ending, _) = worker.drain().await;
    assert_eq!(ending, Ending::StorageRefused);
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", Some("storage_unavailable")));
    assert_eq!(row.attempts, 0);
    stack.make_due(file).await;
    stack.worker().await.drain().await;
    assert_eq!(stack.state(file).await.status, "completed");
}
