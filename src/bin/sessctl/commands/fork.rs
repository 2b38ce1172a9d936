//! `sessctl fork`

use serde::Serialize;
use sesslog::{Parent, SessionKey};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::rebuild_index::close;
use crate::commands::{change, refuse_own};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};
use crate::sessions::parent_text;

/// Make a new session that begins as another one was
///
/// The new session has the records of the other one up to --at, marks included, with their numbers, and goes its own way from
/// there; its header names the other as its parent. It is durable when the command ends, whole or not there. An open turn, a
/// resume that is pending and a suspension are not taken along.
///
/// The parent is read without a lock and not touched, so this works beside a live gateway; a parent that is damaged is refused.
/// If the new key's session was reset, its next generation begins so.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session to begin as
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Key of the session to make
    #[arg(value_name = "NEW_KEY", value_parser = session_key)]
    new_key: SessionKey,
    /// Last record taken along, 0 standing for none; the last one by default
    #[arg(long, value_name = "SEQ")]
    at: Option<u64>,
    /// Generation of the parent; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct Summary<'a> {
    key: &'a str,
    generation: Option<u64>,
    parent: Option<Parent>,
    /// Whether the session was made.
    changed: bool,
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let key = args.new_key.as_str();
    let mut summary = Summary { key, generation: None, parent: None, changed: false, dry_run: args.dry_run };
    let result =
        if args.dry_run { look(args, global, output, &mut summary) } else { fork(args, global, output, &mut summary) };
    output.finish(&summary, result)
}

fn fork(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary<'_>) -> Result<Outcome, Failure> {
    let store = global.open_existing()?;
    let session = store.session(args.key.as_str())?;
    // Number and end of one generation: the parent may be reset meanwhile.
    let row = session.row_of(args.generation)?;
    let forked =
        session.fork_of(Some(row.generation), args.new_key.as_str(), args.at.unwrap_or(row.last_seq))?.row()?;
    let text = forked.parent.as_ref().map(|parent| format!("forked from {}", parent_text(parent))).unwrap_or_default();
    summary.changed = true;
    summary.generation = Some(forked.generation);
    summary.parent.clone_from(&forked.parent);
    change::tell(&store, &forked, true, &text, output)?;
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Says what would be done, and refuses what a fork would refuse.
fn look(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary<'_>) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let session = store.session(args.key.as_str())?;
    refuse_own(&args.key)?;
    let row = session.row_of(args.generation)?;
    let at_seq = args.at.unwrap_or(row.last_seq);
    let (parent, generation) = session.check_fork(Some(row.generation), args.new_key.as_str(), at_seq)?;
    let (key, text) = (escaped(args.new_key.as_str()), parent_text(&parent));
    summary.generation = Some(generation);
    summary.parent = Some(parent);
    if !output.is_json() {
        output.line(format!("{key} generation {generation}: would be forked from {text}").as_bytes())?;
    }
    Ok(Outcome::Done)
}
