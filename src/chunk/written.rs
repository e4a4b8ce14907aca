//! Writes a document as one text and remembers what lies where: pages, sections, tables, and where to cut.

use std::ops::Range;

use crate::document::{Block, BlockKind, Document};

use super::{Splitter, sentence};

/// How good a cut is at a place, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// After a comma, or where something should stay with what follows it: a heading, a table's header.
    Clause,
    /// At a line's end within a paragraph.
    Line,
    /// After a sentence.
    Sentence,
    /// Between rows, items, lines of program text.
    Row,
    /// Between paragraphs.
    Paragraph,
    /// Before a heading; the number is higher for the higher heading.
    Heading(u8),
}

/// A place where the text may be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    pub(super) at: usize,
    pub(super) level: Level,
}

/// A block's place.
#[derive(Debug)]
struct Placed {
    span: Range<usize>,
    page: Option<u32>,
    section: Option<usize>,
    is_heading: bool,
}

/// A heading and the one above it.
#[derive(Debug)]
struct Section {
    title: String,
    level: u8,
    parent: Option<usize>,
}

/// A run of rows, perhaps over several pages.
#[derive(Debug)]
pub(super) struct Table {
    /// Its first rows, if they name the columns.
    pub(super) header: Range<usize>,
    pub(super) end: usize,
}

/// A document's text with its structure; all places are bytes of the text.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) text: String,
    /// In order of their places, as all the lists here.
    pub(super) breaks: Vec<Break>,
    pub(super) headings: Vec<usize>,
    pub(super) tables: Vec<Table>,
    placed: Vec<Placed>,
    /// One a heading.
    sections: Vec<Section>,
}

impl Written {
    /// Writes it.
    pub(super) fn from(document: &Document, splitter: Splitter) -> Self {
        let mut written = Self::default();
        let mut last: Option<&Block> = None;
        for page in &document.pages {
            let mut new_page = true;
            for block in page
                .blocks
                .iter()
                .filter(|block| !block.text.trim().is_empty())
            {
                written.separate(last, block, new_page);
                written.place(block, page.number, splitter);
                last = Some(block);
                new_page = false;
            }
        }
        written
    }

    /// The page of the block at this place.
    pub(super) fn page_at(&self, at: usize) -> Option<u32> {
        self.placed.get(self.block_at(at))?.page
    }

    /// The level of the heading under which this place stands.
    pub(super) fn level_at(&self, at: usize) -> Option<u8> {
        let after = self.headings.partition_point(|heading| *heading <= at);
        Some(self.level_of(after.checked_sub(1)?))
    }

    /// The level of the heading at this place among the headings.
    pub(super) fn level_of(&self, heading: usize) -> u8 {
        self.sections[heading].level
    }

    /// The headings of the highest level that occurs in the text.
    pub(super) fn highest_headings(&self) -> Vec<usize> {
        let highest = self.sections.iter().map(|section| section.level).min();
        let headings = self.headings.iter().zip(&self.sections);
        let highest = headings.filter(|(_, section)| Some(section.level) == highest);
        highest.map(|(at, _)| *at).collect()
    }

    /// The document's title: a heading that opens it, and that is alone at its level or has nothing under it.
    pub(super) fn title(&self) -> Option<&str> {
        let first = self.sections.first()?;
        let opens = self.placed.first()?.is_heading;
        let alone = self.sections[1..]
            .iter()
            .all(|other| other.level > first.level);
        let bare = self.placed.get(1)?.is_heading && !alone;
        (opens && (alone || bare)).then_some(first.title.as_str())
    }

    /// The headings that all of this part of the text stands under; if there are none, those of the section that most
    /// of it belongs to. A heading itself counts only where nothing follows it.
    pub(super) fn heading_of(&self, part: &Range<usize>) -> Option<String> {
        let blocks = self.placed[self.block_at(part.start)..]
            .iter()
            .take_while(|block| block.span.start < part.end);
        let last = blocks.clone().last()?.section;
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in blocks.filter(|block| !block.is_heading) {
            let Some(section) = block.section else {
                continue;
            };
            let bytes = block.span.end.min(part.end) - block.span.start.max(part.start);
            match runs.last_mut().filter(|run| run.0 == section) {
                Some(run) => run.1 += bytes,
                None => runs.push((section, bytes)),
            }
        }
        let Some(first) = runs.first() else {
            return last.map(|section| self.path(&self.ancestors(section)));
        };
        let mut shared = self.ancestors(first.0);
        for (section, _) in &runs[1..] {
            let other = self.ancestors(*section);
            let alike = shared.iter().zip(&other).take_while(|(a, b)| a == b);
            shared.truncate(alike.count());
        }
        if shared.is_empty() {
            let most = runs.iter().rev().max_by_key(|run| run.1)?;
            shared = self.ancestors(most.0);
        }
        Some(self.path(&shared))
    }

    fn block_at(&self, at: usize) -> usize {
        let after = self.placed.partition_point(|block| block.span.start <= at);
        after.saturating_sub(1)
    }

    /// From the highest heading down to this one.
    fn ancestors(&self, section: usize) -> Vec<usize> {
        let parents = std::iter::successors(Some(section), |place| self.sections[*place].parent);
        let mut path: Vec<usize> = parents.collect();
        path.reverse();
        path
    }

    fn path(&self, sections: &[usize]) -> String {
        let titles: Vec<&str> = sections
            .iter()
            .map(|place| self.sections[*place].title.as_str())
            .collect();
        titles.join(" > ")
    }

    fn separate(&mut self, last: Option<&Block>, next: &Block, new_page: bool) {
        let Some(last) = last else { return };
        let (level, tight) = between(last, next);
        self.text
            .push_str(if tight && !new_page { "\n" } else { "\n\n" });
        let at = self.text.len();
        self.breaks.push(Break { at, level });
    }

    fn place(&mut self, block: &Block, page: Option<u32>, splitter: Splitter) {
        let start = self.text.len();
        match block.kind {
            BlockKind::Heading { level } => self.heading(block, level.clamp(1, 6)),
            BlockKind::TableRow { header } => self.row(block, header),
            BlockKind::Code => self.code(block, splitter),
            BlockKind::Paragraph
            | BlockKind::ListItem
            | BlockKind::Caption
            | BlockKind::Footnote => self.prose(block.text.trim()),
        }
        self.placed.push(Placed {
            span: start..self.text.len(),
            page,
            section: self.sections.len().checked_sub(1),
            is_heading: matches!(block.kind, BlockKind::Heading { .. }),
        });
    }

    fn heading(&mut self, block: &Block, level: u8) {
        self.headings.push(self.text.len());
        let line = block.text.split_whitespace().collect::<Vec<_>>().join(" ");
        self.text.push_str(&"#".repeat(level.into()));
        self.text.push(' ');
        self.prose(&line);
        let mut parent = self.sections.len().checked_sub(1);
        while let Some(place) = parent.filter(|place| self.sections[*place].level >= level) {
            parent = self.sections[place].parent;
        }
        self.sections.push(Section {
            title: title(&line),
            level,
            parent,
        });
    }

    fn row(&mut self, block: &Block, header: bool) {
        let start = self.text.len();
        let goes_on = self.placed.last().is_some_and(|last| {
            self.tables
                .last()
                .is_some_and(|table| table.end == last.span.end)
        });
        let line = block.text.split('\n').collect::<Vec<_>>().join(" ");
        self.prose(line.trim());
        let end = self.text.len();
        match self.tables.last_mut().filter(|_| goes_on) {
            // A header row below the header's own rows begins another table.
            Some(table) if header && table.header.end == table.end => {
                table.header.end = end;
                table.end = end;
            }
            Some(table) if !header => table.end = end,
            _ => self.tables.push(Table {
                header: start..if header { end } else { start },
                end,
            }),
        }
    }

    fn code(&mut self, block: &Block, splitter: Splitter) {
        let text = block.text.trim_matches('\n').trim_end();
        if splitter == Splitter::Code {
            return self.lines(text);
        }
        let fence = "`".repeat(longest_fence(text).max(2) + 1);
        self.text.push_str(&fence);
        self.text.push('\n');
        self.lines(text);
        self.text.push('\n');
        self.text.push_str(&fence);
    }

    /// Adds program text, with breaks between its lines.
    fn lines(&mut self, text: &str) {
        let base = self.text.len();
        self.text.push_str(text);
        let mut blank = false;
        for (at, _) in text.match_indices('\n') {
            let rest = &text[at + 1..];
            let line = rest.split('\n').next().unwrap_or_default();
            if line.trim().is_empty() {
                blank = true;
                continue;
            }
            let level = if blank { Level::Paragraph } else { Level::Row };
            blank = false;
            self.breaks.push(Break {
                at: base + at + 1,
                level,
            });
        }
    }

    /// Adds running text, with breaks after its sentences, clauses and lines.
    fn prose(&mut self, text: &str) {
        let base = self.text.len();
        self.text.push_str(text);
        let breaks = sentence::breaks(text).map(|(at, level)| Break {
            at: base + at,
            level,
        });
        self.breaks.extend(breaks);
    }
}

/// What lies between two blocks, and whether only a line's end parts them.
fn between(last: &Block, next: &Block) -> (Level, bool) {
    use BlockKind::{Heading, ListItem, TableRow};
    match (last.kind, next.kind) {
        (Heading { .. }, Heading { .. }) => (Level::Clause, false),
        (_, Heading { level }) => (Level::Heading(7 - level.clamp(1, 6)), false),
        (Heading { .. }, _) => (Level::Clause, false),
        (TableRow { header: false }, TableRow { header: true }) => (Level::Paragraph, false),
        (TableRow { header: true }, TableRow { .. }) => (Level::Clause, true),
        (TableRow { .. }, TableRow { .. }) | (ListItem, ListItem) => (Level::Row, true),
        // A lead-in stays with its list or table rather than with what came before.
        (_, ListItem | TableRow { .. } | BlockKind::Code) if last.text.ends_with(':') => {
            (Level::Row, false)
        }
        _ => (Level::Paragraph, false),
    }
}

/// The longest run of backticks at a line's start.
fn longest_fence(text: &str) -> usize {
    let runs = text.lines().map(|line| {
        let line = line.trim_start();
        line.len() - line.trim_start_matches('`').len()
    });
    runs.max().unwrap_or(0)
}

/// A heading for a path: stored with every chunk below it, so a "heading" of a megabyte must not be.
fn title(line: &str) -> String {
    const MOST: usize = 160;
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", line[..end].trim_end()),
        None => line.to_owned(),
    }
}
