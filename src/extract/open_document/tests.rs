//! Rows on documents that are made here; the labelled cases show each rule on a whole file.

use super::{element::MAX_REPEATS, *};

const A: &str = "<table-cell><p>a</p></table-cell>";
const COVERED: &str = "<covered-table-cell><p>hidden</p></covered-table-cell>";

/// The pieces of a table of one row: `=` before those that are rows.
fn row(cells: &str) -> Vec<String> {
    let content = format!("<text><table><table-row>{cells}</table-row></table></text>");
    let styles = Styles::read(&[]).expect("no styles");
    let read = Body::new(&styles).read(&content).expect("well formed");
    let shown = |(kind, text)| {
        let is_row = matches!(kind, BlockKind::TableRow { .. });
        format!("{}{text}", if is_row { "=" } else { "" })
    };
    read.pieces.into_iter().map(shown).collect()
}

#[test]
fn cells_stay_in_their_columns() {
    let empty = "<table-cell/>";
    let two = r#"<table-cell number-columns-repeated="2"/>"#;
    let two_covered = r#"<covered-table-cell number-columns-repeated="2"/>"#;
    assert_eq!(row(&format!("{A}{COVERED}{A}")), ["=a |  | a"]);
    assert_eq!(row(&format!("{COVERED}{A}{empty}")), ["= | a"]);
    assert_eq!(row(&format!("{A}{two}{A}{two}")), ["=a |  |  | a"]);
    assert_eq!(row(&format!("{A}{two_covered}{A}")), ["=a |  |  | a"]);
    assert_eq!(row(&format!("{A}{empty}")), ["=a"]);
}

#[test]
fn a_row_of_one_cell_places_it_whatever_it_covers() {
    assert_eq!(row(A), ["a"]);
    assert_eq!(row(&format!("{A}{COVERED}{COVERED}")), ["a"]);
}

#[test]
fn no_row_is_blown_up() {
    let many = r#"<table-cell number-columns-repeated="4000000000"/>"#;
    let separators = " | ".repeat(MAX_REPEATS + 2);
    assert_eq!(
        row(&format!("{many}{many}{A}")),
        [format!("={separators}a")]
    );
}
