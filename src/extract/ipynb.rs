//! Notebooks of Jupyter, old ones too: their texts as Markdown, their code, and what it printed.
//!
//! Programs and people write them by hand: a field that holds something else than it should costs only itself.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, SeqAccess, Visitor},
};
use serde_json::Value;

use crate::document::{Block, BlockKind};

use super::{blocks::Blocks, error::ExtractError, html, markdown};

/// What code printed beyond this is left out: the first lines tell what it was.
const MAX_OUTPUT_CHARS: usize = 2000;

#[derive(Deserialize)]
struct Notebook {
    #[serde(rename = "nbformat")]
    _format: u32,
    #[serde(default)]
    cells: Option<List<Cell>>,
    /// What notebooks before version 4 have in place of cells.
    #[serde(default)]
    worksheets: Option<List<Worksheet>>,
}

impl Notebook {
    fn parse(text: &str) -> Option<Vec<Cell>> {
        let notebook: Self = serde_json::from_str(text).ok()?;
        notebook.cells.map(|cells| cells.0).or_else(|| {
            let sheets = notebook.worksheets?.0.into_iter();
            Some(sheets.flat_map(|sheet| sheet.cells.0).collect())
        })
    }
}

#[derive(Deserialize)]
struct Worksheet {
    cells: List<Cell>,
}

#[derive(Deserialize)]
struct Cell {
    #[serde(default, rename = "cell_type", deserialize_with = "fitting")]
    kind: String,
    #[serde(default, alias = "input", deserialize_with = "fitting")]
    source: Text,
    /// Of a heading, which was a kind of cell before version 4.
    #[serde(default, deserialize_with = "fitting")]
    level: Option<u8>,
    #[serde(default, deserialize_with = "fitting")]
    outputs: List<Output>,
}

#[derive(Deserialize)]
struct Output {
    /// What was printed.
    #[serde(default, deserialize_with = "fitting")]
    text: Text,
    /// The same as a page, before version 4.
    #[serde(default, deserialize_with = "fitting")]
    html: Text,
    /// What came out, in several forms.
    #[serde(default, deserialize_with = "fitting")]
    data: Forms,
    /// The kind of error that ended the cell.
    #[serde(default, rename = "ename", deserialize_with = "fitting")]
    error: Option<String>,
    /// What the error says.
    #[serde(default, rename = "evalue", deserialize_with = "fitting")]
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

/// Adds the first blocks of a page, whose headings are none of the notebook: of one too long its beginning.
fn extract_page(page: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut shown = blocks.apart();
    html::extract(page, &mut shown)?;
    let mut left = MAX_OUTPUT_CHARS;
    for (place, Block { kind, mut text }) in shown.take().into_iter().enumerate() {
        match text.char_indices().nth(left) {
            Some((end, _)) if place == 0 => text.truncate(end),
            Some(_) => break,
            None => {}
        }
        left -= text.chars().count();
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
    #[serde(default, rename = "text/plain", deserialize_with = "fitting")]
    plain: Text,
    #[serde(default, rename = "text/html", deserialize_with = "fitting")]
    html: Text,
}

/// A text as one string or as one a line.
#[derive(Deserialize)]
#[serde(untagged)]
enum Text {
    Whole(String),
    Lines(List<String>),
}

impl Default for Text {
    fn default() -> Self {
        Self::Lines(List::default())
    }
}

impl Text {
    fn whole(self) -> String {
        match self {
            Self::Whole(text) => text,
            Self::Lines(lines) => lines.0.concat(),
        }
    }
}

/// A list without those of its elements that are none.
struct List<T>(Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: DeserializeOwned> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Elements(PhantomData))
    }
}

/// Takes a list's elements one by one: most of a notebook is pictures, which need not be held together.
struct Elements<T>(PhantomData<T>);

impl<'de, T: DeserializeOwned> Visitor<'de> for Elements<T> {
    type Value = List<T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<List<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element::<Value>()? {
            list.extend(serde_json::from_value(element));
        }
        Ok(List(list))
    }
}

/// What a field holds if it is what it should be.
fn fitting<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned + Default,
{
    let value = Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(value).unwrap_or_default())
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
        for output in cell.outputs.0 {
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
            "{\"nbformat\": 4, \"cells\": {}}",
            "{",
        ] {
            assert!(!is_notebook(text), "{text}");
        }
    }
}
