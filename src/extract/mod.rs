//! Bytes of a file to a [`Document`]: detection, then one extractor per format.
//!
//! Pure functions: no clock, no I/O, nothing remembered. The bytes are hostile: everything that this module does itself is
//! bounded in memory and depth, while the PDF engine's endless loops and overflows are for the child process to catch.
//!
//! To add a format: a module with an `extract`, its arm below, its mark in `detect`, a row in `seed.sql`.

mod blocks;
mod charset;
mod child;
mod clean;
mod code;
mod compound;
mod csv;
mod detect;
mod docx;
mod drawing;
mod eml;
mod epub;
mod error;
mod escape;
pub mod frames;
mod html;
mod ipynb;
mod json;
mod markdown;
mod numeral;
mod open_document;
mod package;
mod pdf;
mod pptx;
mod rtf;
pub mod sandbox;
mod sheet;
mod table;
mod text;
mod xml;

use serde::{Deserialize, Serialize};

pub use self::error::{ExtractError, Limit};
use self::{
    blocks::Blocks,
    detect::{Format, Shape},
};
use crate::{
    document::{Document, Page},
    file_type::{FileType, FileTypes},
};

/// What is known about a file before its bytes are read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hints {
    /// `files.original_name`; its extension may be wrong.
    pub name: String,
    /// `files.mime_type`; may be wrong, vague or empty.
    pub mime_type: String,
}

/// Limits and types of an extraction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Every row of `file_type_configs`, the disabled ones too: detection needs them.
    pub types: FileTypes,
    /// Most text that may come out of a file.
    pub max_text_bytes: u64,
    /// Most pages that a file may have.
    pub max_pages: u32,
}

/// Most text of one file: more than any book, and what the worker itself can hold of several files at once.
const MAX_TEXT_BYTES: u64 = 64 << 20;
/// Most pages of one file; page trees of millions of pages are attacks.
const MAX_PAGES: u32 = 50_000;

impl Settings {
    /// The usual limits.
    #[must_use]
    pub fn new(types: &FileTypes) -> Self {
        Self {
            types: types.clone(),
            max_text_bytes: MAX_TEXT_BYTES,
            max_pages: MAX_PAGES,
        }
    }
}

/// Reads a file's text.
///
/// The bytes decide what the file is; `hints` only choose between kinds of text.
///
/// # Errors
///
/// Every reason why a file yields no document; see [`ExtractError`].
pub fn extract(bytes: &[u8], hints: &Hints, settings: &Settings) -> Result<Document, ExtractError> {
    if bytes.is_empty() {
        return Err(ExtractError::NoText);
    }
    let types = &settings.types;
    let (row, pages) = match detect::shape(bytes) {
        Shape::Foreign(mime_type) => return Err(ExtractError::unsupported(mime_type)),
        Shape::Locked => return Err(ExtractError::Encrypted),
        Shape::CutZip => return Err(ExtractError::corrupt("its end is missing")),
        Shape::Read(format) => {
            let row = enabled(detect::format_row(types, hints, format)?)?;
            (row, read(format, bytes, settings, &row.options)?)
        }
        Shape::Text => read_text(bytes, hints, types, settings)?,
    };
    if pages.iter().all(|page| page.blocks.is_empty()) {
        return Err(ExtractError::NoText);
    }
    Ok(Document {
        mime_type: row.mime_type.clone(),
        pages,
    })
}

/// Reads a file that is no plain text.
fn read(
    format: Format,
    bytes: &[u8],
    settings: &Settings,
    options: &serde_json::Value,
) -> Result<Vec<Page>, ExtractError> {
    match format {
        Format::Pdf => pdf::extract(bytes, settings, options),
        Format::Docx => docx::extract(bytes, settings, options),
        Format::Pptx => pptx::extract(bytes, settings),
        Format::Xlsx => sheet::xlsx(bytes, settings),
        Format::Xls => sheet::xls(bytes, settings),
        Format::Ods => sheet::ods(bytes, settings),
        Format::Odt => open_document::text(bytes, settings),
        Format::Odp => open_document::presentation(bytes, settings),
        Format::Epub => epub::extract(bytes, settings),
        Format::Rtf => rtf::extract(bytes, settings),
    }
}

/// Reads a file that is text or nothing.
fn read_text<'a>(
    bytes: &[u8],
    hints: &Hints,
    types: &'a FileTypes,
    settings: &Settings,
) -> Result<(&'a FileType, Vec<Page>), ExtractError> {
    // Each part of an e-mail has a charset of its own.
    if let Some(row) = detect::mail_row(types, hints, bytes) {
        let row = enabled(row)?;
        let mut blocks = Blocks::new(settings.max_text_bytes);
        eml::extract(bytes, &mut blocks)?;
        return Ok((row, vec![one_page(blocks)]));
    }
    let label = charset::label_of(&hints.mime_type);
    let text = charset::decode(bytes, label).ok_or_else(|| detect::no_text(types, hints))?;
    let row = enabled(
        detect::text_row(types, hints, &text)
            .ok_or_else(|| ExtractError::unsupported("text/plain"))?,
    )?;
    let mut blocks = Blocks::new(settings.max_text_bytes);
    match row.extractor.as_str() {
        "code" => code::extract(&text, &mut blocks)?,
        "csv" => csv::extract(&text, delimiter(row), &mut blocks)?,
        "html" => html::extract(&text, &mut blocks)?,
        "ipynb" => ipynb::extract(&text, &mut blocks)?,
        "json" => json::extract(&text, &mut blocks)?,
        "markdown" => markdown::extract(&text, &mut blocks)?,
        _ => text::extract(&text, &mut blocks)?,
    }
    Ok((row, vec![one_page(blocks)]))
}

fn one_page(mut blocks: Blocks) -> Page {
    Page {
        number: None,
        blocks: blocks.take(),
    }
}

/// The delimiter that a type of tables names.
fn delimiter(row: &FileType) -> Option<u8> {
    (row.mime_type == "text/tab-separated-values").then_some(b'\t')
}

/// The row, if it is not switched off.
fn enabled(row: &FileType) -> Result<&FileType, ExtractError> {
    if row.enabled {
        Ok(row)
    } else {
        Err(ExtractError::TypeDisabled {
            display_name: row.display_name.clone(),
        })
    }
}

#[cfg(test)]
mod tests;
