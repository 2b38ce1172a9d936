//! `sessctl context`

use serde::Serialize;
use serde_json::value::RawValue;
use sesslog::{Clamped, Head, SessionKey, Summary, Timestamp};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::locate;
use crate::outcome::{Failure, Outcome};
use crate::render::{Origin, Output, Printed};

/// Print what a model should see of a session now
///
/// Prints the last summary as {"summary":...}, if there is one, then the body of each record that it does not stand for, one JSON
/// value a line. What was undone is left out, and so are marks, kinds that begin with "meta." and everything before a reset.
/// Damage shows as gaps: on standard error, or as objects among the JSON lines, and by exit status 3.
///
/// A mark whose number can not be hides nothing: a warning says what it was taken for. With --json the summary is an object of
/// type "mark", such a warning one of type "clamped", and the last object has the head of the history that was read.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key, as it was when it was closed; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// Print the last records that a user would see instead, also those that are summed up
    #[arg(long, value_name = "N", conflicts_with = "generation")]
    history: Option<usize>,
}

/// The mark of a summary as `info` prints marks, with the summary.
#[derive(Serialize)]
struct MarkLine<'a> {
    key: &'a str,
    generation: u64,
    seq: u64,
    ts: Timestamp,
    mark: &'static str,
    keep_from: u64,
    summary: &'a RawValue,
}

#[derive(Serialize)]
struct ClampedLine<'a> {
    key: &'a str,
    generation: u64,
    seq: u64,
    field: &'static str,
    given: u64,
    used: u64,
}

#[derive(Default, Serialize)]
struct Counts {
    #[serde(flatten)]
    printed: Printed,
    clamped: usize,
    /// Where the history ended when it was read; not known of --history.
    head: Option<Head>,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Counts::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Counts) -> Result<Outcome, Failure> {
    let session = global.open_read_only()?.session(args.key.as_str())?;
    let (origin, items, clamped) = if let Some(count) = args.history {
        let (generation, _) = locate(&session, None)?;
        (Origin { key: &args.key, generation }, session.history(count)?, Vec::new())
    } else {
        let context = args.generation.map_or_else(|| session.context(), |number| session.context_of(number))?;
        let origin = Origin { key: &args.key, generation: context.head.generation };
        summary.head = Some(context.head);
        if let Some(compaction) = &context.summary {
            print_summary(origin, compaction, output)?;
        }
        (origin, context.items, context.clamped)
    };
    let mut outcome = Outcome::Done;
    for item in &items {
        outcome.worsen(summary.printed.item(origin, item, false, output)?);
    }
    summary.clamped = clamped.len();
    for clamped in &clamped {
        print_clamped(origin, clamped, output)?;
    }
    summary.printed.hint(output)?;
    Ok(outcome)
}

fn print_summary(origin: Origin<'_>, compaction: &Summary, output: &mut Output) -> Result<(), Failure> {
    if !output.is_json() {
        // On a line of its own already: in a record no value has a line end outside of its strings.
        return output.line(format!("{{\"summary\":{}}}", compaction.json()).as_bytes());
    }
    // The library has read it as JSON just now.
    let Ok(summary) = compaction.parse() else { return Ok(()) };
    let line = MarkLine {
        key: origin.key.as_str(),
        generation: origin.generation,
        seq: compaction.seq,
        ts: compaction.ts,
        mark: "compacted",
        keep_from: compaction.keep_from,
        summary,
    };
    output.object("mark", &line)
}

fn print_clamped(origin: Origin<'_>, clamped: &Clamped, output: &mut Output) -> Result<(), Failure> {
    let Clamped { seq, field, given, used, .. } = *clamped;
    if output.is_json() {
        let key = origin.key.as_str();
        return output.object("clamped", &ClampedLine { key, generation: origin.generation, seq, field, given, used });
    }
    // What was printed before it should also be seen before it.
    output.flush()?;
    output.say(&format!("warning: {field} {given} in the mark of record {seq} can not be, taken for {used}"));
    Ok(())
}
