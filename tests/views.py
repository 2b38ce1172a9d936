#!/usr/bin/env python3
"""What four systems' own session loaders give a model after a compaction, for comparison with `session.context()`.

Each file of fixtures/views is a case. Its `source` is in the shape that the system writes, with invented text; the rest
is made from it here. For a new case, make a file that has only the first three fields, and run this.

    system, case  as in the file's name
    source        the lines of the system's file
    records       the lines as records and marks of this crate, {"body": ...}, {"body": ..., "kind": "meta.entry"} or
                  {"mark": {...}}; the seq is the index + 1
    summary       what the view shows for what is left out, or null
    view          indexes of the records that the view must give, in order
    loader        the loader's own output, for the reader

`view` and `summary` come from the loader: its messages are found again among the records by what they say. The records
come from the lines, by rules that know nothing of the loader's output. What the loader never shows a model is a record
of the kind `meta.entry`.

pi        runs SessionManager of @mariozechner/pi-coding-agent 0.73.1; `uuid` must be installed where node finds it
nanobot   runs SessionManager of nanobot-ai 0.3.5; this Python must have nanobot's dependencies
openclaw  runs pi's, which it had inside up to 2026.5.27 (2026.4.26: that of 0.70.2, where the file is the same). Since
          then it has its own: with --openclaw (2026.9.6, with its dependencies) that is run too, must give the same,
          and gives the cases `own-*`, which otherwise are left as they are
codex     is not run: codex_history() below is a port

usage: views.py --pi FOLDER --nanobot FOLDER [--openclaw FOLDER] [--check]

A FOLDER is an unpacked package: for npm the one with package.json, for a wheel the one that has nanobot/. With --check
nothing is written: it compares.
"""

import argparse
import datetime
import glob
import json
import os
import pathlib
import subprocess
import sys
import tempfile

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "views"
SYSTEMS = ("pi", "openclaw", "nanobot", "codex")


# --- pi and openclaw: a tree of entries; the last line's entry is the leaf ------------------------------------------


def millis(stamp):
    return round(datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)


def tree_shape(entry):
    """The message that the loader makes of an entry; None if it makes none, or one that is not sent."""
    stamp = entry.get("timestamp") and millis(entry["timestamp"])
    if entry["type"] == "message":
        return None if entry["message"].get("excludeFromContext") else entry["message"]
    if entry["type"] == "custom_message":
        fields = {key: entry[key] for key in ("customType", "content", "display", "details") if key in entry}
        return {"role": "custom", **fields, "timestamp": stamp}
    if entry["type"] == "branch_summary" and entry["summary"]:
        return {"role": "branchSummary", "summary": entry["summary"], "fromId": entry["fromId"], "timestamp": stamp}


def tree_records(lines):
    """One record or mark a line. A `rewound` mark comes before an entry whose parent does not stand right before it; an
    entry without a parent, or with one that is not there, stands behind nothing. In the place of a compaction (or of
    openclaw's reset) is a `compacted` mark that keeps from the first kept entry if that is an ancestor, else from the
    mark itself. In the place of openclaw's leaf entry is a `rewound` mark."""
    records, shapes, seqs, parents = [], [], {}, {}
    for entry in map(json.loads, lines):
        parent = seqs.get(entry.get("parentId"), 0) if "id" in entry else len(records)
        leaf = entry["type"] == "leaf"
        if parent != len(records) and len(records) > 1 and not leaf:
            records.append({"mark": {"mark": "rewound", "to_seq": parent}})
            shapes.append(None)
        seq = len(records) + 1
        if leaf:
            records.append({"mark": {"mark": "rewound", "to_seq": seqs[entry["targetId"]]}})
        elif entry["type"] in ("compaction", "reset"):
            above, kept = entry.get("parentId"), entry.get("firstKeptEntryId")
            while above not in (None, kept):
                above = parents.get(above)
            keep_from = seq if above is None else seqs[kept]
            if "firstKeptEntryIndex" in entry:  # Before version 2; the header is 0.
                keep_from = entry["firstKeptEntryIndex"] + 1
            records.append({"mark": {"mark": "compacted", "summary": entry.get("summary"), "keep_from": keep_from}})
        else:
            records.append({"body": entry} if tree_shape(entry) else {"body": entry, "kind": "meta.entry"})
        shapes.append(tree_shape(entry))
        if "parentId" in entry:
            seqs[entry["id"]] = seq
            parents[entry["id"]] = entry["targetId"] if leaf else entry["parentId"]
    return records, shapes


RUN_PI = """
const at = (name) => import(require("url").pathToFileURL(`${process.argv[1]}/dist/core/${name}.js`));
Promise.all([at("session-manager"), at("messages")]).then(([{ SessionManager }, { convertToLlm }]) => {
    const found = {};
    for (const file of process.argv.slice(2)) {
        const context = SessionManager.open(file).buildSessionContext();
        found[file] = { ...context, messages: context.messages.filter((it) => convertToLlm([it]).length > 0) };
    }
    console.log(JSON.stringify(found));
});
"""

RUN_OPENCLAW = """
import(require("url").pathToFileURL(process.argv[1])).then((module) => {
    const named = (name) => Object.values(module).find((it) => it.name === name);
    const found = {};
    for (const file of process.argv.slice(2)) {
        const entries = named("parseSessionEntries")(require("fs").readFileSync(file, "utf8"));
        found[file] = named("buildSessionContext")(entries.filter((it) => it.type !== "session"));
    }
    console.log(JSON.stringify(found));
});
"""


def tree_view(context, shapes):
    messages = context["messages"]
    if messages and messages[0]["role"] == "compactionSummary":
        return messages[0]["summary"], found_again(messages[1:], shapes)
    return None, found_again(messages, shapes)


# --- nanobot: a line of metadata, then messages; `last_archived` says how many are summed up ------------------------

SHOWN = ("role", "content", "tool_calls", "tool_call_id", "name")


def nanobot_start(messages, offset):
    """Where the loader starts behind `offset`: at a user's message if there is one (or at the delivery before it), and
    behind the last tool result whose call is not there."""
    behind = messages[offset:]
    start = next((n for n, message in enumerate(behind) if message["role"] == "user"), 0)
    if start > 0 and behind[start - 1].get("_channel_delivery"):
        start -= 1
    calls, legal = set(), start
    for n, message in enumerate(behind[start:], start):
        calls |= {call["id"] for call in message.get("tool_calls") or []}
        if message["role"] == "tool" and message["tool_call_id"] not in calls:
            legal, calls = n + 1, set()
    return offset + legal


def is_json(line):
    try:
        return json.loads(line) is not None
    except ValueError:
        return False


def nanobot_records(lines):
    """One record a line that is JSON, and where the loader starts one `compacted` mark, which keeps from itself; none
    if there is neither a summary nor anything left out. The offset is a number of messages that are JSON; one that is
    no number, or not from 0 to their number, counts as 0. The summary "(nothing)" is none."""
    head, *messages = [json.loads(line) for line in lines if is_json(line)]
    offset = next((head[key] for key in ("last_archived", "last_consolidated") if type(head[key]) is int), 0)
    start = nanobot_start(messages, offset if 0 <= offset <= len(messages) else 0)
    summary = head["metadata"].get("_last_summary", {}).get("text")
    summary = None if summary == "(nothing)" else summary
    records, shapes = [{"body": head, "kind": "meta.entry"}], [None]
    for n, message in enumerate(messages + [None]):
        if n == start and (start > 0 or summary):
            records.append({"mark": {"mark": "compacted", "summary": summary, "keep_from": len(records) + 1}})
            shapes.append(None)
        if message:
            hidden = message.get("_command") or message["role"] == "assistant" and message["content"] == ""
            records.append({"body": message, "kind": "meta.entry"} if hidden else {"body": message})
            shapes.append(None if hidden else {key: message[key] for key in SHOWN if key in message})
    return records, shapes


RUN_NANOBOT = """
import json, pathlib, shutil, sys, tempfile
from loguru import logger
from nanobot.session.manager import SessionManager
from nanobot.session.summary import session_summary_from_metadata
logger.remove()
found = {}
for file in sys.argv[1:]:
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        manager = SessionManager(root / "workspace", sessions_root=root / "sessions")
        path = manager._get_session_path("telegram:1")
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, path)
        session = manager.get_or_create("telegram:1")
        summary = session_summary_from_metadata(session.metadata, fallback_last_active=session.updated_at)
        # As ContextBuilder.build_system_prompt (nanobot/agent/context.py) decides whether it is shown.
        shown = summary if summary and summary["text"] != "(nothing)" else None
        found[file] = {"last_archived": session.last_archived, "summary": shown, "history": session.get_history()}
print(json.dumps(found))
"""


def nanobot_view(found, shapes):
    return found["summary"] and found["summary"]["text"], found_again(found["history"], shapes)


# --- codex: a rollout of items; what a model sees is rebuilt from it -------------------------------------------------


def is_user_turn(item):
    """is_user_turn_boundary, codex-rs/core/src/context_manager/history.rs, for what occurs here."""
    return item["type"] == "message" and item["role"] == "user" and not item["content"][0]["text"].startswith(
        ("<environment_context>", "# AGENTS.md instructions"))


def without_last_turns(items, turns):
    """drop_last_n_user_turns, same file: how many of the items are left."""
    starts = [n for n, item in enumerate(items) if is_user_turn(item)] + [len(items)]
    return starts[max(0, len(starts) - 1 - turns)]


def rebuilt(items, message):
    """collect_user_messages and build_compacted_history, codex-rs/core/src/compact.rs: the users' texts (at most 20,000
    tokens, and no summary that begins as codex's own do: neither occurs here), then the message as a user's."""
    texts = [item["content"][0]["text"] for item in items if is_user_turn(item)]
    return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
            for text in texts + [message or "(no summary available)"]]


def codex_history(lines):
    """reconstruct_history_from_rollout, codex-rs/core/src/session/rollout_reconstruction.rs at commit 0cf8861225d2
    (before in codex-rs/core/src/codex/). Returns [(index of the line, None if it came with a compaction; item)], and
    whether there was one. The early end of the first loop is left out: it saves work and changes nothing here."""
    items = [(line["type"], line["payload"]) for line in map(json.loads, lines)]
    base, suffix, pending, segment = None, 0, 0, {}

    def finish():
        nonlocal base, pending
        if pending:
            pending -= segment.get("user", False)
        elif base is None:
            base = segment.get("base")

    for index, (kind, payload) in reversed(list(enumerate(items))):
        event = payload["type"] if kind == "event_msg" else None
        if kind == "compacted":
            segment.setdefault("turn", None)
            if segment.get("base") is None and payload["replacement_history"] is not None:
                segment["base"], suffix = payload["replacement_history"], index + 1
        elif event == "thread_rolled_back":
            pending += payload["num_turns"]
        elif event == "task_complete" or kind == "turn_context":
            segment["turn"] = segment.get("turn") or payload["turn_id"]
        elif event == "user_message":
            segment["user"] = True
        elif event == "task_started" and segment and segment.get("turn") in (None, payload["turn_id"]):
            finish()
            segment = {}
        elif kind == "response_item":
            segment["user"] = segment.get("user", False) or is_user_turn(payload)
    if segment:
        finish()
    history, compacted = [(None, item) for item in base or []], base is not None
    for index, (kind, payload) in list(enumerate(items))[suffix:]:
        if kind == "response_item":
            history.append((index, payload))
        elif kind == "compacted":
            new = payload["replacement_history"]
            new = rebuilt([item for _, item in history], payload["message"]) if new is None else new
            history, compacted = [(None, item) for item in new], True
        elif kind == "event_msg" and payload["type"] == "thread_rolled_back":
            history = history[:without_last_turns([item for _, item in history], payload["num_turns"])]
    return history, compacted


def codex_records(lines):
    """One record or mark a line. In the place of a compaction is a `compacted` mark that keeps from itself; its summary
    is the list of items that take the place of the history: replacement_history, or what codex makes if that is null.
    In the place of a rollback is a `rewound` mark to the record before the first item of the turns that go."""
    records, shapes, shown = [], [], []
    for line in map(json.loads, lines):
        kind, payload, seq = line["type"], line["payload"], len(records) + 1
        shapes.append(payload if kind == "response_item" else None)
        if kind == "response_item":
            records.append({"body": line})
            shown.append((seq, payload))
        elif kind == "compacted":
            new = payload["replacement_history"]
            new = rebuilt([item for _, item in shown], payload["message"]) if new is None else new
            records.append({"mark": {"mark": "compacted", "summary": new, "keep_from": seq}})
            shown = [(None, item) for item in new]
        elif kind == "event_msg" and payload["type"] == "thread_rolled_back":
            left = without_last_turns([item for _, item in shown], payload["num_turns"])
            # A turn that is part of a replacement history has no seq: such a rollback can not be said with a mark.
            records.append({"mark": {"mark": "rewound", "to_seq": shown[left][0] - 1}})
            del shown[left:]
        else:
            records.append({"body": line, "kind": "meta.entry"})
    return records, shapes


def codex_view(found, shapes):
    history, compacted = found
    given = [item for index, item in history if index is None]
    assert history[:len(given)] == [(None, item) for item in given]
    items = history[len(given):]
    view = found_again([item for _, item in items], shapes, [index for index, _ in items])
    return given if compacted else None, view


# --- all of them ------------------------------------------------------------------------------------------------------


def found_again(messages, shapes, lines=None):
    """The indexes of the records that say what the loader's messages say: there must be just one for each. Where the
    loader tells the indexes of their lines too, it must be that one."""
    view = []
    for message, line in zip(messages, lines or [None] * len(messages)):
        same = [index for index, shape in enumerate(shapes) if shape == message and line in (None, index)]
        assert len(same) == 1, "%d records say %s" % (len(same), message)
        view += same
    assert view == sorted(set(view))
    return view


def run(command, sources, **environment):
    """Runs a loader on files that hold the sources; returns what it found, by case."""
    with tempfile.TemporaryDirectory() as folder:
        files = {}
        for case, lines in sources.items():
            path = pathlib.Path(folder, case + ".jsonl")
            path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
            files[str(path)] = case
        done = subprocess.run(command + list(files), stdout=subprocess.PIPE, check=True, timeout=120, cwd=folder,
                              env={**os.environ, "HOME": folder, **environment})
        return {files[file]: found for file, found in json.loads(done.stdout).items()}


def complete(options, cases):
    """Yields (system, case, fixture)."""
    def finish(system, found, to_records, to_view):
        for case in found:
            records, shapes = to_records(cases[system][case])
            summary, view = to_view(found[case], shapes)
            loader = [item for _, item in found[case][0]] if system == "codex" else found[case]
            yield {"system": system, "case": case, "source": cases[system][case], "records": records,
                   "summary": summary, "view": view, "loader": loader}

    pi = ["node", "-e", RUN_PI, os.path.abspath(options.pi)]
    yield from finish("pi", run(pi, cases["pi"]), tree_records, tree_view)

    found = run(pi, {case: lines for case, lines in cases["openclaw"].items() if not case.startswith("own-")})
    if options.openclaw:
        codec, = glob.glob(os.path.join(os.path.abspath(options.openclaw), "dist", "session-manager-codec-*.mjs"))
        own = run(["node", "-e", RUN_OPENCLAW, codec], cases["openclaw"])
        for case, context in found.items():
            assert own[case] == context, "openclaw's own loader and pi's differ: " + case
        found = own
    yield from finish("openclaw", found, tree_records, tree_view)

    nanobot = [sys.executable, "-c", RUN_NANOBOT]
    found = run(nanobot, cases["nanobot"], PYTHONPATH=os.path.abspath(options.nanobot))
    yield from finish("nanobot", found, nanobot_records, nanobot_view)

    found = {case: codex_history(lines) for case, lines in cases["codex"].items()}
    yield from finish("codex", found, codex_records, codex_view)


def text(fixture):
    """JSON with a line for each source line and each record."""
    def compact(value):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    fields = {key: compact(value) for key, value in fixture.items()}
    for key in ("source", "records"):
        fields[key] = "[\n%s\n ]" % ",\n".join("  " + compact(row) for row in fixture[key])
    return "{\n%s\n}\n" % ",\n".join(' "%s": %s' % field for field in fields.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for system in ("pi", "nanobot", "openclaw"):
        parser.add_argument("--" + system, metavar="FOLDER", required=system != "openclaw")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    old, cases = {}, {system: {} for system in SYSTEMS}
    for path in sorted(FIXTURES.glob("*.json")):
        old[path.name] = path.read_bytes()
        fixture = json.loads(old[path.name])
        assert path.name == "%s-%s.json" % (fixture["system"], fixture["case"])
        cases[fixture["system"]][fixture["case"]] = fixture["source"]
    new = {"%s-%s.json" % (it["system"], it["case"]): text(it).encode() for it in complete(options, cases)}
    changed = [name for name in new if new[name] != old[name]]
    for name in changed:
        print(("differs: " if options.check else "written: ") + name)
        if not options.check:
            (FIXTURES / name).write_bytes(new[name])
    print("%d of %d cases run, %d %s" % (len(new), len(old), len(changed), "differ" if options.check else "written"))
    sys.exit(options.check and bool(changed))


if __name__ == "__main__":
    main()
