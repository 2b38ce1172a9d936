//! What the commands that change a session's state have in common: one mark, durable before they answer, or a no-op that says so.

use serde::Serialize;
use sesslog::{Error, Row, Session, SessionKey, Store};

use crate::args::Global;
use crate::commands::rebuild_index::close;
use crate::outcome::{Failure, Outcome};
use crate::render::{Output, escaped};
use crate::sessions::{SessionLine, state_of};

/// The session as it is afterwards, and whether that is the command's work.
#[derive(Serialize)]
pub(crate) struct ChangeLine<'a> {
    #[serde(flatten)]
    pub(crate) session: SessionLine<'a>,
    pub(crate) changed: bool,
}

#[derive(Serialize)]
pub(crate) struct Summary<'a> {
    pub(crate) key: &'a str,
    /// Whether a mark was written.
    pub(crate) changed: bool,
}

/// Makes a change and prints what the session has become. `text` says it in words, of whether something changed.
pub(crate) fn run(
    key: &SessionKey,
    global: &Global,
    output: &mut Output,
    change: impl FnOnce(&Session) -> Result<bool, Error>,
    text: impl FnOnce(bool, u64) -> String,
) -> Outcome {
    let mut summary = Summary { key: key.as_str(), changed: false };
    let result = print(key, global, output, &mut summary, change, text);
    output.finish(&summary, result)
}

fn print(
    key: &SessionKey,
    global: &Global,
    output: &mut Output,
    summary: &mut Summary<'_>,
    change: impl FnOnce(&Session) -> Result<bool, Error>,
    text: impl FnOnce(bool, u64) -> String,
) -> Result<Outcome, Failure> {
    let store = global.open_existing()?;
    let session = store.session(key.as_str())?;
    let changed = change(&session)?;
    summary.changed = changed;
    // While the lock is ours: nobody else has written since.
    let row = session.row()?;
    tell(&store, &row, changed, &text(changed, row.generation), output)?;
    let mut outcome = Outcome::Done;
    close(&store, output, &mut outcome)?;
    Ok(outcome)
}

/// Prints what a session has become; in text as it is said in words.
pub(crate) fn tell(store: &Store, row: &Row, changed: bool, text: &str, output: &mut Output) -> Result<(), Failure> {
    if output.is_json() {
        let session = SessionLine::new(store, row, state_of(store, row)?);
        return output.object("session", &ChangeLine { session, changed });
    }
    output.line(format!("{} generation {}: {text}", escaped(&row.key), row.generation).as_bytes())
}
