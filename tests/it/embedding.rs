//! From texts to booked vectors, on a real database and a provider that misbehaves.

#![expect(
    clippy::disallowed_methods,
    reason = "tests look into the books by queries of their own, and hold their tasks by handles"
)]

use std::time::Duration;

use futures_util::future::{join, join_all};
use orion_ingest::{
    db::{self, Db, Unnamed, ledger},
    document::{FileId, Model, UserId},
    embed::{EmbedError, batcher, limiter, openai},
    embedded::provider::{self, Provider, faults::Fault, lexical},
    embedding::{self, Embedder, EmbeddingError, Job, Piece, State},
    failure::{Code, Verdict},
};
use sha2::{Digest, Sha256};
use sqlx::{Connection as _, PgConnection, Row};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stack::Stack;

const PRICE: f64 = 0.02;

/// An embedder between a database and a provider of its own.
struct Bench {
    stack: Stack,
    provider: Provider,
    db: Db,
    settings: embedding::Settings,
    embedder: Embedder,
    stop: CancellationToken,
    pump: JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    async fn with(change: impl FnOnce(&mut embedding::Settings)) -> Self {
        let stack = Stack::new().await;
        let provider = Provider::start(provider::Settings {
            api_key: "sk-test".into(),
            port: 0,
            requests_per_minute: 0,
            tokens_per_minute: 0,
        });
        let provider = provider.await.expect("a free port");
        let db = db::Settings {
            url: stack.database_url(),
            max_connections: 4,
            acquire_within: Duration::from_secs(30),
        };
        let db = Db::connect(&db).await.expect("a database");
        let mut settings = settings(&provider);
        change(&mut settings);
        let stop = CancellationToken::new();
        let (embedder, pump) = embedding::new(&settings, &db, stop.clone()).expect("an embedder");
        Self {
            stack,
            provider,
            db,
            settings,
            embedder,
            stop,
            pump: tokio::spawn(pump.run()),
        }
    }

    /// A user with so many files.
    async fn user(&self, files: usize) -> (UserId, Vec<FileId>) {
        let user = self.stack.user().await;
        let files = (0..files).map(|_| self.stack.file(user, "note.md", "a note"));
        (user, join_all(files).await)
    }

    async fn embed(
        &self,
        user: UserId,
        file: FileId,
        texts: &[&str],
    ) -> Result<Vec<Vec<f32>>, EmbeddingError> {
        self.embedder
            .embed(self.embedder.expect(), job(user, file, texts))
            .await
    }

    /// Asks until the provider has had so many requests: while it is given a rest, nothing is sent.
    async fn again(&self, user: UserId, file: FileId, text: &str, requests: u64) {
        while self.provider.counts().requests < requests {
            drop(self.embed(user, file, &[text]).await);
            tokio::task::yield_now().await;
        }
    }

    /// Lets the pump finish what is in flight, so that the books are final.
    async fn close(&mut self) {
        self.stop.cancel();
        (&mut self.pump).await.expect("no panic");
    }

    /// Starts another pump, as a restarted worker would.
    fn reopen(&mut self) {
        self.stop = CancellationToken::new();
        let (embedder, pump) =
            embedding::new(&self.settings, &self.db, self.stop.clone()).expect("an embedder");
        self.embedder = embedder;
        self.pump = tokio::spawn(pump.run());
    }

    async fn books(&self) -> Books {
        let mut admin = self.stack.admin().await;
        Books {
            settled: number(&mut admin, "select coalesce(sum(tokens_used), 0)::bigint from usage_logs where action = 'embedding' and provider = 'openai'").await,
            totals: number(&mut admin, "select sum(total_tokens_used)::bigint from user_profiles").await,
            uncertain: number(&mut admin, "select coalesce(sum(tokens), 0)::bigint from orion_ingest.embedding_requests where state = 'uncertain'").await,
            stashed: number(&mut admin, "select count(*) from orion_ingest.stashed_vectors").await,
        }
    }

    /// settled ≤ the provider's bill ≤ settled + uncertain.
    async fn assert_books_agree(&self) -> Books {
        let books = self.books().await;
        let bill = i64::try_from(self.provider.counts().billed_tokens).expect("small");
        assert!(books.settled <= bill, "{books:?}, bill {bill}");
        assert!(
            bill <= books.settled + books.uncertain,
            "{books:?}, bill {bill}"
        );
        assert_eq!(books.settled, books.totals);
        books
    }
}

#[derive(Debug)]
struct Books {
    settled: i64,
    totals: i64,
    uncertain: i64,
    stashed: i64,
}

async fn number(admin: &mut PgConnection, query: &'static str) -> i64 {
    let row = sqlx::query(query).fetch_one(admin).await;
    row.expect("a number").get(0)
}

fn settings(provider: &Provider) -> embedding::Settings {
    embedding::Settings {
        provider: openai::Settings {
            base_url: provider.base_url.clone(),
            api_key: Some("sk-test".into()),
            model: model(),
            answer_within: Duration::from_secs(30),
        },
        limits: limiter::Limits {
            requests_per_minute: 0,
            tokens_per_minute: 0,
        },
        backfill: None,
        batch: batcher::Limits::default(),
        max_concurrency: 8,
        price_per_mtok: PRICE,
        daily_limit_usd: None,
        linger: Duration::from_millis(1),
        retry_after: Duration::from_millis(1),
    }
}

fn model() -> Model {
    Model {
        name: "text-embedding-3-small".into(),
        dimensions: 1_536,
    }
}

fn piece(text: &str) -> Piece {
    Piece {
        text: text.into(),
        tokens: u32::try_from(bpe_openai::cl100k_base().count(text)).expect("small"),
        sha256: Sha256::digest(text).into(),
    }
}

fn job(user: UserId, file: FileId, texts: &[&str]) -> Job {
    Job {
        file: Some(file),
        user,
        pieces: texts.iter().map(|text| piece(text)).collect(),
    }
}

fn vectors(texts: &[&str]) -> Vec<Vec<f32>> {
    texts
        .iter()
        .map(|text| lexical::vector(text, &model().name, 1_536))
        .collect()
}

#[tokio::test]
async fn texts_of_many_files_share_a_request_and_each_file_gets_its_own_vectors() {
    let bench = Bench::with(|settings| settings.linger = Duration::from_mins(10)).await;
    let (one, files) = bench.user(2).await;
    let (two, others) = bench.user(1).await;
    // The last file to come ends the wait.
    let expecting = [one, one, two].map(|_| bench.embedder.expect());
    let jobs = [
        job(one, files[0], &["alpha", "beta"]),
        job(one, files[1], &["gamma"]),
        job(two, others[0], &["alpha"]),
    ];
    let embedded = expecting
        .into_iter()
        .zip(jobs)
        .map(|(expecting, job)| bench.embedder.embed(expecting, job));
    let embedded = join_all(embedded).await;
    let wanted = [
        vectors(&["alpha", "beta"]),
        vectors(&["gamma"]),
        vectors(&["alpha"]),
    ];
    for (found, wanted) in embedded.into_iter().zip(wanted) {
        assert_eq!(found.expect("vectors"), wanted);
    }
    assert_eq!(bench.provider.counts().billed_requests, 1);
}

#[tokio::test]
async fn a_file_that_never_brings_its_texts_does_not_hold_up_the_others() {
    let bench = Bench::with(|settings| settings.linger = Duration::from_mins(10)).await;
    let (user, files) = bench.user(1).await;
    let never = bench.embedder.expect();
    let embed = bench.embed(user, files[0], &["alpha"]);
    let (embedded, ()) = join(embed, async { drop(never) }).await;
    assert_eq!(embedded.expect("vectors"), vectors(&["alpha"]));
}

#[tokio::test]
async fn every_answer_is_booked_by_file_and_the_bill_agrees() {
    let mut bench = Bench::with(|settings| settings.batch.inputs = 3).await;
    let (user, files) = bench.user(4).await;
    let texts = (0..40)
        .map(|number| format!("passage number {number} {}", "and on ".repeat(number)))
        .collect::<Vec<_>>();
    let texts = texts.iter().map(String::as_str).collect::<Vec<_>>();
    let jobs = files
        .iter()
        .zip(texts.chunks(10))
        .map(|(file, texts)| bench.embed(user, *file, texts));
    for embedded in join_all(jobs).await {
        embedded.expect("vectors");
    }
    bench.close().await;
    let books = bench.assert_books_agree().await;
    assert_eq!((books.uncertain, books.stashed), (0, 40));
    let mut admin = bench.stack.admin().await;
    let files_billed = number(
        &mut admin,
        "select count(distinct metadata ->> 'file_id') from usage_logs",
    )
    .await;
    assert_eq!(files_billed, 4);
    let dearest =
        sqlx::query("select sum(cost_usd) = sum(tokens_used) * 0.02 / 1000000 from usage_logs");
    let exact: bool = dearest.fetch_one(&mut admin).await.expect("costs").get(0);
    assert!(exact);
    let totals = bench.embedder.totals();
    assert_eq!(i64::try_from(totals.tokens).expect("small"), books.settled);
    assert_eq!(totals.inputs, 40);
}

#[tokio::test]
async fn what_was_sent_for_a_file_that_is_given_up_is_booked_and_never_paid_again() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.provider.faults.hold();
    let embed = bench.embed(user, files[0], &["alpha", "beta"]);
    tokio::select! {
        _ = embed => panic!("the provider holds its answer"),
        _ = bench.provider.seen(|counts| counts.requests == 1) => {}
    }
    bench.provider.faults.release();
    bench.close().await;
    let books = bench.assert_books_agree().await;
    assert!(books.settled > 0);
    assert_eq!((books.uncertain, books.stashed), (0, 2));

    bench.reopen();
    let again = bench.embed(user, files[0], &["alpha", "beta"]).await;
    assert_eq!(again.expect("vectors"), vectors(&["alpha", "beta"]));
    assert_eq!(bench.provider.counts().requests, 1);
    assert_eq!(bench.embedder.totals().reused_inputs, 2);
}

#[tokio::test]
async fn what_was_not_sent_for_a_file_that_is_given_up_never_is() {
    let bench = Bench::with(|settings| {
        settings.max_concurrency = 1;
        settings.batch.inputs = 1;
    })
    .await;
    let (user, files) = bench.user(2).await;
    bench.provider.faults.hold();
    let kept = bench.embed(user, files[0], &["alpha"]);
    let mut kept = std::pin::pin!(kept);
    tokio::select! {
        _ = &mut kept => panic!("the provider holds its answer"),
        _ = bench.provider.seen(|counts| counts.requests == 1) => {}
    }
    {
        let mut given_up = std::pin::pin!(bench.embed(user, files[1], &["beta", "gamma"]));
        // Polled until its texts are in line behind the first.
        while bench.embedder.totals().waiting_inputs < 2 {
            assert!(futures_util::poll!(&mut given_up).is_pending());
            tokio::task::yield_now().await;
        }
    }
    bench.provider.faults.release();
    assert_eq!(kept.await.expect("vectors"), vectors(&["alpha"]));
    let delta = bench.embed(user, files[1], &["delta"]).await;
    assert_eq!(delta.expect("vectors"), vectors(&["delta"]));
    assert_eq!(bench.provider.counts().billed_inputs, 2);
}

#[tokio::test]
async fn vectors_are_reused_for_the_same_user_only_and_the_same_model_only() {
    let mut bench = Bench::new().await;
    let (one, files) = bench.user(2).await;
    let (two, others) = bench.user(1).await;
    bench
        .embed(one, files[0], &["alpha", "beta"])
        .await
        .expect("vectors");
    bench
        .embed(one, files[1], &["alpha", "gamma"])
        .await
        .expect("vectors");
    assert_eq!(bench.provider.counts().billed_inputs, 3);
    bench
        .embed(two, others[0], &["alpha"])
        .await
        .expect("vectors");
    assert_eq!(bench.provider.counts().billed_inputs, 4);
    bench.settings.provider.model.dimensions = 256;
    bench.reopen();
    bench
        .embed(one, files[0], &["alpha"])
        .await
        .expect("vectors");
    assert_eq!(bench.provider.counts().billed_inputs, 5);
    bench.close().await;
    bench.assert_books_agree().await;
}

#[tokio::test]
async fn a_text_that_two_files_ask_for_at_once_is_paid_once() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(2).await;
    bench.provider.faults.hold();
    let first = bench.embed(user, files[0], &["alpha", "alpha", "beta"]);
    let second = async {
        bench.provider.seen(|counts| counts.requests == 1).await;
        bench.provider.faults.release();
        bench.embed(user, files[1], &["beta", "alpha"]).await
    };
    let (first, second) = join(first, second).await;
    assert_eq!(
        first.expect("vectors"),
        vectors(&["alpha", "alpha", "beta"])
    );
    assert_eq!(second.expect("vectors"), vectors(&["beta", "alpha"]));
    assert_eq!(bench.provider.counts().billed_inputs, 2);
}

#[tokio::test]
async fn a_429_is_waited_out_and_no_file_hears_of_it() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    let slow_down = Fault::Throttle {
        retry_after: Some("9".into()),
        retry_after_ms: Some(20),
    };
    bench.provider.faults.next_requests(2, &slow_down);
    let embedded = bench.embed(user, files[0], &["alpha"]).await;
    assert_eq!(embedded.expect("vectors"), vectors(&["alpha"]));
    assert_eq!(bench.embedder.totals().throttled_requests, 2);
    let books = bench.assert_books_agree().await;
    assert_eq!(books.uncertain, 0);
}

#[tokio::test]
async fn a_text_that_is_refused_fails_its_file_and_no_other() {
    let bench = Bench::with(|settings| settings.linger = Duration::from_mins(10)).await;
    let (user, files) = bench.user(3).await;
    bench.provider.faults.refuse_inputs_with("forbidden");
    let texts: [&[&str]; 3] = [
        &["alpha", "beta", "gamma"],
        &["delta", "a forbidden word", "epsilon"],
        &["zeta"],
    ];
    let expecting = texts.map(|_| bench.embedder.expect());
    let jobs = expecting.into_iter().zip(files.iter().zip(texts));
    let jobs = jobs
        .map(|(expecting, (file, texts))| bench.embedder.embed(expecting, job(user, *file, texts)));
    let embedded = join_all(jobs).await;
    assert_eq!(*embedded[0].as_ref().expect("vectors"), vectors(texts[0]));
    assert_eq!(*embedded[2].as_ref().expect("vectors"), vectors(texts[2]));
    let error = embedded[1].as_ref().expect_err("a refusal");
    let rejected = Verdict::Reject {
        code: Code::EmbeddingRejected,
    };
    assert_eq!(error.verdict(), rejected);
    assert_eq!(*bench.embedder.state().borrow(), State::Ready);
    // Nothing that was accepted was paid for twice on the way. One word showed that we ask as we should, and one that the
    // provider still does as before when it refused a text alone.
    assert_eq!(bench.provider.counts().billed_inputs, 6 + 2);
}

#[tokio::test]
async fn a_provider_that_refuses_everything_is_at_fault_and_not_the_files() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench
        .provider
        .faults
        .next_requests(100, &Fault::Status { status: 400 });
    let error = bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect_err("a refusal");
    assert!(matches!(error.verdict(), Verdict::Wait { .. }), "{error}");
    assert_eq!(*bench.embedder.state().borrow(), State::Misconfigured);
}

#[tokio::test]
async fn a_spent_quota_or_a_refused_key_stops_everything_at_once() {
    for (fault, state) in [
        (Fault::QuotaSpent, State::QuotaSpent),
        (Fault::Status { status: 401 }, State::CredentialsRefused),
    ] {
        let bench = Bench::with(|settings| {
            settings.batch.inputs = 1;
            settings.max_concurrency = 1;
        })
        .await;
        let (user, files) = bench.user(3).await;
        bench.provider.faults.next_requests(1, &fault);
        let jobs = files
            .iter()
            .map(|file| bench.embed(user, *file, &["alpha", "beta"]));
        for embedded in join_all(jobs).await {
            let error = embedded.expect_err("no money");
            let waits = Verdict::Wait {
                code: Some(Code::ProviderUnavailable),
                after: None,
            };
            assert_eq!(error.verdict(), waits);
        }
        assert_eq!(*bench.embedder.state().borrow(), state);
        assert_eq!(bench.provider.counts().requests, 1);
    }
}

#[tokio::test]
async fn vectors_of_another_length_are_paid_for_once_and_then_tried_with_a_word() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    let text = "alpha ".repeat(100);
    bench.provider.faults.next_requests(2, &Fault::ShortVectors);
    bench.again(user, files[0], &text, 1).await;
    let whole = bench.provider.counts().billed_tokens;
    bench.again(user, files[0], &text, 2).await;
    assert_eq!(bench.provider.counts().billed_tokens, whole + 1);
    bench.again(user, files[0], &text, 4).await;
    assert_eq!(*bench.embedder.state().borrow(), State::Ready);
    bench.close().await;
}

#[tokio::test]
async fn a_provider_that_comes_to_refuse_everything_fails_no_file() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.again(user, files[0], "alpha", 1).await;
    let refused = Fault::Status { status: 400 };
    bench.provider.faults.next_requests(100, &refused);
    let error = bench
        .embed(user, files[0], &["beta"])
        .await
        .expect_err("refused");
    assert!(matches!(error.verdict(), Verdict::Wait { .. }), "{error}");
    assert_eq!(*bench.embedder.state().borrow(), State::Misconfigured);
    bench.close().await;
}

#[tokio::test]
async fn an_outage_is_tried_a_few_times_then_waited_out_in_the_queue() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench
        .provider
        .faults
        .next_requests(4, &Fault::Status { status: 503 });
    let error = bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect_err("an outage");
    assert!(matches!(error.verdict(), Verdict::Wait { .. }), "{error}");
    assert_eq!(*bench.embedder.state().borrow(), State::Unavailable);
    bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect("vectors");
    assert_eq!(*bench.embedder.state().borrow(), State::Ready);
}

#[tokio::test]
async fn whatever_the_provider_does_the_books_agree_with_its_bill() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    for fault in [
        Fault::WrongCount,
        Fault::RepeatedIndex,
        Fault::NotFinite,
        Fault::ShortVectors,
        Fault::NoUsage,
        Fault::NoData,
        Fault::CutBody,
        Fault::HangUp,
        Fault::ShuffledIndexes,
    ] {
        bench.provider.faults.next_requests(2, &fault);
        let text = format!("{fault:?}");
        let again = format!("{text} again");
        let texts = [text.as_str(), again.as_str()];
        let embedded = bench.embed(user, files[0], &texts).await;
        assert_eq!(embedded.expect("vectors"), vectors(&texts), "{text}");
        bench.provider.faults.clear();
    }
    bench.close().await;
    let books = bench.assert_books_agree().await;
    assert!(books.uncertain > 0, "{books:?}");
}

#[tokio::test]
async fn answers_that_stay_unusable_are_charged_to_the_file_since_each_costs_money() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.provider.faults.next_requests(100, &Fault::NotFinite);
    let error = bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect_err("nonsense");
    let charged = Verdict::Retry {
        code: Some(Code::ProviderUnavailable),
    };
    assert_eq!(error.verdict(), charged);
    assert_eq!(bench.provider.counts().requests, 3);
    bench.assert_books_agree().await;
}

#[tokio::test]
async fn a_killed_worker_leaves_its_requests_uncertain() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.provider.faults.hold();
    let embed = bench.embed(user, files[0], &["alpha"]);
    let kill = async {
        bench.provider.seen(|counts| counts.requests == 1).await;
        bench.pump.abort();
    };
    let (embedded, ()) = join(embed, kill).await;
    assert!(matches!(embedded, Err(EmbeddingError::Stopped)));
    bench.provider.faults.release();
    let books = bench.assert_books_agree().await;
    assert!(books.uncertain > 0, "{books:?}");
}

#[tokio::test]
async fn nothing_is_sent_beyond_the_days_spend_limit() {
    let bench = Bench::with(|settings| {
        settings.daily_limit_usd = Some(0.001);
        settings.price_per_mtok = 100.0;
    })
    .await;
    let (user, files) = bench.user(2).await;
    bench
        .embed(user, files[0], &["alpha beta gamma"])
        .await
        .expect("vectors");
    let error = bench
        .embed(user, files[1], &["delta ".repeat(9).trim()])
        .await
        .expect_err("too dear");
    let Verdict::Wait {
        code: Some(Code::QuotaExceeded),
        after: Some(after),
    } = error.verdict()
    else {
        panic!("{error}");
    };
    assert!(after <= Duration::from_hours(24));
    assert_eq!(*bench.embedder.state().borrow(), State::SpendLimit);
    assert_eq!(bench.provider.counts().requests, 1);
}

#[tokio::test]
async fn a_users_own_quota_rejects_the_file_before_anything_is_sent() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(2).await;
    let mut admin = bench.stack.admin().await;
    sqlx::query("update user_profiles set monthly_token_quota = 5")
        .execute(&mut admin)
        .await
        .expect("a quota");
    bench
        .embed(user, files[0], &["alpha beta gamma"])
        .await
        .expect("within the quota");
    let error = bench
        .embed(user, files[1], &["one two three four"])
        .await
        .expect_err("beyond it");
    assert_eq!(
        error.verdict(),
        Verdict::Reject {
            code: Code::QuotaExceeded
        }
    );
    assert_eq!(bench.provider.counts().requests, 1);
    // What is paid for costs nothing, quota or not.
    bench
        .embed(user, files[1], &["alpha beta gamma"])
        .await
        .expect("vectors");
}

#[tokio::test]
async fn a_file_that_the_quota_turns_away_takes_no_other_with_it() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(2).await;
    let mut admin = bench.stack.admin().await;
    sqlx::query("update user_profiles set monthly_token_quota = 5")
        .execute(&mut admin)
        .await
        .expect("a quota");
    // The second waits for a text that the first has asked for.
    let (large, small) = tokio::join!(
        bench.embed(user, files[0], &["one two three four five six", "alpha"]),
        bench.embed(user, files[1], &["alpha"]),
    );
    assert_eq!(
        large.expect_err("beyond the quota").verdict(),
        Verdict::Reject {
            code: Code::QuotaExceeded
        }
    );
    assert_eq!(
        small.expect_err("for now").verdict(),
        Verdict::Wait {
            code: None,
            after: None
        }
    );
    bench
        .embed(user, files[1], &["alpha"])
        .await
        .expect("within the quota");
}

#[tokio::test]
async fn an_answer_is_held_until_the_database_can_book_it() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    let mut admin = bench.stack.admin().await;
    sqlx::raw_sql("begin; lock table usage_logs in exclusive mode")
        .execute(&mut admin)
        .await
        .expect("a lock");
    let mut embed = std::pin::pin!(bench.embed(user, files[0], &["alpha"]));
    // The booking waits for our lock: end its connection, then let the next try through. A transaction sees who waits
    // as it was when it first looked, hence another connection.
    let mut other = bench.stack.admin().await;
    let end = "select count(pg_terminate_backend(pid)) from pg_stat_activity
               where datname = current_database() and wait_event_type = 'Lock'";
    let trouble = async { while number(&mut other, end).await == 0 {} };
    tokio::select! {
        embedded = &mut embed => panic!("it did not wait: {embedded:?}"),
        () = trouble => {}
    }
    sqlx::raw_sql("commit")
        .execute(&mut admin)
        .await
        .expect("no lock");
    let embedded = embed.await;
    assert_eq!(embedded.expect("vectors"), vectors(&["alpha"]));
    let books = bench.assert_books_agree().await;
    assert_eq!(books.uncertain, 0);
    assert_eq!(bench.provider.counts().requests, 1);
}

#[tokio::test]
async fn the_bill_stays_when_the_user_and_the_file_are_gone() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.provider.faults.hold();
    let embed = bench.embed(user, files[0], &["alpha"]);
    let gone = async {
        bench.provider.seen(|counts| counts.requests == 1).await;
        let mut admin = bench.stack.admin().await;
        sqlx::query("delete from auth.users where id = $1")
            .bind(user.0)
            .execute(&mut admin)
            .await
            .expect("gone");
        bench.provider.faults.release();
    };
    let (embedded, ()) = join(embed, gone).await;
    embedded.expect("vectors");
    bench.close().await;
    let mut admin = bench.stack.admin().await;
    let billed = number(
        &mut admin,
        "select tokens_used from usage_logs where user_id is null",
    )
    .await;
    assert_eq!(
        u64::try_from(billed).expect("positive"),
        bench.provider.counts().billed_tokens
    );
}

#[tokio::test]
async fn booking_twice_changes_nothing() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    let outgoing = ledger::Outgoing {
        model: &model(),
        inputs: 1,
        tokens: 7,
        is_reembedding: false,
    };
    let mut tx = bench.db.begin().await.expect("a transaction");
    let request = ledger::record(&mut tx, &outgoing).await.expect("recorded");
    let settlement = ledger::Settlement {
        request,
        model: model(),
        billed: 7,
        price_per_mtok: PRICE,
        shares: vec![ledger::Share {
            user,
            file: Some(files[0]),
            tokens: 7,
        }],
        owners: vec![ledger::Owner {
            user,
            file: Some(files[0]),
            sha256: [1; 32],
        }],
        rows: Vec::new(),
        vectors: vec![pgvector::Vector::from(vec![1.0; 1_536])],
    };
    for _ in 0..2 {
        ledger::settle(&mut tx, &settlement).await.expect("booked");
    }
    ledger::refuse(&mut tx, request).await.expect("too late");
    tx.commit().await.expect("committed");
    let books = bench.books().await;
    assert_eq!(
        (books.settled, books.totals, books.uncertain, books.stashed),
        (7, 7, 0, 1)
    );

    let mut tx = bench.db.begin().await.expect("a transaction");
    ledger::forget_stash(&mut tx, &[files[0].0])
        .await
        .expect("forgotten");
    tx.commit().await.expect("committed");
    assert_eq!(bench.books().await.stashed, 0);
}

#[tokio::test]
async fn a_question_is_booked_to_its_user_and_stashed_nowhere() {
    let bench = Bench::new().await;
    let (user, _) = bench.user(0).await;
    let question = Job {
        file: None,
        user,
        pieces: vec![piece("where?")],
    };
    let vector = bench
        .embedder
        .embed(bench.embedder.expect(), question)
        .await;
    assert_eq!(vector.expect("a vector"), vectors(&["where?"]));
    let books = bench.assert_books_agree().await;
    assert_eq!((books.settled, books.uncertain, books.stashed), (2, 0, 0));
}

#[tokio::test]
async fn no_named_statement_is_left_behind() {
    let bench = Bench::new().await;
    let mut tx = bench.db.begin().await.expect("a transaction");
    ledger::recall(&mut tx, &model(), &[(UserId(Uuid::nil()), [0; 32], true)])
        .await
        .expect("nothing");
    ledger::spent_today(&mut tx, PRICE).await.expect("nothing");
    let left = sqlx::query("select count(*) from pg_prepared_statements");
    let left: i64 = sqlx::Executor::fetch_one(Unnamed(&mut tx), left)
        .await
        .expect("a count")
        .get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_wish_to_wait_for_long_sends_the_files_of_all_workers_back_to_the_queue() {
    let mut bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    let come_back_later = Fault::Throttle {
        retry_after: Some("600".into()),
        retry_after_ms: None,
    };
    bench.provider.faults.next_requests(1, &come_back_later);
    let error = bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect_err("a long pause");
    let EmbeddingError::Provider(EmbedError::Throttled { after: Some(after) }) = error else {
        panic!("{error}");
    };
    assert!(after > Duration::from_secs(590), "{after:?}");
    bench.reopen();
    let error = bench.embed(user, files[0], &["beta"]).await;
    let Err(EmbeddingError::Provider(EmbedError::Throttled { after: Some(after) })) = error else {
        panic!("{error:?}");
    };
    assert!(after > Duration::from_secs(570), "{after:?}");
    assert_eq!(bench.provider.counts().requests, 1, "another worker");
}

#[tokio::test]
async fn what_was_reserved_before_a_pause_is_not_spent_in_it() {
    let bench = Bench::with(|settings| settings.batch.inputs = 1).await;
    let (user, files) = bench.user(1).await;
    // One after the other, so quickly that more is reserved than is sent.
    for number in 0..20 {
        let text = format!("note {number}");
        let embedded = bench.embed(user, files[0], &[&text]).await;
        embedded.expect("vectors");
    }
    let come_back_later = Fault::Throttle {
        retry_after: Some("600".into()),
        retry_after_ms: None,
    };
    bench.provider.faults.next_requests(1, &come_back_later);
    let refused = bench.embed(user, files[0], &["alpha"]).await;
    refused.expect_err("a long pause");
    let refused = bench.embed(user, files[0], &["beta"]).await;
    refused.expect_err("the same pause");
    assert_eq!(bench.provider.counts().requests, 21);
}

#[tokio::test]
async fn an_outage_that_another_worker_found_shows_here_too() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench
        .embed(user, files[0], &["alpha"])
        .await
        .expect("vectors");
    let budget = db::Budget {
        provider: bench.settings.provider.authority(),
        model: model().name,
        requests_per_minute: 0,
        tokens_per_minute: 0,
        is_backfill: false,
        answer_within: Duration::from_secs(30),
    };
    let half_a_minute = Duration::from_secs(30);
    bench
        .db
        .break_budget(&budget, half_a_minute, std::time::Instant::now())
        .await
        .expect("noted");
    let mut state = bench.embedder.state();
    let mut embed = std::pin::pin!(bench.embed(user, files[0], &["beta"]));
    tokio::select! {
        _ = &mut embed => panic!("nothing is sent"),
        _ = state.wait_for(|state| *state == State::Unavailable) => {}
    }
    assert_eq!(bench.provider.counts().requests, 1);
}

#[tokio::test]
async fn a_text_that_makes_the_provider_fail_is_no_outage_while_others_are_answered() {
    let bench = Bench::with(|settings| {
        settings.batch.inputs = 1;
        settings.retry_after = Duration::from_millis(30);
    })
    .await;
    let (user, files) = bench.user(2).await;
    bench.provider.faults.fail_inputs_with("beta");
    let mut fails = std::pin::pin!(bench.embed(user, files[0], &["beta"]));
    let mut number = 0;
    let failed = loop {
        number += 1;
        let text = format!("note {number}");
        let texts = [text.as_str()];
        tokio::select! {
            failed = &mut fails => break failed,
            answered = bench.embed(user, files[1], &texts) => drop(answered.expect("vectors")),
        }
    };
    let failed = failed.expect_err("it is tried again later");
    assert!(matches!(failed.verdict(), Verdict::Wait { .. }), "{failed}");
    assert_eq!(*bench.embedder.state().borrow(), State::Ready);
    let mut admin = bench.stack.admin().await;
    let outages = "select outages::bigint from orion_ingest.provider_budgets";
    assert_eq!(self::number(&mut admin, outages).await, 0);
}

#[tokio::test]
async fn an_answer_is_booked_before_anybody_is_told_of_the_limits() {
    let bench = Bench::new().await;
    let (user, files) = bench.user(1).await;
    bench.provider.limit(60_000, 60_000_000);
    bench.provider.faults.hold();
    let mut embed = std::pin::pin!(bench.embed(user, files[0], &["alpha"]));
    tokio::select! {
        _ = &mut embed => panic!("the provider holds its answer"),
        _ = bench.provider.seen(|counts| counts.requests == 1) => {}
    }
    let mut admin = bench.stack.admin().await;
    let mut holds = admin.begin().await.expect("a transaction");
    sqlx::query("select from orion_ingest.provider_budgets for update")
        .execute(&mut *holds)
        .await
        .expect("the row");
    bench.provider.faults.release();
    let booked = async {
        while bench.books().await.settled == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = &mut embed => panic!("its limits cannot be noted"),
        booked = tokio::time::timeout(Duration::from_mins(1), booked) => booked.expect("booked"),
    }
    holds.rollback().await.expect("the row is free");
    embed.await.expect("vectors");
}

#[tokio::test]
async fn a_note_does_not_wait_for_another_tenants_long_document() {
    let bench = Bench::with(|settings| {
        settings.max_concurrency = 1;
        settings.batch.tokens = 3_000;
        settings.linger = Duration::from_mins(10);
    })
    .await;
    let (one, files) = bench.user(1).await;
    let (two, others) = bench.user(1).await;
    let long = (0..100)
        .map(|page| format!("page {page} {}", "word ".repeat(400)))
        .collect::<Vec<_>>();
    let long = long.iter().map(String::as_str).collect::<Vec<_>>();
    bench.provider.faults.hold();
    let mut document = std::pin::pin!(bench.embed(one, files[0], &long));
    tokio::select! {
        _ = &mut document => panic!("the provider holds its answer"),
        _ = bench.provider.seen(|counts| counts.requests == 1) => {}
    }
    let in_line = bench.embedder.totals().waiting_inputs;
    let note = async {
        let release = async {
            // In line first: a note that is still being looked up waits for the look-up, not for the document.
            while bench.embedder.totals().waiting_inputs == in_line {
                tokio::task::yield_now().await;
            }
            bench.provider.faults.release();
        };
        let (note, ()) = join(bench.embed(two, others[0], &["note"]), release).await;
        note.expect("vectors");
        bench.provider.counts().billed_requests
    };
    let requests = tokio::select! {
        requests = note => requests,
        _ = &mut document => panic!("the note came last"),
    };
    assert!(requests <= 4, "{requests}");
    document.await.expect("vectors");
}
