//! `sessctl path`

use serde::Serialize;
use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::locate;
use crate::outcome::{Failure, Outcome};
use crate::render::Output;

/// Print the path of a session's transcript
///
/// The transcript is JSON lines: jq, grep and tail read it. Do not write to it.
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
struct PathLine<'a> {
    key: &'a str,
    generation: u64,
    path: &'a str,
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
    let session = global.open_read_only()?.session(args.key.as_str())?;
    let (generation, path) = locate(&session, args.generation)?;
    summary.sessions = 1;
    if output.is_json() {
        let line = PathLine { key: args.key.as_str(), generation, path: &path.to_string_lossy() };
        output.object("session", &line)?;
    } else {
        // As it is, for `$(sessctl path KEY)`: no byte of the key gets into it unchanged.
        output.line(path.as_os_str().as_encoded_bytes())?;
    }
    Ok(Outcome::Done)
}
