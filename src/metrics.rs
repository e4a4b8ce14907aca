//! What is counted: the numbers behind `/metrics` and behind the report of a drain.
//!
//! Labels come from enums only, so that no user's input can make a new series.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use prometheus_client::{
    encoding::{EncodeLabelSet, text::encode},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::{Registry, Unit},
};

use crate::{
    embedding::Totals,
    failpoint::{self, Line},
    failure::Code,
};

/// A step of `ingest` that takes time worth knowing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Downloading the object.
    Fetch,
    /// Reading its text in a child process.
    Extract,
    /// Cutting the text.
    Chunk,
    /// Waiting for vectors, the limiter's delay included.
    Embed,
    /// Writing the chunks.
    Commit,
}

impl From<Stage> for Line {
    fn from(stage: Stage) -> Self {
        match stage {
            Stage::Fetch => Self::Fetched,
            Stage::Extract => Self::Extracted,
            Stage::Chunk => Self::Chunked,
            Stage::Embed => Self::Embedded,
            Stage::Commit => Self::Committed,
        }
    }
}

impl Stage {
    /// In the order of `ingest`.
    pub const ALL: [Self; 5] = [
        Self::Fetch,
        Self::Extract,
        Self::Chunk,
        Self::Embed,
        Self::Commit,
    ];

    /// As reports name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Fetch => "fetch",
            Self::Extract => "extract",
            Self::Chunk => "chunk",
            Self::Embed => "embed",
            Self::Commit => "commit",
        }
    }
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its chunks are stored.
    Completed,
    /// A person must look.
    Failed,
    /// It will be tried again.
    Retried,
    /// Handed back unused.
    Released,
    /// The lease was lost; nothing was written.
    Lost,
}

impl Outcome {
    /// As metrics name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Retried => "retried",
            Self::Released => "released",
            Self::Lost => "lost",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StageLabel {
    stage: &'static str,
}

impl From<Stage> for StageLabel {
    fn from(stage: Stage) -> Self {
        let stage = stage.as_str();
        Self { stage }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SettledLabel {
    outcome: &'static str,
    code: &'static str,
}

/// The counters of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    claimed: Counter,
    settled: Family<SettledLabel, Counter>,
    stage_seconds: Family<StageLabel, Counter<f64, AtomicU64>>,
    chunks: Counter,
    in_hand: Gauge,
    embedding: Embedding,
    /// Files waiting in the queue, set when `/metrics` is read.
    pub queue_files: Gauge,
    /// Age of the oldest file that is due, set when `/metrics` is read.
    pub oldest_due_seconds: Gauge<f64, AtomicU64>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("orion_ingest");
        let metrics = Self {
            claimed: Counter::default(),
            settled: Family::default(),
            stage_seconds: Family::default(),
            chunks: Counter::default(),
            in_hand: Gauge::default(),
            embedding: Embedding::default(),
            queue_files: Gauge::default(),
            oldest_due_seconds: Gauge::default(),
            registry: Registry::default(),
        };
        registry.register("files_claimed", "Claims made", metrics.claimed.clone());
        registry.register(
            "files_settled",
            "Claims ended, by outcome and error code",
            metrics.settled.clone(),
        );
        registry.register_with_unit(
            "stage",
            "Time spent in each stage, summed over files",
            Unit::Seconds,
            metrics.stage_seconds.clone(),
        );
        registry.register("chunks_committed", "Chunks stored", metrics.chunks.clone());
        registry.register(
            "files_in_hand",
            "Files being worked on",
            metrics.in_hand.clone(),
        );
        registry.register(
            "queue_files",
            "Files pending or processing, whoever has them",
            metrics.queue_files.clone(),
        );
        registry.register_with_unit(
            "oldest_due",
            "How long the oldest due file has waited",
            Unit::Seconds,
            metrics.oldest_due_seconds.clone(),
        );
        metrics.embedding.register(&mut registry);
        Self {
            registry,
            ..metrics
        }
    }
}

impl Metrics {
    /// Runs a stage and adds the time it took, however it ends.
    pub async fn time<T>(&self, stage: Stage, work: impl Future<Output = T>) -> T {
        let started_at = Instant::now();
        let result = work.await;
        self.stage_seconds
            .get_or_create(&stage.into())
            .inc_by(started_at.elapsed().as_secs_f64());
        failpoint::reach(stage.into());
        result
    }

    /// A file was claimed.
    pub fn claimed(&self) {
        self.claimed.inc();
        self.in_hand.inc();
    }

    /// A claim ended.
    pub fn settled(&self, outcome: Outcome, code: Option<Code>, chunks: usize) {
        self.in_hand.dec();
        self.chunks.inc_by(chunks as u64);
        self.settled
            .get_or_create(&SettledLabel {
                outcome: outcome.as_str(),
                code: code.map_or("", Code::as_str),
            })
            .inc();
    }

    /// Seconds spent in a stage so far, summed over files.
    #[must_use]
    pub fn stage_seconds(&self, stage: Stage) -> f64 {
        self.stage_seconds.get_or_create(&stage.into()).get()
    }

    /// The text format of `OpenMetrics`, with what the embedder counts itself.
    ///
    /// # Panics
    ///
    /// Never: a string takes whatever is written to it.
    #[must_use]
    pub fn encode(&self, embedding: &Totals) -> String {
        let set = |counter: &Counter, value| counter.inner().store(value, Ordering::Relaxed);
        let set_real = |counter: &Counter<f64, AtomicU64>, value: f64| {
            counter.inner().store(value.to_bits(), Ordering::Relaxed);
        };
        set(&self.embedding.requests, embedding.requests);
        set(&self.embedding.failed_requests, embedding.failed_requests);
        set(&self.embedding.tokens, embedding.tokens);
        set(&self.embedding.reused_inputs, embedding.reused_inputs);
        set_real(&self.embedding.cost_usd, embedding.cost_usd);
        set_real(
            &self.embedding.limiter_wait,
            embedding.limiter_wait.as_secs_f64(),
        );
        let mut text = String::new();
        encode(&mut text, &self.registry).expect("writing to a string does not fail");
        text
    }
}

/// What the embedder counts, as it was when it was last read.
#[derive(Debug, Default)]
struct Embedding {
    requests: Counter,
    failed_requests: Counter,
    tokens: Counter,
    reused_inputs: Counter,
    cost_usd: Counter<f64, AtomicU64>,
    limiter_wait: Counter<f64, AtomicU64>,
}

impl Embedding {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "embedding_requests",
            "Requests that the provider answered with vectors",
            self.requests.clone(),
        );
        registry.register(
            "embedding_failed_requests",
            "Requests that it did not",
            self.failed_requests.clone(),
        );
        registry.register(
            "embedding_tokens",
            "Tokens that it billed",
            self.tokens.clone(),
        );
        registry.register(
            "embedding_reused_inputs",
            "Texts whose vectors were known",
            self.reused_inputs.clone(),
        );
        registry.register(
            "embedding_cost_usd",
            "US dollars that it billed",
            self.cost_usd.clone(),
        );
        registry.register_with_unit(
            "embedding_limiter_wait",
            "Time that requests waited for the rate limit",
            Unit::Seconds,
            self.limiter_wait.clone(),
        );
    }
}
