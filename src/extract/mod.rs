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
    pub types: Vec<FileType>,
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
            types: types.iter().cloned().collect(),
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
    let types = FileTypes::new(settings.types.clone());
    let (row, pages) = match detect::shape(bytes) {
        Shape::Foreign(mime_type) => return Err(ExtractError::unsupported(mime_type)),
        Shape::Locked => return Err(ExtractError::Encrypted),
        Shape::CutZip => return Err(ExtractError::corrupt("its end is missing")),
        Shape::Read(format) => {
            let row = enabled(detect::format_row(&types, hints, format)?)?;
            (row, read(format, bytes, settings, &row.options)?)
        }
        Shape::Text => read_text(bytes, hints, &types, settings)?,
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
mod tests {
    use super::*;
    use crate::failure::Code;

    const PDF: &str = "application/pdf";
    const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";

    fn row(mime_type: &str, extension: &str, extractor: &str) -> FileType {
        FileType {
            mime_type: mime_type.to_owned(),
            extensions: vec![extension.to_owned()],
            display_name: extractor.to_owned(),
            enabled: true,
            max_file_size: 1 << 20,
            extractor: extractor.to_owned(),
            splitter: "prose".to_owned(),
            chunk_size: 512,
            chunk_overlap: 64,
            options: serde_json::Value::Null,
        }
    }

    fn settings() -> Settings {
        let types = [
            (PDF, "pdf", "pdf"),
            (DOCX, "docx", "docx"),
            ("text/plain", "txt", "text"),
            ("text/markdown", "md", "markdown"),
            ("text/html", "html", "html"),
            ("text/csv", "csv", "csv"),
            ("application/json", "json", "json"),
            ("text/x-python", "py", "code"),
            ("text/x-rust", "rs", "code"),
            ("message/rfc822", "eml", "eml"),
            ("application/x-ipynb+json", "ipynb", "ipynb"),
        ];
        Settings {
            types: types
                .iter()
                .map(|(mime_type, extension, extractor)| row(mime_type, extension, extractor))
                .collect(),
            max_text_bytes: 1 << 20,
            max_pages: 100,
        }
    }

    fn read(bytes: &[u8], name: &str, mime_type: &str) -> Result<Document, ExtractError> {
        let hints = Hints {
            name: name.to_owned(),
            mime_type: mime_type.to_owned(),
        };
        extract(bytes, &hints, &settings())
    }

    /// The type that a text is taken for.
    fn type_of(text: &str, name: &str, mime_type: &str) -> String {
        read(text.as_bytes(), name, mime_type)
            .expect("readable")
            .mime_type
    }

    #[test]
    fn the_mime_type_decides_between_texts_unless_it_is_vague() {
        assert_eq!(type_of("# a", "a.txt", "text/markdown"), "text/markdown");
        assert_eq!(type_of("# a", "a.md", "text/plain"), "text/markdown");
        assert_eq!(
            type_of("# a", "a.PY", "application/octet-stream"),
            "text/x-python"
        );
        assert_eq!(
            type_of("fn a() {}", "a.rs", "text/x-rust; charset=utf-8"),
            "text/x-rust"
        );
        assert_eq!(type_of("a", "a", ""), "text/plain");
    }

    #[test]
    fn wrong_hints_fail_no_file() {
        assert_eq!(
            type_of("<!DOCTYPE html><p>a", "a.csv", "text/csv"),
            "text/html"
        );
        assert_eq!(
            type_of("<!-- x --><html><p>a", "a.pdf", "application/pdf"),
            "text/html"
        );
        assert_eq!(type_of("just words", "a.docx", DOCX), "text/plain");
        assert_eq!(
            type_of("{broken", "a.json", "application/json"),
            "text/plain"
        );
        assert_eq!(
            type_of("{\"a\": 1}", "a", "application/octet-stream"),
            "application/json"
        );
        assert_eq!(type_of("<p>a</p> in a string", "a.py", ""), "text/x-python");
    }

    #[test]
    fn mails_and_notebooks_are_known_by_what_is_in_them() {
        const MAIL: &str = "message/rfc822";
        let sent = "Return-Path: <a@example.com>\r\nX-A: b\r\n c\r\nSubject: s\r\n\r\nbody\r\n";
        let kept = "From: a@example.com\nTo: b\nSubject: c\n\nbody";
        for (text, name, mime_type, expected) in [
            (
                "{\"nbformat\": 4, \"cells\": [{\"cell_type\": \"raw\", \"source\": \"a\"}]}",
                "a.ipynb",
                "text/html",
                "application/x-ipynb+json",
            ),
            ("{\"a\": 1}", "a.ipynb", "", "application/json"),
            ("{\"a\": 1}", "a", "text/html", "application/json"),
            (sent, "a.eml", "", MAIL),
            (sent, "a", "application/octet-stream", MAIL),
            (sent, "a.txt", "text/plain", MAIL),
            (sent, "a.html", "text/html", MAIL),
            (sent, "a.py", "", "text/x-python"),
            (kept, "a.txt", "", MAIL),
            (kept, "a.md", "", "text/markdown"),
            ("From: a\nTo: b\n\nbody", "a.eml", "", MAIL),
            (
                "From: a\nTo: b\nSubject: c\n\nbody",
                "a.txt",
                "",
                "text/plain",
            ),
            (
                "From: a@example.com\nTo: b\nno field\nSubject: c\n\nbody",
                "a.txt",
                "",
                "text/plain",
            ),
            ("no mail", "a.eml", MAIL, "text/plain"),
            (
                "---\nsubject: a\ndate: b\n---\n",
                "a.md",
                "",
                "text/markdown",
            ),
            (
                "date: 2026-03-03\nfrom: here\nto: there\n",
                "a.yaml",
                "",
                "text/plain",
            ),
            (
                "2026-03-03 10:00:00 Subject: x\nDate: y\n",
                "a.log",
                "",
                "text/plain",
            ),
        ] {
            assert_eq!(
                type_of(text, name, mime_type),
                expected,
                "{text:?} as {name}"
            );
        }
        let mailbox = format!("From a@example.com Tue Mar  3 10:00:00 2026\n{kept}");
        assert_eq!(type_of(&mailbox, "a", ""), MAIL);
    }

    #[test]
    fn files_without_text_have_none() {
        for bytes in [
            &b""[..],
            b" \n\t",
            b"\xef\xbb\xbf",
            b"<html><body></body></html>",
        ] {
            assert_eq!(read(bytes, "a.txt", ""), Err(ExtractError::NoText));
        }
    }

    #[test]
    fn foreign_formats_are_named() {
        for (bytes, detected) in [
            (&b"\x89PNG\r\n\x1a\n...."[..], "image/png"),
            (b"\xff\xd8\xff\xe0JFIF", "image/jpeg"),
            (
                b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                "application/zip",
            ),
            (
                &[0, 159, 146, 150, 1, 2, 3, 200],
                "application/octet-stream",
            ),
        ] {
            let expected = ExtractError::unsupported(detected);
            assert_eq!(read(bytes, "a", "text/wrong"), Err(expected), "{detected}");
        }
    }

    #[test]
    fn office_files_of_old_and_under_passwords_are_told_apart() {
        let ole = |stream: &str| {
            let name: Vec<u8> = stream.encode_utf16().flat_map(u16::to_le_bytes).collect();
            [
                b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1".as_slice(),
                &[0; 64],
                &name,
            ]
            .concat()
        };
        assert_eq!(
            read(&ole("EncryptedPackage"), "a.docx", DOCX),
            Err(ExtractError::Encrypted)
        );
        let old = read(&ole("WordDocument"), "a.docx", DOCX).expect_err("old Word");
        assert_eq!(old, ExtractError::unsupported("application/msword"));
    }

    #[test]
    fn binary_data_named_as_a_document_is_damaged() {
        let error = read(&[0, 1, 2, 3, 255, 254, 0, 1], "a.pdf", PDF).expect_err("noise");
        assert_eq!(error.code(), Code::Corrupt);
        let error = read(b"%PDF-1.7\nnothing more", "a", "").expect_err("no PDF");
        assert_eq!(error.code(), Code::Corrupt);
    }

    #[test]
    fn a_type_that_is_switched_off_is_refused_by_what_the_bytes_show() {
        let mut settings = settings();
        for row in &mut settings.types {
            row.enabled = row.extractor != "html";
        }
        let hints = Hints::default();
        let refused = extract(b"<html><p>a", &hints, &settings).expect_err("switched off");
        assert_eq!(refused.code(), Code::TypeDisabled);
        assert!(extract(b"words", &hints, &settings).is_ok());
    }

    #[test]
    fn text_beyond_the_limit_is_too_large() {
        let mut settings = settings();
        settings.max_text_bytes = 3;
        let refused = extract(b"words", &Hints::default(), &settings).expect_err("too much");
        assert_eq!(
            refused,
            ExtractError::TooLarge {
                limit: Limit::Text(3)
            }
        );
    }
}
