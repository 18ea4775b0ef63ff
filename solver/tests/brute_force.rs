//! Whatever is solved is feasible, bounded and, once proven, the best: beside all subsets of bids.

#![expect(clippy::unwrap_used, reason = "tests")]

use gavel_solver::{
    Bid, BidId, Budget, Config, Cover, Group, GroupId, Item, Items, Problem, Status, solve, verify,
};
use proptest::prelude::*;

const BIDS_MAX: usize = 12;

#[derive(Clone, Debug)]
struct Drawn {
    forward: bool,
    at_least: bool,
    whole: bool,
    items: Vec<(u32, u64)>,
    /// Zero is an XOR group, anything else a capacity.
    groups: Vec<u32>,
    bids: Vec<(u8, u64, u8)>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    (1_usize..=6, 0_usize..=4).prop_flat_map(|(items, groups)| {
        let item = (1_u32..=3, 0_u64..=60);
        let bid = (1_u8..1 << items, 0_u64..=150, 0_u8..=5);
        (
            any::<bool>(),
            any::<bool>(),
            any::<bool>(),
            prop::collection::vec(item, items),
            prop::collection::vec(0_u32..=8, groups),
            prop::collection::vec(bid, 0..=BIDS_MAX),
        )
            .prop_map(|(forward, at_least, whole, items, groups, bids)| Drawn {
                forward,
                at_least,
                whole,
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
    if drawn.whole {
        problem.require(Items::first(drawn.items.len()));
    }
    for (mask, score, group) in &drawn.bids {
        let items = Items::from_words([u64::from(*mask), 0, 0, 0]);
        let group = Some(u32::from(*group)).filter(|group| (*group as usize) < drawn.groups.len());
        let group = group.map(GroupId);
        problem.add_bid(Bid { items, score: *score, price: *score, group, bidder: 0 }).unwrap();
    }
    problem
}

fn best(problem: &Problem) -> i64 {
    let count = u32::try_from(problem.bids().len()).unwrap();
    (0_u32..1 << count)
        .filter_map(|subset| {
            let winners: Vec<_> =
                (0..count).filter(|bid| subset >> bid & 1 == 1).map(BidId).collect();
            problem.surplus(&winners)
        })
        .max()
        .unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn the_best_of_all_subsets_is_found_and_proven(drawn in drawn()) {
        let problem = problem(&drawn);
        let best = best(&problem);
        let solution = solve(&problem, &Config::default());
        prop_assert_eq!(solution.status, Status::Optimal);
        prop_assert_eq!(solution.surplus, best);
        prop_assert_eq!(solution.bound, best);
        prop_assert_eq!(problem.surplus(&solution.winners), Some(best));
        let proven = verify(&problem, &solution.certificate(&problem)).unwrap();
        prop_assert!(proven >= best);
    }

    #[test]
    fn whatever_the_budget_the_bound_holds_and_a_run_repeats(
        drawn in drawn(),
        work in 0_u64..20_000,
        seed in any::<u64>(),
    ) {
        let problem = problem(&drawn);
        let best = best(&problem);
        let config = Config { budget: Budget::Work(work), seed, ..Config::default() };
        let solution = solve(&problem, &config);
        prop_assert_eq!(problem.surplus(&solution.winners), Some(solution.surplus));
        prop_assert!(solution.surplus <= best && solution.bound >= best);
        prop_assert_eq!(solve(&problem, &config), solution);
    }
}
