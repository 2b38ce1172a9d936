//! What users and programs see: text or JSON lines on standard output, errors and talk on standard error.
//!
//! With `--json` everything but progress is a JSON line on standard output, errors included; the summary is always the last.
//! Record bodies pass through byte for byte, but to a terminal: there control characters in them are shown as JSON spells
//! them. Keys and titles are the callers' text: what a terminal would take as a command is
//! escaped in text output.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufWriter, IsTerminal as _, StdoutLock, Write as _};

use serde::Serialize;
use serde_json::value::RawValue;
use sesslog::{Gap, Item, Record, SessionKey};

use crate::outcome::{Failure, Outcome};

const BUFFER_BYTES: usize = 64 * 1024;
const RED: &str = "\x1b[1;31m";
const BOLD: &str = "\x1b[1m";
const PLAIN: &str = "\x1b[0m";

/// Standard output, text or JSON.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
    /// Somebody looks at it, so what is in bodies and paths must not be taken as a command.
    terminal: bool,
    out: BufWriter<StdoutLock<'static>>,
}

/// A JSON line of some type.
#[derive(Serialize)]
struct Typed<'a, T: Serialize> {
    #[serde(rename = "type")]
    name: &'static str,
    #[serde(flatten)]
    value: &'a T,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    error: &'a str,
    caused_by: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct SummaryLine<'a, S: Serialize> {
    #[serde(flatten)]
    summary: &'a S,
    status: &'static str,
}

/// Where a record or a gap was read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) key: &'a SessionKey,
    pub(crate) generation: u64,
}

/// What was printed of a session, as summaries count it.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Printed {
    records: u64,
    gaps: u64,
}

impl Printed {
    /// Prints a record or damage in between records, and says what that comes to.
    pub(crate) fn item(
        &mut self,
        origin: Origin<'_>,
        item: &Item,
        frame: bool,
        output: &mut Output,
    ) -> Result<Outcome, Failure> {
        match item {
            Item::Record(record) => {
                let outcome = output.record(origin, record, frame)?;
                self.records += 1;
                Ok(outcome)
            }
            Item::Gap(gap) => {
                output.gap(origin, gap)?;
                self.gaps += 1;
                Ok(Outcome::Damaged)
            }
            _ => Ok(Outcome::Done),
        }
    }

    /// Names the next command, if damage was printed.
    pub(crate) fn hint(&self, output: &mut Output) -> Result<(), Failure> {
        if self.gaps > 0 {
            output.flush()?;
            output.hint("sessctl verify, to see which command mends it");
        }
        Ok(())
    }
}

#[derive(Serialize)]
pub(crate) struct RecordLine<'a> {
    pub(crate) key: &'a str,
    pub(crate) generation: u64,
    pub(crate) seq: u64,
    pub(crate) ts: sesslog::Timestamp,
    pub(crate) kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<&'a str>,
    pub(crate) crc: sesslog::Crc,
    pub(crate) durable: u64,
    /// The line as it stands in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) frame: Option<&'a str>,
    pub(crate) body: &'a RawValue,
}

#[derive(Serialize)]
struct GapLine<'a> {
    key: &'a str,
    generation: u64,
    offset: u64,
    bytes: u64,
    seq: u64,
    from_seq: Option<u64>,
    to_seq: Option<u64>,
    defect: &'static str,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        let stdout = io::stdout().lock();
        Self { json, terminal: stdout.is_terminal(), out: BufWriter::with_capacity(BUFFER_BYTES, stdout) }
    }

    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Says whether somebody looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Prints bytes as a line: as they are, but to a terminal.
    pub(crate) fn line(&mut self, text: &[u8]) -> Result<(), Failure> {
        let text = if self.terminal { escaped_json(text) } else { Cow::Borrowed(text) };
        self.out.write_all(&text).and_then(|()| self.out.write_all(b"\n")).map_err(Failure::Output)
    }

    /// Prints a part of a longer text: as it is, but to a terminal, where only line ends and tabs are taken as they are.
    pub(crate) fn text(&mut self, part: &[u8]) -> io::Result<()> {
        if !self.terminal {
            return self.out.write_all(part);
        }
        let text = String::from_utf8_lossy(part);
        for piece in text.split_inclusive(['\n', '\t']) {
            let (shown, end) = match piece.char_indices().next_back() {
                Some((at, '\n' | '\t')) => piece.split_at(at),
                _ => (piece, ""),
            };
            self.out.write_all(escaped(shown).as_bytes())?;
            self.out.write_all(end.as_bytes())?;
        }
        Ok(())
    }

    /// Prints bytes as they are: a file for another program.
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.out.write_all(bytes).map_err(Failure::Output)
    }

    /// Prints a JSON line.
    pub(crate) fn object(&mut self, name: &'static str, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_vec(&Typed { name, value }).map_err(|error| Failure::Output(error.into()))?;
        self.line(&text)
    }

    /// Gives everything printed so far to whoever reads it.
    pub(crate) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(Failure::Output)
    }

    /// Prints a record: its body or, with `frame`, its whole line.
    pub(crate) fn record(&mut self, origin: Origin<'_>, record: &Record, frame: bool) -> Result<Outcome, Failure> {
        if !self.json {
            self.line(if frame { record.line() } else { record.body() }.as_bytes())?;
            return Ok(Outcome::Done);
        }
        let Ok(body) = serde_json::from_str::<&RawValue>(record.body()) else {
            // Another program wrote it; as part of a JSON line it would spoil that, too.
            let error = format!("body of record {} is not JSON; look at it without --json", record.seq());
            self.object("error", &ErrorLine { line: None, error: &error, caused_by: &[], hint: None })?;
            return Ok(Outcome::Damaged);
        };
        let line = RecordLine {
            key: origin.key.as_str(),
            generation: origin.generation,
            seq: record.seq(),
            ts: record.ts(),
            kind: record.kind(),
            id: record.id(),
            crc: record.crc(),
            durable: record.durable(),
            frame: frame.then(|| record.line()),
            body,
        };
        self.object("record", &line)?;
        Ok(Outcome::Done)
    }

    /// Prints damage in between records. In text it is talk: standard output holds records only.
    pub(crate) fn gap(&mut self, origin: Origin<'_>, gap: &Gap) -> Result<(), Failure> {
        let (from_seq, to_seq) = gap.lost.unzip();
        if self.json {
            let line = GapLine {
                key: origin.key.as_str(),
                generation: origin.generation,
                offset: gap.offset,
                bytes: gap.bytes,
                seq: gap.expected_seq,
                from_seq,
                to_seq,
                defect: gap.defect.name(),
            };
            return self.object("gap", &line);
        }
        // What was printed before it should also be seen before it.
        self.flush()?;
        self.say(&format!("gap: {}", gap_text(gap)));
        Ok(())
    }

    /// Talks to a person; programs have the JSON lines.
    pub(crate) fn say(&self, text: &str) {
        if !self.json {
            talk(text);
        }
    }

    /// Reports an error.
    pub(crate) fn failure(&mut self, failure: &Failure) {
        let causes = causes(failure);
        let what = failure.to_string();
        if self.json {
            let line = ErrorLine { line: None, error: &what, caused_by: &causes, hint: failure.hint() };
            // Where that is what fails a person may still read the other stream.
            if self.object("error", &line).and_then(|()| self.flush()).is_ok() {
                return;
            }
        }
        self.flush().ok();
        let mut text = format!("{RED}error:{PLAIN} {}", escaped(&what));
        for cause in &causes {
            // Writing to a `String` can not fail.
            write!(text, "\ncaused by: {}", escaped(cause)).ok();
        }
        talk(&text);
        if let Some(hint) = failure.hint() {
            self.hint(&hint);
        }
    }

    /// Reports a line of standard input that was not appended.
    pub(crate) fn bad_line(&mut self, line: u64, error: &(dyn std::error::Error + 'static)) -> Result<(), Failure> {
        let what = error.to_string();
        let causes = causes(error);
        if self.json {
            return self.object("error", &ErrorLine { line: Some(line), error: &what, caused_by: &causes, hint: None });
        }
        // One line each: there may be many.
        let mut text = format!("{RED}error:{PLAIN} line {line}: {}", escaped(&what));
        for cause in &causes {
            write!(text, ": {}", escaped(cause)).ok();
        }
        talk(&text);
        Ok(())
    }

    /// Names the next command.
    pub(crate) fn hint(&self, text: &str) {
        self.say(&format!("{BOLD}hint:{PLAIN} {}", escaped(text)));
    }

    /// Ends a command: the error if there was one, the summary, and what it all came to.
    pub(crate) fn finish(&mut self, summary: &impl Serialize, result: Result<Outcome, Failure>) -> Outcome {
        self.finish_as(summary, result, Outcome::name)
    }

    /// [`finish`](Self::finish) for a command that prints a file, with `--json` too.
    pub(crate) fn finish_plain(&mut self, result: Result<Outcome, Failure>) -> Outcome {
        self.json = false;
        self.finish(&(), result)
    }

    /// [`finish`](Self::finish) with a command's own names of outcomes.
    pub(crate) fn finish_as(
        &mut self,
        summary: &impl Serialize,
        result: Result<Outcome, Failure>,
        name: impl Fn(Outcome) -> &'static str,
    ) -> Outcome {
        let (outcome, failed) = match result {
            Ok(outcome) => (outcome, false),
            Err(failure) if failure.is_closed_pipe() => return Outcome::Done,
            Err(failure) => {
                self.failure(&failure);
                (Outcome::from(&failure), true)
            }
        };
        let printed = if self.json {
            self.object("summary", &SummaryLine { summary, status: name(outcome) }).and_then(|()| self.flush())
        } else {
            self.flush()
        };
        match printed {
            Ok(()) => outcome,
            Err(failure) if failure.is_closed_pipe() => {
                if failed {
                    outcome
                } else {
                    Outcome::Done
                }
            }
            Err(failure) => {
                self.failure(&failure);
                outcome.max(Outcome::from(&failure))
            }
        }
    }
}

/// Says in one clause what a gap is.
pub(crate) fn gap_text(gap: &Gap) -> String {
    let mut text = format!("{} at byte {} (record {})", gap.defect, gap.offset, gap.expected_seq);
    if gap.bytes > 0 {
        write!(text, ", {} bytes", gap.bytes).ok();
    }
    if let Some(lost) = gap.lost {
        write!(text, ", {} lost", range_text(lost)).ok();
    }
    text
}

/// Spells a range of records.
pub(crate) fn range_text((from_seq, to_seq): (u64, u64)) -> String {
    if from_seq == to_seq { format!("record {from_seq}") } else { format!("records {from_seq} to {to_seq}") }
}

/// Spells a number of things.
pub(crate) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

/// Spells the causes of an error, the nearest first.
pub(crate) fn causes(error: &dyn std::error::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        causes.push(error.to_string());
        cause = error.source();
    }
    causes
}

/// Writes to standard error; colours only where they are wanted (`NO_COLOR`, no terminal). Nobody to talk to is no error.
fn talk(text: &str) {
    let mut stderr = anstream::stderr().lock();
    writeln!(stderr, "{text}").ok();
}

fn harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// [`escaped`] for a line of JSON: as JSON spells it, which is the same value. In valid JSON such characters occur inside
/// strings only.
fn escaped_json(line: &[u8]) -> Cow<'_, [u8]> {
    let text = String::from_utf8_lossy(line);
    if !text.contains(harmful) {
        return Cow::Borrowed(line);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            // All of them are below U+10000. Writing to a `String` can not fail.
            write!(out, "\\u{:04x}", u32::from(c)).ok();
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out.into_bytes())
}

/// Replaces what a terminal would take as a command, or what would reorder a line: control characters and the Unicode marks
/// of direction and line end.
pub(crate) fn escaped(text: &str) -> Cow<'_, str> {
    if !text.contains(harmful) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_key_can_talk_to_the_terminal() {
        assert_eq!(escaped("a\x1b]0;b\x07\n\u{9b}2J\u{202e}"), r"a\u{1b}]0;b\u{7}\n\u{9b}2J\u{202e}");
        let body = "{\"t\":\"\u{9b}2J\u{7f}\u{202e}\u{e9}\"}";
        assert_eq!(escaped_json(body.as_bytes()), "{\"t\":\"\\u009b2J\\u007f\\u202e\u{e9}\"}".as_bytes());
        assert_eq!(escaped("plain \u{e9} \u{1f600}"), "plain \u{e9} \u{1f600}");
    }
}
