//! HTTP dates in their three forms (RFC 9110 section 5.6.7), as seconds since 1970.

use alloc::format;
use alloc::string::String;

const DAY_S: i64 = 86_400;

const MONTHS: [&[u8]; 12] = [
    b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec",
];

const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];

const MONTH_NAMES: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// Seconds since 1970 of an HTTP date: IMF-fixdate, RFC 850 or asctime. `now_s` places the two
/// digits of an RFC 850 year: more than 50 years ahead means the century before.
///
/// The weekday is not compared with the date. `None` for anything else, a zone other than GMT
/// or UTC included.
#[must_use]
pub fn parse(value: &[u8], now_s: i64) -> Option<i64> {
    let mut words = value
        .split(|byte| matches!(byte, b' ' | b'\t' | b',' | b'-'))
        .filter(|word| !word.is_empty());
    let weekday = words.next()?;
    if weekday.len() < 3 || !weekday.iter().all(u8::is_ascii_alphabetic) {
        return None;
    }
    let second = words.next()?;
    let date = if second.first()?.is_ascii_digit() {
        with_zone(second, words, now_s)?
    } else {
        asctime(second, words)?
    };
    Some(date)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`: the form that is sent.
#[must_use]
pub fn format(seconds: i64) -> String {
    let days = seconds.div_euclid(DAY_S);
    let second_of_day = seconds.rem_euclid(DAY_S);
    let (year, month, day) = civil(days);
    let weekday = WEEKDAYS
        .get(usize::try_from(days.rem_euclid(7)).unwrap_or(0))
        .unwrap_or(&"Thu");
    let month = usize::try_from(month - 1)
        .ok()
        .and_then(|at| MONTH_NAMES.get(at))
        .unwrap_or(&"Jan");
    format!(
        "{weekday}, {day:02} {month} {year:04} {:02}:{:02}:{:02} GMT",
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60
    )
}

fn with_zone<'a>(day: &[u8], mut words: impl Iterator<Item = &'a [u8]>, now_s: i64) -> Option<i64> {
    let day = number(day, 2)?;
    let month = month(words.next()?)?;
    let year_digits = words.next()?;
    let time = clock(words.next()?)?;
    let zone = words.next()?;
    if words.next().is_some()
        || !(zone.eq_ignore_ascii_case(b"gmt") || zone.eq_ignore_ascii_case(b"utc"))
    {
        return None;
    }
    let year = match year_digits.len() {
        4 => number(year_digits, 4)?,
        2 => century(number(year_digits, 2)?, now_s),
        _ => return None,
    };
    seconds(year, month, day, time)
}

fn asctime<'a>(month_name: &[u8], mut words: impl Iterator<Item = &'a [u8]>) -> Option<i64> {
    let month = month(month_name)?;
    let day = number(words.next()?, 2)?;
    let time = clock(words.next()?)?;
    let year = words.next()?;
    if year.len() != 4 || words.next().is_some() {
        return None;
    }
    seconds(number(year, 4)?, month, day, time)
}

fn century(two_digits: i64, now_s: i64) -> i64 {
    let this_year = civil(now_s.div_euclid(DAY_S)).0;
    let year = this_year - this_year.rem_euclid(100) + two_digits;
    if year > this_year + 50 {
        year - 100
    } else {
        year
    }
}

fn month(name: &[u8]) -> Option<i64> {
    MONTHS
        .iter()
        .position(|month| name.eq_ignore_ascii_case(month))
        .and_then(|at| i64::try_from(at + 1).ok())
}

fn clock(time: &[u8]) -> Option<i64> {
    let mut parts = time.split(|byte| *byte == b':');
    let mut part = |limit: i64| {
        let digits = parts.next().filter(|part| part.len() == 2)?;
        number(digits, 2).filter(|value| *value <= limit)
    };
    // A leap second is the second before.
    let (hour, minute, second) = (part(23)?, part(59)?, part(60)?);
    parts
        .next()
        .is_none()
        .then_some(hour * 3_600 + minute * 60 + second.min(59))
}

fn number(digits: &[u8], digits_max: usize) -> Option<i64> {
    if digits.is_empty() || digits.len() > digits_max || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |value, digit| value * 10 + i64::from(digit - b'0')),
    )
}

fn seconds(year: i64, month: i64, day: i64, second_of_day: i64) -> Option<i64> {
    let days = days(year, month, day);
    (civil(days) == (year, month, day)).then_some(days * DAY_S + second_of_day)
}

/// Days since 1970 of a Gregorian date (Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// The inverse of [`days`]: year, month, day.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    /// 2026-11-22.
    const NOW_S: i64 = 1_795_305_600;

    #[track_caller]
    fn check(value: &str, expected: Option<i64>) {
        assert_eq!(parse(value.as_bytes(), NOW_S), expected, "{value}");
    }

    #[test]
    fn the_three_forms_are_one_time() {
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777));
        check("Sunday, 06-Nov-94 08:49:37 GMT", Some(784_111_777));
        check("Sun Nov  6 08:49:37 1994", Some(784_111_777));
        check("sun, 06 nOV 1994 08:49:37 UTC", Some(784_111_777));
    }

    #[test]
    fn two_digits_are_of_this_century_up_to_fifty_years_ahead() {
        check("Monday, 01-Jan-70 00:00:00 GMT", Some(3_155_760_000));
        check("Monday, 01-Jan-77 00:00:00 GMT", Some(220_924_800));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for bad in [
            "",
            "0",
            "-1",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 08:49:37 PST",
            "Sun, 06 Nov 1994 25:49:37 GMT",
            "Sun, 31 Feb 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37 GMT x",
            "06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 19940 08:49:37 GMT",
        ] {
            check(bad, None);
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(seconds in 0_i64..253_402_300_800) {
            prop_assert_eq!(parse(format(seconds).as_bytes(), NOW_S), Some(seconds));
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(value: Vec<u8>, now: i32) {
            let _ = parse(&value, i64::from(now));
        }
    }
}
