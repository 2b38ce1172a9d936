//! How much memory it takes, each time in a process of its own.

use std::path::Path;
use std::process::Command;

use sesslog::{Options, Progress, VerifyOptions};

use crate::bench::Bench;
use crate::peers::sqlite;
use crate::report::{Table, figure};
use crate::rows::MANY;
use crate::stores::{Built, Shape, key};

/// What a child does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Child {
    Nothing,
    Verify,
    Read,
    Tail,
    List,
    Recent,
    Check,
}

/// The memory of a process, in bytes.
#[derive(Debug, Clone, Copy, serde::Serialize, serde::Deserialize)]
struct Memory {
    /// When nothing had been done.
    before: u64,
    /// When it was done; a store stays open.
    after: u64,
    /// At most.
    peak: u64,
}

pub(crate) fn run(bench: &mut Bench) {
    let mut table = Table::new(
        "Memory",
        "Resident memory of a process that does this and nothing else, in MiB; most: at its peak. Maps of files count while they \
         are mapped.",
        &["what", "most", "at the end", "bytes a session"],
    );
    let mut line = |name: String, memory: Memory, sessions: Option<usize>| {
        let mib = |bytes: u64| figure(bytes as f64 / f64::from(1 << 20));
        let each = |sessions| figure(memory.after.saturating_sub(memory.before) as f64 / sessions as f64);
        table.line([name, mib(memory.peak), mib(memory.after), sessions.map_or_else(String::new, each)]);
    };
    let long = bench.build(Shape::of_bytes(1, bench.gib));
    let gib = long.bytes() as f64 / f64::from(1_u32 << 30);
    line("nothing".to_owned(), spawn(Child::Nothing, &long), None);
    line(format!("sesslog verify of one transcript, {gib:.2} GiB"), spawn(Child::Verify, &long), None);
    line("sesslog, all its records in order".to_owned(), spawn(Child::Read, &long), None);
    line("sesslog, its last 20".to_owned(), spawn(Child::Tail, &long), None);
    line("SQLite integrity_check of the same".to_owned(), spawn(Child::Check, &long), None);
    let many = bench.build(MANY.small_if(bench.quick));
    let sessions = many.shape.sessions;
    line(
        format!("sesslog, the newest 50 of {sessions} sessions, store open"),
        spawn(Child::Recent, &many),
        Some(sessions),
    );
    line(format!("sesslog, all {sessions} sessions listed, store open"), spawn(Child::List, &many), Some(sessions));
    line(format!("sesslog verify of {sessions} sessions"), spawn(Child::Verify, &many), None);
    bench.show(table);
}

fn spawn(child: Child, built: &Built) -> Memory {
    let path = if child == Child::Check { built.database() } else { built.store() };
    let program = std::env::current_exe().expect("the path of this program");
    let name = format!("{child:?}").to_lowercase();
    let output = Command::new(program).args(["--child", &name, "--dir"]).arg(path).output().expect("a child");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("what the child says")
}

/// Does it, and prints the memory.
pub(crate) fn child(child: Child, path: &Path) {
    let before = status("VmRSS:");
    let kept = work(child, path);
    let memory = Memory { before, after: status("VmRSS:"), peak: status("VmHWM:") };
    println!("{}", serde_json::to_string(&memory).expect("numbers"));
    drop(kept);
}

fn work(child: Child, path: &Path) -> Option<sesslog::Store> {
    let open = || Options::new().open_read_only(path).expect("a store");
    match child {
        Child::Nothing => None,
        Child::Verify => {
            let store = open();
            let report = store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).expect("a report");
            assert!(report.findings.is_empty(), "{report:?}");
            Some(store)
        }
        Child::Read => {
            let store = open();
            let records = store.session(key(0)).and_then(|session| session.records()).expect("records");
            assert!(records.fold(0_u64, |count, item| count + u64::from(item.is_ok())) > 0);
            Some(store)
        }
        Child::Tail => {
            let store = open();
            assert_eq!(store.session(key(0)).and_then(|session| session.last(20)).expect("records").len(), 20);
            Some(store)
        }
        Child::List => {
            let store = open();
            assert!(!store.sessions().expect("a listing").is_empty());
            Some(store)
        }
        Child::Recent => {
            let store = open();
            assert_eq!(store.recent(50).expect("a listing").len(), 50);
            Some(store)
        }
        Child::Check => {
            let query = "PRAGMA integrity_check";
            let verdict: String = sqlite::connect(path).query_row(query, [], |row| row.get(0)).expect("a verdict");
            assert_eq!(verdict, "ok");
            None
        }
    }
}

/// Reads a line of /proc/self/status.
fn status(name: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("proc");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}
