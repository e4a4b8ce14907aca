//! Children between two files.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::process::Process;

/// A child that holds more after a file is not kept: fresh ones hold a few megabytes.
const MAX_KEPT_BYTES: u64 = 48 << 20;

/// As many as were at work at a time, which is bounded.
#[derive(Debug, Default)]
pub(super) struct Idle {
    processes: Mutex<Vec<Process>>,
}

impl Idle {
    /// The one that was used last, whose memory is warm.
    pub(super) fn take(&self) -> Option<Process> {
        let mut processes = self.lock();
        while let Some(mut process) = processes.pop() {
            if process.is_ready() {
                return Some(process);
            }
        }
        None
    }

    /// Keeps a child for the next file, unless it is out of step or has grown.
    pub(super) fn keep(&self, mut process: Process) {
        let has_grown = process.memory().is_none_or(|bytes| bytes > MAX_KEPT_BYTES);
        if !has_grown && process.is_ready() {
            self.lock().push(process);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Process>> {
        // No code panics while it holds the lock.
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
