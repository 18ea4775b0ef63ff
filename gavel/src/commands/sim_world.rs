//! `gavel sim world`: seeded worlds that try to break the exchange.

use gavel_simulator::world::{Limits, Many, run_many};
use serde_json::json;

use crate::Exit;
use crate::args::SimWorldArgs;
use crate::output::Output;

/// Steps of a world for each of its commands, at most: some worlds hardly let anybody log on.
const STEPS_PER_COMMAND: u64 = 6;

/// Runs the worlds.
pub fn run(args: &SimWorldArgs, output: &Output) -> anyhow::Result<Exit> {
    let commands = args.commands;
    let limits = Limits { commands, steps: STEPS_PER_COMMAND.saturating_mul(commands) };
    let seeds = args.seed..args.seed.saturating_add(args.seeds);
    let many = run_many(seeds, limits, usize::try_from(args.threads)?);
    for failure in &many.failures {
        output.line(format_args!("{failure}"));
        let seed = failure.seed;
        output.line(format_args!("again: gavel sim world --seed {seed} --commands {commands}"));
    }
    let Many { tally, failures, took, .. } = &many;
    let hours = many.hours_per_cpu_second();
    let text = format!(
        "{tally} in {:.1} s: {hours:.2} hours per CPU second\n{} worlds failed",
        took.as_secs_f64(),
        failures.len()
    );
    let summary = json!({
        "tally": tally,
        "failures": failures,
        "seconds": took.as_secs_f64(),
        "hours_per_cpu_second": hours,
    });
    output.summary(text, &summary);
    Ok(if failures.is_empty() { Exit::Done } else { Exit::NotVerified })
}
