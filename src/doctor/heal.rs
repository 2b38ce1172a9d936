//! What a doctor settles without being asked twice: only what loses nothing.

use std::path::PathBuf;
use std::time::Duration;

use crate::doctor::folders::{Leftover, each_leftover, each_wrong_mode};
use crate::doctor::locks::{self, Locks};
use crate::doctor::{Ailment, Diagnosis, DoctorOptions, Found, counted};
use crate::error::Error;
use crate::fs::{IoContext as _, PathError};
use crate::lock::{Lock, LockError, Purpose};
use crate::rebuild::{RebuildOptions, RebuildOutcome};
use crate::store::Store;
use crate::store::inner::Inner;
use crate::transcript::first_line::HeaderState;
use crate::verify::Progress;

/// Something that was settled.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Healed {
    /// What it was.
    pub ailment: Ailment,
    /// Where, if it was in one place.
    pub path: Option<PathBuf>,
    /// What was done.
    pub what: String,
}

pub(super) fn heal(
    store: &Store,
    diagnosis: &Diagnosis,
    jobs: usize,
    progress: &Progress,
) -> Result<Vec<Healed>, Error> {
    let inner: &Inner = store.inner();
    inner.check_writable()?;
    store.check_owner()?;
    let layout = &inner.layout;
    let mut healed = Vec::new();
    for symptom in diagnosis.symptoms.iter().filter(|symptom| symptom.ailment == Ailment::FolderMissing) {
        // Whoever opened the store for writing has made it.
        if symptom.path.as_ref().is_some_and(|path| !layout.is_gone(path)) {
            let (ailment, path) = (Ailment::FolderMissing, symptom.path.clone());
            healed.push(Healed { ailment, path, what: "made".to_owned() });
        }
    }
    if diagnosis.has(|it| matches!(it, Ailment::ModeOpen | Ailment::ModeClosed)) {
        heal_modes(inner, diagnosis, &mut healed)?;
    }
    let options = DoctorOptions::new();
    let locks = locks::examine(inner, &mut Found::new(&options));
    if diagnosis.has(|it| it == Ailment::TempFile) {
        heal_temps(inner, &locks, &mut healed)?;
    }
    let is_stale = diagnosis.has(|it| it == Ailment::StaleLock);
    let is_folded = |it: Ailment| it.is_of_registry() || matches!(it, Ailment::Torn | Ailment::Unterminated);
    if is_stale || diagnosis.has(is_folded) {
        let rebuilt = store.rebuild_index(RebuildOptions::new().jobs(jobs), progress)?;
        let is_of = |outcome: &RebuildOutcome| matches!(outcome, RebuildOutcome::Torn { cut: true, .. });
        for note in rebuilt.notes.into_iter().filter(|note| is_of(&note.outcome)) {
            let what = "cut, the bytes are in quarantine/".to_owned();
            healed.push(Healed { ailment: Ailment::Torn, path: Some(note.path), what });
        }
        if diagnosis.has(is_folded) {
            let first = diagnosis.symptoms.iter().map(|symptom| symptom.ailment).find(|it| is_folded(*it));
            let what = format!("the registry was folded again, {}", counted(rebuilt.rows, "row"));
            let path = Some(layout.registry());
            healed.push(Healed { ailment: first.unwrap_or(Ailment::RegistryBehind), path, what });
        }
    }
    if is_stale {
        heal_locks(inner, diagnosis, &mut healed);
    }
    Ok(healed)
}

pub(super) fn check_owner(inner: &Inner) -> Result<(), Error> {
    let layout = &inner.layout;
    let owner = layout.fs.stat(&layout.root).context("stat", &layout.root)?.owner;
    match layout.fs.user().filter(|user| *user != owner) {
        Some(user) => Err(Error::ForeignOwner { path: layout.root.clone(), owner, user }),
        None => Ok(()),
    }
}

fn heal_modes(inner: &Inner, diagnosis: &Diagnosis, healed: &mut Vec<Healed>) -> Result<(), PathError> {
    let layout = &inner.layout;
    let mut failed = None;
    each_wrong_mode(layout, |ailment, path, stat, wanted| {
        // What somebody wants as it is was not found.
        if !diagnosis.has(|it| it == ailment) {
            return;
        }
        let mode = (stat.mode & !0o777) | (wanted & 0o777);
        match layout.fs.set_mode(path, mode).context("set the mode of", path) {
            Ok(()) => {
                let what = format!("mode {:04o} instead of {:04o}", mode & 0o777, stat.mode & 0o777);
                healed.push(Healed { ailment, path: Some(path.to_owned()), what });
            }
            Err(error) => failed = failed.take().or(Some(error)),
        }
    })?;
    failed.map_or(Ok(()), Err)
}

fn heal_temps(inner: &Inner, locks: &Locks, healed: &mut Vec<Healed>) -> Result<(), Error> {
    let mut leftovers = Vec::new();
    each_leftover(&inner.layout, locks, |leftover| leftovers.push(leftover))?;
    for leftover in leftovers {
        healed.extend(heal_temp(inner, &leftover)?);
    }
    Ok(())
}

/// Removes what holds no record, or only what is in a transcript, too; sets anything else aside. Whoever makes a transcript's temp
/// file holds the key's lock, so with that in hand it is nobody's.
fn heal_temp(inner: &Inner, leftover: &Leftover) -> Result<Option<Healed>, Error> {
    let layout = &inner.layout;
    let path = &leftover.entry.path;
    let _lock = match leftover.name.stem().map(|stem| acquire(inner, &layout.lock_of(stem))) {
        Some(Err(LockError::Busy(_))) => return Ok(None),
        Some(Err(LockError::Io(error))) => return Err(error.into()),
        Some(Ok(lock)) => Some(lock),
        None => None,
    };
    // The last look: it may have got its name meanwhile, and what the registry knows was acknowledged.
    if layout.is_gone(path) || leftover.acknowledged(inner).is_some() {
        return Ok(None);
    }
    let unborn = leftover.transcript.as_ref().filter(|name| {
        layout.is_gone(&layout.transcripts().join(name.to_string())) && holds_more_than_a_header(inner, leftover)
    });
    let what = if let Some(name) = unborn {
        layout.create_folder(&layout.quarantine())?;
        let kept = format!("{}.{}.{}.unborn", name.stem, name.generation, leftover.name.unique);
        let to = layout.quarantine().join(&kept);
        layout.fs.rename_new(path, &to).context("rename a temp file to", &to)?;
        layout.fs.sync_dir(&layout.quarantine()).context("fsync folder", &layout.quarantine())?;
        format!("set aside as quarantine/{kept}")
    } else {
        layout.fs.remove(path).context("remove", path)?;
        "removed, it held nothing that is not elsewhere".to_owned()
    };
    Ok(Some(Healed { ailment: Ailment::TempFile, path: Some(path.clone()), what }))
}

fn holds_more_than_a_header(inner: &Inner, leftover: &Leftover) -> bool {
    let bytes = leftover.entry.stat.length_bytes;
    let header = HeaderState::open(&*inner.layout.fs, &leftover.entry.path);
    bytes > 0 && !matches!(header, Ok(HeaderState::Sound { data_start, .. }) if data_start >= bytes)
}

fn acquire(inner: &Inner, path: &std::path::Path) -> Result<Lock, LockError> {
    Lock::acquire(&inner.layout.fs, path, inner.layout.file_mode, Duration::ZERO, Purpose::Brief)
}

/// A rebuild has settled the locks of keys that have transcripts. Of a key without one nothing is in doubt.
fn heal_locks(inner: &Inner, diagnosis: &Diagnosis, healed: &mut Vec<Healed>) {
    let layout = &inner.layout;
    let mut stems = std::collections::HashSet::new();
    if layout.each_transcript(|name| stems.extend([name.stem])).is_err() {
        return;
    }
    for symptom in diagnosis.symptoms.iter().filter(|symptom| symptom.ailment == Ailment::StaleLock) {
        let Some(path) = &symptom.path else { continue };
        let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        if !layout.is_gone(path)
            && !stems.contains(&stem)
            && let Ok(mut lock) = acquire(inner, path)
        {
            lock.settle();
        }
        if layout.is_gone(path) {
            let what = "removed, every transcript of its key is durable".to_owned();
            healed.push(Healed { ailment: Ailment::StaleLock, path: Some(path.clone()), what });
        }
    }
}
