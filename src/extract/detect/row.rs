//! The row of `file_type_configs` that a file is read by: mime type and name choose between kinds of text.

use crate::file_type::{FileType, FileTypes};

use super::{
    super::{Hints, error::ExtractError, ipynb, json},
    Format,
    mail::{Fields, mail_fields},
};

/// The row whose extractor this is; the hinted one if it fits.
fn row_of<'a>(types: &'a FileTypes, hints: &Hints, extractor: &str) -> Option<&'a FileType> {
    hinted(types, hints)
        .find(|row| row.extractor == extractor)
        .or_else(|| types.iter().find(|row| row.extractor == extractor))
}

/// The row that reads this format.
pub(in crate::extract) fn format_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    format: Format,
) -> Result<&'a FileType, ExtractError> {
    row_of(types, hints, format.extractor())
        .ok_or_else(|| ExtractError::unsupported(format.mime_type()))
}

/// The row of an e-mail, if these bytes are one.
pub(in crate::extract) fn mail_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    bytes: &[u8],
) -> Option<&'a FileType> {
    let extractor = hinted(types, hints)
        .next()
        .map(|row| row.extractor.as_str());
    let is_mail = match (mail_fields(bytes), extractor) {
        // Program text may begin with anything.
        (_, Some("code")) => false,
        (Fields { sent, .. }, _) if sent => true,
        (Fields { written, .. }, Some("eml")) => written >= 2,
        (fields, Some("text") | None) => fields.written >= 3 && fields.address,
        (_, Some(_)) => false,
    };
    row_of(types, hints, "eml").filter(|_| is_mail)
}

/// The row of a text, by its hints and then by how it starts.
pub(in crate::extract) fn text_row<'a>(
    types: &'a FileTypes,
    hints: &Hints,
    text: &str,
) -> Option<&'a FileType> {
    let hinted = hinted(types, hints).find(|row| is_textual(&row.extractor));
    let has_notebooks = types.iter().any(|row| row.extractor == "ipynb");
    let extractor = match hinted.map(|row| row.extractor.as_str()) {
        Some("code") => "code",
        Some(_) if starts_as_page(text) => "html",
        _ if has_notebooks && ipynb::is_notebook(text) => "ipynb",
        // Servers call anything a page.
        Some("html") if sniff(text) == "json" => "json",
        Some("json") if !json::is_valid(text) => "text",
        Some("ipynb" | "text") | None => sniff(text),
        Some(extractor) => extractor,
    };
    row_of(types, hints, extractor).or(hinted)
}

/// What to say of a file that is no text and nothing else that is known.
pub(in crate::extract) fn no_text(types: &FileTypes, hints: &Hints) -> ExtractError {
    match hinted(types, hints).next() {
        Some(row) => ExtractError::Corrupt {
            reason: format!("it does not hold what a {} file does", row.display_name),
        },
        None => ExtractError::unsupported("application/octet-stream"),
    }
}

/// The rows that the hints name, the more telling one first: `text/plain` is what browsers say of any text.
fn hinted<'a>(types: &'a FileTypes, hints: &Hints) -> impl Iterator<Item = &'a FileType> {
    let by_mime = types.by_mime(&hints.mime_type);
    let by_name = types.by_extension(&hints.name);
    let vague = by_mime.is_none_or(|row| row.extractor == "text");
    let (first, second) = if vague {
        (by_name, by_mime)
    } else {
        (by_mime, by_name)
    };
    first.into_iter().chain(second)
}

fn is_textual(extractor: &str) -> bool {
    matches!(
        extractor,
        "markdown" | "text" | "html" | "csv" | "json" | "ipynb" | "code"
    )
}

/// The extractor for a text of which nothing else is known.
fn sniff(text: &str) -> &'static str {
    let start = text.trim_start();
    if starts_as_page(start) || starts_with_tag(start) {
        "html"
    } else if start.starts_with(['{', '[']) && json::is_valid(text) {
        "json"
    } else {
        "text"
    }
}

/// Whether it starts as only an HTML page does.
fn starts_as_page(text: &str) -> bool {
    let mut start = text.trim_start();
    while let Some(rest) = skip_prolog(start) {
        start = rest.trim_start();
    }
    ["<!doctype html", "<html"]
        .iter()
        .any(|mark| has_prefix(start, mark))
}

/// What follows an XML declaration or a comment.
fn skip_prolog(text: &str) -> Option<&str> {
    let (open, close) = if text.starts_with("<?xml") {
        ("<?xml", "?>")
    } else {
        ("<!--", "-->")
    };
    let rest = text.strip_prefix(open)?;
    rest.find(close).map(|at| &rest[at + close.len()..])
}

fn starts_with_tag(text: &str) -> bool {
    const TAGS: &[&str] = &[
        "<head", "<body", "<title", "<meta", "<script", "<style", "<table", "<div", "<p>", "<h1",
    ];
    TAGS.iter().any(|tag| has_prefix(text, tag))
}

fn has_prefix(text: &str, prefix: &str) -> bool {
    text.as_bytes()
        .get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
}
