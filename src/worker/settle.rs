//! One claimed file from its claim to the write that ends its lease.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tracing::Instrument;

use crate::{
    app::App,
    db::DbError,
    document::{FileId, Lease},
    failpoint::{self, Line},
    failure::{Code, Verdict},
    ingest::{IngestError, ingest},
    lease,
    metrics::{Outcome, Stage},
    objects::FetchError,
    shutdown::Shutdown,
    telemetry::Chain,
};

/// Claims of one file that may end without a word; a file that kills its worker each time ends here.
const MAX_LEASES_LOST: i32 = 20;
/// Wait before the first retry; doubles with each attempt.
const RETRY_AFTER: Duration = Duration::from_secs(2);
/// Longest wait before a retry.
const MAX_RETRY_AFTER: Duration = Duration::from_mins(5);
/// Wait after an outage that did not say how long it lasts.
const OUTAGE_WAIT: Duration = Duration::from_secs(10);
/// Pause before a settling write that failed is tried again.
const SETTLE_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// How a claim ended, told to whoever keeps the report.
#[derive(Clone, Debug)]
pub struct Settled {
    /// The file.
    pub file: FileId,
    /// `files.original_name`.
    pub name: String,
    /// What became of it.
    pub outcome: Outcome,
    /// The error, if there was one.
    pub code: Option<Code>,
    /// Chunks stored.
    pub chunks: usize,
    /// Storage refuses everything: nothing else is worth a try.
    pub storage_refused: bool,
}

/// How the work on a file stopped.
enum End {
    Committed(usize),
    Failed(IngestError),
    /// Past a limit: failed unread.
    Exhausted,
    Panicked,
    LeaseLost,
    Leaving,
}

/// Ingests a file while its lease is kept, then settles it.
pub(super) async fn work_on(app: Arc<App>, lease: Lease, shutdown: Shutdown) -> Settled {
    // Of the highest level, so that whatever is logged about a file names it.
    let span = tracing::error_span!("file", file.id = %lease.file, attempt = lease.attempts + 1);
    async {
        let end = AssertUnwindSafe(Box::pin(finish(&app, &lease, &shutdown)))
            .catch_unwind()
            .await
            .unwrap_or(End::Panicked);
        let storage_refused =
            matches!(end, End::Failed(IngestError::Fetch(FetchError::Refused(_))));
        let (outcome, code, chunks) = settle(&app, &lease, end, &shutdown).await;
        app.metrics.settled(outcome, code, chunks);
        Settled {
            file: lease.file,
            name: lease.name.clone(),
            outcome,
            code,
            chunks,
            storage_refused,
        }
    }
    .instrument(span)
    .await
}

/// Works on a file as far as it goes: to its commit, a failure, the loss of the lease, or the end of our time.
async fn finish(app: &App, lease: &Lease, shutdown: &Shutdown) -> End {
    if lease.leases_lost > MAX_LEASES_LOST || lease.attempts >= app.max_attempts {
        return End::Exhausted;
    }
    let ingested = tokio::select! {
        biased;
        ingested = ingest(app, lease) => ingested,
        () = lease::keep(&app.db, lease, app.lease_for) => return End::LeaseLost,
        () = shutdown.leaving() => return End::Leaving,
    };
    // The commit is not raced against the keeper: its lock on the row is the lease then, for which a renewal would wait, and
    // before that a small file is in a line that moves by a transaction at a time.
    let committed = match ingested {
        Ok(ingested) => {
            let ingested = Arc::new(ingested);
            let commit = app.db.commit(lease, &ingested);
            let committed = app.metrics.time(Stage::Commit, commit).await;
            if let Err(DbError::ModelChanged) = committed {
                app.model_changed.notify_one();
            }
            committed
                .map(|()| ingested.chunked.chunks.len())
                .map_err(IngestError::Commit)
        }
        Err(error) => Err(error),
    };
    committed.map_or_else(End::Failed, End::Committed)
}

/// The write that ends the lease.
enum Ending {
    Nothing,
    Release,
    Retry {
        charge: i32,
        after: Duration,
        code: Option<Code>,
        message: String,
    },
    Reject {
        charge: i32,
        code: Code,
        message: String,
    },
}

/// Writes what became of the file and says so in one line.
async fn settle(
    app: &App,
    lease: &Lease,
    end: End,
    shutdown: &Shutdown,
) -> (Outcome, Option<Code>, usize) {
    let (ending, result) = decide(lease, app.max_attempts, &end);
    log(&end, &result);
    let death = match &end {
        End::Failed(error) => error.death(),
        End::Committed(_) | End::Exhausted | End::Panicked | End::LeaseLost | End::Leaving => None,
    };
    let written = tokio::select! {
        written = write(app, lease, &ending, death) => written,
        () = shutdown.overtime() => {
            tracing::warn!("left unsettled; the file comes due again when its lease runs out");
            return (Outcome::Lost, None, 0);
        }
    };
    match written {
        Ok(()) => result,
        Err(DbError::LeaseLost) => {
            tracing::warn!("the lease is somebody else's now; nothing was written");
            (Outcome::Lost, None, 0)
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "could not settle; the file comes due again when its lease runs out");
            (Outcome::Lost, None, 0)
        }
    }
}

/// What an end means for the file: the write, and what to report.
fn decide(lease: &Lease, max_attempts: i32, end: &End) -> (Ending, (Outcome, Option<Code>, usize)) {
    let (verdict, message) = match end {
        End::Committed(chunks) => return (Ending::Nothing, (Outcome::Completed, None, *chunks)),
        End::LeaseLost => return (Ending::Nothing, (Outcome::Lost, None, 0)),
        End::Leaving => return (Ending::Release, (Outcome::Released, None, 0)),
        End::Exhausted => {
            let message = format!(
                "given up after {} failures and {} lost leases; if the file is whole, retry it",
                lease.attempts, lease.leases_lost
            );
            let ending = Ending::Reject {
                charge: 0,
                code: Code::AttemptsExhausted,
                message,
            };
            return (ending, (Outcome::Failed, Some(Code::AttemptsExhausted), 0));
        }
        End::Panicked => (
            Verdict::Retry { code: None },
            "the worker failed on this file; it will be tried again".to_owned(),
        ),
        End::Failed(error) => (error.verdict(lease), error.public_message()),
    };
    match verdict {
        Verdict::Abandon => (Ending::Nothing, (Outcome::Lost, None, 0)),
        Verdict::Reject { code } => (
            Ending::Reject {
                charge: 1,
                code,
                message,
            },
            (Outcome::Failed, Some(code), 0),
        ),
        Verdict::Wait { code, after } => {
            // The far side's wish was for one request; the whole file is fetched and read again for it.
            let after = after.map_or(OUTAGE_WAIT, |after| after.max(RETRY_AFTER));
            (
                Ending::Retry {
                    charge: 0,
                    after,
                    code,
                    message,
                },
                (Outcome::Retried, code, 0),
            )
        }
        Verdict::Retry { code } if lease.attempts + 1 >= max_attempts => {
            let code = code.unwrap_or(Code::AttemptsExhausted);
            let message = format!("{message} (given up after {max_attempts} attempts)");
            (
                Ending::Reject {
                    charge: 1,
                    code,
                    message,
                },
                (Outcome::Failed, Some(code), 0),
            )
        }
        Verdict::Retry { code } => {
            let doubled = RETRY_AFTER * 2_u32.saturating_pow(lease.attempts.unsigned_abs());
            (
                Ending::Retry {
                    charge: 1,
                    after: doubled.min(MAX_RETRY_AFTER),
                    code,
                    message,
                },
                (Outcome::Retried, code, 0),
            )
        }
    }
}

/// One line per outcome, with the chain of causes, here and nowhere else.
fn log(end: &End, (outcome, code, chunks): &(Outcome, Option<Code>, usize)) {
    let code = code.map(Code::as_str);
    match (end, outcome) {
        (_, Outcome::Completed) => tracing::info!(chunks, "committed"),
        (End::Failed(error), Outcome::Failed) => {
            tracing::error!(code, error = %Chain(error), "failed");
        }
        (End::Failed(error), Outcome::Retried) => {
            tracing::warn!(code, error = %Chain(error), "will retry");
        }
        (_, Outcome::Failed) => tracing::error!(code, "failed"),
        (_, Outcome::Retried) => tracing::error!("panicked; will retry"),
        (_, Outcome::Released) => tracing::info!("released"),
        (_, Outcome::Lost) => tracing::warn!("lease lost"),
    }
}

/// Tries until the database answers or the lease is over; then the file comes due by itself.
async fn write(
    app: &App,
    lease: &Lease,
    ending: &Ending,
    death: Option<&[u8; 32]>,
) -> Result<(), DbError> {
    let give_up_at = Instant::now() + app.lease_for;
    loop {
        let noted = match death {
            Some(sha256) => app.db.note_death(lease, sha256).await,
            None => Ok(()),
        };
        let written = match ending {
            _ if noted.is_err() => noted,
            Ending::Nothing => return Ok(()),
            Ending::Release => {
                failpoint::reach(Line::Releasing);
                app.db.release(lease).await
            }
            Ending::Retry {
                charge,
                after,
                code,
                message,
            } => {
                failpoint::reach(Line::Retrying);
                app.db
                    .retry(
                        lease,
                        *charge,
                        *after,
                        code.map(|code| (code, message.as_str())),
                    )
                    .await
            }
            Ending::Reject {
                charge,
                code,
                message,
            } => {
                failpoint::reach(Line::Rejecting);
                app.db.reject(lease, *charge, *code, message).await
            }
        };
        match written {
            Err(DbError::Unavailable(_)) if Instant::now() < give_up_at => {
                tokio::time::sleep(SETTLE_AGAIN_AFTER).await;
            }
            written => {
                failpoint::reach(Line::Settled);
                return written;
            }
        }
    }
}
