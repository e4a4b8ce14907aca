//! Workers that are killed, stopped and cut off, on servers that fail: nothing is lost, nothing is seen in part, nothing is
//! paid for that was paid before but what was in flight.
//!
//! The plan follows from a seed, which is printed and can be given: `CHAOS_SEED=7 cargo test --test it chaos`. A long run
//! is `CHAOS_MINUTES=60 cargo test --test it chaos_for_long -- --ignored --nocapture`.

#![expect(
    clippy::disallowed_methods,
    reason = "a client asks what the program never asks"
)]
#![expect(
    clippy::print_stderr,
    reason = "the seed and the report are for people"
)]

mod crew;
mod dice;
mod library;
mod reader;
mod report;

use std::time::Duration;

use orion_ingest::document::UserId;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use self::{
    crew::Crew,
    dice::{Dice, Event, Weather},
    library::Library,
    report::{Report, Tally},
};
use crate::stack::{Stack, variable};

/// People who upload.
const PEOPLE: usize = 3;
/// Uploads of each before the weather turns.
const BEFORE: usize = 8;

/// How long the provider takes.
const ANSWERS_AFTER: Duration = Duration::from_millis(200);

/// What a run is like.
#[derive(Clone, Copy, Debug)]
struct Plan {
    seed: u64,
    weather: Weather,
    lasts: Duration,
}

#[tokio::test]
async fn outages_lose_nothing_and_nothing_is_paid_twice() {
    let report = run(Plan {
        seed: seed(),
        weather: Weather::Outages,
        lasts: Duration::from_secs(12),
    })
    .await;
    assert_eq!(report.repeated, 0, "paid twice without a crash");
    assert_eq!(report.leases_lost, 0, "a lease was lost without a crash");
}

#[tokio::test]
async fn chaos_loses_nothing_and_pays_twice_only_for_what_was_in_flight() {
    run(Plan {
        seed: seed(),
        weather: Weather::Chaos,
        lasts: Duration::from_secs(30),
    })
    .await;
}

#[tokio::test]
#[ignore = "takes CHAOS_MINUTES, an hour unless told otherwise"]
async fn chaos_for_long() {
    run(Plan {
        seed: seed(),
        weather: Weather::Chaos,
        lasts: Duration::from_mins(number("CHAOS_MINUTES").unwrap_or(60)),
    })
    .await;
}

fn seed() -> u64 {
    number("CHAOS_SEED").unwrap_or_else(|| uuid::Uuid::new_v4().as_u64_pair().0)
}

fn number(name: &str) -> Option<u64> {
    let value = variable(name)?.into_string().expect("text");
    Some(value.parse().expect("a number"))
}

/// Lets it happen, lets the queue be emptied, and looks at what is left.
async fn run(plan: Plan) -> Report {
    eprintln!("CHAOS_SEED={} {:?}", plan.seed, plan.weather);
    let mut stack = Stack::alone().await;
    stack.cut_by_sections().await;
    stack.sql(include_str!("audit.sql")).await;
    let mut users = Vec::new();
    for _ in 0..PEOPLE {
        users.push(stack.user().await);
    }
    // As the real one, it takes its time: whoever dies has something in flight.
    stack.provider().faults.delay(ANSWERS_AFTER);
    let end = CancellationToken::new();
    let mut readers = JoinSet::new();
    readers.spawn(reader::read(
        stack.database_admin_url(),
        users.clone(),
        end.clone(),
    ));
    let mut crew = Crew::start(&stack, plan.weather);
    let mut library = Library::default();
    let tally = storm(&mut stack, &plan, &users, &mut crew, &mut library).await;
    clear_up(&stack, &mut crew).await;
    end.cancel();
    let findings = readers
        .join_next()
        .await
        .expect("a reader")
        .expect("no panic");
    let report = Report::of(&stack, &library, &crew, tally, &findings).await;
    eprintln!("{report}");
    let mut wrongs = findings.wrongs;
    wrongs.append(&mut crew.wrongs);
    wrongs.extend(report::wrongs(&stack, &users, &library, &report).await);
    assert!(
        wrongs.is_empty(),
        "CHAOS_SEED={}, logs in {}: {wrongs:#?}",
        plan.seed,
        crew.keep_logs().display()
    );
    stack.keeps_its_promises().await;
    report
}

/// One event after another, as the dice will have it. The pauses are part of the plan; nothing is waited for by them.
async fn storm(
    stack: &mut Stack,
    plan: &Plan,
    users: &[UserId],
    crew: &mut Crew,
    library: &mut Library,
) -> Tally {
    let mut dice = Dice(plan.seed);
    let mut tally = Tally::default();
    for user in users {
        for _ in 0..BEFORE {
            upload(stack, library, *user, &dice.documents()).await;
        }
    }
    let ends_at = Instant::now() + plan.lasts;
    while Instant::now() < ends_at {
        let event = dice.event(plan.weather, users.len());
        if befall(stack, users, crew, library, &event).await {
            tally.count(&event);
        }
        sleep(dice.pause()).await;
        crew.look_after(stack);
    }
    tally
}

/// Whether it could happen: nobody is killed who is stopped.
async fn befall(
    stack: &mut Stack,
    users: &[UserId],
    crew: &mut Crew,
    library: &mut Library,
    event: &Event,
) -> bool {
    match event {
        Event::Kill(which) => return crew.kill(stack, *which).await,
        Event::Terminate(which) => return crew.terminate(stack, *which),
        Event::Stop(which) => return crew.stop(*which),
        Event::CrashDatabase => stack.crash_database().await,
        Event::CutConnections => {
            stack
                .sql("select pg_terminate_backend(pid) from pg_stat_activity where usename = 'orion_ingest'")
                .await;
        }
        Event::Storage(times, fault) => stack.storage_faults().next(*times, *fault),
        Event::Provider(times, fault) => stack.provider().faults.next_requests(*times, fault),
        Event::Upload(whose, documents) => upload(stack, library, users[*whose], documents).await,
        Event::Edit(which) => library.edit(stack, *which).await,
        Event::Delete(which) => library.delete(stack, *which).await,
    }
    true
}

async fn upload(
    stack: &Stack,
    library: &mut Library,
    user: UserId,
    documents: &[(library::Kind, usize)],
) {
    for (kind, length) in documents {
        library.add(stack, user, *kind, *length).await;
    }
}

/// Fair weather: whoever is at work ends in order, back-offs and what was learned of the provider's limits pass, and others
/// empty the queue.
async fn clear_up(stack: &Stack, crew: &mut Crew) {
    stack.storage_faults().clear();
    stack.provider().faults.clear();
    crew.dismiss().await;
    stack
        .sql(
            "update files set due_at = now() where processing_status = 'pending' and due_at > now();
             delete from orion_ingest.provider_budgets",
        )
        .await;
    crew.drain(stack).await;
}
