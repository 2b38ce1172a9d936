//! `sessctl completions` and `sessctl man`: what shells and `man` know of the command line, made from it.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;
use sesslog::{Durability, atomic};

use crate::args;
use crate::outcome::{Failure, Outcome};
use crate::render::Output;

/// Print what a shell needs to complete the command line
///
/// For bash, for example: sessctl completions bash > ~/.local/share/bash-completion/completions/sessctl
#[derive(Debug, clap::Args)]
#[command(after_long_help = args::EXIT_STATUS)]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Write the manual pages, one for each command
///
/// With a folder writes all of them into it, else prints that of the command itself.
#[derive(Debug, clap::Args)]
#[command(after_long_help = args::EXIT_STATUS)]
pub(crate) struct ManArgs {
    /// Folder to write sessctl.1, sessctl-append.1 ... into
    folder: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Outcome {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut args::Args::command(), "sessctl", &mut text);
    let printed = output.raw(&text).map(|()| Outcome::Done);
    output.finish_plain(printed)
}

pub(crate) fn run_man(args: &ManArgs, output: &mut Output) -> Outcome {
    let done = man(args, output).map(|()| Outcome::Done);
    output.finish_plain(done)
}

fn man(args: &ManArgs, output: &mut Output) -> Result<(), Failure> {
    let mut command = args::Args::command().disable_help_subcommand(true);
    command.build();
    let Some(folder) = &args.folder else { return output.raw(&page(command)?) };
    let mut commands = vec![command];
    while let Some(command) = commands.pop() {
        let name = command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned();
        commands.extend(command.get_subcommands().cloned());
        write(&folder.join(format!("{name}.1")), &page(command)?)?;
    }
    Ok(())
}

fn write(path: &Path, page: &[u8]) -> Result<(), Failure> {
    atomic::write(path, page, Durability::Buffered).map_err(|error| Failure::Store(error.into()))
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    // Without the day of the build: the same command line gives the same page.
    Man::new(command).date("").render(&mut page).and_then(|()| page.flush()).map_err(Failure::Output)?;
    Ok(page)
}
