//! Which lines of a PDF are headings.
//!
//! The engine judges by fonts; the file's outline, where it has one, knows better, and what stands on page after page is
//! no heading at all.

use std::collections::{HashMap, HashSet};

use crate::document::{Block, BlockKind, Page};

/// A line on so many pages is a running head.
const MIN_RUNNING_PAGES: usize = 3;

/// Longer ones are paragraphs in large letters.
const MAX_HEADING_BYTES: usize = 250;

/// With so many words and a full stop at the end it is a sentence, with fewer an abbreviation: `Smith & Co.`
const MAX_ABBREVIATED_WORDS: usize = 4;

/// A word is as long in any script: three letters, or one of three bytes.
const MIN_WORD_BYTES: usize = 3;

/// An entry of an outline.
#[derive(Debug)]
pub(super) struct Title {
    /// As the reader of the file shows it.
    pub(super) text: String,
    /// Where it leads, 1-based.
    pub(super) page: u32,
    /// 1 to 6.
    pub(super) level: u8,
}

/// Makes headings of what the outline names, sets the others below them, and unmakes running heads.
pub(super) fn settle(pages: &mut [Page], outline: &[Title]) {
    let running = running(pages);
    let titles: HashMap<(u32, String), u8> = outline
        .iter()
        .map(|title| ((title.page, key(&title.text)), title.level))
        .collect();
    // The level of the last heading that the outline names.
    let mut above = 0;
    for page in pages {
        let number = page.number.unwrap_or_default();
        for block in &mut page.blocks {
            let named = named(block, number, &titles);
            let BlockKind::Heading { level } = block.kind else {
                if let Some(level) = named {
                    block.kind = BlockKind::Heading { level };
                    above = level;
                }
                continue;
            };
            if let Some(level) = named {
                block.kind = BlockKind::Heading { level };
                above = level;
            } else if !reads_as_heading(&block.text) || running.contains(&key(&block.text)) {
                block.kind = BlockKind::Paragraph;
            } else {
                block.kind = BlockKind::Heading {
                    level: level.max(above + 1).min(6),
                };
            }
        }
    }
}

/// Whether large letters make a heading of this: not of a sentence, of half a line or of the signs of a drawing.
fn reads_as_heading(text: &str) -> bool {
    let mut words = text.split_whitespace();
    let sentence = text.ends_with(['。', '、', ',', ';'])
        || text.ends_with('.')
            && words.by_ref().take(MAX_ABBREVIATED_WORDS + 1).count() > MAX_ABBREVIATED_WORDS;
    let mut runs = text.split(|c: char| !c.is_alphabetic());
    let worded = runs.any(|run| run.len() >= MIN_WORD_BYTES);
    text.len() <= MAX_HEADING_BYTES && worded && !sentence
}

/// The level of the outline's entry that this block is the target of.
fn named(block: &Block, page: u32, titles: &HashMap<(u32, String), u8>) -> Option<u8> {
    let short = block.text.len() <= MAX_HEADING_BYTES;
    let prose = matches!(
        block.kind,
        BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::ListItem
    );
    if titles.is_empty() || !short || !prose {
        return None;
    }
    titles.get(&(page, key(&block.text))).copied()
}

/// The headings that stand on many pages, by their keys.
fn running(pages: &[Page]) -> HashSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for page in pages {
        let headings = page
            .blocks
            .iter()
            .filter(|block| matches!(block.kind, BlockKind::Heading { .. }));
        let keys: HashSet<String> = headings.map(|block| key(&block.text)).collect();
        for key in keys {
            *counts.entry(key).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count >= MIN_RUNNING_PAGES);
    counts.into_keys().collect()
}

/// The letters of a heading: numbers differ between outline and page, and from one running head to the next.
pub(super) fn key(text: &str) -> String {
    text.chars()
        .filter(|c| c.is_alphabetic())
        .flat_map(char::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(number: u32, blocks: &[(BlockKind, &str)]) -> Page {
        let block = |(kind, text): &(BlockKind, &str)| Block {
            kind: *kind,
            text: (*text).to_owned(),
        };
        Page {
            number: Some(number),
            blocks: blocks.iter().map(block).collect(),
        }
    }

    fn heading(level: u8) -> BlockKind {
        BlockKind::Heading { level }
    }

    fn kinds(pages: &[Page]) -> Vec<BlockKind> {
        pages
            .iter()
            .flat_map(|page| &page.blocks)
            .map(|block| block.kind)
            .collect()
    }

    #[test]
    fn the_outline_makes_headings_and_other_headings_go_below_them() {
        let mut pages = [page(
            4,
            &[
                (BlockKind::Paragraph, "2.1  First Steps"),
                (heading(1), "Aside"),
                (BlockKind::Paragraph, "First steps are hard."),
            ],
        )];
        let outline = [Title {
            text: "First steps".to_owned(),
            page: 4,
            level: 2,
        }];
        settle(&mut pages, &outline);
        assert_eq!(
            kinds(&pages),
            [heading(2), heading(3), BlockKind::Paragraph]
        );
    }

    #[test]
    fn sentences_and_signs_in_large_letters_are_no_headings() {
        let texts = [
            "The wind vane turns freely in the wind.",
            "規則を自動的に学習する。",
            "0 G+A M 4",
            "first, open the box,",
        ];
        for text in texts {
            let mut pages = [page(1, &[(heading(2), text)])];
            settle(&mut pages, &[]);
            assert_eq!(kinds(&pages), [BlockKind::Paragraph], "{text}");
        }
        for text in ["3.1 Gauges", "研究", "Marlow & Teague Ltd.", "Why?"] {
            let mut pages = [page(1, &[(heading(2), text)])];
            settle(&mut pages, &[]);
            assert_eq!(kinds(&pages), [heading(2)], "{text}");
        }
    }

    #[test]
    fn what_stands_on_page_after_page_is_no_heading() {
        let mut pages: Vec<Page> = (1..4)
            .map(|number| {
                page(
                    number,
                    &[(
                        heading(2),
                        ["Report 1", "Report 2", "Report 3"][number as usize - 1],
                    )],
                )
            })
            .collect();
        pages.push(page(4, &[(heading(2), "Once")]));
        settle(&mut pages, &[]);
        let expected = [
            BlockKind::Paragraph,
            BlockKind::Paragraph,
            BlockKind::Paragraph,
            heading(2),
        ];
        assert_eq!(kinds(&pages), expected);
    }
}
