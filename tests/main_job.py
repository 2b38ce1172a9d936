#!/usr/bin/env python3
"""The main job on real histories: append, SIGKILL in the middle, lose the registry, rebuild, verify, show.

Goal: every acknowledged record is there byte for byte, `verify` is clean, the registry is the one that appending built, every
line is valid JSON for jq, and its crc checks with zlib. Method: feed every JSON line found below a folder to `sessctl
append`, slowly enough that the kill lands between commits, and compare with what was acknowledged.

usage: main_job.py --sessctl PATH [--rounds N] FOLDER
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zlib


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)


def histories(folder):
    """(name, [JSON lines]) of every .jsonl below the folder; what is no JSON is left out, it is not what is tested."""
    found = []
    for path in sorted(pathlib.Path(folder).rglob("*.jsonl")):
        lines = []
        for line in path.read_bytes().splitlines():
            try:
                json.loads(line)
                lines.append(line)
            except ValueError:
                pass
        found.append((str(path.relative_to(folder)), lines))
    return found


def run(sessctl, store, *command, **options):
    return subprocess.run([sessctl, "--store", store, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def killed_append(sessctl, store, key, lines):
    """Feeds lines one by one, kills at a random one, returns how many were acknowledged."""
    child = subprocess.Popen([sessctl, "--store", store, "append", key], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    fatal = random.randrange(len(lines) + 1)
    for line in lines[:fatal]:
        child.stdin.write(line + b"\n")
        child.stdin.flush()
        if random.random() < 0.3:
            time.sleep(random.random() * 0.01)
    child.send_signal(signal.SIGKILL)
    acked = len(child.stdout.read().splitlines())
    child.wait()
    return acked


def kept(body):
    """What the store keeps of a line: all but white space around it and tabs outside its strings, which no sample has."""
    return body.strip(b" \t\r\n")


def one_round(sessctl, samples, folder):
    store = os.path.join(folder, "store")
    acked = 0
    expected = {}
    for name, lines in samples:
        have = killed_append(sessctl, store, name, lines) if lines else 0
        acked += have
        shown = run(sessctl, store, "show", name).stdout.splitlines() if have else []
        check(len(shown) >= have, "%s: %d acknowledged, %d there after the kill" % (name, have, len(shown)))
        # The rest, after the crash.
        there = len(run(sessctl, store, "show", name).stdout.splitlines())
        rest = b"".join(line + b"\n" for line in lines[there:])
        done = run(sessctl, store, "append", name, input=rest)
        check(done.returncode == 0, "%s: append after the kill: %s" % (name, done.stderr.decode()))
        acked += len(done.stdout.splitlines())
        expected[name] = [kept(line) for line in lines]
    built = open(os.path.join(store, "registry.jsonl"), "rb").read()
    os.remove(os.path.join(store, "registry.jsonl"))
    done = run(sessctl, store, "rebuild-index")
    check(done.returncode == 0, "rebuild-index: %s" % done.stderr.decode())
    check(open(os.path.join(store, "registry.jsonl"), "rb").read() == built, "the registry is not the one built by appending")
    done = run(sessctl, store, "verify")
    check(done.returncode == 0, "verify: %d %s" % (done.returncode, done.stdout.decode()))
    for name, lines in expected.items():
        if lines:
            shown = run(sessctl, store, "show", name).stdout.splitlines()
            check(shown == lines, "%s is not what was appended" % name)
    for path in pathlib.Path(store, "transcripts").iterdir():
        seed = 0
        for number, line in enumerate(path.read_bytes().splitlines()):
            crc = zlib.crc32(line[:-18], seed)
            check(line.endswith(b',"crc":"%08x"}' % crc), "%s line %d: its crc" % (path.name, number))
            seed = crc if number == 0 else seed
        if shutil.which("jq"):
            subprocess.run(["jq", "-e", ".", str(path)], stdout=subprocess.DEVNULL, check=True)
    return acked


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("folder")
    options = parser.parse_args()
    samples = histories(options.folder)
    check(samples, "no .jsonl below " + options.folder)
    acked = 0
    for seed in range(options.rounds):
        random.seed(seed)
        with tempfile.TemporaryDirectory() as folder:
            acked += one_round(os.path.abspath(options.sessctl), samples, folder)
    print("%d rounds over %d histories, %d records acknowledged, all there" % (options.rounds, len(samples), acked))


if __name__ == "__main__":
    main()
