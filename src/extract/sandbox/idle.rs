//! Children between two files.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::process::Process;
use crate::document::UserId;

/// A child that holds more after a file is not kept: fresh ones hold a few megabytes.
const MAX_KEPT_BYTES: u64 = 32 << 20;

/// Children by whose files they read.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// The one that was used last is last.
    processes: Mutex<Vec<(UserId, Process)>>,
}

impl Idle {
    /// The one of this owner's that was used last, whose memory is warm. Without one there will be another child: of those
    /// that are kept no more than `room` stay then.
    pub(super) fn take(&self, owner: UserId, room: usize) -> Option<Process> {
        let mut processes = self.lock();
        while let Some(place) = processes.iter().rposition(|(whose, _)| *whose == owner) {
            let (_, mut process) = processes.remove(place);
            if process.is_ready() {
                return Some(process);
            }
        }
        let surplus = processes.len().saturating_sub(room);
        processes.drain(..surplus);
        None
    }

    /// Keeps a child for its owner's next file, unless it is out of step or has grown.
    pub(super) fn keep(&self, owner: UserId, mut process: Process) {
        let has_grown = process.memory().is_none_or(|bytes| bytes > MAX_KEPT_BYTES);
        if !has_grown && process.is_ready() {
            self.lock().push((owner, process));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(UserId, Process)>> {
        // No code panics while it holds the lock.
        self.processes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
