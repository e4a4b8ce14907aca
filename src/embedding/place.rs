//! Places for files that wait for their vectors. Whoever has one is not in hand: others are read meanwhile.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::Settings;

/// What the smallest file counts, in tokens: it holds a lease and a task, too.
const MIN_TOKENS: u32 = 500;

/// As many tokens as fill all requests that may be in flight. That bounds the texts and vectors that wait in memory: 1,536
/// dimensions for every 200 tokens are 8 MB for the usual 256,000.
#[derive(Clone, Debug)]
pub(super) struct Places {
    tokens: Arc<Semaphore>,
    taken: watch::Sender<usize>,
}

/// A file's place, until it is dropped.
#[derive(Debug)]
pub struct Place {
    _tokens: OwnedSemaphorePermit,
    taken: watch::Sender<usize>,
}

impl Places {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            tokens: Arc::new(Semaphore::new(
                settings.max_concurrency * settings.batch.tokens as usize,
            )),
            taken: watch::Sender::new(0),
        }
    }

    /// A place for a file of so many tokens, if there is one. A file that is larger than what is left stays in hand
    /// rather than keep the smaller ones out.
    pub(super) fn take(&self, tokens: u32) -> Option<Place> {
        let permit = Arc::clone(&self.tokens)
            .try_acquire_many_owned(tokens.max(MIN_TOKENS))
            .ok()?;
        self.taken.send_modify(|taken| *taken += 1);
        Some(Place {
            _tokens: permit,
            taken: self.taken.clone(),
        })
    }

    pub(super) fn taken(&self) -> watch::Receiver<usize> {
        self.taken.subscribe()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.send_modify(|taken| *taken -= 1);
    }
}
