//! All rows one after another, in bounded memory: those of a large registry straight from its file.

use std::sync::Arc;

use crate::error::Error;
use crate::fs::{IoContext as _, PathError};
use crate::key::SessionKey;
use crate::registry::base::Base;
use crate::registry::lines::Lines;
use crate::registry::{RegistryState, Row, Rows};
use crate::store::inner::Inner;

/// The rows of a store, each once.
pub(crate) struct EachRow<'a> {
    inner: &'a Inner,
    /// Those in memory, which come last.
    memory: Rows,
    file: Option<(Base, Lines)>,
    /// Of the file, last first.
    read: Vec<Row>,
    state: RegistryState,
}

impl<'a> EachRow<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Result<Self, Error> {
        let (memory, base) = inner.rows_and_base();
        let state = if base.is_none() { inner.registry_state()? } else { RegistryState::Sound };
        let lines =
            |base: Base| Ok::<_, PathError>((Lines::new(base.file()).context("read", &inner.layout.registry())?, base));
        let file = base.map(lines).transpose()?.map(|(lines, base)| (base, lines));
        Ok(Self { inner, memory, file, read: Vec::new(), state })
    }

    /// Returns the next row; `None` behind the last.
    pub(crate) fn next(&mut self) -> Result<Option<Arc<Row>>, PathError> {
        loop {
            while let Some(row) = self.read.pop() {
                let Ok(key) = SessionKey::new(&row.key) else { continue };
                if self.memory.get(&key, row.generation).is_some() {
                    self.memory.put_later(row);
                } else if !self.inner.is_row_gone(&row) {
                    return Ok(Some(Arc::new(row)));
                }
            }
            let Some((base, lines)) = &mut self.file else { return Ok(self.memory.pop()) };
            if let Some(rows) = lines.next_rows(base.file()).context("read", &self.inner.layout.registry())? {
                self.read.extend(rows.into_iter().rev());
            } else {
                self.state = lines.state();
                self.file = None;
            }
        }
    }

    /// Says what the registry's file was, once all is read.
    pub(crate) fn state(&self) -> RegistryState {
        self.state
    }
}
