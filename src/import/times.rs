//! The times that histories carry: text with or without a zone, seconds or milliseconds since 1970.

use crate::timestamp::Timestamp;

/// Numbers from here on are milliseconds: as seconds they would be past the year 5000.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

/// Reads a JSON value as a time. One without a zone is taken for UTC: which one it was written in, the file does not tell.
pub(crate) fn time_of(json: &str) -> Option<Timestamp> {
    if json.starts_with('"') {
        return time_in_text(&super::json::string(json)?);
    }
    if let Some(unix_ms) = serde_json::from_str::<i64>(json).ok().filter(|number| *number >= MILLISECONDS_FROM) {
        return Some(Timestamp::from_unix_ms(unix_ms));
    }
    let since = std::time::Duration::try_from_secs_f64(serde_json::from_str(json).ok()?).ok()?;
    Some(Timestamp::from_unix_ms(i64::try_from(since.as_millis()).ok()?))
}

fn time_in_text(text: &str) -> Option<Timestamp> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time);
    }
    let instant = text.parse::<jiff::Timestamp>().ok();
    let instant = instant.or_else(|| {
        let civil: jiff::civil::DateTime = text.parse().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    Some(Timestamp::from_unix_ms(instant.as_millisecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_time() {
        for (json, expected) in [
            (r#""2026-11-22T00:51:52.155Z""#, "2026-11-22T00:51:52.155Z"),
            (r#""2026-04-20T16:44:43Z""#, "2026-04-20T16:44:43.000Z"),
            (r#""2026-11-22T00:51:01.896843""#, "2026-11-22T00:51:01.896Z"),
            (r#""2026-11-22 02:51:01+02:00""#, "2026-11-22T00:51:01.000Z"),
            ("1795308712155", "2026-11-22T00:51:52.155Z"),
            ("1795308674.6634247", "2026-11-22T00:51:14.663Z"),
            ("0", "1970-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(time_of(json).map(|time| time.to_string()).as_deref(), Some(expected), "{json}");
        }
        for bad in ["null", "\"\"", "\"soon\"", "-1e300", "{}", "true", "1e400"] {
            assert_eq!(time_of(bad), None, "{bad}");
        }
    }
}
