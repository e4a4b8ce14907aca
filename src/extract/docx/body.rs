//! The paragraphs and tables of a part (`document.xml`, a header, the footnotes), in the order of reading.
//!
//! One pass over the XML with stacks of its own: nesting costs no stack of the process.

use std::mem;

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        blocks::Blocks,
        error::ExtractError,
        xml::{self, Node},
    },
    context::Context,
    field::{Fields, PAGE_NUMBER, is_page_number, without_page_numbers},
    formula::Formulas,
    paragraph::Paragraph,
    table::{Cell, Row, Table, look_names_first_row},
};

/// Tables within tables beyond this are read as if they were not there.
const MAX_TABLES: usize = 16;

/// A paragraph, list item, row … before it is cleaned.
pub(super) type Piece = (BlockKind, String);

/// Adds the blocks of a part.
pub(super) fn read(
    text: &str,
    context: &mut Context<'_>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let mut body = Body::new(context, blocks);
    xml::walk(text, |node| body.node(node))?;
    body.finish()
}

/// Adds the blocks of a header or footer, whose page numbers are of pages that nobody sees here.
pub(super) fn read_margin(
    text: &str,
    context: &mut Context<'_>,
    blocks: &mut Blocks,
) -> Result<(), ExtractError> {
    let mut body = Body::new(context, blocks);
    body.is_margin = true;
    xml::walk(text, |node| body.node(node))?;
    body.finish()
}

/// Gives each footnote, endnote or comment with its id and text.
pub(super) fn read_notes(
    text: &str,
    context: &mut Context<'_>,
    mut give: impl FnMut(&BytesStart<'_>, String),
) -> Result<(), ExtractError> {
    // The limit on text is checked when a note goes out.
    let mut blocks = Blocks::new(u64::MAX);
    let mut body = Body::new(context, &mut blocks);
    let mut open = None;
    xml::walk(text, |node| {
        if let Node::Start("footnote" | "endnote" | "comment", start) = node {
            open = Some(start.to_owned());
        }
        let ends = matches!(node, Node::End("footnote" | "endnote" | "comment"));
        body.node(node)?;
        if let Some(start) = open.take_if(|_| ends) {
            body.finish()?;
            let blocks = body.blocks.take().into_iter();
            let texts: Vec<String> = blocks.map(|block| block.text).collect();
            give(&start, texts.join("\n"));
        }
        Ok(())
    })
}

/// An element whose start is remembered until its end.
#[derive(Clone, Copy, PartialEq)]
enum Element {
    Paragraph,
    ParagraphSettings,
    Run,
    RunSettings,
    Text,
    /// The code of a field.
    FieldCode,
    /// A field that shows a page's number.
    PageNumber,
    Table,
    /// A table too deep to count.
    DeepTable,
    Row,
    RowSettings,
    Cell,
    CellSettings,
    /// A text box in its line or beside it.
    TextBox {
        in_line: bool,
        /// How many pieces the paragraph around it had before.
        before: usize,
    },
    Alternatives {
        chosen: bool,
    },
    Formula,
    /// Formulas that stand alone.
    FormulaAlone,
    /// A part of a formula, by what is written after it.
    Term(&'static str),
    Brackets,
    Root,
    Other,
}

struct Body<'a, 'b> {
    context: &'b mut Context<'a>,
    blocks: &'b mut Blocks,
    is_margin: bool,
    path: Vec<Element>,
    /// How many elements are open within one that is left out, itself included.
    left_out: usize,
    paragraphs: Vec<Paragraph>,
    /// Whether each open run is hidden.
    runs: Vec<bool>,
    tables: Vec<Table>,
    fields: Fields,
    /// How many fields are open that show a page's number.
    page_numbers: usize,
    formulas: Formulas,
    /// Whether the last drawing stands in its line like a letter.
    drawn_in_line: bool,
    /// A paragraph whose end was deleted, so that it runs on into the next.
    carried: Paragraph,
    /// Footnotes and comments to go out once the paragraph or table is done.
    notes: Vec<String>,
    /// Lines of program text, which Word keeps as a paragraph each.
    code: String,
}

impl<'a, 'b> Body<'a, 'b> {
    fn new(context: &'b mut Context<'a>, blocks: &'b mut Blocks) -> Self {
        Self {
            context,
            blocks,
            is_margin: false,
            path: Vec::new(),
            left_out: 0,
            paragraphs: Vec::new(),
            runs: Vec::new(),
            tables: Vec::new(),
            fields: Fields::default(),
            page_numbers: 0,
            formulas: Formulas::default(),
            drawn_in_line: false,
            carried: Paragraph::default(),
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
                    let element = self.start(name, start)?;
                    self.path.push(element);
                }
            }
            Node::End(_) if self.left_out > 0 => self.left_out -= 1,
            Node::End(_) => {
                if let Some(element) = self.path.pop() {
                    self.end(element)?;
                }
            }
            Node::Text(text) if self.left_out == 0 => match self.path.last() {
                Some(Element::Text) => self.write(text),
                Some(Element::FieldCode) => self.fields.code(text),
                _ => {}
            },
            Node::Text(_) => {}
        }
        Ok(())
    }

    /// What a reader of the document as accepted does not see: deletions, former settings, second versions of what another
    /// element holds.
    fn leaves_out(&self, name: &str) -> bool {
        match name {
            "del" | "moveFrom" => !matches!(
                self.path.last(),
                Some(Element::RunSettings | Element::RowSettings)
            ),
            "delText" | "delInstrText" | "pPrChange" | "rPrChange" | "sectPrChange"
            | "tblPrChange" | "trPrChange" | "tcPrChange" | "tblPrExChange" | "numberingChange"
            | "rt" | "sectPr" => true,
            "Choice" | "Fallback" => {
                self.path.last() == Some(&Element::Alternatives { chosen: true })
            }
            _ => false,
        }
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) -> Result<Element, ExtractError> {
        Ok(match name {
            "p" => {
                self.paragraphs
                    .push(mem::take(&mut self.carried).continued());
                Element::Paragraph
            }
            "pPr" => Element::ParagraphSettings,
            "r" => {
                let style = self.paragraphs.last().and_then(|p| p.style.as_deref());
                self.runs.push(self.context.styles.hides(style));
                self.formulas.run();
                Element::Run
            }
            "rPr" => Element::RunSettings,
            "t" => Element::Text,
            "tbl" if self.tables.len() < MAX_TABLES => {
                self.flush_carried()?;
                self.tables.push(Table::at(self.paragraphs.len()));
                Element::Table
            }
            "tbl" => Element::DeepTable,
            "tr" if self.in_table() => Element::Row,
            "tc" if self.path.last() == Some(&Element::Row) => {
                if let Some(table) = self.tables.last_mut() {
                    table.cells.push(Cell::default());
                }
                Element::Cell
            }
            "trPr" => Element::RowSettings,
            "tcPr" => Element::CellSettings,
            "AlternateContent" => Element::Alternatives { chosen: false },
            "Choice" => {
                if let Some(Element::Alternatives { chosen }) = self.path.last_mut() {
                    *chosen = true;
                }
                Element::Other
            }
            "inline" | "anchor" | "pict" | "object" => {
                self.drawn_in_line = name == "inline";
                Element::Other
            }
            "txbxContent" => self.start_box(),
            "instrText" => Element::FieldCode,
            "fldSimple" => self.start_field(start),
            "oMathPara" => {
                self.formulas.set_alone(true);
                Element::FormulaAlone
            }
            "oMath" => {
                let before = self.formulas.begin();
                self.append(before);
                Element::Formula
            }
            "num" | "den" | "sup" | "sub" | "d" | "e" | "rad" if self.formulas.are_open() => {
                self.start_formula(name)
            }
            _ => {
                self.mark(name, start);
                Element::Other
            }
        })
    }

    fn start_box(&mut self) -> Element {
        let before = self
            .paragraphs
            .last()
            .map_or(0, |around| around.boxes.len());
        Element::TextBox {
            in_line: self.drawn_in_line,
            before,
        }
    }

    fn start_field(&mut self, start: &BytesStart<'_>) -> Element {
        let code = xml::attribute(start, "instr").unwrap_or_default();
        if !self.is_margin || !is_page_number(&code) {
            return Element::Other;
        }
        self.write_page_number();
        self.page_numbers += 1;
        Element::PageNumber
    }

    fn start_formula(&mut self, name: &str) -> Element {
        let part = match (name, self.path.last()) {
            ("d", _) => {
                self.formulas.begin_brackets();
                return Element::Brackets;
            }
            ("e", Some(Element::Brackets)) => {
                let before = self.formulas.within_brackets();
                self.append(&before);
                return Element::Other;
            }
            ("e", Some(Element::Root)) => "radicand",
            _ => name,
        };
        match self.formulas.term(part) {
            Some((before, after)) => {
                self.append(before);
                if part == "rad" {
                    return Element::Root;
                }
                Element::Term(after)
            }
            None => Element::Other,
        }
    }

    /// Takes in an element that only says something: a setting, a tab, a reference.
    fn mark(&mut self, name: &str, start: &BytesStart<'_>) {
        match self.path.last() {
            Some(Element::Run) => self.mark_in_run(name, start),
            Some(Element::RunSettings) => self.mark_run_setting(name, start),
            Some(Element::RowSettings) => {
                if let Some(table) = self.tables.last_mut() {
                    table.set_row(name, start);
                }
            }
            Some(Element::CellSettings) => {
                if let Some(table) = self.tables.last_mut() {
                    table.set_cell(name, start);
                }
            }
            _ => {}
        }
        match name {
            "tblLook" => {
                if let Some(table) = self.tables.last_mut() {
                    table.first_row_names = look_names_first_row(start);
                }
            }
            "begChr" | "endChr" => self.formulas.set_brackets(name, start),
            _ => {
                if let Some(paragraph) = self.paragraphs.last_mut() {
                    paragraph.set(name, start);
                }
            }
        }
    }

    fn mark_in_run(&mut self, name: &str, start: &BytesStart<'_>) {
        match name {
            "tab" | "ptab" => self.write("\t"),
            "br" | "cr" => self.write("\n"),
            "noBreakHyphen" => self.write("-"),
            "pgNum" if self.is_margin => self.write_page_number(),
            "fldChar" => self.mark_field(&xml::attribute(start, "fldCharType").unwrap_or_default()),
            "sym" => {
                let code = xml::attribute(start, "char")
                    .and_then(|code| u32::from_str_radix(&code, 16).ok());
                if let Some(c) = code.and_then(symbol) {
                    self.write(c.encode_utf8(&mut [0; 4]));
                }
            }
            "footnoteReference" | "endnoteReference" | "commentReference" if !self.is_hidden() => {
                self.mark_note(name, start);
            }
            _ => {}
        }
    }

    fn mark_field(&mut self, kind: &str) {
        match kind {
            "begin" => self.fields.begin(),
            "separate" if self.fields.separate() && self.is_margin => {
                self.write_page_number();
                self.page_numbers += 1;
            }
            "end" if self.fields.end() && self.is_margin => {
                self.page_numbers = self.page_numbers.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn mark_note(&mut self, name: &str, start: &BytesStart<'_>) {
        let id = xml::attribute(start, "id").unwrap_or_default();
        let own_mark = xml::attribute(start, "customMarkFollows")
            .is_some_and(|value| matches!(&*value, "1" | "true" | "on"));
        match name {
            "footnoteReference" => {
                if let Some((label, note)) = self.context.footnote(&id, own_mark) {
                    self.write(&label);
                    self.notes.push(note);
                }
            }
            "endnoteReference" => {
                if let Some(label) = self.context.endnote(&id, own_mark) {
                    self.write(&label);
                }
            }
            _ => self.notes.extend(self.context.comments.remove(&*id)),
        }
    }

    fn mark_run_setting(&mut self, name: &str, start: &BytesStart<'_>) {
        // Settings of the paragraph's own mark stand within its settings, not in a run.
        let of_run = self.path.len() > 1 && self.path[self.path.len() - 2] == Element::Run;
        if of_run {
            match name {
                "vanish" => self.hide(xml::is_on(start)),
                "rStyle" => {
                    let id = xml::value(start).unwrap_or_default();
                    if let Some(hidden) = self.context.styles.hides_run(&id) {
                        self.hide(hidden);
                    }
                }
                _ => {}
            }
        } else if let Some(paragraph) = self.paragraphs.last_mut() {
            match name {
                "vanish" => paragraph.end_hidden = xml::is_on(start),
                "del" | "moveFrom" => paragraph.runs_on = true,
                _ => {}
            }
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

    fn is_hidden(&self) -> bool {
        self.runs.last() == Some(&true)
    }

    /// Adds text to the paragraph, unless the run is hidden or shows a page's number.
    fn write(&mut self, text: &str) {
        if self.is_hidden() || self.page_numbers > 0 {
            return;
        }
        if let Some(paragraph) = self.paragraphs.last_mut() {
            self.formulas.write(&mut paragraph.text, text);
        }
    }

    /// Adds to the paragraph what stands around the parts of a formula.
    fn append(&mut self, sign: &str) {
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(sign);
        }
    }

    fn write_page_number(&mut self) {
        self.write(PAGE_NUMBER.encode_utf8(&mut [0; 4]));
    }

    fn end(&mut self, element: Element) -> Result<(), ExtractError> {
        match element {
            Element::Paragraph => return self.end_paragraph(),
            Element::Row => return self.end_row(),
            Element::Cell => return self.flush_carried(),
            Element::Table => {
                self.tables.pop();
                return self.send_notes();
            }
            Element::TextBox { in_line, before } => return self.end_box(in_line, before),
            Element::Run => {
                self.runs.pop();
            }
            Element::PageNumber => self.page_numbers = self.page_numbers.saturating_sub(1),
            Element::FormulaAlone => self.formulas.set_alone(false),
            Element::Formula => {
                let after = self.formulas.end();
                self.append(after);
            }
            Element::Term(after) => self.append(after),
            Element::Brackets => {
                let after = self.formulas.end_brackets();
                self.append(&after);
            }
            Element::ParagraphSettings
            | Element::RunSettings
            | Element::Text
            | Element::FieldCode
            | Element::RowSettings
            | Element::CellSettings
            | Element::DeepTable
            | Element::Alternatives { .. }
            | Element::Root
            | Element::Other => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        let Some(paragraph) = self.paragraphs.pop() else {
            return Ok(());
        };
        if paragraph.runs_on {
            self.carried = paragraph;
            return Ok(());
        }
        let (kind, marker) = paragraph.look_up(self.context);
        self.send_paragraph(paragraph, kind, &marker)
    }

    /// Sends a paragraph with what hangs on it: before it, but after a heading, which names it.
    fn send_paragraph(
        &mut self,
        paragraph: Paragraph,
        kind: BlockKind,
        marker: &str,
    ) -> Result<(), ExtractError> {
        let Paragraph { text, boxes, .. } = paragraph;
        let text = if self.is_margin && text.contains(PAGE_NUMBER) {
            without_page_numbers(&text)
        } else {
            text
        };
        let text = if text.trim().is_empty() || marker.is_empty() {
            text
        } else {
            format!("{marker} {text}")
        };
        let (above, below) = if matches!(kind, BlockKind::Heading { .. }) {
            (Vec::new(), boxes)
        } else {
            (boxes, Vec::new())
        };
        for piece in above {
            self.send(piece)?;
        }
        if !text.trim().is_empty() {
            self.send((kind, text))?;
        }
        for piece in below {
            self.send(piece)?;
        }
        self.send_notes()
    }

    /// Sends what a deletion at the end of a cell, box or part left without a next paragraph to run on into.
    fn flush_carried(&mut self) -> Result<(), ExtractError> {
        let carried = mem::take(&mut self.carried);
        self.send_paragraph(carried, BlockKind::Paragraph, "")
    }

    /// A box that stands in its line like a letter is read there, if it has but a line to say.
    fn end_box(&mut self, in_line: bool, before: usize) -> Result<(), ExtractError> {
        self.flush_carried()?;
        let Some(around) = self.paragraphs.last_mut() else {
            return Ok(());
        };
        if in_line
            && around.boxes.len() == before + 1
            && let Some((_, text)) = around
                .boxes
                .pop_if(|(kind, text)| *kind == BlockKind::Paragraph && !text.contains('\n'))
        {
            around.text.push(' ');
            around.text.push_str(&text);
            around.text.push(' ');
        }
        Ok(())
    }

    fn end_row(&mut self) -> Result<(), ExtractError> {
        // A row goes to what the table stands in.
        let Some(mut table) = self.tables.pop() else {
            return Ok(());
        };
        match table.end_row() {
            Row::Gone => {}
            Row::Cells(piece) => self.send(piece)?,
            Row::Places(pieces) => {
                for piece in pieces {
                    self.send(piece)?;
                }
            }
        }
        self.tables.push(table);
        Ok(())
    }

    /// Sends a piece to the innermost open cell or paragraph, or out.
    fn send(&mut self, piece: Piece) -> Result<(), ExtractError> {
        let depth = self.paragraphs.len();
        let table = self.tables.last_mut().filter(|table| table.depth == depth);
        if let Some(cell) = table.and_then(|table| table.cells.last_mut()) {
            cell.pieces.push(piece);
        } else if let Some(around) = self.paragraphs.last_mut() {
            around.boxes.push(piece);
        } else {
            self.send_out(piece.0, &piece.1)?;
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

    /// Ends a part.
    fn finish(&mut self) -> Result<(), ExtractError> {
        self.flush_carried()?;
        self.flush_code()
    }

    /// Sends the notes that were met, unless a paragraph or table around is still open.
    fn send_notes(&mut self) -> Result<(), ExtractError> {
        if self.paragraphs.is_empty() && self.tables.is_empty() {
            for note in mem::take(&mut self.notes) {
                self.send_out(BlockKind::Footnote, &note)?;
            }
        }
        Ok(())
    }
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
