//! The numbers of lists and headings.

use std::{collections::HashMap, rc::Rc};

use quick_xml::events::BytesStart;

use super::super::{numeral::number, xml};

/// Levels of a list.
const LEVELS: usize = 10;

/// How a list counts, by level.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbering([Level; LEVELS]);

#[derive(Clone, Debug, Default)]
struct Level {
    /// `1`, `a`, `I`; none for a bullet.
    format: Option<String>,
    before: String,
    after: String,
    start: Option<i64>,
    /// How many levels are shown, this one the last.
    shown: usize,
}

/// How far a list has counted, by level.
pub(super) type Counts = [Option<i64>; LEVELS];

impl Numbering {
    /// Takes in the description of a level.
    pub(super) fn set(&mut self, name: &str, start: &BytesStart<'_>) {
        if !matches!(name, "list-level-style-number" | "outline-level-style") {
            return;
        }
        let value = |name| xml::attribute(start, name).map(std::borrow::Cow::into_owned);
        let level = value("level").and_then(|level| level.parse::<usize>().ok());
        let Some(level) = level.and_then(|level| self.0.get_mut(level.checked_sub(1)?)) else {
            return;
        };
        *level = Level {
            format: Some(value("num-format").unwrap_or_default()),
            before: value("num-prefix").unwrap_or_default(),
            after: value("num-suffix").unwrap_or_default(),
            start: value("start-value").and_then(|start| start.parse().ok()),
            shown: value("display-levels")
                .and_then(|shown| shown.parse().ok())
                .unwrap_or(1),
        };
    }

    /// Whether a level has numbers.
    pub(super) fn counts_at(&self, level: usize) -> bool {
        self.level(level)
            .format
            .as_ref()
            .is_some_and(|format| !format.is_empty())
    }

    fn level(&self, level: usize) -> &Level {
        &self.0[level.min(LEVELS - 1)]
    }

    /// Counts an item of a level and gives what stands before it: `2.1.`, `(c)`, `-`.
    pub(super) fn next(&self, counts: &mut Counts, level: usize, start: Option<i64>) -> String {
        let level = level.min(LEVELS - 1);
        let first = || self.level(level).start.unwrap_or(1);
        let next = counts[level].map(|count| count.saturating_add(1));
        counts[level] = Some(start.or(next).unwrap_or_else(first));
        counts[level + 1..].fill(None);
        let own = self.level(level);
        let Some(format) = &own.format else {
            return "-".to_owned();
        };
        if format.is_empty() {
            return format!("{}{}", own.before, own.after).trim().to_owned();
        }
        let shown = (level + 1).saturating_sub(own.shown.max(1))..=level;
        let numbers: Vec<String> = shown
            .filter(|above| self.counts_at(*above))
            .map(|above| {
                let of = self.level(above);
                let count = counts[above].unwrap_or_else(|| of.start.unwrap_or(1));
                number(count, word_format(of.format.as_deref().unwrap_or_default()))
            })
            .collect();
        let text = format!("{}{}{}", own.before, numbers.join("."), own.after);
        text.trim().to_owned()
    }
}

/// The name that Word has for a format.
fn word_format(format: &str) -> &'static str {
    match format {
        "a" => "lowerLetter",
        "A" => "upperLetter",
        "i" => "lowerRoman",
        "I" => "upperRoman",
        _ => "decimal",
    }
}

/// An open list.
#[derive(Debug, Default)]
struct List {
    style: Option<Rc<str>>,
    id: Option<String>,
    /// The open item, as long as its number is still to come.
    item: Option<Item>,
}

#[derive(Debug)]
struct Item {
    /// The number that it starts anew with.
    start: Option<i64>,
}

/// The lists of a document.
#[derive(Debug, Default)]
pub(super) struct Lists {
    open: Vec<List>,
    counts: Counts,
    /// Where ended lists stand, by id and by style.
    by_id: HashMap<String, Counts>,
    by_style: HashMap<Rc<str>, Counts>,
}

impl Lists {
    pub(super) fn start(&mut self, start: &BytesStart<'_>) {
        let value = |name| xml::attribute(start, name).map(std::borrow::Cow::into_owned);
        let above = self.open.last().and_then(|list| list.style.clone());
        let style = value("style-name").map(Rc::from).or(above);
        let goes_on = value("continue-numbering").as_deref() == Some("true");
        let level = self.open.len().min(LEVELS - 1);
        if level == 0 {
            let before = value("continue-list").and_then(|id| self.by_id.get(&id));
            let alike = || self.by_style.get(style.as_ref().filter(|_| goes_on)?);
            self.counts = before.or_else(alike).copied().unwrap_or_default();
        } else if !goes_on {
            self.counts[level..].fill(None);
        }
        self.open.push(List {
            style,
            id: value("id"),
            item: None,
        });
    }

    pub(super) fn end(&mut self) {
        let Some(list) = self.open.pop() else { return };
        if self.open.is_empty() {
            self.by_id.extend(list.id.map(|id| (id, self.counts)));
            self.by_style
                .extend(list.style.map(|style| (style, self.counts)));
        }
    }

    /// Starts an item: what comes first in it gets its number.
    pub(super) fn start_item(&mut self, start: &BytesStart<'_>) {
        if let Some(list) = self.open.last_mut() {
            let start = xml::attribute(start, "start-value");
            list.item = Some(Item {
                start: start.and_then(|start| start.parse().ok()),
            });
        }
    }

    /// What stands before a paragraph that starts now, if an item does.
    pub(super) fn marker(
        &mut self,
        styles: &HashMap<String, Numbering>,
        of_paragraph: Option<&str>,
    ) -> Option<String> {
        let level = self.open.len().checked_sub(1)?;
        let list = self.open.last_mut()?;
        let Item { start } = list.item.take()?;
        let style = list.style.as_deref().or(of_paragraph);
        let numbering = style.and_then(|style| styles.get(style));
        Some(match numbering {
            Some(numbering) => numbering.next(&mut self.counts, level, start),
            None => "-".to_owned(),
        })
    }
}
