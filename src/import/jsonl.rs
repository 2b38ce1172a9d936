//! Any JSON lines: what has no system of its own. Every line is a message; its time is that of the usual fields.

use std::path::Path;

use crate::import::json::Object;
use crate::import::shape::{Entry, Fold, Meaning, Peek, Shape, Verdict};
use crate::import::times::time_of;

/// Where histories keep the time of a record.
const TIMES: [&str; 6] = ["timestamp", "ts", "time", "created_at", "createdAt", "date"];

pub(crate) struct Jsonl;

impl Shape for Jsonl {
    fn wants(&self, name: &str) -> bool {
        Path::new(name).extension().is_some_and(|extension| extension == "jsonl" || extension == "ndjson")
    }

    fn judge(&self, peek: &Peek<'_>) -> Verdict {
        if peek.has_sound_object() { Verdict::Session } else { Verdict::Unknown }
    }

    fn key(&self, peek: &Peek<'_>) -> (&'static str, String) {
        ("jsonl:", peek.stem().into_owned())
    }

    fn is_entry(&self, object: &Object<'_>) -> bool {
        object.has("role") && object.has("content")
    }

    fn fold(&self, _path: &Path) -> Box<dyn Fold> {
        Box::new(Lines)
    }
}

struct Lines;

impl Fold for Lines {
    fn entry(&mut self, entry: &Entry<'_>) -> Meaning {
        let object = entry.object.as_ref();
        Meaning::new(TIMES.iter().find_map(|name| time_of(object?.raw(name)?)), true)
    }
}
