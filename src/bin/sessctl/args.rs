//! The command line: what holds for every command, and the list of commands.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};
use sesslog::{Options, SessionKey, Store};

use crate::commands::{
    append, completions, context, delete, doctor, export, fork, grep, import, info, label, list, mark, path, prune,
    quarantine, rebuild_index, repair, reset, resumable, show, stats, tail, title, trash, undo, verify,
};
use crate::outcome::Failure;

/// Ends the long help of every command.
pub(crate) const EXIT_STATUS: &str = "\
Exit status:
  0  sound or done
  1  failed (I/O, bad input)
  2  usage
  3  damage found, or data lost
  4  heals by itself: torn tail, missing or unusable registry (verify, doctor, and rebuild-index --dry-run)
  5  busy: another writer holds the session
  6  no such store or session
The worst of several wins in the order 1, 3, 5, 6, 4.";

const GLOBAL: &str = "Options of every command";

/// Look at and mend a crash-safe session store
///
/// Data goes to standard output, everything else to standard error. A closed pipe ends a command quietly.
#[derive(Debug, Parser)]
#[command(name = "sessctl", version, after_long_help = EXIT_STATUS, disable_help_subcommand = true)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Global {
    /// Folder of the store; by default sesslog in `$XDG_DATA_HOME` or `~/.local/share`
    #[arg(long, value_name = "DIR", env = "SESSLOG_STORE", global = true, help_heading = GLOBAL)]
    store: Option<PathBuf>,
    /// Print JSON lines, each with a "type"; the last is the summary
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub(crate) json: bool,
    /// Time to wait for a session that another process writes to
    #[arg(long, value_name = "SECONDS", default_value = "0", value_parser = seconds, global = true, help_heading = GLOBAL)]
    wait: Duration,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Append(append::Args),
    List(list::Args),
    Show(show::Args),
    Context(context::Args),
    Tail(tail::Args),
    Grep(grep::Args),
    Stats(stats::Args),
    Info(info::Args),
    Path(path::Args),
    Mark(mark::Args),
    Resumable(resumable::Args),
    Reset(reset::Args),
    Undo(undo::Args),
    Fork(fork::Args),
    Title(title::Args),
    Label(label::Args),
    Export(export::Args),
    Delete(delete::Args),
    Prune(prune::Args),
    Trash(trash::Args),
    Verify(verify::Args),
    RebuildIndex(rebuild_index::Args),
    Repair(repair::Args),
    Completions(completions::Args),
    Man(completions::ManArgs),
    Import(import::Args),
    Doctor(doctor::Args),
    Quarantine(quarantine::Args),
}

impl Args {
    /// Reads the command line. Help and version come as errors, too.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        let args = Self::try_parse()?;
        match &args.command {
            Command::Mark(mark) => mark.check()?,
            Command::Export(export) => export.check(&args.global)?,
            _ => {}
        }
        Ok(args)
    }
}

impl Global {
    fn store(&self) -> Result<PathBuf, Failure> {
        if let Some(store) = &self.store {
            return Ok(store.clone());
        }
        // The XDG specification: a relative path is to be ignored, as is an empty one.
        let data = std::env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let data = data.or_else(|| Some(std::env::home_dir()?.join(".local/share")));
        Ok(data.ok_or(Failure::NoHome)?.join("sesslog"))
    }

    /// Opens the store for a command that only looks.
    pub(crate) fn open_read_only(&self) -> Result<Store, Failure> {
        Ok(Options::new().open_read_only(self.store()?)?)
    }

    /// Opens the store for writing, making it if it is missing.
    pub(crate) fn open_or_create(&self, options: Options) -> Result<Store, Failure> {
        Ok(options.lock_wait(self.wait).open(self.store()?)?)
    }

    /// Opens the store for writing if there is one: what mends a store does not make it.
    pub(crate) fn open_existing(&self) -> Result<Store, Failure> {
        self.open_read_only()?;
        self.open_or_create(Options::new())
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// Reads a time span of one unit.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "not a duration like 90s, 30m, 2h or 7d".to_owned();
    let unit_at = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit_seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        "w" => 7 * 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(number.saturating_mul(unit_seconds)))
}

/// Reads a session key.
pub(crate) fn session_key(text: &str) -> Result<SessionKey, String> {
    SessionKey::new(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn every_command_ends_its_help_with_the_exit_status() {
        let mut command = Args::command();
        command.build();
        command.clone().debug_assert();
        let mut commands = vec![command];
        while let Some(mut command) = commands.pop() {
            let help = command.render_long_help().to_string();
            assert!(help.trim_end().ends_with("in the order 1, 3, 5, 6, 4."), "{help}");
            commands.extend(command.get_subcommands().cloned());
        }
    }

    #[test]
    fn waiting_takes_fractions_of_a_second() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        assert!(seconds("-1").is_err());
        assert!(seconds("soon").is_err());
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(duration("30m"), Ok(Duration::from_secs(1800)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(7 * 86400)));
        for bad in ["", "7", "d", "-1d", "1.5h", "1 h", "1y"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
