#!/usr/bin/env python3
"""Histories that two systems write themselves, imported as they grow, against what their own loaders say of them.

pi        SessionManager of @mariozechner/pi-coding-agent 0.73.1 writes trees; `uuid` must be installed where node finds it
nanobot   SessionManager of nanobot-ai 0.3.5 writes and rewrites; this Python must have nanobot's dependencies

After every step: the view, the title and the times are the loader's, every byte is in the store, a second import adds nothing.
Then each file is damaged at random: whatever line Python can read is there, and the bytes still come back.

usage: histories.py --sessctl FILE --pi FOLDER --nanobot FOLDER [--rounds N] [--seed N]

A FOLDER is an unpacked package, as for views.py.
"""

import argparse
import datetime
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import views

WRITE_PI = """
const at = (name) => import(require("url").pathToFileURL(`${process.argv[1]}/dist/core/${name}.js`));
const [, , folder, seed, rounds] = process.argv;
let state = Number(seed) + 1;
const below = (n) => (state = (state * 48271) % 2147483647) % n;
at("session-manager").then(({ SessionManager }) => {
    for (let round = 0; round < Number(rounds); round++) {
        const manager = SessionManager.create("/home/user", folder);
        let time = 1795308712155;
        const ids = [];
        const say = (role) => {
            const content = [{ type: "text", text: `${role} ${time} \\u2028 \\ud83d\\ude00 \\u0000 "{}"` }];
            const more = role === "user" ? {} : { api: "a", provider: "p", model: "m", usage: {}, stopReason: "stop" };
            ids.push(manager.appendMessage({ role, content, timestamp: (time += 1000), ...more }));
        };
        say("user");
        say("assistant");
        for (let step = 0; step < 5 + below(40); step++) {
            const any = () => ids[below(ids.length)];
            switch (below(12)) {
                case 0: manager.branch(any()); break;
                case 1: ids.push(manager.branchWithSummary(any(), `left ${step}`)); break;
                case 2: ids.push(manager.appendCompaction(`summary ${step}`, any(), 1000)); break;
                case 3: manager.appendSessionInfo(below(4) ? `name ${step}` : ""); break;
                case 4: manager.appendLabelChange(any(), "label"); break;
                case 5: manager.appendModelChange("p", "m"); break;
                case 6: ids.push(manager.appendCustomMessageEntry("c", `custom ${step}`, true)); break;
                case 7: if (!below(4)) manager.resetLeaf(); break;
                default: say(below(2) ? "user" : "assistant");
            }
        }
        say("assistant");
    }
});
"""

LIST_PI = """
import(require("url").pathToFileURL(`${process.argv[1]}/dist/core/session-manager.js`)).then(async ({ SessionManager }) => {
    console.log(JSON.stringify(await SessionManager.list("/home/user", process.argv[2])));
});
"""

WRITE_NANOBOT = """
import json, pathlib, random, sys
from loguru import logger
from nanobot.session.manager import SessionManager
from nanobot.session.summary import session_summary_from_metadata
logger.remove()
root, seed, rounds = pathlib.Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
chance = random.Random(seed)
manager = SessionManager(root / "workspace", sessions_root=root / "sessions")
for step in sys.stdin:
    for number in range(rounds):
        session = manager.get_or_create("chat:%d/\u00e9" % number)
        for _ in range(chance.randrange(1, 5)):
            call = "call_%d" % len(session.messages)
            kind = chance.randrange(6)
            if kind < 2:
                session.add_message("user", "question %d" % len(session.messages))
            elif kind < 4:
                session.add_message("assistant", chance.choice(["answer \U0001f600", "", " x "]))
            elif kind == 4:
                function = {"name": "exec", "arguments": "{}"}
                session.add_message("assistant", None, tool_calls=[{"id": call, "type": "function", "function": function}])
                session.add_message("tool", "done", tool_call_id=call, name="exec")
            else:
                session.add_message("user", "/status", _command=True)
        if chance.random() < 0.3:
            session.metadata["title"] = chance.choice(["a title", "another", "<think>hm</think> third"])
        if chance.random() < 0.2:
            session.last_archived = chance.randrange(len(session.messages) + 1)
            session.metadata["_last_summary"] = {"text": "up to %d" % session.last_archived}
        manager.save(session)
    fresh = SessionManager(root / "workspace", sessions_root=root / "sessions")
    told = {}
    for info in fresh.list_sessions():
        session = fresh.get_or_create(info["key"])
        summary = session_summary_from_metadata(session.metadata, fallback_last_active=session.updated_at)
        told[info["key"]] = {"title": info["title"], "path": info["path"], "summary": summary and summary["text"],
                             "history": session.get_history(), "updated": session.messages[-1]["timestamp"]}
    print(json.dumps(told), flush=True)
"""


class Store:
    def __init__(self, sessctl, folder):
        self.sessctl, self.folder = sessctl, folder

    def run(self, *args, code=0):
        command = [self.sessctl, "--store", str(self.folder), "--json", *map(str, args)]
        done = subprocess.run(command, stdout=subprocess.PIPE, timeout=300)
        assert done.returncode == code, (command, done.returncode, done.stdout[-2000:])
        return [json.loads(line) for line in done.stdout.splitlines()]

    def add(self, folder, system):
        objects = self.run("import", "--from", system, folder)
        assert not [it for it in objects if it["type"] == "finding"], objects
        again = self.run("import", "--from", system, folder)[-1]
        assert again["records"] == 0 and again["unchanged"] == again["sources"], again
        self.run("verify", "--against", folder, "--from", system)
        return {it["path"]: it for it in objects if it["type"] == "session"}

    def view(self, key):
        objects = self.run("context", key)
        summary = [it["summary"] for it in objects if it["type"] == "mark"]
        return summary[0] if summary else None, [it["body"] for it in objects if it["type"] == "record"]

    def row(self, key):
        return self.run("info", key)[0]


def moment(stamp):
    """Without a zone it is taken for UTC; the store has milliseconds."""
    stamp = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00"))
    stamp = stamp if stamp.tzinfo else stamp.replace(tzinfo=datetime.timezone.utc)
    return stamp.astimezone(datetime.timezone.utc).isoformat(timespec="milliseconds")


def pi(options, folder):
    node = lambda script, *args: subprocess.run(
        ["node", "-e", script, os.path.abspath(options.pi), *map(str, args)], stdout=subprocess.PIPE, check=True, timeout=300,
        env={**os.environ, "HOME": str(folder)}).stdout
    sources = folder / "pi"
    sources.mkdir()
    node(WRITE_PI, sources, options.seed, options.rounds)
    infos = {info["path"]: info for info in json.loads(node(LIST_PI, sources))}
    contexts = json.loads(node(views.RUN_PI, *infos))
    store = Store(options.sessctl, folder / "pi-store")
    for path, session in store.add(sources, "pi").items():
        summary, bodies = store.view(session["key"])
        messages = contexts[path]["messages"]
        if messages and messages[0]["role"] == "compactionSummary":
            assert messages.pop(0)["summary"] == summary, path
        else:
            assert summary is None, path
        assert [views.tree_shape(body) for body in bodies] == messages, path
        row, info = store.row(session["key"]), infos[path]
        assert row["title"] == info.get("name"), (path, row["title"], info)
        assert moment(row["updated"]) == moment(info["modified"]), (path, row["updated"], info["modified"])
    return sources, len(infos)


def nanobot(options, folder):
    environment = {**os.environ, "HOME": str(folder), "PYTHONPATH": os.path.abspath(options.nanobot), "TZ": "UTC"}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITE_NANOBOT, folder / "nanobot", str(options.seed), str(options.rounds)], text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    store = Store(options.sessctl, folder / "nanobot-store")
    shown = lambda message: {key: message[key] for key in views.SHOWN if key in message}
    for step in range(8):
        writer.stdin.write("next\n")
        writer.stdin.flush()
        told = json.loads(writer.stdout.readline())
        sessions = {it["key"]: it for it in store.add(folder / "nanobot" / "sessions", "nanobot").values()}
        assert sessions.keys() == told.keys()
        for key, expected in told.items():
            summary, bodies = store.view(key)
            assert summary == expected["summary"], (step, key, summary, expected["summary"])
            bodies = [{**shown(body), "content": (body["content"] or "").strip() or body["content"]} for body in bodies]
            assert bodies == [shown(message) for message in expected["history"]], (step, key, bodies, expected["history"])
            row = store.row(key)
            assert (row["title"] or "") == expected["title"] and row["generation"] == 1, (step, key, row)
    writer.stdin.close()
    assert writer.wait() == 0
    return folder / "nanobot" / "sessions", len(told)


def damaged(chance, content):
    at = chance.randrange(len(content))
    return chance.choice([
        lambda: content[:at],
        lambda: content[at:],
        lambda: content[:at] + bytes(chance.randrange(1, 600)) + content[at:],
        lambda: content[:at] + bytes(len(content[at:at + 512])) + content[at + 512:],
        lambda: content[:at] + bytes([chance.randrange(256)]) + content[at + 1:],
        lambda: content[:at] + content[at + chance.randrange(1, 200):],
        lambda: content.replace(b"\n", b"", 1),
        lambda: content.replace(b"\n", b"\r\n"),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content[:at] + b"\n" + content[at:],
        lambda: content + content.splitlines(keepends=True)[-1],
    ])()


def readable(content):
    """The values that a reader of lines finds: each that parses, control characters and bad bytes taken as they are."""
    for line in content.split(b"\n"):
        text = line.decode("utf-8-sig", "replace").strip("\0 \t\r")
        try:
            yield json.loads(text, strict=False)
        except ValueError:
            pass


def damage(options, sources, system, folder):
    chance = random.Random(options.seed)
    lines = 0
    for number, path in enumerate(sorted(sources.rglob("*.jsonl")) * 3):
        content = path.read_bytes()
        for _ in range(chance.randrange(1, 4)):
            content = damaged(chance, content) or content
        target = folder / ("damaged-" + system) / str(number) / path.name
        target.parent.mkdir(parents=True)
        target.write_bytes(content)
        store = Store(options.sessctl, target.parent / "store")
        key = store.run("import", "--from", system, target)[0]["key"]
        again = store.run("import", "--from", system, target)[-1]
        assert again["records"] == 0 and again["unchanged"] == 1, again
        store.run("verify", "--against", target, "--from", system)
        records = store.run("show", key)
        found = [it["body"] for it in records if it["type"] == "record" and not it["kind"].startswith("meta.import")]
        rest = iter(found)
        for value in readable(content):
            lines += 1
            assert isinstance(value, (int, float)) or value in rest, (target, value)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessctl", required=True, type=os.path.abspath)
    parser.add_argument("--pi", metavar="FOLDER", required=True)
    parser.add_argument("--nanobot", metavar="FOLDER", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        for system in (pi, nanobot):
            sources, count = system(options, folder)
            lines = damage(options, sources, system.__name__, folder)
            print("%s: %d histories as its loader has them; %d readable lines of damaged ones are there" %
                  (system.__name__, count, lines))


if __name__ == "__main__":
    main()
