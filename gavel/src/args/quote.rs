//! The arguments of `gavel quote`.

use std::path::PathBuf;

use clap::{Args, Parser};
use gavel_protocol::limits::QUANTITY_MAX;
use gavel_protocol::{GroupRule, Micros, Name, NoQuoteReason, QuoteId};

use super::parse::{BundleArg, bundle, choice, group_rule, money};

/// A provider's ways to answer.
const EXAMPLES: &str = "\
Examples (`gavel up --help` shows a whole round):

  gavel quote --as fast --capability ocr --price 30.00 --deliver answer.txt
  gavel quote --as fast --capability ocr --price 30.00 --deliver answer.txt --latency-ms 200 \\
      --standby-s 600
  gavel quote --as fast --capability ocr --decline no_capacity
  gavel quote --as fast --capability ocr --bundle 0,2:15.00 --bundle 1:4.00 --group or:5 \\
      --deliver answer.txt --contracts 2

A dutch RFQ is taken once its price has come to --price.";

/// Arguments of `gavel quote`.
#[derive(Debug, Parser)]
#[command(after_help = EXAMPLES)]
pub struct QuoteArgs {
    /// The provider's name, as enrolled.
    #[arg(long = "as", value_name = "NAME")]
    pub agent: String,
    /// Where the exchange keeps everything.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// The kind of work.
    #[arg(long)]
    pub capability: Name,
    /// The price per unit; of a dutch RFQ, the lowest that will do.
    #[arg(long, value_parser = money, required_unless_present_any = ["decline", "bundle"])]
    pub price: Option<Micros>,
    /// What to deliver, as a file.
    #[arg(long, required_unless_present = "decline")]
    pub deliver: Option<PathBuf>,
    /// Also set a public standing quote for this many units; it ends with this command.
    #[arg(long, value_name = "UNITS", requires = "price")]
    pub standing: Option<u32>,
    /// Leave after so many contracts have ended, or RFQs were declined.
    #[arg(long, default_value_t = 1)]
    pub contracts: u32,
    /// Decline each RFQ for this reason, instead of quoting.
    #[arg(long, value_name = "REASON", value_parser = choice::<NoQuoteReason>)]
    #[arg(conflicts_with_all = ["price", "deliver", "standing"])]
    pub decline: Option<NoQuoteReason>,
    /// What is offered for combinatorial RFQs.
    #[command(flatten)]
    pub bundles: BundlesArgs,
    /// What is offered besides the price.
    #[command(flatten)]
    pub offer: OfferArgs,
}

/// What is offered for combinatorial RFQs.
#[derive(Debug, Args)]
#[command(next_help_heading = "Bundles")]
pub struct BundlesArgs {
    /// Offer these items of a combinatorial RFQ, by their numbers from 0, for one price; repeatable.
    #[arg(long = "bundle", value_name = "ITEMS:PRICE", value_parser = bundle, id = "bundle")]
    #[arg(conflicts_with_all = ["price", "standing", "decline", "quantity", "all_or_none"])]
    pub bundles: Vec<BundleArg>,
    /// How many of the bundles may win: at most one (xor), or any whose loads fit a capacity (or:10).
    #[arg(long, value_name = "RULE", value_parser = group_rule, default_value = "xor")]
    #[arg(conflicts_with_all = ["price", "decline"])]
    pub group: GroupRule,
    /// Add the bundles to a group that was quoted before, whose rule and validity go for them.
    #[arg(long, value_name = "QUOTE")]
    #[arg(conflicts_with_all = ["price", "decline", "group", "standby_s"])]
    pub into: Option<QuoteId>,
}

/// What is offered besides the price.
#[derive(Debug, Args)]
#[command(next_help_heading = "The offer")]
pub struct OfferArgs {
    /// How long the work takes, from the award to the delivery, in milliseconds: a promise. RFQs
    /// that pay for latency are not answered without one; a standing quote promises 0 then.
    #[arg(long)]
    pub latency_ms: Option<u32>,
    /// Units that can be done [default: as many as are asked for].
    #[arg(long, default_value_t = QUANTITY_MAX, hide_default_value = true)]
    pub quantity: u32,
    /// Do all of these units or none.
    #[arg(long, requires = "quantity")]
    pub all_or_none: bool,
    /// If it loses, stand by for so many seconds after the close, to take over from a winner that
    /// fails.
    #[arg(long)]
    pub standby_s: Option<u64>,
}
