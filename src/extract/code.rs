//! Source code: a block per top-level piece, lines as they are.

use crate::document::BlockKind;

use super::{blocks::Blocks, clean, error::ExtractError};

/// Adds the pieces of `text`: cut at empty lines before a line without an indent.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let text = clean::source(text);
    let mut piece = String::new();
    let mut after_blank = false;
    for line in text.lines() {
        if after_blank && starts_a_piece(line) {
            blocks.layout(BlockKind::Code, &piece)?;
            piece.clear();
        }
        after_blank = line.trim().is_empty();
        piece.push_str(line);
        piece.push('\n');
    }
    blocks.layout(BlockKind::Code, &piece)
}

/// Whether a line stands at the left edge and does not close what came before.
fn starts_a_piece(line: &str) -> bool {
    line.starts_with(|c: char| !c.is_whitespace() && !matches!(c, '}' | ')' | ']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_stay_as_they_are_written() {
        let mut blocks = Blocks::new(1000);
        extract("let a = \"ﬁ Ｘ e\u{301}\";\0\r\n", &mut blocks).expect("within the limit");
        assert_eq!(blocks.take()[0].text, "let a = \"ﬁ Ｘ e\u{301}\";");
    }

    #[test]
    fn pieces_end_at_empty_lines_before_the_left_edge() {
        let text = "# Adds.\ndef add(a, b):\n    c = a\n\n    return c + b\n\n\ndef sub(a, b):\n\treturn a - b\n";
        let mut blocks = Blocks::new(1000);
        extract(text, &mut blocks).expect("within the limit");
        let texts: Vec<String> = blocks.take().into_iter().map(|block| block.text).collect();
        assert_eq!(
            texts,
            [
                "# Adds.\ndef add(a, b):\n    c = a\n\n    return c + b",
                "def sub(a, b):\n\treturn a - b"
            ]
        );
    }
}
