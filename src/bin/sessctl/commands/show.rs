//! `sessctl show`

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;

use serde::Deserialize;
use serde_json::value::RawValue;
use sesslog::format::KIND_HEADER;
use sesslog::{Crc, Item, ReadOptions, SessionKey, Timestamp};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::{locate, start_of_last};
use crate::outcome::{Failure, Outcome};
use crate::render::{Origin, Output, Printed, RecordLine};

/// No header is longer: a key of 512 bytes, every one escaped, twice (a fork), and the frame.
const HEADER_BYTES_MAX: u64 = 16 * 1024;

/// Print the records of a session
///
/// Prints the body of each record as one line of JSON, byte for byte as it was appended. Damage shows as gaps: on standard error,
/// or as objects among the JSON lines, and by exit status 3.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// First record wanted
    #[arg(long, value_name = "SEQ", conflicts_with = "tail")]
    from: Option<u64>,
    /// Number of records wanted from the end
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
    /// Print the store's own marks, too
    #[arg(long)]
    marks: bool,
    /// Print whole lines as they stand in the transcript; with --marks also the header
    #[arg(long)]
    frames: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Printed::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Printed) -> Result<Outcome, Failure> {
    let session = global.open_read_only()?.session(args.key.as_str())?;
    let (generation, path) = locate(&session, args.generation)?;
    let origin = Origin { key: &args.key, generation };
    let from = match args.tail {
        Some(count) => start_of_last(&session, Some(generation), count)?,
        None => args.from.unwrap_or_default(),
    };
    let mut items = session.read(&ReadOptions::new().generation(generation).from_seq(from))?.peekable();
    let header_is_bad = matches!(items.peek(), Some(Ok(Item::Gap(gap))) if gap.offset == 0);
    if args.marks && args.frames && from == 0 && !header_is_bad {
        print_header(&path, origin, output)?;
    }
    let mut outcome = Outcome::Done;
    for item in items {
        match item? {
            Item::Record(record) if record.is_mark() && !args.marks => {}
            item => outcome.worsen(summary.item(origin, &item, args.frames, output)?),
        }
    }
    summary.hint(output)?;
    Ok(outcome)
}

/// Line 0 as far as a record's JSON line needs it.
#[derive(Deserialize)]
struct Header<'a> {
    ts: Timestamp,
    #[serde(borrow)]
    body: &'a RawValue,
    crc: &'a str,
}

/// Prints line 0, which is no record to the library.
fn print_header(path: &Path, origin: Origin<'_>, output: &mut Output) -> Result<(), Failure> {
    let mut line = String::new();
    File::open(path)
        .and_then(|file| BufReader::new(file.take(HEADER_BYTES_MAX)).read_line(&mut line))
        .map_err(|source| Failure::Look { path: path.to_owned(), source })?;
    let line = line.trim_end_matches('\n');
    if !output.is_json() {
        return output.line(line.as_bytes());
    }
    // The library has read it as a sound header just now.
    let Ok(header) = serde_json::from_str::<Header<'_>>(line) else { return Ok(()) };
    let line = RecordLine {
        key: origin.key.as_str(),
        generation: origin.generation,
        seq: 0,
        ts: header.ts,
        kind: KIND_HEADER,
        id: None,
        crc: Crc::from_hex(header.crc.as_bytes()).unwrap_or_default(),
        durable: 0,
        frame: Some(line),
        body: header.body,
    };
    output.object("record", &line)
}
