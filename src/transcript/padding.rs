//! How far a session that commits often is padded ahead, and nothing else: no file, no clock.
//!
//! A commit that makes its file longer costs the disk two flushes, one for the data and one for the file system's journal; one
//! inside the file's length costs one. So a commit of a hot session lays tabs behind its records, in the same write, and the
//! next ones overwrite them. A session is hot from some commits in quick succession on, also with pauses between the bursts. That
//! is below the 64 commits a second from which padding was first thought to pay: with 256 busy sessions on one disk none of them
//! comes to 64, and what it costs one that goes quiet then is a truncate without fsync.

use crate::layout::Padding;

/// A commit that follows the one before after less than this is one of a burst.
const BURST_GAP_MS: i64 = 250;
/// With 256 KiB, 64 sessions that begin a burst together write more padding in it than records; one alone gains nothing by it.
pub(crate) const DEFAULT: Padding = Padding { after_commits: 16, bytes_max: 64 << 10 };
/// Of the commits in bursts so many times those are remembered: how slowly a session cools.
const MEMORY: u32 = 4;
/// Padding laid by the first commit of a hot session that finds none left, by the second, and so on; then as much as allowed.
const STEPS_BYTES: [u64; 3] = [4 << 10, 16 << 10, 64 << 10];
const PAGE_BYTES: u64 = 4096;

/// What is known of a session's habits. It outlives the writer: agents commit in bursts, and between two of them the session is let
/// go of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heat {
    limits: Padding,
    commits: u32,
    last_ms: i64,
    steps: usize,
}

impl Heat {
    pub(crate) fn new(limits: Padding) -> Self {
        Self { limits, commits: 0, last_ms: 0, steps: 0 }
    }

    /// Notes a durable commit.
    pub(crate) fn note(&mut self, now_ms: i64) {
        let gap_ms = now_ms.saturating_sub(self.last_ms);
        self.last_ms = now_ms;
        // A clock that was turned back tells nothing.
        self.commits = if (0..BURST_GAP_MS).contains(&gap_ms) {
            self.commits.saturating_add(1).min(self.limits.after_commits.saturating_mul(MEMORY))
        } else {
            self.commits - self.commits / 4
        };
        if !self.is_hot() {
            self.steps = 0;
        }
    }

    /// Returns where the file is to end when content up to `content_end` is written and no padding is left; each time it is
    /// asked of a hot session that is further away.
    pub(crate) fn lay(&mut self, content_end: u64) -> u64 {
        if !self.is_hot() {
            return content_end;
        }
        let bytes =
            STEPS_BYTES.get(self.steps).map_or(self.limits.bytes_max, |bytes| self.limits.bytes_max.min(*bytes));
        self.steps = self.steps.saturating_add(1).min(STEPS_BYTES.len());
        let end = content_end.saturating_add(bytes);
        // Pages are written whole, so it ends with one, unless that is more than allowed.
        if bytes < PAGE_BYTES { end } else { end - end % PAGE_BYTES }
    }

    fn is_hot(&self) -> bool {
        self.commits >= self.limits.after_commits
    }

    /// The padding was cut: the next begins small.
    pub(crate) fn rest(&mut self) {
        self.steps = 0;
    }

    /// No more padding for now: there was no room for it.
    pub(crate) fn cool(&mut self) {
        (self.commits, self.steps) = (0, 0);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_session_is_never_padded() {
        let mut heat = Heat::new(DEFAULT);
        for commit in 0..1000 {
            heat.note(commit * BURST_GAP_MS);
            assert_eq!(heat.lay(5000), 5000, "commit {commit}");
        }
    }

    #[test]
    fn a_hot_session_is_padded_further_each_time_and_cools() {
        let mut heat = Heat::new(Padding { bytes_max: 256 << 10, ..DEFAULT });
        for now_ms in 1_000_000..1_000_017 {
            assert_eq!(heat.lay(5000), 5000);
            heat.note(now_ms);
        }
        let ends: Vec<_> = (0..5).map(|_| heat.lay(5000)).collect();
        assert_eq!(ends, [8192, 20_480, 69_632, 266_240, 266_240]);
        heat.note(0);
        heat.note(-1000);
        assert_eq!(heat.lay(5000), 5000, "the clock was turned back");
    }

    #[test]
    fn bursts_with_pauses_between_make_it_hot() {
        let mut heat = Heat::new(DEFAULT);
        for burst in 0..6 {
            (0..6).for_each(|commit| heat.note(1_000_000 + burst * 1500 + commit * 20));
        }
        assert!(heat.lay(5000) > 5000);
        assert!(heat.lay(5000) > 8192);
        heat.rest();
        assert_eq!(heat.lay(5000), 8192);
        heat.cool();
        assert_eq!(heat.lay(5000), 5000);
    }
}
