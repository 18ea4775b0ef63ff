//! Instances of known families, so that anybody can repeat what is said about the solver.
//!
//! The families are written from their descriptions: the legacy distributions and the five
//! realistic ones of the Combinatorial Auction Test Suite (Leyton-Brown, Pearson and Shoham 2000),
//! in outline rather than in every detail, and a procurement family of our own. The same seed gives
//! the same instances wherever logarithms and powers come out the same.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is drawn in floating point becomes amounts far within their limits"
)]

mod draw;
mod legacy;
mod procurement;
mod realistic;

use crate::file::Instance;
use crate::items::Items;
use crate::problem::{Bid, Cover, Group, GroupId, Problem};
use draw::Draw;

/// Amounts are in thousandths of what the literature counts in.
const UNIT: f64 = 1_000.0;

/// A size of forward instances.
#[derive(Clone, Copy, Debug)]
struct Size {
    name: &'static str,
    items: usize,
    bids: usize,
}

const SIZES: [Size; 4] = [
    Size { name: "s", items: 10, bids: 50 },
    Size { name: "m", items: 40, bids: 200 },
    Size { name: "l", items: 100, bids: 500 },
    Size { name: "x", items: 256, bids: 2_000 },
];

/// What a forward bid is before it is one: items, value, and whether another may be won beside it.
type Offer = (Items, f64, Option<u32>);
type Family = fn(&mut Draw, Size) -> Vec<Offer>;

const FAMILIES: [(&str, Family); 10] = [
    ("L2", legacy::weighted),
    ("L3", legacy::uniform),
    ("L4", legacy::decay),
    ("L6", legacy::exponential),
    ("L7", legacy::binomial),
    ("arbitrary", realistic::arbitrary),
    ("matching", realistic::matching),
    ("paths", realistic::paths),
    ("regions", realistic::regions),
    ("scheduling", realistic::scheduling),
];

/// Returns `count` instances of every family and size, one after the other.
pub fn all(seed: u64, count: u32) -> impl Iterator<Item = Instance> {
    let forward = FAMILIES.iter().flat_map(move |family| {
        SIZES
            .iter()
            .flat_map(move |size| (0..count).map(move |nn| forward(family, *size, seed, nn)))
    });
    let procurement = [8, 16, 32, 64].into_iter().flat_map(move |jobs| {
        [10, 50, 200].into_iter().flat_map(move |providers| {
            (0..count).map(move |nn| {
                let name = format!("proc-j{jobs}-p{providers}-{nn:02}");
                let mut draw = Draw::new(seed, &name);
                let cover = if nn % 2 == 0 { Cover::AtLeast } else { Cover::Exact };
                let problem = procurement::problem(&mut draw, jobs, providers, cover);
                Instance { name, problem }
            })
        })
    });
    forward.chain(procurement)
}

fn forward(family: &(&str, Family), size: Size, seed: u64, nn: u32) -> Instance {
    let name = format!("{}-{}-{nn:02}", family.0, size.name);
    let mut draw = Draw::new(seed, &name);
    let offers = family.1(&mut draw, size);
    let mut problem = Problem::forward(size.items).expect("the sizes are within the limits");
    let groups = offers.iter().filter_map(|offer| offer.2).max().map_or(0, |last| last + 1);
    for _ in 0..groups {
        problem.add_group(Group::Xor).expect("as many as bids at most");
    }
    for (number, (items, value, group)) in (0..).zip(offers) {
        let score = (value * UNIT).round().max(0.0) as u64;
        let bidder = group.unwrap_or(number);
        let bid = Bid { items, score, price: score, group: group.map(GroupId), bidder };
        problem.add_bid(bid).expect("families keep to the limits");
    }
    Instance { name, problem }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file;

    #[test]
    fn a_seed_gives_the_same_instances_and_files_give_them_back() {
        let twice = all(7, 1).zip(all(7, 1));
        let mut names = std::collections::BTreeSet::new();
        for (one, other) in twice {
            assert_eq!(one, other);
            let text = file::write(&one);
            let read = file::read(&text).unwrap();
            assert_eq!(file::write(&read), text, "{}", one.name);
            let bids = one.problem.bids().len();
            assert!(bids >= 20, "{} has {bids} bids", one.name);
            assert!(names.insert(one.name));
        }
        assert_eq!(names.len(), 40 + 12);
    }
}
