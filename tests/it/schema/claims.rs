//! `orion_ingest.claim_files` and the triggers that feed it: fair, flat, and no file is lost.

use std::time::Duration;

use secrecy::ExposeSecret as _;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, postgres::PgListener};
use tokio::{task::JoinSet, time::timeout};

use super::{ADA, BOB, EVE, acting, attempt, database, person, row, rows, run};
use crate::stack::Stack;

const NEW_FILE: &str =
    "insert into files (user_id, original_name, storage_path, mime_type, file_size)";

/// Adds a person's files, named `prefix` and a number from 1, in that order of age.
async fn add(connection: &mut PgConnection, user: &str, prefix: &str, count: u32) {
    run(
        connection,
        &format!(
            "{NEW_FILE} select '{user}', '{prefix}' || i, 'x', 'text/plain', 1 from generate_series(1, {count}) i;
             update files set due_at = due_at - interval '1 day' + substr(original_name, 2)::int * interval '1 second'
             where original_name like '{prefix}%'"
        ),
    )
    .await;
}

/// Names of the files that a claim gives.
async fn claim(connection: &mut PgConnection, max: u32) -> Vec<String> {
    rows(
        connection,
        &format!("select original_name from orion_ingest.claim_files({max}, '1 minute', '-infinity') order by due_at"),
    )
    .await
}

async fn let_leases_run_out(connection: &mut PgConnection) {
    run(
        connection,
        "update files set due_at = now() - interval '1 second' where processing_status = 'processing'",
    )
    .await;
}

#[tokio::test]
async fn the_least_recently_served_person_comes_first_and_their_oldest_file() {
    let (stack, mut admin) = database().await;
    let mut worker = worker(&stack).await;
    add(&mut admin, ADA, "a", 100).await;
    assert_eq!(claim(&mut worker, 1).await, ["a1"]);
    add(&mut admin, BOB, "b", 2).await;
    add(&mut admin, EVE, "e", 1).await;

    // All three have a turn before Ada has a second one, however many files she has.
    let mut first = Vec::new();
    for _ in 0..3 {
        first.extend(claim(&mut worker, 1).await);
    }
    first.sort();
    assert_eq!(first, ["a2", "b1", "e1"]);
    let mut second = claim(&mut worker, 3).await;
    second.sort();
    assert_eq!(second, ["a3", "a4", "b2"], "room that others leave is used");
}

#[tokio::test]
async fn a_file_whose_lease_runs_out_is_found_however_late_its_owners_next_file_is() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 2).await;
    run(
        &mut admin,
        "update files set due_at = now() + interval '1 hour' where original_name = 'a2'",
    )
    .await;
    assert_eq!(claim(&mut admin, 5).await, ["a1"]);
    // Its worker dies: time passes, by moving what lies ahead to the past.
    run(
        &mut admin,
        "update orion_ingest.turns set turn_at = turn_at - interval '2 minutes', head_at = head_at - interval '2 minutes';
         alter table files disable trigger all;
         update files set due_at = due_at - interval '2 minutes';
         alter table files enable trigger all",
    )
    .await;
    assert_eq!(claim(&mut admin, 5).await, ["a1"]);
}

#[tokio::test]
async fn a_due_file_is_found_at_once_behind_any_number_of_turns_that_find_nothing() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 1).await;
    // People whose files were completed since their turn was set.
    run(
        &mut admin,
        "insert into auth.users (id) select gen_random_uuid() from generate_series(1, 50);
         select orion_ingest.give_turns(array_agg(id), array_agg(now() - interval '1 day'), array_agg(now() - interval '1 day'))
         from auth.users",
    )
    .await;
    assert_eq!(claim(&mut admin, 4).await, ["a1"]);
}

#[tokio::test]
async fn nobody_is_passed_over_when_room_and_people_do_not_divide() {
    let (_stack, mut admin) = database().await;
    for (user, prefix) in [(ADA, "a"), (BOB, "b"), (EVE, "e")] {
        add(&mut admin, user, prefix, 20).await;
    }
    for _ in 0..3 {
        let mut owners: Vec<char> = claim(&mut admin, 4)
            .await
            .iter()
            .filter_map(|name| name.chars().next())
            .collect();
        assert_eq!(owners.len(), 4);
        owners.sort_unstable();
        owners.dedup();
        assert_eq!(owners, ['a', 'b', 'e']);
    }
}

#[tokio::test]
async fn a_claim_gives_at_most_what_is_asked_for() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 5).await;
    add(&mut admin, BOB, "b", 5).await;
    assert_eq!(claim(&mut admin, 3).await.len(), 3);
    assert_eq!(claim(&mut admin, 0).await.len(), 0);
    assert_eq!(claim(&mut admin, 100).await.len(), 7);
    assert_eq!(claim(&mut admin, 100).await.len(), 0);
}

#[tokio::test]
async fn files_that_another_claimer_holds_are_skipped_and_not_waited_for() {
    let (stack, mut admin) = database().await;
    let mut other = stack.admin().await;
    add(&mut admin, ADA, "a", 2).await;
    add(&mut admin, BOB, "b", 2).await;
    let mut held = admin.begin().await.expect("a transaction");
    let one = claim(&mut held, 1).await;
    let two = claim(&mut other, 1).await;
    assert_ne!(one, two);
    held.rollback().await.expect("a rollback");
    assert_eq!(claim(&mut other, 4).await.len(), 3);
}

#[tokio::test]
async fn a_lease_that_ran_out_is_counted_and_a_first_claim_is_not() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 1).await;
    for lost in 0..3 {
        assert_eq!(claim(&mut admin, 1).await, ["a1"]);
        let counted = row(
            &mut admin,
            "select leases_lost, processing_attempts from files",
        )
        .await;
        assert_eq!(counted, format!("{lost},0"));
        let_leases_run_out(&mut admin).await;
    }
}

#[tokio::test]
async fn a_back_off_is_kept_and_the_file_comes_back_when_it_is_due() {
    let (stack, mut admin) = database().await;
    let mut worker = worker(&stack).await;
    add(&mut admin, ADA, "a", 1).await;
    claim(&mut worker, 1).await;
    run(
        &mut worker,
        "update files set processing_status = 'pending', lease_token = null, due_at = now() + interval '1 hour',
             processing_attempts = processing_attempts + 1, processing_error_code = 'corrupt'
         where lease_token is not null",
    )
    .await;
    let kept = row(
        &mut admin,
        "select processing_attempts, processing_error_code, due_at > now() from files",
    )
    .await;
    assert_eq!(kept, "1,corrupt,t");
    assert_eq!(claim(&mut worker, 1).await.len(), 0);
    run(&mut admin, "update files set due_at = now()").await;
    assert_eq!(claim(&mut worker, 1).await, ["a1"]);
}

#[tokio::test]
async fn a_re_ingest_clears_the_lease_and_the_counts_even_while_the_file_is_processed() {
    let (stack, mut admin) = database().await;
    let mut worker = worker(&stack).await;
    add(&mut admin, ADA, "a", 1).await;
    run(
        &mut admin,
        "update files set processing_attempts = 2, leases_lost = 3",
    )
    .await;
    claim(&mut worker, 1).await;
    let token = row(&mut admin, "select lease_token from files").await;

    let mut tx = acting(&mut admin, person(ADA)).await;
    assert_eq!(
        attempt(&mut tx, "update files set processing_status = 'pending'").await,
        Ok(1)
    );
    tx.commit().await.expect("a commit");

    let fresh = row(
        &mut admin,
        "select processing_status, lease_token is null, processing_attempts, leases_lost, due_at <= now() from files",
    )
    .await;
    assert_eq!(fresh, "pending,t,0,0,t");
    let settled = run(
        &mut worker,
        &format!("update files set processing_status = 'completed', lease_token = null where lease_token = '{token}'"),
    )
    .await;
    assert_eq!(settled, 0, "the old lease is worth nothing");
    assert_eq!(claim(&mut worker, 1).await, ["a1"]);
}

#[tokio::test]
async fn asking_again_for_a_file_that_waits_for_its_next_try_makes_it_due_now() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 1).await;
    run(
        &mut admin,
        "update files set due_at = now() + interval '1 hour', processing_attempts = 3, processing_error = 'no'",
    )
    .await;
    assert!(claim(&mut admin, 1).await.is_empty());
    let mut ada = acting(&mut admin, person(ADA)).await;
    run(&mut ada, "update files set processing_status = 'pending'").await;
    ada.commit().await.unwrap();
    assert_eq!(
        row(
            &mut admin,
            "select due_at <= now(), processing_attempts, processing_error from files"
        )
        .await,
        "t,0,"
    );
    assert_eq!(claim(&mut admin, 1).await, ["a1"]);
}

#[tokio::test]
async fn a_client_that_also_clears_the_lease_is_not_taken_for_the_worker() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 1).await;
    claim(&mut admin, 1).await;
    run(&mut admin, "update files set processing_attempts = 2").await;
    run(
        &mut admin,
        "update files set processing_status = 'pending', lease_token = null",
    )
    .await;
    let fresh = row(
        &mut admin,
        "select processing_attempts, due_at <= now() from files",
    )
    .await;
    assert_eq!(fresh, "0,t");
    assert_eq!(claim(&mut admin, 1).await, ["a1"]);
}

#[tokio::test]
async fn files_come_back_from_every_final_state() {
    let (_stack, mut admin) = database().await;
    for state in ["completed", "failed"] {
        run(&mut admin, "delete from files").await;
        add(&mut admin, ADA, "a", 1).await;
        claim(&mut admin, 1).await;
        run(
            &mut admin,
            &format!(
                "update files set processing_status = '{state}', lease_token = null,
                     processing_error_code = case when '{state}' = 'failed' then 'corrupt' end"
            ),
        )
        .await;
        assert_eq!(claim(&mut admin, 1).await.len(), 0, "{state} is final");
        run(&mut admin, "update files set processing_status = 'pending'").await;
        assert_eq!(claim(&mut admin, 1).await, ["a1"], "after {state}");
        let code = row(
            &mut admin,
            "select processing_error_code is null from files",
        )
        .await;
        assert_eq!(code, "t");
    }
}

#[tokio::test]
async fn a_claim_can_be_narrowed_to_certain_files_of_a_person() {
    let (_stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 3).await;
    add(&mut admin, BOB, "b", 3).await;
    let narrow = format!(
        "select original_name from orion_ingest.claim_files(9, '1 minute', '-infinity', '{BOB}',
             array(select id from files where original_name in ('a1', 'b2')))"
    );
    assert_eq!(rows(&mut admin, &narrow).await, ["b2"]);
    assert_eq!(
        claim(&mut admin, 9).await.len(),
        5,
        "the others stay claimable"
    );
}

#[tokio::test]
async fn workers_are_told_of_new_files_and_of_files_that_come_back() {
    let (stack, mut admin) = database().await;
    let mut listener = PgListener::connect(stack.database_url().expose_secret())
        .await
        .expect("a listener");
    listener
        .listen("orion_ingest_files")
        .await
        .expect("listening");
    let heard = async |listener: &mut PgListener| {
        timeout(Duration::from_secs(30), listener.recv())
            .await
            .expect("a notification")
            .expect("a connection");
    };

    run(
        &mut admin,
        &format!("{NEW_FILE} values ('{ADA}', 'a', 'x', 'text/plain', 1)"),
    )
    .await;
    heard(&mut listener).await;
    run(&mut admin, "update files set processing_status = 'failed'").await;
    run(&mut admin, "update files set processing_status = 'pending'").await;
    heard(&mut listener).await;
}

#[tokio::test]
async fn a_claim_reads_by_index_however_many_files_wait() {
    let (stack, mut admin) = database().await;
    let mut worker = worker(&stack).await;
    // The worker's first plans are made for empty tables.
    claim(&mut worker, 10).await;
    run(
        &mut admin,
        &format!(
            "insert into auth.users (email) select i || '@example.com' from generate_series(1, 300) i;
             {NEW_FILE} select p.id, 'f', 'x', 'text/plain', 1 from user_profiles p, generate_series(1, 20)"
        ),
    )
    .await;
    let scans = "select sum(seq_scan) from pg_stat_user_tables where relname in ('files', 'turns')";
    run(&mut admin, "select pg_stat_force_next_flush()").await;
    let before = row(&mut admin, scans).await;
    for _ in 0..20 {
        assert_eq!(claim(&mut worker, 10).await.len(), 10);
    }
    run(&mut worker, "select pg_stat_force_next_flush()").await;
    run(&mut admin, "select pg_stat_clear_snapshot()").await;
    assert_eq!(row(&mut admin, scans).await, before);
}

#[tokio::test]
async fn a_claim_touches_no_more_pages_however_many_came_before_under_an_old_snapshot() {
    let (stack, mut admin) = database().await;
    add(&mut admin, ADA, "a", 500).await;
    let mut old = stack.admin().await;
    run(
        &mut old,
        "begin isolation level repeatable read; select from files limit 1",
    )
    .await;
    let mut worker = worker(&stack).await;
    // The first one of a connection reads the catalogue, too.
    buffers(&mut worker).await;
    let before = buffers(&mut worker).await;
    for _ in 0..400 {
        claim(&mut worker, 1).await;
    }
    let after = buffers(&mut worker).await;
    assert!(after < before + 100, "{before}, then {after}");
}

/// Pages that a claim touches which begins at the earliest turn.
#[expect(clippy::disallowed_methods, reason = "explaining is not a query")]
async fn buffers(worker: &mut PgConnection) -> i64 {
    let floor = row(worker, "select min(turn_at) from orion_ingest.turns").await;
    let explain = format!(
        "explain (analyze, buffers, format json)
         select from orion_ingest.claim_files(1, '1 minute', '{floor}')"
    );
    let plan: serde_json::Value = sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_one(worker)
        .await
        .expect("a plan");
    plan[0]["Plan"]["Shared Hit Blocks"]
        .as_i64()
        .expect("a number")
}

#[tokio::test]
async fn no_file_is_lost_whatever_claimers_and_clients_do_at_once() {
    const INSERTERS: u32 = 3;
    const FILES: u32 = 60;
    let (stack, mut admin) = database().await;
    let mut tasks = JoinSet::new();
    for _ in 0..INSERTERS {
        let client = stack.admin().await;
        tasks.spawn(insert_one_by_one(client, FILES));
    }
    for number in 0..4 {
        let worker = worker(&stack).await;
        tasks.spawn(work(worker, number));
    }
    tasks.join_all().await;

    // What crashed claimers left comes due in the end, and one claimer alone finds all that remains.
    loop {
        let_leases_run_out(&mut admin).await;
        let claimed = claim(&mut admin, 50).await;
        if claimed.is_empty() {
            break;
        }
        run(
            &mut admin,
            "update files set processing_status = 'completed', lease_token = null",
        )
        .await;
    }
    let left = row(
        &mut admin,
        "select count(*), count(*) filter (where processing_status <> 'completed') from files",
    )
    .await;
    assert_eq!(left, format!("{},0", INSERTERS * FILES));
}

/// A connection with the worker's own login.
async fn worker(stack: &Stack) -> PgConnection {
    PgConnection::connect(stack.database_url().expose_secret())
        .await
        .expect("a connection")
}

async fn insert_one_by_one(mut client: PgConnection, files: u32) {
    for number in 0..files {
        let user = [ADA, BOB, EVE][number as usize % 3];
        run(
            &mut client,
            &format!("{NEW_FILE} values ('{user}', 'f', 'x', 'text/plain', 1)"),
        )
        .await;
        if number % 10 == 0 {
            run(
                &mut client,
                "update files set processing_status = 'pending' where id in (
                     select id from files where processing_status = 'completed' limit 1 for update skip locked)",
            )
            .await;
        }
    }
}

/// Claims and completes; now and then it backs off, hands back, or forgets its lease like one that crashed.
async fn work(mut worker: PgConnection, number: u32) {
    for round in 0..60 {
        run(
            &mut worker,
            "with claimed as (select id from orion_ingest.claim_files(5, '1 minute', '-infinity'))
                 select set_config('test.claimed', coalesce(string_agg(id::text, ','), ''), false) from claimed",
        )
        .await;
        let settle = match (round + number) % 5 {
            0 => continue,
            1 => "processing_status = 'pending', due_at = now()",
            2 => {
                "processing_status = 'pending', due_at = now() + interval '10 ms', processing_attempts = 1"
            }
            _ => "processing_status = 'completed'",
        };
        run(
            &mut worker,
            // One file a transaction, as the worker does: two updates of several people's files would deadlock.
            &format!(
                "do $$
                 declare
                     file text;
                 begin
                     foreach file in array string_to_array(current_setting('test.claimed'), ',') loop
                         update files set lease_token = null, {settle} where id = file::uuid;
                         commit;
                     end loop;
                 end $$"
            ),
        )
        .await;
    }
}
