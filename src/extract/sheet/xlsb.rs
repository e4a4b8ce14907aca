//! Workbooks in binary: `.xlsb`.

use crate::document::BlockKind;

use super::{
    super::{
        compound::{f64_at, u16_at, u32_at},
        error::ExtractError,
        package::{Package, Relationship, readable},
    },
    around, biff,
    cells::{Area, Cells, Note},
    margin::margin,
    number::Formats,
    reference,
    strings::Strings,
    workbook::{Sheet, Workbook, Writing},
};

/// The records of a part: kind and data; a cut one is the end.
struct Records<'a> {
    left: &'a [u8],
}

impl Records<'_> {
    /// A number of seven bits a byte, the last one without its highest bit.
    fn number(&mut self, most_bytes: u32) -> Option<u32> {
        let mut number = 0;
        for place in 0..most_bytes {
            let (byte, rest) = self.left.split_first()?;
            self.left = rest;
            number |= u32::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                break;
            }
        }
        Some(number)
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = (u32, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let kind = self.number(2)?;
        let size = self.number(4)? as usize;
        let data = self.left.get(..size)?;
        self.left = &self.left[size..];
        Some((kind, data))
    }
}

/// A string with its length in characters before it, and where it ends.
fn text_at(data: &[u8], at: usize) -> Option<(String, usize)> {
    let count = u32_at(data, at)?;
    // Where there is no string, the length is a mark.
    let count = if count == u32::MAX { 0 } else { count as usize };
    let end = count.checked_mul(2)?.checked_add(at + 4)?;
    let units = data.get(at + 4..end)?.chunks_exact(2);
    let units: Vec<u16> = units
        .map(|unit| u16::from_le_bytes([unit[0], unit[1]]))
        .collect();
    Some((String::from_utf16_lossy(&units), end))
}

/// Parts as records.
pub(super) struct Binary;

impl Writing for Binary {
    fn workbook(part: Vec<u8>) -> Result<Workbook, ExtractError> {
        let mut workbook = Workbook::default();
        for (kind, data) in (Records { left: &part }) {
            match kind {
                0x99 => workbook.from_1904 = data.first().is_some_and(|flags| flags & 1 != 0),
                0x9c if u32_at(data, 0) == Some(0) => {
                    let id = text_at(data, 8);
                    let name = id.as_ref().and_then(|(_, end)| text_at(data, *end));
                    if let (Some((id, _)), Some((name, _))) = (id, name) {
                        workbook.sheets.push(Sheet { name, id });
                    }
                }
                _ => {}
            }
        }
        Ok(workbook)
    }

    fn strings(part: Vec<u8>) -> Result<Strings, ExtractError> {
        let mut strings = Strings::default();
        for (kind, data) in (Records { left: &part }) {
            if kind == 0x13 {
                strings.push(&text_at(data, 1).unwrap_or_default().0);
                strings.end();
            }
        }
        Ok(strings)
    }

    fn formats(part: Vec<u8>) -> Result<Formats, ExtractError> {
        let mut formats = Formats::default();
        let mut of_cells = false;
        for (kind, data) in (Records { left: &part }) {
            match kind {
                0x2c => {
                    if let (Some(id), Some((code, _))) = (u16_at(data, 0), text_at(data, 2)) {
                        formats.define(id.into(), &code);
                    }
                }
                0x269 => of_cells = true,
                0x26a => of_cells = false,
                0x2f if of_cells => formats.add_style(u16_at(data, 2).unwrap_or(0).into()),
                _ => {}
            }
        }
        Ok(formats)
    }

    fn sheet(
        part: Vec<u8>,
        strings: &Strings,
        formats: &Formats,
        cells: &mut Cells,
        margins: &mut Vec<Note>,
    ) -> Result<(), ExtractError> {
        let mut reader = Reader {
            strings,
            formats,
            cells,
            margins,
            row: 0,
        };
        for (kind, data) in (Records { left: &part }) {
            reader.record(kind, data)?;
        }
        Ok(())
    }

    fn said_around(
        package: &mut Package<'_>,
        sheet: &str,
        cells: &mut Cells,
    ) -> Result<Vec<Note>, ExtractError> {
        let mut notes = Vec::new();
        for Relationship { kind, target, .. } in package.relationships(sheet)? {
            match &*kind {
                "table" => {
                    let bytes = readable(package.bytes(&target))?.unwrap_or_default();
                    for (kind, data) in (Records { left: &bytes }) {
                        let headed = kind == 0x157 && u32_at(data, 24).is_some_and(|rows| rows > 0);
                        if let Some(area) = area(data).filter(|_| headed) {
                            cells.name_columns(area.first_row);
                        }
                    }
                }
                "comments" => {
                    let bytes = readable(package.bytes(&target))?.unwrap_or_default();
                    comments(&bytes, &mut notes);
                }
                "drawing" => around::drawn(package, &target, &mut notes)?,
                _ => {}
            }
        }
        Ok(notes)
    }
}

/// Reads a sheet.
struct Reader<'a> {
    strings: &'a Strings,
    formats: &'a Formats,
    cells: &'a mut Cells,
    margins: &'a mut Vec<Note>,
    row: u32,
}

impl Reader<'_> {
    fn record(&mut self, kind: u32, data: &[u8]) -> Result<(), ExtractError> {
        match kind {
            0x00 => self.row = u32_at(data, 0).unwrap_or(self.row),
            0x02..=0x0b | 0x3e => {
                let shown = match (kind, u32_at(data, 8)) {
                    (0x07, Some(place)) => {
                        Some(self.strings.shared(Some(place as usize))?.to_owned())
                    }
                    _ => self.shown(kind, data),
                };
                if let (Some(column), Some(shown)) = (u32_at(data, 0), shown) {
                    self.cells.add(self.row, column, &shown)?;
                }
            }
            0xb0 => {
                if let Some(area) = area(data) {
                    self.cells.merge(area);
                }
            }
            // A filter stands on the names of the columns.
            0xa1 => {
                if let Some(area) = area(data) {
                    self.cells.name_columns(area.first_row);
                }
            }
            0x1df => {
                let header = text_at(data, 2);
                let footer = header.as_ref().and_then(|(_, end)| text_at(data, *end));
                for (text, _) in header.into_iter().chain(footer) {
                    self.margins.push((BlockKind::Paragraph, margin(&text)));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// What a cell of its own value shows; formulas have their last results.
    fn shown(&self, kind: u32, data: &[u8]) -> Option<String> {
        let number = match kind {
            0x02 => biff::short_number(data, 8)?,
            0x05 | 0x09 => f64_at(data, 8)?,
            0x03 | 0x0b => return Some(biff::error(*data.get(8)?).to_owned()),
            0x04 | 0x0a => {
                let shown = if *data.get(8)? == 0 { "FALSE" } else { "TRUE" };
                return Some(shown.to_owned());
            }
            0x3e => return Some(text_at(data, 9)?.0),
            _ => return Some(text_at(data, 8)?.0),
        };
        let style = u32_at(data, 4)? & 0x00ff_ffff;
        Some(self.formats.show(style as usize, number))
    }
}

fn area(data: &[u8]) -> Option<Area> {
    Some(Area {
        first_row: u32_at(data, 0)?,
        last_row: u32_at(data, 4)?,
        first_column: u32_at(data, 8)?,
        last_column: u32_at(data, 12)?,
    })
}

fn comments(bytes: &[u8], notes: &mut Vec<Note>) {
    let mut on = String::new();
    for (kind, data) in (Records { left: bytes }) {
        match kind {
            0x27b => {
                let area = data.get(4..).and_then(area);
                on = area.map_or_else(String::new, |area| {
                    reference::name(area.first_row, area.first_column)
                });
            }
            0x27d => {
                let text = text_at(data, 1).unwrap_or_default().0;
                notes.push((BlockKind::Footnote, format!("{on}: {text}")));
            }
            _ => {}
        }
    }
}
