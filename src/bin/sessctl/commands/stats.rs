//! `sessctl stats`

use serde::Serialize;
use sesslog::Timestamp;
use sesslog::stats::{Counts, Day, Stats, Tokens};

use crate::args::{EXIT_STATUS, Global};
use crate::outcome::{Failure, Outcome};
use crate::progress::with_bar;
use crate::render::{Output, counted, escaped};
use crate::table;

/// Cells of the longest bar.
const BAR: u64 = 24;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Count what is in the store: by day, by role, by size
///
/// Reads every record. Counts are of the callers' records, those of closed generations included and the store's own sessions left
/// out; roles and tokens are read from the bodies, whichever system wrote them. Days are those of the records' times, in UTC.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Number of days printed, the newest; 0 stands for all
    #[arg(long, value_name = "N", default_value_t = 14)]
    days: usize,
    /// Number of transcripts read at once; 0 stands for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

#[derive(Serialize)]
struct DayLine<'a> {
    day: &'a str,
    sessions: u64,
    records: u64,
    bytes: u64,
    #[serde(flatten)]
    tokens: TokensLine,
}

#[derive(Serialize)]
struct RoleLine<'a> {
    role: &'a str,
    records: u64,
    bytes: u64,
}

#[derive(Serialize)]
struct SizeLine<'a> {
    key: &'a str,
    generation: u64,
    bytes: u64,
}

#[derive(Default, Serialize)]
struct TokensLine {
    #[serde(rename = "input_tokens")]
    input: u64,
    #[serde(rename = "output_tokens")]
    output: u64,
    #[serde(rename = "cached_tokens")]
    cached: u64,
}

/// What came within some days.
#[derive(Default, Serialize)]
struct Growth {
    records: u64,
    bytes: u64,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    records: u64,
    bytes: u64,
    marks: u64,
    turns: u64,
    broken_turns: u64,
    #[serde(flatten)]
    tokens: TokensLine,
    last_7_days: Growth,
    last_30_days: Growth,
    gaps: u64,
    unreadable: u64,
}

impl From<Tokens> for TokensLine {
    fn from(tokens: Tokens) -> Self {
        Self { input: tokens.input, output: tokens.output, cached: tokens.cached }
    }
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let stats = with_bar(|progress| store.stats(args.jobs, progress))?;
    *summary = sum_of(&stats);
    let left_out = if args.days == 0 { 0 } else { stats.days.len().saturating_sub(args.days) };
    let days: Vec<_> = stats.days.iter().skip(left_out).collect();
    if output.is_json() {
        print_json(&stats, &days, output)?;
    } else {
        print_text(&stats, &days, summary, output)?;
    }
    let mut outcome = if stats.gaps > 0 { Outcome::Damaged } else { Outcome::Done };
    for (_, error) in stats.failures {
        let failure = Failure::Store(error);
        outcome.worsen(Outcome::from(&failure));
        output.failure(&failure);
    }
    if stats.gaps > 0 {
        output.flush()?;
        output.hint("sessctl verify, to see which command mends the damage that was met");
    }
    Ok(outcome)
}

fn sum_of(stats: &Stats) -> Summary {
    let within = |days: i64| {
        let from = Timestamp::from_unix_ms(Timestamp::now().unix_ms().saturating_sub(days.saturating_mul(DAY_MS)));
        let from = from.as_str().split('T').next().unwrap_or_default().to_owned();
        stats.days.range(from..).fold(Growth::default(), |sum, (_, day)| Growth {
            records: sum.records.saturating_add(day.counts.records),
            bytes: sum.bytes.saturating_add(day.counts.bytes),
        })
    };
    Summary {
        sessions: stats.sessions,
        records: stats.counts.records,
        bytes: stats.counts.bytes,
        marks: stats.marks,
        turns: stats.turns,
        broken_turns: stats.broken_turns,
        tokens: stats.tokens.into(),
        last_7_days: within(7),
        last_30_days: within(30),
        gaps: stats.gaps,
        unreadable: u64::try_from(stats.failures.len()).unwrap_or(u64::MAX),
    }
}

fn print_json(stats: &Stats, days: &[(&String, &Day)], output: &mut Output) -> Result<(), Failure> {
    for (day, Day { counts: Counts { records, bytes, .. }, sessions, tokens, .. }) in days {
        let tokens = (*tokens).into();
        output.object("day", &DayLine { day, sessions: *sessions, records: *records, bytes: *bytes, tokens })?;
    }
    for (role, Counts { records, bytes, .. }) in &stats.roles {
        output.object("role", &RoleLine { role, records: *records, bytes: *bytes })?;
    }
    for sized in &stats.largest {
        let line = SizeLine { key: sized.key.as_str(), generation: sized.generation, bytes: sized.bytes };
        output.object("session", &line)?;
    }
    Ok(())
}

fn print_text(stats: &Stats, days: &[(&String, &Day)], summary: &Summary, output: &mut Output) -> Result<(), Failure> {
    let say = |text: String, output: &mut Output| output.line(text.as_bytes());
    let all = [(stats.sessions, "session"), (stats.counts.records, "record"), (stats.counts.bytes, "byte")];
    say(all.map(|(count, thing)| counted(count, thing)).join(", "), output)?;
    let broken =
        if stats.broken_turns > 0 { format!(", {} not ended well", stats.broken_turns) } else { String::new() };
    say(format!("{}{broken}, {}", counted(stats.turns, "turn"), counted(stats.marks, "mark")), output)?;
    if stats.tokens.total() > 0 {
        let Tokens { input, output: written, cached, .. } = stats.tokens;
        say(format!("tokens: {input} in, {written} out, {cached} from a cache"), output)?;
    }
    for (days, Growth { records, bytes }) in [(7, &summary.last_7_days), (30, &summary.last_30_days)] {
        say(format!("last {days} days: {}, {}", counted(*records, "record"), counted(*bytes, "byte")), output)?;
    }
    let most = days.iter().map(|(_, day)| day.counts.records).max().unwrap_or(0);
    let rows = days.iter().map(|(name, day)| {
        let Counts { records, bytes, .. } = day.counts;
        [
            (*name).clone(),
            records.to_string(),
            bytes.to_string(),
            day.tokens.total().to_string(),
            bar(records, most, output),
        ]
    });
    let rows = rows.collect();
    section(["day", "records", "bytes", "tokens", ""], rows, output)?;
    let most = stats.roles.values().map(|counts| counts.records).max().unwrap_or(0);
    let rows = stats.roles.iter().map(|(role, Counts { records, bytes, .. })| {
        [(*role).to_owned(), records.to_string(), bytes.to_string(), bar(*records, most, output)]
    });
    let rows = rows.collect();
    section(["role", "records", "bytes", ""], rows, output)?;
    let most = stats.largest.first().map_or(0, |largest| largest.bytes);
    let rows = stats.largest.iter().map(|sized| {
        [
            escaped(sized.key.as_str()).into_owned(),
            sized.generation.to_string(),
            sized.bytes.to_string(),
            bar(sized.bytes, most, output),
        ]
    });
    let rows = rows.collect();
    section(["largest", "generation", "bytes", ""], rows, output)
}

/// Prints a table behind an empty line.
fn section<const N: usize>(header: [&str; N], rows: Vec<[String; N]>, output: &mut Output) -> Result<(), Failure> {
    output.line(b"")?;
    let numbers: Vec<usize> = (1..N.saturating_sub(1)).collect();
    table::print(header, &numbers, rows, output)
}

/// Draws a number for whoever looks; a program that reads the lines has the number.
fn bar(count: u64, most: u64, output: &Output) -> String {
    if !output.is_terminal() || count == 0 {
        return String::new();
    }
    let cells = count.saturating_mul(BAR).div_ceil(most.max(1));
    "\u{2588}".repeat(usize::try_from(cells).unwrap_or(0))
}
