//! The commands that work on the queue, and what a drain's end means to the caller.

use std::path::PathBuf;

use super::{
    Exit, ReportArgs, RunArgs,
    dispatch::{complain, print, signals},
};
use crate::{
    config::Config,
    db::Scope,
    document::UserId,
    ops::{
        ensure_user, files,
        progress::{Progress, Screen},
        provider_advice,
        report::Report,
        run::Worker,
        upload,
    },
    shutdown::Signals,
    telemetry::Chain,
    worker::Ending,
};

pub(super) async fn run(
    run: RunArgs,
    mut worker: Worker,
    screen: &Screen,
    signals: Signals,
) -> anyhow::Result<Exit> {
    if !run.drain {
        worker.listen().await?;
        worker.serve(signals).await?;
        return Ok(Exit::Done);
    }
    // A drain is often run beside a service that has the same settings.
    if let Err(error) = worker.listen().await {
        tracing::warn!(error = %Chain(error.as_ref()), "health and metrics are not served");
    }
    let (ending, report) = worker
        .drain(Scope::All, run.timeout, screen, signals)
        .await?;
    reported(ending, &report, &run.report)
}

pub(super) async fn ingest(
    paths: &[PathBuf],
    user: UserId,
    how: &ReportArgs,
    config: Config,
    screen: &Screen,
) -> anyhow::Result<Exit> {
    let worker = Worker::connect(config).await?;
    ensure_user(&worker.app.db, user).await?;
    let progress = Progress::uploading(screen, paths.len());
    let uploaded =
        upload::upload_all(&worker.app, user, paths, |done| progress.uploaded(done)).await;
    progress.end();
    let uploaded = uploaded?;
    let scope = Scope::Only {
        user,
        files: uploaded.files,
    };
    let (ending, mut report) = worker.drain(scope, None, screen, signals()?).await?;
    report.refused = uploaded.refused;
    reported(ending, &report, how)
}

/// Prints a drain's report and says what it means to the caller.
fn reported(ending: Ending, report: &Report, how: &ReportArgs) -> anyhow::Result<Exit> {
    print(how.json, report)?;
    let left = report
        .files_left
        .map_or_else(|| "some files".to_owned(), files);
    match ending {
        Ending::Stopped => complain(&format_args!("interrupted; left pending: {left}")),
        Ending::TimedOut => complain(&format_args!(
            "the time is up; left pending or processing: {left}; run it again, or give it longer"
        )),
        Ending::StorageRefused => complain(&format_args!(
            "storage refuses the credentials or has no such bucket; check STORAGE_BUCKET and the S3 credentials with `orion-ingest doctor`; left pending: {left}"
        )),
        Ending::Halted(state) => {
            complain(&format_args!(
                "{}; left pending: {left}",
                provider_advice(state)
            ));
        }
        Ending::Drained => {
            let failed = report.files_failed > 0 || !report.refused.is_empty();
            return Ok(if failed && !how.allow_failures {
                Exit::Failures
            } else {
                Exit::Done
            });
        }
    }
    Ok(Exit::Broken)
}
