//! The arguments of `gavel rfq`.

use std::path::PathBuf;

use clap::builder::ArgPredicate;
use clap::{Args, Parser, ValueEnum};
use gavel_protocol::{Attribute, CurvePoint, Disclosure, DurationNs, Item, Micros, Name};

use super::parse::{choice, curve_point, duration, item, money};

/// Rounds by hand, one per format.
const EXAMPLES: &str = "\
Examples (`gavel up --help` shows a whole round):

  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --out result.txt
  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --format second-price
  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --quantity 10 --split
  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --window-ms 30000 \\
      --format dutch --curve 0:10.00,30s:40.00
  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --format buyers-choice \\
      --pick best --latency-per-ms 0.001
  gavel rfq --as acme --capability ocr --reserve 40.00 --spec job.json --invite fast,cheap \\
      --close-early
  gavel rfq --as acme --capability ocr --spec job.json --items 10.00,5.00x2@3 --payment vcg";

/// Arguments of `gavel rfq`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub struct RfqArgs {
    /// The buyer's name, as enrolled.
    #[arg(long = "as", value_name = "NAME")]
    pub agent: String,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// The kind of work.
    #[arg(long)]
    pub capability: Name,
    /// The most to pay per unit; nobody else learns it, unless the format is dutch.
    #[arg(long, value_parser = money, required_unless_present = "items")]
    pub reserve: Option<Micros>,
    /// Units of work.
    #[arg(long, default_value_t = 1)]
    pub quantity: u32,
    /// How long to collect quotes, in milliseconds; 0 clears at once against the standing quotes.
    #[arg(long, default_value_t = 1_000)]
    pub window_ms: u64,
    /// The public job spec, as a file.
    #[arg(long)]
    pub spec: PathBuf,
    /// Private inputs that only the winner may read, as a file.
    #[arg(long)]
    pub inputs: Option<PathBuf>,
    /// The terms of the contract, as a file [default: the capability's].
    #[arg(long)]
    pub terms: Option<PathBuf>,
    /// Where to put the deliverable [default: standard output]; of several, the second goes to
    /// OUT.2, and so on.
    #[arg(long)]
    pub out: Option<PathBuf>,
    /// Do not accept the delivery: let silence do it.
    #[arg(long)]
    pub silent: bool,
    /// How it is cleared.
    #[command(flatten)]
    pub format: FormatArgs,
    /// What is asked for, if it is combinatorial.
    #[command(flatten)]
    pub bundles: BundleArgs,
    /// Who may compete.
    #[command(flatten)]
    pub admission: AdmissionArgs,
    /// What counts besides the price.
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// What the work comes with.
    #[command(flatten)]
    pub work: WorkArgs,
}

/// How the RFQ is cleared.
#[derive(Debug, Args)]
#[command(next_help_heading = "Format")]
pub struct FormatArgs {
    /// How it is cleared; with --items, combinatorial.
    #[arg(long, value_enum, default_value_t = FormatArg::FirstPrice)]
    #[arg(default_value_if("items", ArgPredicate::IsPresent, "combinatorial"))]
    pub format: FormatArg,
    /// Let the units go to several providers.
    #[arg(long)]
    pub split: bool,
    /// What losers and the public learn of the price: clearing_price, or nothing.
    #[arg(long, value_name = "WHAT", value_parser = choice::<Disclosure>, default_value = "clearing_price")]
    pub disclose: Disclosure,
    /// How long before the close quotes become irrevocable, in milliseconds.
    #[arg(long, default_value_t = 0)]
    pub cutoff_ms: u64,
    /// How the price of a dutch RFQ rises, the last point at the reserve: 0:10.00,30s:40.00.
    #[arg(long, value_parser = curve_point, value_delimiter = ',')]
    #[arg(required_if_eq("format", "dutch"))]
    pub curve: Vec<CurvePoint>,
    /// Who has the first word in a dutch RFQ: a name as enrolled, or an agent's id.
    #[arg(long, value_name = "NAME", requires = "curve", requires = "exclusive_ms")]
    pub exclusive: Option<String>,
    /// How long that provider has the first word, in milliseconds.
    #[arg(long, requires = "exclusive")]
    pub exclusive_ms: Option<u64>,
    /// In that time others may take for so much less, in basis points; 0 is not at all.
    #[arg(long, default_value_t = 0, requires = "exclusive")]
    pub exclusive_bps: u16,
    /// How long to take to pick in a buyer's choice, in milliseconds.
    #[arg(long, default_value_t = 60_000)]
    pub pick_ms: u64,
    /// How to pick in a buyer's choice.
    #[arg(long, value_enum, default_value_t = PickArg::Ask)]
    pub pick: PickArg,
}

/// How an RFQ is cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// The lowest score wins and is paid as quoted.
    FirstPrice,
    /// The lowest score wins and is paid what the cover would have been.
    SecondPrice,
    /// The price rises until a provider takes it.
    Dutch,
    /// The book is shown at the close, and the buyer picks.
    BuyersChoice,
    /// Providers quote for bundles of items, and those win that gain the most together.
    Combinatorial,
}

/// How a buyer picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PickArg {
    /// The quote of the best score.
    Best,
    /// Ask on standard input.
    Ask,
}

/// What a combinatorial RFQ asks for.
#[derive(Debug, Args)]
#[command(next_help_heading = "Items")]
pub struct BundleArgs {
    /// The items, from number 0, each RESERVE[xQUANTITY][@LOAD]: the most to pay per unit, the units,
    /// and what it takes of a provider's capacity. Their reserves together are the RFQ's.
    #[arg(long, value_name = "ITEM", value_parser = item, value_delimiter = ',')]
    #[arg(conflicts_with_all = ["reserve", "quantity", "split", "curve", "pick"])]
    pub items: Vec<Item>,
    /// How payments follow from the allocation.
    #[arg(long, value_enum, default_value_t = PaymentArg::AsBid, conflicts_with = "reserve")]
    pub payment: PaymentArg,
    /// Let an item be awarded more than once, and pay for it each time.
    #[arg(long, conflicts_with = "reserve")]
    pub free_disposal: bool,
    /// Award nothing unless every item is.
    #[arg(long, conflicts_with = "reserve")]
    pub all_items: bool,
    /// How long an allocation is sought at the most, once the problem is out: 5ms, 5s. It ends early
    /// once nothing can be better; a problem leaves only when it is durable, which takes about 1ms.
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5ms")]
    #[arg(conflicts_with = "reserve")]
    pub clearing: DurationNs,
    /// Let solvers from outside propose allocations: they learn the prices, the loads and the
    /// reserves after the close, and no names.
    #[arg(long, conflicts_with = "reserve")]
    pub external_solvers: bool,
}

/// How payments follow from an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PaymentArg {
    /// Each winner is paid what it asks.
    AsBid,
    /// Each provider is paid, beside what it asks, what the allocation gains by its taking part.
    Vcg,
    /// The payments nearest to vcg that no other set of providers could better for the buyer.
    Core,
}

/// Who may compete.
#[derive(Debug, Args)]
#[command(next_help_heading = "Who may compete")]
pub struct AdmissionArgs {
    /// Only these: names as enrolled, or agents' ids.
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub invite: Vec<String>,
    /// Close once everybody who was invited has answered.
    #[arg(long, requires = "invite")]
    pub close_early: bool,
    /// The lowest reputation that will do, in basis points.
    #[arg(long, default_value_t = 0)]
    pub reputation_min: u16,
    /// What must be true of the provider, such as data_in_eu,no_training.
    #[arg(long, value_parser = choice::<Attribute>, value_delimiter = ',')]
    pub require: Vec<Attribute>,
}

/// What counts besides the price.
#[derive(Debug, Args)]
#[command(next_help_heading = "What counts besides the price")]
pub struct ScoringArgs {
    /// What a millisecond of quoted latency costs.
    #[arg(long, value_parser = money, default_value = "0.00")]
    pub latency_per_ms: Micros,
    /// What each basis point costs that a reputation lies below 10,000.
    #[arg(long, value_parser = money, default_value = "0.00")]
    pub reputation_per_bps: Micros,
}

/// What the work comes with.
#[derive(Debug, Args)]
#[command(next_help_heading = "The work")]
pub struct WorkArgs {
    /// How long the provider may take to start, in seconds [default: until the delivery].
    #[arg(long, default_value_t = 0, hide_default_value = true)]
    pub start_s: u64,
    /// How long the provider may take to deliver, in seconds.
    #[arg(long, default_value_t = 3_600)]
    pub delivery_s: u64,
    /// How long to take for objections, in seconds; silence accepts.
    #[arg(long, default_value_t = 3_600)]
    pub acceptance_s: u64,
    /// What a provider puts up, in basis points of the price it asks.
    #[arg(long, default_value_t = 0)]
    pub bond_bps: u16,
    /// Let a runner-up take over at a higher price, up to the reserve.
    #[arg(long)]
    pub top_up: bool,
}
