//! Where paragraphs, rows and notes go once they end: to the cell or paragraph around them, or out.

use std::mem;

use quick_xml::events::BytesStart;

use crate::document::{Block, BlockKind};

use super::{
    super::{error::ExtractError, table::Piece, xml},
    body::Body,
    field::{PAGE_NUMBER, without_page_numbers},
    paragraph::Paragraph,
    table::Row,
};

/// What boxes within more boxes hold goes to the outer ones at once: it is handed on no more often than this.
const MAX_BOXES: usize = 16;

impl Body<'_, '_> {
    pub(super) fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        let Some(paragraph) = self.paragraphs.pop() else {
            return Ok(());
        };
        if paragraph.runs_on {
            self.carried = paragraph;
            return Ok(());
        }
        let (kind, marker) = paragraph.look_up(self.context);
        self.send_paragraph(paragraph, kind, &marker)
    }

    /// Sends a paragraph with what hangs on it: before it, but after a heading, which names it.
    fn send_paragraph(
        &mut self,
        paragraph: Paragraph,
        kind: BlockKind,
        marker: &str,
    ) -> Result<(), ExtractError> {
        let Paragraph { text, boxes, .. } = paragraph;
        let text = if self.is_margin && text.contains(PAGE_NUMBER) {
            without_page_numbers(&text)
        } else {
            text
        };
        let text = if text.trim().is_empty() || marker.is_empty() {
            text
        } else {
            format!("{marker} {text}")
        };
        let (above, below) = if matches!(kind, BlockKind::Heading { .. }) {
            (Vec::new(), boxes)
        } else {
            (boxes, Vec::new())
        };
        for piece in above {
            self.send(piece)?;
        }
        if !text.trim().is_empty() {
            self.send((kind, text))?;
        }
        for piece in below {
            self.send(piece)?;
        }
        self.send_notes()
    }

    /// Sends what a deletion at the end of a cell, box or part left without a next paragraph to run on into.
    pub(super) fn flush_carried(&mut self) -> Result<(), ExtractError> {
        let carried = mem::take(&mut self.carried);
        self.send_paragraph(carried, BlockKind::Paragraph, "")
    }

    /// A box that stands in its line like a letter is read there, if it has but a line to say.
    pub(super) fn end_box(&mut self, in_line: bool, before: usize) -> Result<(), ExtractError> {
        self.flush_carried()?;
        let depth = self.paragraphs.len();
        let Some(around) = self.paragraphs.last_mut() else {
            return Ok(());
        };
        if in_line
            && depth <= MAX_BOXES
            && around.boxes.len() == before + 1
            && let Some((_, text)) = around
                .boxes
                .pop_if(|(kind, text)| *kind == BlockKind::Paragraph && !text.contains('\n'))
        {
            around.text.push(' ');
            around.text.push_str(&text);
            around.text.push(' ');
        }
        Ok(())
    }

    pub(super) fn end_row(&mut self) -> Result<(), ExtractError> {
        // A row goes to what the table stands in.
        let Some(mut table) = self.tables.pop() else {
            return Ok(());
        };
        match table.end_row() {
            Row::Gone => {}
            Row::Cells(piece) => self.send(piece)?,
            Row::Places(pieces) => {
                for piece in pieces {
                    self.send(piece)?;
                }
            }
        }
        self.tables.push(table);
        Ok(())
    }

    /// Sends what another document holds that is shown here; the ids are of the main part.
    pub(super) fn send_chunk(&mut self, start: &BytesStart<'_>) -> Result<(), ExtractError> {
        let id = xml::prefixed(start, "id").filter(|_| !self.is_margin);
        if let (Some(id), Some(chunks)) = (id, &mut self.context.chunks) {
            for Block { kind, text } in chunks.show(&id)? {
                self.send((kind, text))?;
            }
        }
        Ok(())
    }

    /// Sends a piece to the innermost open cell or paragraph, or out.
    fn send(&mut self, piece: Piece) -> Result<(), ExtractError> {
        let depth = self.paragraphs.len();
        let table = self.tables.last_mut().filter(|table| table.depth == depth);
        if let Some(cell) = table.and_then(|table| table.cells.last_mut()) {
            cell.pieces.push(piece);
        } else if let Some(around) = depth.min(MAX_BOXES).checked_sub(1) {
            self.paragraphs[around].boxes.push(piece);
        } else {
            self.send_out(piece.0, &piece.1)?;
        }
        Ok(())
    }

    fn send_out(&mut self, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
        if kind == BlockKind::Code {
            self.code.push_str(text);
            self.code.push('\n');
            return Ok(());
        }
        self.flush_code()?;
        match kind {
            BlockKind::Heading { .. } | BlockKind::TableRow { .. } => self.blocks.line(kind, text),
            BlockKind::Paragraph
            | BlockKind::ListItem
            | BlockKind::Code
            | BlockKind::Caption
            | BlockKind::Footnote => self.blocks.prose(kind, text),
        }
    }

    fn flush_code(&mut self) -> Result<(), ExtractError> {
        self.blocks
            .layout(BlockKind::Code, &mem::take(&mut self.code))
    }

    /// Ends a part.
    pub(super) fn finish(&mut self) -> Result<(), ExtractError> {
        self.flush_carried()?;
        self.flush_code()
    }

    /// Sends the notes that were met, unless a paragraph or table around is still open.
    pub(super) fn send_notes(&mut self) -> Result<(), ExtractError> {
        if self.paragraphs.is_empty() && self.tables.is_empty() {
            for note in mem::take(&mut self.notes) {
                self.send_out(BlockKind::Footnote, &note)?;
            }
        }
        Ok(())
    }
}
