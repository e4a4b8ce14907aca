//! What becomes of an element once it ends: where rows, notes and slides go.

use std::mem;

use crate::document::BlockKind;

use super::{
    super::{
        drawing,
        table::{Piece, join, places},
    },
    body::{Body, Slide},
    element::Element,
};

impl Body<'_> {
    pub(super) fn end(&mut self, element: Element) {
        match element {
            Element::Paragraph => self.end_paragraph(),
            Element::Span { hidden } => self.hidden_spans -= usize::from(hidden),
            Element::List => self.lists.end(),
            Element::Row => self.end_row(),
            Element::Cell { repeats } => {
                let cell = self.sinks.pop().unwrap_or_default();
                if let Some(table) = self.tables.last_mut() {
                    table.cells.push(cell.pieces);
                    table.width = table.cells.len();
                    table.repeat(repeats);
                }
            }
            Element::HeaderRows => {
                if let Some(table) = self.tables.last_mut() {
                    table.header_rows = false;
                }
            }
            Element::Table => {
                self.tables.pop();
                self.send_notes();
            }
            Element::Note { end } => self.end_note(end),
            Element::Header => {
                let sink = self.sinks.pop().unwrap_or_default();
                self.margins.headers.extend(sink.pieces);
            }
            Element::Footer => {
                let sink = self.sinks.pop().unwrap_or_default();
                self.margins.footers.extend(sink.pieces);
            }
            Element::Slide => self.end_slide(),
            Element::Title => {
                let sink = self.sinks.pop().unwrap_or_default();
                let text = join(&sink.pieces);
                self.send(BlockKind::Heading { level: 1 }, text);
            }
            Element::Item | Element::DeepTable | Element::Citation | Element::Other => {}
        }
    }

    fn end_row(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        let mut cells = mem::take(&mut table.cells);
        let width = mem::take(&mut table.width);
        table.repeats = 0;
        let filled = cells.iter().filter(|cell| !cell.is_empty()).count();
        let header = table.header_rows || table.names && filled > 0;
        if !header && places(&cells[..width]) {
            for (kind, text) in cells.into_iter().flatten() {
                self.send(kind, text);
            }
            return;
        }
        while cells.last().is_some_and(Vec::is_empty) {
            cells.pop();
        }
        if filled > 0 {
            let cells: Vec<String> = cells.iter().map(|cell| join(cell)).collect();
            self.send(BlockKind::TableRow { header }, cells.join(" | "));
        }
    }

    fn end_note(&mut self, end: bool) {
        let note = self.sinks.pop().unwrap_or_default();
        let label = format!("[{}]", note.label.trim());
        let text = format!("{label} {}", join(&note.pieces));
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(&label);
        }
        let notes = if end {
            &mut self.endnotes
        } else {
            &mut self.footnotes
        };
        notes.push((BlockKind::Footnote, text));
    }

    /// Ends a slide: its titles first, or a first paragraph that is one.
    fn end_slide(&mut self) {
        let sink = self.sinks.pop().unwrap_or_default();
        let is_title = |piece: &Piece| piece.0 == BlockKind::Heading { level: 1 };
        let (mut pieces, others): (Vec<_>, Vec<_>) = sink.pieces.into_iter().partition(is_title);
        pieces.extend(others);
        if let Some((kind, text)) = pieces.first_mut()
            && *kind == BlockKind::Paragraph
            && drawing::heads(text)
        {
            *kind = BlockKind::Heading { level: 1 };
        }
        self.slides.push(Slide {
            hidden: mem::take(&mut self.slide_hidden),
            pieces,
        });
    }

    /// Sends a piece to the innermost open cell, note, slide or margin, or out.
    pub(super) fn send(&mut self, kind: BlockKind, text: String) {
        match self.sinks.last_mut() {
            Some(sink) => sink.pieces.push((kind, text)),
            None => self.out.push((kind, text)),
        }
    }

    /// Sends the footnotes that were met, unless a paragraph, table or note around is still open.
    pub(super) fn send_notes(&mut self) {
        if self.paragraphs.is_empty() && self.tables.is_empty() && self.sinks.is_empty() {
            self.out.append(&mut self.footnotes);
        }
    }
}
