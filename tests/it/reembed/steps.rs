//! The steps one by one, each where it may go wrong.

use orion_ingest::embedded::provider::faults::Fault;
use serde_json::Value;
use sqlx::{Connection as _, Executor as _};
use tokio::task::JoinSet;

use super::{
    TO_NEW,
    checker::{active, ask, search, vectors},
    command, library, new, old, plan_and_run, question, reembed, years,
};
use crate::{
    stack::Stack,
    work::{sections, until},
};

const LEFT: &str = "select count(*) from document_chunks where embedding_next is null";
const INDEXES: &str =
    "select string_agg(pg_get_indexdef(indexrelid), '; ' order by indexrelid::regclass::text)
    from pg_index where indrelid = 'document_chunks'::regclass and indisvalid
        and pg_get_indexdef(indexrelid) like '%embedding%'";

#[tokio::test]
async fn one_command_changes_the_model_and_the_bill_is_as_it_said() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17, 18]).await;
    let before = stack.provider().counts();
    let dry = [&TO_NEW[..], &["--dry-run", "--json"]].concat();
    let estimate: Value = reembed(&stack, &dry).await.exits(0).json();
    assert_eq!(stack.provider().counts(), before);
    assert_eq!(estimate["rows"], 20);
    let changed: bool = stack
        .value("select exists (select from pg_attribute where attname = 'embedding_next')")
        .await;
    assert!(!changed);

    reembed(&stack, &TO_NEW).await.exits(0);
    let bill = stack.provider().counts().billed_tokens - before.billed_tokens;
    assert_eq!(estimate["tokens"], bill);
    let booked: bool = stack
        .value(&format!(
            "select sum(tokens_used) = {bill} and bool_and(user_id = '{user}' and model = 'text-embedding-3-large')
                 and abs(sum(cost_usd) - {bill} * 0.13 / 1000000) < 0.000001
             from usage_logs where action = 'reembedding'"
        ))
        .await;
    assert!(booked);

    let admin = &mut stack.admin().await;
    assert_eq!(active(admin).await, new());
    assert_eq!(vectors(&stack, "embedding").await, (20, vec![new().name]));
    assert_eq!(
        vectors(&stack, "embedding_next").await,
        (20, vec![old().name])
    );
    for model in [old(), new()] {
        let found = ask(admin, user, &model, &question(1803)).await.unwrap();
        assert!(found[0].contains("year 1803"), "{model:?}: {found:?}");
    }
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn what_comes_meanwhile_is_caught_up_and_so_is_a_rollback() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    plan_and_run(&stack).await;
    // A new file, and one whose chunks are others now.
    stack.file(user, "new.md", sections(years(18))).await;
    stack
        .sql("update files set processing_status = 'pending'")
        .await;
    stack.worker().await.drain().await;
    assert_eq!(stack.value::<i64>(LEFT).await, 20);
    reembed(&stack, &["cutover"]).await.exits(0);
    let admin = &mut stack.admin().await;
    assert_eq!(vectors(&stack, "embedding").await, (20, vec![new().name]));

    // A worker that was set up for the old model.
    let after = stack.file(user, "after.md", sections(years(19))).await;
    stack.worker().await.drain().await;
    assert_eq!(stack.state(after).await.outcome(), ("completed", None));
    assert_eq!(vectors(&stack, "embedding").await, (30, vec![new().name]));

    reembed(&stack, &["rollback"]).await.exits(0);
    assert_eq!(active(admin).await, old());
    // What would be dropped now is the new model's.
    let said = reembed(&stack, &["finish"]).await.exits(2);
    assert!(said.err.contains("--abandon"), "{}", said.err);
    assert_eq!(vectors(&stack, "embedding").await, (30, vec![old().name]));
    for model in [old(), new()] {
        let found = ask(admin, user, &model, &question(1905)).await.unwrap();
        assert!(found[0].contains("year 1905"), "{model:?}: {found:?}");
    }
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn every_step_may_be_repeated_and_the_end_leaves_nothing() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    let admin = &mut stack.admin().await;
    let indexes: String = crate::work::value(admin, INDEXES).await;
    let plan = [&["plan"], &TO_NEW[..]].concat();
    reembed(&stack, &["status"]).await.exits(2);
    for steps in [
        &plan[..],
        &["run"],
        &["cutover"],
        &["status"],
        &["rollback"],
        &["cutover"],
    ] {
        reembed(&stack, steps).await.exits(0);
        reembed(&stack, steps).await.exits(0);
    }
    // The whole of it as well.
    reembed(&stack, &TO_NEW).await.exits(0);
    let billed = stack.provider().counts().billed_inputs;
    assert_eq!(billed, 20, "each chunk once by each model");
    reembed(&stack, &["finish"]).await.exits(0);
    reembed(&stack, &["finish"]).await.exits(2);

    let left: i64 = stack
        .value(
            "select count(*) from (
                 select attname::text from pg_attribute
                 where attrelid = 'document_chunks'::regclass and attname like 'embedding_next%'
                 union all select tgname from pg_trigger where tgname = 'slice_added'
                 union all select relname from pg_class where relname like '%next%'
                 union all select target from orion_ingest.reembeddings) rest",
        )
        .await;
    assert_eq!(left, 0);
    let now: String = crate::work::value(admin, INDEXES).await;
    assert_eq!(now, indexes.replace("lists='100'", "lists='10'"));
    let refused = ask(admin, user, &old(), "tea")
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("text-embedding-3-large"), "{refused}");
    ask(admin, user, &new(), "tea").await.unwrap();
}

#[tokio::test]
async fn one_that_is_killed_pays_again_at_most_what_was_in_flight() {
    let stack = Stack::new().await;
    library(&stack, &[16, 17, 18]).await;
    reembed(&stack, &[&["plan"], &TO_NEW[..]].concat())
        .await
        .exits(0);
    let paid = stack.provider().counts().billed_inputs;
    let small = [
        "run",
        "--embedding-batch-inputs",
        "4",
        "--embedding-max-concurrency",
        "1",
    ];
    // The third request is answered when nobody listens any more.
    let mut dying = command(&stack, &small).spawn().unwrap();
    stack
        .provider()
        .seen(|counts| counts.billed_inputs >= paid + 8)
        .await;
    stack.provider().faults.hold();
    let requests = stack.provider().counts().requests;
    let in_flight = stack.provider().seen(|counts| counts.requests > requests);
    in_flight.await;
    dying.kill().await.unwrap();
    stack.provider().faults.release();
    let written: i64 = stack
        .value("select count(embedding_next) from document_chunks")
        .await;
    assert!(written >= 8, "{written}");
    stack
        .sql("update orion_ingest.reembedding_slices set due_at = now()")
        .await;
    reembed(&stack, &small).await.exits(0);
    assert_eq!(stack.value::<i64>(LEFT).await, 0);
    let paid = stack.provider().counts().billed_inputs - paid;
    assert!(paid <= 30 + 4, "{paid} texts were paid for 30");
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn it_stops_before_its_cost_limit_is_passed_and_goes_on_with_a_higher_one() {
    let stack = Stack::new().await;
    library(&stack, &[17, 18]).await;
    let small = [
        "--embedding-batch-inputs",
        "2",
        "--embedding-price-per-mtok",
        "1000000",
    ];
    let limited = [&TO_NEW[..], &small, &["--max-cost"]].concat();
    // The price that is set is the old model's; the new one has its list price.
    let some = [&limited[..], &["0.00015"]].concat();
    reembed(&stack, &some)
        .await
        .exits(1)
        .complains_of(&["--max-cost"]);
    let spent: f64 = stack
        .value("select sum(cost_usd)::float8 from usage_logs where action = 'reembedding'")
        .await;
    assert!(spent > 0.0 && spent <= 0.00015, "{spent}");
    assert_eq!(active(&mut stack.admin().await).await, old());
    let enough = [&limited[..], &["1"]].concat();
    reembed(&stack, &enough).await.exits(0);
    assert_eq!(active(&mut stack.admin().await).await, new());
}

#[tokio::test]
async fn users_quotas_are_not_charged() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    stack
        .sql("update user_profiles set monthly_token_quota = (select sum(tokens_used) + 30 from usage_logs)")
        .await;
    reembed(&stack, &TO_NEW).await.exits(0);
    let file = stack.file(user, "note.md", "The house bought tea.").await;
    stack.worker().await.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
}

#[tokio::test]
async fn a_text_that_the_provider_refuses_is_told_and_holds_up_nothing() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    stack.provider().faults.refuse_inputs_with("year 1704");
    reembed(&stack, &TO_NEW).await.exits(0);
    let status: Value = reembed(&stack, &["status", "--json"]).await.exits(0).json();
    assert_eq!(
        (&status["rows_done"], &status["rows_skipped"]),
        (&9.into(), &1.into())
    );
    let admin = &mut stack.admin().await;
    let found = ask(admin, user, &new(), &question(1705)).await.unwrap();
    assert!(found[0].contains("year 1705"), "{found:?}");
}

#[tokio::test]
async fn an_outage_of_the_provider_is_waited_out() {
    let stack = Stack::new().await;
    library(&stack, &[17]).await;
    let fault = Fault::Status { status: 500 };
    stack.provider().faults.next_requests(5, &fault);
    reembed(&stack, &TO_NEW).await.exits(0);
}

#[tokio::test]
async fn models_of_one_length_are_swapped_only_by_request() {
    let stack = Stack::new().await;
    library(&stack, &[17]).await;
    let same = ["--model", "text-embedding-3-large", "--dimensions", "1536"];
    reembed(&stack, &same)
        .await
        .exits(2)
        .complains_of(&["query_model", "--same-dimensions"]);
    reembed(&stack, &[&same[..], &["--same-dimensions"]].concat())
        .await
        .exits(0);
    reembed(
        &stack,
        &["--model", "text-embedding-3-large", "--dimensions", "3072"],
    )
    .await
    .exits(2);
}

#[tokio::test]
async fn readers_are_answered_while_a_cutover_waits_for_one_of_them() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    plan_and_run(&stack).await;
    let mut slow = stack.admin().await;
    let mut transaction = slow.begin().await.unwrap();
    transaction
        .execute("select from document_chunks")
        .await
        .unwrap();
    let mut cutover = command(&stack, &["cutover"]).spawn().unwrap();
    let admin = &mut stack.admin().await;
    let waits = "select exists (select from pg_locks where relation = 'document_chunks'::regclass and not granted)";
    until(admin, waits).await;
    for _ in 0..20 {
        assert_eq!(active(admin).await, old());
        ask(admin, user, &old(), &question(1703)).await.unwrap();
    }
    assert!(cutover.try_wait().unwrap().is_none(), "it waits");
    transaction.commit().await.unwrap();
    assert!(cutover.wait().await.unwrap().success());
    assert_eq!(active(admin).await, new());
}

#[tokio::test]
async fn a_search_that_began_before_the_swap_is_answered_by_its_own_model_after_it() {
    let stack = Stack::new().await;
    let user = library(&stack, &[17]).await;
    plan_and_run(&stack).await;
    let mut owner = stack.admin().await;
    let mut swap = owner.begin().await.unwrap();
    swap.execute("lock table document_chunks in access exclusive mode")
        .await
        .unwrap();
    let mut reader = stack.admin().await;
    let mut searching = JoinSet::new();
    searching.spawn(async move { search(&mut reader, user, &old(), &question(1703)).await });
    let waits = "select exists (select from pg_locks where relation = 'document_chunks'::regclass and not granted)";
    until(&mut stack.admin().await, waits).await;
    swap.execute("select orion_ingest.swap_chunks(true)")
        .await
        .unwrap();
    swap.commit().await.unwrap();
    let found = searching.join_next().await.unwrap().unwrap();
    assert!(found[0].contains("year 1703"), "{found:?}");
}

#[tokio::test]
async fn whoever_cuts_over_second_does_not_swap_back() {
    let stack = Stack::new().await;
    library(&stack, &[17]).await;
    plan_and_run(&stack).await;
    let mut admin = stack.admin().await;
    let swap = "select orion_ingest.swap_chunks(true)";
    admin.execute(swap).await.unwrap();
    let second = admin.execute(swap).await.unwrap_err();
    assert!(
        second.to_string().contains("somebody else was first"),
        "{second}"
    );
    let active: String = stack
        .value("select model from orion_ingest.active_models where target = 'chunks'")
        .await;
    assert_eq!(active, new().name);
}

#[tokio::test]
async fn the_new_models_index_is_of_the_kind_that_the_old_ones_was() {
    let stack = Stack::new().await;
    library(&stack, &[17]).await;
    stack
        .sql(
            "drop index idx_document_chunks_embedding;
             create index idx_document_chunks_embedding on document_chunks
                 using hnsw (embedding vector_cosine_ops) with (m = 8)",
        )
        .await;
    reembed(&stack, &TO_NEW).await.exits(0);
    let index: String = stack
        .value("select pg_get_indexdef('idx_document_chunks_embedding'::regclass)")
        .await;
    assert!(
        index.ends_with("USING hnsw (embedding vector_cosine_ops) WITH (m='8')"),
        "{index}"
    );
}

#[tokio::test]
async fn a_part_of_the_rate_is_taken_from_a_budget_that_all_its_processes_share() {
    let stack = Stack::new().await;
    library(&stack, &[17]).await;
    let limited = ["--embedding-rpm", "6000", "--rate-share", "0.5"];
    reembed(&stack, &[&TO_NEW[..], &limited].concat())
        .await
        .exits(0);
    let budgets: Vec<String> = stack
        .value(
            "select array_agg(model order by model) from orion_ingest.provider_budgets
             where recent_requests > 0 and model like '%large%'",
        )
        .await;
    assert_eq!(
        budgets,
        [
            "text-embedding-3-large",
            "text-embedding-3-large (re-embedding)"
        ]
    );
}
