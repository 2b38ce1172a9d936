//! What a verification of all transcripts finds, as symptoms.

use std::collections::HashSet;
use std::path::PathBuf;

use crate::doctor::folders::quoted;
use crate::doctor::locks::Locks;
use crate::doctor::{Ailment, Found, Remedy, Symptom, chain_text, counted};
use crate::finding::{Finding, FindingKind};
use crate::header::Header;
use crate::key::SessionKey;
use crate::layout::Layout;
use crate::store::Store;
use crate::store::graves;
use crate::verify::{Progress, VerifyOptions};

/// The transcripts that something is wrong with: what their rows say is no matter.
pub(super) type Judged = HashSet<PathBuf>;

pub(super) fn examine(store: &Store, locks: &Locks, progress: &Progress, found: &mut Found<'_>) -> Judged {
    let layout = &store.inner().layout;
    let options = VerifyOptions::new().jobs(found.options.jobs);
    let report = match store.verify(&options, progress) {
        Ok(report) => report,
        Err(error) => {
            found.unreadable(&layout.transcripts(), &error);
            return Judged::default();
        }
    };
    let diagnosis = &mut found.diagnosis;
    (diagnosis.sessions, diagnosis.records, diagnosis.bytes) = (report.sessions, report.records, report.bytes);
    diagnosis.left_out = diagnosis.left_out.saturating_add(report.findings_left_out);
    // A session that a temp file still has is not gone.
    let found_again = found.diagnosis.symptoms.iter().filter(|it| it.ailment == Ailment::TempFileAcknowledged);
    let found_again: HashSet<_> = found_again.map(|it| (it.key.clone(), it.generation)).collect();
    let mut judged = Judged::default();
    for finding in report.findings {
        judged.insert(finding.path.clone());
        if matches!(finding.kind, FindingKind::RowWithoutFile)
            && found_again.contains(&(finding.key.clone(), finding.generation))
        {
            continue;
        }
        if let Some(symptom) = symptom_of(layout, locks, &finding) {
            found.add(symptom);
        }
    }
    judged
}

/// Spells a finding as a symptom; those of the registry are looked at more closely elsewhere.
fn symptom_of(layout: &Layout, locks: &Locks, finding: &Finding) -> Option<Symptom> {
    let (mut offset, mut detail) = (Some(finding.offset), details(finding));
    let (ailment, remedy) = match &finding.kind {
        FindingKind::RegistryMissing | FindingKind::RegistryUnusable => return None,
        FindingKind::Damage(defect) => {
            let ailment = Ailment::of_defect(*defect);
            let mend = finding.mend();
            (ailment, if finding.key.is_some() { Remedy::command(mend) } else { Remedy::advice(mend) })
        }
        FindingKind::Torn | FindingKind::Unterminated => {
            // Its writer is at it, or will be.
            let is_open = finding.key.as_ref().is_some_and(|key| locks.is_held(&key.file_stem()));
            if is_open {
                return None;
            }
            let is_torn = matches!(finding.kind, FindingKind::Torn);
            (if is_torn { Ailment::Torn } else { Ailment::Unterminated }, Remedy::rebuild())
        }
        FindingKind::Misfiled => (Ailment::Misfiled, remedy_of_misfiled(layout, finding, &mut detail)),
        FindingKind::UnsupportedFormat => (Ailment::UnsupportedFormat, Remedy::advice(finding.mend())),
        FindingKind::RowWithoutFile => {
            offset = None;
            (Ailment::RowWithoutFile, remedy_of_lost(finding))
        }
        // A body that is no JSON is only looked for when that is asked for.
        FindingKind::NotJson => (Ailment::DamageMalformed, Remedy::advice(finding.mend())),
        FindingKind::Unreadable(error) => {
            (offset, detail) = (None, chain_text(error));
            (Ailment::Unreadable, Remedy::advice(finding.mend()))
        }
    };
    let symptom = Symptom { offset, ..Symptom::new(ailment, remedy) }.at(&finding.path).detail(detail);
    Some(symptom.about(finding.key.as_ref(), finding.generation))
}

fn details(finding: &Finding) -> String {
    let mut parts = Vec::new();
    if finding.seq > 0 {
        parts.push(format!("record {}", finding.seq));
    }
    if finding.bytes > 0 {
        parts.push(counted(finding.bytes, "byte"));
    }
    parts.extend(finding.lost.map(|(from_seq, to_seq)| {
        if from_seq == to_seq {
            format!("record {from_seq} lost")
        } else {
            format!("records {from_seq} to {to_seq} lost")
        }
    }));
    parts.join(", ")
}

fn remedy_of_lost(finding: &Finding) -> Remedy {
    let restored = finding.path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Remedy::advice(format!(
        "restore {restored} from a backup to transcripts/, or accept the loss: sessctl rebuild-index --accept-loss"
    ))
}

/// It gets its own name back, if nobody has that.
fn remedy_of_misfiled(layout: &Layout, finding: &Finding, detail: &mut String) -> Remedy {
    let header = graves::header(layout, &finding.path).ok().flatten();
    let Some(Header { body, .. }) = header else { return Remedy::advice(finding.mend()) };
    let Ok(key) = SessionKey::new(&body.key) else { return Remedy::advice(finding.mend()) };
    *detail = format!("its header names {:?} generation {}", body.key, body.generation);
    let to = layout.transcript(&key, body.generation);
    let to = if layout.is_gone(&to) { to } else { layout.root.join("") };
    Remedy::command(format!("mv -n {} {}", quoted(&finding.path), quoted(&to)))
}
