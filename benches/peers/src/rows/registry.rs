//! How long the index delays an append: many writers, whose appends do not wait for the disk, beside the saves of the index.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use sesslog::{Durability, NewRecord, Options, Session};

use crate::bench::{Bench, Scratch, settle};
use crate::body::{Body, body};
use crate::peers::Peer;
use crate::report::{Table, seconds};
use crate::stats::Latencies;
use crate::stores::{Bodies, IndexEntry, Shape, build_store, entry, key};

const SESSIONS: Shape = Shape { sessions: 3000, records: 2, bodies: Bodies::Short };
const WRITERS: usize = 98;
/// Between two appends of a writer: so that the time of an append is its own, and not that of waiting for a processor.
const PAUSE: Duration = Duration::from_millis(50);

/// sesslog with appends that are not synced.
struct Buffered(Vec<Session>);

impl Peer for Buffered {
    fn append(&self, session: usize, body: &'static Body) {
        self.0[session].append(NewRecord::json(&body.json).expect("a record")).expect("an append");
    }
}

/// A file for each session, and an index in JSON that is written whole while the lock is held.
struct JsonIndex {
    files: Vec<Mutex<File>>,
    index: Mutex<Index>,
    path: PathBuf,
    sync: bool,
    /// Time between two saves at least.
    every: Duration,
}

struct Index {
    entries: BTreeMap<String, IndexEntry>,
    saved: Instant,
}

impl JsonIndex {
    fn open(folder: &Path, sync: bool, every: Duration) -> Self {
        let files = (0..WRITERS).map(|n| Mutex::new(File::create(folder.join(format!("{n}.jsonl"))).expect("a file")));
        let entries = (0..SESSIONS.sessions).map(|n| (key(n), entry(&format!("{n:032x}"), 2))).collect();
        let index = Mutex::new(Index { entries, saved: Instant::now() });
        Self { files: files.collect(), index, path: folder.join("sessions.json"), sync, every }
    }

    fn save(&self, entries: &BTreeMap<String, IndexEntry>) {
        let temp = self.path.with_extension("tmp");
        let mut file = File::create(&temp).expect("a file");
        file.write_all(&serde_json::to_vec_pretty(entries).expect("an index")).expect("a write");
        if self.sync {
            file.sync_all().expect("a sync");
        }
        std::fs::rename(&temp, &self.path).expect("a rename");
    }
}

impl Peer for JsonIndex {
    fn append(&self, session: usize, body: &'static Body) {
        self.files[session].lock().expect("nobody panicked").write_all(&body.line).expect("a write");
        let mut index = self.index.lock().expect("nobody panicked");
        let member = index.entries.get_mut(&key(session)).expect("a session");
        member.updated_at += 1;
        member.message_count += 1;
        if index.saved.elapsed() >= self.every {
            self.save(&index.entries);
            index.saved = Instant::now();
        }
    }
}

pub(crate) fn run(bench: &mut Bench) {
    let scratch = Scratch::new(bench.folder.join("registry"));
    let folder = |name: &str| scratch.path().join(name);
    let json = |name: &str, sync, every| -> Box<dyn Peer> {
        std::fs::create_dir(folder(name)).expect("a folder");
        Box::new(JsonIndex::open(&folder(name), sync, every))
    };
    let each = Duration::ZERO;
    let second = Duration::from_secs(1);
    let sides: Vec<(&str, Box<dyn Peer>)> = vec![
        ("sesslog, saves a second after a change", ours(&folder("ours"), Options::new())),
        ("sesslog, never saves", ours(&folder("never"), Options::new().registry_save_delay(Duration::MAX))),
        ("JSON index each second", json("second", false, second)),
        ("JSON index each second, fsync", json("second-fsync", true, second)),
        ("JSON index each append", json("each", false, each)),
        ("JSON index each append, fsync", json("each-fsync", true, each)),
    ];
    settle(scratch.path());
    let (rounds, time) = if bench.quick { (1, Duration::from_millis(1500)) } else { (3, Duration::from_secs(3)) };
    let mut taken = vec![Latencies::default(); sides.len()];
    for _ in 0..rounds {
        for ((_, peer), taken) in sides.iter().zip(&mut taken) {
            taken.merge(slice(peer.as_ref(), time));
        }
    }
    let note = format!(
        "Times of single appends without a sync; each of {WRITERS} threads has a session of its own and appends every {} ms; \
         {rounds} slices of {:.1} s each, all in turn. The JSON index is written to a temp file, and renamed, by who holds its \
         lock.",
        PAUSE.as_millis(),
        time.as_secs_f64()
    );
    let title = format!("How long the index delays {WRITERS} writers, {} sessions", SESSIONS.sessions);
    let mut table = Table::new(title, note, &["what", "p50", "p99", "p99.9", "max"]);
    for ((name, _), mut taken) in sides.iter().zip(taken) {
        let percentiles = taken.percentiles([50.0, 99.0, 99.9, 100.0]).map(seconds);
        table.line(std::iter::once((*name).to_owned()).chain(percentiles));
    }
    drop(sides);
    bench.show(table);
}

fn ours(folder: &Path, options: Options) -> Box<dyn Peer> {
    build_store(folder, SESSIONS);
    let store = options.durability(Durability::Buffered).open(folder).expect("a store");
    Box::new(Buffered((0..WRITERS).map(|n| store.session(key(n)).expect("a session")).collect()))
}

fn slice(peer: &dyn Peer, time: Duration) -> Latencies {
    let mut all = Latencies::default();
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..WRITERS).map(|writer| scope.spawn(move || appends(peer, writer, time))).collect();
        for worker in workers {
            all.merge(worker.join().expect("nobody panicked"));
        }
    });
    all
}

fn appends(peer: &dyn Peer, writer: usize, time: Duration) -> Latencies {
    let mut latencies = Latencies::default();
    let started = Instant::now();
    // The session was let go meanwhile: opening it again is another row's.
    peer.append(writer, body(writer));
    // Not all at once.
    std::thread::sleep(PAUSE * writer as u32 / WRITERS as u32 + PAUSE * 4);
    for n in 0.. {
        let begun = Instant::now();
        if begun >= started + time {
            break;
        }
        peer.append(writer, body(n));
        latencies.note(begun.elapsed());
        std::thread::sleep(PAUSE);
    }
    latencies
}
