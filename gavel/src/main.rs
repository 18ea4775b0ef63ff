//! Gavel, the exchange where AI agents buy and sell work: the server and its command line.
//!
//! This crate wires the others together and talks to people. What it does *not* do: anything that
//! another crate could do without a terminal.

mod allocator;
mod args;
mod awards;
mod beginning;
mod bench;
mod commands;
mod data_dir;
mod huge_pages;
mod kept;
mod output;
mod server;

use std::process::ExitCode;

use clap::Parser as _;

use crate::args::{Args, BenchCommand, Command, ExplainCommand, SimArgs, SimCommand};
use crate::output::Output;

#[global_allocator]
static ALLOCATOR: allocator::Counted = allocator::Counted;

/// What the process says with its exit code. Stable; 2 is clap's, for arguments that make no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    /// What was asked for happened.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It worked, and the answer is no: nothing was awarded, or not delivered.
    No = 3,
    /// What was to be verified is not so.
    NotVerified = 4,
}

fn main() -> ExitCode {
    let args = Args::parse();
    output::start_log(args.verbose);
    let output = Output::new(args.json);
    let exit = run(args.command, &output).unwrap_or_else(|error| {
        output.error(&error);
        Exit::Failed
    });
    ExitCode::from(exit as u8)
}

fn run(command: Command, output: &Output) -> anyhow::Result<Exit> {
    if !has_huge_pages(&command)
        && let Err(error) = huge_pages::forgo()
    {
        tracing::warn!(%error, "this kernel may give huge pages, which take more memory");
    }
    match command {
        Command::Up(args) => commands::up::run(args, output),
        Command::Demo(args) => commands::demo::run(args, output),
        Command::Sim(SimArgs { instead: Some(SimCommand::World(args)), .. }) => {
            commands::sim_world::run(&args, output)
        }
        Command::Sim(SimArgs { instead: Some(SimCommand::Market(args)), .. }) => {
            commands::sim_market::run(&args, output)
        }
        Command::Sim(args) => commands::sim::run(args, output),
        Command::Enrol(args) => commands::enrol::run(args, output),
        Command::List(args) => commands::list::run(args, output),
        Command::Halt(args) => commands::halt::halt(args, output),
        Command::Reopen(args) => commands::halt::reopen(args, output),
        Command::Band(args) => commands::band::run(args, output),
        Command::Book(args) => commands::book::run(args, output),
        Command::Rfq(args) => commands::rfq::run(&args, output),
        Command::Quote(args) => commands::quote::run(args, output),
        Command::Replay(args) => commands::replay::run(&args, output),
        Command::Project(args) => commands::project::run(&args, output),
        Command::Audit(command) => commands::audit::run(&command, output),
        Command::Verify(args) => commands::verify::run(&args, output),
        Command::Backup(args) => commands::backup::backup(&args, output),
        Command::Restore(args) => commands::backup::restore(&args, output),
        Command::Snapshot(args) => commands::snapshot::run(&args, output),
        Command::Explain(ExplainCommand::Rfq(args)) => commands::explain::run(&args, output),
        Command::Script(args) => commands::script::run(&args, output),
        Command::Solve(args) => commands::solve::run(&args, output),
        Command::Bench(BenchCommand::Core(args)) => bench::core::run(&args, output),
        Command::Bench(BenchCommand::Journal(args)) => bench::journal::run(&args, output),
        Command::Bench(BenchCommand::Solver(args)) => bench::solver::run(&args, output),
        Command::Bench(BenchCommand::Wire(args)) => bench::wire::wire(&args, output),
    }
}

/// Returns whether speed is worth more than memory.
fn has_huge_pages(command: &Command) -> bool {
    if let Command::Bench(BenchCommand::Core(args)) = command {
        return !args.memory_only;
    }
    matches!(command, Command::Up(args) if args.huge_pages)
}
