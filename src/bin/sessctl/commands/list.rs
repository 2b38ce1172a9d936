//! `sessctl list`

use std::cmp::Reverse;
use std::time::Duration;

use clap::ValueEnum;
use serde::Serialize;
use sesslog::{Row, SessionState, Timestamp};

use crate::args::{EXIT_STATUS, Global, duration};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};
use crate::sessions::{RUNNING, SessionLine, is_own, retain_newest, sorted_out, state_of};
use crate::table;

/// List sessions, newest first
///
/// Prints one line a session: key, generation, state, records, bytes, time of the last record, title. A transcript that can not
/// be read is reported on standard error and by the exit status.
///
/// Of several states that apply one is shown, the first in the order closed, suspended, running (a turn is open and a live writer
/// holds the session), pending (to be resumed), interrupted (a turn is open and nobody is at it), open.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Number of sessions printed at most
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Order: times and bytes from high to low, keys from low to high
    #[arg(long, value_enum, default_value_t = Sort::Updated)]
    sort: Sort,
    /// State of the sessions wanted, as shown
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Label that the sessions must have; given several times, all of them
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Time within which a session must have been updated: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    active: Option<Duration>,
    /// List closed generations of a key, too
    #[arg(long)]
    all_generations: bool,
    /// List the store's own session, too: ~store, where starts and stops of gateways are kept
    #[arg(long)]
    own: bool,
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
    Interrupted,
    Pending,
    Suspended,
    Closed,
    Running,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Open => SessionState::Open.name(),
            Self::Interrupted => SessionState::Interrupted.name(),
            Self::Pending => SessionState::Pending.name(),
            Self::Suspended => SessionState::Suspended.name(),
            Self::Closed => SessionState::Closed.name(),
            Self::Running => RUNNING,
        }
    }
}

impl Args {
    /// Returns how many are wanted, if it is those that a store has at hand however large it is.
    fn first_page(&self) -> Option<usize> {
        let is_plain = matches!(self.sort, Sort::Updated)
            && self.state.is_none()
            && self.labels.is_empty()
            && self.active.is_none()
            && !self.all_generations
            && !self.own;
        self.limit.filter(|_| is_plain)
    }
}

/// A row, and its state as of now.
type Shown = (Row, &'static str);

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
    let (mut rows, mut unreadable) =
        sorted_out(if let Some(limit) = args.first_page() { store.recent(limit)? } else { store.sessions()? });
    select(&mut rows, args);
    let mut shown: Vec<Shown> = Vec::with_capacity(rows.len());
    for row in rows {
        match state_of(&store, &row) {
            Ok(state) => shown.push((row, state)),
            Err(failure) => unreadable.push(failure),
        }
    }
    if let Some(wanted) = args.state {
        shown.retain(|(_, state)| *state == wanted.name());
    }
    shown.truncate(args.limit.unwrap_or(usize::MAX));
    if output.is_json() {
        for (row, state) in &shown {
            output.object("session", &SessionLine::new(&store, row, state))?;
        }
    } else {
        print_table(&shown, output)?;
    }
    summary.sessions = u64::try_from(shown.len()).unwrap_or(u64::MAX);
    for failure in unreadable {
        output.failure(&failure);
        outcome.worsen(Outcome::from(&failure));
        summary.unreadable += 1;
    }
    Ok(outcome)
}

/// Leaves the rows wanted, in the order wanted, but for what only a look at the locks can tell.
fn select(rows: &mut Vec<Row>, args: &Args) {
    if !args.all_generations {
        retain_newest(rows);
    }
    rows.retain(|row| args.own || !is_own(row));
    rows.retain(|row| args.labels.iter().all(|label| row.status.labels.contains(label)));
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
}

fn print_table(shown: &[Shown], output: &mut Output) -> Result<(), Failure> {
    let cells = |(row, state): &Shown| {
        [
            escaped(&row.key).into_owned(),
            row.generation.to_string(),
            (*state).to_owned(),
            row.records.to_string(),
            row.length_bytes.to_string(),
            row.updated.to_string(),
            escaped(row.title.as_deref().unwrap_or_default()).into_owned(),
        ]
    };
    let rows = shown.iter().map(cells).collect();
    table::print(["KEY", "GEN", "STATE", "RECORDS", "BYTES", "UPDATED", "TITLE"], &[1, 3, 4], rows, output)
}
