//! What is to be solved: items, bids on sets of them, groups of bids; checked once, when it is built.
//!
//! Both kinds come down to one: choose bids so that the surplus is largest. Of a forward bid the
//! value is its score; of a procurement bid it is the reserves of its items less its score, so that
//! the surplus is what the buyer saves beside leaving every item at its reserve. Where the buyer
//! disposes freely of what is awarded twice, an item's reserve counts once: each further award of it
//! takes the reserve off again.

use thiserror::Error;

use crate::items::Items;
use crate::limits::{AMOUNT_SUM_MAX, BIDS_MAX, GROUPS_MAX, ITEMS_MAX, LOAD_MAX};

/// A bid's number: how many were built before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BidId(pub u32);

/// A group's number: how many were built before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(pub u32);

/// What the score of a solution is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The sum of the scores, as large as can be.
    Forward,
    /// The sum of the scores and of the reserves of the items left out, as small as can be.
    Procurement,
}

/// How often an item may be awarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cover {
    /// At most once.
    Exact,
    /// Any number of times: every bid that wins is paid in full.
    AtLeast,
}

/// An item. In a forward problem both are zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// What it takes of a group's capacity.
    pub load: u32,
    /// What it costs to leave it out.
    pub reserve: u64,
}

/// What binds the bids of a group together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// At most one of them wins.
    Xor,
    /// Any of them win whose loads, all items of all winners, are within the capacity.
    Or {
        /// The largest sum of loads.
        capacity: u32,
    },
}

/// A bid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bid {
    /// What it is on: at least one item.
    pub items: Items,
    /// What it counts for in the objective.
    pub score: u64,
    /// What is asked or offered.
    pub price: u64,
    /// The group it belongs to.
    pub group: Option<GroupId>,
    /// Who made it. Payments are reckoned per bidder.
    pub bidder: u32,
}

/// A problem that can be solved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: Kind,
    cover: Cover,
    items: Vec<Item>,
    groups: Vec<Group>,
    bids: Vec<Bid>,
    /// Items that are all awarded, or nothing is.
    required: Items,
    reserves: i64,
    amounts: u64,
}

/// Why something cannot be part of a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BuildError {
    /// No item, or too many.
    #[error("{0} items: expected 1 to {ITEMS_MAX}")]
    Items(usize),
    /// One bid too many.
    #[error("more than {BIDS_MAX} bids")]
    TooManyBids,
    /// One group too many.
    #[error("more than {GROUPS_MAX} groups")]
    TooManyGroups,
    /// A bid on nothing.
    #[error("a bid on no item")]
    EmptyBundle,
    /// An item beyond the last.
    #[error("item {item}: expected less than {items}")]
    ItemOutOfRange {
        /// The item.
        item: u8,
        /// How many there are.
        items: usize,
    },
    /// A group that is not there.
    #[error("group {group}: expected less than {groups}")]
    GroupOutOfRange {
        /// The group.
        group: u32,
        /// How many there are.
        groups: usize,
    },
    /// A group that nobody could win in, or too much for one.
    #[error("capacity {0}: expected 1 to {LOAD_MAX}")]
    Capacity(u32),
    /// A load beyond the largest.
    #[error("load {0}: expected at most {LOAD_MAX}")]
    Load(u32),
    /// All amounts together are too much.
    #[error("the scores, prices and reserves add up to more than {AMOUNT_SUM_MAX}")]
    AmountsTooLarge,
}

impl Problem {
    /// Returns a forward problem without bids.
    ///
    /// # Errors
    ///
    /// If there is no item, or are too many.
    pub fn forward(items: usize) -> Result<Self, BuildError> {
        Self::new(Kind::Forward, Cover::Exact, vec![Item::default(); items.min(ITEMS_MAX + 1)])
    }

    /// Returns a procurement problem without bids.
    ///
    /// # Errors
    ///
    /// If there is no item, are too many, or one is beyond the limits.
    pub fn procurement(cover: Cover, items: Vec<Item>) -> Result<Self, BuildError> {
        Self::new(Kind::Procurement, cover, items)
    }

    fn new(kind: Kind, cover: Cover, items: Vec<Item>) -> Result<Self, BuildError> {
        if items.is_empty() || items.len() > ITEMS_MAX {
            return Err(BuildError::Items(items.len()));
        }
        let (mut problem, given) = (
            Self {
                kind,
                cover,
                items: Vec::new(),
                groups: Vec::new(),
                bids: Vec::new(),
                required: Items::EMPTY,
                reserves: 0,
                amounts: 0,
            },
            items,
        );
        for item in &given {
            if item.load > LOAD_MAX {
                return Err(BuildError::Load(item.load));
            }
            // Every bid's value may count every reserve of its items once more.
            problem.count(item.reserve)?;
        }
        problem.reserves = i64::try_from(problem.amounts).expect("within AMOUNT_SUM_MAX");
        problem.items = given;
        Ok(problem)
    }

    /// Adds a group, and returns its number.
    ///
    /// # Errors
    ///
    /// If there are too many, or its capacity is zero or too large.
    pub fn add_group(&mut self, group: Group) -> Result<GroupId, BuildError> {
        if self.groups.len() == GROUPS_MAX {
            return Err(BuildError::TooManyGroups);
        }
        match group {
            Group::Or { capacity } if capacity == 0 || capacity > LOAD_MAX => {
                return Err(BuildError::Capacity(capacity));
            }
            Group::Or { .. } | Group::Xor => self.groups.push(group),
        }
        Ok(GroupId(number(self.groups.len() - 1)))
    }

    /// Adds a bid, and returns its number.
    ///
    /// # Errors
    ///
    /// If there are too many, or it is on nothing, on an item or in a group that is not there, or
    /// the amounts become too large.
    pub fn add_bid(&mut self, bid: Bid) -> Result<BidId, BuildError> {
        if self.bids.len() == BIDS_MAX {
            return Err(BuildError::TooManyBids);
        }
        let Some(last) = bid.items.iter().last() else { return Err(BuildError::EmptyBundle) };
        if usize::from(last) >= self.items.len() {
            return Err(BuildError::ItemOutOfRange { item: last, items: self.items.len() });
        }
        if let Some(GroupId(group)) = bid.group
            && group as usize >= self.groups.len()
        {
            return Err(BuildError::GroupOutOfRange { group, groups: self.groups.len() });
        }
        self.count(bid.score.max(bid.price))?;
        self.bids.push(bid);
        Ok(BidId(number(self.bids.len() - 1)))
    }

    /// Asks for all of these items, or for nothing. In a forward problem nobody asks for items.
    pub fn require(&mut self, items: Items) {
        let none = self.kind == Kind::Forward;
        let items = if none { Items::EMPTY } else { items };
        self.required = items;
    }

    /// Returns the items that are all awarded, or nothing is.
    pub const fn required(&self) -> &Items {
        &self.required
    }

    /// Returns the same problem with a premium on each item that is required, so high that no solution
    /// without one of them is worth as much as any with all of them that is worth anything; and the sum
    /// of these premiums. `None` if the amounts become too large.
    pub(crate) fn with_premiums(&self) -> Option<(Self, i64)> {
        let premium = u64::try_from(self.reserves).ok()?.checked_add(1)?;
        let required = |(number, item): (usize, &Item)| {
            let is_required = u8::try_from(number).is_ok_and(|item| self.required.contains(item));
            Item { reserve: item.reserve + if is_required { premium } else { 0 }, ..*item }
        };
        let items = self.items.iter().enumerate().map(required).collect();
        let mut problem = Self::new(self.kind, self.cover, items).ok()?;
        problem.groups.clone_from(&self.groups);
        for bid in &self.bids {
            problem.add_bid(*bid).ok()?;
        }
        let premiums = i64::try_from(premium).ok()?.checked_mul(i64::from(self.required.len()))?;
        Some((problem, premiums))
    }

    fn count(&mut self, amount: u64) -> Result<(), BuildError> {
        let sum = self.amounts.checked_add(amount).filter(|sum| *sum <= AMOUNT_SUM_MAX);
        self.amounts = sum.ok_or(BuildError::AmountsTooLarge)?;
        Ok(())
    }

    /// Returns what the score of a solution is.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Returns how often an item may be awarded.
    pub const fn cover(&self) -> Cover {
        self.cover
    }

    /// Returns the items.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Returns the groups.
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Returns the bids.
    pub fn bids(&self) -> &[Bid] {
        &self.bids
    }

    /// Returns what a bid adds to the surplus if no other wins.
    pub fn value(&self, bid: BidId) -> i64 {
        let bid = &self.bids[bid.0 as usize];
        match self.kind {
            Kind::Forward => amount(bid.score),
            Kind::Procurement => self.reserve_of(&bid.items) - amount(bid.score),
        }
    }

    /// Returns the sum of the loads of a set.
    pub fn load_of(&self, items: &Items) -> u32 {
        items.iter().map(|item| self.items[usize::from(item)].load).sum()
    }

    /// Returns the sum of the reserves of a set.
    pub fn reserve_of(&self, items: &Items) -> i64 {
        items.iter().map(|item| amount(self.items[usize::from(item)].reserve)).sum()
    }

    /// Returns the objective, as its kind counts it, that goes with a surplus.
    pub const fn objective(&self, surplus: i64) -> i64 {
        match self.kind {
            Kind::Forward => surplus,
            Kind::Procurement => self.reserves - surplus,
        }
    }

    /// Returns the surplus of a set of winners, or `None` if they may not all win.
    pub fn surplus(&self, winners: &[BidId]) -> Option<i64> {
        let mut covered = Items::EMPTY;
        let mut surplus = 0;
        let mut used = vec![0_u32; self.groups.len()];
        let mut seen = vec![false; self.bids.len()];
        for id in winners {
            let bid = self.bids.get(id.0 as usize)?;
            if std::mem::replace(&mut seen[id.0 as usize], true) {
                return None;
            }
            let twice = covered.and(&bid.items);
            if self.cover == Cover::Exact && !twice.is_empty() {
                return None;
            }
            covered = covered.or(&bid.items);
            surplus += self.value(*id) - self.reserve_of(&twice);
            if let Some(GroupId(group)) = bid.group {
                let (take, most) = match self.groups[group as usize] {
                    Group::Xor => (1, 1),
                    Group::Or { capacity } => (self.load_of(&bid.items), capacity),
                };
                let used = &mut used[group as usize];
                *used = used.checked_add(take).filter(|used| *used <= most)?;
            }
        }
        let is_whole = self.required.is_within(&covered);
        (is_whole || winners.is_empty()).then_some(surplus)
    }
}

fn number(index: usize) -> u32 {
    u32::try_from(index).expect("the limits are far below")
}

fn amount(amount: u64) -> i64 {
    i64::try_from(amount).expect("every amount is within AMOUNT_SUM_MAX")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bid(items: &[u8], score: u64) -> Bid {
        let items = items.iter().copied().collect();
        Bid { items, score, price: score, group: None, bidder: 0 }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        assert_eq!(Problem::forward(0), Err(BuildError::Items(0)));
        assert_eq!(Problem::forward(257), Err(BuildError::Items(257)));
        let mut problem = Problem::forward(3).unwrap();
        assert_eq!(problem.add_bid(bid(&[], 1)), Err(BuildError::EmptyBundle));
        let beyond = BuildError::ItemOutOfRange { item: 3, items: 3 };
        assert_eq!(problem.add_bid(bid(&[0, 3], 1)), Err(beyond));
        assert_eq!(problem.add_bid(bid(&[0], u64::MAX)), Err(BuildError::AmountsTooLarge));
        let stranger = Bid { group: Some(GroupId(0)), ..bid(&[0], 1) };
        let out = BuildError::GroupOutOfRange { group: 0, groups: 0 };
        assert_eq!(problem.add_bid(stranger), Err(out));
        let none = problem.add_group(Group::Or { capacity: 0 });
        assert_eq!(none, Err(BuildError::Capacity(0)));
        for _ in 0..BIDS_MAX {
            problem.add_bid(bid(&[0], 1)).unwrap();
        }
        assert_eq!(problem.add_bid(bid(&[0], 1)), Err(BuildError::TooManyBids));
    }

    #[test]
    fn an_item_awarded_twice_counts_its_reserve_once() {
        let items = vec![Item { load: 1, reserve: 10 }; 2];
        let mut problem = Problem::procurement(Cover::AtLeast, items).unwrap();
        let both = problem.add_bid(bid(&[0, 1], 12)).unwrap();
        let one = problem.add_bid(bid(&[1], 3)).unwrap();
        assert_eq!(problem.surplus(&[both]), Some(8));
        assert_eq!(problem.surplus(&[both, one]), Some(8 + 7 - 10));
        assert_eq!(problem.objective(8), 12);
        assert_eq!(problem.surplus(&[one, one]), None);
    }
}
