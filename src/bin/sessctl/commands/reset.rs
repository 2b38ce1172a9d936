//! `sessctl reset`

use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::change;
use crate::outcome::Outcome;
use crate::render::Output;

/// Close a session's newest generation
///
/// The next append begins the next generation, with nothing of this one in it. The transcript stays and can be shown with
/// --generation; what was pending, suspended or an open turn in it is over. What is closed already stays as it is: the command
/// says so, writes nothing, and is no error.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Why, for whoever looks later
    #[arg(long, value_name = "R", default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let text = |changed, generation: u64| {
        if changed {
            format!("closed, the next append begins generation {}", generation.saturating_add(1))
        } else {
            "was closed already, nothing changed".to_owned()
        }
    };
    change::run(&args.key, global, output, |session| session.reset(&args.reason), text)
}
