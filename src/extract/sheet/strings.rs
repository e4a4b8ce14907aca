//! The texts that cells share.

use std::cell::Cell;

use super::super::error::ExtractError;

/// Texts one after the other, each found by its place.
#[derive(Debug, Default)]
pub(super) struct Strings {
    text: String,
    ends: Vec<usize>,
    /// Whether a cell asked for one that does not exist.
    lost: Cell<bool>,
}

impl Strings {
    /// Adds to the open text.
    pub(super) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    /// Ends the open text.
    pub(super) fn end(&mut self) {
        self.ends.push(self.text.len());
    }

    /// The text at the place that a cell gives. One that is not there is damage: the cell would be empty without a word.
    pub(super) fn shared(&self, place: Option<usize>) -> Result<&str, ExtractError> {
        let text = place.and_then(|place| self.get(place));
        if text.is_none() {
            self.lost.set(true);
        }
        text.ok_or_else(|| ExtractError::corrupt("a text that its cells share is missing"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Whether a cell asked for one that does not exist since this was asked last.
    pub(super) fn take_lost(&self) -> bool {
        self.lost.take()
    }

    pub(super) fn get(&self, place: usize) -> Option<&str> {
        let end = *self.ends.get(place)?;
        let start = match place.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..end)
    }
}
