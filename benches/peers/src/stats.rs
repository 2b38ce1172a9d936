//! Medians, spreads and percentiles.

/// The median of slices, and the middle half of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    /// First and third quartile.
    pub(crate) quartiles: (f64, f64),
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |part| quantile(&values, part);
        Self { median: at(0.5), quartiles: (at(0.25), at(0.75)) }
    }

    /// The distance of the quartiles as a share of the median.
    pub(crate) fn relative(&self) -> f64 {
        (self.quartiles.1 - self.quartiles.0) / self.median
    }
}

/// Returns the value below which that part of the sorted values lies, between two of them where need be.
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let place = part * last as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + (high - low) * place.fract()
}

/// How long single appends took, in nanoseconds.
#[derive(Debug, Default, Clone)]
pub(crate) struct Latencies(Vec<u64>);

impl Latencies {
    pub(crate) fn note(&mut self, taken: std::time::Duration) {
        self.0.push(taken.as_nanos() as u64);
    }

    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Returns these percentiles in seconds; of no latency at all, not a number.
    pub(crate) fn percentiles<const N: usize>(&mut self, percents: [f64; N]) -> [f64; N] {
        self.0.sort_unstable();
        percents.map(|percent| {
            let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
            // The nearest rank: a latency that was seen, none between two.
            let rank = (percent / 100.0 * last as f64).ceil() as usize;
            self.0[rank.min(last)] as f64 / 1e9
        })
    }
}
