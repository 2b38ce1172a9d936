//! What was submitted and promised, against what is found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use sesslog::sim::SimFs;
use sesslog::{Item, Mark, ReadOptions, Session, Store};

use super::STORE;
use super::forget::Trashed;
use super::turns::Status;

/// What is known of one session.
#[derive(Debug, Clone, Hash)]
pub struct Model {
    /// The generation that takes records, made already or not.
    pub generation: u64,
    /// Those that a reset closed, with what was submitted to them.
    pub closed: Vec<(u64, Vec<Submitted>)>,
    /// It is not known whether a reset was kept; until it is, the session is left alone.
    pub reset_in_doubt: bool,
    /// It is not known which of its generations are in the trash; until it is, the session is left alone.
    /// With whether what is gone then need not be in the trash.
    pub delete_in_doubt: Option<bool>,
    /// Generations deleted and brought back so far.
    pub deletions: u64,
    pub trashed: Vec<Trashed>,
    /// Seqs of marks about the view that are promised.
    pub marks: Vec<u64>,
    /// What its marks may have come to.
    pub status: Vec<Status>,
    /// Of this generation, in the order of their submission.
    pub submitted: Vec<Submitted>,
    /// Some write or sync failed: records in the middle may be missing.
    pub failed: bool,
}

#[derive(Debug, Clone, Hash)]
pub struct Submitted {
    pub body: String,
    /// Somebody was told that it is durable.
    pub promised: bool,
    /// What the receipt said.
    pub seq: Option<u64>,
}

/// A record of the caller's that was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Found {
    pub seq: u64,
    pub body: String,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            generation: 1,
            closed: Vec::new(),
            reset_in_doubt: false,
            delete_in_doubt: None,
            deletions: 0,
            trashed: Vec::new(),
            marks: Vec::new(),
            status: vec![Status::default()],
            submitted: Vec::new(),
            failed: false,
        }
    }
}

impl Model {
    /// It is not known what was kept of a call: the session is left alone until a crash has shown it.
    pub fn is_open(&self) -> bool {
        self.reset_in_doubt || self.delete_in_doubt.is_some()
    }

    /// A deletion or a restore failed half-way.
    pub fn leave_open(&mut self, purged: bool) {
        self.failed = true;
        self.delete_in_doubt = Some(purged || self.delete_in_doubt.unwrap_or(false));
        self.deletions += 1;
    }

    /// A reset was kept: what it closed is durable.
    pub fn close_generation(&mut self) {
        let mut closed = std::mem::take(&mut self.submitted);
        if !self.failed {
            for submitted in &mut closed {
                submitted.promised = true;
            }
        }
        self.closed.push((self.generation, closed));
        self.generation += 1;
        self.marks.clear();
        self.status = vec![Status::default()];
    }

    /// Closed generations are still there.
    pub fn check_closed(&self, store: &Store, key: &str) -> Result<(), String> {
        for (generation, submitted) in &self.closed {
            let found = found_in(store, key, *generation)?.unwrap_or_default();
            let lost =
                |submitted: &&Submitted| submitted.promised && !found.iter().any(|found| found.body == submitted.body);
            if let Some(lost) = submitted.iter().find(lost) {
                return Err(format!("{key} generation {generation}: promised {} is gone", lost.body));
            }
        }
        Ok(())
    }

    /// Marks about the view are still there.
    pub fn check_marks(&self, store: &Store, key: &str) -> Result<(), String> {
        let session = store.session(key).map_err(|error| error.to_string())?;
        for seq in &self.marks {
            let mark =
                session.get(*seq).map_err(|error| format!("{key}: {error}"))?.and_then(|record| record.as_mark());
            if !matches!(mark, Some(Mark::Rewound { .. } | Mark::Compacted { .. })) {
                return Err(format!("{key}: record {seq} is no mark about the view, but {mark:?}"));
            }
        }
        Ok(())
    }

    /// Acknowledged is a subset of found is a subsequence (without failures: a prefix) of submitted, each at the seq of its
    /// receipt.
    pub fn check(&self, key: &str, found: &[Found]) -> Result<(), String> {
        let mut submitted = self.submitted.iter();
        for Found { seq, body } in found {
            loop {
                let Some(next) = submitted.next() else {
                    let known = self.submitted.iter().any(|submitted| submitted.body == *body);
                    return Err(format!("{key}: {body} was {} submitted", if known { "not then" } else { "never" }));
                };
                if next.body == *body {
                    if next.seq.is_some_and(|receipt| receipt != *seq) {
                        return Err(format!("{key}: {body} has seq {seq}, its receipt {:?}", next.seq));
                    }
                    break;
                }
                if next.promised {
                    return Err(format!("{key}: promised {} is missing before {body}", next.body));
                }
                if !self.failed {
                    return Err(format!("{key}: {} is missing before {body}", next.body));
                }
            }
        }
        match submitted.find(|submitted| submitted.promised) {
            Some(Submitted { body, .. }) => Err(format!("{key}: promised {body} is gone; {} found", found.len())),
            None => Ok(()),
        }
    }

    /// A receipt of a record that was perhaps written before: at that place, if it fits there, else at the end.
    pub fn receive_again(&mut self, body: &str, seq: u64) {
        let known = self.submitted.iter().position(|known| known.body == body);
        let before = |at: usize| self.submitted[..at].iter().filter_map(|known| known.seq).max().unwrap_or(0);
        let behind =
            |at: usize| self.submitted[at + 1..].iter().filter_map(|known| known.seq).min().unwrap_or(u64::MAX);
        let known = match known {
            Some(at) if before(at) < seq && seq < behind(at) => at,
            Some(at) => {
                self.submitted.remove(at);
                self.submitted.push(Submitted { body: body.to_owned(), promised: true, seq: None });
                self.submitted.len() - 1
            }
            None => {
                self.submitted.push(Submitted { body: body.to_owned(), promised: true, seq: None });
                self.submitted.len() - 1
            }
        };
        let known = &mut self.submitted[known];
        // One that has a receipt keeps it: another seq is found out.
        (known.promised, known.seq) = (true, known.seq.or(Some(seq)));
    }

    /// What the owner found is durable by now; what it did not find was never promised, and must not come back.
    pub fn settle(&mut self, found: Vec<Found>) {
        let promised = |found: Found| Submitted { body: found.body, promised: true, seq: Some(found.seq) };
        self.submitted = found.into_iter().map(promised).collect();
        self.failed = false;
    }
}

/// The caller's records of a generation; `None` when it was not made yet.
pub fn found_in(store: &Store, key: &str, generation: u64) -> Result<Option<Vec<Found>>, String> {
    let session = store.session(key).map_err(|error| error.to_string())?;
    let records = match session.read(&ReadOptions::new().generation(generation)) {
        Ok(records) => records,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(format!("{key}: {error}")),
    };
    let mut all = Vec::new();
    for item in records {
        all.extend(of(key, item)?);
    }
    Ok(Some(all))
}

/// Every way to read a sound session gives the same.
pub fn agree(store: &Store, key: &str, forward: &[Found]) -> Result<(), String> {
    let text = |error: sesslog::Error| format!("{key}: {error}");
    let session = store.session(key).map_err(text)?;
    let mut backward = Vec::new();
    for item in session.backward().map_err(text)? {
        backward.extend(of(key, item)?);
    }
    backward.reverse();
    if backward != forward {
        return Err(format!("{key}: forward {forward:?}, backward {backward:?}"));
    }
    let Some(middle) = forward.get(forward.len() / 2) else { return Ok(()) };
    let mut rest = Vec::new();
    for item in session.read(&ReadOptions::new().from_seq(middle.seq)).map_err(text)? {
        rest.extend(of(key, item)?);
    }
    check_view(&session, &text)?;
    let got = session.get(middle.seq).map_err(text)?.map(|record| record.body().to_owned());
    if rest != forward[forward.len() / 2..] || got.as_ref() != Some(&middle.body) {
        return Err(format!("{key}: from seq {} on {rest:?}, at it {got:?}; all are {forward:?}", middle.seq));
    }
    Ok(())
}

/// The view that is read back is the one that a fold of everything gives.
fn check_view(session: &Session, text: &dyn Fn(sesslog::Error) -> String) -> Result<(), String> {
    let mut all = BTreeMap::new();
    for item in session.records().map_err(text)? {
        if let Item::Record(record) = item.map_err(text)? {
            all.insert(record.seq(), record);
        }
    }
    let (mut path, mut keep_from) = (Vec::new(), None);
    let mut at = all.keys().next_back().copied().unwrap_or(0);
    while let Some(record) = all.get(&at) {
        let mark = record.as_mark();
        if let (Some(Mark::Compacted { keep_from: from }), None) = (&mark, keep_from) {
            keep_from = Some(*from);
        }
        path.extend((mark.is_none()).then_some(at));
        // A repair may have left a gap before it.
        let before = if let Some(Mark::Rewound { to_seq }) = mark { to_seq } else { at - 1 };
        at = all.range(..=before).next_back().map_or(0, |(seq, _)| *seq);
    }
    path.retain(|seq| *seq >= keep_from.unwrap_or(0));
    path.reverse();
    let context = session.context().map_err(text)?;
    let seq = |item: &Item| if let Item::Record(record) = item { record.seq() } else { 0 };
    let given: Vec<_> = context.items.iter().map(seq).collect();
    let is_it = given == path && context.summary.map(|summary| summary.keep_from) == keep_from;
    if is_it { Ok(()) } else { Err(format!("{}: the view is {given:?}, expected {path:?}", session.key())) }
}

fn of(key: &str, item: Result<Item, sesslog::Error>) -> Result<Option<Found>, String> {
    match item.map_err(|error| format!("{key}: {error}"))? {
        Item::Record(record) if record.is_mark() => Ok(None),
        Item::Record(record) => Ok(Some(Found { seq: record.seq(), body: record.body().to_owned() })),
        gap => Err(format!("{key}: {gap:?}")),
    }
}

pub fn transcripts(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let is_transcript = |path: &Path| {
        path.starts_with(Path::new(STORE).join("transcripts"))
            && path.extension().is_some_and(|extension| extension == "jsonl")
    };
    fs.files().into_iter().filter(|(path, _)| is_transcript(path)).collect()
}

pub fn quarantine(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(STORE).join("quarantine");
    fs.files().into_iter().filter(|(path, _)| path.starts_with(&folder)).collect()
}

pub fn registry(fs: &SimFs) -> String {
    let path = Path::new(STORE).join("registry.jsonl");
    let found = fs.files().into_iter().find(|(name, _)| *name == path);
    found.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
