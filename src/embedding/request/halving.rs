//! Whether what is refused whole and accepted in halves was too large, or had a text at fault in it. Pure.

/// Follows one batch through its refusals, in the order of its texts.
///
/// A refused part goes on as two halves. If both pass, nothing is wrong with the texts: their sum was too much. If one
/// is refused, the question is asked again of its halves; a text that is refused alone explains every refusal above it.
#[derive(Debug, Default)]
pub(super) struct Halving {
    open: Option<Open>,
}

/// The smallest part that was refused, while its halves are tried.
#[derive(Debug, Default)]
struct Open {
    passed: usize,
    largest: usize,
}

impl Halving {
    /// A part of several texts was refused, and its halves come next.
    pub(super) fn refused(&mut self) {
        self.open = Some(Open::default());
    }

    /// A text was refused alone.
    pub(super) fn blamed(&mut self) {
        self.open = None;
    }

    /// A part of so many texts passed: the number of texts that the provider takes, if this shows it.
    pub(super) fn passed(&mut self, texts: usize) -> Option<usize> {
        let open = self.open.as_mut()?;
        open.passed += 1;
        open.largest = open.largest.max(texts);
        if open.passed < 2 {
            return None;
        }
        self.open.take().map(|open| open.largest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Sends texts to a server that takes so many at once and refuses the bad ones: which were blamed, what was learned.
    fn send(bad: &[bool], takes: usize) -> (Vec<usize>, Option<usize>) {
        let (mut halving, mut blamed, mut learned) = (Halving::default(), Vec::new(), None);
        let mut parts = vec![(0, bad.len())];
        while let Some((from, until)) = parts.pop() {
            let texts = until - from;
            if texts <= takes && !bad[from..until].contains(&true) {
                learned = halving.passed(texts).or(learned);
            } else if texts == 1 {
                halving.blamed();
                blamed.push(from);
            } else {
                halving.refused();
                let middle = from + texts / 2;
                parts.extend([(middle, until), (from, middle)]);
            }
        }
        (blamed, learned)
    }

    #[test]
    fn a_limit_is_learned_as_the_largest_part_that_passed() {
        assert_eq!(send(&[false; 160], 32), (vec![], Some(20)));
        assert_eq!(send(&[false; 32], 32), (vec![], None));
        assert_eq!(send(&[false; 7], 1), (vec![], Some(1)));
    }

    proptest! {
        #[test]
        fn a_text_at_fault_is_found_and_teaches_no_limit(bad in prop::collection::vec(prop::bool::weighted(0.05), 1..200)) {
            let (blamed, learned) = send(&bad, usize::MAX);
            let wanted: Vec<usize> = (0..bad.len()).filter(|at| bad[*at]).collect();
            prop_assert_eq!(blamed, wanted);
            prop_assert_eq!(learned, None);
        }

        #[test]
        fn what_is_learned_always_passes(bad in prop::collection::vec(prop::bool::weighted(0.02), 1..200), takes in 1_usize..100) {
            let (_, learned) = send(&bad, takes);
            prop_assert!(learned.is_none_or(|learned| learned <= takes && 2 * learned > takes));
        }
    }
}
