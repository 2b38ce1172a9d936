//! The commands, one file each: arguments, help, and what it does.

pub(crate) mod append;
pub(crate) mod change;
pub(crate) mod completions;
pub(crate) mod context;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod forget;
pub(crate) mod fork;
pub(crate) mod grep;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod label;
pub(crate) mod list;
pub(crate) mod mark;
pub(crate) mod path;
pub(crate) mod prune;
pub(crate) mod quarantine;
pub(crate) mod rebuild_index;
pub(crate) mod repair;
pub(crate) mod reset;
pub(crate) mod resumable;
pub(crate) mod show;
pub(crate) mod stats;
pub(crate) mod tail;
pub(crate) mod title;
pub(crate) mod trash;
pub(crate) mod undo;
pub(crate) mod verify;

use std::path::PathBuf;

use sesslog::{Error, Item, KeyError, Session, SessionKey};

use crate::args::{Args, Command};
use crate::outcome::{Failure, Outcome};
use crate::render::Output;

pub(crate) fn run(args: &Args, output: &mut Output) -> Outcome {
    let global = &args.global;
    match &args.command {
        Command::Append(args) => append::run(args, global, output),
        Command::List(args) => list::run(args, global, output),
        Command::Show(args) => show::run(args, global, output),
        Command::Completions(args) => completions::run(args, output),
        Command::Man(args) => completions::run_man(args, output),
        Command::Context(args) => context::run(args, global, output),
        Command::Stats(args) => stats::run(args, global, output),
        Command::Tail(args) => tail::run(args, global, output),
        Command::Grep(args) => grep::run(args, global, output),
        Command::Info(args) => info::run(args, global, output),
        Command::Path(args) => path::run(args, global, output),
        Command::Mark(args) => mark::run(args, global, output),
        Command::Resumable(args) => resumable::run(args, global, output),
        Command::Reset(args) => reset::run(args, global, output),
        Command::Undo(args) => undo::run(args, global, output),
        Command::Fork(args) => fork::run(args, global, output),
        Command::Title(args) => title::run(args, global, output),
        Command::Label(args) => label::run(args, global, output),
        Command::Export(args) => export::run(args, global, output),
        Command::Delete(args) => delete::run(args, global, output),
        Command::Prune(args) => prune::run(args, global, output),
        Command::Trash(args) => trash::run(args, global, output),
        Command::Verify(args) => verify::run(args, global, output),
        Command::RebuildIndex(args) => rebuild_index::run(args, global, output),
        Command::Repair(args) => repair::run(args, global, output),
        Command::Import(args) => import::run(args, global, output),
        Command::Doctor(args) => doctor::run(args, global, output),
        Command::Quarantine(args) => quarantine::run(args, global, output),
    }
}

/// Returns number and transcript of a generation, the newest if none is named.
fn locate(session: &Session, generation: Option<u64>) -> Result<(u64, PathBuf), Failure> {
    let path = session.path(generation)?;
    // `<slug>~<hash>.<generation>.jsonl`
    let number = path.file_stem().and_then(|stem| stem.to_str()?.rsplit('.').next()?.parse().ok());
    Ok((generation.or(number).unwrap_or_default(), path))
}

/// Returns the size of a transcript's whole file; a row's is that up to the first damage.
fn file_bytes(path: PathBuf) -> Result<u64, Failure> {
    match std::fs::symlink_metadata(&path) {
        Ok(metadata) => Ok(metadata.len()),
        Err(source) => Err(Failure::Look { path, source }),
    }
}

/// Refuses a key that is the store's own, as a write to it would be: a dry run writes nothing that could be refused.
fn refuse_own(key: &SessionKey) -> Result<(), Error> {
    if key.is_reserved() { Err(KeyError::Reserved.into()) } else { Ok(()) }
}

/// Returns where to begin to read for the last `count` records of the caller.
fn start_of_last(session: &Session, generation: Option<u64>, count: usize) -> Result<u64, Failure> {
    // Beyond the newest generation only a read that keeps the records is to be had.
    let newest = generation.is_none_or(|number| session.path(None).ok() == session.path(Some(number)).ok());
    if count > 0 && !newest {
        let items = session.last_of(generation, count)?;
        return Ok(items.iter().find_map(seq_of).unwrap_or_default());
    }
    let mut found = 0;
    for item in session.backward()? {
        let Item::Record(record) = item? else { continue };
        if count == 0 {
            return Ok(record.seq().saturating_add(1));
        }
        if record.is_mark() {
            continue;
        }
        found += 1;
        if found == count {
            return Ok(record.seq());
        }
    }
    // Fewer than asked for: all of them, and the damage before the first.
    Ok(0)
}

fn seq_of(item: &Item) -> Option<u64> {
    match item {
        Item::Record(record) => Some(record.seq()),
        _ => None,
    }
}
