//! Tables of text: the delimiter is found by which one cuts the most rows alike.

use csv::{ReaderBuilder, StringRecord};

use super::{blocks::Blocks, error::ExtractError, table::is_header};

/// What may part the cells, the likeliest first.
const DELIMITERS: [u8; 4] = [b',', b'\t', b';', b'|'];

/// How many rows the delimiter is judged by.
const SAMPLE_ROWS: usize = 50;

/// Adds the rows of `text`; the first is the header if it looks like one. `likely` is the delimiter that the file's type
/// names, taken if it cuts any row at all.
pub(super) fn extract(
    text: &str,
    likely: Option<u8>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let delimiter = likely
        .filter(|likely| sample(text, *likely).any(|width| width > 1))
        .unwrap_or_else(|| delimiter(text));
    let mut records = records(text, delimiter).peekable();
    let mut first = true;
    while let Some(record) = records.next() {
        let cells: Vec<&str> = record.iter().collect();
        let header = first
            && records.peek().is_some_and(|next| {
                let next: Vec<&str> = next.iter().collect();
                is_header(&cells, &next)
            });
        first &= cells.iter().all(|cell| cell.trim().is_empty());
        blocks.row(&cells, header)?;
    }
    Ok(())
}

/// The rows of valid UTF-8 text; whatever the quotes are like, no row is refused.
fn records(text: &str, delimiter: u8) -> impl Iterator<Item = StringRecord> {
    ReaderBuilder::new()
        .delimiter(delimiter)
        .has_headers(false)
        .flexible(true)
        .from_reader(text.as_bytes())
        .into_records()
        .map_while(Result::ok)
}

/// How many cells the first rows have.
fn sample(text: &str, delimiter: u8) -> impl Iterator<Item = usize> {
    records(text, delimiter)
        .take(SAMPLE_ROWS)
        .map(|record| record.len())
}

/// The delimiter that cuts most of the first rows into the same number of cells, the more cells the better.
fn delimiter(text: &str) -> u8 {
    let mut best = (0, DELIMITERS[0]);
    for delimiter in DELIMITERS {
        let widths: Vec<usize> = sample(text, delimiter).collect();
        let score = score(&widths);
        if score > best.0 {
            best = (score, delimiter);
        }
    }
    best.1
}

/// Share of the rows, in per mille, that have the commonest width; ties go to the wider. Rows of one cell count nothing.
fn score(widths: &[usize]) -> usize {
    let common = |width: usize| widths.iter().filter(|other| **other == width).count();
    widths
        .iter()
        .filter(|width| **width > 1)
        .map(|width| common(*width) * 1000 / widths.len() * 100 + (*width).min(99))
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use crate::document::BlockKind;

    use super::*;

    fn rows(text: &str) -> Vec<(bool, String)> {
        let mut blocks = Blocks::new(1 << 20);
        extract(text, None, &mut blocks).expect("within the limit");
        let row = |block: crate::document::Block| {
            let header = block.kind == BlockKind::TableRow { header: true };
            assert!(header || block.kind == BlockKind::TableRow { header: false });
            (header, block.text)
        };
        blocks.take().into_iter().map(row).collect()
    }

    fn row(header: bool, text: &str) -> (bool, String) {
        (header, text.to_owned())
    }

    #[test]
    fn the_delimiter_is_the_one_that_cuts_rows_alike() {
        for delimiter in [",", ";", "\t", "|"] {
            let text = "name,price\nTea; green,\"1,5\"\nBread\tand | butter,2\n";
            let text = if delimiter == "," {
                text.to_owned()
            } else {
                format!("name{delimiter}price\nTea{delimiter}1,5\nMilk, whole{delimiter}2,5\n")
            };
            let rows = rows(&text);
            assert_eq!(rows[0], row(true, "name | price"), "{delimiter:?}");
            assert!(rows[1].1.ends_with("| 1,5"), "{rows:?}");
        }
    }

    #[test]
    fn a_delimiter_that_the_type_names_is_taken_if_it_cuts_any_row() {
        let read = |text: &str| {
            let mut blocks = Blocks::new(1 << 20);
            extract(text, Some(b'\t'), &mut blocks).expect("within the limit");
            blocks.take().last().map(|block| block.text.clone())
        };
        let text = "# tea, milk, bread\n# a, b, c\n# d, e, f\nAda\tLondon, England\n";
        assert_eq!(read(text).as_deref(), Some("Ada | London, England"));
        assert_eq!(read("a,b\nc,d\n").as_deref(), Some("c | d"));
    }

    #[test]
    fn quoted_cells_keep_delimiters_and_lose_line_breaks() {
        assert_eq!(
            rows("id,note\n1,\"a, \"\"b\"\"\nc\"\n2,\n"),
            [
                row(true, "id | note"),
                row(false, "1 | a, \"b\" c"),
                row(false, "2 |")
            ]
        );
    }

    #[test]
    fn a_first_row_with_numbers_is_no_header() {
        assert_eq!(
            rows("1,2\n3,4\n"),
            [row(false, "1 | 2"), row(false, "3 | 4")]
        );
    }

    #[test]
    fn ragged_rows_and_open_quotes_lose_nothing() {
        let text = "a,b,c\n1\n2,3,4,5\n\"open,6\n7,8";
        let all: String = rows(text).into_iter().map(|(_, text)| text).collect();
        for word in ["a", "b", "c", "1", "5", "open", "6", "7", "8"] {
            assert!(all.contains(word), "{word} in {all}");
        }
    }

    #[test]
    fn one_column_is_rows_too() {
        assert_eq!(
            rows("name\nAda\n\nBob\n"),
            [row(true, "name"), row(false, "Ada"), row(false, "Bob")]
        );
    }
}
