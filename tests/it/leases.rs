//! Claims and what ends them: nobody writes who does not hold the file, and no file is lost or served unfairly.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use orion_ingest::{
    db::{
        Db, DbError, Scope,
        ledger::{self, Outgoing, Owner, Settlement, Share},
    },
    document::{FileId, Lease},
    embedded::provider::faults::Fault,
    failure::Code,
    metrics::Outcome,
};
use tokio::task::JoinSet;

use crate::{
    stack::Stack,
    work::{Worker, ingested, until},
};

const LEASE: Duration = Duration::from_mins(1);

async fn claim(db: &Db, files: usize) -> Vec<Lease> {
    db.claim(files, LEASE, &Scope::All)
        .await
        .expect("the database answers")
}

async fn claim_one(db: &Db) -> Lease {
    claim(db, 1).await.pop().expect("a due file")
}

fn is_lost(written: &Result<(), DbError>) -> bool {
    matches!(written, Err(DbError::LeaseLost))
}

#[tokio::test]
async fn a_worker_whose_lease_ran_out_cannot_commit() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let slow = claim_one(&db).await;
    stack.make_due(file).await;
    let quick = claim_one(&db).await;
    assert_eq!(quick.file, file);
    assert!(is_lost(
        &db.commit(&slow, &ingested(&["slow", "slower"]).into())
            .await
    ));
    assert_eq!(stack.state(file).await.outcome(), ("processing", None));
    assert_eq!(stack.chunks(file).await, []);
    db.commit(&quick, &ingested(&["quick"]).into())
        .await
        .unwrap();
    let chunks = stack.chunks(file).await;
    assert_eq!(chunks.len(), 1);
    assert_eq!(chunks[0].content, "quick");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn no_write_of_a_worker_that_lost_its_lease_touches_the_file() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let slow = claim_one(&db).await;
    stack.make_due(file).await;
    let quick = claim_one(&db).await;
    let before = stack.state(file).await;
    let error = Some((Code::Corrupt, "no"));
    assert!(is_lost(&db.renew(&slow, LEASE * 60).await));
    assert!(is_lost(&db.release(&slow).await));
    assert!(is_lost(&db.retry(&slow, 1, LEASE, error).await));
    assert!(is_lost(&db.reject(&slow, 1, Code::Corrupt, "no").await));
    let after = stack.state(file).await;
    assert_eq!(after.token, Some(quick.token.0));
    assert_eq!(after.outcome(), before.outcome());
    assert_eq!(after.attempts, 0);
    assert!(
        after.due_in <= before.due_in,
        "the stale renewal moved it: {after:?}"
    );
}

#[tokio::test]
async fn a_lease_ends_once() {
    let stack = Stack::new().await;
    stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let lease = claim_one(&db).await;
    db.commit(&lease, &ingested(&["tea"]).into()).await.unwrap();
    assert!(is_lost(
        &db.commit(&lease, &ingested(&["tea"]).into()).await
    ));
    assert!(is_lost(&db.release(&lease).await));
}

#[tokio::test]
async fn a_reingest_that_the_owner_asks_for_meanwhile_makes_the_old_worker_write_nothing() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    stack
        .set(file, "processing_attempts = 3, leases_lost = 2")
        .await;
    let old = claim_one(&db).await;
    stack.ask_again(user, file).await;
    let asked = stack.state(file).await;
    assert_eq!(asked.outcome(), ("pending", None));
    assert_eq!((asked.attempts, asked.leases_lost), (0, 0));
    assert_eq!(asked.token, None);
    assert!(asked.due_in <= 0.0, "{asked:?}");
    assert!(is_lost(&db.commit(&old, &ingested(&["old"]).into()).await));
    assert!(is_lost(&db.release(&old).await));
    assert_eq!(stack.chunks(file).await, []);
    let new = claim_one(&db).await;
    db.commit(&new, &ingested(&["new"]).into()).await.unwrap();
    assert_eq!(stack.chunks(file).await[0].content, "new");
}

#[tokio::test]
async fn a_file_whose_worker_died_comes_due_by_itself_and_is_charged_a_lease_and_no_attempt() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    assert_eq!(claim_one(&db).await.leases_lost, 0);
    assert!(claim(&db, 1).await.is_empty(), "claimed twice");
    stack.make_due(file).await;
    let second = claim_one(&db).await;
    assert_eq!((second.leases_lost, second.attempts), (1, 0));
}

#[tokio::test]
async fn a_lease_that_is_handed_back_costs_nothing() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let lease = claim_one(&db).await;
    db.release(&lease).await.unwrap();
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", None));
    assert_eq!((row.attempts, row.leases_lost, row.token), (0, 0, None));
    assert!(row.due_in <= 0.0, "{row:?}");
    assert_eq!(claim_one(&db).await.leases_lost, 0);
}

#[tokio::test]
async fn a_file_that_kills_its_worker_each_time_is_given_up_unread() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let last = stack.file(user, "last.txt", "one more chance").await;
    let over = stack.file(user, "over.txt", "none").await;
    let left = "processing_status = 'processing', lease_token = gen_random_uuid(), due_at = now()";
    stack.set(last, &format!("{left}, leases_lost = 19")).await;
    stack.set(over, &format!("{left}, leases_lost = 20")).await;
    let before = stack.storage_faults().requests();
    stack.worker().await.drain().await;
    assert_eq!(stack.state(last).await.outcome(), ("completed", None));
    let row = stack.state(over).await;
    assert_eq!(row.outcome(), ("failed", Some("attempts_exhausted")));
    assert!(row.error.unwrap().contains("21 lost leases"));
    assert_eq!(
        stack.storage_faults().requests() - before,
        1,
        "only one was read"
    );
    // The owner may insist.
    stack.ask_again(user, over).await;
    stack.worker().await.drain().await;
    assert_eq!(stack.state(over).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn failures_charged_to_a_file_end_at_max_attempts() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| config.worker.max_attempts = 2)
        .await;
    // Three tries at once for each attempt; each is billed, so that the file is charged.
    stack.provider().faults.next_requests(6, &Fault::WrongCount);
    let settled = worker.settle(1).await;
    assert_eq!(settled[0].outcome, Outcome::Retried);
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", Some("provider_unavailable")));
    assert_eq!(row.attempts, 1);
    assert!(row.due_in > 0.5, "no back-off: {row:?}");
    stack.make_due(file).await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("provider_unavailable")));
    assert_eq!(row.attempts, 2);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_file_past_its_attempts_is_failed_unread() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    stack.set(file, "processing_attempts = 5").await;
    let before = stack.storage_faults().requests();
    stack.worker().await.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("failed", Some("attempts_exhausted")));
    assert_eq!(stack.storage_faults().requests(), before);
}

#[tokio::test]
async fn back_off_grows_with_each_failure() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    stack.provider().faults.next_requests(6, &Fault::WrongCount);
    for (attempts, waits) in [(0, 0.5..=3.0), (3, 7.5..=24.0)] {
        stack
            .set(
                file,
                &format!("processing_attempts = {attempts}, due_at = now()"),
            )
            .await;
        worker.settle(1).await;
        let row = stack.state(file).await;
        assert_eq!(row.attempts, attempts + 1);
        assert!(waits.contains(&row.due_in), "{row:?}");
    }
}

#[tokio::test]
async fn back_off_is_not_the_same_for_all() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let mut waits = Vec::new();
    for _ in 0..8 {
        let lease = claim_one(&db).await;
        db.retry(&lease, 1, Duration::from_secs(100), None)
            .await
            .unwrap();
        waits.push(stack.state(file).await.due_in);
        stack.make_due(file).await;
    }
    assert!(
        waits.iter().all(|wait| (99.0..=150.0).contains(wait)),
        "what was asked, and up to half of it more: {waits:?}"
    );
    assert!(
        waits.iter().any(|wait| (wait - waits[0]).abs() > 1.0),
        "no jitter: {waits:?}"
    );
    assert_eq!(stack.state(file).await.attempts, 8);
}

#[tokio::test]
async fn a_file_that_takes_long_keeps_its_lease() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| config.worker.lease_for = Duration::from_millis(1500))
        .await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let (settled, ()) = tokio::join!(worker.settle(1), async {
        let claimed = watch.until_claimed(file).await;
        for _ in 0..3 {
            let renewed = watch.until(file, |_| true).await;
            assert_eq!(renewed.token, claimed.token);
            assert_eq!(renewed.status, "processing");
            assert!(renewed.due_in > 1.0, "{renewed:?}");
        }
        stack.provider().faults.release();
    });
    assert_eq!(settled[0].outcome, Outcome::Completed);
    assert_eq!(stack.state(file).await.leases_lost, 0);
}

#[tokio::test]
async fn a_quick_file_shows_its_subscribers_no_heartbeat() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let mut watch = stack.watch().await;
    stack.worker().await.drain().await;
    assert_eq!(watch.until(file, |_| true).await.status, "processing");
    assert_eq!(watch.until(file, |_| true).await.status, "completed");
}

/// A worker that renews its one lease several times a second, and so notices soon when it is lost.
async fn impatient(stack: &Stack) -> Worker {
    stack
        .worker_with(|config| {
            config.worker.lease_for = Duration::from_millis(900);
            config.worker.concurrency = 1;
        })
        .await
}

#[tokio::test]
async fn a_worker_that_notices_a_lost_lease_drops_the_file_and_what_was_paid_is_kept() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let worker = impatient(&stack).await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let (settled, ()) = tokio::join!(worker.settle(1), async {
        watch.until_claimed(file).await;
        stack.provider().seen(|counts| counts.requests == 1).await;
        stack.ask_again(user, file).await;
    });
    assert_eq!(settled[0].outcome, Outcome::Lost);
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("pending", None));
    assert_eq!((row.attempts, row.token), (0, None));
    assert_eq!(stack.chunks(file).await, []);
    // The answer comes when nobody waits for it any more.
    stack.provider().faults.release();
    let mut admin = stack.admin().await;
    until(&mut admin, "select exists (select from usage_logs)").await;
    worker.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
    assert_eq!(stack.provider().counts().requests, 1, "paid twice");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_request_that_failed_is_not_sent_again_for_a_file_that_is_no_longer_ours() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let worker = impatient(&stack).await;
    let mut watch = stack.watch().await;
    let faults = &stack.provider().faults;
    faults.next_requests(1, &Fault::Status { status: 500 });
    faults.hold();
    let (settled, ()) = tokio::join!(worker.settle(1), async {
        watch.until_claimed(file).await;
        stack.provider().seen(|counts| counts.requests == 1).await;
        stack.replace(file, "coffee").await;
        stack.ask_again(user, file).await;
    });
    assert_eq!(settled[0].outcome, Outcome::Lost);
    faults.release();
    worker.drain().await;
    assert_eq!(stack.chunks(file).await[0].content, "coffee");
    let counts = stack.provider().counts();
    assert_eq!(counts.billed_inputs, 1, "nobody waits for tea: {counts:?}");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn an_answer_that_comes_after_another_worker_has_finished_the_file_is_booked_and_not_stashed()
{
    let stack = Stack::new().await;
    let user = stack.user().await;
    let file = stack.file(user, "a.txt", "tea").await;
    let db = stack.worker().await.app.db.clone();
    let done = ingested(&["tea"]);
    let mut tx = db.begin().await.unwrap();
    let outgoing = Outgoing {
        model: &done.model,
        inputs: 1,
        tokens: 1,
        is_reembedding: false,
    };
    let request = ledger::record(&mut tx, &outgoing).await.unwrap();
    tx.commit().await.unwrap();
    let quick = claim_one(&db).await;
    let model = done.model.clone();
    db.commit(&quick, &done.into()).await.unwrap();
    let late = Settlement {
        request,
        model,
        rows: Vec::new(),
        billed: 1,
        price_per_mtok: 0.02,
        shares: vec![Share {
            user,
            file: Some(file),
            tokens: 1,
        }],
        owners: vec![Owner {
            user,
            file: Some(file),
            sha256: [7; 32],
        }],
        vectors: vec![vec![0.5; 1536].into()],
    };
    let mut tx = db.begin().await.unwrap();
    ledger::settle(&mut tx, &late).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stack.books().await.logged, 1);
    let stashed = "select count(*) from orion_ingest.stashed_vectors";
    assert_eq!(stack.value::<i64>(stashed).await, 0);
}

#[tokio::test]
async fn a_worker_cut_off_from_the_database_gives_its_file_up_and_books_its_answer_later() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| config.worker.lease_for = Duration::from_millis(900))
        .await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let (settled, ()) = tokio::join!(worker.settle(1), async {
        watch.until_claimed(file).await;
        stack.provider().seen(|counts| counts.requests == 1).await;
        stack.cut_off().await;
        stack.provider().faults.release();
        stack
            .provider()
            .seen(|counts| counts.billed_requests == 1)
            .await;
    });
    assert_eq!(settled[0].outcome, Outcome::Lost);
    stack.let_in().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("processing", None));
    assert_eq!(stack.chunks(file).await, []);
    let mut admin = stack.admin().await;
    until(&mut admin, "select exists (select from usage_logs)").await;
    worker.drain().await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("completed", None));
    assert_eq!((row.attempts, row.leases_lost), (0, 1));
    assert_eq!(stack.provider().counts().requests, 1, "paid twice");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn no_file_is_given_to_two_claimers_and_none_is_forgotten() {
    let stack = Stack::new().await;
    let mut files = BTreeSet::new();
    for _ in 0..5 {
        let user = stack.user().await;
        for n in 0..8 {
            let key = format!("{user}/{n}");
            files.insert(stack.row(user, "a.txt", "text/plain", &key, 1).await);
        }
    }
    let mut claimers = JoinSet::new();
    for _ in 0..6 {
        let db = stack.worker().await.app.db.clone();
        claimers.spawn(async move {
            let mut mine = Vec::new();
            // Rows that another claimer holds at the moment are skipped, so an empty claim is not yet the end.
            while db.backlog(&Scope::All).await.unwrap().next_due_in == Some(Duration::ZERO) {
                let leases = claim(&db, 3).await;
                assert!(leases.len() <= 3);
                mine.extend(leases.into_iter().map(|lease| lease.file));
            }
            mine
        });
    }
    let mut claimed: Vec<FileId> = claimers.join_all().await.concat();
    claimed.sort_unstable();
    assert_eq!(claimed, Vec::from_iter(files));
}

#[tokio::test]
async fn one_persons_many_files_hold_up_anothers_by_one_round() {
    let stack = Stack::new().await;
    let (many, one) = (stack.user().await, stack.user().await);
    stack
        .sql(&format!(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size, due_at)
             select '{many}', n || '.txt', '{many}/' || n, 'text/plain', 1, now() - interval '1 day'
             from generate_series(1, 300) n"
        ))
        .await;
    let db = stack.worker().await.app.db.clone();
    assert_eq!(claim(&db, 4).await.len(), 4);
    let note = stack.row(one, "note.txt", "text/plain", "x", 1).await;
    let round = claim(&db, 4).await;
    assert!(round.iter().any(|lease| lease.file == note), "{round:#?}");
    assert!(round.len() > 1, "the others are kept waiting");
}

#[tokio::test]
async fn a_flood_of_ten_thousand_files_delays_two_others_by_no_more_than_a_round_of_claims() {
    let stack = Stack::new().await;
    let (flood, one, other) = (stack.user().await, stack.user().await, stack.user().await);
    stack
        .sql(&format!(
            "insert into files (user_id, original_name, storage_path, mime_type, file_size, due_at)
             select '{flood}', n || '.txt', '{flood}/' || n, 'text/plain', 1, now() - interval '1 day'
             from generate_series(1, 10000) n"
        ))
        .await;
    let db = stack.worker().await.app.db.clone();
    for round in 0..20 {
        let mut notes = vec![stack.row(one, "note.txt", "text/plain", "x", 1).await];
        if round % 2 == 0 {
            notes.push(stack.row(other, "note.txt", "text/plain", "x", 1).await);
        }
        // A file at a time, a round is as many claims as there are people.
        let mut claimed = Vec::new();
        for _ in 0..3 {
            claimed.push(claim_one(&db).await.file);
        }
        let are_there = notes.iter().all(|note| claimed.contains(note));
        assert!(are_there, "round {round}: {notes:?} are not in {claimed:?}");
    }
}

#[tokio::test]
async fn people_are_served_in_turn_and_each_ones_oldest_file_first() {
    let stack = Stack::new().await;
    let mut names = BTreeMap::new();
    for person in ["a", "b", "c"] {
        let user = stack.user().await;
        for n in 0..3 {
            let file = stack.row(user, "a.txt", "text/plain", "x", 1).await;
            stack
                .set(file, &format!("due_at = now() - interval '{} min'", 9 - n))
                .await;
            names.insert(file, (person, n));
        }
    }
    let db = stack.worker().await.app.db.clone();
    let mut rounds = Vec::new();
    for _ in 0..3 {
        let mut round = BTreeSet::new();
        for _ in 0..3 {
            round.insert(names[&claim_one(&db).await.file]);
        }
        rounds.push(Vec::from_iter(round));
    }
    for (n, round) in (0..).zip(rounds) {
        assert_eq!(round, [("a", n), ("b", n), ("c", n)]);
    }
}

#[tokio::test]
async fn a_claim_of_certain_files_takes_no_others() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let old = stack.row(user, "old", "text/plain", "x", 1).await;
    let mine = stack.row(user, "mine", "text/plain", "x", 1).await;
    let theirs = stack
        .row(stack.user().await, "theirs", "text/plain", "x", 1)
        .await;
    let db = stack.worker().await.app.db.clone();
    let scope = Scope::Only {
        user,
        files: vec![mine.0, theirs.0],
    };
    let claimed = db.claim(9, LEASE, &scope).await.unwrap();
    let claimed: Vec<FileId> = claimed.iter().map(|lease| lease.file).collect();
    assert_eq!(claimed, [mine]);
    assert_eq!(db.backlog(&scope).await.unwrap().files, 2);
    let rest: BTreeSet<FileId> = claim(&db, 9).await.iter().map(|lease| lease.file).collect();
    assert_eq!(rest, BTreeSet::from([old, theirs]));
}
