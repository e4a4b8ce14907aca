//! How much of the provider's limits is used, and how often it says 429:
//! `cargo bench --bench limiter -- [--seconds N] [--warm-up N] [--tpm N] [CASE…]`.
//!
//! Worker processes drain texts on one database, beside a stand-in that enforces what OpenAI does: token buckets of
//! twenty seconds that start empty, and requests by the second. A case is a number of processes, `requests` (eight
//! processes with one text a request, so that the limit of requests is the one that binds), `half` (somebody else takes
//! half of the tokens, which nobody is told of) or `change` (the tokens are halved and given back).

#![expect(
    clippy::disallowed_methods,
    reason = "a bench reads the environment, and sleeps while it measures"
)]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

#[path = "../throughput/servers.rs"]
mod servers;
#[path = "../throughput/uploads.rs"]
mod uploads;
mod workers;

use std::{
    io::{self, Write as _},
    time::Duration,
};

use clap::Parser;
use orion_ingest::embedded::provider::Counts;
use tokio::time::{Instant, sleep, sleep_until};

use self::{
    servers::Servers,
    uploads::Upload,
    workers::{Workers, transactions},
};

/// What the provider allows in a minute.
const RPM: u32 = 3_000;
/// How long it thinks.
const DELAY: Duration = Duration::from_millis(300);
/// Tokens of a text, about.
const TEXT_TOKENS: usize = 40_000;
/// How soon changed limits are to be followed.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(5);

/// How much of the provider's limits is used, and how often it says 429.
#[derive(Parser)]
struct Plan {
    /// How long the provider is watched.
    #[arg(long, default_value_t = 300)]
    seconds: u32,
    /// How long it is not, before.
    #[arg(long, default_value_t = 60)]
    warm_up: u32,
    /// Tokens that it allows in a minute.
    #[arg(long = "tpm", default_value_t = 1_000_000)]
    tokens_per_minute: u32,
    /// A number of processes, `requests`, `half` or `change`.
    #[arg(default_values = ["1", "2", "8", "requests", "half", "change"])]
    cases: Vec<String>,
    /// Cargo adds it.
    #[arg(long, hide = true)]
    bench: bool,
}

/// A time in which the provider was watched.
struct Watched {
    /// How much was used of the limit that binds.
    used: f64,
    requests: u64,
    throttled: u64,
    /// Transactions of the database in a second.
    transactions: f64,
}

fn main() -> anyhow::Result<()> {
    let plan = Plan::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    writeln!(
        io::stdout(),
        "{:<22} {:>9} {:>9} {:>9} {:>9} {:>16}",
        "processes",
        "used",
        "requests",
        "429",
        "429, %",
        "transactions/s"
    )?;
    for case in &plan.cases {
        runtime.block_on(plan.run(case))?;
    }
    Ok(())
}

impl Plan {
    async fn run(&self, case: &str) -> anyhow::Result<()> {
        let (processes, inputs) = match case {
            "requests" => (8, "1"),
            _ => (case.parse().unwrap_or(2), ""),
        };
        let servers = Servers::start().await?;
        servers.upload(&self.texts()).await?;
        servers.provider().faults.delay(DELAY);
        servers.provider().limit(RPM, self.tokens_per_minute);
        let tpm = self.tokens_per_minute.to_string();
        let workers = Workers::start(&servers, processes, &["--drain"], |command| {
            command
                .env("EMBEDDING_RPM", RPM.to_string())
                .env("EMBEDDING_TPM", &tpm)
                .env("EMBEDDING_BATCH_INPUTS", inputs);
        })?;
        let measured = async {
            match case {
                "half" => self.half(&servers).await,
                "change" => self.change(&servers).await,
                _ => self.whole(&servers, case).await,
            }
        };
        let measured = measured.await;
        drop(workers);
        servers.stop().await?;
        measured
    }

    async fn whole(&self, servers: &Servers, name: &str) -> anyhow::Result<()> {
        sleep(secs(self.warm_up)).await;
        print(name, &self.watch(servers, self.seconds, 1.0).await?)
    }

    async fn half(&self, servers: &Servers) -> anyhow::Result<()> {
        let measured = async {
            sleep(secs(self.warm_up)).await;
            self.watch(servers, self.seconds, 0.5).await
        };
        tokio::select! {
            watched = measured => print("2, half taken", &watched?),
            () = somebody_else(servers, self.tokens_per_minute / 2) => Ok(()),
        }
    }

    async fn change(&self, servers: &Servers) -> anyhow::Result<()> {
        sleep(secs(self.warm_up)).await;
        for (name, share) in [("2, lowered to half", 0.5), ("2, given back", 1.0)] {
            let limit = f64::from(self.tokens_per_minute) * share;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a share of a u32"
            )]
            servers.provider().limit(RPM, limit as u32);
            sleep(FOLLOWED_WITHIN).await;
            print(
                name,
                &self.watch(servers, self.seconds.min(60), share).await?,
            )?;
        }
        Ok(())
    }

    async fn watch(&self, servers: &Servers, seconds: u32, share: f64) -> anyhow::Result<Watched> {
        let provider = servers.provider();
        let admin = &mut servers.admin().await?;
        let (before, commits) = (provider.counts(), transactions(admin).await?);
        sleep(secs(seconds)).await;
        let (after, later) = (provider.counts(), transactions(admin).await?);
        let more = |count: fn(&Counts) -> u64| count(&after) - count(&before);
        let seconds = f64::from(seconds);
        let minutes = seconds / 60.0;
        let tokens = f64::from(self.tokens_per_minute) * share * minutes;
        let tokens = more(|counts| counts.billed_tokens) as f64 / tokens;
        let requests = more(|counts| counts.billed_requests) as f64 / (f64::from(RPM) * minutes);
        Ok(Watched {
            used: tokens.max(requests),
            requests: more(|counts| counts.requests),
            throttled: more(|counts| counts.throttled),
            transactions: (later - commits) as f64 / seconds,
        })
    }

    /// Enough for the whole time and what workers take ahead; no two texts have a sentence in common.
    fn texts(&self) -> Vec<Upload> {
        let minutes = (self.warm_up + self.seconds) as usize / 60 + 3;
        let tokens = self.tokens_per_minute as usize * minutes;
        (0..=tokens / TEXT_TOKENS).map(text).collect()
    }
}

fn secs(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
}

/// Takes so many tokens a minute, a second's worth at a time.
async fn somebody_else(servers: &Servers, tokens_per_minute: u32) {
    let mut at = Instant::now();
    loop {
        at += Duration::from_secs(1);
        sleep_until(at).await;
        servers.provider().share(tokens_per_minute / 60);
    }
}

fn print(name: &str, watched: &Watched) -> anyhow::Result<()> {
    writeln!(
        io::stdout(),
        "{name:<22} {:>7.1} % {:>9} {:>9} {:>7.2} % {:>16.1}",
        100.0 * watched.used,
        watched.requests,
        watched.throttled,
        100.0 * watched.throttled as f64 / watched.requests.max(1) as f64,
        watched.transactions,
    )?;
    Ok(())
}

fn text(number: usize) -> Upload {
    let words = (0..TEXT_TOKENS / 10)
        .map(|word| format!("Reading {number} of gauge {word} was {}. ", word % 97));
    Upload {
        name: format!("readings-{number}.txt"),
        bytes: words.collect::<String>().into_bytes(),
    }
}
