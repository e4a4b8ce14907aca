//! The styles of paragraphs, by number: which make headings, captions and program text.

use std::{collections::HashMap, mem};

use crate::document::BlockKind;

/// Longer names are none of those that mean something.
const MAX_NAME: usize = 64;

/// The styles that make more than paragraphs.
#[derive(Debug, Default)]
pub(super) struct Styles {
    kinds: HashMap<i32, BlockKind>,
    /// Of the style that is read.
    number: Option<i32>,
    outline: Option<u8>,
    name: String,
}

impl Styles {
    /// A style begins that has this number.
    pub(super) fn numbered(&mut self, number: i32) {
        self.number = Some(number);
    }

    /// Its outline level, from 0.
    pub(super) fn outlined(&mut self, level: u8) {
        self.outline = Some(level);
    }

    /// A piece of its name, which ends at the semicolon.
    pub(super) fn named(&mut self, text: &[u8]) {
        for byte in text {
            if *byte == b';' {
                self.finish();
            } else if self.name.len() < MAX_NAME {
                self.name.push(char::from(byte.to_ascii_lowercase()));
            }
        }
    }

    fn finish(&mut self) {
        let name = mem::take(&mut self.name);
        let outline = self.outline.take();
        if let (Some(number), Some(kind)) = (self.number.take(), kind_of(name.trim(), outline)) {
            self.kinds.insert(number, kind);
        }
    }

    /// What a style makes of its paragraphs.
    pub(super) fn kind(&self, number: i32) -> BlockKind {
        self.kinds
            .get(&number)
            .copied()
            .unwrap_or(BlockKind::Paragraph)
    }
}

/// What a style makes; the names of built-in styles are English in every language.
fn kind_of(name: &str, outline: Option<u8>) -> Option<BlockKind> {
    let level = match name {
        "title" => Some(0),
        "caption" | "table caption" | "image caption" => return Some(BlockKind::Caption),
        name => outline.or_else(|| {
            let level: u8 = name.strip_prefix("heading")?.trim().parse().ok()?;
            level.checked_sub(1)
        }),
    };
    level
        .filter(|level| *level < 9)
        .map(|level| BlockKind::Heading {
            level: level.min(5) + 1,
        })
}
