//! What a solver is asked, and what it answers.

#![expect(clippy::cast_precision_loss, reason = "prices to begin with are in floating point")]

use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::certificate::{self, Certificate};
use crate::clock::Budget;
use crate::columns::{Columns, Setting, write_out};
use crate::prices::{FINE, Prices, Proven};
use crate::problem::{BidId, Problem};

/// Steps that prices are sought in where the solution needed none.
const PRICED_STEPS: u32 = 100;

/// How to solve.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// How much may be done.
    pub budget: Budget,
    /// Decides which regions are searched.
    pub seed: u64,
    /// Winners to begin with, if they go together.
    pub start: &'a [BidId],
    /// Ends the search soon after it is set; the answer is then what there is.
    pub abort: Option<&'a AtomicBool>,
    /// A bidder whose bids do not count.
    pub without: Option<u32>,
}

impl Default for Config<'_> {
    fn default() -> Self {
        Self { budget: Budget::Unlimited, seed: 1, start: &[], abort: None, without: None }
    }
}

/// Whether a solution is the best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// No solution is better.
    Optimal,
    /// One may be, by no more than the bound.
    Feasible,
}

/// What is known at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The time since the start.
    pub elapsed: Duration,
    /// The surplus of the best solution.
    pub surplus: i64,
    /// What no solution exceeds.
    pub bound: i64,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Solution {
    /// The bids that win, in ascending order.
    pub winners: Vec<BidId>,
    /// Their surplus.
    pub surplus: i64,
    /// A surplus that no solution exceeds.
    pub bound: i64,
    /// Whether the two meet.
    pub status: Status,
    /// Item prices, rounded, of the bound at the root; none if it took none.
    pub(crate) prices: Vec<u64>,
}

impl Solution {
    /// Returns prices that prove a bound to others; not always as good a bound as the solver's.
    pub fn certificate(&self, problem: &Problem) -> Certificate {
        let mut prices = self.prices.clone();
        if prices.is_empty() {
            prices = price_items(problem, self.surplus);
        }
        certificate::complete(problem, prices)
    }
}

/// Returns item prices, rounded, that bound the surplus as well as prices alone do.
fn price_items(problem: &Problem, surplus: i64) -> Vec<u64> {
    let (mut columns, mut setting) = (Columns::<4>::default(), Setting::default());
    write_out(problem, &mut columns, &mut setting, &|_| false);
    let (mut prices, mut proven) = (Prices::default(), Proven::default());
    prices.begin(&setting, std::iter::repeat_n(0.0, setting.items));
    prices.take(&columns);
    for _ in 0..PRICED_STEPS {
        prices.step(&setting, surplus as f64);
    }
    proven.round(&prices, &setting, &columns);
    proven.price.iter().map(|price| round_up(*price)).collect()
}

/// Returns a price in whole units, rounded up, so that what it bounds stays bounded.
pub(crate) fn round_up(price: i64) -> u64 {
    u64::try_from((price + (1 << FINE) - 1) >> FINE).unwrap_or(0)
}
