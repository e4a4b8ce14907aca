//! Tables, and those that only place what they hold.

use html5ever::tokenizer::Tag;

use crate::document::BlockKind;

use super::{tag::attribute, walk::Walk};

/// An open table.
#[expect(
    clippy::struct_excessive_bools,
    reason = "any of them may go with any other"
)]
#[derive(Default)]
pub(super) struct Table {
    pub(super) cells: Vec<String>,
    pub(super) in_cell: bool,
    pub(super) in_head: bool,
    /// All cells of the row so far name something.
    pub(super) names: bool,
    /// It only places what it holds, which is read as if there were no table.
    pub(super) is_layout: bool,
}

impl Walk {
    pub(super) fn start_table(&mut self, tag: &Tag) {
        self.lay_out();
        self.flush();
        let role = attribute(&tag.attrs, "role");
        self.tables.push(Table {
            is_layout: matches!(role, Some("presentation" | "none")),
            ..Table::default()
        });
    }

    /// The table here only places what it holds: what was read of its row becomes blocks.
    pub(super) fn lay_out(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        if table.is_layout || !table.in_cell {
            return;
        }
        table.is_layout = true;
        let text = std::mem::take(&mut self.text);
        for cell in std::mem::take(&mut table.cells) {
            self.text = cell;
            self.flush();
        }
        self.text = text;
    }

    pub(super) fn in_table(&mut self, change: impl FnOnce(&mut Table)) {
        self.flush();
        if let Some(table) = self.tables.last_mut() {
            change(table);
        }
    }

    pub(super) fn start_cell(&mut self, names: bool) {
        self.flush();
        if let Some(table) = self.tables.last_mut() {
            table.in_cell = true;
            table.names &= names;
        }
    }

    pub(super) fn end_cell(&mut self) {
        match self.tables.last_mut() {
            Some(table) if table.in_cell && !table.is_layout => {
                table.cells.push(std::mem::take(&mut self.text));
                table.in_cell = false;
            }
            _ => self.flush(),
        }
    }

    pub(super) fn end_row(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        if table.in_cell {
            return self.end_cell();
        }
        let header = table.in_head || table.names;
        let cells = std::mem::take(&mut table.cells);
        let added = match &cells[..] {
            [] => Ok(()),
            // A row of one cell is a box around text.
            [text] if !header => self.blocks.prose(BlockKind::Paragraph, text),
            cells => self.blocks.row(cells, header),
        };
        self.error = self.error.take().or(added.err());
    }
}
