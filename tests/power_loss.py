#!/usr/bin/env python3
"""Cuts the power under `sessctl`, on real file systems, and checks that what was acknowledged is there.

    sudo python3 tests/power_loss.py --sessctl target/release/sessctl [--fs ext4,xfs,btrfs] [--points 60]
                                     [--seconds 10] [--seed N] [--keep FOLDER]

NEEDS ROOT (it mounts), Linux with FUSE and loop devices, and mkfs.ext4 / mkfs.xfs / mkfs.btrfs for the file systems
asked for. Python's standard library is enough. Work files go to $TMPDIR; TMPDIR=/dev/shm is faster and spares the disk
(some 100 MiB a file system). Mounts are made in a mount namespace of its own. Exit: 0 no violation, 1 violations, 2 could not run.

For each file system:
1. A loop device on a FUSE disk (power_loss/logdisk.py) that logs every write and flush in order. mkfs, mount.
2. Several `sessctl append` at once: one session with many small commits, batches, many sessions through one process,
   new sessions all the time, some processes killed, and somebody else's fsyncs in between. A ledger in memory keeps
   each record submitted, and the position of the disk's log when it was written and when its acknowledgement was read.
3. For each of --points crash points: the disk as the power cut leaves it, that is all writes up to the last flush
   before the point, and of the writes after it none, all, the first few (the last one torn), a random choice of them,
   or a random choice of their sectors. The file system replays its own journal; then `verify` must find no damage,
   `rebuild-index` and `verify` must end with 0, and each session, read both from its file and with `show`, must hold
   every record acknowledged before the point, byte for byte and in order, nothing that was not submitted, without
   holes in `seq`; and take one more record.

A quarter each of the points: when a session's first record was acknowledged, when any record was, just before a flush
(most is still in the disk's cache), anywhere. The seed fixes the records and the choices, not the timing of processes.

Half of the torn images tear at 4096 bytes, half at 512. File systems rely on more than 512 bytes being written whole for
some of their own blocks; where one will not mount or gives I/O errors after a 512-byte tear, the same point is taken again with
4096, and counted as such. An image that does not mount then either is counted too: it says nothing about sesslog.
"""

import argparse
import bisect
import contextlib
import ctypes
import glob
import hashlib
import json
import mmap
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "power_loss"))
sys.dont_write_bytecode = True
import logdisk  # noqa: E402

SIZE = 512 << 20  # of the disk; sparse
FILE_SYSTEMS = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"],
    "xfs": ["mkfs.xfs", "-q", "-f", "-K"],
    "btrfs": ["mkfs.btrfs", "-q", "-f", "-K"],
}
STALL = 60  # seconds without an answer after which a process counts as hung
SHOWN = 20  # sessions read through `show` at a point, besides the check of every file
libc = ctypes.CDLL(None, use_errno=True)


class CannotRun(Exception):
    pass


def tool(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise CannotRun(f"{' '.join(command)}: {done.stdout.strip()}")
    return done.stdout.strip()


@contextlib.contextmanager
def mounted(kind, source, folder, *options):
    """Mounts; on the way out unmounts, and waits for whoever is still leaving."""
    os.makedirs(folder, exist_ok=True)
    tool("mount", "-t", kind, *options, source, folder)
    try:
        yield folder
    finally:
        for attempt in range(50):
            if subprocess.run(["umount", folder], stderr=subprocess.DEVNULL).returncode == 0:
                break
            time.sleep(0.1)
        else:
            tool("umount", "--lazy", folder)


@contextlib.contextmanager
def logged_device(folder, size):
    """A loop device whose writes and flushes are logged in `folder`."""
    disk = os.path.join(folder, "disk")
    open(disk, "w").close()
    daemon = subprocess.Popen(
        [sys.executable, logdisk.__file__, disk, folder, str(size)], stdout=subprocess.PIPE, text=True)
    try:
        if daemon.stdout.readline() != "ready\n":
            raise CannotRun("the FUSE disk did not start")
        device = tool("losetup", "--find", "--show", "--direct-io=on", "--sector-size", "512", disk)
        try:
            cache = f"/sys/block/{os.path.basename(device)}/queue/write_cache"
            with open(cache) as f:
                if f.read().strip() != "write back":
                    raise CannotRun("the loop device passes no flushes on")
            yield device
        finally:
            tool("losetup", "--detach", device)
            for _ in range(250):  # the last holder detaches it
                if not os.path.exists(f"/sys/block/{os.path.basename(device)}/loop/backing_file"):
                    break
                time.sleep(0.02)
    finally:
        subprocess.run(["umount", "--lazy", disk], stderr=subprocess.DEVNULL)
        try:
            daemon.wait(10)
        except subprocess.TimeoutExpired:
            daemon.kill()


class Log:
    """What logdisk wrote down."""

    def __init__(self, folder):
        self.folder = folder
        self.index = os.open(os.path.join(folder, "index"), os.O_RDONLY)

    def position(self):
        return os.fstat(self.index).st_size // logdisk.ENTRY.size

    def load(self):
        raw = os.pread(self.index, os.fstat(self.index).st_size, 0)
        self.entries = list(logdisk.ENTRY.iter_unpack(raw))
        self.flushes = [i for i, entry in enumerate(self.entries) if entry[0] == logdisk.FLUSH]
        with open(os.path.join(self.folder, "data"), "rb") as f:
            self.data = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ)

    def last_flush(self, point):
        """The number of entries that a flush before `point` made durable."""
        i = bisect.bisect_left(self.flushes, point)
        return self.flushes[i - 1] if i else 0

    def writes(self, start, end):
        """(offset, payload) of the writes among these entries."""
        for op, length, offset, at in self.entries[start:end]:
            if op == logdisk.WRITE:
                yield offset, self.data[at:at + length]


def survivors(writes, mode, grain, rng):
    """What a disk that lost its cache still has of these writes: (offset, payload)."""
    if mode == "all":
        yield from writes
    elif mode == "prefix":
        whole = rng.randrange(len(writes))
        yield from writes[:whole]
        offset, payload = writes[whole]
        yield offset, payload[:rng.randrange(0, len(payload) + grain, grain)]
    elif mode in ("writes", "sectors"):
        keep = rng.choice((0.1, 0.5, 0.9))
        for offset, payload in writes:
            step = grain if mode == "sectors" else len(payload)
            for at in range(0, len(payload), step):
                if rng.random() < keep:
                    yield offset + at, payload[at:at + step]


# ---------------------------------------------------------------------------------------------------------- workload


class Submission:
    __slots__ = ("key", "run", "body", "submitted", "seq", "acked")

    def __init__(self, key, run, body, submitted):
        self.key, self.run, self.body, self.submitted = key, run, body, submitted
        self.seq = self.acked = None  # seq of the record; position of the log when its acknowledgement was read


class Ledger:
    """Outside the file system under test: what was submitted, and what was acknowledged when."""

    def __init__(self):
        self.lock = threading.Lock()
        self.keys = {}  # key -> [Submission], in order
        self.problems = []
        self.stop = threading.Event()  # ends the workload
        self.runs = self.killed = 0

    def problem(self, text):
        with self.lock:
            self.problems.append(text)
            if len(self.problems) >= 20:
                self.stop.set()

    def acks(self):
        return [s for subs in self.keys.values() for s in subs if s.acked is not None]


def make_body(rng, number):
    """A JSON value whose spelling shows whether it came back byte for byte."""
    size = int(rng.choices((40, 300, 4000, 20000, 400000), (40, 30, 20, 9.5, 0.5))[0] * rng.uniform(0.2, 1))
    words = ("lorem", "é", "\\u00e9", "\\/", "🦀", "\\n", "\\\"", "0", "{}", "\\ud800", "日本", "crc", "seq")
    text = " ".join(rng.choices(words, k=size // 6 + 1))
    spelling = rng.choice(('{{"n":{0},"content":"{1}","role":"user"}}', '{{ "role" : "tool","v":1.50E+3, "n":{0} ,"content":"{1}" }}',
                           '["{1}",{0},-0.0,{{"a":1,"a":2}}]'))
    return spelling.format(number, text)


class Run:
    """One `sessctl append` process."""

    def __init__(self, world, command, keys):
        self.world, self.keys, self.single = world, keys, len(command) > 1
        self.pending = {key: [] for key in keys}  # submitted, not acknowledged
        self.stderr = tempfile.TemporaryFile()
        self.process = subprocess.Popen([world.sessctl, "--store", world.store, "--json", *command],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, bufsize=0)
        self.buffer, self.ended, self.killed = b"", False, False
        with world.ledger.lock:
            world.ledger.runs += 1
            self.number = world.ledger.runs

    def waiting(self):
        return sum(map(len, self.pending.values()))

    def submit(self, records):
        lines = []
        for key, body in records:
            submission = Submission(key, self.number, body, self.world.log.position())
            with self.world.ledger.lock:
                self.world.ledger.keys.setdefault(key, []).append(submission)
            self.pending[key].append(submission)
            lines.append(body if self.single else f'{{"key":{json.dumps(key)},"body":{body}}}')
        try:
            logdisk.write_all(self.process.stdin.fileno(), ("\n".join(lines) + "\n").encode())
        except BrokenPipeError:
            self.ended = True

    def read_acks(self, until):
        """Reads acknowledgements until no more than `until` are awaited, or the process has ended."""
        fd = self.process.stdout.fileno()
        while self.waiting() > until and not self.ended or until < 0:
            if not select.select([fd], [], [], STALL)[0]:
                self.world.ledger.problem(f"no answer from {self.process.args} for {STALL} s")
                self.process.kill()
                self.killed = True
            chunk = os.read(fd, 1 << 16)
            position = self.world.log.position()
            if not chunk:
                self.ended = True
                return
            *lines, self.buffer = (self.buffer + chunk).split(b"\n")
            for line in lines:
                self.take(line, position)

    def take(self, line, position):
        try:
            ack = json.loads(line)
        except ValueError:
            ack = {"type": "no JSON"}
        if ack.get("type") == "summary":
            return
        queue = self.pending.get(ack.get("key"))
        if ack.get("type") != "ack" or ack.get("durable") is not True or not queue:
            self.world.ledger.problem(f"unexpected line from append: {line[:200]!r}")
            return
        submission = queue.pop(0)
        submission.seq, submission.acked = ack["seq"], position

    def kill(self):
        self.process.kill()
        self.killed = True
        with self.world.ledger.lock:
            self.world.ledger.killed += 1

    def finish(self):
        self.process.stdin.close()
        self.read_acks(-1)
        code = self.process.wait()
        self.process.stdout.close()
        if not self.killed and (code != 0 or self.waiting()):
            self.stderr.seek(0)
            talk = self.stderr.read()[-300:].decode(errors="replace")
            self.world.ledger.problem(f"append ended with {code}, {self.waiting()} not acknowledged: {talk}")
        self.stderr.close()


class World:
    """The mounted file system under test while the workload runs."""

    def __init__(self, sessctl, mount, log, seed):
        self.sessctl, self.mount, self.log, self.seed = sessctl, mount, log, seed
        self.store = os.path.join(mount, "store")
        self.ledger = Ledger()
        self.stop = self.ledger.stop
        self.numbers = iter(range(10**9))

    def converse(self, rng, keys, batches, size, pause, kill):
        """One process, `batches` times up to `size` records; perhaps killed at the end."""
        run = Run(self, ["append"] if len(keys) > 1 else ["append", keys[0]], keys)
        ahead = rng.choice((0, 0, size))  # sometimes the next batch is sent before the last one is acknowledged
        for batch in range(batches):
            if self.stop.is_set() or run.ended:
                break
            run.submit([(rng.choice(keys), make_body(rng, next(self.numbers))) for _ in range(rng.randint(1, size))])
            if not kill or batch + 1 < batches:
                run.read_acks(ahead)
            time.sleep(rng.uniform(0, pause))
        if kill:
            time.sleep(rng.choice((0, 0.001, 0.004, 0.02)) * rng.random())
            run.kill()
        run.finish()

    def hot(self, rng):  # one session, single records as fast as it goes
        while not self.stop.is_set():
            self.converse(rng, ["telegram:8281248569"], rng.randint(100, 600), 1, 0, rng.random() < 0.5)

    def batch(self, rng):  # long sessions, many records a commit
        keys = ["discord:général/#17", "Slack:T024/C9 thread", "k" * 300]
        while not self.stop.is_set():
            self.converse(rng, [rng.choice(keys)], rng.randint(1, 12), 40, 0.02, rng.random() < 0.4)

    def many(self, rng):  # many sessions through one process
        keys = [f"many:{i}" for i in range(6)]
        while not self.stop.is_set():
            self.converse(rng, keys, rng.randint(1, 20), 12, 0.01, rng.random() < 0.3)

    def births(self, rng):  # new sessions, short ones
        for i in range(10**9):
            if self.stop.is_set():
                return
            self.converse(rng, [f"new:{i}"], rng.choice((1, 1, 2)), rng.choice((1, 1, 5)), 0.002, rng.random() < 0.15)
            time.sleep(rng.uniform(0, 0.15))

    def noise(self, rng):  # somebody else's fsyncs carry half of ours to the disk
        fd = os.open(os.path.join(self.mount, "noise"), os.O_RDWR | os.O_CREAT, 0o600)
        while not self.stop.is_set():
            time.sleep(rng.uniform(0, 0.15))
            room = os.statvfs(self.mount)
            if room.f_bavail < room.f_blocks // 4:  # a full disk is another test
                self.stop.set()
            os.pwrite(fd, rng.randbytes(5000), rng.randrange(1 << 20))
            if rng.random() < 0.5:
                os.fsync(fd)
            else:
                libc.syncfs(fd)
        os.close(fd)

    def work(self, seconds):
        def guarded(role):
            try:
                role(random.Random(f"{self.seed}/{role.__name__}"))
            except Exception as e:
                self.ledger.problem(f"{role.__name__}: {e!r}")
                self.stop.set()

        roles = (self.hot, self.batch, self.many, self.births, self.noise)
        threads = [threading.Thread(target=guarded, args=(role,)) for role in roles]
        try:
            for thread in threads:
                thread.start()
            self.stop.wait(seconds)
        finally:
            self.stop.set()
            for thread in threads:
                thread.join()
        for key, subs in self.ledger.keys.items():
            seqs = [s.seq for s in subs if s.seq is not None]
            if seqs != sorted(set(seqs)):
                self.ledger.problem(f"{key}: acknowledged seqs do not grow: {seqs[:20]}")


# ------------------------------------------------------------------------------------------------------------- check

FRAME = re.compile(rb'\{"seq":(\d+),"durable":(\d+),"prev":"([0-9a-f]{8})","ts":"[^"]{24}","kind":"([a-z0-9._-]+)"'
                   rb'(?:,"id":"(?:[^"\\]|\\.)*")?,"body":(.*),"crc":"([0-9a-f]{8})"\}', re.DOTALL)


def read_transcript(raw):
    """Reads a transcript on its own account: [(seq, body)] of the caller's records, and what is wrong with it."""
    records, wrong, header_crc, prev, seq = [], [], 0, 0, 0
    lines = raw.rstrip(b"\t\0").split(b"\n")
    if lines.pop() != b"":
        wrong.append("bytes behind the last newline")
    for line in lines:
        match = FRAME.fullmatch(line)
        if not match:
            wrong.append(f"seq {seq}: not a record: {line[:80]!r}")
            break
        number, durable, link, crc = int(match[1]), int(match[2]), int(match[3], 16), int(match[6], 16)
        if number != seq or (durable >= seq and seq > 0):
            wrong.append(f"seq {number}, durable {durable} where {seq} is due")
        if zlib.crc32(line[:-18], header_crc) != crc:
            wrong.append(f"seq {seq}: checksum")
        if link != prev:
            wrong.append(f"seq {seq}: link")
        if seq == 0:
            header_crc = crc
        if match[4] not in (b"header", b"mark"):
            records.append((seq, match[5].decode()))
        prev, seq = crc, number + 1
    return records, wrong


class Check:
    """What `sessctl` makes of the store after a crash at `point` of the log."""

    def __init__(self, sessctl, store, ledger, point, rng):
        self.sessctl, self.store, self.ledger, self.point, self.rng = sessctl, store, ledger, point, rng
        self.violations, self.acked, self.beyond, self.cut, self.io_error = [], 0, 0, 0, False

    def run(self, *command, stdin=b""):
        done = subprocess.run([self.sessctl, "--store", self.store, *command], input=stdin,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=STALL)
        if re.search(rb"Input/output error|Structure needs cleaning|os error (5|117)\b", done.stderr):
            self.io_error = True
        return done

    def bad(self, text, done=None):
        if done is not None:
            talk = (done.stderr + done.stdout)[-600:].decode(errors="replace").strip()
            text += f" (exit {done.returncode}): {talk}"
        self.violations.append(text)

    def expect(self, codes, command, when="after the crash"):
        done = self.run(command)
        if done.returncode not in codes:
            self.bad(f"{command} {when}", done)

    def quarantined(self):
        with contextlib.suppress(FileNotFoundError):
            return len(os.listdir(os.path.join(self.store, "quarantine")))
        return 0

    def all(self):
        try:
            self.check_store()
        except OSError as e:
            self.io_error = True
            self.bad(f"the file system says {e}")
        except subprocess.TimeoutExpired as e:
            self.bad(f"hung: {e.cmd}")

    def check_store(self):
        nothing_due = not any(s.acked <= self.point for s in self.ledger.acks())
        if not os.path.isdir(os.path.join(self.store, "transcripts")) and nothing_due:
            return
        maybe = (6,) if nothing_due else ()
        before = self.quarantined()
        self.expect((0, 4, *maybe), "verify")
        self.expect((0, *maybe), "rebuild-index")
        self.expect((0, *maybe), "verify", "after rebuild-index")
        self.cut = self.quarantined() - before
        keys = [key for key, subs in self.ledger.keys.items() if subs[0].submitted <= self.point]
        shown = set(self.rng.sample(keys, min(SHOWN, len(keys))))
        known = {"~store"}
        for key in keys:
            known.add(self.check_session(key, key in shown))
        for path in glob.glob(os.path.join(glob.escape(self.store), "transcripts", "*.jsonl")):
            digest = os.path.basename(path).rpartition("~")[2].split(".")[0]
            if digest not in known and digest != file_hash("~store"):
                self.bad(f"a transcript nobody asked for: {os.path.basename(path)}")
        for key in (self.rng.choice(keys) if keys else "another:1", "after the crash"):
            self.check_append(key)
        self.expect((0,), "verify", "after one more append")

    def check_session(self, key, show):
        due = [s for s in self.ledger.keys[key] if s.submitted <= self.point]
        digest = file_hash(key)
        paths = glob.glob(os.path.join(glob.escape(self.store), "transcripts", f"*~{digest}.*.jsonl"))
        records = []
        if len(paths) > 1:
            self.bad(f"{key}: {len(paths)} generations")
        elif paths:
            with open(paths[0], "rb") as f:
                records, wrong = read_transcript(f.read())
            for text in wrong:
                self.bad(f"{key}: {text}")
        self.compare(key, due, records)
        if show:
            done = self.run("show", key)
            if done.returncode != (0 if paths else 6):
                self.bad(f"show {key}", done)
            if done.stdout != "".join(body + "\n" for _, body in records).encode():
                self.bad(f"{key}: `show` differs from the transcript")
        return digest

    def compare(self, key, due, records):
        """`records` [(seq, body)] against what was submitted before the crash."""
        place = {s.body: i for i, s in enumerate(due)}
        found, last = set(), -1
        for seq, body in records:
            i = place.get(body)
            if i is None:
                self.bad(f"{key}: seq {seq} was never submitted: {body[:60]!r}")
                continue
            if i <= last:
                self.bad(f"{key}: seq {seq} out of order or twice")
            elif i != last + 1 and due[i].run == due[i - 1].run:
                self.bad(f"{key}: seq {seq} is there but not the one submitted before it")
            if due[i].seq not in (None, seq):
                self.bad(f"{key}: seq {seq} was acknowledged as {due[i].seq}")
            found.add(i)
            last = max(last, i)
        for i, s in enumerate(due):
            if s.acked is not None and s.acked <= self.point:
                self.acked += 1
                if i not in found:
                    self.bad(f"{key}: LOST seq {s.seq}, acknowledged at {s.acked}")
            elif i in found:
                self.beyond += 1

    def check_append(self, key):
        body = f'{{"after":{self.rng.getrandbits(50)}}}'
        done = self.run("append", key, stdin=body.encode() + b"\n")
        shown = self.run("show", key)
        if done.returncode != 0 or len(done.stdout.splitlines()) != 1:
            self.bad(f"append {key} after the crash", done)
        elif not (b"\n" + shown.stdout).endswith(f"\n{body}\n".encode()):
            self.bad(f"{key}: a record appended after the crash is not the last one shown", shown)


def file_hash(key):
    return hashlib.sha256(key.encode()).hexdigest()[:32]


# ------------------------------------------------------------------------------------------------------------ points


def choose_points(rng, count, ledger, log, start, end):
    acks = ledger.acks()
    births = [next(s.acked for s in subs if s.acked is not None)
              for subs in ledger.keys.values() if any(s.acked is not None for s in subs)]
    kinds = {"birth": births, "ack": [s.acked for s in acks],
             "flush": [i for i in log.flushes if start <= i < end], "any": range(start, end)}
    names = [name for name in kinds if kinds[name]]
    return sorted((min(rng.choice(kinds[names[i % len(names)]]), end), names[i % len(names)]) for i in range(count))


class Count(dict):
    def __missing__(self, key):
        return 0


def test_file_system(fs, options, folder):
    with logged_device(folder, SIZE) as device:
        tool(*FILE_SYSTEMS[fs], device)
        log = Log(folder)
        with mounted(fs, device, os.path.join(folder, "live")) as live:
            os.sync()
            start = log.position()
            world = World(options.sessctl, live, log, f"{options.seed}/{fs}")
            world.work(options.seconds)
            end = log.position()
    log.load()
    ledger, count = world.ledger, Count()
    for text in ledger.problems:
        print(f"{fs}: VIOLATION in the workload: {text}")
    count["violations"] = len(ledger.problems)
    acks = ledger.acks()
    print(f"{fs}: {ledger.runs} processes ({ledger.killed} killed), {len(ledger.keys)} sessions, {len(acks)} records acknowledged, "
          f"{end - start} log entries ({sum(start <= i < end for i in log.flushes)} flushes)", flush=True)
    if not acks:
        print(f"{fs}: VIOLATION in the workload: no record was acknowledged")
        return count["violations"] + 1

    rng = random.Random(f"{options.seed}/{fs}/points")
    base, done_to = os.path.join(folder, "base"), 0
    with open(base, "wb", buffering=0) as f:
        f.truncate(SIZE)
        for number, (point, kind) in enumerate(choose_points(rng, options.points, ledger, log, start, end)):
            flushed = log.last_flush(point)
            for offset, payload in log.writes(done_to, flushed):
                os.pwrite(f.fileno(), payload, offset)
            done_to = flushed
            volatile = list(log.writes(flushed, point))
            mode = rng.choice(("none", "all", "prefix", "writes", "sectors")) if volatile else "none"
            grain = rng.choice((512, 4096))
            check = crash(fs, options, folder, base, ledger, point, volatile, mode, grain, rng.getrandbits(64), count)
            count["points"] += 1
            count["with unflushed writes"] += bool(volatile)
            if check is None:
                continue
            count["acked"] += check.acked
            count["beyond"] += check.beyond
            count["cut"] += check.cut
            count["violations"] += len(check.violations)
            for text in check.violations[:5]:
                print(f"{fs}: VIOLATION at point {number} ({kind}, log {point}, flushed {flushed}, {mode}, {grain}): {text}")
            if len(check.violations) > 5:
                print(f"{fs}: ... and {len(check.violations) - 5} more at this point")
            if check.violations and options.keep:
                name = os.path.join(options.keep, f"{fs}-{options.seed}-{number}.img")
                make_image(base, name, volatile, mode, check.grain, check.seed)
                print(f"{fs}: kept {name}")
            sys.stdout.flush()
    print(f"{fs}: {count['points']} crash points ({count['with unflushed writes']} with unflushed writes), "
          f"{count['acked']} acknowledged records checked, {count['beyond']} found that were not acknowledged yet, "
          f"{count['cut']} torn tails cut, {count['retried']} taken again without 512-byte tears, {count['unmountable']} not mountable, "
          f"{count['violations']} violations", flush=True)
    return count["violations"]


def make_image(base, image, volatile, mode, grain, seed):
    tool("cp", "--sparse=always", base, image)
    with open(image, "r+b", buffering=0) as f:
        for offset, payload in survivors(volatile, mode, grain, random.Random(seed)):
            os.pwrite(f.fileno(), payload, offset)


def crash(fs, options, folder, base, ledger, point, volatile, mode, grain, seed, count):
    """Mounts what the crash left and checks it. None: the file system itself did not survive."""
    image = os.path.join(folder, "crash")
    make_image(base, image, volatile, mode, grain, seed)
    check = None
    try:
        with mounted(fs, image, os.path.join(folder, "after"), "-o", "loop") as after:
            check = Check(options.sessctl, os.path.join(after, "store"), ledger, point, random.Random(seed))
            check.grain, check.seed = grain, seed
            check.all()
    except CannotRun as e:
        if check is not None:
            raise
        print(f"{fs}: log {point}, {mode}, {grain}: {e}")
    if (check is None or check.io_error) and mode in ("prefix", "sectors") and grain == 512:
        count["retried"] += 1
        return crash(fs, options, folder, base, ledger, point, volatile, mode, 4096, seed, count)
    count["unmountable"] += check is None
    return check


def prepare(options):
    if not sys.platform.startswith("linux"):
        raise CannotRun("needs Linux")
    if os.geteuid() != 0:
        raise CannotRun("needs root: it makes file systems, loop devices and mounts")
    for device in ("/dev/fuse", "/dev/loop-control"):
        if not os.path.exists(device):
            raise CannotRun(f"needs {device}")
    for name in ("losetup", "mount", "umount", *(FILE_SYSTEMS[fs][0] for fs in options.fs)):
        if not shutil.which(name):
            raise CannotRun(f"needs {name} in PATH")
    options.sessctl = os.path.abspath(options.sessctl)
    if not os.access(options.sessctl, os.X_OK):
        raise CannotRun(f"{options.sessctl} is not a program")
    if options.keep:
        options.keep = os.path.abspath(options.keep)
        os.makedirs(options.keep, exist_ok=True)
    if libc.unshare(0x20000) != 0:  # CLONE_NEWNS: our mounts end with us
        raise CannotRun(f"unshare: {os.strerror(ctypes.get_errno())}")
    tool("mount", "--make-rprivate", "/")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="Needs root; see the head of this file.")
    parser.add_argument("--sessctl", required=True, metavar="PATH", help="the program under test")
    parser.add_argument("--fs", default=list(FILE_SYSTEMS), type=lambda s: s.split(","), metavar="A,B", help="default: ext4,xfs,btrfs")
    parser.add_argument("--points", type=int, default=60, help="crash points a file system (60)")
    parser.add_argument("--seconds", type=float, default=10, help="length of the workload (10); it ends earlier when the disk is three quarters full")
    parser.add_argument("--seed", type=int, default=None, help="default: a random one, printed")
    parser.add_argument("--keep", metavar="FOLDER", help="keep the crash images of violations there")
    options = parser.parse_args()
    for fs in options.fs:
        if fs not in FILE_SYSTEMS:
            parser.error(f"--fs {fs}: one of {', '.join(FILE_SYSTEMS)}")
    if options.seed is None:
        options.seed = random.SystemRandom().randrange(10**6)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.setswitchinterval(0.0005)  # an acknowledgement's position is read soon after the acknowledgement
    try:
        prepare(options)
        print(f"seed {options.seed}", flush=True)
        violations = 0
        for fs in options.fs:
            with tempfile.TemporaryDirectory(prefix="power-loss-") as folder:
                violations += test_file_system(fs, options, folder)
    except CannotRun as e:
        print(f"power_loss: can not run: {e}", file=sys.stderr)
        return 2
    print(f"{violations} violations")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
