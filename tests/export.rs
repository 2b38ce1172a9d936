//! Exports: what each format holds of a session, what is escaped, what is redacted, and what is not.

#![cfg(feature = "export")]
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

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

fn redacted(body: &Value) -> (Value, Vec<(&'static str, u64)>) {
    let bench = Bench::with(std::slice::from_ref(body));
    let (line, exported) = bench.export_with(Format::Jsonl, &ExportOptions::new().redact(true));
    (serde_json::from_str(&line).unwrap(), exported.redacted.into_iter().collect())
}

/// Made up here, in pieces: nobody who looks for secrets shall find one in this file.
fn secret(prefix: &str, length: usize) -> String {
    let letters = "q7Rk2ZpX9vBn4LsW8yTd3HfJ6mCgQ5xV1aEuKoP0iYbNzMrSwDtFhGjUlAcIeO";
    prefix.to_owned() + &letters.repeat(2)[..length]
}

#[test]
fn what_looks_like_a_secret_is_replaced() {
    let jwt = format!("{}.{}.{}", secret("eyJ", 20), secret("eyJ", 30), secret("", 40));
    let key = format!("-----BEGIN RSA {0}-----\n{1}\n{1}\n-----END RSA {0}-----", "PRIVATE KEY", secret("", 62));
    let cases = [
        ("OpenAI key", secret("sk-", 48)),
        ("OpenAI key", secret("sk-proj-", 60)),
        ("Anthropic key", secret("sk-ant-api03-", 60)),
        ("AWS key", format!("AK{}", "IAQ7RK2ZPX9VBN4LSW")),
        ("GitHub token", secret("ghp_", 36)),
        ("GitHub token", secret("github_pat_", 60)),
        ("GitLab token", secret("glpat-", 20)),
        ("Slack token", secret("xoxb-", 40)),
        ("Google key", secret("AIza", 35)),
        ("Stripe key", secret("sk_live_", 24)),
        ("Telegram bot token", secret("1234567890:", 35)),
        ("Telegram bot token", format!("https://api.telegram.org/{}/getMe", secret("bot123456789:", 35))),
        ("Telegram bot token", format!("https://api.telegram.org/{}-/getMe", secret("bot123456789:", 34))),
        ("Vault token", secret("hvs.", 24)),
        ("Notion token", secret("secret_", 43)),
        ("Notion token", secret("ntn_", 46)),
        ("Linear key", secret("lin_api_", 40)),
        ("Replicate token", secret("r8_", 37)),
        ("Shopify token", secret("shpat_", 32)),
        ("Atlassian token", secret("ATATT3xFfGF0", 60)),
        ("Docker token", secret("dckr_pat_", 27)),
        ("Netlify token", secret("nfp_", 36)),
        ("Supabase key", secret("sbp_", 40)),
        ("Sentry token", secret("sntrys_", 64)),
        ("age key", secret("AGE-SECRET-KEY-1", 58)),
        ("Google key", secret("1//0", 60)),
        ("Mailgun key", secret("key-", 32)),
        ("signature in a URL", format!("https://x.example.invalid/b?sv=2024&{}%3D&se=2027", secret("sig=", 43))),
        ("token in a URL", format!("{}:x-oauth-basic@github.example.invalid/x.git", secret("https://", 20))),
        ("token in a URL", format!("{}@github.example.invalid/x.git", secret("https://", 40))),
        ("password of a command", "curl -s -u user:pw https://example.invalid".to_owned()),
        ("password of a command", "curl --user 'user:pw' https://example.invalid".to_owned()),
        ("Authorization header", secret("Authorization: token ", 40)),
        ("Authorization header", secret("Authorization: ", 32)),
        ("cookie", secret("Cookie: theme=dark; session=", 20)),
        ("cookie", format!("Set-Cookie: {}; Path=/; HttpOnly", secret("session=", 20))),
        ("cookie", secret("curl -b session=", 20)),
        ("secret in an element", "<password>hunter2</password>".to_owned()),
        ("secret in an element", format!("<app:apiKey kind='x'>{}</app:apiKey>", secret("", 32))),
        ("named secret", format!("- name: API_KEY\n  value: {}", secret("", 32))),
        ("npm token", secret("npm_", 36)),
        ("Hugging Face token", secret("hf_", 34)),
        ("JWT", jwt),
        ("private key", key),
        ("bearer token", secret("Authorization: Bearer ", 40)),
        ("Authorization header", "Authorization: Basic YWxhZGRpbjpvcGVuc2VzYW1l".to_owned()),
        ("private key", format!("-----BEGIN {}-----\n{}", "PRIVATE KEY", secret("", 62))),
        ("password in a URL", "postgres://admin:hunter2@db.example.invalid/x".to_owned()),
        ("assigned secret", secret("SECRET=", 24)),
        ("assigned secret", secret("export DB_PASSWORD='", 12)),
        ("assigned secret", secret("api_key: ", 32)),
        ("assigned secret", secret("tool --token ", 32)),
        ("assigned secret", secret("{\"clientSecret\": \"", 32)),
    ];
    for (kind, text) in cases {
        // Bare, in a sentence, and in JSON that is a string of JSON.
        let texts = [text.clone(), format!("use {text} please"), json!({"arguments": format!("x {text}")}).to_string()];
        let (body, kinds) = redacted(&json!({"role": "user", "content": texts}));
        assert_eq!(kinds, [(kind, 3)], "{text}: {body}");
        for new in body["content"].as_array().unwrap() {
            let new = new.as_str().unwrap();
            assert!(new.contains(&format!("[redacted: {kind}]")) && !new.contains(&secret("", 12)), "{body}");
        }
    }
    let (body, kinds) =
        redacted(&json!({"role": "tool", "env": {"OPENAI_API_KEY": secret("", 40), "HOME": "/home/user"}}));
    assert_eq!(body["env"], json!({"OPENAI_API_KEY": "[redacted: assigned secret]", "HOME": "/home/user"}));
    assert_eq!(kinds, [("assigned secret", 1)]);
}

#[test]
fn what_is_named_a_secret_around_it_is_replaced() {
    let it = secret("", 32);
    let assigned = "[redacted: assigned secret]";
    let cases = [
        (json!({"headers": {"Authorization": it}}), "Authorization header", "[redacted: Authorization header]"),
        (
            json!({"headers": {"authorization": format!("token {it}")}}),
            "Authorization header",
            "token [redacted: Authorization header]",
        ),
        (
            json!({"headers": {"Authorization": ["Basic YWxhZGRpbjpvcGVuc2VzYW1l"]}}),
            "Authorization header",
            "Basic [redacted: Authorization header]",
        ),
        (
            json!({"headers": {"Authorization": format!("Bearer {it}")}}),
            "bearer token",
            "Bearer [redacted: bearer token]",
        ),
        (json!({"headers": {"Cookie": format!("a=b; session={it}")}}), "cookie", "[redacted: cookie]"),
        (json!([{"name": "API_KEY", "value": it}]), "assigned secret", assigned),
        (json!([{"value": it, "key": "API_KEY"}]), "assigned secret", assigned),
        (json!({"secrets": [it]}), "assigned secret", assigned),
        (json!({"token": {"access": it}}), "assigned secret", assigned),
        (json!({"pass": "hunter2"}), "assigned secret", assigned),
        (json!({"password": "correct horse battery staple"}), "assigned secret", assigned),
    ];
    for (value, kind, expected) in cases {
        // In the body, and in arguments, which are JSON in a string.
        let in_string = json!({"role": "assistant", "tool_calls": [{"function": {"arguments": value.to_string()}}]});
        for body in [json!({"role": "tool", "x": value}), in_string] {
            let (new, kinds) = redacted(&body);
            assert_eq!(kinds, [(kind, 1)], "{body}: {new}");
            let arguments = new
                .pointer("/tool_calls/0/function/arguments")
                .map(|it| serde_json::from_str(it.as_str().unwrap()).unwrap());
            let new: Value = arguments.unwrap_or_else(|| new["x"].clone());
            assert!(new.to_string().contains(&format!("\"{expected}\"")), "{new}");
        }
    }
}

#[test]
fn a_picture_is_left_alone_and_what_follows_is_not() {
    let picture = format!("data:image/png;base64,{}", secret("iVBORw0KGgo", 100).repeat(4));
    let text = format!("{picture} and {}", secret("ghp_", 36));
    let (body, kinds) = redacted(&user(&text));
    assert_eq!(kinds, [("GitHub token", 1)]);
    assert_eq!(body["content"], format!("{picture} and [redacted: GitHub token]"));
    let (_, kinds) = redacted(&user(&format!("data:image/svg+xml,<svg>{}</svg>", secret("ghp_", 36))));
    assert_eq!(kinds, [("GitHub token", 1)]);
}

#[test]
fn what_is_no_secret_stays() {
    let picture = secret("iVBORw0KGgo", 100).repeat(40);
    for text in [
        "commit 3f786850e387550fdab836ed7e6dc881de23001b, sha256 5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03",
        "id 123e4567-e89b-12d3-a456-426614174000, token: 123e4567-e89b-12d3-a456-426614174000",
        "the tokenizer of cl100k_base has 100256 tokens; max_tokens=4096, total_tokens: 1500000000000000",
        "password: please ask me; PASSWORD=${DB_PASSWORD}; token = os.environ.get(name)",
        "api_key=settings.openai_api_key and secret = self.config.secret_name",
        "key: value, primary_key: a1b2c3d4e5f6g7h8, keyboard=q1w2e3r4t5y6u7i8",
        "https://example.invalid/a:b@c http://localhost:8080/x?y=z user@example.invalid",
        "secret/path/to/file123456789 is at /run/secrets/db_password_file_1",
        "task-1234567890abcdefghijklmnop sk-learn risk-assessment-of-the-quarter",
        "a basic understanding of the bearer authentication-scheme, Basic Configuration",
        "postgres://user:${PASSWORD}@db.example.invalid https://user:<password>@example.invalid",
        "if line == \"-----BEGIN PRIVATE KEY-----\" then the key begins and -----END PRIVATE KEY----- ends it",
        "SECRET=xxxxxxxxxxxxxxxx1234 TOKEN=<your-token-here-123456>",
        "PASS: tests/test_1.rs first pass: 12 of 34, 2 bypass=true, compass=north123",
        "ATATTACGATTACAGATTACAGATTACAGATTACA secret_name ntn_short key-value sig=ok r8_g8_b8",
        "Authorization: required, Cookie: none, curl -u user:$PASSWORD https://example.invalid",
        "<password>${PASSWORD}</password> <token>string</token> <input type=password> name: key, value: 12",
        "ssh://git@example.invalid/x https://someone@example.invalid",
        "{\"password\": \"Enter your password\", \"token\": {\"type\": \"string\"}}",
        &picture,
        &format!("data:image/png;base64,{picture}"),
    ] {
        let (body, kinds) = redacted(&user(text));
        assert_eq!((body["content"].as_str().unwrap(), kinds), (text, vec![]));
    }
    // What this crate and others write themselves.
    for body in [
        json!({"usage": {"input_tokens": 10, "token_count": "1234567890123456"}, "sessionKey": "agent:main:telegram:dm:123456789"}),
        json!({"id": "msg_01XFDUDYJgAACzvnptvVoYEL", "signature": picture, "encrypted_content": picture}),
        json!({"key": "telegram:8281248569", "cursor": "eyJhIjoxfQ"}),
        json!({"secretKeyRef": {"name": "db-secret-2024-a1b2c3", "key": "password"}}),
        json!({"name": "color", "value": "a1b2c3d4e5f6g7h8i9j0"}),
        json!({"password": {"type": "string", "description": "The password, 8 characters or more"}}),
        json!({"authorization_endpoint": "https://example.invalid/oauth2/v1/authorize"}),
    ] {
        assert_eq!(redacted(&body), (body, vec![]));
    }
}

#[test]
fn every_format_is_redacted_titles_and_reasons_too() {
    let secret = secret("ghp_", 36);
    for format in [Format::Jsonl, Format::Markdown, Format::Html, Format::OpenAi, Format::Pi] {
        let bench = Bench::with(&[
            user(&secret),
            json!({"role": "assistant", "content": null, "tool_calls": [
            {"id": "c1", "function": {"name": "exec", "arguments": json!({"command": secret}).to_string()}}]}),
        ]);
        bench.session.set_title(&secret).unwrap();
        bench.session.mark_resume_pending(&secret).unwrap();
        bench.session.compact(&secret, 1).unwrap();
        assert!(bench.export(format).contains(&secret), "{format:?}");
        let (text, exported) = bench.export_with(format, &ExportOptions::new().redact(true));
        assert!(!text.contains(&secret), "{format:?}");
        assert!(exported.redacted["GitHub token"] >= 2, "{format:?}");
    }
}
