//! Prices that prove a bound to whoever does not trust the solver that found them.
//!
//! Weak duality, in integers: let whoever wins an item pay its price, and whoever uses a group's
//! capacity the group's price for each unit of it. A choice is then worth at most all prices paid
//! by everyone, and, for each bid that is still worth something, that. With free disposal an item's
//! price must not be above its reserve, or awarding it twice would pay.

use crate::problem::{Bid, Cover, Group, GroupId, Problem};

/// Prices of items and groups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// Per item, what its winner pays.
    pub items: Vec<u64>,
    /// Per group, what a winner pays for each unit of capacity: for a bid of an XOR group one unit,
    /// for one of an OR group its load.
    pub groups: Vec<u64>,
}

/// Returns a surplus that no solution exceeds, or `None` if the prices prove nothing: too many, too
/// few or too large.
pub fn verify(problem: &Problem, certificate: &Certificate) -> Option<i64> {
    if certificate.items.len() != problem.items().len()
        || certificate.groups.len() != problem.groups().len()
    {
        return None;
    }
    let free_disposal = problem.cover() == Cover::AtLeast;
    let mut bound: i128 = 0;
    for (price, item) in certificate.items.iter().zip(problem.items()) {
        if free_disposal && *price > item.reserve {
            return None;
        }
        bound += i128::from(*price);
    }
    for (price, group) in certificate.groups.iter().zip(problem.groups()) {
        let capacity = match group {
            Group::Xor => 1,
            Group::Or { capacity } => i128::from(*capacity),
        };
        bound += i128::from(*price) * capacity;
    }
    for (number, bid) in (0..).zip(problem.bids()) {
        let prices = bid.items.iter().map(|item| certificate.items[usize::from(item)]);
        let paid: i128 = prices.map(i128::from).sum();
        let value = i128::from(problem.value(crate::BidId(number)));
        let paid = paid + group_paid(problem, certificate, bid);
        // A bid that takes more than its group's whole capacity never wins.
        bound += (value - paid).max(0);
    }
    i64::try_from(bound).ok()
}

fn group_paid(problem: &Problem, certificate: &Certificate, bid: &Bid) -> i128 {
    let Some(GroupId(group)) = bid.group else { return 0 };
    let units = match problem.groups()[group as usize] {
        Group::Xor => 1,
        Group::Or { .. } => i128::from(problem.load_of(&bid.items)),
    };
    units * i128::from(certificate.groups[group as usize])
}

/// Returns the group prices that go best with the given item prices.
pub(crate) fn complete(problem: &Problem, items: Vec<u64>) -> Certificate {
    let mut by_group: Vec<Vec<(i128, i128)>> = vec![Vec::new(); problem.groups().len()];
    for (number, bid) in (0..).zip(problem.bids()) {
        let Some(GroupId(group)) = bid.group else { continue };
        let prices = bid.items.iter().map(|item| items[usize::from(item)]);
        let paid: i128 = prices.map(i128::from).sum();
        let left = i128::from(problem.value(crate::BidId(number))) - paid;
        if left > 0 {
            let units = match problem.groups()[group as usize] {
                Group::Xor => 1,
                Group::Or { .. } => i128::from(problem.load_of(&bid.items)),
            };
            by_group[group as usize].push((left, units));
        }
    }
    let price = |group: usize, bids: &Vec<(i128, i128)>| {
        let capacity = match problem.groups()[group] {
            Group::Xor => 1,
            Group::Or { capacity } => i128::from(capacity),
        };
        let worth = |price: i128| -> i128 {
            let rest = bids.iter().map(|(left, units)| (left - units * price).max(0));
            price * capacity + rest.sum::<i128>()
        };
        // The bound is convex in the price and bends where a bid's worth ends.
        let bends = bids.iter().filter(|(_, units)| *units > 0);
        let bends = bends.flat_map(|(left, units)| [left / units, left / units + 1]);
        let best = bends.chain([0]).min_by_key(|price| (worth(*price), *price));
        best.and_then(|price| u64::try_from(price).ok()).unwrap_or(0)
    };
    let groups = by_group.iter().enumerate().map(|(group, bids)| price(group, bids)).collect();
    Certificate { items, groups }
}
