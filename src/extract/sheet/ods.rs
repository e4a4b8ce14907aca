//! OpenDocument sheets, whose cells hold what they show.

use std::{borrow::Cow, mem};

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        error::ExtractError,
        open_document::{self, Styles},
        xml::{self, Node},
    },
    Book,
    cells::{Cells, Note},
    reference,
};

/// Adds the visible sheets.
pub(super) fn read(bytes: &[u8], book: &mut Book) -> Result<(), ExtractError> {
    let mut package = open_document::open(bytes)?;
    let content = package
        .part("content.xml")?
        .ok_or_else(|| ExtractError::corrupt("its main part is missing"))?;
    let styles = Styles::read(&[&content])?;
    let mut reader = Reader {
        styles: &styles,
        book,
        sheet: None,
        left_out: 0,
        row: Row::default(),
        cell: None,
        text: String::new(),
        around: Vec::new(),
        paragraphs: 0,
    };
    xml::walk(&content, |node| reader.node(node))
}

/// An open sheet.
struct Sheet {
    name: String,
    cells: Cells,
    notes: Vec<Note>,
    /// Within the rows that are repeated on each printed page.
    header_rows: bool,
}

/// An open row.
#[derive(Default)]
struct Row {
    number: u32,
    /// How often it is repeated below.
    repeated: u32,
    /// The next cell's.
    column: u32,
    /// First column, number of columns and text of the filled cells.
    cells: Vec<(u32, u32, String)>,
}

/// An open cell.
struct Cell {
    repeated: u32,
    covered: bool,
    /// Its value, which a cell may have without showing a text.
    value: Option<String>,
    /// Whether the value is shown rather than the text: days, as ISO 8601 has them.
    is_date: bool,
}

struct Reader<'a> {
    styles: &'a Styles,
    book: &'a mut Book,
    sheet: Option<Sheet>,
    /// How many elements are open within one that is left out, itself included.
    left_out: usize,
    row: Row,
    cell: Option<Cell>,
    /// Of the innermost open cell, comment or shape.
    text: String,
    /// The texts of those around it.
    around: Vec<String>,
    paragraphs: usize,
}

impl Reader<'_> {
    fn node(&mut self, node: Node<'_>) -> Result<(), ExtractError> {
        match node {
            Node::Start(name, start) => {
                if self.left_out > 0 || self.leaves_out(name, start) {
                    self.left_out += 1;
                } else {
                    self.start(name, start);
                }
            }
            Node::End(_) if self.left_out > 0 => self.left_out -= 1,
            Node::End(name) => self.end(name)?,
            Node::Text(text) => {
                if self.left_out == 0 && self.paragraphs > 0 {
                    self.text.push_str(text);
                }
            }
        }
        Ok(())
    }

    fn leaves_out(&self, name: &str, start: &BytesStart<'_>) -> bool {
        match name {
            "tracked-changes" | "forms" | "ruby-text" | "script" => true,
            // A table within a sheet is a second version of what lies elsewhere.
            "table" => {
                let style = xml::attribute(start, "style-name").unwrap_or_default();
                self.sheet.is_some() || self.styles.is_hidden(&style)
            }
            _ => false,
        }
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "table" => {
                self.sheet = Some(Sheet {
                    name: xml::attribute(start, "name")
                        .unwrap_or_default()
                        .into_owned(),
                    cells: self.book.cells(),
                    notes: Vec::new(),
                    header_rows: false,
                });
                self.row = Row::default();
            }
            "table-header-rows" => {
                if let Some(sheet) = &mut self.sheet {
                    sheet.header_rows = true;
                }
            }
            "table-row" => {
                self.row.repeated = repeated(start, "number-rows-repeated");
                self.row.column = 0;
                self.row.cells.clear();
            }
            "table-cell" | "covered-table-cell" => self.start_cell(name, start),
            "p" => {
                self.paragraphs += 1;
                if !self.text.is_empty() {
                    self.text.push('\n');
                }
            }
            "s" => self.text.push(' '),
            "tab" | "line-break" => self.text.push('\n'),
            _ if lies_apart(name) => self.around.push(mem::take(&mut self.text)),
            _ => {}
        }
    }

    fn start_cell(&mut self, name: &str, start: &BytesStart<'_>) {
        let date = xml::attribute(start, "date-value").map(|date| moment(&date));
        let is_date = date.is_some();
        let value = date.or_else(|| {
            let value = xml::attribute(start, "string-value");
            let value = value.or_else(|| xml::attribute(start, "value"));
            value.map(Cow::into_owned)
        });
        self.text.clear();
        self.cell = Some(Cell {
            repeated: repeated(start, "number-columns-repeated"),
            covered: name == "covered-table-cell",
            value,
            is_date,
        });
    }

    fn end(&mut self, name: &str) -> Result<(), ExtractError> {
        match name {
            "p" => self.paragraphs = self.paragraphs.saturating_sub(1),
            "table-cell" | "covered-table-cell" => self.end_cell(),
            "table-row" => self.end_row()?,
            "table-header-rows" => {
                if let Some(sheet) = &mut self.sheet {
                    sheet.header_rows = false;
                }
            }
            "table" => {
                if let Some(Sheet {
                    name, cells, notes, ..
                }) = self.sheet.take()
                {
                    self.book.add(&name, cells, &notes)?;
                }
            }
            _ if lies_apart(name) => {
                let around = self.around.pop().unwrap_or_default();
                let text = mem::replace(&mut self.text, around);
                self.note(name, text);
            }
            _ => {}
        }
        Ok(())
    }

    fn note(&mut self, name: &str, text: String) {
        let Some(sheet) = self.sheet.as_mut().filter(|_| !text.trim().is_empty()) else {
            return;
        };
        sheet.notes.push(if name == "annotation" {
            let on = reference::name(self.row.number, self.row.column);
            (BlockKind::Footnote, format!("{on}: {text}"))
        } else {
            (BlockKind::Paragraph, text)
        });
    }

    fn end_cell(&mut self) {
        let Some(cell) = self.cell.take() else { return };
        let text = mem::take(&mut self.text);
        let shown = match cell.value {
            Some(value) if cell.is_date || text.trim().is_empty() => value,
            _ => text,
        };
        if !cell.covered && !shown.trim().is_empty() {
            let place = (self.row.column, cell.repeated, shown);
            self.row.cells.push(place);
        }
        self.row.column = self.row.column.saturating_add(cell.repeated);
    }

    /// Adds a row as often as it is repeated; rows of nothing are only counted.
    fn end_row(&mut self) -> Result<(), ExtractError> {
        let Some(sheet) = &mut self.sheet else {
            return Ok(());
        };
        let end = self.row.number.saturating_add(self.row.repeated);
        let filled = if self.row.cells.is_empty() {
            self.row.number
        } else {
            end
        };
        for number in self.row.number..filled {
            if sheet.header_rows {
                sheet.cells.name_columns(number);
            }
            for (column, repeated, text) in &self.row.cells {
                for column in *column..column.saturating_add(*repeated) {
                    sheet.cells.add(number, column, text)?;
                }
            }
        }
        self.row.number = end;
        Ok(())
    }
}

/// Whether an element's text is not that of the cell in which it stands.
fn lies_apart(name: &str) -> bool {
    matches!(
        name,
        "annotation" | "frame" | "custom-shape" | "rect" | "ellipse" | "line" | "caption"
    )
}

/// A day, or a day and time without the seconds that are none.
fn moment(value: &str) -> String {
    let (whole, _) = value.split_once('.').unwrap_or((value, ""));
    let (day, time) = whole.split_once('T').unwrap_or((whole, ""));
    let time = match time.strip_suffix(":00") {
        Some(minutes) if minutes.contains(':') => minutes,
        _ => time,
    };
    format!("{day} {time}").trim_end().to_owned()
}

fn repeated(start: &BytesStart<'_>, name: &str) -> u32 {
    xml::attribute(start, name)
        .and_then(|count| count.parse().ok())
        .unwrap_or(1)
        .max(1)
}
