//! A filling as it goes, of all processes: a bar on a terminal, a line of the log now and then elsewhere.

use std::{
    convert::Infallible,
    io::{self, IsTerminal},
    time::Duration,
};

use indicatif::ProgressBar;
use tokio::time::{Instant, sleep};

use super::Filled;
use crate::{
    db::{Db, DbError, reembed::Reembedding},
    ops::progress::{LINE_EVERY, Screen, short},
};

const TEMPLATE: &str = "{spinner:.cyan} re-embedding {wide_bar:.cyan/dim} {pos}/{len} rows, {elapsed}, ETA {eta}\n  {msg}";

/// How often the database is asked.
const SHOW_EVERY: Duration = Duration::from_secs(2);

/// Shows how far it is while `work` goes on.
pub(super) async fn beside(
    screen: &Screen,
    db: &Db,
    work: impl Future<Output = Result<Filled, DbError>>,
) -> anyhow::Result<Filled> {
    let bar = screen.bar(0, TEMPLATE);
    let filled = tokio::select! {
        filled = work => filled,
        never = show(&bar, db) => match never {},
    };
    bar.finish_and_clear();
    Ok(filled?)
}

async fn show(bar: &ProgressBar, db: &Db) -> Infallible {
    let on_terminal = io::stderr().is_terminal();
    let mut line_at = Instant::now();
    let mut before: Option<(Instant, i64)> = None;
    loop {
        sleep(SHOW_EVERY).await;
        // Without an answer the last one is shown.
        let Ok(Some(run)) = db.reembedding().await else {
            continue;
        };
        let (began, done) = *before.get_or_insert((Instant::now(), run.rows_done));
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = (run.rows_done - done) as f64 / began.elapsed().as_secs_f64().max(0.001);
        bar.set_length(run.rows().unsigned_abs());
        bar.set_position(run.rows_done.unsigned_abs());
        bar.set_message(format!(
            "{} tokens, ${:.4}, {rate:.1} rows/s",
            short(run.tokens.unsigned_abs()),
            run.cost_usd
        ));
        if !on_terminal && line_at.elapsed() >= LINE_EVERY {
            line_at = Instant::now();
            tracing::info!(
                rows = run.rows_done,
                of = run.rows(),
                tokens = run.tokens,
                cost_usd = run.cost_usd,
                rows_per_second = (rate * 10.0).round() / 10.0,
                eta_seconds = bar.eta().as_secs(),
                "re-embedding"
            );
        }
    }
}

impl Reembedding {
    /// Rows to fill, as far as is known: files came and went since it was planned.
    fn rows(&self) -> i64 {
        self.rows_planned.unwrap_or_default().max(self.rows_done)
    }
}
