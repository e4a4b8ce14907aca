//! Where a piece ends: at the heading that finds it full enough, else at the best boundary in its last part.

use unicode_segmentation::GraphemeCursor;

use super::Cutter;
use crate::chunk::{
    word_break,
    written::{Break, Level},
};

/// The end of a chapter is worth a smaller piece: text of two chapters has no heading that fits it.
const LEAVING_SHARE: u32 = 20;

impl Cutter<'_> {
    /// Where a piece should end that has room for about so many tokens.
    pub(super) fn end(&self, start: usize, fresh: usize, room: u32) -> Option<usize> {
        let wall = self.wall_after(fresh);
        // No heading closes so small a piece, and it has no more tokens than bytes.
        if wall - start < (room / LEAVING_SHARE) as usize {
            return Some(wall);
        }
        let base = self.tokens.before(start);
        let left = self.tokens.before(wall) - base;
        if left < room / LEAVING_SHARE {
            return Some(wall);
        }
        let furthest = if left <= room {
            wall
        } else {
            self.tokens.reach(base + room).min(wall)
        };
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

    pub(super) fn breaks(&self, from: usize, to: usize) -> &[Break] {
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
}
