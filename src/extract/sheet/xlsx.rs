//! Workbooks in XML: `.xlsx`, `.xlsm` and their templates.

use std::borrow::Cow;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        drawing,
        error::ExtractError,
        package::{Package, Relationship, readable},
        xml::{self, Node},
    },
    Book,
    cells::{Cells, Note},
    margin::margin,
    number::Formats,
    reference,
    strings::Strings,
};

/// Adds the visible sheets.
pub(super) fn read(
    package: &mut Package<'_>,
    main: &str,
    book: &mut Book,
) -> Result<(), ExtractError> {
    let text = package
        .part(main)?
        .ok_or_else(|| ExtractError::corrupt("its workbook is missing"))?;
    let workbook = Workbook::read(&text)?;
    let related = package.relationships(main)?;
    let mut part = |kind: &str| match related.iter().find(|related| related.kind == kind) {
        Some(related) => package.part(&related.target),
        None => Ok(None),
    };
    let strings = match part("sharedStrings")? {
        Some(text) => read_strings(&text)?,
        None => Strings::default(),
    };
    let styles = readable(part("styles"))?.unwrap_or_default();
    let mut formats = readable(read_formats(&styles))?;
    formats.from_1904 = workbook.from_1904;
    let mut any = workbook.sheets.is_empty();
    for sheet in &workbook.sheets {
        let Some(place) = related.iter().find(|related| related.id == sheet.id) else {
            continue;
        };
        let Some(text) = readable(package.part(&place.target))? else {
            continue;
        };
        let mut reader = Reader {
            strings: &strings,
            formats: &formats,
            cells: book.cells(),
            notes: Vec::new(),
            row: 0,
            column: 0,
            cell: Cell::default(),
            place: Place::Elsewhere,
            text: String::new(),
            phonetic: 0,
        };
        let walked = xml::walk(&text, |node| reader.node(node));
        if readable(walked.map(Some))?.is_none() {
            continue;
        }
        any = true;
        let Reader {
            mut cells,
            notes: margins,
            ..
        } = reader;
        let mut notes = said_around(package, &place.target, &mut cells)?;
        notes.extend(margins);
        book.add(&sheet.name, cells, &notes)?;
    }
    if !any {
        return Err(ExtractError::corrupt("none of its sheets can be read"));
    }
    Ok(())
}

struct Sheet {
    name: String,
    /// Of its relationship.
    id: String,
}

/// What the main part says.
#[derive(Default)]
struct Workbook {
    sheets: Vec<Sheet>,
    from_1904: bool,
}

impl Workbook {
    fn read(text: &str) -> Result<Self, ExtractError> {
        let mut workbook = Self::default();
        xml::walk(text, |node| {
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
}

/// The texts that cells share.
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

/// The number format of each style that cells refer to.
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
    cells: Cells,
    notes: Vec<Note>,
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
                self.notes.push((BlockKind::Paragraph, text));
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
            Kind::Shared => {
                let shared = text.parse().ok().and_then(|place| self.strings.get(place));
                shared.unwrap_or_default().into()
            }
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

impl Cells {
    /// Notes the first row of an area as one that names the columns.
    fn name_columns_of(&mut self, area: Option<Cow<'_, str>>) {
        if let Some(area) = area.and_then(|area| reference::area(&area)) {
            self.name_columns(area.first_row);
        }
    }
}

/// Comments, text boxes and titles of charts; the sheet's tables tell where its headers are.
fn said_around(
    package: &mut Package<'_>,
    sheet: &str,
    cells: &mut Cells,
) -> Result<Vec<Note>, ExtractError> {
    let mut notes = Vec::new();
    let related = package.relationships(sheet)?;
    let threaded = related
        .iter()
        .any(|related| related.kind == "threadedComment");
    for Relationship { kind, target, .. } in &related {
        match &**kind {
            "table" => {
                readable(table(&package.side(target)?, cells))?;
            }
            // Threads are told again as comments, for older programs.
            "threadedComment" => readable(comments(&package.side(target)?, &mut notes))?,
            "comments" if !threaded => readable(comments(&package.side(target)?, &mut notes))?,
            "drawing" => drawn(package, target, &mut notes)?,
            _ => {}
        }
    }
    Ok(notes)
}

fn table(text: &str, cells: &mut Cells) -> Result<(), ExtractError> {
    xml::walk(text, |node| {
        if let Node::Start("table", start) = node
            && xml::attribute(start, "headerRowCount").is_none_or(|count| count != "0")
        {
            cells.name_columns_of(xml::attribute(start, "ref"));
        }
        Ok(())
    })
}

fn comments(text: &str, notes: &mut Vec<Note>) -> Result<(), ExtractError> {
    let (mut on, mut said, mut in_text) = (String::new(), String::new(), false);
    xml::walk(text, |node| {
        match node {
            Node::Start("comment" | "threadedComment", start) => {
                on = xml::attribute(start, "ref")
                    .unwrap_or_default()
                    .into_owned();
            }
            Node::Start("t", _) => in_text = true,
            Node::Start("text", _) => {
                // A thread's comment has its text right here.
                in_text = true;
            }
            Node::End("t" | "text") => in_text = false,
            Node::Text(text) if in_text => said.push_str(text),
            Node::End("comment" | "threadedComment") => {
                let said = std::mem::take(&mut said);
                if !said.trim().is_empty() {
                    notes.push((BlockKind::Footnote, format!("{on}: {}", said.trim())));
                }
            }
            Node::Start(..) | Node::End(_) | Node::Text(_) => {}
        }
        Ok(())
    })
}

/// Text of shapes and titles of charts.
pub(super) fn drawn(
    package: &mut Package<'_>,
    drawing: &str,
    notes: &mut Vec<Note>,
) -> Result<(), ExtractError> {
    let paragraphs = readable(drawing::paragraphs(&package.side(drawing)?))?;
    notes.extend(
        paragraphs
            .into_iter()
            .map(|text| (BlockKind::Paragraph, text)),
    );
    for related in package.relationships(drawing)? {
        if related.kind == "chart" {
            let text = package.side(&related.target)?;
            let titles = readable(drawing::chart(&text))?.titles;
            notes.extend(titles.into_iter().map(|title| (BlockKind::Caption, title)));
        }
    }
    Ok(())
}
