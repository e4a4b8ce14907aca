//! Writes a document as one text and remembers what lies where: pages, sections, tables, and where to cut.

use std::ops::Range;

use crate::document::{Block, BlockKind, Document};

use super::{Splitter, near::Near, outline::Outline, sentence, small};

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
    start: u32,
    end: u32,
    /// The last heading; the block itself if it is one.
    section: Option<u32>,
    is_heading: bool,
}

impl Placed {
    fn section(&self) -> Option<usize> {
        self.section.map(|section| section as usize)
    }
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
    pub(super) breaks: Near<Break>,
    pub(super) outline: Outline,
    pub(super) tables: Near<Table>,
    placed: Near<Placed>,
    /// Where each page begins, and its number.
    pages: Near<(usize, Option<u32>)>,
}

impl Written {
    /// Writes it.
    pub(super) fn from(document: &Document, splitter: Splitter) -> Self {
        let mut written = Self::with_room_for(document);
        let mut last: Option<&Block> = None;
        for page in &document.pages {
            let mut new_page = true;
            for block in page
                .blocks
                .iter()
                .filter(|block| !block.text.trim().is_empty())
            {
                written.separate(last, block, new_page);
                if new_page {
                    written.pages.push((written.text.len(), page.number));
                }
                written.place(block, splitter);
                last = Some(block);
                new_page = false;
            }
        }
        written
    }

    /// Room is only touched as it is filled; to move what is written into more of it takes as long as to write it.
    fn with_room_for(document: &Document) -> Self {
        let blocks = document.pages.iter().map(|page| page.blocks.len()).sum();
        Self {
            text: String::with_capacity(document.text_bytes() + 4 * blocks),
            breaks: Vec::with_capacity(blocks).into(),
            outline: Outline::with_room_for(blocks),
            placed: Vec::with_capacity(blocks).into(),
            ..Self::default()
        }
    }

    /// The pages of the blocks at the first byte of this part of the text and at its last.
    pub(super) fn pages_of(&self, part: &Range<usize>) -> (Option<u32>, Option<u32>) {
        let first = self
            .pages
            .partition_point(|(start, _)| *start <= part.start);
        let ends_later = |(start, _): &(usize, _)| *start < part.end;
        let last = if self.pages.get(first).is_some_and(ends_later) {
            self.pages.partition_point(ends_later)
        } else {
            first
        };
        let number = |after: usize| self.pages.get(after.checked_sub(1)?)?.1;
        (number(first), number(last))
    }

    /// Writes the titles from the highest heading down to this one.
    pub(super) fn write_path(&self, heading: usize, path: &mut String) {
        self.outline.write_path(&self.text, heading, path);
    }

    /// The document's title: a heading that opens it, and that is alone at its level or has nothing under it.
    pub(super) fn title(&self) -> Option<String> {
        let opens = self.placed.first()?.is_heading;
        let bare = self.placed.get(1)?.is_heading;
        let mut title = String::new();
        if opens && (bare || self.outline.has_one_root()) {
            self.outline.write_title(&self.text, 0, &mut title);
        }
        (!title.is_empty()).then_some(title)
    }

    /// The heading that all of this part of the text stands under; if there is none, that of the section that most of
    /// it belongs to. A heading itself counts only where nothing follows it.
    pub(super) fn heading_of(&self, part: &Range<usize>) -> Option<usize> {
        let after = self
            .placed
            .partition_point(|block| block.start as usize <= part.start);
        let blocks = self.placed[after.saturating_sub(1)..]
            .iter()
            .take_while(|block| (block.start as usize) < part.end);
        let last = blocks.clone().last()?.section();
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for block in blocks.filter(|block| !block.is_heading) {
            let Some(section) = block.section() else {
                continue;
            };
            let (start, end) = (block.start as usize, block.end as usize);
            let bytes = end.min(part.end) - start.max(part.start);
            match runs.last_mut().filter(|run| run.0 == section) {
                Some(run) => run.1 += bytes,
                None => runs.push((section, bytes)),
            }
        }
        let Some((first, _)) = runs.first() else {
            return last;
        };
        let mut sections = runs.iter().map(|run| run.0);
        let shared = sections.try_fold(*first, |shared, other| self.outline.shared(shared, other));
        let most = runs.iter().rev().max_by_key(|run| run.1);
        shared.or(most.map(|run| run.0))
    }

    fn separate(&mut self, last: Option<&Block>, next: &Block, new_page: bool) {
        let Some(last) = last else { return };
        let (level, tight) = between(last, next);
        self.text
            .push_str(if tight && !new_page { "\n" } else { "\n\n" });
        let at = self.text.len();
        self.breaks.push(Break { at, level });
    }

    fn place(&mut self, block: &Block, splitter: Splitter) {
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
            start: small(start),
            end: small(self.text.len()),
            section: self.outline.last().map(small),
            is_heading: matches!(block.kind, BlockKind::Heading { .. }),
        });
    }

    fn heading(&mut self, block: &Block, level: u8) {
        let at = self.text.len();
        self.text.push_str(&"######"[..level.into()]);
        for word in block.text.split_whitespace() {
            self.text.push(' ');
            self.text.push_str(word);
        }
        self.outline.push(at..self.text.len(), level);
        self.break_prose(at + usize::from(level) + 1);
    }

    fn row(&mut self, block: &Block, header: bool) {
        let start = self.text.len();
        let goes_on = self.placed.last().is_some_and(|last| {
            self.tables
                .last()
                .is_some_and(|table| table.end == last.end as usize)
        });
        for (at, line) in lines(block.text.trim()) {
            self.text.push_str(if at == 0 { "" } else { " " });
            self.text.push_str(line);
        }
        self.break_prose(start);
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
        let mut level = None;
        for (at, line) in lines(text) {
            let is_blank = line.trim_start().is_empty();
            if let Some(level) = level.filter(|_| !is_blank) {
                let at = base + at;
                self.breaks.push(Break { at, level });
            }
            let parts = is_blank && level.is_some();
            level = Some(if parts { Level::Paragraph } else { Level::Row });
        }
    }

    /// Adds running text.
    fn prose(&mut self, text: &str) {
        let base = self.text.len();
        self.text.push_str(text);
        self.break_prose(base);
    }

    /// Adds the breaks of running text that begins here: after its sentences, clauses and lines.
    fn break_prose(&mut self, base: usize) {
        for (at, level) in sentence::breaks(&self.text[base..]) {
            let at = base + at;
            self.breaks.push(Break { at, level });
        }
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
    let runs = lines(text).map(|(_, line)| {
        let line = line.trim_start();
        line.len() - line.trim_start_matches('`').len()
    });
    runs.max().unwrap_or(0)
}

/// The lines of a text and where they begin; that of the standard library takes longer to find the end of a short one.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    let lines = text.as_bytes().split(|byte| *byte == b'\n');
    lines.map(move |line| {
        let start = at;
        at += line.len() + 1;
        (start, &text[start..start + line.len()])
    })
}
