//! Commits of small files that finish at the same time share a transaction: for a note of a kilobyte, the round trips of
//! its own would cost more than all the rest.
//!
//! There is no task for it. Whoever comes first leads: it commits what has come meanwhile, in the name of all, and each
//! takes its answer. A file that has none (its row is locked or its lease lost, the transaction failed, the leader is
//! gone) commits alone, so that no file's trouble is another's.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Db, DbError, Ingested};
use crate::document::Lease;

/// Chunks of a small file, at most. A larger one's round trips are little beside the rows' own cost, and it had better not
/// wait for others.
const SMALL: usize = 8;

/// Chunks of the files that share a transaction, at most: it stays short.
const ROWS: usize = 64;

/// Files that wait for the commit under way to end.
#[derive(Debug, Default)]
pub(super) struct Group {
    waiting: Mutex<Vec<Waiting>>,
    /// Held by the leader.
    leading: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct Waiting {
    lease: Lease,
    ingested: Arc<Ingested>,
    committed: oneshot::Sender<()>,
}

impl Db {
    /// Fences, then replaces the file's chunks, then completes it: readers see the old ones or the new ones.
    ///
    /// # Errors
    ///
    /// [`DbError::LeaseLost`] before anything is written, [`DbError::ModelChanged`] when the active model is no longer
    /// the one that made the vectors, [`DbError::Unavailable`] when the database does not answer.
    ///
    /// # Panics
    ///
    /// If there is not one vector a chunk.
    pub async fn commit(&self, lease: &Lease, ingested: &Arc<Ingested>) -> Result<(), DbError> {
        if ingested.chunked.chunks.len() <= SMALL && self.commit_together(lease, ingested).await {
            return Ok(());
        }
        self.commit_one((lease, &**ingested)).await
    }

    /// Whether the file is committed; if not, nothing is written for it.
    async fn commit_together(&self, lease: &Lease, ingested: &Arc<Ingested>) -> bool {
        let (committed, mut is_committed) = oneshot::channel();
        self.group.waiting().push(Waiting {
            lease: lease.clone(),
            ingested: Arc::clone(ingested),
            committed,
        });
        let _leading = self.group.leading.lock().await;
        loop {
            match is_committed.try_recv() {
                Ok(()) => return true,
                Err(oneshot::error::TryRecvError::Closed) => return false,
                Err(oneshot::error::TryRecvError::Empty) => self.commit_group().await,
            }
        }
    }

    /// Commits the first that wait; who has no answer then finds its question gone.
    async fn commit_group(&self) {
        let group = self.group.take();
        let files: Vec<_> = group
            .iter()
            .map(|waiting| (&waiting.lease, &*waiting.ingested))
            .collect();
        match self.commit_unlocked(&files).await {
            Ok(committed) => {
                let committed = group.into_iter().zip(committed);
                for (waiting, _) in committed.filter(|(_, is_committed)| *is_committed) {
                    // Nobody listens if the file was given up meanwhile.
                    let _sent = waiting.committed.send(());
                }
            }
            Err(DbError::ModelChanged) => {}
            Err(error) => {
                tracing::warn!(files = group.len(), error = %error, "a shared commit failed; each file tries alone");
            }
        }
    }
}

impl Group {
    /// The first that wait and fit into a transaction, which one always does.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        waiting.retain(|waiting| !waiting.committed.is_closed());
        let mut rows = 0;
        let fits = |waiting: &&Waiting| {
            rows += waiting.ingested.chunked.chunks.len();
            rows <= ROWS
        };
        let count = waiting.iter().take_while(fits).count();
        waiting.drain(..count).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
