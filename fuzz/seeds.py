#!/usr/bin/env python3
"""Makes seeds for the fuzz targets from the fixtures: python3 fuzz/seeds.py FOLDER writes FOLDER/<target>/<name>.

The targets bring their own header, so the lines of a fixture are sealed again for it: a sound line stays sound, a link to a
line that is there stays a link, and what was bad stays bad. Merge the seeds into the corpus that is kept with
`fuzz/run --merge FOLDER`, which keeps only what reaches something new.
"""

import hashlib
import json
import pathlib
import sys
import zlib

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "v1"
BYTES_MAX = 4000
TAIL = 18


def seal(covered, seed):
    return b'%s,"crc":"%08x"}' % (covered, zlib.crc32(covered, seed))


def header():
    body = b'{"format":1,"key":"fuzz:1","generation":1,"id":"3f9c0a6e5b1d47f2880d6c4e91a7b253","parent":null}'
    ts = b"2026-11-22T08:15:00.000Z"
    covered = b'{"seq":0,"durable":0,"prev":"00000000","ts":"%s","kind":"header","body":%s' % (ts, body)
    return zlib.crc32(covered)


def reseal(data, new_seed):
    """The lines behind the header, for another header."""
    lines = data.split(b"\n")
    old_seed = zlib.crc32(lines[0][:-TAIL])
    links = {b"%08x" % old_seed: b"%08x" % new_seed}
    out = []
    for line in lines[1:]:
        covered, tail = line[:-TAIL], line[-TAIL:]
        sound = tail == b',"crc":"%08x"}' % zlib.crc32(covered, old_seed)
        for old, new in links.items():
            covered = covered.replace(b'"prev":"%s"' % old, b'"prev":"%s"' % new, 1)
        if sound:
            links[tail[8:16]] = b"%08x" % zlib.crc32(covered, new_seed)
            tail = seal(covered, new_seed)[-TAIL:]
        out.append(covered + tail)
    return b"\n".join(out)


def frame(seed, seq, durable, prev, kind, body):
    ts = "2026-11-22T08:15:%02d.%03dZ" % (seq % 60, seq % 1000)
    text = '{"seq":%d,"durable":%d,"prev":"%s","ts":"%s","kind":"%s","body":%s' % (seq, durable, prev, ts, kind, body)
    return seal(text.encode(), seed)


def golden(keys, records=4):
    """The registry of the sessions that the target `registry` makes."""
    out = b""
    for number, key in enumerate(keys):
        about = '"key":"%s","generation":1,"id":"3f9c0a6e5b1d47f2880d6c4e91a7b253","parent":null' % key
        lines = [frame(0, 0, 0, "00000000", "header", '{"format":1,%s}' % about)]
        seed = int(lines[0][-10:-2], 16)
        for seq in range(1, records + 1):
            kind, body = ("mark", '{"mark":"title","title":"t"}') if seq == records else ("message", "1")
            lines.append(frame(seed, seq, seq - 1, lines[-1][-10:-2].decode(), kind, body))
        body = '{%s,"created":"2026-11-22T08:15:00.000Z","updated":"2026-11-22T08:15:%02d.%03dZ","records":%d,"title":"t"' % (
            about, records - 1, records - 1, records - 1)
        body += ',"state":"open","length_bytes":%d,"last_seq":%d,"last_crc":"%s","durable_seq":%d}' % (
            sum(len(line) + 1 for line in lines), records, lines[-1][-10:-2].decode(), records)
        ts = "2026-11-22T08:15:%02d.%03dZ" % (records, records)
        text = '{"seq":%d,"durable":0,"prev":"00000000","ts":"%s","kind":"session","body":%s' % (number, ts, body)
        out += seal(text.encode(), 0) + b"\n"
    return out


def rows():
    """Registries of fixtures: of other sessions, which are not there."""
    for path in sorted(FIXTURES.glob("*/registry.jsonl")):
        yield path.parent.name, path.read_bytes()


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    target = pathlib.Path(sys.argv[1])
    seed = header()

    def put(kind, name, data):
        folder = target / kind
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)

    for path in sorted(FIXTURES.glob("*/transcripts/*.jsonl")):
        data, name = path.read_bytes(), path.parent.parent.name + "." + hashlib.sha256(path.name.encode()).hexdigest()[:4]
        if len(data) > BYTES_MAX:
            continue
        put("scan", name + ".raw", b"\x04" + data)
        if b"\n" not in data:
            continue
        body = reseal(data, seed)
        put("scan", name, b"\x00" + body)
        put("scan", name + ".sums", b"\x01" + body)
        for number, line in enumerate(body.split(b"\n")[:6]):
            put("frame", f"{name}.{number}", b"\x01" + line)
            put("frame", f"{name}.{number}.link", b"\x02" + line)
    for path in sorted(FIXTURES.glob("*.json")):
        case = json.loads(path.read_text()) if path.name != "MANIFEST.json" else {}
        for session in case.get("sessions", []):
            for item in (item for item in session["items"] if len(item.get("body") or "x" * 600) < 600):
                name = f"{path.stem}.{item['seq']}.body"
                put("frame", name, b"\x07" + (item["id"] or "").encode() + b"\x00" + item["body"].encode())
    for name, data in [("golden", golden(["fuzz:1", "fuzz:2"])), ("one", golden(["fuzz:1"])), *rows()]:
        put("registry", name, b"\x00" + data[:BYTES_MAX])
        put("registry", name + ".sums", b"\x01" + data[:BYTES_MAX])
    # One of each base and mutation, so that every arm of the target is known from the start.
    for base in range(16):
        for mutation in range(12):
            put("recovery", f"{base:02}-{mutation:02}", bytes([base, mutation, 0x40 + 13 * mutation, 0x02, 0x31, mutation]))


main()
