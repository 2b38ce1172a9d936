//! `sessctl rebuild-index`

use serde::Serialize;
use sesslog::{
    Defect, Error, FindingKind, RebuildNote, RebuildOptions, RebuildOutcome, SessionKey, Store, VerifyOptions,
};

use crate::args::{EXIT_STATUS, Global};
use crate::commands::verify::{FindingLine, chain_text, left_out, outcome_of, print_finding};
use crate::outcome::{Failure, Outcome, hint};
use crate::progress::with_bar;
use crate::render::{Output, counted};

/// Fold the registry again from the transcripts
///
/// Reads every transcript, cuts torn tails of those that no one is writing to (the bytes are kept in quarantine/), and replaces
/// the registry at the end. Never touches damage, never deletes, never asks.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Only report what is not as it should be; exit status 4 if a run would mend it
    #[arg(long)]
    dry_run: bool,
    /// Leave torn tails where they are
    #[arg(long)]
    no_truncate: bool,
    /// Forget records and transcripts that the registry knows of and that are gone, after a restored backup
    #[arg(long)]
    accept_loss: bool,
    /// Number of transcripts read at once; 0 stands for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    records: u64,
    rows: u64,
    busy: u64,
    torn: u64,
    findings: u64,
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary { dry_run: args.dry_run, ..Summary::default() };
    let result = if args.dry_run {
        look(args, global, output, &mut summary)
    } else {
        rebuild(args, global, output, &mut summary)
    };
    output.finish(&summary, result)
}

fn look(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let options = VerifyOptions::new().jobs(args.jobs);
    let report = with_bar(|progress| store.verify(&options, progress))?;
    summary.sessions = report.sessions;
    summary.records = report.records;
    let mut outcome = Outcome::Done;
    for finding in &report.findings {
        let is_loss = matches!(finding.kind, FindingKind::RowWithoutFile | FindingKind::Damage(Defect::Lost));
        print_finding(&FindingLine::of(finding), output)?;
        outcome.worsen(if is_loss && args.accept_loss { Outcome::Heals } else { outcome_of(&finding.kind) });
        summary.torn += u64::from(matches!(finding.kind, FindingKind::Torn));
        summary.findings += 1;
    }
    left_out(&report, output);
    summary.findings += report.findings_left_out;
    output.flush()?;
    let counts = [counted(summary.sessions, "session"), counted(summary.findings, "finding")].join(", ");
    output.say(&format!("nothing was changed: {counts}"));
    Ok(outcome)
}

fn rebuild(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_existing()?;
    let options = RebuildOptions::new().no_truncate(args.no_truncate).accept_loss(args.accept_loss).jobs(args.jobs);
    let rebuilt = with_bar(|progress| store.rebuild_index(options, progress))?;
    summary.sessions = rebuilt.sessions;
    summary.records = rebuilt.records;
    summary.rows = rebuilt.rows;
    let mut outcome = Outcome::Done;
    for note in &rebuilt.notes {
        print_finding(&line_of(note), output)?;
        outcome.worsen(match &note.outcome {
            RebuildOutcome::Failed(error) => Outcome::from(error),
            RebuildOutcome::RowWithoutFile { accepted: false } => Outcome::Damaged,
            _ => Outcome::Done,
        });
        summary.busy += u64::from(matches!(note.outcome, RebuildOutcome::Busy));
        summary.torn += u64::from(matches!(note.outcome, RebuildOutcome::Torn { .. }));
        summary.findings += 1;
    }
    close(&store, output, &mut outcome)?;
    output.flush()?;
    let counts = [(summary.sessions, "session"), (summary.records, "record"), (summary.torn, "torn tail")];
    let counts = counts.map(|(count, thing)| counted(count, thing)).join(", ");
    output.say(&format!("{counts}, {} busy", summary.busy));
    Ok(outcome)
}

/// Closes a store and reports what could not be made durable.
pub(crate) fn close(store: &Store, output: &mut Output, outcome: &mut Outcome) -> Result<(), Failure> {
    for (_, error) in store.close()?.failures {
        let failure = Failure::Store(error);
        output.failure(&failure);
        outcome.worsen(Outcome::from(&failure));
    }
    Ok(())
}

fn line_of(note: &RebuildNote) -> FindingLine<'_> {
    let mut line = FindingLine {
        key: note.key.as_ref().map(SessionKey::as_str),
        generation: Some(note.generation),
        path: note.path.to_string_lossy().into_owned(),
        offset: 0,
        seq: None,
        bytes: 0,
        from_seq: None,
        to_seq: None,
        defect: "unreadable",
        error: None,
        mend: None,
    };
    match &note.outcome {
        RebuildOutcome::Torn { offset, bytes, cut } => {
            line.defect = if *cut { "torn-cut" } else { "torn" };
            (line.offset, line.bytes) = (*offset, *bytes);
        }
        RebuildOutcome::Busy => line.defect = "busy",
        RebuildOutcome::RowWithoutFile { accepted } => {
            line.defect = "row-without-file";
            let mend = "restore the file from a backup, or: sessctl rebuild-index --accept-loss";
            line.mend = (!accepted).then(|| mend.to_owned());
        }
        RebuildOutcome::Failed(error) => {
            line.mend = hint(error);
            match error {
                Error::Damaged { gap, .. } => {
                    line.defect = gap.defect.name();
                    (line.offset, line.seq, line.bytes) = (gap.offset, Some(gap.expected_seq), gap.bytes);
                    (line.from_seq, line.to_seq) = gap.lost.unzip();
                }
                Error::HeaderDamaged { bytes, .. } => (line.defect, line.bytes) = ("header", *bytes),
                Error::UnsupportedFormat { .. } => line.defect = "unsupported-format",
                Error::Misfiled { .. } => line.defect = "misfiled",
                error => line.error = Some(chain_text(error)),
            }
        }
        _ => {}
    }
    line
}
