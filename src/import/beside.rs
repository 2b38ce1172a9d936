//! Files that are about sessions and hold none: the registries of gateways, and names of threads. Each is read once in a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::fs::PathError;
use crate::import::json::{Object, compact};
use crate::import::lines::{SourceFile, failed};

/// More than that is no registry: memory is not for whoever wrote it to take.
const BYTES_MAX: usize = 256 << 20;

/// What was read of such files, by path. One that can not be read is an empty text.
#[derive(Debug)]
pub(crate) struct Beside<T>(Mutex<HashMap<PathBuf, Arc<T>>>);

impl<T> Default for Beside<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Beside<T> {
    /// Returns what `read` makes of the text of a file, its invalid UTF-8 replaced.
    pub(crate) fn get(&self, path: &Path, read: impl FnOnce(&str) -> T) -> Arc<T> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
        known.unwrap_or_else(|| {
            let text = text_of(path).unwrap_or_default();
            let made = Arc::new(read(&text));
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(path.to_owned()).or_insert(made))
        })
    }
}

/// Reads a whole file as text, if it is of a size that such files have.
fn text_of(path: &Path) -> Result<String, PathError> {
    let file = SourceFile::open(path)?;
    let bytes = usize::try_from(file.length_bytes()).ok().filter(|bytes| *bytes <= BYTES_MAX);
    let bytes = bytes.ok_or(std::io::ErrorKind::FileTooLarge.into()).map_err(failed("read", path))?;
    Ok(String::from_utf8_lossy(&file.first(bytes)?).into_owned())
}

/// A registry of sessions: an object with an entry for each key, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    /// Keys and JSON objects.
    pub(crate) entries: Vec<(String, String)>,
    /// The places of the entries that go by a name.
    by_name: HashMap<String, Vec<usize>>,
    /// Why nothing could be read of it.
    pub(crate) broken: Option<String>,
}

impl Registry {
    /// Reads a registry; `name` says what an entry goes by, and what has none is no entry. What begins with an underscore is no
    /// key.
    pub(crate) fn parse(text: &str, name: impl Fn(&Object<'_>) -> Option<String>) -> Self {
        match serde_json::from_str::<Object<'_>>(text.trim_start_matches('\u{feff}')) {
            Ok(object) => {
                let entries = object.fields().filter(|(key, _)| !key.starts_with('_'));
                Self::of_entries(entries.map(|(key, entry)| (key.to_owned(), entry.to_owned())), name)
            }
            Err(error) => Self { broken: Some(error.to_string()), ..Self::default() },
        }
    }

    /// Makes a registry of entries with their keys.
    pub(crate) fn of_entries(
        entries: impl IntoIterator<Item = (String, String)>,
        name: impl Fn(&Object<'_>) -> Option<String>,
    ) -> Self {
        let mut registry = Self::default();
        for (key, entry) in entries {
            if let Some(name) = Object::parse(&entry).as_ref().and_then(&name) {
                registry.by_name.entry(name).or_default().push(registry.entries.len());
                registry.entries.push((key, compact(&entry)));
            }
        }
        registry
    }

    /// Returns the entries that go by a name.
    pub(crate) fn of(&self, name: &str) -> impl Iterator<Item = &(String, String)> {
        self.by_name.get(name).into_iter().flatten().filter_map(|at| self.entries.get(*at))
    }
}
