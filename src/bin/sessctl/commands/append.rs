//! `sessctl append`

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sesslog::format::{COMMIT_BYTES_MAX, RECORD_BYTES_MAX_DEFAULT};
use sesslog::{
    Durability, Error, KeyError, NewRecord, Options, Receipt, RecordError, SessionKey, Store, TimestampError,
};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::lines::{Line, Lines};
use crate::outcome::{Failure, Outcome, hint};
use crate::render::{Output, escaped};

/// What a line may have around its body: a key and an id of which every byte is escaped, field names, white space.
const ENVELOPE_BYTES: usize = 16 * 1024;
const LINE_BYTES_MAX: usize = RECORD_BYTES_MAX_DEFAULT + ENVELOPE_BYTES;
/// Sessions that commit at the same time: a disk has its fill of syncs with that many.
const COMMITS_MAX: usize = 16;

/// Append JSON lines from standard input
///
/// Appends each line as a record and prints an acknowledgement (KEY SEQ) for each, only once it is durable. A bad line is reported,
/// the rest goes on. A commit takes all lines that are waiting, none waits for more. Makes the store if it is missing.
///
/// Without KEY each line is {"key":...,"body":...}, optionally with "kind", "id" and "ts" (2026-11-22T08:15:30.123Z).
///
/// SIGTERM and SIGINT end it properly: what was read from standard input and is not acknowledged was not appended.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session; without it every line names its own
    #[arg(value_parser = session_key)]
    key: Option<SessionKey>,
    /// Kind of the records; "message" by default
    #[arg(long, value_name = "K", requires = "key", value_parser = kind)]
    kind: Option<String>,
    /// Acknowledge before it is durable; make all durable at the end and on SIGTERM
    #[arg(long)]
    buffered: bool,
}

#[derive(Serialize)]
struct AckLine<'a> {
    key: &'a str,
    generation: u64,
    seq: u64,
    durable: bool,
}

#[derive(Default, Serialize)]
struct Summary {
    /// Records acknowledged.
    records: u64,
    /// Lines that were not appended.
    errors: u64,
    /// Whether all records acknowledged are durable by now.
    durable: bool,
}

/// Why a line was not appended.
#[derive(Debug, thiserror::Error)]
enum LineError {
    #[error("line is longer than {LINE_BYTES_MAX} bytes")]
    TooLong,
    #[error("line is not valid JSON: {reason}")]
    NotJson { reason: String },
    // Of what exactly is wrong the parser speaks in the caller's words, which are not ours to print.
    #[error("line is not an object of key, body and optionally kind, id and ts (column {column})")]
    Envelope { column: usize },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Time(#[from] TimestampError),
    #[error(transparent)]
    Store(Error),
}

impl LineError {
    /// Says a bad record as the checks before the append do.
    fn of(error: Error) -> Self {
        if let Error::Record(error) = error { Self::Record(error) } else { Self::Store(error) }
    }
}

impl From<&LineError> for Outcome {
    fn from(error: &LineError) -> Self {
        if let LineError::Store(error) = error { Self::from(error) } else { Self::Failed }
    }
}

/// A line without a key of the command line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Envelope<'a> {
    key: String,
    kind: Option<String>,
    id: Option<String>,
    ts: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

/// The lines of one key in a round.
struct Group {
    key: SessionKey,
    /// Where the answers go, in order.
    places: Vec<usize>,
    records: Vec<NewRecord>,
}

type Answer = Result<Receipt, LineError>;

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = append(args, global, output, &mut summary);
    if result.as_ref().is_err_and(Failure::is_closed_pipe) {
        // Quiet, but not done: what was not acknowledged was not appended.
        return Outcome::Failed;
    }
    output.finish(&summary, result)
}

fn append(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    if args.key.as_ref().is_some_and(SessionKey::is_reserved) {
        return Err(Failure::Store(KeyError::Reserved.into()));
    }
    let durability = if args.buffered { Durability::Buffered } else { Durability::Sync };
    let store = global.open_or_create(Options::new().durability(durability))?;
    let lines = Arc::new(Lines::new(COMMIT_BYTES_MAX, LINE_BYTES_MAX));
    stop_on_signals(&lines)?;
    read_in_background(&lines)?;
    let mut appender = Appender { args, store, outcome: Outcome::Done, failed_keys: HashMap::new(), hinted: false };
    let appended = appender.append_all(&lines, output, summary);
    lines.stop();
    // Also after an error: what was acknowledged is to be kept.
    let closed = appender.close(output, summary);
    closed.and(appended)?;
    Ok(appender.outcome)
}

fn kind(text: &str) -> Result<String, RecordError> {
    NewRecord::json("null")?.kind(text.to_owned()).map(|_| text.to_owned())
}

/// Lets SIGTERM and SIGINT end the input. The second one ends the process.
fn stop_on_signals(lines: &Arc<Lines>) -> Result<(), Failure> {
    let lines = Arc::clone(lines);
    let mut signals = Signals::new([SIGTERM, SIGINT]).map_err(Failure::Signals)?;
    let wait = move || {
        let mut is_first = true;
        for signal in signals.forever() {
            if !is_first {
                signal_hook::low_level::emulate_default_handler(signal).ok();
            }
            is_first = false;
            lines.stop();
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(wait).map(drop).map_err(Failure::Thread)
}

/// Reads in a thread of its own, which is left behind when it is blocked at the end.
fn read_in_background(lines: &Arc<Lines>) -> Result<(), Failure> {
    let lines = Arc::clone(lines);
    let read = move || lines.read_all(std::io::stdin());
    std::thread::Builder::new().name("stdin".to_owned()).spawn(read).map(drop).map_err(Failure::Thread)
}

struct Appender<'a> {
    args: &'a Args,
    store: Store,
    outcome: Outcome,
    /// Sessions that can not be written to any more, and why: a later line must not pass an earlier one.
    failed_keys: HashMap<SessionKey, Error>,
    hinted: bool,
}

impl Appender<'_> {
    fn append_all(&mut self, lines: &Lines, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
        loop {
            let taken = lines.take();
            if taken.is_empty() {
                break;
            }
            let numbers: Vec<u64> = taken.iter().map(|line| line.number).collect();
            let answers = self.append_round(taken);
            for (number, answer) in numbers.into_iter().zip(answers) {
                self.print(number, answer, output, summary)?;
            }
            output.flush()?;
            if self.args.key.as_ref().is_some_and(|key| self.failed_keys.contains_key(key)) {
                // The only session there is.
                return Ok(self.outcome);
            }
        }
        lines.failure().map_or(Ok(self.outcome), |error| Err(Failure::Input(error)))
    }

    /// Appends lines, one batch a key, and returns an answer for each.
    fn append_round(&mut self, lines: Vec<Line>) -> Vec<Answer> {
        let mut answers: Vec<Option<Answer>> = Vec::with_capacity(lines.len());
        let mut groups: Vec<Group> = Vec::new();
        let mut group_of: HashMap<SessionKey, usize> = HashMap::new();
        for (place, line) in lines.into_iter().enumerate() {
            let (key, record) = match self.parse(line) {
                Ok(parsed) => parsed,
                Err(error) => {
                    answers.push(Some(Err(error)));
                    continue;
                }
            };
            answers.push(None);
            let at = *group_of.entry(key.clone()).or_insert_with(|| {
                groups.push(Group { key, places: Vec::new(), records: Vec::new() });
                groups.len().saturating_sub(1)
            });
            if let Some(group) = groups.get_mut(at) {
                group.places.push(place);
                group.records.push(record);
            }
        }
        for (place, answer) in self.commit(groups) {
            if let Some(slot) = answers.get_mut(place) {
                *slot = Some(answer);
            }
        }
        answers.into_iter().map(|answer| answer.unwrap_or(Err(LineError::Store(Error::Closed)))).collect()
    }

    fn parse(&self, line: Line) -> Result<(SessionKey, NewRecord), LineError> {
        let text = line.text.ok_or(LineError::TooLong)?;
        if let Some(key) = &self.args.key {
            let record = NewRecord::json_bytes(&text)?;
            return Ok(match &self.args.kind {
                Some(kind) => (key.clone(), record.kind(kind.clone())?),
                None => (key.clone(), record),
            });
        }
        if text.trim_ascii_start().first() == Some(&b'[') {
            // The parser would take an array of the fields' values, too.
            return Err(LineError::Envelope { column: 1 });
        }
        let envelope: Envelope<'_> = serde_json::from_slice(&text).map_err(|error| match error.classify() {
            serde_json::error::Category::Data => LineError::Envelope { column: error.column() },
            _ => LineError::NotJson { reason: error.to_string() },
        })?;
        let key = SessionKey::new(&envelope.key)?;
        if key.is_reserved() {
            return Err(KeyError::Reserved.into());
        }
        if let Some(error) = self.failed_keys.get(&key) {
            return Err(LineError::Store(error.clone()));
        }
        let mut record = NewRecord::json(envelope.body.get())?;
        if let Some(kind) = envelope.kind {
            record = record.kind(kind)?;
        }
        if let Some(id) = &envelope.id {
            record = record.id(id)?;
        }
        if let Some(ts) = &envelope.ts {
            record = record.at(ts.parse()?);
        }
        Ok((key, record))
    }

    /// Commits all groups, some at the same time, and returns each line's place and answer.
    fn commit(&mut self, groups: Vec<Group>) -> Vec<(usize, Answer)> {
        let helpers = groups.len().min(COMMITS_MAX).saturating_sub(1);
        let slots: Vec<Mutex<Option<Group>>> = groups.into_iter().map(|group| Mutex::new(Some(group))).collect();
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::new());
        let work = || {
            while let Some(slot) = slots.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Some(group) = slot.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    let committed = commit_group(&self.store, group);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push(committed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..helpers {
                // Without helpers the groups are committed one after the other.
                std::thread::Builder::new().spawn_scoped(scope, work).ok();
            }
            work();
        });
        let mut answers = Vec::new();
        for committed in done.into_inner().unwrap_or_else(PoisonError::into_inner) {
            if let Some((key, error)) = committed.fatal {
                self.failed_keys.insert(key, error);
            }
            answers.extend(committed.answers);
        }
        answers
    }

    fn print(&mut self, line: u64, answer: Answer, output: &mut Output, summary: &mut Summary) -> Result<(), Failure> {
        match answer {
            Ok(receipt) => {
                summary.records += 1;
                let (key, seq) = (receipt.key.as_str(), receipt.seq);
                if output.is_json() {
                    let durable = receipt.durable && !self.args.buffered;
                    output.object("ack", &AckLine { key, generation: receipt.generation, seq, durable })
                } else {
                    output.line(format!("{} {seq}", escaped(key)).as_bytes())
                }
            }
            Err(error) => {
                summary.errors += 1;
                self.outcome.worsen(Outcome::from(&error));
                output.bad_line(line, &error)?;
                if let (LineError::Store(error), false) = (&error, self.hinted)
                    && let Some(hint) = hint(error)
                {
                    // Once is enough.
                    self.hinted = true;
                    output.hint(&hint);
                }
                Ok(())
            }
        }
    }

    /// Makes everything durable and closes the store.
    fn close(&mut self, output: &mut Output, summary: &mut Summary) -> Result<(), Failure> {
        let flushed = self.store.close()?;
        summary.durable = flushed.failures.is_empty();
        if let Some(error) = flushed.registry {
            // A cache that could not be saved loses nothing that was acknowledged.
            let what = Failure::Store(error).to_string();
            output.say(&format!("warning: the registry was not saved: {}", escaped(&what)));
        }
        for (key, error) in flushed.failures {
            let failure = Failure::Store(error);
            // What poisoned a session while it was appended to was told with its lines.
            if !self.failed_keys.contains_key(&key) {
                output.failure(&failure);
            }
            self.outcome.worsen(Outcome::from(&failure));
        }
        Ok(())
    }
}

struct Committed {
    answers: Vec<(usize, Answer)>,
    /// Set when nothing more can be appended to the session.
    fatal: Option<(SessionKey, Error)>,
}

/// Appends a session's records: what is small as one batch. A record that fills a commit goes alone, so that one over the
/// limit, which fails its whole batch, takes no other along; and after an id that was used for another record, each of its batch.
fn commit_group(store: &Store, group: Group) -> Committed {
    let Group { key, places, records } = group;
    let mut fatal = None;
    let mut results: Vec<Result<Receipt, Error>> = Vec::with_capacity(places.len());
    let mut records = VecDeque::from(records);
    let mut alone = 0_usize;
    while let Some(first) = records.pop_front() {
        let fills_a_commit = |record: &NewRecord| record.body().len() > COMMIT_BYTES_MAX;
        let mut batch = vec![first];
        if alone == 0 && !batch.iter().any(fills_a_commit) {
            let small = records.iter().take_while(|record| !fills_a_commit(record)).count();
            batch.extend(records.drain(..small));
        }
        alone = alone.saturating_sub(1);
        let count = batch.len();
        let again = if count > 1 && batch.iter().any(NewRecord::has_id) { batch.clone() } else { Vec::new() };
        let appended = match &fatal {
            Some(error) => Err(Error::clone(error)),
            None => store.session(key.as_str()).and_then(|session| session.append_batch(batch)),
        };
        if matches!(appended, Err(Error::IdReused { .. })) && !again.is_empty() {
            alone = again.len();
            again.into_iter().rev().for_each(|record| records.push_front(record));
            continue;
        }
        let (receipts, error) = match appended {
            Ok(receipts) => (receipts, None),
            Err(Error::Partial { receipts, source }) => (receipts, Some(*source)),
            Err(error) => (Vec::new(), Some(error)),
        };
        let lacking = count.saturating_sub(receipts.len());
        results.extend(receipts.into_iter().map(Ok));
        if let Some(error) = error {
            results.extend(std::iter::repeat_n(error.clone(), lacking).map(Err));
            // After these the session goes on: nothing of the batch was kept, and the next may find room, or a descriptor.
            // Everything else would fail again, or leave open what came before.
            if !matches!(error, Error::WriteFailed { .. } | Error::Record(_) | Error::Io(_) | Error::IdReused { .. }) {
                fatal = Some(error);
            }
        }
    }
    let answers = results.into_iter().map(|result| result.map_err(LineError::of));
    Committed { answers: places.into_iter().zip(answers).collect(), fatal: fatal.map(|error| (key, error)) }
}
