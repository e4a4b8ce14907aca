//! HTML pages: what a reader sees, as headings, paragraphs, lists, tables and code.
//!
//! Left out: scripts, styles, navigation, hidden elements and the addresses of links. Walks the tokens of the HTML standard's
//! tokenizer without building a tree, so that nesting costs no stack and bad nesting no time.

mod content;
mod table;
mod tag;
mod walk;

use std::cell::RefCell;

use html5ever::{
    buffer_queue::BufferQueue,
    tendril::StrTendril,
    tokenizer::{
        TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts, states::RawKind,
    },
};

use self::walk::Walk;
use super::{blocks::Blocks, error::ExtractError};

/// Adds what a reader sees of a page or a piece of one.
pub(super) fn extract(text: &str, blocks: &mut Blocks) -> Result<(), ExtractError> {
    let mut walk = Walk::new(std::mem::replace(blocks, Blocks::new(0)));
    walk.xml = text.trim_start().starts_with("<?xml");
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

#[cfg(test)]
mod tests;
