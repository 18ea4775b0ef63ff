//! Seeded worlds: nothing that is acknowledged is lost, and nothing takes effect twice.
//!
//! How many worlds are run, and with how many commands each, can be set from outside: see
//! `cargo xtask faults`.
#![allow(clippy::unwrap_used, reason = "a test may stop at anything unexpected")]

use std::io::Write as _;

use gavel_simulator::world::{Limits, Many, Tally, run, run_many};

/// As many threads as there are cores on the machines that this usually runs on.
const THREADS: usize = 2;

fn from_outside(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap())
}

fn limits() -> Limits {
    let commands = from_outside("GAVEL_WORLD_COMMANDS", 300);
    Limits { commands, steps: 6 * commands }
}

fn shown(many: &Many) -> String {
    let failures: Vec<String> = many.failures.iter().map(ToString::to_string).collect();
    failures.join("\n")
}

/// Adds a row to the table of faults, where `cargo xtask faults` asks for one.
fn row(text: &str) {
    let Ok(path) = std::env::var("GAVEL_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(table, "{text}").unwrap();
}

#[test]
fn no_world_breaks_it() {
    let worlds = from_outside("GAVEL_WORLDS", 24);
    let many = run_many(1..1 + worlds, limits(), THREADS);
    let (tally, hours) = (&many.tally, many.hours_per_cpu_second());
    row(&format!(
        "| {} seeded worlds: {} commands, {} crashes, {} in a commit or by the disk, {} cuts, {:.0} h \
         simulated, {hours:.2} h per CPU second | {} | 0 | 0 | true |",
        tally.worlds,
        tally.commands,
        tally.crashes,
        tally.crashes_in_commit,
        tally.cuts,
        tally.virtual_ns as f64 / 3.6e12,
        tally.acknowledged,
    ));
    assert!(many.failures.is_empty(), "{}", shown(&many));
    let Tally { crashes, predicted, taken, picked, split, .. } = many.tally;
    assert!([crashes, predicted, taken, picked, split].iter().all(|count| *count > 0), "{tally}");
}

#[test]
fn a_seed_makes_the_same_world_again() {
    for seed in [3, 17] {
        assert_eq!(run(seed, limits()).unwrap(), run(seed, limits()).unwrap());
    }
}
