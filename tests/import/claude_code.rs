//! Claude Code: the path to the last entry, what belongs to which session, and titles.

use serde_json::{Value, json};

use super::*;

const SESSION: &str = "123e4567-e89b-12d3-a456-426614174000";

/// An entry of the tree.
fn entry(kind: &str, id: &str, parent: Option<&str>, more: &Value) -> String {
    let mut entry = json!({
        "type": kind, "uuid": id, "parentUuid": parent, "isSidechain": false, "sessionId": SESSION,
        "timestamp": "2026-07-06T23:23:31.876Z",
    });
    entry.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    entry.to_string()
}

fn user(id: &str, parent: Option<&str>) -> String {
    entry("user", id, parent, &json!({"message": {"role": "user", "content": id}}))
}

fn assistant(id: &str, parent: &str, message: &str) -> String {
    let content = json!([{"type": "tool_use", "id": id, "name": "Bash", "input": {}}]);
    entry("assistant", id, Some(parent), &json!({"message": {"id": message, "role": "assistant", "content": content}}))
}

fn result(id: &str, parent: &str) -> String {
    let content = json!([{"type": "tool_result", "tool_use_id": parent, "content": "done"}]);
    entry("user", id, Some(parent), &json!({"message": {"role": "user", "content": content}}))
}

/// The uuids of the active view, and its summary.
fn view(lines: &[String]) -> (Vec<String>, Option<String>) {
    let bench = Bench::new();
    bench.write(&format!("{SESSION}.jsonl"), (lines.join("\n") + "\n").as_bytes());
    assert_eq!(only(&bench.import(&ImportOptions::new())).0, format!("claude-code:{SESSION}"));
    let context = bench.store.session(format!("claude-code:{SESSION}")).unwrap().context().unwrap();
    let uuid = |item: &Item| serde_json::from_str::<Value>(&body(item)).unwrap()["uuid"].as_str().unwrap().to_owned();
    (context.items.iter().map(uuid).collect(), context.summary.map(|summary| summary.json().to_owned()))
}

#[test]
fn the_view_is_the_path_to_the_last_entry() {
    let lines = [
        user("u1", None),
        assistant("a1", "u1", "m1"),
        result("r1", "a1"),
        user("u2", Some("r1")),
        assistant("a2", "u2", "m2"),
        // Taken back to before the second question, and asked another.
        user("u3", Some("r1")),
        assistant("a3", "u3", "m3"),
    ];
    assert_eq!(view(&lines).0, ["u1", "a1", "r1", "u3", "a3"]);
    // From the beginning anew.
    let lines = [&lines[..], &[user("u4", None)]].concat();
    assert_eq!(view(&lines).0, ["u4"]);
}

#[test]
fn results_of_tools_that_ran_side_by_side_are_all_seen() {
    let lines = [
        user("u1", None),
        assistant("a1", "u1", "m1"),
        assistant("a2", "a1", "m1"),
        assistant("a3", "a2", "m1"),
        result("r1", "a1"),
        entry("progress", "p1", Some("a2"), &json!({})),
        result("r2", "a2"),
        result("r3", "a3"),
        assistant("a4", "r1", "m2"),
    ];
    assert_eq!(view(&lines).0, ["u1", "a1", "a2", "a3", "r1", "r2", "r3", "a4"]);
}

#[test]
fn behind_a_boundary_stands_the_summary() {
    let boundary = json!({
        "subtype": "compact_boundary", "content": "Conversation compacted", "logicalParentUuid": "a1",
        "compactMetadata": {"trigger": "auto", "preTokens": 150_000},
    });
    let message = json!({"message": {"role": "user", "content": "what was said"}, "isCompactSummary": true});
    let lines = [
        user("u1", None),
        assistant("a1", "u1", "m1"),
        entry("system", "b1", None, &boundary),
        entry("user", "s1", Some("b1"), &message),
        user("u2", Some("s1")),
    ];
    assert_eq!(view(&lines), (vec!["u2".to_owned()], Some("\"what was said\"".to_owned())));
    // Taken back to before the boundary.
    let lines = [&lines[..], &[user("u3", Some("a1"))]].concat();
    assert_eq!(view(&lines), (["u1", "a1", "u3"].map(str::to_owned).to_vec(), None));
}

#[test]
fn subagents_are_sessions_of_their_own() {
    let bench = Bench::new();
    let aside = |id: &str, parent: Option<&str>| {
        entry(
            "user",
            id,
            parent,
            &json!({"isSidechain": true, "agentId": "a1b2c3", "message": {"role": "user", "content": id}}),
        )
    };
    let lines = [user("u1", None), aside("x1", None), aside("x2", Some("x1")), assistant("a1", "u1", "m1")].join("\n");
    bench.write(&format!("{SESSION}.jsonl"), lines.as_bytes());
    bench.write(
        &format!("{SESSION}/subagents/agent-a1b2c3.jsonl"),
        [aside("x1", None), aside("x2", Some("x1"))].join("\n").as_bytes(),
    );
    // As earlier versions had them, beside the session.
    bench.write("agent-d4.jsonl", aside("y1", None).replace("a1b2c3", "d4").as_bytes());
    let imported = bench.import(&ImportOptions::new());
    let mut keys: Vec<_> = imported.sessions.iter().map(|session| session.key.to_string()).collect();
    keys.sort();
    let of = |rest: &str| format!("claude-code:{SESSION}{rest}");
    assert_eq!(keys, [of(""), of(":agent-a1b2c3"), of(":agent-d4")]);
    assert_eq!(bench.view(&of("")).len(), 2, "what a subagent does is not in the conversation");
    assert_eq!(bench.view(&of(":agent-a1b2c3")).len(), 2);
}

#[test]
fn the_title_is_the_users_or_the_one_that_was_made_for_it() {
    let title = |lines: &[String]| {
        let bench = Bench::new();
        let path = bench.write(&format!("{SESSION}.jsonl"), b"");
        // As it grows.
        for count in 1..=lines.len() {
            fs::write(&path, lines[..count].join("\n") + "\n").unwrap();
            bench.import(&ImportOptions::new().from(sesslog::import::System::ClaudeCode));
        }
        bench.store.session(format!("claude-code:{SESSION}")).unwrap().row().unwrap().title
    };
    let summary = |text: &str, leaf: &str| json!({"type": "summary", "summary": text, "leafUuid": leaf}).to_string();
    let named = |text: &str| json!({"type": "custom-title", "customTitle": text, "sessionId": SESSION}).to_string();
    let lines = [summary("of another session", "z9"), user("u1", None)];
    assert_eq!(title(&lines), None);
    let lines = [&lines[..], &[summary("a", "u1"), summary("b", "u1"), summary("c", "z9")]].concat();
    assert_eq!(title(&lines).as_deref(), Some("b"));
    let lines = [&lines[..], &[named("mine"), named("yours"), named("mine"), summary("d", "u1")]].concat();
    assert_eq!(title(&lines).as_deref(), Some("mine"));
}

#[test]
fn the_sample() {
    let bench = Bench::new();
    bench.write(&format!("{SESSION}.jsonl"), &fixture(&format!("claude-code/{SESSION}.jsonl")));
    bench.import(&ImportOptions::new());
    let session = bench.store.session(format!("claude-code:{SESSION}")).unwrap();
    let row = session.row().unwrap();
    assert_eq!((row.title.as_deref(), row.updated.as_str()), (Some("Fixed parser bug"), "2026-07-06T23:23:45.000Z"));
    assert_eq!(session.history(9).unwrap().len(), 4);
    assert!(session.context().unwrap().items.is_empty(), "it ends at a boundary");
}
