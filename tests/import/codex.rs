//! codex: two lanes of text, names of threads, forks, and what fixtures/views has no case of.

use serde_json::{Value, json};

use super::*;

const FIRST: &str = "rollout-2026-04-20T16-44-37-019b0000-0000-7000-8000-000000000001.jsonl";
const PAGED: &str = "rollout-2026-08-18T10-00-00-019c0000-0000-7000-8000-000000000002.paginated.jsonl";
const ID: &str = "019b0000-0000-7000-8000-000000000001";

fn line(kind: &str, payload: &Value) -> String {
    json!({"timestamp": "2026-04-20T16:44:37.772Z", "type": kind, "payload": payload}).to_string() + "\n"
}

fn said(text: &str) -> String {
    line(
        "response_item",
        &json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}),
    )
}

fn rolled_back(turns: u64) -> String {
    line("event_msg", &json!({"type": "thread_rolled_back", "num_turns": turns}))
}

/// The texts that are shown, those of the summary first.
fn texts(bench: &Bench, key: &str) -> Vec<String> {
    let context = bench.store.session(key).unwrap().context().unwrap();
    let summary: Vec<Value> = context.summary.map(|summary| summary.parse().unwrap()).unwrap_or_default();
    let items = context.items.iter().map(|item| serde_json::from_str::<Value>(&body(item)).unwrap()["payload"].clone());
    let text = |item: Value| item["content"][0]["text"].as_str().unwrap_or("-").to_owned();
    summary.into_iter().chain(items).map(text).collect()
}

fn view(lines: &[String]) -> Vec<String> {
    let bench = Bench::new();
    bench.write(FIRST, lines.concat().as_bytes());
    let key = only(&bench.import(&ImportOptions::new())).0;
    texts(&bench, &key)
}

#[test]
fn the_samples() {
    let bench = Bench::new();
    // As codex has them: the index stands above the days.
    bench.write("session_index.jsonl", &fixture("codex/session_index.jsonl"));
    bench.write(&format!("sessions/2026/04/20/{FIRST}"), &fixture(&format!("codex/{FIRST}")));
    bench.write(&format!("sessions/2026/08/18/{PAGED}"), &fixture(&format!("codex/{PAGED}")));
    let imported = bench.import(&ImportOptions::new());
    assert_eq!(names(&imported), Vec::<&str>::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| (session.key.as_str(), session.messages)).collect();
    assert_eq!(keys, [(&*format!("codex:{ID}"), 5), ("codex:019c0000-0000-7000-8000-000000000002", 1)]);
    let session = bench.store.session(keys[0].0).unwrap();
    assert_eq!(session.row().unwrap().title.as_deref(), Some("List files"));
    // Its last line put nothing in the place of the history.
    assert_eq!(texts(&bench, keys[0].0), Vec::<String>::new());
    assert_eq!(texts(&bench, keys[1].0), ["hi"]);
    assert_eq!(bench.original(keys[0].0), fixture(&format!("codex/{FIRST}")));
    assert_eq!(bench.original(keys[1].0), fixture(&format!("codex/{PAGED}")));
}

#[test]
fn a_thread_that_is_named_again_has_a_new_title() {
    let bench = Bench::new();
    bench.write(FIRST, &fixture(&format!("codex/{FIRST}")));
    let key = only(&bench.import(&ImportOptions::new())).0;
    let title = || bench.store.session(key.as_str()).unwrap().row().unwrap().title;
    assert_eq!(title(), None);
    for (name, records) in [("One", 1), ("Two", 1), ("Two", 0), ("One", 1), ("Two", 1), ("Two", 0)] {
        bench.write("session_index.jsonl", (json!({"id": ID, "thread_name": name}).to_string() + "\n").as_bytes());
        let imported = bench.import(&ImportOptions::new());
        assert_eq!((title().as_deref(), imported.sessions[0].records), (Some(name), records));
    }
    assert_eq!(bench.original(&key), fixture(&format!("codex/{FIRST}")));
}

#[test]
fn a_fork_is_the_thread_that_its_file_is_named_for() {
    let bench = Bench::new();
    let forked = |id: &str| line("session_meta", &json!({"id": id, "cwd": "/repo"}));
    let lines = [forked(ID), forked("019b0000-0000-7000-8000-00000000000a"), said("one")].concat();
    bench.write(FIRST, lines.as_bytes());
    // Its own header is lost, that of the thread before is there.
    bench.write(&FIRST.replace("0001.jsonl", "0002.jsonl"), lines.split_once('\n').unwrap().1.as_bytes());
    bench.write("rollout-renamed.jsonl", forked("019b0000-0000-7000-8000-00000000000b").as_bytes());
    let imported = bench.import(&ImportOptions::new());
    let keys: Vec<_> = imported.sessions.iter().map(|session| session.key.to_string()).collect();
    let key = |end: &str| format!("codex:019b0000-0000-7000-8000-0000000000{end}");
    assert_eq!(keys, [key("01"), key("02"), key("0b")]);
}

#[test]
fn a_rollback_reaches_into_what_came_with_a_compaction() {
    let item =
        |text: &str| json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]});
    let listed = line("compacted", &json!({"message": "", "replacement_history": [item("one"), item("two")]}));
    let lines = [said("one"), said("two"), listed, said("three")];
    assert_eq!(view(&lines), ["one", "two", "three"]);
    assert_eq!(view(&[&lines[..], &[rolled_back(1)]].concat()), ["one", "two"]);
    assert_eq!(view(&[&lines[..], &[rolled_back(2)]].concat()), ["one"]);
    assert_eq!(view(&[&lines[..], &[rolled_back(2), said("four")]].concat()), ["one", "four"]);
    assert_eq!(view(&[&lines[..], &[rolled_back(9)]].concat()), Vec::<String>::new());
    assert_eq!(view(&[&lines[..], &[rolled_back(0)]].concat()), ["one", "two", "three"]);
}

#[test]
fn what_codex_says_in_a_users_name_is_no_turn() {
    let lines = [said("<ENVIRONMENT_CONTEXT>\n/repo</environment_context>"), said("one"), said("two"), rolled_back(2)];
    assert_eq!(view(&lines[..2]).len(), 2);
    assert_eq!(view(&lines), ["<ENVIRONMENT_CONTEXT>\n/repo</environment_context>"]);
}
