//! A search that is told to end does, with what it has.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicBool, Ordering};

use gavel_solver::{Bid, Budget, Config, Items, Problem, Solver, Status};

fn problem() -> Problem {
    let mut problem = Problem::forward(60).unwrap();
    let mut state = 1_u64;
    for _ in 0..500 {
        let items = Items::from_iter([0; 3].map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from((state >> 33) % 60).unwrap()
        }));
        let score = 1_000 + (state >> 40) % 1_000;
        let bidder = u32::try_from(problem.bids().len()).unwrap();
        problem.add_bid(Bid { items, score, price: score, group: None, bidder }).unwrap();
    }
    problem
}

#[test]
fn what_is_aborted_answers_with_what_it_has() {
    let problem = problem();
    let abort = AtomicBool::new(false);
    let config = Config { budget: Budget::Unlimited, abort: Some(&abort), ..Config::default() };
    // Set at the first news: without it, this would go on for long.
    let solution =
        Solver::default().solve(&problem, &config, &mut |_| abort.store(true, Ordering::Relaxed));
    assert_eq!(solution.status, Status::Feasible);
    assert!(solution.surplus > 0 && solution.bound > solution.surplus);
    assert_eq!(problem.surplus(&solution.winners), Some(solution.surplus));
}

#[test]
fn what_is_aborted_before_it_begins_answers_all_the_same() {
    let problem = problem();
    let abort = AtomicBool::new(true);
    let config = Config { abort: Some(&abort), ..Config::default() };
    let solution = Solver::default().solve(&problem, &config, &mut |_| {});
    assert_eq!(problem.surplus(&solution.winners), Some(solution.surplus));
    assert!(solution.bound >= solution.surplus);
}
