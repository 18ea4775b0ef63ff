//! Every bug that is planted is found by the seeded worlds: that is how one knows that they can fail.
#![cfg(feature = "planted")]

use std::io::Write as _;

use gavel_protocol::Bug;
use gavel_simulator::world::{Limits, run_many};

/// Within so many worlds each bug must be found.
const BUDGET: u64 = 200;

/// Adds a row to the table of faults, where `cargo xtask faults` asks for one.
fn row(text: &str) {
    let Ok(path) = std::env::var("GAVEL_FAULTS_TABLE") else { return };
    let mut table = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
    writeln!(table, "{text}").unwrap();
}

#[test]
fn every_planted_bug_is_found() {
    let limits = Limits { commands: 300, steps: 1_800 };
    // One after the other: a planted bug is in the whole process.
    let found = Bug::ALL.map(|bug| {
        Bug::plant(Some(bug));
        let first = (1..=BUDGET).find_map(|seed| {
            let many = run_many(seed..seed + 1, limits, 1);
            many.failures.into_iter().next()
        });
        Bug::plant(None);
        (bug, first)
    });
    for (bug, failure) in &found {
        let found =
            failure.as_ref().map_or("not found".into(), |f| format!("found at seed {}", f.seed));
        row(&format!("| planted {bug:?} | {found} | | | |"));
    }
    assert!(found.iter().all(|(_, failure)| failure.is_some()), "a bug was not found");
}
