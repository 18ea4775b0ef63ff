//! What winners pay or are paid.
//!
//! Everything is reckoned in profits: what a bidder gains beside its own bid. With `S` the largest
//! surplus and `w(C)` the largest that the bidders in `C` reach, the profit of Vickrey, Clarke and
//! Groves is `S - w(all but the bidder)`. In a forward problem a profit is taken off the price, in
//! procurement it is added. Without proof of the allocation everyone is paid as bid. A profit that
//! rests on an unproven re-solve is an interval, of which the lower payment is due.

mod core;

use crate::answer::{Config, Solution, Status};
use crate::clock::Budget;
use crate::problem::{BidId, GroupId, Kind, Problem};
use crate::solver::Solver;

/// How payments are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Each winner's own price.
    First,
    /// Vickrey, Clarke and Groves.
    Vcg,
    /// The point of the core that is best for bidders and nearest to VCG (Day and Cramton 2012).
    Core,
}

/// How sure an amount is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// It is proven.
    Exact,
    /// It lies within, and the lower end is due.
    Within {
        /// The lower end.
        low: i64,
        /// The upper end.
        high: i64,
    },
}

/// What one winner pays or is paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payment {
    /// The bidder.
    pub bidder: u32,
    /// Its first winning bid.
    pub bid: BidId,
    /// The group of that bid.
    pub group: Option<GroupId>,
    /// What is due.
    pub amount: i64,
    /// How sure that is.
    pub sure: Amount,
}

/// The payments of all winners, by bidder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payments {
    /// The rule that was followed: [`Rule::First`] if the allocation is not proven.
    pub rule: Rule,
    /// One for each bidder that wins.
    pub payments: Vec<Payment>,
}

/// A winner, and what its profit can be.
#[derive(Clone, Copy, Debug)]
struct Winner {
    bidder: u32,
    bid: BidId,
    price: i64,
    least: i64,
    most: i64,
}

/// Finds what winners pay or are paid; each solution needed for that may cost the given budget.
pub fn pay(
    solver: &mut Solver,
    problem: &Problem,
    solution: &Solution,
    rule: Rule,
    budget: Budget,
) -> Payments {
    let mut winners = winners(problem, solution);
    let rule = if solution.status == Status::Optimal { rule } else { Rule::First };
    match rule {
        Rule::First => {}
        Rule::Vcg => vcg(solver, problem, solution, budget, &mut winners),
        Rule::Core => {
            vcg(solver, problem, solution, budget, &mut winners);
            core::nearest(solver, problem, solution, budget, &mut winners);
        }
    }
    let payments = winners.iter().map(|winner| payment(problem, winner)).collect();
    Payments { rule, payments }
}

fn winners(problem: &Problem, solution: &Solution) -> Vec<Winner> {
    let mut winners: Vec<Winner> = Vec::new();
    for id in &solution.winners {
        let bid = &problem.bids()[id.0 as usize];
        let price = i64::try_from(bid.price).expect("within AMOUNT_SUM_MAX");
        match winners.iter_mut().find(|winner| winner.bidder == bid.bidder) {
            Some(winner) => winner.price += price,
            None => {
                winners.push(Winner { bidder: bid.bidder, bid: *id, price, least: 0, most: 0 });
            }
        }
    }
    winners.sort_unstable_by_key(|winner| winner.bidder);
    winners
}

fn vcg(
    solver: &mut Solver,
    problem: &Problem,
    solution: &Solution,
    budget: Budget,
    winners: &mut [Winner],
) {
    for winner in winners {
        let others: Vec<_> = solution
            .winners
            .iter()
            .copied()
            .filter(|bid| problem.bids()[bid.0 as usize].bidder != winner.bidder)
            .collect();
        let config =
            Config { budget, start: &others, without: Some(winner.bidder), ..Config::default() };
        let without = solver.solve(problem, &config, &mut |_| {});
        winner.least = solution.surplus - without.bound.min(solution.surplus);
        winner.most = solution.surplus - without.surplus;
    }
}

fn payment(problem: &Problem, winner: &Winner) -> Payment {
    let (low, high) = match problem.kind() {
        // No bidder is ever paid for taking something.
        Kind::Forward => {
            ((winner.price - winner.most).max(0), (winner.price - winner.least).max(0))
        }
        Kind::Procurement => (winner.price + winner.least, winner.price + winner.most),
    };
    let sure = if low == high { Amount::Exact } else { Amount::Within { low, high } };
    let group = problem.bids()[winner.bid.0 as usize].group;
    Payment { bidder: winner.bidder, bid: winner.bid, group, amount: low, sure }
}
