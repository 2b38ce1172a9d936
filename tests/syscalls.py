#!/usr/bin/env python3
"""What `sessctl append` asks of the kernel, seen by strace (Linux).

Goal: one write and one fdatasync a commit, acknowledged only afterwards; the registry never synced; and an append to a
transcript of 1 GiB whose row is good reads less than 1 MiB, as does the active view behind a compaction 100 records back. Method: run the real program under strace and count.

usage: syscalls.py --sessctl PATH [--gib N]
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import zlib

CALLS = "openat,close,read,pread64,readv,preadv,mmap,write,pwrite64,writev,pwritev,fsync,fdatasync,sync_file_range,rename,renameat,renameat2"


def traced(folder, command, text):
    """Runs a command under strace; returns (its standard output, [(call, path of its descriptor, line, result)])."""
    log = os.path.join(folder, "strace.log")
    full = ["strace", "-f", "-y", "-s", "512", "-e", "trace=" + CALLS, "-o", log] + command
    done = subprocess.run(full, input=text.encode(), stdout=subprocess.PIPE, check=True)
    calls = []
    pending = {}
    for line in open(log, errors="replace"):
        pid, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        if rest.endswith("<unfinished ...>"):
            pending[pid] = rest[: -len("<unfinished ...>")]
            continue
        resumed = re.match(r"<\.\.\. \w+ resumed>(.*)", rest)
        if resumed:
            rest = pending.pop(pid, "") + resumed.group(1)
        match = re.match(r"(\w+)\((.*)\)\s+= (-?\d+|0x[0-9a-f]+)", rest)
        if not match:
            continue
        name, arguments, result = match.groups()
        path = re.search(r"^\d+<([^>]*)>", arguments) or re.search(r"\d+<([^>]*)>", arguments)
        calls.append((name, path.group(1) if path else "", rest, int(result, 0)))
    return done.stdout.decode(), calls


def check(condition, text):
    if not condition:
        sys.exit("FAILED: " + text)


def commits(folder, sessctl, store):
    """Ten records, each a commit of its own since each waits for the one before."""
    base = [sessctl, "--store", store]
    subprocess.run(base + ["append", "k"], input=b'{"n":0}\n', stdout=subprocess.DEVNULL, check=True)
    acks, calls = traced(folder, base + ["append", "k"], '{"n":1}\n')
    check(acks == "k 2\n", "the acknowledgement is %r" % acks)
    ours = [call for call in calls if "/transcripts/" in call[1] and "/." not in call[1]]
    writes = [at for at, call in enumerate(calls) if call in ours and call[0] in ("pwrite64", "write") and b'"n":1'.decode() in call[2].replace("\\", "")]
    check(len(writes) == 1, "%d writes of the record" % len(writes))
    syncs = [at for at, call in enumerate(calls) if call[0] == "fdatasync" and "/transcripts/" in call[1]]
    check(any(at > writes[0] for at in syncs), "no fdatasync after the write")
    check(sum(at > writes[0] for at in syncs) == 1, "more than one fdatasync a commit")
    ack = [at for at, call in enumerate(calls) if call[0] == "write" and '"k 2' in call[2]]
    check(ack and ack[0] > min(at for at in syncs if at > writes[0]), "acknowledged before the fdatasync")
    for name, path, line, _ in calls:
        check(not (name in ("fsync", "fdatasync") and "registry" in path), "the registry is synced: " + line)
    return len(writes), len(syncs)


def large(folder, sessctl, store, gib):
    """One append to a large transcript whose row is good."""
    base = [sessctl, "--store", store]
    body = json.dumps({"role": "assistant", "content": "x" * 8000})
    count = int(gib * (1 << 30) / 8150) + 1
    feed = subprocess.Popen(base + ["append", "large"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    for _ in range(count):
        feed.stdin.write(body.encode() + b"\n")
    feed.stdin.close()
    check(feed.wait() == 0, "the load failed")
    path = subprocess.run(base + ["path", "large"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    size = os.path.getsize(path)
    _, calls = traced(folder, base + ["append", "large"], '{"n":"last"}\n')
    reads = sum(call[3] for call in calls if call[0] in ("read", "pread64", "readv", "preadv") and call[1].startswith(store) and call[3] > 0)
    maps = [call for call in calls if call[0] == "mmap" and call[1].startswith(store)]
    check(not maps, "it maps a file of the store: %r" % maps[:1])
    check(reads < 1 << 20, "%d bytes read" % reads)
    return size, reads


def view(folder, sessctl, store):
    """The active view of the large transcript, behind a summary that stands 100 records from its end."""
    base = [sessctl, "--store", store]
    path = subprocess.run(base + ["path", "large"], stdout=subprocess.PIPE, check=True).stdout.decode().strip()
    with open(path, "r+b") as file:
        seed = int(file.readline()[-11:-3], 16)
        file.seek(-100000, os.SEEK_END)
        last = file.read().splitlines()[-1]
        seq = json.loads(last)["seq"]
        # By the format's own words: sessctl makes no summaries.
        head = '{"seq":%d,"durable":%d,"prev":"%s","ts":"2026-11-22T08:15:30.123Z","kind":"mark","body":%s' % (
            seq + 1, seq, last[-10:-2].decode(), '{"mark":"compacted","summary":"all of it","keep_from":%d}' % (seq - 20))
        file.seek(0, os.SEEK_END)
        file.write(b'%s,"crc":"%08x"}\n' % (head.encode(), zlib.crc32(head.encode(), seed)))
    body = json.dumps({"role": "assistant", "content": "x" * 4000})
    subprocess.run(base + ["append", "large"], input=(body + "\n").encode() * 100, stdout=subprocess.DEVNULL, check=True)
    out, calls = traced(folder, base + ["context", "large"], "")
    lines = out.splitlines()
    check(json.loads(lines[0]) == {"summary": "all of it"} and len(lines) in (121, 122), "the view has %d lines" % len(lines))
    reads = sum(call[3] for call in calls if call[0] in ("read", "pread64", "readv", "preadv") and call[1] == path and call[3] > 0)
    check(reads < 1 << 20, "%d bytes read" % reads)
    return sum(map(len, lines)), reads


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--gib", type=float, default=1.0)
    options = parser.parse_args()
    sessctl = os.path.abspath(options.sessctl)
    with tempfile.TemporaryDirectory() as folder:
        store = os.path.join(os.path.realpath(folder), "store")
        writes, syncs = commits(folder, sessctl, store)
        print("one append: %d write of the record, %d fdatasync (one of them at open), none of the registry" % (writes, syncs))
        size, reads = large(folder, sessctl, store, options.gib)
        print("append to a transcript of %d bytes with a good row: %d bytes read" % (size, reads))
        size, reads = view(folder, sessctl, store)
        print("active view of %d bytes behind a compaction: %d bytes read" % (size, reads))


if __name__ == "__main__":
    main()
