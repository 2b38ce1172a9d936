//! `sessctl doctor`

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;
use sesslog::{Ailment, Diagnosis, DoctorOptions, Healed, Remedy, SessionKey, Severity, Store, Symptom};

use crate::args::{EXIT_STATUS, Global};
use crate::commands::rebuild_index::close;
use crate::commands::verify::{outcome_of_severity, status_name};
use crate::outcome::{Failure, Outcome};
use crate::progress::with_bar;
use crate::render::{Output, counted, escaped};

/// Examine the store and what it stands on
///
/// Looks at the file system, the disk, modes, owners, the clock, the registry, every transcript, locks, leftovers, quarantine and
/// trash. Prints a block for each finding, the worst first: its id, how bad it is, where, what it means, and the command that settles
/// it. Safe beside a live gateway: it takes no session's lock. It writes one temp file to try the disk, not with --quick.
///
/// With --fix it settles those that lose nothing: folders, modes, leftover temp files, the registry, torn tails, stale locks. Then it
/// looks once more, and says what is left. Findings of severity info and warning leave the exit status 0.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Settle what can be settled without losing anything
    #[arg(long)]
    fix: bool,
    /// Do not try out syncs and locks
    #[arg(long)]
    quick: bool,
    /// Pass over findings with this id; may be given several times
    #[arg(long, value_name = "ID", value_parser = ailment)]
    ignore: Vec<Ailment>,
    /// Number of transcripts read at once; 0 stands for one a core
    #[arg(long, value_name = "N", default_value_t = 0)]
    jobs: usize,
}

fn ailment(text: &str) -> Result<Ailment, String> {
    Ailment::from_name(text).ok_or_else(|| "not the id of a finding; the README has them all".to_owned())
}

#[derive(Serialize)]
struct FindingLine<'a> {
    id: &'static str,
    severity: &'static str,
    key: Option<&'a str>,
    generation: Option<u64>,
    path: Option<String>,
    offset: Option<u64>,
    count: u64,
    detail: &'a str,
    meaning: &'static str,
    /// What a shell runs to settle it.
    command: Option<&'a str>,
    /// What settles it where no command does.
    advice: Option<&'a str>,
    /// Whether this run has settled it.
    fixed: bool,
}

#[derive(Serialize)]
struct FixLine<'a> {
    id: &'static str,
    path: Option<String>,
    done: &'a str,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    records: u64,
    bytes: u64,
    /// What was found, and is not settled by now.
    findings: u64,
    damage: u64,
    failed: u64,
    heals: u64,
    warnings: u64,
    infos: u64,
    fixed: u64,
    file_system: Option<String>,
    free_bytes: Option<u64>,
    fsync_p50_us: Option<u64>,
    fsync_p99_us: Option<u64>,
    descriptors_max: Option<u64>,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = examine(args, global, output, &mut summary);
    output.finish_as(&summary, result, status_name)
}

fn examine(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let options = DoctorOptions::new().quick(args.quick).jobs(args.jobs);
    let options = args.ignore.iter().copied().fold(options, DoctorOptions::ignore);
    let look = || -> Result<Diagnosis, Failure> {
        let store = global.open_read_only()?;
        Ok(with_bar(|progress| store.doctor(&options, progress)))
    };
    let first = look()?;
    let mut outcome = Outcome::Done;
    if !args.fix || !first.symptoms.iter().any(|symptom| symptom.ailment.is_healed()) {
        print(&first, &HashSet::new(), output, summary, &mut outcome)?;
        return Ok(outcome);
    }
    let writable = || -> Result<Store, Failure> {
        global.open_read_only()?.check_owner()?;
        global.open_existing()
    };
    let healed = writable().and_then(|store| heal(&store, &first, args, output, &mut outcome));
    let healed = match healed {
        Ok(healed) => healed,
        Err(failure) => {
            // What there is to say of the store is said all the same.
            print(&first, &HashSet::new(), output, summary, &mut outcome)?;
            return Err(failure);
        }
    };
    let now = look()?;
    let left: HashSet<_> = now.symptoms.iter().map(identity).collect();
    let settled = first.symptoms.iter().filter(|symptom| !left.contains(&identity(symptom))).map(identity).collect();
    for done in &healed {
        print_fix(done, output)?;
    }
    print_settled(&first, &settled, output, summary)?;
    print(&now, &settled, output, summary, &mut outcome)?;
    Ok(outcome)
}

fn heal(
    store: &Store,
    diagnosis: &Diagnosis,
    args: &Args,
    output: &mut Output,
    outcome: &mut Outcome,
) -> Result<Vec<Healed>, Failure> {
    let healed = with_bar(|progress| store.heal(diagnosis, args.jobs, progress))?;
    close(store, output, outcome)?;
    Ok(healed)
}

/// What makes two symptoms the same one.
type Identity = (Ailment, Option<SessionKey>, Option<u64>, Option<PathBuf>);

fn identity(symptom: &Symptom) -> Identity {
    (symptom.ailment, symptom.key.clone(), symptom.generation, symptom.path.clone())
}

fn print_fix(done: &Healed, output: &mut Output) -> Result<(), Failure> {
    let path = done.path.as_ref().map(|path| path.to_string_lossy().into_owned());
    if output.is_json() {
        return output.object("fix", &FixLine { id: done.ailment.name(), path, done: &done.what });
    }
    let place = path.map(|path| format!("{}: ", escaped(&path))).unwrap_or_default();
    output.line(format!("fixed {}: {place}{}", done.ailment.name(), escaped(&done.what)).as_bytes())
}

/// Programs get what was found and is settled, too.
fn print_settled(
    first: &Diagnosis,
    settled: &HashSet<Identity>,
    output: &mut Output,
    summary: &mut Summary,
) -> Result<(), Failure> {
    for symptom in first.symptoms.iter().filter(|symptom| settled.contains(&identity(symptom))) {
        summary.fixed += 1;
        if output.is_json() {
            output.object("finding", &line_of(symptom, true))?;
        }
    }
    Ok(())
}

fn print(
    diagnosis: &Diagnosis,
    settled: &HashSet<Identity>,
    output: &mut Output,
    summary: &mut Summary,
    outcome: &mut Outcome,
) -> Result<(), Failure> {
    for (at, symptom) in diagnosis.symptoms.iter().enumerate() {
        let severity = symptom.ailment.severity();
        outcome.worsen(outcome_of_severity(severity));
        *match severity {
            Severity::Info => &mut summary.infos,
            Severity::Warning => &mut summary.warnings,
            Severity::Heals => &mut summary.heals,
            Severity::Damage => &mut summary.damage,
            _ => &mut summary.failed,
        } += 1;
        if output.is_json() {
            output.object("finding", &line_of(symptom, false))?;
        } else {
            if at > 0 || !settled.is_empty() {
                output.line(b"")?;
            }
            for line in block(symptom) {
                output.line(line.as_bytes())?;
            }
        }
    }
    let Diagnosis { sessions, records, bytes, descriptors_max, .. } = *diagnosis;
    (summary.sessions, summary.records, summary.bytes) = (sessions, records, bytes);
    summary.descriptors_max = descriptors_max;
    summary.findings = u64::try_from(diagnosis.symptoms.len()).unwrap_or(u64::MAX).saturating_add(diagnosis.left_out);
    summary.file_system = diagnosis.mount.as_ref().map(|mount| mount.kind.clone());
    summary.free_bytes = diagnosis.mount.as_ref().map(|mount| mount.free_bytes);
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    summary.fsync_p50_us = diagnosis.syncs.map(|syncs| micros(syncs.p50));
    summary.fsync_p99_us = diagnosis.syncs.map(|syncs| micros(syncs.p99));
    output.flush()?;
    if diagnosis.left_out > 0 {
        output.say(&format!("{} more are like those above", diagnosis.left_out));
    }
    output.say(&verdict(diagnosis, summary, *outcome));
    Ok(())
}

fn line_of(symptom: &Symptom, fixed: bool) -> FindingLine<'_> {
    let (command, advice) = match &symptom.remedy {
        Remedy::Command(text) => (Some(text.as_str()), None),
        Remedy::Advice(text) => (None, Some(text.as_str())),
        _ => (None, None),
    };
    FindingLine {
        id: symptom.ailment.name(),
        severity: symptom.ailment.severity().name(),
        key: symptom.key.as_ref().map(SessionKey::as_str),
        generation: symptom.generation,
        path: symptom.path.as_ref().map(|path| path.to_string_lossy().into_owned()),
        offset: symptom.offset,
        count: symptom.count,
        detail: &symptom.detail,
        meaning: symptom.ailment.meaning(),
        command,
        advice,
        fixed,
    }
}

/// A finding for people: what and where, what it means, what to do.
fn block(symptom: &Symptom) -> Vec<String> {
    let line = line_of(symptom, false);
    let mut parts = Vec::new();
    if let Some(key) = line.key {
        let generation = line.generation.map(|generation| format!(" generation {generation}")).unwrap_or_default();
        parts.push(format!("{}{generation}", escaped(key)));
    }
    // Of a registry it is the line, which the detail says.
    let is_transcript = line.key.is_some() || line.generation.is_some();
    parts.extend(line.offset.filter(|_| is_transcript).map(|offset| format!("at byte {offset}")));
    parts.extend(Some(line.detail).filter(|detail| !detail.is_empty()).map(|detail| escaped(detail).into_owned()));
    parts.extend(line.path.as_deref().map(|path| escaped(path).into_owned()));
    let mut lines =
        vec![format!("{} ({}): {}", line.id, line.severity, parts.join(", ")), format!("  {}", line.meaning)];
    lines.extend(line.command.map(|command| format!("  run: {}", escaped(command))));
    lines.extend(line.advice.map(|advice| format!("  do: {}", escaped(advice))));
    lines
}

fn verdict(diagnosis: &Diagnosis, summary: &Summary, outcome: Outcome) -> String {
    let mut parts = vec![counted(summary.sessions, "session"), counted(summary.findings, "finding")];
    if summary.fixed > 0 {
        parts.push(format!("{} fixed", summary.fixed));
    }
    let kind = diagnosis.mount.as_ref().map(|mount| mount.kind.as_str()).filter(|kind| !kind.is_empty());
    parts.extend(kind.map(|kind| format!("on {kind}")));
    parts.extend(
        diagnosis.syncs.map(|syncs| format!("a sync takes {:.1?} (p50) to {:.1?} (p99)", syncs.p50, syncs.p99)),
    );
    format!("{}: {}", status_name(outcome), parts.join(", "))
}
