//! The paragraphs of a shape or cell, and the lists that they make.

use crate::document::BlockKind;

use super::{super::numeral::number, shape::Piece};

/// The text of a shape or cell.
#[derive(Default)]
pub(super) struct Body {
    pub(super) paragraphs: Vec<Paragraph>,
    pub(super) open: Paragraph,
}

#[derive(Default)]
pub(super) struct Paragraph {
    pub(super) text: String,
    pub(super) level: usize,
    pub(super) bullet: Bullet,
}

#[derive(Clone, Default, PartialEq, Eq)]
pub(super) enum Bullet {
    /// As the layout says.
    #[default]
    Inherited,
    None,
    Mark,
    /// The kind of number and the first one.
    Number(String, i64),
}

impl Body {
    pub(super) fn joined(self) -> String {
        let texts: Vec<String> = self
            .paragraphs
            .into_iter()
            .map(|paragraph| paragraph.text)
            .collect();
        texts.join(" ")
    }

    /// Its paragraphs; where the layout makes lists, several of them are one.
    pub(super) fn pieces(self, listed: bool) -> Vec<Piece> {
        let mut paragraphs = self.paragraphs;
        paragraphs.retain(|paragraph| !paragraph.text.trim().is_empty());
        let listed = listed && paragraphs.len() > 1;
        let mut counts = Counts::default();
        let piece = |paragraph: Paragraph| {
            let marker = match &paragraph.bullet {
                Bullet::Number(kind, first) => Some(counts.next(paragraph.level, kind, *first)),
                Bullet::Mark => Some("-".to_owned()),
                Bullet::Inherited => listed.then(|| "-".to_owned()),
                Bullet::None => None,
            };
            if !matches!(paragraph.bullet, Bullet::Number(..)) {
                counts.end(paragraph.level);
            }
            match marker {
                Some(marker) => {
                    Piece::Text(BlockKind::ListItem, format!("{marker} {}", paragraph.text))
                }
                None => Piece::Text(BlockKind::Paragraph, paragraph.text),
            }
        };
        paragraphs.into_iter().map(piece).collect()
    }
}

/// Levels of a list.
const LEVELS: usize = 9;

/// How far the numbered lists of a shape have counted, by level.
#[derive(Default)]
struct Counts([i64; LEVELS]);

impl Counts {
    /// The marker of the next item: `2.`, `(c)`, `IV)`.
    fn next(&mut self, level: usize, kind: &str, first: i64) -> String {
        let level = level.min(LEVELS - 1);
        self.0[level + 1..].fill(0);
        self.0[level] = self.0[level].saturating_add(1);
        let count = number(
            first.saturating_add(self.0[level] - 1),
            if kind.starts_with("alphaLc") {
                "lowerLetter"
            } else if kind.starts_with("alphaUc") {
                "upperLetter"
            } else if kind.starts_with("romanLc") {
                "lowerRoman"
            } else if kind.starts_with("romanUc") {
                "upperRoman"
            } else {
                "decimal"
            },
        );
        if kind.ends_with("ParenBoth") {
            format!("({count})")
        } else if kind.ends_with("ParenR") {
            format!("{count})")
        } else if kind.ends_with("Plain") {
            count
        } else {
            format!("{count}.")
        }
    }

    /// Ends the lists of this level and below.
    fn end(&mut self, level: usize) {
        self.0[level.min(LEVELS - 1)..].fill(0);
    }
}
