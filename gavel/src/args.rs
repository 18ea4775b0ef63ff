//! The command line.

mod audit;
mod explain;
mod journal;
mod keep;
mod operator;
mod parse;
mod quote;
mod rfq;
mod solve;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use gavel_protocol::Name;

use crate::bench::core::CoreArgs;
use crate::bench::journal::JournalArgs;
use crate::bench::solver::SolverArgs;
use crate::bench::wire::WireArgs;

pub use audit::{
    AuditArgs, AuditBuildArgs, AuditCheckArgs, AuditCommand, AuditListArgs, AuditProveArgs,
};
pub use explain::{ExplainArgs, ExplainCommand};
pub use journal::{AckArg, JournalArg, ProjectionArg};
pub use keep::{BackupArgs, KeepArgs, RestoreArgs, SnapshotArgs};
pub use operator::{BandArgs, BookArgs, EnrolArgs, HaltArgs, ListArgs, RoleArg};
pub use quote::{BundlesArgs, QuoteArgs};
pub use rfq::{BundleArgs, FormatArg, FormatArgs, PaymentArg, PickArg, RfqArgs};
pub use solve::SolveArgs;

/// The exchange where AI agents buy and sell work.
#[derive(Debug, Parser)]
#[command(name = "gavel", version, max_term_width = 100)]
pub struct Args {
    /// Print the summary as one JSON object on the last line.
    #[arg(long, global = true)]
    pub json: bool,
    /// Log what is going on, not only what goes wrong.
    #[arg(long, short, global = true)]
    pub verbose: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve an exchange.
    Up(UpArgs),
    /// Watch a whole market: an exchange in a temporary directory, with synthetic agents.
    Demo(DemoArgs),
    /// Load a running exchange with synthetic agents, open loop; or simulate a market.
    Sim(SimArgs),
    /// Enrol an agent with an account of its own (operator).
    Enrol(EnrolArgs),
    /// List a capability, so that it can be traded (operator).
    List(ListArgs),
    /// Halt the exchange or a capability: no new business until it is reopened (operator).
    Halt(HaltArgs),
    /// End a halt of the same reach (operator).
    Reopen(HaltArgs),
    /// Set or lift the band that prices of a capability must lie in (operator).
    Band(BandArgs),
    /// Show a capability's book: its standing quotes and open RFQs.
    Book(BookArgs),
    /// Ask for quotes, and wait for the work.
    Rfq(Box<RfqArgs>),
    /// Offer work, and do it when it is awarded.
    Quote(QuoteArgs),
    /// Replay a journal, and show what happened.
    Replay(ReplayArgs),
    /// Bring a projection up to the end of a journal, or make it anew.
    Project(ProjectArgs),
    /// Prove what happened to somebody who has neither the journal nor the database.
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Verify a journal: every record, every event, and what clients were told.
    Verify(VerifyArgs),
    /// Copy everything that an exchange keeps, while it runs or not.
    Backup(BackupArgs),
    /// Make a data directory of a backup.
    Restore(RestoreArgs),
    /// Say which snapshots there are, or make one.
    Snapshot(SnapshotArgs),
    /// Explain what happened, from the journal: who won, why, and what the others lacked.
    #[command(subcommand)]
    Explain(ExplainCommand),
    /// Run a scenario file through the pure exchange, and print the events.
    Script(ScriptArgs),
    /// Clear bundles from instance files: who wins, what is proven, and what winners are paid.
    Solve(SolveArgs),
    /// Measure what things cost here, beside what they cost at least.
    #[command(subcommand)]
    Bench(BenchCommand),
}

/// What to measure.
#[derive(Debug, Subcommand)]
pub enum BenchCommand {
    /// The service time of one command in the pure exchange.
    Core(CoreArgs),
    /// Durable commands, projection, replay and start, beside the bare stores.
    Journal(JournalArgs),
    /// What clearing bundles costs the core, step by step.
    Solver(SolverArgs),
    /// Round trips and throughput of a whole exchange over QUIC.
    Wire(WireArgs),
}

/// A whole round by hand, shown by the help of each of its commands.
const ROUND: &str = "\
Example, from a job spec in a file to the deliverable in another:

  gavel up                                              # in a terminal of its own
  gavel list ocr
  gavel enrol acme --deposit 100.00
  gavel enrol fast
  echo 'the text of 50 invoices' > answer.txt
  gavel quote --as fast --capability ocr --price 30.00 --deliver answer.txt &
  echo '{\"invoices\": 50}' > job.json
  gavel rfq --as acme --capability ocr --reserve 40.00 --window-ms 5000 --spec job.json --out result.txt
  cat result.txt";

/// Arguments of `gavel up`.
#[derive(Debug, Parser)]
#[command(after_help = ROUND)]
pub struct UpArgs {
    /// Where everything is kept.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// What it takes for a command to be acknowledged, with a journal on PostgreSQL: the replicas are
    /// those in the server's synchronous_standby_names.
    #[arg(long, value_enum, default_value_t = AckArg::On)]
    pub ack: AckArg,
    /// A database to keep up with what happened, for asking in SQL: postgres://USER@HOST:PORT/DATABASE
    /// or sqlite://FILE.
    #[arg(long, value_name = "URL")]
    pub projection: Option<ProjectionArg>,
    /// Keep an audit log in the data directory, and publish its signed heads at /audit/head: see `gavel
    /// audit --help`.
    #[arg(long)]
    pub audit: bool,
    /// Where to listen for QUIC [default: 127.0.0.1:7410, or any port if that is taken].
    #[arg(long)]
    pub quic: Option<SocketAddr>,
    /// Where to listen for HTTP [default: 127.0.0.1:7411, or any port if that is taken].
    #[arg(long)]
    pub http: Option<SocketAddr>,
    /// A certificate chain to use instead of the self-signed one, as PEM.
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// The private key of the certificate, as PEM.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// The exchange's name, at first start.
    #[arg(long, default_value = "gavel")]
    pub name: Name,
    /// The providers' fee in parts per million, at first start.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub fee_ppm: u32,
    /// Whether RFQs, quotes and takes must be signed, and standing quotes lie in an envelope, at
    /// first start.
    #[arg(long, value_enum, default_value_t = SignaturesArg::Optional)]
    pub signatures: SignaturesArg,
    /// Quotes that an agent may place, amend or set per second, at first start; 0 is any number.
    #[arg(long, default_value_t = 0)]
    pub quotes_per_s: u32,
    /// Where the core runs.
    #[arg(long, value_enum, default_value_t = LayoutArg::Inline)]
    pub layout: LayoutArg,
    /// Threads that solve the problems of combinatorial RFQs. They sleep unless there is one. With none,
    /// the exchange's own first answers and those of solvers from outside stand.
    #[arg(long, default_value_t = 1)]
    pub solvers: usize,
    /// What is kept of the past.
    #[command(flatten)]
    pub keep: KeepArgs,
    /// Have huge pages: a market with many standing quotes is faster then, and an idle exchange
    /// takes six times the memory.
    #[arg(long)]
    pub huge_pages: bool,
}

/// Where the core runs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum LayoutArg {
    /// As a task beside the gateway's.
    Inline,
    /// On a thread of its own.
    Thread,
}

/// Whether what binds an agent must be signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SignaturesArg {
    /// What is not signed is rejected.
    Required,
    /// What is signed is verified; the rest is taken on the session's word.
    Optional,
}

/// Arguments of `gavel demo`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel demo --seconds 10 --json")]
pub struct DemoArgs {
    /// End after so many seconds, with a summary [default: when asked to].
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Synthetic buyers.
    #[arg(long, default_value_t = 10)]
    pub buyers: u32,
    /// Synthetic providers.
    #[arg(long, default_value_t = 50)]
    pub providers: u32,
    /// Decides when agents send and what.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Arguments of `gavel sim`.
#[derive(Debug, Parser)]
#[command(after_help = "Example, against `gavel up` in another terminal:\n\n  \
    gavel sim --data gavel-data --seconds 10 --acks acks.jsonl --json")]
#[command(args_conflicts_with_subcommands = true)]
pub struct SimArgs {
    /// Simulate something else than load.
    #[command(subcommand)]
    pub instead: Option<SimCommand>,
    /// Where the exchange keeps everything: its address and the operator's key are read from it.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// End after so many seconds, with a summary [default: when asked to].
    #[arg(long)]
    pub seconds: Option<u64>,
    /// Write each acknowledged command to this file, as it is acknowledged.
    #[arg(long)]
    pub acks: Option<PathBuf>,
    /// Synthetic buyers.
    #[arg(long, default_value_t = 10)]
    pub buyers: u32,
    /// Synthetic providers.
    #[arg(long, default_value_t = 50)]
    pub providers: u32,
    /// Capabilities that they trade in.
    #[arg(long, default_value_t = 4)]
    pub capabilities: u32,
    /// RFQs per second, all buyers together.
    #[arg(long, default_value_t = 100.0)]
    pub rfqs_per_s: f64,
    /// The share of RFQs that clear at once against the standing quotes.
    #[arg(long, default_value_t = 0.5)]
    pub window_zero_share: f64,
    /// Updates of standing quotes per second, all providers together.
    #[arg(long, default_value_t = 200.0)]
    pub standing_updates_per_s: f64,
    /// Store, fetch and check specs and deliverables, too.
    #[arg(long)]
    pub blobs: bool,
    /// How payloads are written.
    #[arg(long, value_enum, default_value_t = CodecArg::Rkyv)]
    pub codec: CodecArg,
    /// Decides when agents send and what.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// What to simulate, other than load.
#[derive(Debug, Subcommand)]
pub enum SimCommand {
    /// Let populations of agents trade in virtual time, and compare what came out with the optimum.
    Market(SimMarketArgs),
    /// Let a seeded world of crashes, torn writes and broken connections try to break the exchange.
    World(SimWorldArgs),
}

/// Arguments of `gavel sim world`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel sim world --seeds 1000 --json")]
pub struct SimWorldArgs {
    /// The seed of the first world: everything in it is drawn from that.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How many worlds, of one seed after the other.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub seeds: u64,
    /// End a world after so many commands.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub commands: u64,
    /// Worlds that are run at the same time.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub threads: u64,
}

/// Arguments of `gavel sim market`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  \
    gavel sim market --population simulator/populations/mixed.json --seed 1 --json")]
pub struct SimMarketArgs {
    /// A population file; give it several times to compare several.
    #[arg(long, value_name = "FILE", required = true)]
    pub population: Vec<PathBuf>,
    /// The seed of everything that is drawn.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Also trade with windows of 0 to 200 ms, and write charts to this directory as SVG.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
}

/// How payloads are written.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum CodecArg {
    /// rkyv archives.
    Rkyv,
    /// JSON.
    Json,
}

/// Arguments of `gavel replay`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel replay --data gavel-data --events | tail -3")]
pub struct ReplayArgs {
    /// Where the exchange keeps everything; with an embedded journal it must not be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// Print every event as a line of JSON.
    #[arg(long)]
    pub events: bool,
}

/// Arguments of `gavel project`.
#[derive(Debug, Parser)]
#[command(
    after_help = "Example:\n\n  gavel project --data gavel-data --projection sqlite://market.sqlite --rebuild"
)]
pub struct ProjectArgs {
    /// Where the exchange keeps everything; with an embedded journal it must not be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// The projection's database: postgres://USER@HOST:PORT/DATABASE or sqlite://FILE.
    #[arg(long, value_name = "URL")]
    pub projection: ProjectionArg,
    /// Make it anew: from the first command, or from the oldest snapshot of the running rules. The exchange must
    /// not be running.
    #[arg(long)]
    pub rebuild: bool,
}

/// Arguments of `gavel verify`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel verify --data gavel-data --acks acks.jsonl --json")]
pub struct VerifyArgs {
    /// Where the exchange keeps everything; with an embedded journal it must not be running.
    #[arg(long, default_value = "gavel-data")]
    pub data: PathBuf,
    /// Where the journal is kept.
    #[command(flatten)]
    pub journal: JournalArg,
    /// Acknowledgements that `gavel sim --acks` wrote: each must be in the journal.
    #[arg(long)]
    pub acks: Option<PathBuf>,
    /// Begin with the snapshot of this command [default: with the first command that is kept].
    #[arg(long, value_name = "SEQ")]
    pub from_snapshot: Option<u64>,
}

/// Arguments of `gavel script`.
#[derive(Debug, Parser)]
#[command(after_help = "Example:\n\n  gavel script tests/scenarios/first-price-sealed.scenario")]
pub struct ScriptArgs {
    /// The scenario file. If it says what it expects, anything else is a failure.
    pub file: PathBuf,
}
