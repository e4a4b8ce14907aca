//! Reads the code of a format, such as `#,##0.00;[Red]-#,##0.00`.

use super::{Decimal, Part};

/// The parts of a code, parted by semicolons that are not quoted.
pub(super) fn split(code: &str) -> Vec<&str> {
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

pub(super) fn has_condition(part: &str) -> bool {
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

pub(super) fn parse_part(part: &str) -> Part {
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
