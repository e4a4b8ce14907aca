//! The provider's limits belong to every worker on the database, and so do its pauses and its outages.

#![expect(
    clippy::disallowed_methods,
    reason = "tests turn the clock of a budget by a query of their own"
)]

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use orion_ingest::db::{self, Budget, Db, Heard, Part, Reserved};

use crate::stack::Stack;

const A_SECOND: Duration = Duration::from_secs(1);

const TELLS: Heard = Heard {
    requests_per_minute: None,
    tokens_per_minute: None,
    requests_left: 1.0,
    tokens_left: 1.0,
};

/// A worker's connections.
async fn worker(stack: &Stack) -> Db {
    let settings = db::Settings {
        url: stack.database_url(),
        max_connections: 2,
        acquire_within: Duration::from_secs(30),
    };
    Db::connect(&settings).await.expect("a database")
}

fn budget(requests_per_minute: u32, tokens_per_minute: u32) -> Budget {
    Budget {
        provider: "provider.test".into(),
        model: "text-embedding-3-small".into(),
        requests_per_minute,
        tokens_per_minute,
        is_backfill: false,
        answer_within: Duration::from_secs(5),
    }
}

async fn reserve(db: &Db, budget: &Budget, requests: u32, tokens: u32) -> Reserved {
    db.reserve_budget(budget, requests, tokens)
        .await
        .expect("an answer")
}

fn granted(reserved: Reserved) -> Part {
    reserved.outcome.expect("granted")
}

/// As if so many seconds had passed.
async fn later(stack: &Stack, seconds: i32) {
    sqlx::query(
        "update orion_ingest.provider_budgets
         set requests_at = requests_at - passed, tokens_at = tokens_at - passed, paused_until = paused_until - passed,
             probe_at = probe_at - passed, paced_at = paced_at - passed, heard_at = heard_at - passed,
             recent_at = recent_at - passed, broke_at = broke_at - passed
         from make_interval(secs => $1) passed",
    )
    .bind(f64::from(seconds))
    .execute(&mut stack.admin().await)
    .await
    .expect("the owner may");
}

#[track_caller]
fn is_about(found: f64, wanted: f64) {
    assert!((found - wanted).abs() < 0.25, "{found}, not about {wanted}");
}

#[tokio::test]
async fn workers_reserve_one_after_the_other_and_keep_within_the_rate_together() {
    let stack = Stack::new().await;
    let (one, other) = (worker(&stack).await, worker(&stack).await);
    let limits = budget(600, 60_000);
    let first = granted(reserve(&one, &limits, 1, 30_000).await);
    // Two seconds of idle time are made up for.
    is_about(first.tokens.1, 28.0);
    let second = granted(reserve(&other, &limits, 300, 10_000).await);
    is_about(second.tokens.0, 28.0);
    is_about(second.tokens.1, 38.0);
    is_about(second.requests.1, 29.9);
    later(&stack, 3_600).await;
    let third = granted(reserve(&one, &limits, 1, 3_000).await);
    is_about(third.tokens.1, 1.0);
    let another_model = Budget {
        model: "text-embedding-3-large".into(),
        ..limits
    };
    is_about(
        granted(reserve(&one, &another_model, 1, 3_000).await)
            .tokens
            .1,
        1.0,
    );
}

#[tokio::test]
async fn nothing_waits_where_no_limit_is_known() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    for _ in 0..3 {
        let part = granted(reserve(&db, &budget(0, 0), 1_000, 1_000_000).await);
        assert_eq!((part.requests.1, part.tokens.1), (0.0, 0.0));
    }
}

#[tokio::test]
async fn a_budget_that_was_not_used_for_long_is_as_good_as_new() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let unknown = budget(0, 0);
    for limits in [&unknown, &budget(600, 60_000)] {
        granted(reserve(&db, limits, 1, 1_000).await);
        later(&stack, 86_400).await;
        let sent = granted(reserve(&db, limits, 1, 1_000).await);
        assert!(sent.tokens.1 <= 0.0, "{sent:?}");
        later(&stack, 86_400).await;
        refuse(&db, limits, Duration::ZERO, Instant::now()).await;
    }
}

#[tokio::test]
async fn a_refusal_to_one_worker_pauses_all_and_lowers_the_pace_once() {
    let stack = Stack::new().await;
    let (one, other) = (worker(&stack).await, worker(&stack).await);
    let limits = budget(0, 60_000);
    let sent = reserve(&one, &limits, 1, 2_000).await;
    // They were answered two seconds after they left.
    later(&stack, 3).await;
    let left_at = Instant::now().checked_sub(Duration::from_secs(2));
    let left_at = left_at.expect("a machine that runs for longer");
    // Together, so that some of them wait for a connection and for the row.
    let refusals = (0..16).map(|_| refuse(&one, &limits, Duration::from_secs(20), left_at));
    join_all(refusals).await;
    let held = reserve(&other, &limits, 1, 1_000).await;
    assert!(held.epoch > sent.epoch, "what was reserved is void");
    is_about(held.outcome.expect_err("a pause").as_secs_f64(), 20.0);
    later(&stack, 20).await;
    // One fall of 30 %, of which twenty seconds give 20 back; and no credit is left.
    let part = granted(reserve(&other, &limits, 1, 9_000).await);
    is_about(part.tokens.1, 10.0);
    later(&stack, 60).await;
    is_about(
        granted(reserve(&other, &limits, 1, 9_000).await).tokens.1,
        7.0,
    );
}

async fn refuse(db: &Db, budget: &Budget, pause: Duration, left_at: Instant) {
    db.pause_budget(budget, pause, true, left_at)
        .await
        .expect("noted");
}

#[tokio::test]
async fn headers_lower_the_rate_and_give_back_what_they_lowered() {
    let stack = Stack::new().await;
    let (one, other) = (worker(&stack).await, worker(&stack).await);
    let limits = budget(0, 60_000);
    let before = reserve(&one, &limits, 1, 32_000).await;
    let tell = async |tokens_per_minute| {
        let heard = Heard {
            tokens_per_minute: Some(tokens_per_minute),
            ..TELLS
        };
        one.hear_budget(&limits, &heard).await.expect("noted");
    };
    tell(30_000).await;
    let lowered = reserve(&other, &limits, 1, 5_000).await;
    assert!(lowered.epoch > before.epoch, "those who wait reserve anew");
    is_about(granted(lowered).tokens.1, 10.0);
    tell(9_000_000).await;
    let raised = reserve(&other, &limits, 1, 5_000).await;
    assert!(raised.epoch > lowered.epoch);
    is_about(granted(raised).tokens.1, 5.0);
    tell(9_000_000).await;
    assert_eq!(
        reserve(&other, &limits, 1, 1).await.epoch,
        raised.epoch,
        "no news"
    );
}

#[tokio::test]
async fn a_bucket_that_runs_low_is_given_time_to_fill() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let limits = budget(0, 60_000);
    reserve(&db, &limits, 1, 2_000).await;
    let low = Heard {
        tokens_left: 0.5,
        ..TELLS
    };
    db.hear_budget(&limits, &low).await.expect("noted");
    is_about(
        granted(reserve(&db, &limits, 1, 5_000).await).tokens.1,
        10.0,
    );
    later(&stack, 60).await;
    is_about(granted(reserve(&db, &limits, 1, 5_000).await).tokens.1, 3.0);
}

#[tokio::test]
async fn a_limit_that_nobody_told_is_learned_from_refusals_and_grows_with_use() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let unknown = budget(0, 0);
    granted(reserve(&db, &unknown, 100, 100_000).await);
    refuse(&db, &unknown, Duration::ZERO, Instant::now()).await;
    // A hundred in ten seconds were too many: seven a second are tried.
    let part = granted(reserve(&db, &unknown, 70, 7_000).await);
    is_about(part.requests.1, 10.0);
    is_about(part.tokens.1, 1.0);
    later(&stack, 36_000).await;
    let part = granted(reserve(&db, &unknown, 70, 7_000).await);
    is_about(part.requests.1, 9.7);
    for _ in 0..40 {
        later(&stack, 1).await;
        granted(reserve(&db, &unknown, 1, 100).await);
    }
    later(&stack, 3_600).await;
    let part = granted(reserve(&db, &unknown, 70, 7_000).await);
    is_about(part.requests.1, 6.8);
    refuse(&db, &unknown, Duration::ZERO, Instant::now()).await;
    let part = granted(reserve(&db, &unknown, 70, 7_000).await);
    is_about(part.requests.1, 10.0);
}

#[tokio::test]
async fn an_early_refusal_does_not_strangle() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let unknown = budget(0, 0);
    granted(reserve(&db, &unknown, 1, 300).await);
    refuse(&db, &unknown, Duration::ZERO, Instant::now()).await;
    let part = granted(reserve(&db, &unknown, 1, 20_000).await);
    is_about(part.tokens.1, 60.0);
    is_about(part.requests.1, 6.0);
}

#[tokio::test]
async fn in_an_outage_one_request_at_a_time_tries_the_provider() {
    let stack = Stack::new().await;
    let (one, other) = (worker(&stack).await, worker(&stack).await);
    let limits = budget(600, 60_000);
    let breaks = async |db: &Db, left_at: Instant| {
        db.break_budget(&limits, A_SECOND, left_at)
            .await
            .expect("noted");
    };
    granted(reserve(&one, &limits, 1, 10).await);
    let left_at = Instant::now();
    // The provider may ask to wait as well.
    one.pause_budget(&limits, Duration::ZERO, false, Instant::now())
        .await
        .expect("noted");
    // They left before anybody knew.
    join_all((0..16).map(|_| breaks(&one, left_at))).await;
    let held = reserve(&one, &limits, 1, 10).await;
    assert!(held.in_outage);
    is_about(held.outcome.expect_err("too early").as_secs_f64(), 1.0);
    later(&stack, 1).await;
    granted(reserve(&other, &limits, 1, 10).await);
    let left_at = Instant::now();
    later(&stack, 3).await;
    let second = reserve(&one, &limits, 1, 10).await.outcome;
    is_about(second.expect_err("not answered yet").as_secs_f64(), 2.0);
    breaks(&other, left_at).await;
    let held = reserve(&one, &limits, 1, 10).await;
    is_about(held.outcome.expect_err("longer").as_secs_f64(), 2.0);
    later(&stack, 2).await;
    granted(reserve(&one, &limits, 1, 10).await);
    one.hear_budget(&limits, &TELLS).await.expect("noted");
    let after = reserve(&other, &limits, 1, 10).await;
    granted(after);
    assert!(!after.in_outage && after.epoch > held.epoch);
}

#[tokio::test]
async fn a_row_that_somebody_deletes_is_made_anew_and_nothing_that_is_told_is_lost() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let limits = budget(600, 60_000);
    granted(reserve(&db, &limits, 1, 10).await);
    for tokens_per_minute in [50_000, 40_000] {
        let heard = Heard {
            tokens_per_minute: Some(tokens_per_minute),
            ..TELLS
        };
        db.hear_budget(&limits, &heard).await.expect("noted");
    }
    let before = reserve(&db, &limits, 1, 10).await;
    stack.sql("delete from orion_ingest.provider_budgets").await;
    let pause = Duration::from_secs(20);
    db.pause_budget(&limits, pause, false, Instant::now())
        .await
        .expect("noted");
    let held = reserve(&db, &limits, 1, 10).await;
    assert!(held.epoch > before.epoch, "what was reserved is void");
    is_about(held.outcome.expect_err("a pause").as_secs_f64(), 20.0);
}

#[tokio::test]
async fn a_backfill_takes_what_nobody_else_stands_in_line_for() {
    let stack = Stack::new().await;
    let db = worker(&stack).await;
    let live = budget(0, 60_000);
    let backfill = Budget {
        is_backfill: true,
        ..live.clone()
    };
    granted(reserve(&db, &backfill, 1, 1_000).await);
    granted(reserve(&db, &live, 1, 6_000).await);
    let held = reserve(&db, &backfill, 1, 1_000).await.outcome;
    is_about(held.expect_err("others wait").as_secs_f64(), 5.0);
    is_about(granted(reserve(&db, &live, 1, 1_000).await).tokens.1, 6.0);
    later(&stack, 6).await;
    granted(reserve(&db, &backfill, 1, 1_000).await);
}
