//! Large neighbourhoods: free a region of the incumbent, and fill it again as well as can be.
//!
//! A region is what a column that looks good would push out, and some winners more (Shaw 1998;
//! ejection chains as in the independent-set search of Andrade, Resende and Werneck 2012, but any
//! number out for any number in). It is filled by the same branch and bound as everything else,
//! with the prices as its bound, so that most hopeless regions end before they are searched.

use crate::branch::Searched;
use crate::clock::Clock;
use crate::columns::{Columns, Setting};
use crate::items::meets;
use crate::prices::Proven;
use crate::region::{Kept, Searches};

/// A generator of numbers that look random (Vigna 2016, xorshift64*).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    const fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Returns a number below `end`, which is not zero.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("usize is at most 64 bits");
        let product = u128::from(self.next()) * u128::from(end);
        usize::try_from(product >> 64).expect("below `end`")
    }
}

/// The search.
#[derive(Debug)]
pub(crate) struct LocalSearch<const W: usize> {
    pub random: Random,
    kept: Kept<W>,
    out: Vec<bool>,
    /// How many winners go out.
    pub width: usize,
    successes: u32,
}

/// Work that one region may take.
const REGION_WORK: u64 = 10_000;

impl<const W: usize> LocalSearch<W> {
    pub(crate) fn new(seed: u64) -> Self {
        let (kept, out) = (Kept::default(), Vec::new());
        Self { random: Random::new(seed), kept, out, width: 3, successes: 0 }
    }

    /// Frees one region, and fills it; returns whether the winners are better now.
    #[expect(
        clippy::too_many_arguments,
        reason = "the problem, the prices, the incumbent, the clock"
    )]
    pub(crate) fn improve(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        proven: &Proven,
        searches: &mut Searches,
        winners: &mut Vec<u32>,
        had: i64,
        clock: &mut Clock<'_>,
    ) -> bool {
        self.free(columns, proven, winners);
        self.kept.reset(columns, setting);
        for (index, column) in winners.iter().enumerate() {
            if !self.out[index] {
                let gain = self.kept.gain(columns, setting, *column as usize);
                let gain = gain.expect("winners go together");
                self.kept.keep(columns, *column as usize, gain);
            }
        }
        let words = u64::try_from(W).expect("small");
        clock.spend(columns.len() as u64 * (2 + words));
        let loaded = searches.load(columns, setting, proven, &self.kept, had);
        let Some((count, _)) = loaded else {
            self.adapt(true, winners.len());
            return false;
        };
        if count == 0 {
            self.adapt(true, winners.len());
            return false;
        }
        let (found, searched) = searches.search(REGION_WORK, clock);
        self.adapt(searched == Searched::All, winners.len());
        if found {
            let mut index = 0;
            winners.retain(|_| {
                index += 1;
                !self.out[index - 1]
            });
            winners.extend_from_slice(&searches.best);
        }
        found
    }

    /// Widens the regions while they are searched in full, and narrows them when they are not.
    fn adapt(&mut self, complete: bool, winners: usize) {
        if !complete {
            self.width = (self.width - 1).max(2);
            self.successes = 0;
            return;
        }
        self.successes += 1;
        if self.successes >= 6 {
            self.successes = 0;
            self.width = (self.width + 1).min(winners.max(2));
        }
    }

    fn free(&mut self, columns: &Columns<W>, proven: &Proven, winners: &[u32]) {
        self.out.clear();
        self.out.resize(winners.len(), false);
        let mut out = 0;
        for _ in 0..8 {
            let column = self.promising(columns, proven);
            for (index, winner) in winners.iter().enumerate() {
                let winner = *winner as usize;
                let pushed = columns.group[winner] == columns.group[column]
                    || meets(&columns.mask[winner], &columns.mask[column]);
                if pushed && !self.out[index] && out < self.width + 1 {
                    self.out[index] = true;
                    out += 1;
                }
            }
            if out >= self.width {
                break;
            }
        }
        while out < self.width.min(winners.len()) {
            let index = self.random.below(winners.len());
            out += usize::from(!std::mem::replace(&mut self.out[index], true));
        }
    }

    /// Draws a column: of a few, the one that the prices like best.
    fn promising(&mut self, columns: &Columns<W>, proven: &Proven) -> usize {
        let draws = std::array::from_fn::<_, 4, _>(|_| self.random.below(columns.len()));
        draws.into_iter().min_by_key(|column| proven.reduced_cost(*column)).unwrap_or(0)
    }
}
