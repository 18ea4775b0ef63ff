//! The arguments of `gavel explain`.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use gavel_protocol::RfqId;

use crate::args::JournalArg;
use crate::data_dir::OPERATOR;

/// What to explain.
#[derive(Debug, Subcommand)]
pub enum ExplainCommand {
    /// Explain an RFQ: what happened, who won and why, what the others lacked, what money moved.
    Rfq(ExplainArgs),
}

/// Arguments of `gavel explain rfq`.
#[derive(Debug, Parser)]
#[command(after_help = "\
Example, after `gavel up` has ended:

  gavel explain rfq rfq_000000000000000d --as fast

Each sees what it may: sealed quotes nobody before the close; then the buyer and the operator
everything, a provider its own side, and anybody else what was public.")]
pub struct ExplainArgs {
    /// Which RFQ.
    pub rfq: RfqId,
    /// Who asks: a name as enrolled.
    #[arg(long = "as", value_name = "NAME", default_value = OPERATOR)]
    pub agent: String,
    /// Where the exchange keeps everything; with an embedded journal it must not be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
}
