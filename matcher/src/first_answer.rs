//! A first answer to a problem, for want of a better one: the better one of taking whatever fits, bundle
//! by bundle as they are posed, and of the best of single quotes.

use alloc::vec::Vec;

use gavel_protocol::limits::{BUNDLES_PER_RFQ_MAX, ITEMS_MAX};
use gavel_protocol::{GroupRule, Items, Micros, PosedBundle};
use rkyv::{Archive, Deserialize, Serialize};

use crate::allocation::{Problem, load_of, worth_of};
use crate::singles::{Assignment, Single};

/// An answer under construction.
#[derive(Clone, Debug, PartialEq, Eq, Archive, Serialize, Deserialize)]
pub struct FirstAnswer {
    covered: Items,
    winners: Vec<u32>,
    surplus: Micros,
    /// Per group of the problem: what its winners take.
    used: Vec<u32>,
    singles: Vec<Single>,
}

impl FirstAnswer {
    /// Makes room for the largest problem.
    pub(crate) fn new() -> Self {
        Self {
            covered: Items::EMPTY,
            winners: Vec::with_capacity(ITEMS_MAX),
            surplus: Micros::ZERO,
            used: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
            singles: Vec::with_capacity(BUNDLES_PER_RFQ_MAX),
        }
    }

    pub(crate) fn clear(&mut self) {
        (self.covered, self.surplus) = (Items::EMPTY, Micros::ZERO);
        self.winners.clear();
        self.used.clear();
        self.singles.clear();
    }

    /// Adds the next bundle of the problem, which gains `gain` by itself.
    pub(crate) fn add(&mut self, problem: &Problem<'_>, number: u32, gain: Micros) {
        let bundle = &problem.bundles[number as usize];
        let group = bundle.group as usize;
        if group >= self.used.len() {
            self.used.resize(group + 1, 0);
        }
        if let Some(single) = Single::of(problem, number, gain) {
            self.singles.push(single);
        }
        if self.covered.meets(&bundle.items) {
            if !problem.free_disposal {
                return;
            }
            self.take_overlapping(problem, bundle, number);
        } else if gain >= Micros::ZERO {
            self.take(problem, bundle, (number, gain));
        }
    }

    /// Takes a bundle of which some items are awarded already, if the others are worth it.
    fn take_overlapping(&mut self, problem: &Problem<'_>, bundle: &PosedBundle, number: u32) {
        let new = bundle.items.without(&self.covered);
        let gain = worth_of(problem.items, &new).minus(bundle.score);
        let gain = gain.expect("invariant: scores and reserves are limited");
        if !new.is_empty() && gain >= Micros::ZERO {
            self.take(problem, bundle, (number, gain));
        }
    }

    fn take(&mut self, problem: &Problem<'_>, bundle: &PosedBundle, (number, gain): (u32, Micros)) {
        let (units, most) = units_of(bundle.rule, || load_of(problem.items, &bundle.items));
        let used = &mut self.used[bundle.group as usize];
        let Some(together) = used.checked_add(units).filter(|together| *together <= most) else {
            return;
        };
        *used = together;
        self.covered = self.covered.or(&bundle.items);
        self.surplus = self.surplus.plus(gain).expect("invariant: reserves that fit were checked");
        self.winners.push(number);
    }

    /// Puts the winners into `winners`, and returns their surplus.
    pub(crate) fn finish(
        &mut self,
        problem: &Problem<'_>,
        assignment: &mut Assignment,
        winners: &mut Vec<u32>,
    ) -> Micros {
        if problem.all_or_none && self.covered != Items::first(problem.items.len()) {
            self.surplus = Micros::ZERO;
            self.winners.clear();
        }
        let of_singles = assignment.solve(problem, &self.singles, winners);
        if of_singles <= self.surplus {
            winners.clear();
            winners.extend_from_slice(&self.winners);
        }
        let surplus = of_singles.max(self.surplus);
        self.clear();
        surplus
    }
}

/// Returns what a bundle takes of its group, and what there is: of an XOR group its one award, of an OR
/// group its load.
pub fn units_of(rule: GroupRule, load: impl FnOnce() -> u32) -> (u32, u32) {
    match rule {
        GroupRule::Xor => (1, 1),
        GroupRule::Or(capacity) => (load(), capacity),
    }
}
