//! Sessions that have no file of their own: rows of a database, or no more than an entry of a registry.

use std::sync::Arc;

use crate::import::finding::FindingKind;
use crate::import::shape::Change;
use crate::timestamp::Timestamp;

/// A session among others in a file.
pub(crate) struct Inside {
    /// What stands before its name in its key by default.
    pub(crate) prefix: &'static str,
    /// The system's own name for it.
    pub(crate) name: String,
    /// When it changed last, if its rows do not say.
    pub(crate) time: Option<Timestamp>,
    /// What is known of it beside its rows.
    pub(crate) beside: Vec<Change>,
    /// Its rows; none where only a registry tells of it.
    pub(crate) rows: Option<Arc<dyn Rows>>,
}

/// The rows of a session.
pub(crate) trait Rows: Send + Sync {
    /// Returns them as lines of JSON, an object each, and why that is not all of them.
    fn read(&self) -> (Vec<u8>, Option<FindingKind>);
}
