//! A drain as it goes: a bar on a terminal, a plain line now and then elsewhere. All of it on stderr.

use std::{
    cell::Cell,
    io::{self, IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

use crate::{app::App, ops::report::Tally};

/// How often a plain line is printed.
pub(crate) const LINE_EVERY: Duration = Duration::from_secs(10);
const TEMPLATE: &str = "{spinner:.cyan} {prefix} {wide_bar:.cyan/dim} {pos}/{len} files, {elapsed}, ETA {eta}\n  {msg}";

/// Where logs and the bar share a terminal without tearing each other.
#[derive(Clone, Debug)]
pub struct Screen(MultiProgress);

impl Screen {
    /// A screen that draws on stderr if that is a terminal.
    #[must_use]
    pub fn new() -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        Self(MultiProgress::with_draw_target(target))
    }

    /// A bar of this look on it.
    ///
    /// # Panics
    ///
    /// If the template is not one.
    #[must_use]
    pub fn bar(&self, length: u64, template: &str) -> ProgressBar {
        let bar = self.0.add(ProgressBar::new(length));
        bar.set_style(
            ProgressStyle::with_template(template)
                .expect("the template is valid")
                .progress_chars("━╸─"),
        );
        bar.enable_steady_tick(Duration::from_millis(100));
        bar
    }
}

impl Default for Screen {
    fn default() -> Self {
        Self::new()
    }
}

/// Writes a log line above the bar.
#[derive(Debug)]
pub struct AboveBar(MultiProgress);

impl Write for AboveBar {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl<'w> MakeWriter<'w> for Screen {
    type Writer = AboveBar;

    fn make_writer(&'w self) -> AboveBar {
        AboveBar(self.0.clone())
    }
}

/// The progress of a drain, or of the uploads before it.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    what: &'static str,
    on_terminal: bool,
    started_at: Instant,
    line_at: Cell<Instant>,
}

impl Progress {
    /// Starts with so many files to work on.
    #[must_use]
    pub fn draining(screen: &Screen, files: i64) -> Self {
        Self::new(screen, "draining", files.unsigned_abs())
    }

    /// Starts with so many files to upload.
    #[must_use]
    pub fn uploading(screen: &Screen, files: usize) -> Self {
        Self::new(screen, "uploading", files as u64)
    }

    fn new(screen: &Screen, what: &'static str, files: u64) -> Self {
        let bar = screen.bar(files, TEMPLATE);
        bar.set_prefix(what);
        Self {
            bar,
            what,
            on_terminal: io::stderr().is_terminal(),
            started_at: Instant::now(),
            line_at: Cell::new(Instant::now()),
        }
    }

    /// So many files are not done yet; those `in_hand` may be counted on either side.
    pub fn left(&self, tally: &Tally, files: i64, in_hand: usize) {
        let total = tally.ended() + files.unsigned_abs();
        if total.abs_diff(self.bar.length().unwrap_or(0)) > in_hand as u64 {
            self.bar.set_length(total);
        }
    }

    /// Shows how many are uploaded.
    pub fn uploaded(&self, files: usize) {
        self.bar.set_position(files as u64);
        if self.is_line_due() {
            tracing::info!(files, of = self.bar.length(), "{}", self.what);
        }
    }

    /// Shows how far it is.
    pub fn show(&self, app: &App, tally: &Tally) {
        let ended = tally.ended();
        // Files that came in since they were counted.
        if self.bar.length().is_some_and(|length| ended > length) {
            self.bar.set_length(ended);
        }
        self.bar.set_position(ended);
        let spend = app.embedder().totals();
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = ended as f64 / self.started_at.elapsed().as_secs_f64().max(0.001);
        if self.is_line_due() {
            tracing::info!(
                files = ended,
                of = self.bar.length(),
                failed = tally.failed(),
                chunks = tally.chunks(),
                tokens = spend.tokens,
                cost_usd = spend.cost_usd,
                files_per_second = (rate * 10.0).round() / 10.0,
                eta_seconds = self.bar.eta().as_secs(),
                "{}",
                self.what
            );
        }
        let failed = match tally.failed() {
            0 => String::new(),
            failed => format!("{failed} failed, "),
        };
        self.bar.set_message(format!(
            "{failed}{} chunks, {} tokens, ${:.4}, {rate:.1} files/s",
            short(tally.chunks()),
            short(spend.tokens),
            spend.cost_usd
        ));
    }

    /// Whether it is time for a plain line, which only what is no terminal gets.
    fn is_line_due(&self) -> bool {
        let is_due = !self.on_terminal && self.line_at.get().elapsed() >= LINE_EVERY;
        if is_due {
            self.line_at.set(Instant::now());
        }
        is_due
    }

    /// Clears the bar.
    pub fn end(self) {
        self.bar.finish_and_clear();
    }
}

/// `950`, `12.3k`, `4.5M`: a bar has to fit into 80 columns.
pub(crate) fn short(count: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a number for people")]
    let count = count as f64;
    if count < 1e3 {
        format!("{count}")
    } else if count < 1e6 {
        format!("{:.1}k", count / 1e3)
    } else {
        format!("{:.1}M", count / 1e6)
    }
}
