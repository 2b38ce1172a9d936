//! Who decides in a simulation: a seed, or one after the other every choice there is.

/// A source of decisions.
#[derive(Debug, Clone)]
pub struct Chance(Source);

impl Default for Chance {
    fn default() -> Self {
        Self::new(0)
    }
}

#[derive(Debug, Clone)]
enum Source {
    /// `SplitMix64`.
    Seed(u64),
    /// The choices taken on the way, each with the number of those there were.
    Path { taken: Vec<(u64, u64)>, at: usize },
}

impl Chance {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// Starts on the first of all paths: `below` gives 0 until [`next_path`](Self::next_path) was called.
    pub fn every() -> Self {
        Self(Source::Path { taken: Vec::new(), at: 0 })
    }

    /// Goes to the next path, and to its start; `false` after the last. A seed has one path only.
    ///
    /// ```
    /// let mut chance = sesslog::sim::Chance::every();
    /// let mut seen = Vec::new();
    /// loop {
    ///     seen.push((chance.below(2), chance.below(3)));
    ///     if !chance.next_path() {
    ///         break;
    ///     }
    /// }
    /// assert_eq!(seen, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]);
    /// ```
    pub fn next_path(&mut self) -> bool {
        let Source::Path { taken, at } = &mut self.0 else { return false };
        taken.truncate(*at);
        *at = 0;
        while let Some((choice, bound)) = taken.last_mut() {
            *choice = choice.saturating_add(1);
            if choice < bound {
                return true;
            }
            taken.pop();
        }
        false
    }

    /// Returns the next 64 bits. On a path that is a choice among all of them, which nobody lives to see the end of.
    pub fn next_u64(&mut self) -> u64 {
        let Source::Seed(seed) = &mut self.0 else { return self.below(u64::MAX) };
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        match &mut self.0 {
            Source::Seed(_) => self.next_u64().checked_rem(bound).unwrap_or(0),
            Source::Path { .. } if bound <= 1 => 0,
            Source::Path { taken, at } => {
                let choice = if let Some((choice, _)) = taken.get(*at) {
                    *choice
                } else {
                    taken.push((0, bound));
                    0
                };
                *at = at.saturating_add(1);
                choice
            }
        }
    }

    /// Says yes once in `times` times.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
