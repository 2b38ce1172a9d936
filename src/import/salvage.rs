//! What a line is to the store: a body byte for byte, or bytes that are kept as they are beside what can be read of them.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::format::NESTING_MAX;
use crate::import::json::Object;
use crate::record::{NewRecord, RecordError};

/// What a search for records in one line may cost, in bytes parsed for each byte of it: a line of nothing but open brackets must
/// not take for ever.
const EFFORT: usize = 16;

/// The line end of a file, as its first line has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Newline {
    #[default]
    Lf,
    CrLf,
}

impl Newline {
    pub(crate) fn of(line: &[u8]) -> Self {
        if line.ends_with(b"\r\n") { Self::CrLf } else { Self::Lf }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Lf => "\n",
            Self::CrLf => "\r\n",
        }
    }

    /// Takes this end from a line; a line with another end, or none, is given back.
    pub(crate) fn strip(self, line: &[u8]) -> Result<&[u8], &[u8]> {
        match (self, line) {
            // Only one of the two is this file's end: the other is a changed byte.
            (Self::Lf, [content @ .., b'\r', b'\n']) if !content.is_empty() => Err(line),
            _ => line.strip_suffix(self.as_str().as_bytes()).ok_or(line),
        }
    }
}

/// Why a line is kept as raw bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing but white space.
    Blank,
    /// A byte-order mark.
    ByteOrderMark,
    /// Another line end than the file's first line.
    LineEnd,
    /// White space around a record, or tabs and carriage returns inside it.
    WhiteSpace,
    /// NUL bytes.
    Nul,
    /// Bytes that are not UTF-8.
    NotUtf8,
    /// Raw control characters in a string.
    ControlCharacter,
    /// Several records on one line.
    Fused,
    /// Arrays and objects inside each other beyond what the store takes.
    TooDeep,
    /// Longer than a record may be.
    TooLong,
    /// The last line, cut off.
    Torn,
    /// None of these, and no JSON.
    NotJson,
}

impl Reason {
    /// Returns the name in a record and in output.
    pub fn name(self) -> &'static str {
        match self {
            Self::Blank => "blank",
            Self::ByteOrderMark => "byte-order-mark",
            Self::LineEnd => "line-end",
            Self::WhiteSpace => "white-space",
            Self::Nul => "nul",
            Self::NotUtf8 => "not-utf-8",
            Self::ControlCharacter => "control-character",
            Self::Fused => "fused",
            Self::TooDeep => "too-deep",
            Self::TooLong => "too-long",
            Self::Torn => "torn",
            Self::NotJson => "not-json",
        }
    }
}

/// A line as the store takes it.
#[derive(Debug)]
pub(crate) enum Kept {
    /// Its bytes without the line end are this body.
    Body(NewRecord),
    /// It can not be a body; these are the records that can be read of it.
    Raw(Reason, Vec<NewRecord>),
}

/// Decides on a whole line with its line end. `is_entry` knows the records of the system: where a record inside another may be
/// one that was fused with it, it decides.
pub(crate) fn keep(line: &[u8], newline: Newline, is_entry: &dyn Fn(&Object<'_>) -> bool) -> Kept {
    let has_end = line.ends_with(b"\n");
    // The last line may lack its end.
    let stripped = newline.strip(line).or_else(|line| if has_end { Err(line) } else { Ok(line) });
    if let Ok(content) = stripped
        && let Some(record) = exact(content)
    {
        return Kept::Body(record);
    }
    let (text, is_utf8) = match std::str::from_utf8(line) {
        Ok(text) => (Cow::Borrowed(text), true),
        Err(_) => (String::from_utf8_lossy(line), false),
    };
    let found = Search::of(&text, is_entry).run();
    let reason = if !is_utf8 {
        Reason::NotUtf8
    } else if text.trim_matches(is_filler).is_empty() && !text.contains('\0') && !text.contains('\u{feff}') {
        Reason::Blank
    } else if text.contains('\0') {
        Reason::Nul
    } else if text.starts_with('\u{feff}') {
        Reason::ByteOrderMark
    } else if found.is_too_deep {
        Reason::TooDeep
    } else if found.records.len() > 1 || found.has_rest && !found.records.is_empty() {
        Reason::Fused
    } else if found.is_cleaned {
        Reason::ControlCharacter
    } else if !found.records.is_empty() {
        if stripped.is_err() { Reason::LineEnd } else { Reason::WhiteSpace }
    } else if has_end {
        Reason::NotJson
    } else {
        Reason::Torn
    };
    Kept::Raw(reason, found.records)
}

/// Takes a text as a body if it is one byte for byte.
fn exact(content: &[u8]) -> Option<NewRecord> {
    let record = NewRecord::json_bytes(content).ok()?;
    (record.body().as_bytes() == content).then_some(record)
}

/// White space, and what damage leaves between records.
fn is_filler(c: char) -> bool {
    matches!(c, ' ' | '\0'..='\u{1f}' | '\u{feff}')
}

/// The search for records in a line that is none.
struct Search<'a> {
    text: &'a str,
    is_entry: &'a dyn Fn(&Object<'_>) -> bool,
    effort: usize,
    /// Behind it there is no control character but the line end.
    last_control: Option<usize>,
    found: Found,
}

#[derive(Default)]
struct Found {
    records: Vec<NewRecord>,
    /// There is something that belongs to no record.
    has_rest: bool,
    /// Control characters were taken for what they stand for.
    is_cleaned: bool,
    is_too_deep: bool,
}

impl<'a> Search<'a> {
    fn of(text: &'a str, is_entry: &'a dyn Fn(&Object<'_>) -> bool) -> Self {
        let effort = text.len().saturating_mul(EFFORT).saturating_add(1 << 16);
        let last_control = text.trim_end_matches('\n').bytes().rposition(|byte| byte < b' ');
        Self { text, is_entry, effort, last_control, found: Found::default() }
    }

    fn run(mut self) -> Found {
        let mut at = 0;
        let mut is_behind_record = true;
        while let Some(rest) = self.text.get(at..).filter(|rest| !rest.is_empty()) {
            let filler = rest.len().saturating_sub(rest.trim_start_matches(is_filler).len());
            if filler > 0 {
                at = at.saturating_add(filler);
                continue;
            }
            let Some(skip) = rest.find('{') else {
                self.found.has_rest = true;
                break;
            };
            self.found.has_rest |= skip > 0;
            is_behind_record &= skip == 0;
            at = at.saturating_add(skip);
            let length = self.record_at(at, is_behind_record);
            is_behind_record = length.is_some();
            self.found.has_rest |= length.is_none();
            at = at.saturating_add(length.unwrap_or(1));
        }
        self.found
    }

    /// Takes the record that begins here, and returns how long it is.
    fn record_at(&mut self, at: usize, is_behind_record: bool) -> Option<usize> {
        let rest = self.text.get(at..)?;
        let (value, length) = self.value(at, rest)?;
        // Inside the remains of another record it may as well be a part of that.
        let before = self.text.get(..at).unwrap_or_default().trim_end().bytes().next_back();
        let is_part = !is_behind_record && matches!(before, Some(b':' | b'[' | b','));
        if is_part && !Object::parse(&value).is_some_and(|object| (self.is_entry)(&object)) {
            return None;
        }
        match NewRecord::json(&value) {
            Ok(record) => self.found.records.push(record),
            Err(RecordError::TooDeep { limit: NESTING_MAX }) => self.found.is_too_deep = true,
            Err(_) => return None,
        }
        Some(length)
    }

    /// Reads the value that a text begins with, if need be with its control characters escaped.
    fn value(&mut self, at: usize, rest: &str) -> Option<(String, usize)> {
        let first = |effort: &mut usize, text: &str| {
            if *effort == 0 {
                return None;
            }
            let mut values = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
            let value = values.next()?.map(|value| value.get().to_owned());
            let read = value.as_ref().map_or_else(serde_json::Error::column, |_| values.byte_offset());
            *effort = effort.saturating_sub(read.max(1));
            Some((value.ok()?, read))
        };
        if let Some(found) = first(&mut self.effort, rest) {
            return Some(found);
        }
        if self.effort == 0 || self.last_control.is_none_or(|control| control < at) {
            return None;
        }
        self.effort = self.effort.saturating_sub(rest.len());
        let (cleaned, escapes) = cleaned(rest);
        let (value, length) = first(&mut self.effort, &cleaned)?;
        self.found.is_cleaned = true;
        // Back from the cleaned text to the one given: every escape is five bytes longer than what it stands for.
        let grown = escapes.iter().take_while(|at| **at < length).count().saturating_mul(5);
        Some((value, length.saturating_sub(grown)))
    }
}

/// Escapes control characters inside strings, and makes those outside white space. Returns where the escapes are.
fn cleaned(text: &str) -> (String, Vec<usize>) {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    let mut escapes = Vec::new();
    let (mut in_string, mut is_escaped) = (false, false);
    for c in text.chars() {
        match c {
            '"' if !is_escaped => in_string = !in_string,
            '\0'..='\u{1f}' if in_string => {
                escapes.push(out.len());
                // Writing to a `String` can not fail.
                write!(out, "\\u{:04x}", u32::from(c)).ok();
                is_escaped = false;
                continue;
            }
            '\0'..='\u{1f}' => {
                out.push(' ');
                continue;
            }
            _ => {}
        }
        is_escaped = in_string && c == '\\' && !is_escaped;
        out.push(c);
    }
    (out, escapes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(line: &[u8]) -> (Option<&'static str>, Vec<String>) {
        let is_entry = |object: &Object<'_>| object.has("role");
        match keep(line, Newline::Lf, &is_entry) {
            Kept::Body(record) => (None, vec![record.body().to_owned()]),
            Kept::Raw(reason, records) => {
                (Some(reason.name()), records.iter().map(|record| record.body().to_owned()).collect())
            }
        }
    }

    #[test]
    fn a_sound_line_is_a_body() {
        for line in ["{\"a\" : 1}\n", "7\n", "{\"a\":\"\\ud800\\u0000\",\"a\":1e400}", "[]\n", "\"\u{7f}\u{2028}\"\n"] {
            let body = line.trim_end_matches('\n');
            assert_eq!(kept(line.as_bytes()), (None, vec![body.to_owned()]), "{line:?}");
        }
        assert!(matches!(keep(b"{}\r\n", Newline::CrLf, &|_| true), Kept::Body(_)));
    }

    #[test]
    fn what_is_readable_of_a_damaged_line_is_read() {
        let a = r#"{"role":"user","content":"a"}"#;
        let b = r#"{"role":"assistant","content":"b"}"#;
        let deep = format!("{{\"x\":{}{}}}", "[".repeat(200), "]".repeat(200));
        for (line, reason, records) in [
            (format!("{a}{b}\n"), "fused", vec![a, b]),
            (format!("{a} {b}"), "fused", vec![a, b]),
            (format!("{}{b}\n", &a[..20]), "fused", vec![b]),
            (format!("{}{b}\n", &a[..15]), "fused", vec![b]),
            (format!("{a}{}\n", &b[..20]), "fused", vec![a]),
            (format!("\"tail\"}}{a}\n"), "fused", vec![a]),
            (format!("\u{feff}{a}\n"), "byte-order-mark", vec![a]),
            (format!("{a}\r\n"), "line-end", vec![a]),
            (format!(" {a}\n"), "white-space", vec![a]),
            (format!("\0\0\0{a}\n"), "nul", vec![a]),
            (format!("{a}\0\0{b}\0\n"), "nul", vec![a, b]),
            ("\0\0\0\0\n".to_owned(), "nul", vec![]),
            ("\n".to_owned(), "blank", vec![]),
            (" \t\r\n".to_owned(), "blank", vec![]),
            ("\r\n".to_owned(), "blank", vec![]),
            (a[..20].to_owned(), "torn", vec![]),
            (format!("{}\n", &a[..20]), "not-json", vec![]),
            ("no JSON\n".to_owned(), "not-json", vec![]),
            (format!("{deep}\n"), "too-deep", vec![]),
            // A part of a record is none.
            ("{\"message\":{\"content\":\"x\"}\n".to_owned(), "not-json", vec![]),
            ("{\"message\":{\"role\":\"user\"}\n".to_owned(), "fused", vec!["{\"role\":\"user\"}"]),
        ] {
            assert_eq!(
                kept(line.as_bytes()),
                (Some(reason), records.iter().map(ToString::to_string).collect()),
                "{line:?}"
            );
        }
    }

    #[test]
    fn bad_bytes_are_replaced_and_control_characters_escaped() {
        assert_eq!(kept(b"{\"a\":\"x\xffy\"}\n"), (Some("not-utf-8"), vec!["{\"a\":\"x\u{fffd}y\"}".to_owned()]));
        assert_eq!(
            kept(b"{\"a\":\"x\ty\x01\",\t\"b\":1}{\"c\":\"\x02\"}\n"),
            (Some("fused"), vec!["{\"a\":\"x\\u0009y\\u0001\", \"b\":1}".to_owned(), "{\"c\":\"\\u0002\"}".to_owned()])
        );
        assert_eq!(kept(b"{\"a\":\"x\x1b\"}\n"), (Some("control-character"), vec!["{\"a\":\"x\\u001b\"}".to_owned()]));
        assert_eq!(kept(b"{\"a\":\"\0\0\"}\n"), (Some("nul"), vec!["{\"a\":\"\\u0000\\u0000\"}".to_owned()]));
    }

    #[test]
    fn hostile_lines_end() {
        for text in
            ["{\"a\":".repeat(1 << 16), "{\"a\":\"".repeat(1 << 16), "{\"\t".repeat(1 << 16), "{".repeat(1 << 20)]
        {
            assert_eq!(kept(text.as_bytes()).1, Vec::<String>::new());
        }
    }
}
