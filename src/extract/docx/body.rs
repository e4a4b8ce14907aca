//! The paragraphs and tables of a part (`document.xml`, a header, the footnotes), in the order of reading.
//!
//! One pass over the XML with stacks of its own: nesting costs no stack of the process.

use std::{borrow::Cow, collections::HashMap, mem};

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        blocks::Blocks,
        error::ExtractError,
        xml::{self, Node},
    },
    numbering::{Numbering, number},
    styles::Styles,
};

/// Tables within tables beyond this are read as if they were not there.
const MAX_TABLES: usize = 16;

/// A cell of more paragraphs is part of a page's layout, not of a table.
const MAX_CELL_PARAGRAPHS: usize = 6;

/// A paragraph, list item, row … before it is cleaned.
pub(in crate::extract) type Piece = (BlockKind, String);

/// What paragraphs look up.
pub(super) struct Context<'a> {
    pub(super) styles: &'a Styles,
    pub(super) numbering: &'a mut Numbering,
    /// Footnotes by id; each goes out after the paragraph that refers to it.
    pub(super) footnotes: HashMap<String, String>,
    /// Endnotes by id.
    pub(super) endnotes: HashMap<String, String>,
    /// Endnotes that were referred to, numbered, in order.
    pub(super) endnotes_met: Vec<String>,
    footnote_count: i64,
}

impl<'a> Context<'a> {
    pub(super) fn new(styles: &'a Styles, numbering: &'a mut Numbering) -> Self {
        Self {
            styles,
            numbering,
            footnotes: HashMap::new(),
            endnotes: HashMap::new(),
            endnotes_met: Vec::new(),
            footnote_count: 0,
        }
    }
}

/// Adds the blocks of a part.
pub(super) fn read(
    text: &str,
    context: &mut Context<'_>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let mut body = Body::new(context, blocks);
    xml::walk(text, |node| body.node(node))?;
    body.flush_code()
}

/// The texts of footnotes or endnotes by id.
pub(super) fn read_notes(
    text: &str,
    context: &mut Context<'_>,
) -> Result<HashMap<String, String>, ExtractError> {
    // The limit on text is checked when a note goes out.
    let mut blocks = Blocks::new(u64::MAX);
    let mut body = Body::new(context, &mut blocks);
    let mut notes = HashMap::new();
    let mut open = None;
    xml::walk(text, |node| {
        if let Node::Start("footnote" | "endnote", start) = node {
            open = xml::attribute(start, "id").map(Cow::into_owned);
        }
        let ends = matches!(node, Node::End("footnote" | "endnote"));
        body.node(node)?;
        if let Some(id) = open.take_if(|_| ends) {
            body.flush_code()?;
            let texts: Vec<String> = body
                .blocks
                .take()
                .into_iter()
                .map(|block| block.text)
                .collect();
            notes.insert(id, texts.join("\n"));
        }
        Ok(())
    })?;
    Ok(notes)
}

/// An open paragraph.
#[derive(Default)]
struct Paragraph {
    text: String,
    style: Option<String>,
    outline: Option<u8>,
    list: Option<String>,
    list_level: Option<usize>,
    /// Its end was deleted: it runs on into the next.
    runs_on: bool,
}

/// An open table.
#[derive(Default)]
struct Table {
    /// Of the open row.
    cells: Vec<Vec<Piece>>,
    rows: usize,
    /// The first row is set apart by the table's look.
    first_row_names: bool,
    row_names: bool,
    row_deleted: bool,
}

/// An element whose start is remembered until its end.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Paragraph,
    ParagraphSettings,
    Run,
    RunSettings,
    Text,
    RowSettings,
    Table,
    /// A table too deep to count.
    DeepTable,
    Row,
    Cell,
    Alternatives {
        chosen: bool,
    },
    /// A formula: its runs are terms, which stand apart.
    Formula,
    Other,
}

struct Body<'a, 'b> {
    context: &'b mut Context<'a>,
    blocks: &'b mut Blocks,
    path: Vec<Element>,
    /// How many elements are open within one that is left out, itself included.
    left_out: usize,
    paragraphs: Vec<Paragraph>,
    /// Whether each open run is hidden.
    runs: Vec<bool>,
    tables: Vec<Table>,
    formulas: usize,
    /// Text of paragraphs that run on.
    carried: String,
    /// Footnotes to go out once the paragraph or table is done.
    notes: Vec<String>,
    /// Lines of program text, which Word keeps as a paragraph each.
    code: String,
}

impl<'a, 'b> Body<'a, 'b> {
    fn new(context: &'b mut Context<'a>, blocks: &'b mut Blocks) -> Self {
        Self {
            context,
            blocks,
            path: Vec::new(),
            left_out: 0,
            paragraphs: Vec::new(),
            runs: Vec::new(),
            tables: Vec::new(),
            formulas: 0,
            carried: String::new(),
            notes: Vec::new(),
            code: String::new(),
        }
    }

    fn node(&mut self, node: Node<'_>) -> Result<(), ExtractError> {
        match node {
            Node::Start(name, start) => {
                if self.left_out > 0 || self.leaves_out(name) {
                    self.left_out += 1;
                } else {
                    let element = self.start(name, start);
                    self.path.push(element);
                }
            }
            Node::End(_) if self.left_out > 0 => self.left_out -= 1,
            Node::End(_) => {
                if let Some(element) = self.path.pop() {
                    self.end(element)?;
                }
            }
            Node::Text(text) => {
                if self.left_out == 0 && self.path.last() == Some(&Element::Text) {
                    self.write(text);
                }
            }
        }
        Ok(())
    }

    /// What a reader of the document as accepted does not see: deletions, former settings, field codes, second versions of
    /// what another element holds.
    fn leaves_out(&self, name: &str) -> bool {
        match name {
            "del" => !matches!(
                self.path.last(),
                Some(Element::RunSettings | Element::RowSettings)
            ),
            "moveFrom" | "delText" | "instrText" | "delInstrText" | "pPrChange" | "rPrChange"
            | "sectPrChange" | "tblPrChange" | "trPrChange" | "tcPrChange" | "tblPrExChange"
            | "rt" | "sectPr" => true,
            "Fallback" => matches!(
                self.path.last(),
                Some(Element::Alternatives { chosen: true })
            ),
            _ => false,
        }
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) -> Element {
        match name {
            "p" => {
                self.paragraphs.push(Paragraph::default());
                Element::Paragraph
            }
            "pPr" => Element::ParagraphSettings,
            "r" => {
                let hidden = self.style_hides();
                self.runs.push(hidden);
                Element::Run
            }
            "rPr" => Element::RunSettings,
            "t" => Element::Text,
            "tbl" if self.tables.len() < MAX_TABLES => {
                self.tables.push(Table::default());
                Element::Table
            }
            "tbl" => Element::DeepTable,
            "tr" if self.in_table() => Element::Row,
            "tc" if self.path.last() == Some(&Element::Row) => {
                if let Some(table) = self.tables.last_mut() {
                    table.cells.push(Vec::new());
                }
                Element::Cell
            }
            "trPr" => Element::RowSettings,
            "oMath" => {
                self.formulas += 1;
                Element::Formula
            }
            "AlternateContent" => Element::Alternatives { chosen: false },
            "Choice" => {
                if let Some(Element::Alternatives { chosen }) = self.path.last_mut() {
                    *chosen = true;
                }
                Element::Other
            }
            _ => {
                self.mark(name, start);
                Element::Other
            }
        }
    }

    /// Takes in an element that only says something: a setting, a tab, a reference.
    fn mark(&mut self, name: &str, start: &BytesStart<'_>) {
        match self.path.last() {
            Some(Element::Run) => self.mark_in_run(name, start),
            Some(Element::RunSettings) => self.mark_run_setting(name, start),
            Some(Element::RowSettings) => self.mark_row_setting(name, start),
            _ => {}
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            let value = || xml::value(start).unwrap_or_default();
            match name {
                "pStyle" => paragraph.style = Some(value().into_owned()),
                "outlineLvl" => paragraph.outline = value().parse().ok(),
                "numId" => paragraph.list = Some(value().into_owned()),
                "ilvl" => paragraph.list_level = value().parse().ok(),
                _ => {}
            }
        }
        if name == "tblLook"
            && let Some(table) = self.tables.last_mut()
        {
            table.first_row_names = look_names_first_row(start);
        }
    }

    fn mark_in_run(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "tab" | "ptab" => self.write("\t"),
            "br" | "cr" => self.write("\n"),
            "noBreakHyphen" => self.write("-"),
            "sym" => {
                let code = xml::attribute(start, "char")
                    .and_then(|code| u32::from_str_radix(&code, 16).ok());
                if let Some(c) = code.and_then(symbol) {
                    self.write(c.encode_utf8(&mut [0; 4]));
                }
            }
            "footnoteReference" => {
                let id = xml::attribute(start, "id").unwrap_or_default();
                if let Some(note) = self.context.footnotes.remove(&*id) {
                    self.context.footnote_count += 1;
                    let label = format!("[{}]", self.context.footnote_count);
                    self.write(&label);
                    self.notes.push(format!("{label} {note}"));
                }
            }
            "endnoteReference" => {
                let id = xml::attribute(start, "id").unwrap_or_default();
                if let Some(note) = self.context.endnotes.remove(&*id) {
                    let count = i64::try_from(self.context.endnotes_met.len()).unwrap_or(i64::MAX);
                    let label = format!("[{}]", number(count.saturating_add(1), "lowerRoman"));
                    self.write(&label);
                    self.context.endnotes_met.push(format!("{label} {note}"));
                }
            }
            _ => {}
        }
    }

    fn mark_run_setting(&mut self, name: &str, start: &BytesStart<'_>) {
        // Settings of the paragraph's own mark stand within its settings, not in a run.
        let of_run = self.path.len() > 1 && self.path[self.path.len() - 2] == Element::Run;
        match name {
            "vanish" if of_run => self.hide(xml::is_on(start)),
            "rStyle" if of_run => {
                let id = xml::value(start).unwrap_or_default();
                if let Some(hidden) = self.context.styles.get(&id).hidden {
                    self.hide(hidden);
                }
            }
            "del" if !of_run => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.runs_on = true;
                }
            }
            _ => {}
        }
    }

    fn mark_row_setting(&mut self, name: &str, start: &BytesStart<'_>) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        match name {
            "tblHeader" => table.row_names = xml::is_on(start),
            "del" => table.row_deleted = true,
            _ => {}
        }
    }

    fn in_table(&self) -> bool {
        self.path.last() != Some(&Element::DeepTable) && !self.tables.is_empty()
    }

    fn hide(&mut self, hidden: bool) {
        if let Some(run) = self.runs.last_mut() {
            *run = hidden;
        }
    }

    /// Whether the paragraph's style hides its runs.
    fn style_hides(&self) -> bool {
        let style = self
            .paragraphs
            .last()
            .and_then(|paragraph| paragraph.style.as_ref());
        style.is_some_and(|style| self.context.styles.get(style).hidden == Some(true))
    }

    /// Adds to the paragraph, unless the run is hidden.
    fn write(&mut self, text: &str) {
        if self.runs.last() == Some(&true) {
            return;
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(text);
        }
    }

    fn end(&mut self, element: Element) -> Result<(), ExtractError> {
        match element {
            Element::Paragraph => self.end_paragraph(),
            Element::Row => self.end_row(),
            Element::Run => {
                self.runs.pop();
                if self.formulas > 0 {
                    self.write(" ");
                }
                Ok(())
            }
            Element::Table => {
                self.tables.pop();
                self.send_notes()
            }
            Element::ParagraphSettings
            | Element::RunSettings
            | Element::Text
            | Element::RowSettings
            | Element::DeepTable
            | Element::Cell
            | Element::Alternatives { .. }
            | Element::Other => Ok(()),
            Element::Formula => {
                self.formulas -= 1;
                Ok(())
            }
        }
    }

    fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        let Some(paragraph) = self.paragraphs.pop() else {
            return Ok(());
        };
        self.carried.push_str(&paragraph.text);
        if paragraph.runs_on {
            return Ok(());
        }
        let text = mem::take(&mut self.carried);
        let (kind, marker) = self.look_up(&paragraph);
        if text.trim().is_empty() {
            return self.send_notes();
        }
        let text = if marker.is_empty() {
            text
        } else {
            format!("{marker} {text}")
        };
        self.send(kind, text)?;
        self.send_notes()
    }

    /// What a paragraph is and the number before it, which is counted even if no text follows.
    fn look_up(&mut self, paragraph: &Paragraph) -> (BlockKind, String) {
        let id = paragraph.style.as_deref().unwrap_or_default();
        let style = self.context.styles.get(id);
        let list = paragraph
            .list
            .as_ref()
            .or(style.list.as_ref())
            .filter(|list| *list != "0");
        let marker = list.and_then(|list| {
            let of_style = || self.context.numbering.level_of_style(list, id);
            let level = paragraph.list_level.or(style.list_level).or_else(of_style);
            self.context.numbering.next(list, level.unwrap_or(0))
        });
        let outline = paragraph
            .outline
            .filter(|outline| *outline < 9)
            .map(|outline| outline.min(5) + 1);
        let kind = if let Some(level) = style.heading().or(outline) {
            BlockKind::Heading { level }
        } else if style.is_caption() {
            BlockKind::Caption
        } else if style.is_code() {
            BlockKind::Code
        } else if list.is_some() {
            BlockKind::ListItem
        } else {
            BlockKind::Paragraph
        };
        (kind, marker.unwrap_or_default())
    }

    fn end_row(&mut self) -> Result<(), ExtractError> {
        let Some(table) = self.tables.last_mut() else {
            return Ok(());
        };
        let cells = mem::take(&mut table.cells);
        let deleted = mem::take(&mut table.row_deleted);
        let marked = mem::take(&mut table.row_names);
        let first = table.rows == 0 && table.first_row_names;
        table.rows += 1;
        if deleted {
            return Ok(());
        }
        let header = marked || first && names_columns(&cells);
        if !header && places(&cells) {
            for (kind, text) in cells.into_iter().flatten() {
                self.send_above(kind, text)?;
            }
            return Ok(());
        }
        let cells: Vec<String> = cells.iter().map(|cell| join(cell)).collect();
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            return Ok(());
        }
        self.send_above(BlockKind::TableRow { header }, cells.join(" | "))
    }

    /// Sends a piece to the innermost open cell, or out.
    fn send(&mut self, kind: BlockKind, text: String) -> Result<(), ExtractError> {
        let cell = self
            .tables
            .last_mut()
            .and_then(|table| table.cells.last_mut());
        match cell {
            Some(cell) => cell.push((kind, text)),
            None => self.send_out(kind, &text)?,
        }
        Ok(())
    }

    /// Sends a row of the innermost table to the cell around it, or out.
    fn send_above(&mut self, kind: BlockKind, text: String) -> Result<(), ExtractError> {
        let above = self.tables.len().checked_sub(2);
        let cell = above.and_then(|above| self.tables[above].cells.last_mut());
        match cell {
            Some(cell) => cell.push((kind, text)),
            None => self.send_out(kind, &text)?,
        }
        Ok(())
    }

    fn send_out(&mut self, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
        if kind == BlockKind::Code {
            self.code.push_str(text);
            self.code.push('\n');
            return Ok(());
        }
        self.flush_code()?;
        match kind {
            BlockKind::Heading { .. } | BlockKind::TableRow { .. } => self.blocks.line(kind, text),
            BlockKind::Paragraph
            | BlockKind::ListItem
            | BlockKind::Code
            | BlockKind::Caption
            | BlockKind::Footnote => self.blocks.prose(kind, text),
        }
    }

    fn flush_code(&mut self) -> Result<(), ExtractError> {
        self.blocks
            .layout(BlockKind::Code, &mem::take(&mut self.code))
    }

    /// Sends the footnotes that were met, unless a paragraph or table around is still open.
    fn send_notes(&mut self) -> Result<(), ExtractError> {
        if self.paragraphs.is_empty() && self.tables.is_empty() {
            for note in mem::take(&mut self.notes) {
                self.send_out(BlockKind::Footnote, &note)?;
            }
        }
        Ok(())
    }
}

/// Whether a table's look sets its first row apart.
fn look_names_first_row(start: &BytesStart<'_>) -> bool {
    if let Some(first) = xml::attribute(start, "firstRow") {
        return matches!(&*first, "1" | "true" | "on");
    }
    let bits = xml::value(start).and_then(|bits| u32::from_str_radix(&bits, 16).ok());
    bits.is_some_and(|bits| bits & 0x20 != 0)
}

/// Whether a row is filled with words, as one that names columns is.
fn names_columns(cells: &[Vec<Piece>]) -> bool {
    cells.len() > 1
        && cells.iter().all(|cell| {
            let [(_, text)] = &cell[..] else { return false };
            text.len() < 200 && text.chars().any(char::is_alphabetic)
        })
}

/// Whether a row only places what it holds: one cell, long cells, tables.
pub(in crate::extract) fn places(cells: &[Vec<Piece>]) -> bool {
    cells.len() == 1
        || cells.iter().any(|cell| {
            let table = cell
                .iter()
                .any(|(kind, _)| matches!(kind, BlockKind::TableRow { .. }));
            table || cell.len() > MAX_CELL_PARAGRAPHS
        })
}

/// The text of a cell.
pub(in crate::extract) fn join(cell: &[Piece]) -> String {
    let texts: Vec<&str> = cell.iter().map(|(_, text)| text.as_str()).collect();
    texts.join(" ")
}

/// The character of a symbol font that is known by its look; letters of such fonts are ornaments.
fn symbol(code: u32) -> Option<char> {
    match code & 0xff {
        0xa7 | 0xb7 => Some('•'),
        0xe0 => Some('→'),
        0xfc => Some('✓'),
        0xfe => Some('☑'),
        0xa8 => Some('☐'),
        _ if code < 0xf000 => char::from_u32(code),
        _ => None,
    }
}
