//! `sessctl title`

use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::change;
use crate::outcome::Outcome;
use crate::render::{Output, escaped};

/// Give a session a title
///
/// The title is shown by list and info. It is that of one generation: after a reset the next one has none.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// The title; an empty one takes it away
    #[arg(value_name = "TEXT")]
    title: String,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let title = args.title.as_str();
    let text = |_, _| if title.is_empty() { "no title".to_owned() } else { format!("title {}", escaped(title)) };
    change::run(&args.key, global, output, |session| session.set_title(title).map(|()| true), text)
}
