//! The headings of a text, and which of them stands above which.

use std::ops::Range;

use super::{near::Near, small};

/// A heading and the one above it.
#[derive(Debug)]
struct Section {
    at: u32,
    end: u32,
    parent: Option<u32>,
    level: u8,
}

impl Section {
    fn at(&self) -> usize {
        self.at as usize
    }

    fn parent(&self) -> Option<usize> {
        self.parent.map(|place| place as usize)
    }

    /// Where the text has what it says, behind its signs and a space.
    fn title(&self) -> Range<usize> {
        self.at() + usize::from(self.level) + 1..self.end as usize
    }
}

/// All headings, named by their place among them.
#[derive(Debug, Default)]
pub(super) struct Outline {
    sections: Near<Section>,
    highest_level: u8,
    /// Where those of the highest level are.
    highest: Near<usize>,
}

impl Outline {
    pub(super) fn with_room_for(headings: usize) -> Self {
        Self {
            sections: Vec::with_capacity(headings).into(),
            ..Self::default()
        }
    }

    /// Adds the next heading, which the text has at this place.
    pub(super) fn push(&mut self, heading: Range<usize>, level: u8) {
        let last = self.sections.len().checked_sub(1);
        let mut above = std::iter::successors(last, |place| self.sections[*place].parent());
        let parent = above.find(|place| self.sections[*place].level < level);
        if parent.is_none() {
            // Nothing above it: no heading so far is of a higher level, and all before may be of lower ones.
            if self.highest_level != level {
                self.highest = Near::default();
                self.highest_level = level;
            }
            self.highest.push(heading.start);
        }
        self.sections.push(Section {
            at: small(heading.start),
            end: small(heading.end),
            parent: parent.map(small),
            level,
        });
    }

    /// The headings that begin behind this place, with where they do.
    pub(super) fn after(&self, at: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = self.sections.partition_point(|section| section.at() <= at);
        let sections = self.sections[first..].iter().map(Section::at);
        (first..).zip(sections)
    }

    /// The last heading that begins at or before this place, with where it does.
    pub(super) fn above(&self, at: usize) -> Option<(usize, usize)> {
        let after = self.sections.partition_point(|section| section.at() <= at);
        let last = after.checked_sub(1)?;
        Some((last, self.sections[last].at()))
    }

    pub(super) fn last(&self) -> Option<usize> {
        self.sections.len().checked_sub(1)
    }

    pub(super) fn level(&self, heading: usize) -> u8 {
        self.sections[heading].level
    }

    /// Where the headings of the highest level are that occurs.
    pub(super) fn highest(&self) -> &Near<usize> {
        &self.highest
    }

    /// Whether all headings stand below the first.
    pub(super) fn has_one_root(&self) -> bool {
        let first = self.sections.first();
        first.is_some_and(|first| self.highest[..] == [first.at()])
    }

    /// The lowest heading that both stand under, each of them counting as under itself.
    pub(super) fn shared(&self, mut one: usize, mut other: usize) -> Option<usize> {
        while one != other {
            let later = if one > other { &mut one } else { &mut other };
            *later = self.sections[*later].parent()?;
        }
        Some(one)
    }

    /// Writes the titles from the highest heading down to this one.
    pub(super) fn write_path(&self, text: &str, heading: usize, path: &mut String) {
        if let Some(parent) = self.sections[heading].parent() {
            self.write_path(text, parent, path);
            path.push_str(" > ");
        }
        self.write_title(text, heading, path);
    }

    /// Writes what a heading says, at some length: it is stored with every chunk below it, so a "heading" of a megabyte
    /// must not be.
    pub(super) fn write_title(&self, text: &str, heading: usize, into: &mut String) {
        const MOST: usize = 160;
        let line = &text[self.sections[heading].title()];
        if line.len() <= MOST {
            return into.push_str(line);
        }
        match line.char_indices().nth(MOST) {
            Some((end, _)) => {
                into.push_str(line[..end].trim_end());
                into.push('…');
            }
            None => into.push_str(line),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn the_highest_headings_are_those_of_the_least_level(levels in vec(1_u8..7, 0..12)) {
            let mut outline = Outline::default();
            for (at, level) in (0..).step_by(10).zip(&levels) {
                outline.push(at..at + 9, *level);
            }
            let least = levels.iter().min();
            let highest: Vec<_> = (0..)
                .step_by(10)
                .zip(&levels)
                .filter_map(|(at, level)| (Some(level) == least).then_some(at))
                .collect();
            prop_assert_eq!(&outline.highest()[..], &highest[..]);
            prop_assert_eq!(outline.has_one_root(), highest == [0]);
        }
    }
}
