//! The disk breaks its word: rot in what is promised is damage, never torn, never clean, costs nothing but itself, and a
//! repair salvages the rest, whatever happens to it on the way.

use std::path::{Path, PathBuf};

use sesslog::sim::Chance;
use sesslog::{NewRecord, Progress, SessionKey, Severity, Store, VerifyOptions};

use super::model::{self, Found};
use super::program::{self, size};
use super::turns::Status;
use super::{KEYS, STORE, Tally, World};

/// One broken promise of the disk.
struct Rot {
    path: PathBuf,
    key: usize,
    old: Vec<u8>,
    new: Vec<u8>,
    /// The first byte touched and the first behind.
    from: usize,
    to: usize,
    /// Line starts of the old content, and its end.
    starts: Vec<usize>,
    with_registry: bool,
    /// Nothing but the registry tells.
    is_cut: bool,
    story: String,
}

impl World {
    /// Breaks one of the transcripts on a copy of the disk; returns what a repair made of it.
    pub(super) fn rot(&self, chance: &mut Chance, tally: &mut Tally) -> Result<Option<Self>, String> {
        let mut world = self.fork();
        let Some(rot) = Rot::choose(&world, chance) else { return Ok(None) };
        world.tell(|| rot.story.clone());
        tally.rotten += 1;
        // Marks may be among what is lost.
        world.models[rot.key].marks.clear();
        world.fs.tamper(&rot.path, &rot.new);
        if !rot.with_registry {
            for name in ["registry.jsonl", "registry.changes.jsonl"] {
                world.fs.tamper(&Path::new(STORE).join(name), b"");
            }
        }
        let found = world.judge_damage(&rot).map_err(|broken| format!("{}: {broken}", rot.story))?;
        let repaired = world.repair(&rot, &found, chance, tally);
        let repaired = repaired.map_err(|broken| format!("{}: repair: {broken}", rot.story))?;
        Ok(repaired.then_some(world))
    }

    /// Damage is named, every record whose line was not touched can still be read, and an append is refused.
    fn judge_damage(&mut self, rot: &Rot) -> Result<Vec<Found>, String> {
        let store = self.options().open(STORE).map_err(|error| format!("open: {error}"))?;
        let report = verify(&store)?;
        if report.worst() != Some(Severity::Damage) {
            return Err(format!("is no damage: {:?}", report.findings));
        }
        let session = store.session(KEYS[rot.key]).map_err(|error| error.to_string())?;
        let mut found = Vec::new();
        let mut lines = Vec::new();
        for item in session.records().map_err(|error| error.to_string())? {
            if let Ok(sesslog::Item::Record(record)) = item {
                lines.push(record.line().to_owned());
                if !record.is_mark() {
                    found.push(Found { seq: record.seq(), body: record.body().to_owned() });
                }
            }
        }
        for line in rot.readable() {
            if !lines.contains(&line) {
                return Err(format!("a sound record is not read any more: {line}"));
            }
        }
        self.append_to_damage(rot)?;
        Ok(found)
    }

    /// On a copy: an append is refused and changes nothing, unless a row covers the damage, which an append does not look at.
    fn append_to_damage(&self, rot: &Rot) -> Result<(), String> {
        let fs = self.fs.fork();
        let before = model::transcripts(&fs);
        let store = self
            .options()
            .file_system(std::sync::Arc::new(fs.clone()))
            .open(STORE)
            .map_err(|error| format!("open: {error}"))?;
        let session = store.session(KEYS[rot.key]).map_err(|error| error.to_string())?;
        let refused = session.append(NewRecord::json("0").map_err(|error| error.to_string())?).is_err();
        match refused {
            true if before != model::transcripts(&fs) => Err("a refused append changed the file".to_owned()),
            false if !rot.with_registry => Err("an append was taken".to_owned()),
            _ => Ok(()),
        }
    }

    /// Repairs, perhaps with a crash or a failing disk on the way; nothing sound is lost, nothing is invented, the original is
    /// kept, and the session lives on. `false` when the only witness of the damage is gone: a crash may take the registry.
    fn repair(&mut self, rot: &Rot, sound: &[Found], chance: &mut Chance, tally: &mut Tally) -> Result<bool, String> {
        let key = KEYS[rot.key];
        if chance.one_in(2) && !self.fail_a_repair(rot, chance, tally)? {
            return Ok(false);
        }
        let store = self.options().open(STORE).map_err(|error| format!("open: {error}"))?;
        let session = store.session(key).map_err(|error| error.to_string())?;
        store.repair(session.key(), None, false).map_err(|error| error.to_string())?;
        tally.repaired += 1;
        if !model::quarantine(&self.fs).iter().any(|(_, bytes)| *bytes == rot.new) {
            return Err("the original is nowhere".to_owned());
        }
        let found = model::found_in(&store, key, self.models[rot.key].generation)?.unwrap_or_default();
        for record in sound {
            if !found.contains(record) {
                return Err(format!("{record:?} was readable before; found {found:?}"));
            }
        }
        let model = &mut self.models[rot.key];
        let known = |found: &Found| {
            model.submitted.iter().any(|known| known.body == found.body && known.seq.is_none_or(|seq| seq == found.seq))
        };
        if let Some(invented) = found.iter().find(|found| !known(found)) {
            return Err(format!("{invented:?} was invented"));
        }
        model.settle(found);
        // A mark may be among what is lost.
        let row = session.row().map_err(|error| error.to_string())?;
        model.status = vec![Status::of(&row)];
        if row.state == sesslog::SessionState::Closed {
            model.close_generation();
        }
        drop(store);
        // Another life: what the repair left survives a crash, is sound, and can be written to.
        self.fs.crash(chance);
        tally.crashes += 1;
        tally.states.insert(self.fs.hash());
        self.look()?;
        self.go_on(true, tally)?;
        Ok(true)
    }

    /// A repair that does not come to its end leaves the damage or the repaired file, whole.
    fn fail_a_repair(&mut self, rot: &Rot, chance: &mut Chance, tally: &mut Tally) -> Result<bool, String> {
        let power = chance.one_in(2);
        if power {
            self.fs.cut_power_at(Some(self.fs.operations() + chance.below(40)));
        } else {
            let (op, number, fault) = program::fault(chance);
            self.fs.fail(op, number, fault);
        }
        let store = self.options().open(STORE);
        if let Ok(store) = &store
            && let Ok(session) = store.session(KEYS[rot.key])
        {
            store.repair(session.key(), None, false).ok();
        }
        drop(store);
        tally.meet(&self.fs);
        self.fs.heal();
        self.fs.cut_power_at(None);
        if power || chance.one_in(2) {
            self.fs.crash(chance);
            tally.crashes += 1;
            tally.states.insert(self.fs.hash());
        }
        let files = model::transcripts(&self.fs);
        let file = files.iter().find(|(path, _)| *path == rot.path).map(|(_, bytes)| bytes);
        let reader = self.options().open_read_only(STORE).map_err(|error| format!("open: {error}"))?;
        let report = verify(&reader)?;
        match (file == Some(&rot.new), report.worst() == Some(Severity::Damage)) {
            (false, true) => Err(format!("cut short, it left a file of its own: {:?}", report.findings)),
            (true, false) if rot.is_cut => Ok(false),
            (true, false) => Err(format!("the damage is no more: {:?}", report.findings)),
            _ => Ok(true),
        }
    }
}

impl Rot {
    fn choose(world: &World, chance: &mut Chance) -> Option<Self> {
        let (path, old) = program::pick(chance, &non_empty(model::transcripts(&world.fs))?);
        // The generation that takes records; what is closed is read in the same way.
        let is_its = |number: &usize| {
            let name = SessionKey::new(KEYS[*number]).map(|key| key.file_name(world.models[*number].generation));
            name.is_ok_and(|name| path.ends_with(name))
        };
        let key = (0..world.models.len()).find(is_its)?;
        let mut new = old.clone();
        let starts: Vec<_> = std::iter::once(0)
            .chain(new.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        let last = starts[starts.len().checked_sub(2)?];
        let with_registry = chance.one_in(2);
        let below = |chance: &mut Chance, bound: usize| size(chance.below(bound as u64));
        let (story, from, to) = match chance.below(3) {
            0 => {
                let at = below(chance, new.len());
                new[at] ^= 1 << chance.below(8);
                ("a flipped bit", at, at + 1)
            }
            1 if last > 1024 => {
                // Below the last record, which claims that all before it is durable.
                let at = below(chance, last / 512 - 1) * 512;
                new[at..at + 512].fill(0);
                ("a blanked sector", at, at + 512)
            }
            _ if with_registry => {
                // The seal was never promised.
                let end = if old[last..].windows(8).any(|window| window == b"\"sealed\"") { last } else { new.len() };
                let at = below(chance, end);
                new.truncate(at);
                ("a cut", at, old.len())
            }
            _ => return None,
        };
        let row = if with_registry { "row" } else { "no row" };
        let story = format!("{story} at {from} of {} ({row})", path.display());
        let is_cut = new.len() < old.len();
        (new != old).then_some(Self { path, key, old, new, from, to, starts, with_registry, is_cut, story })
    }

    /// The lines that must still be read: all that were not touched.
    fn readable(&self) -> Vec<String> {
        let lines = self.starts.len() - 1;
        let touched = |line: usize| self.starts[line] < self.to && self.starts[line + 1] > self.from;
        // With the header gone, one line alone can not tell its checksum.
        let sound = (1..lines).filter(|line| !touched(*line) && !touched(line - 1)).count();
        if touched(0) && sound <= 1 {
            return Vec::new();
        }
        let text =
            |line: usize| String::from_utf8_lossy(&self.old[self.starts[line]..self.starts[line + 1] - 1]).into_owned();
        // Two lines that a blanked newline fused: the second is lost to the gap.
        let fused = |line: usize| touched(line - 1) && self.to >= self.starts[line];
        (1..lines).filter(|line| !touched(*line) && !fused(*line)).map(text).collect()
    }
}

fn verify(store: &Store) -> Result<sesslog::Report, String> {
    store.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default()).map_err(|error| error.to_string())
}

fn non_empty<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}
