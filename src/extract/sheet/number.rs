//! Numbers as a sheet shows them: decimals, thousands, percent, currencies, and dates in ISO 8601.
//!
//! What formats do beyond that (fractions, conditions, digits parted by dashes) is left: the plain number is shown.

use std::collections::HashMap;

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

/// More decimals than any format shows.
const MAX_DECIMALS: usize = 15;

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

impl Decimal {
    fn show(&self, number: f64) -> String {
        // Excel rounds what 15 digits show: 2.5 and 1.005 go up.
        // A whole number needs no rounding, and one of 15 digits would become another one.
        let mut number = number * 10_f64.powi(self.power);
        if number.fract() != 0.0 && number.abs() < 1e12 {
            number *= 1.0 + 1e-15;
        }
        let sign = if number < 0.0 { "-" } else { "" };
        let most = self.most_decimals.min(MAX_DECIMALS);
        let (digits, exponent) = if self.scientific {
            let shown = format!("{:.most$e}", number.abs());
            let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
            let exponent = exponent.parse().unwrap_or(0);
            (digits.to_owned(), format!("E{exponent:+03}"))
        } else {
            (format!("{:.most$}", number.abs()), String::new())
        };
        let (whole, decimals) = digits.split_once('.').unwrap_or((&digits, ""));
        let (before, after) = (&self.before, &self.after);
        // Digits that are there only if the number has them: a dash may stand for 0.
        if number == 0.0 && self.least_digits + self.least_decimals == 0 && !self.scientific {
            return format!("{before}{after}");
        }
        let whole = format!("{whole:0>width$}", width = self.least_digits);
        let whole = if self.thousands {
            in_thousands(&whole)
        } else {
            whole
        };
        let least = self.least_decimals.min(decimals.len());
        let (certain, rest) = decimals.split_at(least);
        let decimals = format!("{certain}{}", rest.trim_end_matches('0'));
        let point = if decimals.is_empty() { "" } else { "." };
        format!("{sign}{before}{whole}{point}{decimals}{exponent}{after}")
    }
}

/// A number without a format: no `44927.0`, and none of the noise beyond what a reader sees.
fn plain(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let size = number.abs();
    if !(1e-9..1e15).contains(&size) {
        let shown = format!("{number:.9e}");
        let (digits, exponent) = shown.split_once('e').unwrap_or((&shown, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}E{:+03}", exponent.parse().unwrap_or(0));
    }
    let significant = if number.fract() == 0.0 { 14 } else { 9 };
    let rounded = format!("{number:.significant$e}").parse().unwrap_or(number);
    if size >= 1e9 && number.fract() != 0.0 {
        return format!("{number:.2}");
    }
    rounded.to_string()
}

fn in_thousands(whole: &str) -> String {
    let mut shown = String::with_capacity(whole.len() * 4 / 3);
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A day and time; none for what no calendar holds.
fn moment(number: f64, date: bool, time: bool, from_1904: bool) -> Option<String> {
    if !(0.0..3_000_000.0).contains(&number) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "within the range above it is a whole number of seconds"
    )]
    let seconds = (number * 86_400.0).round() as i64;
    let start = if from_1904 {
        Date::from_calendar_date(1904, Month::January, 1)
    } else if number < 60.0 {
        Date::from_calendar_date(1899, Month::December, 31)
    } else {
        // The 29th of February 1900, which never was, is counted.
        Date::from_calendar_date(1899, Month::December, 30)
    };
    let start = PrimitiveDateTime::new(start.ok()?, Time::MIDNIGHT);
    let moment = start.checked_add(Duration::seconds(seconds))?;
    let (hour, minute, second) = moment.as_hms();
    let clock = match second {
        0 => format!("{hour:02}:{minute:02}"),
        _ => format!("{hour:02}:{minute:02}:{second:02}"),
    };
    Some(match (date, time) {
        (true, true) => format!("{} {clock}", moment.date()),
        (false, true) => clock,
        (_, false) => moment.date().to_string(),
    })
}

fn elapsed(number: f64) -> String {
    if number.abs() > 1e9 {
        return plain(number);
    }
    let sign = if number < 0.0 { "-" } else { "" };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number below the bound above, without its sign"
    )]
    let seconds = (number.abs() * 86_400.0).round() as u64;
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{sign}{hours}:{minutes:02}:{seconds:02}")
}

/// The parts of a code, parted by semicolons that are not quoted.
fn split(code: &str) -> Vec<&str> {
    let (mut parts, mut from, mut quoted, mut escaped) = (Vec::new(), 0, false, false);
    for (at, c) in code.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '"' => quoted = !quoted,
            '\\' | '_' | '*' if !quoted => escaped = true,
            ';' if !quoted => {
                parts.push(&code[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&code[from..]);
    parts.truncate(3);
    parts
}

fn has_condition(part: &str) -> bool {
    ["[<", "[>", "[="].iter().any(|mark| part.contains(mark))
}

/// What has been read of a part.
#[derive(Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a kind of letter that has been met, in any order and number"
)]
struct Reading {
    number: Decimal,
    digits: bool,
    point: bool,
    commas: i32,
    general: bool,
    fraction: bool,
    /// A text stands between digits.
    parted: bool,
    date: bool,
    month: bool,
    time: bool,
    elapsed: bool,
}

impl Reading {
    fn literal(&mut self, c: char) {
        if self.digits || self.general {
            self.number.after.push(c);
        } else {
            self.number.before.push(c);
        }
    }

    fn digit(&mut self, c: char) {
        self.parted |= self.digits && !self.number.after.is_empty();
        self.digits = true;
        if self.commas > 0 {
            self.number.thousands = true;
            self.commas = 0;
        }
        // Digits after a text or an exponent are not counted.
        let number = &mut self.number;
        if number.scientific {
            return;
        }
        match (self.point, c) {
            (true, '0') => {
                number.most_decimals += 1;
                number.least_decimals = number.most_decimals;
            }
            (true, _) => number.most_decimals += 1,
            (false, '0') => number.least_digits += 1,
            (false, _) => {}
        }
    }

    /// Takes in what stands between brackets: a currency, a way to count hours, a colour.
    fn bracket(&mut self, inner: &str) {
        if let Some(currency) = inner.strip_prefix('$') {
            for c in currency.split('-').next().unwrap_or_default().chars() {
                self.literal(c);
            }
        }
        let unit = inner.to_ascii_lowercase();
        let counts = |unit: &str, of: char| !unit.is_empty() && unit.chars().all(|c| c == of);
        self.elapsed |= ['h', 'm', 's'].iter().any(|of| counts(&unit, *of));
    }

    fn letter(&mut self, c: char) {
        match c.to_ascii_lowercase() {
            'y' | 'd' | 'e' | 'g' => self.date = true,
            'm' => self.month = true,
            'h' | 's' => self.time = true,
            '/' if self.digits => self.fraction = true,
            _ => self.literal(c),
        }
    }

    fn finish(mut self) -> Part {
        self.number.power -= 3 * self.commas;
        let Decimal { before, after, .. } = &mut self.number;
        for text in [before, after] {
            if text.trim().is_empty() {
                text.clear();
            }
        }
        if self.elapsed {
            Part::Elapsed
        } else if self.date || self.time || self.month {
            Part::Moment {
                date: self.date || !self.time,
                time: self.time,
            }
        } else if self.fraction || self.parted {
            Part::general()
        } else if self.digits {
            Part::Decimal(self.number)
        } else if self.general {
            Part::General {
                before: self.number.before,
                after: self.number.after,
            }
        } else {
            Part::Text(self.number.before)
        }
    }
}

fn parse_part(part: &str) -> Part {
    let mut reading = Reading::default();
    let mut chars = part.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' => chars
                .by_ref()
                .take_while(|c| *c != '"')
                .for_each(|c| reading.literal(c)),
            '\\' => chars.next().into_iter().for_each(|c| reading.literal(c)),
            // A gap as wide as the next character, or as many of it as fit.
            '_' | '*' => {
                chars.next();
            }
            '[' => {
                let inner: String = chars.by_ref().take_while(|c| *c != ']').collect();
                reading.bracket(&inner);
            }
            '0' | '#' | '?' => reading.digit(c),
            '.' if reading.digits || chars.peek().is_some_and(|c| "0#?".contains(*c)) => {
                reading.point = true;
                reading.digits = true;
            }
            ',' if reading.digits => reading.commas += 1,
            '%' => {
                reading.number.power += 2;
                reading.literal(c);
            }
            'E' | 'e' if reading.digits && matches!(chars.peek(), Some('+' | '-')) => {
                chars.next();
                reading.number.scientific = true;
            }
            'A' | 'a' if is_half_day(chars.clone()) => {
                reading.time = true;
                chars.by_ref().find(|c| matches!(c, 'P' | 'p'));
                chars.next_if(|c| matches!(c, 'M' | 'm'));
            }
            'G' | 'g' if follows(chars.clone(), "eneral") => {
                chars.by_ref().take(6).for_each(drop);
                reading.general = true;
            }
            '@' => reading.general = true,
            c => reading.letter(c),
        }
    }
    if part.is_empty() && !reading.digits {
        return Part::Text(String::new());
    }
    reading.finish()
}

/// Whether an `A` is the start of `AM/PM` or `A/P`.
fn is_half_day(rest: impl Iterator<Item = char> + Clone) -> bool {
    follows(rest.clone(), "M/PM") || follows(rest, "/P")
}

fn follows(rest: impl Iterator<Item = char>, text: &str) -> bool {
    let start: String = rest.take(text.len()).collect();
    start.eq_ignore_ascii_case(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(code: &str, number: f64) -> String {
        NumberFormat::parse(code).show(number, false)
    }

    #[test]
    fn numbers_without_a_format_have_no_noise() {
        let numbers = [
            44927.0,
            0.1 + 0.2,
            -1.5,
            1e21,
            1.0 / 3.0,
            123_456_789_012.0,
            2e-12,
            0.0,
        ];
        let shown = numbers.map(plain);
        assert_eq!(
            shown,
            [
                "44927",
                "0.3",
                "-1.5",
                "1E+21",
                "0.3333333333",
                "123456789012",
                "2E-12",
                "0"
            ]
        );
    }

    #[test]
    fn numbers_are_shown_as_their_formats_say() {
        for (code, number, shown) in [
            ("0", 2.5, "3"),
            ("0.00", 1.005, "1.01"),
            ("#,##0.00", 1_234_567.5, "1,234,567.50"),
            ("#,##0.##", 1234.5, "1,234.5"),
            ("0", 490_154_203_237_518.0, "490154203237518"),
            ("0", 999_999_999_999_999.0, "999999999999999"),
            ("#,##0.00", 490_154_203_237_518.0, "490,154,203,237,518.00"),
            ("#,##0.00", 999_999_999_999_999.0, "999,999,999,999,999.00"),
            ("0.0%", 0.1234, "12.3%"),
            ("0%", 0.5, "50%"),
            ("$#,##0_);($#,##0)", -1200.0, "($1,200)"),
            ("[$€-407] #,##0.00", 3.0, "€ 3.00"),
            ("#,##0.00\\ \"kg\"", 3.0, "3.00 kg"),
            ("0,", 12_000.0, "12"),
            ("000", 7.0, "007"),
            ("0.00E+00", 12_345.0, "1.23E+04"),
            ("_-* #,##0_-;-* #,##0_-;_-* \"-\"_-", 0.0, "-"),
            ("_(\"$\"* \"-\"??_)", 0.0, "$-"),
            ("_(* #,##0_);_(* \\(#,##0\\);_(* \"-\"??_);_(@_)", 0.0, "-"),
            ("#,##0", 0.0, "0"),
            ("#,###", 0.0, ""),
            ("000-00-0000", 123_456_789.0, "123456789"),
            ("(###) ###-####", 5_551_234_567.0, "5551234567"),
            ("000-000;-000-000", -123_456.0, "-123456"),
            ("General", 1.5, "1.5"),
            ("0.00;[Red]-0.00", -1.0, "-1.00"),
            ("[<1]0.00;0", 0.5, "0.5"),
            (";;;", 5.0, ""),
            ("# ?/?", 0.5, "0.5"),
            ("@", 12.0, "12"),
        ] {
            assert_eq!(show(code, number), shown, "{code}");
        }
    }

    #[test]
    fn days_and_times_are_iso() {
        for (code, number, shown) in [
            ("dd/mm/yy", 44_927.0, "2023-01-01"),
            ("[$-409]d-mmm-yyyy;@", 44_927.0, "2023-01-01"),
            ("yyyy-mm-dd hh:mm:ss", 44_927.75, "2023-01-01 18:00"),
            ("m/d/yy h:mm", 44_927.000_023_2, "2023-01-01 00:00:02"),
            ("h:mm AM/PM", 0.75, "18:00"),
            ("mmm-yy", 1.0, "1900-01-01"),
            ("[h]:mm", 1.5, "36:00:00"),
            ("yyyy", -3.0, "-3"),
            ("yyyy", 1e300, "1E+300"),
        ] {
            assert_eq!(show(code, number), shown, "{code}");
        }
        let date = NumberFormat::builtin(14);
        assert_eq!(date.show(0.0, true), "1904-01-01");
    }

    #[test]
    fn no_code_is_too_odd() {
        for code in [
            "\"", "[", "\\", "_", "*", "[$", ";", "[h", "0.", ".", "%", "E+", "A", "é[ü",
        ] {
            show(code, 1.5);
            show(code, -1e308);
            show(code, f64::NAN);
        }
    }
}
