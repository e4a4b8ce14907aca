//! Plain text: paragraphs between empty lines, line breaks kept.

use crate::document::BlockKind;

use super::{blocks::Blocks, clean, error::ExtractError};

/// Adds the paragraphs of `text`.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let text = clean::verbatim(text);
    let mut paragraph = String::new();
    for line in text.lines() {
        if line.trim().is_empty() {
            blocks.layout(BlockKind::Paragraph, &paragraph)?;
            paragraph.clear();
        } else {
            paragraph.push_str(line);
            paragraph.push('\n');
        }
    }
    blocks.layout(BlockKind::Paragraph, &paragraph)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_lines_part_paragraphs_and_line_breaks_stay() {
        let mut blocks = Blocks::new(1000);
        extract("one\r\ntwo\r\n \r\n\r\n  three\r\n", &mut blocks).expect("within the limit");
        let texts: Vec<String> = blocks.take().into_iter().map(|block| block.text).collect();
        assert_eq!(texts, ["one\ntwo", "  three"]);
    }
}
