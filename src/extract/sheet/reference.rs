//! Names of cells and areas: `B2`, `$A$1:C9`.

use super::cells::Area;

/// Row and column of `B2`, counted from 0.
pub(super) fn cell(name: &str) -> Option<(u32, u32)> {
    let (mut row, mut column) = (0_u32, 0_u32);
    for byte in name.bytes() {
        match byte {
            b'$' => {}
            b'A'..=b'Z' | b'a'..=b'z' if row == 0 => {
                let letter = u32::from(byte.to_ascii_uppercase() - b'A');
                column = column.checked_mul(26)?.checked_add(letter + 1)?;
            }
            b'0'..=b'9' => {
                let digit = u32::from(byte - b'0');
                row = row.checked_mul(10)?.checked_add(digit)?;
            }
            _ => return None,
        }
    }
    Some((row.checked_sub(1)?, column.checked_sub(1)?))
}

/// The cells of `A1:C9`, or of `A1` alone.
pub(super) fn area(name: &str) -> Option<Area> {
    let (first, last) = name.split_once(':').unwrap_or((name, name));
    let ((first_row, first_column), (last_row, last_column)) = (cell(first)?, cell(last)?);
    Some(Area {
        first_row,
        first_column,
        last_row,
        last_column,
    })
}

/// The name of a cell.
pub(super) fn name(row: u32, column: u32) -> String {
    let mut letters = Vec::new();
    let mut left = u64::from(column) + 1;
    while left > 0 {
        let letter = u8::try_from((left - 1) % 26).unwrap_or_default();
        letters.push(char::from(b'A' + letter));
        left = (left - 1) / 26;
    }
    let letters: String = letters.iter().rev().collect();
    format!("{letters}{}", u64::from(row) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, place) in [
            ("A1", (0, 0)),
            ("Z10", (9, 25)),
            ("AA3", (2, 26)),
            ("XFD1048576", (1_048_575, 16_383)),
        ] {
            assert_eq!(cell(text), Some(place));
            assert_eq!(name(place.0, place.1), text);
        }
        assert_eq!(cell("$B$2"), Some((1, 1)));
        for text in [
            "",
            "A",
            "1",
            "A0",
            "1A",
            "ZZZZZZZZZZ1",
            "A99999999999",
            "A1B",
        ] {
            assert_eq!(cell(text), None, "{text}");
        }
    }
}
