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
import time
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
    it.add(7, {"role": "system", "content": "You look after a small server. Ask before anything is deleted."})
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


# --- hostile text ----------------------------------------------------------------------------------------------------

RUN = "window.HIT=(window.HIT||0)+1"
FRAGMENTS = [
    "<script>%s</script>", "</script><script>%s</script>", "</style><script>%s</script>", "<!--<script>%s</script>",
    "--><script>%s</script>", "]]><script>%s</script>", "</title><script>%s</script>", "</textarea><script>%s</script>",
    "<img src=x onerror=%s>", "\"><img src=x onerror=%s>", "'><img src=x onerror=%s>", "` onerror=%s `",
    "\" onmouseover=%s x=\"", "' onfocus=%s autofocus='", "<svg onload=%s>", "<svg><script>%s</script></svg>",
    "<svg><animate onbegin=%s attributeName=x>", "<math><mtext><script>%s</script>", "<details open ontoggle=%s>",
    "<body onload=%s>", "<iframe srcdoc=\"<script>parent.%s</script>\"></iframe>", "<object data=\"data:text/html,<script>%s</script>\">",
    "<a href=\"javascript:%s\">x</a>", "javascript:%s", "data:text/html,<script>%s</script>",
    "data:image/svg+xml,<svg onload=%s>", "<form action=javascript:%s><button>x</form>", "<base href=//example.invalid/>%s",
    "<meta http-equiv=refresh content=\"0;url=javascript:%s\">", "<link rel=stylesheet href=//example.invalid/x.css>%s",
    "<style>@import '//example.invalid/x';</style>%s", "<video src=//example.invalid/v onerror=%s>", "&lt;script&gt;%s&lt;/script&gt;",
    "&#60;script&#62;%s&#60;/script&#62;", "\\u003cscript\\u003e%s\\u003c/script\\u003e", "\u2028<script>%s</script>\u2029",
    "\u202e<script>%s</script>\u202c", "\0<script>%s</script>", "<scr\0ipt>%s</script>", "<ſcript>%s</ſcript>", "＜script＞%s＜/script＞",
    "{{ %s }}{%% include \"x\" %%}", "${%s}", "`+%s+`", "';%s//", "\";%s//", "\\\";%s//", "<x contenteditable onblur=%s>",
    "<template><script>%s</script></template>", "<noscript><p title=\"</noscript><img src=x onerror=%s>\">",
]


def hostile(store):
    """Every fragment in every place where a transcript has text."""
    it = Transcript("evil:<script>" + RUN + "</script>")
    it.mark(0, mark="title", title=FRAGMENTS[1] % RUN)
    it.mark(0, mark="labels", labels=[fragment % RUN for fragment in FRAGMENTS])
    for number, fragment in enumerate(FRAGMENTS):
        text, at = fragment % RUN, number * 100
        it.mark(at, mark="turn_started")
        it.add(at, {"role": "user", "content": [
            {"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": text}},
            {"type": "image", "data": text, "mimeType": text}, {"type": "image", "data": "aGk=", "mimeType": "image/png\" onerror=" + RUN},
            {"type": "image_url", "image_url": {"url": "data:image/svg+xml;base64," + base64.b64encode(text.encode()).decode()}},
            {"type": text, text: text}]})
        it.add(at + 1, {"role": "assistant", "content": "```" + text + "\n" + text, "reasoning": text, "model": text,
                        "tool_calls": [{"id": text, "function": {"name": text, "arguments": text}}]})
        it.add(at + 2, {"role": "tool", "tool_call_id": text, "name": text, "content": text})
        it.add(at + 3, {"role": text, "content": text})
        it.add(at + 4, {"type": text, text: text}, "meta.entry")
        it.add(at + 5, {"type": "custom_message", "customType": text, "content": text, "id": text, "parentId": text})
        it.add(at + 6, {"type": "attachment", "attachment": {"type": text}}, "meta.entry")
        it.mark(at + 7, mark="suspended", reason=text)
        it.mark(at + 8, mark="recovered", offset=1, bytes=1, quarantine=text)
        it.mark(at + 9, mark="compacted", summary=text, keep_from=1)
        it.add(at + 10, {"mark": text, text: text}, "mark")
    deep = b"[" * 120 + json.dumps(FRAGMENTS[0] % RUN).encode() + b"]" * 120
    it.add(9000, b'{"role":"user","content":[%s]}' % deep)
    it.add(9001, b'{"role":"user","content":"\\ud800</script>\\udfff"}')
    it.save(store)
    return it.key


# --- the browser -----------------------------------------------------------------------------------------------------


class Browser:
    """A Chromium, and for each page what it asked for and what went wrong."""

    def __init__(self, chromium, folder):
        self.chromium, self.folder, self.requests, self.errors = chromium, folder, [], []

    def open(self, file, **context):
        context = self.chromium.new_context(**{"viewport": {"width": 1100, "height": 900}, **context})
        page = context.new_page()
        self.requests, self.errors = [], []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("dialog", lambda dialog: self.errors.append("dialog: " + dialog.message))
        # Reports every task that holds the main thread, from the first on.
        page.add_init_script("""window.TASKS = [];
            new PerformanceObserver((list) => { for (const it of list.getEntries()) TASKS.push(it.duration); })
                .observe({ type: "longtask", buffered: true });""")
        page.goto(pathlib.Path(file).as_uri())
        return page

    def shot(self, page, name):
        if self.folder:
            page.screenshot(path=os.path.join(self.folder, name + ".png"))

    def assert_quiet(self, page):
        """Nothing but the page itself was asked for, and nothing complained."""
        urls = [url for url in self.requests if not url.startswith("data:image/")]
        assert urls == [page.url.split("#")[0]], urls
        assert self.errors == [], self.errors


def export(sessctl, store, key, file, *more, expect=0):
    command = [sessctl, "--store", store, "export", "--as", "html", "--output", file, *more, "--", key]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=300)
    assert done.returncode == expect, (done.returncode, done.stderr)


def wait(page, expression):
    """Waits until it holds. (Playwright's own way evaluates text inside of the page, which the page's policy forbids.)"""
    end = time.monotonic() + 120
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(20)


def search(page, text):
    """Types a search as a person would; returns what the page says once it is done."""
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type(text)
    wait(page, "document.querySelector('.tools').dataset.done === %s" % json.dumps(text))
    return page.inner_text(".count")


def is_in_view(page, selector):
    return page.evaluate("""selector => { const box = document.querySelector(selector).getBoundingClientRect();
        return box.top < innerHeight && box.bottom > 0 && box.height > 0; }""", selector)


def check_content(browser, page):
    assert page.title() == page.inner_text("h1") == "The backups that stopped in February"
    head = page.inner_text(".masthead")
    for text in ("telegram:8281248569", "generation 1", "pending", "12\u202f960 in, 752 out", "home, keep", "1 damaged place"):
        assert text in head, (text, head)
    assert page.locator("section.turn").count() == 6
    assert page.locator("article.user").count() == 5, page.locator("article.user").count()
    events = page.locator(".events li").all_text_contents()
    for text in ("Restart: a gateway started", "Torn tail cut: 221 bytes", "The turn did not end: interrupted", "Undone",
                 "Repaired: record 26 lost", "Compacted", "Damage: checksum", "Reset: a new day", "Turn ended: partial"):
        assert sum(text in event for event in events) == 1, (text, events)
    # Each leads to its place in the transcript.
    targets = page.eval_on_selector_all(".events a, svg a", "list => list.map(it => it.getAttribute('href').slice(1))")
    assert targets and all(page.locator("[id='%s']" % target).count() == 1 for target in targets), targets
    assert page.locator("article.left").count() == 2 and "not in the active view" in page.text_content("article.left >> nth=0")
    assert page.locator("article.summed").count() == 12, page.locator("article.summed").count()
    assert "1\u202f820 tokens in, 54 out" in page.text_content("#h2")
    assert page.locator("article img").count() == 1
    page.locator("article img").scroll_into_view_if_needed()
    wait(page, "document.querySelector('article img').naturalWidth === 240")
    # One heading for all, one for each turn, one for each message; the parts of the page have names.
    assert page.locator("h1").count() == 1 and page.locator("h3").count() == 6
    for landmark in ("header", "main", "nav[aria-label]", "form[role=search]", "footer"):
        assert page.locator("body > " + landmark).count() == 1, landmark
    ids = page.eval_on_selector_all("[id]", "list => list.map(it => it.id)")
    assert len(ids) == len(set(ids)), "ids are unique"
    browser.assert_quiet(page)


def check_folds(page):
    folds = page.locator("article details, .notes")
    assert folds.count() >= 9 and page.locator("main details[open]").count() == 0
    call = page.locator("article .fold.call").first
    assert call.locator("pre").is_visible() is False
    call.locator("summary").click()
    assert "systemctl list-timers" in call.locator("pre").inner_text()
    # By keyboard, too.
    call.locator("summary").focus()
    page.keyboard.press("Enter")
    assert call.locator("pre").is_visible() is False
    page.click(".unfold")
    wait(page, "!document.querySelector('main details:not([open])')")
    page.click(".unfold")
    wait(page, "!document.querySelector('main details[open]')")


def check_search(page):
    assert search(page, "immutable") == "1 of 1"
    assert is_in_view(page, "#r27")
    # In a fold that nobody has opened.
    assert search(page, "2026-01-17.TAR") == "1 of 1"
    assert page.locator("#r13 details").evaluate("it => it.open") and is_in_view(page, "#r13")
    assert search(page, "sort\": \"size") == "1 of 1"
    said = search(page, "backup")
    total = int(said.split(" of ")[1])
    assert said.startswith("1 of ") and total > 5, said
    for keys, expected in (("Enter", 2), ("Enter", 3), ("Shift+Enter", 2), ("Shift+Enter", 1), ("Shift+Enter", total), ("Enter", 1)):
        page.keyboard.press(keys)
        assert page.inner_text(".count") == "%d of %d" % (expected, total)
    page.click(".next")
    page.click(".previous")
    assert page.inner_text(".count") == "1 of %d" % total
    page.focus(".find input")
    assert search(page, "(.*") == "No hits"
    page.keyboard.press("Escape")
    assert page.inner_text(".count") == "" and page.input_value(".find input") == ""


def check_keyboard(page):
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "transcript"
    seen = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.add(page.evaluate("document.activeElement.tagName"))
    assert {"SUMMARY", "A"} <= seen, seen


def contrast(one, other):
    def luminance(colour):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        parts = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def check_colours(page):
    paper = {}
    for label, scheme in (("Theme: auto", "auto"), ("Theme: light", "light"), ("Theme: dark", "dark")):
        assert page.inner_text(".theme") == label
        paper[scheme] = page.evaluate("getComputedStyle(document.body).backgroundColor")
        for selector in ("h1", ".facts dt", "article time", ".event.warning span", ".event.loss span", ".left .prose", ".preview",
                         ".seq", ".user .prose", ".fold.failed b"):
            ink, ground = page.evaluate("""selector => { let at = document.querySelector(selector);
                const ink = getComputedStyle(at).color; let ground = "rgba(0, 0, 0, 0)";
                for (; at && ground === "rgba(0, 0, 0, 0)"; at = at.parentElement) ground = getComputedStyle(at).backgroundColor;
                return [ink, ground]; }""", selector)
            assert contrast(ink, ground) >= 4.5, (scheme, selector, ink, ground, contrast(ink, ground))
        page.click(".theme")
    assert page.inner_text(".theme") == "Theme: auto"
    assert paper["light"] != paper["dark"] and paper["auto"] == paper["light"]


def check_print(page, folder):
    with tempfile.TemporaryDirectory() as temp:
        path = os.path.join(folder or temp, "page.pdf")
        page.pdf(path=path, format="A4")
        assert pathlib.Path(path).read_bytes().startswith(b"%PDF")
    page.emulate_media(media="print")
    assert not page.locator(".tools").is_visible() and not page.locator(".skip").is_visible()
    shown = page.locator("article .fold.call pre").first.evaluate("it => it.getBoundingClientRect().height")
    assert shown > 10, "folds stand open in print"
    page.emulate_media(media="screen")


def check_hostile(browser, sessctl, store, temp):
    key = hostile(store)
    file = os.path.join(temp, "hostile.html")
    export(sessctl, store, key, file)
    page = browser.open(file)
    page.click(".unfold")
    wait(page, "!document.querySelector('main details:not([open])')")
    search(page, "HIT")
    for _ in range(30):
        page.keyboard.press("Enter")
    # Whatever a mouse or the focus would set off.
    page.evaluate("""for (const it of document.querySelectorAll("*")) for (const name of ["mouseover", "focus", "click", "error", "load", "toggle"])
        if (!it.matches("a, button, input, summary")) it.dispatchEvent(new Event(name));""")
    page.wait_for_timeout(300)
    assert page.evaluate("window.HIT") is None, "a script of the transcript ran"
    assert page.locator("script").count() == 1 and page.locator("style").count() == 1
    assert page.locator("iframe, object, embed, base, link, video, form:not(.tools), svg script, template, noscript").count() == 0
    handlers = page.evaluate("""[...document.querySelectorAll("*")].flatMap(it => it.getAttributeNames()).filter(it => it.startsWith("on"))""")
    assert handlers == [], handlers
    links = page.eval_on_selector_all("a", "list => list.map(it => it.getAttribute('href'))")
    assert all(re.fullmatch("#[a-z]+[0-9]*", link) for link in links)
    pictures = page.eval_on_selector_all("img", "list => list.map(it => it.getAttribute('src'))")
    assert all(re.fullmatch(r"data:image/(png|jpeg|gif|webp|avif|bmp);base64,[A-Za-z0-9+/=]*", it) for it in pictures), pictures
    for fragment in FRAGMENTS:
        if "\0" not in fragment and not re.search("[\u2028-\u202e]", fragment):
            assert fragment % RUN in page.locator("main").evaluate("it => it.textContent"), "shown as it is: " + fragment
    text = page.content()
    assert not re.search("[\u202a-\u202e\u2066-\u2069\u2028\u2029]", text)
    browser.assert_quiet(page)
    print("hostile: %d fragments in %d kB, none ran" % (len(FRAGMENTS), os.path.getsize(file) // 1000))
    page.context.close()


def check_large(browser, sessctl, store, temp, megabytes):
    key, turns = large(store, megabytes)
    file = os.path.join(temp, "large.html")
    export(sessctl, store, key, file)
    page = browser.open(file)
    assert page.locator("section.turn").count() == turns
    opened = page.evaluate("performance.now()")
    longest = lambda: page.evaluate("new Promise(done => setTimeout(() => done(Math.round(Math.max(0, ...TASKS.splice(0)))), 200))")
    tasks = {"open": longest()}
    assert search(page, "zanzibar") == "1 of 1"
    tasks["search to the end"] = longest()
    assert search(page, "haystack") == "1 of 1", "in a line of two million characters"
    tasks["into a long line"] = longest()
    if megabytes >= 20:
        assert search(page, "logs of the night").endswith("of 20000+")
        tasks["20,000 hits"] = longest()
    for part in (0.25, 0.5, 0.75, 1):
        page.evaluate("part => scrollTo(0, document.documentElement.scrollHeight * part)", part)
        page.wait_for_timeout(150)
    tasks["scroll"] = longest()
    browser.assert_quiet(page)
    print("large: %d MB of page, %d turns, open after %d ms; longest task in ms: %s" % (
        os.path.getsize(file) // 1_000_000, turns, opened, ", ".join("%s %d" % pair for pair in tasks.items())))
    page.context.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sessctl", required=True)
    parser.add_argument("--screenshots", metavar="FOLDER")
    parser.add_argument("--chromium", metavar="FILE", default=shutil.which("chromium") or shutil.which("chromium-browser")
                        or shutil.which("google-chrome"))
    parser.add_argument("--large-mb", type=int, default=20)
    options = parser.parse_args()
    sessctl = os.path.abspath(options.sessctl)
    if options.screenshots:
        os.makedirs(options.screenshots, exist_ok=True)
    # A sandbox of its own needs rights that a container may not give; nothing of a page here is foreign but what is tested.
    flags = ["--no-sandbox"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory() as temp, sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=options.chromium, args=flags)
        browser = Browser(chromium, options.screenshots)
        store, file = os.path.join(temp, "store"), os.path.join(temp, "page.html")
        export(sessctl, store, everything(store), file, expect=3)
        page = browser.open(file)
        page.set_viewport_size({"width": 1000, "height": 1000})
        browser.shot(page, "light")
        page.set_viewport_size({"width": 1100, "height": 900})
        check_content(browser, page)
        check_folds(page)
        check_search(page)
        search(page, "immutable")
        browser.shot(page, "search")
        page.keyboard.press("Escape")
        check_colours(page)
        check_print(page, options.screenshots)
        browser.assert_quiet(page)
        page.context.close()
        page = browser.open(file)
        check_keyboard(page)
        page.context.close()
        for name, context in (("dark", {"color_scheme": "dark"}), ("phone", {"viewport": {"width": 390, "height": 844}})):
            page = browser.open(file, **context)
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name + ": nothing sticks out"
            browser.shot(page, name)
            page.context.close()
        print("page: content, folds, search, keyboard, colours, print")
        export(sessctl, store, empty(store), file)
        page = browser.open(file)
        assert "Nothing was said" in page.inner_text("main")
        assert search(page, "x") == "No hits"
        browser.shot(page, "empty")
        browser.assert_quiet(page)
        page.context.close()
        # Without scripts it is all there; only the tools are not.
        export(sessctl, store, "telegram:8281248569", file, expect=3)
        page = browser.open(file, java_script_enabled=False)
        assert not page.locator(".tools").is_visible() and page.locator("article.user").first.is_visible()
        page.context.close()
        check_hostile(browser, sessctl, store, temp)
        check_large(browser, sessctl, store, temp, options.large_mb)
        chromium.close()
    print("sound")


if __name__ == "__main__":
    main()
