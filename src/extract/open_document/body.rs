//! The paragraphs, tables and slides of a document, in the order of reading.
//!
//! One pass over the XML with stacks of its own: nesting costs no stack of the process.

use std::{collections::HashSet, mem};

use quick_xml::events::BytesStart;

use crate::document::BlockKind;

use super::{
    super::{
        drawing,
        error::ExtractError,
        package::readable,
        table::{Piece, join, places},
        xml::{self, Node},
    },
    list::{Counts, Lists},
    style::{Family, Role, Styles},
};

/// Tables within tables beyond this are read as if they were not there.
const MAX_TABLES: usize = 16;

/// Most empty cells of a row that stand for repeated ones: an element may ask for millions.
const MAX_REPEATS: usize = 64;

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

/// An element whose start is remembered until its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Element {
    Paragraph,
    Span {
        hidden: bool,
    },
    List,
    /// A list item that has a number, or a header of the list.
    Item,
    Table,
    /// A table too deep to count.
    DeepTable,
    HeaderRows,
    Row,
    /// With how many more there are of it.
    Cell {
        repeats: usize,
    },
    Note {
        end: bool,
    },
    Citation,
    Slide,
    Title,
    Header,
    Footer,
    Other,
}

/// An open paragraph.
#[derive(Default)]
struct Paragraph {
    text: String,
    role: Option<Role>,
    marker: Option<String>,
    hidden: bool,
}

/// An open table.
#[derive(Default)]
struct Table {
    /// Of the open row.
    cells: Vec<Vec<Piece>>,
    /// How many of them there are up to the last that is neither covered nor repeated.
    width: usize,
    /// How many of them are repeated.
    repeats: usize,
    header_rows: bool,
    /// Whether all that the row holds are names of columns.
    names: bool,
}

impl Table {
    /// Adds so many empty cells, as far as a row may have them. Texts are not repeated, only their columns are kept.
    fn repeat(&mut self, count: usize) {
        let count = count.min(MAX_REPEATS - self.repeats);
        self.repeats += count;
        self.cells.resize(self.cells.len() + count, Vec::new());
    }
}

/// What takes the pieces that come next.
#[derive(Default)]
struct Sink {
    pieces: Vec<Piece>,
    /// What refers to a note.
    label: String,
}

pub(super) struct Body<'a> {
    styles: &'a Styles,
    path: Vec<Element>,
    /// How many elements are open within one that is left out, itself included.
    left_out: usize,
    paragraphs: Vec<Paragraph>,
    hidden_spans: usize,
    /// How many spaces may yet be written.
    spaces: usize,
    tables: Vec<Table>,
    lists: Lists,
    headings: Counts,
    sinks: Vec<Sink>,
    out: Vec<Piece>,
    slides: Vec<Slide>,
    slide_hidden: bool,
    margins: Margins,
    /// Footnotes to go out once the paragraph or table is done.
    footnotes: Vec<Piece>,
    endnotes: Vec<Piece>,
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

    fn start_paragraph(&mut self, name: &str, start: &BytesStart<'_>) -> Element {
        let style = xml::attribute(start, "style-name").unwrap_or_default();
        let mut role = self.styles.role(&style);
        let marker = self
            .lists
            .marker(&self.styles.lists, self.styles.list_of(&style));
        let mut heading_number = None;
        if name == "h" {
            let level = xml::attribute(start, "outline-level").and_then(|level| level.parse().ok());
            let level = level.unwrap_or(1_u8).max(1);
            role = Role::Heading(level.min(6));
            heading_number = self.number_heading(usize::from(level - 1), start);
        }
        self.paragraphs.push(Paragraph {
            text: String::new(),
            role: Some(role),
            marker: marker.or(heading_number),
            hidden: self.styles.hides(Family::Paragraph, &style),
        });
        Element::Paragraph
    }

    /// The number of a heading that is in no list, if headings have numbers.
    fn number_heading(&mut self, level: usize, start: &BytesStart<'_>) -> Option<String> {
        let outline = &self.styles.outline;
        let header = xml::attribute(start, "is-list-header").as_deref() == Some("true");
        if header || !outline.counts_at(level) {
            return None;
        }
        Some(outline.next(&mut self.headings, level, None))
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

    fn end(&mut self, element: Element) {
        match element {
            Element::Paragraph => self.end_paragraph(),
            Element::Span { hidden } => self.hidden_spans -= usize::from(hidden),
            Element::List => self.lists.end(),
            Element::Row => self.end_row(),
            Element::Cell { repeats } => {
                let cell = self.sinks.pop().unwrap_or_default();
                if let Some(table) = self.tables.last_mut() {
                    table.cells.push(cell.pieces);
                    table.width = table.cells.len();
                    table.repeat(repeats);
                }
            }
            Element::HeaderRows => {
                if let Some(table) = self.tables.last_mut() {
                    table.header_rows = false;
                }
            }
            Element::Table => {
                self.tables.pop();
                self.send_notes();
            }
            Element::Note { end } => self.end_note(end),
            Element::Header => {
                let sink = self.sinks.pop().unwrap_or_default();
                self.margins.headers.extend(sink.pieces);
            }
            Element::Footer => {
                let sink = self.sinks.pop().unwrap_or_default();
                self.margins.footers.extend(sink.pieces);
            }
            Element::Slide => self.end_slide(),
            Element::Title => {
                let sink = self.sinks.pop().unwrap_or_default();
                let text = join(&sink.pieces);
                self.send(BlockKind::Heading { level: 1 }, text);
            }
            Element::Item | Element::DeepTable | Element::Citation | Element::Other => {}
        }
    }

    fn end_paragraph(&mut self) {
        let Some(paragraph) = self.paragraphs.pop() else {
            return;
        };
        let role = paragraph.role.unwrap_or(Role::Plain);
        if paragraph.text.trim().is_empty() {
            return self.send_notes();
        }
        if role != Role::ColumnName
            && let Some(table) = self.tables.last_mut()
        {
            table.names = false;
        }
        let kind = match role {
            Role::Heading(level) => BlockKind::Heading { level },
            Role::Caption => BlockKind::Caption,
            Role::Code => BlockKind::Code,
            Role::Plain | Role::ColumnName if paragraph.marker.is_some() => BlockKind::ListItem,
            Role::Plain | Role::ColumnName => BlockKind::Paragraph,
        };
        let text = match paragraph.marker.filter(|marker| !marker.is_empty()) {
            Some(marker) => format!("{marker} {}", paragraph.text),
            None => paragraph.text,
        };
        self.send(kind, text);
        self.send_notes();
    }

    fn end_row(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        let mut cells = mem::take(&mut table.cells);
        let width = mem::take(&mut table.width);
        table.repeats = 0;
        let filled = cells.iter().filter(|cell| !cell.is_empty()).count();
        let header = table.header_rows || table.names && filled > 0;
        if !header && places(&cells[..width]) {
            for (kind, text) in cells.into_iter().flatten() {
                self.send(kind, text);
            }
            return;
        }
        while cells.last().is_some_and(Vec::is_empty) {
            cells.pop();
        }
        if filled > 0 {
            let cells: Vec<String> = cells.iter().map(|cell| join(cell)).collect();
            self.send(BlockKind::TableRow { header }, cells.join(" | "));
        }
    }

    fn end_note(&mut self, end: bool) {
        let note = self.sinks.pop().unwrap_or_default();
        let label = format!("[{}]", note.label.trim());
        let text = format!("{label} {}", join(&note.pieces));
        if let Some(paragraph) = self.paragraphs.last_mut() {
            paragraph.text.push_str(&label);
        }
        let notes = if end {
            &mut self.endnotes
        } else {
            &mut self.footnotes
        };
        notes.push((BlockKind::Footnote, text));
    }

    /// Ends a slide: its titles first, or a first paragraph that is one.
    fn end_slide(&mut self) {
        let sink = self.sinks.pop().unwrap_or_default();
        let is_title = |piece: &Piece| piece.0 == BlockKind::Heading { level: 1 };
        let (mut pieces, others): (Vec<_>, Vec<_>) = sink.pieces.into_iter().partition(is_title);
        pieces.extend(others);
        if let Some((kind, text)) = pieces.first_mut()
            && *kind == BlockKind::Paragraph
            && drawing::heads(text)
        {
            *kind = BlockKind::Heading { level: 1 };
        }
        self.slides.push(Slide {
            hidden: mem::take(&mut self.slide_hidden),
            pieces,
        });
    }

    /// Sends a piece to the innermost open cell, note, slide or margin, or out.
    fn send(&mut self, kind: BlockKind, text: String) {
        match self.sinks.last_mut() {
            Some(sink) => sink.pieces.push((kind, text)),
            None => self.out.push((kind, text)),
        }
    }

    /// Sends the footnotes that were met, unless a paragraph, table or note around is still open.
    fn send_notes(&mut self) {
        if self.paragraphs.is_empty() && self.tables.is_empty() && self.sinks.is_empty() {
            self.out.append(&mut self.footnotes);
        }
    }
}

/// How many more cells there are like this one.
fn repeats(start: &BytesStart<'_>) -> usize {
    let count = xml::attribute(start, "number-columns-repeated");
    let count = count.and_then(|count| count.parse().ok());
    count.unwrap_or(1_usize).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "<table-cell><p>a</p></table-cell>";
    const COVERED: &str = "<covered-table-cell><p>hidden</p></covered-table-cell>";

    /// The pieces of a table of one row: `=` before those that are rows.
    fn row(cells: &str) -> Vec<String> {
        let content = format!("<text><table><table-row>{cells}</table-row></table></text>");
        let styles = Styles::read(&[]).expect("no styles");
        let read = Body::new(&styles).read(&content).expect("well formed");
        let shown = |(kind, text)| {
            let is_row = matches!(kind, BlockKind::TableRow { .. });
            format!("{}{text}", if is_row { "=" } else { "" })
        };
        read.pieces.into_iter().map(shown).collect()
    }

    #[test]
    fn cells_stay_in_their_columns() {
        let empty = "<table-cell/>";
        let two = r#"<table-cell number-columns-repeated="2"/>"#;
        let two_covered = r#"<covered-table-cell number-columns-repeated="2"/>"#;
        assert_eq!(row(&format!("{A}{COVERED}{A}")), ["=a |  | a"]);
        assert_eq!(row(&format!("{COVERED}{A}{empty}")), ["= | a"]);
        assert_eq!(row(&format!("{A}{two}{A}{two}")), ["=a |  |  | a"]);
        assert_eq!(row(&format!("{A}{two_covered}{A}")), ["=a |  |  | a"]);
        assert_eq!(row(&format!("{A}{empty}")), ["=a"]);
    }

    #[test]
    fn a_row_of_one_cell_places_it_whatever_it_covers() {
        assert_eq!(row(A), ["a"]);
        assert_eq!(row(&format!("{A}{COVERED}{COVERED}")), ["a"]);
    }

    #[test]
    fn no_row_is_blown_up() {
        let many = r#"<table-cell number-columns-repeated="4000000000"/>"#;
        let separators = " | ".repeat(MAX_REPEATS + 2);
        assert_eq!(
            row(&format!("{many}{many}{A}")),
            [format!("={separators}a")]
        );
    }
}
