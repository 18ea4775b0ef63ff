//! Payments beside brute force: nobody loses by taking part, no coalition objects, and under VCG
//! nobody gains by another bid than the true one.

#![expect(clippy::unwrap_used, reason = "tests")]

use gavel_solver::{
    Amount, Bid, BidId, Budget, Config, Cover, Group, GroupId, Item, Items, Kind, Payments,
    Problem, Rule, Solver, pay,
};
use proptest::prelude::*;

const BIDDERS_MAX: usize = 8;

type Bidder = (Option<u32>, Vec<(u8, u64)>);

#[derive(Clone, Debug)]
struct Drawn {
    forward: bool,
    at_least: bool,
    reserves: Vec<u64>,
    /// Per bidder: its capacity, where it is not one bid at most, and its bids.
    bidders: Vec<Bidder>,
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let bids = prop::collection::vec((1_u8..16, 1_u64..=100), 1..=3);
    let bidder = (prop::option::of(1_u32..=4), bids);
    (
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(20_u64..=80, 4),
        prop::collection::vec(bidder, 1..=BIDDERS_MAX),
    )
        .prop_map(|(forward, at_least, reserves, bidders)| {
            // All subsets of bids are tried.
            let mut left = 12;
            let bidders = bidders.into_iter().map(|(capacity, mut bids)| {
                bids.truncate(left);
                left -= bids.len();
                (capacity, bids)
            });
            let bidders = bidders.filter(|(_, bids)| !bids.is_empty()).collect();
            Drawn { forward, at_least, reserves, bidders }
        })
}

fn problem(drawn: &Drawn) -> Problem {
    let items = drawn.reserves.iter().map(|reserve| Item { load: 1, reserve: *reserve });
    let cover = if drawn.at_least { Cover::AtLeast } else { Cover::Exact };
    let mut problem = match drawn.forward {
        true => Problem::forward(drawn.reserves.len()).unwrap(),
        false => Problem::procurement(cover, items.collect()).unwrap(),
    };
    for (bidder, (capacity, bids)) in (0..).zip(&drawn.bidders) {
        let group = match capacity {
            Some(capacity) if !drawn.forward => Group::Or { capacity: *capacity },
            Some(_) | None => Group::Xor,
        };
        let group: Option<GroupId> = Some(problem.add_group(group).unwrap());
        for (mask, score) in bids {
            let items = Items::from_words([u64::from(*mask), 0, 0, 0]);
            problem.add_bid(Bid { items, score: *score, price: *score, group, bidder }).unwrap();
        }
    }
    problem
}

/// Returns, for each set of bidders, the largest surplus that they reach.
fn reached(problem: &Problem, bidders: usize) -> Vec<i64> {
    let mut best = vec![0; 1 << bidders];
    for subset in 0_u32..1 << problem.bids().len() {
        let bids = (0..32).filter(|bid| subset >> bid & 1 == 1).map(BidId);
        let bids: Vec<_> = bids.collect();
        let Some(surplus) = problem.surplus(&bids) else { continue };
        let who =
            bids.iter().fold(0_usize, |who, bid| who | 1 << problem.bids()[bid.0 as usize].bidder);
        best[who] = best[who].max(surplus);
    }
    for bidder in 0..bidders {
        for who in 0..best.len() {
            if who >> bidder & 1 == 1 {
                best[who] = best[who].max(best[who & !(1 << bidder)]);
            }
        }
    }
    best
}

fn paid(problem: &Problem, rule: Rule) -> Payments {
    let mut solver = Solver::default();
    let solution = solver.solve(problem, &Config::default(), &mut |_| {});
    pay(&mut solver, problem, &solution, rule, Budget::Unlimited)
}

/// Returns each bidder's profit beside its own bids, and whether it wins.
fn profits(problem: &Problem, bidders: usize, rule: Rule) -> Vec<i64> {
    let mut solver = Solver::default();
    let solution = solver.solve(problem, &Config::default(), &mut |_| {});
    let paid = pay(&mut solver, problem, &solution, rule, Budget::Unlimited);
    let mut profits = vec![0; bidders];
    for bid in &solution.winners {
        let bid = &problem.bids()[bid.0 as usize];
        let price = i64::try_from(bid.price).unwrap();
        profits[bid.bidder as usize] +=
            if problem.kind() == Kind::Forward { price } else { -price };
    }
    for payment in &paid.payments {
        assert_eq!(payment.sure, Amount::Exact);
        let sign = if problem.kind() == Kind::Forward { -1 } else { 1 };
        profits[payment.bidder as usize] += sign * payment.amount;
    }
    profits
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn vcg_pays_what_others_lose(drawn in drawn()) {
        let problem = problem(&drawn);
        let count = drawn.bidders.len();
        let reached = reached(&problem, count);
        let all = reached.len() - 1;
        for (bidder, profit) in profits(&problem, count, Rule::Vcg).iter().enumerate() {
            prop_assert_eq!(*profit, reached[all] - reached[all & !(1 << bidder)]);
        }
    }

    #[test]
    fn no_coalition_objects_and_no_winner_loses(drawn in drawn()) {
        let problem = problem(&drawn);
        let count = drawn.bidders.len();
        let reached = reached(&problem, count);
        let all = reached.len() - 1;
        let vcg = profits(&problem, count, Rule::Vcg);
        let profits = profits(&problem, count, Rule::Core);
        for (profit, vcg) in profits.iter().zip(vcg) {
            prop_assert!(*profit >= 0 && *profit <= vcg);
        }
        for (who, reached_by) in reached.iter().enumerate() {
            let outside = (0..count).filter(|bidder| who >> bidder & 1 == 0);
            let outside: i64 = outside.map(|bidder| profits[bidder]).sum();
            prop_assert!(outside <= reached[all] - reached_by, "{profits:?} against {who:b}");
        }
    }

    #[test]
    fn each_payment_lies_between_the_ask_and_the_reserves(drawn in drawn()) {
        let drawn = Drawn { forward: false, ..drawn };
        let problem = problem(&drawn);
        let solution = gavel_solver::solve(&problem, &Config::default());
        for rule in [Rule::First, Rule::Vcg, Rule::Core] {
            for payment in paid(&problem, rule).payments {
                let own = solution.winners.iter().map(|bid| &problem.bids()[bid.0 as usize]);
                let own: Vec<_> = own.filter(|bid| bid.bidder == payment.bidder).collect();
                let ask: u64 = own.iter().map(|bid| bid.price).sum();
                let reserves: i64 = own.iter().map(|bid| problem.reserve_of(&bid.items)).sum();
                prop_assert!(payment.amount >= i64::try_from(ask).unwrap());
                prop_assert!(payment.amount <= reserves);
            }
        }
    }

    #[test]
    fn nobody_gains_by_another_bid_under_vcg(
        drawn in drawn(),
        who in any::<prop::sample::Index>(),
        other in 1_u64..=150,
    ) {
        let who = who.index(drawn.bidders.len());
        let honest = profits(&problem(&drawn), drawn.bidders.len(), Rule::Vcg)[who];
        let mut deviating = drawn.clone();
        for (_, score) in &mut deviating.bidders[who].1 {
            *score = other;
        }
        let deviated = problem(&deviating);
        let mut profit = profits(&deviated, drawn.bidders.len(), Rule::Vcg)[who];
        // What it is worth to the bidder is what the true bids say.
        let solution = gavel_solver::solve(&deviated, &Config::default());
        let truth = problem(&drawn);
        for bid in solution.winners.iter().map(|bid| bid.0 as usize) {
            if truth.bids()[bid].bidder as usize == who {
                let told = i64::try_from(deviated.bids()[bid].price).unwrap();
                let truly = i64::try_from(truth.bids()[bid].price).unwrap();
                profit += if drawn.forward { truly - told } else { told - truly };
            }
        }
        prop_assert!(profit <= honest, "{profit} by {other} instead of {honest}");
    }
}

#[test]
fn two_local_bids_share_what_a_global_one_would_pay() {
    let mut problem = Problem::forward(2).unwrap();
    for (bidder, (mask, score)) in (0..).zip([(1, 20), (2, 16), (3, 24)]) {
        let items = Items::from_words([mask, 0, 0, 0]);
        problem.add_bid(Bid { items, score, price: score, group: None, bidder }).unwrap();
    }
    let amounts = |rule| -> Vec<i64> {
        paid(&problem, rule).payments.iter().map(|payment| payment.amount).collect()
    };
    assert_eq!(amounts(Rule::First), [20, 16]);
    assert_eq!(amounts(Rule::Vcg), [8, 4]);
    assert_eq!(amounts(Rule::Core), [14, 10]);
}
