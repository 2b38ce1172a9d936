#!/usr/bin/env python3
"""A gateway that is killed all day: what the next start is offered is what was really open, no more and no less.

Goal: after a SIGKILL anywhere, a SIGTERM whose drain has too little time or enough of it, or a SIGKILL in the middle of the
drain, with the registry lost now and then and `sessctl` beside, the sessions offered are exactly those whose turn was open, with
the reason of the drain where it marked them. Method: the example `gateway` keeps a ledger of its own, synced line by line before
and after each step, from which each session is certainly open, certainly closed, or in doubt because the kill came in between;
the offers of the next start settle the doubts.

usage: gateway.py --gateway PATH --sessctl PATH [--rounds N] [--seed S]
"""

import argparse
import collections
import json
import os
import queue
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time

REASON = "gateway stopped"
# Longer than any turn takes, and than a loaded machine makes of it.
PATIENCE_SECONDS = 120
ROUNDS_A_STORE = 20
KINDS = ["kill", "kill", "kill", "kill at start", "drain cut", "drain cut", "drain", "drain", "kill in drain", "kill in drain"]

figures = collections.Counter()
violations = []


def check(condition, text):
    if not condition:
        violations.append(text)
        print("VIOLATION " + text, flush=True)


class Known:
    """What is known of a session: whether it is to be offered, and as what. None: in doubt."""

    def __init__(self, offered=False, turn=False, pending=False):
        self.offered, self.turn, self.pending = offered, turn, pending


class Gateway:
    """A running example."""

    def __init__(self, options, store, ledger, drain_ms):
        command = [options.gateway, "--store", store, "--ledger", ledger, "--drain-ms", str(drain_ms)]
        command += ["--workers", str(random.choice([2, 4, 12])), "--step-ms", str(random.choice([2, 10, 30]))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=self.read, daemon=True).start()
        self.offers, self.drained, self.ended = {}, None, False

    def read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def until(self, kind, where):
        """Takes lines until one of the kind; False when the process ended before."""
        while not self.ended:
            line = self.lines.get(timeout=PATIENCE_SECONDS)
            if not line.endswith("\n"):
                # Cut by the kill.
                self.ended = True
                return False
            told = json.loads(line)
            if told["type"] == "resume":
                check(told["key"] not in self.offers, "%s: %s is offered twice" % (where, told["key"]))
                self.offers[told["key"]] = told
            elif told["type"] == "drained":
                self.drained = told
            elif told["type"] in ("error", "skipped"):
                check(False, "%s: %s" % (where, line.strip()))
            if told["type"] == kind:
                return True
        return False

    def end(self, number, where):
        if number is not None:
            self.process.send_signal(number)
        self.until("nothing", where)
        return self.process.wait(timeout=PATIENCE_SECONDS)


class Beside(threading.Thread):
    """`sessctl` in a loop."""

    def __init__(self, options, store, where):
        super().__init__()
        self.options, self.store, self.where, self.done = options, store, where, threading.Event()

    def run(self):
        while not self.done.is_set():
            # A rebuild takes each lock that is free for a moment, also those that the gateway wants.
            for command, fine in (["list"], [0]), (["rebuild-index"], [0]), (["verify"], [0, 4]):
                done = sessctl(self.options, self.store, *command)
                text = (done.stdout + done.stderr).strip()
                check(done.returncode in fine, "%s: %s beside it: %d %s" % (self.where, command, done.returncode, text))
                figures["commands beside"] += 1
            time.sleep(0.02)

    def stop(self):
        self.done.set()
        self.join()


def sessctl(options, store, *command):
    return subprocess.run([options.sessctl, "--store", store, *command], capture_output=True, text=True)


def fold(ledger, known):
    """Takes what one run wrote into what is known. Returns for each key that may have begun a turn in it what was known before
    the last step and which step that was."""
    steps = {}
    text = open(ledger).read() if os.path.exists(ledger) else ""
    for line in text.splitlines(keepends=True):
        if not line.endswith("\n"):
            break
        word, key, _turn = line.split()
        was = known[key]
        if word == "begin":
            # A session that was to be resumed is so whether this turn began or not.
            known[key] = Known(was.offered or None, was.turn or None, was.pending)
        elif word == "began":
            known[key] = Known(True, True, was.pending)
        elif word == "finish":
            known[key] = Known(None, None, False if was.pending is False else None)
        elif word == "finished":
            known[key] = Known()
            figures["turns"] += 1
        elif word == "refused":
            # All is as before the step.
            was, step = steps.pop(key)
            known[key] = was
            if step == "finish":
                steps[key] = was, "began"
            continue
        steps[key] = was, word
    return steps


def fold_drain(gateway, known, steps, kind, where):
    """What a drain does to what the ledger says."""
    if gateway.drained is None:
        # Killed at some moment of it: what may have been running may have been marked.
        for key in steps if kind == "kill in drain" else []:
            if known[key].offered is not False and not known[key].pending:
                known[key].pending = None
        return
    finished, interrupted = set(gateway.drained["finished"]), set(gateway.drained["interrupted"])
    for key in finished:
        figures["finished in a drain"] += 1
        check(known[key].offered is not True, "%s: %s finished in the drain, by the ledger it did not" % (where, key))
        known[key] = Known()
    for key in interrupted:
        figures["interrupted by a drain"] += 1
        now = known[key]
        if steps[key][1] == "begin":
            # The drain knows better: it was running.
            known[key] = Known(True, True, True)
        elif now.offered is not False:
            # Marked while its turn ran; in doubt is only whether it finished since.
            known[key] = Known(now.offered, now.turn, True if now.offered else None)
    for key, (was, step) in steps.items():
        if step == "begin" and key not in finished | interrupted and kind != "drain cut":
            # The drain had time to wait for every turn that was being begun; this one was refused.
            known[key] = was
        elif key not in finished | interrupted and known[key].offered and not known[key].pending:
            figures["begun too late to be marked"] += 1


def compare(offers, known, where):
    """The offers against what is known; they settle what was in doubt."""
    figures["sets compared"] += 1
    for key in sorted(set(known) | set(offers)):
        now, offer = known[key], offers.get(key)
        if now.offered is None:
            figures["in doubt"] += 1
            figures["in doubt, offered"] += offer is not None
        else:
            figures["certainly open" if now.offered else "certainly closed"] += 1
            check(now.offered == (offer is not None), "%s: %s: offered %s, known %s" % (where, key, offer, now.offered))
        if offer is None:
            known[key] = Known()
            continue
        pending, turn, reason = offer["pending"], offer["interrupted"], offer["reason"]
        check(pending or turn, "%s: %s is offered for nothing" % (where, key))
        check(reason == (REASON if pending else None), "%s: %s: reason %s" % (where, key, reason))
        check(now.pending in (None, pending), "%s: %s: pending %s, known %s" % (where, key, pending, now.pending))
        check(now.turn in (None, turn), "%s: %s: interrupted %s, known %s" % (where, key, turn, now.turn))
        figures["offered as pending" if pending else "offered as interrupted"] += 1
        known[key] = Known(True, turn, pending)


def one_round(options, number, store, known):
    kind = random.choice(KINDS)
    where = "round %d (%s)" % (number, kind)
    figures["round: " + kind] += 1
    drain_ms = {"drain cut": random.choice([0, 1, 10, 50, 150])}.get(kind, 60_000)
    ledger = "%s.ledger.%d" % (store, number)
    registry = os.path.join(store, "registry.jsonl")
    beside = Beside(options, store, where) if os.path.exists(store) and random.random() < 0.3 else None
    if beside:
        beside.start()
    gateway = Gateway(options, store, ledger, drain_ms)
    if kind == "kill at start":
        time.sleep(random.random() * 0.05)
        gateway.end(signal.SIGKILL, where)
    else:
        check(gateway.until("ready", where), where + ": it did not start")
        compare(gateway.offers, known, where)
        time.sleep(random.choice([0.02, 0.2, 1.0]) * random.random())
        if random.random() < 0.1 and os.path.exists(registry):
            figures["registry deleted under it"] += 1
            os.remove(registry)
        if kind == "kill":
            gateway.end(signal.SIGKILL, where)
        elif kind == "kill in drain":
            gateway.process.send_signal(signal.SIGTERM)
            gateway.until("draining", where)
            time.sleep(random.choice([0.002, 0.02, 0.2]) * random.random())
            gateway.end(signal.SIGKILL, where)
            figures["kill in drain came after its end"] += gateway.drained is not None
        else:
            status = gateway.end(signal.SIGTERM, where)
            check(status == 0, "%s: exit %d" % (where, status))
            check(gateway.drained is not None, where + ": it did not say what the drain did")
    steps = fold(ledger, known)
    fold_drain(gateway, known, steps, kind, where)
    if kind == "drain":
        # Resumes that nobody had come to are still to be offered; nothing that ran is.
        check(not gateway.drained["interrupted"], where + ": interrupted in spite of the time that there was")
        outlived = [key for key, (_, step) in steps.items() if step != "begin" and known[key].offered is not False]
        check(not outlived, "%s: the drain did not wait for %s" % (where, outlived))
    if beside:
        beside.stop()
    if kind == "kill at start" and not steps:
        # Whatever it came to tell is true.
        for key in gateway.offers:
            check(known[key].offered is not False, "%s: %s is offered" % (where, key))
    if os.path.exists(store) and os.path.exists(os.path.join(store, "transcripts")):
        done = sessctl(options, store, "verify")
        fine = [0] if kind in ("drain", "drain cut") else [0, 4]
        check(done.returncode in fine, "%s: verify: %d %s" % (where, done.returncode, done.stdout + done.stderr))
    if random.random() < 0.25 and os.path.exists(registry):
        figures["registry deleted"] += 1
        os.remove(registry)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--gateway", required=True)
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    options.gateway, options.sessctl = os.path.abspath(options.gateway), os.path.abspath(options.sessctl)
    random.seed(options.seed)
    print("seed %d" % options.seed, flush=True)
    began = time.time()
    number = 0
    while number < options.rounds and len(violations) < 20:
        with tempfile.TemporaryDirectory() as folder:
            store = os.path.join(folder, "store")
            known = collections.defaultdict(Known)
            for _ in range(min(ROUNDS_A_STORE, options.rounds - number)):
                number += 1
                one_round(options, number, store, known)
            # The last: everything that was left open is offered, resumed and finished, and then nothing is.
            gateway = Gateway(options, store, store + ".ledger.last", 60_000)
            gateway.until("ready", "last start")
            compare(gateway.offers, known, "last start")
            left = set(gateway.offers)
            deadline = time.time() + PATIENCE_SECONDS
            while left and time.time() < deadline:
                time.sleep(0.1)
                left -= {line.split()[1] for line in open(store + ".ledger.last") if line.startswith("finished")}
            check(gateway.end(signal.SIGTERM, "last drain") == 0, "last drain: its exit")
            gateway = Gateway(options, store, store + ".ledger.after", 60_000)
            gateway.until("ready", "after it")
            check(not gateway.offers, "after it: offered %s" % sorted(gateway.offers))
            figures["sets compared"] += 1
            gateway.end(signal.SIGTERM, "after it")
            verified = sessctl(options, store, "verify")
            check(verified.returncode == 0, "after it: verify: %s" % verified.stdout)
    for name, count in sorted(figures.items()):
        print("%6d  %s" % (count, name))
    print("%d rounds in %d s, %d violations" % (number, time.time() - began, len(violations)))
    sys.exit(1 if violations else 0)


if __name__ == "__main__":
    main()
