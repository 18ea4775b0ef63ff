//! The arguments of `gavel solve`.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use gavel_solver::Rule;

/// Arguments of `gavel solve`.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n\n  \
    gavel solve --generate instances --seed 1\n  \
    gavel solve --budget-us 1000 --payments core instances/*-m-00.wdp\n  \
    ls instances/*.wdp | gavel solve --budget-us 10000 -")]
pub struct SolveArgs {
    /// Instance files; `-` takes their names from standard input, one per line, and answers each
    /// with one line of JSON.
    #[arg(value_name = "FILE", required_unless_present = "generate")]
    pub files: Vec<PathBuf>,
    /// Microseconds for each allocation, and for each re-solve of a payment [default: 1000].
    #[arg(long, value_name = "N", conflicts_with = "budget_work")]
    pub budget_us: Option<u64>,
    /// Units of work instead of time: the same on every machine, with the same seed.
    #[arg(long, value_name = "N")]
    pub budget_work: Option<u64>,
    /// Threads for one instance.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1))]
    pub threads: u32,
    /// How winners are paid.
    #[arg(long, value_enum, default_value_t = PaymentsArg::None)]
    pub payments: PaymentsArg,
    /// Solve each instance so often; shown is the run of the median time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,
    /// Decides where the search looks, and what is generated.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Draw objective and bound over time, of the last file, as SVG.
    #[arg(long, value_name = "FILE")]
    pub plot: Option<PathBuf>,
    /// Write instances of all families to this directory instead.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["files", "plot"])]
    pub generate: Option<PathBuf>,
    /// How many instances of each family and size to generate.
    #[arg(long, default_value_t = 10, requires = "generate")]
    pub count: u32,
}

/// How winners are paid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PaymentsArg {
    /// Not at all.
    None,
    /// What they asked or offered.
    First,
    /// Vickrey, Clarke and Groves: what their taking part costs the others.
    Vcg,
    /// The point of the core nearest to VCG.
    Core,
}

impl PaymentsArg {
    /// Returns the rule, if there is one.
    pub fn rule(self) -> Option<Rule> {
        match self {
            Self::None => None,
            Self::First => Some(Rule::First),
            Self::Vcg => Some(Rule::Vcg),
            Self::Core => Some(Rule::Core),
        }
    }
}
