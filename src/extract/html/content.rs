//! What visible elements make of their text: blocks, the page's title, and the items of lists.

use html5ever::tokenizer::Tag;

use crate::document::BlockKind;

use super::{
    super::clean,
    tag::{attribute, is_block, number},
    walk::Walk,
};

impl Walk {
    /// What a visible element does when it starts.
    pub(super) fn enter(&mut self, tag: &Tag) {
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
    pub(super) fn leave(&mut self, name: &str) {
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
    pub(super) fn flush(&mut self) {
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
}
