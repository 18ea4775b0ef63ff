//! Instructions per command of the mixed flow, counted by callgrind: the same on every run of one
//! build, whatever else the machine does.

use std::env;
use std::fs;
use std::hint::black_box;
use std::process::{Command, Stdio};

use anyhow::Context as _;
use gavel_exchange::limits::LOOK_AHEAD_MAX;
use gavel_protocol::Stamped;

use crate::bench::market::Market;
use crate::bench::mixed::MixedStream;

/// Commands that are counted: a simulated processor is some fifty times slower than a real one.
pub const COMMANDS: usize = 100_000;

/// Runs this program once more under callgrind, and returns the count per command; none where
/// valgrind is not installed.
pub fn per_command(seed: u64) -> anyhow::Result<Option<f64>> {
    let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
    if !found.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let directory = tempfile::tempdir().context("making a directory for the counts")?;
    let counts = directory.path().join("counts");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet", "--toggle-collect=*count_instructions*"])
        .arg(format!("--callgrind-out-file={}", counts.display()))
        .arg(env::current_exe().context("finding this program")?)
        .args(["bench", "core", "--count-only", "--seed", &seed.to_string()])
        .stdout(Stdio::null())
        .status()
        .context("running valgrind")?;
    anyhow::ensure!(status.success(), "callgrind ended with {status}");
    let counts = fs::read_to_string(&counts).context("reading the counts")?;
    let total = counts.lines().find_map(|line| line.strip_prefix("totals:"));
    let total: f64 = total.context("callgrind gave no total")?.trim().parse()?;
    Ok(Some(total / COMMANDS as f64))
}

/// What runs under callgrind.
pub fn run_counted(seed: u64) -> anyhow::Result<()> {
    MixedStream::record(COMMANDS, seed)?.replay(count_instructions)
}

/// Callgrind counts what happens in here, by its name.
#[inline(never)]
fn count_instructions(market: &mut Market, stream: &[Stamped]) {
    market.replay(black_box(stream), LOOK_AHEAD_MAX);
}
