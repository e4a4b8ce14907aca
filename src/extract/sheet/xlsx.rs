//! Workbooks in XML: `.xlsx`, `.xlsm` and their templates.

use std::borrow::Cow;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        error::ExtractError,
        package::{Package, text},
        xml::{self, Node},
    },
    around,
    cells::{Cells, Note},
    margin::margin,
    number::Formats,
    reference,
    strings::Strings,
    workbook::{Sheet, Workbook, Writing},
};

/// Parts as XML.
pub(super) struct Xml;

impl Writing for Xml {
    fn workbook(part: Vec<u8>) -> Result<Workbook, ExtractError> {
        let mut workbook = Workbook::default();
        xml::walk(&text(part)?, |node| {
            match node {
                Node::Start("sheet", start) => {
                    let state = xml::attribute(start, "state").unwrap_or_default();
                    if !matches!(&*state, "hidden" | "veryHidden") {
                        workbook.sheets.push(Sheet {
                            name: xml::attribute(start, "name")
                                .unwrap_or_default()
                                .into_owned(),
                            id: xml::prefixed(start, "id").unwrap_or_default().into_owned(),
                        });
                    }
                }
                Node::Start("workbookPr", start) => {
                    let value = xml::attribute(start, "date1904").unwrap_or_default();
                    workbook.from_1904 = matches!(&*value, "1" | "true" | "on");
                }
                Node::Start(..) | Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        Ok(workbook)
    }

    fn strings(part: Vec<u8>) -> Result<Strings, ExtractError> {
        read_strings(&text(part)?)
    }

    fn formats(part: Vec<u8>) -> Result<Formats, ExtractError> {
        read_formats(&text(part)?)
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
            column: 0,
            cell: Cell::default(),
            place: Place::Elsewhere,
            text: String::new(),
            phonetic: 0,
        };
        xml::walk(&text(part)?, |node| reader.node(node))
    }

    fn said_around(
        package: &mut Package<'_>,
        sheet: &str,
        cells: &mut Cells,
    ) -> Result<Vec<Note>, ExtractError> {
        around::said(package, sheet, cells)
    }
}

fn read_strings(text: &str) -> Result<Strings, ExtractError> {
    let mut strings = Strings::default();
    let (mut in_text, mut phonetic) = (false, 0_usize);
    xml::walk(text, |node| {
        match node {
            // How a Japanese name is read stands beside the name.
            Node::Start("rPh", _) => phonetic += 1,
            Node::End("rPh") => phonetic = phonetic.saturating_sub(1),
            Node::Start("t", _) => in_text = phonetic == 0,
            Node::End("t") => in_text = false,
            Node::End("si") => strings.end(),
            Node::Text(text) if in_text => strings.push(text),
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })?;
    Ok(strings)
}

fn read_formats(text: &str) -> Result<Formats, ExtractError> {
    let mut formats = Formats::default();
    let mut of_cells = false;
    xml::walk(text, |node| {
        match node {
            Node::Start("numFmt", start) => {
                if let Some(id) = id(start, "numFmtId") {
                    let code = xml::attribute(start, "formatCode").unwrap_or_default();
                    formats.define(id, &code);
                }
            }
            Node::Start("cellXfs", _) => of_cells = true,
            Node::End("cellXfs") => of_cells = false,
            Node::Start("xf", start) if of_cells => {
                formats.add_style(id(start, "numFmtId").unwrap_or(0));
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })?;
    Ok(formats)
}

fn id(start: &BytesStart<'_>, name: &str) -> Option<u32> {
    xml::attribute(start, name)?.trim().parse().ok()
}

/// What a cell's text means.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Number,
    Shared,
    Boolean,
    Text,
}

#[derive(Default)]
struct Cell {
    kind: Kind,
    style: usize,
}

/// Whose text comes next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Elsewhere,
    /// A cell's value.
    Value,
    /// A header or footer.
    Margin,
}

/// Reads a sheet.
struct Reader<'a> {
    strings: &'a Strings,
    formats: &'a Formats,
    cells: &'a mut Cells,
    margins: &'a mut Vec<Note>,
    row: u32,
    column: u32,
    cell: Cell,
    place: Place,
    text: String,
    phonetic: usize,
}

impl Reader<'_> {
    fn node(&mut self, node: Node<'_>) -> Result<(), ExtractError> {
        match node {
            Node::Start(name, start) => self.start(name, start),
            Node::Text(text) => {
                if self.place != Place::Elsewhere && self.phonetic == 0 {
                    self.text.push_str(text);
                }
            }
            Node::End("c") => self.end_cell()?,
            Node::End("row") => self.row = self.row.saturating_add(1),
            Node::End("rPh") => self.phonetic = self.phonetic.saturating_sub(1),
            Node::End("oddHeader" | "oddFooter") => {
                let text = margin(&std::mem::take(&mut self.text));
                self.margins.push((BlockKind::Paragraph, text));
                self.place = Place::Elsewhere;
            }
            Node::End("v" | "t") => self.place = Place::Elsewhere,
            Node::End(_) => {}
        }
        Ok(())
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "row" => {
                if let Some(number) = id(start, "r") {
                    self.row = number.saturating_sub(1);
                }
                self.column = 0;
            }
            "c" => self.start_cell(start),
            "v" | "t" => self.place = Place::Value,
            "rPh" => self.phonetic += 1,
            "oddHeader" | "oddFooter" => {
                self.text.clear();
                self.place = Place::Margin;
            }
            "mergeCell" => {
                let area = xml::attribute(start, "ref").and_then(|area| reference::area(&area));
                if let Some(area) = area {
                    self.cells.merge(area);
                }
            }
            "autoFilter" => self.cells.name_columns_of(xml::attribute(start, "ref")),
            _ => {}
        }
    }

    fn start_cell(&mut self, start: &BytesStart<'_>) {
        if let Some((row, column)) =
            xml::attribute(start, "r").and_then(|name| reference::cell(&name))
        {
            (self.row, self.column) = (row, column);
        }
        self.cell = Cell {
            kind: match xml::attribute(start, "t").as_deref() {
                Some("s") => Kind::Shared,
                Some("b") => Kind::Boolean,
                Some("str" | "inlineStr" | "e" | "d") => Kind::Text,
                _ => Kind::Number,
            },
            style: xml::attribute(start, "s")
                .and_then(|style| style.parse().ok())
                .unwrap_or(0),
        };
        self.text.clear();
    }

    fn end_cell(&mut self) -> Result<(), ExtractError> {
        let text = self.text.trim();
        let shown: Cow<'_, str> = match self.cell.kind {
            Kind::Shared if text.is_empty() => "".into(),
            Kind::Shared => self.strings.shared(text.parse().ok())?.into(),
            Kind::Boolean => if text == "0" { "FALSE" } else { "TRUE" }.into(),
            Kind::Text => text.into(),
            Kind::Number => match text.parse() {
                Ok(number) => self.formats.show(self.cell.style, number).into(),
                Err(_) => text.into(),
            },
        };
        if !text.is_empty() {
            self.cells.add(self.row, self.column, &shown)?;
        }
        self.column = self.column.saturating_add(1);
        Ok(())
    }
}
