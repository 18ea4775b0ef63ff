//! The best of every set of items, where items are so few that all sets can be looked at.
//!
//! Dynamic programming over sets (Rothkopf, Pekeč and Harstad 1998), with nothing said of groups:
//! what it finds is a bound, and the optimum if no group happens to win twice. What it leaves of a
//! set's complement bounds every column, too, and mostly few columns are left.

use crate::columns::{Columns, Setting};

/// Items up to which it is done: three to this power steps.
pub(crate) const ITEMS_FEW: usize = 9;

/// No column.
const NOBODY: u32 = u32::MAX;

/// What is known of every set.
#[derive(Debug, Default)]
pub(crate) struct Subsets {
    /// The best column that brings a set, and what it brings.
    single: Vec<(i64, u32)>,
    /// What the items of a set bring at most, and the part of it that a first column takes.
    best: Vec<(i64, usize)>,
    reserve: Vec<i64>,
}

impl Subsets {
    /// Looks at all sets; returns what no choice of columns exceeds.
    pub(crate) fn solve<const W: usize>(
        &mut self,
        columns: &Columns<W>,
        setting: &Setting,
        work: &mut u64,
    ) -> i64 {
        let sets = 1_usize << setting.items;
        self.single.clear();
        self.single.resize(sets, (i64::MIN, NOBODY));
        if setting.exact {
            for (column, mask) in (0..).zip(&columns.mask) {
                let one = &mut self.single[set_of(mask)];
                *one = (*one).max((columns.value[column as usize], column));
            }
        } else {
            self.ask_least(columns, setting);
        }
        self.best.clear();
        self.best.push((0, 0));
        for set in 1..sets {
            let last = 1 << set.ilog2();
            let rest = set ^ last;
            // Without the last item, or with it in some part.
            let mut best = (self.best[rest].0, 0);
            let mut part = rest;
            loop {
                let (brings, column) = self.single[part | last];
                if column != NOBODY {
                    best = best.max((brings + self.best[rest ^ part].0, part | last));
                }
                if part == 0 {
                    break;
                }
                part = (part - 1) & rest;
            }
            self.best.push(best);
        }
        *work += (columns.len() * 3 + sets * setting.items) as u64;
        *work += 3_u64.pow(u32::try_from(setting.items).expect("few"));
        self.best[sets - 1].0
    }

    /// Where items may be awarded twice, a column brings every part of its set, too.
    fn ask_least<const W: usize>(&mut self, columns: &Columns<W>, setting: &Setting) {
        let sets = self.single.len();
        self.reserve.clear();
        self.reserve.push(0);
        for set in 1..sets {
            let last = set.ilog2() as usize;
            self.reserve.push(self.reserve[set ^ (1 << last)] + setting.reserve[last]);
        }
        // What is asked, negative: the largest is the best.
        for (column, mask) in (0..).zip(&columns.mask) {
            let set = set_of(mask);
            let asked = columns.value[column as usize] - self.reserve[set];
            self.single[set] = self.single[set].max((asked, column));
        }
        for item in 0..setting.items {
            for set in 0..sets {
                if set >> item & 1 == 0 {
                    self.single[set] = self.single[set].max(self.single[set | 1 << item]);
                }
            }
        }
        for (set, (brings, column)) in self.single.iter_mut().enumerate() {
            if *column != NOBODY {
                *brings += self.reserve[set];
            }
        }
    }

    /// Returns the columns of the best choice; a group may be among them twice.
    pub(crate) fn winners(&self, winners: &mut Vec<u32>) {
        winners.clear();
        let mut set = self.best.len() - 1;
        while set != 0 {
            let part = self.best[set].1;
            if part == 0 {
                set ^= 1 << set.ilog2();
            } else {
                winners.push(self.single[part].1);
                set ^= part;
            }
        }
    }

    /// Returns what no choice with a column exceeds.
    pub(crate) fn bound_with<const W: usize>(&self, columns: &Columns<W>, column: usize) -> i64 {
        let beside = (self.best.len() - 1) & !set_of(&columns.mask[column]);
        columns.value[column] + self.best[beside].0
    }
}

fn set_of<const W: usize>(mask: &[u64; W]) -> usize {
    usize::try_from(mask[0]).expect("few items, so that a word holds them")
}
