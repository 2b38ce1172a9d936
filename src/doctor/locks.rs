//! The writers' locks: which are held for long, and by whom; which were left behind.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use crate::doctor::{Ailment, Found, Remedy, Symptom};
use crate::fs::FileKind;
use crate::index;
use crate::key::TranscriptName;
use crate::lock::{self, Holder};
use crate::store::inner::Inner;

/// A writer lets go after seconds without an append; a turn may take minutes.
const BUSY_MS: i64 = 60 * 60 * 1000;
/// Between the two looks at a lock that nobody holds: who has just made one, or is about to remove it, is done by then.
const PAUSE: Duration = Duration::from_millis(50);
/// Looked at twice; of more only the number is told.
const FREE_MAX: usize = 10_000;

/// The keys' locks, by the stems of their files.
#[derive(Debug, Default)]
pub(super) struct Locks {
    all: HashSet<String>,
    held: HashSet<String>,
}

impl Locks {
    /// Says whether there is a lock's file: somebody may be writing, or what was written last may be in doubt.
    pub(super) fn has(&self, stem: &str) -> bool {
        self.all.contains(stem)
    }

    /// Says whether somebody holds it.
    pub(super) fn is_held(&self, stem: &str) -> bool {
        self.held.contains(stem)
    }
}

pub(super) fn examine(inner: &Inner, found: &mut Found<'_>) -> Locks {
    let layout = &inner.layout;
    let folder = layout.locks();
    let mut locks = Locks::default();
    // A link leads to a folder that is not ours, a missing one is told of elsewhere.
    if !layout.fs.stat(&folder).is_ok_and(|stat| stat.kind == FileKind::Directory) {
        return locks;
    }
    let Some(all) = found.unlisted(&folder, layout.locked_stems()) else { return locks };
    locks.all = all;
    let (mut free, mut uncounted, mut busy) = (Vec::new(), 0_u64, BTreeMap::new());
    for stem in &locks.all {
        let path = layout.lock_of(stem);
        match lock::look(&*layout.fs, &path) {
            Ok(Some(look)) if look.held => {
                locks.held.insert(stem.clone());
                let age_ms = |holder: &Holder| layout.fs.now().unix_ms().saturating_sub(holder.since.unix_ms());
                if let Some(holder) = look.holder.filter(|holder| age_ms(holder) > BUSY_MS) {
                    busy.insert(stem.clone(), holder);
                }
            }
            Ok(Some(look)) if free.len() < FREE_MAX => free.push((stem, look.identity)),
            Ok(Some(_)) => uncounted = uncounted.saturating_add(1),
            Ok(None) => {}
            Err(error) => found.unreadable(&path, &error),
        }
    }
    if !free.is_empty() {
        layout.fs.pause(PAUSE);
    }
    free.sort_unstable();
    for (stem, identity) in free {
        let path = layout.lock_of(stem);
        if let Ok(Some(look)) = lock::look(&*layout.fs, &path)
            && (look.held, look.identity) == (false, identity)
        {
            let detail = look.holder.map(|holder| format!("last held by {holder}")).unwrap_or_default();
            found.add(Symptom::new(Ailment::StaleLock, Remedy::fix()).at(path).detail(detail));
        }
    }
    if uncounted > 0 {
        found.add(Symptom::new(Ailment::StaleLock, Remedy::fix()).at(&folder).count(uncounted));
    }
    tell_busy(inner, busy, found);
    locks
}

/// Tells of sessions that are held for long. Which key it is says one of its transcripts.
fn tell_busy(inner: &Inner, mut busy: BTreeMap<String, Holder>, found: &mut Found<'_>) {
    if busy.is_empty() {
        return;
    }
    let layout = &inner.layout;
    let mut names: BTreeMap<String, TranscriptName> = BTreeMap::new();
    let listed = layout.each_transcript(|name| {
        if busy.contains_key(&name.stem) {
            let newest = names.entry(name.stem.clone()).or_insert_with(|| name.clone());
            newest.generation = newest.generation.max(name.generation);
        }
    });
    found.unlisted(&layout.transcripts(), listed);
    while let Some((stem, holder)) = busy.pop_first() {
        let name = names.get(&stem);
        let key = name.and_then(|name| index::key_of(layout, name).ok());
        let Holder { pid, host, .. } = &holder;
        let remedy =
            Remedy::advice(format!("if it should not: stop process {pid} on {host}, it lets go of the session"));
        let symptom = Symptom::new(Ailment::SessionBusy, remedy).at(layout.lock_of(&stem));
        let generation = name.map(|name| name.generation);
        found.add(symptom.about(key.as_ref(), generation).detail(format!("held by {holder}")));
    }
}
