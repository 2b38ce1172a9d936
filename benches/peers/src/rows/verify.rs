//! Checking everything that is kept, from the page cache.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use rusqlite::Connection;
use sesslog::{Options, Progress, Store, VerifyOptions};

use crate::bench::Bench;
use crate::sides::{self, Side};
use crate::stores::Shape;

pub(crate) fn run(bench: &mut Bench) {
    let shape = if bench.quick { Shape::of_bytes(500, 0.05) } else { Shape::of_bytes(20_000, 2.0) };
    let built = bench.build(shape);
    let store = Options::new().open_read_only(built.store()).expect("a store");
    let connection = built.connect();
    let bytes = built.bytes();
    let (from, mut to) = (vec![1_u8; MEMORY_BYTES], vec![0_u8; MEMORY_BYTES]);
    let mut sides = [
        Side::new("sesslog verify, 1 job", || verify(&store, 1, shape)),
        Side::new("sesslog verify, 2 jobs", || verify(&store, 2, shape)),
        Side::new("SQLite integrity_check and sum of the lengths", || check(&connection, shape)),
        Side::new("read(2) of the same files", || read(&built.transcripts())),
        Side::new("memcpy of as many bytes", || copy(&from, &mut to, bytes)),
    ];
    let note = "SQLite's check is of its own structure: it has no checksums of what is in a row.";
    let title = format!(
        "Verify {} sessions of {} records, {:.2} GiB",
        shape.sessions,
        shape.records,
        bytes as f64 / f64::from(1_u32 << 30)
    );
    let table = sides::rates(&title, note, bytes, &mut sides, bench.repeats(7));
    drop(sides);
    bench.show(table);
}

/// More than the caches of a processor hold.
const MEMORY_BYTES: usize = 256 << 20;

fn verify(store: &Store, jobs: usize, shape: Shape) {
    let report = store.verify(&VerifyOptions::new().jobs(jobs), &Progress::default()).expect("a report");
    assert!(report.findings.is_empty() && report.sessions >= shape.sessions as u64, "{report:?}");
}

fn check(connection: &Connection, shape: Shape) {
    let verdict: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("a verdict");
    assert_eq!(verdict, "ok");
    let sum = "SELECT count(*), sum(length(CAST(body AS BLOB))) FROM records";
    let (count, _): (i64, i64) = connection.query_row(sum, [], |row| Ok((row.get(0)?, row.get(1)?))).expect("a sum");
    assert!(count as usize >= shape.sessions * shape.records);
}

fn read(folder: &Path) {
    let mut buffer = vec![0; 256 * 1024];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let mut file = File::open(entry.expect("an entry").path()).expect("a file");
        while file.read(&mut buffer).expect("a read") > 0 {}
    }
}

fn copy(from: &[u8], to: &mut [u8], bytes: u64) {
    let mut left = bytes as usize;
    while left > 0 {
        let part = left.min(from.len());
        to[..part].copy_from_slice(&from[..part]);
        // Or the compiler would see that nobody reads it.
        std::hint::black_box(&mut *to);
        left -= part;
    }
}
