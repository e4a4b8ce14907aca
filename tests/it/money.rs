//! Nothing is paid twice that did not have to be, and every answer of the provider is in the books.

use std::time::Duration;

use orion_ingest::{
    embedded::provider::{faults::Fault, lexical},
    embedding::State,
    worker::{Ending, Settled},
};

use crate::{
    stack::Stack,
    work::{Worker, sections, until},
};

/// Texts that the provider has embedded.
fn embedded(stack: &Stack) -> u64 {
    stack.provider().counts().billed_inputs
}

async fn drained(worker: &Worker) -> Vec<Settled> {
    let (ending, settled) = worker.drain().await;
    assert_eq!(ending, Ending::Drained);
    settled
}

#[tokio::test]
async fn the_providers_bill_is_booked_by_user_and_file() {
    let stack = Stack::new().await;
    let (one, other) = (stack.user().await, stack.user().await);
    for (user, year) in [(one, 1700), (one, 1750), (other, 1800)] {
        stack.file(user, "tea.md", sections(year..year + 9)).await;
    }
    drained(&stack.worker().await).await;
    let books = stack.books().await;
    assert!(books.bill > 0);
    assert_eq!((books.logged, books.uncertain), (books.bill, 0));
    let well_booked: bool = stack
        .value(
            "select count(distinct metadata ->> 'file_id') = 3 and bool_and(
                 action = 'embedding' and provider = 'openai' and model = 'text-embedding-3-small'
                 and cost_usd = tokens_used * 0.02 / 1000000
                 and user_id = (select user_id from files f where f.id = (metadata ->> 'file_id')::uuid))
             from usage_logs",
        )
        .await;
    assert!(well_booked);
    let totals: bool = stack
        .value(
            "select bool_and(p.total_tokens_used = l.tokens and p.total_cost_usd = l.cost)
             from user_profiles p
             join (select user_id, sum(tokens_used) as tokens, sum(cost_usd) as cost
                   from usage_logs group by user_id) l on l.user_id = p.id",
        )
        .await;
    assert!(totals);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn the_same_file_costs_its_owner_nothing_the_second_time() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let worker = stack.worker().await;
    let first = stack.file(user, "tea.md", sections(1700..1705)).await;
    drained(&worker).await;
    let before = stack.provider().counts();
    stack.ask_again(user, first).await;
    let copy = stack.file(user, "copy.md", sections(1700..1705)).await;
    drained(&worker).await;
    assert_eq!(stack.provider().counts(), before);
    assert_eq!(stack.state(copy).await.outcome(), ("completed", None));
    assert_eq!(
        stack.chunks(first).await.len(),
        stack.chunks(copy).await.len()
    );
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn two_copies_at_the_same_time_are_paid_once() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    for name in ["a.md", "b.md", "c.md"] {
        stack.file(user, name, "The house bought tea.").await;
    }
    drained(&stack.worker().await).await;
    assert_eq!(embedded(&stack), 1);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn an_edited_file_pays_for_the_chunks_that_changed() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let user = stack.user().await;
    let worker = stack.worker().await;
    let file = stack.file(user, "tea.md", sections(1700..1710)).await;
    drained(&worker).await;
    assert_eq!(embedded(&stack), 10);
    let edited: Vec<u32> = (1700..1710)
        .map(|year| if year == 1704 { 1804 } else { year })
        .collect();
    stack.replace(file, &sections(edited)).await;
    stack.ask_again(user, file).await;
    drained(&worker).await;
    assert_eq!(embedded(&stack), 11);
    assert_eq!(stack.state(file).await.chunk_count, 10);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_file_too_large_for_memory_is_paid_once_and_has_its_own_vectors() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let user = stack.user().await;
    let worker = stack.worker().await;
    let file = stack.file(user, "tea.md", sections(1..1102)).await;
    // In flight at the same time as the same text of the large one, or found beside it.
    let small = stack.file(user, "note.md", sections(7..8)).await;
    drained(&worker).await;
    assert_eq!(embedded(&stack), 1101);
    let edited = (1..1102).map(|year| if year == 704 { 1804 } else { year });
    stack.replace(file, &sections(edited)).await;
    stack.ask_again(user, file).await;
    drained(&worker).await;
    assert_eq!(embedded(&stack), 1102);
    assert_eq!(stack.state(file).await.chunk_count, 1101);
    assert_eq!(stack.state(small).await.outcome(), ("completed", None));
    for year in [7, 703, 1804] {
        let chunk = format!("from document_chunks where content like '%year {year} %' limit 1");
        let text: String = stack
            .value(&format!("select metadata ->> 'prefix' || content {chunk}"))
            .await;
        let vector: Vec<f32> = stack
            .value(&format!("select embedding::real[] {chunk}"))
            .await;
        assert_eq!(
            vector,
            lexical::vector(&text, "text-embedding-3-small", 1536)
        );
    }
    let stashed: i64 = stack
        .value("select count(*) from orion_ingest.stashed_vectors")
        .await;
    assert_eq!(stashed, 0);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn vectors_are_not_shared_between_people() {
    let stack = Stack::new().await;
    let worker = stack.worker().await;
    for _ in 0..2 {
        let user = stack.user().await;
        stack.file(user, "a.txt", "The house bought tea.").await;
        drained(&worker).await;
    }
    assert_eq!(embedded(&stack), 2);
    let both: bool = stack
        .value("select bool_and(total_tokens_used > 0) from user_profiles")
        .await;
    assert!(both);
}

#[tokio::test]
async fn a_crash_between_the_answer_and_the_commit_pays_nothing_again() {
    let stack = Stack::new().await;
    let file = stack
        .file(stack.user().await, "tea.md", sections(1700..1705))
        .await;
    let mut gate = stack.gate().await;
    let mut dying = stack.program(&["--drain"]).spawn().unwrap();
    gate.reached().await;
    // SIGKILL.
    dying.kill().await.unwrap();
    gate.open().await;
    let paid = stack.provider().counts();
    assert!(paid.billed_requests > 0);
    stack.make_due(file).await;
    drained(&stack.worker().await).await;
    let row = stack.state(file).await;
    assert_eq!(row.outcome(), ("completed", None));
    assert_eq!((row.attempts, row.leases_lost), (0, 1));
    assert_eq!(stack.provider().counts(), paid);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_crash_repeats_no_more_than_what_was_in_flight() {
    let stack = Stack::new().await;
    stack.cut_by_sections().await;
    let file = stack
        .file(stack.user().await, "tea.md", sections(1700..1720))
        .await;
    let small_requests = |config: &mut orion_ingest::config::Config| {
        config.embedding.batch.inputs = 5;
        config.embedding.max_concurrency = 1;
    };
    // The first two answers come, in an order that is allowed, and the third never.
    let faults = &stack.provider().faults;
    faults.next_requests(2, &Fault::ShuffledIndexes);
    faults.next_requests(1, &Fault::Hang);
    let dying = stack.worker_with(small_requests).await;
    tokio::select! {
        _ = dying.drain() => panic!("an answer came"),
        counts = stack.provider().seen(|counts| counts.requests == 3) => {
            assert_eq!(counts.billed_inputs, 10);
        }
    }
    drop(dying);
    stack.keeps_its_promises().await;
    assert!(stack.books().await.uncertain > 0, "in flight");
    stack.make_due(file).await;
    drained(&stack.worker_with(small_requests).await).await;
    assert_eq!(embedded(&stack), 20, "each text once");
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_killed_workers_request_stays_uncertain() {
    let stack = Stack::new().await;
    let file = stack
        .file(stack.user().await, "tea.md", sections(1700..1705))
        .await;
    stack.provider().faults.hold();
    let mut dying = stack.program(&["--drain"]).spawn().unwrap();
    stack.provider().seen(|counts| counts.requests == 1).await;
    dying.kill().await.unwrap();
    stack.provider().faults.release();
    let books = stack.books().await;
    assert_eq!((books.settled, books.logged), (0, 0));
    assert!(books.uncertain > 0);
    assert_eq!(stack.state(file).await.outcome(), ("processing", None));
    stack.make_due(file).await;
    drained(&stack.worker().await).await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn an_answer_that_broke_off_may_be_billed_and_is_written_down_as_such() {
    for fault in [Fault::HangUp, Fault::CutBody, Fault::NoData] {
        let stack = Stack::new().await;
        let file = stack.file(stack.user().await, "a.txt", "tea").await;
        stack.provider().faults.next_requests(1, &fault);
        drained(&stack.worker().await).await;
        let row = stack.state(file).await;
        assert_eq!(row.outcome(), ("completed", None), "{fault:?}");
        assert_eq!(row.attempts, 0);
        let books = stack.books().await;
        assert_eq!(
            books.bill,
            books.settled + books.uncertain,
            "{fault:?}: {books:?}"
        );
        assert_eq!(books.settled, books.uncertain, "{fault:?}: {books:?}");
        stack.keeps_its_promises().await;
    }
}

#[tokio::test]
async fn an_answer_without_usable_vectors_is_booked_all_the_same() {
    for fault in [Fault::WrongCount, Fault::RepeatedIndex, Fault::NotFinite] {
        let stack = Stack::new().await;
        let user = stack.user().await;
        stack.file(user, "a.md", sections(1700..1720)).await;
        stack.provider().faults.next_requests(1, &fault);
        drained(&stack.worker().await).await;
        let books = stack.books().await;
        assert_eq!(books.settled, books.bill, "{fault:?}");
        assert_eq!(books.uncertain, 0, "{fault:?}");
        assert_eq!(stack.provider().counts().billed_requests, 2, "{fault:?}");
        stack.keeps_its_promises().await;
    }
}

#[tokio::test]
async fn the_answer_for_a_file_that_was_deleted_meanwhile_is_booked() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    stack.file(user, "a.txt", "The house bought tea.").await;
    let worker = stack.worker().await;
    stack.provider().faults.hold();
    tokio::join!(worker.settle(1), async {
        stack.provider().seen(|counts| counts.requests == 1).await;
        stack.sql("delete from files").await;
        stack.provider().faults.release();
    });
    let books = stack.books().await;
    assert!(books.bill > 0);
    assert_eq!(books.logged, books.bill);
    let nothing_left: bool = stack
        .value("select not exists (select from orion_ingest.stashed_vectors)")
        .await;
    assert!(nothing_left);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn the_days_limit_stops_a_drain_and_files_wait_for_tomorrow_uncharged() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let mut files = Vec::new();
    for n in 0..4 {
        let text = sections(1700 + n * 10..1705 + n * 10);
        files.push(stack.file(user, "tea.md", text).await);
    }
    let tokens = bpe_openai::cl100k_base().count(sections(1700..1705).as_str());
    let a_file_usd = f64::from(u32::try_from(tokens).unwrap()) * 0.02 / 1e6;
    let worker = stack
        .worker_with(|config| {
            config.embedding.daily_limit_usd = Some(a_file_usd * 1.5);
            config.worker.concurrency = 1;
        })
        .await;
    let (ending, _) = worker.drain().await;
    assert_eq!(ending, Ending::Halted(State::SpendLimit));
    let mut outcomes = Vec::new();
    for file in files {
        let row = stack.state(file).await;
        assert_eq!((row.attempts, row.token), (0, None));
        outcomes.push(row.outcome().0.to_owned());
        if row.code.is_some() {
            assert_eq!(row.outcome(), ("pending", Some("quota_exceeded")));
            assert!(row.due_in > 0.0);
        }
    }
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["completed", "pending", "pending", "pending"]);
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn a_users_own_quota_fails_their_file_and_nobody_elses() {
    let stack = Stack::new().await;
    let (poor, rich) = (stack.user().await, stack.user().await);
    stack
        .sql(&format!(
            "update user_profiles set monthly_token_quota = 3 where id = '{poor}'"
        ))
        .await;
    let refused = stack.file(poor, "a.txt", "The house bought tea.").await;
    let taken = stack.file(rich, "a.txt", "The house bought tea.").await;
    let worker = stack.worker().await;
    drained(&worker).await;
    let row = stack.state(refused).await;
    assert_eq!(row.outcome(), ("failed", Some("quota_exceeded")));
    assert!(row.error.unwrap().contains("quota"));
    assert_eq!(stack.state(taken).await.outcome(), ("completed", None));
    stack
        .sql("update user_profiles set monthly_token_quota = 100")
        .await;
    stack.ask_again(poor, refused).await;
    drained(&worker).await;
    assert_eq!(stack.state(refused).await.outcome(), ("completed", None));
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn money_or_keys_that_are_missing_stop_a_drain_at_once_and_charge_nobody() {
    let status = |status| Fault::Status { status };
    for (fault, state) in [
        (Fault::QuotaSpent, State::QuotaSpent),
        (status(402), State::QuotaSpent),
        (status(401), State::CredentialsRefused),
        (status(403), State::CredentialsRefused),
        (status(404), State::Misconfigured),
    ] {
        let stack = Stack::new().await;
        let user = stack.user().await;
        let mut files = Vec::new();
        for name in ["a.txt", "b.txt", "c.txt", "d.txt", "e.txt", "f.txt"] {
            files.push(stack.file(user, name, name).await);
        }
        stack.provider().faults.next_requests(100, &fault);
        let worker = stack
            .worker_with(|config| config.embedding.retry_after = Duration::from_mins(1))
            .await;
        let (ending, _) = worker.drain().await;
        assert_eq!(ending, Ending::Halted(state));
        for file in files {
            let row = stack.state(file).await;
            assert_eq!(row.status, "pending", "{fault:?}");
            assert_eq!((row.attempts, row.leases_lost), (0, 0), "{fault:?}");
        }
        assert_eq!(stack.books().await.uncertain, 0);
        assert!(stack.provider().counts().requests <= 4, "it went on asking");
    }
}

#[tokio::test]
async fn a_service_goes_on_when_the_provider_has_its_money() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    let worker = stack.worker().await;
    let mut watch = stack.watch().await;
    stack.provider().faults.next_requests(3, &Fault::QuotaSpent);
    let shutdown = orion_ingest::shutdown::Shutdown::default();
    tokio::join!(worker.serve(&shutdown), async {
        // Each refusal puts the file back; here the back-off is over at once.
        for _ in 0..3 {
            watch
                .until(file, |row| row.status == "pending" && row.due_in > 0.0)
                .await;
            stack.make_due(file).await;
        }
        watch.until_completed(file).await;
        shutdown.finish();
    });
    assert_eq!(stack.provider().counts().requests, 4);
    let mut admin = stack.admin().await;
    until(&mut admin, "select exists (select from usage_logs)").await;
    stack.keeps_its_promises().await;
}
