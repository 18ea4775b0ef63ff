//! `gavel bench core`: the service time of one command in the pure exchange, beside the floor.
//!
//! Closed loop on one thread: the next command is applied when the last one is done. Each command is
//! timed by itself for the percentiles and the mean, with the timer's own cost subtracted; the
//! throughput of a recorded stream is that of the whole, without a clock read in between. Nothing of
//! the wire or of the journal is included. It has huge pages, as `gavel up --huge-pages` does, and so
//! has the floor kernel.

use std::fmt;

use clap::Parser;
use serde::Serialize;

use crate::Exit;
use crate::bench::flows::{self, Flows};
use crate::bench::hard::Hard;
use crate::bench::instructions;
use crate::bench::machine::Machine;
use crate::bench::measure::{Flow, Heads, timer_cost};
use crate::bench::memory::Memory;
use crate::bench::mixed::{self, Mixed, MixedStream};
use crate::output::Output;

/// Arguments of `gavel bench core`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel bench core --mixed 1000000 --instructions --json")]
pub struct CoreArgs {
    /// Commands per flow.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(1_000..=500_000))]
    pub commands: u32,
    /// Commands of the mixed flow.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=4_000_000))]
    pub mixed: u32,
    /// The seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Measure the mixed flow and its floor, and nothing else.
    #[arg(long)]
    pub mixed_only: bool,
    /// Count the mixed flow's instructions too, by a second run under valgrind.
    #[arg(long)]
    pub instructions: bool,
    /// Be that second run.
    #[arg(long, hide = true)]
    pub count_only: bool,
    /// Measure the memory, and nothing else.
    #[arg(long, hide = true)]
    pub memory_only: bool,
}

/// What a bench came to.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    seed: u64,
    timer_ns: u64,
    floor: Flow,
    mixed: Mixed,
    #[serde(flatten)]
    rest: Option<Rest>,
}

/// Everything but the mixed flow.
#[derive(Debug, Serialize)]
struct Rest {
    hard: HardReport,
    commands_per_flow: u32,
    floor_of_flows: Flow,
    standing_update: Flow,
    sealed_quote: Flow,
    window0_rfq_of_10: Flow,
    window0_rfq_of_100: Flow,
    lifecycle: Flow,
    memory: Memory,
}

/// The flows that hurt, beside the same floor as the mixed flow.
#[derive(Debug, Serialize)]
struct HardReport {
    one_rfq: Flow,
    new_agents: Flow,
    full_tables: Flow,
    rejects: Flow,
}

/// Runs the bench.
pub fn run(args: &CoreArgs, output: &Output) -> anyhow::Result<Exit> {
    if args.count_only {
        instructions::run_counted(args.seed)?;
        return Ok(Exit::Done);
    }
    if args.memory_only {
        let memory = Memory::measure()?;
        output.summary(&memory, &memory);
        return Ok(Exit::Done);
    }
    let memory = if args.mixed_only { None } else { Some(Memory::measure_apart()?) };
    let (seed, timer_ns) = (args.seed, timer_cost());
    let commands = args.mixed as usize;
    let floor = mixed::floor(commands, seed, timer_ns)?;
    let mut mixed = MixedStream::record(commands, seed)?.measure(timer_ns, floor.mean_ns)?;
    if args.instructions {
        mixed.instructions_per_command = instructions::per_command(seed)?;
    }
    let rest = memory.map(|memory| rest(args, timer_ns, floor.mean_ns, memory)).transpose()?;
    let report = Report { machine: Machine::read(), seed, timer_ns, floor, mixed, rest };
    output.summary(&report, &report);
    Ok(Exit::Done)
}

fn rest(
    args: &CoreArgs,
    timer_ns: u64,
    floor_mean_ns: f64,
    memory: Memory,
) -> anyhow::Result<Rest> {
    let (commands, seed) = (args.commands, args.seed);
    let hard = Hard { seed, timer_ns, floor_mean_ns };
    let floor_of_flows = flows::floor(commands, seed, timer_ns)?;
    let flows = Flows { commands, seed, timer_ns, floor_mean_ns: floor_of_flows.mean_ns };
    Ok(Rest {
        hard: HardReport {
            one_rfq: hard.one_rfq(commands as usize)?,
            new_agents: hard.new_agents()?,
            full_tables: hard.full_tables(commands as usize)?,
            rejects: hard.rejects(commands as usize)?,
        },
        commands_per_flow: commands,
        standing_update: flows.standing_update()?,
        sealed_quote: flows.sealed_quote()?,
        window0_rfq_of_10: flows.window0(10)?,
        window0_rfq_of_100: flows.window0(100)?,
        lifecycle: flows.lifecycle()?,
        floor_of_flows,
        memory,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { machine, seed, timer_ns, floor, mixed, rest } = self;
        writeln!(f, "core: service time of one command, closed loop, no wire, no journal")?;
        writeln!(f, "{machine}")?;
        writeln!(f, "seed {seed}; timer of {timer_ns} ns subtracted")?;
        writeln!(f, "\n{mixed}\n\n{:<20} {Heads}", "flow")?;
        writeln!(f, "{:<20} {floor}", "floor kernel")?;
        writeln!(f, "{:<20} {}", "mixed", mixed.flow)?;
        writeln!(f, "{:<20} {}", "mixed, one at a time", mixed.alone)?;
        rest.as_ref().map_or(Ok(()), |rest| rest.fmt(f))
    }
}

impl fmt::Display for Rest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, flow) in [
            ("quotes on one RFQ", &self.hard.one_rfq),
            ("agents all new", &self.hard.new_agents),
            ("full tables", &self.hard.full_tables),
            ("all rejected", &self.hard.rejects),
        ] {
            writeln!(f, "{name:<20} {flow}")?;
        }
        let (commands, agents) = (self.commands_per_flow, flows::AGENTS);
        writeln!(f, "\none kind at a time, {commands} commands each, {agents} agents:")?;
        for (name, flow) in [
            ("floor kernel", &self.floor_of_flows),
            ("standing update", &self.standing_update),
            ("sealed quote", &self.sealed_quote),
            ("window-0 RFQ of 10", &self.window0_rfq_of_10),
            ("window-0 RFQ of 100", &self.window0_rfq_of_100),
            ("deliver, accept", &self.lifecycle),
        ] {
            writeln!(f, "{name:<20} {flow}")?;
        }
        write!(f, "\n{}", self.memory)
    }
}
