//! A worker dies at each line that matters, one after the other: the next one finishes its files, readers see whole
//! editions, and nothing is paid twice but what was in flight.

use std::{
    os::unix::process::ExitStatusExt as _,
    process::{ExitStatus, Stdio},
};

use orion_ingest::{
    document::{FileId, UserId},
    embedded::storage::Fault,
    failpoint::{Line, VARIABLE},
};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{process::Child, time::timeout};

use crate::{
    stack::Stack,
    work::{PATIENCE, sections},
};

/// Far more than any number of tries.
const ALWAYS: usize = 1000;

/// What has to happen before a worker comes to the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Because {
    /// Every file comes there.
    Nothing,
    /// The provider takes its time.
    Slow,
    /// Storage fails.
    Outage,
    /// A file has nothing to read.
    Blank,
    /// It is told to leave at once.
    Signals,
}

impl Because {
    /// A third of it passes before it is renewed; a worker that is to die of something else must not lose it before.
    fn lease_seconds(self) -> &'static str {
        if self == Self::Slow { "6" } else { "60" }
    }

    fn of(line: Line) -> &'static [Self] {
        match line {
            Line::Claiming
            | Line::Claimed
            | Line::Fetched
            | Line::Extracted
            | Line::Chunked
            | Line::Recalled
            | Line::Reserved
            | Line::Recorded
            | Line::Answered
            | Line::Booking
            | Line::Booked
            | Line::Embedded
            | Line::Fenced
            | Line::Deleted
            | Line::Inserted
            | Line::Committing
            | Line::Committed => &[Self::Nothing],
            Line::Renewed => &[Self::Slow],
            Line::Retrying => &[Self::Outage],
            Line::Rejecting => &[Self::Blank],
            Line::Releasing => &[Self::Signals],
            Line::Settled => &[Self::Outage, Self::Blank, Self::Signals],
        }
    }
}

/// The files of one death.
struct Files {
    stack: Stack,
    /// An edition of it was there before.
    edited: FileId,
    /// All of them but the one without text.
    all: Vec<FileId>,
    blank: Option<FileId>,
}

impl Files {
    async fn new(because: Because) -> Self {
        let stack = Stack::new().await;
        stack.cut_by_sections().await;
        let user = stack.user().await;
        let edited = Self::edit(&stack, user).await;
        let book = stack.file(user, "book.md", sections(1800..1812)).await;
        let note = stack.file(user, "note.txt", "tea").await;
        let blank = match because {
            Because::Blank => Some(stack.file(user, "blank.txt", " \n ").await),
            Because::Nothing | Because::Slow | Because::Outage | Because::Signals => None,
        };
        Self {
            stack,
            edited,
            all: vec![edited, book, note],
            blank,
        }
    }

    /// A file that was ingested, changed since, and is to be ingested again.
    async fn edit(stack: &Stack, user: UserId) -> FileId {
        let file = stack.file(user, "edited.md", sections(1700..1703)).await;
        stack.worker().await.drain().await;
        stack.replace(file, &sections(1701..1705)).await;
        stack.ask_again(user, file).await;
        file
    }

    /// A worker that dies at the line.
    async fn die(&self, line: Line, because: Because) -> ExitStatus {
        let mut worker = self
            .stack
            .program(&["run"])
            .env(VARIABLE, format!("{line:?}"))
            .env("LEASE_SECONDS", because.lease_seconds())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a process");
        let (faults, provider) = (self.stack.storage_faults(), self.stack.provider());
        match because {
            Because::Nothing | Because::Blank => {}
            Because::Slow => provider.faults.hold(),
            Because::Outage => faults.next(
                ALWAYS,
                Fault::Status {
                    status: 500,
                    retry_after: None,
                },
            ),
            Because::Signals => {
                provider.faults.hold();
                let before = provider.counts().requests;
                provider.seen(|counts| counts.requests > before).await;
                terminate(&worker);
                terminate(&worker);
            }
        }
        let status = timeout(PATIENCE, worker.wait())
            .await
            .unwrap_or_else(|_| panic!("{line:?} was not reached"));
        faults.clear();
        provider.faults.release();
        status.expect("a child of ours")
    }
}

fn terminate(worker: &Child) {
    let id = worker.id().and_then(|id| i32::try_from(id).ok());
    let id = id.and_then(Pid::from_raw).expect("a running process");
    kill_process(id, Signal::TERM).expect("a running process");
}

async fn dies_at(line: Line, because: Because) {
    let files = Files::new(because).await;
    let stack = &files.stack;
    let status = files.die(line, because).await;
    assert_eq!(status.signal(), Some(9), "{line:?} after {because:?}");
    stack.keeps_its_promises().await;
    let edition = stack.chunks(files.edited).await.len();
    assert!([3, 4].contains(&edition), "{line:?}: {edition} chunks");
    stack
        .sql("update files set due_at = now() where processing_status in ('pending', 'processing')")
        .await;
    stack.worker().await.drain().await;
    for file in &files.all {
        let row = stack.state(*file).await;
        assert_eq!(row.outcome(), ("completed", None), "{line:?}: {row:?}");
        assert_eq!(row.attempts, 0, "{line:?}: {row:?}");
        let lost = row.leases_lost;
        assert!(lost <= 1 || because == Because::Slow, "{line:?}: {row:?}");
    }
    assert_eq!(stack.chunks(files.edited).await.len(), 4);
    if let Some(blank) = files.blank {
        let row = stack.state(blank).await;
        assert_eq!(row.outcome(), ("failed", Some("no_text")), "{line:?}");
        assert_eq!(row.attempts, 1, "{line:?}: {row:?}");
    }
    stack.keeps_its_promises().await;
    let (uncertain, counts) = (stack.books().await.uncertain, stack.provider().counts());
    assert!(
        counts.repeated_tokens <= uncertain.unsigned_abs(),
        "{line:?}: {uncertain} tokens in flight, {counts:?}"
    );
}

/// Every how manyth line a test takes, so that some run side by side.
const TESTS: usize = 4;

async fn die_at_each(first: usize) {
    for line in Line::ALL.into_iter().skip(first).step_by(TESTS) {
        for because in Because::of(line) {
            dies_at(line, *because).await;
        }
    }
}

#[tokio::test]
async fn a_worker_may_die_at_any_line_1() {
    die_at_each(0).await;
}

#[tokio::test]
async fn a_worker_may_die_at_any_line_2() {
    die_at_each(1).await;
}

#[tokio::test]
async fn a_worker_may_die_at_any_line_3() {
    die_at_each(2).await;
}

#[tokio::test]
async fn a_worker_may_die_at_any_line_4() {
    die_at_each(3).await;
}
