//! `sessctl undo`

use serde::Serialize;
use sesslog::{Session, SessionKey};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::rebuild_index::close;
use crate::commands::{change, refuse_own};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, counted};

/// Take the last records out of what a session shows
///
/// A mark says so, durable when the command ends: context leaves out the last N records that a user would see, and what stands
/// between and behind them. Nothing is deleted, show goes on printing them. A summary that some of them were part of is taken
/// back with them. To undo nothing is no error: the command says so and writes nothing.
///
/// A session in which a gateway runs a turn is busy. Damage among the records to take out is in the way: it may have been an undo.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session; of its newest generation
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Number of records to take out
    #[arg(value_name = "N", default_value_t = 1)]
    count: u64,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    key: &'a str,
    /// Whether a mark was written.
    changed: bool,
    /// How many records are taken out, or would be.
    undone: u64,
    /// The first record that is not shown any more, or would not be.
    from_seq: Option<u64>,
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary =
        Summary { key: args.key.as_str(), changed: false, undone: 0, from_seq: None, dry_run: args.dry_run };
    let result = undo(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn undo(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary<'_>) -> Result<Outcome, Failure> {
    let store = if args.dry_run { global.open_read_only()? } else { global.open_existing()? };
    let session = store.session(args.key.as_str())?;
    summary.from_seq = if args.dry_run {
        plan(&session, args.count)?
    } else {
        session.undo(args.count)?.map(|undone| undone.from_seq)
    };
    summary.undone = summary.from_seq.map_or(0, |_| args.count);
    summary.changed = summary.from_seq.is_some() && !args.dry_run;
    let text = summary.from_seq.map_or_else(
        || "nothing to undo, nothing changed".to_owned(),
        |seq| {
            let will = if args.dry_run { " would be" } else { "" };
            format!("{}{will} undone: not shown any more from record {seq} on", counted(args.count, "record"))
        },
    );
    // Of an undo that was done while the lock is ours: nobody else has written since.
    change::tell(&store, &session.row()?, summary.changed, &text, output)?;
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Returns from which record on an undo would take out, and refuses what it would refuse.
fn plan(session: &Session, count: u64) -> Result<Option<u64>, Failure> {
    refuse_own(session.key())?;
    if count == 0 {
        return Ok(session.row().map(|_| None)?);
    }
    Ok(Some(session.check_undo(count)?))
}
