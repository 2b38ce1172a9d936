//! `sessctl info`

use std::collections::VecDeque;

use serde::Serialize;
use sesslog::{Error, Flag, Item, Mark, ReadOptions, Record, Row, Session, SessionKey, Timestamp};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::{file_bytes, locate};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped, range_text};
use crate::sessions::{SessionLine, parent_text, state_of};

/// Show what is known of a session
///
/// Counts and sizes cover the transcript up to its end, or up to the first damage; "file bytes" is the size of the whole file.
/// Whether a transcript is sound says verify.
///
/// The last marks follow, the newest last: time, record, mark, and its reason or what else it says. Seals, which a writer leaves
/// whenever it goes idle, are left out; only the last 10,000 records are looked through. show --marks prints all marks.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// Number of marks printed at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    marks: usize,
}

/// Records looked through for marks: a long transcript must not be read whole to find that there are few.
const LOOK_BACK_RECORDS: u64 = 10_000;

#[derive(Serialize)]
struct InfoLine<'a> {
    #[serde(flatten)]
    session: SessionLine<'a>,
    file_bytes: u64,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    marks: u64,
    /// There are older ones, or may be.
    marks_left_out: bool,
}

#[derive(Serialize)]
struct MarkLine<'a> {
    key: &'a str,
    generation: u64,
    seq: u64,
    ts: Timestamp,
    #[serde(flatten)]
    mark: serde_json::Map<String, serde_json::Value>,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let session = store.session(args.key.as_str())?;
    let (generation, path) = locate(&session, args.generation)?;
    let row = session.row_of(Some(generation))?;
    let file_bytes = file_bytes(path.clone())?;
    let state = state_of(&store, &row)?;
    let is_newest = session.generation()? == generation;
    let (marks, left_out) = history(&session, &row, is_newest, args.marks)?;
    summary.sessions = 1;
    summary.marks = u64::try_from(marks.len()).unwrap_or(u64::MAX);
    summary.marks_left_out = left_out;
    if output.is_json() {
        output.object("session", &InfoLine { session: SessionLine::new(&store, &row, state), file_bytes })?;
        for (record, mark) in &marks {
            let (seq, ts, mark) = (record.seq(), record.ts(), fields_of(mark));
            output.object("mark", &MarkLine { key: &row.key, generation, seq, ts, mark })?;
        }
        return Ok(Outcome::Done);
    }
    for (name, value) in fields(&row, state, file_bytes) {
        if let Some(value) = value {
            output.line(format!("{name:12} {value}").as_bytes())?;
        }
    }
    output.line(&[b"path         ", path.as_os_str().as_encoded_bytes()].concat())?;
    for (record, mark) in &marks {
        let (ts, seq, name, text) = (record.ts(), record.seq(), name_of(mark), text_of(mark));
        let line = format!("mark         {ts}  {seq}  {name}  {}", escaped(&text));
        output.line(line.trim_end().as_bytes())?;
    }
    Ok(Outcome::Done)
}

/// What is printed of a row, in order.
fn fields(row: &Row, state: &str, file_bytes: u64) -> [(&'static str, Option<String>); 19] {
    let status = &row.status;
    let flag = |flag: &Flag| format!("since {}  {}", flag.since, escaped(&flag.reason)).trim_end().to_owned();
    let labels: Vec<_> = status.labels.iter().map(|label| escaped(label)).collect();
    [
        ("key", Some(escaped(&row.key).into_owned())),
        ("generation", Some(row.generation.to_string())),
        ("id", Some(escaped(&row.id).into_owned())),
        ("parent", row.parent.as_ref().map(parent_text)),
        ("title", row.title.as_deref().map(|title| escaped(title).into_owned())),
        ("labels", (!labels.is_empty()).then(|| labels.join(", "))),
        ("state", Some(state.to_owned())),
        ("open turn", status.turn.map(|turn| format!("since {}  record {}", turn.since, turn.seq))),
        ("pending", status.pending.as_ref().map(flag)),
        ("suspended", status.suspended.as_ref().map(flag)),
        ("tries", (status.resume_attempts > 0).then(|| status.resume_attempts.to_string())),
        ("created", Some(row.created.to_string())),
        ("updated", Some(row.updated.to_string())),
        ("records", Some(row.records.to_string())),
        ("bytes", Some(row.length_bytes.to_string())),
        ("file bytes", Some(file_bytes.to_string())),
        ("last seq", Some(row.last_seq.to_string())),
        ("last crc", Some(row.last_crc.to_string())),
        ("durable seq", Some(row.durable_seq.to_string())),
    ]
}

/// Returns the last marks but seals, oldest first, and whether there may be more before them.
fn history(
    session: &Session,
    row: &Row,
    is_newest: bool,
    count: usize,
) -> Result<(VecDeque<(Record, Mark)>, bool), Error> {
    let mut marks = VecDeque::new();
    let from_seq = row.last_seq.saturating_sub(LOOK_BACK_RECORDS);
    let mut left_out = from_seq > 0;
    if is_newest {
        for item in session.backward()? {
            let Item::Record(record) = item? else { continue };
            if record.seq() < from_seq {
                break;
            }
            let Some(mark) = record.as_mark().filter(|mark| *mark != Mark::Sealed) else { continue };
            if marks.len() == count {
                left_out = true;
                break;
            }
            marks.push_front((record, mark));
        }
    } else {
        // Only the newest generation is read from its end.
        let options = ReadOptions::new().generation(row.generation).from_seq(from_seq);
        for item in session.read(&options)? {
            let Item::Record(record) = item? else { continue };
            let Some(mark) = record.as_mark().filter(|mark| *mark != Mark::Sealed) else { continue };
            marks.push_back((record, mark));
            if marks.len() > count {
                left_out = true;
                marks.pop_front();
            }
        }
    }
    Ok((marks, left_out))
}

/// A mark as JSON, without the summary of a compaction: that may be as long as any record.
fn fields_of(mark: &Mark) -> serde_json::Map<String, serde_json::Value> {
    let Ok(serde_json::Value::Object(mut fields)) = serde_json::to_value(mark) else { return serde_json::Map::new() };
    fields.remove("summary");
    fields
}

fn name_of(mark: &Mark) -> String {
    let fields = fields_of(mark);
    fields.get("mark").and_then(serde_json::Value::as_str).unwrap_or("unknown").to_owned()
}

/// What a mark says beyond its name.
fn text_of(mark: &Mark) -> String {
    match mark {
        Mark::Reset { reason } | Mark::ResumePending { reason } | Mark::Suspended { reason } => reason.clone(),
        Mark::Title { title } => title.clone(),
        Mark::Labels { labels } => labels.join(", "),
        Mark::Gap { from_seq, to_seq } => format!("{} lost", range_text((*from_seq, *to_seq))),
        Mark::Recovered { bytes, quarantine, .. } => format!("{bytes} bytes to {quarantine}"),
        Mark::TurnEnded { turn, .. } => {
            let outcome = fields_of(mark).get("outcome").and_then(serde_json::Value::as_str).map(ToOwned::to_owned);
            format!("that of record {turn}: {}", outcome.unwrap_or_default())
        }
        Mark::Compacted { keep_from } => format!("up to record {keep_from}"),
        Mark::ResumesFound { sessions } => sessions.to_string(),
        Mark::Deleted { key, generation, purged, .. } => {
            format!("{key} generation {generation}{}", if *purged { ", for good" } else { "" })
        }
        Mark::Restored { key, generation, .. } => format!("{key} generation {generation}"),
        _ => String::new(),
    }
}
