//! What the rows of a table are, where nothing but the cells can tell: names of columns, data, or only a page's layout.

use crate::document::BlockKind;

/// A cell of more paragraphs is part of a page's layout, not of a table.
const MAX_CELL_PIECES: usize = 6;

/// A paragraph, list item, row … before it is cleaned.
pub(super) type Piece = (BlockKind, String);

/// Whether a row is filled with words, as one that names columns is.
pub(super) fn names_columns<T: AsRef<[Piece]>>(cells: &[T]) -> bool {
    cells.len() > 1
        && cells.iter().all(|cell| {
            let [(_, text)] = cell.as_ref() else {
                return false;
            };
            text.len() < 200 && text.chars().any(char::is_alphabetic)
        })
}

/// Whether a row only places what it holds: one cell, long cells, tables.
pub(super) fn places<T: AsRef<[Piece]>>(cells: &[T]) -> bool {
    let holds_more = |cell: &T| {
        let pieces = cell.as_ref();
        let mut kinds = pieces.iter().map(|(kind, _)| kind);
        pieces.len() > MAX_CELL_PIECES
            || kinds.any(|kind| matches!(kind, BlockKind::TableRow { .. }))
    };
    cells.len() == 1 || cells.iter().any(holds_more)
}

/// The text of a cell.
pub(super) fn join(cell: &[Piece]) -> String {
    let texts: Vec<&str> = cell.iter().map(|(_, text)| text.as_str()).collect();
    texts.join(" ")
}

/// Whether a row names the columns: all cells filled, different and no numbers, while the next row has as many.
pub(super) fn is_header(row: &[&str], next: &[&str]) -> bool {
    let mut cells: Vec<&str> = row.iter().map(|cell| cell.trim()).collect();
    while cells.last().is_some_and(|cell| cell.is_empty()) {
        cells.pop();
    }
    let named = cells
        .iter()
        .all(|cell| cell.chars().any(char::is_alphabetic) && cell.len() < 200);
    let count = cells.len();
    cells.sort_unstable();
    cells.dedup();
    count > 0 && named && cells.len() == count && next.len() == row.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_filled_with_different_words_as_wide_as_the_next_row() {
        assert!(is_header(&["name", "price"], &["tea", "2"]));
        assert!(is_header(&["name", " "], &["tea", ""]));
        for row in [["name", "name"], ["name", "2"], ["", "price"], ["", ""]] {
            assert!(!is_header(&row, &["tea", "2"]), "{row:?}");
        }
        assert!(!is_header(&["name"], &["tea", "2"]));
    }
}
