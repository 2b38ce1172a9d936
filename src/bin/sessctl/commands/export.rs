//! `sessctl export`

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, ValueEnum};
use serde::Serialize;
use sesslog::export::{self, ExportError, ExportOptions, Exported, Format};
use sesslog::import::{self, OriginalError};
use sesslog::{Durability, Session, SessionKey, atomic};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, counted, gap_text};

/// Write a session as a page, as text, or in the shape of another system
///
/// jsonl: the bodies, one a line, byte for byte. markdown: text with headings. html: one page with everything in it, without
/// network; open it in a browser. openai: {"messages":[...]} as chat completions take them, of what a model should see now. pi: a
/// session file of pi, version 3. as-imported: the file that the session was imported from, byte for byte; what was appended
/// since is left out, and so are --active and --redact, with which it would not be that file.
///
/// What was undone and what a summary stands for is in the export and marked there, unless --active is given. A generation that a
/// reset closed is shown as it was then. Damage shows where the format has a place for it, on standard error, and by exit
/// status 3; what is readable is exported.
///
/// --redact replaces what looks like a secret: keys of well-known services, bearer tokens, JWTs, private keys, passwords in URLs,
/// values of names like SECRET that look random. It says how many of which kind. It is a help and no guarantee: look at the
/// export before you give it away.
///
/// With --json, --output is needed: standard output has JSON lines then.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// What to write it as
    #[arg(long = "as", value_name = "FORMAT")]
    format: Named,
    /// Generation of the key; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// File to write, replaced as a whole; readable for its owner only. Standard output by default
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace what looks like a key, a token or a password
    #[arg(long)]
    redact: bool,
    /// Only what a model should see now
    #[arg(long)]
    active: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Named {
    Jsonl,
    Markdown,
    Html,
    Openai,
    Pi,
    AsImported,
}

impl Named {
    /// Returns the format, none for what an import keeps.
    fn format(self) -> Option<Format> {
        match self {
            Self::Jsonl => Some(Format::Jsonl),
            Self::Markdown => Some(Format::Markdown),
            Self::Html => Some(Format::Html),
            Self::Openai => Some(Format::OpenAi),
            Self::Pi => Some(Format::Pi),
            Self::AsImported => None,
        }
    }
}

impl Args {
    /// Refuses what does not go together.
    pub(crate) fn check(&self, global: &Global) -> Result<(), clap::Error> {
        let refuse = |what: &str| {
            let mut command = crate::args::Args::command();
            // With it a usage error knows how the command is called.
            command.build();
            let command = command.find_subcommand_mut("export").map(std::mem::take).unwrap_or(command);
            Err({ command }.error(ErrorKind::ArgumentConflict, what))
        };
        if global.json && self.output.is_none() {
            return refuse("--json needs --output FILE: standard output would hold JSON lines and the export");
        }
        if self.format.format().is_none() && self.redact {
            return refuse("--redact can not be used with --as as-imported: it would not be the original");
        }
        if self.format.format().is_none() && self.active {
            return refuse("--active can not be used with --as as-imported: it would not be the original");
        }
        Ok(())
    }
}

#[derive(Default, Serialize)]
struct Summary {
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<String>,
    generation: u64,
    records: u64,
    gaps: usize,
    redacted: BTreeMap<&'static str, u64>,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = write(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn write(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let mut options = ExportOptions::new().active(args.active).redact(args.redact);
    if let Some(generation) = args.generation {
        options = options.generation(generation);
    }
    let session = store.session(args.key.as_str())?;
    let export = |out: &mut dyn Write| match args.format.format() {
        Some(format) => export::write(&store, &args.key, format, &options, out).map_err(Failure::from),
        None => original(&session, args.generation, out),
    };
    let exported = match &args.output {
        None => export(&mut Screen { output })?,
        Some(path) => {
            let mut bytes = Vec::new();
            let exported = export(&mut bytes)?;
            atomic::write(path, &bytes, Durability::Sync).map_err(sesslog::Error::from)?;
            summary.output = Some(path.to_string_lossy().into_owned());
            exported
        }
    };
    output.flush()?;
    tell(&exported, args.redact, output);
    summary.generation = exported.generation;
    summary.records = exported.records;
    summary.gaps = exported.gaps.len();
    summary.redacted = exported.redacted;
    Ok(if summary.gaps > 0 { Outcome::Damaged } else { Outcome::Done })
}

/// Writes what an import kept.
fn original(session: &Session, generation: Option<u64>, mut out: &mut dyn Write) -> Result<Exported, Failure> {
    let original = import::write_original(session, generation, &mut out)?;
    let mut exported = Exported::default();
    exported.generation = generation.map_or_else(|| session.generation(), Ok)?;
    exported.records = original.lines;
    Ok(exported)
}

fn tell(exported: &Exported, redact: bool, output: &Output) {
    for gap in &exported.gaps {
        output.say(&format!("gap: {}", gap_text(gap)));
    }
    if !exported.gaps.is_empty() {
        output.hint("sessctl verify, to see which command mends it");
    }
    if redact {
        let total = exported.redacted.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let kinds: Vec<_> = exported.redacted.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        let kinds = if kinds.is_empty() { String::new() } else { format!(": {}", kinds.join(", ")) };
        output.say(&format!("{} redacted{kinds}", counted(total, "secret")));
    }
}

/// Standard output, which may be a terminal.
struct Screen<'a> {
    output: &'a mut Output,
}

impl Write for Screen<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.text(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<OriginalError> for Failure {
    fn from(error: OriginalError) -> Self {
        match error {
            OriginalError::Store(error) => Self::Store(error),
            OriginalError::Write(error) => Self::Output(error),
            other => Self::Original(other),
        }
    }
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Store(error) => Self::Store(error),
            ExportError::Write(error) => Self::Output(error),
            other => Self::Export(other),
        }
    }
}
