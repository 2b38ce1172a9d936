//! Deleting, restoring, pruning and forking in a program: a session is wholly there or wholly in the trash, what was deleted
//! does not come back by itself, what was not asked for does not go, and a fork is whole or not at all.

use std::path::Path;

use sesslog::sim::SimFs;
use sesslog::{Error, PruneOptions, SessionKey, Store, Timestamp};

use super::model::{self, Found, Model, Submitted};
use super::turns::Status;
use super::{KEYS, STORE, World};

/// What a process does about whole sessions.
#[derive(Debug, Clone)]
pub enum Forget {
    Delete {
        purge: bool,
    },
    /// Everything of the session that is in the trash, if nothing else is there.
    Restore,
    /// All but so many sessions, of all that there are.
    Prune {
        keep: usize,
        purge: bool,
    },
    /// Up to the last record.
    Fork,
}

/// Forks in a world: each is one more file to judge at every crash.
const FORKS_MAX: usize = 2;

/// A generation in the trash, by its name there.
#[derive(Debug, Clone, Hash)]
pub struct Trashed {
    name: String,
    generation: u64,
    /// A reset had closed it.
    is_closed: bool,
    submitted: Vec<Submitted>,
    status: Vec<Status>,
    marks: Vec<u64>,
    failed: bool,
}

/// A session that began as another was.
#[derive(Debug, Clone, Hash)]
pub struct Fork {
    key: String,
    records: Vec<Found>,
    promised: bool,
}

impl Fork {
    /// It may have been made or not.
    pub fn leave_open(&mut self) {
        self.promised = false;
    }
}

impl Model {
    /// A generation is gone, to the trash if it has a name there.
    fn bury(&mut self, generation: u64, name: Option<&str>) {
        let is_closed = generation != self.generation;
        let (submitted, status, marks) = if is_closed {
            let at = self.closed.iter().position(|(closed, _)| *closed == generation);
            (at.map(|at| self.closed.remove(at).1).unwrap_or_default(), vec![Status::default()], Vec::new())
        } else {
            let status = std::mem::replace(&mut self.status, vec![Status::default()]);
            (std::mem::take(&mut self.submitted), status, std::mem::take(&mut self.marks))
        };
        self.trashed.retain(|trashed| trashed.generation != generation);
        if let Some(name) = name {
            let (name, failed) = (name.to_owned(), self.failed);
            self.trashed.push(Trashed { name, generation, is_closed, submitted, status, marks, failed });
        }
        self.deletions += 1;
    }

    /// The generation that takes records next, of those that are left.
    fn count_on(&mut self, left: &[u64]) {
        if !left.contains(&self.generation) {
            self.generation = left.iter().max().map_or(1, |newest| newest + 1);
        }
    }

    fn unbury(&mut self, trashed: Trashed) {
        if trashed.is_closed {
            self.closed.push((trashed.generation, trashed.submitted));
            self.closed.sort_by_key(|(generation, _)| *generation);
            self.generation = self.generation.max(trashed.generation + 1);
        } else {
            self.generation = trashed.generation;
            (self.submitted, self.status, self.marks) = (trashed.submitted, trashed.status, trashed.marks);
        }
        self.failed |= trashed.failed;
        self.deletions += 1;
    }

    /// Nothing keeps it from being pruned, as far as is known.
    fn may_go(&self) -> bool {
        self.status.iter().any(|status| !status.turn && status.pending.is_none() && status.suspended.is_none())
    }
}

/// The generations that a key has transcripts of.
pub fn generations(fs: &SimFs, key: &str) -> Vec<u64> {
    let stem = SessionKey::new(key).map(|key| format!("{}.", key.file_stem())).unwrap_or_default();
    let number = |path: &Path| {
        let name = path.file_name()?.to_str()?.strip_prefix(&stem)?.strip_suffix(".jsonl")?;
        name.parse().ok()
    };
    model::transcripts(fs).iter().filter_map(|(path, _)| number(path)).collect()
}

/// Says whether a failed deletion may have done something all the same.
fn in_doubt(error: &Error) -> bool {
    let refused = error.is_busy() || error.is_not_found();
    !refused && !matches!(error, Error::TurnRunning { .. } | Error::Closed | Error::TranscriptLost { .. })
}

impl World {
    pub(super) fn forget(&mut self, store: &Store, number: usize, forget: &Forget) -> Result<(), String> {
        let key = KEYS[number];
        let session = store.session(key).map_err(|error| error.to_string())?;
        let is_open = self.models[number].is_open();
        match forget {
            Forget::Prune { keep, purge } => return self.prune(store, *keep, *purge),
            Forget::Delete { .. } | Forget::Restore | Forget::Fork if is_open => {}
            Forget::Delete { purge } => {
                let result = session.delete(None, *purge);
                self.tell(|| format!("    -> {result:?}"));
                let left = generations(&self.fs, key);
                let model = &mut self.models[number];
                match result {
                    Ok(deleted) if !left.is_empty() => return Err(format!("{key}: {left:?} left of {deleted:?}")),
                    Ok(deleted) => {
                        // What was deleted before is another story.
                        model.trashed.clear();
                        for gone in &deleted {
                            model.bury(gone.generation, gone.trash.as_deref());
                        }
                        model.count_on(&left);
                        if *purge {
                            model.trashed.clear();
                        }
                    }
                    Err(error) if in_doubt(&error) => model.leave_open(*purge),
                    // Its writer may have failed to let go.
                    Err(_) => model.failed = true,
                }
            }
            Forget::Restore => self.restore(store, number),
            Forget::Fork => self.fork_session(store, number)?,
        }
        Ok(())
    }

    fn restore(&mut self, store: &Store, number: usize) {
        if !generations(&self.fs, KEYS[number]).is_empty() {
            return;
        }
        let mut trashed = std::mem::take(&mut self.models[number].trashed);
        trashed.sort_by_key(|trashed| trashed.generation);
        let newest_open = trashed.iter().rposition(|trashed| !trashed.is_closed);
        if newest_open.is_some_and(|at| at + 1 < trashed.len()) {
            return;
        }
        for trashed in trashed {
            let result = store.restore(&trashed.name);
            self.tell(|| format!("    -> {result:?}"));
            let model = &mut self.models[number];
            model.unbury(trashed);
            if result.is_err() {
                // There, or in the trash still.
                model.leave_open(false);
            }
        }
    }

    fn prune(&mut self, store: &Store, keep: usize, purge: bool) -> Result<(), String> {
        let options = PruneOptions::new().keep_newest(keep).purge(purge);
        let Ok(pruned) = store.prune(&options, Timestamp::from_unix_ms(i64::MAX / 1000)) else { return Ok(()) };
        self.tell(|| format!("    -> {:?} {:?}", pruned.deleted, pruned.failed));
        for gone in &pruned.deleted {
            let key = gone.key.as_str();
            self.forks.retain(|fork| fork.key != key);
            let Some(number) = KEYS.iter().position(|it| *it == key) else { continue };
            let Some(model) = self.models.get_mut(number) else { continue };
            if model.is_open() {
                // Which generation that was is open, too.
                model.leave_open(purge);
                continue;
            }
            if gone.generation == model.generation && !model.may_go() {
                return Err(format!("{key}: pruned, but it was {:?}", model.status));
            }
            let name = gone.trash.as_deref().filter(|_| !purge);
            model.bury(gone.generation, name);
        }
        for (model, key) in self.models.iter_mut().zip(KEYS).filter(|(model, _)| !model.is_open()) {
            if pruned.deleted.iter().any(|gone| gone.key.as_str() == key) {
                model.count_on(&generations(&self.fs, key));
            }
        }
        for (key, _, error) in pruned.failed.iter().filter(|(_, _, error)| in_doubt(error)) {
            self.tell(|| format!("    {key}: {error}"));
            self.forks.iter_mut().filter(|fork| fork.key == key.as_str()).for_each(Fork::leave_open);
            let number = KEYS.iter().position(|it| *it == key.as_str());
            if let Some(model) = number.and_then(|number| self.models.get_mut(number)) {
                model.leave_open(purge);
            }
        }
        Ok(())
    }

    fn fork_session(&mut self, store: &Store, number: usize) -> Result<(), String> {
        if self.forks.len() >= FORKS_MAX {
            return Ok(());
        }
        let session = store.session(KEYS[number]).map_err(|error| error.to_string())?;
        let Ok(head) = session.head() else { return Ok(()) };
        let Ok(Some(records)) = model::found_in(store, KEYS[number], head.generation) else { return Ok(()) };
        self.next_body += 1;
        let key = format!("fork {}", self.next_body);
        let result = session.fork(&key, head.seq);
        self.tell(|| format!("    -> {result:?}"));
        let refused = |error: &Error| error.is_busy() || error.is_not_found();
        match &result {
            Err(error) if refused(error) => {}
            _ => self.forks.push(Fork { key, records, promised: result.is_ok() }),
        }
        Ok(())
    }

    /// What a crash left of deletions and forks: nothing is half there, nothing came back.
    pub(super) fn look_at_the_gone(&mut self, store: &Store) -> Result<(), String> {
        for (number, key) in KEYS.iter().enumerate().take(self.models.len()) {
            let there = generations(&self.fs, key);
            let model = &mut self.models[number];
            let known = |generation: &u64| {
                *generation == model.generation || model.closed.iter().any(|(closed, _)| closed == generation)
            };
            if let Some(back) = there.iter().find(|generation| !known(generation)) {
                return Err(format!("{key}: generation {back} came back"));
            }
            let Some(purged) = model.delete_in_doubt.take() else { continue };
            let all = model.closed.iter().map(|(closed, _)| *closed).chain([model.generation]);
            for generation in all.filter(|generation| !there.contains(generation)).collect::<Vec<_>>() {
                let submitted = match model.closed.iter().find(|(closed, _)| *closed == generation) {
                    Some((_, submitted)) => submitted,
                    None => &model.submitted,
                };
                let promised: Vec<_> = submitted.iter().filter(|it| it.promised).map(|it| it.body.as_str()).collect();
                if !purged && !promised.is_empty() && !is_in_trash(&self.fs, &promised) {
                    return Err(format!("{key}: generation {generation} is neither there nor in the trash"));
                }
                model.bury(generation, None);
            }
            model.count_on(&there);
        }
        for number in (0..self.forks.len()).rev() {
            let fork = &mut self.forks[number];
            match model::found_in(store, &fork.key, 1)? {
                None if fork.promised => return Err(format!("{} is gone", fork.key)),
                None => drop(self.forks.remove(number)),
                Some(found) if found != fork.records => {
                    return Err(format!("{}: {found:?}, not {:?}", fork.key, fork.records));
                }
                Some(_) => fork.promised = true,
            }
        }
        Ok(())
    }
}

/// Says whether one file in the trash holds all of these.
fn is_in_trash(fs: &SimFs, bodies: &[&str]) -> bool {
    let trash = Path::new(STORE).join("trash");
    fs.files().iter().filter(|(path, _)| path.starts_with(&trash)).any(|(_, bytes)| {
        let text = String::from_utf8_lossy(bytes);
        bodies.iter().all(|body| text.contains(body))
    })
}
