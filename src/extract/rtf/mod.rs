//! Rich text: one pass over its tokens, with a stack of its own for the groups.
//!
//! Headings by outline level or style, list items with their numbers, tables as rows, notes and text boxes after the paragraph
//! that they hang on, headers where they stand and footers last, each text once. Hidden and deleted text, field codes,
//! comments and pictures are left out, and so is every destination that is not known to hold text.

mod codepage;
mod flow;
mod group;
mod style;
mod text;
mod token;
mod word;

use std::collections::{HashMap, HashSet};

use crate::document::{BlockKind, Page};

use self::{
    codepage::CodePage,
    flow::{Flow, Purpose},
    group::{BODY_TEXT, Destination, Group, Paragraph},
    style::Styles,
    token::{Token, Tokens},
};
use super::{Settings, blocks::Blocks, error::ExtractError, table::Piece};

/// Groups within groups beyond this share the settings of the innermost.
const MAX_GROUPS: usize = 4096;
/// Notes within text boxes within notes beyond this are left out.
const MAX_FLOWS: usize = 16;

/// Reads a document; rich text fixes no pages, so there is one without a number.
pub(super) fn extract(bytes: &[u8], settings: &Settings) -> Result<Vec<Page>, ExtractError> {
    let mut reader = Reader::new(settings.max_text_bytes);
    let start = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
    for token in Tokens::new(&bytes[start..]) {
        reader.token(token)?;
        if token == Token::Close && reader.groups.len() == 1 {
            // Behind the last brace there is nothing that counts.
            break;
        }
    }
    reader.finish()
}

struct Reader {
    blocks: Blocks,
    groups: Vec<Group>,
    /// Groups beyond the most.
    beyond: usize,
    flows: Vec<Flow>,
    /// The file's own charset.
    page: CodePage,
    fonts: HashMap<i32, CodePage>,
    font: i32,
    default_font: i32,
    styles: Styles,
    /// Bytes that are not decoded yet: characters may have two.
    bytes: Vec<u8>,
    /// The first half of a character beyond the first 65,536.
    half: Option<u16>,
    /// How many characters are still to be skipped.
    skip: usize,
    /// After `\*`: what is not known is no text.
    optional: bool,
    /// Of the field that is read.
    code: String,
    notes: u32,
    margins: HashSet<String>,
    footers: Vec<String>,
}

impl Reader {
    fn new(max_text_bytes: u64) -> Self {
        Self {
            blocks: Blocks::new(max_text_bytes),
            groups: vec![Group::OUTERMOST],
            beyond: 0,
            flows: vec![Flow::new(Purpose::Body, 0)],
            page: CodePage::DEFAULT,
            fonts: HashMap::new(),
            font: 0,
            default_font: 0,
            styles: Styles::default(),
            bytes: Vec::new(),
            half: None,
            skip: 0,
            optional: false,
            code: String::new(),
            notes: 0,
            margins: HashSet::new(),
            footers: Vec::new(),
        }
    }

    fn token(&mut self, token: Token<'_>) -> Result<(), ExtractError> {
        match token {
            Token::Text(text) => self.text(text),
            Token::Byte(byte) => self.text(&[byte]),
            Token::Open => {
                self.decode();
                self.skip = 0;
                self.open();
            }
            Token::Close => {
                self.decode();
                self.skip = 0;
                self.close()?;
            }
            Token::Word(..) | Token::Symbol(_) if self.skip > 0 => self.skip -= 1,
            Token::Word(name, number) => {
                self.decode();
                self.word(name, number)?;
            }
            Token::Symbol(symbol) => {
                self.decode();
                self.symbol(symbol)?;
            }
        }
        Ok(())
    }

    /// The settings that hold; the outermost group is never closed.
    fn group(&mut self) -> &mut Group {
        let last = self.groups.len() - 1;
        &mut self.groups[last]
    }

    /// Where text goes; the body is never closed.
    fn flow(&mut self) -> &mut Flow {
        let last = self.flows.len() - 1;
        &mut self.flows[last]
    }

    fn open(&mut self) {
        self.optional = false;
        if self.groups.len() > MAX_GROUPS {
            self.beyond += 1;
        } else {
            let group = *self.group();
            self.groups.push(group);
        }
    }

    fn close(&mut self) -> Result<(), ExtractError> {
        if self.beyond > 0 {
            self.beyond -= 1;
            return Ok(());
        }
        let paragraph = self.group().paragraph;
        if self.groups.len() > 1 {
            self.groups.pop();
        }
        if self.flow().depth > self.groups.len() {
            self.close_flow(paragraph)?;
        }
        Ok(())
    }

    fn symbol(&mut self, symbol: u8) -> Result<(), ExtractError> {
        match symbol {
            b'*' => self.optional = true,
            b'{' | b'}' | b'\\' => self.text(&[symbol]),
            b'~' => self.write("\u{a0}"),
            b'_' => self.write("-"),
            b'\t' => self.write("\t"),
            b'\r' | b'\n' => self.end_paragraph()?,
            // `\-` only says where a word may be broken.
            _ => {}
        }
        Ok(())
    }

    fn end_paragraph(&mut self) -> Result<(), ExtractError> {
        let group = *self.group();
        // A paragraph whose end is hidden or deleted runs on into the next.
        if group.destination == Destination::Text && !group.hidden && !group.deleted {
            let kind = self.kind(group.paragraph);
            self.flow().end_paragraph(kind, group.paragraph.table());
            self.send()?;
        }
        Ok(())
    }

    fn kind(&self, paragraph: Paragraph) -> BlockKind {
        if paragraph.outline < BODY_TEXT {
            BlockKind::Heading {
                level: paragraph.outline.min(5) + 1,
            }
        } else {
            self.styles.kind(paragraph.style)
        }
    }

    /// Begins a run of paragraphs apart from the one that is open.
    fn open_flow(&mut self, purpose: Purpose) {
        let depth = self.groups.len();
        let too_deep = self.flows.len() >= MAX_FLOWS;
        let group = self.group();
        if too_deep {
            group.destination = Destination::Nothing;
            return;
        }
        group.destination = Destination::Text;
        group.paragraph = Paragraph::PLAIN;
        self.flows.push(Flow::new(purpose, depth));
    }

    fn close_flow(&mut self, paragraph: Paragraph) -> Result<(), ExtractError> {
        let kind = self.kind(paragraph);
        let Some(flow) = self.flows.pop() else {
            return Ok(());
        };
        let purpose = flow.purpose;
        let pieces = flow.finish(kind);
        match purpose {
            Purpose::Body | Purpose::Frame => {
                for piece in pieces {
                    self.flow().append(piece);
                }
            }
            Purpose::Note(number) => {
                let text = labelled(number, &pieces);
                self.flow().append((BlockKind::Footnote, text));
            }
            Purpose::Header => {
                for (_, text) in pieces {
                    if self.margins.insert(text.clone()) {
                        self.flow().append((BlockKind::Paragraph, text));
                    }
                }
            }
            Purpose::Footer => {
                let new = pieces.into_iter().map(|(_, text)| text);
                let new: Vec<String> = new
                    .filter(|text| self.margins.insert(text.clone()))
                    .collect();
                self.footers.extend(new);
            }
        }
        self.send()
    }

    /// Sends out what is complete of the body.
    fn send(&mut self) -> Result<(), ExtractError> {
        for (kind, text) in self.flows[0].take() {
            send(&mut self.blocks, kind, &text)?;
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Vec<Page>, ExtractError> {
        self.decode();
        // Some writers forget the last brace, and readers let them.
        if self.groups.len() > 2 {
            return Err(ExtractError::corrupt("it is cut off"));
        }
        let paragraph = self.group().paragraph;
        while self.flows.len() > 1 {
            self.close_flow(paragraph)?;
        }
        let kind = self.kind(paragraph);
        for (kind, text) in self.flows.swap_remove(0).finish(kind) {
            send(&mut self.blocks, kind, &text)?;
        }
        for text in self.footers {
            send(&mut self.blocks, BlockKind::Paragraph, &text)?;
        }
        Ok(vec![Page {
            number: None,
            blocks: self.blocks.take(),
        }])
    }
}

fn send(blocks: &mut Blocks, kind: BlockKind, text: &str) -> Result<(), ExtractError> {
    match kind {
        BlockKind::Heading { .. } | BlockKind::TableRow { .. } => blocks.line(kind, text),
        BlockKind::Paragraph
        | BlockKind::ListItem
        | BlockKind::Code
        | BlockKind::Caption
        | BlockKind::Footnote => blocks.prose(kind, text),
    }
}

/// The text of a note behind the number that refers to it, if one does.
fn labelled(number: Option<u32>, pieces: &[Piece]) -> String {
    let texts: Vec<&str> = pieces.iter().map(|(_, text)| text.trim()).collect();
    let text = texts.join("\n");
    let Some(number) = number else { return text };
    let label = format!("[{number}]");
    let text = text.strip_prefix(&label).unwrap_or(&text).trim_start();
    format!("{label} {text}")
}

#[cfg(test)]
mod tests;
