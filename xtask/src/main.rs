//! The front door for people who work on the exchange: `cargo xtask test | golden | db | faults | fuzz | bench | docs`.
//!
//! Every task prints the plain commands that it runs, so that nobody depends on this program. What
//! it does *not* do: anything that the exchange needs in order to run. The rules of the house are
//! the tests of this crate, in `xtask/src/tidy.rs`.

mod command;
mod docs;
mod faults;
mod fuzz;
mod machine;
#[cfg(test)]
mod tidy;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use command::Command;

/// Tests, golden outputs, benches and documentation of the exchange.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Task {
    /// Checks formatting, lints and every test; installs what they need where that is possible.
    Test,
    /// Writes the expected outputs of the tests and the generated documentation anew.
    Golden,
    /// Starts a private PostgreSQL server and prints its address; installs it where that is possible.
    Db,
    /// Tries to break the exchange: seeded worlds, kills, bad disks, networks, servers; prints a table.
    Faults {
        /// How many times as often as `cargo xtask test` does; 10 or 100 is the long form.
        #[arg(long, default_value_t = 1)]
        times: u64,
    },
    /// Lets libFuzzer try any bytes on the fuzz targets; takes a nightly toolchain and cargo-fuzz.
    Fuzz {
        /// Which target; without one, each in turn.
        target: Option<String>,
        /// How long, for each target.
        #[arg(long, default_value_t = 10)]
        minutes: u64,
    },
    /// Runs the benches, which print what they measured and under which conditions.
    Bench {
        /// Measure the exchange beside something else.
        #[command(subcommand)]
        beside: Option<Beside>,
    },
    /// Writes the generated tables of the documentation anew.
    Docs,
}

/// What the exchange is measured beside.
#[derive(Subcommand)]
enum Beside {
    /// The same auction on PostgreSQL and Redis; installs them where that is possible.
    Peers,
    /// The solver beside CP-SAT, HiGHS and microlp; installs them beside the build's outputs.
    Solver {
        /// Arguments of `benches/solver/compare.py`: directories, `--limit N`, `--write`.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Test => test(),
        Task::Golden => golden(),
        Task::Db => db(),
        Task::Bench { beside: None } => bench(),
        Task::Bench { beside: Some(Beside::Peers) } => {
            Command::new("python3").arg("benches/peers/peers.py").run()
        }
        Task::Bench { beside: Some(Beside::Solver { arguments }) } => {
            let program = Command::new("python3").arg("benches/solver/compare.py");
            arguments.into_iter().fold(program, Command::arg).run()
        }
        Task::Faults { times } => faults::run(times),
        Task::Fuzz { target, minutes } => fuzz::run(target.as_deref(), minutes),
        Task::Docs => docs::write(),
    }
}

/// The steps of `cargo xtask test`, in their order. Further ones belong in this list.
fn test() -> Result<()> {
    machine::ensure_rust_components()?;
    Command::cargo("fmt --all --check").run()?;
    Command::cargo("clippy --workspace --all-targets --locked -- -D warnings").run()?;
    machine::ensure_postgres()?;
    let python = machine::python_with_packages()?;
    Command::cargo("test --workspace --locked").env(machine::PYTHON_VARIABLE, python).run()?;
    faults::run(1)
}

fn golden() -> Result<()> {
    docs::write()?;
    machine::ensure_postgres()?;
    let python = machine::python_with_packages()?;
    Command::cargo("test --workspace")
        .env("GAVEL_GOLDEN", "write")
        .env(machine::PYTHON_VARIABLE, python)
        .run()
}

fn db() -> Result<()> {
    machine::ensure_postgres()?;
    Command::cargo("run --quiet -p gavel-tests --bin private-postgres").run()
}

fn bench() -> Result<()> {
    Command::cargo("run --release -p gavel -- bench core").run()?;
    Command::cargo("run --release -p gavel -- bench wire").run()
}

/// Returns the directory of the workspace.
fn root() -> Result<PathBuf> {
    let xtask = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().map(PathBuf::from).context("xtask does not lie inside the workspace")
}
