//! Plain lines of a page as blocks: what the second engine's text is made into.

use std::collections::{HashMap, HashSet};

use crate::document::{Block, BlockKind};

use super::{
    super::{blocks::Blocks, error::ExtractError},
    headings::key,
};

/// A line this wide, in percent of the page's widest, goes on in the next one.
const FULL_PERCENT: usize = 60;

/// Where no line is wider, lines are entries and not paragraphs.
const MIN_WIDEST: usize = 40;

/// Adds a page's text; `headings` are levels by the [`key`] of what is known to be a heading.
pub(super) fn add(
    text: &str,
    headings: &HashMap<String, u8>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let width = |line: &str| line.trim().chars().count();
    let widest = text.lines().map(width).max().unwrap_or(0);
    let mut paragraph = String::new();
    let mut goes_on = false;
    for line in text.lines().filter(|line| !is_ticks(line)).chain([""]) {
        let heading = headings.get(&key(line)).filter(|_| !line.trim().is_empty());
        if line.trim().is_empty() || heading.is_some() {
            blocks.prose(kind(&paragraph), &paragraph)?;
            paragraph.clear();
        }
        if let Some(level) = heading {
            blocks.line(BlockKind::Heading { level: *level }, line)?;
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(if goes_on && !starts_an_item(line) {
                ' '
            } else {
                '\n'
            });
        }
        paragraph.push_str(line.trim());
        goes_on = widest >= MIN_WIDEST && width(line) * 100 >= widest * FULL_PERCENT;
    }
    Ok(())
}

/// Adds the lines of a page's text that are news to its blocks: most of their words stand nowhere in them.
///
/// Lines themselves cannot be compared, since this text may be read across the columns.
pub(super) fn add_missing(
    text: &str,
    known: &[Block],
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let known: HashSet<&str> = known.iter().flat_map(|block| words(&block.text)).collect();
    for line in text.lines().filter(|line| !is_ticks(line)) {
        let new = words(line).filter(|word| !known.contains(word)).count();
        if new * 2 > words(line).count() {
            blocks.prose(BlockKind::Paragraph, line)?;
        }
    }
    Ok(())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Whether a line is ticks of boxes without what they stand for.
fn is_ticks(line: &str) -> bool {
    let mut marks = line.split_whitespace().peekable();
    marks.peek().is_some() && marks.all(|mark| mark == "[x]")
}

fn kind(paragraph: &str) -> BlockKind {
    if starts_an_item(paragraph) && !paragraph.contains('\n') {
        BlockKind::ListItem
    } else {
        BlockKind::Paragraph
    }
}

fn starts_an_item(line: &str) -> bool {
    let line = line.trim_start();
    if line.starts_with(['•', '◦', '▪', '‣', '●', '○', '–']) {
        return true;
    }
    let number = line.trim_start_matches(|c: char| c.is_ascii_digit());
    number.len() < line.len()
        && number.len() + 3 >= line.len()
        && number.starts_with([')', '.'])
        && number[1..].starts_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, headings: &[(&str, u8)]) -> Vec<(BlockKind, String)> {
        let headings = headings
            .iter()
            .map(|(text, level)| (key(text), *level))
            .collect();
        let mut blocks = Blocks::new(1000);
        add(text, &headings, &mut blocks).expect("within the limit");
        let blocks = blocks.take().into_iter();
        blocks.map(|block| (block.kind, block.text)).collect()
    }

    #[test]
    fn full_lines_go_on_and_short_ones_do_not() {
        let text = "  Name:  Ada\n [x] [x]\nPlace: London\n\n\nThe wind vane stands on the roof of the station and turns\nfreely in any wind that blows there in the winter.\nThe end\n";
        assert_eq!(
            read(text, &[]),
            [
                (BlockKind::Paragraph, "Name: Ada\nPlace: London".to_owned()),
                (
                    BlockKind::Paragraph,
                    "The wind vane stands on the roof of the station and turns freely in any wind that blows there in the winter. The end".to_owned()
                ),
            ]
        );
    }

    #[test]
    fn only_lines_that_are_missing_are_added() {
        let known = [Block {
            kind: BlockKind::Paragraph,
            text: "Observer: Gauge: of the north".to_owned(),
        }];
        let mut blocks = Blocks::new(1000);
        add_missing(
            "Observer:\nAda Marlow of\nGauge: north\n[x]\n",
            &known,
            &mut blocks,
        )
        .expect("within the limit");
        let texts: Vec<String> = blocks.take().into_iter().map(|block| block.text).collect();
        assert_eq!(texts, ["Ada Marlow of"]);
    }

    #[test]
    fn items_and_headings_stand_alone() {
        let text = "2 Setting up\nA first step that is described in a line of words\n1. Take the gauge out of its box and wipe it\n\n• alone\n";
        assert_eq!(
            read(text, &[("Setting up", 2)]),
            [
                (BlockKind::Heading { level: 2 }, "2 Setting up".to_owned()),
                (
                    BlockKind::Paragraph,
                    "A first step that is described in a line of words\n1. Take the gauge out of its box and wipe it".to_owned()
                ),
                (BlockKind::ListItem, "• alone".to_owned()),
            ]
        );
    }
}
