//! Sessions for people and for other systems: a page to look at, Markdown, chat completions, a file of pi, JSON lines.
//!
//! Reads like any reader: no lock, nothing written to the store, damage shown where the format has a place for it. A session is
//! read once to learn what is in the view and once to be written, so memory does not grow with its length but for a few bytes
//! a record. What is read twice may have grown in between: what came later is left out.
//!
//! Transcripts are hostile. [`Message::read`] takes any body, and what a page is made of is escaped by its templates.

mod html;
mod json;
mod jsonl;
mod markdown;
mod merge;
pub(crate) mod message;
mod openai;
mod pi;
mod redact;
mod shown;
mod survey;
mod taken;
pub(crate) mod turns;

use std::collections::BTreeMap;
use std::io::Write;

pub use message::{Image, Lane, Message, Part, Role, Usage};

use crate::error::Error;
use crate::key::SessionKey;
use crate::store::Store;
use redact::Redactor;
use survey::Survey;
use taken::Source;

/// What a session is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// The bodies, one a line, byte for byte.
    Jsonl,
    /// Text with headings, for reading and for issues.
    Markdown,
    /// A page that needs nothing else, no network either.
    Html,
    /// `{"messages":[...]}` as chat completions take them: what a model should see now.
    OpenAi,
    /// A session file of pi, version 3.
    Pi,
}

/// What of a session is written, and how.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct ExportOptions {
    generation: Option<u64>,
    active: bool,
    redact: bool,
}

impl ExportOptions {
    /// Returns the defaults: all records of the newest generation, as they are.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the generation; the newest by default.
    pub fn generation(mut self, generation: u64) -> Self {
        self.generation = Some(generation);
        self
    }

    /// Leaves out what a model is not shown: what was undone, other branches, what a summary stands for, `meta.` kinds. Of a
    /// closed generation, as it was when it was closed.
    pub fn active(mut self, active: bool) -> Self {
        self.active = active;
        self
    }

    /// Replaces what looks like a key, a token or a password. A help, no guarantee.
    pub fn redact(mut self, redact: bool) -> Self {
        self.redact = redact;
        self
    }
}

/// What an export came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The generation.
    pub generation: u64,
    /// Records written, marks not counted.
    pub records: u64,
    /// Damage that was met; what is lost to it is not in the export.
    pub gaps: Vec<crate::Gap>,
    /// How many secrets were replaced, by what they look like.
    pub redacted: BTreeMap<&'static str, u64>,
}

/// Why an export failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The session can not be read.
    #[error(transparent)]
    Store(#[from] Error),
    /// What was to be written to did not take it.
    #[error("can not write the export")]
    Write(#[from] std::io::Error),
    /// A template or an expression of this crate is wrong.
    #[error("can not prepare the export: {reason}")]
    Prepare {
        /// What its library says.
        reason: String,
    },
}

/// Writes a session in some format.
///
/// Takes no lock. Costs two reads of the transcript, or one for [`Format::Jsonl`] of all records.
///
/// ```
/// use sesslog::export::{self, ExportOptions, Format};
/// use sesslog::{NewRecord, Store};
/// # let folder = tempfile::tempdir()?;
/// let store = Store::open(folder.path())?;
/// let session = store.session("telegram:42")?;
/// session.append(NewRecord::json(r#"{"role":"user","content":"hi"}"#)?)?;
/// let mut page = Vec::new();
/// let exported = export::write(&store, session.key(), Format::Html, &ExportOptions::new(), &mut page)?;
/// assert!(exported.records == 1 && page.starts_with(b"<!doctype html>"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
///
/// [`ExportError::Store`] as by [`Session::read`](crate::Session::read); [`ExportError::Write`] with what was written so far
/// written. Damage is no error: see [`Exported::gaps`].
pub fn write(
    store: &Store,
    key: &SessionKey,
    format: Format,
    options: &ExportOptions,
    out: &mut dyn Write,
) -> Result<Exported, ExportError> {
    let session = store.session(key.as_str())?;
    let generation = match options.generation {
        Some(generation) => generation,
        None => session.generation()?,
    };
    let redactor = if options.redact { Some(Redactor::new().map_err(prepare)?) } else { None };
    let needs_survey = format != Format::Jsonl || options.active;
    let survey = if needs_survey { Some(Survey::of(store, &session, generation)?) } else { None };
    let only_active = options.active || format == Format::OpenAi;
    let mut source = Source::open(&session, generation, survey, redactor, only_active)?;
    match format {
        Format::Jsonl => jsonl::write(&mut source, out)?,
        Format::Markdown => markdown::write(&mut source, key, out)?,
        Format::Html => html::write(&mut source, &session, out)?,
        Format::OpenAi => openai::write(&mut source, out)?,
        Format::Pi => pi::write(&mut source, out)?,
    }
    out.flush()?;
    Ok(source.finish())
}

fn prepare(error: impl std::fmt::Display) -> ExportError {
    ExportError::Prepare { reason: error.to_string() }
}
