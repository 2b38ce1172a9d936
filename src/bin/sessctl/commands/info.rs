//! `sessctl info`

use serde::Serialize;
use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::list::SessionLine;
use crate::commands::locate;
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};

/// Show what is known of a session
///
/// Counts and sizes cover the transcript up to its end, or up to the first damage; "file bytes" is the size of the whole file.
/// Whether a transcript is sound says verify.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
}

#[derive(Serialize)]
struct InfoLine<'a> {
    #[serde(flatten)]
    session: SessionLine<'a>,
    file_bytes: u64,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let session = store.session(args.key.as_str())?;
    let (generation, path) = locate(&session, args.generation)?;
    let row = session.row_of(Some(generation))?;
    let file_bytes = match std::fs::symlink_metadata(&path) {
        Ok(metadata) => metadata.len(),
        Err(source) => return Err(Failure::Look { path, source }),
    };
    summary.sessions = 1;
    if output.is_json() {
        output.object("session", &InfoLine { session: SessionLine::new(&store, &row), file_bytes })?;
        return Ok(Outcome::Done);
    }
    let parent = row
        .parent
        .as_ref()
        .map(|parent| format!("{} generation {} up to record {}", escaped(&parent.key), parent.generation, parent.seq));
    let fields = [
        ("key", Some(escaped(&row.key).into_owned())),
        ("generation", Some(row.generation.to_string())),
        ("id", Some(escaped(&row.id).into_owned())),
        ("parent", parent),
        ("title", row.title.as_deref().map(|title| escaped(title).into_owned())),
        ("state", Some(row.state.name().to_owned())),
        ("created", Some(row.created.to_string())),
        ("updated", Some(row.updated.to_string())),
        ("records", Some(row.records.to_string())),
        ("bytes", Some(row.length_bytes.to_string())),
        ("file bytes", Some(file_bytes.to_string())),
        ("last seq", Some(row.last_seq.to_string())),
        ("last crc", Some(row.last_crc.to_string())),
        ("durable seq", Some(row.durable_seq.to_string())),
    ];
    for (name, value) in fields {
        if let Some(value) = value {
            output.line(format!("{name:12} {value}").as_bytes())?;
        }
    }
    output.line(&[b"path         ", path.as_os_str().as_encoded_bytes()].concat())?;
    Ok(Outcome::Done)
}
