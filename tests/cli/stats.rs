//! `stats`: what is counted, against what was appended.

use super::Bench;

#[test]
fn records_are_counted_by_day_role_and_size() {
    let bench = Bench::new();
    let line = |key: &str, day: u32, body: &str| {
        format!("{{\"key\":\"{key}\",\"ts\":\"2026-01-0{day}T10:00:00.000Z\",\"body\":{body}}}\n")
    };
    let usage = r#"{"role":"assistant","content":"a","usage":{"prompt_tokens":30,"completion_tokens":5}}"#;
    let input = [
        line("a", 1, r#"{"role":"user","content":"q"}"#),
        line("a", 1, usage),
        line("a", 2, r#"{"role":"user","content":"q"}"#),
        line("a", 3, usage),
        line("b", 3, r#"{"role":"user","content":"what is the time"}"#),
        line("b", 3, r#"{"x":1}"#),
    ];
    bench.feed(&["append"], input.concat().as_bytes()).expect(0);
    bench.run(&["title", "a", "not counted as a record"]).expect(0);
    let run = bench.run(&["--json", "stats"]).expect(0);
    let summary = run.summary();
    for (field, count) in [
        ("sessions", 2),
        ("records", 6),
        ("turns", 3),
        ("broken_turns", 0),
        ("input_tokens", 60),
        ("output_tokens", 10),
        ("gaps", 0),
        ("unreadable", 0),
    ] {
        assert_eq!(summary[field], count, "{field}");
    }
    assert!(summary["marks"].as_u64() >= Some(1));
    let days: Vec<_> = run
        .of_type("day")
        .iter()
        .map(|day| (day["day"].clone(), day["records"].clone(), day["sessions"].clone(), day["input_tokens"].clone()))
        .collect();
    let expected = [("2026-01-01", 2, 1, 30), ("2026-01-02", 1, 0, 30), ("2026-01-03", 3, 1, 0)];
    assert_eq!(
        days,
        expected.map(|(day, records, sessions, tokens)| (day.into(), records.into(), sessions.into(), tokens.into()))
    );
    let roles: Vec<_> =
        run.of_type("role").iter().map(|role| (role["role"].clone(), role["records"].clone())).collect();
    assert_eq!(
        roles,
        [("assistant", 2), ("note", 1), ("user", 3)].map(|(role, records)| (role.into(), records.into()))
    );
    let largest: Vec<_> = run.of_type("session").iter().map(|session| session["key"].clone()).collect();
    assert_eq!(largest, ["a", "b"]);
    let bytes = |kind: &str| run.of_type(kind).iter().map(|line| line["bytes"].as_u64().unwrap()).sum::<u64>();
    assert_eq!((bytes("day"), bytes("role"), bytes("session")), (bytes("day"), bytes("day"), bytes("day")));
    assert_eq!(bytes("day"), summary["bytes"].as_u64().unwrap());
    assert_eq!(bench.run(&["--json", "stats", "--days", "1"]).expect(0).of_type("day").len(), 1);
    let text = bench.run(&["stats"]).expect(0).stdout;
    assert!(text.starts_with("2 sessions, 6 records, ") && text.contains("tokens: 60 in, 10 out"), "{text}");
}

#[test]
fn damage_is_told() {
    let bench = Bench::with_records("k", 3);
    let path = bench.run(&["path", "k"]).expect(0).stdout;
    let mut bytes = std::fs::read(path.trim_end()).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path.trim_end(), bytes).unwrap();
    let run = bench.run(&["--json", "stats"]).expect(3);
    assert_eq!(run.summary()["gaps"], 1);
}
