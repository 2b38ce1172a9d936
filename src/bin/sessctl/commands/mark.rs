//! `sessctl mark`

use clap::error::ErrorKind;
use clap::{CommandFactory as _, ValueEnum};
use sesslog::SessionKey;

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::change;
use crate::outcome::Outcome;
use crate::render::Output;

/// Mark a session to be resumed or to be left alone
///
/// The mark is durable when the command ends, and works beside a live gateway: a session in which it runs a turn is busy. What
/// changes nothing says so, writes nothing and is no error; with --json "changed" tells.
///
/// A suspended session begins no turn and can not be marked to be resumed before it is released.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session; the newest generation is marked
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// The mark
    #[arg(value_enum)]
    mark: Mark,
    /// Why, for whoever looks later; needed by resume-pending and suspend
    #[arg(long, value_name = "R", required_if_eq_any([("mark", "resume-pending"), ("mark", "suspend")]))]
    reason: Option<String>,
}

/// Values and no subcommands: after `--` these are taken, too, so that a key may begin with a dash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Mark {
    /// To be resumed at the next start; reason and time replace those of before
    ResumePending,
    /// Not to be resumed any more
    Clear,
    /// Not to be resumed, and no turns, until it is released; what is suspended keeps its reason and time
    Suspend,
    /// Lift the suspension, and count resumes anew
    Release,
}

impl Args {
    /// Refuses a reason that would be kept nowhere, as clap can not by itself.
    pub(crate) fn check(&self) -> Result<(), clap::Error> {
        let name = match self.mark {
            Mark::Clear => "clear",
            Mark::Release => "release",
            Mark::ResumePending | Mark::Suspend => return Ok(()),
        };
        if self.reason.is_none() {
            return Ok(());
        }
        let message = format!("the argument '--reason <R>' cannot be used with '{name}'");
        let mut command = crate::args::Args::command();
        // With it a usage error knows how the command is called.
        command.build();
        let command = command.find_subcommand_mut("mark").map(std::mem::take).unwrap_or(command);
        Err({ command }.error(ErrorKind::ArgumentConflict, message))
    }
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let reason = args.reason.as_deref().unwrap_or_default();
    let mark = args.mark;
    let apply = |session: &sesslog::Session| match mark {
        Mark::ResumePending => session.mark_resume_pending(reason).map(|()| true),
        Mark::Clear => session.clear_resume_pending(),
        Mark::Suspend => session.suspend(reason),
        Mark::Release => session.lift_suspension(),
    };
    let text = |changed, _| {
        let text = match (mark, changed) {
            (Mark::ResumePending, _) => "pending",
            (Mark::Clear, true) => "not pending any more",
            (Mark::Clear, false) => "was not pending, nothing changed",
            (Mark::Suspend, true) => "suspended",
            (Mark::Suspend, false) => "was suspended already, nothing changed",
            (Mark::Release, true) => "released",
            (Mark::Release, false) => "was not suspended, nothing changed",
        };
        text.to_owned()
    };
    change::run(&args.key, global, output, apply, text)
}
