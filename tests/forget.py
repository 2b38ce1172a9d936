#!/usr/bin/env python3
"""Sessions that are deleted, pruned and restored all day by processes that are killed: each is there, or in the trash.

Goal: after a SIGKILL anywhere in `delete`, `prune`, `trash restore`, `trash empty`, `append` or `rebuild-index`, one or two of
them at a time, with the registry lost or taken from an older copy now and then, every session is wholly in transcripts/ or wholly
in trash/, with every line that was acknowledged; what was acknowledged as deleted is not back, what was purged is nowhere,
nothing is gone that nobody asked to delete, what is to be kept is not pruned, and nothing of all this is taken for damage, while
a transcript that is really lost is. Method: a ledger of what was asked for and what was acknowledged gives for each session the
places where it may be; this script's own reading of the files says where it is and settles the doubts of the kill.

usage: forget.py --sessctl PATH [--rounds N] [--seed S]
"""

import argparse
import collections
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zlib

ROUNDS_A_STORE = 20
PATIENCE_SECONDS = 120
LONG_BYTES = 4_000_000
THERE, TRASH, GONE = "transcripts", "trash", "gone"
# Exit statuses that are no fault by themselves. An append that is refused as damage has taken a deletion for a loss.
FINE = {"append": [0, 5], "delete": [0, 5, 6], "purge": [0, 5, 6], "prune": [0], "restore": [0, 1, 5, 6], "empty": [0, 5]}
KINDS = ["append", "delete", "restore"] * 4 + ["prune"] * 3 + ["purge", "purge", "empty", "rebuild-index", "rebuild-index"]
MARKS = [
    ["label", "KEY", "keep"],
    ["mark", "KEY", "suspend", "--reason", "it loops"],
    ["mark", "KEY", "resume-pending", "--reason", "restart"],
]

figures = collections.Counter()
violations = []
# How long each kind takes that is left alone, so that a kill falls into it.
seconds = collections.defaultdict(lambda: 0.01)


def check(condition, text):
    figures["checks"] += 1
    if not condition:
        violations.append(text)
        print("VIOLATION " + text, flush=True)


class File:
    """A transcript as it is in the store: its sound lines, by a reading of our own."""

    def __init__(self, folder, name, data):
        self.folder, self.name, self.lines = folder, name, []
        seed = 0
        for line in data.rstrip(b"\t\0").splitlines(keepends=True):
            crc = zlib.crc32(line[:-19], seed)
            if not line.endswith(b',"crc":"%08x"}\n' % crc):
                # Torn: it was not acknowledged, or it will be missed.
                break
            seed = seed if self.lines else crc
            self.lines.append(line)
        header = json.loads(self.lines[0]) if self.lines else {"body": {"id": None, "key": None, "generation": None}}
        self.id, self.key, self.generation = (header["body"][field] for field in ("id", "key", "generation"))

    def is_where_it_belongs(self):
        stem = hashlib.sha256((self.key or "").encode()).hexdigest()[:32]
        end = r"\.\d+\.jsonl" if self.folder == TRASH else r"\.jsonl"
        return re.fullmatch(r"[a-z0-9._-]+~%s\.%s%s" % (stem, self.generation, end), self.name)


class Session:
    """What is known of one session: where it may be, what was acknowledged of it."""

    def __init__(self, file, lines, kept=False):
        self.id, self.key, self.generation, self.lines, self.kept = file.id, file.key, file.generation, lines, kept
        self.place, self.name = file.folder, file.name
        # A kill may have come between the note of its deletion and the deletion: then its loss would be excused.
        self.noted = False


class Operation:
    """A `sessctl` that changes something, what it may do, and what it said that it did."""

    def __init__(self, store, kind, key, held=False):
        self.kind, self.key, self.held, self.tokens = kind, key, held, []
        self.place = {"delete": TRASH, "restore": THERE}.get(kind, GONE)
        self.targets, command, text = [], [kind], ""
        live = [it for it in store.sessions.values() if it.place == THERE]
        if kind == "append":
            self.tokens = [str(random.getrandbits(60)) for _ in range(1 if held else random.choice([1, 2, 20]))]
            text = "".join('{"token":"%s"}\n' % token for token in self.tokens)
            command = ["append", key]
        elif kind in ("delete", "purge"):
            generations = sorted({it.generation for it in live if it.key == key})
            chosen = [random.choice(generations)] if generations and random.random() < 0.3 else []
            self.targets = [it for it in live if it.key == key and it.generation in (chosen or generations)]
            command = ["delete", key] + ["--generation=%d" % it for it in chosen] + ["--purge"] * (kind == "purge")
        elif kind == "prune":
            purge = random.random() < 0.3
            self.place = GONE if purge else TRASH
            self.targets = [it for it in live if not it.kept]
            bytes_max = sum(len(line) for it in live for line in it.lines)
            rule = random.choice(["--older-than=2s", "--keep-newest=%d" % (len(live) * 3 // 4), "--max-bytes=%d" % (bytes_max * 3 // 4)])
            command = ["prune", rule] + ["--purge"] * purge
        elif kind == "restore":
            trash = [it for it in store.sessions.values() if it.place == TRASH]
            # Of the key that the other one is at, or of any.
            chosen = random.choice([it for it in trash if it.key == key] or trash or [None])
            by_name = chosen is not None and random.random() < 0.5
            self.key = chosen.key if chosen else key
            self.targets = [chosen] if by_name else [it for it in trash if it.key == self.key]
            command = ["trash", "restore", chosen.name if by_name else self.key]
        elif kind == "empty":
            self.targets = [it for it in store.sessions.values() if it.place == TRASH]
            command = ["trash", "empty"] + random.choice([[], ["--older-than", "1s"]])
        self.command, self.text, self.objects, self.status = command, text, [], None
        self.acked, self.errors, self.done = [], [], threading.Event()
        command = [store.options.sessctl, "--store", store.path, "--json"] + command
        self.folders = [os.path.join(store.path, folder) for folder in (THERE, TRASH)]
        self.before = self.changed()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.began, self.told = time.time(), threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()
        try:
            self.process.stdin.write(text)
            self.process.stdin.flush()
            if not held:
                self.process.stdin.close()
        except BrokenPipeError:
            pass
        if held:
            # From its first acknowledgement on the session is its own.
            self.told.wait(PATIENCE_SECONDS)

    def read(self):
        for line in self.process.stdout:
            if not line.endswith("\n"):
                break
            told = json.loads(line)
            if told["type"] == "error":
                self.errors.append(": ".join([told["error"]] + told["caused_by"]))
            elif told["type"] == "finding":
                self.errors.append("%s of %s: %s" % (told["defect"], told["key"], told.get("error")))
            elif told["type"] == "ack" or told.get("deleted") is True or told.get("restored") or told.get("removed"):
                self.acked.append(told)
            self.objects.append(told)
            self.told.set()
        self.told.set()
        self.done.set()

    def changed(self):
        return [os.stat(folder).st_mtime_ns for folder in self.folders]

    def kill(self, at_change):
        """At some moment, or as soon as something comes or goes: in the middle of what is not one step."""
        if self.held:
            pass
        elif at_change:
            while self.changed() == self.before and self.process.poll() is None:
                pass
            time.sleep(random.choice([0, 0, 0.0001, 0.001]) * random.random())
        else:
            time.sleep(max(0, self.began + random.random() * 1.2 * seconds[self.kind] - time.time()))
        figures["killed in the middle"] += self.process.poll() is None
        self.process.kill()

    def end(self, how):
        if how != "left alone":
            self.kill(how == "killed at a change")
        elif self.held:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass
        self.done.wait(PATIENCE_SECONDS)
        self.status = self.process.wait(timeout=PATIENCE_SECONDS)
        figures[self.kind + (": killed" if self.status < 0 else ": exit %d" % self.status)] += 1
        if self.status == 0 and not self.held:
            seconds[self.kind] = 0.8 * seconds[self.kind] + 0.2 * (time.time() - self.began)

    def meets(self, other):
        """Beside another one it may also be after it: what that puts where this one takes is taken."""
        if self.kind in ("delete", "purge", "prune"):
            takes = [it for it in other.targets if other.place == THERE]
            takes = [it for it in takes if not it.kept] if self.kind == "prune" else [it for it in takes if it.key == self.key]
        else:
            takes = [it for it in other.targets if other.place == TRASH and (self.kind == "empty" or it.key == self.key)]
            takes = [] if self.kind in ("append", "rebuild-index") else takes
        self.targets = self.targets + [it for it in takes if it not in self.targets]

    def __str__(self):
        return "%s (%s)" % (" ".join(self.command), "killed" if self.status == -9 else "exit %s" % self.status)

    def did(self, session):
        """Whether it moved the session by its own account; None: nobody knows."""
        if session not in self.targets or self.kind in ("append", "rebuild-index"):
            return False
        # What the other one has put into the trash has a name that we do not know yet.
        is_named = self.kind in ("restore", "empty") and session.place == TRASH
        for told in self.acked:
            is_it = (told["key"], told["generation"]) == (session.key, session.generation)
            if is_it and (not is_named or told["name"] == session.name):
                # Of two of one generation, which two processes may come by, only a name says which it was.
                alike = [it for it in self.targets if (it.key, it.generation) == (session.key, session.generation)]
                return True if is_named or len(alike) == 1 else None
        if self.status == 0 or (self.status in (5, 6) and self.kind != "empty" and not self.acked) or self.is_between():
            return False
        # What it does not restore it refuses.
        return False if self.kind == "restore" and self.status > 0 else None

    def is_between(self):
        """Whether it was refused since other generations would stay on both sides."""
        return self.status == 1 and any("stands between others" in error for error in self.errors)

    def takes_for_good(self, key):
        return self.place == GONE and (self.kind in ("prune", "empty") or (self.kind == "purge" and self.key == key))


class Store:
    """A store, and the ledger of it."""

    def __init__(self, options, path):
        self.options, self.path, self.sessions, self.registries = options, path, {}, []
        self.keys = ["chat:%d" % number for number in range(24)]

    def sessctl(self, *command, path=None, text=""):
        command = [self.options.sessctl, "--store", path or self.path, *command]
        return subprocess.run(command, input=text, capture_output=True, text=True)

    def make(self, *command, text=""):
        done = self.sessctl(*command, text=text)
        check(done.returncode == 0, "setup: %s: %s" % (command, done.stderr))

    def populate(self):
        kept = {}
        lines = ['{"key":"%s","body":%d}\n' % (key, n) for n in range(3) for key in self.keys]
        # Some are so long that whoever copied them would be met at it.
        lines += ['{"key":"%s","body":"%s"}\n' % (key, "x" * LONG_BYTES) for key in self.keys[3::6]]
        self.make("append", text="".join(lines))
        for number, key in enumerate(self.keys):
            if number % 4 == 1:
                for _ in range(random.choice([1, 2])):
                    self.make("reset", key)
                    self.make("append", key, text='"anew"\n')
            if number % 6 == 0:
                self.make(*[key if word == "KEY" else word for word in random.choice(MARKS)])
                kept[key] = True
            if number % 6 == 2:
                self.make("fork", key, "fork:%d" % number)
        self.keys += ["fork:%d" % number for number in range(len(self.keys)) if number % 6 == 2]
        for file in self.files():
            # The label and the marks are of the newest generation; these keys have only one.
            self.sessions[file.id] = Session(file, file.lines, file.key in kept)

    def files(self):
        """Every transcript but the store's own, wherever it is."""
        found = []
        for folder in (THERE, TRASH):
            for name in sorted(os.listdir(os.path.join(self.path, folder))):
                path = os.path.join(self.path, folder, name)
                if name.startswith("."):
                    # Left by a killed birth: nothing of it was acknowledged.
                    continue
                file = File(folder, name, open(path, "rb").read())
                check(file.is_where_it_belongs(), "%s/%s is of %s generation %s" % (folder, name, file.key, file.generation))
                if not (file.key or "").startswith("~"):
                    found.append(file)
        return found

    def registry(self):
        return os.path.join(self.path, "registry.jsonl")

    def age_registry(self, when):
        """Has the registry be lost, or be one of before."""
        if os.path.exists(self.registry()) and random.random() < 0.3:
            os.remove(self.registry())
            figures["registry removed " + when] += 1
        elif self.registries:
            with open(self.registry() + ".old", "wb") as file:
                file.write(random.choice(self.registries))
            os.rename(self.registry() + ".old", self.registry())
            figures["registry from before " + when] += 1

    def judge(self, operations, where):
        """Compares where each session is with where it may be."""
        where = "%s: %s" % (where, "; ".join(map(str, operations)))
        held = {operation.key for operation in operations if operation.held and operation.acked}
        by_id = collections.defaultdict(list)
        for file in self.files():
            by_id[file.id].append(file)
        for session in self.sessions.values():
            found = by_id.pop(session.id, [])
            name = "%s generation %d (%s)" % (session.key, session.generation, session.id)
            places = [file.folder for file in found] or [GONE]
            check(len(places) == 1, "%s: %s is in %s" % (where, name, places))
            # Whoever empties the trash needs no session's lock.
            free = [it for it in operations if session.key not in held or it.kind == "empty"]
            did = [(operation, operation.did(session)) for operation in free]
            moved = [operation for operation, moved in did if moved is not False]
            may = {operation.place for operation in moved}
            if len(moved) != 1 or dict(did)[moved[0]] is None:
                may.add(session.place)
            check(places[0] in may, "%s: %s is in %s, may be in %s" % (where, name, places[0], sorted(may)))
            doubtful = any(moved is None for _, moved in did)
            if doubtful:
                figures["in doubt, " + ("done" if places[0] != session.place else "not done")] += 1
            # The note precedes the deletion and, in a restore, the coming back.
            session.noted = (session.noted or doubtful) and not (places[0] == THERE and session.place == TRASH)
            session.place = places[0]
            for file in found[:1]:
                session.name = file.name
                is_whole = file.lines[: len(session.lines)] == session.lines
                check(is_whole, "%s: %s lost lines that were acknowledged" % (where, name))
        asked = {operation.key for operation in operations if operation.kind == "append"}
        for files in by_id.values():
            file = files[0]
            check(file.key in asked and len(files) == 1, "%s: %s/%s comes from nowhere" % (where, file.folder, file.name))
            # Its header may be all that is acknowledged of it.
            self.sessions[file.id] = Session(file, file.lines[:1])
            figures["sessions begun"] += 1
        for operation in operations:
            if operation.kind == "append":
                self.judge_append(operation, operations, where)
            elif operation.status is not None and operation.status >= 0:
                self.judge_status(operation, operations, where)

    def judge_append(self, operation, operations, where):
        """Every record that was acknowledged is in one session of its key, or was purged with it."""
        if operation.status >= 0:
            check(operation.status in FINE["append"], "%s: %s" % (where, operation.errors))
        places = {}
        for file in self.files():
            if file.key == operation.key:
                for at, line in enumerate(file.lines):
                    token = re.search(rb'"body":{"token":"(\d+)"}', line)
                    if token:
                        places.setdefault(token.group(1).decode(), []).append((file, at))
        for ack, token in zip(operation.acked, operation.tokens):
            found = places.get(token, [])
            name = "record %d of %s generation %d" % (ack["seq"], ack["key"], ack["generation"])
            if not found and any(other.takes_for_good(operation.key) for other in operations):
                figures["records purged as soon as they were appended"] += 1
                continue
            check(len(found) == 1, "%s: %s is in %d places" % (where, name, len(found)))
            for file, at in found:
                is_it = (file.generation, at) == (ack["generation"], ack["seq"])
                check(is_it, "%s: %s is record %d of %s" % (where, name, at, file.name))
                session = self.sessions[file.id]
                session.lines = max(session.lines, file.lines[: at + 1], key=len)
                figures["records acknowledged"] += 1

    def judge_status(self, operation, operations, where):
        if operation.is_between():
            figures["refused, stands between others"] += 1
            return
        check(operation.status in FINE.get(operation.kind, [0]), "%s: %s" % (where, operation.errors))
        alone = len(operations) == 1 and operation.targets
        if alone and operation.kind in ("delete", "purge"):
            check(operation.status == 0, "%s: nobody was in its way: %s" % (where, operation.errors))
        if alone and operation.kind == "restore":
            refused = any(text in "".join(operation.errors) for text in ("exists", "several"))
            check(operation.status == int(refused), "%s: %s" % (where, operation.errors))
        for told in operation.objects:
            if operation.kind == "prune" and told["type"] == "session" and told["kept"]:
                figures["kept from a prune: " + told["kept"]] += 1

    def verify(self, where):
        done = self.sessctl("verify", "--json")
        check(done.returncode in (0, 4), "%s: verify: %d %s" % (where, done.returncode, done.stdout + done.stderr))
        figures["verify: exit %d" % done.returncode] += 1
        for command, place in ((["list", "--all-generations", "--json"], THERE), (["trash", "list", "--json"], TRASH)):
            done = self.sessctl(*command)
            check(done.returncode == 0, "%s: %s: %d %s" % (where, command, done.returncode, done.stdout + done.stderr))
            told = [json.loads(line) for line in done.stdout.splitlines()]
            told = [line for line in told if line["type"] in ("session", "trash")]
            told = [(line["key"], line["generation"], line["id" if place == THERE else "name"]) for line in told]
            mine = [it for it in self.sessions.values() if it.place == place]
            mine = [(it.key, it.generation, it.id if place == THERE else it.name) for it in mine]
            # No line twice, either.
            is_same = collections.Counter(told) == collections.Counter(mine)
            check(is_same, "%s: %s: %s" % (where, command, set(told) ^ set(mine)))

    def lose_one(self, where):
        """A transcript that is really lost is told as such, and never taken for a deleted one: in a copy of the store."""
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "store")
            shutil.copytree(self.path, copy)
            done = self.sessctl("rebuild-index", path=copy)
            check(done.returncode == 0, "%s: rebuild-index: %s" % (where, done.stdout + done.stderr))
            candidates = [it for it in self.sessions.values() if it.place == THERE and not it.noted]
            if not candidates:
                return
            lost = random.choice(candidates)
            os.remove(os.path.join(copy, THERE, lost.name))
            done = self.sessctl("verify", "--json", path=copy)
            told = [json.loads(line) for line in done.stdout.splitlines()]
            told = [(line["key"], line["generation"]) for line in told if line["type"] == "finding"]
            is_told = (done.returncode, told) == (3, [(lost.key, lost.generation)])
            check(is_told, "%s: the loss of %s: %d %s" % (where, lost.name, done.returncode, told))
            done = self.sessctl("append", lost.key, path=copy, text="1\n")
            live = [it for it in self.sessions.values() if it.place == THERE and it.key == lost.key]
            expected = 3 if max(it.generation for it in live) == lost.generation else 0
            check(done.returncode == expected, "%s: append after the loss of %s: %d" % (where, lost.name, done.returncode))
            figures["losses told"] += 1


def one_round(store, number):
    where = "round %d" % number
    if os.path.exists(store.registry()) and random.random() < 0.5:
        store.registries.append(open(store.registry(), "rb").read())
    if random.random() < 0.3:
        store.age_registry("between")
    kinds = [random.choice(KINDS) for _ in range(random.choice([1, 2, 2]))]
    key = random.choice(store.keys)
    operations = []
    # An append that goes on while the other one runs: from its acknowledgement on its session is not to be touched.
    held = len(kinds) == 2 and kinds[1] != "append" and random.random() < 0.2
    for kind in ["append", kinds[1]] if held else kinds:
        operations.append(Operation(store, kind, key, held and not operations))
        key = key if random.random() < 0.6 or held else random.choice(store.keys)
    if len(operations) == 2:
        operations[0].meets(operations[1])
        operations[1].meets(operations[0])
    if random.random() < 0.1:
        store.age_registry("under them")
    figures["rounds with %d processes" % len(operations)] += 1
    for operation in reversed(operations) if held else operations:
        operation.end(random.choice(["left alone", "killed at some moment", "killed at a change"]))
        figures["operations"] += 1
    store.judge(operations, where)
    store.verify(where)
    if random.random() < 0.3:
        store.lose_one(where)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    options.sessctl = os.path.abspath(options.sessctl)
    random.seed(options.seed)
    print("seed %d" % options.seed, flush=True)
    began, number = time.time(), 0
    while number < options.rounds and len(violations) < 20:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(options, os.path.join(folder, "store"))
            store.populate()
            for _ in range(min(ROUNDS_A_STORE, options.rounds - number)):
                number += 1
                one_round(store, number)
                if len(violations) >= 20:
                    break
    for name, count in sorted(figures.items()):
        print("%6d  %s" % (count, name))
    print("%d rounds in %d s, %d violations" % (number, time.time() - began, len(violations)))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
