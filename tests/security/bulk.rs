//! Memory and time: what stands in a file costs no more than its work needs, however large the file is and whatever is in it.
//!
//! The kernel measures: `sessctl` runs with a limit for its data (`RLIMIT_DATA`: heap and private maps), beyond which it is
//! refused memory and aborts, and one for its processor time, so that what never ends is killed. Files are sparse where they
//! can be; the sizes are what an unoptimised build goes through in seconds.

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::{Run, filled, forge, run, sessctl_after, transcript};

const MIB: u64 = 1024 * 1024;
/// What a command may hold of a file whose records are small: a fraction of every file here.
const DATA_MIB: u64 = 10;
/// Size of what may not be held.
const LARGE: u64 = 12 * MIB;

fn bounded(data_mib: u64, store: &Path, args: &[&str]) -> Run {
    // One arena, so that it is not the number of threads that is measured.
    let setting = format!("ulimit -d {} && ulimit -t 240 && export MALLOC_ARENA_MAX=1", data_mib * 1024);
    run(&mut sessctl_after(&setting, store, args))
}

fn with_input(data_mib: u64, store: &Path, args: &[&str], input: &Path) -> Run {
    let setting = format!("ulimit -d {} && ulimit -t 240 && export MALLOC_ARENA_MAX=1", data_mib * 1024);
    run(sessctl_after(&setting, store, args).stdin(fs::File::open(input).unwrap()))
}

/// A store whose session `k` has this transcript; `hole` NULs are left at its end.
fn store_of(folder: &Path, content: &[u8], hole: u64, behind: &[u8]) -> PathBuf {
    let store = folder.join("store");
    filled(&store, "other", 1);
    let mut file = fs::File::create(transcript(&store, "k", 1)).unwrap();
    file.write_all(content).unwrap();
    file.set_len(u64::try_from(content.len()).unwrap() + hole).unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(behind).unwrap();
    store
}

/// Every command goes over the store; each ends by itself, with a status of its own.
fn every_command_is_bounded(story: &str, store: &Path, data_mib: u64) {
    let input = store.with_extension("input");
    fs::write(&input, "1\n").unwrap();
    let commands: [&[&str]; 4] = [&["list"], &["tail", "-n", "3", "k"], &["show", "k"], &["verify", "--deep"]];
    let mends: [&[&str]; 3] = [&["append", "k"], &["rebuild-index"], &["repair", "k"]];
    for args in commands.into_iter().chain(mends) {
        let ran = if args[0] == "append" {
            with_input(data_mib, store, args, &input)
        } else {
            bounded(data_mib, store, args)
        };
        let shown: String = ran.stderr.chars().take(500).collect();
        assert!(
            ran.code.is_some_and(|code| [0, 1, 3, 4].contains(&code)),
            "{story}: {args:?} came to {:?}: {shown}",
            ran.code
        );
    }
    assert_eq!(crate::bodies_of(store, "other"), crate::numbered_bodies(1..=1), "{story}");
}

#[test]
fn the_measure_can_fail() {
    // A record is held whole by whoever shows it: under a limit below its size that does not go.
    let folder = tempfile::tempdir().unwrap();
    let body = format!("\"{}\"", "x".repeat(usize::try_from(LARGE).unwrap()));
    let (text, ..) = forge::transcript("k", &[&body]);
    let store = store_of(folder.path(), text.as_bytes(), 0, b"");
    assert_eq!(bounded(DATA_MIB, &store, &["show", "k"]).code, None, "killed by its own abort");
    assert_eq!(bounded(96, &store, &["show", "k"]).expect(0).stdout.len(), body.len() + 1);
}

#[test]
fn files_without_a_header_cost_nothing() {
    let newlines = vec![b'\n'; usize::try_from(LARGE).unwrap()];
    for (story, content, hole) in
        [("newlines", &newlines[..], 0), ("NULs", b"", LARGE), ("a line without end", b"x", LARGE), ("nothing", b"", 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let store = store_of(folder.path(), content, hole, b"");
        assert_eq!(bounded(DATA_MIB, &store, &["verify"]).code, Some(3), "{story}");
        every_command_is_bounded(story, &store, DATA_MIB);
    }
}

/// Name, what the file begins with, how many NULs follow, what ends it, and the status of `verify`.
type Story<'a> = (&'a str, &'a [u8], u64, &'a [u8], i32);

#[test]
fn a_long_tail_behind_good_records_is_not_held() {
    let (text, seed, prev) = forge::transcript("k", &["1", "2"]);
    let head = forge::head((3, 2, prev), "message");
    let begun = format!("{text}{head}\"");
    let newlines = [text.as_bytes(), &vec![b'\n'; usize::try_from(MIB / 16).unwrap()]].concat();
    // A frame whose body is all zeros, with the checksum that is right for it.
    let zeros = vec![0; usize::try_from(LARGE).unwrap()];
    let crc = forge::crc(forge::crc(seed, format!("{head}\"").as_bytes()), &zeros);
    let crc = forge::crc(crc, b"\"");
    let end = format!("\",\"crc\":\"{crc:08x}\"}}");
    let stories: [Story; 5] = [
        ("padding", text.as_bytes(), LARGE, b"", 0),
        ("a record that never ends", begun.as_bytes(), LARGE, b"", 4),
        ("a line of zeros", begun.as_bytes(), LARGE, b"\n", 4),
        ("newlines", &newlines, 0, b"", 3),
        // It has to be held to see that it is no JSON.
        ("a sound checksum over zeros", begun.as_bytes(), LARGE, end.as_bytes(), 4),
    ];
    for (story, content, hole, behind, verdict) in stories {
        let folder = tempfile::tempdir().unwrap();
        let store = store_of(folder.path(), content, hole, behind);
        let limit = if story.starts_with("a sound") { 6 * LARGE / MIB } else { DATA_MIB };
        assert_eq!(bounded(limit, &store, &["verify"]).code, Some(verdict), "{story}");
        let shown = bounded(limit, &store, &["show", "k"]);
        assert_eq!(shown.stdout, "1\n2\n", "{story}");
        every_command_is_bounded(story, &store, limit);
    }
}

#[test]
fn lines_that_repeat_cost_no_more_than_the_file() {
    // Anybody can copy a line: each is a sound record, and each a finding.
    let (text, ..) = forge::transcript("k", &["1", "2"]);
    let line = format!("{}\n", text.lines().nth(1).unwrap());
    let count = usize::try_from(LARGE).unwrap() / line.len();
    let copies = line.repeat(count);
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(folder.path(), format!("{text}{copies}").as_bytes(), 0, b"");
    // A backward read holds the damage that it steps over, and a repair what it plans: about the size of the file.
    every_command_is_bounded("copies", &store, 2 * LARGE / MIB);
    fs::write(transcript(&store, "k", 1), format!("{text}{copies}")).unwrap();
    let verified = bounded(2 * LARGE / MIB, &store, &["--json", "verify", "k"]).expect(3).stdout;
    let summary: serde_json::Value = serde_json::from_str(verified.lines().last().unwrap()).unwrap();
    // All are counted, a thousand are told, and that is one for each of them and the summary.
    assert_eq!((summary["findings"].as_u64(), verified.lines().count()), (u64::try_from(count).ok(), 1001));
}

#[test]
fn reading_backward_holds_few_records_of_any_size() {
    let body = format!("\"{}\"", "x".repeat(usize::try_from(2 * MIB).unwrap()));
    let (text, ..) = forge::transcript("k", &[body.as_str(); 14]);
    let folder = tempfile::tempdir().unwrap();
    let store = store_of(folder.path(), text.as_bytes(), 0, b"");
    for (args, lines) in [(&["tail", "-n", "1", "k"][..], 1), (&["show", "--tail", "2", "k"], 2), (&["show", "k"], 14)]
    {
        let shown = bounded(20, &store, args).expect(0).stdout;
        assert_eq!(shown.len(), lines * (body.len() + 1), "{args:?}");
    }
    bounded(DATA_MIB, &store, &["verify"]).expect(0);
    bounded(DATA_MIB, &store, &["list"]).expect(0);
}

#[test]
fn a_million_levels_are_no_stack() {
    let deep = "[".repeat(1_000_000);
    let whole = format!("{deep}{}", "]".repeat(1_000_000));
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    filled(&store, "other", 1);
    // As a body, as an envelope's, and as a key.
    let input = folder.path().join("input");
    for line in [
        whole.clone(),
        deep.clone(),
        format!(r#"{{"key":"k","body":{whole}}}"#),
        format!(r#"{{"key":{whole},"body":1}}"#),
    ] {
        fs::write(&input, format!("{line}\n2\n")).unwrap();
        with_input(DATA_MIB, &store, &["append", "k"], &input).expect(1);
        with_input(DATA_MIB, &store, &["append"], &input).expect(1);
    }
    // As a record that another program wrote, with the right checksum; in a mark; in a header; in a row.
    let mark = format!(r#"{{"mark":"title","title":"t","more":{whole}}}"#);
    let (text, seed, prev) = forge::transcript("k", &[&whole, &deep]);
    let text = format!("{text}{}", forge::line(seed, (3, 2, prev), "mark", &mark));
    let header =
        forge::line(0, (0, 0, 0), "header", &format!(r#"{{"format":1,"x":{whole},"key":"k","generation":1}}"#));
    for content in [text, header] {
        fs::write(transcript(&store, "k", 1), &content).unwrap();
        for args in
            [&["list"][..], &["show", "--marks", "k"], &["--json", "show", "--marks", "k"], &["verify", "--deep"]]
        {
            let ran = bounded(48, &store, args);
            assert!(ran.code.is_some_and(|code| [0, 1, 3].contains(&code)), "{args:?} came to {:?}", ran.code);
        }
    }
    fs::write(store.join("registry.jsonl"), forge::row(0, &format!(r#"{{"key":"k","title":{whole}}}"#))).unwrap();
    bounded(48, &store, &["rebuild-index", "--accept-loss"]);
    assert_eq!(crate::bodies_of(&store, "other"), crate::numbered_bodies(1..=1));
}

#[test]
fn garbage_in_the_place_of_the_registry_is_not_held() {
    let size = usize::try_from(LARGE).unwrap();
    for (story, byte, period) in
        [("one line", b'x', size + 1), ("newlines", b'\n', 1), ("lines", b'{', 100), ("a sparse line", 0, 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        filled(&store, "k", 2);
        let registry = store.join("registry.jsonl");
        let good = fs::read(&registry).unwrap();
        if byte == 0 {
            fs::File::create(&registry).unwrap().set_len(4 * LARGE).unwrap();
        } else {
            let garbage: Vec<u8> = (0..size).map(|at| if at % period == period - 1 { b'\n' } else { byte }).collect();
            fs::write(&registry, garbage).unwrap();
        }
        for args in [&["list"][..], &["show", "k"], &["verify", "k"], &["rebuild-index"]] {
            bounded(DATA_MIB, &store, args).expect(0);
        }
        assert_eq!(fs::read(&registry).unwrap(), good, "{story}: a rebuild writes what was there before");
    }
}

#[test]
fn records_at_the_limit_go_in_one_after_the_other() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    // The limit counts the frame at its longest.
    let body = format!("\"{}\"\n", "x".repeat(usize::try_from(64 * MIB).unwrap() - 192 - 7 - 2));
    let mut child = sessctl_after("ulimit -d 524288 && export MALLOC_ARENA_MAX=1", &store, &["append", "k"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    for _ in 0..2 {
        stdin.write_all(body.as_bytes()).unwrap();
    }
    // One more byte is refused, and takes nothing along.
    stdin.write_all(format!("\"x{}2\n", &body[1..]).replace("\"\n2", "\"").as_bytes()).unwrap();
    stdin.write_all(b"\"end\"\n").unwrap();
    drop(stdin);
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "k 1\nk 2\nk 3\n");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(bounded(DATA_MIB, &store, &["verify"]).expect(0).stdout, "");
    // A read from the end holds its last block: a pair of records that prove each other's place.
    assert_eq!(bounded(4 * 64, &store, &["tail", "-n", "1", "k"]).expect(0).stdout, "\"end\"\n");
}
