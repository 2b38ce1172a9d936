//! A gateway on an async runtime: no task blocks on a disk, and no thread of the runtime waits for an fsync.
//!
//! `cargo run --example tokio -- FOLDER`. Twenty conversations run at once; each message is awaited until it is on stable storage.
//! What the store returns are plain futures with threads of its own behind them, so they run on any runtime.

#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, reason = "an example")]

use std::time::Duration;

use serde_json::json;
use sesslog::{Error, NewRecord, Outcome, Store};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = std::env::args().nth(1).ok_or("usage: tokio FOLDER")?;
    // Opening reads files: once, before anything else runs.
    let store = Store::open(folder)?;
    let conversations: Vec<_> = (0..20).map(|number| tokio::spawn(converse(store.clone(), number))).collect();
    for conversation in conversations {
        conversation.await??;
    }
    // Told to stop: what still runs is given a second, and marked to be resumed.
    let drained = store.drain_async(Duration::from_secs(1), "restart", vec![]).await?;
    println!("{} turns were interrupted", drained.interrupted.len());
    tokio::task::spawn_blocking(move || store.close()).await??;
    Ok(())
}

async fn converse(store: Store, number: u32) -> Result<()> {
    let session = store.session(format!("telegram:{number}"))?;
    for question in ["hello", "and now?"] {
        let asked = NewRecord::new(&json!({"role": "user", "content": question}))?;
        let turn = session.begin_turn_async(vec![asked]).await?;
        // A tool's output comes in pieces; each is handed over at once, and the last is waited for.
        let mut last = None;
        for piece in 0..3 {
            let record = NewRecord::new(&json!({"role": "tool", "content": piece}))?;
            last = match turn.submit(record).await {
                // Too much is queued: what was handed over before has to be awaited first.
                Err(Error::QueueFull { .. }) => last,
                receipts => receipts?.pop(),
            };
        }
        println!("{}: {question}, kept up to record {}", session.key(), last.map_or(0, |receipt| receipt.seq));
        let answered = NewRecord::new(&json!({"role": "assistant", "content": "ten past eight"}))?;
        turn.finish_async(Outcome::Success, vec![answered]).await?;
    }
    Ok(())
}
