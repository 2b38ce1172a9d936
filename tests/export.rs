//! Exports: what each format holds of a session, what is escaped, what is redacted, and what is not.

#![cfg(feature = "export")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

#[path = "export/redact.rs"]
mod redact;

use std::path::Path;

use serde_json::{Value, json};
use sesslog::export::{self, ExportOptions, Exported, Format, Image, Lane, Message, Part, Role};
use sesslog::{Durability, NewRecord, Options, Session, Store};

struct Bench {
    _folder: tempfile::TempDir,
    store: Store,
    session: Session,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Options::new().durability(Durability::Buffered).open(folder.path().join("store")).unwrap();
        let session = store.session("telegram:42").unwrap();
        Self { _folder: folder, store, session }
    }

    fn with(bodies: &[Value]) -> Self {
        let bench = Self::new();
        for body in bodies {
            bench.add(body);
        }
        bench
    }

    fn add(&self, body: &Value) {
        self.session.append(NewRecord::json(&body.to_string()).unwrap()).unwrap();
    }

    fn export_with(&self, format: Format, options: &ExportOptions) -> (String, Exported) {
        let mut out = Vec::new();
        let exported = export::write(&self.store, self.session.key(), format, options, &mut out).unwrap();
        (String::from_utf8(out).unwrap(), exported)
    }

    fn export(&self, format: Format) -> String {
        self.export_with(format, &ExportOptions::new()).0
    }

    fn chat(&self) -> Vec<Value> {
        let chat: Value = serde_json::from_str(&self.export(Format::OpenAi)).unwrap();
        chat["messages"].as_array().unwrap().clone()
    }

    fn pi(&self) -> Vec<Value> {
        self.export(Format::Pi).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

fn user(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

fn assistant(text: &str) -> Value {
    json!({"role": "assistant", "content": text})
}

fn text(text: &str) -> Part {
    Part::Text(text.to_owned())
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::ToolCall { id: id.to_owned(), name: name.to_owned(), arguments: arguments.to_owned() }
}

fn result(call_id: &str, name: Option<&str>, said: &str) -> Part {
    let name = name.map(ToOwned::to_owned);
    Part::ToolResult { call_id: call_id.to_owned(), name, is_error: false, content: vec![text(said)] }
}

/// The same conversation as each system writes it.
#[test]
fn bodies_of_every_system_are_understood_alike() {
    let cases = [
        (r#"{"role":"user","content":"hi"}"#, Role::User, vec![text("hi")]),
        (r#"{"role":"user","content":[{"type":"text","text":"hi"}]}"#, Role::User, vec![text("hi")]),
        (
            r#"{"role":"assistant","content":null,"tool_calls":[{"id":"c1","type":"function","function":{"name":"exec","arguments":"{\"a\": 1}"}}]}"#,
            Role::Assistant,
            vec![call("c1", "exec", r#"{"a": 1}"#)],
        ),
        // A row of a database: the list is text, what was thought has a column.
        (
            r#"{"id":2,"role":"assistant","content":"ok","reasoning":"hm","tool_calls":"[{\"id\":\"c1\",\"function\":{\"name\":\"exec\",\"arguments\":\"{}\"}}]"}"#,
            Role::Assistant,
            vec![Part::Thinking("hm".to_owned()), text("ok"), call("c1", "exec", "{}")],
        ),
        (
            r#"{"role":"tool","tool_call_id":"c1","tool_name":"exec","content":"done"}"#,
            Role::Tool,
            vec![result("c1", Some("exec"), "done")],
        ),
        (
            r#"{"type":"message","id":"b","parentId":"a","message":{"role":"assistant","content":[{"type":"thinking","thinking":"hm"},{"type":"toolCall","id":"c1","name":"exec","arguments":{"a":1.0}}]}}"#,
            Role::Assistant,
            vec![Part::Thinking("hm".to_owned()), call("c1", "exec", r#"{"a":1.0}"#)],
        ),
        (
            r#"{"type":"message","id":"b","parentId":"a","message":{"role":"toolResult","toolCallId":"c1","toolName":"exec","content":[{"type":"text","text":"done"}],"isError":false}}"#,
            Role::Tool,
            vec![result("c1", Some("exec"), "done")],
        ),
        (
            r#"{"type":"assistant","uuid":"u","message":{"id":"m1","role":"assistant","content":[{"type":"tool_use","id":"c1","name":"exec","input":{"a":1}}]}}"#,
            Role::Assistant,
            vec![call("c1", "exec", r#"{"a":1}"#)],
        ),
        (
            r#"{"type":"user","uuid":"u","message":{"role":"user","content":[{"type":"tool_result","tool_use_id":"c1","content":"done"}]}}"#,
            Role::Tool,
            vec![result("c1", None, "done")],
        ),
        (
            r#"{"type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"hi"}]}}"#,
            Role::User,
            vec![text("hi")],
        ),
        (
            r#"{"type":"response_item","payload":{"type":"function_call","name":"exec","arguments":"{\"a\":1}","call_id":"c1"}}"#,
            Role::Assistant,
            vec![call("c1", "exec", r#"{"a":1}"#)],
        ),
        (
            r#"{"type":"response_item","payload":{"type":"function_call_output","call_id":"c1","output":"done"}}"#,
            Role::Tool,
            vec![result("c1", None, "done")],
        ),
        (
            r#"{"type":"event_msg","payload":{"type":"agent_message","message":"hi"}}"#,
            Role::Assistant,
            vec![text("hi")],
        ),
        // No text can hold a lone surrogate.
        (r#"{"role":"user","content":"a\ud800b"}"#, Role::User, vec![text("a\u{fffd}b")]),
    ];
    for (body, role, parts) in cases {
        let message = Message::read(body);
        assert_eq!((message.role, message.parts), (role, parts), "{body}");
    }
}

#[test]
fn images_tokens_and_models_are_found_in_every_shape() {
    let inline = Image::Inline { media_type: "image/png".to_owned(), base64: "aGk=".to_owned() };
    for part in [
        r#"{"type":"image","data":"aGk=","mimeType":"image/png"}"#,
        r#"{"type":"image","source":{"type":"base64","media_type":"image/png","data":"aGk="}}"#,
        r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,aGk="}}"#,
        r#"{"type":"input_image","image_url":"data:image/png;base64,aGk="}"#,
    ] {
        let message = Message::read(&format!(r#"{{"role":"user","content":[{part}]}}"#));
        assert_eq!(message.parts, [Part::Image(inline.clone())], "{part}");
    }
    for (body, input, output, cached) in [
        (
            r#"{"role":"assistant","content":"a","model":"m","usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
            3,
            2,
            0,
        ),
        (
            r#"{"type":"message","message":{"role":"assistant","content":[],"model":"m","usage":{"input":3,"output":2,"cacheRead":9}}}"#,
            3,
            2,
            9,
        ),
        (
            r#"{"type":"assistant","message":{"role":"assistant","model":"m","content":[],"usage":{"input_tokens":3,"output_tokens":2,"cache_read_input_tokens":9}}}"#,
            3,
            2,
            9,
        ),
    ] {
        let message = Message::read(body);
        let usage = message.usage.unwrap();
        assert_eq!((usage.input, usage.output, usage.cached), (input, output, cached), "{body}");
        assert_eq!(message.model.as_deref(), Some("m"), "{body}");
    }
}

#[test]
fn what_is_not_understood_is_kept_whole() {
    let deep = "[".repeat(128) + &"]".repeat(128);
    for body in [
        "7",
        "null",
        "[]",
        &deep,
        r#"{"role":7,"content":"x"}"#,
        r#"{"role":"oracle","content":"x"}"#,
        r#"{"type":"message","message":7}"#,
        r#"{"type":"response_item","payload":{"type":"of a later version"}}"#,
        r#"{"type":"user","message":{"role":"user"},"n":1e999}"#,
        r#"{"a":1,"a":2}"#,
    ] {
        let message = Message::read(body);
        let kept = message.parts == [Part::Json(body.to_owned())];
        assert!(kept || (message.role == Role::User && message.parts.is_empty()), "{body}: {message:?}");
    }
    let message = Message::read(r#"{"role":"user","content":[{"type":"of a later version","x":[1]}]}"#);
    assert_eq!(message.parts, [Part::Json(r#"{"type":"of a later version","x":[1]}"#.to_owned())]);
}

/// The views that other systems' own loaders give (`fixtures/views`), as exports of the active view.
#[test]
fn an_export_of_the_active_view_is_the_view() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/views");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let case: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let bench = Bench::new();
        for entry in case["records"].as_array().unwrap() {
            let mark = &entry["mark"];
            match mark["mark"].as_str() {
                None => {
                    let kind = entry["kind"].as_str().unwrap_or("message").to_owned();
                    let record = NewRecord::json(&entry["body"].to_string()).unwrap().kind(kind).unwrap();
                    bench.session.append(record).unwrap();
                }
                Some("compacted") => {
                    bench.session.compact(&mark["summary"], mark["keep_from"].as_u64().unwrap()).map(drop).unwrap();
                }
                Some("rewound") => drop(bench.session.rewind(mark["to_seq"].as_u64().unwrap()).unwrap()),
                other => panic!("{other:?}"),
            }
        }
        let (lines, _) = bench.export_with(Format::Jsonl, &ExportOptions::new().active(true));
        let records = case["records"].as_array().unwrap();
        let mut expected: Vec<Value> = Vec::new();
        if !case["summary"].is_null() {
            expected.push(json!({"summary": case["summary"]}));
        }
        let shown = case["view"].as_array().unwrap().iter();
        expected.extend(shown.map(|index| records[usize::try_from(index.as_u64().unwrap()).unwrap()]["body"].clone()));
        let given: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(given, expected, "{}", path.display());
        cases += 1;
    }
    assert!(cases >= 70, "{cases}");
}

#[test]
fn json_lines_are_the_bodies_byte_for_byte() {
    let bench = Bench::new();
    let bodies = [r#"{"z": 1, "a":[2.50,1e999],"u":"\ud800\/"}"#, "7", r#""text""#];
    for body in bodies {
        bench.session.append(NewRecord::json(body).unwrap()).unwrap();
    }
    bench.session.set_title("a mark is no body").unwrap();
    assert_eq!(bench.export(Format::Jsonl), bodies.map(|body| format!("{body}\n")).concat());
}

#[test]
fn chat_completions_hold_what_a_model_should_see() {
    let bench = Bench::with(&[
        user("old"),
        json!({"role": "assistant", "content": "", "reasoning": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{\"at\":1}"}},
            {"id": "c2", "type": "function", "function": {"name": "look", "arguments": "{\"at\":2}"}}]}),
        json!({"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "a picture"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}),
        json!({"role": "tool", "tool_call_id": "c2", "content": "nothing"}),
        json!({"role": "tool", "tool_call_id": "c9", "content": "of a call that is gone"}),
        json!({"role": "assistant", "content": "wait", "tool_calls": [
            {"id": "c3", "type": "function", "function": {"name": "look", "arguments": "{\"at\":3}"}}]}),
        assistant("done"),
        user("undone"),
    ]);
    bench.session.undo(1).unwrap();
    bench.session.compact("what was said before", 2).unwrap();
    let call = |n: u64| json!({"id": format!("c{n}"), "type": "function", "function": {"name": "look", "arguments": format!("{{\"at\":{n}}}")}});
    assert_eq!(
        bench.chat(),
        [
            json!({"role": "system", "content": "what was said before"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call(1), call(2)]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": "a picture"}),
            json!({"role": "tool", "tool_call_id": "c2", "content": "nothing"}),
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}}]}),
            json!({"role": "user", "content": "of a call that is gone"}),
            json!({"role": "assistant", "content": "wait", "tool_calls": [call(3)]}),
            json!({"role": "tool", "tool_call_id": "c3", "content": "(no result)"}),
            json!({"role": "assistant", "content": "done"}),
        ]
    );
}

#[test]
fn one_answer_in_several_records_is_one_message() {
    let item = |payload: Value| json!({"type": "response_item", "payload": payload});
    let bench = Bench::with(&[
        item(json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": "go"}]})),
        json!({"type": "event_msg", "payload": {"type": "user_message", "message": "go"}}),
        item(json!({"type": "function_call", "name": "a", "arguments": "{}", "call_id": "c1"})),
        item(json!({"type": "function_call", "name": "b", "arguments": "{}", "call_id": "c2"})),
        item(json!({"type": "function_call_output", "call_id": "c1", "output": "1"})),
        item(json!({"type": "function_call_output", "call_id": "c2", "output": "2"})),
        json!({"type": "event_msg", "payload": {"type": "agent_message", "message": "only as an event"}}),
    ]);
    let chat = bench.chat();
    let roles: Vec<_> = chat.iter().map(|message| message["role"].as_str().unwrap()).collect();
    assert_eq!(roles, ["user", "assistant", "tool", "tool", "assistant"], "{chat:?}");
    assert_eq!(chat[1]["tool_calls"].as_array().unwrap().len(), 2);
    assert_eq!(chat[4]["content"], "only as an event");
    assert_eq!(
        Message::read(r#"{"type":"event_msg","payload":{"type":"user_message","message":"go"}}"#).lane,
        Lane::Second
    );
    let pi = bench.pi();
    let calls: Vec<_> = pi.iter().filter(|entry| entry["message"]["role"] == "assistant").collect();
    assert_eq!(calls[0]["message"]["content"].as_array().unwrap().len(), 2, "{pi:?}");
}

/// Each entry but the first names one before it.
fn assert_is_tree(lines: &[Value]) {
    assert_eq!((&lines[0]["type"], &lines[0]["version"]), (&json!("session"), &json!(3)));
    let mut ids = std::collections::HashSet::new();
    for entry in &lines[1..] {
        let parent = entry["parentId"].as_str();
        assert!(parent.is_none_or(|parent| ids.contains(parent)), "{entry}");
        assert!(ids.insert(entry["id"].as_str().unwrap()), "{entry}");
    }
}

#[test]
fn what_came_from_pi_goes_back_as_it_was() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/views");
    let mut cases = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let case: Value = serde_json::from_slice(&std::fs::read(file.unwrap().path()).unwrap()).unwrap();
        let source: Vec<Value> = case["source"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|line| serde_json::from_str(line.as_str()?).ok())
            .collect();
        if case["system"] != "pi" || source[0]["version"] != 3 || case["case"] == "parent-unknown" {
            continue;
        }
        let bench = Bench::new();
        for line in case["source"].as_array().unwrap() {
            bench.session.append(NewRecord::json(line.as_str().unwrap()).unwrap()).unwrap();
        }
        let lines: Vec<String> = bench.export(Format::Pi).lines().map(ToOwned::to_owned).collect();
        let source: Vec<&str> = case["source"].as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
        assert_eq!(lines, source, "{}", case["case"]);
        cases += 1;
    }
    assert!(cases >= 15, "{cases}");
}

#[test]
fn an_undo_is_a_branch_and_a_summary_a_compaction() {
    let bench = Bench::with(&[user("a"), assistant("b"), user("c")]);
    bench.session.undo(1).unwrap();
    bench.add(&user("d"));
    bench.session.compact("a was asked", 2).unwrap();
    let lines = bench.pi();
    assert_is_tree(&lines);
    let texts: Vec<_> =
        lines[1..].iter().map(|entry| entry["message"]["content"][0]["text"].as_str().unwrap_or("-")).collect();
    assert_eq!(texts, ["a", "b", "c", "d", "-"]);
    assert_eq!(lines[3]["parentId"], lines[2]["id"]);
    assert_eq!(lines[4]["parentId"], lines[2]["id"], "d stands behind b");
    assert_eq!((&lines[5]["summary"], &lines[5]["firstKeptEntryId"]), (&json!("a was asked"), &lines[2]["id"]));
    // An undo with nothing behind it: what pi takes for the leaf is the last entry of the file.
    let bench = Bench::with(&[user("a"), assistant("b")]);
    bench.session.undo(1).unwrap();
    let lines = bench.pi();
    assert_is_tree(&lines);
    assert_eq!((&lines[3]["type"], &lines[3]["parentId"]), (&json!("custom"), &lines[1]["id"]));
}

/// What a transcript can hold against whoever looks at it.
const HOSTILE: [&str; 14] = [
    "</script><script>window.hit=1</script>",
    "<!--<script>",
    "]]><svg onload=window.hit=1>",
    "\"><img src=x onerror=window.hit=1>",
    "' onmouseover='window.hit=1",
    "javascript:window.hit=1",
    "data:text/html,<script>window.hit=1</script>",
    "</style><script>window.hit=1</script>",
    "</textarea></title><script>window.hit=1</script>",
    "{{7*7}}{% include 'x' %}",
    "&lt;script&gt; &#60;script&#62;",
    "\u{202e}evil\u{2066}\u{2028}\u{0}\u{1b}[2J",
    "<base href=//example.invalid/><meta http-equiv=refresh content=0;url=//example.invalid/>",
    "`${window.hit=1}`",
];

fn hostile() -> Bench {
    let bench = Bench::with(&[assistant("hello")]);
    bench.session.set_title(HOSTILE[3]).unwrap();
    bench.session.set_labels(&HOSTILE[..3]).unwrap();
    for it in HOSTILE {
        bench.add(&user(it));
        bench.add(&json!({"role": "assistant", "content": it, "reasoning": it, "model": it, "tool_calls": [
            {"id": it, "function": {"name": it, "arguments": it}}]}));
        bench.add(&json!({"role": "tool", "tool_call_id": it, "name": it, "content": [{"type": "text", "text": it},
            {"type": "image_url", "image_url": {"url": it}}, {"type": "image", "data": it, "mimeType": it}, {"type": it}]}));
        bench.add(&json!({"role": it, it: it}));
        bench.add(&json!({"type": it, "payload": {"type": it}}));
        bench.session.mark_resume_pending(it).unwrap();
    }
    bench
}

#[test]
fn no_text_of_a_transcript_is_markup_in_the_page() {
    let page = hostile().export(Format::Html);
    let lower = page.to_lowercase();
    for (tag, count) in
        [("<script", 1), ("</script", 1), ("<style", 1), ("<meta", 5), ("<base", 0), ("<iframe", 0), ("<!--", 0)]
    {
        assert_eq!(lower.matches(tag).count(), count, "{tag}");
    }
    // Attributes hold numbers, names of ours, and pictures that are base64.
    for (at, _) in lower.match_indices("src=") {
        let is_markup = lower[..at].ends_with("<img loading=\"lazy\" ");
        assert!(!is_markup, "no picture of the corpus is one");
    }
    for hidden in ["\u{202e}", "\u{2066}", "\u{2028}", "\u{0}", "\u{1b}"] {
        assert!(!page.contains(hidden), "{hidden:?}");
    }
    assert!(page.contains("[U+202E]evil[U+2066]"));
}

#[test]
fn pictures_are_shown_up_to_a_limit_and_named_beyond_it() {
    let picture = |media_type: &str, base64: &str| json!({"role": "user", "content": [{"type": "image", "mimeType": media_type, "data": base64}]});
    let three_mib = "A".repeat(3 << 20);
    let mut bodies = vec![picture("image/png", "aGk="), picture("image/svg+xml", "aGk="), picture("image/png", "a\"b")];
    bodies.push(picture("image/jpeg", &"A".repeat((4 << 20) + 4)));
    bodies.extend(std::iter::repeat_n(picture("image/png", &three_mib), 11));
    bodies.push(json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://example.invalid/x.png"}}]}));
    let page = Bench::with(&bodies).export(Format::Html);
    assert_eq!(page.matches("<img ").count(), 1 + 10, "32 MiB hold ten of three");
    assert!(page.contains(r#"src="data:image/png;base64,aGk=""#));
    assert_eq!(page.matches("Image too large for this page").count(), 2);
    assert_eq!(page.matches("Image of a type that is not shown").count(), 2);
    assert!(page.contains("Image elsewhere, not loaded: https://example.invalid/x.png"));
}

#[test]
fn the_policy_names_the_one_script_and_the_one_style() {
    use sha2::Digest as _;
    let page = Bench::with(&[user("hi")]).export(Format::Html);
    let between = |from: &str, to: &str| page.split_once(from).unwrap().1.split_once(to).unwrap().0.to_owned();
    let policy = between("Content-Security-Policy\" content=\"", "\"");
    for (name, text) in
        [("script-src", between("<script>", "</script>")), ("style-src", between("<style>", "</style>"))]
    {
        let digest = sha2::Sha256::digest(text.as_bytes());
        let hash = base64(&digest);
        assert!(policy.contains(&format!("{name} 'sha256-{hash}'")), "{name}: {policy}");
    }
    assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    assert!(!page.contains(" style=") && !page.contains("http://") && !page.contains("https://"));
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().chain([0, 0].iter()).take(3).fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        for n in 0..=chunk.len() {
            out.push(char::from(ALPHABET[usize::try_from(bits >> (18 - 6 * n) & 63).unwrap()]));
        }
        out.push_str(&"=="[..3 - chunk.len()]);
    }
    out
}

#[test]
fn a_page_tells_what_only_the_store_knows() {
    let bench = Bench::with(&[user("a"), assistant("b")]);
    let turn = bench.session.begin_turn(vec![NewRecord::json(&user("c").to_string()).unwrap()]).unwrap();
    turn.finish(sesslog::Outcome::Failed, vec![]).unwrap();
    bench.session.undo(1).unwrap();
    bench.add(&user("d"));
    bench.session.compact("in short", 2).unwrap();
    bench.session.suspend("too loud").unwrap();
    let page = bench.export(Format::Html);
    for text in [
        "Undone",
        "Suspended: too loud",
        "Turn ended: failed",
        "Compacted",
        "in short",
        "not in the active view",
        "summed up",
    ] {
        assert!(page.contains(text), "{text}");
    }
    let (active, exported) = bench.export_with(Format::Html, &ExportOptions::new().active(true));
    assert!(!active.contains("not in the active view") && active.contains("in short"));
    assert_eq!(exported.records, 2);
}

#[test]
fn markdown_cannot_be_broken_out_of() {
    let text = hostile().export(Format::Markdown);
    let mut fence: Option<usize> = None;
    for line in text.lines() {
        let ticks = line.bytes().take_while(|byte| *byte == b'`').count();
        match fence {
            None if ticks >= 3 => fence = Some(ticks),
            Some(open) if ticks >= open && line.bytes().all(|byte| byte == b'`') => fence = None,
            // A span of code, closed on its line.
            None if line.starts_with("Calls `") || line.starts_with("*Image at* `") => {}
            None => assert!(!line.contains("<script") && !line.contains("<img") && !line.contains("<base"), "{line}"),
            Some(_) => {}
        }
    }
    assert_eq!(fence, None);
    assert_eq!(text.matches("\n## User").count(), HOSTILE.len());
}

#[test]
fn markdown_fetches_nothing_and_has_no_headings_but_its_own() {
    let said = "![x](http://evil.invalid/track.png) [a](javascript:alert(1))\nAdmin\n=====\nSystem\n---\n`a[0](1)`\n```\n![kept](y)\n```";
    let text = Bench::with(&[user(said), assistant(said)]).export(Format::Markdown);
    assert!(!text.contains("![x") && !text.contains("[a]("), "{text}");
    assert!(!text.lines().any(|line| line.starts_with("==") || line == "---"), "{text}");
    assert_eq!(text.matches("`a[0](1)`").count(), 2);
    assert_eq!(text.matches("\n![kept](y)\n").count(), 2);
}
