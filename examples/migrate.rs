//! Moving in from a program: histories of another system become sessions, and each is compared with its source.
//!
//! `cargo run --example migrate -- STORE PATH...`. The command line has the same: `sessctl import`, `sessctl verify --against`.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::path::PathBuf;
use std::process::ExitCode;

use sesslog::import::{ImportOptions, compare, import};
use sesslog::{Error, Progress, Store};

fn main() -> ExitCode {
    let mut paths: Vec<_> = std::env::args().skip(1).map(PathBuf::from).collect();
    if paths.len() < 2 {
        eprintln!("usage: migrate STORE PATH...");
        return ExitCode::from(2);
    }
    let store = paths.remove(0);
    match run(&store, &paths) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says whether everything is in the store now, byte for byte.
fn run(store: &std::path::Path, paths: &[PathBuf]) -> Result<bool, Error> {
    let store = Store::open(store)?;
    let options = ImportOptions::new();
    let imported = import(&store, paths, &options, &Progress::default());
    for session in &imported.sessions {
        println!("{} {}: {} lines, {} messages", session.key, session.state.name(), session.lines, session.messages);
    }
    for finding in &imported.findings {
        println!("{}: {}", finding.path.display(), finding.kind.name());
    }
    let compared = compare(&store, paths, &options, &Progress::default());
    for finding in &compared.findings {
        println!("{}: {}", finding.path.display(), finding.kind.name());
    }
    store.close()?;
    Ok(compared.findings.is_empty())
}
