//! Where the chunks begin and end.
//!
//! Each chunk takes the longest fit and then steps back to the best boundary in its last part. Boundaries are judged by
//! the text's own token marks, which may be a token or two off at the edges of a chunk; the exact count decides, and a
//! chunk that is too long after all is cut again with that much less room.

use std::ops::Range;

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

use super::{
    Settings, Splitter,
    counter::Counter,
    near::Near,
    prefix,
    token::{Tokenizer, Tokens},
    word_break,
    written::{Break, Level, Table, Written},
};

/// The most tokens that one character takes: a byte each.
const CHARACTER_TOKENS: u32 = 4;

/// The most tokens of a text that OpenAI's models embed.
const MODEL_TOKENS: u32 = 8_192;

/// Sections end a piece that is this full (one over it): many small ones share it, or a list of short questions would
/// cost a vector each.
const PROSE_SHARE: u32 = 5;
const MARKDOWN_SHARE: u32 = 10;

/// The end of a chapter is worth a smaller piece: text of two chapters has no heading that fits it.
const LEAVING_SHARE: u32 = 20;

/// A chunk to be.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) span: Range<usize>,
    /// The table's header that is put before it.
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
    walls: Near<usize>,
    /// The tokens of each table's header, if it is to be repeated.
    header_costs: Vec<Option<u32>>,
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
            walls: written.outline.highest().into(),
            header_costs: written
                .tables
                .iter()
                .map(|table| header_cost(written, table, counter, max))
                .collect(),
        }
    }

    /// All pieces, in order.
    pub(super) fn pieces(&self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        // `fresh` is where the text begins that no piece has yet; `start` lies before it where pieces overlap.
        let mut fresh = self.skip_space(0);
        let mut start = fresh;
        while fresh < self.text.len() {
            let piece = self
                .piece(start, fresh)
                .unwrap_or_else(|| self.smallest(fresh));
            fresh = self.skip_space(piece.span.end);
            start = self.overlap(&piece, fresh);
            pieces.push(piece);
        }
        pieces
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

    /// The tokens of this part of the text below a header and a line end, which take so many.
    fn count_below(&self, header: Option<&Range<usize>>, cost: u32, span: &Range<usize>) -> u32 {
        let tokens = self.tokens.count(span);
        let Some(header) = header else { return tokens };
        let header = format!("{}\n", &self.text[header.clone()]);
        let part = &self.text[span.clone()];
        self.tokenizer.count_joined((&header, cost), (part, tokens))
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

    /// Where a piece should end that has room for about so many tokens.
    fn end(&self, start: usize, fresh: usize, room: u32) -> Option<usize> {
        let base = self.tokens.before(start);
        let wall = self.wall_after(fresh);
        let furthest = self.tokens.reach(base + room).min(wall);
        if furthest <= fresh || room == 0 {
            return None;
        }
        if let Some(heading) = self.closing_heading(start, fresh, furthest, room) {
            let rest_is_small = furthest == wall
                && self.tokens.before(wall) - self.tokens.before(heading) < room / LEAVING_SHARE;
            return Some(if rest_is_small { wall } else { heading });
        }
        if furthest == wall {
            return Some(wall);
        }
        let least = (base + room / 2).max(self.tokens.before(fresh) + room / 8);
        let earliest = self.tokens.from(least).clamp(fresh + 1, furthest);
        let latest = self.leaving_a_rest(furthest, room / 8).max(earliest);
        Some(self.best(start, earliest, latest))
    }

    /// The next heading of the highest level, or the end.
    fn wall_after(&self, at: usize) -> usize {
        let next = self.walls.partition_point(|wall| *wall <= at);
        self.walls.get(next).copied().unwrap_or(self.text.len())
    }

    /// The first heading that finds the piece full enough to end before it; where it leaves the chapter in which the
    /// piece starts, less is enough.
    fn closing_heading(
        &self,
        start: usize,
        fresh: usize,
        furthest: usize,
        room: u32,
    ) -> Option<usize> {
        let outline = &self.written.outline;
        let chapter = outline.above(start).map(|(above, _)| outline.level(above));
        let base = self.tokens.before(start);
        outline
            .after(fresh)
            .take_while(|(_, at)| *at <= furthest)
            .find(|(heading, at)| {
                let leaves = chapter.is_some_and(|chapter| self.leaves(chapter, *heading));
                let share = if leaves {
                    LEAVING_SHARE
                } else {
                    self.close_share
                };
                self.tokens.before(*at) >= base + room / share && !self.follows_a_heading(*at)
            })
            .map(|(_, at)| at)
    }

    /// Whether a chapter of this level, in which sections of it may lie, ends at this heading.
    fn leaves(&self, chapter: u8, heading: usize) -> bool {
        let level = self.written.outline.level(heading);
        let before = self.written.outline.level(heading.saturating_sub(1));
        level <= chapter && level < chapter.max(before)
    }

    /// Whether nothing lies between this heading and the one before it, to which it then belongs.
    fn follows_a_heading(&self, at: usize) -> bool {
        let breaks = &self.written.breaks;
        let next = breaks.get(breaks.partition_point(|b| b.at < at));
        next.is_some_and(|next| next.at == at && next.level == Level::Clause)
    }

    /// A place at or before this one that leaves the section's last piece not too small.
    fn leaving_a_rest(&self, furthest: usize, least: u32) -> usize {
        let next = self.written.outline.after(furthest).next();
        let stop = next.map_or(self.text.len(), |(_, at)| at);
        let total = self.tokens.before(stop);
        if total - self.tokens.before(furthest) < least {
            self.tokens.reach(total.saturating_sub(least)).min(furthest)
        } else {
            furthest
        }
    }

    /// The best place to cut in the range, the last of its kind.
    fn best(&self, start: usize, earliest: usize, latest: usize) -> usize {
        let breaks = self.breaks(earliest, latest + 1);
        if let Some(found) = breaks.iter().max_by_key(|b| (b.level, b.at)) {
            return found.at;
        }
        if self.text[latest..].starts_with(char::is_whitespace) {
            return latest;
        }
        if let Some(space) = self.text[self.ceil(earliest)..latest].rfind(char::is_whitespace) {
            return self.ceil(earliest) + space;
        }
        word_break::last(self.text, earliest..latest)
            .unwrap_or_else(|| self.grapheme(start, earliest, latest))
    }

    fn breaks(&self, from: usize, to: usize) -> &[Break] {
        let breaks = &self.written.breaks;
        let first = breaks.partition_point(|b| b.at < from);
        let after = breaks.partition_point(|b| b.at < to);
        &breaks[first..after.max(first)]
    }

    /// The last end of a user-perceived character in the range, a mark if one of the last few marks is one; `latest`, an
    /// end of a character, where there is none.
    fn grapheme(&self, start: usize, earliest: usize, latest: usize) -> usize {
        const FEW: usize = 4;
        let window = &self.text[start..self.tokens.next_mark(latest)];
        let cursor = |at: usize| GraphemeCursor::new(at - start, window.len(), true);
        let ends_one = |at: &usize| cursor(*at).is_boundary(window, 0) == Ok(true);
        let marks = std::iter::successors(Some(latest), |at| Some(self.tokens.previous_mark(*at)));
        let mut near = marks.take(FEW).take_while(|at| *at >= earliest);
        near.find(ends_one).unwrap_or_else(|| {
            let before = cursor(latest).prev_boundary(window, 0);
            let before = before.ok().flatten().map(|at| start + at);
            before.filter(|at| *at >= earliest).unwrap_or(latest)
        })
    }

    /// Where the piece after this one starts: at whole sentences that it repeats, or words where no sentence is short enough.
    ///
    /// Nothing is repeated across a heading or within a table, whose header is repeated instead.
    fn overlap(&self, piece: &Piece, fresh: usize) -> usize {
        let end = piece.span.end;
        let heading = self.written.outline.above(fresh);
        let floor = heading.map_or(0, |(_, at)| at).max(piece.span.start + 1);
        if self.overlap == 0 || floor >= end || self.in_table(fresh) {
            return fresh;
        }
        let mut room = self.overlap;
        while room > 0 {
            let start = self.repeat_from(floor, end, room).min(fresh);
            let tokens = self.tokens.count(&(start.min(end)..end));
            if tokens <= self.overlap {
                return start;
            }
            // As in `piece`: a little less room, and much less for a text that defies the estimate.
            room = room.saturating_sub((tokens - self.overlap).max(room / 4));
        }
        fresh
    }

    /// The first start of a sentence, else of a word, from which about so many tokens lead up to `end`.
    fn repeat_from(&self, floor: usize, end: usize, room: u32) -> usize {
        let least = self.tokens.before(end).saturating_sub(room);
        let from = self.tokens.from(least).max(floor);
        let sentence = self
            .breaks(from, end)
            .iter()
            .find(|b| b.level >= Level::Sentence)
            .map(|b| b.at);
        let start = sentence.or_else(|| {
            let from = self.ceil(from);
            let space = self.text.get(from..end)?.find(char::is_whitespace)?;
            Some(from + space)
        });
        self.skip_space(start.unwrap_or(end))
    }

    fn in_table(&self, at: usize) -> bool {
        let tables = &self.written.tables;
        let next = tables.partition_point(|table| table.end <= at);
        tables
            .get(next)
            .is_some_and(|table| table.header.start < at)
    }

    /// The header to put before a piece that starts within a table, and its tokens; none if it would take much of the room.
    fn header(&self, start: usize) -> (Option<Range<usize>>, u32) {
        let tables = &self.written.tables;
        let next = tables.partition_point(|table| table.end <= start);
        let table = tables.get(next).filter(|table| table.header.end < start);
        match (table, self.header_costs.get(next).copied().flatten()) {
            (Some(table), Some(cost)) => (Some(table.header.clone()), cost),
            _ => (None, 0),
        }
    }

    fn skip_space(&self, at: usize) -> usize {
        self.text.len() - self.text[at..].trim_start().len()
    }

    /// The first place at or after this one that lies between two characters.
    fn ceil(&self, at: usize) -> usize {
        self.text.ceil_char_boundary(at)
    }
}

/// The tokens of a table's header with its line end; none if it has no header, or one that takes much of the room.
fn header_cost(written: &Written, table: &Table, counter: &mut Counter, max: u32) -> Option<u32> {
    let header = &written.text[table.header.clone()];
    let cost = counter.count(&format!("{header}\n"));
    let fits = cost <= max / 4 && max - cost >= CHARACTER_TOKENS;
    (!header.is_empty() && fits).then_some(cost)
}
