//! `sessctl label`

use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::change::{self, ChangeLine, Summary};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};
use crate::sessions::{SessionLine, state_of};

/// Give a session labels, or print those that it has
///
/// The labels given replace those before; at most 64 of at most 128 bytes. Without any, the present ones are printed, one a line,
/// and nothing is written. list --label finds a session by them.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// The labels, all of them
    #[arg(value_name = "LABEL")]
    labels: Vec<String>,
    /// Take all labels away
    #[arg(long, conflicts_with = "labels")]
    clear: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    if args.labels.is_empty() && !args.clear {
        let result = print(args, global, output);
        return output.finish(&Summary { key: args.key.as_str(), changed: false }, result);
    }
    let text = |_, _| {
        let labels: Vec<_> = args.labels.iter().map(|label| escaped(label)).collect();
        if labels.is_empty() { "no labels".to_owned() } else { format!("labels {}", labels.join(", ")) }
    };
    change::run(&args.key, global, output, |session| session.set_labels(&args.labels).map(|()| true), text)
}

fn print(args: &Args, global: &Global, output: &mut Output) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let row = store.session(args.key.as_str())?.row()?;
    if output.is_json() {
        let session = SessionLine::new(&store, &row, state_of(&store, &row)?);
        output.object("session", &ChangeLine { session, changed: false })?;
    } else {
        for label in &row.status.labels {
            output.line(escaped(label).as_bytes())?;
        }
    }
    Ok(Outcome::Done)
}
