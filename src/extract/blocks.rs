//! Collects the blocks of a page; the one way by which text enters a document.

use crate::document::{Block, BlockKind};

use super::{
    clean,
    error::{ExtractError, Limit},
};

/// The blocks of a page, clean and within the limit on text.
#[derive(Debug)]
pub(super) struct Blocks {
    page: Vec<Block>,
    bytes: u64,
    max_bytes: u64,
}

impl Blocks {
    /// Holds at most `max_bytes` of text, over all pages.
    pub(super) const fn new(max_bytes: u64) -> Self {
        Self {
            page: Vec::new(),
            bytes: 0,
            max_bytes,
        }
    }

    /// An empty collection with the same limit.
    pub(super) const fn apart(&self) -> Self {
        Self::new(self.max_bytes)
    }

    /// Adds text whose white space means nothing but its line breaks; blank text is left out.
    pub(super) fn prose(&mut self, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
        self.push(kind, clean::prose(text))
    }

    /// Adds text as one line; blank text is left out.
    pub(super) fn line(&mut self, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
        self.push(kind, clean::line(text))
    }

    /// Adds text whose indents and empty lines mean something, and whose every character does if it is code; blank text
    /// is left out.
    pub(super) fn layout(&mut self, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
        let text = if kind == BlockKind::Code {
            clean::source_layout(text)
        } else {
            clean::layout(text)
        };
        self.push(kind, text)
    }

    /// Adds a table's row; one without any text is left out.
    pub(super) fn row<T: AsRef<str>>(
        &mut self,
        cells: &[T],
        header: bool,
    ) -> Result<(), ExtractError> {
        let cells: Vec<String> = cells
            .iter()
            .map(|cell| clean::line(cell.as_ref()))
            .collect();
        if cells.iter().all(String::is_empty) {
            return Ok(());
        }
        self.push(
            BlockKind::TableRow { header },
            cells.join(" | ").trim_end().to_owned(),
        )
    }

    /// The blocks so far; what comes next is of the next page.
    pub(super) fn take(&mut self) -> Vec<Block> {
        std::mem::take(&mut self.page)
    }

    fn push(&mut self, kind: BlockKind, text: String) -> Result<(), ExtractError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        self.bytes = self.bytes.saturating_add(text.len() as u64);
        if self.bytes > self.max_bytes {
            return Err(ExtractError::TooLarge {
                limit: Limit::Text(self.max_bytes),
            });
        }
        self.page.push(Block { kind, text });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blank_text_makes_no_block() {
        let mut blocks = Blocks::new(100);
        blocks
            .prose(BlockKind::Paragraph, " \n\u{a0}")
            .expect("within the limit");
        blocks.row(&["", " "], false).expect("within the limit");
        assert!(blocks.take().is_empty());
    }

    #[test]
    fn the_limit_counts_the_text_of_all_pages() {
        let mut blocks = Blocks::new(5);
        blocks
            .prose(BlockKind::Paragraph, "abc")
            .expect("within the limit");
        blocks.take();
        assert_eq!(
            blocks.prose(BlockKind::Paragraph, "def"),
            Err(ExtractError::TooLarge {
                limit: Limit::Text(5)
            })
        );
    }
}
