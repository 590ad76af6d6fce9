//! Times as operators write them: Unix milliseconds, or RFC 3339.

/// Unix ms of `text`: an integer, `2026-11-21`, or `2026-11-21T08:30:00[.250](Z|+01:00)`.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    let (date, time) = text
        .split_once(['T', 't', ' '])
        .unwrap_or((text, "00:00:00Z"));
    let mut parts = date.splitn(3, '-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if (year.len(), month.len(), day.len()) != (4, 2, 2) {
        return None;
    }
    let (year, month, day) = (digits(year)?, digits(month)?, digits(day)?);
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    let (time, offset_min) = split_offset(time)?;
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.splitn(3, ':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if (hour.len(), minute.len(), second.len()) != (2, 2, 2) || fraction.is_empty() {
        return None;
    }
    let (hour, minute, second) = (digits(hour)?, digits(minute)?, digits(second)?);
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    digits(fraction.get(..fraction.len().min(18))?)?;
    let ms = digits(&format!("{fraction:0<3}")[..3])?;
    let minutes = (days_since_epoch(year, month, day) * 24 + hour) * 60 + minute - offset_min;
    Some((minutes * 60 + second) * 1_000 + ms)
}

/// Unix `ms` as `2026-11-21T08:30:00Z`.
#[must_use]
pub fn format(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000);
    let (hour, minute) = (
        seconds.rem_euclid(86_400) / 3_600,
        seconds.rem_euclid(3_600) / 60,
    );
    let second = seconds.rem_euclid(60);
    let date = date(ms);
    format!("{date}T{hour:02}:{minute:02}:{second:02}Z")
}

/// The UTC day of Unix `ms` as `2026-11-21`.
#[must_use]
pub fn date(ms: i64) -> String {
    // The same source as `days_since_epoch`, the other way.
    let days = ms.div_euclid(86_400_000) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let leaps = day_of_era / 1_460 - day_of_era / 36_524 + day_of_era / 146_096;
    let year_of_era = (day_of_era - leaps) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 {
        shifted + 3
    } else {
        shifted - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The time without its offset, and the offset in minutes.
fn split_offset(time: &str) -> Option<(&str, i64)> {
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let at = time.rfind(['+', '-'])?;
    let (time, offset) = time.split_at(at);
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let minutes = digits(hours)? * 60 + digits(minutes)?;
    Some((
        time,
        if offset.starts_with('-') {
            -minutes
        } else {
            minutes
        },
    ))
}

fn digits(text: &str) -> Option<i64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}

/// Days of a month.
pub(crate) fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970 of a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
pub(crate) fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::{date, format, parse};

    #[track_caller]
    fn check(text: &str, expected: Option<i64>) {
        assert_eq!(parse(text), expected, "{text}");
    }

    #[test]
    fn what_is_formatted_parses_back() {
        for ms in [
            0,
            -1_000,
            951_782_400_000,
            1_709_164_799_000,
            1_800_000_000_000,
            253_402_300_799_000,
        ] {
            assert_eq!(parse(&format(ms)), Some(ms), "{}", format(ms));
        }
        assert_eq!(format(951_782_400_000), "2000-02-29T00:00:00Z");
        assert_eq!(date(-1), "1969-12-31");
    }

    #[test]
    fn times_are_read() {
        check("1650000000000", Some(1_650_000_000_000));
        check("1970-01-01", Some(0));
        check("2000-02-29T12:00:00Z", Some(951_825_600_000));
        check("2022-04-15T05:20:00.25+01:30", Some(1_649_994_600_250));
        check("1969-12-31T23:59:59Z", Some(-1_000));
    }

    #[test]
    fn others_are_not() {
        for text in [
            "",
            "now",
            "2022-13-01",
            "2022-02-30",
            "2022-4-5",
            "2022-04-15T25:00:00Z",
        ] {
            check(text, None);
        }
        check("2022-04-15T05:20:00", None);
        check("2022-04-15T05:20:00.Z", None);
        check("2022-04-15T05:20:00é+1:00", None);
    }
}
