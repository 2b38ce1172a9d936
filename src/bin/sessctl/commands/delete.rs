//! `sessctl delete`

use serde::Serialize;
use sesslog::{Error, SessionKey};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::forget::{FateLine, Totals};
use crate::commands::rebuild_index::close;
use crate::commands::{file_bytes, refuse_own};
use crate::outcome::{Failure, Outcome};
use crate::render::Output;

/// Delete a session
///
/// All generations of the key go to the store's trash/, oldest first, each whole or not at all; trash restore takes them back. With
/// --purge they go for good. The next append begins the key anew, with generation 1 if all are gone. A generation between two that
/// stay is refused.
///
/// A session that somebody writes to is busy, and nothing of it is deleted. Works on a damaged session, and on a full disk: if not
/// even the note of the deletion finds room, a warning says that the file in the trash is all that tells it from a loss.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key; all of them by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// Delete for good instead of to the trash
    #[arg(long)]
    purge: bool,
    /// Only say what would be done, and whether somebody writes to the session
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct DeleteLine<'a> {
    #[serde(flatten)]
    fate: &'a FateLine<'a>,
    /// Whether somebody writes to it, which would keep it; only a dry run asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    running: Option<bool>,
}

#[derive(Serialize)]
struct Summary<'a> {
    key: &'a str,
    #[serde(flatten)]
    totals: Totals,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let totals = Totals::new(args.dry_run);
    let mut summary = Summary { key: args.key.as_str(), totals };
    let result = if args.dry_run {
        look(args, global, output, &mut summary.totals)
    } else {
        delete(args, global, output, &mut summary.totals)
    };
    output.finish(&summary, result)
}

fn delete(args: &Args, global: &Global, output: &mut Output, totals: &mut Totals) -> Result<Outcome, Failure> {
    let store = global.open_existing()?;
    for deleted in store.session(args.key.as_str())?.delete(args.generation, args.purge)? {
        let fate = FateLine::gone(&deleted);
        print(args, &fate, None, output, totals)?;
        fate.warn(args.purge, output)?;
    }
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Says what would be done, and refuses what a delete would refuse but for its writer.
fn look(args: &Args, global: &Global, output: &mut Output, totals: &mut Totals) -> Result<Outcome, Failure> {
    let session = global.open_read_only()?.session(args.key.as_str())?;
    refuse_own(&args.key)?;
    let is_running = session.is_running()?;
    let generations = session.generations(args.generation)?;
    if let Some(generation) = args.generation {
        let all = session.generations(None)?;
        if all.first().is_some_and(|oldest| *oldest < generation) && all.last().is_some_and(|it| *it > generation) {
            return Err(Error::BetweenGenerations { key: args.key.clone(), generation }.into());
        }
    }
    for generation in generations {
        let bytes = file_bytes(session.path(Some(generation))?)?;
        let fate = FateLine::there(args.key.as_str(), generation, bytes);
        print(args, &fate, Some(is_running), output, totals)?;
    }
    Ok(Outcome::Done)
}

fn print(
    args: &Args,
    fate: &FateLine<'_>,
    running: Option<bool>,
    output: &mut Output,
    totals: &mut Totals,
) -> Result<(), Failure> {
    totals.add(fate);
    if output.is_json() {
        return output.object("session", &DeleteLine { fate, running });
    }
    let busy = if running == Some(true) { ", but somebody writes to it" } else { "" };
    output.line(format!("{}{busy}", fate.text(args.purge)).as_bytes())
}
