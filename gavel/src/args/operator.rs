//! The arguments of what the operator does, and of looking at a book.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use gavel_protocol::{Attribute, Currency, Micros, Name};

use super::ROUND;
use super::parse::{choice, money};
use crate::data_dir::OPERATOR;

/// Arguments of `gavel enrol`.
#[derive(Debug, Parser)]
#[command(after_help = ROUND)]
pub struct EnrolArgs {
    /// The agent's name: its key and its id are kept under it.
    pub name: String,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// What it may do.
    #[arg(long, value_enum, default_value_t = RoleArg::Trader)]
    pub role: RoleArg,
    /// Money to deposit for its account.
    #[arg(long, value_parser = money)]
    pub deposit: Option<Micros>,
    /// The currency of the deposit.
    #[arg(long, default_value_t = Currency::USD)]
    pub currency: Currency,
    /// The most that one of its transactions may cost.
    #[arg(long, value_parser = money, default_value = "1000000.00")]
    pub transaction_max: Micros,
    /// What is found to be true of it, such as data_in_eu,no_training.
    #[arg(long, value_parser = choice::<Attribute>, value_delimiter = ',')]
    pub attributes: Vec<Attribute>,
}

/// What an agent may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RoleArg {
    /// Open RFQs, and quote.
    Trader,
    /// Propose who wins combinatorial RFQs that admit solvers from outside, and trade nothing.
    Solver,
}

/// Arguments of `gavel list`.
#[derive(Debug, Parser)]
#[command(after_help = ROUND)]
pub struct ListArgs {
    /// The capability's name.
    pub name: Name,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// What it is traded in.
    #[arg(long, default_value_t = Currency::USD)]
    pub currency: Currency,
    /// The terms of its standing quotes, as a file [default: delivery against payment].
    #[arg(long)]
    pub terms: Option<PathBuf>,
}

/// Arguments of `gavel halt` and `gavel reopen`.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n\n  \
    gavel halt ocr      # no new business for one capability; what is open goes on\n  \
    gavel reopen ocr\n  \
    gavel halt          # for all of them")]
pub struct HaltArgs {
    /// Which capability [default: the whole exchange].
    pub capability: Option<Name>,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
}

/// Arguments of `gavel band`.
#[derive(Debug, Parser)]
#[command(after_help = "Examples:\n\n  \
    gavel band ocr --low 1.00 --high 100.00\n  \
    gavel band ocr --none")]
pub struct BandArgs {
    /// Which capability.
    pub capability: Name,
    /// The lowest price per unit.
    #[arg(long, value_parser = money, requires = "high", required_unless_present = "none")]
    pub low: Option<Micros>,
    /// The highest price per unit.
    #[arg(long, value_parser = money, requires = "low")]
    pub high: Option<Micros>,
    /// Lift the band: any price will do.
    #[arg(long, conflicts_with_all = ["low", "high"])]
    pub none: bool,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
}

/// Arguments of `gavel book`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel book ocr --as acme")]
pub struct BookArgs {
    /// Which capability.
    pub capability: Name,
    /// Who looks: a name as enrolled.
    #[arg(long = "as", value_name = "NAME", default_value = OPERATOR)]
    pub agent: String,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
}
