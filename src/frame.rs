//! Bytes to frame and back: one record is one line, one JSON object with fixed fields in fixed order.
//!
//! Pure: slices in, values out. Nothing here parses JSON in general; a matching checksum proves the bytes that were
//! validated before the append, and what stands before the body has one spelling only.
//!
//! Invariants: `encode` of what `decode` read gives the same bytes; no input panics.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::fmt;

use crate::format::{CRC_HEX_BYTES, CRC_LABEL, FRAME_TAIL_BYTES, KIND_BYTES_MAX, TIMESTAMP_BYTES};
use crate::timestamp::Timestamp;

/// A CRC-32 (IEEE) as the format spells it: 8 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Crc(pub u32);

impl Crc {
    /// The header's `prev`, and the seed of a header's own checksum.
    pub const ZERO: Self = Self(0);

    /// Continues this checksum over `bytes`.
    #[must_use]
    pub fn extend(self, bytes: &[u8]) -> Self {
        let mut hasher = crc32fast::Hasher::new_with_initial(self.0);
        hasher.update(bytes);
        Self(hasher.finalize())
    }

    /// Returns the checksum that `bytes` was continued from to arrive at this one: the inverse of [`extend`](Self::extend).
    pub(crate) fn seed_over(self, bytes: &[u8]) -> Self {
        const POLYNOMIAL: u32 = 0xedb8_8320;
        // CRC-32 complements its register at both ends; between them every step can be undone, since the polynomial's
        // highest bit tells whether it was applied.
        let mut register = !self.0;
        for byte in bytes.iter().rev() {
            for _ in 0..8 {
                let applied = register >> 31 == 1;
                register = if applied { ((register ^ POLYNOMIAL) << 1) | 1 } else { register << 1 };
            }
            register ^= u32::from(*byte);
        }
        Self(!register)
    }

    /// Reads exactly 8 lower-case hex digits.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        if text.len() != CRC_HEX_BYTES {
            return None;
        }
        text.iter()
            .try_fold(0_u32, |value, byte| {
                let digit = match byte {
                    b'0'..=b'9' => byte.wrapping_sub(b'0'),
                    b'a'..=b'f' => byte.wrapping_sub(b'a').wrapping_add(10),
                    _ => return None,
                };
                Some((value << 4) | u32::from(digit))
            })
            .map(Self)
    }

    fn to_hex(self) -> [u8; CRC_HEX_BYTES] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; CRC_HEX_BYTES];
        let mut rest = self.0;
        for digit in text.iter_mut().rev() {
            *digit = DIGITS.get(usize::try_from(rest & 15).unwrap_or(0)).copied().unwrap_or(b'0');
            rest >>= 4;
        }
        text
    }
}

impl fmt::Display for Crc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

impl fmt::Debug for Crc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl serde::Serialize for Crc {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Crc {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::from_hex(text.as_bytes()).ok_or_else(|| serde::de::Error::custom("a checksum is 8 lower-case hex digits"))
    }
}

/// Why a line is not a frame of its transcript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameDefect {
    /// The line does not hash to the checksum that it carries.
    #[error("checksum mismatch: stored {stored}, computed {computed}")]
    Checksum {
        /// Read from the line's end (zero when those 8 bytes are not lower-case hex).
        stored: Crc,
        /// Computed over the bytes found.
        computed: Crc,
    },
    /// The line does not end as a frame does, or its fields are not a frame's.
    #[error("malformed frame: {what}")]
    Malformed {
        /// The part that is not as the format says.
        what: &'static str,
    },
}

/// Everything of a frame that stands before its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head<'a> {
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) prev: Crc,
    pub(crate) ts: Timestamp,
    pub(crate) kind: &'a str,
    /// The id as a JSON string, quotes included.
    pub(crate) id_json: Option<&'a str>,
    /// Where in the line the body begins; it ends where the last [`FRAME_TAIL_BYTES`] begin.
    pub(crate) body_start: usize,
}

impl Head<'_> {
    /// Returns the body of the line that this is the head of. A line that was decoded has one.
    pub(crate) fn body<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        line.get(self.body_start..line.len().saturating_sub(FRAME_TAIL_BYTES)).unwrap_or_default()
    }
}

/// What the caller gives of a record, already validated.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content<'a> {
    pub(crate) ts: Timestamp,
    pub(crate) kind: &'a str,
    pub(crate) id_json: Option<&'a str>,
    /// Bytes, since a repair keeps what another program wrote, even where it is no text.
    pub(crate) body: &'a [u8],
}

/// Where a record stands in its transcript.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) prev: Crc,
}

/// Appends one whole line, newline included, and returns its checksum. `seed` is the header's checksum (zero for a header).
pub(crate) fn encode(out: &mut Vec<u8>, seed: Crc, place: Place, content: &Content<'_>) -> Crc {
    let start = out.len();
    out.extend_from_slice(b"{\"seq\":");
    push_decimal(out, place.seq);
    out.extend_from_slice(b",\"durable\":");
    push_decimal(out, place.durable);
    out.extend_from_slice(b",\"prev\":\"");
    out.extend_from_slice(&place.prev.to_hex());
    out.extend_from_slice(b"\",\"ts\":\"");
    out.extend_from_slice(content.ts.as_str().as_bytes());
    out.extend_from_slice(b"\",\"kind\":\"");
    out.extend_from_slice(content.kind.as_bytes());
    out.push(b'"');
    if let Some(id) = content.id_json {
        out.extend_from_slice(b",\"id\":");
        out.extend_from_slice(id.as_bytes());
    }
    out.extend_from_slice(b",\"body\":");
    out.extend_from_slice(content.body);
    let crc = seed.extend(out.get(start..).unwrap_or_default());
    out.extend_from_slice(CRC_LABEL);
    out.extend_from_slice(&crc.to_hex());
    out.extend_from_slice(b"\"}\n");
    crc
}

/// Checks the checksum of a line without its newline, and that it ends as a frame does.
pub(crate) fn check(line: &[u8], seed: Crc) -> Result<Crc, FrameDefect> {
    let (covered, tail) = line
        .len()
        .checked_sub(FRAME_TAIL_BYTES)
        .and_then(|at| line.split_at_checked(at))
        .ok_or(FrameDefect::Malformed { what: "too short" })?;
    check_tail(tail, seed.extend(covered))
}

/// Compares the checksum in the last [`FRAME_TAIL_BYTES`] bytes of a line with the one computed over all before them.
pub(crate) fn check_tail(tail: &[u8], computed: Crc) -> Result<Crc, FrameDefect> {
    let digits = tail
        .strip_prefix(CRC_LABEL)
        .and_then(|rest| rest.strip_suffix(b"\"}"))
        .filter(|digits| digits.len() == CRC_HEX_BYTES)
        .ok_or(FrameDefect::Malformed { what: "does not end in a checksum" })?;
    if digits == computed.to_hex() {
        Ok(computed)
    } else {
        Err(FrameDefect::Checksum { stored: Crc::from_hex(digits).unwrap_or_default(), computed })
    }
}

/// Reads the fields before the body from the first bytes of a line: all of it, or at least
/// [`HEAD_BYTES_MAX`](crate::format::HEAD_BYTES_MAX) of it.
pub(crate) fn decode_head(line: &[u8]) -> Result<Head<'_>, FrameDefect> {
    let mut rest = Fields { line, at: 0 };
    rest.literal(b"{\"seq\":", "seq")?;
    let seq = rest.decimal("seq")?;
    rest.literal(b",\"durable\":", "durable")?;
    let durable = rest.decimal("durable")?;
    rest.literal(b",\"prev\":\"", "prev")?;
    let prev = Crc::from_hex(rest.take(CRC_HEX_BYTES, "prev")?).ok_or(FrameDefect::Malformed { what: "prev" })?;
    rest.literal(b"\",\"ts\":\"", "ts")?;
    let ts = Timestamp::from_frame(rest.take(TIMESTAMP_BYTES, "ts")?).ok_or(FrameDefect::Malformed { what: "ts" })?;
    rest.literal(b"\",\"kind\":\"", "kind")?;
    let kind = rest.kind()?;
    rest.literal(b"\"", "kind")?;
    let id_json = if rest.peek(b",\"id\":") {
        rest.literal(b",\"id\":", "id")?;
        Some(rest.string("id")?)
    } else {
        None
    };
    rest.literal(b",\"body\":", "body")?;
    // `durable` names records written before this one; only the header, which has none before it, says 0 of itself.
    if durable >= seq && (seq, durable) != (0, 0) {
        return Err(FrameDefect::Malformed { what: "durable is not less than seq" });
    }
    Ok(Head { seq, durable, prev, ts, kind, id_json, body_start: rest.at })
}

/// Checks a line without its newline against the header's checksum, and reads it.
pub(crate) fn decode(line: &[u8], seed: Crc) -> Result<(Head<'_>, Crc), FrameDefect> {
    let crc = check(line, seed)?;
    let head = decode_head(line)?;
    // An empty body, or a head that runs into the checksum: a stranger's idea of a frame.
    let body_bytes = line.len().saturating_sub(FRAME_TAIL_BYTES).saturating_sub(head.body_start);
    if body_bytes == 0 { Err(FrameDefect::Malformed { what: "body" }) } else { Ok((head, crc)) }
}

/// Says whether `kind` is 1 to 64 bytes of `a-z 0-9 . _ -`.
pub(crate) fn is_kind(kind: &str) -> bool {
    (1..=KIND_BYTES_MAX).contains(&kind.len()) && kind.bytes().all(is_kind_byte)
}

fn is_kind_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')
}

fn push_decimal(out: &mut Vec<u8>, value: u64) {
    use std::io::Write as _;
    // Writing to a `Vec` can not fail.
    write!(out, "{value}").ok();
}

/// A cursor over the fixed part of a line.
struct Fields<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn rest(&self) -> &'a [u8] {
        self.line.get(self.at..).unwrap_or_default()
    }

    fn peek(&self, text: &[u8]) -> bool {
        self.rest().starts_with(text)
    }

    fn literal(&mut self, text: &[u8], what: &'static str) -> Result<(), FrameDefect> {
        let found = self.peek(text);
        self.at = self.at.saturating_add(text.len());
        if found { Ok(()) } else { Err(FrameDefect::Malformed { what }) }
    }

    fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], FrameDefect> {
        let taken = self.rest().get(..count).ok_or(FrameDefect::Malformed { what })?;
        self.at = self.at.saturating_add(count);
        Ok(taken)
    }

    /// Takes bytes while `fits`; they are ASCII, so they are text.
    fn run(&mut self, fits: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.rest();
        let count = rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(count);
        rest.get(..count).and_then(|run| std::str::from_utf8(run).ok()).unwrap_or_default()
    }

    fn decimal(&mut self, what: &'static str) -> Result<u64, FrameDefect> {
        let digits = self.run(|byte| byte.is_ascii_digit());
        let canonical = digits == "0" || !digits.starts_with('0');
        digits.parse().ok().filter(|_| canonical).ok_or(FrameDefect::Malformed { what })
    }

    fn kind(&mut self) -> Result<&'a str, FrameDefect> {
        let kind = self.run(is_kind_byte);
        if is_kind(kind) { Ok(kind) } else { Err(FrameDefect::Malformed { what: "kind" }) }
    }

    /// Takes a JSON string, quotes included; its length is bounded by what the caller hands in.
    fn string(&mut self, what: &'static str) -> Result<&'a str, FrameDefect> {
        let rest = self.rest();
        let mut bytes = rest.iter().enumerate();
        if bytes.next().map(|(_, byte)| *byte) != Some(b'"') {
            return Err(FrameDefect::Malformed { what });
        }
        while let Some((at, byte)) = bytes.next() {
            match byte {
                b'\\' => drop(bytes.next()),
                b'"' => {
                    let text = self.take(at.saturating_add(1), what)?;
                    return std::str::from_utf8(text).map_err(|_| FrameDefect::Malformed { what });
                }
                _ => {}
            }
        }
        Err(FrameDefect::Malformed { what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64, id: Option<&str>, body: &str) -> Vec<u8> {
        let mut out = Vec::new();
        let content = Content { ts: Timestamp::from_unix_ms(0), kind: "message", id_json: id, body: body.as_bytes() };
        encode(&mut out, Crc(7), Place { seq, durable: seq.saturating_sub(1), prev: Crc(0xab) }, &content);
        assert_eq!(out.pop(), Some(b'\n'));
        out
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let bytes = line(42, Some(r#""a\"b""#), r#"{"x": 1}"#);
        let (head, crc) = decode(&bytes, Crc(7)).unwrap();
        assert_eq!((head.seq, head.durable, head.prev, head.kind), (42, 41, Crc(0xab), "message"));
        assert_eq!(head.id_json, Some(r#""a\"b""#));
        assert_eq!(&bytes[head.body_start..bytes.len() - FRAME_TAIL_BYTES], br#"{"x": 1}"#);
        assert_eq!(crc.to_string().as_bytes(), &bytes[bytes.len() - 10..bytes.len() - 2]);
        assert!(matches!(decode(&bytes, Crc(8)), Err(FrameDefect::Checksum { .. })), "another transcript's seed");
    }

    #[test]
    fn a_seed_is_found_again() {
        for seed in [0, 1, 0xdead_beef, u32::MAX] {
            let crc = Crc(seed).extend(b"any bytes at all");
            assert_eq!(crc.seed_over(b"any bytes at all"), Crc(seed));
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let good = line(3, Some("\"id\""), "[1,2]");
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                assert!(decode(&bad, Crc(7)).is_err(), "byte {at} bit {bit}");
            }
            assert!(decode(&good[..at], Crc(7)).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_sound_checksum_does_not_make_a_frame() {
        let seal = |text: &str| {
            let crc = Crc(7).extend(text.as_bytes());
            format!("{text},\"crc\":\"{crc}\"}}").into_bytes()
        };
        let ts = "1970-01-01T00:00:00.000Z";
        for (text, what) in [
            ("{\"seq\":01,\"durable\":0".to_owned(), "seq"),
            ("{\"seq\":99999999999999999999,\"durable\":0".to_owned(), "seq"),
            ("{\"seq\":,".to_owned(), "seq"),
            (
                format!("{{\"seq\":1,\"durable\":1,\"prev\":\"00000000\",\"ts\":\"{ts}\",\"kind\":\"m\",\"body\":1"),
                "durable is not less than seq",
            ),
            (
                format!("{{\"seq\":1,\"durable\":0,\"prev\":\"0000000A\",\"ts\":\"{ts}\",\"kind\":\"m\",\"body\":1"),
                "prev",
            ),
            (
                format!("{{\"seq\":1,\"durable\":0,\"prev\":\"00000000\",\"ts\":\"{ts}\",\"kind\":\"M\",\"body\":1"),
                "kind",
            ),
            (
                format!(
                    "{{\"seq\":1,\"durable\":0,\"prev\":\"00000000\",\"ts\":\"{ts}\",\"kind\":\"m\",\"id\":\"a,\"body\":1"
                ),
                "body",
            ),
            (
                format!("{{\"seq\":1,\"durable\":0,\"prev\":\"00000000\",\"ts\":\"{ts}\",\"kind\":\"m\",\"body\":"),
                "body",
            ),
        ] {
            assert_eq!(decode(&seal(&text), Crc(7)), Err(FrameDefect::Malformed { what }), "{text}");
        }
    }
}
