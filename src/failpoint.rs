//! Lines at which a test lets a worker die as `kill -9` would: nothing is finished, and nobody is told.
//!
//! A release build has nothing of it: no line can be armed there, and to reach one does nothing.

/// The variable that names a line, in a debug build.
#[cfg(debug_assertions)]
pub const VARIABLE: &str = "ORION_INGEST_DIE_AT";

/// A line on the way of a file, by what was done last or comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The claim is made and not committed.
    Claiming,
    /// The claim is committed, and no file is begun.
    Claimed,
    /// The object is here.
    Fetched,
    /// The text is here.
    Extracted,
    /// The chunks are here.
    Chunked,
    /// It is known which vectors the user has.
    Recalled,
    /// The budget lets a request leave.
    Reserved,
    /// The request is recorded and not sent.
    Recorded,
    /// The answer is here and not booked.
    Answered,
    /// The answer is booked and not committed.
    Booking,
    /// The booking is committed, and no file has its vectors.
    Booked,
    /// A file has its vectors.
    Embedded,
    /// The row is completed, and the chunks are the old ones.
    Fenced,
    /// The old chunks are deleted.
    Deleted,
    /// The new chunks are there.
    Inserted,
    /// All is written and not committed.
    Committing,
    /// The commit is done.
    Committed,
    /// A lease is renewed.
    Renewed,
    /// A file that failed for now is about to go back to the queue.
    Retrying,
    /// A file is about to be failed.
    Rejecting,
    /// A lease is about to be handed back.
    Releasing,
    /// What became of a file that was not committed is written.
    Settled,
}

impl Line {
    /// In the order of a file's way.
    pub const ALL: [Self; 22] = [
        Self::Claiming,
        Self::Claimed,
        Self::Fetched,
        Self::Extracted,
        Self::Chunked,
        Self::Recalled,
        Self::Reserved,
        Self::Recorded,
        Self::Answered,
        Self::Booking,
        Self::Booked,
        Self::Embedded,
        Self::Fenced,
        Self::Deleted,
        Self::Inserted,
        Self::Committing,
        Self::Committed,
        Self::Renewed,
        Self::Retrying,
        Self::Rejecting,
        Self::Releasing,
        Self::Settled,
    ];
}

#[cfg(debug_assertions)]
static ARMED: std::sync::OnceLock<Line> = std::sync::OnceLock::new();

/// Makes this process die at the line of this name; a name of none changes nothing.
#[cfg(debug_assertions)]
pub fn arm(name: &str) {
    let named = |line: &Line| format!("{line:?}") == name;
    if let Some(line) = Line::ALL.into_iter().find(named) {
        // Once for the life of the process; a second time would change nothing.
        ARMED.set(line).ok();
    }
}

/// Dies here if this is the line.
#[cfg(debug_assertions)]
pub fn reach(line: Line) {
    use rustix::process::{Signal, getpid, kill_process};
    if ARMED.get() == Some(&line) {
        // A process may always end itself.
        kill_process(getpid(), Signal::KILL).ok();
    }
}

/// Nothing in a release build.
#[cfg(not(debug_assertions))]
pub const fn reach(_: Line) {}
