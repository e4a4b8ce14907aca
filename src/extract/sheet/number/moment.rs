//! Numbers that are days, times of day, or hours that count on.

use time::{Date, Duration, Month, PrimitiveDateTime, Time};

use super::digits::plain;

/// A day and time; none for what no calendar holds.
pub(super) fn moment(number: f64, date: bool, time: bool, from_1904: bool) -> Option<String> {
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

pub(super) fn elapsed(number: f64) -> String {
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
