//! Which row of a table names its columns, where nothing but the cells can tell.

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
