//! What a drain did: for people as a table, for programs as JSON whose keys only grow.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, Instant},
};

use serde::Serialize;

use crate::{
    app::App,
    failure::Code,
    metrics::{Outcome, Stage},
    ops::upload::Refused,
    worker::Settled,
};

/// Failures that are named one by one; the rest is only counted.
const NAMED_FAILURES: usize = 20;

/// Collects what was settled.
#[derive(Debug)]
pub struct Tally {
    started_at: Instant,
    completed: u64,
    chunks: u64,
    retried: BTreeMap<&'static str, u64>,
    failed: BTreeMap<&'static str, u64>,
    failures: Vec<Failure>,
}

/// A file that failed in this run.
#[derive(Clone, Debug, Serialize)]
pub struct Failure {
    /// `files.id`.
    pub file: String,
    /// `files.original_name`.
    pub name: String,
    /// `files.processing_error_code`.
    pub code: &'static str,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            started_at: Instant::now(),
            completed: 0,
            chunks: 0,
            retried: BTreeMap::new(),
            failed: BTreeMap::new(),
            failures: Vec::new(),
        }
    }
}

impl Tally {
    /// Counts one more.
    pub fn add(&mut self, settled: &Settled) {
        let code = settled.code.map_or("none", Code::as_str);
        match settled.outcome {
            Outcome::Completed => {
                self.completed += 1;
                self.chunks += settled.chunks as u64;
            }
            Outcome::Failed => {
                *self.failed.entry(code).or_default() += 1;
                if self.failures.len() < NAMED_FAILURES {
                    self.failures.push(Failure {
                        file: settled.file.to_string(),
                        name: settled.name.clone(),
                        code,
                    });
                }
            }
            Outcome::Retried => *self.retried.entry(code).or_default() += 1,
            Outcome::Released | Outcome::Lost => {}
        }
    }

    /// Files that ended, whichever way.
    #[must_use]
    pub fn ended(&self) -> u64 {
        self.completed + self.failed()
    }

    /// Files that failed.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.values().sum()
    }

    /// Chunks stored.
    #[must_use]
    pub fn chunks(&self) -> u64 {
        self.chunks
    }

    /// The report; `left` is what is still pending or processing, if that could be asked.
    pub fn report(self, app: &App, ending: &'static str, left: Option<i64>) -> Report {
        let spend = app.embedder().totals();
        Report {
            ending,
            files_completed: self.completed,
            files_failed: self.failed(),
            failed_by_code: self.failed,
            retries_by_code: self.retried,
            failures: self.failures,
            refused: Vec::new(),
            files_left: left,
            chunks: self.chunks,
            requests: spend.requests,
            tokens: spend.tokens,
            cost_usd: spend.cost_usd,
            reused_vectors: spend.reused_inputs,
            seconds: self.started_at.elapsed().as_secs_f64(),
            seconds_by_stage: Stage::ALL
                .into_iter()
                .map(|stage| (stage.as_str(), app.metrics.stage_seconds(stage)))
                .collect(),
        }
    }
}

/// What a drain did.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `drained`, `interrupted`, `timed_out`, or why the provider takes no more.
    pub ending: &'static str,
    /// Files completed in this run.
    pub files_completed: u64,
    /// Files failed in this run.
    pub files_failed: u64,
    /// The failed ones by error code.
    pub failed_by_code: BTreeMap<&'static str, u64>,
    /// Failures that were tried again, by error code.
    pub retries_by_code: BTreeMap<&'static str, u64>,
    /// The first failed files.
    pub failures: Vec<Failure>,
    /// Local files that `ingest` did not upload.
    pub refused: Vec<Refused>,
    /// Files still pending or processing at the end.
    pub files_left: Option<i64>,
    /// Chunks stored.
    pub chunks: u64,
    /// Requests that the provider answered.
    pub requests: u64,
    /// Tokens that it billed.
    pub tokens: u64,
    /// What they cost.
    pub cost_usd: f64,
    /// Vectors that the users had already.
    pub reused_vectors: u64,
    /// From start to end.
    pub seconds: f64,
    /// Time in each stage, summed over files that were worked on side by side.
    pub seconds_by_stage: BTreeMap<&'static str, f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took = Duration::from_secs_f64(self.seconds);
        writeln!(f, "{} in {took:.1?}", self.ending.replace('_', " "))?;
        writeln!(
            f,
            "files     {} completed, {} failed",
            self.files_completed, self.files_failed
        )?;
        for (code, files) in &self.failed_by_code {
            writeln!(f, "          {files} {code}")?;
        }
        for failure in &self.failures {
            writeln!(
                f,
                "failed    {}  {}  {}",
                failure.file, failure.code, failure.name
            )?;
        }
        let named = self.failures.len() as u64;
        if self.files_failed > named {
            writeln!(f, "          … and {} more", self.files_failed - named)?;
        }
        for refused in &self.refused {
            writeln!(f, "refused   {}: {}", refused.path, refused.reason)?;
        }
        if let Some(left) = self.files_left.filter(|left| *left > 0) {
            writeln!(f, "left      {left} pending or processing")?;
        }
        if !self.retries_by_code.is_empty() {
            let retries: Vec<String> = self
                .retries_by_code
                .iter()
                .map(|(code, times)| format!("{times} {code}"))
                .collect();
            writeln!(f, "retries   {}", retries.join(", "))?;
        }
        writeln!(
            f,
            "chunks    {} ({} vectors reused)",
            self.chunks, self.reused_vectors
        )?;
        writeln!(
            f,
            "tokens    {} in {} requests, ${:.6}",
            self.tokens, self.requests, self.cost_usd
        )?;
        let stages: Vec<String> = Stage::ALL
            .iter()
            .map(|stage| {
                format!(
                    "{} {:.2}",
                    stage.as_str(),
                    self.seconds_by_stage[stage.as_str()]
                )
            })
            .collect();
        write!(f, "seconds   {} (summed over files)", stages.join(", "))
    }
}
