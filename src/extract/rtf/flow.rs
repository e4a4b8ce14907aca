//! A run of paragraphs and tables: the body, a note, a text box, a header.

use std::mem;

use crate::document::BlockKind;

use super::super::table::{Piece, join, names_columns, places};

/// Tables within tables beyond this count as the innermost.
const MAX_TABLES: usize = 16;
/// More cells than any row of a document has: what follows is the next row.
const MAX_CELLS: usize = 1024;

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Body,
    /// A text box, read after the paragraph that it hangs on.
    Frame,
    /// A footnote or endnote, with its number if the text refers to it by one.
    Note(Option<u32>),
    Header,
    Footer,
}

/// An open table.
#[derive(Debug, Default)]
struct Table {
    /// Of the open row.
    cells: Vec<Vec<Piece>>,
    /// Of the open cell.
    cell: Vec<Piece>,
    rows: usize,
}

/// What the row that is read says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Row {
    /// It is repeated on each page.
    pub(super) repeated: bool,
    /// The table's look sets the first row apart.
    pub(super) first_names: bool,
}

/// A run of paragraphs and tables.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) purpose: Purpose,
    /// How many groups were open when it began.
    pub(super) depth: usize,
    /// Of the open paragraph.
    pub(super) text: String,
    /// The number or bullet before it.
    pub(super) marker: String,
    pub(super) row: Row,
    tables: Vec<Table>,
    /// What goes out after the open paragraph or table: notes and text boxes.
    after: Vec<Piece>,
    /// What goes out after the open table.
    below: Vec<Piece>,
    out: Vec<Piece>,
}

impl Flow {
    pub(super) const fn new(purpose: Purpose, depth: usize) -> Self {
        Self {
            purpose,
            depth,
            text: String::new(),
            marker: String::new(),
            row: Row {
                repeated: false,
                first_names: false,
            },
            tables: Vec::new(),
            after: Vec::new(),
            below: Vec::new(),
            out: Vec::new(),
        }
    }

    /// Ends the paragraph, which lies in the `level`th table within another; 0 is none.
    pub(super) fn end_paragraph(&mut self, kind: BlockKind, level: usize) {
        let text = mem::take(&mut self.text);
        let marker = mem::take(&mut self.marker);
        if text.trim().is_empty() {
            return self.send_after();
        }
        let marker = marker.trim();
        let piece = if marker.is_empty() {
            (kind, text)
        } else {
            let kind = if kind == BlockKind::Paragraph {
                BlockKind::ListItem
            } else {
                kind
            };
            let marker = if marker.chars().any(char::is_alphanumeric) {
                marker
            } else {
                "-"
            };
            (kind, format!("{marker} {}", text.trim_start()))
        };
        self.send(piece, level);
        self.send_after();
    }

    /// Ends a cell of the `level`th table.
    pub(super) fn end_cell(&mut self, kind: BlockKind, level: usize) {
        let level = level.clamp(1, MAX_TABLES);
        self.end_paragraph(kind, level);
        self.close_tables(level);
        let table = self.table(level);
        let cell = mem::take(&mut table.cell);
        table.cells.push(cell);
        if table.cells.len() >= MAX_CELLS {
            self.end_row(level);
        }
    }

    /// Ends a row of the `level`th table.
    pub(super) fn end_row(&mut self, level: usize) {
        let level = level.clamp(1, MAX_TABLES);
        if !self.text.trim().is_empty() {
            self.end_cell(BlockKind::Paragraph, level);
        }
        self.close_tables(level);
        let row = mem::take(&mut self.row);
        let table = self.table(level);
        let mut cells = mem::take(&mut table.cells);
        let rest = mem::take(&mut table.cell);
        if !rest.is_empty() {
            cells.push(rest);
        }
        let first = table.rows == 0;
        table.rows += 1;
        let header = row.repeated || first && row.first_names && names_columns(&cells);
        if !header && places(&cells) {
            for piece in cells.into_iter().flatten() {
                self.send_within(piece, level - 1);
            }
            return;
        }
        let cells: Vec<String> = cells.iter().map(|cell| join(cell)).collect();
        if cells.iter().any(|cell| !cell.trim().is_empty()) {
            self.send_within(
                (BlockKind::TableRow { header }, cells.join(" | ")),
                level - 1,
            );
        }
    }

    /// Adds a piece from elsewhere, after the paragraph or table that is open.
    pub(super) fn append(&mut self, piece: Piece) {
        if self.tables.is_empty() && self.text.trim().is_empty() {
            self.out.push(piece);
        } else {
            self.after.push(piece);
        }
    }

    /// What is complete so far.
    pub(super) fn take(&mut self) -> Vec<Piece> {
        mem::take(&mut self.out)
    }

    /// Ends everything that is open.
    pub(super) fn finish(mut self, kind: BlockKind) -> Vec<Piece> {
        self.end_paragraph(kind, 0);
        self.close_tables(0);
        self.out
    }

    fn send_after(&mut self) {
        if self.tables.is_empty() {
            self.out.append(&mut self.after);
        } else {
            self.below.append(&mut self.after);
        }
    }

    /// Sends a piece to its table, closing those that it is not in.
    fn send(&mut self, piece: Piece, level: usize) {
        let level = level.min(MAX_TABLES);
        self.close_tables(level);
        if level > 0 {
            self.table(level);
        }
        self.send_within(piece, level);
    }

    fn send_within(&mut self, piece: Piece, level: usize) {
        match level.checked_sub(1).and_then(|at| self.tables.get_mut(at)) {
            Some(table) => table.cell.push(piece),
            None => self.out.push(piece),
        }
    }

    /// The `level`th table; those around it are opened if they are not.
    fn table(&mut self, level: usize) -> &mut Table {
        let at = level.max(1) - 1;
        while self.tables.len() <= at {
            self.tables.push(Table::default());
        }
        &mut self.tables[at]
    }

    /// Closes the tables within the `level`th; a row that never ended is one all the same.
    fn close_tables(&mut self, level: usize) {
        while self.tables.len() > level {
            let open = self.tables.last();
            if open.is_some_and(|table| !table.cells.is_empty() || !table.cell.is_empty()) {
                self.end_row(self.tables.len());
            }
            self.tables.pop();
        }
        if self.tables.is_empty() {
            self.out.append(&mut self.below);
        }
    }
}
