//! `sessctl prune`

use std::collections::HashMap;
use std::time::Duration;

use clap::ArgGroup;
use serde::Serialize;
use sesslog::{Error, Kept, PruneOptions, Pruned, Row, Store, Timestamp};

use crate::args::{EXIT_STATUS, Global, duration};
use crate::commands::forget::{FateLine, Totals};
use crate::commands::rebuild_index::close;
use crate::outcome::{Failure, Outcome};
use crate::render::Output;

/// Times that sessions are listed anew because somebody wrote to one meanwhile.
const TRIES: usize = 10;

/// Delete old sessions by a rule
///
/// Deletes whatever any of the rules names, each generation by itself, those with the oldest activity first; at least one rule is
/// needed. They go to the store's trash/, with --purge for good. When a session was last active is read from its transcript, never
/// from the file's time.
///
/// Never deleted is what runs or was interrupted, what is pending or suspended, what has the label "keep", what somebody writes to or
/// wrote to since the rule named it, and a generation between two that stay: such a session is printed as kept, with the reason. A
/// transcript that is damaged or can not be read is reported and stays. If the clock stands before the newest record, nothing is
/// deleted: no age can be believed then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
#[command(group(ArgGroup::new("rule").args(["older_than", "keep_newest", "max_bytes"]).required(true).multiple(true)))]
pub(crate) struct Args {
    /// Rule: sessions not active for longer than this: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Rule: all but this many sessions
    #[arg(long, value_name = "N")]
    keep_newest: Option<usize>,
    /// Rule: sessions until all transcripts together have at most this many bytes
    #[arg(long, value_name = "N")]
    max_bytes: Option<u64>,
    /// Delete for good instead of to the trash
    #[arg(long)]
    purge: bool,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

impl Args {
    fn options(&self) -> PruneOptions {
        let mut options = PruneOptions::new().purge(self.purge).dry_run(self.dry_run);
        if let Some(age) = self.older_than {
            options = options.older_than(age);
        }
        if let Some(sessions) = self.keep_newest {
            options = options.keep_newest(sessions);
        }
        if let Some(bytes) = self.max_bytes {
            options = options.bytes_max(bytes);
        }
        options
    }
}

#[derive(Serialize)]
struct PruneLine<'a> {
    #[serde(flatten)]
    fate: &'a FateLine<'a>,
    /// Its last activity.
    updated: Timestamp,
    /// Why it stays although a rule names it.
    kept: Option<&'static str>,
}

#[derive(Serialize)]
struct Summary {
    #[serde(flatten)]
    totals: Totals,
    kept: u64,
    failed: u64,
    unreadable: u64,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let totals = Totals::new(args.dry_run);
    let mut summary = Summary { totals, kept: 0, failed: 0, unreadable: 0 };
    let result = prune(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn prune(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    // The library prunes no store that is open for reading only, not even in words. All that this writes is a stale index.
    let store = global.open_existing()?;
    let pruned = pruned(&store, &args.options())?;
    print_gone(args, &pruned, output, &mut summary.totals)?;
    for (row, kept) in &pruned.kept {
        summary.kept += 1;
        print_row(args, &FateLine::there(&row.key, row.generation, row.length_bytes), row, Some(*kept), output)?;
    }
    output.flush()?;
    output.say(&format!("{}, {} kept", summary.totals.text(), summary.kept));
    let mut outcome = Outcome::Done;
    summary.failed = told(pruned.failed.into_iter().map(|(_, _, error)| error), output, &mut outcome);
    summary.unreadable = told(pruned.unreadable.into_iter().map(|(_, error)| error), output, &mut outcome);
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

fn pruned(store: &Store, options: &PruneOptions) -> Result<Pruned, Error> {
    let mut tried = 1;
    loop {
        match store.prune(options, Timestamp::now()) {
            // Somebody wrote while the sessions were listed: no clock was turned back.
            Err(Error::ClockBehind { newest, .. }) if newest <= Timestamp::now() && tried < TRIES => tried += 1,
            pruned => return pruned,
        }
    }
}

/// Prints what went, or would go, oldest activity first.
fn print_gone(args: &Args, pruned: &Pruned, output: &mut Output, totals: &mut Totals) -> Result<(), Failure> {
    let name = |deleted: &sesslog::Deleted| (deleted.key.to_string(), deleted.generation);
    let gone: HashMap<_, _> = pruned.deleted.iter().map(|deleted| (name(deleted), deleted)).collect();
    for row in &pruned.named {
        let fate = match gone.get(&(row.key.clone(), row.generation)) {
            Some(deleted) => FateLine::gone(deleted),
            None if args.dry_run => FateLine::there(&row.key, row.generation, row.length_bytes),
            // Kept after all, failed, or deleted by somebody who was faster.
            None => continue,
        };
        totals.add(&fate);
        print_row(args, &fate, row, None, output)?;
        fate.warn(args.purge, output)?;
    }
    Ok(())
}

fn print_row(
    args: &Args,
    fate: &FateLine<'_>,
    row: &Row,
    kept: Option<Kept>,
    output: &mut Output,
) -> Result<(), Failure> {
    let (updated, kept) = (row.updated, kept.map(Kept::name));
    if output.is_json() {
        return output.object("session", &PruneLine { fate, updated, kept });
    }
    let text = kept.map_or_else(|| fate.text(args.purge), |kept| format!("{}: kept, {kept}", fate.name()));
    output.line(format!("{text}, last active {updated}").as_bytes())
}

/// Reports errors and returns their number.
fn told(errors: impl Iterator<Item = Error>, output: &mut Output, outcome: &mut Outcome) -> u64 {
    let mut count = 0;
    for error in errors {
        let failure = Failure::Store(error);
        output.failure(&failure);
        outcome.worsen(Outcome::from(&failure));
        count += 1;
    }
    count
}
