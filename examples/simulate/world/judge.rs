//! What a crash left: looked at, recovered, compared, gone on with.

use std::path::{Path, PathBuf};

use sesslog::fs::Fs as _;
use sesslog::sim::Chance;
use sesslog::{Durability, Listed, Progress, RebuildOptions, Severity, Store, VerifyOptions};

use super::model::{self, Submitted};
use super::program::{self, Body};
use super::{KEYS, STORE, Tally, World};

impl World {
    /// Opens what a crash left, perhaps crashes or fails again on the way, and compares.
    pub(super) fn judge(&mut self, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        self.look()?;
        if chance.one_in(3) {
            self.recover_badly(chance, tally)?;
        }
        let thorough = chance.one_in(3);
        self.go_on(thorough, tally)?;
        if chance.one_in(4) {
            let rotten = self.rot(chance, tally)?;
            if let Some(rotten) = rotten
                && chance.one_in(3)
            {
                // Life goes on with what a repair has made.
                *self = rotten;
            }
        }
        Ok(())
    }

    /// The power goes again while the store is being recovered, or the disk fails meanwhile.
    fn recover_badly(&mut self, chance: &mut Chance, tally: &mut Tally) -> Result<(), String> {
        self.tell(|| "recovery, badly".to_owned());
        let fails = chance.one_in(2);
        if fails {
            let (op, number, fault) = program::fault(chance);
            self.fs.fail(op, number, fault);
            self.models.iter_mut().for_each(|model| model.failed = true);
        }
        let power = !fails || chance.one_in(2);
        if power {
            self.fs.cut_power_at(Some(self.fs.operations() + chance.below(40)));
        }
        if let Ok(store) = self.options().open(STORE) {
            if chance.one_in(2) {
                store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).ok();
            }
            for (number, key) in KEYS.iter().enumerate().take(self.models.len()) {
                if let Ok(session) = store.session(key) {
                    self.append(&session, number, &[Body::random(chance)], Durability::Sync);
                }
            }
            if chance.one_in(2) {
                store.close().ok();
            }
        }
        tally.meet(&self.fs);
        self.fs.heal();
        if power || chance.one_in(2) {
            self.tell(|| "crash in recovery".to_owned());
            self.fs.crash(chance);
            tally.crashes += 1;
            tally.states.insert(self.fs.hash());
            self.look()?;
        }
        Ok(())
    }

    /// What a reader sees before anyone recovers: no pure crash is damage, and looking changes nothing.
    pub(super) fn look(&mut self) -> Result<(), String> {
        let before = self.fs.hash();
        let Ok(reader) = self.options().open_read_only(STORE) else { return Ok(()) };
        let report = reader.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default());
        let report = report.map_err(|error| format!("verify: {error}"))?;
        if report.worst() == Some(Severity::Damage) {
            return Err(format!("a crash is called damage: {:?}", report.findings));
        }
        self.look_at_the_gone(&reader)?;
        self.check_lists(&reader)?;
        for (number, key) in KEYS.iter().enumerate().take(self.models.len()) {
            self.check_status(&reader, number)?;
            let model = &mut self.models[number];
            model.check_marks(&reader, key)?;
            model.check_closed(&reader, key)?;
            let found = model::found_in(&reader, key, model.generation)?.unwrap_or_default();
            model.check(key, &found)?;
            // What did not survive the crash was never promised, and is gone for good.
            model.submitted.retain(|submitted| found.iter().any(|found| found.body == submitted.body));
            model.failed = false;
        }
        drop(reader);
        if self.fs.hash() == before { Ok(()) } else { Err("a reader changed something".to_owned()) }
    }

    /// The owner opens every session, appends, and what it finds is promised from then on.
    pub(super) fn go_on(&mut self, thorough: bool, tally: &mut Tally) -> Result<(), String> {
        let before = model::transcripts(&self.fs);
        let store = self.options().open(STORE).map_err(|error| format!("open: {error}"))?;
        for (number, key) in KEYS.iter().enumerate().take(self.models.len()) {
            let session = store.session(key).map_err(|error| error.to_string())?;
            let (body, record) = self.record(&session, Body::Letters(20));
            let receipt = session.append(record).map_err(|error| format!("{key}: append after the crash: {error}"))?;
            let model = &mut self.models[number];
            model.submitted.push(Submitted { body, promised: true, seq: Some(receipt.seq) });
            if receipt.generation != model.generation {
                return Err(format!("{key}: appended to generation {}, not {}", receipt.generation, model.generation));
            }
            let found = model::found_in(&store, key, model.generation)?.unwrap_or_default();
            model.check(key, &found)?;
            if thorough {
                model::agree(&store, key, &found)?;
            }
            tally.acked += model.submitted.iter().filter(|submitted| submitted.promised).count() as u64;
            model.settle(found);
            self.check_status(&store, number)?;
        }
        self.check_bytes_kept(&before, tally)?;
        if thorough { self.check_registry(&store) } else { Ok(()) }
    }

    /// The registry as the store leaves it is the one that a rebuild folds, and a verify finds nothing.
    pub(super) fn check_registry(&self, store: &Store) -> Result<(), String> {
        if !super::forget::generations(&self.fs, "~trash").is_empty() {
            // Nobody may have written to that since the crash: a seal of its that was torn is cut first.
            store
                .rebuild_index(RebuildOptions::new().jobs(1), &Progress::default())
                .map_err(|error| error.to_string())?;
        }
        store.close().map_err(|error| format!("close: {error}"))?;
        let saved = model::registry(&self.fs);
        let store = self.options().open(STORE).map_err(|error| format!("open: {error}"))?;
        store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).map_err(|error| error.to_string())?;
        if model::registry(&self.fs) != saved {
            return Err(format!("close and rebuild differ:\n{saved}\n{}", model::registry(&self.fs)));
        }
        let report = store.verify(&VerifyOptions::new().deep(true).jobs(1), &Progress::default());
        let report = report.map_err(|error| error.to_string())?;
        if report.findings.is_empty() { Ok(()) } else { Err(format!("not sound afterwards: {:?}", report.findings)) }
    }

    /// Lists say the same without the registry: it holds nothing of its own but what is lost.
    pub(super) fn check_lists(&self, reader: &Store) -> Result<(), String> {
        let without = World { fs: self.fs.fork(), ..self.clone() };
        for name in ["registry.jsonl", "registry.changes.jsonl"] {
            without.fs.remove(&Path::new(STORE).join(name)).ok();
        }
        let Ok(truth) = without.options().open_read_only(STORE) else { return Ok(()) };
        let all = |store: &Store| rows(store.sessions().ok()?);
        let recent = |store: &Store| rows(store.recent(2).ok()?);
        for (what, lists) in [("all", (all(reader), all(&truth))), ("recent", (recent(reader), recent(&truth)))] {
            let (Some(with), Some(without)) = lists else { continue };
            if with != without {
                return Err(format!("the list of {what} depends on the registry:\n{with:#?}\nwithout:\n{without:#?}"));
            }
        }
        Ok(())
    }

    /// Transcript and quarantine together hold every byte that was in the transcript, but for padding.
    fn check_bytes_kept(&self, before: &[(PathBuf, Vec<u8>)], tally: &mut Tally) -> Result<(), String> {
        let (files, aside) = (model::transcripts(&self.fs), model::quarantine(&self.fs));
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

/// What lists say of each session, but for what only a registry can know; nothing where a fault kept one from being read.
fn rows(listed: Vec<Listed>) -> Option<Vec<String>> {
    let is_fault = |listed: &Listed| matches!(listed, Listed::Unreadable { error: sesslog::Error::Io(_), .. });
    if listed.iter().any(is_fault) {
        return None;
    }
    let row = |listed| match listed {
        Listed::Session(mut row) => {
            row.durable_seq = 0;
            Some(format!("{row:?}"))
        }
        _ => None,
    };
    Some(listed.into_iter().filter_map(row).collect())
}
