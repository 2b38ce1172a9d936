//! `sessctl import`

use std::path::PathBuf;

use serde::Serialize;
use sesslog::import::{Finding, FindingKind, ImportOptions, Imported, ImportedSession, State, System, import, plan};
use sesslog::{Error, Options, SessionKey};

use crate::args::{EXIT_STATUS, Global};
use crate::commands::rebuild_index::close;
use crate::commands::verify::chain_text;
use crate::outcome::{Failure, Outcome, hint};
use crate::progress::with_bar;
use crate::render::{Output, counted, escaped};

/// Bring histories of other systems into the store
///
/// Each file becomes a session, each line of it a record with the line as its body. What is there already is passed over, what a
/// file has gained is appended, a file that was rewritten becomes the next generation. Files are only read.
///
/// A line that can not be a record is kept as bytes, what can be read of it follows as records, and it is reported: sessctl verify
/// --against says whether every byte of a file is in the store.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Files and folders of histories
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
    /// Number of files imported at once; 0 stands for eight a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

/// What holds for whoever reads sources.
#[derive(Debug, clap::Args)]
pub(crate) struct Sources {
    /// System that wrote them; auto takes each file for what it looks like
    #[arg(long, value_name = "SYSTEM", default_value = "auto", value_parser = system())]
    from: String,
    /// What stands before the system's own name of a session in its key, instead of pi: and the like
    #[arg(long, value_name = "PREFIX")]
    key_prefix: Option<String>,
}

fn system() -> clap::builder::PossibleValuesParser {
    clap::builder::PossibleValuesParser::new(std::iter::once("auto").chain(System::ALL.map(System::name)))
}

impl Sources {
    pub(crate) fn options(&self, jobs: usize) -> ImportOptions {
        let mut options = ImportOptions::new().jobs(jobs);
        if let Ok(system) = self.from.parse() {
            options = options.from(system);
        }
        match &self.key_prefix {
            Some(prefix) => options.key_prefix(prefix),
            None => options,
        }
    }
}

#[derive(Serialize)]
struct SessionLine<'a> {
    key: &'a str,
    generation: u64,
    from: &'static str,
    path: String,
    state: &'static str,
    lines: u64,
    bytes: u64,
    records: u64,
    messages: u64,
    raw_lines: u64,
    raw_bytes: u64,
    salvaged: u64,
}

#[derive(Serialize)]
struct FindingLine<'a> {
    key: Option<&'a str>,
    path: String,
    line: Option<u64>,
    offset: u64,
    bytes: u64,
    defect: &'static str,
    /// Whether all that was read is in the store all the same.
    kept: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    salvaged: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    mend: Option<String>,
}

#[derive(Default, Serialize)]
struct Summary {
    sources: u64,
    new: u64,
    grown: u64,
    unchanged: u64,
    next_generation: u64,
    lines: u64,
    bytes: u64,
    records: u64,
    messages: u64,
    raw_lines: u64,
    raw_bytes: u64,
    salvaged: u64,
    findings: u64,
    not_imported: u64,
    passed_over: u64,
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary { dry_run: args.dry_run, ..Summary::default() };
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let options = args.sources.options(args.jobs);
    let mut outcome = Outcome::Done;
    let imported = if args.dry_run {
        let store = match global.open_read_only() {
            // An import would make it.
            Err(Failure::Store(Error::StoreNotFound { .. })) => None,
            store => Some(store?),
        };
        with_bar(|progress| plan(store.as_ref(), &args.paths, &options, progress))
    } else {
        let store = global.open_or_create(Options::new())?;
        let imported = with_bar(|progress| import(&store, &args.paths, &options, progress));
        close(&store, output, &mut outcome)?;
        imported
    };
    print_all(&imported, output, summary)?;
    for finding in &imported.findings {
        print_finding(finding, output)?;
        outcome.worsen(outcome_of(&finding.kind));
        summary.not_imported += u64::from(!finding.kind.is_kept());
    }
    output.flush()?;
    if imported.findings_left_out > 0 {
        output.say(&format!("{} more were found in files with a thousand findings", imported.findings_left_out));
    }
    output.say(&text_of(summary));
    Ok(outcome)
}

fn print_all(imported: &Imported, output: &mut Output, summary: &mut Summary) -> Result<(), Failure> {
    for session in &imported.sessions {
        let state = match session.state {
            State::New => &mut summary.new,
            State::Grown => &mut summary.grown,
            State::NextGeneration => &mut summary.next_generation,
            _ => &mut summary.unchanged,
        };
        *state += 1;
        summary.sources += 1;
        summary.lines += session.lines;
        summary.bytes += session.bytes;
        summary.records += session.records;
        summary.messages += session.messages;
        summary.raw_lines += session.raw_lines;
        summary.raw_bytes += session.raw_bytes;
        summary.salvaged += session.salvaged;
        print_session(session, output)?;
    }
    summary.findings = imported.findings_left_out;
    summary.findings += imported.findings.iter().fold(0, |count, _| count + 1);
    summary.passed_over = imported.passed_over;
    Ok(())
}

fn print_session(session: &ImportedSession, output: &mut Output) -> Result<(), Failure> {
    let line = SessionLine {
        key: session.key.as_str(),
        generation: session.generation,
        from: session.system.name(),
        path: session.path.to_string_lossy().into_owned(),
        state: session.state.name(),
        lines: session.lines,
        bytes: session.bytes,
        records: session.records,
        messages: session.messages,
        raw_lines: session.raw_lines,
        raw_bytes: session.raw_bytes,
        salvaged: session.salvaged,
    };
    if output.is_json() {
        return output.object("session", &line);
    }
    let key = escaped(line.key);
    let (generation, state, records) = (line.generation, line.state, counted(line.records, "record"));
    output.line(format!("{key} generation {generation}: {state}, {records}, {}", escaped(&line.path)).as_bytes())
}

/// Prints what was found of a source.
pub(crate) fn print_finding(finding: &Finding, output: &mut Output) -> Result<(), Failure> {
    let (salvaged, error) = match &finding.kind {
        FindingKind::KeptRaw { salvaged, .. } => (Some(*salvaged), None),
        FindingKind::Unreadable(error) => (None, Some(chain_text(&Error::Io(error.clone())))),
        FindingKind::Store(error) | FindingKind::NoMark(error) => (None, Some(chain_text(error))),
        FindingKind::KeyClaimed { by } => (None, Some(format!("it is that of {}", by.display()))),
        FindingKind::BadImport { generation, seq } => {
            (None, Some(format!("record {seq} of generation {generation} does not hold what an import writes")))
        }
        FindingKind::KeyReplaced(error) => (None, Some(error.to_string())),
        FindingKind::BadRegistry { reason } | FindingKind::Database { reason } => (None, Some(reason.clone())),
        FindingKind::OtherSystem(system) => (None, Some(format!("it is of {system}"))),
        _ => (None, None),
    };
    let line = FindingLine {
        key: finding.key.as_ref().map(SessionKey::as_str),
        path: finding.path.to_string_lossy().into_owned(),
        line: finding.line,
        offset: finding.offset,
        bytes: finding.bytes,
        defect: finding.kind.name(),
        kept: finding.kind.is_kept(),
        salvaged,
        error,
        mend: mend(&finding.kind).or_else(|| finding.advice()),
    };
    if output.is_json() { output.object("finding", &line) } else { output.line(line.text().as_bytes()) }
}

fn mend(kind: &FindingKind) -> Option<String> {
    if let FindingKind::Store(error) = kind { hint(error) } else { None }
}

impl FindingLine<'_> {
    fn text(&self) -> String {
        let mut parts = vec![escaped(&self.path).into_owned()];
        if let Some(line) = self.line {
            parts.push(format!("line {line} at byte {}", self.offset));
        } else if self.offset > 0 {
            parts.push(format!("from byte {} on", self.offset));
        }
        if self.bytes > 0 {
            parts.push(counted(self.bytes, "byte"));
        }
        if let Some(salvaged) = self.salvaged {
            parts.push(format!("kept as bytes, {} read of it", counted(salvaged, "record")));
        }
        if let Some(key) = self.key.filter(|_| self.line.is_none()) {
            parts.push(escaped(key).into_owned());
        }
        parts.extend(self.error.as_deref().map(|error| escaped(error).into_owned()));
        parts.extend(self.mend.as_deref().map(|mend| format!("mend: {}", escaped(mend))));
        format!("{}: {}", self.defect, parts.join(", "))
    }
}

/// Returns what a finding makes of a command.
pub(crate) fn outcome_of(kind: &FindingKind) -> Outcome {
    match kind {
        FindingKind::Store(error) => Outcome::from(error),
        FindingKind::NotImported | FindingKind::Missing | FindingKind::Differs => Outcome::Damaged,
        kind if kind.is_kept() => Outcome::Done,
        _ => Outcome::Failed,
    }
}

fn text_of(summary: &Summary) -> String {
    let states = [
        (summary.new, "new"),
        (summary.grown, "grown"),
        (summary.next_generation, "next generation"),
        (summary.unchanged, "unchanged"),
    ];
    let states: Vec<_> =
        states.into_iter().filter(|(count, _)| *count > 0).map(|(count, name)| format!("{count} {name}")).collect();
    let states = if states.is_empty() { String::new() } else { format!(" ({})", states.join(", ")) };
    let counts = [(summary.lines, "line"), (summary.bytes, "byte"), (summary.findings, "finding")];
    let counts = counts.map(|(count, thing)| counted(count, thing)).join(", ");
    let what = if summary.dry_run { "nothing was changed: " } else { "" };
    format!("{what}{}{states}, {counts}", counted(summary.sources, "session"))
}
