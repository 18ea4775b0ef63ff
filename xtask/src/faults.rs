//! Tries to break the exchange, and prints a table of what came of it.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::command::{Command, say};
use crate::machine;

/// How often each fault comes in the form that continuous integration runs.
const WORLDS: u64 = 20_000;
const COMMANDS_PER_WORLD: u64 = 1_100;
const CUTS: u64 = 65_536;
const FLIPS: u64 = 10_000;
const KILLS: u64 = 50;
const CUTS_OF_NETWORK: u64 = 10;
const SERVER_CRASHES: u64 = 10;
const SERVER_OUTAGES: u64 = 1;

/// Where there is no disk to wait for.
const IN_MEMORY: &str = "/dev/shm";

/// Runs every fault, `times` as often as continuous integration does.
///
/// # Errors
///
/// If anything that was acknowledged is lost, an award comes twice, or a planted bug is not found.
pub fn run(times: u64) -> Result<()> {
    let table = machine::target_directory()?.join("faults.md");
    if table.exists() {
        fs::remove_file(&table).with_context(|| format!("removing {}", table.display()))?;
    }
    machine::ensure_postgres()?;
    // First the build that everybody has: what it leaves at the end is upgraded by the other.
    let left = machine::target_directory()?.join("upgrade-from");
    // With the whole workspace, as before: otherwise half of it is built again with other features.
    Command::cargo("test --locked --workspace --test faults")
        .env("GAVEL_FAULTS_TABLE", &table)
        .env("GAVEL_UPGRADE_FROM", &left)
        .env("GAVEL_KILLS", (KILLS * times).to_string())
        .env("GAVEL_CUTS_OF_NETWORK", (CUTS_OF_NETWORK * times).to_string())
        .env("GAVEL_SERVER_CRASHES", (SERVER_CRASHES * times).to_string())
        .env("GAVEL_SERVER_OUTAGES", (SERVER_OUTAGES * times).to_string())
        .run()?;
    let worlds = Command::cargo(
        "test --profile world --locked -p gavel-simulator -p gavel-sequencer --features \
         gavel-simulator/planted,gavel-simulator/small-tables,gavel-simulator/next-rules \
         --test planted --test worlds --test torn --test upgrade",
    );
    let worlds = worlds
        .env("GAVEL_FAULTS_TABLE", &table)
        .env("GAVEL_UPGRADE_FROM", &left)
        .env("GAVEL_WORLDS", (WORLDS * times).to_string())
        .env("GAVEL_WORLD_COMMANDS", COMMANDS_PER_WORLD.to_string())
        .env("GAVEL_CUTS", CUTS.to_string())
        .env("GAVEL_FLIPS", (FLIPS * times).to_string())
        // A broken invariant is a planted bug that was found: nobody needs to see where.
        .env("RUST_BACKTRACE", "0");
    let in_memory = Path::new(IN_MEMORY).is_dir();
    if in_memory { worlds.env("TMPDIR", IN_MEMORY) } else { worlds }.run()?;
    let rows =
        fs::read_to_string(&table).with_context(|| format!("reading {}", table.display()))?;
    say("| fault | acknowledged, or refused | lost | double awards | replay hash equal |");
    say("|---|---|---:|---:|---|");
    say(rows.trim_end());
    Ok(())
}
