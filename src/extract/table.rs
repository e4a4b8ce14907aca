//! What the rows of a table are, where nothing but the cells can tell: names of columns, data, or only a page's layout.

use crate::document::BlockKind;

/// A cell of more paragraphs is part of a page's layout, or what a row lists beside its name.
const MAX_CELL_PIECES: usize = 6;

/// A longer row with such a cell would be cut apart anyway.
const MAX_LISTING_BYTES: usize = 2000;

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

/// Whether a row only places what it holds: one cell, tables, long cells, unless it lists something.
pub(super) fn places<T: AsRef<[Piece]>>(cells: &[T]) -> bool {
    let holds_row = |cell: &T| {
        let mut kinds = cell.as_ref().iter().map(|(kind, _)| kind);
        kinds.any(|kind| matches!(kind, BlockKind::TableRow { .. }))
    };
    let is_long = |cell: &T| cell.as_ref().len() > MAX_CELL_PIECES;
    cells.len() == 1
        || cells.iter().any(holds_row)
        || cells.iter().any(is_long) && !lists(cells, is_long)
}

/// Whether a row of long cells names something in one cell and lists what belongs to it in another, in words that fit
/// together: no headings, and no more than a reader takes for one row.
fn lists<T: AsRef<[Piece]>>(cells: &[T], is_long: impl Fn(&T) -> bool) -> bool {
    let (long, short): (Vec<&T>, Vec<&T>) = cells.iter().partition(|cell| is_long(cell));
    let pieces = || cells.iter().flat_map(AsRef::as_ref);
    long.len() == 1
        && short
            .iter()
            .any(|cell| !join(cell.as_ref()).trim().is_empty())
        && !pieces().any(|(kind, _)| matches!(kind, BlockKind::Heading { .. }))
        && pieces().map(|(_, text)| text.len()).sum::<usize>() <= MAX_LISTING_BYTES
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

    fn cell(kind: BlockKind, texts: &[&str]) -> Vec<Piece> {
        texts
            .iter()
            .map(|text| (kind, (*text).to_owned()))
            .collect()
    }

    #[test]
    fn a_row_that_lists_something_beside_its_name_places_nothing() {
        let words = |texts: &[&str]| cell(BlockKind::Paragraph, texts);
        let (name, list) = (words(&["Heron W7"]), words(&["part"; 9]));
        assert!(!places(&[name.clone(), list.clone()]));
        for layout in [
            [words(&[]), list.clone()],
            [list.clone(), list.clone()],
            [
                name.clone(),
                words(&["a long paragraph ".repeat(20).as_str(); 9]),
            ],
            [
                cell(BlockKind::Heading { level: 1 }, &["Rain"]),
                list.clone(),
            ],
            [
                name,
                cell(BlockKind::TableRow { header: false }, &["a | b"]),
            ],
        ] {
            assert!(places(&layout), "{layout:?}");
        }
        assert!(places(&[list]));
    }

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
