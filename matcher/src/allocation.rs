//! Allocations of bundles: may these win together, what are they worth, what can no allocation
//! exceed, and a first answer for want of a better one.
//!
//! Finding the best allocation is for solvers beside the core (winner determination is NP-hard:
//! Rothkopf, Pekeč and Harstad 1998). What they propose is checked here, in time that is linear in
//! what is proposed, so that nobody needs to trust them.

use alloc::vec::Vec;

use gavel_protocol::limits::BUNDLES_PER_RFQ_MAX;
use gavel_protocol::{DualPrices, GroupRule, Items, Micros, PosedBundle, PosedItem};

use crate::first_answer::{FirstAnswer, units_of};
use crate::singles::Assignment;
use crate::sums::Sums;

/// A problem: which of these bundles win?
#[derive(Clone, Copy, Debug)]
pub struct Problem<'a> {
    /// What each item takes of a capacity, and what its award is worth.
    pub items: &'a [PosedItem],
    /// Whether an item may be awarded more than once; its worth counts once.
    pub free_disposal: bool,
    /// Whether nothing is awarded unless every item is.
    pub all_or_none: bool,
    /// The bundles, by their numbers.
    pub bundles: &'a [PosedBundle],
}

/// What checking and constructing need beside the problem; reused, so that nothing is allocated.
#[derive(Debug)]
pub struct Scratch {
    /// Per group: bundles that won of an XOR group, or loads of an OR group.
    used: Vec<u32>,
    /// Groups whose use is not zero.
    touched: Vec<u32>,
    /// One bit per bundle.
    seen: Vec<u64>,
    /// What items gain above their prices, and their loads.
    gains: Sums,
    loads: Sums,
    pub(crate) assignment: Assignment,
}

impl Scratch {
    /// Makes room for the largest problem.
    pub fn new() -> Self {
        Self {
            used: alloc::vec![0; BUNDLES_PER_RFQ_MAX],
            touched: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            seen: alloc::vec![0; BUNDLES_PER_RFQ_MAX.div_ceil(64)],
            gains: Sums::new(),
            loads: Sums::new(),
            assignment: Assignment::new(),
        }
    }

    /// Returns whether the group has room for a bundle; if so, it is taken.
    fn take(&mut self, bundle: &PosedBundle, items: &[PosedItem]) -> bool {
        let (units, most) = units_of(bundle.rule, || load_of(items, &bundle.items));
        let used = &mut self.used[bundle.group as usize];
        let fits = used.checked_add(units).is_some_and(|used| used <= most);
        if fits {
            *used += units;
            self.touched.push(bundle.group);
        }
        fits
    }

    /// Forgets which groups were used.
    fn clear(&mut self) {
        for group in self.touched.drain(..) {
            self.used[group as usize] = 0;
        }
    }

    /// Returns whether no number stands in the list twice; all are below the largest there may be.
    fn are_distinct(&mut self, numbers: &[u32]) -> bool {
        let mut distinct = true;
        for number in numbers {
            let (word, bit) = (*number as usize / 64, 1 << (number % 64));
            distinct &= self.seen[word] & bit == 0;
            self.seen[word] |= bit;
        }
        for number in numbers {
            self.seen[*number as usize / 64] = 0;
        }
        distinct
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns what a set of items takes of a capacity.
pub fn load_of(items: &[PosedItem], set: &Items) -> u32 {
    set.iter().map(|item| items[usize::from(item)].load).sum()
}

/// Returns the reserves of a set of items together.
pub fn worth_of(items: &[PosedItem], set: &Items) -> Micros {
    let sum = set.iter().map(|item| items[usize::from(item)].reserve.raw()).sum();
    Micros::new(sum)
}

impl Problem<'_> {
    /// Returns what the buyer gains if these bundles win, or `None` if they may not.
    pub fn surplus(&self, winners: &[u32], scratch: &mut Scratch) -> Option<Micros> {
        // With more winners than items, one of them would bring nothing.
        let known = winners.iter().all(|winner| (*winner as usize) < self.bundles.len());
        if !known || winners.len() > self.items.len() || !scratch.are_distinct(winners) {
            return None;
        }
        let surplus = self.surplus_of_distinct(winners, scratch);
        scratch.clear();
        surplus
    }

    fn surplus_of_distinct(&self, winners: &[u32], scratch: &mut Scratch) -> Option<Micros> {
        let (mut covered, mut scores) = (Items::EMPTY, 0_i64);
        for winner in winners {
            let bundle = &self.bundles[*winner as usize];
            if !self.free_disposal && covered.meets(&bundle.items) {
                return None;
            }
            if !scratch.take(bundle, self.items) {
                return None;
            }
            covered = covered.or(&bundle.items);
            scores = scores.checked_add(bundle.score.raw())?;
        }
        if self.all_or_none && !winners.is_empty() && covered != self.all() {
            return None;
        }
        worth_of(self.items, &covered).minus(Micros::new(scores))
    }

    /// Returns the items that these bundles award.
    pub fn covered(&self, winners: &[u32]) -> Items {
        let bundles = winners.iter().map(|winner| &self.bundles[*winner as usize]);
        bundles.fold(Items::EMPTY, |covered, bundle| covered.or(&bundle.items))
    }

    /// Returns a surplus that no allocation exceeds, if the prices prove one (weak duality): whoever
    /// wins an item pays its price, and whoever uses a group's capacity the group's price for each
    /// unit of it. An allocation is then worth at most all prices paid by everyone and, for each bundle
    /// that is still worth something, that.
    pub fn bound(&self, prices: &DualPrices, scratch: &mut Scratch) -> Option<Micros> {
        let groups = self.bundles.iter().map(|bundle| bundle.group as usize + 1).max();
        if prices.items.len() != self.items.len() || prices.groups.len() != groups.unwrap_or(0) {
            return None;
        }
        let mut of_items = 0_i64;
        for (price, item) in prices.items.iter().zip(self.items) {
            // Below the reserve, awarding an item twice never pays.
            if *price < Micros::ZERO || (self.free_disposal && *price > item.reserve) {
                return None;
            }
            of_items = of_items.checked_add(price.raw())?;
        }
        if prices.groups.iter().any(|price| *price < Micros::ZERO) {
            return None;
        }
        // All prices together fit, and so do all reserves: any sum of their differences does.
        let gains = self.items.iter().zip(&prices.items);
        scratch.gains.begin(gains.map(|(item, price)| item.reserve.raw() - price.raw()));
        scratch.loads.begin(self.items.iter().map(|item| i64::from(item.load)));
        let mut bound = i128::from(of_items);
        for bundle in self.bundles {
            let group = bundle.group as usize;
            let of_group = i128::from(prices.groups[group].raw());
            let (units, most) = match bundle.rule {
                GroupRule::Xor => (1, 1),
                GroupRule::Or(capacity) => (scratch.loads.of(&bundle.items), capacity),
            };
            if core::mem::replace(&mut scratch.used[group], 1) == 0 {
                scratch.touched.push(bundle.group);
                bound += of_group * i128::from(most);
            }
            let gain = i128::from(scratch.gains.of(&bundle.items)) - i128::from(bundle.score.raw());
            bound += (gain - of_group * i128::from(units)).max(0);
        }
        scratch.clear();
        i64::try_from(bound).ok().map(Micros::new)
    }

    /// Returns what the buyer gains by a bundle alone.
    pub fn gain(&self, bundle: u32) -> Micros {
        let bundle = &self.bundles[bundle as usize];
        let worth = worth_of(self.items, &bundle.items);
        worth.minus(bundle.score).expect("invariant: scores and reserves are limited")
    }

    /// Constructs a first answer, puts its winners into `winners`, and returns its surplus: the better
    /// one of the best of single quotes, and of taking whatever fits in the order of the numbers.
    pub fn construct(&self, scratch: &mut Scratch, winners: &mut Vec<u32>) -> Micros {
        let mut answer = FirstAnswer::new();
        for (number, _) in (0..).zip(self.bundles) {
            answer.add(self, number, self.gain(number));
        }
        answer.finish(self, &mut scratch.assignment, winners)
    }

    fn all(&self) -> Items {
        Items::first(self.items.len())
    }
}
