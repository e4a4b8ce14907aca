//! Markdown: `CommonMark` with tables, footnotes, task lists and front matter.
//!
//! Nothing of the text is lost: front matter stays as a paragraph, web links keep their address behind their text, images
//! their description, and HTML is read as HTML. The marks themselves (`*`, `#`, backticks) go.

use pulldown_cmark::{CodeBlockKind, CowStr, Event, Options, Parser, Tag, TagEnd};

use crate::document::BlockKind;

use super::{blocks::Blocks, error::ExtractError, html};

/// Adds the blocks of `text`.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut walk = Walk::new(blocks);
    for event in Parser::new_ext(text, options()) {
        walk.event(event)?;
    }
    walk.flush()
}

fn options() -> Options {
    Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_HEADING_ATTRIBUTES
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
        | Options::ENABLE_GFM
}

struct Walk<'a, 'b> {
    blocks: &'b mut Blocks,
    /// Of the block that is being read.
    text: String,
    kind: BlockKind,
    /// Stands before the next text of an item or footnote.
    marker: Option<String>,
    /// The next number of each open list; `None` where it has bullets.
    lists: Vec<Option<u64>>,
    footnote: bool,
    cells: Vec<String>,
    /// Where the text of each open link starts, and its address.
    links: Vec<(usize, CowStr<'a>)>,
    html: String,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(blocks: &'b mut Blocks) -> Self {
        Self {
            blocks,
            text: String::new(),
            kind: BlockKind::Paragraph,
            marker: None,
            lists: Vec::new(),
            footnote: false,
            cells: Vec::new(),
            links: Vec::new(),
            html: String::new(),
        }
    }

    fn event(&mut self, event: Event<'a>) -> Result<(), ExtractError> {
        match event {
            Event::Start(tag) => self.start(tag)?,
            Event::End(tag) => self.end(tag)?,
            Event::Text(text)
            | Event::Code(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => {
                self.text.push_str(&text);
            }
            Event::Html(html) => self.html.push_str(&html),
            Event::InlineHtml(html) => self.inline_html(&html),
            Event::FootnoteReference(label) => self.text.extend(["[", &*label, "]"]),
            Event::SoftBreak | Event::HardBreak => self.text.push('\n'),
            Event::Rule => self.flush()?,
            Event::TaskListMarker(done) => self.text.push_str(if done { "[x] " } else { "[ ] " }),
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag<'a>) -> Result<(), ExtractError> {
        match tag {
            Tag::Link { dest_url, .. } => self.links.push((self.text.len(), dest_url)),
            Tag::Heading { level, .. } => {
                self.flush()?;
                self.kind = BlockKind::Heading { level: level as u8 };
            }
            Tag::CodeBlock(kind) => {
                self.flush()?;
                self.kind = BlockKind::Code;
                if let CodeBlockKind::Fenced(info) = kind {
                    self.name_code(&info)?;
                }
            }
            Tag::List(first) => {
                self.flush()?;
                self.lists.push(first);
            }
            Tag::Item => self.start_item()?,
            Tag::FootnoteDefinition(label) => {
                self.flush()?;
                self.footnote = true;
                self.marker = Some(format!("[{label}]"));
            }
            Tag::Paragraph
            | Tag::BlockQuote(_)
            | Tag::HtmlBlock
            | Tag::DefinitionList
            | Tag::DefinitionListTitle
            | Tag::DefinitionListDefinition
            | Tag::Table(_)
            | Tag::MetadataBlock(_) => self.flush()?,
            Tag::TableHead
            | Tag::TableRow
            | Tag::TableCell
            | Tag::Emphasis
            | Tag::Strong
            | Tag::Strikethrough
            | Tag::Superscript
            | Tag::Subscript
            | Tag::Image { .. } => {}
        }
        Ok(())
    }

    fn end(&mut self, tag: TagEnd) -> Result<(), ExtractError> {
        match tag {
            TagEnd::Link => self.end_link(),
            TagEnd::TableCell => self.cells.push(std::mem::take(&mut self.text)),
            TagEnd::TableHead | TagEnd::TableRow => {
                let header = matches!(tag, TagEnd::TableHead);
                self.blocks.row(&std::mem::take(&mut self.cells), header)?;
            }
            TagEnd::List(_) => {
                self.flush()?;
                self.lists.pop();
            }
            TagEnd::FootnoteDefinition => {
                self.flush()?;
                self.footnote = false;
                self.marker = None;
            }
            TagEnd::Item => {
                self.flush()?;
                self.marker = None;
            }
            TagEnd::HtmlBlock => html::extract(&std::mem::take(&mut self.html), self.blocks)?,
            TagEnd::Heading(_)
            | TagEnd::CodeBlock
            | TagEnd::Paragraph
            | TagEnd::BlockQuote(_)
            | TagEnd::DefinitionList
            | TagEnd::DefinitionListTitle
            | TagEnd::DefinitionListDefinition
            | TagEnd::Table
            | TagEnd::MetadataBlock(_) => self.flush()?,
            TagEnd::Emphasis
            | TagEnd::Strong
            | TagEnd::Strikethrough
            | TagEnd::Superscript
            | TagEnd::Subscript
            | TagEnd::Image => {}
        }
        Ok(())
    }

    /// Ends the block that is being read.
    fn flush(&mut self) -> Result<(), ExtractError> {
        let kind = std::mem::replace(&mut self.kind, BlockKind::Paragraph);
        let text = std::mem::take(&mut self.text);
        if text.trim().is_empty() {
            return Ok(());
        }
        match kind {
            BlockKind::Code => return self.blocks.layout(kind, &text),
            BlockKind::Heading { .. } => return self.blocks.line(kind, &text),
            BlockKind::Paragraph
            | BlockKind::ListItem
            | BlockKind::TableRow { .. }
            | BlockKind::Caption
            | BlockKind::Footnote => {}
        }
        let kind = match (&self.marker, self.footnote) {
            (_, true) => BlockKind::Footnote,
            (Some(_), false) => BlockKind::ListItem,
            (None, false) => BlockKind::Paragraph,
        };
        match self.marker.take() {
            Some(marker) => self.blocks.prose(kind, &format!("{marker} {text}")),
            None => self.blocks.prose(kind, &text),
        }
    }

    fn start_item(&mut self) -> Result<(), ExtractError> {
        self.flush()?;
        self.marker = Some(match self.lists.last_mut() {
            Some(Some(next)) => {
                let number = *next;
                *next = next.saturating_add(1);
                format!("{number}.")
            }
            Some(None) | None => "-".to_owned(),
        });
        Ok(())
    }

    /// A fence may name a file besides the language, `rust title=main.rs`; a language alone says nothing.
    fn name_code(&mut self, info: &str) -> Result<(), ExtractError> {
        if info.split_whitespace().count() < 2 {
            return Ok(());
        }
        self.blocks.line(BlockKind::Caption, info)
    }

    /// Writes a web address behind the text of its link, unless the text is the address.
    fn end_link(&mut self) {
        let Some((start, address)) = self.links.pop() else {
            return;
        };
        let is_web = ["http://", "https://", "ftp://", "mailto:"]
            .iter()
            .any(|scheme| address.starts_with(scheme));
        let bare = address.trim_start_matches("mailto:");
        let shown = self
            .text
            .get(start..)
            .is_some_and(|text| text.contains(bare));
        if is_web && !shown {
            self.text.extend([" (", bare, ")"]);
        }
    }

    /// Tags within a line go; what is between them comes as text of its own.
    fn inline_html(&mut self, tag: &str) {
        let name = tag.get(..3).unwrap_or_default();
        if name.eq_ignore_ascii_case("<br") {
            self.text.push('\n');
        }
    }
}

#[cfg(test)]
mod tests;
