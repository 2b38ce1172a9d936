#!/usr/bin/env python3
"""Shows that the simulation and the schedules catch the bugs they are for.

Each deliberate bug is a replacement in a copy of the tree, never a switch in the product. The copy is built and simulated from
fresh seeds, or run under explored schedules (tests/schedules.rs), until a promise is seen broken; a bug that survives is a hole
in the simulation, or in the schedules.

usage: mutants.py [--seeds N] [--states N] [--schedules N] [--kind simulation|schedules|tests] [--only NAME]
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WRITER, RECOVER, SCAN = "src/transcript/writer.rs", "src/transcript/recover.rs", "src/transcript/scan.rs"
EDGE, REPAIR, STATUS = "src/transcript/edge.rs", "src/repair.rs", "src/status.rs"
DRAIN, COMMIT, INNER = "src/store/drain.rs", "src/store/commit.rs", "src/store/inner.rs"
IDS, TRASH, GROUP = "src/transcript/ids.rs", "src/trash.rs", "src/store/group.rs"
SLOT, ROWS, SETTLE, LISTING = "src/store/slot.rs", "src/store/rows.rs", "src/store/settle.rs", "src/store/listing.rs"
CHANGES, SAVE = "src/registry/changes.rs", "src/store/save.rs"
LOCK, INDEX, MERGE = "src/lock.rs", "src/index.rs", "src/registry/merge.rs"

# name: (file, what stands there, what stands there instead)
BUGS = {
    "no fdatasync": (WRITER, "|| self.file.sync_data());", "|| std::io::Result::Ok(()));"),
    "acknowledged before the fdatasync": (WRITER, "            self.sync_ours()?;\n        }\n        Ok(written)", "            self.durable_seq = self.row.last_seq;\n        }\n        Ok(written)"),
    "fsync tried again": (WRITER, "|| self.file.sync_data());", "|| self.file.sync_data().or_else(|_| self.file.sync_data()));"),
    "no fsync of a newborn file": (WRITER, 'telemetry::fsync(key.as_str(), generation, || temp.file.sync_all());', "std::io::Result::Ok(());"),
    "no fsync of the folder at birth": (WRITER, ".sync_dir(&transcripts)", ".stat(&transcripts).map(drop)"),
    "short write ignored": (WRITER, "Ok(count) if count >= content_bytes => {", "Ok(count) if count > 0 => {"),
    "rollback not synced": (WRITER, "self.file.set_len(length_bytes).and_then(|()| self.file.sync_data())", "self.file.set_len(length_bytes)"),
    "durable one too high": (WRITER, "let mut place = Place { seq: before.1, durable: self.durable_seq, prev: self.row.last_crc };", "let mut place = Place { seq: before.1, durable: (self.durable_seq + 1).min(before.1), prev: self.row.last_crc };"),
    "a poisoned writer takes its lock file along": (LOCK, "if !self.in_doubt && !self.left_behind", "if !self.left_behind"),
    "a rebuild does not look for a lock": (INDEX, "let is_free = || layout.is_gone(&layout.lock_of(&name.stem));", "let is_free = || true;"),
    "poison not set": ("src/store/commit.rs", "                self.writer = None;\n                self.poisoned = Some(error.clone());", "                if let Some(writer) = self.writer.as_mut() {\n                    writer.unpoison();\n                }"),
    "registry ahead of the transcript": ("src/store/commit.rs", "self.writer.as_ref().filter(|writer| writer.unsynced() == 0)", "self.writer.as_ref()"),
    "stale page cache trusted": (RECOVER, "if proven_seq < folded.last_seq {", "if false {"),
    "a clean open makes nothing durable": (RECOVER, 'file.sync_data().context("fdatasync", &path)?;\n    let transcripts', "let transcripts"),
    "the folder not fsynced at open": (RECOVER, 'layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts)?;', ""),
    "torn bytes not kept aside": (RECOVER, "let quarantine = keep_aside(layout, source, tail.offset, &name)?;", "let quarantine = name;"),
    "torn bytes not cut": (RECOVER, 'file.set_len(tail.offset).context("truncate", &path)?;', ""),
    "the missing newline not added": (RECOVER, "    if newline_missing {", "    if false {"),
    "cut at the first bad line": (SCAN, "        if !line.terminated {\n            return Ok(true);", "        if !line.terminated || !promised {\n            return Ok(true);"),
    "the row is no witness": (SCAN, "let promised = self.witness.is_some_and(|durable| durable >= seq);", "let promised = false;"),
    "later claims are no proof": (SCAN, "Ok(edge::has_lost_sector(&mut self.source, line)? && !self.is_proven_later(line)?)", "edge::has_lost_sector(&mut self.source, line)"),
    "lost sectors not looked for": (SCAN, "Ok(edge::has_lost_sector(&mut self.source, line)? && !self.is_proven_later(line)?)", "Ok(false)"),
    "sectors off by one": (EDGE, "at.checked_rem(SECTOR_BYTES)", "at.saturating_add(1).checked_rem(SECTOR_BYTES)"),
    "a seal claims itself durable": ("src/registry.rs", "Some(Mark::Sealed) => self.durable_seq = info.seq.saturating_sub(1),", "Some(Mark::Sealed) => self.durable_seq = info.seq,"),
    "a forged end in a body believed": (EDGE, "if accepts(&info) && serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok() {", "if accepts(&info) {"),
    "a forged record in a body believed": ("src/transcript/source.rs", "let decoded = bytes.get(..length).map(|bytes| frame::decode(bytes, seed));", """let decoded = bytes.get(..length).map(|bytes| frame::decode(bytes, seed).or_else(|defect| {
                    let at = memchr::memmem::rfind(bytes, b"{\\"seq\\":").unwrap_or(0);
                    frame::decode(bytes.get(at..).unwrap_or_default(), seed).map_err(|_| defect)
                }));"""),
    "torn bytes' copy not fsynced": (RECOVER, 'temp.file.sync_all().context("fsync", &temp.path)?;\n    let name = temp.persist_unique', "let name = temp.persist_unique"),
    "a rewrite of what is not proven left out": (RECOVER, "rewrite(&mut source, &header, proven_seq, data_start)?;", ""),
    "a repaired file not fsynced": (REPAIR, 'temp.file.sync_all().context("fsync", &temp.path)?;', ""),
    "a repair's original not fsynced": (REPAIR, 'layout.fs.sync_dir(&folder).context("fsync folder", &folder)?;', ""),
    "a repair's original not kept": (REPAIR, "let quarantine = set_aside(inner, &path, &mut source, &name)?;", "let quarantine = name;"),
    "a repair marks no gap": (REPAIR, "new.put_gap(from_seq, to_seq, now)?;", "let _ = (from_seq, to_seq);"),
    "a repair in place": (REPAIR, "let temp = TempFile::create(&*inner.layout.fs, &path, inner.layout.file_mode)?;\n        let row = write_new(&*inner.layout.fs, &mut source, &plan, key, generation, &temp)?;", "let temp = TempFile::create(&*inner.layout.fs, &path, inner.layout.file_mode)?;\n        let row = write_new(&*inner.layout.fs, &mut source, &plan, key, generation, &temp)?;\n        inner.layout.fs.open(&path, OpenMode::Write).context(\"open\", &path)?.set_len(0).context(\"truncate\", &path)?;"),
    "a failed write not taken back": (WRITER, "self.file.set_len(length_bytes).and_then(|()| self.file.sync_data())", "std::io::Result::Ok(())"),
    "a mark not synced": (COMMIT, ".and_then(|()| self.commit_all(&mut appends, true, now)),", ".and_then(|()| self.commit_all(&mut appends, false, now)),"),
    "a cleared mark not written": ("src/store/marks.rs", "row.status.pending.as_ref().map(|_| Mark::ResumeCleared)", "row.status.pending.as_ref().and(None)"),
    "a cleared mark lost by the fold": (STATUS, "Mark::ResumeCleared => self.pending = None,", "Mark::ResumeCleared => {}"),
    "the counter reset by a failed turn": (STATUS, "if *outcome == Outcome::Success {", "if *outcome != Outcome::Interrupted {"),
    "suspended lost with the registry": (RECOVER, "let mark = if info.is_mark { walk.source.mark(&line, header.crc)? } else { None };", "let mark = if info.is_mark { walk.source.mark(&line, header.crc)? } else { None };\n                let mark = mark.filter(|mark| !matches!(mark, Mark::Suspended { .. }));"),
    "a suspended session begins a turn": ("src/store/turns.rs", "                refuse_suspended(&key, row)?;", "                let _ = row;"),
    "written behind a reset": (COMMIT, "self.writer.take_if(|writer| writer.row().state == SessionState::Closed)", "self.writer.take_if(|_| false)"),
    "a drained turn that failed stays pending": ("src/store/turns.rs", "if is_over && row.status.pending.is_some() && drained.load(Ordering::Acquire) {", "if false && is_over && drained.load(Ordering::Acquire) {"),
    "a drain replaces marks": (DRAIN, "if !runs || marked {", "if !runs || (marked && row.is_some_and(|row| row.status.suspended.is_some())) {"),
    "ids of an earlier process are not known": (IDS, "ids.put(id_json, at);", "let _ = id_json;"),
    "an id found is taken for durable": (COMMIT, "let looked = if sync && writer.unsynced() > 0 { writer.sync() } else { writer.check_ours() };", "let looked = writer.check_ours();"),
    "what was undone is seen again": ("src/transcript/backward.rs", "self.last_seq = seq;", "let _ = seq;"),
    "a whole session not fsynced": ("src/store/create.rs", 'temp.file.sync_all().context("fsync", &temp.path).map_err(Error::from)?;', ""),
    "a whole session's name not fsynced": ("src/store/create.rs", 'layout.fs.sync_dir(&transcripts).context("fsync folder", &transcripts).map_err(Error::from)?;', ""),
    "a deletion not noted": (TRASH, "if marks.is_empty() { Ok(()) } else { append_own(inner, &trash_key(), &marks) }\n}\n\nimpl<'a>", "drop(marks);\n    Ok(())\n}\n\nimpl<'a>"),
    "the trash not fsynced": (TRASH, "for folder in [inner.layout.trash(), inner.layout.transcripts()] {", "for folder in [inner.layout.transcripts()] {"),
    "a deleted session is a lost one": (INNER, "if self.graves.hold(self, &row)? {", "if false {"),
    "a purge that leaves the newest": (TRASH, "doomed.generations = self.generations(generation)?;", "doomed.generations = self.generations(generation)?;\n        doomed.generations.truncate(1);"),
    "a prune takes what is pending": ("src/prune.rs", "SessionState::Pending => Some(Kept::Pending),", "SessionState::Pending => None,"),
    "a prune takes what runs": ("src/prune.rs", "SessionState::Interrupted => Some(Kept::Running),", "SessionState::Interrupted => None,"),
    "a full disk purges unseen": (TRASH, "leaving.leave(inner, purge && is_noted);", "leaving.leave(inner, purge);"),
    "padding counted as content": (WRITER, "let offset = self.row.length_bytes;\n            written.push", "self.row.length_bytes = self.file_end;\n            let offset = self.row.length_bytes;\n            written.push"),
    "padding cut behind the end of the last line": (WRITER, "if self.file.set_len(self.row.length_bytes).is_ok() {", "if self.file.set_len(self.row.length_bytes - 1).is_ok() {"),
    "what is written over padding is not synced": (WRITER, "            self.sync_ours()?;\n        }\n        Ok(written)", "            if self.is_padded() {\n                self.durable_seq = self.row.last_seq;\n            } else {\n                self.sync_ours()?;\n            }\n        }\n        Ok(written)"),
    "nobody is told who writes": (SETTLE, "self.log(&changes::encode([Line::Touched(key, generation)]));", "let _ = (key, generation);"),
    "a log of another start of the machine is believed": (CHANGES, "fs.boot().as_ref() == Some(&proof.boot)\n            && ", ""),
    "a log beside another registry is believed": (CHANGES, "&& fs.stat(registry).is_ok_and(|stat| identity_of(&stat) == proof.registry)", ""),
    "a log is believed whatever is new in the folder": (CHANGES, "&& fs.stat(transcripts).is_ok_and(|stat| Some(ns(stat.changed_ns)) == self.folder_ns)", ""),
    "what is in the old log is not taken over": (SETTLE, "        let (mut lines, _) = changes::read_lines(&*fold.old, fold.seen_bytes, 0).ok()?;\n", "        let mut lines = Vec::new();\n"),
    "who wrote before the log is not looked at": (LISTING, "key.filter(|_| pass.locked.contains(&name.stem))", "key.filter(|_| false)"),
    "a drain marks nothing": (DRAIN, "if !runs || marked {", "if !runs || marked || !reason.is_empty() {"),
}


# Bugs that need two threads in one order: name: (file, what stands there, what stands there instead)
RACES = {
    "nobody is woken after an error": (COMMIT, "        for (waiter, kept) in &mut self.waiters {", "        for (waiter, kept) in self.waiters.iter_mut().filter(|_| !matches!(fallback, Error::Poisoned { .. })) {"),
    "one waiter is answered": (COMMIT, "        for (waiter, kept) in &mut self.waiters {", "        for (waiter, kept) in self.waiters.iter_mut().take(1) {"),
    "led for ever after an error": (SLOT, "state.led = !state.queue.is_empty();", "state.led = !state.queue.is_empty() || state.poisoned.is_some();"),
    "waits without the lock it looked with": ("src/store/waiter.rs", "self.called.wait(state)", "{\n                drop(state);\n                self.called.wait(self.lock())\n            }"),
    "one of three waiters is lost": (SLOT, "Lead::new(self, inner, held, waiters);", "Lead::new(self, inner, held, waiters.into_iter().take(2).collect());"),
    "the queue is taken twice": (SLOT, "        drop(state);\n        let (waiters, jobs)", "        drop(state);\n        self.lock().queue.clear();\n        let (waiters, jobs)"),
    "followers of a failed leader are told it is well": (COMMIT, "                    let error = self.failed(error);\n                    // A full disk is no reason to refuse what was written before.\n                    self.hand_out(appends, &[], sync);\n                    return Err(error);", "                    let last = self.writer.as_ref().map_or(0, |writer| writer.row().last_seq);\n                    let first = (last + 1).saturating_sub(waiting.len() as u64);\n                    let written: Vec<_> = (first..=last).map(|seq| Written { seq, crc: crate::frame::Crc::ZERO, offset: 0 }).collect();\n                    self.hand_out(appends, &written, sync);\n                    self.failed(error);\n                    return Ok(());"),
    "poison not kept": (SLOT, "state.poisoned = held.poisoned.filter(|_| !reopened);", "state.poisoned = held.poisoned.filter(|_| !reopened && false);"),
    "a reopen undone by a leader": (SLOT, "held.poisoned.filter(|_| !reopened);", "held.poisoned.filter(|_| !reopened || true);"),
    "a leader's end is no end to a list": (SLOT, "            inner.writer_closed(self);\n        }\n        state.led = !state.queue.is_empty();", "            drop(state);\n            crate::sync::thread::yield_now();\n            inner.writer_closed(self);\n            state = self.lock();\n        }\n        state.led = !state.queue.is_empty();"),
    "the leader lets go before it puts the writer back": (SLOT, "        let mut state = self.lock();\n        state.durable =", "        self.lock().led = false;\n        let mut state = self.lock();\n        state.durable ="),
    "closed looked at only before a writer is opened": (COMMIT, "        self.inner.check_writable()?;\n        let found = match", "        let found = match"),
    "closed after the list is taken": (INNER, "        self.keeper.stop();\n        let open = std::mem::take(&mut *self.open());", "        self.keeper.stop();\n        self.closed.store(false, Ordering::Release);\n        let open = std::mem::take(&mut *self.open());\n        for slot in &open {\n            slot.has_unsynced();\n            drop(self.open());\n            self.save_registry().ok();\n        }\n        self.closed.store(true, Ordering::Release);"),
    "evicted without being closed": (INNER, "if !idle.iter().any(|slot| slot.release_if_idle(self).unwrap_or(false)) {\n                return;", "if let Some(slot) = idle.first() {\n                self.writer_closed(slot);"),
    "an opened writer is not listed": (INNER, "open.extend(self.slots().get(key).and_then(Weak::upgrade));", "open.extend(self.slots().get(key).and_then(Weak::upgrade).filter(|_| newest.is_none()));"),
    "what is folded during a save is thought saved": (SAVE, "folded.retain(|(key, generation)| rows.get(key, *generation) != saved.get(key, *generation));", "let _: &Rows = rows;\n        folded.clear();"),
    "a merge forgets what was folded meanwhile": (SAVE, "                merged.put(row.clone());\n            }\n        }\n        for (", "            }\n        }\n        for ("),
    "futures are led for by nobody": (SLOT, "(None, Some((store, slot))) => inner.committers.lead(store, slot),", "(None, Some(_)) => {}"),
    "a committer forgets who came while it was busy": ("src/store/committers.rs", "            self.work_off();\n            let mut state = self.lock();\n            if IDLE.is_zero() && state.waiting.is_empty() {", "            self.work_off();\n            let mut state = self.lock();\n            if IDLE.is_zero() {"),
    "ids that wait together are not compared": (GROUP, "own.get(id).or_else(|| new.get(id)).copied()", "own.get(id).copied()"),
    "lock not taken": ("src/lock.rs", 'if !file.try_lock().map_err(io("lock"))? {', 'if !file.try_lock().map_err(io("lock"))? && purpose == Purpose::Brief {'),
    "the lock is held by two": ("src/lock.rs", "Ok(_) => return Ok(Attempt::Removed),\n            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Attempt::Removed),", "Ok(_) => {}\n            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}"),
}

# What takes a clock that waits, a real loss, or what the simulation's callers do not look at: caught by the tests in TESTS. The
# same form.
RULES = {
    "a drain that marks after the wait": (DRAIN, "        let mut failed = self.mark_all(&targets, reason);", "        drop(sync::lock_when(inner.turns.mutex(), &inner.turns.changed, left(), |state| !state.running.is_empty()));\n        let mut failed = self.mark_all(&targets, reason);"),
    "a drain lets turns begin": ("src/store/turns.rs", "        if state.draining {", "        if false {"),
    "a boundary that is stale": ("src/resume.rs", "age_ms <= self.fresh_seconds", "age_ms < self.fresh_seconds"),
    "a start is noted at every question": ("src/store/resumes.rs", "            if !start.told {", "            if true {"),
    "every loss is taken for a deletion": ("src/store/graves.rs", "Ok(noted || is_in_trash(", "Ok(true || noted || is_in_trash("),
    "a restore not noted": ("src/restore.rs", "append_own(inner, &trash_key(), &[NewRecord::mark(&mark)])?;\n        doomed", "let _ = mark;\n        doomed"),
    "a clock behind prunes": ("src/prune.rs", "check_clock(&rows, now)?;", ""),
    "a label keeps nothing": ("src/prune.rs", "any(|label| label == KEEP_LABEL)", "any(|_| false)"),
    "a fork takes the turn along": ("src/fork.rs", "for mark in [open_turn, pending, held]", "for mark in [None::<Mark>, pending.filter(|_| open_turn.is_none()), held]"),
    "an id is another record's": (GROUP, "let reused = found.filter(|found| !found.is_same)", "let reused = found.filter(|_| false)"),
    "an append_if that looks at the seq alone": ("src/store/compare.rs", "return Ok(Head::of(row) == head);", "return Ok(row.last_seq == head.seq);"),
    "a keep_from that can not be hides history": ("src/store/view.rs", "{ mark.keep_from } else { 1 };", "{ mark.keep_from } else { record.seq() };"),
    "an undo loses the summary": ("src/store/view.rs", "it.keep_from <= first_seq", "it.keep_from == u64::MAX && it.keep_from <= first_seq"),
    "a rebuild without syncfs": (INDEX, "let is_synced = layout.fs.sync_file_system(&layout.root).unwrap_or(false);", "let is_synced = true;"),
    "a rebuild asks no times": (INDEX, "stat.identity.0 == self.device && stat.modified_ns.max(stat.changed_ns) < self.before_ns", "stat.identity.0 == self.device"),
    "a lock file left behind tells nothing": (LOCK, "left_behind |= ours.length_bytes > 0;", "left_behind = false;"),
    "one generation speaks for all": (RECOVER, "    if generation == 1 {", "    if generation > 0 {"),
    "a failed recovery takes the lock file along": (RECOVER, "    lock.doubt();\n", ""),
    "a restore settles what it does not know": ("src/restore.rs", "doomed.doubt();", ""),
    "copied rows keep their old numbers": (MERGE, "if first.seq == self.lines {", "if first.seq == self.lines || first.seq > 0 {"),
    "what changed meanwhile is not merged": (SAVE, "registry.unsaved().filter(|key| !changed.contains(*key)).cloned().collect();", "registry.unsaved().filter(|_| false).cloned().collect();"),
    "the first page brings back what was deleted": (ROWS, "self.registry().learn(logged.into_rows());", "let mut registry = self.registry();\n        logged.into_rows().for_each(|row| registry.rows.put_later(row));"),
    "somebody else's births are taken for ours": ("src/store/folder.rs", ".filter(|snapshot| snapshot.modified_ns == before.modified_ns)", ".filter(|_| before.link_count > 0)"),
    "a birth tells no time of the folder": (SETTLE, "            if is_told {\n", "            if is_told && after.link_count == 0 {\n"),
    "a stop that is no stop": ("src/store/resumes.rs", "mark == Mark::Stopped", "mark != Mark::Unknown"),
}

TESTS = ("turns", "trash", "retries", "fork", "view", "registry_log", "padding", "rebuild")

# What the bug "poison not set" needs: a writer that forgets its failure.
UNPOISON = "    pub(crate) fn unpoison(&mut self) {\n        self.poisoned = false;\n    }\n\n    pub(crate) fn row(&self)"


def build(tree, target):
    command = ["cargo", "build", "--release", "--quiet", "--no-default-features", "--features", "sim", "--example", "simulate"]
    done = subprocess.run(command, cwd=tree, env=dict(os.environ, CARGO_TARGET_DIR=target, CARGO_PROFILE_RELEASE_DEBUG="0"), stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("the copy does not build:\n" + done.stderr.decode()[-3000:])
    return os.path.join(target, "release", "examples", "simulate")


def simulate(tree, target, options):
    """Returns after how many worlds each fresh seed saw a promise broken, 0 where none did, and whether a small program did."""
    program = build(tree, target)
    caught = []
    for _ in range(options.seeds):
        run = [program, "--states", str(options.states), "--seed", str(random.randrange(1 << 40)), "--shrink", "0"]
        done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        worlds = re.match(rb"(\d+) worlds", done.stdout)
        caught.append(done.returncode and (int(worlds.group(1)) if worlds else 0))
    run = [program, "--exhaustive", "2", "--recovery", "2"]
    if all(caught) and subprocess.run(run, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        caught.append("by a program of two steps")
    return caught


def explore(tree, target, options):
    """Returns for each fresh seed in which schedule of which test a promise was broken first, 0 where none was."""
    flags = dict(os.environ, CARGO_TARGET_DIR=os.path.join(target, "shuttle"), RUSTFLAGS="--cfg shuttle", RUST_BACKTRACE="0")
    command = ["cargo", "test", "--release", "--quiet", "--no-default-features", "--features", "sim", "--test", "schedules"]
    done = subprocess.run(command + ["--no-run"], cwd=tree, env=flags, stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("the copy does not build:\n" + done.stderr.decode()[-3000:])
    caught = []
    for _ in range(options.seeds):
        flags.update(SHUTTLE_RANDOM_SEED=str(random.randrange(1 << 40)), SESSLOG_SCHEDULES=str(options.schedules))
        try:
            run = subprocess.run(command, cwd=tree, env=flags, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900)
        except subprocess.TimeoutExpired as late:
            sys.exit("no end after 900 s:\n" + (late.stdout or b"").decode()[-3000:])
        broken = re.findall(rb"(\w+): broken in (\w+) schedule (\d+)", run.stdout)
        caught.append(", ".join("%s %s %s" % tuple(part.decode() for part in found) for found in broken[:2]) or 0)
    return caught


def test(tree, target, _options):
    """Returns which tests failed."""
    command = ["cargo", "test", "--no-default-features", "--features", "sim", "--no-fail-fast"] + [part for name in TESTS for part in ("--test", name)]
    flags = dict(os.environ, CARGO_TARGET_DIR=target, RUST_BACKTRACE="0")
    if subprocess.run(command + ["--no-run", "--quiet"], cwd=tree, env=flags, stderr=subprocess.DEVNULL).returncode:
        sys.exit("the copy does not build")
    try:
        done = subprocess.run(command, cwd=tree, env=flags, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=300)
    except subprocess.TimeoutExpired:
        return ["no end"]
    return [name.decode() for name in re.findall(rb"test (\w+) \.\.\. FAILED", done.stdout)] or [0]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--states", type=int, default=200000)
    parser.add_argument("--schedules", type=int, default=1000)
    parser.add_argument("--kind", default="")
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    kinds = {"simulation": (BUGS, simulate), "schedules": (RACES, explore), "tests": (RULES, test)}
    survivors, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tree, target = os.path.join(folder, "tree"), os.environ.get("CARGO_TARGET_DIR") or os.path.join(folder, "target")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("target", ".git", "fuzz"))
        bugs = [(name, bug, run) for kind, (bugs, run) in kinds.items() for name, bug in bugs.items() if options.kind in kind]
        for name, (path, right, wrong), run in bugs:
            if options.only not in name:
                continue
            path = os.path.join(tree, path)
            source = open(path).read()
            if source.count(right) < 1:
                sys.exit("%r: its place in the source is gone" % name)
            open(path, "w").write(source.replace(right, wrong))
            writer = os.path.join(tree, WRITER)
            writer_source = open(writer).read()
            if name == "poison not set":
                open(writer, "w").write(writer_source.replace("    pub(crate) fn row(&self)", UNPOISON))
            caught = run(tree, target, options)
            if name == "poison not set":
                open(writer, "w").write(writer_source)
            open(path, "w").write(source)
            found, tried = all(caught), tried + 1
            unit = "caught after %s worlds" if run is simulate else "caught in %s"
            print("%-50s %s" % (name, unit % "; ".join(map(str, caught)) if found else "SURVIVED: %s" % caught), flush=True)
            if not found:
                survivors.append(name)
    print("%d bugs, %d survived" % (tried, len(survivors)))
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
