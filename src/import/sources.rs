//! The sources below the paths that were named: whose they are, and which session each becomes.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::import::find::{File, find};
use crate::import::finding::{Finding, FindingKind};
use crate::import::inside::{Inside, Rows};
use crate::import::lines::SourceFile;
use crate::import::shape::{Change, Peek, Shape, Verdict};
use crate::import::write::Job;
use crate::import::{ImportOptions, System};
use crate::key::{KeyError, SessionKey};
use crate::parallel::in_parallel;
use crate::timestamp::Timestamp;
use crate::verify::Progress;

/// What the frame of a record, and the fields of a mark around a summary, may add to a line.
const FRAME_BYTES: usize = 4096;

/// The shapes of all systems, in the order in which they are asked.
pub(crate) struct Shapes(Vec<(System, Box<dyn Shape>)>);

impl Shapes {
    pub(crate) fn new() -> Self {
        Self(System::ALL.into_iter().map(|system| (system, system.shape())).collect())
    }

    fn of(&self, wanted: System) -> Option<&dyn Shape> {
        self.0.iter().find(|(system, _)| *system == wanted).map(|(_, shape)| &**shape)
    }

    /// Tells whose file it is.
    fn judge(&self, peek: &Peek<'_>) -> Option<(System, Verdict)> {
        let verdicts = self.0.iter().map(|(system, shape)| (*system, shape.judge(peek)));
        verdicts.into_iter().find(|(_, verdict)| *verdict != Verdict::Unknown)
    }
}

/// What is to be imported.
pub(crate) struct Sources<'a> {
    /// Each with the size of its file.
    pub(crate) jobs: Vec<(Job<'a>, u64)>,
    pub(crate) findings: Vec<Finding>,
    /// Files in folders that no system wants, and those that say no more than what is beside them.
    pub(crate) passed_over: u64,
}

impl<'a> Sources<'a> {
    /// Finds the sources below the paths, whose they are, and their keys.
    pub(crate) fn find(shapes: &'a Shapes, paths: &[PathBuf], options: &ImportOptions, progress: &Progress) -> Self {
        let is_wanted = |name: &str| match options.from {
            Some(system) => shapes.of(system).is_some_and(|shape| shape.wants(name)),
            None => shapes.0.iter().any(|(_, shape)| shape.wants(name)),
        };
        let mut found = find(paths, &is_wanted);
        let mut sources =
            Self { jobs: Vec::new(), findings: std::mem::take(&mut found.findings), passed_over: found.passed_over };
        let mut claimed: HashMap<SessionKey, usize> = HashMap::new();
        let looked = in_parallel(options.jobs, &found.files, |_, file| look(shapes, file, options.from, None));
        let mut neighbours = HashMap::new();
        for (file, looked) in found.files.iter().zip(&looked) {
            if let (Some(folder), Ok(looked)) = (file.resolved.parent(), looked) {
                neighbours.entry(folder.to_owned()).or_insert(looked.system);
            }
        }
        let mut registered = Vec::new();
        for (file, looked) in found.files.into_iter().zip(looked) {
            let neighbour = file.resolved.parent().and_then(|folder| neighbours.get(folder)).copied();
            let looked = match looked {
                Err(FindingKind::NotAHistory) if neighbour.is_some() => look(shapes, &file, options.from, neighbour),
                looked => looked,
            };
            let looked = match looked {
                Ok(looked) => looked,
                Err(kind) => {
                    sources.findings.push(Finding::new(file.path, kind));
                    continue;
                }
            };
            let Some(shape) = shapes.of(looked.system) else { continue };
            if looked.sessions.is_empty() {
                sources.passed_over = sources.passed_over.saturating_add(1);
            }
            for session in looked.sessions {
                let is_registry = session.inside.as_ref().is_some_and(|(_, rows)| rows.is_none());
                if is_registry {
                    registered.push((file.clone(), looked.system, shape, session));
                } else {
                    sources.add(&mut claimed, options, &file, (looked.system, shape), session);
                }
            }
        }
        // What no more than a registry tells of may have been found since.
        for (file, system, shape, session) in registered {
            let key = session.key(options);
            if !session_key(&key).is_ok_and(|key| claimed.contains_key(&key)) {
                sources.add(&mut claimed, options, &file, (system, shape), session);
            }
        }
        let bytes = sources.jobs.iter().fold(0_u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        progress.sessions_total.store(u64::try_from(sources.jobs.len()).unwrap_or(u64::MAX), Ordering::Relaxed);
        progress.bytes_total.store(bytes, Ordering::Relaxed);
        sources
    }

    /// Adds a session, if its key can be one and no other has it.
    fn add(
        &mut self,
        claimed: &mut HashMap<SessionKey, usize>,
        options: &ImportOptions,
        file: &File,
        (system, shape): (System, &'a dyn Shape),
        session: Sighted,
    ) {
        let key = session_key(&session.key(options)).or_else(|error| {
            let stem = file.path.file_stem().unwrap_or_default().to_string_lossy();
            self.findings.push(Finding::new(&file.path, FindingKind::KeyReplaced(error)));
            session_key(&format!("{system}:{stem}"))
        });
        let key = match key {
            Ok(key) => key,
            Err(error) => return self.findings.push(Finding::new(&file.path, FindingKind::KeyReplaced(error))),
        };
        if let Some((first, _)) = claimed.get(&key).and_then(|at| self.jobs.get(*at)) {
            let kind = FindingKind::KeyClaimed { by: first.path.clone() };
            return self.findings.push(Finding::new(&file.path, kind).key(&key));
        }
        claimed.insert(key.clone(), self.jobs.len());
        let line_bytes_max = options.record_bytes_max.saturating_sub(FRAME_BYTES);
        let File { path, resolved } = file.clone();
        let is_registered = session.prefix.is_empty();
        let Sighted { time, beside, inside, bytes, .. } = session;
        let job = Job { path, resolved, system, shape, key, line_bytes_max, time, beside, is_registered, inside };
        self.jobs.push((job, bytes));
    }
}

fn session_key(text: &str) -> Result<SessionKey, KeyError> {
    SessionKey::new(text).and_then(|key| if key.is_reserved() { Err(KeyError::Reserved) } else { Ok(key) })
}

/// What a look at a file told.
struct Looked {
    system: System,
    sessions: Vec<Sighted>,
}

/// A session that was seen in a file.
struct Sighted {
    prefix: &'static str,
    name: String,
    bytes: u64,
    time: Option<Timestamp>,
    beside: Vec<Change>,
    inside: Option<(String, Option<Arc<dyn Rows>>)>,
}

impl Sighted {
    fn key(&self, options: &ImportOptions) -> String {
        format!("{}{}", options.key_prefix.as_deref().unwrap_or(self.prefix), self.name)
    }
}

/// Tells whose sessions a file has.
///
/// What says nothing of itself, empty or damaged from its beginning, is taken for a file of the system asked for, else of the one
/// that another file in its folder is of, if its name fits.
fn look(shapes: &Shapes, file: &File, from: Option<System>, neighbour: Option<System>) -> Result<Looked, FindingKind> {
    let source = SourceFile::open(&file.resolved).map_err(FindingKind::Unreadable)?;
    let peek = Peek::of(&file.resolved, &source).map_err(FindingKind::Unreadable)?;
    let own = from.and_then(|from| Some((from, shapes.of(from)?.accept(&peek))));
    let judged = own.filter(|(_, verdict)| *verdict != Verdict::Unknown).or_else(|| shapes.judge(&peek));
    let (system, verdict) = match (judged, from.or(neighbour)) {
        (Some((system, _)), Some(wanted)) if system != wanted && system != System::Jsonl => {
            return Err(FindingKind::OtherSystem(system));
        }
        (Some((system, verdict)), wanted) if wanted.is_none_or(|wanted| wanted == system) => (system, verdict),
        (None, Some(wanted)) => {
            let shape = shapes.of(wanted).filter(|shape| shape.wants(&peek.name()));
            match shape.map(|shape| shape.accept(&peek)) {
                Some(Verdict::Companion) => (wanted, Verdict::Companion),
                Some(_) if from.is_some() || peek.may_be_damaged() => (wanted, Verdict::Session),
                _ => return Err(FindingKind::NotAHistory),
            }
        }
        // Records of whatever system, all of them on damaged lines.
        (None, None) if peek.any(|_| true) || peek.is_one_long_line() => (System::Jsonl, Verdict::Session),
        _ => return Err(FindingKind::NotAHistory),
    };
    let shape = shapes.of(system).ok_or(FindingKind::NotAHistory)?;
    let sessions = if verdict == Verdict::Session {
        let (prefix, name) = shape.key(&peek);
        let beside = shape.facts(&file.resolved, &name);
        vec![Sighted { prefix, name, bytes: source.length_bytes(), time: None, beside, inside: None }]
    } else {
        let sighted = |Inside { prefix, name, time, beside, rows }| {
            let inside = Some((name.clone(), rows));
            Sighted { prefix, name, bytes: 0, time, beside, inside }
        };
        shape.inside(&file.resolved)?.into_iter().map(sighted).collect()
    };
    Ok(Looked { system, sessions })
}
