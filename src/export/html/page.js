"use strict";
// The page works without this; with it there is a search that looks into folds, and a switch for the colours.
(() => {
  const SLICE_MS = 12; // Longer than that nothing runs without giving the page a chance to answer.
  const HITS_MAX = 20000;
  const SHOWN_AROUND = 400; // Hits marked before and behind the one that is looked at.
  const main = document.querySelector("main");
  const tools = document.querySelector(".tools");
  const input = tools.querySelector("input");
  const count = tools.querySelector(".count");
  const marks = typeof Highlight === "function" && CSS.highlights;
  let hits = [];
  let at = -1;
  let running = 0;
  let waiting = 0;

  const pause = () => (globalThis.scheduler?.yield ? scheduler.yield() : new Promise((done) => setTimeout(done)));

  function say(text) {
    count.textContent = text;
  }

  async function find(text) {
    const run = ++running;
    hits = [];
    at = -1;
    show();
    if (!text) {
      say("");
      return;
    }
    const wanted = new RegExp(text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&"), "giu");
    const walker = document.createTreeWalker(main, NodeFilter.SHOW_TEXT);
    let since = performance.now();
    for (let node = walker.nextNode(); node && hits.length < HITS_MAX; node = walker.nextNode()) {
      for (const hit of node.data.matchAll(wanted)) {
        hits.push({ node, start: hit.index, end: hit.index + hit[0].length });
      }
      if (performance.now() - since > SLICE_MS) {
        say(`${hits.length} …`);
        if (at < 0 && hits.length) go(0, true);
        await pause();
        if (run !== running) return;
        since = performance.now();
      }
    }
    tools.dataset.done = text;
    if (!hits.length) say("No hits");
    else if (at < 0) go(0, true);
    else tell();
  }

  function tell() {
    const all = hits.length >= HITS_MAX ? `${HITS_MAX}+` : hits.length;
    say(`${at + 1} of ${all}`);
  }

  function range({ node, start, end }) {
    return new StaticRange({ startContainer: node, startOffset: start, endContainer: node, endOffset: end });
  }

  function show() {
    if (!marks) return;
    if (at < 0) {
      CSS.highlights.clear();
      return;
    }
    const near = hits.slice(Math.max(0, at - SHOWN_AROUND), at + SHOWN_AROUND);
    CSS.highlights.set("hits", new Highlight(...near.map(range)));
    const now = new Highlight(range(hits[at]));
    now.priority = 1;
    CSS.highlights.set("hit", now);
  }

  function go(index, isFirst) {
    if (!hits.length) return;
    at = (index + hits.length) % hits.length;
    const { node, start, end } = hits[at];
    for (let fold = node.parentElement.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      // A hit in what is always seen needs no opening.
      if (!node.parentElement.closest("summary") || fold !== node.parentElement.closest("details")) fold.open = true;
    }
    show();
    if (!marks && !isFirst) getSelection().setBaseAndExtent(node, start, node, end);
    node.parentElement.scrollIntoView({ block: "center" });
    // Now that it is laid out its place is known: in a long text the middle is not where the hit is.
    const live = document.createRange();
    live.setStart(node, start);
    live.setEnd(node, end);
    const box = live.getBoundingClientRect();
    const inner = node.parentElement.closest("pre");
    if (inner) inner.scrollTop += box.top - inner.getBoundingClientRect().top - inner.clientHeight / 2;
    const { top, bottom } = live.getBoundingClientRect();
    if (top < 90 || bottom > innerHeight - 30) scrollBy(0, top - innerHeight / 2);
    tell();
  }

  input.addEventListener("input", () => {
    clearTimeout(waiting);
    delete tools.dataset.done;
    waiting = setTimeout(() => find(input.value.trim()), 150);
  });
  tools.addEventListener("submit", (event) => {
    event.preventDefault();
    go(at + 1);
  });
  tools.querySelector(".previous").addEventListener("click", () => go(at - 1));
  input.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.shiftKey) {
      event.preventDefault();
      go(at - 1);
    } else if (event.key === "Escape") {
      input.value = "";
      find("");
      input.blur();
    }
  });
  document.addEventListener("keydown", (event) => {
    const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName ?? "");
    if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      input.focus();
      input.select();
    }
  });

  const unfold = tools.querySelector(".unfold");
  unfold.addEventListener("click", async () => {
    const open = unfold.getAttribute("aria-pressed") !== "true";
    unfold.setAttribute("aria-pressed", String(open));
    unfold.textContent = open ? "Fold all" : "Unfold all";
    let since = performance.now();
    for (const fold of main.querySelectorAll("details")) {
      fold.open = open;
      if (performance.now() - since > SLICE_MS) {
        await pause();
        since = performance.now();
      }
    }
  });

  const theme = tools.querySelector(".theme");
  const themes = ["", "light", "dark"];
  const names = ["auto", "light", "dark"];
  theme.addEventListener("click", () => {
    const next = (themes.indexOf(document.documentElement.dataset.theme ?? "") + 1) % themes.length;
    if (themes[next]) document.documentElement.dataset.theme = themes[next];
    else delete document.documentElement.dataset.theme;
    theme.textContent = `Theme: ${names[next]}`;
  });

  // A link to what is folded opens it.
  function unfoldTarget() {
    const target = document.getElementById(location.hash.slice(1));
    let folded = false;
    for (let fold = target?.closest("details"); fold; fold = fold.parentElement.closest("details")) {
      folded ||= !fold.open;
      fold.open = true;
    }
    if (folded) target.scrollIntoView();
  }
  addEventListener("hashchange", unfoldTarget);
  unfoldTarget();
  tools.hidden = false;
})();
