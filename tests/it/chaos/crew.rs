//! The workers of a chaos test: processes that are killed, stopped and replaced.

use std::{
    fs,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use secrecy::ExposeSecret as _;
use tempfile::TempDir;
use tokio::{
    process::{Child, Command},
    time::{Instant, timeout},
};

use super::dice::Weather;
use crate::{stack::Stack, work::PATIENCE};

/// Workers at work.
pub(super) const WORKERS: usize = 3;
/// How much longer than its lease a worker is stopped.
const LONGER: Duration = Duration::from_secs(1);

/// A worker in another process.
#[derive(Debug)]
struct Worker {
    child: Child,
    log: PathBuf,
    /// While it is stopped: when it goes on.
    goes_on_at: Option<Instant>,
}

impl Worker {
    fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        if let Some(id) = id.and_then(Pid::from_raw) {
            kill_process(id, signal).expect("a process that nobody has waited for");
        }
    }

    /// Whether it had begun to work before it ended.
    fn worked(&self) -> bool {
        let log = fs::read_to_string(&self.log).expect("its log");
        log.contains("\"working\"")
    }
}

/// Workers on one database.
#[derive(Debug)]
pub(super) struct Crew {
    at_work: Vec<Worker>,
    /// They were asked to end, and do so by themselves.
    leaving: Vec<Worker>,
    logs: TempDir,
    weather: Weather,
    started: usize,
    /// What no worker should do.
    pub(super) wrongs: Vec<String>,
}

impl Crew {
    pub(super) fn start(stack: &Stack, weather: Weather) -> Self {
        let mut crew = Self {
            at_work: Vec::new(),
            leaving: Vec::new(),
            logs: TempDir::new().expect("a folder"),
            weather,
            started: 0,
            wrongs: Vec::new(),
        };
        for _ in 0..WORKERS {
            let worker = crew.spawn(stack, &["run"]);
            crew.at_work.push(worker);
        }
        crew
    }

    fn spawn(&mut self, stack: &Stack, arguments: &[&str]) -> Worker {
        self.started += 1;
        let log = self.logs.path().join(format!("{}.log", self.started));
        let stderr = fs::File::create(&log).expect("a log");
        let mut command = stack.program(arguments);
        self.settle_in(&mut command, stack);
        let child = command
            .stdout(Stdio::null())
            .stderr(stderr)
            .spawn()
            .expect("a process");
        Worker {
            child,
            log,
            goes_on_at: None,
        }
    }

    /// In chaos little patience with everything, so that much happens; where nothing is to be paid twice, enough for a busy
    /// machine. And every connection says whose it is.
    fn settle_in(&self, command: &mut Command, stack: &Stack) {
        let (answers, grace) = match self.weather {
            Weather::Outages => ("15s", "20s"),
            Weather::Chaos => ("5s", "2s"),
        };
        let url = stack.database_url();
        let whose = format!("options=-c%20chaos.worker%3D{}", self.started);
        command
            .env("DATABASE_URL", format!("{}&{whose}", url.expose_secret()))
            .env(
                "LEASE_SECONDS",
                self.weather.lease_for().as_secs().to_string(),
            )
            .env("POLL_INTERVAL", "500ms")
            .env("SHUTDOWN_GRACE", grace)
            .env("EMBEDDING_TIMEOUT", answers)
            .env("EMBEDDING_RPM", "3000")
            .env("EMBEDDING_TPM", "1000000")
            .env("EMBEDDING_BATCH_TOKENS", "4000")
            .env("LOG_FORMAT", "json");
    }

    /// `kill -9`, and another one takes its place; false if it is stopped.
    pub(super) async fn kill(&mut self, stack: &Stack, which: usize) -> bool {
        if self.at_work[which].goes_on_at.is_some() {
            return false;
        }
        let mut worker = self.replace(stack, which);
        worker.signal(Signal::KILL);
        worker.child.wait().await.expect("an end");
        true
    }

    /// Asks one to end, and another one takes its place; false if it is stopped.
    pub(super) fn terminate(&mut self, stack: &Stack, which: usize) -> bool {
        if self.at_work[which].goes_on_at.is_some() || !self.at_work[which].worked() {
            return false;
        }
        let worker = self.replace(stack, which);
        worker.signal(Signal::TERM);
        self.leaving.push(worker);
        true
    }

    /// Stops one for longer than its lease; false if it is stopped.
    pub(super) fn stop(&mut self, which: usize) -> bool {
        let worker = &mut self.at_work[which];
        if worker.goes_on_at.is_some() {
            return false;
        }
        worker.signal(Signal::STOP);
        worker.goes_on_at = Some(Instant::now() + self.weather.lease_for() + LONGER);
        true
    }

    fn replace(&mut self, stack: &Stack, which: usize) -> Worker {
        let next = self.spawn(stack, &["run"]);
        std::mem::replace(&mut self.at_work[which], next)
    }

    /// Lets those go on that were stopped for long enough, and replaces those that ended by themselves.
    pub(super) fn look_after(&mut self, stack: &Stack) {
        for which in 0..WORKERS {
            let worker = &mut self.at_work[which];
            if worker.goes_on_at.is_some_and(|at| at <= Instant::now()) {
                worker.goes_on_at = None;
                worker.signal(Signal::CONT);
            }
            let ended = worker.child.try_wait().expect("a child of ours");
            if let Some(status) = ended {
                let worker = self.replace(stack, which);
                // One that finds no database at its start leaves it to whoever started it.
                if status.code() != Some(1) || worker.worked() {
                    self.blame(&worker, "ended by itself", status);
                }
            }
        }
    }

    /// Asks all to end, and waits until they have.
    pub(super) async fn dismiss(&mut self) {
        for worker in &mut self.at_work {
            if worker.goes_on_at.is_some() {
                worker.signal(Signal::CONT);
            }
            worker.signal(Signal::TERM);
        }
        let everybody: Vec<Worker> = self
            .leaving
            .drain(..)
            .chain(self.at_work.drain(..))
            .collect();
        for mut worker in everybody {
            let ended = timeout(PATIENCE, worker.child.wait()).await;
            match ended.map(|ended| ended.expect("a child of ours")) {
                Ok(status) if status.code() == Some(0) || !worker.worked() => {}
                Ok(status) => self.blame(&worker, "did not end in order", status),
                Err(_) => self
                    .wrongs
                    .push(format!("a worker did not end: {}", worker.log.display())),
            }
        }
    }

    /// Empties the queue in fair weather.
    pub(super) async fn drain(&mut self, stack: &Stack) {
        let arguments = ["--drain", "--timeout", "5m", "--allow-failures"];
        let mut workers: Vec<Worker> = (0..2).map(|_| self.spawn(stack, &arguments)).collect();
        for worker in &mut workers {
            let status = worker.child.wait().await.expect("an end");
            if !status.success() {
                self.blame(worker, "did not empty the queue", status);
            }
        }
    }

    /// How often the logs say this.
    pub(super) fn logged(&self, words: &[&str]) -> usize {
        let logs = fs::read_dir(self.logs.path()).expect("the logs");
        let lines = |log: fs::DirEntry| fs::read_to_string(log.path()).expect("a log");
        let says = |line: &&str| words.iter().all(|word| line.contains(word));
        logs.map(|log| lines(log.expect("a log")).lines().filter(says).count())
            .sum()
    }

    /// Keeps the logs for whoever looks into a failure; where they are.
    pub(super) fn keep_logs(&mut self) -> PathBuf {
        self.logs.disable_cleanup(true);
        self.logs.path().to_owned()
    }

    fn blame(&mut self, worker: &Worker, what: &str, status: ExitStatus) {
        let log = fs::read_to_string(&worker.log).expect("its log");
        let lines: Vec<&str> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(5)..].join("\n  ");
        self.wrongs
            .push(format!("a worker {what} ({status}):\n  {last}"));
    }
}
