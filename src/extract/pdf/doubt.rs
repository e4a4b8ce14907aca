//! Which pages are read a second time, and which of two readings is taken.
//!
//! Two engines together read more than either alone, at twice the cost: so the second is asked only where the first one's
//! own figures say that its text is not what the page draws.

use super::engine::{Sheet, nonsense, visible};

/// A page number is shorter; more than that, left out as one, was the axis of a chart or the numbers of lines.
const MAX_PAGE_NUMBER: usize = 16;

/// In files of fewer pages nobody can tell a page number from another.
const MIN_NUMBERED_PAGES: usize = 3;

/// More columns side by side are a table or a drawing that was taken apart.
const MAX_COLUMNS: u32 = 8;

/// One character in so many may be of an echo: of `bonbon`, of somebody called `Lulu`.
const MAX_ECHOED_SHARE: usize = 20;

/// Shorter words may well be what they say.
const MIN_ECHO: usize = 6;

/// Text of fewer letters is not judged by them.
const MIN_LETTERS: usize = 40;

/// Why a page is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The first engine gave up on it.
    Failed,
    /// It has fields or notes, which the first engine does not read.
    Written,
    /// Its fonts hide letters, or less came out than the page draws.
    Lost,
    /// More came out than the page draws.
    Doubled,
    /// Words stand twice, as those do that are drawn twice to look bold or to have a shadow.
    Echoed,
    /// What was left out as page numbers is none.
    Numbers,
    /// The order of reading cannot be right.
    Torn,
}

/// What is doubtful in a page of a file of so many.
pub(super) fn of(sheet: &Sheet, pages: usize) -> Option<Doubt> {
    let Sheet { chars, drawn, .. } = *sheet;
    let numbers = sheet.omitted > MAX_PAGE_NUMBER
        || pages < MIN_NUMBERED_PAGES && sheet.omitted * 200 > drawn;
    if sheet.failed {
        Some(Doubt::Failed)
    } else if sheet.unreadable_runs > 0 || sheet.nonsense > 0 {
        Some(Doubt::Lost)
    } else if numbers {
        Some(Doubt::Numbers)
    } else if (chars + sheet.omitted) * 20 + 40 < drawn * 19 {
        Some(Doubt::Lost)
    } else if chars * 10 > drawn * 11 + 200 {
        Some(Doubt::Doubled)
    } else if sheet.columns > MAX_COLUMNS {
        Some(Doubt::Torn)
    } else if echoes(sheet) * MAX_ECHOED_SHARE > chars {
        Some(Doubt::Echoed)
    } else {
        None
    }
}

/// Characters of words and blocks that are something said twice: `gaugegauge`, `ggaauuggee`.
fn echoes(sheet: &Sheet) -> usize {
    let is_echo = |text: &str| {
        let letters: Vec<char> = text.chars().collect();
        let half = letters.len() / 2;
        letters.len() >= MIN_ECHO
            && letters.len().is_multiple_of(2)
            && letters.iter().all(|letter| letter.is_alphabetic())
            && (letters[..half] == letters[half..] || letters.chunks(2).all(|two| two[0] == two[1]))
    };
    let blocks = sheet.page.blocks.iter();
    let words = blocks.flat_map(|block| block.text.split_whitespace());
    words.filter(|word| is_echo(word)).map(visible).sum()
}

/// Whether the second engine's text of a page is better than the first one's.
pub(super) fn is_better(text: &str, sheet: &Sheet, doubt: Doubt) -> bool {
    let chars = visible(text);
    match doubt {
        Doubt::Failed => is_legible(text),
        Doubt::Written => chars > sheet.chars + 1 && is_legible(text),
        // A letter or two more is a matter of taste, and the first engine's order of reading is better.
        Doubt::Lost => {
            let blocks = sheet.page.blocks.iter().map(|block| &*block.text);
            let known: usize = blocks.map(in_words).sum();
            in_words(text) * 200 > known * 201 && is_legible(text)
        }
        Doubt::Numbers => chars > sheet.chars,
        Doubt::Doubled => chars < sheet.chars && chars * 20 >= sheet.drawn * 19,
        Doubt::Echoed => chars < sheet.chars && chars * 20 >= sheet.drawn * 9 && is_legible(text),
        Doubt::Torn => chars * 20 >= sheet.drawn * 19,
    }
}

/// Whether text is made of letters that somebody can read, rather than of the numbers by which a font knows its shapes.
///
/// Those come as characters without meaning, or as Latin letters in which hardly a vowel occurs: `-DKUJDQJ` for `Jahrgang`.
fn is_legible(text: &str) -> bool {
    let chars = visible(text);
    if chars == 0 || nonsense(text) * 20 > chars {
        return false;
    }
    let words = text
        .split(|c: char| !c.is_ascii_alphabetic())
        .filter(|word| word.len() > 2);
    let (mut letters, mut vowels) = (0, 0);
    for letter in words.flat_map(str::bytes) {
        letters += 1;
        vowels += usize::from(b"aeiouyAEIOUY".contains(&letter));
    }
    letters < MIN_LETTERS || vowels * 100 >= letters * 22
}

/// Letters that stand beside another, so as to be of a word; those of other scripts than ours are words alone.
fn in_words(text: &str) -> usize {
    let words = text.split(|c: char| !c.is_alphabetic());
    words
        .filter(|word| word.len() > 1)
        .map(|word| word.chars().count())
        .sum()
}

/// Takes out what a page's unreadable fonts left standing, single signs and numbers, if they hide more than shows.
pub(super) fn clear(sheet: &mut Sheet) {
    if sheet.unreadable_runs > sheet.chars {
        sheet
            .page
            .blocks
            .retain(|block| in_words(&block.text) * 2 >= visible(&block.text));
        let blocks = sheet.page.blocks.iter();
        sheet.chars = blocks.map(|block| visible(&block.text)).sum();
    }
}

#[cfg(test)]
mod tests {
    use crate::document::{Block, BlockKind, Page};

    use super::*;

    fn page(text: &str) -> Page {
        let blocks = text.split('|').map(|text| Block {
            kind: BlockKind::Paragraph,
            text: text.to_owned(),
        });
        Page {
            number: Some(1),
            blocks: blocks.collect(),
        }
    }

    fn sheet(chars: usize, drawn: usize) -> Sheet {
        Sheet {
            chars,
            drawn,
            ..Sheet::default()
        }
    }

    #[test]
    fn a_page_whose_text_is_what_it_draws_is_read_once() {
        assert_eq!(of(&sheet(1000, 1000), 10), None);
        assert_eq!(of(&sheet(980, 1000), 10), None);
        assert_eq!(of(&sheet(0, 0), 1), None);
        let numbered = Sheet {
            omitted: 2,
            ..sheet(998, 1000)
        };
        assert_eq!(of(&numbered, 10), None);
    }

    #[test]
    fn doubts_are_named() {
        assert_eq!(of(&sheet(900, 1000), 10), Some(Doubt::Lost));
        assert_eq!(of(&sheet(1300, 1000), 10), Some(Doubt::Doubled));
        let with = |change: fn(&mut Sheet)| {
            let mut sheet = sheet(100, 100);
            change(&mut sheet);
            sheet
        };
        assert_eq!(of(&with(|s| s.failed = true), 9), Some(Doubt::Failed));
        assert_eq!(of(&with(|s| s.unreadable_runs = 1), 9), Some(Doubt::Lost));
        assert_eq!(of(&with(|s| s.nonsense = 1), 9), Some(Doubt::Lost));
        assert_eq!(of(&with(|s| s.omitted = 17), 9), Some(Doubt::Numbers));
        assert_eq!(of(&with(|s| s.omitted = 1), 2), Some(Doubt::Numbers));
        assert_eq!(of(&with(|s| s.columns = 15), 9), Some(Doubt::Torn));
    }

    #[test]
    fn words_that_stand_twice_are_doubtful() {
        let echoed = |text: &str| {
            let chars = visible(text);
            let sheet = Sheet {
                page: page(text),
                ..sheet(chars, chars)
            };
            of(&sheet, 9)
        };
        assert_eq!(echoed("gaugegauge of rain"), Some(Doubt::Echoed));
        assert_eq!(echoed("ggaauuggee"), Some(Doubt::Echoed));
        assert_eq!(echoed("gauge gauge 20202020 2323"), None);
        let long = "The children were given a bonbon each by the keeper of the station and the other people there, who had been told of their coming the day before and did not quite know.";
        assert_eq!(echoed(long), None);
    }

    const GERMAN: &str =
        "Der Jahrgang war gut, und die neue Heizung der Halle versorgt jetzt auch die Schule.";

    #[test]
    fn the_numbers_of_shapes_are_no_letters() {
        assert!(is_legible(GERMAN));
        assert!(is_legible("Съешь ещё этих мягких булок"));
        assert!(is_legible("X-12 BRKT"));
        // Shapes are numbered 29 below their letters in many fonts.
        let shifted: String = GERMAN
            .bytes()
            .filter(|byte| *byte != b' ')
            .map(|byte| char::from(byte - 29))
            .collect();
        assert!(!is_legible(&shifted), "{shifted}");
        assert!(!is_legible("\u{fffd}\u{fffd} of it"));
        assert!(!is_legible(" "));
    }

    #[test]
    fn more_text_wins_unless_it_is_noise() {
        let lost = |text: &str| Sheet {
            page: page(text),
            ..sheet(10, 90)
        };
        assert!(is_better(GERMAN, &lost("Der"), Doubt::Lost));
        assert!(!is_better(GERMAN, &lost(GERMAN), Doubt::Lost));
        assert!(!is_better(
            "6 % & $ (6) * 12.34 £",
            &lost("% 6"),
            Doubt::Lost
        ));
        assert!(is_better(GERMAN, &sheet(10, 10), Doubt::Written));
        assert!(is_better(GERMAN, &sheet(140, 70), Doubt::Doubled));
        assert!(!is_better("Der", &sheet(140, 70), Doubt::Doubled));
    }

    #[test]
    fn what_unreadable_fonts_left_standing_goes() {
        let mut torn = Sheet {
            page: page("% & (6) $|The wind vane|4"),
            unreadable_runs: 900,
            ..sheet(20, 20)
        };
        clear(&mut torn);
        assert_eq!(torn.page, page("The wind vane"));
        assert_eq!(torn.chars, 11);
        let mut whole = Sheet {
            page: page("12|34"),
            unreadable_runs: 1,
            ..sheet(40, 40)
        };
        clear(&mut whole);
        assert_eq!(whole.page, page("12|34"));
    }
}
