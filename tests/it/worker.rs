//! The worker as a whole: drains end when nothing is left, workers share, and new files are noticed.

use std::{
    collections::BTreeSet,
    process::{Output, Stdio},
    time::Duration,
};

use orion_ingest::{
    db::Scope,
    document::FileId,
    embedded::provider::faults::Fault,
    metrics::Outcome,
    shutdown::Shutdown,
    worker::{Ending, Until},
};
use serde_json::Value;
use tokio::{
    process::{Child, Command},
    time::timeout,
};

use crate::{
    stack::Stack,
    work::{PATIENCE, sections},
};

/// How a process ended, whose output is at hand when a test fails.
async fn ended(mut command: Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    timeout(PATIENCE, command.output())
        .await
        .expect("an end")
        .expect("a process")
}

/// The report that a process prints with `--json`.
fn report(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:#?}"))
}

async fn completed(stack: &Stack) -> i64 {
    stack
        .value("select count(*) from files where processing_status = 'completed'")
        .await
}

#[tokio::test]
async fn two_processes_side_by_side_ingest_everything_once() {
    let stack = Stack::new().await;
    for person in 0..4 {
        let user = stack.user().await;
        for n in 0..6 {
            let year = 1000 + person * 100 + n * 5;
            stack.file(user, "tea.md", sections(year..year + 3)).await;
        }
    }
    let drain = || ended(stack.program(&["--drain", "--json"]));
    let (one, other) = tokio::join!(drain(), drain());
    let mut shares = Vec::new();
    for output in [&one, &other] {
        assert_eq!(output.status.code(), Some(0), "{output:#?}");
        let report = report(output);
        assert_eq!(report["ending"], "drained");
        assert_eq!(report["files_left"], 0);
        shares.push(report["files_completed"].as_u64().unwrap());
    }
    assert_eq!(shares.iter().sum::<u64>(), 24, "{shares:?}");
    assert_eq!(completed(&stack).await, 24);
    let texts: i64 = stack
        .value("select count(distinct (user_id, content_sha256)) from document_chunks")
        .await;
    let embedded = stack.provider().counts().billed_inputs;
    assert_eq!(embedded, texts.cast_unsigned(), "each text once");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_drain_of_nothing_ends_at_once() {
    let stack = Stack::new().await;
    let (ending, settled) = stack.worker().await.drain().await;
    assert_eq!(ending, Ending::Drained);
    assert!(settled.is_empty());
}

#[tokio::test]
async fn a_drain_waits_for_back_offs_and_for_other_workers_leases() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let theirs = stack.file(user, "theirs.txt", "tea").await;
    let other = stack.worker().await.app.db.clone();
    let lease = other.claim(1, PATIENCE, &Scope::All).await.unwrap();
    assert_eq!(lease[0].file, theirs);
    let later = stack.file(user, "later.txt", "bread").await;
    stack.set(later, "due_at = now() + interval '1 day'").await;
    let mine = stack.file(user, "mine.txt", "brandy").await;
    let worker = stack.worker().await;
    let mut watch = stack.watch().await;
    let ((ending, settled), ()) = tokio::join!(worker.drain(), async {
        watch.until_completed(mine).await;
        // Only the file that waits for tomorrow is left, and the one that somebody else has.
        stack.make_due(later).await;
        watch.until_completed(later).await;
        other.release(&lease[0]).await.unwrap();
    });
    assert_eq!(ending, Ending::Drained);
    assert_eq!(settled.len(), 3);
    assert_eq!(completed(&stack).await, 3);
}

#[tokio::test]
async fn a_drain_takes_over_when_another_workers_lease_runs_out() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    let dead = stack.worker().await.app.db.clone();
    let lease = Duration::from_millis(300);
    assert_eq!(dead.claim(1, lease, &Scope::All).await.unwrap().len(), 1);
    let (ending, settled) = worker.drain().await;
    assert_eq!(ending, Ending::Drained);
    assert_eq!(settled.len(), 1);
    assert_eq!(stack.state(file).await.leases_lost, 1);
}

#[tokio::test]
async fn a_drain_that_takes_too_long_hands_back_what_it_has_and_says_what_is_left() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    stack.provider().faults.hold();
    let output = ended(stack.program(&["--drain", "--json", "--timeout", "1s"])).await;
    assert_eq!(output.status.code(), Some(1), "{output:#?}");
    let report = report(&output);
    assert_eq!(report["ending"], "timed_out");
    assert_eq!(report["files_left"], 1);
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", None));
    assert_eq!((row.attempts, row.leases_lost, row.token), (0, 0, None));
    stack.provider().faults.release();
}

#[tokio::test]
async fn exit_codes_say_how_a_drain_ended() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    stack.file(user, "blank.txt", " ").await;
    let output = ended(stack.program(&["--drain", "--json"])).await;
    assert_eq!(output.status.code(), Some(3), "{output:#?}");
    assert_eq!(report(&output)["failed_by_code"]["no_text"], 1);

    stack.file(user, "blank.txt", " ").await;
    let output = ended(stack.program(&["run", "--drain", "--allow-failures"])).await;
    assert_eq!(output.status.code(), Some(0), "{output:#?}");

    let file = stack.file(user, "a.txt", "tea").await;
    stack.provider().faults.next_requests(9, &Fault::QuotaSpent);
    let output = ended(stack.program(&["--drain", "--json"])).await;
    assert_eq!(output.status.code(), Some(1), "{output:#?}");
    assert_eq!(report(&output)["ending"], "provider_quota_spent");
    assert_eq!(stack.state(file).await.status, "pending");
    stack.provider().faults.clear();

    let mut no_database = stack.program(&["--drain"]);
    no_database.env("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none");
    assert_eq!(ended(no_database).await.status.code(), Some(1));

    let mut no_settings = stack.program(&["--drain"]);
    no_settings.env_clear();
    assert_eq!(ended(no_settings).await.status.code(), Some(2));
}

#[tokio::test]
async fn a_drain_of_certain_files_leaves_the_others() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let other = stack.file(user, "other.txt", "tea").await;
    let mine = stack.file(user, "mine.txt", "bread").await;
    let worker = stack.worker().await;
    let scope = Scope::Only {
        user,
        files: vec![mine.0],
    };
    let (ending, settled) = worker.drain_only(scope).await;
    assert_eq!(ending, Ending::Drained);
    let files: Vec<FileId> = settled.iter().map(|settled| settled.file).collect();
    assert_eq!(files, [mine]);
    assert_eq!(stack.state(other).await.status, "pending");
}

#[tokio::test]
async fn ingest_uploads_and_drains_only_its_own_files() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let waiting = stack.file(user, "waiting.txt", "tea").await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.md"), "# Bread\n\nThe house bakes.").unwrap();
    std::fs::write(folder.path().join("b.txt"), "The house drinks tea.").unwrap();
    let path = folder.path().to_str().unwrap();
    let output =
        ended(stack.program(&["ingest", path, "--json", "--user", &user.to_string()])).await;
    assert_eq!(output.status.code(), Some(0), "{output:#?}");
    assert_eq!(report(&output)["files_completed"], 2);
    assert_eq!(stack.state(waiting).await.status, "pending");
    let well_placed: bool = stack
        .value(
            "select bool_and(storage_path ~ ('^' || user_id || '/' || id || '\\.(md|txt)$'))
             from files where processing_status = 'completed'",
        )
        .await;
    assert!(well_placed);

    let nobody = uuid::Uuid::new_v4().to_string();
    let output = ended(stack.program(&["ingest", path, "--user", &nobody])).await;
    assert_eq!(output.status.code(), Some(2), "{output:#?}");
}

#[tokio::test]
async fn a_new_file_is_started_by_a_notification() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let worker = stack
        .worker_with(|config| config.worker.poll_every = Duration::from_hours(1))
        .await;
    let first = stack.file(user, "first.txt", "tea").await;
    let mut watch = stack.watch().await;
    let shutdown = Shutdown::default();
    tokio::join!(worker.serve(&shutdown), async {
        watch.until_completed(first).await;
        let second = stack.file(user, "second.txt", "bread").await;
        watch.until_completed(second).await;
        stack.ask_again(user, first).await;
        watch.until_completed(first).await;
        shutdown.finish();
    });
}

#[tokio::test]
async fn without_notifications_a_new_file_is_found_by_looking_also_while_another_is_in_hand() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let worker = stack
        .worker_with(|config| {
            config.worker.poll_every = Duration::from_millis(100);
            // No LISTEN.
            config.database.direct_url = Some("nowhere".into());
            config.worker.concurrency = 2;
        })
        .await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let shutdown = Shutdown::default();
    tokio::join!(worker.serve(&shutdown), async {
        let held = stack.file(user, "held.txt", "tea").await;
        watch.until_claimed(held).await;
        stack.provider().seen(|counts| counts.requests == 1).await;
        let second = stack.file(user, "blank.txt", " ").await;
        watch.until(second, |row| row.status == "failed").await;
        stack.provider().faults.release();
        watch.until_completed(held).await;
        shutdown.finish();
    });
}

/// The service as a process that looks for changes often.
fn service(stack: &Stack) -> Child {
    stack
        .program(&["run", "--poll-interval", "100ms"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a process")
}

#[tokio::test]
async fn a_service_follows_changed_file_types_without_a_restart() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let mut watch = stack.watch().await;
    let _service = service(&stack);
    let before = stack.file(user, "before.txt", "tea").await;
    watch.until_completed(before).await;
    stack
        .sql("update file_type_configs set enabled = false where mime_type = 'text/plain'")
        .await;
    let refused = async {
        loop {
            let file = stack.file(user, "after.txt", "tea").await;
            let row = watch
                .until(file, |row| {
                    matches!(row.status.as_str(), "completed" | "failed")
                })
                .await;
            if row.status == "failed" {
                return row;
            }
        }
    };
    let row = timeout(PATIENCE, refused)
        .await
        .expect("the change is noticed");
    assert_eq!(row.outcome(), ("failed", Some("type_disabled")));
}

#[tokio::test]
async fn a_service_follows_the_active_model_without_a_restart() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let mut service = service(&stack);
    let held = stack.file(user, "held.txt", "tea").await;
    watch.until_claimed(held).await;
    // Asked for, and not answered before the change.
    stack.provider().seen(|counts| counts.requests > 0).await;
    stack
        .sql("update orion_ingest.active_models set model = 'text-embedding-3-large' where target = 'chunks'")
        .await;
    stack.provider().faults.release();
    let row = watch.until_completed(held).await;
    assert_eq!(row.attempts, 0);
    let model: String = stack
        .value("select embedding_model from document_chunks")
        .await;
    assert_eq!(model, "text-embedding-3-large");
    assert!(service.try_wait().expect("a process").is_none());
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_worker_has_no_more_files_in_hand_than_it_may() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for n in 0..9 {
        stack.file(user, "a.txt", format!("year {n}")).await;
    }
    let worker = stack
        .worker_with(|config| config.worker.concurrency = 3)
        .await;
    stack.provider().faults.hold();
    let until = Until::Drained {
        scope: Scope::All,
        give_up_at: None,
    };
    assert!(matches!(until.scope(), Scope::All));
    let mut watch = stack.watch().await;
    let ((_, settled), ()) = tokio::join!(worker.drain(), async {
        for _ in 0..3 {
            assert_eq!(watch.next().await.status, "processing");
        }
        let in_hand: i64 = stack
            .value("select count(*) from files where processing_status = 'processing'")
            .await;
        assert_eq!(in_hand, 3);
        stack.provider().faults.release();
        let mut in_hand = 3;
        while in_hand > 0 {
            match watch.next().await.status.as_str() {
                "processing" => in_hand += 1,
                _ => in_hand -= 1,
            }
            assert!(in_hand <= 3);
        }
    });
    assert_eq!(settled.len(), 9);
}

#[tokio::test]
async fn files_that_wait_for_their_vectors_leave_room_for_others() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for n in 0..9 {
        stack.file(user, "a.txt", format!("year {n}")).await;
    }
    let worker = stack
        .worker_with(|config| (config.worker.concurrency, config.worker.waiting) = (1, 4))
        .await;
    stack.provider().faults.hold();
    let mut watch = stack.watch().await;
    let ((_, settled), ()) = tokio::join!(worker.drain(), async {
        for _ in 0..5 {
            assert_eq!(watch.next().await.status, "processing");
        }
        stack.provider().faults.release();
        let mut claimed = 5;
        while claimed > 0 {
            match watch.next().await.status.as_str() {
                "processing" => claimed += 1,
                _ => claimed -= 1,
            }
            assert!(claimed <= 5);
        }
    });
    assert_eq!(settled.len(), 9);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn room_that_one_person_does_not_need_is_another_ones() {
    let stack = Stack::new().await;
    let (many, few) = (stack.user().await, stack.user().await);
    for n in 0..5 {
        stack.file(many, "a.txt", format!("year {n}")).await;
    }
    stack.file(few, "b.txt", "tea").await;
    let worker = stack
        .worker_with(|config| {
            config.worker.poll_every = Duration::from_hours(1);
            // No LISTEN.
            config.database.direct_url = Some("nowhere".into());
            config.worker.concurrency = 6;
        })
        .await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let ((_, settled), ()) = tokio::join!(worker.drain(), async {
        let mut claimed = BTreeSet::new();
        while claimed.len() < 6 {
            // A renewal would be told as well, and is none of these.
            claimed.insert(
                timeout(PATIENCE / 6, watch.next())
                    .await
                    .expect("a claim")
                    .id,
            );
        }
        stack.provider().faults.release();
    });
    assert_eq!(settled.len(), 6);
}

#[tokio::test]
async fn a_file_that_harms_its_extractor_is_tried_again_and_then_given_up() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| {
            config.worker.max_attempts = 2;
            config.sandbox.program =
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/children/leaves.sh").into();
        })
        .await;
    let settled = worker.settle(1).await;
    assert_eq!(settled[0].outcome, Outcome::Retried);
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", Some("extract_crash")));
    assert_eq!(row.attempts, 1);
    stack.make_due(file).await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("extract_crash")));
    assert_eq!(row.attempts, 2);
}

#[tokio::test]
async fn two_deaths_on_the_same_bytes_are_final_and_on_other_bytes_are_not() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| {
            config.sandbox.program =
                concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/children/leaves.sh").into();
        })
        .await;
    for (bytes, attempts, status) in [
        ("tea", 1, "pending"),
        ("coffee", 2, "pending"),
        ("coffee", 3, "failed"),
    ] {
        stack.replace(file, bytes).await;
        stack.make_due(file).await;
        worker.settle(1).await;
        let row = stack.state(file).await;
        assert_eq!(row.outcome(), (status, Some("extract_crash")), "{bytes}");
        assert_eq!(row.attempts, attempts, "{bytes}");
    }
    // Whoever asks again asks for a new start.
    stack.ask_again(user, file).await;
    worker.settle(1).await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", Some("extract_crash")));
}
