//! Records as callers see them: what is given to an append, what proves it, what a read gives back.

use std::borrow::Cow;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::format::{
    FRAME_TAIL_BYTES, ID_BYTES_MAX, KIND_DEFAULT, KIND_HEADER, KIND_MARK, KIND_META_PREFIX, NESTING_MAX,
};
use crate::frame::{self, Content, Crc, FrameDefect};
use crate::key::SessionKey;
use crate::mark::Mark;
use crate::timestamp::Timestamp;

/// A frame without id, kind and body, its numbers at their longest: what the size limit adds to them.
const FRAME_BYTES_MAX: usize = 192;

/// Why a record can not be appended. Nothing was written; no error shows text of the record.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The body is not one JSON value.
    #[error("body is not valid JSON: {reason}")]
    NotJson {
        /// The parser's reason with line and column inside the body.
        reason: String,
    },
    /// The body is not UTF-8.
    #[error("body is not valid UTF-8 at byte {offset}")]
    NotUtf8 {
        /// First bad byte of the body.
        offset: usize,
    },
    /// Arrays and objects inside each other beyond what common readers take.
    #[error("body is nested deeper than {limit} levels")]
    TooDeep {
        /// Levels allowed.
        limit: usize,
    },
    /// Over the store's limit for one record.
    #[error("record is about {length_bytes} bytes long, the limit is {limit_bytes}")]
    TooLarge {
        /// Size of the record with its frame.
        length_bytes: usize,
        /// The store's limit.
        limit_bytes: usize,
    },
    /// Not 1 to 64 bytes of `a-z 0-9 . _ -`.
    #[error("kind must be 1 to 64 bytes of a-z 0-9 . _ -")]
    BadKind,
    /// `header` and `mark` are the store's own.
    #[error("kinds `header` and `mark` are the store's own")]
    ReservedKind,
    /// Not 1 to 128 bytes.
    #[error("id is {length_bytes} bytes long, it must be 1 to {ID_BYTES_MAX}")]
    BadId {
        /// Bytes of UTF-8 given.
        length_bytes: usize,
    },
}

/// A record to append: a body and, if the caller has them, kind, id and time.
///
/// ```
/// use sesslog::NewRecord;
/// let record = NewRecord::json(r#"{"role": "user", "content": "hi"}"#)?.kind("message")?.id("req-7")?;
/// assert_eq!(record.body(), r#"{"role": "user", "content": "hi"}"#);
/// assert!(NewRecord::json("NaN").is_err());
/// # Ok::<(), sesslog::RecordError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct NewRecord {
    body: String,
    kind: Cow<'static, str>,
    id_json: Option<String>,
    ts: Option<Timestamp>,
}

impl NewRecord {
    /// Takes a body as JSON text, byte for byte but for white space around it and for tabs, carriage returns and newlines
    /// outside its strings, which are dropped.
    ///
    /// # Errors
    ///
    /// [`RecordError::NotJson`] for anything but one JSON value (raw control characters in a string and `NaN` included),
    /// [`RecordError::TooDeep`] beyond 128 levels.
    pub fn json(body: &str) -> Result<Self, RecordError> {
        let body = normalise(body)?.into_owned();
        Ok(Self { body, kind: Cow::Borrowed(KIND_DEFAULT), id_json: None, ts: None })
    }

    /// [`json`](Self::json) for bytes.
    ///
    /// # Errors
    ///
    /// Those of [`json`](Self::json), and [`RecordError::NotUtf8`].
    pub fn json_bytes(body: &[u8]) -> Result<Self, RecordError> {
        let text = std::str::from_utf8(body).map_err(|error| RecordError::NotUtf8 { offset: error.valid_up_to() })?;
        Self::json(text)
    }

    /// Serialises a value as the body. `serde_json` writes `null` for a NaN or an infinity.
    ///
    /// # Errors
    ///
    /// [`RecordError::NotJson`] when the value can not be JSON (a map with keys that are no strings), and those of
    /// [`json`](Self::json).
    pub fn new<T: Serialize + ?Sized>(body: &T) -> Result<Self, RecordError> {
        let text = serde_json::to_string(body).map_err(|error| RecordError::NotJson { reason: error.to_string() })?;
        Self::json(&text)
    }

    /// Sets the kind; `message` by default. Kinds that begin with `meta.` do not count as activity.
    ///
    /// # Errors
    ///
    /// [`RecordError::BadKind`], [`RecordError::ReservedKind`].
    pub fn kind(mut self, kind: impl Into<Cow<'static, str>>) -> Result<Self, RecordError> {
        let kind = kind.into();
        if kind == KIND_HEADER || kind == KIND_MARK {
            return Err(RecordError::ReservedKind);
        }
        if !frame::is_kind(&kind) {
            return Err(RecordError::BadKind);
        }
        self.kind = kind;
        Ok(self)
    }

    /// Sets the caller's idempotency id, 1 to 128 bytes: an append of a record whose id the generation holds already writes
    /// nothing and gives the receipt of the first, so that an append whose outcome is not known can be tried again.
    ///
    /// # Errors
    ///
    /// [`RecordError::BadId`].
    pub fn id(mut self, id: &str) -> Result<Self, RecordError> {
        if !(1..=ID_BYTES_MAX).contains(&id.len()) {
            return Err(RecordError::BadId { length_bytes: id.len() });
        }
        self.id_json = Some(serde_json::Value::from(id).to_string());
        Ok(self)
    }

    /// Sets the record's own time, for imports; the store's clock by default.
    pub fn at(mut self, ts: Timestamp) -> Self {
        self.ts = Some(ts);
        self
    }

    /// Returns the body as it will be written.
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Says whether it has an [id](Self::id).
    pub fn has_id(&self) -> bool {
        self.id_json.is_some()
    }

    /// Returns the id as it stands in the line.
    pub(crate) fn id_json(&self) -> Option<&str> {
        self.id_json.as_deref()
    }

    /// Says whether it has the same kind and body.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.kind, &self.body) == (&other.kind, &other.body)
    }

    /// Makes one of the store's own records.
    pub(crate) fn mark(mark: &Mark) -> Self {
        let body = serde_json::to_string(mark).unwrap_or_default();
        Self { body, kind: Cow::Borrowed(KIND_MARK), id_json: None, ts: None }
    }

    /// Makes the mark that sums up, its summary byte for byte as in the text given.
    pub(crate) fn compacted(summary: &str, keep_from: u64) -> Result<Self, RecordError> {
        // As part of the mark, so that the mark is not nested too deep.
        let body =
            normalise(&format!(r#"{{"mark":"compacted","summary":{summary},"keep_from":{keep_from}}}"#))?.into_owned();
        Ok(Self { body, kind: Cow::Borrowed(KIND_MARK), id_json: None, ts: None })
    }

    pub(crate) fn is_mark(&self) -> bool {
        self.kind == KIND_MARK
    }

    /// Reads the mark, if it is one.
    pub(crate) fn as_mark(&self) -> Option<Mark> {
        self.is_mark().then(|| Mark::parse(&self.body))
    }

    /// Refuses what is over the limit.
    pub(crate) fn check_size(&self, limit_bytes: usize) -> Result<(), RecordError> {
        let length_bytes = self.size_hint();
        if length_bytes > limit_bytes { Err(RecordError::TooLarge { length_bytes, limit_bytes }) } else { Ok(()) }
    }

    /// The most bytes that the line can have.
    pub(crate) fn size_hint(&self) -> usize {
        let id_bytes = self.id_json.as_ref().map_or(0, String::len);
        self.body.len().saturating_add(self.kind.len()).saturating_add(id_bytes).saturating_add(FRAME_BYTES_MAX)
    }

    pub(crate) fn content(&self, now: Timestamp) -> Content<'_> {
        let (kind, id_json) = (&*self.kind, self.id_json.as_deref());
        Content { ts: self.ts.unwrap_or(now), kind, id_json, body: self.body.as_bytes() }
    }
}

/// Validates a JSON text and drops what may not stand in a line.
///
/// One pass of our own: the parser that validates tells neither depth nor where white space is.
fn normalise(text: &str) -> Result<Cow<'_, str>, RecordError> {
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map_err(|error| RecordError::NotJson { reason: error.to_string() })?;
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    let (mut depth, mut dropped) = (0_usize, false);
    let mut rest = text.as_bytes();
    while let Some((byte, behind)) = rest.split_first() {
        rest = behind;
        match byte {
            b'"' => rest = behind_string(behind),
            b'{' | b'[' => {
                depth = depth.saturating_add(1);
                if depth > NESTING_MAX {
                    return Err(RecordError::TooDeep { limit: NESTING_MAX });
                }
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'\t' | b'\r' | b'\n' => dropped = true,
            _ => {}
        }
    }
    if dropped {
        // Valid JSON has none of these inside a string.
        Ok(Cow::Owned(text.replace(['\t', '\r', '\n'], "")))
    } else {
        Ok(Cow::Borrowed(text))
    }
}

/// Returns what is behind a valid string that has just begun. Most of a body is strings.
fn behind_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        let is_escape = rest.get(at) == Some(&b'\\');
        rest = rest.get(at.saturating_add(1 + usize::from(is_escape))..).unwrap_or_default();
        if !is_escape {
            return rest;
        }
    }
    &[]
}

/// One record of a transcript, as it was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    line: String,
    kind: Range<usize>,
    body_start: usize,
    id: Option<String>,
    seq: u64,
    durable: u64,
    prev: Crc,
    crc: Crc,
    ts: Timestamp,
    offset: u64,
}

impl Record {
    /// Checks a line without its newline and copies it.
    pub(crate) fn decode(line: &[u8], seed: Crc, offset: u64) -> Result<Self, FrameDefect> {
        Self::take(line.to_vec(), seed, offset)
    }

    /// Checks a line without its newline and takes it.
    pub(crate) fn take(line: Vec<u8>, seed: Crc, offset: u64) -> Result<Self, FrameDefect> {
        let line = String::from_utf8(line).map_err(|error| {
            // What is damaged is named by its checksum first.
            frame::check(error.as_bytes(), seed).err().unwrap_or(FrameDefect::Malformed { what: "not UTF-8" })
        })?;
        let (head, crc) = frame::decode(line.as_bytes(), seed)?;
        let id = head
            .id_json
            .map(|text| serde_json::from_str(text).map_err(|_| FrameDefect::Malformed { what: "id" }))
            .transpose()?;
        let id_bytes = head.id_json.map_or(0, |id| id.len().saturating_add(b",\"id\":".len()));
        // Back from the body over `,"body":`, the id and the kind's closing quote.
        let kind_end = head.body_start.saturating_sub(b",\"body\":".len()).saturating_sub(id_bytes).saturating_sub(1);
        let kind = kind_end.saturating_sub(head.kind.len())..kind_end;
        let (seq, durable, prev, ts, body_start) = (head.seq, head.durable, head.prev, head.ts, head.body_start);
        Ok(Self { line, kind, body_start, id, seq, durable, prev, crc, ts, offset })
    }

    /// Returns its number: 1 for the first record of a session.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// Returns the highest seq that was durable when this record was written.
    pub fn durable(&self) -> u64 {
        self.durable
    }

    /// Returns its checksum.
    pub fn crc(&self) -> Crc {
        self.crc
    }

    /// Returns the checksum of the record before.
    pub fn prev(&self) -> Crc {
        self.prev
    }

    /// Returns the caller's time if one was given, else the store's at the append.
    pub fn ts(&self) -> Timestamp {
        self.ts
    }

    /// Returns the kind.
    pub fn kind(&self) -> &str {
        self.line.get(self.kind.clone()).unwrap_or_default()
    }

    /// Returns the caller's idempotency id.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// Returns the body as JSON text, byte for byte as it was appended.
    pub fn body(&self) -> &str {
        self.line.get(self.body_start..self.line.len().saturating_sub(FRAME_TAIL_BYTES)).unwrap_or_default()
    }

    /// Deserialises the body.
    ///
    /// # Errors
    ///
    /// Those of `serde_json` when the body is not a `T`.
    pub fn parse<'a, T: Deserialize<'a>>(&'a self) -> serde_json::Result<T> {
        serde_json::from_str(self.body())
    }

    /// Returns the whole line as it stands in the file, without its newline.
    pub fn line(&self) -> &str {
        &self.line
    }

    /// Returns where in the transcript the line begins, in bytes.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Says whether the store wrote it, not the caller.
    pub fn is_mark(&self) -> bool {
        self.kind() == KIND_MARK
    }

    /// Returns the mark that this record is.
    pub fn as_mark(&self) -> Option<Mark> {
        self.is_mark().then(|| Mark::parse(self.body()))
    }
}

/// Says whether a record of this kind counts as activity of the session.
pub(crate) fn is_activity(kind: &str) -> bool {
    kind != KIND_HEADER && kind != KIND_MARK && !kind.starts_with(KIND_META_PREFIX)
}

/// What a walk needs to know of a sound record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Info {
    pub(crate) seq: u64,
    pub(crate) durable: u64,
    pub(crate) prev: Crc,
    pub(crate) crc: Crc,
    pub(crate) ts: Timestamp,
    pub(crate) is_mark: bool,
    pub(crate) is_activity: bool,
}

impl Info {
    pub(crate) fn new(head: &frame::Head<'_>, crc: Crc) -> Self {
        let frame::Head { seq, durable, prev, ts, kind, .. } = *head;
        Self { seq, durable, prev, crc, ts, is_mark: kind == KIND_MARK, is_activity: is_activity(kind) }
    }
}

/// The end of a session's history: its last line, marks included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Head {
    /// The generation.
    pub generation: u64,
    /// The last line's seq, 0 for the header's.
    pub seq: u64,
    /// Its checksum.
    pub crc: Crc,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "record {} ({}) of generation {}", self.seq, self.crc, self.generation)
    }
}

impl Receipt {
    /// Returns the history's end as it was right behind the record.
    pub fn head(&self) -> Head {
        Head { generation: self.generation, seq: self.seq, crc: self.crc }
    }
}

/// Proof of an append.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The session's key.
    pub key: SessionKey,
    /// Its generation.
    pub generation: u64,
    /// The record's number in it.
    pub seq: u64,
    /// The record's checksum.
    pub crc: Crc,
    /// On stable storage (`true`), or with the operating system until a flush (`false`).
    pub durable: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_white_space_that_breaks_lines_is_dropped() {
        for (given, kept) in [
            (" {\"a\" : 1}\n", "{\"a\" : 1}"),
            ("{\n\t\"a\":\t\"x\\n\\t\",\r\n \"b\": [1, 2]}", "{\"a\":\"x\\n\\t\", \"b\": [1, 2]}"),
            (
                r#"{"a":1,"a":2,"u":"\ud800","n":1e400,"s":"\/","q":"\"{["}"#,
                r#"{"a":1,"a":2,"u":"\ud800","n":1e400,"s":"\/","q":"\"{["}"#,
            ),
            ("-0.0", "-0.0"),
            ("\"\u{7f}\u{2028}\"", "\"\u{7f}\u{2028}\""),
        ] {
            assert_eq!(NewRecord::json(given).unwrap().body(), kept);
        }
    }

    #[test]
    fn what_is_not_one_json_value_is_refused() {
        for bad in ["", " ", "nan", "NaN", "{", "{} {}", "{'a':1}", "\"a\nb\"", "\"\u{1}\"", "[1,]", "\u{feff}{}", "\0"]
        {
            assert!(matches!(NewRecord::json(bad), Err(RecordError::NotJson { .. })), "{bad:?}");
        }
        assert_eq!(NewRecord::json_bytes(b"\"\xff\""), Err(RecordError::NotUtf8 { offset: 1 }));
    }

    #[test]
    fn nesting_is_counted_from_the_body() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(NewRecord::json(&nested(128)).is_ok());
        assert_eq!(NewRecord::json(&nested(129)), Err(RecordError::TooDeep { limit: 128 }));
        assert_eq!(NewRecord::json(&nested(1_000_000)), Err(RecordError::TooDeep { limit: 128 }));
        let strings = format!("[{}]", vec!["\"[{\""; 500].join(","));
        assert!(NewRecord::json(&strings).is_ok());
    }

    #[test]
    fn kinds_and_ids_have_bounds() {
        let record = || NewRecord::json("1").unwrap();
        assert_eq!(record().kind("mark"), Err(RecordError::ReservedKind));
        assert_eq!(record().kind("Message"), Err(RecordError::BadKind));
        assert_eq!(record().kind("x".repeat(65)), Err(RecordError::BadKind));
        assert!(record().kind("x".repeat(64)).is_ok());
        assert!(record().id(&"\u{1}".repeat(128)).is_ok());
        assert_eq!(record().id(""), Err(RecordError::BadId { length_bytes: 0 }));
        assert_eq!(record().id(&"x".repeat(129)), Err(RecordError::BadId { length_bytes: 129 }));
    }
}
