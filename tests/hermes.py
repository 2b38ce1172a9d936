#!/usr/bin/env python3
"""Databases that hermes-agent writes itself, imported as they grow, against what its own loader says of them.

SessionDB of hermes-agent 0.19.0 writes: messages, compactions, what is taken back, resets, titles. After every step: the
view, the title and the times are the loader's, a second import adds nothing, and neither the database nor its log nor
their folder is touched.

usage: hermes.py --sessctl FILE --hermes FOLDER [--rounds N] [--seed N]

The FOLDER is the unpacked wheel. This Python must have what hermes_state.py imports.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile


class Round:
    def __init__(self, options, number, folder):
        from hermes_state import SessionDB
        self.sessctl = [os.path.abspath(options.sessctl), "--store", str(folder / "store")]
        self.random = random.Random("%s:%s" % (options.seed, number))
        self.source = folder / "home"
        self.source.mkdir()
        self.db = SessionDB(self.source / "state.db")
        self.ids = []

    def add(self):
        id = "20261122_%06d_%08x" % (len(self.ids), self.random.getrandbits(32))
        self.db.create_session(id, self.random.choice(["cli", "telegram"]))
        self.ids.append(id)

    def say(self, id):
        role = self.random.choice(["user", "assistant", "tool"])
        text = "%s %d \u2028 \U0001f600 \x01 \"{}\"" % (role, self.random.getrandbits(32))
        parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": "data:,"}}]
        calls = [{"id": "c", "type": "function", "function": {"name": "terminal", "arguments": "{}"}}]
        self.db.append_message(id, role, self.random.choice([text, text, parts]), tool_call_id="c" if role == "tool" else None,
                               tool_calls=calls if role == "assistant" and self.random.random() < 0.3 else None)

    def step(self):
        id = self.random.choice(self.ids)
        kind = self.random.randrange(12)
        if kind == 0:
            self.add()
        elif kind == 1:
            texts = ["summary %d" % self.random.getrandbits(32), "kept %d" % self.random.getrandbits(32)]
            self.db.archive_and_compact(id, [{"role": "user", "content": text} for text in texts])
        elif kind == 2:
            said = self.db.list_recent_user_messages(id, limit=5)
            if said:
                self.db.rewind_to_message(id, self.random.choice(said)["id"])
        elif kind == 3:
            self.db.set_session_title(id, "title %d" % self.random.getrandbits(32))
        elif kind == 4:
            self.db.end_session(id, "session_reset")
        elif kind == 5:
            rows = self.db.get_messages(id)
            self.db.replace_messages(id, [{"role": row["role"], "content": row["content"]} for row in rows[:-1]])
        else:
            for _ in range(self.random.randrange(1, 4)):
                self.say(id)

    def run(self, *arguments):
        done = subprocess.run(self.sessctl + list(arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 0, (arguments, done)
        return [json.loads(line) for line in done.stdout.split("\n") if line]

    def touched(self):
        """What would tell that somebody read or wrote the source."""
        paths = [self.source] + sorted(self.source.iterdir())
        stats = [(str(path), path.stat()) for path in paths]
        return [(path, it.st_size, it.st_mtime_ns, it.st_ctime_ns, it.st_atime_ns, it.st_ino) for path, it in stats]

    def check(self):
        before = self.touched()
        self.run("import", "--json", str(self.source))
        again = self.run("import", "--json", str(self.source))
        assert self.touched() == before, "the source was touched"
        assert all(line["records"] == 0 for line in again if line["type"] == "session"), again
        for id in self.ids:
            key = "hermes:" + id
            info = self.run("info", "--json", key)[0]
            assert (info.get("title") or None) == self.db.get_session_title(id), info
            rows = [it["body"] for it in self.run("context", "--json", key) if it["type"] == "record"]
            loaded = self.db.get_messages_as_conversation(id)
            assert [said(row) for row in rows] == [said(message) for message in loaded], (key, rows, loaded)
            times = [round(message["timestamp"] * 1000) for message in loaded]
            assert [round(row["timestamp"] * 1000) for row in rows] == times


def said(message):
    content = message["content"]
    if isinstance(content, str) and content.startswith("\0json:"):
        content = json.loads(content[len("\0json:"):])
    calls = message.get("tool_calls") or None
    calls = json.loads(calls) if isinstance(calls, str) else calls
    # The loader takes white space around texts away.
    return message["role"], content.strip() if isinstance(content, str) else content, calls


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--hermes", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", default="1")
    options = parser.parse_args()
    sys.path.insert(0, os.path.abspath(options.hermes))
    checks = 0
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["HERMES_HOME"] = folder
            run = Round(options, number, pathlib.Path(folder))
            run.add()
            for _ in range(run.random.randrange(5, 40)):
                run.step()
                run.check()
                checks += len(run.ids)
            run.db.close()
    print("%d rounds, %d sessions compared" % (options.rounds, checks))


if __name__ == "__main__":
    main()
