//! Places for files that wait for their vectors. Whoever has one is not in hand: others are read meanwhile.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// What the smallest file counts, in tokens: it holds a lease and a task, too.
const MIN_TOKENS: u32 = 500;

/// Places for so many tokens: those of all requests that may be in flight. That bounds the texts and vectors that wait in
/// memory: 1,536 dimensions for every 200 tokens are 8 MB for the usual 256,000.
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
    pub(super) fn new(tokens: usize) -> Self {
        Self {
            tokens: Arc::new(Semaphore::new(tokens)),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_by_tokens_and_come_back() {
        let places = Places::new(2 * MIN_TOKENS as usize);
        let taken = places.taken();
        let long = places.take(2 * MIN_TOKENS).expect("room");
        assert!(places.take(1).is_none(), "the room is gone");
        drop(long);
        let notes = [places.take(1), places.take(1)];
        assert!(notes.iter().all(Option::is_some));
        assert_eq!(*taken.borrow(), 2);
        assert!(places.take(1).is_none(), "a small file counts as well");
        drop(notes);
        assert_eq!(*taken.borrow(), 0);
        assert!(
            places.take(2 * MIN_TOKENS + 1).is_none(),
            "it stays in hand"
        );
    }
}
