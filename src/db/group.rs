//! Commits of small files that finish at the same time share a transaction: for a note of a kilobyte, the round trips of
//! its own would cost more than all the rest.
//!
//! There is no task for it. Whoever comes first leads: it commits what has come meanwhile, in the name of all, and each
//! takes its answer. If the leader is dropped, or the shared transaction fails, each commits alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::{Db, DbError, Ingested};
use crate::document::Lease;

/// Chunks of the files that share a transaction, at most: it stays short, and a long file is not held up by others.
const ROWS: usize = 200;

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
    answer: oneshot::Sender<bool>,
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
        if ingested.chunks.len() < ROWS
            && let Some(is_ours) = self.commit_together(lease, ingested).await
        {
            return fenced(is_ours);
        }
        let alone = self.commit_all(&[(lease, &**ingested)]).await?;
        fenced(alone == [true])
    }

    /// Whether the lease was ours; `None` if the file is not committed yet.
    async fn commit_together(&self, lease: &Lease, ingested: &Arc<Ingested>) -> Option<bool> {
        let (answer, mut answered) = oneshot::channel();
        self.group.waiting().push(Waiting {
            lease: lease.clone(),
            ingested: Arc::clone(ingested),
            answer,
        });
        let _leading = self.group.leading.lock().await;
        loop {
            // Another leader has answered, or has gone and taken the question along.
            match answered.try_recv() {
                Ok(is_ours) => return Some(is_ours),
                Err(oneshot::error::TryRecvError::Closed) => return None,
                Err(oneshot::error::TryRecvError::Empty) => {}
            }
            self.commit_group().await;
        }
    }

    /// Commits what waits, or the first of it; who waited for a group that fails finds its question gone.
    async fn commit_group(&self) {
        let group = self.group.take();
        let files: Vec<_> = group
            .iter()
            .map(|waiting| (&waiting.lease, &*waiting.ingested))
            .collect();
        match self.commit_all(&files).await {
            Ok(ours) => {
                for (waiting, is_ours) in group.into_iter().zip(ours) {
                    // Nobody listens if the file was given up meanwhile.
                    let _sent = waiting.answer.send(is_ours);
                }
            }
            Err(error) => {
                tracing::debug!(files = group.len(), error = %error, "a shared commit failed; each file tries alone");
            }
        }
    }
}

impl Group {
    /// The first that waits, with those behind it that fit into a transaction.
    fn take(&self) -> Vec<Waiting> {
        let mut waiting = self.waiting();
        let mut rows = 0;
        let fits = |waiting: &&Waiting| {
            rows += waiting.ingested.chunks.len();
            rows <= ROWS
        };
        let count = waiting.iter().take_while(fits).count().max(1);
        let count = count.min(waiting.len());
        waiting.drain(..count).collect()
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Waiting>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn fenced(is_ours: bool) -> Result<(), DbError> {
    if is_ours {
        Ok(())
    } else {
        Err(DbError::LeaseLost)
    }
}
