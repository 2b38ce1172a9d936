//! The figures of the README: each a ratio of medians, taken in one run on one disk, in interleaved slices.
//!
//! `cargo bench` prints them. The folder is `SESSLOG_BENCH_DIR`, else the target folder: a file system in memory has no
//! fdatasync worth measuring. `SESSLOG_BENCH_GIB` sets the size of the store that is verified (2 by default).

#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

use std::fs::{File, OpenOptions};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sesslog::{NewRecord, Options, Progress, Session, Store, VerifyOptions};

/// Slices of each side of a comparison; their median counts.
const SLICES: usize = 81;
const APPENDS_A_SLICE: usize = 25;

fn main() {
    let folder =
        std::env::var_os("SESSLOG_BENCH_DIR").map_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")), PathBuf::from);
    let folder = tempfile::tempdir_in(folder).expect("a folder to measure in");
    println!("in {}, medians of {SLICES} interleaved slices", folder.path().display());
    append(folder.path());
    verify(folder.path());
}

/// Bodies of chat records: most are short, some long; 1 KiB at the median.
fn bodies() -> Vec<String> {
    let lengths = [200, 350, 500, 700, 900, 1000, 1050, 1200, 1800, 3000, 6000, 16_000];
    let body = |(at, length): (usize, &usize)| {
        format!(r#"{{"role":"assistant","n":{at},"content":"{}"}}"#, "lorem ipsum ".repeat(length / 12))
    };
    lengths.iter().enumerate().map(body).collect()
}

/// One session's durable appends against a bare loop of write and fdatasync of the same bytes.
fn append(folder: &Path) {
    let store = Store::open(folder.join("append")).expect("a store");
    let session = store.session("bench").expect("a session");
    let bodies = bodies();
    let records: Vec<_> = bodies.iter().map(|body| NewRecord::json(body).expect("a record")).collect();
    session.append(records[0].clone()).expect("an append");
    let file = File::create(folder.join("bare")).expect("a file");
    let mut offset = 0;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..SLICES {
        bare.push(bare_slice(&file, &mut offset, &bodies));
        ours.push(our_slice(&session, &records));
    }
    let (bare, ours) = (median(bare), median(ours));
    let rate = |slice: Duration| APPENDS_A_SLICE as f64 / slice.as_secs_f64();
    println!("append, one session: {:.0}/s; bare write + fdatasync: {:.0}/s", rate(ours), rate(bare));
    println!("append ratio: {:.2}", bare.as_secs_f64() / ours.as_secs_f64());
}

fn bare_slice(file: &File, offset: &mut u64, bodies: &[String]) -> Duration {
    // As long as our lines are, with their frame.
    let lines: Vec<_> = bodies.iter().map(|body| format!("{body}{}\n", " ".repeat(135))).collect();
    let started = Instant::now();
    for line in lines.iter().cycle().take(APPENDS_A_SLICE) {
        file.write_all_at(line.as_bytes(), *offset).expect("a write");
        file.sync_data().expect("a sync");
        *offset += line.len() as u64;
    }
    started.elapsed()
}

fn our_slice(session: &Session, records: &[NewRecord]) -> Duration {
    let started = Instant::now();
    for record in records.iter().cycle().take(APPENDS_A_SLICE) {
        session.append(record.clone()).expect("an append");
    }
    started.elapsed()
}

/// Verifying a store in the page cache with one job, against reading the same files.
fn verify(folder: &Path) {
    let gib = std::env::var("SESSLOG_BENCH_GIB").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0_f64);
    let folder = folder.join("verify");
    let store = Store::open(&folder).expect("a store");
    let bodies = bodies();
    let batch: Vec<_> = bodies.iter().cycle().take(4000).map(|body| NewRecord::json(body).expect("a record")).collect();
    let wanted = (gib * f64::from(1_u32 << 30)) as u64;
    let mut written = 0;
    for number in 0.. {
        if written >= wanted {
            break;
        }
        let session = store.session(format!("session {number}")).expect("a session");
        for _ in 0..8 {
            session.append_batch(batch.clone()).expect("an append");
        }
        written += std::fs::metadata(session.path(None).expect("a path")).expect("a file").len();
    }
    store.close().expect("a close");
    let reader = Options::new().open_read_only(&folder).expect("a store");
    let (mut plain, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        let started = Instant::now();
        read_all(&folder.join("transcripts"));
        plain.push(started.elapsed());
        let started = Instant::now();
        let report = reader.verify(&VerifyOptions::new().jobs(1), &Progress::default()).expect("a report");
        ours.push(started.elapsed());
        assert!(report.findings.is_empty() && report.bytes >= written, "{report:?}");
    }
    let rate = |taken: Duration| written as f64 / taken.as_secs_f64() / f64::from(1_u32 << 30);
    let (plain, ours) = (median(plain), median(ours));
    println!(
        "verify, one job, {:.2} GiB: {:.2} GiB/s; read(2) of the same: {:.2} GiB/s",
        written as f64 / f64::from(1_u32 << 30),
        rate(ours),
        rate(plain)
    );
    println!("verify ratio to read(2): {:.2}", plain.as_secs_f64() / ours.as_secs_f64());
}

fn read_all(folder: &Path) {
    let mut buffer = vec![0; 256 * 1024];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let mut file = OpenOptions::new().read(true).open(entry.expect("an entry").path()).expect("a file");
        while file.read(&mut buffer).expect("a read") > 0 {}
    }
}

fn median(mut slices: Vec<Duration>) -> Duration {
    slices.sort();
    slices[slices.len() / 2]
}
