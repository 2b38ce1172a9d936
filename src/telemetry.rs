//! What an operator measures: counters and histograms through the facade of the crate `metrics`, spans and warnings through
//! `tracing`. Without the features of these names nothing of it is compiled, and nothing is timed.
//!
//! | metric | type | what |
//! |---|---|---|
//! | `sesslog_records_total` | counter | records and marks that were written |
//! | `sesslog_commits_total` | counter | commits that wrote them |
//! | `sesslog_commit_records` | histogram | records of a commit |
//! | `sesslog_commit_bytes` | histogram | bytes of a commit, padding left out |
//! | `sesslog_fsync_seconds` | histogram | time of an fdatasync |
//! | `sesslog_queue_bytes` | gauge | bytes that [`Session::submit`](crate::Session::submit) has queued |
//! | `sesslog_poisoned_total` | counter | writers that can not say what is on disk |
//! | `sesslog_write_failed_total` | counter | commits that were taken back, as of a full disk |
//! | `sesslog_torn_total` | counter | torn tails that were cut |
//! | `sesslog_damaged_total` | counter | opens that damage refused |
//!
//! Spans, at level `debug`: `open`, `commit`, `save_registry`. Events: a warning when an fdatasync takes longer than a second, when
//! a torn tail was cut, and when damage refused an open; an error when a writer is poisoned. They name key and generation, never
//! what stands in a record.

#![allow(clippy::inline_always, reason = "without the features every call is nothing")]

use crate::error::Error;
use crate::key::SessionKey;

#[cfg(any(feature = "metrics", feature = "tracing"))]
use crate::sync::Instant;
#[cfg(any(feature = "metrics", feature = "tracing"))]
use std::time::Duration;

/// An fdatasync that takes longer is worth a warning: whoever waits for it is frozen.
#[cfg(feature = "tracing")]
const SLOW_FSYNC: Duration = Duration::from_secs(1);

/// Says what a span is of, where spans are wanted; it ends with the scope.
macro_rules! span {
    ($name:literal, $key:expr, $generation:expr) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::debug_span!($name, key = %$key, generation = $generation).entered();
    };
    ($name:literal, $key:expr) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::debug_span!($name, key = %$key).entered();
    };
    ($name:literal) => {
        #[cfg(feature = "tracing")]
        let _span = tracing::debug_span!($name).entered();
    };
}
pub(crate) use span;

/// Runs an fdatasync of a session's transcript.
#[inline(always)]
pub(crate) fn fsync<T>(key: &str, generation: u64, sync: impl FnOnce() -> T) -> T {
    #[cfg(any(feature = "metrics", feature = "tracing"))]
    {
        let started = Instant::now();
        let done = sync();
        fsync_took(key, generation, started.elapsed());
        done
    }
    #[cfg(not(any(feature = "metrics", feature = "tracing")))]
    {
        let _ = (key, generation);
        sync()
    }
}

#[cfg(any(feature = "metrics", feature = "tracing"))]
fn fsync_took(key: &str, generation: u64, took: Duration) {
    #[cfg(feature = "metrics")]
    metrics::histogram!("sesslog_fsync_seconds").record(took.as_secs_f64());
    #[cfg(feature = "tracing")]
    if took > SLOW_FSYNC {
        tracing::warn!(key, generation, seconds = took.as_secs_f64(), "an fdatasync took long");
    }
    let _ = (key, generation);
}

/// A commit was written.
#[inline(always)]
pub(crate) fn committed(records: usize, bytes: usize) {
    #[cfg(feature = "metrics")]
    {
        // Exact up to 2^53.
        #[allow(clippy::as_conversions, clippy::cast_precision_loss, reason = "a histogram takes nothing else")]
        let [in_commit, in_bytes] = [records, bytes].map(|count| count as f64);
        metrics::counter!("sesslog_records_total").increment(crate::format::to_u64(records));
        metrics::counter!("sesslog_commits_total").increment(1);
        metrics::histogram!("sesslog_commit_records").record(in_commit);
        metrics::histogram!("sesslog_commit_bytes").record(in_bytes);
    }
    let _ = (records, bytes);
}

/// So many bytes are queued now.
#[inline(always)]
pub(crate) fn queued(bytes: u64) {
    #[cfg(feature = "metrics")]
    {
        #[allow(clippy::as_conversions, clippy::cast_precision_loss, reason = "a gauge takes nothing else")]
        metrics::gauge!("sesslog_queue_bytes").set(bytes as f64);
    }
    let _ = bytes;
}

/// A torn tail was cut.
#[inline(always)]
pub(crate) fn torn(key: &SessionKey, generation: u64, bytes: u64) {
    #[cfg(feature = "metrics")]
    metrics::counter!("sesslog_torn_total").increment(1);
    #[cfg(feature = "tracing")]
    tracing::warn!(%key, generation, bytes, "a torn tail was cut and kept in quarantine");
    let _ = (key, generation, bytes);
}

/// A writer could not be opened, or not write.
#[inline(always)]
pub(crate) fn failed(error: &Error) {
    match error {
        Error::Poisoned { key, generation, .. } => {
            #[cfg(feature = "metrics")]
            metrics::counter!("sesslog_poisoned_total").increment(1);
            #[cfg(feature = "tracing")]
            tracing::error!(%key, generation, "a writer is poisoned");
            let _ = (key, generation);
        }
        Error::WriteFailed { .. } => {
            #[cfg(feature = "metrics")]
            metrics::counter!("sesslog_write_failed_total").increment(1);
        }
        Error::Damaged { key, generation, .. } => {
            #[cfg(feature = "metrics")]
            metrics::counter!("sesslog_damaged_total").increment(1);
            #[cfg(feature = "tracing")]
            tracing::warn!(%key, generation, "damage refused to be written behind");
            let _ = (key, generation);
        }
        _ => {}
    }
}
