//! The work that is counted in instructions, not seconds: `benches/instructions.py` runs it under callgrind, which gives the same
//! count on a busy machine as on an idle one. Each piece of work is a function of its own, so that only it is counted.

use sesslog::{NewRecord, Options, Progress, Store, VerifyOptions};

const APPENDS: usize = 1000;
const SESSIONS: usize = 500;

fn main() {
    let work = std::env::args().nth(1).unwrap_or_default();
    let folder = tempfile::tempdir().expect("a folder");
    let store = Store::open(folder.path()).expect("a store");
    let record = |number: usize| {
        let text = "lorem ipsum ".repeat(80);
        NewRecord::json(&format!(r#"{{"role":"assistant","n":{number},"content":"{text}"}}"#)).expect("a record")
    };
    match work.as_str() {
        "append" => {
            let records: Vec<_> = (0..APPENDS).map(record).collect();
            let session = store.session("counted").expect("a session");
            session.append(record(0)).expect("an append");
            append(&session, records);
        }
        "scan" => {
            let session = store.session("counted").expect("a session");
            session.append_batch((0..20 * APPENDS).map(record).collect()).expect("an append");
            store.close().expect("a close");
            scan(&Options::new().open_read_only(folder.path()).expect("a store"));
        }
        "list" | "recent" => {
            for number in 0..SESSIONS {
                store
                    .session(format!("counted:{number}"))
                    .and_then(|session| session.append(record(0)))
                    .expect("a session");
            }
            store.close().expect("a close");
            if work == "list" { list(folder.path()) } else { recent(folder.path()) }
        }
        "tail" => {
            let session = store.session("counted").expect("a session");
            session.append_batch((0..20 * APPENDS).map(record).collect()).expect("an append");
            store.close().expect("a close");
            tail(&Options::new().open_read_only(folder.path()).expect("a store"));
        }
        // `cargo bench` runs every benchmark without an argument.
        _ => println!("run by benches/instructions.py"),
    }
}

#[inline(never)]
fn append(session: &sesslog::Session, records: Vec<NewRecord>) {
    for record in records {
        session.append(record).expect("an append");
    }
}

#[inline(never)]
fn scan(store: &Store) {
    let report = store.verify(&VerifyOptions::new().jobs(1), &Progress::default()).expect("a report");
    assert!(report.findings.is_empty(), "{report:?}");
}

#[inline(never)]
fn list(folder: &std::path::Path) {
    let store = Options::new().open_read_only(folder).expect("a store");
    assert_eq!(store.sessions().expect("a list").len(), SESSIONS);
}

#[inline(never)]
fn recent(folder: &std::path::Path) {
    let store = Options::new().open_read_only(folder).expect("a store");
    assert_eq!(store.recent(50).expect("a list").len(), 50);
}

#[inline(never)]
fn tail(store: &Store) {
    let session = store.session("counted").expect("a session");
    assert_eq!(session.last(20).expect("records").len(), 20);
}
