//! Word documents: a streaming reader over the zip's parts.
//!
//! Headings by style, lists and headings with their numbers, tables as rows, footnotes after what refers to them, endnotes last,
//! headers first and footers last, each text once and without page numbers. Tracked changes are read as accepted; hidden text
//! and field codes are left out, and comments unless they are asked for. Documents of other kinds are read where they are shown.

mod body;
mod chunk;
mod context;
mod drop_down;
mod element;
mod field;
mod formula;
mod mark;
mod numbering;
mod paragraph;
mod part;
mod send;
mod styles;
mod table;

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::document::{Block, BlockKind, Page};

pub(super) use self::field::{PAGE_WORDS, is_page_number};
use self::{chunk::Chunks, context::Context, numbering::Numbering, styles::Styles};
use super::{
    Settings,
    blocks::Blocks,
    error::ExtractError,
    package::{Package, Relationship, readable},
    xml,
};

/// What `file_type_configs.options` may say of Word files; other keys, and values of another kind, say nothing.
#[derive(Debug, Default, PartialEq, Eq)]
struct Options {
    /// Whether comments are read, each after the paragraph that it is on.
    comments: bool,
    /// Whether headings are read with the numbers that Word counts.
    heading_numbers: bool,
}

impl Options {
    fn of(options: &Value) -> Self {
        let is_on = |key| options.get(key).and_then(Value::as_bool).unwrap_or(false);
        Self {
            comments: is_on("comments"),
            heading_numbers: is_on("heading_numbers"),
        }
    }
}

/// Reads a document; Word fixes no pages, so there is one without a number.
pub(super) fn extract(
    bytes: &[u8],
    settings: &Settings,
    options: &Value,
) -> Result<Vec<Page>, ExtractError> {
    read(Package::open(bytes)?, settings, options, true)
}

/// The same, with or without the documents of other kinds that it shows in place.
fn read(
    mut package: Package<'_>,
    settings: &Settings,
    options: &Value,
    with_chunks: bool,
) -> Result<Vec<Page>, ExtractError> {
    let Options {
        comments: with_comments,
        heading_numbers,
    } = Options::of(options);
    let main = package.main_part("word/document.xml")?;
    let text = package
        .part(&main)?
        .ok_or_else(|| ExtractError::corrupt("its main part is missing"))?;
    let related = package.relationships(&main)?;
    let styles = readable(Styles::read(&part(&mut package, &related, "styles")?))?;
    let mut numbering = readable(Numbering::read(&part(&mut package, &related, "numbering")?))?;
    let mut context = Context::new(&styles, &mut numbering);
    context.footnotes = notes(&mut package, &related, "footnotes", &mut context)?;
    context.endnotes = notes(&mut package, &related, "endnotes", &mut context)?;
    context.heading_numbers = heading_numbers;
    if with_comments {
        context.comments = comments(&mut package, &related, &mut context)?;
    }
    if with_chunks {
        context.chunks = Some(Chunks::new(&package, &related, settings, options));
    }

    let mut blocks = Blocks::new(settings.max_text_bytes);
    let mut margins = Margins::default();
    margins.add(&mut package, &related, "header", &mut context, &mut blocks)?;
    part::read(&text, &mut context, &mut blocks)?;
    for note in context.take_endnotes() {
        blocks.prose(BlockKind::Footnote, &note)?;
    }
    margins.add(&mut package, &related, "footer", &mut context, &mut blocks)?;
    Ok(vec![Page {
        number: None,
        blocks: blocks.take(),
    }])
}

/// The one part of a kind, or no text if there is none that can be read.
fn part(
    package: &mut Package<'_>,
    related: &[Relationship],
    kind: &str,
) -> Result<String, ExtractError> {
    match related
        .iter()
        .find(|relationship| relationship.kind == kind)
    {
        Some(relationship) => package.side(&relationship.target),
        None => Ok(String::new()),
    }
}

/// The texts of footnotes or endnotes by id.
fn notes(
    package: &mut Package<'_>,
    related: &[Relationship],
    kind: &str,
    context: &mut Context<'_>,
) -> Result<HashMap<String, String>, ExtractError> {
    let mut notes = HashMap::new();
    let text = part(package, related, kind)?;
    readable(part::read_notes(&text, context, |start, note| {
        let id = xml::attribute(start, "id").unwrap_or_default();
        notes.insert(id.into_owned(), note);
    }))?;
    Ok(notes)
}

/// The texts of comments by id, each with its author.
fn comments(
    package: &mut Package<'_>,
    related: &[Relationship],
    context: &mut Context<'_>,
) -> Result<HashMap<String, String>, ExtractError> {
    let mut comments = HashMap::new();
    let text = part(package, related, "comments")?;
    readable(part::read_notes(&text, context, |start, comment| {
        let id = xml::attribute(start, "id").unwrap_or_default();
        let author = xml::attribute(start, "author").unwrap_or_default();
        let label = match author.trim() {
            "" => "[comment]".to_owned(),
            author => format!("[comment by {author}]"),
        };
        comments.insert(id.into_owned(), format!("{label} {comment}"));
    }))?;
    Ok(comments)
}

/// Headers and footers: the same text on first, even and odd pages and in every section is sent once.
#[derive(Default)]
struct Margins(HashSet<String>);

impl Margins {
    fn add(
        &mut self,
        package: &mut Package<'_>,
        related: &[Relationship],
        kind: &str,
        context: &mut Context<'_>,
        blocks: &mut Blocks,
    ) -> Result<(), ExtractError> {
        for relationship in related
            .iter()
            .filter(|relationship| relationship.kind == kind)
        {
            let text = package.side(&relationship.target)?;
            let mut margin = blocks.apart();
            readable(part::read_margin(&text, context, &mut margin))?;
            for Block { text, .. } in margin.take() {
                // A row of which only the page's number was.
                let text = text.trim_matches([' ', '|']);
                if !text.is_empty() && self.0.insert(text.to_owned()) {
                    blocks.prose(BlockKind::Paragraph, text)?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
