//! Notebooks of Jupyter, old ones too: their texts as Markdown, their code, and what it printed.

use serde::Deserialize;

use crate::document::{Block, BlockKind};

use super::{blocks::Blocks, error::ExtractError, html, markdown};

/// What code printed beyond this is left out: the first lines tell what it was.
const MAX_OUTPUT_CHARS: usize = 2000;

#[derive(Deserialize)]
struct Notebook {
    #[serde(rename = "nbformat")]
    _format: u32,
    #[serde(default)]
    cells: Option<Vec<Cell>>,
    /// What notebooks before version 4 have in place of cells.
    #[serde(default)]
    worksheets: Option<Vec<Worksheet>>,
}

impl Notebook {
    fn parse(text: &str) -> Option<Vec<Cell>> {
        let notebook: Self = serde_json::from_str(text).ok()?;
        notebook.cells.or_else(|| {
            let sheets = notebook.worksheets?.into_iter();
            Some(sheets.flat_map(|sheet| sheet.cells).collect())
        })
    }
}

#[derive(Deserialize)]
struct Worksheet {
    cells: Vec<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(rename = "cell_type")]
    kind: String,
    #[serde(default, alias = "input")]
    source: Text,
    /// Of a heading, which was a kind of cell before version 4.
    level: Option<u8>,
    #[serde(default)]
    outputs: Vec<Output>,
}

#[derive(Deserialize)]
struct Output {
    /// What was printed.
    #[serde(default)]
    text: Text,
    /// The same as a page, before version 4.
    #[serde(default)]
    html: Text,
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
    /// Adds the beginning of what was printed, or of the page that stands for it alone.
    fn extract(self, blocks: &mut Blocks) -> Result<(), ExtractError> {
        let mut said = self.text.whole() + &self.data.plain.whole();
        if let Some(error) = self.error {
            said = format!("{said}{error}: {}", self.message.unwrap_or_default());
        }
        if said.trim().is_empty() {
            return extract_page(&(self.html.whole() + &self.data.html.whole()), blocks);
        }
        if let Some((end, _)) = said.char_indices().nth(MAX_OUTPUT_CHARS) {
            said.truncate(end);
        }
        blocks.layout(BlockKind::Code, &said)
    }
}

/// Adds the beginning of a page, whose headings are none of the notebook.
fn extract_page(page: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut shown = blocks.apart();
    html::extract(page, &mut shown)?;
    let mut chars = 0;
    for Block { kind, text } in shown.take() {
        chars += text.chars().count();
        if chars > MAX_OUTPUT_CHARS {
            break;
        }
        let is_heading = matches!(kind, BlockKind::Heading { .. });
        let kind = if is_heading {
            BlockKind::Paragraph
        } else {
            kind
        };
        blocks.layout(kind, &text)?;
    }
    Ok(())
}

#[derive(Default, Deserialize)]
struct Forms {
    #[serde(default, rename = "text/plain")]
    plain: Text,
    #[serde(default, rename = "text/html")]
    html: Text,
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
    text.contains("\"nbformat\"") && Notebook::parse(text).is_some()
}

/// Adds the cells of a notebook, in order.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let cells = Notebook::parse(text)
        .ok_or_else(|| ExtractError::corrupt("its JSON is none of a notebook"))?;
    for cell in cells {
        let source = cell.source.whole();
        match &*cell.kind {
            "markdown" => markdown::extract(&source, blocks)?,
            "code" => blocks.layout(BlockKind::Code, &source)?,
            "heading" => {
                let level = cell.level.unwrap_or(1).clamp(1, 6);
                blocks.line(BlockKind::Heading { level }, &source)?;
            }
            _ => blocks.layout(BlockKind::Paragraph, &source)?,
        }
        for output in cell.outputs {
            output.extract(blocks)?;
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
