//! `sessctl repair`

use serde::Serialize;
use sesslog::{Defect, Repaired, SessionKey};

use crate::args::{EXIT_STATUS, Global, session_key};
use crate::commands::rebuild_index::close;
use crate::outcome::{Failure, Outcome};
use crate::render::{Origin, Output, escaped, gap_text, range_text};

/// Salvage a damaged transcript into a new file
///
/// Keeps every sound record with its number, and puts a gap mark where records are lost. The original goes to quarantine/, nothing
/// is deleted. Does nothing to a transcript that is sound or only torn. Exit status 3 says that records are lost for good,
/// or may be (a transcript of which nothing could be read); with --dry-run that there is damage.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Key of the session
    #[arg(value_parser = session_key)]
    key: SessionKey,
    /// Generation of the key; the newest by default
    #[arg(long, value_name = "G")]
    generation: Option<u64>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Default, Serialize)]
struct Summary {
    key: String,
    generation: Option<u64>,
    path: Option<String>,
    gaps: usize,
    records_kept: u64,
    records_lost: u64,
    /// First and last seq of each run.
    lost: Vec<(u64, u64)>,
    records_set_aside: u64,
    quarantine: Option<String>,
    dry_run: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary { key: args.key.as_str().to_owned(), dry_run: args.dry_run, ..Summary::default() };
    let result = repair(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn repair(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = if args.dry_run { global.open_read_only()? } else { global.open_existing()? };
    let repaired = store.repair(&args.key, args.generation, args.dry_run)?;
    let quarantine = repaired
        .quarantine
        .as_ref()
        .map(|name| store.path().join(sesslog::format::QUARANTINE_DIR).join(name).to_string_lossy().into_owned());
    summary.generation = Some(repaired.generation);
    summary.path = Some(repaired.path.to_string_lossy().into_owned());
    summary.gaps = repaired.gaps.len();
    summary.records_kept = repaired.records_kept;
    summary.records_lost = lost_count(&repaired);
    summary.lost.clone_from(&repaired.lost);
    summary.records_set_aside = repaired.records_set_aside;
    summary.quarantine.clone_from(&quarantine);
    print(args, &repaired, quarantine.as_deref(), output)?;
    let is_damage = if args.dry_run { !repaired.gaps.is_empty() } else { is_lossy(&repaired) };
    let mut outcome = if is_damage { Outcome::Damaged } else { Outcome::Done };
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Says whether records are, or may be, lost for good.
fn is_lossy(repaired: &Repaired) -> bool {
    // Behind a header that took everything along nobody knows how many there were.
    let header_is_lost = repaired.gaps.iter().any(|gap| gap.defect == Defect::Header);
    !repaired.lost.is_empty() || (header_is_lost && repaired.records_kept == 0)
}

fn lost_count(repaired: &Repaired) -> u64 {
    let count = |(from_seq, to_seq): &(u64, u64)| to_seq.saturating_sub(*from_seq).saturating_add(1);
    repaired.lost.iter().map(count).fold(0, u64::saturating_add)
}

fn print(args: &Args, repaired: &Repaired, quarantine: Option<&str>, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let origin = Origin { key: &args.key, generation: repaired.generation };
        return repaired.gaps.iter().try_for_each(|gap| output.gap(origin, gap));
    }
    let name = format!("{} generation {}", escaped(args.key.as_str()), repaired.generation);
    if repaired.gaps.is_empty() {
        return output.line(format!("{name}: nothing to repair, {} records", repaired.records_kept).as_bytes());
    }
    let will = if args.dry_run { "would be " } else { "" };
    let mut lines = vec![format!("{name}: {}", escaped(&repaired.path.to_string_lossy()))];
    lines.extend(repaired.gaps.iter().map(|gap| format!("found {}", gap_text(gap))));
    lines.push(format!("{} records {will}kept", repaired.records_kept));
    lines.extend(repaired.lost.iter().map(|lost| format!("{} lost", range_text(*lost))));
    if repaired.records_set_aside > 0 {
        lines.push(format!("{} records {will}set aside", repaired.records_set_aside));
    }
    lines.extend(quarantine.map(|path| format!("original kept in {}", escaped(path))));
    lines.iter().try_for_each(|line| output.line(line.as_bytes()))
}
