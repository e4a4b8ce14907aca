//! What holds for any document, and what a reader expects of an ordinary one.

mod any;
mod blocks;
mod embedded;
mod headings;
mod prose;

use sha2::{Digest as _, Sha256};

use super::*;
use crate::document::{Block, BlockKind, Page};

const PARAGRAPH: BlockKind = BlockKind::Paragraph;
const ROW: BlockKind = BlockKind::TableRow { header: false };
const HEADER: BlockKind = BlockKind::TableRow { header: true };

fn heading(level: u8) -> BlockKind {
    BlockKind::Heading { level }
}

fn document(blocks: Blocks<'_>) -> Document {
    paged(&[(None, blocks)])
}

type Blocks<'a> = &'a [(BlockKind, &'a str)];

fn paged(pages: &[(Option<u32>, Blocks<'_>)]) -> Document {
    let pages = pages.iter().map(|(number, blocks)| Page {
        number: *number,
        blocks: blocks
            .iter()
            .map(|(kind, text)| Block {
                kind: *kind,
                text: (*text).into(),
            })
            .collect(),
    });
    Document {
        mime_type: "text/plain".into(),
        pages: pages.collect(),
    }
}

fn settings(max_tokens: u32, overlap_tokens: u32) -> Settings {
    Settings {
        splitter: Splitter::Markdown,
        max_tokens,
        overlap_tokens,
        tokenizer: Tokenizer::default(),
        prefix: PREFIX,
    }
}

fn texts(chunked: &Chunked) -> Vec<&str> {
    chunked
        .chunks
        .iter()
        .map(|chunk| chunked.content(chunk))
        .collect()
}

fn oracle(tokenizer: Tokenizer, text: &str) -> u32 {
    small(match tokenizer {
        Tokenizer::Cl100kBase => tiktoken_rs::cl100k_base_singleton()
            .encode_ordinary(text)
            .len(),
        Tokenizer::O200kBase => tiktoken_rs::o200k_base_singleton()
            .encode_ordinary(text)
            .len(),
        Tokenizer::Characters => text.chars().count(),
    })
}

/// What holds for every chunking.
fn check(chunked: &Chunked, settings: &Settings) {
    let text = &chunked.text;
    let count = |text: &str| oracle(settings.tokenizer, text);
    let (mut start, mut end) = (0, 0);
    for (index, chunk) in (0..).zip(&chunked.chunks) {
        assert_eq!(chunk.index, index);
        assert!(!chunked.content(chunk).trim().is_empty(), "a blank chunk");
        assert!(
            chunked.content(chunk).ends_with(&text[chunk.span.clone()]),
            "a chunk that is not the text"
        );
        assert_eq!(
            chunk.tokens,
            count(chunked.content(chunk)),
            "{:?}",
            chunked.content(chunk)
        );
        assert!(
            chunk.tokens <= settings.max_tokens.max(4),
            "{:?}",
            chunked.content(chunk)
        );
        assert!(
            chunk.span.start >= start && chunk.span.end > end,
            "out of order"
        );
        if chunk.span.start > end {
            let gap = &text[end..chunk.span.start];
            assert!(gap.trim().is_empty(), "lost: {gap:?}");
        } else {
            let again = &text[chunk.span.start..end];
            assert!(
                count(again) <= settings.overlap_tokens + 2,
                "repeats {again:?}"
            );
        }
        check_embedded(chunked, chunk, settings);
        (start, end) = (chunk.span.start, chunk.span.end);
    }
    assert!(
        text[end..].trim().is_empty(),
        "lost at the end: {:?}",
        &text[end..]
    );
}

fn check_embedded(chunked: &Chunked, chunk: &Chunk, settings: &Settings) {
    let (embedded, prefix) = (chunked.embedded(chunk), chunked.prefix(chunk));
    assert_eq!(*embedded, format!("{prefix}{}", chunked.content(chunk)));
    let tokens = oracle(settings.tokenizer, &embedded);
    assert_eq!(chunk.embedded.tokens, tokens);
    let sha256: [u8; 32] = Sha256::digest(embedded.as_bytes()).into();
    assert_eq!(chunk.sha256, sha256);
    let most = (settings.max_tokens / 4).min(64);
    assert!(oracle(settings.tokenizer, prefix) <= most);
    assert!(settings.prefix || prefix.is_empty());
}

fn checked(document: &Document, settings: &Settings) -> Chunked {
    let chunked = chunk(document, settings);
    check(&chunked, settings);
    let written = Written::from(document, settings.splitter);
    let walls = written.outline.highest();
    for chunk in &chunked.chunks {
        let inside = |wall: &usize| chunk.span.start < *wall && *wall < chunk.span.end;
        assert!(
            !walls.iter().any(inside),
            "two chapters: {:?}",
            chunked.content(chunk)
        );
    }
    chunked
}
