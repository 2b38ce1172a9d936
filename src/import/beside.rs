//! Files that are about sessions and hold none: the registries of gateways, and names of threads. Each is read once in a run.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::value::RawValue;

use crate::fs::PathError;
use crate::import::json::{Object, string};
use crate::import::lines::SourceFile;

/// What was read of such files, by path. One that is not there is read as an empty text.
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

/// Reads a whole file as text.
pub(crate) fn text_of(path: &Path) -> Result<String, PathError> {
    let file = SourceFile::open(path)?;
    let bytes = file.first(usize::try_from(file.length_bytes()).unwrap_or(usize::MAX))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A registry of sessions: an object with an entry for each key, in the order of the file.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) entries: Vec<(String, Box<RawValue>)>,
    /// The places of the entries that name a session.
    by_id: HashMap<String, Vec<usize>>,
    /// Why nothing could be read of it.
    pub(crate) broken: Option<String>,
}

impl Registry {
    /// Reads a registry in which entries name their session in the field `id`. A name that begins with an underscore is none of
    /// a session.
    pub(crate) fn parse(text: &str, id: &str) -> Self {
        let mut registry = Self::default();
        let object = match serde_json::from_str::<Object<'_>>(text.trim_start_matches('\u{feff}')) {
            Ok(object) => object,
            Err(error) => {
                registry.broken = Some(error.to_string());
                return registry;
            }
        };
        for (key, value) in object.fields().filter(|(key, _)| !key.starts_with('_')) {
            let (Some(entry), Ok(value)) = (Object::parse(value), RawValue::from_string(value.to_owned())) else {
                continue;
            };
            let Some(session) = entry.raw(id).and_then(string) else { continue };
            self::push(&mut registry.by_id, session.into_owned(), registry.entries.len());
            registry.entries.push((key.to_owned(), value));
        }
        registry
    }

    /// Returns the entries that name a session.
    pub(crate) fn of(&self, id: &str) -> impl Iterator<Item = &(String, Box<RawValue>)> {
        self.by_id.get(id).into_iter().flatten().filter_map(|at| self.entries.get(*at))
    }
}

fn push(map: &mut HashMap<String, Vec<usize>>, key: String, at: usize) {
    map.entry(key).or_default().push(at);
}
