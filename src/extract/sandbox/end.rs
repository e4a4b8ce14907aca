//! How a child ended, and what it said then.

use std::{
    convert::Infallible, future, os::unix::process::ExitStatusExt as _, process::ExitStatus,
};

use rustix::process::Signal;
use tokio::{io::AsyncReadExt as _, process::ChildStderr};

/// The last of what a child wrote to its standard error, where a dying program says why.
#[derive(Debug)]
pub(super) struct Complaint {
    pipe: ChildStderr,
    kept: Vec<u8>,
}

impl Complaint {
    const KEPT_BYTES: usize = 4096;

    pub(super) const fn of(pipe: ChildStderr) -> Self {
        let kept = Vec::new();
        Self { pipe, kept }
    }

    /// Reads to the end; an error of the pipe is its end too.
    pub(super) async fn listen(&mut self) {
        let mut piece = [0; Self::KEPT_BYTES];
        while let Ok(got @ 1..) = self.pipe.read(&mut piece).await {
            self.kept.extend_from_slice(&piece[..got]);
            let surplus = self.kept.len().saturating_sub(Self::KEPT_BYTES);
            self.kept.drain(..surplus);
        }
    }

    pub(super) async fn listen_for_ever(&mut self) -> Infallible {
        self.listen().await;
        future::pending().await
    }

    /// Forgets what was said: it was of another file.
    pub(super) fn forget(&mut self) {
        self.kept.clear();
    }

    pub(super) fn words(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// How a child ended.
#[derive(Debug)]
pub(super) struct End {
    pub(super) status: ExitStatus,
    pub(super) complaint: String,
}

impl End {
    /// The kernel ends a process that has used up its processor time by this signal.
    pub(super) fn ran_out_of_time(&self) -> bool {
        self.status.signal() == Some(Signal::XCPU.as_raw())
    }

    /// The words are those of Rust's allocator, and of the child's own start, which asks for its stack.
    pub(super) fn lacked_memory(&self) -> bool {
        let refused = self.complaint.contains("memory allocation of")
            || self.complaint.contains("Cannot allocate memory")
            // A thread whose stack finds no room.
            || self.complaint.contains("Resource temporarily unavailable");
        refused && !self.status.success()
    }

    /// In our words: the complaint itself may quote the file.
    pub(super) fn describe(&self) -> String {
        let complaint = &self.complaint;
        if complaint.contains("has overflowed its stack") {
            return "the stack overflowed".into();
        }
        if let Some(place) = panic_place(complaint) {
            return format!("it panicked at {place}");
        }
        match (self.status.signal(), self.status.code()) {
            (Some(9), _) => "it was killed, perhaps by the kernel for want of memory".into(),
            (Some(signal), _) => format!("it died of signal {signal}"),
            (None, Some(0)) => "it left without an answer".into(),
            (None, code) => format!("it left with status {}", code.unwrap_or_default()),
        }
    }
}

/// Where the child's own panic hook says that it was, if that is a place in a source file and nothing else.
fn panic_place(complaint: &str) -> Option<&str> {
    let place = complaint
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix("panicked at "))?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-:".contains(c);
    (place.len() <= 200 && place.chars().all(plain)).then_some(place)
}
