//! HTML pages: what a reader sees, as headings, paragraphs, lists, tables and code.
//!
//! Left out: scripts, styles, navigation, hidden elements and the addresses of links. Walks the tokens of the HTML standard's
//! tokenizer without building a tree, so that nesting costs no stack and bad nesting no time.

mod tag;

use std::{cell::RefCell, collections::HashMap};

use html5ever::{
    LocalName,
    buffer_queue::BufferQueue,
    tendril::StrTendril,
    tokenizer::{
        Tag, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
    },
};

use crate::document::BlockKind;

use self::tag::{attribute, is_block, is_cell, is_hidden, is_void, number};
use super::{blocks::Blocks, clean, error::ExtractError};

/// How far up an end tag may close what is open; pages by people stay far below.
const MAX_REACH: usize = 1000;

/// Adds what a reader sees of a page or a piece of one.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let walk = Walk {
        xml: text.trim_start().starts_with("<?xml"),
        ..Walk::new(std::mem::replace(blocks, Blocks::new(0)))
    };
    let tokenizer = Tokenizer::new(Sink(RefCell::new(walk)), TokenizerOpts::default());
    let input = BufferQueue::default();
    input.push_back(StrTendril::from(text));
    // A page only pauses for scripts, which nobody runs here.
    let _done = tokenizer.feed(&input);
    tokenizer.end();
    let mut walk = tokenizer.sink.0.into_inner();
    walk.flush();
    *blocks = walk.blocks;
    walk.error.map_or(Ok(()), Err)
}

struct Sink(RefCell<Walk>);

impl TokenSink for Sink {
    type Handle = ();

    fn process_token(&self, token: Token, _line: u64) -> TokenSinkResult<()> {
        let mut walk = self.0.borrow_mut();
        match token {
            Token::CharacterTokens(text) => walk.text(&text),
            Token::TagToken(tag) if tag.kind == TagKind::StartTag => {
                walk.start(&tag);
                if !(walk.xml && tag.self_closing) {
                    return raw_content(&tag.name);
                }
            }
            Token::TagToken(tag) => walk.end(&tag.name),
            Token::DoctypeToken(_)
            | Token::CommentToken(_)
            | Token::NullCharacterToken
            | Token::EOFToken
            | Token::ParseError(_) => {}
        }
        TokenSinkResult::Continue
    }
}

/// How the tokenizer must read what is in an element.
fn raw_content(name: &str) -> TokenSinkResult<()> {
    match name {
        "script" => TokenSinkResult::RawData(RawKind::ScriptData),
        "style" | "xmp" | "iframe" | "noembed" | "noframes" => {
            TokenSinkResult::RawData(RawKind::Rawtext)
        }
        "title" | "textarea" => TokenSinkResult::RawData(RawKind::Rcdata),
        "plaintext" => TokenSinkResult::Plaintext,
        _ => TokenSinkResult::Continue,
    }
}

/// An open element.
struct Open {
    name: LocalName,
    hidden: bool,
}

/// An open table.
#[expect(
    clippy::struct_excessive_bools,
    reason = "any of them may go with any other"
)]
#[derive(Default)]
struct Table {
    cells: Vec<String>,
    in_cell: bool,
    in_head: bool,
    /// All cells of the row so far name something.
    names: bool,
    /// It only places what it holds, which is read as if there were no table.
    is_layout: bool,
}

/// Where the walk is.
struct Walk {
    blocks: Blocks,
    error: Option<ExtractError>,
    xml: bool,
    open: Vec<Open>,
    /// How many of each element are open.
    counts: HashMap<LocalName, usize>,
    hidden: usize,
    preformatted: usize,
    /// What the open elements make of their text, the innermost last.
    kinds: Vec<BlockKind>,
    /// The next number of each open list; `None` where it has bullets.
    lists: Vec<Option<i64>>,
    /// Stands before the next text of a list's item.
    marker: Option<String>,
    tables: Vec<Table>,
    /// Of the block that is being read.
    text: String,
    title: String,
}

impl Walk {
    fn new(blocks: Blocks) -> Self {
        Self {
            blocks,
            error: None,
            xml: false,
            open: Vec::new(),
            counts: HashMap::new(),
            hidden: 0,
            preformatted: 0,
            kinds: Vec::new(),
            lists: Vec::new(),
            marker: None,
            tables: Vec::new(),
            text: String::new(),
            title: String::new(),
        }
    }

    fn text(&mut self, text: &str) {
        if self.hidden > 0 || self.error.is_some() {
            return;
        }
        if self.preformatted > 0 {
            self.text.push_str(text);
        } else {
            // Line breaks of the source are spaces to a reader.
            self.text.extend(
                text.chars()
                    .map(|c| if c.is_ascii_whitespace() { ' ' } else { c }),
            );
        }
    }

    fn start(&mut self, tag: &Tag) {
        self.close_implied(&tag.name);
        let hidden = is_hidden(tag);
        if !hidden && self.hidden == 0 {
            self.enter(tag);
        }
        if is_void(&tag.name)
            || tag.self_closing && (self.xml || matches!(&*tag.name, "svg" | "math"))
        {
            if !hidden && self.hidden == 0 {
                self.leave(&tag.name);
            }
            return;
        }
        self.hidden += usize::from(hidden);
        *self.counts.entry(tag.name.clone()).or_default() += 1;
        self.open.push(Open {
            name: tag.name.clone(),
            hidden,
        });
    }

    fn end(&mut self, name: &LocalName) {
        match &**name {
            // The standard reads these as if the tag had been there.
            "br" => self.text.push('\n'),
            "p" => self.flush(),
            _ => {}
        }
        if self.counts.get(name).is_some_and(|count| *count > 0) {
            let barrier = if is_cell(name)
                || matches!(&**name, "tr" | "table" | "thead" | "tbody" | "tfoot")
            {
                "table"
            } else {
                "td th table"
            };
            self.close_to(name, barrier);
        }
    }

    /// Closes the innermost `name`, unless one of the `barriers` is open within it.
    fn close_to(&mut self, name: &str, barriers: &str) {
        for (reach, open) in self.open.iter().rev().take(MAX_REACH).enumerate() {
            if *open.name == *name {
                for _ in 0..=reach {
                    self.close_last();
                }
                return;
            }
            if barriers.split(' ').any(|barrier| *open.name == *barrier) {
                return;
            }
        }
    }

    fn close_last(&mut self) {
        let Some(open) = self.open.pop() else { return };
        if let Some(count) = self.counts.get_mut(&open.name) {
            *count -= 1;
        }
        self.hidden -= usize::from(open.hidden);
        if !open.hidden && self.hidden == 0 {
            self.leave(&open.name);
        }
    }

    /// Closes what the start of an element ends without an end tag.
    fn close_implied(&mut self, name: &str) {
        let ends: &[(&str, &str)] = match name {
            "li" => &[("li", "ul ol td th table")],
            "dt" | "dd" => &[("dt", "dl td th table"), ("dd", "dl td th table")],
            "td" | "th" => &[("td", "table tr"), ("th", "table tr")],
            "tr" => &[("tr", "table")],
            "tbody" | "thead" | "tfoot" => &[
                ("tbody", "table"),
                ("thead", "table"),
                ("tfoot", "table"),
                ("tr", "table"),
            ],
            "body" => &[("head", "table")],
            _ if is_block(name) => &[],
            _ => return,
        };
        if self.open.last().is_some_and(|open| *open.name == *"p") {
            self.close_last();
        }
        for (name, barriers) in ends {
            self.close_to(name, barriers);
        }
    }

    /// What a visible element does when it starts.
    fn enter(&mut self, tag: &Tag) {
        let name = &*tag.name;
        match name {
            "br" => self.text.push('\n'),
            "img" => {
                if let Some(alt) = attribute(&tag.attrs, "alt") {
                    self.text(&format!(" {alt} "));
                }
            }
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" => {
                self.lay_out();
                self.flush();
                self.kinds.push(BlockKind::Heading {
                    level: name.as_bytes()[1] - b'0',
                });
            }
            "pre" | "xmp" | "listing" | "plaintext" => {
                self.lay_out();
                self.flush();
                self.preformatted += 1;
                self.kinds.push(BlockKind::Code);
            }
            "caption" | "figcaption" => {
                self.flush();
                self.kinds.push(BlockKind::Caption);
            }
            "ul" | "menu" | "dir" => self.start_list(None),
            "ol" => self.start_list(Some(number(tag, "start").unwrap_or(1))),
            "li" => self.start_item(tag),
            "table" => self.start_table(tag),
            "thead" => self.in_table(|table| table.in_head = true),
            "tr" => self.in_table(|table| {
                table.cells.clear();
                table.names = true;
            }),
            "td" | "th" => self.start_cell(name == "th"),
            _ if is_block(name) => self.flush(),
            _ => {}
        }
    }

    /// What a visible element does when it ends.
    fn leave(&mut self, name: &str) {
        match name {
            "title" => self.end_title(),
            "h1" | "h2" | "h3" | "h4" | "h5" | "h6" | "caption" | "figcaption" => {
                self.flush();
                self.kinds.pop();
            }
            "pre" | "xmp" | "listing" | "plaintext" => {
                self.flush();
                self.kinds.pop();
                self.preformatted = self.preformatted.saturating_sub(1);
            }
            "ul" | "menu" | "dir" | "ol" => {
                self.flush();
                self.lists.pop();
                self.marker = None;
            }
            "li" => {
                self.flush();
                self.marker = None;
            }
            "td" | "th" => self.end_cell(),
            "tr" => self.end_row(),
            "thead" => self.in_table(|table| table.in_head = false),
            "table" => {
                self.end_row();
                self.flush();
                self.tables.pop();
            }
            _ if is_block(name) => self.flush(),
            _ => {}
        }
    }

    /// Ends a block, or a line within a table's cell.
    fn flush(&mut self) {
        if self
            .tables
            .last()
            .is_some_and(|table| table.in_cell && !table.is_layout)
        {
            self.text.push('\n');
            return;
        }
        let text = std::mem::take(&mut self.text);
        if self.error.is_some() || text.trim().is_empty() {
            return;
        }
        let kind = self.kinds.last().copied().unwrap_or(BlockKind::Paragraph);
        let added = match (kind, self.marker.take()) {
            (BlockKind::Code, _) => self.blocks.layout(kind, &text),
            (BlockKind::Heading { level: 1 }, _) if clean::line(&text) == self.title => Ok(()),
            (BlockKind::Heading { .. }, _) => self.blocks.line(kind, &text),
            (_, Some(marker)) => self
                .blocks
                .prose(BlockKind::ListItem, &format!("{marker} {text}")),
            (kind, None) => self.blocks.prose(kind, &text),
        };
        self.error = added.err();
    }

    fn end_title(&mut self) {
        self.title = clean::line(&std::mem::take(&mut self.text));
        self.error = self
            .blocks
            .line(BlockKind::Heading { level: 1 }, &self.title)
            .err();
    }

    fn start_list(&mut self, first: Option<i64>) {
        self.flush();
        self.lists.push(first);
    }

    fn start_item(&mut self, tag: &Tag) {
        self.flush();
        self.marker = Some(match self.lists.last_mut() {
            Some(Some(next)) => {
                let value = number(tag, "value").unwrap_or(*next);
                *next = value.saturating_add(1);
                format!("{value}.")
            }
            Some(None) | None => "-".to_owned(),
        });
    }

    fn start_table(&mut self, tag: &Tag) {
        self.lay_out();
        self.flush();
        let role = attribute(&tag.attrs, "role");
        self.tables.push(Table {
            is_layout: matches!(role, Some("presentation" | "none")),
            ..Table::default()
        });
    }

    /// The table here only places what it holds: what was read of its row becomes blocks.
    fn lay_out(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        if table.is_layout || !table.in_cell {
            return;
        }
        table.is_layout = true;
        let text = std::mem::take(&mut self.text);
        for cell in std::mem::take(&mut table.cells) {
            self.text = cell;
            self.flush();
        }
        self.text = text;
    }

    fn in_table(&mut self, change: impl FnOnce(&mut Table)) {
        self.flush();
        if let Some(table) = self.tables.last_mut() {
            change(table);
        }
    }

    fn start_cell(&mut self, names: bool) {
        self.flush();
        if let Some(table) = self.tables.last_mut() {
            table.in_cell = true;
            table.names &= names;
        }
    }

    fn end_cell(&mut self) {
        match self.tables.last_mut() {
            Some(table) if table.in_cell && !table.is_layout => {
                table.cells.push(std::mem::take(&mut self.text));
                table.in_cell = false;
            }
            _ => self.flush(),
        }
    }

    fn end_row(&mut self) {
        let Some(table) = self.tables.last_mut() else {
            return;
        };
        if table.in_cell {
            return self.end_cell();
        }
        let header = table.in_head || table.names;
        let cells = std::mem::take(&mut table.cells);
        let added = match &cells[..] {
            [] => Ok(()),
            // A row of one cell is a box around text.
            [text] if !header => self.blocks.prose(BlockKind::Paragraph, text),
            cells => self.blocks.row(cells, header),
        };
        self.error = self.error.take().or(added.err());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(html: &str) -> Vec<(BlockKind, String)> {
        let mut blocks = Blocks::new(1 << 24);
        extract(html, &mut blocks).expect("within the limit");
        blocks
            .take()
            .into_iter()
            .map(|block| (block.kind, block.text))
            .collect()
    }

    fn texts(html: &str) -> Vec<String> {
        read(html).into_iter().map(|(_, text)| text).collect()
    }

    fn heading(level: u8, text: &str) -> (BlockKind, String) {
        (BlockKind::Heading { level }, text.to_owned())
    }

    fn row(header: bool, text: &str) -> (BlockKind, String) {
        (BlockKind::TableRow { header }, text.to_owned())
    }

    #[test]
    fn title_headings_and_paragraphs_come_in_order() {
        assert_eq!(
            read(
                "<title>A &amp; B</title><h1>A & B</h1><p>one\n  two<br>three<p>four<h3>C</h3>five"
            ),
            [
                heading(1, "A & B"),
                (BlockKind::Paragraph, "one two\nthree".to_owned()),
                (BlockKind::Paragraph, "four".to_owned()),
                heading(3, "C"),
                (BlockKind::Paragraph, "five".to_owned()),
            ]
        );
    }

    #[test]
    fn what_readers_do_not_see_is_left_out() {
        let html = "<head><style>p{}</style><script>let a = '<p>no</p>';</script></head><nav><ul><li>no</nav>\
            <p hidden>no<p>yes<div style='display: none'>no<div>no</div></div><span aria-hidden=true>no</span>\
            <template><p>no</template><noscript>no</noscript><svg><text>no</text></svg><!-- no --> too";
        assert_eq!(texts(html), ["yes", "too"]);
    }

    #[test]
    fn lists_have_their_numbers() {
        assert_eq!(
            texts("<ol start=3><li>c<li>d<ul><li>x</ul>more<li value=9><p>i</p><p>j</p></ol>after"),
            ["3. c", "4. d", "- x", "more", "9. i", "j", "after"]
        );
    }

    #[test]
    fn tables_become_rows() {
        let html = "<table><caption>Prices</caption><thead><tr><td>Tea<td>Cost</thead><tr><td><p>Green</p><p>fresh</p><td>1\
            <tr><th>Sum<th>2</table>";
        assert_eq!(
            read(html),
            [
                (BlockKind::Caption, "Prices".to_owned()),
                row(true, "Tea | Cost"),
                row(false, "Green fresh | 1"),
                row(true, "Sum | 2"),
            ]
        );
    }

    #[test]
    fn tables_that_only_place_things_vanish() {
        let html = "<table><tr><td>side<td><h2>News</h2><p>one</p><table><tr><td>a<td>b</table><p>two</p></table>";
        assert_eq!(
            read(html),
            [
                (BlockKind::Paragraph, "side".to_owned()),
                heading(2, "News"),
                (BlockKind::Paragraph, "one".to_owned()),
                row(false, "a | b"),
                (BlockKind::Paragraph, "two".to_owned()),
            ]
        );
    }

    #[test]
    fn preformatted_text_keeps_its_lines() {
        assert_eq!(
            read("<p>x</p><pre><code>if a:\n\n    b &lt; c\n</code></pre>"),
            [
                (BlockKind::Paragraph, "x".to_owned()),
                (BlockKind::Code, "if a:\n\n    b < c".to_owned()),
            ]
        );
    }

    #[test]
    fn an_element_that_closes_itself_swallows_nothing_in_xml() {
        assert_eq!(
            texts("<?xml version='1.0'?><html><title/><script src='a'/><p>a<i/>b</p></html>"),
            ["ab"]
        );
    }

    #[test]
    fn stray_end_tags_close_nothing_around_a_table() {
        assert_eq!(
            texts("<div><table><tr><td>a</div></p></ul><td>b</table></div>c"),
            ["a | b", "c"]
        );
    }

    #[test]
    fn deep_and_badly_nested_pages_are_read_in_time() {
        for open in [
            "<div>",
            "<b>",
            "<table><tr><td>",
            "<ul><li>",
            "<p hidden>",
            "<i><table>",
        ] {
            let html = format!(
                "start{}end{}",
                open.repeat(20_000),
                "</b></i></div></p>".repeat(10_000)
            );
            assert!(texts(&html)[0].starts_with("start"), "{open}");
        }
    }
}
