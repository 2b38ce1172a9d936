//! `append`: acknowledgements, bad lines, batches, many keys.

use std::fmt::Write as _;
use std::fs;

use serde_json::json;

use super::{Bench, names};

#[test]
fn every_record_is_acknowledged_and_kept_byte_for_byte() {
    let bench = Bench::new();
    let input = "{\"b\": 1, \"a\":2}\r\n\n  \t\n1e400\n\"\\u00e9\\/\\ud800\"\n[ 1,2 ]";
    let run = bench.feed(&["append", "k"], input.as_bytes()).expect(0);
    assert_eq!(run.stdout, "k 1\nk 2\nk 3\nk 4\n");
    assert_eq!(run.stderr, "");
    let run = bench.run(&["show", "k"]).expect(0);
    assert_eq!(run.stdout, "{\"b\": 1, \"a\":2}\n1e400\n\"\\u00e9\\/\\ud800\"\n[ 1,2 ]\n");
    let run = bench.run(&["--json", "show", "k"]).expect(0);
    for (line, body) in run.stdout.lines().zip(["{\"b\": 1, \"a\":2}", "1e400", "\"\\u00e9\\/\\ud800\"", "[ 1,2 ]"]) {
        assert!(line.ends_with(&format!(",\"body\":{body}}}")), "{line}");
    }
}

#[test]
fn acknowledgements_have_their_shape() {
    let bench = Bench::new();
    let run = bench.feed(&["--json", "append", "k", "--kind", "tool.call"], b"1\n2\n").expect(0);
    assert_eq!(
        run.stdout,
        "{\"type\":\"ack\",\"key\":\"k\",\"generation\":1,\"seq\":1,\"durable\":true}\n\
         {\"type\":\"ack\",\"key\":\"k\",\"generation\":1,\"seq\":2,\"durable\":true}\n\
         {\"type\":\"summary\",\"records\":2,\"errors\":0,\"durable\":true,\"status\":\"done\"}\n"
    );
    let records = bench.run(&["show", "k", "--json"]).expect(0).of_type("record");
    assert!(records.iter().all(|record| record["kind"] == "tool.call"), "{records:?}");
}

#[test]
fn buffered_acknowledgements_promise_nothing_and_the_end_makes_all_durable() {
    let bench = Bench::new();
    bench.feed(&["append", "k"], b"1\n").expect(0);
    let run = bench.feed(&["append", "k", "--buffered", "--json"], b"2\n3\n").expect(0);
    let acks = run.of_type("ack");
    assert_eq!(acks.len(), 2);
    assert!(acks.iter().all(|ack| ack["durable"] == false), "{acks:?}");
    assert_eq!(run.summary()["durable"], true);
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_bad_line_is_reported_and_the_rest_goes_on() {
    let bench = Bench::new();
    let mut input = b"1\n{secret\n\"\xff\"\n2\n".to_vec();
    input.extend("[".repeat(129).bytes().chain("]".repeat(129).bytes()));
    input.extend(b"\n3\n\"\x01\"\n\nNaN\n4 5\n6\n");
    let run = bench.feed(&["--json", "append", "k"], &input).expect(1);
    let lines: Vec<_> = run.of_type("error").iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [2, 3, 5, 7, 9, 10]);
    assert_eq!(run.summary(), json!({"type":"summary","records":4,"errors":6,"durable":true,"status":"failed"}));
    let text = bench.feed(&["append", "k"], &input).expect(1);
    assert_eq!(text.stdout, "k 5\nk 6\nk 7\nk 8\n");
    assert_eq!(text.stderr.lines().count(), 6, "{}", text.stderr);
    assert!(text.stderr.starts_with("error: line 2: body is not valid JSON"), "{}", text.stderr);
    assert!(!text.stderr.contains("secret"), "text of a record in an error: {}", text.stderr);
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n2\n3\n6\n1\n2\n3\n6\n");
}

#[test]
fn a_line_over_the_limit_is_read_over() {
    let bench = Bench::new();
    let mut input = b"1\n\"".to_vec();
    // Over the limit of a line, then one that is over the limit only with its frame.
    input.resize(input.len() + (64 << 20) + (64 << 10), b'x');
    input.extend(b"\"\n2\n\"");
    input.resize(input.len() + (64 << 20) - 64, b'x');
    input.extend(b"\"\n3\n");
    let run = bench.feed(&["--json", "append", "k"], &input).expect(1);
    let errors = run.of_type("error");
    assert_eq!(errors.iter().map(|error| error["line"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 4]);
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n2\n3\n");
}

#[test]
fn what_is_waiting_is_one_commit() {
    let bench = Bench::new();
    bench.feed(&["append", "k"], b"0\n").expect(0);
    bench.feed(&["append", "k"], "1\n".repeat(1000).as_bytes()).expect(0);
    let records = bench.run(&["--json", "show", "k", "--from", "2"]).expect(0).of_type("record");
    assert_eq!(records.len(), 1000);
    let durable: Vec<_> = records.iter().map(|record| record["durable"].as_u64().unwrap()).collect();
    // No record claims another of its own commit.
    assert!(durable.iter().all(|seq| *seq == 1), "{durable:?}");
}

#[test]
fn nobody_waits_for_a_commit_to_fill() {
    let bench = Bench::new();
    let mut running = bench.start(&["append", "k"]);
    for n in 1..=3 {
        running.send("1\n");
        assert_eq!(running.line(), format!("k {n}\n"));
    }
    // The last line is one, too, although its newline never comes.
    running.send("2");
    assert!(running.end().success());
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n1\n1\n2\n");
}

#[test]
fn many_keys_are_acknowledged_in_the_order_of_the_lines() {
    let bench = Bench::new();
    // More than are held open at once.
    let keys: Vec<_> = (0..200).map(|n| format!("agent:{n}")).collect();
    let mut input = String::new();
    let mut expected = String::new();
    for round in 1..=5 {
        for key in &keys {
            writeln!(input, "{{\"key\":\"{key}\",\"body\":{{\"round\": {round}}}}}").unwrap();
            writeln!(expected, "{key} {round}").unwrap();
        }
    }
    assert_eq!(bench.feed(&["append"], input.as_bytes()).expect(0).stdout, expected);
    for key in keys.iter().step_by(40) {
        let bodies = [1, 2, 3, 4, 5].map(|round| format!("{{\"round\": {round}}}\n")).concat();
        assert_eq!(bench.run(&["show", key]).expect(0).stdout, bodies);
    }
    let sessions = bench.run(&["list", "--json"]).expect(0).of_type("session");
    assert_eq!(sessions.len(), 200);
    assert!(sessions.iter().all(|session| session["records"] == 5), "{sessions:?}");
    bench.run(&["verify"]).expect(0);
}

#[test]
fn a_line_with_a_key_may_say_more() {
    let bench = Bench::new();
    let input = r#"{"key":"a","body":1}
{"body":{"x":1, "x":2},"ts":"2020-01-02T03:04:05.006Z","id":"req-\u0041","kind":"tool","key":"a"}
{"key":"a","body":1,"secret":2}
{"key":"a"}
{"key":"a","body":1,"ts":"2020-01-02"}
{"key":"a","body":1,"kind":"mark"}
{"key":"a","body":1,"id":""}
{"key":"","body":1}
{"key":"~store","body":1}
{"key":7,"body":1}
[1]
{"key":"a","body":1
{"key":"b","body":null}
"#;
    let run = bench.feed(&["append", "--json"], input.as_bytes()).expect(1);
    let lines: Vec<_> = run.of_type("error").iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    assert!(!run.stdout.contains("secret"), "{}", run.stdout);
    let shown = bench.run(&["show", "a", "--json"]).expect(0);
    assert!(shown.stdout.contains(r#","body":{"x":1, "x":2}}"#), "{}", shown.stdout);
    let records = shown.of_type("record");
    assert_eq!(records.len(), 2);
    assert_eq!(names(&records[0]), ["body", "crc", "durable", "generation", "key", "kind", "seq", "ts", "type"]);
    assert_eq!(records[1]["id"], "req-A");
    assert_eq!(records[1]["kind"], "tool");
    assert_eq!(records[1]["ts"], "2020-01-02T03:04:05.006Z");
    assert_eq!(bench.run(&["show", "b"]).expect(0).stdout, "null\n");
}

#[test]
fn a_damaged_session_is_not_written_to_and_stops_no_other() {
    let bench = Bench::with_records("bad", 3);
    bench.damage("bad", 2);
    // An open for writing does not read again what the registry vouches for.
    fs::remove_file(bench.store().join("registry.jsonl")).unwrap();
    let before = bench.content();
    let run = bench.feed(&["append", "bad", "--json"], b"1\n2\n").expect(3);
    assert_eq!(run.of_type("error").len(), 2);
    assert_eq!(run.summary()["records"], 0);
    assert!(bench.content() == before, "damage was written to");
    let run = bench.feed(&["append", "bad"], b"1\n2\n").expect(3);
    assert!(run.stderr.contains("hint: sessctl repair --generation 1 bad\n"), "{}", run.stderr);
    let input = b"{\"key\":\"bad\",\"body\":1}\n{\"key\":\"good\",\"body\":2}\n{\"key\":\"bad\",\"body\":3}\n";
    let run = bench.feed(&["append"], input).expect(3);
    assert_eq!(run.stdout, "good 1\n");
    assert_eq!(run.stderr.lines().filter(|line| line.starts_with("error: line ")).count(), 2, "{}", run.stderr);
}

#[test]
fn keys_of_the_store_and_bad_arguments_are_refused() {
    let bench = Bench::new();
    bench.feed(&["append", "~store"], b"1\n").expect(1);
    for args in [["append", "", ""], ["append", "k", "--kind=mark"], ["append", "k", "--kind=No"]] {
        assert_eq!(bench.run(&args).expect(2).stdout, "");
    }
    assert!(!bench.store().exists());
}

#[test]
fn lines_with_ids_can_be_sent_again_and_one_bad_id_costs_itself_only() {
    let bench = Bench::new();
    let input = "{\"key\":\"k\",\"body\":1,\"id\":\"a\"}\n{\"key\":\"k\",\"body\":2,\"id\":\"b\"}\n";
    bench.feed(&["append"], input.as_bytes()).expect(0);
    // The same lines again, with one more and one whose id is another record's in between.
    let more = format!("{input}{{\"key\":\"k\",\"body\":9,\"id\":\"a\"}}\n{{\"key\":\"k\",\"body\":3,\"id\":\"c\"}}\n");
    let run = bench.feed(&["--json", "append"], more.as_bytes()).expect(1);
    let seqs: Vec<_> = run.of_type("ack").iter().map(|ack| ack["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs, [1, 2, 3]);
    let errors = run.of_type("error");
    assert_eq!((errors.len(), errors[0]["line"].as_u64()), (1, Some(3)));
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "1\n2\n3\n");
}
