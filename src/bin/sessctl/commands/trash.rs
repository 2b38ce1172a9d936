//! `sessctl trash`

use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use sesslog::{Error, SessionKey, SessionState, Store, Timestamp, Trashed};

use crate::args::{EXIT_STATUS, Global, duration};
use crate::commands::rebuild_index::close;
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, counted, escaped};
use crate::table;

/// Look at deleted sessions, take them back, or remove them for good
///
/// The trash is a folder of the store: what delete and prune take from the sessions is there, byte for byte, until trash empty.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Restore(RestoreArgs),
    Empty(EmptyArgs),
}

/// List what is in the trash
///
/// Prints one line a transcript: key, generation, bytes, time of the deletion, and its name in the trash. The key is - where its
/// header is damaged.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct ListArgs {}

/// Take a deleted session back
///
/// Takes a transcript by its name in the trash, or all of a key if the trash has no more than one of each of its generations. It is
/// the session that it was, byte for byte. A key that was begun anew meanwhile is not replaced: what comes back follows its newest
/// generation, if a reset has closed that, or stands right before its oldest.
///
/// A transcript that is moved back by hand instead stays noted as deleted: if it is lost before it was written to, nothing tells.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct RestoreArgs {
    /// Name in the trash, as trash list prints it, or key of the session
    #[arg(value_name = "NAME|KEY")]
    what: String,
    /// Generation of the key; may be given several times; all in the trash by default
    #[arg(long = "generation", value_name = "G")]
    generations: Vec<u64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Remove from the trash for good
///
/// That a session was deleted stays noted: it is not taken for a lost one.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct EmptyArgs {
    /// Time since the deletion after which a transcript is removed: 90s, 30m, 2h, 7d; all are by default
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// A transcript in the trash, or that was there.
#[derive(Serialize)]
struct TrashLine<'a> {
    name: &'a str,
    key: Option<&'a str>,
    generation: u64,
    deleted: Timestamp,
    bytes: u64,
    /// Whether it is a session again.
    #[serde(skip_serializing_if = "Option::is_none")]
    restored: Option<bool>,
    /// Whether it is gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    removed: Option<bool>,
}

#[derive(Default, Serialize)]
struct Summary {
    /// Transcripts listed, restored or removed, or that would be.
    transcripts: u64,
    bytes: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = match &args.command {
        Command::List(_) => list(global, output, &mut summary),
        Command::Restore(args) => restore(args, global, output, &mut summary),
        Command::Empty(args) => empty(args, global, output, &mut summary),
    };
    output.finish(&summary, result)
}

impl<'a> TrashLine<'a> {
    fn new(trashed: &'a Trashed) -> Self {
        Self {
            name: &trashed.name,
            key: trashed.key.as_deref(),
            generation: trashed.generation,
            deleted: trashed.deleted,
            bytes: trashed.bytes,
            restored: None,
            removed: None,
        }
    }

    /// Spells whose it is.
    fn session(&self) -> String {
        format!("{} generation {}", escaped(self.key.unwrap_or("-")), self.generation)
    }
}

impl Summary {
    fn add(&mut self, trashed: &Trashed) {
        self.transcripts += 1;
        self.bytes = self.bytes.saturating_add(trashed.bytes);
    }
}

fn list(global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let trash = global.open_read_only()?.trash()?;
    for trashed in &trash {
        summary.add(trashed);
    }
    if output.is_json() {
        trash.iter().try_for_each(|trashed| output.object("trash", &TrashLine::new(trashed)))?;
        return Ok(Outcome::Done);
    }
    let cells = |trashed: &Trashed| {
        [
            escaped(trashed.key.as_deref().unwrap_or("-")).into_owned(),
            trashed.generation.to_string(),
            trashed.bytes.to_string(),
            trashed.deleted.to_string(),
            escaped(&trashed.name).into_owned(),
        ]
    };
    table::print(["KEY", "GEN", "BYTES", "DELETED", "NAME"], &[1, 2], trash.iter().map(cells).collect(), output)?;
    Ok(Outcome::Done)
}

fn restore(
    args: &RestoreArgs,
    global: &Global,
    output: &mut Output,
    summary: &mut Summary,
) -> Result<Outcome, Failure> {
    (summary.failed, summary.dry_run) = (Some(0), Some(args.dry_run));
    let store = if args.dry_run { global.open_read_only()? } else { global.open_existing()? };
    let mut outcome = Outcome::Done;
    let mut wanted = wanted(args, store.trash()?)?;
    let there = in_order(&store, &mut wanted)?;
    let mut plan = Plan { there, first: None };
    for trashed in wanted {
        let done = if args.dry_run { plan.check(&store, &trashed) } else { store.restore(&trashed.name).map(drop) };
        if let Err(error) = done {
            // The other generations may come back all the same.
            let failure = Failure::Restore(error);
            output.failure(&failure);
            outcome.worsen(Outcome::from(&failure));
            summary.failed = summary.failed.map(|failed| failed + 1);
            continue;
        }
        summary.add(&trashed);
        let line = TrashLine { restored: Some(!args.dry_run), ..TrashLine::new(&trashed) };
        if output.is_json() {
            output.object("trash", &line)?;
        } else {
            let will = if args.dry_run { "would be " } else { "" };
            let text = format!("{}: {will}restored from {}", line.session(), escaped(line.name));
            output.line(text.as_bytes())?;
        }
    }
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Finds what is to be restored: the one of that name, else those of that key, each generation once.
fn wanted(args: &RestoreArgs, mut trash: Vec<Trashed>) -> Result<Vec<Trashed>, Failure> {
    let not_there = || Error::NotInTrash { name: args.what.clone() };
    let is_name = trash.iter().any(|trashed| trashed.name == args.what);
    // By the name and not by the header: of what is damaged only the name says whose it is.
    let stem = SessionKey::new(&args.what).map(|key| format!("{}.", key.file_stem())).ok();
    let is_of_key = |name: &str| stem.as_ref().is_some_and(|stem| name.starts_with(stem));
    trash.retain(|trashed| if is_name { trashed.name == args.what } else { is_of_key(&trashed.name) });
    if let Some(missing) = args.generations.iter().find(|it| !trash.iter().any(|trashed| trashed.generation == **it)) {
        return Err(Error::NotInTrash { name: format!("{} generation {missing}", args.what) }.into());
    }
    if !args.generations.is_empty() {
        trash.retain(|trashed| args.generations.contains(&trashed.generation));
    }
    trash.sort_by_key(|trashed| trashed.generation);
    if trash.is_empty() {
        return Err(not_there().into());
    }
    let twice = |pair: &&[Trashed]| matches!(pair, [a, b] if a.generation == b.generation);
    if let Some([Trashed { generation, .. }, _]) = trash.windows(2).find(twice) {
        let names = trash.iter().filter(|it| it.generation == *generation).map(|it| it.name.clone()).collect();
        return Err(Failure::Ambiguous { key: args.what.clone(), generation: *generation, names });
    }
    Ok(trash)
}

/// Puts generations in the order in which they can come back: those before the oldest that is there newest first, the others
/// oldest first. Returns the generations that are there.
fn in_order(store: &Store, wanted: &mut [Trashed]) -> Result<Vec<u64>, Failure> {
    let Some(key) = wanted.iter().find_map(|trashed| trashed.key.as_ref()) else { return Ok(Vec::new()) };
    let there = match store.session(key)?.generations(None) {
        Err(error) if error.is_not_found() => Vec::new(),
        there => there.map_err(Failure::Restore)?,
    };
    let oldest = there.first().copied().unwrap_or(0);
    wanted.sort_by_key(|trashed| match trashed.generation {
        generation if generation < oldest => (false, oldest.saturating_sub(generation)),
        generation => (true, generation),
    });
    Ok(there)
}

/// What restores would come to, for a dry run.
struct Plan {
    /// Generations that are there, or would be.
    there: Vec<u64>,
    /// The first that would have come back behind them.
    first: Option<u64>,
}

impl Plan {
    /// Refuses what a restore would refuse, but for a writer: what it has to follow must be closed.
    fn check(&mut self, store: &Store, trashed: &Trashed) -> Result<(), Error> {
        let Some(key) = &trashed.key else {
            let path = store.path().join(sesslog::format::TRASH_DIR).join(&trashed.name);
            return Err(Error::HeaderDamaged { path, bytes: 0 });
        };
        let (session, generation) = (store.session(key)?, trashed.generation);
        let Some((oldest, newest)) = self.there.first().copied().zip(self.there.last().copied()) else {
            self.there.push(generation);
            self.first = Some(generation);
            return Ok(());
        };
        if generation.checked_add(1) == Some(oldest) {
            self.there.insert(0, generation);
            return Ok(());
        }
        // What would have come back itself is in the trash still; that a reset closed it is what its successor says.
        let is_closed = || match self.first {
            Some(_) => Ok(true),
            None => session.row().map(|row| row.state == SessionState::Closed),
        };
        if newest.checked_add(1) != Some(generation) || !is_closed()? {
            return Err(Error::SessionExists { key: session.key().clone(), generation: newest });
        }
        self.there.push(generation);
        self.first = self.first.or(Some(generation));
        Ok(())
    }
}

fn empty(args: &EmptyArgs, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    summary.dry_run = Some(args.dry_run);
    // The library empties no store that is open for reading only, not even in words. All that this writes is a stale index.
    let store = global.open_existing()?;
    let before = args.older_than.map_or(i64::MAX, |age| {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        Timestamp::now().unix_ms().saturating_sub(age_ms)
    });
    for trashed in store.empty_trash(Timestamp::from_unix_ms(before), args.dry_run)? {
        summary.add(&trashed);
        let line = TrashLine { removed: Some(!args.dry_run), ..TrashLine::new(&trashed) };
        if output.is_json() {
            output.object("trash", &line)?;
        } else {
            let will = if args.dry_run { "would be " } else { "" };
            output.line(format!("{}: {will}removed, {}", line.session(), escaped(line.name)).as_bytes())?;
        }
    }
    output.flush()?;
    let will = if args.dry_run { " would be" } else { "" };
    let (transcripts, bytes) = (counted(summary.transcripts, "transcript"), counted(summary.bytes, "byte"));
    output.say(&format!("{transcripts}{will} removed, {bytes}"));
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}
