//! Where a walk over a page is: which elements are open, and which of them a tag closes.

use std::collections::HashMap;

use html5ever::{LocalName, tokenizer::Tag};

use crate::document::BlockKind;

use super::{
    super::{blocks::Blocks, error::ExtractError},
    table::Table,
    tag::{is_block, is_cell, is_hidden, is_void},
};

/// How far up an end tag may close what is open; pages by people stay far below.
const MAX_REACH: usize = 1000;

/// An open element.
struct Open {
    name: LocalName,
    hidden: bool,
}

/// Where the walk is.
pub(super) struct Walk {
    pub(super) blocks: Blocks,
    pub(super) error: Option<ExtractError>,
    pub(super) xml: bool,
    open: Vec<Open>,
    /// How many of each element are open.
    counts: HashMap<LocalName, usize>,
    hidden: usize,
    pub(super) preformatted: usize,
    /// What the open elements make of their text, the innermost last.
    pub(super) kinds: Vec<BlockKind>,
    /// The next number of each open list; `None` where it has bullets.
    pub(super) lists: Vec<Option<i64>>,
    /// Stands before the next text of a list's item.
    pub(super) marker: Option<String>,
    pub(super) tables: Vec<Table>,
    /// Of the block that is being read.
    pub(super) text: String,
    pub(super) title: String,
}

impl Walk {
    pub(super) fn new(blocks: Blocks) -> Self {
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

    pub(super) fn text(&mut self, text: &str) {
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

    pub(super) fn start(&mut self, tag: &Tag) {
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

    pub(super) fn end(&mut self, name: &LocalName) {
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
}
