//! The numbers of lists and headings, counted as Word does.

use std::collections::HashMap;

use quick_xml::events::BytesStart;

use super::super::{
    error::ExtractError,
    numeral::number,
    xml::{self, Node},
};

/// Levels of a list.
const LEVELS: usize = 9;

/// A level of a list.
#[derive(Clone, Debug)]
struct Level {
    start: i64,
    format: String,
    /// Such as `%1.%2)`.
    text: String,
    /// The style whose paragraphs are of this level.
    style: Option<String>,
    /// Numbers of the levels above are shown as 1, 2, 3 whatever their format.
    is_legal: bool,
    /// It starts anew after a level above this one, counted from 1: by default its own, and never if 0.
    restarts_below: Option<usize>,
}

impl Default for Level {
    fn default() -> Self {
        Self {
            start: 1,
            format: "decimal".to_owned(),
            text: String::new(),
            style: None,
            is_legal: false,
            restarts_below: None,
        }
    }
}

/// What a paragraph's list id leads to.
#[derive(Clone, Debug, Default)]
struct List {
    definition: String,
    /// New first numbers by level.
    starts: HashMap<usize, i64>,
    /// Levels that this list defines anew.
    levels: HashMap<usize, Level>,
}

/// The lists of a document and how far each has counted.
#[derive(Debug, Default)]
pub(super) struct Numbering {
    lists: Lists,
    /// By definition: lists that share one count on.
    counts: HashMap<String, Counts>,
    /// By list: the levels whose new first numbers have been used.
    restarted: HashMap<String, [bool; LEVELS]>,
}

type Counts = [Option<i64>; LEVELS];

/// What `numbering.xml` says.
#[derive(Debug, Default)]
struct Lists {
    definitions: HashMap<String, HashMap<usize, Level>>,
    by_id: HashMap<String, List>,
    /// Definitions that only name a style of lists, and that style.
    borrowing: HashMap<String, String>,
    /// The definition of each style of lists.
    lending: HashMap<String, String>,
    /// A level of which nothing is said.
    plain: Level,
}

/// Where the reader is in `numbering.xml`.
#[derive(Default)]
struct Place {
    definition: Option<String>,
    list: Option<String>,
    level: Option<usize>,
    in_level: bool,
}

impl Lists {
    fn start(&mut self, place: &mut Place, name: &str, start: &BytesStart<'_>) {
        let id = |name| xml::attribute(start, name).unwrap_or_default().into_owned();
        match name {
            "abstractNum" => {
                let id = id("abstractNumId");
                self.definitions.entry(id.clone()).or_default();
                place.definition = Some(id);
            }
            "num" => {
                let id = id("numId");
                self.by_id.entry(id.clone()).or_default();
                place.list = Some(id);
            }
            "abstractNumId" => {
                if let Some(list) = self.list_at(place) {
                    list.definition = id("val");
                }
            }
            "numStyleLink" => {
                if let Some(definition) = place.definition.clone() {
                    self.borrowing.insert(definition, id("val"));
                }
            }
            "styleLink" => {
                if let Some(definition) = place.definition.clone() {
                    self.lending.insert(id("val"), definition);
                }
            }
            "lvlOverride" => place.level = id("ilvl").parse().ok(),
            "startOverride" => {
                let (level, value) = (place.level, id("val").parse());
                if let (Some(list), Some(level), Ok(value)) = (self.list_at(place), level, value) {
                    list.starts.insert(level, value);
                }
            }
            "lvl" => {
                place.level = id("ilvl").parse().ok();
                place.in_level = true;
                if let Some(level) = self.level_at(place) {
                    *level = Level::default();
                }
            }
            _ if place.in_level => {
                if let Some(level) = self.level_at(place) {
                    level.set(name, start);
                }
            }
            _ => {}
        }
    }

    fn list_at(&mut self, place: &Place) -> Option<&mut List> {
        self.by_id.get_mut(place.list.as_ref()?)
    }

    fn level_at(&mut self, place: &Place) -> Option<&mut Level> {
        let level = place.level.filter(|level| *level < LEVELS)?;
        if let Some(list) = &place.list {
            return Some(self.by_id.get_mut(list)?.levels.entry(level).or_default());
        }
        let definition = self.definitions.get_mut(place.definition.as_ref()?)?;
        Some(definition.entry(level).or_default())
    }

    /// Gives lists whose definition only names a style that style's definition.
    fn link(&mut self) {
        for list in self.by_id.values_mut() {
            let style = self.borrowing.get(&list.definition);
            if let Some(definition) = style.and_then(|style| self.lending.get(style)) {
                list.definition.clone_from(definition);
            }
        }
    }

    fn level<'s>(&'s self, list: &'s List, level: usize) -> &'s Level {
        let defined = || self.definitions.get(&list.definition)?.get(&level);
        list.levels
            .get(&level)
            .or_else(defined)
            .unwrap_or(&self.plain)
    }

    fn first_number(&self, list: &List, level: usize) -> i64 {
        let anew = list.starts.get(&level).copied();
        anew.unwrap_or_else(|| self.level(list, level).start)
    }

    /// The text of a level's number with the numbers above it; a bullet is `-`.
    fn render(&self, list: &List, counts: &Counts, level: usize) -> String {
        let own = self.level(list, level);
        match &*own.format {
            "bullet" => return "-".to_owned(),
            "none" => return String::new(),
            _ => {}
        }
        let mut text = String::new();
        let mut chars = own.text.chars().peekable();
        while let Some(c) = chars.next() {
            let digit = chars
                .peek()
                .and_then(|c| c.to_digit(10))
                .filter(|digit| *digit > 0);
            let (true, Some(digit)) = (c == '%', digit) else {
                text.push(c);
                continue;
            };
            chars.next();
            let above = digit as usize - 1;
            if above > level {
                continue;
            }
            let count = counts[above].unwrap_or_else(|| self.first_number(list, above));
            let format = if own.is_legal {
                "decimal"
            } else {
                &*self.level(list, above).format
            };
            // Letters or signs of the author's own choice: no number is better than a wrong one.
            if format == "custom" {
                return String::new();
            }
            text.push_str(&number(count, format));
        }
        text
    }
}

impl Numbering {
    /// Reads `numbering.xml`.
    pub(super) fn read(text: &str) -> Result<Self, ExtractError> {
        let mut lists = Lists::default();
        let mut place = Place::default();
        let mut alternatives = 0_usize;
        xml::walk(text, |node| {
            match node {
                // What old programs are to show instead.
                Node::Start("Fallback", _) => alternatives += 1,
                Node::End("Fallback") => alternatives = alternatives.saturating_sub(1),
                Node::Start(..) if alternatives > 0 => {}
                Node::Start(name, start) => lists.start(&mut place, name, start),
                Node::End("abstractNum") => place.definition = None,
                Node::End("num") => place.list = None,
                Node::End("lvl") => place.in_level = false,
                Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        lists.link();
        Ok(Self {
            lists,
            ..Self::default()
        })
    }

    /// The level of the list that a style's paragraphs have, where only the list names the style.
    pub(super) fn level_of_style(&self, list: &str, style: &str) -> Option<usize> {
        let list = self.lists.by_id.get(list)?;
        (0..LEVELS).find(|level| self.lists.level(list, *level).style.as_deref() == Some(style))
    }

    /// Counts a paragraph and gives what stands before it: `2.1.`, `(c)`, `-`.
    pub(super) fn next(&mut self, list_id: &str, level: usize) -> Option<String> {
        let level = level.min(LEVELS - 1);
        let list = self.lists.by_id.get(list_id)?;
        if !self.counts.contains_key(&list.definition) {
            let none = Counts::default();
            self.counts.insert(list.definition.clone(), none);
        }
        let counts = self.counts.get_mut(&list.definition)?;
        // A list that starts anew does so when it is first used; others of the same definition count on.
        if let Some(start) = list.starts.get(&level) {
            let restarted = self.restarted.entry(list_id.to_owned()).or_default();
            if !std::mem::replace(&mut restarted[level], true) {
                counts[level] = Some(start.saturating_sub(1));
            }
        }
        let start = self.lists.first_number(list, level);
        counts[level] = Some(counts[level].map_or(start, |count| count.saturating_add(1)));
        for (below, count) in counts.iter_mut().enumerate().skip(level + 1) {
            let restarts = self.lists.level(list, below).restarts_below;
            if restarts.is_none_or(|restarts| level < restarts) {
                *count = None;
            }
        }
        Some(self.lists.render(list, counts, level))
    }
}

impl Level {
    fn set(&mut self, name: &str, start: &BytesStart<'_>) {
        let value = || xml::value(start).unwrap_or_default();
        match name {
            "start" => self.start = value().parse().unwrap_or(1),
            "numFmt" => self.format = value().into_owned(),
            "lvlText" => self.text = value().into_owned(),
            "pStyle" => self.style = Some(value().into_owned()),
            "isLgl" => self.is_legal = xml::is_on(start),
            "lvlRestart" => self.restarts_below = value().parse().ok(),
            _ => {}
        }
    }
}
