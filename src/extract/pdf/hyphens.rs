//! Words that a line's end cut in two, `hyphen- ation`, are put together where that is certain.
//!
//! The rest of the document is the witness: the whole word occurs elsewhere, or its first half never does alone.

use std::collections::HashSet;

use crate::document::{BlockKind, Page};

/// After these a hyphen stands for the rest of a word: `pre- and post-war`, `Vor- und Nachteile`.
const CONJUNCTIONS: [&str; 18] = [
    "and", "or", "to", "nor", "und", "oder", "bis", "sowie", "et", "ou", "y", "o", "e", "i", "en",
    "of", "och", "og",
];

/// Before these a hyphen is of the word: `well-known`, `twenty-first`.
const COMPOUNDS: [&str; 26] = [
    "well", "self", "long", "short", "half", "high", "low", "full", "part", "time", "cross", "ex",
    "non", "all", "ill", "pre", "post", "twenty", "thirty", "forty", "fifty", "sixty", "seventy",
    "eighty", "ninety", "co",
];

/// Longer halves are none of a word.
const MAX_HALF_BYTES: usize = 40;

/// Joins the halves of cut words.
pub(super) fn join(pages: &mut [Page]) {
    let witness = Witness::of(pages);
    let blocks = pages.iter_mut().flat_map(|page| &mut page.blocks);
    for block in blocks.filter(|block| block.kind != BlockKind::Code && block.text.contains("- ")) {
        block.text = mend(&block.text, &witness);
    }
}

/// The words of a document that no line's end cut, in lower case.
struct Witness(HashSet<String>);

impl Witness {
    fn of(pages: &[Page]) -> Self {
        let mut words = HashSet::new();
        if !pages
            .iter()
            .flat_map(|page| &page.blocks)
            .any(|block| block.text.contains("- "))
        {
            return Self(words);
        }
        for block in pages.iter().flat_map(|page| &page.blocks) {
            let mut after_cut = false;
            for word in block.text.split_whitespace() {
                let cut = word.ends_with('-');
                if !cut && !after_cut {
                    words.insert(bare(word).to_lowercase());
                }
                after_cut = cut;
            }
        }
        Self(words)
    }

    /// What the halves of a cut word were, if that is certain.
    fn whole(&self, left: &str, right: &str) -> Option<String> {
        if left.len().max(right.len()) > MAX_HALF_BYTES {
            return None;
        }
        let (left, tail) = (left.trim_end_matches('-'), bare(right));
        let head = bare(left);
        let letters = |half: &str| half.chars().all(char::is_alphabetic);
        let halves = head.chars().count() > 1 && letters(head) && letters(tail);
        if !halves || !tail.starts_with(char::is_lowercase) || CONJUNCTIONS.contains(&tail) {
            return None;
        }
        let (head, tail) = (head.to_lowercase(), tail.to_lowercase());
        if self.0.contains(&format!("{head}{tail}")) {
            return Some(format!("{left}{right}"));
        }
        if self.0.contains(&format!("{head}-{tail}")) {
            return Some(format!("{left}-{right}"));
        }
        // `long-term` is as likely where `term` stands nowhere else: the first half must be no word.
        let cut = !self.0.contains(&head) && !COMPOUNDS.contains(&&*head);
        cut.then(|| format!("{left}{right}"))
    }
}

fn mend(text: &str, witness: &Witness) -> String {
    let lines = text.split('\n').map(|line| mend_line(line, witness));
    lines.collect::<Vec<String>>().join("\n")
}

fn mend_line(line: &str, witness: &Witness) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in line.split(' ') {
        let whole = words
            .last()
            .filter(|last| last.ends_with('-'))
            .and_then(|last| witness.whole(last, word));
        match (whole, words.last_mut()) {
            (Some(whole), Some(last)) => *last = whole,
            _ => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

/// A word without the marks around it.
fn bare(word: &str) -> &str {
    word.trim_matches(|c: char| !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use crate::document::Block;

    use super::*;

    fn joined(text: &str) -> String {
        let block = Block {
            kind: BlockKind::Paragraph,
            text: text.to_owned(),
        };
        let mut pages = [Page {
            number: Some(1),
            blocks: vec![block],
        }];
        join(&mut pages);
        pages[0].blocks[0].text.clone()
    }

    #[test]
    fn a_word_that_occurs_whole_is_joined() {
        assert_eq!(
            joined("In for them. (In- formation, information."),
            "In for them. (Information, information."
        );
        assert_eq!(
            joined("a well- known, well-known man"),
            "a well-known, well-known man"
        );
    }

    #[test]
    fn halves_that_never_stand_alone_are_joined() {
        assert_eq!(
            joined("the ner- vously exe- cuted plan"),
            "the nervously executed plan"
        );
    }

    #[test]
    fn uncertain_hyphens_stay() {
        assert_eq!(
            joined("a well- known, twenty- first word"),
            "a well- known, twenty- first word"
        );
        let text = "age- adjusted rates: age, adjusted; pre- and post-war; Vor- und Nachteile; Smith- Jones; 3- to 5-fold; a - b";
        assert_eq!(joined(text), text);
    }
}
