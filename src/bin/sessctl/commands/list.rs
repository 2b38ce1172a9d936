//! `sessctl list`

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use sesslog::{Listed, Parent, Row, SessionKey, SessionState, Store, Timestamp};

use crate::args::{EXIT_STATUS, Global};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};

/// List sessions, newest first
///
/// Prints one line a session: key, generation, state, records, bytes, time of the last record, title. A transcript that can not
/// be read is reported on standard error and by the exit status.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Number of sessions printed at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Order: times and bytes from high to low, keys from low to high
    #[arg(long, value_enum, default_value_t = Sort::Updated)]
    sort: Sort,
    /// State of the sessions wanted
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Time within which a session must have been updated: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    active: Option<Duration>,
    /// List closed generations of a key, too
    #[arg(long)]
    all_generations: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sort {
    Updated,
    Created,
    Key,
    Bytes,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum State {
    Open,
    Closed,
}

/// A session as `list` and `info` print it.
#[derive(Serialize)]
pub(crate) struct SessionLine<'a> {
    pub(crate) key: &'a str,
    pub(crate) generation: u64,
    id: &'a str,
    parent: Option<&'a Parent>,
    state: &'static str,
    created: Timestamp,
    updated: Timestamp,
    records: u64,
    bytes: u64,
    last_seq: u64,
    last_crc: sesslog::Crc,
    durable_seq: u64,
    title: Option<&'a str>,
    pub(crate) path: String,
}

impl<'a> SessionLine<'a> {
    pub(crate) fn new(store: &Store, row: &'a Row) -> Self {
        Self {
            key: &row.key,
            generation: row.generation,
            id: &row.id,
            parent: row.parent.as_ref(),
            state: row.state.name(),
            created: row.created,
            updated: row.updated,
            records: row.records,
            bytes: row.length_bytes,
            last_seq: row.last_seq,
            last_crc: row.last_crc,
            durable_seq: row.durable_seq,
            title: row.title.as_deref(),
            path: path_of(store, row).to_string_lossy().into_owned(),
        }
    }
}

/// Returns the transcript's path without asking the disk for it.
fn path_of(store: &Store, row: &Row) -> PathBuf {
    let name = SessionKey::new(&row.key).map(|key| key.file_name(row.generation)).unwrap_or_default();
    store.path().join(sesslog::format::TRANSCRIPTS_DIR).join(name)
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    unreadable: u64,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let mut outcome = Outcome::Done;
    let mut rows = Vec::new();
    let mut unreadable = Vec::new();
    for listed in store.sessions()? {
        match listed {
            Listed::Session(row) => rows.push(row),
            Listed::Unreadable { error, .. } => unreadable.push(Failure::Store(error)),
            _ => {}
        }
    }
    select(&mut rows, args);
    if output.is_json() {
        for row in &rows {
            output.object("session", &SessionLine::new(&store, row))?;
        }
    } else {
        print_table(&rows, output)?;
    }
    summary.sessions = u64::try_from(rows.len()).unwrap_or(u64::MAX);
    for failure in unreadable {
        output.failure(&failure);
        outcome.worsen(Outcome::from(&failure));
        summary.unreadable += 1;
    }
    Ok(outcome)
}

fn select(rows: &mut Vec<Row>, args: &Args) {
    if !args.all_generations {
        let mut newest: HashMap<String, u64> = HashMap::new();
        for row in rows.iter() {
            let generation = newest.entry(row.key.clone()).or_default();
            *generation = row.generation.max(*generation);
        }
        rows.retain(|row| newest.get(&row.key) == Some(&row.generation));
    }
    if let Some(state) = args.state {
        rows.retain(|row| match state {
            State::Open => row.state == SessionState::Open,
            State::Closed => row.state == SessionState::Closed,
        });
    }
    if let Some(active) = args.active {
        let active_ms = i64::try_from(active.as_millis()).unwrap_or(i64::MAX);
        let since = Timestamp::from_unix_ms(Timestamp::now().unix_ms().saturating_sub(active_ms));
        rows.retain(|row| row.updated >= since);
    }
    rows.sort_by(|a, b| a.key.cmp(&b.key).then(b.generation.cmp(&a.generation)));
    // Stable: what is equal stays by key.
    match args.sort {
        Sort::Updated => rows.sort_by_key(|row| Reverse(row.updated)),
        Sort::Created => rows.sort_by_key(|row| Reverse(row.created)),
        Sort::Key => {}
        Sort::Bytes => rows.sort_by_key(|row| Reverse(row.length_bytes)),
    }
    rows.truncate(args.limit.unwrap_or(usize::MAX));
}

fn print_table(rows: &[Row], output: &mut Output) -> Result<(), Failure> {
    let cells = |row: &Row| {
        [
            escaped(&row.key).into_owned(),
            row.generation.to_string(),
            row.state.name().to_owned(),
            row.records.to_string(),
            row.length_bytes.to_string(),
            row.updated.to_string(),
            escaped(row.title.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    let mut table = Vec::with_capacity(rows.len());
    // A program that reads the lines wants no header.
    if std::io::stdout().is_terminal() && !rows.is_empty() {
        table.push(["KEY", "GEN", "STATE", "RECORDS", "BYTES", "UPDATED", "TITLE"].map(ToOwned::to_owned));
    }
    table.extend(rows.iter().map(cells));
    let mut widths = [0; 7];
    for row in &table {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let [key_width, generation_width, state_width, records_width, bytes_width, updated_width, _] = widths;
    for [key, generation, state, records, bytes, updated, title] in &table {
        let line = format!(
            "{key:key_width$}  {generation:>generation_width$}  {state:state_width$}  {records:>records_width$}  \
             {bytes:>bytes_width$}  {updated:updated_width$}  {title}"
        );
        output.line(line.trim_end().as_bytes())?;
    }
    Ok(())
}

fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration like 90s, 30m, 2h or 7d".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(unit_seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86400)));
        for bad in ["", "7", "d", "-1d", "1.5h", "1 h", "1y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
