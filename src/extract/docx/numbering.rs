//! The numbers of lists and headings, counted as Word does.

use std::collections::{HashMap, HashSet};

use super::super::{
    error::ExtractError,
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
}

impl Default for Level {
    fn default() -> Self {
        Self {
            start: 1,
            format: "decimal".to_owned(),
            text: String::new(),
            style: None,
            is_legal: false,
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
    definitions: HashMap<String, HashMap<usize, Level>>,
    lists: HashMap<String, List>,
    counts: HashMap<String, [Option<i64>; LEVELS]>,
    /// Lists whose new first numbers have been used.
    restarted: HashSet<(String, usize)>,
}

/// Where the reader is in `numbering.xml`.
#[derive(Default)]
struct Place {
    definition: Option<String>,
    list: Option<String>,
    level: Option<usize>,
    in_level: bool,
}

impl Numbering {
    /// Reads `numbering.xml`.
    pub(super) fn read(text: &str) -> Result<Self, ExtractError> {
        let mut numbering = Self::default();
        let mut place = Place::default();
        xml::walk(text, |node| {
            match node {
                Node::Start(name, start) => numbering.start(&mut place, name, start),
                Node::End("abstractNum") => place.definition = None,
                Node::End("num") => place.list = None,
                Node::End("lvl") => place.in_level = false,
                Node::End(_) | Node::Text(_) => {}
            }
            Ok(())
        })?;
        Ok(numbering)
    }

    fn start(&mut self, place: &mut Place, name: &str, start: &quick_xml::events::BytesStart<'_>) {
        let id = |name| xml::attribute(start, name).unwrap_or_default().into_owned();
        match name {
            "abstractNum" => {
                let id = id("abstractNumId");
                self.definitions.entry(id.clone()).or_default();
                place.definition = Some(id);
            }
            "num" => {
                let id = id("numId");
                self.lists.entry(id.clone()).or_default();
                place.list = Some(id);
            }
            "abstractNumId" => {
                if let Some(list) = self.list_at(place) {
                    list.definition = id("val");
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
        self.lists.get_mut(place.list.as_ref()?)
    }

    fn level_at(&mut self, place: &Place) -> Option<&mut Level> {
        let level = place.level.filter(|level| *level < LEVELS)?;
        if let Some(list) = &place.list {
            return Some(self.lists.get_mut(list)?.levels.entry(level).or_default());
        }
        let definition = self.definitions.get_mut(place.definition.as_ref()?)?;
        Some(definition.entry(level).or_default())
    }

    /// The level of the list that a style's paragraphs have, where only the list names the style.
    pub(super) fn level_of_style(&self, list: &str, style: &str) -> Option<usize> {
        let definition = self.definitions.get(&self.lists.get(list)?.definition)?;
        let found = definition
            .iter()
            .find(|(_, level)| level.style.as_deref() == Some(style));
        found.map(|(level, _)| *level)
    }

    /// Counts a paragraph and gives what stands before it: `2.1.`, `(c)`, `-`.
    pub(super) fn next(&mut self, list_id: &str, level: usize) -> Option<String> {
        let level = level.min(LEVELS - 1);
        let list = self.lists.get(list_id)?.clone();
        let levels = self.levels(&list);
        let counts = self.counts.entry(list.definition.clone()).or_default();
        // A list that starts anew does so when it is first used; others of the same definition count on.
        if let Some(start) = list.starts.get(&level)
            && self.restarted.insert((list_id.to_owned(), level))
        {
            counts[level] = Some(start.saturating_sub(1));
        }
        let start = levels[level].start;
        counts[level] = Some(counts[level].map_or(start, |count| count.saturating_add(1)));
        for below in &mut counts[level + 1..] {
            *below = None;
        }
        let counts = *counts;
        Some(render(&levels, counts, level))
    }

    fn levels(&self, list: &List) -> [Level; LEVELS] {
        let definition = self.definitions.get(&list.definition);
        std::array::from_fn(|level| {
            let own = list.levels.get(&level);
            let defined = definition.and_then(|levels| levels.get(&level));
            let mut level_of = own.or(defined).cloned().unwrap_or_default();
            if let Some(start) = list.starts.get(&level) {
                level_of.start = *start;
            }
            level_of
        })
    }
}

impl Level {
    fn set(&mut self, name: &str, start: &quick_xml::events::BytesStart<'_>) {
        let value = || xml::value(start).unwrap_or_default();
        match name {
            "start" => self.start = value().parse().unwrap_or(1),
            "numFmt" => self.format = value().into_owned(),
            "lvlText" => self.text = value().into_owned(),
            "pStyle" => self.style = Some(value().into_owned()),
            "isLgl" => self.is_legal = xml::is_on(start),
            _ => {}
        }
    }
}

/// The text of a level's number with the numbers above it.
fn render(levels: &[Level; LEVELS], counts: [Option<i64>; LEVELS], level: usize) -> String {
    let own = &levels[level];
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
        let count = counts[above].unwrap_or(levels[above].start);
        let format = if own.is_legal {
            "decimal"
        } else {
            &*levels[above].format
        };
        text.push_str(&number(count, format));
    }
    text
}

/// A number in one of Word's formats; rare ones come as plain numbers.
pub(in crate::extract) fn number(count: i64, format: &str) -> String {
    let positive = usize::try_from(count).unwrap_or_default();
    match format {
        "lowerLetter" => letters(positive, b'a'),
        "upperLetter" => letters(positive, b'A'),
        "lowerRoman" => roman(positive).to_lowercase(),
        "upperRoman" => roman(positive),
        "decimalZero" => format!("{count:02}"),
        _ => count.to_string(),
    }
}

/// a, b, … z, aa, bb, … as Word does it.
fn letters(count: usize, first: u8) -> String {
    if count == 0 || count > 26 * 20 {
        return count.to_string();
    }
    let offset = u8::try_from((count - 1) % 26).unwrap_or_default();
    char::from(first + offset)
        .to_string()
        .repeat((count - 1) / 26 + 1)
}

fn roman(count: usize) -> String {
    const PARTS: [(usize, &str); 13] = [
        (1000, "M"),
        (900, "CM"),
        (500, "D"),
        (400, "CD"),
        (100, "C"),
        (90, "XC"),
        (50, "L"),
        (40, "XL"),
        (10, "X"),
        (9, "IX"),
        (5, "V"),
        (4, "IV"),
        (1, "I"),
    ];
    if count == 0 || count > 10_000 {
        return count.to_string();
    }
    let (mut left, mut text) = (count, String::new());
    for (value, part) in PARTS {
        while left >= value {
            text.push_str(part);
            left -= value;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_words_formats() {
        let numbers = [
            number(4, "lowerRoman"),
            number(1999, "upperRoman"),
            number(28, "lowerLetter"),
            number(3, "decimalZero"),
            number(-2, "upperLetter"),
            number(7, "chineseCounting"),
        ];
        assert_eq!(numbers, ["iv", "MCMXCIX", "bb", "03", "0", "7"]);
    }
}
