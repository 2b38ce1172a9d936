//! `grep`: what matches and how it is printed.

use super::Bench;

impl Bench {
    fn with_words() -> Self {
        let bench = Self::new();
        let lines = [
            r#"{"key":"a","ts":"2026-01-01T00:00:00.000Z","body":{"text":"say \"hi\" to Zoe"}}"#,
            r#"{"key":"a","ts":"2026-01-01T00:00:01.000Z","body":{"text":"two\nlines"},"kind":"tool.call"}"#,
            r#"{"key":"a","ts":"2026-01-01T00:00:02.000Z","body":"hi"}"#,
            r#"{"key":"b","ts":"2026-01-01T00:00:03.000Z","body":["nothing"]}"#,
        ];
        bench.feed(&["append"], (lines.join("\n") + "\n").as_bytes()).expect(0);
        bench
    }

    #[track_caller]
    fn greps(&self, args: &[&str], expected: &[&str]) {
        let run = self.run(&[&["grep"], args].concat()).expect(0);
        let mut lines: Vec<_> = run.stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, expected, "{args:?}");
    }
}

const FIRST: &str = r#"a  1  1  2026-01-01T00:00:00.000Z  {"text":"say \"hi\" to Zoe"}"#;
const SECOND: &str = r#"a  1  2  2026-01-01T00:00:01.000Z  {"text":"two\nlines"}"#;
const THIRD: &str = r#"a  1  3  2026-01-01T00:00:02.000Z  "hi""#;
const OTHER: &str = r#"b  1  1  2026-01-01T00:00:03.000Z  ["nothing"]"#;

#[test]
fn what_matches_is_printed_with_its_place() {
    let bench = Bench::with_words();
    bench.greps(&["hi"], &[FIRST, THIRD, OTHER]);
    bench.greps(&["-w", "hi"], &[FIRST, THIRD]);
    bench.greps(&["zoe"], &[]);
    bench.greps(&["-i", "zoe"], &[FIRST]);
    bench.greps(&["hi", "b"], &[OTHER]);
    // A body begins and ends where it does, not where its line does.
    bench.greps(&["^\"hi\"$"], &[THIRD]);
    bench.greps(&["-F", "[\"n"], &[OTHER]);
    bench.greps(&["tw.*s"], &[SECOND]);
    // What stands in the frame is no body.
    bench.greps(&["seq"], &[]);
    bench.greps(&["kind"], &[]);
    bench.greps(&["--kind", "tool.call", "."], &[SECOND]);
    bench.greps(&["-l", "hi"], &["a  1", "b  1"]);
    bench.greps(&["-c", "hi"], &["a  1  2", "b  1  1"]);
    bench.greps(&["-C", "1", "Zoe"], &[FIRST, SECOND]);
    bench.greps(&["-C", "1", "-w", "hi", "a"], &[FIRST, SECOND, THIRD]);
}

#[test]
fn text_is_compared_as_it_was_before_json() {
    let bench = Bench::with_words();
    bench.greps(&["say \"hi\""], &[]);
    bench.greps(&["--text", "say \"hi\""], &[FIRST]);
    bench.greps(&["--text", "two\\s+lines"], &[SECOND]);
    bench.greps(&["--text", "^hi$"], &[THIRD]);
}

#[test]
fn json_lines_are_records() {
    let bench = Bench::with_words();
    let run = bench.run(&["--json", "grep", "-w", "hi"]).expect(0);
    let records = run.of_type("record");
    assert_eq!(records.len(), 2);
    assert_eq!((&records[1]["key"], &records[1]["seq"], &records[1]["body"]), (&"a".into(), &3.into(), &"hi".into()));
    assert_eq!(run.summary()["records"], 2);
    let counted = bench.run(&["--json", "grep", "-c", "hi", "a"]).expect(0).of_type("session");
    assert_eq!((&counted[0]["key"], &counted[0]["records"]), (&"a".into(), &2.into()));
}

#[test]
fn bad_patterns_unknown_keys_and_damage_are_told() {
    let bench = Bench::with_words();
    assert!(bench.run(&["grep", "("]).expect(1).stderr.contains("not a pattern"));
    bench.run(&["grep", "a", "nobody"]).expect(6);
    let path = bench.run(&["path", "a"]).expect(0).stdout;
    let mut bytes = std::fs::read(path.trim_end()).unwrap();
    let at = bytes.windows(3).position(|window| window == b"Zoe").unwrap();
    bytes[at - 3] ^= 1;
    std::fs::write(path.trim_end(), bytes).unwrap();
    let run = bench.run(&["grep", "Zoe|hi", "a"]).expect(3);
    assert!(run.stdout.starts_with(THIRD) && run.stderr.contains("a generation 1: "), "{run:?}");
    assert!(run.stderr.contains("hint: sessctl verify"), "{run:?}");
    assert_eq!(bench.run(&["--json", "grep", "Zoe|hi", "a"]).expect(3).of_type("gap").len(), 1);
}
