//! What `delete` and `prune` have in common: what became of a session, or would, in a line.

use serde::Serialize;
use sesslog::Deleted;

use crate::outcome::Failure;
use crate::render::{Output, counted, escaped};

/// What became of one generation of a key.
#[derive(Serialize)]
pub(crate) struct FateLine<'a> {
    key: &'a str,
    generation: u64,
    bytes: u64,
    /// Whether it is gone; of a dry run and of what is kept it is not.
    deleted: bool,
    /// Whether the store has a note of that.
    noted: bool,
    /// Its name in the trash.
    trash: Option<&'a str>,
}

/// What a command came to; `named` and `bytes` are of what went or, after a dry run, of what would.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Totals {
    named: u64,
    bytes: u64,
    deleted: u64,
    dry_run: bool,
}

impl Totals {
    pub(crate) fn new(dry_run: bool) -> Self {
        Self { dry_run, ..Self::default() }
    }

    pub(crate) fn add(&mut self, fate: &FateLine<'_>) {
        self.named += 1;
        self.bytes = self.bytes.saturating_add(fate.bytes);
        self.deleted += u64::from(fate.deleted);
    }

    /// Spells them.
    pub(crate) fn text(&self) -> String {
        let will = if self.dry_run { " would be" } else { "" };
        format!("{}{will} deleted, {}", counted(self.named, "session"), counted(self.bytes, "byte"))
    }
}

impl<'a> FateLine<'a> {
    /// Of what went.
    pub(crate) fn gone(deleted: &'a Deleted) -> Self {
        Self {
            key: deleted.key.as_str(),
            generation: deleted.generation,
            bytes: deleted.bytes,
            deleted: true,
            noted: deleted.noted,
            trash: deleted.trash.as_deref(),
        }
    }

    /// Of what is still there.
    pub(crate) fn there(key: &'a str, generation: u64, bytes: u64) -> Self {
        Self { key, generation, bytes, deleted: false, noted: false, trash: None }
    }

    /// Spells it; `purge` is what was asked for.
    pub(crate) fn text(&self, purge: bool) -> String {
        let bytes = counted(self.bytes, "byte");
        let fate = match (self.deleted, self.trash, purge) {
            (true, Some(name), false) => format!("deleted, {bytes}, in the trash as {}", escaped(name)),
            // On a full disk.
            (true, Some(name), true) => {
                format!("deleted for good, {bytes}, but for its header, in the trash as {}", escaped(name))
            }
            (true, None, _) => format!("deleted for good, {bytes}"),
            (false, _, true) => format!("would be deleted for good, {bytes}"),
            (false, _, false) => format!("would be deleted, {bytes}"),
        };
        format!("{}: {fate}", self.name())
    }

    pub(crate) fn name(&self) -> String {
        format!("{} generation {}", escaped(self.key), self.generation)
    }

    /// Warns of a deletion that only the file in the trash witnesses.
    pub(crate) fn warn(&self, purge: bool, output: &mut Output) -> Result<(), Failure> {
        if !self.deleted || self.noted {
            return Ok(());
        }
        let witness = if purge { "its header stays in the trash" } else { "only its file in the trash says so" };
        // What was printed before it should also be seen before it.
        output.flush()?;
        output.say(&format!(
            "warning: {}: the disk is full, so the deletion is not noted; {witness}, leave it there until sessctl trash empty",
            self.name()
        ));
        Ok(())
    }
}
