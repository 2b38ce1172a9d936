//! A chat loop: what is typed is kept before it is answered, and the conversation goes on where it was left.
//!
//! `cargo run --example chat -- FOLDER`, type, kill it in any way, run it again. The answers are an echo; where a model would be
//! asked, it would be shown what [`context`](sesslog::Session::context) gives. `/undo` takes the last question back, `/new` begins anew.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::io::BufRead as _;
use std::process::ExitCode;

use serde_json::json;
use sesslog::{Error, Item, NewRecord, Outcome, Session, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

fn main() -> ExitCode {
    let Some(folder) = std::env::args().nth(1) else {
        eprintln!("usage: chat FOLDER");
        return ExitCode::from(2);
    };
    match run(&folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(folder: &str) -> Result<()> {
    let store = Store::open(folder)?;
    let session = store.session("terminal:me")?;
    show(&session)?;
    for line in std::io::stdin().lock().lines() {
        match line?.trim() {
            "" => {}
            "/undo" => match session.undo(2) {
                Ok(_) => println!("(undone)"),
                Err(error @ Error::TooFewRecords { .. }) => println!("({error})"),
                Err(error) => return Err(error.into()),
            },
            "/new" => drop(session.reset("asked for")?),
            question => println!("{}", answer(&session, question)?),
        }
    }
    // Flush, seal, save the index. A kill instead of it loses nothing that was answered.
    store.close()?;
    Ok(())
}

/// One turn: the question is on stable storage before anything is done about it, the answer before it is shown.
fn answer(session: &Session, question: &str) -> Result<String> {
    let turn = session.begin_turn(vec![NewRecord::new(&json!({"role": "user", "content": question}))?])?;
    let known = session.context()?.items.len();
    let answer = format!("you said {question:?}; I can see {known} messages");
    turn.finish(Outcome::Success, vec![NewRecord::new(&json!({"role": "assistant", "content": answer}))?])?;
    Ok(answer)
}

/// Shows the last messages of an earlier run.
fn show(session: &Session) -> Result<()> {
    let items = match session.history(10) {
        Err(error) if error.is_not_found() => return Ok(()),
        items => items?,
    };
    for item in items {
        match item {
            Item::Record(record) => {
                let body: serde_json::Value = record.parse()?;
                println!("{}: {}", body["role"].as_str().unwrap_or("?"), body["content"].as_str().unwrap_or("?"));
            }
            Item::Gap(gap) => eprintln!("damage: {}; sessctl verify says what mends it", gap.defect),
            _ => {}
        }
    }
    Ok(())
}
