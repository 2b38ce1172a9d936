//! Folding the index again from the records alone.

use rusqlite::Connection;
use sesslog::{Progress, RebuildOptions, Store};

use crate::bench::Bench;
use crate::rows::MANY;
use crate::sides::{self, Side};
use crate::stores::{Bodies, Shape};

/// What a table can tell without a look into the bodies.
const COUNTED: &str = "count(*) AS records, max(ts) AS updated, max(seq) AS last_seq, sum(length(body)) AS characters";
/// What a record is, which a row of sesslog's index says, too, stands in its body.
const LOOKED_INTO: &str = "count(*) FILTER (WHERE json_extract(body, '$.role') = 'assistant') AS answers, \
     max(ts) AS updated, max(seq) AS last_seq, sum(length(body)) AS characters";

pub(crate) fn run(bench: &mut Bench) {
    let shape = Shape { bodies: Bodies::Kilobyte, ..MANY.small_if(bench.quick) };
    let built = bench.build(shape);
    let store = Store::open(built.store()).expect("a store");
    let connection = built.connect();
    let registry = built.store().join("registry.jsonl");
    let lost = |jobs| {
        std::fs::remove_file(&registry).expect("a registry");
        rebuild(&store, jobs, shape);
    };
    let mut sides = [
        Side::new("sesslog, registry lost, 1 job", || lost(1)),
        Side::new("sesslog, registry lost, 2 jobs", || lost(2)),
        Side::new("sesslog, registry there, 2 jobs", || rebuild(&store, 2, shape)),
        Side::new("SQLite, CREATE TABLE AS SELECT ... GROUP BY", || group(&connection, shape, COUNTED)),
        Side::new("SQLite, with a look into each body", || group(&connection, shape, LOOKED_INTO)),
    ];
    let note = "Every transcript is read whole and each checksum checked, torn tails would be cut; SQLite counts rows. Bodies of \
                1.2 KiB at the mean.";
    let title = format!("Rebuild the index of {} sessions of {} records", shape.sessions, shape.records);
    let table = sides::table(&title, note, &mut sides, bench.repeats(5));
    drop(sides);
    bench.show(table);
}

fn rebuild(store: &Store, jobs: usize, shape: Shape) {
    let rebuilt = store.rebuild_index(RebuildOptions::new().jobs(jobs), &Progress::default()).expect("a rebuild");
    assert!(rebuilt.sessions >= shape.sessions as u64, "{rebuilt:?}");
}

fn group(connection: &Connection, shape: Shape, columns: &str) {
    let text = format!(
        "DROP TABLE IF EXISTS rebuilt;
        CREATE TABLE rebuilt AS SELECT session, {columns} FROM records GROUP BY session;
        CREATE INDEX rebuilt_updated ON rebuilt(updated)"
    );
    connection.execute_batch(&text).expect("a table");
    let count: i64 = connection.query_row("SELECT count(*) FROM rebuilt", [], |row| row.get(0)).expect("a count");
    assert_eq!(count as usize, shape.sessions);
}
