//! The digits of a number: as a format fixes them, or as they are.

use super::Decimal;

/// More decimals than any format shows.
const MAX_DECIMALS: usize = 15;

impl Decimal {
    pub(super) fn show(&self, number: f64) -> String {
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
pub(super) fn plain(number: f64) -> String {
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
