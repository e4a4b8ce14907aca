//! An open table, and what its rows are once they end.

use std::mem;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::super::{
    table::{Piece, join, names_columns, places},
    xml,
};

/// A table of more columns has no use for a cell that spans them all.
const MAX_SPAN: usize = 64;

/// An open table.
#[derive(Default)]
pub(super) struct Table {
    /// How many paragraphs are open around it.
    pub(super) depth: usize,
    /// Of the open row.
    pub(super) cells: Vec<Cell>,
    /// Columns that the open row leaves free at its start.
    free_columns: usize,
    rows: usize,
    /// The first row is set apart by the table's look.
    pub(super) first_row_names: bool,
    row_names: bool,
    row_deleted: bool,
}

/// A cell of the open row.
#[derive(Default)]
pub(super) struct Cell {
    pub(super) pieces: Vec<Piece>,
    /// Columns beyond its first.
    more_columns: usize,
    deleted: bool,
}

/// What a row is once it has ended.
pub(super) enum Row {
    /// Left out.
    Gone,
    /// It only placed these on the page.
    Places(Vec<Piece>),
    /// A row of a table.
    Cells(Piece),
}

impl AsRef<[Piece]> for Cell {
    fn as_ref(&self) -> &[Piece] {
        &self.pieces
    }
}

impl Table {
    pub(super) fn at(depth: usize) -> Self {
        Self {
            depth,
            ..Self::default()
        }
    }

    /// Takes in a setting of the open row.
    pub(super) fn set_row(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "tblHeader" => self.row_names = xml::is_on(start),
            "del" => self.row_deleted = true,
            "gridBefore" => self.free_columns = columns(start),
            _ => {}
        }
    }

    /// Takes in a setting of the open cell.
    pub(super) fn set_cell(&mut self, name: &str, start: &BytesStart<'_>) {
        let Some(cell) = self.cells.last_mut() else {
            return;
        };
        match name {
            "gridSpan" => cell.more_columns = columns(start).saturating_sub(1),
            "cellDel" => cell.deleted = true,
            _ => {}
        }
    }

    pub(super) fn end_row(&mut self) -> Row {
        let mut cells = mem::take(&mut self.cells);
        cells.retain(|cell| !cell.deleted);
        let deleted = mem::take(&mut self.row_deleted);
        let marked = mem::take(&mut self.row_names);
        let free = mem::take(&mut self.free_columns);
        let first = self.rows == 0 && self.first_row_names;
        self.rows += 1;
        if deleted {
            return Row::Gone;
        }
        let header = marked || first && names_columns(&cells);
        if !header && places(&cells) {
            return Row::Places(cells.into_iter().flat_map(|cell| cell.pieces).collect());
        }
        if cells.iter().all(Cell::is_blank) {
            return Row::Gone;
        }
        Row::Cells((BlockKind::TableRow { header }, written(&cells, free)))
    }
}

impl Cell {
    fn is_blank(&self) -> bool {
        self.pieces.iter().all(|(_, text)| text.trim().is_empty())
    }
}

/// The cells in their columns: those that span several leave the others free.
fn written(cells: &[Cell], mut free: usize) -> String {
    let mut row = String::new();
    for (place, cell) in cells.iter().enumerate() {
        row.push_str(&" | ".repeat(free + usize::from(place > 0)));
        row.push_str(&join(&cell.pieces));
        free = cell.more_columns;
    }
    row
}

fn columns(start: &BytesStart<'_>) -> usize {
    let columns = xml::value(start).and_then(|columns| columns.parse().ok());
    columns.unwrap_or(0).min(MAX_SPAN)
}

/// Whether a table's look sets its first row apart.
pub(super) fn look_names_first_row(start: &BytesStart<'_>) -> bool {
    if let Some(first) = xml::attribute(start, "firstRow") {
        return matches!(&*first, "1" | "true" | "on");
    }
    let bits = xml::value(start).and_then(|bits| u32::from_str_radix(&bits, 16).ok());
    bits.is_some_and(|bits| bits & 0x20 != 0)
}
