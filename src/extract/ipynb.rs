//! Notebooks of Jupyter: their texts as Markdown, their code, and what it printed.

use serde::Deserialize;

use crate::document::BlockKind;

use super::{blocks::Blocks, error::ExtractError, markdown};

/// What code printed beyond this is left out: the first lines tell what it was.
const MAX_OUTPUT_CHARS: usize = 2000;

#[derive(Deserialize)]
struct Notebook {
    #[serde(rename = "nbformat")]
    _format: u32,
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(rename = "cell_type")]
    kind: String,
    #[serde(default)]
    source: Text,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    /// What was printed.
    #[serde(default)]
    text: Text,
    /// What came out, in several forms.
    #[serde(default)]
    data: Forms,
    /// The kind of error that ended the cell.
    #[serde(rename = "ename")]
    error: Option<String>,
    /// What the error says.
    #[serde(rename = "evalue")]
    message: Option<String>,
}

impl Output {
    fn whole(self) -> String {
        let said = self.text.whole() + &self.data.plain.whole();
        match self.error {
            Some(error) => format!("{said}{error}: {}", self.message.unwrap_or_default()),
            None => said,
        }
    }
}

#[derive(Default, Deserialize)]
struct Forms {
    #[serde(default, rename = "text/plain")]
    plain: Text,
}

/// A text as one string or as one a line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Lines(Vec<String>),
}

impl Default for Text {
    fn default() -> Self {
        Self::Lines(Vec::new())
    }
}

impl Text {
    fn whole(self) -> String {
        match self {
            Self::Whole(text) => text,
            Self::Lines(lines) => lines.concat(),
        }
    }
}

/// Whether a text is a notebook.
pub(super) fn is_notebook(text: &str) -> bool {
    text.contains("\"nbformat\"") && serde_json::from_str::<Notebook>(text).is_ok()
}

/// Adds the cells of a notebook, in order.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let notebook: Notebook = serde_json::from_str(text)
        .map_err(|_| ExtractError::corrupt("its JSON is none of a notebook"))?;
    for cell in notebook.cells {
        let source = cell.source.whole();
        match &*cell.kind {
            "markdown" => markdown::extract(&source, blocks)?,
            "code" => blocks.layout(BlockKind::Code, &source)?,
            _ => blocks.layout(BlockKind::Paragraph, &source)?,
        }
        for output in cell.outputs {
            let mut said = output.whole();
            if let Some((end, _)) = said.char_indices().nth(MAX_OUTPUT_CHARS) {
                said.truncate(end);
            }
            blocks.layout(BlockKind::Code, &said)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_read_as_what_they_are() {
        let notebook = r##"{"nbformat": 4, "metadata": {}, "cells": [
            {"cell_type": "markdown", "source": ["# Rain\n", "By *month*."]},
            {"cell_type": "code", "source": "tips = 3\nprint(tips)", "outputs": [
                {"output_type": "stream", "text": ["3\n"]},
                {"output_type": "display_data", "data": {"image/png": "iVBOR", "text/plain": ["<Figure>"]}},
                {"output_type": "error", "ename": "KeyError", "evalue": "'May'", "traceback": ["..."]}]},
            {"cell_type": "raw", "source": ["left as is"]}]}"##;
        assert!(is_notebook(notebook));
        let mut blocks = Blocks::new(1000);
        extract(notebook, &mut blocks).expect("within the limit");
        let read: Vec<(BlockKind, String)> = blocks
            .take()
            .into_iter()
            .map(|block| (block.kind, block.text))
            .collect();
        let expected = [
            (BlockKind::Heading { level: 1 }, "Rain"),
            (BlockKind::Paragraph, "By month."),
            (BlockKind::Code, "tips = 3\nprint(tips)"),
            (BlockKind::Code, "3"),
            (BlockKind::Code, "<Figure>"),
            (BlockKind::Code, "KeyError: 'May'"),
            (BlockKind::Paragraph, "left as is"),
        ];
        assert_eq!(read, expected.map(|(kind, text)| (kind, text.to_owned())));
    }

    #[test]
    fn other_json_is_no_notebook() {
        for text in [
            "{\"nbformat\": 4}",
            "{\"cells\": []}",
            "[\"nbformat\"]",
            "{",
        ] {
            assert!(!is_notebook(text), "{text}");
        }
    }
}
