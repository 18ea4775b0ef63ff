//! Proves instances with microlp, a branch and bound of somebody else's in Rust, for comparison.
//!
//! Reads names of instance files from standard input, and answers each with one line of JSON: what
//! it found, whether it is proven, and the processor time. `benches/solver/compare.py` runs it.

#![allow(clippy::print_stdout, reason = "a program for a terminal")]
#![allow(clippy::cast_precision_loss, reason = "floating point is what it solves in")]

use std::time::Duration;

use gavel_solver::{Cover, Group, Kind, file};
use microlp::{ComparisonOp, LinearExpr, OptimizationDirection, Problem, SolveOutcome, Variable};
use rustix::time::{ClockId, clock_gettime};

fn main() {
    let seconds = std::env::args().nth(1).map_or(10, |most| most.parse().expect("seconds"));
    for line in std::io::stdin().lines() {
        let line = line.expect("names of files");
        let text = std::fs::read_to_string(line.trim()).expect("a file");
        let instance = file::read(&text).expect("an instance");
        let mut program = program(&instance.problem);
        program.set_time_limit(Duration::from_secs(seconds));
        let before = processor_time();
        let outcome = program.solve();
        let spent = processor_time() - before;
        let (status, objective) = match &outcome {
            Ok(SolveOutcome::Solution(solution)) => {
                let status = if outcome_is_proven(&outcome) { "optimal" } else { "feasible" };
                (status, format!("{:.0}", solution.objective()))
            }
            Ok(SolveOutcome::Interrupted(_)) => ("none", String::from("null")),
            Err(_) => ("failed", String::from("null")),
        };
        println!(
            "{{\"name\":\"{}\",\"status\":\"{status}\",\"objective\":{objective},\"cpu_us\":{:.1}}}",
            instance.name,
            spent.as_secs_f64() * 1e6
        );
    }
}

fn outcome_is_proven(outcome: &Result<SolveOutcome, microlp::Error>) -> bool {
    outcome.as_ref().is_ok_and(SolveOutcome::is_optimal)
}

/// Returns the processor time that this thread has used.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).expect("it is not negative")
}

/// Writes a problem as an integer program: what every other solver is given, too.
fn program(problem: &gavel_solver::Problem) -> Problem {
    let forward = problem.kind() == Kind::Forward;
    let direction = match forward {
        true => OptimizationDirection::Maximize,
        false => OptimizationDirection::Minimize,
    };
    let mut program = Problem::new(direction);
    let bids: Vec<_> =
        problem.bids().iter().map(|bid| program.add_binary_var(bid.score as f64)).collect();
    let mut of_item = vec![LinearExpr::empty(); problem.items().len()];
    let mut of_group = vec![LinearExpr::empty(); problem.groups().len()];
    for (bid, variable) in problem.bids().iter().zip(&bids) {
        for item in bid.items.iter() {
            of_item[usize::from(item)].add(*variable, 1.0);
        }
        if let Some(group) = bid.group {
            let takes = match problem.groups()[group.0 as usize] {
                Group::Xor => 1.0,
                Group::Or { .. } => f64::from(problem.load_of(&bid.items)),
            };
            of_group[group.0 as usize].add(*variable, takes);
        }
    }
    for (mut bids, item) in of_item.into_iter().zip(problem.items()) {
        let compared = match (forward, problem.cover()) {
            (true, _) => ComparisonOp::Le,
            (false, Cover::Exact) => ComparisonOp::Eq,
            (false, Cover::AtLeast) => ComparisonOp::Ge,
        };
        if !forward {
            let left_out: Variable = program.add_var(item.reserve as f64, (0.0, 1.0));
            bids.add(left_out, 1.0);
        }
        program.add_constraint(bids, compared, 1.0);
    }
    for (bids, group) in of_group.into_iter().zip(problem.groups()) {
        let most = match group {
            Group::Xor => 1.0,
            Group::Or { capacity } => f64::from(*capacity),
        };
        program.add_constraint(bids, ComparisonOp::Le, most);
    }
    program
}
