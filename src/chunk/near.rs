//! Sorted lists that are searched from where the last search ended: a text is cut from front to back, so that what is
//! asked for lies near what was asked for before. With small chunks such searches are a third of all the work.

use std::{cell::Cell, ops::Deref};

/// A sorted list.
#[derive(Debug)]
pub(super) struct Near<T> {
    items: Vec<T>,
    last: Cell<usize>,
}

impl<T> Near<T> {
    /// As that of slices; takes steps for the logarithm of the distance to the last answer.
    pub(super) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let (mut from, mut to, mut step) = (self.last.get(), self.last.get(), 1);
        while from > 0 && !is_before(&self.items[from - 1]) {
            to = from - 1;
            from = from.saturating_sub(step);
            step *= 2;
        }
        while self.items.get(to).is_some_and(&is_before) {
            from = to + 1;
            to = self.items.len().min(to + step);
            step *= 2;
        }
        let found = from + self.items[from..to].partition_point(is_before);
        self.last.set(found);
        found
    }

    /// The last item, which must stay above all others.
    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        self.items.last_mut()
    }

    /// Adds an item that none before it is above.
    pub(super) fn push(&mut self, item: T) {
        self.items.push(item);
    }
}

impl<T> Default for Near<T> {
    fn default() -> Self {
        Self::from(Vec::new())
    }
}

impl<T> From<Vec<T>> for Near<T> {
    fn from(items: Vec<T>) -> Self {
        Self {
            items,
            last: Cell::new(0),
        }
    }
}

impl<T> Deref for Near<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn whatever_was_asked_before_the_answer_is_that_of_slices(
            mut items in vec(0_u8..100, 0..60),
            asked in vec(0_u8..100, 1..20),
        ) {
            items.sort_unstable();
            let near = Near::from(items.clone());
            for limit in asked {
                let is_before = |item: &u8| *item < limit;
                prop_assert_eq!(near.partition_point(is_before), items.partition_point(is_before));
            }
        }
    }
}
