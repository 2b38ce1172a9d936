//! `sessctl grep`

use std::ops::ControlFlow;
use std::sync::mpsc;

use grep_matcher::{LineMatchKind, Matcher as _};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use serde::Serialize;
use sesslog::{Found, Item, Needle, ReadOptions, Record, SearchOptions, Searched, SessionKey, Store};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::outcome::{Failure, Outcome};
use crate::progress::with_bar;
use crate::render::{Origin, Output, escaped, gap_text};

/// Of what was found, waiting to be printed.
const FOUND_MAX: usize = 16;
/// Shown of a body on a terminal, before and behind the first match.
const SHOWN_BEFORE: usize = 40;
const SHOWN_BEHIND: usize = 160;

/// Search the bodies of records
///
/// Prints every record whose body matches: key, generation, seq, time and body. The pattern is a regular expression in the syntax of
/// ripgrep; it is compared with the body as it stands in the file, where JSON spells a quote as \" and a new line as \n. With --text it
/// is compared with each string in the body instead, as it was before JSON.
///
/// Looks at all generations of all sessions, in any order; the records of a session come in theirs. What is printed is sound;
/// whether what lies between is, verify says. Without a match the exit status is 0, too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
#[allow(clippy::struct_excessive_bools, reason = "the switches of a command line")]
pub(crate) struct Args {
    /// What to look for
    pattern: String,
    /// Keys of the sessions to look at; all by default
    #[arg(value_name = "KEY", value_parser = session_key)]
    keys: Vec<SessionKey>,
    /// Letters match whatever their case
    #[arg(short, long)]
    ignore_case: bool,
    /// The pattern is plain text
    #[arg(short = 'F', long)]
    fixed_strings: bool,
    /// Only whole words match
    #[arg(short, long)]
    word_regexp: bool,
    /// Compare with the strings in a body, not with how JSON spells them
    #[arg(long)]
    text: bool,
    /// Records to print before and behind each, too
    #[arg(short = 'C', long, value_name = "N", default_value_t = 0)]
    context: u64,
    /// Print only the keys of the sessions, each once a generation
    #[arg(short = 'l', long, conflicts_with_all = ["context", "count"])]
    sessions_with_matches: bool,
    /// Print only the number of records of each session
    #[arg(short, long, conflicts_with = "context")]
    count: bool,
    /// Look only at records of this kind
    #[arg(long, value_name = "KIND")]
    kind: Option<String>,
    /// Look at the store's own marks, too
    #[arg(long)]
    marks: bool,
    /// Number of transcripts read at once; 0 stands for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    bytes: u64,
    records: u64,
    gaps: u64,
}

/// A session with what was found in it, counted.
#[derive(Serialize)]
struct SessionLine<'a> {
    key: &'a str,
    generation: u64,
    records: usize,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let pattern = Pattern::of(args)?;
    let store = global.open_read_only()?;
    let options = SearchOptions::new().marks(args.marks).jobs(args.jobs);
    let options = args.keys.iter().cloned().fold(options, SearchOptions::key);
    let (tell, told) = mpsc::sync_channel::<Found>(FOUND_MAX);
    let mut printer = Printer { args, store: &store, pattern: &pattern, output, counted: None, outcome: Outcome::Done };
    let searched = std::thread::scope(|scope| {
        let search = std::thread::Builder::new().spawn_scoped(scope, || {
            let tell = tell;
            let found =
                |found| if tell.send(found).is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            with_bar(|progress| store.search(&pattern, &options, progress, &found))
        });
        let search = search.map_err(Failure::Thread)?;
        // Whoever reads our output may go away: dropping this ends the search.
        let printed = { told }.into_iter().try_for_each(|found| printer.found(&found));
        let searched = search.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        printed.and_then(|()| printer.end_session()).and(searched.map_err(Failure::Store))
    })?;
    let mut outcome = printer.outcome;
    let Searched { sessions, bytes, records, gaps, failures, .. } = searched;
    (summary.sessions, summary.bytes, summary.records, summary.gaps) = (sessions, bytes, records, gaps);
    for (_, error) in failures {
        let failure = Failure::Store(error);
        outcome.worsen(Outcome::from(&failure));
        output.failure(&failure);
    }
    if gaps > 0 {
        output.flush()?;
        output.hint("sessctl verify, to see which command mends it");
    }
    Ok(outcome)
}

/// Prints what was found.
struct Printer<'a> {
    args: &'a Args,
    store: &'a Store,
    pattern: &'a Pattern,
    output: &'a mut Output,
    /// The session of which records are counted.
    counted: Option<(SessionKey, u64, usize)>,
    outcome: Outcome,
}

impl Printer<'_> {
    fn found(&mut self, found: &Found) -> Result<(), Failure> {
        let origin = Origin { key: &found.key, generation: found.generation };
        let records = found.items.iter().filter(|item| matches!(item, Item::Record(_))).count();
        for item in &found.items {
            if let Item::Gap(gap) = item {
                self.outcome.worsen(Outcome::Damaged);
                if self.output.is_json() {
                    self.output.gap(origin, gap)?;
                } else {
                    self.output.flush()?;
                    self.output.say(&format!(
                        "{} generation {}: {}",
                        escaped(found.key.as_str()),
                        found.generation,
                        gap_text(gap)
                    ));
                }
            }
        }
        if self.args.count || self.args.sessions_with_matches {
            match &mut self.counted {
                Some((key, generation, count)) if (&*key, *generation) == (&found.key, found.generation) => {
                    *count += records;
                }
                _ => {
                    self.end_session()?;
                    self.counted = Some((found.key.clone(), found.generation, records));
                }
            }
            return Ok(());
        }
        let mut shown = 0;
        for item in &found.items {
            let Item::Record(record) = item else { continue };
            if self.args.context == 0 {
                self.record(origin, record)?;
                continue;
            }
            let from = record.seq().saturating_sub(self.args.context).max(shown + 1);
            let to = record.seq().saturating_add(self.args.context);
            let session = self.store.session(found.key.as_str())?;
            for item in session.read(&ReadOptions::new().generation(found.generation).from_seq(from))? {
                match item? {
                    Item::Record(near) if near.seq() > to => break,
                    Item::Record(near) if near.seq() > shown && (self.args.marks || !near.is_mark()) => {
                        shown = near.seq();
                        self.record(origin, &near)?;
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Prints what was counted of a session.
    fn end_session(&mut self) -> Result<(), Failure> {
        let Some((key, generation, records)) = self.counted.take().filter(|(.., records)| *records > 0) else {
            return Ok(());
        };
        if self.output.is_json() {
            return self.output.object("session", &SessionLine { key: key.as_str(), generation, records });
        }
        let count = if self.args.count { format!("  {records}") } else { String::new() };
        self.output.line(format!("{}  {generation}{count}", escaped(key.as_str())).as_bytes())
    }

    fn record(&mut self, origin: Origin<'_>, record: &Record) -> Result<(), Failure> {
        if self.output.is_json() {
            self.outcome.worsen(self.output.record(origin, record, false)?);
            return Ok(());
        }
        let body = record.body();
        let found = self.pattern.matcher.find(body.as_bytes()).ok().flatten().map(|found| found.start()..found.end());
        let shown = if self.output.is_terminal() { excerpt(body, found.unwrap_or(0..0)) } else { body.to_owned() };
        let line = format!(
            "{}  {}  {}  {}  {shown}",
            escaped(origin.key.as_str()),
            origin.generation,
            record.seq(),
            record.ts()
        );
        self.output.line(line.as_bytes())
    }
}

/// Cuts a body to what is around a match.
fn excerpt(body: &str, found: std::ops::Range<usize>) -> String {
    let start = (0..=found.start.saturating_sub(SHOWN_BEFORE)).rev().find(|at| body.is_char_boundary(*at)).unwrap_or(0);
    let end = (found.end.saturating_add(SHOWN_BEHIND)..=body.len())
        .find(|at| body.is_char_boundary(*at))
        .unwrap_or(body.len());
    let (before, behind) = (if start > 0 { "..." } else { "" }, if end < body.len() { "..." } else { "" });
    format!("{before}{}{behind}", body.get(start..end).unwrap_or_default())
}

/// What is looked for.
struct Pattern {
    matcher: RegexMatcher,
    /// A block of lines does not tell in which of them it may be: each is looked at.
    each_line: bool,
    text: bool,
    kind: Option<String>,
}

impl Pattern {
    fn of(args: &Args) -> Result<Self, Failure> {
        let mut builder = RegexMatcherBuilder::new();
        builder.case_insensitive(args.ignore_case).word(args.word_regexp).fixed_strings(args.fixed_strings);
        // A body has no raw line end; what may match one would run from record to record.
        builder.line_terminator(Some(b'\n')).ban_byte(Some(b'\n'));
        if args.text {
            builder = RegexMatcherBuilder::new();
            builder.case_insensitive(args.ignore_case).word(args.word_regexp).fixed_strings(args.fixed_strings);
        }
        let matcher = builder.build(&args.pattern).map_err(|error| Failure::Pattern { reason: error.to_string() })?;
        // The end of a body is none of its line.
        let has_anchor = !args.fixed_strings
            && regex_syntax::parse(&args.pattern).is_ok_and(|parsed| parsed.properties().look_set().contains_anchor());
        let each_line = args.text || has_anchor;
        Ok(Self { matcher, each_line, text: args.text, kind: args.kind.clone() })
    }

    fn is_in_strings(&self, value: &serde_json::Value) -> bool {
        match value {
            serde_json::Value::String(text) => self.matcher.is_match(text.as_bytes()).unwrap_or(false),
            serde_json::Value::Array(values) => values.iter().any(|value| self.is_in_strings(value)),
            serde_json::Value::Object(fields) => fields.values().any(|value| self.is_in_strings(value)),
            _ => false,
        }
    }
}

impl Needle for Pattern {
    fn candidate(&self, lines: &[u8], at: usize) -> Option<usize> {
        let rest = lines.get(at..).filter(|rest| !rest.is_empty())?;
        if self.each_line {
            return Some(at);
        }
        match self.matcher.find_candidate_line(rest) {
            Ok(found) => found
                .map(|(LineMatchKind::Confirmed(place) | LineMatchKind::Candidate(place))| at.saturating_add(place)),
            Err(_) => Some(at),
        }
    }

    fn is_in(&self, record: &Record) -> bool {
        if self.kind.as_deref().is_some_and(|kind| kind != record.kind()) {
            return false;
        }
        if !self.text {
            return self.matcher.is_match(record.body().as_bytes()).unwrap_or(false);
        }
        record.parse().is_ok_and(|body: serde_json::Value| self.is_in_strings(&body))
    }
}
