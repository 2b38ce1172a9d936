#!/usr/bin/env python3
"""What only a real kernel can show: limits, full disks, several processes, kills, readers beside writers, sizes (Linux).

Goal: every acknowledged record is there once and in order, every refused one is absent and was reported, `verify` is clean,
and the registry is the one that a rebuild writes. Method: run the real program, keep what it answered to each line (answers
come in the order of the lines), and compare with what `show` finds afterwards.

usage: kernel.py --sessctl PATH [--only NAME] [--quick]
"""

import argparse, collections, concurrent.futures, contextlib, json, os, pathlib, random, re, resource
import shutil, signal, subprocess, sys, tempfile, time

import syscalls

SESSCTL, QUICK, MEMORY_KIB_MAX = "", False, 300 * 1024

def check(condition, text, *values):
    if not condition:
        sys.exit("FAILED: " + text % values)

def command(store, *words):
    return [SESSCTL, "--store", str(store), *map(str, words)]

def run(store, *words, codes=(0,), **options):
    done = subprocess.run(command(store, *words), stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    check(done.returncode in codes, "%s: exit %d: %s%s", words, done.returncode, done.stdout[-500:], done.stderr[-500:])
    return done

def line(key, body):
    return json.dumps({"key": key, "body": body}).encode() + b"\n"

def bodies(store, key):
    return [json.loads(text) for text in run(store, "show", key, codes=(0, 6)).stdout.splitlines()]

def parsed(data):
    """Answers among JSON lines; what a kill cut off is none."""
    return [answer for answer in map(json.loads, data[: data.rfind(b"\n") + 1].splitlines()) if answer["type"] in ("ack", "error")]

class Ledger:
    def __init__(self, store):
        self.store, self.expected, self.counts = store, collections.defaultdict(list), collections.Counter()
    def judge(self, lines, answers):
        """`lines` are (key, body); the nth answer is the nth line's, those without one may be there or not, as a prefix."""
        unanswered = collections.defaultdict(list)
        for at, (key, body) in enumerate(lines):
            kind = answers[at]["type"] if at < len(answers) else "none"
            self.counts[kind] += 1
            if kind == "error":
                check(answers[at]["line"] == at + 1, "line %d: answered as %d", at + 1, answers[at]["line"])
            else:
                (self.expected if kind == "ack" else unanswered)[key].append(body)
        for key in {key for key, _ in lines}:
            got, want = bodies(self.store, key), self.expected[key]
            rest = got[len(want) :]
            check(got[: len(want)] == want, "%s: %d acknowledged, not what is there (%d)", key, len(want), len(got))
            check(rest == unanswered[key][: len(rest)], "%s: a record that was refused or never sent is there", key)
            self.expected[key] = got
    def finish(self, killed=False):
        """No leftovers but those of a kill, `verify` is clean, and the registry is what a rebuild writes."""
        run(self.store, "verify", "--deep")
        left = [str(path) for path in pathlib.Path(self.store).rglob(".*")]
        check(killed or not left, "temp files are left: %s", left)
        registry = pathlib.Path(self.store, "registry.jsonl")
        before = registry.read_bytes()
        registry.unlink()
        run(self.store, "rebuild-index")
        check(registry.read_bytes() == before, "the registry is not what a rebuild writes")

class Feed:
    def __init__(self, store, **options):
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.child = subprocess.Popen(command(store, "--json", "append"), **pipes, **options)
        self.lines, self.answers = [], []
    def send(self, lines):
        """Sends lines at once, waits for all their answers, and returns how many were acknowledged."""
        self.lines += lines
        self.child.stdin.write(b"".join(line(*each) for each in lines))
        self.child.stdin.flush()
        self.answers += [json.loads(self.child.stdout.readline()) for _ in lines]
        return sum(answer["type"] == "ack" for answer in self.answers[-len(lines) :])
    def end(self, code):
        self.child.stdin.close()
        summary = self.child.stdout.read()
        check(self.child.wait() == code, "append: exit %d: %s", self.child.returncode, summary)

def limit(kind, soft, hard):
    """For a child: sets a limit, whose signal is an error instead."""
    return lambda: (signal.signal(signal.SIGXFSZ, signal.SIG_IGN), resource.setrlimit(kind, (soft, hard)))

def file_size_limit(folder):
    """RLIMIT_FSIZE met in the middle of appends, and raised while the process runs."""
    ledger, none = Ledger(folder / "store"), resource.RLIM_INFINITY
    feed = Feed(ledger.store, preexec_fn=limit(resource.RLIMIT_FSIZE, 20000, none))
    number = 0
    for hit, width in enumerate((1, 1, 7, 40), 2):
        acked = width
        while acked == width:
            acked = feed.send([("k%d" % (n % 3), {"n": n, "x": "y" * random.randrange(600)}) for n in range(number, number + width)])
            number += width
        resource.prlimit(feed.child.pid, resource.RLIMIT_FSIZE, (hit * 30011, none))
        check(feed.send([("k0", {"again": number})]) == 1, "refused after the limit was raised")
    feed.end(1)
    ledger.judge(feed.lines, feed.answers)
    ledger.finish()
    run(ledger.store, "append", "born", input=b"1\n", codes=(1,), preexec_fn=limit(resource.RLIMIT_FSIZE, 100, none))
    check(bodies(ledger.store, "born") == [], "a birth that does not fit leaves something behind")
    ledger.finish()
    return "limit met 5 times, %d acknowledged, %d refused" % (ledger.counts["ack"], ledger.counts["error"])

def full_disk(folder):
    """A tmpfs filled to the last byte, single and batched, with several sessions; the last one to the last inode."""
    if os.geteuid() != 0:
        return "skipped: only root can mount"
    figures = []
    for width, sessions, options in ((1, 6, "size=1m"), (25, 6, "size=1m"), (300, 6, "size=2m"), (1, 99, "size=9m,nr_inodes=99")):
        disk = pathlib.Path(tempfile.mkdtemp(dir=folder))
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", disk], check=True)
        try:
            figures.append(fill(disk, width, sessions))
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
    return "; ".join(figures)

def fill(disk, width, sessions):
    ledger, ballast, number = Ledger(disk / "store"), [], 0
    for turn in range(3):
        for n in range(10):
            (disk / ("ballast%d.%d" % (turn, n))).write_bytes(b"b" * 10000)
    for turn in range(3):
        feed, refused = Feed(ledger.store), []
        while len(refused) < 40:
            batch = [("s%d" % (n % sessions), {"n": n, "x": "y" * random.randrange(1200)}) for n in range(number, number + width)]
            number += width
            feed.send(batch)
            refused += [each for each, answer in zip(batch, feed.answers[-width:]) if answer["type"] == "error"]
        if turn == 2:  # This process ends while the disk is full; the next one finds space.
            feed.end(1)
            found = run(ledger.store, "verify", codes=(0, 4)).returncode
        [path.unlink() for path in disk.glob("ballast%d.*" % turn)]
        if turn < 2:
            later = [refused[0], refused[-1], ("s0", "later")]
            check(feed.send(later) == 3, "by %d: refused after space was freed: %s", width, feed.answers[-3:])
            feed.end(1)
        ledger.judge(feed.lines, feed.answers)
    run(ledger.store, "append", "s0", input=b'"last"\n')
    ledger.finish()
    return "by %d: %d acknowledged, %d refused, verify on the full disk %d" % (width, ledger.counts["ack"], ledger.counts["error"], found)

def processes(folder):
    """Two and eight processes, each with a key of its own and two that all of them write to, in different order."""
    figures, rounds, each = [], 3, 60
    for count in (2, 8):
        store, began = folder / ("store%d" % count), time.monotonic()
        def work(me):
            keys, acked = ["own%d" % me] + (["a", "b"] if me % 2 else ["b", "a"]), 0
            for turn in range(rounds):
                data = b"".join(line(keys[n % 3], {"p": me, "n": turn * each + n}) for n in range(each))
                acked += sum(answer["type"] == "ack" for answer in parsed(run(store, "--wait", 120, "--json", "append", input=data).stdout))
            return acked
        with concurrent.futures.ThreadPoolExecutor(count) as pool:
            acked = list(pool.map(work, range(count)))
        check(acked == [rounds * each] * count, "acknowledged: %s", acked)
        there = collections.defaultdict(list)
        for key in ["a", "b"] + ["own%d" % me for me in range(count)]:
            numbers = collections.defaultdict(list)
            [numbers[body["p"]].append(body["n"]) for body in bodies(store, key)]
            for me, mine in numbers.items():
                check(mine == sorted(mine), "%s: process %d is out of order: %s", key, me, mine)
                there[me] += mine
        check(all(sorted(there[me]) == list(range(rounds * each)) for me in range(count)), "lost or doubled")
        Ledger(store).finish()
        figures.append("%d processes: %d records in %.1f s" % (count, sum(acked), time.monotonic() - began))
    return "; ".join(figures)

def killed(ledger, answers, words, lines, seconds):
    """Feeds lines in chunks of any size and kills the process; its answers go to a file, so that none is held up."""
    full, null = command(ledger.store, "--json", "append", *words), subprocess.DEVNULL
    child = subprocess.Popen(full, stdin=subprocess.PIPE, stdout=answers.open("wb"), stderr=null, bufsize=0)
    def feed():
        at = 0
        with contextlib.suppress(BrokenPipeError):
            while at < len(lines):
                step = random.choice((1, 1, 3, 50))
                child.stdin.write(b"".join(line(*each) for each in lines[at : at + step]))
                at += step
    with concurrent.futures.ThreadPoolExecutor(1) as pool, child:
        pool.submit(feed)
        time.sleep(seconds)
        child.kill()
    return parsed(answers.read_bytes())

def kills(folder):
    """kill -9 over sync and buffered appends; the registry vanishes at random."""
    figures, rounds = [], 15 if QUICK else 60
    for words in ((), ("--buffered",)):
        ledger, healed = Ledger(folder / ("store" + "".join(words))), 0
        run(ledger.store, "append", "k0", input=b"0\n")
        ledger.expected["k0"] = [0]
        registry = ledger.store / "registry.jsonl"
        for turn in range(rounds):
            lines = [("k%d" % random.randrange(4), {"t": turn, "n": n, "x": "z" * random.randrange(3000)}) for n in range(3000)]
            answers = killed(ledger, folder / "answers", words, lines, random.random() * 0.15)
            check(all(answer["type"] == "ack" for answer in answers), "refused: %s", answers[-1:])
            healed += run(ledger.store, "verify", codes=(0, 4)).returncode == 4
            ledger.judge(lines, answers)
            if random.random() < 0.5:
                registry.unlink() if registry.exists() else run(ledger.store, "rebuild-index")
        run(ledger.store, "append", input=b"".join(line("k%d" % n, "end") for n in range(4)))
        ledger.finish(killed=True)
        counts = (words or "sync", rounds, ledger.counts["ack"], healed, len(os.listdir(ledger.store / "quarantine")))
        figures.append("%s: %d kills, %d acknowledged and kept, verify 4 %d times, %d tails cut" % counts)
    return "; ".join(figures)

def readers(folder):
    """`tail -f`, `show`, `list` and `verify` beside heavy appends and kills."""
    ledger, seen = Ledger(folder / "store"), folder / "seen"
    run(ledger.store, "append", "k", input=b'"first"\n')
    ledger.expected["k"] = ["first"]
    follow = command(ledger.store, "tail", "-f", "-n", 1000000, "k")
    tail = subprocess.Popen(follow, stdout=seen.open("wb"), stderr=subprocess.PIPE)
    end, turn = time.monotonic() + (5 if QUICK else 20), 0
    def look(words, codes):
        return [run(ledger.store, *words, codes=codes).stdout for _ in iter(lambda: time.monotonic() < end, False)]
    try:
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            looks = [pool.submit(look, *one) for one in ((("show", "k"), (0,)), (("verify",), (0, 4)), (("list",), (0,)))]
            while time.monotonic() < end:
                turn += 1
                lines = [("k", {"t": turn, "n": n, "x": "z" * random.randrange(2000)}) for n in range(400)]
                words = random.choice(((), ("--buffered",)))
                ledger.judge(lines, killed(ledger, folder / "answers", words, lines, random.random() * 0.4))
            looks = [one.result() for one in looks]
        final, patience = run(ledger.store, "show", "k").stdout, time.monotonic() + 5
        while seen.stat().st_size < len(final) and time.monotonic() < patience:
            time.sleep(0.05)
    finally:
        tail.send_signal(signal.SIGTERM)
        said = tail.communicate()[1]
    check(seen.read_bytes() == final and tail.returncode == 0, "tail -f: exit %d, %d bytes of %d, or others: %s", tail.returncode, seen.stat().st_size, len(final), said)
    check(all(final.startswith(one) for one in looks[0]), "show printed what is not there in the end")
    run(ledger.store, "append", "k", input=b'"end"\n')
    ledger.finish(killed=True)
    figures = (turn, final.count(b"\n"), *map(len, looks))
    return "%d writers killed, %d records followed, beside %d show, %d verify, %d list" % figures

def many_sessions(folder):
    """Many more sessions than descriptors."""
    store, count = folder / "store", 2000 if QUICK else 100000
    few, took = limit(resource.RLIMIT_NOFILE, 256, 256), []
    for turn in range(2):
        data, began = b"".join(line("s%d" % n, {"turn": turn, "n": n}) for n in range(count)), time.monotonic()
        done = run(store, "append", input=data, preexec_fn=few, codes=(0, 1))
        acked, errors = done.stdout.count(b"\n"), done.stderr.splitlines()
        check(acked == count, "turn %d: %d of %d acknowledged, then %s", turn, acked, count, errors[:1])
        took.append(time.monotonic() - began)
    listed = run(store, "list", "--limit", 10 * count, preexec_fn=few).stdout.count(b"\n")
    check(listed == count, "%d sessions listed", listed)
    run(store, "verify", preexec_fn=few)
    for n in random.sample(range(count), 20):
        check(bodies(store, "s%d" % n) == [{"turn": turn, "n": n} for turn in range(2)], "s%d is not what was appended", n)
    Ledger(store).finish()
    return "%d sessions with 256 descriptors: born in %.1f s, appended to in %.1f s" % (count, *took)

def read_only(folder):
    """A store on a read-only mount: everything that looks works, everything that writes is refused and says why."""
    if os.geteuid() != 0:
        return "skipped: only root can mount"
    store, seen = folder / "store", folder / "seen"
    run(store, "append", "k", input=b"1\n2\n")
    path = pathlib.Path(run(store, "path", "k").stdout.decode().strip())
    torn = store / "transcripts" / path.name
    torn.write_bytes(torn.read_bytes() + b'{"seq":3,"dur')
    seen.mkdir()
    subprocess.run(["mount", "--bind", store, seen], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", seen], check=True)
        looks = (("list",), ("show", "k"), ("tail", "-n", 1, "k"), ("info", "k"), ("path", "k"), ("rebuild-index", "--dry-run"))
        for words in looks:
            done = run(seen, *words, codes=(0, 4))
            check(done.stdout.strip(), "%s says nothing", words)
        run(seen, "verify", codes=(4,))
        check(bodies(seen, "k") == [1, 2], "not what was appended")
        for words in (("append", "k"), ("append", "new"), ("rebuild-index",)):
            done = run(seen, *words, codes=(1,), input=b"3\n")
            check(b"Read-only file system" in done.stderr and str(seen).encode() in done.stderr, "%s: %s", words, done.stderr)
    finally:
        subprocess.run(["umount", "-l", seen], check=True)
    run(store, "append", "k", input=b"3\n")
    check(bodies(store, "k") == [1, 2, 3], "not what was appended")
    return "%d commands look, 3 are refused" % (len(looks) + 1)

def large(folder):
    """A transcript of 4 GiB (512 MiB with --quick): every command in bounded memory."""
    store, size = folder / "store", (512 if QUICK else 4096) << 20
    count, figures, peaks = size // 8200, [], []
    def measured(name, words, feed=()):
        began = time.monotonic()
        child = subprocess.Popen(command(store, *words), stdin=subprocess.PIPE, stdout=(folder / "out").open("wb"))
        child.stdin.writelines(feed)
        child.stdin.close()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        check(status == 0, "%s: status %d", name, status)
        figures.append("%s %.1f s %d MiB" % (name, time.monotonic() - began, usage.ru_maxrss >> 10))
        peaks.append(usage.ru_maxrss)
        return [json.loads(text)["n"] for text in (folder / "out").open("rb") if text.startswith(b"{")]
    measured("load", ("append", "large"), (b'{"n":%d,"x":"%s"}\n' % (n, b"y" * 8060) for n in range(count)))
    check(measured("tail", ("tail", "-n", 5, "large")) == list(range(count - 5, count)), "tail -n 5 is wrong")
    check(measured("show", ("show", "large", "--from", count - 2)) == list(range(count - 3, count)), "show --from is wrong")
    measured("append", ("append", "large"), [b'{"n":"last"}\n'])
    measured("verify", ("verify",))
    (store / "registry.jsonl").unlink()
    measured("rebuild", ("rebuild-index",))
    check(max(peaks) < MEMORY_KIB_MAX, "too much memory: %s", ", ".join(figures))
    return "%d records, %d MiB: %s" % (count, size >> 20, ", ".join(figures))

def clock(folder):
    """A clock that jumps back and forth."""
    ledger = Ledger(folder / "store")
    if not shutil.which("faketime"):
        return "skipped: faketime is not installed"
    for turn, shift in enumerate(("+0", "-1d", "+1d", "-30d")):
        subprocess.run(["faketime", "-f", shift, *command(ledger.store, "append", "k")], input=b"%d\n" % turn, check=True)
    check(bodies(ledger.store, "k") == [0, 1, 2, 3], "the order is not that of the appends")
    ledger.finish()
    return "3 jumps, order kept"

def order(folder):
    """The order of calls at birth, append, recovery of a torn tail, and repair."""
    if not shutil.which("strace"):
        return "skipped: strace is not installed"
    store = folder.resolve() / "store"
    syscalls.CALLS += ",ftruncate,link,linkat,unlink"
    def steps(text, words, code, *chains):
        """Runs a command under strace; each pattern of a chain is met behind the one before it."""
        wrapped = ["sh", "-c", '"$@"; test $? -eq %d' % code, "sh"] + command(store, *words)
        calls = ["%s %s %s" % (name, path, raw) for name, path, raw, result in syscalls.traced(str(folder), wrapped, text)[1] if result >= 0]
        for chain in chains:
            at = -1
            for pattern in chain:
                at = next((n for n in range(at + 1, len(calls)) if re.search(pattern, calls[n])), None)
                check(at is not None, "%s: no %s behind the step before, in:\n%s", words, pattern, "\n".join(calls))
    data, temp, aside = (r"^p?write\w* \S*/" + place for place in (r"transcripts/[^.]", r"transcripts/\.", r"quarantine/"))
    data_sync, temp_sync, aside_sync = (r"^f(data)?sync \S*/" + place for place in (r"transcripts/[^.]", r"transcripts/\.", r"quarantine/"))
    folder_sync, aside_folder_sync = r"^fsync \S*/transcripts ", r"^fsync \S*/quarantine "
    rename, ack = r"^(rename|link)\w* .*/transcripts/", r'^write .*"k \d+\\n'
    steps('{"n":1}\n', ("append", "k"), 0, (temp, temp_sync, rename, folder_sync, ack))
    steps('{"n":2}\n', ("append", "k"), 0, (data + r'.*\\"n\\":2', r"^fdatasync \S*/transcripts/[^.]", ack))
    path = pathlib.Path(run(store, "path", "k").stdout.decode().strip())
    path.write_bytes(path.read_bytes() + b'{"seq":3,"durable":2,"pre')
    steps('{"n":3}\n', ("append", "k"), 0, (aside, aside_sync, aside_folder_sync, r"^ftruncate", data_sync, folder_sync, data, data_sync, ack))
    path.write_bytes(path.read_bytes().replace(b'{"n":2}', b'{"n":9}', 1))
    steps("", ("repair", "k"), 3, (temp, temp_sync, rename, folder_sync), (aside_sync + r"|^link\w* .*/quarantine/", aside_folder_sync, rename, folder_sync))
    run(store, "verify")
    check(bodies(store, "k") == [{"n": 1}, {"n": 3}], "repair kept the wrong records")
    return "birth, append, recovery and repair keep it"

def deletions(folder):
    """Deleting on disks filled to the last byte: it works, nothing comes back with an older registry, and a restore finds all."""
    if os.geteuid() != 0:
        return "skipped: only root can mount"
    figures = []
    for kind, mebibytes in (("tmpfs", 4), ("ext4", 16), ("xfs", 320), ("btrfs", 128)):
        disk = pathlib.Path(tempfile.mkdtemp(dir=folder))
        if kind == "tmpfs":
            words = ["-t", "tmpfs", "-o", "size=%dm" % mebibytes, "tmpfs"]
        elif shutil.which("mkfs." + kind):
            image = disk.with_suffix(".img")
            with open(image, "wb") as file:
                file.truncate(mebibytes << 20)
            subprocess.run(["mkfs." + kind, "-q", image], stdout=subprocess.DEVNULL, check=True)
            words = ["-o", "loop", image]
        else:
            continue
        subprocess.run(["mount", *words, disk], check=True)
        try:
            print(kind, end=" ", flush=True)
            figures.append(delete_some(disk))
        finally:
            subprocess.run(["umount", "-l", disk], check=True)
    return "; ".join(figures)

def delete_some(disk):
    store = disk / "store"
    for key in ("a", "b", "c", "d"):
        run(store, "append", key, input=b'"x"\n' * 20)
    whole = {key: bodies(store, key) for key in ("a", "b", "c", "d")}
    older = (store / "registry.jsonl").read_bytes()
    for size in (1 << 20, 4096, 1):
        with contextlib.suppress(OSError), open(disk / ("ballast%d" % size), "wb", buffering=0) as file:
            while True:
                file.write(b"b" * size)
    noted = []
    for words in (("a",), ("b", "--purge"), ("c",)):
        done = run(store, "--json", "delete", *words)
        noted += [line["noted"] for line in map(json.loads, done.stdout.splitlines()) if "noted" in line]
        check(run(store, "show", words[0], codes=(6,)).stdout == b"", "%s is still there", words)
    run(store, "verify", codes=(0, 4))
    for path in disk.glob("ballast*"):
        path.unlink()
    # What another process, or a backup, may still know.
    (store / "registry.jsonl").write_bytes(older)
    run(store, "verify")
    run(store, "rebuild-index")
    check(b'"a"' not in run(store, "--json", "list").stdout, "a deleted session is listed")
    for key in ("a", "c"):
        run(store, "trash", "restore", key)
        check(bodies(store, key) == whole[key], "%s came back as something else", key)
    check(bodies(store, "d") == whole["d"], "a session that nobody deleted changed")
    run(store, "append", "b", input=b'"anew"\n')
    check(bodies(store, "b") == ["anew"], "a purged session is not begun anew")
    run(store, "verify")
    return "3 deletions, %d of them noted" % sum(noted)

CASES = (file_size_limit, full_disk, deletions, processes, kills, readers, many_sessions, read_only, large, clock, order)

def main():
    global SESSCTL, QUICK
    parser = argparse.ArgumentParser()
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--only", choices=[case.__name__ for case in CASES])
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    SESSCTL, QUICK = os.path.abspath(options.sessctl), options.quick
    random.seed(1)
    if not options.only:
        # Each in a process of its own: what a child is said to have used begins with what its parent had.
        for case in CASES:
            words = ["--quick"] * options.quick + ["--only", case.__name__]
            subprocess.run([sys.executable, __file__, "--sessctl", SESSCTL, *words], check=True)
    for case in CASES:
        if options.only == case.__name__:
            print(case.__name__, end=": ", flush=True)
            with tempfile.TemporaryDirectory() as folder:
                print(case(pathlib.Path(folder)), flush=True)

if __name__ == "__main__":
    main()
