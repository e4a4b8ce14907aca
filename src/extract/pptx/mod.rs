//! PowerPoint presentations: a page for each shown slide, in the order of the show.
//!
//! A slide's title is a heading, then come its shapes in the order of reading, tables as rows, diagrams and the words of
//! charts, and the speaker's notes. Layouts and masters, slide numbers, dates and footers are left out.

mod order;
mod shape;
mod slide;
mod text;

use std::collections::{HashMap, HashSet};

use crate::document::{BlockKind, Page};

use self::shape::{Part, Piece};
use super::{
    Settings,
    blocks::Blocks,
    drawing,
    error::{ExtractError, Limit},
    package::{Package, Relationship, readable},
    xml::{self, Node},
};

/// Reads a presentation.
pub(super) fn extract(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut package = Package::open(bytes)?;
    let main = package.main_part("ppt/presentation.xml")?;
    let text = package
        .part(&main)?
        .ok_or_else(|| ExtractError::corrupt("its main part is missing"))?;
    let related = package.relationships(&main)?;
    let slides = slides(&text, related)?;
    if slides.len() as u64 > u64::from(settings.max_pages) {
        return Err(ExtractError::TooLarge {
            limit: Limit::Pages(settings.max_pages),
        });
    }
    let mut blocks = Blocks::new(settings.max_text_bytes);
    let mut pages = Vec::new();
    let mut any = slides.is_empty();
    for (number, slide) in (1..).zip(slides) {
        any |= add(&mut package, &slide, &mut blocks)?;
        pages.push(Page {
            number: Some(number),
            blocks: blocks.take(),
        });
    }
    if !any {
        return Err(unreadable());
    }
    Ok(pages)
}

fn unreadable() -> ExtractError {
    ExtractError::corrupt("none of its slides can be read")
}

/// The names of the slides' parts in the order of the show.
fn slides(text: &str, related: Vec<Relationship>) -> Result<Vec<String>, ExtractError> {
    let mut ids = Vec::new();
    xml::walk(text, |node| {
        if let Node::Start("sldId", start) = node
            && let Some(id) = xml::prefixed(start, "id")
        {
            ids.push(id.into_owned());
        }
        Ok(())
    })?;
    let mut targets: HashMap<String, String> = related
        .into_iter()
        .filter(|related| related.kind == "slide")
        .map(|related| (related.id, related.target))
        .collect();
    // Slides of one part, which no program writes, are one slide.
    let mut seen = HashSet::new();
    let targets = ids.iter().filter_map(|id| targets.remove(id));
    let slides: Vec<String> = targets
        .filter(|target| seen.insert(target.to_lowercase()))
        .collect();
    if slides.is_empty() && !ids.is_empty() {
        return Err(unreadable());
    }
    Ok(slides)
}

/// Adds a slide and its notes, unless it is hidden; says whether it could be read.
fn add(package: &mut Package<'_>, slide: &str, blocks: &mut Blocks) -> Result<bool, ExtractError> {
    let Some(text) = readable(package.part(slide))? else {
        return Ok(false);
    };
    let pieces = match readable(slide::read(&text, Part::Slide).map(Some))? {
        Some(Some(pieces)) => pieces,
        hidden_or_damaged => return Ok(hidden_or_damaged.is_some()),
    };
    let related = package.relationships(slide)?;
    let target = |id: &str| related.iter().find(|related| related.id == id);
    let mut first = true;
    for piece in pieces {
        match piece {
            Piece::Text(kind, text) => {
                let heads = first && kind == BlockKind::Paragraph && drawing::heads(&text);
                let title = BlockKind::Heading { level: 1 };
                if heads || kind == title {
                    blocks.line(title, &text)?;
                } else {
                    blocks.prose(kind, &text)?;
                }
            }
            Piece::Row { cells, header } => blocks.row(&cells, header)?,
            Piece::Chart(id) => {
                if let Some(related) = target(&id) {
                    chart(&package.side(&related.target)?, blocks)?;
                }
            }
            Piece::Diagram(id) => {
                if let Some(related) = target(&id) {
                    let text = package.side(&related.target)?;
                    for paragraph in readable(drawing::paragraphs(&text))? {
                        blocks.prose(BlockKind::Paragraph, &paragraph)?;
                    }
                }
            }
        }
        first = false;
    }
    for notes in related
        .iter()
        .filter(|related| related.kind == "notesSlide")
    {
        let text = package.side(&notes.target)?;
        for piece in readable(slide::read(&text, Part::Notes))?.unwrap_or_default() {
            if let Piece::Text(_, text) = piece {
                blocks.prose(BlockKind::Paragraph, &text)?;
            }
        }
    }
    Ok(true)
}

fn chart(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let chart = readable(drawing::chart(text))?;
    for title in &chart.titles {
        blocks.prose(BlockKind::Caption, title)?;
    }
    blocks.prose(BlockKind::Paragraph, &chart.labels.join(", "))
}
