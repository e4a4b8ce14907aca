//! OpenDocument texts and presentations, as LibreOffice and others write them.
//!
//! Headings, lists and their numbers, tables as rows, footnotes after what refers to them, endnotes last; a presentation has a
//! page for each shown slide, its title first and the speaker's notes last. Tracked changes are read as accepted; hidden text,
//! comments and lists that repeat the headings (tables of contents, of figures, indexes) are left out.

mod body;
mod element;
mod list;
mod paragraph;
mod send;
mod style;

use crate::document::{BlockKind, Page};

use self::body::{Body, Slide};
pub(super) use self::style::Styles;
use super::{
    Settings,
    blocks::Blocks,
    error::{ExtractError, Limit},
    package::{Package, readable},
    table::Piece,
    xml::{self, Node},
};

/// Reads a text; it fixes no pages, so there is one without a number.
pub(super) fn text(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = open(bytes)?;
    let (content, styles) = parts(&mut package)?;
    let looks = Styles::read(&[&styles, &content])?;
    let margins = Body::new(&looks).margins(&styles)?;
    let body = Body::new(&looks).read(&content)?;

    let mut blocks = Blocks::new(settings.max_text_bytes);
    let headers = margins.headers.into_iter();
    let footers = margins.footers.into_iter();
    send(headers.chain(body.pieces).chain(footers), &mut blocks)?;
    Ok(vec![Page {
        number: None,
        blocks: blocks.take(),
    }])
}

/// Reads a presentation.
pub(super) fn presentation(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = open(bytes)?;
    let (content, styles) = parts(&mut package)?;
    let looks = Styles::read(&[&styles, &content])?;
    let slides = Body::new(&looks).read(&content)?.slides;
    if slides.len() as u64 > u64::from(settings.max_pages) {
        return Err(ExtractError::TooLarge {
            limit: Limit::Pages(settings.max_pages),
        });
    }
    let mut blocks = Blocks::new(settings.max_text_bytes);
    let mut pages = Vec::new();
    for (number, Slide { hidden, pieces }) in (1..).zip(slides) {
        if !hidden {
            send(pieces, &mut blocks)?;
        }
        pages.push(Page {
            number: Some(number),
            blocks: blocks.take(),
        });
    }
    Ok(pages)
}

/// Opens the package of a document, unless it is under a password.
pub(super) fn open(bytes: &[u8]) -> Result<Package<'_>, ExtractError> {
    let mut package = Package::open(bytes)?;
    let manifest = package.side("META-INF/manifest.xml")?;
    let mut encrypted = false;
    readable(xml::walk(&manifest, |node| {
        encrypted |= matches!(node, Node::Start("encryption-data", _));
        Ok(())
    }))?;
    if encrypted {
        return Err(ExtractError::Encrypted);
    }
    Ok(package)
}

/// The content and the styles.
fn parts(package: &mut Package<'_>) -> Result<(String, String), ExtractError> {
    let content = package
        .part("content.xml")?
        .ok_or_else(|| ExtractError::corrupt("its main part is missing"))?;
    Ok((content, package.side("styles.xml")?))
}

/// Adds pieces; lines of program text, which are a paragraph each, are joined.
fn send(pieces: impl IntoIterator<Item = Piece>, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut code = String::new();
    for (kind, text) in pieces {
        if kind == BlockKind::Code {
            code.push_str(&text);
            code.push('\n');
            continue;
        }
        blocks.layout(BlockKind::Code, &std::mem::take(&mut code))?;
        match kind {
            BlockKind::Heading { .. } => blocks.line(kind, &text)?,
            // Cell by cell: empty ones stay.
            BlockKind::TableRow { header } => {
                blocks.row(&text.split(" | ").collect::<Vec<_>>(), header)?;
            }
            BlockKind::Paragraph
            | BlockKind::ListItem
            | BlockKind::Code
            | BlockKind::Caption
            | BlockKind::Footnote => blocks.prose(kind, &text)?,
        }
    }
    blocks.layout(BlockKind::Code, &code)
}

#[cfg(test)]
mod tests;
