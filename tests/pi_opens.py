#!/usr/bin/env python3
"""Whether pi opens what `sessctl export --as pi` writes, and sees in it what our view gives.

Each case of fixtures/views becomes a session of ours; its export is opened by pi's own SessionManager. Of a session that came
from pi, pi must see what it sees in the original file; of the others, the texts of the view in order.

usage: pi_opens.py --pi FOLDER --sessctl FILE

FOLDER is an unpacked package of @mariozechner/pi-coding-agent 0.73.1, with `uuid` where node finds it (see views.py).
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile

import views
from page import Transcript


def texts(messages):
    """What is said in messages of pi, in order."""
    said = []
    for message in messages:
        content = message.get("summary") or message.get("content") or []
        parts = [content] if isinstance(content, str) else [part.get("text") for part in content]
        said += [part for part in parts if part]
    return said


def said_in(case):
    """What is said in the records of a view, in order; what codex keeps in place of a history is a text of its own."""
    found = []
    for index in case["view"]:
        body = case["records"][index]["body"]
        body = body.get("payload") or body
        content = body.get("content") or body.get("output") or []
        found += [content] if isinstance(content, str) else [part["text"] for part in content if part.get("text")]
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pi", required=True)
    parser.add_argument("--sessctl", required=True)
    options = parser.parse_args()
    pi = ["node", "-e", views.RUN_PI, os.path.abspath(options.pi)]
    exports, cases = {}, {}
    with tempfile.TemporaryDirectory() as store:
        for path in sorted(views.FIXTURES.glob("*.json")):
            case = json.loads(path.read_bytes())
            name = path.stem
            it = Transcript(name)
            for at, record in enumerate(case["records"]):
                if "mark" in record:
                    it.add(at, record["mark"], "mark")
                else:
                    it.add(at, record["body"], record.get("kind", "message"))
            it.save(store)
            for view, more in (("all", []), ("active", ["--active"])):
                done = subprocess.run([options.sessctl, "--store", store, "export", name, "--as", "pi", *more],
                                      stdout=subprocess.PIPE, check=True, timeout=60)
                exports[name + "." + view] = done.stdout.decode().splitlines()
            cases[name] = case
    found = views.run(pi, exports)
    # What pi makes of a history of codex's is one text: the summary stands first, the rest is compared.
    wrong = 0
    for name, context in found.items():
        case = cases[name.rsplit(".", 1)[0]]
        seen = texts(context["messages"])
        if case["system"] in ("pi", "openclaw"):
            expected = texts(case["loader"]["messages"])
        else:
            expected = said_in(case)
            seen = seen[1:] if case["summary"] else seen
        if seen != expected:
            wrong += 1
            print("differs: %s\n  pi sees  %s\n  expected %s" % (name, seen, expected))
    print("%d exports opened by pi, %d differ" % (len(found), wrong))
    return wrong > 0


if __name__ == "__main__":
    raise SystemExit(main())
