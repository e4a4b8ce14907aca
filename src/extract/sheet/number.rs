//! Numbers as a sheet shows them: decimals, thousands, percent, currencies, and dates in ISO 8601.
//!
//! What formats do beyond that (fractions, conditions, digits parted by dashes) is left: the plain number is shown.

mod code;
mod digits;
mod moment;

use std::collections::HashMap;

use self::{
    code::{has_condition, parse_part, split},
    digits::plain,
    moment::{elapsed, moment},
};

/// The number formats of a workbook's styles.
#[derive(Debug, Default)]
pub(super) struct Formats {
    /// By their ids.
    by_id: HashMap<u32, NumberFormat>,
    /// The id of each style's.
    styles: Vec<u32>,
    /// How files of old Macintoshes count days.
    pub(super) from_1904: bool,
}

impl Formats {
    /// Takes in the code of an id.
    pub(super) fn define(&mut self, id: u32, code: &str) {
        self.by_id.insert(id, NumberFormat::parse(code));
    }

    /// Takes in the next style, by the id of its format.
    pub(super) fn add_style(&mut self, id: u32) {
        self.by_id
            .entry(id)
            .or_insert_with(|| NumberFormat::builtin(id));
        self.styles.push(id);
    }

    /// A number as a cell of this style shows it.
    pub(super) fn show(&self, style: usize, number: f64) -> String {
        let id = self.styles.get(style);
        match id.and_then(|id| self.by_id.get(id)) {
            Some(format) => format.show(number, self.from_1904),
            None if number.is_finite() => plain(number),
            None => String::new(),
        }
    }
}

/// How a cell shows its number; the parts of a code like `0.00;[Red](0.00)`.
#[derive(Clone, Debug, PartialEq)]
struct NumberFormat {
    positive: Part,
    negative: Option<Part>,
    zero: Option<Part>,
}

/// One part of a format.
#[derive(Clone, Debug, PartialEq)]
enum Part {
    /// As the number is, between these texts.
    General {
        before: String,
        after: String,
    },
    Decimal(Decimal),
    /// A point in time, as much of it as is shown.
    Moment {
        date: bool,
        time: bool,
    },
    /// Hours that count on beyond 24.
    Elapsed,
    /// Nothing of the number: a dash for 0, or not even that.
    Text(String),
}

/// A number of fixed form.
#[derive(Clone, Debug, Default, PartialEq)]
struct Decimal {
    before: String,
    after: String,
    least_digits: usize,
    least_decimals: usize,
    most_decimals: usize,
    thousands: bool,
    /// The number is shown times 10 to this power.
    power: i32,
    scientific: bool,
}

impl Default for NumberFormat {
    fn default() -> Self {
        Self {
            positive: Part::general(),
            negative: None,
            zero: None,
        }
    }
}

impl NumberFormat {
    /// Reads a format's code; one that says nothing of numbers shows them as they are.
    fn parse(code: &str) -> Self {
        let parts = split(code);
        if parts.iter().any(|part| has_condition(part)) {
            return Self::default();
        }
        let mut parts = parts.into_iter().map(parse_part);
        Self {
            positive: parts.next().unwrap_or_else(Part::general),
            negative: parts.next(),
            zero: parts.next(),
        }
    }

    /// The format of one of the ids that need no code.
    fn builtin(id: u32) -> Self {
        let code = match id {
            1 => "0",
            2 => "0.00",
            3 | 5 | 6 | 37 | 38 | 41 | 42 => "#,##0",
            4 | 7 | 8 | 39 | 40 | 43 | 44 => "#,##0.00",
            9 => "0%",
            10 => "0.00%",
            11 => "0.00E+00",
            48 => "##0.0E+0",
            14..=17 | 27..=31 | 34..=36 | 50..=58 => "yyyy-mm-dd",
            18..=21 | 32 | 33 | 45 | 47 => "h:mm",
            22 => "yyyy-mm-dd h:mm",
            46 => "[h]:mm",
            _ => return Self::default(),
        };
        Self::parse(code)
    }

    /// The number as it is shown.
    fn show(&self, number: f64, from_1904: bool) -> String {
        if !number.is_finite() {
            return String::new();
        }
        match &self.negative {
            // The plain number has its own sign.
            Some(part) if number < 0.0 && *part == Part::general() => plain(number),
            Some(part) if number < 0.0 => part.show(-number, from_1904),
            _ => match &self.zero {
                Some(part) if number == 0.0 => part.show(number, from_1904),
                _ => self.positive.show(number, from_1904),
            },
        }
    }
}

impl Part {
    fn general() -> Self {
        Self::General {
            before: String::new(),
            after: String::new(),
        }
    }

    fn show(&self, number: f64, from_1904: bool) -> String {
        match self {
            Self::General { before, after } => format!("{before}{}{after}", plain(number)),
            Self::Decimal(decimal) => decimal.show(number),
            Self::Moment { date, time } => {
                moment(number, *date, *time, from_1904).unwrap_or_else(|| plain(number))
            }
            Self::Elapsed => elapsed(number),
            Self::Text(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
