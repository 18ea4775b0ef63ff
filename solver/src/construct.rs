//! First solutions, and what they show at once: before any price is sought.
//!
//! Greedy choices by value for the size (Lehmann, O'Callaghan and Shoham 2002); the best two columns
//! that go together where hardly any do; and an even price for all items, which leaves few columns
//! where a bundle's worth is all but proportional to its size (reduced-cost fixing, with the
//! simplest of prices).

#![expect(clippy::cast_precision_loss, reason = "keys are in floating point")]

use crate::items::{each_bit, meets};
use crate::prices::FINE;
use crate::problem::BidId;
use crate::solver::Run;

/// Items that two bundles share on average, beyond which hardly two go together.
const OVERLAP_MANY: usize = 4;

impl<const W: usize> Run<'_, '_, W> {
    pub(crate) fn construct_first(&mut self) {
        for power in [0.5, 1.0] {
            let space = &mut *self.space;
            let (columns, setting) = (&space.columns, &space.setting);
            let key = |column: usize| {
                let mask = &columns.mask[column];
                let size = match setting.reserve.first() {
                    Some(0) | None => f64::from(size_of(mask)),
                    Some(_) => {
                        let mut sum = 0;
                        each_bit(mask, |item| sum += setting.reserve[item]);
                        sum as f64
                    }
                };
                let size = if power < 1.0 { size.sqrt() } else { size };
                (columns.value[column] as f64) / size.max(1.0)
            };
            let surplus = space.greedy.construct(columns, setting, key);
            self.clock.spend(columns.len() as u64 * 20);
            self.offer(surplus);
        }
    }

    /// Leaves out what cannot be in a better solution if every item has the same price: the least at
    /// which no column is left anything. Where a bundle's worth is all but proportional to its size
    /// these are few columns, and the rows of large bundles need not be listed. Returns whether that
    /// proves the incumbent.
    pub(crate) fn fix_evenly(&mut self) -> bool {
        let space = &mut *self.space;
        let (columns, setting) = (&mut space.columns, &space.setting);
        if setting.reserve.iter().any(|reserve| *reserve != 0) {
            return false;
        }
        let sizes = columns.mask.iter().map(|mask| i64::from(size_of(mask)));
        let dearest = |(value, size): (&i64, i64)| ((value << FINE) + size - 1) / size;
        let price = columns.value.iter().zip(sizes.clone()).map(dearest).max().unwrap_or(0);
        let mut items = [0; W];
        for mask in &columns.mask {
            for (all, word) in items.iter_mut().zip(mask) {
                *all |= word;
            }
        }
        let bound = price * i64::from(size_of(&items));
        let room = bound - ((self.had + 1) << FINE);
        let cost = |(value, size): (&i64, i64)| size * price - (value << FINE);
        space.keep.clear();
        space.keep.extend(columns.value.iter().zip(sizes).map(|column| cost(column) <= room));
        self.clock.spend(columns.len() as u64 * 6);
        let left = space.keep.iter().filter(|keep| **keep).count();
        if left < columns.len() * 15 / 16 {
            columns.retain(&space.keep);
        }
        self.bound = self.bound.min(bound >> FINE);
        self.report();
        left == 0 || self.bound <= self.had
    }

    /// Begins with the best two columns that go together, where bundles are so large that hardly any
    /// do and a greedy choice ends with one.
    pub(crate) fn construct_pair(&mut self, rows: usize) {
        let space = &mut *self.space;
        let (columns, setting) = (&space.columns, &space.setting);
        let size = rows / columns.len().max(1);
        if !setting.exact || size * size < OVERLAP_MANY * setting.items {
            return;
        }
        let mut order: Vec<_> = (0..columns.len())
            .map(|column| (columns.value[column], column, columns.group[column]))
            .collect();
        order.sort_unstable_by_key(|(value, ..)| std::cmp::Reverse(*value));
        let masks: Vec<_> = order.iter().map(|(_, column, _)| columns.mask[*column]).collect();
        let (mut best, mut pair) = (self.had, None);
        let mut tests_left = (self.clock.planned() / 10).min(10_000_000);
        for (place, (one_value, one, one_group)) in order.iter().enumerate() {
            let mask = masks[place];
            let before = tests_left;
            for ((value, other, group), other_mask) in order[..place].iter().zip(&masks) {
                let value = one_value + value;
                if value <= best || tests_left == 0 {
                    break;
                }
                tests_left -= 1;
                if group != one_group && !meets(&mask, other_mask) {
                    (best, pair) = (value, Some((*one, *other)));
                }
            }
            if tests_left == 0 || !self.clock.spend((before - tests_left) * 2 + 4) {
                break;
            }
        }
        let Some((one, other)) = pair else { return };
        let most = order.first().map_or(1, |(value, ..)| *value).max(1) as f64;
        let key = |column: usize| match column == one || column == other {
            true => 1.0,
            false => 0.9 * columns.value[column] as f64 / most,
        };
        let surplus = space.greedy.construct(columns, setting, key);
        self.offer(surplus);
    }

    /// Begins with the given winners, and whatever goes with them.
    pub(crate) fn construct_from(&mut self, start: &[BidId]) {
        if start.is_empty() {
            return;
        }
        let space = &mut *self.space;
        let (columns, setting) = (&space.columns, &space.setting);
        let key = |column: usize| {
            let bids = setting.bids_of(columns.full[column]);
            let wins = bids.iter().all(|bid| start.contains(&BidId(*bid)));
            if wins { bids.len() as f64 } else { 0.0 }
        };
        let surplus = space.greedy.construct(columns, setting, key);
        self.clock.spend(columns.len() as u64 * (20 + start.len() as u64));
        self.offer(surplus);
    }

    pub(crate) fn construct_by_prices(&mut self) {
        let space = &mut *self.space;
        let (columns, proven) = (&space.columns, &space.proven);
        let key = |column: usize| {
            let value = (columns.value[column] << FINE) as f64;
            proven.left[column] as f64 / value
        };
        let surplus = space.greedy.construct(columns, &space.setting, key);
        self.clock.spend(columns.len() as u64 * 12);
        self.offer(surplus);
    }

    /// Takes the constructed solution if it is better.
    fn offer(&mut self, surplus: i64) -> bool {
        if surplus <= self.had {
            return false;
        }
        let space = &mut *self.space;
        self.had = surplus;
        space.incumbent.clear();
        let winners = space.greedy.winners.iter();
        space.incumbent.extend(winners.map(|column| space.columns.full[*column as usize]));
        self.report();
        true
    }
}

/// Returns how many members a set has.
pub(crate) fn size_of<const W: usize>(mask: &[u64; W]) -> u32 {
    mask.iter().map(|word| word.count_ones()).sum()
}
