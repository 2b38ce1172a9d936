//! `doctor`: a store broken in one way at a time has exactly that finding, its command settles it, `--fix` loses no record.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};
use sesslog::{Ailment, SessionKey};

use super::{Bench, Run, everything};

/// What the disk of the machine that runs this is known for is not what is tested.
const OF_THE_MACHINE: [&str; 9] = [
    "fs-network",
    "fs-user-space",
    "fs-shared",
    "fs-overlay",
    "fs-volatile",
    "fs-limited",
    "space-low",
    "inodes-low",
    "descriptors-low",
];

impl Bench {
    fn doctor(&self, more: &[&str]) -> Run {
        let ignored = OF_THE_MACHINE.iter().flat_map(|id| ["--ignore", id]);
        let args: Vec<_> =
            ["doctor", "--quick", "--json"].into_iter().chain(ignored).chain(more.iter().copied()).collect();
        self.run(&args)
    }

    /// The ids found and not fixed, each once.
    fn ids(&self) -> Vec<String> {
        ids(&self.doctor(&[]))
    }

    fn registry_path(&self) -> std::path::PathBuf {
        self.store().join("registry.jsonl")
    }

    fn lock_path(&self, key: &str) -> std::path::PathBuf {
        self.store().join("locks").join(format!("{}.lock", SessionKey::new(key).unwrap().file_stem()))
    }

    /// Runs a command that a finding names, as a person in a shell would.
    fn shell(&self, text: &str) {
        let binaries = Path::new(env!("CARGO_BIN_EXE_sessctl")).parent().unwrap();
        let path = format!("{}:{}", binaries.display(), std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        let shell = shell.args(["-c", text]).env("PATH", path).env("SESSLOG_STORE", self.store());
        shell.output().unwrap();
    }

    /// Every record of every session that can be read, wherever it stands now.
    fn all_records(&self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for session in self.run(&["list", "--all-generations", "--json"]).of_type("session") {
            let (key, generation) = (session["key"].as_str().unwrap(), session["generation"].to_string());
            for record in self.run(&["show", key, "--generation", &generation, "--json"]).of_type("record") {
                found.insert(format!("{key} {generation} {} {} {}", record["seq"], record["ts"], record["body"]));
            }
        }
        found
    }
}

fn ids(run: &Run) -> Vec<String> {
    let left = run.of_type("finding").into_iter().filter(|finding| finding["fixed"] == false);
    let mut ids: Vec<_> = left.map(|finding| finding["id"].as_str().unwrap().to_owned()).collect();
    ids.dedup();
    ids
}

fn make_old(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(7200)).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

fn edit(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

/// Lines of the registry of two sessions.
fn edit_lines(bench: &Bench, change: impl FnOnce(&mut Vec<String>)) {
    let text = fs::read_to_string(bench.registry_path()).unwrap();
    let mut lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
    change(&mut lines);
    fs::write(bench.registry_path(), lines.join("\n") + "\n").unwrap();
}

/// Three records of `k`, two of `other`, closed.
fn sound() -> Bench {
    let bench = Bench::with_records("k", 3);
    bench.feed(&["append", "other"], b"1\n2\n").expect(0);
    bench
}

/// A temp file as a birth of `key` leaves it, with the bytes of another session.
fn temp(bench: &Bench, key: &str, generation: u64, bytes: &[u8]) {
    let name = format!(".{}.0123456789abcdef.tmp", SessionKey::new(key).unwrap().file_name(generation));
    let path = bench.store().join("transcripts").join(name);
    fs::write(&path, bytes).unwrap();
    set_mode(&path, 0o600);
    make_old(&path);
}

/// An id, how it comes about, the exit status, whether the finding's command settles it, whether `--fix` does.
type Case = (&'static str, fn(&Bench), i32, bool, bool);

const CASES: &[Case] = &[
    ("registry-missing", |bench| fs::remove_file(bench.registry_path()).unwrap(), 4, true, true),
    ("registry-unusable", |bench| edit(&bench.registry_path(), |bytes| bytes[9] ^= 1), 4, true, true),
    ("registry-duplicate", |bench| edit_lines(bench, |lines| lines.insert(0, lines[0].clone())), 4, true, true),
    ("registry-unsorted", |bench| edit_lines(bench, |lines| lines.swap(0, 1)), 4, true, true),
    ("registry-misnumbered", |bench| edit_lines(bench, |lines| drop(lines.remove(0))), 4, true, true),
    ("file-without-row", |bench| fs::write(bench.registry_path(), b"").unwrap(), 0, true, true),
    (
        "registry-log-broken",
        |bench| {
            let path = bench.store().join("registry.changes.jsonl");
            fs::write(&path, b"no line\n").unwrap();
            set_mode(&path, 0o600);
        },
        4,
        true,
        true,
    ),
    (
        "registry-behind",
        |bench| {
            let old = fs::read(bench.registry_path()).unwrap();
            bench.feed(&["append", "k"], b"4\n").expect(0);
            fs::write(bench.registry_path(), old).unwrap();
        },
        0,
        true,
        true,
    ),
    (
        "row-stale",
        |bench| {
            // Deleted for good and begun anew: the old registry speaks of another session.
            let old = fs::read(bench.registry_path()).unwrap();
            let trash = bench.store().join("transcripts");
            bench.run(&["delete", "k", "--purge"]).expect(0);
            bench.feed(&["append", "k"], b"1\n2\n3\n4\n").expect(0);
            for entry in fs::read_dir(trash).unwrap().map(|entry| entry.unwrap().path()) {
                // Without the note of the deletion there is one row more to miss.
                if entry.to_string_lossy().contains("_trash~") {
                    fs::remove_file(entry).unwrap();
                }
            }
            fs::write(bench.registry_path(), old).unwrap();
        },
        4,
        true,
        true,
    ),
    ("row-without-file", |bench| fs::remove_file(bench.transcript("k", 1)).unwrap(), 3, false, false),
    ("damage-checksum", |bench| bench.damage("k", 2), 3, true, false),
    (
        "damage-malformed",
        |bench| {
            edit(&bench.transcript("k", 1), |bytes| {
                let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                bytes.insert(at, b'\n');
            });
        },
        3,
        true,
        false,
    ),
    (
        "damage-separator",
        |bench| {
            edit(&bench.transcript("k", 1), |bytes| {
                let at = bytes.iter().position(|byte| *byte == b'\n').unwrap();
                bytes[at] = b' ';
            });
        },
        3,
        true,
        false,
    ),
    (
        "damage-gap",
        |bench| {
            let text = fs::read_to_string(bench.transcript("k", 1)).unwrap();
            let lines: Vec<_> = text.split_inclusive('\n').collect();
            fs::write(bench.transcript("k", 1), [lines[0], lines[1], lines[3]].concat()).unwrap();
        },
        3,
        true,
        false,
    ),
    (
        "damage-duplicate",
        |bench| {
            let text = fs::read_to_string(bench.transcript("k", 1)).unwrap();
            let lines: Vec<_> = text.split_inclusive('\n').collect();
            fs::write(bench.transcript("k", 1), [lines[0], lines[1], lines[1], lines[2], lines[3]].concat()).unwrap();
        },
        3,
        true,
        false,
    ),
    (
        "damage-lost",
        |bench| {
            let text = fs::read_to_string(bench.transcript("k", 1)).unwrap();
            let kept: usize = text.split_inclusive('\n').take(3).map(str::len).sum();
            fs::write(bench.transcript("k", 1), &text[..kept]).unwrap();
        },
        3,
        true,
        false,
    ),
    ("damage-header", |bench| edit(&bench.transcript("k", 1), |bytes| bytes[8] ^= 1), 3, true, false),
    (
        "torn",
        |bench| {
            edit(&bench.transcript("k", 1), |bytes| bytes.extend_from_slice(b"{\"seq\":4,\"dur"));
        },
        4,
        true,
        true,
    ),
    (
        "damage-fork",
        |bench| {
            // The branch of another writer: a copy that went on by itself.
            let path = bench.transcript("k", 1);
            let before = fs::read_to_string(&path).unwrap();
            bench.feed(&["append", "k"], b"\"mine\"\n").expect(0);
            let mine = fs::read_to_string(&path).unwrap();
            fs::write(&path, before).unwrap();
            fs::remove_file(bench.registry_path()).unwrap();
            bench.feed(&["append", "k"], b"\"theirs\"\n").expect(0);
            edit(&path, |bytes| bytes.extend_from_slice(mine.lines().last().unwrap().as_bytes()));
            edit(&path, |bytes| bytes.push(b'\n'));
        },
        3,
        true,
        false,
    ),
    (
        "unsupported-format",
        |bench| {
            let later = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/v1/unknown-format/transcripts");
            let later = fs::read_dir(later).unwrap().next().unwrap().unwrap().path();
            let to = bench.store().join("transcripts").join(later.file_name().unwrap());
            fs::copy(later, &to).unwrap();
            set_mode(&to, 0o600);
        },
        1,
        false,
        false,
    ),
    (
        "unreadable",
        |bench| {
            fs::remove_file(bench.transcript("k", 1)).unwrap();
            fs::create_dir(bench.transcript("k", 1)).unwrap();
        },
        1,
        false,
        false,
    ),
    ("trash", |bench| drop(bench.run(&["delete", "k"]).expect(0)), 0, false, false),
    (
        "unterminated",
        |bench| {
            // No witness says that it was promised.
            edit_lines(bench, |lines| drop(lines.pop()));
            edit(&bench.transcript("other", 1), |bytes| bytes.truncate(bytes.len() - 1));
        },
        4,
        true,
        true,
    ),
    (
        "misfiled",
        |bench| {
            fs::remove_file(bench.registry_path()).unwrap();
            fs::rename(bench.transcript("k", 1), bench.transcript("elsewhere", 1)).unwrap();
            bench.run(&["rebuild-index"]);
        },
        3,
        true,
        false,
    ),
    (
        "generation-hole",
        |bench| {
            for body in [b"1\n", b"2\n"] {
                bench.run(&["reset", "k"]).expect(0);
                bench.feed(&["append", "k"], body).expect(0);
            }
            fs::remove_file(bench.transcript("k", 2)).unwrap();
            bench.run(&["rebuild-index", "--accept-loss"]).expect(0);
        },
        3,
        true,
        false,
    ),
    ("temp-file", |bench| temp(bench, "unborn", 1, &fs::read(bench.transcript("k", 1)).unwrap()), 0, true, true),
    (
        "temp-file-acknowledged",
        |bench| {
            temp(bench, "k", 1, &fs::read(bench.transcript("k", 1)).unwrap());
            fs::remove_file(bench.transcript("k", 1)).unwrap();
        },
        3,
        true,
        false,
    ),
    (
        "stale-lock",
        |bench| {
            for key in ["k", "nobody"] {
                fs::write(bench.lock_path(key), b"").unwrap();
                set_mode(&bench.lock_path(key), 0o600);
            }
        },
        0,
        true,
        true,
    ),
    ("mode-open", |bench| set_mode(&bench.transcript("k", 1), 0o644), 0, true, true),
    ("mode-closed", |bench| set_mode(&bench.store().join("quarantine"), 0o500), 0, true, true),
    ("folder-missing", |bench| fs::remove_dir(bench.store().join("quarantine")).unwrap(), 0, true, true),
    (
        "folder-replaced",
        |bench| {
            fs::remove_dir(bench.store().join("quarantine")).unwrap();
            fs::write(bench.store().join("quarantine"), b"").unwrap();
            set_mode(&bench.store().join("quarantine"), 0o600);
        },
        1,
        false,
        false,
    ),
    ("stranger", |bench| fs::create_dir(bench.store().join("transcripts/notes of mine")).unwrap(), 0, true, false),
    (
        "clock-behind",
        |bench| {
            bench.feed(&["append"], b"{\"key\":\"k\",\"ts\":\"2999-01-01T00:00:00.000Z\",\"body\":4}\n").expect(0);
        },
        0,
        false,
        false,
    ),
    ("suspended", |bench| drop(bench.run(&["mark", "k", "suspend", "--reason", "x"]).expect(0)), 0, false, false),
    (
        "resume-pending",
        |bench| drop(bench.run(&["mark", "k", "resume-pending", "--reason", "x"]).expect(0)),
        0,
        false,
        false,
    ),
];

#[test]
fn each_way_to_be_broken_has_its_finding_and_its_command_settles_it() {
    let bench = sound();
    assert_eq!(bench.ids(), Vec::<String>::new());
    let failed: Vec<_> = CASES.iter().filter(|case| std::panic::catch_unwind(|| check(case)).is_err()).collect();
    assert!(failed.is_empty(), "{:?}", failed.iter().map(|case| case.0).collect::<Vec<_>>());
}

fn check((id, damage, code, by_command, by_fix): &Case) {
    let bench = sound();
    damage(&bench);
    let before = everything(&bench.store());
    let run = bench.doctor(&[]).expect(*code);
    assert_eq!(ids(&run), [*id], "{run:?}");
    assert!(everything(&bench.store()) == before, "{id}: an examination wrote something");
    let finding = run.of_type("finding").remove(0);
    assert_eq!(finding["command"].is_null(), !finding["advice"].is_null(), "{finding}");
    let records = bench.all_records();

    // By hand, in a store of its own.
    let by_hand = sound();
    damage(&by_hand);
    if let Some(command) = by_hand.doctor(&[]).of_type("finding")[0]["command"].as_str() {
        by_hand.shell(command);
    }
    let left: Vec<_> = by_hand.ids();
    assert_eq!(!left.contains(&(*id).to_owned()), *by_command, "{id}: {left:?}");

    // By the doctor.
    let run = bench.doctor(&["--fix"]);
    let is_fixed = run.of_type("finding").iter().any(|finding| finding["id"] == *id && finding["fixed"] == true);
    assert_eq!(is_fixed, *by_fix, "{run:?}");
    assert_eq!(!bench.ids().contains(&(*id).to_owned()), *by_fix, "{id}");
    assert!(bench.all_records().is_superset(&records), "{id}: --fix lost a record");
    if *by_fix {
        let kept: &[&str] = if matches!(*id, "torn" | "temp-file") { &["quarantine"] } else { &[] };
        assert_eq!(bench.ids(), kept, "{id}: a second run");
        bench.doctor(&[]).expect(0);
    }
}

#[test]
fn a_record_out_of_its_place_is_named_where_it_stands_and_where_it_is_missing() {
    let bench = sound();
    let text = fs::read_to_string(bench.transcript("k", 1)).unwrap();
    let lines: Vec<_> = text.split_inclusive('\n').collect();
    fs::write(bench.transcript("k", 1), [lines[0], lines[1], lines[3], lines[2]].concat()).unwrap();
    assert_eq!(bench.ids(), ["damage-gap", "damage-misplaced"]);
    bench.shell(bench.doctor(&[]).of_type("finding")[1]["command"].as_str().unwrap());
    assert_eq!(bench.ids(), ["quarantine"]);
    assert_eq!(bench.run(&["show", "k"]).expect(0).stdout, "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n");
}

#[test]
fn what_belongs_to_somebody_else_is_given_back() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else can give a file away.
        return;
    }
    let bench = sound();
    std::os::unix::fs::chown(bench.transcript("k", 1), Some(4_000_000), None).unwrap();
    let run = bench.doctor(&[]).expect(0);
    assert_eq!(ids(&run), ["owner-mixed"]);
    bench.shell(run.of_type("finding")[0]["command"].as_str().unwrap());
    assert_eq!(bench.ids(), Vec::<String>::new());
    // The whole store, as it is when root looks at it: nothing is made there that its owner could not read.
    fs::remove_file(bench.registry_path()).unwrap();
    for path in [bench.store()].into_iter().chain(everything(&bench.store()).into_iter().map(|(path, _)| path)) {
        std::os::unix::fs::chown(path, Some(4_000_000), None).unwrap();
    }
    let run = bench.doctor(&["--fix"]).expect(1);
    assert_eq!(ids(&run), ["registry-missing", "owner-other"]);
    assert!(run.of_type("error")[0]["hint"].as_str().unwrap().contains("sudo -u '#4000000'"), "{run:?}");
    assert!(!bench.registry_path().exists());
}

#[test]
fn every_finding_is_in_the_readme() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for ailment in Ailment::ALL {
        let row = format!("| `{}` | {} |", ailment.name(), ailment.severity().name());
        assert!(readme.contains(&row), "{row}");
        assert_eq!(Ailment::from_name(ailment.name()), Some(*ailment));
    }
}

#[test]
fn broken_in_many_ways_at_once_it_names_them_all_worst_first() {
    let bench = sound();
    bench.feed(&["append", "third"], b"1\n").expect(0);
    bench.damage("k", 2);
    edit(&bench.transcript("third", 1), |bytes| bytes.extend_from_slice(b"{\"seq\""));
    fs::write(bench.transcript("later", 1), fs::read(bench.transcript("other", 1)).unwrap()).unwrap();
    set_mode(&bench.transcript("later", 1), 0o600);
    fs::write(bench.store().join("transcripts/notes"), b"").unwrap();
    fs::write(bench.lock_path("nobody"), b"").unwrap();
    temp(&bench, "unborn", 1, b"");
    fs::remove_file(bench.registry_path()).unwrap();
    let records = bench.all_records();
    let run = bench.doctor(&[]).expect(3);
    let found = ids(&run);
    for id in
        ["damage-checksum", "misfiled", "registry-missing", "torn", "temp-file", "stranger", "mode-open", "stale-lock"]
    {
        assert!(found.contains(&id.to_owned()), "{id}: {found:?}");
    }
    let ranks = ["damage", "failed", "heals", "warning", "info"];
    let severities: Vec<_> = run.of_type("finding").iter().map(|finding| finding["severity"].clone()).collect();
    assert!(severities.is_sorted_by_key(|name| ranks.iter().position(|rank| name == rank)), "{severities:?}");
    bench.doctor(&["--fix"]).expect(3);
    assert_eq!(bench.ids(), ["damage-checksum", "misfiled", "stranger", "quarantine"]);
    assert!(bench.all_records().is_superset(&records));
}

#[test]
fn what_a_killed_birth_left_is_set_aside_and_what_is_young_or_locked_stays() {
    let bench = sound();
    let bytes = fs::read(bench.transcript("k", 1)).unwrap();
    temp(&bench, "unborn", 1, &bytes);
    let lock = fs::File::create(bench.lock_path("unborn")).unwrap();
    set_mode(&bench.lock_path("unborn"), 0o600);
    lock.lock().unwrap();
    assert_eq!(bench.ids(), Vec::<String>::new(), "somebody is at it");
    drop(lock);
    fs::remove_file(bench.lock_path("unborn")).unwrap();
    bench.doctor(&["--fix"]).expect(0);
    let kept = bench.run(&["quarantine", "list", "--json"]).expect(0).of_type("quarantined").remove(0);
    assert_eq!((&kept["kind"], &kept["generation"]), (&json!("unborn"), &json!(1)));
    let name = kept["name"].as_str().unwrap();
    assert!(fs::read(bench.store().join("quarantine").join(name)).unwrap() == bytes);
    // A young one is somebody's.
    temp(&bench, "unborn", 1, &bytes);
    let path = fs::read_dir(bench.store().join("transcripts")).unwrap().map(|entry| entry.unwrap().path());
    let path = path.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "tmp")).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(SystemTime::now()).unwrap();
    bench.doctor(&["--fix"]).expect(0);
    assert!(path.exists());
}

#[test]
fn beside_a_live_gateway_it_waits_for_nobody_and_names_who_holds_a_session_for_long() {
    let bench = sound();
    let mut live = bench.start(&["append", "k"]);
    live.send("{\"n\":4}\n");
    assert_eq!(live.line(), "k 4\n");
    bench.doctor(&[]).expect(0);
    bench.doctor(&["--fix"]).expect(0);
    live.send("{\"n\":5}\n");
    assert_eq!(live.line(), "k 5\n");
    assert!(live.end().success());
    let lock = fs::File::create(bench.lock_path("k")).unwrap();
    set_mode(&bench.lock_path("k"), 0o600);
    lock.lock().unwrap();
    fs::write(bench.lock_path("k"), br#"{"pid":17,"host":"h","since":"2026-01-01T00:00:00.000Z"}"#).unwrap();
    let finding = bench.doctor(&[]).expect(0).of_type("finding").remove(0);
    assert_eq!((&finding["id"], &finding["key"]), (&json!("session-busy"), &json!("k")));
    assert!(
        finding["detail"].as_str().unwrap().contains("process 17 on h since 2026-01-01T00:00:00.000Z"),
        "{finding}"
    );
}

#[test]
fn it_measures_the_disk_and_leaves_nothing() {
    let bench = sound();
    let before = everything(&bench.store());
    let summary = bench.run(&["doctor", "--json", "--ignore", "fsync-slow"]).expect(0).summary();
    assert!(summary["fsync_p50_us"].as_u64() <= summary["fsync_p99_us"].as_u64(), "{summary}");
    assert!(summary["fsync_p99_us"].is_u64() && summary["free_bytes"].is_u64(), "{summary}");
    assert!(everything(&bench.store()) == before);
    assert_eq!(bench.doctor(&[]).summary()["fsync_p50_us"], Value::Null);
    bench.run(&["doctor", "--ignore", "no-such-id"]).expect(2);
    Bench::new().run(&["doctor"]).expect(6);
}

#[test]
fn people_get_a_block_a_finding_and_a_verdict() {
    let bench = sound();
    bench.damage("k", 2);
    let ignored = OF_THE_MACHINE.iter().flat_map(|id| ["--ignore", id]);
    let run = bench.run(&["doctor", "--quick"].into_iter().chain(ignored).collect::<Vec<_>>()).expect(3);
    let lines: Vec<_> = run.stdout.lines().collect();
    assert!(lines[0].starts_with("damage-checksum (damage): k generation 1, at byte "), "{lines:?}");
    assert_eq!((lines.len(), lines[2]), (3, "  run: sessctl repair --generation 1 k"));
    assert!(run.stderr.starts_with("damaged: 2 sessions, 1 finding"), "{}", run.stderr);
}
