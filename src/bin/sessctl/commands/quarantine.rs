//! `sessctl quarantine`

use std::fmt::Write as _;
use std::io::Read as _;
use std::time::Duration;

use clap::Subcommand;
use serde::Serialize;
use sesslog::{Quarantined, Timestamp};

use crate::args::{EXIT_STATUS, Global, duration};
use crate::commands::rebuild_index::close;
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, counted, escaped};
use crate::table;

/// What one read brings.
const READ_BYTES: usize = 64 * 1024;

/// Look at what was cut or replaced, take it back, or drop it
///
/// The quarantine is a folder of the store: torn bytes that a recovery cut, and transcripts as they were before a repair. Nothing is
/// ever removed from there but by quarantine drop.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(ListArgs),
    Show(ShowArgs),
    Restore(RestoreArgs),
    Drop(DropArgs),
}

/// List what is in the quarantine
///
/// Prints one line a file: key, generation, kind (torn: cut from an end; original: before a repair; repaired: in whose place the
/// original came back; unborn: of a session that was never acknowledged), bytes, time, and its name there. The key is - where no
/// header tells it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct ListArgs {}

/// Print a file of the quarantine
///
/// Byte for byte, but to a terminal, where control characters are shown escaped. With --json in pieces, in hexadecimal digits.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct ShowArgs {
    /// Name in the quarantine, as quarantine list prints it
    name: String,
}

/// Put an original back in the place from where a repair took it
///
/// The session is then damaged as it was. The repaired transcript goes to the quarantine. Refused when the session has a record that
/// the original has not, and for anything but an original: what was torn was never acknowledged.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct RestoreArgs {
    /// Name in the quarantine, as quarantine list prints it
    name: String,
}

/// Remove from the quarantine for good
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
struct DropArgs {
    /// Names in the quarantine, as quarantine list prints them
    #[arg(value_name = "NAME", required_unless_present = "older_than", conflicts_with = "older_than")]
    names: Vec<String>,
    /// Time in the quarantine after which a file is removed: 90s, 30m, 2h, 7d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    older_than: Option<Duration>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
struct FileLine<'a> {
    name: &'a str,
    kind: &'static str,
    key: Option<&'a str>,
    generation: Option<u64>,
    offset: Option<u64>,
    bytes: u64,
    since: Timestamp,
    /// Whether it is gone for good.
    #[serde(skip_serializing_if = "Option::is_none")]
    dropped: Option<bool>,
}

#[derive(Serialize)]
struct PieceLine {
    offset: u64,
    bytes: usize,
    hex: String,
}

#[derive(Default, Serialize)]
struct Summary {
    /// Files listed, shown, restored or dropped, or that would be.
    files: u64,
    bytes: u64,
    /// The name of what had the original's place.
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<bool>,
}

impl Summary {
    fn add(&mut self, kept: &Quarantined) {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(kept.bytes);
    }
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = match &args.command {
        Command::List(_) => list(global, output, &mut summary),
        Command::Show(args) => show(args, global, output, &mut summary),
        Command::Restore(args) => restore(args, global, output, &mut summary),
        Command::Drop(args) => drop_files(args, global, output, &mut summary),
    };
    output.finish(&summary, result)
}

fn line_of(kept: &Quarantined, dropped: Option<bool>) -> FileLine<'_> {
    FileLine {
        name: &kept.name,
        kind: kept.kind.name(),
        key: kept.key.as_deref(),
        generation: kept.generation,
        offset: kept.offset,
        bytes: kept.bytes,
        since: kept.since,
        dropped,
    }
}

fn list(global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let files = global.open_read_only()?.quarantined()?;
    for kept in &files {
        summary.add(kept);
    }
    if output.is_json() {
        files.iter().try_for_each(|kept| output.object("quarantined", &line_of(kept, None)))?;
        return Ok(Outcome::Done);
    }
    let cells = |kept: &Quarantined| {
        [
            kept.key.as_deref().map_or_else(|| "-".to_owned(), |key| escaped(key).into_owned()),
            kept.generation.map_or_else(|| "-".to_owned(), |generation| generation.to_string()),
            kept.kind.name().to_owned(),
            kept.bytes.to_string(),
            kept.since.to_string(),
            escaped(&kept.name).into_owned(),
        ]
    };
    table::print(["KEY", "GEN", "KIND", "BYTES", "SINCE", "NAME"], &[1, 3], files.iter().map(cells).collect(), output)?;
    Ok(Outcome::Done)
}

fn show(args: &ShowArgs, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let mut reader = global.open_read_only()?.read_quarantined(&args.name)?;
    summary.files = 1;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let look = |source| Failure::Look { path: args.name.clone().into(), source };
        let count = reader.read(&mut buffer).map_err(look)?;
        let bytes = buffer.get(..count).unwrap_or_default();
        if bytes.is_empty() {
            return Ok(Outcome::Done);
        }
        if output.is_json() {
            let mut hex = String::with_capacity(count.saturating_mul(2));
            // Writing to a `String` can not fail.
            for byte in bytes {
                write!(hex, "{byte:02x}").ok();
            }
            output.object("piece", &PieceLine { offset: summary.bytes, bytes: count, hex })?;
        } else {
            output.text(bytes).map_err(Failure::Output)?;
        }
        summary.bytes = summary.bytes.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
    }
}

fn restore(
    args: &RestoreArgs,
    global: &Global,
    output: &mut Output,
    summary: &mut Summary,
) -> Result<Outcome, Failure> {
    let store = global.open_existing()?;
    let repaired = store.restore_quarantined(&args.name)?;
    summary.files = 1;
    if !output.is_json() {
        let text = format!("{}: back in its place, the repaired one is kept as {repaired}", escaped(&args.name));
        output.line(text.as_bytes())?;
    }
    summary.repaired = Some(repaired);
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

fn drop_files(
    args: &DropArgs,
    global: &Global,
    output: &mut Output,
    summary: &mut Summary,
) -> Result<Outcome, Failure> {
    summary.dry_run = Some(args.dry_run);
    let store = if args.dry_run { global.open_read_only()? } else { global.open_existing()? };
    let mut names = args.names.clone();
    if let Some(age) = args.older_than {
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let before_ms = Timestamp::now().unix_ms().saturating_sub(age_ms);
        let old = store.quarantined()?.into_iter().filter(|kept| kept.since.unix_ms() <= before_ms);
        names.extend(old.map(|kept| kept.name));
    }
    let mut outcome = Outcome::Done;
    for name in &names {
        let kept = match store.drop_quarantined(name, args.dry_run) {
            Ok(kept) => kept,
            // The others are dropped all the same.
            Err(error) => {
                let failure = Failure::Store(error);
                output.failure(&failure);
                outcome.worsen(Outcome::from(&failure));
                continue;
            }
        };
        summary.add(&kept);
        if output.is_json() {
            output.object("quarantined", &line_of(&kept, Some(!args.dry_run)))?;
        } else {
            let will = if args.dry_run { "would be " } else { "" };
            let text = format!("{}: {will}dropped, {}", escaped(name), counted(kept.bytes, "byte"));
            output.line(text.as_bytes())?;
        }
    }
    output.flush()?;
    let will = if args.dry_run { " would be" } else { "" };
    output.say(&format!("{}{will} dropped, {}", counted(summary.files, "file"), counted(summary.bytes, "byte")));
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}
