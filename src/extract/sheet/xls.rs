//! Workbooks of Excel 5 to 2003.

use std::collections::HashMap;

use crate::document::BlockKind;

use super::{
    super::{
        compound::{Compound, f64_at, u16_at, u32_at},
        error::ExtractError,
    },
    Book,
    biff::{self, Parts, Record, Records, Writing},
    cells::{Area, Cells, Note},
    margin::margin,
    number::Formats,
    reference,
    strings::Strings,
};

/// How many times the workbook's size its sheets may be read: they lie one after the other, unless the file is an attack.
const MAX_PASSES: usize = 2;

/// Adds the visible sheets.
pub(super) fn read(bytes: &[u8], book: &mut Book) -> Result<(), ExtractError> {
    let compound = Compound::open(bytes)?;
    let stream = compound
        .stream("Workbook")
        .or_else(|| compound.stream("Book"))
        .ok_or_else(|| ExtractError::corrupt("its workbook is missing"))?;
    let workbook = Workbook::read(&stream)?;
    let mut left = stream.len() * MAX_PASSES;
    for sheet in &workbook.sheets {
        let Some(from) = stream.get(sheet.start..) else {
            continue;
        };
        let mut reader = Reader {
            workbook: &workbook,
            cells: book.cells(),
            notes: Vec::new(),
            depth: 0,
            formula: None,
            object: None,
            texts: HashMap::new(),
        };
        let mut records = Records { left: from };
        for record in records.by_ref() {
            if reader.record(&record)? == Next::Stop {
                break;
            }
        }
        let read = from.len() - records.left.len();
        left = left
            .checked_sub(read)
            .ok_or_else(|| ExtractError::corrupt("its sheets lie in one another"))?;
        let (cells, notes) = reader.finish();
        book.add(&sheet.name, cells, &notes)?;
    }
    Ok(())
}

struct Sheet {
    name: String,
    start: usize,
}

/// What all sheets share.
struct Workbook {
    writing: Writing,
    sheets: Vec<Sheet>,
    strings: Strings,
    formats: Formats,
}

impl Workbook {
    fn read(stream: &[u8]) -> Result<Self, ExtractError> {
        let mut workbook = Self {
            writing: Writing::Unicode,
            sheets: Vec::new(),
            strings: Strings::default(),
            formats: Formats::default(),
        };
        let mut whole = false;
        for record in (Records { left: stream }) {
            if record.kind == 0x2f {
                return Err(ExtractError::Encrypted);
            }
            if record.kind == 0x0a {
                whole = true;
                break;
            }
            // A record that says less than it should says nothing.
            let _ = workbook.take_in(&record);
        }
        if !whole {
            return Err(ExtractError::corrupt("its workbook is cut off"));
        }
        Ok(workbook)
    }

    fn take_in(&mut self, record: &Record<'_>) -> Option<()> {
        let data = record.data;
        match record.kind {
            // The start of the workbook, with its version.
            0x809 if u16_at(data, 0)? < 0x600 => self.writing = Writing::code_page(1252),
            0x42 if matches!(self.writing, Writing::CodePage(_)) => {
                self.writing = Writing::code_page(u16_at(data, 0)?);
            }
            0x22 => self.formats.from_1904 = u16_at(data, 0)? == 1,
            0x41e => {
                let code = match self.writing {
                    Writing::Unicode => self.writing.long(data.get(2..)?)?,
                    Writing::CodePage(_) => self.writing.short(data.get(2..)?)?,
                };
                self.formats.define(u16_at(data, 0)?.into(), &code);
            }
            0xe0 => {
                let id = u16_at(data, 2).unwrap_or(0);
                self.formats.add_style(id.into());
            }
            0x85 => {
                let (state, is_code) = (data.get(4)? & 3, *data.get(5)? == 6);
                if state == 0 && !is_code {
                    self.sheets.push(Sheet {
                        start: u32_at(data, 0)? as usize,
                        name: self.writing.short(data.get(6..)?)?,
                    });
                }
            }
            0xfc => {
                let mut parts = Parts::new(data, &record.more);
                parts.skip(8)?;
                while let Some(text) = parts.shared() {
                    self.strings.push(&text);
                    self.strings.end();
                }
            }
            _ => {}
        }
        Some(())
    }

    fn show(&self, style: u16, number: f64) -> String {
        self.formats.show(style.into(), number)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    GoOn,
    Stop,
}

/// Reads a sheet.
struct Reader<'a> {
    workbook: &'a Workbook,
    cells: Cells,
    notes: Vec<Note>,
    /// How many starts without their ends: charts lie within sheets.
    depth: usize,
    /// The cell whose formula's text comes next.
    formula: Option<(u32, u32)>,
    /// The shape whose text comes next.
    object: Option<u16>,
    /// Texts of shapes; those that are comments are taken out when their cells are known.
    texts: HashMap<u16, String>,
}

impl Reader<'_> {
    fn record(&mut self, record: &Record<'_>) -> Result<Next, ExtractError> {
        match record.kind {
            0x809 => self.depth += 1,
            0x0a => self.depth = self.depth.saturating_sub(1),
            // Titles of charts and their axes, names of series.
            0x100d => {
                let text = record
                    .data
                    .get(2..)
                    .and_then(|data| self.workbook.writing.short(data));
                let text = text.unwrap_or_default();
                self.notes.push((BlockKind::Caption, text));
            }
            _ if self.depth <= 1 => {
                self.cell(record)?;
            }
            _ => {}
        }
        Ok(if self.depth == 0 {
            Next::Stop
        } else {
            Next::GoOn
        })
    }

    /// Takes in a cell or what is said of one; nothing comes of a record that is too short.
    fn cell(&mut self, record: &Record<'_>) -> Result<Option<()>, ExtractError> {
        let data = record.data;
        let place = || Some((u32::from(u16_at(data, 0)?), u32::from(u16_at(data, 2)?)));
        let style = u16_at(data, 4).unwrap_or(0);
        let shown = match record.kind {
            0x203 => f64_at(data, 6).map(|number| self.workbook.show(style, number)),
            0x27e => biff::short_number(data, 6).map(|number| self.workbook.show(style, number)),
            0xfd => u32_at(data, 6)
                .and_then(|place| self.workbook.strings.get(place as usize))
                .map(ToOwned::to_owned),
            0x204 | 0xd6 => data
                .get(6..)
                .and_then(|data| self.workbook.writing.long(data)),
            0x205 => data.get(6..8).map(|value| truth(value[1] == 1, value[0])),
            0x06 => self.formula(data, style, place()),
            0x207 => {
                let (cell, text) = (self.formula.take(), self.workbook.writing.long(data));
                if let (Some((row, column)), Some(text)) = (cell, text) {
                    self.cells.add(row, column, &text)?;
                }
                return Ok(Some(()));
            }
            0xbd => return self.short_numbers(data),
            _ => {
                return Ok(self.said(record));
            }
        };
        if let (Some((row, column)), Some(shown)) = (place(), shown) {
            self.cells.add(row, column, &shown)?;
        }
        Ok(Some(()))
    }

    /// The last result of a formula; a text comes in a record of its own.
    fn formula(&mut self, data: &[u8], style: u16, place: Option<(u32, u32)>) -> Option<String> {
        let result = data.get(6..14)?;
        if result[6..] != [0xff, 0xff] {
            return Some(self.workbook.show(style, f64_at(result, 0)?));
        }
        match result[0] {
            0 => {
                self.formula = place;
                None
            }
            1 => Some(truth(false, result[2])),
            2 => Some(truth(true, result[2])),
            _ => None,
        }
    }

    /// A run of numbers in a row.
    fn short_numbers(&mut self, data: &[u8]) -> Result<Option<()>, ExtractError> {
        let (Some(row), Some(first)) = (u16_at(data, 0), u16_at(data, 2)) else {
            return Ok(None);
        };
        for (column, cell) in (u32::from(first)..).zip(data[4..].chunks_exact(6)) {
            let style = u16_at(cell, 0).unwrap_or(0);
            let number = biff::short_number(cell, 2).unwrap_or(f64::NAN);
            let shown = self.workbook.show(style, number);
            self.cells.add(u32::from(row), column, &shown)?;
        }
        Ok(Some(()))
    }

    /// Merged cells, comments, text boxes, headers and footers.
    fn said(&mut self, record: &Record<'_>) -> Option<()> {
        let data = record.data;
        match record.kind {
            0xe5 => {
                for area in data.get(2..)?.chunks_exact(8) {
                    let edge = |at| u16_at(area, at).map_or(0, u32::from);
                    self.cells.merge(Area {
                        first_row: edge(0),
                        last_row: edge(2),
                        first_column: edge(4),
                        last_column: edge(6),
                    });
                }
            }
            // A shape, with its number; its text follows.
            0x5d => self.object = u16_at(data, 6),
            0x1b6 => {
                let (first, more) = record.more.split_first()?;
                let wide = first.first()? & 1 != 0;
                let mut parts = Parts::new(&first[1..], more);
                let text = parts.characters(usize::from(u16_at(data, 10)?), wide)?;
                self.texts.insert(self.object.take()?, text);
            }
            0x1c => {
                let (row, column) = (u16_at(data, 0)?, u16_at(data, 2)?);
                let text = self.texts.remove(&u16_at(data, 6)?)?;
                let on = reference::name(u32::from(row), u32::from(column));
                self.notes
                    .push((BlockKind::Footnote, format!("{on}: {text}")));
            }
            0x14 | 0x15 => {
                let text = match self.workbook.writing {
                    Writing::Unicode => self.workbook.writing.long(data)?,
                    Writing::CodePage(_) => self.workbook.writing.short(data)?,
                };
                self.notes.push((BlockKind::Paragraph, margin(&text)));
            }
            _ => {}
        }
        Some(())
    }

    fn finish(self) -> (Cells, Vec<Note>) {
        let mut notes = self.notes;
        let mut boxes: Vec<(u16, String)> = self.texts.into_iter().collect();
        boxes.sort_unstable();
        notes.extend(
            boxes
                .into_iter()
                .map(|(_, text)| (BlockKind::Paragraph, text)),
        );
        (self.cells, notes)
    }
}

/// A truth value or an error.
fn truth(is_error: bool, value: u8) -> String {
    match (is_error, value) {
        (true, code) => biff::error(code),
        (false, 0) => "FALSE",
        (false, _) => "TRUE",
    }
    .to_owned()
}
