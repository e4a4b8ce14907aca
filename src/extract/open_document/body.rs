//! The paragraphs, tables and slides of a document, in the order of reading.
//!
//! One pass over the XML with stacks of its own: nesting costs no stack of the process.

use std::collections::HashSet;

use quick_xml::events::BytesStart;

use super::{
    super::{
        error::ExtractError,
        package::readable,
        table::Piece,
        xml::{self, Node},
    },
    element::{Element, Sink, Table},
    list::{Counts, Lists},
    paragraph::Paragraph,
    style::{Family, Styles},
};

/// Tables within tables beyond this are read as if they were not there.
const MAX_TABLES: usize = 16;

/// Most spaces beyond the first of each run: an element of ten bytes may ask for millions.
const MAX_SPACES: usize = 1 << 20;

/// Headers and footers of all kinds of pages, each text once.
#[derive(Default)]
pub(super) struct Margins {
    pub(super) headers: Vec<Piece>,
    pub(super) footers: Vec<Piece>,
}

/// A slide with its notes.
pub(super) struct Slide {
    pub(super) hidden: bool,
    pub(super) pieces: Vec<Piece>,
}

/// What a document holds: pieces of a text, slides of a presentation.
pub(super) struct Read {
    pub(super) pieces: Vec<Piece>,
    pub(super) slides: Vec<Slide>,
}

pub(super) struct Body<'a> {
    pub(super) styles: &'a Styles,
    pub(super) path: Vec<Element>,
    /// How many elements are open within one that is left out, itself included.
    pub(super) left_out: usize,
    pub(super) paragraphs: Vec<Paragraph>,
    pub(super) hidden_spans: usize,
    /// How many spaces may yet be written.
    pub(super) spaces: usize,
    pub(super) tables: Vec<Table>,
    pub(super) lists: Lists,
    pub(super) headings: Counts,
    pub(super) sinks: Vec<Sink>,
    pub(super) out: Vec<Piece>,
    pub(super) slides: Vec<Slide>,
    pub(super) slide_hidden: bool,
    pub(super) margins: Margins,
    /// Footnotes to go out once the paragraph or table is done.
    pub(super) footnotes: Vec<Piece>,
    pub(super) endnotes: Vec<Piece>,
}

impl<'a> Body<'a> {
    pub(super) fn new(styles: &'a Styles) -> Self {
        Self {
            styles,
            path: Vec::new(),
            left_out: 0,
            paragraphs: Vec::new(),
            hidden_spans: 0,
            spaces: MAX_SPACES,
            tables: Vec::new(),
            lists: Lists::default(),
            headings: Counts::default(),
            sinks: Vec::new(),
            out: Vec::new(),
            slides: Vec::new(),
            slide_hidden: false,
            margins: Margins::default(),
            footnotes: Vec::new(),
            endnotes: Vec::new(),
        }
    }

    /// Reads the content.
    pub(super) fn read(mut self, content: &str) -> Result<Read, ExtractError> {
        xml::walk(content, |node| {
            self.node(node);
            Ok(())
        })?;
        let mut pieces = self.out;
        pieces.append(&mut self.endnotes);
        Ok(Read {
            pieces,
            slides: self.slides,
        })
    }

    /// Reads the headers and footers among the styles, as far as they can be read.
    pub(super) fn margins(mut self, styles: &str) -> Result<Margins, ExtractError> {
        readable(xml::walk(styles, |node| {
            self.node(node);
            Ok(())
        }))?;
        let mut seen = HashSet::new();
        for pieces in [&mut self.margins.headers, &mut self.margins.footers] {
            pieces.retain(|(_, text)| seen.insert(text.clone()));
        }
        Ok(self.margins)
    }

    fn node(&mut self, node: Node<'_>) {
        match node {
            Node::Start(name, start) => {
                if self.left_out == 0 && name == "covered-table-cell" {
                    self.cover(start);
                }
                if self.left_out > 0 || self.leaves_out(name, start) {
                    self.left_out += 1;
                } else {
                    let element = self.start(name, start);
                    self.path.push(element);
                }
            }
            Node::End(_) if self.left_out > 0 => self.left_out -= 1,
            Node::End(_) => {
                if let Some(element) = self.path.pop() {
                    self.end(element);
                }
            }
            Node::Text(text) => {
                if self.left_out == 0 {
                    // Line ends of the file mean no more than its spaces.
                    self.write(&text.replace(['\n', '\r', '\t'], " "));
                }
            }
        }
    }

    /// What a reader of the document as accepted does not see, and what repeats the rest of it.
    fn leaves_out(&self, name: &str, start: &BytesStart<'_>) -> bool {
        let is = |name: &str, value: &str| xml::attribute(start, name).as_deref() == Some(value);
        match name {
            "tracked-changes" | "annotation" | "covered-table-cell" | "ruby-text" | "forms"
            | "binary-data" | "desc" | "script" | "page-number" | "page-count" | "math"
            | "table-of-content" | "illustration-index" | "table-index" | "object-index"
            | "user-index" | "alphabetical-index" => true,
            // The title of a document is a field in a paragraph, that of a picture is what nobody sees.
            "title" => !matches!(
                self.path.last(),
                Some(Element::Paragraph | Element::Span { .. })
            ),
            "hidden-text" | "hidden-paragraph" => is("is-hidden", "true"),
            "section" => is("display", "none"),
            "frame" | "custom-shape" => matches!(
                xml::attribute(start, "class").as_deref(),
                Some("header" | "footer" | "date-time" | "page-number" | "page")
            ),
            "table" => self.is_hidden(start),
            _ => false,
        }
    }

    /// Keeps the places of cells that others cover: those behind them stay in their columns.
    fn cover(&mut self, start: &BytesStart<'_>) {
        if self.path.last() == Some(&Element::Row)
            && let Some(table) = self.tables.last_mut()
        {
            table.cells.push(Vec::new());
            table.repeat(repeats(start));
        }
    }

    fn is_hidden(&self, start: &BytesStart<'_>) -> bool {
        let style = xml::attribute(start, "style-name").unwrap_or_default();
        self.styles.is_hidden(&style)
    }

    fn start(&mut self, name: &str, start: &BytesStart<'_>) -> Element {
        let in_paragraph = !self.paragraphs.is_empty();
        match name {
            "p" | "h" => self.start_paragraph(name, start),
            "span" => {
                let style = xml::attribute(start, "style-name").unwrap_or_default();
                let hidden = self.styles.hides(Family::Text, &style);
                self.hidden_spans += usize::from(hidden);
                Element::Span { hidden }
            }
            "list" => {
                self.lists.start(start);
                Element::List
            }
            "list-item" => {
                self.lists.start_item(start);
                Element::Item
            }
            "table" if self.tables.len() < MAX_TABLES => {
                self.tables.push(Table::default());
                Element::Table
            }
            "table" => Element::DeepTable,
            "table-header-rows" => {
                if let Some(table) = self.tables.last_mut() {
                    table.header_rows = true;
                }
                Element::HeaderRows
            }
            "table-row" if self.in_table() => {
                if let Some(table) = self.tables.last_mut() {
                    table.names = true;
                }
                Element::Row
            }
            "table-cell" if self.path.last() == Some(&Element::Row) => {
                self.sinks.push(Sink::default());
                Element::Cell {
                    repeats: repeats(start),
                }
            }
            "note" if in_paragraph => {
                self.sinks.push(Sink::default());
                Element::Note {
                    end: xml::attribute(start, "note-class").as_deref() == Some("endnote"),
                }
            }
            "note-citation" if matches!(self.path.last(), Some(Element::Note { .. })) => {
                Element::Citation
            }
            "header" | "header-left" | "header-first" => self.sink(Element::Header),
            "footer" | "footer-left" | "footer-first" => self.sink(Element::Footer),
            "page" => {
                self.slide_hidden = self.is_hidden(start);
                self.sink(Element::Slide)
            }
            "frame" if xml::attribute(start, "class").as_deref() == Some("title") => {
                self.sink(Element::Title)
            }
            "s" if in_paragraph => {
                let count = xml::attribute(start, "c").and_then(|count| count.parse().ok());
                let more = count.unwrap_or(1_usize).saturating_sub(1).min(self.spaces);
                self.spaces -= more;
                self.write(&" ".repeat(1 + more));
                Element::Other
            }
            "tab" => self.mark("\t"),
            "line-break" => self.mark("\n"),
            _ => Element::Other,
        }
    }

    fn sink(&mut self, element: Element) -> Element {
        self.sinks.push(Sink::default());
        element
    }

    fn mark(&mut self, text: &str) -> Element {
        self.write(text);
        Element::Other
    }

    fn in_table(&self) -> bool {
        self.path.last() != Some(&Element::DeepTable) && !self.tables.is_empty()
    }

    /// Adds to the paragraph, or to what refers to a note.
    fn write(&mut self, text: &str) {
        if self.path.last() == Some(&Element::Citation) {
            if let Some(sink) = self.sinks.last_mut() {
                sink.label.push_str(text);
            }
            return;
        }
        // Between the paragraphs of a box there is only the file's layout.
        let inside = matches!(
            self.path.last(),
            Some(Element::Paragraph | Element::Span { .. } | Element::Other)
        );
        if self.hidden_spans > 0 || !inside {
            return;
        }
        if let Some(paragraph) = self.paragraphs.last_mut().filter(|open| !open.hidden) {
            paragraph.text.push_str(text);
        }
    }
}

/// How many more cells there are like this one.
fn repeats(start: &BytesStart<'_>) -> usize {
    let count = xml::attribute(start, "number-columns-repeated");
    let count = count.and_then(|count| count.parse().ok());
    count.unwrap_or(1_usize).saturating_sub(1)
}
