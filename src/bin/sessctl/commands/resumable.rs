//! `sessctl resumable`

use serde::Serialize;
use sesslog::resume::{ResumePolicy, Verdict, since};
use sesslog::{Item, Mark, Row, Store, Timestamp};

use crate::args::{EXIT_STATUS, Global};
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, counted, escaped};
use crate::sessions::{RUNNING, is_own, retain_newest, rows_of};
use crate::table;

/// Where a store keeps its starts.
const STORE_KEY: &str = "~store";
/// Records of them that are read, from the newest on: more than the breaker of any gateway counts.
const STARTS_MAX: usize = 1000;

/// List what a start of the gateway would resume
///
/// Looks only: notes no start, suspends nothing, and works on a read-only mount and beside a live gateway. Prints one line a
/// session, oldest first: key, generation, why (interrupted: a turn did not end; pending: marked to be resumed), age, number of
/// resumes tried, verdict, and the reason of what is pending.
///
/// The verdict is resume, stale (too old), exhausted (tried too often: a start would suspend it) or running (somebody is at it).
/// Sessions that are closed, suspended or have nothing to resume are left out. If too many starts found sessions to resume
/// lately, a start offers none of them and this says so, by the defaults of the library's breaker.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXIT_STATUS)]
pub(crate) struct Args {
    /// Age up to which a session is resumed; 0 stands for any [default: 3600]
    #[arg(long, value_name = "SECONDS")]
    fresh: Option<u32>,
    /// Number of tries without success after which a session is not resumed; 0 stands for no limit [default: 3]
    #[arg(long, value_name = "N")]
    attempts: Option<u64>,
}

impl Args {
    fn policy(&self) -> ResumePolicy {
        let mut policy = ResumePolicy::new();
        if let Some(seconds) = self.fresh {
            policy = policy.fresh_for(seconds.into());
        }
        if let Some(attempts) = self.attempts {
            policy = policy.attempts_max(attempts);
        }
        policy
    }
}

#[derive(Serialize)]
struct ResumableLine<'a> {
    key: &'a str,
    generation: u64,
    why: &'static str,
    reason: Option<&'a str>,
    since: Timestamp,
    age_seconds: i64,
    resume_attempts: u64,
    verdict: &'static str,
}

#[derive(Default, Serialize)]
struct Summary {
    sessions: u64,
    resume: u64,
    stale: u64,
    exhausted: u64,
    running: u64,
    unreadable: u64,
    /// Too many starts found sessions to resume: a start now would offer none.
    held_back: bool,
}

pub(crate) fn run(args: &Args, global: &Global, output: &mut Output) -> Outcome {
    let mut summary = Summary::default();
    let result = print(args, global, output, &mut summary);
    output.finish(&summary, result)
}

fn print(args: &Args, global: &Global, output: &mut Output, summary: &mut Summary) -> Result<Outcome, Failure> {
    let store = global.open_read_only()?;
    let (now, policy) = (Timestamp::now(), args.policy());
    let (mut rows, mut unreadable) = rows_of(&store)?;
    retain_newest(&mut rows);
    rows.retain(|row| !is_own(row));
    rows.sort_by_key(since);
    let mut judged = Vec::new();
    for row in &rows {
        match judge(&store, row, &policy, now) {
            Ok(Some(verdict)) => judged.push((row, verdict)),
            Ok(None) => {}
            Err(failure) => unreadable.push(failure),
        }
    }
    for (_, verdict) in &judged {
        summary.sessions += 1;
        *match *verdict {
            "resume" => &mut summary.resume,
            "stale" => &mut summary.stale,
            RUNNING => &mut summary.running,
            _ => &mut summary.exhausted,
        } += 1;
    }
    if summary.resume > 0 {
        match is_held_back(&store, &policy, now) {
            Ok(held_back) => summary.held_back = held_back,
            // What there is to resume is known all the same.
            Err(failure) => unreadable.push(failure),
        }
    }
    if output.is_json() {
        for (row, verdict) in &judged {
            output.object("session", &line_of(row, verdict, now))?;
        }
    } else {
        print_table(&judged, now, output)?;
    }
    if summary.held_back {
        output.flush()?;
        let sessions = counted(summary.resume, "session");
        output.say(&format!(
            "held back: too many starts found sessions to resume lately; a start now offers none of {sessions}"
        ));
    }
    let mut outcome = Outcome::Done;
    for failure in unreadable {
        output.failure(&failure);
        outcome.worsen(Outcome::from(&failure));
        summary.unreadable += 1;
    }
    Ok(outcome)
}

/// Judges a session as a start does, but for the suspending. `None`: there is nothing to resume.
fn judge(store: &Store, row: &Row, policy: &ResumePolicy, now: Timestamp) -> Result<Option<&'static str>, Failure> {
    let verdict = match policy.judge(row, now) {
        Verdict::Resume => "resume",
        Verdict::Stale => "stale",
        Verdict::Exhausted => "exhausted",
        _ => return Ok(None),
    };
    Ok(Some(if store.session(&row.key)?.is_running()? { RUNNING } else { verdict }))
}

/// Says whether a start now would be one too many.
fn is_held_back(store: &Store, policy: &ResumePolicy, now: Timestamp) -> Result<bool, Failure> {
    let mut found = vec![now];
    let own = store.session(STORE_KEY)?;
    let marks = match own.backward() {
        Ok(marks) => marks,
        Err(error) if error.is_not_found() => return Ok(policy.is_broken(&found, now)),
        Err(error) => return Err(error.into()),
    };
    for item in marks.take(STARTS_MAX) {
        if let Item::Record(record) = item?
            && let Some(Mark::ResumesFound { .. }) = record.as_mark()
        {
            found.push(record.ts());
        }
    }
    Ok(policy.is_broken(&found, now))
}

fn line_of<'a>(row: &'a Row, verdict: &'static str, now: Timestamp) -> ResumableLine<'a> {
    let pending = row.status.pending.as_ref();
    ResumableLine {
        key: &row.key,
        generation: row.generation,
        why: if pending.is_some() { "pending" } else { "interrupted" },
        reason: pending.map(|flag| flag.reason.as_str()),
        since: since(row),
        age_seconds: age_seconds(row, now),
        resume_attempts: row.status.resume_attempts,
        verdict,
    }
}

/// What a clock has turned back behind is as young as can be.
fn age_seconds(row: &Row, now: Timestamp) -> i64 {
    now.unix_ms().saturating_sub(since(row).unix_ms()).max(0) / 1000
}

fn print_table(judged: &[(&Row, &'static str)], now: Timestamp, output: &mut Output) -> Result<(), Failure> {
    let cells = |(row, verdict): &(&Row, &'static str)| {
        let line = line_of(row, verdict, now);
        [
            escaped(line.key).into_owned(),
            line.generation.to_string(),
            line.why.to_owned(),
            age_text(line.age_seconds),
            line.resume_attempts.to_string(),
            line.verdict.to_owned(),
            escaped(line.reason.unwrap_or_default()).into_owned(),
        ]
    };
    let rows = judged.iter().map(cells).collect();
    table::print(["KEY", "GEN", "WHY", "AGE", "TRIES", "VERDICT", "REASON"], &[1, 3, 4], rows, output)
}

/// Spells an age in its largest unit, rounded down, as `list --active` takes it.
fn age_text(seconds: i64) -> String {
    let units = [(86400, "d"), (3600, "h"), (60, "m")];
    // From two of a unit on: one day would hide too many hours.
    let unit = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", seconds / unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        for (seconds, text) in
            [(0, "0s"), (119, "119s"), (120, "2m"), (7199, "119m"), (7200, "2h"), (172_799, "47h"), (172_800, "2d")]
        {
            assert_eq!(age_text(seconds), text);
        }
    }
}
