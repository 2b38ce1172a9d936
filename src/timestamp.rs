//! The time in a record: UTC with milliseconds, always 24 bytes of text. It orders nothing.

use std::fmt;

use crate::format::TIMESTAMP_BYTES;

/// A time as a record holds it: `2026-11-22T08:15:30.123Z`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp([u8; TIMESTAMP_BYTES]);

/// The text is not `YYYY-MM-DDTHH:MM:SS.mmmZ`, or no such time exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a time of the form 2026-11-22T08:15:30.123Z")]
pub struct TimestampError;

impl Timestamp {
    /// Reads the system clock. A clock outside the years 0 to 9999 is clamped.
    pub fn now() -> Self {
        Self::from_jiff(jiff::Timestamp::now())
    }

    /// Takes milliseconds since 1970 in UTC; what lies outside the years 0 to 9999 is clamped.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        let extreme = if unix_ms < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self::from_jiff(jiff::Timestamp::from_millisecond(unix_ms).unwrap_or(extreme))
    }

    /// Returns milliseconds since 1970 in UTC.
    pub fn unix_ms(&self) -> i64 {
        // Every value was checked by one of the constructors; the last day of the year 9999 is clamped.
        self.as_str().parse::<jiff::Timestamp>().unwrap_or(jiff::Timestamp::MAX).as_millisecond()
    }

    /// Returns the 24 bytes of text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Takes 24 bytes that have the form; the calendar is not asked (a frame's checksum already vouches for them).
    pub(crate) fn from_frame(bytes: &[u8]) -> Option<Self> {
        const FORM: &[u8; TIMESTAMP_BYTES] = b"0000-00-00T00:00:00.000Z";
        let bytes: [u8; TIMESTAMP_BYTES] = bytes.try_into().ok()?;
        let fits = |(byte, form): (&u8, &u8)| if *form == b'0' { byte.is_ascii_digit() } else { byte == form };
        bytes.iter().zip(FORM).all(fits).then_some(Self(bytes))
    }

    fn from_jiff(time: jiff::Timestamp) -> Self {
        let text = format!("{time:.3}");
        if let Some(time) = Self::from_frame(text.as_bytes()) {
            return time;
        }
        // Years below 0 are spelled with a sign.
        Self(if time < jiff::Timestamp::UNIX_EPOCH {
            *b"0000-01-01T00:00:00.000Z"
        } else {
            *b"9999-12-31T23:59:59.999Z"
        })
    }
}

impl std::str::FromStr for Timestamp {
    type Err = TimestampError;

    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time = Self::from_frame(text.as_bytes()).ok_or(TimestampError)?;
        // The calendar only: an instant near the end of the year 9999 is beyond what a time zone can be computed for. A leap
        // second is not told from a second that never was.
        let civil = text.trim_end_matches('Z').parse::<jiff::civil::DateTime>();
        if civil.is_err() || text.get(17..19) == Some("60") { Err(TimestampError) } else { Ok(time) }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_frame(text.as_bytes()).ok_or_else(|| serde::de::Error::custom(TimestampError))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn always_24_bytes_and_back() {
        for unix_ms in [0, 1, -1, 1_795_000_530_123, i64::MIN, i64::MAX, -62_167_219_200_001, 253_402_300_799_999] {
            let time = Timestamp::from_unix_ms(unix_ms);
            assert_eq!(time.as_str().len(), TIMESTAMP_BYTES, "{unix_ms}");
            assert_eq!(time.as_str().parse::<Timestamp>(), Ok(time));
        }
        assert_eq!(Timestamp::from_unix_ms(1_795_000_530_123).unix_ms(), 1_795_000_530_123);
        assert_eq!(Timestamp::from_unix_ms(0).as_str(), "1970-01-01T00:00:00.000Z");
    }

    #[test]
    fn other_spellings_are_refused() {
        for text in [
            "2026-11-22T08:15:30Z",
            "2026-11-22T08:15:30.1234Z",
            "2026-11-22 08:15:30.123Z",
            "2026-13-22T08:15:30.123Z",
            "2026-07-15T12:30:60.000Z",
            "",
        ] {
            assert_eq!(text.parse::<Timestamp>(), Err(TimestampError), "{text}");
        }
    }
}
