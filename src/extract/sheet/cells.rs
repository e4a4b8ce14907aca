//! A sheet's cells as they are read, and its rows as they are written.

use std::collections::{BTreeMap, BTreeSet};

use crate::document::BlockKind;

use super::super::{
    blocks::Blocks,
    error::{ExtractError, Limit},
    table::is_header,
};

/// Most columns of a sheet; Excel and LibreOffice have 16,384.
const MAX_COLUMNS: u32 = 1 << 16;

/// Most empty cells that are written in one run: a cell far out would cost as many in each row.
const MAX_EMPTY: usize = 16;

/// Of what parts a cell from the next.
const SEPARATOR_BYTES: usize = 3;

/// The filled cells of a sheet, whatever size it claims: 16 bytes a cell beside the text.
#[derive(Debug)]
pub(super) struct Cells {
    text: String,
    places: Vec<Place>,
    /// Of the text as it will be written.
    bytes: u64,
    /// Rows that the file itself says name the columns.
    headers: BTreeSet<u32>,
    merged: Vec<Area>,
    max_bytes: u64,
}

/// Where a cell stands and where its text ends; it starts where the one before it ends.
#[derive(Clone, Copy, Debug)]
struct Place {
    row: u32,
    column: u32,
    start: u32,
    end: u32,
}

/// A rectangle of cells, its ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Area {
    pub(super) first_row: u32,
    pub(super) first_column: u32,
    pub(super) last_row: u32,
    pub(super) last_column: u32,
}

impl Cells {
    /// Holds at most so much text.
    pub(super) fn new(max_bytes: u64) -> Self {
        Self {
            text: String::new(),
            places: Vec::new(),
            bytes: 0,
            headers: BTreeSet::new(),
            merged: Vec::new(),
            max_bytes: max_bytes.min(u32::MAX.into()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a cell, counted from 0; a blank one is none. The last of two in one place is the one that stays.
    pub(super) fn add(&mut self, row: u32, column: u32, text: &str) -> Result<(), ExtractError> {
        if text.trim().is_empty() {
            return Ok(());
        }
        if column >= MAX_COLUMNS {
            return Err(ExtractError::corrupt(
                "a cell of it lies beyond the last column",
            ));
        }
        let start = self.text.len();
        let end = start + text.len();
        self.bytes += (text.len() + SEPARATOR_BYTES) as u64;
        if self.bytes > self.max_bytes {
            return Err(ExtractError::TooLarge {
                limit: Limit::Text(self.max_bytes),
            });
        }
        self.text.push_str(text);
        // Both fit: `max_bytes` does.
        let place = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        self.places.push(Place {
            row,
            column,
            start: place(start),
            end: place(end),
        });
        Ok(())
    }

    /// Notes a row that names the columns.
    pub(super) fn name_columns(&mut self, row: u32) {
        self.headers.insert(row);
    }

    /// Notes cells of which only the first is seen.
    pub(super) fn merge(&mut self, area: Area) {
        self.merged.push(area);
    }

    /// Writes the rows without their empty columns, empty rows and what merged cells hide.
    pub(super) fn write(mut self, blocks: &mut Blocks) -> Result<(), ExtractError> {
        self.order();
        self.uncover();
        let columns = self.columns();
        let mut rows = self
            .places
            .chunk_by(|a, b| a.row == b.row)
            .map(|places| Row {
                number: places[0].row,
                cells: self.cells(places, &columns),
            })
            .peekable();
        // A header stands first in its table: at the top, under a gap or under a title.
        let (mut may_name, mut last) = (true, None);
        while let Some(row) = rows.next() {
            let gap = last.is_some_and(|last: u32| row.number > last.saturating_add(1));
            may_name |= gap;
            let header = self.headers.contains(&row.number)
                || may_name && rows.peek().is_some_and(|next| row.names_columns_of(next));
            let title = row.cells.iter().filter(|cell| !cell.is_empty()).count() == 1;
            may_name &= title && !header;
            last = Some(row.number);
            blocks.row(&row.cells, header)?;
        }
        Ok(())
    }

    /// Puts cells in reading order, which nearly all files have, and keeps the last of each place.
    fn order(&mut self) {
        let key = |place: &Place| (place.row, place.column);
        if !self.places.is_sorted_by(|a, b| key(a) < key(b)) {
            self.places.sort_by_key(key);
            self.places.reverse();
            self.places.dedup_by_key(|place| key(place));
            self.places.reverse();
        }
    }

    /// Drops the cells that others cover; one walk over both, whatever overlaps.
    fn uncover(&mut self) {
        let mut areas = std::mem::take(&mut self.merged);
        areas.sort_by_key(|area| (area.first_row, area.first_column));
        let mut areas = areas.into_iter().peekable();
        // Areas that reach the row at hand, by their first columns.
        let mut open: BTreeMap<u32, Area> = BTreeMap::new();
        self.places.retain(|place| {
            while let Some(area) = areas.next_if(|area| area.first_row <= place.row) {
                open.insert(area.first_column, area);
            }
            let Some((_, area)) = open.range(..=place.column).next_back() else {
                return true;
            };
            let first = (area.first_row, area.first_column) == (place.row, place.column);
            first || area.last_row < place.row || area.last_column < place.column
        });
    }

    /// For each column how many filled ones lie before it.
    fn columns(&self) -> Vec<usize> {
        let width = self.places.iter().map(|place| place.column as usize + 1);
        let mut columns = vec![0; width.max().unwrap_or(0)];
        for place in &self.places {
            columns[place.column as usize] = 1;
        }
        let mut before = 0;
        for column in &mut columns {
            before += std::mem::replace(column, before);
        }
        columns
    }

    /// The cells of one row, up to its last filled one.
    fn cells(&self, places: &[Place], columns: &[usize]) -> Vec<&str> {
        let mut cells = Vec::new();
        for place in places {
            let column = columns[place.column as usize];
            cells.resize(column.min(cells.len() + MAX_EMPTY), "");
            cells.push(&self.text[place.start as usize..place.end as usize]);
        }
        cells
    }
}

struct Row<'a> {
    number: u32,
    cells: Vec<&'a str>,
}

impl Row<'_> {
    /// Whether this row names the columns of the one right below it, which may have empty last cells.
    fn names_columns_of(&self, next: &Row<'_>) -> bool {
        // One with gaps names nothing, however wide it is.
        if self.cells.iter().any(|cell| cell.is_empty()) {
            return false;
        }
        let mut below = next.cells.clone();
        below.resize(below.len().max(self.cells.len()), "");
        next.number == self.number + 1 && is_header(&self.cells, &below)
    }
}

/// What is said on a sheet beside its cells.
pub(super) type Note = (BlockKind, String);

/// Adds a sheet's name, if it holds anything, with its cells and what else is said on it.
pub(super) fn write_sheet(
    name: &str,
    cells: Cells,
    notes: &[Note],
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    if cells.is_empty() && notes.iter().all(|(_, text)| text.trim().is_empty()) {
        return Ok(());
    }
    blocks.line(BlockKind::Heading { level: 1 }, name)?;
    cells.write(blocks)?;
    for (kind, text) in notes {
        blocks.prose(*kind, text)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: Cells) -> Vec<String> {
        let mut blocks = Blocks::new(1 << 20);
        cells.write(&mut blocks).expect("within the limit");
        let row = |block: crate::document::Block| {
            let header = block.kind == BlockKind::TableRow { header: true };
            format!("{}{}", if header { "*" } else { "" }, block.text)
        };
        blocks.take().into_iter().map(row).collect()
    }

    fn cells(filled: &[(u32, u32, &str)]) -> Cells {
        let mut cells = Cells::new(1 << 20);
        for (row, column, text) in filled {
            cells.add(*row, *column, text).expect("within the limit");
        }
        cells
    }

    #[test]
    fn two_cells_far_apart_are_two_cells() {
        let far = cells(&[(0, 0, "near"), (1_048_575, 16_383, "far")]);
        assert_eq!(rows(far), ["near", " | far"]);
    }

    #[test]
    fn a_cell_far_out_costs_no_row_its_whole_width() {
        let mut sheet = Cells::new(1 << 20);
        for column in 0..16_384 {
            sheet.add(0, column, "1").expect("within the limit");
        }
        for row in 1..2_000 {
            sheet.add(row, 16_383, "far").expect("within the limit");
        }
        let rows = rows(sheet);
        assert_eq!(rows.len(), 2_000);
        assert_eq!(rows[1], format!("{}far", " | ".repeat(MAX_EMPTY)));
    }

    #[test]
    fn rows_are_read_in_order_and_the_last_of_a_place_stays() {
        let mixed = cells(&[(2, 1, "d"), (0, 0, "a"), (2, 0, "c"), (0, 0, "b")]);
        assert_eq!(rows(mixed), ["b", "c | d"]);
    }

    #[test]
    fn a_header_is_found_under_a_title_and_under_a_gap() {
        let sheet = cells(&[
            (0, 0, "Readings"),
            (1, 0, "day"),
            (1, 1, "rain"),
            (2, 0, "Monday"),
            (2, 1, "3"),
            (3, 0, "Tuesday"),
            (3, 1, "none"),
            (4, 0, "Friday"),
            (4, 1, "2"),
            (6, 0, "mast"),
            (6, 1, "height"),
            (7, 0, "north"),
        ]);
        assert_eq!(
            rows(sheet),
            [
                "Readings",
                "*day | rain",
                "Monday | 3",
                "Tuesday | none",
                "Friday | 2",
                "*mast | height",
                "north"
            ]
        );
    }

    #[test]
    fn covered_cells_are_not_seen() {
        let mut sheet = cells(&[(0, 0, "a"), (0, 1, "hidden"), (1, 1, "too"), (1, 2, "b")]);
        sheet.merge(Area {
            first_row: 0,
            first_column: 0,
            last_row: 1,
            last_column: 1,
        });
        assert_eq!(rows(sheet), ["a", " | b"]);
    }

    #[test]
    fn text_beyond_the_limit_is_too_large() {
        let mut cells = Cells::new(6);
        cells.add(0, 0, "abc").expect("within the limit");
        let refused = cells.add(0, 1, "d").expect_err("too much");
        assert!(matches!(refused, ExtractError::TooLarge { .. }));
    }
}
