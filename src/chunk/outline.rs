//! The headings of a text, and which of them stands above which.

use std::ops::Range;

use super::near::Near;

/// A heading and the one above it.
#[derive(Debug)]
struct Section {
    at: usize,
    /// What it says, in the text.
    title: Range<usize>,
    level: u8,
    parent: Option<usize>,
}

/// All headings, named by their place among them.
#[derive(Debug, Default)]
pub(super) struct Outline {
    sections: Near<Section>,
}

impl Outline {
    /// Adds the next heading.
    pub(super) fn push(&mut self, at: usize, title: Range<usize>, level: u8) {
        let last = self.sections.len().checked_sub(1);
        let mut above = std::iter::successors(last, |place| self.sections[*place].parent);
        let parent = above.find(|place| self.sections[*place].level < level);
        self.sections.push(Section {
            at,
            title,
            level,
            parent,
        });
    }

    /// The headings that begin behind this place, with where they do.
    pub(super) fn after(&self, at: usize) -> impl Iterator<Item = (usize, usize)> {
        let first = self.sections.partition_point(|section| section.at <= at);
        let sections = self.sections[first..].iter().map(|section| section.at);
        (first..).zip(sections)
    }

    /// The last heading that begins at or before this place, with where it does.
    pub(super) fn above(&self, at: usize) -> Option<(usize, usize)> {
        let after = self.sections.partition_point(|section| section.at <= at);
        let last = after.checked_sub(1)?;
        Some((last, self.sections[last].at))
    }

    pub(super) fn last(&self) -> Option<usize> {
        self.sections.len().checked_sub(1)
    }

    pub(super) fn level(&self, heading: usize) -> u8 {
        self.sections[heading].level
    }

    /// Where the headings of the highest level are that occurs.
    pub(super) fn highest(&self) -> Vec<usize> {
        let highest = self.sections.iter().map(|section| section.level).min();
        let of_it = |section: &&Section| Some(section.level) == highest;
        let sections = self.sections.iter().filter(of_it);
        sections.map(|section| section.at).collect()
    }

    /// Whether all headings stand below the first.
    pub(super) fn has_one_root(&self) -> bool {
        let mut sections = self.sections.iter();
        let first = sections.next();
        first.is_some_and(|first| sections.all(|other| other.level > first.level))
    }

    /// The lowest heading that both stand under, each of them counting as under itself.
    pub(super) fn shared(&self, mut one: usize, mut other: usize) -> Option<usize> {
        while one != other {
            let later = if one > other { &mut one } else { &mut other };
            *later = self.sections[*later].parent?;
        }
        Some(one)
    }

    /// Writes the titles from the highest heading down to this one.
    pub(super) fn write_path(&self, text: &str, heading: usize, path: &mut String) {
        if let Some(parent) = self.sections[heading].parent {
            self.write_path(text, parent, path);
            path.push_str(" > ");
        }
        self.write_title(text, heading, path);
    }

    /// Writes what a heading says, at some length: it is stored with every chunk below it, so a "heading" of a megabyte
    /// must not be.
    pub(super) fn write_title(&self, text: &str, heading: usize, into: &mut String) {
        const MOST: usize = 160;
        let line = &text[self.sections[heading].title.clone()];
        match line.char_indices().nth(MOST) {
            Some((end, _)) => {
                into.push_str(line[..end].trim_end());
                into.push('…');
            }
            None => into.push_str(line),
        }
    }
}
