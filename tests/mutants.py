#!/usr/bin/env python3
"""Shows that the simulation catches the bugs it is for.

Each deliberate bug is a replacement in a copy of the tree, never a switch in the product. The copy is built and simulated from
fresh seeds until a promise is seen broken; a bug that survives is a hole in the simulation.

usage: mutants.py [--seeds N] [--states N] [--only NAME]
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
EDGE, REPAIR = "src/transcript/edge.rs", "src/repair.rs"

# name: (file, what stands there, what stands there instead)
BUGS = {
    "no fdatasync": (WRITER, "if let Err(error) = self.file.sync_data() {", "if let Err(error) = std::io::Result::Ok(()) {"),
    "acknowledged before the fdatasync": (WRITER, "        if sync {\n            self.sync()?;", "        if sync {\n            self.durable_seq = self.row.last_seq;"),
    "fsync tried again": (WRITER, "if let Err(error) = self.file.sync_data() {", "if let Err(error) = self.file.sync_data().or_else(|_| self.file.sync_data()) {"),
    "no fsync of a newborn file": (WRITER, 'temp.file.sync_all().context("fsync", &temp.path).map_err(untouched)?;', ""),
    "no fsync of the folder at birth": (WRITER, ".sync_dir(&transcripts)", ".stat(&transcripts).map(drop)"),
    "short write ignored": (WRITER, "result.as_ref().is_ok_and(|count| *count == buffer.len())", "result.is_ok()"),
    "rollback not synced": (WRITER, "self.file.set_len(length_bytes).and_then(|()| self.file.sync_data())", "self.file.set_len(length_bytes)"),
    "durable one too high": (WRITER, "let place = Place { seq: row.last_seq.saturating_add(1), durable, prev: row.last_crc };", "let place = Place { seq: row.last_seq.saturating_add(1), durable: (durable + 1).min(row.last_seq), prev: row.last_crc };"),
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
    "a birth replaces": (WRITER, "temp.persist_new(&path)", "temp.replace(&path)"),
    "a failed write not taken back": (WRITER, "self.file.set_len(length_bytes).and_then(|()| self.file.sync_data())", "std::io::Result::Ok(())"),
    "a commit resumes behind another's": (WRITER, "self.check_ours()?;", ""),
    "lock not taken": ("src/lock.rs", 'if !file.try_lock().map_err(io("lock"))? {', 'if !file.try_lock().map_err(io("lock"))? && purpose == Purpose::Brief {'),
}

# What the bug "poison not set" needs: a writer that forgets its failure.
UNPOISON = "    pub(crate) fn unpoison(&mut self) {\n        self.poisoned = false;\n    }\n\n    pub(crate) fn row(&self)"


def build(tree, target):
    command = ["cargo", "build", "--release", "--quiet", "--no-default-features", "--features", "sim", "--example", "simulate"]
    done = subprocess.run(command, cwd=tree, env=dict(os.environ, CARGO_TARGET_DIR=target), stderr=subprocess.PIPE)
    if done.returncode:
        sys.exit("the copy does not build:\n" + done.stderr.decode()[-3000:])
    return os.path.join(target, "release", "examples", "simulate")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--states", type=int, default=60000)
    parser.add_argument("--only", default="")
    options = parser.parse_args()
    survivors, tried = [], 0
    with tempfile.TemporaryDirectory() as folder:
        tree, target = os.path.join(folder, "tree"), os.path.join(folder, "target")
        shutil.copytree(ROOT, tree, ignore=shutil.ignore_patterns("target", ".git", "fixtures"))
        for name, (path, right, wrong) in BUGS.items():
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
            program = build(tree, target)
            caught = []
            for _ in range(options.seeds):
                seed = random.randrange(1 << 40)
                run = [program, "--states", str(options.states), "--seed", str(seed), "--shrink", "0"]
                done = subprocess.run(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                worlds = re.match(rb"(\d+) worlds", done.stdout)
                caught.append(done.returncode and (int(worlds.group(1)) if worlds else 0))
            done = subprocess.run([program, "--exhaustive", "2", "--recovery", "2"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            small = ", and by a program of two steps" if done.returncode else ""
            if name == "poison not set":
                open(writer, "w").write(writer_source)
            open(path, "w").write(source)
            found, tried = all(caught), tried + 1
            worlds = "caught after %s worlds%s" % (", ".join(map(str, caught)), small)
            print("%-42s %s" % (name, worlds if found else "SURVIVED: %s%s" % (caught, small)), flush=True)
            if not found:
                survivors.append(name)
    print("%d bugs, %d survived" % (tried, len(survivors)))
    sys.exit(1 if survivors else 0)


if __name__ == "__main__":
    main()
