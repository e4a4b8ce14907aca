//! Where a piece starts that repeats the end of the one before it.

use super::{Cutter, Piece};
use crate::chunk::written::Level;

impl Cutter<'_> {
    /// Where the piece after this one starts: at whole sentences that it repeats, or words where no sentence is short enough.
    ///
    /// Nothing is repeated across a heading or within a table, whose header is repeated instead.
    pub(super) fn overlap(&self, piece: &Piece, fresh: usize) -> usize {
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
}
