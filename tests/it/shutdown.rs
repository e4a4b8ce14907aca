//! The end of a worker: the first signal finishes what is in hand, the second hands it back, and nothing is charged.

use std::process::{ExitStatus, Stdio};

use orion_ingest::{metrics::Outcome, shutdown::Shutdown};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStderr},
    time::timeout,
};

use crate::{
    stack::Stack,
    work::{PATIENCE, Row},
};

fn handed_back(row: &Row) {
    assert_eq!(row.outcome(), ("pending", None), "{row:?}");
    assert_eq!((row.attempts, row.leases_lost, row.token), (0, 0, None));
    assert!(row.due_in <= 0.0, "{row:?}");
}

/// The program in another process.
struct Process {
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
}

impl Process {
    fn start(stack: &Stack, arguments: &[&str], grace: &str) -> Self {
        let mut child = stack
            .program(arguments)
            .env("SHUTDOWN_GRACE", grace)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a process");
        let log = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        Self { child, log }
    }

    fn signal(&self, signal: Signal) {
        let id = self.child.id().expect("a running process");
        let id = Pid::from_raw(i32::try_from(id).expect("an id")).expect("an id");
        kill_process(id, signal).expect("a running process");
    }

    /// Waits until its log says this.
    async fn says(&mut self, words: &str) {
        let said = async {
            while let Some(line) = self.log.next_line().await.expect("a log") {
                if line.contains(words) {
                    return;
                }
            }
            panic!("it ended without saying {words:?}");
        };
        timeout(PATIENCE, said)
            .await
            .unwrap_or_else(|_| panic!("it never said {words:?}"));
    }

    async fn end(mut self) -> ExitStatus {
        // Read to its end, else a full pipe would keep the process.
        let end = async {
            while let Ok(Some(_)) = self.log.next_line().await {}
            self.child.wait().await.expect("an end")
        };
        timeout(PATIENCE, end).await.expect("an end")
    }
}

#[tokio::test]
async fn the_first_signal_finishes_what_is_in_hand_and_begins_nothing() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let in_hand = stack.file(user, "a.txt", "tea").await;
    let worker = stack
        .worker_with(|config| config.worker.concurrency = 1)
        .await;
    let mut watch = stack.watch().await;
    stack.provider().faults.hold();
    let shutdown = Shutdown::default();
    let (settled, next) = tokio::join!(worker.serve(&shutdown), async {
        watch.until_claimed(in_hand).await;
        shutdown.finish();
        let next = stack.file(user, "b.txt", "bread").await;
        stack.provider().faults.release();
        next
    });
    assert_eq!(settled.len(), 1);
    assert_eq!(stack.state(in_hand).await.outcome(), ("completed", None));
    handed_back(&stack.state(next).await);
}

#[tokio::test]
async fn the_second_signal_hands_back_what_is_in_hand() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let mut files = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        files.push(stack.file(user, name, name).await);
    }
    let worker = stack.worker().await;
    stack.provider().faults.hold();
    let shutdown = Shutdown::default();
    let (settled, ()) = tokio::join!(worker.serve(&shutdown), async {
        stack.provider().seen(|counts| counts.requests > 0).await;
        shutdown.finish();
        shutdown.leave();
    });
    assert_eq!(settled.len(), 3);
    assert!(
        settled
            .iter()
            .all(|settled| settled.outcome == Outcome::Released),
        "{settled:#?}"
    );
    for file in files {
        handed_back(&stack.state(file).await);
    }
    stack.provider().faults.release();
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn run_ends_with_0_after_it_has_finished_what_was_in_hand() {
    for signal in [Signal::TERM, Signal::INT] {
        let stack = Stack::new().await;
        let file = stack.file(stack.user().await, "a.txt", "tea").await;
        stack.provider().faults.hold();
        let mut process = Process::start(&stack, &["run"], "50s");
        stack.provider().seen(|counts| counts.requests == 1).await;
        process.signal(signal);
        process.says("finishing what is in hand").await;
        stack.provider().faults.release();
        assert_eq!(process.end().await.code(), Some(0));
        assert_eq!(stack.state(file).await.outcome(), ("completed", None));
        stack.keeps_its_promises().await;
    }
}

#[tokio::test]
async fn a_second_sigterm_hands_the_lease_back_and_run_still_ends_with_0() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    stack.provider().faults.hold();
    let mut process = Process::start(&stack, &[], "50s");
    stack.provider().seen(|counts| counts.requests == 1).await;
    process.signal(Signal::TERM);
    process.says("finishing what is in hand").await;
    process.signal(Signal::TERM);
    process.says("handing leases back").await;
    let mut watch = stack.watch().await;
    if stack.state(file).await.status == "processing" {
        watch.until(file, |row| row.status == "pending").await;
    }
    handed_back(&stack.state(file).await);
    // What was sent is waited for and booked, so that the next worker need not pay again.
    stack.provider().faults.release();
    assert_eq!(process.end().await.code(), Some(0));
    stack.worker().await.drain().await;
    assert_eq!(stack.state(file).await.outcome(), ("completed", None));
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn when_the_grace_is_over_leases_are_handed_back_without_a_second_signal() {
    let stack = Stack::new().await;
    let file = stack.file(stack.user().await, "a.txt", "tea").await;
    stack.provider().faults.hold();
    let mut process = Process::start(&stack, &["run"], "1ms");
    stack.provider().seen(|counts| counts.requests == 1).await;
    let mut watch = stack.watch().await;
    process.signal(Signal::TERM);
    process.says("time is up").await;
    if stack.state(file).await.status == "processing" {
        watch.until(file, |row| row.status == "pending").await;
    }
    handed_back(&stack.state(file).await);
    stack.provider().faults.release();
    assert_eq!(process.end().await.code(), Some(0));
}

#[tokio::test]
async fn a_drain_that_is_interrupted_says_what_is_left_and_ends_with_1() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let in_hand = stack.file(user, "a.txt", "tea").await;
    stack.provider().faults.hold();
    let mut process = Process::start(&stack, &["--drain"], "50s");
    stack.provider().seen(|counts| counts.requests == 1).await;
    process.signal(Signal::TERM);
    process.says("finishing what is in hand").await;
    let left = stack.file(user, "b.txt", "bread").await;
    stack.provider().faults.release();
    process.says("interrupted; left pending: 1 file").await;
    assert_eq!(process.end().await.code(), Some(1));
    assert_eq!(stack.state(in_hand).await.outcome(), ("completed", None));
    handed_back(&stack.state(left).await);
}

#[tokio::test]
async fn a_drain_that_is_interrupted_twice_hands_back_what_it_has_and_says_so() {
    let stack = Stack::new().await;
    let user = stack.user().await;
    let mut files = Vec::new();
    for name in ["a.txt", "b.txt", "c.txt"] {
        files.push(stack.file(user, name, name).await);
    }
    // What was charged before stays charged, and no more.
    stack.set(files[0], "processing_attempts = 2").await;
    stack.provider().faults.hold();
    let mut process = Process::start(&stack, &["--drain"], "50s");
    stack.provider().seen(|counts| counts.requests > 0).await;
    process.signal(Signal::TERM);
    process.says("finishing what is in hand").await;
    process.signal(Signal::TERM);
    process.says("handing leases back").await;
    process.says("interrupted; left pending: 3 files").await;
    assert_eq!(process.end().await.code(), Some(1));
    assert_eq!(stack.state(files[0]).await.attempts, 2);
    stack.set(files[0], "processing_attempts = 0").await;
    for file in files {
        handed_back(&stack.state(file).await);
    }
    stack.provider().faults.release();
    stack.keeps_its_promises().await;
}

#[tokio::test]
async fn an_idle_service_leaves_at_the_first_signal() {
    let stack = Stack::new().await;
    let mut process = Process::start(&stack, &["run"], "50s");
    process.says("working").await;
    process.signal(Signal::TERM);
    assert_eq!(process.end().await.code(), Some(0));
}
