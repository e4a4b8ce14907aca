//! Running heads and feet, which would cut sentences in two where a page ends and make every page answer to the title.
//!
//! Only what is certain goes: the same line at the same edge of most pages in a row, its number rising with the page's. It
//! stays where it stands first, so that nothing that a file says is lost.

use std::{collections::HashMap, ops::Range};

use crate::document::{Block, BlockKind, Page};

use super::super::docx::PAGE_WORDS;

/// So many blocks at each edge of a page may be running lines.
const EDGE: usize = 2;

/// Longer ones are paragraphs.
const MAX_BYTES: usize = 200;

/// A page of less besides is a title, a slide or a form, where the line may be the matter.
const MIN_PAGE_BYTES: usize = 300;

/// A line of fewer words besides its number names what the number counts.
const MIN_WORDS: usize = 3;

/// On so many pages a line must stand.
const MIN_PAGES: usize = 3;

/// A head may stand on every other page, and be left out where a chapter begins: of the pages from its first to its last
/// it stands on one in so many at least.
const MAX_GAP: usize = 3;

/// Where a line stands: at the top or at the bottom, how far from the edge, and what it says.
type Place = (bool, usize, String);

/// Takes out running lines but for the first of each.
pub(super) fn remove(pages: &mut [Page]) {
    let mut seen: HashMap<Place, Vec<usize>> = HashMap::new();
    for (at, page) in pages.iter().enumerate() {
        for (place, _) in edges(page) {
            let on = seen.entry(place).or_default();
            if on.last() != Some(&at) {
                on.push(at);
            }
        }
    }
    seen.retain(|_, on| runs(on));
    for (at, page) in pages.iter_mut().enumerate() {
        let gone: Vec<usize> = edges(page)
            .filter(|(place, _)| seen.get(place).is_some_and(|on| on.first() != Some(&at)))
            .map(|(_, block)| block)
            .collect();
        let mut place = 0;
        page.blocks.retain(|_| {
            place += 1;
            !gone.contains(&(place - 1))
        });
    }
}

/// Whether a line that stands on these pages, in order, is a running one.
fn runs(on: &[usize]) -> bool {
    let (Some(first), Some(last)) = (on.first(), on.last()) else {
        return false;
    };
    on.len() >= MIN_PAGES && on.len() * MAX_GAP > last - first
}

/// The short lines at both edges of a page in each of their forms, with their places among its blocks.
fn edges(page: &Page) -> impl Iterator<Item = (Place, usize)> {
    let number = u64::from(page.number.unwrap_or_default());
    let bytes: usize = page.blocks.iter().map(|block| block.text.len()).sum();
    let is_full = bytes >= MIN_PAGE_BYTES;
    let count = if is_full { page.blocks.len() } else { 0 };
    let top = (0..count.min(EDGE)).map(|at| (true, at, at));
    let bottom = (0..count.min(EDGE)).map(move |at| (false, at, count - 1 - at));
    top.chain(bottom).flat_map(move |(is_top, at, block)| {
        let forms = forms(&page.blocks[block], number).into_iter();
        forms.map(move |line| ((is_top, at, line), block))
    })
}

/// What a block says, if it is a short line: as it stands, and with its first or last number as the distance from the
/// page's. Other numbers stay, so that they make their lines differ.
fn forms(block: &Block, page: u64) -> Vec<String> {
    let text = &block.text;
    let prose = matches!(
        block.kind,
        BlockKind::Heading { .. } | BlockKind::Paragraph | BlockKind::Footnote
    );
    if !prose || text.len() > MAX_BYTES {
        return Vec::new();
    }
    let is_digit = |c: char| c.is_ascii_digit();
    let mut forms = vec![text.clone()];
    if matches!(block.kind, BlockKind::Heading { .. }) || !may_count_pages(text) {
        return forms;
    }
    if let (Some(from), Some(last)) = (text.find(is_digit), text.rfind(is_digit)) {
        let to = text[from..]
            .find(|c| !is_digit(c))
            .map_or(text.len(), |len| from + len);
        let start = text[..last]
            .rfind(|c| !is_digit(c))
            .map_or(0, |at| text.ceil_char_boundary(at + 1));
        forms.extend(relative(text, from..to, page));
        forms.extend(relative(text, start..last + 1, page));
    }
    forms
}

/// Whether a number in a line may be the page's: beside nothing, beside words for that, or in a longer line. `Question 4`
/// on page 4 and `Question 5` on page 5 are what they say.
fn may_count_pages(text: &str) -> bool {
    let words: Vec<String> = text
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    words.len() >= MIN_WORDS || words.iter().all(|word| PAGE_WORDS.contains(&&**word))
}

fn relative(text: &str, number: Range<usize>, page: u64) -> Option<String> {
    let distance = i128::from(text[number.clone()].parse::<u64>().ok()?) - i128::from(page);
    Some(format!(
        "{}#{distance}#{}",
        &text[..number.start],
        &text[number.end..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pages with these texts around a long one.
    fn pages(texts: &[&[&str]]) -> Vec<Page> {
        let block = |text: &str| Block {
            kind: BlockKind::Paragraph,
            text: text.to_owned(),
        };
        let page = |(number, texts): (u32, &&[&str])| {
            let mut blocks: Vec<Block> = texts.iter().map(|text| block(text)).collect();
            blocks.insert(texts.len() / 2, block(&"body ".repeat(100)));
            Page {
                number: Some(number),
                blocks,
            }
        };
        (1..).zip(texts).map(page).collect()
    }

    /// What is left around the long text.
    fn left(texts: &[&[&str]]) -> Vec<Vec<String>> {
        let mut pages = pages(texts);
        remove(&mut pages);
        let texts = |page: Page| {
            let texts = page.blocks.into_iter().map(|block| block.text);
            texts.filter(|text| !text.starts_with("body")).collect()
        };
        pages.into_iter().map(texts).collect()
    }

    #[test]
    fn heads_and_feet_stay_where_they_stand_first() {
        let found = left(&[
            &["Handbook 2026", "a", "b", "- 7 -"],
            &["Handbook 2026", "c", "d", "- 8 -"],
            &["Handbook 2026", "e", "f", "- 9 -"],
        ]);
        assert_eq!(
            found,
            [
                vec!["Handbook 2026", "a", "b", "- 7 -"],
                vec!["c", "d"],
                vec!["e", "f"]
            ]
        );
    }

    #[test]
    fn numbers_may_count_pages_at_either_end() {
        let found = left(&[
            &["1 The wind, part 5", "a"],
            &["2 The wind, part 5", "b"],
            &["3 The wind, part 5", "c"],
        ]);
        assert_eq!(found[2], ["c"]);
        let found = left(&[
            &["Page 1 of 3", "a"],
            &["Page 2 of 3", "b"],
            &["Page 3 of 3", "c"],
        ]);
        assert_eq!(found[1], ["b"]);
    }

    #[test]
    fn titles_that_count_stay() {
        for title in ["Question", "Annual accounts"] {
            let texts: Vec<[String; 2]> = (4..8)
                .map(|number| [format!("{title} {number}"), format!("{number} cups")])
                .collect();
            let texts: Vec<[&str; 2]> = texts.iter().map(|[a, b]| [&**a, &**b]).collect();
            let pages: Vec<&[&str]> = texts.iter().map(|texts| &texts[..]).collect();
            assert_eq!(left(&pages), texts, "{title}");
        }
        let twice: [&[&str]; 2] = [
            &["The wind of May, sheet 1", "a"],
            &["The wind of May, sheet 2", "b"],
        ];
        assert_eq!(left(&twice), twice);
    }

    #[test]
    fn pages_of_little_text_keep_their_lines() {
        let mut slides = pages(&[&["Agenda"], &["Agenda"], &["Agenda"]]);
        for page in &mut slides {
            page.blocks.retain(|block| block.text == "Agenda");
        }
        let before = slides.clone();
        remove(&mut slides);
        assert_eq!(slides, before);
    }

    #[test]
    fn lines_that_differ_or_are_few_stay() {
        let texts: [&[&str]; 3] = [
            &["Question 4", "a", "x"],
            &["Question 9", "b", "x"],
            &["Question 11", "c", "y"],
        ];
        assert_eq!(left(&texts), texts);
        let far: Vec<&[&str]> = (0..12)
            .map(|at| {
                if at % 5 == 0 {
                    &["Summary", "a"][..]
                } else {
                    &["b", "c"][..]
                }
            })
            .collect();
        assert_eq!(left(&far)[10], ["Summary", "a"]);
    }
}
