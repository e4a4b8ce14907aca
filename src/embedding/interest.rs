//! Who still waits for a text: nobody pays for what nobody waits for any more.
//!
//! A file whose lease was lost is another worker's, which buys the same texts.

use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Held by a file while it waits.
#[derive(Debug, Default)]
pub(super) struct Waiting(Arc<()>);

impl Waiting {
    /// What tells whether it still does.
    pub(super) fn watch(&self) -> Weak<()> {
        Arc::downgrade(&self.0)
    }
}

/// The files that have asked for a text; clones are of the same text.
#[derive(Clone, Debug, Default)]
pub(super) struct Interest(Arc<Mutex<Vec<Weak<()>>>>);

impl Interest {
    /// Adds a file.
    pub(super) fn add(&self, file: Weak<()>) {
        self.files().push(file);
    }

    /// Whether any of them still waits. A text that no file ever asked for is a probe, which is sent all the same.
    pub(super) fn is_left(&self) -> bool {
        let files = self.files();
        files.is_empty() || files.iter().any(|file| file.strong_count() > 0)
    }

    fn files(&self) -> std::sync::MutexGuard<'_, Vec<Weak<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
