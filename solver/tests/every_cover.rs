//! Problems too large for all subsets of bids: beside a dynamic program over all sets of items.

#![expect(clippy::unwrap_used, reason = "tests")]

use gavel_solver::{
    Bid, Budget, Config, Cover, Group, GroupId, Item, Items, Problem, Status, solve,
};
use proptest::prelude::*;

/// A group is an XOR group if its capacity is zero.
#[derive(Clone, Debug)]
struct Drawn {
    forward: bool,
    at_least: bool,
    items: Vec<(u32, u64)>,
    groups: Vec<u32>,
    /// Three masks of which a bid takes what all have, what it asks in percent, and its group.
    bids: Vec<(u16, u16, u64, u8)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (10_usize..=12, 0_usize..=12).prop_flat_map(|(items, groups)| {
        let item = (1_u32..=3, 50_u64..=60);
        let bid = (1_u16..1 << items, 1_u16..1 << items, 40_u64..=80, 0_u8..=15);
        (
            any::<bool>(),
            any::<bool>(),
            prop::collection::vec(item, items),
            prop::collection::vec(prop_oneof![Just(0_u32), 3_u32..=9], groups),
            prop::collection::vec(bid, 20..=70),
        )
            .prop_map(|(forward, at_least, items, groups, bids)| Drawn {
                forward,
                at_least,
                items,
                groups,
                bids,
            })
    })
}

fn problem(drawn: &Drawn) -> Problem {
    let mut problem = match drawn.forward {
        true => Problem::forward(drawn.items.len()).unwrap(),
        false => {
            let items =
                drawn.items.iter().map(|(load, reserve)| Item { load: *load, reserve: *reserve });
            let cover = if drawn.at_least { Cover::AtLeast } else { Cover::Exact };
            Problem::procurement(cover, items.collect()).unwrap()
        }
    };
    for capacity in &drawn.groups {
        let group = match (drawn.forward, capacity) {
            (true, _) | (false, 0) => Group::Xor,
            (false, capacity) => Group::Or { capacity: *capacity },
        };
        problem.add_group(group).unwrap();
    }
    for (one, other, percent, group) in &drawn.bids {
        let mask = if one & other == 0 { *one } else { one & other };
        let items = Items::from_words([u64::from(mask), 0, 0, 0]);
        let worth: u64 = items.iter().map(|item| drawn.items[usize::from(item)].1).sum();
        let score = worth * percent / 100;
        let group = Some(u32::from(*group)).filter(|group| (*group as usize) < drawn.groups.len());
        let group = group.map(GroupId);
        problem.add_bid(Bid { items, score, price: score, group, bidder: 0 }).unwrap();
    }
    problem
}

/// Returns the largest surplus: per set of items that are covered, bid after bid.
fn best(problem: &Problem) -> i64 {
    let sets = 1_usize << problem.items().len();
    let mut best = vec![i64::MIN; sets];
    best[0] = 0;
    let groups = (0..problem.groups().len()).map(Some).chain([None]);
    for group in groups {
        let of_group: Vec<_> = (0..)
            .zip(problem.bids())
            .filter(|(_, bid)| bid.group.map(|group| group.0 as usize) == group)
            .collect();
        let (each, capacity) = match group.map(|group| problem.groups()[group]) {
            None => (0, 0),
            Some(Group::Xor) => (1, 1),
            Some(Group::Or { capacity }) => (0, capacity as usize),
        };
        // Per capacity used.
        let mut by_use = vec![best.clone()];
        by_use.resize(capacity + 1, vec![i64::MIN; sets]);
        for (number, bid) in of_group {
            let takes = match group {
                None => 0,
                Some(_) if each == 1 => 1,
                Some(_) => problem.load_of(&bid.items) as usize,
            };
            let mask = usize::try_from(bid.items.words()[0]).unwrap();
            let value = problem.value(gavel_solver::BidId(number));
            for used in (0..=capacity.saturating_sub(takes)).rev() {
                if used + takes > capacity {
                    continue;
                }
                for set in (0..sets).rev() {
                    let before = by_use[used][set];
                    let twice = Items::from_words([(set & mask) as u64, 0, 0, 0]);
                    let clash = !twice.is_empty() && problem.cover() == Cover::Exact;
                    if before == i64::MIN || clash || (takes == 0 && set & mask == mask) {
                        continue;
                    }
                    let after = before + value - problem.reserve_of(&twice);
                    let to = &mut by_use[used + takes][set | mask];
                    *to = (*to).max(after);
                }
            }
        }
        for used in by_use {
            for (best, used) in best.iter_mut().zip(used) {
                *best = (*best).max(used);
            }
        }
    }
    best.into_iter().max().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_best_of_all_covers_is_found_and_proven(drawn in drawn(), seed in any::<u64>()) {
        let problem = problem(&drawn);
        let best = best(&problem);
        let solution = solve(&problem, &Config::default());
        prop_assert_eq!(solution.status, Status::Optimal);
        prop_assert_eq!(solution.surplus, best);
        prop_assert_eq!(problem.surplus(&solution.winners), Some(best));
        for work in [5_000, 50_000, 200_000] {
            let config = Config { budget: Budget::Work(work), seed, ..Config::default() };
            let solution = solve(&problem, &config);
            prop_assert_eq!(problem.surplus(&solution.winners), Some(solution.surplus));
            prop_assert!(solution.surplus <= best && solution.bound >= best);
            prop_assert_eq!(solve(&problem, &config), solution);
        }
    }
}
