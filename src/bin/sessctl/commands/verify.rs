//! `sessctl verify`

use std::path::PathBuf;

use serde::Serialize;
use sesslog::import::compare;
use sesslog::{Error, Finding, FindingKind, Report, SessionKey, Severity, Store, VerifyOptions};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::import::{self, Sources};
use crate::outcome::{Failure, Outcome};
use crate::progress::with_bar;
use crate::render::{Output, causes, counted, escaped, range_text};

/// Check transcripts and registry without changing anything
///
/// Reads every transcript whole, safely beside live writers. Prints one line a finding, with the command that mends it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Keys of the sessions to check; all sessions and the registry by default
    #[arg(value_name = "KEY", value_parser = session_key)]
    keys: Vec<SessionKey>,
    /// Parse the JSON of every body, too
    #[arg(long)]
    deep: bool,
    /// Number of transcripts read at once; 0 stands for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
    /// Files and folders of histories: check instead whether every byte of them was imported
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["keys", "deep"])]
    against: Vec<PathBuf>,
    #[command(flatten)]
    sources: Sources,
}

/// A finding as `verify` and `rebuild-index` print it.
#[derive(Serialize)]
pub(crate) struct FindingLine<'a> {
    pub(crate) key: Option<&'a str>,
    pub(crate) generation: Option<u64>,
    pub(crate) path: String,
    pub(crate) offset: u64,
    pub(crate) seq: Option<u64>,
    pub(crate) bytes: u64,
    pub(crate) from_seq: Option<u64>,
    pub(crate) to_seq: Option<u64>,
    pub(crate) defect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
    /// What mends it; `None` where nothing is left to do.
    pub(crate) mend: Option<String>,
}

/// A source of which every byte is in the store.
#[derive(Serialize)]
struct KeptLine<'a> {
    key: &'a str,
    generation: u64,
    from: &'static str,
    path: String,
    bytes: u64,
    state: &'static str,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    records: u64,
    bytes: u64,
    findings: u64,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = if args.against.is_empty() {
        print(args, global, output, &mut summary)
    } else {
        against(args, global, output, &mut summary)
    };
    output.finish_as(&summary, result, status_name)
}

/// Returns the name of a verdict.
pub(crate) fn status_name(outcome: Outcome) -> &'static str {
    if outcome == Outcome::Done { "sound" } else { outcome.name() }
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let mut outcome = Outcome::Done;
    let mut keys = args.keys.clone();
    let report = loop {
        if keys.is_empty() && !args.keys.is_empty() {
            break Report::default();
        }
        match verify(&store, &keys, args) {
            // The other sessions are judged all the same.
            Err(error @ Error::SessionNotFound { .. }) => {
                let failure = Failure::Store(error);
                output.failure(&failure);
                outcome.worsen(Outcome::from(&failure));
                if let Failure::Store(Error::SessionNotFound { key, .. }) = failure {
                    keys.retain(|wanted| *wanted != key);
                }
            }
            report => break report?,
        }
    };
    summary.sessions = report.sessions;
    summary.records = report.records;
    summary.bytes = report.bytes;
    for finding in &report.findings {
        print_finding(&FindingLine::of(finding), output)?;
        outcome.worsen(outcome_of(&finding.kind));
        summary.findings += 1;
    }
    left_out(&report, output);
    summary.findings += report.findings_left_out;
    output.flush()?;
    let counts = [(summary.sessions, "session"), (summary.records, "record"), (summary.findings, "finding")];
    let counts = counts.map(|(count, thing)| counted(count, thing)).join(", ");
    output.say(&format!("{}: {counts}", status_name(outcome)));
    Ok(outcome)
}

/// Compares sources with what was imported of them.
fn against(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let options = args.sources.options(args.jobs);
    let compared = with_bar(|progress| compare(&store, &args.against, &options, progress));
    let mut outcome = Outcome::Done;
    for kept in &compared.kept {
        let path = kept.path.to_string_lossy().into_owned();
        let (key, generation, from) = (kept.key.as_str(), kept.generation, kept.system.name());
        let line = KeptLine { key, generation, from, path, bytes: kept.bytes, state: "kept" };
        if output.is_json() {
            output.object("session", &line)?;
        } else {
            let (bytes, path) = (counted(line.bytes, "byte"), escaped(&line.path));
            output.line(format!("{} generation {generation}: kept, {bytes}, {path}", escaped(key)).as_bytes())?;
        }
        summary.sessions += 1;
        summary.bytes += kept.bytes;
    }
    for finding in &compared.findings {
        import::print_finding(finding, output)?;
        outcome.worsen(import::outcome_of(&finding.kind));
        summary.findings += 1;
    }
    output.flush()?;
    let counts = [(summary.sessions, "session"), (summary.bytes, "byte"), (summary.findings, "finding")];
    let counts = counts.map(|(count, thing)| counted(count, thing)).join(", ");
    output.say(&format!("{}: {counts}", status_name(outcome)));
    Ok(outcome)
}

fn verify(store: &Store, keys: &[SessionKey], args: &Args) -> Result<Report, Error> {
    let options = VerifyOptions::new().deep(args.deep).jobs(args.jobs);
    let options = keys.iter().cloned().fold(options, VerifyOptions::key);
    with_bar(|progress| store.verify(&options, progress))
}

/// Says that not all findings were printed; the summary counts them all.
pub(crate) fn left_out(report: &Report, output: &Output) {
    if report.findings_left_out > 0 {
        output.say(&format!("{} more were found in transcripts with a thousand findings", report.findings_left_out));
    }
}

/// Returns what a finding makes of a store.
pub(crate) fn outcome_of(kind: &FindingKind) -> Outcome {
    outcome_of_severity(kind.severity())
}

/// Returns what a finding of this severity makes of a store.
pub(crate) fn outcome_of_severity(severity: Severity) -> Outcome {
    match severity {
        Severity::Info | Severity::Warning => Outcome::Done,
        Severity::Heals => Outcome::Heals,
        Severity::Damage => Outcome::Damaged,
        _ => Outcome::Failed,
    }
}

impl<'a> FindingLine<'a> {
    pub(crate) fn of(finding: &'a Finding) -> Self {
        let (from_seq, to_seq) = finding.lost.unzip();
        Self {
            key: finding.key.as_ref().map(SessionKey::as_str),
            generation: finding.generation,
            path: finding.path.to_string_lossy().into_owned(),
            offset: finding.offset,
            seq: Some(finding.seq),
            bytes: finding.bytes,
            from_seq,
            to_seq,
            defect: finding.kind.name(),
            error: match &finding.kind {
                FindingKind::Unreadable(error) => Some(chain_text(error)),
                _ => None,
            },
            mend: Some(finding.mend()),
        }
    }

    fn text(&self) -> String {
        let mut parts = Vec::new();
        if let (Some(key), Some(generation)) = (self.key, self.generation) {
            parts.push(format!("{} generation {generation}", escaped(key)));
        }
        let record = self.seq.filter(|seq| *seq > 0).map(|seq| format!("record {seq} "));
        if self.bytes > 0 || record.is_some() {
            parts.push(format!("{}at byte {}", record.unwrap_or_default(), self.offset));
            parts.push(counted(self.bytes, "byte"));
        }
        parts.extend(self.from_seq.zip(self.to_seq).map(|lost| format!("{} lost", range_text(lost))));
        parts.push(escaped(&self.path).into_owned());
        parts.extend(self.error.as_deref().map(|error| escaped(error).into_owned()));
        parts.extend(self.mend.as_deref().map(|mend| format!("mend: {}", escaped(mend))));
        format!("{}: {}", self.defect, parts.join(", "))
    }
}

/// Prints a finding as a line.
pub(crate) fn print_finding(finding: &FindingLine<'_>, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() { output.object("finding", finding) } else { output.line(finding.text().as_bytes()) }
}

/// Spells an error and its causes in one line.
pub(crate) fn chain_text(error: &Error) -> String {
    causes(error).into_iter().fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}
