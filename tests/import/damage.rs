//! Every kind of damage that histories have: all records that can be read are there, the rest is kept as bytes and reported, the
//! source comes back byte for byte, and a second import adds nothing.

use sesslog::import::System;

use super::*;

/// A damaged source: its bytes, the names of its findings, and the records that can be read of it.
struct Damaged {
    name: &'static str,
    bytes: Vec<u8>,
    findings: Vec<&'static str>,
    readable: Vec<String>,
}

fn damaged(name: &'static str, bytes: impl Into<Vec<u8>>, findings: &[&'static str], readable: &[&str]) -> Damaged {
    let readable = readable.iter().map(ToString::to_string).collect();
    Damaged { name, bytes: bytes.into(), findings: findings.to_vec(), readable }
}

/// A line with the text given in one of its strings.
fn with_text(line: &str, text: &[u8]) -> Vec<u8> {
    let at = line.find("\"user\"").unwrap() + 1;
    [&line.as_bytes()[..at], text, &line.as_bytes()[at..]].concat()
}

/// All kinds, made of a sound source of some lines, of which the second is of a user.
fn kinds(source: &str) -> Vec<Damaged> {
    let lines: Vec<&str> = source.lines().collect();
    let (first, user) = (lines[0], lines[1]);
    let last = *lines.last().unwrap();
    let before_last = &lines[..lines.len() - 1];
    let head = |count: usize| lines[..count].join("\n") + "\n";
    let rest = |count: usize| lines[count..].join("\n") + "\n";
    let all = &lines[..];
    let replaced = |with: &str| -> Vec<String> {
        lines.iter().enumerate().map(|(at, line)| if at == 1 { with } else { line }.to_owned()).collect()
    };
    let second = |bytes: &[u8]| [head(1).as_bytes(), bytes, b"\n", rest(2).as_bytes()].concat();
    let text_is = |text: &str| String::from_utf8(with_text(user, text.as_bytes())).unwrap();
    let but_second = [&lines[..1], &lines[2..]].concat();
    let with = |name, bytes: Vec<u8>, finding, readable: Vec<String>| {
        let readable: Vec<&str> = readable.iter().map(String::as_str).collect();
        damaged(name, second(&bytes), &[finding], &readable)
    };
    let twice = [&lines[..2], &lines[1..]].concat();
    let deep = format!("{{\"deep\":{}{}}}", "[".repeat(500), "]".repeat(500));
    let nuls = "\0".repeat(512);
    let mut kinds = vec![
        damaged("sound", source, &[], all),
        damaged("torn last line", head(lines.len() - 1) + &last[..last.len() / 2], &["torn"], before_last),
        damaged("last line torn by one byte", &source[..source.len() - 2], &["torn"], before_last),
        damaged("last newline missing", &source[..source.len() - 1], &[], all),
        damaged("two records on one line", head(1) + user + &rest(2), &["fused"], all),
        damaged("three records on one line", lines[..3].concat() + "\n" + &rest(3), &["fused"], all),
        damaged("all on one line", lines.concat(), &["fused"], all),
        damaged("torn record before a record", head(1) + &user[..user.len() / 2] + &rest(2), &["fused"], &but_second),
        damaged(
            "record before a torn record",
            head(1) + lines[2] + &user[..20] + "\n" + &rest(3),
            &["fused"],
            &but_second,
        ),
        damaged("NULs on a line of their own", head(1) + &nuls + "\n" + &rest(1), &["nul"], all),
        damaged("NULs before a record", head(1) + &nuls + &rest(1), &["nul"], all),
        damaged("NULs instead of a line end", head(1).trim_end().to_owned() + &nuls + &rest(1), &["nul"], all),
        damaged("NULs at the end", source.to_owned() + &nuls, &["nul"], all),
        damaged("NULs over a record", head(1) + &user[..9] + &nuls + "\n" + &rest(2), &["nul"], &but_second),
        with("NULs in a string", with_text(user, b"\0\0"), "nul", replaced(&text_is("\\u0000\\u0000"))),
        with("byte that is no UTF-8", with_text(user, b"\xff"), "not-utf-8", replaced(&text_is("\u{fffd}"))),
        with("cut character", with_text(user, b"\xe2\x82"), "not-utf-8", replaced(&text_is("\u{fffd}"))),
        with("Latin-1", with_text(user, b"caf\xe9"), "not-utf-8", replaced(&text_is("caf\u{fffd}"))),
        with("tab in a string", with_text(user, b"\t"), "control-character", replaced(&text_is("\\u0009"))),
        with("escape in a string", with_text(user, b"\x1b[1m"), "control-character", replaced(&text_is("\\u001b[1m"))),
        damaged("CRLF", source.replace('\n', "\r\n"), &[], all),
        damaged("CRLF once", head(1) + user + "\r\n" + &rest(2), &["line-end"], all),
        damaged(
            "LF once",
            source.replace('\n', "\r\n").replacen(&format!("{user}\r\n"), &format!("{user}\n"), 1),
            &["line-end"],
            all,
        ),
        damaged("CR", source.replace('\n', "\r"), &["fused"], all),
        damaged("byte-order mark", format!("\u{feff}{source}"), &["byte-order-mark"], all),
        damaged("byte-order mark inside", head(1) + "\u{feff}" + &rest(1), &["byte-order-mark"], all),
        damaged("blank lines", head(1) + "\n\n" + &rest(1), &["blank", "blank"], all),
        damaged("white space on a line", head(1) + " \t \n" + &rest(1), &["blank"], all),
        damaged("white space around", head(1) + "  " + user + " \n" + &rest(2), &["white-space"], all),
        damaged(
            "lone surrogates",
            second(text_is("\\ud800").as_bytes()),
            &[],
            &replaced(&text_is("\\ud800")).iter().map(String::as_str).collect::<Vec<_>>(),
        ),
        damaged("line twice", head(2) + &rest(1), &[], &twice),
        damaged("torn first line", first[first.len() / 2..].to_owned() + "\n" + &rest(1), &["not-json"], &lines[1..]),
        damaged("text", head(1) + "Traceback (most recent call last):\n" + &rest(1), &["not-json"], all),
        damaged(
            "record over two lines",
            head(1) + &user[..30] + "\n" + &user[30..] + "\n" + &rest(2),
            &["not-json", "not-json"],
            &but_second,
        ),
        damaged("nested too deep", head(1) + &deep + "\n" + &rest(1), &["too-deep"], all),
        damaged("brackets only", head(1) + &"[{".repeat(100_000) + "\n" + &rest(1), &["not-json"], all),
        damaged(
            "second half lost",
            &source[..source.len() / 2],
            &["torn"],
            &lines[..lines
                .iter()
                .scan(0, |at, line| {
                    *at += line.len() + 1;
                    Some(*at)
                })
                .take_while(|end| *end <= source.len() / 2)
                .count()],
        ),
        damaged("line end only", "\n", &["blank"], &[]),
        damaged("empty", "", &[], &[]),
    ];
    let huge = format!("{{\"role\":\"user\",\"content\":\"{}\"}}", "x".repeat(20 << 20));
    kinds.push(damaged("line that is too long", head(1) + &huge + "\n" + &rest(1), &["too-long"], all));
    kinds
}

#[track_caller]
fn check(system: System, file_name: &str, source: &[u8]) {
    let options = ImportOptions::new().from(system).record_bytes_max(8 << 20);
    for Damaged { name, bytes, findings, readable } in kinds(std::str::from_utf8(source).unwrap()) {
        let bench = Bench::new();
        let path = bench.write(file_name, &bytes);
        let before = fs::metadata(&path).unwrap();
        let imported = bench.import(&options);
        assert_eq!(names(&imported), findings, "{name}");
        let (key, state) = only(&imported);
        assert_eq!(state, State::New, "{name}");
        let session = bench.store.session(key.as_str()).unwrap();
        let mut bodies = Vec::new();
        for item in session.records().unwrap() {
            let Item::Record(record) = item.unwrap() else { panic!("{name}: a gap") };
            if !record.is_mark() && !record.kind().starts_with("meta.import") {
                bodies.push(record.body().to_owned());
            }
        }
        assert_eq!(bodies, readable, "{name}");
        // Counts: what is kept raw is what no body holds.
        let told = &imported.sessions[0];
        assert_eq!(told.bytes, u64::try_from(bytes.len()).unwrap(), "{name}");
        assert_eq!(told.lines, u64::try_from(bytes.split_inclusive(|byte| *byte == b'\n').count()).unwrap(), "{name}");
        assert_eq!(told.raw_lines, u64::try_from(findings.len()).unwrap(), "{name}");
        let found = imported.findings.iter().map(|finding| {
            let (offset, line) = (usize::try_from(finding.offset).unwrap(), finding.line.unwrap());
            let lines_before = bytes[..offset].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(u64::try_from(lines_before).unwrap() + 1, line, "{name}");
            finding.bytes
        });
        assert_eq!(found.sum::<u64>(), told.raw_bytes, "{name}");
        assert!(bench.original(&key) == bytes, "{name}: not the same bytes");

        let again = bench.import(&options);
        assert_eq!((only(&again).1, again.sessions[0].records, names(&again)), (State::Unchanged, 0, vec![]), "{name}");
        let now = fs::metadata(&path).unwrap();
        let times = |metadata: &fs::Metadata| (metadata.modified().unwrap(), metadata.accessed().unwrap());
        assert_eq!(times(&now), times(&before), "{name}: the source was touched");
        assert!(fs::read(&path).unwrap() == bytes, "{name}: the source was changed");

        // As damage comes to a file that was imported sound: nothing that is there is lost.
        fs::write(&path, source).unwrap();
        let states = [State::Unchanged, State::Grown, State::NextGeneration];
        assert!(states.contains(&only(&bench.import(&options)).1), "{name}");
        assert!(bench.original(&key) == source, "{name}: not the same bytes");
    }
}

#[test]
fn of_lines() {
    check(System::Jsonl, "chat.jsonl", &fixture("jsonl/chat.jsonl"));
}

#[test]
fn of_pi() {
    check(
        System::Pi,
        "2026-11-22T00-51-52-154Z_01a200bc-f0d9-7460-96d6-036c2428b0ad.jsonl",
        &fixture("pi/v3-all-entry-types.jsonl"),
    );
}

#[test]
fn of_nanobot() {
    check(System::Nanobot, "dGVsZWdyYW06ODI4MTI0ODU2OQ.jsonl", &fixture("nanobot/dGVsZWdyYW06ODI4MTI0ODU2OQ.jsonl"));
}

#[test]
fn of_claude_code() {
    let name = "123e4567-e89b-12d3-a456-426614174000.jsonl";
    let source = String::from_utf8(fixture(&format!("claude-code/{name}"))).unwrap();
    // From the first message of the user on its second line on.
    let lines: Vec<&str> = source.split_inclusive('\n').skip(1).collect();
    check(System::ClaudeCode, name, lines.concat().as_bytes());
}

#[test]
fn of_codex() {
    let name = "rollout-2026-04-20T16-44-37-019b0000-0000-7000-8000-000000000001.jsonl";
    let source = String::from_utf8(fixture(&format!("codex/{name}"))).unwrap();
    // From the first message of the user on its second line on; without the last, which leaves nothing to see.
    let lines: Vec<&str> =
        source.split_inclusive('\n').skip(1).filter(|line| !line.contains("\"compacted\"")).collect();
    check(System::Codex, name, lines.concat().as_bytes());
}

#[test]
fn of_openclaw() {
    let name = "0a6ed333-9514-4a65-a748-85a4d0785b7b.jsonl";
    let source = String::from_utf8(fixture(&format!("openclaw/{name}"))).unwrap();
    let lines: Vec<&str> = source.split_inclusive('\n').filter(|line| !line.contains("\"model_change\"")).collect();
    check(System::Openclaw, name, lines.concat().as_bytes());
}

#[test]
fn of_hermes() {
    let name = "20260319_052206_eee156a5.jsonl";
    check(System::Hermes, name, &fixture(&format!("hermes/{name}")));
}
