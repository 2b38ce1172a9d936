#!/usr/bin/env python3
"""Drives the page of `sessctl export --as html` in a headless Chromium: content, folding, search, keyboard, hostile text, print.

Goal: what a person sees is what the session holds, nothing of a transcript ever runs or reaches the network, and a page of 20 MB
opens and is searched while the main thread is never held for long (the longest task is printed, not judged).
Method: stores are written here by the format's description alone, exported by the real command and opened from a file; every
request but the page's own is a failure, and so is a script that ran: each hostile text would set a global.

usage: page.py --sessctl FILE [--screenshots FOLDER] [--chromium FILE] [--large-mb N]

Needs the Python package playwright (its own browser is not needed) and a Chromium.
"""

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from datetime import datetime, timedelta, timezone

from playwright.sync_api import sync_playwright

START = datetime(2026, 3, 1, 9, 0, 0, tzinfo=timezone.utc)


# --- stores, by src/format.md ----------------------------------------------------------------------------------------


def stamp(seconds):
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S.%f")[:23] + "Z"


class Transcript:
    """A transcript in memory: a header and lines that chain."""

    def __init__(self, key, generation=1, at=0):
        self.key, self.generation, self.lines, self.seq = key, generation, [], 0
        body = {"format": 1, "key": key, "generation": generation, "id": hashlib.md5(key.encode()).hexdigest(),
                "parent": None}
        head = '{"seq":0,"durable":0,"prev":"00000000","ts":"%s","kind":"header","body":%s' % (
            stamp(at), json.dumps(body, separators=(",", ":"), ensure_ascii=False))
        self.seed = self.prev = zlib.crc32(head.encode())
        self.lines.append('%s,"crc":"%08x"}\n' % (head, self.seed))

    def add(self, at, body, kind="message", seq=None):
        """Appends a body (a value, or JSON text as bytes) and returns its seq."""
        text = body.decode() if isinstance(body, bytes) else json.dumps(body, separators=(",", ":"), ensure_ascii=False)
        self.seq = seq or self.seq + 1
        head = '{"seq":%d,"durable":%d,"prev":"%08x","ts":"%s","kind":"%s","body":%s' % (
            self.seq, self.seq - 1, self.prev, stamp(at), kind, text)
        self.prev = zlib.crc32(head.encode(), self.seed)
        self.lines.append('%s,"crc":"%08x"}\n' % (head, self.prev))
        return self.seq

    def mark(self, at, **fields):
        return self.add(at, fields, "mark")

    def save(self, store):
        digest = hashlib.sha256(self.key.encode()).hexdigest()[:32]
        slug = re.sub("[^a-z0-9.-]+", "_", self.key.lower())[:40]
        folder = pathlib.Path(store, "transcripts")
        folder.mkdir(parents=True, exist_ok=True)
        data = "".join(self.lines).encode()
        (folder / ("%s~%s.%d.jsonl" % (slug, digest, self.generation))).write_bytes(data)


def png(width, height):
    """A small picture: a soft gradient."""
    rows = b"".join(b"\0" + bytes(v for x in range(width) for v in (90 + 100 * x // width, 130 + 80 * y // height, 170))
                    for y in range(height))

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) \
        + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def said(role, text):
    return {"role": role, "content": text}


def call(name, number, **arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"role": "assistant", "content": None,
            "reasoning_content": "The user wants to know what is there, so a look is the first thing to do.",
            "tool_calls": [{"id": "c%d" % number, "type": "function", "function": function}],
            "usage": {"prompt_tokens": 1200 + 310 * number, "completion_tokens": 40 + 7 * number}}


def result(number, text):
    return {"role": "tool", "tool_call_id": "c%d" % number, "name": "exec", "content": text}


def everything(store):
    """A session with all that a page can show."""
    own = Transcript("~store", at=0)
    own.mark(1, mark="started")
    own.mark(4000, mark="started")
    own.save(store)
    it = Transcript("telegram:8281248569", at=5)
    it.mark(6, mark="title", title="The backups that stopped in February")
    it.mark(6, mark="labels", labels=["home", "keep"])
    it.add(7, {"role": "system", "content": "You look after a small server. " * 20})
    it.mark(8, mark="turn_started")
    it.add(8, said("user", "The backups stopped some time in February. Can you find out when, and why?"))
    it.add(13, call("exec", 1, command="systemctl list-timers --all | grep backup"))
    it.add(15, result(1, "Sun 2026-02-15 02:00:00 UTC  2 weeks ago  backup.timer  backup.service"))
    it.add(31, {"role": "assistant", "content": "The timer last fired on **15 February**, two weeks ago. It ran into a full "
                "disk:\n\n```text\ntar: /mnt/backup/2026-02-15.tar.zst: Cannot write: No space left on device\n```\n\n"
                "Everything since then was skipped, because the unit is marked as failed.",
                "model": "example-large-2", "usage": {"prompt_tokens": 2400, "completion_tokens": 210}})
    it.mark(31, mark="turn_ended", turn=4, outcome="success")
    begun = it.mark(400, mark="turn_started")
    it.add(400, said("user", "Make room then. Keep the monthly ones."))
    it.add(407, call("exec", 2, command="ls -la /mnt/backup", sort="size"))
    it.add(409, result(2, "".join("-rw------- 1 root root %d Jan %2d 02:00 2026-01-%02d.tar.zst\n" % (
        10 ** 9 + 7919 * day, day, day) for day in range(1, 32))))
    it.mark(4000, mark="recovered", offset=5120, bytes=221, quarantine="telegram_8281248569~01f0.1.torn")
    it.mark(4001, mark="resume_pending", reason="the gateway was updated")
    it.mark(4003, mark="resume_attempted")
    begun = it.mark(4004, mark="turn_started")
    it.add(4010, {"role": "assistant", "content": [
        {"type": "text", "text": "27 daily archives can go, the four monthly ones stay. This is how the disk would look:"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(png(240, 90)).decode()}}],
        "usage": {"prompt_tokens": 5100, "completion_tokens": 380}})
    it.mark(4011, mark="turn_ended", turn=begun, outcome="partial")
    left = it.add(7000, said("user", "Delete the monthly ones, too."))
    it.add(7004, said("assistant", "That would leave nothing older than a week. Are you sure?"))
    it.mark(7030, mark="rewound", to_seq=left - 1)
    it.add(7031, said("user", "Go ahead with the daily ones."))
    it.add(7040, call("exec", 3, command="find /mnt/backup -name '*.zst' ! -name '*-01.*' -delete"))
    failed = result(3, "find: cannot delete '/mnt/backup/2026-01-13.tar.zst': Operation not permitted")
    it.add(7041, {**failed, "is_error": True})
    it.mark(7300, mark="gap", from_seq=it.seq + 1, to_seq=it.seq + 1)
    keep = it.add(7301, said("assistant", "One file is immutable; the others are gone. \u05d4\u05db\u05dc \u05d1\u05e1\u05d3\u05e8 now."))
    it.mark(7310, mark="compacted", summary="Backups stopped on 15 February for want of room; daily archives were deleted.",
            keep_from=keep)
    it.add(93000, {"model_change": "example-large-3"}, "meta.settings")
    it.add(93001, {"source": {"name": "cron"}, "tokens": 17}, "meta.usage")
    it.add(93002, {"unknown": {"shape": [1, 2, {"deep": None}]}, "of": "a record"})
    it.add(93010, said("user", "Did it run tonight?"))
    it.add(93020, said("assistant", "Yes, at 02:00, in 11 minutes."))
    damaged = len(it.lines)
    it.add(93030, said("user", "Thank you."))
    it.add(93040, said("assistant", "You are welcome."))
    it.lines[damaged] = it.lines[damaged].replace("Thank you", "Thank Yuo")
    it.mark(93100, mark="reset", reason="a new day")
    it.save(store)
    return it.key


def empty(store):
    it = Transcript("discord:7")
    it.save(store)
    return it.key


def large(store, megabytes):
    """Long answers, many turns, one very long line."""
    it = Transcript("cli:large")
    words = "the quick brown fox jumps over a lazy dog while nobody looks at the logs of the night ".split()
    turn, size = 0, 0
    while size < megabytes * 1_000_000:
        at = turn * 60
        text = "\n".join(" ".join(words[(turn + line) % 17:]) + " %d.%d" % (turn, line) for line in range(40))
        output = "\n".join("%06d %s" % (line, hashlib.md5(b"%d %d" % (turn, line)).hexdigest()) for line in range(120))
        for record in (said("user", "Question %d?" % turn), call("exec", turn, command="job %d" % turn),
                       result(turn, output), said("assistant", text)):
            it.add(at, record)
            at += 3
        size += len(text) + len(output)
        turn += 1
    it.add(turn * 60, said("user", "And all of it in one line?"))
    it.add(turn * 60 + 1, result(turn, "needle" + "x" * 2_000_000 + "haystack"))
    it.add(turn * 60 + 2, said("assistant", "The end of it all: zanzibar."))
    it.save(store)
    return it.key, turn + 1
