//! What the reader remembers of what is open: elements, tables, and what takes their pieces.

use super::super::table::Piece;

/// Most empty cells of a row that stand for repeated ones: an element may ask for millions.
pub(super) const MAX_REPEATS: usize = 64;

/// An element whose start is remembered until its end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Element {
    Paragraph,
    Span {
        hidden: bool,
    },
    List,
    /// A list item that has a number, or a header of the list.
    Item,
    Table,
    /// A table too deep to count.
    DeepTable,
    HeaderRows,
    Row,
    /// With how many more there are of it.
    Cell {
        repeats: usize,
    },
    Note {
        end: bool,
    },
    Citation,
    Slide,
    Title,
    Header,
    Footer,
    Other,
}

/// An open table.
#[derive(Default)]
pub(super) struct Table {
    /// Of the open row.
    pub(super) cells: Vec<Vec<Piece>>,
    /// How many of them there are up to the last that is neither covered nor repeated.
    pub(super) width: usize,
    /// How many of them are repeated.
    pub(super) repeats: usize,
    pub(super) header_rows: bool,
    /// Whether all that the row holds are names of columns.
    pub(super) names: bool,
}

impl Table {
    /// Adds so many empty cells, as far as a row may have them. Texts are not repeated, only their columns are kept.
    pub(super) fn repeat(&mut self, count: usize) {
        let count = count.min(MAX_REPEATS - self.repeats);
        self.repeats += count;
        self.cells.resize(self.cells.len() + count, Vec::new());
    }
}

/// What takes the pieces that come next.
#[derive(Default)]
pub(super) struct Sink {
    pub(super) pieces: Vec<Piece>,
    /// What refers to a note.
    pub(super) label: String,
}
