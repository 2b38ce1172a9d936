//! Random programs on a simulated disk, crashed and judged by a model that knows only what was submitted and acknowledged.
//!
//! One world is decided by one seed: a program of appends, batches, buffered appends, flushes, releases, closes, rebuilds, a
//! second process and faults runs until the power goes; several crashes of the same moment keep different parts of what was
//! not synced; each is opened, judged, gone on with, and crashed again in the middle of its recovery.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sesslog::sim::{Chance, SimFault, SimFs, SimOp};
use sesslog::{Durability, Error, Item, NewRecord, Options, Progress, RebuildOptions, Severity, Store, VerifyOptions};

const KEYS: [&str; 3] = ["telegram:1", "A", "a"];
const STORE: &str = "/store";
const OPS: [SimOp; 11] = [
    SimOp::Open,
    SimOp::Create,
    SimOp::Read,
    SimOp::Write,
    SimOp::SetLen,
    SimOp::Sync,
    SimOp::SyncDir,
    SimOp::Rename,
    SimOp::HardLink,
    SimOp::Remove,
    SimOp::ReadDir,
];
const FAULTS: [SimFault; 5] = [SimFault::Eio, SimFault::EioDrop, SimFault::Enospc, SimFault::Edquot, SimFault::Eintr];

/// What a run came to.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// Crashes judged.
    pub crashes: u64,
    /// Hashes of what they left.
    pub states: std::collections::HashSet<u64>,
    /// Faults met, by operation and kind.
    pub faults: std::collections::BTreeMap<(SimOp, SimFault), u64>,
    /// Acknowledged records looked for.
    pub acked: u64,
    /// Torn tails that recovery cut.
    pub torn: u64,
}

impl Tally {
    /// Adds another run's.
    pub fn add(&mut self, other: Self) {
        self.crashes += other.crashes;
        self.acked += other.acked;
        self.torn += other.torn;
        self.states.extend(other.states);
        for (pair, count) in other.faults {
            *self.faults.entry(pair).or_default() += count;
        }
    }
}

/// What is known of one session.
#[derive(Debug, Default, Clone)]
struct Model {
    /// Bodies in the order of their submission; `true` once one is promised.
    submitted: Vec<(String, bool)>,
    /// Some write or sync failed: records in the middle may be missing.
    failed: bool,
}

/// A disk with what was promised about it.
#[derive(Debug, Clone)]
struct World {
    fs: SimFs,
    models: Vec<Model>,
    next_body: u64,
}

/// Runs the world of a seed, `crashes` crashes a moment; the error says what promise was broken.
pub fn run(seed: u64, crashes: u64) -> Result<Tally, String> {
    let mut chance = Chance::new(seed);
    let mut tally = Tally::default();
    let mut world = World { fs: SimFs::new(), models: vec![Model::default(); KEYS.len()], next_body: 0 };
    let lives = 1 + chance.below(3);
    for life in 0..lives {
        world.live(&mut chance, &mut tally).map_err(|story| format!("seed {seed} life {life}: {story}"))?;
        let mut survivor = None;
        for _ in 0..crashes {
            let mut crashed = World { fs: world.fs.fork(), ..world.clone() };
            crashed.fs.crash(&mut chance);
            tally.crashes += 1;
            tally.states.insert(crashed.fs.hash());
            crashed.judge(&mut chance, &mut tally).map_err(|story| format!("seed {seed} life {life}: {story}"))?;
            survivor = Some(crashed);
        }
        world = survivor.unwrap_or(world);
    }
    Ok(tally)
}

fn options(fs: &SimFs) -> Options {
    // Nothing happens by the clock: what runs is what the program says.
    let never = Duration::MAX;
    Options::new().file_system(Arc::new(fs.clone())).idle_release(never).registry_save_delay(never)
}

impl World {
    /// Runs a program until its end or the power's.
    fn live(&mut self, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        let from = self.fs.operations();
        if !chance.one_in(4) {
            self.fs.cut_power_at(Some(from + chance.below(120)));
        }
        let fault = if chance.one_in(3) {
            // Failed syncs are what the promises are about.
            let op = if chance.one_in(3) { SimOp::Sync } else { pick(chance, &OPS) };
            Some((op, pick(chance, &FAULTS)))
        } else {
            None
        };
        if fault.is_some() {
            // A session that is let go of to make room fails unseen until somebody asks: nothing is implied in such a life.
            self.models.iter_mut().for_each(|model| model.failed = true);
        }
        if let Some((op, fault)) = fault {
            self.fs.fail(op, 1 + chance.below(12), fault);
        }
        let mut stores = Vec::new();
        for _ in 0..=chance.below(2) {
            stores.extend(
                options(&self.fs).open_writers_max(1 + usize::try_from(chance.below(3)).unwrap_or(0)).open(STORE),
            );
        }
        if stores.is_empty() {
            return Ok(());
        }
        for _ in 0..chance.below(14) {
            let at = usize::try_from(chance.below(stores.len() as u64)).unwrap_or(0);
            self.step(&mut stores, at, chance)?;
        }
        for met in self.fs.take_met() {
            *tally.faults.entry(met).or_default() += 1;
        }
        if chance.one_in(2) {
            // The processes die with the power, or just before it without a word.
            self.fs.cut_power_at(Some(self.fs.operations()));
        }
        Ok(())
    }

    fn step(&mut self, stores: &mut [Store], at: usize, chance: &mut Chance) -> Result<(), String> {
        let store = stores[at].clone();
        let number = usize::try_from(chance.below(KEYS.len() as u64)).unwrap_or(0);
        let session = store.session(KEYS[number]).map_err(|error| error.to_string())?;
        match chance.below(12) {
            0..=6 => {
                let count = if chance.one_in(2) { 1 } else { 1 + chance.below(5) };
                let durability = if chance.one_in(3) { Durability::Buffered } else { Durability::Sync };
                self.append(&session, number, count, durability, chance);
            }
            7 => {
                if session.flush().is_err() {
                    self.models[number].failed = true;
                }
            }
            8 => {
                if session.release().is_err() {
                    self.models[number].failed = true;
                }
            }
            9 => {
                store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).ok();
            }
            10 => {
                // Looking, beside whatever is going on.
                let before = self.fs.hash();
                if let Ok(reader) = options(&self.fs).open_read_only(STORE) {
                    let report = reader.verify(&VerifyOptions::new().jobs(1), &Progress::default());
                    if let Ok(report) = report
                        && report.worst() == Some(Severity::Damage)
                    {
                        return Err(format!("damage beside a live writer: {:?}", report.findings));
                    }
                }
                if self.fs.hash() != before {
                    return Err("a reader changed something".to_owned());
                }
            }
            _ => {
                if !store.close().is_ok_and(|flushed| flushed.failures.is_empty()) {
                    self.models.iter_mut().for_each(|model| model.failed = true);
                }
                if let Ok(reopened) = options(&self.fs).open(STORE) {
                    stores[at] = reopened;
                }
            }
        }
        Ok(())
    }

    fn append(
        &mut self,
        session: &sesslog::Session,
        number: usize,
        count: u64,
        durability: Durability,
        chance: &mut Chance,
    ) {
        let mut records = Vec::new();
        let from = self.models[number].submitted.len();
        for _ in 0..count {
            let (body, record) = self.record(chance);
            self.models[number].submitted.push((body, false));
            records.push(record);
        }
        let model = &mut self.models[number];
        match session.append_batch_with(records, durability) {
            Ok(receipts) => {
                for (receipt, submitted) in receipts.iter().zip(&mut model.submitted[from..]) {
                    submitted.1 |= receipt.durable;
                }
                if receipts.iter().all(|receipt| receipt.durable) && !model.failed {
                    // One fdatasync covers everything that was written before.
                    model.submitted[..from].iter_mut().for_each(|submitted| submitted.1 = true);
                }
            }
            Err(error) => {
                model.failed = true;
                if let Error::Partial { receipts, .. } = &error {
                    for (receipt, submitted) in receipts.iter().zip(&mut model.submitted[from..]) {
                        submitted.1 |= receipt.durable;
                    }
                }
                if matches!(error, Error::Poisoned { .. }) && chance.one_in(2) {
                    session.reopen().ok();
                }
            }
        }
    }

    /// A record with a body of its own; some fill several sectors.
    fn record(&mut self, chance: &mut Chance) -> (String, NewRecord) {
        self.next_body += 1;
        let length = match chance.below(6) {
            0 => chance.below(2000),
            1 => chance.below(600),
            // Often of one length, so that what was taken back and what follows it can line up.
            2 | 3 => 20,
            _ => chance.below(60),
        };
        let filling: String =
            (0..length).map(|_| char::from(b'a' + u8::try_from(chance.below(26)).unwrap_or(0))).collect();
        let body = format!("{{\"n\":{},\"filling\":\"{filling}\"}}", self.next_body);
        let record = NewRecord::json(&body).unwrap_or_else(|_| unreachable!("it is JSON"));
        (body, record)
    }

    /// Opens what a crash left, perhaps crashes again on the way, and compares.
    fn judge(&mut self, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        self.look()?;
        if chance.one_in(3) {
            // The power goes again while the store is being recovered.
            self.fs.cut_power_at(Some(self.fs.operations() + chance.below(40)));
            if let Ok(store) = options(&self.fs).open(STORE) {
                if chance.one_in(2) {
                    store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).ok();
                }
                for (number, key) in KEYS.iter().enumerate() {
                    if let Ok(session) = store.session(key) {
                        self.append(&session, number, 1, Durability::Sync, chance);
                    }
                }
            }
            self.fs.crash(chance);
            tally.crashes += 1;
            tally.states.insert(self.fs.hash());
            self.look()?;
        }
        self.go_on(chance, tally)
    }

    /// What a reader sees before anyone recovers: no pure crash is damage, and looking changes nothing.
    fn look(&mut self) -> Result<(), String> {
        let before = self.fs.hash();
        let Ok(reader) = options(&self.fs).open_read_only(STORE) else { return Ok(()) };
        let report = reader.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default());
        let report = report.map_err(|error| format!("verify: {error}"))?;
        if report.worst() == Some(Severity::Damage) {
            return Err(format!("a crash is called damage: {:?}", report.findings));
        }
        for (key, model) in KEYS.iter().zip(&mut self.models) {
            let found = bodies(&reader, key)?;
            model.check(key, found.as_deref().unwrap_or_default())?;
            // What did not survive the crash was never promised, and is gone for good.
            model.submitted.retain(|(body, _)| found.as_ref().is_some_and(|found| found.contains(body)));
            model.failed = false;
        }
        drop(reader);
        if self.fs.hash() == before { Ok(()) } else { Err("a reader changed something".to_owned()) }
    }

    /// The owner opens every session, appends, and what it finds is promised from then on.
    fn go_on(&mut self, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        let before = transcripts(&self.fs);
        let store = options(&self.fs).open(STORE).map_err(|error| format!("open: {error}"))?;
        for (number, key) in KEYS.iter().enumerate() {
            let session = store.session(key).map_err(|error| error.to_string())?;
            let (body, record) = self.record(chance);
            let model = &mut self.models[number];
            model.submitted.push((body, false));
            session.append(record).map_err(|error| format!("{key}: append after the crash: {error}"))?;
            let found = bodies(&store, key)?.unwrap_or_default();
            model.check(key, &found)?;
            tally.acked += u64::try_from(model.submitted.iter().filter(|submitted| submitted.1).count()).unwrap_or(0);
            // What the owner found is durable by now; what it did not find was never promised, and must not come back.
            model.submitted = found.into_iter().map(|body| (body, true)).collect();
            model.failed = false;
        }
        self.check_bytes_kept(&before, tally)?;
        store.close().map_err(|error| format!("close: {error}"))?;
        let saved = registry(&self.fs);
        let store = options(&self.fs).open(STORE).map_err(|error| format!("open: {error}"))?;
        store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).map_err(|error| error.to_string())?;
        if registry(&self.fs) != saved {
            return Err(format!("close and rebuild differ:\n{saved}\n{}", registry(&self.fs)));
        }
        let report =
            store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).map_err(|error| error.to_string())?;
        if !report.findings.is_empty() {
            return Err(format!("not sound afterwards: {:?}", report.findings));
        }
        drop(store);
        if chance.one_in(3) { self.rot(chance) } else { Ok(()) }
    }

    /// Rot in what is promised is damage, never torn, never clean, and costs nothing but itself.
    fn rot(&self, chance: &mut Chance) -> Result<(), String> {
        let fs = self.fs.fork();
        let files = transcripts(&fs);
        let Some((path, old)) = files.get(usize::try_from(chance.below(files.len() as u64)).unwrap_or(0)) else {
            return Ok(());
        };
        let mut bytes = old.clone();
        let starts: Vec<_> = std::iter::once(0)
            .chain(bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        let last = starts[starts.len() - 2];
        let with_registry = chance.one_in(2);
        let below = |chance: &mut Chance, bound: usize| usize::try_from(chance.below(bound as u64)).unwrap_or(0);
        let (story, from, to) = match chance.below(3) {
            0 => {
                let at = below(chance, bytes.len());
                bytes[at] ^= 1 << chance.below(8);
                ("a flipped bit", at, at + 1)
            }
            1 if last > 1024 => {
                // Below the last record, which claims that all before it is durable.
                let at = below(chance, last / 512 - 1) * 512;
                bytes[at..at + 512].fill(0);
                ("a blanked sector", at, at + 512)
            }
            _ if with_registry => {
                // The seal was never promised.
                let end = if old[last..].windows(8).any(|window| window == b"\"sealed\"") { last } else { bytes.len() };
                let at = below(chance, end);
                bytes.truncate(at);
                ("a cut", at, old.len())
            }
            _ => return Ok(()),
        };
        if bytes == *old {
            return Ok(());
        }
        fs.tamper(path, &bytes);
        if !with_registry {
            fs.tamper(&Path::new(STORE).join("registry.jsonl"), b"");
        }
        let store = options(&fs).open(STORE).map_err(|error| format!("{story}: open: {error}"))?;
        let report =
            store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).map_err(|error| error.to_string())?;
        let story =
            format!("{story} at {from} of {} ({})", path.display(), if with_registry { "row" } else { "no row" });
        if report.worst() != Some(Severity::Damage) {
            return Err(format!("{story} is no damage: {:?}", report.findings));
        }
        // Every record of the caller whose line was not touched can still be read.
        let touched = |line: usize| starts[line] < to && starts[line + 1] > from;
        let is_body = |line: usize| !touched(line) && line > 0;
        let text = String::from_utf8_lossy(old);
        let key = KEYS.iter().find(|key| text.contains(&format!("\"key\":\"{key}\""))).copied().unwrap_or_default();
        let session = store.session(key).map_err(|error| error.to_string())?;
        let found: Vec<String> = match session.records() {
            Ok(records) => records
                .filter_map(
                    |item| if let Ok(Item::Record(record)) = item { Some(record.line().to_owned()) } else { None },
                )
                .collect(),
            Err(error) => return Err(format!("{story}: {error}")),
        };
        // With the header gone, one line alone can not tell its checksum.
        let sound_lines = (1..starts.len() - 1).filter(|line| !touched(*line) && !touched(line - 1)).count();
        let readable = !touched(0) || sound_lines > 1;
        for line in (0..starts.len() - 1).filter(|line| is_body(*line)) {
            let wanted = String::from_utf8_lossy(&old[starts[line]..starts[line + 1] - 1]).into_owned();
            // Two lines that a blanked newline fused: the second is lost to the gap.
            let fused = line > 0 && touched(line - 1) && to >= starts[line];
            if readable && !found.contains(&wanted) && !fused {
                return Err(format!("{story}: a sound record is not read any more: {wanted}"));
            }
        }
        let before = fs.files();
        let refused = session.append(NewRecord::json("0").unwrap_or_else(|_| unreachable!("it is JSON"))).is_err();
        if refused {
            let after = fs.files();
            let kept = before.iter().find(|file| file.0 == *path) == after.iter().find(|file| file.0 == *path);
            return if kept { Ok(()) } else { Err(format!("{story}: a refused append changed the file")) };
        }
        if with_registry { Ok(()) } else { Err(format!("{story}: an append was taken")) }
    }

    /// Transcript and quarantine together hold every byte that was in the transcript, but for padding.
    fn check_bytes_kept(&self, before: &[(PathBuf, Vec<u8>)], tally: &mut Tally) -> Result<(), String> {
        let files = self.fs.files();
        let aside: Vec<_> =
            files.iter().filter(|(path, _)| path.starts_with(Path::new(STORE).join("quarantine"))).collect();
        for (path, old) in before {
            let new = files.iter().find(|(name, _)| name == path).map(|file| &file.1[..]).unwrap_or_default();
            let same = old.iter().zip(new).take_while(|(a, b)| a == b).count();
            let cut = old.get(same..).unwrap_or_default();
            if cut.iter().all(|byte| matches!(byte, 0 | b'\t')) {
                continue;
            }
            tally.torn += 1;
            // What is cut begins at a record's start, which the new file may share with it for some bytes.
            if !aside.iter().any(|(_, kept)| kept.len() >= cut.len() && old.ends_with(kept)) {
                return Err(format!("{}: {} bytes from {same} on are nowhere", path.display(), cut.len()));
            }
        }
        Ok(())
    }
}

impl Model {
    /// Acknowledged is a subset of found is a subsequence (without failures: a prefix) of submitted.
    fn check(&self, key: &str, found: &[String]) -> Result<(), String> {
        let mut submitted = self.submitted.iter();
        for body in found {
            let mut skipped = submitted.by_ref().take_while(|(text, _)| text != body).peekable();
            if let Some((text, _)) = skipped.peek()
                && !self.failed
            {
                return Err(format!("{key}: {text} is missing before {body}"));
            }
            if skipped.any(|(_, promised)| *promised) {
                return Err(format!("{key}: a promised record is missing before {body}"));
            }
        }
        // `take_while` has eaten the match itself; what is left was not found.
        if let Some((text, _)) = submitted.find(|(_, promised)| *promised) {
            return Err(format!("{key}: promised {text} is gone; {} found", found.len()));
        }
        for body in found {
            if !self.submitted.iter().any(|(text, _)| text == body) {
                return Err(format!("{key}: {body} was never submitted"));
            }
        }
        Ok(())
    }
}

fn pick<T: Copy>(chance: &mut Chance, all: &[T]) -> T {
    all[usize::try_from(chance.below(all.len() as u64)).unwrap_or(0)]
}

/// The caller's bodies; `None` when there is no such session.
fn bodies(store: &Store, key: &str) -> Result<Option<Vec<String>>, String> {
    let session = store.session(key).map_err(|error| error.to_string())?;
    let records = match session.records() {
        Ok(records) => records,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(format!("{key}: {error}")),
    };
    let mut found = Vec::new();
    for item in records {
        match item.map_err(|error| error.to_string())? {
            Item::Record(record) if record.is_mark() => {}
            Item::Record(record) => found.push(record.body().to_owned()),
            gap => return Err(format!("{key}: {gap:?}")),
        }
    }
    Ok(Some(found))
}

fn transcripts(fs: &SimFs) -> Vec<(PathBuf, Vec<u8>)> {
    let is_transcript = |path: &Path| {
        path.starts_with(Path::new(STORE).join("transcripts"))
            && path.extension().is_some_and(|extension| extension == "jsonl")
    };
    fs.files().into_iter().filter(|(path, _)| is_transcript(path)).collect()
}

fn registry(fs: &SimFs) -> String {
    let path = Path::new(STORE).join("registry.jsonl");
    let found = fs.files().into_iter().find(|(name, _)| *name == path);
    found.map(|(_, bytes)| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
