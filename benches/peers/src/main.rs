//! sesslog beside what else a gateway could keep its sessions in: all in one run, on one disk, in interleaved slices.
//!
//! `./run` lays a file system for it and starts it; `./run --help` says what can be chosen.

#![allow(
    clippy::as_conversions,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

mod bench;
mod body;
mod device;
mod peers;
mod plot;
mod report;
mod rows;
mod sides;
mod slices;
mod stats;
mod stores;
mod unsynced;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum as _};

use bench::Bench;
use rows::{Child, Row};
use slices::Length;

/// Measures sesslog and its peers
#[derive(Debug, Parser)]
struct Args {
    /// Folder to measure in; made if it is missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Folder for NAME.md and NAME.svg; only printed without it
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Name of the file system, for the head of the tables
    #[arg(long, default_value = "here")]
    name: String,
    /// Rows to measure; all without it
    #[arg(long, value_name = "ROW,...", value_delimiter = ',')]
    only: Vec<Row>,
    /// Seconds for each peer in each table of appends [default: 6; with --quick 0.5]
    #[arg(long, value_name = "S")]
    seconds: Option<f64>,
    /// Milliseconds of a slice that are measured; two thirds of it before them are not
    #[arg(long, value_name = "MS", default_value_t = 150)]
    slice: u64,
    /// Small stores and short slices: a smoke test, no figures
    #[arg(long)]
    quick: bool,
    /// Also with stores of 1,000,000 sessions
    #[arg(long)]
    large: bool,
    /// Keep the stores that were built, and take those that an earlier run kept
    #[arg(long)]
    keep: bool,
    /// Size of the long transcript
    #[arg(long, value_name = "GIB", default_value_t = 1.0)]
    gib: f64,
    /// Do this on the store or the database in --dir, and print the memory that it took
    #[arg(long, hide = true)]
    child: Option<Child>,
}

fn main() {
    let args = Args::parse();
    if let Some(child) = args.child {
        return rows::child(child, &args.dir);
    }
    let measured = Duration::from_millis(if args.quick { args.slice.min(50) } else { args.slice });
    std::fs::create_dir_all(&args.dir).expect("a folder to measure in");
    raise_descriptors();
    let mut bench = Bench {
        folder: args.dir.canonicalize().expect("a folder to measure in"),
        seconds: args.seconds.unwrap_or(if args.quick { 0.5 } else { 6.0 }),
        length: Length { warm: measured * 2 / 3, measured },
        quick: args.quick,
        large: args.large,
        keep: args.keep,
        gib: if args.quick { args.gib.min(0.05) } else { args.gib },
        tables: Vec::new(),
        bars: Vec::new(),
    };
    let rows = if args.only.is_empty() { Row::value_variants() } else { &args.only };
    let head = head(&args.name);
    println!("{head}\n{}", peers::LEGEND);
    bench.forget_stores();
    for row in rows {
        row.run(&mut bench);
    }
    bench.forget_stores();
    if let Some(out) = &args.out {
        std::fs::create_dir_all(out).expect("a folder for the results");
        let tables: Vec<_> = bench.tables.iter().map(report::Table::markdown).collect();
        let text = format!("{head}\n{}\n{}", peers::LEGEND, tables.join("\n"));
        std::fs::write(out.join(format!("{}.md", args.name)), text).expect("a file for the tables");
        if !bench.bars.is_empty() {
            std::fs::write(out.join(format!("{}.svg", args.name)), plot::svg(&bench.bars))
                .expect("a file for the plot");
        }
    }
}

/// What the figures were seen on, as far as it matters and no further.
fn head(name: &str) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let system = rustix::system::uname();
    let release = system.release().to_string_lossy();
    let version: Vec<_> = release.split(['.', '-']).take(2).collect();
    format!(
        "## {name}, {cores} cores, Linux {}, bodies of {} bytes on average\n",
        version.join("."),
        body::mean_bytes()
    )
}

/// 256 sessions of several peers are open at once.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum.map(|maximum| maximum.min(65_536)), maximum: limit.maximum };
    setrlimit(Resource::Nofile, wanted).expect("a limit within what is allowed");
}
