//! All of the required items, or nothing.
//!
//! Each of them gets a premium that is worth more than any difference of prices. A solution that has them
//! all is then worth at least all premiums, and one that lacks any is not.

use crate::answer::{Config, Solution, Status};
use crate::items::Items;
use crate::problem::Problem;
use crate::solver::Solver;

impl Solver {
    /// Solves a problem in which all required items are awarded, or nothing is.
    pub(crate) fn solve_whole(&mut self, problem: &Problem, config: &Config<'_>) -> Solution {
        let nothing = |bound: i64| Solution {
            winners: Vec::new(),
            surplus: 0,
            bound,
            status: if bound == 0 { Status::Optimal } else { Status::Feasible },
            prices: vec![0; problem.items().len()],
        };
        let Some((with_premiums, premiums)) = problem.with_premiums() else {
            return nothing(problem.reserve_of(&Items::first(problem.items().len())));
        };
        let found = self.solve_freely(&with_premiums, config, &mut |_| {});
        // A solution that is worth anything is worth at least the premiums.
        let (surplus, bound) = (found.surplus - premiums, (found.bound - premiums).max(0));
        let awarded = found.winners.iter().map(|bid| problem.bids()[bid.0 as usize].items);
        let awarded = awarded.fold(Items::EMPTY, |all, items| all.or(&items));
        let is_whole = problem.required().is_within(&awarded);
        if !is_whole || surplus < 0 {
            return nothing(bound);
        }
        let status = if surplus == bound { Status::Optimal } else { Status::Feasible };
        Solution { winners: found.winners, surplus, bound, status, ..nothing(0) }
    }
}
