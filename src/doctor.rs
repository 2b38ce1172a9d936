//! The examination of a whole store: what is wrong or soon will be, what that means, and which command settles it.
//!
//! Takes no session's lock and never waits for anybody, so it is safe beside live writers. It writes one temp file, in the
//! store's folder, to try out the disk, unless it is told not to. Memory is bounded as that of a verification is: names, rows and
//! transcripts are looked at one after another.

mod ailment;
mod folders;
mod heal;
mod kept;
mod locks;
mod rows;
mod system;
mod transcripts;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use ailment::Ailment;
pub use heal::Healed;

use crate::error::Error;
use crate::finding::Severity;
use crate::fs::{Mount, PathError};
use crate::key::SessionKey;
use crate::store::Store;
use crate::store::inner::Inner;
use crate::verify::Progress;

/// Of one kind. All of a hundred thousand files with a wrong mode are one mistake.
const SYMPTOMS_MAX: u64 = 1000;

/// How to examine a store.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct DoctorOptions {
    quick: bool,
    ignored: BTreeSet<Ailment>,
    jobs: usize,
}

impl DoctorOptions {
    /// Returns the defaults: everything is looked at, and the disk is tried out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out what writes to the disk: how long a sync takes, and whether locks exclude each other.
    pub fn quick(mut self, quick: bool) -> Self {
        self.quick = quick;
        self
    }

    /// Passes over what somebody knows of and wants as it is.
    pub fn ignore(mut self, ailment: Ailment) -> Self {
        self.ignored.insert(ailment);
        self
    }

    /// Sets how many transcripts are read at once; 0 (the default) stands for one a core.
    pub fn jobs(mut self, jobs: usize) -> Self {
        self.jobs = jobs;
        self
    }
}

/// What settles a symptom.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Remedy {
    /// A command for a shell.
    Command(String),
    /// Words, where no command does it.
    Advice(String),
}

/// One thing that an examination found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Symptom {
    /// What it is.
    pub ailment: Ailment,
    /// The session's key, where it is about one, or the first of several.
    pub key: Option<SessionKey>,
    /// Its generation.
    pub generation: Option<u64>,
    /// The file or folder.
    pub path: Option<PathBuf>,
    /// Where in the file, in bytes; of a registry the line.
    pub offset: Option<u64>,
    /// How many of a kind it stands for; 1 as a rule.
    pub count: u64,
    /// What is particular about it.
    pub detail: String,
    /// What settles it.
    pub remedy: Remedy,
}

/// How long syncs took.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SyncTimes {
    /// Small appends that were synced, one after another.
    pub appends: usize,
    /// Half of them took no longer.
    pub p50: Duration,
    /// 99 of a hundred took no longer; of so few it is the longest.
    pub p99: Duration,
}

/// What an examination came to.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// Everything found, worst first, then by kind and in the order of the files; of one kind the first thousand.
    pub symptoms: Vec<Symptom>,
    /// Those behind the first thousand of their kind.
    pub left_out: u64,
    /// Transcripts looked at.
    pub sessions: u64,
    /// Sound records in them, the store's own marks included.
    pub records: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// What the store is on, if the system says so.
    pub mount: Option<Mount>,
    /// What a sync takes; `None` where that was not tried.
    pub syncs: Option<SyncTimes>,
    /// How many descriptors this process may open.
    pub descriptors_max: Option<u64>,
}

impl Symptom {
    pub(super) fn new(ailment: Ailment, remedy: Remedy) -> Self {
        let (key, generation, path, offset) = (None, None, None, None);
        Self { ailment, key, generation, path, offset, count: 1, detail: String::new(), remedy }
    }

    fn at(mut self, path: impl Into<PathBuf>) -> Self {
        self.path = Some(path.into());
        self
    }

    fn about(mut self, key: Option<&SessionKey>, generation: Option<u64>) -> Self {
        (self.key, self.generation) = (key.cloned(), generation);
        self
    }

    fn count(mut self, count: u64) -> Self {
        self.count = count;
        self
    }

    fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = detail.into();
        self
    }
}

impl Remedy {
    fn command(text: impl Into<String>) -> Self {
        Self::Command(text.into())
    }

    fn advice(text: impl Into<String>) -> Self {
        Self::Advice(text.into())
    }

    /// The one command for all that loses nothing.
    fn fix() -> Self {
        Self::command("sessctl doctor --fix")
    }

    fn rebuild() -> Self {
        Self::command("sessctl rebuild-index")
    }
}

impl Diagnosis {
    /// Returns the worst severity found; `None` when there is nothing to say.
    pub fn worst(&self) -> Option<Severity> {
        self.symptoms.iter().map(|symptom| symptom.ailment.severity()).max()
    }

    fn has(&self, is_it: impl Fn(Ailment) -> bool) -> bool {
        self.symptoms.iter().any(|symptom| is_it(symptom.ailment))
    }
}

/// What was found so far.
struct Found<'a> {
    options: &'a DoctorOptions,
    diagnosis: Diagnosis,
    counts: BTreeMap<Ailment, u64>,
}

impl<'a> Found<'a> {
    fn new(options: &'a DoctorOptions) -> Self {
        Self { options, diagnosis: Diagnosis::default(), counts: BTreeMap::new() }
    }

    fn add(&mut self, symptom: Symptom) {
        if self.options.ignored.contains(&symptom.ailment) {
            return;
        }
        let count = self.counts.entry(symptom.ailment).or_default();
        *count = count.saturating_add(1);
        if *count <= SYMPTOMS_MAX {
            self.diagnosis.symptoms.push(symptom);
        } else {
            self.diagnosis.left_out = self.diagnosis.left_out.saturating_add(1);
        }
    }

    /// What can not be looked at is a finding, too.
    fn unreadable(&mut self, path: &Path, error: &dyn std::error::Error) {
        let remedy = Remedy::advice("make it readable for the user who runs the gateway, then run doctor again");
        self.add(Symptom::new(Ailment::Unreadable, remedy).at(path).detail(chain_text(error)));
    }

    fn unlisted<T>(&mut self, path: &Path, listed: Result<T, PathError>) -> Option<T> {
        listed.inspect_err(|error| self.unreadable(path, error)).ok()
    }

    fn end(mut self) -> Diagnosis {
        let symptoms = &mut self.diagnosis.symptoms;
        // Stable: of one kind they stay in the order in which they were found.
        symptoms.sort_by_key(|symptom| (std::cmp::Reverse(symptom.ailment.severity()), symptom.ailment));
        self.diagnosis
    }
}

/// Spells an error and its causes in one line.
fn chain_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Spells a number of things.
fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

impl Store {
    /// Examines the store and what it is on. Changes nothing; but for the temp file that it tries the disk with it writes nothing.
    /// Costs one read of every transcript, a look at every file, and some tens of syncs.
    ///
    /// Whatever is wrong is in the diagnosis, also what can not be looked at.
    pub fn doctor(&self, options: &DoctorOptions, progress: &Progress) -> Diagnosis {
        let inner: &Inner = self.inner();
        let mut found = Found::new(options);
        system::examine(inner, &mut found);
        let locked = locks::examine(inner, &mut found);
        folders::examine(inner, &locked, &mut found);
        let judged = transcripts::examine(self, &locked, progress, &mut found);
        if let Err(error) = rows::examine(self, &locked, &judged, &mut found) {
            found.unreadable(&inner.layout.registry(), &error);
        }
        kept::examine(self, &mut found);
        found.end()
    }

    /// Says whether the store is ours to mend. To be asked of one that is open for reading: the very opening for writing makes files.
    ///
    /// # Errors
    ///
    /// [`Error::ForeignOwner`] when it belongs to another user, [`Error::Io`].
    pub fn check_owner(&self) -> Result<(), Error> {
        heal::check_owner(self.inner())
    }

    /// Settles what a diagnosis found, as far as nothing can get lost by that (see [`Ailment::is_healed`]): makes folders and modes
    /// right, sets leftover temp files aside, folds the registry again, cuts torn tails, removes stale locks. What each did is told.
    ///
    /// # Errors
    ///
    /// [`Error::ReadOnly`], [`Error::ForeignOwner`] when the store belongs to another user, for whom the new registry would be
    /// closed: nothing was done. [`Error::Io`] when the registry could not be replaced.
    pub fn heal(&self, diagnosis: &Diagnosis, jobs: usize, progress: &Progress) -> Result<Vec<Healed>, Error> {
        heal::heal(self, diagnosis, jobs, progress)
    }
}
