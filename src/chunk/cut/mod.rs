//! Where the chunks begin and end.
//!
//! Each chunk takes the longest fit and then steps back to the best boundary in its last part. Boundaries are judged by
//! the text's own token marks, which may be a token or two off at the edges of a chunk; the exact count decides, and a
//! chunk that is too long after all is cut again with that much less room.

mod end;
mod overlap;

use std::{cell::Cell, iter, ops::Range};

use unicode_segmentation::UnicodeSegmentation as _;

use super::{
    Settings, Splitter, counter::Counter, marks::Tokens, near::Near, prefix, token::Tokenizer,
    written::Written,
};

/// The most tokens that one character takes: a byte each.
const CHARACTER_TOKENS: u32 = 4;

/// The most tokens of a text that OpenAI's models embed.
const MODEL_TOKENS: u32 = 8_192;

/// Sections end a piece that is this full (one over it): many small ones share it, or a list of short questions would
/// cost a vector each.
const PROSE_SHARE: u32 = 5;
const MARKDOWN_SHARE: u32 = 10;

/// A chunk to be.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) span: Range<usize>,
    /// The table's header with its line end that is put before it.
    pub(super) header: Option<Range<usize>>,
    pub(super) tokens: u32,
}

/// Cuts a text.
pub(super) struct Cutter<'a> {
    written: &'a Written,
    text: &'a str,
    tokens: Tokens<'a>,
    tokenizer: Tokenizer,
    max: u32,
    overlap: u32,
    /// A section ends its chunk once the chunk is this full (one over it).
    close_share: u32,
    /// The headings of the highest level that occurs: no piece goes beyond one.
    walls: &'a Near<usize>,
    /// The last table in which a piece began, and what its header costs.
    last_table: Cell<Option<(usize, Option<u32>)>>,
}

impl<'a> Cutter<'a> {
    pub(super) fn new(written: &'a Written, counter: &mut Counter, settings: &Settings) -> Self {
        let prefix = if settings.prefix {
            prefix::MOST_TOKENS
        } else {
            0
        };
        let max = settings.max_tokens.min(MODEL_TOKENS - prefix);
        let max = max.max(CHARACTER_TOKENS);
        Self {
            written,
            text: &written.text,
            tokens: Tokens::of(&written.text, settings.tokenizer, counter),
            tokenizer: settings.tokenizer,
            max,
            overlap: settings.overlap_tokens.min(max / 2),
            close_share: if settings.splitter == Splitter::Prose {
                PROSE_SHARE
            } else {
                MARKDOWN_SHARE
            },
            walls: written.outline.highest(),
            last_table: Cell::new(None),
        }
    }

    /// About how many pieces there are, to make room for them.
    pub(super) fn about(&self) -> usize {
        let tokens = self.tokens.before(self.text.len());
        self.walls.len() + (2 * tokens / self.max) as usize + 1
    }

    /// All pieces, in order.
    pub(super) fn pieces(&self) -> impl Iterator<Item = Piece> {
        // `fresh` is where the text begins that no piece has yet; `start` lies before it where pieces overlap.
        let mut fresh = self.skip_space(0);
        let mut start = fresh;
        iter::from_fn(move || {
            if fresh == self.text.len() {
                return None;
            }
            let piece = self.piece(start, fresh);
            let piece = piece.unwrap_or_else(|| self.smallest(fresh));
            fresh = self.skip_space(piece.span.end);
            start = self.overlap(&piece, fresh);
            Some(piece)
        })
    }

    /// The piece from `start` that takes something of the fresh text, if any such piece fits.
    fn piece(&self, start: usize, fresh: usize) -> Option<Piece> {
        let (header, cost) = self.header(start);
        let mut room = self.max - cost;
        for round in 0_u32.. {
            let Some(end) = self.end(start, fresh, room) else {
                break;
            };
            let span = start..start + self.text[start..end].trim_end().len();
            let tokens = self.count_below(header.as_ref(), cost, &span);
            if tokens <= self.max {
                return Some(Piece {
                    span,
                    header,
                    tokens,
                });
            }
            // The excess is a token or two; a text that defies all estimates takes few rounds all the same.
            let haste = if round < 3 { 0 } else { room / 8 };
            room = room.saturating_sub((tokens - self.max).max(haste));
        }
        (start < fresh).then(|| self.piece(fresh, fresh)).flatten()
    }

    /// The tokens of this part of the text below a header, which takes so many.
    fn count_below(&self, header: Option<&Range<usize>>, cost: u32, span: &Range<usize>) -> u32 {
        let tokens = self.tokens.count(span);
        let Some(header) = header else { return tokens };
        let header = (&self.text[header.clone()], cost);
        let part = (&self.text[span.clone()], tokens);
        self.tokenizer.count_joined(header, part)
    }

    /// The longest piece of whole user-perceived characters, or of one character's part where even that is too long.
    fn smallest(&self, start: usize) -> Piece {
        let window = &self.text[start..self.tokens.next_mark(start)];
        let trimmed = |end: usize| start..start + window[..end].trim_end().len();
        let fits = |end: &usize| self.tokens.count(&trimmed(*end)) <= self.max;
        let whole = [window.len()];
        let graphemes = window.grapheme_indices(true).map(|(at, _)| at);
        let characters = window.char_indices().map(|(at, _)| at);
        let end = graphemes
            .chain(whole)
            .skip(1)
            .take_while(fits)
            .last()
            .or_else(|| characters.chain(whole).skip(1).take_while(fits).last())
            .unwrap_or(window.len());
        let span = trimmed(end);
        Piece {
            tokens: self.tokens.count(&span),
            header: None,
            span,
        }
    }

    /// The header with its line end to put before a piece that starts within a table, and its tokens; none if it would
    /// take much of the room.
    fn header(&self, start: usize) -> (Option<Range<usize>>, u32) {
        let tables = &self.written.tables;
        let next = tables.partition_point(|table| table.end <= start);
        let table = tables.get(next).filter(|table| table.header.end < start);
        let Some(table) = table.filter(|table| !table.header.is_empty()) else {
            return (None, 0);
        };
        let header = table.header.start..table.header.end + 1;
        let last = self.last_table.get().filter(|(place, _)| *place == next);
        let (_, cost) = last.unwrap_or_else(|| (next, self.header_cost(&header)));
        self.last_table.set(Some((next, cost)));
        cost.map_or((None, 0), |cost| (Some(header), cost))
    }

    /// The tokens of a table's header with its line end; none if it takes much of the room.
    fn header_cost(&self, header: &Range<usize>) -> Option<u32> {
        let cost = self.tokenizer.count(&self.text[header.clone()]);
        (cost <= self.max / 4 && self.max - cost >= CHARACTER_TOKENS).then_some(cost)
    }

    fn skip_space(&self, at: usize) -> usize {
        self.text.len() - self.text[at..].trim_start().len()
    }

    /// The first place at or after this one that lies between two characters.
    fn ceil(&self, at: usize) -> usize {
        self.text.ceil_char_boundary(at)
    }
}
