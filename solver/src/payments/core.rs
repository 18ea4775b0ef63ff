//! Profits that no coalition can object to, as near to VCG as they can be.
//!
//! Day and Cramton, "Quadratic core-selecting payment rules for combinatorial auctions" (2012),
//! with Day and Raghavan's (2007) generation of constraints. Profits `d` are in the core if for
//! every coalition `C` the winners outside it have, together, at most `S - w(C)`. Which coalition
//! objects most is a problem like the first one, in which a winner takes part at the price of its
//! profit: its bids are worth so much less, or, if it may win several at once, a bid of its own on
//! staying out is worth the profit and excludes all its others.
//!
//! Profits are rounded down to integers and then raised by one, in the order of bidders, wherever
//! every constraint still holds. Rounded down they stay in the core and are not below zero, and it
//! is the rounded profits that are checked against all coalitions in the end.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a quadratic program is solved in floating point, and rounded and checked after"
)]

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettingsBuilder, DefaultSolver, IPSolver as _, NonnegativeConeT, SolverStatus,
    SupportedConeT, ZeroConeT,
};

use super::Winner;
use crate::answer::{Config, Solution, Status};
use crate::clock::Budget;
use crate::items::Items;
use crate::limits::{CORE_CONSTRAINTS_MAX, ITEMS_MAX};
use crate::problem::{Bid, BidId, Group, Item, Kind, Problem};
use crate::solver::Solver;

/// The winners outside a coalition may have so much together.
#[derive(Clone, Debug)]
struct Objection {
    outside: Vec<usize>,
    most: i64,
}

/// Lowers the winners' profits from VCG's until no coalition objects.
pub(super) fn nearest(
    solver: &mut Solver,
    problem: &Problem,
    solution: &Solution,
    budget: Budget,
    winners: &mut [Winner],
) {
    let vcg: Vec<_> = winners.iter().map(|winner| winner.most).collect();
    let sure = winners.iter().all(|winner| winner.least == winner.most);
    let mut objections: Vec<Objection> = Vec::new();
    let mut profits = vcg.clone();
    let proven = sure
        && loop {
            match most_objecting(solver, problem, solution, budget, winners, &profits) {
                Answer::Nobody => break true,
                Answer::Unproven => break false,
                Answer::Objection(objection) if objections.len() < CORE_CONSTRAINTS_MAX => {
                    objections.push(objection);
                }
                Answer::Objection(_) => break false,
            }
            let Some(exact) = program(&vcg, &objections) else { break false };
            profits = rounded(&exact, &vcg, &objections);
        };
    for (winner, profit) in winners.iter_mut().zip(&profits) {
        // What is known so far bounds the profit from above; the own price always stands.
        winner.least = if proven { *profit } else { 0 };
        winner.most = *profit;
    }
}

enum Answer {
    Nobody,
    Objection(Objection),
    Unproven,
}

fn most_objecting(
    solver: &mut Solver,
    problem: &Problem,
    solution: &Solution,
    budget: Budget,
    winners: &[Winner],
    profits: &[i64],
) -> Answer {
    // The buyer need not award anything: all profits together are no more than the surplus.
    if profits.iter().sum::<i64>() > solution.surplus {
        let outside = (0..winners.len()).collect();
        return Answer::Objection(Objection { outside, most: solution.surplus });
    }
    let Some((charged, origin)) = charged(problem, winners, profits) else {
        return Answer::Unproven;
    };
    let config = Config { budget, ..Config::default() };
    let found = solver.solve(&charged, &config, &mut |_| {});
    let bids: Vec<_> = found.winners.iter().filter_map(|bid| origin[bid.0 as usize]).collect();
    let reached = problem.surplus(&bids).unwrap_or(0);
    let takes_part =
        |bidder: u32| bids.iter().any(|bid| problem.bids()[bid.0 as usize].bidder == bidder);
    let outside: Vec<_> =
        (0..winners.len()).filter(|winner| !takes_part(winners[*winner].bidder)).collect();
    let most = solution.surplus - reached;
    if outside.iter().map(|winner| profits[*winner]).sum::<i64>() > most {
        return Answer::Objection(Objection { outside, most });
    }
    if found.status == Status::Optimal { Answer::Nobody } else { Answer::Unproven }
}

/// Returns the problem in which winners take part at the price of their profits, and which bid each
/// of its bids stands for; or `None` if it is too large.
fn charged(
    problem: &Problem,
    winners: &[Winner],
    profits: &[i64],
) -> Option<(Problem, Vec<Option<BidId>>)> {
    let mut items = problem.items().to_vec();
    let single: Vec<_> = winners.iter().map(|winner| wins_once(problem, winner.bidder)).collect();
    let mut own: Vec<Vec<u8>> = vec![Vec::new(); winners.len()];
    let mut bids = Vec::new();
    for (bid, number) in problem.bids().iter().zip(0..) {
        let mut bid = *bid;
        if let Some(winner) = winners.iter().position(|winner| winner.bidder == bid.bidder) {
            let profit = u64::try_from(profits[winner]).ok()?;
            let charge = match problem.kind() {
                Kind::Forward if single[winner] => bid.score.checked_sub(profit),
                Kind::Forward => Some(bid.score),
                Kind::Procurement => Some(bid.score + profit),
            };
            // Who would have to give more than its bid is worth does not take part.
            let Some(charge) = charge else { continue };
            bid.score = charge;
            if !single[winner] {
                let item = u8::try_from(items.len()).ok()?;
                items.push(Item { load: 0, reserve: profit });
                own[winner].push(item);
                bid.items.insert(item);
            }
        }
        bid.price = 0;
        bids.push((bid, Some(BidId(number))));
    }
    for (winner, own) in own.iter().enumerate().filter(|(_, own)| !own.is_empty()) {
        let profit = u64::try_from(profits[winner]).ok()?;
        let score = match problem.kind() {
            Kind::Forward => profit,
            Kind::Procurement => profit * (own.len() as u64 - 1),
        };
        let items: Items = own.iter().copied().collect();
        bids.push((Bid { items, score, price: 0, group: None, bidder: u32::MAX }, None));
    }
    assemble(problem, items, bids)
}

fn assemble(
    problem: &Problem,
    items: Vec<Item>,
    bids: Vec<(Bid, Option<BidId>)>,
) -> Option<(Problem, Vec<Option<BidId>>)> {
    if items.len() > ITEMS_MAX {
        return None;
    }
    let mut charged = match problem.kind() {
        Kind::Forward => Problem::forward(items.len()).ok()?,
        Kind::Procurement => Problem::procurement(problem.cover(), items).ok()?,
    };
    for group in problem.groups() {
        charged.add_group(*group).ok()?;
    }
    let mut origin = Vec::with_capacity(bids.len());
    for (bid, number) in bids {
        charged.add_bid(bid).ok()?;
        origin.push(number);
    }
    charged.require(*problem.required());
    Some((charged, origin))
}

/// Returns whether at most one bid of a bidder can win.
fn wins_once(problem: &Problem, bidder: u32) -> bool {
    let mut bids = problem.bids().iter().filter(|bid| bid.bidder == bidder);
    let Some(first) = bids.next() else { return true };
    let rest_is_in = |group| problem.groups()[group as usize] == Group::Xor;
    match first.group {
        None => bids.next().is_none(),
        Some(group) => {
            let mut alone = true;
            for bid in bids {
                alone &= bid.group == Some(group) && rest_is_in(group.0);
            }
            alone
        }
    }
}

/// Returns the profits nearest to VCG's among those whose sum is largest.
fn program(vcg: &[i64], objections: &[Objection]) -> Option<Vec<f64>> {
    let scale = vcg.iter().copied().max().unwrap_or(0).max(1) as f64;
    let linear = vec![-1.0; vcg.len()];
    let no_square = CscMatrix::zeros((vcg.len(), vcg.len()));
    let largest = run(&no_square, &linear, vcg, objections, scale, None)?;
    let sum = largest.iter().sum::<f64>();
    let square = CscMatrix::identity(vcg.len());
    let linear: Vec<_> = vcg.iter().map(|profit| -(*profit as f64) / scale).collect();
    let nearest = run(&square, &linear, vcg, objections, scale, Some(sum))?;
    Some(nearest.iter().map(|profit| profit * scale).collect())
}

/// Solves a program over profits within VCG's and all objections; with their sum given or not.
fn run(
    square: &CscMatrix<f64>,
    linear: &[f64],
    vcg: &[i64],
    objections: &[Objection],
    scale: f64,
    sum: Option<f64>,
) -> Option<Vec<f64>> {
    let count = vcg.len();
    let mut rows = Vec::new();
    let mut columns = Vec::new();
    let mut values = Vec::new();
    let mut right = Vec::new();
    let mut cones: Vec<SupportedConeT<f64>> = Vec::new();
    let mut entry = |row: usize, column: usize, value: f64| {
        rows.push(row);
        columns.push(column);
        values.push(value);
    };
    if let Some(sum) = sum {
        (0..count).for_each(|column| entry(0, column, 1.0));
        right.push(sum);
        cones.push(ZeroConeT(1));
    }
    let equalities = right.len();
    for (column, profit) in vcg.iter().enumerate() {
        entry(right.len(), column, 1.0);
        right.push(*profit as f64 / scale);
        entry(right.len(), column, -1.0);
        right.push(0.0);
    }
    for objection in objections {
        for column in &objection.outside {
            entry(right.len(), *column, 1.0);
        }
        right.push(objection.most as f64 / scale);
    }
    cones.push(NonnegativeConeT(right.len() - equalities));
    let matrix = CscMatrix::new_from_triplets(right.len(), count, rows, columns, values);
    let settings = DefaultSettingsBuilder::default().verbose(false).build().ok()?;
    let mut solver = DefaultSolver::new(square, linear, &matrix, &right, &cones, settings).ok()?;
    solver.solve();
    let solved =
        matches!(solver.solution.status, SolverStatus::Solved | SolverStatus::AlmostSolved);
    solved.then(|| solver.solution.x.clone())
}

fn rounded(exact: &[f64], vcg: &[i64], objections: &[Objection]) -> Vec<i64> {
    let within = |profit: &f64, vcg: &i64| ((profit + 1e-6).floor() as i64).clamp(0, *vcg);
    let mut profits: Vec<_> = exact.iter().zip(vcg).map(|(p, vcg)| within(p, vcg)).collect();
    let excess = |profits: &[i64], objection: &Objection| {
        objection.outside.iter().map(|winner| profits[*winner]).sum::<i64>() - objection.most
    };
    // What floating point left too high is taken from the last bidder that has it.
    for objection in objections {
        for winner in objection.outside.iter().rev() {
            let over = excess(&profits, objection).max(0);
            profits[*winner] -= over.min(profits[*winner]);
        }
    }
    for winner in 0..profits.len() {
        profits[winner] += 1;
        let holds = objections.iter().all(|objection| excess(&profits, objection) <= 0);
        if !holds || profits[winner] > vcg[winner] {
            profits[winner] -= 1;
        }
    }
    profits
}
