//! The paragraphs and tables of a part (`document.xml`, a header, the footnotes), in the order of reading.
//!
//! One pass over the XML with stacks of its own: nesting costs no stack of the process.

use std::mem;

use quick_xml::events::BytesStart;

use super::{
    super::{
        blocks::Blocks,
        error::ExtractError,
        xml::{self, Node},
    },
    context::Context,
    element::Element,
    field::{Fields, is_page_number},
    formula::Formulas,
    paragraph::Paragraph,
    table::{Cell, Table},
};

/// How many content controls and other frames around a cell are looked past for its row.
const MAX_FRAMES: usize = 16;
/// Tables within tables beyond this are read as if they were not there.
const MAX_TABLES: usize = 16;

pub(super) struct Body<'a, 'b> {
    pub(super) context: &'b mut Context<'a>,
    pub(super) blocks: &'b mut Blocks,
    pub(super) is_margin: bool,
    pub(super) path: Vec<Element>,
    /// How many elements are open within one that is left out, itself included.
    pub(super) left_out: usize,
    pub(super) paragraphs: Vec<Paragraph>,
    /// Whether each open run is hidden.
    pub(super) runs: Vec<bool>,
    pub(super) tables: Vec<Table>,
    pub(super) fields: Fields,
    /// How many fields are open that show a page's number.
    pub(super) page_numbers: usize,
    pub(super) formulas: Formulas,
    /// Whether the last drawing stands in its line like a letter.
    pub(super) drawn_in_line: bool,
    /// A paragraph whose end was deleted, so that it runs on into the next.
    pub(super) carried: Paragraph,
    /// Footnotes and comments to go out once the paragraph or table is done.
    pub(super) notes: Vec<String>,
    /// Lines of program text, which Word keeps as a paragraph each.
    pub(super) code: String,
}

impl<'a, 'b> Body<'a, 'b> {
    pub(super) fn new(context: &'b mut Context<'a>, blocks: &'b mut Blocks) -> Self {
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

    pub(super) fn node(&mut self, node: Node<'_>) -> Result<(), ExtractError> {
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
            "tc" if self.in_row() => {
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
            "ddList" => Element::DropDown,
            "altChunk" => {
                self.send_chunk(start)?;
                Element::Other
            }
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

    /// Whether a row is what lies around, but for content controls and tracked insertions.
    fn in_row(&self) -> bool {
        let mut around = self.path.iter().rev().take(MAX_FRAMES);
        around.find(|element| **element != Element::Other) == Some(&Element::Row)
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
            | Element::DropDown
            | Element::RowSettings
            | Element::CellSettings
            | Element::DeepTable
            | Element::Alternatives { .. }
            | Element::Root
            | Element::Other => {}
        }
        Ok(())
    }
}
