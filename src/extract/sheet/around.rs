//! What stands around the cells of a sheet, in XML parts of its own.

use std::borrow::Cow;

use crate::document::BlockKind;

use super::{
    super::{
        drawing,
        error::ExtractError,
        package::{Package, Relationship, readable},
        xml::{self, Node},
    },
    cells::{Cells, Note},
    reference,
};

impl Cells {
    /// Notes the first row of an area as one that names the columns.
    pub(super) fn name_columns_of(&mut self, area: Option<Cow<'_, str>>) {
        if let Some(area) = area.and_then(|area| reference::area(&area)) {
            self.name_columns(area.first_row);
        }
    }
}

/// Comments, text boxes and titles of charts; the sheet's tables tell where its headers are.
pub(super) fn said(
    package: &mut Package<'_>,
    sheet: &str,
    cells: &mut Cells,
) -> Result<Vec<Note>, ExtractError> {
    let mut notes = Vec::new();
    let related = package.relationships(sheet)?;
    let threaded = related
        .iter()
        .any(|related| related.kind == "threadedComment");
    for Relationship { kind, target, .. } in &related {
        match &**kind {
            "table" => {
                readable(table(&package.side(target)?, cells))?;
            }
            // Threads are told again as comments, for older programs.
            "threadedComment" => readable(comments(&package.side(target)?, &mut notes))?,
            "comments" if !threaded => readable(comments(&package.side(target)?, &mut notes))?,
            "drawing" => drawn(package, target, &mut notes)?,
            _ => {}
        }
    }
    Ok(notes)
}

fn table(text: &str, cells: &mut Cells) -> Result<(), ExtractError> {
    xml::walk(text, |node| {
        if let Node::Start("table", start) = node
            && xml::attribute(start, "headerRowCount").is_none_or(|count| count != "0")
        {
            cells.name_columns_of(xml::attribute(start, "ref"));
        }
        Ok(())
    })
}

fn comments(text: &str, notes: &mut Vec<Note>) -> Result<(), ExtractError> {
    let (mut on, mut said, mut in_text) = (String::new(), String::new(), false);
    xml::walk(text, |node| {
        match node {
            Node::Start("comment" | "threadedComment", start) => {
                on = xml::attribute(start, "ref")
                    .unwrap_or_default()
                    .into_owned();
            }
            Node::Start("t", _) => in_text = true,
            Node::Start("text", _) => {
                // A thread's comment has its text right here.
                in_text = true;
            }
            Node::End("t" | "text") => in_text = false,
            Node::Text(text) if in_text => said.push_str(text),
            Node::End("comment" | "threadedComment") => {
                let said = std::mem::take(&mut said);
                if !said.trim().is_empty() {
                    notes.push((BlockKind::Footnote, format!("{on}: {}", said.trim())));
                }
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })
}

/// Text of shapes and titles of charts.
pub(super) fn drawn(
    package: &mut Package<'_>,
    drawing: &str,
    notes: &mut Vec<Note>,
) -> Result<(), ExtractError> {
    let paragraphs = readable(drawing::paragraphs(&package.side(drawing)?))?;
    notes.extend(
        paragraphs
            .into_iter()
            .map(|text| (BlockKind::Paragraph, text)),
    );
    for related in package.relationships(drawing)? {
        if related.kind == "chart" {
            let text = package.side(&related.target)?;
            let titles = readable(drawing::chart(&text))?.titles;
            notes.extend(titles.into_iter().map(|title| (BlockKind::Caption, title)));
        }
    }
    Ok(())
}
