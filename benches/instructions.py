#!/usr/bin/env python3
"""Counts the instructions of an append, a scan, a list and a tail under callgrind, and compares them with those on file.

A count is the same on a busy machine as on an idle one, so a regression is seen anywhere. It is that of the process: what the
kernel does for it is not in it. Compilers, C libraries and processors differ by some per cent, hence the margin.

usage: instructions.py [--margin PERCENT] [--write]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
ON_FILE = os.path.join(HERE, "instructions.json")
# What one of each is, of what the benchmark does so many times.
WORK = {"append": 1000, "scan": 20000, "list": 1, "recent": 1, "tail": 1}


def build():
    command = ["cargo", "bench", "--no-run", "--message-format", "json", "--quiet", "--bench", "instructions"]
    done = subprocess.run(command, cwd=os.path.dirname(HERE), stdout=subprocess.PIPE, text=True, check=True)
    messages = (json.loads(line) for line in done.stdout.splitlines())
    return next(message["executable"] for message in messages if message.get("target", {}).get("name") == "instructions")


def count(program, work):
    with tempfile.TemporaryDirectory() as folder:
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", f"--toggle-collect=instructions::{work}*", program, work]
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True)
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode or not found or found[1] == "0":
        sys.exit(f"{work}: nothing counted\n{done.stderr}")
    return int(found[1]) // WORK[work]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--margin", type=float, default=15)
    parser.add_argument("--write", action="store_true", help="put the counts on file")
    options = parser.parse_args()
    program = build()
    counts = {work: count(program, work) for work in WORK}
    if options.write:
        with open(ON_FILE, "w") as file:
            json.dump(counts, file, indent=4)
            file.write("\n")
    with open(ON_FILE) as file:
        on_file = json.load(file)
    grown = False
    for work, now in counts.items():
        change = 100 * (now / on_file[work] - 1)
        grown |= change > options.margin
        print(f"{work:8} {now:>12} instructions, {change:+.1f} % of what is on file")
    if grown:
        sys.exit(f"more than {options.margin} % more: find out why, or put the new counts on file with --write and the reason in the commit")


if __name__ == "__main__":
    main()
