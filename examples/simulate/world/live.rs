//! A program's steps, and what the callers are told.

use sesslog::fs::Fs as _;
use sesslog::sim::Chance;
use sesslog::{
    Durability, Error, NewRecord, Progress, RebuildOptions, Session, Severity, Store, Timestamp, VerifyOptions,
};

use super::forget::Forget;
use super::model::{self, Submitted};
use super::program::{Body, Life, Step, What};
use super::turns::{Turns, in_doubt};
use super::{KEYS, STORE, Tally, World};

impl World {
    /// Runs a life until its end or the power's.
    pub(super) fn live(&mut self, life: &Life, tally: &mut Tally) -> Result<(), String> {
        (self.padding, self.log_from) = (life.padding, life.log_from);
        let from = self.fs.operations();
        self.fs.cut_power_at(life.power.map(|after| from + after));
        for (op, number, fault) in &life.faults {
            self.fs.fail(*op, *number, *fault);
        }
        if !life.faults.is_empty() {
            // A session that is let go of to make room fails unseen until somebody asks: nothing is implied in such a life.
            self.models.iter_mut().for_each(|model| model.failed = true);
        }
        let mut stores: Vec<Option<Store>> = Vec::new();
        let mut turns = Turns::new();
        for max in &life.writers_max {
            stores.push(self.options().open_writers_max(*max).open(STORE).ok());
        }
        for step in &life.steps {
            if let Some(store) = stores.get_mut(step.process) {
                self.step(store, &mut turns, step)?;
            }
        }
        tally.meet(&self.fs);
        if life.dies {
            // The processes die with the power, or just before it without a word.
            self.fs.cut_power_at(Some(self.fs.operations()));
        }
        drop((turns, stores));
        Ok(())
    }

    pub(super) fn step(&mut self, process: &mut Option<Store>, turns: &mut Turns, step: &Step) -> Result<(), String> {
        let Some(store) = process else {
            *process = self.options().open(STORE).ok();
            return Ok(());
        };
        let (number, key) = (step.key, KEYS[step.key]);
        let session = store.session(key).map_err(|error| error.to_string())?;
        self.tell(|| format!("  process {} {key:?} {:?}", step.process, step.what));
        match &step.what {
            What::Append { .. } | What::Retry | What::Undo(_) | What::Compact(_) | What::Read | What::Repair
                if self.models[number].is_open() => {}
            What::Append { bodies, durability } => self.append(&session, number, bodies, *durability),
            What::Retry => self.retry(&session, number),
            What::Undo(count) => {
                let undone = session.undo(*count).map(|undone| undone.map(|undone| undone.seq));
                self.receive_mark(number, &undone);
            }
            What::Compact(kept) => {
                self.next_body += 1;
                let last_seq = session.head().map_or(0, |head| head.seq);
                let keep_from = (last_seq + 1).saturating_sub(*kept);
                let compacted = session.compact(&format!("summary {}", self.next_body), keep_from);
                self.receive_mark(number, &compacted.map(|receipt| Some(receipt.seq)));
            }
            What::Forget(forget) => {
                if let Forget::Delete { .. } | Forget::Prune { .. } = forget {
                    // A turn that a process holds ends with its session; nothing is known of it any more.
                    turns.retain(|(process, _), _| *process != step.process);
                }
                self.forget(&store.clone(), number, forget)?;
            }
            What::Change(change) => self.change(&store.clone(), turns, (step.process, number), change)?,
            What::Flush => self.models[number].failed |= session.flush().is_err(),
            What::Release => {
                let released = session.release();
                let is_kept = matches!(released, Err(sesslog::Error::TurnRunning { .. }));
                self.models[number].failed |= released.is_err() && !is_kept;
            }
            What::Reopen => {
                session.reopen().ok();
            }
            What::FlushStore => {
                if !store.flush().is_ok_and(|flushed| flushed.failures.is_empty()) {
                    self.models.iter_mut().for_each(|model| model.failed = true);
                }
            }
            What::Rebuild => {
                store.rebuild_index(RebuildOptions::new().jobs(1), &Progress::default()).ok();
            }
            What::Look => self.look_beside_writers()?,
            What::Read => {
                // An error is one of the faults', or the power's.
                let model = &self.models[number];
                if let Ok(found) = model::found_in(store, key, model.generation) {
                    model.check(key, &found.unwrap_or_default())?;
                }
            }
            What::Repair => {
                if let Ok(repaired) = store.repair(session.key(), None, false)
                    && !repaired.gaps.is_empty()
                {
                    return Err(format!("{key}: repaired what was no damage: {repaired:?}"));
                }
            }
            What::Clock { by_ms } => self.fs.turn_clock(*by_ms),
            What::Close => {
                turns.retain(|(process, _), _| *process != step.process);
                if !store.close().is_ok_and(|flushed| flushed.failures.is_empty()) {
                    self.models.iter_mut().for_each(|model| model.failed = true);
                }
                *process = self.options().open(STORE).ok();
            }
        }
        Ok(())
    }

    fn look_beside_writers(&mut self) -> Result<(), String> {
        let before = self.fs.hash();
        if let Ok(reader) = self.options().open_read_only(STORE) {
            let report = reader.verify(&VerifyOptions::new().jobs(1), &Progress::default());
            if let Ok(report) = report
                && report.worst() == Some(Severity::Damage)
            {
                return Err(format!("damage beside a live writer: {:?}", report.findings));
            }
            self.check_lists(&reader)?;
        }
        if self.fs.hash() == before { Ok(()) } else { Err("a reader changed something".to_owned()) }
    }

    pub(super) fn append(&mut self, session: &Session, number: usize, bodies: &[Body], durability: Durability) {
        let from = self.models[number].submitted.len();
        let has_ids = self.next_body.is_multiple_of(2);
        let mut batch = Vec::new();
        for body in bodies {
            let (body, record) = self.record(session, *body);
            let id = format!("id {}", self.next_body);
            let record = if has_ids { record.id(&id).unwrap_or_else(|_| unreachable!("it is an id")) } else { record };
            self.models[number].submitted.push(Submitted { body: body.clone(), promised: false, seq: None });
            batch.push((body, record));
        }
        let records = batch.iter().map(|(_, record)| record.clone()).collect();
        if has_ids {
            self.last[number] = batch;
        }
        let result = session.append_batch_with(records, durability);
        self.tell(|| match &result {
            Ok(receipts) => format!("    -> {receipts:?}"),
            Err(error) => format!("    -> {error}"),
        });
        let model = &mut self.models[number];
        let receipts = match &result {
            Ok(receipts) | Err(Error::Partial { receipts, .. }) => &receipts[..],
            Err(_) => &[],
        };
        for (receipt, submitted) in receipts.iter().zip(&mut model.submitted[from..]) {
            submitted.promised |= receipt.durable;
            submitted.seq = Some(receipt.seq);
        }
        let cause = match &result {
            Err(Error::Partial { source, .. }) => Some(&**source),
            Err(error) => Some(error),
            Ok(_) => None,
        };
        if cause.is_some_and(|cause| !matches!(cause, Error::Poisoned { .. })) {
            // Refused, or written and taken back: it must never be seen.
            let written = receipts.len();
            model.submitted.truncate(from + written);
        }
        match result {
            Ok(receipts) if receipts.iter().all(|receipt| receipt.durable) && !model.failed => {
                // One fdatasync covers everything that was written before.
                model.submitted[..from].iter_mut().for_each(|submitted| submitted.promised = true);
            }
            Ok(_) => {}
            Err(error) => {
                model.failed = true;
                // Some callers go on from what is provably on disk, others give up.
                if matches!(error, Error::Poisoned { .. }) && self.next_body.is_multiple_of(2) {
                    session.reopen().ok();
                }
            }
        }
    }

    /// Tries a batch again: each of its records is there once, be it from the first time or from this one.
    fn retry(&mut self, session: &Session, number: usize) {
        let batch = self.last[number].clone();
        let records = batch.iter().map(|(_, record)| record.clone()).collect();
        let result = session.append_batch(records);
        self.tell(|| format!("    -> {result:?}"));
        let model = &mut self.models[number];
        let receipts = match &result {
            Ok(receipts) | Err(Error::Partial { receipts, .. }) => &receipts[..],
            Err(_) => &[],
        };
        for (receipt, (body, _)) in receipts.iter().zip(&batch) {
            model.receive_again(body, receipt.seq);
        }
        if let Err(error) = &result {
            model.failed = true;
            if in_doubt(error) {
                for (body, _) in &batch[receipts.len()..] {
                    // From the first time, from this one, or not at all.
                    if !model.submitted.iter().any(|known| known.body == *body && known.seq.is_some()) {
                        model.submitted.retain(|known| known.body != *body);
                        model.submitted.push(Submitted { body: body.clone(), promised: false, seq: None });
                    }
                }
                if self.next_body.is_multiple_of(2) {
                    session.reopen().ok();
                }
            }
        }
    }

    /// A mark about the view is promised, or it failed.
    fn receive_mark(&mut self, number: usize, result: &Result<Option<u64>, Error>) {
        self.tell(|| format!("    -> {result:?}"));
        let model = &mut self.models[number];
        match result {
            Ok(seq) => model.marks.extend(seq),
            Err(_) => model.failed = true,
        }
    }

    /// A record with a body of its own.
    pub(super) fn record(&mut self, session: &Session, shape: Body) -> (String, NewRecord) {
        self.next_body += 1;
        let number = self.next_body;
        let filling = match shape {
            Body::Letters(length) => {
                let mut chance = Chance::new(number);
                let letter = |_| char::from(b'a' + u8::try_from(chance.below(26)).unwrap_or(0));
                format!("\"{}\"", (0..length).map(letter).collect::<String>())
            }
            Body::Echo | Body::Forged => self.forgery(session, number, shape).unwrap_or_else(|| "null".to_owned()),
        };
        let body = format!("{}{filling}}}", opening(number));
        // An echo of an echo of an echo is too deep one day.
        let body = if NewRecord::json(&body).is_ok() { body } else { format!("{{\"n\":{number}}}") };
        let record = NewRecord::json(&body).unwrap_or_else(|_| unreachable!("it is JSON"));
        (body, record)
    }

    /// What an attacker would write who knows the file and the clock: believed by whoever trusts the middle of a line that
    /// was torn at a sector's end.
    fn forgery(&self, session: &Session, number: u64, shape: Body) -> Option<String> {
        let path = session.path(None).ok()?;
        let content = self.fs.files().into_iter().find(|(name, _)| *name == path)?.1;
        let text = std::str::from_utf8(&content).ok()?.strip_suffix('\n')?;
        let seed = text.lines().next()?;
        let seed = u32::from_str_radix(seed.get(seed.len() - 10..seed.len() - 2)?, 16).ok()?;
        let last = text.lines().last()?;
        let prev = last.get(last.len() - 10..last.len() - 2)?;
        let seq: u64 = last.strip_prefix("{\"seq\":")?.split(',').next()?.parse().ok()?;
        let ts = Timestamp::from_unix_ms(self.fs.now().unix_ms() + 1);
        let mut line = format!(
            "{{\"seq\":{},\"durable\":{seq},\"prev\":\"{prev}\",\"ts\":\"{ts}\",\"kind\":\"message\",\"body\":{}",
            seq + 1,
            opening(number),
        );
        let start = line.len();
        let end = if matches!(shape, Body::Echo) { last.len() } else { FORGED_END_BYTES };
        line.push_str("{\"pad\":\"");
        let behind = "\",\"x\":".len() + usize::from(matches!(shape, Body::Forged)) + end;
        let pad = (content.len() + line.len() + behind).next_multiple_of(512) - (content.len() + line.len() + behind);
        line.extend(std::iter::repeat_n('x', pad));
        line.push_str("\",\"x\":");
        if matches!(shape, Body::Echo) {
            line.push_str(last);
        } else {
            line.push('0');
            let mut hasher = crc32fast::Hasher::new_with_initial(seed);
            hasher.update(line.as_bytes());
            let crc = hasher.finalize();
            line = format!("{line},\"crc\":\"{crc:08x}\"");
        }
        line.push('}');
        line.get(start..).map(str::to_owned)
    }
}

/// The length of `,"crc":"01234567"}`.
const FORGED_END_BYTES: usize = 18;

/// How every body begins.
fn opening(number: u64) -> String {
    format!("{{\"n\":{number},\"filling\":")
}
